//! The one line splitter: every protocol, table and spool file is cut into lines here.
//!
//! Called by the protocol machines (`proto`), the stores' text formats and the SMTP client.
//! Invariant: the events never depend on how the input was cut into pieces.
//! Memory: nothing is kept while no line is open; a partial line is kept up to `limit`, so an idle
//! connection costs no buffer and a hostile one costs no more than the limit.
//! Trust: input is hostile. How a line ended is reported, never repaired: whether a bare LF ends a
//! command is each protocol's own decision (RFC 5321 §2.3.8 says no).

use memchr::memchr;

/// How a line was terminated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// CR LF.
    CrLf,
    /// LF alone.
    Lf,
}

/// What one call of [`LineSplitter::feed`] found.
#[derive(Debug, PartialEq, Eq)]
pub enum LineEvent<'a> {
    /// A whole line, without its ending.
    Line(&'a [u8], Ending),
    /// All input was taken and the line is not complete yet.
    More,
    /// A line longer than the limit ended here; its text was dropped.
    TooLong,
}

/// Cuts a byte stream into lines of at most `limit` bytes (ending not counted).
#[derive(Debug)]
pub struct LineSplitter {
    limit: usize,
    partial: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Collecting,
    /// `partial` was handed out; it is released at the next call.
    HandedOut,
    /// The line is over its limit; everything up to the next LF is dropped.
    Skipping,
}

impl LineSplitter {
    /// Makes a splitter whose lines hold at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        LineSplitter { limit, partial: Vec::new(), state: State::Collecting }
    }

    /// Changes the limit from the next byte on (IMAP and SASL need other limits than commands).
    pub fn limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// True when a partial line is held.
    pub fn is_inside_line(&self) -> bool {
        match self.state {
            State::Collecting => !self.partial.is_empty(),
            State::HandedOut => false,
            State::Skipping => true,
        }
    }

    /// Consumes input up to and including the next LF.
    ///
    /// Returns how many input bytes were taken; offer the rest again.
    pub fn feed<'a>(&'a mut self, input: &'a [u8]) -> (usize, LineEvent<'a>) {
        if self.state == State::HandedOut {
            self.partial = Vec::new();
            self.state = State::Collecting;
        }
        let Some(lf) = memchr(b'\n', input) else {
            self.keep(input);
            return (input.len(), LineEvent::More);
        };
        let taken = lf + 1;
        if self.state == State::Skipping {
            self.state = State::Collecting;
            return (taken, LineEvent::TooLong);
        }
        if self.partial.is_empty() {
            let (text, ending) = cut_ending(&input[..lf]);
            if text.len() > self.limit {
                return (taken, LineEvent::TooLong);
            }
            return (taken, LineEvent::Line(text, ending));
        }
        self.partial.extend_from_slice(&input[..lf]);
        let (length, ending) = {
            let (text, ending) = cut_ending(&self.partial);
            (text.len(), ending)
        };
        if length > self.limit {
            self.partial = Vec::new();
            return (taken, LineEvent::TooLong);
        }
        self.state = State::HandedOut;
        (taken, LineEvent::Line(&self.partial[..length], ending))
    }

    fn keep(&mut self, input: &[u8]) {
        if self.state == State::Skipping {
            return;
        }
        // One byte more than the limit may still be the CR of an ending.
        if self.partial.len() + input.len() > self.limit + 1 {
            self.partial = Vec::new();
            self.state = State::Skipping;
        } else {
            self.partial.extend_from_slice(input);
        }
    }
}

fn cut_ending(line: &[u8]) -> (&[u8], Ending) {
    match line.split_last() {
        Some((b'\r', text)) => (text, Ending::CrLf),
        _ => (line, Ending::Lf),
    }
}

/// Iterates over the lines of text held in memory; the last line needs no ending.
pub fn lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let (line, after) = match memchr(b'\n', rest) {
            Some(lf) => (&rest[..lf], &rest[lf + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        rest = after;
        Some(cut_ending(line).0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(limit: usize, input: &[u8], step: usize) -> Vec<String> {
        let mut splitter = LineSplitter::new(limit);
        let mut found = Vec::new();
        for piece in input.chunks(step) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (taken, event) = splitter.feed(rest);
                match event {
                    LineEvent::Line(text, ending) => {
                        found.push(format!("{:?} {}", ending, String::from_utf8_lossy(text)))
                    }
                    LineEvent::TooLong => found.push("too long".into()),
                    LineEvent::More => {}
                }
                rest = &rest[taken..];
            }
        }
        found
    }

    #[test]
    fn lines_do_not_depend_on_the_pieces() {
        let input = b"one\r\ntwo\n\r\n\nthree\rx\r\n12345678\r\n123456789\r\nend";
        let whole = all(8, input, input.len());
        assert_eq!(whole, ["CrLf one", "Lf two", "CrLf ", "Lf ", "CrLf three\rx", "CrLf 12345678", "too long"]);
        for step in 1..input.len() {
            assert_eq!(all(8, input, step), whole, "step {step}");
        }
    }

    #[test]
    fn a_long_line_costs_no_memory() {
        let mut splitter = LineSplitter::new(10);
        for _ in 0..1000 {
            splitter.feed(&[b'x'; 1000]);
        }
        assert!(splitter.partial.capacity() == 0);
        assert_eq!(splitter.feed(b"\nok\r\n"), (1, LineEvent::TooLong));
        assert_eq!(splitter.feed(b"ok\r\n"), (4, LineEvent::Line(b"ok", Ending::CrLf)));
    }
}
