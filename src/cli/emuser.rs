//! emuser: accounts and their mailboxes, from the shell.

mod app;
mod check;
mod delete;
mod expire;
mod export;
mod import;
mod migrate;
mod owner;
mod password;
mod rename;
mod share;
mod show;
mod sieve;
mod takeover;
mod trash;
mod vacation;
mod values;

use super::{Ended, RootOption, say};
use crate::addr::{Address, normal_domain};
use crate::config::Site;
use crate::status::Exit;
use crate::store::{FolderError, TreeError};
use crate::users::{self, Account, Accounts, Users};
use show::{to_json, to_text};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Accounts: add, change, list and delete them; check their mailboxes, bring mail back
#[derive(Debug, clap::Parser)]
#[command(name = "emuser", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Add an account
    Add {
        /// user@domain
        address: String,
        #[command(flatten)]
        password: password::Password,
        #[command(flatten)]
        values: values::Values,
    },
    /// Set a password
    Passwd {
        /// user@domain
        address: String,
        #[command(flatten)]
        password: password::Password,
        /// Refuse logins until the user has changed it by empass
        #[arg(long)]
        must_change: bool,
    },
    /// Change an account
    Modify {
        /// user@domain
        address: String,
        #[command(flatten)]
        values: values::Values,
        /// Refuse logins; mail is still taken
        #[arg(long, conflicts_with = "unlock")]
        lock: bool,
        /// Allow logins again
        #[arg(long)]
        unlock: bool,
        /// Forget the recoverable secret of APOP and CRAM-MD5
        #[arg(long)]
        no_apop: bool,
    },
    /// Delete an account; it is kept with its mail for accounts.trash
    Delete(delete::Delete),
    /// Bring a deleted account back, with its mail
    Restore(delete::Restore),
    /// Give an account another address; its mail goes with it
    Rename(rename::Rename),
    /// Move all accounts of a domain to another one, with their mail
    RenameDomain(rename::RenameDomain),
    /// Show one account
    Show {
        /// user@domain
        address: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List accounts
    List {
        /// Only this domain
        #[arg(long)]
        domain: Option<String>,
        /// Those that were deleted and can be restored
        #[arg(long)]
        deleted: bool,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Add, change and delete the accounts of a sheet (CSV)
    Import(import::Import),
    /// Print the accounts as a sheet (CSV) that a spreadsheet opens
    Export(export::Export),
    /// Passwords for single devices: make, list, take away
    AppPassword(app::AppPassword),
    /// The answer to mail while nobody reads it: set, show, end
    Vacation(vacation::Vacation),
    /// Remove mail that is older than its account wants it
    Expire(expire::Expire),
    /// Show how much mail is in the trash
    Trash(trash::Show),
    /// Bring expunged and deleted mail back from the trash
    Undelete(trash::Undelete),
    /// Remove for good what was in the trash for imap.trash
    Purge(trash::Purge),
    /// Check an account's mailboxes, and mend what can be mended
    CheckMail(check::CheckMail),
    /// Copy an account of another IMAP server into one of ours
    Migrate(migrate::Migrate),
    /// Take over the accounts of the operating system, of Dovecot or of Postfix
    #[command(subcommand)]
    Takeover(takeover::Takeover),
    /// Show and change the rights on a mailbox
    #[command(subcommand)]
    Acl(share::AclAction),
    /// Make, delete and list mailboxes that no account owns
    #[command(subcommand)]
    Share(share::ShareAction),
    /// List, put and choose the scripts that sort incoming mail
    #[command(subcommand)]
    Sieve(sieve::SieveAction),
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emuser", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    use Action::{Acl, CheckMail, Delete, Expire, Migrate, Purge, Restore, Share, Sieve, Trash, Undelete};
    let input = match &arguments.action {
        Sieve(action) => action.read()?,
        Migrate(action) => action.read()?,
        _ => Vec::new(),
    };
    let touches_mail = matches!(
        arguments.action,
        Delete(_)
            | Restore(_)
            | Undelete(_)
            | Trash(_)
            | Purge(_)
            | Expire(_)
            | CheckMail(_)
            | Migrate(_)
            | Acl(_)
            | Share(_)
            | Sieve(_)
    );
    if touches_mail {
        // Mail belongs to em, and so must all that is written beside it.
        super::become_em(&root)?;
    }
    let site = super::site("emuser", &root)?;
    let users = Users::of(&site);
    match arguments.action {
        Action::Delete(action) => return delete::delete(&site, &users, &action),
        Action::Restore(action) => return delete::restore(&site, &users, &action),
        Action::Trash(action) => return trash::show(&site, &users, &action),
        Action::Undelete(action) => return trash::undelete(&site, &users, &action),
        Action::Purge(action) => return trash::purge(&site, &users, &action),
        Action::CheckMail(action) => return check::check_mail(&site, &users, &action),
        Action::Takeover(action) => return takeover::takeover(&site, &users, &action),
        Action::Migrate(action) => return migrate::migrate(&site, &users, &action, &input),
        Action::Acl(action) => return share::acl(&site, &users, &action),
        Action::Share(action) => return share::share(&site, &users, &action),
        Action::Sieve(action) => return sieve::sieve(&site, &users, &action, &input),
        Action::AppPassword(action) => return app::app_password(&site, &users, &action),
        Action::Vacation(action) => return vacation::vacation(&site, &users, &action),
        Action::Expire(action) => return expire::expire(&site, &users, &action),
        Action::Rename(action) => return rename::rename(&site, &users, &action),
        Action::RenameDomain(action) => return rename::rename_domain(&site, &users, &action),
        Action::Import(action) => return import::import(&site, &users, &action),
        Action::Export(action) => return export::export(&site, &users, &action),
        Action::Add { address, password, values } => {
            let address = own_address(&address, &site)?;
            delete::must_be_free(&site, &address)?;
            let mut account = Account::new(&address);
            values.apply(&mut account, &site)?;
            password::set_password(&password, &mut account, &site)?;
            change(&users, |accounts| {
                let key = key(&address);
                if accounts.contains_key(&key) {
                    return Err(Ended::new(Exit::CantCreat, format!("{address} exists already")));
                }
                accounts.insert(key, account);
                Ok(())
            })?;
        }
        Action::Passwd { address, password, must_change } => {
            // Hashed before the lock is taken: others need not wait for that.
            let mut fresh = account(&address, &site, &users)?;
            let address = fresh.address.clone();
            password::set_password(&password, &mut fresh, &site)?;
            edit(&users, &address, |account| {
                for field in ["pw", "scram", "apop"] {
                    account.put(field, fresh.field(field).map(str::to_string));
                }
                account.put("must_change", must_change.then(|| "1".to_string()));
                Ok(())
            })?;
        }
        Action::Modify { address, values, lock, unlock, no_apop } => {
            let address = account(&address, &site, &users)?.address;
            if !(values.say_something() || lock || unlock || no_apop) {
                return Err(Ended::new(Exit::Usage, "nothing to change; see emuser modify --help"));
            }
            edit(&users, &address, |account| {
                values.apply(account, &site)?;
                if lock || unlock {
                    account.put("locked", lock.then(|| "1".to_string()));
                }
                if no_apop {
                    account.put("apop", None);
                }
                Ok(())
            })?;
        }
        Action::Show { address, json } => {
            let account = account(&address, &site, &users)?;
            say(&if json { format!("{}\n", to_json(&account, &site)) } else { to_text(&account, &site) })?;
        }
        Action::List { domain, deleted, json } => {
            let domain = domain_option(domain.as_deref())?;
            if deleted {
                return delete::list(&site, domain.as_deref(), json);
            }
            let mut text = String::new();
            let (accounts, is_whole) = Accounts::of(&site).list().map_err(damaged)?;
            for account in accounts {
                if domain.as_deref().is_some_and(|d| d != account.address.domain()) {
                    continue;
                }
                match json {
                    true => text.push_str(&format!("{}\n", to_json(&account, &site))),
                    false => text.push_str(&format!("{}\n", account.address)),
                }
            }
            say(&text)?;
            if !is_whole {
                let _ = writeln!(std::io::stderr(), "emuser: accounts that only a program knows are not listed");
            }
        }
    }
    Ok(Exit::Ok)
}

/// The normal form of `--domain`.
fn domain_option(domain: Option<&str>) -> Result<Option<String>, Ended> {
    let wrong = |d: &str, e| Ended::new(Exit::Usage, format!("--domain {d:?}: {e}"));
    domain.map(|d| normal_domain(d).map_err(|e| wrong(d, e))).transpose()
}

fn key(address: &Address) -> String {
    users::key(address)
}

fn parse(text: &str, site: &Site) -> Result<Address, Ended> {
    let address =
        if text.contains('@') { Address::parse(text) } else { Address::parse_loose(text, &site.default_domain()) };
    address.map(|a| a.to_key()).map_err(|e| Ended::new(Exit::Usage, format!("{text:?}: {e}")))
}

/// An address in a domain of ours: anything else would never get mail.
fn own_address(text: &str, site: &Site) -> Result<Address, Ended> {
    let address = parse(text, site)?;
    if !site.is_local(address.domain()) {
        let text = format!(
            "{} is not a domain of ours; add it first: emconf set server.domains {} {}",
            address.domain(),
            site.settings.server.domains.join(" "),
            address.domain()
        );
        return Err(Ended::new(Exit::Config, text));
    }
    if let Some(separator) = site.separator()
        && address.local().contains(separator)
    {
        let text = format!("{address}: {separator:?} separates the detail; mail for it goes to the part before");
        return Err(Ended::new(Exit::Usage, text));
    }
    Ok(address)
}

/// The account of this name, in whichever directory.
fn account(text: &str, site: &Site, users: &Users) -> Result<Account, Ended> {
    let address = parse(text, site)?;
    let accounts = Accounts::of(site);
    let found = match accounts.may_wait() {
        true => accounts.find(&address)?,
        false => users.lookup(&address).map_err(damaged)?,
    };
    Ok(Arc::unwrap_or_clone(found.ok_or_else(|| no_such(&address))?))
}

/// What a failure of the store is to the shell.
fn of_store(error: &TreeError) -> Ended {
    let exit = match error {
        TreeError::Io(e) | TreeError::Folder(FolderError::Io(e)) => match e.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NoPerm,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Exit::TempFail,
            _ => Exit::IoErr,
        },
        TreeError::Folder(FolderError::Busy) => Exit::TempFail,
        TreeError::Folder(FolderError::Newer(_)) => Exit::Config,
        TreeError::BadName => Exit::Usage,
        _ => Exit::DataErr,
    };
    Ended::new(exit, error.to_string())
}

fn no_such(address: &Address) -> Ended {
    Ended::new(Exit::NoUser, format!("no account {address}"))
}

fn change(
    users: &Users,
    act: impl FnOnce(&mut std::collections::BTreeMap<String, Account>) -> Result<(), Ended>,
) -> Result<(), Ended> {
    users.update(|accounts| act(accounts).map_err(Refusal)).map_err(|refusal| refusal.0)
}

/// Why accounts were not read or changed; a damaged file is a matter of the configuration.
struct Refusal(Ended);

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Refusal {
        match error.kind() {
            std::io::ErrorKind::InvalidData => Refusal(Ended::new(Exit::Config, error.to_string())),
            // Two accounts want one address, or one has too long values.
            std::io::ErrorKind::InvalidInput => Refusal(Ended::new(Exit::CantCreat, error.to_string())),
            _ => Refusal(error.into()),
        }
    }
}

fn damaged(error: std::io::Error) -> Ended {
    Refusal::from(error).0
}

fn edit(users: &Users, address: &Address, act: impl FnOnce(&mut Account) -> Result<(), Ended>) -> Result<(), Ended> {
    change(users, |accounts| act(accounts.get_mut(&key(address)).ok_or_else(|| no_such(address))?))
}
