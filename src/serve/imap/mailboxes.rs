//! Commands on mailboxes as such: CREATE, DELETE, RENAME, SUBSCRIBE, LIST, LSUB, NAMESPACE, STATUS, and quotas.

use super::access::Place;
use super::names;
use super::{ImapService, Run, Trouble};
use crate::addr::Address;
use crate::mailbox::{Entry, Quota, Rights, System, UidSet};
use crate::proto::imap::response::{self, Code, Namespace, StatusValue};
use crate::proto::imap::{Effect, Enabled, Extension, List, MailboxName, Outcome, StatusItem};
use crate::store::{self, Folder, INBOX, Listed, SEPARATOR, TreeError};
use std::sync::Arc;

/// Special uses that a mailbox can be given (RFC 6154 §2); `\All` and `\Flagged` would be views of others.
const USES: [&str; 5] = ["\\Archive", "\\Drafts", "\\Junk", "\\Sent", "\\Trash"];
/// The quota root of one's own: all that an account has. Others' are called as their mailboxes begin.
const ROOT: &str = "";

impl ImapService {
    pub(super) fn create(&mut self, name: &MailboxName, uses: &[String]) -> Run {
        let place = self.new_place(name)?;
        let known = |wanted: &String| USES.into_iter().find(|known| known.eq_ignore_ascii_case(wanted));
        let special_use = match uses {
            [] => None,
            [one] => match known(one) {
                Some(special_use) => Some(special_use),
                None => return Ok(Outcome::no(Some(Code::UseAttr), "this special use can't be given")),
            },
            _ => return Ok(Outcome::no(Some(Code::UseAttr), "a mailbox has one special use here")),
        };
        if special_use.is_some() && !place.is_own {
            // Whose drafts would they be?
            return Ok(Outcome::no(Some(Code::UseAttr), "only one's own mailboxes have special uses"));
        }
        place.tree.create(&place.name, special_use)?;
        let id = place.folder()?.mailbox_id()?;
        self.note_created(&place.shown);
        Ok(Outcome::ok("created").with_code(Code::MailboxId(id)))
    }

    /// Where a mailbox is to be made: `k` is needed on the nearest one above (RFC 4314 §4). A name that leads nowhere and one where nothing
    /// is allowed are refused alike.
    fn new_place(&self, name: &MailboxName) -> Result<Place, Trouble> {
        let place = self.place(name)?.ok_or(Trouble::NoPerm)?;
        match place.rights_above(self.me()?)?.holds(Rights::CREATE) {
            true => Ok(place),
            false if place.rights.holds(Rights::LOOKUP) => Err(TreeError::Exists.into()),
            false => Err(Trouble::NoPerm),
        }
    }

    pub(super) fn delete(&mut self, name: &MailboxName) -> Run {
        let place = self.reach(name, Rights::DELETE)?;
        place.tree.delete(&place.name)?;
        let name = place.shown;
        self.note_deleted(&name);
        if self.selected.as_ref().is_some_and(|selected| selected.name == name) {
            self.selected = None;
            return Ok(Outcome::ok("deleted; no mailbox is selected now").with_effect(Effect::Unselected));
        }
        Ok(Outcome::ok("deleted"))
    }

    pub(super) fn rename(&mut self, from: &MailboxName, to: &MailboxName) -> Run {
        let source = self.renamed(from)?;
        let target = self.new_place(to)?;
        if source.realm != target.realm {
            return Ok(Outcome::no(Some(Code::Cannot), "a mailbox stays with its owner"));
        }
        source.tree.rename(&source.name, &target.name)?;
        let (from, to) = (source.shown, target.shown);
        self.note_renamed(&from, &to);
        // The selected mailbox goes on under its new name. INBOX stays where it is, without its messages.
        let moved = self.selected.as_ref().filter(|_| !from.is_inbox()).and_then(|selected| {
            let rest = selected.name.as_str().strip_prefix(from.as_str())?;
            (rest.is_empty() || rest.starts_with(SEPARATOR)).then(|| format!("{}{rest}", to.as_str()))
        });
        if let Some(name) = moved.and_then(|name| MailboxName::new(&name)) {
            let place = self.reach(&name, Rights::READ)?;
            let folder = place.folder()?;
            if let Some(selected) = self.selected.as_deref_mut() {
                selected.folder = folder;
                selected.name = name;
                selected.place = (!place.is_own).then_some(place);
            }
        }
        Ok(Outcome::ok("renamed"))
    }

    /// What is to be renamed: `x` is needed on it, and where there is only a name above others, on all of those (RFC 4314 §4). Renaming
    /// another's INBOX would take its messages away; that is its owner's to do.
    fn renamed(&self, name: &MailboxName) -> Result<Place, Trouble> {
        let place = self.place(name)?.ok_or(TreeError::Missing)?;
        if place.is_own {
            return Ok(place);
        }
        if place.tree.exists(&place.name)? {
            let place = self.reach(name, Rights::DELETE)?;
            return if place.name == INBOX { Err(Trouble::NoPerm) } else { Ok(place) };
        }
        // Nothing there, and nothing that may be seen, are the same.
        let (mut is_seen, mut may_rename) = (false, true);
        for row in place.tree.list()?.iter().filter(|row| row.exists && is_below(&row.name, &place.name)) {
            let rights = Place { name: row.name.clone(), ..place.clone() }.rights_of(self.me()?)?;
            is_seen |= rights.holds(Rights::LOOKUP);
            may_rename &= rights.holds(Rights::DELETE);
        }
        match (is_seen, may_rename) {
            (false, _) => Err(TreeError::Missing.into()),
            (true, false) => Err(Trouble::NoPerm),
            (true, true) => Ok(place),
        }
    }

    pub(super) fn subscribe(&mut self, name: &MailboxName, is_subscribed: bool) -> Run {
        // A list of names: whether there is such a mailbox, or may be seen, is not asked.
        let name = self.canonical(name)?;
        self.tree()?.subscribe(name.as_str(), is_subscribed)?;
        self.note_subscribed(&name, is_subscribed);
        Ok(Outcome::ok(if is_subscribed { "subscribed" } else { "unsubscribed" }))
    }

    pub(super) fn namespace(&mut self, out: &mut Vec<u8>) -> Run {
        let namespace = |prefix| Namespace { prefix, delimiter: Some(SEPARATOR) };
        let shared = [namespace(names::SHARED), namespace(names::PUBLIC)];
        response::namespace(out, &[namespace("")], &[namespace(names::OTHERS)], &shared, self.enabled);
        Ok(Outcome::ok("done"))
    }

    /// LIST, with the options of RFC 5258.
    pub(super) fn list(&mut self, list: &List, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        if !list.is_extended && list.patterns.iter().all(String::is_empty) {
            // RFC 9051 §6.3.9: asks for the separator.
            let listed = response::Listed {
                attributes: vec!["\\Noselect"],
                delimiter: Some(SEPARATOR),
                ..response::Listed::default()
            };
            response::list(out, &listed, enabled);
            return Ok(Outcome::ok("listed"));
        }
        let patterns: Vec<String> =
            list.patterns.iter().map(|pattern| format!("{}{pattern}", list.reference)).collect();
        let rows = self.rows(&patterns)?;
        let is_named = |row: &Listed| patterns.iter().any(|pattern| matches(pattern, &row.name));
        for row in rows.iter().filter(|row| is_named(row)) {
            let is_wanted = wanted(row, list);
            let mut wanted_below = below(&rows, row).iter().filter(|row| list.recursive_match && wanted(row, list));
            let has_wanted_below = wanted_below.clone().next().is_some();
            // RFC 5258 §3.5: a name that is not wanted itself is told only for children that are not.
            if !is_wanted && wanted_below.all(is_named) {
                continue;
            }
            let mut child_info = Vec::new();
            if has_wanted_below && list.subscribed {
                child_info.push("SUBSCRIBED");
            }
            if has_wanted_below && list.special_use {
                child_info.push("SPECIAL-USE");
            }
            let listed = response::Listed {
                attributes: attributes(row, list, enabled),
                delimiter: Some(SEPARATOR),
                name: &row.name,
                child_info,
                old_name: None,
            };
            response::list(out, &listed, enabled);
            if !list.returns.status.is_empty() && row.exists && is_wanted {
                self.status_of_listed(&row.name, &list.returns.status, out);
            }
            if list.returns.my_rights && row.exists && is_wanted {
                self.my_rights_of_listed(&row.name, out);
            }
            if !list.returns.metadata.is_empty() && row.exists && is_wanted {
                self.metadata_of_listed(&row.name, &list.returns.metadata, out);
            }
        }
        Ok(Outcome::ok("listed"))
    }

    /// STATUS beside LIST (RFC 5819 §2): a mailbox that can't be read has none.
    fn status_of_listed(&self, name: &str, items: &[StatusItem], out: &mut Vec<u8>) {
        let Some(name) = MailboxName::new(name) else { return };
        let folder = self.reach(&name, Rights::READ).and_then(|place| Ok(place.folder()?));
        if let Ok(values) = folder.and_then(|folder| self.values(&folder, items)) {
            response::status(out, &name, &values, self.enabled);
        }
    }

    /// LSUB (RFC 3501 §6.3.9).
    pub(super) fn lsub(&mut self, reference: &str, pattern: &str, out: &mut Vec<u8>) -> Run {
        let pattern = format!("{reference}{pattern}");
        let rows = self.rows(std::slice::from_ref(&pattern))?;
        for row in &rows {
            if !matches(&pattern, &row.name) {
                continue;
            }
            let attributes = match row.is_subscribed {
                true => Vec::new(),
                // With "%" a name above subscribed ones stands for them.
                false if pattern.contains('%') && below(&rows, row).iter().any(|row| row.is_subscribed) => {
                    vec!["\\Noselect"]
                }
                false => continue,
            };
            let listed = response::Listed {
                attributes,
                delimiter: Some(SEPARATOR),
                name: &row.name,
                ..response::Listed::default()
            };
            response::lsub(out, &listed, self.enabled);
        }
        Ok(Outcome::ok("listed"))
    }

    pub(super) fn status(&mut self, name: &MailboxName, items: &[StatusItem], out: &mut Vec<u8>) -> Run {
        let folder = self.reach(name, Rights::READ)?.folder()?;
        let values = self.values(&folder, items)?;
        response::status(out, name, &values, self.enabled);
        Ok(Outcome::ok("done"))
    }

    fn values(&self, folder: &Arc<Folder>, items: &[StatusItem]) -> Result<Vec<StatusValue>, Trouble> {
        let mut snapshot = folder.refresh()?;
        if items.iter().any(|item| matches!(item, StatusItem::Size | StatusItem::DeletedStorage)) {
            let unknown = snapshot.entries.iter().filter(|entry| entry.size == Entry::UNKNOWN_SIZE);
            let unknown: UidSet = unknown.map(|entry| entry.uid).collect();
            if !unknown.is_empty() {
                snapshot = folder.measure(&unknown, true)?;
            }
        }
        let deleted = || snapshot.entries.iter().filter(|e| e.flags.has(System::Deleted));
        let octets = |entry: &Entry| if entry.size == Entry::UNKNOWN_SIZE { 0 } else { entry.size };
        let mut values = Vec::with_capacity(items.len());
        for item in items {
            values.push(match item {
                StatusItem::Messages => StatusValue::Messages(snapshot.len()),
                StatusItem::Recent => {
                    let recent = snapshot.entries.iter().rev().take_while(|e| e.uid >= snapshot.recent_from);
                    StatusValue::Recent(recent.count() as u32)
                }
                StatusItem::UidNext => StatusValue::UidNext(snapshot.uid_next),
                StatusItem::UidValidity => StatusValue::UidValidity(snapshot.uid_validity),
                StatusItem::Unseen => StatusValue::Unseen(snapshot.unseen()),
                StatusItem::Deleted => StatusValue::Deleted(deleted().count() as u32),
                StatusItem::Size => StatusValue::Size(snapshot.entries.iter().map(octets).sum()),
                StatusItem::HighestModSeq => StatusValue::HighestModSeq(snapshot.highest_modseq),
                StatusItem::MailboxId => StatusValue::MailboxId(folder.mailbox_id()?),
                StatusItem::AppendLimit => StatusValue::AppendLimit(Some(self.append_limit())),
                StatusItem::DeletedStorage => StatusValue::DeletedStorage(deleted().map(octets).sum()),
            });
        }
        Ok(values)
    }

    /// The account's quota.
    pub(super) fn quota(&self) -> Quota {
        let default = self.desk.site.default_quota();
        self.account.as_ref().map_or(Quota::default(), |account| account.login.account().quota(default))
    }

    pub(super) fn get_quota(&mut self, root: &str, out: &mut Vec<u8>) -> Run {
        let place = match root {
            ROOT => MailboxName::new(INBOX).map(|inbox| self.reach(&inbox, Rights::READ)).transpose()?,
            _ => self.readable_in(root)?,
        };
        match place.filter(|place| !place.quota.is_none()) {
            Some(place) => place.tell_quota(root, out)?,
            None => return Ok(Outcome::no(Some(Code::NonExistent), "no such quota root")),
        }
        Ok(Outcome::ok("done"))
    }

    pub(super) fn get_quota_root(&mut self, name: &MailboxName, out: &mut Vec<u8>) -> Run {
        // RFC 9208 §4.1.3: there need be no such mailbox. Of another's the sums are told to those who read it (RFC 9208 §6).
        let place = self.reach(name, Rights::READ)?;
        let root = place.root(self.me()?);
        let roots: &[&str] = if place.quota.is_none() { &[] } else { &[&root] };
        response::quota_root(out, name, roots, self.enabled);
        if !place.quota.is_none() {
            place.tell_quota(&root, out)?;
        }
        Ok(Outcome::ok("done"))
    }

    /// Some mailbox of another's under this quota root that one may read.
    fn readable_in(&self, root: &str) -> Result<Option<Place>, Trouble> {
        // Any name in that tree will do.
        let Some(name) = MailboxName::new(&format!("{root}{SEPARATOR}x")) else { return Ok(None) };
        let Some(place) = self.place(&name)? else { return Ok(None) };
        if place.is_own || place.root(self.me()?) != root {
            return Ok(None);
        }
        for row in place.tree.list()?.into_iter().filter(|row| row.exists) {
            let one = Place { name: row.name, ..place.clone() };
            if one.rights_of(self.me()?)?.holds(Rights::READ) {
                return Ok(Some(one));
            }
        }
        Ok(None)
    }
}

impl Place {
    /// True when so many more octets and messages would exceed its tree's quota.
    pub(super) fn is_over_quota(&self, octets: u64, messages: u64) -> Result<bool, Trouble> {
        if self.quota.is_none() {
            return Ok(false);
        }
        let used = store::usage(self.tree.home()).map_err(TreeError::Io)?;
        Ok(self.quota.is_exceeded((used.octets, used.messages), (octets, messages)))
    }

    fn tell_quota(&self, root: &str, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let used = store::usage(self.tree.home()).map_err(TreeError::Io)?;
        // RFC 9208 §5.1: in units of 1024 octets.
        let storage = ("STORAGE", used.octets.div_ceil(1024), self.quota.octets / 1024);
        let messages = ("MESSAGE", used.messages, self.quota.messages);
        let limits = [(storage, self.quota.octets), (messages, self.quota.messages)];
        let set: Vec<_> = limits.into_iter().filter(|(_, limit)| *limit > 0).map(|(resource, _)| resource).collect();
        response::quota(out, root, &set);
        Ok(())
    }

    /// The name of its quota root.
    fn root(&self, me: &Address) -> String {
        let prefix = names::prefix(&self.realm, me).unwrap_or_default();
        prefix.strip_suffix(SEPARATOR).unwrap_or(ROOT).to_string()
    }
}

fn is_below(name: &str, above: &str) -> bool {
    name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR))
}

/// True when the selection options of a LIST choose this name.
fn wanted(row: &Listed, list: &List) -> bool {
    let by_subscription = if list.subscribed { row.is_subscribed } else { row.exists || row.has_children };
    by_subscription && (!list.special_use || row.special_use.is_some())
}

/// All rows below this one; they are sorted by name.
fn below<'a>(rows: &'a [Listed], above: &Listed) -> &'a [Listed] {
    let prefix = format!("{}{SEPARATOR}", above.name);
    let first = rows.partition_point(|row| row.name < prefix);
    let count = rows[first..].partition_point(|row| row.name.starts_with(&prefix));
    &rows[first..first + count]
}

fn attributes<'a>(row: &'a Listed, list: &List, enabled: Enabled) -> Vec<&'a str> {
    let mut attributes = Vec::new();
    if !row.exists {
        // RFC 5258 §3.1: \NonExistent says \Noselect too; who does not know it needs the old word.
        let knows = list.is_extended || enabled.has(Extension::Imap4Rev2);
        attributes.push(if knows { "\\NonExistent" } else { "\\Noselect" });
    }
    attributes.push(if row.has_children { "\\HasChildren" } else { "\\HasNoChildren" });
    if row.exists && row.is_marked {
        attributes.push("\\Marked");
    }
    if row.is_subscribed && (list.subscribed || list.returns.subscribed) {
        attributes.push("\\Subscribed");
    }
    attributes.extend(row.special_use.as_deref());
    attributes
}

/// `list-mailbox` (RFC 9051 §6.3.9): `*` is anything, `%` anything but the separator. INBOX is matched in any case.
fn matches(pattern: &str, name: &str) -> bool {
    if matches_exactly(pattern, name) || (name == INBOX && matches_exactly(&pattern.to_ascii_uppercase(), name)) {
        return true;
    }
    // The level is INBOX in any case for what is below it, too.
    match pattern.split_at_checked(INBOX.len()) {
        Some((first, rest)) if first.eq_ignore_ascii_case(INBOX) && first != INBOX && rest.starts_with(SEPARATOR) => {
            matches_exactly(&format!("{INBOX}{rest}"), name)
        }
        _ => false,
    }
}

/// The time is the product of both lengths, however many wildcards there are.
fn matches_exactly(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // reachable[i]: the pattern up to here matches the first i characters of the name.
    let mut reachable = vec![false; name.len() + 1];
    reachable[0] = true;
    for wanted in pattern {
        match wanted {
            '*' | '%' => {
                for i in 1..=name.len() {
                    reachable[i] |= reachable[i - 1] && (wanted == '*' || name[i - 1] != SEPARATOR);
                }
            }
            _ => {
                for i in (1..=name.len()).rev() {
                    reachable[i] = reachable[i - 1] && name[i - 1] == wanted;
                }
                reachable[0] = false;
            }
        }
    }
    reachable[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("%", "a/b", false),
            ("%", "a", true),
            ("a/%", "a/b", true),
            ("a/%", "a/b/c", false),
            ("a*c", "a/b/c", true),
            ("%/%", "a/b", true),
            ("inbox", "INBOX", true),
            ("in%", "INBOX", true),
            ("inbox", "inboxes", false),
            ("inbox/%", "INBOX/a", true),
            ("inbox%", "INBOX/a", false),
            ("", "a", false),
            ("*%*%*", "x/y", true),
            ("日%", "日本", true),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
        }
        let pattern = "*a".repeat(500);
        assert!(!matches(&pattern, &"ab".repeat(400)));
    }
}
