//! The header of a message for a client that has not said UTF8: text outside ASCII stands in encoded words.
//!
//! RFC 6856 §2.1 forbids to send such a header as it is, and refusing the message would keep it from most clients for ever. The
//! surrogate is for reading: an address outside ASCII can be read in it, not answered to. Words that are not UTF-8, the raw bytes of old
//! mailers, need no UTF8 client and stay as they are. Sizes in LIST are those of the message as kept.

use encodify::base64;

/// Octets in one encoded word: with its frame it then has at most 75 characters (RFC 2047 §2).
const WORD: usize = 45;

/// The surrogate of a piece of header, lines with LF; `None` where nothing changes.
pub(super) fn surrogate(header: &[u8]) -> Option<Vec<u8>> {
    if header.is_ascii() {
        return None;
    }
    let mut out = Vec::with_capacity(header.len() * 2);
    for line in header.split_inclusive(|b| *b == b'\n') {
        match std::str::from_utf8(line) {
            Ok(text) if !text.is_ascii() => encode_line(text, &mut out),
            _ => out.extend_from_slice(line),
        }
    }
    Some(out)
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
        for (header, wanted) in [
            ("Subject: Grüße und\n Küsse\n", format!("Subject: {} und\n {}\n", word("Grüße"), word("Küsse"))),
            ("Subject: große Grüße\r\n", format!("Subject: {}\r\n", word("große Grüße"))),
            ("To: \"Jürgen Smith\" <j@x.test>\n", format!("To: {} <j@x.test>\n", word("Jürgen Smith"))),
            ("To: <用户@x.test>, b@x.test\n", format!("To: {} b@x.test\n", word("<用户@x.test>,"))),
            ("X: \"ü\n", format!("X: {}\n", word("\"ü"))),
        ] {
            let made = String::from_utf8(surrogate(header.as_bytes()).unwrap()).unwrap();
            assert_eq!(made, wanted);
            assert!(made.is_ascii());
        }
        assert_eq!(surrogate(b"Subject: plain\n"), None);
        assert_eq!(surrogate(b"Subject: \xff old \xc3\xbc\n").unwrap(), b"Subject: \xff old \xc3\xbc\n");
        let long = surrogate(format!("Subject: {}\n", "日".repeat(400)).as_bytes()).unwrap();
        assert!(long.is_ascii() && long.split(|b| *b == b'\n').all(|l| l.len() <= 90));
    }
}
