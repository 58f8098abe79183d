//! What an attempt says about the host, and which host of several gets the message.

use super::*;
use crate::envelope::TlsWish;
use crate::queue::attempt::Opened;
use crate::queue::board::Verdict;

fn verdict(runner: &Runner, id: &Id) -> &'static str {
    let Opened::Attempt(attempt) = runner.open(id, NOW).unwrap() else { panic!("{id}") };
    match runner.try_way(&attempt, 0, &mut None, || NOW).1 {
        Verdict::Reached => "reached",
        Verdict::Unreachable(_) => "unreachable",
        Verdict::Unknown => "unknown",
    }
}

#[test]
fn a_host_is_left_alone_for_its_own_failures_and_not_for_a_message() {
    for (line, reply, wanted) in [
        ("", "", "reached"),
        ("EHLO", "421 4.3.2 shutting down", "unreachable"),
        ("EHLO", "451 4.3.2 too busy", "unreachable"),
        ("EHLO", "CLOSE", "unreachable"),
        ("EHLO, then HELO", "550 go away", "reached"),
        ("MAIL", "421 4.7.0 too many connections", "unreachable"),
        ("MAIL", "CLOSE", "unreachable"),
        ("MAIL", "451 4.7.1 not now", "reached"),
        ("MAIL", "550 5.7.1 never", "reached"),
        ("RCPT TO:<a@", "421 4.7.0 slow down", "unreachable"),
        ("RCPT TO:<b@", "421 4.7.0 slow down", "reached"),
        ("RCPT", "450 4.2.0 greylisted", "reached"),
        ("DATA", "421 4.3.0 no", "reached"),
        ("END", "CLOSE", "reached"),
        ("END", "451 4.3.0 later", "reached"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(move |heard| {
            let is_hello = line.contains("HELO") && (heard.starts_with("EHLO") || heard.starts_with("HELO"));
            (is_hello || !line.is_empty() && heard.starts_with(line)).then_some(reply)
        });
        let runner = runner(dir.path(), &host, |_| {});
        let to = ["a@r.test", "b@r.test"].map(|to| remote(Mailer::Smtp, to)).to_vec();
        let id = queue(&runner, Some("alice@example.test"), to);
        assert_eq!(verdict(&runner, &id), wanted, "{line}: {reply}");
    }
}

#[test]
fn the_demand_of_one_message_is_nothing_against_its_host() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|_| None);
    let runner = runner(dir.path(), &host, |_| {});
    std::fs::write(dir.path().join("etc/tls-policies"), "[192.0.2.1] verify\n").unwrap();
    let queue_with = |wish: TlsWish| {
        let sender = Some(address("alice@example.test"));
        let mut envelope = Envelope::local(sender, NOW, vec![remote(Mailer::Smtp, "a@r.test")]);
        envelope.handling.tls = wish;
        queue_as(&runner, envelope, b"Subject: s\n\nx\n")
    };
    assert_eq!(verdict(&runner, &queue_with(TlsWish::Usual)), "unreachable", "the policy is for all");
    assert_eq!(verdict(&runner, &queue_with(TlsWish::Required)), "unknown");
    assert_eq!(verdict(&runner, &queue_with(TlsWish::NotRequired)), "reached");
    std::fs::write(dir.path().join("etc/routes"), "* esmtp:no-dns.test\n").unwrap();
    assert_eq!(verdict(&runner, &queue_with(TlsWish::Usual)), "unknown", "nobody was asked");
}

#[test]
fn the_next_host_is_asked_when_one_sends_us_away_before_it_is_at_work() {
    for (line, reply, mails, is_delivered) in [
        ("MAIL", "421 4.7.0 not you", 2, true),
        ("MAIL", "CLOSE", 2, true),
        ("RCPT", "421 4.7.0 not you", 2, true),
        // It is at work, or has said what it thinks of the message.
        ("MAIL", "451 4.7.1 not now", 1, false),
        ("DATA", "421 4.7.0 not you", 1, false),
        ("END", "CLOSE", 1, false),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let is_first = Arc::new(Mutex::new(true));
        let host = Host::new(move |heard| {
            let mut is_first = is_first.lock().unwrap();
            let fits = *is_first && heard.starts_with(line);
            *is_first &= !fits;
            fits.then_some(reply)
        });
        let runner = runner(dir.path(), &host, |_| {});
        std::fs::write(dir.path().join("etc/routes"), "* esmtp:[192.0.2.1]:[192.0.2.2]\n").unwrap();
        let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
        let attempted = runner.run(&id, || NOW).unwrap();
        assert_eq!((host.heard("MAIL"), attempted == Attempted::Finished), (mails, is_delivered), "{line}: {reply}");
    }
}

#[test]
fn no_more_than_three_hosts_may_send_us_away() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|heard| heard.starts_with("MAIL").then_some("421 4.7.0 not you"));
    let runner = runner(dir.path(), &host, |_| {});
    let hosts: Vec<String> = (1..6).map(|n| format!("[192.0.2.{n}]")).collect();
    std::fs::write(dir.path().join("etc/routes"), format!("* esmtp:{}\n", hosts.join(":"))).unwrap();
    let id = queue(&runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, "a@r.test")]);
    assert!(matches!(runner.run(&id, || NOW).unwrap(), Attempted::Later(_)));
    assert_eq!(host.heard("MAIL"), 3);
}
