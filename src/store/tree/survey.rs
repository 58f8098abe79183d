//! What must be looked at to hear of changes in a tree: names, directories, and whether they are as they were (RFC 5465).
//!
//! A [`Stamp`] costs a few looks at attributes; only when it is another one, or too young to be trusted, is anything read.

use super::{Listed, Tree, TreeError, annotations, lists, naming};
use crate::clock::Timestamp;
use crate::store::Folder;
use crate::store::folder::TICK_NS;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Tells a mailbox that was renamed from another one of the same name: inode and birth of its directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MailboxIdentity {
    inode: u64,
    born: Timestamp,
}

#[cfg(test)]
impl MailboxIdentity {
    /// One that differs from those with other numbers.
    pub fn made_up(inode: u64) -> MailboxIdentity {
        MailboxIdentity { inode, born: Timestamp(0) }
    }
}

/// How files and directories looked: inode, size and time of each; zero for one that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stamp(Box<[(u64, u64, i64)]>);

impl Stamp {
    /// Looks at these. `None` when one was changed a moment ago, so that a later change could look the same.
    fn of(paths: &[PathBuf], now: Timestamp) -> Option<Stamp> {
        let mut looks = Vec::with_capacity(paths.len());
        for path in paths {
            let Ok(metadata) = std::fs::symlink_metadata(path) else {
                looks.push((0, 0, 0));
                continue;
            };
            let modified = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
            if now.0.saturating_mul(1000).saturating_sub(modified) < TICK_NS {
                return None;
            }
            looks.push((metadata.ino(), metadata.len(), modified));
        }
        Some(Stamp(looks.into()))
    }
}

/// A mailbox that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// Its directory.
    pub dir: PathBuf,
    /// Which one it is; `None` where the file system does not know when a file was born: an inode that is used again would look like
    /// the old one.
    pub identity: Option<MailboxIdentity>,
}

impl Tree {
    /// The directory that must be watched to hear of mailboxes that come, go or change their names, of subscriptions, and of the account's
    /// annotations.
    pub fn watched(&self) -> &Path {
        &self.root
    }

    /// All names, sorted, and what lies behind those that exist.
    pub fn survey(&self) -> Result<(Vec<Listed>, HashMap<String, Surveyed>), TreeError> {
        Ok((self.list()?, self.surveyed_all()?))
    }

    /// What lies behind all names that exist.
    pub fn surveyed_all(&self) -> Result<HashMap<String, Surveyed>, TreeError> {
        let mut found = HashMap::new();
        for disk in self.folders()? {
            let Some(name) = naming::decode(&disk) else { continue };
            let dir = self.dir(&disk);
            found.insert(name, Surveyed { identity: identity(&dir), dir });
        }
        Ok(found)
    }

    /// What lies behind one name now.
    pub fn surveyed(&self, name: &str) -> Option<Surveyed> {
        let dir = self.dir(&self.find(name).ok()??);
        Some(Surveyed { identity: identity(&dir), dir })
    }

    /// Of what [`Tree::survey`] reads.
    pub fn stamp(&self) -> Option<Stamp> {
        self.look_at(&[self.root.clone(), self.root.join(lists::SUBSCRIPTIONS)])
    }

    /// Of the messages of the mailbox in this directory.
    pub fn stamp_of_messages(&self, dir: &Path) -> Option<Stamp> {
        self.look_at(&Folder::changing(dir))
    }

    /// Of the annotations of the mailbox in this directory, or of the account.
    pub fn stamp_of_annotations(&self, dir: Option<&Path>) -> Option<Stamp> {
        self.look_at(&[match dir {
            Some(dir) => dir.join(annotations::NAME),
            None => self.root.join(annotations::ACCOUNT),
        }])
    }

    fn look_at(&self, paths: &[PathBuf]) -> Option<Stamp> {
        Stamp::of(paths, (self.registry.settings().clock)())
    }
}

fn identity(dir: &Path) -> Option<MailboxIdentity> {
    let metadata = std::fs::metadata(dir).ok()?;
    Some(MailboxIdentity { inode: metadata.ino(), born: Timestamp::from(metadata.created().ok()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_trusted_when_it_has_settled() {
        let dir = tempfile::tempdir().unwrap();
        let paths = [dir.path().to_path_buf(), dir.path().join("none")];
        let now = Timestamp::now();
        assert_eq!(Stamp::of(&paths, now), None, "made this moment");
        let later = Timestamp(now.0 + 1_000_000);
        let before = Stamp::of(&paths, later).unwrap();
        assert_eq!(Stamp::of(&paths, later).as_ref(), Some(&before));
        std::fs::write(dir.path().join("none"), "x").unwrap();
        assert_ne!(Stamp::of(&paths, Timestamp(now.0 + 2_000_000)), Some(before));
    }
}
