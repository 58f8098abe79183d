//! A message for a mailer of a sendmail.cf that wants text in clear: what was encoded for the way is decoded again (flag 9), and what says
//! nothing of its eighth bits is labelled (EightBitMode=mimify).
//!
//! Called by the queue's mailers. Pure; the stored message is never changed.
//! Only a message that is one text/plain is decoded, as with sendmail: of a signed or a composed one each octet counts.
//! RFC 2045 §6, RFC 1428.

use super::content::Content;
use super::header::{find, header_end, pieces};
use super::transfer::Transfer;

/// What text is called whose character set nobody knows (RFC 1428).
const UNKNOWN: &str = "unknown-8bit";

/// True when the header says that the message may be one that [`message`] decodes.
pub fn is_encoded(header: &[u8]) -> bool {
    encoding_of(&Content::read(header)).is_some()
}

/// How a text/plain is encoded, and the name of that; `None` for what stays as it is.
fn encoding_of(content: &Content<'_>) -> Option<(Transfer, &'static str)> {
    let transfer = Transfer::of(content.encoding);
    let name = match transfer {
        Transfer::QuotedPrintable => "quoted-printable",
        Transfer::Base64 => "base64",
        Transfer::Identity | Transfer::Unknown => return None,
    };
    content.media.as_ref().is_some_and(|media| media.is("text", "plain")).then_some((transfer, name))
}

/// The message decoded; `None` where there is nothing to be decoded. `by` is who did it and for which message, for a note in the header.
pub fn message(text: &[u8], by: &str) -> Option<Vec<u8>> {
    let end = header_end(text)?;
    let (encoding, name) = encoding_of(&Content::read(&text[..end]))?;
    let body = encoding.decode(&text[end..]).into_owned();
    // No text has such octets: perhaps it is no text at all.
    if body.contains(&0) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = &text[..end];
    for piece in pieces(&text[..end]) {
        if piece.field.as_ref().is_none() {
            break;
        }
        rest = &rest[piece.raw.len()..];
        if !piece.field.is_some_and(|field| field.is("Content-Transfer-Encoding")) {
            out.extend_from_slice(piece.raw);
        }
    }
    out.extend_from_slice(b"Content-Transfer-Encoding: 8bit\n");
    out.extend_from_slice(format!("X-MIME-Autoconverted: from {name} to 8bit {by}\n").as_bytes());
    out.extend_from_slice(rest);
    out.extend(
        body.iter().enumerate().filter(|(at, b)| **b != b'\r' || body.get(at + 1) != Some(&b'\n')).map(|(_, b)| *b),
    );
    Some(out)
}

/// The fields that say what a text of eight bits is, as far as they are missing; nothing for a message that is MIME already.
pub fn label(header: &[u8], charset: Option<&str>) -> String {
    let mut fields = String::new();
    if find(header, "MIME-Version").is_some() {
        return fields;
    }
    fields.push_str("MIME-Version: 1.0\n");
    if find(header, "Content-Type").is_none() {
        fields.push_str(&format!("Content-Type: text/plain; charset={}\n", charset.unwrap_or(UNKNOWN)));
    }
    if find(header, "Content-Transfer-Encoding").is_none() {
        fields.push_str("Content-Transfer-Encoding: 8bit\n");
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(head: &str, body: &str) -> Option<String> {
        let made = message(format!("{head}\n{body}").as_bytes(), "by us id 1")?;
        Some(made.iter().map(|b| char::from(*b)).collect())
    }

    #[test]
    fn one_encoded_text_is_decoded_and_nothing_else() {
        let plain = "Content-Type: text/plain; charset=iso-8859-1\n";
        for (encoding, body, made) in [
            ("quoted-printable", "caf=E9 a=3Db =\nsoft\n", "caf\u{e9} a=b soft\n"),
            ("Base64", "Y2Fm6Q0KDQo=\n", "caf\u{e9}\n\n"),
        ] {
            let head = format!("{plain}Content-Transfer-Encoding: {encoding}\nSubject: x\n");
            let name = encoding.to_ascii_lowercase();
            let wanted = format!(
                "{plain}Subject: x\nContent-Transfer-Encoding: 8bit\nX-MIME-Autoconverted: from {name} to 8bit by us id 1\n\n{made}"
            );
            assert_eq!(decoded(&head, body), Some(wanted));
            assert!(is_encoded(head.as_bytes()));
        }
        for head in [
            "Content-Type: text/html\nContent-Transfer-Encoding: base64\n",
            "Content-Transfer-Encoding: base64\n",
            "Content-Type: text/plain\nContent-Transfer-Encoding: 8bit\n",
            "Content-Type: text/plain\n",
        ] {
            assert_eq!(decoded(head, "Y2Fm6Q0KDQo=\n"), None, "{head}");
            assert!(!is_encoded(head.as_bytes()), "{head}");
        }
        assert_eq!(decoded("Content-Type: text/plain\nContent-Transfer-Encoding: base64\n", "AAAA\n"), None);
    }

    #[test]
    fn a_label_says_only_what_was_not_said() {
        let whole = "MIME-Version: 1.0\nContent-Type: text/plain; charset=koi8-r\nContent-Transfer-Encoding: 8bit\n";
        assert_eq!(label(b"Subject: x\n", Some("koi8-r")), whole);
        assert!(label(b"Subject: x\n", None).contains("charset=unknown-8bit\n"));
        assert_eq!(label(b"MIME-Version: 1.0\n", None), "");
        assert!(!label(b"Content-Type: text/html\n", None).contains("Content-Type"));
    }
}
