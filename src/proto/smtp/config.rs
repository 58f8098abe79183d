//! What a session is told: what its port is for, the limits, and what differs between two connections.

use super::help::Help;
use crate::clock::Timestamp;
use crate::sasl::Mechanism;
use crate::settings::Network;
use std::net::IpAddr;
use std::time::Duration;

/// What the port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Mail from other servers.
    Smtp,
    /// Mail from users: a login is required (RFC 6409).
    Submission,
    /// Local transfer: one reply a recipient (RFC 2033).
    Lmtp,
    /// On-demand mail relay: a login, then ATRN (RFC 2645).
    Odmr,
}

/// Numbers that end a session or a transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Octets of one message.
    pub message_size: u64,
    /// Recipients of one message.
    pub recipients: u32,
    /// Bad commands and refused recipients.
    pub errors: u32,
    /// Commands without a message between.
    pub commands: u32,
    /// Failed logins.
    pub attempts: u32,
    /// Wait for a command.
    pub timeout_command: Duration,
    /// Wait for a piece of a body.
    pub timeout_data: Duration,
}

/// Extensions that are offered where the settings say so; the default is none of them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Extensions {
    /// DELIVERBY, with the shortest time for BY=…;R (RFC 2852).
    pub deliver_by: Option<Duration>,
    /// FUTURERELEASE, with the longest hold (RFC 4865); on submission ports alone.
    pub future_release: Option<Duration>,
    /// MT-PRIORITY, with the name of the policy, or an empty one (RFC 6710).
    pub priority: Option<String>,
    /// REQUIRETLS, once TLS is on (RFC 8689).
    pub requires_tls: bool,
}

/// Names that are taken in HELO and EHLO.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Names {
    /// Any that have no blanks.
    #[default]
    Usual,
    /// Those of hosts and addresses.
    Hosts,
    /// Any; what stands behind a blank is dropped.
    Any,
}

/// How sendmail speaks, where its file says so; the default is how we speak.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manners {
    /// Names in HELO (AllowBogusHELO).
    pub names: Names,
    /// MAIL wants HELO first (needmailhelo).
    pub hello_before_mail: bool,
    /// VRFY does (needvrfyhelo).
    pub hello_before_vrfy: bool,
    /// EXPN does (needexpnhelo).
    pub hello_before_expn: bool,
    /// ETRN is for everybody, a pipe's other end too; `Some(false)`: for nobody (noetrn).
    pub etrn: Option<bool>,
    /// DSN is not offered (noreceipts).
    pub hides_dsn: bool,
    /// What is refused for good is refused for now (SoftBounce).
    pub softens: bool,
    /// So many refused recipients, and the client is sent away (BadRcptShutdown); 0 for no limit.
    pub bad_recipients: u32,
    /// So many refused recipients in a transaction, and each RCPT takes a second (BadRcptThrottle); 0 for never.
    pub slow_recipients: u32,
    /// A size that is too large is told of in sendmail's words.
    pub old_sizes: bool,
    /// The texts of HELP (HelpFile); `None` for our own.
    pub help: Option<Help>,
}

/// What is fixed for all sessions of a port.
#[derive(Debug, Clone)]
pub struct Config {
    /// Our name.
    pub host: String,
    /// What the port is for.
    pub kind: Kind,
    /// The limits.
    pub limits: Limits,
    /// SASL mechanisms, best first; empty switches AUTH off.
    pub mechanisms: Vec<Mechanism>,
    /// STARTTLS is offered.
    pub starttls: bool,
    /// ETRN is offered to these.
    pub etrn: Vec<Network>,
    /// XCLIENT is offered to these.
    pub xclient_from: Vec<Network>,
    /// By when, not before, how urgent, how secret.
    pub extensions: Extensions,
    /// What a sendmail.cf wants to be done otherwise.
    pub manners: Manners,
}

/// What differs between two connections.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Context {
    /// The peer's address.
    pub ip: Option<IpAddr>,
    /// The peer's port.
    pub port: u16,
    /// Passwords may be sent without TLS.
    pub plaintext_allowed: bool,
    /// Some account has the secret that CRAM-MD5 needs.
    pub has_secrets: bool,
    /// A PROXY header comes first.
    pub expects_proxy: bool,
    /// TLS comes before the greeting.
    pub implicit_tls: bool,
    /// Unpredictable; makes the challenges of SASL.
    pub nonce: String,
    /// When the connection was made, for dates in commands.
    pub time: Timestamp,
    /// The greeting's text; empty for our own.
    pub greeting: String,
}
