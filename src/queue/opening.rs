//! From a plan to a host that has greeted us: connecting, EHLO, TLS, logging in.
//!
//! Hosts and their addresses (or a socket's path on this machine) are tried in the plan's order until one is ready for mail (RFC 5321 §5.1): the next one comes after a failed
//! connection, a refusing greeting, a 421, TLS that is demanded and fails, a login that is refused. Where TLS is only wished for, it
//! is tried once more without, because mail in clear is better than none where nobody promised TLS (RFC 7435).
//! RFC 5321 §4.5.3.2, RFC 2033, RFC 3207, RFC 4954, RFC 8314 §3.3.

mod extensions;

pub(super) use extensions::Extensions;

use super::onward::NextHost;
use crate::envelope::Mailer;
use crate::nexthop::{Hop, Login, Net, NetError, Plan, Security, TlsError, TlsFault, Trust, Wire};
use crate::proto::smtp::reply::ReplyReader;
use crate::sasl::ClientDialog;
use crate::settings;
use crate::spool::Outcome;
use crate::status::{Enhanced, Failure, Reply};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::{Duration, Instant};

/// A connection is used for messages no longer than this: hosts and certificates change.
const CONNECTION_AGE: Duration = Duration::from_secs(300);
/// Most challenges of one login.
const CHALLENGES: usize = 4;

/// Why a conversation ended early: the outcome of all recipients that have none of their own yet.
pub(super) enum Stop {
    Net(String),
    Refused(Reply),
    /// The peer said what has no meaning there.
    Protocol(String),
    /// The message could not be read; the peer has no part in it.
    Local(std::io::Error),
    /// TLS failed.
    Tls(TlsError),
    /// The login failed: our settings are wrong, or the host has forgotten us.
    Login(String),
}

impl From<NetError> for Stop {
    fn from(error: NetError) -> Stop {
        Stop::Net(error.0)
    }
}

impl Stop {
    fn is_permanent(&self) -> bool {
        matches!(self, Stop::Refused(reply) if reply.is_permanent())
    }

    /// True when a host that stopped like this says more about the mail than one that stopped like that before it: what may pass
    /// counts more than what is final.
    pub(super) fn counts_beside(&self, before: &Stop) -> bool {
        before.is_permanent() || !self.is_permanent()
    }

    /// True when it is about the host and not about this message: no other message would fare better there now.
    pub(super) fn is_of_host(&self) -> bool {
        match self {
            Stop::Net(_) | Stop::Tls(_) | Stop::Login(_) => true,
            Stop::Refused(reply) => !reply.is_permanent(),
            Stop::Protocol(_) | Stop::Local(_) => false,
        }
    }

    /// What it means for recipients at this host.
    pub(super) fn outcome(self, host: &str) -> Outcome {
        match self {
            Stop::Net(text) => Outcome::new(Enhanced(4, 4, 2), text, host),
            Stop::Protocol(text) => Outcome::new(Enhanced(4, 5, 0), text, host),
            Stop::Local(e) => {
                let failure = Failure::local(&e);
                Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause)
            }
            // RFC 3463 §3.8: 4.7.4 "security features not supported", 4.7.5 "cryptographic failure".
            Stop::Tls(TlsError { fault: TlsFault::NotOffered, text }) => Outcome::new(Enhanced(4, 7, 4), text, host),
            Stop::Tls(error) => Outcome::new(Enhanced(4, 7, 5), error.text, host),
            Stop::Login(text) => Outcome::new(Enhanced(4, 7, 0), text, host),
            Stop::Refused(reply) => reply_outcome(&reply, host),
        }
    }
}

/// A host's reply as an outcome.
pub(super) fn reply_outcome(reply: &Reply, host: &str) -> Outcome {
    let class = match reply.code {
        200..300 => 2,
        500.. => 5,
        _ => 4,
    };
    let enhanced = reply.enhanced.filter(|e| e.0 == class).unwrap_or(Enhanced(class, 0, 0));
    Outcome::new(enhanced, reply.to_string(), host)
}

/// A connection with its replies.
pub(super) struct Line {
    pub(super) wire: Box<dyn Wire>,
    reader: ReplyReader,
    held: Vec<u8>,
    pub(super) patience: Duration,
}

impl Line {
    fn new(wire: Box<dyn Wire>, patience: Duration) -> Line {
        Line { wire, reader: ReplyReader::default(), held: Vec::new(), patience }
    }

    /// The connection, with what has been received already.
    pub(super) fn into_parts(self) -> (Box<dyn Wire>, Vec<u8>) {
        (self.wire, self.held)
    }

    pub(super) fn say(&mut self, command: &str) -> Result<(), Stop> {
        Ok(self.wire.send(format!("{command}\r\n").as_bytes())?)
    }

    /// Reads one reply. The patience is for the whole of it: a peer that drips would hold the thread for days.
    pub(super) fn hear(&mut self) -> Result<Reply, Stop> {
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

    pub(super) fn ask(&mut self, command: &str) -> Result<Reply, Stop> {
        self.say(command)?;
        self.hear()
    }
}

/// How to reach the hosts of a plan.
pub(super) struct Opening<'a> {
    pub(super) net: &'a dyn Net,
    pub(super) plan: &'a Plan,
    /// Our name in EHLO.
    pub(super) hello: &'a str,
    pub(super) settings: &'a settings::Queue,
    /// Our own addresses to come from.
    pub(super) source: &'a [IpAddr],
    /// HELO is said where EHLO could be: nothing that EHLO offers is used.
    pub(super) is_plain: bool,
}

/// Where a hop is connected to.
#[derive(Clone, Copy)]
enum Place<'a> {
    Address(SocketAddr),
    Socket(&'a Path),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Address(address) => write!(f, "{address}"),
            Place::Socket(path) => write!(f, "{}", path.display()),
        }
    }
}

/// All places of a plan, in the order in which they are tried.
fn places_of(plan: &Plan) -> impl Iterator<Item = (&Hop, Place<'_>)> {
    plan.hops.iter().flat_map(|hop| places(hop).map(move |place| (hop, place)))
}

fn places(hop: &Hop) -> impl Iterator<Item = Place<'_>> {
    let socket = hop.socket.as_deref().map(Place::Socket);
    socket.into_iter().chain(hop.addresses.iter().copied().map(Place::Address))
}

/// A host that is ready for mail.
pub(super) struct Open {
    pub(super) line: Line,
    pub(super) extensions: Extensions,
    /// What its extensions mean for a message's wishes.
    pub(super) next_host: NextHost,
    /// Its name.
    pub(super) host: String,
    /// The hop of the plan that it was, with the address alone that was taken.
    hop: Hop,
    mailer: Mailer,
    /// Which of the plan's places it is, while that plan is being tried.
    pub(super) place: Option<usize>,
    /// The other side has opened it: there is no other one like it.
    is_turned: bool,
    /// It has taken a recipient of this message.
    pub(super) has_accepted: bool,
    since: Instant,
    /// Messages that went through it before.
    pub(super) used: u32,
}

impl Open {
    /// True when a new connection for this plan might be the same: host, address, who is trusted, and as whom we log in.
    pub(super) fn fits(&self, plan: &Plan) -> bool {
        if self.is_turned {
            return true;
        }
        let is_same = |hop: &Hop| {
            let has_address = hop.addresses.iter().any(|address| self.hop.addresses.contains(address));
            (has_address || hop.socket.is_some() && hop.socket == self.hop.socket)
                && (&hop.name, &hop.security, &hop.login) == (&self.hop.name, &self.hop.security, &self.hop.login)
        };
        self.mailer == plan.mailer && self.since.elapsed() < CONNECTION_AGE && plan.hops.iter().any(is_same)
    }

    /// Says goodbye. The reply is waited for if there is a patience; it changes nothing.
    pub(super) fn quit(mut self, patience: Duration) {
        if self.line.say("QUIT").is_ok() && !patience.is_zero() {
            self.line.patience = patience;
            let _ = self.line.hear();
        }
    }
}

impl Opening<'_> {
    /// The first host that is ready; or the last one tried and why it was not. A host that may take it later counts more than one
    /// that refuses for good.
    pub(super) fn open(&self) -> Result<Open, (String, Stop)> {
        let nothing = || (self.plan.key.clone(), Stop::Net("no address to connect to".to_string()));
        self.open_from(0).unwrap_or_else(|| Err(nothing()))
    }

    /// The same from the plan's so manieth place on; `None` where there is none any more.
    pub(super) fn open_from(&self, first: usize) -> Option<Result<Open, (String, Stop)>> {
        let mut last: Option<(String, Stop)> = None;
        for (number, (hop, place)) in places_of(self.plan).enumerate().skip(first) {
            let stop = match self.place(hop, place) {
                Ok((line, extensions)) => return Some(Ok(self.opened(hop, place, number, line, extensions))),
                Err(stop) => stop,
            };
            if last.as_ref().is_none_or(|(_, before)| stop.counts_beside(before)) {
                last = Some((hop.name.clone(), stop));
            }
        }
        last.map(Err)
    }

    fn opened(&self, hop: &Hop, place: Place<'_>, number: usize, line: Line, extensions: Extensions) -> Open {
        let addresses = match place {
            Place::Address(address) => vec![address],
            Place::Socket(_) => Vec::new(),
        };
        Open {
            line,
            // Verified is what the domain's own word demands (RFC 8689 §2).
            next_host: NextHost::of(self.plan.mailer, extensions.lines(), hop.security.is_verified()),
            extensions,
            host: hop.name.clone(),
            hop: Hop { addresses, ..hop.clone() },
            mailer: self.plan.mailer,
            place: Some(number),
            is_turned: false,
            has_accepted: false,
            since: Instant::now(),
            used: 0,
        }
    }

    /// Takes a connection that the other side has opened, for the one hop of the plan; it greets, and TLS is not talked about.
    pub(super) fn over(&self, wire: Box<dyn Wire>) -> Result<Open, Stop> {
        let mut line = Line::new(wire, self.settings.timeout_command);
        expect(line.hear()?)?;
        let extensions = self.greet(&mut line)?;
        let hop = self.plan.hops.first().cloned().ok_or_else(|| Stop::Net("no hop".to_string()))?;
        let (host, mailer) = (hop.name.clone(), self.plan.mailer);
        Ok(Open {
            line,
            next_host: NextHost::of(mailer, extensions.lines(), false),
            extensions,
            host,
            hop,
            mailer,
            place: None,
            is_turned: true,
            has_accepted: false,
            since: Instant::now(),
            used: 0,
        })
    }

    fn place(&self, hop: &Hop, place: Place<'_>) -> Result<(Line, Extensions), Stop> {
        match self.once(hop, place, hop.security.trust != Trust::Clear) {
            Err(Stop::Tls(error)) => {
                crate::log::event("tls-failed")
                    .field("host", &hop.name)
                    .field("address", place)
                    .field("policy", &hop.security.trust)
                    .field("reason", &error)
                    .write();
                match (hop.security.needs_tls(), hop.security.lenient) {
                    (true, _) => Err(Stop::Tls(error)),
                    (false, false) => self.once(hop, place, false),
                    (false, true) => self.place(&anybody(hop), place),
                }
            }
            other => other,
        }
    }

    fn once(&self, hop: &Hop, place: Place<'_>, use_tls: bool) -> Result<(Line, Extensions), Stop> {
        let security = &hop.security;
        let patience = self.settings.timeout_connect;
        let connected = match place {
            Place::Address(address) => {
                let from = self.source.iter().find(|ip| ip.is_ipv4() == address.is_ipv4()).copied();
                self.net.connect(address, from, patience)
            }
            Place::Socket(path) => self.net.connect_socket(path, patience),
        };
        let wire = connected.map_err(|e| Stop::Net(format!("{place}: {e}")))?;
        let patience = self.settings.timeout_command;
        let mut line = Line::new(wire, patience);
        if security.implicit_tls {
            let started = line.wire.start_tls(security, patience).map(|()| true).map_err(Stop::Tls);
            self.count(hop, place, &started);
            started?;
        }
        expect(line.hear()?)?;
        let mut extensions = self.greet(&mut line)?;
        let mut has_tls = security.implicit_tls;
        if use_tls && !has_tls {
            let started = self.start_tls(&mut line, &extensions, security);
            self.count(hop, place, &started);
            has_tls = started?;
            if has_tls {
                extensions = self.greet(&mut line).map_err(|stop| match stop {
                    Stop::Net(reason) => Stop::Tls(TlsError::new(TlsFault::Other, reason)),
                    other => other,
                })?;
            }
        }
        if let Some(login) = &hop.login {
            // Nobody listens in on a socket of this machine.
            if !has_tls && !login.without_tls && hop.socket.is_none() {
                let text = "the host offers no TLS; relay.login_without_tls would send the password without";
                return Err(Stop::Login(text.to_string()));
            }
            log_in(&mut line, &extensions, login)?;
        }
        Ok((line, extensions))
    }

    fn count(&self, hop: &Hop, place: Place<'_>, started: &Result<bool, Stop>) {
        let Place::Address(address) = place else { return };
        match started {
            Ok(true) => self.net.count(hop, address, None),
            Ok(false) => self.net.count(hop, address, Some((TlsFault::NotOffered, "STARTTLS is not offered"))),
            Err(Stop::Tls(error)) => self.net.count(hop, address, Some((error.fault, &error.text))),
            Err(_) => {}
        }
    }

    /// True when TLS is on; false when the host does not want it and nobody demands it.
    fn start_tls(&self, line: &mut Line, extensions: &Extensions, security: &Security) -> Result<bool, Stop> {
        let refused = match extensions.has("STARTTLS") {
            false => Some("STARTTLS is not offered".to_string()),
            true => match line.ask("STARTTLS")? {
                reply if reply.code == 220 => None,
                reply => Some(format!("STARTTLS is refused: {reply}")),
            },
        };
        if let Some(text) = refused {
            return match security.needs_tls() {
                true => Err(Stop::Tls(TlsError::new(TlsFault::NotOffered, text))),
                false => Ok(false),
            };
        }
        // RELIABILITY: what came in clear behind the reply is nobody's word.
        if !line.held.is_empty() {
            return Err(Stop::Tls(TlsError::new(TlsFault::Other, "plaintext behind STARTTLS")));
        }
        line.wire.start_tls(security, self.settings.timeout_command).map_err(Stop::Tls)?;
        Ok(true)
    }

    /// EHLO (HELO where that is not understood), or LHLO.
    fn greet(&self, line: &mut Line) -> Result<Extensions, Stop> {
        if self.is_plain && self.plan.mailer != Mailer::Lmtp {
            return self.greet_plainly(line);
        }
        let verb = if self.plan.mailer == Mailer::Lmtp { "LHLO" } else { "EHLO" };
        let reply = line.ask(&format!("{verb} {}", self.hello))?;
        if reply.code == 250 {
            return Ok(Extensions::of(reply.lines.into_iter().skip(1).collect()));
        }
        if verb == "EHLO" && reply.is_permanent() {
            return self.greet_plainly(line);
        }
        Err(Stop::Refused(reply))
    }

    fn greet_plainly(&self, line: &mut Line) -> Result<Extensions, Stop> {
        expect(line.ask(&format!("HELO {}", self.hello))?)?;
        Ok(Extensions::default())
    }
}

pub(super) fn expect(reply: Reply) -> Result<(), Stop> {
    if reply.is_positive() { Ok(()) } else { Err(Stop::Refused(reply)) }
}

/// A hop whose certificate has been found wanting where that is only to be told. It is counted once.
fn anybody(hop: &Hop) -> Hop {
    let security = Security { trust: Trust::May, lenient: false, ..hop.security.clone() };
    Hop { security, policy: None, ..hop.clone() }
}

/// RFC 4954 §4. A refusal is temporary for the mail: a password that has changed must not return all of it.
fn log_in(line: &mut Line, extensions: &Extensions, login: &Login) -> Result<(), Stop> {
    let mut random = [0; 18];
    getrandom::fill(&mut random).map_err(|e| Stop::Login(format!("no randomness: {e}")))?;
    let nonce = encodify::base64::STANDARD.encode(random);
    let offered = extensions.line("AUTH").unwrap_or("").split(' ').skip(1);
    let (mut dialog, mechanism, initial) = ClientDialog::start(offered, &login.user, &login.password, &nonce)
        .ok_or_else(|| Stop::Login("the host offers no way to log in that we know".to_string()))?;
    let mut reply = line.ask(format!("AUTH {mechanism} {}", initial.unwrap_or_default()).trim_end())?;
    for _ in 0..CHALLENGES {
        if reply.code != 334 {
            break;
        }
        let challenge = reply.lines.first().map_or("", String::as_str);
        match dialog.answer(challenge) {
            Ok(answer) => reply = line.ask(&answer)?,
            Err(error) => {
                line.ask("*")?;
                return Err(Stop::Login(error.to_string()));
            }
        }
    }
    match reply.code {
        235 if dialog.is_complete() => Ok(()),
        235 => Err(Stop::Login("the host has not shown that it knows the password".to_string())),
        _ => Err(Stop::Login(format!("the login is refused: {reply}"))),
    }
}

#[cfg(test)]
mod tests;
