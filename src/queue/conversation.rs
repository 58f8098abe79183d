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
use std::time::Duration;

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

/// Why a conversation as a whole came to nothing.
enum Stop {
    Net(String),
    Refused(Reply),
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
        self.words.iter().any(|w| w.split(' ').next().is_some_and(|k| k.eq_ignore_ascii_case(name)))
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

    fn hear(&mut self) -> Result<Reply, Stop> {
        loop {
            let (taken, reply) = self.reader.feed(&self.held).map_err(|e| Stop::Net(e.to_string()))?;
            self.held.drain(..taken);
            if let Some(reply) = reply {
                return if reply.code == 421 { Err(Stop::Refused(reply)) } else { Ok(reply) };
            }
            let mut buffer = [0; 4096];
            match self.wire.receive(&mut buffer, self.patience)? {
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
    /// Holds the conversation; gives one result for each recipient, in order. `text` is called again for a second try.
    pub(super) fn hold(&self, text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>) -> Vec<Spoken> {
        let mut result = self.once(true, text);
        if let Err(Stop::Tls(reason)) = &result {
            crate::log::event("tls-failed").field("host", &self.target.host).field("reason", reason).write();
            result = self.once(false, text);
        }
        let all = |enhanced: Enhanced, text: String| {
            let outcome = Outcome { enhanced, text, host: self.target.host.clone() };
            vec![Spoken { outcome, passes_dsn: false }; self.recipients.len()]
        };
        match result {
            Ok(spoken) => spoken,
            Err(Stop::Net(text) | Stop::Tls(text)) => all(Enhanced(4, 4, 2), text),
            Err(Stop::Refused(reply)) => {
                let class = if reply.is_permanent() { 5 } else { 4 };
                all(reply.enhanced.unwrap_or(Enhanced(class, 0, 0)), reply.to_string())
            }
        }
    }

    fn once(
        &self,
        use_tls: bool,
        text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>,
    ) -> Result<Vec<Spoken>, Stop> {
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
        let result = self.transfer(&mut line, &extensions, text);
        if result.is_ok() && line.say("QUIT").is_ok() {
            line.patience = Duration::from_secs(2);
            let _ = line.hear();
        }
        result
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

    fn transfer(
        &self,
        line: &mut Line,
        extensions: &Extensions,
        text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>,
    ) -> Result<Vec<Spoken>, Stop> {
        let needs_utf8 = self.envelope.smtputf8
            && (self.sender.is_some_and(Address::is_utf8) || self.recipients.iter().any(|r| r.original.is_utf8()));
        if needs_utf8 && !extensions.has("SMTPUTF8") {
            let text = "The next host does not take internationalized addresses";
            return Err(Stop::Refused(Reply::new(550, Enhanced(5, 6, 7), text)));
        }
        let has_dsn = extensions.has("DSN");
        let mut commands = vec![self.mail_command(extensions, has_dsn)];
        commands.extend(self.recipients.iter().map(|r| rcpt_command(r, has_dsn)));
        // RFC 2920 §3.1: MAIL and RCPT may go in one piece; without PIPELINING each waits for its reply.
        let mut replies = Vec::with_capacity(commands.len());
        if extensions.has("PIPELINING") {
            line.wire.send(format!("{}\r\n", commands.join("\r\n")).as_bytes())?;
            for _ in &commands {
                replies.push(line.hear()?);
            }
        } else {
            for command in &commands {
                replies.push(line.ask(command)?);
                if replies.len() == 1 && !replies[0].is_positive() {
                    break;
                }
            }
        }
        let mail = replies.remove(0);
        if !mail.is_positive() {
            return Err(Stop::Refused(mail));
        }
        let spoken = |reply: &Reply| Spoken { outcome: self.outcome(reply), passes_dsn: has_dsn };
        let mut results: Vec<Spoken> = replies.iter().map(spoken).collect();
        let accepted: Vec<usize> = (0..replies.len()).filter(|i| replies[*i].is_positive()).collect();
        if accepted.is_empty() {
            let _ = line.ask("RSET");
            return Ok(results);
        }
        let data = line.ask("DATA")?;
        if data.code != 354 {
            accepted.iter().for_each(|i| results[*i] = spoken(&data));
            return Ok(results);
        }
        self.send_text(line, text)?;
        line.patience = self.settings.timeout_data;
        if self.target.mailer == Mailer::Lmtp {
            for index in accepted {
                results[index] = spoken(&line.hear()?);
            }
        } else {
            let last = line.hear()?;
            accepted.iter().for_each(|i| results[*i] = spoken(&last));
        }
        Ok(results)
    }

    fn send_text(&self, line: &mut Line, text: &mut dyn FnMut() -> std::io::Result<Box<dyn Read>>) -> Result<(), Stop> {
        let local = |e: std::io::Error| Stop::Net(format!("reading the message: {e}"));
        let mut text = text().map_err(local)?;
        let mut encoder = DotEncoder::default();
        let mut buffer = vec![0; 64 << 10];
        let mut wire = Vec::new();
        loop {
            // A message that can't be read to its end must not look like a whole one: the connection breaks instead.
            let n = text.read(&mut buffer).map_err(local)?;
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

    fn mail_command(&self, extensions: &Extensions, has_dsn: bool) -> String {
        let mut command = format!("MAIL FROM:{}", print_path(self.sender));
        if extensions.has("SIZE") {
            command.push_str(&format!(" SIZE={}", self.envelope.size + self.envelope.size / 40));
        }
        if self.envelope.eight_bit && extensions.has("8BITMIME") {
            command.push_str(" BODY=8BITMIME");
        }
        if self.envelope.smtputf8 && extensions.has("SMTPUTF8") {
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
            200..400 => 2,
            400..500 => 4,
            _ => 5,
        };
        let enhanced = reply.enhanced.filter(|e| e.0 == class).unwrap_or(Enhanced(class, 0, 0));
        Outcome { enhanced, text: reply.to_string(), host: self.target.host.clone() }
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
