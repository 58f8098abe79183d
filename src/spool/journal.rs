//! The journal of a queued message: `log/bb/ID`, one line a record.
//!
//! A record counts when its line end is there; the next writer trims a torn tail first. A message without a
//! journal has not been tried.

use super::fsx;
use crate::clock::Timestamp;
use crate::fields::{self, Words};
use crate::status::Enhanced;
use std::io;
use std::path::Path;

/// Longest journal read, in octets.
const LIMIT: u64 = 64 << 20;

/// How an attempt for a recipient ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its class says whether it is done, to be tried again, or failed.
    pub enhanced: Enhanced,
    /// The reply or the reason, for people; the sender may be told it.
    pub text: String,
    /// The host that said so; empty for local deliveries.
    pub host: String,
    /// What lies behind it, for the administrator alone; often empty.
    pub cause: String,
}

/// Longest text and cause kept, in octets: a host may say a megabyte about each of a thousand recipients.
const TEXT_LIMIT: usize = 2000;

impl Outcome {
    /// An outcome without a cause; a long text is cut.
    pub fn new(enhanced: Enhanced, text: impl Into<String>, host: &str) -> Outcome {
        let (mut text, cause) = (text.into(), String::new());
        text.truncate(text.floor_char_boundary(TEXT_LIMIT));
        Outcome { enhanced, text, host: host.to_string(), cause }
    }

    /// The same with its cause.
    pub fn because(mut self, cause: &str) -> Outcome {
        self.cause = cause[..cause.floor_char_boundary(TEXT_LIMIT)].to_string();
        self
    }

    /// Text and cause, for the administrator.
    pub fn reason(&self) -> String {
        if self.cause.is_empty() { self.text.clone() } else { format!("{} ({})", self.text, self.cause) }
    }
}

/// What is appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// An attempt for these recipients (numbers in the envelope) ended.
    Tried(Vec<usize>, Outcome),
    /// The attempt as a whole is over; the next one is due then.
    Next(Timestamp),
    /// The sender was told that the message is late.
    Warned,
    /// The sender was told that the time of BY=…;N has passed (RFC 2852 §4.1.3).
    Overdue,
    /// These recipients' next host was given the message, and the sender is to be told so (RFC 2852 §4.1.4).
    Relayed(Vec<usize>),
    /// The sender was told about these recipients' failure or success.
    Reported(Vec<usize>),
    /// No attempts until released.
    Held,
    /// Attempts go on at once.
    Released,
}

/// Where one recipient stands.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct State {
    /// How the last attempt ended; `None` before the first.
    pub last: Option<Outcome>,
    /// When.
    pub when: Timestamp,
    /// The sender has been told.
    pub reported: bool,
    /// The sender is to be told that the message was relayed, whatever NOTIFY says about success.
    pub relayed: bool,
}

impl State {
    /// True while a delivery is owed.
    pub fn is_owed(&self) -> bool {
        self.last.as_ref().is_none_or(|outcome| outcome.enhanced.0 == 4)
    }
}

/// What the journal adds up to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Progress {
    /// One for each recipient of the envelope.
    pub states: Vec<State>,
    /// Attempts so far.
    pub attempts: u32,
    /// When the next attempt is due; `None` for at once.
    pub next: Option<Timestamp>,
    /// The sender was warned.
    pub warned: bool,
    /// The sender was told that the time of BY=…;N has passed.
    pub overdue: bool,
    /// When the administrator first let it go; ends a future release too.
    pub released: Option<Timestamp>,
    /// Waiting for a release.
    pub held: bool,
}

impl Progress {
    /// Adds a record.
    pub fn apply(&mut self, when: Timestamp, record: &Record) {
        match record {
            Record::Tried(numbers, outcome) => {
                for number in numbers {
                    if let Some(state) = self.states.get_mut(*number) {
                        state.last = Some(outcome.clone());
                        state.when = when;
                    }
                }
            }
            Record::Next(next) => {
                self.attempts += 1;
                self.next = Some(*next);
            }
            Record::Warned => self.warned = true,
            Record::Overdue => self.overdue = true,
            Record::Relayed(numbers) => {
                for number in numbers {
                    if let Some(state) = self.states.get_mut(*number) {
                        state.relayed = true;
                    }
                }
            }
            Record::Reported(numbers) => {
                for number in numbers {
                    if let Some(state) = self.states.get_mut(*number) {
                        state.reported = true;
                    }
                }
            }
            Record::Held => self.held = true,
            Record::Released => {
                self.held = false;
                self.next = None;
                self.released.get_or_insert(when);
            }
        }
    }

    /// True when an attempt may be made now.
    pub fn is_due(&self, now: Timestamp) -> bool {
        !self.held && self.next.is_none_or(|next| next <= now)
    }
}

fn print(when: Timestamp, record: &Record) -> String {
    let mut line = when.0.to_string();
    let list = |numbers: &[usize]| numbers.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    match record {
        Record::Tried(numbers, outcome) => {
            line.push_str(" tried");
            fields::push(&mut line, "n", &list(numbers));
            fields::push(&mut line, "code", &outcome.enhanced.to_string());
            fields::push(&mut line, "text", &outcome.text);
            fields::push(&mut line, "host", &outcome.host);
            if !outcome.cause.is_empty() {
                fields::push(&mut line, "cause", &outcome.cause);
            }
        }
        Record::Next(next) => {
            line.push_str(" next");
            fields::push(&mut line, "at", &next.0.to_string());
        }
        Record::Warned => line.push_str(" warned"),
        Record::Overdue => line.push_str(" overdue"),
        Record::Relayed(numbers) => {
            line.push_str(" relayed");
            fields::push(&mut line, "n", &list(numbers));
        }
        Record::Reported(numbers) => {
            line.push_str(" reported");
            fields::push(&mut line, "n", &list(numbers));
        }
        Record::Held => line.push_str(" held"),
        Record::Released => line.push_str(" released"),
    }
    line.push('\n');
    line
}

/// Reads a record; one of a newer version is `None` and is passed over.
fn parse(line: &str) -> Option<(Timestamp, Record)> {
    let mut words = line.splitn(3, ' ');
    let when = Timestamp(words.next()?.parse().ok()?);
    let verb = words.next()?;
    let pairs = Words::of(words.next().unwrap_or(""))?;
    let numbers = || pairs.get("n")?.split(',').map(|n| n.parse().ok()).collect::<Option<Vec<usize>>>();
    let record = match verb {
        "tried" => Record::Tried(
            numbers()?,
            Outcome {
                enhanced: Enhanced::parse_prefix(pairs.get("code")?)?.0,
                text: pairs.take("text")?,
                host: pairs.take("host").unwrap_or_default(),
                cause: pairs.take("cause").unwrap_or_default(),
            },
        ),
        "next" => Record::Next(Timestamp(pairs.get("at")?.parse().ok()?)),
        "warned" => Record::Warned,
        "overdue" => Record::Overdue,
        "relayed" => Record::Relayed(numbers()?),
        "reported" => Record::Reported(numbers()?),
        "held" => Record::Held,
        "released" => Record::Released,
        _ => return None,
    };
    Some((when, record))
}

/// Reads a journal; a missing one is that of an untried message.
pub(super) fn read(path: &Path, recipients: usize) -> io::Result<Progress> {
    let mut progress = Progress { states: vec![State::default(); recipients], ..Progress::default() };
    let bytes = match fsx::read(path, LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(progress),
        other => other?,
    };
    let whole = memchr::memrchr(b'\n', &bytes).map_or(0, |i| i + 1);
    for line in crate::line::lines(&bytes[..whole]) {
        if let Some((when, record)) = std::str::from_utf8(line).ok().and_then(parse) {
            progress.apply(when, &record);
        }
    }
    Ok(progress)
}

/// Appends records and makes them durable.
pub(super) fn append(path: &Path, when: Timestamp, records: &[Record]) -> io::Result<()> {
    let mut file = open(path)?;
    let size = file.metadata()?.len();
    if size > 0 {
        use std::os::unix::fs::FileExt;
        let mut last = [0];
        file.read_exact_at(&mut last, size - 1)?;
        if last != *b"\n" {
            let bytes = fsx::read(path, LIMIT)?;
            fsx::truncate(&file, path, memchr::memrchr(b'\n', &bytes).map_or(0, |i| i as u64 + 1))?;
        }
    }
    let text: String = records.iter().map(|r| print(when, r)).collect();
    fsx::write_all(&mut file, path, text.as_bytes())?;
    fsx::sync_file(&file, path)?;
    match path.parent() {
        Some(dir) if size == 0 => fsx::sync_dir(dir),
        _ => Ok(()),
    }
}

/// Makes sure that so many octets can be appended.
pub(super) fn reserve(path: &Path, octets: u64) -> io::Result<()> {
    fsx::reserve(&open(path)?, path, octets)
}

fn open(path: &Path) -> io::Result<std::fs::File> {
    if let Some(dir) = path.parent().filter(|d| !d.is_dir()) {
        fsx::create_dirs(dir, 0o700)?;
    }
    fsx::open_append(path, 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::io::Write as _;

    #[test]
    fn records_add_up_and_a_torn_tail_is_trimmed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("00/j");
        let outcome = |class, text: &str| Outcome::new(Enhanced(class, 0, 0), text, "h").because("a\nb");
        let first =
            [Record::Tried(vec![0, 2], outcome(4, "later\nplease")), Record::Next(Timestamp(99)), Record::Warned];
        append(&path, Timestamp(7), &first).unwrap();
        std::fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"8 tried n=1 co").unwrap();
        let progress = read(&path, 3).unwrap();
        assert_eq!(progress.states[0].last, Some(outcome(4, "later\nplease")));
        assert_eq!((progress.attempts, progress.warned, progress.next), (1, true, Some(Timestamp(99))));
        assert!(progress.states[1].last.is_none());
        append(&path, Timestamp(9), &[Record::Tried(vec![1], outcome(2, "ok")), Record::Held]).unwrap();
        let progress = read(&path, 3).unwrap();
        assert!(!progress.states[1].is_owed() && progress.states[0].is_owed() && progress.held);
        assert!(!progress.is_due(Timestamp(1000)));
        assert!(!progress.overdue && progress.released.is_none());
        let more = [Record::Overdue, Record::Relayed(vec![1]), Record::Released];
        append(&path, Timestamp(11), &more).unwrap();
        append(&path, Timestamp(12), &[Record::Released]).unwrap();
        let progress = read(&path, 3).unwrap();
        assert_eq!((progress.overdue, progress.released), (true, Some(Timestamp(11))));
        assert!(progress.states[1].relayed && !progress.states[0].relayed);
    }
}
