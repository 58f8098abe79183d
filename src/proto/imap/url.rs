//! URLs of messages and their parts, relative to the account: what CATENATE takes (RFC 4469 §3, RFC 5092 §7).

use super::command::MailboxName;
use super::item::Section;
use crate::mailbox::{Uid, UidValidity};

/// Longest URL read, in octets.
pub(super) const LIMIT: usize = 4096;

/// A message, or a part of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageUrl {
    /// Its mailbox; `None` for the selected one.
    pub mailbox: Option<MailboxName>,
    /// The generation of identifiers that is meant.
    pub uid_validity: Option<UidValidity>,
    /// The message.
    pub uid: Uid,
    /// Its part; the whole when empty.
    pub section: Section,
    /// First octet, and number of octets.
    pub partial: Option<(u64, u64)>,
}

impl MessageUrl {
    /// Reads `/INBOX;UIDVALIDITY=1/;UID=20/;SECTION=1.2`. `None` for what is no such URL, or leads to another server.
    pub fn parse(url: &str) -> Option<MessageUrl> {
        if url.len() > LIMIT || url.starts_with("//") {
            return None;
        }
        let (path, message) = split(url, ";UID=")?;
        let (mailbox, uid_validity) = match path {
            // Relative to the selected mailbox.
            "" => (None, None),
            path => {
                let path = path.strip_suffix('/')?;
                let path = path.strip_prefix('/').unwrap_or(path);
                let (name, validity) = match split(path, ";UIDVALIDITY=") {
                    Some((name, validity)) => (name, Some(UidValidity::new(number(validity)?)?)),
                    None => (path, None),
                };
                // A scheme, or a parameter that we don't know.
                if name.is_empty() || name.contains([';', ':']) {
                    return None;
                }
                (Some(MailboxName::new(&decode(name)?)?), validity)
            }
        };
        let mut parts = message.split("/;");
        let uid = Uid::new(number(parts.next()?)?)?;
        let (mut section, mut partial) = (None, None);
        for part in parts {
            let (name, value) = part.split_once('=')?;
            match name.to_ascii_uppercase().as_str() {
                "SECTION" if section.is_none() && partial.is_none() => section = Some(Section::parse(&decode(value)?)?),
                "PARTIAL" if partial.is_none() => {
                    partial = Some(match value.split_once('.') {
                        Some((from, count)) => (number(from)?, Some(number(count)?).filter(|count| *count > 0)?),
                        None => (number(value)?, u64::MAX),
                    });
                }
                _ => return None,
            }
        }
        Some(MessageUrl { mailbox, uid_validity, uid, section: section.unwrap_or_default(), partial })
    }
}

/// What stands before and behind the first `mark`, in any case.
pub(super) fn split<'a>(text: &'a str, mark: &str) -> Option<(&'a str, &'a str)> {
    let at = text.as_bytes().windows(mark.len()).position(|part| part.eq_ignore_ascii_case(mark.as_bytes()))?;
    Some((text.get(..at)?, text.get(at + mark.len()..)?))
}

fn number<N: std::str::FromStr>(text: &str) -> Option<N> {
    crate::proto::digits(text)
}

/// `%41` is `A`; the octets are UTF-8 (RFC 5092 §3).
pub(super) fn decode(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'%' => {
                let (digits, tail) = rest.split_at_checked(2)?;
                let digits = std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                octets.push(u8::from_str_radix(digits, 16).ok()?);
                rest = tail;
            }
            octet => octets.push(*octet),
        }
    }
    String::from_utf8(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_messages() {
        let shown = |url: &str| match MessageUrl::parse(url) {
            Some(url) => format!(
                "{} {:?} {} [{}] {:?}",
                url.mailbox.as_ref().map_or("-", |name| name.as_str()),
                url.uid_validity.map(UidValidity::number),
                url.uid,
                url.section,
                url.partial
            ),
            None => "none".to_string(),
        };
        for (url, expected) in [
            ("/INBOX;UIDVALIDITY=785799047/;UID=113330;SECTION=1.5.9", "none"),
            ("/INBOX;UIDVALIDITY=785799047/;UID=113330/;SECTION=1.5.9", "INBOX Some(785799047) 113330 [1.5.9] None"),
            ("/Drafts/;uid=20/;section=HEADER", "Drafts None 20 [HEADER] None"),
            ("/a%20b/%E6%97%A5/;UID=1", "a b/日 None 1 [] None"),
            (";UID=7/;SECTION=TEXT/;PARTIAL=3.4", "- None 7 [TEXT] Some((3, 4))"),
            (";UID=7/;PARTIAL=3", "- None 7 [] Some((3, 18446744073709551615))"),
            ("x/;UID=7/;SECTION=1.HEADER.FIELDS%20(to)", "x None 7 [1.HEADER.FIELDS (to)] None"),
            ("imap://x/INBOX/;UID=1", "none"),
            ("//x/INBOX/;UID=1", "none"),
            ("/INBOX;UID=1", "none"),
            ("/;UID=1", "none"),
            ("/INBOX/;UID=0", "none"),
            ("/INBOX/;UID=1/;SECTION=x", "none"),
            ("/INBOX/;UID=1/;PARTIAL=1.0", "none"),
            ("/INBOX/;UID=1/;PARTIAL=1.2/;SECTION=1", "none"),
            ("/IN%4/;UID=1", "none"),
            ("/IN%FF/;UID=1", "none"),
            ("/a%0Ab/;UID=1", "none"),
            ("", "none"),
        ] {
            assert_eq!(shown(url), expected, "{url}");
        }
    }
}
