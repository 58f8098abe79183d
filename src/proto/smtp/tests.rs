use super::{Answer, Ask, Config, Context, Extensions, Kind, Limits, Manners, SmtpSession};
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{Evidence, Mechanism};
use crate::status::{Enhanced, Reply};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn config(kind: Kind) -> Config {
    Config {
        host: "mx.test".into(),
        kind,
        limits: Limits {
            message_size: 1000,
            recipients: 3,
            errors: 20,
            commands: 100,
            attempts: 3,
            timeout_command: Duration::from_secs(300),
            timeout_data: Duration::from_secs(600),
        },
        mechanisms: vec![Mechanism::Plain, Mechanism::CramMd5],
        starttls: true,
        etrn: vec![],
        xclient_from: vec!["192.0.2.9".parse().unwrap()],
        extensions: Extensions::default(),
        manners: Manners::default(),
    }
}

/// Drives a session with a world that knows alice, bob and carol; returns the transcript and the texts committed.
fn talk(kind: Kind, context: Context, input: &[u8], step: usize) -> (String, Vec<String>) {
    talk_with(config(kind), context, input, step)
}

fn talk_with(config: Config, context: Context, input: &[u8], step: usize) -> (String, Vec<String>) {
    let now = Instant::now();
    let kind = config.kind;
    let mut session = SmtpSession::new(Arc::new(config), context, now);
    let (mut out, mut committed, mut text, mut recipients) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut drain = |session: &mut SmtpSession| loop {
        match session.next() {
            Step::Send(bytes) => out.extend(bytes),
            Step::Wait | Step::StartTls | Step::Compress | Step::ExpectTls => return true,
            Step::Close => return false,
            Step::Ask(ask) => {
                let answer = match ask {
                    Ask::Connect(..) | Ask::Sender(_) => Answer::Verdict(Ok(())),
                    Ask::Open => {
                        text.clear();
                        Answer::Verdict(Ok(()))
                    }
                    Ask::Recipient(rcpt) => Answer::Verdict(match rcpt.address.local() {
                        "alice" | "bob" | "carol" | "dave" => {
                            recipients += 1;
                            Ok(())
                        }
                        _ => Err(Reply::new(550, Enhanced(5, 1, 1), "unknown")),
                    }),
                    Ask::Chunk(piece) => {
                        text.extend(piece);
                        let full = Err(Reply::new(552, Enhanced(5, 3, 4), "too big"));
                        Answer::Verdict(if text.len() > 1000 { full } else { Ok(()) })
                    }
                    Ask::Commit(piece) => {
                        text.extend(piece);
                        committed.push(String::from_utf8(text.clone()).unwrap());
                        let count = if kind == Kind::Lmtp { recipients } else { 1 };
                        recipients = 0;
                        Answer::Replies(vec![Reply::new(250, Enhanced(2, 0, 0), "queued"); count])
                    }
                    Ask::Abort => {
                        recipients = 0;
                        Answer::Done
                    }
                    Ask::Login(Evidence::Proven(proven)) if proven.user() == "mallory" => {
                        Answer::Login(Err((Duration::ZERO, None)))
                    }
                    Ask::Login(_) => Answer::Login(Ok("alice".into())),
                    other => panic!("{other:?}"),
                };
                session.answer(now, answer);
            }
        }
    };
    drain(&mut session);
    'all: for piece in input.chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = session.input(now, rest);
            rest = &rest[taken..];
            if !drain(&mut session) || taken == 0 {
                break 'all;
            }
        }
    }
    (String::from_utf8(out).unwrap(), committed)
}

fn codes(transcript: &str) -> Vec<&str> {
    transcript.lines().filter(|l| l.as_bytes()[3] == b' ').map(|l| &l[..3]).collect()
}

/// Whole and byte by byte give the same.
fn both(kind: Kind, input: &str) -> (String, Vec<String>) {
    let context = Context { has_secrets: true, nonce: "n".into(), ..Context::default() };
    let whole = talk(kind, context.clone(), input.as_bytes(), input.len());
    for step in [1, 2, 7] {
        assert_eq!(talk(kind, context.clone(), input.as_bytes(), step), whole, "step {step}");
    }
    whole
}

#[test]
fn a_pipelined_message_goes_through() {
    let input = "EHLO c\r\nMAIL FROM:<x@y.test> SIZE=5\r\nRCPT TO:<alice@a.test>\r\nRCPT TO:<no@a.test>\r\nDATA\r\n\
                 Subject: x\r\n\r\n..dot\r\n.\r\nQUIT\r\n";
    let (out, committed) = both(Kind::Smtp, input);
    assert_eq!(codes(&out), ["220", "250", "250", "250", "550", "354", "250", "221"]);
    assert_eq!(committed, ["Subject: x\n\n.dot\n"]);
    assert!(out.contains("250-PIPELINING\r\n") && out.contains("250-STARTTLS\r\n") && out.contains("CRAM-MD5"));
    assert!(!out.contains("PLAIN"), "no plaintext mechanism without TLS");
}

#[test]
fn order_and_syntax() {
    let (out, _) = both(
        Kind::Smtp,
        "RCPT TO:<a@b.test>\r\nDATA\r\nMAIL FROM x\r\nMAIL FROM:<a@b.test>\r\nMAIL FROM:<a@b.test>\r\nDATA\r\nXYZZY\r\n\
         NOOP x\r\nRSET x\r\nRSET\r\nEHLO\r\nMAIL FROM:<a@b.test> SIZE=5000\r\nVRFY\r\nNOOP\n",
    );
    assert_eq!(
        codes(&out),
        ["220", "503", "503", "501", "250", "503", "554", "500", "250", "501", "250", "501", "552", "501", "500"]
    );
}

#[test]
fn bdat_in_pieces_with_crlf_cut_between() {
    let input = "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\nBDAT 12\r\nSubject: x\r\nBDAT 4\r\n\r\na\rBDAT 2 LAST\r\n\n.\
                 MAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nBDAT 3 LAST\r\na\nbBDAT 1 LAST\r\nxNOOP\r\n";
    let (out, committed) = both(Kind::Smtp, input);
    assert_eq!(committed, ["Subject: x\n\na\n."]);
    // The second message has a bare LF; the third piece has no transaction.
    assert_eq!(codes(&out), ["220", "250", "250", "250", "250", "250", "250", "250", "250", "550", "503", "250"]);
}

#[test]
fn smuggling_forms_end_nothing() {
    for dot in ["\n.\n", "\n.\r\n", "\r.\r\n", "\r\n.\n", "\r\n.\r", "\r.\r"] {
        let input = format!(
            "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\nDATA\r\nx{dot}MAIL FROM:<evil@e.test>\r\n.\r\nNOOP\r\n"
        );
        let (out, committed) = both(Kind::Smtp, &input);
        assert_eq!(codes(&out), ["220", "250", "250", "250", "354", "550", "250"], "{dot:?}");
        assert!(committed.is_empty());
    }
}

#[test]
fn a_refused_text_is_read_to_its_end() {
    let body = "x".repeat(900) + "\r\n";
    let input = format!("EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\n{body}{body}{body}.\r\nNOOP\r\n");
    let (out, committed) = talk(Kind::Smtp, Context::default(), input.as_bytes(), 100);
    assert_eq!(codes(&out), ["220", "250", "250", "250", "354", "552", "250"]);
    assert!(committed.is_empty());
}

#[test]
fn lmtp_answers_for_each_recipient() {
    let input = "EHLO c\r\nLHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\nRCPT TO:<no@a.test>\r\nRCPT TO:<bob@a.test>\r\nDATA\r\nx\r\n.\r\nQUIT\r\n";
    let (out, committed) = both(Kind::Lmtp, input);
    assert_eq!(codes(&out), ["220", "500", "250", "250", "250", "550", "250", "354", "250", "250", "221"]);
    assert_eq!(committed.len(), 1);
}

#[test]
fn submission_wants_a_login_and_tls_before_it() {
    let plain = "AUTH PLAIN AGFsaWNlAHB3\r\n";
    let input = format!("EHLO c\r\nMAIL FROM:<a@b.test>\r\n{plain}STARTTLS\r\n");
    let (out, _) = both(Kind::Submission, &input);
    assert_eq!(codes(&out), ["220", "250", "530", "538", "220"]);
    let context = Context { plaintext_allowed: true, ..Context::default() };
    let input = format!("EHLO c\r\n{plain}MAIL FROM:<a@b.test>\r\n");
    let (out, _) = talk(Kind::Submission, context, input.as_bytes(), 1);
    assert_eq!(codes(&out), ["220", "250", "235", "250"]);
}

#[test]
fn limits_end_things() {
    let (out, _) = both(Kind::Smtp, &"X\r\n".repeat(50));
    assert_eq!(codes(&out).last(), Some(&"421"));
    assert_eq!(codes(&out).len(), 22);
    let input = "EHLO c\r\nMAIL FROM:<>\r\n".to_string() + &"RCPT TO:<bob@a.test>\r\n".repeat(4);
    assert_eq!(codes(&both(Kind::Smtp, &input).0).last(), Some(&"452"));
    let long = format!("NOOP {}\r\nNOOP\r\n", "x".repeat(5000));
    assert_eq!(codes(&both(Kind::Smtp, &long).0), ["220", "500", "250"]);
    let (out, _) = both(Kind::Smtp, &"NOOP\r\n".repeat(200));
    assert_eq!(codes(&out).last(), Some(&"421"));
}

#[test]
fn xclient_and_proxy_change_the_peer_only_for_the_trusted() {
    let line = b"XCLIENT ADDR=198.51.100.7 HELO=front\r\nNOOP\r\n";
    assert_eq!(codes(&talk(Kind::Smtp, Context::default(), line, 3).0), ["220", "550", "250"]);
    let trusted = Context { ip: Some("192.0.2.9".parse().unwrap()), ..Context::default() };
    assert_eq!(codes(&talk(Kind::Smtp, trusted, line, 3).0), ["220", "220", "250"]);
    let proxied = Context { expects_proxy: true, ..Context::default() };
    let input = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 25\r\nNOOP\r\n";
    for step in [1, 5, 100] {
        assert_eq!(codes(&talk(Kind::Smtp, proxied.clone(), input, step).0), ["220", "250"]);
        assert_eq!(talk(Kind::Smtp, proxied.clone(), b"EHLO x\r\n", step).0, "");
    }
}

#[test]
fn silence_ends_with_421() {
    let now = Instant::now();
    let mut session = SmtpSession::new(Arc::new(config(Kind::Smtp)), Context::default(), now);
    assert!(matches!(session.next(), Step::Ask(_)));
    session.answer(now, Answer::Verdict(Ok(())));
    assert!(matches!(session.next(), Step::Send(_)));
    assert_eq!(session.deadline(), Some(now + Duration::from_secs(300)));
    session.timeout(now + Duration::from_secs(299));
    assert_eq!(session.next(), Step::Wait);
    session.timeout(now + Duration::from_secs(300));
    assert!(matches!(session.next(), Step::Send(out) if out.starts_with(b"421 4.4.2")));
    assert_eq!(session.next(), Step::Close);
}

#[test]
fn a_command_that_drips_in_has_its_time_as_a_whole() {
    let start = Instant::now();
    let mut session = SmtpSession::new(Arc::new(config(Kind::Smtp)), Context::default(), start);
    session.next();
    session.answer(start, Answer::Verdict(Ok(())));
    session.next();
    for second in 1..=30 {
        session.input(start + Duration::from_secs(second), b"x");
    }
    assert_eq!(session.deadline(), Some(start + Duration::from_secs(300)));
    session.input(start + Duration::from_secs(31), b"\r\n");
    assert_eq!(session.deadline(), Some(start + Duration::from_secs(331)));
}

#[test]
fn a_text_that_drips_in_ends_and_a_slow_one_goes_on() {
    for (step, ends) in [(1, true), (64 << 10, false)] {
        for begin in ["DATA\r\n", "BDAT 10000000 LAST\r\n"] {
            let start = Instant::now();
            let mut config = config(Kind::Smtp);
            config.limits.message_size = 1 << 30;
            let mut session = SmtpSession::new(Arc::new(config), Context::default(), start);
            let drain = |session: &mut SmtpSession, now| loop {
                match session.next() {
                    Step::Ask(_) => session.answer(now, Answer::Verdict(Ok(()))),
                    Step::Send(_) => {}
                    Step::Close => return false,
                    _ => return true,
                }
            };
            for line in ["", "EHLO c\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<alice@a.test>\r\n", begin] {
                session.input(start, line.as_bytes());
                assert!(drain(&mut session, start));
            }
            // One piece a minute for an hour.
            let mut is_open = true;
            for minute in 1..=60 {
                let now = start + Duration::from_secs(60 * minute);
                if session.deadline().is_some_and(|d| d <= now) {
                    session.timeout(now);
                }
                session.input(now, &vec![b'x'; step]);
                is_open = is_open && drain(&mut session, now);
            }
            assert_eq!(is_open, !ends, "{begin:?} in pieces of {step}");
        }
    }
}

#[test]
fn recipients_beyond_the_limit_do_not_end_the_session() {
    // The text still goes through to the others (RFC 5321 §4.5.3.1.10), and accepted recipients are no idle talk.
    let rcpt = "RCPT TO:<bob@a.test>\r\n".repeat(60);
    let input = format!("EHLO c\r\nMAIL FROM:<>\r\n{rcpt}DATA\r\nx\r\n.\r\n");
    let (out, committed) = both(Kind::Smtp, &input);
    assert_eq!(codes(&out).last(), Some(&"250"));
    assert_eq!(codes(&out).iter().filter(|c| **c == "452").count(), 57);
    assert_eq!(committed, ["x\n"]);
}

#[test]
fn many_recipients_and_many_pieces_are_not_too_many_commands() {
    let mut config = config(Kind::Smtp);
    config.limits.recipients = 1000;
    let input = format!(
        "EHLO c\r\nMAIL FROM:<>\r\n{}{}BDAT 0 LAST\r\n",
        "RCPT TO:<bob@a.test>\r\n".repeat(1000),
        "BDAT 1\r\nx".repeat(900)
    );
    let (out, committed) = talk_with(config, Context::default(), input.as_bytes(), input.len());
    assert_eq!(committed, ["x".repeat(900)], "{out}");
}

#[test]
fn lmtp_without_recipients_and_with_a_piece_that_fails() {
    let input = "LHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<no@a.test>\r\nDATA\r\nBDAT 2 LAST\r\nxx";
    assert_eq!(codes(&both(Kind::Lmtp, input).0), ["220", "250", "250", "550", "503", "503"]);
    let recipients = "RCPT TO:<alice@a.test>\r\nRCPT TO:<bob@a.test>\r\n";
    let big = format!("BDAT 1200\r\n{}", "x".repeat(1200));
    let input = format!("LHLO c\r\nMAIL FROM:<>\r\n{recipients}{big}NOOP\r\n");
    assert_eq!(codes(&both(Kind::Lmtp, &input).0), ["220", "250", "250", "250", "250", "552", "250"]);
    let input = format!("LHLO c\r\nMAIL FROM:<>\r\n{recipients}BDAT 3 LAST\r\na\nbNOOP\r\n");
    assert_eq!(codes(&both(Kind::Lmtp, &input).0), ["220", "250", "250", "250", "250", "550", "550", "250"]);
}

#[test]
fn a_bdat_that_is_not_understood_ends_the_session() {
    for bad in ["BDAT x\r\n", "BDAT +3\r\n", "BDAT -1\r\n", "BDAT 3 FIRST\r\n", "BDAT 3\n", "bdat 3 \u{0}\r\n"] {
        let input = format!("EHLO c\r\nMAIL FROM:<>\r\n{bad}NOOP\r\n");
        let out = both(Kind::Smtp, &input).0;
        let replies = codes(&out);
        assert!(replies.len() == 4 && replies[3].starts_with("50"), "{bad:?}: {replies:?}");
    }
}

#[test]
fn bdat_is_given_up_and_begun_again() {
    let envelope = "MAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\n";
    let input = format!(
        "EHLO c\r\n{envelope}BDAT 4\r\nold\nDATA\r\nRCPT TO:<bob@a.test>\r\nMAIL FROM:<>\r\nRSET\r\nBDAT 1 LAST\r\nx\
         {envelope}BDAT 5\r\nnew\r\nBDAT 0 LAST\r\nNOOP\r\n"
    );
    let (out, committed) = both(Kind::Smtp, &input);
    assert_eq!(
        codes(&out),
        ["220", "250", "250", "250", "250", "503", "503", "503", "250", "503", "250", "250", "250", "250", "250"]
    );
    assert_eq!(committed, ["new\n"], "neither the old piece nor its bare LF is left");
}

#[test]
fn a_login_made_in_clear_does_not_outlive_starttls() {
    let context = Context { plaintext_allowed: true, ..Context::default() };
    let input = b"EHLO c\r\nAUTH PLAIN AGFsaWNlAHB3\r\nSTARTTLS\r\nNOOP\r\n";
    assert_eq!(codes(&talk(Kind::Smtp, context, input, 1).0), ["220", "250", "235", "503", "250"]);
}

#[test]
fn implicit_tls_is_admitted_first_and_proxied_first() {
    let now = Instant::now();
    for expects_proxy in [false, true] {
        let context = Context { implicit_tls: true, expects_proxy, ..Context::default() };
        let mut session = SmtpSession::new(Arc::new(config(Kind::Submission)), context, now);
        let header = b"PROXY TCP4 198.51.100.7 192.0.2.2 5000 465\r\n";
        if expects_proxy {
            assert_eq!(session.next(), Step::Wait);
            let early = [header.as_slice(), b"\x16\x03\x01"].concat();
            assert_eq!(session.input(now, &early), header.len(), "the rest is the handshake's");
        }
        assert!(matches!(session.next(), Step::Ask(Ask::Connect(..))));
        session.answer(now, Answer::Verdict(Ok(())));
        assert_eq!(session.next(), Step::ExpectTls);
        session.tls_started(now, Default::default());
        assert!(matches!(session.next(), Step::Send(out) if out.starts_with(b"220 mx.test")));
        assert_eq!(session.next(), Step::Wait);
    }
    let context = Context { implicit_tls: true, ..Context::default() };
    let mut session = SmtpSession::new(Arc::new(config(Kind::Submission)), context, now);
    session.next();
    session.answer(now, Answer::Verdict(Err(Reply::new(421, Enhanced(4, 7, 0), "full"))));
    assert_eq!(session.next(), Step::Close, "nothing in clear on a port that speaks TLS");
}

#[test]
fn a_front_end_vouches_for_a_login_that_the_directory_grants() {
    let trusted = Context { ip: Some("192.0.2.9".parse().unwrap()), ..Context::default() };
    let line = b"XCLIENT ADDR=198.51.100.7 LOGIN=alice+40a.test\r\nEHLO c\r\nMAIL FROM:<a@b.test>\r\n";
    let out = talk(Kind::Submission, trusted.clone(), line, 3).0;
    assert_eq!(codes(&out), ["220", "220", "250", "250"]);
    let line = b"XCLIENT ADDR=198.51.100.7 LOGIN=mallory\r\nEHLO c\r\nMAIL FROM:<a@b.test>\r\n";
    assert_eq!(codes(&talk(Kind::Submission, trusted.clone(), line, 3).0), ["220", "535", "250", "530"]);
    assert_eq!(codes(&talk(Kind::Smtp, trusted, b"XCLIENT HELO=a+0Ab\r\n", 3).0), ["220", "501"]);
}

#[test]
fn no_mechanism_that_needs_a_nonce_without_one() {
    let out = talk(Kind::Smtp, Context { has_secrets: true, ..Context::default() }, b"EHLO c\r\n", 9).0;
    assert!(!out.contains("CRAM-MD5"), "{out}");
}

#[test]
fn a_front_ends_certificate_is_not_its_clients() {
    let mut config = config(Kind::Submission);
    config.mechanisms.insert(0, Mechanism::External);
    let now = Instant::now();
    let context = Context { ip: Some("192.0.2.9".parse().unwrap()), ..Context::default() };
    let mut session = SmtpSession::new(Arc::new(config), context, now);
    assert!(matches!(session.next(), Step::Ask(Ask::Connect(..))));
    session.answer(now, Answer::Verdict(Ok(())));
    session.tls_started(now, TlsFacts { client_names: vec!["front@b.test".into()], ..TlsFacts::default() });
    let mut said = |line: &[u8]| {
        assert_eq!(session.input(now, line), line.len());
        let mut out = Vec::new();
        loop {
            match session.next() {
                Step::Send(bytes) => out.extend(bytes),
                Step::Ask(Ask::Connect(..)) => session.answer(now, Answer::Verdict(Ok(()))),
                Step::Wait => return String::from_utf8(out).unwrap(),
                other => panic!("{other:?}"),
            }
        }
    };
    assert!(said(b"EHLO c\r\n").contains("AUTH EXTERNAL PLAIN"));
    assert!(said(b"XCLIENT ADDR=198.51.100.7\r\n").starts_with("220"));
    assert!(said(b"EHLO c\r\n").contains("AUTH PLAIN"));
    assert!(said(b"AUTH EXTERNAL =\r\n").starts_with("504"));
}

#[test]
fn a_client_that_guesses_waits_for_its_replies() {
    let start = Instant::now();
    let mut config = config(Kind::Smtp);
    config.manners.slow_recipients = 1;
    let mut session = SmtpSession::new(Arc::new(config), Context::default(), start);
    // The replies to a line at a time; a recipient called bad is none.
    let said = |session: &mut SmtpSession, now, line: &str| {
        session.input(now, line.as_bytes());
        let mut said = String::new();
        loop {
            match session.next() {
                Step::Ask(Ask::Recipient(rcpt)) if rcpt.address.local() == "bad" => {
                    session.answer(now, Answer::Verdict(Err(Reply::new(550, Enhanced(5, 1, 1), "unknown"))));
                }
                Step::Ask(_) => session.answer(now, Answer::Verdict(Ok(()))),
                Step::Send(out) => said.push_str(&String::from_utf8_lossy(&out)),
                _ => return said,
            }
        }
    };
    let (bad, good) = ("RCPT TO:<bad@a.test>\r\n", "RCPT TO:<alice@a.test>\r\n");
    for line in ["", "EHLO c\r\n", "MAIL FROM:<>\r\n"] {
        said(&mut session, start, line);
    }
    assert!(said(&mut session, start, bad).starts_with("550 "), "the first is free");
    for (line, reply) in [(bad, "550 "), (good, "250 ")] {
        assert_eq!(said(&mut session, start, line), "");
        let later = start + Duration::from_secs(1);
        assert_eq!(session.deadline(), Some(later));
        // What comes meanwhile waits.
        assert_eq!(session.input(start, b"NOOP\r\n"), 0);
        session.timeout(later);
        assert!(said(&mut session, start, "").starts_with(reply));
    }
    said(&mut session, start, "RSET\r\n");
    said(&mut session, start, "MAIL FROM:<>\r\n");
    assert!(said(&mut session, start, bad).starts_with("550 "), "each message counts anew");
}
