//! The lists of rights of a tree's mailboxes: `em-acl` in the mailbox's directory, in the text of [`Acl`].
//!
//! A list goes where its directory goes: renamed with it, deleted with it; a new mailbox has a copy of the list of the mailbox above it,
//! before it has its name (RFC 4314 §4). The tree's lock is held while a list is changed.
//!
//! | state | `em-acl` | meaning | who repairs it |
//! |---|---|---|---|
//! | L0 | − | the realm's default: the owner alone, or for public mailboxes everybody reads | – |
//! | L1 | + | who is named in it | – |
//! | L2 | + | a line is damaged: it gives nothing; when it took something away, only the owner is left | SETACL or `emuser acl`, by their rewriting |
//! | L3 | + | written by a newer version: only the owner is left, and it can't be changed | the newer version |
//!
//! Readers take no lock: a list is replaced by a rename. What was parsed is kept for as long as the file is the same one.

use super::{Tree, TreeError, naming};
use crate::fsx::{self, Identity};
use crate::log;
use crate::mailbox::{Acl, AclChange, Identifier, Subject};
use crate::store::folder::FolderError;
use crate::store::{Realm, shares};
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

pub(super) const NAME: &str = "em-acl";
/// Largest file, in octets: as many identifiers as a list may have, all as long as addresses get.
const FILE_LIMIT: u64 = 1 << 20;
/// Most lists that are remembered.
const REMEMBERED: usize = 10_000;
/// A file younger than this may be replaced by another one that looks the same.
const TICK: Duration = Duration::from_millis(30);

/// Why a list was not changed.
#[derive(Debug, thiserror::Error)]
pub enum AclError {
    /// It has as many identifiers as it may have.
    #[error("a mailbox has at most {} identifiers", crate::mailbox::ACL_LIMIT)]
    TooMany,
    /// Something about the tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl From<io::Error> for AclError {
    fn from(error: io::Error) -> AclError {
        AclError::Tree(error.into())
    }
}

/// The lists that were read, by the paths of their files. One for a process.
#[derive(Debug, Default)]
pub(in crate::store) struct AclCache {
    known: Mutex<HashMap<PathBuf, (Identity, Arc<Acl>)>>,
}

impl AclCache {
    /// The list in this file; `None` when there is no file.
    fn read(&self, path: &Path) -> io::Result<Option<Arc<Acl>>> {
        let metadata = match std::fs::symlink_metadata(path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other.map_err(|e| fsx::context("stat", path, e))?,
        };
        let identity = Identity::from(&metadata);
        // A panic while it was held leaves a map that is as good as before.
        let lock = || self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, acl)) = lock().get(path).filter(|(of, _)| *of == identity) {
            return Ok(Some(acl.clone()));
        }
        // A file that was replaced since is read as the newer one, and again the next time.
        let acl = Arc::new(load(path, &metadata)?);
        let mut known = lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        let changed = Duration::new(metadata.ctime().max(0) as u64, metadata.ctime_nsec().max(0) as u32);
        if (UNIX_EPOCH + changed).elapsed().is_ok_and(|age| age > TICK) {
            known.insert(path.to_path_buf(), (identity, acl.clone()));
        }
        Ok(Some(acl))
    }
}

/// What can't be understood gives nothing to anybody; what can't be read just now is an error.
fn load(path: &Path, metadata: &std::fs::Metadata) -> io::Result<Acl> {
    let is_readable = metadata.is_file() && metadata.len() <= FILE_LIMIT;
    let (acl, damaged) = match is_readable {
        true => Acl::parse(&fsx::read(path, FILE_LIMIT)?),
        false => (Acl::closed(), vec![1]),
    };
    if !damaged.is_empty() {
        let lines: Vec<String> = damaged.iter().map(usize::to_string).collect();
        log::event("acl-damaged").field("file", path.display()).field("lines", lines.join(",")).error().write();
    }
    Ok(acl)
}

impl Tree {
    /// A mailbox's list; `None` when it has none of its own. A directory behind a symbolic link may be another's: it is not this tree's to share.
    pub fn acl(&self, name: &str) -> Result<Option<Arc<Acl>>, TreeError> {
        let disk = self.find(name)?.ok_or(TreeError::Missing)?;
        Ok(self.acl_of(&disk)?)
    }

    /// The same by the name on disk.
    fn acl_of(&self, disk: &str) -> io::Result<Option<Arc<Acl>>> {
        match self.is_elsewhere(disk)? {
            true => Ok(Some(Arc::new(Acl::closed()))),
            false => self.registry.acls.read(&self.dir(disk).join(NAME)),
        }
    }

    /// True for a folder that is a symbolic link.
    fn is_elsewhere(&self, disk: &str) -> io::Result<bool> {
        Ok(!disk.is_empty() && self.dir(disk).symlink_metadata()?.is_symlink())
    }

    /// Changes the rights of one identifier. Durable when it returns.
    pub fn change_acl(
        &self,
        realm: &Realm,
        mail: &Path,
        name: &str,
        subject: &Subject,
        change: AclChange,
    ) -> Result<(), AclError> {
        let _lock = self.lock()?;
        let disk = self.find(name)?.ok_or(TreeError::Missing)?;
        if self.is_elsewhere(&disk)? {
            return Err(TreeError::Refused.into());
        }
        let before = self.acl_of(&disk)?;
        let path = self.dir(&disk).join(NAME);
        if before.as_ref().is_some_and(|acl| acl.is_newer()) {
            return Err(TreeError::Folder(FolderError::Newer(path)).into());
        }
        let mut after = before.as_deref().cloned().unwrap_or_else(|| realm.default_acl());
        if !after.change(subject, change) {
            return Err(AclError::TooMany);
        }
        if before.as_deref() == Some(&after) {
            return Ok(());
        }
        // The mark comes first and goes last: nothing is shared that can't be found (H1 of `shares`).
        if let (Some(owner), true) = (realm.owner(), after.names(&subject.identifier)) {
            shares::note(mail, owner, &subject.identifier)?;
        }
        fsx::replace(&path, after.print().as_bytes(), 0o600)?;
        match realm.owner() {
            Some(owner) if !self.shares_with(&subject.identifier)? => {
                Ok(shares::forget(mail, owner, &subject.identifier)?)
            }
            _ => Ok(()),
        }
    }

    /// Makes the marks of `shares` fit the lists: true when some did not.
    pub fn mend_shares(&self, owner: &crate::addr::Address, mail: &Path) -> Result<bool, TreeError> {
        let _lock = self.lock()?;
        let marked = shares::share_marks(mail, owner)?;
        let mut is_mended = false;
        for identifier in &marked {
            if !self.shares_with(identifier)? {
                shares::forget(mail, owner, identifier)?;
                is_mended = true;
            }
        }
        for disk in self.folders()? {
            let Some(acl) = self.acl_of(&disk)? else { continue };
            for (subject, _) in acl.entries().filter(|(subject, _)| !subject.is_negative) {
                let is_near = match &subject.identifier {
                    Identifier::Account(address) => address.domain() == owner.domain(),
                    Identifier::Anyone => true,
                };
                is_mended |= is_near && !marked.contains(&subject.identifier);
                shares::note(mail, owner, &subject.identifier)?;
            }
        }
        Ok(is_mended)
    }

    /// True when some mailbox gives this identifier something.
    fn shares_with(&self, identifier: &Identifier) -> Result<bool, TreeError> {
        for disk in self.folders()? {
            if self.acl_of(&disk)?.is_some_and(|acl| acl.names(identifier)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The text of the list that a new mailbox of this name has: that of the nearest one above it, if that has one.
    pub(super) fn inherited_acl(&self, name: &str) -> Result<Option<Vec<u8>>, TreeError> {
        for above in naming::ancestors(name).collect::<Vec<_>>().into_iter().rev() {
            if let Some(disk) = self.find(above)? {
                if self.is_elsewhere(&disk)? {
                    return Ok(Some(Acl::default().print().into_bytes()));
                }
                return match fsx::read(&self.dir(&disk).join(NAME), FILE_LIMIT) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
                    text => Ok(Some(text?)),
                };
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::tree;
    use super::*;
    use crate::addr::Address;
    use crate::mailbox::Rights;

    struct World {
        dir: tempfile::TempDir,
        realm: Realm,
        tree: Tree,
    }

    impl World {
        fn new() -> World {
            let dir = tempfile::tempdir().unwrap();
            let realm = Realm::Account(Address::parse("alice@a.test").unwrap());
            let tree = tree(&realm.home(dir.path()), false);
            World { dir, realm, tree }
        }

        fn set(&self, name: &str, who: &str, rights: &str) -> Result<(), AclError> {
            let change = AclChange::Replace(Rights::parse(rights).unwrap());
            let subject = Subject::parse(who, "a.test").unwrap();
            self.tree.change_acl(&self.realm, self.dir.path(), name, &subject, change)
        }

        fn rights(&self, name: &str, who: &str) -> String {
            let acl = self.tree.acl(name).unwrap();
            self.realm.rights(acl.as_deref(), &Address::parse(who).unwrap()).to_string()
        }

        fn file(&self, folder: &str) -> PathBuf {
            self.dir.path().join("a.test/alice/Maildir").join(folder).join(NAME)
        }

        fn found_by(&self, who: &str) -> usize {
            shares::owners_sharing_with(self.dir.path(), &Address::parse(who).unwrap()).unwrap().len()
        }
    }

    #[test]
    fn lists_are_kept_inherited_renamed_and_deleted() {
        let world = World::new();
        let tree = &world.tree;
        tree.create("a/b", None).unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "");
        world.set("a", "bob", "lrk").unwrap();
        assert_eq!(std::fs::read_to_string(world.file(".a")).unwrap(), "em-acl 1\nbob@a.test lrk\n");
        assert_eq!(world.rights("a", "bob@a.test"), "lrkc");
        assert_eq!(world.rights("a/b", "bob@a.test"), "", "what was there before keeps its own");
        tree.create("a/c/d", None).unwrap();
        assert_eq!(world.rights("a/c", "bob@a.test"), "lrkc");
        assert_eq!(world.rights("a/c/d", "bob@a.test"), "lrkc");
        tree.rename("a/c", "other").unwrap();
        assert_eq!(world.rights("other/d", "bob@a.test"), "lrkc");
        tree.create("x", None).unwrap();
        tree.rename("x", "a/new/x").unwrap();
        assert_eq!(world.rights("a/new", "bob@a.test"), "lrkc");
        assert_eq!(world.rights("a/new/x", "bob@a.test"), "");
        tree.delete("a").unwrap();
        tree.create("a", None).unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "", "a deleted mailbox takes its list along");
        assert!(matches!(world.set("nowhere", "bob", "l"), Err(AclError::Tree(TreeError::Missing))));
    }

    #[test]
    fn marks_follow_the_lists() {
        let world = World::new();
        world.tree.create("a", None).unwrap();
        world.set("a", "bob", "l").unwrap();
        world.set("INBOX", "bob", "l").unwrap();
        world.set("a", "-carol", "l").unwrap();
        world.set("a", "anyone", "l").unwrap();
        assert_eq!((world.found_by("bob@a.test"), world.found_by("carol@a.test")), (1, 1));
        world.set("a", "anyone", "").unwrap();
        world.set("a", "bob", "").unwrap();
        assert_eq!((world.found_by("bob@a.test"), world.found_by("carol@a.test")), (1, 0));
        world.set("INBOX", "bob", "").unwrap();
        assert_eq!(world.found_by("bob@a.test"), 0);
        // A list that came by another way, and a mark that leads to nothing.
        std::fs::write(world.file(".a"), "em-acl 1\nbob@a.test lr\n").unwrap();
        shares::note(world.dir.path(), world.realm.owner().unwrap(), &Identifier::Anyone).unwrap();
        assert!(world.tree.mend_shares(world.realm.owner().unwrap(), world.dir.path()).unwrap());
        assert_eq!((world.found_by("bob@a.test"), world.found_by("carol@a.test")), (1, 0));
        assert!(!world.tree.mend_shares(world.realm.owner().unwrap(), world.dir.path()).unwrap());
    }

    #[test]
    fn what_is_not_a_list_gives_nothing() {
        let world = World::new();
        world.tree.create("a", None).unwrap();
        std::fs::write(world.dir.path().join("elsewhere"), "em-acl 1\nbob@a.test lr\n").unwrap();
        std::os::unix::fs::symlink(world.dir.path().join("elsewhere"), world.file(".a")).unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "");
        std::fs::remove_file(world.file(".a")).unwrap();
        std::fs::create_dir(world.file(".a")).unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "");
        std::fs::remove_dir(world.file(".a")).unwrap();
        std::fs::write(world.file(".a"), "em-acl 1\nbob@a.test lr\n".repeat(60_000)).unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "");
        std::fs::write(world.file(".a"), "em-acl 9\nbob@a.test lr\n").unwrap();
        assert_eq!(world.rights("a", "bob@a.test"), "");
        let refused = world.set("a", "bob", "lr");
        assert!(matches!(refused, Err(AclError::Tree(TreeError::Folder(FolderError::Newer(_))))), "{refused:?}");
        // A folder that is a link to somebody's mail.
        world.set("INBOX", "bob", "lr").unwrap();
        let maildir = world.dir.path().join("a.test/alice/Maildir");
        std::os::unix::fs::symlink(&maildir, maildir.join(".link")).unwrap();
        assert_eq!(world.rights("INBOX", "bob@a.test"), "lr");
        assert_eq!(world.rights("link", "bob@a.test"), "");
        let refused = world.set("link", "bob", "lrs");
        assert!(matches!(refused, Err(AclError::Tree(TreeError::Refused))), "{refused:?}");
        world.tree.create("link/below", None).unwrap();
        assert_eq!(world.rights("link/below", "bob@a.test"), "");
        assert_eq!(world.rights("INBOX", "bob@a.test"), "lr");
    }

    #[test]
    fn a_fault_anywhere_leaves_the_old_list_or_the_new_one() {
        use crate::fsx::fault::{Plan, with_plan};
        for n in 1..100 {
            let world = World::new();
            let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
            let (result, struck) = with_plan(plan, || world.set("INBOX", "bob", "lr"));
            let rights = world.rights("INBOX", "bob@a.test");
            assert!(rights == "lr" || (rights.is_empty() && result.is_err()), "operation {n}: {result:?}, {rights:?}");
            // What is shared is found; a mark that leads to nothing is H1.
            assert!(rights.is_empty() || world.found_by("bob@a.test") == 1, "operation {n}");
            world.set("INBOX", "bob", "lrs").unwrap();
            assert_eq!(world.rights("INBOX", "bob@a.test"), "lrs");
            if !struck {
                assert!(n > 3);
                return;
            }
        }
        panic!("the faults have no end");
    }

    #[test]
    fn a_change_is_seen_at_once_however_fast_it_comes() {
        let world = World::new();
        for round in 0..200 {
            let rights = if round % 2 == 0 { "lr" } else { "ls" };
            world.set("INBOX", "bob", rights).unwrap();
            assert_eq!(world.rights("INBOX", "bob@a.test"), rights);
        }
        std::thread::sleep(TICK * 2);
        assert_eq!(world.rights("INBOX", "bob@a.test"), "ls");
        std::fs::write(world.file(""), "em-acl 1\nbob@a.test lw\n").unwrap();
        assert_eq!(world.rights("INBOX", "bob@a.test"), "lw");
    }
}
