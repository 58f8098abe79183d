//! Changing flags.

use super::record::Record;
use super::{Folder, FolderError};
use crate::mailbox::{Flags, ModSeq, Snapshot, UidSet};
use std::sync::Arc;

/// What to do with the flags of a [`FlagChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Set them.
    Add,
    /// Clear them.
    Remove,
    /// Set them, and clear all others.
    Replace,
    /// Set them, and clear all others that are in this mask, in which keywords are all or none: what is outside is not touched.
    ReplaceWithin(Flags),
}

/// A change of flags (STORE, RFC 9051 §6.4.6).
#[derive(Debug, Clone, Copy)]
pub struct FlagChange<'a> {
    /// What to do.
    pub how: How,
    /// System flags: bits of [`crate::mailbox::System`].
    pub system: u8,
    /// Keywords.
    pub keywords: &'a [&'a str],
}

/// What became of it.
#[derive(Debug, Clone)]
pub struct FlagOutcome {
    /// The mailbox behind the change.
    pub snapshot: Arc<Snapshot>,
    /// Messages that have other flags now.
    pub changed: UidSet,
    /// Messages that were changed since (RFC 7162 §3.1.3: MODIFIED), and kept as they are.
    pub modified: UidSet,
    /// True when the mailbox has no room for one of the keywords.
    pub is_out_of_keywords: bool,
}

impl Folder {
    /// Something about the mailbox that is no message has changed: its modification sequence grows (RFC 7162 §3.2).
    pub(in crate::store) fn touch(&self) -> Result<(), FolderError> {
        let mut writer = self.write()?;
        // A change of no flags, of a message that is not there yet.
        let uids = [writer.state().snapshot.uid_next].into_iter().collect();
        let modseq = writer.next_modseq();
        writer.commit(&[Record::Flagged { modseq, add: Flags::NONE, remove: Flags::NONE, uids }], true)
    }

    /// Changes the flags of these messages; those that don't exist are left out. Durable when this returns.
    ///
    /// With `unchanged_since`, messages with a larger modification sequence are left alone.
    pub fn store(
        &self,
        uids: &UidSet,
        change: FlagChange<'_>,
        unchanged_since: Option<ModSeq>,
    ) -> Result<FlagOutcome, FolderError> {
        let mut writer = self.write()?;
        let state = writer.state();
        let mut records = Vec::new();
        let mut is_out_of_keywords = false;
        let keywords = match change.how {
            // A keyword that no message has need not be learnt to be cleared.
            How::Remove => {
                let known = &state.snapshot.keywords;
                change.keywords.iter().filter_map(|name| known.find(name)).fold(0, |bits, bit| bits | 1 << bit)
            }
            How::Add | How::Replace | How::ReplaceWithin(_) => {
                let bits = state.learn_keywords(change.keywords.iter().copied(), &mut records);
                let mut wanted: Vec<String> = change.keywords.iter().map(|k| k.to_ascii_lowercase()).collect();
                wanted.sort_unstable();
                wanted.dedup();
                is_out_of_keywords = (bits.count_ones() as usize) < wanted.len();
                bits
            }
        };
        let flags = Flags { system: change.system & Flags::ALL.system, keywords };
        let (add, remove) = match change.how {
            How::Add => (flags, Flags::NONE),
            How::Remove => (Flags::NONE, flags),
            How::Replace => (flags, Flags::ALL.minus(flags)),
            How::ReplaceWithin(mask) => (flags.within(mask), mask.minus(flags)),
        };
        let (mut changed, mut modified) = (UidSet::default(), UidSet::default());
        for index in state.indexes(uids) {
            let entry = &state.entries()[index];
            if unchanged_since.is_some_and(|since| entry.modseq > since) {
                modified.push(entry.uid.number());
            } else if entry.flags.minus(remove).union(add) != entry.flags {
                changed.push(entry.uid.number());
            }
        }
        if !changed.is_empty() {
            records.push(Record::Flagged { modseq: writer.next_modseq(), add, remove, uids: changed.clone() });
        }
        writer.commit(&records, true)?;
        writer.tidy();
        Ok(FlagOutcome { snapshot: writer.state().snapshot.clone(), changed, modified, is_out_of_keywords })
    }
}
