//! The plain form of a digest (RFC 1153).
//!
//! The RFC wants the fields of a post "as is"; where they hold encoded words, this form decodes them, since it is for people who read
//! it as it is.

use super::{Collected, Masthead};
use crate::msg::structure::{Part, Shape, Structure};
use crate::msg::{self, encode, text, words};

/// The fields that stay, in this order.
const FIELDS: [&str; 7] = ["Date", "From", "To", "Cc", "Subject", "Message-ID", "Keywords"];
/// Between preamble and posts.
const LONG: usize = 70;
/// Behind each post.
const SHORT: usize = 30;

/// A digest as a whole message.
pub fn plain(head: &Masthead, posts: &[Collected]) -> Vec<u8> {
    let (long, short) = ("-".repeat(LONG), "-".repeat(SHORT));
    let mut text = format!("{}\n{long}\n\n", head.preamble(posts));
    for post in posts {
        text.push_str(&one(&post.message, &short));
        text.push_str(&format!("\n{short}\n\n"));
    }
    text.push_str(&head.trailer());
    let body = encode::body(&text, head.charset);
    let mut out = head.header.as_bytes().to_vec();
    let fields = format!(
        "MIME-Version: 1.0\nContent-Type: text/plain; charset={}\nContent-Transfer-Encoding: {}\n\n",
        body.charset, body.encoding
    );
    out.extend_from_slice(fields.as_bytes());
    out.extend_from_slice(&body.octets);
    out
}

/// A post: its fields, an empty line, its text without empty lines around.
fn one(message: &[u8], short: &str) -> String {
    let structure = Structure::of(message);
    let header = &message[structure.root().header.clone()];
    let mut out = String::new();
    for name in FIELDS {
        for field in msg::all_fields(header).filter(|field| field.is(name)) {
            // What an encoded word hides may be anything.
            let value: String =
                words::decode_text(field.body()).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let value = value.split_whitespace().collect::<Vec<_>>().join(" ");
            out.push_str(&format!("{name}: {value}\n"));
        }
    }
    out.push('\n');
    let said = said(message, &structure);
    let lines = said.trim_matches(['\n', '\r', ' ', '\t']).lines();
    for line in lines {
        let line = line.trim_end_matches('\r');
        // A line of exactly 30 hyphens would end the post: its first one becomes a blank, as the RFC allows.
        let line = match line == short {
            true => {
                out.push(' ');
                &line[1..]
            }
            false => line,
        };
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// The texts of a post; what is no text is named.
fn said(message: &[u8], structure: &Structure) -> String {
    let leaves = || structure.parts().iter().filter(|part| part.shape == Shape::Leaf);
    let is_file =
        |part: &Part| part.content.disposition.as_ref().is_some_and(|d| d.kind.eq_ignore_ascii_case(b"attachment"));
    let has_plain = leaves().any(|part| part.media.is("text", "plain") && !is_file(part));
    let mut out = String::new();
    for part in leaves() {
        let is_other_form = has_plain && part.media.is("text", "html") && !is_file(part);
        if is_other_form {
            continue;
        }
        let shown = if is_file(part) { None } else { text::part_text(message, part) };
        match shown {
            Some(text) => out.push_str(&text),
            None => {
                let kind = String::from_utf8_lossy(part.media.kind).to_ascii_lowercase();
                let subtype = String::from_utf8_lossy(part.media.subtype).to_ascii_lowercase();
                let name = words::file_name(part).unwrap_or_default();
                out.push_str(&format!("[{kind}/{subtype} {name}, {} octets]", part.octets));
            }
        }
        if !out.ends_with('\n') {
            out.push('\n');
        }
    }
    out
}
