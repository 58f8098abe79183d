//! After how many days an account's mail is old, in all and in single mailboxes: `30,Trash:7`.
//!
//! A number alone is for all mailboxes that are not named; 0 keeps for good. In a mailbox's name `,` and `%` are written
//! `%2c` and `%25`.

use crate::fields;
use std::collections::BTreeMap;
use std::fmt;

/// Longest time, in days: older than any mail.
const DAYS_LIMIT: u32 = 36_500;

/// Days for mailboxes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Expiry {
    others: Option<u32>,
    named: BTreeMap<String, u32>,
}

impl Expiry {
    /// Reads days, with what is wrong.
    pub fn parse(text: &str) -> Result<Expiry, String> {
        let mut expiry = Expiry::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, number) = word.rsplit_once(':').map_or((None, word), |(name, number)| (Some(name), number));
            let number: Option<u32> = number.trim().parse().ok().filter(|days| *days <= DAYS_LIMIT);
            let days = number.ok_or_else(|| format!("{word:?}: write days, such as 30, or MAILBOX:7"))?;
            let twice = match name.map(str::trim) {
                None => expiry.others.replace(days).is_some(),
                Some("") => return Err(format!("{word:?}: a mailbox's name is missing")),
                Some(name) => {
                    let name = fields::decode(name).ok_or_else(|| format!("{word:?}: % is written %25"))?;
                    expiry.named.insert(normal(&name), days).is_some()
                }
            };
            if twice {
                return Err(format!("{word:?}: said twice"));
            }
        }
        Ok(expiry)
    }

    /// After how many days mail in this mailbox is old; `None` keeps it.
    pub fn days(&self, mailbox: &str) -> Option<u32> {
        self.named.get(&normal(mailbox)).copied().or(self.others).filter(|days| *days > 0)
    }
}

/// INBOX is one name in any case.
fn normal(mailbox: &str) -> String {
    if mailbox.eq_ignore_ascii_case("inbox") { "INBOX".to_string() } else { mailbox.to_string() }
}

impl fmt::Display for Expiry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(|(name, days)| {
            let name = name.replace('%', "%25").replace(',', "%2c");
            format!("{name}:{days}")
        });
        let all: Vec<String> = self.others.iter().map(u32::to_string).chain(named).collect();
        write!(f, "{}", all.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_mailboxes() {
        let expiry = Expiry::parse(" 30, Trash:7,inbox:0,A:B:3,x%2cy:4 ").unwrap();
        for (mailbox, days) in
            [("Sent", Some(30)), ("Trash", Some(7)), ("INBOX", None), ("A:B", Some(3)), ("x,y", Some(4))]
        {
            assert_eq!(expiry.days(mailbox), days, "{mailbox}");
        }
        assert_eq!(Expiry::parse(&expiry.to_string()), Ok(expiry));
        assert_eq!(Expiry::parse("Trash:7").unwrap().days("INBOX"), None);
        for wrong in ["x", "Trash:", ":3", "1,2", "Trash:7,Trash:8", "-1", "1d", "99999999", "a%:3"] {
            assert!(Expiry::parse(wrong).is_err(), "{wrong}");
        }
    }
}
