//! The machine against a service that says yes to most things.

mod layers;

use super::*;
use crate::proto::imap::response::{Code, Status};
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{Evidence, Mechanism};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CAPABILITIES: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "LITERAL+",
    "ID",
    "LANGUAGE",
    "UNAUTHENTICATE",
    "NOTIFY",
    "MULTISEARCH",
    "MULTIAPPEND",
    "CATENATE",
    "REPLACE",
    "BINARY",
    "CONDSTORE",
    "QRESYNC",
    "UTF8=ACCEPT",
    "UIDONLY",
    "SORT",
    "THREAD=REFERENCES",
    "QUOTA",
    "ACL",
    "METADATA",
    "PREVIEW",
];

fn config() -> Config {
    Config {
        host: "imap.test".into(),
        capabilities: CAPABILITIES.iter().map(|c| c.to_string()).collect(),
        mechanisms: vec![Mechanism::Plain, Mechanism::Login],
        starttls: true,
        tolerates_spaces: false,
        id: vec![("name".into(), "ExpressMail".into())],
        limits: Limits::default(),
    }
}

fn context() -> Context {
    Context { plaintext_allowed: true, ..Context::default() }
}

/// A session, its transcript, and what the service was asked.
struct Talk {
    session: ImapSession,
    out: Vec<u8>,
    asked: Vec<String>,
    message: Vec<u8>,
    now: Instant,
    is_closed: bool,
    starts_tls: bool,
    /// Outputs still to come of FETCH.
    more: u32,
}

impl Talk {
    fn new(config: Config, context: Context) -> Talk {
        let now = Instant::now();
        let mut talk = Talk {
            session: ImapSession::new(Arc::new(config), context, now),
            out: Vec::new(),
            asked: Vec::new(),
            message: Vec::new(),
            now,
            is_closed: false,
            starts_tls: false,
            more: 0,
        };
        talk.drain();
        talk
    }

    /// Logged in, and nothing to be seen of it.
    fn in_account() -> Talk {
        let mut talk = Talk::new(config(), context());
        talk.say(b"l LOGIN alice right\r\n");
        talk.forget();
        talk
    }

    fn in_mailbox() -> Talk {
        let mut talk = Talk::in_account();
        talk.say(b"s SELECT INBOX\r\n");
        talk.forget();
        talk
    }

    fn forget(&mut self) {
        self.out.clear();
        self.asked.clear();
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }

    /// Offers input until it is taken or the session ends.
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_closed && !self.starts_tls {
            let taken = self.session.input(self.now, bytes);
            bytes = &bytes[taken..];
            self.drain();
            assert!(
                taken > 0 || self.is_closed || self.starts_tls,
                "stuck before {:?}",
                String::from_utf8_lossy(bytes)
            );
        }
    }

    fn drain(&mut self) {
        loop {
            match self.session.next() {
                Step::Send(bytes) => self.out.extend(bytes),
                Step::Wait if self.session.penalty.is_some() => {
                    let later = self.now + Duration::from_secs(60);
                    self.session.timeout(later);
                }
                Step::Wait | Step::Compress => return,
                // The port that begins with TLS has its own test.
                Step::ExpectTls => return,
                Step::StartTls => {
                    self.starts_tls = true;
                    return;
                }
                Step::Close => {
                    self.is_closed = true;
                    return;
                }
                Step::Ask(ask) => {
                    let answer = self.answer(ask);
                    self.session.answer(self.now, answer);
                }
            }
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.asked.push(text.into());
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(_) => Answer::Verdict(Ok(())),
            Ask::Login(Evidence::Password { password, .. }) if password == "right" => Answer::Login(Ok(())),
            Ask::Login(_) => Answer::Login(Err(Denial::Wrong(Duration::from_secs(1)))),
            Ask::Id(fields) => {
                self.note(format!("id {}", fields.len()));
                Answer::Done
            }
            Ask::Run(request) => self.run(*request),
            Ask::More => {
                self.more -= 1;
                let outcome = (self.more == 0).then(|| Outcome::ok("fetched"));
                Answer::Output { bytes: format!("* more {}\r\n", self.more).into_bytes(), outcome }
            }
            Ask::IdleStart => Answer::Untagged { bytes: b"* 1 EXISTS\r\n".to_vec(), is_more: true },
            Ask::Changes => Answer::Untagged { bytes: b"* 2 EXISTS\r\n".to_vec(), is_more: false },
            Ask::IdleEnd => Answer::Untagged { bytes: b"* 3 EXISTS\r\n".to_vec(), is_more: false },
            Ask::AppendBegin(message) => self.begin(*message),
            Ask::AppendText(size) => {
                self.note(format!("text {size}"));
                Answer::Verdict(Ok(()))
            }
            Ask::AppendUrl(url) if url == "bad" => {
                Answer::Verdict(Err(Refusal::no(Some(Code::BadUrl(url)), "no such URL")))
            }
            Ask::AppendUrl(url) => {
                self.note(format!("url {url}"));
                Answer::Verdict(Ok(()))
            }
            Ask::AppendChunk(octets) => {
                let is_full = octets.contains(&b'#');
                self.message.extend(octets);
                Answer::Verdict(if is_full { Err(Refusal::no(Some(Code::OverQuota), "full")) } else { Ok(()) })
            }
            Ask::AppendEnd => {
                let message = String::from_utf8_lossy(&std::mem::take(&mut self.message)).into_owned();
                self.note(format!("end {message:?}"));
                Answer::Verdict(Ok(()))
            }
            Ask::AppendCommit => {
                self.note("commit");
                Answer::Output { bytes: b"* 4 EXISTS\r\n".to_vec(), outcome: Some(Outcome::ok("appended")) }
            }
            Ask::AppendAbort => {
                self.message.clear();
                self.note("abort");
                Answer::Done
            }
            Ask::Unauthenticate => Answer::Done,
            other => panic!("{other:?}"),
        }
    }

    fn begin(&mut self, message: AppendMessage) -> Answer {
        self.note(format!(
            "begin {} {} {:?} {:?}{}",
            message.index,
            message.mailbox.as_str(),
            message.flags.iter().map(Flag::name).collect::<Vec<_>>(),
            message.size,
            if message.replaces.is_some() { " replace" } else { "" }
        ));
        match message.mailbox.as_str() {
            "none" => Answer::Verdict(Err(Refusal::no(Some(Code::TryCreate), "no such mailbox"))),
            _ => Answer::Verdict(Ok(())),
        }
    }

    fn run(&mut self, request: Request) -> Answer {
        let outcome = match &request.command {
            Command::Select(select) if select.mailbox.as_str() == "none" => {
                Outcome::no(Some(Code::NonExistent), "no such mailbox").with_effect(Effect::Unselected)
            }
            Command::Select(_) => Outcome::ok("selected").with_code(Code::ReadWrite).with_effect(Effect::Selected),
            Command::Close | Command::Unselect => Outcome::ok("closed").with_effect(Effect::Unselected),
            Command::Delete(_) => return Answer::Bye("the account is gone".into()),
            Command::Fetch(_) => {
                self.more = 2;
                return Answer::Output { bytes: b"* first\r\n".to_vec(), outcome: None };
            }
            _ => Outcome::ok("done"),
        };
        self.note(format!("{:?}", request.command));
        Answer::Output { bytes: Vec::new(), outcome: Some(outcome) }
    }
}

/// Says it whole and in small steps; the transcripts must be the same.
fn both(begin: fn() -> Talk, input: &[u8]) -> Talk {
    let mut whole = begin();
    whole.say(input);
    for step in [1, 3, 7] {
        let mut pieces = begin();
        for piece in input.chunks(step) {
            pieces.say(piece);
        }
        assert_eq!(pieces.text(), whole.text(), "in steps of {step}: {:?}", String::from_utf8_lossy(input));
        assert_eq!(pieces.asked, whole.asked);
        assert_eq!(pieces.is_closed, whole.is_closed);
    }
    whole
}

fn fresh() -> Talk {
    Talk::new(config(), context())
}

fn without_tls() -> Talk {
    Talk::new(config(), Context::default())
}

#[test]
fn the_greeting_says_what_is_offered() {
    let greeting = fresh().text();
    assert!(greeting.starts_with("* OK [CAPABILITY IMAP4rev2 IMAP4rev1 LITERAL+ ID LANGUAGE NOTIFY "), "{greeting}");
    assert!(greeting.ends_with(" PREVIEW STARTTLS AUTH=PLAIN AUTH=LOGIN] imap.test IMAP ready\r\n"), "{greeting}");
    assert!(without_tls().text().contains(" STARTTLS LOGINDISABLED]"));
    let talk = both(fresh, b"a LOGIN alice right\r\nb CAPABILITY\r\n");
    assert!(talk.text().contains("a OK [CAPABILITY IMAP4rev2 IMAP4rev1 LITERAL+ ID LANGUAGE UNAUTHENTICATE NOTIFY"));
    assert!(talk.text().ends_with(" PREVIEW\r\nb OK done\r\n"));
}

#[test]
fn states_are_kept_apart() {
    let talk = both(
        fresh,
        b"a NOOP\r\nb SELECT INBOX\r\nc FETCH 1 UID\r\nd LOGIN alice right\r\ne LOGIN alice right\r\nf STARTTLS\r\ng FETCH 1 UID\r\n\
          h SELECT INBOX\r\ni FETCH 1 UID\r\nj CLOSE\r\nk FETCH 1 UID\r\nl SELECT INBOX\r\nm SELECT none\r\nn EXPUNGE\r\no LOGOUT\r\np NOOP\r\n",
    );
    let text = talk.text();
    for line in [
        "a OK done",
        "b BAD log in first",
        "c BAD log in first",
        "d OK [CAPABILITY",
        "e BAD you are logged in",
        "f BAD you are logged in",
        "g BAD no mailbox is selected",
        "h OK [READ-WRITE] selected",
        "* first\r\n* more 1\r\n* more 0\r\ni OK fetched",
        "j OK closed",
        "k BAD no mailbox is selected",
        "l OK",
        "m NO [NONEXISTENT]",
        "n BAD no mailbox is selected",
        "* BYE logging out\r\no OK bye",
    ] {
        assert!(text.contains(&format!("\r\n{line}")), "{line} in {text}");
    }
    assert!(talk.is_closed && text.ends_with("o OK bye\r\n"));
}

#[test]
fn bad_commands_are_answered_and_the_connection_stays_in_step() {
    let talk = both(
        Talk::in_account,
        b"\r\n* NOOP\r\n+ NOOP\r\n{5+}\r\nhellox NOOP\r\na\r\na \r\na XYZZY {7+}\r\nb NOOP {6+}\r\nNOOP\r\n done\r\n\
          c NOOP\0\r\nd NOOP x\r\ne LIST \"\" \"\xff\"\r\nf NOOP {3}\r\nabc\r\ng SELECT {99999999999999999999999}\r\nh CREATE {3+}\r\na\0b\r\nz NOOP\n",
    );
    let text = talk.text();
    // Behind `{5+}` comes `hello`, and with it the rest of the line that had no tag.
    for line in [
        "* BAD expected a tag and a command\r\n* BAD expected a tag and a command\r\n* BAD expected a tag and a command\r\n* BAD expected a tag",
        "a BAD expected an atom",
        "a BAD unknown command",
        "c BAD NUL in a command",
        "d BAD too many arguments",
        "e BAD a quoted string is not UTF-8",
        "g BAD [TOOBIG]",
        "h BAD NUL in a literal",
        "z OK done",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("b OK") && !text.contains("x OK"), "{text}");
    assert!(
        text.contains("+ send the literal\r\n"),
        "a literal that is one argument too many is asked for all the same: {text}"
    );
    assert!(!talk.is_closed);
    let tag = "t".repeat(200);
    assert!(
        both(Talk::in_account, format!("{tag} NOOP\r\n").as_bytes()).text().starts_with("* BAD the tag is too long")
    );
}

#[test]
fn a_literal_is_never_a_command() {
    // Whatever becomes of the command, what the literal holds stays a literal.
    let inner = b"x LOGOUT\r\ny LOGOUT\r\n";
    for head in [
        "a CREATE ",
        "a XYZZY ",
        "a LOGIN ",
        "a FETCH ",
        "a APPEND ",
        "a APPEND x ",
        "a APPEND none ",
        "a NOOP",
        "",
        "a",
        "a APPEND x (\\Bad) ",
    ] {
        for plus in ["+", ""] {
            let mut input = format!("{head}{{{}{plus}}}\r\n", inner.len()).into_bytes();
            let mut talk = Talk::in_account();
            talk.say(&input);
            if plus == "+" || talk.text().starts_with('+') {
                talk.say(inner);
                talk.say(b"\r\n");
                input.extend_from_slice(inner);
                input.extend_from_slice(b"\r\n");
            }
            talk.say(b"z NOOP\r\n");
            input.extend_from_slice(b"z NOOP\r\n");
            assert!(talk.text().ends_with("z OK done\r\n"), "{head}{plus}: {}", talk.text());
            assert!(!talk.text().contains("BYE"), "{head}{plus}");
            assert_eq!(both(Talk::in_account, &input).text(), talk.text());
        }
    }
}

#[test]
fn literals_have_limits() {
    // Before login.
    let talk = both(without_tls, b"a LOGIN {5}\r\nb NOOP\r\n");
    assert!(talk.text().contains("a NO [PRIVACYREQUIRED] use STARTTLS first\r\nb OK"), "{}", talk.text());
    let talk = both(fresh, b"a LOGIN {9000}\r\nb NOOP\r\n");
    assert!(talk.text().contains("a BAD [TOOBIG] the literal is too large\r\nb OK"), "{}", talk.text());
    assert!(both(fresh, b"a LOGIN {9000+}\r\n").text().ends_with("* BYE [TOOBIG] the literal is too large\r\n"));
    let many = format!("a LOGIN{}\r\nb NOOP\r\n", " {0+}\r\n".repeat(1000));
    assert!(both(fresh, many.as_bytes()).is_closed || both(fresh, many.as_bytes()).text().contains("a BAD"));
    // After it.
    let large = vec![b'x'; 2 << 20];
    let mut input = format!("a SELECT {{{}+}}\r\n", large.len()).into_bytes();
    input.extend_from_slice(&large);
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    let mut talk = Talk::in_account();
    talk.say(&input);
    assert_eq!(talk.text(), "a BAD [TOOBIG] the literal is too large\r\nb OK done\r\n");
    assert!(both(Talk::in_account, b"a SELECT {99999999999+}\r\n").text().starts_with("* BYE [TOOBIG]"));
    assert!(both(Talk::in_account, b"a SELECT {99999999999999999999+}\r\n").text().starts_with("* BYE [TOOBIG]"));
    // LITERAL-.
    let minus = || {
        let mut config = config();
        config.capabilities.retain(|c| c != "LITERAL+");
        let mut talk = Talk::new(config, context());
        talk.say(b"l LOGIN alice right\r\n");
        talk.forget();
        talk
    };
    let mut talk = minus();
    let mut input = b"a APPEND x {5000+}\r\n".to_vec();
    input.extend_from_slice(&large[..5000]);
    input.extend_from_slice(b"\r\nb NOOP\r\n");
    talk.say(&input);
    assert_eq!(talk.text(), "a BAD [TOOBIG] the literal has to wait for us\r\nb OK done\r\n");
}

#[test]
fn a_line_without_end_ends_the_connection() {
    let mut talk = Talk::in_account();
    talk.say(&vec![b'x'; 70_000]);
    talk.say(b"\r\nb NOOP\r\n");
    assert!(talk.is_closed && talk.text() == "* BYE a line is too long\r\n");
    let mut talk = fresh();
    talk.forget();
    talk.say(&vec![b'x'; 20_000]);
    talk.say(b" {5+}\r\n");
    assert!(talk.is_closed);
}

#[test]
fn logins() {
    let talk = both(fresh, b"a LOGIN alice wrong\r\nb AUTHENTICATE PLAIN AGFsaWNlAHJpZ2h0\r\n");
    assert!(talk.text().contains("a NO [AUTHENTICATIONFAILED] wrong name or password\r\nb OK [CAPABILITY"));
    let talk = both(fresh, b"a AUTHENTICATE PLAIN\r\nAGFsaWNlAHJpZ2h0\r\nb NOOP\r\n");
    assert!(talk.text().contains("+ \r\na OK [CAPABILITY") && talk.text().ends_with("b OK done\r\n"));
    let talk = both(fresh, b"a AUTHENTICATE LOGIN\r\nYWxpY2U=\r\ncmlnaHQ=\r\nb NOOP\r\n");
    assert!(talk.text().contains("+ VXNlcm5hbWU6\r\n+ UGFzc3dvcmQ6\r\na OK"));
    let talk = both(
        fresh,
        b"a AUTHENTICATE PLAIN\r\n*\r\nb AUTHENTICATE PLAIN =x=\r\nc AUTHENTICATE CRAM-MD5\r\nd AUTHENTICATE PLAIN YQBhbGljZQByaWdodA==\r\n",
    );
    for line in ["a BAD cancelled", "b BAD malformed", "c NO [CANNOT]", "d NO [AUTHORIZATIONFAILED]"] {
        assert!(talk.text().contains(line), "{line} in {}", talk.text());
    }
    let talk = both(without_tls, b"a AUTHENTICATE PLAIN AGFsaWNlAHJpZ2h0\r\nb LOGIN alice right\r\n");
    assert!(talk.text().contains("a NO [PRIVACYREQUIRED]") && talk.text().contains("b NO [PRIVACYREQUIRED]"));
    let talk = both(fresh, b"a LOGIN a no\r\nb LOGIN a no\r\nc LOGIN a no\r\nd LOGIN a right\r\n");
    assert!(
        talk.text().ends_with("c NO [AUTHENTICATIONFAILED] wrong name or password\r\n* BYE too many failed logins\r\n")
    );
    assert!(both(fresh, &b"GET / HTTP/1.1\r\n".repeat(30)).text().ends_with("* BYE too many bad commands\r\n"));
}

#[test]
fn starttls_forgets_and_offers_logins() {
    let mut talk = without_tls();
    talk.say(b"a STARTTLS\r\n");
    assert!(talk.starts_tls && talk.text().ends_with("a OK begin TLS\r\n"));
    talk.starts_tls = false;
    talk.session.tls_started(talk.now, TlsFacts::default());
    talk.say(b"b STARTTLS\r\nc CAPABILITY\r\nd LOGIN alice right\r\n");
    assert!(talk.text().contains("b BAD TLS is on\r\n* CAPABILITY IMAP4rev2 "));
    assert!(
        talk.text().contains(" PREVIEW AUTH=PLAIN AUTH=LOGIN\r\nc OK"),
        "neither STARTTLS nor LOGINDISABLED any more"
    );
    assert!(talk.text().contains("\r\nd OK"));
}

#[test]
fn enable_id_language_unauthenticate() {
    let talk = both(
        Talk::in_account,
        b"a ENABLE QRESYNC X-FOO imap4rev2\r\nb ENABLE CONDSTORE\r\nc ID (\"name\" \"x\" \"os\" NIL)\r\nd LANGUAGE\r\ne LANGUAGE fr EN\r\n\
          f LANGUAGE fr\r\ng UNAUTHENTICATE\r\nh SELECT INBOX\r\ni LOGIN alice right\r\nj ENABLE QRESYNC\r\n",
    );
    let text = talk.text();
    for line in [
        "* ENABLED CONDSTORE QRESYNC IMAP4rev2\r\na OK",
        "* ENABLED\r\nb OK",
        "* ID (\"name\" \"ExpressMail\")\r\nc OK",
        "* LANGUAGE (i-default)\r\nd OK",
        "* LANGUAGE (i-default)\r\ne OK",
        "f NO ",
        "g OK",
        "h BAD log in first",
        "i OK [CAPABILITY",
        "* ENABLED CONDSTORE QRESYNC\r\nj OK",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(talk.asked.iter().filter(|ask| ask.starts_with("id 2")).count(), 1);
}

#[test]
fn uidonly_knows_no_sequence_numbers() {
    let talk = both(
        Talk::in_mailbox,
        b"a ENABLE UIDONLY\r\nb FETCH 1 UID\r\nc UID FETCH 1 UID\r\nd UID SEARCH 1:5\r\ne UID SEARCH UID 1:5\r\nf REPLACE 4 x {3+}\r\nabc\r\n\
          g UID REPLACE 4 x {3+}\r\nabc\r\n",
    );
    for line in ["b BAD [UIDREQUIRED]", "c OK", "d BAD [UIDREQUIRED]", "e OK", "f BAD [UIDREQUIRED]", "g OK"] {
        assert!(talk.text().contains(line), "{line} in {}", talk.text());
    }
}

#[test]
fn idle_tells_changes_until_done() {
    let mut talk = Talk::in_mailbox();
    talk.say(b"a IDLE\r\n");
    assert_eq!(talk.text(), "+ idling\r\n* 1 EXISTS\r\n* 2 EXISTS\r\n");
    talk.forget();
    talk.session.notified(talk.now);
    talk.drain();
    assert_eq!(talk.text(), "* 2 EXISTS\r\n");
    talk.forget();
    talk.say(b"done\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "* 3 EXISTS\r\na OK IDLE is over\r\nb OK done\r\n");
    let talk = both(Talk::in_account, b"a IDLE\r\nb NOOP\r\nc NOOP\r\n");
    assert!(talk.text().ends_with("* 3 EXISTS\r\na BAD expected DONE\r\nc OK done\r\n"));
    // Who forgets DONE does not have the text of a message run as commands.
    let talk = both(Talk::in_account, b"a IDLE\r\nb APPEND x {10+}\r\nx LOGOUT\r\n {2+}\r\nhi\r\nc NOOP\r\n");
    assert!(talk.text().ends_with("* 3 EXISTS\r\na BAD expected DONE\r\nc OK done\r\n"), "{}", talk.text());
    let mut talk = Talk::in_account();
    talk.say(b"a IDLE\r\n");
    let late = talk.now + Duration::from_secs(29 * 60);
    assert_eq!(talk.session.deadline(), Some(late));
    talk.session.timeout(late);
    talk.drain();
    assert!(talk.is_closed && talk.text().ends_with("* BYE autologout: nothing was heard for too long\r\n"));
}

#[test]
fn notify_tells_changes_between_commands() {
    let mut talk = Talk::in_mailbox();
    talk.session.notified(talk.now);
    talk.drain();
    assert_eq!(talk.text(), "", "not asked for");
    talk.say(b"a NOTIFY SET (selected (MessageNew MessageExpunge))\r\nb NO");
    talk.forget();
    talk.session.notified(talk.now);
    talk.drain();
    assert_eq!(talk.text(), "", "a command has begun");
    talk.say(b"OP\r\n");
    assert_eq!(talk.text(), "b OK done\r\n* 2 EXISTS\r\n");
    let before = talk.session.deadline();
    talk.now += Duration::from_secs(60);
    talk.session.notified(talk.now);
    talk.drain();
    assert_eq!(talk.session.deadline(), before, "who only hears does not live");
    talk.say(b"c NOTIFY NONE\r\n");
    talk.forget();
    talk.session.notified(talk.now);
    talk.drain();
    assert_eq!(talk.text(), "");
}

#[test]
fn append_streams() {
    let talk = both(
        Talk::in_account,
        b"a APPEND x (\\Seen $Y) \"01-Jan-2020 00:00:00 +0000\" {10}\r\nSubject: \r\r\nb NOOP\r\n",
    );
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\nb OK done\r\n");
    assert_eq!(talk.asked[..3], ["begin 0 x [\"\\\\Seen\", \"$Y\"] Some(10)", "end \"Subject: \\r\"", "commit"]);
    // The mailbox as a literal, several messages, synchronising and not.
    let talk = both(Talk::in_account, b"a APPEND {3+}\r\na b (\\Draft) {2+}\r\nhi {3}\r\nyou ~{1+}\r\n\0\r\n");
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\n");
    assert_eq!(
        talk.asked,
        [
            "begin 0 a b [\"\\\\Draft\"] Some(2)",
            "end \"hi\"",
            "begin 1 a b [] Some(3)",
            "end \"you\"",
            "begin 2 a b [] Some(1)",
            "end \"\\0\"",
            "commit"
        ]
    );
    let talk = both(Talk::in_account, b"a APPEND x UTF8 (~{2+}\r\nhi)\r\nb APPEND x UTF8 ({2+}\r\nhi\r\n");
    assert_eq!(talk.asked, ["begin 0 x [] Some(2)", "end \"hi\"", "commit", "begin 0 x [] Some(2)", "abort"]);
    let mut talk = Talk::in_account();
    let message = vec![b'm'; 300_000];
    talk.say(format!("a APPEND x {{{}}}\r\n", message.len()).as_bytes());
    talk.say(&message);
    talk.say(b"\r\n");
    assert!(talk.text().ends_with("a OK appended\r\n") && talk.asked[1].len() == "end \"\"".len() + message.len());
}

#[test]
fn append_refused_leaves_the_connection_in_step() {
    let talk =
        both(Talk::in_account, b"a APPEND none {10}\r\nb APPEND none {6+}\r\nx NOOP {6+}\r\ny NOOP\r\nc NOOP\r\n");
    assert_eq!(talk.text(), "a NO [TRYCREATE] no such mailbox\r\nb NO [TRYCREATE] no such mailbox\r\nc OK done\r\n");
    // Full in the middle.
    let talk = both(Talk::in_account, b"a APPEND x {6+}\r\n###abc {3}\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "a NO [OVERQUOTA] full\r\nb OK done\r\n");
    assert_eq!(talk.asked[1..], ["abort", "Noop"]);
    // What is wrong behind the first message undoes it.
    for (tail, reply) in [
        (&b" (\\Bad) {3+}\r\nabc\r\n"[..], "a BAD \\BAD is no flag that can be set\r\n"),
        (b"x\r\n", "a BAD expected one space\r\n"),
        (b" \r\n", "a BAD expected a literal\r\n"),
        (b" {0+}\r\n\r\n", "a NO an empty message is none\r\n"),
        (b" {3+}\r\na\0b\r\n", "a BAD NUL in a message that is no literal8\r\n"),
        (b" \"01-Foo-2020 00:00:00 +0000\" {3}\r\n", "a BAD not a date\r\n"),
    ] {
        let mut input = b"a APPEND x {3+}\r\nabc".to_vec();
        input.extend_from_slice(tail);
        input.extend_from_slice(b"b NOOP\r\n");
        let talk = both(Talk::in_account, &input);
        assert_eq!(talk.text(), format!("{reply}b OK done\r\n"), "{:?}", String::from_utf8_lossy(tail));
        assert!(talk.asked.contains(&"abort".to_string()) && !talk.asked.contains(&"commit".to_string()));
    }
    for wire in [
        "a APPEND\r\n",
        "a APPEND x\r\n",
        "a APPEND x \r\n",
        "a APPEND x y\r\n",
        "a APPEND x (\\Seen)\r\n",
        "a APPEND x {2}x\r\n",
    ] {
        let talk = both(Talk::in_account, wire.as_bytes());
        assert!(talk.text().starts_with("a BAD ") && talk.asked.is_empty(), "{wire}: {}", talk.text());
    }
}

#[test]
fn catenate_and_replace() {
    let talk = both(
        Talk::in_mailbox,
        b"a APPEND x (\\Seen) CATENATE (URL one TEXT {3+}\r\nabc URL {3+}\r\ntwo URL \"three\") CATENATE (TEXT {0+}\r\n) {1}\r\nz\r\n",
    );
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\n");
    assert_eq!(
        talk.asked,
        [
            "begin 0 x [\"\\\\Seen\"] None",
            "url one",
            "text 3",
            "url two",
            "url three",
            "end \"abc\"",
            "begin 1 x [] None",
            "text 0",
            "end \"\"",
            "begin 2 x [] Some(1)",
            "end \"z\"",
            "commit"
        ]
    );
    let talk = both(Talk::in_mailbox, b"a APPEND x CATENATE (URL bad TEXT {3+}\r\nabc URL {6}\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "a NO [BADURL bad] no such URL\r\nb OK done\r\n");
    for wire in [
        "CATENATE ()",
        "CATENATE (URL",
        "CATENATE (URL a",
        "CATENATE (URL a URL",
        "CATENATE (TEXT a)",
        "CATENATE (X a)",
        "CATENATE (TEXT ~{1+}\r\na)",
    ] {
        let talk = both(Talk::in_mailbox, format!("a APPEND x {wire}\r\n").as_bytes());
        assert!(talk.text().starts_with("a BAD "), "{wire}: {}", talk.text());
        assert!(!talk.asked.contains(&"commit".to_string()));
    }
    let talk = both(
        Talk::in_mailbox,
        b"a REPLACE * x {2+}\r\nhi\r\nb UID REPLACE 7 x (\\Seen) {2+}\r\nhi {2+}\r\nho\r\nc REPLACE 0 x {2+}\r\nhi\r\n",
    );
    assert_eq!(talk.text(), "* 4 EXISTS\r\na OK appended\r\nb BAD only one message\r\nc BAD 0 is not allowed here\r\n");
    assert!(talk.asked[0].ends_with("replace"));
}

#[test]
fn spaces_at_the_end_are_tolerated_where_that_is_set() {
    for tolerates_spaces in [false, true] {
        let mut talk = Talk::new(Config { tolerates_spaces, ..config() }, context());
        talk.say(b"l LOGIN alice right  \r\na SELECT x \r\n");
        assert_eq!(talk.text().contains("a OK"), tolerates_spaces, "{}", talk.text());
    }
}

#[test]
fn the_service_may_end_the_session() {
    let talk = both(Talk::in_account, b"a DELETE x\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "* BYE the account is gone\r\n");
    assert!(talk.is_closed);
}

#[test]
fn time_runs_out() {
    let mut talk = fresh();
    talk.session.input(talk.now + Duration::from_secs(100), b"a");
    assert_eq!(talk.session.deadline(), Some(talk.now + Duration::from_secs(180)), "talking is no login");
    let talk = Talk::in_account();
    assert_eq!(talk.session.deadline(), Some(talk.now + Duration::from_secs(1800)));
    let mut talk = Talk::in_account();
    talk.say(b"a APPEND x {100}\r\n");
    assert_eq!(talk.session.deadline(), Some(talk.now + Duration::from_secs(300)));
    // A peer that does not take what it asked for.
    let mut talk = Talk::in_mailbox();
    talk.session.input(talk.now, b"a FETCH 1 UID\r\n");
    let Step::Ask(Ask::Run(_)) = talk.session.next() else { panic!() };
    assert_eq!(talk.session.deadline(), None, "the service works");
    talk.session.answer(talk.now, Answer::Output { bytes: b"* x\r\n".to_vec(), outcome: None });
    assert!(talk.session.deadline().is_some(), "the peer reads");
    talk.session.timeout(talk.now + Duration::from_secs(3600));
    talk.drain();
    assert!(talk.is_closed);
}

#[test]
fn an_idle_session_is_small() {
    assert!(std::mem::size_of::<ImapSession>() <= 512, "{}", std::mem::size_of::<ImapSession>());
}

/// Every command of a good-sized list, whole and octet by octet.
#[test]
fn every_command_reads_the_same_in_pieces() {
    let commands = [
        "CAPABILITY",
        "NOOP",
        "ENABLE CONDSTORE",
        "SELECT {5+}\r\nINBOX",
        "EXAMINE a (CONDSTORE)",
        "CREATE \"a \\\"b\"",
        "RENAME a {1}\r\nb",
        "SUBSCRIBE a",
        "UNSUBSCRIBE a",
        "LIST (SUBSCRIBED) \"\" (a b) RETURN (STATUS (MESSAGES))",
        "LSUB \"\" *",
        "NAMESPACE",
        "STATUS a (UNSEEN)",
        "CHECK",
        "EXPUNGE",
        "UID EXPUNGE 1:2",
        "SEARCH {3+}\r\nALL",
        "SEARCH SUBJECT {3+}\r\na\r\n FROM {0}\r\n",
        "UID SEARCH RETURN () 1:*",
        "SORT (REVERSE DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "FETCH 1 (BODY.PEEK[HEADER.FIELDS ({4+}\r\nFrom To)])",
        "STORE 1 +FLAGS (\\Seen)",
        "COPY 1 {1+}\r\nx",
        "UID MOVE 1 x",
        "GETQUOTA \"\"",
        "GETQUOTAROOT INBOX",
        "GETACL a",
        "SETACL a b +l",
        "GETMETADATA a /shared/b",
        "SETMETADATA a (/shared/b {3+}\r\n\r\n\"c)",
        "ESEARCH IN (inboxes) ALL",
        "NOTIFY NONE",
        "ID NIL",
        "APPEND x {3}\r\nabc",
        "REPLACE 1 x {3+}\r\nabc",
        "CLOSE",
        "UNSELECT",
        "IDLE\r\nDONE",
        "UNAUTHENTICATE",
        "LOGOUT",
        "XYZZY {2+}\r\nab",
    ];
    for command in commands {
        let talk = both(Talk::in_mailbox, format!("t1 {command}\r\nt2 NOOP\r\n").as_bytes());
        let text = talk.text();
        assert_eq!(text.matches("\r\nt1 ").count() + usize::from(text.starts_with("t1 ")), 1, "{command}: {text}");
        assert!(command == "LOGOUT" || text.ends_with("t2 OK done\r\n"), "{command}: {text}");
    }
    let all: String =
        commands.iter().filter(|c| !["LOGOUT", "UNAUTHENTICATE"].contains(c)).map(|c| format!("t {c}\r\n")).collect();
    both(Talk::in_mailbox, all.as_bytes());
}

#[test]
fn large_commands_cost_linear_time() {
    // Each of these is near the limit of what a command may hold; together they take a moment, not minutes.
    let literals = format!("a SEARCH{}\r\n", " SUBJECT {1+}\r\nx".repeat(7000));
    let urls = format!("a APPEND x CATENATE ({}TEXT {{1+}}\r\nx)\r\n", "URL {1+}\r\nu ".repeat(20_000));
    let chain = format!("a SEARCH {}ALL\r\n", "OR SEEN ".repeat(8000));
    let set = format!("a FETCH {} UID\r\n", (1..10_000).map(|n| (2 * n).to_string()).collect::<Vec<_>>().join(","));
    let names = format!("a FETCH 1 BODY.PEEK[HEADER.FIELDS ({})]\r\n", vec!["x"; 30_000].join(" "));
    for input in [literals, urls, chain, set, names] {
        let started = Instant::now();
        let mut talk = Talk::in_mailbox();
        for piece in input.as_bytes().chunks(1000) {
            talk.say(piece);
        }
        assert!(talk.text().contains("a OK"), "{}: {}", &input[..40], talk.text());
        assert!(started.elapsed() < Duration::from_secs(5));
    }
}

/// Pieces of protocol, to be strung together.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    const WORDS: [&str; 40] = [
        "a ",
        "b ",
        "\r\n",
        "\r\n",
        "\r\n",
        " ",
        "NOOP",
        "LOGIN ",
        "alice right",
        "AUTHENTICATE PLAIN",
        "=",
        "*",
        "SELECT ",
        "INBOX",
        "IDLE",
        "DONE",
        "APPEND x ",
        "REPLACE 1 x ",
        "CATENATE (",
        "URL a",
        "TEXT ",
        "{3}",
        "{3+}",
        "~{2+}",
        "{0+}",
        "{99999+}",
        "abc",
        "(",
        ")",
        "UID ",
        "FETCH 1 ",
        "SEARCH ",
        "OR ",
        "NOT ",
        "BODY[",
        "]",
        "\"",
        "\\",
        "\n",
        "LOGOUT",
    ];
    let word = prop_oneof![
        8 => (0..WORDS.len()).prop_map(|i| WORDS[i].as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    prop::collection::vec(word, 0..40).prop_map(|words| words.concat())
}

proptest! {
    #[test]
    fn no_input_in_any_state_makes_a_panic_or_depends_on_its_pieces(input in noise(), state in 0..4usize, step in 1..9usize) {
        let begin = [fresh as fn() -> Talk, without_tls, Talk::in_account, Talk::in_mailbox][state];
        let (mut whole, mut pieces) = (begin(), begin());
        whole.say(&input);
        for piece in input.chunks(step) {
            pieces.say(piece);
        }
        prop_assert_eq!(whole.text(), pieces.text());
        prop_assert_eq!(&whole.asked, &pieces.asked);
        whole.session.input_closed(whole.now);
        whole.drain();
        prop_assert!(whole.is_closed || whole.starts_tls);
    }
}

#[test]
fn an_answer_to_another_question_promises_nothing() {
    let mut talk = Talk::in_mailbox();
    talk.session.input(talk.now, b"a NOOP\r\n");
    let Step::Ask(_) = talk.session.next() else { panic!() };
    talk.session.answer(talk.now, Answer::Done);
    talk.drain();
    assert!(talk.is_closed && talk.text() == "* BYE [SERVERBUG] internal error\r\n");
    assert_eq!(Outcome::ok("x").status, Status::Ok);
}
