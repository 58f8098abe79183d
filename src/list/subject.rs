//! The Subject of the copies: the list's prefix with the post's number, one `Re:`, no older prefix.
//!
//! Pure. A list without a prefix leaves subjects alone, octet by octet.

use regex::Regex;

/// A prefix as the setting writes it: `%M` is the list's name, `%S` the number, `%5S` the number with at least five digits.
#[derive(Debug)]
pub struct Prefix {
    format: String,
    name: String,
    /// The prefixes of other posts, at the start of a subject.
    older: Option<Regex>,
}

/// Widest number.
const WIDTH_LIMIT: usize = 12;

impl Prefix {
    /// The prefix of a list; `None` for none.
    pub fn new(format: &str, name: &str) -> Option<Prefix> {
        if format.trim().is_empty() {
            return None;
        }
        let mut pattern = String::from("(?i)^");
        for piece in pieces(format.trim()) {
            match piece {
                Piece::Text(text) => pattern.push_str(&regex::escape(text)),
                Piece::Name => pattern.push_str(&regex::escape(name)),
                Piece::Number(_) => pattern.push_str("[0-9]+"),
            }
        }
        // A prefix whose pattern is too large for the engine is not looked for.
        Some(Prefix { format: format.trim().to_string(), name: name.to_string(), older: Regex::new(&pattern).ok() })
    }

    /// The subject of a copy.
    pub fn put(&self, subject: &str, number: u64) -> String {
        let (rest, is_reply) = self.strip(subject);
        let mut out = String::new();
        for piece in pieces(&self.format) {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Name => out.push_str(&self.name),
                Piece::Number(width) => out.push_str(&format!("{number:0width$}")),
            }
        }
        out.push_str(if is_reply { " Re: " } else { " " });
        out.push_str(rest);
        out.trim_end().to_string()
    }

    /// Takes older prefixes and `Re:` off the start, in whatever order they stand there.
    fn strip<'a>(&self, subject: &'a str) -> (&'a str, bool) {
        let mut rest = subject.trim();
        let mut is_reply = false;
        loop {
            let found = self.older.as_ref().and_then(|older| older.find(rest)).filter(|found| found.end() > 0);
            if let Some(found) = found {
                rest = rest[found.end()..].trim_start();
            } else if let Some(behind) = reply(rest) {
                rest = behind.trim_start();
                is_reply = true;
            } else {
                return (rest, is_reply);
            }
        }
    }
}

/// What stands behind `Re:` in its forms: `RE:`, `Re[2]:`, `Re^3:`, a wide colon, and the words of some languages.
fn reply(text: &str) -> Option<&str> {
    let word = ["re", "aw", "sv", "odp"].iter().find_map(|word| {
        let head = text.get(..word.len())?;
        head.eq_ignore_ascii_case(word).then(|| &text[word.len()..])
    })?;
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let behind = match word.chars().next()? {
        '[' | '(' => {
            let inner = &word[1..];
            inner[digits(inner)..].strip_prefix([']', ')'])?
        }
        '^' | '*' => &word[1 + digits(&word[1..])..],
        _ => word,
    };
    behind.trim_start().strip_prefix([':', '：'])
}

enum Piece<'a> {
    Text(&'a str),
    Name,
    Number(usize),
}

/// Cuts a format into its pieces; a `%` that means nothing is text.
fn pieces(format: &str) -> Vec<Piece<'_>> {
    let mut found = Vec::new();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        let behind = &rest[at + 1..];
        let width = behind.find(|c: char| !c.is_ascii_digit()).unwrap_or(behind.len());
        let piece = match behind[width..].chars().next() {
            Some('M') if width == 0 => Piece::Name,
            Some('S') => Piece::Number(behind[..width].parse().unwrap_or(0).min(WIDTH_LIMIT)),
            _ => {
                found.push(Piece::Text(&rest[..at + 1]));
                rest = behind;
                continue;
            }
        };
        found.push(Piece::Text(&rest[..at]));
        found.push(piece);
        rest = &behind[width + 1..];
    }
    found.push(Piece::Text(rest));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (format, subject, expected) in [
            ("[%M:%5S]", "hello", "[talk:00042] hello"),
            ("[%M:%5S]", "Re: [talk:00041] hello", "[talk:00042] Re: hello"),
            ("[%M:%5S]", "[talk:00041] Re: hello", "[talk:00042] Re: hello"),
            ("[%M:%5S]", "RE: Re[2]: [TALK:7] Re^3: hello", "[talk:00042] Re: hello"),
            ("[%M:%5S]", "Re：hello", "[talk:00042] Re: hello"),
            ("[%M:%5S]", "Aw: Sv: hello", "[talk:00042] Re: hello"),
            ("[%M:%5S]", "[other:00041] hello", "[talk:00042] [other:00041] hello"),
            ("[%M:%5S]", "hello [talk:00041]", "[talk:00042] hello [talk:00041]"),
            ("[%M:%5S]", "", "[talk:00042]"),
            ("[%M:%5S]", "日本", "[talk:00042] 日本"),
            ("(%S)", "(9) (8) x", "(42) x"),
            ("%M %S%%", "talk 7%% x", "talk 42%% x"),
            ("[%M]", "Re: [talk] x", "[talk] Re: x"),
            ("[100%]", "x", "[100%] x"),
            ("[%M]", "Report: x", "[talk] Report: x"),
            ("[%M]", "Re", "[talk] Re"),
            ("[%999999S]", "x", "[000000000042] x"),
        ] {
            assert_eq!(Prefix::new(format, "talk").unwrap().put(subject, 42), expected, "{format} {subject}");
        }
        assert!(Prefix::new(" ", "talk").is_none());
    }

    #[test]
    fn hostile_subjects_end_in_time() {
        let prefix = Prefix::new("[%M]", "talk").unwrap();
        assert_eq!(prefix.put(&format!("{}x", "Re: [talk] ".repeat(20_000)), 1), "[talk] Re: x");
    }
}
