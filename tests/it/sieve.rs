//! Users' mail filters: a message comes in by SMTP, and lies where the script says.

use super::wire::{Client, Sink};
use super::world::{World, wait_until};
use std::os::unix::fs::{PermissionsExt, symlink};

/// Puts a script into force.
fn script(world: &World, user: &str, text: &str) {
    let dir = world.path(&format!("mail/example.test/{user}/sieve"));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("main.sieve");
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let _ = std::fs::remove_file(dir.join("active"));
    symlink("main.sieve", dir.join("active")).unwrap();
}

/// Sends a message; the reply to its end.
fn send(world: &World, from: &str, to: &[&str], message: &str) -> String {
    let mut client = Client::connect(world.address("smtp"));
    client.reply();
    client.ask("EHLO client.test");
    client.ask(&format!("MAIL FROM:<{from}>"));
    for to in to {
        let reply = client.ask(&format!("RCPT TO:<{to}>"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    client.ask("DATA");
    client.ask(&format!("{}\r\n.", message.replace('\n', "\r\n")))
}

/// Texts of a folder.
fn folder(world: &World, user: &str, name: &str) -> Vec<String> {
    read(world, &format!("mail/example.test/{user}/Maildir/.{name}"))
}

fn read(world: &World, dir: &str) -> Vec<String> {
    let mut texts = Vec::new();
    for sub in ["new", "cur"] {
        for entry in std::fs::read_dir(world.path(dir).join(sub)).into_iter().flatten().flatten() {
            texts.push(std::fs::read_to_string(entry.path()).unwrap());
        }
    }
    texts
}

fn names(world: &World, dir: &str) -> Vec<String> {
    let entries = std::fs::read_dir(world.path(dir)).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_script_files_flags_and_drops_before_the_message_is_acknowledged() {
    let world = World::new();
    script(
        &world,
        "bob",
        "require [\"fileinto\", \"mailbox\", \"imap4flags\", \"variables\", \"subaddress\", \"envelope\"];\n\
         if header :matches \"Subject\" \"[*] *\" { fileinto :create \"Lists/${1}\"; }\n\
         elsif header :contains \"Subject\" \"urgent\" { keep :flags [\"\\\\Flagged\", \"$todo\"]; }\n\
         elsif envelope :detail \"to\" \"junk\" { discard; }\n\
         elsif header :contains \"Subject\" \"nowhere\" { fileinto \"None\"; }\n",
    );
    world.start();
    for subject in ["[rust] news", "urgent", "nowhere", "plain"] {
        let reply = send(&world, "a@other.test", &["bob@example.test"], &format!("Subject: {subject}\n\nx"));
        assert!(reply.starts_with("250"), "{reply}");
    }
    assert!(send(&world, "a@other.test", &["bob+junk@example.test"], "Subject: gone\n\nx").starts_with("250"));
    // Nothing waits in a queue: it was done when the 250 came.
    assert_eq!(world.queued(), Vec::<String>::new());
    let listed = folder(&world, "bob", "Lists.rust");
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert!(listed[0].contains("Subject: [rust] news"));
    let inbox = world.mailbox("bob");
    assert_eq!(inbox.len(), 3, "{inbox:?}");
    assert!(!inbox.iter().any(|text| text.contains("gone")));
    let flagged = names(&world, "mail/example.test/bob/Maildir/cur");
    assert!(flagged.iter().any(|name| name.contains(":2,F")), "{flagged:?}");
    assert!(world.log().contains("mailbox-missing"), "{}", world.log());
}

#[test]
fn one_message_to_many_obeys_the_script_of_each() {
    let world = World::new();
    world.add("carol@example.test", &[]);
    script(&world, "bob", "require [\"fileinto\", \"mailbox\"]; fileinto :create \"A\"; keep;");
    script(&world, "carol", "discard;");
    world.start();
    let all = ["alice@example.test", "bob@example.test", "carol@example.test"];
    assert!(send(&world, "a@other.test", &all, "Subject: x\n\ny").starts_with("250"));
    assert_eq!((world.mailbox("alice").len(), world.mailbox("bob").len()), (1, 1));
    assert_eq!((folder(&world, "bob", "A").len(), world.mailbox("carol").len()), (1, 0));
}

#[test]
fn a_refusal_is_said_at_once_to_one_and_later_to_one_of_many() {
    let (world, home) = (World::new(), Sink::start(|_| None));
    std::fs::write(world.path("etc/routes"), home.route("other.test")).unwrap();
    script(&world, "bob", "require \"reject\"; if header :is \"Subject\" \"no\" { reject \"I don't want\nthat.\"; }");
    world.start();
    let reply = send(&world, "a@other.test", &["bob@example.test"], "Subject: no\n\nx");
    assert!(reply.starts_with("550 5.7.1 I don't want that."), "{reply}");
    let both = ["alice@example.test", "bob@example.test"];
    assert!(send(&world, "a@other.test", &both, "Subject: no\n\nx").starts_with("250"));
    wait_until("the report", || home.texts().len() == 1);
    assert!(home.texts()[0].contains("I don't want that."), "{}", home.texts()[0]);
    assert_eq!((world.mailbox("alice").len(), world.mailbox("bob").len()), (1, 0));
}

#[test]
fn redirects_go_out_with_a_sender_of_ours_and_never_twice() {
    let (world, remote) = (World::new(), Sink::start(|_| None));
    world.set("srs.domain", "srs.example.test");
    std::fs::write(world.path("etc/routes"), remote.route("remote.test")).unwrap();
    script(&world, "bob", "require \"copy\"; redirect :copy \"x@remote.test\"; redirect \"bob@example.test\";");
    world.start();
    assert!(send(&world, "a@other.test", &["bob@example.test"], "Subject: go\n\nx").starts_with("250"));
    wait_until("the redirect", || remote.texts().len() == 1);
    let text = &remote.texts()[0];
    assert!(text.contains("X-Sieve-Redirected-From: bob@example.test"), "{text}");
    assert!(remote.commands().iter().any(|c| c.starts_with("MAIL FROM:<SRS0=")), "{:?}", remote.commands());
    // The redirect to himself comes back and ends in the sender's hands or in the inbox, not in a loop.
    wait_until("an empty queue", || world.queued().is_empty());
    assert_eq!(remote.texts().len(), 1);
}

#[test]
fn somebody_who_is_away_answers_once_and_never_a_machine() {
    let (world, remote) = (World::new(), Sink::start(|_| None));
    std::fs::write(world.path("etc/routes"), remote.route("other.test")).unwrap();
    script(&world, "bob", "require \"vacation\"; vacation :subject \"Away\" \"Back on Monday.\";");
    world.start();
    let message = "From: Anna <a@other.test>\nTo: bob@example.test\nMessage-ID: <m1@other.test>\nSubject: Hi\n\nx";
    for _ in 0..2 {
        assert!(send(&world, "a@other.test", &["bob@example.test"], message).starts_with("250"));
    }
    let list = format!("List-Id: <l.other.test>\n{message}");
    assert!(send(&world, "list@other.test", &["bob@example.test"], &list).starts_with("250"));
    assert!(send(&world, "", &["bob@example.test"], message).starts_with("250"));
    world.await_mail("bob", 4);
    wait_until("the answer", || !remote.texts().is_empty());
    wait_until("an empty queue", || world.queued().is_empty());
    let texts = remote.texts();
    assert_eq!(texts.len(), 1, "{texts:?}");
    for line in
        ["To: \"Anna\" <a@other.test>", "Subject: Away", "In-Reply-To: <m1@other.test>", "Auto-Submitted: auto-replied"]
    {
        assert!(texts[0].contains(line), "{line}: {}", texts[0]);
    }
    assert!(remote.commands().iter().any(|c| c.starts_with("MAIL FROM:<>")));
}

#[test]
fn an_accounts_own_absence_text_answers_too() {
    let (world, remote) = (World::new(), Sink::start(|_| None));
    std::fs::write(world.path("etc/routes"), remote.route("other.test")).unwrap();
    let users = world.path("etc/users");
    let text = std::fs::read_to_string(&users).unwrap();
    let own = "vacation=In%20the%20hills. vacation_subject=Hills vacation_until=9999-12-31";
    let text: Vec<String> = text
        .lines()
        .map(|line| if line.starts_with("bob@") { format!("{line} {own}") } else { line.to_string() })
        .collect();
    std::fs::write(&users, text.join("\n") + "\n").unwrap();
    world.start();
    let message = "From: a@other.test\nTo: bob@example.test\nSubject: Hi\n\nx";
    assert!(send(&world, "a@other.test", &["bob@example.test"], message).starts_with("250"));
    world.await_mail("bob", 1);
    wait_until("the answer", || remote.texts().len() == 1);
    assert!(remote.texts()[0].contains("Subject: Hills") && remote.texts()[0].contains("In the hills."));
}

#[test]
fn a_broken_script_keeps_all_mail_and_its_owner_hears_once() {
    let world = World::new();
    script(&world, "bob", "require \"fileinto\";\nfileinto 5;\n");
    world.start();
    for _ in 0..3 {
        assert!(send(&world, "a@other.test", &["bob@example.test"], "Subject: x\n\ny").starts_with("250"));
    }
    let texts = world.await_mail("bob", 4);
    let told: Vec<&String> = texts.iter().filter(|text| text.contains("Your mail filter has a mistake")).collect();
    assert_eq!(told.len(), 1);
    assert!(told[0].contains("line 2, column 10"), "{}", told[0]);
}

#[test]
fn a_script_that_others_may_write_is_not_obeyed() {
    let world = World::new();
    script(&world, "bob", "discard;");
    let file = world.path("mail/example.test/bob/sieve/main.sieve");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    world.start();
    assert!(send(&world, "a@other.test", &["bob@example.test"], "Subject: x\n\ny").starts_with("250"));
    world.await_mail("bob", 1);
    assert!(world.log().contains("script-not-obeyed"));
}

#[test]
fn duplicates_are_known_the_second_time() {
    let world = World::new();
    script(
        &world,
        "bob",
        "require [\"duplicate\", \"fileinto\", \"mailbox\"]; if duplicate { fileinto :create \"Twice\"; }",
    );
    world.start();
    for _ in 0..2 {
        let message = "Message-ID: <same@other.test>\nSubject: x\n\ny";
        assert!(send(&world, "a@other.test", &["bob@example.test"], message).starts_with("250"));
    }
    assert_eq!((world.mailbox("bob").len(), folder(&world, "bob", "Twice").len()), (1, 1));
}

#[test]
fn a_message_that_a_script_has_changed_lies_changed() {
    let world = World::new();
    script(
        &world,
        "bob",
        "require [\"editheader\", \"enclose\", \"fileinto\", \"mailbox\"];\n\
         fileinto :create \"Before\";\naddheader \"X-Seen\" \"yes\";\ndeleteheader \"X-Secret\";\nkeep;\n",
    );
    world.start();
    assert!(send(&world, "a@other.test", &["bob@example.test"], "X-Secret: s\nSubject: x\n\nbody").starts_with("250"));
    let text = &world.await_mail("bob", 1)[0];
    assert!(text.contains("X-Seen: yes\n") && !text.contains("X-Secret") && text.ends_with("\n\nbody\n"), "{text}");
    assert!(text.starts_with("Return-Path: <a@other.test>\n"), "{text}");
    wait_until("the other copy", || folder(&world, "bob", "Before").len() == 1);
    let before = folder(&world, "bob", "Before");
    assert!(before[0].contains("X-Secret: s\n") && !before[0].contains("X-Seen"));
}

#[test]
fn emlocal_explains_and_delivers_nothing() {
    let world = World::new();
    script(
        &world,
        "bob",
        "require [\"fileinto\", \"vacation\"];\nif header :contains \"Subject\" \"x\" {\n  fileinto \"X\";\n}\nvacation \"away\";\n",
    );
    let message = b"From: a@other.test\nTo: bob@example.test\nSubject: xyz\n\ntext\n";
    let out = world.run_with("emlocal", &["--explain", "bob@example.test", "-f", "a@other.test"], message);
    let text = String::from_utf8(out.stdout).unwrap();
    assert!(out.status.success(), "{text}");
    for line in [
        "script \"main\":",
        "line 2: header: true",
        "line 3: fileinto \"X\"",
        "would file into \"X\"",
        "would answer the sender",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    assert_eq!(world.mailbox("bob").len(), 0);
}
