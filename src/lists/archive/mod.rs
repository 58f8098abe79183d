//! The archive of a list: every post, one file each, and an index that can be made again from them.
//!
//! Called by the list service for each post, by the commands `summary` and `get`, by digests, and by `emlist archive`.
//!
//! | file | what | when damaged or lost |
//! |---|---|---|
//! | `BUCKET/NUMBER` | a post as it was sent to the members, LF line ends; never changed; BUCKET is its number / 1000 | nothing repairs it: it is the truth |
//! | `index` | one line a post ([`Entry`]), with a checksum; the last one for a number counts | `emlist archive LIST rebuild` makes it from the files |
//! | `text` | what the posts say, folded for searching ([`texts`]) | removed, and made again by the next search |
//! | `signatures` | which pieces of words are in which of these texts ([`signatures`]) | the same |
//! | `lock` | held by who appends | – |
//!
//! Order: the post is durable under its name before its line is appended, the line before `append` returns. A post without a line, after a
//! crash between the two, gets it when the next post comes, or when the same post comes again: appending what is there already is no
//! error. A torn last line is cut by the next writer.

mod entry;
mod mbox;
mod ranges;
mod rebuild;
mod search;
mod signatures;
mod texts;
mod threads;

pub use entry::Entry;
pub use mbox::{Exported, Imported, MESSAGE_LIMIT};
pub use ranges::{RangeError, Ranges};
pub use rebuild::Checked;
pub use threads::Threaded;

use super::List;
use crate::clock::Timestamp;
use crate::fsx::{self, Draft, FilesystemSync, Lock, LockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Posts of one folder.
const BUCKET: u64 = 1000;
/// The first line of the index.
const HEADER: &str = "em-archive 1\n";
/// Largest index read, in octets.
const INDEX_LIMIT: u64 = 1 << 30;
/// So much of the end of the index is read for its last line: two of the longest lines.
const TAIL: u64 = 2 * entry::LINE_LIMIT as u64;
/// Numbers looked at for posts that a crash has left without a line.
const GAP: u64 = 1000;
/// How long another writer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// The archive of one list.
#[derive(Debug, Clone)]
pub struct Archive {
    dir: PathBuf,
}

/// One post on its way into the archive.
#[derive(Debug, Clone)]
pub struct Post {
    /// Its number.
    pub number: u64,
    /// Its text, LF line ends.
    pub message: Vec<u8>,
    /// When it came; stands in for a Date that is missing.
    pub received: Timestamp,
}

impl Archive {
    /// The archive of a list, which need not be there yet.
    pub fn of(list: &List) -> Archive {
        Archive::at(list.spool().join("archive"))
    }

    /// The archive in a folder.
    pub fn at(dir: PathBuf) -> Archive {
        Archive { dir }
    }

    /// Adds a post; durable on return. The same post once more is no error, another one under its number is.
    pub fn append(&self, number: u64, message: &[u8], received: Timestamp) -> io::Result<()> {
        let _lock = self.lock()?;
        let path = self.path(number);
        match self.message(number)? {
            Some(known) if known == message => {}
            Some(_) => return Err(taken(&path)),
            None => {
                fsx::create_dirs(&self.bucket(number), 0o700)?;
                let mut draft = self.draft(number)?;
                draft.write(message)?;
                draft.publish(&path)?;
            }
        }
        let last = self.last_number()?;
        let mut entries = Vec::new();
        for missed in (last + 1).max(number.saturating_sub(GAP))..number {
            if let Some(message) = self.message(missed)? {
                entries.push(Entry::of(missed, &message, received));
            }
        }
        if number > last || self.entry(number)?.is_none() {
            entries.push(Entry::of(number, message, received));
        }
        self.append_lines(&entries)?;
        // Only a cache: the next search makes what is missing.
        let _ = self.append_text(number, message);
        Ok(())
    }

    /// Adds many posts with one wait for the disk; all of them are durable on return. Their numbers must be free.
    pub fn append_all(&self, posts: &[Post]) -> io::Result<()> {
        let _lock = self.lock()?;
        let sync = FilesystemSync::begin(&self.dir)?;
        let mut entries = Vec::with_capacity(posts.len());
        for post in posts {
            let path = self.path(post.number);
            if path.exists() {
                return Err(taken(&path));
            }
            fsx::create_dirs(&self.bucket(post.number), 0o700)?;
            let mut draft = self.draft(post.number)?;
            draft.write(&post.message)?;
            draft.file()?;
            // The sync of the file system below comes before any line of the index.
            draft.believe_synced();
            draft.place(&path)?;
            entries.push(Entry::of(post.number, &post.message, post.received));
        }
        sync.finish()?;
        self.append_lines(&entries)?;
        for post in posts {
            if self.append_text(post.number, &post.message).is_err() {
                break;
            }
        }
        Ok(())
    }

    /// A post; `None` when there is none of that number.
    pub fn message(&self, number: u64) -> io::Result<Option<Vec<u8>>> {
        match fsx::read(&self.path(number), MESSAGE_LIMIT as u64) {
            Ok(message) => Ok(Some(message)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// The number of the post that was added last; 0 for an empty archive. Looks at the end of the index only.
    pub fn last_number(&self) -> io::Result<u64> {
        let file = match fsx::open_read(&self.index_path()) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(e) => return Err(e),
        };
        let size = file.metadata()?.len();
        let mut tail = vec![0; size.min(TAIL) as usize];
        let start = size - tail.len() as u64;
        file.read_exact_at(&mut tail, start)?;
        let whole = memchr::memrchr(b'\n', &tail).map_or(0, |lf| lf + 1);
        match tail[..whole].split(|b| *b == b'\n').rev().find_map(entry::number_of) {
            Some(number) => Ok(number),
            None => Ok(self.index()?.last()),
        }
    }

    /// What the index says of a post.
    pub fn entry(&self, number: u64) -> io::Result<Option<Entry>> {
        Ok(self.index()?.entry(number))
    }

    /// The index, as it is now.
    pub fn index(&self) -> io::Result<Index> {
        match fsx::read(&self.index_path(), INDEX_LIMIT) {
            Ok(text) => Ok(Index::read(text)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Index::read(Vec::new())),
            Err(e) => Err(e),
        }
    }

    fn append_lines(&self, entries: &[Entry]) -> io::Result<()> {
        if entries.is_empty() {
            return Ok(());
        }
        let path = self.index_path();
        let is_new = !path.exists();
        let mut file = fsx::open_append(&path, 0o600)?;
        let mut lines = String::new();
        match whole_size(&file)? {
            0 => {
                fsx::truncate(&file, &path, 0)?;
                lines.push_str(HEADER);
            }
            whole if whole < file.metadata()?.len() => fsx::truncate(&file, &path, whole)?,
            _ => {}
        }
        for entry in entries {
            lines.push_str(&entry.print());
        }
        fsx::write_all(&mut file, &path, lines.as_bytes())?;
        fsx::sync_data(&file, &path)?;
        if is_new { fsx::sync_dir(&self.dir) } else { Ok(()) }
    }

    fn lock(&self) -> io::Result<Lock> {
        fsx::create_dirs(&self.dir, 0o700)?;
        let path = self.dir.join("lock");
        Lock::wait(&path, PATIENCE).map_err(|e| match e {
            LockError::Io(e) => e,
            held => fsx::context("lock", &path, io::Error::new(io::ErrorKind::WouldBlock, held.to_string())),
        })
    }

    /// A draft of a post; what a crash has left of an earlier one goes.
    fn draft(&self, number: u64) -> io::Result<Draft> {
        let path = self.bucket(number).join(format!(".{number}.new"));
        fsx::remove(&path)?;
        Ok(Draft::new(path, 0o600))
    }

    fn index_path(&self) -> PathBuf {
        self.dir.join("index")
    }

    fn bucket(&self, number: u64) -> PathBuf {
        self.dir.join((number / BUCKET).to_string())
    }

    fn path(&self, number: u64) -> PathBuf {
        self.bucket(number).join(number.to_string())
    }
}

fn taken(path: &Path) -> io::Error {
    let error = io::Error::new(io::ErrorKind::AlreadyExists, "another post has this number");
    fsx::context("archive", path, error)
}

/// Octets up to the end of the last whole line.
fn whole_size(file: &std::fs::File) -> io::Result<u64> {
    let size = file.metadata()?.len();
    let mut tail = vec![0; size.min(TAIL) as usize];
    let start = size - tail.len() as u64;
    file.read_exact_at(&mut tail, start)?;
    Ok(memchr::memrchr(b'\n', &tail).map_or(0, |lf| start + lf as u64 + 1))
}

/// The index in memory: where each post's line is. Lines are read when they are asked for.
#[derive(Debug)]
pub struct Index {
    text: Vec<u8>,
    /// Ascending by number.
    lines: Vec<(u64, Range<usize>)>,
}

impl Index {
    fn read(text: Vec<u8>) -> Index {
        let mut lines: Vec<(u64, Range<usize>)> = Vec::new();
        let mut start = 0;
        for end in memchr::memchr_iter(b'\n', &text) {
            if let Some(number) = entry::number_of(&text[start..end]) {
                lines.push((number, start..end));
            }
            start = end + 1;
        }
        // Nearly always sorted; of several lines for a number the last one counts.
        if !lines.is_sorted_by(|before, after| before.0 < after.0) {
            lines.reverse();
            lines.sort_by_key(|line| line.0);
            lines.dedup_by_key(|line| line.0);
        }
        Index { text, lines }
    }

    /// How many posts it knows.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// True when it knows none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The smallest number; 0 without posts.
    pub fn first(&self) -> u64 {
        self.lines.first().map_or(0, |line| line.0)
    }

    /// The largest number; 0 without posts.
    pub fn last(&self) -> u64 {
        self.lines.last().map_or(0, |line| line.0)
    }

    /// All numbers, ascending.
    pub fn numbers(&self) -> impl DoubleEndedIterator<Item = u64> {
        self.lines.iter().map(|line| line.0)
    }

    /// What is known of a post; `None` for a damaged line, too.
    pub fn entry(&self, number: u64) -> Option<Entry> {
        let at = self.lines.binary_search_by_key(&number, |line| line.0).ok()?;
        self.parsed(self.lines.get(at)?)
    }

    /// The numbers in these ranges that have a post, ascending.
    pub fn numbers_in<'a>(&'a self, ranges: &'a [(u64, u64)]) -> impl Iterator<Item = u64> + 'a {
        ranges.iter().flat_map(|range| self.span(*range)).map(|line| line.0)
    }

    /// What is known of the posts in these ranges, ends included, ascending.
    pub fn entries<'a>(&'a self, ranges: &'a [(u64, u64)]) -> impl Iterator<Item = Entry> + 'a {
        ranges.iter().flat_map(|range| self.span(*range)).filter_map(|line| self.parsed(line))
    }

    /// What is known of all posts.
    pub fn all(&self) -> impl Iterator<Item = Entry> {
        self.lines.iter().filter_map(|line| self.parsed(line))
    }

    fn span(&self, (from, to): (u64, u64)) -> &[(u64, Range<usize>)] {
        let start = self.lines.partition_point(|line| line.0 < from);
        let end = self.lines.partition_point(|line| line.0 <= to);
        self.lines.get(start..end).unwrap_or_default()
    }

    fn parsed(&self, (_, line): &(u64, Range<usize>)) -> Option<Entry> {
        Entry::parse(self.text.get(line.clone())?)
    }
}

#[cfg(test)]
mod tests;
