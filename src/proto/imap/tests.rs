//! The machine against a service that says yes to most things.

mod append;
mod layers;
mod literals;
mod login;
mod properties;

use super::*;
use crate::proto::imap::response::{Code, Status};
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{Evidence, Mechanism};
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
