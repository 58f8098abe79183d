//! Further addresses of an account: the lines of etc/users by which they are found.
//!
//! The account's own line says `aliases=a@x,b@x`. Each change of the file writes a line `a@x alias-of=ACCOUNT` for each of them, in its place in the
//! order, so that a look-up stays a binary search. Those lines are made from the accounts' and never the other way round: one
//! that its account does not confirm leads nowhere, and is gone after the next change.

use super::{Account, name_key};
use crate::addr::Address;
use crate::fields;
use std::collections::BTreeMap;
use std::fmt;

/// The word that makes a line an alias.
pub(super) const ALIAS_OF: &str = "alias-of";

/// Two accounts want the same address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Clash {
    /// What both want.
    pub address: Address,
    /// Whose alias it is.
    pub account: Address,
    /// The account that has it for alias, too; `None` when it is an account itself.
    pub other: Option<Address>,
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Clash { address, account, other } = self;
        match other {
            None => write!(f, "{address} is an account, and can't be an alias of {account}"),
            Some(other) => write!(f, "{address} is an alias of {other}, and can't be one of {account}"),
        }
    }
}

impl Account {
    /// Its further addresses.
    pub fn aliases(&self) -> impl Iterator<Item = Address> {
        self.field("aliases").unwrap_or_default().split(',').filter_map(|text| Address::parse(text).ok())
    }
}

/// All aliases by key, with their account; or the first address that two want.
pub fn aliases_of(accounts: &BTreeMap<String, Account>) -> Result<BTreeMap<String, &Address>, Box<Clash>> {
    let mut all = BTreeMap::new();
    for account in accounts.values() {
        for address in account.aliases() {
            let key = name_key(&address);
            let clash =
                |other| Err(Box::new(Clash { address: address.clone(), account: account.address.clone(), other }));
            if accounts.contains_key(&key) {
                return clash(None);
            }
            if let Some(other) = all.insert(key, &account.address) {
                return clash(Some(other.clone()));
            }
        }
    }
    Ok(all)
}

/// The lines of accounts and aliases, in order.
pub(super) fn print_all(accounts: &BTreeMap<String, Account>, aliases: &BTreeMap<String, &Address>) -> String {
    let mut text = String::new();
    let mut aliases = aliases.iter().peekable();
    for (key, account) in accounts {
        while let Some((alias, owner)) = aliases.next_if(|(alias, _)| *alias < key) {
            push(&mut text, alias, owner);
        }
        text.push_str(&account.print());
        text.push('\n');
    }
    aliases.for_each(|(alias, owner)| push(&mut text, alias, owner));
    text
}

fn push(text: &mut String, alias: &str, owner: &Address) {
    text.push_str(alias);
    fields::push(text, ALIAS_OF, &owner.to_string());
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::users::Users;
    use std::io;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn aliases_lead_to_their_account() {
        let dir = tempfile::tempdir().unwrap();
        let users = Users::at(dir.path().join("users"), dir.path().join("lock"));
        let with = |aliases: &'static str| {
            users.update(|all| {
                all.get_mut("bob@b.test").unwrap().put("aliases", Some(aliases.to_string()));
                Ok::<_, io::Error>(())
            })
        };
        std::fs::write(dir.path().join("users"), "# em-users 1\nbob@b.test\ncarol@b.test\n").unwrap();
        with("a@b.test,zed@c.test").unwrap();
        for name in ["A@b.test", "zed@C.test", "bob@b.test"] {
            let found = users.lookup(&address(name)).unwrap().unwrap();
            assert_eq!(found.address, address("bob@b.test"), "{name}");
        }
        let names: Vec<String> = users.list().unwrap().iter().map(|a| a.address.to_string()).collect();
        assert_eq!(names, ["bob@b.test", "carol@b.test"], "aliases are no accounts");
        let text = std::fs::read_to_string(dir.path().join("users")).unwrap();
        assert!(text.starts_with("# em-users 1\na@b.test alias-of=bob@b.test\nbob@b.test"), "{text}");
        let refused = with("carol@b.test").unwrap_err();
        assert_eq!(refused.to_string(), "carol@b.test is an account, and can't be an alias of bob@b.test");
        with("a@b.test").unwrap();
        assert_eq!(users.lookup(&address("zed@c.test")).unwrap(), None);
        let forged = text.replace("aliases=a@b.test,", "aliases=");
        std::fs::write(dir.path().join("users"), forged).unwrap();
        assert_eq!(users.lookup(&address("a@b.test")).unwrap(), None, "its account does not confirm it");
    }
}
