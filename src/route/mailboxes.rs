//! Mailboxes that addresses have: an account, with or without the detail of the address, or an account of the system.
//!
//! Neither aliases nor rules are asked, so that a program that delivers for another one need not read them.

use super::{Decider, Router, Steps};
use crate::addr::Address;
use crate::envelope::{Delivery, Mailer};
use crate::status::Failure;
use crate::users::Account;
use std::sync::Arc;

pub(super) struct Mailboxes<'a> {
    router: &'a Router,
    steps: &'a Steps,
}

impl<'a> Mailboxes<'a> {
    pub(super) fn new(router: &'a Router, steps: &'a Steps) -> Mailboxes<'a> {
        Mailboxes { router, steps }
    }

    /// A mailbox of ours, or a system account; where its mail is sent on says nothing.
    pub(super) fn of(&self, key: &Address) -> Result<Option<Delivery>, Failure> {
        match self.account(key)? {
            Some((account, found_by)) => self.own(&account, &found_by, key).map(Some),
            None => self.system(key),
        }
    }

    /// The account of an address, and the address that it was found by: with or without the detail.
    pub(super) fn account(&self, key: &Address) -> Result<Option<(Arc<Account>, Address)>, Failure> {
        if let Some(account) = self.router.users().find(key)? {
            return Ok(Some((account, key.clone())));
        }
        let base = self.without_detail(key)?;
        if base == *key {
            return Ok(None);
        }
        Ok(self.router.users().find(&base)?.map(|account| (account, base)))
    }

    fn without_detail(&self, key: &Address) -> Result<Address, Failure> {
        let separator = self.router.site().separator();
        match separator.map_or((key.local(), None), |s| key.split_detail(s)) {
            (user, Some(_)) => key.with_local(user).map_err(|e| Failure::permanent((1, 3), e.to_string(), e)),
            (_, None) => Ok(key.clone()),
        }
    }

    pub(super) fn system(&self, key: &Address) -> Result<Option<Delivery>, Failure> {
        let base = self.without_detail(key)?;
        let user = base.local();
        if self.router.site().settings.accounts.system && is_login_name(user) {
            let found = nix::unistd::User::from_name(user)
                .map_err(|e| Failure::temporary((3, 0), "Local error in processing, try again later", e))?;
            if found.is_some_and(|u| u.uid.as_raw() > 0) {
                self.steps.say(Decider::Account, || format!("{key}: system account {user}"));
                return Ok(Some(Delivery::new(Mailer::System, key.local())));
            }
        }
        Ok(None)
    }

    /// The delivery into an account's own mailbox, for an address that led to it.
    pub(super) fn own(&self, account: &Account, found_by: &Address, key: &Address) -> Result<Delivery, Failure> {
        if account.is_disabled() {
            self.steps.say(Decider::Account, || format!("{key}: account {} is disabled", account.address));
            let text = format!("<{key}>: Mailbox is disabled");
            return Err(Failure::permanent((2, 1), text, "disabled in etc/users"));
        }
        if account.is_moving() {
            let text = format!("<{key}>: Mailbox is being moved, try again later");
            return Err(Failure::temporary((2, 1), text, "emuser rename").with_code(450));
        }
        let is_alias = account.address != *found_by;
        let kind = if is_alias { "alias of account" } else { "account" };
        self.steps.say(Decider::Account, || format!("{key}: {kind} {}", account.address));
        let mut user = key.clone();
        if is_alias {
            // As an alias: the mailbox has one name, and gets one copy.
            let detail = key.local().strip_prefix(found_by.local()).unwrap_or_default();
            let local = format!("{}{detail}", account.address.local());
            user = account.address.with_local(&local).map_err(|e| Failure::permanent((1, 3), e.to_string(), e))?;
        }
        let mut delivery = Delivery::new(Mailer::Mailbox, user.to_string());
        if account.address != user {
            delivery.host = account.address.to_string();
        }
        Ok(delivery)
    }
}

/// Names that may be asked of the system's account database.
pub(super) fn is_login_name(user: &str) -> bool {
    !user.is_empty()
        && user.len() <= 32
        && user.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !user.starts_with('-')
}
