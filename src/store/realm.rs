//! Whose a tree of mailboxes is: an account's, or a domain's own.
//!
//! Called by `serve` (IMAP) and the account commands. A domain has two trees that no account owns: `mail/DOMAIN/.shared/Maildir`, in which
//! nobody has any rights but those that lists give, and `mail/DOMAIN/.public/Maildir`, which everybody of the domain reads where no list
//! says otherwise. They are made by the administrator. Their own root is no mailbox.
//! RFC 2342, RFC 4314.

use crate::addr::Address;
use crate::mailbox::{Acl, Rights};
use crate::users;
use std::fmt;
use std::path::{Path, PathBuf};

/// Directories beside those of the accounts; an account's begins with no dot.
const SHARED: &str = ".shared";
const PUBLIC: &str = ".public";

/// The owner of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Realm {
    /// An account, by its address in lower case.
    Account(Address),
    /// A domain's mailboxes for groups, by the domain.
    Shared(String),
    /// A domain's mailboxes for everybody in it.
    Public(String),
}

impl Realm {
    /// The home in which the tree lies.
    pub fn home(&self, mail: &Path) -> PathBuf {
        match self {
            Realm::Account(address) => users::home(mail, address),
            Realm::Shared(domain) => users::domain_home(mail, domain).join(SHARED),
            Realm::Public(domain) => users::domain_home(mail, domain).join(PUBLIC),
        }
    }

    /// Reads the form that it is printed in.
    pub fn parse(text: &str) -> Option<Realm> {
        let domain = |text: &str| crate::addr::normal_domain(text).ok();
        match text.split_once(':') {
            Some(("shared", rest)) => Some(Realm::Shared(domain(rest)?)),
            Some(("public", rest)) => Some(Realm::Public(domain(rest)?)),
            _ => Some(Realm::Account(Address::parse(text).ok()?.to_key())),
        }
    }

    /// The domain that it belongs to: `anyone` in its lists is everybody there.
    pub fn domain(&self) -> &str {
        match self {
            Realm::Account(address) => address.domain(),
            Realm::Shared(domain) | Realm::Public(domain) => domain,
        }
    }

    /// The account that owns it.
    pub fn owner(&self) -> Option<&Address> {
        match self {
            Realm::Account(address) => Some(address),
            Realm::Shared(_) | Realm::Public(_) => None,
        }
    }

    /// The rights of a mailbox without a list of its own.
    pub fn default_acl(&self) -> Acl {
        match self {
            Realm::Account(_) | Realm::Shared(_) => Acl::default(),
            Realm::Public(_) => Acl::to_anyone(Rights::LOOKUP.union(Rights::READ)),
        }
    }

    /// What an account may do in a mailbox with this list. The owner may do everything, whatever the list says.
    pub fn rights(&self, acl: Option<&Acl>, who: &Address) -> Rights {
        if self.owner() == Some(who) {
            return Rights::ALL;
        }
        let is_neighbour = who.domain() == self.domain();
        match acl {
            Some(acl) => acl.rights(who, is_neighbour),
            None => self.default_acl().rights(who, is_neighbour),
        }
    }
}

/// As the account commands have it: `user@domain`, `shared:DOMAIN`, `public:DOMAIN`.
impl fmt::Display for Realm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Realm::Account(address) => address.fmt(f),
            Realm::Shared(domain) => write!(f, "shared:{domain}"),
            Realm::Public(domain) => write!(f, "public:{domain}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read() {
        let alice = Realm::Account(Address::parse("alice@a.test").unwrap());
        for realm in [alice, Realm::Shared("a.test".into()), Realm::Public("b.test".into())] {
            assert_eq!(Realm::parse(&realm.to_string()), Some(realm));
        }
        for text in ["", "alice", "shared", "shared:", "other:a.test", "shared:a b"] {
            assert_eq!(Realm::parse(text), None, "{text}");
        }
    }

    #[test]
    fn who_may_what_where() {
        let address = |text: &str| Address::parse(text).unwrap();
        let (alice, bob, eve) = (address("alice@a.test"), address("bob@a.test"), address("eve@b.test"));
        let own = Realm::Account(alice.clone());
        let (shared, public) = (Realm::Shared("a.test".into()), Realm::Public("a.test".into()));
        let list = Acl::to_anyone(Rights::READ);
        let closed = Acl::closed();
        for (realm, acl, who, rights) in [
            (&own, None, &alice, "lrswipkxtecda"),
            (&own, Some(&closed), &alice, "lrswipkxtecda"),
            (&own, None, &bob, ""),
            (&own, Some(&list), &bob, "r"),
            (&own, Some(&list), &eve, ""),
            (&own, Some(&closed), &bob, ""),
            (&shared, None, &alice, ""),
            (&shared, Some(&list), &alice, "r"),
            (&public, None, &alice, "lr"),
            (&public, None, &eve, ""),
            (&public, Some(&closed), &alice, ""),
            (&public, Some(&list), &alice, "r"),
        ] {
            assert_eq!(realm.rights(acl, who).to_string(), rights, "{realm:?} {acl:?} {who}");
        }
    }

    #[test]
    fn no_account_lives_where_a_domain_does() {
        let mail = Path::new("/m");
        assert_eq!(Realm::Shared("a.test".into()).home(mail), Path::new("/m/a.test/.shared"));
        let account = Address::new(".shared", "a.test").unwrap();
        assert_eq!(Realm::Account(account).home(mail), Path::new("/m/a.test/%2eshared"));
    }
}
