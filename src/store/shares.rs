//! Who shares something with whom: so that LIST need not read everybody's rights.
//!
//! Called by `store::tree` when it changes a list, by `serve` and `emuser check-mail`.
//! `mail/DOMAIN/.shares/USER/OWNER` is an empty file: some mailbox of OWNER's has a list that names USER of DOMAIN. `.anyone` in place of
//! USER stands for everybody of the domain. OWNER is an address, written as the names of homes are. A mark is only a hint: what a list gives counts, and a mark that leads to nothing does
//! no harm.
//!
//! | state | mark | list | meaning | who repairs it |
//! |---|---|---|---|---|
//! | H0 | − | − | nothing is shared | – |
//! | H1 | + | − | a crash before the list was there, or the mailbox was deleted | `emuser check-mail`; LIST finds nothing meanwhile |
//! | H2 | + | + | shared | – |
//! | H3 | − | + | the list came by another way, such as a backup | `emuser check-mail`; the mailbox can be named, but is not listed |

use crate::addr::Address;
use crate::fields;
use crate::fsx;
use crate::mailbox::Identifier;
use crate::users;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

const DIR: &str = ".shares";
const ANYONE: &str = ".anyone";

/// The owners with whom this account may find something, in order.
pub fn owners_sharing_with(mail: &Path, who: &Address) -> io::Result<Vec<Address>> {
    let mut owners = BTreeSet::new();
    for identifier in [Identifier::Account(who.clone()), Identifier::Anyone] {
        let dir = dir(mail, &identifier, who.domain());
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| fsx::context("read", &dir, e))?,
        };
        for entry in entries {
            let name = entry?.file_name();
            let owner = name.to_str().and_then(fields::decode).and_then(|text| Address::parse(&text).ok());
            owners.extend(owner.filter(|owner| owner != who));
        }
    }
    Ok(owners.into_iter().collect())
}

/// All identifiers that have a mark of this owner, for the check of marks against lists: of the domain's accounts, and `anyone`. Those of
/// other domains are not looked for.
pub fn share_marks(mail: &Path, owner: &Address) -> io::Result<Vec<Identifier>> {
    let dir = users::domain_home(mail, owner.domain()).join(DIR);
    let entries = match std::fs::read_dir(&dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| fsx::context("read", &dir, e))?,
    };
    let mut marked = Vec::new();
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let identifier = match name.to_str() {
            Some(ANYONE) => Some(Identifier::Anyone),
            name => name
                .and_then(fields::decode)
                .and_then(|local| Address::new(&local, owner.domain()).ok())
                .map(Identifier::Account),
        };
        if let Some(identifier) = identifier.filter(|_| entry.path().join(mark(owner)).exists()) {
            marked.push(identifier);
        }
    }
    Ok(marked)
}

/// Sets the mark, durably. An address too long for a name has none: its mailboxes can be named, but are not listed.
pub(super) fn note(mail: &Path, owner: &Address, identifier: &Identifier) -> io::Result<()> {
    let (dir, mark) = (dir(mail, identifier, owner.domain()), mark(owner));
    if mark.len() > NAME_LIMIT || dir.join(&mark).exists() {
        return Ok(());
    }
    fsx::create_dirs(&dir, 0o700)?;
    drop(fsx::open_append(&dir.join(mark), 0o600)?);
    fsx::sync_dir(&dir)
}

/// Removes the mark.
pub(super) fn forget(mail: &Path, owner: &Address, identifier: &Identifier) -> io::Result<()> {
    let mark = mark(owner);
    match mark.len() > NAME_LIMIT {
        true => Ok(()),
        false => fsx::remove(&dir(mail, identifier, owner.domain()).join(mark)),
    }
}

/// Longest name of a file, in octets (NAME_MAX).
const NAME_LIMIT: usize = 255;

fn mark(owner: &Address) -> String {
    users::directory_name(&owner.to_string())
}

fn dir(mail: &Path, identifier: &Identifier, domain: &str) -> PathBuf {
    let (domain, name) = match identifier {
        Identifier::Account(address) => (address.domain(), users::directory_name(address.local())),
        Identifier::Anyone => (domain, ANYONE.to_string()),
    };
    users::domain_home(mail, domain).join(DIR).join(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back_whatever_the_names_are() {
        let dir = tempfile::tempdir().unwrap();
        let address = |text: &str| Address::parse(text).unwrap();
        let bob = Identifier::Account(address("bob@a.test"));
        let owners = ["\"../x\"@a.test", "alice@a.test", "eve@b.test", "日本@a.test"].map(address);
        for owner in &owners {
            note(dir.path(), owner, &bob).unwrap();
            note(dir.path(), owner, &bob).unwrap();
        }
        note(dir.path(), &address("carol@a.test"), &Identifier::Anyone).unwrap();
        note(dir.path(), &address("mallory@b.test"), &Identifier::Anyone).unwrap();
        let found = owners_sharing_with(dir.path(), &address("bob@a.test")).unwrap();
        let mut expected = [owners.as_slice(), &[address("carol@a.test")]].concat();
        expected.sort();
        assert_eq!(found, expected);
        assert_eq!(owners_sharing_with(dir.path(), &address("carol@a.test")).unwrap(), []);
        assert_eq!(share_marks(dir.path(), &owners[1]).unwrap(), std::slice::from_ref(&bob));
        forget(dir.path(), &owners[1], &bob).unwrap();
        forget(dir.path(), &owners[1], &bob).unwrap();
        assert_eq!(share_marks(dir.path(), &owners[1]).unwrap(), []);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2, "nothing beside the two domains");
    }
}
