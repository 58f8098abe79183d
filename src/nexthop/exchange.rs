//! The mail exchangers of a domain for whoever wants their names alone: the maps of em.cf.
//!
//! What a message is sent by is [`super::gather`]'s, with addresses and with our own host left out.
//! RFC 5321 §5.1, RFC 7505.

use super::mx::{self, Exchangers};
use super::resolver::{DnsError, Kind, Question, Resolver};
use std::time::Duration;

/// Most MX records that are looked at.
const RECORDS: usize = 100;

/// Who takes mail for a domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Best {
    /// These hosts, the best first; the domain itself where it has an address and no MX records.
    Hosts(Vec<String>),
    /// It says that it takes none (RFC 7505).
    Null,
    /// There is no such domain.
    Nobody,
    /// There is, and nothing of it takes mail.
    Nothing,
}

/// Looks the exchangers of a name up; the error says why nobody knows at this time.
pub fn best(resolver: &dyn Resolver, name: &str, patience: Duration) -> Result<Best, String> {
    match resolver.one(name, Kind::Mx, patience) {
        Ok(answer) => Ok(match mx::order(&answer, RECORDS, &mut super::random, &|_| false) {
            Exchangers::Hosts(hosts) => Best::Hosts(hosts.into_iter().map(|(_, host)| host).collect()),
            Exchangers::Null => Best::Null,
            Exchangers::Ourselves | Exchangers::Nonsense => Best::Nothing,
        }),
        Err(DnsError::NoName { .. }) if !resolver.is_fixed(name) => Ok(Best::Nobody),
        Err(DnsError::Trouble(why)) if !resolver.is_fixed(name) => Err(why),
        // RFC 5321 §5.1: the implicit MX.
        Err(_) => {
            let found = resolver.ask(&[Kind::A, Kind::Aaaa].map(|kind| Question::new(name, kind)), patience);
            if found.iter().any(Result::is_ok) {
                return Ok(Best::Hosts(vec![name.trim_end_matches('.').to_string()]));
            }
            match found.into_iter().filter_map(Result::err).find(DnsError::is_temporary) {
                Some(error) => Err(error.to_string()),
                None => Ok(Best::Nothing),
            }
        }
    }
}
