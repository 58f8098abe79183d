//! The SMTP and LMTP client: one conversation, read top-down on a thread of its own.
//!
//! The network comes through [`Net`] and [`Wire`]. STARTTLS is used where it is offered; when it fails the delivery is tried once
//! more without, because mail in clear is better than none where nobody promised TLS (RFC 7435).
//! Invariant: a recipient is delivered only on the peer's 2xx after the text's end. What is unclear (a broken connection) is
//! temporary; after the final dot that may double the message, which RFC 5321 §4.2.5 prefers to losing it.
//! RFC 5321 §4.5.3.2, RFC 1870, RFC 2033, RFC 2920, RFC 3207, RFC 3461 §6, RFC 6152, RFC 6531 §3.5.

use crate::addr::{Address, print_path};
use crate::dot::DotEncoder;
use crate::envelope::{Envelope, Mailer, Recipient};
use crate::proto::smtp::reply::ReplyReader;
use crate::settings;
use crate::spool::Outcome;
use crate::status::{Enhanced, Reply};
use std::io::Read;
use std::time::{Duration, Instant};

/// Most recipients of one transaction: what every server takes (RFC 5321 §4.5.3.1.8). More follow in the next one.
const RECIPIENTS: usize = 100;
/// A server that takes so many recipients and then says "too many" is given the others in a new transaction at once.
const WORTHWHILE: usize = 10;

/// The network's trouble, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetError(pub String);

/// Makes connections.
pub trait Net: Send + Sync {
    /// Connects within the patience.
    fn connect(&self, host: &str, port: u16, patience: Duration) -> Result<Box<dyn Wire>, NetError>;
}

/// A connection.
pub trait Wire {
    /// Sends all bytes.
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError>;
    /// Receives some bytes; 0 at the end.
    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError>;
    /// Starts TLS; the certificate's name is not checked, because nothing says what it should be.
    fn start_tls(&mut self, host: &str) -> Result<(), NetError>;
    /// The peer's address, for the log.
    fn peer(&self) -> String;
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) mailer: Mailer,
    pub(super) host: String,
    pub(super) port: u16,
}

/// What one recipient's part of the conversation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) outcome: Outcome,
    /// The next host takes care of DSNs (it said DSN).
    pub(super) passes_dsn: bool,
}

/// One message to some recipients at one host.
pub(super) struct Conversation<'a> {
    pub(super) net: &'a dyn Net,
    pub(super) target: &'a Target,
    /// Our name in EHLO.
    pub(super) hello: &'a str,
    pub(super) settings: &'a settings::Queue,
    pub(super) envelope: &'a Envelope,
    pub(super) sender: Option<&'a Address>,
    pub(super) recipients: &'a [&'a Recipient],
}

/// Why a conversation ended early: the outcome of all recipients that have none of their own yet.
enum Stop {
    Net(String),
    Refused(Reply),
    /// The peer said what has no meaning there.
    Protocol(String),
    /// The message could not be read; the peer has no part in it.
    Local(std::io::Error),
    /// TLS failed: try once more without.
    Tls(String),
}

impl From<NetError> for Stop {
    fn from(error: NetError) -> Stop {
        Stop::Net(error.0)
    }
}

#[derive(Default)]
struct Extensions {
    words: Vec<String>,
}

impl Extensions {
    fn has(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    fn line(&self, name: &str) -> Option<&str> {
        self.words
            .iter()
            .map(String::as_str)
            .find(|w| w.split(' ').next().is_some_and(|k| k.eq_ignore_ascii_case(name)))
    }

    /// Most recipients of a transaction, where the peer has a limit of its own (RFC 9422 §4.2).
    fn recipients(&self) -> usize {
        let words = self.line("LIMITS").unwrap_or("").split(' ');
        let own = words.filter_map(|w| w.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case("RCPTMAX"));
        own.and_then(|(_, n)| n.parse().ok()).map_or(RECIPIENTS, |n: usize| n.clamp(1, RECIPIENTS))
    }
}

struct Line {
    wire: Box<dyn Wire>,
    reader: ReplyReader,
    held: Vec<u8>,
    patience: Duration,
}

impl Line {
    fn say(&mut self, command: &str) -> Result<(), Stop> {
        Ok(self.wire.send(format!("{command}\r\n").as_bytes())?)
    }

    /// Reads one reply. The patience is for the whole of it: a peer that drips would hold the thread for days.
    fn hear(&mut self) -> Result<Reply, Stop> {
        let until = Instant::now() + self.patience;
        loop {
            let (taken, reply) = self.reader.feed(&self.held).map_err(|e| Stop::Net(e.to_string()))?;
            self.held.drain(..taken);
            if let Some(reply) = reply {
                return if reply.code == 421 { Err(Stop::Refused(reply)) } else { Ok(reply) };
            }
            let mut buffer = [0; 4096];
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Stop::Net("timed out".to_string()));
            }
            match self.wire.receive(&mut buffer, left)? {
                0 => return Err(Stop::Net("the connection was closed".to_string())),
                n => self.held.extend_from_slice(&buffer[..n]),
            }
        }
    }

    fn ask(&mut self, command: &str) -> Result<Reply, Stop> {
        self.say(command)?;
        self.hear()
    }
}

impl Conversation<'_> {
    /// Holds the conversation; gives one result for each recipient, in order. `text` is called again for each transaction.
    pub(super) fn hold(&self, text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>) -> Vec<Spoken> {
        let mut spoken = vec![None; self.recipients.len()];
        let mut result = self.once(true, text, &mut spoken);
        if let Err(Stop::Tls(reason)) = &result {
            crate::log::event("tls-failed").field("host", &self.target.host).field("reason", reason).write();
            result = self.once(false, text, &mut spoken);
        }
        let host = &self.target.host;
        let rest = match result {
            Ok(()) => Outcome::new(Enhanced(4, 5, 0), "the host said nothing about this recipient", host),
            Err(Stop::Net(text) | Stop::Tls(text)) => Outcome::new(Enhanced(4, 4, 2), text, host),
            Err(Stop::Protocol(text)) => Outcome::new(Enhanced(4, 5, 0), text, host),
            Err(Stop::Local(e)) => {
                let failure = crate::status::Failure::local(&e);
                Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause)
            }
            Err(Stop::Refused(reply)) => self.outcome(&reply),
        };
        let unsaid = || Spoken { outcome: rest.clone(), passes_dsn: false };
        spoken.into_iter().map(|s| s.unwrap_or_else(unsaid)).collect()
    }

    fn once(
        &self,
        use_tls: bool,
        text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>,
        spoken: &mut [Option<Spoken>],
    ) -> Result<(), Stop> {
        let connected = self.net.connect(&self.target.host, self.target.port, self.settings.timeout_connect);
        let wire = connected.map_err(|e| Stop::Net(format!("{}:{}: {e}", self.target.host, self.target.port)))?;
        let patience = self.settings.timeout_command;
        let mut line = Line { wire, reader: ReplyReader::default(), held: Vec::new(), patience };
        expect(line.hear()?)?;
        let mut extensions = self.greet(&mut line)?;
        if use_tls && extensions.has("STARTTLS") && line.ask("STARTTLS")?.code == 220 {
            // RELIABILITY: what came in clear behind the reply is nobody's word.
            if !line.held.is_empty() {
                return Err(Stop::Tls("plaintext behind STARTTLS".to_string()));
            }
            line.wire.start_tls(&self.target.host).map_err(|e| Stop::Tls(e.0))?;
            extensions = self.greet(&mut line).map_err(|stop| match stop {
                Stop::Net(reason) => Stop::Tls(reason),
                other => other,
            })?;
        }
        let mut todo = self.refuse_utf8(&extensions, text, spoken)?;
        while !todo.is_empty() {
            let rest = todo.split_off(todo.len().min(extensions.recipients()));
            line.patience = patience;
            todo = [self.transaction(&mut line, &extensions, &todo, text, spoken)?, rest].concat();
        }
        if line.say("QUIT").is_ok() {
            line.patience = Duration::from_secs(2);
            let _ = line.hear();
        }
        Ok(())
    }

    /// EHLO (HELO where that is not understood), or LHLO.
    fn greet(&self, line: &mut Line) -> Result<Extensions, Stop> {
        let verb = if self.target.mailer == Mailer::Lmtp { "LHLO" } else { "EHLO" };
        let reply = line.ask(&format!("{verb} {}", self.hello))?;
        if reply.code == 250 {
            return Ok(Extensions { words: reply.lines.into_iter().skip(1).collect() });
        }
        if verb == "EHLO" && reply.is_permanent() {
            expect(line.ask(&format!("HELO {}", self.hello))?)?;
            return Ok(Extensions::default());
        }
        Err(Stop::Refused(reply))
    }

    /// Refuses what a host without SMTPUTF8 can't have (RFC 6531 §3.5); gives the recipients that are left.
    fn refuse_utf8(
        &self,
        extensions: &Extensions,
        text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>,
        spoken: &mut [Option<Spoken>],
    ) -> Result<Vec<usize>, Stop> {
        let all = 0..self.recipients.len();
        if extensions.has("SMTPUTF8") {
            return Ok(all.collect());
        }
        let is_whole = self.sender.is_some_and(Address::is_utf8)
            || self.envelope.smtputf8 && !has_ascii_header(text).map_err(Stop::Local)?;
        let needs = |index: &usize| is_whole || !self.recipients[*index].delivery.user.is_ascii();
        let (refused, left): (Vec<usize>, Vec<usize>) = all.partition(needs);
        let text = "The next host does not take internationalized addresses";
        let outcome = self.outcome(&Reply::new(550, Enhanced(5, 6, 7), text));
        refused.into_iter().for_each(|i| spoken[i] = Some(Spoken { outcome: outcome.clone(), passes_dsn: false }));
        Ok(left)
    }

    /// One transaction for some of the recipients. Gives those that were too many for it and should come in another.
    ///
    /// What the peer says about a recipient is kept at once: whatever breaks later, nobody who has the message gets it again.
    fn transaction(
        &self,
        line: &mut Line,
        extensions: &Extensions,
        batch: &[usize],
        text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>,
        spoken: &mut [Option<Spoken>],
    ) -> Result<Vec<usize>, Stop> {
        let has_dsn = extensions.has("DSN");
        let mut commands = vec![self.mail_command(extensions, has_dsn, batch)];
        commands.extend(batch.iter().map(|i| rcpt_command(self.recipients[*i], has_dsn)));
        // RFC 2920 §3.1: MAIL and RCPT may go in one piece; without PIPELINING each waits for its reply.
        let is_pipelined = extensions.has("PIPELINING");
        if is_pipelined {
            line.wire.send(format!("{}\r\n", commands.join("\r\n")).as_bytes())?;
        }
        let next = |line: &mut Line, command: &str| if is_pipelined { line.hear() } else { line.ask(command) };
        let mail = next(line, &commands[0])?;
        if !mail.is_positive() {
            return Err(Stop::Refused(mail));
        }
        let say = |reply: &Reply| Some(Spoken { outcome: self.outcome(reply), passes_dsn: has_dsn });
        let (mut accepted, mut crowded) = (Vec::new(), Vec::new());
        for (index, command) in batch.iter().zip(&commands[1..]) {
            let reply = next(line, command)?;
            if reply.is_positive() {
                accepted.push(*index);
                continue;
            }
            // RFC 5321 §4.5.3.1.10: "too many recipients" is about this transaction, also when it comes as 552.
            let is_crowd = matches!(reply.code, 452 | 552) && reply.enhanced.is_none_or(|e| (e.1, e.2) == (5, 3));
            spoken[*index] = say(&reply);
            if is_crowd {
                let outcome = Outcome { enhanced: Enhanced(4, 5, 3), ..self.outcome(&reply) };
                spoken[*index] = Some(Spoken { outcome, passes_dsn: false });
                crowded.push(*index);
            }
        }
        if accepted.is_empty() {
            line.ask("RSET")?;
            return Ok(Vec::new());
        }
        let data = line.ask("DATA")?;
        if data.code != 354 {
            // A host that says yes to DATA without asking for the text has not got the message.
            if data.is_positive() {
                return Err(Stop::Protocol(format!("unexpected reply to DATA: {data}")));
            }
            accepted.iter().for_each(|i| spoken[*i] = say(&data));
            line.ask("RSET")?;
            return Ok(Vec::new());
        }
        self.send_text(line, text)?;
        line.patience = self.settings.timeout_data;
        let mut last = None;
        for index in &accepted {
            // RFC 2033 §4.2: LMTP answers for each recipient, SMTP once for all.
            if last.is_none() || self.target.mailer == Mailer::Lmtp {
                let reply = line.hear()?;
                if (300..400).contains(&reply.code) {
                    return Err(Stop::Protocol(format!("unexpected reply to the message: {reply}")));
                }
                last = Some(reply);
            }
            spoken[*index] = last.as_ref().and_then(say);
        }
        if accepted.len() < WORTHWHILE {
            crowded.clear();
        }
        Ok(crowded)
    }

    fn send_text(&self, line: &mut Line, text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>) -> Result<(), Stop> {
        let mut text = text().map_err(Stop::Local)?;
        let mut encoder = DotEncoder::default();
        let mut buffer = vec![0; 64 << 10];
        let mut wire = Vec::new();
        loop {
            // A message that can't be read to its end must not look like a whole one: the connection breaks instead.
            let n = text.read(&mut buffer).map_err(Stop::Local)?;
            if n == 0 {
                break;
            }
            wire.clear();
            encoder.feed(&buffer[..n], &mut wire);
            line.wire.send(&wire)?;
        }
        wire.clear();
        encoder.finish(&mut wire);
        Ok(line.wire.send(&wire)?)
    }

    fn mail_command(&self, extensions: &Extensions, has_dsn: bool, batch: &[usize]) -> String {
        let mut command = format!("MAIL FROM:{}", print_path(self.sender));
        if extensions.has("SIZE") {
            command.push_str(&format!(" SIZE={}", self.envelope.size + self.envelope.size / 40));
        }
        if self.envelope.eight_bit && extensions.has("8BITMIME") {
            command.push_str(" BODY=8BITMIME");
        }
        let is_utf8 = self.envelope.smtputf8
            || self.sender.is_some_and(Address::is_utf8)
            || batch.iter().any(|i| !self.recipients[*i].delivery.user.is_ascii());
        if is_utf8 && extensions.has("SMTPUTF8") {
            command.push_str(" SMTPUTF8");
        }
        if has_dsn {
            if self.envelope.ret_full {
                command.push_str(" RET=FULL");
            }
            if let Some(envid) = &self.envelope.envid {
                command.push_str(&format!(" ENVID={}", encodify::hex::XTEXT.encode(envid)));
            }
        }
        command
    }

    fn outcome(&self, reply: &Reply) -> Outcome {
        let class = match reply.code {
            200..300 => 2,
            500.. => 5,
            _ => 4,
        };
        let enhanced = reply.enhanced.filter(|e| e.0 == class).unwrap_or(Enhanced(class, 0, 0));
        Outcome::new(enhanced, reply.to_string(), &self.target.host)
    }
}

/// Looks through a message's header for octets that need RFC 6532.
fn has_ascii_header(text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>) -> std::io::Result<bool> {
    let mut text = text()?;
    let mut buffer = vec![0; 16 << 10];
    let mut before = b'\n';
    loop {
        let n = text.read(&mut buffer)?;
        for byte in &buffer[..n] {
            if !byte.is_ascii() {
                return Ok(false);
            }
            if (before, *byte) == (b'\n', b'\n') {
                return Ok(true);
            }
            before = *byte;
        }
        if n == 0 {
            return Ok(true);
        }
    }
}

fn rcpt_command(recipient: &Recipient, has_dsn: bool) -> String {
    let mut command = format!("RCPT TO:<{}>", recipient.delivery.user);
    if has_dsn {
        if !recipient.notify.is_default() {
            command.push_str(&format!(" NOTIFY={}", recipient.notify));
        }
        let (kind, address) =
            recipient.orcpt.clone().unwrap_or_else(|| ("rfc822".to_string(), recipient.original.to_string()));
        if address.is_ascii() {
            command.push_str(&format!(" ORCPT={kind};{}", encodify::hex::XTEXT.encode(&address)));
        }
    }
    command
}

fn expect(reply: Reply) -> Result<(), Stop> {
    if reply.is_positive() { Ok(()) } else { Err(Stop::Refused(reply)) }
}
