//! OpenSMTPD as the remote host. It is unpacked, not installed: its users and folders exist in a mount namespace of its own.

use super::world::{World, free_port, has, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

struct OpenSmtpd {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Drop for OpenSmtpd {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            let _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM);
        }
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", self.read("log"));
        }
    }
}

/// $0 is the folder of the unpacked package, $1 that of this server.
const SCRIPT: &str = "mount --bind $1/passwd /etc/passwd && mount --bind $1/group /etc/group &&
    mount -t tmpfs none /var/spool && mkdir -m 711 /var/spool/smtpd &&
    mount -t tmpfs none /var/lib && mkdir -p /var/lib/opensmtpd/empty &&
    mount -t tmpfs none /usr/libexec && cp -r $0/usr/libexec/opensmtpd /usr/libexec/ &&
    mount -t tmpfs none /run && mount -t tmpfs none /usr/sbin && cp $0/usr/sbin/smtpd /usr/sbin/ &&
    exec /usr/sbin/smtpd -d -f $1/smtpd.conf";

fn package() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/clients/opensmtpd");
    let may = nix::unistd::geteuid().is_root() && has("unshare");
    let can =
        || Command::new("unshare").args(["--mount", "true"]).stderr(Stdio::null()).status().is_ok_and(|s| s.success());
    if !root.join("usr/sbin/smtpd").exists() || !may || !can() {
        println!("skipped: OpenSMTPD is not unpacked, we are not root, or there may be no namespaces here");
        return None;
    }
    Some(root)
}

impl OpenSmtpd {
    /// Takes mail for remote.test into one Maildir, but none for `no@`.
    fn start() -> Option<OpenSmtpd> {
        let package = package()?;
        let dir = tempfile::Builder::new().prefix("opensmtpd").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = |name: &str| dir.path().join(name);
        let write = |name: &str, text: String, mode: u32| {
            std::fs::write(path(name), text).unwrap();
            std::fs::set_permissions(path(name), std::fs::Permissions::from_mode(mode)).unwrap();
        };
        let users = |file: &str, more: &str| std::fs::read_to_string(file).unwrap() + more;
        let accounts =
            "opensmtpd:x:64990:64990::/nonexistent:/bin/false\nopensmtpq:x:64991:64991::/nonexistent:/bin/false\n";
        write("passwd", users("/etc/passwd", accounts), 0o644);
        write("group", users("/etc/group", "opensmtpd:x:64990:\nopensmtpq:x:64991:\n"), 0o644);
        std::fs::create_dir(path("mail")).unwrap();
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        nix::unistd::chown(&path("mail"), Some(nobody.uid), Some(nobody.gid)).unwrap();
        let port = free_port();
        let here = dir.path().display();
        let conf = format!(
            "listen on 127.0.0.1 port {port} hostname mx.remote.test\n\
             action \"keep\" maildir \"{here}/mail\" virtual {{ \"@\" = nobody }}\n\
             match from any for rcpt-to {{ \"no@remote.test\" }} reject\n\
             match from any for domain \"remote.test\" action \"keep\"\n"
        );
        write("smtpd.conf", conf, 0o600);
        let log = std::fs::File::create(path("log")).unwrap();
        let child = Command::new("unshare")
            .args(["--mount", "sh", "-c", SCRIPT])
            .args([&package, dir.path()])
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        let server = OpenSmtpd { child, dir, port };
        wait_until("OpenSMTPD", || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok());
        Some(server)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.path().join(name)).unwrap_or_default()
    }

    /// The messages that it has kept.
    fn mail(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.dir.path().join("mail/new")).into_iter().flatten().flatten();
        folder.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).collect()
    }
}

#[test]
fn opensmtpd_takes_our_mail_and_its_refusals_come_back() {
    let Some(server) = OpenSmtpd::start() else { return };
    let world = World::new();
    std::fs::write(world.path("etc/routes"), format!("remote.test esmtp:[127.0.0.1]:{}\n", server.port)).unwrap();
    let out = world.run_with(
        "emsend",
        &["-i", "-odq", "-f", "alice@example.test", "bob@remote.test", "carol@remote.test", "no@remote.test"],
        "Subject: out\n\n.\n..\nGrüße\n".as_bytes(),
    );
    assert!(out.status.success(), "{out:?}");
    world.ok("emqueue", &["run", "--all"]);
    wait_until("mail at OpenSMTPD", || server.mail().len() == 2);
    for text in server.mail() {
        assert!(text.contains("Subject: out\n"), "{text}");
        assert!(text.ends_with("\n\n.\n..\nGrüße\n"), "{text}");
    }
    let bounce = world.await_mail("alice", 1).remove(0);
    assert!(bounce.contains("no@remote.test") && bounce.contains("550"), "{bounce}");
    assert!(world.queued().is_empty());
    // Many at once over few connections.
    for n in 0..20 {
        let text = format!("Subject: number {n}\n\nline\n");
        let out =
            world.run_with("emsend", &["-i", "-odq", "-f", "alice@example.test", "bob@remote.test"], text.as_bytes());
        assert!(out.status.success(), "{out:?}");
    }
    world.ok("emqueue", &["run", "--all"]);
    wait_until("the others", || server.mail().len() == 22);
}
