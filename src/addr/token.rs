//! Tokens of an address list (RFC 5322 §3.2): where each begins and ends.
//!
//! The one tokenizer of address lists, for two readers. The strict reader beside it (`list`) refuses a list with a stray byte; the reader
//! that shows any header to IMAP (`msg::address`) makes the best of it. Works on bytes, since a header may hold any.
//! Trust: input is hostile. It never fails and takes linear time: a quote, comment or literal that never closes is a
//! stray byte, and after the first of its kind no other is looked for.

use super::is_atext;

/// Comments nest at most so deep.
const COMMENT_DEPTH: usize = 32;

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lexeme<'a> {
    /// atom; a backslash and bytes of no ASCII character count as atext.
    Atom(&'a [u8]),
    /// quoted-string with its quotes.
    Quoted(&'a [u8]),
    /// domain-literal with its brackets.
    Literal(&'a [u8]),
    /// What a comment's outer parentheses hold.
    Comment(&'a [u8]),
    /// One of `< > @ , ; : .`
    Special(u8),
    /// What has no place in a list: a control character, an opening without its end, a closing without its start, or a run
    /// of ISO-2022 text, whose bytes look like anything.
    Stray(&'a [u8]),
}

/// A token and whether blanks or a comment stood before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    pub lexeme: Lexeme<'a>,
    pub spaced: bool,
}

/// Iterates over the tokens of a list.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    rest: &'a [u8],
    /// Openings that were found never to close: no other of them is looked for.
    unclosed: [bool; 256],
    after_comment: bool,
}

impl<'a> Tokens<'a> {
    pub fn of(text: &'a [u8]) -> Tokens<'a> {
        Tokens { rest: text, unclosed: [false; 256], after_comment: false }
    }

    fn lexeme(&mut self, first: u8) -> Lexeme<'a> {
        let opened = match first {
            b'"' => quoted_end,
            b'(' => comment_end,
            b'[' => literal_end,
            0x1b if self.rest.get(1) == Some(&b'$') => iso_2022_end,
            b'<' | b'>' | b'@' | b',' | b';' | b':' | b'.' => {
                self.cut(1);
                return Lexeme::Special(first);
            }
            _ => {
                let end = self.rest.iter().position(|b| !is_atom_byte(*b)).unwrap_or(self.rest.len());
                return if end == 0 { Lexeme::Stray(self.cut(1)) } else { Lexeme::Atom(self.cut(end)) };
            }
        };
        if !self.unclosed[usize::from(first)] {
            if let Some(end) = opened(self.rest) {
                let raw = self.cut(end);
                return match first {
                    b'"' => Lexeme::Quoted(raw),
                    b'(' => Lexeme::Comment(&raw[1..end - 1]),
                    b'[' => Lexeme::Literal(raw),
                    _ => Lexeme::Stray(raw),
                };
            }
            self.unclosed[usize::from(first)] = true;
        }
        Lexeme::Stray(self.cut(1))
    }

    fn cut(&mut self, end: usize) -> &'a [u8] {
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        taken
    }
}

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let before = self.rest.len();
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.rest.first() {
            self.rest = &self.rest[1..];
        }
        let spaced = self.after_comment || self.rest.len() < before;
        let first = *self.rest.first()?;
        let lexeme = self.lexeme(first);
        self.after_comment = matches!(lexeme, Lexeme::Comment(_));
        Some(Token { lexeme, spaced })
    }
}

fn is_atom_byte(byte: u8) -> bool {
    !byte.is_ascii() || byte == b'\\' || is_atext(byte as char)
}

/// The length of the quoted string that starts here.
fn quoted_end(text: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        match text[at] {
            b'"' => return Some(at + 1),
            _ => at += 2,
        }
    }
}

fn comment_end(text: &[u8]) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    loop {
        at += memchr::memchr3(b'(', b')', b'\\', text.get(at..)?)?;
        match text[at] {
            b'(' if depth == COMMENT_DEPTH => return None,
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => at += 1,
        }
        at += 1;
    }
}

fn literal_end(text: &[u8]) -> Option<usize> {
    memchr::memchr(b']', text).map(|end| end + 1)
}

/// The length of a run that left ASCII with `ESC $` and comes back to it with `ESC ( B` or `ESC ( J` (RFC 1468).
fn iso_2022_end(text: &[u8]) -> Option<usize> {
    memchr::memmem::find_iter(text, b"\x1b(").find(|at| matches!(text.get(at + 2), Some(b'B' | b'J'))).map(|at| at + 3)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &[u8]) -> String {
        let show = |token: Token| {
            let (kind, raw) = match token.lexeme {
                Lexeme::Atom(raw) => ("a", raw),
                Lexeme::Quoted(raw) => ("q", raw),
                Lexeme::Literal(raw) => ("l", raw),
                Lexeme::Comment(raw) => ("c", raw),
                Lexeme::Stray(raw) => ("!", raw),
                Lexeme::Special(byte) => return format!("{}{}", if token.spaced { " " } else { "" }, byte as char),
            };
            format!("{}{kind}{{{}}}", if token.spaced { " " } else { "" }, raw.escape_ascii())
        };
        Tokens::of(text).map(show).collect()
    }

    #[test]
    fn truth_table() {
        for (text, expected) in [
            (&b"a.b@c"[..], "a{a}.a{b}@a{c}"),
            (b" \"x \\\" y\"<a>", " q{\\\"x \\\\\\\" y\\\"}<a{a}>"),
            (b"(c (d\\)) e)f", "c{c (d\\\\)) e} a{f}"),
            (b"a@[1.2]\r\n\t,", "a{a}@l{[1.2]} ,"),
            (b"\"a,\"b\"c", "q{\\\"a,\\\"}a{b}!{\\\"}a{c}"),
            (b"(a,(b),[c", "!{(}a{a},!{(}a{b}!{)},!{[}a{c}"),
            (b"x\x00\xe3\x81\x82=?u?q?x?=", "a{x}!{\\x00}a{\\xe3\\x81\\x82=?u?q?x?=}"),
            (b"\x1b$B$\"\x1b(B <a>", "!{\\x1b$B$\\\"\\x1b(B} <a{a}>"),
            (b"\x1b$B\"a\"", "!{\\x1b}a{$B}q{\\\"a\\\"}"),
        ] {
            assert_eq!(show(text), expected, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn too_deep_comments_are_stray() {
        let deep = |n| "(".repeat(n) + &")".repeat(n);
        assert_eq!(Tokens::of(deep(COMMENT_DEPTH).as_bytes()).count(), 1);
        assert!(Tokens::of(deep(COMMENT_DEPTH + 1).as_bytes()).count() > 1);
    }
}
