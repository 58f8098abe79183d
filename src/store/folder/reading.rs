//! Reading the texts of many messages, on more than one core.
//!
//! Called by the services for searches and for what they keep of messages, and by [`Folder::measure`]. A command has at most
//! [`HELPERS`] threads beside its own, and of a mailbox's commands only one at a time has any.

use super::look::Dirs;
use super::{Folder, FolderError, threads};
use crate::fsx::Dir;
use crate::mailbox::Uid;
use std::ffi::OsStr;
use std::fs::Metadata;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Most threads beside the caller's.
const HELPERS: usize = 3;
/// Messages that a thread takes at once.
const CHUNK: usize = 32;
/// Messages for which another thread is worth its start.
const WORTHWHILE: usize = 4 * CHUNK;
/// Octets of a buffer that are kept from one message to the next.
const KEPT: usize = 1 << 20;

/// Octets of a message that are read first where its beginning is wanted: longer headers are rare.
const HEAD: usize = 8 << 10;

/// How much of a message is read.
#[derive(Debug, Clone, Copy)]
pub enum Extent {
    /// All of it.
    Whole,
    /// From its beginning as much as this calls enough; all of it where nothing is.
    Until(fn(&[u8]) -> bool),
}

/// A buffer for one file after another, that is neither cleared nor given back between them.
#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    filled: usize,
}

impl Buffer {
    /// Reads a file to its end, which is where its attributes say: messages do not grow. One that is shorter or longer is read whole, too.
    fn read(&mut self, mut file: impl Read, size: u64, extent: Extent) -> io::Result<()> {
        if self.bytes.len() > KEPT {
            *self = Buffer::default();
        }
        self.filled = 0;
        loop {
            if self.filled == self.bytes.len() {
                self.bytes.resize((2 * self.filled).max(64 << 10), 0);
            }
            let room = match extent {
                Extent::Until(_) if self.filled == 0 => HEAD,
                _ => self.bytes.len(),
            };
            match file.read(&mut self.bytes[self.filled..room]) {
                Ok(0) => return Ok(()),
                Ok(n) => {
                    self.filled += n;
                    if let Extent::Until(is_enough) = extent
                        && is_enough(self.text())
                    {
                        return Ok(());
                    }
                    if self.filled as u64 == size && self.filled < room {
                        // There was room for more, so that this is the end: asking once more would cost as much again.
                        return Ok(());
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

/// A message's file as it was read.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Its octets, or the first of them ([`Extent::Until`]).
    pub octets: &'a [u8],
    /// The file's attributes.
    pub metadata: &'a Metadata,
}

impl Folder {
    /// A reader of texts, for several messages.
    pub fn text_reader(&self) -> TextReader<'_> {
        TextReader { folder: self, dirs: Dirs::new(&self.dir) }
    }

    /// Gives the text of each message to `each`, with the message's place among `uids`; `None` for one that is gone.
    ///
    /// Messages come in no order, from several threads; each thread has its own `T`, and all of these are given back.
    pub fn read_texts<T: Send>(
        &self,
        uids: &[Uid],
        extent: Extent,
        make: impl Fn() -> T + Sync,
        each: impl Fn(&mut T, usize, Option<Text<'_>>) + Sync,
    ) -> Result<Vec<T>, FolderError> {
        let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let work = || {
            let result = self.read_chunks((uids, extent), &next, &is_over, make(), &each);
            is_over.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        };
        let helpers = Helpers::of(self, uids.len());
        std::thread::scope(|scope| {
            let others: Vec<_> = (0..helpers.count).map(|_| scope.spawn(work)).collect();
            let mut all = vec![work()];
            for other in others {
                all.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            all.into_iter().collect()
        })
    }

    fn read_chunks<T>(
        &self,
        (uids, extent): (&[Uid], Extent),
        next: &AtomicUsize,
        is_over: &AtomicBool,
        mut kept: T,
        each: &impl Fn(&mut T, usize, Option<Text<'_>>),
    ) -> Result<T, FolderError> {
        let (mut buffer, dirs) = (Buffer::default(), Dirs::new(&self.dir));
        loop {
            let from = next.fetch_add(CHUNK, Ordering::Relaxed);
            if from >= uids.len() || is_over.load(Ordering::Relaxed) {
                return Ok(kept);
            }
            let chunk = &uids[from..uids.len().min(from + CHUNK)];
            let files = self.with_known(|state| {
                let file = |uid: &Uid| state.index(*uid).map(|index| (state.rows[index].place, state.name(index)));
                chunk.iter().map(file).collect::<Vec<_>>()
            })?;
            for (index, (uid, file)) in chunk.iter().zip(files).enumerate() {
                let read = match file {
                    Some((place, name)) => dirs.at(place).and_then(|dir| read_file(dir, &name, extent, &mut buffer)),
                    None => Err(io::ErrorKind::NotFound.into()),
                };
                let metadata = match read {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => match self.text(*uid) {
                        Err(FolderError::Expunged) => None,
                        other => {
                            let file = other?;
                            let metadata = file.metadata()?;
                            buffer.read(file, metadata.len(), extent)?;
                            Some(metadata)
                        }
                    },
                    other => Some(other?),
                };
                let text = metadata.as_ref().map(|metadata| Text { octets: buffer.text(), metadata });
                each(&mut kept, from + index, text);
            }
        }
    }
}

/// Reads the texts of messages, one after another.
pub struct TextReader<'a> {
    folder: &'a Folder,
    dirs: Dirs<'a>,
}

impl TextReader<'_> {
    /// A message's text, into a buffer as [`crate::fsx::read_into`] uses it.
    pub fn read(&self, uid: Uid, buffer: &mut Vec<u8>) -> Result<(), FolderError> {
        let file = self
            .folder
            .with_known(|state| state.index(uid).map(|index| (state.rows[index].place, state.name(index))))?;
        let Some((place, name)) = file else { return Err(FolderError::Expunged) };
        match self.dirs.at(place).and_then(|dir| dir.read_into(OsStr::from_bytes(&name), buffer)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => self.folder.text_into(uid, buffer),
            other => Ok(other?),
        }
    }
}

fn read_file(dir: &Dir, name: &[u8], extent: Extent, buffer: &mut Buffer) -> io::Result<Metadata> {
    let (file, metadata) = dir.open_read(OsStr::from_bytes(name))?;
    buffer.read(file, metadata.len(), extent)?;
    Ok(metadata)
}

/// The right to some threads, given back when dropped.
struct Helpers<'a> {
    folder: &'a Folder,
    count: usize,
}

impl Helpers<'_> {
    fn of(folder: &Folder, messages: usize) -> Helpers<'_> {
        let wanted = HELPERS.min(threads::cores() - 1).min(messages / WORTHWHILE);
        match wanted > 0 && !folder.has_helpers.swap(true, Ordering::Relaxed) {
            true => Helpers { folder, count: wanted },
            false => Helpers { folder, count: 0 },
        }
    }
}

impl Drop for Helpers<'_> {
    fn drop(&mut self) {
        if self.count > 0 {
            self.folder.has_helpers.store(false, Ordering::Relaxed);
        }
    }
}
