//! The MIME structure of a message: which parts it has, where they stand in the stored text, and how large they are on the wire.
//!
//! Called by the printers of BODYSTRUCTURE, by FETCH for its sections and by SEARCH for texts. The text is a message as it is
//! stored: LF line ends as a rule, CRLF and mixtures as well; a bare CR is a byte like any other. Sizes are those of the CRLF form.
//! The parts come as a flat list in the order of the text, a part before its children; there is no recursion.
//!
//! Rules, where messages disagree with the grammar:
//! * A delimiter stands at the start of a line, alone but for blanks behind it. One of an enclosing multipart ends all inner ones
//!   (RFC 2046 §5.1.2). The line end before it is its own: no part's body holds it. Behind a close-delimiter comes an epilogue
//!   in which the boundary means nothing any more.
//! * A multipart without boundary, or without any delimiter behind its header, is a leaf and shows as text/plain. So a multipart
//!   that really is encoded (RFC 2045 §6.4 forbids it) is a leaf, and one that only claims to be is read.
//! * A header ends at its empty line, at a delimiter of an open multipart, or, in a part, at the part's own first delimiter.
//! * An encoded message/rfc822 is a leaf unless it starts with a header field in clear; message/global may be
//!   encoded (RFC 6532 §3.7) and is then a leaf.
//! * Below [`DEPTH_LIMIT`], and from part [`PART_LIMIT`] on, whatever comes is one leaf.
//!
//! Invariants: ranges are inside the text and inside the parent's body, siblings follow each other without overlap. Time is linear in
//! the text: at most [`DEPTH_LIMIT`] boundaries are open at once, and only lines that start with `--` are compared with them.
//! RFC 2045, RFC 2046, RFC 6532.

use super::content::{Content, Media};
use super::header::is_field_start;
use crate::dot;
use std::borrow::Cow;
use std::ops::Range;

/// Parts nest at most so deep; the message itself is the first level.
pub const DEPTH_LIMIT: usize = 64;
/// A message has at most so many parts; the last of them holds the rest of the text.
pub const PART_LIMIT: usize = 10_000;

/// What a part is to IMAP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// It has no parts; its media type may be any, also an encoded or too deep message.
    Leaf,
    /// It has one or more parts.
    Multipart,
    /// It is a message whose header and body are its one child.
    Message,
}

/// One part.
#[derive(Debug, Clone)]
pub struct Part<'a> {
    /// The part that holds this one; `None` for the message itself.
    pub parent: Option<usize>,
    /// The first part inside.
    pub first_child: Option<usize>,
    /// The next part of the same parent.
    pub next: Option<usize>,
    /// Leaf, multipart or message.
    pub shape: Shape,
    /// Where its header stands, with the empty line behind it when there is one.
    pub header: Range<usize>,
    /// Where its body stands.
    pub body: Range<usize>,
    /// Octets of the body in CRLF form.
    pub octets: u64,
    /// Line ends in the body.
    pub lines: u64,
    /// Its media type, with defaults filled in.
    pub media: Media<'a>,
    /// The other Content fields; `content.media` has moved to `media`.
    pub content: Content<'a>,
}

/// The parts of a message. There is always a first one: the message itself.
#[derive(Debug, Clone)]
pub struct Structure<'a> {
    parts: Vec<Part<'a>>,
}

impl<'a> Structure<'a> {
    /// Reads the structure of a message.
    pub fn of(text: &'a [u8]) -> Structure<'a> {
        let mut scanner = Scanner { text, at: 0, mark: Mark::default(), parts: Vec::new(), open: Vec::new() };
        scanner.run();
        Structure { parts: scanner.parts }
    }

    /// All parts, in the order of the text.
    pub fn parts(&self) -> &[Part<'a>] {
        &self.parts
    }

    /// The message itself.
    pub fn root(&self) -> &Part<'a> {
        &self.parts[0]
    }

    /// The parts directly inside a part.
    pub fn children(&self, part: usize) -> impl Iterator<Item = usize> {
        std::iter::successors(self.parts[part].first_child, |child| self.parts[*child].next)
    }

    /// The part that an IMAP part number names (RFC 9051 §6.4.5.1); the empty path is the message itself.
    ///
    /// The one part of a message that is no multipart has the number 1, also in a message inside a part.
    pub fn find(&self, path: &[u32]) -> Option<usize> {
        let mut at = 0;
        for (level, number) in path.iter().enumerate() {
            let mut is_message = level == 0;
            if level > 0 && self.parts[at].shape == Shape::Message {
                at = self.parts[at].first_child?;
                is_message = true;
            }
            if self.parts[at].shape == Shape::Multipart {
                at = self.children(at).nth(usize::try_from(number.checked_sub(1)?).ok()?)?;
            } else if !is_message || *number != 1 {
                return None;
            }
        }
        Some(at)
    }
}

/// A place in the text, and what the text before it amounts to on the wire.
#[derive(Debug, Clone, Copy, Default)]
struct Mark {
    at: usize,
    octets: u64,
    lines: u64,
}

/// A part whose end is not found yet.
struct Open<'a> {
    part: usize,
    last_child: Option<usize>,
    /// `None` for leaves and messages, and in the epilogue.
    boundary: Option<Cow<'a, [u8]>>,
    body: Mark,
}

/// A line that separates parts.
struct Delimiter {
    /// Index into `Scanner::open`.
    owner: usize,
    closes: bool,
    /// Where the line starts and where the next one does.
    line: Range<usize>,
}

struct Scanner<'a> {
    text: &'a [u8],
    /// Always at the start of a line, or at the end.
    at: usize,
    /// The last place counted to; it only moves forward, so each byte is counted once.
    mark: Mark,
    parts: Vec<Part<'a>>,
    open: Vec<Open<'a>>,
}

impl<'a> Scanner<'a> {
    fn run(&mut self) {
        loop {
            let start = self.at;
            let cut = self.pass_header();
            let header_end = self.at;
            let mut found = match self.begin(start..header_end, cut.is_some()) {
                Shape::Message => continue,
                _ if self.parts.len() == PART_LIMIT => None,
                // What cut the header stands behind a delimiter of the part's own.
                _ if self.at < header_end => self.next_delimiter(),
                _ => cut.or_else(|| self.next_delimiter()),
            };
            // Delimiters up to one that begins a part.
            loop {
                let Some(delimiter) = found else {
                    let end = self.mark_at(self.text.len());
                    self.close(0, end);
                    return;
                };
                let end = self.mark_before_line(delimiter.line.start);
                self.close(delimiter.owner + 1, end);
                self.at = delimiter.line.end;
                if !delimiter.closes {
                    break;
                }
                self.open[delimiter.owner].boundary = None;
                found = self.next_delimiter();
            }
        }
    }

    /// Moves behind the header that starts here; a delimiter in it ends it.
    fn pass_header(&mut self) -> Option<Delimiter> {
        let has_boundary = self.open.iter().any(|open| open.boundary.is_some());
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            if has_boundary && let Some(delimiter) = self.delimiter(self.at) {
                return Some(delimiter);
            }
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
            self.at += end;
            if matches!(&rest[..end], b"\n" | b"\r\n") {
                return None;
            }
        }
        None
    }

    /// Adds the part of this header below the innermost open one and opens it. `is_cut`: it has no body.
    ///
    /// When a part's own delimiter stands in its header, the header ends there and the scanner goes back to it: at most once
    /// for each level, since siblings stop each other's headers.
    fn begin(&mut self, mut header: Range<usize>, is_cut: bool) -> Shape {
        let mut content = Content::read(&self.text[header.clone()]);
        let parent = self.open.last().map(|open| open.part);
        let in_digest = parent
            .is_some_and(|p| self.parts[p].shape == Shape::Multipart && self.parts[p].media.is("multipart", "digest"));
        // RFC 2046 §5.1.5
        let media = content.media.take().unwrap_or(if in_digest { Media::MESSAGE } else { Media::PLAIN });
        let part = self.parts.len();
        let has_room = self.open.len() + 1 < DEPTH_LIMIT && part + 1 < PART_LIMIT;
        let mut boundary = None;
        let mut shape = Shape::Leaf;
        if media.is_kind("multipart") {
            shape = Shape::Multipart;
            boundary = boundary_of(&media).filter(|_| has_room);
            let own = boundary.as_ref().filter(|_| parent.is_some());
            if let Some(end) = own.and_then(|own| own_delimiter(&self.text[header.clone()], own)) {
                header.end = header.start + end;
                self.at = header.end;
                content = Content::read(&self.text[header.clone()]);
                content.media = None;
            } else if is_cut {
                boundary = None;
            }
        } else if has_room && !is_cut && is_open_message(&media, &content, &self.text[header.end..]) {
            shape = Shape::Message;
        }
        let body = self.mark_at(header.end);
        match self.open.last_mut() {
            Some(Open { last_child: Some(last), .. }) => {
                self.parts[*last].next = Some(part);
                *last = part;
            }
            Some(open) => {
                self.parts[open.part].first_child = Some(part);
                open.last_child = Some(part);
            }
            None => {}
        }
        self.parts.push(Part {
            parent,
            first_child: None,
            next: None,
            shape,
            body: header.end..header.end,
            header,
            octets: 0,
            lines: 0,
            media,
            content,
        });
        self.open.push(Open { part, last_child: None, boundary, body });
        shape
    }

    /// The next line that separates parts, looked for from here on.
    fn next_delimiter(&mut self) -> Option<Delimiter> {
        if self.open.iter().all(|open| open.boundary.is_none()) {
            return None;
        }
        let mut line = self.at;
        loop {
            if let Some(delimiter) = self.delimiter(line) {
                return Some(delimiter);
            }
            // From the line end before this line on, so that the next line is found as well when this one is empty.
            line += memchr::memmem::find(&self.text[line..], b"\n--")? + 1;
        }
    }

    /// delimiter or close-delimiter of RFC 2046 §5.1.1, in the line that starts here.
    fn delimiter(&self, start: usize) -> Option<Delimiter> {
        let rest = self.text[start..].strip_prefix(b"--")?;
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |lf| lf + 1);
        let word = rest[..end].trim_ascii_end();
        let closing = word.strip_suffix(b"--");
        for (owner, open) in self.open.iter().enumerate().rev() {
            let Some(boundary) = &open.boundary else { continue };
            let closes = closing == Some(boundary.as_ref());
            if closes || word == boundary.as_ref() {
                return Some(Delimiter { owner, closes, line: start..start + 2 + end });
            }
        }
        None
    }

    /// Closes the open parts from the given depth on: their bodies end here.
    fn close(&mut self, from: usize, end: Mark) {
        for open in self.open.drain(from..) {
            let part = &mut self.parts[open.part];
            // The line end that belongs to the delimiter may be the one that ended the header.
            part.header = part.header.start.min(end.at)..part.header.end.min(end.at);
            part.body = open.body.at.min(end.at)..end.at;
            part.octets = end.octets.saturating_sub(open.body.octets);
            part.lines = end.lines.saturating_sub(open.body.lines);
            if part.shape == Shape::Multipart && part.first_child.is_none() {
                part.shape = Shape::Leaf;
                part.media = Media::PLAIN;
            }
        }
    }

    /// Counts up to a start of a line or the end of the text.
    fn mark_at(&mut self, at: usize) -> Mark {
        let passed = &self.text[self.mark.at..at];
        self.mark.octets += dot::crlf_size(passed);
        self.mark.lines += memchr::memchr_iter(b'\n', passed).count() as u64;
        self.mark.at = at;
        self.mark
    }

    /// The place before the line end that precedes a line.
    fn mark_before_line(&mut self, line: usize) -> Mark {
        let mark = self.mark_at(line);
        let ending = match &self.text[..line] {
            [.., b'\r', b'\n'] => 2,
            [.., b'\n'] => 1,
            _ => return mark,
        };
        Mark { at: line - ending, octets: mark.octets - 2, lines: mark.lines - 1 }
    }
}

/// The boundary that a multipart's type names; blanks cannot end it (RFC 2046 §5.1.1).
fn boundary_of<'a>(media: &Media<'a>) -> Option<Cow<'a, [u8]>> {
    let parameter = media.parameters.iter().find(|p| p.name.eq_ignore_ascii_case(b"boundary"))?;
    let boundary = match &parameter.value {
        Cow::Borrowed(value) => Cow::Borrowed(value.trim_ascii_end()),
        Cow::Owned(value) => Cow::Owned(value.trim_ascii_end().to_vec()),
    };
    Some(boundary).filter(|b| !b.is_empty())
}

/// Where in a header a delimiter of the part itself starts.
fn own_delimiter(header: &[u8], boundary: &[u8]) -> Option<usize> {
    let is_it = |line: &usize| {
        let rest = &header[line + 2..];
        let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        rest[..end].trim_ascii_end() == boundary
    };
    memchr::memmem::find_iter(header, b"\n--").map(|at| at + 1).find(is_it)
}

fn is_open_message(media: &Media, content: &Content, body: &[u8]) -> bool {
    let is_global = media.is("message", "global");
    if !is_global && !media.is("message", "rfc822") {
        return false;
    }
    let first_line = &body[..memchr::memchr(b'\n', body).unwrap_or(body.len())];
    !content.is_encoded() || (!is_global && is_field_start(first_line))
}

#[cfg(test)]
mod tests;
