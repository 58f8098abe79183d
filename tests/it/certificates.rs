//! Client certificates: who has one logs in without a password (SASL EXTERNAL), and nobody else does.

use super::clients::python;
use super::world::{PATIENCE, World, has, wait_until};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SanType, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, RootCertStore, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// Who certifies.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new(name: &str) -> Authority {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn certify(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let mut params = CertificateParams::default();
        params.subject_alt_names = names.iter().map(|n| SanType::Rfc822Name((*n).try_into().unwrap())).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        Identity { certificate: certificate.pem(), key: key.serialize_pem() }
    }

    /// The list that revokes this serial number.
    fn revoke(&self, serial: u64) -> String {
        let params = CertificateRevocationListParams {
            this_update: date_time_ymd(2020, 1, 1),
            next_update: date_time_ymd(2120, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: date_time_ymd(2020, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap().pem().unwrap()
    }
}

/// A certificate and its key, in PEM.
struct Identity {
    certificate: String,
    key: String,
}

/// A site that trusts `authority` and has made its own certificate.
fn world(authority: &Authority) -> World {
    let world = World::new();
    let path = world.path("etc/clients.pem");
    std::fs::write(&path, authority.0.pem()).unwrap();
    world.set("tls.client_ca", path.to_str().unwrap());
    world
}

/// A client that has this certificate, or none.
fn client(world: &World, identity: Option<&Identity>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(world.path("etc/tls/self-signed.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    Arc::new(match identity {
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    })
}

/// One connection.
struct Talk(BufReader<StreamOwned<ClientConnection, TcpStream>>);

impl Talk {
    /// TLS from the start.
    fn connect(world: &World, service: &str, config: &Arc<ClientConfig>) -> Talk {
        Talk::upgrade(TcpStream::connect(world.address(service)).unwrap(), config)
    }

    /// STARTTLS: sends `command` in clear when a line begins with `greeting`, and goes on when one begins with `answer`.
    fn after(world: &World, service: &str, config: &Arc<ClientConfig>, talk: &[(&str, &str)]) -> Talk {
        let mut stream = TcpStream::connect(world.address(service)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        for (awaited, command) in talk {
            let mut seen = String::new();
            while !seen.lines().any(|line| line.starts_with(awaited)) || !seen.ends_with('\n') {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                seen.push(char::from(byte[0]));
            }
            stream.write_all(command.as_bytes()).unwrap();
        }
        Talk::upgrade(stream, config)
    }

    fn upgrade(stream: TcpStream, config: &Arc<ClientConfig>) -> Talk {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = ClientConnection::new(config.clone(), "localhost".try_into().unwrap()).unwrap();
        Talk(BufReader::new(StreamOwned::new(tls, stream)))
    }

    /// One line; empty at the end of the connection, however it comes.
    fn line(&mut self) -> String {
        let mut line = String::new();
        let _ = self.0.read_line(&mut line);
        line.trim_end().to_string()
    }

    /// Sends a command; gives the lines up to one that begins with one of these.
    fn ask(&mut self, command: &str, ends: &[&str]) -> String {
        let _ = self.0.get_mut().write_all(format!("{command}\r\n").as_bytes());
        let mut text = String::new();
        loop {
            let line = self.line();
            text.push_str(&line);
            text.push('\n');
            if line.is_empty() || ends.iter().any(|end| line.starts_with(end)) {
                return text;
            }
        }
    }

    /// Why TLS ended.
    fn end(&mut self) -> String {
        self.0.read_line(&mut String::new()).map_err(|e| e.to_string()).unwrap_err()
    }

    fn imap(&mut self, command: &str) -> String {
        self.ask(&format!("a {command}"), &["a ", "+"])
    }

    fn is_resumed(&self) -> bool {
        self.0.get_ref().conn.handshake_kind() == Some(HandshakeKind::Resumed)
    }
}

fn encoded(text: &str) -> String {
    encodify::base64::STANDARD.encode(text)
}

const ALICE: &str = "alice@example.test";

#[test]
fn a_certificate_logs_in_everywhere_and_only_as_whom_it_names() {
    let authority = Authority::new("users");
    let world = world(&authority);
    world.start();
    let alice = client(&world, Some(&authority.certify(&[ALICE, "sales@example.test"], |_| {})));

    let mut imap = Talk::connect(&world, "imaps", &alice);
    assert!(imap.line().contains(" AUTH=EXTERNAL "));
    assert!(
        imap.imap(&format!("AUTHENTICATE EXTERNAL {}", encoded("bob@example.test"))).contains("[AUTHORIZATIONFAILED]")
    );
    // It is in the certificate, but no account.
    assert!(imap.imap(&format!("AUTHENTICATE EXTERNAL {}", encoded("sales@example.test"))).contains("a NO"));
    assert!(imap.imap("AUTHENTICATE EXTERNAL").starts_with('+'));
    assert!(imap.ask("", &["a "]).contains("a OK"));
    assert!(imap.imap("SELECT INBOX").contains("a OK"));

    let mut pop = Talk::connect(&world, "pop3s", &alice);
    assert!(pop.line().starts_with("+OK"));
    assert!(pop.ask("CAPA", &["."]).contains("SASL EXTERNAL "));
    assert!(
        pop.ask(&format!("AUTH EXTERNAL {}", encoded("bob@example.test")), &["-ERR", "+OK"]).contains("-ERR [AUTH]")
    );
    assert!(pop.ask(&format!("AUTH EXTERNAL {}", encoded(ALICE)), &["-ERR", "+OK"]).contains("+OK 0 messages"));

    let mut smtp = Talk::connect(&world, "submissions", &alice);
    assert!(smtp.line().starts_with("220"));
    assert!(smtp.ask("EHLO c", &["250 "]).contains("AUTH EXTERNAL "));
    assert!(smtp.ask(&format!("AUTH EXTERNAL {}", encoded("bob@example.test")), &["5", "2"]).contains("535 5.7.8"));
    assert!(smtp.ask("AUTH EXTERNAL =", &["5", "2"]).contains("235"));
    assert!(smtp.ask("MAIL FROM:<alice@example.test>", &["5", "2"]).contains("250"));
    assert!(world.log().contains("method=EXTERNAL"), "{}", world.log());
}

#[test]
fn starttls_brings_it_too() {
    let authority = Authority::new("users");
    let world = world(&authority);
    world.set("auth.plaintext_without_tls", "always");
    world.start();
    let alice = client(&world, Some(&authority.certify(&[ALICE], |_| {})));
    let mut imap = Talk::after(&world, "imap", &alice, &[("* OK", "a STARTTLS\r\n"), ("a OK", "")]);
    assert!(imap.imap("CAPABILITY").contains(" AUTH=EXTERNAL "));
    assert!(imap.imap("AUTHENTICATE EXTERNAL =").contains("a OK"));
    let mut pop = Talk::after(&world, "pop3", &alice, &[("+OK", "STLS\r\n"), ("+OK", "")]);
    assert!(pop.ask("AUTH EXTERNAL =", &["-ERR", "+OK"]).contains("+OK 0 messages"));
    let talk = [("220", "EHLO c\r\n"), ("250 ", "STARTTLS\r\n"), ("220", "")];
    let mut smtp = Talk::after(&world, "submission", &alice, &talk);
    assert!(smtp.ask("EHLO c", &["250 "]).contains("AUTH EXTERNAL "));
    assert!(smtp.ask("AUTH EXTERNAL =", &["5", "2"]).contains("235"));
}

#[test]
fn without_a_certificate_there_is_the_password() {
    let authority = Authority::new("users");
    let world = world(&authority);
    world.start();
    let mut imap = Talk::connect(&world, "imaps", &client(&world, None));
    assert!(!imap.line().contains("EXTERNAL"));
    assert!(imap.imap("AUTHENTICATE EXTERNAL =").contains("a NO [CANNOT]"));
    assert!(imap.imap("LOGIN alice demo").contains("a OK"));
    let mut clear = super::wire::Client::connect(world.address("imap"));
    assert!(!clear.line().contains("EXTERNAL"));
    clear.send("a AUTHENTICATE EXTERNAL =\r\n");
    assert!(clear.line().starts_with("a NO"));
}

#[test]
fn bad_certificates_end_the_handshake() {
    let (authority, stranger) = (Authority::new("users"), Authority::new("strangers"));
    let world = world(&authority);
    let path = world.path("etc/revoked.pem");
    std::fs::write(&path, authority.revoke(77)).unwrap();
    world.set("tls.client_crl", path.to_str().unwrap());
    assert_eq!(world.ok("emconf", &["check"]), "");
    world.start();
    let good = authority.certify(&[ALICE], |params| params.serial_number = Some(SerialNumber::from(78u64)));
    assert!(Talk::connect(&world, "imaps", &client(&world, Some(&good))).line().contains("AUTH=EXTERNAL"));
    let bad = [
        ("foreign", stranger.certify(&[ALICE], |_| {})),
        ("expired", authority.certify(&[ALICE], |params| params.not_after = date_time_ymd(2020, 1, 1))),
        ("not yet good", authority.certify(&[ALICE], |params| params.not_before = date_time_ymd(2120, 1, 1))),
        ("revoked", authority.certify(&[ALICE], |params| params.serial_number = Some(SerialNumber::from(77u64)))),
        (
            "a server's",
            authority.certify(&[ALICE], |p| p.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ),
    ];
    for (what, identity) in &bad {
        for service in ["imaps", "pop3s", "submissions"] {
            assert_eq!(Talk::connect(&world, service, &client(&world, Some(identity))).line(), "", "{what}, {service}");
        }
    }
    let why = |identity| Talk::connect(&world, "imaps", &client(&world, Some(identity))).end();
    assert!(why(&bad[1].1).contains("CertificateExpired") && why(&bad[3].1).contains("CertificateRevoked"));
    wait_until("the reasons", || {
        ["UnknownIssuer", "certificate expired", "not valid yet", "Revoked", "extended key usage"]
            .iter()
            .all(|reason| world.log().contains(reason))
    });
    // Other servers are asked for nothing, and so can't be turned away for theirs.
    let talk = [("220", "EHLO c\r\n"), ("250 ", "STARTTLS\r\n"), ("220", "")];
    let mut smtp = Talk::after(&world, "smtp", &client(&world, Some(&bad[0].1)), &talk);
    let offer = smtp.ask("EHLO c", &["250 "]);
    assert!(offer.contains("AUTH SCRAM") && !offer.contains("EXTERNAL"), "{offer}");
}

#[test]
fn locked_accounts_and_services_hold_for_certificates() {
    let authority = Authority::new("users");
    let world = world(&authority);
    world.add("carol@example.test", &["--services", "pop3"]);
    world.start();
    let mut carol =
        Talk::connect(&world, "imaps", &client(&world, Some(&authority.certify(&["carol@example.test"], |_| {}))));
    carol.line();
    assert!(carol.imap("AUTHENTICATE EXTERNAL =").contains("a NO [AUTHORIZATIONFAILED]"));
    world.ok("emuser", &["modify", ALICE, "--lock"]);
    let mut alice = Talk::connect(&world, "imaps", &client(&world, Some(&authority.certify(&[ALICE], |_| {}))));
    alice.line();
    assert!(alice.imap("AUTHENTICATE EXTERNAL =").contains("a NO [AUTHENTICATIONFAILED]"));
}

#[test]
fn a_session_taken_up_again_loses_what_has_expired() {
    let authority = Authority::new("users");
    let world = world(&authority);
    world.start();
    let until = SystemTime::now() + Duration::from_secs(6);
    let short = client(&world, Some(&authority.certify(&[ALICE], |params| params.not_after = until.into())));
    for round in 0..2 {
        let mut imap = Talk::connect(&world, "imaps", &short);
        assert!(imap.line().contains("AUTH=EXTERNAL"));
        assert_eq!(imap.is_resumed(), round == 1);
        // Tickets for later come with the next answer at the latest.
        assert!(imap.imap("NOOP").contains("a OK"));
    }
    wait_until("the certificate's end", || SystemTime::now() > until + Duration::from_secs(1));
    let mut imap = Talk::connect(&world, "imaps", &short);
    let greeting = imap.line();
    assert!(imap.is_resumed() && greeting.starts_with("* OK") && !greeting.contains("EXTERNAL"), "{greeting}");
    assert!(imap.imap("AUTHENTICATE EXTERNAL =").contains("a NO [CANNOT]"));
}

#[test]
fn a_missing_authority_file_is_told() {
    let world = World::new();
    world.set("tls.client_ca", "/nowhere/clients.pem");
    // The first start makes our own certificate.
    let site = expressmail::config::load(&expressmail::settings::Root::under(world.root())).unwrap();
    expressmail::drive::ensure_certificate(&site).unwrap();
    let out = world.run("emconf", &["check"]);
    assert!(!out.status.success() && String::from_utf8_lossy(&out.stdout).contains("/nowhere/clients.pem"), "{out:?}");
    std::fs::write(world.path("etc/empty.pem"), "").unwrap();
    world.set("tls.client_ca", world.path("etc/empty.pem").to_str().unwrap());
    assert!(!world.run("emconf", &["check"]).status.success());
}

/// OpenSSL's certificates, and Python's imaplib, poplib and smtplib.
#[test]
fn python_logs_in_with_a_certificate_of_openssl() {
    if !has("python3") || !has("openssl") {
        return;
    }
    let world = World::new();
    let make = r#"
cd "$1"
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj "/CN=users" -days 2 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout alice.key -out alice.csr -subj "/CN=Alice/emailAddress=alice@example.test" 2>/dev/null
printf "basicConstraints=CA:FALSE" > ext
openssl x509 -req -extfile ext -in alice.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 1 -out alice.pem 2>/dev/null
"#;
    let dir = world.root().to_str().unwrap();
    let made = std::process::Command::new("sh").args(["-ec", make, "sh", dir]).status().unwrap();
    assert!(made.success());
    world.set("tls.client_ca", world.path("ca.pem").to_str().unwrap());
    world.start();
    let ports = ["imaps", "pop3s", "submission"].map(|service| world.port(service));
    let said = python(&world, include_str!("clients/with_certificate.py"), &[dir, &ports[0], &ports[1], &ports[2]]);
    assert_eq!(said, "imap pop3 smtp\n");
    world.await_mail("bob", 1);
}
