//! Names of clients: what DNS calls the address that a connection comes from, and whether that name leads back to it.
//!
//! Called by `serve::smtp` before the greeting, and by `emsend -bt --explain`. The name goes to the check_ rule sets (`${client_name}`,
//! `${client_resolve}`, `${client_ptr}`, `$_`), to etc/access and into the Received field.
//! Nobody waits for the name of this machine or of a private network: the hosts file alone knows those. All others wait at most
//! `smtp.client_names_time`, and no more than [`ASKED_AT_ONCE`] at a time, so that dead name servers take no thread from those who
//! have their answer; whoever comes beside them has no name for now.
//! Trust: the owner of an address names it as he likes. Only a name that leads back to the address counts.

use crate::addr::normal_domain;
use crate::nexthop::Resolver;
use crate::nexthop::resolver::{Data, DnsError, Found, Kind, Question};
use crate::settings::Settings;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Most look-ups at a time.
const ASKED_AT_ONCE: usize = 16;
/// Most names of one address that are tried.
const NAMES: usize = 4;

/// What is known of a client's name.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ClientName {
    /// How far it is to be believed.
    pub standing: Standing,
    /// The name that the address is given; empty when there is none.
    pub ptr: String,
}

/// How far a client's name is to be believed; the words are sendmail's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Standing {
    /// The name leads back to the address.
    Ok,
    /// The address has no name, or nobody asked.
    #[default]
    Fail,
    /// It has one that leads elsewhere.
    Forged,
    /// Nobody knows at this time.
    Temporary,
}

impl Standing {
    /// `${client_resolve}`.
    pub fn word(self) -> &'static str {
        match self {
            Standing::Ok => "OK",
            Standing::Fail => "FAIL",
            Standing::Forged => "FORGED",
            Standing::Temporary => "TEMP",
        }
    }
}

impl ClientName {
    fn of(standing: Standing, ptr: &str) -> ClientName {
        ClientName { standing, ptr: ptr.to_string() }
    }

    /// The name, where it is to be believed.
    pub fn believed(&self) -> Option<&str> {
        (self.standing == Standing::Ok).then_some(&self.ptr)
    }
}

/// Finds names of clients; shared by all connections.
pub struct ClientNames {
    resolver: Arc<dyn Resolver>,
    is_on: bool,
    time: Duration,
    asking: AtomicUsize,
}

impl std::fmt::Debug for ClientNames {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.debug_struct("ClientNames").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

impl ClientNames {
    /// Look-ups as the settings want them.
    pub fn new(settings: &Settings, resolver: Arc<dyn Resolver>) -> ClientNames {
        let is_on = settings.smtp.client_names && settings.cf.as_ref().is_none_or(|cf| !cf.hosts_by_files);
        ClientNames { resolver, is_on, time: settings.smtp.client_names_time, asking: AtomicUsize::new(0) }
    }

    /// True when the name of this address takes a look-up in DNS.
    pub fn may_wait(&self, ip: IpAddr) -> bool {
        self.is_on
            && is_public(ip)
            && self.resolver.has_servers()
            && self.resolver.fixed_name_of(ip.to_canonical()).is_none()
    }

    /// The name of an address.
    pub fn find(&self, ip: IpAddr) -> ClientName {
        let ip = ip.to_canonical();
        if let Some(name) = self.resolver.fixed_name_of(ip) {
            return ClientName::of(Standing::Ok, &name);
        }
        if !self.may_wait(ip) {
            return ClientName::default();
        }
        let others = self.asking.fetch_add(1, Ordering::Relaxed);
        let name = match others < ASKED_AT_ONCE {
            true => self.asked(ip),
            false => ClientName::of(Standing::Temporary, ""),
        };
        self.asking.fetch_sub(1, Ordering::Relaxed);
        name
    }

    fn asked(&self, ip: IpAddr) -> ClientName {
        let until = Instant::now() + self.time;
        let names = match self.ask(&[Question::reverse(ip)], until).pop() {
            Some(Ok(answer)) => answer.data,
            Some(Err(DnsError::Trouble(_))) | None => return ClientName::of(Standing::Temporary, ""),
            Some(Err(_)) => return ClientName::default(),
        };
        let names: Vec<String> = names
            .iter()
            .filter_map(|data| match data {
                Data::Name(name) => normal_domain(name).ok().filter(|name| !name.starts_with('[')),
                _ => None,
            })
            .take(NAMES)
            .collect();
        let Some(first) = names.first() else { return ClientName::default() };
        let kind = if ip.is_ipv4() { Kind::A } else { Kind::Aaaa };
        let questions: Vec<Question> = names.iter().map(|name| Question::new(name, kind)).collect();
        let found = self.ask(&questions, until);
        let leads_back = |found: &Found| found.as_ref().is_ok_and(|a| a.data.contains(&Data::Address(ip)));
        if let Some((name, _)) = names.iter().zip(&found).find(|(_, found)| leads_back(found)) {
            return ClientName::of(Standing::Ok, name);
        }
        let is_unsure = found.iter().any(|found| found.as_ref().is_err_and(DnsError::is_temporary));
        ClientName::of(if is_unsure { Standing::Temporary } else { Standing::Forged }, first)
    }

    fn ask(&self, questions: &[Question], until: Instant) -> Vec<Found> {
        self.resolver.ask(questions, until.saturating_duration_since(Instant::now()))
    }
}

/// Networks that have no names in the DNS of all: this host, private, shared, and those that stand in documents (RFC 6890).
const RESERVED_V4: [(Ipv4Addr, u32); 12] = [
    (Ipv4Addr::new(0, 0, 0, 0), 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 3),
];
/// The one network of IPv6 addresses that are given to anybody (RFC 4291 §2.4), and what of it stands in documents.
const GLOBAL_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);
const DOCUMENTS_V6: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32);

fn is_public(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let is_in = |(net, bits): &(Ipv4Addr, u32)| (ip.to_bits() ^ net.to_bits()).leading_zeros() >= *bits;
            !RESERVED_V4.iter().any(is_in)
        }
        IpAddr::V6(ip) => {
            let is_in = |(net, bits): (Ipv6Addr, u32)| (ip.to_bits() ^ net.to_bits()).leading_zeros() >= bits;
            is_in(GLOBAL_V6) && !is_in(DOCUMENTS_V6)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexthop::resolver::Answer;

    /// A few addresses and names; questions are counted.
    #[derive(Default)]
    struct Zone(AtomicUsize);

    impl Resolver for Zone {
        fn ask(&self, questions: &[Question], _: Duration) -> Vec<Found> {
            self.0.fetch_add(questions.len(), Ordering::Relaxed);
            let ttl = Duration::from_secs(1);
            let say = |q: &Question| {
                let data = match (q.name.as_str(), q.kind) {
                    ("1.0.0.11.in-addr.arpa", Kind::Ptr) => vec![Data::Name("good.test".to_string())],
                    ("2.0.0.11.in-addr.arpa", Kind::Ptr) => vec![Data::Name("liar.test".to_string())],
                    ("3.0.0.11.in-addr.arpa", Kind::Ptr) => {
                        vec![Data::Name("liar.test".to_string()), Data::Name("third.test".to_string())]
                    }
                    ("4.0.0.11.in-addr.arpa", Kind::Ptr) => vec![Data::Name("a b(c)\r\nx".to_string())],
                    ("5.0.0.11.in-addr.arpa", Kind::Ptr) => vec![Data::Name("slow.test".to_string())],
                    ("6.0.0.11.in-addr.arpa", Kind::Ptr) => return Err(DnsError::NoName { ttl }),
                    ("good.test", Kind::A) => {
                        vec![Data::Address([11, 0, 0, 9].into()), Data::Address([11, 0, 0, 1].into())]
                    }
                    ("third.test", Kind::A) => vec![Data::Address([11, 0, 0, 3].into())],
                    ("liar.test", Kind::A) => vec![Data::Address([192, 0, 2, 99].into())],
                    _ => return Err(DnsError::Trouble("silence".to_string())),
                };
                Ok(Answer { name: q.name.clone(), data, secure: false, ttl })
            };
            questions.iter().map(say).collect()
        }

        fn fixed_name_of(&self, ip: IpAddr) -> Option<String> {
            (ip == IpAddr::from([10, 0, 0, 1])).then(|| "inside.test".to_string())
        }
    }

    #[test]
    fn a_name_counts_that_leads_back() {
        let names = ClientNames::new(&Settings::default(), Arc::new(Zone::default()));
        for (ip, standing, ptr) in [
            ("11.0.0.1", Standing::Ok, "good.test"),
            ("::ffff:11.0.0.1", Standing::Ok, "good.test"),
            ("11.0.0.2", Standing::Forged, "liar.test"),
            ("11.0.0.3", Standing::Ok, "third.test"),
            ("11.0.0.4", Standing::Fail, ""),
            ("11.0.0.5", Standing::Temporary, "slow.test"),
            ("11.0.0.6", Standing::Fail, ""),
            ("11.0.0.7", Standing::Temporary, ""),
            ("10.0.0.1", Standing::Ok, "inside.test"),
        ] {
            assert_eq!(names.find(ip.parse().unwrap()), ClientName::of(standing, ptr), "{ip}");
        }
    }

    #[test]
    fn nobody_is_asked_about_addresses_that_have_no_names() {
        let zone = Arc::new(Zone::default());
        let names = ClientNames::new(&Settings::default(), zone.clone());
        for ip in [
            "127.0.0.1",
            "::1",
            "10.0.0.2",
            "172.31.0.1",
            "192.168.1.1",
            "fe80::1",
            "fd00::1",
            "192.0.2.1",
            "2001:db8::1",
        ] {
            let ip = ip.parse().unwrap();
            assert!(!names.may_wait(ip), "{ip}");
            assert_eq!(names.find(ip), ClientName::default());
        }
        let mut settings = Settings::default();
        settings.smtp.client_names = false;
        let off = ClientNames::new(&settings, zone.clone());
        assert_eq!(off.find([11, 0, 0, 1].into()), ClientName::default());
        let none = ClientNames::new(&Settings::default(), Arc::new(crate::nexthop::NoDns));
        assert!(!none.may_wait([11, 0, 0, 1].into()));
        assert_eq!(zone.0.load(Ordering::Relaxed), 0);
        assert!(names.may_wait([172, 32, 0, 1].into()) && names.may_wait("2a00::1".parse().unwrap()));
    }

    #[test]
    fn look_ups_leave_threads_for_others() {
        let names = ClientNames::new(&Settings::default(), Arc::new(Zone::default()));
        names.asking.store(ASKED_AT_ONCE, Ordering::Relaxed);
        assert_eq!(names.find([11, 0, 0, 1].into()).standing, Standing::Temporary);
        names.asking.store(0, Ordering::Relaxed);
        assert_eq!(names.find([11, 0, 0, 1].into()).standing, Standing::Ok);
    }
}
