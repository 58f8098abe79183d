//! Copying by hard links, moving by renames.

use super::log::Batch;
use super::look::{self, Dirs, is_clean};
use super::name::{self, Place, Shown};
use super::record::Record;
use super::state::Stamp;
use super::writer::Writer;
use super::{Folder, FolderError, threads};
use crate::clock::Timestamp;
use crate::fsx::{self, Dir};
use crate::mailbox::{Entry, Flags, Keywords, ModSeq, Uid, UidSet};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// So many messages are sent at a time: meanwhile a second thread names the next ones and records those before.
const CHUNK: usize = 4096;

/// A message on its way.
struct Traveller {
    entry: Entry,
    file_size: u64,
    place: Place,
    name: Vec<u8>,
    /// What it will be called; empty until it is its turn.
    new_name: Vec<u8>,
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
                new_name: Vec::new(),
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
        let mut arrivals = Arrivals::new(&writer, records, travellers.len());
        let mut result = road.send_all(&writer, travellers, &self.dir, &mut arrivals);
        if result.is_ok() && !arrivals.done.is_empty() {
            result = road.sync(&arrivals.done).map_err(FolderError::from);
        }
        if result.is_ok() && !arrivals.done.is_empty() {
            arrivals.batch.push(writer.own_change(&[Place::Cur]));
            result = writer.commit_batch(&mut arrivals.batch, true);
        }
        if let Err(error) = result {
            road.undo(&arrivals.done, arrivals.batch.records());
            return Err(error);
        }
        writer.tidy();
        let Arrivals { pairs, done, batch, .. } = arrivals;
        threads::give_back(done);
        threads::give_back(batch.into_records());
        Ok(pairs)
    }
}

/// What has arrived.
struct Arrivals {
    modseq: ModSeq,
    now: Timestamp,
    /// The next identifier.
    uid: Uid,
    batch: Batch,
    pairs: Vec<(Uid, Uid)>,
    /// Where each came from; what it is called now is in the batch.
    done: Vec<(Place, Vec<u8>)>,
}

impl Arrivals {
    fn new(writer: &Writer<'_>, records: Vec<Record>, count: usize) -> Arrivals {
        Arrivals {
            modseq: writer.next_modseq(),
            now: writer.now(),
            uid: writer.state().snapshot.uid_next,
            batch: Batch::new(records),
            pairs: Vec::with_capacity(count),
            done: Vec::with_capacity(count),
        }
    }

    /// Records these. Without identifiers for all of them it fails; those without one of their own have arrived all the same.
    fn note(&mut self, travellers: Vec<Traveller>) -> Result<(), FolderError> {
        let mut result = Ok(());
        for Traveller { entry, file_size, place, name, new_name } in travellers {
            let uid = self.uid;
            match uid.next() {
                Some(next) => self.uid = next,
                None => result = Err(FolderError::Full),
            }
            self.done.push((place, name));
            self.pairs.push((entry.uid, uid));
            let entry = Entry { uid, modseq: self.modseq, save_date: self.now, ..entry };
            self.batch.push(Record::Added { entry, file_size, place: Place::Cur, name: new_name });
        }
        result
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
    /// Sends all of them. Whatever has arrived is noted, also when not all has.
    fn send_all(
        &self,
        writer: &Writer<'_>,
        travellers: Vec<Traveller>,
        source: &Path,
        arrivals: &mut Arrivals,
    ) -> Result<(), FolderError> {
        let mut waiting = travellers.into_iter();
        let mut next_named = || {
            let mut chunk: Vec<Traveller> = waiting.by_ref().take(CHUNK).collect();
            chunk.iter_mut().for_each(|traveller| traveller.new_name = new_name(writer, traveller));
            chunk
        };
        let (mut chunk, mut sent) = (next_named(), Vec::new());
        let mut result = Ok(());
        while !chunk.is_empty() && result.is_ok() {
            let mut beside = || {
                let noted = arrivals.note(std::mem::take(&mut sent));
                (noted, next_named())
            };
            let is_worth_it = chunk.len() == CHUNK;
            let ((arrived, went), (noted, next)) = match is_worth_it {
                true => threads::both(|| self.send_chunk(std::mem::take(&mut chunk), source), beside),
                false => (self.send_chunk(std::mem::take(&mut chunk), source), beside()),
            };
            result = noted.and(went);
            (sent, chunk) = (arrived, next);
        }
        let noted = arrivals.note(sent);
        result.and(noted)
    }

    /// Sends these. Those that have arrived: not those that are gone, nor those behind an error. Where one came from after another program
    /// had moved it is noted in it.
    fn send_chunk(&self, chunk: Vec<Traveller>, source: &Path) -> (Vec<Traveller>, Result<(), FolderError>) {
        let mut arrived = Vec::with_capacity(chunk.len());
        let mut moved_files = None;
        for mut traveller in chunk {
            match self.send(traveller.place, &traveller.name, &traveller.new_name) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    // Renamed by another program meanwhile, or gone.
                    let moved = moved_files.get_or_insert_with(|| look::by_base(source).unwrap_or_default());
                    let Some((place, name)) = moved.get(name::split(&traveller.name).0) else { continue };
                    match self.send(*place, name, &traveller.new_name) {
                        Ok(()) => (traveller.place, traveller.name) = (*place, name.clone()),
                        Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                        Err(e) => return (arrived, Err(e.into())),
                    }
                }
                Err(e) => return (arrived, Err(e.into())),
            }
            arrived.push(traveller);
        }
        (arrived, Ok(()))
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

/// What a message is called where it goes.
fn new_name(writer: &Writer<'_>, traveller: &Traveller) -> Vec<u8> {
    let known = |size: u64| Some(size).filter(|size| *size != Entry::UNKNOWN_SIZE);
    let Traveller { entry, file_size, .. } = traveller;
    let mut name = match known(*file_size) {
        Some(file_size) => writer.fresh_name(file_size, known(entry.size)),
        None => writer.unsized_name(),
    };
    name::print(Shown::of(entry.flags), &mut name);
    name
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
