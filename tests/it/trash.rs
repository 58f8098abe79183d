//! Mail that was deleted, and mailboxes that were damaged, from the administrator's seat.

use super::world::World;
use std::path::PathBuf;

fn deliver(world: &World, subject: &str) {
    let text = format!("Message-ID: <{subject}@example.test>\nSubject: {subject}\n\nbody of {subject}\n");
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
}

/// One IMAP session on standard input; every command must succeed.
fn imap(world: &World, commands: &[&str]) -> String {
    let mut script = String::from("l LOGIN alice@example.test demo\r\n");
    commands.iter().for_each(|command| script.push_str(&format!("c {command}\r\n")));
    script.push_str("z LOGOUT\r\n");
    let out = world.run_with("emimap", &[], script.as_bytes());
    let said = String::from_utf8(out.stdout).unwrap();
    assert_eq!(said.matches("\r\nc OK").count(), commands.len(), "{said}");
    assert!(said.contains("\r\nl OK") && said.contains("\r\nz OK"), "{said}");
    said
}

/// A site that keeps a trash, and alice with three messages in INBOX and a folder.
fn world() -> World {
    let world = World::new();
    world.set("auth.plaintext_without_tls", "always");
    world.set("imap.trash", "7d");
    ["one", "two", "three"].iter().for_each(|subject| deliver(&world, subject));
    world
}

fn home(world: &World) -> PathBuf {
    world.path("mail/example.test/alice")
}

/// Files in INBOX, with their texts.
fn files(world: &World, sub: &str) -> Vec<PathBuf> {
    let dir = home(world).join("Maildir").join(sub);
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn expunged_mail_comes_back_with_flags_and_dates() {
    let world = world();
    let date = "INTERNALDATE \"";
    let before = imap(
        &world,
        &[
            "SELECT INBOX",
            "STORE 2 +FLAGS (\\Flagged $Junk)",
            "FETCH 2 (INTERNALDATE)",
            "STORE 1:2 +FLAGS (\\Deleted)",
            "EXPUNGE",
        ],
    );
    assert_eq!(world.mailbox("alice").len(), 1);
    let out = world.run("emuser", &["undelete", "alice", "--message", "nothing@example.test"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    let told = world.ok("emuser", &["undelete", "alice", "--message", "two@example.test", "--dry-run"]);
    assert!(told.starts_with("INBOX - ") && told.ends_with(" (\\Flagged $Junk) <two@example.test> two\n"), "{told}");
    assert_eq!(world.mailbox("alice").len(), 1, "nothing was moved");
    let told = world.ok("emuser", &["undelete", "alice@example.test", "--message", "<two@example.test>", "--json"]);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["folder"], &told["uid"], &told["old_uid"]), (&"INBOX".into(), &4.into(), &2.into()), "{told}");
    assert_eq!(world.mailbox("alice").len(), 2);
    let after = imap(&world, &["SELECT INBOX", "UID FETCH 4 (FLAGS INTERNALDATE BODY.PEEK[])"]);
    assert!(after.contains("\\Flagged") && after.contains("$Junk") && !after.contains("FLAGS (\\Deleted"), "{after}");
    assert!(after.contains("body of two\r\n"), "{after}");
    let date_of = |said: &str| said.split(date).nth(1).map(|rest| rest[..26].to_string());
    assert_eq!(date_of(&before), date_of(&after));
    // Once only.
    let out = world.run("emuser", &["undelete", "alice", "--message", "two@example.test"]);
    assert_eq!(out.status.code(), Some(1), "{out:?}");
    assert_eq!(world.ok("emuser", &["undelete", "alice", "--since", "1h"]).lines().count(), 1);
    assert!(world.log().contains("undeleted user=alice@example.test folder=INBOX"), "{}", world.log());
}

#[test]
fn a_deleted_folder_comes_back_with_its_mail() {
    let world = world();
    imap(&world, &["CREATE \"Archive/2026\"", "SELECT INBOX", "MOVE 1:2 Archive/2026", "DELETE Archive/2026"]);
    assert!(!home(&world).join("Maildir/.Archive.2026").exists());
    let wrong = world.run("emuser", &["undelete", "alice", "--folder", "INBOX"]);
    assert_eq!(wrong.status.code(), Some(1), "{wrong:?}");
    let told = world.ok("emuser", &["undelete", "alice", "--folder", "Archive/2026"]);
    let lines: Vec<&str> = told.lines().collect();
    assert!(lines.len() == 2 && lines.iter().all(|line| line.starts_with("Archive/2026 ")), "{told}");
    let said = imap(&world, &["STATUS Archive/2026 (MESSAGES)", "STATUS INBOX (MESSAGES)"]);
    assert!(said.contains("\"Archive/2026\" (MESSAGES 2)") && said.contains("\"INBOX\" (MESSAGES 1)"), "{said}");
}

#[test]
fn the_trash_is_purged_by_age() {
    let world = world();
    imap(&world, &["SELECT INBOX", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"]);
    assert_eq!(world.ok("emuser", &["purge", "--all"]), "", "too young");
    // As if it had been expunged long ago.
    let trash = home(&world).join("trash");
    let today = std::fs::read_dir(&trash).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(&today, trash.join("20200101")).unwrap();
    assert_eq!(world.ok("emuser", &["purge", "bob@example.test"]), "");
    assert_eq!(world.ok("emuser", &["purge", "alice@example.test"]), "1 messages removed for good\n");
    assert_eq!(std::fs::read_dir(&trash).unwrap().count(), 0);
    for arguments in [vec!["purge"], vec!["purge", "alice", "--all"], vec!["undelete", "alice", "--since", "soon"]] {
        assert_eq!(world.run("emuser", &arguments).status.code(), Some(64), "{arguments:?}");
    }
    assert_eq!(world.run("emuser", &["purge", "nobody@example.test"]).status.code(), Some(67));
    let settings = std::fs::read_to_string(world.path("etc/em.toml")).unwrap();
    assert!(settings.contains("\npurge = \"at 03:37: emuser purge --all\"\n"), "a new root has the job");
}

#[test]
fn a_sound_mailbox_is_said_to_be_so() {
    let world = world();
    imap(&world, &["CREATE Sent", "SELECT INBOX", "COPY 1 Sent", "STORE 2 +FLAGS (\\Seen)"]);
    let told = world.ok("emuser", &["check-mail", "alice"]);
    assert!(told.starts_with("INBOX: 3 messages, ") && told.contains("\nSent: 1 messages, "), "{told}");
    assert_eq!(told.lines().count(), 2, "{told}");
    let json = world.ok("emuser", &["check-mail", "alice", "--read", "--json"]);
    for line in json.lines() {
        let found: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!((&found["wrong_sizes"], &found["wrong_names"]), (&"".into(), &"".into()), "{found}");
    }
    assert_eq!(json.lines().count(), 2);
    assert_eq!(world.run("emuser", &["check-mail", "nobody@example.test"]).status.code(), Some(67));
}

#[test]
fn a_rebuild_keeps_identifiers_and_flags() {
    let world = world();
    let ask = &["SELECT INBOX", "FETCH 1:* (UID FLAGS ENVELOPE)"];
    imap(&world, &["SELECT INBOX", "STORE 2 +FLAGS (\\Seen $Work)", "STORE 1 +FLAGS (\\Deleted)", "EXPUNGE"]);
    let before = imap(&world, ask);
    std::fs::write(home(&world).join("Maildir/em-index"), "EMINDEX\nnot at all").unwrap();
    std::fs::write(home(&world).join("Maildir/em-cache"), "nothing of use").unwrap();
    world.ok("emuser", &["check-mail", "alice", "--rebuild"]);
    assert!(!home(&world).join("Maildir/em-index.aside").exists());
    assert_eq!(imap(&world, ask), before);
    assert!(world.ok("emuser", &["check-mail", "alice"]).starts_with("INBOX: 2 messages"));
}

#[test]
fn what_is_wrong_is_mended_or_named() {
    let world = world();
    imap(&world, &["SELECT INBOX", "FETCH 1:* (RFC822.SIZE ENVELOPE)"]);
    // Somebody edits a message in place: name and log tell lies about it.
    let edited = files(&world, "cur")[0].clone();
    let text = std::fs::read_to_string(&edited).unwrap().replace("Subject: one", "Subject: another one");
    std::fs::write(&edited, &text).unwrap();
    let out = world.run("emuser", &["check-mail", "alice"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert_eq!(out.status.code(), Some(65), "{out:?}");
    assert!(told.contains("mended: the log had other sizes than the files: UID 1\n"), "{told}");
    assert!(told.contains("wrong: names say other sizes than the files have: UID 1\n"), "{told}");
    let said = imap(&world, &["SELECT INBOX", "FETCH 1 (RFC822.SIZE ENVELOPE)"]);
    let size = text.len() + text.matches('\n').count();
    assert!(said.contains(&format!("RFC822.SIZE {size}")) && said.contains("\"another one\""), "{said}");
    // The log loses its head.
    let log = home(&world).join("Maildir/em-uids");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[3] ^= 1;
    std::fs::write(&log, bytes).unwrap();
    // A draft of a program that died long ago, and one of today.
    let tmp = home(&world).join("Maildir/tmp");
    let old = std::fs::File::create(tmp.join("old")).unwrap();
    old.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3 * 86400)).unwrap();
    std::fs::write(tmp.join("young"), "x").unwrap();
    let out = world.run("emuser", &["check-mail", "alice"]);
    let told = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(told.contains("mended: the log was damaged") && told.contains("mended: 1 old drafts"), "{told}");
    assert!(tmp.join("young").exists() && !tmp.join("old").exists());
    assert!(home(&world).join("Maildir/em-uids.damaged").exists());
    // A name that is none, and a log of a newer program.
    std::fs::create_dir_all(home(&world).join("Maildir/.a..b/cur")).unwrap();
    std::fs::write(&log, "em-uids 9 from the future\n= 00000000\n").unwrap();
    let out = world.run("emuser", &["check-mail", "alice"]);
    let told = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(78), "{out:?}");
    assert!(told.contains("newer version") && told.contains(".a..b"), "{told}");
    assert!(std::fs::read_to_string(&log).unwrap().starts_with("em-uids 9"), "left alone");
}
