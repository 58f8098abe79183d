//! Sections of a message, as FETCH names them: `BODY[2.1.MIME]`, `BODY[HEADER.FIELDS (To Cc)]`, `BODY[TEXT]`.
//!
//! Called by the IMAP machine, which parses the name, and by whoever reads the message for it: this file says which
//! ranges of the stored text a section is, and [`crate::dot::CrlfWindow`] gives them out in CRLF form.
//! Sections of the message itself ([`Section::is_top`]) need no structure: the header's end is enough.
//! RFC 9051 §6.4.5.1.

use super::header::{header_end, pieces};
use super::structure::{Part, Shape, Structure};
use std::collections::HashSet;
use std::ops::Range;

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// Everything: of the message header and body, of a part its body.
    Whole,
    /// The header of a message.
    Header,
    /// Those fields of a message's header.
    HeaderFields(Vec<String>),
    /// The fields of a message's header but those.
    HeaderFieldsNot(Vec<String>),
    /// The body of a message.
    Text,
    /// The header of a part.
    Mime,
}

/// A section: which part, and what of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Part numbers; empty for the message itself.
    pub path: Vec<u32>,
    /// What of the part.
    pub text: SectionText,
}

impl Section {
    /// True when [`locate_top`] can find it.
    pub fn is_top(&self) -> bool {
        self.path.is_empty()
    }
}

/// Finds what of the message itself a section text is; MIME is of parts only and finds nothing.
pub fn locate_top(text: &[u8], what: &SectionText) -> Option<Vec<Range<usize>>> {
    let end = header_end(text).unwrap_or(text.len());
    message(text, 0..end, end..text.len(), what)
}

/// Finds a section; `None` when the message has no such part, or the part no such text.
///
/// The ranges come in order; there may be none, which is an empty text.
pub fn locate(text: &[u8], structure: &Structure, section: &Section) -> Option<Vec<Range<usize>>> {
    if section.is_top() {
        return locate_top(text, &section.text);
    }
    let parts = structure.parts();
    let part: &Part = &parts[structure.find(&section.path)?];
    match section.text {
        SectionText::Whole => Some(Vec::from([part.body.clone()])),
        SectionText::Mime => Some(Vec::from([part.header.clone()])),
        _ if part.shape == Shape::Message => {
            let inner = &parts[part.first_child?];
            message(text, inner.header.clone(), inner.body.clone(), &section.text)
        }
        _ => None,
    }
}

fn message(text: &[u8], header: Range<usize>, body: Range<usize>, what: &SectionText) -> Option<Vec<Range<usize>>> {
    match what {
        SectionText::Header => Some(Vec::from([header])),
        SectionText::Text => Some(Vec::from([body])),
        SectionText::HeaderFields(names) => Some(filter(text, header, names, true)),
        SectionText::HeaderFieldsNot(names) => Some(filter(text, header, names, false)),
        SectionText::Whole => Some(std::iter::once(header.start..body.end).collect()),
        SectionText::Mime => None,
    }
}

/// The fields with these names, or those without, and the empty line behind the header when there is one.
fn filter(text: &[u8], header: Range<usize>, names: &[String], wanted: bool) -> Vec<Range<usize>> {
    let names: HashSet<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut put = |range: Range<usize>| match found.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => found.push(range),
    };
    let mut at = header.start;
    for piece in pieces(&text[header.clone()]) {
        let is_named = piece.field.is_some_and(|field| names.contains(&field.name.to_ascii_lowercase()));
        if is_named == wanted {
            put(at..at + piece.raw.len());
        }
        at += piece.raw.len();
    }
    put(at..header.end);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &str, path: &[u32], what: SectionText) -> Option<String> {
        let structure = Structure::of(text.as_bytes());
        let section = Section { path: path.to_vec(), text: what };
        let ranges = locate(text.as_bytes(), &structure, &section)?;
        assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
        Some(ranges.into_iter().map(|range| &text[range]).collect())
    }

    fn fields(names: &[&str]) -> SectionText {
        SectionText::HeaderFields(names.iter().map(|n| n.to_string()).collect())
    }

    fn fields_not(names: &[&str]) -> SectionText {
        SectionText::HeaderFieldsNot(names.iter().map(|n| n.to_string()).collect())
    }

    #[test]
    fn sections_of_the_message() {
        let text = "From: a\nTo: b\n c\nfrom: d\nno field\nX: y\n\nbody\n";
        for (what, expected) in [
            (SectionText::Whole, text),
            (SectionText::Header, "From: a\nTo: b\n c\nfrom: d\nno field\nX: y\n\n"),
            (SectionText::Text, "body\n"),
            (fields(&["FROM", "x", "x"]), "From: a\nfrom: d\nX: y\n\n"),
            (fields(&["to"]), "To: b\n c\n\n"),
            (fields(&["none"]), "\n"),
            (fields_not(&["from"]), "To: b\n c\nno field\nX: y\n\n"),
            (fields_not(&[]), "From: a\nTo: b\n c\nfrom: d\nno field\nX: y\n\n"),
        ] {
            assert_eq!(show(text, &[], what.clone()).as_deref(), Some(expected), "{what:?}");
        }
        assert_eq!(show(text, &[], SectionText::Mime), None);
        assert_eq!(show(text, &[1], SectionText::Whole).as_deref(), Some("body\n"));
        assert_eq!(show(text, &[1], SectionText::Header), None);
        // No body and no empty line: none is made up.
        assert_eq!(show("A: b\nC: d\n", &[], fields(&["a"])).as_deref(), Some("A: b\n"));
        assert_eq!(show("A: b\n", &[], SectionText::Text).as_deref(), Some(""));
        assert_eq!(show("A: b\r\nC: d\r\n\r\nx", &[], fields(&["c"])).as_deref(), Some("C: d\r\n\r\n"));
    }

    #[test]
    fn sections_of_parts() {
        let text = "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/x\n\none\n--b\n\
            Content-Type: message/rfc822\n\nSubject: s\nTo: t\n\ntwo\n--b--\n";
        for (path, what, expected) in [
            (&[1][..], SectionText::Whole, Some("one")),
            (&[1], SectionText::Mime, Some("Content-Type: text/x\n\n")),
            (&[1], SectionText::Text, None),
            (&[2], SectionText::Whole, Some("Subject: s\nTo: t\n\ntwo")),
            (&[2], SectionText::Mime, Some("Content-Type: message/rfc822\n\n")),
            (&[2], SectionText::Header, Some("Subject: s\nTo: t\n\n")),
            (&[2], SectionText::Text, Some("two")),
            (&[2], fields(&["subject"]), Some("Subject: s\n\n")),
            (&[2], fields_not(&["subject"]), Some("To: t\n\n")),
            (&[2, 1], SectionText::Whole, Some("two")),
            (&[2, 1], SectionText::Mime, Some("Subject: s\nTo: t\n\n")),
            (&[2, 1], SectionText::Header, None),
            (&[3], SectionText::Whole, None),
        ] {
            assert_eq!(show(text, path, what.clone()).as_deref(), expected, "{path:?} {what:?}");
        }
    }
}
