//! The resolver against a name server that is friendly, hostile, or silent.

use super::name_server::{NameServer, Says, a, cname, mx, nobody, nothing, tlsa, txt};
use super::world::has;
use expressmail::config::Site;
use expressmail::drive::Dns;
use expressmail::nexthop::Resolver;
use expressmail::nexthop::resolver::{Answer, Data, DnsError, Found, Kind, Question, Tlsa};
use expressmail::settings::{self, Dnssec, Root, Settings, Size};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

fn dns_of(server: SocketAddr, change: impl FnOnce(&mut settings::Dns)) -> Dns {
    let mut settings = Settings::default();
    settings.dns.servers = vec![server];
    settings.dns.timeout = Duration::from_millis(300);
    settings.dns.attempts = 1;
    settings.dns.hosts = String::new();
    change(&mut settings.dns);
    Dns::of(&Site { root: Root::under(Path::new("/nonexistent")), settings })
}

fn ask(dns: &Dns, name: &str, kind: Kind) -> Found {
    dns.ask(&[Question::new(name, kind)], Duration::from_secs(10)).remove(0)
}

fn data(found: Found) -> Vec<Data> {
    found.unwrap().data
}

#[test]
fn records_of_each_kind_are_read() {
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("d.test", RecordType::MX) => Says::Records(vec![mx(10, "A.test"), mx(0, "")]),
        ("d.test", RecordType::A) => Says::Records(vec![a("192.0.2.1"), a("192.0.2.2")]),
        ("d.test", RecordType::TXT) => Says::Records(vec![txt(&["v=STSv1; ", "id=1;"])]),
        ("_25._tcp.d.test", RecordType::TLSA) => Says::Records(vec![tlsa(3, 1, 1, vec![7; 32])]),
        ("d.test", _) => nothing(),
        _ => nobody(),
    });
    let dns = dns_of(server.address, |_| {});
    let ips = ["192.0.2.1", "192.0.2.2"].map(|ip| Data::Address(ip.parse().unwrap()));
    assert_eq!(data(ask(&dns, "D.test.", Kind::A)), ips);
    assert_eq!(data(ask(&dns, "d.test", Kind::Mx)), [Data::Mx(10, "a.test".into()), Data::Mx(0, String::new())]);
    assert_eq!(data(ask(&dns, "d.test", Kind::Txt)), [Data::Txt(b"v=STSv1; id=1;".to_vec())]);
    let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] };
    assert_eq!(data(ask(&dns, "_25._tcp.d.test", Kind::Tlsa)), [Data::Tlsa(record)]);
    let ttl = Duration::from_secs(60);
    assert_eq!(ask(&dns, "d.test", Kind::Aaaa), Err(DnsError::NoData { ttl }));
    assert_eq!(ask(&dns, "x.test", Kind::A), Err(DnsError::NoName { ttl }));
    let many: Vec<Question> = (0..50).map(|n| Question::new(&format!("n{n}.test"), Kind::A)).collect();
    assert!(dns.ask(&many, Duration::from_secs(10)).iter().all(|f| matches!(f, Err(DnsError::NoName { .. }))));
}

#[test]
fn cname_records_are_followed_and_no_further_than_the_bound() {
    let server = NameServer::start(|name, kind| {
        let step = name.strip_prefix("step").and_then(|rest| rest.split('.').next()?.parse::<u32>().ok());
        match (name, step, kind) {
            (_, Some(0), RecordType::A) => Says::Records(vec![a("192.0.2.1")]),
            (_, Some(n), _) if n > 0 => Says::Chain(vec![(name.to_string(), cname(&format!("step{}.test", n - 1)))]),
            ("whole.test", _, RecordType::A) => Says::Chain(vec![
                ("b.test".to_string(), a("192.0.2.2")),
                ("a.test".to_string(), cname("b.test")),
                ("whole.test".to_string(), cname("a.test")),
            ]),
            ("loop.test", ..) => Says::Chain(vec![
                ("loop.test".to_string(), cname("pool.test")),
                ("pool.test".to_string(), cname("loop.test")),
            ]),
            ("other.test", ..) => Says::Chain(vec![("elsewhere.test".to_string(), a("192.0.2.66"))]),
            ("gone.test", ..) => Says::Chain(vec![("gone.test".to_string(), cname("nowhere.test"))]),
            _ => nobody(),
        }
    });
    let dns = dns_of(server.address, |_| {});
    let Answer { name, data, .. } = ask(&dns, "whole.test", Kind::A).unwrap();
    assert_eq!((name.as_str(), data), ("b.test", vec![Data::Address("192.0.2.2".parse().unwrap())]));
    assert_eq!(ask(&dns, "step8.test", Kind::A).unwrap().name, "step0.test");
    for (name, wanted) in [("step9.test", "more than 8 CNAME"), ("loop.test", "more than 8 CNAME")] {
        let error = ask(&dns, name, Kind::A).unwrap_err();
        assert!(error.to_string().contains(wanted), "{name}: {error}");
    }
    // Records of another name are nobody's answer.
    assert!(matches!(ask(&dns, "other.test", Kind::A), Err(DnsError::NoData { .. } | DnsError::Trouble(_))));
    assert!(matches!(ask(&dns, "gone.test", Kind::A), Err(DnsError::NoName { .. })));
    assert!(server.asked().len() < 200, "{}", server.asked().len());
}

#[test]
fn large_answers_come_by_tcp_up_to_the_bound() {
    let server = NameServer::start(|name, _| match name {
        "large.test" => Says::Records((0..200).map(|n| mx(n, &format!("h{n}.large.test"))).collect()),
        _ => Says::Records((0..120).map(|_| txt(&[&"x".repeat(250)])).collect()),
    });
    let dns = dns_of(server.address, |s| s.answer_size = Size(16 << 10));
    assert_eq!(data(ask(&dns, "large.test", Kind::Mx)).len(), 200);
    assert!(server.by_tcp() > 0);
    let error = ask(&dns, "huge.test", Kind::Txt).unwrap_err();
    assert!(error.to_string().contains("more than 16384 octets"), "{error}");
}

#[test]
fn silence_refusals_and_nonsense_are_temporary_and_bounded_in_time() {
    let server = NameServer::start(|name, _| match name {
        "silent.test" => Says::Silence,
        "servfail.test" => Says::Code(ResponseCode::ServFail),
        "refused.test" => Says::Code(ResponseCode::Refused),
        "garbage.test" => Says::Octets(vec![0xff; 100]),
        _ => Says::Octets(Vec::new()),
    });
    let dns = dns_of(server.address, |_| {});
    for name in ["silent.test", "servfail.test", "refused.test", "garbage.test", "empty.test"] {
        let started = Instant::now();
        let error = ask(&dns, name, Kind::Mx).unwrap_err();
        assert!(error.is_temporary(), "{name}: {error}");
        assert!(started.elapsed() < Duration::from_secs(5), "{name}: {:?}", started.elapsed());
    }
    // The patience of the asker is the bound, whatever the settings allow.
    let slow = dns_of(server.address, |s| s.timeout = Duration::from_secs(60));
    let started = Instant::now();
    let questions = [Question::new("silent.test", Kind::A), Question::new("silent.test", Kind::Aaaa)];
    let found = slow.ask(&questions, Duration::from_millis(300));
    assert!(found.iter().all(|f| f.as_ref().is_err_and(DnsError::is_temporary)));
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // Nobody at all.
    let port = super::world::free_port();
    let none = dns_of(SocketAddr::from(([127, 0, 0, 1], port)), |_| {});
    assert!(ask(&none, "d.test", Kind::A).unwrap_err().is_temporary());
}

#[test]
fn a_dead_server_does_not_stand_before_one_that_lives() {
    let server = NameServer::start(|_, _| Says::Records(vec![a("192.0.2.1")]));
    let silent = NameServer::start(|_, _| Says::Silence);
    let nobody = SocketAddr::from(([127, 0, 0, 1], super::world::free_port()));
    let dns = dns_of(nobody, |s| s.servers.extend([silent.address, server.address]));
    for n in 0..5 {
        assert_eq!(data(ask(&dns, &format!("n{n}.test"), Kind::A)).len(), 1);
    }
}

#[test]
fn the_servers_word_on_dnssec_counts_where_the_settings_say_so() {
    let server = NameServer::start(|_, _| Says::Records(vec![a("192.0.2.1")]));
    for (dnssec, is_believed) in [(Dnssec::Auto, true), (Dnssec::TrustAd, true), (Dnssec::Off, false)] {
        let dns = dns_of(server.address, |s| s.dnssec = dnssec);
        assert_eq!(dns.has_dnssec(), is_believed);
        assert_eq!(ask(&dns, "x.signed.test", Kind::A).unwrap().secure, is_believed, "{dnssec:?}");
        assert!(!ask(&dns, "x.test", Kind::A).unwrap().secure);
    }
    assert!(!dns_of(SocketAddr::from(([192, 0, 2, 53], 53)), |_| {}).has_dnssec());
}

#[test]
fn a_file_and_localhost_need_no_server() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts");
    std::fs::write(&file, "192.0.2.7 hub.test hub\n").unwrap();
    let silent = NameServer::start(|_, _| Says::Silence);
    let dns = dns_of(silent.address, |s| s.hosts = file.to_string_lossy().into_owned());
    assert_eq!(data(ask(&dns, "hub", Kind::A)), [Data::Address("192.0.2.7".parse().unwrap())]);
    assert!(matches!(ask(&dns, "hub.test", Kind::Aaaa), Err(DnsError::NoData { .. })));
    assert!(dns.is_fixed("hub.test") && !dns.is_fixed("other.test"));
    assert_eq!(data(ask(&dns, "localhost", Kind::A)), [Data::Address("127.0.0.1".parse().unwrap())]);
    assert!(matches!(ask(&dns, "localhost", Kind::Mx), Err(DnsError::NoData { .. })));
    assert!(silent.asked().is_empty());
}

/// A real authoritative server; it ends with the test.
struct Nsd {
    child: Child,
    _dir: tempfile::TempDir,
    address: SocketAddr,
    anchor: String,
}

impl Drop for Nsd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The zone, signed by a key of its own; a broken signature for one name.
fn nsd() -> Option<Nsd> {
    if !has("nsd") || !has("ldns-signzone") || !has("ldns-keygen") {
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_string_lossy().into_owned();
    let zone = "$ORIGIN zone.test.\n$TTL 300\n@ SOA ns.zone.test. root.zone.test. 1 3600 600 86400 60\n@ NS ns.zone.test.\n\
        ns A 127.0.0.1\n@ MX 10 mx.zone.test.\n@ MX 5 dead.zone.test.\nmx A 127.0.0.1\ndead A 127.0.0.2\n\
        _25._tcp.mx TLSA 3 1 1 0000000000000000000000000000000000000000000000000000000000000001\n\
        null MX 0 .\nalias CNAME second\nsecond CNAME mx\nforged A 192.0.2.66\n";
    std::fs::write(path("zone"), zone).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let out = Command::new(program).args(arguments).current_dir(dir.path()).output().unwrap();
        assert!(out.status.success(), "{program}: {out:?}");
        String::from_utf8(out.stdout).unwrap().trim().to_string()
    };
    let key = run("ldns-keygen", &["-a", "ECDSAP256SHA256", "-k", "zone.test"]);
    run("ldns-signzone", &["-f", "zone.signed", "zone", &key]);
    // Another address under the old signature.
    let signed = std::fs::read_to_string(path("zone.signed")).unwrap();
    assert!(signed.contains("192.0.2.66"));
    std::fs::write(path("zone.signed"), signed.replace("192.0.2.66", "192.0.2.67")).unwrap();
    let port = super::world::free_port();
    let config = format!(
        "server:\n ip-address: 127.0.0.1@{port}\n port: {port}\n server-count: 1\n username: \"\"\n chroot: \"\"\n zonesdir: \"{0}\"\n \
         database: \"\"\n pidfile: \"{0}/pid\"\n xfrdfile: \"{0}/xfrd\"\n zonelistfile: \"{0}/list\"\n logfile: \"{0}/log\"\n \
         cookie-secret-file: \"\"\nremote-control:\n control-enable: no\nzone:\n name: zone.test\n zonefile: zone.signed\n",
        dir.path().display()
    );
    std::fs::write(path("nsd.conf"), config).unwrap();
    let child = Command::new("/usr/sbin/nsd").args(["-d", "-c", &path("nsd.conf")]).spawn().unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let anchor = path(&format!("{key}.key"));
    let nsd = Nsd { child, _dir: dir, address, anchor };
    super::world::wait_until("nsd", || std::net::TcpStream::connect(address).is_ok());
    Some(nsd)
}

#[test]
fn a_signed_zone_of_a_real_server_is_validated() {
    let Some(nsd) = nsd() else { return };
    let plain = dns_of(nsd.address, |s| s.timeout = Duration::from_secs(2));
    assert_eq!(data(ask(&plain, "null.zone.test", Kind::Mx)), [Data::Mx(0, String::new())]);
    let found = ask(&plain, "alias.zone.test", Kind::A).unwrap();
    assert_eq!((found.name.as_str(), found.secure), ("mx.zone.test", false));
    assert!(matches!(ask(&plain, "none.zone.test", Kind::A), Err(DnsError::NoName { .. })));
    let validating = dns_of(nsd.address, |s| {
        s.timeout = Duration::from_secs(2);
        s.dnssec = Dnssec::Validate;
        s.trust_anchor = nsd.anchor.clone();
    });
    for (name, kind) in [
        ("zone.test", Kind::Mx),
        ("mx.zone.test", Kind::A),
        ("_25._tcp.mx.zone.test", Kind::Tlsa),
        ("alias.zone.test", Kind::A),
    ] {
        let answer = ask(&validating, name, kind).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(answer.secure, "{name}");
    }
    assert!(matches!(ask(&validating, "none.zone.test", Kind::A), Err(DnsError::NoName { .. })));
    assert!(matches!(ask(&validating, "mx.zone.test", Kind::Aaaa), Err(DnsError::NoData { .. })));
    let forged = ask(&validating, "forged.zone.test", Kind::A).unwrap_err();
    assert!(forged.is_temporary(), "{forged}");
    assert_eq!(data(ask(&plain, "forged.zone.test", Kind::A)), [Data::Address("192.0.2.67".parse().unwrap())]);
}
