//! emd's work: binds the ports, starts the programs with their sockets, restarts what dies, runs the timed jobs.
//!
//! The sockets stay open here: a program that is restarted or reloaded refuses no connection, its clients wait a moment.
//! Programs that die are started again after a pause that doubles up to a minute. Root is given up by the children
//! (`user`), never needed by them again.

use super::jobs::Job;
use super::{Signals, fds, listen};
use crate::config::Site;
use crate::log;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Pause before the first restart of a program that died.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
/// Longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A program that lived so long starts with the first pause again.
const STEADY: Duration = Duration::from_secs(60);
/// How often files and jobs are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long a program may take to end.
const END_PATIENCE: Duration = Duration::from_secs(25);

/// Which program serves which services.
const PROGRAMS: &[(&str, &[&str])] = &[
    ("emsmtp", &["smtp", "submission", "submissions", "lmtp"]),
    ("empop", &["pop3", "pop3s"]),
    ("empass", &["poppass"]),
];

/// A request from the command line, passed by a file and a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Start a program that was stopped.
    Start(String),
    /// Stop one until it is started.
    Stop(String),
    /// Stop and start one.
    Restart(String),
}

impl Control {
    /// Reads `start NAME`, `stop NAME` or `restart NAME`.
    pub fn parse(text: &str) -> Option<Control> {
        let (verb, name) = text.trim().split_once(' ')?;
        let name = name.to_string();
        match verb {
            "start" => Some(Control::Start(name)),
            "stop" => Some(Control::Stop(name)),
            "restart" => Some(Control::Restart(name)),
            _ => None,
        }
    }
}

/// A program's state, as `emd status` shows it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Status {
    /// The program.
    pub program: String,
    /// Its services with where they listen: `smtp 127.0.0.1:25`.
    pub services: Vec<String>,
    /// Process id; `None` when it does not run.
    pub pid: Option<u32>,
    /// `running`, `stopped` or `restarting`.
    pub state: String,
    /// Times it was started again after dying.
    pub restarts: u32,
}

/// A service, where it listens, and the socket.
type Bound = (&'static str, SocketAddr, TcpListener);

#[derive(Debug)]
struct Program {
    name: &'static str,
    sockets: Vec<Bound>,
    child: Option<Child>,
    started: Instant,
    pause: Duration,
    start_at: Option<Instant>,
    is_stopped: bool,
    restarts: u32,
}

/// The supervisor of one site.
pub struct Supervisor {
    site: Site,
    bin: PathBuf,
    programs: Vec<Program>,
    jobs: Vec<Job>,
    settings_time: Option<std::time::SystemTime>,
    /// User and group of the children, when we are root and installed.
    drops_to: Option<(u32, u32)>,
}

impl Supervisor {
    /// Binds all ports; nothing runs yet. `bin` is the folder of our programs.
    pub fn new(site: Site, bin: PathBuf) -> io::Result<Supervisor> {
        let drops_to = match (nix::unistd::geteuid().is_root(), &site.root.dir) {
            (true, None) => {
                let user = nix::unistd::User::from_name("em").ok().flatten();
                let user =
                    user.ok_or_else(|| io::Error::other("there is no user em; see the installing instructions"))?;
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
            _ => None,
        };
        let settings_time = modified(&site);
        let first = site.clone();
        let mut supervisor = Supervisor { site, bin, programs: Vec::new(), jobs: Vec::new(), settings_time, drops_to };
        supervisor.plan(first)?;
        Ok(supervisor)
    }

    /// Makes the list of programs from the settings; sockets that are still wanted are kept.
    ///
    /// On an error, a port that is taken, everything stays as it was.
    fn plan(&mut self, site: Site) -> io::Result<()> {
        let held = |programs: &[Program], service: &str, address: &SocketAddr| {
            programs.iter().flat_map(|p| &p.sockets).any(|(s, a, _)| *s == service && a == address)
        };
        let mut kept: Vec<Bound> = Vec::new();
        for service in PROGRAMS.iter().flat_map(|(_, services)| *services) {
            for address in site.listens(service).iter().filter(|a| !held(&self.programs, service, a)) {
                let socket =
                    listen(*address).map_err(|e| io::Error::new(e.kind(), format!("services.{service}: {e}")))?;
                kept.push((*service, *address, socket));
            }
        }
        self.site = site;
        kept.extend(self.programs.iter_mut().flat_map(|p| p.sockets.drain(..)));
        let mut planned = Vec::new();
        for (name, services) in PROGRAMS {
            let mut sockets = Vec::new();
            for service in *services {
                for address in self.site.listens(service) {
                    let here = kept.iter().position(|(s, a, _)| s == service && a == address);
                    sockets.extend(here.map(|index| kept.swap_remove(index)));
                }
            }
            if !sockets.is_empty() {
                planned.push((*name, sockets));
            }
        }
        if self.site.settings.services.queue {
            planned.push(("emqueue", Vec::new()));
        }
        let mut programs = Vec::new();
        for (name, sockets) in planned {
            let old = self.programs.iter().position(|p| p.name == name).map(|i| self.programs.swap_remove(i));
            programs.push(match old {
                Some(old) => Program { sockets, ..old },
                None => Program {
                    name,
                    sockets,
                    child: None,
                    started: Instant::now(),
                    pause: FIRST_PAUSE,
                    start_at: Some(Instant::now()),
                    is_stopped: false,
                    restarts: 0,
                },
            });
        }
        // What is planned no more ends.
        let mut gone = std::mem::replace(&mut self.programs, programs);
        gone.iter_mut().for_each(end);
        self.jobs = self
            .site
            .settings
            .jobs
            .iter()
            .filter_map(|(name, text)| match Job::parse(name, text) {
                Ok(job) => Some(job),
                Err(reason) => {
                    log::event("job-refused").field("job", name).field("reason", reason).error().write();
                    None
                }
            })
            .collect();
        Ok(())
    }

    /// Runs until SIGTERM or SIGINT. `ready` is called once, when every service answers.
    pub fn run(mut self, mut signals: Signals, ready: impl FnOnce(&[Status])) -> io::Result<()> {
        let mut poll = Poll::new()?;
        poll.registry().register(signals.source(), Token(0), Interest::READABLE)?;
        let mut events = Events::with_capacity(8);
        let mut ready = Some(ready);
        loop {
            self.reap();
            self.start_due();
            if ready.is_some() && self.is_ready() {
                let status = self.status();
                self.write_status();
                if let Some(ready) = ready.take() {
                    ready(&status);
                }
            }
            let patience = if ready.is_some() { Duration::from_millis(10) } else { TICK };
            match poll.poll(&mut events, Some(patience)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            for signal in signals.read() {
                match signal {
                    SIGHUP => self.reload(),
                    SIGUSR1 => self.control(),
                    nix::libc::SIGCHLD => {}
                    _ => {
                        self.end_all();
                        return Ok(());
                    }
                }
            }
            if modified(&self.site) != self.settings_time {
                self.reload();
            }
            self.run_jobs();
            self.write_status();
        }
    }

    fn reap(&mut self) {
        for program in &mut self.programs {
            let Some(child) = &mut program.child else { continue };
            if let Ok(Some(status)) = child.try_wait() {
                program.child = None;
                if program.is_stopped {
                    continue;
                }
                program.pause = match program.started.elapsed() > STEADY {
                    true => FIRST_PAUSE,
                    false => (program.pause * 2).min(LONGEST_PAUSE),
                };
                program.restarts += 1;
                program.start_at = Some(Instant::now() + program.pause);
                log::event("program-died")
                    .field("program", program.name)
                    .field("status", status)
                    .field("pause-ms", program.pause.as_millis())
                    .error()
                    .write();
            }
        }
        self.jobs.iter_mut().for_each(Job::reap);
    }

    fn start_due(&mut self) {
        let now = Instant::now();
        for program in &mut self.programs {
            if program.child.is_some() || program.is_stopped || program.start_at.is_none_or(|at| at > now) {
                continue;
            }
            program.start_at = None;
            program.started = now;
            match spawn(&self.site, &self.bin, program, self.drops_to) {
                Ok(child) => {
                    log::event("program-started").field("program", program.name).field("pid", child.id()).write();
                    program.child = Some(child);
                }
                Err(e) => {
                    program.pause = (program.pause * 2).min(LONGEST_PAUSE);
                    program.start_at = Some(now + program.pause);
                    log::event("program-failed").field("program", program.name).field("reason", e).error().write();
                }
            }
        }
    }

    /// Every port greets, and the queue daemon holds its lock.
    fn is_ready(&self) -> bool {
        self.programs.iter().all(|program| {
            program.child.is_some()
                && match program.name {
                    "emqueue" => {
                        let lock = crate::spool::Spool::of(&self.site).daemon_lock();
                        matches!(crate::fsx::Lock::try_existing(&lock), Err(crate::fsx::LockError::Held))
                    }
                    name => {
                        let proxied = match name {
                            "emsmtp" => self.site.settings.smtp.proxy_from.as_slice(),
                            _ => &[],
                        };
                        program.sockets.iter().all(|(service, address, _)| answers(service, *address, proxied))
                    }
                }
        })
    }

    fn reload(&mut self) {
        self.settings_time = modified(&self.site);
        let site = match crate::config::load(&self.site.root) {
            Ok(site) => site,
            Err(e) => return log::event("reload-refused").field("reason", e).error().write(),
        };
        if let Err(e) = self.plan(site) {
            return log::event("reload-failed").field("reason", e).error().write();
        }
        log::event("reloaded").write();
        for program in &mut self.programs {
            restart(program);
        }
    }

    fn control(&mut self) {
        let path = request_file(&self.site);
        let Ok(text) = std::fs::read_to_string(&path) else { return };
        match Control::parse(&text) {
            Some(Control::Start(name)) => self.each(&name, |p| {
                p.is_stopped = false;
                p.start_at = Some(Instant::now());
            }),
            Some(Control::Stop(name)) => self.each(&name, |p| {
                p.is_stopped = true;
                end(p);
            }),
            Some(Control::Restart(name)) => self.each(&name, |p| {
                p.is_stopped = false;
                restart(p);
            }),
            None => {}
        }
        self.start_due();
        self.write_status();
        let _ = std::fs::remove_file(path);
    }

    /// Acts on the programs of this name, or that serve this service.
    fn each(&mut self, name: &str, act: impl Fn(&mut Program)) {
        for program in &mut self.programs {
            let serves = program.sockets.iter().any(|(service, ..)| *service == name);
            if program.name == name || serves || (name == "queue" && program.name == "emqueue") {
                act(program);
            }
        }
    }

    fn run_jobs(&mut self) {
        let (site, bin, drops_to) = (&self.site, &self.bin, self.drops_to);
        for job in &mut self.jobs {
            job.run_if_due(crate::clock::Timestamp::now(), |argv| command(site, bin, argv, drops_to));
        }
    }

    /// All programs' states.
    pub fn status(&self) -> Vec<Status> {
        let one = |p: &Program| Status {
            program: p.name.to_string(),
            services: p.sockets.iter().map(|(service, address, _)| format!("{service} {address}")).collect(),
            pid: p.child.as_ref().map(Child::id),
            state: match (&p.child, p.is_stopped) {
                (Some(_), _) => "running",
                (None, true) => "stopped",
                (None, false) => "restarting",
            }
            .to_string(),
            restarts: p.restarts,
        };
        self.programs.iter().map(one).collect()
    }

    fn write_status(&self) {
        let path = self.site.root.run().join("emd.status");
        if let Ok(text) = serde_json::to_string_pretty(&self.status())
            && std::fs::read_to_string(&path).ok().as_deref() != Some(&text)
            && let Err(e) = crate::fsx::replace(&path, text.as_bytes(), 0o644)
        {
            log::event("status-failed").field("reason", e).error().write();
        }
    }

    fn end_all(&mut self) {
        for program in &mut self.programs {
            terminate(program);
        }
        self.programs.iter_mut().for_each(end);
        self.jobs.iter_mut().for_each(Job::end);
    }
}

/// Where a request lies for a moment.
pub fn request_file(site: &Site) -> PathBuf {
    site.root.run().join("emd.request")
}

fn modified(site: &Site) -> Option<std::time::SystemTime> {
    std::fs::metadata(site.root.settings_file()).and_then(|m| m.modified()).ok()
}

/// True when the port greets. To a server that expects a PROXY header from here, we say that we speak for ourselves.
fn answers(service: &str, address: SocketAddr, proxied: &[crate::settings::Network]) -> bool {
    use std::io::{Read, Write};
    let mut target = address;
    if target.ip().is_unspecified() {
        target.set_ip(if address.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let Ok(mut stream) = std::net::TcpStream::connect_timeout(&target, Duration::from_secs(1)) else { return false };
    // Ports that begin with TLS stay silent: that the program took its sockets is shown by its other ports.
    if matches!(service, "submissions" | "pop3s") {
        return true;
    }
    let _ = stream.set_read_timeout(Some(Duration::from_secs(2)));
    if proxied.iter().any(|n| n.holds(target.ip())) && stream.write_all(b"PROXY UNKNOWN\r\n").is_err() {
        return false;
    }
    matches!(stream.read(&mut [0; 64]), Ok(n) if n > 0)
}

/// A command of ours: in our folder, with our root, as the user that may.
fn command(site: &Site, bin: &Path, argv: &[String], drops_to: Option<(u32, u32)>) -> Option<Command> {
    let (program, arguments) = argv.split_first()?;
    let path = if program.contains('/') { PathBuf::from(program) } else { bin.join(program) };
    let mut command = Command::new(path);
    if let Some(dir) = &site.root.dir
        && !program.contains('/')
    {
        command.arg("--root").arg(dir);
    }
    // Programs speak through the log and standard error; standard output may be a pipe that somebody waits on.
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
    // Without it glibc keeps the 19 MiB of a password hash for each thread that ever made one.
    command.env("MALLOC_MMAP_THRESHOLD_", "1048576");
    if let Some((uid, gid)) = drops_to {
        command.uid(uid).gid(gid);
    }
    Some(command)
}

fn spawn(site: &Site, bin: &Path, program: &Program, drops_to: Option<(u32, u32)>) -> io::Result<Child> {
    let mut argv = vec![program.name.to_string()];
    if program.name == "emqueue" {
        argv.push("daemon".to_string());
    }
    let mut command = command(site, bin, &argv, drops_to).ok_or_else(|| io::Error::other("no program"))?;
    let sockets: Vec<&TcpListener> = program.sockets.iter().map(|(_, _, s)| s).collect();
    let names: Vec<&str> = program.sockets.iter().map(|(name, ..)| *name).collect();
    command.env_remove("LISTEN_PID").env("LISTEN_FDS", names.len().to_string()).env("LISTEN_FDNAMES", names.join(":"));
    fds::pass(&mut command, &sockets);
    command.spawn()
}

fn terminate(program: &Program) {
    if let Some(child) = &program.child {
        let pid = nix::unistd::Pid::from_raw(child.id() as i32);
        let _ = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM);
    }
}

/// Ends a program and waits for it.
fn end(program: &mut Program) {
    terminate(program);
    let Some(mut child) = program.child.take() else { return };
    let until = Instant::now() + END_PATIENCE;
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
fn restart(program: &mut Program) {
    end(program);
    program.pause = FIRST_PAUSE;
    program.start_at = Some(Instant::now());
}
