//! Running a mailer of a sendmail.cf: a program with arguments, rights, a folder and an environment of the file's choice.
//!
//! Called by `queue`. What its exit codes mean is sendmail's table ([`sysexit`]), with sendmail's words.
//! Trust: whoever runs the queue has chosen the file; rights are given up for the account it names, and never gained.

use super::program::hold;
use crate::status::{Enhanced, Exit, Failure};
use nix::unistd::{Gid, Uid, geteuid};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What is run, as whom, where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentCall {
    /// P=: the program.
    pub program: PathBuf,
    /// A=: the argument vector; the first is the name it is called by.
    pub argv: Vec<Vec<u8>>,
    /// Rights to take, where we are root; `None` keeps ours.
    pub rights: Option<(Uid, Gid)>,
    /// D=: the first of these that can be entered; none for the root folder.
    pub folders: Vec<PathBuf>,
    /// The whole environment.
    pub environment: Vec<(OsString, OsString)>,
    /// Longest run.
    pub timeout: Duration,
}

/// A row of sendmail's table of exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sysexit {
    /// The code.
    pub code: u8,
    /// What it means.
    pub enhanced: Enhanced,
    /// sendmail's words.
    pub text: &'static str,
}

/// sysexits(3) as sendmail reads them.
#[rustfmt::skip]
const SYSEXITS: [Sysexit; 15] = [
    row(64, (5, 5, 0), "Command line usage error"),
    row(65, (5, 6, 0), "Data format error"),
    row(66, (5, 3, 0), "Cannot open input"),
    row(67, (5, 1, 1), "User unknown"),
    row(68, (5, 1, 2), "Host unknown (Name server: host not found)"),
    row(69, (5, 0, 0), "Service unavailable"),
    row(70, (5, 3, 0), "Internal error"),
    row(71, (4, 0, 0), "Operating system error"),
    row(72, (5, 3, 5), "System file missing"),
    row(73, (5, 0, 0), "Can't create output"),
    row(74, (4, 0, 0), "I/O error"),
    row(75, (4, 0, 0), "Deferred"),
    row(76, (5, 5, 0), "Remote protocol error"),
    row(77, (5, 0, 0), "Insufficient permission"),
    row(78, (5, 3, 5), "Local configuration error"),
];

const fn row(code: u8, (class, subject, detail): (u8, u16, u16), text: &'static str) -> Sysexit {
    Sysexit { code, enhanced: Enhanced(class, subject, detail), text }
}

/// The row of an exit code, or that of an outcome: its words, else its enhanced code.
pub fn sysexit(code: i32) -> Option<&'static Sysexit> {
    SYSEXITS.iter().find(|row| i32::from(row.code) == code)
}

impl Sysexit {
    /// What a command ends with for this outcome.
    pub fn of_outcome(enhanced: Enhanced, text: &str) -> Exit {
        let said = SYSEXITS.iter().find(|row| row.enhanced == enhanced && text.starts_with(row.text));
        match said {
            Some(row) => Exit::of_code(row.code),
            None if enhanced.0 == 4 => Exit::Ok,
            None if text.starts_with("Cannot mail directly to") => Exit::Usage,
            // What rules refuse, and not a host.
            None if enhanced.1 == 7 && !text.starts_with(|c: char| c.is_ascii_digit()) => Exit::DataErr,
            None if text.starts_with("aliasing/forwarding loop") => Exit::Usage,
            None => Failure::permanent((enhanced.1, enhanced.2), "", "").exit(),
        }
    }
}

/// Starts a mailer that is spoken with: its standard input and output are the other end of the socket, in a process group of its own.
pub fn start_agent(call: &AgentCall) -> io::Result<(Child, UnixStream)> {
    let (own, other) = UnixStream::pair()?;
    let (input, output) = (OwnedFd::from(other.try_clone()?), OwnedFd::from(other));
    let mut command = command(call);
    command.stdin(input).stdout(output).stderr(Stdio::null()).process_group(0);
    Ok((command.spawn()?, own))
}

fn command(call: &AgentCall) -> Command {
    let mut command = Command::new(&call.program);
    let mut words = call.argv.iter().map(|word| OsStr::from_bytes(word));
    command.arg0(words.next().unwrap_or(call.program.as_os_str())).args(words);
    command.env_clear().envs(call.environment.iter().map(|(name, value)| (name, value)));
    command.current_dir(folder(call));
    if let (Some((uid, gid)), true) = (call.rights, geteuid().is_root()) {
        // Dropping to a user by std also clears supplementary groups.
        command.gid(gid.as_raw()).uid(uid.as_raw());
    }
    command
}

/// Runs the mailer with the message on its standard input; what it says when all went well is given back.
pub fn run_agent(call: &AgentCall, text: &mut dyn Read) -> Result<String, Failure> {
    let shown = call.program.display().to_string();
    let command = command(call);
    let (status, output) = hold(command, &shown, call.timeout, text)?;
    let said = if output.is_empty() { String::new() } else { format!(": {output}") };
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(output),
        (Some(code), _) => Err(by_code(code, &said)),
        (None, signal) => {
            let text = format!("mailer died with signal {}{said}", signal.unwrap_or(0));
            Err(Failure::temporary((3, 0), text, shown))
        }
    }
}

/// The first folder that can be entered, by us: the program's user is asked again when it starts.
fn folder(call: &AgentCall) -> &Path {
    call.folders.iter().map(PathBuf::as_path).find(|folder| folder.is_dir()).unwrap_or(Path::new("/"))
}

fn by_code(code: i32, said: &str) -> Failure {
    let Some(row) = sysexit(code) else {
        return Failure::permanent((0, 0), format!("unknown mailer error {code}{said}"), "").with_code(554);
    };
    let Enhanced(class, subject, detail) = row.enhanced;
    let text = format!("{}{said}", row.text);
    match class {
        4 => Failure::temporary((subject, detail), text, ""),
        _ => Failure::permanent((subject, detail), text, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(script: &str) -> AgentCall {
        AgentCall {
            program: "/bin/sh".into(),
            argv: ["agent", "-c", script, "name"].map(|word| word.as_bytes().to_vec()).to_vec(),
            rights: None,
            folders: vec!["/nonexistent".into(), "/tmp".into()],
            environment: vec![("AGENT".into(), "sendmail".into())],
            timeout: Duration::from_secs(20),
        }
    }

    #[test]
    fn exit_codes_mean_what_they_mean_to_sendmail() {
        for (code, enhanced, text, exit) in [
            (67, "5.1.1", "User unknown", Exit::NoUser),
            (69, "5.0.0", "Service unavailable", Exit::Unavailable),
            (73, "5.0.0", "Can't create output", Exit::CantCreat),
            (77, "5.0.0", "Insufficient permission", Exit::NoPerm),
            (78, "5.3.5", "Local configuration error", Exit::Config),
            (1, "5.0.0", "unknown mailer error 1", Exit::Unavailable),
            (75, "4.0.0", "Deferred", Exit::TempFail),
        ] {
            let failure = run_agent(&call(&format!("cat >/dev/null; exit {code}")), &mut &b"x\n"[..]).unwrap_err();
            assert_eq!((failure.enhanced.to_string().as_str(), failure.public.as_str()), (enhanced, text));
            assert_eq!(Sysexit::of_outcome(failure.enhanced, &failure.public), exit, "{code}");
        }
    }

    #[test]
    fn a_program_has_its_folder_and_nothing_of_our_environment() {
        let said = run_agent(&call("cat; pwd; echo $AGENT-$HOME"), &mut &b"text\n"[..]).unwrap();
        assert_eq!(said, "text\n/tmp\nsendmail-");
    }
}
