//! STORE, COPY, MOVE and EXPUNGE.

use super::selected::Selected;
use super::{Run, Trouble, limit};
use crate::mailbox::{Flags, Rights, Snapshot, System, UidSet};
use crate::proto::imap::Outcome;
use crate::proto::imap::response::{self, Code};
use crate::proto::imap::{Enabled, Extension};
use crate::proto::imap::{Flag, Messages, Set, Store, StoreAction};
use crate::store::{FlagChange, FlagOutcome, Folder, FolderError, How};

/// A client's flags as the store takes them: system bits, and keywords.
pub(super) fn split_flags(flags: &[Flag]) -> (u8, Vec<&str>) {
    let mut keywords = Vec::new();
    let mut system = 0;
    for flag in flags {
        match flag {
            Flag::System(flag) => system |= *flag as u8,
            Flag::Keyword(name) => keywords.push(&**name),
        }
    }
    (system, keywords)
}

/// STORE and UID STORE.
pub(super) fn store(selected: &mut Selected, store: &Store, enabled: Enabled, out: &mut Vec<u8>) -> Run {
    writable(selected, Rights::NONE)?;
    let (numbers, limit) = selected.limited(selected.choose(&store.messages).ok_or(Trouble::NoSuchMessage)?);
    let uids = selected.uids(&numbers);
    let (system, keywords) = split_flags(&store.flags);
    let mask = selected.rights.flags();
    let how = match store.action {
        StoreAction::Add => How::Add,
        StoreAction::Remove => How::Remove,
        StoreAction::Replace if mask == Flags::ALL => How::Replace,
        StoreAction::Replace => How::ReplaceWithin(mask),
    };
    let allowed = permitted(mask, system, &keywords).ok_or(Trouble::NoPerm)?;
    let change = FlagChange { how, system: allowed.0, keywords: allowed.1 };
    let done = selected.folder.store(&uids, change, store.unchanged_since)?;
    let has_modseq = enabled.has(Extension::Condstore);
    let may_expunge = store.messages.is_uid;
    let before = selected.view.snapshot().clone();
    // Everything this command was about is told below, once; other sessions' changes as always.
    selected.tell(done.snapshot.clone(), enabled, may_expunge, &uids, out)?;
    let snapshot = selected.view.snapshot().clone();
    let bits = keywords.iter().filter_map(|name| snapshot.keywords.find(name)).fold(0, |bits, bit| bits | 1 << bit);
    let wanted = Flags { system, keywords: bits };
    let expected = |flags: Flags| match how {
        How::Add => flags.union(wanted),
        How::Remove => flags.minus(wanted),
        How::Replace | How::ReplaceWithin(_) => wanted,
    };
    for uid in uids.uids().filter(|uid| !selected.view.is_ghost(*uid)) {
        // RFC 7162 §3.1.3: even a silent STORE tells the new modification sequence.
        let is_told = match store.is_silent {
            true => has_modseq && done.changed.contains(uid.number()),
            false => !done.modified.contains(uid.number()),
        };
        // What somebody else changed in the same moment is told whatever was asked for.
        let is_foreign = match (before.find(uid), snapshot.find(uid)) {
            (Some(old), Some(new)) if done.changed.contains(uid.number()) => expected(old.flags) != new.flags,
            (Some(old), Some(new)) => old.modseq != new.modseq,
            _ => false,
        };
        if let (true, Some(number), Some(entry)) = (is_told || is_foreign, snapshot.number(uid), snapshot.find(uid)) {
            match store.is_silent && !is_foreign {
                true => tell_modseq(selected, number, entry, enabled, out),
                false => selected.tell_entry(number, entry, enabled, out),
            }
        }
    }
    let outcome = stored(selected, store, &uids, done, &snapshot);
    Ok(limit::told(outcome, limit, out))
}

/// What the client is told of a STORE that was done.
fn stored(selected: &Selected, store: &Store, uids: &UidSet, done: FlagOutcome, snapshot: &Snapshot) -> Outcome {
    if !done.modified.is_empty() {
        let shown = match store.messages.is_uid {
            true => done.modified,
            false => done.modified.uids().filter_map(|uid| snapshot.number(uid)).collect(),
        };
        return Outcome::ok("some messages were changed meanwhile").with_code(Code::Modified(shown));
    }
    // RFC 2180 §4.2.1. By identifier they are left out without a word.
    if !store.messages.is_uid && uids.uids().any(|uid| selected.view.is_ghost(uid)) {
        return Outcome::no(Some(Code::ExpungeIssued), "some messages are gone");
    }
    if done.is_out_of_keywords {
        return Outcome::no(Some(Code::Limit), "the mailbox has no room for more keywords");
    }
    Outcome::ok("stored")
}

/// Of these flags, those that the rights let change (RFC 4314 §4); `None` when there is nothing among them that may be.
pub(super) fn permitted<'a, 'b>(mask: Flags, system: u8, keywords: &'a [&'b str]) -> Option<(u8, &'a [&'b str])> {
    let allowed = (system & mask.system, if mask.keywords == 0 { &[] } else { keywords });
    let asks_for_nothing = system == 0 && keywords.is_empty();
    let is_anything = allowed.0 != 0 || !allowed.1.is_empty() || (asks_for_nothing && mask != Flags::NONE);
    is_anything.then_some(allowed)
}

/// Sets `\Seen` where it is not set, for a FETCH that shows texts; gives the messages that were changed (identifiers).
pub(super) fn see(
    selected: &mut Selected,
    numbers: &UidSet,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Result<UidSet, Trouble> {
    let snapshot = selected.view.snapshot();
    let unseen: UidSet = numbers
        .iter()
        .filter_map(|number| snapshot.at(number))
        .filter(|entry| !entry.flags.has(System::Seen))
        .map(|entry| entry.uid)
        .collect();
    if unseen.is_empty() {
        return Ok(unseen);
    }
    let change = FlagChange { how: How::Add, system: System::Seen as u8, keywords: &[] };
    let done = selected.folder.store(&unseen, change, None)?;
    // An expunge that is told now would shift the numbers that are fetched: the end of the command tells it.
    selected.tell(done.snapshot, enabled, false, &done.changed, out)?;
    Ok(done.changed)
}

/// FETCH (UID n MODSEQ (m)).
fn tell_modseq(selected: &Selected, number: u32, entry: &crate::mailbox::Entry, enabled: Enabled, out: &mut Vec<u8>) {
    debug_assert!(selected.view.snapshot().find(entry.uid).is_some());
    let mut fetch = super::changes::begin(number, entry, enabled, out);
    if !enabled.has(Extension::UidOnly) {
        fetch.uid(out, entry.uid);
    }
    fetch.modseq(out, entry.modseq);
    fetch.end(out);
}

/// Where copies go to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    pub(super) folder: &'a Folder,
    /// The flags that may be set there, as a mask.
    pub(super) kept: Flags,
}

/// COPY and MOVE into an open mailbox.
pub(super) fn copy(
    selected: &mut Selected,
    messages: &Messages,
    Target { folder: target, kept }: Target<'_>,
    is_move: bool,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Result<(Outcome, UidSet), Trouble> {
    if is_move {
        // RFC 6851 §4.2: as STORE and EXPUNGE do.
        writable(selected, Rights::MARK.union(Rights::EXPUNGE))?;
    }
    let numbers = selected.choose(messages).ok_or(Trouble::NoSuchMessage)?;
    let (numbers, limit) = if is_move { selected.limited(numbers) } else { (numbers, None) };
    let uids = selected.uids(&numbers);
    if uids.is_empty() {
        return Ok((Outcome::ok("nothing to do"), UidSet::default()));
    }
    // Within a mailbox, too: a message that moves gets another name and another identifier.
    let pairs = match is_move {
        true => selected.folder.move_keeping(&uids, target, kept)?,
        false => selected.folder.copy_keeping(&uids, target, kept)?,
    };
    if pairs.is_empty() {
        return Ok((Outcome::no(Some(Code::ExpungeIssued), "the messages are gone"), UidSet::default()));
    }
    let validity = target.seen()?.uid_validity;
    let old: UidSet = pairs.iter().map(|(old, _)| *old).collect();
    let new: UidSet = pairs.iter().map(|(_, new)| *new).collect();
    let code = Code::CopyUid(validity, old.clone(), new.clone());
    if !is_move {
        return Ok((Outcome::ok("copied").with_code(code), new));
    }
    // RFC 6851 §4.3: COPYUID comes before the EXPUNGEs.
    response::untagged(out, response::Status::Ok, Some(&code), "moved");
    selected.tell_changes(enabled, true, out)?;
    Ok((limit::told(Outcome::ok("moved"), limit, out), new))
}

/// EXPUNGE and UID EXPUNGE.
pub(super) fn expunge(selected: &mut Selected, set: Option<&Set>, enabled: Enabled, out: &mut Vec<u8>) -> Run {
    writable(selected, Rights::EXPUNGE)?;
    let (which, limit) = match set {
        Some(set) => {
            let messages = Messages { is_uid: true, set: set.clone() };
            let numbers = selected.choose(&messages).ok_or(Trouble::NoSuchMessage)?;
            let (numbers, limit) = selected.limited_deleted(numbers)?;
            (Some(selected.uids(&numbers)), limit)
        }
        None => (None, None),
    };
    // Without a set all messages marked as deleted go, also those that another session has marked.
    selected.folder.expunge(which.as_ref())?;
    selected.tell_changes(enabled, true, out)?;
    let outcome = Outcome::ok("expunged");
    let outcome = match enabled.has(Extension::Condstore) {
        true => outcome.with_code(Code::HighestModSeq(selected.told)),
        false => outcome,
    };
    Ok(limit::told(outcome, limit, out))
}

/// CLOSE: what is marked goes without a word; without the right to it, it stays without a word (RFC 4314 §4).
pub(super) fn close(selected: &mut Selected) -> Result<(), FolderError> {
    if !selected.is_read_only && selected.rights.holds(Rights::EXPUNGE) {
        let gone = selected.folder.expunge(None)?;
        selected.note_closed(&gone)?;
    }
    Ok(())
}

/// Fails when the mailbox was opened by EXAMINE, or one of these rights is missing.
pub(super) fn writable(selected: &Selected, needed: Rights) -> Result<(), Trouble> {
    match selected.is_read_only {
        true => Err(Trouble::ReadOnly),
        false if selected.rights.holds(needed) => Ok(()),
        false => Err(Trouble::NoPerm),
    }
}
