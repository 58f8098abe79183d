//! The words of a command (RFC 5804 §4): a verb, and arguments that are strings or numbers.

use super::ask::Refusal;
use super::frame::Part;
use crate::proto::digits;
use std::collections::VecDeque;

/// A word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// What stands without quotes: a verb, a number.
    Atom(String),
    /// A quoted string or a literal.
    Text(Vec<u8>),
    /// A literal that was too large to keep.
    TooLarge,
}

/// What a string is refused for: it is too large to be taken.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooLarge;

/// The words of a command that were not looked at yet.
#[derive(Debug)]
pub(super) struct Words {
    words: VecDeque<Word>,
}

impl Words {
    /// Reads all words of a command.
    pub(super) fn read(parts: Vec<Part>) -> Result<Words, &'static str> {
        let mut words = VecDeque::new();
        // The blank that must stand before the next word has come.
        let mut is_apart = true;
        for part in parts {
            let word = match part {
                Part::Text(text) => {
                    is_apart = read_text(&text, is_apart, &mut words)?;
                    continue;
                }
                Part::Literal(text) => Word::Text(text),
                Part::TooLarge => Word::TooLarge,
            };
            if !std::mem::replace(&mut is_apart, false) {
                return Err("A blank is missing before a string");
            }
            words.push_back(word);
        }
        Ok(Words { words })
    }

    pub(super) fn verb(&mut self) -> Result<String, Refusal> {
        match self.words.pop_front() {
            Some(Word::Atom(verb)) => Ok(verb),
            Some(_) => Err("A command begins with its name, without quotes".into()),
            None => Err("Say something".into()),
        }
    }

    /// `string`; `what` it is, for the answer when it is missing.
    pub(super) fn string(&mut self, what: &str) -> Result<Result<Vec<u8>, TooLarge>, Refusal> {
        match self.words.pop_front() {
            Some(Word::Text(text)) => Ok(Ok(text)),
            Some(Word::TooLarge) => Ok(Err(TooLarge)),
            Some(Word::Atom(word)) => Err(Refusal { code: None, text: format!("{word}: the {what} must be quoted") }),
            None => Err(Refusal { code: None, text: format!("Missing argument: {what}") }),
        }
    }

    /// A string that is short and UTF-8, such as `sieve-name`.
    pub(super) fn text(&mut self, what: &str) -> Result<String, Refusal> {
        let wrong = |why: &str| Refusal { code: None, text: format!("The {what} is {why}") };
        let text = self.string(what)?.map_err(|TooLarge| wrong("too long"))?;
        String::from_utf8(text).map_err(|_| wrong("not UTF-8"))
    }

    /// `number`
    pub(super) fn number(&mut self, what: &str) -> Result<u32, Refusal> {
        match self.words.pop_front() {
            Some(Word::Atom(word)) => digits(&word)
                .ok_or_else(|| Refusal { code: None, text: format!("The {what} is not a number below 4294967296") }),
            Some(_) => Err(Refusal { code: None, text: format!("The {what} must be a number without quotes") }),
            None => Err(Refusal { code: None, text: format!("Missing argument: {what}") }),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.words.is_empty()
    }

    pub(super) fn end(&self) -> Result<(), Refusal> {
        match self.is_empty() {
            true => Ok(()),
            false => Err("Too many arguments".into()),
        }
    }
}

/// Reads the words of a line. Gives whether it ends with a blank.
fn read_text(text: &[u8], mut is_apart: bool, words: &mut VecDeque<Word>) -> Result<bool, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "The command is not UTF-8")?;
    // RFC 5804 §4: no string may have these in quotes.
    if text.contains(['\0', '\r']) {
        return Err("Control characters in the command");
    }
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if first == ' ' {
            rest = &rest[1..];
            is_apart = true;
            continue;
        }
        if !std::mem::replace(&mut is_apart, false) {
            return Err("A blank is missing between two words");
        }
        let (word, after) = match rest.strip_prefix('"') {
            Some(inner) => quoted(inner)?,
            None => atom(rest)?,
        };
        words.push_back(word);
        rest = after;
    }
    Ok(is_apart)
}

/// `quoted`, behind its first quote. Gives the string and what follows.
fn quoted(inner: &str) -> Result<(Word, &str), &'static str> {
    let mut text = Vec::new();
    let mut bytes = inner.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return Ok((Word::Text(text), &inner[at + 1..])),
            b'\\' => match bytes.next() {
                Some((_, escaped @ (b'"' | b'\\'))) => text.push(escaped),
                Some(_) => return Err("Only a quote and a backslash may follow a backslash"),
                None => break,
            },
            byte => text.push(byte),
        }
    }
    Err("Unterminated quoted string")
}

/// `atom`
fn atom(text: &str) -> Result<(Word, &str), &'static str> {
    let end = text.find([' ', '"']).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    // RFC 5804 §4: ATOM-SPECIALS.
    if word.bytes().any(|b| b"(){\\".contains(&b) || !b.is_ascii_graphic()) {
        return Err("Neither a word, a number nor a string");
    }
    Ok((Word::Atom(word.to_string()), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Word>, &'static str> {
        Words::read(vec![Part::Text(text.as_bytes().to_vec())]).map(|words| words.words.into())
    }

    #[test]
    fn words_and_strings() {
        let atom = |text: &str| Word::Atom(text.to_string());
        let text = |text: &str| Word::Text(text.as_bytes().to_vec());
        for (line, words) in [
            ("NOOP", vec![atom("NOOP")]),
            ("HAVESPACE \"a b\" 42", vec![atom("HAVESPACE"), text("a b"), atom("42")]),
            ("x \"\" \"\\\"\\\\\" \"ä€{5+}\" ", vec![atom("x"), text(""), text("\"\\"), text("ä€{5+}")]),
            ("  a   b", vec![atom("a"), atom("b")]),
            ("*", vec![atom("*")]),
            ("", vec![]),
        ] {
            assert_eq!(read(line), Ok(words), "{line}");
        }
        for bad in
            ["\"open", "\"open\\\"", "\"a\\n\"", "\"a\"\"b\"", "a\"b\"", "\"a\"b", "(", "a{3", "{x+}", "é", "a\0", "\t"]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn literals_are_strings_between_words() {
        let parts = |text: &str| {
            let literal = Part::Literal(b"x\r\n\0".to_vec());
            vec![Part::Text(text.as_bytes().to_vec()), literal, Part::Text(b" y".to_vec())]
        };
        let words: Vec<Word> = Words::read(parts("a ")).unwrap().words.into();
        assert_eq!(words, [Word::Atom("a".into()), Word::Text(b"x\r\n\0".to_vec()), Word::Atom("y".into())]);
        assert!(Words::read(parts("a")).is_err());
        assert!(Words::read(vec![Part::Literal(vec![]), Part::TooLarge]).is_err());
    }

    #[test]
    fn arguments_say_what_is_wrong_with_them() {
        let words = |text: &str| Words::read(vec![Part::Text(text.as_bytes().to_vec())]).unwrap();
        assert_eq!(words("").string("script name").unwrap_err().text, "Missing argument: script name");
        assert_eq!(words("foo").string("script name").unwrap_err().text, "foo: the script name must be quoted");
        assert_eq!(words("4294967295").number("size"), Ok(u32::MAX));
        for bad in ["4294967296", "-1", "+1", "x", "\"1\"", ""] {
            assert!(words(bad).number("size").is_err(), "{bad}");
        }
        assert!(words("a").end().is_err());
        let mut words = Words::read(vec![Part::Literal(vec![0xff])]).unwrap();
        assert_eq!(words.text("script name").unwrap_err().text, "The script name is not UTF-8");
    }
}
