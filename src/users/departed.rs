//! Homes of deleted accounts, kept for a while with what is needed to bring them back.
//!
//! Called by `emuser delete`, `restore`, `purge`, `list --deleted` and the imports. All of it lies in the mail tree, belongs to `em` and goes
//! together: `mail/DOMAIN/.deleted/WHEN.USER/` is the home as it was, and in it `deleted-account`, a text of lines:
//!
//! ```text
//! # em-deleted 1
//! alice@example.test pw=… quota=…                                 its line of etc/users
//! right owner=bob@example.test mailbox=Plans who=alice@example.test rights=lrs
//! ```
//!
//! The latter are rights that others gave to it: they were taken from their lists, so that the next one of this name does not get them.
//!
//! | state | etc/users | `deleted-account` | home | meaning | who repairs it |
//! |---|---|---|---|---|---|
//! | A0 | + | − | in place | an account | – |
//! | A1 | + | + | in place | nothing has happened to it yet, or it is back and lacks rights | `emuser restore`; the next delete writes the file anew |
//! | A2 | − | + | in place | deleted; nobody can be given this address yet | `emuser delete` and the import finish it, `emuser restore` takes it back |
//! | A3 | − | + | in `.deleted` | deleted | – |
//! | A4 | − | ? | in `.deleted`, as `purge.…` | being removed for good | `emuser purge --all` |
//!
//! Trust: who may write here may write etc/users as well.

use super::{Account, directory_name, domain_home};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Where they lie in the folder of a domain.
const DIR: &str = ".deleted";
/// What stands before the name of one that is being removed.
const PURGED: &str = "purge.";
/// The file in the home.
const NOTE: &str = "deleted-account";
const HEADER: &str = "# em-deleted 1";
/// Largest such file.
const NOTE_LIMIT: u64 = 16 << 20;

/// What is noted of an account when it is deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// The account.
    pub account: Account,
    /// Rights that others gave to it.
    pub rights: Vec<GivenRights>,
}

/// Rights of an account on a mailbox of others, as the account commands write them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenRights {
    /// Whose mailbox.
    pub owner: String,
    /// Its name.
    pub mailbox: String,
    /// The account, with a dash in front where rights are taken away.
    pub who: String,
    /// Letters.
    pub rights: String,
}

impl Note {
    /// Reads the note in a home; `None` when there is none.
    pub fn read(home: &Path) -> io::Result<Option<Note>> {
        let path = home.join(NOTE);
        let bytes = match fsx::read(&path, NOTE_LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let damaged = || fsx::context("read", &path, super::invalid("no note of a deleted account"));
        std::str::from_utf8(&bytes).ok().and_then(Note::parse).map(Some).ok_or_else(damaged)
    }

    /// Writes it into a home, durably. An account that never had mail gets a home for it.
    pub fn write(&self, home: &Path) -> io::Result<()> {
        fsx::create_dirs(home, 0o700)?;
        fsx::replace(&home.join(NOTE), self.print().as_bytes(), 0o600)
    }

    /// Removes it from a home.
    pub fn remove(home: &Path) -> io::Result<()> {
        fsx::remove(&home.join(NOTE))?;
        fsx::sync_dir(home)
    }

    /// True when there is one.
    pub fn is_in(home: &Path) -> bool {
        home.join(NOTE).symlink_metadata().is_ok()
    }

    fn print(&self) -> String {
        let mut text = format!("{HEADER}\n{}\n", self.account.print());
        for given in &self.rights {
            text.push_str("right");
            let words =
                [("owner", &given.owner), ("mailbox", &given.mailbox), ("who", &given.who), ("rights", &given.rights)];
            words.into_iter().for_each(|(key, value)| fields::push(&mut text, key, value));
            text.push('\n');
        }
        text
    }

    fn parse(text: &str) -> Option<Note> {
        let mut lines = text.lines();
        if lines.next()? != HEADER {
            return None;
        }
        let account = Account::parse(lines.next()?)?;
        let rights = lines.map(|line| {
            let mut words: HashMap<String, String> = fields::pairs(line.strip_prefix("right ")?)?.into_iter().collect();
            let mut word = |key: &str| words.remove(key);
            Some(GivenRights {
                owner: word("owner")?,
                mailbox: word("mailbox")?,
                who: word("who")?,
                rights: word("rights")?,
            })
        });
        Some(Note { account, rights: rights.collect::<Option<_>>()? })
    }
}

/// A deleted account that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// Its address.
    pub address: Address,
    /// When it was deleted.
    pub when: Timestamp,
    /// Its home now.
    pub home: PathBuf,
}

impl Departed {
    /// Takes a home away from its place.
    pub fn bury(mail: &Path, address: &Address, now: Timestamp) -> io::Result<Departed> {
        let from = super::home(mail, address);
        let domain = domain_home(mail, address.domain());
        let dir = domain.join(DIR);
        fsx::create_dirs(&dir, 0o700)?;
        let name = format!("{}.{}", now.rfc3339(), directory_name(address.to_key().local()));
        let home = dir.join(name);
        fsx::rename(&from, &home)?;
        fsx::sync_dir(&dir)?;
        fsx::sync_dir(&domain)?;
        Ok(Departed { address: address.to_key(), when: now, home })
    }

    /// All that are kept, the oldest first.
    pub fn list(mail: &Path) -> io::Result<Vec<Departed>> {
        let mut all = Vec::new();
        for (domain, dir) in dirs(mail)? {
            fsx::each_name(&dir, |name| {
                let departed = name.to_str().and_then(|name| Some((name, read_name(name)?)));
                if let Some((name, (when, local))) = departed
                    && let Ok(address) = Address::new(&local, &domain)
                {
                    all.push(Departed { address, when, home: dir.join(name) });
                }
            })?;
        }
        all.sort_by(|a, b| (a.when, &a.home).cmp(&(b.when, &b.home)));
        Ok(all)
    }

    /// True when it was deleted at least `age` before `now`.
    pub fn is_due(&self, now: Timestamp, age: Duration) -> bool {
        now.since(self.when) >= age
    }

    /// Gives the home its place again, which must be free.
    pub fn bring_back(&self, mail: &Path, to: &Address) -> io::Result<()> {
        let (home, domain) = (super::home(mail, to), domain_home(mail, to.domain()));
        fsx::create_dirs(&domain, 0o700)?;
        fsx::rename(&self.home, &home)?;
        fsx::sync_dir(&domain)?;
        self.home.parent().map_or(Ok(()), fsx::sync_dir)
    }

    /// Removes it for good. Once this has begun it can't be brought back, whatever crashes.
    pub fn purge(&self) -> io::Result<()> {
        let (Some(dir), Some(name)) = (self.home.parent(), self.home.file_name()) else { return Ok(()) };
        let doomed = dir.join(format!("{PURGED}{}", name.to_string_lossy()));
        fsx::rename(&self.home, &doomed)?;
        fsx::sync_dir(dir)?;
        erase(&doomed)
    }

    /// Removes what another purge has left behind.
    pub fn sweep(mail: &Path) -> io::Result<()> {
        for (_, dir) in dirs(mail)? {
            let mut doomed = Vec::new();
            fsx::each_name(&dir, |name| {
                if name.as_encoded_bytes().starts_with(PURGED.as_bytes()) {
                    doomed.push(dir.join(name));
                }
            })?;
            doomed.iter().try_for_each(|path| erase(path))?;
        }
        Ok(())
    }
}

/// Removes a home. One that the administrator has put elsewhere, with a link in its place, is removed there.
fn erase(home: &Path) -> io::Result<()> {
    if home.is_symlink()
        && let Ok(elsewhere) = std::fs::canonicalize(home)
    {
        fsx::remove_tree(&elsewhere)?;
    }
    fsx::remove_tree(home)
}

/// The folders of deleted accounts, with their domains.
fn dirs(mail: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut dirs = Vec::new();
    match fsx::each_name(mail, |name| {
        let dir = mail.join(name).join(DIR);
        if let Some(domain) = name.to_str().and_then(fields::decode)
            && dir.is_dir()
        {
            dirs.push((domain, dir));
        }
    }) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map(|()| dirs),
    }
}

/// `2026-11-24T12:07:51.000123Z.alice`.
fn read_name(name: &str) -> Option<(Timestamp, String)> {
    let (when, local) = name.split_at_checked(name.find("Z.")? + 1)?;
    Some((Timestamp::parse_rfc3339(when)?, fields::decode(local.strip_prefix('.')?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(address: &str) -> Note {
        let mut account = Account::new(&Address::parse(address).unwrap());
        account.put("name", Some("A & B".to_string()));
        let given = GivenRights {
            owner: "bob@b.test".to_string(),
            mailbox: "Pläne/a b".to_string(),
            who: format!("-{address}"),
            rights: "lrs".to_string(),
        };
        Note { account, rights: vec![given] }
    }

    #[test]
    fn a_home_goes_and_comes_back_with_its_note() {
        let mail = tempfile::tempdir().unwrap();
        let mail = mail.path();
        for name in ["alice@b.test", "\".a/b\"@b.test", "日本@日本.test"] {
            let address = Address::parse(name).unwrap();
            let home = super::super::home(mail, &address);
            assert_eq!(Note::read(&home).unwrap(), None);
            note(name).write(&home).unwrap();
            let gone = Departed::bury(mail, &address, Timestamp(1_796_040_628_000_123)).unwrap();
            assert!(!home.exists() && !Note::is_in(&home));
            assert!(Departed::list(mail).unwrap().contains(&gone), "{name}");
            assert_eq!(Note::read(&gone.home).unwrap(), Some(note(name)));
            gone.bring_back(mail, &address).unwrap();
            assert!(Note::is_in(&home));
            Note::remove(&home).unwrap();
            assert_eq!(Departed::list(mail).unwrap(), []);
        }
    }

    #[test]
    fn a_purge_that_was_cut_short_is_finished_and_never_brought_back() {
        let mail = tempfile::tempdir().unwrap();
        let mail = mail.path();
        let address = Address::parse("alice@b.test").unwrap();
        let home = super::super::home(mail, &address);
        for n in 1..30 {
            note("alice@b.test").write(&home).unwrap();
            std::fs::create_dir_all(home.join("Maildir/cur")).unwrap();
            std::fs::write(home.join("Maildir/cur/1"), "x").unwrap();
            std::os::unix::fs::symlink(mail, home.join("Maildir/link")).unwrap();
            let gone = Departed::bury(mail, &address, Timestamp(1_796_040_628_000_000 + n)).unwrap();
            let plan = fsx::fault::Plan::parse(&format!("EIO:{n}")).unwrap();
            let (result, struck) = fsx::fault::with_plan(plan, || gone.purge());
            assert_eq!(struck, result.is_err(), "operation {n}");
            if Departed::list(mail).unwrap() == std::slice::from_ref(&gone) {
                assert_eq!(std::fs::read(gone.home.join("Maildir/cur/1")).unwrap(), b"x", "whole or doomed: {n}");
                gone.purge().unwrap();
            }
            Departed::sweep(mail).unwrap();
            assert_eq!(std::fs::read_dir(mail.join("b.test/.deleted")).unwrap().count(), 0, "operation {n}");
            assert!(mail.exists(), "links are not followed");
            if !struck {
                assert!(n > 5);
                return;
            }
        }
        panic!("too many operations");
    }

    #[test]
    fn a_home_behind_a_link_goes_there() {
        let (mail, disk) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mail, there) = (mail.path(), disk.path().join("alice"));
        let address = Address::parse("alice@b.test").unwrap();
        let home = super::super::home(mail, &address);
        std::fs::create_dir_all(home.parent().unwrap()).unwrap();
        std::fs::create_dir(&there).unwrap();
        std::os::unix::fs::symlink(&there, &home).unwrap();
        note("alice@b.test").write(&home).unwrap();
        let gone = Departed::bury(mail, &address, Timestamp(1_796_040_628_000_000)).unwrap();
        assert!(there.exists() && Note::is_in(&gone.home));
        gone.purge().unwrap();
        assert!(!there.exists() && Departed::list(mail).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(mail.join("b.test/.deleted")).unwrap().count(), 0);
    }

    #[test]
    fn damaged_notes_and_foreign_names_are_seen() {
        let mail = tempfile::tempdir().unwrap();
        for text in ["", "# em-deleted 2\na@b.test\n", "# em-deleted 1\n", "# em-deleted 1\na@b.test\nright owner=x\n"]
        {
            std::fs::write(mail.path().join(NOTE), text).unwrap();
            assert_eq!(Note::read(mail.path()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{text:?}");
        }
        for name in ["alice", "2026-11-24T12:07:51Z", "x.Z.alice", "2026-11-24T12:07:51Z.%zz"] {
            assert_eq!(read_name(name), None, "{name}");
        }
    }
}
