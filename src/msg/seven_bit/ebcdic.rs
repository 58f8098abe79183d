//! Quoted-printable for hosts of EBCDIC: characters that some of their tables lack are escaped too (RFC 2045 §6.7, rule 1).

/// What RFC 2045 §6.7 names.
const RARE: &[u8] = b"!\"#$@[\\]^`{|}~";
/// Longest line, without its end (RFC 2045 §6.7, rule 5).
const LINE: usize = 76;

/// The same text, encoded further; its lines are CRLF lines, as `encodify` makes them.
pub(super) fn escaped(encoded: &str) -> String {
    let mut out = String::with_capacity(encoded.len() + encoded.len() / 4);
    for line in encoded.split_inclusive("\r\n") {
        let text = line.strip_suffix("\r\n").unwrap_or(line);
        // A soft break of the old line is made anew where it stands.
        let (text, is_soft) = text.strip_suffix('=').map_or((text, false), |text| (text, true));
        let (mut rest, mut column) = (text, 0);
        while let Some(first) = rest.chars().next() {
            let piece = if first == '=' { rest.get(..3).unwrap_or(rest) } else { &rest[..first.len_utf8()] };
            rest = &rest[piece.len()..];
            let escape = piece.bytes().next().filter(|b| RARE.contains(b)).map(|b| format!("={b:02X}"));
            let piece = escape.as_deref().unwrap_or(piece);
            // The last piece of a line needs no room for a break, unless one follows.
            let room = if rest.is_empty() && !is_soft { LINE } else { LINE - 1 };
            if column + piece.len() > room {
                out.push_str("=\r\n");
                column = 0;
            }
            out.push_str(piece);
            column += piece.len();
        }
        if is_soft {
            out.push('=');
        }
        out.push_str(&line[line.len() - if line.ends_with("\r\n") { 2 } else { 0 }..]);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use encodify::qp;

    #[test]
    fn rare_characters_are_escaped_and_decode_to_the_same() {
        let long = format!("{} caf\u{e9} {}\nend!\n", "a{b}".repeat(40), "~".repeat(90));
        for text in ["plain\n", "a!b\n", "\u{e9}[0]=1\n\n{x}", long.as_str()] {
            let made = escaped(&qp::BODY.encode(text.as_bytes()));
            assert!(made.bytes().all(|b| !RARE.contains(&b)), "{made}");
            assert!(made.split("\r\n").all(|line| line.len() <= LINE), "{made}");
            let decoded = qp::BODY.decode(made.as_bytes()).unwrap();
            assert_eq!(String::from_utf8_lossy(&decoded).replace("\r\n", "\n"), text);
        }
    }
}
