//! One state of a mailbox.

use super::{Flags, Keywords, ModSeq, SeqSet, Uid, UidSet, UidValidity};
use crate::clock::Timestamp;
use std::sync::Arc;

/// One message, without its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Its identifier.
    pub uid: Uid,
    /// Its flags.
    pub flags: Flags,
    /// When it was last changed (RFC 7162).
    pub modseq: ModSeq,
    /// INTERNALDATE, or [`Entry::UNKNOWN_DATE`].
    pub internal_date: Timestamp,
    /// SAVEDATE: when it came into this mailbox (RFC 8514).
    pub save_date: Timestamp,
    /// RFC822.SIZE: octets with CRLF line ends, or [`Entry::UNKNOWN_SIZE`].
    pub size: u64,
}

impl Entry {
    /// The size of a message that another program stored, and that nobody has measured yet.
    pub const UNKNOWN_SIZE: u64 = u64::MAX;
    /// The date of a message whose file nobody has looked at yet.
    pub const UNKNOWN_DATE: Timestamp = Timestamp(i64::MIN);
}

/// All messages of a mailbox at one moment; never changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The generation of its identifiers.
    pub uid_validity: UidValidity,
    /// The identifier that the next message will have at least.
    pub uid_next: Uid,
    /// The largest modification sequence so far, expunges included.
    pub highest_modseq: ModSeq,
    /// Messages from here on were seen by no session before (`\Recent` of RFC 3501 §2.3.2).
    pub recent_from: Uid,
    /// What the bits of [`Flags::keywords`] mean.
    pub keywords: Keywords,
    /// The messages, by ascending identifier.
    pub entries: Arc<[Entry]>,
}

impl Snapshot {
    /// Number of messages (EXISTS).
    pub fn len(&self) -> u32 {
        // A mailbox has fewer messages than identifiers.
        self.entries.len() as u32
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The message with this sequence number, from 1.
    pub fn at(&self, number: u32) -> Option<&Entry> {
        self.entries.get((number as usize).checked_sub(1)?)
    }

    /// The message with this identifier.
    pub fn find(&self, uid: Uid) -> Option<&Entry> {
        self.index(uid).map(|index| &self.entries[index])
    }

    /// The sequence number of a message.
    pub fn number(&self, uid: Uid) -> Option<u32> {
        self.index(uid).map(|index| index as u32 + 1)
    }

    fn index(&self, uid: Uid) -> Option<usize> {
        self.entries.binary_search_by_key(&uid, |entry| entry.uid).ok()
    }

    /// The largest identifier in use.
    pub fn last_uid(&self) -> Option<Uid> {
        self.entries.last().map(|entry| entry.uid)
    }

    /// Messages that are not `\Seen`.
    pub fn unseen(&self) -> u32 {
        self.entries.iter().filter(|e| !e.flags.has(super::System::Seen)).count() as u32
    }

    /// The sequence numbers that a client's set means; `None` when it names one that does not exist (RFC 9051 §6.4.9: BAD).
    pub fn by_number(&self, set: &SeqSet) -> Option<UidSet> {
        let ranges = set.resolve(self.len());
        let is_inside = ranges.last().is_none_or(|(_, to)| *to <= self.len());
        let is_whole = is_inside && (!self.is_empty() || set.ranges().is_empty());
        is_whole.then(|| UidSet::from_ranges(ranges))
    }

    /// The sequence numbers of the messages whose identifiers a client's set means; those that don't exist are left out.
    pub fn by_uid(&self, set: &SeqSet) -> UidSet {
        let largest = self.last_uid().map_or(0, Uid::number);
        let mut numbers = Vec::new();
        for (from, to) in set.resolve(largest) {
            let first = self.entries.partition_point(|e| e.uid.number() < from) as u32 + 1;
            let last = self.entries.partition_point(|e| e.uid.number() <= to) as u32;
            if first <= last {
                numbers.push((first, last));
            }
        }
        UidSet::from_ranges(numbers)
    }
}
