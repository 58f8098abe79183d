//! `envelope` and `body` of RFC 9051 §9, as a client reads them: no mercy, nothing shared with the printer.

use expressmail::msg::nstring::Quoting;

type Checked<T = ()> = Result<T, String>;

/// One envelope and nothing behind it.
pub fn envelope(text: &[u8], quoting: Quoting) -> Checked {
    let mut reader = Reader { text, at: 0, quoting };
    reader.envelope()?;
    reader.end()
}

/// One body and nothing behind it.
pub fn body(text: &[u8], extended: bool, quoting: Quoting) -> Checked {
    let mut reader = Reader { text, at: 0, quoting };
    reader.body(extended)?;
    reader.end()
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    quoting: Quoting,
}

impl Reader<'_> {
    fn end(&self) -> Checked {
        if self.at == self.text.len() { Ok(()) } else { Err(format!("something behind the end, at {}", self.at)) }
    }

    fn is(&self, text: &str) -> bool {
        self.text[self.at..].starts_with(text.as_bytes())
    }

    fn expect(&mut self, text: &str) -> Checked {
        if !self.is(text) {
            return Err(format!("{text:?} is missing at {}", self.at));
        }
        self.at += text.len();
        Ok(())
    }

    fn number(&mut self) -> Checked<u64> {
        let digits: Vec<u8> = self.text[self.at..].iter().copied().take_while(u8::is_ascii_digit).collect();
        self.at += digits.len();
        String::from_utf8_lossy(&digits).parse().map_err(|_| format!("no number at {}", self.at))
    }

    fn nstring(&mut self) -> Checked<Option<Vec<u8>>> {
        if self.is("NIL") {
            self.at += 3;
            return Ok(None);
        }
        self.string().map(Some)
    }

    fn string(&mut self) -> Checked<Vec<u8>> {
        let start = self.at;
        if self.is("{") {
            self.at += 1;
            let size = self.number()? as usize;
            self.expect("}\r\n")?;
            let literal = self.text.get(self.at..self.at + size).ok_or(format!("short literal at {start}"))?;
            self.at += size;
            return match literal.contains(&0) {
                true => Err(format!("NUL in the literal at {start}")),
                false => Ok(literal.to_vec()),
            };
        }
        self.expect("\"")?;
        let mut value = Vec::new();
        loop {
            let byte = *self.text.get(self.at).ok_or(format!("open quote at {start}"))?;
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    let escaped = self.text.get(self.at).filter(|b| matches!(b, b'"' | b'\\'));
                    value.push(*escaped.ok_or(format!("bad escape at {}", self.at))?);
                    self.at += 1;
                }
                0 | b'\r' | b'\n' => return Err(format!("byte {byte} in the quotes at {start}")),
                byte => value.push(byte),
            }
        }
        let may_be = value.is_ascii() || (self.quoting == Quoting::Utf8 && std::str::from_utf8(&value).is_ok());
        if may_be { Ok(value) } else { Err(format!("8-bit quoted string at {start}")) }
    }

    fn envelope(&mut self) -> Checked {
        self.expect("(")?;
        self.nstring()?;
        self.expect(" ")?;
        self.nstring()?;
        for _ in 0..6 {
            self.expect(" ")?;
            self.addresses()?;
        }
        self.expect(" ")?;
        self.nstring()?;
        self.expect(" ")?;
        self.nstring()?;
        self.expect(")")
    }

    fn addresses(&mut self) -> Checked {
        if self.is("NIL") {
            self.at += 3;
            return Ok(());
        }
        let start = self.at;
        self.expect("(")?;
        let mut in_group = false;
        loop {
            self.expect("(")?;
            let mut fields = Vec::new();
            for i in 0..4 {
                if i > 0 {
                    self.expect(" ")?;
                }
                fields.push(self.nstring()?);
            }
            self.expect(")")?;
            in_group = match (&fields[2], &fields[3]) {
                (None, None) if in_group => false,
                (Some(_), None) if !in_group => true,
                (Some(_), Some(_)) => in_group,
                _ => return Err(format!("groups out of step in the list at {start}")),
            };
            if self.is(")") {
                break;
            }
        }
        if in_group {
            return Err(format!("open group in the list at {start}"));
        }
        self.expect(")")
    }

    fn body(&mut self, extended: bool) -> Checked {
        self.expect("(")?;
        if self.is("(") {
            while self.is("(") {
                self.body(extended)?;
            }
            self.expect(" ")?;
            self.string()?;
            if extended {
                self.expect(" ")?;
                self.parameters()?;
                self.extension()?;
            }
            return self.expect(")");
        }
        let kind = self.string()?.to_ascii_lowercase();
        self.expect(" ")?;
        let subtype = self.string()?.to_ascii_lowercase();
        self.expect(" ")?;
        self.parameters()?;
        for _ in 0..2 {
            self.expect(" ")?;
            self.nstring()?;
        }
        self.expect(" ")?;
        self.string()?;
        self.expect(" ")?;
        self.number()?;
        if kind == b"message" && (subtype == b"rfc822" || subtype == b"global") {
            self.expect(" ")?;
            self.envelope()?;
            self.expect(" ")?;
            self.body(extended)?;
            self.expect(" ")?;
            self.number()?;
        } else if kind == b"text" {
            self.expect(" ")?;
            self.number()?;
        }
        if extended {
            self.expect(" ")?;
            self.nstring()?;
            self.extension()?;
        }
        self.expect(")")
    }

    /// body-fld-dsp, body-fld-lang, body-fld-loc
    fn extension(&mut self) -> Checked {
        self.expect(" ")?;
        if self.is("NIL") {
            self.at += 3;
        } else {
            self.expect("(")?;
            self.string()?;
            self.expect(" ")?;
            self.parameters()?;
            self.expect(")")?;
        }
        self.expect(" ")?;
        self.strings()?;
        self.expect(" ")?;
        self.nstring().map(drop)
    }

    fn parameters(&mut self) -> Checked {
        let start = self.at;
        match self.strings()? % 2 {
            0 => Ok(()),
            _ => Err(format!("a parameter without value in the list at {start}")),
        }
    }

    /// NIL, or a list of one or more strings: how many.
    fn strings(&mut self) -> Checked<usize> {
        if self.is("NIL") {
            self.at += 3;
            return Ok(0);
        }
        self.expect("(")?;
        let mut count = 0;
        loop {
            self.string()?;
            count += 1;
            if self.is(")") {
                break;
            }
            self.expect(" ")?;
        }
        self.expect(")").map(|()| count)
    }
}

#[test]
fn the_checker_refuses() {
    let refuses = |text: &str| body(text.as_bytes(), false, Quoting::Ascii).is_err();
    assert!(!refuses("(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)"));
    for text in [
        "",
        "()",
        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0)",
        "(\"text\" \"plain\" NIL NIL NIL NIL 0 0)",
        "(\"text\" \"plain\" (\"a\") NIL NIL \"7bit\" 0 0)",
        "(\"text\" \"plain\" () NIL NIL \"7bit\" 0 0)",
        "(\"text\" \"plain\" NIL \"\u{e9}\" NIL \"7bit\" 0 0)",
        "(\"text\" \"plain\" NIL {2}\r\na NIL \"7bit\" 0 0)",
        "(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0) ",
        "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 0)",
    ] {
        assert!(refuses(text), "{text}");
    }
    assert!(envelope(b"(NIL NIL ((NIL NIL \"g\" NIL)) NIL NIL NIL NIL NIL NIL NIL)", Quoting::Ascii).is_err());
}
