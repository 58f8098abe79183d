//! Copying by hard links, moving by renames.

use super::look::{self, is_clean, path, place_path};
use super::name::{self, Place, Shown};
use super::record::Record;
use super::state::Stamp;
use super::{Folder, FolderError};
use crate::fsx;
use crate::mailbox::{Entry, Flags, Keywords, Uid, UidSet};
use std::collections::HashMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A message on its way.
struct Traveller {
    entry: Entry,
    file_size: u64,
    place: Place,
    path: PathBuf,
}

/// How it travels.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Link,
    Rename,
}

impl Folder {
    /// Copies these messages; flags, keywords and INTERNALDATE come along. Durable when this returns. Pairs of old and new identifiers,
    /// ascending; messages that are gone have none.
    ///
    /// On an error nothing is copied; a crash may leave some of the copies.
    pub fn copy(&self, uids: &UidSet, target: &Folder) -> Result<Vec<(Uid, Uid)>, FolderError> {
        let (travellers, keywords) = self.travellers(uids)?;
        self.send(travellers, &keywords, target, By::Link)
    }

    /// Moves these messages (RFC 6851), as [`Folder::copy`]. A crash may leave a message in either mailbox, never in none.
    pub fn move_to(&self, uids: &UidSet, target: &Folder) -> Result<Vec<(Uid, Uid)>, FolderError> {
        self.refresh()?;
        let (travellers, keywords) = self.travellers(uids)?;
        let was_clean = self.with_state(|state| is_clean(&self.dir, state))?;
        let is_touched = |place: &Place| travellers.iter().any(|t| t.place == *place);
        let touched: Vec<Place> = Place::ALL.into_iter().filter(is_touched).collect();
        let pairs = self.send(travellers, &keywords, target, By::Rename)?;
        if pairs.is_empty() {
            return Ok(pairs);
        }
        // Only now the other mailbox's lock is free. Whoever looked in between has found these messages gone, and recorded it.
        let mut writer = self.write()?;
        let state = writer.state();
        let gone: UidSet = pairs.iter().map(|(uid, _)| *uid).filter(|uid| state.index(*uid).is_some()).collect();
        let mut records = Vec::new();
        if !gone.is_empty() {
            records.push(Record::Expunged { modseq: writer.next_modseq(), uids: gone });
        }
        let stamps = if was_clean { writer.own_change(&touched) } else { Record::Stamps([Stamp::Unknown; 2]) };
        records.push(stamps);
        writer.commit(records, true)?;
        writer.tidy();
        Ok(pairs)
    }

    fn travellers(&self, uids: &UidSet) -> Result<(Vec<Traveller>, Keywords), FolderError> {
        self.with_state(|state| {
            let traveller = |index: usize| Traveller {
                entry: state.entries()[index],
                file_size: state.rows[index].file_size,
                place: state.rows[index].place,
                path: path(&self.dir, state, index),
            };
            (state.indexes(uids).map(traveller).collect(), state.snapshot.keywords.clone())
        })
    }

    fn send(
        &self,
        travellers: Vec<Traveller>,
        keywords: &Keywords,
        target: &Folder,
        by: By,
    ) -> Result<Vec<(Uid, Uid)>, FolderError> {
        if travellers.is_empty() {
            return Ok(Vec::new());
        }
        let mut writer = target.write()?;
        writer.look()?;
        let mut records: Vec<Record> = Vec::with_capacity(travellers.len() + 4);
        let mut translated: HashMap<u64, u64> = HashMap::new();
        let mut pairs = Vec::with_capacity(travellers.len());
        let mut done: Vec<(PathBuf, PathBuf)> = Vec::with_capacity(travellers.len());
        let mut moved_files = None;
        let (modseq, mut uid, now) = (writer.next_modseq(), writer.state().snapshot.uid_next, writer.now());
        let mut result: Result<(), FolderError> = Ok(());
        for Traveller { entry, file_size, path: mut from, .. } in travellers {
            let bits = *translated.entry(entry.flags.keywords).or_insert_with(|| {
                let names = keywords.print(Flags { system: 0, ..entry.flags });
                writer.state().learn_keywords(names, &mut records)
            });
            let flags = Flags { system: entry.flags.system, keywords: bits };
            let known = |size: u64| Some(size).filter(|size| *size != Entry::UNKNOWN_SIZE);
            let mut name = match known(file_size) {
                Some(file_size) => writer.fresh_name(file_size, known(entry.size)),
                None => writer.unsized_name(),
            };
            name::print(Shown::of(flags), &mut name);
            let to = place_path(&target.dir, Place::Cur, &name);
            let mut sent = send_one(&from, &to, target, by);
            if sent.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::NotFound) {
                // Renamed by another program meanwhile, or gone.
                let moved = moved_files.get_or_insert_with(|| look::by_base(&self.dir).unwrap_or_default());
                let base = from.file_name().map(|n| name::split(n.as_encoded_bytes()).0.to_vec());
                match base.and_then(|base| moved.get(&base).cloned()) {
                    Some(path) => {
                        from = path;
                        sent = send_one(&from, &to, target, by);
                    }
                    None => continue,
                }
            }
            if let Err(e) = sent {
                if e.kind() == io::ErrorKind::NotFound {
                    continue;
                }
                result = Err(e.into());
                break;
            }
            done.push((from, to));
            pairs.push((entry.uid, uid));
            let entry = Entry { uid, flags, modseq, save_date: now, ..entry };
            records.push(Record::Added { entry, file_size, place: Place::Cur, name });
            match uid.next() {
                Some(next) => uid = next,
                None => {
                    result = Err(FolderError::Full);
                    break;
                }
            }
        }
        if result.is_ok() && !done.is_empty() {
            result = fsx::sync_dir(&target.dir.join(Place::Cur.dir())).map_err(FolderError::from);
        }
        if result.is_ok() && by == By::Rename {
            let mut dirs: Vec<&Path> = done.iter().filter_map(|(from, _)| from.parent()).collect();
            dirs.sort_unstable();
            dirs.dedup();
            result = dirs.into_iter().try_for_each(fsx::sync_dir).map_err(FolderError::from);
        }
        if result.is_ok() && !done.is_empty() {
            let stamps = writer.own_change(&[Place::Cur]);
            records.push(stamps);
            result = writer.commit(records, true);
        }
        match result {
            Ok(()) => {
                writer.tidy();
                Ok(pairs)
            }
            Err(error) => {
                for (from, to) in &done {
                    // What can't be moved back is found in the target by its next look.
                    let _ = match by {
                        By::Link => fsx::remove(to),
                        By::Rename => fsx::rename(to, from),
                    };
                }
                Err(error)
            }
        }
    }
}

fn send_one(from: &Path, to: &Path, target: &Folder, by: By) -> io::Result<()> {
    let sent = match by {
        By::Link => fsx::link(from, to),
        By::Rename => fsx::rename(from, to),
    };
    match sent {
        // Another file system, or too many links for one file (ext4 allows 65,000).
        Err(e) if matches!(fsx::errno(&e), Some(nix::libc::EXDEV | nix::libc::EMLINK)) => {
            write_copy(from, to, target)?;
            if by == By::Rename { fsx::remove(from) } else { Ok(()) }
        }
        other => other,
    }
}

/// Copies where no link is possible: through the target's `tmp`.
fn write_copy(from: &Path, to: &Path, target: &Folder) -> io::Result<()> {
    let mut file = fsx::open_read(from)?;
    let time = file.metadata()?.modified()?;
    let mut copy = target.draft();
    let mut buffer = vec![0; fsx::BUFFER];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => copy.write(&buffer[..n])?,
        }
    }
    let path = copy.path().to_path_buf();
    fsx::set_modified(copy.file()?, &path, time)?;
    copy.place(to)
}
