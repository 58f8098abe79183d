//! Taking over the accounts of the operating system, of Dovecot, or of Postfix.
//!
//! One rewrite of etc/users, all or nothing. Accounts that are here already stay as they are, so a second run does what is left.
//! Passwords come over as the hashes they are; of a form that can't be checked here, the account comes without one, and is named.

mod formats;

use super::{change, own_address};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::fsx;
use crate::status::Exit;
use crate::users::{self, Account, Users};
use formats::{Entry, Format, Secret};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Largest file read.
const FILE_LIMIT: u64 = 1 << 30;
/// User numbers of people.
const MIN_UID: u32 = 1000;
const MAX_UID: u32 = 60_000;
const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Takeover {
    /// The operating system's accounts, with the hashes of their passwords where we may read them
    System {
        /// The least user number
        #[arg(long, value_name = "NUMBER", default_value_t = MIN_UID)]
        min_uid: u32,
        /// The greatest user number
        #[arg(long, value_name = "NUMBER", default_value_t = MAX_UID)]
        max_uid: u32,
        /// Where they are: passwd(5)
        #[arg(long, value_name = "FILE", default_value = PASSWD)]
        passwd: PathBuf,
        /// Where their hashes are: shadow(5)
        #[arg(long, value_name = "FILE", default_value = SHADOW)]
        shadow: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// A passwd-file of Dovecot
    Dovecot {
        /// user:{SCHEME}hash:uid:gid:gecos:home:shell:fields
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The text of a virtual_mailbox_maps of Postfix; its accounts have no passwords
    PostfixMailboxes {
        /// user@domain path
        file: PathBuf,
        #[command(flatten)]
        how: How,
    },
    /// The text of a virtual_alias_maps of Postfix: printed as lines for etc/aliases
    PostfixAliases {
        /// user@domain target, target
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct How {
    /// The domain of names without one; by default our first
    #[arg(long)]
    domain: Option<String>,
    /// Take what can be taken over, though some lines can't
    #[arg(long)]
    keep_going: bool,
    /// Say what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Takeover {
    /// What `emuser import --system` means.
    pub(super) fn of_system(min_uid: Option<u32>, keep_going: bool, dry_run: bool) -> Takeover {
        Takeover::System {
            min_uid: min_uid.unwrap_or(MIN_UID),
            max_uid: MAX_UID,
            passwd: PASSWD.into(),
            shadow: SHADOW.into(),
            how: How { domain: None, keep_going, dry_run },
        }
    }
}

pub(super) fn takeover(site: &Site, users: &Users, action: &Takeover) -> Done {
    match action {
        Takeover::System { min_uid, max_uid, passwd, shadow, how } => {
            let hashes = match fsx::read(shadow, FILE_LIMIT) {
                Ok(bytes) => formats::shadow(&String::from_utf8_lossy(&bytes)),
                Err(e) => {
                    say(&format!("no passwords are taken over: {e}\n"))?;
                    BTreeMap::new()
                }
            };
            let format = Format::System { uids: (*min_uid).max(1)..=*max_uid, hashes };
            take(site, users, passwd, &format, how)
        }
        Takeover::Dovecot { file, how } => take(site, users, file, &Format::Dovecot, how),
        Takeover::PostfixMailboxes { file, how } => take(site, users, file, &Format::PostfixMailboxes, how),
        Takeover::PostfixAliases { file } => {
            let (lines, refused) = formats::postfix_aliases(&read(file)?);
            say(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
            match refused.is_empty() {
                true => Ok(Exit::Ok),
                false => Err(Ended::new(Exit::DataErr, shown(file, &refused))),
            }
        }
    }
}

/// What is to become of the accounts of a file.
#[derive(Default)]
struct Plan {
    add: Vec<Account>,
    unchanged: usize,
    /// Accounts that come without their password, and why.
    without: Vec<String>,
    /// Line, column, and what is wrong.
    refused: Vec<(usize, usize, String)>,
}

fn take(site: &Site, users: &Users, file: &Path, format: &Format, how: &How) -> Done {
    let text = read(file)?;
    let plan = plan(site, users, format.entries(&text), how)?;
    if !plan.refused.is_empty() && !how.keep_going && !how.dry_run {
        let text = shown(file, &plan.refused);
        return Err(Ended::new(
            Exit::DataErr,
            format!("{text}\nnothing was taken over; --keep-going takes the others"),
        ));
    }
    let mut report = String::new();
    if how.dry_run {
        plan.add.iter().for_each(|account| report.push_str(&format!("add {}\n", account.address)));
    }
    plan.without.iter().for_each(|line| report.push_str(&format!("without password: {line}\n")));
    let (added, unchanged, refused) = (plan.add.len(), plan.unchanged, plan.refused.len());
    if !how.dry_run && added > 0 {
        change(users, |accounts| {
            for account in plan.add {
                // Somebody else may have made it since: it stays as it is.
                accounts.entry(users::key(&account.address)).or_insert(account);
            }
            Ok(())
        })?;
    }
    let verb = if how.dry_run { "would be " } else { "" };
    report.push_str(&format!("{added} accounts {verb}added, {unchanged} were here, {refused} lines refused\n"));
    say(&report)?;
    match refused {
        0 => Ok(Exit::Ok),
        _ => Err(Ended::new(Exit::DataErr, shown(file, &plan.refused))),
    }
}

fn plan(site: &Site, users: &Users, entries: Vec<Result<Entry, formats::Wrong>>, how: &How) -> Result<Plan, Ended> {
    let here: BTreeSet<String> =
        users.list().map_err(super::damaged)?.iter().map(|account| users::key(&account.address)).collect();
    let domain = how.domain.clone().unwrap_or_else(|| site.default_domain());
    let mut plan = Plan::default();
    let mut seen = BTreeSet::new();
    for entry in entries {
        let entry = match entry {
            Ok(entry) => entry,
            Err(wrong) => {
                plan.refused.push((wrong.line, wrong.column, wrong.text));
                continue;
            }
        };
        let name = if entry.name.contains('@') { entry.name.clone() } else { format!("{}@{domain}", entry.name) };
        let address = match own_address(&name, site) {
            Ok(address) => address,
            Err(ended) => {
                plan.refused.push((entry.line, 1, ended.text));
                continue;
            }
        };
        let key = users::key(&address);
        if !seen.insert(key.clone()) {
            plan.refused.push((entry.line, 1, format!("{address} stands twice")));
            continue;
        }
        if here.contains(&key) {
            plan.unchanged += 1;
            continue;
        }
        if let Err(ended) = super::delete::must_be_free(site, &address) {
            plan.refused.push((entry.line, 1, ended.text));
            continue;
        }
        let mut account = Account::new(&address);
        account.put("name", entry.person.filter(|name| !name.is_empty() && !name.contains(char::is_control)));
        account.put("quota", entry.quota.map(|octets| octets.to_string()));
        account.put("quota_messages", entry.quota_messages.map(|count| count.to_string()));
        account.put("locked", entry.is_locked.then(|| "1".to_string()));
        match entry.secret {
            Secret::None => {}
            Secret::Hash(hash) if users::is_known_hash(&hash) => account.put("pw", Some(hash)),
            Secret::Hash(_) => plan.without.push(format!("{address}: a hash that can't be checked here")),
            Secret::Scheme(scheme) => plan.without.push(format!("{address}: {scheme} can't be checked here")),
            Secret::Clear(_) if how.dry_run => {}
            Secret::Clear(password) => {
                let scheme = &site.settings.accounts.password_scheme;
                if let Err(e) = account.set_password(&password, scheme, false) {
                    plan.without.push(format!("{address}: {e}"));
                }
            }
        }
        plan.add.push(account);
    }
    Ok(plan)
}

fn read(file: &Path) -> Result<String, Ended> {
    let bytes = fsx::read(file, FILE_LIMIT).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => Ended::new(Exit::NoInput, e.to_string()),
        _ => e.into(),
    })?;
    let wrong = |_| Ended::new(Exit::DataErr, format!("{}: not UTF-8 text", file.display()));
    String::from_utf8(bytes).map_err(wrong)
}

/// Mistakes with their places. Their lines are not shown: they hold hashes.
fn shown(file: &Path, refused: &[(usize, usize, String)]) -> String {
    let line = |(line, column, text): &(usize, usize, String)| format!("{}:{line}:{column}: {text}", file.display());
    refused.iter().map(line).collect::<Vec<_>>().join("\n")
}
