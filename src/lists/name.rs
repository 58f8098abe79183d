//! A list's name, and the addresses that belong to it.
//!
//! | address | role |
//! |---|---|
//! | `NAME@` | posts |
//! | `NAME-control@`, `NAME-request@`, `NAME+help@` | commands |
//! | `NAME-subscribe@`, `NAME-unsubscribe@`, also with `+` | one command, whatever the text |
//! | `NAME-confirm+TOKEN@` | an answer to a question of ours |
//! | `NAME-owner@`, `owner-NAME@` | the owners |
//! | `NAME-bounces@`, `NAME-bounces+user=host@` | what comes back; the second form names the member (VERP) |
//!
//! Trust: addresses come from the network. A name is made of few characters, so that it is safe in paths and fields.

use crate::addr::{self, Address};
use std::fmt;
use std::str::FromStr;

/// Longest name, in octets: with the longest role behind it there is room for a token in a local part.
pub const NAME_LIMIT: usize = 29;

/// `NAME@DOMAIN` of a list, in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ListName {
    name: String,
    domain: String,
}

/// Why a text is no list's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Empty, too long, or with characters that don't belong there.
    #[error("a list's name is 1 to {NAME_LIMIT} letters, digits, '-', '_' and '.', and begins with a letter or digit")]
    Characters,
    /// It would be taken for another list's address.
    #[error("a list's name can't begin with \"owner-\" or end in a role such as \"-request\" or \"-owner\"")]
    Role,
    /// Not a domain.
    #[error("not a domain")]
    Domain,
    /// No `@`.
    #[error("write NAME@DOMAIN")]
    NoDomain,
}

/// What an address of a list is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Role {
    /// Posts.
    Post,
    /// Commands: `-control`, `-request`.
    Control,
    /// The command help.
    Help,
    /// The command subscribe.
    Subscribe,
    /// The command unsubscribe.
    Unsubscribe,
    /// An answer with this token.
    Confirm(String),
    /// The people behind it.
    Owner,
    /// What comes back, with the member it is about where the address tells.
    Bounces(Option<Address>),
}

/// The words of roles, as they stand behind a name.
const ROLES: [(&str, Role); 8] = [
    ("control", Role::Control),
    ("request", Role::Control),
    ("help", Role::Help),
    ("subscribe", Role::Subscribe),
    ("unsubscribe", Role::Unsubscribe),
    ("owner", Role::Owner),
    ("bounces", Role::Bounces(None)),
    ("confirm", Role::Confirm(String::new())),
];

impl ListName {
    /// Checks a name and a domain.
    pub fn new(name: &str, domain: &str) -> Result<ListName, NameError> {
        let name = name.to_ascii_lowercase();
        let is_good = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            && name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
            && !name.contains("..")
            && !name.ends_with('.')
            && name.len() <= NAME_LIMIT;
        if !is_good {
            return Err(NameError::Characters);
        }
        let is_role = |role: &str| name.strip_suffix(role).is_some_and(|rest| rest.ends_with('-'));
        if name.starts_with("owner-") || ROLES.iter().any(|(role, _)| is_role(role)) {
            return Err(NameError::Role);
        }
        match addr::normal_domain(domain) {
            Ok(domain) if !domain.starts_with('[') => Ok(ListName { name, domain }),
            _ => Err(NameError::Domain),
        }
    }

    /// `talk`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `example.test`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Where posts go.
    pub fn address(&self) -> Address {
        self.made(&self.name)
    }

    /// `NAME-ROLE@DOMAIN`.
    pub fn role(&self, role: &str) -> Address {
        self.made(&format!("{}-{role}", self.name))
    }

    /// `NAME-confirm+TOKEN@DOMAIN`.
    pub fn confirm(&self, token: &str) -> Address {
        self.made(&format!("{}-confirm+{token}", self.name))
    }

    /// The sender for one member, so that what comes back names him; `None` where his address is too long for that.
    pub fn verp(&self, member: &Address) -> Option<Address> {
        let local = format!("{}-bounces+{}={}", self.name, member.local(), member.domain());
        let is_plain = local.chars().all(|c| addr::is_atext(c) || c == '.');
        Address::new(&local, &self.domain).ok().filter(|_| is_plain)
    }

    /// `talk.example.test`, the name in List-Id (RFC 2919 §2).
    pub fn list_id(&self) -> String {
        format!("{}.{}", self.name, self.domain)
    }

    fn made(&self, local: &str) -> Address {
        Address::new(local, &self.domain).expect("a list's name leaves room for roles and tokens")
    }
}

impl fmt::Display for ListName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.domain)
    }
}

impl FromStr for ListName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<ListName, NameError> {
        let (name, domain) = text.split_once('@').ok_or(NameError::NoDomain)?;
        ListName::new(name, domain)
    }
}

/// Which lists an address may belong to, and as what; the first that exists is meant.
pub fn readings(address: &Address) -> Vec<(ListName, Role)> {
    let key = address.to_key();
    let mut found = Vec::new();
    let mut may_be = |name: &str, role: Role| {
        if let Ok(name) = ListName::new(name, key.domain()) {
            found.push((name, role));
        }
    };
    let (base, detail) = key.split_detail('+');
    if detail.is_none() {
        may_be(base, Role::Post);
    }
    if let Some(name) = base.strip_prefix("owner-").filter(|_| detail.is_none()) {
        may_be(name, Role::Owner);
    }
    for (word, role) in ROLES {
        if let Some(name) = base.strip_suffix(word).and_then(|rest| rest.strip_suffix('-')) {
            match (role, detail) {
                (Role::Bounces(_), detail) => may_be(name, Role::Bounces(detail.and_then(member_of))),
                (Role::Confirm(_), Some(token)) => may_be(name, Role::Confirm(token.to_string())),
                (Role::Confirm(_), None) => {}
                (role, None) => may_be(name, role),
                (_, Some(_)) => {}
            }
        } else if detail == Some(word) && !matches!(role, Role::Confirm(_)) {
            may_be(base, role);
        }
    }
    found
}

/// The member in `user=host`.
fn member_of(detail: &str) -> Option<Address> {
    let (user, host) = detail.rsplit_once('=')?;
    Address::new(user, host).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_narrow() {
        for good in ["talk@example.test", "A.b-c_9@Example.TEST", "9@x.test"] {
            assert_eq!(good.parse::<ListName>().unwrap().to_string(), good.to_lowercase());
        }
        for (bad, why) in [
            ("talk", NameError::NoDomain),
            ("@x.test", NameError::Characters),
            ("../etc@x.test", NameError::Characters),
            (".hidden@x.test", NameError::Characters),
            ("a/b@x.test", NameError::Characters),
            ("a+b@x.test", NameError::Characters),
            ("a..b@x.test", NameError::Characters),
            ("a.@x.test", NameError::Characters),
            ("日本@x.test", NameError::Characters),
            ("aaaaaaaaaabbbbbbbbbbccccccccccd@x.test", NameError::Characters),
            ("talk-request@x.test", NameError::Role),
            ("owner-talk@x.test", NameError::Role),
            ("talk@[127.0.0.1]", NameError::Domain),
            ("talk@a/b", NameError::Domain),
        ] {
            assert_eq!(bad.parse::<ListName>(), Err(why), "{bad}");
        }
    }

    #[test]
    fn addresses_are_read_by_role() {
        let read = |text: &str| {
            let found = readings(&Address::parse(text).unwrap());
            found.into_iter().map(|(name, role)| (name.name().to_string(), role)).collect::<Vec<_>>()
        };
        let row = |name: &str, role: Role| vec![(name.to_string(), role)];
        let bob = Address::parse("bob@b.test").unwrap();
        assert_eq!(read("Talk@x.test"), row("talk", Role::Post));
        assert_eq!(read("talk-control@x.test"), row("talk", Role::Control));
        assert_eq!(read("talk-request@x.test"), row("talk", Role::Control));
        assert_eq!(read("talk+subscribe@x.test"), row("talk", Role::Subscribe));
        assert_eq!(read("talk-unsubscribe@x.test"), row("talk", Role::Unsubscribe));
        assert_eq!(read("owner-talk@x.test"), row("talk", Role::Owner));
        assert_eq!(read("talk-bounces@x.test"), row("talk", Role::Bounces(None)));
        assert_eq!(read("talk-bounces+bob=b.test@x.test"), row("talk", Role::Bounces(Some(bob))));
        assert_eq!(read("talk-bounces+nonsense@x.test"), row("talk", Role::Bounces(None)));
        assert_eq!(read("talk-confirm+0f@x.test"), row("talk", Role::Confirm("0f".into())));
        assert_eq!(read("talk-confirm@x.test"), []);
        assert_eq!(read("talk+detail@x.test"), []);
        assert_eq!(read("a-b-owner@x.test"), row("a-b", Role::Owner));
        assert_eq!(read("\"../talk\"@x.test"), []);
    }

    #[test]
    fn the_longest_name_has_room_for_a_token() {
        let name = ListName::new(&"a".repeat(NAME_LIMIT), "x.test").unwrap();
        assert_eq!(name.confirm(&"f".repeat(crate::lists::TOKEN_LENGTH)).local().len(), NAME_LIMIT + 9 + 26);
        assert!(name.verp(&Address::parse("bob@b.test").unwrap()).is_some());
        assert_eq!(name.verp(&Address::new(&"b".repeat(40), "b.test").unwrap()), None);
        assert_eq!(name.verp(&Address::new("a b", "b.test").unwrap()), None);
    }
}
