//! Strings of IMAP responses: quoted, literal, or NIL.
//!
//! Called by the printers of ENVELOPE and BODYSTRUCTURE and by whoever else prints foreign text to an IMAP client.
//! Invariant: whatever the bytes, the output is one `nstring` of the grammar. NUL is in none of its forms and is left out;
//! octets beyond ASCII and control characters go into a literal, unless the client reads UTF-8 in quoted strings.
//! RFC 9051 §4.3, RFC 3501 §4.3, RFC 6855 §3.

/// What a client takes in a quoted string.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Quoting {
    /// ASCII: IMAP4rev1.
    #[default]
    Ascii,
    /// UTF-8: IMAP4rev2, or UTF8=ACCEPT enabled.
    Utf8,
}

impl Quoting {
    /// Appends a string.
    pub fn string(self, text: &[u8], out: &mut Vec<u8>) {
        let is_plain = |b: &u8| matches!(b, b'\t' | b' '..=b'~') || (self == Quoting::Utf8 && !b.is_ascii());
        if text.iter().all(is_plain) && (text.is_ascii() || std::str::from_utf8(text).is_ok()) {
            out.push(b'"');
            for byte in text {
                if matches!(byte, b'"' | b'\\') {
                    out.push(b'\\');
                }
                out.push(*byte);
            }
            out.push(b'"');
            return;
        }
        let nuls = memchr::memchr_iter(0, text).count();
        out.extend_from_slice(format!("{{{}}}\r\n", text.len() - nuls).as_bytes());
        out.extend(text.iter().filter(|b| **b != 0));
    }

    /// Appends a string, or NIL for none.
    pub fn nstring(self, text: Option<&[u8]>, out: &mut Vec<u8>) {
        match text {
            Some(text) => self.string(text, out),
            None => out.extend_from_slice(b"NIL"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (text, ascii, utf8) in [
            (&b""[..], "\"\"", "\"\""),
            (b"a b\t\"\\", "\"a b\t\\\"\\\\\"", "\"a b\t\\\"\\\\\""),
            (b"{5}", "\"{5}\"", "\"{5}\""),
            (b"a\r\nb", "{4}\r\na\r\nb", "{4}\r\na\r\nb"),
            (b"a\0b\0", "{2}\r\nab", "{2}\r\nab"),
            (b"\x1b$B", "{3}\r\n\x1b$B", "{3}\r\n\x1b$B"),
            (b"\x7f", "{1}\r\n\x7f", "{1}\r\n\x7f"),
            ("\u{e9}".as_bytes(), "{2}\r\n\u{e9}", "\"\u{e9}\""),
        ] {
            for (quoting, expected) in [(Quoting::Ascii, ascii), (Quoting::Utf8, utf8)] {
                let mut out = Vec::new();
                quoting.nstring(Some(text), &mut out);
                assert_eq!(String::from_utf8_lossy(&out), expected, "{}", text.escape_ascii());
            }
        }
        let mut out = Vec::new();
        Quoting::Utf8.string(b"\xe9", &mut out);
        Quoting::Utf8.nstring(None, &mut out);
        assert_eq!(out, b"{1}\r\n\xe9NIL");
    }
}
