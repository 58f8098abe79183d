//! emd's work: binds the ports, starts the programs with their sockets, restarts what dies, runs the timed jobs.
//!
//! The sockets stay open here: a program that is restarted or reloaded refuses no connection, its clients wait a moment.
//! Programs that die are started again after a pause that doubles up to a minute. Root is given up by the children
//! (`user`), never needed by them again. They end with us: the kernel tells them when we are killed, so that the next supervisor
//! finds the ports free.

use super::jobs::Job;
use super::program::{Bound, FIRST_PAUSE, LONGEST_PAUSE, PROGRAMS, Program, command, end, restart, spawn, terminate};
use super::ready::silent;
use super::{Signals, listen};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::log;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Child;
use std::time::{Duration, Instant};

/// A program that lived so long starts with the first pause again.
const STEADY: Duration = Duration::from_secs(60);
/// How often files and jobs are looked at.
const TICK: Duration = Duration::from_millis(500);
/// How long ports may stay in use after a supervisor was killed: its programs are ending.
const BIND_PATIENCE: Duration = Duration::from_secs(5);
/// A request from the command line, passed by a file and a signal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Control {
    /// Start a program that was stopped.
    Start(String),
    /// Stop one until it is started.
    Stop(String),
    /// Stop and start one.
    Restart(String),
    /// Read the settings again and replace all.
    Reload,
}

impl Control {
    /// Reads `start NAME`, `stop NAME`, `restart NAME` or `reload`.
    pub fn parse(text: &str) -> Option<Control> {
        let (verb, name) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let name = name.to_string();
        match verb {
            "reload" => Some(Control::Reload),
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
    /// When this process was started.
    pub since: Option<String>,
    /// Times it was started again after dying.
    pub restarts: u32,
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
    /// Binds all ports; nothing runs yet. `bin` is the folder of our programs; `after_crash` says that a supervisor was killed here
    /// a moment ago, whose programs may still hold their ports.
    pub fn new(site: Site, bin: PathBuf, after_crash: bool) -> io::Result<Supervisor> {
        let drops_to = match (nix::unistd::geteuid().is_root(), site.root.is_callers()) {
            (true, false) => {
                let user = nix::unistd::User::from_name("em").ok().flatten();
                let user =
                    user.ok_or_else(|| io::Error::other("there is no user em; see the installing instructions"))?;
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
            (true, true) if site.root.cf.is_some() => {
                let user = site.run_as().map_err(io::Error::other)?.filter(|user| !user.uid.is_root());
                let user = user.ok_or_else(|| io::Error::other("services do not run as root: name a RunAsUser"))?;
                Some((user.uid.as_raw(), user.gid.as_raw()))
            }
            _ => None,
        };
        let settings_time = modified(&site);
        let mut supervisor = Supervisor { site, bin, programs: Vec::new(), jobs: Vec::new(), settings_time, drops_to };
        let until = Instant::now() + if after_crash { BIND_PATIENCE } else { Duration::ZERO };
        while let Err(e) = supervisor.plan() {
            if e.kind() != io::ErrorKind::AddrInUse || Instant::now() >= until {
                return Err(e);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(supervisor)
    }

    /// Makes the list of programs from the settings; sockets that are still wanted are kept.
    ///
    /// An error changes nothing: every new port is bound before anything else is touched.
    fn plan(&mut self) -> io::Result<()> {
        let mut bound = self.bind_new()?;
        let kept = self.programs.iter_mut().flat_map(|p| p.sockets.drain(..));
        bound.extend(kept);
        let mut planned = Vec::new();
        for (name, services) in PROGRAMS {
            let mut sockets = Vec::new();
            for service in *services {
                for address in self.site.listens(service) {
                    // A socket may change its service.
                    let held = bound.iter().position(|(_, a, _)| a == address);
                    sockets.extend(held.map(|index| (*service, *address, bound.swap_remove(index).2)));
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
                    since: Timestamp::now(),
                    ended: None,
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
        self.plan_jobs();
        Ok(())
    }

    /// The sockets that the settings want and nobody holds yet, for whichever service.
    fn bind_new(&self) -> io::Result<Vec<Bound>> {
        let mut bound: Vec<Bound> = Vec::new();
        let mut seen: Vec<(&str, SocketAddr)> = Vec::new();
        for service in PROGRAMS.iter().flat_map(|(_, services)| *services) {
            for address in self.site.listens(service) {
                let named = |kind, text: String| io::Error::new(kind, format!("services.{service}: {text}"));
                if let Some((other, _)) = seen.iter().find(|(_, a)| a == address) {
                    let text = format!("{address} stands in services.{other} already");
                    return Err(named(io::ErrorKind::InvalidInput, text));
                }
                seen.push((service, *address));
                if !self.programs.iter().flat_map(|p| &p.sockets).any(|(_, a, _)| a == address) {
                    let socket = listen(*address).map_err(|e| named(e.kind(), e.to_string()))?;
                    bound.push((*service, *address, socket));
                }
            }
        }
        Ok(bound)
    }

    /// Makes the list of jobs; one that stays as it was keeps its time and its run.
    fn plan_jobs(&mut self) {
        let mut old = std::mem::take(&mut self.jobs);
        for (name, text) in &self.site.settings.jobs {
            match Job::parse(name, text) {
                Ok(job) => {
                    let same = old.iter().position(|o| o.is_same(&job));
                    self.jobs.push(same.map_or(job, |index| old.swap_remove(index)));
                }
                Err(reason) => log::event("job-refused").field("job", name).field("reason", reason).error().write(),
            }
        }
        old.iter_mut().for_each(Job::end);
    }

    /// Runs until SIGTERM or SIGINT. `ready` is called once, when every service answers.
    ///
    /// With a `patience` it is an error, and the end, when they do not answer within it.
    pub fn run(
        mut self,
        mut signals: Signals,
        patience: Option<Duration>,
        ready: impl FnOnce(&[Status]),
    ) -> io::Result<()> {
        let begun = Instant::now();
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
            if let (Some(_), Some(patience)) = (&ready, patience)
                && (begun.elapsed() >= patience || self.programs.iter().any(Program::is_hopeless))
            {
                let reason = self.silence();
                self.end_all();
                return Err(io::Error::other(reason));
            }
            let pause = if ready.is_some() { Duration::from_millis(10) } else { TICK };
            match poll.poll(&mut events, Some(pause)) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => other?,
            }
            for signal in signals.read() {
                match signal {
                    SIGHUP => {
                        // The log has it.
                        let _ = self.reload();
                    }
                    SIGUSR1 => self.control(),
                    nix::libc::SIGCHLD => {}
                    _ => {
                        self.end_all();
                        return Ok(());
                    }
                }
            }
            if modified(&self.site) != self.settings_time {
                let _ = self.reload();
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
                program.ended = Some(status);
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
            program.since = Timestamp::now();
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

    fn is_ready(&self) -> bool {
        self.programs.iter().all(|program| program.child.is_some() && silent(&self.site, program.name).is_none())
    }

    /// Who does not answer, in words.
    fn silence(&self) -> String {
        let mut reasons = Vec::new();
        for program in &self.programs {
            if let Some(service) = silent(&self.site, program.name) {
                let ended = program.ended.map(|status| format!(" ({status})")).unwrap_or_default();
                reasons.push(format!("{}{ended}: {service} does not answer", program.name));
            }
        }
        format!("{}; see em.log and emd.err in {}", reasons.join("; "), self.site.root.log.display())
    }

    /// On an error everything goes on as it was.
    fn reload(&mut self) -> Result<(), String> {
        self.settings_time = modified(&self.site);
        let failed = |event: &str, reason: String| {
            log::event(event).field("reason", &reason).error().write();
            Err(reason)
        };
        let old = match crate::config::load(&self.site.root) {
            Ok(site) => std::mem::replace(&mut self.site, site),
            Err(e) => return failed("reload-refused", e.to_string()),
        };
        if let Err(e) = self.plan() {
            self.site = old;
            return failed("reload-failed", e.to_string());
        }
        log::event("reloaded").write();
        // All at once, so that the slowest counts and not the sum.
        self.programs.iter().for_each(terminate);
        self.programs.iter_mut().for_each(restart);
        self.start_due();
        Ok(())
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
            Some(Control::Reload) => {
                if let Err(reason) = self.reload() {
                    let _ = crate::fsx::replace(&answer_file(&self.site), reason.as_bytes(), 0o600);
                }
            }
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
            since: p.child.as_ref().map(|_| p.since.rfc3339()),
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

/// Where a request lies for a moment; it is gone when it has been dealt with.
pub fn request_file(site: &Site) -> PathBuf {
    site.root.run().join("emd.request")
}

/// Where the reason lies when a request could not be fulfilled.
pub fn answer_file(site: &Site) -> PathBuf {
    site.root.run().join("emd.answer")
}

fn modified(site: &Site) -> Option<std::time::SystemTime> {
    std::fs::metadata(site.root.settings_file()).and_then(|m| m.modified()).ok()
}
