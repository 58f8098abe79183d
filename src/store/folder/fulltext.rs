//! `em-text`: signatures of what messages say, for searches that need not read every message.
//!
//! May be deleted at any time. A signature says which pieces of text a message may hold (`msg::grams`); it is never wrong about
//! what a message does not hold, so that whoever searches reads the others, and finds the same as without. Made while messages are
//! searched for the first time.
//!
//! All numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8, 4, 4, 4 | `EM-TEXT\n`, version, rules by which signatures were made, UIDVALIDITY |
//! | 4, 4 | of each block: length, CRC-32 |
//! | | its records: UID (4), powers of two of the octets of both signatures (1, 1), the header's signature, the body's |
//!
//! Blocks are appended under the mailbox lock, not synced. A torn tail is cut by the next writer; a damaged file is removed. When more
//! than half of it is of messages that are gone, it is written anew.

use super::{Folder, FolderError};
use crate::fsx::{self, Lock};
use crate::mailbox::{Snapshot, Uid, UidValidity};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::time::Duration;

const NAME: &str = "em-text";
const MAGIC: &[u8; 8] = b"EM-TEXT\n";
const VERSION: u32 = 1;
const HEAD: u64 = 20;
const BLOCK_HEAD: u64 = 8;
const RECORD_HEAD: usize = 6;
/// Octets of a block, about; a longer one is damaged.
const BLOCK: usize = 1 << 20;
const BLOCK_LIMIT: u64 = 8 << 20;
/// Largest signature: 2 to this power octets.
const LARGEST: u8 = 13;
/// Octets of messages that are gone which are not worth writing the file anew.
const SMALL: u64 = 1 << 20;
const PATIENCE: Duration = Duration::from_millis(100);

/// Signatures on their way into the file.
#[derive(Debug, Default)]
pub struct Signatures {
    records: Vec<u8>,
}

impl Signatures {
    /// Adds a message: the signatures of its header and of its body, whose lengths are powers of two.
    pub fn push(&mut self, uid: Uid, header: &[u8], body: &[u8]) {
        let power = |signature: &[u8]| signature.len().trailing_zeros() as u8;
        debug_assert!([header, body].iter().all(|s| s.len().is_power_of_two() && power(s) <= LARGEST));
        self.records.extend_from_slice(&uid.number().to_le_bytes());
        self.records.extend_from_slice(&[power(header), power(body)]);
        self.records.extend_from_slice(header);
        self.records.extend_from_slice(body);
    }

    /// True when it is time for [`Folder::keep_signatures`].
    pub fn is_full(&self) -> bool {
        self.records.len() >= BLOCK
    }
}

/// Sees one message: its identifier, the signatures of header and body; says whether the message still exists.
type See<'a> = dyn FnMut(Uid, &[u8], &[u8]) -> bool + 'a;

/// What became of reading the file.
enum Reading {
    /// Octets of all records, and of those that are of use.
    Whole { all: u64, live: u64 },
    /// From here on it is torn or damaged.
    Broken,
}

impl Folder {
    /// Shows all signatures made by these rules: of header and body. `see` says whether the message still exists.
    pub fn signatures(&self, rules: u32, mut see: impl FnMut(Uid, &[u8], &[u8]) -> bool) -> Result<(), FolderError> {
        let snapshot = self.with_known(|state| state.snapshot.clone())?;
        match self.read_signatures(rules, snapshot.uid_validity, &mut see)? {
            Reading::Whole { all, live } if all > 2 * live + SMALL => self.rewrite_signatures(rules, &snapshot),
            Reading::Whole { .. } => Ok(()),
            Reading::Broken => {
                // Perhaps somebody is writing just now: then it is whole under the lock.
                let Ok(_lock) = self.lock_signatures() else { return Ok(()) };
                if let Reading::Broken = self.read_signatures(rules, snapshot.uid_validity, &mut see)? {
                    fsx::remove(&self.dir.join(NAME))?;
                }
                Ok(())
            }
        }
    }

    /// Keeps these signatures. When that is not possible now they are lost, and made again one day.
    pub fn keep_signatures(&self, rules: u32, signatures: Signatures) -> Result<(), FolderError> {
        if signatures.records.is_empty() {
            return Ok(());
        }
        let validity = self.with_known(|state| state.header.validity)?;
        let path = self.dir.join(NAME);
        let _lock = self.lock_signatures()?;
        let end = match fsx::open_read(&path) {
            Ok(file) => whole_end(&file, rules, validity)?,
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) => return Err(e.into()),
        };
        let mut out = Vec::with_capacity(signatures.records.len() + 64);
        let Some(end) = end else {
            print_head(rules, validity, &mut out);
            print_block(&signatures.records, &mut out);
            return Ok(fsx::replace_cache(&path, &out, 0o600)?);
        };
        print_block(&signatures.records, &mut out);
        let mut file = fsx::open_append_existing(&path)?;
        if file.metadata()?.len() > end {
            fsx::truncate(&file, &path, end)?;
        }
        Ok(fsx::write_all(&mut file, &path, &out)?)
    }

    fn lock_signatures(&self) -> Result<Lock, FolderError> {
        Lock::wait(&self.dir.join("em-lock"), PATIENCE).map_err(|_| FolderError::Busy)
    }

    fn read_signatures(&self, rules: u32, validity: UidValidity, see: &mut See<'_>) -> Result<Reading, FolderError> {
        let nothing = Reading::Whole { all: 0, live: 0 };
        let file = match fsx::open_read(&self.dir.join(NAME)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(nothing),
            other => other?,
        };
        if !is_ours(&file, rules, validity)? {
            return Ok(nothing);
        }
        let size = file.metadata()?.len();
        let (mut at, mut live) = (HEAD, 0);
        let mut block = Vec::new();
        while at < size {
            let Some((length, checksum)) = block_head(&file, at, size)? else { return Ok(Reading::Broken) };
            block.resize(length as usize, 0);
            file.read_exact_at(&mut block, at + BLOCK_HEAD)?;
            if crc32fast::hash(&block) != checksum {
                return Ok(Reading::Broken);
            }
            let mut records = block.as_slice();
            while !records.is_empty() {
                let Some((uid, header, body, rest)) = record(records) else { return Ok(Reading::Broken) };
                if see(uid, header, body) {
                    live += (records.len() - rest.len()) as u64;
                }
                records = rest;
            }
            at += BLOCK_HEAD + length;
        }
        Ok(Reading::Whole { all: size - HEAD, live })
    }

    /// Writes the file anew, without messages that are gone and without doubles.
    fn rewrite_signatures(&self, rules: u32, snapshot: &Snapshot) -> Result<(), FolderError> {
        let Ok(_lock) = self.lock_signatures() else { return Ok(()) };
        let mut seen = vec![false; snapshot.entries.len()];
        let mut out = Vec::new();
        print_head(rules, snapshot.uid_validity, &mut out);
        let mut left = Signatures::default();
        self.read_signatures(rules, snapshot.uid_validity, &mut |uid, header, body| {
            let Ok(index) = snapshot.entries.binary_search_by_key(&uid, |e| e.uid) else { return false };
            if !std::mem::replace(&mut seen[index], true) {
                left.push(uid, header, body);
                if left.is_full() {
                    print_block(&left.records, &mut out);
                    left.records.clear();
                }
            }
            true
        })?;
        if !left.records.is_empty() {
            print_block(&left.records, &mut out);
        }
        Ok(fsx::replace_cache(&self.dir.join(NAME), &out, 0o600)?)
    }
}

fn print_head(rules: u32, validity: UidValidity, out: &mut Vec<u8>) {
    out.extend_from_slice(MAGIC);
    for number in [VERSION, rules, validity.number()] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

fn print_block(records: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&(records.len() as u32).to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(records).to_le_bytes());
    out.extend_from_slice(records);
}

fn is_ours(file: &File, rules: u32, validity: UidValidity) -> io::Result<bool> {
    let (mut head, mut wanted) = ([0; HEAD as usize], Vec::with_capacity(HEAD as usize));
    print_head(rules, validity, &mut wanted);
    match file.read_exact_at(&mut head, 0) {
        Ok(()) => Ok(head == *wanted),
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(e) => Err(e),
    }
}

/// Where the last whole block ends; `None` when the file is of another making.
fn whole_end(file: &File, rules: u32, validity: UidValidity) -> io::Result<Option<u64>> {
    if !is_ours(file, rules, validity)? {
        return Ok(None);
    }
    let size = file.metadata()?.len();
    let mut end = HEAD;
    while end < size {
        match block_head(file, end, size)? {
            Some((length, _)) => end += BLOCK_HEAD + length,
            None => break,
        }
    }
    Ok(Some(end))
}

/// Length and checksum of the block that begins here, if all of it is there.
fn block_head(file: &File, at: u64, size: u64) -> io::Result<Option<(u64, u32)>> {
    let mut head = [0; BLOCK_HEAD as usize];
    if size - at < BLOCK_HEAD {
        return Ok(None);
    }
    file.read_exact_at(&mut head, at)?;
    let (length, checksum) = (u64::from(number(&head[..4])), number(&head[4..]));
    Ok((length <= BLOCK_LIMIT && length <= size - at - BLOCK_HEAD).then_some((length, checksum)))
}

/// The first record, and what stands behind it.
#[expect(clippy::type_complexity, reason = "three parts of one record and the rest")]
fn record(bytes: &[u8]) -> Option<(Uid, &[u8], &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
    if head[4] > LARGEST || head[5] > LARGEST {
        return None;
    }
    let (header, rest) = rest.split_at_checked(1 << head[4])?;
    let (body, rest) = rest.split_at_checked(1 << head[5])?;
    Some((Uid::new(number(&head[..4]))?, header, body, rest))
}

/// Four octets as a number.
fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}
