//! Content-Transfer-Encoding, undone.
//!
//! Called by the decoders of texts and by FETCH BINARY. Broken encodings give what can be read of them.
//! RFC 2045 §6, RFC 3516 §4.3.

use crate::dot::CrlfWindow;
use encodify::{base64, qp};
use std::borrow::Cow;

/// How a body is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transfer {
    /// 7bit, 8bit, binary, or nothing said: as it stands.
    Identity,
    /// base64.
    Base64,
    /// quoted-printable.
    QuotedPrintable,
    /// Any other: nobody can say what the body is.
    Unknown,
}

impl Transfer {
    /// Reads the value of Content-Transfer-Encoding.
    pub fn of(name: Option<&[u8]>) -> Transfer {
        let Some(name) = name else { return Transfer::Identity };
        match name.to_ascii_lowercase().as_slice() {
            b"7bit" | b"8bit" | b"binary" => Transfer::Identity,
            b"base64" => Transfer::Base64,
            b"quoted-printable" => Transfer::QuotedPrintable,
            _ => Transfer::Unknown,
        }
    }

    /// Decodes stored text; line ends stay as they are stored. An unknown encoding is left alone.
    pub fn decode(self, stored: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Transfer::Identity | Transfer::Unknown => Cow::Borrowed(stored),
            Transfer::Base64 => Cow::Owned(from_base64(stored)),
            // Lenient: malformed escapes stay as they are, so there is no error to make anything of.
            Transfer::QuotedPrintable => qp::BODY.decode(stored).unwrap_or(Cow::Borrowed(stored)),
        }
    }

    /// Decodes stored text to the octets that were encoded, with CRLF where the sender's text had line ends; `None` when the
    /// encoding is unknown (`UNKNOWN-CTE`).
    pub fn decode_wire(self, stored: &[u8]) -> Option<Vec<u8>> {
        match self {
            Transfer::Unknown => None,
            Transfer::Base64 => Some(from_base64(stored)),
            Transfer::Identity => Some(crlf(stored)),
            // First the line ends, then the escapes: an escaped LF is an octet, not a line end.
            Transfer::QuotedPrintable => Some(Transfer::QuotedPrintable.decode(&crlf(stored)).into_owned()),
        }
    }
}

fn crlf(stored: &[u8]) -> Vec<u8> {
    let mut window = CrlfWindow::new(stored, std::iter::once(0..stored.len()).collect(), None);
    let mut out = Vec::with_capacity(stored.len() + stored.len() / 32);
    window.fill(stored, usize::MAX, &mut out);
    out
}

/// Decodes base64; octets outside the alphabet are passed over (RFC 2045 §6.8).
fn from_base64(stored: &[u8]) -> Vec<u8> {
    if let Ok(decoded) = base64::MIME.decode(stored) {
        return decoded;
    }
    let mut out = Vec::new();
    let mut decoder = base64::MIME.decoder();
    let mut rest = stored;
    loop {
        rest = &rest[decoder.decode_symbols(rest, &mut out)..];
        match rest.first() {
            Some(b'=') => decoder.pad(&mut out),
            Some(_) => {}
            None => break,
        }
        rest = &rest[1..];
    }
    decoder.finish(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (name, stored, decoded, wire) in [
            (None, &b"a\nb"[..], &b"a\nb"[..], Some(&b"a\r\nb"[..])),
            (Some("8BIT"), b"a\r\n", b"a\r\n", Some(b"a\r\n")),
            (Some("Base64"), b"YWJj\nZGU=\n", b"abcde", Some(b"abcde")),
            (Some("base64"), b"YW*Jj\0\nZG", b"abcd", Some(b"abcd")),
            (Some("base64"), b"YQ==YQ==", b"aa", Some(b"aa")),
            (Some("quoted-printable"), b"a=\nb=0A=\r\nc=E9 \n=XY=", b"ab\nc\xe9\n=XY", Some(b"ab\nc\xe9\r\n=XY")),
            (Some("x-uuencode"), b"M", b"M", None),
        ] {
            let transfer = Transfer::of(name.map(str::as_bytes));
            assert_eq!(transfer.decode(stored), decoded, "{name:?}");
            assert_eq!(transfer.decode_wire(stored).as_deref(), wire, "{name:?}");
        }
    }
}
