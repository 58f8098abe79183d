//! From candidates to hops: which TLS each host must speak, and which hosts are left.
//!
//! An entry of etc/tls-policies says all about its domain. Without one, DANE counts (where DNS answers are secured), else MTA-STS, else
//! `relay.tls`. Hosts that a policy leaves out are named in the log; when none is left the mail waits.
//! RFC 7672 §2, RFC 8461 §5 (DANE goes before it: §2), RFC 8689 §4.2.

use super::dane::{self, Dane};
use super::gather::{Candidate, Gather};
use super::ledger::Applied;
use super::resolver::{Data, Kind, Question};
use super::security::{Security, Trust};
use super::sts::{self, Mode, StsPolicy};
use super::{Hop, broken};
use crate::envelope::TlsWish;
use crate::log;
use crate::settings::TlsDefault;
use crate::status::Failure;
use crate::tables::TlsPolicy;
use std::sync::Arc;

impl Gather<'_> {
    /// The hops of one host of a route, which all have the same domain.
    pub(super) fn secured(&self, candidates: Vec<Candidate>, implicit_tls: bool) -> Result<Vec<Hop>, Failure> {
        let Some(domain) = candidates.first().map(|first| first.domain.clone()) else { return Ok(Vec::new()) };
        let table = self.from.policies.current().map_err(|e| broken(e.to_string()))?;
        let entry = table.find(&domain);
        let default = self.from.site.settings.relay.tls;
        let wants_dane = match entry {
            Some(entry) => matches!(entry, TlsPolicy::Dane | TlsPolicy::DaneOnly),
            None => default == TlsDefault::Dane || default == TlsDefault::Auto && self.from.resolver.has_dnssec(),
        };
        let dane = if wants_dane { dane::look(self, &candidates) } else { vec![Dane::Absent; candidates.len()] };
        let may_sts = entry.is_none() && default != TlsDefault::Clear;
        let has_sts = may_sts && candidates.iter().any(|candidate| candidate.is_by_domain);
        let sts = if has_sts { self.sts(&domain) } else { None };
        let mut hops = Vec::new();
        let mut last = None;
        for (candidate, dane) in candidates.into_iter().zip(dane) {
            let policy = applied(entry, sts.as_ref(), &candidate, &dane).map(Arc::new);
            let secured = match entry {
                Some(entry) => by_table(entry, &candidate, dane),
                None => by_default(default, sts.as_ref(), &candidate, dane),
            };
            let secured = match self.wish {
                TlsWish::Usual => secured,
                TlsWish::Required => secured.and_then(|(trust, name)| required(trust, name, sts.as_ref(), &candidate)),
                TlsWish::NotRequired => Ok(not_required(secured, &candidate)),
            };
            match secured {
                Ok((trust, server_name)) => {
                    let is_testing = sts.as_ref().is_some_and(|policy| policy.mode == Mode::Testing);
                    let lenient = is_testing && self.wish == TlsWish::Usual && matches!(trust, Trust::Names(_));
                    let security = Security { trust, implicit_tls, server_name, lenient };
                    let Candidate { name, addresses, .. } = candidate;
                    hops.push(Hop { name, addresses, socket: None, security, login: None, policy });
                }
                Err(failure) => {
                    let host = &candidate.name;
                    log::event("host-left-out")
                        .field("domain", &domain)
                        .field("host", host)
                        .field("reason", &failure)
                        .write();
                    last = Some(failure);
                }
            }
        }
        match (hops.is_empty(), last) {
            (true, Some(failure)) => Err(failure),
            _ => Ok(hops),
        }
    }

    /// The MTA-STS policy that is in force for a domain.
    fn sts(&self, domain: &str) -> Option<StsPolicy> {
        let store = self.from.sts.as_ref()?;
        let found = self.ask(&[Question::new(&format!("_mta-sts.{domain}"), Kind::Txt)]).pop();
        let id = found.and_then(Result::ok).and_then(|answer| {
            sts::only_id(answer.data.iter().filter_map(|data| match data {
                Data::Txt(text) => Some(text.as_slice()),
                _ => None,
            }))
        });
        store.policy(domain, id.as_deref(), self.now)
    }
}

/// The policy that is reported on; what our own table demands is nobody's business.
fn applied(entry: Option<&TlsPolicy>, sts: Option<&StsPolicy>, candidate: &Candidate, dane: &Dane) -> Option<Applied> {
    let is_own = entry.is_some_and(|entry| !matches!(entry, TlsPolicy::Dane | TlsPolicy::DaneOnly));
    if is_own || !candidate.is_by_domain {
        return None;
    }
    Some(match (dane, sts) {
        (Dane::Demands(Trust::Dane { records, .. }, _), _) => Applied::tlsa(&candidate.domain, records),
        (Dane::Absent, Some(policy)) if policy.mode != Mode::None => Applied::sts(&candidate.domain, policy),
        _ => Applied::none(&candidate.domain),
    })
}

/// Whom to trust, and the name for SNI; or why the host is left out.
type Secured = Result<(Trust, String), Failure>;

fn by_table(entry: &TlsPolicy, candidate: &Candidate, dane: Dane) -> Secured {
    let trust = match entry {
        TlsPolicy::Clear => Trust::Clear,
        TlsPolicy::May => Trust::May,
        TlsPolicy::Encrypt => Trust::Encrypt,
        TlsPolicy::Verify(names) if names.is_empty() => Trust::Names(vec![candidate.name.clone()]),
        TlsPolicy::Secure(names) if names.is_empty() => {
            Trust::Names(vec![candidate.domain.clone(), format!(".{}", candidate.domain)])
        }
        TlsPolicy::Verify(names) | TlsPolicy::Secure(names) => Trust::Names(names.clone()),
        TlsPolicy::Fingerprint(known) => Trust::Fingerprints(known.clone()),
        TlsPolicy::Dane | TlsPolicy::DaneOnly => {
            return match (dane, entry) {
                (Dane::Absent, TlsPolicy::DaneOnly) => {
                    Err(untrusted(&candidate.domain, "no usable TLSA records that DNSSEC vouches for"))
                }
                (Dane::Demands(Trust::Encrypt, _), TlsPolicy::DaneOnly) => {
                    Err(untrusted(&candidate.domain, "none of its TLSA records is usable"))
                }
                (dane, _) => by_dane(candidate, dane, Trust::May),
            };
        }
    };
    Ok((trust, server_name(candidate)))
}

fn by_default(default: TlsDefault, sts: Option<&StsPolicy>, candidate: &Candidate, dane: Dane) -> Secured {
    let otherwise = match default {
        TlsDefault::Clear => Trust::Clear,
        TlsDefault::Encrypt => Trust::Encrypt,
        TlsDefault::Auto | TlsDefault::May | TlsDefault::Dane => Trust::May,
    };
    let sts = sts.filter(|_| dane == Dane::Absent);
    let is_tried =
        |policy: &StsPolicy| policy.mode == Mode::Testing && otherwise == Trust::May && policy.names(&candidate.name);
    let counts = sts.filter(|policy| policy.mode == Mode::Enforce || is_tried(policy));
    match counts {
        Some(policy) if !policy.names(&candidate.name) => {
            Err(untrusted(&candidate.domain, "its MTA-STS policy does not name the host"))
        }
        Some(_) => Ok((Trust::Names(vec![candidate.name.clone()]), server_name(candidate))),
        None => by_dane(candidate, dane, otherwise),
    }
}

/// RFC 8689 §4.2.1: the host's name comes from the administrator, from DNSSEC or from MTA-STS, and its certificate is for that name.
fn required(trust: Trust, server_name: String, sts: Option<&StsPolicy>, candidate: &Candidate) -> Secured {
    if matches!(trust, Trust::Names(_) | Trust::Fingerprints(_) | Trust::Dane { .. }) {
        return Ok((trust, server_name));
    }
    let is_named = sts.is_some_and(|policy| policy.mode != Mode::None && policy.names(&candidate.name));
    let is_host = !candidate.name.starts_with('[');
    if is_host && (candidate.secure || is_named || !candidate.is_by_domain || candidate.name == candidate.domain) {
        return Ok((Trust::Names(vec![candidate.name.clone()]), server_name));
    }
    let text = format!("{} has no host that TLS could be required of", candidate.domain);
    Err(Failure::permanent((7, 10), text, "neither DNSSEC nor MTA-STS vouches for the name of the host"))
}

/// RFC 8689 §4.2.2: TLS where it can be had; no demand is left.
fn not_required(secured: Secured, candidate: &Candidate) -> (Trust, String) {
    match secured {
        Ok((Trust::Clear, name)) => (Trust::Clear, name),
        Ok((_, name)) => (Trust::May, name),
        Err(_) => (Trust::May, server_name(candidate)),
    }
}

fn by_dane(candidate: &Candidate, dane: Dane, otherwise: Trust) -> Secured {
    match dane {
        Dane::Absent => Ok((otherwise, server_name(candidate))),
        Dane::Demands(trust, base) => Ok((trust, base)),
        Dane::Unknown(reason) => {
            let text = format!("DNS does not answer about the TLSA records of {}", candidate.name);
            Err(Failure::temporary((4, 3), text, reason))
        }
    }
}

fn server_name(candidate: &Candidate) -> String {
    if candidate.name.starts_with('[') { String::new() } else { candidate.name.clone() }
}

/// RFC 3463 §3.8: 4.7.5 is "cryptographic failure".
fn untrusted(domain: &str, cause: &str) -> Failure {
    Failure::temporary((7, 5), format!("No host of {domain} can be trusted with this message"), cause)
}
