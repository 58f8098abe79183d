//! SELECT and EXAMINE (RFC 9051 §6.3.2), with what CONDSTORE and QRESYNC add (RFC 7162).

use super::limit::MessageLimits;
use super::selected::Selected;
use super::{ImapService, Run, Trouble};
use crate::mailbox::{ModSeq, Rights, SeqSet, System, Uid, UidSet, View};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Effect, Extension, MailboxName, Messages, Outcome, Qresync, Select, Set};
use crate::store::{SEPARATOR, TreeError};

impl ImapService {
    pub(super) fn select(&mut self, select: &Select, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let was_selected = self.leave();
        let says_closed = enabled.has(Extension::Qresync) || enabled.has(Extension::Imap4Rev2);
        if was_selected && says_closed {
            response::untagged(out, Status::Ok, Some(&Code::Closed), "the previous mailbox is closed");
        }
        // Whatever happens now, no mailbox is selected until all has gone well.
        match self.show(select, out) {
            Err(trouble) => Ok(self.explain(trouble).with_effect(Effect::Unselected)),
            selected => selected,
        }
    }

    /// Opens the mailbox, and tells the client what it is.
    fn show(&mut self, select: &Select, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let selected = self.open(select)?;
        let snapshot = selected.view.snapshot().clone();
        selected.tell_flags(out);
        response::exists(out, snapshot.len());
        if !enabled.has(Extension::Imap4Rev2) {
            response::recent(out, selected.recent.len() as u32);
            if let Some(first) = snapshot.entries.iter().position(|e| !e.flags.has(System::Seen)) {
                response::untagged(out, Status::Ok, Some(&Code::Unseen(first as u32 + 1)), "first unseen");
            }
        }
        let permanent = if select.is_examine { Vec::new() } else { selected.permanent_flags() };
        let mailbox_id = selected.folder.mailbox_id()?;
        for (code, text) in [
            (Code::PermanentFlags(permanent), "flags that are kept"),
            (Code::UidValidity(snapshot.uid_validity), "generation of identifiers"),
            (Code::UidNext(snapshot.uid_next), "next identifier"),
            (Code::HighestModSeq(snapshot.highest_modseq), "last change"),
            (Code::MailboxId(mailbox_id), "name for good"),
        ] {
            response::untagged(out, Status::Ok, Some(&code), text);
        }
        Selected::tell_url_mechanisms(out);
        if enabled.has(Extension::Imap4Rev2) {
            let name = selected.name.as_str();
            let listed = response::Listed { delimiter: Some(SEPARATOR), name, ..response::Listed::default() };
            response::list(out, &listed, enabled);
        }
        if let Some(known) = select.qresync.as_ref().filter(|known| known.uid_validity == snapshot.uid_validity) {
            resynchronise(&selected, known, enabled, out)?;
        }
        // RFC 4314 §5.2.
        let is_changeable = !select.is_examine && selected.rights.has_any(Rights::CHANGING);
        self.selected = Some(Box::new(selected));
        self.arm_selected();
        let code = if is_changeable { Code::ReadWrite } else { Code::ReadOnly };
        Ok(Outcome::ok("selected").with_code(code).with_effect(Effect::Selected))
    }

    /// Opens a mailbox for reading, as EXAMINE does.
    pub(super) fn examine(&self, name: &MailboxName) -> Result<Selected, Trouble> {
        let place = self.reach(name, Rights::READ)?;
        let folder = place.folder()?;
        let snapshot = folder.refresh()?;
        let before = snapshot.entries.partition_point(|e| e.uid < snapshot.recent_from);
        let recent: UidSet = snapshot.entries[before..].iter().map(|e| e.uid).collect();
        Ok(Selected {
            name: place.shown.clone(),
            rights: place.rights,
            told_rights: place.rights,
            told: snapshot.highest_modseq,
            view: View::new(snapshot),
            url_key: folder.url_key_mark(),
            folder,
            place: (!place.is_own).then_some(place),
            is_read_only: true,
            saved: UidSet::default(),
            recent,
            limits: MessageLimits::of(&self.desk),
            contexts: Vec::new(),
            news: None,
        })
    }

    fn open(&self, select: &Select) -> Result<Selected, Trouble> {
        let mut selected = self.examine(&select.mailbox)?;
        selected.is_read_only = select.is_examine;
        if !selected.is_passive() {
            // Takes the recent ones, so that no other session calls them so.
            selected.recent = UidSet::default();
            let latest = selected.take_recent_of(selected.view.snapshot().clone())?;
            selected.told = latest.highest_modseq;
            selected.view = View::new(latest);
        }
        Ok(selected)
    }
}

/// VANISHED (EARLIER) and the flags that changed since (RFC 7162 §3.2.5).
fn resynchronise(
    selected: &Selected,
    known: &Qresync,
    enabled: crate::proto::imap::Enabled,
    out: &mut Vec<u8>,
) -> Result<(), TreeError> {
    let snapshot = selected.view.snapshot();
    let wanted = known.known_uids.clone().or_else(|| SeqSet::parse(b"1:*").ok());
    let largest = Uid::LAST.number();
    let ranges = wanted.map(|set| UidSet::from_ranges(set.resolve(largest))).unwrap_or_default();
    let mut gone = vanished(selected, known.modseq, &ranges)?;
    if let Some(below) = matched(selected, known) {
        // Up to here numbers and identifiers agree: nothing has vanished there.
        gone = gone.iter().filter(|uid| *uid > below).collect();
    }
    response::vanished(out, true, &gone);
    for (index, entry) in snapshot.entries.iter().enumerate() {
        if entry.modseq > known.modseq && ranges.contains(entry.uid.number()) {
            selected.tell_entry(index as u32 + 1, entry, enabled, out);
        }
    }
    Ok(())
}

/// The largest identifier that has the number which the client thinks it has (RFC 7162 §3.2.5.2).
fn matched(selected: &Selected, known: &Qresync) -> Option<u32> {
    let (numbers, uids) = known.matches.as_ref()?;
    let snapshot = selected.view.snapshot();
    let numbers = UidSet::from_ranges(numbers.resolve(u32::MAX));
    let uids = UidSet::from_ranges(uids.resolve(u32::MAX));
    let pairs = numbers.iter().zip(uids.iter());
    // A client may write enormous ranges: no more pairs than there are messages can agree.
    let agree = |(number, uid): &(u32, u32)| snapshot.at(*number).is_some_and(|e| e.uid.number() == *uid);
    pairs.take(snapshot.entries.len()).take_while(agree).last().map(|(_, uid)| uid)
}

/// The identifiers among these that are gone since a change.
fn vanished(selected: &Selected, since: ModSeq, among: &UidSet) -> Result<UidSet, TreeError> {
    let snapshot = selected.view.snapshot();
    if let Some(gone) = selected.folder.expunged_since(since)? {
        let gone = gone
            .iter()
            .filter(|uid| among.contains(*uid) && Uid::new(*uid).is_some_and(|u| snapshot.find(u).is_none()));
        return Ok(gone.collect());
    }
    // Forgotten: whatever is not there has vanished. The holes between the messages, cut to what was asked for.
    let mut holes = Vec::new();
    let mut next = 1u32;
    for entry in snapshot.entries.iter() {
        if entry.uid.number() > next {
            holes.push((next, entry.uid.number() - 1));
        }
        next = entry.uid.number().saturating_add(1);
    }
    if snapshot.uid_next.number() > next {
        holes.push((next, snapshot.uid_next.number() - 1));
    }
    Ok(intersect(&holes, among.ranges()))
}

/// Numbers in both, each given as ascending ranges.
fn intersect(a: &[(u32, u32)], b: &[(u32, u32)]) -> UidSet {
    let (mut i, mut j) = (0, 0);
    let mut both = Vec::new();
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        let (from, to) = (x.0.max(y.0), x.1.min(y.1));
        if from <= to {
            both.push((from, to));
        }
        match x.1 < y.1 {
            true => i += 1,
            false => j += 1,
        }
    }
    UidSet::from_ranges(both)
}

/// VANISHED of UID FETCH (CHANGEDSINCE n VANISHED) (RFC 7162 §3.2.6).
pub(super) fn tell_vanished(
    selected: &Selected,
    since: ModSeq,
    messages: &Messages,
    out: &mut Vec<u8>,
) -> Result<(), Trouble> {
    let among = match &messages.set {
        Set::Saved => selected.saved.clone(),
        Set::These(set) => UidSet::from_ranges(set.resolve(Uid::LAST.number())),
    };
    response::vanished(out, true, &vanished(selected, since, &among)?);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_meet_where_both_are() {
        let both = intersect(&[(1, 5), (8, 9), (20, 30)], &[(4, 8), (25, 40)]);
        assert_eq!(both.to_string(), "4:5,8,25:30");
        assert!(intersect(&[], &[(1, 9)]).is_empty());
    }
}
