//! What a queue daemon is told about a new message, so that it need not read the envelope to know where it belongs.
//!
//! A line for the fifo: `ID MAILER HOST SENDER PRIORITY`, `-` for a mailer and host that are several. It is a hint: anybody on this host can
//! write one, and what is done to a message follows from its own file alone.

use super::Id;
use crate::addr::Address;
use crate::envelope::{Delivery, Envelope, Mailer};
use std::borrow::Cow;

/// A new message, in short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// Its id.
    pub id: Id,
    /// Where it goes, when that is one place; a host name only where the mailer needs one.
    pub delivery: Option<(Mailer, String)>,
    /// A number that tells its sender from others.
    pub sender: u32,
    /// 0 goes first.
    pub priority: u8,
}

impl Hint {
    /// The priority of a message of which nothing else was said.
    pub const NORMAL: u8 = 128;

    /// The hint for these deliveries of a message.
    pub fn of(id: &Id, envelope: &Envelope, deliveries: &[&Delivery]) -> Hint {
        let is_one = |first: &&&Delivery| deliveries.iter().all(|d| d.mailer == first.mailer && host(d) == host(first));
        let sender = envelope.sender.as_ref().map(Address::to_string).unwrap_or_default();
        Hint {
            id: id.clone(),
            delivery: deliveries.first().filter(is_one).map(|d| Hint::place(d)),
            sender: crc32fast::hash(sender.as_bytes()),
            // The highest first (RFC 6710 §5.1).
            priority: Hint::NORMAL.saturating_add_signed(-envelope.handling.rank()),
        }
    }

    /// Where a delivery goes: its mailer, and what tells the places of that mailer apart. For a mailer of a sendmail.cf that is its
    /// name, `/` and the host.
    pub fn place(delivery: &Delivery) -> (Mailer, String) {
        (delivery.mailer, host(delivery).into_owned())
    }

    /// The line, without its end.
    pub fn print(&self) -> String {
        let (mailer, host) = match &self.delivery {
            Some((mailer, host)) => (mailer.name(), host.as_str()),
            None => ("-", ""),
        };
        let host = if host.is_empty() { "-" } else { host };
        format!("{} {mailer} {host} {:x} {}", self.id, self.sender, self.priority)
    }

    /// Reads a line; `None` when it is no such hint.
    pub fn parse(line: &str) -> Option<Hint> {
        let words: Vec<&str> = line.split(' ').collect();
        let [id, mailer, host, sender, priority] = words.as_slice() else { return None };
        let host = if *host == "-" { "" } else { host };
        let delivery = match *mailer {
            "-" => None,
            name => Some((name.parse().ok()?, host.to_string())),
        };
        Some(Hint {
            id: Id::parse(id)?,
            delivery,
            sender: u32::from_str_radix(sender, 16).ok()?,
            priority: priority.parse().ok()?,
        })
    }
}

/// The host that matters for the mailer.
fn host(delivery: &Delivery) -> Cow<'_, str> {
    match delivery.mailer {
        Mailer::Smtp | Mailer::Lmtp => Cow::Borrowed(&delivery.host),
        Mailer::Agent => {
            let name = delivery.by.split(':').next().unwrap_or_default();
            Cow::Owned(format!("{name}/{}", delivery.host).replace(char::is_whitespace, ""))
        }
        _ => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn hints_come_back_as_they_went() {
        let id = Id::new(Timestamp(1_795_522_071_000_123));
        let to = |mailer, host: &str| Some((mailer, host.to_string()));
        for delivery in [to(Mailer::Smtp, "example.org"), to(Mailer::Program, ""), None] {
            let hint = Hint { id: id.clone(), delivery, sender: 0xfeed, priority: 3 };
            assert_eq!(Hint::parse(&hint.print()), Some(hint));
        }
        let agent = Delivery {
            by: "relay:root".to_string(),
            host: "[a b]".to_string(),
            ..Delivery::new(Mailer::Agent, "x".to_string())
        };
        assert_eq!(Hint::place(&agent), (Mailer::Agent, "relay/[ab]".to_string()));
        for bad in ["", "x", "0123456789abcdef", "0123456789abcdef smtp a zz 1", "0123456789abcdef uucp a 1 1"] {
            assert_eq!(Hint::parse(bad), None, "{bad}");
        }
    }
}
