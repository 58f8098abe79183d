//! Replacing a message by another one of the same mailbox (RFC 8508), as one change: whoever looks, now or after a crash, finds the one or
//! the other, never both and never neither.
//!
//! | step | old file | new file | log | after a crash |
//! |---|---|---|---|---|
//! | staged | `cur` or `new` | `tmp` | old | M1: the old message; the draft may be removed |
//! | set aside | `tmp` | `tmp` | old | M2: the next look puts the old file back |
//! | committed | `tmp` | `tmp` | new | M2: the next look puts the new file into `cur`; M1 of the old one |
//! | placed | `tmp` | `cur` | new | M3, and M1 of the old file |
//! | done | – | `cur` | new | M3 |
//!
//! The letters are those of the table in [`super`]. The batch in the log is the moment of change; both files are durable in `tmp` before
//! it. With a trash, the old file is linked there first: after a crash the trash may hold a message that still is in the mailbox.

use super::append::{self, Append};
use super::expunge;
use super::look::path;
use super::name::Place;
use super::record::Record;
use super::state::Stamp;
use super::writer::Writer;
use super::{Folder, FolderError};
use crate::fsx;
use crate::mailbox::{Uid, UidSet};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

impl Folder {
    /// Stores a message and removes another one, both or neither; durable when it returns. The new identifier.
    ///
    /// [`FolderError::Expunged`] when the old message is gone: nothing is stored then.
    pub fn replace(&self, old: Uid, mut message: Append) -> Result<Uid, FolderError> {
        let now = (self.settings.clock)();
        let base = append::prepare(self, &mut message, now)?;
        message.draft.stage(self.dir.join("tmp").join(OsStr::from_bytes(&base)))?;
        message.draft.sync()?;
        let mut writer = self.write()?;
        writer.look()?;
        let mut records = Vec::with_capacity(5);
        let (modseq, uid) = (writer.next_modseq(), writer.state().snapshot.uid_next);
        uid.next().ok_or(FolderError::Full)?;
        let target = append::added(&writer, &message, base, (uid, modseq, now), &mut records);
        let aside = set_aside(&mut writer, old)?;
        let uids: UidSet = [old].into_iter().collect();
        records.push(Record::Expunged { modseq: modseq.next(), uids });
        // Until the file is in place, whoever comes must look for it.
        records.push(Record::Stamps([Stamp::Unknown; 2]));
        let tmp = self.dir.join("tmp");
        let committed = fsx::sync_dir(&tmp).and_then(|()| fsx::sync_dir(aside.from.parent().unwrap_or(&tmp)));
        if let Err(error) = committed.map_err(FolderError::from).and_then(|()| writer.commit(&records, true)) {
            // Should this fail, the next look does it.
            let _ = fsx::rename(&aside.to, &aside.from);
            return Err(error);
        }
        if let Err(error) = message.draft.place(&target) {
            writer.forget_looks();
            if fsx::rename(&aside.to, &aside.from).is_ok() {
                // The old message is back, under another identifier; the draft goes, and with it the new one.
                return Err(error.into());
            }
            // It is durable where it is, and the next look puts it into place.
            message.draft.leave();
            return Ok(uid);
        }
        // What stays in `tmp` is no message.
        let _ = fsx::remove(&aside.to);
        let stamps = writer.own_change(&[Place::Cur]);
        let _ = writer.commit(&[stamps], false);
        writer.tidy();
        Ok(uid)
    }
}

/// A message's file that was moved out of the way, into `tmp` under its base: there the next look finds it, as long as the log knows it.
struct Aside {
    from: PathBuf,
    to: PathBuf,
}

fn set_aside(writer: &mut Writer<'_>, old: Uid) -> Result<Aside, FolderError> {
    for is_last in [false, true] {
        let index = writer.state().index(old).ok_or(FolderError::Expunged)?;
        let from = path(writer.dir(), writer.state(), index);
        let to = writer.dir().join("tmp").join(OsStr::from_bytes(writer.state().base(index)));
        let moved = keep(writer, index, &from).and_then(|()| fsx::rename(&from, &to));
        match moved {
            Ok(()) => return Ok(Aside { from, to }),
            // Another program has renamed it, or removed it.
            Err(e) if e.kind() == io::ErrorKind::NotFound && !is_last => {
                writer.forget_looks();
                writer.look()?;
            }
            Err(e) => return Err(e.into()),
        }
    }
    Err(FolderError::Expunged)
}

/// Where there is a trash, it gets the old message too.
fn keep(writer: &Writer<'_>, index: usize, file: &Path) -> io::Result<()> {
    if !writer.folder.settings.keeps_trash {
        return Ok(());
    }
    let kept = [expunge::trashed(writer, index, &expunge::trash_name(writer.dir()))];
    let bin = crate::store::trash::Bin::open(&writer.folder.home, kept[0].when, &kept)?;
    bin.link(file, &kept[0])?;
    bin.sync()
}
