//! Maps of class `program`: a program is run with the key as its last argument, and the first line of what it prints is the value.
//!
//! What it ends with is the status: 0 is found, 75 is "later", all else is "not there". No shell reads the line of the map, whose words
//! are cut at blanks. As root it runs as the user for programs and never as root; otherwise with the rights of whoever asks,
//! without a group that the command was given.

use super::{Heard, later};
use crate::rules::map::Map;
use crate::rules::world::{Looked, exit};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::{Pid, User, geteuid, getgid};
use std::ffi::OsStr;
use std::io::Read;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// Longest run.
const TIME: Duration = Duration::from_secs(30);
/// Longest value, in octets.
const VALUE_LIMIT: usize = 2047;
/// Most octets of output that are read at all.
const OUTPUT_LIMIT: usize = 1 << 20;
/// Pause between two looks at a program that has closed its output.
const PAUSE: Duration = Duration::from_millis(2);

/// Asks the program of a map; `user` runs it where root asks.
pub(super) fn ask(map: &Map, key: &[u8], user: &str) -> Heard {
    ask_within(map, key, user, TIME)
}

fn ask_within(map: &Map, key: &[u8], user: &str, time: Duration) -> Heard {
    // No argument can hold it.
    if key.contains(&0) {
        return Heard::missing();
    }
    let mut words = map.rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(OsStr::from_bytes);
    let Some(program) = words.next() else { return Heard::failed(exit::CONFIG, "the map names no program") };
    let mut command = Command::new(program);
    command.args(words).arg(OsStr::from_bytes(key)).env_clear().current_dir("/");
    command.env("PATH", "/usr/local/bin:/usr/bin:/bin").env("AGENT", "sendmail");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    if geteuid().is_root() {
        match account(user) {
            Ok(Some(user)) if !user.uid.is_root() => {
                // Dropping to a user by std also clears supplementary groups.
                command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
            }
            Ok(Some(_)) => return later("the user for programs is root"),
            Ok(None) => return later(format!("no user {user} for programs")),
            Err(error) => return later(error.to_string()),
        }
    } else {
        command.gid(getgid().as_raw());
    }
    let shown = program.to_string_lossy().into_owned();
    match command.spawn() {
        Err(error) => Heard::failed(exit::CONFIG, format!("{shown}: {error}")),
        Ok(child) => match finish(child, Instant::now() + time) {
            Err(cause) => later(format!("{shown}: {cause}")),
            Ok((status, output)) => said(&shown, status, output),
        },
    }
}

/// The account of that name, or of that number: `1:1` is a usual DefaultUser.
fn account(user: &str) -> nix::Result<Option<User>> {
    match user.parse::<u32>() {
        Ok(uid) => User::from_uid(uid.into()),
        Err(_) => User::from_name(user),
    }
}

/// What a program's end and its output mean.
fn said(program: &str, status: ExitStatus, output: Vec<u8>) -> Heard {
    let looked = match status.code() {
        None => return Heard::failed(exit::UNAVAILABLE, format!("{program}: {status}")),
        // It found nothing, and all is well.
        Some(0) if output.is_empty() => Looked::failed(exit::OK),
        Some(0) => {
            let end = output.iter().position(|b| *b == b'\n').unwrap_or(output.len());
            Looked::found(&output[..end])
        }
        Some(code) => Looked::failed(u8::try_from(code).unwrap_or(exit::UNAVAILABLE)),
    };
    Heard { looked, ..Heard::missing() }
}

/// Reads the output to its end and waits for the program, both at most until then.
fn finish(mut child: Child, until: Instant) -> Result<(ExitStatus, Vec<u8>), String> {
    let group = Pid::from_raw(i32::try_from(child.id()).unwrap_or(0));
    let done = read(&mut child, until).and_then(|output| Ok((ended(&mut child, until)?, output)));
    if done.is_err() {
        // The whole group: what it started may hold the output open.
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait();
    }
    done
}

fn read(child: &mut Child, until: Instant) -> Result<Vec<u8>, String> {
    let Some(mut stdout) = child.stdout.take() else { return Ok(Vec::new()) };
    let (mut kept, mut total, mut piece) = (Vec::new(), 0, [0; 4096]);
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let wait = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(stdout.as_fd(), PollFlags::POLLIN)], wait) {
            Ok(0) => return Err("no answer in time".to_string()),
            Ok(_) | Err(nix::errno::Errno::EINTR) if left.is_zero() => return Err("no answer in time".to_string()),
            Err(nix::errno::Errno::EINTR) => continue,
            Err(error) => return Err(error.to_string()),
            Ok(_) => {}
        }
        match stdout.read(&mut piece) {
            Ok(0) => return Ok(kept),
            Ok(n) => {
                kept.extend_from_slice(&piece[..n.min(VALUE_LIMIT - kept.len())]);
                total += n;
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.to_string()),
        }
        if total > OUTPUT_LIMIT {
            return Err(format!("more than {OUTPUT_LIMIT} octets of output"));
        }
    }
}

fn ended(child: &mut Child, until: Instant) -> Result<ExitStatus, String> {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() < until => std::thread::sleep(PAUSE),
            Ok(None) => return Err("it does not end".to_string()),
            Err(error) => return Err(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(line: &str, key: &str) -> Heard {
        let (map, faults) = Map::read(format!("p program {line}").as_bytes(), 1);
        assert!(faults.is_empty(), "{faults:?}");
        ask_within(&map.unwrap(), key.as_bytes(), "nobody", Duration::from_millis(400))
    }

    #[test]
    fn the_first_line_is_the_value_and_no_shell_reads_the_key() {
        assert_eq!(asked("/bin/echo a", "$(id) `x`; b").looked, Looked::found("a $(id) `x`; b"));
        assert_eq!(asked("/usr/bin/printf %s", "one\ntwo").looked, Looked::found("one"));
        assert_eq!(asked("/bin/echo", &"x".repeat(9000)).looked, Looked::found("x".repeat(VALUE_LIMIT)));
    }

    #[test]
    fn the_exit_code_is_the_status() {
        assert_eq!(asked("/bin/true", "x").looked, Looked::failed(exit::OK));
        assert_eq!(asked("/bin/false", "x").looked, Looked::failed(1));
        assert_eq!(asked("/bin/sh -c", "exit 75").looked, Looked::failed(exit::TEMPORARY));
        assert_eq!(asked("/bin/sh -c", "kill $$").looked, Looked::failed(exit::UNAVAILABLE));
        assert_eq!(asked("/nonexistent/program", "x").looked, Looked::failed(exit::CONFIG));
    }

    #[test]
    fn nobody_waits_for_a_program_without_an_end() {
        for script in ["sleep 60", "sleep 60 & sleep 60", "exec >&-; sleep 60"] {
            let started = Instant::now();
            assert_eq!(asked("/bin/sh -c", script).looked.status, exit::TEMPORARY, "{script}");
            assert!(started.elapsed() < Duration::from_secs(10));
        }
        assert_eq!(asked("/usr/bin/yes", "x").looked.status, exit::TEMPORARY);
    }
}
