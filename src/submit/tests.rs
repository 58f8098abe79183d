use super::*;
use crate::settings::{Root, Settings};
use std::path::Path;
use std::sync::Arc;

fn gate(dir: &Path) -> Gate {
    let mut settings = Settings::default();
    settings.server.hostname = "mail.example.test".into();
    settings.server.domains = vec!["example.test".into()];
    let root = Root::under(dir);
    crate::config::make_tree(&root).unwrap();
    let gate = Gate::new(Arc::new(Site { root, settings }), "/nonexistent".into());
    gate.router
        .users()
        .file()
        .update(|all| {
            for name in ["alice@example.test", "bob@example.test"] {
                all.insert(name.to_string(), crate::users::Account::new(&Address::parse(name).unwrap()));
            }
            Ok::<_, std::io::Error>(())
        })
        .unwrap();
    gate
}

fn submission(from_header: bool, recipients: &[&str]) -> Submission {
    Submission {
        sender: Some(Address::parse("root@example.test").unwrap()),
        recipients: recipients.iter().map(|r| Address::parse(r).unwrap()).collect(),
        from_header,
        notify: Notify::default(),
        ret_full: false,
        envid: None,
        login: "root".into(),
        completion: Completion { full_name: "Charlie Röot".into(), warning: None },
        errors: Errors::Tell,
        eight_bit: false,
        is_labelled: false,
    }
}

fn delivered(dir: &Path, user: &str) -> Vec<String> {
    let new = dir.join("mail/example.test").join(user).join("Maildir/new");
    let Ok(entries) = std::fs::read_dir(new) else { return Vec::new() };
    entries.map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap()).collect()
}

#[test]
fn header_recipients_get_it_and_bcc_is_taken_out() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let text = "To: Alice <alice@example.test>\nBcc: bob@example.test,\n bob\nSubject: x\n\nbody\n";
    let taken = take(&gate, &submission(true, &[]), &mut text.as_bytes(), Timestamp(0)).unwrap();
    assert_eq!(taken.deliveries, 2);
    for user in ["alice", "bob"] {
        let texts = delivered(dir.path(), user);
        assert_eq!(texts.len(), 1);
        let text = &texts[0];
        assert!(!text.contains("Bcc") && text.ends_with("\n\nbody\n"), "{text}");
        assert!(text.contains("\nFrom: =?utf-8?B?") && text.contains("\nMessage-ID: <") && text.contains("\nDate: "));
        assert!(text.starts_with("Return-Path: <root@example.test>\n"));
    }
}

#[test]
fn unknown_recipients_are_told_or_returned() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let both = submission(false, &["alice@example.test", "nobody@example.test"]);
    let taken = take(&gate, &both, &mut &b"Subject: x\n\ny\n"[..], Timestamp(0)).unwrap();
    assert_eq!((taken.deliveries, taken.refused.len()), (1, 1));
    let none = submission(false, &["nobody@example.test"]);
    let failure = take(&gate, &none, &mut &b"x\n"[..], Timestamp(0)).unwrap_err();
    assert_eq!(failure.exit(), crate::status::Exit::NoUser);
    let mailed = Submission { errors: Errors::Mail, ..none };
    take(&gate, &mailed, &mut &b"x\n"[..], Timestamp(0)).unwrap();
    assert_eq!(gate.spool.scan().unwrap().len(), 1);
}

#[test]
fn a_text_without_a_header_becomes_a_body() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let to = submission(false, &["alice@example.test"]);
    take(&gate, &to, &mut &b"just two\nlines: here\n"[..], Timestamp(0)).unwrap();
    let text = delivered(dir.path(), "alice").remove(0);
    assert!(text.ends_with("\n\njust two\nlines: here\n"), "{text}");
}

#[test]
fn a_hand_in_comes_back_with_the_owners_name_only() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let mut forged = submission(true, &["bob@example.test"]);
    forged.envid = Some("x y".into());
    let read = Submission::from_handed(&forged.to_handed(), "mallory", &gate.site).unwrap();
    assert_eq!(
        (read.recipients.clone(), read.from_header, read.envid.clone()),
        (forged.recipients, true, forged.envid)
    );
    assert_eq!(read.login, "mallory");
    assert!(read.completion.warning.unwrap().contains("mallory set sender to root@example.test"));
}

fn sent(text: &[u8], submission: &Submission) -> String {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    take(&gate, submission, &mut &text[..], Timestamp(0)).unwrap();
    delivered(dir.path(), "alice").remove(0)
}

#[test]
fn recipients_of_the_command_line_are_added_to_those_of_the_header() {
    let dir = tempfile::tempdir().unwrap();
    let gate = gate(dir.path());
    let both = submission(true, &["bob@example.test", "alice@example.test"]);
    let taken = take(&gate, &both, &mut &b"To: alice@example.test\n\nx\n"[..], Timestamp(0)).unwrap();
    assert_eq!(taken.deliveries, 2);
    for (header, count) in [
        ("To: friends: alice, bob;", 2),
        ("To: undisclosed-recipients:;\nBcc: alice", 1),
        ("Apparently-To: bob", 1),
        ("To: nobody\nResent-To: alice", 1),
        ("To: (only a comment) \"alice\"@example.test (Alice (the first)), <bob@example.test>", 2),
    ] {
        let message = format!("{header}\n\n");
        let mut text = message.as_bytes();
        let read = Message::read(&mut text, 1000).unwrap();
        assert_eq!(read.recipients(&submission(true, &[]), &gate.site).unwrap().len(), count, "{header}");
    }
}

#[test]
fn a_resent_message_gets_a_block_of_its_own() {
    let text = sent(b"Resent-To: alice\nDate: then\nFrom: x@y.test\nMessage-ID: <1@y>\n\nx\n", &submission(true, &[]));
    for field in ["Resent-Date: ", "Resent-From: ", "Resent-Message-ID: <"] {
        assert_eq!(text.matches(&format!("\n{field}")).count(), 1, "{text}");
    }
    assert!(text.contains("\nDate: then\n") && text.contains("\nMessage-ID: <1@y>\n"), "{text}");
    let whole = b"Resent-Date: d\nResent-From: a@b.test\nResent-Message-ID: <2@y>\nResent-To: alice\n\nx\n";
    let text = sent(whole, &submission(true, &[]));
    assert_eq!(text.matches("Resent-").count(), 4, "{text}");
}

#[test]
fn what_programs_put_in_front_or_leave_behind_is_cleaned() {
    let to = submission(false, &["alice@example.test"]);
    let text = sent(b"From alice@example.test Tue Nov 24 20:01:01 2026\nSubject : x\nContent-Length: 2\n\nx\n", &to);
    assert!(text.ends_with("\nSubject: x\n\nx\n"), "{text}");
    let text = sent(b"Full-Name: Dr. A. B.\nSubject: a\0b\n\nx\0y\n", &to);
    assert!(text.contains("\nFrom: \"Dr. A. B.\" <root@example.test>\nSubject: ab\n\nx\0y\n"), "{text}");
    assert!(sent(b"", &to).contains("\nFrom: =?utf-8"), "an empty message");
    assert!(sent(b"Subject: only", &to).ends_with("\nSubject: only\n\n"), "a header and nothing else");
    assert!(sent(b"Subject: x\nno field\nbody\n", &to).ends_with("\nSubject: x\n\nno field\nbody\n"));
    assert!(sent(b">From me\nbody\n", &to).ends_with("\n\n>From me\nbody\n"));
    assert!(sent("Subject: ü\n\nlatin \u{fc}\n".as_bytes(), &to).ends_with("Subject: ü\n\nlatin ü\n"));
}

#[test]
fn command_lines_name_recipients_in_every_old_way() {
    let dir = tempfile::tempdir().unwrap();
    let site = gate(dir.path()).site.clone();
    let read = |argument: &str| command_line_recipients(&[argument.to_string()], &site).map(|list| list.len());
    for (argument, count) in [
        ("alice", 1),
        ("alice bob", 2),
        ("alice, bob", 2),
        ("Alice <alice@example.test>, bob (Bob)", 2),
        ("friends: alice, bob;", 2),
        ("", 0),
        ("\"a b\"@example.test", 1),
        ("alice ALICE@example.test alice", 2),
    ] {
        assert_eq!(read(argument), Ok(count), "{argument}");
    }
    assert!(read("a@b@c").is_err() && read("x <").is_err());
}

#[test]
fn a_great_many_recipients_take_linear_time() {
    let dir = tempfile::tempdir().unwrap();
    let site = gate(dir.path()).site.clone();
    let list: Vec<String> = (0..100_000).map(|i| format!("user{i}@example.test")).collect();
    assert_eq!(command_line_recipients(&list, &site).unwrap().len(), 100_000);
    let message = format!("To: {}\n\nx\n", list.join(",\n "));
    let mut text = message.as_bytes();
    let read = Message::read(&mut text, 16 << 20).unwrap();
    assert_eq!(read.recipients(&submission(true, &[]), &site).unwrap().len(), 100_000);
}
