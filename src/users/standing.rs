//! How things stand with an account: who may log in from where, and what becomes of its mail.

use super::file::LINE_LIMIT;
use super::{Account, Expiry};
use crate::settings::Network;
use std::net::IpAddr;

impl Account {
    /// True when nobody logs in to it, whatever the password.
    pub fn refuses_logins(&self) -> bool {
        self.is_locked() || self.is_disabled()
    }

    /// True when neither logins nor mail are taken.
    pub fn is_disabled(&self) -> bool {
        self.field("disabled").is_some()
    }

    /// True while its mail moves to the home of a new address (`emuser rename`): mail and logins wait.
    pub fn is_moving(&self) -> bool {
        self.field("moving").is_some()
    }

    /// True when logins wait for a new password.
    pub fn must_change_password(&self) -> bool {
        self.field("must_change").is_some()
    }

    /// True when clients with this address may log in; without one it is the machine itself. A list that can't be read lets nobody in.
    pub fn may_log_in_from(&self, ip: Option<IpAddr>) -> bool {
        let holds = |list: &str, ip| list.split(',').any(|n| n.parse().is_ok_and(|n: Network| n.holds(ip)));
        self.field("networks").zip(ip).is_none_or(|(list, ip)| holds(list, ip))
    }

    /// Where its mail goes on to, and whether a copy stays; `None` when it is not forwarded.
    pub fn forward(&self) -> Option<(Vec<&str>, bool)> {
        let targets = self.field("forward")?.split(',').filter(|target| !target.is_empty()).collect();
        Some((targets, self.field("keep_copy").is_some()))
    }

    /// After how many days its mail is old. What can't be read keeps all mail.
    pub fn expiry(&self) -> Expiry {
        self.field("expire").and_then(|text| Expiry::parse(text).ok()).unwrap_or_default()
    }

    /// True when its line is not too long for the file.
    pub fn fits(&self) -> bool {
        self.print().len() <= LINE_LIMIT
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;

    #[test]
    fn logins_by_network() {
        let mut account = Account::new(&Address::parse("a@b.test").unwrap());
        let may = |account: &Account, ip: &str| account.may_log_in_from(Some(ip.parse().unwrap()));
        assert!(may(&account, "192.0.2.1"));
        account.put("networks", Some("192.0.2.0/24,2001:db8::/32".to_string()));
        for (ip, expected) in [
            ("192.0.2.77", true),
            ("::ffff:192.0.2.77", true),
            ("2001:db8::1", true),
            ("192.0.3.1", false),
            ("::1", false),
        ] {
            assert_eq!(may(&account, ip), expected, "{ip}");
        }
        assert!(account.may_log_in_from(None), "a pipe on the machine itself");
        account.put("networks", Some("nonsense".to_string()));
        assert!(!may(&account, "192.0.2.77"));
    }
}
