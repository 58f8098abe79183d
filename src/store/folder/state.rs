//! What a mailbox's log says, replayed: messages, names of their files, expunges, keywords.
//!
//! Both roads lead through [`State::apply`]: reading the log of another process, and what this process has just appended to it. So a
//! process can't believe anything that a reader of its log would not.

use super::name::{self, Place, Shown};
use super::record::Record;
use crate::clock::Timestamp;
use crate::mailbox::{Entry, Keywords, ModSeq, Snapshot, Uid, UidSet, UidValidity};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Most expunges that are remembered; older ones are forgotten when the log is written anew.
const EXPUNGES: usize = 10_000;

/// What is known of a directory, by its modification time in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// It must be read.
    Unknown,
    /// It was read when it had this time, which was old enough that a later change gives another one.
    Exact(i64),
    /// It was known, then we ourselves changed it, which gave it this time. What another program did at the same moment is found when
    /// it is read again some time later.
    Own(i64),
}

/// What a log's first line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Random; another one each time that the log is written anew.
    pub generation: u64,
    /// The generation of identifiers.
    pub validity: UidValidity,
    /// MAILBOXID (RFC 8474): random, for the life of the mailbox.
    pub mailbox_id: u64,
}

/// What IMAP does not see of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Where its base begins in the packed names.
    pub at: u32,
    /// Octets of its base; file systems allow 255.
    pub length: u8,
    /// Where its file lies.
    pub place: Place,
    /// The flags that its file's name showed when it was last looked at.
    pub shown: Shown,
    /// Octets of its file, or [`Entry::UNKNOWN_SIZE`].
    pub file_size: u64,
}

/// A record that can't follow what came before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contradiction;

/// A mailbox's state.
#[derive(Debug, Clone)]
pub struct State {
    /// From the log's first line.
    pub header: Header,
    /// What sessions share.
    pub snapshot: Arc<Snapshot>,
    /// One for each entry of the snapshot.
    pub rows: Vec<Row>,
    /// The bases, one behind another; some of them dead.
    pub names: Vec<u8>,
    /// What stands behind the base, where that isn't what [`name::print`] makes of [`Row::shown`] (in `new`: nothing).
    pub odd: BTreeMap<Uid, Box<[u8]>>,
    /// Expunges, oldest first.
    pub expunged: Vec<(ModSeq, UidSet)>,
    /// Expunges at or before this one are forgotten.
    pub floor: ModSeq,
    /// What is known of `new` and `cur`.
    pub stamps: [Stamp; 2],
}

impl State {
    /// A mailbox without messages.
    pub fn empty(header: Header) -> State {
        let snapshot = Snapshot {
            uid_validity: header.validity,
            uid_next: Uid::FIRST,
            highest_modseq: ModSeq::FIRST,
            recent_from: Uid::FIRST,
            keywords: Keywords::default(),
            entries: Arc::from([]),
        };
        State {
            header,
            snapshot: Arc::new(snapshot),
            rows: Vec::new(),
            names: Vec::new(),
            odd: BTreeMap::new(),
            expunged: Vec::new(),
            floor: ModSeq::ZERO,
            stamps: [Stamp::Unknown; 2],
        }
    }

    /// Replays records. At a contradiction it stops, with all before it applied; `tolerant`, it skips what contradicts.
    pub fn apply(&mut self, records: &[Record], tolerant: bool) -> Result<(), Contradiction> {
        let mut next = (*self.snapshot).clone();
        // Copied only by what changes messages: many batches don't.
        let mut entries = Entries { shared: next.entries.clone(), own: None, more: records.len() };
        let (mut result, mut is_seen) = (Ok(()), false);
        for record in records {
            // These change nothing that a session sees.
            is_seen |= !matches!(record, Record::Stamps(_) | Record::Named { .. } | Record::Written(_));
            if self.one(record, &mut next, &mut entries).is_err() && !tolerant {
                result = Err(Contradiction);
                break;
            }
        }
        next.entries = entries.finish();
        if is_seen {
            self.snapshot = Arc::new(next);
        }
        result
    }

    fn one(&mut self, record: &Record, next: &mut Snapshot, entries: &mut Entries) -> Result<(), Contradiction> {
        match record {
            Record::Added { entry, file_size, place, name } => {
                let (base, info) = name::split(name);
                let is_later = entries.get().last().is_none_or(|last| last.uid < entry.uid);
                let (Ok(length), Ok(at)) = (u8::try_from(base.len()), u32::try_from(self.names.len())) else {
                    return Err(Contradiction);
                };
                if !is_later || base.is_empty() {
                    return Err(Contradiction);
                }
                self.names.extend_from_slice(base);
                let shown = name::shown(info, next.keywords.names().len());
                self.rows.push(Row { at, length, place: *place, shown, file_size: *file_size });
                self.set_odd(entry.uid, *place, shown, info);
                next.highest_modseq = next.highest_modseq.max(entry.modseq);
                next.uid_next = next.uid_next.max(entry.uid.next().unwrap_or(Uid::LAST));
                entries.list().push(*entry);
            }
            Record::Flagged { modseq, add, remove, uids } => {
                let entries = entries.slots();
                for (from, to) in uids.ranges() {
                    for index in range(entries, *from, *to) {
                        entries[index].flags = entries[index].flags.minus(*remove).union(*add);
                        entries[index].modseq = *modseq;
                    }
                }
                next.highest_modseq = next.highest_modseq.max(*modseq);
            }
            Record::Named { uid, place, info } => {
                // A message that was expunged meanwhile needs no name.
                if let Ok(index) = entries.get().binary_search_by_key(uid, |e| e.uid) {
                    let shown = name::shown(info, next.keywords.names().len());
                    self.rows[index].place = *place;
                    self.rows[index].shown = shown;
                    self.set_odd(*uid, *place, shown, info);
                }
            }
            Record::Written(uids) => {
                let entries = entries.get();
                for (from, to) in uids.ranges() {
                    for index in range(entries, *from, *to) {
                        self.rows[index].place = Place::Cur;
                        self.rows[index].shown = Shown::of(entries[index].flags);
                        self.odd.remove(&entries[index].uid);
                    }
                }
            }
            Record::Expunged { modseq, uids } => {
                // Of an old log that was written anew, only the memory of expunges is left.
                if !uids.ranges().iter().all(|(from, to)| range(entries.get(), *from, *to).is_empty()) {
                    self.drop_messages(uids, entries.list());
                }
                next.highest_modseq = next.highest_modseq.max(*modseq);
                match self.expunged.last_mut() {
                    Some((last, set)) if last == modseq => {
                        *set = UidSet::from_ranges([set.ranges(), uids.ranges()].concat());
                    }
                    _ => self.expunged.push((*modseq, uids.clone())),
                }
            }
            Record::Keyword(bit, name) => {
                if next.keywords.find(name) != Some(*bit) {
                    if *bit != next.keywords.names().len() {
                        return Err(Contradiction);
                    }
                    next.keywords = next.keywords.with(name).ok_or(Contradiction)?;
                }
            }
            Record::Measured { uid, size, file_size, internal_date } => {
                if let Ok(index) = entries.get().binary_search_by_key(uid, |e| e.uid) {
                    let entries = entries.slots();
                    entries[index].size = *size;
                    entries[index].internal_date = *internal_date;
                    self.rows[index].file_size = *file_size;
                }
            }
            Record::Recent(uid) => next.recent_from = next.recent_from.max(*uid),
            Record::Next(uid) => next.uid_next = next.uid_next.max(*uid),
            Record::Highest(modseq) => next.highest_modseq = next.highest_modseq.max(*modseq),
            Record::Floor(modseq) => self.floor = self.floor.max(*modseq),
            Record::Stamps(stamps) => self.stamps = *stamps,
        }
        Ok(())
    }

    fn drop_messages(&mut self, uids: &UidSet, entries: &mut Vec<Entry>) {
        let mut index = 0;
        self.rows.retain(|_| {
            index += 1;
            !uids.contains(entries[index - 1].uid.number())
        });
        entries.retain(|e| !uids.contains(e.uid.number()));
        self.odd.retain(|uid, _| !uids.contains(uid.number()));
        let live: usize = self.rows.iter().map(|row| usize::from(row.length)).sum();
        if self.names.len() > 2 * live + 4096 {
            let mut names = Vec::with_capacity(live);
            for row in &mut self.rows {
                let from = row.at as usize;
                row.at = names.len() as u32;
                names.extend_from_slice(&self.names[from..from + usize::from(row.length)]);
            }
            self.names = names;
        }
    }

    fn set_odd(&mut self, uid: Uid, place: Place, shown: Shown, info: &[u8]) {
        let is_usual = if place == Place::Cur { name::shows(info, shown) } else { info.is_empty() };
        if !is_usual {
            self.odd.insert(uid, info.into());
        } else if !self.odd.is_empty() {
            self.odd.remove(&uid);
        }
    }

    /// The messages.
    pub fn entries(&self) -> &[Entry] {
        &self.snapshot.entries
    }

    /// Where a message stands in both lists.
    pub fn index(&self, uid: Uid) -> Option<usize> {
        self.entries().binary_search_by_key(&uid, |e| e.uid).ok()
    }

    /// The places in both lists of those of these messages that exist, ascending.
    pub fn indexes<'a>(&'a self, uids: &'a UidSet) -> impl Iterator<Item = usize> + 'a {
        uids.ranges().iter().flat_map(|(from, to)| range(self.entries(), *from, *to))
    }

    /// The part of a file's name that never changes.
    pub fn base(&self, index: usize) -> &[u8] {
        let row = &self.rows[index];
        &self.names[row.at as usize..row.at as usize + usize::from(row.length)]
    }

    /// What stands behind the base.
    pub fn info(&self, index: usize) -> Vec<u8> {
        let row = &self.rows[index];
        if !self.odd.is_empty()
            && let Some(odd) = self.odd.get(&self.entries()[index].uid)
        {
            return odd.to_vec();
        }
        let mut info = Vec::with_capacity(16);
        if row.place == Place::Cur {
            name::print(row.shown, &mut info);
        }
        info
    }

    /// A file's whole name.
    pub fn name(&self, index: usize) -> Vec<u8> {
        let mut name = self.base(index).to_vec();
        name.extend(self.info(index));
        name
    }

    /// True when a file must be renamed: its name does not show the flags, or it lies in `new` though a session has seen it.
    pub fn is_pending(&self, index: usize) -> bool {
        let (entry, row) = (&self.entries()[index], &self.rows[index]);
        let is_taken = row.place == Place::New && entry.uid < self.snapshot.recent_from;
        is_taken || Shown::of(entry.flags) != row.shown
    }

    /// Messages and their octets, as files; unmeasured files count as nothing.
    pub fn usage(&self) -> (u64, u64) {
        let octets = self.rows.iter().map(|row| row.file_size).filter(|size| *size != Entry::UNKNOWN_SIZE).sum();
        (self.rows.len() as u64, octets)
    }

    /// Everything but the messages, as records.
    pub fn frame(&self) -> Vec<Record> {
        let snapshot = &self.snapshot;
        let mut records = Vec::new();
        for (bit, name) in snapshot.keywords.names().iter().enumerate() {
            records.push(Record::Keyword(bit, name.clone()));
        }
        records.push(Record::Next(snapshot.uid_next));
        records.push(Record::Recent(snapshot.recent_from));
        records.push(Record::Highest(snapshot.highest_modseq));
        let forgotten = self.expunged.len().saturating_sub(EXPUNGES);
        let floor = match forgotten {
            0 => self.floor,
            _ => self.floor.max(self.expunged[forgotten - 1].0),
        };
        records.push(Record::Floor(floor));
        let remembered = self.expunged[forgotten..].iter();
        records.extend(remembered.map(|(modseq, uids)| Record::Expunged { modseq: *modseq, uids: uids.clone() }));
        records
    }

    /// The message at this place, as the record that makes it.
    pub fn added(&self, index: usize) -> Record {
        let Row { place, file_size, .. } = self.rows[index];
        Record::Added { entry: self.entries()[index], file_size, place, name: self.name(index) }
    }

    /// Messages expunged after this change; `None` when some of them are forgotten.
    pub fn expunged_since(&self, since: ModSeq) -> Option<UidSet> {
        if since < self.floor {
            return None;
        }
        let from = self.expunged.partition_point(|(modseq, _)| *modseq <= since);
        let ranges = self.expunged[from..].iter().flat_map(|(_, uids)| uids.ranges().iter().copied());
        Some(UidSet::from_ranges(ranges.collect()))
    }

    /// Records that make the keywords known which aren't yet, and the bits of all of them. Those for which there is no room get no bit.
    pub fn learn_keywords<'a>(&self, names: impl IntoIterator<Item = &'a str>, records: &mut Vec<Record>) -> u64 {
        let mut keywords = self.snapshot.keywords.clone();
        // Other records of the same batch may have brought some already.
        for record in records.iter() {
            if let Record::Keyword(_, name) = record {
                keywords = keywords.with(name).unwrap_or(keywords);
            }
        }
        let mut bits = 0;
        for name in names {
            let found = keywords.find(name).or_else(|| {
                let bit = keywords.names().len();
                keywords = keywords.with(name)?;
                records.push(Record::Keyword(bit, name.into()));
                Some(bit)
            });
            bits |= found.map_or(0, |bit| 1 << bit);
        }
        bits
    }

    /// When a message that another program stored came here, as far as its name tells ([`name::arrival_order`]).
    pub fn saved_at((seconds, micros): (u64, u64), now: Timestamp) -> Timestamp {
        match i64::try_from(seconds) {
            Ok(seconds) if seconds > 0 && seconds <= now.seconds() => {
                Timestamp(seconds * 1_000_000 + micros.min(999_999) as i64)
            }
            _ => now,
        }
    }
}

/// The messages while records are applied: those of the last snapshot until one of them changes, copied at most once.
struct Entries {
    shared: Arc<[Entry]>,
    /// Instead of them, once their number has changed.
    own: Option<Vec<Entry>>,
    /// So many messages may come.
    more: usize,
}

impl Entries {
    fn get(&self) -> &[Entry] {
        self.own.as_deref().unwrap_or(&self.shared)
    }

    /// To change some of them.
    fn slots(&mut self) -> &mut [Entry] {
        match &mut self.own {
            Some(own) => own,
            None => Arc::make_mut(&mut self.shared),
        }
    }

    /// To add or remove some.
    fn list(&mut self) -> &mut Vec<Entry> {
        let Entries { shared, own, more } = self;
        own.get_or_insert_with(|| {
            let mut list = Vec::with_capacity(shared.len() + *more);
            list.extend_from_slice(shared);
            list
        })
    }

    fn finish(self) -> Arc<[Entry]> {
        self.own.map_or(self.shared, Arc::from)
    }
}

/// The places of the messages from one identifier to another.
fn range(entries: &[Entry], from: u32, to: u32) -> std::ops::Range<usize> {
    let first = entries.partition_point(|e| e.uid.number() < from);
    let rest = entries[first..].partition_point(|e| e.uid.number() <= to);
    first..first + rest
}
