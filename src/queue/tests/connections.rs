//! One connection for several messages, and messages in one piece.

use super::*;
use crate::queue::attempt::Opened;

/// Tries a message over a connection that may be kept, and settles it.
fn over(runner: &Runner, id: &Id, kept: &mut Option<crate::queue::opening::Open>) -> Attempted {
    let Opened::Attempt(attempt) = runner.open(id, NOW).unwrap() else { panic!("{id}") };
    let (is_last, _) = runner.try_way(&attempt, 0, kept, || NOW);
    assert!(is_last);
    runner.settle(&attempt, NOW).unwrap()
}

fn one(runner: &Runner, to: &str) -> Id {
    queue(runner, Some("alice@example.test"), vec![remote(Mailer::Smtp, to)])
}

#[test]
fn messages_of_one_destination_share_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| line.starts_with("RCPT TO:<no@").then_some("550 5.1.1 no"));
    let runner = runner(dir.path(), &host, |_| {});
    let mut kept = None;
    for to in ["a@r.test", "no@r.test", "b@r.test"] {
        let id = one(&runner, to);
        assert_eq!(over(&runner, &id, &mut kept), Attempted::Finished);
    }
    assert_eq!((host.heard("EHLO"), host.texts(), host.heard("QUIT")), (1, 2, 0));
    assert_eq!(kept.map(|open| open.used), Some(3));
}

#[test]
fn a_connection_that_was_closed_meanwhile_is_opened_again() {
    for reply in ["CLOSE", "421 4.4.2 idle for too long"] {
        let dir = tempfile::tempdir().unwrap();
        let mails = Arc::new(Mutex::new(0));
        let counted = mails.clone();
        let host = Host::new(move |line| {
            let is_second = line.starts_with("MAIL") && {
                *counted.lock().unwrap() += 1;
                *counted.lock().unwrap() == 2
            };
            is_second.then_some(reply)
        });
        let runner = runner(dir.path(), &host, |_| {});
        let mut kept = None;
        for _ in 0..2 {
            let id = one(&runner, "a@r.test");
            assert_eq!(over(&runner, &id, &mut kept), Attempted::Finished, "{reply}");
        }
        assert_eq!((host.heard("EHLO"), host.texts(), *mails.lock().unwrap()), (2, 2, 3), "{reply}");
    }
}

#[test]
fn a_short_message_goes_in_one_piece_to_who_knows_chunking() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| match line {
        l if l.starts_with("EHLO") => Some("250-peer\r\n250-PIPELINING\r\n250 CHUNKING"),
        l if l.starts_with("RCPT TO:<no@") => Some("550 5.1.1 no"),
        _ => None,
    });
    let runner = runner(dir.path(), &host, |_| {});
    let mut kept = None;
    for to in [&["no@r.test"][..], &["no@r.test", "a@r.test"], &["a@r.test", "b@r.test"]] {
        let to = to.iter().map(|to| remote(Mailer::Smtp, to)).collect();
        let id = queue(&runner, Some("alice@example.test"), to);
        assert_eq!(over(&runner, &id, &mut kept), Attempted::Finished);
    }
    assert_eq!((host.heard("EHLO"), host.heard("DATA"), host.texts()), (1, 0, 2));
    assert_eq!(host.texts.lock().unwrap()[0], "Subject: queued\r\n\r\nbody\r\n");
    assert_eq!(host.heard("RSET"), 1, "after the transaction without recipients");
}

#[test]
fn a_message_that_fails_as_a_chunk_stays() {
    let dir = tempfile::tempdir().unwrap();
    let host = Host::new(|line| match line {
        l if l.starts_with("EHLO") => Some("250-peer\r\n250-PIPELINING\r\n250 CHUNKING"),
        "END" => Some("452 4.3.1 disk full"),
        _ => None,
    });
    let runner = runner(dir.path(), &host, |_| {});
    let id = one(&runner, "a@r.test");
    assert!(matches!(over(&runner, &id, &mut None), Attempted::Later(_)));
    assert_eq!((owed(&runner, &id), host.heard("RSET")), (vec![true], 1));
}

#[test]
fn what_is_too_large_for_a_host_is_not_sent_to_it() {
    for (size, octets, finished) in [("SIZE 10", 0, true), ("SIZE 0", 1, true), ("SIZE", 1, true)] {
        let dir = tempfile::tempdir().unwrap();
        let ehlo: &'static str = Box::leak(format!("250-peer\r\n250-PIPELINING\r\n250 {size}").into_boxed_str());
        let host = Host::new(move |line| line.starts_with("EHLO").then_some(ehlo));
        let runner = runner(dir.path(), &host, |_| {});
        let id = one(&runner, "a@r.test");
        assert_eq!(over(&runner, &id, &mut None) == Attempted::Finished, finished, "{size}");
        assert_eq!((host.heard("MAIL"), host.texts()), (octets, octets), "{size}");
        assert_eq!(mailbox(dir.path(), "alice").len(), 1 - octets, "{size}");
    }
}

#[test]
fn a_host_of_seven_bits_gets_the_message_encoded() {
    for (ehlo, encodes, wanted, size) in [
        ("250-peer\r\n250-SIZE\r\n250 8BITMIME", true, "Gr\u{fc}\u{df}e und mehr davon", 41),
        ("250-peer\r\n250-SIZE\r\n250 PIPELINING", true, "Gr=C3=BC=C3=9Fe und mehr davon", 153),
        ("250-peer\r\n250-SIZE\r\n250-PIPELINING\r\n250 CHUNKING", true, "Gr=C3=BC=C3=9Fe und mehr davon", 153),
        ("250-peer\r\n250-SIZE\r\n250 PIPELINING", false, "Gr\u{fc}\u{df}e und mehr davon", 41),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::new(move |line| line.starts_with("EHLO").then_some(ehlo));
        let runner = runner(dir.path(), &host, |s| s.relay.encode_8bit = encodes);
        let envelope =
            Envelope::local(Some(address("alice@example.test")), NOW, vec![remote(Mailer::Smtp, "a@r.test")]);
        let id = queue_as(&runner, envelope, "Subject: queued\n\nGr\u{fc}\u{df}e und mehr davon\n".as_bytes());
        assert_eq!(over(&runner, &id, &mut None), Attempted::Finished);
        let text = host.texts.lock().unwrap()[0].clone();
        assert!(text.contains(wanted), "{ehlo}: {text}");
        assert_eq!(text.contains("Content-Transfer-Encoding"), wanted.is_ascii(), "{text}");
        assert_eq!(host.heard("BODY="), 0, "nobody said that it has eight");
        let told = host.heard.lock().unwrap().iter().find_map(|line| line.split("SIZE=").nth(1).map(str::to_string));
        assert_eq!(told.unwrap(), size.to_string(), "{ehlo}: of what is sent, and a fortieth more");
    }
}
