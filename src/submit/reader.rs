//! A program's message as LF text: CRLF becomes LF, and without -i a line with a dot alone ends it, and of two dots at the start of a
//! line one is left, as sendmail reads it.

use std::io::{self, Read};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    Dot,
    Inside,
    End,
}

/// Octets of a read, at first and at most: most messages are short, and memory that nobody touches costs nothing.
const FIRST_READ: usize = 8 << 10;
const LARGEST_READ: usize = 64 << 10;

/// Wraps standard input.
pub struct TextReader<R> {
    inner: R,
    dot_ends: bool,
    at: At,
    /// A CR that may belong to a line end.
    cr: bool,
    ready: Vec<u8>,
    taken: usize,
    input: Vec<u8>,
    /// Octets that may still come, and how many there were at first.
    left: u64,
    limit: u64,
}

impl<R: Read> TextReader<R> {
    /// A reader; `dot_ends` is the rule without -i.
    pub fn new(inner: R, dot_ends: bool) -> TextReader<R> {
        TextReader {
            inner,
            dot_ends,
            at: At::LineStart,
            cr: false,
            ready: Vec::new(),
            taken: 0,
            input: vec![0; FIRST_READ],
            left: u64::MAX,
            limit: u64::MAX,
        }
    }

    /// The same, but a text of more octets than this is an error ([`io::ErrorKind::FileTooLarge`]).
    pub fn up_to(self, limit: u64) -> TextReader<R> {
        TextReader { left: limit, limit, ..self }
    }

    fn convert(&mut self, n: usize) {
        self.ready.clear();
        self.taken = 0;
        for i in 0..n {
            let byte = self.input[i];
            if self.at == At::End {
                return;
            }
            if std::mem::take(&mut self.cr) && byte != b'\n' {
                self.put(b'\r');
            }
            if byte == b'\r' { self.cr = true } else { self.put(byte) }
        }
    }

    fn put(&mut self, byte: u8) {
        match (self.at, byte) {
            (At::LineStart, b'.') if self.dot_ends => self.at = At::Dot,
            (At::Dot, b'\n') => self.at = At::End,
            (At::Dot, b'.') => {
                self.ready.push(b'.');
                self.at = At::Inside;
            }
            (at, byte) => {
                if at == At::Dot {
                    self.ready.push(b'.');
                }
                self.ready.push(byte);
                self.at = if byte == b'\n' { At::LineStart } else { At::Inside };
            }
        }
    }

    fn finish(&mut self) {
        if std::mem::take(&mut self.cr) {
            self.put(b'\r');
        }
        match self.at {
            At::Inside => self.ready.push(b'\n'),
            // A last line with a dot alone and no line end.
            At::Dot | At::LineStart | At::End => {}
        }
        self.at = At::End;
    }
}

impl<R: Read> Read for TextReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.ready.len() {
            if self.at == At::End {
                return Ok(0);
            }
            match self.inner.read(&mut self.input)? {
                0 => {
                    self.ready.clear();
                    self.taken = 0;
                    self.finish();
                }
                n => {
                    self.convert(n);
                    if n == self.input.len() && n < LARGEST_READ {
                        self.input.resize(LARGEST_READ, 0);
                    }
                }
            }
        }
        let n = buffer.len().min(self.ready.len() - self.taken);
        self.left = self.left.checked_sub(n as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::FileTooLarge, format!("Message is larger than {} octets", self.limit))
        })?;
        buffer[..n].copy_from_slice(&self.ready[self.taken..self.taken + n]);
        self.taken += n;
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Pieces<'a>(&'a [u8], usize);

    impl Read for Pieces<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let n = self.1.min(self.0.len());
            buffer[..n].copy_from_slice(&self.0[..n]);
            self.0 = &self.0[n..];
            Ok(n)
        }
    }

    #[test]
    fn a_text_over_its_limit_is_an_error() {
        let read = |limit| TextReader::new(&b"12345"[..], true).up_to(limit).read_to_string(&mut String::new());
        assert_eq!(read(6).unwrap(), 6);
        assert_eq!(read(5).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn line_ends_and_dots_at_every_cut() {
        for (input, dot, output) in [
            ("a\r\nb\n", true, "a\nb\n"),
            ("a\n.\nb\n", true, "a\n"),
            ("a\n.\nb\n", false, "a\n.\nb\n"),
            ("a\r\n.\r\nb", true, "a\n"),
            (".x\n..\n...\n", true, ".x\n.\n..\n"),
            (".x\n..\n", false, ".x\n..\n"),
            ("a\rb\n", true, "a\rb\n"),
            ("no end", true, "no end\n"),
            ("a\n.", true, "a\n"),
            ("", true, ""),
        ] {
            for step in 1..8 {
                let mut text = String::new();
                TextReader::new(Pieces(input.as_bytes(), step), dot).read_to_string(&mut text).unwrap();
                assert_eq!(text, output, "{input:?} in pieces of {step}");
            }
        }
    }
}
