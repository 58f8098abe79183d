//! What has changed in the selected mailbox, told to the client (RFC 9051 §7.4 and §7.5).

use super::selected::Selected;
use crate::mailbox::{Change, Entry, Snapshot, UidSet};
use crate::proto::imap::response::{self, FetchPrinter};
use crate::proto::imap::{Enabled, Extension};
use crate::store::FolderError;
use std::sync::Arc;

impl Selected {
    /// Looks at the mailbox and tells what is new. Without `may_expunge` messages that are gone keep their numbers.
    pub(super) fn tell_changes(
        &mut self,
        enabled: Enabled,
        may_expunge: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let latest = self.latest()?;
        let before = self.view.snapshot().highest_modseq;
        self.tell(latest, enabled, may_expunge, &UidSet::default(), out)?;
        // RESETKEY counts as a change.
        if self.view.snapshot().highest_modseq != before {
            self.tell_new_url_key(out);
        }
        Ok(())
    }

    /// The mailbox as it is now; recent messages become this session's.
    pub(super) fn latest(&mut self) -> Result<Arc<Snapshot>, FolderError> {
        let latest = self.folder.refresh()?;
        self.take_recent_of(latest)
    }

    /// The same for a mailbox that was looked at this moment.
    pub(super) fn take_recent_of(&mut self, latest: Arc<Snapshot>) -> Result<Arc<Snapshot>, FolderError> {
        if self.is_passive() || latest.recent_from >= latest.uid_next {
            return Ok(latest);
        }
        let (taken, latest) = self.folder.take_recent()?;
        let new = taken.entries.iter().rev().take_while(|entry| entry.uid >= taken.recent_from);
        let new: UidSet = new.map(|entry| entry.uid).collect();
        self.add_recent(&new);
        Ok(latest)
    }

    /// These messages (identifiers) are new to this session, and to no other.
    pub(super) fn add_recent(&mut self, new: &UidSet) {
        self.recent = UidSet::from_ranges([self.recent.ranges(), new.ranges()].concat());
    }

    /// Goes on to a snapshot and tells the difference, but for the flags of the messages in `silent` (identifiers).
    ///
    /// A snapshot of another generation of identifiers has nothing to do with what the client knows: the session must end.
    pub(super) fn tell(
        &mut self,
        latest: Arc<Snapshot>,
        enabled: Enabled,
        may_expunge: bool,
        silent: &UidSet,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        if latest.uid_validity != self.view.snapshot().uid_validity {
            return Err(FolderError::Gone);
        }
        let known = self.view.snapshot().last_uid();
        let (mut touched, mut new) = (Vec::new(), Vec::new());
        let hides_flags = self.news.as_deref().is_some_and(|news| news.hides_flags);
        for change in self.view.advance(latest, may_expunge) {
            if let (Change::Expunged { numbers, uids }, false) = (&change, self.contexts.is_empty()) {
                let numbers: Vec<u32> = numbers.iter().rev().copied().collect();
                self.tell_contexts_gone(uids, &numbers, enabled, out);
            }
            match change {
                Change::Expunged { uids, .. } if enabled.has(Extension::Qresync) || enabled.has(Extension::UidOnly) => {
                    self.forget(&uids);
                    response::vanished(out, false, &uids);
                }
                Change::Expunged { numbers, uids } => {
                    self.forget(&uids);
                    numbers.into_iter().for_each(|number| response::expunge(out, number));
                }
                Change::Keywords => self.tell_flags(out),
                Change::Exists(count) => {
                    let snapshot = self.view.snapshot();
                    let later = snapshot.entries.iter().rev().take_while(|entry| Some(entry.uid) > known);
                    new.extend(later.map(|entry| entry.uid));
                    response::exists(out, count);
                }
                Change::Recent(_) if enabled.has(Extension::Imap4Rev2) => {}
                Change::Recent(_) => response::recent(out, self.recent.len() as u32),
                Change::Flags(numbers) => {
                    let snapshot = self.view.snapshot().clone();
                    for number in numbers {
                        let Some(entry) = snapshot.at(number) else { continue };
                        touched.push(entry.uid);
                        if !hides_flags && !silent.contains(entry.uid.number()) {
                            self.tell_entry(number, entry, enabled, out);
                        }
                    }
                }
            }
        }
        let gathers = !new.is_empty() && self.has_items_for_new();
        if let (true, Some(news)) = (gathers, self.news.as_deref_mut()) {
            // Their FETCH comes later, and what searches say of them with it.
            news.new.extend(new);
            news.touched.extend(touched);
        } else {
            touched.extend(new);
            if !self.contexts.is_empty() && !touched.is_empty() {
                self.tell_contexts(&touched.into_iter().collect(), enabled, out)?;
            }
        }
        if !self.view.is_behind() {
            self.told = self.view.snapshot().highest_modseq;
        }
        Ok(())
    }

    /// FETCH with the flags of one message.
    pub(super) fn tell_entry(&self, number: u32, entry: &Entry, enabled: Enabled, out: &mut Vec<u8>) {
        let mut fetch = begin(number, entry, enabled, out);
        if !enabled.has(Extension::UidOnly) {
            fetch.uid(out, entry.uid);
        }
        fetch.flags(out, self.flag_names(entry, enabled));
        if enabled.has(Extension::Condstore) {
            fetch.modseq(out, entry.modseq);
        }
        fetch.end(out);
    }

    /// The names of a message's flags, with `\Recent` where the client knows it.
    pub(super) fn flag_names(&self, entry: &Entry, enabled: Enabled) -> impl Iterator<Item = &str> {
        let is_recent = !enabled.has(Extension::Imap4Rev2) && self.recent.contains(entry.uid.number());
        self.view.snapshot().keywords.print(entry.flags).chain(is_recent.then_some("\\Recent"))
    }

    /// FLAGS: the flags that messages of this mailbox may have.
    pub(super) fn tell_flags(&self, out: &mut Vec<u8>) {
        let snapshot = self.view.snapshot();
        let system = crate::mailbox::System::ALL.iter().map(|flag| flag.name());
        response::flags(out, system.chain(snapshot.keywords.names().iter().map(|name| &**name)));
    }

    /// Expunged messages are in no saved result any more (RFC 5182 §2.1).
    fn forget(&mut self, uids: &UidSet) {
        let left = |set: &UidSet| set.iter().filter(|uid| !uids.contains(*uid)).collect();
        if !self.saved.is_empty() {
            self.saved = left(&self.saved);
        }
        if !self.recent.is_empty() {
            self.recent = left(&self.recent);
        }
    }
}

/// Begins a FETCH response, by number or, under UIDONLY, by identifier (RFC 9586 §3.3).
pub(super) fn begin(number: u32, entry: &Entry, enabled: Enabled, out: &mut Vec<u8>) -> FetchPrinter {
    match enabled.has(Extension::UidOnly) {
        true => FetchPrinter::begin_uid(out, entry.uid),
        false => FetchPrinter::begin(out, number),
    }
}
