//! A mailbox under its lock: the only way to append to its log.

use super::log::{self, Batch, Look, ReadError, Reading};
use super::record::Record;
use super::state::{Header, Stamp, State};
use super::{Folder, FolderError, Known, checkpoint, takeover, threads};
use crate::clock::Timestamp;
use crate::fsx::{self, Lock, LockError};
use crate::mailbox::{ModSeq, UidValidity};
use std::io;
use std::path::Path;
use std::sync::{Arc, MutexGuard};

/// The lock's name.
const LOCK: &str = "em-lock";
/// Remembers the last UIDVALIDITY of an account, in its home.
const VALIDITY: &str = "em-validity";
/// A log below this size is not worth a checkpoint, nor writing anew.
const SMALL: u64 = 64 << 10;
/// A batch of so many records is applied while it is written.
const MANY: usize = 4096;
/// About what a message costs in a log, besides its name.
const LINE: u64 = 90;

/// Holds the mailbox lock (one at a time) and the state, which is up to date with the log.
#[derive(Debug)]
pub struct Writer<'a> {
    pub(super) folder: &'a Folder,
    known: MutexGuard<'a, Known>,
    _lock: Lock,
}

impl<'a> Writer<'a> {
    pub(super) fn new(folder: &'a Folder) -> Result<Writer<'a>, FolderError> {
        let mut known = folder.lock_known();
        let path = folder.dir.join(LOCK);
        let lock = match Lock::wait(&path, folder.settings.lock_patience) {
            Ok(lock) => lock,
            Err(LockError::Held | LockError::Gone) => {
                crate::log::event("mailbox-busy").field("path", path.display()).field("holder", holder(&path)).write();
                return Err(FolderError::Busy);
            }
            Err(LockError::Io(e)) if e.kind() == io::ErrorKind::NotFound => return Err(FolderError::Gone),
            Err(LockError::Io(e)) => return Err(e.into()),
        };
        let is_there = folder.catch_up(&mut known)?;
        let mut writer = Writer { folder, known, _lock: lock };
        if !is_there {
            *writer.known = renew(folder)?;
        }
        if writer.known.reading.end == 0
            && let Err(error) = writer.begin()
        {
            *writer.known = Known::nothing();
            return Err(error);
        }
        Ok(writer)
    }

    /// Writes a log where there is none, with all messages that are there, so that few syncs do for both. Until it is there nobody is told
    /// anything, and who comes after a crash begins anew.
    fn begin(&mut self) -> Result<(), FolderError> {
        self.look()?;
        // UIDVALIDITY is not given a second time: what remembers it has its name for good before anybody hears of it.
        Ok(fsx::sync_dir(&self.folder.home)?)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.folder.settings.clock)()
    }

    pub(super) fn dir(&self) -> &Path {
        &self.folder.dir
    }

    pub(super) fn state(&self) -> &State {
        &self.known.reading.state
    }

    /// The next change's place in the mailbox's history.
    pub(super) fn next_modseq(&self) -> ModSeq {
        self.state().snapshot.highest_modseq.next()
    }

    /// Sets what is known of the two directories, for this process.
    pub(super) fn set_stamps(&mut self, stamps: [Stamp; 2]) {
        self.known.reading.state.stamps = stamps;
    }

    /// Appends one batch, and applies it. With `durable` it is on the disk when this returns.
    ///
    /// On an error the batch does not count, as far as the disk still obeys, and this writer can do no more.
    pub(super) fn commit(&mut self, records: &[Record], durable: bool) -> Result<(), FolderError> {
        self.commit_printed(records, None, durable)
    }

    /// The same of a batch that is printed already.
    pub(super) fn commit_batch(&mut self, batch: &mut Batch, durable: bool) -> Result<(), FolderError> {
        let text = batch.take_text();
        self.commit_printed(batch.records(), Some(text), durable)
    }

    fn commit_printed(&mut self, records: &[Record], text: Option<Vec<u8>>, durable: bool) -> Result<(), FolderError> {
        if records.is_empty() && self.known.reading.end > 0 {
            return Ok(());
        }
        if !self.known.is_valid {
            return Err(io::Error::other("the mailbox log must be read again").into());
        }
        let path = self.folder.dir.join(log::NAME);
        let Known { is_valid, reading: Reading { state, end, look, .. }, .. } = &mut *self.known;
        // Whatever fails below leaves a state that is not the log's.
        *is_valid = false;
        let before = (*end == 0).then(|| log::print_whole(state));
        let append = || match before {
            Some(before) => write_first(&path, &before, records),
            None => append(&path, || text.unwrap_or_else(|| log::print(records)), (*end, *look), durable),
        };
        let apply = |state: &mut State| state.apply(records, false);
        let (appended, applied) = match records.len() >= MANY {
            // What is applied in vain is not believed.
            true => threads::both(append, || apply(state)),
            false => match append() {
                Ok(appended) => (Ok(appended), apply(state)),
                Err(error) => (Err(error), Ok(())),
            },
        };
        (*end, *look) = appended?;
        if applied.is_err() {
            return Err(io::Error::other("the mailbox log contradicts itself").into());
        }
        *is_valid = true;
        Ok(())
    }

    /// Writes a checkpoint, or the log anew, when it is time. Failing costs time only.
    pub(super) fn tidy(&mut self) {
        self.tidy_log();
        let Known { is_valid: true, reading, checkpoint } = &mut *self.known else { return };
        if reading.end - *checkpoint > SMALL.max(reading.end / 4)
            && checkpoint::write(&self.folder.dir, &reading.state, reading.end).is_ok()
        {
            *checkpoint = reading.end;
        }
    }

    /// The same without the checkpoint, where somebody waits for the first answer about a mailbox: the next change writes it, or whoever
    /// closes the mailbox. Until then the log is read from its beginning.
    pub(super) fn tidy_log(&mut self) {
        let Known { is_valid: true, reading, .. } = &*self.known else { return };
        let state = &reading.state;
        let needed = state.names.len() as u64 + LINE * state.rows.len() as u64;
        if reading.end > 2 * needed + SMALL
            && let Err(error) = self.rewrite()
        {
            let path = self.folder.dir.display();
            crate::log::event("mailbox-rewrite-failed").field("path", path).field("cause", &error).write();
            self.known.is_valid = false;
        }
    }

    /// Writes the log anew.
    fn rewrite(&mut self) -> Result<(), FolderError> {
        let dir = self.folder.dir.clone();
        let mut state = self.known.reading.state.clone();
        state.header.generation = random();
        *self.known = publish(&dir, state)?;
        Ok(())
    }
}

/// Writes a new log, durably: what stands before the first batch, and this batch. Its end, and how it looks.
fn write_first(path: &Path, before: &[u8], records: &[Record]) -> io::Result<(u64, Look)> {
    let mut size = 0;
    fsx::replace_by(path, 0o600, |draft| {
        draft.write(before)?;
        if !records.is_empty() {
            log::print_in_pieces(records, |piece| {
                draft.write(piece)?;
                // The disk works while the rest is printed.
                if piece.len() as u64 >= SMALL { draft.start_sync() } else { Ok(()) }
            })?;
        }
        size = draft.size();
        Ok(())
    })?;
    Ok((size, Look::of(&std::fs::symlink_metadata(path)?)))
}

/// Appends one batch to the log, which must be the one that was read up to here. Its new end, and how it looks then.
fn append(
    path: &Path,
    print: impl FnOnce() -> Vec<u8>,
    (end, look): (u64, Look),
    durable: bool,
) -> io::Result<(u64, Look)> {
    let mut file = fsx::open_append_existing(path)?;
    let metadata = file.metadata()?;
    if Look::of(&metadata) != look {
        // Somebody without the lock has removed or replaced it.
        return Err(io::Error::new(io::ErrorKind::StaleNetworkFileHandle, "the mailbox log was replaced"));
    }
    if metadata.len() > end {
        fsx::truncate(&file, path, end)?;
    }
    let text = print();
    let written = fsx::write_all(&mut file, path, &text);
    let written = written.and_then(|()| if durable { fsx::sync_data(&file, path) } else { Ok(()) });
    if let Err(error) = written {
        // Should this fail too, the next writer finds either a torn tail, or a batch that was whole after all.
        let _ = fsx::truncate(&file, path, end);
        return Err(error);
    }
    Ok((end + text.len() as u64, Look::of(&file.metadata()?)))
}

/// Makes a log where there is none, or none that can be trusted. That of a mailbox of which nothing is known is not written yet: its end is 0.
fn renew(folder: &Folder) -> Result<Known, FolderError> {
    let now = (folder.settings.clock)();
    let path = folder.dir.join(log::NAME);
    let (old, is_damaged) = match log::read(&folder.dir) {
        Ok(reading) => (Some(reading.state), true),
        Err(ReadError::Headless) => (None, true),
        Err(ReadError::Missing) => (checkpoint::read(&folder.dir).ok().map(|saved| saved.state), false),
        Err(error) => return Err(folder.read_error(error)),
    };
    if is_damaged {
        crate::log::event("mailbox-repaired").field("path", path.display()).write();
        fsx::rename(&path, &path.with_extension("damaged"))?;
    }
    let state = match old {
        // Identifiers that were given after what we still know may be in clients' hands: a new generation of them.
        Some(mut state) => {
            let validity = next_validity(folder, now, state.header.validity.number().saturating_add(1))?;
            fsx::sync_dir(&folder.home)?;
            state.header = Header { generation: random(), validity, mailbox_id: state.header.mailbox_id };
            state.expunged.clear();
            state.floor = state.snapshot.highest_modseq;
            state.stamps = [Stamp::Unknown; 2];
            Arc::make_mut(&mut state.snapshot).uid_validity = validity;
            state
        }
        None => {
            let header = |validity| Header { generation: random(), validity, mailbox_id: random() };
            match takeover::read(&folder.dir, header, now)? {
                Some(state) => state,
                // Written with its messages (`Writer::begin`).
                None => {
                    let state = State::empty(header(next_validity(folder, now, 1)?));
                    return Ok(Known::new(Reading { state, ..Reading::nothing() }, 0));
                }
            }
        }
    };
    publish(&folder.dir, state)
}

/// Writes a whole log and its checkpoint.
fn publish(dir: &Path, state: State) -> Result<Known, FolderError> {
    let path = dir.join(log::NAME);
    let text = log::print_whole(&state);
    fsx::replace(&path, &text, 0o600)?;
    let look = Look::of(&std::fs::symlink_metadata(&path)?);
    let end = text.len() as u64;
    if end > SMALL {
        // Only a cache.
        let _ = checkpoint::write(dir, &state, end);
    }
    Ok(Known::new(Reading { state, end, start: end, is_damaged: false, look }, end))
}

/// The time, but never a number that this account has used before; for good once the home is synced.
fn next_validity(folder: &Folder, now: Timestamp, at_least: u32) -> Result<UidValidity, FolderError> {
    let path = folder.home.join(VALIDITY);
    let last = fsx::read(&path, 64).ok().and_then(|text| String::from_utf8(text).ok()?.trim().parse::<u32>().ok());
    let now = u32::try_from(now.seconds()).unwrap_or(1);
    let number = now.max(last.map_or(1, |last| last.saturating_add(1))).max(at_least);
    fsx::replace_first(&path, format!("{number}\n").as_bytes(), 0o600)?;
    Ok(UidValidity::new(number).unwrap_or(UidValidity::MIN))
}

fn random() -> u64 {
    getrandom::u64().unwrap_or_else(|_| {
        // No random numbers: time and process are unlikely enough to meet again.
        let time = Timestamp::now().0 as u64;
        time.rotate_left(20) ^ u64::from(std::process::id())
    })
}

/// The process that holds a lock, as far as the system tells.
fn holder(path: &Path) -> String {
    use std::os::unix::fs::MetadataExt;
    let Ok(metadata) = std::fs::symlink_metadata(path) else { return String::new() };
    let inode = format!(":{}", metadata.ino());
    let locks = std::fs::read_to_string("/proc/locks").unwrap_or_default();
    // 1: FLOCK  ADVISORY  WRITE 4711 fd:00:1234 0 EOF
    let line = locks
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .find(|words| words.get(1) == Some(&"FLOCK") && words.get(5).is_some_and(|file| file.ends_with(&inode)));
    line.and_then(|words| words.get(4).map(|pid| pid.to_string())).unwrap_or_default()
}
