//! Bounded fuzzing of everything that reads foreign bytes, and properties that hold for all inputs.
//!
//! The seed is fixed (`FUZZ_SEED` chooses another), the time bounded (`FUZZ_SECONDS` for each target, 1 by default); `make fuzz` runs it
//! longer. A panic, or an input that takes a second, fails.

mod imap;
mod ldap;
mod managesieve;
mod properties;

use expressmail::proto::{Session, Step, pop3, poppass, smtp};
use expressmail::tables::Table;
use expressmail::{addr, config, dot, fields, line, log, msg, sasl, status, tables};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// xorshift64*: repeatable, and no more is needed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }

    /// Pieces of the target's own words, broken and mixed with noise.
    fn input(&mut self, words: &[&str]) -> Vec<u8> {
        let mut out = Vec::new();
        for _ in 0..self.below(24) {
            match self.below(8) {
                0 => out.extend((0..self.below(12)).map(|_| self.next() as u8)),
                1 => out.extend(b"\r\n\0\xff\"\\<>@.,:;()[]= \t%!+"[self.below(22)..].iter().take(1 + self.below(3))),
                2 => out.extend(std::iter::repeat_n(b"aA.<\"(%9"[self.below(8)], self.below(3000))),
                _ => out.extend(words[self.below(words.len())].bytes()),
            }
        }
        if self.below(4) == 0 && !out.is_empty() {
            let at = self.below(out.len());
            out[at] ^= 1 << self.below(8);
        }
        out
    }
}

fn fuzz(name: &str, words: &[&str], mut act: impl FnMut(&mut Random, &[u8])) {
    let variable = |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let seed = variable("FUZZ_SEED", 20261124);
    let until = Instant::now() + Duration::from_secs(variable("FUZZ_SECONDS", 1));
    let mut random = Random(seed | 1);
    let mut count = 0u64;
    while Instant::now() < until {
        let input = random.input(words);
        let started = Instant::now();
        act(&mut random, &input);
        assert!(started.elapsed() < Duration::from_secs(1), "{name}: {count}: slow on {input:?}");
        count += 1;
    }
    println!("{name}: {count} inputs, seed {seed}");
}

/// Feeds a session in random pieces; `answer` answers its questions. Everything must end, nothing may spin.
fn drive<S: Session>(
    session: &mut S,
    random: &mut Random,
    input: &[u8],
    mut answer: impl FnMut(&mut Random, S::Ask) -> S::Answer,
) {
    let now = Instant::now();
    let mut rest = input;
    let mut steps = 0;
    loop {
        loop {
            steps += 1;
            assert!(steps < 200_000, "the machine spins");
            match session.next() {
                Step::Send(_) => {}
                Step::Ask(ask) => session.answer(now, answer(random, ask)),
                Step::Wait => break,
                Step::StartTls | Step::Compress | Step::ExpectTls | Step::Close => return,
            }
        }
        if rest.is_empty() {
            session.input_closed(now);
            session.timeout(now + Duration::from_secs(100_000));
            session.timeout(now + Duration::from_secs(200_000));
            continue;
        }
        let piece = 1 + random.below(rest.len());
        let taken = session.input(now, &rest[..piece]);
        assert!(taken <= piece);
        if taken == 0 {
            session.timeout(now + Duration::from_secs(100_000));
        }
        rest = &rest[taken..];
    }
}

const MECHANISMS: [sasl::Mechanism; 4] =
    [sasl::Mechanism::Plain, sasl::Mechanism::Login, sasl::Mechanism::CramMd5, sasl::Mechanism::ScramSha256];

#[test]
fn smtp_sessions() {
    let words = [
        "EHLO x\r\n",
        "LHLO x\r\n",
        "MAIL FROM:<a@b.test>",
        "RCPT TO:<a@b.test>",
        " SIZE=10",
        " BODY=8BITMIME",
        " NOTIFY=NEVER",
        " ORCPT=rfc822;a+2Bb",
        "\r\n",
        "DATA\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "BDAT 5\r\n",
        "BDAT 9 LAST\r\n",
        "RSET\r\n",
        "AUTH PLAIN AGEAYg==\r\n",
        "AUTH CRAM-MD5\r\n",
        "AUTH SCRAM-SHA-256 biwsbj11LHI9Yw==\r\n",
        "*\r\n",
        "XCLIENT ADDR=1.2.3.4\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "VRFY a\r\n",
        "QUIT\r\n",
    ];
    let limits = smtp::Limits {
        message_size: 1 << 20,
        recipients: 10,
        errors: 50,
        commands: 500,
        attempts: 9,
        timeout_command: Duration::from_secs(300),
        timeout_data: Duration::from_secs(300),
    };
    fuzz("smtp", &words, |random, input| {
        let kind = [smtp::Kind::Smtp, smtp::Kind::Submission, smtp::Kind::Lmtp][random.below(3)];
        let config = smtp::Config {
            extensions: Default::default(),
            manners: Default::default(),
            host: "h.test".into(),
            kind,
            limits: limits.clone(),
            mechanisms: MECHANISMS.to_vec(),
            starttls: true,
            etrn: vec![],
            xclient_from: vec!["0.0.0.0/0".parse().unwrap()],
        };
        let context = smtp::Context {
            ip: Some([127, 0, 0, 1].into()),
            plaintext_allowed: true,
            has_secrets: true,
            expects_proxy: random.below(4) == 0,
            nonce: "n".into(),
            ..Default::default()
        };
        let mut session = smtp::SmtpSession::new(Arc::new(config), context, Instant::now());
        let mut accepted = 0;
        drive(&mut session, random, input, |random, ask| match ask {
            smtp::Ask::Look(sasl::Lookup::Secret(_)) => smtp::Answer::Found(sasl::Found::Secret(Some("s".into()))),
            smtp::Ask::Look(sasl::Lookup::Scram(u)) => {
                smtp::Answer::Found(sasl::Found::Scram(sasl::ScramKeys::made_up(&[1; 32], &u)))
            }
            smtp::Ask::Login(_) if random.below(2) == 0 => smtp::Answer::Login(Ok("a".into())),
            smtp::Ask::Login(_) => smtp::Answer::Login(Err((Duration::from_secs(1), None))),
            smtp::Ask::Commit(_) => {
                let reply = status::Reply::new(250, status::Enhanced(2, 0, 0), "ok");
                let count = if kind == smtp::Kind::Lmtp { std::mem::take(&mut accepted) } else { 1 };
                smtp::Answer::Replies(vec![reply; count])
            }
            smtp::Ask::Abort => {
                accepted = 0;
                smtp::Answer::Done
            }
            smtp::Ask::Verify(_) | smtp::Ask::Expand(_) | smtp::Ask::Etrn(_) => {
                smtp::Answer::Replies(vec![status::Reply::bare(252, "x")])
            }
            ask => {
                accepted += usize::from(matches!(ask, smtp::Ask::Recipient(_)));
                smtp::Answer::Verdict(Ok(()))
            }
        });
    });
}

#[test]
fn pop3_and_poppass_sessions() {
    let words = [
        "USER a\r\n",
        "PASS b\r\n",
        "APOP a 0123\r\n",
        "AUTH PLAIN\r\n",
        "AGEAYg==\r\n",
        "STAT\r\n",
        "LIST\r\n",
        "LIST 2\r\n",
        "UIDL\r\n",
        "RETR 1\r\n",
        "TOP 2 1\r\n",
        "DELE 1\r\n",
        "RSET\r\n",
        "LAST\r\n",
        "CAPA\r\n",
        "UTF8\r\n",
        "QUIT\r\n",
        "NEWPASS x\r\n",
        "99999999999",
        "\n",
    ];
    fuzz("pop3", &words, |random, input| {
        let config = pop3::Config {
            host: "h.test".into(),
            mechanisms: MECHANISMS.to_vec(),
            stls: true,
            apop: true,
            login_delay: 0,
            attempts: 9,
            idle: Duration::from_secs(600),
        };
        let context = pop3::Context { plaintext_allowed: true, stamp: "<s>".into(), ..Default::default() };
        let mut session = pop3::Pop3Session::new(Arc::new(config), context, Instant::now());
        drive(&mut session, random, input, |random, ask| match ask {
            pop3::Ask::Connect(_) => pop3::Answer::Verdict(Ok(())),
            pop3::Ask::Look(_) => pop3::Answer::Found(sasl::Found::Secret(None)),
            pop3::Ask::Login(_) | pop3::Ask::Apop(..) => pop3::Answer::Login(Ok((3, 300))),
            pop3::Ask::List(_) => {
                pop3::Answer::List(vec![pop3::Listed { size: 100, unique_id: "u".into() }; random.below(5)])
            }
            pop3::Ask::Read(..) if random.below(20) == 0 => pop3::Answer::Text(Err("gone".into())),
            pop3::Ask::Read(..) => {
                let text = random.input(&["line\n", ".\n", "\n", "a\r\n"]);
                pop3::Answer::Text(Ok((text, random.below(3) == 0)))
            }
            pop3::Ask::Update(_) => pop3::Answer::Updated(Ok(())),
        });
    });
    fuzz("poppass", &words, |random, input| {
        let mut session = poppass::PoppassSession::new("h.test", None, true, Instant::now());
        drive(&mut session, random, input, |_, ask| match ask {
            poppass::Ask::Connect(_) => poppass::Answer::Verdict(Ok(())),
            poppass::Ask::Login(..) => poppass::Answer::Login(Ok(())),
            poppass::Ask::Change(_) => poppass::Answer::Changed(Ok(())),
        });
    });
}

#[test]
fn addresses() {
    let words = [
        "a@b.test",
        "<",
        ">",
        "\"q q\"",
        "@",
        ".",
        "[192.0.2.1]",
        "[IPv6:::1]",
        "(c (d) e)",
        "Name ",
        ",",
        ":",
        ";",
        "日本",
        "xn--",
        "@a,@b:",
    ];
    // Found by this fuzzer: quotes behind a fold once cost a stack frame each.
    let deep = format!("\n{}", "\"\"".repeat(100_000));
    let _ = addr::parse_list(&deep, "d.test");
    fuzz("addresses", &words, |_, input| {
        let text = String::from_utf8_lossy(input);
        if let Ok(address) = addr::Address::parse(&text) {
            assert_eq!(addr::Address::parse(&address.to_string()), Ok(address), "{text:?}");
        }
        let _ = addr::parse_path(&text, "d.test");
        for mailbox in addr::parse_list(&text, "d.test").unwrap_or_default() {
            let printed = mailbox.address.to_string();
            assert_eq!(addr::Address::parse(&printed).map(|a| a.to_string()), Ok(printed), "{text:?}");
        }
    });
}

#[test]
fn headers_tables_settings_and_logs() {
    let words = [
        "Subject: x\n",
        " folded\n",
        "Received: y\n",
        "\n",
        "\r\n",
        "name: ",
        "a, b",
        "\"|/bin/x\"",
        ":include:/x",
        "/file",
        "\\user",
        "error:5.1.1 x",
        "* ",
        "esmtp:",
        "[192.0.2.1]:25",
        "[smtp]\n",
        "recipients = 5\n",
        "hostname = \"x\"\n",
        "jobs",
        "event=",
        "id=0 ",
        "a=\"b\\x41\"",
        "=",
    ];
    fuzz("texts", &words, |_, input| {
        let text = String::from_utf8_lossy(input);
        let end = msg::header_end(input);
        assert!(end.is_none_or(|e| e <= input.len()));
        let read: usize = msg::fields(input).inspect(|f| drop(f.value())).map(|f| f.raw.len()).sum();
        assert!(read <= input.len());
        let _ = msg::Facts::of(input);
        let errors = [
            tables::Aliases::parse(&text, Path::new("f")).err(),
            tables::text::check(tables::Kind::Routes, Path::new("f"), &text).err(),
            tables::text::check(tables::Kind::Access, Path::new("f"), &text).err(),
            tables::text::check(tables::Kind::Virtusers, Path::new("f"), &text).err(),
            config::parse(&text, Path::new("f")).err(),
        ];
        for error in errors.into_iter().flatten() {
            let _ = error.to_string();
        }
        let _ = tables::aliases::split_command(&text);
        let _ = log::parse_line(&text);
        let _ = fields::pairs(&text);
        let _ = line::lines(input).count();
    });
}

#[test]
fn sasl_replies_and_bodies() {
    let words = [
        "AGEAYg==",
        "biwsbj11LHI9Yw==",
        "=",
        "*",
        "dGltIDAxMjM=",
        "250-",
        "250 ",
        "5.1.1 ",
        "\r\n",
        "\r",
        "\n",
        ".",
        "\r\n.\r\n",
        "text",
    ];
    fuzz("sasl, replies, bodies", &words, |random, input| {
        let mechanism = MECHANISMS[random.below(4)];
        let (mut dialog, _) = sasl::Dialog::start(mechanism, None, "n", "h", &sasl::Channel::default(), false);
        for piece in input.split(|b| *b == b'\n') {
            if let sasl::Step::Look(lookup) = dialog.line(piece) {
                let _ = dialog.found(match lookup {
                    sasl::Lookup::Scram(u) => sasl::Found::Scram(sasl::ScramKeys::made_up(&[1; 32], &u)),
                    sasl::Lookup::Secret(_) => sasl::Found::Secret(Some("x".into())),
                });
            }
        }
        let _ = expressmail::proto::proxy::parse(input);
        let mut reader = smtp::reply::ReplyReader::default();
        let mut rest = input;
        while !rest.is_empty() {
            match reader.feed(rest) {
                Ok((taken, _)) if taken > 0 => rest = &rest[taken..],
                _ => break,
            }
        }
        let mut whole = Vec::new();
        let (taken, progress) = dot::DotDecoder::default().feed(input, &mut whole);
        let (mut cut, mut decoder, mut at, mut last) = (Vec::new(), dot::DotDecoder::default(), 0, dot::Progress::More);
        while at < input.len() && last == dot::Progress::More {
            let piece = 1 + random.below(input.len() - at);
            let (used, p) = decoder.feed(&input[at..at + piece], &mut cut);
            at += used;
            last = p;
        }
        assert_eq!((taken, progress, whole), (at, last, cut), "the pieces must not matter");
    });
}
