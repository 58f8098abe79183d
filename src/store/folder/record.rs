//! One line of a mailbox's log: something that happened to it.
//!
//! Called by `log` (reads and writes batches of them), `state` (which they make) and `checkpoint` (which keeps its small parts so).
//! A line is a letter and words; a word never holds a space. Flags are `LETTERS.HEX`: system flags as in file names, then the keyword
//! bits. Sets are IMAP sets (`1:4,7`), cut into lines of at most [`RANGES`] ranges. `-` is what is not known.

use super::name::{self, Place};
use super::state::Stamp;
use crate::clock::Timestamp;
use crate::mailbox::{Entry, Flags, ModSeq, SeqSet, System, Uid, UidSet};
use std::io::Write;

/// Most ranges of one line.
const RANGES: usize = 1000;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// `A`: a message came. Its name is the whole one, as it stands in the folder.
    Added {
        /// As IMAP sees it.
        entry: Entry,
        /// Octets of the file; [`Entry::UNKNOWN_SIZE`] when nobody has looked.
        file_size: u64,
        /// Where it lies.
        place: Place,
        /// Base and letters.
        name: Vec<u8>,
    },
    /// `F`: flags were set and cleared.
    Flagged {
        /// The change's place in the mailbox's history.
        modseq: ModSeq,
        /// Set.
        add: Flags,
        /// Cleared.
        remove: Flags,
        /// On these messages.
        uids: UidSet,
    },
    /// `N`: a file was found under a new name.
    Named {
        /// Whose file.
        uid: Uid,
        /// Where it lies now.
        place: Place,
        /// What stands behind the base.
        info: Vec<u8>,
    },
    /// `W`: the files of these messages lie in `cur`, and their names show their flags.
    Written(UidSet),
    /// `X`: these messages are gone.
    Expunged {
        /// The change's place in the mailbox's history.
        modseq: ModSeq,
        /// Their identifiers.
        uids: UidSet,
    },
    /// `K`: a keyword got this bit.
    Keyword(usize, Box<str>),
    /// `Z`: a message was measured.
    Measured {
        /// Which.
        uid: Uid,
        /// As [`Entry::size`].
        size: u64,
        /// Octets of the file.
        file_size: u64,
        /// As [`Entry::internal_date`].
        internal_date: Timestamp,
    },
    /// `R`: a session has been told of all messages before this one.
    Recent(Uid),
    /// `U`: identifiers below this one are used up.
    Next(Uid),
    /// `H`: modification sequences up to this one are used up.
    Highest(ModSeq),
    /// `L`: expunges at or before this one are forgotten.
    Floor(ModSeq),
    /// `D`: `new` and `cur` as they were when all of the above was known.
    Stamps([Stamp; 2]),
}

impl Record {
    /// Appends the line, or lines.
    pub fn print(&self, out: &mut Vec<u8>) {
        // Writing to a Vec never fails.
        let _ = self.write(out);
    }

    fn write(&self, out: &mut Vec<u8>) -> std::io::Result<()> {
        match self {
            Record::Added { entry, file_size, place, name } => {
                out.extend_from_slice(b"A ");
                decimal(entry.uid.number(), out);
                decimal(entry.modseq.number(), out);
                known(entry.internal_date.0, i64::MIN, out);
                decimal(entry.save_date.0, out);
                known(entry.size, Entry::UNKNOWN_SIZE, out);
                known(*file_size, Entry::UNKNOWN_SIZE, out);
                flags(entry.flags, out)?;
                out.extend_from_slice(if *place == Place::New { b" n " } else { b" c " });
                name::escape(name, out);
                out.push(b'\n');
            }
            Record::Flagged { modseq, add, remove, uids } => {
                for uids in lines(uids) {
                    write!(out, "F {modseq} ")?;
                    flags(*add, out)?;
                    out.push(b' ');
                    flags(*remove, out)?;
                    writeln!(out, " {uids}")?;
                }
            }
            Record::Named { uid, place, info } => {
                write!(out, "N {uid} {} ", if *place == Place::New { 'n' } else { 'c' })?;
                name::escape(info, out);
                out.push(b'\n');
            }
            Record::Written(uids) => {
                for uids in lines(uids) {
                    writeln!(out, "W {uids}")?;
                }
            }
            Record::Expunged { modseq, uids } => {
                for uids in lines(uids) {
                    writeln!(out, "X {modseq} {uids}")?;
                }
            }
            Record::Keyword(bit, name) => writeln!(out, "K {bit} {name}")?,
            Record::Measured { uid, size, file_size, internal_date } => {
                write!(out, "Z {uid} ")?;
                known(*size, Entry::UNKNOWN_SIZE, out);
                known(*file_size, Entry::UNKNOWN_SIZE, out);
                known(internal_date.0, i64::MIN, out);
                out.pop();
                out.push(b'\n');
            }
            Record::Recent(uid) => writeln!(out, "R {uid}")?,
            Record::Next(uid) => writeln!(out, "U {uid}")?,
            Record::Highest(modseq) => writeln!(out, "H {modseq}")?,
            Record::Floor(modseq) => writeln!(out, "L {modseq}")?,
            Record::Stamps([new, cur]) => {
                out.push(b'D');
                for stamp in [new, cur] {
                    match stamp {
                        Stamp::Unknown => out.extend_from_slice(b" -"),
                        Stamp::Exact(ns) => write!(out, " e{ns}")?,
                        Stamp::Own(ns) => write!(out, " o{ns}")?,
                    }
                }
                out.push(b'\n');
            }
        }
        Ok(())
    }

    /// Reads a line without its end; `None` when it is damaged.
    pub fn parse(line: &[u8]) -> Option<Record> {
        let mut words = line.split(|b| *b == b' ');
        let kind = words.next()?;
        let mut word = || words.next();
        let record = match kind {
            b"A" => {
                let (uid, modseq) = (uid(word()?)?, modseq(word()?)?);
                let internal_date = Timestamp(unknown(word()?, i64::MIN)?);
                let save_date = Timestamp(number(word()?)?);
                let size = unknown(word()?, Entry::UNKNOWN_SIZE)?;
                let file_size = unknown(word()?, Entry::UNKNOWN_SIZE)?;
                let flags = parse_flags(word()?)?;
                let place = place(word()?)?;
                let entry = Entry { uid, flags, modseq, internal_date, save_date, size };
                Record::Added { entry, file_size, place, name: name::unescape(word()?)? }
            }
            b"F" => {
                let modseq = modseq(word()?)?;
                let (add, remove) = (parse_flags(word()?)?, parse_flags(word()?)?);
                Record::Flagged { modseq, add, remove, uids: set(word()?)? }
            }
            b"N" => Record::Named { uid: uid(word()?)?, place: place(word()?)?, info: name::unescape(word()?)? },
            b"W" => Record::Written(set(word()?)?),
            b"X" => Record::Expunged { modseq: modseq(word()?)?, uids: set(word()?)? },
            b"K" => Record::Keyword(number(word()?)?, std::str::from_utf8(word()?).ok()?.into()),
            b"Z" => Record::Measured {
                uid: uid(word()?)?,
                size: unknown(word()?, Entry::UNKNOWN_SIZE)?,
                file_size: unknown(word()?, Entry::UNKNOWN_SIZE)?,
                internal_date: Timestamp(unknown(word()?, i64::MIN)?),
            },
            b"R" => Record::Recent(uid(word()?)?),
            b"U" => Record::Next(uid(word()?)?),
            b"H" => Record::Highest(modseq(word()?)?),
            b"L" => Record::Floor(modseq(word()?)?),
            b"D" => Record::Stamps([stamp(word()?)?, stamp(word()?)?]),
            _ => return None,
        };
        words.next().is_none().then_some(record)
    }
}

/// A number and a space, or `-` and a space.
fn known<T: PartialEq + Into<i128>>(value: T, unknown: T, out: &mut Vec<u8>) {
    match value == unknown {
        true => out.extend_from_slice(b"- "),
        false => decimal(value, out),
    }
}

/// A number and a space. A large mailbox has half a million of them, and the library's printing is made for more than that.
fn decimal(value: impl Into<i128>, out: &mut Vec<u8>) {
    let value: i128 = value.into();
    if value < 0 {
        out.push(b'-');
    }
    let mut digits = [b' '; 40];
    let (mut at, mut rest) = (digits.len() - 1, value.unsigned_abs() as u64);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

fn flags(flags: Flags, out: &mut Vec<u8>) -> std::io::Result<()> {
    for flag in System::ALL.into_iter().filter(|flag| flags.has(*flag)) {
        out.push(flag.letter() as u8);
    }
    match flags.keywords {
        0 => out.extend_from_slice(b".0"),
        keywords => write!(out, ".{keywords:x}")?,
    }
    Ok(())
}

fn parse_flags(word: &[u8]) -> Option<Flags> {
    let dot = memchr::memchr(b'.', word)?;
    let mut flags = Flags { system: 0, keywords: u64::from_str_radix(text(&word[dot + 1..])?, 16).ok()? };
    for letter in &word[..dot] {
        flags = flags.with(System::from_letter(char::from(*letter))?);
    }
    Some(flags)
}

/// A set in pieces of at most [`RANGES`] ranges.
fn lines(uids: &UidSet) -> impl Iterator<Item = UidSet> + '_ {
    uids.ranges().chunks(RANGES).map(|ranges| UidSet::from_ranges(ranges.to_vec()))
}

fn set(word: &[u8]) -> Option<UidSet> {
    let set = SeqSet::parse(word).ok()?;
    let is_ordered = set.ranges().iter().all(|(from, to)| from <= to);
    is_ordered.then(|| UidSet::from_ranges(set.ranges().to_vec()))
}

fn text(word: &[u8]) -> Option<&str> {
    std::str::from_utf8(word).ok()
}

fn number<T: std::str::FromStr>(word: &[u8]) -> Option<T> {
    text(word)?.parse().ok()
}

fn unknown<T: std::str::FromStr>(word: &[u8], unknown: T) -> Option<T> {
    if word == b"-" { Some(unknown) } else { number(word) }
}

fn uid(word: &[u8]) -> Option<Uid> {
    Uid::new(number(word)?)
}

fn modseq(word: &[u8]) -> Option<ModSeq> {
    ModSeq::new(number(word)?)
}

fn place(word: &[u8]) -> Option<Place> {
    match word {
        b"n" => Some(Place::New),
        b"c" => Some(Place::Cur),
        _ => None,
    }
}

fn stamp(word: &[u8]) -> Option<Stamp> {
    match word.split_first()? {
        (b'-', []) => Some(Stamp::Unknown),
        (b'e', rest) => Some(Stamp::Exact(number(rest)?)),
        (b'o', rest) => Some(Stamp::Own(number(rest)?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_flags() -> impl Strategy<Value = Flags> {
        (0u8..32, any::<u64>()).prop_map(|(system, keywords)| Flags { system, keywords })
    }

    fn any_set() -> impl Strategy<Value = UidSet> {
        prop::collection::btree_set(1u32.., 1..20).prop_map(|uids| uids.into_iter().collect())
    }

    fn any_uid() -> impl Strategy<Value = Uid> {
        (1u32..).prop_map(|n| Uid::new(n).unwrap())
    }

    fn any_modseq() -> impl Strategy<Value = ModSeq> {
        (0u64..1 << 63).prop_map(|n| ModSeq::new(n).unwrap())
    }

    fn any_name() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((1u8..).prop_filter("no slash", |b| *b != b'/'), 0..255)
    }

    fn any_place() -> impl Strategy<Value = Place> {
        any::<bool>().prop_map(|new| if new { Place::New } else { Place::Cur })
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let entry = (any_uid(), any_flags(), any_modseq(), any::<i64>(), any::<i64>(), any::<u64>()).prop_map(
            |(uid, flags, modseq, internal, saved, size)| Entry {
                uid,
                flags,
                modseq,
                internal_date: Timestamp(internal),
                save_date: Timestamp(saved),
                size,
            },
        );
        let stamp = (0u8..3, any::<i64>()).prop_map(|(kind, ns)| match kind {
            0 => Stamp::Unknown,
            1 => Stamp::Exact(ns),
            _ => Stamp::Own(ns),
        });
        prop_oneof![
            (entry, any::<u64>(), any_place(), any_name()).prop_map(|(entry, file_size, place, name)| Record::Added {
                entry,
                file_size,
                place,
                name
            }),
            (any_modseq(), any_flags(), any_flags(), any_set())
                .prop_map(|(modseq, add, remove, uids)| Record::Flagged { modseq, add, remove, uids }),
            (any_uid(), any_place(), any_name()).prop_map(|(uid, place, info)| Record::Named { uid, place, info }),
            any_set().prop_map(Record::Written),
            (any_modseq(), any_set()).prop_map(|(modseq, uids)| Record::Expunged { modseq, uids }),
            (any_uid(), any::<u64>(), any::<u64>(), any::<i64>()).prop_map(|(uid, size, file_size, date)| {
                Record::Measured { uid, size, file_size, internal_date: Timestamp(date) }
            }),
            (0usize..64, "[!-z]{1,20}").prop_map(|(bit, name)| Record::Keyword(bit, name.into())),
            any_uid().prop_map(Record::Recent),
            any_uid().prop_map(Record::Next),
            any_modseq().prop_map(Record::Highest),
            any_modseq().prop_map(Record::Floor),
            [stamp.clone(), stamp].prop_map(Record::Stamps),
        ]
    }

    proptest! {
        #[test]
        fn a_record_that_was_printed_is_read_back(record in any_record()) {
            let mut out = Vec::new();
            record.print(&mut out);
            prop_assert_eq!(out.pop(), Some(b'\n'));
            prop_assert!(!out.contains(&b'\n') && out[0] != b'=');
            prop_assert_eq!(Record::parse(&out), Some(record));
        }

        #[test]
        fn damaged_lines_are_refused_or_read_but_never_more(line in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Record::parse(&line);
        }
    }

    #[test]
    fn a_large_set_is_several_lines() {
        let uids: UidSet = (0..3000).map(|n| n * 2 + 1).collect();
        let mut out = Vec::new();
        Record::Written(uids.clone()).print(&mut out);
        let lines: Vec<_> = out.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
        assert_eq!(lines.len(), 3);
        let all = lines.iter().flat_map(|l| match Record::parse(l) {
            Some(Record::Written(set)) => set.iter().collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        });
        assert_eq!(all.collect::<UidSet>(), uids);
    }
}
