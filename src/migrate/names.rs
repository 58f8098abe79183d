//! Names of mailboxes: theirs on the wire, and ours.
//!
//! Theirs is kept as the server wrote it, because that is what it wants to hear. Ours has `/` between the levels; signs that no name
//! of ours can have become `_`. The prefix of their personal namespace goes: `INBOX.Sent` there is `Sent` here.
//! RFC 9051 §5.1, RFC 2342, RFC 6154.

use crate::proto::imap_client::Value;
use crate::store::{INBOX, SEPARATOR, Tree};
use encodify::utf7;

/// One mailbox of the other server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remote {
    /// Its name on the wire.
    pub(super) wire: Vec<u8>,
    /// Its name here.
    pub(super) local: String,
    /// Its special use.
    pub(super) special_use: Option<String>,
}

/// A namespace: prefix as on the wire.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Namespaces {
    personal: Vec<u8>,
    foreign: Vec<Vec<u8>>,
}

impl Namespaces {
    /// Reads `NAMESPACE personal others shared`; nothing for other data.
    pub(super) fn read(data: &[Value]) -> Option<Namespaces> {
        let [word, personal, others, shared] = data else { return None };
        if !word.atom().eq_ignore_ascii_case("NAMESPACE") {
            return None;
        }
        let prefixes = |value: &Value| -> Vec<Vec<u8>> {
            let first = |one: &Value| one.list().first().and_then(Value::octets).map(<[u8]>::to_vec);
            value.list().iter().filter_map(first).collect()
        };
        let foreign = prefixes(others).into_iter().chain(prefixes(shared)).filter(|prefix| !prefix.is_empty());
        let personal = prefixes(personal).into_iter().next().unwrap_or_default();
        Some(Namespaces { foreign: foreign.filter(|prefix| *prefix != personal).collect(), personal })
    }

    /// True for the mailboxes of others, and those of everybody.
    fn is_foreign(&self, wire: &[u8]) -> bool {
        self.foreign.iter().any(|prefix| wire.starts_with(prefix))
    }
}

/// Reads a line of LIST or LSUB; nothing for other data, for names without a mailbox, and for mailboxes that are not the user's own.
pub(super) fn read(data: &[Value], command: &str, namespaces: &Namespaces) -> Option<Remote> {
    // Behind the name may stand extended data (RFC 5258 §6).
    let [word, attributes, delimiter, name, ..] = data else { return None };
    if !word.atom().eq_ignore_ascii_case(command) {
        return None;
    }
    let has = |name: &str| attributes.list().iter().any(|a| a.atom().eq_ignore_ascii_case(name));
    if command == "LIST" && (has("\\Noselect") || has("\\NonExistent")) {
        return None;
    }
    let delimiter = match delimiter {
        Value::Text(text) => std::str::from_utf8(text).ok().and_then(|text| text.chars().next()),
        _ => None,
    };
    let wire = name.octets()?.to_vec();
    if namespaces.is_foreign(&wire) {
        return None;
    }
    let special_use = attributes.list().iter().map(Value::atom).find(|a| is_special(a)).map(str::to_string);
    let local = local(&wire, delimiter, &namespaces.personal)?;
    Some(Remote { wire, local, special_use })
}

fn is_special(attribute: &str) -> bool {
    ["\\All", "\\Archive", "\\Drafts", "\\Flagged", "\\Junk", "\\Sent", "\\Trash", "\\Important"]
        .iter()
        .any(|known| known.eq_ignore_ascii_case(attribute))
}

/// Our name of a mailbox.
fn local(wire: &[u8], delimiter: Option<char>, personal: &[u8]) -> Option<String> {
    let own = match wire.strip_prefix(personal) {
        Some(rest) if !rest.is_empty() => rest,
        _ => wire,
    };
    let name = match std::str::from_utf8(own) {
        Ok(text) if !text.is_ascii() => text.to_string(),
        _ => match utf7::IMAP.lenient().decode(own) {
            Ok(name) => name.to_string(),
            Err(_) => String::from_utf8_lossy(own).into_owned(),
        },
    };
    let clean = |level: &str| -> String {
        level.chars().map(|c| if c == SEPARATOR || c == '*' || c == '%' || c.is_control() { '_' } else { c }).collect()
    };
    let levels: Vec<String> = match delimiter {
        Some(delimiter) => name.split(delimiter).filter(|level| !level.is_empty()).map(clean).collect(),
        None => vec![clean(&name)],
    };
    let name = Tree::normal(&levels.join(&SEPARATOR.to_string()));
    Some(name).filter(|name| !name.is_empty())
}

/// True for a name that is one of these or below one of them.
pub(super) fn is_among(local: &str, names: &[String]) -> bool {
    names.iter().any(|name| {
        let name = Tree::normal(name);
        local.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with(SEPARATOR))
    })
}

/// The mailbox that every account has comes first.
pub(super) fn sort(remotes: &mut [Remote]) {
    remotes.sort_by(|a, b| (a.local != INBOX, &a.local).cmp(&(b.local != INBOX, &b.local)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_servers_become_ours() {
        for (wire, delimiter, personal, ours) in [
            ("INBOX", Some('.'), "INBOX.", Some("INBOX")),
            ("INBOX.Sent", Some('.'), "INBOX.", Some("Sent")),
            ("inbox", Some('/'), "", Some("INBOX")),
            ("INBOX/a", Some('/'), "", Some("INBOX/a")),
            ("Arch.2024/5", Some('.'), "", Some("Arch/2024_5")),
            ("a/b", None, "", Some("a_b")),
            ("100%", Some('/'), "", Some("100_")),
            ("&ZeVnLIqe-", Some('/'), "", Some("日本語")),
            ("日本", Some('/'), "", Some("日本")),
            ("Tom &- Jerry", Some('/'), "", Some("Tom & Jerry")),
            ("/a//b/", Some('/'), "", Some("a/b")),
            ("", Some('/'), "", None),
        ] {
            assert_eq!(local(wire.as_bytes(), delimiter, personal.as_bytes()).as_deref(), ours, "{wire}");
        }
        assert!(is_among("Spam/old", &["Spam".into()]) && !is_among("Spammer", &["Spam".into()]));
    }
}
