//! Mail that programs write, and who is not answered by one of ours.
//!
//! Called by `deliver` (absence, notifications) and `list` (commands, posts): two programs that answer each other never end, so both go by
//! this one page. Trust: a header is a stranger's; what it says of itself is believed where it asks for silence.
//! RFC 3834 §2 and §5, RFC 2369, RFC 2919.

use super::all_fields;

/// Fields that lists put into their copies (RFC 2369, RFC 2919).
const LIST_FIELDS: [&str; 7] =
    ["list-id", "list-post", "list-help", "list-subscribe", "list-unsubscribe", "list-owner", "list-archive"];
/// Local parts behind which no person reads.
const PROGRAMS: [&str; 6] = ["mailer-daemon", "postmaster-daemon", "majordomo", "listserv", "noreply", "no-reply"];
/// How the local parts of lists' own addresses end.
const ENDS: [&str; 6] = ["-request", "-owner", "-bounces", "-control", "-subscribe", "-unsubscribe"];

/// True for the local part of an address behind which no person reads (RFC 3834 §2).
pub fn is_program(local: &str) -> bool {
    let local = local.to_ascii_lowercase();
    PROGRAMS.contains(&local.as_str())
        || local.starts_with("owner-")
        || local.contains("-bounces+")
        || local.contains("-confirm+")
        || ENDS.iter().any(|end| local.ends_with(end))
}

/// What Auto-Submitted says; `None` when a person sent it: there is no such field, or it says `no` (RFC 3834 §5).
pub fn auto_submitted(header: &[u8]) -> Option<String> {
    let field = all_fields(header).find(|field| field.is("auto-submitted"))?;
    let value = field.value().to_ascii_lowercase();
    let word = value.split([';', ' ', '\t', '(']).find(|word| !word.is_empty()).unwrap_or("").to_string();
    (word != "no").then_some(word)
}

/// Why a message gets no automatic answer, as far as its header tells.
pub fn silence(header: &[u8]) -> Option<&'static str> {
    if auto_submitted(header).is_some() {
        return Some("it was sent automatically");
    }
    for field in all_fields(header) {
        if LIST_FIELDS.iter().any(|name| field.is(name)) {
            return Some("it came over a list");
        }
        if field.is("precedence") && ["bulk", "list", "junk"].contains(&field.value().to_ascii_lowercase().as_str()) {
            return Some("it is bulk mail");
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_a_program() {
        for (local, expected) in [
            ("MAILER-DAEMON", true),
            ("owner-talk", true),
            ("talk-request", true),
            ("talk-bounces+bob=b.test", true),
            ("talk-confirm+abc", true),
            ("postmaster", false),
            ("request", false),
            ("bob", false),
        ] {
            assert_eq!(is_program(local), expected, "{local}");
        }
    }

    #[test]
    fn what_asks_for_silence() {
        for (header, expected) in [
            ("", None),
            ("Auto-Submitted: no\n", None),
            ("Auto-Submitted: NO (a person)\n", None),
            ("Auto-Submitted: no; owner-email=\"x\"\n", None),
            ("Precedence: first-class\nX-List: x\n", None),
            ("Auto-Submitted: auto-replied (vacation)\n", Some("it was sent automatically")),
            ("Auto-Submitted: notified\n", Some("it was sent automatically")),
            ("Auto-Submitted:\n", Some("it was sent automatically")),
            ("List-Unsubscribe: <mailto:x@y>\n", Some("it came over a list")),
            ("Precedence: Junk\n", Some("it is bulk mail")),
        ] {
            assert_eq!(silence(header.as_bytes()), expected, "{header}");
        }
        let word = |header: &str| auto_submitted(header.as_bytes());
        assert_eq!(word("Auto-Submitted: Auto-Replied;x=y\n").as_deref(), Some("auto-replied"));
    }
}
