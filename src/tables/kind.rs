//! The tables there are: their names, how their keys are looked for, and what a row may say.
//!
//! Called by `tables::text` at each reading, so that a mistake is found with its place before a table is taken.

use super::rows::{Row, Wrong};
use super::search::Search;
use super::{access, routes};
use crate::addr::{Address, normal_domain};
use crate::status::Enhanced;

/// What a table is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Addresses of ours that lead elsewhere.
    Virtusers,
    /// Where mail for other domains goes.
    Routes,
    /// Who may send, and to whom.
    Access,
    /// How senders are shown outside.
    Generics,
    /// Domains with another name.
    Domains,
    /// Domains that are shown as another.
    Masquerade,
    /// Domains whose mail is ours.
    LocalHostNames,
    /// Domains that mail is passed on to.
    RelayDomains,
    /// A table of the administrator's own.
    Own,
}

/// Every table of ours with its file in etc/.
pub const KINDS: [(&str, Kind); 8] = [
    ("virtusers", Kind::Virtusers),
    ("routes", Kind::Routes),
    ("access", Kind::Access),
    ("genericstable", Kind::Generics),
    ("domaintable", Kind::Domains),
    ("masquerade", Kind::Masquerade),
    ("local-host-names", Kind::LocalHostNames),
    ("relay-domains", Kind::RelayDomains),
];

impl Kind {
    /// The kind of a file's name.
    pub fn of(name: &str) -> Kind {
        KINDS.iter().find(|(known, _)| *known == name).map_or(Kind::Own, |(_, kind)| *kind)
    }

    /// True when a row is one word.
    pub fn is_list(self) -> bool {
        matches!(self, Kind::LocalHostNames | Kind::RelayDomains)
    }

    /// How `emconf table NAME get` looks a key up.
    pub fn search(self) -> Search {
        match self {
            Kind::Virtusers => Search::User,
            Kind::Routes => Search::Domain,
            Kind::Access => Search::Access,
            Kind::Generics => Search::Generic,
            Kind::Masquerade => Search::Masquerade,
            Kind::RelayDomains => Search::Within,
            Kind::Domains | Kind::LocalHostNames | Kind::Own => Search::Exact,
        }
    }

    /// The form of a key in which rows are compared: lower case, domains as A-labels.
    pub fn key(self, key: &str) -> String {
        let domain = |text: &str| match text.strip_prefix('.').filter(|parent| !parent.is_empty()) {
            Some(parent) => normal_domain(parent).map(|d| format!(".{d}")),
            None => normal_domain(text),
        };
        let folded = match (self, key.rsplit_once('@')) {
            (Kind::Own, _) | (_, Some((_, ""))) => None,
            (Kind::Access, _) if key.is_ascii() => None,
            (_, Some((local, host))) => domain(host).ok().map(|host| format!("{}@{host}", local.to_lowercase())),
            (_, None) => domain(key).ok(),
        };
        folded.unwrap_or_else(|| key.to_lowercase())
    }

    /// What is wrong with a row of this table.
    pub fn check(self, row: &Row) -> Result<(), Wrong> {
        let (key, value) = (row.key, row.value);
        if self.is_list() {
            if !value.is_empty() {
                return Err(Wrong::new(value, "one word a line", "leave out what stands behind the domain"));
            }
        } else if value.is_empty() {
            return Err(Wrong::new(key, format!("{key} has no value"), self.hint()));
        }
        match self {
            Kind::Virtusers => virtual_user(key, value),
            Kind::Routes => {
                route_key(key)?;
                routes::check(value)
            }
            Kind::Access => access::check(key, value),
            Kind::Generics => match is_user(key) {
                true => target(value),
                false => Err(Wrong::new(key, format!("{key:?} is no user and no address"), self.hint())),
            },
            Kind::Domains => {
                domain(key, key)?;
                domain(value, value)
            }
            Kind::Masquerade => {
                if !is_user(key) && key.strip_prefix('.').is_none_or(|d| normal_domain(d).is_err()) {
                    return Err(Wrong::new(key, format!("{key:?} is no domain and no user"), self.hint()));
                }
                if value == "-" { Ok(()) } else { domain(value, value) }
            }
            Kind::LocalHostNames => domain(key, key),
            Kind::RelayDomains => {
                let is_network = !key.is_empty() && key.bytes().all(|b| b.is_ascii_digit() || b == b'.');
                let name = key.strip_prefix('.').unwrap_or(key);
                if is_network || key.starts_with("IPv6:") { Ok(()) } else { domain(name, key) }
            }
            Kind::Own => Ok(()),
        }
    }

    /// How a row looks.
    pub fn hint(self) -> &'static str {
        match self {
            Kind::Virtusers => "write `user@domain target`, `@domain target` or `user@domain error:nouser 550 text`",
            Kind::Routes => "write `domain esmtp:[192.0.2.1]:25`, `.domain lmtp:host:24` or `domain error:5.7.1 text`",
            Kind::Access => {
                "write `From:user@domain REJECT`, `To:domain RELAY`, `Connect:192.0.2 ERROR:5.7.1:550 text`"
            }
            Kind::Generics => "write `user user.name@domain` or `user@host address`",
            Kind::Domains => "write `old.domain new.domain`",
            Kind::Masquerade => "write `domain shown.domain`, `.domain shown.domain` or `user -`",
            Kind::LocalHostNames | Kind::RelayDomains => "write one domain a line",
            Kind::Own => "write `key value`",
        }
    }
}

/// A user's name or address, with a domain or without.
fn is_user(text: &str) -> bool {
    let bare = text.strip_prefix('@').map(|domain| format!("x@{domain}"));
    Address::parse_loose(bare.as_deref().unwrap_or(text), "x.invalid").is_ok()
}

fn domain(text: &str, part: &str) -> Result<(), Wrong> {
    normal_domain(text).map(drop).map_err(|e| Wrong::new(part, format!("{part:?}: {e}"), "write a domain"))
}

fn route_key(key: &str) -> Result<(), Wrong> {
    match key.strip_prefix('.') {
        _ if matches!(key, "*" | ".") => Ok(()),
        Some(parent) => domain(parent, key),
        None => domain(key, key),
    }
    .map_err(|wrong| Wrong { hint: "write a domain, .domain or *", ..wrong })
}

/// What `%1` and its kin may become, so that a target can be checked.
fn sample(value: &str) -> String {
    let mut text = value.replace("%0", "x@x.invalid");
    for (mark, value) in [("%1", "x"), ("%2", "x"), ("%3", "+x")] {
        text = text.replace(mark, value);
    }
    text
}

fn target(value: &str) -> Result<(), Wrong> {
    Address::parse_loose(&sample(value), "x.invalid")
        .map(drop)
        .map_err(|e| Wrong::new(value, format!("{value:?}: {e}"), "write one address"))
}

fn virtual_user(key: &str, value: &str) -> Result<(), Wrong> {
    let (user, host) = key.rsplit_once('@').ok_or_else(|| {
        Wrong::new(key, format!("{key:?} has no @"), "write user@domain, or @domain for all of a domain")
    })?;
    domain(host, key)?;
    let user = user.strip_suffix(['*', '+']).filter(|user| user.ends_with('+') || user.is_empty()).unwrap_or(user);
    if !user.is_empty() && !is_user(user) {
        return Err(Wrong::new(key, format!("{key:?}: local part is not valid"), ""));
    }
    match value.strip_prefix("error:") {
        Some(reply) => error(reply, value),
        None => target(value),
    }
}

/// What stands behind `error:`: a code or a word of sysexits, and a text.
pub(super) fn error(reply: &str, part: &str) -> Result<(), Wrong> {
    let hint = "write error:5.7.0:550 text, error:nouser 550 text or error:5.1.1 text";
    let (code, text) = reply.split_once([':', ' ', '\t']).unwrap_or((reply, ""));
    let words = ["nouser", "nohost", "unavailable", "tempfail", "usage", "protocol", "config"];
    let is_code = matches!(Enhanced::parse_prefix(code), Some((_, "")))
        || words.iter().any(|word| word.eq_ignore_ascii_case(code))
        || (code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit()));
    match (is_code, text.trim().is_empty()) {
        (true, true) => Err(Wrong::new(part, "the error has no text", hint)),
        (false, _) => Err(Wrong::new(part, format!("{code:?} is no code"), hint)),
        (true, false) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::rows;
    use super::*;

    fn said(kind: Kind, text: &str) -> String {
        let row = rows(text).next().unwrap();
        match row.check().and_then(|()| kind.check(&row)) {
            Ok(()) => "ok".to_string(),
            Err(wrong) => row.error(std::path::Path::new("t"), text, wrong).to_string().lines().next().unwrap().into(),
        }
    }

    #[test]
    fn good_rows_are_taken() {
        for (kind, text) in [
            (Kind::Virtusers, "joe@virt.test bob"),
            (Kind::Virtusers, "@virt.test %1@real.test"),
            (Kind::Virtusers, "ann+*@virt.test ann%2@x.test"),
            (Kind::Virtusers, "ann++@virt.test ann%3@x.test"),
            (Kind::Virtusers, "bad@virt.test error:5.1.1:550 gone"),
            (Kind::Virtusers, "bad@virt.test error:nouser 550 gone"),
            (Kind::Routes, ". relay:default.test"),
            (Kind::Routes, "* esmtp:[127.0.0.2]:2525"),
            (Kind::Routes, "a.test [IPv6:2001:db8::1]:25"),
            (Kind::Routes, "[192.0.2.1] error:5.7.1 no"),
            (Kind::Generics, "alice alice.b@example.com"),
            (Kind::Generics, "@old.test %1@new.test"),
            (Kind::Domains, "old.test new.test"),
            (Kind::Masquerade, "host.example.test example.test"),
            (Kind::Masquerade, ".example.test example.test"),
            (Kind::Masquerade, "root -"),
            (Kind::LocalHostNames, "example.org"),
            (Kind::RelayDomains, "192.0.2"),
            (Kind::RelayDomains, ".example.org"),
        ] {
            assert_eq!(said(kind, text), "ok", "{text}");
        }
    }

    #[test]
    fn mistakes_are_named_with_their_place() {
        for (kind, text, wanted) in [
            (Kind::Virtusers, "joe bob", "t:1:1: \"joe\" has no @"),
            (Kind::Virtusers, "joe@a.test", "t:1:1: joe@a.test has no value"),
            (Kind::Virtusers, "joe@a.test a b", "t:1:12: \"a b\": address syntax"),
            (Kind::Virtusers, "joe@a.test error:gone away", "t:1:12: \"gone\" is no code"),
            (Kind::Virtusers, "joe@a.test error:nouser", "t:1:12: the error has no text"),
            (Kind::Domains, "old.test -x", "t:1:10: \"-x\": domain is not valid"),
            (Kind::LocalHostNames, "a.test b.test", "t:1:8: one word a line"),
            (Kind::Masquerade, "a.test b c", "t:1:8: \"b c\": domain is not valid"),
            (Kind::Own, " x y", "t:1:1: a blank in front of the entry"),
        ] {
            assert_eq!(said(kind, text), wanted);
        }
    }

    #[test]
    fn keys_have_one_spelling() {
        assert_eq!(Kind::Virtusers.key("Joe@Bücher.Example"), "joe@xn--bcher-kva.example");
        assert_eq!(Kind::Routes.key(".Bücher.Example"), ".xn--bcher-kva.example");
        assert_eq!(Kind::Routes.key("*"), "*");
        assert_eq!(Kind::Access.key("From:Joe@"), "from:joe@");
        assert_eq!(Kind::Own.key("A B"), "a b");
    }
}
