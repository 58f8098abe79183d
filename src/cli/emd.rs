//! emd: the supervisor.

mod pair;

use super::emsend::Mode;
use super::{Ended, RootOption, say};
use crate::config::Site;
use crate::drive::{Control, Signals, Status, Supervisor, answer_file, ensure_certificate, request_file, silent};
use crate::fsx::{self, Lock, LockError};
use crate::log;
use crate::settings::Root;
use crate::status::Exit;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for all services to answer.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// The background process gives up by itself and says why; this much later we do.
const START_GRACE: Duration = Duration::from_secs(40);
/// Longest wait for a lock that others only look at.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);
/// Longest wait for the end.
const STOP_PATIENCE: Duration = Duration::from_secs(60);

/// Supervisor: starts, watches and stops the services
#[derive(Debug, clap::Parser)]
#[command(name = "emd", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Start everything in the background, or one service; returns when all answer
    Start { service: Option<String> },
    /// Stop everything, or one service
    Stop { service: Option<String> },
    /// Restart everything, or one service
    Restart { service: Option<String> },
    /// Show what runs; exit code 1 when something does not
    Status {
        service: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read the settings again
    Reload,
    /// Pair this machine with another: a front that everybody reaches, and a box behind it
    Pair {
        #[command(subcommand)]
        side: pair::Side,
    },
    /// Stay in the foreground (for systemd, s6, runit)
    Run {
        /// Tell this process, that waits, when all services answer
        #[arg(long, hide = true)]
        detached: bool,
    },
}

/// The program.
pub fn main() -> ExitCode {
    let handed_over = super::emsend::handed_over(|mode, root| match mode {
        Mode::Daemon => start(&placed(root)?),
        Mode::Foreground => supervise(&placed(root)?, false),
        _ => super::emsend::not_mine(),
    });
    handed_over.unwrap_or_else(|| super::run("emd", run))
}

fn run(arguments: Arguments) -> super::Done {
    let root = placed(&arguments.root.root())?;
    match arguments.action {
        Action::Start { service: None } => start(&root),
        Action::Stop { service: None } => stop(&root),
        Action::Restart { service: None } => {
            stop(&root)?;
            start(&root)
        }
        Action::Start { service: Some(name) } => control(&root, "start", &name),
        Action::Stop { service: Some(name) } => control(&root, "stop", &name),
        Action::Restart { service: Some(name) } => control(&root, "restart", &name),
        Action::Status { service, json } => status(&root, service.as_deref(), json),
        Action::Reload => reload(&root),
        Action::Pair { side } => pair::pair(&root, side),
        Action::Run { detached } => supervise(&root, detached),
    }
}

/// The root with its queue where the sendmail.cf has it; any other root as it is.
fn placed(root: &Root) -> Result<Root, Ended> {
    if root.cf.is_none() {
        return Ok(root.clone());
    }
    super::become_em(root)?;
    // Ports are bound before RunAsUser's rights are all there are.
    Ok(super::site_without_queue("emd", root)?.root)
}

fn lock_file(root: &Root) -> std::path::PathBuf {
    root.run().join("emd.lock")
}

/// The supervisor's process, if it runs. Who may not ask is told so, rather than that nothing runs.
fn pid(root: &Root) -> Result<Option<Pid>, Ended> {
    let lock = lock_file(root);
    match Lock::try_existing(&lock) {
        Err(LockError::Held) => {
            let text = std::fs::read_to_string(root.run().join("emd.pid"));
            Ok(text.ok().and_then(|text| text.trim().parse().ok()).map(Pid::from_raw))
        }
        Err(LockError::Io(e)) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            Err(std::io::Error::new(e.kind(), format!("lock {}: {e}", lock.display())).into())
        }
        _ => Ok(None),
    }
}

fn start(root: &Root) -> super::Done {
    // Mistakes are shown here, not in a log.
    crate::config::load(root)?;
    if let Some(pid) = pid(root)? {
        say(&format!("emd runs already (process {pid})\n"))?;
        return Ok(Exit::Ok);
    }
    // `sendmail -bd` comes here too, under its own name.
    let mut command = Command::new(super::bin_dir().join("emd"));
    command.args(root.arguments());
    command.args(["run", "--detached"]).stdin(Stdio::null()).stdout(Stdio::piped());
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let err = error_file(root);
    command.stderr(err.map_or_else(|_| Stdio::null(), Stdio::from));
    let mut child = command.spawn()?;
    // The child says one line: `ready`, or the reason why not, and closes.
    let (send, receive) = std::sync::mpsc::channel();
    let mut stdout = child.stdout.take();
    std::thread::spawn(move || {
        let mut text = String::new();
        if let Some(stdout) = &mut stdout {
            let _ = stdout.read_to_string(&mut text);
        }
        let _ = send.send(text);
    });
    match receive.recv_timeout(START_PATIENCE + START_GRACE) {
        Ok(text) if text.lines().last() == Some("ready") => {
            let notes = text.strip_suffix("ready\n").unwrap_or("");
            let _ = write!(std::io::stderr(), "{notes}");
            Ok(Exit::Ok)
        }
        Ok(text) => {
            let _ = child.wait();
            let text = text.trim();
            Err(Ended::new(Exit::No, if text.is_empty() { "the supervisor ended; see log/emd.err" } else { text }))
        }
        Err(_) => {
            let _ = kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM);
            Err(Ended::new(Exit::No, "the supervisor does not answer: see the log"))
        }
    }
}

/// What the programs write to standard error. The folder is em's: a link that lies there in wait is not followed.
fn error_file(root: &Root) -> std::io::Result<std::fs::File> {
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true).mode(0o640).custom_flags(nix::fcntl::OFlag::O_NOFOLLOW.bits());
    let dir = if root.cf.is_some() { root.run() } else { root.log.clone() };
    let file = options.open(dir.join("emd.err"))?;
    let is_plain = file.metadata().is_ok_and(|m| m.is_file() && m.nlink() == 1);
    if is_plain { Ok(file) } else { Err(std::io::ErrorKind::PermissionDenied.into()) }
}

fn stop(root: &Root) -> super::Done {
    let Some(pid) = pid(root)? else { return Ok(Exit::Ok) };
    let _ = kill(pid, Signal::SIGTERM);
    let until = Instant::now() + STOP_PATIENCE;
    while Instant::now() < until {
        if self::pid(root)?.is_none() {
            return Ok(Exit::Ok);
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Err(Ended::new(Exit::No, format!("process {pid} does not end")))
}

fn signal(root: &Root, which: Signal) -> Result<(), Ended> {
    let pid = pid(root)?.ok_or_else(|| Ended::new(Exit::No, "emd does not run"))?;
    kill(pid, which).map_err(|e| Ended::new(Exit::NoPerm, format!("process {pid}: {e}")))
}

fn control(root: &Root, verb: &str, name: &str) -> super::Done {
    let site = crate::config::load(root)?;
    let known = read_status(root)?;
    let serves = |s: &Status| {
        s.program == name
            || s.services.iter().any(|w| w.split(' ').next() == Some(name))
            || name == "queue" && s.program == "emqueue"
    };
    if !known.iter().any(serves) {
        let names: Vec<&str> = known.iter().map(|s| s.program.as_str()).collect();
        return Err(Ended::new(
            Exit::Usage,
            format!("no service {name}: {}, or a name from [services]", names.join(", ")),
        ));
    }
    request(&site, &format!("{verb} {name}"))?;
    let meant: Vec<&Status> = known.iter().filter(|s| serves(s)).collect();
    if verb == "stop" { Ok(Exit::Ok) } else { await_answers(&site, &meant) }
}

fn reload(root: &Root) -> super::Done {
    // Checked here, where somebody reads the answer.
    let site = crate::config::load(root)?;
    read_status(root)?;
    request(&site, "reload")?;
    let all = read_status(root)?;
    await_answers(&site, &all.iter().filter(|s| s.state != "stopped").collect::<Vec<_>>())
}

/// Asks the running supervisor for something and waits until it is done. One at a time: the lock covers request and answer.
fn request(site: &Site, text: &str) -> Result<(), Ended> {
    debug_assert!(Control::parse(text).is_some());
    let run = site.root.run();
    let _lock = Lock::wait(&run.join("emd.control.lock"), STOP_PATIENCE)
        .map_err(|_| Ended::new(Exit::TempFail, "another emd command does not end"))?;
    let (question, answer) = (request_file(site), answer_file(site));
    let _ = std::fs::remove_file(&answer);
    fsx::replace(&question, text.as_bytes(), 0o600)?;
    signal(&site.root, Signal::SIGUSR1)?;
    let until = Instant::now() + STOP_PATIENCE;
    while question.exists() {
        if Instant::now() >= until || pid(&site.root)?.is_none() {
            let _ = std::fs::remove_file(&question);
            return Err(Ended::new(Exit::No, "the supervisor does not answer"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    match std::fs::read_to_string(&answer) {
        Ok(reason) => {
            let _ = std::fs::remove_file(&answer);
            let plain: String = reason.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect();
            Err(Ended::new(Exit::No, plain))
        }
        Err(_) => Ok(()),
    }
}

/// Waits until all services of these programs answer.
fn await_answers(site: &Site, programs: &[&Status]) -> super::Done {
    let until = Instant::now() + START_PATIENCE;
    for program in programs {
        while let Some(service) = silent(site, &program.program) {
            if Instant::now() >= until {
                let text = format!("{}: {service} does not answer; see the log", program.program);
                return Err(Ended::new(Exit::No, text));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    Ok(Exit::Ok)
}

fn read_status(root: &Root) -> Result<Vec<Status>, Ended> {
    if pid(root)?.is_none() {
        return Err(Ended::new(Exit::No, "emd does not run"));
    }
    let text = std::fs::read_to_string(root.run().join("emd.status"))?;
    serde_json::from_str(&text).map_err(|e| Ended::new(Exit::No, format!("emd.status: {e}")))
}

fn status(root: &Root, service: Option<&str>, json: bool) -> super::Done {
    let mut all = read_status(root)?;
    if let Some(name) = service {
        all.retain(|s| s.program == name || s.services.iter().any(|w| w.split(' ').next() == Some(name)));
    }
    let is_good = !all.is_empty() && all.iter().all(|s| s.state == "running");
    if json {
        say(&format!("{}\n", serde_json::to_string(&all).unwrap_or_default()))?;
    } else {
        for s in &all {
            let pid = s.pid.map(|p| p.to_string()).unwrap_or_else(|| "-".to_string());
            let restarts = if s.restarts > 0 { format!(", {} restarts", s.restarts) } else { String::new() };
            let since = s.since.as_deref().map_or("-", |time| time.get(..19).unwrap_or(time));
            let (program, state, services) = (&s.program, &s.state, s.services.join(", "));
            say(format!("{program:<8} {state:<10} {pid:>7}  {since:<19}  {services}{restarts}").trim_end())?;
            say("\n")?;
        }
    }
    Ok(if is_good { Exit::Ok } else { Exit::No })
}

fn supervise(root: &Root, detached: bool) -> super::Done {
    let result = supervise_inner(root, detached);
    if let (true, Err(ended)) = (detached, &result) {
        // `emd start` reads this and shows it.
        say(&format!("{}\n", ended.text))?;
        return Ok(Exit::No);
    }
    result
}

fn supervise_inner(root: &Root, detached: bool) -> super::Done {
    let site = super::site_without_queue("emd", root)?;
    match root.cf {
        // Its folders are the file's affair; those of the queue belong to whom the services run as.
        Some(_) => own_queue(&site)?,
        None => crate::config::make_tree(root)?,
    }
    let lock = Lock::wait(&lock_file(root), LOCK_PATIENCE)
        .map_err(|_| Ended::new(Exit::No, "another emd runs for this root"))?;
    let [pid_file, status_file] = ["emd.pid", "emd.status"].map(|name| root.run().join(name));
    // An end in order removes it.
    let after_crash = status_file.exists();
    fsx::replace(&pid_file, format!("{}\n", std::process::id()).as_bytes(), 0o644)?;
    let old_pid_file = write_old_pid_file(&site);
    let result = supervise_locked(site, detached, after_crash);
    if let Some(file) = old_pid_file {
        let _ = std::fs::remove_file(file);
    }
    let _ = std::fs::remove_file(status_file);
    let _ = std::fs::remove_file(pid_file);
    drop(lock);
    result
}

/// Writes the PidFile of a sendmail.cf: the process, and below it the command that starts it again, for `kill $(head -1 FILE)` and the like.
/// Gives its path. One that can't be written is logged: mail does not wait for it.
fn write_old_pid_file(site: &Site) -> Option<PathBuf> {
    let file = site.settings.cf.as_ref().map(|cf| cf.pid_file.clone()).filter(|file| file.is_absolute())?;
    let old = site.root.cf.as_ref()?;
    let mut command = format!("{} -C {} -bd", super::bin_dir().join("emsend").display(), old.path.display());
    for option in &old.options {
        // As they stand behind the O of a line: a long name has a blank in front.
        let (flag, option) = option.strip_prefix(' ').map_or((" -o", option.as_str()), |long| (" -O", long));
        command.extend([flag, option]);
    }
    match fsx::replace(&file, format!("{}\n{command}\n", std::process::id()).as_bytes(), 0o644) {
        Ok(()) => Some(file),
        Err(e) => {
            log::event("pid-file-failed").field("reason", e.to_string()).error().write();
            None
        }
    }
}

/// Makes the folders of a sendmail.cf's queue, and gives them to RunAsUser.
fn own_queue(site: &Site) -> Result<(), Ended> {
    crate::config::cf::open_queue(site)?;
    let user = site.run_as().map_err(|text| Ended::new(Exit::Config, text))?;
    let Some(user) = user.filter(|_| nix::unistd::geteuid().is_root()) else { return Ok(()) };
    if !may_enter(&site.root.spool, &user)? {
        let shown = site.root.spool.display();
        let text =
            format!("cannot chdir({shown}/): Permission denied\n hint: RunAsUser {} has no right to it", user.name);
        return Err(Ended::new(Exit::OsErr, text));
    }
    for name in crate::config::cf::QUEUE_FOLDERS {
        let path = site.root.spool.join(name);
        std::os::unix::fs::lchown(&path, Some(user.uid.as_raw()), Some(user.gid.as_raw()))
            .map_err(|e| fsx::context("chown", &path, e))?;
    }
    Ok(())
}

/// True when the modes of a folder let a service in that runs as this user: it has the user's own group, and no others.
fn may_enter(dir: &std::path::Path, user: &nix::unistd::User) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let there = std::fs::metadata(dir)?;
    let shift = match (there.uid() == user.uid.as_raw(), there.gid() == user.gid.as_raw()) {
        (true, _) => 6,
        (_, true) => 3,
        _ => 0,
    };
    Ok(there.mode() >> shift & 1 == 1)
}

fn supervise_locked(site: Site, detached: bool, after_crash: bool) -> super::Done {
    use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM, SIGUSR1};
    warn_certificate(&site)?;
    let signals = Signals::catch(&[SIGTERM, SIGINT, SIGHUP, SIGUSR1, SIGCHLD])?;
    let failed = |e: std::io::Error| Ended::new(Exit::No, e.to_string());
    let supervisor = Supervisor::new(site, super::bin_dir(), after_crash).map_err(failed)?;
    log::event("emd-started").field("pid", std::process::id()).write();
    let ready = move |status: &[Status]| {
        log::event("ready").field("programs", status.len()).write();
        notify_systemd();
        if detached {
            let _ = say("ready\n");
            // Our reader goes on when the pipe is closed.
            if let Ok(null) = std::fs::OpenOptions::new().write(true).open("/dev/null") {
                let _ = nix::unistd::dup2_stdout(null);
            }
            let _ = nix::unistd::setsid();
        }
    };
    // In the foreground whoever started us decides how long to wait.
    supervisor.run(signals, detached.then_some(START_PATIENCE), ready).map_err(failed)?;
    log::event("emd-ended").write();
    Ok(Exit::Ok)
}

fn warn_certificate(site: &Site) -> Result<(), Ended> {
    let has_tls = ["smtp", "submission", "submissions", "odmr", "pop3", "pop3s", "imap", "imaps"]
        .iter()
        .any(|s| !site.listens(s).is_empty());
    if has_tls && ensure_certificate(site).map_err(|e| Ended::new(Exit::CantCreat, e))? {
        let text = super::SELF_SIGNED;
        log::event("certificate-made").field("note", text).write();
        say(&format!("emd: {text}\n"))?;
    }
    Ok(())
}

/// sd_notify(3): one datagram to the socket that systemd names.
fn notify_systemd() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let Ok(name) = std::env::var("NOTIFY_SOCKET") else { return };
    let address = match name.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name.as_bytes()),
        None => SocketAddr::from_pathname(&name),
    };
    if let (Ok(address), Ok(socket)) = (address, UnixDatagram::unbound()) {
        let _ = socket.send_to_addr(b"READY=1\n", &address);
    }
}
