//! `em-uids`: the log of a mailbox. Text, in batches that count whole or not at all.
//!
//! ```text
//! em-uids 1 GENERATION UIDVALIDITY MAILBOXID
//! = CRC32
//! A 1 2 …
//! R 2
//! = CRC32
//! ```
//!
//! A batch is some lines and `= ` with the CRC-32 of those lines in eight hexadecimal digits; the first batch is the header alone.
//! Nothing begins with `=` but such a line. A tail without it is torn: a reader stops before it, and the next writer cuts it off.
//! A batch that has its last line but another checksum is damaged. A version above [`VERSION`] is left alone.

use super::checkpoint;
use super::record::Record;
use super::state::{Header, State};
use crate::fsx;
use crate::mailbox::UidValidity;
use std::fs::Metadata;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The format that this program writes; it reads no newer one.
pub const VERSION: u32 = 1;
/// The log's name.
pub const NAME: &str = "em-uids";
/// Records that are printed at once ([`print_in_pieces`]).
const PIECE: usize = 8192;
/// Messages of one batch of a log written anew: what one flipped bit can cost.
const BATCH: usize = 1000;

/// How a log file looked when it was read, to see cheaply that it has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl Look {
    /// From its attributes.
    pub fn of(metadata: &Metadata) -> Look {
        Look { inode: metadata.ino(), size: metadata.len(), modified: (metadata.mtime(), metadata.mtime_nsec()) }
    }
}

/// What was read of a log.
#[derive(Debug)]
pub struct Reading {
    /// The state at [`Reading::end`]. Its header is made up when [`Reading::is_damaged`] and the log has none.
    pub state: State,
    /// Octets up to the end of the last whole batch.
    pub end: u64,
    /// Octets of the log when it began, or when the checkpoint was made: what has been added since is the rest.
    pub start: u64,
    /// A batch was damaged: the state is what the others say.
    pub is_damaged: bool,
    /// The file.
    pub look: Look,
}

impl Reading {
    /// Of no log.
    pub fn nothing() -> Reading {
        let header = Header { generation: 0, validity: UidValidity::MIN, mailbox_id: 0 };
        let look = Look { inode: 0, size: 0, modified: (0, 0) };
        Reading { state: State::empty(header), end: 0, start: 0, is_damaged: false, look }
    }
}

/// Why a log was not read.
#[derive(Debug)]
pub enum ReadError {
    /// A newer program wrote it.
    Newer,
    /// It has no header, and no checkpoint stands for it.
    Headless,
    /// There is none.
    Missing,
    /// The file system said no.
    Io(io::Error),
}

/// Reads a log from its checkpoint on, or from its beginning.
pub fn read(dir: &Path) -> Result<Reading, ReadError> {
    let path = dir.join(NAME);
    let mut file = match fsx::open_read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        other => other.map_err(ReadError::Io)?,
    };
    let metadata = file.metadata().map_err(ReadError::Io)?;
    let look = Look::of(&metadata);
    let header = match read_header(&mut file).map_err(ReadError::Io)? {
        Head::Good(header) => Some(header),
        Head::Newer => return Err(ReadError::Newer),
        Head::Bad => None,
    };
    let saved = match checkpoint::read(dir) {
        Err(checkpoint::ReadError::Newer) => return Err(ReadError::Newer),
        Err(checkpoint::ReadError::Useless) => None,
        Ok(saved) => Some(saved),
    };
    let Some(header) = header else {
        // The checkpoint knows the messages, though not what came after it.
        let state = saved.ok_or(ReadError::Headless)?.state;
        return Ok(Reading { state, end: 0, start: 0, is_damaged: true, look });
    };
    let (state, start) = match saved {
        Some(saved) if saved.state.header == header && saved.log_size <= look.size => (saved.state, saved.log_size),
        _ => (State::empty(header), 0),
    };
    let mut reading = Reading { state, end: start, start, is_damaged: false, look };
    go_on(&mut file, &mut reading).map_err(ReadError::Io)?;
    Ok(reading)
}

/// Reads what was added to a log since; false when it is another log now and must be read whole.
pub fn read_on(dir: &Path, reading: &mut Reading) -> Result<bool, ReadError> {
    let path = dir.join(NAME);
    let mut file = match fsx::open_read(&path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(ReadError::Missing),
        other => other.map_err(ReadError::Io)?,
    };
    let look = Look::of(&file.metadata().map_err(ReadError::Io)?);
    match read_header(&mut file).map_err(ReadError::Io)? {
        Head::Good(header) if header == reading.state.header && look.size >= reading.end => {}
        Head::Newer => return Err(ReadError::Newer),
        _ => return Ok(false),
    }
    reading.look = look;
    go_on(&mut file, reading).map_err(ReadError::Io)?;
    // What we believed may have been cut off, with something else written there.
    Ok(!reading.is_damaged)
}

fn go_on(file: &mut std::fs::File, reading: &mut Reading) -> io::Result<()> {
    file.seek(SeekFrom::Start(reading.end))?;
    let mut bytes = Vec::with_capacity((reading.look.size.saturating_sub(reading.end)) as usize + 1);
    file.read_to_end(&mut bytes)?;
    let mut at = 0;
    let mut records = Vec::new();
    let is_first = reading.end == 0;
    while let Some((lines, next)) = batch(&bytes[at..]) {
        match lines {
            Some(lines) if is_first && at == 0 => debug_assert!(lines.starts_with(NAME.as_bytes())),
            Some(lines) => {
                for line in lines.split(|b| *b == b'\n').filter(|line| !line.is_empty()) {
                    match Record::parse(line) {
                        Some(record) => records.push(record),
                        None => reading.is_damaged = true,
                    }
                }
            }
            None => reading.is_damaged = true,
        }
        at += next;
    }
    reading.end += at as u64;
    if !records.is_empty() {
        let is_damaged = reading.is_damaged;
        if !is_damaged && reading.state.apply(&records, false).is_err() {
            reading.is_damaged = true;
        }
        if reading.is_damaged {
            // Whatever was applied already only says so again.
            let _ = reading.state.apply(&records, true);
        }
    }
    Ok(())
}

/// The first batch: its lines (`None` when damaged) and its length; nothing when it is torn.
fn batch(bytes: &[u8]) -> Option<(Option<&[u8]>, usize)> {
    let lines = match bytes.first()? {
        b'=' => 0,
        _ => memchr::memmem::find(bytes, b"\n=")? + 1,
    };
    let end = lines + memchr::memchr(b'\n', &bytes[lines..])? + 1;
    let is_whole = lines > 0 && bytes[lines..end] == *seal(&bytes[..lines]).as_bytes();
    Some((is_whole.then_some(&bytes[..lines]), end))
}

fn seal(lines: &[u8]) -> String {
    seal_of(crc32fast::hash(lines))
}

fn seal_of(checksum: u32) -> String {
    format!("= {checksum:08x}\n")
}

enum Head {
    Good(Header),
    Newer,
    Bad,
}

fn read_header(file: &mut std::fs::File) -> io::Result<Head> {
    let mut bytes = [0; 128];
    let mut length = 0;
    while length < bytes.len() {
        match file.read(&mut bytes[length..])? {
            0 => break,
            n => length += n,
        }
    }
    Ok(parse_header(&bytes[..length]))
}

fn parse_header(bytes: &[u8]) -> Head {
    let line = &bytes[..memchr::memchr(b'\n', bytes).unwrap_or(bytes.len())];
    let words: Vec<&str> = std::str::from_utf8(line).unwrap_or_default().split(' ').collect();
    if words.first() != Some(&NAME) {
        return Head::Bad;
    }
    if words.get(1).and_then(|v| v.parse::<u32>().ok()).is_some_and(|version| version > VERSION) {
        return Head::Newer;
    }
    let whole = matches!(batch(bytes), Some((Some(_), _)));
    match words[1..] {
        ["1", generation, validity, mailbox_id] if whole => {
            let number = |word| u64::from_str_radix(word, 16).ok();
            let validity = validity.parse().ok().and_then(UidValidity::new);
            match (number(generation), validity, number(mailbox_id)) {
                (Some(generation), Some(validity), Some(mailbox_id)) => {
                    Head::Good(Header { generation, validity, mailbox_id })
                }
                _ => Head::Bad,
            }
        }
        _ => Head::Bad,
    }
}

/// Records as one batch.
pub fn print<'a>(records: impl IntoIterator<Item = &'a Record>) -> Vec<u8> {
    let mut lines = Vec::with_capacity(256);
    records.into_iter().for_each(|record| record.print(&mut lines));
    sealed(lines)
}

/// The same in pieces, for whoever writes the first ones out while the next are printed.
pub fn print_in_pieces(records: &[Record], mut put: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let (mut lines, mut checksum) = (Vec::new(), crc32fast::Hasher::new());
    for piece in records.chunks(PIECE) {
        lines.clear();
        piece.iter().for_each(|record| record.print(&mut lines));
        checksum.update(&lines);
        put(&lines)?;
    }
    put(seal_of(checksum.finalize()).as_bytes())
}

fn sealed(mut lines: Vec<u8>) -> Vec<u8> {
    lines.extend_from_slice(seal(&lines).as_bytes());
    lines
}

/// Many records of one batch, that are printed as they come.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    lines: Vec<u8>,
}

impl Batch {
    /// Of these records so far.
    pub fn new(records: Vec<Record>) -> Batch {
        let mut lines = Vec::new();
        records.iter().for_each(|record| record.print(&mut lines));
        Batch { records, lines }
    }

    /// Adds one.
    pub fn push(&mut self, record: Record) {
        record.print(&mut self.lines);
        self.records.push(record);
    }

    /// All of them.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Their text, once.
    pub fn take_text(&mut self) -> Vec<u8> {
        sealed(std::mem::take(&mut self.lines))
    }

    /// They are done with.
    pub fn into_records(self) -> Vec<Record> {
        self.records
    }
}

/// A whole log for this state.
pub fn print_whole(state: &State) -> Vec<u8> {
    let Header { generation, validity, mailbox_id } = state.header;
    let mut text = Vec::with_capacity(state.names.len() + 80 * state.rows.len() + 1024);
    // Writing to a Vec never fails.
    let _ = writeln!(text, "{NAME} {VERSION} {generation:016x} {validity} {mailbox_id:016x}");
    text.extend_from_slice(seal(&text).as_bytes());
    text.extend(print(&state.frame()));
    let mut from = 0;
    while from < state.rows.len() {
        let to = (from + BATCH).min(state.rows.len());
        let start = text.len();
        (from..to).for_each(|index| state.added(index).print(&mut text));
        let seal = seal(&text[start..]);
        text.extend_from_slice(seal.as_bytes());
        from = to;
    }
    text.extend(print(&[Record::Stamps(state.stamps)]));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_whole_torn_or_damaged() {
        let text = print(&[Record::Highest(crate::mailbox::ModSeq::FIRST)]);
        assert_eq!(batch(&text), Some((Some(&b"H 1\n"[..]), text.len())));
        for cut in 0..text.len() {
            assert_eq!(batch(&text[..cut]), None, "cut at {cut}");
        }
        for at in 0..text.len() - 1 {
            let mut damaged = text.clone();
            damaged[at] ^= 1;
            // Either it is seen to be damaged, or its end is no longer one and more is awaited.
            assert!(!matches!(batch(&damaged), Some((Some(_), _))), "bit at {at}");
        }
    }

    #[test]
    fn a_batch_is_the_same_in_pieces() {
        let records: Vec<Record> =
            (1..=2 * PIECE as u64 + 3).map(|n| Record::Highest(crate::mailbox::ModSeq::new(n).unwrap())).collect();
        for count in [1, PIECE, PIECE + 1, records.len()] {
            let (mut text, mut batch) = (Vec::new(), Batch::new(records[..1].to_vec()));
            print_in_pieces(&records[..count], |piece| {
                text.extend_from_slice(piece);
                Ok(())
            })
            .unwrap();
            records[1..count].iter().for_each(|record| batch.push(record.clone()));
            assert!(text == print(&records[..count]) && batch.take_text() == text, "{count}");
        }
    }

    #[test]
    fn a_newer_log_is_known_by_its_first_line() {
        assert!(matches!(parse_header(b"em-uids 2 anything at all\n"), Head::Newer));
        for bad in [&b""[..], b"em-uids", b"em-uids 1\n", b"em-uids 1 0 1 0\n= 00000000\n", b"x 1\n", b"em-uids x\n"] {
            assert!(matches!(parse_header(bad), Head::Bad));
        }
    }
}
