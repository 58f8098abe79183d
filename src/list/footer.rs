//! The list's footer below a post.
//!
//! Pure. In a post that is one text the footer stands below it, in the text's own charset and encoding. Everything else, and a text whose
//! charset lacks the footer's characters, becomes the first part of a new multipart/mixed, with the footer behind it. A signed or
//! encrypted post is left alone.
//! RFC 2046 §5.1.3, RFC 3676 §4.4 (format=flowed).

use super::content::{content_fields, is_sealed};
use crate::msg::encode::{self, Charset};
use crate::msg::structure::{Part, Shape, Structure};
use crate::msg::transfer::Transfer;
use crate::msg::{self};

/// The post with the footer; `None` when it stays as it is. `boundary` is a word that stands nowhere in it.
pub fn add(post: &[u8], footer: &str, charset: Charset, boundary: &str) -> Option<Vec<u8>> {
    let footer = format!("{}\n", footer.trim_end_matches('\n'));
    let structure = Structure::of(post);
    if footer.trim().is_empty() || is_sealed(post, &structure) {
        return None;
    }
    let root = structure.root();
    below(post, root, &footer).or_else(|| Some(behind(post, root, &footer, charset, boundary)))
}

/// The footer below the one text.
fn below(post: &[u8], root: &Part<'_>, footer: &str) -> Option<Vec<u8>> {
    let is_attached = root.content.disposition.as_ref().is_some_and(|d| d.kind.eq_ignore_ascii_case(b"attachment"));
    if root.shape != Shape::Leaf || !root.media.is("text", "plain") || is_attached {
        return None;
    }
    let label = root.media.parameter("charset").unwrap_or(b"us-ascii").to_ascii_lowercase();
    let footer = match root.media.parameter("format").is_some_and(|f| f.eq_ignore_ascii_case(b"flowed")) {
        true => flowed(footer),
        false => footer.to_string(),
    };
    let octets = match label.as_slice() {
        b"utf-8" | b"utf8" => footer.into_bytes(),
        b"iso-2022-jp" => Charset::Iso2022Jp.encode(&footer)?,
        // Charsets of wide characters are the ones in which ASCII is not ASCII.
        other if footer.is_ascii() && !other.starts_with(b"utf") && !other.starts_with(b"ucs") => footer.into_bytes(),
        _ => return None,
    };
    let stored = &post[root.body.clone()];
    let transfer = Transfer::of(root.content.encoding);
    let mut out = post[..root.body.start].to_vec();
    // A post that is all header has no empty line yet; without one the footer would be a field.
    if !(out == b"\n" || out.ends_with(b"\n\n") || out.ends_with(b"\n\r\n")) {
        out.extend_from_slice(if out.ends_with(b"\n") { b"\n" } else { b"\n\n" });
    }
    match transfer {
        Transfer::Unknown => return None,
        Transfer::Identity => {
            let is_seven = root.content.encoding.is_none_or(|e| e.eq_ignore_ascii_case(b"7bit"));
            if is_seven && !octets.is_ascii() {
                return None;
            }
            push_text(&mut out, stored, &octets, b"\n");
        }
        Transfer::Base64 => {
            let mut text = Vec::new();
            let octets = crlf(&octets);
            push_text(&mut text, &transfer.decode(stored), &octets, b"\r\n");
            out.extend_from_slice(&encode::base64_lines(text));
        }
        Transfer::QuotedPrintable => {
            out.extend_from_slice(stored);
            if !stored.is_empty() && !stored.ends_with(b"\n") {
                out.push(b'\n');
            }
            quote(&octets, &mut out);
        }
    }
    Some(out)
}

/// The post as the first part, the footer as the second.
fn behind(post: &[u8], root: &Part<'_>, footer: &str, charset: Charset, boundary: &str) -> Vec<u8> {
    let mut outer = Vec::new();
    let mut inner = Vec::new();
    for piece in msg::pieces(&post[root.header.clone()]) {
        let name = piece.field.map_or(String::new(), |field| field.name.to_ascii_lowercase());
        let target = if name.starts_with("content-") { &mut inner } else { &mut outer };
        if name != "mime-version" {
            target.extend_from_slice(piece.raw);
            if !piece.raw.ends_with(b"\n") {
                target.push(b'\n');
            }
        }
    }
    let body = encode::body(footer, charset);
    let mut out = outer;
    out.extend_from_slice(
        format!("MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=\"{boundary}\"\n\n--{boundary}\n")
            .as_bytes(),
    );
    out.extend_from_slice(&inner);
    out.push(b'\n');
    out.extend_from_slice(&post[root.body.clone()]);
    out.extend_from_slice(format!("\n--{boundary}\n").as_bytes());
    out.extend_from_slice(&content_fields(&body));
    out.extend_from_slice(b"Content-Disposition: inline\n\n");
    out.extend_from_slice(&body.octets);
    out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    out
}

fn push_text(out: &mut Vec<u8>, text: &[u8], footer: &[u8], end: &[u8]) {
    out.extend_from_slice(text);
    if !text.is_empty() && !text.ends_with(b"\n") {
        out.extend_from_slice(end);
    }
    out.extend_from_slice(footer);
}

fn crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 16);
    for line in text.split_inclusive(|b| *b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Quoted-printable (RFC 2045 §6.7) of some lines.
fn quote(text: &[u8], out: &mut Vec<u8>) {
    /// Room for an escape and the soft line end.
    const WIDTH: usize = 72;
    for line in text.split_inclusive(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut column = 0;
        for (at, byte) in line.iter().enumerate() {
            let is_last = at + 1 == line.len();
            let is_plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~') || (*byte == b' ' && !is_last);
            if column >= WIDTH {
                out.extend_from_slice(b"=\n");
                column = 0;
            }
            match is_plain {
                true => out.push(*byte),
                false => out.extend_from_slice(format!("={byte:02X}").as_bytes()),
            }
            column += if is_plain { 1 } else { 3 };
        }
        out.push(b'\n');
    }
}

/// Lines that no reader joins with others, and none takes for quoted ones.
fn flowed(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for line in text.lines() {
        let line = line.trim_end_matches(' ');
        if line.starts_with([' ', '>']) || line.starts_with("From ") {
            out.push(' ');
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::msg::text::part_text;

    fn added(post: &[u8], footer: &str) -> Vec<u8> {
        add(post, footer, Charset::Utf8, "=b=").unwrap()
    }

    #[test]
    fn a_text_gets_it_below_in_its_own_charset_and_encoding() {
        for (post, expected) in [
            (&b"A: b\n\nhello\n"[..], "hello\n-- foot\n"),
            (b"A: b\n\nhello", "hello\n-- foot\n"),
            (b"A: b\n\n", "-- foot\n"),
            (b"A: b\n", "-- foot\n"),
            (b"A: b", "-- foot\n"),
            (b"\nx", "x\n-- foot\n"),
            (b"Content-Type: text/plain; charset=iso-2022-jp\n\n\x1b$BF|\x1b(B\n", "日\n-- foot\n"),
            (
                b"Content-Type: text/plain; charset=iso-8859-1\nContent-Transfer-Encoding: 8bit\n\n\xe9\n",
                "é\n-- foot\n",
            ),
            (
                b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9=20\n",
                "é \n-- foot\n",
            ),
            (
                b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw6kNCg==\n",
                "é\r\n-- foot\r\n",
            ),
        ] {
            let text = added(post, "-- foot");
            let structure = Structure::of(&text);
            assert_eq!(structure.parts().len(), 1);
            assert_eq!(part_text(&text, structure.root()).unwrap(), expected, "{}", post.escape_ascii());
        }
        let jis = added(b"Content-Type: text/plain; charset=iso-2022-jp\n\nx\n", "日本");
        assert!(jis.ends_with(b"x\n\x1b$BF|K\\\x1b(B\n"), "{}", jis.escape_ascii());
        let qp = added(
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n".as_bytes(),
            &"é=".repeat(60),
        );
        assert!(qp.split(|b| *b == b'\n').all(|line| line.len() <= 76));
        assert_eq!(part_text(&qp, Structure::of(&qp).root()).unwrap(), "é=".repeat(60) + "\n");
    }

    #[test]
    fn everything_else_becomes_a_part() {
        for post in [
            &b"X: y\nContent-Type: text/html\n\n<p>hello\n"[..],
            b"X: y\nMIME-Version: 1.0\nContent-Type: multipart/mixed; boundary=m\n\n--m\n\nhello\n--m--\n",
            b"X: y\nContent-Type: text/plain; charset=utf-16\nContent-Transfer-Encoding: base64\n\nAGgA\n",
        ] {
            let text = added(post, "日本");
            let structure = Structure::of(&text);
            assert!(structure.root().media.is("multipart", "mixed"));
            let last = structure.children(0).last().unwrap();
            assert_eq!(part_text(&text, &structure.parts()[last]).unwrap(), "日本\r\n");
            assert!(text.starts_with(b"X: y\nMIME-Version: 1.0\n"));
        }
        // A footer in Japanese below a text in US-ASCII.
        let text = added(b"X: y\n\nhello\n", "日本");
        assert_eq!(Structure::of(&text).parts().len(), 3);
    }

    #[test]
    fn some_posts_are_left_alone() {
        assert_eq!(add(b"A: b\n\nx\n", " \n", Charset::Utf8, "=b="), None);
        assert_eq!(
            add(b"Content-Type: multipart/signed; boundary=m\n\n--m\n\nx\n--m--\n", "foot", Charset::Utf8, "=b="),
            None
        );
    }

    #[test]
    fn flowed_lines_stay_lines() {
        assert_eq!(flowed("a \n> b\n c\nFrom d\n"), "a\n > b\n  c\n From d\n");
    }
}
