//! The session: what comes in, what is waited for, when it ends.
//!
//! Invariants: nothing of a command is acted on before all of it has come; after LOGOUT nothing is; a script goes out piece by piece,
//! the next one when the peer has taken the last; an idle session holds no buffer.

use super::ask::{Answer, Ask, Config, Context, Piece, Refusal};
use super::commands;
use super::frame::{Allowance, Event, Frame, Part};
use super::reply::{self, Code, Status};
use crate::proto::{Session, Step, TlsFacts, proxy};
use crate::sasl::Dialog;
use std::sync::Arc;
use std::time::Instant;

/// Most octets of a command's literals before login: a SASL message in base64.
const KEPT_BEFORE_LOGIN: u64 = 12 << 10;
/// Room for names and tags beside a script.
const KEPT_BESIDE: u64 = 4 << 10;
/// Most octets of a literal that is too large to be taken, after login; with more the connection ends.
const SKIPPED: u64 = 64 << 20;
/// Commands that were not understood, in a row, before the connection is closed.
const ERRORS: u32 = 20;
/// More than this is sent before the next command is read.
const ENOUGH_OUTPUT: usize = 64 << 10;

/// What the open question's answer is for.
#[derive(Debug)]
pub(super) enum Wait {
    Connect,
    Look,
    Login,
    LogOut,
    /// A command that is done or not, and what to say when it is.
    Done(&'static str),
    List,
    /// The first piece of a script.
    First,
    /// Another piece, and the octets still to come.
    Next(u64),
}

/// One connection.
#[derive(Debug)]
pub struct ManageSieveSession {
    pub(super) config: Arc<Config>,
    pub(super) context: Box<Context>,
    /// What has come of the PROXY header that is awaited.
    proxy: Option<Vec<u8>>,
    frame: Frame,
    pub(super) out: Vec<u8>,
    question: Option<Ask>,
    wait: Option<Wait>,
    pub(super) dialog: Option<Box<Dialog>>,
    /// Who has logged in.
    pub(super) owner: Option<Box<str>>,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) starts_tls: bool,
    pub(super) attempts: u32,
    pub(super) nonces: u32,
    pub(super) errors: u32,
    /// The end of the pause after a failed login.
    pub(super) penalty: Option<Instant>,
    pub(super) is_closing: bool,
    input_ended: bool,
    deadline: Instant,
}

impl ManageSieveSession {
    /// A connection that has just been made.
    pub fn new(config: Arc<Config>, context: Context, now: Instant) -> ManageSieveSession {
        let mut session = ManageSieveSession {
            proxy: context.expects_proxy.then(Vec::new),
            frame: Frame::new(),
            out: Vec::new(),
            question: None,
            wait: None,
            dialog: None,
            owner: None,
            tls: None,
            starts_tls: false,
            attempts: 0,
            nonces: 0,
            errors: 0,
            penalty: None,
            is_closing: false,
            input_ended: false,
            deadline: now + config.login,
            config,
            context: Box::new(context),
        };
        if session.proxy.is_none() {
            session.ask(Ask::Connect(session.context.ip), Wait::Connect);
        }
        session
    }

    pub(super) fn ask(&mut self, ask: Ask, wait: Wait) {
        self.question = Some(ask);
        self.wait = Some(wait);
    }

    pub(super) fn ok(&mut self, text: &str) {
        reply::reply(&mut self.out, Status::Ok, None, text);
    }

    pub(super) fn no(&mut self, refusal: &Refusal) {
        reply::reply(&mut self.out, Status::No, refusal.code.map(Code::name), &refusal.text);
    }

    /// Ends the session.
    pub(super) fn bye(&mut self, code: Option<Code>, text: &str) {
        if !self.is_closing {
            reply::reply(&mut self.out, Status::Bye, code.map(Code::name), text);
        }
        self.is_closing = true;
    }

    fn is_busy(&self) -> bool {
        let is_held = self.wait.is_some() || self.penalty.is_some();
        is_held || self.is_closing || self.starts_tls || self.out.len() > ENOUGH_OUTPUT
    }

    /// Reads the PROXY header.
    fn take_proxy(&mut self, mut held: Vec<u8>, bytes: &[u8]) -> usize {
        let (header, taken) = proxy::gather(&mut held, bytes);
        match header {
            proxy::Header::More => self.proxy = Some(held),
            proxy::Header::Bad => self.is_closing = true,
            proxy::Header::Done(_, client) => {
                if let Some((ip, _)) = client {
                    let ip = ip.to_canonical();
                    self.context.ip = Some(ip);
                    // Who speaks for others over the wire gets no loopback privileges.
                    self.context.plaintext_allowed &= ip.is_loopback();
                }
                self.ask(Ask::Connect(self.context.ip), Wait::Connect);
            }
        }
        taken
    }

    fn take(&mut self, bytes: &[u8]) -> usize {
        let allowance = match self.owner {
            None => Allowance { keep: KEPT_BEFORE_LOGIN, skip: 0 },
            Some(_) => Allowance { keep: self.config.script_size + KEPT_BESIDE, skip: SKIPPED },
        };
        let (taken, event) = self.frame.feed(bytes, allowance);
        match event {
            Event::More => {}
            Event::Command(parts) => self.command(parts),
            Event::Lost(why) => self.bye(None, why),
        }
        taken
    }

    fn command(&mut self, parts: Vec<Part>) {
        // An empty line between two commands says nothing, but is an answer to a challenge.
        if parts.is_empty() && self.dialog.is_none() {
            return;
        }
        let done = match self.dialog.is_some() {
            true => self.auth_answer(parts),
            false => commands::run(self, parts),
        };
        self.settle(done);
    }

    /// Says no, where a command was not one; too many end the session.
    fn settle(&mut self, done: Result<(), Refusal>) {
        let Err(refusal) = done else { return self.errors = 0 };
        self.no(&refusal);
        self.errors += 1;
        if self.errors >= ERRORS {
            self.bye(None, "Too many mistakes");
        }
    }

    fn piece(&mut self, left: Option<u64>, piece: Piece) {
        let left = left.unwrap_or_else(|| {
            self.out.extend_from_slice(format!("{{{}}}\r\n", piece.size).as_bytes());
            piece.size
        });
        let Some(left) = left.checked_sub(piece.text.len() as u64).filter(|left| piece.is_last == (*left == 0)) else {
            // Other octets than were announced: the peer must not take what follows for them.
            self.out.clear();
            self.is_closing = true;
            return;
        };
        match self.out.is_empty() {
            true => self.out = piece.text,
            false => self.out.extend_from_slice(&piece.text),
        }
        if piece.is_last {
            self.out.extend_from_slice(b"\r\n");
            self.ok("");
        } else {
            self.ask(Ask::More, Wait::Next(left));
        }
    }
}

impl Session for ManageSieveSession {
    type Ask = Ask;
    type Answer = Answer;

    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_busy() {
            let rest = &bytes[taken..];
            taken += match self.proxy.take() {
                Some(held) => self.take_proxy(held, rest),
                None => self.take(rest),
            };
        }
        // Before login the clock runs on: who only talks does not log in.
        if taken > 0 && self.owner.is_some() {
            self.deadline = now + self.config.autologout;
        }
        taken
    }

    fn input_closed(&mut self, _now: Instant) {
        self.input_ended = true;
        // A pause that runs is sat out: its reply is owed.
        self.is_closing |= self.penalty.is_none();
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let Some(wait) = self.wait.take() else { return };
        match (wait, answer) {
            (Wait::Connect, Answer::Verdict(Ok(()))) => {
                let text = format!("{} ManageSieve ready", self.config.host);
                self.capabilities(&text);
            }
            (Wait::Connect, Answer::Verdict(Err(text))) => self.bye(Some(Code::TryLater), &text),
            (Wait::Look, Answer::Found(found)) => {
                let done = self.auth_found(found);
                self.settle(done);
            }
            (Wait::Login, Answer::Login(result)) => self.login_answered(now, result),
            (Wait::LogOut, Answer::Done(Ok(()))) => {
                self.owner = None;
                self.ok("Who is it now?");
                self.deadline = now + self.config.login;
            }
            (Wait::Done(text), Answer::Done(Ok(()))) => self.ok(text),
            (Wait::Done(_), Answer::Done(Err(refusal)))
            | (Wait::List, Answer::Listed(Err(refusal)))
            | (Wait::First, Answer::Piece(Err(refusal))) => self.no(&refusal),
            (Wait::List, Answer::Listed(Ok(list))) => self.listed(&list),
            (Wait::First, Answer::Piece(Ok(piece))) => self.piece(None, piece),
            (Wait::Next(left), Answer::Piece(Ok(piece))) => self.piece(Some(left), piece),
            // In the middle of a script nothing but the end of the connection says that it is not whole.
            (Wait::Next(_), Answer::Piece(Err(_))) => self.is_closing = true,
            // A service that answers something else is broken; nothing must be promised then.
            _ => self.bye(Some(Code::TryLater), "Internal error"),
        }
        if self.owner.is_some() {
            self.deadline = now + self.config.autologout;
        }
    }

    fn tls_started(&mut self, now: Instant, tls: TlsFacts) {
        self.tls = Some(Box::new(tls));
        self.starts_tls = false;
        // RFC 5804 §2.2: what was learnt before is forgotten, and told anew.
        self.frame = Frame::new();
        self.dialog = None;
        self.deadline = now + self.config.login;
        self.capabilities("TLS is on");
    }

    fn deadline(&self) -> Option<Instant> {
        match self.penalty {
            Some(until) => Some(until),
            // A question that is not fetched waits for the peer to take what was sent.
            None if self.wait.is_none() || self.question.is_some() => Some(self.deadline),
            None => None,
        }
    }

    fn timeout(&mut self, now: Instant) {
        if let Some(until) = self.penalty {
            if now >= until {
                self.penalty = None;
                self.deadline = now + self.config.login;
                self.wrong_login();
                self.is_closing |= self.input_ended;
            }
        } else if now >= self.deadline && (self.wait.is_none() || self.question.is_some()) {
            let is_inside_script = matches!(self.wait, Some(Wait::Next(_)));
            self.question = None;
            self.wait = None;
            // Octets of a script are awaited: a reply would be taken for them.
            self.is_closing |= is_inside_script;
            self.bye(None, "Nothing was heard for too long");
        }
    }

    /// RFC 5804 §1.2. A reply in the middle of a script would be taken for its octets.
    fn shutdown(&mut self, _now: Instant) {
        if self.wait.is_none() && self.penalty.is_none() && self.out.is_empty() {
            self.bye(Some(Code::TryLater), "The server is shutting down");
        }
    }

    fn next(&mut self) -> Step<Ask> {
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        if let Some(question) = self.question.take() {
            return Step::Ask(question);
        }
        if self.is_closing && self.wait.is_none() {
            return Step::Close;
        }
        if self.starts_tls && self.wait.is_none() {
            return Step::StartTls;
        }
        Step::Wait
    }
}
