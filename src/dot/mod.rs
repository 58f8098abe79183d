//! Dot-stuffing of multi-line bodies: SMTP DATA in and out, POP3 RETR and TOP share this file.
//!
//! Called by `proto`; knows no protocol. The wire has CRLF line ends, the spool and the mailboxes
//! have LF: both directions convert here and nowhere else.
//! Invariant: the output never depends on how the input was cut into pieces.
//! Trust: input is hostile. A bare CR or LF is never taken for a line end, never repaired: the whole
//! body is then consumed up to its one true end and reported as refused, so that no other server can
//! see a different end of message than we do (SMTP smuggling).
//! RFC 5321 §4.5.2, RFC 5321 §2.3.8, RFC 1939 §3.

mod crlf;
mod window;

pub use crlf::{CrlfDecoder, MeasuredDecoder};
pub use window::CrlfWindow;

use memchr::{memchr, memchr_iter, memchr2};

/// How far a call of [`DotDecoder::feed`] came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All input was taken; the body goes on.
    More,
    /// `CRLF . CRLF` was taken and the body is complete and clean.
    End,
    /// The body ended, but had a CR without LF or an LF without CR: refuse it.
    EndBare,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    LineStart,
    InLine,
    /// CR seen inside a line.
    Cr,
    /// A dot at the start of a line.
    Dot,
    /// CR after a dot that stood alone at the start of a line.
    DotCr,
}

/// Decodes a dot-stuffed body into LF text.
#[derive(Debug)]
pub struct DotDecoder {
    at: At,
    bare: bool,
}

impl Default for DotDecoder {
    fn default() -> Self {
        DotDecoder { at: At::LineStart, bare: false }
    }
}

impl DotDecoder {
    /// Consumes body bytes up to and including the final `CRLF . CRLF`, appending LF text to `body`.
    ///
    /// Returns how many input bytes were taken; the rest belongs to the next command. Once a bare
    /// newline was seen nothing more is appended.
    pub fn feed(&mut self, input: &[u8], body: &mut Vec<u8>) -> (usize, Progress) {
        let mut i = 0;
        let mut may_be_clean = true;
        while i < input.len() {
            if self.at == At::LineStart && may_be_clean && !self.bare {
                match clean_lines(&input[i..], true, body) {
                    Some(0) => {}
                    Some(taken) => {
                        i += taken;
                        continue;
                    }
                    None => may_be_clean = false,
                }
            }
            let byte = input[i];
            match self.at {
                At::LineStart if byte == b'.' => {
                    self.at = At::Dot;
                    i += 1;
                }
                At::LineStart | At::InLine => {
                    let run = memchr2(b'\r', b'\n', &input[i..]).unwrap_or(input.len() - i);
                    if run > 0 {
                        self.put(&input[i..i + run], body);
                        self.at = At::InLine;
                        i += run;
                    } else {
                        if byte == b'\n' {
                            self.bare = true;
                            self.at = At::InLine;
                        } else {
                            self.at = At::Cr;
                        }
                        i += 1;
                    }
                }
                At::Cr => {
                    i += self.after_cr(byte, body);
                }
                At::Dot => match byte {
                    b'\r' => {
                        self.at = At::DotCr;
                        i += 1;
                    }
                    b'\n' => {
                        self.bare = true;
                        self.at = At::InLine;
                        i += 1;
                    }
                    // The stuffed dot was already dropped.
                    _ => self.at = At::InLine,
                },
                At::DotCr => {
                    if byte == b'\n' {
                        self.at = At::LineStart;
                        i += 1;
                        let end = if self.bare { Progress::EndBare } else { Progress::End };
                        return (i, end);
                    }
                    self.bare = true;
                    i += self.after_cr(byte, body);
                }
            }
        }
        (i, Progress::More)
    }

    /// Takes the byte after a CR if it belongs to the line end; returns how many bytes were taken.
    fn after_cr(&mut self, byte: u8, body: &mut Vec<u8>) -> usize {
        match byte {
            b'\n' => {
                self.put(b"\n", body);
                self.at = At::LineStart;
                1
            }
            b'\r' => {
                self.bare = true;
                self.at = At::Cr;
                1
            }
            _ => {
                self.bare = true;
                self.at = At::InLine;
                0
            }
        }
    }

    fn put(&mut self, bytes: &[u8], body: &mut Vec<u8>) {
        if !self.bare {
            body.extend_from_slice(bytes);
        }
    }
}

/// Appends the whole lines that `input` begins with, up to one that begins with a dot where those are to be looked at; gives how many octets
/// were taken. `None`, with nothing appended, where a line end is not CRLF: who knows that looks at each.
///
/// One search finds the CRs, and counting is enough to know that each LF belongs to one of them.
fn clean_lines(input: &[u8], stops_at_dots: bool, body: &mut Vec<u8>) -> Option<usize> {
    let before = body.len();
    let (mut taken, mut lines) = (0, 0);
    for cr in memchr_iter(b'\r', input) {
        if stops_at_dots && input.get(taken) == Some(&b'.') || input.get(cr + 1) != Some(&b'\n') {
            break;
        }
        if lines == 0 {
            body.reserve(input.len());
        }
        body.extend_from_slice(&input[taken..cr]);
        body.push(b'\n');
        taken = cr + 2;
        lines += 1;
    }
    if memchr_iter(b'\n', &input[..taken]).count() == lines {
        return Some(taken);
    }
    body.truncate(before);
    None
}

/// Encodes LF (or CRLF) text as a dot-stuffed CRLF body.
#[derive(Debug)]
pub struct DotEncoder {
    line_start: bool,
    cr: bool,
    /// Dots are doubled, and a dot ends the body.
    dots: bool,
}

impl Default for DotEncoder {
    fn default() -> Self {
        DotEncoder { line_start: true, cr: false, dots: true }
    }
}

impl DotEncoder {
    /// An encoder of line ends alone, for BDAT (RFC 3030 §2).
    pub fn of_chunks() -> DotEncoder {
        DotEncoder { dots: false, ..DotEncoder::default() }
    }

    /// Appends the wire form of `text` to `wire`.
    ///
    /// A CR that is not part of a CRLF becomes a line end of its own, so that a bare CR never
    /// leaves this host (RFC 5321 §2.3.8).
    pub fn feed(&mut self, text: &[u8], wire: &mut Vec<u8>) {
        wire.reserve(text.len() + text.len() / 32 + 8);
        if !self.cr && memchr(b'\r', text).is_none() {
            return self.feed_lines(text, wire);
        }
        let mut rest = text;
        while !rest.is_empty() {
            if self.cr {
                self.cr = false;
                self.end_line(wire);
                if rest[0] == b'\n' {
                    rest = &rest[1..];
                    continue;
                }
            }
            let run = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            self.put(&rest[..run], wire);
            rest = &rest[run..];
            if let Some((first, after)) = rest.split_first() {
                if *first == b'\r' {
                    self.cr = true;
                } else {
                    self.end_line(wire);
                }
                rest = after;
            }
        }
    }

    /// The same for text without CR, as nearly all is stored: one search finds all line ends.
    fn feed_lines(&mut self, text: &[u8], wire: &mut Vec<u8>) {
        let mut start = 0;
        for end in memchr_iter(b'\n', text) {
            self.put(&text[start..end], wire);
            self.end_line(wire);
            start = end + 1;
        }
        self.put(&text[start..], wire);
    }

    /// Appends a piece of a line.
    fn put(&mut self, piece: &[u8], wire: &mut Vec<u8>) {
        if self.dots && self.line_start && piece.first() == Some(&b'.') {
            wire.push(b'.');
        }
        wire.extend_from_slice(piece);
        self.line_start &= piece.is_empty();
    }

    /// Ends the body: completes an open line and appends the final dot, where dots count.
    pub fn finish(mut self, wire: &mut Vec<u8>) {
        if self.cr || !self.line_start {
            self.end_line(wire);
        }
        if self.dots {
            wire.extend_from_slice(b".\r\n");
        }
    }

    fn end_line(&mut self, wire: &mut Vec<u8>) {
        wire.extend_from_slice(b"\r\n");
        self.line_start = true;
    }
}

/// Counts the octets that LF text has in its CRLF form (RFC 1870 §4, Maildir's `W=`).
pub fn crlf_size(text: &[u8]) -> u64 {
    let mut size = text.len() as u64;
    if memchr::memchr(b'\r', text).is_none() {
        // As most text is stored: counting alone is several times as fast.
        return size + memchr::memchr_iter(b'\n', text).count() as u64;
    }
    for lf in memchr::memchr_iter(b'\n', text) {
        if lf == 0 || text[lf - 1] != b'\r' {
            size += 1;
        }
    }
    size
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], step: usize) -> (Vec<u8>, Progress, usize) {
        let mut decoder = DotDecoder::default();
        let mut body = Vec::new();
        let mut used = 0;
        for piece in input.chunks(step) {
            let (taken, progress) = decoder.feed(piece, &mut body);
            used += taken;
            if progress != Progress::More {
                return (body, progress, used);
            }
            assert_eq!(taken, piece.len());
        }
        (body, Progress::More, used)
    }

    #[test]
    fn truth_table() {
        let table: &[(&[u8], &[u8], Progress, usize)] = &[
            (b".\r\n", b"", Progress::End, 3),
            (b"a\r\n.\r\nQUIT\r\n", b"a\n", Progress::End, 6),
            (b"..\r\n.\r\n", b".\n", Progress::End, 7),
            (b".a\r\n.\r\n", b"a\n", Progress::End, 7),
            (b"\r\n.\r\n", b"\n", Progress::End, 5),
            (b"a\r\n..b\r\n...\r\n.\r\n", b"a\n.b\n..\n", Progress::End, 16),
            (b"a\r\n.", b"a\n", Progress::More, 4),
            // Smuggling forms: none of them ends the body, each spoils it.
            (b"a\n.\n.\r\nb\r\n.\r\n", b"a", Progress::EndBare, 13),
            (b"a\n.\r\nb\r\n.\r\n", b"a", Progress::EndBare, 11),
            (b"a\r\n.\nb\r\n.\r\n", b"a\n", Progress::EndBare, 11),
            (b"a\r\n.\rb\r\n.\r\n", b"a\n", Progress::EndBare, 11),
            (b"a\r.\r\nb\r\n.\r\n", b"a", Progress::EndBare, 11),
            (b"a\r.\rb\r\n.\r\n", b"a", Progress::EndBare, 10),
            (b"a\r\r\n.\r\n", b"a", Progress::EndBare, 7),
            (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\n", Progress::EndBare, 13),
        ];
        for (input, body, progress, used) in table {
            for step in 1..=input.len() {
                let found = decode(input, step);
                assert_eq!(
                    (found.0.as_slice(), found.1, found.2),
                    (*body, *progress, *used),
                    "{:?} in steps of {step}",
                    String::from_utf8_lossy(input)
                );
            }
        }
    }

    /// Octet by octet no line is ever whole, so that each octet is looked at.
    #[test]
    fn whole_lines_and_single_octets_come_to_the_same_for_all_short_texts() {
        const OCTETS: &[u8; 4] = b"a.\r\n";
        for length in 1..=8u32 {
            for number in 0..4usize.pow(length) {
                let text: Vec<u8> = (0..length).map(|place| OCTETS[number >> (2 * place) & 3]).collect();
                assert_eq!(decode(&text, text.len()), decode(&text, 1), "{:?}", String::from_utf8_lossy(&text));
                let chunked = |step: usize| {
                    let (mut decoder, mut out) = (CrlfDecoder::keeping_bare(), Vec::new());
                    text.chunks(step).for_each(|piece| decoder.feed(piece, &mut out));
                    (out, decoder.is_bare())
                };
                assert_eq!(chunked(text.len()), chunked(1), "{:?}", String::from_utf8_lossy(&text));
            }
        }
    }

    #[test]
    fn encoder_table() {
        let table: &[(&[u8], &[u8])] = &[
            (b"", b".\r\n"),
            (b"a\n", b"a\r\n.\r\n"),
            (b"a", b"a\r\n.\r\n"),
            (b".\n..\n.a\n", b"..\r\n...\r\n..a\r\n.\r\n"),
            (b"a\r\nb\r\n", b"a\r\nb\r\n.\r\n"),
            (b"a\rb\r", b"a\r\nb\r\n.\r\n"),
            (b"a\r.b\n", b"a\r\n..b\r\n.\r\n"),
        ];
        for (text, wire) in table {
            for step in 1..=text.len().max(1) {
                let mut encoder = DotEncoder::default();
                let mut out = Vec::new();
                for piece in text.chunks(step) {
                    encoder.feed(piece, &mut out);
                }
                encoder.finish(&mut out);
                assert_eq!(out, *wire, "{:?} in steps of {step}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn crlf_size_counts_missing_cr() {
        assert_eq!(crlf_size(b""), 0);
        assert_eq!(crlf_size(b"\n"), 2);
        assert_eq!(crlf_size(b"a\nb\r\nc"), 7);
    }
}
