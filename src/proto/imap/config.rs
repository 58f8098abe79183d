//! What is fixed for a port, and what differs between two connections.

use crate::sasl::Mechanism;
use std::net::IpAddr;
use std::time::Duration;

/// Numbers that end a command or a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one line.
    pub line: usize,
    /// Octets of all literals of a command before login.
    pub literal_before_login: usize,
    /// Octets of a command held in memory after login. Messages are streamed and do not count.
    pub command: usize,
    /// Octets of a refused literal that are read and dropped; beyond it the connection is closed (RFC 7888 §4).
    pub swallow: u64,
    /// Bad commands in a row.
    pub errors: u32,
    /// Failed logins.
    pub attempts: u32,
    /// Wait for a login.
    pub login: Duration,
    /// Wait for a command after login; at least 30 minutes (RFC 9051 §5.4).
    pub autologout: Duration,
    /// Longest IDLE.
    pub idle: Duration,
    /// Wait for a piece of a command or a message.
    pub data: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            line: 64 << 10,
            literal_before_login: 8 << 10,
            command: 1 << 20,
            swallow: 64 << 20,
            errors: 20,
            attempts: 3,
            login: Duration::from_secs(180),
            autologout: Duration::from_secs(30 * 60),
            idle: Duration::from_secs(29 * 60),
            data: Duration::from_secs(300),
        }
    }
}

/// What is fixed for all sessions of a port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name.
    pub host: String,
    /// What is complete and so offered: `IMAP4rev2`, `IMAP4rev1`, `IDLE`, `APPENDLIMIT=1000` …. AUTH=, STARTTLS and LOGINDISABLED are
    /// added as the connection stands. What is not in this list is not understood either.
    pub capabilities: Vec<String>,
    /// SASL mechanisms, best first.
    pub mechanisms: Vec<Mechanism>,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// Client work-around: more than one space between arguments, spaces inside parentheses and at the end of a line, atoms as values
    /// of ID. The grammar allows none of it (RFC 9051 §9).
    pub tolerates_spaces: bool,
    /// Answer to ID: pairs of field and value.
    pub id: Vec<(String, String)>,
    /// The limits.
    pub limits: Limits,
}

/// Extensions that IMAP4rev2 has in itself (RFC 9051 §E); offered with it, named or not.
const REV2: &[&str] = &[
    "ENABLE",
    "ESEARCH",
    "IDLE",
    "LIST-EXTENDED",
    "LIST-STATUS",
    "LITERAL-",
    "MOVE",
    "NAMESPACE",
    "SASL-IR",
    "SEARCHRES",
    "SPECIAL-USE",
    "STATUS=SIZE",
    "UIDPLUS",
    "UNSELECT",
];

/// Capabilities that make no sense before login. All others are told at once: some clients never ask again.
const AFTER_LOGIN: &[&str] = &["UNAUTHENTICATE"];

impl Config {
    /// A port that offers nothing: for reading what is no command.
    pub(super) fn bare() -> Config {
        Config {
            host: String::new(),
            capabilities: Vec::new(),
            mechanisms: Vec::new(),
            starttls: false,
            tolerates_spaces: false,
            id: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// True when a capability is offered, with or without a value.
    pub fn offers(&self, name: &str) -> bool {
        let is_named = |offered: &str| match offered.get(..name.len()) {
            Some(start) => {
                start.eq_ignore_ascii_case(name) && matches!(offered.as_bytes().get(name.len()), None | Some(b'='))
            }
            None => false,
        };
        self.capabilities.iter().any(|c| is_named(c)) || (REV2.contains(&name) && self.is_rev2())
    }

    fn is_rev2(&self) -> bool {
        self.capabilities.iter().any(|c| c == "IMAP4rev2")
    }

    /// The capabilities of the list that are told before or after login.
    pub(super) fn told(&self, is_logged_in: bool) -> impl Iterator<Item = &str> {
        self.capabilities.iter().map(String::as_str).filter(move |c| is_logged_in || !AFTER_LOGIN.contains(c))
    }
}

/// What differs between two connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// A PROXY header comes first, before TLS too.
    pub expects_proxy: bool,
    /// TLS comes before the greeting.
    pub implicit_tls: bool,
    /// Some account has the secret that CRAM-MD5 needs.
    pub has_secrets: bool,
    /// Unpredictable; makes the challenges of SASL.
    pub nonce: String,
}
