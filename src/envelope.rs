//! What travels beside a message: sender, recipients, where each goes, and what was asked for them.
//!
//! Made by `serve` and `submit`, kept by `spool`, read by `queue`, `deliver` and `bounce`.
//! RFC 5321 §2.3.1, RFC 3461 (DSN), RFC 6152, RFC 6531.

mod handling;

pub use handling::{ByMode, DeliverBy, Handling, Hold, Priority, TlsWish, by_letters};

use crate::addr::Address;
use crate::clock::Timestamp;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A message's envelope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Envelope {
    /// Reverse path; `None` is `<>`.
    pub sender: Option<Address>,
    /// When the message was accepted; expiry counts from here.
    pub arrived: Timestamp,
    /// Who handed it in, for the log and the Received field.
    pub source: Source,
    /// BODY=8BITMIME was said or 8-bit bytes were seen.
    pub eight_bit: bool,
    /// SMTPUTF8 was asked for (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// RET: send whole messages back in a DSN, instead of headers only (RFC 3461 §4.3).
    pub ret_full: bool,
    /// ENVID, decoded (RFC 3461 §4.4).
    pub envid: Option<String>,
    /// By when, not before, how urgent, how secret.
    pub handling: Handling,
    /// Octets of the message as kept (LF line ends).
    pub size: u64,
    /// One entry a delivery; several may come from one original recipient.
    pub recipients: Vec<Recipient>,
}

impl Envelope {
    /// The envelope of a message that this host hands in itself, with nothing asked for.
    pub fn local(sender: Option<Address>, arrived: Timestamp, recipients: Vec<Recipient>) -> Envelope {
        Envelope {
            sender,
            arrived,
            source: Source { protocol: "local".to_string(), ..Source::default() },
            eight_bit: false,
            smtputf8: false,
            ret_full: false,
            envid: None,
            handling: Handling::default(),
            size: 0,
            recipients,
        }
    }
}

/// Who handed a message in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Source {
    /// The peer's address; `None` for a local program.
    pub ip: Option<IpAddr>,
    /// What DNS calls that address, where the name leads back to it.
    pub name: Option<String>,
    /// The name it gave in HELO.
    pub helo: Option<String>,
    /// ESMTP, ESMTPSA, LMTP, local … (RFC 3848).
    pub protocol: String,
    /// The authenticated account, or the local user's login name.
    pub user: Option<String>,
}

/// One delivery that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    /// The address as given in RCPT TO; replies and DSNs speak of this one.
    pub original: Address,
    /// ORCPT, decoded: type and address (RFC 3461 §4.2).
    pub orcpt: Option<(String, String)>,
    /// When a DSN is wanted.
    pub notify: Notify,
    /// Where it goes.
    pub delivery: Delivery,
}

/// NOTIFY of RFC 3461 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Notify {
    /// A DSN when delivered.
    pub success: bool,
    /// A DSN when given up. On by default.
    pub failure: bool,
    /// A DSN when late. On by default.
    pub delay: bool,
}

impl Default for Notify {
    fn default() -> Self {
        Notify { success: false, failure: true, delay: true }
    }
}

impl Notify {
    /// NOTIFY=NEVER.
    pub const NEVER: Notify = Notify { success: false, failure: false, delay: false };

    /// True when the sender said something else than the default.
    pub fn is_default(self) -> bool {
        self == Notify::default()
    }
}

impl FromStr for Notify {
    type Err = ();

    /// Reads `NEVER` or a list of `SUCCESS`, `FAILURE`, `DELAY` (RFC 3461 §4.1).
    fn from_str(text: &str) -> Result<Notify, ()> {
        if text.eq_ignore_ascii_case("NEVER") {
            return Ok(Notify::NEVER);
        }
        let mut notify = Notify::NEVER;
        for word in text.split(',') {
            match word.to_ascii_uppercase().as_str() {
                "SUCCESS" => notify.success = true,
                "FAILURE" => notify.failure = true,
                "DELAY" => notify.delay = true,
                _ => return Err(()),
            }
        }
        Ok(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        if self.success {
            words.push("SUCCESS");
        }
        if self.failure {
            words.push("FAILURE");
        }
        if self.delay {
            words.push("DELAY");
        }
        f.write_str(if words.is_empty() { "NEVER".into() } else { words.join(",") }.as_str())
    }
}

/// How the `user` of [`Delivery::expansion`] begins.
const EXPANSION: &str = "expanded:";
/// How that of [`Delivery::list`] does.
const LIST: &str = "list:";

/// Where one recipient's copy goes: sendmail's triple of mailer, host and user.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// How.
    pub mailer: Mailer,
    /// For `smtp` and `lmtp`: the domain, to be routed at the time of delivery. For `mailbox`: the account's address where
    /// `user` has a +detail. For `agent`: the host of the rules' triple. Empty otherwise.
    pub host: String,
    /// What the mailer gets: an address for `mailbox`, `smtp`, `lmtp`; a path, a command line, an account's name.
    pub user: String,
    /// The alias entry or forward file that caused a program or file delivery; its owner's rights apply. For `agent`: the
    /// mailer's name in the sendmail.cf, and behind a colon the account whose rights apply, if there is one.
    pub by: String,
    /// A list owner's address that stands for the sender in this delivery (`owner-NAME` aliases); empty for the
    /// envelope's own sender.
    pub sender: String,
}

impl Delivery {
    /// A delivery by this mailer to this user, with nothing else to say.
    pub fn new(mailer: Mailer, user: impl Into<String>) -> Delivery {
        Delivery { mailer, host: String::new(), user: user.into(), by: String::new(), sender: String::new() }
    }

    /// Stands for an address that several members got the message for: what is told about it is told here, and not for each member
    /// (RFC 3461 §5.2.7.3). It delivers nothing; programs that do not know it deliver nothing as well.
    pub fn expansion(of: &Address) -> Delivery {
        Delivery::new(Mailer::Discard, format!("{EXPANSION}{of}"))
    }

    /// The same for an address that is a mailing list, where the message is delivered (RFC 3461 §5.2.7.1).
    pub fn list(of: &Address) -> Delivery {
        Delivery::new(Mailer::Discard, format!("{LIST}{of}"))
    }

    /// True for [`Delivery::expansion`] and [`Delivery::list`].
    pub fn stands_for_members(&self) -> bool {
        self.mailer == Mailer::Discard && [EXPANSION, LIST].iter().any(|word| self.user.starts_with(word))
    }

    /// True when a list owner stands for the sender; a sender rewritten for forwarding is still the sender.
    pub fn has_owner(&self) -> bool {
        !self.sender.is_empty() && !crate::srs::is_rewritten(&self.sender)
    }

    /// True for [`Delivery::expansion`].
    pub fn is_expansion(&self) -> bool {
        self.mailer == Mailer::Discard && self.user.starts_with(EXPANSION)
    }
}

/// The ways to deliver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mailer {
    /// A mailbox of ours; `user` is `user+detail@domain` in key form.
    Mailbox,
    /// A system account with its own rights; `user` is its login name (with +detail).
    System,
    /// A program; `user` is the command line as written in the alias.
    Program,
    /// A file to append to; `user` is its path.
    File,
    /// Another host by SMTP; `user` is the address.
    Smtp,
    /// Another host by LMTP; `user` is the address.
    Lmtp,
    /// A mailing list; `host` is the list, `user` the address of it that was written to.
    List,
    /// A mailer of the sendmail.cf that stands in the place of our settings; `user` is what the rules made.
    Agent,
    /// Nothing to be done: the message is dropped on the administrator's word.
    Discard,
    /// Always refused when tried; `user` is the text. For entries that fail after acceptance.
    Error,
}

impl Mailer {
    /// Its name in envelopes, logs and tables.
    pub fn name(self) -> &'static str {
        match self {
            Mailer::Mailbox => "mailbox",
            Mailer::System => "system",
            Mailer::Program => "prog",
            Mailer::File => "file",
            Mailer::Smtp => "smtp",
            Mailer::Lmtp => "lmtp",
            Mailer::List => "list",
            Mailer::Agent => "agent",
            Mailer::Discard => "discard",
            Mailer::Error => "error",
        }
    }
}

impl FromStr for Mailer {
    type Err = ();

    fn from_str(text: &str) -> Result<Mailer, ()> {
        use Mailer::*;
        [Mailbox, System, Program, File, Smtp, Lmtp, List, Agent, Discard, Error]
            .into_iter()
            .find(|m| m.name() == text)
            .ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notify_round_trip() {
        for text in ["NEVER", "SUCCESS", "FAILURE,DELAY", "SUCCESS,FAILURE,DELAY"] {
            assert_eq!(text.parse::<Notify>().unwrap().to_string(), text);
        }
        for bad in ["", "NEVER,SUCCESS", "SOON"] {
            assert!(bad.parse::<Notify>().is_err(), "{bad}");
        }
        assert!("failure,delay".parse::<Notify>().unwrap().is_default());
    }
}
