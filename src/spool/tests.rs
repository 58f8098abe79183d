use super::*;
use crate::addr::Address;
use crate::envelope::{Delivery, Handling, Mailer, Notify, Recipient, Source, TlsWish};
use crate::fsx::fault::{Plan, with_plan};
use crate::status::Enhanced;
use std::io::Read;
use std::path::Path;

fn spool(dir: &std::path::Path) -> Spool {
    for name in ["tmp", "queue", "log", "bad", "drop", "run"] {
        std::fs::create_dir(dir.join(name)).unwrap();
    }
    Spool { dir: dir.to_path_buf() }
}

fn envelope() -> Envelope {
    let address = |text: &str| Address::parse(text).unwrap();
    Envelope {
        sender: Some(address("\"a b\"@example.test")),
        arrived: Timestamp(5_000_000),
        source: Source {
            ip: Some("192.0.2.1".parse().unwrap()),
            name: Some("client.test".into()),
            helo: Some("client".into()),
            protocol: "ESMTP".into(),
            user: None,
        },
        eight_bit: true,
        smtputf8: false,
        ret_full: true,
        envid: Some("x y".into()),
        handling: Handling {
            by: "7,NT".parse().ok(),
            hold: "9,until;2026-12-01T08:00:00Z".parse().ok(),
            priority: "-3".parse().ok(),
            tls: TlsWish::NotRequired,
        },
        size: 12,
        recipients: vec![Recipient {
            original: address("bob@example.org"),
            orcpt: Some(("rfc822".into(), "Bob;x@example.org".into())),
            notify: Notify::NEVER,
            delivery: Delivery {
                mailer: Mailer::Smtp,
                host: "example.org".into(),
                user: "bob@example.org".into(),
                by: String::new(),
                sender: String::new(),
            },
        }],
    }
}

fn queue(spool: &Spool) -> io::Result<Id> {
    let mut draft = spool.draft(Id::new(Timestamp(5_000_000)), &envelope())?;
    draft.write(b"Subject: x\n\n")?;
    spool.publish(draft)
}

#[test]
fn what_is_published_is_claimed_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    assert_eq!(spool.scan().unwrap(), std::slice::from_ref(&id));
    let claim = spool.claim(&id).unwrap();
    assert_eq!(**claim.envelope(), envelope());
    let mut text = String::new();
    claim.message().read_to_string(&mut text).unwrap();
    assert_eq!(text, "Subject: x\n\n");
    assert!(matches!(spool.claim(&id), Err(ClaimError::Busy)));
    assert_eq!(spool.peek(&id).unwrap().unwrap().0, envelope());
    claim.finish().unwrap();
    assert!(matches!(spool.claim(&id), Err(ClaimError::Gone)));
    assert_eq!(spool.peek(&id).unwrap(), None);
}

/// What a newer program of the same version writes, an older one reads without it.
#[test]
fn words_that_are_not_known_are_passed_over_and_what_must_be_known_has_a_version() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    let path = spool.queue_file(&id);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.starts_with("em-queue 1\nmail ") && text.contains(" by=7,NT hold=9,until%3b2026"), "{text}");
    let newer = text.replacen("\nmail ", "\nmail moon=full priority=urgent tls=of-tomorrow by=soon ", 1);
    std::fs::write(&path, newer.replace(" by=7,NT", "").replace(" priority=-3", "").replace(" tls=not-required", ""))
        .unwrap();
    let (read, _) = spool.peek(&id).unwrap().unwrap();
    let hold = envelope().handling.hold;
    assert_eq!(read.handling, Handling { hold, ..Handling::default() });
    assert_eq!(read.recipients, envelope().recipients);
    let secret = Envelope { handling: Handling { tls: TlsWish::Required, ..Handling::default() }, ..envelope() };
    assert!(super::text::print(&secret).starts_with("em-queue 2\n"));
}

/// Names of queue files that are being written.
fn drafts(spool: &Path) -> Vec<String> {
    let buckets = std::fs::read_dir(spool.join("queue")).unwrap();
    let files = buckets.flat_map(|bucket| std::fs::read_dir(bucket.unwrap().path()).unwrap());
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.ends_with(DRAFT)).collect()
}

#[test]
fn a_fault_at_any_operation_leaves_the_whole_message_or_none() {
    for n in 1..30 {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let plan = Plan::parse(&format!("EIO:{n}")).unwrap();
        let (result, struck) = with_plan(plan, || queue(&spool));
        let queued = spool.scan().unwrap();
        match result {
            Ok(id) => assert_eq!(queued, [id]),
            // Also when only the last sync of the directory failed: a client that was told to try again would double it.
            Err(_) => assert!(queued.is_empty(), "operation {n}"),
        }
        for id in queued {
            assert_eq!(spool.claim(&id).unwrap().envelope().size, 12);
        }
        assert_eq!(drafts(dir.path()), [""; 0], "operation {n}");
        if !struck {
            assert!(n > 6);
            return;
        }
    }
    panic!("publishing takes more operations than it should");
}

#[test]
fn a_finish_that_fails_never_forgets_outcomes_first() {
    for n in 1..10 {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool(dir.path());
        let id = queue(&spool).unwrap();
        let mut claim = spool.claim(&id).unwrap();
        let outcome = Outcome::new(Enhanced(2, 0, 0), "ok", "");
        claim.record(Timestamp(6), &[Record::Tried(vec![0], outcome)]).unwrap();
        let (_, struck) = with_plan(Plan::parse(&format!("EIO:{n}")).unwrap(), || claim.finish());
        if let Some((_, progress)) = spool.peek(&id).unwrap() {
            assert!(!progress.states[0].is_owed(), "operation {n}");
        }
        if !struck {
            return;
        }
    }
    panic!("finishing takes more operations than it should");
}

#[test]
fn a_damaged_file_goes_to_bad_and_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    let path = spool.queue_file(&id);
    for damage in ["", "em-queue 1\nmail arrived=x\n\n", "em-queue 0\n\n", "em-queue x\n\n", "\u{0}\u{0}\n\n"] {
        std::fs::write(&path, damage).unwrap();
        assert!(matches!(spool.claim(&id), Err(ClaimError::Damaged(_))), "{damage:?}");
        assert!(spool.scan().unwrap().is_empty());
        std::fs::rename(dir.path().join("bad").join(id.as_str()), &path).unwrap();
    }
}

#[test]
fn the_sweep_takes_old_drafts_and_journals_of_finished_messages_only() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    spool.claim(&id).unwrap().record(Timestamp(6), &[Record::Warned]).unwrap();
    std::fs::write(dir.path().join("tmp/draft"), "x").unwrap();
    std::fs::write(spool.queue_file(&id).with_file_name(format!("{id}.new")), "x").unwrap();
    std::fs::create_dir_all(dir.path().join("log/00")).unwrap();
    std::fs::write(dir.path().join("log/00/0000000000000000"), "x").unwrap();
    assert_eq!(spool.sweep(Timestamp::now()).unwrap(), 1);
    assert_eq!((spool.scan().unwrap(), drafts(dir.path()).len()), (vec![id.clone()], 1));
    assert_eq!(spool.sweep(Timestamp::now().after(DRAFT_AGE * 2)).unwrap(), 2);
    assert_eq!((spool.scan().unwrap(), drafts(dir.path()).len()), (vec![id.clone()], 0));
    assert!(spool.peek(&id).unwrap().unwrap().1.warned);
}

#[test]
fn messages_handed_in_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let mut handed = Handed::default();
    handed.mail.insert("from".into(), "me".into());
    handed.recipients.push([("to".to_string(), "a b@c".to_string())].into());
    spool.hand_in(&Id::new(Timestamp(1)), &handed, &mut &b"text\n"[..]).unwrap();
    let paths = spool.dropped().unwrap();
    let mut dropped = spool.open_dropped(paths[0].clone()).unwrap().unwrap();
    assert_eq!(dropped.handed, handed);
    let mut text = String::new();
    dropped.message.read_to_string(&mut text).unwrap();
    assert_eq!(text, "text\n");
    std::fs::write(&paths[0], "junk\n\n").unwrap();
    assert!(spool.open_dropped(paths[0].clone()).unwrap().is_none());
    assert!(spool.dropped().unwrap().is_empty());
}

#[test]
fn a_file_of_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    for text in ["em-queue 3\nnew things\n\nbody\n", "em-queue 10", "em-queue 3\n\u{0}"] {
        std::fs::write(spool.queue_file(&id), text).unwrap();
        assert!(matches!(spool.claim(&id), Err(ClaimError::Newer)), "{text:?}");
        assert_eq!(std::fs::read_to_string(spool.queue_file(&id)).unwrap(), text);
    }
    assert_eq!(std::fs::read_dir(dir.path().join("bad")).unwrap().count(), 0);
}

#[test]
fn what_goes_to_bad_overwrites_nothing_and_keeps_its_journal() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    spool.claim(&id).unwrap().record(Timestamp(6), &[Record::Warned]).unwrap();
    for text in ["first", "second"] {
        std::fs::write(spool.queue_file(&id), text).unwrap();
        assert!(matches!(spool.claim(&id), Err(ClaimError::Damaged(_))));
    }
    let bad: Vec<String> = std::fs::read_dir(dir.path().join("bad"))
        .unwrap()
        .map(|e| std::fs::read_to_string(e.unwrap().path()).unwrap())
        .collect();
    for wanted in ["first", "second", "6 warned\n"] {
        assert!(bad.iter().any(|text| text == wanted), "{wanted}: {bad:?}");
    }
}

#[test]
fn what_is_no_regular_file_is_put_aside_once() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    let path = spool.queue_file(&id);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(spool.claim(&id), Err(ClaimError::Damaged(_))));
    std::os::unix::fs::symlink("/etc/hostname", &path).unwrap();
    assert!(matches!(spool.claim(&id), Err(ClaimError::Damaged(_))));
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    assert!(matches!(spool.claim(&id), Err(ClaimError::Damaged(_))));
    assert!(spool.scan().unwrap().is_empty());
}

#[test]
fn an_envelope_that_could_not_be_read_back_is_not_taken() {
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let mut envelope = envelope();
    let long = "%".repeat(1 << 20);
    envelope.recipients = vec![envelope.recipients[0].clone(); 30];
    envelope.recipients.iter_mut().for_each(|r| r.delivery.user = long.clone());
    let queued = spool.draft(Id::new(Timestamp(1)), &envelope).and_then(|draft| spool.publish(draft));
    match queued {
        Ok(id) => assert!(spool.claim(&id).is_ok(), "acknowledged, and then not understood"),
        Err(_) => assert!(spool.scan().unwrap().is_empty()),
    }
}

#[test]
fn a_fault_in_the_journal_leaves_what_was_written_before() {
    for kind in ["ENOSPC", "EIO"] {
        for n in 1..20 {
            let dir = tempfile::tempdir().unwrap();
            let spool = spool(dir.path());
            let id = queue(&spool).unwrap();
            let mut claim = spool.claim(&id).unwrap();
            claim.record(Timestamp(6), &[Record::Warned]).unwrap();
            std::fs::OpenOptions::new()
                .append(true)
                .open(spool.journal_file(&id))
                .and_then(|mut file| std::io::Write::write_all(&mut file, b"7 hel"))
                .unwrap();
            let plan = Plan::parse(&format!("{kind}:{n}")).unwrap();
            let (result, struck) = with_plan(plan, || claim.record(Timestamp(8), &[Record::Held]));
            assert!(struck == result.is_err());
            claim.record(Timestamp(9), &[Record::Next(Timestamp(10))]).unwrap();
            let progress = spool.progress(&id, 1).unwrap();
            assert!(progress.warned && progress.next == Some(Timestamp(10)), "{kind}:{n}");
            if !struck {
                assert!(n > 4, "open, trim, write and sync are operations");
                break;
            }
        }
    }
}

#[test]
fn the_sweep_keeps_a_journal_whose_message_may_come_back() {
    // The name is gone and its folder not yet synced: a crash now brings the message back, and the journal must be there.
    let dir = tempfile::tempdir().unwrap();
    let spool = spool(dir.path());
    let id = queue(&spool).unwrap();
    spool.claim(&id).unwrap().record(Timestamp(6), &[Record::Warned]).unwrap();
    std::fs::remove_file(spool.queue_file(&id)).unwrap();
    let (swept, _) = with_plan(Plan::parse("EIO:1:fsync-dir").unwrap(), || spool.sweep(Timestamp::now()));
    assert!(swept.is_err() && spool.journal_file(&id).exists());
    assert_eq!(spool.sweep(Timestamp::now()).unwrap(), 1);
}
