//! POSIX expressions, basic and extended, written as the regex crate reads them.

/// The same expression in the crate's syntax.
pub fn translated(text: &[u8], basic: bool) -> String {
    let mut out = String::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'[' => at = bracket(text, at, &mut out),
            b'\\' => {
                let Some(&next) = text.get(at) else { break };
                at += 1;
                match next {
                    b'{' if basic => {
                        let length = text[at..].windows(2).position(|w| w == b"\\}").unwrap_or(0);
                        out.push('{');
                        out.push_str(&String::from_utf8_lossy(&text[at..at + length]));
                        out.push('}');
                        at += (length + 2).min(text.len() - at);
                    }
                    b'(' | b')' | b'|' | b'+' | b'?' if basic => out.push(char::from(next)),
                    b'<' | b'>' | b'b' | b'B' | b'w' | b'W' | b's' | b'S' => word(next, &mut out),
                    _ => literal(next, &mut out),
                }
            }
            b'(' | b')' | b'{' | b'}' | b'|' | b'+' | b'?' if basic => literal(byte, &mut out),
            b'*' if basic && (out.is_empty() || out == "^" || out.ends_with('(')) => literal(byte, &mut out),
            b'{' if !basic && is_bound(&text[at..]) => {
                let length = text[at..].iter().position(|b| *b == b'}').map_or(0, |end| end + 1);
                out.push('{');
                out.push_str(&String::from_utf8_lossy(&text[at..at + length]));
                at += length;
            }
            b'{' | b'}' => literal(byte, &mut out),
            b'(' | b')' | b'|' | b'+' | b'?' | b'*' | b'.' | b'^' | b'$' => out.push(char::from(byte)),
            _ => literal(byte, &mut out),
        }
    }
    out
}

/// The same expression over characters instead of bytes: what the crate calls a text.
pub fn of_text(text: &str) -> String {
    let bytewise = translated(text.as_bytes(), false);
    let mut out = Vec::with_capacity(bytewise.len());
    let mut rest = bytewise.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        // A byte beyond ASCII is written in hexadecimal; those of one character stand together.
        let high = after.get(1..3).filter(|_| byte == b'\\' && after.first() == Some(&b'x'));
        let high = high.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        let (taken, put) = match (byte, after.first(), high) {
            (_, _, Some(high)) if !high.is_ascii() => (4, &[high][..]),
            (b'\\', Some(_), _) => (2, &rest[..2]),
            _ => (1, &rest[..1]),
        };
        out.extend_from_slice(put);
        rest = &rest[taken..];
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// GNU's names for words and blanks.
fn word(letter: u8, out: &mut String) {
    match letter {
        b'<' => out.push_str("\\b{start}"),
        b'>' => out.push_str("\\b{end}"),
        _ => {
            out.push('\\');
            out.push(char::from(letter));
        }
    }
}

fn literal(byte: u8, out: &mut String) {
    match byte {
        // The crate knows `\<` and `\>` as the edges of a word.
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b' ' | b'<' | b'>' => out.push(char::from(byte)),
        0x21..=0x7e => {
            out.push('\\');
            out.push(char::from(byte));
        }
        _ => out.push_str(&format!("\\x{byte:02x}")),
    }
}

/// True when what stands behind a brace is a bound: `n}`, `n,}`, `n,m}`.
fn is_bound(rest: &[u8]) -> bool {
    let Some(end) = rest.iter().position(|b| matches!(b, b'}' | b'\\')) else { return false };
    rest[0].is_ascii_digit() && rest[..end].iter().all(|b| b.is_ascii_digit() || *b == b',')
}

/// A bracket expression, where a backslash is an ordinary character. Gives where the text goes on.
fn bracket(text: &[u8], at: usize, out: &mut String) -> usize {
    let mut at = at;
    out.push('[');
    if text.get(at) == Some(&b'^') {
        out.push('^');
        at += 1;
    }
    let start = at;
    while let Some(&byte) = text.get(at) {
        match byte {
            b']' if at > start => {
                out.push(']');
                return at + 1;
            }
            b'[' if text.get(at + 1) == Some(&b':') => {
                let length = text[at..].iter().position(|b| *b == b']').map_or(1, |end| end + 1);
                out.push_str(&String::from_utf8_lossy(&text[at..at + length]));
                at += length;
            }
            b'-' if at > start && text.get(at + 1).is_some_and(|next| *next != b']') => {
                out.push('-');
                at += 1;
            }
            _ => {
                literal(byte, out);
                at += 1;
            }
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::bytes::Regex;

    #[test]
    fn characters_beyond_ascii_stay_whole() {
        for (text, value) in [("^[éß]+$", "éß"), ("^日.$", "日本"), (r"^\\xc3é$", r"\xc3é"), ("^a\t$", "a\t")]
        {
            let regex = regex::Regex::new(&of_text(text)).unwrap();
            assert!(regex.is_match(value), "{text} {value}");
        }
    }

    #[test]
    fn extended_and_basic_expressions_match_as_posix_says() {
        let table: &[(&str, bool, &str, bool)] = &[
            ("^[^\\.]+$", false, "ab", true),
            ("^[\\]a]$", false, "\\a]", true),
            ("^[]x]$", false, "]", true),
            ("^a{2}$", false, "aa", true),
            ("^a{x$", false, "a{x", true),
            ("^([0-9]{1,3}\\.){3}$", false, "1.22.333.", true),
            ("^a\\{1,2\\}$", true, "aa", true),
            ("^[[:digit:]]+$", false, "12", true),
            ("^a\\(b\\)*$", true, "abb", true),
            ("^a(b)$", true, "a(b)", true),
            ("^a+$", true, "a+", true),
            ("^*a", true, "*a", true),
            ("^(a|b)?c$", false, "bc", true),
            ("^<a>$", false, "<a>", true),
            ("a>b", false, "ab", false),
            ("a\\.b", false, "axb", false),
        ];
        for (text, basic, key, expected) in table {
            let regex = Regex::new(&translated(text.as_bytes(), *basic)).unwrap();
            assert_eq!(regex.is_match(key.as_bytes()), *expected, "{text} {key}");
        }
    }
}
