//! `odmr.domains`: which account fetches the mail of which domain.
//!
//! A member of the list is text: the domain, a blank, the account's address.

use super::value::Member;
use crate::addr::{Address, normal_domain};
use std::fmt;
use std::str::FromStr;

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The domain, in A-label form.
    pub domain: String,
    /// The address of the account that may fetch its mail.
    pub account: String,
}

impl Member for Fetched {
    const LIST: &'static str = "a list such as [\"example.org gateway@example.net\"]";

    fn member(text: &str) -> Result<Fetched, String> {
        text.parse()
    }
}

impl FromStr for Fetched {
    type Err = String;

    fn from_str(text: &str) -> Result<Fetched, String> {
        let wrong = |what: String| format!("{text:?}: {what}: write \"example.org gateway@example.net\"");
        let mut words = text.split_whitespace();
        let (Some(domain), Some(account), None) = (words.next(), words.next(), words.next()) else {
            return Err(wrong("a domain and an account are wanted".to_string()));
        };
        let domain = normal_domain(domain).map_err(|e| wrong(format!("{domain:?}: {e}")))?;
        let account = Address::parse(account).map_err(|e| wrong(format!("{account:?}: {e}")))?;
        Ok(Fetched { domain, account: account.to_key().to_string() })
    }
}

impl fmt::Display for Fetched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.domain, self.account)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_back_in_their_one_spelling() {
        let text = |text: &str| text.parse::<Fetched>().map(|fetched| fetched.to_string());
        assert_eq!(text("Bücher.example  GateWay@Example.Net").unwrap(), "xn--bcher-kva.example gateway@example.net");
        for bad in ["", "example.org", "a b@c.test d", "-x b@c.test", "example.org gateway"] {
            assert!(text(bad).is_err(), "{bad}");
        }
    }
}
