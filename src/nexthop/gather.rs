//! Collects the hops behind the hosts of a route.

use super::host::{Host, HostText, Target};
use super::mx::{self, Exchangers};
use super::resolver::{Answer, Data, DnsError, Found, Kind, Question};
use super::{ADDRESSES, Hop, Login, NextHops, Security};
use crate::clock::Timestamp;
use crate::envelope::TlsWish;
use crate::settings::Families;
use crate::status::Failure;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The work for one plan.
pub(super) struct Gather<'a> {
    pub(super) from: &'a NextHops,
    until: Instant,
    pub(super) now: Timestamp,
    /// What the sender wants of TLS (RFC 8689).
    pub(super) wish: TlsWish,
}

/// A host on its way to a hop.
#[derive(Debug)]
pub(super) struct Candidate {
    preference: u16,
    /// Its name, or its address in brackets.
    pub(super) name: String,
    /// Where the name's CNAME records lead.
    pub(super) canonical: String,
    pub(super) port: u16,
    pub(super) addresses: Vec<SocketAddr>,
    /// DNSSEC vouches for the records that led here: MX where there are any, and addresses.
    pub(super) secure: bool,
    /// Whose host it is: what policies are looked up by.
    pub(super) domain: String,
    /// It was found as the host of a domain, not named by the administrator.
    pub(super) is_by_domain: bool,
}

/// The addresses of a host.
struct Reached {
    canonical: String,
    addresses: Vec<SocketAddr>,
    secure: bool,
}

impl<'a> Gather<'a> {
    pub(super) fn new(from: &'a NextHops, now: Timestamp, wish: TlsWish) -> Gather<'a> {
        Gather { from, until: Instant::now() + from.site.settings.dns.time, now, wish }
    }

    /// The hops of a route's hosts, at most so many.
    pub(super) fn hosts(&self, text: &HostText, most: usize, login: Option<Arc<Login>>) -> Result<Vec<Hop>, Failure> {
        let mut hops: Vec<Hop> = Vec::new();
        let (mut temporary, mut permanent) = (None, None);
        for host in &text.hosts {
            let found = match &host.target {
                Target::Socket(path) => Ok(vec![local(path)]),
                _ => self.host(host, most).and_then(|found| self.secured(found, text.implicit_tls)),
            };
            match found {
                Ok(found) => hops.extend(found),
                Err(failure) if failure.is_temporary() => temporary = temporary.or(Some(failure)),
                Err(failure) => permanent = permanent.or(Some(failure)),
            }
            if hops.len() >= most {
                break;
            }
        }
        hops.truncate(most);
        if hops.is_empty() {
            // Not sure is temporary.
            let nothing = || Failure::temporary((4, 4), "No host to send to", "an empty route");
            return Err(temporary.or(permanent).unwrap_or_else(nothing));
        }
        let share = (ADDRESSES / hops.len()).max(1);
        for hop in &mut hops {
            hop.addresses.truncate(share);
            hop.login = login.clone();
        }
        Ok(hops)
    }

    fn host(&self, host: &Host, most: usize) -> Result<Vec<Candidate>, Failure> {
        match &host.target {
            Target::Literal(ip) => {
                let address = SocketAddr::new(*ip, host.port);
                if self.from.own.is_address(address) {
                    return Err(loops(&address.to_string()));
                }
                let name = match ip {
                    IpAddr::V4(ip) => format!("[{ip}]"),
                    IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
                };
                let (canonical, domain) = (name.clone(), name.clone());
                Ok(vec![Candidate {
                    preference: 0,
                    name,
                    canonical,
                    port: host.port,
                    addresses: vec![address],
                    secure: false,
                    domain,
                    is_by_domain: false,
                }])
            }
            Target::Name(name) => self.named(name, host.port, false),
            Target::Domain(name) => self.domain(name, host.port, most),
            // It has no address, and [`Gather::hosts`] does not ask.
            Target::Socket(_) => Ok(Vec::new()),
        }
    }

    /// A host that needs no MX records, or a domain that has none.
    fn named(&self, name: &str, port: u16, is_by_domain: bool) -> Result<Vec<Candidate>, Failure> {
        let found = self.addresses(&[name.to_string()], port).pop();
        let Reached { canonical, addresses, secure } =
            found.unwrap_or_else(|| Err(silence())).map_err(|e| no_address(name, &e))?;
        if addresses.iter().any(|address| self.from.own.is_address(*address)) {
            return Err(loops(name));
        }
        let (name, domain) = (name.to_string(), name.to_string());
        Ok(vec![Candidate { preference: 0, name, canonical, port, addresses, secure, domain, is_by_domain }])
    }

    /// RFC 5321 §5.1.
    fn domain(&self, name: &str, port: u16, most: usize) -> Result<Vec<Candidate>, Failure> {
        let settings = &self.from.site.settings.dns;
        let question = self.absolute(name, Kind::Mx);
        let found = self.ask(&[question]).pop().unwrap_or_else(|| Err(silence()));
        let answer = match found {
            Ok(answer) => answer,
            // The address of the domain is its implicit MX; a file of the administrator's needs no DNS.
            Err(DnsError::NoData { .. }) => return self.named(name, port, true),
            Err(_) if self.from.resolver.is_fixed(name) => return self.named(name, port, true),
            Err(DnsError::NoName { .. }) => {
                return Err(Failure::permanent((1, 2), format!("No such domain: {name}"), "NXDOMAIN for MX"));
            }
            Err(DnsError::Trouble(reason)) => return Err(trouble(name, Kind::Mx, &reason)),
        };
        let is_ours = |host: &str| self.from.own.is_name(host);
        match mx::order(&answer, settings.mx as usize, &mut |n| (self.from.draw)(n), &is_ours) {
            Exchangers::Hosts(hosts) => self.exchangers(name, &hosts, answer.secure, port, most),
            // RFC 7505 §4.1.
            Exchangers::Null => {
                Err(Failure::permanent((1, 10), format!("{name} takes no mail"), "null MX").with_code(556))
            }
            Exchangers::Ourselves => Err(loops(name)),
            Exchangers::Nonsense => {
                Err(Failure::permanent((4, 4), format!("{name} has no usable MX"), "no host name in the MX records"))
            }
        }
    }

    /// The first hosts that have addresses. Where one of them is at our own address it is as if it had our name.
    fn exchangers(
        &self,
        domain: &str,
        hosts: &[(u16, String)],
        is_secure: bool,
        port: u16,
        most: usize,
    ) -> Result<Vec<Candidate>, Failure> {
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut last: Option<(String, DnsError)> = None;
        for some in hosts.chunks(most.max(1)) {
            let names: Vec<String> = some.iter().map(|(_, host)| host.clone()).collect();
            for ((preference, name), found) in some.iter().zip(self.addresses(&names, port)) {
                match found {
                    Ok(reached) if reached.addresses.iter().any(|address| self.from.own.is_address(*address)) => {
                        candidates.retain(|candidate| candidate.preference < *preference);
                        return if candidates.is_empty() { Err(loops(domain)) } else { Ok(candidates) };
                    }
                    Ok(Reached { canonical, addresses, secure }) => candidates.push(Candidate {
                        preference: *preference,
                        name: name.clone(),
                        canonical,
                        port,
                        addresses,
                        secure: secure && is_secure,
                        domain: domain.to_string(),
                        is_by_domain: true,
                    }),
                    Err(error) if last.as_ref().is_none_or(|(_, last)| !last.is_temporary()) => {
                        last = Some((name.clone(), error));
                    }
                    Err(_) => {}
                }
            }
            if candidates.len() >= most {
                candidates.truncate(most);
                break;
            }
        }
        match (candidates.is_empty(), last) {
            (true, Some((_, DnsError::NoName { .. } | DnsError::NoData { .. }))) => {
                Err(Failure::permanent((4, 4), format!("No host of {domain} has an address"), "MX without addresses"))
            }
            (true, Some((host, error))) => Err(no_address(&host, &error)),
            _ => Ok(candidates),
        }
    }

    /// The addresses of hosts, asked for at once; in each list IPv4 and IPv6 take turns.
    fn addresses(&self, names: &[String], port: u16) -> Vec<Result<Reached, DnsError>> {
        let kinds: &[Kind] = match self.from.site.settings.relay.address_families {
            Families::PreferV4 => &[Kind::A, Kind::Aaaa],
            Families::PreferV6 => &[Kind::Aaaa, Kind::A],
            Families::V4 => &[Kind::A],
            Families::V6 => &[Kind::Aaaa],
        };
        let questions: Vec<Question> =
            names.iter().flat_map(|name| kinds.iter().map(|kind| self.absolute(name, *kind))).collect();
        let mut found = self.ask(&questions).into_iter();
        names
            .iter()
            .map(|_| {
                let of_each: Vec<Found> = found.by_ref().take(kinds.len()).collect();
                let lists: Vec<Vec<IpAddr>> = of_each.iter().flatten().map(|answer| self.ips(answer)).collect();
                let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
                let turns = (0..longest).flat_map(|turn| lists.iter().filter_map(move |list| list.get(turn)));
                let addresses: Vec<SocketAddr> = turns.map(|ip| SocketAddr::new(*ip, port)).collect();
                if let (false, Some(first)) = (addresses.is_empty(), of_each.iter().flatten().next()) {
                    let secure = of_each.iter().flatten().all(|answer| answer.secure);
                    return Ok(Reached { canonical: first.name.clone(), addresses, secure });
                }
                // A family that could not be asked for may be the one that has an address.
                let mut errors: Vec<DnsError> = of_each.into_iter().filter_map(Result::err).collect();
                errors.sort_by_key(|error| !error.is_temporary());
                Err(errors.into_iter().next().unwrap_or(DnsError::NoData { ttl: Duration::ZERO }))
            })
            .collect()
    }

    fn ips(&self, answer: &Answer) -> Vec<IpAddr> {
        let mut ips: Vec<IpAddr> = answer
            .data
            .iter()
            .filter_map(|data| match data {
                Data::Address(ip) => Some(*ip),
                _ => None,
            })
            .collect();
        mx::shuffle(&mut ips, &mut |n| (self.from.draw)(n));
        ips.truncate(self.from.site.settings.dns.addresses.max(1) as usize);
        ips
    }

    /// A name without a dot gets the search domain, unless a file knows it as it is.
    fn absolute(&self, name: &str, kind: Kind) -> Question {
        let search = self.from.site.settings.dns.search.trim_matches('.');
        match name.contains('.') || search.is_empty() || self.from.resolver.is_fixed(name) {
            true => Question::new(name, kind),
            false => Question::new(&format!("{name}.{search}"), kind),
        }
    }

    pub(super) fn ask(&self, questions: &[Question]) -> Vec<Found> {
        let left = self.until.saturating_duration_since(Instant::now());
        self.from.resolver.ask(questions, left)
    }
}

/// A server on this machine: who may write to its path is for the file system to say, and nobody listens in between.
fn local(path: &Path) -> Hop {
    Hop {
        name: path.display().to_string(),
        addresses: Vec::new(),
        socket: Some(path.to_path_buf()),
        security: Security::clear(),
        login: None,
        policy: None,
    }
}

pub(super) fn silence() -> DnsError {
    DnsError::Trouble("no answer".to_string())
}

/// RFC 3463 §3.5: 4.4.3 is "directory server failure".
fn trouble(name: &str, kind: Kind, reason: &str) -> Failure {
    Failure::temporary((4, 3), format!("DNS does not answer about {name}"), format!("{}: {reason}", kind.name()))
}

fn no_address(name: &str, error: &DnsError) -> Failure {
    match error {
        DnsError::NoName { .. } => Failure::permanent((1, 2), format!("No such host: {name}"), "NXDOMAIN"),
        DnsError::NoData { .. } => Failure::permanent((4, 4), format!("{name} has no address"), "no A, no AAAA"),
        DnsError::Trouble(reason) => trouble(name, Kind::A, reason),
    }
}

/// RFC 3463 §3.5: 5.4.6 is "routing loop detected".
fn loops(name: &str) -> Failure {
    Failure::permanent(
        (4, 6),
        format!("Mail for {name} loops back to me"),
        "our own host is its best MX, and the domain is not among server.domains",
    )
}
