//! Measuring messages whose names don't tell their sizes, and whose times nobody has looked at.
//!
//! Called by the services when they need a size or an INTERNALDATE. What was measured is recorded, and counts as no change.

use super::look::path;
use super::record::Record;
use super::{Extent, Folder, FolderError, Text};
use crate::clock::Timestamp;
use crate::mailbox::{Entry, Snapshot, Uid, UidSet};
use std::io;
use std::sync::Arc;

/// What was measured of a message.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    uid: Uid,
    /// Octets with CRLF line ends.
    size: u64,
    /// Octets of the file.
    file_size: u64,
    /// The file's time.
    date: Timestamp,
}

impl Measured {
    /// Of a message whose text was read, all of it.
    pub fn of(uid: Uid, Text { octets, metadata }: Text<'_>) -> Measured {
        let date = metadata.modified().map_or(Entry::UNKNOWN_DATE, Timestamp::from);
        Measured { uid, size: crate::dot::crlf_size(octets), file_size: metadata.len(), date }
    }
}

impl Folder {
    /// Measures those of these messages whose size or date is not known yet: all sizes with `sizes` (reads the files), otherwise the
    /// dates and the octets of the files only. Gives the mailbox with what was found; nothing counts as changed by it.
    pub fn measure(&self, uids: &UidSet, sizes: bool) -> Result<Arc<Snapshot>, FolderError> {
        let (texts, files): (Vec<Uid>, Vec<Uid>) = self.with_state(|state| {
            let is_unknown = |index: usize| {
                let entry = &state.entries()[index];
                entry.internal_date == Entry::UNKNOWN_DATE
                    || (sizes && entry.size == Entry::UNKNOWN_SIZE)
                    || state.rows[index].file_size == Entry::UNKNOWN_SIZE
            };
            let (mut texts, mut files) = (Vec::new(), Vec::new());
            for index in state.indexes(uids).filter(|index| is_unknown(*index)) {
                let entry = &state.entries()[index];
                // Of one whose size is known, only the file's time is missing.
                let is_text = sizes && entry.size == Entry::UNKNOWN_SIZE;
                if is_text { &mut texts } else { &mut files }.push(entry.uid);
            }
            (texts, files)
        })?;
        if texts.is_empty() && files.is_empty() {
            return self.with_state(|state| state.snapshot.clone());
        }
        let mut measured = self.measure_texts(&texts)?;
        measured.extend(self.measure_files(&files)?);
        self.keep_measures(measured)
    }

    /// Records what was measured where it is not known yet. Gives the mailbox with it.
    pub fn keep_measures(&self, mut measured: Vec<Measured>) -> Result<Arc<Snapshot>, FolderError> {
        measured.sort_unstable_by_key(|measured| measured.uid);
        let mut writer = self.write()?;
        let mut records = Vec::with_capacity(measured.len());
        for Measured { uid, size, file_size, date } in measured {
            if let Some(index) = writer.state().index(uid) {
                let entry = &writer.state().entries()[index];
                let size = if entry.size == Entry::UNKNOWN_SIZE { size } else { entry.size };
                let date = if entry.internal_date == Entry::UNKNOWN_DATE { date } else { entry.internal_date };
                records.push(Record::Measured { uid, size, file_size, internal_date: date });
            }
        }
        writer.commit(&records, false)?;
        writer.tidy();
        Ok(writer.state().snapshot.clone())
    }

    fn measure_texts(&self, uids: &[Uid]) -> Result<Vec<Measured>, FolderError> {
        let of = |measured: &mut Vec<_>, index: usize, text: Option<Text<'_>>| {
            measured.extend(text.map(|text| Measured::of(uids[index], text)));
        };
        Ok(self.read_texts(uids, Extent::Whole, Vec::new, of)?.concat())
    }

    fn measure_files(&self, uids: &[Uid]) -> Result<Vec<Measured>, FolderError> {
        let paths = self.with_known(|state| {
            let found = uids.iter().filter_map(|uid| Some((*uid, path(&self.dir, state, state.index(*uid)?))));
            found.collect::<Vec<_>>()
        })?;
        let mut measured = Vec::with_capacity(paths.len());
        for (uid, path) in paths {
            let metadata = match std::fs::symlink_metadata(&path) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => match self.text(uid) {
                    Err(FolderError::Expunged) => continue,
                    other => other?.metadata()?,
                },
                other => other?,
            };
            let (size, date) = (Entry::UNKNOWN_SIZE, Timestamp::from(metadata.modified()?));
            measured.push(Measured { uid, size, file_size: metadata.len(), date });
        }
        Ok(measured)
    }

    /// One message with its date, and with `size` its size, measured when nobody has yet.
    pub fn measured(&self, uid: Uid, size: bool) -> Result<Entry, FolderError> {
        let snapshot = self.measure(&[uid].into_iter().collect(), size)?;
        snapshot.find(uid).copied().ok_or(FolderError::Expunged)
    }
}
