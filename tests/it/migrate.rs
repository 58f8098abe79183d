//! `emuser migrate`: an account of another server comes over whole, whatever ends a run half-way.

use super::imap_wire::{Imap, Value, values};
use super::world::{PATIENCE, World, feed, free_port, has, wait_until};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Dovecot for one test, with the account carol@example.test (password demo) below `INBOX.`.
struct Dovecot {
    dir: tempfile::TempDir,
    child: Child,
    address: SocketAddr,
}

impl Dovecot {
    /// Nothing when it can't run here; the line says why.
    fn start() -> Option<Dovecot> {
        if !has("dovecot") {
            return None;
        }
        if !Path::new("/usr/lib/dovecot/imap").exists() || !nix::unistd::geteuid().is_root() {
            println!("skipped: dovecot-imapd is not installed, or we are not root");
            return None;
        }
        let dir = tempfile::Builder::new().prefix("em-dovecot").tempdir().unwrap();
        std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap();
        std::fs::create_dir(dir.path().join("mail")).unwrap();
        nix::unistd::chown(&dir.path().join("mail"), Some(nobody.uid), Some(nobody.gid)).unwrap();
        let address: SocketAddr = format!("127.0.0.1:{}", free_port()).parse().unwrap();
        let (top, port, uid, gid) = (dir.path().display(), address.port(), nobody.uid, nobody.gid);
        let text = format!(
            "protocols = imap\nlisten = 127.0.0.1\nbase_dir = {top}/run\nlog_path = {top}/log\nssl = no\n\
             disable_plaintext_auth = no\nmail_location = maildir:{top}/mail/%u\nfirst_valid_uid = 1\nfirst_valid_gid = 1\n\
             mail_fsync = never\n\
             passdb {{\n driver = static\n args = password=demo\n}}\n\
             userdb {{\n driver = static\n args = uid={uid} gid={gid} home={top}/mail/%u\n}}\n\
             namespace inbox {{\n inbox = yes\n prefix = INBOX.\n separator = .\n mailbox Sent {{\n auto = subscribe\n special_use = \\Sent\n }}\n}}\n\
             service imap-login {{\n chroot =\n inet_listener imap {{\n port = {port}\n }}\n inet_listener imaps {{\n port = 0\n }}\n}}\n"
        );
        let config = dir.path().join("dovecot.conf");
        std::fs::write(&config, text).unwrap();
        let child =
            Command::new("/usr/sbin/dovecot").arg("-F").arg("-c").arg(&config).stdin(Stdio::null()).spawn().unwrap();
        let dovecot = Dovecot { dir, child, address };
        wait_until("Dovecot", || std::net::TcpStream::connect(address).is_ok());
        Some(dovecot)
    }
}

impl Drop for Dovecot {
    fn drop(&mut self) {
        let _ = nix::sys::signal::kill(
            nix::unistd::Pid::from_raw(self.child.id() as i32),
            nix::sys::signal::Signal::SIGTERM,
        );
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default());
        }
    }
}

fn append(imap: &mut Imap, mailbox: &str, number: usize) {
    let flags = ["", "\\Seen", "\\Answered \\Seen", "\\Flagged $Work", "\\Draft", "Later $Forwarded"][number % 6];
    let (day, hour) = (number % 28 + 1, number % 24);
    let size = if number % 200 == 7 { 300_000 } else { number % 50 };
    let text = format!(
        "Message-ID: <{number}@origin.test>\r\nSubject: number {number}\r\n\r\n{}\r\nend\r\n",
        "line of text\r\n".repeat(size / 14 + 1)
    );
    let date = format!("{day:02}-Mar-2019 {hour:02}:05:09 +0130");
    imap.ok(&format!("APPEND \"{mailbox}\" ({flags}) \"{date}\" {{{}+}}\r\n{text}", text.len()));
}

/// Everything that a mailbox shows of its messages, sorted.
fn shown(imap: &mut Imap, mailbox: &str) -> Vec<String> {
    imap.ok(&format!("EXAMINE \"{mailbox}\""));
    let lines = imap.ok("UID FETCH 1:* (FLAGS INTERNALDATE RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])");
    let mut all: Vec<String> = lines
        .iter()
        .filter(|line| line.windows(7).any(|w| w == b" FETCH "))
        .map(|line| {
            let line = values(line).unwrap();
            let items = line[2].list();
            let item = |name: &str| items.iter().position(|v| v.atom() == name).map(|at| &items[at + 1]).unwrap();
            let mut flags: Vec<&str> =
                item("FLAGS").list().iter().map(Value::atom).filter(|f| *f != "\\Recent").collect();
            flags.sort_unstable();
            let header =
                items.iter().position(|v| v.atom().starts_with("BODY[")).map(|at| items[at + 1].bytes()).unwrap();
            let date = expressmail::proto::imap_client::date_time(item("INTERNALDATE").bytes()).unwrap();
            let id = String::from_utf8_lossy(header).trim().to_string();
            format!("{id} {flags:?} {} {}", date.rfc3339(), item("RFC822.SIZE").atom())
        })
        .collect();
    all.sort();
    all
}

fn command(world: &World, from: SocketAddr) -> Command {
    let mut command = world.command("emuser");
    let server = from.to_string();
    command.args(["migrate", "alice@example.test", "--imap", &server, "--user", "carol@example.test"]);
    command.args(["--password-stdin", "--tls", "none"]);
    command
}

fn migrate(world: &World, from: SocketAddr) -> Output {
    feed(&mut command(world, from), b"demo\n")
}

fn told(out: &Output) -> String {
    assert!(out.status.success(), "{out:?}");
    String::from_utf8_lossy(&out.stdout).into_owned()
}

fn count(world: &World) -> usize {
    std::fs::read_dir(world.path("mail/example.test/alice/Maildir/cur")).map_or(0, Iterator::count)
}

/// Starts a run, and kills it once so many messages lie here.
fn kill_at(world: &World, from: SocketAddr, messages: usize) {
    let mut child = command(world, from).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), b"demo\n").unwrap();
    let until = Instant::now() + PATIENCE;
    while count(world) < messages && child.try_wait().unwrap().is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[test]
fn two_thousand_messages_of_dovecot_arrive_once_whatever_kills_the_run() {
    let Some(dovecot) = Dovecot::start() else { return };
    let mut there = Imap::log_in_at(dovecot.address, "carol");
    there.ok("CREATE INBOX.Arch");
    there.ok("CREATE \"INBOX.Arch.&ZeVnLIqe- &- co\"");
    there.ok("CREATE INBOX.empty");
    there.ok("SUBSCRIBE INBOX.Arch");
    for number in 0..2000 {
        let mailbox = ["INBOX", "INBOX", "INBOX", "INBOX.Sent", "INBOX.Arch.&ZeVnLIqe- &- co"][number % 5];
        append(&mut there, mailbox, number);
    }
    let world = World::new();
    let kept = b"Subject: mine\n\nwas here before\n";
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], kept).status.success());
    for messages in [1, 120, 350, 351, 600, 900] {
        kill_at(&world, dovecot.address, messages);
    }
    assert!(count(&world) > 0 && count(&world) < 1200, "{}", count(&world));
    told(&migrate(&world, dovecot.address));
    let again = told(&migrate(&world, dovecot.address));
    assert!(again.starts_with("0 messages (0 octets) copied in 5 mailboxes; 2000 were here\n"), "{again}");

    world.start();
    let mut here = Imap::log_in(&world, "alice");
    for (theirs, ours) in
        [("INBOX.Sent", "Sent"), ("INBOX.Arch.&ZeVnLIqe- &- co", "Arch/&ZeVnLIqe- &- co"), ("INBOX.empty", "empty")]
    {
        assert_eq!(shown(&mut here, ours), shown(&mut there, theirs), "{ours}");
    }
    let inbox = shown(&mut here, "INBOX");
    assert_eq!(inbox.iter().filter(|line| !line.contains("@origin.test")).count(), 1);
    let copied: Vec<String> = inbox.into_iter().filter(|line| line.contains("@origin.test")).collect();
    assert_eq!(copied, shown(&mut there, "INBOX"));
    let list = here.lines("LIST \"\" \"*\" RETURN (SPECIAL-USE SUBSCRIBED)");
    let line =
        |name: &str| list.iter().find(|line| line.ends_with(name)).unwrap_or_else(|| panic!("{name}: {list:#?}"));
    assert!(line("\"Sent\"").contains("\\Sent") && line("\"Sent\"").contains("\\Subscribed"));
    assert!(line("\"Arch\"").contains("\\Subscribed") && !line("\"empty\"").contains("\\Subscribed"));

    // What changes there is brought over; what is deleted here stays so.
    there.ok("SELECT INBOX");
    there.ok("STORE 1:3 FLAGS (\\Flagged News)");
    append(&mut there, "INBOX", 5000);
    here.ok("SELECT Sent");
    here.ok("STORE 1 +FLAGS (\\Deleted)");
    here.ok("EXPUNGE");
    let more = told(&migrate(&world, dovecot.address));
    assert!(more.starts_with("1 messages ("), "{more}");
    assert!(more.contains("2000 were here, 3 of them got other flags"), "{more}");
    let copied: Vec<String> =
        shown(&mut here, "INBOX").into_iter().filter(|line| line.contains("@origin.test")).collect();
    assert_eq!(copied, shown(&mut there, "INBOX"));
    assert_eq!(shown(&mut here, "Sent").len(), 399);
}

/// Another of our own servers is as good as any: the source is carol's account there.
fn origin(messages: usize) -> (World, SocketAddr) {
    let origin = World::empty();
    origin.add("carol@example.test", &[]);
    origin.start();
    let address = origin.address("imap");
    let mut imap = Imap::log_in(&origin, "carol");
    imap.ok("CREATE Work");
    for number in 0..messages {
        append(&mut imap, if number % 3 == 2 { "Work" } else { "INBOX" }, number);
    }
    // The same message twice is two messages.
    append(&mut imap, "INBOX", 0);
    (origin, address)
}

#[test]
fn a_run_that_dies_at_any_file_operation_leaves_each_message_once() {
    let (origin, from) = origin(7);
    let mut there = Imap::log_in(&origin, "carol");
    let wanted = [shown(&mut there, "INBOX"), shown(&mut there, "Work")];
    let world = World::new();
    world.start();
    let mut died = 0;
    for number in 1.. {
        let _ = std::fs::remove_dir_all(world.path("mail/example.test/alice"));
        let mut first = command(&world, from);
        let out = feed(first.env("EM_FAULT", format!("kill:{number}")), b"demo\n");
        if out.status.success() {
            break;
        }
        died += 1;
        told(&migrate(&world, from));
        let mut here = Imap::log_in(&world, "alice");
        assert_eq!([shown(&mut here, "INBOX"), shown(&mut here, "Work")], wanted, "kill:{number}");
    }
    assert!(died > 20, "{died}");
}

/// A mailbox that was made anew there has other identifiers for the same messages.
#[test]
fn a_mailbox_in_a_new_life_is_not_copied_again() {
    let (origin, from) = origin(9);
    let world = World::new();
    assert!(told(&migrate(&world, from)).starts_with("10 messages"));
    let mut there = Imap::log_in(&origin, "carol");
    there.ok("DELETE Work");
    there.ok("CREATE Work");
    for number in [8, 2, 5, 20] {
        append(&mut there, "Work", number);
    }
    let again = told(&migrate(&world, from));
    assert!(again.starts_with("1 messages (") && again.contains("; 10 were here"), "{again}");
    assert!(told(&migrate(&world, from)).starts_with("0 messages"));
    world.start();
    assert_eq!(shown(&mut Imap::log_in(&world, "alice"), "Work"), shown(&mut there, "Work"));
}

#[test]
fn wrong_passwords_hosts_and_servers_are_named() {
    let (origin, from) = origin(1);
    let world = World::new();
    let out = feed(&mut command(&world, from), b"wrong\n");
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    let out = migrate(&world, origin.address("smtp"));
    assert_eq!(out.status.code(), Some(69), "{out:?}");
    let nobody = format!("127.0.0.1:{}", free_port()).parse().unwrap();
    let out = migrate(&world, nobody);
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    // Where nothing else is said, no password goes in clear or to whom nobody knows.
    let server = from.to_string();
    let mut careful = world.command("emuser");
    careful.args(["migrate", "alice@example.test", "--imap", &server, "--user", "carol@example.test"]);
    careful.args(["--password-stdin", "--tls", "starttls"]);
    let out = feed(&mut careful, b"demo\n");
    assert_eq!(out.status.code(), Some(69), "{out:?}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("TLS"), "{out:?}");
    let out = feed(careful.arg("--any-certificate"), b"demo\n");
    assert!(out.status.success(), "{out:?}");
    let server = origin.address("imaps").to_string();
    let mut usual = world.command("emuser");
    usual.args([
        "migrate",
        "alice@example.test",
        "--imap",
        &server,
        "--user",
        "carol@example.test",
        "--password-stdin",
    ]);
    let out = feed(usual.arg("--any-certificate"), b"demo\n");
    assert!(told(&out).starts_with("0 messages"), "another port is the same account: {out:?}");
    assert!(!origin.log().contains("wrong") && !world.log().contains("demo"));
}

/// A sheet of accounts that only its owner may read.
fn sheet(world: &World, text: &str) -> String {
    let path = world.path("list.csv");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path.display().to_string()
}

#[test]
fn a_list_of_accounts_is_copied_and_goes_on_where_it_was() {
    let (origin, from) = origin(6);
    origin.add("dave@example.test", &[]);
    append(&mut Imap::log_in(&origin, "dave"), "INBOX", 77);
    let world = World::new();
    world.add("carol@example.test", &[]);
    let list = |text: &str| {
        let path = sheet(&world, text);
        let server = from.to_string();
        world.run("emuser", &["migrate", "--imap", &server, "--tls", "none", "--list", &path, "--jobs", "2"])
    };
    // Nothing is copied when a row is wrong.
    let out = list("address,user,password\nalice,carol@example.test,demo\nnobody,x,demo\n");
    assert_eq!(out.status.code(), Some(65), "{out:?}");
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(said.contains("list.csv:3: no account nobody@example.test\nnothing was copied"), "{said}");
    assert!(world.mailbox("alice").is_empty());
    // One fails, the others don't wait for it.
    let text = "address,user,password\nalice,carol@example.test,demo\nbob,dave@example.test,geheim\ncarol,dave@example.test,demo\n";
    let out = list(text);
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("alice@example.test: 7 messages ("), "{said}");
    assert!(said.ends_with("2 of 3 copied, 1 failed; the same command does the rest\n"), "{said}");
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(errors.contains("emuser: bob@example.test: ") && !errors.contains("geheim"), "{errors}");
    let out = list(&text.replace("geheim", "demo"));
    assert!(out.status.success(), "{out:?}");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(said.contains("alice@example.test: 0 messages") && said.contains("bob@example.test: 1 messages"), "{said}");
    assert_eq!((world.mailbox("bob").len(), world.mailbox("carol").len()), (1, 1));
    // Others could read the passwords.
    std::fs::set_permissions(world.path("list.csv"), std::fs::Permissions::from_mode(0o640)).unwrap();
    let path = world.path("list.csv").display().to_string();
    let out = world.run("emuser", &["migrate", "--imap", "127.0.0.1:1", "--list", &path]);
    assert_eq!(out.status.code(), Some(77), "{out:?}");
    assert_eq!(world.run("emuser", &["migrate", "--imap", "h", "--list", &path, "alice"]).status.code(), Some(64));
    assert_eq!(world.run("emuser", &["migrate", "--imap", "h", "alice"]).status.code(), Some(64));
}

#[test]
fn a_list_gives_up_when_the_server_is_down() {
    let world = World::new();
    let rows: String = (0..12).map(|n| format!("alice,u{n},x\n")).collect();
    let path = sheet(&world, &format!("address,user,password\n{rows}"));
    let server = format!("127.0.0.1:{}", free_port());
    let out = world.run("emuser", &["migrate", "--imap", &server, "--tls", "none", "--list", &path]);
    assert_eq!(out.status.code(), Some(75), "{out:?}");
    let errors = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(errors.matches("not tried: 127.0.0.1 does not answer").count(), 7, "{errors}");
}
