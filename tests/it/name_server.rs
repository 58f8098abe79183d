//! A name server that says what the test wants, by UDP and TCP on one loopback port.

use super::world::World;
use hickory_resolver::proto::op::{Message, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::tlsa::{CertUsage, Matching, Selector};
use hickory_resolver::proto::rr::rdata::{A, CNAME, MX, SOA, TLSA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// A world whose names come from this server alone.
pub fn world_with(server: &NameServer) -> World {
    let world = World::new();
    world.set("dns.servers", &server.address.to_string());
    world.set("dns.timeout", "300ms");
    world.set("dns.attempts", "1");
    world.set("dns.hosts", "");
    world
}

/// What the server does about one question.
#[derive(Clone)]
pub enum Says {
    /// These records.
    Records(Vec<RData>),
    /// These, each with a name of its own.
    Chain(Vec<(String, RData)>),
    /// No such name, or no such records, for so many seconds.
    No(ResponseCode, u32),
    /// SERVFAIL and its kind.
    Code(ResponseCode),
    /// Nothing at all.
    Silence,
    /// These octets instead of a message.
    Octets(Vec<u8>),
}

/// The server; it ends with the process.
pub struct NameServer {
    pub address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    by_tcp: Arc<AtomicUsize>,
}

type Answers = dyn Fn(&str, RecordType) -> Says + Send + Sync;

impl NameServer {
    /// `answer` gets a name without its last dot and in lower case, and the kind.
    pub fn start(answer: impl Fn(&str, RecordType) -> Says + Send + Sync + 'static) -> NameServer {
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
            if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
                break (udp, tcp);
            }
        };
        let server = NameServer { address: udp.local_addr().unwrap(), asked: Arc::default(), by_tcp: Arc::default() };
        let answer: Arc<Answers> = Arc::new(answer);
        let (asked, answers) = (server.asked.clone(), answer.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok((n, peer)) = udp.recv_from(&mut buffer) {
                if let Some(reply) = reply(&buffer[..n], &*answers, &asked, 1200) {
                    let _ = udp.send_to(&reply, peer);
                }
            }
        });
        let (asked, by_tcp) = (server.asked.clone(), server.by_tcp.clone());
        std::thread::spawn(move || {
            for mut stream in tcp.incoming().flatten() {
                let (answer, asked, by_tcp) = (answer.clone(), asked.clone(), by_tcp.clone());
                std::thread::spawn(move || {
                    let mut length = [0; 2];
                    while stream.read_exact(&mut length).is_ok() {
                        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
                        if stream.read_exact(&mut query).is_err() {
                            return;
                        }
                        by_tcp.fetch_add(1, Ordering::Relaxed);
                        let Some(reply) = reply(&query, &*answer, &asked, usize::from(u16::MAX)) else { continue };
                        let framed = [&(reply.len() as u16).to_be_bytes()[..], &reply].concat();
                        if stream.write_all(&framed).is_err() {
                            return;
                        }
                    }
                });
            }
        });
        server
    }

    /// `MX d.test` and the like, in the order of asking.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    /// Questions that came by TCP.
    pub fn by_tcp(&self) -> usize {
        self.by_tcp.load(Ordering::Relaxed)
    }
}

fn reply(query: &[u8], answer: &Answers, asked: &Mutex<Vec<String>>, room: usize) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question: &Query = query.queries.first()?;
    let plain = question.name().to_ascii().trim_end_matches('.').to_ascii_lowercase();
    asked.lock().unwrap().push(format!("{} {plain}", question.query_type()));
    let mut message = Message::response(query.metadata.id, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.metadata.recursion_available = true;
    // DNSSEC vouches for all names below this one.
    message.metadata.authentic_data = plain.ends_with("signed.test");
    message.add_query(question.clone());
    let says = answer(&plain, question.query_type());
    match says {
        Says::Records(records) => records.into_iter().for_each(|data| {
            message.add_answer(Record::from_rdata(question.name().clone(), 300, data));
        }),
        Says::Chain(records) => records.into_iter().for_each(|(owner, data)| {
            message.add_answer(Record::from_rdata(name(&owner), 300, data));
        }),
        Says::No(code, ttl) => {
            message.metadata.response_code = code;
            let soa = SOA::new(name("test"), name("root.test"), 1, 3600, 600, 86400, ttl);
            message.add_authority(Record::from_rdata(name("test"), ttl, RData::SOA(soa)));
        }
        Says::Code(code) => message.metadata.response_code = code,
        Says::Silence => return None,
        Says::Octets(octets) => return Some(octets),
    }
    let whole = message.to_vec().ok()?;
    if whole.len() <= room {
        return Some(whole);
    }
    message.answers.clear();
    message.metadata.truncation = true;
    message.to_vec().ok()
}

pub fn name(text: &str) -> Name {
    Name::from_ascii(format!("{}.", text.trim_end_matches('.'))).unwrap()
}

pub fn mx(preference: u16, host: &str) -> RData {
    RData::MX(MX::new(preference, if host.is_empty() { Name::root() } else { name(host) }))
}

pub fn a(ip: &str) -> RData {
    RData::A(A(ip.parse().unwrap()))
}

pub fn cname(target: &str) -> RData {
    RData::CNAME(CNAME(name(target)))
}

pub fn txt(strings: &[&str]) -> RData {
    RData::TXT(TXT::new(strings.iter().map(|s| s.to_string()).collect()))
}

pub fn tlsa(usage: u8, selector: u8, matching: u8, data: Vec<u8>) -> RData {
    RData::TLSA(TLSA::new(CertUsage::from(usage), Selector::from(selector), Matching::from(matching), data))
}

/// No records of the kind.
pub fn nothing() -> Says {
    Says::No(ResponseCode::NoError, 60)
}

/// No such name.
pub fn nobody() -> Says {
    Says::No(ResponseCode::NXDomain, 60)
}
