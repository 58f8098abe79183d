//! Search filters: the text of RFC 4515 becomes what a search request holds.
//!
//! Called by `route` with the filter of a map, its key filled in by [`escape`]: whatever a key holds, it stays one value.
//! Taken beyond the RFC, as the usual library takes it: blanks between filters, one filter without its brackets, and the escapes of old
//! (`\*`). Trust: keys are hostile, and so are filters that a directory's entries hold; nesting has a limit.
//! RFC 4511 §4.5.1.7, RFC 4515 §3.

use super::ber::{self, put, put_nested};

/// How deep filters may stand in each other.
const NESTING_LIMIT: usize = 32;
/// Longest filter, in octets.
const LENGTH_LIMIT: usize = 64 << 10;

const AND: u8 = 0xa0;
const OR: u8 = 0xa1;
const NOT: u8 = 0xa2;
const EQUAL: u8 = 0xa3;
const SUBSTRINGS: u8 = 0xa4;
const AT_LEAST: u8 = 0xa5;
const AT_MOST: u8 = 0xa6;
const PRESENT: u8 = 0x87;
const LIKE: u8 = 0xa8;
const EXTENSIBLE: u8 = 0xa9;

/// A text is no filter; why.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FilterError(pub &'static str);

/// A filter as it stands in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<u8>);

impl Filter {
    /// Reads a filter's text.
    pub fn read(text: &[u8]) -> Result<Filter, FilterError> {
        if text.len() > LENGTH_LIMIT {
            return Err(FilterError("too long"));
        }
        let mut parser = Parser { rest: text.trim_ascii() };
        let mut out = Vec::new();
        match parser.rest.first() {
            Some(b'(') => parser.filter(&mut out, NESTING_LIMIT)?,
            Some(_) => item(std::mem::take(&mut parser.rest), &mut out)?,
            None => return Err(FilterError("empty")),
        }
        if parser.rest.is_empty() { Ok(Filter(out)) } else { Err(FilterError("something stands behind it")) }
    }

    /// Every entry.
    pub fn all() -> Filter {
        let mut out = Vec::new();
        put(&mut out, PRESENT, b"objectClass");
        Filter(out)
    }

    /// The element of the request.
    pub(super) fn octets(&self) -> &[u8] {
        &self.0
    }
}

/// Appends a text so that it is a value and nothing else (RFC 4515 §3).
pub fn escape(value: &[u8], out: &mut Vec<u8>) {
    for &octet in value {
        match octet {
            b'*' | b'(' | b')' | b'\\' | 0 => out.extend(format!("\\{octet:02x}").into_bytes()),
            _ => out.push(octet),
        }
    }
}

struct Parser<'a> {
    rest: &'a [u8],
}

impl Parser<'_> {
    fn take(&mut self, octet: u8) -> bool {
        self.rest = self.rest.trim_ascii_start();
        let rest = self.rest.strip_prefix(&[octet]);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    /// `filter`, with its brackets.
    fn filter(&mut self, out: &mut Vec<u8>, depth: usize) -> Result<(), FilterError> {
        if depth == 0 {
            return Err(FilterError("nested too deep"));
        }
        if !self.take(b'(') {
            return Err(FilterError("an opening bracket is missing"));
        }
        let tag =
            [(b'&', AND), (b'|', OR), (b'!', NOT)].into_iter().find(|(sign, _)| self.take(*sign)).map(|(_, tag)| tag);
        match tag {
            None => {
                let end = self.rest.iter().position(|b| matches!(b, b'(' | b')'));
                let end = end.ok_or(FilterError("a closing bracket is missing"))?;
                let (text, rest) = self.rest.split_at(end);
                self.rest = rest;
                item(text, out)?;
            }
            Some(tag) => {
                let mut inner = Vec::new();
                let mut count = 0;
                self.rest = self.rest.trim_ascii_start();
                while self.rest.first() == Some(&b'(') {
                    self.filter(&mut inner, depth - 1)?;
                    count += 1;
                    self.rest = self.rest.trim_ascii_start();
                }
                // RFC 4511 §4.5.1: at least one; RFC 4526 allows none for & and |.
                if tag == NOT && count != 1 {
                    return Err(FilterError("! takes one filter"));
                }
                put(out, tag, &inner);
            }
        }
        if self.take(b')') { Ok(()) } else { Err(FilterError("a closing bracket is missing")) }
    }
}

/// `item`: an attribute, a sign, a value.
fn item(text: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
    let sign = text.iter().position(|b| *b == b'=').ok_or(FilterError("no = in it"))?;
    let (left, value) = (&text[..sign], &text[sign + 1..]);
    let (left, tag) = match left.split_last() {
        Some((b'~', left)) => (left, LIKE),
        Some((b'>', left)) => (left, AT_LEAST),
        Some((b'<', left)) => (left, AT_MOST),
        Some((b':', left)) => return extensible(left, value, out),
        _ => (left, EQUAL),
    };
    let attribute = left.trim_ascii();
    if !is_name(attribute) {
        return Err(FilterError("no attribute before the sign"));
    }
    match tag {
        EQUAL if value == b"*" => put(out, PRESENT, attribute),
        EQUAL if value.contains(&b'*') && !only_escaped_stars(value) => return substrings(attribute, value, out),
        _ => {
            let value = unescaped(value)?;
            put_nested(out, tag, |out| {
                put(out, ber::OCTETS, attribute);
                put(out, ber::OCTETS, &value);
            });
        }
    }
    Ok(())
}

/// Stars that are escaped as of old (`\*`) stand for themselves.
fn only_escaped_stars(value: &[u8]) -> bool {
    pieces(value).len() == 1
}

/// A value cut at its stars.
fn pieces(value: &[u8]) -> Vec<&[u8]> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while at < value.len() {
        match value[at] {
            b'\\' => at += 1,
            b'*' => {
                pieces.push(&value[start..at]);
                start = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    pieces.push(&value[start..]);
    pieces
}

fn substrings(attribute: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
    const INITIAL: u8 = 0x80;
    const ANY: u8 = 0x81;
    const FINAL: u8 = 0x82;
    let pieces = pieces(value);
    let last = pieces.len() - 1;
    let mut inner = Vec::new();
    for (number, piece) in pieces.into_iter().enumerate().filter(|(_, piece)| !piece.is_empty()) {
        let tag = if number == 0 {
            INITIAL
        } else if number == last {
            FINAL
        } else {
            ANY
        };
        put(&mut inner, tag, &unescaped(piece)?);
    }
    match inner.is_empty() {
        true => put(out, PRESENT, attribute),
        false => put_nested(out, SUBSTRINGS, |out| {
            put(out, ber::OCTETS, attribute);
            put(out, ber::SEQUENCE, &inner);
        }),
    }
    Ok(())
}

/// `attr:dn:rule:=value`, where most may be missing.
fn extensible(left: &[u8], value: &[u8], out: &mut Vec<u8>) -> Result<(), FilterError> {
    const RULE: u8 = 0x81;
    const TYPE: u8 = 0x82;
    const VALUE: u8 = 0x83;
    const NAMES: u8 = 0x84;
    let mut words = left.split(|b| *b == b':');
    let attribute = words.next().unwrap_or_default().trim_ascii();
    let mut words: Vec<&[u8]> = words.collect();
    let names = words.first().is_some_and(|word| word.eq_ignore_ascii_case(b"dn"));
    if names {
        words.remove(0);
    }
    let rule = match words[..] {
        [] => None,
        [rule] if is_name(rule) => Some(rule),
        _ => return Err(FilterError("no matching rule before :=")),
    };
    if !(is_name(attribute) || attribute.is_empty() && rule.is_some()) {
        return Err(FilterError("no attribute before the sign"));
    }
    let value = unescaped(value)?;
    put_nested(out, EXTENSIBLE, |out| {
        if let Some(rule) = rule {
            put(out, RULE, rule);
        }
        if !attribute.is_empty() {
            put(out, TYPE, attribute);
        }
        put(out, VALUE, &value);
        if names {
            put(out, NAMES, &[0xff]);
        }
    });
    Ok(())
}

/// An attribute or a rule: a word or an OID, with options (RFC 4512 §2.5).
fn is_name(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|b| b.is_ascii_alphanumeric() || b"-._;".contains(b))
}

/// A value without its escapes.
fn unescaped(value: &[u8]) -> Result<Vec<u8>, FilterError> {
    let mut out = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some((&octet, after)) = rest.split_first() {
        rest = after;
        if octet != b'\\' {
            out.push(octet);
            continue;
        }
        let digits = after.get(..2).and_then(|pair| std::str::from_utf8(pair).ok());
        let digits = digits.filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()));
        match (digits.and_then(|pair| u8::from_str_radix(pair, 16).ok()), after.first()) {
            (Some(octet), _) => {
                out.push(octet);
                rest = &after[2..];
            }
            (None, Some(sign @ (b'*' | b'(' | b')' | b'\\'))) => {
                out.push(*sign);
                rest = &after[1..];
            }
            _ => return Err(FilterError("a backslash without two digits behind it")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Result<String, FilterError> {
        let octets = Filter::read(text.as_bytes())?.0;
        // Texts are shown as they are.
        let shown = |octet: &u8| match octet {
            b'a'..=b'z' | b'A'..=b'Z' | b'@' | b'*' | b'(' | b')' | b'.' | b'\\' => char::from(*octet).to_string(),
            _ => format!("<{octet:x}>"),
        };
        Ok(octets.iter().map(shown).collect())
    }

    #[test]
    fn filters_become_elements() {
        for (text, wanted) in [
            ("(uid=al)", "<a3><9><4><3>uid<4><2>al"),
            ("uid=al", "<a3><9><4><3>uid<4><2>al"),
            ("(uid=*)", "<87><3>uid"),
            ("(uid=**)", "<87><3>uid"),
            ("(uid~=al)", "<a8><9><4><3>uid<4><2>al"),
            ("(uid>=al)", "<a5><9><4><3>uid<4><2>al"),
            ("(uid<=al)", "<a6><9><4><3>uid<4><2>al"),
            ("(&(a=b)(!(c=d)))", "<a0><12><a3><6><4><1>a<4><1>b<a2><8><a3><6><4><1>c<4><1>d"),
            ("( | (a=b) (c=d) )", "<a1><10><a3><6><4><1>a<4><1>b<a3><6><4><1>c<4><1>d"),
            ("(&)", "<a0><0>"),
            ("(a=x*y*z)", "<a4><e><4><1>a<30><9><80><1>x<81><1>y<82><1>z"),
            ("(a=*y*)", "<a4><8><4><1>a<30><3><81><1>y"),
            ("(a=x\\2a)", "<a3><7><4><1>a<4><2>x*"),
            ("(a=\\28\\29\\5c)", "<a3><8><4><1>a<4><3>()\\"),
            ("(a=\\*)", "<a3><6><4><1>a<4><1>*"),
            ("(a=)", "<a3><5><4><1>a<4><0>"),
            ("(a:dn:r.:=x)", "<a9><d><81><2>r.<82><1>a<83><1>x<84><1><ff>"),
            ("(:r:=x)", "<a9><6><81><1>r<83><1>x"),
        ] {
            assert_eq!(hex(text).as_deref(), Ok(wanted), "{text}");
        }
        assert_eq!(Filter::all(), Filter::read(b"(objectClass=*)").unwrap());
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        let deep = format!("{}(a=b){}", "(!".repeat(40), ")".repeat(40));
        for text in [
            "",
            "(",
            ")",
            "()",
            "(uid=x",
            "uid",
            "(uid=x))",
            "(uid=x)(a=b)",
            "(=x)",
            "(a b=x)",
            "(!(a=b)(c=d))",
            "(!)",
            "(a=(b)",
            "(a=\\2)",
            "(a=\\zz)",
            "(:=x)",
            "(a:b:c:=x)",
            "(&(a=b)",
            &deep,
        ] {
            assert!(Filter::read(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Filter::read(&vec![b'('; 100_000]).is_err());
    }

    proptest::proptest! {
        #[test]
        fn a_key_is_one_value_whatever_it_holds(key in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let mut text = b"(a=".to_vec();
            escape(&key, &mut text);
            text.push(b')');
            let mut wanted = Vec::new();
            put_nested(&mut wanted, EQUAL, |out| {
                put(out, ber::OCTETS, b"a");
                put(out, ber::OCTETS, &key);
            });
            proptest::prop_assert_eq!(Filter::read(&text), Ok(Filter(wanted)));
        }
    }
}
