//! What stands around an address in a header: `Name <addr>`, `addr (Name)`.
//!
//! The address itself is replaced by `$g`, so that the rewritten one can be put in its place. Damage is repaired: open quotes,
//! comments and angles are closed, a phrase with characters that need quotes gets them.

use super::meta;

/// The text around the address of `text`, with `$g` in inner form for the address.
///
/// `must_quote` are the characters that a phrase may not hold unquoted; with `colon_ok` a colon is no sign of a group.
pub fn crack(text: &[u8], must_quote: &[u8], colon_ok: bool) -> Vec<u8> {
    let text = text.trim_ascii_start();
    let mut cracker = Cracker { text, must_quote, colon_ok, ..Cracker::default() };
    while let Some(&byte) = text.get(cracker.at) {
        cracker.at += 1;
        cracker.take(byte);
    }
    cracker.repaired()
}

#[derive(Default)]
struct Cracker<'a> {
    text: &'a [u8],
    must_quote: &'a [u8],
    colon_ok: bool,
    at: usize,
    out: Vec<u8>,
    /// Where the present member of a group begins, in the text and in what came out.
    start: (usize, usize),
    /// Above 0 while characters are copied.
    copies: i32,
    comments: i32,
    angles: i32,
    brackets: i32,
    quoted: bool,
    open_quote: bool,
    needs_quotes: bool,
    placed: bool,
    had_angle: bool,
    had_colon: bool,
}

impl Cracker<'_> {
    fn take(&mut self, byte: u8) {
        let copies = self.copies > 0;
        if copies {
            self.out.push(byte);
        }
        if byte == b'\\' {
            self.needs_quotes |= self.comments <= 0 && !self.quoted;
            if let Some(&next) = self.text.get(self.at) {
                self.at += 1;
                if copies {
                    self.out.push(next);
                }
            }
            return self.place();
        }
        if byte == b'"' && self.comments <= 0 {
            self.quoted = !self.quoted;
            if copies {
                self.open_quote = !self.open_quote;
            }
            return;
        }
        if self.quoted {
            return self.place();
        }
        if byte == b'(' {
            self.comments += 1;
            self.copies += 1;
            if self.copies == 1 {
                if self.out.len() > self.start.1 {
                    self.out.push(b' ');
                }
                self.out.push(byte);
            }
        }
        if self.comments > 0 {
            if byte == b')' {
                self.comments -= 1;
                self.copies -= 1;
            }
            return;
        }
        if byte == b')' && copies {
            self.out.pop();
        }
        match byte {
            b'[' => self.brackets += 1,
            b']' => self.brackets -= 1,
            _ => {}
        }
        let is_group = byte == b':' && self.angles <= 0 && self.brackets <= 0 && !self.had_colon && !self.colon_ok;
        if is_group {
            // `host::user` and `user@DEC:.x` are no groups.
            if let Some(&next @ (b':' | b'.')) = self.text.get(self.at) {
                self.needs_quotes = true;
                if copies {
                    self.out.push(next);
                }
                self.at += 1;
                return self.place();
            }
            self.had_colon = true;
            self.phrase();
            while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
                self.out.push(self.text[self.at]);
                self.at += 1;
            }
            self.start = (self.at, self.out.len());
            return;
        }
        if byte == b';' && self.copies <= 0 && !self.colon_ok {
            self.out.push(byte);
        }
        if self.must_quote.contains(&byte) {
            self.needs_quotes = true;
        }
        match byte {
            b'<' => {
                // Of two angles the first is part of the phrase.
                self.needs_quotes |= self.had_angle;
                self.had_angle = true;
                self.angles = 1;
                self.phrase();
            }
            b'>' if self.angles > 0 => {
                self.angles -= 1;
                if self.copies <= 0 {
                    self.out.push(byte);
                }
                self.copies += 1;
            }
            b'>' => {
                if copies {
                    self.out.pop();
                }
                self.needs_quotes = true;
            }
            _ => self.place(),
        }
    }

    /// What was read since the start is a phrase: it comes out as it is, quoted where it has to be, with the `<` or `:` behind it.
    fn phrase(&mut self) {
        self.out.truncate(self.start.1);
        let whole = &self.text[self.start.0..self.at];
        let (phrase, tail) = match self.needs_quotes {
            true => whole.split_at(whole[..whole.len() - 1].trim_ascii_end().len()),
            false => (whole, &b""[..]),
        };
        if self.needs_quotes && !phrase.is_empty() {
            self.out.push(b'"');
        }
        for &byte in phrase {
            if self.needs_quotes && byte == b'"' {
                self.out.push(b'\\');
            }
            self.out.push(byte);
        }
        if self.needs_quotes && !phrase.is_empty() {
            self.out.push(b'"');
        }
        self.out.extend_from_slice(tail);
        self.copies = 0;
        self.placed = false;
        self.needs_quotes = false;
    }

    /// Puts `$g` where the address stands.
    fn place(&mut self) {
        if self.copies <= 0 && !self.placed {
            if self.out.last() == Some(&b')') {
                self.out.push(b' ');
            }
            self.out.extend([meta::MACRO, b'g']);
            self.placed = true;
        }
    }

    fn repaired(mut self) -> Vec<u8> {
        if self.open_quote {
            self.out.push(b'"');
        }
        let closing = |count: i32, byte: u8| std::iter::repeat_n(byte, usize::try_from(count).unwrap_or(0));
        self.out.extend(closing(self.comments, b')'));
        self.out.extend(closing(self.angles, b'>'));
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_replaced_and_names_kept() {
        let table = [
            ("alice@x", "$g"),
            ("Alice <alice@x>", "Alice <$g>"),
            ("alice@x (Alice B)", "$g (Alice B)"),
            ("A.B. <a@x>", "\"A.B.\" <$g>"),
            ("\"A, B\" <a@x>", "\"A, B\" <$g>"),
            ("(c) a@x", "(c) $g"),
            ("<a@x>", "<$g>"),
            ("<a@x", "<$g>"),
            ("a (b", "$g (b)"),
            ("list: a@x;", "list: $g;"),
        ];
        for (text, expected) in table {
            let found = meta::shown(&crack(text.as_bytes(), b"@,;:\\()[].'", false));
            assert_eq!(String::from_utf8_lossy(&found), expected, "{text}");
        }
    }
}
