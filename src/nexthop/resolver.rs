//! Questions to DNS and their answers, as mail needs them.
//!
//! [`Resolver`] is implemented by `drive` over a library, by [`super::cache::Cached`] over another one, and by tests. What comes
//! back is hostile: bounded by the implementation, checked for form here.
//! RFC 1035, RFC 2308 (answers that say no), RFC 4035 §3.2.3 (the AD bit), RFC 6698 §2.1 (TLSA).

use std::net::IpAddr;
use std::time::Duration;

/// What is asked about a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Mail exchangers.
    Mx,
    /// IPv4 addresses.
    A,
    /// IPv6 addresses.
    Aaaa,
    /// Certificates (DANE).
    Tlsa,
    /// Texts.
    Txt,
    /// The name that this one is another name of.
    Cname,
    /// Name servers.
    Ns,
    /// The name of an address.
    Ptr,
    /// Hosts of a service (RFC 2782).
    Srv,
}

impl Kind {
    /// Its name in zone files.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mx => "MX",
            Kind::A => "A",
            Kind::Aaaa => "AAAA",
            Kind::Tlsa => "TLSA",
            Kind::Txt => "TXT",
            Kind::Cname => "CNAME",
            Kind::Ns => "NS",
            Kind::Ptr => "PTR",
            Kind::Srv => "SRV",
        }
    }

    /// The kind that zone files call so, in any case.
    pub fn named(name: &str) -> Option<Kind> {
        use Kind::{A, Aaaa, Cname, Mx, Ns, Ptr, Srv, Tlsa, Txt};
        const ALL: [Kind; 9] = [Mx, A, Aaaa, Tlsa, Txt, Cname, Ns, Ptr, Srv];
        ALL.into_iter().find(|kind| kind.name().eq_ignore_ascii_case(name))
    }
}

/// One question. The name is absolute, in lower case, without the last dot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Question {
    /// About whom.
    pub name: String,
    /// What.
    pub kind: Kind,
}

impl Question {
    /// A question about a name.
    pub fn new(name: &str, kind: Kind) -> Question {
        Question { name: name.trim_end_matches('.').to_ascii_lowercase(), kind }
    }

    /// The question for the name of an address (RFC 1035 §3.5, RFC 3596 §2.5).
    pub fn reverse(ip: IpAddr) -> Question {
        let name = match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let [a, b, c, d] = ip.octets();
                format!("{d}.{c}.{b}.{a}.in-addr.arpa")
            }
            IpAddr::V6(ip) => {
                let nibbles = ip.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
                let labels: Vec<String> = nibbles.map(|nibble| format!("{nibble:x}")).collect();
                format!("{}.ip6.arpa", labels.join("."))
            }
        };
        Question { name, kind: Kind::Ptr }
    }
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Preference and host, without the last dot; an empty host is the null MX (RFC 7505 §3).
    Mx(u16, String),
    /// Of A and AAAA.
    Address(IpAddr),
    /// Of TLSA.
    Tlsa(Tlsa),
    /// The strings of one TXT record, joined.
    Txt(Vec<u8>),
    /// Of CNAME, NS, PTR and SRV: the name that the record leads to, without the last dot.
    Name(String),
}

/// A TLSA record (RFC 6698 §2.1).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tlsa {
    /// Certificate usage: 2 is DANE-TA, 3 is DANE-EE (RFC 7218).
    pub usage: u8,
    /// 0 the whole certificate, 1 its public key.
    pub selector: u8,
    /// 0 the octets themselves, 1 SHA-256, 2 SHA-512.
    pub matching: u8,
    /// What must be found.
    pub data: Vec<u8>,
}

/// Records that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The name that has them: the one asked for, or where its CNAME records lead.
    pub name: String,
    /// The records, in no order that means anything.
    pub data: Vec<Data>,
    /// DNSSEC vouches for all of it, the CNAME records included.
    pub secure: bool,
    /// How long it may be kept.
    pub ttl: Duration,
}

/// Why there are no records.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (NXDOMAIN).
    #[error("no such name")]
    NoName {
        /// How long that may be kept.
        ttl: Duration,
    },
    /// The name exists and has nothing of the kind.
    #[error("no records of the kind")]
    NoData {
        /// How long that may be kept.
        ttl: Duration,
    },
    /// Nobody knows at this time: no server, no answer, a refusal, a forgery, or more than the limits allow.
    #[error("{0}")]
    Trouble(String),
}

impl DnsError {
    /// True when asking again may help.
    pub fn is_temporary(&self) -> bool {
        matches!(self, DnsError::Trouble(_))
    }
}

/// What a question came to.
pub type Found = Result<Answer, DnsError>;

/// Answers questions about names.
pub trait Resolver: Send + Sync {
    /// Asks all at once and waits for all, at most that long; one result for each question, in their order.
    fn ask(&self, questions: &[Question], patience: Duration) -> Vec<Found>;

    /// The same without a look into files: what DNS itself says.
    fn ask_servers(&self, questions: &[Question], patience: Duration) -> Vec<Found> {
        self.ask(questions, patience)
    }

    /// True when a file of the administrator's gives the name addresses, whatever DNS says.
    fn is_fixed(&self, _name: &str) -> bool {
        false
    }

    /// The full name that a file of the administrator's gives one of its names, with the case it has there.
    fn fixed_name(&self, _name: &str) -> Option<String> {
        None
    }

    /// The first name that such a file gives an address.
    fn fixed_name_of(&self, _ip: IpAddr) -> Option<String> {
        None
    }

    /// True when there is a name server to ask.
    fn has_servers(&self) -> bool {
        true
    }

    /// True when [`Answer::secure`] can be true at all.
    fn has_dnssec(&self) -> bool {
        false
    }
}

/// Knows nothing and says so: for work that is done without DNS.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoDns;

impl Resolver for NoDns {
    fn ask(&self, questions: &[Question], _patience: Duration) -> Vec<Found> {
        questions.iter().map(|_| Err(DnsError::Trouble("no name server".to_string()))).collect()
    }

    fn has_servers(&self) -> bool {
        false
    }
}

impl dyn Resolver + '_ {
    /// Asks one question.
    pub fn one(&self, name: &str, kind: Kind, patience: Duration) -> Found {
        self.ask(&[Question::new(name, kind)], patience)
            .pop()
            .unwrap_or_else(|| Err(DnsError::Trouble("no answer".to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_asked_for_backwards() {
        for (ip, name) in [
            ("192.0.2.9", "9.2.0.192.in-addr.arpa"),
            ("::ffff:192.0.2.9", "9.2.0.192.in-addr.arpa"),
            ("2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa"),
        ] {
            assert_eq!(Question::reverse(ip.parse().unwrap()).name, name);
        }
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        assert_eq!(Kind::named("txt"), Some(Kind::Txt));
        assert_eq!(Kind::named("ANY"), None);
    }
}
