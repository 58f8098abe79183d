//! The posts of a list of another program, on their way into the archive.
//!
//! Called by [`super::take_over`] under the list's lock. A post that the archive has already is passed over, so that an import that was cut short
//! can be started again. What can't be read is a note, and the rest is taken.

use super::{Notes, packed};
use crate::clock::Timestamp;
use crate::fsx;
use crate::lists::archive::{Archive, Entry, Imported, MESSAGE_LIMIT, Post};
use crate::msg::mbox::Quoting;
use std::collections::HashSet;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// The largest number of a post that is believed; the list has to count on.
pub(super) const NUMBER_LIMIT: u64 = 999_999_999_999;
/// Posts, and octets of posts, that are written before the disk is waited for.
const BATCH: usize = 500;
const BATCH_OCTETS: usize = 64 << 20;

/// Posts of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posts {
    /// mbox files, in this order.
    Mbox(Vec<PathBuf>),
    /// Posts that have numbers: packed files, in this order, and a folder of files named by their numbers.
    Numbered(Vec<PathBuf>, Option<PathBuf>),
}

impl Posts {
    /// The files and folders.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        let (files, folder) = match self {
            Posts::Mbox(files) => (files, None),
            Posts::Numbered(packs, folder) => (packs, folder.as_deref()),
        };
        files.iter().map(PathBuf::as_path).chain(folder)
    }

    /// Takes them into the archive; those without numbers get some behind `after`.
    pub(super) fn import(
        &self,
        archive: &Archive,
        after: u64,
        notes: &mut Notes,
        now: Timestamp,
    ) -> io::Result<Imported> {
        match self {
            Posts::Mbox(files) => mboxes(archive, files, after, notes, now),
            Posts::Numbered(packs, folder) => {
                let mut taker = Taker {
                    archive,
                    notes,
                    taken: HashSet::new(),
                    batch: Vec::new(),
                    octets: 0,
                    imported: Imported::default(),
                };
                for pack in packs {
                    if let Err(error) = packed::read(pack, |post| taker.take(post))? {
                        taker.notes.add(format!("{}: {error}", pack.display()));
                    }
                }
                if let Some(folder) = folder {
                    numbered(&mut taker, folder)?;
                }
                taker.finish()
            }
        }
    }
}

/// A file that is no mbox is a note: indexes and the like lie beside them at times.
fn mboxes(archive: &Archive, files: &[PathBuf], after: u64, notes: &mut Notes, now: Timestamp) -> io::Result<Imported> {
    let mut all = Imported::default();
    for file in files {
        let input = match fsx::open_read(file) {
            Ok(input) => BufReader::with_capacity(1 << 20, input),
            Err(error) => {
                notes.add(error.to_string());
                continue;
            }
        };
        // Python's mailbox module and the archivers of old wrote mboxo.
        match archive.import(input, Quoting::O, after, now) {
            Ok(one) => {
                all.posts += one.posts;
                all.known += one.known;
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => notes.add(format!("{}: {e}", file.display())),
            Err(e) => return Err(fsx::context("read", file, e)),
        }
    }
    Ok(all)
}

/// Files that are named as a number is printed are posts.
fn numbered(taker: &mut Taker<'_>, folder: &Path) -> io::Result<()> {
    let mut numbers: Vec<u64> = Vec::new();
    fsx::each_name(folder, |name| {
        let Some(name) = name.to_str().filter(|name| name.bytes().all(|b| b.is_ascii_digit())) else { return };
        match name.parse::<u64>() {
            Ok(number) if (1..=NUMBER_LIMIT).contains(&number) && number.to_string() == name => numbers.push(number),
            _ => taker.notes.add(format!("{}: not the number of a post", folder.join(name).display())),
        }
    })?;
    numbers.sort_unstable();
    for number in numbers {
        let path = folder.join(number.to_string());
        let read =
            fsx::read(&path, MESSAGE_LIMIT as u64).and_then(|message| Ok((message, path.metadata()?.modified()?)));
        match read {
            Ok((message, modified)) => taker.take(Post { number, message, received: Timestamp::from(modified) })?,
            Err(error) => taker.notes.add(error.to_string()),
        }
    }
    Ok(())
}

/// Takes posts that keep their numbers.
struct Taker<'a> {
    archive: &'a Archive,
    notes: &'a mut Notes,
    /// Numbers that came with this import.
    taken: HashSet<u64>,
    batch: Vec<Post>,
    octets: usize,
    imported: Imported,
}

impl Taker<'_> {
    fn take(&mut self, post: Post) -> io::Result<()> {
        let post = Post { message: with_lf(post.message), ..post };
        // fml keeps what it has packed in its spool, too.
        if self.taken.contains(&post.number) {
            self.imported.known += 1;
            return Ok(());
        }
        if let Some(there) = self.archive.message(post.number)? {
            match is_same(&there, &post.message) {
                true => self.imported.known += 1,
                false => self.notes.add(format!("post {}: left out, another post has this number here", post.number)),
            }
            return Ok(());
        }
        self.taken.insert(post.number);
        self.octets += post.message.len();
        self.imported.posts += 1;
        self.batch.push(post);
        match self.batch.len() >= BATCH || self.octets >= BATCH_OCTETS {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.batch.is_empty() {
            self.archive.append_all(&self.batch)?;
            self.batch.clear();
            self.octets = 0;
        }
        Ok(())
    }

    fn finish(mut self) -> io::Result<Imported> {
        self.flush()?;
        Ok(self.imported)
    }
}

/// True for the same post, perhaps with a header that another program has changed.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let id = |message: &[u8]| Entry::of(0, message, Timestamp(0)).message_id;
    one == other || (!id(one).is_empty() && id(one) == id(other))
}

/// Line ends as we store them.
fn with_lf(message: Vec<u8>) -> Vec<u8> {
    if memchr::memmem::find(&message, b"\r\n").is_none() {
        return message;
    }
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => out.extend([text, b"\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}
