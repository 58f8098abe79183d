//! Mailboxes that several people use: rights given by clients and from the shell, and what they open.

use super::clients::python;
use super::world::{World, has};
use std::path::Path;

fn deliver(world: &World, user: &str, subject: &str) {
    let text = format!("Message-ID: <{subject}@example.test>\nSubject: {subject}\n\nbody of {subject}\n");
    let out = world.run_with("emlocal", &["-d", &format!("{user}@example.test")], text.as_bytes());
    assert!(out.status.success(), "{out:?}");
}

/// One IMAP session on standard input; what is answered between login and logout.
fn imap(world: &World, user: &str, commands: &[&str]) -> String {
    let mut script = format!("l LOGIN {user} demo\r\n");
    commands.iter().for_each(|command| script.push_str(&format!("c {command}\r\n")));
    script.push_str("z LOGOUT\r\n");
    let out = world.run_with("emimap", &[], script.as_bytes());
    let said = String::from_utf8(out.stdout).unwrap();
    let said = said.split_once("\r\nl OK").and_then(|(_, rest)| rest.split_once("\r\n")).map(|(_, rest)| rest);
    said.and_then(|said| said.split_once("* BYE")).unwrap_or_default().0.to_string()
}

fn world() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world
}

fn answers(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("c ")).collect()
}

#[test]
fn two_accounts_share_by_a_client() {
    if !has("python3") {
        return;
    }
    let world = world();
    deliver(&world, "alice", "plan");
    world.start();
    python(&world, include_str!("clients/with_imaplib_shared.py"), &[&world.port("imap")]);
    let folder = world.path("mail/example.test/alice/Maildir/.work.plans");
    let list = std::fs::read_to_string(folder.join("em-acl")).unwrap();
    assert_eq!(list, "em-acl 1\nbob@example.test lrswite\n");
    // What bob did is there for other programs, too, and in alice's tree.
    let names = |dir: &Path| std::fs::read_dir(dir).map_or(0, |entries| entries.count());
    assert_eq!(names(&folder.join("cur")), 1);
    assert!(!world.path("mail/example.test/nobody").exists());
    assert!(world.log().contains("event=acl-changed"));
}

#[test]
fn an_administrator_makes_shared_mailboxes() {
    let world = world();
    world.ok("emconf", &["set", "server.domains", "example.test", "other.test"]);
    world.add("eve@other.test", &[]);
    world.ok("emuser", &["share", "create", "shared", "sales/2026"]);
    world.ok("emuser", &["share", "create", "public", "news"]);
    assert_eq!(world.run("emuser", &["share", "create", "public", "news"]).status.code(), Some(73));
    world.ok("emuser", &["acl", "set", "shared", "sales/2026", "bob", "lrswik"]);
    world.ok("emuser", &["acl", "set", "shared", "sales/2026", "bob", "-w"]);
    world.ok("emuser", &["acl", "set", "public:example.test", "news", "alice", "+lrswipkxtea"]);
    world.ok("emuser", &["acl", "set", "public", "news", "-anyone", "p"]);
    let shown = world.ok("emuser", &["acl", "show", "shared", "sales/2026"]);
    assert_eq!(shown, "bob@example.test lrsikc\n");
    let shown = world.ok("emuser", &["acl", "show", "public", "news"]);
    assert_eq!(shown, "alice@example.test lrswipkxtecda\nanyone lr\n-anyone p\n");
    let list = world.ok("emuser", &["share", "list"]);
    assert_eq!(list, "shared:example.test sales\nshared:example.test sales/2026\npublic:example.test news\n");
    let json = world.ok("emuser", &["share", "list", "public", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["folder"], &json["rights"]["anyone"]), (&"news".into(), &"lr".into()));

    let said = imap(
        &world,
        "bob@example.test",
        &[
            "LIST \"\" \"*\"",
            "APPEND #shared/sales/2026 {1+}\r\nx",
            "CREATE #shared/sales/2026/june",
            "APPEND ~public/news {1+}\r\nx",
        ],
    );
    for name in ["#shared/sales/2026", "~public/news"] {
        assert!(said.contains(&format!("\"{name}\"")), "{said}");
    }
    let got = answers(&said);
    assert!(
        got[1].starts_with("OK [APPENDUID") && got[2].starts_with("OK") && got[3].starts_with("NO [NOPERM]"),
        "{said}"
    );
    let said = imap(
        &world,
        "alice@example.test",
        &["LIST \"\" \"*\"", "APPEND ~public/news {1+}\r\nx", "SELECT #shared/sales/2026"],
    );
    assert!(!said.contains("sales/2026\""), "{said}");
    let got = answers(&said);
    assert!(got[1].starts_with("OK [APPENDUID") && got[2] == "NO [NONEXISTENT] no such mailbox", "{said}");
    let said = imap(&world, "eve@other.test", &["LIST \"\" \"*\"", "SELECT ~public/news", "SELECT #shared/sales/2026"]);
    assert_eq!(said.matches("* LIST").count(), 1, "{said}");
    assert!(answers(&said)[1..].iter().all(|answer| *answer == "NO [NONEXISTENT] no such mailbox"), "{said}");

    assert_eq!(world.run("emuser", &["share", "delete", "public", "news"]).status.code(), Some(65));
    world.ok("emuser", &["share", "delete", "public", "news", "--force"]);
    assert_eq!(world.ok("emuser", &["share", "list", "public"]), "");
    assert!(world.path("mail/example.test/.public/Maildir/cur").is_dir());
}

#[test]
fn what_is_expunged_from_a_shared_mailbox_is_in_its_trash() {
    let world = world();
    world.set("imap.trash", "1d");
    world.ok("emuser", &["share", "create", "shared", "sales"]);
    world.ok("emuser", &["acl", "set", "shared", "sales", "bob", "lrswite"]);
    let said = imap(
        &world,
        "bob",
        &[
            "APPEND #shared/sales {14+}\r\nSubject: x\r\n\r\n",
            "SELECT #shared/sales",
            "STORE 1 +FLAGS (\\Deleted)",
            "CLOSE",
        ],
    );
    assert!(answers(&said).iter().all(|answer| answer.starts_with("OK")), "{said}");
    assert!(world.ok("emuser", &["undelete", "shared", "--dry-run"]).starts_with("sales - "));
    world.ok("emuser", &["undelete", "shared:example.test"]);
    assert!(world.ok("emuser", &["check-mail", "shared"]).contains("sales: 1 messages"));
    world.set("imap.trash", "0");
    let said = imap(&world, "bob", &["SELECT #shared/sales", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"]);
    assert!(answers(&said).iter().all(|answer| answer.starts_with("OK")), "{said}");
    world.ok("emuser", &["purge", "--all"]);
}

#[test]
fn wrong_rights_are_named() {
    let world = world();
    for (arguments, code) in [
        (&["acl", "set", "alice", "INBOX", "nobody", "lr"][..], 67),
        (&["acl", "set", "nobody", "INBOX", "bob", "lr"], 67),
        (&["acl", "set", "alice", "INBOX", "bob", "lrq"], 64),
        (&["acl", "set", "alice", "INBOX", "alice", "lr"], 64),
        (&["acl", "set", "alice", "INBOX", "b@o@b", "lr"], 64),
        (&["acl", "set", "alice", "Nowhere", "bob", "lr"], 65),
        (&["acl", "show", "shared", "sales"], 65),
        (&["acl", "show", "shared:elsewhere.test", "sales"], 78),
        (&["share", "create", "alice", "sales"], 64),
        (&["share", "create", "shared", "INBOX"], 64),
        (&["share", "create", "shared", "a//b"], 64),
    ] {
        let out = world.run("emuser", arguments);
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
        assert!(!out.stderr.is_empty());
    }
    world.ok("emuser", &["acl", "delete", "alice", "INBOX", "nobody"]);
}

/// A list that comes with a backup, or was written by hand, is found again.
#[test]
fn a_check_finds_what_is_shared() {
    let world = world();
    deliver(&world, "alice", "one");
    let list = world.path("mail/example.test/alice/Maildir/em-acl");
    std::fs::write(&list, "em-acl 1\nbob@example.test lr\n").unwrap();
    let listed = || imap(&world, "bob", &["LIST \"\" \"*\""]).contains("~alice/INBOX");
    assert!(imap(&world, "bob", &["EXAMINE ~alice/INBOX"]).contains("c OK [READ-ONLY]"));
    assert!(!listed());
    assert_eq!(world.run("emuser", &["check-mail", "alice"]).status.code(), Some(1));
    assert!(listed());
    assert_eq!(world.run("emuser", &["check-mail", "alice"]).status.code(), Some(0));
    std::fs::remove_file(&list).unwrap();
    assert_eq!(world.run("emuser", &["check-mail", "alice"]).status.code(), Some(1));
    let marks = std::fs::read_dir(world.path("mail/example.test/.shares/bob")).unwrap();
    assert_eq!(marks.count(), 0);
}
