//! One line an event, `key=value`: to stderr, a file, syslog or the journal.
//!
//! Called by every floor through [`event`]. Every line about a message carries `id=`; `emqueue trace` reads
//! these lines back with [`parse_line`].
//!
//! Line: `2026-11-24T12:07:51.000123Z emsmtp[4711]: event=accepted id=… from=alice@example.test size=2048`.
//! Trust: values may come from a peer. A value with anything but plain printable characters is quoted,
//! control bytes are written as `\xNN`, and it is cut at [`VALUE_LIMIT`] bytes: no peer can forge a line.
//! A log that can't be written never stops mail; its lines go to stderr until it can.

use crate::clock::Timestamp;
use std::fmt::{Display, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

/// Longest value written, in bytes; the rest is replaced by an ellipsis.
pub const VALUE_LIMIT: usize = 1000;

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Standard error, for supervisors that collect it.
    Stderr,
    /// A file, opened for appending and opened again when it was renamed (log rotation).
    File(PathBuf),
    /// syslog(3) through /dev/log, facility mail.
    Syslog,
    /// The systemd journal's native socket.
    Journal,
}

static LOG: OnceLock<Log> = OnceLock::new();

#[derive(Debug)]
struct Log {
    program: &'static str,
    /// Our process number: a process that logs has no children that do.
    pid: u32,
    target: Target,
    sink: Mutex<Sink>,
}

/// How often a log file is compared with its name.
const ROTATION_CHECK: std::time::Duration = std::time::Duration::from_secs(1);

#[derive(Debug)]
enum Sink {
    Closed,
    /// Open, and when it was last seen under its name.
    File(Arc<File>, std::time::Instant),
    Socket(UnixDatagram),
    /// Could not be opened, at this time; tried again later.
    Broken(std::time::Instant),
}

/// Chooses the target for this process, once; before that, and when it can't be written, lines go to stderr.
pub fn start(program: &'static str, target: Target) {
    let _ = LOG.set(Log { program, pid: std::process::id(), target, sink: Mutex::new(Sink::Closed) });
}

/// Begins an event line.
pub fn event(name: &str) -> Event {
    let mut line = String::with_capacity(160);
    line.push_str("event=");
    line.push_str(name);
    Event { line, bad: false }
}

/// A line being put together; written by [`Event::write`].
#[derive(Debug)]
#[must_use = "an event is logged by write()"]
pub struct Event {
    line: String,
    bad: bool,
}

impl Event {
    /// The message's spool id.
    pub fn id(self, id: impl Display) -> Event {
        self.field("id", id)
    }

    /// One more `key=value`; the value is escaped.
    pub fn field(mut self, key: &str, value: impl Display) -> Event {
        self.line.reserve(key.len() + 24);
        self.line.push(' ');
        self.line.push_str(key);
        self.line.push('=');
        let start = self.line.len();
        // A `Display` of our own does not fail; what it wrote would stay.
        let _ = write!(self.line, "{value}");
        if !is_plain(&self.line[start..]) {
            let value = self.line.split_off(start);
            quote(&value, &mut self.line);
        }
        self
    }

    /// A field that is left out when there is nothing to say.
    pub fn maybe(self, key: &str, value: Option<impl Display>) -> Event {
        match value {
            Some(value) => self.field(key, value),
            None => self,
        }
    }

    /// Marks the event as something an administrator should see (syslog priority `err`).
    pub fn error(mut self) -> Event {
        self.bad = true;
        self
    }

    /// Puts the line behind others that are written together.
    pub fn push(self, batch: &mut Vec<Event>) {
        batch.push(self);
    }

    /// Writes the line.
    pub fn write(self) {
        match LOG.get() {
            Some(log) => log.write(&self.line, self.bad),
            None => to_stderr(self.line.as_bytes()),
        }
    }
}

/// Writes several lines at once.
pub fn write_all(batch: Vec<Event>) {
    match LOG.get() {
        Some(log @ Log { target: Target::File(path), .. }) => {
            let head = log.head(Timestamp::now(), 0);
            let mut text = String::new();
            for event in &batch {
                text.push_str(&head);
                text.push_str(&event.line);
                text.push('\n');
            }
            if !text.is_empty() {
                log.write_file(path, text.as_bytes());
            }
        }
        _ => batch.into_iter().for_each(Event::write),
    }
}

impl Log {
    fn write(&self, text: &str, bad: bool) {
        let now = Timestamp::now();
        let pid = self.pid;
        let priority = if bad { 3 } else { 6 };
        match &self.target {
            Target::Stderr => to_stderr((self.head(now, text.len()) + text).as_bytes()),
            Target::File(path) => {
                let mut line = self.head(now, text.len() + 1);
                line.push_str(text);
                line.push('\n');
                self.write_file(path, line.as_bytes());
            }
            // RFC 3164 form, facility mail (2).
            Target::Syslog => {
                let line = format!("<{}>{} {}[{pid}]: {text}", 16 + priority, now.short(), self.program);
                self.send("/dev/log", line.as_bytes());
            }
            Target::Journal => {
                let line = format!("PRIORITY={priority}\nSYSLOG_IDENTIFIER={}\nMESSAGE={text}\n", self.program);
                self.send("/run/systemd/journal/socket", line.as_bytes());
            }
        }
    }

    /// What a line begins with: time, program and process; with room for so many octets behind it.
    fn head(&self, now: Timestamp, room: usize) -> String {
        /// Of the time, the longest name of a program, and a process number.
        const LONGEST: usize = 64;
        let mut head = String::with_capacity(LONGEST + room);
        now.push_rfc3339(&mut head);
        for part in [" ", self.program, "[", &self.pid.to_string(), "]: "] {
            head.push_str(part);
        }
        head
    }

    fn write_file(&self, path: &Path, line: &[u8]) {
        // One write(2) on an O_APPEND file: lines of several threads and processes do not mix, and nobody waits for another one's disk.
        let written = self.file(path).is_some_and(|file| (&*file).write_all(line).is_ok());
        if !written {
            let _ = std::io::stderr().write_all(line);
        }
    }

    /// The log file as it is to be written to now.
    fn file(&self, path: &Path) -> Option<Arc<File>> {
        let mut sink = self.sink.lock().ok()?;
        if let Sink::File(file, checked) = &mut *sink
            && checked.elapsed() >= ROTATION_CHECK
        {
            *checked = std::time::Instant::now();
            if !is_still(file, path) {
                *sink = Sink::Closed;
            }
        }
        // The disk may be there again.
        if matches!(&*sink, Sink::Broken(since) if since.elapsed() >= ROTATION_CHECK) {
            *sink = Sink::Closed;
        }
        if matches!(*sink, Sink::Closed) {
            *sink = match open(path) {
                Ok(file) => Sink::File(Arc::new(file), std::time::Instant::now()),
                Err(e) => {
                    to_stderr(format!("{}: log {}: {e}", self.program, path.display()).as_bytes());
                    Sink::Broken(std::time::Instant::now())
                }
            };
        }
        match &*sink {
            Sink::File(file, _) => Some(file.clone()),
            _ => None,
        }
    }

    fn send(&self, socket: &str, datagram: &[u8]) {
        let Ok(mut sink) = self.sink.lock() else { return };
        for _ in 0..2 {
            if !matches!(*sink, Sink::Socket(_)) {
                let opened = UnixDatagram::unbound().and_then(|s| s.connect(socket).map(|()| s));
                *sink = opened.map_or(Sink::Closed, Sink::Socket);
            }
            if let Sink::Socket(s) = &*sink {
                if s.send(datagram).is_ok() {
                    return;
                }
                // The daemon was restarted: connect once more.
                *sink = Sink::Closed;
            }
        }
        to_stderr(datagram);
    }
}

/// A standard error that can't be written must not end a process that holds mail: no panic, unlike eprintln.
fn to_stderr(line: &[u8]) {
    let _ = std::io::stderr().write_all(&[line, b"\n"].concat());
}

/// Opens the log, or makes it.
///
/// The folder belongs to the services' user: links that it puts there must not lead root's lines, or root's chown, to other files.
fn open(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).mode(0o640).custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK);
    let is_root = nix::unistd::geteuid().is_root();
    match options.clone().create_new(true).open(path) {
        Ok(file) => {
            // What root happens to make first belongs to who owns the folder.
            if let (true, Some(dir)) = (is_root, path.parent().and_then(|d| std::fs::metadata(d).ok())) {
                let _ = std::os::unix::fs::fchown(&file, Some(dir.uid()), Some(dir.gid()));
            }
            Ok(file)
        }
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let file = options.open(path)?;
            let metadata = file.metadata()?;
            if is_root && metadata.is_file() && metadata.nlink() > 1 {
                return Err(std::io::Error::other("it has another name, too"));
            }
            Ok(file)
        }
        Err(e) => Err(e),
    }
}

/// Log rotation renames the file; a write must go to the new one.
fn is_still(file: &File, path: &Path) -> bool {
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(ours), Ok(named)) => (ours.dev(), ours.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// True for a value that needs no quotes.
fn is_plain(value: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_graphic() && b != b'"' && b != b'\\';
    !value.is_empty() && value.len() <= VALUE_LIMIT && value.bytes().all(is_plain)
}

/// Appends a value in quotes.
fn quote(value: &str, line: &mut String) {
    line.push('"');
    let mut room = VALUE_LIMIT;
    for c in value.chars() {
        if room < c.len_utf8() {
            line.push('…');
            break;
        }
        room -= c.len_utf8();
        match c {
            '"' | '\\' => {
                line.push('\\');
                line.push(c);
            }
            // C1 controls, separators and direction marks could hide or forge text on a terminal.
            c if c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
            {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    let _ = write!(line, "\\x{byte:02x}");
                }
            }
            c => line.push(c),
        }
    }
    line.push('"');
}

/// Cuts a log line into time, program and fields; `None` when it is not one of ours.
pub fn parse_line(line: &str) -> Option<LogLine> {
    let start = line.find("event=")?;
    let mut head = line[..start].split_whitespace();
    let time = head.next().unwrap_or("").to_string();
    let program = head.next_back().unwrap_or("").split('[').next().unwrap_or("").trim_end_matches(':').to_string();
    let mut fields = Vec::new();
    let mut rest = line[start..].trim_end();
    while let Some(equals) = rest.find('=') {
        let key = rest[..equals].trim_start().to_string();
        rest = &rest[equals + 1..];
        let value;
        if let Some(quoted) = rest.strip_prefix('"') {
            let (text, used) = unquote(quoted)?;
            value = text;
            rest = &quoted[used..];
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            value = rest[..end].to_string();
            rest = &rest[end..];
        }
        fields.push((key, value));
    }
    Some(LogLine { time, program, fields })
}

/// A log line read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// RFC 3339, as written.
    pub time: String,
    /// The program that wrote it.
    pub program: String,
    /// All fields in order, `event` first.
    pub fields: Vec<(String, String)>,
}

impl LogLine {
    /// The first field of this name.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }
}

fn unquote(text: &str) -> Option<(String, usize)> {
    let mut bytes = Vec::new();
    let raw = text.as_bytes();
    let mut i = 0;
    while i < raw.len() {
        match raw[i] {
            b'"' => return Some((String::from_utf8_lossy(&bytes).into_owned(), i + 1)),
            b'\\' if raw.get(i + 1) == Some(&b'x') => {
                let hex = text.get(i + 2..i + 4)?;
                bytes.push(u8::from_str_radix(hex, 16).ok()?);
                i += 4;
            }
            b'\\' => {
                bytes.push(*raw.get(i + 1)?);
                i += 2;
            }
            byte => {
                bytes.push(byte);
                i += 1;
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_come_back() {
        for value in
            ["plain@example.test", "two words", "", "a\"b\\c", "line\r\nevent=forged", "日本", "a=b", "\u{202e}x"]
        {
            let event = event("test").field("v", value).field("last", 1);
            assert!(!event.line.contains('\n'), "{}", event.line);
            let line = format!("2026-11-24T12:07:51.000123Z emsmtp[1]: {}", event.line);
            let read = parse_line(&line).unwrap();
            assert_eq!(read.field("v"), Some(value));
            assert_eq!(read.field("last"), Some("1"));
            assert_eq!(read.program, "emsmtp");
        }
    }

    #[test]
    fn a_long_value_is_cut() {
        let event = event("test").field("v", "x".repeat(5000));
        assert!(event.line.len() < VALUE_LIMIT + 40);
    }

    #[test]
    fn links_in_the_log_folder_are_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "").unwrap();
        let (soft, hard) = (dir.path().join("soft"), dir.path().join("hard"));
        std::os::unix::fs::symlink(&victim, &soft).unwrap();
        std::fs::hard_link(&victim, &hard).unwrap();
        assert!(open(&soft).is_err());
        assert_eq!(open(&hard).is_err(), nix::unistd::geteuid().is_root());
        assert!(open(&dir.path().join("new")).is_ok() && open(&dir.path().join("new")).is_ok());
    }

    #[test]
    fn a_log_that_could_not_be_opened_is_opened_later() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log/em.log");
        let log = Log { program: "test", pid: 1, target: Target::File(path.clone()), sink: Mutex::new(Sink::Closed) };
        log.write_file(&path, b"lost\n");
        std::fs::create_dir(dir.path().join("log")).unwrap();
        let before = std::time::Instant::now() - 2 * ROTATION_CHECK;
        *log.sink.lock().unwrap() = Sink::Broken(before);
        log.write_file(&path, b"found\n");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "found\n");
    }
}
