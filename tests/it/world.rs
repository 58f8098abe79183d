//! A root of its own for each test, made by the real commands, on free loopback ports; everything ends with it.

use crate::queue::walk;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for anything.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// One site.
pub struct World {
    dir: tempfile::TempDir,
    started: AtomicBool,
}

/// Path of one of our binaries.
pub fn bin(name: &str) -> PathBuf {
    let any = PathBuf::from(env!("CARGO_BIN_EXE_emd"));
    any.with_file_name(name)
}

/// True when a program is there; says so when it is not, because the test is then skipped.
pub fn has(program: &str) -> bool {
    let found = ["/usr/bin", "/usr/sbin", "/bin", "/usr/local/bin", "/usr/lib/git-core"]
        .iter()
        .any(|d| Path::new(d).join(program).exists());
    if !found {
        println!("skipped: {program} is not installed");
    }
    found
}

impl World {
    /// A root with alice and bob (password `demo`, bob with --apop); no service runs yet.
    pub fn new() -> World {
        let world = World::empty();
        world.add("alice@example.test", &[]);
        world.add("bob@example.test", &["--apop"]);
        world
    }

    /// A root without accounts.
    pub fn empty() -> World {
        let dir = tempfile::Builder::new().prefix("em").tempdir().unwrap();
        let world = World { dir, started: AtomicBool::new(false) };
        world.ok("emconf", &["init", "--domain", "example.test", "--port-base", "30000", "--free-ports"]);
        // Each test has its own ports, whatever runs beside it.
        for service in [
            "smtp",
            "submission",
            "submissions",
            "lmtp",
            "odmr",
            "pop3",
            "pop3s",
            "imap",
            "imaps",
            "poppass",
            "managesieve",
        ] {
            let port = free_port();
            world.set(&format!("services.{service}"), &format!("127.0.0.1:{port}"));
        }
        world.set("auth.failure_delay", "10ms");
        world
    }

    /// Adds an account with the password `demo`.
    pub fn add(&self, address: &str, options: &[&str]) {
        let mut arguments = vec!["add", address, "--password-stdin"];
        arguments.extend(options);
        let out = self.run_with("emuser", &arguments, b"demo");
        assert!(out.status.success(), "{out:?}");
    }

    /// The root's folder.
    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the root.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A command of ours on this root.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(bin(program));
        command.arg("--root").arg(self.root()).env_remove("EM_ROOT").env_remove("EM_FAULT").env("TZ", "UTC");
        command
    }

    /// Runs a command to its end.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.run_with(program, arguments, b"")
    }

    /// Runs a command with this on its standard input.
    pub fn run_with(&self, program: &str, arguments: &[&str], input: &[u8]) -> Output {
        let mut command = self.command(program);
        command.args(arguments);
        feed(&mut command, input)
    }

    /// Runs a command that must succeed; gives its standard output.
    pub fn ok(&self, program: &str, arguments: &[&str]) -> String {
        let out = self.run(program, arguments);
        assert!(out.status.success(), "{program} {arguments:?}: {out:?}");
        String::from_utf8(out.stdout).unwrap()
    }

    /// Changes a setting.
    pub fn set(&self, key: &str, value: &str) {
        self.ok("emconf", &["set", key, value]);
    }

    /// Where a service listens.
    pub fn address(&self, service: &str) -> SocketAddr {
        self.ok("emconf", &["get", &format!("services.{service}")]).trim().parse().unwrap()
    }

    /// Its port as text.
    pub fn port(&self, service: &str) -> String {
        self.address(service).port().to_string()
    }

    /// Starts all services and returns when they answer.
    pub fn start(&self) {
        self.ok("emd", &["start"]);
        self.started.store(true, Ordering::Relaxed);
    }

    /// Stops them.
    pub fn stop(&self) {
        self.ok("emd", &["stop"]);
        self.started.store(false, Ordering::Relaxed);
    }

    /// Texts of a mailbox, new and cur, sorted by name.
    pub fn mailbox(&self, user: &str) -> Vec<String> {
        self.mailbox_of("example.test", user)
    }

    /// The same in another domain.
    pub fn mailbox_of(&self, domain: &str, user: &str) -> Vec<String> {
        let mut files = Vec::new();
        for sub in ["new", "cur"] {
            let dir = self.path(&format!("mail/{domain}/{user}/Maildir/{sub}"));
            if let Ok(entries) = std::fs::read_dir(dir) {
                files.extend(entries.map(|e| e.unwrap().path()));
            }
        }
        files.sort();
        files.iter().map(|f| String::from_utf8_lossy(&std::fs::read(f).unwrap()).into_owned()).collect()
    }

    /// Waits until a mailbox has so many messages.
    pub fn await_mail(&self, user: &str, count: usize) -> Vec<String> {
        let mut found = Vec::new();
        wait_until(&format!("{count} messages for {user}"), || {
            found = self.mailbox(user);
            found.len() >= count
        });
        assert_eq!(found.len(), count, "{user}: {found:#?}");
        found
    }

    /// Ids in the queue.
    pub fn queued(&self) -> Vec<String> {
        let text = self.ok("emqueue", &["list", "--json"]);
        text.lines()
            .map(|l| serde_json::from_str::<serde_json::Value>(l).unwrap()["id"].as_str().unwrap().to_string())
            .collect()
    }

    /// Files of messages that are being written, or were when their writer died.
    pub fn drafts(&self) -> Vec<PathBuf> {
        let mut drafts = walk(&self.path("spool/queue"));
        drafts.retain(|file| file.extension().is_some_and(|ending| ending == "new"));
        drafts.extend(walk(&self.path("spool/tmp")));
        drafts
    }

    /// The log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("log/em.log")).unwrap_or_default()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if self.started.load(Ordering::Relaxed) {
            let _ = self.run("emd", &["stop"]);
        }
        if std::thread::panicking() {
            eprintln!("log of {}:\n{}", self.root().display(), self.log());
        }
    }
}

/// Runs a command with this on its standard input; it must end in time.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // A program that reads no more is not the test's concern.
        let _ = stdin.write_all(&input);
    });
    let pid = nix::unistd::Pid::from_raw(child.id() as i32);
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if wait.recv_timeout(PATIENCE * 2) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
            let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
        }
    });
    let out = child.wait_with_output().unwrap();
    let _ = done.send(());
    let _ = (writer.join(), watch.join());
    out
}

/// Waits for a condition, up to the deadline.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < until, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A port nobody uses now. Two tests never get the same one.
pub fn free_port() -> u16 {
    use std::sync::Mutex;
    static TAKEN: Mutex<Vec<u16>> = Mutex::new(Vec::new());
    loop {
        // Below the ephemeral range, so that no outgoing connection takes it between here and its use.
        let mut bytes = [0; 2];
        getrandom::fill(&mut bytes).unwrap();
        let port = 12000 + u16::from_le_bytes(bytes) % 18000;
        let mut taken = TAKEN.lock().unwrap();
        if !taken.contains(&port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            taken.push(port);
            return port;
        }
    }
}
