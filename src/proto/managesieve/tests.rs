use super::*;
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{Evidence, Mechanism};
use std::sync::Arc;
use std::time::{Duration, Instant};

const SCRIPT: &str = "# a\r\nkeep;\r\n";

fn config() -> Config {
    Config {
        host: "sieve.test".into(),
        mechanisms: vec![Mechanism::ScramSha256, Mechanism::Plain],
        starttls: true,
        extensions: "copy fileinto".into(),
        notify: "mailto".into(),
        redirects: 5,
        script_size: 100,
        attempts: 3,
        login: Duration::from_secs(60),
        autologout: Duration::from_secs(1800),
    }
}

/// A session, what it said, and what it asked.
struct Talk {
    session: ManageSieveSession,
    now: Instant,
    out: Vec<u8>,
    asked: Vec<Ask>,
    read: usize,
    is_over: bool,
}

impl Talk {
    fn new(context: Context) -> Talk {
        let now = Instant::now();
        let session = ManageSieveSession::new(Arc::new(config()), context, now);
        let mut talk = Talk { session, now, out: Vec::new(), asked: Vec::new(), read: 0, is_over: false };
        talk.drain();
        talk
    }

    fn open() -> Talk {
        Talk::new(Context { plaintext_allowed: true, nonce: "n".into(), ..Context::default() })
    }

    fn drain(&mut self) {
        loop {
            match self.session.next() {
                Step::Send(bytes) => self.out.extend(bytes),
                Step::Wait if self.session.penalty.is_some() => {
                    self.session.timeout(self.now + Duration::from_secs(2));
                }
                Step::Wait | Step::StartTls | Step::Compress | Step::ExpectTls => return,
                Step::Close => {
                    self.is_over = true;
                    return;
                }
                Step::Ask(ask) => {
                    self.asked.push(ask.clone());
                    let answer = self.answer(ask);
                    self.session.answer(self.now, answer);
                }
            }
        }
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(_) => Answer::Verdict(Ok(())),
            Ask::Login(Evidence::Password { password, user }) if password == "right" => Answer::Login(Ok(user)),
            Ask::Login(_) => Answer::Login(Err(Denial::Wrong(Duration::from_secs(1)))),
            Ask::List => Answer::Listed(Ok(vec![
                Listed { name: "one".into(), is_active: false },
                Listed { name: "the \"second\"".into(), is_active: true },
            ])),
            Ask::Get(name) if name == "gone" => {
                Answer::Piece(Err(Refusal::coded(Code::NonExistent, "There is no script by that name")))
            }
            Ask::Get(_) | Ask::More => {
                // Pieces of five octets.
                self.read = if matches!(ask, Ask::Get(_)) { 0 } else { self.read };
                let rest = &SCRIPT.as_bytes()[self.read..];
                let text = rest[..rest.len().min(5)].to_vec();
                self.read += text.len();
                let is_last = self.read == SCRIPT.len();
                Answer::Piece(Ok(Piece { size: SCRIPT.len() as u64, text, is_last }))
            }
            Ask::Put(_, script) | Ask::Check(script) if script.starts_with(b"bad") => {
                Answer::Done(Err(Refusal { code: None, text: "line 1, column 1: bad\r\nline 2".into() }))
            }
            _ => Answer::Done(Ok(())),
        }
    }

    /// Sends text in pieces, and gives what came back.
    fn say(&mut self, input: &[u8], step: usize) -> String {
        self.out.clear();
        'all: for piece in input.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let taken = self.session.input(self.now, rest);
                rest = &rest[taken..];
                self.drain();
                if self.is_over || taken == 0 {
                    break 'all;
                }
            }
        }
        String::from_utf8(std::mem::take(&mut self.out)).unwrap()
    }

    fn log_in(&mut self) {
        let reply = self.say(b"AUTHENTICATE \"PLAIN\" \"AGEAcmlnaHQ=\"\r\n", 1000);
        assert_eq!(reply, "OK \"Logged in\"\r\n");
        self.asked.clear();
    }
}

#[test]
fn commands_and_replies_however_they_are_cut() {
    let input = "noop\r\nNoop {3+}\r\na\r\n\r\nListScripts\r\nGETSCRIPT \"one\"\r\nGETSCRIPT \"gone\"\r\n\
        PUTSCRIPT \"a b\" {13+}\r\nkeep;\r\nLOGOUT\r\n\r\nCHECKSCRIPT \"bad\"\r\nSETACTIVE \"\"\r\nsetactive {1+}\r\nx\r\n\
        HAVESPACE \"x\" 99\r\nRENAMESCRIPT \"a\" \"b\"\r\nDELETESCRIPT \"c\"\r\nFOO {6+}\r\nNOOP\r\n\r\nLOGOUT\r\nNOOP\r\n";
    let replies = "OK \"NOOP completed\"\r\nOK (TAG {3}\r\na\r\n) \"Done\"\r\n\"one\"\r\n\"the \\\"second\\\"\" ACTIVE\r\nOK\r\n\
        {12}\r\n# a\r\nkeep;\r\n\r\nOK\r\nNO (NONEXISTENT) \"There is no script by that name\"\r\nOK \"Script kept\"\r\n\
        NO {29}\r\nline 1, column 1: bad\r\nline 2\r\nOK \"No script is active now\"\r\nOK \"Script activated\"\r\n\
        OK \"There is room for it\"\r\nOK \"Script renamed\"\r\nOK \"Script deleted\"\r\nNO \"Unknown command\"\r\nOK \"Bye\"\r\n";
    for step in [1, 2, 3, 10, 1000] {
        let mut talk = Talk::open();
        talk.log_in();
        assert_eq!(talk.say(input.as_bytes(), step), replies, "{step}");
        assert!(talk.is_over);
        assert!(talk.asked.contains(&Ask::Put("a b".into(), b"keep;\r\nLOGOUT".to_vec())));
    }
}

#[test]
fn capabilities_follow_what_is_true() {
    let mut talk = Talk::new(Context { nonce: "n".into(), ..Context::default() });
    let greeting = String::from_utf8(std::mem::take(&mut talk.out)).unwrap();
    let wanted = "\"IMPLEMENTATION\" \"ExpressMail\"\r\n\"SASL\" \"SCRAM-SHA-256\"\r\n\"SIEVE\" \"copy fileinto\"\r\n\
        \"NOTIFY\" \"mailto\"\r\n\"MAXREDIRECTS\" \"5\"\r\n\"STARTTLS\"\r\n\"UNAUTHENTICATE\"\r\n\"LANGUAGE\" \"en\"\r\n\
        \"VERSION\" \"1.0\"\r\nOK \"sieve.test ManageSieve ready\"\r\n";
    assert_eq!(greeting, wanted);
    let reply = talk.say(b"AUTHENTICATE \"PLAIN\" \"AGEAcmlnaHQ=\"\r\n", 1000);
    assert_eq!(reply, "NO (ENCRYPT-NEEDED) \"Use STARTTLS first\"\r\n");
    assert_eq!(
        talk.say(b"AUTHENTICATE \"LOGIN\"\r\n", 1000),
        "NO (AUTH-TOO-WEAK) \"The mechanism is not allowed here\"\r\n"
    );
    assert_eq!(talk.say(b"STARTTLS\r\n", 1000), "OK \"Begin TLS\"\r\n");
    // What stands behind STARTTLS is not taken.
    assert_eq!(talk.session.input(talk.now, b"NOOP\r\n"), 0);
    talk.session.tls_started(talk.now, TlsFacts::default());
    talk.drain();
    let told = String::from_utf8(std::mem::take(&mut talk.out)).unwrap();
    assert!(!told.contains("STARTTLS") && told.contains("\"SASL\" \"SCRAM-SHA-256 PLAIN\"\r\n"), "{told}");
    assert!(told.ends_with("OK \"TLS is on\"\r\n"), "{told}");
    assert_eq!(talk.say(b"STARTTLS\r\n", 1000), "NO \"TLS is on\"\r\n");
    talk.log_in();
    let told = talk.say(b"CAPABILITY\r\n", 1000);
    assert!(told.contains("\"OWNER\" \"a\"\r\n") && !told.contains("STARTTLS"), "{told}");
    assert_eq!(talk.say(b"AUTHENTICATE \"PLAIN\"\r\n", 1000), "NO \"You are logged in\"\r\n");
    assert_eq!(talk.say(b"UNAUTHENTICATE\r\n", 1000), "OK \"Who is it now?\"\r\n");
    assert_eq!(talk.say(b"LISTSCRIPTS\r\nUNAUTHENTICATE\r\n", 1000), "NO \"Log in first\"\r\n".repeat(2));
    assert!(!talk.say(b"CAPABILITY\r\n", 1000).contains("OWNER"));
}

#[test]
fn exchanges_of_sasl() {
    for (input, replies) in [
        ("AUTHENTICATE \"PLAIN\"\r\n\"AGEAcmlnaHQ=\"\r\n", "\"\"\r\nOK \"Logged in\"\r\n"),
        ("authenticate {5+}\r\nplain {12+}\r\nAGEAcmlnaHQ=\r\n", "OK \"Logged in\"\r\n"),
        ("AUTHENTICATE \"PLAIN\"\r\n{12+}\r\nAGEAcmlnaHQ=\r\n", "\"\"\r\nOK \"Logged in\"\r\n"),
        ("AUTHENTICATE \"PLAIN\"\r\n\"*\"\r\n", "\"\"\r\nNO \"Cancelled\"\r\n"),
        ("AUTHENTICATE \"PLAIN\"\r\n\"!\"\r\n", "\"\"\r\nNO \"Malformed authentication data\"\r\n"),
        (
            "AUTHENTICATE \"PLAIN\"\r\n\r\nNOOP\r\n",
            "\"\"\r\nNO \"Missing argument: authentication data\"\r\nOK \"NOOP completed\"\r\n",
        ),
        ("AUTHENTICATE \"PLAIN\" \"\"\r\n", "NO \"Malformed authentication data\"\r\n"),
        ("AUTHENTICATE \"GSSAPI\"\r\n", "NO \"Unknown SASL mechanism\"\r\n"),
        ("AUTHENTICATE \"PLAIN\" \"YgBhAHJpZ2h0\"\r\n", "NO \"You can't act as somebody else\"\r\n"),
        (
            "AUTHENTICATE \"PLAIN\" \"AGEAd3Jvbmc=\"\r\nNOOP\r\n",
            "NO \"Wrong name or password\"\r\nOK \"NOOP completed\"\r\n",
        ),
        (
            &"AUTHENTICATE \"PLAIN\" \"AGEAd3Jvbmc=\"\r\n".repeat(4),
            "NO \"Wrong name or password\"\r\nNO \"Wrong name or password\"\r\nBYE \"Too many failed logins\"\r\n",
        ),
    ] {
        for step in [1, 1000] {
            assert_eq!(Talk::open().say(input.as_bytes(), step), replies, "{input}");
        }
    }
}

#[test]
fn what_is_too_large_goes_by_and_the_next_command_is_found() {
    let mut talk = Talk::open();
    talk.log_in();
    let large = format!("PUTSCRIPT \"a\" {{5000+}}\r\n{}\r\nNOOP\r\n", &"NOOP\r\n".repeat(1000)[..5000]);
    assert_eq!(
        talk.say(large.as_bytes(), 999),
        "NO (QUOTA/MAXSIZE) \"A script may have 100 octets\"\r\nOK \"NOOP completed\"\r\n"
    );
    // Small enough to be kept beside the script's limit, but no script.
    let large = format!("PUTSCRIPT \"a\" {{101+}}\r\n{}\r\n", "x".repeat(101));
    assert!(talk.say(large.as_bytes(), 999).starts_with("NO (QUOTA/MAXSIZE)"));
    assert_eq!(talk.say(b"CHECKSCRIPT {67108865+}\r\n", 999), "BYE \"the literal is too large\"\r\n");
    assert!(talk.is_over);
    assert_eq!(Talk::open().say(b"PUTSCRIPT \"a\" {12289+}\r\n", 999), "BYE \"the literal is too large\"\r\n");
}

#[test]
fn many_mistakes_and_long_silence_end_the_session() {
    let mut talk = Talk::open();
    assert!(talk.say("FOO\r\n".repeat(30).as_bytes(), 999).ends_with("BYE \"Too many mistakes\"\r\n"));
    assert!(talk.is_over);
    let mut talk = Talk::open();
    let until = talk.session.deadline().unwrap();
    talk.say(b"NOOP\r\n", 999);
    assert_eq!(talk.session.deadline(), Some(until), "who only talks does not log in");
    talk.session.timeout(until);
    talk.drain();
    assert_eq!(String::from_utf8_lossy(&talk.out), "BYE \"Nothing was heard for too long\"\r\n");
    assert!(talk.is_over);
    let mut talk = Talk::open();
    talk.log_in();
    assert_eq!(talk.session.deadline(), Some(talk.now + Duration::from_secs(1800)));
}

#[test]
fn a_proxy_header_names_the_client() {
    let context = Context { expects_proxy: true, plaintext_allowed: true, ..Context::default() };
    let mut talk = Talk::new(context.clone());
    assert!(talk.asked.is_empty());
    let told = talk.say(b"PROXY TCP4 192.0.2.9 192.0.2.1 5000 4190\r\nNOOP\r\n", 1);
    assert!(told.contains("STARTTLS") && told.ends_with("OK \"NOOP completed\"\r\n"), "{told}");
    assert!(!told.contains("PLAIN"), "a password may not cross the wire behind the balancer: {told}");
    assert_eq!(talk.asked, [Ask::Connect(Some([192, 0, 2, 9].into()))]);
    let mut talk = Talk::new(context);
    assert_eq!(talk.say(b"NOOP\r\n", 1), "");
    assert!(talk.is_over);
}

#[test]
fn a_script_that_changes_under_way_ends_the_session() {
    let now = Instant::now();
    let mut talk = Talk::open();
    talk.log_in();
    assert_eq!(talk.session.input(now, b"GETSCRIPT \"x\"\r\n"), 15);
    assert!(matches!(talk.session.next(), Step::Ask(Ask::Get(_))));
    talk.session.answer(now, Answer::Piece(Ok(Piece { size: 10, text: b"12345".to_vec(), is_last: false })));
    assert!(matches!(talk.session.next(), Step::Send(_)));
    assert!(matches!(talk.session.next(), Step::Ask(Ask::More)));
    talk.session.answer(now, Answer::Piece(Ok(Piece { size: 10, text: b"123456".to_vec(), is_last: true })));
    assert_eq!(talk.session.next(), Step::Close);
}
