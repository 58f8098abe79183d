//! Character sets of mail: bytes with a label become a string.
//!
//! Called by the decoders of header words and texts, and by SEARCH for the charset of a command. The sets are those of encoding_rs (the
//! WHATWG's, which takes iso-8859-1 for windows-1252 as mail needs it), UTF-7, and names that mail programs made up.
//! Two readers: [`decode`] always gives a text, [`decode_exact`] only when label and bytes are right.

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use std::borrow::Cow;

/// Names that old mail programs use and no registry has.
const ALIASES: &[(&str, &str)] = &[
    ("cp932", "shift_jis"),
    ("iso-2022-jp-1", "iso-2022-jp"),
    ("iso-2022-jp-2", "iso-2022-jp"),
    ("iso-2022-jp-3", "iso-2022-jp"),
    ("iso-2022-jp-2004", "iso-2022-jp"),
    ("iso-2022-jp-ms", "iso-2022-jp"),
    ("cp50220", "iso-2022-jp"),
    ("cp50221", "iso-2022-jp"),
    ("cp50222", "iso-2022-jp"),
    ("cp51932", "euc-jp"),
    ("eucjp", "euc-jp"),
    ("eucjp-ms", "euc-jp"),
    ("eucjp-win", "euc-jp"),
    ("cp936", "gbk"),
    ("cp949", "euc-kr"),
    ("cp950", "big5"),
    ("cp65001", "utf-8"),
    ("utf8mb4", "utf-8"),
];

enum Charset {
    /// US-ASCII: a label that says nothing about octets beyond it.
    Ascii,
    Utf7,
    Table(&'static Encoding),
}

fn find(label: &[u8]) -> Option<Charset> {
    let name = String::from_utf8_lossy(label.trim_ascii()).to_ascii_lowercase();
    let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name.as_str(), |(_, name)| name);
    match name {
        "us-ascii" | "ascii" | "ansi_x3.4-1968" | "iso646-us" => Some(Charset::Ascii),
        "utf-7" | "unicode-1-1-utf-7" => Some(Charset::Utf7),
        // The one that refuses ISO-2022-KR and its like altogether would hide the text.
        name => Encoding::for_label_no_replacement(name.as_bytes()).map(Charset::Table),
    }
}

/// True when [`decode_exact`] knows the charset.
pub fn is_known(label: &[u8]) -> bool {
    find(label).is_some()
}

/// Appends the text of these bytes; what cannot be read becomes U+FFFD.
///
/// Without a label, with US-ASCII or an unknown one, the bytes tell: UTF-8 if they are that, ISO-2022-JP if they have its
/// escapes, else windows-1252.
pub fn decode(label: &[u8], bytes: &[u8], out: &mut String) {
    let encoding = match find(label) {
        Some(Charset::Utf7) => return out.push_str(&encodify::utf7::MAIL.decode_lossy(bytes)),
        Some(Charset::Table(encoding)) => encoding,
        Some(Charset::Ascii) | None => guess(bytes),
    };
    let bytes = joined(encoding, bytes);
    // A byte order mark overrides the label of UTF-16, which nobody writes with the right end first.
    let (text, _, _) = encoding.decode(&bytes);
    out.push_str(&text);
}

/// The text of these bytes when the charset is known and every byte is right.
pub fn decode_exact(label: &[u8], bytes: &[u8]) -> Option<String> {
    match find(label)? {
        Charset::Ascii => bytes.is_ascii().then(|| String::from_utf8_lossy(bytes).into_owned()),
        Charset::Utf7 => encodify::utf7::MAIL.decode(bytes).ok(),
        Charset::Table(encoding) => {
            let bytes = joined(encoding, bytes);
            encoding.decode_without_bom_handling_and_without_replacement(&bytes).map(|text| text.into_owned())
        }
    }
}

/// Takes out of ISO-2022-JP what the decoder takes for an error: an escape sequence with another one right behind it. Two encoded words that
/// were joined have one, and each of them was right.
fn joined<'a>(encoding: &'static Encoding, bytes: &'a [u8]) -> Cow<'a, [u8]> {
    const ESCAPE: usize = 3;
    let is_double = |at: usize| bytes.get(at) == Some(&0x1b) && bytes.get(at + ESCAPE) == Some(&0x1b);
    if encoding != encoding_rs::ISO_2022_JP || !memchr::memchr_iter(0x1b, bytes).any(is_double) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if is_double(at) {
            at += ESCAPE;
        } else {
            out.push(*byte);
            at += 1;
        }
    }
    Cow::Owned(out)
}

fn guess(bytes: &[u8]) -> &'static Encoding {
    if memchr::memmem::find(bytes, b"\x1b$").is_some() && bytes.is_ascii() {
        return encoding_rs::ISO_2022_JP;
    }
    if std::str::from_utf8(bytes).is_ok() { UTF_8 } else { WINDOWS_1252 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (label, bytes, expected) in [
            ("utf-8", "日本".as_bytes(), "日本"),
            (" UTF8 ", b"\xff", "\u{fffd}"),
            ("iso-2022-jp", b"\x1b$BF|K\\\x1b(B", "日本"),
            ("iso-2022-jp", b"\x1b$BF|\x1b(B\x1b$BK\\\x1b(B\x1b(Bx\x1b", "日本x\u{fffd}"),
            ("ISO-2022-JP-MS", b"\x1b$BF|K\\\x1b(B", "日本"),
            ("shift_jis", b"\x93\xfa\x96{\xb1", "日本ｱ"),
            ("cp932", b"\x93\xfa\x96{", "日本"),
            ("euc-jp", b"\xc6\xfc\xcb\xdc", "日本"),
            ("iso-8859-1", b"caf\xe9\x80", "café€"),
            ("gb2312", b"\xc8\xd5", "日"),
            ("utf-7", b"Hi +Jjo-", "Hi ☺"),
            ("us-ascii", b"caf\xe9", "café"),
            ("", "é".as_bytes(), "é"),
            ("x-unknown", b"\x1b$BF|K\\\x1b(B", "日本"),
            ("iso-2022-kr", b"plain", "plain"),
        ] {
            let mut out = String::new();
            decode(label.as_bytes(), bytes, &mut out);
            assert_eq!(out, expected, "{label}");
        }
    }

    #[test]
    fn exact_reading_refuses() {
        assert_eq!(decode_exact(b"iso-2022-jp", b"\x1b$BF|K\\\x1b(B").as_deref(), Some("日本"));
        assert_eq!(decode_exact(b"US-ASCII", b"a").as_deref(), Some("a"));
        assert_eq!(decode_exact(b"US-ASCII", b"\xe9"), None);
        assert_eq!(decode_exact(b"utf-8", b"\xe9"), None);
        assert_eq!(decode_exact(b"x-unknown", b"a"), None);
        assert!(is_known(b"EUC-JP") && !is_known(b"iso-2022-kr"));
    }
}
