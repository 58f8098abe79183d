//! MTA-STS policies and TLS reports over real HTTPS, at a web server that the test makes.

use super::name_server::{NameServer, Says, a, mx, nothing, txt};
use expressmail::clock::Timestamp;
use expressmail::config::Site;
use expressmail::drive::{ClientTls, Dns, ReportPost, StsFetch};
use expressmail::envelope::Mailer;
use expressmail::nexthop::tls_report::WebPlace;
use expressmail::nexthop::{Fetch, NextHops, Own, Trust};
use expressmail::settings::{Root, Settings};
use hickory_resolver::proto::rr::RecordType;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::{Arc, Mutex};

const POLICY: &str = "version: STSv1\r\nmode: enforce\r\nmx: mx.d.test\r\nmax_age: 604800\r\n";

/// A web server with a certificate for one name; its answer can be changed.
struct Web {
    port: u16,
    authority: String,
    answer: Arc<Mutex<String>>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Web {
    fn start(name: &str) -> Web {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new(vec![name.to_string()]).unwrap().signed_by(&key, &authority).unwrap();
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let secret = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, secret)
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let web = Web {
            port: listener.local_addr().unwrap().port(),
            authority: authority.pem(),
            answer: Arc::new(Mutex::new(plain(POLICY))),
            requests: Arc::default(),
        };
        let (config, answer, requests) = (Arc::new(config), web.answer.clone(), web.requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut tls = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
                let mut request = Vec::new();
                let mut buffer = [0; 1024];
                while !is_whole(&request) {
                    match tls.read(&mut buffer) {
                        Ok(n) if n > 0 => request.extend_from_slice(&buffer[..n]),
                        _ => break,
                    }
                }
                requests.lock().unwrap().push(String::from_utf8_lossy(&request).into_owned());
                let answer = answer.lock().unwrap().clone();
                let _ = tls.write_all(answer.as_bytes());
                tls.conn.send_close_notify();
                let _ = tls.flush();
            }
        });
        web
    }

    fn says(&self, answer: String) {
        *self.answer.lock().unwrap() = answer;
    }
}

/// True for a request with all of its body.
fn is_whole(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((header, _)) = text.split_once("\r\n\r\n") else { return false };
    let length = header.split("\r\n").find_map(|line| line.strip_prefix("Content-Length: "));
    request.len() >= header.len() + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap())
}

fn plain(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn names() -> NameServer {
    NameServer::start(|name, kind| match (name, kind) {
        ("mta-sts.d.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        ("_mta-sts.d.test", RecordType::TXT) => Says::Records(vec![txt(&["v=STSv1; id=20261125;"])]),
        ("d.test", RecordType::MX) => Says::Records(vec![mx(10, "evil.test"), mx(20, "mx.d.test")]),
        ("evil.test" | "mx.d.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        _ => nothing(),
    })
}

fn site(dir: &Path, names: &NameServer, authority: Option<&str>) -> Arc<Site> {
    let mut settings = Settings::default();
    settings.dns.servers = vec![names.address];
    settings.dns.hosts = String::new();
    let file = dir.join("authority.pem");
    if let Some(pem) = authority {
        std::fs::write(&file, pem).unwrap();
        settings.relay.ca_file = file.to_string_lossy().into_owned();
    }
    Arc::new(Site { root: Root::under(dir), settings })
}

fn fetch(site: &Arc<Site>, port: u16) -> StsFetch {
    StsFetch::new(Arc::new(ClientTls::of(site)), Arc::new(Dns::of(site))).with_port(port)
}

#[test]
fn a_policy_is_fetched_and_holds_when_the_web_server_is_gone() {
    let (web, names, dir) = (Web::start("mta-sts.d.test"), names(), tempfile::tempdir().unwrap());
    let site = site(dir.path(), &names, Some(&web.authority));
    let hops = |port: u16| {
        let resolver = Arc::new(Dns::of(&site));
        NextHops::new(site.clone(), resolver, Own::default()).with_sts(Arc::new(fetch(&site, port)))
    };
    let check = |hops: &NextHops| {
        let plan = hops.plan(Mailer::Smtp, "d.test", Timestamp::now()).unwrap();
        let trusts: Vec<(&str, &Trust)> = plan.hops.iter().map(|h| (h.name.as_str(), &h.security.trust)).collect();
        assert_eq!(trusts, [("mx.d.test", &Trust::Names(vec!["mx.d.test".to_string()]))]);
    };
    check(&hops(web.port));
    let requests = web.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 1);
    assert!(
        requests[0].starts_with("GET /.well-known/mta-sts.txt HTTP/1.1\r\nHost: mta-sts.d.test\r\n"),
        "{requests:?}"
    );
    // Another process, to whom nobody answers.
    check(&hops(super::world::free_port()));
    assert!(dir.path().join("spool/sts/d.test").exists());
}

#[test]
fn what_is_not_the_domains_own_word_is_no_policy() {
    let (web, names, dir) = (Web::start("mta-sts.d.test"), names(), tempfile::tempdir().unwrap());
    let trusting = site(dir.path(), &names, Some(&web.authority));
    let good = fetch(&trusting, web.port);
    assert_eq!(good.policy("d.test").unwrap(), POLICY);
    for (answer, wanted) in [
        ("HTTP/1.1 302 Found\r\nLocation: https://mta-sts.d.test/x\r\n\r\n".to_string(), "302"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\nx".to_string(), "text/html"),
        (format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n{}", "x".repeat(300_000)), "more than"),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100\r\n\r\nshort".to_string(), "cut short"),
        (String::new(), "cut short"),
    ] {
        web.says(answer);
        let error = good.policy("d.test").unwrap_err();
        assert!(error.contains(wanted), "{wanted}: {error}");
    }
    web.says(plain(POLICY));
    // No address, nobody there, nobody whom we trust, another's certificate.
    assert!(good.policy("other.test").unwrap_err().contains("mta-sts.other.test"));
    assert!(fetch(&trusting, super::world::free_port()).policy("d.test").is_err());
    let elsewhere = tempfile::tempdir().unwrap();
    let strange = site(elsewhere.path(), &names, Some(&Web::start("x.test").authority));
    assert!(fetch(&strange, web.port).policy("d.test").unwrap_err().contains("invalid peer certificate"));
    let wrong = Web::start("www.d.test");
    let other = tempfile::tempdir().unwrap();
    let site = site(other.path(), &names, Some(&wrong.authority));
    let error = fetch(&site, wrong.port).policy("d.test").unwrap_err();
    assert!(error.contains("not for mta-sts.d.test"), "{error}");
}

#[test]
fn a_report_is_posted_to_the_server_with_the_right_name_and_its_answer_counts() {
    let (web, names, dir) = (Web::start("mta-sts.d.test"), names(), tempfile::tempdir().unwrap());
    let site = site(dir.path(), &names, Some(&web.authority));
    let post = |host: &str| {
        let place = WebPlace { host: host.to_string(), target: "/v1/x?y".to_string() };
        let web = ReportPost::new(Arc::new(ClientTls::of(&site)), Arc::new(Dns::of(&site))).with_port(web.port);
        web.post(&place, b"packed")
    };
    for (answer, wanted) in [
        ("HTTP/1.1 201 Created\r\n\r\n", None),
        ("HTTP/1.1 204 \r\n\r\n", None),
        ("HTTP/1.1 301 Moved\r\nLocation: https://evil.test/\r\n\r\n", Some("301")),
        ("HTTP/1.1 503 Later\r\n\r\n", Some("503")),
        ("200 yes\r\n", Some("200 yes")),
        ("", Some("cut short")),
    ] {
        web.says(answer.to_string());
        let result = post("mta-sts.d.test");
        assert!(result.as_ref().err().map(String::as_str).unwrap_or("").contains(wanted.unwrap_or("")), "{result:?}");
        assert_eq!(result.is_ok(), wanted.is_none(), "{answer}");
    }
    let first = web.requests.lock().unwrap()[0].clone();
    assert!(first.starts_with("POST /v1/x?y HTTP/1.1\r\nHost: mta-sts.d.test\r\n"), "{first}");
    assert!(first.contains("Content-Type: application/tlsrpt+gzip\r\nContent-Length: 6\r\n"), "{first}");
    assert!(first.ends_with("\r\n\r\npacked"), "{first}");
    assert!(post("mx.d.test").unwrap_err().contains("not for mx.d.test"), "another's certificate");
}
