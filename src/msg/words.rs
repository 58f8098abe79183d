//! Header text decoded: encoded words, and parameters with a charset.
//!
//! Called by SEARCH, SORT and previews; what IMAP shows of a header is raw and does not come here.
//! Pieces are joined before their charset is read, so that a character cut between two encoded words or two pieces of a
//! parameter is whole again. Raw 8-bit and raw ISO-2022-JP text, which no header may have, is read as [`charset::decode`] guesses.
//! RFC 2047, RFC 2231, RFC 6532.

use super::charset;
use super::content::{Parameter, joined};
use super::structure::Part;
use encodify::{hex, rfc2047};
use std::borrow::Cow;

/// Decodes the body of a field, or a phrase of one; unfolds it too.
pub fn decode_text(body: &[u8]) -> String {
    let mut out = String::new();
    let is_raw = memchr::memmem::find(body, b"\x1b$").is_some() || std::str::from_utf8(body).is_err();
    let body = if is_raw {
        let mut text = String::new();
        charset::decode(b"", body, &mut text);
        Cow::Owned(text.into_bytes())
    } else {
        Cow::Borrowed(body)
    };
    rfc2047::decode_text_append(&body, charset::decode, &mut out);
    out
}

/// The decoded value of a parameter, continued or not; with a charset it is preferred (RFC 6266 §4.3 has the same rule).
pub fn parameter(parameters: &[Parameter], name: &str) -> Option<String> {
    let joined = joined(parameters);
    let extended = joined
        .iter()
        .find(|p| p.name.strip_suffix(b"*").is_some_and(|stem| stem.eq_ignore_ascii_case(name.as_bytes())));
    if let Some(parameter) = extended {
        return Some(decode_extended(&parameter.value));
    }
    let plain = joined.iter().find(|p| p.name.eq_ignore_ascii_case(name.as_bytes()))?;
    // RFC 2047 §5 forbids encoded words here; they come all the same.
    Some(decode_text(&plain.value))
}

/// extended-value of RFC 2231 §7: `charset'language'%XX`.
fn decode_extended(value: &[u8]) -> String {
    let mut split = value.splitn(3, |b| *b == b'\'');
    let (label, text) = match (split.next(), split.next(), split.next()) {
        (Some(label), Some(_), Some(text)) => (label, text),
        _ => (&b""[..], value),
    };
    let bytes = hex::PERCENT.decode(text).unwrap_or(Cow::Borrowed(text));
    let mut out = String::new();
    charset::decode(label, &bytes, &mut out);
    out
}

/// The name of the file that a part is: `filename` of its disposition, or else `name` of its type.
pub fn file_name(part: &Part) -> Option<String> {
    let disposition = part.content.disposition.as_ref();
    disposition
        .and_then(|disposition| parameter(&disposition.parameters, "filename"))
        .or_else(|| parameter(&part.media.parameters, "name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::structure::Structure;

    #[test]
    fn words() {
        for (body, expected) in [
            (&b"plain text"[..], "plain text"),
            (b" folded\r\n text ", "folded text"),
            (b"=?UTF-8?Q?caf=C3=A9?= x", "caf\u{e9} x"),
            (b"=?utf-8?B?5pel?=\n =?utf-8?B?5pys?=", "日本"),
            // A character in two words.
            (b"=?utf-8?B?5pc=?= =?utf-8?B?pQ==?=", "日"),
            (b"=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
            (b"=?shift_jis?Q?=93=FA?=", "日"),
            (b"\x1b$BF|K\\\x1b(B =?utf-8?q?x?=", "日本 x"),
            (b"caf\xe9", "caf\u{e9}"),
            ("caf\u{e9}".as_bytes(), "caf\u{e9}"),
            (b"=?x-none?Q?a?=", "a"),
            (b"=?broken", "=?broken"),
        ] {
            assert_eq!(decode_text(body), expected, "{}", body.escape_ascii());
        }
    }

    #[test]
    fn file_names() {
        for (header, expected) in [
            ("Content-Disposition: attachment; filename=a.txt", Some("a.txt")),
            ("Content-Type: a/b; name=\"=?utf-8?B?5pel?=\"", Some("日")),
            ("Content-Type: a/b; name=n\nContent-Disposition: inline; filename=f", Some("f")),
            ("Content-Disposition: inline; filename=plain; filename*=utf-8'ja'%E6%97%A5", Some("日")),
            // A character in two pieces.
            ("Content-Disposition: inline; filename*0*=utf-8''%E6%97; filename*1*=%A5; filename*2=x", Some("日x")),
            ("Content-Disposition: inline; filename*=iso-2022-jp''%1B$BF%7CK%5C%1B%28B", Some("日本")),
            ("Content-Disposition: inline; filename*=broken%zz", Some("broken%zz")),
            ("Content-Type: a/b; x=y", None),
        ] {
            let text = format!("{header}\n\n");
            assert_eq!(file_name(Structure::of(text.as_bytes()).root()).as_deref(), expected, "{header}");
        }
    }
}
