//! The lines of a message as a mailer of a sendmail.cf wants them: L=, E=, and the flags E, X and 7.
//!
//! Called by `agent`. Text has LF line ends here; [`Lines`] reads it and gives it out anew. Nothing is held but one line, and of a long
//! line no more than a piece.
//! Invariant: the output never depends on how the input was cut into pieces.

use std::io::{self, Read};

/// Octets read at once.
const PIECE: usize = 64 << 10;

/// What is done to lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// Longest line, in octets, without its end; 0 for no limit. A longer one is cut, with `!` at the end of each piece.
    pub(super) limit: usize,
    /// The line end.
    pub(super) end: Vec<u8>,
    /// A dot at the start of a line is doubled.
    pub(super) stuffs_dots: bool,
    /// `>` stands before `From ` at the start of a line of the body.
    pub(super) escapes_from: bool,
    /// The eighth bit is taken off.
    pub(super) seven_bit: bool,
    /// It is taken off in the header.
    pub(super) seven_bit_header: bool,
    /// A body that does not end with an empty line gets one.
    pub(super) ends_blank: bool,
}

/// A text in that shape.
pub(super) struct Lines<R> {
    inner: R,
    shape: Shape,
    /// Octets of the header that are still to come: `From ` is a word like any other there.
    header: usize,
    pending: Vec<u8>,
    at: usize,
    /// Octets in the current line so far.
    column: usize,
    /// The start of a line that may become `From `.
    start: Vec<u8>,
    /// The last whole line was an empty one, or is the header's.
    is_blank: bool,
    is_over: bool,
}

impl<R: Read> Lines<R> {
    /// Reads `inner`, whose first `header` octets are the header.
    pub(super) fn new(inner: R, shape: Shape, header: usize) -> Lines<R> {
        Lines {
            inner,
            shape,
            header,
            pending: Vec::new(),
            at: 0,
            column: 0,
            start: Vec::new(),
            is_blank: true,
            is_over: false,
        }
    }

    fn take(&mut self, byte: u8) {
        let in_header = self.header > 0;
        self.header = self.header.saturating_sub(1);
        let strips = self.shape.seven_bit || self.shape.seven_bit_header && in_header;
        let byte = if strips { byte & 0x7f } else { byte };
        if byte == b'\n' {
            self.release(false);
            self.is_blank = self.column == 0 || in_header;
            self.pending.extend_from_slice(&self.shape.end);
            self.column = 0;
            return;
        }
        const FROM: &[u8] = b"From ";
        let may_be_from = self.shape.escapes_from && !in_header && self.column == self.start.len();
        if may_be_from && FROM.get(self.start.len()) == Some(&byte) {
            self.start.push(byte);
            self.column += 1;
            if self.start == FROM {
                self.release(true);
            }
            return;
        }
        self.release(false);
        self.put(byte);
    }

    /// Lets the start of a line go.
    fn release(&mut self, is_from: bool) {
        if self.start.is_empty() {
            return;
        }
        let start = std::mem::take(&mut self.start);
        self.column -= start.len();
        if is_from {
            self.put(b'>');
        }
        start.into_iter().for_each(|byte| self.put(byte));
    }

    /// The empty line that some mailers want at the end.
    fn finish(&mut self) {
        let is_open = self.column > 0;
        if self.shape.ends_blank && (is_open || !self.is_blank) {
            let ends = if is_open { 2 } else { 1 };
            (0..ends).for_each(|_| self.pending.extend_from_slice(&self.shape.end));
        }
    }

    fn put(&mut self, byte: u8) {
        // The mark and the end take their place in the limit, as with sendmail.
        if self.shape.limit > 1 && self.column >= self.shape.limit - 1 {
            self.pending.push(b'!');
            self.pending.extend_from_slice(&self.shape.end);
            self.column = 0;
            // What goes on is no field of its own, and no dot that ends the text.
            if self.header > 0 {
                self.pending.push(b' ');
                self.column = 1;
            }
        }
        if self.column == 0 && byte == b'.' && self.shape.stuffs_dots {
            self.pending.push(b'.');
        }
        self.pending.push(byte);
        self.column += 1;
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at >= self.pending.len() && !self.is_over {
            self.pending.clear();
            self.at = 0;
            let mut piece = vec![0; PIECE];
            let n = self.inner.read(&mut piece)?;
            if n == 0 {
                self.is_over = true;
                self.release(false);
                self.finish();
            }
            piece[..n].iter().for_each(|byte| self.take(*byte));
        }
        let ready = &self.pending[self.at.min(self.pending.len())..];
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.at += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct ByByte<'a>(&'a [u8]);

    impl Read for ByByte<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.0.len().min(1).min(buffer.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    fn shaped(text: &str, shape: &Shape, header: usize) -> String {
        let read = |inner: &mut dyn Read| {
            let mut out = Vec::new();
            Lines::new(inner, shape.clone(), header).read_to_end(&mut out).unwrap();
            String::from_utf8_lossy(&out).into_owned()
        };
        let whole = read(&mut text.as_bytes());
        assert_eq!(read(&mut ByByte(text.as_bytes())), whole);
        whole
    }

    #[test]
    fn lines_take_their_shape_however_they_come() {
        let plain = Shape { end: b"\n".to_vec(), ..Shape::default() };
        assert_eq!(shaped("a: b\n\nFrom x\n.y", &plain, 6), "a: b\n\nFrom x\n.y");
        let crlf = Shape { end: b"\r\n".to_vec(), stuffs_dots: true, ..Shape::default() };
        assert_eq!(shaped("a\n.\n.b\n", &crlf, 0), "a\r\n..\r\n..b\r\n");
        let from = Shape { escapes_from: true, ..plain.clone() };
        assert_eq!(shaped("From h\n\nFrom b\nFro\nFrom", &from, 8), "From h\n\n>From b\nFro\nFrom");
        let short = Shape { limit: 5, ..plain.clone() };
        assert_eq!(shaped("123456789\n1234\n", &short, 0), "1234!\n5678!\n9\n1234\n");
        let bits = Shape { seven_bit: true, ..plain.clone() };
        assert_eq!(shaped("\u{e9}\n", &bits, 0), "C)\n");
        let head = Shape { seven_bit_header: true, ..plain.clone() };
        assert_eq!(shaped("\u{e9}\n\n\u{e9}\n", &head, 4), "C)\n\n\u{e9}\n");
        let blank = Shape { ends_blank: true, ..plain };
        for (text, wanted) in
            [("h\n\nb\n", "h\n\nb\n\n"), ("h\n\nb\n\n", "h\n\nb\n\n"), ("h\n\nb", "h\n\nb\n\n"), ("h\n\n", "h\n\n")]
        {
            assert_eq!(shaped(text, &blank, 3), wanted, "{text:?}");
        }
    }
}
