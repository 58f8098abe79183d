//! Outcomes: SMTP reply codes, enhanced status codes, failures with a public and a private side, exit codes.
//!
//! RFC 5321 §4.2, RFC 3463, sysexits(3).

use std::fmt;

/// An enhanced status code, `class.subject.detail` (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Enhanced(pub u8, pub u16, pub u16);

impl Enhanced {
    /// Reads `5.1.1` at the start of a text; returns the rest after following blanks too.
    pub fn parse_prefix(text: &str) -> Option<(Enhanced, &str)> {
        let (code, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len()));
        let mut parts = code.split('.');
        let class = parts.next()?.parse().ok()?;
        let subject = parts.next()?.parse().ok()?;
        let detail = parts.next()?.parse().ok()?;
        if parts.next().is_some() || !matches!(class, 2 | 4 | 5) {
            return None;
        }
        Some((Enhanced(class, subject, detail), rest.trim_start()))
    }
}

impl fmt::Display for Enhanced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// An SMTP reply: code, enhanced code, one or more lines of text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// 200 to 599.
    pub code: u16,
    /// Left out of greetings, EHLO and intermediate replies.
    pub enhanced: Option<Enhanced>,
    /// At least one line, without code and line end.
    pub lines: Vec<String>,
}

impl Reply {
    /// A reply of one line.
    pub fn new(code: u16, enhanced: Enhanced, text: impl Into<String>) -> Reply {
        Reply { code, enhanced: Some(enhanced), lines: vec![text.into()] }
    }

    /// A reply without an enhanced code.
    pub fn bare(code: u16, text: impl Into<String>) -> Reply {
        Reply { code, enhanced: None, lines: vec![text.into()] }
    }

    /// True for 2xx and 3xx.
    pub fn is_positive(&self) -> bool {
        self.code < 400
    }

    /// True for 5xx.
    pub fn is_permanent(&self) -> bool {
        self.code >= 500
    }

    /// The same as if it were for now only: 450 for 550.
    pub fn softened(&self) -> Reply {
        let is_permanent = self.is_permanent();
        let soften = |Enhanced(class, subject, detail)| Enhanced(if class == 5 { 4 } else { class }, subject, detail);
        let code = if is_permanent { self.code - 100 } else { self.code };
        Reply { code, enhanced: self.enhanced.map(soften), lines: self.lines.clone() }
    }

    /// Appends the wire form (RFC 5321 §4.2.1); control characters in the text, but for tabs, become blanks.
    pub fn print(&self, wire: &mut Vec<u8>) {
        for (i, line) in self.lines.iter().enumerate() {
            wire.reserve(line.len() + 16);
            push_number(self.code, wire);
            wire.push(if i + 1 == self.lines.len() { b' ' } else { b'-' });
            if let Some(Enhanced(class, subject, detail)) = self.enhanced {
                push_number(class.into(), wire);
                wire.push(b'.');
                push_number(subject, wire);
                wire.push(b'.');
                push_number(detail, wire);
                wire.push(b' ');
            }
            wire.extend(line.bytes().map(|b| if b.is_ascii_control() && b != b'\t' { b' ' } else { b }));
            wire.extend_from_slice(b"\r\n");
        }
    }
}

/// Appends a number in decimal: a client waits for each reply, and the general way takes ten times as long.
fn push_number(number: u16, wire: &mut Vec<u8>) {
    if number >= 10 {
        push_number(number / 10, wire);
    }
    wire.push(b'0' + (number % 10) as u8);
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", self.lines.join(" / "))
    }
}

/// Something that did not work, as the service edge needs it: what the peer is told and what the log says.
///
/// Not sure whether a fault is permanent? It is temporary.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{} {} {}{}{}", .code, .enhanced, .public, if .cause.is_empty() { "" } else { ": " }, .cause)]
pub struct Failure {
    /// 4xx or 5xx.
    pub code: u16,
    /// Its class agrees with `code`.
    pub enhanced: Enhanced,
    /// For the peer: says nothing about our insides.
    pub public: String,
    /// For the log: the whole truth.
    pub cause: String,
}

impl Failure {
    /// A failure to be tried again.
    pub fn temporary(enhanced: (u16, u16), public: impl Into<String>, cause: impl ToString) -> Failure {
        Failure {
            code: 451,
            enhanced: Enhanced(4, enhanced.0, enhanced.1),
            public: public.into(),
            cause: cause.to_string(),
        }
    }

    /// A final failure.
    pub fn permanent(enhanced: (u16, u16), public: impl Into<String>, cause: impl ToString) -> Failure {
        Failure {
            code: 550,
            enhanced: Enhanced(5, enhanced.0, enhanced.1),
            public: public.into(),
            cause: cause.to_string(),
        }
    }

    /// A local fault (disk, directory): always temporary, the public text says no more than that.
    ///
    /// Full disks get 452 4.3.1 (RFC 3463 §3.4), all else 451 4.3.0.
    pub fn local(error: &std::io::Error) -> Failure {
        use nix::libc::{EDQUOT, ENOSPC};
        match crate::fsx::errno(error) {
            Some(ENOSPC) | Some(EDQUOT) => {
                Failure::temporary((3, 1), "Insufficient system storage, try again later", error).with_code(452)
            }
            _ => Failure::temporary((3, 0), "Local error in processing, try again later", error),
        }
    }

    /// The same failure under another reply code of the same class.
    pub fn with_code(mut self, code: u16) -> Failure {
        self.code = code;
        self
    }

    /// True when trying again makes sense.
    pub fn is_temporary(&self) -> bool {
        self.code < 500
    }

    /// What the peer is told.
    pub fn reply(&self) -> Reply {
        Reply::new(self.code, self.enhanced, self.public.clone())
    }

    /// The exit code of a command that failed so.
    pub fn exit(&self) -> Exit {
        match (self.is_temporary(), self.enhanced.1, self.enhanced.2) {
            (true, 3, 0) => Exit::IoErr,
            (true, ..) => Exit::TempFail,
            (false, 1, 1) | (false, 1, 6) => Exit::NoUser,
            (false, 1, 2) | (false, 4, 4) => Exit::NoHost,
            (false, 7, _) => Exit::NoPerm,
            (false, 2, 2) => Exit::CantCreat,
            (false, 3, 4) | (false, 6, _) => Exit::DataErr,
            (false, ..) => Exit::Unavailable,
        }
    }
}

impl Exit {
    /// The exit code of this number; [`Exit::Unavailable`] for one that is none of ours.
    pub fn of_code(code: u8) -> Exit {
        use Exit::*;
        let all = [
            Ok,
            No,
            Usage,
            DataErr,
            NoInput,
            NoUser,
            NoHost,
            Unavailable,
            Software,
            OsErr,
            OsFile,
            CantCreat,
            IoErr,
            TempFail,
            Protocol,
            NoPerm,
            Config,
        ];
        all.into_iter().find(|exit| *exit as u8 == code).unwrap_or(Unavailable)
    }
}

/// Exit codes of every command: sysexits(3), the one table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Ok = 0,
    /// A check found something wrong, or a question's answer is no.
    No = 1,
    /// Command line used wrongly.
    Usage = 64,
    /// Input data is malformed.
    DataErr = 65,
    /// An input file is missing or unreadable.
    NoInput = 66,
    /// No such user.
    NoUser = 67,
    /// No such host.
    NoHost = 68,
    /// A service is not available.
    Unavailable = 69,
    /// An internal fault.
    Software = 70,
    /// The operating system failed us (no fork, no pipe).
    OsErr = 71,
    /// A system file is missing or malformed.
    OsFile = 72,
    /// An output file can't be created.
    CantCreat = 73,
    /// Reading or writing failed.
    IoErr = 74,
    /// Try again later.
    TempFail = 75,
    /// A peer does not follow its protocol.
    Protocol = 76,
    /// Not permitted.
    NoPerm = 77,
    /// A configuration error.
    Config = 78,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        std::process::ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_print_and_hide_controls() {
        let mut wire = Vec::new();
        let mut reply = Reply::new(250, Enhanced(2, 1, 0), "ok\r\nforged");
        reply.lines.push("last".into());
        reply.print(&mut wire);
        assert_eq!(wire, b"250-2.1.0 ok  forged\r\n250 2.1.0 last\r\n");
    }

    #[test]
    fn enhanced_prefixes() {
        assert_eq!(Enhanced::parse_prefix("5.1.1 no"), Some((Enhanced(5, 1, 1), "no")));
        assert_eq!(Enhanced::parse_prefix("4.4.2"), Some((Enhanced(4, 4, 2), "")));
        for bad in ["", "5.1", "3.1.1 x", "no", "5.1.1.1", "5..1"] {
            assert_eq!(Enhanced::parse_prefix(bad), None, "{bad}");
        }
    }

    #[test]
    fn full_disk_is_452() {
        let full = std::io::Error::from_raw_os_error(nix::libc::ENOSPC);
        let failure = Failure::local(&crate::fsx::context("write", std::path::Path::new("x"), full));
        assert_eq!((failure.code, failure.exit()), (452, Exit::TempFail));
    }
}
