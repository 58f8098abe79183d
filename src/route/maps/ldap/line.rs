//! A connection to a directory server: opened, logged in, asked.
//!
//! All waiting ends at a deadline. A connection on which anything went wrong is not used again.
//! Trust: the server is the administrator's; what it says is bounded all the same. The password leaves its file for the time of one login,
//! and goes in clear only where the map's line names a server without TLS.

use super::servers::Server;
use crate::fsx;
use crate::nexthop::{Net, Security, Trust, Wire};
use crate::proto::ldap::{self, Entry, Outcome, Reader, Response, Search};
use crate::rules::ldap::Inquiry;
use std::ffi::OsStr;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};
use zeroize::Zeroize;

/// Most entries of one answer.
const ENTRIES_LIMIT: usize = 100_000;
/// Most octets of one answer.
const ANSWER_LIMIT: usize = 16 << 20;
/// Largest file of a password, in octets.
const PASSWORD_LIMIT: u64 = 4096;
/// Result codes with which a server sends us away for now: busy, unavailable.
const AWAY: [u32; 2] = [51, 52];

/// Why there is no answer, in words; all of it may be better later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Trouble(pub(super) String);

impl Trouble {
    fn new(text: impl Into<String>) -> Trouble {
        Trouble(text.into())
    }
}

/// A search's answer.
#[derive(Debug)]
pub(super) struct Found {
    /// In the server's order.
    pub(super) entries: Vec<Entry>,
    /// How it ended.
    pub(super) outcome: Outcome,
}

/// A connection on which the map's name is logged in.
pub(super) struct Line {
    wire: Box<dyn Wire>,
    reader: Reader,
    last_id: u32,
    /// When it was used.
    pub(super) used: Instant,
}

impl Line {
    /// Connects to the first of the servers that takes us, each for no longer than `patience`.
    pub(super) fn open(
        net: &dyn Net,
        servers: &[Server],
        inquiry: &Inquiry,
        patience: Duration,
        until: Instant,
    ) -> Result<Line, Trouble> {
        let mut last = Trouble::new("no server");
        for server in servers {
            let until = until.min(Instant::now() + patience);
            match Line::open_one(net, server, inquiry, until) {
                Ok(line) => return Ok(line),
                Err((trouble, true)) => last = Trouble(format!("{server}: {}", trouble.0)),
                Err((trouble, false)) => return Err(Trouble(format!("{server}: {}", trouble.0))),
            }
        }
        Err(last)
    }

    /// The `bool` of an error says that another server may do better.
    fn open_one(net: &dyn Net, server: &Server, inquiry: &Inquiry, until: Instant) -> Result<Line, (Trouble, bool)> {
        let elsewhere = |trouble: Trouble| (trouble, true);
        let wire = connect(net, server, until).map_err(elsewhere)?;
        let mut line = Line { wire, reader: Reader::default(), last_id: 0, used: Instant::now() };
        // A connection without a login is nobody's, as after an empty one (RFC 4513 §4).
        if inquiry.without_login || inquiry.bind_dn.is_empty() && inquiry.password_file.is_empty() {
            return Ok(line);
        }
        let outcome = line.log_in(inquiry, until)?;
        match outcome.code {
            0 => Ok(line),
            code => Err((Trouble(words(&outcome)), AWAY.contains(&code))),
        }
    }

    fn log_in(&mut self, inquiry: &Inquiry, until: Instant) -> Result<Outcome, (Trouble, bool)> {
        let mut password = match &inquiry.password_file[..] {
            [] => Vec::new(),
            file => password(Path::new(OsStr::from_bytes(file))).map_err(|why| (Trouble(why), false))?,
        };
        let id = self.new_id();
        let mut request = ldap::bind(id, &inquiry.bind_dn, &password);
        password.zeroize();
        let sent = self.wire.send(&request).map_err(|error| (Trouble(error.0), true));
        request.zeroize();
        sent?;
        match self.receive(id, until).map_err(|trouble| (trouble, true))?.0 {
            Response::Bound(outcome) => Ok(outcome),
            _ => Err((Trouble::new("an answer to another question"), true)),
        }
    }

    /// Searches. An error leaves the connection in no usable state.
    pub(super) fn search(&mut self, search: &Search, until: Instant) -> Result<Found, Trouble> {
        let id = self.new_id();
        self.wire.send(&ldap::search(id, search)).map_err(|error| Trouble(error.0))?;
        let (mut entries, mut total) = (Vec::new(), 0);
        loop {
            let (response, size) = self.receive(id, until)?;
            total += size;
            if total > ANSWER_LIMIT || entries.len() >= ENTRIES_LIMIT {
                return Err(Trouble(format!("more than {ENTRIES_LIMIT} entries or {ANSWER_LIMIT} octets")));
            }
            match response {
                Response::Entry(entry) => entries.push(entry),
                // Parts of the tree that are elsewhere: passed over, as sendmail passes them over.
                Response::Reference(_) => {}
                Response::Done(outcome) if AWAY.contains(&outcome.code) => return Err(Trouble(words(&outcome))),
                Response::Done(outcome) => {
                    self.used = Instant::now();
                    return Ok(Found { entries, outcome });
                }
                _ => return Err(Trouble::new("an answer to another question")),
            }
        }
    }

    /// Says farewell; whether it arrives does not matter.
    pub(super) fn close(mut self) {
        let id = self.new_id();
        let _ = self.wire.send(&ldap::unbind(id));
    }

    fn new_id(&mut self) -> u32 {
        // RFC 4511 §4.1.1.1: up to 2^31 - 1, and never 0.
        self.last_id = self.last_id % (i32::MAX as u32) + 1;
        self.last_id
    }

    /// The next message to this question, and how many octets were received for it.
    fn receive(&mut self, id: u32, until: Instant) -> Result<(Response, usize), Trouble> {
        let (mut size, mut piece) = (0, [0; 8192]);
        loop {
            match self.reader.message().map_err(|error| Trouble(format!("the server says nonsense: {error}")))? {
                Some((0, Response::Notice(outcome))) => {
                    return Err(Trouble(format!("it hangs up: {}", words(&outcome))));
                }
                Some((found, response)) if found == id => return Ok((response, size)),
                Some(_) => return Err(Trouble::new("an answer to another question")),
                None => {}
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Trouble::new("no answer in time"));
            }
            match self.wire.receive(&mut piece, left).map_err(|error| Trouble(error.0))? {
                0 => return Err(Trouble::new("the server has hung up")),
                n => {
                    self.reader.feed(&piece[..n]);
                    size += n;
                }
            }
            if size > ANSWER_LIMIT {
                return Err(Trouble(format!("an answer of more than {ANSWER_LIMIT} octets")));
            }
        }
    }
}

fn connect(net: &dyn Net, server: &Server, until: Instant) -> Result<Box<dyn Wire>, Trouble> {
    let left = || until.saturating_duration_since(Instant::now());
    let (name, port, tls) = match server {
        Server::Local(path) => return net.connect_socket(path, left()).map_err(|error| Trouble(error.0)),
        Server::Host { name, port, tls } => (name, *port, *tls),
    };
    let addresses: Vec<SocketAddr> =
        (name.as_str(), port).to_socket_addrs().map_err(|error| Trouble(error.to_string()))?.collect();
    let mut last = Trouble::new("no address");
    for address in addresses {
        if left().is_zero() {
            return Err(Trouble::new("no connection in time"));
        }
        let wire = net.connect(address, None, left()).map_err(|error| Trouble(error.0)).and_then(|mut wire| {
            if tls {
                // RFC 4513 §3.1.3: the name that the administrator wrote is the one the certificate must have.
                let security = Security {
                    trust: Trust::Names(vec![name.clone()]),
                    implicit_tls: true,
                    ..Security::opportunistic(name)
                };
                wire.start_tls(&security, left()).map_err(|error| Trouble(error.text))?;
            }
            Ok(wire)
        });
        match wire {
            Ok(wire) => return Ok(wire),
            Err(trouble) => last = trouble,
        }
    }
    Err(last)
}

/// What a server says at the end, in words.
pub(super) fn words(outcome: &Outcome) -> String {
    let meaning = ldap::meaning(outcome.code);
    match (outcome.text.is_empty(), meaning) {
        (true, _) => format!("{meaning} ({})", outcome.code),
        (false, _) => format!("{meaning} ({}): {}", outcome.code, String::from_utf8_lossy(&outcome.text)),
    }
}

/// The first line of a file that others may not write.
pub(super) fn password(file: &Path) -> Result<Vec<u8>, String> {
    let about = |why: &dyn std::fmt::Display| format!("{}: {why}", file.display());
    let metadata = std::fs::metadata(file).map_err(|error| about(&error))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o022 != 0 {
        return Err(about(&"others may write it, or it is no file"));
    }
    let mut text = fsx::read(file, PASSWORD_LIMIT).map_err(|error| about(&error))?;
    let end = text.iter().position(|b| *b == b'\n').unwrap_or(text.len());
    let line = text[..end].strip_suffix(b"\r").unwrap_or(&text[..end]).to_vec();
    text.zeroize();
    // RFC 4513 §5.1.2: a name with an empty password is nobody's login, though servers call it one.
    if line.is_empty() { Err(about(&"no password in its first line")) } else { Ok(line) }
}
