//! Mailboxes that Dovecot or Courier kept before: UIDVALIDITY, identifiers and keywords are taken over when there is no log of ours.
//!
//! | file | form |
//! |---|---|
//! | `dovecot-uidlist` | `3 V<validity> N<next uid> …`, then `UID [fields] :NAME`; version 1 has `1 <validity> <next uid>` and `UID NAME` |
//! | `dovecot-keywords` | `NUMBER KEYWORD`; number 0 is letter `a` |
//! | `courierimapuiddb` | as Dovecot's version 1 |
//! | `courierimapkeywords/:list` | keywords, an empty line, `NAME:NUMBER NUMBER…` |
//!
//! They are read once and left where they are. Lines that are not understood are skipped: their messages get new identifiers.

use super::FolderError;
use super::name::{self, Place};
use super::record::Record;
use super::state::{Header, State};
use crate::clock::Timestamp;
use crate::fsx;
use crate::mailbox::{Entry, Flags, Keywords, ModSeq, Uid, UidValidity, is_keyword};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Largest list that is read.
const LIMIT: u64 = 1 << 30;

/// The state that another server left in a folder; nothing when none did. All messages are said to lie in `cur` without flags: the next
/// look finds the truth.
pub fn read(
    dir: &Path,
    header: impl FnOnce(UidValidity) -> Header,
    now: Timestamp,
) -> Result<Option<State>, FolderError> {
    let lists = [("dovecot-uidlist", true), ("courierimapuiddb", false)];
    for (file, is_dovecot) in lists {
        let text = match fsx::read(&dir.join(file), LIMIT) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            other => other?,
        };
        let Some(list) = parse_list(&text) else { continue };
        let mut records = Vec::with_capacity(list.uids.len() + 30);
        let mut flags = HashMap::new();
        if is_dovecot {
            let keywords = fsx::read(&dir.join("dovecot-keywords"), LIMIT).unwrap_or_default();
            records.extend(dovecot_keywords(&keywords));
        } else {
            let text = fsx::read(&dir.join("courierimapkeywords").join(":list"), LIMIT).unwrap_or_default();
            let (keywords, bits) = courier_keywords(&text);
            let names = keywords.names().iter().enumerate();
            records.extend(names.map(|(bit, name)| Record::Keyword(bit, name.clone())));
            flags = bits;
        }
        for (uid, base) in list.uids {
            let keywords = flags.get(&base).copied().unwrap_or(0);
            let entry = Entry {
                uid,
                flags: Flags { system: 0, keywords },
                modseq: ModSeq::FIRST,
                internal_date: name::delivery_time(&base).unwrap_or(Entry::UNKNOWN_DATE),
                save_date: State::saved_at(name::arrival_order(&base), now),
                size: name::size(&base, b",W=").unwrap_or(Entry::UNKNOWN_SIZE),
            };
            let file_size = name::size(&base, b",S=").unwrap_or(Entry::UNKNOWN_SIZE);
            records.push(Record::Added { entry, file_size, place: Place::Cur, name: base });
        }
        records.push(Record::Next(list.next));
        records.push(Record::Recent(list.next));
        let mut state = State::empty(header(list.validity));
        let _ = state.apply(&records, true);
        return Ok(Some(state));
    }
    Ok(None)
}

struct List {
    validity: UidValidity,
    next: Uid,
    uids: BTreeMap<Uid, Vec<u8>>,
}

fn parse_list(text: &[u8]) -> Option<List> {
    let mut lines = text.split(|b| *b == b'\n');
    let header = std::str::from_utf8(lines.next()?).ok()?;
    let mut words = header.split(' ');
    let version = words.next()?;
    let words: Vec<&str> = words.collect();
    let field = |letter: char| words.iter().find_map(|word| word.strip_prefix(letter));
    let (validity, next) = match version {
        "1" => (*words.first()?, *words.get(1)?),
        "3" => (field('V')?, field('N')?),
        _ => return None,
    };
    let validity = UidValidity::new(validity.parse().ok()?)?;
    let next = Uid::new(next.parse().ok()?)?;
    let mut uids = BTreeMap::new();
    for line in lines {
        let Some(space) = memchr::memchr(b' ', line) else { continue };
        let uid = std::str::from_utf8(&line[..space]).ok().and_then(|word| word.parse().ok()).and_then(Uid::new);
        let rest = &line[space + 1..];
        let file = match version {
            // Fields, each one letter and a value, then the name behind a colon.
            "3" => {
                match rest.strip_prefix(b":").or_else(|| memchr::memmem::find(rest, b" :").map(|at| &rest[at + 2..])) {
                    Some(file) => file,
                    None => continue,
                }
            }
            _ => rest,
        };
        let (base, _) = name::split(file);
        let Some(uid) = uid.filter(|uid| *uid < next) else { continue };
        if !base.is_empty() && base.len() <= 255 && !base.contains(&b'/') {
            uids.insert(uid, base.to_vec());
        }
    }
    Some(List { validity, next, uids })
}

fn dovecot_keywords(text: &[u8]) -> Vec<Record> {
    let mut records = Vec::new();
    for line in String::from_utf8_lossy(text).lines() {
        let Some((number, keyword)) = line.split_once(' ') else { continue };
        // A hole in the numbers is filled, so that the letters keep their meaning.
        let Ok(number) = number.parse::<usize>() else { continue };
        while records.len() < number.min(26) {
            records.push(Record::Keyword(records.len(), format!("unknown-{}", records.len()).into()));
        }
        if number == records.len() {
            let name = if is_keyword(keyword) { keyword.into() } else { format!("unknown-{number}").into() };
            records.push(Record::Keyword(number, name));
        }
    }
    records
}

/// The keywords, and the bits of each message.
fn courier_keywords(text: &[u8]) -> (Keywords, HashMap<Vec<u8>, u64>) {
    let mut lines = text.split(|b| *b == b'\n');
    let mut keywords = Keywords::default();
    // The bit of each number.
    let mut bits = Vec::new();
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let name = String::from_utf8_lossy(line);
        if keywords.find(&name).is_none() {
            keywords = keywords.with(&name).unwrap_or(keywords);
        }
        bits.push(keywords.find(&name));
    }
    let mut messages = HashMap::new();
    for line in lines {
        let Some(colon) = memchr::memrchr(b':', line) else { continue };
        let numbers = String::from_utf8_lossy(&line[colon + 1..]).into_owned();
        let found = numbers.split(' ').filter_map(|n| n.parse::<usize>().ok()).filter_map(|n| *bits.get(n)?);
        let set = found.fold(0u64, |set, bit| set | 1 << bit);
        messages.insert(name::split(&line[..colon]).0.to_vec(), set);
    }
    (keywords, messages)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(validity: UidValidity) -> Header {
        Header { generation: 1, validity, mailbox_id: 2 }
    }

    #[test]
    fn a_dovecot_folder_keeps_identifiers_and_keywords() {
        let dir = tempfile::tempdir().unwrap();
        let list = "3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1\n25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394\n25017 W2481 :1276533073.M242911P3632.kurkku:2,F\nx\n";
        std::fs::write(dir.path().join("dovecot-uidlist"), list).unwrap();
        std::fs::write(dir.path().join("dovecot-keywords"), "0 $Forwarded\n2 Junk\n").unwrap();
        let state = read(dir.path(), header, Timestamp(0)).unwrap().unwrap();
        assert_eq!(state.snapshot.uid_validity.number(), 1_275_660_208);
        assert_eq!(state.snapshot.uid_next.number(), 25_022);
        let uids: Vec<u32> = state.entries().iter().map(|e| e.uid.number()).collect();
        assert_eq!(uids, [25_006, 25_017]);
        assert_eq!(state.entries()[0].size, 1394);
        assert_eq!(state.base(1), b"1276533073.M242911P3632.kurkku");
        assert_eq!(state.snapshot.keywords.find("Junk"), Some(2));
    }

    #[test]
    fn a_courier_folder_keeps_identifiers_and_keywords() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("courierimapuiddb"), "1 1398164000 9\n3 123.x,S=5\n8 124.y\n").unwrap();
        std::fs::create_dir(dir.path().join("courierimapkeywords")).unwrap();
        let keywords = "Work\n$Junk\n\n124.y:0 1\n123.x,S=5:1\n";
        std::fs::write(dir.path().join("courierimapkeywords/:list"), keywords).unwrap();
        let state = read(dir.path(), header, Timestamp(0)).unwrap().unwrap();
        let seen: Vec<(u32, u64)> = state.entries().iter().map(|e| (e.uid.number(), e.flags.keywords)).collect();
        assert_eq!(seen, [(3, 0b10), (8, 0b11)]);
        assert_eq!(state.snapshot.uid_next.number(), 9);
    }

    #[test]
    fn a_list_that_is_none_is_no_takeover() {
        for text in ["", "2 1 1\n", "3 V0 N1\n", "3 N1\n", "x"] {
            assert!(parse_list(text.as_bytes()).is_none(), "{text}");
        }
    }
}
