//! The four namespaces (RFC 2342): what a mailbox name says about where the mailbox lies. No file is looked at here.
//!
//! | name | realm |
//! |---|---|
//! | `Sent` | who is logged in |
//! | `~bob/INBOX` | bob, of the same domain |
//! | `~bob@other.test/INBOX` | bob, of another domain |
//! | `~public/news` | the domain's public mailboxes |
//! | `#shared/sales` | the domain's shared mailboxes |
//!
//! Behind the prefix stands the name that the mailbox has for its owner, INBOX too. `~bob` alone is no mailbox. An account called `public` is
//! named with its domain. One whose local part holds `/`, `@`, a quote or a wildcard can't be named: nobody but itself sees its mailboxes.
//! Trust: names are hostile. What comes out is a [`Realm`], from which a path is made that can't leave the mail tree, and a name that the tree
//! encodes; whether there is such an account is the caller's to ask.

use crate::addr::Address;
use crate::store::{INBOX, Realm, SEPARATOR, Tree};

/// What the names of other users' mailboxes begin with.
pub(super) const OTHERS: &str = "~";
/// What the names of a domain's shared mailboxes begin with.
pub(super) const SHARED: &str = "#shared/";
/// The same for its public ones.
pub(super) const PUBLIC: &str = "~public/";
/// [`PUBLIC`] as other users' names have it.
const PUBLIC_USER: &str = "public";

/// Where a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// Whose the mailbox is.
    pub(super) realm: Realm,
    /// What it is called there, in its usual spelling.
    pub(super) name: String,
}

/// Follows a name; `None` when no mailbox can be called so.
pub(super) fn follow(name: &str, me: &Address) -> Option<Target> {
    let in_domain = |realm: fn(String) -> Realm, rest: &str| {
        let name = Tree::normal(rest);
        // The root of such a tree is no mailbox.
        (!name.is_empty() && name != INBOX).then(|| Target { realm: realm(me.domain().to_string()), name })
    };
    if !is_reserved(name) {
        return Some(Target { realm: Realm::Account(me.clone()), name: Tree::normal(name) });
    }
    if let Some(rest) = name.strip_prefix(SHARED) {
        return in_domain(Realm::Shared, rest);
    }
    let (user, rest) = name.strip_prefix(OTHERS)?.split_once(SEPARATOR)?;
    if user.eq_ignore_ascii_case(PUBLIC_USER) {
        return in_domain(Realm::Public, rest);
    }
    let owner = if user.contains('@') { Address::parse(user) } else { Address::new(user, me.domain()) };
    let owner = owner.ok()?.to_key();
    let name = Tree::normal(rest);
    (is_nameable(&owner) && !name.is_empty()).then_some(Target { realm: Realm::Account(owner), name })
}

/// The one spelling of a name, by which two are the same mailbox.
pub(super) fn canonical(name: &str, me: &Address) -> String {
    let followed = follow(name, me).and_then(|target| Some(prefix(&target.realm, me)? + &target.name));
    followed.unwrap_or_else(|| Tree::normal(name))
}

/// The same for a name that others stand below: all that an account shares is below `~bob`, which is no mailbox.
pub(super) fn canonical_top(name: &str, me: &Address) -> String {
    let below = || follow(&format!("{}{SEPARATOR}x", Tree::normal(name)), me);
    match (follow(name, me), below().and_then(|target| prefix(&target.realm, me))) {
        (None, Some(prefix)) => Tree::normal(&prefix),
        _ => canonical(name, me),
    }
}

/// What the names in a realm begin with; `None` when they have none.
pub(super) fn prefix(realm: &Realm, me: &Address) -> Option<String> {
    match realm {
        Realm::Account(owner) if owner == me => Some(String::new()),
        Realm::Account(owner) if !is_nameable(owner) => None,
        Realm::Account(owner) if owner.domain() == me.domain() && owner.local() != PUBLIC_USER => {
            Some(format!("{OTHERS}{}{SEPARATOR}", owner.local()))
        }
        Realm::Account(owner) => Some(format!("{OTHERS}{owner}{SEPARATOR}")),
        Realm::Shared(_) => Some(SHARED.to_string()),
        Realm::Public(_) => Some(PUBLIC.to_string()),
    }
}

/// True for names that are nobody's own: they lead out of the personal namespace, or nowhere.
pub(super) fn is_reserved(name: &str) -> bool {
    name.starts_with(OTHERS) || name.starts_with(SHARED) || Some(name) == SHARED.strip_suffix(SEPARATOR)
}

/// True when a pattern of LIST may match names that begin so.
pub(super) fn may_match(pattern: &str, prefix: &str) -> bool {
    let literal = pattern.split(['*', '%']).next().unwrap_or(pattern);
    literal.starts_with(prefix) || prefix.starts_with(literal)
}

/// The account that a pattern of LIST names in full.
pub(super) fn named_owner(pattern: &str, me: &Address) -> Option<Address> {
    let literal = pattern.split(['*', '%']).next()?;
    match follow(&format!("{literal}x"), me)?.realm {
        Realm::Account(owner) if owner != *me => Some(owner),
        _ => None,
    }
}

fn is_nameable(owner: &Address) -> bool {
    !owner.local().contains(|c| "/@*%\"\\".contains(c)) && !owner.to_string().starts_with('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::path::Path;

    fn me() -> Address {
        Address::parse("alice@a.test").unwrap()
    }

    fn shown(name: &str) -> String {
        match follow(name, &me()) {
            None => "-".to_string(),
            Some(Target { realm: Realm::Account(owner), name }) => format!("{owner}: {name}"),
            Some(Target { realm: Realm::Shared(domain), name }) => format!("shared {domain}: {name}"),
            Some(Target { realm: Realm::Public(domain), name }) => format!("public {domain}: {name}"),
        }
    }

    #[test]
    fn names_and_where_they_lead() {
        for (name, place, canonical_name) in [
            ("inbox", "alice@a.test: INBOX", "INBOX"),
            ("Sent/2026/", "alice@a.test: Sent/2026", "Sent/2026"),
            ("~bob/inbox", "bob@a.test: INBOX", "~bob/INBOX"),
            ("~BOB/Work/", "bob@a.test: Work", "~bob/Work"),
            ("~bob@a.test/x", "bob@a.test: x", "~bob/x"),
            ("~bob@B.test/x", "bob@b.test: x", "~bob@b.test/x"),
            ("~Alice/x", "alice@a.test: x", "x"),
            ("~first.last/x", "first.last@a.test: x", "~first.last/x"),
            ("~public/news", "public a.test: news", "~public/news"),
            ("~Public/news", "public a.test: news", "~public/news"),
            ("~public@a.test/news", "public@a.test: news", "~public@a.test/news"),
            ("#shared/sales/2026", "shared a.test: sales/2026", "#shared/sales/2026"),
            ("#news", "alice@a.test: #news", "#news"),
            ("#Shared/x", "alice@a.test: #Shared/x", "#Shared/x"),
            ("a~b", "alice@a.test: a~b", "a~b"),
        ] {
            assert_eq!(shown(name), place, "{name}");
            assert_eq!(canonical(name, &me()), canonical_name, "{name}");
        }
        for hostile in [
            "~",
            "~bob",
            "~bob/",
            "~/x",
            "~/",
            "~public",
            "~public/",
            "~public/inbox",
            "#shared",
            "#shared/",
            "#shared/INBOX",
            "~bob@/x",
            "~@a.test/x",
            "~bob@../x",
            "~bob@a.test@b.test/x",
            "~bob@[1.2.3.4/x",
            "~\"a/b\"@a.test/x",
            "~a*b/x",
            "~a%b/x",
            "~a\\b/x",
            "~\"bob\"/x",
            "~a b/x",
        ] {
            assert_eq!(shown(hostile), "-", "{hostile}");
        }
        // These lead to accounts that can't be; the path they would have stays inside.
        for (name, home) in [
            ("~../x", "/m/a.test/%2e."),
            ("~./x", "/m/a.test/%2e"),
            ("~.shared/x", "/m/a.test/%2eshared"),
            ("~.public/x", "/m/a.test/%2epublic"),
        ] {
            match follow(name, &me()) {
                None => {}
                Some(target) => assert_eq!(target.realm.home(Path::new("/m")), Path::new(home), "{name}"),
            }
        }
    }

    #[test]
    fn patterns_and_namespaces() {
        for (pattern, prefix, may) in [
            ("*", "~", true),
            ("%", "#shared/", true),
            ("INBOX", "~", false),
            ("work/*", "~", false),
            ("~bo%", "~", true),
            ("~", "~public/", true),
            ("~bob/*", "~public/", false),
            ("#%", "#shared/", true),
            ("#shared/*", "#shared/", true),
        ] {
            assert_eq!(may_match(pattern, prefix), may, "{pattern} {prefix}");
        }
        for (top, spelled) in [
            ("~Bob", "~bob"),
            ("~bob@a.test/", "~bob"),
            ("~bob/inbox", "~bob/INBOX"),
            ("~public", "~public"),
            ("#shared/", "#shared"),
            ("~", "~"),
            ("a/", "a"),
        ] {
            assert_eq!(canonical_top(top, &me()), spelled, "{top}");
        }
        let owner = |pattern| named_owner(pattern, &me()).map(|owner| owner.to_string()).unwrap_or_default();
        assert_eq!(owner("~bob/*"), "bob@a.test");
        assert_eq!(owner("~bob@b.test/IN%"), "bob@b.test");
        assert_eq!((owner("~bo%"), owner("~alice/*"), owner("~public/*"), owner("*")), Default::default());
    }

    proptest! {
        #[test]
        fn any_name_has_one_spelling_and_stays_in_the_tree(name in "[~#]?(bob|public|shared|\\.\\.|INBOX|[^/\\p{Cc}]{0,4})(@[a-z.]{1,6})?(/[^\\p{Cc}]{0,6}){0,3}") {
            // Empty levels make no name of a mailbox.
            prop_assume!(!name.contains("//"));
            let once = canonical(&name, &me());
            prop_assert_eq!(&canonical(&once, &me()), &once);
            if let Some(target) = follow(&name, &me()) {
                let home = target.realm.home(Path::new("/m"));
                prop_assert!(home.components().all(|c| !matches!(c, std::path::Component::ParentDir)));
                prop_assert_eq!(home.components().count(), 4, "{:?}", home);
                prop_assert_eq!(follow(&once, &me()), Some(target));
            }
        }
    }
}
