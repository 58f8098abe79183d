//! Mail for other hosts, found by DNS, over TLS that must hold.

use super::name_server::{NameServer, Says, a, mx, nobody, nothing, tlsa, txt, world_with};
use super::wire::{Sink, Tls};
use super::world::{World, wait_until};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::RecordType;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};

fn send(world: &World, to: &[&str]) {
    let arguments = [&["-i", "-odq", "-f", "alice@example.test"][..], to].concat();
    let out = world.run_with("emsend", &arguments, b"Subject: out\n\nline\n");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn the_next_mx_is_tried_when_the_best_is_dead() {
    let sink = Sink::start(|_| None);
    let port = sink.address.port();
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("dest.test", RecordType::MX) => {
            Says::Records(vec![mx(30, "worse.test"), mx(10, "dead.test"), mx(20, "live.test"), mx(5, "ghost.test")])
        }
        // Nobody listens there.
        ("dead.test", RecordType::A) => Says::Records(vec![a("127.0.0.2")]),
        ("live.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        ("worse.test", RecordType::A) => Says::Records(vec![a("127.0.0.3")]),
        ("ghost.test", _) => nobody(),
        _ => nothing(),
    });
    let world = world_with(&server);
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:dest.test:{port}\n")).unwrap();
    send(&world, &["x@remote.test"]);
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!(sink.texts().len(), 1);
    assert!(world.queued().is_empty());
    assert!(world.log().contains("host=live.test"), "{}", world.log());
}

#[test]
fn what_dns_says_for_good_returns_mail_and_what_it_does_not_say_keeps_it() {
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("null.test", RecordType::MX) => Says::Records(vec![mx(0, "")]),
        ("empty.test", _) => nothing(),
        ("broken.test", _) => Says::Code(ResponseCode::ServFail),
        ("silent.test", _) => Says::Silence,
        _ => nobody(),
    });
    let world = world_with(&server);
    let names = ["null", "none", "empty", "broken", "silent"];
    let routes: String = names.iter().map(|n| format!("to-{n}.test esmtp:{n}.test\n")).collect();
    std::fs::write(world.path("etc/routes"), routes).unwrap();
    for name in names {
        send(&world, &[&format!("x@to-{name}.test")]);
    }
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    let reports = world.await_mail("alice", 3).join("\n");
    for status in ["Status: 5.1.10", "Status: 5.1.2", "Status: 5.4.4"] {
        assert!(reports.contains(status), "{status}: {reports}");
    }
    assert_eq!(world.queued().len(), 2);
    assert_eq!(world.ok("emqueue", &["list"]).matches("DNS does not answer").count(), 2);
}

#[test]
fn mail_that_would_come_back_to_us_is_returned() {
    let server = NameServer::start(|name, kind| match (name, kind) {
        ("dest.test", RecordType::MX) => Says::Records(vec![mx(10, "us.test"), mx(20, "other.test")]),
        ("us.test" | "other.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        _ => nothing(),
    });
    let world = world_with(&server);
    let port = world.port("smtp");
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:dest.test:{port}\n")).unwrap();
    world.start();
    send(&world, &["x@remote.test"]);
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("Status: 5.4.6") && report.contains("loops back to me"), "{report}");
}

/// Another site that takes mail for carol@remote.test, with a certificate for localhost.
fn remote() -> World {
    let remote = World::new();
    remote.set("server.domains", "[\"example.test\", \"remote.test\"]");
    remote.add("carol@remote.test", &[]);
    remote.start();
    remote
}

fn carol(remote: &World) -> Vec<String> {
    remote.mailbox_of("remote.test", "carol")
}

fn certificate(remote: &World) -> CertificateDer<'static> {
    CertificateDer::from_pem_file(remote.path("etc/tls/self-signed.pem")).unwrap()
}

fn run_until_delivered(world: &World, remote: &World, count: usize) {
    world.run("emqueue", &["run", "--all"]);
    wait_until("mail for carol", || carol(remote).len() == count);
    assert!(world.queued().is_empty(), "{}", world.log());
}

/// Why the queue's one message waits.
fn waits(world: &World) -> String {
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75), "{}", world.log());
    world.ok("emqueue", &["list"])
}

#[test]
fn the_smart_host_gets_all_mail_and_our_login() {
    let remote = remote();
    let world = World::new();
    let smart = format!("[127.0.0.1]:{}", remote.port("submission"));
    let file = world.path("etc/smart-password");
    std::fs::write(&file, "wrong\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world.set("relay.smart_host", &smart);
    world.set("relay.smart_host_user", "alice@example.test");
    world.set("relay.smart_host_password_file", file.to_str().unwrap());
    send(&world, &["carol@remote.test"]);
    let list = waits(&world);
    assert!(list.contains("the login is refused") || list.contains("does not know the password"), "{list}");
    std::fs::write(&file, "demo\n").unwrap();
    run_until_delivered(&world, &remote, 1);
    assert!(remote.log().contains("user=alice@example.test"), "{}", remote.log());
    // TLS from the start.
    world.set("relay.smart_host", &format!("smtps:[127.0.0.1]:{}", remote.port("submissions")));
    send(&world, &["carol@remote.test"]);
    run_until_delivered(&world, &remote, 2);
    assert!(carol(&remote)[1].contains("ESMTPSA"), "{:?}", carol(&remote));
}

#[test]
fn policies_of_the_table_hold_over_real_tls() {
    let remote = remote();
    let world = World::new();
    let port = remote.port("smtp");
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:localhost:{port}\n")).unwrap();
    let policy = |line: &str| std::fs::write(world.path("etc/tls-policies"), format!("{line}\n")).unwrap();
    let shown = world.ok("emqueue", &["hosts", "remote.test"]);
    assert!(shown.contains(&format!("addresses: 127.0.0.1:{port}")), "by its route: {shown}");
    assert_eq!(world.run("emqueue", &["hosts", "example.test"]).status.code(), Some(64), "ours");
    policy("localhost verify");
    send(&world, &["carol@remote.test"]);
    assert!(waits(&world).contains("UnknownIssuer"), "{}", world.log());
    policy(&format!("localhost fingerprint sha256:{}", "00".repeat(32)));
    assert!(waits(&world).contains("none of the fingerprints"), "{}", world.log());
    let digest: String = Sha256::digest(certificate(&remote)).iter().map(|b| format!("{b:02x}")).collect();
    policy(&format!("localhost fingerprint sha256:{digest}"));
    run_until_delivered(&world, &remote, 1);
    // Whoever is told to trust its authority, here the certificate itself, may look for names.
    world.set("relay.ca_file", remote.path("etc/tls/self-signed.pem").to_str().unwrap());
    policy("localhost verify match=elsewhere.test");
    send(&world, &["carol@remote.test"]);
    assert!(waits(&world).contains("not for elsewhere.test"), "{}", world.log());
    policy("localhost verify");
    run_until_delivered(&world, &remote, 2);
    policy("localhost encrypt");
    send(&world, &["carol@remote.test"]);
    run_until_delivered(&world, &remote, 3);
    policy("localhost none");
    send(&world, &["carol@remote.test"]);
    run_until_delivered(&world, &remote, 4);
    let texts = carol(&remote);
    assert_eq!(texts.iter().filter(|text| text.contains("with ESMTPS ")).count(), 3, "{texts:#?}");
    policy("localhost sometimes");
    let check = world.run("emconf", &["check"]);
    assert!(String::from_utf8_lossy(&check.stdout).contains("tls-policies:1:11"), "{check:?}");
}

#[test]
fn a_host_without_tls_gets_nothing_where_tls_is_demanded() {
    let sink = Sink::start(|_| None);
    let world = World::new();
    std::fs::write(world.path("etc/routes"), sink.route("remote.test")).unwrap();
    std::fs::write(world.path("etc/tls-policies"), "[127.0.0.1] encrypt\n").unwrap();
    send(&world, &["x@remote.test"]);
    assert!(waits(&world).contains("STARTTLS is not offered"), "{}", world.log());
    assert!(!sink.commands().iter().any(|command| command.starts_with("MAIL")));
}

#[test]
fn dane_holds_over_real_tls() {
    let remote = remote();
    let port: u16 = remote.port("smtp").parse().unwrap();
    let record: Arc<Mutex<Says>> = Arc::new(Mutex::new(nothing()));
    let says = record.clone();
    let server = NameServer::start(move |name, kind| match (name, kind) {
        ("dest.signed.test" | "dest.test", RecordType::MX) => Says::Records(vec![mx(10, "mx.signed.test")]),
        ("mx.signed.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        (tlsa, RecordType::TLSA) if tlsa == format!("_{port}._tcp.mx.signed.test") => says.lock().unwrap().clone(),
        _ => nothing(),
    });
    let set = |says: Says| *record.lock().unwrap() = says;
    let world = world_with(&server);
    let route = |domain: &str| {
        std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:{domain}:{port}\n")).unwrap();
    };
    route("dest.signed.test");
    let wrong = tlsa(3, 0, 1, vec![7; 32]);
    set(Says::Records(vec![wrong.clone()]));
    send(&world, &["carol@remote.test"]);
    assert!(waits(&world).contains("matches no TLSA record"), "{}", world.log());
    let shown = world.ok("emqueue", &["hosts", &format!("dest.signed.test:{port}")]);
    assert_eq!(
        shown,
        format!("mx.signed.test\n    addresses: 127.0.0.1:{port}\n    TLS: demanded, as TLSA records say (3 0 1)\n")
    );
    let json = world.ok("emqueue", &["hosts", "--json", "--requiretls", &format!("dest.signed.test:{port}")]);
    let hop: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&hop["tls"], &hop["policy"]["kind"]), (&"dane".into(), &"tlsa".into()), "{hop}");
    let forgeable = world.run("emqueue", &["hosts", "--requiretls", &format!("dest.test:{port}")]);
    assert!(String::from_utf8_lossy(&forgeable.stderr).contains("5.7.10"), "{forgeable:?}");
    set(Says::Code(ResponseCode::ServFail));
    assert!(waits(&world).contains("DNS does not answer about the TLSA"), "{}", world.log());
    set(Says::Records(vec![wrong.clone(), tlsa(3, 0, 1, Sha256::digest(certificate(&remote)).to_vec())]));
    run_until_delivered(&world, &remote, 1);
    // The way there is not signed: the wrong record counts for nothing.
    set(Says::Records(vec![wrong]));
    route("dest.test");
    send(&world, &["carol@remote.test"]);
    run_until_delivered(&world, &remote, 2);
    std::fs::write(world.path("etc/tls-policies"), "* dane-only\n").unwrap();
    send(&world, &["carol@remote.test"]);
    assert!(waits(&world).contains("No host of dest.test can be trusted"), "{}", world.log());
}

#[test]
fn domains_that_want_it_are_told_how_tls_went() {
    let remote = remote();
    let port: u16 = remote.port("smtp").parse().unwrap();
    let good = Sha256::digest(certificate(&remote)).to_vec();
    let record: Arc<Mutex<Vec<u8>>> = Arc::new(Mutex::new(vec![7; 32]));
    let says = record.clone();
    let server = NameServer::start(move |name, kind| match (name, kind) {
        ("dest.signed.test" | "quiet.signed.test", RecordType::MX) => Says::Records(vec![mx(10, "mx.signed.test")]),
        ("mx.signed.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        ("_smtp._tls.dest.signed.test", RecordType::TXT) => {
            Says::Records(vec![txt(&["v=TLSRPTv1; ", "rua=mailto:carol@remote.test,https://x.test/"])])
        }
        (tlsa_name, RecordType::TLSA) if tlsa_name == format!("_{port}._tcp.mx.signed.test") => {
            Says::Records(vec![tlsa(3, 0, 1, says.lock().unwrap().clone())])
        }
        _ => nothing(),
    });
    let world = world_with(&server);
    let route = format!("remote.test esmtp:dest.signed.test:{port}\nother.test esmtp:quiet.signed.test:{port}\n");
    std::fs::write(world.path("etc/routes"), route).unwrap();
    send(&world, &["carol@remote.test"]);
    assert!(waits(&world).contains("matches no TLSA record"), "{}", world.log());
    *record.lock().unwrap() = good;
    run_until_delivered(&world, &remote, 1);
    send(&world, &["x@other.test"]);
    world.run("emqueue", &["run", "--all"]);
    // Today is not over: nothing is told yet.
    assert_eq!(world.ok("emqueue", &["tls-report", "--show"]), "");
    let dir = world.path("spool/tlsrpt");
    let today = std::fs::read_dir(&dir).unwrap().next().unwrap().unwrap().path();
    let counts = std::fs::read_to_string(&today).unwrap();
    assert!(counts.contains("quiet.signed.test"), "{counts}");
    // Reports go out by a route of their own, and themselves are counted.
    let yesterday = std::time::SystemTime::now() - std::time::Duration::from_secs(24 * 3600);
    let day = &expressmail::clock::Timestamp::from(yesterday).rfc3339()[..10].to_string();
    std::fs::rename(&today, dir.join(day)).unwrap();
    let shown = world.ok("emqueue", &["tls-report", "--show"]);
    let (shown, by_web) = shown.trim_end().split_once('\n').unwrap();
    assert!(by_web.starts_with("https://x.test/: {"), "{by_web}");
    let (to, json) = shown.split_once(": ").unwrap();
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!(to, "carol@remote.test");
    let sums: (u64, u64) = report["policies"].as_array().unwrap().iter().fold((0, 0), |(good, bad), policy| {
        let of = |name: &str| policy["summary"][name].as_u64().unwrap();
        (good + of("total-successful-session-count"), bad + of("total-failure-session-count"))
    });
    assert_eq!(sums, (1, 1), "{report:#}");
    assert!(json.contains("\"tlsa-invalid\"") && json.contains("\"policy-type\":\"tlsa\""), "{json}");
    assert!(!json.contains("quiet"), "{json}");
    let record = world.ok("emconf", &["dkim-key", "now"]);
    world.set("tls_reports.dkim_selector", "now");
    world.ok("emqueue", &["tls-report"]);
    world.run("emqueue", &["run", "--all"]);
    wait_until("the report", || carol(&remote).len() == 2);
    let signed = carol(&remote).into_iter().find(|text| text.contains("DKIM-Signature: ")).unwrap();
    verify_signature(&signed, &record);
    let texts = carol(&remote).join("\n");
    assert!(
        texts.contains("TLS-Report-Domain: dest.signed.test") && texts.contains("application/tlsrpt+gzip"),
        "{texts}"
    );
    assert!(!dir.join(day).exists(), "the day is settled");
    world.ok("emqueue", &["tls-report"]);
    world.run("emqueue", &["run", "--all"]);
    assert_eq!(carol(&remote).len(), 2, "told once");
}

/// Asks dkimpy, with this record of a zone file in the place of DNS.
fn verify_signature(message: &str, record: &str) {
    let script = "import dkim, re, sys\n\
        record = ''.join(re.findall('\"([^\"]*)\"', sys.argv[1])).encode()\n\
        name = sys.argv[1].split()[0].encode()\n\
        text = sys.stdin.buffer.read().replace(b'\\n', b'\\r\\n')\n\
        find = lambda asked, timeout=5: record if asked == name else None\n\
        assert dkim.verify(text, dnsfunc=find, tlsrpt='strict'), 'not verified'\n\
        spoiled = text.replace(b'aggregate TLS report', b'aggregate tls report')\n\
        assert not dkim.verify(spoiled, dnsfunc=find, tlsrpt='strict'), 'anything is verified'\n";
    let has_dkimpy = std::process::Command::new("/usr/bin/python3").args(["-c", "import dkim"]).output();
    if !has_dkimpy.is_ok_and(|out| out.status.success()) {
        return println!("skipped: python3-dkim is missing");
    }
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-c", script, record]);
    let out = super::world::feed(&mut command, message.as_bytes());
    assert!(out.status.success(), "{}\n{message}\n{record}", String::from_utf8_lossy(&out.stderr));
}

#[test]
fn a_message_that_requires_tls_goes_over_verified_tls_or_comes_back() {
    let remote = remote();
    remote.set("smtp.require_tls", "true");
    remote.stop();
    remote.start();
    let port: u16 = remote.port("smtp").parse().unwrap();
    let digest = Sha256::digest(certificate(&remote)).to_vec();
    let server = NameServer::start(move |name, kind| match (name, kind) {
        ("dest.signed.test" | "dest.test", RecordType::MX) => Says::Records(vec![mx(10, "mx.signed.test")]),
        ("mx.signed.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        (tlsa_name, RecordType::TLSA) if tlsa_name == format!("_{port}._tcp.mx.signed.test") => {
            Says::Records(vec![tlsa(3, 0, 1, digest.clone())])
        }
        _ => nothing(),
    });
    let world = world_with(&server);
    world.set("smtp.require_tls", "true");
    let routes = format!("remote.test esmtp:dest.signed.test:{port}\nforgeable.test esmtp:dest.test:{port}\n");
    std::fs::write(world.path("etc/routes"), routes).unwrap();
    world.start();
    let login = encodify::base64::STANDARD.encode(b"\0alice@example.test\0demo");
    let mut client = Tls::connect(world.address("submission"), b"EHLO c\r\nSTARTTLS\r\n");
    for _ in 0..3 {
        client.reply();
    }
    client.start();
    client.ask("EHLO c");
    assert!(client.ask(&format!("AUTH PLAIN {login}")).starts_with("235"));
    for to in ["carol@remote.test", "x@forgeable.test"] {
        for (command, code) in [
            ("MAIL FROM:<alice@example.test> REQUIRETLS", "250"),
            (&format!("RCPT TO:<{to}>"), "250"),
            ("DATA", "354"),
            ("Subject: secret\r\n\r\ntext\r\n.", "250"),
        ] {
            let reply = client.ask(command);
            assert!(reply.starts_with(code), "{command}: {reply}");
        }
    }
    wait_until("mail for carol", || carol(&remote).len() == 1);
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("Status: 5.7.10") && report.contains("x@forgeable.test"), "{report}");
    assert!(world.queued().is_empty());
}
