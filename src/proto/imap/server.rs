//! The session: not authenticated, authenticated, selected, logout (RFC 9051 §3).
//!
//! Driven by `drive`, answered by `serve`. Invariants: one command at a time, and no input while a question is open, so that pipelined
//! commands are answered in order; each command gets one tagged reply, or the connection ends with BYE; the octets of a literal are
//! never read as a command, whatever became of the command they belong to; an idle session holds no buffer.
//! RFC 9051, RFC 3501, RFC 7888 (literals), RFC 2177 (IDLE), RFC 8437 (UNAUTHENTICATE).

use super::ask::{Answer, Ask, Effect, Outcome, Refusal};
use super::config::{Config, Context};
use super::current::Current;
use super::extension::Enabled;
use super::response::{self, Code, Status};
use crate::line::LineSplitter;
use crate::proto::{Session, Step, TlsFacts, proxy};
use crate::sasl::Dialog;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest line before login: room for a SASL message (RFC 4422 §4).
pub(super) const LINE_BEFORE_LOGIN: usize = 16 << 10;

/// The states of RFC 9051 §3 that last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    NotAuthenticated,
    Authenticated,
    Selected,
}

/// How input is read.
#[derive(Debug)]
pub(super) enum Mode {
    /// The PROXY header; what has come of it.
    Proxy(Vec<u8>),
    /// Lines of a command.
    Command,
    /// So many octets of a literal that is an argument.
    Literal(u64),
    /// So many octets of a message.
    Message(u64),
    /// So many octets that nobody wants.
    Skip(u64),
    /// Lines of AUTHENTICATE.
    Auth(Box<str>, Box<Dialog>),
    /// DONE.
    Idle(Box<str>),
}

/// What the open question's answer is for.
#[derive(Debug)]
pub(super) enum Wait {
    Connect,
    Look,
    Login(Box<str>),
    Id(Box<str>),
    Run(Box<str>, After),
    IdleStart(Box<str>),
    Changes,
    /// The tag, where the reply is due at once, and whether DONE was said.
    IdleEnd(Option<Box<str>>, bool),
    Append,
    Chunk,
    Abort,
    Unauthenticate(Box<str>),
}

/// What a command's success means to the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Nothing,
    /// NOTIFY: changes are told at any time from now on, or not.
    Notify(bool),
}

/// One connection.
#[derive(Debug)]
pub struct ImapSession {
    pub(super) config: Arc<Config>,
    pub(super) context: Box<Context>,
    pub(super) lines: LineSplitter,
    pub(super) out: Vec<u8>,
    pub(super) question: Option<Ask>,
    pub(super) wait: Option<Wait>,
    pub(super) mode: Mode,
    pub(super) current: Option<Box<Current>>,
    pub(super) phase: Phase,
    pub(super) enabled: Enabled,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) attempts: u32,
    pub(super) nonces: u32,
    pub(super) errors: u32,
    pub(super) is_notifying: bool,
    has_news: bool,
    pub(super) starts_tls: bool,
    /// COMPRESS was answered; the driver has not been told yet.
    pub(super) starts_compressing: bool,
    pub(super) is_compressed: bool,
    /// The port begins with TLS, and it has not begun yet.
    expects_tls: bool,
    pub(super) is_closing: bool,
    pub(super) penalty: Option<(Instant, Box<str>)>,
    input_ended: bool,
    deadline: Instant,
}

impl ImapSession {
    /// A connection that has just been made. Where TLS comes first, `tls_started` is called before anything else.
    pub fn new(config: Arc<Config>, context: Context, now: Instant) -> ImapSession {
        let deadline = now + config.limits.login;
        let mut session = ImapSession {
            lines: LineSplitter::new(LINE_BEFORE_LOGIN),
            out: Vec::new(),
            question: None,
            wait: None,
            mode: Mode::Command,
            current: None,
            phase: Phase::NotAuthenticated,
            enabled: Enabled::default(),
            tls: None,
            attempts: 0,
            nonces: 0,
            errors: 0,
            is_notifying: false,
            has_news: false,
            starts_tls: false,
            starts_compressing: false,
            is_compressed: false,
            expects_tls: false,
            is_closing: false,
            penalty: None,
            input_ended: false,
            deadline,
            config,
            context: Box::new(context),
        };
        match session.context.expects_proxy {
            true => session.mode = Mode::Proxy(Vec::new()),
            false => session.ask_connect(),
        }
        session
    }

    fn ask_connect(&mut self) {
        self.ask(Ask::Connect(self.context.ip), Wait::Connect);
    }

    /// Reads the PROXY header.
    fn take_proxy(&mut self, mut held: Vec<u8>, bytes: &[u8]) -> usize {
        let (header, taken) = proxy::gather(&mut held, bytes);
        match header {
            proxy::Header::More => self.mode = Mode::Proxy(held),
            proxy::Header::Done(_, client) => {
                if let Some((ip, _)) = client {
                    let ip = ip.to_canonical();
                    self.context.ip = Some(ip);
                    // Who speaks for others over the wire gets no loopback privileges.
                    self.context.plaintext_allowed &= ip.is_loopback();
                }
                self.mode = Mode::Command;
                self.ask_connect();
            }
            proxy::Header::Bad => {
                self.mode = Mode::Command;
                self.is_closing = true;
            }
        }
        taken
    }

    fn greet(&mut self) {
        let code = Code::Capability(self.capabilities());
        let text = format!("{} IMAP ready", self.config.host);
        response::untagged(&mut self.out, Status::Ok, Some(&code), &text);
    }

    pub(super) fn ask(&mut self, ask: Ask, wait: Wait) {
        self.question = Some(ask);
        self.wait = Some(wait);
    }

    pub(super) fn ok(&mut self, tag: &str, text: &str) {
        response::tagged(&mut self.out, tag, Status::Ok, None, text);
        if self.phase != Phase::NotAuthenticated {
            self.errors = 0;
        }
    }

    /// Says why not; too many mistakes end the session.
    pub(super) fn refuse(&mut self, tag: Option<&str>, refusal: &Refusal) {
        let code = refusal.code.as_ref();
        match tag {
            Some(tag) => response::tagged(&mut self.out, tag, refusal.status, code, &refusal.text),
            None => response::untagged(&mut self.out, refusal.status, code, &refusal.text),
        }
        if refusal.status == Status::Bad || self.phase == Phase::NotAuthenticated {
            self.errors += 1;
            if self.errors >= self.config.limits.errors {
                self.bye(None, "too many bad commands");
            }
        }
    }

    /// Ends the session.
    pub(super) fn bye(&mut self, code: Option<&Code>, text: &str) {
        if !self.is_closing {
            response::untagged(&mut self.out, Status::Bye, code, text);
        }
        self.is_closing = true;
        self.current = None;
    }

    pub(super) fn is_busy(&self) -> bool {
        let changes_layers = self.starts_tls || self.expects_tls || self.starts_compressing;
        self.wait.is_some() || self.is_closing || changes_layers || self.penalty.is_some()
    }

    fn patience(&self) -> Duration {
        let limits = &self.config.limits;
        match (&self.mode, self.phase) {
            (Mode::Idle(_), _) => limits.idle,
            (Mode::Command, Phase::Authenticated | Phase::Selected) if self.current.is_none() => limits.autologout,
            (_, Phase::NotAuthenticated) => limits.login,
            _ => limits.data,
        }
    }

    fn finished(&mut self, tag: &str, after: After, outcome: &Outcome) {
        match outcome.effect {
            Effect::Unchanged => {}
            Effect::Selected => self.phase = Phase::Selected,
            Effect::Unselected => self.phase = Phase::Authenticated,
        }
        if let (After::Notify(is_notifying), Status::Ok) = (after, outcome.status) {
            self.is_notifying = is_notifying;
        }
        response::tagged(&mut self.out, tag, outcome.status, outcome.code.as_ref(), &outcome.text);
        if outcome.status == Status::Ok {
            self.errors = 0;
        }
    }

    /// RFC 8437 §3: everything but TLS is as at the beginning.
    fn unauthenticated(&mut self, tag: &str) {
        self.phase = Phase::NotAuthenticated;
        self.enabled = Enabled::default();
        self.is_notifying = false;
        self.has_news = false;
        self.ok(tag, "who is it now?");
    }
}

impl Session for ImapSession {
    type Ask = Ask;
    type Answer = Answer;

    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_busy() {
            let rest = &bytes[taken..];
            taken += match self.mode {
                Mode::Proxy(ref mut held) => {
                    let held = std::mem::take(held);
                    self.take_proxy(held, rest)
                }
                Mode::Literal(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    if let Some(current) = &mut self.current {
                        current.fill(&rest[..length]);
                    }
                    let left = left - length as u64;
                    self.mode = if left > 0 { Mode::Literal(left) } else { Mode::Command };
                    length
                }
                Mode::Skip(left) => {
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    self.skip(left - length as u64);
                    length
                }
                Mode::Message(left) => self.take_message(left, rest),
                Mode::Command | Mode::Auth(..) | Mode::Idle(_) => self.take_line(rest),
            };
        }
        // Before login the clock runs on: who only talks does not log in.
        if taken > 0 && self.phase != Phase::NotAuthenticated {
            self.deadline = now + self.patience();
        }
        taken
    }

    fn input_closed(&mut self, _now: Instant) {
        self.input_ended = true;
        self.current = None;
        // A pause that runs is sat out: its reply is owed.
        self.is_closing |= self.penalty.is_none();
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let Some(wait) = self.wait.take() else { return };
        // What we tell by ourselves is no sign of life of the client.
        let is_unasked = matches!(wait, Wait::Changes);
        match (wait, answer) {
            (_, Answer::Bye(text)) => self.bye(None, &text),
            (Wait::Connect, Answer::Verdict(Ok(()))) if self.context.implicit_tls => self.expects_tls = true,
            (Wait::Connect, Answer::Verdict(Ok(()))) => self.greet(),
            // In clear the peer would take it for a broken handshake.
            (Wait::Connect, Answer::Verdict(Err(_))) if self.context.implicit_tls => self.is_closing = true,
            (Wait::Connect, Answer::Verdict(Err(refusal))) => self.bye(refusal.code.as_ref(), &refusal.text),
            (Wait::Look, Answer::Found(found)) => self.auth_found(found),
            (Wait::Login(tag), Answer::Login(result)) => self.login_answered(now, tag, result),
            (Wait::Id(tag), Answer::Done) => {
                response::id(&mut self.out, &self.config.id);
                self.ok(&tag, "done");
            }
            (Wait::Run(tag, after), Answer::Output { bytes, outcome }) => {
                // The service's lines become the output as they are: no copy of what may be large.
                match self.out.is_empty() {
                    true => self.out = bytes,
                    false => self.out.extend_from_slice(&bytes),
                }
                match outcome {
                    Some(outcome) => self.finished(&tag, after, &outcome),
                    None => self.ask(Ask::More, Wait::Run(tag, after)),
                }
            }
            (wait @ (Wait::IdleStart(_) | Wait::Changes | Wait::IdleEnd(..)), Answer::Untagged { bytes, is_more }) => {
                self.untagged(&bytes, is_more, wait);
            }
            (Wait::IdleEnd(tag, is_done), Answer::Done) => self.idle_ended(tag.as_deref(), is_done),
            (Wait::Append, Answer::Verdict(verdict)) => self.append_answered(verdict),
            (Wait::Chunk, Answer::Verdict(verdict)) => self.chunk_answered(verdict),
            (Wait::Abort, Answer::Done) => {}
            (Wait::Unauthenticate(tag), Answer::Done) => self.unauthenticated(&tag),
            // A service that answers something else is broken; nothing must be promised then.
            _ => self.bye(Some(&Code::ServerBug), "internal error"),
        }
        if !is_unasked {
            self.deadline = now + self.patience();
        }
    }

    fn tls_started(&mut self, now: Instant, tls: TlsFacts) {
        self.tls = Some(Box::new(tls));
        if std::mem::take(&mut self.expects_tls) {
            self.greet();
        }
        // RFC 9051 §6.2.1: what was learnt before is forgotten.
        self.starts_tls = false;
        self.current = None;
        self.mode = Mode::Command;
        self.lines = LineSplitter::new(LINE_BEFORE_LOGIN);
        self.deadline = now + self.patience();
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.penalty {
            Some((until, _)) => Some(*until),
            // A question that is not fetched waits for the peer to take what was sent.
            None if self.wait.is_none() || self.question.is_some() => Some(self.deadline),
            None => None,
        }
    }

    fn timeout(&mut self, now: Instant) {
        if let Some((until, tag)) = self.penalty.take() {
            if now < until {
                self.penalty = Some((until, tag));
                return;
            }
            self.deadline = now + self.patience();
            self.penalty_over(&tag);
            self.is_closing |= self.input_ended;
        } else if now >= self.deadline && (self.wait.is_none() || self.question.is_some()) {
            self.question = None;
            self.wait = None;
            self.bye(None, "autologout: nothing was heard for too long");
        }
    }

    /// RFC 9051 §7.1.5.
    fn shutdown(&mut self, _now: Instant) {
        if self.wait.is_none() && self.penalty.is_none() && self.out.is_empty() {
            self.bye(None, "the server is shutting down");
        }
    }

    fn notified(&mut self, _now: Instant) {
        self.has_news = self.phase != Phase::NotAuthenticated;
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
        if std::mem::take(&mut self.starts_compressing) {
            self.is_compressed = true;
            return Step::Compress;
        }
        if self.expects_tls {
            return Step::ExpectTls;
        }
        if self.has_news && self.may_tell() {
            self.has_news = false;
            self.wait = Some(Wait::Changes);
            return Step::Ask(Ask::Changes);
        }
        Step::Wait
    }
}
