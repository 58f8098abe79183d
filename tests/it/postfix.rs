//! Postfix as the remote host: another SMTP server and OpenSSL's TLS, with postgrey's greylisting before it.

use super::world::{World, free_port, wait_until};
use rcgen::{CertificateParams, KeyPair};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct Postfix {
    master: Child,
    greylist: Child,
    dir: tempfile::TempDir,
    /// Its usual server, and one that says nothing of 8BITMIME.
    ports: [u16; 2],
}

impl Drop for Postfix {
    fn drop(&mut self) {
        for child in [&mut self.master, &mut self.greylist] {
            // Postfix's master takes its children with it.
            let pid = nix::unistd::Pid::from_raw(child.id() as i32);
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

fn program() -> Option<PathBuf> {
    let unpacked = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/postfix");
    let found =
        [unpacked, PathBuf::from("/")].into_iter().find(|root| root.join("usr/lib/postfix/sbin/master").exists());
    let user = nix::unistd::User::from_name("postfix").ok().flatten();
    let group = nix::unistd::Group::from_name("postdrop").ok().flatten();
    let has_greylist = Path::new("/usr/sbin/postgrey").exists();
    let is_root = nix::unistd::geteuid().is_root();
    if found.is_none() || user.is_none() || group.is_none() || !has_greylist || !is_root {
        println!("skipped: Postfix, its user and group or postgrey are not installed, or we are not root");
        return None;
    }
    found
}

/// Postfix's own folders below its queue: the name, and who may look in.
const FOLDERS: [(&str, u32); 15] = [
    ("active", 0o700),
    ("bounce", 0o700),
    ("corrupt", 0o700),
    ("defer", 0o700),
    ("deferred", 0o700),
    ("flush", 0o700),
    ("hold", 0o700),
    ("incoming", 0o700),
    ("maildrop", 0o730),
    ("pid", 0o755),
    ("private", 0o700),
    ("public", 0o710),
    ("saved", 0o700),
    ("trace", 0o700),
    ("", 0o755),
];

impl Postfix {
    /// Takes mail for carol@remote.test and grey@remote.test, the latter only at a second attempt.
    fn start() -> Option<Postfix> {
        let root = program()?;
        let dir = tempfile::Builder::new().prefix("postfix").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name);
        let user = nix::unistd::User::from_name("postfix").unwrap().unwrap();
        let drop = nix::unistd::Group::from_name("postdrop").unwrap().unwrap();
        for name in ["etc", "spool", "data", "mail", "grey"] {
            std::fs::create_dir(path(name)).unwrap();
        }
        for name in ["data", "mail", "grey"] {
            nix::unistd::chown(&path(name), Some(user.uid), Some(user.gid)).unwrap();
        }
        for (name, mode) in FOLDERS {
            let folder = path("spool").join(name);
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(mode)).unwrap();
            if !matches!(name, "" | "pid") {
                let group = if matches!(name, "maildrop" | "public") { drop.gid } else { user.gid };
                nix::unistd::chown(&folder, Some(user.uid), Some(group)).unwrap();
            }
        }
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_string()];
        let certificate = CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        std::fs::write(path("chain.pem"), key.serialize_pem() + &certificate.pem()).unwrap();
        let [usual, seven, grey] = [free_port(), free_port(), free_port()];
        let (base, lib) = (dir.path().display(), root.join("usr/lib/postfix"));
        let main = format!(
            "compatibility_level = 3.6\nqueue_directory = {base}/spool\ndata_directory = {base}/data\n\
             command_directory = {root}/usr/sbin\ndaemon_directory = {lib}/sbin\nshlib_directory = {lib}\n\
             mail_owner = postfix\nsetgid_group = postdrop\nmyhostname = mx.remote.test\nmydestination =\n\
             mynetworks = 192.0.2.0/24\ninet_interfaces = 127.0.0.1\ninet_protocols = ipv4\nalias_maps =\n\
             import_environment = LD_LIBRARY_PATH MAIL_CONFIG\nmaillog_file = {base}/log\nmaillog_file_prefixes = {base}\n\
             virtual_mailbox_domains = remote.test\nvirtual_mailbox_base = {base}/mail\n\
             virtual_mailbox_maps = inline:{{ carol@remote.test=carol/, grey@remote.test=grey/ }}\n\
             virtual_uid_maps = static:{uid}\nvirtual_gid_maps = static:{gid}\n\
             smtpd_tls_chain_files = {base}/chain.pem\nsmtpd_tls_security_level = may\n\
             smtpd_tls_received_header = yes\n\
             smtpd_recipient_restrictions = reject_unauth_destination,\n  check_recipient_access inline:{{ grey@remote.test=grey }}\n\
             smtpd_restriction_classes = grey\ngrey = check_policy_service inet:127.0.0.1:{grey}\n",
            root = root.display(),
            lib = lib.display(),
            uid = user.uid,
            gid = user.gid,
        );
        let services = [
            format!("127.0.0.1:{usual} inet n - n - - smtpd"),
            format!(
                "127.0.0.1:{seven} inet n - n - - smtpd\n  -o smtpd_discard_ehlo_keywords=8bitmime,smtputf8,chunking"
            ),
            "cleanup unix n - n - 0 cleanup".to_string(),
            "qmgr unix n - n 300 1 qmgr".to_string(),
            "tlsmgr unix - - n 1000? 1 tlsmgr".to_string(),
            "rewrite unix - - n - - trivial-rewrite".to_string(),
            "bounce unix - - n - 0 bounce".to_string(),
            "defer unix - - n - 0 bounce".to_string(),
            "trace unix - - n - 0 bounce".to_string(),
            "proxymap unix - - n - - proxymap".to_string(),
            "virtual unix - n n - - virtual".to_string(),
            "error unix - - n - - error".to_string(),
            "retry unix - - n - - error".to_string(),
            "anvil unix - - n - 1 anvil".to_string(),
            "postlog unix-dgram n - n - 1 postlogd".to_string(),
        ];
        std::fs::write(path("etc/main.cf"), main).unwrap();
        std::fs::write(path("etc/master.cf"), services.join("\n") + "\n").unwrap();
        let greylist = Command::new("/usr/sbin/postgrey")
            .arg(format!("--inet=127.0.0.1:{grey}"))
            .arg(format!("--dbdir={base}/grey"))
            .args(["--delay=1", "--user=postfix", "--group=postfix"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let master = Command::new(lib.join("sbin/master"))
            .env("LD_LIBRARY_PATH", &lib)
            .arg("-c")
            .arg(path("etc"))
            .arg("-d")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let postfix = Postfix { master, greylist, dir, ports: [usual, seven] };
        for port in [usual, seven, grey] {
            wait_until("Postfix", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        }
        Some(postfix)
    }

    fn await_mail(&self, user: &str, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        wait_until(&format!("mail for {user} at Postfix"), || {
            let Ok(files) = std::fs::read_dir(self.dir.path().join(format!("mail/{user}/new"))) else { return false };
            found = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok()).collect();
            found.len() == count
        });
        found
    }
}

fn send(world: &World, to: &[&str], text: &str) {
    let arguments = [&["-i", "-odq", "-f", "alice@example.test"][..], to].concat();
    let out = world.run_with("emsend", &arguments, text.as_bytes());
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn postfix_takes_mail_over_tls_greylists_and_refuses() {
    let Some(postfix) = Postfix::start() else { return };
    let world = World::new();
    let port = postfix.ports[0];
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:[127.0.0.1]:1:[127.0.0.1]:{port}\n")).unwrap();
    std::fs::write(world.path("etc/tls-policies"), "[127.0.0.1] encrypt\n").unwrap();
    let text = "Subject: out\n\nGrüße\n.\n..\n";
    send(&world, &["carol@remote.test", "grey@remote.test", "no@remote.test"], text);
    assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
    let mail = &postfix.await_mail("carol", 1)[0];
    assert!(mail.contains("with ESMTPS") && mail.ends_with("Grüße\n.\n..\n"), "{mail}");
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("no@remote.test") && report.contains("User unknown in virtual mailbox table"), "{report}");
    let list = world.ok("emqueue", &["list"]);
    assert!(list.contains("Greylisted") && !list.contains("carol"), "{list}");
    wait_until("the greylist's word", || world.run("emqueue", &["run", "--all"]).status.success());
    assert_eq!(postfix.await_mail("grey", 1).len(), 1);
    assert_eq!(postfix.await_mail("carol", 1).len(), 1, "nobody gets it twice");
}

#[test]
fn a_server_without_8bitmime_gets_seven_bits() {
    let Some(postfix) = Postfix::start() else { return };
    let world = World::new();
    let route = format!("remote.test esmtp:[127.0.0.1]:{}\n", postfix.ports[1]);
    std::fs::write(world.path("etc/routes"), route).unwrap();
    let text = "Subject: Grüße\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n\
        Viele Grüße = alles\n";
    send(&world, &["carol@remote.test"], text);
    world.ok("emqueue", &["run", "--all"]);
    let mail = &postfix.await_mail("carol", 1)[0];
    assert!(mail.is_ascii() && mail.contains("Content-Transfer-Encoding: quoted-printable\n"), "{mail}");
    assert!(mail.ends_with("Viele Gr=C3=BC=C3=9Fe =3D alles\n") && mail.contains("Subject: =?UTF-8?B?"), "{mail}");
    world.set("relay.encode_8bit", "false");
    send(&world, &["carol@remote.test"], "Subject: plain\n\nViele Grüße\n");
    world.ok("emqueue", &["run", "--all"]);
    assert!(postfix.await_mail("carol", 2).iter().any(|mail| mail.ends_with("Viele Grüße\n")));
}
