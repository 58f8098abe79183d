//! DANE for SMTP: what TLSA records say about the hosts of a domain.
//!
//! Called by `secure` for hosts whose MX and address records DNSSEC vouches for.
//! Invariant: no answer about TLSA records is never taken for "there are none": a host about which DNS is silent gets no mail.
//! RFC 7672 §2.2, §3.1.

use super::gather::{Candidate, Gather, silence};
use super::resolver::{Data, DnsError, Kind, Question, Tlsa};
use super::security::Trust;

/// What TLSA records come to for one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dane {
    /// There are none, or nobody vouches for them.
    Absent,
    /// Demands, and the name for SNI.
    Demands(Trust, String),
    /// Nobody knows at this time.
    Unknown(String),
}

/// Asks about all hosts at once; one result for each.
pub(super) fn look(gather: &Gather<'_>, candidates: &[Candidate]) -> Vec<Dane> {
    let mut questions: Vec<Question> = Vec::new();
    for candidate in candidates.iter().filter(|candidate| candidate.secure) {
        questions.extend(bases(candidate).iter().map(|base| question(base, candidate.port)));
    }
    let found = if questions.is_empty() { Vec::new() } else { gather.ask(&questions) };
    let answer_of = |base: &str, port: u16| {
        let wanted = question(base, port);
        let at = questions.iter().position(|question| *question == wanted);
        at.and_then(|at| found.get(at)).cloned().unwrap_or_else(|| Err(silence()))
    };
    let judge = |candidate: &Candidate| {
        if !candidate.secure {
            return Dane::Absent;
        }
        for base in bases(candidate) {
            match answer_of(base, candidate.port) {
                Ok(answer) if answer.secure => {
                    let records = answer.data.into_iter().filter_map(|data| match data {
                        Data::Tlsa(record) => Some(record),
                        _ => None,
                    });
                    return Dane::Demands(trust(records.collect(), base, candidate), base.to_string());
                }
                // RFC 7672 §2.2.3: records that nobody vouches for are as none.
                Ok(_) | Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => {}
                Err(DnsError::Trouble(reason)) => return Dane::Unknown(reason),
            }
        }
        Dane::Absent
    };
    candidates.iter().map(judge).collect()
}

/// RFC 7672 §2.2.2: where a CNAME leads first, then the name itself.
fn bases(candidate: &Candidate) -> Vec<&str> {
    let mut bases = vec![candidate.canonical.as_str()];
    if candidate.canonical != candidate.name {
        bases.push(&candidate.name);
    }
    bases
}

fn question(base: &str, port: u16) -> Question {
    Question::new(&format!("_{port}._tcp.{base}"), Kind::Tlsa)
}

fn trust(records: Vec<Tlsa>, base: &str, candidate: &Candidate) -> Trust {
    let mut records: Vec<Tlsa> = records.into_iter().filter(is_usable).collect();
    // In one order, so that a kept connection knows its demands again.
    records.sort();
    records.dedup();
    if records.is_empty() {
        // RFC 7672 §2.2: records that nobody can use still promise TLS.
        return Trust::Encrypt;
    }
    // RFC 7672 §3.2.2.
    let mut names = vec![base.to_string(), candidate.name.clone(), candidate.domain.clone()];
    names.dedup();
    Trust::Dane { records, names }
}

/// RFC 7672 §3.1.3: PKIX usages mean nothing for SMTP; digests have their length.
fn is_usable(record: &Tlsa) -> bool {
    let is_whole = match record.matching {
        0 => !record.data.is_empty(),
        1 => record.data.len() == 32,
        2 => record.data.len() == 64,
        _ => false,
    };
    matches!(record.usage, 2 | 3) && record.selector <= 1 && is_whole
}
