//! Looking at everything but the selected mailbox, and telling what is new.

use super::names::{Happened, Name, Names, What, difference};
use super::status::Known;
use super::{Events, Notifying, WATCHED_LIMIT, named};
use crate::log;
use crate::proto::imap::response;
use crate::proto::imap::{Enabled, MailboxName};
use crate::store::{Annotations, FolderError, Identity, Listed, SEPARATOR, Stamp, Surveyed, Tree, TreeError};
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;

/// Where is looked, and for whom.
pub(super) struct At<'a> {
    pub(super) tree: &'a Tree,
    /// Its messages are not told of here.
    pub(super) selected: Option<&'a MailboxName>,
    pub(super) enabled: Enabled,
}

/// Why a look failed.
pub(super) enum Overflow {
    /// More mailboxes than [`WATCHED_LIMIT`].
    Limit,
    Tree(TreeError),
}

impl From<TreeError> for Overflow {
    fn from(error: TreeError) -> Overflow {
        Overflow::Tree(error)
    }
}

/// A mailbox that is looked into.
#[derive(Debug)]
pub(super) struct Mailbox {
    pub(super) dir: PathBuf,
    pub(super) events: Events,
    identity: Option<Identity>,
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
    fn look(&mut self, tree: &Tree, dir: Option<&PathBuf>, name: Option<&str>) -> Result<Vec<String>, TreeError> {
        let stamp = tree.stamp_of_annotations(dir.map(PathBuf::as_path));
        if stamp.is_some() && stamp == self.stamp {
            return Ok(Vec::new());
        }
        let digests = digests(&tree.annotations(name)?);
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
        let (rows, found) = at.tree.survey()?;
        self.names = names(&rows, &found);
        self.choose(found)?;
        if self.tells_account {
            self.annotations.look(at.tree, None, None)?;
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
        }
        if self.tells_account {
            let changed = self.annotations.look(at.tree, None, None)?;
            tell_annotations(None, &changed, at.enabled, out);
        }
        for (name, mailbox) in &mut self.mailboxes {
            let looked = mailbox.look(name, at, out);
            mailbox.survived(name, looked);
        }
        Ok(())
    }

    fn look_at_names(&mut self, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), Overflow> {
        let (rows, found) = at.tree.survey()?;
        let after = names(&rows, &found);
        if after == self.names && !std::mem::take(&mut self.is_choice_due) {
            return Ok(());
        }
        let before = std::mem::replace(&mut self.names, after);
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
                tell_name(&name, &rows, old.as_ref(), at.enabled, out);
            }
        }
        self.choose(found)
    }

    /// Which mailboxes are looked into, as the names are now.
    fn choose(&mut self, found: HashMap<String, Surveyed>) -> Result<(), Overflow> {
        let mut old = std::mem::take(&mut self.mailboxes);
        let mut renamed: HashMap<Identity, String> = HashMap::new();
        for (name, mailbox) in &old {
            if let (Some(identity), false) = (mailbox.identity, self.names.get(name).is_some_and(|one| one.exists)) {
                renamed.insert(identity, name.clone());
            }
        }
        for (name, Surveyed { dir, identity }) in found {
            let is_subscribed = self.names.get(&name).is_some_and(|one| one.is_subscribed);
            let events = self.events(&name, is_subscribed);
            if !events.has(Events::INSIDE) {
                continue;
            }
            let was = old.remove(&name).or_else(|| old.remove(renamed.get(&identity?)?));
            let mailbox = match was {
                Some(was) if was.dir == dir && was.identity == identity => Mailbox { events, ..was },
                // What was known of it holds, but not how its files looked.
                Some(was) => Mailbox { events, ..was.moved(Surveyed { dir, identity }) },
                None => Mailbox::new(Surveyed { dir, identity }, events),
            };
            self.mailboxes.insert(name, mailbox);
        }
        self.is_rewatch_due = true;
        if self.mailboxes.len() > WATCHED_LIMIT { Err(Overflow::Limit) } else { Ok(()) }
    }
}

impl At<'_> {
    fn is_selected(&self, name: &str) -> bool {
        self.selected.is_some_and(|selected| selected.as_str() == name)
    }
}

impl Mailbox {
    /// Nothing is known of it.
    fn new(found: Surveyed, events: Events) -> Mailbox {
        let Surveyed { dir, identity } = found;
        Mailbox {
            dir,
            events,
            identity,
            stamp: None,
            known: None,
            annotations: Annotated::default(),
            is_failing: false,
        }
    }

    /// One that this session has just made: if it is still as it was made, its client knows it.
    pub(super) fn just_made(name: &str, found: Surveyed, events: Events, at: &At<'_>) -> Mailbox {
        let mut mailbox = Mailbox::new(found, events);
        let begun = mailbox.begin(name, at);
        mailbox.survived(name, begun);
        mailbox.known = mailbox.known.filter(Known::is_fresh);
        mailbox
    }

    /// The same one in another place.
    pub(super) fn moved(self, found: Surveyed) -> Mailbox {
        let Surveyed { dir, identity } = found;
        let annotations = Annotated { stamp: None, ..self.annotations };
        Mailbox { dir, identity, stamp: None, annotations, ..self }
    }

    fn begin(&mut self, name: &str, at: &At<'_>) -> Result<(), TreeError> {
        if self.events.has(Events::MESSAGES) {
            self.stamp = at.tree.stamp_of_messages(&self.dir);
            self.known = Some(Known::of(&*at.tree.folder(name)?.refresh()?));
        }
        if self.events.has(Events::ANNOTATIONS) {
            self.annotations.look(at.tree, Some(&self.dir), Some(name))?;
        }
        Ok(())
    }

    fn look(&mut self, name: &str, at: &At<'_>, out: &mut Vec<u8>) -> Result<(), TreeError> {
        let Some(shown) = named(name) else { return Ok(()) };
        if self.events.has(Events::MESSAGES) && !at.is_selected(name) {
            // The attributes first: what happens meanwhile shows at the next look.
            let stamp = at.tree.stamp_of_messages(&self.dir);
            if stamp.is_none() || stamp != self.stamp || self.known.is_none() {
                let now = Known::of(&*at.tree.folder(name)?.refresh()?);
                let values = now.since(self.known.as_ref(), self.events, at.enabled);
                if !values.is_empty() {
                    response::status(out, &shown, &values, at.enabled);
                }
                self.known = Some(now);
                self.stamp = stamp;
            }
        }
        if self.events.has(Events::ANNOTATIONS) {
            let changed = self.annotations.look(at.tree, Some(&self.dir), Some(name))?;
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

fn names(rows: &[Listed], found: &HashMap<String, Surveyed>) -> Names {
    let kept = rows.iter().filter(|row| row.exists || row.is_subscribed);
    kept.map(|row| {
        let identity = found.get(&row.name).and_then(|surveyed| surveyed.identity);
        (row.name.clone(), Name { exists: row.exists, identity, is_subscribed: row.is_subscribed })
    })
    .collect()
}

/// LIST, with all attributes that a name has now (RFC 5465 §5.4, §5.5).
fn tell_name(name: &str, rows: &[Listed], old_name: Option<&MailboxName>, enabled: Enabled, out: &mut Vec<u8>) {
    let nothing = Listed::default();
    let row = rows.binary_search_by(|row| row.name.as_str().cmp(name)).map_or(&nothing, |at| &rows[at]);
    let mut attributes = Vec::new();
    if !row.exists {
        attributes.push("\\NonExistent");
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

/// METADATA without values (RFC 5464 §4.4.2).
fn tell_annotations(name: Option<&MailboxName>, changed: &[String], enabled: Enabled, out: &mut Vec<u8>) {
    let entries: Vec<&str> = changed.iter().map(String::as_str).collect();
    if !entries.is_empty() {
        response::metadata_entries(out, name, &entries, enabled);
    }
}
