//! `em-index`: a mailbox's state at one moment of its log, to open it without reading the log.
//!
//! Only a cache: without it the log is read from its beginning; when the log itself is lost it still knows flags and keywords.
//! All numbers are little-endian.
//!
//! | octets | what |
//! |---|---|
//! | 8 | `EMINDEX\n` |
//! | 4 | version |
//! | 4 | CRC-32 of all that follows |
//! | 8, 4, 8 | generation, UIDVALIDITY and mailbox id of the log |
//! | 8 | octets of the log that are in it |
//! | 4, 4, 4 | number of messages, octets of names, octets of records |
//! | 60 each | messages |
//! | | names: the bases, in the order of the messages |
//! | | records, as lines of the log: keywords, expunges, unusual names, the directories' stamps |

use super::name::{Place, Shown};
use super::record::Record;
use super::state::{Header, Row, State};
use crate::clock::Timestamp;
use crate::fsx;
use crate::mailbox::{Entry, Flags, ModSeq, Uid, UidValidity};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// The checkpoint's name.
pub const NAME: &str = "em-index";
/// The format that this program writes; it reads no newer one.
const VERSION: u32 = 1;
const MAGIC: &[u8; 8] = b"EMINDEX\n";
/// Magic, version, checksum.
const HEAD: usize = 16;
/// Octets of one message.
const MESSAGE: usize = 4 + 1 + 1 + 1 + 1 + 4 + 8 * 6;
/// Largest checkpoint that is read: some ten million messages.
const LIMIT: u64 = 2 << 30;

/// A checkpoint that was read.
#[derive(Debug)]
pub struct Saved {
    /// The state.
    pub state: State,
    /// Octets of the log that are in it.
    pub log_size: u64,
}

/// Why there is none to use.
#[derive(Debug)]
pub enum ReadError {
    /// A newer program wrote it.
    Newer,
    /// It is missing, damaged or unreadable.
    Useless,
}

/// Writes the checkpoint. Not synced: a power failure may leave a damaged one, which the checksum shows.
pub fn write(dir: &Path, state: &State, log_size: u64) -> io::Result<()> {
    fsx::replace_cache(&dir.join(NAME), &print(state, log_size), 0o600)
}

/// Reads the checkpoint.
pub fn read(dir: &Path) -> Result<Saved, ReadError> {
    let bytes = fsx::read(&dir.join(NAME), LIMIT).map_err(|_| ReadError::Useless)?;
    parse(&bytes)
}

fn print(state: &State, log_size: u64) -> Vec<u8> {
    let mut records = Vec::new();
    state.frame().iter().for_each(|record| record.print(&mut records));
    for (index, row) in state.rows.iter().enumerate() {
        let uid = state.entries()[index].uid;
        if state.odd.contains_key(&uid) {
            Record::Named { uid, place: row.place, info: state.info(index) }.print(&mut records);
        }
    }
    Record::Stamps(state.stamps).print(&mut records);
    let names: usize = state.rows.iter().map(|row| usize::from(row.length)).sum();
    let mut out = Vec::with_capacity(HEAD + 64 + state.rows.len() * MESSAGE + names + records.len());
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&state.header.generation.to_le_bytes());
    out.extend_from_slice(&state.header.validity.number().to_le_bytes());
    out.extend_from_slice(&state.header.mailbox_id.to_le_bytes());
    out.extend_from_slice(&log_size.to_le_bytes());
    for length in [state.rows.len(), names, records.len()] {
        out.extend_from_slice(&(length as u32).to_le_bytes());
    }
    for (entry, row) in state.entries().iter().zip(&state.rows) {
        out.extend_from_slice(&entry.uid.number().to_le_bytes());
        out.extend_from_slice(&[entry.flags.system, row.shown.system, row.length, (row.place == Place::New) as u8]);
        out.extend_from_slice(&row.shown.letters.to_le_bytes());
        out.extend_from_slice(&entry.flags.keywords.to_le_bytes());
        out.extend_from_slice(&entry.modseq.number().to_le_bytes());
        out.extend_from_slice(&entry.internal_date.0.to_le_bytes());
        out.extend_from_slice(&entry.save_date.0.to_le_bytes());
        out.extend_from_slice(&entry.size.to_le_bytes());
        out.extend_from_slice(&row.file_size.to_le_bytes());
    }
    (0..state.rows.len()).for_each(|index| out.extend_from_slice(state.base(index)));
    out.extend_from_slice(&records);
    let checksum = crc32fast::hash(&out[HEAD..]);
    out[HEAD - 4..HEAD].copy_from_slice(&checksum.to_le_bytes());
    out
}

fn parse(bytes: &[u8]) -> Result<Saved, ReadError> {
    let mut input = Input(bytes);
    if input.take(8) != Some(MAGIC) {
        return Err(ReadError::Useless);
    }
    match input.u32() {
        Some(VERSION) => {}
        Some(version) if version > VERSION => return Err(ReadError::Newer),
        _ => return Err(ReadError::Useless),
    }
    let checksum = input.u32();
    if checksum != Some(crc32fast::hash(input.0)) {
        return Err(ReadError::Useless);
    }
    parse_state(input).ok_or(ReadError::Useless)
}

fn parse_state(mut input: Input<'_>) -> Option<Saved> {
    let header =
        Header { generation: input.u64()?, validity: UidValidity::new(input.u32()?)?, mailbox_id: input.u64()? };
    let log_size = input.u64()?;
    let (count, names, records) = (input.u32()? as usize, input.u32()? as usize, input.u32()? as usize);
    let messages = input.take(count.checked_mul(MESSAGE)?)?;
    let names = input.take(names)?;
    let records = input.take(records)?;
    let mut state = State::empty(header);
    let mut entries = Vec::with_capacity(count);
    state.rows.reserve_exact(count);
    let mut at = 0u32;
    for message in messages.chunks_exact(MESSAGE) {
        let mut input = Input(message);
        let uid = Uid::new(input.u32()?)?;
        let small = input.take(4)?;
        let (system, shown, length, is_new) = (small[0], small[1], small[2], small[3] == 1);
        let letters = input.u32()?;
        let flags = Flags { system, keywords: input.u64()? };
        let modseq = ModSeq::new(input.u64()?)?;
        let (internal_date, save_date) = (Timestamp(input.u64()? as i64), Timestamp(input.u64()? as i64));
        let (size, file_size) = (input.u64()?, input.u64()?);
        entries.push(Entry { uid, flags, modseq, internal_date, save_date, size });
        let place = if is_new { Place::New } else { Place::Cur };
        state.rows.push(Row { at, length, place, shown: Shown { system: shown, letters }, file_size });
        at = at.checked_add(u32::from(length))?;
    }
    let is_sound = at as usize == names.len() && entries.is_sorted_by(|a: &Entry, b: &Entry| a.uid < b.uid);
    if !is_sound {
        return None;
    }
    state.names = names.to_vec();
    Arc::make_mut(&mut state.snapshot).entries = entries.into();
    let lines = records.split(|b| *b == b'\n').filter(|line| !line.is_empty());
    let records: Option<Vec<Record>> = lines.map(Record::parse).collect();
    state.apply(&records?, false).ok()?;
    Some(Saved { state, log_size })
}

/// What is left to read.
struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::UidSet;

    fn state() -> State {
        let header = Header { generation: 7, validity: UidValidity::new(9).unwrap(), mailbox_id: 11 };
        let mut state = State::empty(header);
        let uid = |n| Uid::new(n).unwrap();
        let added = |n: u32, place, name: &str| Record::Added {
            entry: Entry {
                uid: uid(n),
                flags: Flags { system: 8, keywords: 1 },
                modseq: ModSeq::new(5).unwrap(),
                internal_date: Entry::UNKNOWN_DATE,
                save_date: Timestamp(3),
                size: 20,
            },
            file_size: 19,
            place,
            name: name.into(),
        };
        let records = [
            Record::Keyword(0, "work".into()),
            added(1, Place::Cur, "1.a:2,Sa"),
            added(2, Place::New, "2.b"),
            added(5, Place::Cur, "5.c"),
            added(9, Place::Cur, "9.d:2,PSa"),
            Record::Expunged { modseq: ModSeq::new(6).unwrap(), uids: UidSet::from_iter([2u32]) },
            Record::Recent(uid(3)),
        ];
        state.apply(&records, false).unwrap();
        state
    }

    #[test]
    fn a_checkpoint_gives_the_state_back() {
        let state = state();
        let saved = parse(&print(&state, 1234)).unwrap();
        assert_eq!(saved.log_size, 1234);
        assert_eq!(saved.state.snapshot, state.snapshot);
        assert_eq!(saved.state.expunged, state.expunged);
        for index in 0..3 {
            assert_eq!(saved.state.name(index), state.name(index));
        }
    }

    #[test]
    fn a_damaged_checkpoint_is_useless_and_a_newer_one_is_known() {
        let bytes = print(&state(), 1234);
        for cut in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..cut]), Err(ReadError::Useless)), "cut at {cut}");
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x40;
            assert!(parse(&damaged).is_err(), "bit at {at}");
        }
        let mut newer = bytes;
        newer[8] = 2;
        assert!(matches!(parse(&newer), Err(ReadError::Newer)));
    }
}
