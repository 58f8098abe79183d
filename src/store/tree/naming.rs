//! Mailbox names: `Archive/2024` for people, `.Archive.2024` on disk.
//!
//! On disk a name is modified UTF-7 with `.` between the levels, as Dovecot and Courier have it, so that their trees show as they were. A
//! dot inside a level is written `&AC4-`, which modified UTF-7 can say but never does. A folder on disk whose name is not what we
//! would have written (raw UTF-8, say) is called by its name as it stands.

use super::TreeError;
use encodify::utf7::IMAP;

/// What stands between the levels of a name.
pub const SEPARATOR: char = '/';
/// INBOX, in this spelling.
pub const INBOX: &str = "INBOX";
/// A dot inside a level.
const DOT: &str = "&AC4-";
/// Longest name on disk that we make; some room is left for the temporary names of a folder that is being deleted.
const LENGTH_LIMIT: usize = 220;
/// Most levels of a name that we make.
const DEPTH_LIMIT: usize = 32;

/// The usual spelling of a name: INBOX in capitals, also in front of others; no separator at the end.
pub fn normal(name: &str) -> String {
    let name = name.strip_suffix(SEPARATOR).unwrap_or(name);
    match name.split_at_checked(INBOX.len()) {
        Some((first, rest))
            if first.eq_ignore_ascii_case(INBOX) && (rest.is_empty() || rest.starts_with(SEPARATOR)) =>
        {
            format!("{INBOX}{rest}")
        }
        _ => name.to_string(),
    }
}

/// The folder's name on disk; empty for INBOX.
pub fn encode(name: &str) -> Result<String, TreeError> {
    let name = normal(name);
    if name == INBOX {
        return Ok(String::new());
    }
    let mut disk = String::with_capacity(name.len() + 8);
    for (depth, level) in name.split(SEPARATOR).enumerate() {
        if depth >= DEPTH_LIMIT || level.is_empty() || level.chars().any(char::is_control) {
            return Err(TreeError::BadName);
        }
        disk.push('.');
        for (index, piece) in level.split('.').enumerate() {
            if index > 0 {
                disk.push_str(DOT);
            }
            disk.push_str(&IMAP.encode(piece));
        }
    }
    if disk.len() > LENGTH_LIMIT {
        return Err(TreeError::BadName);
    }
    Ok(disk)
}

/// The name of a folder on disk; `None` when it is none.
pub fn decode(disk: &str) -> Option<String> {
    let Some(levels) = disk.strip_prefix('.') else { return disk.is_empty().then(|| INBOX.to_string()) };
    let mut name = String::with_capacity(disk.len());
    for (index, level) in levels.split('.').enumerate() {
        if level.is_empty() || level.chars().any(|c| c.is_control() || c == SEPARATOR) {
            return None;
        }
        if index > 0 {
            name.push(SEPARATOR);
        }
        name.push_str(&decode_level(level).unwrap_or_else(|| level.to_string()));
    }
    // A folder of that name would be taken for INBOX itself.
    let name = normal(&name);
    (name != INBOX).then_some(name)
}

fn decode_level(level: &str) -> Option<String> {
    let pieces: Option<Vec<String>> = level.split(DOT).map(|piece| IMAP.decode(piece).ok()).collect();
    let decoded = pieces?.join(".");
    let is_plain = !decoded.contains(SEPARATOR) && !decoded.chars().any(char::is_control);
    // Only what we would write again in the same way may be called so.
    let written = encode(&decoded).ok()?;
    (is_plain && (written.get(1..) == Some(level) || decoded.eq_ignore_ascii_case(INBOX))).then_some(decoded)
}

/// The names above, nearest last: `a`, `a/b` for `a/b/c`.
pub fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    name.match_indices(SEPARATOR).map(|(at, _)| &name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_have_one_form_on_disk() {
        for (name, disk) in [
            ("INBOX", ""),
            ("inbox", ""),
            ("Sent", ".Sent"),
            ("Archive/2024", ".Archive.2024"),
            ("Inbox/x", ".INBOX.x"),
            ("a/inbox", ".a.inbox"),
            ("v1.2", ".v1&AC4-2"),
            (".", ".&AC4-"),
            ("..", ".&AC4-&AC4-"),
            ("A & B", ".A &- B"),
            ("\u{53f0}\u{5317}/\u{65e5}", ".&U,BTFw-.&ZeU-"),
            ("\u{e9}.\u{e9}", ".&AOk-&AC4-&AOk-"),
            ("foo/", ".foo"),
        ] {
            assert_eq!(encode(name).unwrap(), disk, "{name}");
            assert_eq!(decode(disk).unwrap(), normal(name), "{disk}");
        }
        for bad in ["", "/", "a//b", "/a", "a\n", "\0", "a/\u{7f}", &"x".repeat(300), &"x/".repeat(40)] {
            assert!(encode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn folders_that_others_named_differently_are_called_as_they_are() {
        for disk in [".Caf\u{e9}", ".a&b", ".&AC8-x", ".&AGE-", ".&bad"] {
            assert_eq!(decode(disk).as_deref(), Some(&disk[1..]), "{disk}");
        }
        for none in [".", "..", "...x", ".a..b", "cur", ".a.", ".INBOX"] {
            assert_eq!(decode(none), None, "{none}");
        }
    }

    #[test]
    fn ancestors_come_from_the_top() {
        assert_eq!(ancestors("a/b/c").collect::<Vec<_>>(), ["a", "a/b"]);
    }

    proptest! {
        #[test]
        fn a_name_that_was_encoded_is_decoded(name in "[^/\\p{Cc}]{1,12}(/[^/\\p{Cc}]{1,12}){0,3}") {
            if let Ok(disk) = encode(&name) {
                prop_assert!(!disk.contains('/') && disk != "." && disk != "..");
                prop_assert_eq!(decode(&disk), Some(normal(&name)));
            }
        }

        #[test]
        fn different_folders_have_different_names(a in "(\\.[a&AC4\u{e9}-]{1,8}){1,2}", b in "(\\.[a&AC4\u{e9}-]{1,8}){1,2}") {
            if a != b && let (Some(x), Some(y)) = (decode(&a), decode(&b)) {
                // Only one of the two can be what we would write.
                prop_assert!(x != y || encode(&x).ok().as_deref() == Some(a.as_str()) || encode(&y).ok().as_deref() == Some(b.as_str()));
            }
        }
    }
}
