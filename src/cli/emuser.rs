//! emuser: accounts and their mailboxes, from the shell.

mod check;
mod migrate;
mod owner;
mod share;
mod takeover;
mod trash;

use super::{Ended, RootOption, say};
use crate::addr::{Address, normal_domain};
use crate::config::Site;
use crate::mailbox::Quota;
use crate::settings::Size;
use crate::status::Exit;
use crate::store::{FolderError, TreeError};
use crate::users::{self, Account, Accounts, Source, Users};
use std::io::{BufRead, IsTerminal, Read, Write};
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
        password: Password,
        #[command(flatten)]
        fields: Fields,
    },
    /// Set a password
    Passwd {
        /// user@domain
        address: String,
        #[command(flatten)]
        password: Password,
    },
    /// Change an account
    Modify {
        /// user@domain
        address: String,
        #[command(flatten)]
        fields: Fields,
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
    /// Delete an account; its mail stays in the mail folder
    Delete {
        /// user@domain
        address: String,
    },
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
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
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
}

#[derive(Debug, clap::Args)]
struct Password {
    /// Read the password from standard input, up to a line end
    #[arg(long)]
    password_stdin: bool,
    /// Take this crypt(3) or argon2 hash as it is
    #[arg(long, value_name = "HASH", conflicts_with_all = ["password_stdin", "apop"])]
    password_hash: Option<String>,
    /// No password: nobody can log in yet
    #[arg(long, conflicts_with_all = ["password_stdin", "password_hash", "apop"])]
    no_password: bool,
    /// Keep the password recoverable, as APOP and CRAM-MD5 need it
    #[arg(long)]
    apop: bool,
}

#[derive(Debug, clap::Args)]
struct Fields {
    /// The person's name
    #[arg(long)]
    name: Option<String>,
    /// Mailbox quota, such as 1G; 0 for none
    #[arg(long)]
    quota: Option<String>,
    /// Most messages in the mailboxes; 0 for no limit
    #[arg(long, value_name = "NUMBER")]
    quota_messages: Option<u32>,
    /// Services that may be used, with commas: smtp, submission, pop3, imap, poppass; "all" for all
    #[arg(long)]
    services: Option<String>,
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emuser", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    use Action::{Acl, CheckMail, Migrate, Purge, Share, Undelete};
    if matches!(arguments.action, Undelete(_) | Purge(_) | CheckMail(_) | Migrate(_) | Acl(_) | Share(_)) {
        // Mail belongs to em, and so must all that is written beside it.
        super::become_em(&root)?;
    }
    let site = super::site("emuser", &root)?;
    let users = Users::of(&site);
    match arguments.action {
        Action::Undelete(action) => return trash::undelete(&site, &users, &action),
        Action::Purge(action) => return trash::purge(&site, &users, &action),
        Action::CheckMail(action) => return check::check_mail(&site, &users, &action),
        Action::Takeover(action) => return takeover::takeover(&site, &users, &action),
        Action::Migrate(action) => return migrate::migrate(&site, &users, &action),
        Action::Acl(action) => return share::acl(&site, &users, &action),
        Action::Share(action) => return share::share(&site, &users, &action),
        Action::Add { address, password, fields } => {
            let address = own_address(&address, &site)?;
            let mut account = Account::new(&address);
            apply(&fields, &mut account)?;
            set_password(&password, &mut account, &site)?;
            change(&users, |accounts| {
                let key = key(&address);
                if accounts.contains_key(&key) {
                    return Err(Ended::new(Exit::CantCreat, format!("{address} exists already")));
                }
                accounts.insert(key, account);
                Ok(())
            })?;
        }
        Action::Passwd { address, password } => {
            let address = parse(&address, &site)?;
            // Hashed before the lock is taken: others need not wait for that.
            let found = users.lookup(&address).map_err(damaged)?.ok_or_else(|| no_such(&address))?;
            let mut fresh = Arc::unwrap_or_clone(found);
            set_password(&password, &mut fresh, &site)?;
            edit(&users, &address, |account| {
                for field in ["pw", "scram", "apop"] {
                    account.put(field, fresh.field(field).map(str::to_string));
                }
                Ok(())
            })?;
        }
        Action::Modify { address, fields, lock, unlock, no_apop } => {
            let address = parse(&address, &site)?;
            let says_something = fields.name.is_some()
                || fields.quota.is_some()
                || fields.quota_messages.is_some()
                || fields.services.is_some();
            if !(says_something || lock || unlock || no_apop) {
                return Err(Ended::new(Exit::Usage, "nothing to change; see emuser modify --help"));
            }
            edit(&users, &address, |account| {
                apply(&fields, account)?;
                if lock || unlock {
                    account.put("locked", lock.then(|| "1".to_string()));
                }
                if no_apop {
                    account.put("apop", None);
                }
                Ok(())
            })?;
        }
        Action::Delete { address } => {
            let address = parse(&address, &site)?;
            change(&users, |accounts| match accounts.remove(&key(&address)) {
                Some(_) => Ok(()),
                None => Err(no_such(&address)),
            })?;
            let home = users::home(&site.root.mail, &address);
            if home.exists() {
                let _ = writeln!(std::io::stderr(), "emuser: the mail of {address} stays in {}", home.display());
            }
        }
        Action::Show { address, json } => {
            let account = account(&address, &site, &users)?;
            say(&if json { format!("{}\n", to_json(&account, &site)) } else { to_text(&account, &site) })?;
        }
        Action::List { domain, json } => {
            let wrong = |d: &str, e| Ended::new(Exit::Usage, format!("--domain {d:?}: {e}"));
            let domain = domain.map(|d| normal_domain(&d).map_err(|e| wrong(&d, e))).transpose()?;
            let mut text = String::new();
            for account in users.list().map_err(damaged)? {
                if domain.as_deref().is_some_and(|d| d != account.address.domain()) {
                    continue;
                }
                match json {
                    true => text.push_str(&format!("{}\n", to_json(&account, &site))),
                    false => text.push_str(&format!("{}\n", account.address)),
                }
            }
            say(&text)?;
        }
    }
    Ok(Exit::Ok)
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

fn apply(fields: &Fields, account: &mut Account) -> Result<(), Ended> {
    if let Some(name) = &fields.name {
        if name.chars().any(char::is_control) {
            return Err(Ended::new(Exit::Usage, "--name: no control characters"));
        }
        account.put("name", Some(name.clone()).filter(|n| !n.is_empty()));
    }
    if let Some(quota) = &fields.quota {
        let size: Size = quota.parse().map_err(|e: String| Ended::new(Exit::Usage, format!("--quota: {e}")))?;
        account.put("quota", Some(size.0.to_string()));
    }
    if let Some(messages) = fields.quota_messages {
        account.put("quota_messages", Some(messages.to_string()));
    }
    if let Some(services) = &fields.services {
        let known = ["smtp", "submission", "pop3", "imap", "poppass"];
        if let Some(strange) = services.split(',').find(|s| !known.contains(s) && services != "all") {
            let text = format!("--services: {strange:?} is none of {}, all", known.join(", "));
            return Err(Ended::new(Exit::Usage, text));
        }
        account.put("services", Some(services.clone()).filter(|s| s != "all"));
    }
    Ok(())
}

fn set_password(options: &Password, account: &mut Account, site: &Site) -> Result<(), Ended> {
    if options.no_password || options.password_hash.is_some() {
        ["pw", "scram", "apop"].into_iter().for_each(|field| account.put(field, None));
    }
    if options.no_password {
        return Ok(());
    }
    if let Some(hash) = &options.password_hash {
        if !users::is_known_hash(hash) {
            let text = "--password-hash: not a hash of argon2, yescrypt, sha512, sha256 or bcrypt";
            return Err(Ended::new(Exit::Usage, text));
        }
        account.put("pw", Some(hash.clone()));
        return Ok(());
    }
    let password = read_password(options.password_stdin)?;
    let scheme = &site.settings.accounts.password_scheme;
    account.set_password(&password, scheme, options.apop).map_err(|e| Ended::new(Exit::DataErr, e.to_string()))
}

/// From standard input, or twice from the terminal without echo.
fn read_password(from_stdin: bool) -> Result<String, Ended> {
    let stdin = std::io::stdin();
    if from_stdin || !stdin.is_terminal() {
        if !from_stdin {
            return Err(Ended::new(Exit::Usage, "give the password with --password-stdin"));
        }
        let mut text = String::new();
        stdin
            .lock()
            .take(64 << 10)
            .read_to_string(&mut text)
            .map_err(|e| Ended::new(Exit::DataErr, format!("standard input: {e}")))?;
        return Ok(text.lines().next().unwrap_or("").to_string());
    }
    let first = prompt("Password: ")?;
    if first != prompt("Again: ")? {
        return Err(Ended::new(Exit::DataErr, "the two are not the same"));
    }
    Ok(first)
}

fn prompt(text: &str) -> Result<String, Ended> {
    let mut err = std::io::stderr();
    let _ = write!(err, "{text}");
    let _ = err.flush();
    // stty is everywhere a terminal is; termios would need another feature of nix for this one place.
    let echo = |word: &str| std::process::Command::new("stty").arg(word).status();
    let _ = echo("-echo");
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    let _ = echo("echo");
    let _ = writeln!(err);
    read.map_err(|e| Ended::new(Exit::DataErr, e.to_string()))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_string())
}

fn to_text(account: &Account, site: &Site) -> String {
    let quota = account.quota(site.default_quota());
    let mut text = format!("address   {}\n", account.address);
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            text.push_str(&format!("{name:<9} {value}\n"));
        }
    };
    line("name", account.name());
    line("directory", if account.source() == Source::File { "" } else { account.source().name() });
    line("password", scheme(account));
    line("apop", if account.secret().is_some() { "yes (the password is kept readable)" } else { "" });
    line("quota", &quota_text(quota));
    line("services", account.field("services").unwrap_or("all"));
    line("login", if account.is_locked() { "locked" } else { "" });
    line("home", &users::home(&site.root.mail, &account.address).display().to_string());
    text
}

fn scheme(account: &Account) -> &str {
    match account.password() {
        None if account.source() != Source::File => account.source().name(),
        None => "none",
        Some(hash) => hash.split('$').nth(1).unwrap_or("unknown"),
    }
}

fn quota_text(quota: Quota) -> String {
    let octets = (quota.octets > 0).then(|| Size(quota.octets).to_string());
    let messages = (quota.messages > 0).then(|| format!("{} messages", quota.messages));
    let limits: Vec<String> = octets.into_iter().chain(messages).collect();
    if limits.is_empty() { "none".to_string() } else { limits.join(", ") }
}

fn to_json(account: &Account, site: &Site) -> serde_json::Value {
    let quota = account.quota(site.default_quota());
    serde_json::json!({
        "address": account.address.to_string(),
        "directory": account.source().name(),
        "name": account.name(),
        "password": scheme(account),
        "apop": account.secret().is_some(),
        "quota": quota.octets,
        "quota_messages": quota.messages,
        "services": account.field("services").map(|s| s.split(',').collect::<Vec<_>>()),
        "locked": account.is_locked(),
        "home": users::home(&site.root.mail, &account.address),
    })
}
