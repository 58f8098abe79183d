//! `em-cache`: what the service has parsed of messages, one opaque record each.
//!
//! May be deleted at any time. All numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8, 4, 4 | `EMCACHE\n`, version, UIDVALIDITY |
//! | 4, 4, 4 | of each record: UID, length, CRC-32 of the bytes |
//! | | the bytes |
//!
//! Appended in batches under the mailbox lock; of two records for one message the later counts. A torn tail is cut by the next writer.
//! When more than half of it is dead it is written anew.

use super::{Folder, FolderError};
use crate::fsx::{self, Lock};
use crate::mailbox::{Snapshot, Uid, UidValidity};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

const NAME: &str = "em-cache";
const MAGIC: &[u8; 8] = b"EMCACHE\n";
const VERSION: u32 = 1;
const HEAD: u64 = 16;
const RECORD_HEAD: usize = 12;
/// Largest record.
const RECORD_LIMIT: usize = 4 << 20;
/// Octets gathered before they are written.
const BATCH: usize = 256 << 10;
/// Octets gathered while somebody else holds the lock; more are dropped.
const BATCH_LIMIT: usize = 8 << 20;
/// Octets that a reader reads at once, when it has read some already.
const WINDOW: usize = 256 << 10;
/// Octets that it reads first: who wants one record need not pay for a thousand.
const FIRST_WINDOW: usize = 32 << 10;
/// A file below this size is not worth writing anew.
const SMALL: u64 = 1 << 20;

/// Cached bytes of one message: a part of a block that others share.
#[derive(Debug, Clone)]
pub struct Cached {
    block: Arc<Vec<u8>>,
    from: usize,
    to: usize,
}

impl std::ops::Deref for Cached {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.block[self.from..self.to]
    }
}

/// Where a record's bytes lie.
#[derive(Debug, Clone, Copy)]
struct Slot {
    uid: u32,
    length: u32,
    at: u64,
}

#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    is_loaded: bool,
    inode: u64,
    /// Octets up to the end of the last whole record.
    end: u64,
    /// Sorted by identifier.
    slots: Vec<Slot>,
    pending: BTreeMap<u32, Arc<Vec<u8>>>,
    pending_size: usize,
    /// The end when it was last found out how much of the file is dead.
    weighed: u64,
}

/// Reads records in any order, quickly in that of the file. Holds one block.
#[derive(Debug)]
pub struct CacheReader<'a> {
    folder: &'a Folder,
    file: Option<(u64, File)>,
    block: Arc<Vec<u8>>,
    start: u64,
    window: usize,
    /// Where the slot of the next message is likely to stand.
    near: usize,
}

impl CacheReader<'_> {
    /// The record of a message, if there is one.
    pub fn cached(&mut self, uid: Uid) -> Option<Cached> {
        let (slot, inode, end) = {
            let mut cache = self.folder.lock_cache();
            cache.load(self.folder.cache_validity()?);
            if let Some(bytes) = cache.pending.get(&uid.number()) {
                return Some(Cached { block: bytes.clone(), from: 0, to: bytes.len() });
            }
            let slot = find(&cache.slots, uid.number(), &mut self.near)?;
            (slot, cache.inode, cache.end)
        };
        if self.file.as_ref().is_none_or(|(known, _)| *known != inode) {
            let file = fsx::open_read(&self.folder.dir.join(NAME)).ok()?;
            if file.metadata().ok()?.ino() != inode {
                return None;
            }
            self.file = Some((inode, file));
            self.block = Arc::default();
        }
        let (start, length) = (slot.at - RECORD_HEAD as u64, RECORD_HEAD + slot.length as usize);
        let is_inside = start >= self.start && start + length as u64 <= self.start + self.block.len() as u64;
        if !is_inside {
            let file = &self.file.as_ref()?.1;
            // The same memory again, unless somebody still holds a record in it.
            if Arc::get_mut(&mut self.block).is_none() {
                self.block = Arc::default();
            }
            let block = Arc::get_mut(&mut self.block)?;
            // Not beyond the last record that is known: memory is cleared, and costs its time.
            let left = usize::try_from(end.saturating_sub(start)).unwrap_or(usize::MAX);
            block.resize(length.max(self.window.min(left)), 0);
            self.window = WINDOW.min(self.window * 4);
            let mut filled = 0;
            while filled < block.len() {
                match file.read_at(&mut block[filled..], start + filled as u64).ok()? {
                    0 => break,
                    n => filled += n,
                }
            }
            block.truncate(filled);
            self.start = start;
        }
        let from = (start - self.start) as usize;
        let record = self.block.get(from..from + length)?;
        let (head, bytes) = record.split_at(RECORD_HEAD);
        let is_sound = number(&head[..4]) == slot.uid
            && number(&head[4..8]) == slot.length
            && number(&head[8..]) == crc32fast::hash(bytes);
        is_sound.then(|| Cached { block: self.block.clone(), from: from + RECORD_HEAD, to: from + length })
    }
}

impl Folder {
    /// A reader of cached records, for many messages.
    pub fn cache_reader(&self) -> CacheReader<'_> {
        CacheReader { folder: self, file: None, block: Arc::default(), start: 0, window: FIRST_WINDOW, near: 0 }
    }

    /// Those of these messages that have no record.
    pub fn uncached(&self, uids: &[Uid]) -> Vec<Uid> {
        let Some(validity) = self.cache_validity() else { return uids.to_vec() };
        let mut cache = self.lock_cache();
        cache.load(validity);
        let mut near = 0;
        let is_missing = |uid: &&Uid| {
            find(&cache.slots, uid.number(), &mut near).is_none() && !cache.pending.contains_key(&uid.number())
        };
        uids.iter().filter(is_missing).copied().collect()
    }

    /// The cached record of one message.
    pub fn cached(&self, uid: Uid) -> Option<Cached> {
        self.cache_reader().cached(uid)
    }

    /// Caches a record for a message. It is written with others, later.
    pub fn cache(&self, uid: Uid, bytes: &[u8]) {
        if bytes.len() > RECORD_LIMIT {
            return;
        }
        let is_full = {
            let mut cache = self.lock_cache();
            if cache.pending_size > BATCH_LIMIT {
                return;
            }
            cache.pending_size += RECORD_HEAD + bytes.len();
            if let Some(old) = cache.pending.insert(uid.number(), Arc::new(bytes.to_vec())) {
                cache.pending_size -= RECORD_HEAD + old.len();
            }
            cache.pending_size >= BATCH
        };
        if is_full {
            // Only a cache.
            let _ = self.flush_cache();
        }
    }

    /// Writes what was gathered. What can't be written now stays for later.
    pub fn flush_cache(&self) -> Result<(), FolderError> {
        if self.lock_cache().pending.is_empty() {
            return Ok(());
        }
        let snapshot = self.with_state(|state| state.snapshot.clone())?;
        let mut cache = self.lock_cache();
        match Lock::wait(&self.dir.join("em-lock"), Duration::from_millis(50)) {
            Ok(_lock) => Ok(cache.flush(&snapshot)?),
            Err(_) => Err(FolderError::Busy),
        }
    }

    /// Forgets what is in memory, for the file is being removed.
    pub(super) fn forget_cache(&self) {
        let mut cache = self.lock_cache();
        *cache = Cache::new(&self.dir);
    }

    fn lock_cache(&self) -> MutexGuard<'_, Cache> {
        // Whatever a panic left: each record is checked when it is read.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cache_validity(&self) -> Option<UidValidity> {
        let known = self.lock_known();
        known.is_valid.then_some(known.reading.state.header.validity)
    }
}

impl Cache {
    pub fn new(dir: &Path) -> Cache {
        Cache {
            path: dir.join(NAME),
            is_loaded: false,
            inode: 0,
            end: 0,
            slots: Vec::new(),
            pending: BTreeMap::new(),
            pending_size: 0,
            weighed: SMALL,
        }
    }

    /// Reads where the records lie, once.
    fn load(&mut self, validity: UidValidity) {
        if !self.is_loaded {
            self.is_loaded = true;
            if self.reload(validity).is_err() {
                self.clear();
            }
        }
    }

    fn clear(&mut self) {
        (self.inode, self.end, self.weighed) = (0, 0, SMALL);
        self.slots = Vec::new();
    }

    fn reload(&mut self, validity: UidValidity) -> io::Result<()> {
        self.clear();
        let file = match fsx::open_read(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        };
        let metadata = file.metadata()?;
        let size = metadata.len();
        let mut input = BufReader::with_capacity(WINDOW, file);
        let mut head = [0; HEAD as usize];
        let is_ours = input.read_exact(&mut head).is_ok()
            && head[..8] == *MAGIC
            && number(&head[8..12]) == VERSION
            && number(&head[12..]) == validity.number();
        if !is_ours {
            return Ok(());
        }
        self.inode = metadata.ino();
        self.end = HEAD;
        let mut head = [0; RECORD_HEAD];
        while size - self.end >= RECORD_HEAD as u64 {
            input.read_exact(&mut head)?;
            let (uid, length) = (number(&head[..4]), number(&head[4..8]));
            let next = self.end + RECORD_HEAD as u64 + u64::from(length);
            if length as usize > RECORD_LIMIT || next > size {
                break;
            }
            self.slots.push(Slot { uid, length, at: self.end + RECORD_HEAD as u64 });
            input.seek_relative(i64::from(length))?;
            self.end = next;
        }
        self.sort();
        Ok(())
    }

    /// Sorts the slots; of several for one message the last in the file stays.
    fn sort(&mut self) {
        // Stable, because that is quick with what is sorted already but for its end.
        self.slots.sort_by_key(|slot| (slot.uid, std::cmp::Reverse(slot.at)));
        self.slots.dedup_by_key(|slot| slot.uid);
    }

    fn flush(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        let validity = snapshot.uid_validity;
        self.load(validity);
        let is_current = std::fs::symlink_metadata(&self.path)
            .is_ok_and(|m| m.ino() == self.inode && m.len() >= self.end && self.inode != 0);
        if !is_current || std::fs::symlink_metadata(&self.path)?.len() != self.end {
            self.reload(validity)?;
        }
        let live = |slot: &Slot| Uid::new(slot.uid).is_some_and(|uid| snapshot.find(uid).is_some());
        // Each message has one slot at most. The file may also have grown by records that took the place of others.
        let has_dead = self.slots.len() > 2 * snapshot.entries.len() || self.end > 2 * self.weighed;
        let live_size: u64 = if self.end > SMALL && has_dead {
            self.weighed = self.end;
            self.slots.iter().filter(|s| live(s)).map(|s| RECORD_HEAD as u64 + u64::from(s.length)).sum()
        } else {
            self.end
        };
        let mut out = Vec::with_capacity(self.pending_size + HEAD as usize);
        if self.inode == 0 || live_size * 2 < self.end {
            // None yet, of another generation, or mostly dead.
            out.extend_from_slice(MAGIC);
            out.extend_from_slice(&VERSION.to_le_bytes());
            out.extend_from_slice(&validity.number().to_le_bytes());
            if self.inode != 0 {
                let file = fsx::open_read(&self.path)?;
                for slot in self.slots.iter().filter(|s| live(s)) {
                    let from = out.len();
                    out.resize(from + RECORD_HEAD + slot.length as usize, 0);
                    file.read_exact_at(&mut out[from..], slot.at - RECORD_HEAD as u64)?;
                }
            }
            self.print_pending(&mut out);
            fsx::replace_cache(&self.path, &out, 0o600)?;
            return self.reload(validity);
        }
        self.print_pending(&mut out);
        let mut file = fsx::open_append_existing(&self.path)?;
        if file.metadata()?.len() > self.end {
            fsx::truncate(&file, &self.path, self.end)?;
        }
        fsx::write_all(&mut file, &self.path, &out)?;
        let (mut at, known) = (0, self.slots.len());
        while at < out.len() {
            let (uid, length) = (number(&out[at..at + 4]), number(&out[at + 4..at + 8]));
            self.slots.push(Slot { uid, length, at: self.end + (at + RECORD_HEAD) as u64 });
            at += RECORD_HEAD + length as usize;
        }
        self.end += out.len() as u64;
        // Who reads a whole mailbox adds at the end each time.
        if !self.slots[known.saturating_sub(1)..].is_sorted_by(|a, b| a.uid < b.uid) {
            self.sort();
        }
        Ok(())
    }

    fn print_pending(&mut self, out: &mut Vec<u8>) {
        self.pending_size = 0;
        for (uid, bytes) in std::mem::take(&mut self.pending) {
            out.extend_from_slice(&uid.to_le_bytes());
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            out.extend_from_slice(&bytes);
        }
    }
}

/// The slot of a message. Who asks in order finds it where `near` says, right behind the last one.
fn find(slots: &[Slot], uid: u32, near: &mut usize) -> Option<Slot> {
    let at = match slots.get(*near) {
        Some(slot) if slot.uid == uid => *near,
        _ => slots.binary_search_by_key(&uid, |slot| slot.uid).ok()?,
    };
    *near = at + 1;
    Some(slots[at])
}

/// Four octets as a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
