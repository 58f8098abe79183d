//! How much an account holds: for the quota.
//!
//! `Maildir/em-usage` remembers the sums of each directory with the directory's time, so that a delivery reads only those directories
//! that have changed since: one line each, `FOLDER DIRECTORY TIME MESSAGES OCTETS`. It may be deleted at any time; a line whose time is
//! another one does not count.

use super::folder::{escape, size, unescape};
use crate::clock::Timestamp;
use crate::fsx;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NAME: &str = "em-usage";
const HEADER: &[u8] = b"em-usage 1";
const LIMIT: u64 = 64 << 20;
/// Counting so many files again is cheaper than remembering them.
const FEW: u64 = 100;
/// A directory that changed within this time may change again without showing it.
const TICK_NS: i64 = 30_000_000;

/// Messages and octets, as files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Number of messages.
    pub messages: u64,
    /// Their octets, with LF line ends.
    pub octets: u64,
}

impl std::ops::AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        self.messages += other.messages;
        self.octets += other.octets;
    }
}

/// A folder's name on disk (empty for INBOX) and the directory in it.
type Key = (Vec<u8>, &'static str);

/// What the account with this home holds, all folders.
pub fn usage(home: &Path) -> io::Result<Usage> {
    let maildir = home.join("Maildir");
    let known = fsx::read(&maildir.join(NAME), LIMIT).map_or_else(|_| BTreeMap::new(), |text| parse(&text));
    let now = Timestamp::now().0.saturating_mul(1000);
    let mut folders = vec![Vec::new()];
    match std::fs::read_dir(&maildir) {
        Ok(entries) => {
            for entry in entries {
                let entry = entry?;
                if entry.file_name().as_bytes().starts_with(b".") && entry.file_type()?.is_dir() {
                    folders.push(entry.file_name().as_bytes().to_vec());
                }
            }
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Usage::default()),
        Err(e) => return Err(fsx::context("read", &maildir, e)),
    }
    let (mut total, mut counted) = (Usage::default(), 0);
    let mut lines: BTreeMap<Key, (i64, Usage)> = BTreeMap::new();
    for folder in folders {
        for sub in ["new", "cur"] {
            let dir = maildir.join(OsStr::from_bytes(&folder)).join(sub);
            let time = match std::fs::metadata(&dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => {
                    let metadata = other?;
                    metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec())
                }
            };
            let key = (folder.clone(), sub);
            let sum = match known.get(&key) {
                Some((known, sum)) if *known == time => *sum,
                _ => {
                    let sum = count(&dir)?;
                    counted += sum.messages;
                    sum
                }
            };
            total += sum;
            if now.saturating_sub(time) > TICK_NS {
                lines.insert(key, (time, sum));
            }
        }
    }
    if counted > FEW && lines != known {
        // Only a cache; who may not write here counts again.
        let _ = fsx::replace_cache(&maildir.join(NAME), &print(&lines), 0o600);
    }
    Ok(total)
}

/// Adds up one directory: from the names where they have `S=`, otherwise from the files.
fn count(dir: &Path) -> io::Result<Usage> {
    let mut sum = Usage::default();
    let entries = match std::fs::read_dir(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(sum),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let octets = match size(entry.file_name().as_bytes(), b",S=") {
            Some(size) => size,
            None => entry.metadata().map_or(0, |m| m.len()),
        };
        sum += Usage { messages: 1, octets };
    }
    Ok(sum)
}

fn print(lines: &BTreeMap<Key, (i64, Usage)>) -> Vec<u8> {
    let mut text = [HEADER, b"\n"].concat();
    for ((folder, sub), (time, Usage { messages, octets })) in lines {
        escape(folder, &mut text);
        // Writing to a Vec never fails.
        let _ = writeln!(text, " {sub} {time} {messages} {octets}");
    }
    let checksum = crc32fast::hash(&text);
    let _ = writeln!(text, "= {checksum:08x}");
    text
}

/// Nothing when it is damaged: then all is counted again.
fn parse(text: &[u8]) -> BTreeMap<Key, (i64, Usage)> {
    let mut lines = BTreeMap::new();
    let Some(end) = memchr::memmem::rfind(text, b"= ") else { return lines };
    if text[end..] != *format!("= {:08x}\n", crc32fast::hash(&text[..end])).as_bytes() {
        return lines;
    }
    for line in text[..end].split(|b| *b == b'\n') {
        let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
        let [folder, sub, time, messages, octets] = words[..] else { continue };
        let sub = if sub == "new" { "new" } else { "cur" };
        if let (Some(folder), Ok(time), Ok(messages), Ok(octets)) =
            (unescape(folder.as_bytes()), time.parse(), messages.parse(), octets.parse())
        {
            lines.insert((folder, sub), (time, Usage { messages, octets }));
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    /// Makes a directory look as if it had not changed for a while.
    fn age(dir: &Path, seconds: u64) {
        let dir = std::fs::File::open(dir).unwrap();
        dir.set_modified(SystemTime::now() - Duration::from_secs(seconds)).unwrap();
    }

    #[test]
    fn an_unchanged_directory_is_not_counted_again() {
        let dir = tempfile::tempdir().unwrap();
        let (new, cur) = (dir.path().join("Maildir/new"), dir.path().join("Maildir/.A b/cur"));
        std::fs::create_dir_all(&new).unwrap();
        std::fs::create_dir_all(&cur).unwrap();
        (0..FEW).for_each(|n| std::fs::write(new.join(format!("{n}.x,S=1")), "x").unwrap());
        std::fs::write(cur.join("2.y:2,S"), "12345").unwrap();
        assert_eq!(usage(dir.path()).unwrap(), Usage { messages: FEW + 1, octets: FEW + 5 });
        age(&new, 100);
        age(&cur, 100);
        assert_eq!(usage(dir.path()).unwrap(), Usage { messages: FEW + 1, octets: FEW + 5 });
        // Proof: what slips in under the same time is not seen.
        std::fs::write(new.join("3.z,S=7"), "x").unwrap();
        let remembered = parse(&std::fs::read(dir.path().join("Maildir/em-usage")).unwrap());
        let time = remembered[&(Vec::new(), "new")].0 as u64;
        let then = SystemTime::UNIX_EPOCH + Duration::from_nanos(time);
        std::fs::File::open(&new).unwrap().set_modified(then).unwrap();
        assert_eq!(usage(dir.path()).unwrap().messages, FEW + 1);
        age(&new, 50);
        assert_eq!(usage(dir.path()).unwrap(), Usage { messages: FEW + 2, octets: FEW + 12 });
        std::fs::write(dir.path().join("Maildir/em-usage"), "garbage").unwrap();
        assert_eq!(usage(dir.path()).unwrap().messages, FEW + 2);
    }
}
