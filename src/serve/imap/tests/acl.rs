//! Shared mailboxes: what each right lets others do, and that nothing else can be found out.

use super::{Client, World};
use crate::settings::Size;
use crate::store::{Realm, Tree};

impl World {
    /// Grants bob these rights on a mailbox of alice's, by alice's own command.
    fn grant(&self, mailbox: &str, rights: &str) {
        self.play(&format!("A: s SETACL {mailbox} bob \"{rights}\"\ns OK …"));
    }

    /// A mailbox of the domain's own.
    fn make(&self, realm: &Realm, name: &str) {
        let home = realm.home(&self.desk.site.root.mail);
        Tree::open(self.desk.registry.clone(), &home).unwrap().create(name, None).unwrap();
    }
}

impl Client {
    /// What one command, with the tag t, is answered.
    fn hears(&mut self, command: &str) -> String {
        self.say(format!("t {command}\r\n").as_bytes());
        self.heard()
    }

    /// The tagged line of that.
    fn answer(&mut self, command: &str) -> String {
        self.hears(command).lines().last().unwrap_or_default().to_string()
    }
}

#[test]
fn lists_are_set_shown_and_deleted() {
    World::new().play(
        "A: a GETACL INBOX
         * ACL \"INBOX\" \"alice@example.test\" lrswipkxtecda
         a OK …
         A: b SETACL INBOX Bob lrswida
         b OK …
         A: c SETACL INBOX bob@EXAMPLE.test -a
         c OK …
         A: d SETACL INBOX -bob +w
         d OK …
         A: e SETACL INBOX anyone lr
         e OK …
         A: f SETACL INBOX eve@other.test l
         f OK …
         A: g GETACL inbox
         * ACL \"INBOX\" \"alice@example.test\" lrswipkxtecda \"bob@example.test\" lrswited \"-bob@example.test\" w \
           \"eve@other.test\" l \"anyone\" lr
         g OK …
         A: h DELETEACL INBOX bob
         h OK …
         A: i DELETEACL INBOX nobody
         i OK …
         A: j SETACL INBOX eve@other.test \"\"
         j OK …
         A: k GETACL INBOX
         * ACL \"INBOX\" \"alice@example.test\" lrswipkxtecda \"-bob@example.test\" w \"anyone\" lr
         k OK …
         A: l SETACL INBOX bob lrq
         l BAD there is no such right
         A: m SETACL INBOX bob lR
         m BAD …
         A: n SETACL INBOX \"\" lr
         n BAD not an identifier
         A: o SETACL INBOX a@b@c lr
         o BAD not an identifier
         A: p SETACL INBOX x@elsewhere.test lr
         p NO [CANNOT] …
         A: q SETACL INBOX alice -a
         q NO [CANNOT] …
         A: r SETACL INBOX alice +a
         r OK …
         A: s DELETEACL INBOX alice
         s NO [CANNOT] …
         A: t SETACL none bob lr
         t NO [NONEXISTENT] no such mailbox
         A: u GETACL none
         u NO [NONEXISTENT] no such mailbox
         A: v MYRIGHTS INBOX
         * MYRIGHTS \"INBOX\" lrswipkxtecda
         v OK …
         A: w LISTRIGHTS INBOX alice
         * LISTRIGHTS \"INBOX\" \"alice\" lrswipkxtecda
         w OK …
         A: x LISTRIGHTS INBOX Bob
         * LISTRIGHTS \"INBOX\" \"Bob\" \"\" l r s w i p k x t e c d a
         x OK …
         A: y MYRIGHTS none
         y NO [NONEXISTENT] …
         A: z CAPABILITY
         * CAPABILITY … ACL RIGHTS=texk …
         z OK …",
    );
}

/// RFC 4314 §4, the table: one right alone opens just these commands.
#[test]
fn each_right_opens_its_commands_and_no_other() {
    let commands = [
        ("SELECT ~alice/box", "r"),
        ("EXAMINE ~alice/box", "r"),
        ("STATUS ~alice/box (MESSAGES)", "r"),
        ("GETQUOTAROOT ~alice/box", "r"),
        ("APPEND ~alice/box {2+}\r\nx\n", "i"),
        ("CREATE ~alice/box/new", "k"),
        ("RENAME ~alice/box/sub ~alice/other", ""),
        ("DELETE ~alice/box", "x"),
        ("GETACL ~alice/box", "a"),
        ("SETACL ~alice/box bob +l", "a"),
        ("DELETEACL ~alice/box carol", "a"),
        ("LISTRIGHTS ~alice/box carol", "a"),
        ("MYRIGHTS ~alice/box", "lrikxa"),
        ("GETMETADATA ~alice/box /shared/comment", ""),
        ("SETMETADATA ~alice/box (/shared/comment \"x\")", ""),
        ("SUBSCRIBE ~alice/box", "lrswipkxtea"),
        ("UNSUBSCRIBE ~alice/box", "lrswipkxtea"),
    ];
    let world = World::new();
    let (mut alice, mut bob) = (world.client(), world.client_of("bob"));
    for right in "lrswipkxtea".chars() {
        for (number, (command, opened_by)) in commands.into_iter().enumerate() {
            let name = format!("box{right}{number}");
            assert!(alice.hears(&format!("CREATE {name}/sub")).starts_with("t OK"));
            assert!(alice.hears(&format!("SETACL {name} bob {right}")).starts_with("t OK"));
            let answer = bob.answer(&command.replace("box", &name));
            let expected = match (opened_by.contains(right), right) {
                (true, _) => "t OK",
                (false, _) if command.starts_with("RENAME") => "t NO [NONEXISTENT]",
                (false, 'l') => "t NO [NOPERM]",
                (false, _) if command.starts_with("CREATE") => "t NO [NOPERM]",
                (false, _) => "t NO [NONEXISTENT]",
            };
            assert!(answer.starts_with(expected), "{right}, {command}: {answer}");
        }
    }
}

/// RFC 4314 §4: what is allowed in a selected mailbox.
#[test]
fn each_right_counts_in_the_selected_mailbox() {
    let world = World::new();
    let (mut alice, mut bob) = (world.client(), world.client_of("bob"));
    let mut count = 0;
    let mut answer = |rights: &str, command: &str| {
        count += 1;
        let name = format!("box{count}");
        assert!(alice.hears(&format!("CREATE {name}")).starts_with("t OK"));
        world.mail(&format!(".{name}"), "", "Subject: x\n\ny\n");
        assert!(alice.hears(&format!("SETACL {name} bob {rights}")).starts_with("t OK"));
        assert!(bob.answer(&format!("SELECT ~alice/{name}")).starts_with("t OK"));
        bob.answer(command)
    };
    for (command, needed) in [
        ("STORE 1 +FLAGS (\\Seen)", "s"),
        ("STORE 1 +FLAGS (\\Deleted)", "t"),
        ("STORE 1 +FLAGS (\\Draft)", "w"),
        ("STORE 1 -FLAGS (kw)", "w"),
        ("STORE 1 +FLAGS (\\Draft \\Seen)", "ws"),
        ("EXPUNGE", "e"),
        ("UID EXPUNGE 1", "e"),
    ] {
        for right in "lswipkxtea".chars() {
            let said = answer(&format!("r{right}"), command);
            let expected = if needed.contains(right) { "t OK" } else { "t NO [NOPERM]" };
            assert!(said.starts_with(expected), "r{right}, {command}: {said}");
        }
    }
    for (rights, expected) in
        [("r", "t NO [NOPERM]"), ("rt", "t NO [NOPERM]"), ("re", "t NO [NOPERM]"), ("rte", "t OK")]
    {
        for command in ["MOVE 1 INBOX", "REPLACE 1 INBOX {2+}\r\nx\n"] {
            let said = answer(rights, command);
            assert!(said.starts_with(expected), "{rights}, {command}: {said}");
        }
    }
    for command in ["FETCH 1 BODY[]", "SEARCH ALL", "COPY 1 INBOX", "CLOSE", "SORT (DATE) UTF-8 ALL", "NOOP"] {
        let said = answer("r", command);
        assert!(said.starts_with("t OK"), "{command}: {said}");
    }
}

#[test]
fn selected_with_few_rights() {
    let world = World::new();
    world.three();
    world.grant("INBOX", "lr");
    world.play(
        "O: a SELECT ~alice/inbox
         * FLAGS (…)
         * 3 EXISTS
         * 3 RECENT
         * OK [UNSEEN 1] …
         * OK [PERMANENTFLAGS ()] …
         ~
         a OK [READ-ONLY] selected
         O: b FETCH 1 BODY[TEXT]
         * 1 FETCH (BODY[TEXT] {11}
         Text one.
         )
         b OK …
         O: c CLOSE
         c OK …
         A: d STATUS INBOX (UNSEEN RECENT)
         * STATUS \"INBOX\" (UNSEEN 2 RECENT 3)
         d OK …
         A: e SETACL INBOX bob lrst
         e OK …
         O: f SELECT ~alice/INBOX
         ~
         * OK [PERMANENTFLAGS (\\Deleted \\Seen)] …
         ~
         f OK [READ-WRITE] selected
         O: g STORE 1 FLAGS (\\Seen \\Draft)
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Seen \\Recent))
         g OK …
         O: h STORE 1 FLAGS ()
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))
         h OK …
         O: i STORE 1 FLAGS (\\Draft)
         i NO [NOPERM] …
         O: j STORE 1 +FLAGS.SILENT (\\Deleted \\Answered)
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Deleted \\Recent))
         j OK …
         O: k CLOSE
         k OK …
         A: l STATUS INBOX (MESSAGES DELETED UNSEEN)
         * STATUS \"INBOX\" (MESSAGES 3 DELETED 1 UNSEEN 2)
         l OK …",
    );
}

#[test]
fn rights_change_under_a_session() {
    let world = World::new();
    world.three();
    world.grant("INBOX", "lrsw");
    world.play(
        "O: a SELECT ~alice/INBOX
         ~
         a OK [READ-WRITE] selected
         A: b SETACL INBOX bob lrs
         b OK …
         O: c STORE 1 +FLAGS (\\Draft)
         * FLAGS (…)
         * OK [PERMANENTFLAGS (\\Seen)] your rights have changed
         c NO [NOPERM] …
         O: d NOOP
         d OK …
         A: e DELETEACL INBOX bob
         e OK …
         O: f FETCH 1 FLAGS
         * BYE …",
    );
    world.grant("INBOX", "lr");
    world.play(
        "O: a SELECT ~alice/INBOX
         ~
         a OK …
         O: b IDLE
         + …
         A: c DELETEACL INBOX bob
         c OK …
         O!
         * BYE …",
    );
}

#[test]
fn copies_and_appended_messages_lose_the_flags_that_may_not_be_set() {
    let world = World::new();
    world.mail("", "FST", "Subject: x\n\ny\n");
    world.play("A: a CREATE box\na OK …\nA: b SELECT INBOX\n~\nb OK …\nA: c STORE 1 +FLAGS (work)\n~\nc OK …");
    world.grant("INBOX", "lrte");
    for (rights, flags) in [("lri", ""), ("lris", "\\Seen"), ("lriw", "\\Flagged work"), ("lrit", "\\Deleted")] {
        world.grant("box", rights);
        world.play(
            &format!(
                "O: a SELECT ~alice/INBOX
             ~
             a OK …
             O: b COPY 1 ~alice/box
             b OK [COPYUID …
             O: c APPEND ~alice/box (\\Seen \\Flagged \\Deleted work) {{1+}}
             O: x
             c OK [APPENDUID …
             O: d EXAMINE ~alice/box
             ~
             d OK …
             O: e FETCH *,* FLAGS
             * … FETCH (FLAGS ({flags} \\Recent))
             e OK …"
            )
            .replace("(FLAGS ( \\Recent", "(FLAGS (\\Recent"),
        );
    }
    world.grant("box", "lrs");
    world.play(
        "O: a SELECT ~alice/INBOX
         ~
         a OK …
         O: b COPY 1 ~alice/box
         b NO [NOPERM] …
         O: c APPEND ~alice/box {1+}
             O: x
         c NO [NOPERM] …
         O: d COPY 1 ~alice/none
         d NO [NONEXISTENT] no such mailbox
         O: e COPY 1 ~nobody/INBOX
         e NO [NONEXISTENT] no such mailbox
         O: f MOVE 1 INBOX
         * OK [COPYUID …
         * 1 EXPUNGE
         f OK …
         O: g SELECT INBOX
         ~
         g OK …
         O: h FETCH 1 FLAGS
         * 1 FETCH (FLAGS (\\Flagged \\Deleted \\Seen work…
         h OK …",
    );
}

#[test]
fn what_one_may_not_see_is_not_there() {
    let world = World::new();
    world.three();
    world.play("A: a CREATE secret/deep\na OK …\nA: b CREATE open\nb OK …\nO: c NOOP\nc OK …");
    world.grant("open", "lr");
    let commands = [
        "SELECT %",
        "EXAMINE %",
        "STATUS % (MESSAGES)",
        "DELETE %",
        "RENAME % ~alice/moved",
        "RENAME % moved",
        "GETACL %",
        "SETACL % bob lr",
        "SETACL % carol@elsewhere.test lr",
        "DELETEACL % bob",
        "LISTRIGHTS % bob",
        "MYRIGHTS %",
        "GETMETADATA % /shared/comment",
        "SETMETADATA % (/private/comment \"x\")",
        "GETQUOTAROOT %",
        "APPEND % {2+}\r\nx\n",
        "APPEND INBOX CATENATE (URL \"/%/;UID=1\")",
        "CREATE %/new",
        "CREATE %",
        "RENAME INBOX %/new",
        "RENAME INBOX %",
        "ESEARCH IN (mailboxes %) ALL",
        "ESEARCH IN (subtree %) ALL",
        "LIST \"\" %",
        "LIST \"\" % RETURN (MYRIGHTS STATUS (MESSAGES))",
        "LSUB \"\" %",
        "SUBSCRIBE %",
    ];
    let mut bob = world.client_of("bob");
    for command in commands {
        let mut heard = |name: &str| {
            let command = command.replace('%', name);
            bob.hears(&command).replace(name, "NAME")
        };
        let expected = heard("~nobody/INBOX");
        for hidden in
            ["~alice/secret", "~alice/secret/deep", "~alice/INBOX", "~alice/none", "~alice@example.test/secret"]
        {
            assert_eq!(heard(hidden), expected, "{command} {hidden}");
        }
        assert!(!expected.contains("alice"), "{expected}");
    }
    world.play(
        "O: a LIST \"\" *
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice\"
         * LIST (\\HasNoChildren) \"/\" \"~alice/open\"
         a OK …
         E: b LIST \"\" *
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         b OK …",
    );
    // Nothing was made where it must not be.
    assert!(!world.dir.path().join("mail/example.test/nobody").exists());
    assert!(!world.maildir(".secret/em-acl").exists() && !world.maildir(".moved").exists());
}

#[test]
fn hostile_names_lead_nowhere() {
    let world = World::new();
    world.three();
    let before = files(world.dir.path());
    let mut bob = world.client_of("bob");
    for name in [
        "~../x",
        "~/x",
        "~",
        "~/",
        "~alice/../alice/INBOX",
        "~alice//INBOX",
        "~alice/INBOX/../../x",
        "~./INBOX",
        "~.shared/x",
        "~.public/x",
        "#shared/../x",
        "#shared/INBOX",
        "~public/../../bob",
        "~public/INBOX",
        "~\\\"alice\\\"/INBOX",
        "~alice@/INBOX",
        "~alice@../INBOX",
        "~alice@example.test@x/INBOX",
        "~%2e%2e/x",
        "~alice\\\\/INBOX",
        "~ALICE@EXAMPLE.TEST/INBOX",
    ] {
        for command in ["SELECT", "DELETE", "MYRIGHTS", "GETACL", "CREATE"] {
            let heard = bob.hears(&format!("{command} \"{name}\""));
            let is_refused =
                heard.starts_with("t NO [NONEXISTENT]") || (command == "CREATE" && heard.starts_with("t NO [NOPERM]"));
            assert!(is_refused, "{command} {name}: {heard}");
        }
    }
    let bob_home = world.dir.path().join("mail/example.test/bob");
    let after = files(world.dir.path()).into_iter().filter(|path| !path.starts_with(&bob_home));
    assert_eq!(after.collect::<Vec<_>>(), before);
}

/// All files and directories of mail, but for what reading one's own makes.
fn files(root: &std::path::Path) -> Vec<std::path::PathBuf> {
    let (mut pending, mut found) = (vec![root.join("mail")], Vec::new());
    while let Some(dir) = pending.pop() {
        for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                pending.push(entry.path());
            }
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

#[test]
fn others_shared_and_public_are_listed() {
    let world = World::new();
    let (shared, public) = (Realm::Shared("example.test".into()), Realm::Public("example.test".into()));
    world.make(&shared, "sales/2026");
    world.make(&public, "news");
    world.play(
        "A: a CREATE work/plans
         a OK …
         A: b SETACL work/plans bob lrk
         b OK …
         A: c SETACL work/plans eve@other.test lr
         c OK …
         O: d SUBSCRIBE ~ALICE/work/plans
         d OK …
         O: e SUBSCRIBE ~public/gone
         e OK …
         O: f LIST \"\" *
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice/work\"
         * LIST (\\HasNoChildren) \"/\" \"~alice/work/plans\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~public\"
         * LIST (\\HasNoChildren) \"/\" \"~public/news\"
         f OK …
         O: g LIST \"\" ~% RETURN (MYRIGHTS)
         * LIST (\\NonExistent \\HasChildren) \"/\" \"~alice\"
         * LIST (\\NonExistent \\HasChildren) \"/\" \"~public\"
         g OK …
         O: h LIST ~alice/ work/* RETURN (MYRIGHTS SUBSCRIBED)
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"~alice/work/plans\"
         * MYRIGHTS \"~alice/work/plans\" lrkc
         h OK …
         O: i LSUB \"\" *
         * LSUB () \"/\" \"~alice/work/plans\"
         * LSUB () \"/\" \"~public/gone\"
         i OK …
         O: j LIST (SUBSCRIBED) \"\" *
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"~alice/work/plans\"
         * LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"~public/gone\"
         j OK …
         O: k LIST \"\" %
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~public\"
         k OK …
         E: l LIST \"\" *
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice@example.test\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"~alice@example.test/work\"
         * LIST (\\HasNoChildren) \"/\" \"~alice@example.test/work/plans\"
         l OK …
         E: m SELECT ~alice@example.test/work/plans
         ~
         m OK [READ-ONLY] …
         E: n SELECT ~alice/work/plans
         n NO [NONEXISTENT] …
         E: o SELECT ~public/news
         o NO [NONEXISTENT] …
         O: p MYRIGHTS ~public/news
         * MYRIGHTS \"~public/news\" lr
         p OK …
         O: q SELECT #shared/sales
         q NO [NONEXISTENT] …
         O: r CREATE #shared/mine
         r NO [NOPERM] …
         O: s CREATE ~public/news/mine
         s NO [NOPERM] …
         O: t CREATE ~alice/work/plans/bob
         t OK [MAILBOXID …
         A: u GETACL work/plans/bob
         * ACL \"work/plans/bob\" \"alice@example.test\" lrswipkxtecda \"bob@example.test\" lrkc \"eve@other.test\" lr
         u OK …
         O: v CREATE ~alice/work/plans/sent (USE (\\Sent))
         v NO [USEATTR] …
         A: w LIST \"\" ~*
         * LIST (\\Noselect \\HasChildren) \"/\" \"~public\"
         * LIST (\\HasNoChildren) \"/\" \"~public/news\"
         w OK …
         A: x SELECT ~alice/work/plans
         ~
         x OK [READ-WRITE] …
         A: y CREATE ~mine
         y NO [NOPERM] …",
    );
}

#[test]
fn anyone_is_everybody_of_the_domain() {
    let world = World::new();
    world.play(
        "A: a SETACL INBOX anyone lr
         a OK …
         A: b SETACL INBOX -bob r
         b OK …
         O: c MYRIGHTS ~alice/INBOX
         * MYRIGHTS \"~alice/INBOX\" l
         c OK …
         O: d SELECT ~alice/INBOX
         d NO [NOPERM] …
         E: e MYRIGHTS ~alice@example.test/INBOX
         e NO [NONEXISTENT] …
         E: f LIST \"\" *
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         f OK …",
    );
}

#[test]
fn mailboxes_are_renamed_and_deleted_by_right() {
    let world = World::new();
    world.play("A: a CREATE a/b\na OK …\nA: b CREATE c\nb OK …");
    world.grant("a/b", "lrx");
    world.grant("c", "lr");
    world.play(
        "O: a RENAME ~alice/a/b ~alice/c/b
         a NO [NOPERM] …
         O: b RENAME ~alice/a/b mine
         b NO [CANNOT] …
         O: c RENAME ~alice/c ~alice/a/b/c
         c NO [NOPERM] …
         A: d SETACL c bob lrk
         d OK …
         O: e SELECT ~alice/a/b
         ~
         e OK …
         O: f RENAME ~alice/a/b ~alice/c/b
         f OK …
         O: g NOOP
         g OK …
         A: h GETACL c/b
         * ACL \"c/b\" \"alice@example.test\" lrswipkxtecda \"bob@example.test\" lrxc
         h OK …
         O: i DELETE ~alice/c/b
         i OK …
         A: j LIST \"\" c*
         * LIST (\\HasNoChildren) \"/\" \"c\"
         j OK …
         A: k SETACL INBOX bob lrswipkxtea
         k OK …
         O: l DELETE ~alice/INBOX
         l NO [CANNOT] …
         O: m RENAME ~alice/INBOX ~alice/c/all
         m NO [NOPERM] …",
    );
}

#[test]
fn annotations_and_quotas_are_the_owners() {
    let world = World::with(|settings| settings.accounts.quota = Size(2048));
    world.mail("", "", &format!("Subject: x\n\n{}\n", "y".repeat(1500)));
    world.grant("INBOX", "lri");
    world.play(
        "A: a SETMETADATA INBOX (/private/comment \"mine\" /shared/comment \"ours\")
         a OK …
         O: b GETMETADATA ~alice/INBOX (/private/comment /shared/comment)
         * METADATA \"~alice/INBOX\" (/private/comment NIL /shared/comment \"ours\")
         b OK …
         O: c SETMETADATA ~alice/INBOX (/shared/comment \"theirs\")
         c NO [NOPERM] …
         O: d SETMETADATA ~alice/INBOX (/private/comment \"x\")
         d NO [METADATA NOPRIVATE] …
         O: e GETQUOTAROOT ~alice/INBOX
         * QUOTAROOT \"~alice/INBOX\" \"~alice\"
         * QUOTA \"~alice\" (STORAGE 2 2)
         e OK …
         O: f GETQUOTA ~alice
         * QUOTA \"~alice\" (STORAGE 2 2)
         f OK …
         O: g GETQUOTA ~eve@other.test
         g NO [NONEXISTENT] …
         O: h GETQUOTA ~nobody
         h NO [NONEXISTENT] …",
    );
    let text = "z".repeat(898);
    for (mailbox, expected) in [("~alice/INBOX", "t NO [OVERQUOTA]"), ("INBOX", "t OK")] {
        let heard = world.client_of("bob").hears(&format!("APPEND {mailbox} {{900+}}\r\n{text}\r\n"));
        assert!(heard.contains(expected), "{mailbox}: {heard}");
    }
    world.grant("INBOX", "lrsi");
    world.play(
        "O: a SETACL INBOX alice lrte
         a OK …
         A: b SELECT ~bob/INBOX
         ~
         b OK …
         A: c MOVE 1 INBOX
         c NO [OVERQUOTA] …
         A: d COPY 1 INBOX
         d NO [OVERQUOTA] …",
    );
}

#[test]
fn searches_through_several_mailboxes_heed_the_rights() {
    let world = World::new();
    world.three();
    world.play("A: a CREATE hidden\na OK …\nA: b CREATE listed\nb OK …");
    for (folder, rights) in [(".hidden", "r"), (".listed", "l"), ("", "lr")] {
        world.mail(folder, "", "Subject: needle\n\nx\n");
        world.grant(if folder.is_empty() { "INBOX" } else { &folder[1..] }, rights);
    }
    world.play(
        "O: a ESEARCH IN (personal) SUBJECT needle
         a OK …
         O: b ESEARCH IN (subtree ~alice) SUBJECT needle
         * ESEARCH (TAG \"b\" MAILBOX \"~alice/INBOX\" UIDVALIDITY …) UID ALL …
         b OK …
         O: c ESEARCH IN (mailboxes (~alice/hidden ~ALICE/listed)) SUBJECT needle
         * ESEARCH (TAG \"c\" MAILBOX \"~alice/hidden\" UIDVALIDITY …) UID ALL …
         c OK …
         O: d APPEND INBOX CATENATE (URL \"/~alice/listed/;UID=1\")
         d NO [BADURL …
         O: e APPEND INBOX CATENATE (URL \"/~alice/INBOX/;UID=1\")
         e OK …",
    );
}

#[test]
fn a_list_that_was_damaged_by_hand_leaves_the_owner() {
    let world = World::new();
    world.grant("INBOX", "lr");
    std::fs::write(world.maildir("em-acl"), "em-acl 1\nbob@example.test lr?\nanyone l\n").unwrap();
    world.play(
        "O: a MYRIGHTS ~alice/INBOX
         * MYRIGHTS \"~alice/INBOX\" l
         a OK …
         A: b SELECT INBOX
         ~
         b OK …",
    );
    std::fs::write(world.maildir("em-acl"), "em-acl 7\nbob@example.test lr\n").unwrap();
    world.play(
        "O: a MYRIGHTS ~alice/INBOX
         a NO [NONEXISTENT] …
         A: b SETACL INBOX bob lr
         b NO [UNAVAILABLE] …
         A: c SELECT INBOX
         ~
         c OK …",
    );
}

#[test]
fn an_append_that_takes_its_time_is_asked_again() {
    let world = World::new();
    world.grant("INBOX", "lri");
    world.play(
        "O: a APPEND ~alice/INBOX {1}
         + …
         A: b SETACL INBOX bob lr
         b OK …
         O: x
         a NO [NOPERM] …
         A: c STATUS INBOX (MESSAGES)
         * STATUS \"INBOX\" (MESSAGES 0)
         c OK …",
    );
}
