//! The mailboxes of an account: a Maildir++ tree under `HOME/Maildir`, which itself is INBOX.
//!
//! Called by `serve` (IMAP) and the account commands. A folder is a directory `.Level.Level` in it; a level without a directory of its own
//! is there only as the name above others.
//!
//! | file in `Maildir` | what it is |
//! |---|---|
//! | `.X.Y/` | a folder, with `maildirfolder` in it |
//! | `subscriptions` | text, one name on disk a line (Dovecot's form) |
//! | `em-special` | text, special uses |
//! | `em-annotations`, also in each folder; `em-annotations-account` | text, annotations (`annotations`) |
//! | `em-acl`, in each folder that has one | text, who has which rights (`access`) |
//! | `em-url-key`, in each folder | text, the secret of authorised URLs (`url_key`) |
//! | `em-tree-lock` | flock(2) of who creates, renames, deletes or subscribes |
//! | `..TIME.X.Y/` | the folder `.X.Y` being deleted: whoever deletes next goes on |
//!
//! A folder is renamed with all below it, the deepest first and itself last: a crash leaves the rest under the old name, for the same command
//! to be repeated. Order of locks: tree, then one mailbox.
//! RFC 9051 §6.3.4–6.3.9, RFC 6154, RFC 5464, RFC 4314, RFC 4467.

mod access;
mod annotations;
mod lists;
mod naming;
mod survey;
mod url_key;

pub(super) use access::AclCache;
pub use access::AclError;
pub use annotations::{AnnotateError, Annotations, VALUE_LIMIT};
pub use naming::{INBOX, SEPARATOR};
pub use survey::{MailboxIdentity, Stamp, Surveyed};
pub use url_key::{UrlKey, UrlKeyMark};

use super::folder::{Folder, FolderError};
use super::registry::Registry;
use crate::fsx::{self, Lock, LockError};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const LOCK: &str = "em-tree-lock";
/// What Maildir++ puts into each folder below INBOX.
const MARKER: &str = "maildirfolder";

/// Why something was not done with the tree.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// No mailbox may be called so.
    #[error("not a mailbox name")]
    BadName,
    /// There is one already.
    #[error("the mailbox exists")]
    Exists,
    /// There is none.
    #[error("no such mailbox")]
    Missing,
    /// INBOX can't be deleted, and nothing be renamed below itself.
    #[error("not allowed for this mailbox")]
    Refused,
    /// Something about one of its mailboxes.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// One name of a tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed {
    /// Its name in UTF-8, levels parted by [`SEPARATOR`].
    pub name: String,
    /// False: the name only stands above others, or is only subscribed.
    pub exists: bool,
    /// True when there are mailboxes below it.
    pub has_children: bool,
    /// `\Sent` and the like, if it has one.
    pub special_use: Option<String>,
    /// Whether it is subscribed.
    pub is_subscribed: bool,
    /// True when it has messages that no session has taken over yet (`\Marked`).
    pub is_marked: bool,
}

/// The mailboxes of an account.
#[derive(Debug, Clone)]
pub struct Tree {
    registry: Arc<Registry>,
    home: PathBuf,
    root: PathBuf,
}

impl Tree {
    /// The tree in this home; INBOX is made when it is missing.
    pub fn open(registry: Arc<Registry>, home: &Path) -> Result<Tree, TreeError> {
        let root = home.join("Maildir");
        for sub in ["tmp", "new", "cur"] {
            fsx::create_dirs(&root.join(sub), 0o700)?;
        }
        Ok(Tree { registry, home: home.to_path_buf(), root })
    }

    /// The tree in this home, if there is one: nothing is made.
    pub fn existing(registry: Arc<Registry>, home: &Path) -> Option<Tree> {
        let root = home.join("Maildir");
        root.join("cur").is_dir().then(|| Tree { registry, home: home.to_path_buf(), root })
    }

    /// The home.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// All names, sorted: mailboxes, names above them, and what is subscribed without being there.
    pub fn list(&self) -> Result<Vec<Listed>, TreeError> {
        let mut names: BTreeMap<String, Listed> = BTreeMap::new();
        let uses = lists::special_uses(&self.root)?;
        for disk in self.folders()? {
            let Some(name) = naming::decode(&disk) else { continue };
            for above in naming::ancestors(&name) {
                let listed = names.entry(above.to_string()).or_default();
                listed.has_children = true;
            }
            let listed = names.entry(name).or_default();
            listed.exists = true;
            listed.special_use = uses.get(&disk).cloned();
            listed.is_marked = has_files(&self.root.join(&disk).join("new"));
        }
        for disk in lists::subscriptions(&self.root)? {
            if let Some(name) = naming::decode(&disk) {
                // Those above a subscribed name stand for it where it can't be shown itself (RFC 5258 §3.5).
                for above in naming::ancestors(&name) {
                    names.entry(above.to_string()).or_default();
                }
                names.entry(name).or_default().is_subscribed = true;
            }
        }
        let named = names.into_iter().map(|(name, listed)| Listed { name, ..listed });
        Ok(named.collect())
    }

    /// Opens a mailbox.
    pub fn folder(&self, name: &str) -> Result<Arc<Folder>, TreeError> {
        let disk = self.find(name)?.ok_or(TreeError::Missing)?;
        Ok(self.registry.open(&self.home, &self.dir(&disk))?)
    }

    /// True when there is such a mailbox.
    pub fn exists(&self, name: &str) -> Result<bool, TreeError> {
        Ok(self.find(name)?.is_some())
    }

    /// Makes a mailbox, and those above it that are missing, with a special use if one is given (RFC 6154 §3).
    pub fn create(&self, name: &str, special_use: Option<&str>) -> Result<(), TreeError> {
        let name = naming::normal(name);
        self.check_new(&name)?;
        let is_attribute = |text: &str| {
            let word = text.strip_prefix('\\').unwrap_or_default();
            !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric())
        };
        if special_use.is_some_and(|text| !is_attribute(text)) {
            return Err(TreeError::BadName);
        }
        let _lock = self.lock()?;
        if self.find(&name)?.is_some() {
            return Err(TreeError::Exists);
        }
        for name in naming::ancestors(&name).chain([name.as_str()]) {
            self.make_missing(name)?;
        }
        match special_use {
            Some(attribute) => self.set_special_use(&name, attribute),
            None => Ok(()),
        }
    }

    /// Notes the special use of a mailbox. The tree's lock is held.
    fn set_special_use(&self, name: &str, attribute: &str) -> Result<(), TreeError> {
        let disk = self.find(name)?.ok_or(TreeError::Missing)?;
        let mut uses = lists::special_uses(&self.root)?;
        uses.insert(disk, attribute.to_string());
        Ok(lists::write_special_uses(&self.root, &uses)?)
    }

    /// Deletes a mailbox; its messages go to the trash when the account keeps one. What is below it stays.
    pub fn delete(&self, name: &str) -> Result<(), TreeError> {
        let name = naming::normal(name);
        if name == INBOX {
            return Err(TreeError::Refused);
        }
        let _lock = self.lock()?;
        let disk = self.find(&name)?.ok_or(TreeError::Missing)?;
        let now = (self.registry.settings().clock)();
        // From here on no name leads to it: what its sessions still do fails.
        fsx::rename(&self.dir(&disk), &self.root.join(format!("..{}{disk}", now.0.max(0))))?;
        fsx::sync_dir(&self.root)?;
        let mut uses = lists::special_uses(&self.root)?;
        if uses.remove(&disk).is_some() {
            lists::write_special_uses(&self.root, &uses)?;
        }
        self.sweep()
    }

    /// Renames a mailbox and all below it. INBOX is not renamed: its messages are moved to the new mailbox (RFC 9051 §6.3.6).
    pub fn rename(&self, from: &str, to: &str) -> Result<(), TreeError> {
        let (from, to) = (naming::normal(from), naming::normal(to));
        self.check_new(&to)?;
        let is_below =
            |name: &str, above: &str| name.strip_prefix(above).is_some_and(|rest| rest.starts_with(SEPARATOR));
        if from == INBOX {
            self.create(&to, None)?;
            let (inbox, target) = (self.folder(INBOX)?, self.folder(&to)?);
            let all = inbox.refresh()?.entries.iter().map(|e| e.uid).collect();
            self.copy_annotations_of_inbox(&to)?;
            inbox.move_to(&all, &target)?;
            return Ok(());
        }
        if from == to || self.find(&to)?.is_some() {
            return Err(TreeError::Exists);
        }
        if is_below(&to, &from) {
            return Err(TreeError::Refused);
        }
        let _lock = self.lock()?;
        let mut moves = Vec::new();
        for disk in self.folders()? {
            let Some(name) = naming::decode(&disk) else { continue };
            if name == from || is_below(&name, &from) {
                let target = format!("{to}{}", &name[from.len()..]);
                let target_disk = naming::encode(&target)?;
                if self.find(&target)?.is_some() {
                    return Err(TreeError::Exists);
                }
                moves.push((name, disk, target_disk));
            }
        }
        if moves.is_empty() {
            return Err(TreeError::Missing);
        }
        for name in naming::ancestors(&to) {
            self.make_missing(name)?;
        }
        // The longest first: the mailbox itself goes last.
        moves.sort_by_key(|(name, ..)| std::cmp::Reverse(name.len()));
        let mut uses = lists::special_uses(&self.root)?;
        let mut have_uses_changed = false;
        for (_, disk, target) in &moves {
            fsx::rename(&self.dir(disk), &self.dir(target))?;
            if let Some(attribute) = uses.remove(disk) {
                uses.insert(target.clone(), attribute);
                have_uses_changed = true;
            }
        }
        fsx::sync_dir(&self.root)?;
        if have_uses_changed {
            lists::write_special_uses(&self.root, &uses)?;
        }
        Ok(())
    }

    /// Subscribes to a name, whether a mailbox is there or not, or ends it.
    pub fn subscribe(&self, name: &str, is_subscribed: bool) -> Result<(), TreeError> {
        let disk = match self.find(name)? {
            Some(disk) => disk,
            None => naming::encode(name)?,
        };
        let _lock = self.lock()?;
        let mut all = lists::subscriptions(&self.root)?;
        let is_change = if is_subscribed { all.insert(disk) } else { all.remove(&disk) };
        if is_change {
            lists::write_subscriptions(&self.root, &all)?;
        }
        Ok(())
    }

    /// The usual spelling of a mailbox name: INBOX in capitals, no separator at the end.
    pub fn normal(name: &str) -> String {
        naming::normal(name)
    }

    /// The name of a folder on disk for people: what [`super::Trashed::folder`] means.
    pub fn name_of(disk: &str) -> Option<String> {
        naming::decode(disk)
    }

    /// A new name must be one, and one that a client can ask for.
    fn check_new(&self, name: &str) -> Result<(), TreeError> {
        naming::encode(name)?;
        // The wildcards of LIST.
        if name.contains(['*', '%']) { Err(TreeError::BadName) } else { Ok(()) }
    }

    fn dir(&self, disk: &str) -> PathBuf {
        if disk.is_empty() { self.root.clone() } else { self.root.join(disk) }
    }

    /// The folder that is called so, by its name on disk.
    fn find(&self, name: &str) -> Result<Option<String>, TreeError> {
        let name = naming::normal(name);
        if let Ok(disk) = naming::encode(&name)
            && naming::decode(&disk).as_deref() == Some(&name)
            && self.dir(&disk).join("cur").is_dir()
        {
            return Ok(Some(disk));
        }
        // One that another program named in its own way.
        Ok(self.folders()?.into_iter().find(|disk| naming::decode(disk).as_deref() == Some(&name)))
    }

    /// All folders by their names on disk, INBOX (empty) first.
    fn folders(&self) -> Result<Vec<String>, TreeError> {
        let mut folders = vec![String::new()];
        for entry in std::fs::read_dir(&self.root).map_err(|e| fsx::context("read", &self.root, e))? {
            let entry = entry?;
            let Ok(disk) = entry.file_name().into_string() else { continue };
            if disk.starts_with('.') && !disk.starts_with("..") && entry.path().join("cur").is_dir() {
                folders.push(disk);
            }
        }
        folders.sort_unstable();
        Ok(folders)
    }

    /// Makes a mailbox when it is missing; it has the rights of the one above it (RFC 4314 §4). The tree's lock is held.
    fn make_missing(&self, name: &str) -> Result<(), TreeError> {
        match self.find(name)? {
            Some(_) => Ok(()),
            None => self.make(&naming::encode(name)?, self.inherited_acl(name)?.as_deref()),
        }
    }

    /// Makes a folder: its parts first, under a name that shows nowhere, so that it is there whole or not at all.
    fn make(&self, disk: &str, acl: Option<&[u8]>) -> Result<(), TreeError> {
        let now = (self.registry.settings().clock)();
        let draft = self.root.join(format!("..{}{disk}", now.0.max(0)));
        for sub in ["tmp", "new", "cur"] {
            fsx::create_dirs(&draft.join(sub), 0o700)?;
        }
        drop(fsx::open_append(&draft.join(MARKER), 0o600)?);
        if let Some(acl) = acl {
            fsx::replace(&draft.join(access::NAME), acl, 0o600)?;
        }
        fsx::sync_dir(&draft)?;
        fsx::rename(&draft, &self.root.join(disk))?;
        Ok(fsx::sync_dir(&self.root)?)
    }

    /// Finishes deletions: messages to the trash, then everything else.
    fn sweep(&self) -> Result<(), TreeError> {
        for entry in std::fs::read_dir(&self.root).map_err(|e| fsx::context("read", &self.root, e))? {
            let entry = entry?;
            let Ok(hidden) = entry.file_name().into_string() else { continue };
            let Some(rest) = hidden.strip_prefix("..") else { continue };
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            if digits == 0 || !rest[digits..].starts_with('.') {
                continue;
            }
            let dir = entry.path();
            if dir.join("cur").is_dir() {
                let folder = Folder::open(&self.home, &dir, Arc::new(self.registry.settings().clone()))?;
                folder.empty(&rest[digits..])?;
            }
            fsx::remove_tree(&dir)?;
        }
        Ok(())
    }

    fn lock(&self) -> Result<Lock, TreeError> {
        match Lock::wait(&self.root.join(LOCK), self.registry.settings().lock_patience) {
            Ok(lock) => Ok(lock),
            Err(LockError::Io(e)) => Err(e.into()),
            Err(LockError::Held | LockError::Gone) => Err(FolderError::Busy.into()),
        }
    }
}

fn has_files(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|mut entries| entries.next().is_some())
}

#[cfg(test)]
mod tests;
