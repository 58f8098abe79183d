//! Which names of others' mailboxes are seen, and where hostile ones lead.

use super::World;
use crate::store::Realm;

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
