//! Writing flags into file names, some time after they were changed.
//!
//! Renaming a hundred thousand files takes a second; the log takes the same change in one line. Whoever leaves a mailbox, or has
//! nothing else to do, brings the names up to date, so that other programs see the flags.

use super::look::Dirs;
use super::name::{self, Place, Shown};
use super::record::Record;
use super::{Folder, FolderError};
use crate::mailbox::UidSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

impl Folder {
    /// Renames at most `limit` files whose names don't show their flags, and moves what sessions have seen out of `new`. True when
    /// something is left to do.
    ///
    /// To be called when a session leaves the mailbox, and now and then while one stays. A thousand files take about ten milliseconds.
    pub fn settle(&self, limit: usize) -> Result<bool, FolderError> {
        let is_pending = self.with_state(|state| (0..state.rows.len()).any(|index| state.is_pending(index)))?;
        if !is_pending {
            return Ok(false);
        }
        let mut writer = self.write()?;
        writer.look()?;
        let (mut records, mut written) = (Vec::new(), UidSet::default());
        let (mut touched_new, mut is_stale, mut left) = (false, false, false);
        let mut result = Ok(());
        let dirs = Dirs::new(&self.dir);
        let state = writer.state();
        let known = state.snapshot.keywords.names().len();
        let pending = (0..state.rows.len()).filter(|index| state.is_pending(*index));
        for (count, index) in pending.enumerate() {
            if count == limit {
                left = true;
                break;
            }
            let (entry, row) = (&state.entries()[index], &state.rows[index]);
            let shown = Shown::of(entry.flags);
            let info = name::rewrite(shown, &state.info(index), known);
            let new_name = [state.base(index), &info].concat();
            let old_name = state.name(index);
            let renamed = dirs.at(row.place).and_then(|from| {
                from.rename(OsStr::from_bytes(&old_name), dirs.at(Place::Cur)?, OsStr::from_bytes(&new_name))
            });
            match renamed {
                Ok(()) => {}
                // Another program was faster. The next look tells what it did.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    is_stale = true;
                    continue;
                }
                Err(e) => {
                    result = Err(e.into());
                    break;
                }
            }
            touched_new |= row.place == Place::New;
            if state.odd.contains_key(&entry.uid) {
                records.push(Record::Named { uid: entry.uid, place: Place::Cur, info });
            } else {
                written.push(entry.uid.number());
            }
        }
        if !written.is_empty() {
            records.push(Record::Written(written));
        }
        if !records.is_empty() {
            let touched = if touched_new { &Place::ALL[..] } else { &[Place::Cur] };
            let stamps = writer.own_change(touched);
            records.push(stamps);
        }
        writer.commit(&records, false)?;
        if is_stale {
            writer.forget_looks();
        }
        writer.tidy();
        result.map(|()| left)
    }
}
