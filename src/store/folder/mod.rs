//! One mailbox: a Maildir folder with UIDs, keywords and a history, for any number of sessions and processes.
//!
//! Called by `serve` (IMAP) and by `store::tree`. Other programs may deliver, rename (flags) and delete at any time, without a lock.
//!
//! | file | what it is | when it is lost |
//! |---|---|---|
//! | `cur`, `new`, `tmp` | the messages; flags in the names | – |
//! | `em-uids` | log of UIDs, flags, keywords, expunges; text (`log`) | a new UIDVALIDITY; flags from `em-index`, or from the names |
//! | `em-index` | checkpoint of the log (`checkpoint`) | the log is read from its beginning |
//! | `em-cache` | what the service has parsed of messages (`cache`) | it is parsed again |
//! | `em-text` | signatures for full-text search (`fulltext`) | they are made again |
//! | `em-lock` | flock(2) of who writes to any of the above | – |
//!
//! **Writing.** Who holds the lock reads what others appended, appends one batch, syncs it, and only then tells anyone. A batch
//! counts whole or not at all. Readers take no lock. A log that has grown far beyond its state is written anew, under another
//! generation, and renamed into place; readers see another inode and read it whole.
//!
//! **Looking.** The log's and the two directories' attributes tell whether anything changed. A directory is read again when its time
//! is another one, or was so young at the last reading that a later change could have left it the same. After our own changes
//! (the lock does not stop other programs) it is read again once, a second later.
//!
//! **Flags** go to the log; names are rewritten later ([`Folder::settle`]). For each message the log knows the flags and those that
//! its name last showed. A name that shows others was changed by another program: the difference is applied to the flags, so
//! that both changes stand.
//!
//! | state | log | file | meaning | after a crash |
//! |---|---|---|---|---|
//! | M0 | − | `new` or `cur` | delivered by anybody | the next look gives it a UID |
//! | M1 | − | `tmp` | being appended, nothing promised | left alone; old files in `tmp` may be removed |
//! | M2 | + | `tmp` | appended with others: the batch is durable, the client may be told soon | the next look renames it into `cur` |
//! |    | + | `tmp` | a message that is about to be replaced (`replace`) | the same |
//! | M3 | + | `new` or `cur` | a message | – |
//! | M4 | + | − | removed by anybody, moved, expunged | the next look records that it is gone |
//! | M5 | + (source) | `cur` of another mailbox | moved; the other mailbox knows it (M3) or not yet (M0) | the next look at each |
//! | M6 | − | linked into `cur` by a copy | nothing promised | the next look gives it a UID: a duplicate at most |
//!
//! An expunged message's file is gone before the log says so, so that it can't come back under another UID.
//!
//! Order of locks: one mailbox at a time; under it at most `store::trash`'s append, which takes none.
//! RFC 9051 §2.3, RFC 7162 §3, RFC 8474, RFC 8514.

mod append;
mod cache;
mod checkpoint;
mod copy;
mod expunge;
mod fulltext;
mod log;
mod look;
mod measure;
mod name;
mod reading;
mod record;
mod replace;
mod settle;
mod state;
mod store;
mod takeover;
mod threads;
mod verify;
mod writer;

pub use append::Append;
pub use cache::{CacheReader, Cached};
pub(super) use expunge::shown_system;
pub use fulltext::Signatures;
pub(super) use look::TICK_NS;
pub use measure::Measured;
pub(super) use name::{delivery_time, escape, size, unescape, unescape_octets};
pub use reading::{Extent, Text, TextReader};
pub use store::{FlagChange, FlagOutcome, How};
pub use verify::Findings;

use crate::clock::Timestamp;
use crate::mailbox::{ModSeq, Snapshot, Uid, UidSet, UidValidity};
use log::{Look, ReadError, Reading};
use name::Place;
use state::State;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use writer::Writer;

/// How long a writer waits for the mailbox lock before it gives up with [`FolderError::Busy`].
pub const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// How much a log has grown when the last session leaves for a checkpoint to be written.
const WORTHWHILE: u64 = 4096;

/// What all mailboxes of a process share.
#[derive(Debug, Clone)]
pub struct StoreSettings {
    /// The clock, for save dates and new names.
    pub clock: fn() -> Timestamp,
    /// This host's name, for new names.
    pub host: String,
    /// True to keep expunged mail in the account's trash.
    pub keeps_trash: bool,
    /// [`LOCK_PATIENCE`], but for tests.
    pub lock_patience: Duration,
}

/// Why something was not done with a mailbox.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Its files are of a newer program; nothing was touched.
    #[error("{} was written by a newer version", .0.display())]
    Newer(PathBuf),
    /// Somebody held the lock for too long. Try later.
    #[error("another process holds the mailbox lock")]
    Busy,
    /// The mailbox does not exist any more.
    #[error("the mailbox is gone")]
    Gone,
    /// The message does not exist any more.
    #[error("the message is gone")]
    Expunged,
    /// All identifiers are used up.
    #[error("no identifiers are left")]
    Full,
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is known in memory.
#[derive(Debug)]
struct Known {
    /// False before the log is read, and after something went wrong: it is read anew then.
    is_valid: bool,
    reading: Reading,
    /// Octets of the log that the last checkpoint covers.
    checkpoint: u64,
}

impl Known {
    /// Of a log that was just read, or written.
    fn new(reading: Reading, checkpoint: u64) -> Known {
        Known { is_valid: true, reading, checkpoint }
    }

    /// Nothing yet.
    fn nothing() -> Known {
        Known { is_valid: false, reading: Reading::nothing(), checkpoint: 0 }
    }
}

/// One mailbox, shared by the sessions of a process.
#[derive(Debug)]
pub struct Folder {
    home: PathBuf,
    dir: PathBuf,
    settings: Arc<StoreSettings>,
    known: Mutex<Known>,
    cache: Mutex<cache::Cache>,
    /// A command reads messages with more threads than its own.
    has_helpers: AtomicBool,
}

impl Folder {
    /// Opens a mailbox; [`crate::store::Registry`] does it once a process.
    pub(super) fn open(home: &Path, dir: &Path, settings: Arc<StoreSettings>) -> Result<Folder, FolderError> {
        if !dir.is_dir() {
            return Err(FolderError::Gone);
        }
        // Other programs make folders without some of them.
        for sub in ["tmp", "new", "cur"] {
            crate::fsx::create_dirs(&dir.join(sub), 0o700)?;
        }
        let cache = Mutex::new(cache::Cache::new(dir));
        Ok(Folder {
            home: home.to_path_buf(),
            dir: dir.to_path_buf(),
            settings,
            known: Mutex::new(Known::nothing()),
            cache,
            has_helpers: AtomicBool::new(false),
        })
    }

    /// How many messages are held in memory, if that can be told at once.
    pub(super) fn held(&self) -> usize {
        self.known.try_lock().map_or(0, |known| known.reading.state.rows.len())
    }

    /// The folder on disk.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The home of the account that it belongs to.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// What must be watched to hear of changes: `new`, `cur`, and the folder itself, in which the log is written and replaced.
    pub fn watched(&self) -> [PathBuf; 3] {
        Folder::watched_in(&self.dir)
    }

    /// The same of the mailbox in this directory, without opening it.
    pub fn watched_in(dir: &Path) -> [PathBuf; 3] {
        [dir.join(Place::New.dir()), dir.join(Place::Cur.dir()), dir.to_path_buf()]
    }

    /// Whose attributes tell whether anything changed in the mailbox in this directory.
    pub(super) fn changing(dir: &Path) -> [PathBuf; 3] {
        [dir.join(Place::New.dir()), dir.join(Place::Cur.dir()), dir.join(log::NAME)]
    }

    /// The mailbox as it is now. Three looks at attributes when nothing has changed.
    pub fn refresh(&self) -> Result<Arc<Snapshot>, FolderError> {
        {
            let mut known = self.lock_known();
            if self.catch_up(&mut known)? && look::is_clean(&self.dir, &known.reading.state) {
                return Ok(known.reading.state.snapshot.clone());
            }
        }
        let mut writer = self.write()?;
        writer.look()?;
        writer.tidy_log();
        Ok(writer.state().snapshot.clone())
    }

    /// As [`Folder::refresh`], but reads the directories whatever their times say: repairs, and file systems with coarse times.
    pub fn rescan(&self) -> Result<Arc<Snapshot>, FolderError> {
        let mut writer = self.write()?;
        writer.forget_looks();
        writer.look()?;
        writer.tidy();
        Ok(writer.state().snapshot.clone())
    }

    /// The mailbox as it was last seen, with all that this process has done to it since. Costs nothing.
    pub fn seen(&self) -> Result<Arc<Snapshot>, FolderError> {
        self.with_known(|state| state.snapshot.clone())
    }

    /// Takes the recent messages: no later session will see them as recent. Gives the mailbox before, whose `recent_from` tells which
    /// they were, and as it is now.
    pub fn take_recent(&self) -> Result<(Arc<Snapshot>, Arc<Snapshot>), FolderError> {
        let mut writer = self.write()?;
        writer.look()?;
        let before = writer.state().snapshot.clone();
        if before.recent_from < before.uid_next {
            writer.commit(&[record::Record::Recent(before.uid_next)], false)?;
        }
        Ok((before, writer.state().snapshot.clone()))
    }

    /// The generation of identifiers that counts now: one look at the log, none at the messages.
    pub fn uid_validity(&self) -> Result<UidValidity, FolderError> {
        self.with_state(|state| state.header.validity)
    }

    /// MAILBOXID (RFC 8474 §4.1): stays the same when the mailbox is renamed.
    pub fn mailbox_id(&self) -> Result<String, FolderError> {
        self.with_state(|state| format!("F{:016x}", state.header.mailbox_id))
    }

    /// Messages that were expunged after this change (RFC 7162 §3.2.5). `None` when some of them are forgotten: then whatever is not in
    /// the mailbox must be called vanished.
    pub fn expunged_since(&self, since: ModSeq) -> Result<Option<UidSet>, FolderError> {
        self.with_state(|state| state.expunged_since(since))
    }

    /// Messages and their octets, for the quota. Files that nobody has measured are measured now.
    pub fn usage(&self) -> Result<(u64, u64), FolderError> {
        self.refresh()?;
        let unmeasured = self.with_state(|state| {
            let rows = state.rows.iter().zip(state.entries());
            rows.filter(|(row, _)| row.file_size == crate::mailbox::Entry::UNKNOWN_SIZE).map(|(_, e)| e.uid).collect()
        })?;
        self.measure(&unmeasured, false)?;
        self.with_state(State::usage)
    }

    /// A message's file, wherever other programs have moved it.
    pub fn text(&self, uid: Uid) -> Result<File, FolderError> {
        self.find_text(uid, crate::fsx::open_read)
    }

    /// A message's text, into a buffer as [`crate::fsx::read_into`] uses it, wherever other programs have moved it.
    fn text_into(&self, uid: Uid, buffer: &mut Vec<u8>) -> Result<(), FolderError> {
        self.find_text(uid, |path| crate::fsx::read_into(path, buffer))
    }

    fn find_text<T>(&self, uid: Uid, mut open: impl FnMut(&Path) -> io::Result<T>) -> Result<T, FolderError> {
        for attempt in 0..3 {
            // What we know may be old; then the file is not there, and we look again.
            let path = self.with_known(|state| state.index(uid).map(|index| look::path(&self.dir, state, index)))?;
            let Some(path) = path else { return Err(FolderError::Expunged) };
            match open(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound && attempt < 2 => self.rescan()?,
                other => return Ok(other?),
            };
        }
        Err(FolderError::Expunged)
    }

    /// Runs something on the state, loading it first when need be.
    fn with_state<T>(&self, ask: impl FnOnce(&State) -> T) -> Result<T, FolderError> {
        {
            let mut known = self.lock_known();
            if self.catch_up(&mut known)? {
                return Ok(ask(&known.reading.state));
            }
        }
        Ok(ask(self.write()?.state()))
    }

    /// Runs something on the state as it was last seen.
    fn with_known<T>(&self, ask: impl FnOnce(&State) -> T) -> Result<T, FolderError> {
        {
            let known = self.lock_known();
            if known.is_valid {
                return Ok(ask(&known.reading.state));
            }
        }
        self.with_state(ask)
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        match self.known.lock() {
            Ok(known) => known,
            Err(poisoned) => {
                // Whoever panicked may have left half a state; the log has the whole one.
                let mut known = poisoned.into_inner();
                *known = Known::nothing();
                self.known.clear_poison();
                known
            }
        }
    }

    /// Reads what others have appended. False when there is something to repair or to make first, which needs the lock.
    fn catch_up(&self, known: &mut Known) -> Result<bool, FolderError> {
        if known.is_valid {
            match std::fs::symlink_metadata(self.dir.join(log::NAME)) {
                Ok(metadata) if Look::of(&metadata) == known.reading.look => return Ok(true),
                Ok(_) => match log::read_on(&self.dir, &mut known.reading) {
                    Ok(true) => return Ok(true),
                    Ok(false) | Err(ReadError::Missing | ReadError::Headless) => {}
                    Err(error) => return Err(self.read_error(error)),
                },
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e.into()),
            }
        }
        *known = Known::nothing();
        match log::read(&self.dir) {
            Ok(reading) if reading.is_damaged => Ok(false),
            Ok(reading) => {
                let checkpoint = reading.start;
                *known = Known::new(reading, checkpoint);
                Ok(true)
            }
            Err(ReadError::Missing | ReadError::Headless) => Ok(false),
            Err(error) => Err(self.read_error(error)),
        }
    }

    fn read_error(&self, error: ReadError) -> FolderError {
        match error {
            ReadError::Newer => FolderError::Newer(self.dir.join(log::NAME)),
            ReadError::Io(e) => e.into(),
            ReadError::Missing | ReadError::Headless => FolderError::Gone,
        }
    }

    /// Takes the lock.
    fn write(&self) -> Result<Writer<'_>, FolderError> {
        Writer::new(self)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Caches: what can't be written is made again.
        let _ = self.flush_cache();
        let known = self.lock_known();
        let Known { is_valid, reading, checkpoint } = &*known;
        if *is_valid && reading.end.saturating_sub(*checkpoint) > WORTHWHILE {
            let _ = checkpoint::write(&self.dir, &reading.state, reading.end);
        }
    }
}

#[cfg(test)]
mod tests;
