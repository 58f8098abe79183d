//! Servers of this machine that are reached by the path of a socket: a small one of ours, and Dovecot's LMTP.

use super::wire::Sink;
use super::world::{World, has, wait_until};
use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command, Stdio};

fn send(world: &World, to: &[&str]) {
    let arguments = [&["-i", "-odq", "-f", "alice@example.test"][..], to].concat();
    let out = world.run_with("emsend", &arguments, b"Subject: out\n\nline\n.\n..two\n");
    assert!(out.status.success(), "{out:?}");
}

#[test]
fn a_route_to_a_path_delivers_by_lmtp_and_by_smtp() {
    for (mailer, hello) in [("lmtp", "LHLO"), ("esmtp", "EHLO")] {
        let world = World::new();
        let path = world.path("inner.sock");
        std::fs::write(world.path("etc/routes"), format!("remote.test {mailer}:{}\n", path.display())).unwrap();
        send(&world, &["x@remote.test"]);
        // Nobody is there yet.
        assert_eq!(world.run("emqueue", &["run", "--all"]).status.code(), Some(75));
        let list = world.ok("emqueue", &["list"]);
        assert!(list.contains(&format!("{}: connect:", path.display())), "{list}");
        let got = Sink::start_at(&path, |_| None);
        world.ok("emqueue", &["run", "--all"]);
        let got = got.lock().unwrap().clone();
        assert!(got.commands[0].starts_with(hello), "{got:?}");
        assert!(got.texts[0].ends_with("line\r\n..\r\n...two\r\n"), "{got:?}");
        assert!(world.queued().is_empty());
        let shown = world.ok("emqueue", &["hosts", "remote.test"]);
        assert_eq!(shown, format!("{0}\n    socket: {0}\n    TLS: not used\n", path.display()));
    }
}

#[test]
fn the_smart_host_may_be_a_path_and_the_next_host_of_a_route_too() {
    let world = World::new();
    let path = world.path("out.sock");
    world.set("relay.smart_host", path.to_str().unwrap());
    let got = Sink::start_at(&path, |_| None);
    send(&world, &["x@remote.test"]);
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!(got.lock().unwrap().texts.len(), 1, "{}", world.log());
    let route = format!("other.test esmtp:[127.0.0.1]:1:{}\n", path.display());
    std::fs::write(world.path("etc/routes"), route).unwrap();
    world.ok("emconf", &["check"]);
    send(&world, &["x@other.test"]);
    world.ok("emqueue", &["run", "--all"]);
    assert_eq!(got.lock().unwrap().texts.len(), 2, "{}", world.log());
}

struct Dovecot {
    child: Child,
    dir: tempfile::TempDir,
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

impl Dovecot {
    /// Takes mail by LMTP for every user but `no`, at `run/lmtp` below its folder.
    fn start() -> Option<Dovecot> {
        if !has("dovecot") || !std::path::Path::new("/usr/lib/dovecot/lmtp").exists() {
            println!("skipped: Dovecot's LMTP server is not installed");
            return None;
        }
        if !nix::unistd::geteuid().is_root() {
            println!("skipped: Dovecot's master runs as root");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("dove").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let base = dir.path().display().to_string();
        let user = nix::unistd::User::from_name("mail").unwrap().unwrap();
        std::fs::create_dir(dir.path().join("mail")).unwrap();
        nix::unistd::chown(&dir.path().join("mail"), Some(user.uid), Some(user.gid)).unwrap();
        std::fs::write(dir.path().join("users"), "carol@remote.test::::::\ndave@remote.test::::::\n").unwrap();
        let config = format!(
            "base_dir = {base}/run\nstate_dir = {base}/state\nlog_path = {base}/log\nprotocols = lmtp\nssl = no\n\
             first_valid_uid = 1\nmail_location = maildir:{base}/mail/%n\n\
             passdb {{\n  driver = passwd-file\n  args = {base}/users\n}}\n\
             userdb {{\n  driver = passwd-file\n  args = {base}/users\n\
             \x20 override_fields = uid=mail gid=mail home={base}/mail/%n\n}}\n\
             service lmtp {{\n  unix_listener lmtp {{\n    mode = 0666\n  }}\n}}\n"
        );
        std::fs::write(dir.path().join("dovecot.conf"), config).unwrap();
        let child = Command::new("/usr/sbin/dovecot")
            .args(["-F", "-c"])
            .arg(dir.path().join("dovecot.conf"))
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let dovecot = Dovecot { child, dir };
        let path = dovecot.dir.path().join("run/lmtp");
        wait_until("Dovecot", || std::os::unix::net::UnixStream::connect(&path).is_ok());
        Some(dovecot)
    }

    fn mailbox(&self, user: &str) -> Vec<String> {
        let Ok(files) = std::fs::read_dir(self.dir.path().join(format!("mail/{user}/new"))) else { return Vec::new() };
        files.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect()
    }
}

#[test]
fn dovecot_takes_mail_by_its_lmtp_socket() {
    let Some(dovecot) = Dovecot::start() else { return };
    let world = World::new();
    let path = dovecot.dir.path().join("run/lmtp");
    std::fs::write(world.path("etc/routes"), format!("remote.test lmtp:{}\n", path.display())).unwrap();
    send(&world, &["carol@remote.test", "dave@remote.test", "nobody@remote.test"]);
    world.ok("emqueue", &["run", "--all"]);
    for user in ["carol", "dave"] {
        let texts = dovecot.mailbox(user);
        assert_eq!(texts.len(), 1, "{user}: {}", world.log());
        assert!(texts[0].ends_with("line\n.\n..two\n") && texts[0].contains("Subject: out"), "{texts:?}");
    }
    let report = &world.await_mail("alice", 1)[0];
    assert!(report.contains("Final-Recipient: rfc822; nobody@remote.test\nAction: failed\nStatus: 5.1.1"), "{report}");
    assert!(world.queued().is_empty());
}
