//! CRLF text without dots: what comes by BDAT and APPEND.
//!
//! Called by `proto` and by the store's appends, through [`super`], whose rules about line ends hold here too.

use super::{clean_lines, crlf_size};
use memchr::memchr2;

/// Converts CRLF text of known length (BDAT, APPEND) to LF text and notices bare newlines.
///
/// RFC 3030 §2 sends bodies without dots; the same line-end rule holds.
#[derive(Debug, Default)]
pub struct CrlfDecoder {
    cr: bool,
    bare: bool,
    keeps: bool,
}

impl CrlfDecoder {
    /// A decoder that keeps bare newlines as they are: for text that goes no further than a mailbox (IMAP APPEND).
    pub fn keeping_bare() -> CrlfDecoder {
        CrlfDecoder { keeps: true, ..CrlfDecoder::default() }
    }

    /// Appends the LF form of `input` to `body`.
    pub fn feed(&mut self, input: &[u8], body: &mut Vec<u8>) {
        let mut rest = input;
        if !self.cr
            && let Some(taken) = clean_lines(rest, false, body)
        {
            rest = &rest[taken..];
        }
        while !rest.is_empty() {
            if self.cr {
                self.cr = false;
                if rest[0] == b'\n' {
                    body.push(b'\n');
                    rest = &rest[1..];
                    continue;
                }
                self.put_bare(b'\r', body);
            }
            let run = memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
            body.extend_from_slice(&rest[..run]);
            rest = &rest[run..];
            if let Some((first, after)) = rest.split_first() {
                match first {
                    b'\r' => self.cr = true,
                    _ => self.put_bare(b'\n', body),
                }
                rest = after;
            }
        }
    }

    /// The text has ended: a CR at its end is bare.
    pub fn finish(&mut self, body: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            self.put_bare(b'\r', body);
        }
    }

    fn put_bare(&mut self, newline: u8, body: &mut Vec<u8>) {
        self.bare = true;
        if self.keeps {
            body.push(newline);
        }
    }

    /// True when the text so far held a bare CR or LF, or ends inside a line end.
    pub fn is_bare(&self) -> bool {
        self.bare || self.cr
    }
}

/// A [`CrlfDecoder`] that keeps bare newlines and counts how many octets its text has on the wire.
#[derive(Debug)]
pub struct MeasuredDecoder {
    decoder: CrlfDecoder,
    /// The last octet was a CR: with a LF behind it, it is a line end that needs no other CR on the wire.
    ends_in_cr: bool,
    wire_size: u64,
}

impl Default for MeasuredDecoder {
    fn default() -> MeasuredDecoder {
        MeasuredDecoder { decoder: CrlfDecoder::keeping_bare(), ends_in_cr: false, wire_size: 0 }
    }
}

impl MeasuredDecoder {
    /// The LF form of more input.
    pub fn feed(&mut self, input: &[u8]) -> Vec<u8> {
        let mut text = Vec::with_capacity(input.len() + 1);
        self.decoder.feed(input, &mut text);
        self.measure(&text);
        text
    }

    /// The rest, once the input has ended.
    pub fn finish(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        self.decoder.finish(&mut text);
        self.measure(&text);
        text
    }

    /// Octets of all text so far with CRLF line ends.
    pub fn wire_size(&self) -> u64 {
        self.wire_size
    }

    /// As [`CrlfDecoder::is_bare`].
    pub fn is_bare(&self) -> bool {
        self.decoder.is_bare()
    }

    fn measure(&mut self, text: &[u8]) {
        if let (Some(first), Some(last)) = (text.first(), text.last()) {
            self.wire_size += crlf_size(text) - u64::from(self.ends_in_cr && *first == b'\n');
            self.ends_in_cr = *last == b'\r';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bdat_notices_bare_newlines() {
        for (input, body, bare) in [
            (&b"a\r\nb\r\n"[..], &b"a\nb\n"[..], false),
            (b"a\nb\r\n", b"ab\n", true),
            (b"a\rb\r\n", b"ab\n", true),
            (b"a\r", b"a", true),
        ] {
            for step in 1..=input.len() {
                let mut decoder = CrlfDecoder::default();
                let mut out = Vec::new();
                input.chunks(step).for_each(|piece| decoder.feed(piece, &mut out));
                assert_eq!((out.as_slice(), decoder.is_bare()), (body, bare));
            }
        }
    }

    #[test]
    fn bare_newlines_are_kept_where_that_is_wanted() {
        for (input, body) in [(&b"a\r\nb\nc\rd\r"[..], &b"a\nb\nc\rd\r"[..]), (b"\r\r\n\n", b"\r\n\n")] {
            for step in 1..=input.len() {
                let mut decoder = CrlfDecoder::keeping_bare();
                let mut out = Vec::new();
                input.chunks(step).for_each(|piece| decoder.feed(piece, &mut out));
                decoder.finish(&mut out);
                assert_eq!((out.as_slice(), decoder.is_bare()), (body, true));
            }
        }
    }

    #[test]
    fn a_measured_text_has_the_size_it_has_on_the_wire_however_it_is_cut() {
        let input = b"a\r\nb\nc\rd\r\r\n\r\n\n\r";
        let mut whole = MeasuredDecoder::default();
        let stored = [whole.feed(input), whole.finish()].concat();
        assert_eq!((whole.wire_size(), whole.is_bare()), (crlf_size(&stored), true));
        for step in 1..input.len() {
            let mut decoder = MeasuredDecoder::default();
            let mut text: Vec<u8> = input.chunks(step).flat_map(|piece| decoder.feed(piece)).collect();
            text.extend(decoder.finish());
            assert_eq!((text.as_slice(), decoder.wire_size()), (stored.as_slice(), whole.wire_size()), "{step}");
        }
    }
}
