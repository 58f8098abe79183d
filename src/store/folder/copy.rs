//! Copying by hard links, moving by renames.

use super::look::{self, Dirs, is_clean};
use super::name::{self, Place, Shown};
use super::record::Record;
use super::state::Stamp;
use super::writer::Writer;
use super::{Folder, FolderError};
use crate::fsx::{self, Dir};
use crate::mailbox::{Entry, Flags, Keywords, Uid, UidSet};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// A message on its way.
struct Traveller {
    entry: Entry,
    file_size: u64,
    place: Place,
    name: Vec<u8>,
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
        self.copy_keeping(uids, target, Flags::ALL)
    }

    /// The same; of the flags only these come along (RFC 4314 §4). As a mask, keywords are all or none.
    pub fn copy_keeping(&self, uids: &UidSet, target: &Folder, kept: Flags) -> Result<Vec<(Uid, Uid)>, FolderError> {
        let (travellers, keywords) = self.travellers(uids, kept)?;
        self.send(travellers, &keywords, target, By::Link)
    }

    /// Moves these messages (RFC 6851), as [`Folder::copy`]. A crash may leave a message in either mailbox, never in none.
    pub fn move_to(&self, uids: &UidSet, target: &Folder) -> Result<Vec<(Uid, Uid)>, FolderError> {
        self.move_keeping(uids, target, Flags::ALL)
    }

    /// The same; of the flags only these come along, as with [`Folder::copy_keeping`].
    pub fn move_keeping(&self, uids: &UidSet, target: &Folder, kept: Flags) -> Result<Vec<(Uid, Uid)>, FolderError> {
        self.refresh()?;
        let (travellers, keywords) = self.travellers(uids, kept)?;
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
        writer.commit(&records, true)?;
        writer.tidy();
        Ok(pairs)
    }

    fn travellers(&self, uids: &UidSet, kept: Flags) -> Result<(Vec<Traveller>, Keywords), FolderError> {
        self.with_state(|state| {
            let entry = |index: usize| state.entries()[index];
            let traveller = |index: usize| Traveller {
                entry: Entry { flags: entry(index).flags.within(kept), ..entry(index) },
                file_size: state.rows[index].file_size,
                place: state.rows[index].place,
                name: state.name(index),
            };
            (state.indexes(uids).map(traveller).collect(), state.snapshot.keywords.clone())
        })
    }

    fn send(
        &self,
        mut travellers: Vec<Traveller>,
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
        for Traveller { entry, .. } in &mut travellers {
            entry.flags.keywords = *translated.entry(entry.flags.keywords).or_insert_with(|| {
                let names = keywords.print(Flags { system: 0, ..entry.flags });
                writer.state().learn_keywords(names, &mut records)
            });
        }
        let (sources, target_dirs) = (Dirs::new(&self.dir), Dirs::new(&target.dir));
        let road = Road { sources: &sources, target_cur: target_dirs.at(Place::Cur)?, target, by };
        let (names, mut result) = road.send_all(&writer, &mut travellers, &self.dir);
        let (modseq, mut uid, now) = (writer.next_modseq(), writer.state().snapshot.uid_next, writer.now());
        let mut pairs = Vec::with_capacity(travellers.len());
        // Where each came from; what it is called now is in the records.
        let mut done: Vec<(Place, Vec<u8>)> = Vec::with_capacity(travellers.len());
        for (Traveller { entry, file_size, place, name: from }, name) in travellers.into_iter().zip(names) {
            let Some(name) = name else { continue };
            done.push((place, from));
            pairs.push((entry.uid, uid));
            let entry = Entry { uid, modseq, save_date: now, ..entry };
            records.push(Record::Added { entry, file_size, place: Place::Cur, name });
            match uid.next() {
                Some(next) => uid = next,
                None => result = result.and(Err(FolderError::Full)),
            }
        }
        if result.is_ok() && !done.is_empty() {
            result = road.sync(&done).map_err(FolderError::from);
        }
        if result.is_ok() && !done.is_empty() {
            records.push(writer.own_change(&[Place::Cur]));
            result = writer.commit(&records, true);
        }
        if let Err(error) = result {
            road.undo(&done, &records);
            return Err(error);
        }
        writer.tidy();
        Ok(pairs)
    }
}

/// Where messages come from and go to.
struct Road<'a> {
    sources: &'a Dirs<'a>,
    target_cur: &'a Dir,
    target: &'a Folder,
    by: By,
}

impl Road<'_> {
    /// Sends all of them. The names that those have got that were sent; where one came from after another
    /// program had moved it is noted in it.
    fn send_all(
        &self,
        writer: &Writer<'_>,
        travellers: &mut [Traveller],
        source: &Path,
    ) -> (Vec<Option<Vec<u8>>>, Result<(), FolderError>) {
        let known = |size: u64| Some(size).filter(|size| *size != Entry::UNKNOWN_SIZE);
        // Their names, `Err` where there was no such file; `None` behind an error.
        let mut sent: Vec<Option<Result<Vec<u8>, Vec<u8>>>> = Vec::with_capacity(travellers.len());
        let mut result = Ok(());
        for Traveller { entry, file_size, place, name: from } in travellers.iter() {
            let mut name = match known(*file_size) {
                Some(file_size) => writer.fresh_name(file_size, known(entry.size)),
                None => writer.unsized_name(),
            };
            name::print(Shown::of(entry.flags), &mut name);
            match self.send(*place, from, &name) {
                Ok(()) => sent.push(Some(Ok(name))),
                Err(e) if e.kind() == io::ErrorKind::NotFound => sent.push(Some(Err(name))),
                Err(e) => {
                    result = Err(e.into());
                    break;
                }
            }
        }
        sent.resize(travellers.len(), None);
        // Renamed by another program meanwhile, or gone.
        let mut moved_files = None;
        let mut names = Vec::with_capacity(travellers.len());
        for (traveller, sent) in travellers.iter_mut().zip(sent) {
            names.push(match sent {
                None => None,
                Some(Ok(name)) => Some(name),
                Some(Err(_)) if result.is_err() => None,
                Some(Err(name)) => {
                    let moved = moved_files.get_or_insert_with(|| look::by_base(source).unwrap_or_default());
                    match moved.get(name::split(&traveller.name).0) {
                        Some((place, from)) => match self.send(*place, from, &name) {
                            Ok(()) => {
                                (traveller.place, traveller.name) = (*place, from.clone());
                                Some(name)
                            }
                            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
                            Err(e) => {
                                result = Err(e.into());
                                None
                            }
                        },
                        None => None,
                    }
                }
            });
        }
        (names, result)
    }

    /// Makes it durable, first where they are now.
    fn sync(&self, done: &[(Place, Vec<u8>)]) -> io::Result<()> {
        self.target_cur.sync()?;
        if self.by == By::Link {
            return Ok(());
        }
        let mut touched = Place::ALL.into_iter().filter(|place| done.iter().any(|(from, _)| from == place));
        touched.try_for_each(|place| self.sources.at(place)?.sync())
    }

    /// Takes back what was done. What can't be moved back is found in the target by its next look.
    fn undo(&self, done: &[(Place, Vec<u8>)], records: &[Record]) {
        let names = records.iter().filter_map(|record| match record {
            Record::Added { name, .. } => Some(OsStr::from_bytes(name)),
            _ => None,
        });
        for ((place, from), name) in done.iter().zip(names) {
            let _ = match self.by {
                By::Link => self.target_cur.remove_existing(name),
                By::Rename => {
                    self.sources.at(*place).and_then(|dir| self.target_cur.rename(name, dir, OsStr::from_bytes(from)))
                }
            };
        }
    }

    fn send(&self, place: Place, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (source, from, to) = (self.sources.at(place)?, OsStr::from_bytes(from), OsStr::from_bytes(to));
        let sent = match self.by {
            By::Link => source.link(from, self.target_cur, to),
            By::Rename => source.rename(from, self.target_cur, to),
        };
        match sent {
            // Another file system, or too many links for one file (ext4 allows 65,000).
            Err(e) if matches!(fsx::errno(&e), Some(nix::libc::EXDEV | nix::libc::EMLINK)) => {
                write_copy(&source.path(from), &self.target_cur.path(to), self.target)?;
                if self.by == By::Rename { source.remove_existing(from) } else { Ok(()) }
            }
            other => other,
        }
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
