//! Running a program with a message on its standard input.
//!
//! An argument vector, never a shell unless the alias says `sh:`; a fixed environment; a process group of its own that is
//! killed when the time is up; the beginning of what it says is kept for the bounce.
//! As root it runs under the configured user, never as root; without root rights and with another user configured, through the
//! set-uid emlocal where that is installed, otherwise as ourselves (a trial root).

use crate::addr::Address;
use crate::settings::{self, Root};
use crate::status::{Exit, Failure};
use crate::tables::aliases::split_command;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Octets of output that are kept.
const OUTPUT_LIMIT: usize = 4 << 10;
/// How much longer than a program's own limit we wait for an emlocal that runs it.
const GRACE: Duration = Duration::from_secs(30);
/// How long the output of a program that has ended is waited for: something it left behind may hold it open for days.
const LINGER: Duration = Duration::from_secs(1);

/// What is run, as whom, how long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// The argument vector; the first is the program's path.
    pub argv: Vec<String>,
    /// Run under this user's rights; only root can.
    pub user: Option<String>,
    /// Longest run.
    pub timeout: Duration,
}

impl Exec {
    /// An alias's command.
    pub fn of_alias(command: &str, settings: &settings::Delivery, emlocal: &Path) -> Result<Exec, Failure> {
        let argv = alias_argv(command, &settings.shell)?;
        let timeout = settings.program_timeout;
        let user = settings.program_user.clone();
        if geteuid().is_root() {
            return Ok(Exec { argv, user: Some(user), timeout });
        }
        let is_other = User::from_name(&user).ok().flatten().is_some_and(|u| u.uid != geteuid());
        let is_setuid = std::fs::metadata(emlocal).is_ok_and(|m| m.permissions().mode() & 0o4000 != 0);
        if is_other && is_setuid {
            let argv = vec![emlocal.display().to_string(), "--program".to_string(), command.to_string()];
            // emlocal's own clock comes first: killed before it, it would leave the program running.
            return Ok(Exec { argv, user: None, timeout: timeout + GRACE });
        }
        Ok(Exec { argv, user: None, timeout })
    }

    /// emlocal for a system account.
    pub fn emlocal(
        emlocal: &Path,
        user: &str,
        sender: Option<&Address>,
        root: &Root,
        settings: &settings::Delivery,
    ) -> Exec {
        let mut argv = vec![emlocal.display().to_string()];
        if let Some(dir) = &root.dir {
            argv.extend(["--root".to_string(), dir.display().to_string()]);
        }
        let sender = sender.map(Address::to_string).unwrap_or_default();
        argv.extend(["-f".to_string(), sender, "-d".to_string(), user.to_string()]);
        Exec { argv, user: None, timeout: settings.program_timeout + GRACE }
    }
}

/// The argument vector of an alias's command; `sh:` entries get the configured shell.
pub fn alias_argv(command: &str, shell: &str) -> Result<Vec<String>, Failure> {
    let argv = split_command(command)
        .filter(|argv| !argv.is_empty())
        .ok_or_else(|| Failure::temporary((3, 5), "Local configuration error, try again later", command))?;
    match argv.as_slice() {
        [first, text] if first == "sh:" => Ok(vec![shell.to_string(), "-c".to_string(), text.clone()]),
        _ => Ok(argv),
    }
}

/// Runs the program; its output is returned when it says that all went well.
///
/// Exit codes are those of sysexits(3): 0 is delivered; 75 and the codes of a failing system are tried again; all else is final.
pub fn run(exec: &Exec, sender: Option<&Address>, original: &Address, text: &mut dyn Read) -> Result<String, Failure> {
    let later = |cause: String| Failure::temporary((3, 0), "Can't run the delivery program, try again later", cause);
    let (program, arguments) = exec.argv.split_first().ok_or_else(|| later("no program".to_string()))?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("SHELL", "/bin/sh");
    command.env("SENDER", sender.map(Address::to_string).unwrap_or_default()).env("RECIPIENT", original.to_string());
    let user = match &exec.user {
        Some(name) => {
            let user = User::from_name(name).map_err(|e| later(e.to_string()))?;
            Some(user.ok_or_else(|| later(format!("delivery.program_user: no user {name}")))?)
        }
        None => User::from_uid(geteuid()).ok().flatten(),
    };
    if let Some(user) = &user {
        command.env("USER", &user.name).env("LOGNAME", &user.name).env("HOME", &user.dir);
    }
    if let Some(user) = user.filter(|_| exec.user.is_some()) {
        if user.uid.is_root() {
            return Err(later("delivery.program_user is root".to_string()));
        }
        // Dropping to a user by std also clears supplementary groups.
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    let (status, output) = hold(command, program, exec.timeout, text)?;
    let said = if output.is_empty() { String::new() } else { format!(": {output}") };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(output),
        (Some(code), _) => Err(by_exit(program, code, said)),
        (None, signal) => {
            let text = format!("Program {program} was ended by signal {}{said}", signal.unwrap_or(0));
            Err(Failure::temporary((3, 0), text, ""))
        }
    }
}

/// Runs a command to its end with a message on its standard input; gives how it ended and what it said.
pub(super) fn hold(
    mut command: Command,
    program: &str,
    timeout: Duration,
    text: &mut dyn Read,
) -> Result<(ExitStatus, String), Failure> {
    let later = |cause: String| Failure::temporary((3, 0), "Can't run the delivery program, try again later", cause);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn().map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound | std::io::ErrorKind::PermissionDenied => {
            Failure::permanent((3, 5), "The delivery program can't be run", format!("{program}: {e}"))
        }
        _ => later(format!("{program}: {e}")),
    })?;
    let deadline = Instant::now() + timeout;
    let group = Pid::from_raw(child.id() as i32);
    let watch = Watch::start(group, deadline);
    let captures = [Capture::start(child.stdout.take()), Capture::start(child.stderr.take())];
    let fed = match child.stdin.take() {
        Some(mut stdin) => {
            let fed = feed(text, &mut stdin);
            if fed.is_err() {
                // Its input must not end here as if that were the whole message.
                let _ = killpg(group, Signal::SIGKILL);
            }
            fed
        }
        None => Ok(()),
    };
    let status = child.wait();
    let timed_out = watch.stop();
    let until = Instant::now() + LINGER;
    let output: Vec<u8> = captures.into_iter().flat_map(|capture| capture.end(until)).collect();
    let output = String::from_utf8_lossy(&output).trim().to_string();
    fed.map_err(|e| Failure::local(&e))?;
    let status = status.map_err(|e| later(e.to_string()))?;
    if timed_out {
        let span = humantime::format_duration(timeout);
        return Err(Failure::temporary((4, 7), format!("Program {program} ran longer than {span}"), output));
    }
    Ok((status, output))
}

/// A delivery program's exit code as a failure.
fn by_exit(program: &str, code: i32, said: String) -> Failure {
    let text = format!("Program {program} exited with {code}{said}");
    let is = |exit: Exit| code == exit as i32;
    if is(Exit::TempFail) || is(Exit::OsErr) || is(Exit::IoErr) || is(Exit::OsFile) || is(Exit::Config) {
        return Failure::temporary((3, 0), text, "");
    }
    let enhanced = match code {
        67 => (1, 1),
        68 => (1, 2),
        73 => (2, 0),
        77 => (7, 1),
        65 => (6, 0),
        _ => (3, 0),
    };
    Failure::permanent(enhanced, text, "").with_code(554)
}

/// Writes the message; a program that closes its input early has seen enough.
fn feed(text: &mut dyn Read, stdin: &mut dyn Write) -> std::io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let n = text.read(&mut buffer)?;
        if n == 0 {
            return Ok(());
        }
        match stdin.write_all(&buffer[..n]) {
            Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => return Ok(()),
            other => other?,
        }
    }
}

/// Reads a program's output to the end, keeping the beginning.
struct Capture {
    kept: Arc<Mutex<Vec<u8>>>,
    ended: mpsc::Receiver<()>,
}

impl Capture {
    fn start(stream: Option<impl Read + Send + 'static>) -> Capture {
        let (ending, ended) = mpsc::channel::<()>();
        let kept = Arc::new(Mutex::new(Vec::new()));
        let shared = kept.clone();
        std::thread::spawn(move || {
            let _ending = ending;
            let mut buffer = [0; 4096];
            let Some(mut stream) = stream else { return };
            while let Ok(n) = stream.read(&mut buffer) {
                let Ok(mut kept) = shared.lock() else { return };
                if n == 0 {
                    return;
                }
                let room = OUTPUT_LIMIT.saturating_sub(kept.len());
                kept.extend_from_slice(&buffer[..n.min(room)]);
            }
        });
        Capture { kept, ended }
    }

    /// What came until the stream's end, or until this moment.
    fn end(self, until: Instant) -> Vec<u8> {
        let _ = self.ended.recv_timeout(until.saturating_duration_since(Instant::now()));
        self.kept.lock().map(|mut kept| std::mem::take(&mut *kept)).unwrap_or_default()
    }
}

/// Kills the process group at the deadline.
struct Watch {
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watch {
    fn start(group: Pid, deadline: Instant) -> Watch {
        let (done, wait) = mpsc::channel();
        let thread =
            std::thread::spawn(move || match wait.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let _ = killpg(group, Signal::SIGKILL);
                    true
                }
                _ => false,
            });
        Watch { done, thread }
    }

    fn stop(self) -> bool {
        let _ = self.done.send(());
        self.thread.join().unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run_shell(script: &str, timeout: Duration) -> Result<String, Failure> {
        let exec = Exec { argv: ["/bin/sh", "-c", script].map(String::from).to_vec(), user: None, timeout };
        let original = Address::parse("x@example.test").unwrap();
        run(&exec, None, &original, &mut &b"Subject: x\n\nbody\n"[..])
    }

    #[test]
    fn exit_codes_decide() {
        let long = Duration::from_secs(20);
        assert_eq!(run_shell("cat >/dev/null; echo $RECIPIENT", long).unwrap(), "x@example.test");
        assert_eq!(run_shell("exit 0", long).unwrap(), "");
        let failure = run_shell("echo no such list; exit 67", long).unwrap_err();
        assert!(!failure.is_temporary() && failure.public.contains("no such list"), "{failure}");
        assert_eq!(failure.enhanced, crate::status::Enhanced(5, 1, 1));
        assert!(run_shell("exit 75", long).unwrap_err().is_temporary());
        assert!(run_shell("kill -9 $$", long).unwrap_err().is_temporary());
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_its_children() {
        let started = Instant::now();
        let failure = run_shell("sleep 60 & sleep 60", Duration::from_millis(200)).unwrap_err();
        assert!(failure.is_temporary() && started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn a_flood_of_output_is_cut() {
        let failure = run_shell("head -c 1000000 /dev/zero | tr '\\0' x; exit 1", Duration::from_secs(20)).unwrap_err();
        assert!(failure.public.len() < OUTPUT_LIMIT * 2 + 100);
    }

    #[test]
    fn a_missing_program_is_final() {
        let exec = Exec { argv: vec!["/nonexistent".into()], user: None, timeout: Duration::from_secs(1) };
        let original = Address::parse("x@example.test").unwrap();
        assert!(!run(&exec, None, &original, &mut std::io::empty()).unwrap_err().is_temporary());
    }

    #[test]
    fn what_a_program_leaves_running_is_not_waited_for() {
        let started = Instant::now();
        assert_eq!(run_shell("echo said; sleep 30 & exit 0", Duration::from_secs(60)).unwrap(), "said");
        assert!(started.elapsed() < Duration::from_secs(15));
    }

    #[test]
    fn a_program_knows_who_it_is_and_nothing_of_us() {
        let user = User::from_uid(geteuid()).unwrap().unwrap();
        let said =
            run_shell("echo $USER $LOGNAME $HOME; env | cut -d= -f1 | sort | tr '\\n' ' '", Duration::from_secs(20));
        let said = said.unwrap();
        let (who, names) = said.split_once('\n').unwrap();
        assert_eq!(who, format!("{0} {0} {1}", user.name, user.dir.display()));
        let known = ["HOME", "LOGNAME", "PATH", "RECIPIENT", "SENDER", "SHELL", "USER", "PWD", "SHLVL", "OLDPWD", "_"];
        assert!(names.split_whitespace().all(|name| known.contains(&name)), "{names}");
    }

    #[test]
    fn a_message_that_can_not_be_read_to_its_end_is_not_taken_for_a_whole_one() {
        struct Broken(bool);
        impl Read for Broken {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(std::io::Error::from_raw_os_error(nix::libc::EIO));
                }
                buffer[..5].copy_from_slice(b"half\n");
                Ok(5)
            }
        }
        let dir = tempfile::tempdir().unwrap();
        let done = dir.path().join("done");
        let script = format!("cat >/dev/null; sleep 0.2; touch {}", done.display());
        let argv = ["/bin/sh", "-c", &script].map(String::from).to_vec();
        let exec = Exec { argv, user: None, timeout: Duration::from_secs(20) };
        let original = Address::parse("x@example.test").unwrap();
        assert!(run(&exec, None, &original, &mut Broken(false)).unwrap_err().is_temporary());
        assert!(!done.exists());
    }

    #[test]
    fn a_program_that_reads_nothing_is_no_trouble() {
        let exec = Exec { argv: vec!["/bin/true".into()], user: None, timeout: Duration::from_secs(20) };
        let original = Address::parse("x@example.test").unwrap();
        let text = vec![b'x'; 4 << 20];
        assert!(run(&exec, None, &original, &mut text.as_slice()).is_ok());
    }
}
