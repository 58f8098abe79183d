//! `signatures`: which pieces of words each text of `text` holds, so that a search reads few of them.
//!
//! Called when `text` has grown by some, and by [`super::search`]. A signature (`msg::grams`) is never wrong about what a text does not
//! hold. May be deleted at any time, and goes before `text` does. Numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8, 4 | `EM-SIGNS`, the rules by which signatures were made |
//! | 4, 4, 8 | of each block: length of its records; CRC-32 of what follows; up to where `text` is covered by it and those before |
//! | | its records: number (8), start (8) and length (4) of the text's record, octets of the signature as a power of two (1), the signature |
//!
//! Blocks are appended under the archive's lock, not synced. A torn tail is cut by the next writer; of a damaged block the search that
//! finds it removes the file, and reads all texts that time.

use super::Archive;
use super::texts::{HEAD as TEXTS_HEAD, Place, Texts};
use crate::fsx;
use crate::msg::grams::{self, Grams};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

const MAGIC: &[u8; 8] = b"EM-SIGNS";
const HEAD: u64 = 12;
const BLOCK_HEAD: u64 = 16;
const RECORD_HEAD: usize = 21;
/// Octets of a block, about; a longer one than the limit is damaged.
const BLOCK: usize = 1 << 20;
const BLOCK_LIMIT: u64 = 2 << 20;
/// The largest signature: 2 to this power octets.
const LARGEST: u8 = 13;

/// Sees where a text stands, and its signature.
type See<'a> = dyn FnMut(Place, &[u8]) + 'a;

impl Archive {
    /// Shows all signatures; up to where they cover `text`. `None` when the file is damaged.
    pub(super) fn signatures(&self, see: &mut See<'_>) -> io::Result<Option<u64>> {
        let file = match fsx::open_read(&self.signatures_path()) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Some(TEXTS_HEAD)),
            other => other?,
        };
        let size = file.metadata()?.len();
        if !is_ours(&file, size)? {
            return Ok(None);
        }
        let (mut at, mut covered) = (HEAD, TEXTS_HEAD);
        let mut block = Vec::new();
        while let Some(head) = block_head(&file, at, size)? {
            // What the checksum is of begins with the last part of the block's head.
            block.resize(head.length as usize + 8, 0);
            file.read_exact_at(&mut block, at + 8)?;
            if crc32fast::hash(&block) != head.checksum || head.covers < covered {
                return Ok(None);
            }
            let mut records = block.get(8..).unwrap_or_default();
            while !records.is_empty() {
                let Some((place, signature, rest)) = record(records) else { return Ok(None) };
                see(place, signature);
                records = rest;
            }
            covered = head.covers;
            at += BLOCK_HEAD + head.length;
        }
        Ok(Some(covered))
    }

    /// Makes the signatures of the texts that have none; the caller holds the lock. A damaged text is left for the next search.
    pub(super) fn sign_texts(&self, texts: &Texts) -> io::Result<()> {
        let path = self.signatures_path();
        let mut file = fsx::open_append(&path, 0o600)?;
        let size = file.metadata()?.len();
        let (mut end, mut covered) = (HEAD, TEXTS_HEAD);
        if is_ours(&file, size)? {
            while let Some(head) = block_head(&file, end, size)? {
                covered = head.covers;
                end += BLOCK_HEAD + head.length;
            }
        } else {
            fsx::truncate(&file, &path, 0)?;
            fsx::write_all(&mut file, &path, &head())?;
        }
        if end < file.metadata()?.len() {
            fsx::truncate(&file, &path, end)?;
        }
        let mut grams = Grams::default();
        let (mut signature, mut records) = (Vec::new(), Vec::with_capacity(BLOCK));
        let mut written = Ok(());
        let from = covered;
        let mut see = |place: Place, text: &[u8]| {
            grams.clear();
            // Only damage that its checksum has missed is no UTF-8; nothing is then found in it.
            grams.add(std::str::from_utf8(text).unwrap_or_default());
            grams.sign(&mut signature);
            push(&mut records, place, &signature);
            covered = place.end();
            if records.len() >= BLOCK && written.is_ok() {
                written = append_block(&mut file, &path, covered, &mut records);
            }
        };
        texts.read_from(from, &mut see)?;
        written?;
        match records.is_empty() {
            true => Ok(()),
            false => append_block(&mut file, &path, covered, &mut records),
        }
    }

    pub(super) fn signatures_path(&self) -> PathBuf {
        self.dir.join("signatures")
    }
}

struct BlockHead {
    length: u64,
    checksum: u32,
    covers: u64,
}

/// The head of the block that begins here; `None` where no whole block does.
fn block_head(file: &File, at: u64, size: u64) -> io::Result<Option<BlockHead>> {
    if size.saturating_sub(at) < BLOCK_HEAD {
        return Ok(None);
    }
    let mut head = [0; BLOCK_HEAD as usize];
    file.read_exact_at(&mut head, at)?;
    let [l0, l1, l2, l3, c0, c1, c2, c3, covers @ ..] = head;
    let length = u64::from(u32::from_le_bytes([l0, l1, l2, l3]));
    let checksum = u32::from_le_bytes([c0, c1, c2, c3]);
    let is_whole = length > 0 && length <= BLOCK_LIMIT && at + BLOCK_HEAD + length <= size;
    Ok(is_whole.then_some(BlockHead { length, checksum, covers: u64::from_le_bytes(covers) }))
}

fn append_block(file: &mut File, path: &std::path::Path, covered: u64, records: &mut Vec<u8>) -> io::Result<()> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&covered.to_le_bytes());
    hasher.update(records);
    let mut out = Vec::with_capacity(records.len() + BLOCK_HEAD as usize);
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    out.extend_from_slice(&hasher.finalize().to_le_bytes());
    out.extend_from_slice(&covered.to_le_bytes());
    out.extend_from_slice(records);
    records.clear();
    fsx::write_all(file, path, &out)
}

fn push(records: &mut Vec<u8>, place: Place, signature: &[u8]) {
    records.extend_from_slice(&place.number.to_le_bytes());
    records.extend_from_slice(&place.start.to_le_bytes());
    records.extend_from_slice(&place.length.to_le_bytes());
    records.push(signature.len().trailing_zeros() as u8);
    records.extend_from_slice(signature);
}

/// The first record of these, and the others; `None` when it is damaged.
fn record(records: &[u8]) -> Option<(Place, &[u8], &[u8])> {
    let (head, rest) = records.split_at_checked(RECORD_HEAD)?;
    let number = u64::from_le_bytes(*head.first_chunk()?);
    let start = u64::from_le_bytes(*head.get(8..)?.first_chunk()?);
    let length = u32::from_le_bytes(*head.get(16..)?.first_chunk()?);
    let power = head.last().copied().filter(|power| *power <= LARGEST)?;
    let (signature, rest) = rest.split_at_checked(1 << power)?;
    Some((Place { number, start, length }, signature, rest))
}

fn head() -> [u8; HEAD as usize] {
    let mut head = [0; HEAD as usize];
    head[..8].copy_from_slice(MAGIC);
    head[8..].copy_from_slice(&grams::RULES.to_le_bytes());
    head
}

fn is_ours(file: &File, size: u64) -> io::Result<bool> {
    let mut found = [0; HEAD as usize];
    if size < HEAD {
        return Ok(false);
    }
    file.read_exact_at(&mut found, 0)?;
    Ok(found == head())
}
