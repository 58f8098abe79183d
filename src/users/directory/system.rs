//! Accounts of the operating system, as getpwnam(3) knows them: /etc/passwd, and whatever nsswitch.conf(5) adds.
//!
//! They are accounts of our first domain, and answer under our host's name as well. Only the identifiers between
//! `accounts.system_uid_min` and `accounts.system_uid_max` count: root, daemons and nobody get no mailbox by accident.
//! Their passwords are the business of a program with the checkpassword interface, for example one that asks PAM: hashes of
//! the whole system are nothing that a process facing the network may read.

use super::program::Program;
use super::{Account, Directory};
use crate::addr::Address;
use crate::config::Site;
use crate::fsx;
use crate::status::Failure;
use crate::users::Source;
use nix::unistd::User;
use std::io;
use std::ops::RangeInclusive;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

/// Longest login name.
const NAME_LIMIT: usize = 32;
/// Largest passwd(5) read.
const FILE_LIMIT: u64 = 1 << 30;

/// The operating system's accounts.
#[derive(Debug)]
pub struct System {
    /// Their domain, and our host's name.
    domains: [String; 2],
    uids: RangeInclusive<u32>,
    checker: Option<Program>,
}

impl System {
    /// The accounts of this machine, as a site has them.
    pub fn new(site: &Site, checker: Option<&[String]>) -> System {
        let accounts = &site.settings.accounts;
        System {
            domains: [site.default_domain(), site.hostname()],
            uids: accounts.system_uid_min..=accounts.system_uid_max,
            checker: checker.map(|argv| Program::new(argv, accounts.directory_timeout)),
        }
    }
}

impl Directory for System {
    fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure> {
        let key = address.to_key();
        if !self.domains.iter().any(|domain| domain == key.domain()) || !is_login_name(key.local()) {
            return Ok(None);
        }
        let found = User::from_name(key.local())
            .map_err(|e| Failure::temporary((3, 0), "Local error in processing, try again later", e))?;
        let Some(user) = found.filter(|user| self.counts(user.uid.as_raw())) else {
            return Ok(None);
        };
        let address = Address::new(key.local(), &self.domains[0])
            .map_err(|e| Failure::temporary((3, 5), "Local configuration error, try again later", e))?;
        Ok(Some(Arc::new(account(&address, &user.gecos.to_string_lossy()))))
    }

    fn list(&self) -> io::Result<Option<Vec<Account>>> {
        let mut accounts = Vec::new();
        for line in String::from_utf8_lossy(&database()?).lines() {
            let words: Vec<&str> = line.split(':').collect();
            if let [name, _, uid, _, gecos, ..] = words.as_slice()
                && uid.parse().is_ok_and(|uid| self.counts(uid))
                && is_login_name(name)
                && let Ok(address) = Address::new(name, &self.domains[0])
            {
                accounts.push(account(&address, gecos));
            }
        }
        accounts.sort_by_key(Account::key);
        accounts.dedup_by_key(|account| account.key());
        Ok(Some(accounts))
    }

    fn is_password(&self, account: &Account, password: &str) -> Result<bool, Failure> {
        match &self.checker {
            Some(program) => program.log_in(account.address.local(), password),
            // Nobody was named who could tell.
            None => Ok(false),
        }
    }
}

impl System {
    /// True for numbers of people. The root user never, whatever the settings say.
    fn counts(&self, uid: u32) -> bool {
        uid != 0 && self.uids.contains(&uid)
    }
}

fn account(address: &Address, gecos: &str) -> Account {
    let mut account = Account::from(address, Source::System);
    let name = gecos.split(',').next().unwrap_or_default().trim();
    account.put("name", Some(name.to_string()).filter(|n| !n.is_empty() && !n.contains(char::is_control)));
    account
}

/// Lines as in passwd(5), of all that nsswitch.conf(5) names and that lets itself be listed; of the file alone where there is no getent(1).
fn database() -> io::Result<Vec<u8>> {
    let asked = Command::new("/usr/bin/getent").arg("passwd").env_clear().stdin(Stdio::null()).output();
    match asked {
        Ok(output) if output.status.success() => Ok(output.stdout),
        Ok(output) => Err(io::Error::other(format!("getent passwd: {}", output.status))),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fsx::read(Path::new("/etc/passwd"), FILE_LIMIT),
        Err(e) => Err(e),
    }
}

/// Names that may be asked of the system's account database.
fn is_login_name(user: &str) -> bool {
    !user.is_empty()
        && user.len() <= NAME_LIMIT
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !user.starts_with('-')
}
