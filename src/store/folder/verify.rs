//! Checking a mailbox from its ground up, for the administrator: files, names, log and cache against each other.
//!
//! What can be mended is mended by the ways that sessions use. A base is a message's identity and is never rewritten: where its `S=` or
//! `W=` is wrong, the log gets the truth, and the name is reported.

use super::look::path;
use super::name;
use super::record::Record;
use super::{Folder, FolderError, Known, log};
use crate::dot::crlf_size;
use crate::fsx::{self, Lock, LockError};
use crate::mailbox::{Entry, Uid, UidSet};
use crate::store::torn::Torn;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A draft older than this belongs to nobody any more (what Maildir's own rules say).
const DRAFT_AGE: Duration = Duration::from_secs(36 * 3600);
const CHECKPOINT: &str = "em-index";
const CACHE: &str = "em-cache";

/// Looks whether what the service keeps in the cache is of this text; gives what should stand there instead.
pub type Correct = fn(Option<&[u8]>, &[u8]) -> Option<Vec<u8>>;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Findings {
    /// Messages now.
    pub messages: u64,
    /// Octets of their files.
    pub octets: u64,
    /// Messages that nobody had looked at yet.
    pub arrived: u64,
    /// Messages whose files are gone.
    pub gone: u64,
    /// Messages whose names did not show their flags yet.
    pub unsettled: u64,
    /// Messages measured for the first time.
    pub measured: u64,
    /// Mended: the log was damaged; identifiers have a new generation unless the checkpoint covered the damage.
    pub was_damaged: bool,
    /// Mended: the log had other sizes than the files.
    pub wrong_sizes: UidSet,
    /// Mended: the cache had a record that is not of the message's text.
    pub wrong_records: UidSet,
    /// Mended: drafts of programs that died.
    pub drafts: u64,
    /// Not mended: names that say another size than their file has.
    pub wrong_names: UidSet,
    /// Deliveries that a stop of the machine cut short, in `tmp`; nobody was promised them.
    pub torn: u64,
    /// Not mended: files that can't be read.
    pub unreadable: Vec<(Uid, String)>,
}

impl Findings {
    /// True when something was wrong and is right now.
    pub fn has_mended(&self) -> bool {
        self.was_damaged || !self.wrong_sizes.is_empty() || !self.wrong_records.is_empty() || self.drafts > 0
    }

    /// True when something is still wrong.
    pub fn has_faults(&self) -> bool {
        !self.wrong_names.is_empty() || !self.unreadable.is_empty()
    }
}

/// One message as the log knows it.
struct Message {
    entry: Entry,
    file_size: u64,
    path: std::path::PathBuf,
    /// `S=` and `W=` of the name.
    named: (Option<u64>, Option<u64>),
}

impl Folder {
    /// Forgets the checkpoint and the cache, which are made again from the log and the messages. A checkpoint that stands in for a damaged
    /// log stays.
    pub fn drop_caches(&self) -> Result<(), FolderError> {
        // Before the state is locked: who reads the cache locks in this order.
        self.forget_cache();
        let mut known = self.lock_known();
        let _lock = match Lock::wait(&self.dir.join("em-lock"), self.settings.lock_patience) {
            Ok(lock) => lock,
            Err(LockError::Held | LockError::Gone) => return Err(FolderError::Busy),
            Err(LockError::Io(e)) => return Err(e.into()),
        };
        *known = Known::nothing();
        fsx::remove(&self.dir.join(CACHE))?;
        let (checkpoint, aside) = (self.dir.join(CHECKPOINT), self.dir.join("em-index.aside"));
        match fsx::rename(&checkpoint, &aside) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other?,
        }
        // Read without its checkpoint, the log shows whether it can do without.
        match log::read(&self.dir) {
            Ok(reading) if !reading.is_damaged => Ok(fsx::remove(&aside)?),
            _ => Ok(fsx::rename(&aside, &checkpoint)?),
        }
    }

    /// Compares all that is known of this mailbox with its files, and mends what can be mended. With `correct` every message is read, and
    /// its cached record compared with its text.
    pub fn verify(&self, correct: Option<Correct>) -> Result<Findings, FolderError> {
        let mut findings = Findings::default();
        let damaged = self.dir.join(log::NAME).with_extension("damaged");
        let old_damage = inode(&damaged);
        let before = self.with_state(|state| state.snapshot.clone())?;
        findings.was_damaged = inode(&damaged) != old_damage;
        let after = self.rescan()?;
        findings.arrived = after.entries.iter().filter(|e| before.find(e.uid).is_none()).count() as u64;
        findings.gone = before.entries.iter().filter(|e| after.find(e.uid).is_none()).count() as u64;
        self.compare_files(correct, &mut findings)?;
        findings.unsettled =
            self.with_state(|state| (0..state.rows.len()).filter(|index| state.is_pending(*index)).count() as u64)?;
        self.settle(usize::MAX)?;
        (findings.drafts, findings.torn) = self.remove_drafts()?;
        (findings.messages, findings.octets) = self.usage()?;
        Ok(findings)
    }

    fn compare_files(&self, correct: Option<Correct>, findings: &mut Findings) -> Result<(), FolderError> {
        let messages = self.with_state(|state| {
            let known = |index: usize| {
                let base = state.base(index);
                let named = (name::size(base, b",S="), name::size(base, b",W="));
                let (entry, file_size) = (state.entries()[index], state.rows[index].file_size);
                Message { entry, file_size, path: path(&self.dir, state, index), named }
            };
            (0..state.rows.len()).map(known).collect::<Vec<_>>()
        })?;
        let mut records = Vec::new();
        for message in messages {
            let uid = message.entry.uid;
            match self.compare_file(&message, correct, findings) {
                Ok(record) => records.extend(record),
                // Renamed or removed this moment.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => findings.unreadable.push((uid, e.to_string())),
            }
        }
        // What can't be kept now is found wanting, and made, by whoever asks next.
        let _ = self.flush_cache();
        if !records.is_empty() {
            let mut writer = self.write()?;
            let is_here = |record: &Record| match record {
                Record::Measured { uid, .. } => writer.state().index(*uid).is_some(),
                _ => true,
            };
            records.retain(is_here);
            writer.commit(&records, false)?;
            writer.tidy();
        }
        Ok(())
    }

    /// The record that sets the log right about one message, if it wants one.
    fn compare_file(
        &self,
        message: &Message,
        correct: Option<Correct>,
        findings: &mut Findings,
    ) -> io::Result<Option<Record>> {
        let Message { entry, file_size, path, named } = message;
        let uid = entry.uid;
        let metadata = std::fs::symlink_metadata(path).map_err(|e| fsx::context("look at", path, e))?;
        let octets = metadata.len();
        let is_wrong = |known: u64, truth: u64| known != Entry::UNKNOWN_SIZE && known != truth;
        let says_other = |named: Option<u64>, truth: u64| named.is_some_and(|named| named != truth);
        let is_suspect = is_wrong(*file_size, octets) || says_other(named.0, octets);
        let is_new = entry.size == Entry::UNKNOWN_SIZE
            || *file_size == Entry::UNKNOWN_SIZE
            || entry.internal_date == Entry::UNKNOWN_DATE;
        if !(is_suspect || is_new || correct.is_some()) {
            return Ok(None);
        }
        let mut text = Vec::with_capacity(usize::try_from(octets).unwrap_or(0) + 1);
        fsx::open_read(path)?.read_to_end(&mut text).map_err(|e| fsx::context("read", path, e))?;
        let size = crlf_size(&text);
        if says_other(named.0, octets) || says_other(named.1, size) {
            findings.wrong_names.push(uid.number());
        }
        let is_log_wrong = is_wrong(*file_size, octets) || is_wrong(entry.size, size);
        if let Some(correct) = correct {
            let known = self.cached(uid);
            if let Some(truth) = correct(known.as_deref(), &text) {
                self.cache(uid, &truth);
                if known.is_some() {
                    findings.wrong_records.push(uid.number());
                }
            }
        } else if is_log_wrong {
            // Whatever the cache has is of another text. An empty record is one that nobody takes.
            self.cache(uid, b"");
        }
        if is_log_wrong {
            findings.wrong_sizes.push(uid.number());
        } else if is_new {
            findings.measured += 1;
        } else {
            return Ok(None);
        }
        let internal_date = match entry.internal_date {
            Entry::UNKNOWN_DATE => metadata.modified()?.into(),
            date => date,
        };
        Ok(Some(Record::Measured { uid, size, file_size: octets, internal_date }))
    }

    /// Removes old drafts. How many, and how many torn files stay.
    ///
    /// A message of old times has an old time also while it is appended or replaced: a draft's name tells when it was begun, and what is
    /// set aside for a change is so under the mailbox's lock. The look makes messages of those that the log knows.
    fn remove_drafts(&self) -> Result<(u64, u64), FolderError> {
        let tmp = self.dir.join("tmp");
        let mut writer = self.write()?;
        writer.look()?;
        let (mut removed, mut torn) = (0, 0);
        for entry in std::fs::read_dir(&tmp).map_err(|e| fsx::context("read", &tmp, e))? {
            let entry = entry?;
            let path = entry.path();
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let begun =
                UNIX_EPOCH + Duration::from_secs(name::arrival_order(entry.file_name().as_bytes()).0.min(1 << 40));
            let age = SystemTime::now().duration_since(begun.max(metadata.modified()?)).unwrap_or_default();
            if metadata.is_file() && age > DRAFT_AGE && !Torn::is_aside(&path) {
                fsx::remove(&path)?;
                removed += 1;
            }
            torn += u64::from(Torn::is_aside(&path));
        }
        Ok((removed, torn))
    }
}

fn inode(path: &Path) -> Option<u64> {
    path.symlink_metadata().ok().map(|metadata| metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::store::{Append, StoreSettings};
    use std::sync::Arc;

    fn open(home: &Path) -> Folder {
        let settings = StoreSettings {
            clock: || Timestamp::from_seconds(1_800_000_000),
            host: "host".into(),
            keeps_trash: false,
            lock_patience: Duration::from_secs(10),
        };
        std::fs::create_dir_all(home.join("Maildir")).unwrap();
        Folder::open(home, &home.join("Maildir"), Arc::new(settings)).unwrap()
    }

    /// A mailbox whose log is worth a checkpoint.
    fn fill(home: &Path) {
        let folder = open(home);
        for _ in 0..60 {
            let mut draft = folder.draft();
            draft.write(b"a\n\nb\n").unwrap();
            let append = Append { draft, wire_size: 8, system: 0, keywords: vec![], internal_date: None };
            folder.append(vec![append]).unwrap();
        }
    }

    #[test]
    fn caches_go_unless_they_stand_in_for_a_damaged_log() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path());
        let (log, checkpoint) = (home.path().join("Maildir/em-uids"), home.path().join("Maildir/em-index"));
        let validity = open(home.path()).refresh().unwrap().uid_validity;
        assert!(checkpoint.exists());
        let folder = open(home.path());
        folder.drop_caches().unwrap();
        assert!(!checkpoint.exists());
        assert_eq!(folder.verify(None).unwrap(), Findings { messages: 60, octets: 300, ..Findings::default() });
        drop(folder);
        assert!(checkpoint.exists(), "made again");
        let mut bytes = std::fs::read(&log).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&log, bytes).unwrap();
        let folder = open(home.path());
        folder.drop_caches().unwrap();
        assert!(checkpoint.exists());
        let findings = folder.verify(None).unwrap();
        assert_eq!((findings.messages, findings.was_damaged), (60, false));
        assert_eq!(folder.refresh().unwrap().uid_validity, validity);
    }

    #[test]
    fn a_draft_that_was_begun_a_moment_ago_stays_however_old_its_text_is() {
        let home = tempfile::tempdir().unwrap();
        let folder = open(home.path());
        let old = SystemTime::now() - 10 * DRAFT_AGE;
        let named = |time: Timestamp| crate::store::name(time, "host", 1, 1);
        for name in [named(Timestamp::now()), named(Timestamp::from(old)), "nameless".into(), "9".repeat(30)] {
            let path = home.path().join("Maildir/tmp").join(name);
            std::fs::File::create(path).unwrap().set_modified(old).unwrap();
        }
        assert_eq!(folder.verify(None).unwrap().drafts, 2);
        assert_eq!(folder.verify(None).unwrap().drafts, 0);
    }

    #[test]
    fn records_that_are_of_another_text_are_made_anew() {
        let home = tempfile::tempdir().unwrap();
        fill(home.path());
        let folder = open(home.path());
        let of: Correct = |known, text| (known != Some(text)).then(|| text.to_vec());
        assert!(folder.verify(Some(of)).unwrap().wrong_records.is_empty(), "none is missing");
        let uid = Uid::new(7).unwrap();
        folder.cache(uid, b"of another");
        let findings = folder.verify(Some(of)).unwrap();
        assert_eq!(findings.wrong_records.to_string(), "7");
        assert!(findings.has_mended() && !findings.has_faults());
        assert_eq!(folder.cached(uid).unwrap().to_vec(), b"a\n\nb\n");
        assert!(!folder.verify(Some(of)).unwrap().has_mended());
    }
}
