//! `emuser expire`: mail that is older than its account wants it leaves its mailboxes.
//!
//! By INTERNALDATE, whatever the flags. It goes to the trash where `imap.trash` is set, and is gone where not. Made to run every night:
//! a run that was cut short has removed some, and the next one removes the rest.

use super::owner::registry;
use super::{account, damaged, of_store};
use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::log;
use crate::mailbox::{Entry, UidSet};
use crate::status::Exit;
use crate::store::{Tree, TreeError};
use crate::users::{self, Account, Users};
use std::io::Write;

const DAY: i64 = 24 * 3600 * 1_000_000;

#[derive(Debug, clap::Args)]
pub(super) struct Expire {
    /// user@domain
    #[arg(required_unless_present = "all")]
    user: Option<String>,
    /// All accounts
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

pub(super) fn expire(site: &Site, users: &Users, wanted: &Expire) -> Done {
    let accounts = match &wanted.user {
        Some(user) => vec![account(user, site, users)?],
        None => users.list().map_err(damaged)?,
    };
    let mut exit = Exit::Ok;
    for account in accounts.iter().filter(|account| account.field("expire").is_some()) {
        // One account's trouble keeps nobody else's old mail.
        if let Err(ended) = expire_one(site, account, wanted) {
            let _ = writeln!(std::io::stderr(), "emuser: {}: {}", account.address, ended.text);
            exit = ended.exit;
        }
    }
    Ok(exit)
}

fn expire_one(site: &Site, account: &Account, wanted: &Expire) -> Result<(), Ended> {
    let home = users::home(&site.root.mail, &account.address);
    let Some(tree) = Tree::existing(registry(site), &home) else { return Ok(()) };
    let expiry = account.expiry();
    for listed in tree.list().map_err(|e| of_store(&e))?.iter().filter(|listed| listed.exists) {
        let Some(days) = expiry.days(&listed.name) else { continue };
        let before = Timestamp(Timestamp::now().0.saturating_sub(i64::from(days) * DAY));
        let count = remove_old(&tree, &listed.name, before, wanted.dry_run).map_err(|e| of_store(&e))?;
        if count == 0 {
            continue;
        }
        if !wanted.dry_run {
            let event = log::event("mail-expired").field("user", &account.address).field("folder", &listed.name);
            event.field("messages", count).field("days", days).write();
        }
        let (address, folder) = (account.address.to_string(), &listed.name);
        say(&match wanted.json {
            true => {
                let json = serde_json::json!({"address": address, "folder": folder, "messages": count, "days": days});
                format!("{json}\n")
            }
            false => format!("{address} {} {count} messages\n", super::check::printable(folder)),
        })?;
    }
    Ok(())
}

/// How many messages of a mailbox came before this time; they are removed unless it is only a question.
fn remove_old(tree: &Tree, name: &str, before: Timestamp, dry_run: bool) -> Result<u64, TreeError> {
    let folder = tree.folder(name)?;
    let mut snapshot = folder.refresh()?;
    let unknown = |entry: &&Entry| entry.internal_date == Entry::UNKNOWN_DATE;
    let unmeasured: UidSet = snapshot.entries.iter().filter(unknown).map(|entry| entry.uid).collect();
    if !unmeasured.is_empty() {
        snapshot = folder.measure(&unmeasured, false)?;
    }
    let is_old = |entry: &&Entry| entry.internal_date != Entry::UNKNOWN_DATE && entry.internal_date < before;
    let old: UidSet = snapshot.entries.iter().filter(is_old).map(|entry| entry.uid).collect();
    match dry_run || old.is_empty() {
        true => Ok(old.len()),
        false => Ok(folder.remove_old(&old)?.len()),
    }
}
