//! The session: authorization, transaction, update (RFC 1939 §4 to §6).
//!
//! Driven by `drive`, answered by `serve::pop3`. Messages stream: one [`Ask::Read`] brings one piece, the next one follows when the
//! peer has taken it. Invariants: nothing is removed unless QUIT is reached in the transaction state; a message marked as deleted is not
//! shown again; an idle session holds no buffer and one bit a message.

use super::commands;
use crate::dot::DotEncoder;
use crate::line::{LineEvent, LineSplitter};
use crate::msg::surrogate;
use crate::proto::{Session, Step, TlsFacts};
use crate::sasl::{Dialog, Evidence, Found, Lookup, Mechanism};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest command line (RFC 2449 §4 asks for 255; names and passwords may be longer).
const COMMAND_LIMIT: usize = 1024;
/// Longest line of a SASL exchange.
const AUTH_LIMIT: usize = 12288;
/// Bad commands before the connection is closed.
const ERRORS: u32 = 20;

/// What is fixed for all sessions of a port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name.
    pub host: String,
    /// SASL mechanisms, best first.
    pub mechanisms: Vec<Mechanism>,
    /// STLS is offered.
    pub stls: bool,
    /// The greeting carries a stamp for APOP.
    pub apop: bool,
    /// LOGIN-DELAY in seconds; 0 for none.
    pub login_delay: u64,
    /// Failed logins before the connection is closed.
    pub attempts: u32,
    /// Wait for a command.
    pub idle: Duration,
}

/// What differs between two connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// TLS comes before the greeting.
    pub implicit_tls: bool,
    /// Unpredictable; makes the challenges of SASL.
    pub nonce: String,
    /// `<…@host>` of the greeting, for APOP; empty when no account has the secret that APOP and CRAM-MD5 need.
    pub stamp: String,
}

/// Questions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// May this peer connect?
    Connect(Option<IpAddr>),
    /// SASL looks something up.
    Look(Lookup),
    /// A login; with it the mailbox is locked and listed.
    Login(Evidence),
    /// APOP: user, and digest over the stamp and the secret.
    Apop(String, String),
    /// Sizes and names of these messages (numbers from 0).
    List(Listing),
    /// The next piece of a message: number, whether it is the first piece, and the octets wanted at most.
    Read(u32, bool),
    /// Remove these messages, then close the mailbox.
    Update(Vec<u32>),
}

/// Which listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// Sizes.
    Sizes,
    /// Unique-ids.
    UniqueIds,
}

/// One message of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Octets with CRLF line ends.
    pub size: u64,
    /// Its unique-id; empty where sizes were asked for.
    pub unique_id: String,
}

/// Why a login was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Wrong name or password: say so after the pause.
    Wrong(Duration),
    /// Another session has the mailbox.
    InUse,
    /// Not allowed, for good: `[SYS/PERM]`.
    Permanent(String),
    /// Our trouble: `[SYS/TEMP]`.
    Temporary(String),
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To Connect.
    Verdict(Result<(), String>),
    /// To Look.
    Found(Found),
    /// To Login and Apop: number of messages and their octets.
    Login(Result<(u32, u64), Denial>),
    /// To List: one for each message of the mailbox.
    List(Vec<Listed>),
    /// To Read: text with LF line ends and whether it is the last piece; or the reason why there is none.
    Text(Result<(Vec<u8>, bool), String>),
    /// To Update.
    Updated(Result<(), String>),
}

#[derive(Debug)]
pub(super) enum Wait {
    Connect,
    Auth,
    Listing { only: Option<u32>, unique_ids: bool },
    Text,
    Update,
}

/// A message on its way out.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) number: u32,
    encoder: DotEncoder,
    /// `Some` for TOP: lines of the body still to come, once the header has ended.
    top: Option<u32>,
    in_header: bool,
    at_line_start: bool,
    begun: bool,
}

/// The transaction state's data.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) count: u32,
    pub(super) octets: u64,
    /// One bit a message, made at the first DELE.
    pub(super) deleted: Vec<u64>,
    pub(super) deleted_count: u32,
    pub(super) last: u32,
}

impl Mailbox {
    pub(super) fn is_deleted(&self, number: u32) -> bool {
        self.deleted.get(number as usize / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    pub(super) fn delete(&mut self, number: u32) {
        if self.deleted.is_empty() {
            self.deleted = vec![0; self.count as usize / 64 + 1];
        }
        self.deleted[number as usize / 64] |= 1 << (number % 64);
        self.deleted_count += 1;
    }
}

/// One connection.
#[derive(Debug)]
pub struct Pop3Session {
    pub(super) config: Arc<Config>,
    pub(super) context: Box<Context>,
    lines: LineSplitter,
    pub(super) out: Vec<u8>,
    pub(super) asks: VecDeque<Ask>,
    pub(super) wait: Option<Wait>,
    pub(super) dialog: Option<Box<Dialog>>,
    pub(super) user: Option<Box<str>>,
    pub(super) mailbox: Option<Box<Mailbox>>,
    pub(super) sending: Option<Box<Sending>>,
    pub(super) tls: Option<Box<TlsFacts>>,
    pub(super) utf8: bool,
    pub(super) attempts: u32,
    pub(super) nonces: u32,
    errors: u32,
    pub(super) starts_tls: bool,
    /// The port begins with TLS, and it has not begun yet.
    expects_tls: bool,
    pub(super) is_closing: bool,
    pub(super) penalty: Option<Instant>,
    input_ended: bool,
    deadline: Instant,
}

impl Pop3Session {
    /// A connection that has just been made.
    pub fn new(config: Arc<Config>, context: Context, now: Instant) -> Pop3Session {
        let deadline = now + config.idle;
        let mut session = Pop3Session {
            lines: LineSplitter::new(COMMAND_LIMIT),
            out: Vec::new(),
            asks: VecDeque::new(),
            wait: None,
            dialog: None,
            user: None,
            mailbox: None,
            sending: None,
            tls: None,
            utf8: false,
            attempts: 0,
            nonces: 0,
            errors: 0,
            starts_tls: false,
            expects_tls: false,
            is_closing: false,
            penalty: None,
            input_ended: false,
            deadline,
            config,
            context: Box::new(context),
        };
        session.ask(Ask::Connect(session.context.ip), Wait::Connect);
        session
    }

    pub(super) fn ask(&mut self, ask: Ask, wait: Wait) {
        self.asks.push_back(ask);
        self.wait = Some(wait);
    }

    pub(super) fn ok(&mut self, text: &str) {
        self.out.extend_from_slice(format!("+OK {text}\r\n").as_bytes());
    }

    pub(super) fn err(&mut self, text: &str) {
        self.out.extend_from_slice(format!("-ERR {text}\r\n").as_bytes());
    }

    /// A mistake of the client's; too many end the session.
    pub(super) fn bad(&mut self, text: &str) {
        self.err(text);
        self.errors += 1;
        if self.errors >= ERRORS {
            self.is_closing = true;
        }
    }

    pub(super) fn has_apop(&self) -> bool {
        self.config.apop && !self.context.stamp.is_empty()
    }

    pub(super) fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.context.plaintext_allowed
    }

    fn is_busy(&self) -> bool {
        self.wait.is_some()
            || self.is_closing
            || self.starts_tls
            || self.expects_tls
            || self.penalty.is_some()
            || self.sending.is_some()
    }

    fn greet(&mut self) {
        let stamp = if self.has_apop() { format!(" {}", self.context.stamp) } else { String::new() };
        let text = format!("{} POP3 ready{stamp}", self.config.host);
        self.ok(&text);
    }

    /// Begins to send message `number`; TOP gives the lines of the body.
    pub(super) fn send(&mut self, number: u32, top: Option<u32>) {
        self.sending = Some(Box::new(Sending {
            number,
            encoder: DotEncoder::default(),
            top,
            in_header: true,
            at_line_start: true,
            begun: false,
        }));
        self.ask(Ask::Read(number, true), Wait::Text);
    }

    fn text_answered(&mut self, text: Result<(Vec<u8>, bool), String>) {
        let Some(mut sending) = self.sending.take() else { return };
        let (text, is_end) = match text {
            Ok(piece) => piece,
            Err(reason) if !sending.begun => return self.err(&reason),
            // In the middle of a message nothing but the end of the connection says that it is not whole.
            Err(_) => {
                self.is_closing = true;
                return;
            }
        };
        if !sending.begun {
            sending.begun = true;
            self.ok("message follows");
        }
        let was_in_header = sending.in_header;
        let (text, header, is_done) = cut(&mut sending, &text);
        let surrogate = if was_in_header && !self.utf8 { surrogate::header(&text[..header]) } else { None };
        match surrogate {
            Some(made) => {
                sending.encoder.feed(&made, &mut self.out);
                sending.encoder.feed(&text[header..], &mut self.out);
            }
            None => sending.encoder.feed(text, &mut self.out),
        }
        if is_end || is_done {
            sending.encoder.finish(&mut self.out);
            if let Some(mailbox) = &mut self.mailbox {
                mailbox.last = mailbox.last.max(sending.number + 1);
            }
        } else {
            let number = sending.number;
            self.sending = Some(sending);
            self.ask(Ask::Read(number, false), Wait::Text);
        }
    }
}

/// Cuts a piece at the end of what TOP wants. Gives it, how much of it is header, and true when nothing more is wanted.
fn cut<'a>(sending: &mut Sending, text: &'a [u8]) -> (&'a [u8], usize, bool) {
    let (mut end, mut header) = (0, 0);
    while end < text.len() {
        match sending.top {
            None if !sending.in_header => return (text, header, false),
            Some(0) if !sending.in_header => return (&text[..end], header, true),
            _ => {}
        }
        let line_end = memchr::memchr(b'\n', &text[end..]).map_or(text.len(), |i| end + i + 1);
        let line = &text[end..line_end];
        let is_whole = line.ends_with(b"\n");
        if sending.in_header {
            if sending.at_line_start && (line == b"\n" || line == b"\r\n") {
                sending.in_header = false;
            }
            header = line_end;
        } else if let Some(left) = &mut sending.top
            && is_whole
        {
            *left -= 1;
        }
        // A CR at the cut between two pieces may be half of an empty line.
        sending.at_line_start = is_whole || sending.at_line_start && line == b"\r";
        end = line_end;
    }
    (text, header, !sending.in_header && sending.top == Some(0))
}

impl Session for Pop3Session {
    type Ask = Ask;
    type Answer = Answer;

    fn input(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while taken < bytes.len() && !self.is_busy() {
            self.lines.limit(if self.dialog.is_some() { AUTH_LIMIT } else { COMMAND_LIMIT });
            let (used, event) = self.lines.feed(&bytes[taken..]);
            taken += used;
            // Only a whole line earns new patience.
            if event != LineEvent::More {
                self.deadline = now + self.config.idle;
            }
            let line = match event {
                LineEvent::More => None,
                LineEvent::TooLong => {
                    self.dialog = None;
                    self.bad("line too long");
                    None
                }
                // Old clients end lines with LF alone; nothing can be smuggled into POP3.
                LineEvent::Line(line, _) => Some(line.to_vec()),
            };
            match (line, self.dialog.take()) {
                (Some(line), Some(mut dialog)) => {
                    let step = dialog.line(&line);
                    self.dialog = Some(dialog);
                    self.auth_step(step);
                }
                (Some(line), None) => commands::run(self, &line),
                (None, dialog) => self.dialog = dialog,
            }
        }
        taken
    }

    fn input_closed(&mut self, _now: Instant) {
        // No QUIT, no update: what was marked stays (RFC 1939 §6).
        self.sending = None;
        self.input_ended = true;
        self.is_closing = self.penalty.is_none();
    }

    fn answer(&mut self, now: Instant, answer: Answer) {
        let Some(wait) = self.wait.take() else { return };
        self.deadline = now + self.config.idle;
        match (wait, answer) {
            (Wait::Connect, Answer::Verdict(Ok(()))) if self.context.implicit_tls => self.expects_tls = true,
            (Wait::Connect, Answer::Verdict(Ok(()))) => self.greet(),
            (Wait::Connect, Answer::Verdict(Err(text))) => {
                // In clear the peer would take it for a broken handshake.
                if !self.context.implicit_tls {
                    self.err(&format!("[SYS/TEMP] {text}"));
                }
                self.is_closing = true;
            }
            (Wait::Auth, Answer::Found(found)) => self.auth_found(found),
            (Wait::Auth, Answer::Login(result)) => self.login_answered(now, result),
            (Wait::Listing { only, unique_ids }, Answer::List(list)) => self.list_answered(only, unique_ids, &list),
            (Wait::Text, Answer::Text(text)) => self.text_answered(text),
            (Wait::Update, Answer::Updated(result)) => {
                match result {
                    Ok(()) => self.ok("bye"),
                    Err(text) => self.err(&format!("[SYS/TEMP] {text}")),
                }
                self.is_closing = true;
            }
            _ => {
                self.err("[SYS/TEMP] internal error");
                self.is_closing = true;
            }
        }
    }

    fn tls_started(&mut self, now: Instant, tls: TlsFacts) {
        self.tls = Some(Box::new(tls));
        if std::mem::take(&mut self.expects_tls) {
            self.greet();
        }
        // RFC 2595 §2.1: what was learnt before is forgotten.
        self.starts_tls = false;
        self.user = None;
        self.utf8 = false;
        self.lines = LineSplitter::new(COMMAND_LIMIT);
        self.deadline = now + self.config.idle;
    }

    fn deadline(&self) -> Option<Instant> {
        match self.penalty {
            Some(until) => Some(until),
            None if self.wait.is_none() => Some(self.deadline),
            None => None,
        }
    }

    fn timeout(&mut self, now: Instant) {
        if let Some(until) = self.penalty {
            if now >= until {
                self.penalty = None;
                self.deadline = now + self.config.idle;
                self.err("[AUTH] wrong name or password");
                self.is_closing = self.input_ended || self.attempts >= self.config.attempts;
            }
        } else if now >= self.deadline && self.wait.is_none() {
            // RFC 1939 §3: no update after a timeout, and no reply.
            self.is_closing = true;
        }
    }

    fn next(&mut self) -> Step<Ask> {
        if !self.out.is_empty() {
            return Step::Send(std::mem::take(&mut self.out));
        }
        if let Some(ask) = self.asks.pop_front() {
            return Step::Ask(ask);
        }
        if self.is_closing && self.wait.is_none() {
            return Step::Close;
        }
        if self.starts_tls && self.wait.is_none() {
            return Step::StartTls;
        }
        if self.expects_tls {
            return Step::ExpectTls;
        }
        Step::Wait
    }
}
