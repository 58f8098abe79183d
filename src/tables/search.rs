//! How a key is looked for in a table: which other keys stand for it, the most exact first.
//!
//! Called through the maps of class `table` in em.cf (flag -s) and by `emconf table NAME get`. The orders are sendmail's, which its own
//! rules write out lookup by lookup; here one call does it.

use super::networks::{self, LENGTHS};
use std::borrow::Cow;

/// An order of look-ups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Search {
    /// The key itself.
    #[default]
    Exact,
    /// A host; then `.parent`, and its parents; then `.` or `*`.
    Domain,
    /// A domain, then each of its parents, with a dot in front or without; an address of IP by its leading parts.
    Within,
    /// An address: with its detail, `user++@domain`, `user+*@domain`, `user@domain`, and `@domain` likewise.
    User,
    /// As `User`; then the user without a domain.
    Generic,
    /// An address, its user, its domain, then `.parent`; the value `-` finds nothing.
    Masquerade,
    /// `Tag:` and an address, domain or network: with and without the tag, the address, its domain and parents, the networks around it, `user@`.
    Access,
}

/// What a search found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// The key of the row.
    pub key: String,
    /// The value, `%0` … `%3` not yet replaced.
    pub value: String,
    /// What `%1` and so on stand for.
    pub arguments: Vec<String>,
}

/// Longest way up through a domain's parents; deeper names have no row by design.
const DEPTH_LIMIT: usize = 32;
/// The tag whose rows are found with it only.
const SPAM: &str = "spam";

impl Search {
    /// The order that -s of a map names.
    pub fn named(name: &str) -> Option<Search> {
        Some(match name {
            "exact" => Search::Exact,
            "domain" => Search::Domain,
            "within" => Search::Within,
            "user" => Search::User,
            "generic" => Search::Generic,
            "masquerade" => Search::Masquerade,
            "access" => Search::Access,
            _ => return None,
        })
    }

    /// Asks `get` for one key after the other (in lower case) until one is there. An error of `get` ends the search.
    pub fn find<E>(self, key: &str, get: &mut dyn FnMut(&str) -> Result<Option<String>, E>) -> Result<Option<Hit>, E> {
        let mut failed = None;
        let hit = {
            let mut ask = |key: Cow<str>, arguments: &[&str]| {
                if failed.is_some() {
                    return None;
                }
                match get(&key) {
                    Ok(found) => found.map(|value| Hit {
                        key: key.into_owned(),
                        value,
                        arguments: arguments.iter().map(|a| a.to_string()).collect(),
                    }),
                    Err(error) => {
                        failed = Some(error);
                        None
                    }
                }
            };
            match self {
                Search::Exact => ask(key.into(), &[]),
                Search::Domain => domain(key, &mut ask),
                Search::Within => within("", key, "", &mut ask),
                Search::User => user(key, &mut ask).filter(|hit| !hit.is_itself(key)),
                Search::Generic => generic(key, &mut ask).filter(|hit| !hit.is_itself(key)),
                Search::Masquerade => masquerade(key, &mut ask).filter(|hit| hit.value != "-"),
                Search::Access => access(key, &mut ask),
            }
        };
        match failed {
            Some(error) => Err(error),
            None => Ok(hit),
        }
    }
}

impl Hit {
    /// The value with `%0` (the key that was asked), `%1` … replaced; `%%` is a percent sign.
    pub fn expanded(&self, asked: &str) -> String {
        let mut out = String::with_capacity(self.value.len());
        let mut rest = self.value.as_str();
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let sign = rest[at + 1..].chars().next();
            match sign {
                Some('%') => out.push('%'),
                Some('0') => out.push_str(asked),
                Some(digit @ '1'..='9') => {
                    let argument = (digit as usize).checked_sub('1' as usize).and_then(|n| self.arguments.get(n));
                    out.push_str(argument.map_or("", String::as_str));
                }
                _ => {
                    out.push('%');
                    rest = &rest[at + 1..];
                    continue;
                }
            }
            rest = &rest[at + 2..];
        }
        out.push_str(rest);
        out
    }

    /// An address that leads to itself is what it is: no row for it.
    fn is_itself(&self, asked: &str) -> bool {
        self.expanded(asked).eq_ignore_ascii_case(asked)
    }
}

type Ask<'a> = dyn FnMut(Cow<str>, &[&str]) -> Option<Hit> + 'a;

/// The parents of a name, nearest first, each with its dot, and what stands before it.
fn parents(name: &str) -> impl Iterator<Item = (&str, &str)> {
    let is_literal = name.starts_with('[');
    name.match_indices('.').filter(move |_| !is_literal).take(DEPTH_LIMIT).map(|(at, _)| (&name[at..], &name[..at]))
}

fn domain(host: &str, ask: &mut Ask) -> Option<Hit> {
    if let Some(hit) = ask(host.into(), &[]) {
        return Some(hit);
    }
    for (parent, before) in parents(host) {
        if let Some(hit) = ask(parent.into(), &[before]) {
            return Some(hit);
        }
    }
    ask(".".into(), &[host]).or_else(|| ask("*".into(), &[host]))
}

/// `prefix` is a tag with its colon, or nothing; `lengths` are those of the table's masks.
fn within(prefix: &str, item: &str, lengths: &str, ask: &mut Ask) -> Option<Hit> {
    let key = |rest: &str| -> Cow<str> { [prefix, rest].concat().into() };
    let bare = item.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(item);
    if let Some(hit) = ask(key(item), &[]) {
        return Some(hit);
    }
    if bare.len() != item.len()
        && let Some(hit) = ask(key(bare), &[])
    {
        return Some(hit);
    }
    if let Ok(ip) = bare.strip_prefix("ipv6:").unwrap_or(bare).parse() {
        return networks::around(ip, lengths).iter().find_map(|around| ask(key(around), &[]));
    }
    let is_v4 = bare.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    if is_v4 || bare.starts_with("ipv6:") {
        let mut rest = bare;
        while let Some(at) = rest.rfind(if is_v4 { '.' } else { ':' }).filter(|at| is_v4 || *at > "ipv6".len()) {
            rest = rest[..at].trim_end_matches(':');
            if let Some(hit) = ask(key(rest), &[]) {
                return Some(hit);
            }
        }
        return None;
    }
    for (parent, _) in parents(bare) {
        if let Some(hit) = ask(key(parent), &[]).or_else(|| ask(key(&parent[1..]), &[])) {
            return Some(hit);
        }
    }
    None
}

fn user(key: &str, ask: &mut Ask) -> Option<Hit> {
    let (local, domain) = key.rsplit_once('@')?;
    if let Some(hit) = ask(key.into(), &[local]) {
        return Some(hit);
    }
    if let Some((name, detail)) = local.split_once('+').filter(|(name, _)| !name.is_empty()) {
        let plus = &local[name.len()..];
        let arguments = [name, detail, plus];
        for owner in [name, ""] {
            let more = ["++", "+*", ""];
            for mark in more.iter().filter(|mark| !(detail.is_empty() && **mark == "++")) {
                if let Some(hit) = ask([owner, mark, "@", domain].concat().into(), &arguments) {
                    return Some(hit);
                }
            }
        }
        return None;
    }
    // `user+*` stands for an empty detail too.
    ask([local, "+*@", domain].concat().into(), &[local, "", ""])
        .filter(|_| !local.is_empty())
        .or_else(|| ask(["@", domain].concat().into(), &[local]))
}

fn generic(key: &str, ask: &mut Ask) -> Option<Hit> {
    if let Some(hit) = user(key, ask) {
        return Some(hit);
    }
    let local = key.rsplit_once('@').map_or(key, |(local, _)| local);
    if let Some(hit) = ask(local.into(), &[]) {
        return Some(hit);
    }
    let (name, detail) = local.split_once('+')?;
    ask(format!("{name}+*").into(), &[detail]).or_else(|| ask(name.into(), &[detail]))
}

fn masquerade(key: &str, ask: &mut Ask) -> Option<Hit> {
    let (local, domain) = key.rsplit_once('@')?;
    let name = local.split_once('+').map_or(local, |(name, _)| name);
    for exact in [key, local, name, domain] {
        if let Some(hit) = ask(exact.into(), &[]) {
            return Some(hit);
        }
    }
    parents(domain).find_map(|(parent, _)| ask(parent.into(), &[]))
}

fn access(key: &str, ask: &mut Ask) -> Option<Hit> {
    let tag = ["connect:", "from:", "to:", "spam:"].into_iter().find(|tag| key.starts_with(tag)).unwrap_or("");
    let item = &key[tag.len()..];
    if item.is_empty() {
        return ask(key.into(), &[]);
    }
    let lengths = ask(LENGTHS.into(), &[]).map_or_else(String::new, |hit| hit.value);
    let mut either = |item: &str| {
        let found = ask([tag, item].concat().into(), &[]);
        let without = tag.is_empty() || tag.trim_end_matches(':') == SPAM;
        found.or_else(|| if without { None } else { ask(item.into(), &[]) })
    };
    let Some((local, domain)) = item.rsplit_once('@') else {
        return within("", item, &lengths, &mut |key, _| either(&key));
    };
    let name = local.split_once('+').map_or("", |(name, _)| name);
    let forms = |end: &str| {
        let mut forms = vec![format!("{local}@{end}")];
        if !name.is_empty() {
            forms.extend([format!("{name}+*@{end}"), format!("{name}@{end}")]);
        }
        forms
    };
    for form in forms(domain) {
        if let Some(hit) = either(&form) {
            return Some(hit);
        }
    }
    if let Some(hit) = within("", domain, &lengths, &mut |key, _| either(&key)) {
        return Some(hit);
    }
    forms("").iter().find_map(|form| either(form))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys a search asks for, in order, none of which is there.
    fn asked(search: Search, key: &str) -> String {
        let mut keys = Vec::new();
        let found = search.find(key, &mut |key| {
            if key != LENGTHS {
                keys.push(key.to_string());
            }
            Ok::<_, ()>(None)
        });
        assert_eq!(found, Ok(None));
        keys.join(" ")
    }

    fn value(search: Search, key: &str, rows: &[(&str, &str)]) -> Option<String> {
        let mut get = |key: &str| Ok::<_, ()>(rows.iter().find(|(k, _)| *k == key).map(|(_, v)| v.to_string()));
        search.find(key, &mut get).unwrap().map(|hit| hit.expanded(key))
    }

    #[test]
    fn keys_are_asked_from_the_most_exact_on() {
        for (search, key, wanted) in [
            (Search::Exact, "a.b", "a.b"),
            (Search::Domain, "a.b.c", "a.b.c .b.c .c . *"),
            (Search::Domain, "[192.0.2.1]", "[192.0.2.1] . *"),
            (Search::Within, "a.b.c", "a.b.c .b.c b.c .c c"),
            (Search::Within, "192.0.2.1", "192.0.2.1 192.0.2 192.0 192"),
            (Search::Within, "ipv6:2001:db8::1", "ipv6:2001:db8::1 ipv6:2001:db8 ipv6:2001"),
            (Search::User, "joe@v.t", "joe@v.t joe+*@v.t @v.t"),
            (Search::User, "joe+x@v.t", "joe+x@v.t joe++@v.t joe+*@v.t joe@v.t ++@v.t +*@v.t @v.t"),
            (Search::User, "joe+@v.t", "joe+@v.t joe+*@v.t joe@v.t +*@v.t @v.t"),
            (Search::Generic, "joe@v.t", "joe@v.t joe+*@v.t @v.t joe"),
            (Search::Masquerade, "joe@a.b.c", "joe@a.b.c joe joe a.b.c .b.c .c"),
            (Search::Access, "from:joe@b.c", "from:joe@b.c joe@b.c from:b.c b.c from:.c .c from:c c from:joe@ joe@"),
            (
                Search::Access,
                "connect:[10.1.2.3]",
                "connect:[10.1.2.3] [10.1.2.3] connect:10.1.2.3 10.1.2.3 connect:10.1.2 10.1.2 connect:10.1 10.1 connect:10 10",
            ),
            (Search::Access, "spam:joe@b", "spam:joe@b spam:b spam:joe@"),
            (Search::Access, "spam:", "spam:"),
        ] {
            assert_eq!(asked(search, key), wanted, "{search:?} {key}");
        }
    }

    #[test]
    fn values_take_the_parts_of_the_address() {
        let rows =
            [("@virt.test", "%1@real.test"), ("ann+*@virt.test", "ann%2@x.test"), ("all@virt.test", "all@virt.test")];
        for (key, wanted) in [
            ("joe@virt.test", Some("joe@real.test")),
            ("ann+y@virt.test", Some("anny@x.test")),
            ("ann@virt.test", Some("ann@x.test")),
            ("joe@other.test", None),
            ("all@virt.test", None),
        ] {
            assert_eq!(value(Search::User, key, &rows).as_deref(), wanted, "{key}");
        }
        assert_eq!(value(Search::Masquerade, "root@a.test", &[("root", "-"), ("a.test", "b.test")]), None);
        assert_eq!(value(Search::Masquerade, "x@a.test", &[("root", "-"), ("a.test", "b.test")]).unwrap(), "b.test");
        assert_eq!(value(Search::Exact, "k", &[("k", "100%% of %0%x")]).unwrap(), "100% of k%x");
    }

    #[test]
    fn an_error_ends_the_search() {
        let mut count = 0;
        let found = Search::Domain.find("a.b.c", &mut |_| {
            count += 1;
            Err("broken")
        });
        assert_eq!((found, count), (Err("broken"), 1));
    }
}
