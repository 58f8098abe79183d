//! Removing messages for good, or into the trash.

use super::look::{Dirs, path};
use super::name::{Place, Shown};
use super::record::Record;
use super::writer::Writer;
use super::{Folder, FolderError};
use crate::fsx;
use crate::mailbox::{Flags, System, UidSet};
use crate::store::trash::{Bin, Trashed};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

impl Folder {
    /// Removes the messages that are `\Deleted`: all of them, or only those among `which`. Durable when this returns.
    pub fn expunge(&self, which: Option<&UidSet>) -> Result<UidSet, FolderError> {
        self.remove(which, |flags| flags.has(System::Deleted), &trash_name(&self.dir))
    }

    /// Removes these messages, whatever their flags: they are too old. Durable when this returns.
    pub fn remove_old(&self, which: &UidSet) -> Result<UidSet, FolderError> {
        self.remove(Some(which), |_| true, &trash_name(&self.dir))
    }

    /// Removes all messages, whatever their flags, when the mailbox is deleted; the trash knows it by this name on disk.
    pub(in crate::store) fn empty(&self, folder: &str) -> Result<UidSet, FolderError> {
        self.remove(None, |_| true, folder)
    }

    fn remove(
        &self,
        which: Option<&UidSet>,
        is_wanted: impl Fn(Flags) -> bool,
        folder: &str,
    ) -> Result<UidSet, FolderError> {
        let mut writer = self.write()?;
        writer.look()?;
        let state = writer.state();
        let is_in = |uid: u32| which.is_none_or(|set| set.contains(uid));
        let wanted: Vec<usize> = (0..state.rows.len())
            .filter(|i| is_wanted(state.entries()[*i].flags) && is_in(state.entries()[*i].uid.number()))
            .collect();
        if wanted.is_empty() {
            return Ok(UidSet::default());
        }
        let mut bin = None;
        let mut kept = Vec::new();
        if self.settings.keeps_trash {
            let now = writer.now();
            kept.extend(wanted.iter().map(|index| Trashed { when: now, ..trashed(&writer, *index, folder) }));
            bin = Some(Bin::open(&self.home, now, &kept)?);
        }
        let mut gone = UidSet::default();
        let mut touched = [false; 2];
        let (mut is_stale, mut result) = (false, Ok(()));
        let dirs = Dirs::new(&self.dir);
        for (number, index) in wanted.iter().enumerate() {
            let removed = match &bin {
                Some(bin) => bin.take(&path(&self.dir, state, *index), &kept[number]),
                None => dirs
                    .at(state.rows[*index].place)
                    .and_then(|dir| dir.remove_existing(OsStr::from_bytes(&state.name(*index)))),
            };
            match removed {
                Ok(()) => {}
                // Renamed by another program this moment, perhaps to undelete it: the next look will tell.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    is_stale = true;
                    continue;
                }
                Err(e) => {
                    result = Err(e);
                    break;
                }
            }
            gone.push(state.entries()[*index].uid.number());
            touched[state.rows[*index].place as usize] = true;
        }
        // What is gone is gone, also when something failed behind it.
        let touched: Vec<Place> = Place::ALL.into_iter().filter(|place| touched[*place as usize]).collect();
        if let Some(bin) = &bin {
            result = result.and(bin.sync());
        }
        for place in &touched {
            result = result.and(fsx::sync_dir(&self.dir.join(place.dir())));
        }
        if !gone.is_empty() {
            let stamps = writer.own_change(&touched);
            let expunged = Record::Expunged { modseq: writer.next_modseq(), uids: gone.clone() };
            writer.commit(&[expunged, stamps], true)?;
        }
        if is_stale {
            writer.forget_looks();
        }
        writer.tidy();
        result?;
        Ok(gone)
    }
}

/// What the trash calls a mailbox: its name on disk, or nothing for INBOX.
pub(super) fn trash_name(dir: &Path) -> String {
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.starts_with('.') { name } else { String::new() }
}

/// A message's line in the trash.
pub(super) fn trashed(writer: &Writer<'_>, index: usize, folder: &str) -> Trashed {
    let state = writer.state();
    let entry = &state.entries()[index];
    let own = Flags { system: 0, ..entry.flags };
    Trashed {
        when: writer.now(),
        folder: folder.to_string(),
        uid: entry.uid,
        system: entry.flags.system,
        keywords: state.snapshot.keywords.print(own).map(str::to_string).collect(),
        internal_date: entry.internal_date,
        file: [writer.unsized_name().as_slice(), &state.info(index)].concat(),
    }
}

/// What a name shows of flags is enough for a message that comes back from the trash without a record.
pub(in crate::store) fn shown_system(name: &[u8]) -> u8 {
    let shown: Shown = super::name::shown(super::name::split(name).1, 0);
    shown.system
}
