//! A message for a client that has not said that it reads internationalized mail: what is outside ASCII in its headers stands in
//! encoded words.
//!
//! Called by POP3 (a header in pieces) and by IMAP (whole messages). RFC 6856 §2.1 and RFC 9755 forbid to send such a header as it is, and
//! refusing the message would keep it from most clients for ever. The surrogate is for reading: an address outside ASCII can be read in it,
//! not answered to. Fields that are not UTF-8, the raw bytes of old mailers, need no such client and stay as they are. The stored message
//! is never changed; sizes that are told of it are its own (RFC 6858 §3).
//!
//! | what | becomes |
//! |---|---|
//! | an address outside ASCII | a name that shows it, with an address in `.invalid` (RFC 6858 §2.1) |
//! | a parameter of Content-Type or Content-Disposition | its extended form (RFC 2231 §4), where RFC 6858 §2.2 would drop it |
//! | any other text | encoded words (RFC 2047 §2) |

use super::address::{Listed, RawMailbox, read_list};
use super::header::{Field, pieces};
use super::structure::Structure;
use encodify::base64;

/// Octets in one encoded word: with its frame it then has at most 75 characters (RFC 2047 §2).
const WORD: usize = 45;
/// Nobody has this address (RFC 6858 §2.1).
const NOBODY: &str = "<invalid@internationalized-address.invalid>";
/// Fields that hold addresses (RFC 6858 §2.1).
const ADDRESSES: [&str; 12] = [
    "bcc",
    "cc",
    "from",
    "reply-to",
    "resent-bcc",
    "resent-cc",
    "resent-from",
    "resent-sender",
    "resent-to",
    "return-path",
    "sender",
    "to",
];

/// The surrogate of a whole stored message, the headers of its parts included; `None` where nothing changes.
pub fn message(text: &[u8]) -> Option<Vec<u8>> {
    if text.is_ascii() {
        return None;
    }
    let mut out = Vec::new();
    let mut done = 0;
    for part in Structure::of(text).parts() {
        // What a header of a part inside says of the parts around it is said only once.
        let Some(header) = text.get(part.header.start.max(done)..part.header.end) else { continue };
        if let Some(made) = self::header(header) {
            out.extend_from_slice(&text[done..part.header.end - header.len()]);
            out.extend_from_slice(&made);
            done = part.header.end;
        }
    }
    (done > 0).then(|| {
        out.extend_from_slice(&text[done..]);
        out
    })
}

/// The surrogate of a header, or of a piece of one; `None` where nothing changes.
pub fn header(header: &[u8]) -> Option<Vec<u8>> {
    if header.is_ascii() {
        return None;
    }
    let mut out = Vec::with_capacity(header.len() * 2);
    let mut rest = header;
    for piece in pieces(header) {
        rest = &rest[piece.raw.len()..];
        match std::str::from_utf8(piece.raw) {
            Ok(text) if !text.is_ascii() => encode(text, piece.field, &mut out),
            _ => out.extend_from_slice(piece.raw),
        }
    }
    out.extend_from_slice(rest);
    (out != header).then_some(out)
}

fn encode(text: &str, field: Option<Field<'_>>, out: &mut Vec<u8>) {
    let name = field.map(|field| field.name.to_ascii_lowercase()).unwrap_or_default();
    let end = if text.ends_with("\r\n") { "\r\n" } else { &text[text.trim_end_matches('\n').len()..] };
    let made = match (name.as_str(), &field) {
        ("content-type" | "content-disposition", Some(field)) => parameters(field),
        (name, Some(field)) if ADDRESSES.contains(&name) => addresses(field),
        _ => None,
    };
    match made {
        Some(made) => {
            out.extend_from_slice(made.as_bytes());
            out.extend_from_slice(end.as_bytes());
        }
        None => {
            // The name stays out of the words, also where no blank follows it.
            let (name, body) = text.split_at(field.and_then(|_| text.find(':')).map_or(0, |colon| colon + 1));
            out.extend_from_slice(name.as_bytes());
            body.split_inclusive('\n').for_each(|line| encode_line(line, out));
        }
    }
}

/// An address field, made anew; `None` when all its addresses are ASCII, so that only names have to change.
fn addresses(field: &Field<'_>) -> Option<String> {
    let mut list = Vec::new();
    read_list(field.body(), &mut list);
    let is_plain =
        |m: &RawMailbox| m.local.is_ascii() && m.domain.is_ascii() && m.route.as_ref().is_none_or(|r| r.is_ascii());
    if list.iter().all(|listed| !matches!(listed, Listed::Mailbox(mailbox) if !is_plain(mailbox))) {
        return None;
    }
    let mut text = format!("{}:", field.name);
    let mut is_first = true;
    for listed in &list {
        let shown = match listed {
            Listed::GroupEnd => {
                text.push(';');
                continue;
            }
            Listed::GroupStart(name) => format!("{}:", phrase(name)),
            Listed::Mailbox(mailbox) if is_plain(mailbox) => plain(mailbox),
            Listed::Mailbox(mailbox) => {
                let address = [&mailbox.local[..], b"@", &mailbox.domain].concat();
                let shown = match &mailbox.name {
                    Some(name) => [&name[..], b" <", &address, b">"].concat(),
                    None => address,
                };
                format!("{} {NOBODY}", words(&String::from_utf8_lossy(&shown)))
            }
        };
        text.push_str(if is_first || text.ends_with(':') && !text.contains('\n') { " " } else { ",\n " });
        text.push_str(&shown);
        is_first = matches!(listed, Listed::GroupStart(_));
    }
    Some(text)
}

/// A mailbox of ASCII, its name perhaps not.
fn plain(mailbox: &RawMailbox) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let is_atom = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(b);
    let local = match mailbox.local.iter().all(is_atom) {
        true => text(&mailbox.local),
        false => quoted(&text(&mailbox.local)),
    };
    let address = if mailbox.domain.is_empty() { local } else { format!("{local}@{}", text(&mailbox.domain)) };
    match &mailbox.name {
        Some(name) => format!("{} <{address}>", phrase(name)),
        None => address,
    }
}

/// A name: words, what holds encoded words as it is, anything else in quotes.
fn phrase(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    match name.is_ascii() {
        false => words(&name),
        true if name.contains("=?") => name.into_owned(),
        true => quoted(&name),
    }
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}

fn words(text: &str) -> String {
    let mut out = Vec::new();
    flush(&mut text.to_string(), &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A field with parameters, those outside ASCII in their extended form; `None` when something else in it is outside ASCII.
fn parameters(field: &Field<'_>) -> Option<String> {
    let body = field.unfolded();
    let body = std::str::from_utf8(&body).ok()?;
    let mut text = format!("{}:", field.name);
    for (index, segment) in segments(body).enumerate() {
        let segment = segment.trim();
        text.push_str(if index == 0 { " " } else { ";\n " });
        if segment.is_ascii() {
            text.push_str(segment);
            continue;
        }
        let (name, value) = segment.split_once('=')?;
        if index == 0 || !name.is_ascii() {
            return None;
        }
        let name = name.trim().trim_end_matches('*');
        text.push_str(&format!("{name}*=utf-8''{}", percent(value.trim())));
    }
    Some(text)
}

/// What stands between the semicolons outside quotes.
fn segments(body: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    body.split(move |c| {
        let was_escaped = std::mem::take(&mut is_escaped);
        match c {
            '"' if !was_escaped => is_quoted = !is_quoted,
            '\\' if is_quoted && !was_escaped => is_escaped = true,
            _ => {}
        }
        c == ';' && !is_quoted
    })
}

/// `ext-octet`s (RFC 2231 §7) of a value, which loses its quotes.
fn percent(value: &str) -> String {
    let mut plain = String::new();
    match value.strip_prefix('"') {
        Some(inner) => {
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => plain.extend(chars.next()),
                    c => plain.push(c),
                }
            }
        }
        None => plain.push_str(value),
    }
    let shown = |b: u8| match b.is_ascii_alphanumeric() || b"-._".contains(&b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    };
    plain.bytes().map(shown).collect()
}

/// Neighbours share their words, because blanks between encoded words are not shown (RFC 2047 §6.2).
fn encode_line(line: &str, out: &mut Vec<u8>) {
    let text = line.trim_end_matches(['\r', '\n']);
    let mut rest = text;
    let mut open = String::new();
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        let (token, after) = rest[blank..].split_at(token_end(&rest[blank..]));
        if token.is_ascii() {
            flush(&mut open, out);
            out.extend_from_slice(&rest.as_bytes()[..blank + token.len()]);
        } else {
            let between = &rest[..blank];
            if open.is_empty() {
                out.extend_from_slice(between.as_bytes())
            } else {
                open.push_str(between)
            }
            open.push_str(token.strip_prefix('"').and_then(|t| t.strip_suffix('"')).unwrap_or(token));
        }
        rest = after;
    }
    flush(&mut open, out);
    out.extend_from_slice(&line.as_bytes()[text.len()..]);
}

/// A token is a quoted string that ends on its line, or what goes up to a blank.
fn token_end(text: &str) -> usize {
    if text.starts_with('"') {
        let mut is_escaped = false;
        for (i, c) in text.char_indices().skip(1) {
            match c {
                '"' if !is_escaped => return i + 1,
                c => is_escaped = c == '\\' && !is_escaped,
            }
        }
    }
    text.find([' ', '\t']).unwrap_or(text.len())
}

fn flush(open: &mut String, out: &mut Vec<u8>) {
    let mut rest = std::mem::take(open);
    let mut is_first = true;
    while !rest.is_empty() {
        let later = rest.split_off(rest.floor_char_boundary(WORD));
        let glue = if is_first { "" } else { "\n " };
        out.extend_from_slice(format!("{glue}=?UTF-8?B?{}?=", base64::STANDARD.encode(&rest)).as_bytes());
        rest = later;
        is_first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_outside_ascii_becomes_words_and_nothing_else_changes() {
        let word = |text: &str| format!("=?UTF-8?B?{}?=", base64::STANDARD.encode(text));
        for (text, wanted) in [
            ("Subject: Grüße und\n Küsse\n", format!("Subject: {} und\n {}\n", word("Grüße"), word("Küsse"))),
            ("Subject: große Grüße\r\n", format!("Subject: {}\r\n", word("große Grüße"))),
            ("To: \"Jürgen Smith\" <j@x.test>\n", format!("To: {} <j@x.test>\n", word("Jürgen Smith"))),
            ("To: <用户@x.test>, b@x.test\n", format!("To: {} {NOBODY},\n b@x.test\n", word("用户@x.test"))),
            (
                "Cc: 友: J. <\"a b\"@x.test>, Ö <ö@x.test>;\r\n",
                format!("Cc: {}: \"J.\" <\"a b\"@x.test>,\n {} {NOBODY};\r\n", word("友"), word("Ö <ö@x.test>")),
            ),
            (
                "Content-Type: text/plain; name=\"日;\\\".txt\"; charset=utf-8\n",
                "Content-Type: text/plain;\n name*=utf-8''%E6%97%A5%3B%22.txt;\n charset=utf-8\n".to_string(),
            ),
            ("X: \"ü\n", format!("X: {}\n", word("\"ü"))),
        ] {
            let made = String::from_utf8(header(text.as_bytes()).unwrap()).unwrap();
            assert_eq!(made, wanted);
            assert!(made.is_ascii());
        }
        assert_eq!(header(b"Subject: plain\n"), None);
        assert_eq!(header(b"Subject: \xff old \xc3\xbc\n"), None);
        let long = header(format!("Subject: {}\n", "日".repeat(400)).as_bytes()).unwrap();
        assert!(long.is_ascii() && long.split(|b| *b == b'\n').all(|l| l.len() <= 90));
    }

    #[test]
    fn headers_of_parts_change_and_bodies_do_not() {
        let text = "Subject: ü\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\
            Subject: é\n\nbody ü\n--b\nContent-Disposition: attachment; filename=ö.txt\n\nü\n--b--\n";
        let made = String::from_utf8(message(text.as_bytes()).unwrap()).unwrap();
        assert_eq!(
            made,
            "Subject: =?UTF-8?B?w7w=?=\nContent-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: message/rfc822\n\n\
             Subject: =?UTF-8?B?w6k=?=\n\nbody ü\n--b\nContent-Disposition: attachment;\n filename*=utf-8''%C3%B6.txt\n\n\
             ü\n--b--\n"
        );
        assert_eq!(message("Subject: x\n\nü\n".as_bytes()), None);
        assert_eq!(message(b"Subject: \xfc\n\n\xfc\n"), None);
    }

    proptest::proptest! {
        #[test]
        fn a_header_that_is_utf8_becomes_ascii_and_keeps_its_fields(text in "((To|X|Content-Type|From): ?[\"a-c@:;,ü日 <=*()\\\\]{0,30}\n){0,4}") {
            let made = header(text.as_bytes()).unwrap_or_else(|| text.clone().into_bytes());
            proptest::prop_assert!(made.is_ascii());
            let names = |text: &[u8]| pieces(text).filter_map(|p| p.field.map(|f| f.name.to_string())).collect::<Vec<_>>();
            proptest::prop_assert_eq!(names(&made), names(text.as_bytes()));
        }
    }
}
