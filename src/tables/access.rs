//! What a row of etc/access may say.

use super::kind::error;
use super::rows::Wrong;

/// What stands before the colon of a key.
const TAGS: [&str; 4] = ["connect", "from", "to", "spam"];
/// Values that are one word.
const WORDS: [&str; 7] = ["OK", "RELAY", "REJECT", "DISCARD", "SKIP", "FRIEND", "HATER"];
const HINT: &str = "write OK, RELAY, REJECT, DISCARD, SKIP, QUARANTINE:reason, ERROR:5.7.1:550 text or 550 text";

/// Checks a row.
pub fn check(key: &str, value: &str) -> Result<(), Wrong> {
    let (tag, item) = key.split_once(':').unwrap_or(("", key));
    // Without a tag a colon belongs to an address of IPv6; other tags belong to features of other files of rules.
    let is_tagged = TAGS.iter().any(|known| known.eq_ignore_ascii_case(tag));
    if is_tagged && item.is_empty() {
        return Err(Wrong::new(key, format!("nothing stands behind {tag}:"), "write a user, a domain or a network"));
    }
    let is_spam = tag.eq_ignore_ascii_case("spam");
    let word = value.split([':', ' ', '\t']).next().unwrap_or("");
    match (word, value.split_once(':')) {
        ("FRIEND" | "HATER", _) if !is_spam => {
            Err(Wrong::new(value, format!("{word} belongs to a key with Spam:"), "write `Spam:user@domain FRIEND`"))
        }
        ("ERROR", Some((_, reply))) => error(reply, value),
        ("QUARANTINE", Some((_, reason))) if !reason.trim().is_empty() => Ok(()),
        _ if WORDS.contains(&value) => Ok(()),
        (code, _) if is_reply(code) && value.len() > code.len() => Ok(()),
        _ if !is_tagged && key.contains(':') => Ok(()),
        _ => Err(Wrong::new(value, format!("{value:?} is no verdict"), HINT)),
    }
}

fn is_reply(code: &str) -> bool {
    code.len() == 3 && code.starts_with(['4', '5']) && code.bytes().all(|b| b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked() {
        for (key, value) in [
            ("From:spam@bad.test", "REJECT"),
            ("To:x@other.test", "ERROR:5.7.1:550 no"),
            ("Connect:10", "RELAY"),
            ("spam.test", "550 go away"),
            ("cyber@", "ERROR:\u{35}50 we don't take it"),
            ("IPv6:2001:db8", "OK"),
            ("Spam:abuse@", "FRIEND"),
            ("From:a.test", "QUARANTINE:looks odd"),
            ("TLS_Srv:a.test", "VERIFY:112"),
        ] {
            assert_eq!(check(key, value), Ok(()), "{key} {value}");
        }
        for (key, value, wanted) in [
            ("From:a.test", "REJEKT", "\"REJEKT\" is no verdict"),
            ("From:", "OK", "nothing stands behind From:"),
            ("To:a.test", "FRIEND", "FRIEND belongs to a key with Spam:"),
            ("a.test", "ERROR:nope", "\"nope\" is no code"),
            ("a.test", "QUARANTINE:", "\"QUARANTINE:\" is no verdict"),
            ("a.test", "550", "\"550\" is no verdict"),
        ] {
            assert_eq!(check(key, value).unwrap_err().message, wanted, "{key} {value}");
        }
    }
}
