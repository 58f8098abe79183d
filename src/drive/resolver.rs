//! DNS by hickory: one thread runs its sockets, whoever asks waits for it.
//!
//! Called by `nexthop` through [`Resolver`]. The thread, and the runtime on it, start at the first question that a file can't answer:
//! commands that never ask never pay.
//! Trust: answers are hostile. Their size, the CNAME records on the way and the time are bounded by the settings; whether they are
//! secured by DNSSEC is the servers' word or our own check, as `dns.dnssec` says.
//! RFC 1034 §3.6.2 (CNAME), RFC 2308 §5, RFC 4035 §3.2.3, RFC 6761 §6.3 (localhost).

use super::hosts_file::HostsFile;
use crate::config::Site;
use crate::nexthop::Resolver;
use crate::nexthop::resolver::{Answer, Data, DnsError, Found, Kind, Question, Tlsa};
use crate::settings::{self, Dnssec};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverOpts};
use hickory_resolver::net::dnssec::DnssecDnsHandle;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::xfer::{DnsHandle, FirstAnswer, RetryDnsHandle};
use hickory_resolver::net::{DnsError as Refusal, NetError};
use hickory_resolver::proto::dnssec::{Proof, TrustAnchors};
use hickory_resolver::proto::op::{DnsRequestOptions, DnsResponse, Query, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, RecordType};
use hickory_resolver::proto::serialize::binary::BinEncodable;
use hickory_resolver::{NameServerPool, PoolContext, TlsConfig};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

/// How long a "no" without a SOA record is kept (RFC 2308 §5: not at all; a moment spares repeated questions).
const NO_WITHOUT_TTL: Duration = Duration::from_secs(5);
/// How long the addresses of a file are kept: its next reading may know others.
const FILE_TTL: Duration = Duration::ZERO;
/// Beside the patience of a question, for a thread that is busy.
const GRACE: Duration = Duration::from_millis(500);

/// What is said of answers that DNSSEC does not let pass.
const FORGED: &str = "the answer is forged, or its signatures are broken";

/// Answers by the name servers of the settings.
pub struct Dns {
    settings: settings::Dns,
    hosts: HostsFile,
    running: OnceLock<Result<Running, String>>,
    has_dnssec: OnceLock<bool>,
    has_servers: OnceLock<bool>,
}

struct Running {
    runtime: tokio::runtime::Handle,
    client: Client,
    limits: Limits,
}

type Plain = RetryDnsHandle<NameServerPool<TokioRuntimeProvider>>;

#[derive(Clone)]
enum Client {
    Plain(Plain),
    Validating(DnssecDnsHandle<Plain>),
}

#[derive(Debug, Clone, Copy)]
struct Limits {
    steps: usize,
    octets: usize,
    secured: Secured,
}

/// Whose word on security counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Secured {
    Nobodys,
    Servers,
    Own,
}

impl Dns {
    /// As the settings say; nothing is started yet.
    pub fn of(site: &Site) -> Dns {
        Dns::with(site.settings.dns.clone())
    }

    /// The same by these settings.
    pub fn with(settings: settings::Dns) -> Dns {
        let hosts = HostsFile::new(Path::new(&settings.hosts));
        Dns { settings, hosts, running: OnceLock::new(), has_dnssec: OnceLock::new(), has_servers: OnceLock::new() }
    }

    fn running(&self) -> Result<&Running, DnsError> {
        self.running.get_or_init(|| self.start()).as_ref().map_err(|e| DnsError::Trouble(e.clone()))
    }

    fn start(&self) -> Result<Running, String> {
        let servers = servers(&self.settings)?;
        let limits = Limits {
            steps: self.settings.cname_steps as usize,
            octets: usize::try_from(self.settings.answer_size.0).unwrap_or(usize::MAX),
            secured: secured(self.settings.dnssec, &servers),
        };
        let anchors = match (limits.secured, self.settings.trust_anchor.as_str()) {
            (Secured::Own, "") => Some(TrustAnchors::default()),
            (Secured::Own, path) => {
                Some(TrustAnchors::from_file(Path::new(path)).map_err(|e| format!("dns.trust_anchor: {path}: {e}"))?)
            }
            _ => None,
        };
        let mut options = ResolverOpts::default();
        options.timeout = self.settings.timeout.max(Duration::from_millis(10));
        options.attempts = self.settings.attempts as usize;
        options.validate = limits.secured == Secured::Own;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        let handle = runtime.handle().clone();
        // The connections of the pool belong to the runtime that drives them.
        let client = {
            let _inside = runtime.enter();
            let tls = TlsConfig::new().map_err(|e| e.to_string())?;
            let context = Arc::new(PoolContext::new(options.clone(), tls));
            let configs: Vec<NameServerConfig> = servers.into_iter().map(server).collect();
            let pool = NameServerPool::from_config(configs, context, TokioRuntimeProvider::default());
            let plain = RetryDnsHandle::new(pool, options.attempts);
            match anchors {
                Some(anchors) => Client::Validating(DnssecDnsHandle::with_trust_anchor(plain, Arc::new(anchors))),
                None => Client::Plain(plain),
            }
        };
        let drive = move || runtime.block_on(std::future::pending::<()>());
        std::thread::Builder::new().name("dns".to_string()).spawn(drive).map_err(|e| format!("thread: {e}"))?;
        Ok(Running { runtime: handle, client, limits })
    }

    /// Asks the servers what has no answer yet.
    fn fill(&self, questions: &[Question], patience: Duration, mut found: Vec<Option<Found>>) -> Vec<Found> {
        if found.iter().any(Option::is_none) {
            let running = match self.running() {
                Ok(running) => running,
                Err(error) => return found.into_iter().map(|f| f.unwrap_or_else(|| Err(error.clone()))).collect(),
            };
            let (sender, receiver) = mpsc::channel();
            for (index, question) in questions.iter().enumerate().filter(|(index, _)| found[*index].is_none()) {
                let (sender, question) = (sender.clone(), question.clone());
                let (client, limits) = (running.client.clone(), running.limits);
                running.runtime.spawn(async move {
                    let answer = tokio::time::timeout(patience, resolve(&client, &question, limits)).await;
                    let silence = |_| Err(DnsError::Trouble("no answer in time".to_string()));
                    let _ = sender.send((index, answer.unwrap_or_else(silence)));
                });
            }
            drop(sender);
            let until = Instant::now() + patience + GRACE;
            while found.iter().any(Option::is_none) {
                let left = until.saturating_duration_since(Instant::now());
                match receiver.recv_timeout(left) {
                    Ok((index, answer)) => found[index] = Some(answer),
                    Err(_) => break,
                }
            }
        }
        let silence = || Err(DnsError::Trouble("no answer in time".to_string()));
        found.into_iter().map(|f| f.unwrap_or_else(silence)).collect()
    }

    /// What needs no name server.
    fn here(&self, question: &Question) -> Option<Found> {
        let fixed = self.hosts.find(&question.name);
        let is_local = question.name == "localhost" || question.name.ends_with(".localhost");
        let addresses = match (fixed, is_local) {
            (Some(addresses), _) => addresses,
            (None, true) => vec![[127, 0, 0, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()],
            (None, false) => return None,
        };
        let wants_v4 = match question.kind {
            Kind::A => true,
            Kind::Aaaa => false,
            _ if is_local => return Some(Err(DnsError::NoData { ttl: FILE_TTL })),
            _ => return None,
        };
        let data: Vec<Data> = addresses.into_iter().filter(|ip| ip.is_ipv4() == wants_v4).map(Data::Address).collect();
        if data.is_empty() {
            return Some(Err(DnsError::NoData { ttl: FILE_TTL }));
        }
        Some(Ok(Answer { name: question.name.clone(), data, secure: false, ttl: FILE_TTL }))
    }
}

impl Resolver for Dns {
    fn ask(&self, questions: &[Question], patience: Duration) -> Vec<Found> {
        let here = questions.iter().map(|question| self.here(question)).collect();
        self.fill(questions, patience, here)
    }

    fn ask_servers(&self, questions: &[Question], patience: Duration) -> Vec<Found> {
        self.fill(questions, patience, vec![None; questions.len()])
    }

    fn is_fixed(&self, name: &str) -> bool {
        self.hosts.find(name).is_some()
    }

    fn fixed_name(&self, name: &str) -> Option<String> {
        self.hosts.full_name(name)
    }

    fn fixed_name_of(&self, ip: IpAddr) -> Option<String> {
        self.hosts.name_of(ip)
    }

    fn has_servers(&self) -> bool {
        *self.has_servers.get_or_init(|| servers(&self.settings).is_ok())
    }

    fn has_dnssec(&self) -> bool {
        match self.settings.dnssec {
            Dnssec::Off => false,
            Dnssec::TrustAd | Dnssec::Validate => true,
            Dnssec::Auto => {
                *self.has_dnssec.get_or_init(|| servers(&self.settings).is_ok_and(|servers| is_own(&servers)))
            }
        }
    }
}

/// The servers of the settings, or those of /etc/resolv.conf.
fn servers(settings: &settings::Dns) -> Result<Vec<SocketAddr>, String> {
    if !settings.servers.is_empty() {
        return Ok(settings.servers.clone());
    }
    let (config, _) =
        hickory_resolver::system_conf::read_system_conf().map_err(|e| format!("/etc/resolv.conf: {e}"))?;
    let mut servers: Vec<SocketAddr> = config.name_servers().iter().map(|s| SocketAddr::new(s.ip, 53)).collect();
    servers.dedup();
    if servers.is_empty() { Err("no name server in /etc/resolv.conf".to_string()) } else { Ok(servers) }
}

fn server(address: SocketAddr) -> NameServerConfig {
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()].map(|mut connection| {
        connection.port = address.port();
        connection
    });
    NameServerConfig::new(address.ip(), true, connections.into())
}

fn is_own(servers: &[SocketAddr]) -> bool {
    servers.iter().all(|server| server.ip().is_loopback())
}

fn secured(setting: Dnssec, servers: &[SocketAddr]) -> Secured {
    match setting {
        Dnssec::Off => Secured::Nobodys,
        Dnssec::Validate => Secured::Own,
        Dnssec::TrustAd => Secured::Servers,
        // The way to another machine is nobody's word.
        Dnssec::Auto if is_own(servers) => Secured::Servers,
        Dnssec::Auto => Secured::Nobodys,
    }
}

async fn send(client: &Client, name: &Name, kind: RecordType, secured: Secured) -> Result<DnsResponse, NetError> {
    let mut options = DnsRequestOptions::default();
    // RFC 6840 §5.8: a server shows its AD bit to whoever says DO.
    options.edns_set_dnssec_ok = secured != Secured::Nobodys;
    let query = Query::query(name.clone(), kind);
    match client {
        Client::Plain(client) => client.lookup(query, options).first_answer().await,
        Client::Validating(client) => client.lookup(query, options).first_answer().await,
    }
}

async fn resolve(client: &Client, question: &Question, limits: Limits) -> Found {
    let trouble = |text: String| Err(DnsError::Trouble(text));
    let kind = match question.kind {
        Kind::Mx => RecordType::MX,
        Kind::A => RecordType::A,
        Kind::Aaaa => RecordType::AAAA,
        Kind::Tlsa => RecordType::TLSA,
        Kind::Txt => RecordType::TXT,
        Kind::Cname => RecordType::CNAME,
        Kind::Ns => RecordType::NS,
        Kind::Ptr => RecordType::PTR,
        Kind::Srv => RecordType::SRV,
    };
    let Ok(mut name) = Name::from_ascii(format!("{}.", question.name)) else {
        // What is no name has no records.
        return Err(DnsError::NoName { ttl: NO_WITHOUT_TTL });
    };
    let (mut secure, mut ttl, mut steps, mut octets) = (true, u32::MAX, 0, 0);
    loop {
        let response = match send(client, &name, kind, limits.secured).await {
            Ok(response) => response,
            Err(error) => return refusal(error),
        };
        octets += response.to_bytes().map_or(usize::MAX / 2, |bytes| bytes.len());
        if octets > limits.octets {
            return trouble(format!("an answer of more than {} octets", limits.octets));
        }
        // The validator marks what is forged and hands it on.
        if limits.secured == Secured::Own && response.answers.iter().any(|record| record.proof == Proof::Bogus) {
            return trouble(FORGED.to_string());
        }
        let is_secure = |proof: Proof| match limits.secured {
            Secured::Nobodys => false,
            Secured::Servers => response.metadata.authentic_data,
            Secured::Own => proof == Proof::Secure,
        };
        let asked = name.clone();
        // The records of a chain stand in any order.
        while let Some((target, record)) = response.answers.iter().find_map(|record| match &record.data {
            RData::CNAME(target) if record.name == name && kind != RecordType::CNAME => Some((target, record)),
            _ => None,
        }) {
            steps += 1;
            if steps > limits.steps {
                return trouble(format!("more than {} CNAME records", limits.steps));
            }
            secure &= is_secure(record.proof);
            ttl = ttl.min(record.ttl);
            name = target.0.clone();
        }
        let mut data = Vec::new();
        for record in response.answers.iter().filter(|record| record.name == name) {
            if let Some(found) = datum(&record.data, kind) {
                secure &= is_secure(record.proof);
                ttl = ttl.min(record.ttl);
                data.push(found);
            }
        }
        if !data.is_empty() {
            let name = plain(&name);
            return Ok(Answer { name, data, secure, ttl: Duration::from_secs(ttl.into()) });
        }
        if name == asked {
            return no(response.metadata.response_code, response.negative_ttl());
        }
    }
}

/// A name in our form.
fn plain(name: &Name) -> String {
    name.to_ascii().trim_end_matches('.').to_ascii_lowercase()
}

fn datum(data: &RData, kind: RecordType) -> Option<Data> {
    match data {
        RData::MX(mx) if kind == RecordType::MX => Some(Data::Mx(mx.preference, plain(&mx.exchange))),
        RData::A(ip) if kind == RecordType::A => Some(Data::Address(ip.0.into())),
        RData::AAAA(ip) if kind == RecordType::AAAA => Some(Data::Address(ip.0.into())),
        RData::TXT(txt) if kind == RecordType::TXT => Some(Data::Txt(txt.txt_data.concat())),
        RData::CNAME(target) if kind == RecordType::CNAME => Some(Data::Name(plain(&target.0))),
        RData::NS(server) if kind == RecordType::NS => Some(Data::Name(plain(&server.0))),
        RData::PTR(name) if kind == RecordType::PTR => Some(Data::Name(plain(&name.0))),
        RData::SRV(service) if kind == RecordType::SRV => Some(Data::Name(plain(&service.target))),
        RData::TLSA(tlsa) if kind == RecordType::TLSA => Some(Data::Tlsa(Tlsa {
            usage: tlsa.cert_usage.into(),
            selector: tlsa.selector.into(),
            matching: tlsa.matching.into(),
            data: tlsa.cert_data.clone(),
        })),
        _ => None,
    }
}

/// An answer without records.
fn no(code: ResponseCode, ttl: Option<u32>) -> Found {
    let ttl = ttl.map_or(NO_WITHOUT_TTL, |seconds| Duration::from_secs(seconds.into()));
    match code {
        ResponseCode::NXDomain => Err(DnsError::NoName { ttl }),
        _ => Err(DnsError::NoData { ttl }),
    }
}

fn refusal(error: NetError) -> Found {
    match error {
        NetError::Dns(Refusal::NoRecordsFound(none)) => no(none.response_code, none.negative_ttl),
        NetError::Dns(Refusal::Nsec { response, proof, .. }) if proof != Proof::Bogus => {
            no(response.metadata.response_code, response.negative_ttl())
        }
        NetError::Dns(Refusal::ResponseCode(code)) => Err(DnsError::Trouble(format!("the server says {code}"))),
        NetError::Dns(Refusal::Nsec { .. } | Refusal::DnssecBogus) => Err(DnsError::Trouble(FORGED.to_string())),
        other => Err(DnsError::Trouble(other.to_string())),
    }
}
