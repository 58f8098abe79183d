//! Mailboxes in the trees of others, as far as groups and subscriptions lead there, and what one may do with them now (RFC 5465 §3.1, §5.9).
//!
//! The rights are asked again at each look: no attribute of a tree tells that a list in one of its mailboxes is another one. A mailbox that
//! may not be seen is for all that follows not there, and neither is a tree that can't be read or an account that does not exist: what is
//! told, counted and refused is the same. Only its directory is watched, so that a right which is given later is noticed.

use super::super::access::Place;
use super::super::names as namespaces;
use super::names::Names;
use super::others::{At, Found, Overflow};
use super::{Events, Notifying, OWNERS_LIMIT, WATCHED_LIMIT};
use crate::addr::Address;
use crate::mailbox::Rights;
use crate::proto::imap::{MailboxName, Source};
use crate::store::{Listed, MailboxIdentity, Realm, SEPARATOR, Surveyed, TreeError};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

/// A mailbox of another's that may be seen.
#[derive(Debug)]
pub(super) struct Seen {
    surveyed: Surveyed,
    place: Place,
}

impl Seen {
    /// Its messages and annotations may be told of.
    fn is_readable(&self) -> bool {
        self.place.rights.holds(Rights::READ)
    }
}

/// What a look finds in the trees of others.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// Whose trees were looked at, whether there is anything or not.
    realms: Vec<Realm>,
    seen: BTreeMap<String, Seen>,
    /// Directories in which it shows that rights are others: the trees themselves, and all in them that is meant, seen or not.
    pub(super) doors: Vec<PathBuf>,
}

/// All names and mailboxes, one's own and others'.
pub(super) struct Survey {
    pub(super) rows: Vec<Listed>,
    pub(super) found: HashMap<String, Found>,
    pub(super) elsewhere: Elsewhere,
}

impl Elsewhere {
    fn look(realms: Vec<Realm>, at: &At<'_>, is_meant: impl Fn(&str) -> bool) -> Elsewhere {
        let mut elsewhere = Elsewhere { realms, ..Elsewhere::default() };
        for realm in &elsewhere.realms {
            let Some((tree, mailboxes)) = at.service.mailboxes_of(realm) else { continue };
            elsewhere.doors.push(tree.watched().to_path_buf());
            for (place, surveyed) in mailboxes {
                let name = place.shown.as_str();
                if is_meant(name) {
                    elsewhere.doors.push(surveyed.dir.clone());
                }
                if place.rights.holds(Rights::LOOKUP) {
                    elsewhere.seen.insert(name.to_string(), Seen { surveyed, place });
                }
            }
        }
        elsewhere.doors.sort_unstable();
        elsewhere.doors.dedup();
        elsewhere.doors.truncate(WATCHED_LIMIT);
        elsewhere
    }

    /// True when another look has found the same mailboxes with the same rights.
    fn is_like(&self, other: &Elsewhere) -> bool {
        let rows = |all: &Elsewhere| -> Vec<(String, Surveyed, Rights)> {
            all.seen.iter().map(|(name, seen)| (name.clone(), seen.surveyed.clone(), seen.place.rights)).collect()
        };
        self.realms == other.realms && self.doors == other.doors && rows(self) == rows(other)
    }

    /// What names begin with in trees that were not looked at before.
    fn new_prefixes(&self, before: &Elsewhere, me: &Address) -> Vec<String> {
        let new = self.realms.iter().filter(|realm| !before.realms.contains(realm));
        new.filter_map(|realm| namespaces::prefix(realm, me)).collect()
    }
}

impl Survey {
    fn joined(rows: Vec<Listed>, own: HashMap<String, Surveyed>, elsewhere: Elsewhere) -> Survey {
        let mut named: BTreeMap<String, Listed> = BTreeMap::new();
        for row in rows {
            // What lies in one's own tree under a name of another namespace can't be reached.
            let row = match namespaces::is_reserved(&row.name) {
                true => Listed { name: row.name, is_subscribed: row.is_subscribed, ..Listed::default() },
                false => row,
            };
            named.insert(row.name.clone(), row);
        }
        let own = own.into_iter().filter(|(name, _)| !namespaces::is_reserved(name));
        let mut found: HashMap<String, Found> = own.map(|(name, surveyed)| (name, Found::own(surveyed))).collect();
        for (name, Seen { surveyed, place }) in &elsewhere.seen {
            for (end, _) in name.match_indices(SEPARATOR) {
                let above = named.entry(name[..end].to_string()).or_default();
                above.name = name[..end].to_string();
                above.has_children = true;
            }
            let row = named.entry(name.clone()).or_default();
            row.name = name.clone();
            row.exists = true;
            found.insert(name.clone(), Found { surveyed: surveyed.clone(), place: Some(place.clone()) });
        }
        Survey { rows: named.into_values().collect(), found, elsewhere }
    }
}

impl Notifying {
    /// The groups' names in their one spelling.
    pub(super) fn spelled(source: &Source, me: &Address) -> Source {
        let all = |names: &[MailboxName]| {
            let one = |name: &MailboxName| MailboxName::new(&namespaces::canonical_top(name.as_str(), me));
            names.iter().map(|name| one(name).unwrap_or_else(|| name.clone())).collect()
        };
        match source {
            Source::Subtree(tops) => Source::Subtree(all(tops)),
            Source::Mailboxes(those) => Source::Mailboxes(all(those)),
            other => other.clone(),
        }
    }

    /// Looks at all names.
    pub(super) fn survey(&self, at: &At<'_>) -> Result<Survey, Overflow> {
        let (rows, own) = at.tree.survey()?;
        // One that is not subscribed any more is told of once more, with all that it is.
        let now = rows.iter().filter(|row| row.is_subscribed).map(|row| row.name.as_str());
        let before = self.names.iter().filter(|(_, one)| one.is_subscribed).map(|(name, _)| name.as_str());
        let subscribed: BTreeSet<&str> = now.chain(before).collect();
        let realms = self.realms(&subscribed, at.service.me().map_err(|_| TreeError::Missing)?)?;
        let is_meant = |name: &str| self.events(name, subscribed.contains(name)) != Events::default();
        let elsewhere = Elsewhere::look(realms, at, is_meant);
        Ok(Survey::joined(rows, own, elsewhere))
    }

    /// True when there is something else in the trees of others than at the last look, or something else may be done with it.
    pub(super) fn has_changed_elsewhere(&self, at: &At<'_>) -> bool {
        if self.elsewhere.realms.is_empty() {
            return false;
        }
        let is_meant = |name: &str| {
            let is_subscribed = self.names.get(name).is_some_and(|one| one.is_subscribed);
            self.events(name, is_subscribed) != Events::default()
        };
        !Elsewhere::look(self.elsewhere.realms.clone(), at, is_meant).is_like(&self.elsewhere)
    }

    /// Takes over what a look has found; true when that is something else than before. Names in trees that were not looked at before are
    /// added to those that were known.
    pub(super) fn found_elsewhere(&mut self, elsewhere: Elsewhere, before: &mut Names, me: &Address) -> bool {
        // What was there before anybody asked has not come.
        let prefixes = elsewhere.new_prefixes(&self.elsewhere, me);
        for (name, one) in &self.names {
            if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
                let known = before.entry(name.clone()).or_default();
                (known.exists, known.identity) = (one.exists, one.identity);
            }
        }
        let is_other = !elsewhere.is_like(&self.elsewhere);
        self.elsewhere = elsewhere;
        is_other
    }

    /// The mailboxes of others that are not to be looked into any more, or may be again (RFC 5465 §5.9): each has to be told. One that may
    /// not even be seen is like one that was deleted.
    pub(super) fn access_changes(&mut self, before: &Names) -> BTreeSet<String> {
        let seen = &self.elsewhere.seen;
        let identities: HashSet<MailboxIdentity> = seen.values().filter_map(|seen| seen.surveyed.identity).collect();
        let lost = before.iter().filter(|(name, one)| {
            let is_renamed = one.identity.is_some_and(|identity| identities.contains(&identity));
            one.exists && namespaces::is_reserved(name) && !seen.contains_key(*name) && !is_renamed
        });
        let mut changed = BTreeSet::new();
        for name in seen.keys().chain(lost.map(|(name, _)| name)) {
            let is_subscribed = self.names.get(name).is_some_and(|one| one.is_subscribed);
            if !self.events(name, is_subscribed).has(Events::INSIDE) {
                continue;
            }
            let is_new = match seen.get(name).is_some_and(Seen::is_readable) {
                true => self.refused.remove(name),
                false => self.refused.len() < WATCHED_LIMIT && self.refused.insert(name.clone()),
            };
            if is_new {
                changed.insert(name.clone());
            }
        }
        changed
    }

    /// Whose trees the groups lead to. That depends on what the client said alone, never on what is there.
    fn realms(&self, subscribed: &BTreeSet<&str>, me: &Address) -> Result<Vec<Realm>, Overflow> {
        let mut realms: Vec<Realm> = Vec::new();
        let mut add = |name: &str| {
            let target = namespaces::is_reserved(name).then(|| namespaces::follow(name, me)).flatten();
            if let Some(realm) = target.map(|target| target.realm)
                && realm.owner() != Some(me)
                && !realms.contains(&realm)
            {
                realms.push(realm);
            }
            if realms.len() > OWNERS_LIMIT { Err(Overflow::Limit) } else { Ok(()) }
        };
        for (source, _) in self.groups.iter().filter(|(_, events)| *events != Events::default()) {
            match source {
                Source::Subtree(tops) => {
                    tops.iter().try_for_each(|top| add(&format!("{}{SEPARATOR}x", top.as_str())))?;
                }
                Source::Mailboxes(those) => those.iter().try_for_each(|one| add(one.as_str()))?,
                Source::Subscribed => subscribed.iter().try_for_each(|name| add(name))?,
                _ => {}
            }
        }
        Ok(realms)
    }
}
