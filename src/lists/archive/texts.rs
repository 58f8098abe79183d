//! `text`: what the posts of an archive say, folded, one after the other.
//!
//! Called when a post is added, and by [`super::search`]. May be deleted at any time. Numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8, 4 | `EM-WORDS`, the rules by which texts were made |
//! | 8, 4, 4 | of each post: number, length of its text, CRC-32 of both and the text |
//! | | its text: author, subject, bodies; a line feed behind each |
//!
//! Records are appended under the archive's lock, not synced. What is torn or damaged is found by the next search that comes there, which makes
//! the file anew; a post that is missing is added by it.

use super::Archive;
use crate::fsx;
use crate::msg::folding::fold_for_search;
use crate::msg::structure::Structure;
use crate::msg::{grams, text};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const MAGIC: &[u8; 8] = b"EM-WORDS";
/// Octets before the first record.
pub(super) const HEAD: u64 = 12;
/// Octets of a record before its text.
pub(super) const RECORD_HEAD: usize = 16;
/// So much of what a post says is searched, in octets.
pub(super) const POST_LIMIT: usize = 256 << 10;
/// Octets read at once.
const CHUNK: usize = 256 << 10;
/// Whenever the file has grown by so much, its signatures are brought up to date.
pub(super) const SIGNED_EACH: u64 = 1 << 20;

/// Where a record stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of the post.
    pub(super) number: u64,
    /// Where the record begins.
    pub(super) start: u64,
    /// How long its text is.
    pub(super) length: u32,
}

impl Place {
    /// Where the record ends.
    pub(super) fn end(&self) -> u64 {
        self.start.saturating_add(RECORD_HEAD as u64).saturating_add(self.length.into())
    }
}

/// The file, open for reading.
pub(super) struct Texts(File);

impl Archive {
    /// The file; `None` when there is none that these rules have made.
    pub(super) fn texts(&self) -> io::Result<Option<Texts>> {
        let file = match fsx::open_read(&self.text_path()) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        Ok(Some(Texts(file)))
    }

    /// Adds what a post says; the caller holds the lock.
    pub(super) fn append_text(&self, number: u64, message: &[u8]) -> io::Result<()> {
        let path = self.text_path();
        let mut file = fsx::open_append(&path, 0o600)?;
        let before = file.metadata()?.len();
        let mut out = Vec::new();
        if before == 0 {
            // Those of a file that somebody has deleted.
            fsx::remove(&self.signatures_path())?;
            out.extend_from_slice(&head());
        }
        let said = said(message);
        let start = out.len();
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&(said.len() as u32).to_le_bytes());
        let crc = checksum(&out[start..], said.as_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(said.as_bytes());
        fsx::write_all(&mut file, &path, &out)?;
        match (before + out.len() as u64) / SIGNED_EACH == before / SIGNED_EACH {
            true => Ok(()),
            false => self.sign_texts(&Texts(file)),
        }
    }

    /// Removes the file, and the signatures first; the caller holds the lock.
    pub(super) fn forget_texts(&self) -> io::Result<()> {
        fsx::remove(&self.signatures_path())?;
        fsx::remove(&self.text_path())
    }

    pub(super) fn text_path(&self) -> PathBuf {
        self.dir.join("text")
    }
}

impl Texts {
    pub(super) fn file(&self) -> &File {
        &self.0
    }

    /// Its size, in octets.
    pub(super) fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    /// Shows the texts from here on. False when the file is no whole one of these rules.
    pub(super) fn read_from(&self, from: u64, see: &mut dyn FnMut(Place, &[u8])) -> io::Result<bool> {
        let mut head = [0; HEAD as usize];
        if !self.fill(&mut head, 0)? || head != self::head() {
            return Ok(false);
        }
        let size = self.size()?;
        let mut at = from.max(HEAD);
        if at > size {
            return Ok(false);
        }
        let mut buffer = Vec::with_capacity(CHUNK + RECORD_HEAD + POST_LIMIT);
        // `buffer` is what stands at `at`.
        while at + (buffer.len() as u64) < size {
            let read = at + buffer.len() as u64;
            let more = (size - read).min(CHUNK as u64) as usize;
            let kept = buffer.len();
            buffer.resize(kept + more, 0);
            if !self.fill(&mut buffer[kept..], read)? {
                return Ok(false);
            }
            let mut rest = buffer.as_slice();
            while let Some((number, text, behind)) = record(rest) {
                let Some(text) = text else { return Ok(false) };
                see(Place { number, start: at, length: text.len() as u32 }, text);
                at += (rest.len() - behind.len()) as u64;
                rest = behind;
            }
            if rest.len() > RECORD_HEAD + POST_LIMIT {
                return Ok(false);
            }
            let done = buffer.len() - rest.len();
            buffer.drain(..done);
        }
        Ok(buffer.is_empty())
    }

    /// False when the file ends before.
    fn fill(&self, out: &mut [u8], at: u64) -> io::Result<bool> {
        match self.0.read_exact_at(out, at) {
            Ok(()) => Ok(true),
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn head() -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(MAGIC);
    head[8..].copy_from_slice(&grams::RULES.to_le_bytes());
    head
}

fn checksum(head: &[u8], text: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(text);
    hasher.finalize()
}

/// A record: number, text (`None` when damaged), and what stands behind it.
pub(super) type Record<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

/// The record that begins here; `None` when it is not whole yet.
pub(super) fn record(bytes: &[u8]) -> Option<Record<'_>> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
    let number = u64::from_le_bytes(*head.first_chunk()?);
    let length = u32::from_le_bytes(*head.get(8..)?.first_chunk()?) as usize;
    let crc = u32::from_le_bytes(*head.get(12..)?.first_chunk()?);
    if length > POST_LIMIT {
        return Some((number, None, rest));
    }
    let (text, rest) = rest.split_at_checked(length)?;
    Some((number, Some(text).filter(|text| checksum(&head[..12], text) == crc), rest))
}

/// What a post says: author, subject, texts of its parts.
pub(super) fn said(message: &[u8]) -> String {
    let structure = Structure::of(message);
    let header = &message[structure.root().header.clone()];
    let mut out = String::new();
    for field in crate::msg::all_fields(header).filter(|field| field.is("from") || field.is("subject")) {
        out.push_str(&crate::msg::words::decode_text(field.body()));
        out.push('\n');
    }
    text::any_body_text(message, &structure, |text| {
        out.push_str(text);
        out.push('\n');
        out.len() > POST_LIMIT
    });
    let mut folded = fold_for_search(&out);
    folded.truncate(folded.floor_char_boundary(POST_LIMIT));
    folded
}
