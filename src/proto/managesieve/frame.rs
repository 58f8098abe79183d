//! Where a command ends: lines, and the literals between them (RFC 5804 §4).
//!
//! A command is cut into pieces before anything of it is understood. A literal stands at the end of a line, outside of quotes; the
//! octets behind it are counted, never looked at. What is too large to keep is counted all the same, so that the next command is found.
//! Memory: a literal's buffer grows with what has come, not with what was announced.

use crate::line::{LineEvent, LineSplitter};

/// Longest line: room for a SASL message in base64, and for two names.
const LINE_LIMIT: usize = 16 << 10;
/// Most literals of a command; none needs more than two.
const LITERALS: usize = 4;

/// A part of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// What stands in a line, without `{n+}` and the line end.
    Text(Vec<u8>),
    /// What was announced by `{n+}`.
    Literal(Vec<u8>),
    /// A literal that was too large to keep; its octets have gone by.
    TooLarge,
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// Nothing whole yet.
    More,
    /// A whole command.
    Command(Vec<Part>),
    /// Nothing behind this can be trusted to be a command.
    Lost(&'static str),
}

#[derive(Debug)]
enum Mode {
    Line,
    /// So many octets are still to come.
    Literal(u64),
    Skip(u64),
}

/// What may be kept of a command, and how much more may go by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allowance {
    /// Most octets of all literals that are kept.
    pub(super) keep: u64,
    /// Most octets of a literal that is not.
    pub(super) skip: u64,
}

/// A command that is coming in.
#[derive(Debug)]
pub(super) struct Frame {
    lines: LineSplitter,
    mode: Mode,
    parts: Vec<Part>,
    literals: usize,
    kept: u64,
}

impl Frame {
    pub(super) fn new() -> Frame {
        Frame { lines: LineSplitter::new(LINE_LIMIT), mode: Mode::Line, parts: Vec::new(), literals: 0, kept: 0 }
    }

    /// Takes input up to the end of a line or a literal. Gives how much was taken.
    pub(super) fn feed(&mut self, input: &[u8], allowance: Allowance) -> (usize, Event) {
        let (Mode::Literal(left) | Mode::Skip(left)) = &mut self.mode else { return self.line(input, allowance) };
        let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        *left -= taken as u64;
        let is_over = *left == 0;
        if let (Mode::Literal(_), Some(Part::Literal(text))) = (&self.mode, self.parts.last_mut()) {
            text.extend_from_slice(&input[..taken]);
        }
        if is_over {
            self.mode = Mode::Line;
        }
        (taken, Event::More)
    }

    fn line(&mut self, input: &[u8], allowance: Allowance) -> (usize, Event) {
        let (taken, event) = self.lines.feed(input);
        // A line that ends with LF alone is one too: people type commands.
        let LineEvent::Line(line, _) = event else {
            let is_more = event == LineEvent::More;
            // Its end is lost, and with it whether a literal follows.
            return (taken, if is_more { Event::More } else { Event::Lost("the line is too long") });
        };
        let (text, size) = split(line);
        if !text.is_empty() {
            self.parts.push(Part::Text(text.to_vec()));
        }
        let event = match size {
            None => {
                (self.literals, self.kept) = (0, 0);
                Event::Command(std::mem::take(&mut self.parts))
            }
            Some(size) => self.announce(size, allowance),
        };
        (taken, event)
    }

    fn announce(&mut self, size: Option<u64>, allowance: Allowance) -> Event {
        self.literals += 1;
        let Some(size) = size.filter(|_| self.literals <= LITERALS) else {
            return Event::Lost("the literal is too large, or there are too many of them");
        };
        if self.kept.saturating_add(size) <= allowance.keep {
            self.kept += size;
            self.parts.push(Part::Literal(Vec::new()));
            self.mode = Mode::Literal(size);
        } else if size <= allowance.skip {
            self.parts.push(Part::TooLarge);
            self.mode = Mode::Skip(size);
        } else {
            return Event::Lost("the literal is too large");
        }
        Event::More
    }
}

/// Cuts the announcement of a literal off a line. Its size is `Some(None)` when it is no 32-bit number.
///
/// `{n}`, which only a server may send, is taken too: some clients write it and wait for nothing.
fn split(line: &[u8]) -> (&[u8], Option<Option<u64>>) {
    let nothing = (line, None);
    let Some(open) = unquoted_brace(line) else { return nothing };
    let (text, rest) = line.split_at(open);
    let Some(inner) = rest.strip_prefix(b"{").and_then(|rest| rest.strip_suffix(b"}")) else { return nothing };
    let digits = inner.strip_suffix(b"+").unwrap_or(inner);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return nothing;
    }
    let size = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<u32>().ok());
    (text, Some(size.map(u64::from)))
}

/// Where the first `{` outside of quotes is: no word of a command may have one.
fn unquoted_brace(line: &[u8]) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    line.iter().position(|byte| {
        let was_escaped = is_escaped;
        is_escaped = is_quoted && !was_escaped && *byte == b'\\';
        is_quoted ^= *byte == b'"' && !was_escaped;
        *byte == b'{' && !is_quoted
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance = Allowance { keep: 10, skip: 20 };

    #[test]
    fn announcements_are_cut_off() {
        for (line, text, size) in [
            (&b"NOOP"[..], &b"NOOP"[..], None),
            (b"NOOP {5+}", b"NOOP ", Some(Some(5))),
            (b"NOOP {5}", b"NOOP ", Some(Some(5))),
            (b"PUTSCRIPT \"a{\\\"{\" {0+}", b"PUTSCRIPT \"a{\\\"{\" ", Some(Some(0))),
            (b"{4294967295+}", b"", Some(Some(u64::from(u32::MAX)))),
            (b"{4294967296+}", b"", Some(None)),
            (b"PUTSCRIPT \"unterminated {7+}", b"PUTSCRIPT \"unterminated {7+}", None),
            (b"\"\\\\\" {1+}", b"\"\\\\\" ", Some(Some(1))),
            (b"a {+}", b"a {+}", None),
            (b"a {x+}", b"a {x+}", None),
            (b"a {1+} ", b"a {1+} ", None),
            (b"a {1+} {2+}", b"a {1+} {2+}", None),
            (b"}", b"}", None),
            (b"{", b"{", None),
            (b"", b"", None),
        ] {
            assert_eq!(split(line), (text, size), "{}", String::from_utf8_lossy(line));
        }
    }

    fn all(input: &[u8], step: usize) -> Vec<Event> {
        let mut frame = Frame::new();
        let mut events = Vec::new();
        for piece in input.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (taken, event) = frame.feed(rest, ALLOWANCE);
                rest = &rest[taken..];
                if event != Event::More {
                    events.push(event);
                }
            }
        }
        events
    }

    #[test]
    fn commands_are_the_same_however_they_are_cut() {
        let text = |text: &str| Part::Text(text.as_bytes().to_vec());
        let literal = |text: &str| Part::Literal(text.as_bytes().to_vec());
        let input = b"A\r\nB {3+}\r\n\r\nC {2+}\r\nxy\nD {11+}\r\n01234567890 {0+}\r\n\r\n\r\nE {21+}\r\n";
        for step in [1, 2, 3, 7, 1000] {
            let wanted = vec![
                Event::Command(vec![text("A")]),
                Event::Command(vec![text("B "), literal("\r\nC"), text(" "), literal("xy")]),
                Event::Command(vec![text("D "), Part::TooLarge, text(" "), literal("")]),
                Event::Command(vec![]),
                Event::Lost("the literal is too large"),
            ];
            assert_eq!(all(input, step), wanted, "{step}");
        }
    }

    #[test]
    fn what_can_not_be_followed_is_lost() {
        let many = "{1+}\r\nx".repeat(5);
        let long = "x".repeat(LINE_LIMIT + 1) + "\r\n";
        for input in [many.as_str(), "{4294967296+}\r\n", long.as_str()] {
            assert!(matches!(all(input.as_bytes(), 1000).last(), Some(Event::Lost(_))));
        }
    }
}
