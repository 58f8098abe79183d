//! `emuser rename` and `emuser rename-domain`: accounts get other addresses, and keep their mail.
//!
//! The old address stays an alias of the new one: mail that is in the queue, or that others still send there, arrives. While the mail moves, deliveries and
//! logins are put off (`moving=OLD` in etc/users); deliveries that were under way before have a moment to end, and what they left
//! in the old home all the same is brought after. One command of this kind runs at a time (etc/.rename.lock), and first
//! finishes what another one left half done.
//!
//! | state | etc/users | home of OLD | home of NEW | meaning | who repairs it |
//! |---|---|---|---|---|---|
//! | N0 | OLD | + | − | not renamed | – |
//! | N1 | NEW moving=OLD | + | − | mail waits in queues, logins hear "later" | any `emuser rename` |
//! | N2 | NEW moving=OLD | − | + | the mail has moved | any `emuser rename` |
//! | N3 | NEW | − | + | renamed | – |

use super::{change, damaged, key, own_address, parse};
use crate::addr::{Address, normal_domain};
use crate::cli::{Done, Ended};
use crate::config::Site;
use crate::fsx::{self, Lock, LockError};
use crate::log;
use crate::status::Exit;
use crate::store::share_marks;
use crate::users::{self, Account, Users};
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Deliveries that began before the accounts were marked end within this time.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// How long a rename waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

#[derive(Debug, clap::Args)]
pub(super) struct Rename {
    /// user@domain
    old: String,
    /// Its new address
    new: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct RenameDomain {
    /// The domain whose accounts move
    old: String,
    /// Where to; both are domains of ours
    new: String,
}

pub(super) fn rename(site: &Site, users: &Users, wanted: &Rename) -> Done {
    let _lock = lock(site)?;
    let (old, new) = (parse(&wanted.old, site)?, own_address(&wanted.new, site)?);
    if finish(site, users)?.contains(&(old.clone(), new.clone())) {
        return Ok(Exit::Ok);
    }
    let found = users.lookup(&old).map_err(damaged)?.filter(|account| account.address == old);
    found.ok_or_else(|| super::no_such(&old))?;
    start(site, users, &[(old, new)])
}

pub(super) fn rename_domain(site: &Site, users: &Users, wanted: &RenameDomain) -> Done {
    let _lock = lock(site)?;
    let domain = |text: &str| normal_domain(text).map_err(|e| Ended::new(Exit::Usage, format!("{text:?}: {e}")));
    let (old, new) = (domain(&wanted.old)?, domain(&wanted.new)?);
    let mut pairs = Vec::new();
    let finished = finish(site, users)?;
    for account in users.list().map_err(damaged)?.into_iter().filter(|account| account.address.domain() == old) {
        let there = Address::new(account.address.local(), &new).map_err(|e| Ended::new(Exit::Usage, e.to_string()))?;
        let there = own_address(&there.to_string(), site)?;
        pairs.push((account.address, there));
    }
    if pairs.is_empty() {
        let is_done = finished.iter().any(|(from, to)| from.domain() == old && to.domain() == new);
        let none = Ended::new(Exit::NoUser, format!("no accounts in {old}"));
        return if is_done { Ok(Exit::Ok) } else { Err(none) };
    }
    for kind in ["shared", "public"] {
        let realm = if kind == "shared" { crate::store::Realm::Shared } else { crate::store::Realm::Public };
        if realm(old.clone()).home(&site.root.mail).exists() {
            let _ = writeln!(io::stderr(), "emuser: the {kind} mailboxes of {old} stay with it");
        }
    }
    start(site, users, &pairs)
}

pub(super) fn lock(site: &Site) -> Result<Lock, Ended> {
    let path = site.root.etc.join(".rename.lock");
    Lock::wait(&path, LOCK_PATIENCE).map_err(|e| match e {
        LockError::Io(e) => e.into(),
        held => Ended::new(Exit::TempFail, format!("{}: {held}", path.display())),
    })
}

/// Marks the accounts, and moves their mail.
fn start(site: &Site, users: &Users, pairs: &[(Address, Address)]) -> Done {
    for (_, new) in pairs {
        let home = users::home(&site.root.mail, new);
        if home.exists() {
            let text = format!("mail of a former {new} lies in {}: move it away first", home.display());
            return Err(Ended::new(Exit::CantCreat, text));
        }
    }
    change(users, |accounts| {
        for (old, new) in pairs {
            if accounts.contains_key(&key(new)) {
                return Err(Ended::new(Exit::CantCreat, format!("{new} exists already")));
            }
            let account = accounts.remove(&key(old)).ok_or_else(|| super::no_such(old))?;
            accounts.insert(key(new), renamed(account, old, new));
        }
        Ok(())
    })?;
    finish(site, users)?;
    tell(site, users, pairs)?;
    Ok(Exit::Ok)
}

fn renamed(mut account: Account, old: &Address, new: &Address) -> Account {
    let mut aliases: BTreeSet<String> = account.aliases().map(|alias| alias.to_string()).collect();
    // It may become what was its alias.
    aliases.remove(&new.to_string());
    aliases.insert(old.to_string());
    account.put("aliases", Some(aliases.into_iter().collect::<Vec<_>>().join(",")));
    account.put("moving", Some(old.to_string()));
    account.address = new.clone();
    account
}

/// Brings all that is marked to its end: the mail, then the mark.
fn finish(site: &Site, users: &Users) -> Result<Vec<(Address, Address)>, Ended> {
    let all = users.list().map_err(damaged)?.into_iter();
    let moving = |account: Account| Some((Address::parse(account.field("moving")?).ok()?, account.address));
    let pairs: Vec<(Address, Address)> = all.filter_map(moving).collect();
    if pairs.is_empty() {
        return Ok(pairs);
    }
    std::thread::sleep(QUIET);
    let mut dirs = BTreeSet::new();
    for (old, new) in &pairs {
        move_home(&site.root.mail, old, new, &mut dirs)?;
    }
    dirs.iter().try_for_each(|dir| fsx::sync_dir(dir))?;
    change(users, |accounts| {
        for (_, new) in &pairs {
            if let Some(account) = accounts.get_mut(&key(new)) {
                account.put("moving", None);
            }
        }
        Ok(())
    })?;
    for (old, new) in &pairs {
        log::event("account-renamed").field("user", new).field("was", old).write();
    }
    Ok(pairs)
}

/// Gives the home its new name; `dirs` are to be synced.
fn move_home(mail: &Path, old: &Address, new: &Address, dirs: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let (from, to) = (users::home(mail, old), users::home(mail, new));
    let (from_dir, to_dir) = (users::domain_home(mail, old.domain()), users::domain_home(mail, new.domain()));
    if !from.exists() {
        return Ok(());
    }
    if to.exists() {
        return bring_after(&from, &to, dirs);
    }
    if !to_dir.exists() {
        make_like(mail, &to_dir)?;
        dirs.insert(mail.to_path_buf());
    }
    fsx::rename(&from, &to)?;
    dirs.extend([from_dir, to_dir]);
    // Somebody may have made it anew between the mark and now.
    if from.exists() { bring_after(&from, &to, dirs) } else { Ok(()) }
}

/// A directory for homes, with the owner that the mail tree has.
fn make_like(mail: &Path, dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    fsx::create_dirs(dir, 0o700)?;
    let owner = std::fs::metadata(mail)?;
    if nix::unistd::geteuid().is_root() {
        let (uid, gid) = (owner.uid().into(), owner.gid().into());
        nix::unistd::chown(dir, Some(uid), Some(gid))?;
    }
    Ok(())
}

/// New messages of a home that was made again under the old name go to the INBOX.
pub(super) fn bring_after(from: &Path, to: &Path, dirs: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let (from, to) = (from.join("Maildir/new"), to.join("Maildir/new"));
    let entries = match std::fs::read_dir(&from) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let name = entry?.file_name();
        fsx::rename(&from.join(&name), &to.join(&name))?;
        dirs.extend([from.clone(), to.clone()]);
    }
    Ok(())
}

/// What else names the old addresses.
fn tell(site: &Site, users: &Users, pairs: &[(Address, Address)]) -> Result<(), Ended> {
    let mut err = io::stderr().lock();
    let old: BTreeSet<&Address> = pairs.iter().map(|(old, _)| old).collect();
    match pairs {
        [(old, new)] => {
            let _ = writeln!(err, "emuser: {old} stays an alias of {new}");
        }
        _ => {
            let _ = writeln!(err, "emuser: {} old addresses stay aliases of the new ones", pairs.len());
        }
    }
    for account in users.list().map_err(damaged)? {
        let (targets, _) = account.forward().unwrap_or_default();
        let names = |target: &&str| Address::parse(target).is_ok_and(|target| old.contains(&target.to_key()));
        for target in targets.into_iter().filter(names) {
            let _ = writeln!(err, "emuser: {} forwards to {target}, and still may", account.address);
        }
    }
    for (old, new) in pairs {
        if share_marks(&site.root.mail, old).is_ok_and(|marks| !marks.is_empty()) {
            let _ = writeln!(err, "emuser: {new} shares mailboxes: emuser check-mail {new} tells the others");
        }
    }
    let _ = writeln!(err, "emuser: rights that others gave to an old address are not the new one's: emuser acl");
    Ok(())
}
