//! What a row of etc/access may say.

use super::kind::error;
use super::networks;
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
    // In the one form in which it is looked for: a row that nobody finds would let in whom it is to keep out.
    let whom = if is_tagged { item } else { key };
    match networks::read(&whom.to_lowercase()) {
        Some(Err(what)) => {
            return Err(Wrong::new(key, what, "write a network such as 192.0.2.0/24 or IPv6:2001:db8::/32"));
        }
        Some(Ok(form)) if !form.eq_ignore_ascii_case(whom) => {
            let form = form.replacen("ipv6:", "IPv6:", 1);
            return Err(Wrong::new(key, format!("the network is {form}"), "write it without the bits behind the mask"));
        }
        _ => {}
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
            ("Connect:10.0.0.0/8", "RELAY"),
            ("192.0.2.0/24", "REJECT"),
            ("IPv6:2001:db8::/32", "OK"),
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
            ("Connect:10.0.0.1/8", "RELAY", "the network is 10.0.0.0/8"),
            ("Connect:10.0.0.0/40", "RELAY", "\"40\" is no length of a mask for it"),
            ("a.test", "ERROR:nope", "\"nope\" is no code"),
            ("a.test", "QUARANTINE:", "\"QUARANTINE:\" is no verdict"),
            ("a.test", "550", "\"550\" is no verdict"),
        ] {
            assert_eq!(check(key, value).unwrap_err().message, wanted, "{key} {value}");
        }
    }
}
