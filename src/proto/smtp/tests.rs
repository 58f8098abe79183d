use super::server::{Answer, Ask, Config, Context, Kind, Limits, SmtpSession};
use crate::proto::{Session, Step};
use crate::sasl::Mechanism;
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
    }
}

/// Drives a session with a world that knows alice, bob and carol; returns the transcript and the texts committed.
fn talk(kind: Kind, context: Context, input: &[u8], step: usize) -> (String, Vec<String>) {
    let now = Instant::now();
    let mut session = SmtpSession::new(Arc::new(config(kind)), context, now);
    let (mut out, mut committed, mut text, mut recipients) = (Vec::new(), Vec::new(), Vec::new(), 0);
    let mut drain = |session: &mut SmtpSession| loop {
        match session.next() {
            Step::Send(bytes) => out.extend(bytes),
            Step::Wait | Step::StartTls => return true,
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
    let context = Context { has_secrets: true, ..Context::default() };
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
    let input = "EHLO c\r\nMAIL FROM:<>\r\nRCPT TO:<alice@a.test>\r\nBDAT 12\r\nSubject: x\r\nBDAT 5\r\n\r\na\r\r\nBDAT 2 LAST\r\n\n.\
                 MAIL FROM:<>\r\nRCPT TO:<bob@a.test>\r\nBDAT 3 LAST\r\na\nbBDAT 1 LAST\r\nxNOOP\r\n";
    let input =
        input.replace("BDAT 5\r\n\r\na\r\r\n", "BDAT 4\r\n\r\na\r").replace("BDAT 2 LAST\r\n\n.", "BDAT 2 LAST\r\n\n.");
    let (out, committed) = both(Kind::Smtp, &input);
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
