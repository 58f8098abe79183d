//! The message that a script looks at and may change.
//!
//! Called by the interpreter; made by `deliver` from the header alone when the script looks no further
//! ([`super::Script::reads_body`]). The original is borrowed and never changed: edits live in the list of fields, and in what stands
//! before and behind the original body (an `enclose` puts the whole message inside another). So a large body is never copied.
//! RFC 5228 §2.4.2.2, RFC 5293, RFC 5703 §6.

use super::outcome::Edition;
use super::parts::Parts;
use crate::dot;
use crate::msg::{self, words};
use encodify::{Fold, rfc2047};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;

/// A message has at most so many fields that a script sees or adds.
pub const FIELD_LIMIT: usize = msg::FIELD_LIMIT;

/// The envelope as `envelope` sees it.
#[derive(Debug, Clone, Default)]
pub struct Envelope {
    /// The reverse path; empty for the null one.
    pub from: String,
    /// The recipient that this delivery is for.
    pub to: String,
    /// Who had logged in to send it.
    pub auth: Option<String>,
}

/// A line or more of the header: a field, or something that is none and is kept.
#[derive(Debug, Clone)]
struct HeaderLine<'a> {
    name: Option<Cow<'a, str>>,
    raw: Cow<'a, [u8]>,
}

/// A message under way through a script.
#[derive(Debug)]
pub struct MessageView<'a> {
    /// From whom to whom.
    pub envelope: Envelope,
    size: u64,
    lines: Vec<HeaderLine<'a>>,
    /// What stands between the header and the original body: the empty line at least.
    between: Vec<u8>,
    original: &'a [u8],
    body: &'a [u8],
    tail: Vec<u8>,
    is_edited: bool,
    edition: Option<Arc<Edition>>,
    parts: Option<Rc<Parts<'a>>>,
}

impl<'a> MessageView<'a> {
    /// A view of a message, or of its header; `size` is that of the whole message, with CRLF line ends.
    pub fn new(text: &'a [u8], size: u64, envelope: Envelope) -> MessageView<'a> {
        let mut lines = Vec::new();
        let mut read = 0;
        for piece in msg::pieces(text) {
            read += piece.raw.len();
            let name = piece.field.map(|field| Cow::Borrowed(field.name));
            lines.push(HeaderLine { name, raw: Cow::Borrowed(piece.raw) });
        }
        let rest = text.get(read..).unwrap_or_default();
        let gap = if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
        let (between, body) = rest.split_at(gap);
        MessageView {
            envelope,
            size,
            lines,
            between: if between.is_empty() { b"\n".to_vec() } else { between.to_vec() },
            original: text,
            body,
            tail: Vec::new(),
            is_edited: false,
            edition: None,
            parts: None,
        }
    }

    /// Octets of the message as it is now, with CRLF line ends.
    pub fn size(&self) -> u64 {
        if !self.is_edited {
            return self.size;
        }
        let lines: u64 = self.lines.iter().map(|line| dot::crlf_size(&line.raw)).sum();
        let around = dot::crlf_size(&self.between) + dot::crlf_size(&self.tail);
        let before = self.original.len() - self.body.len();
        let body = self.size.saturating_sub(dot::crlf_size(self.original.get(..before).unwrap_or_default()));
        lines + around + body
    }

    /// Field bodies of this name, as they stand.
    pub fn bodies<'s>(&'s self, name: &'s str) -> impl DoubleEndedIterator<Item = &'s [u8]> {
        let fields = self.lines.iter().take(FIELD_LIMIT).filter(move |line| line.is(name));
        fields.map(HeaderLine::body)
    }

    /// The value of the first field of this name, decoded.
    pub fn value(&self, name: &str) -> Option<String> {
        self.bodies(name).next().map(decoded)
    }

    /// The header as it is now.
    pub fn header(&self) -> Vec<u8> {
        self.lines.iter().flat_map(|line| line.raw.iter().copied()).collect()
    }

    /// The message as it is now; `None` while it is the original.
    pub fn edition(&mut self) -> Option<Arc<Edition>> {
        if !self.is_edited {
            return None;
        }
        if self.edition.is_none() {
            let mut top = self.header();
            top.extend_from_slice(&self.between);
            self.edition = Some(Arc::new(Edition {
                top,
                body_at: self.original.len() - self.body.len(),
                tail: self.tail.clone(),
            }));
        }
        self.edition.clone()
    }

    /// Its MIME parts.
    pub fn parts(&mut self) -> Rc<Parts<'a>> {
        if self.parts.is_none() {
            let text = match self.edition() {
                None => Cow::Borrowed(self.original),
                Some(edition) => Cow::Owned([&edition.top, self.body, &edition.tail].concat()),
            };
            self.parts = Some(Rc::new(Parts::of(text)));
        }
        self.parts.clone().unwrap_or_default()
    }

    /// Adds a field, on top or as the last one. False when there are too many.
    pub fn add_field(&mut self, name: &str, value: &str, is_last: bool) -> bool {
        if self.lines.len() >= FIELD_LIMIT {
            return false;
        }
        let raw = field(name, value).into_bytes();
        let line = HeaderLine { name: Some(Cow::Owned(name.to_string())), raw: Cow::Owned(raw) };
        if is_last {
            // Text may have ended without a line end.
            if let Some(last) = self.lines.last_mut()
                && !last.raw.ends_with(b"\n")
            {
                last.raw.to_mut().push(b'\n');
            }
            self.lines.push(line);
        } else {
            self.lines.insert(0, line);
        }
        self.changed();
        true
    }

    /// Removes the fields of this name for which `chosen` says so; it is given each one's number, from 0, and its value.
    pub fn remove_fields(&mut self, name: &str, mut chosen: impl FnMut(usize, &str) -> bool) -> usize {
        let (mut number, before) = (0, self.lines.len());
        self.lines.retain(|line| {
            if !line.is(name) {
                return true;
            }
            number += 1;
            !chosen(number - 1, &decoded(line.body()))
        });
        let removed = before - self.lines.len();
        if removed > 0 {
            self.changed();
        }
        removed
    }

    /// Puts the message inside a new one, behind a text (RFC 5703 §6).
    pub fn enclose(&mut self, subject: Option<&str>, headers: &[String], text: &str, boundary: &str) {
        let mut top = String::new();
        // What delivery has put on top stays there, and who wrote to whom stays visible.
        let mut inner = self.header();
        inner.extend_from_slice(&self.between);
        let kept = |name: &str| {
            ["return-path", "delivered-to", "received", "from", "to", "cc", "date", "sender", "message-id"]
                .into_iter()
                .any(|known| known.eq_ignore_ascii_case(name) && !headers.iter().any(|h| starts_with_name(h, known)))
        };
        let mut outer: Vec<HeaderLine<'a>> =
            self.lines.iter().filter(|line| line.name.as_deref().is_some_and(kept)).cloned().collect();
        let original = self.value("subject");
        if let Some(subject) = subject.map(str::to_string).or(original) {
            top.push_str(&field("Subject", &subject));
        }
        for header in headers {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            top.push_str(&field(name.trim(), value.trim()));
        }
        top.push_str(&format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n"));
        for piece in msg::pieces(top.as_bytes()) {
            let name = piece.field.map(|field| Cow::Owned(field.name.to_string()));
            outer.push(HeaderLine { name, raw: Cow::Owned(piece.raw.to_vec()) });
        }
        let mut between = format!(
            "\n--{boundary}\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n{}\n\
             --{boundary}\nContent-Type: message/rfc822\n\n",
            text.trim_end_matches('\n')
        )
        .into_bytes();
        between.extend_from_slice(&inner);
        self.lines = outer;
        self.between = between;
        self.tail.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
        self.changed();
    }

    fn changed(&mut self) {
        self.is_edited = true;
        self.edition = None;
        self.parts = None;
    }
}

fn starts_with_name(header: &str, name: &str) -> bool {
    header.split(':').next().is_some_and(|found| found.trim().eq_ignore_ascii_case(name))
}

impl HeaderLine<'_> {
    fn is(&self, name: &str) -> bool {
        self.name.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(name))
    }

    fn body(&self) -> &[u8] {
        memchr::memchr(b':', &self.raw).and_then(|colon| self.raw.get(colon + 1..)).unwrap_or_default()
    }
}

/// A field body as text: decoded, unfolded, without blanks around (RFC 5228 §2.4.2.2).
pub fn decoded(body: &[u8]) -> String {
    let mut text = words::decode_text(body);
    let end = text.trim_end().len();
    text.truncate(end);
    let start = text.len() - text.trim_start().len();
    if start > 0 {
        text.drain(..start);
    }
    text
}

/// A field with this value, encoded where it must be and folded where it can be (RFC 5293 §4, RFC 2047 §5).
pub fn field(name: &str, value: &str) -> String {
    // Line ends in a value would be fields of their own.
    let value = value.split(['\r', '\n']).map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    if value.is_ascii() {
        let words: Vec<String> = value.split(' ').map(str::to_string).collect();
        return msg::fold(name, &words);
    }
    let mut column = name.len() + 2;
    let mut out = Vec::new();
    let fold = Fold { separator: b"\n ", ..Fold::HEADER };
    rfc2047::Q_TEXT.encode_words("utf-8", &value, &mut column, fold, &mut out);
    format!("{name}: {}\n", String::from_utf8_lossy(&out))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(text: &str) -> MessageView<'_> {
        MessageView::new(text.as_bytes(), text.len() as u64, Envelope::default())
    }

    fn text(view: &mut MessageView) -> String {
        let body = view.body;
        let edition = view.edition().unwrap();
        String::from_utf8([&edition.top, body, &edition.tail].concat()).unwrap()
    }

    #[test]
    fn fields_come_and_go_and_the_body_stays() {
        let mut view = view("From x\nA: 1\nB: 2\nA: 3\n\nbody\n");
        assert!(view.edition().is_none());
        assert!(view.add_field("C", "é\nD: x", false) && view.add_field("E", "5", true));
        assert_eq!(view.remove_fields("a", |_, value| value == "3"), 1);
        assert_eq!(text(&mut view), "C: =?utf-8?Q?=C3=A9_D:_x?=\nFrom x\nA: 1\nB: 2\nE: 5\n\nbody\n");
        assert_eq!(view.value("c").as_deref(), Some("é D: x"));
    }

    #[test]
    fn an_enclosed_message_is_a_part_with_all_it_had() {
        let mut view = view("From: a@b.test\nSubject: s\nX: y\n\nbody\n");
        view.enclose(Some("new"), &["X-Why: because".to_string()], "see below\n", "==b");
        let parts = view.parts();
        let kinds: Vec<&str> = parts.list.iter().map(|part| part.kind.as_str()).collect();
        assert_eq!(kinds, ["multipart/mixed", "text/plain", "message/rfc822", "text/plain"]);
        assert_eq!(view.value("subject").as_deref(), Some("new"));
        assert!(text(&mut view).contains("\n\nFrom: a@b.test\nSubject: s\nX: y\n\nbody\n\n--==b--\n"));
    }
}
