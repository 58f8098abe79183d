//! The directories of a site, in the order of `accounts.directories`: etc/users, the operating system, a program.
//!
//! Called by `route` and `deliver` (is there such an account, what is its quota), `serve` (logins) and the commands.
//! The first directory that knows a name answers for it: its password counts, and no other.
//! A directory that is out of order is a temporary failure, never "no such user": nobody's mail is returned for it, and the
//! directories behind it are not asked either, because they might know the name by another password.
//! Wherever an account is known, its mail lies in the mail tree: the services run as one user and reach no home (D97 of
//! docs/decisions.md).
//!
//! A directory with more to say (LDAP, a database) is one more implementation of [`Directory`]; what it knows about an account
//! (quota, services, the host that holds its mail) goes into the account's fields.

mod checkpassword;
mod program;
mod system;

pub use checkpassword::Checkpassword;
pub use system::System;

use super::{Account, LoggedIn, Remembered, Users, check_password};
use crate::addr::Address;
use crate::config::Site;
use crate::sasl::Proven;
use crate::settings::DirectoryChoice;
use crate::status::Failure;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

/// Where accounts are looked up.
pub trait Directory: Send + Sync + std::fmt::Debug {
    /// The account of an address, without regard to case. The account's own address may be another one.
    fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure>;

    /// All accounts, sorted; `None` where they can't be listed.
    fn list(&self) -> io::Result<Option<Vec<Account>>>;

    /// True when this is the password of an account that [`Directory::find`] gave. May take as long as a hash or a program.
    fn is_password(&self, account: &Account, password: &str) -> Result<bool, Failure>;
}

impl Directory for Users {
    fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure> {
        self.lookup(address).map_err(|e| Failure::local(&e))
    }

    fn list(&self) -> io::Result<Option<Vec<Account>>> {
        Users::list(self).map(Some)
    }

    fn is_password(&self, account: &Account, password: &str) -> Result<bool, Failure> {
        Ok(check_password(password, account.password()))
    }
}

/// An account, and the directory that knows it.
type Kept<'a> = (&'a dyn Directory, Arc<Account>);

/// All accounts of a site. A clone shares what is remembered.
#[derive(Debug, Clone)]
pub struct Accounts {
    file: Users,
    directories: Arc<[Arc<dyn Directory>]>,
    may_wait: bool,
    has_foreign_passwords: bool,
}

impl Accounts {
    /// The accounts of a site.
    pub fn of(site: &Site) -> Accounts {
        let file = Users::of(site);
        let choices = &site.settings.accounts.directories;
        let directories = choices.iter().map(|choice| -> Arc<dyn Directory> {
            match choice {
                DirectoryChoice::File => Arc::new(file.clone()),
                DirectoryChoice::System(argv) => Arc::new(System::new(site, argv.as_deref())),
                DirectoryChoice::Checkpassword(argv) => Arc::new(Checkpassword::new(site, argv)),
            }
        });
        let directories = directories.collect();
        let may_wait = choices.iter().any(|choice| *choice != DirectoryChoice::File);
        Accounts { file, directories, may_wait, has_foreign_passwords: site.has_foreign_passwords() }
    }

    /// These directories, in this order.
    #[cfg(test)]
    pub(super) fn with(file: &Users, directories: Vec<Arc<dyn Directory>>) -> Accounts {
        Accounts { file: file.clone(), directories: directories.into(), may_wait: true, has_foreign_passwords: false }
    }

    /// etc/users, for those who change it.
    pub fn file(&self) -> &Users {
        &self.file
    }

    /// True when a look-up may wait for another program.
    pub fn may_wait(&self) -> bool {
        self.may_wait
    }

    /// True when APOP and CRAM-MD5 can work for somebody, and are nothing that must fail for others.
    pub fn has_secrets(&self) -> bool {
        !self.has_foreign_passwords && self.file.has_secrets()
    }

    /// The account of an address, without regard to case.
    pub fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure> {
        Ok(self.keeper(address)?.map(|(_, account)| account))
    }

    /// All accounts of the directories that can list theirs, sorted, each as the first that knows it has it; and whether all can.
    pub fn list(&self) -> io::Result<(Vec<Account>, bool)> {
        let (mut all, mut is_whole) = (BTreeMap::new(), true);
        for directory in self.directories.iter() {
            match directory.list()? {
                Some(accounts) => {
                    for account in accounts {
                        all.entry(account.key()).or_insert(account);
                    }
                }
                None => is_whole = false,
            }
        }
        Ok((all.into_values().collect(), is_whole))
    }

    fn keeper(&self, address: &Address) -> Result<Option<Kept<'_>>, Failure> {
        for directory in self.directories.iter() {
            if let Some(account) = directory.find(address)? {
                return Ok(Some((&**directory, account)));
            }
        }
        Ok(None)
    }

    /// Grants a login by name and password; in etc/users, unknown names cost the same time as known ones.
    pub fn log_in(&self, address: &Address, password: &str) -> Result<Option<LoggedIn>, Failure> {
        let Some((directory, account)) = self.keeper(address)? else {
            check_password(password, None);
            return Ok(None);
        };
        let is_right = directory.is_password(&account, password)?;
        Ok(Some(account).filter(|a| is_right && !a.refuses_logins()).map(|account| LoggedIn { account }))
    }

    /// Grants a login for a service by one of the account's app passwords.
    pub fn log_in_by_app(&self, account: &Arc<Account>, password: &str, service: &str) -> Option<LoggedIn> {
        let is_right = account.app_password(password, service).is_some() && !account.refuses_logins();
        is_right.then(|| LoggedIn { account: account.clone() })
    }

    /// Grants a login whose password was verified a moment ago against the same stored hash.
    pub fn log_in_again(&self, account: Arc<Account>, _seen: &Remembered) -> Option<LoggedIn> {
        (!account.refuses_logins()).then_some(LoggedIn { account })
    }

    /// Grants a login by a proof.
    pub fn log_in_proven(&self, address: &Address, proven: &Proven) -> Result<Option<LoggedIn>, Failure> {
        debug_assert!(!proven.user().is_empty());
        Ok(self.find(address)?.filter(|a| !a.refuses_logins()).map(|account| LoggedIn { account }))
    }
}

#[cfg(test)]
mod tests;
