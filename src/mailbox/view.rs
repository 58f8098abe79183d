//! What one session has told its client, and what it must tell next.

use super::{Entry, Snapshot, Uid, UidSet};
use std::sync::Arc;

/// Something a client must be told, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// These messages are gone: sequence numbers as they are when each line is read, in the order to send (EXPUNGE), and the
    /// identifiers (VANISHED).
    Expunged {
        /// From the highest down, so that no number shifts under the next one.
        numbers: Vec<u32>,
        /// The same messages.
        uids: UidSet,
    },
    /// The mailbox has keywords that it had not (FLAGS).
    Keywords,
    /// So many messages now (EXISTS).
    Exists(u32),
    /// So many of them new to all sessions (RECENT, in IMAP4rev1 only).
    Recent(u32),
    /// These messages' flags changed (FETCH): sequence numbers, ascending.
    Flags(Vec<u32>),
}

/// A session's mailbox: the last snapshot its client knows.
#[derive(Debug, Clone)]
pub struct View {
    known: Arc<Snapshot>,
    /// Identifiers that are gone from the mailbox, and that the client may not be told yet (RFC 9051 §7.5.1).
    ghosts: UidSet,
    /// New messages wait until this is off again.
    holds_new: bool,
    /// Some do wait.
    is_holding: bool,
}

impl View {
    /// The view of a session that has just selected; its client is told everything.
    pub fn new(snapshot: Arc<Snapshot>) -> View {
        View { known: snapshot, ghosts: UidSet::default(), holds_new: false, is_holding: false }
    }

    /// What the client knows. Messages that are gone but not announced are still in it.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.known
    }

    /// True when this message is gone, though the client has not been told.
    pub fn is_ghost(&self, uid: Uid) -> bool {
        self.ghosts.contains(uid.number())
    }

    /// From now on new messages are not told and have no numbers, or are as always. What waits is told by the next [`View::advance`]
    /// after that. Flags and messages that go are told all the same.
    pub fn hold_new(&mut self, holds_new: bool) {
        self.holds_new = holds_new;
    }

    /// True when the client has not been told everything: a message is gone, or a new one waits. The modification sequence of the
    /// snapshot is then not yet the client's (RFC 7162 §3.2).
    pub fn is_behind(&self) -> bool {
        !self.ghosts.is_empty() || self.is_holding
    }

    /// Goes on to a newer state; gives what the client must be told. Without `may_expunge` messages that are gone keep their numbers.
    pub fn advance(&mut self, latest: Arc<Snapshot>, may_expunge: bool) -> Vec<Change> {
        if self.ghosts.is_empty() && Arc::ptr_eq(&self.known, &latest) {
            return Vec::new();
        }
        self.is_holding = self.holds_new && latest.last_uid() > self.known.last_uid();
        let latest = if self.is_holding { Arc::new(without_new(&self.known, &latest)) } else { latest };
        let known = std::mem::replace(&mut self.known, latest.clone());
        let mut changes = Vec::new();
        let (gone, numbers) = missing(&known, &latest);
        let mut shown = latest.clone();
        if gone.is_empty() {
            self.ghosts = UidSet::default();
        } else if may_expunge {
            self.ghosts = UidSet::default();
            changes.push(Change::Expunged { numbers: numbers.into_iter().rev().collect(), uids: gone });
        } else {
            shown = Arc::new(with_ghosts(&known, &latest, &gone));
            self.ghosts = gone;
        }
        if known.keywords != shown.keywords {
            changes.push(Change::Keywords);
        }
        // What another session expunged before we ever saw it is in neither state.
        if shown.last_uid() > known.last_uid() {
            changes.push(Change::Exists(shown.len()));
            let before = shown.entries.partition_point(|e| e.uid < shown.recent_from);
            changes.push(Change::Recent((shown.entries.len() - before) as u32));
        }
        let changed = changed(&known, &shown);
        if !changed.is_empty() {
            changes.push(Change::Flags(changed));
        }
        self.known = shown;
        changes
    }
}

/// Identifiers and numbers of messages that the older state has and the newer has not, ascending.
fn missing(known: &Snapshot, latest: &Snapshot) -> (UidSet, Vec<u32>) {
    let (mut uids, mut numbers) = (UidSet::default(), Vec::new());
    if Arc::ptr_eq(&known.entries, &latest.entries) {
        return (uids, numbers);
    }
    // Mostly both begin alike, and often that is all of the older one.
    let alike = known.entries.iter().zip(latest.entries.iter()).take_while(|(old, new)| old.uid == new.uid).count();
    let mut rest = latest.entries[alike..].iter().peekable();
    for (index, entry) in known.entries.iter().enumerate().skip(alike) {
        while rest.next_if(|e| e.uid < entry.uid).is_some() {}
        if rest.peek().is_none_or(|e| e.uid != entry.uid) {
            uids.push(entry.uid.number());
            numbers.push(index as u32 + 1);
        }
    }
    (uids, numbers)
}

/// The newer state without the messages that the client has not been told of.
fn without_new(known: &Snapshot, latest: &Snapshot) -> Snapshot {
    let last = known.last_uid();
    let entries: Vec<Entry> = latest.entries.iter().take_while(|entry| Some(entry.uid) <= last).copied().collect();
    Snapshot { entries: entries.into(), ..latest.clone() }
}

/// The newer state with the messages that may not go yet.
fn with_ghosts(known: &Snapshot, latest: &Snapshot, gone: &UidSet) -> Snapshot {
    let mut entries: Vec<Entry> = Vec::with_capacity(latest.entries.len() + gone.len() as usize);
    entries.extend(known.entries.iter().filter(|e| gone.contains(e.uid.number())));
    entries.extend(latest.entries.iter());
    entries.sort_unstable_by_key(|e| e.uid);
    Snapshot { entries: entries.into(), ..latest.clone() }
}

/// Numbers (in the newer state) of messages whose modification sequence grew; those the client does not know at all are left out:
/// EXISTS announces them.
fn changed(known: &Snapshot, shown: &Snapshot) -> Vec<u32> {
    let mut numbers = Vec::new();
    if known.highest_modseq == shown.highest_modseq {
        return numbers;
    }
    for (index, entry) in shown.entries.iter().enumerate() {
        // Whatever has changed has a larger one than all that was known.
        if entry.modseq > known.highest_modseq && known.find(entry.uid).is_some_and(|e| e.modseq != entry.modseq) {
            numbers.push(index as u32 + 1);
        }
    }
    numbers
}
