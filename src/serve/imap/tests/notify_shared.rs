//! NOTIFY in mailboxes of others: what rights open and close, and that nothing else can be found out.

use super::World;

#[test]
fn what_may_be_read_is_told_and_nothing_when_the_right_is_gone() {
    let world = World::new();
    world.play(
        "A: a CREATE box
         a OK …
         A: b SETACL box bob lr
         b OK …
         O: a NOTIFY SET STATUS (mailboxes ~Alice@example.test/box (MessageNew MessageExpunge FlagChange MailboxName))
         * STATUS \"~alice/box\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY … UNSEEN 0 HIGHESTMODSEQ …)
         a OK …
         O!
         A: c APPEND box {3+}
         A: abc
         c OK …
         O!
         * STATUS \"~alice/box\" (UIDNEXT 2 MESSAGES 1 UIDVALIDITY … UNSEEN 1)
         A: d SETACL box bob -lr
         d OK …
         O!
         * LIST (\\NonExistent \\NoAccess \\HasNoChildren) \"/\" \"~alice/box\"
         A: e APPEND box {3+}
         A: abc
         e OK …
         O!
         O: b NOOP
         b OK …
         A: f SETACL box bob lr
         f OK …
         O!
         * LIST (\\HasNoChildren) \"/\" \"~alice/box\"
         * STATUS \"~alice/box\" (MESSAGES 2 UIDNEXT 3 UIDVALIDITY … UNSEEN 2 HIGHESTMODSEQ …)
         A: g SETACL box bob l
         g OK …
         O!
         * LIST (\\NoAccess \\HasNoChildren) \"/\" \"~alice/box\"
         A: h APPEND box {3+}
         A: abc
         h OK …
         O!
         A: i DELETE box
         i OK …
         O!
         * LIST (\\NonExistent \\NoAccess \\HasNoChildren) \"/\" \"~alice/box\"
         O!",
    );
}

/// RFC 5465 §5.9, without MailboxName: access that is lost is told, and that a mailbox was deleted looks the same.
#[test]
fn lost_access_is_told_to_who_asked_for_messages() {
    let world = World::new();
    for end in ["SETACL box bob \"\"", "DELETE box"] {
        world.play(&format!(
            "A: a CREATE box
             a OK …
             A: b SETACL box bob lr
             b OK …
             O: a NOTIFY SET (subtree ~Alice (MessageNew MessageExpunge))
             a OK …
             A: c {end}
             c OK …
             O!
             * LIST (\\NonExistent \\NoAccess \\HasNoChildren) \"/\" \"~alice/box\"
             O!"
        ));
        world.play("A: a DELETE box\na …");
    }
}

#[test]
fn what_may_be_listed_only_is_told_as_such() {
    let world = World::new();
    world.play(
        "A: a CREATE box
         a OK …
         A: b SETACL box bob l
         b OK …
         A: c SETACL INBOX bob r
         c OK …
         O: a NOTIFY SET STATUS (subtree ~alice (MessageNew MessageExpunge MailboxMetadataChange))
         * LIST (\\NoAccess \\HasNoChildren) \"/\" \"~alice/box\"
         a OK …
         O: b NOTIFY SET STATUS (subtree ~alice (MailboxName))
         b OK …
         A: d RENAME box case
         d OK …
         O!
         * LIST (\\HasNoChildren) \"/\" \"~alice/case\" (\"OLDNAME\" (\"~alice/box\"))
         A: e CREATE hidden
         e OK …
         O!
         A: f SETACL hidden bob l
         f OK …
         O!
         * LIST (\\NonExistent \\HasChildren) \"/\" \"~alice\"
         * LIST (\\HasNoChildren) \"/\" \"~alice/hidden\"
         A: g RENAME hidden case/below
         g OK …
         O!
         * LIST (\\HasNoChildren) \"/\" \"~alice/case/below\" (\"OLDNAME\" (\"~alice/hidden\"))
         A: h SETACL case/below bob \"\"
         h OK …
         O!
         * LIST (\\HasNoChildren) \"/\" \"~alice/case\"
         * LIST (\\NonExistent \\HasNoChildren) \"/\" \"~alice/case/below\"",
    );
}

/// Hidden, missing, and of nobody: no answer differs.
#[test]
fn names_that_may_not_be_seen_are_all_alike() {
    let world = World::new();
    world.play("A: a CREATE hidden/below\na OK …\nA: b SETACL hidden bob rswipkxte\nb OK …");
    for source in ["mailboxes", "subtree"] {
        for says in ["", "STATUS "] {
            let told = |name: &str| {
                let mut bob = world.client_of("bob");
                let events =
                    "MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange";
                bob.say(format!("a NOTIFY SET {says}({source} {name} ({events}))\r\nb NOOP\r\n").as_bytes());
                bob.heard()
            };
            let expected = told("~alice/missing");
            assert!(expected.starts_with("a OK") && !expected.contains("* "), "{expected}");
            for name in
                ["~alice/hidden", "~alice/INBOX", "~nobody/INBOX", "~../INBOX", "#shared/x", "~eve@other.test/x"]
            {
                assert_eq!(told(name), expected, "{name}");
            }
        }
    }
    let names: Vec<String> = (0..101).map(|n| format!("~nobody{n}/x")).collect();
    world.play(&format!(
        "O: a NOTIFY SET (mailboxes ({}) (MailboxName))
         a NO [NOTIFICATIONOVERFLOW] …",
        names.join(" ")
    ));
}

#[test]
fn own_work_in_anothers_mailboxes_is_not_told() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE team
         a OK …
         A: b SETACL team bob lrswipkxte
         b OK …
         O: a NOTIFY SET (subtree ~alice (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange \
         MailboxMetadataChange)) (personal (MailboxName SubscriptionChange))
         a OK …
         O: b CREATE ~alice/team/a/b
         b OK …
         O: c RENAME ~alice/team/a ~alice/team/c
         c OK …
         O: d SUBSCRIBE ~ALICE/team/c
         d OK …
         O: e APPEND ~alice/team/c/b {3+}
         O: abc
         e OK …
         O: f SETMETADATA ~alice/team/c (/shared/comment \"x\")
         f OK …
         O: g NOOP
         g OK …
         O!
         A: c APPEND team/c/b {3+}
         A: abc
         c OK …
         O!
         * STATUS \"~alice/team/c/b\" (UIDNEXT 3 MESSAGES 2 UIDVALIDITY … UNSEEN 2)
         O: h DELETE ~alice/team/c/b
         h OK …
         O: i UNSUBSCRIBE ~alice/team/c
         i OK …
         O: j NOOP
         j OK …
         A: d SETMETADATA team (/private/comment \"alice's\")
         d OK …
         O!
         A: e SETMETADATA team (/private/comment \"hers\" /shared/comment \"ours\")
         e OK …
         O!
         * METADATA \"~alice/team\" /shared/comment",
    );
}

#[test]
fn subscriptions_lead_to_others_and_personal_does_not() {
    let world = World::new();
    world.play(
        "A: a CREATE box
         a OK …
         A: b SETACL box bob lr
         b OK …
         O: a NOTIFY SET STATUS (personal (MessageNew MessageExpunge MailboxName)) (subscribed (MessageNew \
         MessageExpunge MailboxName))
         * STATUS \"INBOX\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)
         a OK …
         A: c APPEND box {3+}
         A: abc
         c OK …
         O!
         O: b SUBSCRIBE ~alice/box
         * STATUS \"~alice/box\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)
         b OK …
         A: d APPEND box {3+}
         A: abc
         d OK …
         O!
         * STATUS \"~alice/box\" (UIDNEXT 3 MESSAGES 2)
         O: c UNSUBSCRIBE ~alice/box
         c OK …
         O!
         A: e APPEND box {3+}
         A: abc
         e OK …
         A: f SETACL box bob \"\"
         f OK …
         O!
         O!",
    );
}

/// Who may not read the selected mailbox any more is sent away at once, not at the next command.
#[test]
fn the_selected_mailbox_is_taken_away_between_commands() {
    let world = World::new();
    world.play(
        "A: a CREATE box
         a OK …
         A: b SETACL box bob lrs
         b OK …
         O: a SELECT ~alice/box
         ~
         a OK …
         O: b NOTIFY SET (selected (MessageNew MessageExpunge)) (subtree ~alice (MessageNew MessageExpunge))
         b OK …
         A: c SETACL box bob lr
         c OK …
         O!
         * FLAGS (…
         * OK [PERMANENTFLAGS ()] …
         A: d APPEND box {3+}
         A: abc
         d OK …
         O!
         * 1 EXISTS
         * … RECENT
         A: e SETACL box bob l
         e OK …
         O!
         * BYE …",
    );
}

/// What lies in one's own tree under a name of another namespace is not there.
#[test]
fn reserved_names_in_ones_own_tree_are_not_told() {
    let world = World::new();
    let mut alice = world.client();
    alice.say(b"a NOTIFY SET (personal (MessageNew MessageExpunge MailboxName)) (subtree (~bob ~x) (MailboxName))\r\n");
    alice.heard();
    for sub in ["new", "cur", "tmp"] {
        std::fs::create_dir_all(world.maildir(".~bob.y").join(sub)).unwrap();
    }
    alice.say(b"b NOOP\r\n");
    assert_eq!(alice.heard(), "b OK nothing done\r\n");
}

/// RFC 9755: what is fetched unasked has no header fields in UTF-8 either.
#[test]
fn news_has_headers_in_ascii() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    client.say(b"a SELECT INBOX\r\nb NOTIFY SET (selected (MessageNew (BODY.PEEK[HEADER]) MessageExpunge))\r\n");
    client.heard();
    world.mail("", "", "Subject: gr\u{fc}n\n\nx\n");
    client.say(b"c NOOP\r\n");
    let heard = client.heard();
    assert!(heard.contains("* 4 FETCH (BODY[HEADER] ") && heard.is_ascii(), "{heard}");
    assert!(heard.contains("* OK [DOWNGRADED 4] ") && heard.ends_with("c OK nothing done\r\n"), "{heard}");
    client.say(b"d ENABLE UTF8=ACCEPT\r\n");
    client.heard();
    world.mail("", "", "Subject: gr\u{fc}n\n\nx\n");
    client.say(b"e NOOP\r\n");
    let heard = client.heard();
    assert!(heard.contains("Subject: gr\u{fc}n\r\n") && !heard.contains("DOWNGRADED"), "{heard}");
}
