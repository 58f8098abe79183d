//! What a session has done itself is known to its client, and not told (RFC 5465 §5).
//!
//! Noted is only what the command was about: what others did at the same moment still differs from what is known, and is told.

use super::names::Name;
use super::others::{At, Found, Mailbox};
use super::status::Known;
use super::{Events, Notifying, named};
use crate::mailbox::{Snapshot, UidSet};
use crate::proto::imap::MailboxName;
use crate::serve::imap::ImapService;
use crate::store::{Folder, INBOX, SEPARATOR};

impl ImapService {
    /// These messages (identifiers) were added to a mailbox by a command of this session.
    pub(in crate::serve::imap) fn note_added(&mut self, folder: &Folder, added: &UidSet) {
        if self.notifying.is_none() {
            return;
        }
        if let Some(selected) = self.selected.as_deref_mut().filter(|selected| selected.folder.dir() == folder.dir()) {
            return selected.note_own(added);
        }
        let mailboxes = self.notifying.as_deref_mut().map(|notifying| notifying.mailboxes.values_mut());
        let found = mailboxes.and_then(|mut all| all.find(|mailbox| mailbox.dir == folder.dir()));
        if let (Some(mailbox), Ok(snapshot)) = (found, folder.refresh())
            && mailbox.known.is_some_and(|known| known.differs_by(&snapshot, added))
        {
            mailbox.knows(Known::of(&snapshot));
        }
    }

    /// The selected mailbox is left; the client knows this of it.
    pub(in crate::serve::imap) fn note_left(&mut self, name: &MailboxName, snapshot: &Snapshot) {
        if let Some(notifying) = self.notifying.as_deref_mut() {
            notifying.is_rewatch_due = true;
            if let Some(mailbox) = notifying.mailboxes.get_mut(name.as_str()) {
                mailbox.knows(Known::of(snapshot));
            }
        }
    }

    /// CREATE made this, and what was missing above it. Here and below names are in their one spelling.
    pub(in crate::serve::imap) fn note_created(&mut self, name: &MailboxName) {
        let Some(mut notifying) = self.notifying.take() else { return };
        let name = name.as_str();
        let above = name.match_indices(SEPARATOR).map(|(at, _)| &name[..at]);
        if let Ok(at) = self.at() {
            above.chain([name]).for_each(|name| notifying.note_exists(name, &at));
        }
        self.notifying = Some(notifying);
    }

    pub(in crate::serve::imap) fn note_deleted(&mut self, name: &MailboxName) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        let name = name.as_str();
        notifying.mailboxes.remove(name);
        notifying.refused.remove(name);
        if let Some(known) = notifying.names.get_mut(name) {
            known.exists = false;
            known.identity = None;
            if !known.is_subscribed {
                notifying.names.remove(name);
            }
        }
    }

    /// RENAME took a mailbox, and all below it, to another name. INBOX stays.
    pub(in crate::serve::imap) fn note_renamed(&mut self, from: &MailboxName, to: &MailboxName) {
        let Some(mut notifying) = self.notifying.take() else { return };
        if let Ok(at) = self.at() {
            notifying.note_renamed(from.as_str(), to.as_str(), &at);
        }
        self.notifying = Some(notifying);
    }

    pub(in crate::serve::imap) fn note_subscribed(&mut self, name: &MailboxName, is_subscribed: bool) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        let known = notifying.names.entry(name.as_str().to_string()).or_default();
        known.is_subscribed = is_subscribed;
        if !known.exists && !known.is_subscribed {
            notifying.names.remove(name.as_str());
        }
        // The mailboxes that are meant may be others now.
        notifying.is_choice_due = true;
    }

    pub(in crate::serve::imap) fn note_annotated(
        &mut self,
        mailbox: Option<&MailboxName>,
        values: &[(String, Option<Vec<u8>>)],
    ) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        match mailbox {
            None => notifying.annotations.note(values),
            Some(name) => {
                if let Some(mailbox) = notifying.mailboxes.get_mut(name.as_str()) {
                    mailbox.annotations.note(values);
                }
            }
        }
    }
}

impl Notifying {
    fn note_exists(&mut self, name: &str, at: &At<'_>) {
        let Some(found) = at.found(name) else { return };
        let known = self.names.entry(name.to_string()).or_default();
        if known.exists {
            return;
        }
        *known = Name { exists: true, identity: found.surveyed.identity, ..*known };
        let is_subscribed = known.is_subscribed;
        let events = self.events(name, is_subscribed);
        if events.has(Events::INSIDE) && found.is_readable() {
            self.mailboxes.insert(name.to_string(), Mailbox::just_made(name, found, events, at));
            self.is_rewatch_due = true;
        }
    }

    fn note_renamed(&mut self, from: &str, to: &str, at: &At<'_>) {
        let above = to.match_indices(SEPARATOR).map(|(end, _)| &to[..end]);
        above.for_each(|name| self.note_exists(name, at));
        if from == INBOX {
            return self.note_exists(to, at);
        }
        let is_moved =
            |name: &str| name.strip_prefix(from).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR));
        let moved: Vec<(String, Name)> =
            self.names.iter().filter(|(n, one)| is_moved(n) && one.exists).map(|(n, one)| (n.clone(), *one)).collect();
        for (old, one) in moved {
            let new = format!("{to}{}", &old[from.len()..]);
            // Subscriptions are of names: they stay behind.
            match one.is_subscribed {
                true => drop(self.names.insert(old.clone(), Name { is_subscribed: true, ..Name::default() })),
                false => drop(self.names.remove(&old)),
            }
            let is_subscribed = self.names.get(&new).is_some_and(|one| one.is_subscribed);
            self.names.insert(new.clone(), Name { is_subscribed, ..one });
            if let (Some(mailbox), Some(found)) = (self.mailboxes.remove(&old), at.found(&new)) {
                self.mailboxes.insert(new, mailbox.moved(found));
            }
        }
    }
}

impl At<'_> {
    /// The mailbox of this name as it is now, if it may be seen.
    fn found(&self, name: &str) -> Option<Found> {
        Found::at(self.service.place(&named(name)?).ok()??)
    }
}
