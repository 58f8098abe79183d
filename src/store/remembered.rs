//! What an account's filter remembers: who has had an answer, which messages came before, what was sent on.
//!
//! Called by `deliver`. One small text file in the account's home, `sieve-state`: a first line with its version, then a line for each
//! memory, `KIND UNTIL HASH`, with UNTIL in seconds. A key is kept as a hash: nothing of a message can break the file, and its size is
//! bounded. The last line of a key counts. Lines are appended under a lock on the file; when half of them are past or there are
//! too many, the file is written anew with what still counts, those that end last first.
//!
//! | state | meaning | who repairs it |
//! |---|---|---|
//! | no file | nothing is remembered | – |
//! | a last line without its end | a writer died; it does not count | the next writer starts a new line |
//! | a first line of another version | made by a newer version: nothing is read or written | – |
//!
//! Losing the file costs an answer or a duplicate too many, no mail.

use crate::clock::Timestamp;
use crate::fsx::{self, Lock, LockError};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::io::{self, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first line.
const HEADER: &str = "em-sieve-state 1";
/// So many memories are kept.
pub const LIMIT: usize = 10_000;
/// Largest file read, in octets.
const FILE_LIMIT: u64 = 4 << 20;
/// How long another delivery's change is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// What kind of thing is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Memory {
    /// An answer that somebody has had.
    Answer,
    /// A message that the duplicate test has seen.
    Seen,
    /// A message that was sent on.
    Redirect,
    /// A broken script that its owner was told about.
    Told,
}

/// The memories of one account.
#[derive(Debug, Clone)]
pub struct Remembered {
    path: PathBuf,
}

impl Memory {
    const ALL: [Memory; 4] = [Memory::Answer, Memory::Seen, Memory::Redirect, Memory::Told];

    fn word(self) -> &'static str {
        match self {
            Memory::Answer => "answer",
            Memory::Seen => "seen",
            Memory::Redirect => "redirect",
            Memory::Told => "told",
        }
    }
}

impl Remembered {
    /// Those of the account with this home.
    pub fn of(home: &Path) -> Remembered {
        Remembered { path: home.join("sieve-state") }
    }

    /// True when this is remembered still.
    pub fn holds(&self, kind: Memory, key: &str, now: Timestamp) -> io::Result<bool> {
        let bytes = match fsx::read(&self.path, FILE_LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            other => other?,
        };
        let memories = parse(&bytes)?;
        Ok(memories.get(&(kind, hash(key))).is_some_and(|until| *until > now.seconds()))
    }

    /// Remembers it until then. False when it was remembered already: then nothing changes.
    pub fn claim(&self, kind: Memory, key: &str, until: Timestamp, now: Timestamp) -> io::Result<bool> {
        self.change(now, |memories| {
            let key = (kind, hash(key));
            if memories.get(&key).is_some_and(|until| *until > now.seconds()) {
                return Vec::new();
            }
            vec![(key, until.seconds())]
        })
    }

    /// Remembers it until then, whatever was remembered before; a time that is past forgets it.
    pub fn keep(&self, kind: Memory, key: &str, until: Timestamp, now: Timestamp) -> io::Result<()> {
        self.change(now, |_| vec![((kind, hash(key)), until.seconds())]).map(|_| ())
    }

    /// Appends what `make` gives; false when that is nothing.
    fn change(&self, now: Timestamp, make: impl FnOnce(&Memories) -> Vec<(Key, i64)>) -> io::Result<bool> {
        let lock = Lock::wait(&self.path, PATIENCE).map_err(|error| match error {
            LockError::Io(error) => error,
            held => io::Error::new(io::ErrorKind::WouldBlock, held.to_string()),
        })?;
        let mut file = lock.file().try_clone()?;
        file.rewind()?;
        let bytes = fsx::read_opened(file.try_clone()?, &self.path, FILE_LIMIT)?;
        let mut memories = parse(&bytes)?;
        let added = make(&memories);
        if added.is_empty() {
            return Ok(false);
        }
        let lines = bytes.iter().filter(|b| **b == b'\n').count();
        memories.extend(added.iter().cloned());
        memories.retain(|_, until| *until > now.seconds());
        if bytes.is_empty() || lines > 64 && lines > memories.len() * 2 || lines > LIMIT {
            let mut kept: Vec<(Key, i64)> = memories.into_iter().collect();
            kept.sort_by_key(|(_, until)| std::cmp::Reverse(*until));
            // Some room, so that the next ones are appended again.
            kept.truncate(LIMIT - LIMIT / 10);
            let text: String = std::iter::once(format!("{HEADER}\n")).chain(kept.iter().map(line)).collect();
            fsx::replace(&self.path, text.as_bytes(), 0o600)?;
            return Ok(true);
        }
        let torn = if bytes.ends_with(b"\n") { "" } else { "\n" };
        let text: String = std::iter::once(torn.to_string()).chain(added.iter().map(line)).collect();
        file.seek(SeekFrom::End(0))?;
        fsx::write_all(&mut file, &self.path, text.as_bytes())?;
        fsx::sync_data(&file, &self.path)?;
        Ok(true)
    }
}

type Key = (Memory, String);
type Memories = HashMap<Key, i64>;

fn hash(key: &str) -> String {
    Sha256::digest(key.as_bytes()).iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

fn line(((kind, hash), until): &(Key, i64)) -> String {
    format!("{} {until} {hash}\n", kind.word())
}

fn parse(bytes: &[u8]) -> io::Result<Memories> {
    let text = String::from_utf8_lossy(bytes);
    let mut lines = text.split_inclusive('\n');
    match lines.next() {
        None => return Ok(Memories::new()),
        Some(first) if first.trim_end() == HEADER => {}
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "sieve-state of another version")),
    }
    let mut memories = Memories::new();
    for line in lines.filter_map(|line| line.strip_suffix('\n')) {
        let mut words = line.split(' ');
        let kind = words.next().and_then(|word| Memory::ALL.into_iter().find(|kind| kind.word() == word));
        let (until, hash) = (words.next().and_then(|until| until.parse().ok()), words.next());
        // A line that a crash has torn was ended by the next writer; it is none.
        if let (Some(kind), Some(until), Some(hash)) = (kind, until, hash.filter(|hash| hash.len() == 32)) {
            memories.insert((kind, hash.to_string()), until);
        }
    }
    Ok(memories)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn what_is_remembered_is_forgotten_in_time() {
        let home = tempfile::tempdir().unwrap();
        let remembered = Remembered::of(home.path());
        assert!(!remembered.holds(Memory::Answer, "a", at(0)).unwrap());
        assert!(remembered.claim(Memory::Answer, "a", at(10), at(0)).unwrap());
        assert!(!remembered.claim(Memory::Answer, "a", at(20), at(9)).unwrap());
        assert!(remembered.holds(Memory::Answer, "a", at(9)).unwrap());
        assert!(
            !remembered.holds(Memory::Seen, "a", at(9)).unwrap()
                && !remembered.holds(Memory::Answer, "a", at(10)).unwrap()
        );
        assert!(remembered.claim(Memory::Answer, "a", at(30), at(10)).unwrap());
        remembered.keep(Memory::Answer, "a", at(0), at(11)).unwrap();
        assert!(!remembered.holds(Memory::Answer, "a", at(11)).unwrap());
    }

    #[test]
    fn a_torn_line_and_a_newer_version_do_no_harm() {
        let home = tempfile::tempdir().unwrap();
        let (remembered, path) = (Remembered::of(home.path()), home.path().join("sieve-state"));
        remembered.keep(Memory::Seen, "a", at(100), at(0)).unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.push_str("seen 9999 0123");
        std::fs::write(&path, &text).unwrap();
        remembered.keep(Memory::Seen, "b", at(100), at(0)).unwrap();
        assert!(
            remembered.holds(Memory::Seen, "a", at(1)).unwrap() && remembered.holds(Memory::Seen, "b", at(1)).unwrap()
        );
        std::fs::write(&path, "em-sieve-state 2\nx").unwrap();
        assert!(remembered.keep(Memory::Seen, "c", at(100), at(0)).is_err());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "em-sieve-state 2\nx");
    }

    #[test]
    fn the_file_stays_small() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("sieve-state");
        let full: String = (0..LIMIT as i64).map(|n| line(&((Memory::Seen, hash(&n.to_string())), 1000 + n))).collect();
        std::fs::write(&path, format!("{HEADER}\n{full}")).unwrap();
        let remembered = Remembered::of(home.path());
        remembered.keep(Memory::Seen, "new", at(100_000), at(0)).unwrap();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < LIMIT);
        assert!(
            remembered.holds(Memory::Seen, "new", at(1)).unwrap()
                && !remembered.holds(Memory::Seen, "0", at(1)).unwrap()
        );
        remembered.keep(Memory::Seen, "x", at(200_000), at(150_000)).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 2);
    }
}
