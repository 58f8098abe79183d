//! What the machine is told at its start, what it asks, and what it is answered.

use super::reply::Code;
use crate::sasl::{Evidence, Found, Lookup, Mechanism};
use std::net::IpAddr;
use std::time::Duration;

/// What is fixed for all sessions of a port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name.
    pub host: String,
    /// SASL mechanisms, best first.
    pub mechanisms: Vec<Mechanism>,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// The value of SIEVE: the language's extensions.
    pub extensions: String,
    /// The value of NOTIFY: methods of notification; empty where there is none.
    pub notify: String,
    /// The value of MAXREDIRECTS.
    pub redirects: u32,
    /// Largest script, in octets.
    pub script_size: u64,
    /// Failed logins before the connection is closed.
    pub attempts: u32,
    /// Wait for a login.
    pub login: Duration,
    /// Wait for a command after it.
    pub autologout: Duration,
}

/// What differs between two connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// The connection begins with a PROXY header.
    pub expects_proxy: bool,
    /// Some account has a recoverable secret.
    pub has_secrets: bool,
    /// Unpredictable; makes the challenges of SASL.
    pub nonce: String,
}

/// Questions. Names are UTF-8 and nothing else is known of them; scripts are any octets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// May this peer connect?
    Connect(Option<IpAddr>),
    /// SASL looks something up.
    Look(Lookup),
    /// A login.
    Login(Evidence),
    /// Forget the login.
    LogOut,
    /// Would a script of this name and size be taken?
    HaveSpace(String, u64),
    /// Check a script and keep it under this name.
    Put(String, Vec<u8>),
    /// Check a script.
    Check(Vec<u8>),
    /// All scripts.
    List,
    /// Make this script the active one; `None` for no script.
    Activate(Option<String>),
    /// The first piece of a script.
    Get(String),
    /// The next piece of that script.
    More,
    /// Remove a script.
    Delete(String),
    /// Give the first script the second name.
    Rename(String, String),
}

/// Answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// To Connect: the text for those who may not.
    Verdict(Result<(), String>),
    /// To Look.
    Found(Found),
    /// To Login: whose scripts these are.
    Login(Result<String, Denial>),
    /// To everything that is done or not.
    Done(Result<(), Refusal>),
    /// To List.
    Listed(Result<Vec<Listed>, Refusal>),
    /// To Get and More.
    Piece(Result<Piece, Refusal>),
}

/// Why a login was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Denial {
    /// Wrong name or password: say so after the pause.
    Wrong(Duration),
    /// Not allowed, for good.
    Forbidden(String),
    /// Our trouble.
    Unavailable(String),
}

/// Why a command was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: Option<Code>,
    /// For people; may have more than one line.
    pub text: String,
}

impl Refusal {
    /// A refusal that programs understand.
    pub fn coded(code: Code, text: impl Into<String>) -> Refusal {
        Refusal { code: Some(code), text: text.into() }
    }
}

impl From<&str> for Refusal {
    fn from(text: &str) -> Refusal {
        Refusal { code: None, text: text.to_string() }
    }
}

/// A script in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// It sorts incoming mail.
    pub is_active: bool,
}

/// A piece of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Octets of the whole script; the pieces have as many together.
    pub size: u64,
    /// These octets of it.
    pub text: Vec<u8>,
    /// Nothing follows.
    pub is_last: bool,
}
