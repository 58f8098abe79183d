//! poppassd, as Eudora speaks it: USER, PASS, NEWPASS, QUIT with three-digit replies on port 106.
//!
//! There is no RFC. The protocol has no TLS of its own, so passwords are only taken where plaintext is allowed.

use crate::line::{LineEvent, LineSplitter};
use crate::proto::{Session, Step, TlsFacts};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Longest line, in octets.
const LINE_LIMIT: usize = 2048;
/// Wait for a line.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// Bad commands before the connection is closed.
const ERRORS: u32 = 10;

/// Questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// May this peer connect?
    Connect(Option<IpAddr>),
    /// Log in.
    Login(String, String),
    /// Set the new password of who has logged in.
    Change(String),
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To Connect.
    Verdict(Result<(), String>),
    /// To Login: a pause and, for other trouble than wrong credentials, the text.
    Login(Result<(), (Duration, Option<String>)>),
    /// To Change.
    Changed(Result<(), String>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    ExpectUser,
    ExpectPassword(String),
    LoggedIn,
}

/// One connection.
#[derive(Debug)]
pub struct PoppassSession {
    host: String,
    lines: LineSplitter,
    out: Vec<u8>,
    errors: u32,
    ask: Option<Ask>,
    waits: bool,
    state: State,
    plaintext_allowed: bool,
    is_closing: bool,
    penalty: Option<(Instant, String)>,
    deadline: Instant,
}

impl PoppassSession {
    /// A connection that has just been made.
    pub fn new(host: &str, ip: Option<IpAddr>, plaintext_allowed: bool, now: Instant) -> PoppassSession {
        PoppassSession {
            host: host.to_string(),
            lines: LineSplitter::new(LINE_LIMIT),
            out: Vec::new(),
            errors: 0,
            ask: Some(Ask::Connect(ip)),
            waits: true,
            state: State::ExpectUser,
            plaintext_allowed,
            is_closing: false,
            penalty: None,
            deadline: now + PATIENCE,
        }
    }

    fn say(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
        self.out.extend_from_slice(b"\r\n");
    }

    /// A mistake of the client's; too many end the session.
    fn bad(&mut self, text: &str) {
        self.say(text);
        self.errors += 1;
        self.is_closing |= self.errors >= ERRORS;
    }

    fn ask(&mut self, ask: Ask) {
        self.ask = Some(ask);
        self.waits = true;
    }

    fn line(&mut self, line: &[u8]) {
        let Ok(text) = std::str::from_utf8(line) else { return self.bad("500 not UTF-8") };
        let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
        match (verb.to_ascii_uppercase().as_str(), &self.state) {
            ("QUIT", _) => {
                self.say("200 bye");
                self.is_closing = true;
            }
            ("USER", State::ExpectUser) if !self.plaintext_allowed => {
                self.say("500 passwords are not taken over this connection");
                self.is_closing = true;
            }
            ("USER", State::ExpectUser) if !argument.trim().is_empty() => {
                self.state = State::ExpectPassword(argument.trim().to_string());
                self.say("300 password, please");
            }
            ("PASS", State::ExpectPassword(user)) => {
                let login = Ask::Login(user.clone(), argument.to_string());
                self.ask(login);
            }
            ("NEWPASS", State::LoggedIn) if !argument.is_empty() => self.ask(Ask::Change(argument.to_string())),
            ("USER" | "PASS" | "NEWPASS", _) => self.bad("500 not now"),
            _ => self.bad("500 unknown command"),
        }
    }
}

impl Session for PoppassSession {
    type Ask = Ask;
    type Answer = Answer;

    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.waits && !self.is_closing && self.penalty.is_none() {
            let (used, event) = self.lines.feed(&bytes[taken..]);
            taken += used;
            match event {
                // Only a whole line earns new patience.
                LineEvent::More => return taken,
                LineEvent::TooLong => self.bad("500 line too long"),
                LineEvent::Line(line, _) => {
                    let line = line.to_vec();
                    self.line(&line);
                }
            }
            self.deadline = now + PATIENCE;
        }
        taken
    }

    fn input_closed(&mut self, _now: Instant) {
        // A pause that runs is sat out; it closes the connection by itself.
        self.is_closing = self.penalty.is_none();
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        self.waits = false;
        self.deadline = now + PATIENCE;
        match answer {
            Answer::Verdict(Ok(())) => self.say(&format!("200 {} password server ready", self.host)),
            Answer::Verdict(Err(text)) => {
                self.say(&format!("500 {text}"));
                self.is_closing = true;
            }
            Answer::Login(Ok(())) => {
                self.state = State::LoggedIn;
                self.say("200 your new password, please");
            }
            Answer::Login(Err((pause, text))) => {
                let text = text.unwrap_or_else(|| "wrong name or password".to_string());
                self.penalty = Some((now + pause, format!("500 {text}")));
            }
            Answer::Changed(Ok(())) => self.say("200 password changed"),
            // Each try costs a hash.
            Answer::Changed(Err(text)) => self.bad(&format!("500 {text}")),
        }
    }

    fn tls_started(&mut self, _now: Instant, _tls: TlsFacts) {
        self.plaintext_allowed = true;
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.penalty {
            Some((until, _)) => Some(*until),
            None if !self.waits => Some(self.deadline),
            None => None,
        }
    }

    fn timeout(&mut self, now: Instant) {
        match self.penalty.take() {
            Some((until, text)) if now >= until => {
                self.say(&text);
                // One guess a connection.
                self.is_closing = true;
            }
            Some(penalty) => self.penalty = Some(penalty),
            None if now >= self.deadline && !self.waits => self.is_closing = true,
            None => {}
        }
    }

    fn next(&mut self) -> Step<Ask> {
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        if let Some(ask) = self.ask.take() {
            return Step::Ask(ask);
        }
        if self.is_closing && !self.waits { Step::Close } else { Step::Wait }
    }
}
