//! What happened to the names of a tree between two looks at it (RFC 5465 §5.4, §5.5).

use crate::store::{MailboxIdentity, SEPARATOR};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What is known of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Name {
    /// A mailbox is there.
    pub(super) exists: bool,
    /// Which one it is, where that is known.
    pub(super) identity: Option<MailboxIdentity>,
    pub(super) is_subscribed: bool,
}

/// The names of a tree that exist or are subscribed.
pub(super) type Names = BTreeMap<String, Name>;

/// Something that is told by one LIST response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Happened {
    /// The name that it is about.
    pub(super) name: String,
    pub(super) what: What,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// Made, deleted, or the parent of such a mailbox.
    Affected,
    /// Renamed, from this name.
    Renamed(String),
    /// Subscribed, or not any more.
    Subscription,
}

/// The difference: new names first, then names that came or went, then subscriptions. A mailbox that was renamed is not told as deleted and
/// made; with it go those below it, without a word of their own if `is_told` of the one above: RFC 5465 §5.4.
pub(super) fn difference(before: &Names, after: &Names, is_told: impl Fn(&str, &str) -> bool) -> Vec<Happened> {
    let is_same = |name: &str, one: &Name| {
        let other = after.get(name).filter(|other| other.exists);
        other.is_some_and(|other| other.identity == one.identity)
    };
    let existing = |names: &'_ Names| -> Vec<(String, Name)> {
        names.iter().filter(|(_, one)| one.exists).map(|(name, one)| (name.clone(), *one)).collect()
    };
    let (old, new) = (existing(before), existing(after));
    // Those that do not have their name any more.
    let left: Vec<&(String, Name)> = old.iter().filter(|(name, one)| !is_same(name, one)).collect();
    let by_identity: HashMap<MailboxIdentity, &str> =
        left.iter().filter_map(|(name, one)| Some((one.identity?, name.as_str()))).collect();
    let mut renamed: BTreeMap<&str, &str> = BTreeMap::new();
    let mut affected: BTreeSet<&str> = BTreeSet::new();
    for (name, one) in &new {
        if before.get(name).is_some_and(|old| old.exists && old.identity == one.identity) {
            continue;
        }
        match one.identity.and_then(|identity| by_identity.get(&identity)) {
            Some(from) => drop(renamed.insert(name, from)),
            None => drop(affected.insert(name)),
        }
    }
    let moved: BTreeSet<&str> = renamed.values().copied().collect();
    let gone = left.iter().map(|(name, _)| name.as_str());
    affected.extend(gone.filter(|name| !moved.contains(name) && !renamed.contains_key(name)));
    let parents: Vec<&str> =
        affected.iter().filter_map(|name| name.rsplit_once(SEPARATOR)).map(|(parent, _)| parent).collect();
    affected.extend(parents.into_iter().filter(|parent| !renamed.contains_key(parent)));
    let (told, circles) = told_as_renamed(&renamed, &is_told);
    affected.extend(circles);
    let mut happened: Vec<Happened> = told
        .into_iter()
        .map(|(to, from)| Happened { name: to.to_string(), what: What::Renamed(from.to_string()) })
        .chain(affected.into_iter().map(|name| Happened { name: name.to_string(), what: What::Affected }))
        .collect();
    let named: BTreeSet<String> = happened.iter().map(|h| h.name.clone()).collect();
    let all: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in all {
        let is_subscribed = |names: &Names| names.get(name).is_some_and(|one| one.is_subscribed);
        if is_subscribed(before) != is_subscribed(after) && !named.contains(name) {
            happened.push(Happened { name: name.clone(), what: What::Subscription });
        }
    }
    happened
}

/// The new and old names that are told as renamed, in their order, and the new names of those that have changed places. What lies below one
/// of the latter has no line to go with, so that it is told by itself, and may turn out to have changed places as well.
fn told_as_renamed<'a>(
    renamed: &BTreeMap<&'a str, &'a str>,
    is_told: &impl Fn(&str, &str) -> bool,
) -> (Vec<(&'a str, &'a str)>, BTreeSet<&'a str>) {
    let mut renamed = renamed.clone();
    let mut circles = BTreeSet::new();
    loop {
        let alone = renamed.iter().filter(|(to, from)| !goes_with_another(from, to, &renamed, is_told));
        let (told, places_changed) = in_order(alone.map(|(to, from)| (*to, *from)).collect());
        if places_changed.is_empty() {
            return (told, circles);
        }
        renamed.retain(|to, _| !places_changed.contains(to));
        circles.extend(places_changed);
    }
}

/// New and old names in an order in which a client can follow: no name is taken that is not free yet, and what left a mailbox's tree goes
/// before it. Names that have changed places can't be told so: they are given apart.
fn in_order<'a>(mut renamed: Vec<(&'a str, &'a str)>) -> (Vec<(&'a str, &'a str)>, Vec<&'a str>) {
    renamed.sort_by_key(|(_, from)| std::cmp::Reverse(from.len()));
    let mut taken: BTreeSet<&str> = renamed.iter().map(|(_, from)| *from).collect();
    let mut ordered = Vec::with_capacity(renamed.len());
    while let Some(at) = renamed.iter().position(|(to, _)| !taken.contains(to)) {
        let (to, from) = renamed.remove(at);
        taken.remove(from);
        ordered.push((to, from));
    }
    (ordered, renamed.into_iter().map(|(to, _)| to).collect())
}

/// True when a mailbox above was renamed in the same way, and that is told.
fn goes_with_another(
    from: &str,
    to: &str,
    renamed: &BTreeMap<&str, &str>,
    is_told: &impl Fn(&str, &str) -> bool,
) -> bool {
    let above = to.match_indices(SEPARATOR).map(|(at, _)| at);
    above.into_iter().any(|at| {
        let (top, rest) = to.split_at(at);
        let old_top = renamed.get(top);
        old_top.is_some_and(|old| from.strip_suffix(rest) == Some(old) && is_told(old, top))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Names as `name=identity`, `*` for subscribed; without identity there is no mailbox.
    fn names(text: &str) -> Names {
        let name = |word: &str| {
            let (word, is_subscribed) = word.strip_suffix('*').map_or((word, false), |word| (word, true));
            let (name, number) = word.split_once('=').unwrap_or((word, ""));
            let identity = number.parse().ok().map(MailboxIdentity::made_up);
            (name.to_string(), Name { exists: identity.is_some(), identity, is_subscribed })
        };
        text.split_whitespace().map(name).collect()
    }

    fn told(before: &str, after: &str) -> String {
        let all = difference(&names(before), &names(after), |_, _| true);
        let one = |h: Happened| match h.what {
            What::Affected => h.name,
            What::Renamed(from) => format!("{from}>{}", h.name),
            What::Subscription => format!("{}*", h.name),
        };
        all.into_iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn names_come_go_and_change() {
        for (before, after, expected) in [
            ("INBOX=1", "INBOX=1", ""),
            ("INBOX=1", "INBOX=1 a=2", "a"),
            ("INBOX=1 a=2", "INBOX=1", "a"),
            // The direct parent is affected, whether it is a mailbox or not.
            ("a=1", "a=1 a/b/c=2", "a/b a/b/c"),
            ("a=1 a/b=2", "a=1", "a a/b"),
            ("a=1", "b=1", "a>b"),
            // Children go without a word.
            ("a=1 a/x=2 a/x/y=3", "b=1 b/x=2 b/x/y=3", "a>b"),
            ("a/x=2 a/x/y=3", "a/z=2 a/z/y=3", "a/x>a/z"),
            // But not those that went another way, or under a name that is no mailbox.
            ("a=1 a/x=2", "b=1 c=2", "a/x>c a>b"),
            ("a/x=2", "b/x=2", "a/x>b/x"),
            // Two change places; one is made under the old name; one after the other moves up.
            ("a=1 b=2", "a=2 b=1", "a b"),
            ("a=1", "a=2 b=1", "a>b a"),
            ("a=1 b=2", "b=1 c=2", "b>c a>b"),
            ("a=1 b=2 c=3", "a=3 b=1 c=2 d=4", "a b c d"),
            // What is below those goes with none of them.
            ("a=1 a/x=2 b=3 b/x=4", "a=3 a/x=4 b=1 b/x=2", "a a/x b b/x"),
            ("a=1 a/x=2 b=3", "a=3 b=1 b/x=2", "a/x>b/x a b"),
            ("a=1", "a=2", "a"),
            ("a=1 b*", "a=1* b*", "a*"),
            ("a=1 b*", "a=1", "b*"),
            // One line says both.
            ("a=1", "a=1 b=2*", "b"),
            ("", "b*", "b*"),
        ] {
            assert_eq!(told(before, after), expected, "{before} -> {after}");
        }
    }

    /// Some of nine names, each an identity of its own.
    fn some_names() -> impl Strategy<Value = Names> {
        let places = ["a", "a/x", "a/x/y", "b", "b/x", "b/x/y", "c", "c/x", "d/e/f"];
        let identities = Just((1..=9u64).collect::<Vec<_>>()).prop_shuffle();
        (identities, proptest::collection::vec(0..4u8, 9)).prop_map(move |(identities, kinds)| {
            let one = |((place, identity), kind): ((&str, u64), u8)| {
                let exists = kind & 1 != 0;
                let name = Name {
                    exists,
                    identity: exists.then(|| MailboxIdentity::made_up(identity)),
                    is_subscribed: kind & 2 != 0,
                };
                (kind > 0).then(|| (place.to_string(), name))
            };
            places.into_iter().zip(identities).zip(kinds).filter_map(one).collect()
        })
    }

    proptest! {
        #[test]
        fn nothing_changes_without_a_word(before in some_names(), after in some_names()) {
            let told = difference(&before, &after, |_, _| true);
            let is_in = |name: &str, top: &str| {
                name.strip_prefix(top).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
            };
            let nothing = Name::default();
            for name in before.keys().chain(after.keys()) {
                let old = before.get(name).unwrap_or(&nothing);
                let new = after.get(name).unwrap_or(&nothing);
                let is_told = |h: &Happened| match &h.what {
                    What::Renamed(from) => is_in(name, from) || is_in(name, &h.name),
                    _ => h.name == *name,
                };
                if (old.exists, old.identity) != (new.exists, new.identity) || old.is_subscribed != new.is_subscribed {
                    prop_assert!(told.iter().any(is_told), "{name} in {told:?}");
                }
            }
            prop_assert!(difference(&after, &after, |_, _| true).is_empty());
        }
    }

    #[test]
    fn a_child_is_told_when_its_parent_is_not() {
        let (before, after) = (names("a=1 a/x=2"), names("b=1 b/x=2"));
        let all = difference(&before, &after, |from, _| from != "a");
        assert_eq!(all.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["b/x", "b"]);
    }
}
