//! Texts of our own making in the form that a message can hold: header bodies with encoded words, and bodies with their charset.
//!
//! Called by `list` for subjects, names and answers. What the charset cannot say is said in UTF-8 instead; pure ASCII stays as it is.
//! RFC 2047, RFC 2045 §6, RFC 1468 (ISO-2022-JP is 7-bit and goes unencoded in bodies).

use encodify::{Fold, base64, rfc2047};

/// Longest encoded word (RFC 2047 §2).
const WORD_LIMIT: usize = 75;
/// Width of a header line (RFC 5322 §2.1.1).
const WIDTH: usize = 76;
/// Longest line of a body that is sent as it is, in octets (RFC 5322 §2.1.1).
const LINE_LIMIT: usize = 990;

/// The charsets that we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// UTF-8.
    Utf8,
    /// ISO-2022-JP (RFC 1468).
    Iso2022Jp,
}

impl Charset {
    /// Its name in MIME.
    pub fn label(self) -> &'static str {
        match self {
            Charset::Utf8 => "UTF-8",
            Charset::Iso2022Jp => "ISO-2022-JP",
        }
    }

    /// The octets of a text; `None` when the charset lacks one of its characters.
    pub fn encode(self, text: &str) -> Option<Vec<u8>> {
        match self {
            Charset::Utf8 => Some(text.as_bytes().to_vec()),
            Charset::Iso2022Jp => {
                let (bytes, _, has_unknown) = encoding_rs::ISO_2022_JP.encode(text);
                (!has_unknown).then(|| bytes.into_owned())
            }
        }
    }
}

/// A whole field with unstructured text, folded, with its line end. ASCII words at both ends stay readable.
pub fn unstructured(name: &str, text: &str, charset: Charset) -> String {
    let words: Vec<&str> = text.split([' ', '\t', '\r', '\n']).filter(|word| !word.is_empty()).collect();
    let is_plain = |word: &&str| word.bytes().all(|b| b.is_ascii_graphic()) && !word.contains("=?");
    let mut out = format!("{name}:");
    let mut column = out.len();
    let first = words.iter().position(|word| !is_plain(word)).unwrap_or(words.len());
    let last = words.iter().rposition(|word| !is_plain(word)).map_or(first, |at| at + 1);
    words[..first].iter().for_each(|word| plain(word, &mut column, &mut out));
    if first < last {
        encoded(&words[first..last].join(" "), charset, &mut column, &mut out);
    }
    words[last..].iter().for_each(|word| plain(word, &mut column, &mut out));
    out.push('\n');
    out
}

/// A display name: a quoted string, or encoded words. Without a fold when it is short.
pub fn phrase(name: &str, charset: Charset) -> String {
    let name: String = name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let name = name.trim();
    if name.is_ascii() && !name.contains("=?") {
        let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~ ".contains(&b);
        return match name.bytes().all(is_plain) {
            true => name.to_string(),
            false => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
        };
    }
    let (mut out, mut column) = (String::new(), 20);
    encoded(name, charset, &mut column, &mut out);
    out.trim_start().to_string()
}

fn plain(word: &str, column: &mut usize, out: &mut String) {
    let folds = *column + 1 + word.len() > WIDTH && !out.ends_with(':');
    out.push_str(if folds { "\n " } else { " " });
    *column = if folds { 1 } else { *column + 1 };
    out.push_str(word);
    *column += word.len();
}

/// Appends a blank or a fold, and the text as encoded words.
fn encoded(text: &str, charset: Charset, column: &mut usize, out: &mut String) {
    out.push(' ');
    *column += 1;
    if charset == Charset::Utf8 || charset.encode(text).is_none() {
        rfc2047::B.encode_words(Charset::Utf8.label(), text, column, Fold::new(WIDTH, b"\n ", 1), out);
        return;
    }
    let mut rest = text;
    while !rest.is_empty() {
        let (word, taken) = jis_word(rest, WORD_LIMIT.min(WIDTH.saturating_sub(*column)));
        // Not even one character has room on this line.
        let (word, taken) = match taken {
            0 => {
                out.truncate(out.trim_end_matches([' ', '\n']).len());
                out.push_str("\n ");
                *column = 1;
                jis_word(rest, WORD_LIMIT)
            }
            _ => (word, taken),
        };
        out.push_str(&word);
        *column += word.len();
        rest = &rest[taken..];
        if !rest.is_empty() {
            out.push_str("\n ");
            *column = 1;
        }
    }
}

/// One word of ISO-2022-JP with as much of the text as fits; each word begins and ends in ASCII (RFC 2047 §5, rule 3 of §6.2).
fn jis_word(text: &str, room: usize) -> (String, usize) {
    let mut best = (String::new(), 0);
    for (at, c) in text.char_indices() {
        let end = at + c.len_utf8();
        let Some(bytes) = Charset::Iso2022Jp.encode(&text[..end]) else { break };
        let word = format!("=?ISO-2022-JP?B?{}?=", base64::STANDARD.encode(&bytes));
        if word.len() > room && !(best.1 == 0 && room == WORD_LIMIT) {
            break;
        }
        best = (word, end);
    }
    best
}

/// A text as a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// Its charset's label.
    pub charset: &'static str,
    /// `7bit` or `base64`.
    pub encoding: &'static str,
    /// Its octets, with LF line ends.
    pub octets: Vec<u8>,
}

/// Encodes a text as a body.
pub fn body(text: &str, charset: Charset) -> Body {
    let is_short = |bytes: &[u8]| bytes.split(|b| *b == b'\n').all(|line| line.len() <= LINE_LIMIT);
    if text.is_ascii() && is_short(text.as_bytes()) {
        return Body { charset: "US-ASCII", encoding: "7bit", octets: text.as_bytes().to_vec() };
    }
    if charset == Charset::Iso2022Jp
        && let Some(octets) = charset.encode(text).filter(|octets| is_short(octets))
    {
        return Body { charset: charset.label(), encoding: "7bit", octets };
    }
    Body { charset: Charset::Utf8.label(), encoding: "base64", octets: base64_lines(text.replace('\n', "\r\n")) }
}

/// base64 in lines of 76 (RFC 2045 §6.8).
pub fn base64_lines(octets: impl AsRef<[u8]>) -> Vec<u8> {
    let packed = base64::STANDARD.encode(octets);
    let mut out = Vec::with_capacity(packed.len() + packed.len() / 76 + 1);
    for line in packed.as_bytes().chunks(76) {
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::{find, words::decode_text};

    #[test]
    fn subjects_come_back_in_both_charsets() {
        let long = "山田太郎さんから、とても長い件名のメールが届きましたので、折り返しが必要です";
        for charset in [Charset::Utf8, Charset::Iso2022Jp] {
            for text in
                ["", "plain words", "[talk:12] 日本", "日本 Re: x", "Re: 日本 a 語 end", long, "☺ 日本", "=?x?= y"]
            {
                let field = unstructured("Subject", text, charset);
                assert!(field.is_ascii() && field.lines().all(|line| line.len() <= 78), "{field}");
                let body = find(field.as_bytes(), "subject").unwrap().unfolded().into_owned();
                assert_eq!(decode_text(&body), text, "{field}");
            }
        }
        assert_eq!(
            unstructured("Subject", "[a 1] 日", Charset::Iso2022Jp),
            "Subject: [a 1] =?ISO-2022-JP?B?GyRCRnwbKEI=?=\n"
        );
        let many = unstructured("Subject", &"word ".repeat(40), Charset::Utf8);
        assert!(many.lines().all(|line| line.len() <= 78), "{many}");
    }

    #[test]
    fn names_are_quoted_or_encoded() {
        assert_eq!(phrase("Alice B", Charset::Utf8), "Alice B");
        assert_eq!(phrase("B., \"Al\"", Charset::Utf8), "\"B., \\\"Al\\\"\"");
        assert_eq!(phrase("x\r\nBcc: y", Charset::Utf8), "\"x  Bcc: y\"");
        assert_eq!(phrase("山田", Charset::Iso2022Jp), "=?ISO-2022-JP?B?GyRCOzNFRBsoQg==?=");
    }

    #[test]
    fn bodies_keep_their_charset_where_it_can() {
        assert_eq!(body("plain\n", Charset::Iso2022Jp).charset, "US-ASCII");
        let jis = body("日本\n", Charset::Iso2022Jp);
        assert_eq!((jis.charset, jis.encoding), ("ISO-2022-JP", "7bit"));
        assert_eq!(jis.octets, b"\x1b$BF|K\\\x1b(B\n");
        let other = body("☺\n", Charset::Iso2022Jp);
        assert_eq!((other.charset, other.encoding), ("UTF-8", "base64"));
        assert_eq!(other.octets, b"4pi6DQo=\n");
    }
}
