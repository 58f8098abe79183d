//! The text of HTML, for searching and previews: no tree, no rendering.
//!
//! Tags go, and what style sheets, scripts and titles hold; tags that end a line in any browser become a line end.
//! Entities are the ones that mail has. Trust: input is hostile; whatever is opened and never closed ends at the end of the
//! text, so one pass is enough.

/// Elements whose content is no text.
const SILENT: &[&str] = &["script", "style", "title", "template"];
/// Tags that belong to a run of text; any other ends it.
const INLINE: &[&str] = &[
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "code", "del", "dfn", "em", "font", "i", "ins", "kbd", "mark", "q",
    "ruby", "s", "small", "span", "strike", "strong", "sub", "sup", "tt", "u", "var", "wbr",
];
/// The longest entity that is looked for.
const ENTITY_LIMIT: usize = 12;

/// Takes the text out of HTML.
pub fn text(html: &str) -> String {
    let mut out = String::with_capacity(html.len() / 2);
    let mut rest = html;
    while let Some(at) = memchr::memchr2(b'<', b'&', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        rest = match rest.strip_prefix('&') {
            Some(after) => entity(after, &mut out),
            None => tag(rest, &mut out),
        };
    }
    out.push_str(rest);
    out
}

/// Passes a tag, a comment, or an element without text; a `<` that begins none of them is one.
fn tag<'a>(html: &'a str, out: &mut String) -> &'a str {
    if let Some(comment) = html.strip_prefix("<!--") {
        return comment.find("-->").map_or("", |end| &comment[end + 3..]);
    }
    let inner = &html[1..];
    let name_at = usize::from(inner.starts_with('/'));
    let name = tag_name(&inner[name_at..]).to_ascii_lowercase();
    if name.is_empty() && !inner.starts_with(['!', '?', '/']) {
        out.push('<');
        return inner;
    }
    let after = inner.find('>').map_or("", |end| &inner[end + 1..]);
    if !INLINE.contains(&name.as_str()) && !name.is_empty() {
        out.push('\n');
    }
    if name_at == 0 && SILENT.contains(&name.as_str()) { behind_end_tag(after, &name) } else { after }
}

/// A letter, then letters and digits; empty when there is none.
fn tag_name(html: &str) -> &str {
    let length = match html.bytes().next() {
        Some(b) if b.is_ascii_alphabetic() => html.bytes().take_while(u8::is_ascii_alphanumeric).count(),
        _ => 0,
    };
    &html[..length]
}

fn behind_end_tag<'a>(html: &'a str, name: &str) -> &'a str {
    for (at, _) in html.match_indices("</") {
        if tag_name(&html[at + 2..]).eq_ignore_ascii_case(name) {
            let end = &html[at + 2 + name.len()..];
            return end.find('>').map_or("", |close| &end[close + 1..]);
        }
    }
    ""
}

/// Reads an entity behind its `&`; what is none stays.
fn entity<'a>(html: &'a str, out: &mut String) -> &'a str {
    let end = html.bytes().take(ENTITY_LIMIT).position(|b| b == b';');
    let Some((name, after)) = end.map(|end| (&html[..end], &html[end + 1..])) else {
        out.push('&');
        return html;
    };
    let number = match name.strip_prefix('#') {
        Some(digits) => match digits.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok(),
            None => digits.parse().ok(),
        },
        None => None,
    };
    let character = number.and_then(char::from_u32).or(match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        "nbsp" => Some(' '),
        "copy" => Some('\u{a9}'),
        "reg" => Some('\u{ae}'),
        "euro" => Some('\u{20ac}'),
        "yen" => Some('\u{a5}'),
        "ndash" => Some('\u{2013}'),
        "mdash" => Some('\u{2014}'),
        "lsquo" => Some('\u{2018}'),
        "rsquo" => Some('\u{2019}'),
        "ldquo" => Some('\u{201c}'),
        "rdquo" => Some('\u{201d}'),
        "hellip" => Some('\u{2026}'),
        "bull" => Some('\u{2022}'),
        "zwnj" | "zwj" | "shy" => Some('\u{200b}'),
        _ => None,
    });
    match character {
        // Invisible fillers of newsletters.
        Some('\u{200b}' | '\u{200c}' | '\u{200d}' | '\u{ad}' | '\u{feff}' | '\u{34f}' | '\0') => after,
        Some(character) => {
            out.push(character);
            after
        }
        None => {
            out.push('&');
            html
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (html, expected) in [
            ("plain", "plain"),
            ("a<b>b</b>c<br>d<p class='x'>e</p>", "abc\nd\ne\n"),
            ("<HTML><head><title>no</title></head><body>yes", "\n\n\n\n\nyes"),
            ("<style>p { x: y }</STYLE >a<script>if (a < b) </i></scripts></script>b", "\na\nb"),
            ("a<!-- no > no -->b<!-- open", "ab"),
            ("1 < 2 && 3 <4", "1 < 2 && 3 <4"),
            ("&lt;&#65;&#x42;&nbsp;&unknown;&amp;amp;&#xFFFFFFFF;&shy;", "<AB &unknown;&amp;&#xFFFFFFFF;"),
            ("a<b", "a"),
            ("<!DOCTYPE html>a</>b", "ab"),
            ("日<b>本</b>&日本語日本語", "日本&日本語日本語"),
        ] {
            assert_eq!(text(html), expected, "{html}");
        }
    }
}
