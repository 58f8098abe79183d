//! The server's machine for SMTP, submission and LMTP.
//!
//! Driven by `drive`, answered by `serve::smtp`. No I/O: what only the world knows is an [`Ask`].
//! While a question is open no input is taken, so pipelined commands are answered in order (RFC 2920).
//! Invariants: a transaction's data lives in [`Txn`] and is dropped by RSET, EHLO, STARTTLS and at its end; a body is read to its
//! one true end even when it is refused; plaintext behind STARTTLS never reaches this machine (the driver closes).
//! RFC 5321, RFC 2033 (LMTP), RFC 6409 (submission), RFC 3030 (CHUNKING without BINARYMIME), RFC 2034, RFC 3207, RFC 4954, RFC 9422.

use super::ask::{Answer, Ask};
use super::commands;
use super::config::{Config, Context, Kind};
use super::requests::Offer;
use crate::addr::Address;
use crate::dot::{CrlfDecoder, DotDecoder};
use crate::line::{Ending, LineEvent, LineSplitter};
use crate::proto::proxy;
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{self, Dialog};
use crate::settings::Network;
use crate::status::{Enhanced, Reply};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest command line, in octets: RFC 5321 §4.5.3.1.4 asks for 512 and what the extensions add.
const COMMAND_LIMIT: usize = 4096;
/// Longest line of an AUTH exchange (RFC 4954 §4).
const AUTH_LIMIT: usize = 12288;
/// Fewest octets of a text in a second, counted from its beginning, once `timeout_data` has passed: who drips a message holds a
/// connection no longer than the message is worth.
const PACE: u64 = 512;
/// Most body octets decoded for one question.
const PIECE: usize = 64 << 10;

/// A transaction.
#[derive(Debug)]
pub(super) struct Txn {
    pub(super) smtputf8: bool,
    pub(super) accepted: Vec<Address>,
    /// Recipients that were refused.
    pub(super) refused: u32,
    /// Open was asked and granted: the service holds a draft.
    pub(super) is_open: bool,
    /// The text is refused; its rest is read and dropped.
    pub(super) failed: Option<Reply>,
    /// When the text began, and how much of it has come.
    pub(super) pace: Option<(Instant, u64)>,
}

impl Txn {
    pub(super) fn new(smtputf8: bool, failed: Option<Reply>) -> Txn {
        Txn { smtputf8, accepted: Vec::new(), refused: 0, is_open: false, failed, pace: None }
    }
}

/// How input is read.
#[derive(Debug)]
pub(super) enum Mode {
    Proxy(Vec<u8>),
    Command,
    Auth(Dialog),
    Data(DotDecoder),
    /// Octets to come, whether it is the last piece, and the decoder that spans the pieces.
    Bdat(u64, bool, CrlfDecoder),
    /// The connection is turned round (RFC 2645 §5.3).
    Turned,
}

/// What the open question's answer is for.
#[derive(Debug)]
pub(super) enum Wait {
    Connect,
    Auth,
    Mail(bool),
    Rcpt(Address),
    OpenData,
    OpenBdat,
    Chunk,
    Commit,
    Abort,
    Query,
    Turn,
    Turned,
    /// The login that a trusted front end vouches for.
    Vouched,
}

/// One connection.
#[derive(Debug)]
pub struct SmtpSession {
    pub(super) config: Arc<Config>,
    pub(super) context: Context,
    pub(super) lines: LineSplitter,
    pub(super) out: Vec<u8>,
    pub(super) asks: VecDeque<Ask>,
    pub(super) waits: VecDeque<Wait>,
    pub(super) mode: Mode,
    pub(super) helo: Option<String>,
    pub(super) is_esmtp: bool,
    pub(super) tls: Option<TlsFacts>,
    pub(super) user: Option<String>,
    pub(super) txn: Option<Txn>,
    /// The decoder of a BDAT sequence between its pieces.
    pub(super) bdat: Option<CrlfDecoder>,
    pub(super) errors: u32,
    /// Recipients that were refused.
    pub(super) bad_recipients: u32,
    pub(super) commands: u32,
    pub(super) attempts: u32,
    pub(super) nonces: u32,
    pub(super) starts_tls: bool,
    /// The port begins with TLS, and it has not begun yet.
    expects_tls: bool,
    pub(super) is_closing: bool,
    pub(super) penalty: Option<(Instant, Reply)>,
    /// The user for whom a trusted front end speaks, until the login is granted.
    pub(super) vouched: Option<String>,
    /// The present, as we were told last.
    pub(super) now: Instant,
    /// When the connection was made: `context.time` on the other clock.
    began: Instant,
    input_ended: bool,
    deadline: Instant,
}

impl SmtpSession {
    /// A connection that has just been made.
    pub fn new(config: Arc<Config>, context: Context, now: Instant) -> SmtpSession {
        let deadline = now + config.limits.timeout_command;
        let mut session = SmtpSession {
            mode: Mode::Command,
            lines: LineSplitter::new(COMMAND_LIMIT),
            out: Vec::new(),
            asks: VecDeque::new(),
            waits: VecDeque::new(),
            helo: None,
            is_esmtp: false,
            tls: None,
            user: None,
            txn: None,
            bdat: None,
            errors: 0,
            bad_recipients: 0,
            commands: 0,
            attempts: 0,
            nonces: 0,
            starts_tls: false,
            expects_tls: false,
            is_closing: false,
            penalty: None,
            vouched: None,
            now,
            began: now,
            input_ended: false,
            deadline,
            config,
            context,
        };
        if session.context.expects_proxy {
            session.mode = Mode::Proxy(Vec::new());
        } else {
            session.ask_connect();
        }
        session
    }

    pub(super) fn ask_connect(&mut self) {
        self.ask(Ask::Connect(self.context.ip, self.context.port), Wait::Connect);
    }

    pub(super) fn ask(&mut self, ask: Ask, wait: Wait) {
        self.asks.push_back(ask);
        self.waits.push_back(wait);
    }

    pub(super) fn reply(&mut self, reply: &Reply) {
        match self.config.manners.softens && reply.is_permanent() {
            true => reply.softened().print(&mut self.out),
            false => reply.print(&mut self.out),
        }
    }

    pub(super) fn say(&mut self, code: u16, enhanced: (u8, u16, u16), text: &str) {
        self.reply(&Reply::new(code, Enhanced(enhanced.0, enhanced.1, enhanced.2), text));
    }

    /// A reply to something wrong; too many end the session.
    pub(super) fn refuse(&mut self, reply: &Reply) {
        self.reply(reply);
        self.errors += 1;
        if self.errors >= self.config.limits.errors {
            self.say(421, (4, 7, 0), "Too many errors");
            self.close();
        }
    }

    pub(super) fn refuse_with(&mut self, code: u16, enhanced: (u8, u16, u16), text: &str) {
        self.refuse(&Reply::new(code, Enhanced(enhanced.0, enhanced.1, enhanced.2), text));
    }

    pub(super) fn close(&mut self) {
        self.drop_txn();
        self.is_closing = true;
    }

    /// Ends the transaction without a message.
    pub(super) fn drop_txn(&mut self) {
        self.bdat = None;
        if self.txn.take().is_some() {
            self.ask(Ask::Abort, Wait::Abort);
        }
    }

    /// True when the peer may be trusted with something.
    pub(super) fn is_from(&self, networks: &[Network]) -> bool {
        self.context.ip.is_some_and(|ip| networks.iter().any(|n| n.holds(ip)))
    }

    /// What MAIL may ask for now.
    pub(super) fn offer(&self) -> Offer<'_> {
        Offer {
            extensions: &self.config.extensions,
            kind: self.config.kind,
            has_tls: self.tls.is_some(),
            now: self.context.time.after(self.now.saturating_duration_since(self.began)),
        }
    }

    fn is_busy(&self) -> bool {
        !self.waits.is_empty() || self.is_closing || self.starts_tls || self.expects_tls || self.penalty.is_some()
    }

    /// Reads the PROXY header.
    fn take_proxy(&mut self, mut held: Vec<u8>, bytes: &[u8]) -> usize {
        let (header, taken) = proxy::gather(&mut held, bytes);
        match header {
            proxy::Header::More => self.mode = Mode::Proxy(held),
            proxy::Header::Done(_, client) => {
                if let Some((ip, port)) = client {
                    let ip = ip.to_canonical();
                    self.context.ip = Some(ip);
                    self.context.port = port;
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

    /// Waits for the next command, or the next piece of a text.
    fn renew_deadline(&mut self) {
        let limits = &self.config.limits;
        // RFC 2645 §5.2.1: 10 minutes at least.
        let in_body = matches!(self.mode, Mode::Data(_) | Mode::Bdat(..) | Mode::Turned);
        self.deadline = self.now + if in_body { limits.timeout_data } else { limits.timeout_command };
        if let Some((since, octets)) = self.txn.as_ref().and_then(|t| t.pace) {
            self.deadline = self.deadline.min(since + limits.timeout_data + Duration::from_secs(octets / PACE));
        }
    }

    /// Counts octets of the text.
    fn count_body(&mut self, taken: usize) {
        if let Some((_, octets)) = self.txn.as_mut().and_then(|t| t.pace.as_mut()) {
            *octets += taken as u64;
        }
        self.renew_deadline();
    }

    fn greet(&mut self) {
        let word = if self.config.kind == Kind::Lmtp { "LMTP" } else { "ESMTP" };
        let greeting = match self.context.greeting.split_once(' ') {
            // As sendmail has it: the protocol stands behind the name (RFC 5321 §4.2).
            Some((name, text)) => format!("{name} {word} {text}"),
            None => format!("{} {word} ready", self.config.host),
        };
        self.reply(&Reply::bare(220, greeting));
    }

    fn connect_answered(&mut self, verdict: Result<(), Reply>) {
        let hides = self.context.implicit_tls && self.tls.is_none();
        match (verdict, self.vouched.take()) {
            (Ok(()), Some(user)) => self.ask(Ask::Login(sasl::vouched(&user)), Wait::Vouched),
            (Ok(()), None) if hides => self.expects_tls = true,
            (Ok(()), None) => self.greet(),
            (Err(reply), _) => {
                // In clear the peer would take it for a broken handshake.
                if !hides {
                    self.reply(&reply);
                }
                self.is_closing = true;
            }
        }
    }

    fn vouched_answered(&mut self, result: Result<String, (Duration, Option<Reply>)>) {
        match result {
            Ok(user) => {
                self.user = Some(user);
                self.greet();
            }
            Err((_, reply)) => {
                let reply = reply.unwrap_or_else(|| Reply::new(535, Enhanced(5, 7, 8), "No such account"));
                self.refuse(&reply);
            }
        }
    }

    fn take_line(&mut self, bytes: &[u8]) -> usize {
        let is_auth = matches!(self.mode, Mode::Auth(_));
        self.lines.limit(if is_auth { AUTH_LIMIT } else { COMMAND_LIMIT });
        let (taken, event) = self.lines.feed(bytes);
        match event {
            // Only a whole line earns new patience: a command that comes octet by octet has its time as a whole.
            LineEvent::More => return taken,
            LineEvent::TooLong => {
                self.mode = Mode::Command;
                // RFC 4954 §4.
                let detail = if is_auth { 6 } else { 2 };
                self.refuse_with(500, (5, 5, detail), "Line too long");
            }
            // RFC 5321 §2.3.8: a bare LF ends nothing; taken for a line end it would let two servers disagree.
            LineEvent::Line(line, Ending::Lf) => {
                let is_bdat = commands::begins_text(line);
                self.mode = Mode::Command;
                self.refuse_with(500, (5, 5, 2), "Lines end with CR LF");
                if is_bdat {
                    self.close();
                }
            }
            LineEvent::Line(line, Ending::CrLf) => {
                let line = line.to_vec();
                match std::mem::replace(&mut self.mode, Mode::Command) {
                    Mode::Auth(mut dialog) => {
                        let step = dialog.line(&line);
                        self.mode = Mode::Auth(dialog);
                        self.auth_step(step);
                    }
                    _ => commands::run(self, &line),
                }
            }
        }
        self.renew_deadline();
        taken
    }
}

impl Session for SmtpSession {
    type Ask = Ask;
    type Answer = Answer;

    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        self.now = now;
        let mut taken = 0;
        while taken < bytes.len() && !self.is_busy() {
            let rest = &bytes[taken..];
            taken += match &mut self.mode {
                Mode::Proxy(held) => {
                    let held = std::mem::take(held);
                    self.take_proxy(held, rest)
                }
                Mode::Command | Mode::Auth(_) => self.take_line(rest),
                Mode::Turned => self.take_turned(&rest[..rest.len().min(PIECE)]),
                Mode::Data(_) | Mode::Bdat(..) => {
                    let rest = &rest[..rest.len().min(PIECE)];
                    let used =
                        if matches!(self.mode, Mode::Data(_)) { self.take_data(rest) } else { self.take_bdat(rest) };
                    self.count_body(used);
                    used
                }
            };
        }
        taken
    }

    fn input_closed(&mut self, _now: Instant) {
        self.input_ended = true;
        // A pause that runs is sat out: its reply is owed.
        if !self.is_closing && self.penalty.is_none() {
            self.close();
        }
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let Some(wait) = self.waits.pop_front() else { return };
        self.now = now;
        match (wait, answer) {
            (Wait::Connect, Answer::Verdict(verdict)) => self.connect_answered(verdict),
            (Wait::Vouched, Answer::Login(result)) => self.vouched_answered(result),
            (Wait::Auth, Answer::Found(found)) => self.auth_found(found),
            (Wait::Auth, Answer::Login(result)) => self.auth_done(now, result),
            (Wait::Mail(smtputf8), Answer::Verdict(verdict)) => self.mail_answered(smtputf8, verdict.map(|()| None)),
            (Wait::Mail(smtputf8), Answer::Begun(reply)) => self.mail_answered(smtputf8, Ok(Some(reply))),
            (Wait::Rcpt(address), Answer::Verdict(verdict)) => self.rcpt_answered(address, verdict.map(|()| None)),
            (Wait::Rcpt(address), Answer::Begun(reply)) => self.rcpt_answered(address, Ok(Some(reply))),
            (Wait::OpenData, Answer::Verdict(verdict)) => self.data_opened(verdict),
            (Wait::OpenBdat | Wait::Chunk, Answer::Verdict(verdict)) => self.chunk_answered(verdict),
            (Wait::Commit, Answer::Replies(replies)) => {
                self.txn = None;
                self.bdat = None;
                self.commands = 0;
                replies.iter().for_each(|r| self.reply(r));
            }
            (Wait::Turn, Answer::Verdict(verdict)) => self.turn_answered(verdict),
            (Wait::Turned, Answer::Said(said)) => self.turned_answered(said),
            (Wait::Query, Answer::Replies(replies)) => replies.iter().for_each(|r| self.reply(r)),
            (Wait::Abort, _) => {}
            // A service that answers something else is broken; nothing must be promised then.
            _ => {
                self.say(421, (4, 3, 0), "Internal error, try again later");
                self.is_closing = true;
            }
        }
        self.renew_deadline();
    }

    fn tls_started(&mut self, now: Instant, tls: TlsFacts) {
        // RFC 3207 §4.2: what was learnt before is forgotten.
        self.tls = Some(tls);
        if std::mem::take(&mut self.expects_tls) {
            self.greet();
        }
        self.starts_tls = false;
        self.helo = None;
        self.is_esmtp = false;
        self.user = None;
        self.drop_txn();
        self.lines = LineSplitter::new(COMMAND_LIMIT);
        self.deadline = now + self.config.limits.timeout_command;
    }

    fn deadline(&self) -> Option<Instant> {
        match &self.penalty {
            Some((until, _)) => Some(*until),
            None if self.waits.is_empty() => Some(self.deadline),
            None => None,
        }
    }

    fn timeout(&mut self, now: Instant) {
        self.now = now;
        if let Some((until, reply)) = self.penalty.take() {
            if now < until {
                self.penalty = Some((until, reply));
                return;
            }
            self.reply(&reply);
            self.deadline = now + self.config.limits.timeout_command;
            if self.attempts >= self.config.limits.attempts {
                self.say(421, (4, 7, 0), "Too many failed logins");
                self.close();
            } else if self.input_ended {
                self.close();
            }
        } else if now >= self.deadline && self.waits.is_empty() {
            // On a turned connection we are the client: it has no reply to give.
            if !matches!(self.mode, Mode::Turned) {
                self.say(421, (4, 4, 2), "Timeout");
            }
            self.close();
        }
    }

    /// RFC 5321 §3.8: no connection is closed without a 421.
    fn shutdown(&mut self, now: Instant) {
        self.now = now;
        if self.waits.is_empty() && self.penalty.is_none() && !matches!(self.mode, Mode::Turned) {
            self.say(421, (4, 3, 2), "Shutting down; try again in a moment");
            self.close();
        }
    }

    fn next(&mut self) -> Step<Ask> {
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        if let Some(ask) = self.asks.pop_front() {
            return Step::Ask(ask);
        }
        if self.is_closing && self.waits.is_empty() {
            return Step::Close;
        }
        if self.starts_tls && self.waits.is_empty() {
            return Step::StartTls;
        }
        if self.expects_tls {
            return Step::ExpectTls;
        }
        Step::Wait
    }
}
