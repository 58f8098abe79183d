//! From a mailbox name to the mailbox, by way of the rights of who is logged in (RFC 4314 §4).
//!
//! Every command that names a mailbox comes through here. One's own mailboxes cost nothing: their owner has all rights, and no list
//! is read. Of a mailbox that one may not see, nothing is told: whatever is asked, the answer is the one for a mailbox that is not there,
//! and the same again when there is no such account.

use super::names::{self, Target};
use super::selected::Selected;
use super::{ImapService, Trouble};
use crate::addr::Address;
use crate::mailbox::{Quota, Rights};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Answer, MailboxName};
use crate::store::{self, Folder, FolderError, Listed, Realm, SEPARATOR, Surveyed, Tree, TreeError};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A name that has been followed to a tree. There need not be a mailbox.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) realm: Realm,
    pub(super) tree: Tree,
    /// What the mailbox is called in its tree.
    pub(super) name: String,
    /// What it is called here, in its one spelling.
    pub(super) shown: MailboxName,
    /// Of who is logged in; none when there is no such mailbox. In one's own tree all of them, mailbox or not.
    pub(super) rights: Rights,
    /// The quota of its tree.
    pub(super) quota: Quota,
    /// It is one's own.
    pub(super) is_own: bool,
}

impl Place {
    /// The mailbox, opened.
    pub(super) fn folder(&self) -> Result<Arc<Folder>, TreeError> {
        self.tree.folder(&self.name)
    }

    /// The rights as they are now.
    pub(super) fn rights_of(&self, who: &Address) -> Result<Rights, TreeError> {
        match self.is_own {
            true => Ok(Rights::ALL),
            false => rights_at(&self.realm, &self.tree, &self.name, who),
        }
    }

    /// The rights on the nearest mailbox above this name (RFC 4314 §4, CREATE). Above all of them is the owner alone.
    pub(super) fn rights_above(&self, who: &Address) -> Result<Rights, TreeError> {
        if self.is_own {
            return Ok(Rights::ALL);
        }
        let above: Vec<&str> = self.name.match_indices(SEPARATOR).map(|(at, _)| &self.name[..at]).collect();
        for name in above.into_iter().rev() {
            if self.tree.exists(name)? {
                return rights_at(&self.realm, &self.tree, name, who);
            }
        }
        Ok(Rights::NONE)
    }
}

/// False for what lies in a tree, but can't be named by others, such as the root of one that nobody owns.
fn is_there(shown: &str, name: &str, me: &Address) -> bool {
    names::follow(shown, me).is_some_and(|target| target.name == name)
}

fn rights_at(realm: &Realm, tree: &Tree, name: &str, who: &Address) -> Result<Rights, TreeError> {
    match tree.acl(name) {
        Ok(acl) => Ok(realm.rights(acl.as_deref(), who)),
        Err(TreeError::Missing | TreeError::BadName) => Ok(Rights::NONE),
        Err(e) => Err(e),
    }
}

impl ImapService {
    /// Who is logged in.
    pub(super) fn me(&self) -> Result<&Address, Trouble> {
        let account = self.account.as_deref().ok_or_else(|| Trouble::Told(super::not_now("log in first")))?;
        Ok(&account.login.account().address)
    }

    /// Follows a name; `None` when it leads to no tree. Nothing is made on the way.
    pub(super) fn place(&self, name: &MailboxName) -> Result<Option<Place>, Trouble> {
        let me = self.me()?;
        let Some(Target { realm, name }) = names::follow(name.as_str(), me) else { return Ok(None) };
        let Some((tree, quota)) = self.tree_of(&realm)? else { return Ok(None) };
        let is_own = realm.owner() == Some(me);
        let rights = if is_own { Rights::ALL } else { rights_at(&realm, &tree, &name, me)? };
        let shown = names::prefix(&realm, me).and_then(|prefix| MailboxName::new(&format!("{prefix}{name}")));
        Ok(shown.map(|shown| Place { realm, tree, name, shown, rights, quota, is_own }))
    }

    /// The tree of a realm, with its quota; `None` when there is none.
    fn tree_of(&self, realm: &Realm) -> Result<Option<(Tree, Quota)>, Trouble> {
        let default = self.desk.site.default_quota();
        let quota = match realm {
            Realm::Account(owner) if owner == self.me()? => return Ok(Some((self.tree()?.clone(), self.quota()))),
            Realm::Account(owner) => match self.desk.logins.find(owner) {
                Ok(Some(account)) => account.quota(default),
                Ok(None) => return Ok(None),
                Err(failure) => return Err(TreeError::Io(std::io::Error::other(failure.to_string())).into()),
            },
            Realm::Shared(_) | Realm::Public(_) => self.desk.site.shared_quota(),
        };
        let home = realm.home(&self.desk.site.root.mail);
        Ok(Tree::existing(self.desk.registry.clone(), &home).map(|tree| (tree, quota)))
    }

    /// All mailboxes of a realm that is not one's own, whether one may see them or not; `None` when there is no such tree, or it can't be read.
    pub(super) fn mailboxes_of(&self, realm: &Realm) -> Option<(Tree, Vec<(Place, Surveyed)>)> {
        let me = self.me().ok()?;
        let (prefix, (tree, quota)) = (names::prefix(realm, me)?, self.tree_of(realm).ok()??);
        let mut mailboxes = Vec::new();
        for (name, surveyed) in tree.surveyed_all().ok()? {
            let shown = MailboxName::new(&format!("{prefix}{name}"));
            let Some(shown) = shown.filter(|shown| is_there(shown.as_str(), &name, me)) else { continue };
            let rights = rights_at(realm, &tree, &name, me).unwrap_or_default();
            let (realm, tree) = (realm.clone(), tree.clone());
            mailboxes.push((Place { realm, tree, name, shown, rights, quota, is_own: false }, surveyed));
        }
        Some((tree, mailboxes))
    }

    /// The place of a mailbox on which one has all of these rights.
    pub(super) fn reach(&self, name: &MailboxName, needed: Rights) -> Result<Place, Trouble> {
        self.reach_if(name, |rights| rights.holds(needed))
    }

    /// The same, by another rule.
    pub(super) fn reach_if(&self, name: &MailboxName, is_enough: impl Fn(Rights) -> bool) -> Result<Place, Trouble> {
        match self.place(name)? {
            Some(place) if is_enough(place.rights) => Ok(place),
            Some(place) if place.rights.holds(Rights::LOOKUP) => Err(Trouble::NoPerm),
            _ => Err(TreeError::Missing.into()),
        }
    }

    /// A mailbox to write to, with its place; when there could be one, the client may create it (TRYCREATE).
    pub(super) fn target(&self, name: &MailboxName) -> Result<(Place, Arc<Folder>), Trouble> {
        let found = self.reach(name, Rights::INSERT).and_then(|place| Ok((place.folder()?, place)));
        match found {
            Ok((folder, place)) => Ok((place, folder)),
            Err(Trouble::Tree(TreeError::Missing)) => {
                let place = self.place(name)?;
                let may_create = match &place {
                    Some(place) => place.rights_above(self.me()?)?.holds(Rights::CREATE),
                    None => false,
                };
                Err(if may_create { Trouble::TryCreate } else { TreeError::Missing.into() })
            }
            Err(trouble) => Err(trouble),
        }
    }

    /// Asks for the rights in the selected mailbox, when it is not one's own: they may be others than a moment ago.
    pub(super) fn renew_rights(&mut self) -> Result<(), Trouble> {
        let Some(Selected { place: Some(place), .. }) = self.selected.as_deref() else { return Ok(()) };
        let rights = place.rights_of(self.me()?)?;
        if let Some(selected) = self.selected.as_deref_mut() {
            selected.rights = rights;
        }
        match rights.holds(Rights::READ) {
            true => Ok(()),
            false => Err(TreeError::Missing.into()),
        }
    }

    /// Tells what may be changed in the selected mailbox when that is something else now (RFC 4314 §5.1.1). Who may not even read
    /// it any more is sent away: the answer is the end of the session then.
    pub(super) fn tell_rights(&mut self, out: &mut Vec<u8>) -> Result<(), Answer> {
        match self.renew_rights() {
            Ok(()) => {}
            Err(Trouble::Tree(TreeError::Missing)) => return Err(self.lost(&FolderError::Gone)),
            Err(Trouble::Tree(TreeError::Folder(error))) => return Err(self.lost(&error)),
            Err(Trouble::Tree(TreeError::Io(error))) => return Err(self.lost(&FolderError::Io(error))),
            Err(_) => return Err(Answer::Bye("the selected mailbox can't be read".to_string())),
        }
        if let Some(selected) = self.selected.as_deref_mut()
            && std::mem::replace(&mut selected.told_rights, selected.rights) != selected.rights
            && !selected.is_read_only
        {
            selected.tell_flags(out);
            let code = Code::PermanentFlags(selected.permanent_flags());
            response::untagged(out, Status::Ok, Some(&code), "your rights have changed");
        }
        Ok(())
    }

    /// The name as its tree has it, with the prefix of its namespace.
    pub(super) fn canonical(&self, name: &MailboxName) -> Result<MailboxName, Trouble> {
        Ok(MailboxName::new(&names::canonical(name.as_str(), self.me()?)).unwrap_or_else(|| name.clone()))
    }

    /// The names that one may see of those that these patterns may match, sorted: one's own, and the shared ones.
    pub(super) fn rows(&self, patterns: &[String]) -> Result<Vec<Listed>, Trouble> {
        let mut rows = BTreeMap::new();
        for row in self.tree()?.list()? {
            let row = match names::is_reserved(&row.name) {
                // What lies in one's own tree under such a name can't be reached; what is subscribed is shown below, if it is there.
                true => Listed { name: row.name, is_subscribed: row.is_subscribed, ..Listed::default() },
                false => row,
            };
            rows.insert(row.name.clone(), row);
        }
        for realm in self.realms(patterns)? {
            self.list_realm(&realm, &mut rows)?;
        }
        Ok(rows.into_values().collect())
    }

    /// The realms, but for one's own, in which there may be something for these patterns.
    fn realms(&self, patterns: &[String]) -> Result<Vec<Realm>, Trouble> {
        let me = self.me()?;
        let wants = |prefix: &str| patterns.iter().any(|pattern| names::may_match(pattern, prefix));
        let domain = || me.domain().to_string();
        let mut realms = Vec::new();
        if wants(names::SHARED) {
            realms.push(Realm::Shared(domain()));
        }
        if wants(names::PUBLIC) {
            realms.push(Realm::Public(domain()));
        }
        if wants(names::OTHERS) {
            let sharing = store::owners_sharing_with(&self.desk.site.root.mail, me).map_err(TreeError::Io)?;
            let named = patterns.iter().filter_map(|pattern| names::named_owner(pattern, me));
            let mut owners: Vec<Address> = sharing.into_iter().chain(named).collect();
            owners.sort_unstable();
            owners.dedup();
            let others = owners.into_iter().map(Realm::Account);
            let matching = |realm: &Realm| names::prefix(realm, me).is_some_and(|prefix| wants(&prefix));
            realms.extend(others.filter(matching));
        }
        Ok(realms)
    }

    /// Adds what one may see of a realm. A tree that can't be read has nothing to show: it must not take one's own mailboxes along.
    fn list_realm(&self, realm: &Realm, rows: &mut BTreeMap<String, Listed>) -> Result<(), Trouble> {
        let me = self.me()?;
        let (Some(prefix), Ok(Some((tree, _)))) = (names::prefix(realm, me), self.tree_of(realm)) else {
            return Ok(());
        };
        for row in tree.list().unwrap_or_default().into_iter().filter(|row| row.exists) {
            let name = format!("{prefix}{}", row.name);
            let rights = rights_at(realm, &tree, &row.name, me).unwrap_or_default();
            if !is_there(&name, &row.name, me) || !rights.holds(Rights::LOOKUP) {
                continue;
            }
            for (at, _) in name.match_indices(SEPARATOR) {
                let above = rows.entry(name[..at].to_string()).or_default();
                above.name = name[..at].to_string();
                above.has_children = true;
            }
            let shown = rows.entry(name.clone()).or_default();
            shown.name = name;
            shown.exists = true;
            shown.is_marked = row.is_marked && rights.holds(Rights::READ);
        }
        Ok(())
    }
}
