//! A mailbox's values as IMAP sees them: numbers, flags, sets, and immutable snapshots with what changed between two of them.
//!
//! Shared by `proto::imap` (which speaks of them), `store` (which keeps them) and `serve` (which carries them between the two).
//! A [`Snapshot`] never changes; whoever changes a mailbox makes the next one. A session holds a [`View`]: the snapshot it has told its
//! client about. What the client must be told next is the difference ([`View::advance`]), so sequence numbers are exact by
//! construction, however many sessions and programs write to the mailbox.
//! RFC 9051 §2.3.1, RFC 7162 (modification sequences).

mod acl;
mod flags;
mod quota;
mod sequence;
mod snapshot;
mod thread;
mod view;

pub use acl::{ACL_LIMIT, Acl, AclChange, Identifier, Rights, Subject};
pub use flags::{Flags, KEYWORDS_LIMIT, Keywords, System, is_keyword};
pub use quota::Quota;
pub use sequence::{SeqSet, SetError, UidSet};
pub use snapshot::{Entry, Snapshot};
pub use thread::{Threadable, Threads};
pub use view::{Change, View};

use std::fmt;
use std::num::NonZeroU32;

/// A message's unique identifier (RFC 9051 §2.3.1.1): grows strictly within a mailbox, never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uid(NonZeroU32);

impl Uid {
    /// The first one.
    pub const FIRST: Uid = Uid(NonZeroU32::MIN);
    /// The last one a mailbox can give.
    pub const LAST: Uid = Uid(NonZeroU32::MAX);

    /// A number as an identifier; `None` for 0.
    pub fn new(number: u32) -> Option<Uid> {
        NonZeroU32::new(number).map(Uid)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0.get()
    }

    /// The one behind; `None` behind the last.
    pub fn next(self) -> Option<Uid> {
        self.0.checked_add(1).map(Uid)
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Tells two generations of a mailbox's identifiers apart (RFC 9051 §2.3.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UidValidity(NonZeroU32);

impl UidValidity {
    /// The smallest one.
    pub const MIN: UidValidity = UidValidity(NonZeroU32::MIN);

    /// A number as a validity; `None` for 0.
    pub fn new(number: u32) -> Option<UidValidity> {
        NonZeroU32::new(number).map(UidValidity)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for UidValidity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A modification sequence (RFC 7162 §3.1.1): each change of a mailbox takes the next one. At most 2⁶³ − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ModSeq(u64);

impl ModSeq {
    /// Before any change.
    pub const ZERO: ModSeq = ModSeq(0);
    /// The first one that a mailbox has.
    pub const FIRST: ModSeq = ModSeq(1);

    /// A number as a modification sequence; `None` above 2⁶³ − 1.
    pub fn new(number: u64) -> Option<ModSeq> {
        (number <= i64::MAX as u64).then_some(ModSeq(number))
    }

    /// The number.
    pub fn number(self) -> u64 {
        self.0
    }

    /// The one behind; the last one stays.
    pub fn next(self) -> ModSeq {
        ModSeq(self.0.saturating_add(1).min(i64::MAX as u64))
    }
}

impl fmt::Display for ModSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests;
