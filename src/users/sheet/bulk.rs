//! The wishes of a sheet, carried out on the set of accounts.
//!
//! Passwords were hashed and compared before (`Secret`), because that takes long and needs no lock. Done twice, the same sheet changes nothing
//! the second time: that is how an import that was killed is finished.

use super::{Action, PasswordWish, Refused, Wish};
use crate::addr::Address;
use crate::users::{Account, aliases_of, check_password};
use std::collections::{BTreeMap, HashMap};

/// What became of a wish's password in clear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// Nothing to do, or a hash that was given.
    None,
    /// It is the one whose hash is this.
    Same(String),
    /// Made anew: hash and keys.
    Fresh {
        /// The hash.
        hash: String,
        /// SCRAM keys.
        scram: String,
    },
    /// It is another one, and nobody hashed it: for plans only.
    Planned,
}

/// What was done.
#[derive(Debug, Default)]
pub struct Outcome {
    /// New accounts.
    pub added: Vec<Address>,
    /// Changed ones, and the columns that were others before.
    pub changed: Vec<(Address, Vec<&'static str>)>,
    /// Accounts taken away.
    pub removed: Vec<Address>,
    /// How many are as they were.
    pub unchanged: usize,
    /// Rows that were not done.
    pub refused: Vec<Refused>,
}

impl Outcome {
    /// True when no account is another one than before.
    pub fn is_nothing(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

/// What one wish came to.
enum Done {
    Added,
    Changed(Vec<&'static str>),
    Removed,
    Unchanged,
    Refused(Refused),
}

/// Carries out all wishes that can be; `secrets` has one for each wish.
pub fn carry_out(wishes: &[Wish], secrets: &[Secret], accounts: &mut BTreeMap<String, Account>) -> Outcome {
    let mut done = Vec::with_capacity(wishes.len());
    // What an account was before, to be put back when its aliases can't be.
    let mut before: Vec<Option<Account>> = Vec::with_capacity(wishes.len());
    for (wish, secret) in wishes.iter().zip(secrets) {
        let key = wish.key();
        before.push(accounts.get(&key).cloned());
        done.push(one(wish, secret, &key, accounts));
    }
    refuse_clashes(wishes, &mut before, &mut done, accounts);
    let mut outcome = Outcome::default();
    for (wish, done) in wishes.iter().zip(done) {
        match done {
            Done::Added => outcome.added.push(wish.address.clone()),
            Done::Changed(columns) => outcome.changed.push((wish.address.clone(), columns)),
            Done::Removed => outcome.removed.push(wish.address.clone()),
            Done::Unchanged => outcome.unchanged += 1,
            Done::Refused(refused) => outcome.refused.push(refused),
        }
    }
    outcome
}

fn one(wish: &Wish, secret: &Secret, key: &str, accounts: &mut BTreeMap<String, Account>) -> Done {
    let address = &wish.address;
    let old = accounts.get(key);
    match (wish.action, old) {
        (Action::Delete, None) => return Done::Unchanged,
        (Action::Delete, Some(_)) => {
            accounts.remove(key);
            return Done::Removed;
        }
        (Action::Update, None) => return Done::Refused(wish.refused("action", format!("no account {address}"))),
        _ => {}
    }
    let mut account = old.cloned().unwrap_or_else(|| Account::new(address));
    let mut columns = Vec::new();
    for (attribute, value) in &wish.values {
        if account.field(attribute.word) != value.as_deref() {
            account.put(attribute.word, value.clone());
            columns.push(attribute.name);
        }
    }
    if set_password(wish, secret, &mut account) {
        columns.push("password");
    }
    if !account.fits() {
        return Done::Refused(wish.refused("", "all in all its values are too long"));
    }
    match old {
        Some(_) if columns.is_empty() => return Done::Unchanged,
        Some(_) if wish.action == Action::Add => {
            let reason = format!("{address} exists already, with another {}", columns.join(", "));
            return Done::Refused(wish.refused("action", reason));
        }
        _ => {}
    }
    let is_new = accounts.insert(key.to_string(), account).is_none();
    if is_new { Done::Added } else { Done::Changed(columns) }
}

/// Sets what the row says of the password; true when it is another one than before.
fn set_password(wish: &Wish, secret: &Secret, account: &mut Account) -> bool {
    match (&wish.password, secret) {
        (PasswordWish::Keep, _) => false,
        (PasswordWish::Hash(hash), _) => {
            let is_same = account.password() == Some(hash);
            let scram = if is_same { wish.scram.as_deref().or(account.field("scram")) } else { wish.scram.as_deref() };
            if is_same && account.field("scram") == scram {
                return false;
            }
            let scram = scram.map(str::to_string);
            account.put("pw", Some(hash.clone()));
            account.put("scram", scram);
            account.put("apop", None);
            true
        }
        (PasswordWish::Clear(_), Secret::Same(hash)) if account.password() == Some(hash) => false,
        // Somebody changed it since: looked at once more.
        (PasswordWish::Clear(clear), Secret::Same(hash)) => {
            let is_same = account.password().is_some_and(|hash| check_password(clear, Some(hash)));
            if !is_same {
                account.put("pw", Some(hash.clone()));
                account.put("scram", None);
                account.put("apop", account.secret().map(|_| clear.clone()));
            }
            !is_same
        }
        (PasswordWish::Clear(clear), Secret::Fresh { hash, scram }) => {
            account.put("pw", Some(hash.clone()));
            account.put("scram", Some(scram.clone()));
            account.put("apop", account.secret().map(|_| clear.clone()));
            true
        }
        (PasswordWish::Clear(_), Secret::Planned | Secret::None) => true,
    }
}

/// Takes back what would give one address to two accounts.
fn refuse_clashes(
    wishes: &[Wish],
    before: &mut [Option<Account>],
    done: &mut [Done],
    accounts: &mut BTreeMap<String, Account>,
) {
    let rows: HashMap<String, usize> = wishes.iter().enumerate().map(|(i, wish)| (wish.key(), i)).collect();
    while let Err(clash) = aliases_of(accounts) {
        // The account that wants it, else the one that has it: one of them is in the sheet and was changed by it.
        let wanted_by = [Some(&clash.account), clash.other.as_ref(), Some(&clash.address)].into_iter().flatten();
        let blamed = wanted_by.filter_map(|address| rows.get(&crate::users::key(address)).copied());
        let is_acting = |i: &usize| done.get(*i).is_some_and(|d| matches!(d, Done::Added | Done::Changed(_)));
        let Some(index) = blamed.into_iter().find(is_acting) else { return };
        let (Some(wish), Some(before), Some(done)) = (wishes.get(index), before.get_mut(index), done.get_mut(index))
        else {
            return;
        };
        match before.take() {
            Some(account) => accounts.insert(wish.key(), account),
            None => accounts.remove(&wish.key()),
        };
        *done = Done::Refused(wish.refused("aliases", clash.to_string()));
    }
}
