//! Maps that need nothing but their key: `arith`, `dequote`, and the search in the text of a `text` map.

use super::map::Map;
use super::world::{Looked, exit};

/// Longest result of `arith`, in octets: the model's buffer, which its rules can see.
const ARITH_LIMIT: usize = 15;

/// `arith`: the key's first character is the operator, the first two arguments are its numbers.
pub fn arith(key: &[u8], arguments: &[Vec<u8>], random: u64) -> Looked {
    let [left, right, ..] = arguments else { return Looked::failed(exit::CONFIG) };
    let (left, right) = (number(left), number(right));
    let result = match key.first() {
        Some(b'+') => left.wrapping_add(right),
        Some(b'-') => left.wrapping_sub(right),
        Some(b'*') => left.wrapping_mul(right),
        Some(b'/') if right != 0 => left.wrapping_div(right),
        Some(b'%') if right != 0 => left.wrapping_rem(right),
        Some(b'&') => left & right,
        Some(b'|') => left | right,
        Some(b'l') => return Looked::found(if left < right { "TRUE" } else { "FALSE" }),
        Some(b'=') => return Looked::found(if left == right { "TRUE" } else { "FALSE" }),
        Some(b'r') if right >= left => {
            let width = right.wrapping_sub(left).wrapping_add(1) as u64;
            let offset = if width == 0 { random } else { random % width };
            left.wrapping_add(offset as i64)
        }
        _ => return Looked::failed(exit::CONFIG),
    };
    let mut text = result.to_string().into_bytes();
    text.truncate(ARITH_LIMIT);
    Looked::found(text)
}

/// A number as strtol(3) with base 0 reads it: decimal, 0 octal, 0x hexadecimal; junk ends it; too large is the largest.
fn number(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, text) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let (base, digits) = match text {
        [b'0', b'x' | b'X', rest @ ..] if rest.first().is_some_and(u8::is_ascii_hexdigit) => (16, rest),
        [b'0', rest @ ..] => (8, rest),
        _ => (10, text),
    };
    let mut value: i64 = 0;
    for digit in digits.iter().map_while(|b| char::from(*b).to_digit(base)) {
        let digit = if negative { -i64::from(digit) } else { i64::from(digit) };
        let Some(next) = value.checked_mul(i64::from(base)).and_then(|v| v.checked_add(digit)) else {
            return if negative { i64::MIN } else { i64::MAX };
        };
        value = next;
    }
    value
}

/// `dequote`: one level of quotes off; -s gives what blanks become, without it a result with blanks is none.
pub fn dequote(map: &Map, key: &[u8]) -> Looked {
    let blank = map.value(b's').and_then(|v| v.first().copied());
    let mut out = Vec::with_capacity(key.len());
    let (mut quotes, mut inside, mut escaped) = (0, false, false);
    let (mut angles, mut comments) = (0, 0);
    for &byte in key {
        if escaped {
            out.push(byte);
            escaped = false;
            continue;
        }
        match byte {
            b'\\' => escaped = true,
            b'"' => {
                inside = !inside;
                quotes += 1;
                continue;
            }
            b'(' => comments += 1,
            b')' if comments == 0 => return Looked::failed(exit::OK),
            b')' => comments -= 1,
            b'<' => angles += 1,
            b'>' if angles == 0 => return Looked::failed(exit::OK),
            b'>' => angles -= 1,
            b' ' => match blank {
                Some(blank) => {
                    out.push(blank);
                    continue;
                }
                None => return Looked::failed(exit::OK),
            },
            _ => {}
        }
        out.push(byte);
    }
    let balanced = !inside && angles == 0 && comments == 0 && !escaped;
    match balanced && quotes > 0 {
        true => Looked::found(out),
        false => Looked::failed(exit::OK),
    }
}

/// True for text without blanks outside quotes, whose quotes, angles and comments are balanced.
pub fn is_whole(text: &[u8]) -> bool {
    let (mut quoted, mut escaped, mut angles, mut comments) = (false, false, 0, 0);
    for &byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b' ' => return false,
            b'(' => comments += 1,
            b')' => comments -= 1,
            b'<' => angles += 1,
            b'>' => angles -= 1,
            _ => {}
        }
        if angles < 0 || comments < 0 {
            return false;
        }
    }
    !quoted && !escaped && angles == 0 && comments == 0
}

/// Looks a key up in the text of a `text` map: -k and -v number its columns from 0, -z separates them.
pub fn text(map: &Map, text: &[u8], key: &[u8]) -> Looked {
    let column = |letter| map.value(letter).map_or(0, |v| usize::try_from(number(v)).unwrap_or(0));
    let separator = match map.value(b'z') {
        Some(b"\\t") => Some(b'\t'),
        Some(b"\\n") => Some(b'\n'),
        Some([b'\\', ..]) => Some(b'\\'),
        Some([first, ..]) => Some(*first),
        _ => None,
    };
    for line in text.split(|b| *b == b'\n') {
        if line.starts_with(b"#") {
            continue;
        }
        let Some(found) = field(line, column(b'k'), separator) else { continue };
        let same = if map.has(b'f') { found == key } else { found.eq_ignore_ascii_case(key) };
        if same && let Some(value) = field(line, column(b'v'), separator) {
            return Looked::found(value);
        }
    }
    Looked::missing()
}

fn field(line: &[u8], column: usize, separator: Option<u8>) -> Option<&[u8]> {
    match separator {
        Some(separator) => line.split(|b| *b == separator).nth(column),
        None => line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).nth(column),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(line: &[u8]) -> Map {
        Map::read(line, 1).0.unwrap()
    }

    #[test]
    fn arith_calculates_as_the_model_does() {
        let table = [
            ("+", "1", "2", Some("3")),
            ("+", "0x10", "010", Some("24")),
            ("/", "7", "2", Some("3")),
            ("/", "7", "0", None),
            ("%", "7", "4", Some("3")),
            ("l", "1", "2", Some("TRUE")),
            ("=", "1", "2", Some("FALSE")),
            ("<", "1", "2", None),
            ("+", "x", "y", Some("0")),
            ("-", "-1", "2", Some("-3")),
            ("+", "9223372036854775807", "1", Some("-92233720368547")),
            ("r", "5", "5", Some("5")),
        ];
        for (operator, left, right, expected) in table {
            let found = arith(operator.as_bytes(), &[left.into(), right.into()], 7).value;
            assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{left} {operator} {right}");
        }
        assert_eq!(arith(b"+", &[], 0), Looked::failed(exit::CONFIG));
    }

    #[test]
    fn dequote_takes_one_level_off() {
        let (plain, joined) = (map(b"dq dequote"), map(b"dq dequote -s_"));
        let table = [
            ("\"abc\"", Some("abc")),
            ("abc", None),
            ("\"a b\"", None),
            ("\"a\".\"b\"", Some("a.b")),
            ("\"a", None),
            ("\"a\\\"b\"", Some("a\\\"b")),
            ("ab\"cd\"", Some("abcd")),
            ("\"a(b\"", None),
            ("\"<a>\"", Some("<a>")),
        ];
        for (key, expected) in table {
            assert_eq!(dequote(&plain, key.as_bytes()).value.as_deref(), expected.map(str::as_bytes), "{key}");
        }
        assert_eq!(dequote(&joined, b"\"a b\""), Looked::found("a_b"));
    }

    #[test]
    fn whole_text_is_balanced_and_has_no_bare_blank() {
        for (text, expected) in [
            ("a", true),
            ("a b", false),
            ("\"a b\"", true),
            ("a\"", false),
            ("<a", false),
            ("a)", false),
            ("a\\", false),
            ("a\\\"", true),
            ("(a)<b>", true),
        ] {
            assert_eq!(is_whole(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn columns_of_a_text_map() {
        let file = b"# c\njoe: Joe Smith \nann:x\nANN: y\n";
        assert_eq!(text(&map(b"t text -z: -v1 f"), file, b"joe"), Looked::found(" Joe Smith "));
        assert_eq!(text(&map(b"t text -z: -v1 f"), file, b"ann"), Looked::found("x"));
        assert_eq!(text(&map(b"t text -z: f"), file, b"ann"), Looked::found("ann"));
        assert_eq!(text(&map(b"t text -v1 f"), file, b"joe:"), Looked::found("Joe"));
        assert_eq!(text(&map(b"t text f"), file, b"zed"), Looked::missing());
    }
}
