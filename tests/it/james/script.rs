//! The language of the scripts: `C:` is sent, `S:` is a regular expression of what comes back, `SESSION:` changes the connection.

use crate::imap_wire::Value;

/// Stands for anything in an expectation: no octet of the scripts' own texts.
pub const ANYTHING: &str = "^^";

/// What is sent together, and what is expected then.
#[derive(Debug)]
pub struct Exchange {
    /// Line of the first thing in it, for messages.
    pub line: usize,
    pub session: usize,
    pub sent: Vec<u8>,
    /// Whole responses, literals and all, with [`ANYTHING`] where the expression leaves it open.
    pub expected: Vec<String>,
}

/// Reads a script. Order within `SUB { }` and elsewhere is not looked at, so that the marks are dropped.
pub fn read(text: &str) -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut session = 1;
    for (index, line) in text.lines().enumerate() {
        let is_new = all.last().is_none_or(|last| last.session != session);
        let fresh = || Exchange { line: index + 1, session, sent: Vec::new(), expected: Vec::new() };
        if let Some(rest) = line.strip_prefix("C:") {
            if is_new || !all.last().unwrap().expected.is_empty() {
                all.push(fresh());
            }
            let sent = &mut all.last_mut().unwrap().sent;
            sent.extend_from_slice(rest.strip_prefix(' ').unwrap_or(rest).as_bytes());
            sent.extend_from_slice(b"\r\n");
        } else if let Some(rest) = line.strip_prefix("S:") {
            if is_new {
                all.push(fresh());
            }
            let rest = rest.strip_prefix(' ').unwrap_or(rest);
            let expected = &mut all.last_mut().unwrap().expected;
            match expected.last_mut() {
                Some(response) if !is_start(rest) => {
                    response.push_str("\r\n");
                    response.push_str(&plain(rest));
                }
                _ => expected.push(plain(rest)),
            }
        } else if let Some(number) = line.strip_prefix("SESSION:") {
            session = number.trim().parse().unwrap();
        } else {
            let ignored = ["#", "SUB {", "}", "LOG ", "AWAIT", "WAIT ", "TIMER "];
            let is_known = line.trim().is_empty() || ignored.iter().any(|word| line.starts_with(word));
            assert!(is_known, "line {}: {line}", index + 1);
        }
    }
    all
}

/// True for the first line of a response; others are inside a literal.
fn is_start(line: &str) -> bool {
    let mut words = line.split(' ');
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let is_tagged = ["OK", "NO", "BAD"].contains(&second) && first.bytes().all(|b| b.is_ascii_alphanumeric());
    first == "\\*" || first == "\\+" || is_tagged
}

/// The text that a regular expression describes; only what the scripts use of that language.
fn plain(expression: &str) -> String {
    // What may stand and may be missing: a code, and `\*` among flags.
    let mut text = expression.replace(r"(\[.+\] )?", "").replace(r"( \\\*)?", "").replace(r"\\\Seen", r"\\Seen");
    for open in [r"\d{1,2}-\w{3}-\d{4} \d{2}:\d{2}:\d{2} \+\d{4}", "(.)*", ".*", ".+", r"\d+"] {
        text = text.replace(open, ANYTHING);
    }
    let mut out = String::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        out.push(match letter {
            '\\' => match rest.next() {
                Some('r') => '\r',
                Some(escaped) => escaped,
                None => letter,
            },
            _ => letter,
        });
    }
    if out.starts_with("* OK [") && !out.contains(']') {
        // The open end takes the bracket with it.
        out.push(']');
    }
    out
}

/// True when a text fits an expectation; the case of letters is left to either side.
pub fn fits(expected: &[u8], is: &[u8]) -> bool {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
    let (expected, is) = (lower(expected), lower(is));
    let mut pieces = expected.split(ANYTHING);
    let first = pieces.next().unwrap_or_default();
    let Some(mut rest) = is.strip_prefix(first) else { return false };
    let pieces: Vec<&str> = pieces.collect();
    let Some((last, middle)) = pieces.split_last() else { return rest.is_empty() };
    for piece in middle {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

/// The same for values: lists element by element.
pub fn is_same(expected: &Value, is: &Value) -> bool {
    match (expected, is) {
        (Value::Atom(text), _) if text == ANYTHING => true,
        (Value::List(expected), Value::List(is)) => {
            // Nothing else than lists of open length have it alone.
            expected.iter().any(|v| v.atom() == ANYTHING && expected.len() == 1)
                || (expected.len() == is.len() && expected.iter().zip(is).all(|(expected, is)| is_same(expected, is)))
        }
        (Value::List(_), _) | (_, Value::List(_)) => false,
        (expected, is) => fits(expected.bytes(), is.bytes()),
    }
}
