//! A program under the supervisor: its sockets, its process, how it is started and ended.

use crate::clock::Timestamp;
use crate::config::Site;
use crate::status::Exit;
use crate::syscall;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Pause before the first restart of a program that died.
pub(super) const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a program may take to end.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// Which program serves which services.
pub(super) const PROGRAMS: &[(&str, &[&str])] = &[
    ("emsmtp", &["smtp", "submission", "submissions", "lmtp", "odmr"]),
    ("empop", &["pop3", "pop3s"]),
    ("emimap", &["imap", "imaps"]),
    ("empass", &["poppass"]),
    ("emsieve", &["managesieve"]),
];

/// A service, where it listens, and its socket.
pub(super) type Bound = (&'static str, SocketAddr, TcpListener);

/// One program of [`PROGRAMS`], or the queue daemon.
#[derive(Debug)]
pub(super) struct Program {
    pub(super) name: &'static str,
    pub(super) sockets: Vec<Bound>,
    pub(super) child: Option<Child>,
    pub(super) started: Instant,
    pub(super) since: Timestamp,
    /// How it ended last.
    pub(super) ended: Option<ExitStatus>,
    pub(super) pause: Duration,
    pub(super) start_at: Option<Instant>,
    pub(super) is_stopped: bool,
    pub(super) restarts: u32,
}

impl Program {
    /// It says itself that trying again does not help: wrong settings, a certificate that is missing.
    pub(super) fn is_hopeless(&self) -> bool {
        let hopeless = [Exit::Config, Exit::Usage].map(|exit| exit as i32);
        self.child.is_none() && self.ended.and_then(|status| status.code()).is_some_and(|code| hopeless.contains(&code))
    }
}

/// A command of ours: in our folder, with our root, as the user that may.
pub(super) fn command(site: &Site, bin: &Path, argv: &[String], drops_to: Option<(u32, u32)>) -> Option<Command> {
    let (program, arguments) = argv.split_first()?;
    let path = if program.contains('/') { PathBuf::from(program) } else { bin.join(program) };
    let mut command = Command::new(path);
    if !program.contains('/') {
        command.args(site.root.arguments());
    }
    // Programs speak through the log and standard error; standard output may be a pipe that somebody waits on.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0).env_remove("NOTIFY_SOCKET");
    // Without it glibc keeps the 19 MiB of a password hash for each thread that ever made one.
    command.env("MALLOC_MMAP_THRESHOLD_", "1048576");
    syscall::end_with_parent(&mut command);
    if let Some((uid, gid)) = drops_to {
        command.uid(uid).gid(gid);
    }
    Some(command)
}

pub(super) fn spawn(site: &Site, bin: &Path, program: &Program, drops_to: Option<(u32, u32)>) -> io::Result<Child> {
    let mut argv = vec![program.name.to_string()];
    if program.name == "emqueue" {
        argv.push("daemon".to_string());
    }
    let mut command = command(site, bin, &argv, drops_to).ok_or_else(|| io::Error::other("no program"))?;
    let sockets: Vec<BorrowedFd<'_>> = program.sockets.iter().map(|(_, _, s)| s.as_fd()).collect();
    let names: Vec<&str> = program.sockets.iter().map(|(name, ..)| *name).collect();
    command.env_remove("LISTEN_PID").env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    syscall::pass(&mut command, &sockets);
    command.spawn()
}

pub(super) fn terminate(program: &Program) {
    if let Some(child) = &program.child {
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
}

/// Ends a program and waits for it.
pub(super) fn end(program: &mut Program) {
    terminate(program);
    if let Some(child) = program.child.take() {
        wait_or_kill(child, END_PATIENCE);
    }
}

/// Waits for a process that was asked to end, at most `patience`; then kills it.
pub(super) fn wait_or_kill(mut child: Child, patience: Duration) {
    let until = Instant::now() + patience;
    while Instant::now() < until {
        if let Ok(Some(_)) = child.try_wait() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Ends a program; it starts again at once, on the same sockets.
pub(super) fn restart(program: &mut Program) {
    end(program);
    program.pause = FIRST_PAUSE;
    program.start_at = Some(Instant::now());
}
