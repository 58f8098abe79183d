//! Parts of posts: which are files, which types are allowed, and posts without their files or their HTML.
//!
//! Pure. What is taken out leaves a note in its place, so that the structure stays as it was; of an alternative the HTML goes without one.
//! A signed or encrypted post is never changed.
//! RFC 2045, RFC 2046 §5.1.4, RFC 2183.

use crate::lists::settings::{Language, Parts};
use crate::msg::encode::{self, Charset};
use crate::msg::structure::{Part, Shape, Structure};
use crate::msg::{self, text, words};
use std::ops::Range;

/// True for parts that are files: not a text, or said to be an attachment.
pub fn is_file(part: &Part<'_>) -> bool {
    let is_attached = part.content.disposition.as_ref().is_some_and(|d| d.kind.eq_ignore_ascii_case(b"attachment"));
    match part.shape {
        Shape::Multipart => false,
        Shape::Message => part.parent.is_some(),
        Shape::Leaf => is_attached || !(part.media.is_kind("text") || is_signature(part)),
    }
}

/// True for the part that signs the others.
fn is_signature(part: &Part<'_>) -> bool {
    part.media.is_kind("application")
        && [&b"pgp-signature"[..], b"pkcs7-signature", b"x-pkcs7-signature"]
            .iter()
            .any(|subtype| part.media.subtype.eq_ignore_ascii_case(subtype))
}

/// True when a change would break a signature or what only its readers can read: PGP/MIME, S/MIME, and PGP within a text.
pub fn is_sealed(post: &[u8], structure: &Structure<'_>) -> bool {
    let sealed = |part: &Part<'_>| {
        part.media.is("multipart", "signed")
            || part.media.is("multipart", "encrypted")
            || part.media.is("application", "pkcs7-mime")
            || part.media.is("application", "x-pkcs7-mime")
            || is_signature(part)
    };
    structure.parts().iter().any(sealed) || memchr::memmem::find(post, b"\n-----BEGIN PGP ").is_some()
}

/// True when every part has an allowed type; a rule is `kind/subtype`, `kind/*`, and may name a charset.
pub fn is_allowed(rules: &[String], structure: &Structure<'_>) -> bool {
    let leaves = structure.parts().iter().filter(|part| part.shape == Shape::Leaf);
    rules.is_empty() || leaves.into_iter().all(|part| rules.iter().any(|rule| fits(rule, part)))
}

fn fits(rule: &str, part: &Part<'_>) -> bool {
    let (media, parameters) = rule.split_once(';').unwrap_or((rule, ""));
    let (kind, subtype) = media.trim().split_once('/').unwrap_or((media, "*"));
    if !(part.media.is_kind(kind) && (subtype == "*" || part.media.is(kind, subtype))) {
        return false;
    }
    let wanted = parameters.trim().strip_prefix("charset=").map(|charset| charset.trim_matches('"'));
    let charset = part.media.parameter("charset").unwrap_or(b"us-ascii");
    // Every charset of mail holds US-ASCII.
    wanted.is_none_or(|wanted| {
        charset.eq_ignore_ascii_case(wanted.as_bytes()) || charset.eq_ignore_ascii_case(b"us-ascii")
    })
}

/// A change of the text: this range becomes those octets.
type Edit = (Range<usize>, Vec<u8>);

/// The post without files and HTML, as the settings say; `None` when it stays as it is.
pub fn without(
    post: &[u8],
    attachments: Parts,
    html: Parts,
    (language, charset): (Language, Charset),
) -> Option<Vec<u8>> {
    if attachments != Parts::Remove && html != Parts::Remove {
        return None;
    }
    let structure = Structure::of(post);
    if is_sealed(post, &structure) {
        return None;
    }
    let mut edits: Vec<Edit> = Vec::new();
    for (number, part) in structure.parts().iter().enumerate() {
        let at = part.header.start..part.body.end;
        // Inside of what goes already.
        if edits.iter().any(|(range, _)| range.start <= at.start && at.end <= range.end) {
            continue;
        }
        if attachments == Parts::Remove && part.parent.is_some() && is_file(part) {
            edits.push((at, note(part, language, charset)));
        } else if html == Parts::Remove && part.media.is("text", "html") && part.shape == Shape::Leaf {
            match spare(post, &structure, number) {
                Some(range) => edits.push((range, Vec::new())),
                None => edits.push((at, as_text(post, part, charset))),
            }
        }
    }
    if edits.is_empty() {
        return None;
    }
    edits.sort_by_key(|(range, _)| range.start);
    let mut out = Vec::with_capacity(post.len());
    let mut from = 0;
    for (range, octets) in edits {
        out.extend_from_slice(&post[from..range.start]);
        out.extend_from_slice(&octets);
        from = range.end;
    }
    out.extend_from_slice(&post[from..]);
    Some(out)
}

/// The range of an HTML part, with the delimiter before it, or of the part around it, that can go because the same text stands beside it.
fn spare(post: &[u8], structure: &Structure<'_>, html: usize) -> Option<Range<usize>> {
    let parts = structure.parts();
    let mut inner = html;
    while let Some(outer) = parts[inner].parent {
        if parts[outer].media.is("multipart", "alternative") {
            let has_text =
                structure.children(outer).any(|child| child != inner && parts[child].media.is("text", "plain"));
            let before = memchr::memmem::rfind(&post[..parts[inner].header.start], b"\n--")?;
            return has_text.then_some(before..parts[inner].body.end);
        }
        // HTML with its pictures is one alternative; anything else around it is no reason to take the whole away.
        if !parts[outer].media.is("multipart", "related") {
            return None;
        }
        inner = outer;
    }
    None
}

/// The part as plain text. The message itself keeps its other fields.
fn as_text(post: &[u8], part: &Part<'_>, charset: Charset) -> Vec<u8> {
    let body = encode::body(&text::part_text(post, part).unwrap_or_default(), charset);
    let mut out = Vec::new();
    for piece in msg::pieces(&post[part.header.clone()]) {
        let is_content = |field: &msg::Field<'_>| field.is("content-type") || field.is("content-transfer-encoding");
        if !piece.field.as_ref().is_some_and(is_content) {
            out.extend_from_slice(piece.raw);
        }
    }
    let has_version = msg::find(&out, "mime-version").is_some() || part.parent.is_some();
    if !has_version {
        out.extend_from_slice(b"MIME-Version: 1.0\n");
    }
    out.extend_from_slice(&content_fields(&body));
    out.push(b'\n');
    out.extend_from_slice(&body.octets);
    out
}

/// The part that tells of a file that was taken out.
fn note(part: &Part<'_>, language: Language, charset: Charset) -> Vec<u8> {
    let kind = String::from_utf8_lossy(part.media.kind);
    let subtype = String::from_utf8_lossy(part.media.subtype);
    let name = words::file_name(part).unwrap_or_default();
    let name: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
    let octets = part.octets;
    let text = match language {
        Language::English => format!("[A file was taken out: {name} ({kind}/{subtype}, {octets} octets)]\n"),
        Language::Japanese => {
            format!("[添付ファイルを取り除きました: {name} ({kind}/{subtype}, {octets} オクテット)]\n")
        }
    };
    let body = encode::body(&text, charset);
    let mut out = content_fields(&body);
    out.push(b'\n');
    out.extend_from_slice(&body.octets);
    out
}

/// Content-Type and Content-Transfer-Encoding of a text of ours.
pub fn content_fields(body: &encode::Body) -> Vec<u8> {
    format!("Content-Type: text/plain; charset={}\nContent-Transfer-Encoding: {}\n", body.charset, body.encoding)
        .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &str = "From: a@x.test\nContent-Type: multipart/mixed; boundary=m\n\n\
        --m\nContent-Type: multipart/alternative; boundary=a\n\n\
        --a\nContent-Type: text/plain\n\nplain\n--a\nContent-Type: text/html\n\n<p>html</p>\n--a--\n\
        --m\nContent-Type: application/pdf; name=\"x.pdf\"\nContent-Transfer-Encoding: base64\n\nAAAA\n--m--\n";

    fn changed(post: &str, attachments: Parts, html: Parts) -> Option<String> {
        let post = without(post.as_bytes(), attachments, html, (Language::English, Charset::Utf8))?;
        Some(String::from_utf8(post).unwrap())
    }

    #[test]
    fn files_leave_a_note_and_spare_html_goes() {
        let text = changed(MIXED, Parts::Remove, Parts::Remove).unwrap();
        assert!(text.contains("plain\n--a--\n") && !text.contains("html"), "{text}");
        assert!(text.contains("[A file was taken out: x.pdf (application/pdf, 4 octets)]"), "{text}");
        let structure = Structure::of(text.as_bytes());
        let kinds: Vec<_> =
            structure.parts().iter().map(|p| String::from_utf8_lossy(p.media.subtype).into_owned()).collect();
        assert_eq!(kinds, ["mixed", "alternative", "plain", "plain"]);
        assert_eq!(changed(MIXED, Parts::Keep, Parts::Refuse), None);
    }

    #[test]
    fn html_alone_becomes_text() {
        let text = changed(
            "From: a@x.test\nContent-Type: text/html\nX: y\n\n<p>one <b>two</b></p>\n",
            Parts::Keep,
            Parts::Remove,
        );
        let text = text.unwrap();
        assert!(
            text.starts_with("From: a@x.test\nX: y\nMIME-Version: 1.0\nContent-Type: text/plain; charset=US-ASCII\n"),
            "{text}"
        );
        assert!(text.contains("one two"), "{text}");
    }

    #[test]
    fn html_with_its_pictures_is_one_alternative() {
        let post = "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n\
            --a\nContent-Type: multipart/related; boundary=r\n\n--r\nContent-Type: text/html\n\n<p>\n\
            --r\nContent-Type: image/png\n\nx\n--r--\n--a--\n";
        let text = changed(post, Parts::Keep, Parts::Remove).unwrap();
        assert_eq!(text, "Content-Type: multipart/alternative; boundary=a\n\n--a\n\nplain\n--a--\n");
    }

    #[test]
    fn sealed_posts_stay_whole() {
        for kind in ["multipart/signed; boundary=m", "multipart/encrypted; boundary=m"] {
            let post = MIXED.replacen("multipart/mixed; boundary=m", kind, 1);
            assert_eq!(changed(&post, Parts::Remove, Parts::Remove), None, "{kind}");
        }
        let post = "Content-Type: text/html\n\n-----BEGIN PGP SIGNED MESSAGE-----\n";
        assert_eq!(changed(post, Parts::Remove, Parts::Remove), None);
    }

    #[test]
    fn types_and_charsets() {
        let allowed = |rules: &[&str], post: &str| {
            let rules: Vec<String> = rules.iter().map(|rule| rule.to_string()).collect();
            is_allowed(&rules, &Structure::of(post.as_bytes()))
        };
        assert!(allowed(&[], MIXED) && allowed(&["text/*", "application/pdf"], MIXED));
        assert!(!allowed(&["text/*"], MIXED) && !allowed(&["text/plain", "application/*"], MIXED));
        let jis = "Content-Type: text/plain; charset=ISO-2022-JP\n\nx";
        let rule = "text/plain; charset=iso-2022-jp";
        assert!(allowed(&[rule], jis) && allowed(&[rule], "\nx"));
        assert!(!allowed(&[rule], "Content-Type: text/plain; charset=utf-8\n\nx"));
    }
}
