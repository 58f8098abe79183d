//! Appending messages that a client brings.
//!
//! One message is renamed into `cur` before the log tells of it (M0 of the table in [`super`] if we die between), several after it
//! (M2), so that all of them are there or none.

use super::look::place_path;
use super::name::{self, Place, Shown};
use super::record::Record;
use super::state::Stamp;
use super::writer::Writer;
use super::{Folder, FolderError};
use crate::clock::Timestamp;
use crate::fsx;
use crate::mailbox::{Entry, Flags, ModSeq, Uid, UidSet};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// A message to append.
#[derive(Debug)]
pub struct Append {
    /// Its text with LF line ends: a draft from [`Folder::draft`].
    pub draft: fsx::Draft,
    /// Octets with CRLF line ends.
    pub wire_size: u64,
    /// System flags: bits of [`crate::mailbox::System`].
    pub system: u8,
    /// Keywords. Those for which the mailbox has no room are left out.
    pub keywords: Vec<String>,
    /// INTERNALDATE; without one, the present.
    pub internal_date: Option<Timestamp>,
}

impl Folder {
    /// A draft in this mailbox's `tmp`, for [`Append`]. Dropped, it leaves nothing.
    pub fn draft(&self) -> fsx::Draft {
        let name = crate::store::name((self.settings.clock)(), &self.settings.host, 0, 0);
        fsx::Draft::new(self.dir.join("tmp").join(name), 0o600)
    }

    /// Appends all of these messages or none; durable when it returns. Their identifiers, in order.
    pub fn append(&self, messages: Vec<Append>) -> Result<Vec<Uid>, FolderError> {
        Ok(self.append_by(messages, false)?.0)
    }

    /// The same by a session that has the mailbox selected: what is recent is its own from now on, these messages too, as with
    /// [`Folder::take_recent`]. Gives that as well.
    pub fn append_taking_recent(&self, messages: Vec<Append>) -> Result<(Vec<Uid>, UidSet), FolderError> {
        self.append_by(messages, true)
    }

    fn append_by(&self, mut messages: Vec<Append>, takes_recent: bool) -> Result<(Vec<Uid>, UidSet), FolderError> {
        let now = (self.settings.clock)();
        let is_single = messages.len() == 1;
        let mut bases = Vec::with_capacity(messages.len());
        for message in &mut messages {
            let base = prepare(self, message, now)?;
            if !is_single {
                message.draft.stage(self.dir.join("tmp").join(std::ffi::OsStr::from_bytes(&base)))?;
            }
            bases.push(base);
        }
        // The batch in the log makes messages of several even when we die before they are renamed: they must be durable before it. A single
        // one is renamed before the batch is written, which costs a sync less: should we die between, it was not promised, and the next
        // look makes a message of what is there.
        if is_single {
            messages[0].draft.sync()?;
        } else {
            fsx::sync_all(&mut messages.iter_mut().map(|message| &mut message.draft).collect::<Vec<_>>())?;
            fsx::sync_dir(&self.dir.join("tmp"))?;
        }
        let mut writer = self.write()?;
        writer.look()?;
        let mut records = Vec::with_capacity(messages.len() + 4);
        let (modseq, mut uid) = (writer.next_modseq(), writer.state().snapshot.uid_next);
        let mut placed: Vec<(Uid, PathBuf)> = Vec::with_capacity(messages.len());
        for (message, base) in messages.iter().zip(bases) {
            placed.push((uid, added(&writer, message, base, (uid, modseq, now), &mut records)));
            uid = uid.next().ok_or(FolderError::Full)?;
        }
        let mut recent = UidSet::default();
        if takes_recent {
            let snapshot = &writer.state().snapshot;
            let before = snapshot.entries.partition_point(|entry| entry.uid < snapshot.recent_from);
            let waiting = snapshot.entries[before..].iter().map(|entry| entry.uid);
            recent = waiting.chain(placed.iter().map(|(uid, _)| *uid)).collect();
            records.push(Record::Recent(uid));
        }
        if is_single {
            messages[0].draft.place(&placed[0].1)?;
            let stamps = writer.own_change(&[Place::Cur]);
            records.push(stamps);
            let result = writer.commit(&records, true);
            let result = result.and_then(|()| Ok(fsx::sync_dir(&self.dir.join(Place::Cur.dir()))?));
            return Ok((finish(writer, result, placed)?, recent));
        }
        // Until the files are in place, whoever comes must look for them.
        let stamps = writer.state().stamps;
        records.push(Record::Stamps([stamps[0], Stamp::Unknown]));
        writer.commit(&records, true)?;
        let result = place(&writer, &mut messages, &placed);
        if result.is_ok() {
            let stamps = writer.own_change(&[Place::Cur]);
            // Without it the next one looks once more than needed.
            let _ = writer.commit(&[stamps], false);
        }
        // The drafts go first, so that no look can make messages of them.
        drop(messages);
        Ok((finish(writer, result, placed)?, recent))
    }
}

/// Gives a draft its date, and makes the base of its name.
pub(super) fn prepare(folder: &Folder, message: &mut Append, now: Timestamp) -> Result<Vec<u8>, FolderError> {
    let size = message.draft.size();
    let delivered = crate::store::name(now, &folder.settings.host, size, message.wire_size);
    let time = system_time(message.internal_date.unwrap_or(now));
    let path = message.draft.path().to_path_buf();
    fsx::set_modified(message.draft.file()?, &path, time)?;
    Ok(name::saved(&delivered))
}

/// Adds the record of a draft that becomes a message; gives the place in `cur` where it will lie.
pub(super) fn added(
    writer: &Writer<'_>,
    message: &Append,
    base: Vec<u8>,
    (uid, modseq, now): (Uid, ModSeq, Timestamp),
    records: &mut Vec<Record>,
) -> PathBuf {
    let names = message.keywords.iter().map(String::as_str);
    let keywords = writer.state().learn_keywords(names, records);
    let flags = Flags { system: message.system, keywords };
    let mut name = base;
    name::print(Shown::of(flags), &mut name);
    let path = place_path(writer.dir(), Place::Cur, &name);
    let entry = Entry {
        uid,
        flags,
        modseq,
        internal_date: message.internal_date.unwrap_or(now),
        save_date: now,
        size: message.wire_size,
    };
    records.push(Record::Added { entry, file_size: message.draft.size(), place: Place::Cur, name });
    path
}

/// The end of an append: on an error nothing of it is left.
fn finish(
    mut writer: Writer<'_>,
    result: Result<(), FolderError>,
    placed: Vec<(Uid, PathBuf)>,
) -> Result<Vec<Uid>, FolderError> {
    match result {
        Ok(()) => {
            writer.tidy();
            Ok(placed.into_iter().map(|(uid, _)| uid).collect())
        }
        Err(error) => {
            for (_, path) in &placed {
                let _ = fsx::remove(path);
            }
            let uids: UidSet = placed.iter().map(|(uid, _)| *uid).collect();
            let gone = Record::Expunged { modseq: writer.next_modseq(), uids };
            let _ = writer.commit(&[gone], true);
            Err(error)
        }
    }
}

impl Folder {
    /// Takes a file from elsewhere in the account as a message. Its identifier; nothing when there is no such file.
    pub(in crate::store) fn adopt(
        &self,
        file: &std::path::Path,
        system: u8,
        keywords: &[String],
        internal_date: Timestamp,
    ) -> Result<Option<Uid>, FolderError> {
        let mut writer = self.write()?;
        writer.look()?;
        let Ok(metadata) = file.symlink_metadata() else { return Ok(None) };
        let mut records = Vec::new();
        let keywords = writer.state().learn_keywords(keywords.iter().map(String::as_str), &mut records);
        let flags = Flags { system, keywords };
        let mut name = writer.fresh_name(metadata.len(), None);
        name::print(Shown::of(flags), &mut name);
        fsx::rename(file, &place_path(&self.dir, Place::Cur, &name))?;
        fsx::sync_dir(&self.dir.join(Place::Cur.dir()))?;
        let uid = writer.state().snapshot.uid_next;
        let modseq = writer.next_modseq();
        let size = Entry::UNKNOWN_SIZE;
        let entry = Entry { uid, flags, modseq, internal_date, save_date: writer.now(), size };
        records.push(Record::Added { entry, file_size: metadata.len(), place: Place::Cur, name });
        let stamps = writer.own_change(&[Place::Cur]);
        records.push(stamps);
        writer.commit(&records, true)?;
        writer.tidy();
        Ok(Some(uid))
    }
}

/// Renames the drafts into `cur`, and makes that durable.
fn place(writer: &Writer<'_>, messages: &mut [Append], placed: &[(Uid, PathBuf)]) -> Result<(), FolderError> {
    for (message, (_, path)) in messages.iter_mut().zip(placed) {
        message.draft.place(path)?;
    }
    Ok(fsx::sync_dir(&writer.dir().join(Place::Cur.dir()))?)
}

/// The system's form of a time.
fn system_time(time: Timestamp) -> std::time::SystemTime {
    let distance = Duration::from_micros(time.0.unsigned_abs());
    let moved = if time.0 < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    moved.unwrap_or(UNIX_EPOCH)
}
