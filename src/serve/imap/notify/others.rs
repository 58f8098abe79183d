//! Looking at everything but the selected mailbox, and telling what is new.

use super::super::access::Place;
use super::super::metadata::is_private;
use super::elsewhere::Survey;
use super::names::{Happened, Name, Names, What, difference};
use super::status::Known;
use super::{Events, Notifying, WATCHED_LIMIT, named};
use crate::log;
use crate::mailbox::Rights;
use crate::proto::imap::response;
use crate::proto::imap::{Enabled, MailboxName};
use crate::serve::imap::ImapService;
use crate::store::{
    Annotations, Folder, FolderError, Listed, MailboxIdentity, SEPARATOR, Stamp, Surveyed, Tree, TreeError,
};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

/// Where is looked, and for whom.
pub(super) struct At<'a> {
    pub(super) service: &'a ImapService,
    /// One's own.
    pub(super) tree: &'a Tree,
    /// Its messages are not told of here.
    pub(super) selected: Option<&'a MailboxName>,
    pub(super) enabled: Enabled,
}

/// Why a look failed.
pub(super) enum Overflow {
    /// More mailboxes than [`WATCHED_LIMIT`], or of too many owners.
    Limit,
    Tree(TreeError),
}

impl From<TreeError> for Overflow {
    fn from(error: TreeError) -> Overflow {
        Overflow::Tree(error)
    }
}

/// A mailbox that exists.
pub(super) struct Found {
    pub(super) surveyed: Surveyed,
    /// Where it lies, and what may be done with it, when it is not one's own.
    pub(super) place: Option<Place>,
}

impl Found {
    pub(super) fn own(surveyed: Surveyed) -> Found {
        Found { surveyed, place: None }
    }

    /// What lies at this place now, if it may be seen.
    pub(super) fn at(place: Place) -> Option<Found> {
        let surveyed = place.tree.surveyed(&place.name)?;
        let may_see = place.rights.holds(Rights::LOOKUP);
        may_see.then(|| Found { surveyed, place: (!place.is_own).then_some(place) })
    }

    /// RFC 5465 §5: what is in it needs a right of its own.
    pub(super) fn is_readable(&self) -> bool {
        self.place.as_ref().is_none_or(|place| place.rights.holds(Rights::READ))
    }
}

/// A mailbox that is looked into.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) dir: PathBuf,
    place: Option<Place>,
    pub(super) events: Events,
    identity: Option<MailboxIdentity>,
    /// Of its messages when it was read.
    stamp: Option<Stamp>,
    /// What the client knows; `None` before it was told anything.
    pub(super) known: Option<Known>,
    pub(super) annotations: Annotated,
    /// It could not be read at the last look.
    is_failing: bool,
}

/// What the client knows of annotations: a digest of each value.
#[derive(Debug, Default)]
pub(super) struct Annotated {
    stamp: Option<Stamp>,
    digests: BTreeMap<String, u64>,
}

impl Annotated {
    /// Looks at the annotations of a mailbox, or of the account; gives those that changed.
    fn look(
        &mut self,
        stamp: Option<Stamp>,
        read: impl FnOnce() -> Result<Annotations, TreeError>,
    ) -> Result<Vec<String>, TreeError> {
        if stamp.is_some() && stamp == self.stamp {
            return Ok(Vec::new());
        }
        let digests = digests(&read()?);
        let gone = self.digests.keys().filter(|entry| !digests.contains_key(*entry));
        let new = digests.iter().filter(|(entry, digest)| self.digests.get(*entry) != Some(digest));
        let mut changed: Vec<String> = gone.chain(new.map(|(entry, _)| entry)).cloned().collect();
        changed.sort_unstable();
        *self = Annotated { stamp, digests };
        Ok(changed)
    }

    /// The client has set these itself.
    pub(super) fn note(&mut self, values: &[(String, Option<Vec<u8>>)]) {
        for (entry, value) in values {
            let entry = entry.to_ascii_lowercase();
            match value {
                Some(value) => drop(self.digests.insert(entry, digest(value))),
                None => drop(self.digests.remove(&entry)),
            }
        }
    }
}

fn digests(annotations: &Annotations) -> BTreeMap<String, u64> {
    annotations.iter().map(|(entry, value)| (entry.clone(), digest(value))).collect()
}

fn digest(value: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl Notifying {
    /// The first look: everything counts as known. With `says_status` the client is told what that is.
    pub(super) fn begin(&mut self, at: &At<'_>, says_status: bool, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if !self.looks() {
            return Ok(());
        }
        self.stamp = at.tree.stamp();
        let Survey { rows, found, elsewhere } = self.survey(at)?;
        self.names = names(&rows, &found);
        self.elsewhere = elsewhere;
        self.choose(found)?;
        for name in self.access_changes(&Names::new()) {
            self.tell_name(&name, &rows, None, at.enabled, out);
        }
        if self.tells_account {
            self.annotations.look(at.tree.stamp_of_annotations(None), || at.tree.annotations(None))?;
        }
        for (name, mailbox) in &mut self.mailboxes {
            let begun = mailbox.begin(name, at);
            mailbox.survived(name, begun);
            if let (true, Some(known)) = (says_status && !at.is_selected(name), &mailbox.known)
                && let Some(name) = named(name)
            {
                response::status(out, &name, &known.all(mailbox.events, at.enabled), at.enabled);
            }
        }
        Ok(())
    }

    /// Looks, and tells what is new.
    pub(super) fn look(&mut self, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        if !self.looks() {
            return Ok(());
        }
        let stamp = at.tree.stamp();
        if stamp.is_none() || stamp != self.stamp || self.is_choice_due {
            self.look_at_names(at, out)?;
            self.stamp = stamp;
        } else if self.has_changed_elsewhere(at) {
            self.look_at_names(at, out)?;
        }
        if self.tells_account {
            let stamp = at.tree.stamp_of_annotations(None);
            let changed = self.annotations.look(stamp, || at.tree.annotations(None))?;
            tell_annotations(None, &changed, at.enabled, out);
        }
        for (name, mailbox) in &mut self.mailboxes {
            let looked = mailbox.look(name, at, out);
            mailbox.survived(name, looked);
        }
        Ok(())
    }

    fn look_at_names(&mut self, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let Survey { rows, found, elsewhere } = self.survey(at)?;
        let mut before = std::mem::replace(&mut self.names, names(&rows, &found));
        let is_same = before == self.names;
        let me = at.service.me().map_err(|_| TreeError::Missing)?;
        let is_other_elsewhere = self.found_elsewhere(elsewhere, &mut before, me);
        if is_same && !is_other_elsewhere && !std::mem::take(&mut self.is_choice_due) {
            return Ok(());
        }
        let mut changed = self.access_changes(&before);
        let after = &self.names;
        // A name counts by what it was and by what it is: unsubscribed mailboxes were subscribed.
        let events = |name: &str| {
            let is_subscribed = |names: &Names| names.get(name).is_some_and(|one| one.is_subscribed);
            let now = self.events(name, is_subscribed(after));
            if is_subscribed(&before) == is_subscribed(after) {
                return now;
            }
            now.with(self.events(name, is_subscribed(&before)))
        };
        let is_told = |from: &str, to: &str| events(from).with(events(to)).has(Events::NAMES);
        for Happened { name, what } in difference(&before, after, is_told) {
            let (is_wanted, old) = match &what {
                What::Affected => (is_told(&name, &name), None),
                What::Renamed(from) => (is_told(from, &name), named(from)),
                What::Subscription => (false, None),
            };
            let is_subscribed = |names: &Names| names.get(&name).is_some_and(|one| one.is_subscribed);
            let is_subscription = is_subscribed(&before) != is_subscribed(after);
            if is_wanted || (is_subscription && events(&name).has(Events::SUBSCRIPTIONS)) {
                self.tell_name(&name, &rows, old.as_ref(), at.enabled, out);
                changed.remove(&name);
            }
        }
        for name in changed {
            self.tell_name(&name, &rows, None, at.enabled, out);
        }
        self.choose(found)
    }

    /// Which mailboxes are looked into, as the names are now.
    fn choose(&mut self, found: HashMap<String, Found>) -> Result<(), Overflow> {
        let mut old = std::mem::take(&mut self.mailboxes);
        let mut renamed: HashMap<MailboxIdentity, String> = HashMap::new();
        for (name, mailbox) in &old {
            if let (Some(identity), false) = (mailbox.identity, self.names.get(name).is_some_and(|one| one.exists)) {
                renamed.insert(identity, name.clone());
            }
        }
        for (name, found) in found.into_iter().filter(|(_, found)| found.is_readable()) {
            let is_subscribed = self.names.get(&name).is_some_and(|one| one.is_subscribed);
            let events = self.events(&name, is_subscribed);
            if !events.has(Events::INSIDE) {
                continue;
            }
            let Surveyed { dir, identity } = &found.surveyed;
            let was = old.remove(&name).or_else(|| old.remove(renamed.get(&(*identity)?)?));
            let mailbox = match was {
                Some(was) if was.dir == *dir && was.identity == *identity => Mailbox { events, ..was },
                // What was known of it holds, but not how its files looked.
                Some(was) => Mailbox { events, ..was.moved(found) },
                None => Mailbox::new(found, events),
            };
            self.mailboxes.insert(name, mailbox);
        }
        self.is_rewatch_due = true;
        if self.mailboxes.len() > WATCHED_LIMIT { Err(Overflow::Limit) } else { Ok(()) }
    }

    /// LIST, with all attributes that a name has now (RFC 5465 §5.4, §5.5).
    fn tell_name(
        &self,
        name: &str,
        rows: &[Listed],
        old_name: Option<&MailboxName>,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) {
        let nothing = Listed::default();
        let row = rows.binary_search_by(|row| row.name.as_str().cmp(name)).map_or(&nothing, |at| &rows[at]);
        let mut attributes = Vec::new();
        if !row.exists {
            attributes.push("\\NonExistent");
        }
        if self.refused.contains(name) {
            attributes.push("\\NoAccess");
        }
        attributes.push(if row.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
        if row.is_subscribed {
            attributes.push("\\Subscribed");
        }
        attributes.extend(row.special_use.as_deref());
        let listed =
            response::Listed { attributes, delimiter: Some(SEPARATOR), name, old_name, ..response::Listed::default() };
        response::list(out, &listed, enabled);
    }
}

impl At<'_> {
    fn is_selected(&self, name: &str) -> bool {
        self.selected.is_some_and(|selected| selected.as_str() == name)
    }
}

impl Mailbox {
    /// Nothing is known of it.
    fn new(found: Found, events: Events) -> Mailbox {
        let Found { surveyed: Surveyed { dir, identity }, place } = found;
        Mailbox {
            dir,
            place,
            events,
            identity,
            stamp: None,
            known: None,
            annotations: Annotated::default(),
            is_failing: false,
        }
    }

    /// One that this session has just made: if it is still as it was made, its client knows it.
    pub(super) fn just_made(name: &str, found: Found, events: Events, at: &At<'_>) -> Mailbox {
        let mut mailbox = Mailbox::new(found, events);
        let begun = mailbox.begin(name, at);
        mailbox.survived(name, begun);
        mailbox.known = mailbox.known.filter(Known::is_fresh);
        mailbox
    }

    /// The same one in another place.
    pub(super) fn moved(self, found: Found) -> Mailbox {
        let Found { surveyed: Surveyed { dir, identity }, place } = found;
        let annotations = Annotated { stamp: None, ..self.annotations };
        Mailbox { dir, place, identity, stamp: None, annotations, ..self }
    }

    fn open(&self, name: &str, at: &At<'_>) -> Result<Arc<Folder>, TreeError> {
        self.place.as_ref().map_or_else(|| at.tree.folder(name), Place::folder)
    }

    /// Looks at the annotations: another's private ones are nobody else's to know of.
    fn look_at_annotations(&mut self, name: &str, at: &At<'_>) -> Result<Vec<String>, TreeError> {
        let (stamp, place) = (at.tree.stamp_of_annotations(Some(&self.dir)), &self.place);
        self.annotations.look(stamp, || match place {
            None => at.tree.annotations(Some(name)),
            Some(place) => {
                let mut annotations = place.tree.annotations(Some(&place.name))?;
                annotations.retain(|entry, _| !is_private(entry));
                Ok(annotations)
            }
        })
    }

    fn begin(&mut self, name: &str, at: &At<'_>) -> Result<(), TreeError> {
        if self.events.has(Events::MESSAGES) {
            self.stamp = at.tree.stamp_of_messages(&self.dir);
            self.known = Some(Known::of(&*self.open(name, at)?.refresh()?));
        }
        if self.events.has(Events::ANNOTATIONS) {
            self.look_at_annotations(name, at)?;
        }
        Ok(())
    }

    fn look(&mut self, name: &str, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), TreeError> {
        let Some(shown) = named(name) else { return Ok(()) };
        if self.events.has(Events::MESSAGES) && !at.is_selected(name) {
            // The attributes first: what happens meanwhile shows at the next look.
            let stamp = at.tree.stamp_of_messages(&self.dir);
            if stamp.is_none() || stamp != self.stamp || self.known.is_none() {
                let now = Known::of(&*self.open(name, at)?.refresh()?);
                let values = now.since(self.known.as_ref(), self.events, at.enabled);
                if !values.is_empty() {
                    response::status(out, &shown, &values, at.enabled);
                }
                self.known = Some(now);
                self.stamp = stamp;
            }
        }
        if self.events.has(Events::ANNOTATIONS) {
            let changed = self.look_at_annotations(name, at)?;
            tell_annotations(Some(&shown), &changed, at.enabled, out);
        }
        Ok(())
    }

    /// A mailbox that can't be read is looked at again the next time; it is logged once.
    fn survived(&mut self, name: &str, looked: Result<(), TreeError>) {
        match looked {
            Ok(()) => self.is_failing = false,
            // Gone meanwhile: its name will be missed.
            Err(TreeError::Missing | TreeError::Folder(FolderError::Gone)) => {}
            Err(_) if !self.dir.is_dir() => {}
            Err(error) => {
                if !self.is_failing {
                    log::event("notify-failed").field("mailbox", name).field("reason", error).error().write();
                }
                self.is_failing = true;
            }
        }
    }

    /// What the client knows now; the next look compares.
    pub(super) fn knows(&mut self, known: Known) {
        self.known = Some(known);
        self.stamp = None;
    }
}

fn names(rows: &[Listed], found: &HashMap<String, Found>) -> Names {
    let kept = rows.iter().filter(|row| row.exists || row.is_subscribed);
    kept.map(|row| {
        let identity = found.get(&row.name).and_then(|found| found.surveyed.identity);
        (row.name.clone(), Name { exists: row.exists, identity, is_subscribed: row.is_subscribed })
    })
    .collect()
}

/// METADATA without values (RFC 5464 §4.4.2).
fn tell_annotations(name: Option<&MailboxName>, changed: &[String], enabled: Enabled, out: &mut Vec<u8>) {
    let entries: Vec<&str> = changed.iter().map(String::as_str).collect();
    if !entries.is_empty() {
        response::metadata_entries(out, name, &entries, enabled);
    }
}
