//! The decoded texts of a message: for SEARCH, for the full-text index, and for previews.
//!
//! Called by the IMAP services. One definition of what a message's text is, so that a search with an index and one without find the
//! same. A text is decoded whole; nothing keeps it.
//! RFC 9051 §6.4.4, RFC 8970.

use super::header::all_fields;
use super::structure::{Part, Shape, Structure};
use super::transfer::Transfer;
use super::{charset, html, words};
use std::borrow::Cow;

/// Characters of a preview (RFC 8970 §3.3).
pub const PREVIEW_LIMIT: usize = 200;
/// So much of a part is decoded to find a preview in it, in stored octets.
const PREVIEW_WINDOW: usize = 64 * 1024;
/// So many parts are tried for a preview.
const PREVIEW_PARTS: usize = 8;

/// The header as a reader sees it: a line for each field, encoded words decoded.
pub fn header_text(header: &[u8]) -> String {
    let mut out = String::new();
    for field in all_fields(header) {
        out.push_str(field.name);
        out.push_str(": ");
        out.push_str(&words::decode_text(field.body()));
        out.push('\n');
    }
    out
}

/// The text of a part; `None` unless it is a leaf of type text. HTML is without its tags.
pub fn part_text(text: &[u8], part: &Part) -> Option<String> {
    leaf_text(&text[part.body.clone()], part)
}

fn leaf_text(body: &[u8], part: &Part) -> Option<String> {
    if part.shape != Shape::Leaf || !part.media.is_kind("text") {
        return None;
    }
    let bytes = Transfer::of(part.content.encoding).decode(body);
    let mut decoded = String::new();
    charset::decode(part.media.parameter("charset").unwrap_or(b""), &bytes, &mut decoded);
    if part.media.is("text", "html") {
        decoded = html::text(&decoded);
    }
    Some(decoded)
}

/// Gives each text of the body to `see` until it says true, which is then the answer: headers of parts with the names of
/// their files, and the texts of text parts.
pub fn any_body_text(text: &[u8], structure: &Structure, mut see: impl FnMut(&str) -> bool) -> bool {
    structure.parts().iter().any(|part| {
        if part.parent.is_some() {
            let mut header = header_text(&text[part.header.clone()]);
            // The header has the name as it is encoded (RFC 2231); people look for what it says.
            if let Some(name) = words::file_name(part) {
                header.push_str(&name);
            }
            if see(&header) {
                return true;
            }
        }
        part_text(text, part).is_some_and(|text| see(&text))
    })
}

/// The beginning of the first text that has words, on one line; empty when there is none (RFC 8970 §3.2).
pub fn preview(text: &[u8], structure: &Structure) -> String {
    let is_attachment =
        |part: &Part| part.content.disposition.as_ref().is_some_and(|d| d.kind.eq_ignore_ascii_case(b"attachment"));
    let texts = structure
        .parts()
        .iter()
        .filter(|part| part.shape == Shape::Leaf && part.media.is_kind("text") && !is_attachment(part));
    for part in texts.take(PREVIEW_PARTS) {
        let body = &text[part.body.clone()];
        let window = &body[..body.len().min(PREVIEW_WINDOW)];
        let decoded = leaf_text(window, part).map_or(Cow::Borrowed(""), Cow::Owned);
        let preview = one_line(&decoded);
        if !preview.is_empty() {
            return preview;
        }
    }
    String::new()
}

/// The first characters of a text, with one blank for each run of white space and without control characters.
fn one_line(text: &str) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut gap = false;
    for c in text.chars() {
        if c.is_whitespace() || c.is_control() {
            gap = count > 0;
            continue;
        }
        let length = usize::from(gap) + 1;
        if count + length > PREVIEW_LIMIT {
            break;
        }
        if gap {
            out.push(' ');
            gap = false;
        }
        out.push(c);
        count += length;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &str = "Subject: =?utf-8?B?5pel?=\nContent-Type: multipart/mixed; boundary=b\n\n\
        --b\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
        <p>Caf=C3=A9 <b>cr</b>=C3=A8me</p>\n\
        --b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename*=utf-8''%E6%97%A5.pdf\n\nJVBERi0=\n\
        --b\nContent-Type: message/rfc822\n\nSubject: =?utf-8?Q?in=73ide?=\n\nnested text\n--b--\n";

    #[test]
    fn body_texts() {
        let structure = Structure::of(MESSAGE.as_bytes());
        let has = |word: &str| any_body_text(MESSAGE.as_bytes(), &structure, |text| text.contains(word));
        for word in ["Café crème", "日.pdf", "inside", "nested text", "application/pdf"] {
            assert!(has(word), "{word}");
        }
        for word in ["JVBER", "<b>", "Subject: 日", "mixed"] {
            assert!(!has(word), "{word}");
        }
        let header = &MESSAGE.as_bytes()[structure.root().header.clone()];
        assert!(header_text(header).starts_with("Subject: 日\nContent-Type: multipart/mixed"));
    }

    #[test]
    fn previews() {
        let of = |text: &str| preview(text.as_bytes(), &Structure::of(text.as_bytes()));
        assert_eq!(of(MESSAGE), "Café crème");
        assert_eq!(of("A: b\n\n  one\n\n two\t\u{7}three \n"), "one two three");
        assert_eq!(of("A: b\n\n"), "");
        assert_eq!(of("Content-Type: image/png\n\nabc"), "");
        assert_eq!(of("Content-Disposition: attachment\n\nabc"), "");
        let long = of(&format!("A: b\n\n{}", "日 ".repeat(500)));
        assert_eq!((long.chars().count(), long.ends_with('日')), (199, true));
        assert_eq!(of("Content-Transfer-Encoding: base64\n\nw6nDqQ==\n"), "éé");
    }
}
