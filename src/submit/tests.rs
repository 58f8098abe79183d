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
