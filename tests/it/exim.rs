//! Exim as the remote host: another mail server's SMTP, another library's TLS.

use super::name_server::{NameServer, Says, a, mx, nothing, tlsa};
use super::world::{World, free_port, wait_until};
use hickory_resolver::proto::rr::RecordType;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use sha2::{Digest, Sha256};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

struct Exim {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
    /// SHA-256 of its authority's certificate.
    authority: Vec<u8>,
}

impl Drop for Exim {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.read("log-main"));
        }
    }
}

fn program() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/exim/usr/sbin/exim4");
    let found = [unpacked, PathBuf::from("/usr/sbin/exim4")].into_iter().find(|path| path.exists());
    let user = nix::unistd::User::from_name("Debian-exim").ok().flatten();
    if found.is_none() || user.is_none() || !nix::unistd::geteuid().is_root() {
        println!("skipped: Exim or its user is not installed, or we are not root");
        return None;
    }
    found
}

impl Exim {
    /// Takes mail for remote.test into one file; `greylisted@` only once a file named `ok` is there, `no@` never.
    fn start() -> Option<Exim> {
        let program = program()?;
        let dir = tempfile::Builder::new().prefix("exim").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let host =
            CertificateParams::new(vec!["mx.signed.test".to_string()]).unwrap().signed_by(&key, &authority).unwrap();
        let path = |name: &str| dir.path().join(name);
        std::fs::write(path("chain.pem"), format!("{}{}", host.pem(), authority.pem())).unwrap();
        std::fs::write(path("key.pem"), key.serialize_pem()).unwrap();
        std::fs::create_dir(path("mail")).unwrap();
        let user = nix::unistd::User::from_name("Debian-exim").unwrap().unwrap();
        nix::unistd::chown(&path("mail"), Some(user.uid), Some(user.gid)).unwrap();
        let port = free_port();
        let config = format!(
            "exim_path = {program}\nexim_user = root\nexim_group = root\nnever_users =\nkeep_environment =\nprimary_hostname = mx.signed.test\n\
             domainlist local_domains = remote.test\nspool_directory = {dir}/spool\nlog_file_path = {dir}/log-%s\nhost_lookup =\n\
             rfc1413_query_timeout = 0s\ntls_advertise_hosts = *\ntls_certificate = {dir}/chain.pem\ntls_privatekey = {dir}/key.pem\n\
             acl_smtp_rcpt = rcpt\nauth_advertise_hosts = ${{if def:tls_in_cipher{{*}}}}\n\
             begin acl\nrcpt:\n  deny local_parts = no\n    message = no such user\n\
             \x20 defer local_parts = greylisted\n    condition = ${{if !exists{{{dir}/ok}}}}\n    message = greylisted\n\
             \x20 deny local_parts = secret\n    !authenticated = *\n    message = who are you\n  accept\n\
             begin routers\nlocal:\n  driver = accept\n  transport = file\n\
             begin transports\nfile:\n  driver = appendfile\n  file = {dir}/mail/mbox\n  mode = 0644\n  user = Debian-exim\n\
             begin retry\nbegin rewrite\nbegin authenticators\n\
             login:\n  driver = plaintext\n  public_name = LOGIN\n  server_prompts = Username:: : Password::\n\
             \x20 server_condition = ${{if and{{{{eq{{$auth1}}{{me}}}}{{eq{{$auth2}}{{se cret}}}}}}}}\n  server_set_id = $auth1\n",
            program = program.display(),
            dir = dir.path().display(),
        );
        std::fs::write(path("exim.conf"), config).unwrap();
        std::fs::set_permissions(path("exim.conf"), std::fs::Permissions::from_mode(0o600)).unwrap();
        let child = Command::new(&program)
            .arg("-C")
            .arg(path("exim.conf"))
            .args(["-bdf", "-oX", &format!("127.0.0.1.{port}")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let authority = Sha256::digest(authority.der()).to_vec();
        let exim = Exim { child, dir, port, authority };
        wait_until("Exim", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(exim)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    fn await_mail(&self, count: usize) -> String {
        wait_until("mail at Exim", || self.read("mail/mbox").matches("\nSubject: out").count() == count);
        self.read("mail/mbox")
    }
}

fn send(world: &World, to: &str) {
    let out =
        world.run_with("emsend", &["-i", "-odq", "-f", "alice@example.test", to], b"Subject: out\n\nline\n.\n..\n");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn dane_greylisting_and_refusals_by_exim() {
    let Some(exim) = Exim::start() else { return };
    let (port, record) = (exim.port, Arc::new(Mutex::new(vec![0; 32])));
    let says = record.clone();
    let server = NameServer::start(move |name, kind| match (name, kind) {
        ("dest.signed.test", RecordType::MX) => Says::Records(vec![mx(10, "mx.signed.test")]),
        ("mx.signed.test", RecordType::A) => Says::Records(vec![a("127.0.0.1")]),
        (name, RecordType::TLSA) if name == format!("_{port}._tcp.mx.signed.test") => {
            Says::Records(vec![tlsa(2, 0, 1, says.lock().unwrap().clone())])
        }
        _ => nothing(),
    });
    let world = World::new();
    world.set("dns.servers", &server.address.to_string());
    world.set("dns.hosts", "");
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:dest.signed.test:{port}\n")).unwrap();
    send(&world, "x@remote.test");
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    assert!(world.log().contains("matches no TLSA record"), "{}", world.log());
    *record.lock().unwrap() = exim.authority.clone();
    world.ok("emqueue", &["run", "--all"]);
    let text = exim.await_mail(1);
    assert!(text.contains("with esmtps") && text.contains("\n.\n..\n"), "{text}");
    // What is deferred is tried again, what is refused comes back.
    send(&world, "greylisted@remote.test");
    send(&world, "no@remote.test");
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("no such user") && report.contains("no@remote.test"), "{report}");
    assert_eq!(world.queued().len(), 1);
    std::fs::write(exim.dir.path().join("ok"), "").unwrap();
    world.ok("emqueue", &["run", "--all"]);
    exim.await_mail(2);
    assert!(world.queued().is_empty());
}

#[test]
fn exim_as_smart_host_knows_who_we_are() {
    let Some(exim) = Exim::start() else { return };
    let world = World::new();
    let smart = format!("[127.0.0.1]:{}", exim.port);
    let file = world.path("etc/smart-password");
    std::fs::write(&file, "se cret\n").unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    world.set("relay.smart_host", &smart);
    world.set("relay.smart_host_user", "me");
    world.set("relay.smart_host_password_file", file.to_str().unwrap());
    send(&world, "secret@remote.test");
    world.ok("emqueue", &["run", "--all"]);
    let text = exim.await_mail(1);
    assert!(text.contains("with esmtpsa"), "{text}");
}
