//! The MIME parts of a message as scripts see them.
//!
//! Made by [`super::MessageView::parts`] when a script first asks for a body or a part.
//! RFC 5173, RFC 5703.

use crate::msg::structure::{Part, Shape, Structure};
use crate::msg::transfer::Transfer;
use crate::msg::{charset, html};
use std::borrow::Cow;
use std::ops::Range;

/// So much of a body is looked at, in stored octets: what a run may take is bounded, and words that tell a message stand early.
pub const WINDOW: usize = 2 << 20;

/// One part.
#[derive(Debug, Clone)]
pub struct PartView {
    /// The part around it.
    pub parent: Option<usize>,
    /// `text/plain`, in lower case.
    pub kind: String,
    shape: Shape,
    header: Range<usize>,
    body: Range<usize>,
    encoding: Transfer,
    charset: Vec<u8>,
}

/// All parts, a part before those inside it.
#[derive(Debug, Clone, Default)]
pub struct Parts<'a> {
    text: Cow<'a, [u8]>,
    /// The message itself comes first.
    pub list: Vec<PartView>,
}

impl<'a> Parts<'a> {
    /// Finds the parts of a message.
    pub fn of(text: Cow<'a, [u8]>) -> Parts<'a> {
        let list = Structure::of(&text).parts().iter().map(view).collect();
        Parts { text, list }
    }

    /// The header of a part.
    pub fn header(&self, part: usize) -> &[u8] {
        self.list.get(part).and_then(|part| self.text.get(part.header.clone())).unwrap_or_default()
    }

    /// The parts inside a part, at any depth.
    pub fn inside(&self, part: usize) -> impl Iterator<Item = usize> {
        // A part stands before those inside it, so its own end where one begins that belongs further out.
        let is_inside =
            move |at: &usize| self.list.get(*at).and_then(|p| p.parent).is_some_and(|parent| parent >= part);
        (part + 1..self.list.len()).take_while(is_inside)
    }

    /// True when there is one at all: an empty line ends the header.
    pub fn has_body(&self) -> bool {
        crate::msg::header_end(&self.text).is_some()
    }

    /// The whole body, undecoded.
    pub fn raw_body(&self) -> Cow<'_, str> {
        let body = self.list.first().and_then(|top| self.text.get(top.body.clone())).unwrap_or_default();
        String::from_utf8_lossy(window(body))
    }

    /// The decoded text of a part: of a leaf its content, of a message its header, of a multipart what stands around its
    /// parts (RFC 5173 §5.2).
    pub fn content(&self, at: usize) -> String {
        let Some(part) = self.list.get(at) else { return String::new() };
        match part.shape {
            Shape::Leaf => {
                let body = window(self.text.get(part.body.clone()).unwrap_or_default());
                let mut out = String::new();
                charset::decode(&part.charset, &part.encoding.decode(body), &mut out);
                out
            }
            Shape::Message => String::from_utf8_lossy(self.header(at + 1)).into_owned(),
            Shape::Multipart => {
                let mut children = self.list.iter().filter(|child| child.parent == Some(at));
                let first = children.next();
                let last = children.next_back().or(first);
                let before = first.map_or(part.body.end, |child| child.header.start);
                let behind = last.map_or(part.body.end, |child| child.body.end);
                let piece = |range: Range<usize>| String::from_utf8_lossy(self.text.get(range).unwrap_or_default());
                format!("{}{}", piece(part.body.start..before), piece(behind..part.body.end))
            }
        }
    }

    /// The text of a text part as a reader sees it; HTML is without its tags.
    pub fn readable(&self, at: usize) -> Option<String> {
        let is_html = |kind: &str| matches!(kind, "text/html" | "application/xhtml+xml");
        let is_text = |part: &&PartView| part.kind.starts_with("text/") || is_html(&part.kind);
        let part = self.list.get(at).filter(|part| part.shape == Shape::Leaf).filter(is_text)?;
        let content = self.content(at);
        Some(if is_html(&part.kind) { html::text(&content) } else { content })
    }
}

/// The beginning of a body, in whole lines where it has any.
fn window(body: &[u8]) -> &[u8] {
    match body.get(..WINDOW) {
        None => body,
        Some(start) => memchr::memrchr(b'\n', start).and_then(|lf| start.get(..=lf)).unwrap_or(start),
    }
}

fn view(part: &Part) -> PartView {
    let word = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    PartView {
        parent: part.parent,
        kind: format!("{}/{}", word(part.media.kind), word(part.media.subtype)),
        shape: part.shape,
        header: part.header.clone(),
        body: part.body.clone(),
        encoding: Transfer::of(part.content.encoding),
        charset: part.media.parameter("charset").unwrap_or_default().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_inside_a_part_ends_with_it() {
        let inner = "--b\nContent-Type: multipart/mixed; boundary=c\n\n--c\n\nx\n--c\n\ny\n--c--\n";
        let text = format!("Content-Type: multipart/mixed; boundary=b\n\n{inner}--b\n\nz\n--b--\n");
        let parts = Parts::of(Cow::Borrowed(text.as_bytes()));
        let inside = |part: usize| parts.inside(part).collect::<Vec<_>>();
        assert_eq!((inside(0), inside(1), inside(2), inside(4)), (vec![1, 2, 3, 4], vec![2, 3], vec![], vec![]));
        assert_eq!((parts.content(4).trim(), parts.content(3).trim()), ("z", "y"));
    }

    #[test]
    fn a_large_body_is_looked_at_from_its_beginning() {
        let text = format!("\n{}end", "line\n".repeat(WINDOW / 4));
        let parts = Parts::of(Cow::Borrowed(text.as_bytes()));
        assert!(parts.raw_body().len() <= WINDOW && parts.raw_body().ends_with("line\n"));
        assert!(parts.content(0).len() <= WINDOW && !parts.content(0).contains("end"));
    }
}
