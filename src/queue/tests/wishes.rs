//! What a sender asked for, in attempts.

use super::*;
use crate::envelope::{DeliverBy, Hold, by_letters};
use crate::spool::Record;

fn by(seconds: i64, letters: &str) -> Handling {
    let (mode, trace) = by_letters(letters).unwrap();
    Handling { by: Some(DeliverBy { at: Timestamp(NOW.0 + seconds * 1_000_000), mode, trace }), ..Handling::default() }
}

fn later(seconds: u64) -> Timestamp {
    NOW.after(Duration::from_secs(seconds))
}

fn queue_with(runner: &Runner, handling: Handling) -> Id {
    let envelope = Envelope {
        handling,
        ..Envelope::local(Some(address("alice@example.test")), NOW, vec![remote(Mailer::Smtp, "x@r.test")])
    };
    queue_as(runner, envelope, b"Subject: queued\nMT-Priority: 9\n\nbody\n")
}

fn host(ehlo: &'static str, refuses: bool) -> Host {
    Host::new(move |line| match line {
        l if l.starts_with("EHLO") => Some(ehlo),
        l if l.starts_with("RCPT") && refuses => Some("450 4.2.1 later"),
        _ => None,
    })
}

#[test]
fn a_held_message_is_not_tried_before_its_date_or_its_release() {
    let dir = tempfile::tempdir().unwrap();
    let host = host("250 peer", false);
    let runner = runner(dir.path(), &host, |_| {});
    let hold = || Handling { hold: Some(Hold { until: later(60), asked: "for;60".into() }), ..Handling::default() };
    let (first, second) = (queue_with(&runner, hold()), queue_with(&runner, hold()));
    assert_eq!(runner.run(&first, || NOW).unwrap(), Attempted::Later(later(60)));
    assert_eq!(host.heard("EHLO"), 0);
    runner.gate().spool.claim(&first).unwrap().record(NOW, &[Record::Released]).unwrap();
    assert_eq!(runner.run(&first, || NOW).unwrap(), Attempted::Finished);
    assert_eq!(runner.run(&second, || later(60)).unwrap(), Attempted::Finished);
}

#[test]
fn by_with_return_is_returned_in_time_and_not_tried_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let host = host("250-peer\r\n250 DELIVERBY", true);
    let runner = runner(dir.path(), &host, |s| s.queue.retry = Duration::from_secs(300));
    let id = queue_with(&runner, by(90, "R"));
    assert_eq!(runner.run(&id, || later(5)).unwrap(), Attempted::Later(later(90)), "in time to say so");
    assert_eq!(host.heard("BY=85;R"), 1);
    assert_eq!(runner.run(&id, || later(90)).unwrap(), Attempted::Finished);
    assert_eq!(host.heard("EHLO"), 1, "no attempt any more");
    let report = &mailbox(dir.path(), "alice")[0];
    assert!(report.contains("Action: failed\nStatus: 5.4.7\n") && report.contains("Deliver-By-Date: "), "{report}");
}

#[test]
fn by_with_return_does_not_go_where_it_is_not_understood() {
    let dir = tempfile::tempdir().unwrap();
    let host = host("250 peer", false);
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue_with(&runner, by(90, "R"));
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    assert_eq!((host.heard("MAIL"), host.heard("QUIT")), (0, 1));
    assert!(mailbox(dir.path(), "alice")[0].contains("Action: failed\nStatus: 5.3.3\n"));
}

#[test]
fn by_with_notify_tells_once_that_it_is_late_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let host = host("250-peer\r\n250 DELIVERBY", true);
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue_with(&runner, by(90, "N"));
    for seconds in [0, 90, 95, 100] {
        assert!(matches!(runner.run(&id, || later(seconds)).unwrap(), Attempted::Later(_)));
    }
    let reports = mailbox(dir.path(), "alice");
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("Action: delayed\nStatus: 4.4.7\n"), "{}", reports[0]);
    assert_eq!(host.heard("BY=-10;N"), 1);
}

#[test]
fn a_relay_that_loses_the_time_or_was_to_be_traced_is_reported() {
    for (letters, ehlo, reports) in [
        ("N", "250-peer\r\n250 DSN", 1),
        ("N", "250-peer\r\n250-DSN\r\n250 DELIVERBY", 0),
        ("RT", "250-peer\r\n250-DSN\r\n250 DELIVERBY", 1),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let host = host(ehlo, false);
        let runner = runner(dir.path(), &host, |_| {});
        let id = queue_with(&runner, by(90, letters));
        assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
        let told = mailbox(dir.path(), "alice");
        assert_eq!(told.len(), reports, "{letters} {ehlo}: {told:?}");
        assert!(told.iter().all(|report| report.contains("Action: relayed\nStatus: 2.0.0\n")), "{told:?}");
        assert_eq!(host.heard("NOTIFY=FAILURE,DELAY"), usize::from(letters == "N" && reports == 1), "{letters} {ehlo}");
    }
}

#[test]
fn priorities_go_on_as_parameter_or_as_field() {
    for (ehlo, parameter, field) in
        [("250-peer\r\n250 MT-PRIORITY", 1, "MT-Priority: 9"), ("250 peer", 0, "MT-Priority: 3")]
    {
        let dir = tempfile::tempdir().unwrap();
        let host = host(ehlo, false);
        let runner = runner(dir.path(), &host, |_| {});
        let id = queue_with(&runner, Handling { priority: "3".parse().ok(), ..Handling::default() });
        assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
        assert_eq!(host.heard("MT-PRIORITY=3"), parameter, "{ehlo}");
        let text = host.texts.lock().unwrap()[0].clone();
        assert!(text.contains(field) && text.matches("MT-Priority").count() == 1, "{text}");
        assert!(text.contains("Subject: queued\r\n") && text.ends_with("\r\n\r\nbody\r\n.\r\n"), "{text}");
    }
}

#[test]
fn tls_that_is_required_and_can_not_be_had_returns_the_message() {
    let dir = tempfile::tempdir().unwrap();
    let host = host("250-peer\r\n250 REQUIRETLS", false);
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue_with(&runner, Handling { tls: crate::envelope::TlsWish::Required, ..Handling::default() });
    assert_eq!(runner.run(&id, || NOW).unwrap(), Attempted::Finished);
    assert_eq!(host.heard("MAIL"), 0);
    assert!(mailbox(dir.path(), "alice")[0].contains("Status: 5.7.10\n"));
}
