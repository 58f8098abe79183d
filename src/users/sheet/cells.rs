//! Where the cells of a row lie in the text: for the places in messages, and to find quotes that are wrong.
//!
//! The values come from the csv crate, which takes any text somehow: an open quote would swallow the rest of the file.

use std::ops::Range;

/// Where a cell ends: behind the last of its bytes, and what stands there.
struct End {
    at: usize,
    ends_row: bool,
    /// A quote that is not closed, or something behind the closing one.
    wrong: Option<(Range<usize>, &'static str)>,
}

fn end_of(bytes: &[u8], start: usize, separator: u8) -> End {
    let is_end = |b: u8| b == separator || b == b'\n' || b == b'\r';
    let mut at = start;
    let mut wrong = None;
    if bytes.get(start) == Some(&b'"') {
        at += 1;
        loop {
            match memchr::memchr(b'"', bytes.get(at..).unwrap_or_default()) {
                None => {
                    let wrong = Some((start..start + 1, "this quote is not closed"));
                    return End { at: bytes.len(), ends_row: true, wrong };
                }
                Some(i) if bytes.get(at + i + 1) == Some(&b'"') => at += i + 2,
                Some(i) => {
                    at += i + 1;
                    break;
                }
            }
        }
        if bytes.get(at).is_some_and(|b| !is_end(*b)) {
            wrong = Some((at - 1..at, "text behind the closing quote"));
        }
    }
    while bytes.get(at).is_some_and(|b| !is_end(*b)) {
        at += 1;
    }
    End { at, ends_row: bytes.get(at) != Some(&separator), wrong }
}

/// The cells of the row that begins at `start`, with their quotes.
pub(super) fn cells_of(text: &str, start: usize, separator: u8) -> impl Iterator<Item = Range<usize>> {
    let mut next = Some(start);
    std::iter::from_fn(move || {
        let start = next?;
        let end = end_of(text.as_bytes(), start, separator);
        next = (!end.ends_row).then_some(end.at + 1);
        Some(start..end.at)
    })
}

/// The first quote from `start` on that RFC 4180 §2 does not allow.
pub(super) fn loose_quote(text: &str, start: usize, separator: u8) -> Option<(Range<usize>, &'static str)> {
    let mut at = start;
    while at < text.len() {
        let end = end_of(text.as_bytes(), at, separator);
        if end.wrong.is_some() {
            return end.wrong;
        }
        at = end.at + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_quotes() {
        let text = "a,\"b,\n\"\"c\",,d\r\nx";
        let cells: Vec<&str> = cells_of(text, 0, b',').map(|span| &text[span]).collect();
        assert_eq!(cells, ["a", "\"b,\n\"\"c\"", "", "d"]);
        assert_eq!(loose_quote(text, 0, b','), None);
        assert_eq!(loose_quote("a,\"b\nc", 0, b',').unwrap().0, 2..3);
        assert_eq!(loose_quote("a,\"b\"c,d", 0, b',').unwrap().0, 4..5);
        assert_eq!(loose_quote("a,b\"c\"", 0, b','), None, "a quote inside is a quote");
    }
}
