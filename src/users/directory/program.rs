//! The checkpassword interface: how a program is asked about a name and a password.
//!
//! The program reads `NAME\0PASSWORD\0TIMESTAMP\0` from descriptor 3; when it agrees, it runs the command that its arguments name.
//! Ours prints the environment it was given (`env -0`), which is how the program says more than yes. The exit code decides:
//!
//! | code | at a login | at a look-up |
//! |---|---|---|
//! | 0 | right | known, if the environment says `AUTHORIZED=2` |
//! | 1 | wrong | – |
//! | 3 | wrong | no such name |
//! | all else, a signal, no end in time | the directory is out of order | the same |
//!
//! The password goes through the pipe alone: never an argument, the environment or the log. The program gets a fixed environment,
//! a process group of its own that is killed when the time is up, and no more than so many of it run at once.
//! Trust: the program is the administrator's. What it prints is cut at a limit.

use crate::status::Failure;
use crate::syscall;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::time::{Duration, Instant};

/// Most processes of one directory at once; more callers wait for their turn.
const PROCESSES: usize = 16;
/// Most octets of name and password. A pipe takes as much without a reader.
const QUESTION_LIMIT: usize = 2048;
/// Most octets of environment that are read.
const ANSWER_LIMIT: u64 = 64 << 10;
/// How often a process that closed its output is asked whether it has ended.
const POLL: Duration = Duration::from_millis(2);
/// What the program runs when it agrees.
const REPLY: [&str; 2] = ["/usr/bin/env", "-0"];

/// A program, and how many of it run.
#[derive(Debug)]
pub struct Program {
    argv: Vec<String>,
    timeout: Duration,
    running: Arc<(Mutex<usize>, Condvar)>,
}

impl Program {
    /// A program by its argument vector, and how long it may take.
    pub fn new(argv: &[String], timeout: Duration) -> Program {
        Program { argv: argv.to_vec(), timeout, running: Arc::default() }
    }

    /// Asks whether a name is known; its environment if it is.
    pub fn look_up(&self, name: &str) -> Result<Option<BTreeMap<String, String>>, Failure> {
        let (code, environment) = self.ask(name, "", true)?;
        match code {
            Some(0) if environment.get("AUTHORIZED").map(String::as_str) == Some("2") => Ok(Some(environment)),
            Some(0) => Err(self.failed("it answers no look-ups (AUTHORIZED=1, see em-users(5))")),
            Some(3) => Ok(None),
            code => Err(self.failed(&ending(code))),
        }
    }

    /// Asks whether this is the name's password.
    pub fn log_in(&self, name: &str, password: &str) -> Result<bool, Failure> {
        if !is_askable(name, password) {
            return Ok(false);
        }
        match self.ask(name, password, false)?.0 {
            Some(0) => Ok(true),
            Some(1 | 3) => Ok(false),
            code => Err(self.failed(&ending(code))),
        }
    }

    /// Runs the program once. Its exit code, none after a signal; and the environment that it gave our command.
    fn ask(
        &self,
        name: &str,
        password: &str,
        is_look_up: bool,
    ) -> Result<(Option<i32>, BTreeMap<String, String>), Failure> {
        let deadline = Instant::now() + self.timeout;
        let _turn = self.turn(deadline)?;
        let (status, text) = self.run(name, password, is_look_up, deadline).map_err(|e| self.failed(&e.to_string()))?;
        Ok((status.code(), environment(&text)))
    }

    fn run(
        &self,
        name: &str,
        password: &str,
        is_look_up: bool,
        deadline: Instant,
    ) -> std::io::Result<(ExitStatus, Vec<u8>)> {
        let (program, arguments) = self.argv.split_first().ok_or_else(|| std::io::Error::other("no program"))?;
        let (question, mut asking) = std::io::pipe()?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .args(REPLY)
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("SERVICE", "em");
        if is_look_up {
            command.env("AUTHORIZED", "1");
        }
        command.current_dir("/").process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        syscall::pass(&mut command, &[question.as_fd()]);
        let mut child = command.spawn()?;
        drop(question);
        // Closed at the end of this block: the program reads up to there. One that reads nothing is judged by its exit code.
        let text = zeroize::Zeroizing::new(format!("{name}\0{password}\0{}\0", "0"));
        match asking.write_all(text.as_bytes()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
                abandon(child);
                return Err(e);
            }
            _ => drop(asking),
        }
        let Some(output) = child.stdout.take() else { return Ok((child.wait()?, Vec::new())) };
        let (said, heard) = mpsc::channel();
        std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = output.take(ANSWER_LIMIT).read_to_end(&mut text);
            let _ = said.send(text);
        });
        let text = heard.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let Ok(text) = text else {
            abandon(child);
            return Err(slow());
        };
        while Instant::now() < deadline {
            if let Some(status) = child.try_wait()? {
                return Ok((status, text));
            }
            std::thread::sleep(POLL);
        }
        abandon(child);
        Err(slow())
    }

    /// Waits for a turn.
    fn turn(&self, deadline: Instant) -> Result<Turn, Failure> {
        let (count, freed) = &*self.running;
        let busy = || self.failed("all its processes are busy");
        let count = count.lock().map_err(|_| busy())?;
        let patience = deadline.saturating_duration_since(Instant::now());
        let waited = freed.wait_timeout_while(count, patience, |count| *count >= PROCESSES);
        let (mut count, _) = waited.map_err(|_| busy())?;
        if *count >= PROCESSES {
            return Err(busy());
        }
        *count += 1;
        Ok(Turn(self.running.clone()))
    }

    /// The directory is out of order; what the peer is told says no more than that.
    fn failed(&self, reason: &str) -> Failure {
        let program = self.argv.first().map_or("", String::as_str);
        crate::log::event("directory-failed").field("program", program).field("reason", reason).error().write();
        Failure::temporary((3, 0), "Local error in processing, try again later", format!("{program}: {reason}"))
    }
}

/// One of the processes that may run.
struct Turn(Arc<(Mutex<usize>, Condvar)>);

impl Drop for Turn {
    fn drop(&mut self) {
        let (count, freed) = &*self.0;
        if let Ok(mut count) = count.lock() {
            *count -= 1;
        }
        freed.notify_one();
    }
}

/// A NUL would begin another word of the question.
fn is_askable(name: &str, password: &str) -> bool {
    !password.is_empty()
        && name.len() + password.len() <= QUESTION_LIMIT
        && !name.contains('\0')
        && !password.contains('\0')
}

/// Ends a process that has had its time. One that became another user can't be killed by us: whoever it is, it is waited for aside.
fn abandon(mut child: Child) {
    let _ = killpg(Pid::from_raw(child.id() as i32), Signal::SIGKILL);
    std::thread::spawn(move || child.wait());
}

fn slow() -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time")
}

fn ending(code: Option<i32>) -> String {
    code.map_or_else(|| "ended by a signal".to_string(), |code| format!("exited with {code}"))
}

/// `NAME=value` words that end with NUL.
fn environment(text: &[u8]) -> BTreeMap<String, String> {
    let words = text.split(|b| *b == 0).filter_map(|word| std::str::from_utf8(word).ok()?.split_once('='));
    words.map(|(name, value)| (name.to_string(), value.to_string())).collect()
}
