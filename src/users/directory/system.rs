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
use crate::status::Failure;
use crate::users::Source;
use nix::unistd::User;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// Longest login name.
const NAME_LIMIT: usize = 32;

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
        // The root user never, whatever the settings say.
        let Some(user) = found.filter(|u| self.uids.contains(&u.uid.as_raw()) && !u.uid.is_root()) else {
            return Ok(None);
        };
        let address = Address::new(key.local(), &self.domains[0])
            .map_err(|e| Failure::temporary((3, 5), "Local configuration error, try again later", e))?;
        let mut account = Account::from(&address, Source::System);
        let gecos = user.gecos.to_string_lossy();
        let name = gecos.split(',').next().unwrap_or_default().trim();
        account.put("name", Some(name.to_string()).filter(|n| !n.is_empty() && !n.contains(char::is_control)));
        Ok(Some(Arc::new(account)))
    }

    fn is_password(&self, account: &Account, password: &str) -> Result<bool, Failure> {
        match &self.checker {
            Some(program) => program.log_in(account.address.local(), password),
            // Nobody was named who could tell.
            None => Ok(false),
        }
    }
}

/// Names that may be asked of the system's account database.
fn is_login_name(user: &str) -> bool {
    !user.is_empty()
        && user.len() <= NAME_LIMIT
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !user.starts_with('-')
}
