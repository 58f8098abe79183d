//! Searching an archive: `text` holds what its posts say, folded, and is read from end to end.
//!
//! A scan beats an index of words here: it needs no rules for what a word is, in any language, finds parts of words, and runs at the speed of
//! memory. May be deleted at any time. Numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8, 4 | `EM-WORDS`, the rules by which texts were made |
//! | 8, 4, 4 | of each post: number, length of its text, CRC-32 of both and the text |
//! | | its text: author, subject, bodies; a line feed behind each |
//!
//! Records are appended under the archive's lock, not synced. What is torn or damaged is found by the next search, which makes the file
//! anew; a post that is missing is added by it.

use super::{Archive, Entry, Index};
use crate::fsx;
use crate::msg::folding::fold_for_search;
use crate::msg::structure::Structure;
use crate::msg::{grams, text};
use memchr::memmem::Finder;
use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::PathBuf;

const MAGIC: &[u8; 8] = b"EM-WORDS";
const HEAD: usize = 12;
const RECORD_HEAD: usize = 16;
/// So much of what a post says is searched, in octets.
const POST_LIMIT: usize = 256 << 10;
/// Octets read at once: few enough to stay in the processor's own memory while they are looked at.
const CHUNK: usize = 256 << 10;
/// Posts that are added under one lock.
const AT_ONCE: usize = 500;
/// Words of one search that are looked at.
const WORDS_LIMIT: usize = 16;

impl Archive {
    /// The newest posts, at most `limit`, that hold each of these words or parts of words in author, subject or text; newest first.
    pub fn search(&self, words: &str, limit: usize) -> io::Result<Vec<Entry>> {
        let folded: Vec<String> = words.split_whitespace().take(WORDS_LIMIT).map(fold_for_search).collect();
        let mut finders: Vec<Finder> =
            folded.iter().filter(|word| !word.is_empty()).map(|word| Finder::new(word.as_bytes())).collect();
        if finders.is_empty() {
            return Ok(Vec::new());
        }
        // The longest is the rarest, as a rule.
        finders.sort_by_key(|finder| std::cmp::Reverse(finder.needle().len()));
        let index = self.index()?;
        let mut found = BTreeSet::new();
        let mut see = |number: u64, text: &[u8]| {
            if finders.iter().all(|finder| finder.find(text).is_some()) {
                found.insert(number);
            }
        };
        let missing = self.scan(&index, &mut see)?;
        for some in missing.chunks(AT_ONCE) {
            // Posts that come meanwhile wait for a part of them, not for all.
            let _lock = self.lock()?;
            for number in some {
                let Some(message) = self.message(*number)? else { continue };
                see(*number, said(&message).as_bytes());
                let _ = self.append_text(*number, &message);
            }
        }
        Ok(found.into_iter().rev().filter_map(|number| index.entry(number)).take(limit).collect())
    }

    /// Shows the texts there are; the numbers of posts that have none. A damaged file is removed, and all are missing.
    fn scan(&self, index: &Index, see: &mut dyn FnMut(u64, &[u8])) -> io::Result<Vec<u64>> {
        let mut seen: Vec<u64> = Vec::with_capacity(index.len());
        let mut both = |number: u64, text: &[u8]| {
            seen.push(number);
            see(number, text);
        };
        if !self.read_texts(&mut both)? {
            // Perhaps a post was being added just then: under the lock it is whole.
            let _lock = self.lock()?;
            if !self.read_texts(&mut both)? {
                fsx::remove(&self.text_path())?;
                return Ok(index.numbers().collect());
            }
        }
        seen.sort_unstable();
        Ok(index.numbers().filter(|number| seen.binary_search(number).is_err()).collect())
    }

    /// False when the file is no whole one of these rules; a missing one is whole.
    fn read_texts(&self, see: &mut dyn FnMut(u64, &[u8])) -> io::Result<bool> {
        let mut file = match fsx::open_read(&self.text_path()) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(true),
            Err(e) => return Err(e),
        };
        let mut head = [0; HEAD];
        if file.read_exact(&mut head).is_err() || head != self::head() {
            return Ok(false);
        }
        let mut buffer = Vec::with_capacity(CHUNK + POST_LIMIT);
        loop {
            let before = buffer.len();
            (&mut file).take(CHUNK as u64).read_to_end(&mut buffer)?;
            let mut rest = buffer.as_slice();
            while let Some((number, text, behind)) = record(rest) {
                let Some(text) = text else { return Ok(false) };
                see(number, text);
                rest = behind;
            }
            if buffer.len() == before {
                return Ok(rest.is_empty());
            }
            if rest.len() > RECORD_HEAD + POST_LIMIT {
                return Ok(false);
            }
            let done = buffer.len() - rest.len();
            buffer.drain(..done);
        }
    }

    /// Adds what a post says; the caller holds the lock.
    pub(super) fn append_text(&self, number: u64, message: &[u8]) -> io::Result<()> {
        let path = self.text_path();
        let mut file = fsx::open_append(&path, 0o600)?;
        let mut out = Vec::new();
        if file.metadata()?.len() == 0 {
            out.extend_from_slice(&head());
        }
        let said = said(message);
        let start = out.len();
        out.extend_from_slice(&number.to_le_bytes());
        out.extend_from_slice(&(said.len() as u32).to_le_bytes());
        let crc = checksum(&out[start..], said.as_bytes());
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(said.as_bytes());
        fsx::write_all(&mut file, &path, &out)
    }

    pub(super) fn text_path(&self) -> PathBuf {
        self.dir.join("text")
    }
}

fn head() -> [u8; HEAD] {
    let mut head = [0; HEAD];
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
type Record<'a> = (u64, Option<&'a [u8]>, &'a [u8]);

/// The record that begins here; `None` when it is not whole yet.
fn record(bytes: &[u8]) -> Option<Record<'_>> {
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
fn said(message: &[u8]) -> String {
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
