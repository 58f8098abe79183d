//! BER as LDAP uses it: one-octet tags, definite lengths, octet strings in one piece.
//!
//! Called by the rest of `ldap`. An element is its tag, the length of its content, and the content; what is nested is content of another
//! one. Reading goes from element to element by hand, never by itself into the depth.
//! Trust: what is read is hostile. A length counts only where so many octets are there.
//! RFC 4511 §5.1, X.690 §8.1.

use super::ServerError;

/// INTEGER.
pub const INTEGER: u8 = 0x02;
/// BOOLEAN.
pub const BOOLEAN: u8 = 0x01;
/// OCTET STRING.
pub const OCTETS: u8 = 0x04;
/// ENUMERATED.
pub const ENUMERATED: u8 = 0x0a;
/// SEQUENCE and SEQUENCE OF.
pub const SEQUENCE: u8 = 0x30;
/// SET OF.
pub const SET: u8 = 0x31;

/// Most octets of a length.
const LENGTH_OCTETS: usize = 4;

/// Appends an element.
pub fn put(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    let octets = content.len().to_be_bytes();
    match content.len() {
        short @ 0..0x80 => out.push(short as u8),
        _ => {
            let used = &octets[octets.iter().take_while(|octet| **octet == 0).count()..];
            out.push(0x80 | used.len() as u8);
            out.extend_from_slice(used);
        }
    }
    out.extend_from_slice(content);
}

/// Appends an element whose content `fill` writes.
pub fn put_nested(out: &mut Vec<u8>, tag: u8, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    fill(&mut content);
    put(out, tag, &content);
}

/// Appends a number that is not negative, in as few octets as its sign allows.
pub fn put_number(out: &mut Vec<u8>, tag: u8, number: u32) {
    let octets = i64::from(number).to_be_bytes();
    let needless = octets.windows(2).take_while(|pair| pair[0] == 0 && pair[1] < 0x80).count();
    put(out, tag, &octets[needless..]);
}

/// The number that the content of an INTEGER or ENUMERATED is.
pub fn number(content: &[u8]) -> Result<i64, ServerError> {
    let (&first, rest) = content.split_first().ok_or(ServerError("a number without octets"))?;
    if rest.len() > 7 {
        return Err(ServerError("a number that is too long"));
    }
    // The first octet has the sign.
    let start = i64::from(i8::from_be_bytes([first]));
    Ok(rest.iter().fold(start, |sum, octet| sum << 8 | i64::from(*octet)))
}

/// How long the element at the start of a text is, with its tag and length; `None` while that can't be known.
pub fn whole_length(text: &[u8]) -> Result<Option<usize>, ServerError> {
    Ok(head(text)?.and_then(|(_, start, length)| start.checked_add(length)))
}

/// Tag, start and length of the content.
fn head(text: &[u8]) -> Result<Option<(u8, usize, usize)>, ServerError> {
    let Some(&tag) = text.first() else { return Ok(None) };
    if tag & 0x1f == 0x1f {
        return Err(ServerError("a tag of several octets"));
    }
    match text.get(1).copied() {
        None => Ok(None),
        Some(short @ 0..0x80) => Ok(Some((tag, 2, usize::from(short)))),
        Some(0x80) => Err(ServerError("a length that is not told")),
        Some(long) => {
            let count = usize::from(long & 0x7f);
            if count > LENGTH_OCTETS {
                return Err(ServerError("a length of too many octets"));
            }
            let Some(octets) = text.get(2..2 + count) else { return Ok(None) };
            let length = octets.iter().fold(0, |sum: usize, octet| sum << 8 | usize::from(*octet));
            Ok(Some((tag, 2 + count, length)))
        }
    }
}

/// Elements one behind the other.
#[derive(Debug, Clone, Copy)]
pub struct Elements<'a> {
    rest: &'a [u8],
}

impl<'a> Elements<'a> {
    /// Those of a text, or of the content of an element.
    pub fn of(content: &'a [u8]) -> Elements<'a> {
        Elements { rest: content }
    }

    /// Tag and content of the next one, if there is one.
    pub fn next(&mut self) -> Result<Option<(u8, &'a [u8])>, ServerError> {
        const CUT: ServerError = ServerError("an element that is cut off");
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, start, length) = head(self.rest)?.ok_or(CUT)?;
        let end = start.checked_add(length).ok_or(CUT)?;
        let content = self.rest.get(start..end).ok_or(CUT)?;
        self.rest = self.rest.get(end..).unwrap_or_default();
        Ok(Some((tag, content)))
    }

    /// The content of the next one, which must have this tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], ServerError> {
        match self.next()? {
            Some((found, content)) if found == tag => Ok(content),
            _ => Err(ServerError("an element that has no place there")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_take_as_few_octets_as_they_can() {
        for (length, head) in [
            (0, &[4, 0][..]),
            (127, &[4, 127]),
            (128, &[4, 0x81, 128]),
            (256, &[4, 0x82, 1, 0]),
            (70_000, &[4, 0x83, 1, 0x11, 0x70]),
        ] {
            let mut out = Vec::new();
            put(&mut out, OCTETS, &vec![7; length]);
            assert_eq!(&out[..head.len()], head);
            assert_eq!(whole_length(&out), Ok(Some(out.len())));
            let mut elements = Elements::of(&out);
            assert_eq!(elements.expect(OCTETS).map(<[u8]>::len), Ok(length));
            assert_eq!(elements.next(), Ok(None));
        }
    }

    #[test]
    fn numbers_read_back() {
        for (value, octets) in [
            (0, &[0][..]),
            (1, &[1]),
            (127, &[127]),
            (128, &[0, 128]),
            (256, &[1, 0]),
            (u32::MAX, &[0, 255, 255, 255, 255]),
        ] {
            let mut out = Vec::new();
            put_number(&mut out, INTEGER, value);
            assert_eq!(&out[2..], octets);
            assert_eq!(number(&out[2..]), Ok(i64::from(value)));
        }
        assert_eq!(number(&[0xff]), Ok(-1));
        assert!(number(&[]).is_err() && number(&[1; 9]).is_err());
    }

    #[test]
    fn what_is_cut_off_or_has_no_end_is_no_element() {
        for (text, wanted) in [
            (&[][..], Ok(None)),
            (&[0x30], Ok(None)),
            (&[0x30, 0x82, 1], Ok(None)),
            (&[0x30, 0x84, 0, 0, 0, 2], Ok(Some(8))),
            (&[0x30, 0x80], Err(ServerError("a length that is not told"))),
            (&[0x30, 0x85, 0, 0, 0, 0, 2], Err(ServerError("a length of too many octets"))),
            (&[0x1f, 0], Err(ServerError("a tag of several octets"))),
        ] {
            assert_eq!(whole_length(text), wanted, "{text:?}");
        }
        for text in [&[4, 1][..], &[4, 0x84, 0xff, 0xff, 0xff, 0xff], &[4], &[0x3f, 0]] {
            assert!(Elements::of(text).next().is_err(), "{text:?}");
        }
        assert!(Elements::of(&[4, 0]).expect(INTEGER).is_err());
    }
}
