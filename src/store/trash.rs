//! The trash of an account: expunged mail, kept for a while, with what is needed to bring it back.
//!
//! `HOME/trash/YYYYMMDD/` holds the messages that were expunged on that day (UTC), and `list`, a text file with one line each:
//!
//! ```text
//! em-trash 1
//! T WHEN UID INTERNALDATE LETTERS KEYWORDS FOLDER FILE
//! ```
//!
//! Times are microseconds since the epoch, `-` is none; folder is the name on disk, `-` for INBOX. The line is durable before the
//! message is renamed, so that a message here always has one; a line whose message is not here has been restored, or was never expunged.
//! Each write begins with an empty line: what a torn one left behind ends there.

use super::folder::{Folder, FolderError, escape, shown_system, unescape};
use crate::clock::Timestamp;
use crate::fsx;
use crate::mailbox::{Entry, System, Uid};
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

const LIST: &str = "list";
const HEADER: &str = "em-trash 1\n";
/// Largest list of one day.
const LIMIT: u64 = 1 << 30;

/// A message in the trash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trashed {
    /// When it was expunged.
    pub when: Timestamp,
    /// The folder it was in: its name on disk (`.Archive.2024`), empty for INBOX.
    pub folder: String,
    /// What its identifier was.
    pub uid: Uid,
    /// System flags: bits of [`System`].
    pub system: u8,
    /// Keywords.
    pub keywords: Vec<String>,
    /// INTERNALDATE, or [`Entry::UNKNOWN_DATE`]: that of the file.
    pub internal_date: Timestamp,
    /// Name of the file in the day's folder.
    pub file: Vec<u8>,
}

/// The trash of an account.
#[derive(Debug)]
pub struct Trash {
    dir: PathBuf,
}

/// Today's folder, ready to take messages whose lines are written.
#[derive(Debug)]
pub(super) struct Bin {
    dir: PathBuf,
}

impl Bin {
    /// Writes the lines for these messages, durably.
    pub(super) fn open(home: &Path, now: Timestamp, messages: &[Trashed]) -> io::Result<Bin> {
        let dir = home.join("trash").join(day(now));
        fsx::create_dirs(&dir, 0o700)?;
        let path = dir.join(LIST);
        let mut file = fsx::open_append(&path, 0o600)?;
        let is_first = file.metadata()?.len() == 0;
        let mut text = Vec::from(if is_first { HEADER } else { "\n" });
        messages.iter().for_each(|message| message.print(&mut text));
        fsx::write_all(&mut file, &path, &text)?;
        fsx::sync_data(&file, &path)?;
        if is_first {
            fsx::sync_dir(&dir)?;
        }
        Ok(Bin { dir })
    }

    /// Takes a message.
    pub(super) fn take(&self, from: &Path, message: &Trashed) -> io::Result<()> {
        fsx::rename(from, &self.dir.join(OsStr::from_bytes(&message.file)))
    }

    /// Takes a message that for now stays where it is, too.
    pub(super) fn link(&self, from: &Path, message: &Trashed) -> io::Result<()> {
        fsx::link(from, &self.dir.join(OsStr::from_bytes(&message.file)))
    }

    /// Makes what was taken durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        fsx::sync_dir(&self.dir)
    }
}

impl Trash {
    /// The trash of the account with this home.
    pub fn of(home: &Path) -> Trash {
        Trash { dir: home.join("trash") }
    }

    /// What is in it, oldest first.
    pub fn list(&self) -> io::Result<Vec<Trashed>> {
        let mut found = Vec::new();
        for day in self.days()? {
            let dir = self.dir.join(&day);
            let text = match fsx::read(&dir.join(LIST), LIMIT) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other?,
            };
            let lines = text.split(|b| *b == b'\n').filter_map(Trashed::parse);
            found.extend(lines.filter(|t| dir.join(OsStr::from_bytes(&t.file)).symlink_metadata().is_ok()));
        }
        Ok(found)
    }

    /// A message's text.
    pub fn text(&self, message: &Trashed) -> io::Result<std::fs::File> {
        fsx::open_read(&self.path(message))
    }

    fn path(&self, message: &Trashed) -> PathBuf {
        self.dir.join(day(message.when)).join(OsStr::from_bytes(&message.file))
    }

    /// Brings a message back into a folder, with its flags and dates. Its new identifier, or nothing when it is no longer here.
    pub fn restore(&self, message: &Trashed, folder: &Folder) -> Result<Option<Uid>, FolderError> {
        let path = self.path(message);
        let system = message.system & !(System::Deleted as u8) | shown_system(&message.file) & !(System::Deleted as u8);
        folder.adopt(&path, system, &message.keywords, message.internal_date)
    }

    /// How many messages [`Trash::purge`] would remove.
    pub fn purgeable(&self, now: Timestamp, age: Duration) -> io::Result<u64> {
        let last = first_kept_day(now, age);
        let old = self.list()?.into_iter().filter(|message| day(message.when) < last);
        Ok(old.count() as u64)
    }

    /// Removes for good what was expunged more than `age` before `now`, by whole days. How many messages that were.
    pub fn purge(&self, now: Timestamp, age: Duration) -> io::Result<u64> {
        let last = first_kept_day(now, age);
        let mut count = 0;
        for name in self.days()?.into_iter().filter(|name| *name < last) {
            let dir = self.dir.join(&name);
            for entry in std::fs::read_dir(&dir).map_err(|e| fsx::context("read", &dir, e))? {
                let entry = entry?;
                // The list goes last: a message never stands here without its line.
                if entry.file_name() != LIST {
                    fsx::remove(&entry.path())?;
                    count += 1;
                }
            }
            fsx::remove(&dir.join(LIST))?;
            fsx::remove_dir(&dir)?;
        }
        Ok(count)
    }

    /// The days' folders, oldest first.
    fn days(&self) -> io::Result<Vec<String>> {
        let mut days = Vec::new();
        match std::fs::read_dir(&self.dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => {
                for entry in other.map_err(|e| fsx::context("read", &self.dir, e))? {
                    let name = entry?.file_name().to_string_lossy().into_owned();
                    if name.len() == 8 && name.bytes().all(|b| b.is_ascii_digit()) {
                        days.push(name);
                    }
                }
            }
        }
        days.sort_unstable();
        Ok(days)
    }
}

/// The first day that is kept.
fn first_kept_day(now: Timestamp, age: Duration) -> String {
    let age = i64::try_from(age.as_micros()).unwrap_or(i64::MAX);
    day(Timestamp(now.0.saturating_sub(age)))
}

/// `20261124`.
fn day(time: Timestamp) -> String {
    time.rfc3339().chars().take(10).filter(char::is_ascii_digit).collect()
}

impl Trashed {
    fn print(&self, out: &mut Vec<u8>) {
        let _ = write!(out, "T {} {} ", self.when.0, self.uid);
        if self.internal_date == Entry::UNKNOWN_DATE {
            out.push(b'-');
        } else {
            let _ = write!(out, "{}", self.internal_date.0);
        }
        out.extend_from_slice(b" .");
        let set = System::ALL.into_iter().filter(|flag| self.system & *flag as u8 != 0);
        out.extend(set.map(|flag| flag.letter() as u8));
        out.push(b' ');
        if self.keywords.is_empty() {
            out.push(b'-');
        }
        for (index, keyword) in self.keywords.iter().enumerate() {
            out.extend_from_slice(if index > 0 { b"," } else { b"" });
            // A keyword may hold a comma.
            out.extend_from_slice(keyword.replace('%', "%25").replace(',', "%2C").as_bytes());
        }
        out.push(b' ');
        escape(self.folder.as_bytes(), out);
        out.push(b' ');
        escape(&self.file, out);
        out.push(b'\n');
    }

    fn parse(line: &[u8]) -> Option<Trashed> {
        let text = std::str::from_utf8(line).ok()?;
        let words: Vec<&str> = text.split(' ').collect();
        let ["T", when, uid, date, letters, keywords, folder, file] = words[..] else { return None };
        let system = letters.strip_prefix('.')?.chars().filter_map(System::from_letter);
        let keywords = match keywords {
            "-" => Vec::new(),
            list => list.split(',').map(|k| k.replace("%2C", ",").replace("%25", "%")).collect(),
        };
        Some(Trashed {
            when: Timestamp(when.parse().ok()?),
            folder: String::from_utf8(unescape(folder.as_bytes())?).ok()?,
            uid: Uid::new(uid.parse().ok()?)?,
            system: system.fold(0, |bits, flag| bits | flag as u8),
            keywords,
            internal_date: if date == "-" { Entry::UNKNOWN_DATE } else { Timestamp(date.parse().ok()?) },
            file: unescape(file.as_bytes()).filter(|name| !name.is_empty() && name.first() != Some(&b'.'))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_printed() {
        let message = Trashed {
            when: Timestamp(5),
            folder: ".Caf\u{e9} x".into(),
            uid: Uid::new(7).unwrap(),
            system: 9,
            keywords: vec!["a,b%".into(), "$Junk".into()],
            internal_date: Entry::UNKNOWN_DATE,
            file: b"1.x:2,S".to_vec(),
        };
        for message in [Trashed { keywords: vec![], folder: String::new(), ..message.clone() }, message] {
            let mut line = Vec::new();
            message.print(&mut line);
            assert_eq!(Trashed::parse(line.strip_suffix(b"\n").unwrap()), Some(message));
        }
        assert_eq!(Trashed::parse(b"T 1 2 3 .S - - ../x"), None);
    }
}
