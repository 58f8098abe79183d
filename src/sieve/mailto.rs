//! `mailto:` as a method of notification.
//!
//! Called by `constants`, by the interpreter, and by what sends the notification.
//! RFC 5436, RFC 6068.

use super::constants;
use crate::addr::{Address, parse_list};
use encodify::hex;

/// A notification goes to at most so many addresses.
pub const RECIPIENT_LIMIT: usize = 8;
/// So many fields may be given.
const FIELD_LIMIT: usize = 16;

/// What a mailto URI asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mailto {
    /// `to` and `to=`.
    pub to: Vec<Address>,
    /// `cc=`.
    pub cc: Vec<Address>,
    /// `bcc=`: part of the envelope only.
    pub bcc: Vec<Address>,
    /// `subject=`.
    pub subject: Option<String>,
    /// `body=`.
    pub body: Option<String>,
    /// Other fields, by name.
    pub fields: Vec<(String, String)>,
}

/// Fields that a URI may not set: they are the system's or say what would be untrue (RFC 5436 §2.7).
const REFUSED: &[&str] = &[
    "auto-submitted",
    "received",
    "message-id",
    "date",
    "from",
    "sender",
    "return-path",
    "delivered-to",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "dkim-signature",
    "reply-to",
    "resent-from",
    "resent-to",
    "resent-date",
    "resent-cc",
    "resent-bcc",
    "resent-sender",
    "resent-message-id",
    "list-id",
    "list-unsubscribe",
    "precedence",
];

impl Mailto {
    /// Reads a URI; the error says what is wrong with it.
    pub fn parse(uri: &str) -> Result<Mailto, String> {
        let rest = match uri.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("mailto") => rest,
            Some((scheme, _)) => return Err(format!("no way to notify by '{}'", scheme.escape_default())),
            None => return Err("a method of notification is a URI, as mailto:name@domain".to_string()),
        };
        let (to, fields) = rest.split_once('?').unwrap_or((rest, ""));
        let mut mailto = Mailto::default();
        read_addresses(to, &mut mailto.to)?;
        for field in fields.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').ok_or("a field of the URI has no value")?;
            mailto.take(&decoded(name)?.to_ascii_lowercase(), value)?;
        }
        // Everybody is named once.
        let mut named: Vec<Address> = Vec::new();
        for list in [&mut mailto.to, &mut mailto.cc, &mut mailto.bcc] {
            list.retain(|address| {
                let is_new = !named.contains(address);
                if is_new {
                    named.push(address.clone());
                }
                is_new
            });
        }
        let count = named.len();
        match count {
            0 => Err("the URI names nobody".to_string()),
            count if count > RECIPIENT_LIMIT => Err(format!("the URI names more than {RECIPIENT_LIMIT} recipients")),
            _ => Ok(mailto),
        }
    }

    /// Everybody it goes to, each once.
    pub fn recipients(&self) -> impl Iterator<Item = &Address> {
        self.to.iter().chain(&self.cc).chain(&self.bcc)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "to" => read_addresses(value, &mut self.to),
            "cc" => read_addresses(value, &mut self.cc),
            "bcc" => read_addresses(value, &mut self.bcc),
            "subject" => {
                self.subject = Some(decoded(value)?);
                Ok(())
            }
            "body" => {
                self.body = Some(decoded(value)?);
                Ok(())
            }
            name if REFUSED.contains(&name) => Ok(()),
            name => {
                constants::field_name(name)?;
                let value = decoded(value)?;
                constants::field_value(&value)?;
                if self.fields.len() >= FIELD_LIMIT {
                    return Err(format!("the URI sets more than {FIELD_LIMIT} fields"));
                }
                self.fields.push((name.to_string(), value));
                Ok(())
            }
        }
    }
}

fn read_addresses(list: &str, found: &mut Vec<Address>) -> Result<(), String> {
    for member in list.split(',').filter(|member| !member.is_empty()) {
        let member = decoded(member)?;
        let listed =
            parse_list(&member, "").map_err(|e| format!("'{}' is no address: {e}", member.escape_default()))?;
        found.extend(listed.into_iter().map(|mailbox| mailbox.address));
    }
    Ok(())
}

fn decoded(text: &str) -> Result<String, String> {
    if text.bytes().any(|b| b <= b' ' || b == 0x7f || matches!(b, b'<' | b'>' | b'"' | b'#')) {
        return Err("the URI has characters that must be written as %XX".to_string());
    }
    let bytes =
        hex::PERCENT.decode(text.as_bytes()).map_err(|_| "a '%' in the URI is not followed by two hex digits")?;
    let text = String::from_utf8(bytes.into_owned()).map_err(|_| "the URI is not UTF-8".to_string())?;
    match text.contains('\0') {
        true => Err("the URI has a NUL".to_string()),
        false => Ok(text.replace("\r\n", "\n")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        let one = Mailto::parse("mailto:a@b.test?subject=x%20y&body=l1%0D%0Al2&X-Prio=3&from=evil@b.test").unwrap();
        assert_eq!((one.subject.as_deref(), one.body.as_deref()), (Some("x y"), Some("l1\nl2")));
        assert_eq!(one.fields, [("x-prio".to_string(), "3".to_string())]);
        assert_eq!(Mailto::parse("MAILTO:a@b.test,c@b.test?to=a%40b.test").unwrap().recipients().count(), 2);
        for bad in [
            "a@b.test",
            "mailto:",
            "xmpp:a@b",
            "mailto:a@b.test?x",
            "mailto:a b@c.test",
            "mailto:a%zz@b.test",
            "mailto:a@b.test?X-Y=a%0B",
        ] {
            assert!(Mailto::parse(bad).is_err(), "{bad}");
        }
    }
}
