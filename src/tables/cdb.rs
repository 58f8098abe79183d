//! A constant database: the compiled form of a big table, looked up in place.
//!
//! Called by `tables::text`. The layout is that of D. J. Bernstein's cdb: 256 pairs of numbers, the records, 256 hash tables; all
//! numbers are little-endian and of 32 bits. A look-up reads three or four small pieces of the file. The record with the name
//! [`STAMP`] says which state of the text the file was made of.
//!
//! Trust: the file is a cache beside the text and may be torn or foreign: whatever it holds, a look-up reads no more than [`RECORD_LIMIT`]
//! octets at a time and ends; what does not fit together is an error.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;

/// Name of the record that names the text's state. No key of a table has a NUL.
pub const STAMP: &[u8] = b"\0em-table 1";
/// Longest key and value of a record together, in octets.
pub const RECORD_LIMIT: usize = 1 << 16;
/// Octets of the 256 pairs at the start.
const HEAD: u64 = 2048;

/// An open database.
#[derive(Debug)]
pub struct Cdb {
    file: File,
}

/// The hash of the format.
fn hash(key: &[u8]) -> u32 {
    key.iter().fold(5381u32, |hash, byte| hash.wrapping_mul(33) ^ u32::from(*byte))
}

fn torn(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, what.to_string())
}

impl Cdb {
    /// A database that was made of the state `stamp` of its text; `None` when it was made of another one.
    pub fn open(file: File, stamp: &str) -> io::Result<Option<Cdb>> {
        let cdb = Cdb { file };
        let found = cdb.get(STAMP)?;
        Ok(found.is_some_and(|found| found == stamp.as_bytes()).then_some(cdb))
    }

    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let hash = hash(key);
        let (table, slots) = self.pair(u64::from(hash & 255) * 8)?;
        if slots == 0 {
            return Ok(None);
        }
        let first = (hash >> 8) % slots;
        for n in 0..slots {
            let slot = (u64::from(first) + u64::from(n)) % u64::from(slots);
            let (found, at) = self.pair(u64::from(table) + slot * 8)?;
            if at == 0 {
                return Ok(None);
            }
            if found != hash {
                continue;
            }
            let (key_length, value_length) = self.pair(at.into())?;
            let length = key_length as usize + value_length as usize;
            if length > RECORD_LIMIT {
                return Err(torn("a record is too long"));
            }
            if key_length as usize != key.len() {
                continue;
            }
            let mut record = vec![0; length];
            self.file.read_exact_at(&mut record, u64::from(at) + 8)?;
            if record.starts_with(key) {
                return Ok(Some(record.split_off(key.len())));
            }
        }
        Ok(None)
    }

    fn pair(&self, at: u64) -> io::Result<(u32, u32)> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at)?;
        let [a, b, c, d, e, f, g, h] = bytes;
        Ok((u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])))
    }
}

/// A database being made, in memory.
#[derive(Debug)]
pub struct Writer {
    bytes: Vec<u8>,
    /// Hash and place of each record, by the hash's low eight bits.
    places: Vec<Vec<(u32, u32)>>,
}

impl Writer {
    /// A database of the state `stamp` of a text.
    pub fn new(stamp: &str) -> io::Result<Writer> {
        let mut writer = Writer { bytes: vec![0; HEAD as usize], places: vec![Vec::new(); 256] };
        writer.add(STAMP, stamp.as_bytes())?;
        Ok(writer)
    }

    /// Adds a record; the caller sees to it that each key comes once.
    pub fn add(&mut self, key: &[u8], value: &[u8]) -> io::Result<()> {
        let (length, place) = (key.len() + value.len(), self.offset()?);
        if length > RECORD_LIMIT {
            return Err(torn("a row is too long"));
        }
        let hash = hash(key);
        self.places[(hash & 255) as usize].push((hash, place));
        for number in [key.len(), value.len()] {
            self.bytes.extend((number as u32).to_le_bytes());
        }
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        Ok(())
    }

    /// Four gigabytes are the format's end.
    fn offset(&self) -> io::Result<u32> {
        u32::try_from(self.bytes.len()).map_err(|_| torn("the table is too big for a compiled form"))
    }

    /// The finished file.
    pub fn finish(mut self) -> io::Result<Vec<u8>> {
        for table in 0..256 {
            let places = std::mem::take(&mut self.places[table]);
            let slots = places.len() * 2;
            let (start, count) = (self.offset()?, slots as u32);
            let mut filled = vec![(0u32, 0u32); slots];
            for (hash, place) in places {
                let mut slot = (hash >> 8) as usize % slots;
                while filled[slot].1 != 0 {
                    slot = (slot + 1) % slots;
                }
                filled[slot] = (hash, place);
            }
            for (hash, place) in filled {
                self.bytes.extend(hash.to_le_bytes());
                self.bytes.extend(place.to_le_bytes());
            }
            self.bytes[table * 8..table * 8 + 4].copy_from_slice(&start.to_le_bytes());
            self.bytes[table * 8 + 4..table * 8 + 8].copy_from_slice(&count.to_le_bytes());
        }
        self.offset()?;
        Ok(self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    fn made() -> Vec<u8> {
        let mut writer = Writer::new("state 1").unwrap();
        for n in 0..5000 {
            writer.add(format!("key{n}").as_bytes(), format!("value {n}").as_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_was_added_is_found_and_nothing_else() {
        let cdb = Cdb::open(file_of(&made()), "state 1").unwrap().unwrap();
        for n in 0..5000 {
            assert_eq!(cdb.get(format!("key{n}").as_bytes()).unwrap().unwrap(), format!("value {n}").as_bytes());
        }
        assert_eq!(cdb.get(b"key5000").unwrap(), None);
        assert_eq!(cdb.get(b"").unwrap(), None);
    }

    #[test]
    fn another_state_of_the_text_is_not_opened() {
        assert!(Cdb::open(file_of(&made()), "state 2").unwrap().is_none());
        let empty = Writer::new("x").unwrap().finish().unwrap();
        assert_eq!(Cdb::open(file_of(&empty), "x").unwrap().unwrap().get(b"key1").unwrap(), None);
    }

    #[test]
    fn the_layout_is_that_of_the_format() {
        let mut writer = Writer::new("s").unwrap();
        writer.add(b"one", b"Hello").unwrap();
        let bytes = writer.finish().unwrap();
        let at = 2048 + 8 + STAMP.len() + 1;
        assert_eq!(bytes[at..at + 16], *b"\x03\0\0\0\x05\0\0\0oneHello");
        let hash = hash(b"one");
        let by_hand = [111u32, 110, 101].iter().fold(5381u32, |h, byte| (h << 5).wrapping_add(h) ^ byte);
        assert_eq!(hash, by_hand);
        let head = (hash & 255) as usize * 8;
        assert_eq!(bytes[head + 4..head + 8], 2u32.to_le_bytes());
    }

    #[test]
    fn torn_files_are_errors_or_misses_and_end() {
        let whole = made();
        for cut in [0, 7, 2047, 2048, 2060, 9000, whole.len() - 5] {
            if let Ok(Some(cdb)) = Cdb::open(file_of(&whole[..cut]), "state 1") {
                for n in 0..200 {
                    let _ = cdb.get(format!("key{n}").as_bytes());
                }
            }
        }
        let mut wild = whole.clone();
        wild[2048..].iter_mut().for_each(|b| *b = 0xff);
        let cdb = Cdb { file: file_of(&wild) };
        for n in 0..50 {
            assert!(!matches!(cdb.get(format!("key{n}").as_bytes()), Ok(Some(_))));
        }
    }
}
