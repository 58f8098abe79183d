//! What an account wants of its mail: sent on, answered, old mail gone.

use super::wire::Sink;
use super::world::{World, wait_until};

fn send(world: &World, to: &str, subject: &str) -> std::process::Output {
    let text = format!("Subject: {subject}\n\nbody\n");
    world.run_with("emsend", &["-f", "stranger@else.test", to], text.as_bytes())
}

#[test]
fn mail_is_sent_on_with_or_without_a_copy() {
    let world = World::new();
    let remote = Sink::start(|_| None);
    world.set("srs.domain", "srs.example.test");
    std::fs::write(world.path("etc/routes"), remote.route("remote.test")).unwrap();
    world.ok("emuser", &["modify", "alice", "--forward", "x@remote.test, bob@example.test", "--aliases", "al"]);
    world.start();
    let shown = world.ok("emsend", &["-bv", "al+detail@example.test"]);
    assert!(shown.contains("alias of account alice@example.test"), "{shown}");
    assert!(shown.contains("forwards to bob@example.test, x@remote.test\n"), "{shown}");
    assert!(send(&world, "alice@example.test", "one").status.success());
    world.await_mail("bob", 1);
    wait_until("the forwarded text", || remote.texts().len() == 1);
    assert!(remote.commands().iter().any(|c| c.starts_with("MAIL FROM:<SRS0=")), "{:?}", remote.commands());
    assert_eq!(world.mailbox("alice").len(), 0);
    world.ok("emuser", &["modify", "alice", "--keep-copy", "yes"]);
    assert!(send(&world, "al@example.test", "two").status.success());
    world.await_mail("alice", 1);
    world.await_mail("bob", 2);
    wait_until("the second text", || remote.texts().len() == 2);
    world.ok("emuser", &["modify", "alice", "--forward", "", "--keep-copy", "no"]);
    assert!(send(&world, "alice@example.test", "three").status.success());
    world.await_mail("alice", 2);
    assert_eq!(world.mailbox("bob").len(), 2);
}

#[test]
fn circles_end_and_people_who_stand_in_for_each_other_get_one_copy_each() {
    let world = World::new();
    world.ok("emuser", &["modify", "alice", "--forward", "bob@example.test", "--keep-copy", "yes"]);
    world.ok("emuser", &["modify", "bob", "--forward", "alice@example.test", "--keep-copy", "yes"]);
    let shown = world.ok("emsend", &["-bv", "alice@example.test"]);
    let deliveries: Vec<&str> = shown.lines().filter(|line| line.contains("deliverable: mailer mailbox")).collect();
    assert_eq!(deliveries.len(), 2, "{shown}");
    world.ok("emuser", &["modify", "alice", "--keep-copy", "no"]);
    world.ok("emuser", &["modify", "bob", "--keep-copy", "no"]);
    let out = world.run("emsend", &["-bv", "alice@example.test"]);
    assert!(
        String::from_utf8_lossy(&out.stdout).contains("550 5.4.6 <alice@example.test>: Forwarding loop"),
        "{out:?}"
    );
    // A circle with one copy in it is none that loses mail.
    world.ok("emuser", &["modify", "bob", "--keep-copy", "yes"]);
    let shown = world.ok("emsend", &["-bv", "alice@example.test"]);
    assert!(shown.ends_with("\nalice@example.test... deliverable: mailer mailbox, user bob@example.test\n"), "{shown}");
    // One that is wrong does not keep the copy, or the others.
    world.ok("emuser", &["modify", "alice", "--forward", "nobody@example.test", "--keep-copy", "yes"]);
    assert!(send(&world, "alice@example.test", "kept").status.success());
    world.start();
    world.await_mail("alice", 1);
    for (forward, code) in [("|/bin/true", 64), ("/tmp/x", 64), (":include:/etc/passwd", 64), ("a@b@c", 64)] {
        let out = world.run("emuser", &["modify", "alice", "--forward", forward]);
        assert_eq!(out.status.code(), Some(code), "{forward}");
    }
}

#[test]
fn a_vacation_is_set_shown_and_ended() {
    let world = World::new();
    let text = "Grüße,\r\nich bin weg.\r\n".as_bytes();
    let out = world.run_with(
        "emuser",
        &["vacation", "alice", "--text-file", "-", "--subject", "Weg", "--from", "2026-12-01", "--until", "2026-12-24"],
        text,
    );
    assert!(out.status.success(), "{out:?}");
    let shown = world.ok("emuser", &["vacation", "alice", "--show"]);
    assert_eq!(shown, "Subject: Weg\nFrom: 2026-12-01\nUntil: 2026-12-24\n\nGrüße,\nich bin weg.\n");
    let line = std::fs::read_to_string(world.path("etc/users")).unwrap();
    assert!(
        line.contains(" vacation=Gr%c3%bc%c3%9fe,%0aich%20bin%20weg.") && line.contains(" vacation_until=2026-12-24")
    );
    world.ok("emuser", &["vacation", "alice", "--until", "", "--days", "3"]);
    let json: serde_json::Value =
        serde_json::from_str(&world.ok("emuser", &["vacation", "alice", "--show", "--json"])).unwrap();
    assert_eq!((&json["vacation_until"], &json["vacation_days"]), (&serde_json::Value::Null, &"3".into()));
    for (arguments, code) in [
        (vec!["--until", "2026-11-01"], 64),
        (vec!["--until", "24.12.2026"], 64),
        (vec!["--off", "--show"], 64),
        (vec![], 64),
        (vec!["--text-file", "/nowhere"], 66),
        (vec!["--text-file", "-"], 65),
    ] {
        let out = world.run("emuser", &[&["vacation", "alice"], &arguments[..]].concat());
        assert_eq!(out.status.code(), Some(code), "{arguments:?}: {out:?}");
    }
    world.ok("emuser", &["vacation", "alice", "--off"]);
    assert_eq!(world.ok("emuser", &["vacation", "alice", "--show"]), "off\n");
    assert_eq!(world.run("emuser", &["vacation", "alice", "--subject", "x"]).status.code(), Some(64));
}

/// One IMAP session on standard input; every command must succeed.
fn imap(world: &World, commands: &[&str]) -> String {
    let mut script = String::from("l LOGIN alice@example.test demo\r\n");
    commands.iter().for_each(|command| script.push_str(&format!("c {command}\r\n")));
    script.push_str("z LOGOUT\r\n");
    let out = world.run_with("emimap", &[], script.as_bytes());
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(said.matches("\r\nc OK").count(), commands.len(), "{said}");
    said
}

#[test]
fn old_mail_expires_by_mailbox_and_comes_back_from_the_trash() {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world.set("imap.trash", "7d");
    world.ok("emuser", &["modify", "alice", "--expire", "30,Archive:0,Junk:1"]);
    let append = |folder: &str, date: &str, subject: &str| {
        let text = format!("Subject: {subject}\r\n\r\nx\r\n");
        format!("APPEND {folder} \"{date}\" {{{}+}}\r\n{text}", text.len())
    };
    let (old, new) = ("01-Jan-2020 00:00:00 +0000", "01-Jan-2199 00:00:00 +0000");
    let appends =
        [("INBOX", old), ("INBOX", new), ("Archive", old), ("Junk", old), ("Junk", old)].map(|(f, d)| append(f, d, f));
    let mut commands = vec!["CREATE Archive", "CREATE Junk"];
    commands.extend(appends.iter().map(String::as_str));
    imap(&world, &commands);
    let plan = world.ok("emuser", &["expire", "--all", "--dry-run"]);
    assert_eq!(plan, "alice@example.test INBOX 1 messages\nalice@example.test Junk 2 messages\n");
    assert_eq!(world.ok("emuser", &["expire", "alice", "--dry-run", "--json"]).lines().count(), 2);
    assert_eq!(world.ok("emuser", &["expire", "--all"]), plan);
    assert_eq!(world.ok("emuser", &["expire", "--all"]), "");
    let said = imap(&world, &["STATUS INBOX (MESSAGES)", "STATUS Archive (MESSAGES)", "STATUS Junk (MESSAGES)"]);
    assert!(said.contains("\"INBOX\" (MESSAGES 1)") && said.contains("\"Archive\" (MESSAGES 1)"), "{said}");
    assert!(said.contains("\"Junk\" (MESSAGES 0)"), "{said}");
    let kept = world.ok("emuser", &["trash", "--all"]);
    assert!(kept.starts_with("alice@example.test 3 messages, ") && kept.contains(" octets, since "), "{kept}");
    let json: serde_json::Value = serde_json::from_str(&world.ok("emuser", &["trash", "alice", "--json"])).unwrap();
    assert_eq!(json["messages"], 3);
    world.ok("emuser", &["undelete", "alice", "--folder", "Junk"]);
    assert!(imap(&world, &["STATUS Junk (MESSAGES)"]).contains("\"Junk\" (MESSAGES 2)"));
    assert_eq!(world.ok("emuser", &["purge", "--all", "--dry-run"]), "", "not old enough in the trash");
    assert_eq!(world.run("emuser", &["expire"]).status.code(), Some(64));
    assert_eq!(world.run("emuser", &["expire", "nobody"]).status.code(), Some(67));
}

#[test]
fn a_renamed_account_keeps_its_mail_and_its_old_address() {
    let world = World::new();
    world.ok("emuser", &["modify", "bob", "--forward", "alice@example.test", "--keep-copy", "yes"]);
    world.ok("emuser", &["modify", "alice", "--aliases", "al"]);
    assert!(send(&world, "alice@example.test", "before").status.success());
    // It waits in the queue under the old name.
    world.ok("emuser", &["rename", "alice", "al"]);
    world.start();
    world.await_mail("al", 1);
    assert_eq!(world.mailbox("alice").len(), 0);
    assert!(send(&world, "alice@example.test", "after").status.success());
    world.await_mail("al", 2);
    assert!(!world.path("mail/example.test/alice").exists());
    let shown = world.ok("emuser", &["show", "alice"]);
    assert!(
        shown.contains("address   al@example.test\n") && shown.contains("aliases   alice@example.test\n"),
        "{shown}"
    );
    for (old, new, code) in
        [("bob", "al", 73), ("bob", "alice", 73), ("nobody", "x", 67), ("alice", "x", 67), ("bob", "x@else.test", 78)]
    {
        let out = world.run("emuser", &["rename", old, new]);
        assert_eq!(out.status.code(), Some(code), "{old} {new}: {out:?}");
    }
    std::fs::create_dir_all(world.path("mail/example.test/former")).unwrap();
    assert_eq!(world.run("emuser", &["rename", "bob", "former"]).status.code(), Some(73));
}

#[test]
fn a_rename_that_was_cut_short_is_finished_by_the_next() {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], b"Subject: one\n\nx\n").status.success());
    let users = || std::fs::read_to_string(world.path("etc/users")).unwrap();
    // N1: marked, and nothing moved. Mail and logins wait.
    std::fs::write(
        world.path("etc/users"),
        users().replace(
            "alice@example.test ",
            "alicia@example.test aliases=alice@example.test moving=alice@example.test ",
        ),
    )
    .unwrap();
    world.ok("emuser", &["modify", "bob", "--name", "Bob"]);
    for name in ["alice", "alicia"] {
        let out = world.run("emsend", &["-bv", &format!("{name}@example.test")]);
        assert!(String::from_utf8_lossy(&out.stdout).contains("450 4.2.1"), "{out:?}");
    }
    let out = world.run_with("emimap", &[], b"a LOGIN alice@example.test demo\r\nb LOGOUT\r\n");
    assert!(String::from_utf8_lossy(&out.stdout).contains("being moved"), "{out:?}");
    assert_eq!(world.run("emuser", &["rename", "nobody", "x"]).status.code(), Some(67));
    assert_eq!(world.mailbox("alicia").len(), 1);
    // N2: moved, and still marked; and a delivery that was late made the old home again.
    std::fs::write(
        world.path("etc/users"),
        users().replace("alicia@example.test ", "alicia@example.test moving=alice@example.test "),
    )
    .unwrap();
    std::fs::create_dir_all(world.path("mail/example.test/alice/Maildir/new")).unwrap();
    std::fs::write(world.path("mail/example.test/alice/Maildir/new/late"), "Subject: late\n\nx\n").unwrap();
    world.ok("emuser", &["rename", "alice", "alicia"]);
    assert_eq!(world.mailbox("alicia").len(), 2);
    assert!(!users().contains("moving="));
}

#[test]
fn all_accounts_of_a_domain_move() {
    let world = World::new();
    world.set("server.domains", "example.test");
    world.ok("emconf", &["set", "server.domains", "example.test", "new.test"]);
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], b"Subject: one\n\nx\n").status.success());
    assert_eq!(world.run("emuser", &["rename-domain", "nowhere.test", "new.test"]).status.code(), Some(67));
    assert_eq!(world.run("emuser", &["rename-domain", "example.test", "nowhere.test"]).status.code(), Some(78));
    world.ok("emuser", &["rename-domain", "example.test", "new.test"]);
    assert_eq!(world.ok("emuser", &["list"]), "alice@new.test\nbob@new.test\n");
    assert_eq!(world.mailbox_of("new.test", "alice").len(), 1);
    assert!(world.ok("emsend", &["-bv", "alice@example.test"]).contains("user alice@new.test"));
}
