//! Other programs in the Maildir of an open session: what they do shows at NOOP, and during IDLE without asking.

use super::imap_wire::Imap;
use super::wire::Client;
use super::world::{World, wait_until};
use std::path::PathBuf;

fn deliver(world: &World, subject: &str) {
    let text = format!("Subject: {subject}\n\n{subject}\n");
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
}

/// The file of a message, wherever it lies now.
fn file(world: &World, subject: &str) -> PathBuf {
    let dirs = ["new", "cur"].map(|sub| world.path("mail/example.test/alice/Maildir").join(sub));
    let files = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap()).map(|e| e.unwrap().path());
    let mut found = files
        .filter(|path| std::fs::read_to_string(path).unwrap_or_default().contains(&format!("Subject: {subject}\n")));
    found.next().unwrap()
}

/// Renames a message's file as a mail reader does.
fn show_flags(world: &World, subject: &str, flags: &str) {
    let path = file(world, subject);
    let name = path.file_name().unwrap().to_str().unwrap().split(":2,").next().unwrap().to_string();
    let cur = world.path("mail/example.test/alice/Maildir/cur");
    std::fs::rename(&path, cur.join(format!("{name}:2,{flags}"))).unwrap();
}

/// Three letters, and a session that has selected them; its EXISTS and so on come one after the other.
fn selected(world: &World) -> Imap {
    world.start();
    for subject in ["one", "two", "three"] {
        deliver(world, subject);
    }
    let mut imap = Imap::log_in(world, "alice");
    imap.ok("SELECT INBOX");
    imap
}

type Deed = fn(&World);

/// What other programs do, and what is told then.
const DEEDS: [(Deed, &str); 6] = [
    (|world| deliver(world, "four"), "4 EXISTS"),
    (
        |world| {
            let text = b"Subject: five\n\nfive\n";
            assert!(world.run_with("emsend", &["-i", "alice@example.test"], text).status.success());
        },
        "5 EXISTS",
    ),
    (|world| show_flags(world, "two", "FS"), "2 FETCH (UID 2 FLAGS (\\Flagged \\Seen \\Recent))"),
    (|world| show_flags(world, "two", "R"), "2 FETCH (UID 2 FLAGS (\\Answered \\Recent))"),
    (|world| std::fs::remove_file(file(world, "one")).unwrap(), "1 EXPUNGE"),
    (
        |world| {
            let mut pop = Client::connect(world.address("pop3"));
            pop.line();
            for command in ["USER alice@example.test", "PASS demo", "DELE 2", "QUIT"] {
                pop.send(&format!("{command}\r\n"));
                assert!(pop.line().starts_with("+OK"), "{command}");
            }
        },
        "2 EXPUNGE",
    ),
];

#[test]
fn noop_tells_what_other_programs_did() {
    let world = World::new();
    let mut imap = selected(&world);
    for (deed, told) in DEEDS {
        deed(&world);
        let mut heard = Vec::new();
        wait_until(told, || {
            heard.extend(imap.lines("NOOP"));
            heard.iter().any(|line| line == told)
        });
    }
    let left = imap.lines("FETCH 1:* (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)])");
    let subjects: Vec<&str> =
        left.iter().map(|l| l.split("Subject: ").nth(1).unwrap().trim_end_matches(['\r', '\n', ')'])).collect();
    assert_eq!(subjects, ["two", "four", "five"]);
}

#[test]
fn idle_tells_what_other_programs_do() {
    let world = World::new();
    let mut imap = selected(&world);
    let tag = imap.begin(b"IDLE");
    assert!(imap.response().starts_with(b"+ "));
    for (deed, told) in DEEDS {
        deed(&world);
        // The connection's own deadline bounds this.
        while imap.response() != format!("* {told}").as_bytes() {}
    }
    imap.send(b"DONE\r\n");
    assert!(imap.end(&tag).tagged.starts_with("OK"));
}

#[test]
fn a_session_reads_a_message_that_was_renamed_behind_its_back() {
    let world = World::new();
    let mut imap = selected(&world);
    for (flags, count) in [("S", 1), ("FS", 2), ("", 3)] {
        show_flags(&world, "three", flags);
        let text = imap.lines("FETCH 3 BODY.PEEK[TEXT]");
        assert!(text.iter().any(|line| line.contains("{7}\r\nthree\r\n")), "{count}: {text:?}");
    }
    std::fs::remove_file(file(&world, "three")).unwrap();
    let reply = imap.ask("FETCH 1:3 BODY.PEEK[TEXT]");
    assert!(reply.tagged.starts_with("NO [EXPUNGEISSUED]"), "{}", reply.tagged);
    assert_eq!(reply.untagged.iter().filter(|line| line.windows(4).any(|w| w == b"BODY")).count(), 2);
    assert_eq!(imap.lines("NOOP"), ["3 EXPUNGE"]);
}

#[test]
fn a_lost_index_is_made_again_under_a_session() {
    let world = World::new();
    let mut imap = selected(&world);
    imap.ok("STORE 1:2 +FLAGS ($Work \\Flagged)");
    let before = imap.lines("UID FETCH 1:* (FLAGS ENVELOPE RFC822.SIZE)");
    for name in ["em-index", "em-cache"] {
        let _ = std::fs::remove_file(world.path("mail/example.test/alice/Maildir").join(name));
    }
    assert_eq!(imap.lines("UID FETCH 1:* (FLAGS ENVELOPE RFC822.SIZE)"), before);
    let mut other = Imap::log_in(&world, "alice");
    let told = other.lines("SELECT INBOX");
    assert!(told.contains(&"OK [UIDNEXT 4] next identifier".to_string()), "{told:?}");
    deliver(&world, "four");
    wait_until("the fourth", || imap.lines("NOOP").contains(&"4 EXISTS".to_string()));
}
