//! NOTIFY, over the store.

use super::World;

pub(super) const SELECTED: &str = "A: a SELECT INBOX
~
a OK …
";

#[test]
fn status_is_told_first_where_it_is_asked_for() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE b
         a OK …
         A: b NOTIFY SET STATUS (personal (MessageNew MessageExpunge))
         * STATUS \"INBOX\" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY …)
         * STATUS \"b\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)
         b OK …
         A: c NOTIFY SET STATUS (mailboxes (INBOX none) (MessageNew MessageExpunge FlagChange))
         * STATUS \"INBOX\" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY … UNSEEN 2 HIGHESTMODSEQ …)
         c OK …
         A: d NOTIFY SET (personal (MessageNew MessageExpunge))
         d OK …
         A: e NOTIFY SET STATUS (inboxes NONE) (personal (MessageNew MessageExpunge))
         * STATUS \"b\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)
         e OK …
         A: f SELECT b
         ~
         f OK …
         A: g NOTIFY SET STATUS (personal (MessageNew MessageExpunge))
         * STATUS \"INBOX\" (MESSAGES 3 UIDNEXT 4 UIDVALIDITY …)
         g OK …
         A: h NOTIFY SET STATUS (personal (MailboxName))
         h OK …
         A: i NOTIFY SET (personal (AnnotationChange MessageNew MessageExpunge))
         i NO [BADEVENT (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange \
         ServerMetadataChange)] …
         A: j NOTIFY SET (personal (MessageNew))
         j BAD …
         A: k NOTIFY SET (selected (MailboxName))
         k BAD …",
    );
}

#[test]
fn messages_elsewhere_are_told_by_status() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE b
         a OK …
         A: b NOTIFY SET (personal (MessageNew MessageExpunge FlagChange))
         b OK …
         B: a SELECT INBOX
         ~
         a OK …
         A!
         B: b STORE 3 +FLAGS.SILENT (\\Seen)
         b OK …
         A!
         * STATUS \"INBOX\" (UIDVALIDITY … UNSEEN 1)
         B: c STORE 3 +FLAGS.SILENT (\\Answered)
         c OK …
         A!
         B: d COPY 1:2 b
         d OK …
         A!
         * STATUS \"b\" (UIDNEXT 3 MESSAGES 2 UIDVALIDITY … UNSEEN 1)
         B: e MOVE 1 b
         * OK …
         * 1 EXPUNGE
         e OK …
         A: c NOOP
         * STATUS \"INBOX\" (UIDNEXT 4 MESSAGES 2 UIDVALIDITY … UNSEEN 0)
         * STATUS \"b\" (UIDNEXT 4 MESSAGES 3 UIDVALIDITY … UNSEEN 2)
         c OK …
         A: d ENABLE QRESYNC
         * ENABLED CONDSTORE QRESYNC
         d OK …
         B: f STORE 1 -FLAGS.SILENT (\\Answered)
         f OK …
         B: g STORE 1 +FLAGS.SILENT (\\Answered)
         g OK …
         A!
         * STATUS \"INBOX\" (UIDVALIDITY … HIGHESTMODSEQ …)
         A!
         B: h APPEND b {3+}
         B: abc
         h OK …
         A!
         * STATUS \"b\" (UIDNEXT 5 MESSAGES 4 UIDVALIDITY … UNSEEN 3 HIGHESTMODSEQ …)",
    );
}

#[test]
fn what_the_client_did_itself_is_not_told() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE b
         a OK …
         A: b NOTIFY SET (selected (MessageNew (UID) MessageExpunge)) (personal (MessageNew MessageExpunge MailboxName \
         SubscriptionChange MailboxMetadataChange ServerMetadataChange))
         b OK …
         A: c CREATE c/d
         c OK …
         A: d RENAME b e
         d OK …
         A: e SUBSCRIBE e
         e OK …
         A: f SETMETADATA e (/private/comment \"x\" /shared/comment \"y\")
         f OK …
         A: g SETMETADATA \"\" (/private/comment \"x\")
         g OK …
         A: h APPEND e {3+}
         A: abc
         h OK …
         A: i SELECT INBOX
         ~
         i OK …
         A: j COPY 1 e
         j OK …
         A: j1 MOVE 3 e
         * OK [COPYUID …
         * 3 EXPUNGE
         j1 OK …
         A: j2 APPEND INBOX {3+}
         A: abc
         * 3 EXISTS
         * … RECENT
         j2 OK …
         A: j3 REPLACE 3 INBOX {3+}
         A: xyz
         * OK [APPENDUID …
         * 3 EXPUNGE
         * 3 EXISTS
         * … RECENT
         j3 OK …
         A: k COPY 1 INBOX
         * 4 EXISTS
         * … RECENT
         k OK …
         A: l APPEND INBOX {3+}
         A: abc
         * 5 EXISTS
         * … RECENT
         l OK …
         A: m STORE 1 +FLAGS.SILENT (\\Deleted)
         m OK …
         A: n CLOSE
         n OK …
         A: o DELETE c/d
         o OK …
         A: p UNSUBSCRIBE e
         p OK …
         A: q SETMETADATA e (/private/comment NIL)
         q OK …
         A: r NOOP
         r OK …
         A!",
    );
}

#[test]
fn names_and_subscriptions_of_others_are_told() {
    let world = World::new();
    world.play(
        "A: a NOTIFY SET (subtree a (MailboxName)) (subscribed (SubscriptionChange)) (mailboxes x (SubscriptionChange))
         a OK …
         B: a CREATE a/b/c
         a OK …
         A!
         * LIST (\\HasChildren) \"/\" \"a\"
         * LIST (\\HasChildren) \"/\" \"a/b\"
         * LIST (\\HasNoChildren) \"/\" \"a/b/c\"
         B: b CREATE z (USE (\\Sent))
         b OK …
         B: c RENAME a/b a/x
         c OK …
         A!
         * LIST (\\HasChildren) \"/\" \"a/x\" (\"OLDNAME\" (\"a/b\"))
         B: d RENAME z a/z
         d OK …
         A: b NOOP
         * LIST (\\HasNoChildren \\Sent) \"/\" \"a/z\" (\"OLDNAME\" (\"z\"))
         b OK …
         B: e DELETE a/z
         e OK …
         A!
         * LIST (\\HasChildren) \"/\" \"a\"
         * LIST (\\NonExistent \\HasNoChildren) \"/\" \"a/z\"
         B: f SUBSCRIBE x
         f OK …
         A!
         * LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"x\"
         B: g SUBSCRIBE a/x
         g OK …
         A!
         * LIST (\\HasChildren \\Subscribed) \"/\" \"a/x\"
         B: h UNSUBSCRIBE a/x
         h OK …
         A!
         * LIST (\\HasChildren) \"/\" \"a/x\"
         B: i SUBSCRIBE a/x/c
         i OK …
         B: j DELETE a/x/c
         j OK …
         A!
         * LIST (\\HasNoChildren) \"/\" \"a/x\"
         * LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"a/x/c\"",
    );
}

#[test]
fn the_set_of_mailboxes_follows_the_names() {
    let world = World::new();
    world.play(
        "A: a NOTIFY SET (subscribed (MessageNew MessageExpunge)) (subtree t (MessageNew MessageExpunge))
         a OK …
         B: a CREATE s
         a OK …
         B: b APPEND s {3+}
         B: abc
         b OK …
         A!
         B: c SUBSCRIBE s
         c OK …
         A!
         * STATUS \"s\" (MESSAGES 1 UIDNEXT 2 UIDVALIDITY …)
         B: d CREATE t/u
         d OK …
         A!
         B: e APPEND t/u {3+}
         B: abc
         e OK …
         A!
         * STATUS \"t/u\" (UIDNEXT 2 MESSAGES 1)
         B: f RENAME t/u t/v
         f OK …
         A!
         B: g APPEND t/v {3+}
         B: abc
         g OK …
         A!
         * STATUS \"t/v\" (UIDNEXT 3 MESSAGES 2)
         B: h UNSUBSCRIBE s
         h OK …
         B: i APPEND s {3+}
         B: abc
         i OK …
         A!
         B: j DELETE t/v
         j OK …
         B: k CREATE t/v
         k OK …
         A!
         * STATUS \"t/v\" (MESSAGES 0 UIDNEXT 1 UIDVALIDITY …)",
    );
}

#[test]
fn annotations_of_others_are_told_by_name() {
    let world = World::new();
    world.play(
        "A: a SETMETADATA INBOX (/private/comment \"old\")
         a OK …
         A: b NOTIFY SET (personal (ServerMetadataChange)) (inboxes (MailboxMetadataChange))
         b OK …
         B: a SETMETADATA INBOX (/private/comment NIL /shared/comment \"new\")
         a OK …
         A!
         * METADATA \"INBOX\" /private/comment /shared/comment
         B: b SETMETADATA INBOX (/shared/comment \"newer\")
         b OK …
         B: c SETMETADATA \"\" (/private/vendor/x \"1\")
         c OK …
         A!
         * METADATA \"\" /private/vendor/x
         * METADATA \"INBOX\" /shared/comment
         A!",
    );
}

#[test]
fn too_many_mailboxes_are_refused() {
    let world = World::new();
    let make = |range: std::ops::Range<usize>| {
        for n in range {
            for sub in ["new", "cur", "tmp"] {
                std::fs::create_dir_all(world.maildir(&format!(".m{n}")).join(sub)).unwrap();
            }
        }
    };
    make(0..1000);
    world.play(
        "A: a NOTIFY SET (personal (MessageNew MessageExpunge))
         a NO [NOTIFICATIONOVERFLOW] …
         A: b NOTIFY SET (mailboxes (m1 m2) (MessageNew MessageExpunge)) (personal (MailboxName))
         b OK …
         A: c DELETE m999
         c OK …
         A: d NOTIFY SET (personal (MailboxMetadataChange))
         d OK …
         B: a CREATE m999
         a OK …
         A!
         * OK [NOTIFICATIONOVERFLOW] …
         B: b DELETE m999
         b OK …
         B: c SETMETADATA INBOX (/private/comment \"x\")
         c OK …
         A!",
    );
}
