//! Cuts a script into tokens.
//!
//! Called by `grammar`. A string comes without its quotes, dots and escapes, and with LF line ends: the text it is compared with is
//! stored that way. Trust: a script is its author's, who may be anybody with an account; it is UTF-8 or refused.
//! RFC 5228 §2.1 to §2.4.2, RFC 5228 §8.1.

use super::fault::{Place, SieveError};

/// The largest number that a script may write (RFC 5228 §2.4.1 wants at least 31 bits).
pub const NUMBER_LIMIT: u64 = i64::MAX as u64;

/// One token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// A word, in lower case.
    Identifier(String),
    /// A word behind a colon, in lower case.
    Tag(String),
    /// With its quantifier worked in.
    Number(u64),
    /// A quoted or multi-line string.
    Text(String),
    /// One of `;,(){}[]`.
    Mark(char),
    /// Nothing follows.
    End,
}

/// Walks over a script.
pub struct Lexer<'a> {
    rest: &'a str,
    place: Place,
}

impl<'a> Lexer<'a> {
    /// Starts at the beginning of a script; a byte order mark is passed.
    pub fn of(text: &'a str) -> Lexer<'a> {
        Lexer { rest: text.strip_prefix('\u{feff}').unwrap_or(text), place: Place { line: 1, column: 1 } }
    }

    /// The next token and where it stands.
    pub fn next(&mut self) -> Result<(Token, Place), SieveError> {
        self.pass_blanks()?;
        let place = self.place;
        let Some(first) = self.rest.chars().next() else { return Ok((Token::End, place)) };
        let token = match first {
            ';' | ',' | '(' | ')' | '{' | '}' | '[' | ']' => {
                self.bump();
                Token::Mark(first)
            }
            '"' => Token::Text(self.quoted()?),
            ':' => {
                self.bump();
                match self.word() {
                    word if word.is_empty() => return Err(place.error("a tag's name is missing behind ':'")),
                    word => Token::Tag(word),
                }
            }
            '0'..='9' => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => {
                let word = self.word();
                if word == "text" && self.rest.starts_with(':') {
                    self.bump();
                    Token::Text(self.multi_line(place)?)
                } else {
                    Token::Identifier(word)
                }
            }
            other => return Err(place.error(format!("character '{}' does not belong here", other.escape_default()))),
        };
        Ok((token, place))
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.place = Place { line: self.place.line.saturating_add(1), column: 1 };
        } else {
            self.place.column = self.place.column.saturating_add(1);
        }
        Some(c)
    }

    /// Passes white space and comments of both kinds (RFC 5228 §2.3).
    fn pass_blanks(&mut self) -> Result<(), SieveError> {
        loop {
            if self.rest.starts_with([' ', '\t', '\r', '\n']) {
                self.bump();
            } else if self.rest.starts_with('#') {
                while !self.rest.is_empty() && !self.rest.starts_with('\n') {
                    self.bump();
                }
            } else if self.rest.starts_with("/*") {
                let start = self.place;
                let Some(length) = self.rest.find("*/").map(|at| at + 2) else {
                    return Err(start.error("this comment never ends"));
                };
                let left = self.rest.len() - length;
                while self.rest.len() > left {
                    self.bump();
                }
            } else {
                return Ok(());
            }
        }
    }

    /// identifier, in lower case.
    fn word(&mut self) -> String {
        let mut word = String::new();
        // A digit can't be first; behind a colon this leaves the word empty.
        if self.rest.starts_with(|c: char| c.is_ascii_digit()) {
            return word;
        }
        while let Some(c) = self.rest.chars().next().filter(|c| c.is_ascii_alphanumeric() || *c == '_') {
            word.push(c.to_ascii_lowercase());
            self.bump();
        }
        word
    }

    /// number: digits and a quantifier (RFC 5228 §2.4.1).
    fn number(&mut self) -> Result<Token, SieveError> {
        let place = self.place;
        let mut value = Some(0u64);
        while let Some(digit) = self.rest.chars().next().and_then(|c| c.to_digit(10)) {
            value = value.and_then(|v| v.checked_mul(10)?.checked_add(u64::from(digit)));
            self.bump();
        }
        let shift = match self.rest.chars().next().map(|c| c.to_ascii_lowercase()) {
            Some('k') => 10,
            Some('m') => 20,
            Some('g') => 30,
            _ => 0,
        };
        if shift > 0 {
            self.bump();
        }
        if self.rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return Err(place.error("a number ends in K, M, G or a digit"));
        }
        let value = value.and_then(|v| v.checked_mul(1 << shift)).filter(|v| *v <= NUMBER_LIMIT);
        value.map(Token::Number).ok_or_else(|| place.error(format!("number is larger than {NUMBER_LIMIT}")))
    }

    /// quoted-string: a backslash makes the next character plain.
    fn quoted(&mut self) -> Result<String, SieveError> {
        let start = self.place;
        self.bump();
        let mut out = String::new();
        loop {
            match self.bump() {
                Some('"') => return Ok(out),
                Some('\\') => match self.bump() {
                    Some(c) => out.push(c),
                    None => return Err(start.error("this string never ends")),
                },
                Some('\r') if self.rest.starts_with('\n') => {}
                Some('\0') => return Err(start.error("a string may not hold NUL")),
                Some(c) => out.push(c),
                None => return Err(start.error("this string never ends")),
            }
        }
    }

    /// multi-line: up to a line with a dot alone; a dot more at a line's start is dropped.
    fn multi_line(&mut self, start: Place) -> Result<String, SieveError> {
        while self.rest.starts_with([' ', '\t']) {
            self.bump();
        }
        if self.rest.starts_with('#') {
            while !self.rest.is_empty() && !self.rest.starts_with('\n') {
                self.bump();
            }
        }
        if self.rest.starts_with('\r') {
            self.bump();
        }
        if self.bump() != Some('\n') {
            return Err(start.error("the line ends behind 'text:'"));
        }
        let mut out = String::new();
        while !self.rest.is_empty() {
            let end = self.rest.find('\n').unwrap_or(self.rest.len());
            let (line, behind) = self.rest.split_at(end);
            self.rest = behind.strip_prefix('\n').unwrap_or(behind);
            self.place = Place { line: self.place.line.saturating_add(1), column: 1 };
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line == "." {
                return Ok(out);
            }
            out.push_str(line.strip_prefix('.').filter(|rest| rest.starts_with('.')).unwrap_or(line));
            out.push('\n');
        }
        Err(start.error("this text never ends: a line with a dot alone is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Result<Vec<Token>, SieveError> {
        let mut lexer = Lexer::of(text);
        let mut found = Vec::new();
        loop {
            match lexer.next()? {
                (Token::End, _) => return Ok(found),
                (token, _) => found.push(token),
            }
        }
    }

    #[test]
    fn truth_table() {
        let text = |s: &str| Token::Text(s.to_string());
        assert_eq!(
            all("# c\r\nIF /* x\n */ :Over 10K;").unwrap(),
            [Token::Identifier("if".into()), Token::Tag("over".into()), Token::Number(10240), Token::Mark(';')]
        );
        assert_eq!(all(r#""a\"b\\c\d""#).unwrap(), [text("a\"b\\cd")]);
        assert_eq!(
            all("text: # comment\r\nA\r\n..B\r\n.C\r\n.\r\n;").unwrap(),
            [text("A\n.B\n.C\n"), Token::Mark(';')]
        );
        assert_eq!(all("text:\n.\n").unwrap(), [text("")]);
        assert_eq!(all("2G").unwrap(), [Token::Number(2 << 30)]);
    }

    #[test]
    fn errors_have_a_place() {
        for (script, expected) in [
            ("keep;\n  \"abc", "line 2, column 3: this string never ends"),
            ("/* x", "line 1, column 1: this comment never ends"),
            ("text: x\n.\n", "line 1, column 1: the line ends behind 'text:'"),
            ("text:\nabc\n", "line 1, column 1: this text never ends: a line with a dot alone is missing"),
            ("\n99999999999999999999", "line 2, column 1: number is larger than 9223372036854775807"),
            ("5x", "line 1, column 1: a number ends in K, M, G or a digit"),
            (" :5", "line 1, column 2: a tag's name is missing behind ':'"),
            ("é", "line 1, column 1: character '\\u{e9}' does not belong here"),
        ] {
            assert_eq!(all(script).unwrap_err().to_string(), expected);
        }
    }
}
