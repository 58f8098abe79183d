//! Mail addresses: the one parser, for envelopes, header fields, aliases and command lines.
//!
//! An [`Address`] holds the local part without quotes and the domain in lower-case A-label form, so two
//! spellings of one mailbox compare equal (except for the local part's case, which belongs to its host).
//! Trust: input is hostile. Control characters never get in; `%`, `!`, `|`, `/` in a local part are plain
//! characters here and are never routed on. A source route is read and dropped (RFC 5321 §4.1.1.3, appendix C).
//! RFC 5321 §4.1.2, RFC 5322 §3.4, RFC 6531 §3.3, RFC 5890.

mod list;
mod path;
pub(crate) mod token;

pub use list::{Mailbox, old_style_list, parse_list};
pub use path::{parse_path, parse_path_prefix};

use std::fmt;
use std::net::IpAddr;

/// Longest local part, in octets (RFC 5321 §4.5.3.1.1).
pub const LOCAL_PART_LIMIT: usize = 64;
/// Longest domain, in octets (RFC 5321 §4.5.3.1.2).
pub const DOMAIN_LIMIT: usize = 255;
/// Longest path with its brackets (RFC 5321 §4.5.3.1.3).
pub const PATH_LIMIT: usize = 256;

/// `local@domain`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address {
    local: String,
    domain: String,
}

/// Why a text is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing there.
    #[error("address is empty")]
    Empty,
    /// The syntax is wrong.
    #[error("address syntax")]
    Syntax,
    /// No `@domain` where one is needed.
    #[error("domain is missing")]
    NoDomain,
    /// The local part is empty, too long, or has control characters.
    #[error("local part is not valid")]
    LocalPart,
    /// Not a host name, not an address literal, or too long.
    #[error("domain is not valid")]
    Domain,
    /// More than one address stood where one was expected.
    #[error("more than one address")]
    Several,
}

impl Address {
    /// Builds an address from an unquoted local part and a domain.
    pub fn new(local: &str, domain: &str) -> Result<Address, AddressError> {
        check_local(local)?;
        Ok(Address { local: local.to_string(), domain: normal_domain(domain)? })
    }

    /// Reads one bare address, `local@domain` or `"quoted local"@domain`, with nothing around it.
    pub fn parse(text: &str) -> Result<Address, AddressError> {
        match path::parse_mailbox(text)? {
            (address, "") => Ok(address),
            _ => Err(AddressError::Syntax),
        }
    }

    /// Reads an address as people and tables write it: comments and display names allowed, a missing
    /// domain filled in from `default_domain`.
    pub fn parse_loose(text: &str, default_domain: &str) -> Result<Address, AddressError> {
        let mut found = parse_list(text, default_domain)?.into_iter();
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one.address),
            (None, _) => Err(AddressError::Empty),
            _ => Err(AddressError::Several),
        }
    }

    /// The local part, unquoted, as written.
    pub fn local(&self) -> &str {
        &self.local
    }

    /// The domain: lower case, A-labels; a literal keeps its brackets.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The IP address of a domain literal.
    pub fn literal(&self) -> Option<IpAddr> {
        literal(&self.domain)
    }

    /// True when the address needs SMTPUTF8 (RFC 6531 §3.2): domains never do, they have A-labels.
    pub fn is_utf8(&self) -> bool {
        !self.local.is_ascii()
    }

    /// The address with its local part in lower case: the key under which local mailboxes are kept.
    pub fn to_key(&self) -> Address {
        Address { local: self.local.to_lowercase(), domain: self.domain.clone() }
    }

    /// Splits `user+detail` at the first `separator`; an empty user is no split.
    pub fn split_detail(&self, separator: char) -> (&str, Option<&str>) {
        match self.local.split_once(separator) {
            Some((user, detail)) if !user.is_empty() => (user, Some(detail)),
            _ => (&self.local, None),
        }
    }

    /// The same mailbox host with another local part. The local part must be valid.
    pub fn with_local(&self, local: &str) -> Result<Address, AddressError> {
        check_local(local)?;
        Ok(Address { local: local.to_string(), domain: self.domain.clone() })
    }
}

/// Prints the address, quoting the local part where RFC 5321 §4.1.2 needs it.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_dot_string(&self.local) {
            f.write_str(&self.local)?;
            f.write_str("@")?;
            f.write_str(&self.domain)
        } else {
            let quoted = self.local.replace('\\', "\\\\").replace('"', "\\\"");
            write!(f, "\"{quoted}\"@{}", self.domain)
        }
    }
}

/// Prints a reverse path: `<>` for the null sender.
pub fn print_path(path: Option<&Address>) -> String {
    match path {
        Some(address) => in_angles(address),
        None => "<>".to_string(),
    }
}

/// `<address>`.
fn in_angles(address: &Address) -> String {
    use fmt::Write;
    let mut text = String::with_capacity(address.local.len() + address.domain.len() + 3);
    text.push('<');
    // Writing to a string can't fail.
    let _ = write!(text, "{address}");
    text.push('>');
    text
}

/// atext of RFC 5322 §3.2.3, with RFC 6531's UTF-8.
pub(crate) fn is_atext(c: char) -> bool {
    let is_sign = |c: char| {
        matches!(
            c,
            '!' | '#'..='\'' | '*' | '+' | '-' | '/' | '=' | '?' | '^' | '_' | '`' | '{'..='~'
        )
    };
    c.is_ascii_alphanumeric() || is_sign(c) || (!c.is_ascii() && !c.is_control())
}

fn is_dot_string(local: &str) -> bool {
    let mut last = '.';
    let is_good = |c: char| {
        let after = std::mem::replace(&mut last, c);
        if c == '.' { after != '.' } else { is_atext(c) }
    };
    local.chars().all(is_good) && last != '.'
}

fn check_local(local: &str) -> Result<(), AddressError> {
    let bad = local.is_empty() || local.len() > LOCAL_PART_LIMIT || local.chars().any(char::is_control);
    if bad { Err(AddressError::LocalPart) } else { Ok(()) }
}

/// Lower-case A-label form of a domain or address literal.
pub fn normal_domain(domain: &str) -> Result<String, AddressError> {
    if domain.starts_with('[') {
        return match literal(domain) {
            Some(IpAddr::V4(ip)) => Ok(format!("[{ip}]")),
            Some(IpAddr::V6(ip)) => Ok(format!("[IPv6:{ip}]")),
            None => Err(AddressError::Domain),
        };
    }
    if is_normal(domain) {
        return Ok(domain.to_string());
    }
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let ascii = if domain.is_ascii() {
        domain.to_ascii_lowercase()
    } else {
        idna::domain_to_ascii(domain).map_err(|_| AddressError::Domain)?
    };
    let is_label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            // The underscore is in real host names of mail, though RFC 5321's Domain has none.
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if ascii.is_empty() || ascii.len() > DOMAIN_LIMIT || !ascii.split('.').all(is_label) {
        return Err(AddressError::Domain);
    }
    Ok(ascii)
}

/// True for a host name that has its normal form already, as nearly all have.
fn is_normal(domain: &str) -> bool {
    let (mut length, mut last) = (0, b'.');
    for byte in domain.bytes() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'_' => length += 1,
            b'-' if length > 0 => length += 1,
            b'.' if length > 0 && last != b'-' => length = 0,
            _ => return false,
        }
        if length > 63 {
            return false;
        }
        last = byte;
    }
    length > 0 && last != b'-' && domain.len() <= DOMAIN_LIMIT
}

/// Address-literal of RFC 5321 §4.1.3.
fn literal(domain: &str) -> Option<IpAddr> {
    let inner = domain.strip_prefix('[')?.strip_suffix(']')?;
    match inner.get(..5) {
        Some(tag) if tag.eq_ignore_ascii_case("IPv6:") => inner[5..].parse().ok().map(IpAddr::V6),
        _ => inner.parse().ok().map(IpAddr::V4),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn atext_is_that_of_the_rfc_and_dots_stand_between_atoms() {
        let named = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
        assert!(('\0'..='\x7f').all(|c| is_atext(c) == named(c)));
        assert!(is_atext('é') && !is_atext('\u{85}'));
        for (local, is_good) in [
            ("a", true),
            ("a.b", true),
            ("", false),
            (".", false),
            (".a", false),
            ("a.", false),
            ("a..b", false),
            ("a b", false),
        ] {
            assert_eq!(is_dot_string(local), is_good, "{local}");
        }
    }

    #[test]
    fn a_normal_domain_is_one_that_stays_as_it_is() {
        let long = format!("{}.test", "a".repeat(64));
        let most = format!("{}.test", "a".repeat(63));
        let many = ["abcdefg."; 40].concat() + "test";
        for (domain, is_good) in [
            ("example.test", true),
            ("a", true),
            ("_dmarc.x-1.test", true),
            ("xn--bcher-kva.example", true),
            (most.as_str(), true),
            (long.as_str(), false),
            (many.as_str(), false),
            ("", false),
            (".", false),
            (".a", false),
            ("a..b", false),
            ("-a.b", false),
            ("a-.b", false),
            ("a.b-", false),
            ("a b", false),
            ("a/b", false),
        ] {
            assert_eq!(is_normal(domain), is_good, "{domain}");
            assert_eq!(normal_domain(domain).ok().as_deref() == Some(domain), is_good, "{domain}");
        }
        assert!(!is_normal("a.b.") && normal_domain("a.b.").as_deref() == Ok("a.b"));
        assert!(!is_normal("A.b") && normal_domain("A.b").as_deref() == Ok("a.b"));
    }

    #[test]
    fn parse_and_print_agree() {
        for (text, printed) in [
            ("alice@example.test", "alice@example.test"),
            ("Alice@EXAMPLE.Test.", "Alice@example.test"),
            ("\"a b\"@example.test", "\"a b\"@example.test"),
            ("\"plain\"@example.test", "plain@example.test"),
            ("\"q\\\"\\\\\"@example.test", "\"q\\\"\\\\\"@example.test"),
            ("a@[127.0.0.1]", "a@[127.0.0.1]"),
            ("a@[ipv6:::1]", "a@[IPv6:::1]"),
            ("用户@例子.test", "用户@xn--fsqu00a.test"),
            ("a%b@example.test", "a%b@example.test"),
        ] {
            let address = Address::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(address.to_string(), printed);
            assert_eq!(Address::parse(printed).unwrap(), address);
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "a",
            "a@",
            "@b",
            "a@b c",
            "a b@c",
            "a..b@c",
            ".a@c",
            "a.@c",
            "a@-b",
            "a@b..c",
            "a@[1.2.3]",
            "a@[::1]",
            "\"a@b",
            "a\"b\"@c",
            "\"\"@c",
            "a@b@c",
            "<a@b>",
            "a@b\r\n",
            "\"a\r\nb\"@c",
            "\"a\u{0}\"@c",
        ] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
        assert!(Address::parse(&format!("{}@c", "x".repeat(65))).is_err());
    }

    #[test]
    fn detail_is_split_once() {
        let split = |text: &str| {
            let a = Address::parse(text).unwrap();
            let (user, detail) = a.split_detail('+');
            (user.to_string(), detail.map(str::to_string))
        };
        assert_eq!(split("a+b+c@d.e"), ("a".into(), Some("b+c".into())));
        assert_eq!(split("a@d.e"), ("a".into(), None));
        assert_eq!(split("+b@d.e"), ("+b".into(), None));
    }
}
