//! `emuser delete` and `restore`, and what the imports delete: an account goes with its mail, and comes back with it.
//!
//! Order of a delete: the note in the home ([`Note`]), the change of etc/users, rights in others' lists, a moment for deliveries that are under
//! way, the home goes to the deleted ones. A restore goes back the same way. `users::departed` has the states and who repairs them.

use super::rename::{bring_after, lock};
use super::{change, damaged, key, own_address, owner, parse};
use crate::addr::Address;
use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::fsx;
use crate::log;
use crate::mailbox::{AclChange, Identifier, Rights, Subject};
use crate::status::Exit;
use crate::store::{Realm, Tree, owners_sharing_with};
use crate::users::{self, Account, Departed, GivenRights, Note, Users, aliases_of};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

#[derive(Debug, clap::Args)]
pub(super) struct Delete {
    /// user@domain
    address: String,
    /// Remove its mail at once, and what is kept of former accounts of this address
    #[arg(long, conflicts_with = "keep_mail")]
    purge: bool,
    /// Leave its mail in the mail folder: the next account of this address gets it
    #[arg(long)]
    keep_mail: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The address that it had
    address: String,
    /// Another address that it gets
    #[arg(long = "as", value_name = "ADDRESS")]
    to: Option<String>,
}

/// What becomes of the mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Kept,
    Purged,
}

impl Fate {
    /// As the settings say.
    pub(super) fn of(site: &Site) -> Fate {
        if site.settings.accounts.trash.is_zero() { Fate::Purged } else { Fate::Kept }
    }
}

pub(super) fn delete(site: &Site, users: &Users, wanted: &Delete) -> Done {
    let _lock = lock(site)?;
    let address = parse(&wanted.address, site)?;
    let home = users::home(&site.root.mail, &address);
    let found = users.lookup(&address).map_err(damaged)?.filter(|account| account.address == address);
    let former = || -> Result<Vec<Departed>, Ended> {
        let all = Departed::list(&site.root.mail)?.into_iter();
        Ok(all.filter(|departed| wanted.purge && departed.address == address).collect())
    };
    match &found {
        Some(account) if !wanted.keep_mail => announce(site, std::slice::from_ref(account))?,
        Some(_) => {}
        None if Note::is_in(&home) || !former()?.is_empty() => {}
        None => return Err(super::no_such(&address)),
    }
    if found.is_some() {
        let gone = || super::no_such(&address);
        change(users, |accounts| accounts.remove(&key(&address)).map(drop).ok_or_else(gone))?;
        log::event("account-deleted").field("user", &address).write();
    }
    if wanted.keep_mail {
        Note::remove(&home).or_else(|e| if home.exists() { Err(e) } else { Ok(()) })?;
        if home.exists() {
            let _ = writeln!(std::io::stderr(), "emuser: the mail of {address} stays in {}", home.display());
        }
        return Ok(Exit::Ok);
    }
    let fate = if wanted.purge { Fate::Purged } else { Fate::of(site) };
    finish(site, users, std::slice::from_ref(&address), fate)?;
    for departed in former()? {
        departed.purge()?;
    }
    if fate == Fate::Kept {
        tell(site, &format!("{address} is"));
    }
    Ok(Exit::Ok)
}

/// Says how long it can be taken back.
fn tell(site: &Site, who: &str) {
    let span = humantime::format_duration(site.settings.accounts.trash);
    let _ = writeln!(std::io::stderr(), "emuser: {who} kept with all mail for {span}; emuser restore brings back");
}

/// Notes what these accounts are. Nothing has happened to them before etc/users changes.
pub(super) fn announce(site: &Site, accounts: &[Account]) -> Result<(), Ended> {
    let ownerless = rights_in(site, super::share::ownerless_trees(site))?;
    for account in accounts {
        let home = users::home(&site.root.mail, &account.address);
        let owners = owners_sharing_with(&site.root.mail, &account.address)?;
        let mut rights = rights_in(site, owners.into_iter().map(Realm::Account).collect())?;
        rights.extend(ownerless.iter().cloned());
        rights.retain(|(subject, _)| subject.identifier == Identifier::Account(account.address.clone()));
        let rights: Vec<GivenRights> = rights.into_iter().map(|(_, given)| given).collect();
        Note { account: account.clone(), rights }.write(&home)?;
    }
    Ok(())
}

/// All rights that the lists of these trees give.
fn rights_in(site: &Site, realms: Vec<Realm>) -> Result<Vec<(Subject, GivenRights)>, Ended> {
    let mut all = Vec::new();
    for realm in realms {
        let Some(tree) = Tree::existing(owner::registry(site), &realm.home(&site.root.mail)) else { continue };
        for listed in tree.list().map_err(|e| super::of_store(&e))?.into_iter().filter(|listed| listed.exists) {
            let Some(acl) = tree.acl(&listed.name).map_err(|e| super::of_store(&e))? else { continue };
            all.extend(acl.entries().map(|(subject, rights)| {
                let (owner, mailbox) = (realm.to_string(), listed.name.clone());
                let given = GivenRights { owner, mailbox, who: subject.to_string(), rights: rights.to_string() };
                (subject.clone(), given)
            }));
        }
    }
    Ok(all)
}

/// Brings to its end what was announced and is no account any more; how many those are.
pub(super) fn finish(site: &Site, users: &Users, addresses: &[Address], fate: Fate) -> Result<usize, Ended> {
    let mail = &site.root.mail;
    let mut pending = Vec::new();
    for address in addresses {
        let home = users::home(mail, address);
        let is_there = is_account(users, address)?;
        if let Some(note) = Note::read(&home)?.filter(|_| !is_there) {
            change_rights(site, &note, Change::Take);
            pending.push(address);
        }
    }
    let has_mail = |address: &&Address| users::home(mail, address).join("Maildir").exists();
    if pending.iter().any(has_mail) {
        std::thread::sleep(super::rename::QUIET);
    }
    for address in &pending {
        let departed = Departed::bury(mail, address, Timestamp::now())?;
        let home = users::home(mail, address);
        if home.exists() {
            // A delivery made it anew: what it brought belongs to the old account.
            let mut dirs = BTreeSet::new();
            bring_after(&home, &departed.home, &mut dirs)?;
            // What it may have sorted elsewhere goes along.
            fsx::rename(&home, &departed.home.join(format!("late-{}", departed.when.0)))?;
            dirs.extend([users::domain_home(mail, address.domain()), departed.home.clone()]);
            dirs.iter().try_for_each(|dir| fsx::sync_dir(dir))?;
        }
        if fate == Fate::Purged {
            departed.purge()?;
        }
    }
    Ok(pending.len())
}

fn is_account(users: &Users, address: &Address) -> Result<bool, Ended> {
    Ok(users.lookup(address).map_err(damaged)?.is_some_and(|account| account.address == *address))
}

/// Carries out a change that deletes these accounts if it is made, and finishes what of `addresses` an earlier one has left.
pub(super) fn around<T>(
    site: &Site,
    users: &Users,
    accounts: &[Account],
    addresses: &[Address],
    change: impl FnOnce() -> Result<T, Ended>,
) -> Result<T, Ended> {
    if addresses.is_empty() {
        return change();
    }
    // The mail is em's.
    crate::cli::become_em(&site.root)?;
    let _lock = lock(site)?;
    announce(site, accounts)?;
    let changed = change()?;
    let fate = Fate::of(site);
    let count = finish(site, users, addresses, fate)?;
    for account in accounts {
        // It was not deleted after all.
        if is_account(users, &account.address)? {
            Note::remove(&users::home(&site.root.mail, &account.address))?;
        }
    }
    if count > 0 && fate == Fate::Kept {
        tell(site, &format!("{count} deleted accounts are"));
    }
    Ok(changed)
}

/// Refuses an address whose former account is not yet out of the way: a new one would get its mail.
pub(super) fn must_be_free(site: &Site, address: &Address) -> Result<(), Ended> {
    match Note::is_in(&users::home(&site.root.mail, address)) {
        false => Ok(()),
        true => {
            let text = format!("deleting the former {address} was cut short: emuser delete {address} finishes it");
            Err(Ended::new(Exit::TempFail, text))
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    Take,
    GiveBack,
}

/// Takes the noted rights from others' lists, or writes them there again. A mailbox that is gone, or another's damaged list, keeps nobody.
fn change_rights(site: &Site, note: &Note, what: Change) {
    for given in &note.rights {
        if let Err(ended) = change_right(site, note, given, what) {
            if what == Change::Take && ended.exit == Exit::NoUser {
                continue;
            }
            let (owner, mailbox) = (given.owner.escape_debug(), given.mailbox.escape_debug());
            let _ = writeln!(std::io::stderr(), "emuser: rights on {owner} {mailbox}: {}", ended.text);
        }
    }
}

fn change_right(site: &Site, note: &Note, given: &GivenRights, what: Change) -> Result<(), Ended> {
    let damaged = || Ended::new(Exit::DataErr, "the note of the deleted account is damaged");
    let realm = Realm::parse(&given.owner).ok_or_else(damaged)?;
    let is_negative = given.who.starts_with('-');
    let subject = Subject { identifier: Identifier::Account(note.account.address.clone()), is_negative };
    let rights = match what {
        Change::Take => Rights::NONE,
        Change::GiveBack => Rights::parse(&given.rights).ok_or_else(damaged)?,
    };
    // An owner who is deleted by the same sheet is no account any more, but his mail is still in place.
    let gone = || Ended::new(Exit::NoUser, "there are no such mailboxes now");
    let home = realm.home(&site.root.mail);
    let tree = Tree::existing(owner::registry(site), &home).ok_or_else(gone)?;
    let taken = tree.change_acl(&realm, &site.root.mail, &given.mailbox, &subject, AclChange::Replace(rights));
    taken.map_err(|e| Ended::new(Exit::DataErr, e.to_string()))
}

pub(super) fn restore(site: &Site, users: &Users, wanted: &Restore) -> Done {
    let _lock = lock(site)?;
    let from = parse(&wanted.address, site)?;
    let to = own_address(wanted.to.as_deref().unwrap_or(&wanted.address), site)?;
    let home = users::home(&site.root.mail, &to);
    let is_there = is_account(users, &to)?;
    // A restore that was cut short lacks rights at most.
    let unfinished = Note::read(&home)?;
    if is_there && unfinished.is_none() {
        return Err(Ended::new(Exit::CantCreat, format!("{to} exists already; --as ADDRESS gives it another address")));
    }
    let note = match unfinished {
        Some(note) => note,
        None => bring_home(site, users, &from, &to)?,
    };
    if !is_there {
        change(users, |accounts| {
            check_aliases(&note.account, accounts)?;
            accounts.insert(key(&to), note.account.clone());
            Ok(())
        })?;
    }
    change_rights(site, &note, Change::GiveBack);
    Note::remove(&home)?;
    log::event("account-restored").field("user", &to).field("was", &from).write();
    say(&format!("{to} is back\n"))?;
    Ok(Exit::Ok)
}

/// Puts the newest home of this address in its place, noted for the new address.
fn bring_home(site: &Site, users: &Users, from: &Address, to: &Address) -> Result<Note, Ended> {
    let newest = Departed::list(&site.root.mail)?.into_iter().rfind(|departed| departed.address == *from);
    let none = || Ended::new(Exit::NoUser, format!("no deleted account {from}; see emuser list --deleted"));
    let departed = newest.ok_or_else(none)?;
    let lost = || Ended::new(Exit::DataErr, format!("{}: there is no note of the account", departed.home.display()));
    let mut note = Note::read(&departed.home)?.ok_or_else(lost)?;
    let home = users::home(&site.root.mail, to);
    if home.exists() {
        let text = format!("mail of a former {to} lies in {}: move it away first", home.display());
        return Err(Ended::new(Exit::CantCreat, text));
    }
    let accounts = users.list().map_err(damaged)?.into_iter().map(|a| (key(&a.address), a)).collect();
    note.account.address = to.clone();
    check_aliases(&note.account, &accounts)?;
    note.write(&departed.home)?;
    departed.bring_back(&site.root.mail, to)?;
    Ok(note)
}

/// Refuses an account whose addresses others have by now.
fn check_aliases(account: &Account, accounts: &BTreeMap<String, Account>) -> Result<(), Ended> {
    let mut all = accounts.clone();
    all.insert(key(&account.address), account.clone());
    let refused = |text: String| Ended::new(Exit::CantCreat, format!("{text}; take the alias away first"));
    aliases_of(&all).map(drop).map_err(|clash| refused(clash.to_string()))
}

/// `emuser list --deleted`.
pub(super) fn list(site: &Site, domain: Option<&str>, is_json: bool) -> Done {
    let kept = site.settings.accounts.trash;
    let mut text = String::new();
    for departed in Departed::list(&site.root.mail)? {
        if domain.is_some_and(|domain| domain != departed.address.domain()) {
            continue;
        }
        let (address, when, until) = (&departed.address, departed.when, departed.when.after(kept));
        text.push_str(&match is_json {
            true => {
                let (when, until) = (when.rfc3339(), until.rfc3339());
                let address = address.to_string();
                let json =
                    serde_json::json!({"address": address, "deleted": when, "until": until, "home": departed.home});
                format!("{json}\n")
            }
            false => format!("{address} deleted {}, kept until {}\n", when.short(), until.short()),
        });
    }
    say(&text)?;
    Ok(Exit::Ok)
}

/// Removes for good what was deleted long enough ago; or says what would go. How many they are.
pub(super) fn purge_due(site: &Site, dry_run: bool) -> Result<usize, Ended> {
    let (mail, now) = (&site.root.mail, Timestamp::now());
    let mut count = 0;
    for departed in Departed::list(mail)? {
        if !departed.is_due(now, site.settings.accounts.trash) {
            continue;
        }
        if !dry_run {
            departed.purge()?;
            log::event("account-purged").field("user", &departed.address).write();
        }
        count += 1;
    }
    if !dry_run {
        Departed::sweep(mail)?;
    }
    Ok(count)
}
