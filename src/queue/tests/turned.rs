//! Messages that are fetched over a connection that the other side has opened.

use super::*;
use crate::queue::turned::{send, waiting};
use crate::spool::Record;

fn now() -> Timestamp {
    NOW
}

/// The host's end of a connection that it has opened itself.
fn wire(host: &Host) -> Box<dyn Wire + Send> {
    Box::new(host.talk())
}

fn domains(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

#[test]
fn what_waits_for_the_domains_goes_over_one_connection_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT TO:<no@").then_some("550 5.1.1 no"));
    let runner = runner(dir.path(), &host, |_| {});
    let to = |names: &[&str]| names.iter().map(|name| remote(Mailer::Smtp, name)).collect::<Vec<_>>();
    let both = queue(&runner, Some("alice@example.test"), to(&["a@home.test", "x@else.test"]));
    let report = queue(&runner, None, to(&["b@home.test", "no@office.test"]));
    let other = queue(&runner, Some("alice@example.test"), to(&["y@else.test"]));
    let (gate, names) = (runner.gate(), domains(&["home.test", "office.test"]));
    let ids = waiting(&gate.spool, &names, NOW).unwrap();
    assert_eq!(ids, [both.clone(), report.clone()]);
    assert_eq!(send(gate, &ids, &names, wire(&host), now), 2);
    assert_eq!((host.heard("EHLO"), host.texts(), host.heard("QUIT")), (1, 2, 1));
    assert_eq!((host.heard("MAIL FROM:<>"), host.heard("else.test")), (1, 0));
    assert_eq!((owed(&runner, &both), owed(&runner, &other)), (vec![false, true], vec![true]));
    assert_eq!(owed(&runner, &report), [false, false]);
    assert!(waiting(&gate.spool, &names, NOW).unwrap().is_empty());
    // The end is the runner's.
    assert_eq!(runner.run(&report, now).unwrap(), Attempted::Finished);
}

#[test]
fn a_message_that_is_refused_does_not_stop_those_behind_it() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("MAIL FROM:<alice@").then_some("450 4.7.1 not now"));
    let runner = runner(dir.path(), &host, |_| {});
    let first = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@home.test")]);
    let second = queue(&runner, Some("bob@example.test"), vec![remote(Mailer::Smtp, "b@home.test")]);
    let names = domains(&["home.test"]);
    let ids = waiting(&runner.gate().spool, &names, NOW).unwrap();
    assert_eq!(send(runner.gate(), &ids, &names, wire(&host), now), 1);
    assert_eq!((owed(&runner, &first), owed(&runner, &second)), (vec![true], vec![false]));
}

#[test]
fn a_connection_that_breaks_leaves_the_rest_for_the_next_time() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| (line == "DATA").then_some("CLOSE"));
    let runner = runner(dir.path(), &host, |_| {});
    let ids: Vec<Id> = ["a@home.test", "b@home.test"]
        .map(|to| queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, to)]))
        .to_vec();
    let names = domains(&["home.test"]);
    assert_eq!(send(runner.gate(), &ids, &names, wire(&host), now), 0);
    assert_eq!((host.heard("MAIL"), host.texts()), (1, 0));
    assert_eq!(waiting(&runner.gate().spool, &names, NOW).unwrap(), ids);
}

#[test]
fn failures_are_told_by_the_runner() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT").then_some("550 5.1.1 no"));
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@home.test")]);
    let names = domains(&["home.test"]);
    assert_eq!(send(runner.gate(), std::slice::from_ref(&id), &names, wire(&host), now), 0);
    assert!(mailbox(dir.path(), "alice").is_empty());
    assert_eq!(runner.run(&id, now).unwrap(), Attempted::Finished);
    assert!(mailbox(dir.path(), "alice")[0].contains("Status: 5.1.1"));
}

#[test]
fn held_messages_stay() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |_| {});
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@home.test")]);
    runner.gate().spool.claim(&id).unwrap().record(NOW, &[Record::Held]).unwrap();
    assert!(waiting(&runner.gate().spool, &domains(&["home.test"]), NOW).unwrap().is_empty());
}
