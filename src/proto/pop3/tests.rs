use super::server::Listing;
use super::*;
use crate::proto::{Session, Step};
use crate::sasl::{Evidence, Mechanism};
use std::sync::Arc;
use std::time::{Duration, Instant};

const TEXTS: [&str; 3] = ["Subject: one\n\nline 1\n.line 2\nline 3\n", "Subject: two\n\n", "Subject: three\n\nno end"];

fn config() -> Config {
    Config {
        host: "pop.test".into(),
        mechanisms: vec![Mechanism::Plain],
        stls: true,
        apop: true,
        login_delay: 0,
        attempts: 3,
        idle: Duration::from_secs(600),
    }
}

/// Drives a session with a mailbox of three messages; returns the transcript and what was removed at the end.
fn talk(input: &str, step: usize) -> (String, Option<Vec<u32>>) {
    let now = Instant::now();
    let context = Context { plaintext_allowed: true, stamp: "<1@pop.test>".into(), ..Context::default() };
    let mut session = Pop3Session::new(Arc::new(config()), context, now);
    let (mut out, mut removed, mut read) = (Vec::new(), None, 0);
    let mut drain = |session: &mut Pop3Session| loop {
        match session.next() {
            Step::Send(bytes) => out.extend(bytes),
            Step::Wait if session.penalty.is_some() => session.timeout(now + Duration::from_secs(60)),
            Step::Wait | Step::StartTls | Step::Compress | Step::ExpectTls => return true,
            Step::Close => return false,
            Step::Ask(ask) => {
                let answer = match ask {
                    Ask::Connect(_) => Answer::Verdict(Ok(())),
                    Ask::Login(Evidence::Password { password, .. }) if password == "right" => {
                        Answer::Login(Ok((3, 99)))
                    }
                    Ask::Login(_) | Ask::Apop(..) => Answer::Login(Err(Denial::Wrong(Duration::from_secs(1)))),
                    Ask::List(which) => Answer::List(
                        (0..3)
                            .map(|i| Listed {
                                size: TEXTS[i].len() as u64,
                                unique_id: if which == Listing::UniqueIds { format!("id{i}") } else { String::new() },
                            })
                            .collect(),
                    ),
                    Ask::Read(number, is_first) => {
                        // Pieces of seven octets, so that lines are cut.
                        read = if is_first { 0 } else { read };
                        let text = &TEXTS[number as usize].as_bytes()[read..];
                        let piece = &text[..text.len().min(7)];
                        read += piece.len();
                        Answer::Text(Ok((piece.to_vec(), piece.is_empty())))
                    }
                    Ask::Update(numbers) => {
                        removed = Some(numbers);
                        Answer::Updated(Ok(()))
                    }
                    other => panic!("{other:?}"),
                };
                session.answer(now, answer);
            }
        }
    };
    drain(&mut session);
    'all: for piece in input.as_bytes().chunks(step) {
        let mut rest = piece;
        while !rest.is_empty() {
            let taken = session.input(now, rest);
            rest = &rest[taken..];
            if !drain(&mut session) || taken == 0 {
                break 'all;
            }
        }
    }
    (String::from_utf8(out).unwrap(), removed)
}

fn both(input: &str) -> (String, Option<Vec<u32>>) {
    let whole = talk(input, input.len());
    for step in [1, 3] {
        assert_eq!(talk(input, step), whole, "step {step}");
    }
    whole
}

#[test]
fn a_whole_session() {
    let (out, removed) = both(
        "USER alice\r\nPASS right\r\nSTAT\r\nLIST\r\nUIDL 2\r\nRETR 1\r\nTOP 1 1\r\nTOP 1 0\r\nRETR 3\r\nDELE 2\r\nDELE 2\r\n\
         RETR 2\r\nLIST 2\r\nSTAT\r\nLAST\r\nNOOP\r\nQUIT\r\n",
    );
    assert!(out.starts_with("+OK pop.test POP3 ready <1@pop.test>\r\n"));
    assert!(out.contains("+OK 3 99\r\n"));
    assert!(out.contains("1 36\r\n2 14\r\n3 22\r\n.\r\n"));
    assert!(out.contains("+OK 2 id1\r\n"));
    assert!(out.contains("\r\n\r\nline 1\r\n..line 2\r\nline 3\r\n.\r\n"));
    assert!(out.contains("+OK message follows\r\nSubject: one\r\n\r\nline 1\r\n.\r\n"));
    assert!(out.contains("+OK message follows\r\nSubject: one\r\n\r\n.\r\n"));
    assert!(out.contains("no end\r\n.\r\n"));
    assert_eq!(out.matches("-ERR that message is deleted").count(), 3);
    assert!(out.contains("+OK 2 58\r\n") && out.contains("+OK 3\r\n"));
    assert_eq!(removed, Some(vec![1]));
}

#[test]
fn nothing_is_removed_without_quit() {
    assert_eq!(both("USER a\r\nPASS right\r\nDELE 1\r\n").1, None);
    assert_eq!(both("USER a\r\nPASS right\r\nDELE 1\r\nRSET\r\nQUIT\r\n").1, Some(vec![]));
    assert_eq!(both("QUIT\r\n").1, None);
}

#[test]
fn states_and_mistakes() {
    let (out, _) = both(
        "STAT\r\nPASS x\r\nUSER\r\nXYZZY\r\nCAPA\r\nUSER a\r\nPASS right\r\nUSER a\r\nRETR 0\r\nRETR 9\r\nTOP 1\r\nUIDL x\r\n",
    );
    assert_eq!(out.matches("-ERR").count(), 9);
    assert!(out.contains("SASL PLAIN\r\n") && out.contains("STLS\r\n") && out.contains("RESP-CODES\r\n"));
}

#[test]
fn wrong_passwords_wait_and_end() {
    let (out, _) = both("USER a\r\nPASS no\r\nUSER a\r\nPASS no\r\nAPOP a 0123\r\nSTAT\r\n");
    assert_eq!(out.matches("-ERR [AUTH]").count(), 3);
    assert!(!out.contains("log in first"), "the connection is closed after the third");
}
