//! The main job: in by shell and by SMTP, out by POP3.

use super::wire::Client;
use super::world::World;

#[test]
fn a_message_by_shell_and_one_by_smtp_come_out_by_pop3() {
    let world = World::new();
    world.start();
    let out = world.run_with("emsend", &["-t"], b"To: alice@example.test\nSubject: by shell\n\nhello\n");
    assert!(out.status.success() && out.stdout.is_empty() && out.stderr.is_empty(), "{out:?}");
    let mut smtp = Client::connect(world.address("smtp"));
    assert!(smtp.reply().starts_with("220 "));
    for (command, code) in [
        ("EHLO client.test", "250"),
        ("MAIL FROM:<out@side.test>", "250"),
        ("RCPT TO:<alice@example.test>", "250"),
        ("DATA", "354"),
        ("Subject: by SMTP\r\n\r\n..dots\r\nend\r\n.", "250"),
        ("QUIT", "221"),
    ] {
        let reply = smtp.ask(command);
        assert!(reply.starts_with(code), "{command}: {reply}");
    }
    let texts = world.await_mail("alice", 2);
    assert!(texts[0].contains("Subject: by shell\n\nhello\n"));
    assert!(
        texts[1]
            .starts_with("Return-Path: <out@side.test>\nDelivered-To: alice@example.test\nReceived: from client.test")
    );
    assert!(texts[1].ends_with("Subject: by SMTP\n\n.dots\nend\n"));

    let mut pop = Client::connect(world.address("pop3"));
    assert!(pop.line().starts_with("+OK"));
    pop.send("USER alice@example.test\r\nPASS demo\r\nRETR 2\r\n");
    assert!(pop.line().starts_with("+OK") && pop.line().starts_with("+OK 2 messages") && pop.line().starts_with("+OK"));
    let mut got = String::new();
    loop {
        let line = pop.line();
        if line == "." {
            break;
        }
        got.push_str(line.strip_prefix('.').unwrap_or(&line));
        got.push('\n');
    }
    assert_eq!(got, texts[1], "byte for byte");
    world.stop();
    assert!(world.run("emd", &["status"]).status.code() == Some(1));
}

#[test]
fn a_message_to_many_is_one_file() {
    let world = World::new();
    world.start();
    let mut smtp = Client::connect(world.address("lmtp"));
    smtp.reply();
    smtp.ask("LHLO x");
    smtp.ask("MAIL FROM:<>");
    for to in ["alice", "bob", "nobody"] {
        smtp.ask(&format!("RCPT TO:<{to}@example.test>"));
    }
    smtp.ask("DATA");
    assert!(smtp.ask("Subject: x\r\n\r\ny\r\n.").starts_with("250"));
    assert!(smtp.reply().starts_with("250"), "LMTP: one reply for each accepted recipient");
    let file = |user: &str| {
        let dir = world.path(&format!("mail/example.test/{user}/Maildir/new"));
        std::fs::read_dir(dir).unwrap().next().unwrap().unwrap().path()
    };
    use std::os::unix::fs::MetadataExt;
    assert_eq!(std::fs::metadata(file("alice")).unwrap().ino(), std::fs::metadata(file("bob")).unwrap().ino());
}

#[test]
fn the_whole_story_can_be_told() {
    let world = World::new();
    let out = world.run_with("emsend", &["bob@example.test"], b"Message-ID: <story@x.test>\n\nx\n");
    assert!(out.status.success());
    for word in ["<story@x.test>", "bob@example.test"] {
        let story = world.ok("emqueue", &["trace", word]);
        let events: Vec<&str> = story.lines().map(|l| l.split_whitespace().nth(2).unwrap()).collect();
        assert_eq!(events, ["accepted", "delivered"], "{story}");
    }
    assert_eq!(world.run("emqueue", &["trace", "nothing@x.test"]).status.code(), Some(1));
}
