//! A short talk with another host's SMTP server, for commands that ask it for something.

use super::super::Ended;
use crate::proto::smtp::reply::ReplyReader;
use crate::queue::{Net, NetError, Wire};
use crate::sasl::client::Login;
use crate::status::{Exit, Reply};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Longest exchange of a login, in challenges.
const CHALLENGES: usize = 5;

/// `HOST[:PORT]`, an IPv6 address in brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// Reads a place; without a port it is the usual one.
    pub(super) fn parse(text: &str, port: u16) -> Result<Place, Ended> {
        let wrong =
            || Ended::new(Exit::Usage, format!("{text:?} is no place: write HOST, HOST:PORT or [ADDRESS]:PORT"));
        let (host, rest) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
            Some((host, rest)) => (host, rest),
            None => {
                text.find(':').filter(|at| !text[at + 1..].contains(':')).map_or((text, ""), |at| text.split_at(at))
            }
        };
        let port = match rest.strip_prefix(':') {
            Some(digits) => digits.parse().map_err(|_| wrong())?,
            None if rest.is_empty() => port,
            None => return Err(wrong()),
        };
        if host.is_empty() {
            return Err(wrong());
        }
        Ok(Place { host: host.to_string(), port })
    }
}

/// The talk.
pub(super) struct Talk {
    wire: Box<dyn Wire>,
    reader: ReplyReader,
    held: Vec<u8>,
    patience: Duration,
    host: String,
    /// The lines of the last EHLO, without the first.
    offered: Vec<String>,
    has_tls: bool,
}

fn trouble(host: &str, error: impl std::fmt::Display) -> Ended {
    Ended::new(Exit::TempFail, format!("{host}: {error}"))
}

/// What the exit code says about a reply that is no success.
pub(super) fn refusal(host: &str, what: &str, reply: &Reply) -> Ended {
    let exit = match reply.code {
        // RFC 1985 §5.3 has 459 for "not allowed".
        459 | 530 | 535 | 538 | 550 => Exit::NoPerm,
        450 if reply.enhanced.is_some_and(|e| e.1 == 7) => Exit::NoPerm,
        400..500 => Exit::TempFail,
        _ => Exit::Protocol,
    };
    Ended::new(exit, format!("{host}: {what}: {}", clean(&reply.to_string())))
}

/// A peer's words on a terminal.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

impl Talk {
    /// Connects, hears the greeting, and says EHLO; with TLS where the host offers it.
    pub(super) fn begin(
        net: &dyn Net,
        place: &Place,
        hello: &str,
        patience: (Duration, Duration),
    ) -> Result<Talk, Ended> {
        let Place { host, port } = place;
        let wire = net.connect(host, *port, patience.0).map_err(|e| trouble(&format!("{host}:{port}"), e))?;
        let (reader, held, offered) = (ReplyReader::default(), Vec::new(), Vec::new());
        let mut talk = Talk { wire, reader, held, patience: patience.1, host: host.clone(), offered, has_tls: false };
        let greeting = talk.hear()?;
        if greeting.code != 220 {
            return Err(refusal(host, "greeting", &greeting));
        }
        talk.hello(hello)?;
        if talk.offers("STARTTLS").is_some() {
            let reply = talk.ask("STARTTLS")?;
            if reply.code != 220 {
                return Err(refusal(host, "STARTTLS", &reply));
            }
            // What came in clear behind the reply is nobody's word.
            if !talk.held.is_empty() {
                return Err(Ended::new(Exit::Protocol, format!("{host}: plaintext behind STARTTLS")));
            }
            talk.wire.start_tls(host).map_err(|e| trouble(host, e))?;
            talk.has_tls = true;
            talk.hello(hello)?;
        }
        Ok(talk)
    }

    fn hello(&mut self, name: &str) -> Result<(), Ended> {
        let reply = self.ask(&format!("EHLO {name}"))?;
        if reply.code != 250 {
            return Err(refusal(&self.host, "EHLO", &reply));
        }
        self.offered = reply.lines.into_iter().skip(1).collect();
        Ok(())
    }

    /// What stands behind a keyword of EHLO.
    pub(super) fn offers(&self, keyword: &str) -> Option<&str> {
        let split =
            |line: &'_ str| line.split_once(' ').map_or((line.len(), line.len()), |(k, _)| (k.len(), k.len() + 1));
        self.offered
            .iter()
            .find(|line| line[..split(line).0].eq_ignore_ascii_case(keyword))
            .map(|line| &line[split(line).1..])
    }

    /// The other side's address, where it is one.
    pub(super) fn peer(&self) -> Option<SocketAddr> {
        self.wire.peer().parse().ok()
    }

    /// True when nobody between can listen: TLS is on, or the host is this one.
    pub(super) fn is_private(&self) -> bool {
        self.has_tls || self.peer().is_some_and(|peer| peer.ip().to_canonical().is_loopback())
    }

    /// Sends a command; gives the reply.
    pub(super) fn ask(&mut self, command: &str) -> Result<Reply, Ended> {
        let sent = self.wire.send(format!("{command}\r\n").as_bytes());
        sent.map_err(|e| trouble(&self.host, e))?;
        self.hear()
    }

    fn hear(&mut self) -> Result<Reply, Ended> {
        let until = Instant::now() + self.patience;
        let mut buffer = [0; 4096];
        loop {
            let fed = self.reader.feed(&self.held);
            let (taken, reply) = fed.map_err(|e| Ended::new(Exit::Protocol, format!("{}: {e}", self.host)))?;
            self.held.drain(..taken);
            if let Some(reply) = reply {
                return Ok(reply);
            }
            let left = until.saturating_duration_since(Instant::now());
            let received = match left.is_zero() {
                true => Err(NetError("timed out".to_string())),
                false => self.wire.receive(&mut buffer, left),
            };
            match received.map_err(|e| trouble(&self.host, e))? {
                0 => return Err(trouble(&self.host, "the connection was closed")),
                n => self.held.extend_from_slice(&buffer[..n]),
            }
        }
    }

    /// Logs in by the best mechanism that both sides know.
    pub(super) fn log_in(&mut self, user: &str, password: &str, nonce: &str) -> Result<(), Ended> {
        let host = self.host.clone();
        if !self.is_private() {
            let text = format!("{host}: offers no TLS: a login is made over TLS only");
            return Err(Ended::new(Exit::NoPerm, text));
        }
        let names: Vec<&str> = self.offers("AUTH").unwrap_or_default().split(' ').collect();
        let mechanism = Login::choose(&names, true);
        let mechanism = mechanism.ok_or_else(|| {
            Ended::new(
                Exit::Protocol,
                format!("{host}: offers no way to log in that we know: {}", clean(&names.join(" "))),
            )
        })?;
        let (mut login, initial) = Login::begin(mechanism, user, password, nonce);
        let initial = initial.map(|initial| format!(" {initial}")).unwrap_or_default();
        let mut reply = self.ask(&format!("AUTH {}{initial}", mechanism.name()))?;
        for _ in 0..CHALLENGES {
            match reply.code {
                334 => {
                    let answer = login
                        .answer(&reply.lines.join(""))
                        .map_err(|e| Ended::new(Exit::NoPerm, format!("{host}: {}: {e}", mechanism.name())))?;
                    reply = self.ask(&answer)?;
                }
                235 if login.is_settled() => return Ok(()),
                235 => {
                    return Err(Ended::new(
                        Exit::NoPerm,
                        format!("{host}: the server did not show that it knows the password"),
                    ));
                }
                _ => return Err(refusal(&host, "login", &reply)),
            }
        }
        Err(Ended::new(Exit::Protocol, format!("{host}: the login has no end")))
    }

    /// The connection, with what has been received already.
    pub(super) fn into_wire(self) -> (Box<dyn Wire>, Vec<u8>) {
        (self.wire, self.held)
    }

    /// Says goodbye; what the host says to that does not matter.
    pub(super) fn end(mut self) {
        self.patience = Duration::from_secs(2);
        let _ = self.ask("QUIT");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, host, port) in [
            ("mx.test", "mx.test", 25),
            ("mx.test:2525", "mx.test", 2525),
            ("192.0.2.1:26", "192.0.2.1", 26),
            ("[2001:db8::1]", "2001:db8::1", 25),
            ("[2001:db8::1]:26", "2001:db8::1", 26),
            ("2001:db8::1", "2001:db8::1", 25),
        ] {
            assert_eq!(Place::parse(text, 25).unwrap(), Place { host: host.into(), port }, "{text}");
        }
        for bad in ["", ":25", "mx.test:", "mx.test:x", "[::1]x", "[]:25", "mx.test:99999"] {
            assert!(Place::parse(bad, 25).is_err(), "{bad}");
        }
    }
}
