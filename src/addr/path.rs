//! Paths of MAIL and RCPT: `<local@domain>`, `<>`, `<Postmaster>` (RFC 5321 §4.1.2).

use super::{Address, AddressError, PATH_LIMIT, is_atext};
use std::borrow::Cow;

/// Reads a whole reverse path or forward path; `None` is the null path `<>`.
///
/// `<Postmaster>` without a domain (RFC 5321 §4.1.1.3) is completed with `postmaster_domain`.
pub fn parse_path(text: &str, postmaster_domain: &str) -> Result<Option<Address>, AddressError> {
    match parse_path_prefix(text, postmaster_domain)? {
        (path, "") => Ok(path),
        _ => Err(AddressError::Syntax),
    }
}

/// Reads a path at the start of `text`; returns the rest, which holds the ESMTP parameters.
pub fn parse_path_prefix<'a>(
    text: &'a str,
    postmaster_domain: &str,
) -> Result<(Option<Address>, &'a str), AddressError> {
    let inner = text.strip_prefix('<').ok_or(AddressError::Syntax)?;
    if let Some(rest) = inner.strip_prefix('>') {
        return Ok((None, rest));
    }
    let inner = skip_source_route(inner)?;
    if let Some(word) = inner.get(..11)
        && word.eq_ignore_ascii_case("postmaster>")
    {
        return Ok((Some(Address::new(&word[..10], postmaster_domain)?), &inner[11..]));
    }
    let (address, rest) = parse_mailbox(inner)?;
    let rest = rest.strip_prefix('>').ok_or(AddressError::Syntax)?;
    if text.len() - rest.len() > PATH_LIMIT {
        return Err(AddressError::Syntax);
    }
    Ok((Some(address), rest))
}

/// A-d-l of RFC 5321 §4.1.2: accepted, checked, ignored.
fn skip_source_route(text: &str) -> Result<&str, AddressError> {
    if !text.starts_with('@') {
        return Ok(text);
    }
    let (route, rest) = text.split_once(':').ok_or(AddressError::Syntax)?;
    for hop in route.split(',') {
        let domain = hop.strip_prefix('@').ok_or(AddressError::Syntax)?;
        super::normal_domain(domain)?;
    }
    Ok(rest)
}

/// Mailbox = Local-part "@" ( Domain / address-literal ); returns what follows it.
pub(super) fn parse_mailbox(text: &str) -> Result<(Address, &str), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    let (local, rest) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (local, rest) = quoted_string(quoted)?;
            (Cow::Owned(local), rest)
        }
        None => {
            let end = text.find(|c| !is_atext(c) && c != '.').unwrap_or(text.len());
            let local = &text[..end];
            if local.split('.').any(str::is_empty) {
                return Err(AddressError::LocalPart);
            }
            (Cow::Borrowed(local), &text[end..])
        }
    };
    let after_at = match rest.strip_prefix('@') {
        Some(after) => after,
        None if rest.is_empty() || rest.starts_with('>') => return Err(AddressError::NoDomain),
        None => return Err(AddressError::Syntax),
    };
    let end = match after_at.strip_prefix('[') {
        Some(inner) => inner.find(']').ok_or(AddressError::Domain)? + 2,
        None => {
            let is_domain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') || !c.is_ascii();
            after_at.find(|c| !is_domain(c)).unwrap_or(after_at.len())
        }
    };
    let address = Address::new(&local, &after_at[..end])?;
    Ok((address, &after_at[end..]))
}

/// Quoted-string after its opening quote (RFC 5321 §4.1.2): the unquoted text and what follows.
pub(super) fn quoted_string(text: &str) -> Result<(String, &str), AddressError> {
    let mut unquoted = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Ok((unquoted, &text[i + 1..])),
            '\\' => match chars.next() {
                Some((_, escaped)) if !escaped.is_control() => unquoted.push(escaped),
                _ => return Err(AddressError::Syntax),
            },
            c if c.is_control() => return Err(AddressError::Syntax),
            c => unquoted.push(c),
        }
    }
    Err(AddressError::Syntax)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let parse = |text| parse_path_prefix(text, "here.test").map(|(a, rest)| (a.map(|a| a.to_string()), rest));
        assert_eq!(parse("<>"), Ok((None, "")));
        assert_eq!(parse("<> SIZE=1"), Ok((None, " SIZE=1")));
        assert_eq!(parse("<a@b.c> BODY=8BITMIME"), Ok((Some("a@b.c".into()), " BODY=8BITMIME")));
        assert_eq!(parse("<@x.y,@z.w:a@b.c>"), Ok((Some("a@b.c".into()), "")));
        assert_eq!(parse("<PostMaster>"), Ok((Some("PostMaster@here.test".into()), "")));
        assert_eq!(parse("<\"a>b\"@c.d>"), Ok((Some("\"a>b\"@c.d".into()), "")));
        for bad in [
            "",
            "a@b",
            "<a@b",
            "<a@b",
            "<a>",
            "<a@b c>",
            "<@x:>",
            "<@x a@b>",
            "< a@b>",
            "<a@b> >x".trim_end_matches("x"),
        ] {
            assert!(parse_path(bad, "here.test").is_err(), "{bad}");
        }
    }
}
