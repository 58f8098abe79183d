//! Reads a framed command token by token (RFC 9051 §9).
//!
//! A [`Scan`] walks over text and literals; it never looks back, and every octet is read once. What may not stand where it stands is a
//! [`Refusal`], never a guess: exactly one space between arguments, no octet above 127 outside quotes and literals, no NUL outside
//! literal8. UTF-8 is taken wherever a string may hold it, whether it was enabled or not: who may not send it does not.

use super::ask::Refusal;
use super::command::{MailboxName, Messages, Set};
use super::config::Config;
use super::extension::Enabled;
use super::frame::Piece;
use super::response::Code;
use crate::mailbox::{SeqSet, SetError};
use encodify::utf7;
use std::borrow::Cow;

/// Deepest nesting of parentheses and of search keys.
const DEPTH: u32 = 64;

/// A value, or why there is none.
pub(super) type Parsed<T> = Result<T, Refusal>;

/// A place in a command.
#[derive(Debug, Clone)]
pub(super) struct Scan<'a> {
    /// The rest of the text piece.
    text: &'a [u8],
    /// The pieces behind it.
    pieces: &'a [Piece],
    depth: u32,
    pub(super) config: &'a Config,
    pub(super) enabled: Enabled,
}

impl<'a> Scan<'a> {
    pub(super) fn new(pieces: &'a [Piece], config: &'a Config, enabled: Enabled) -> Scan<'a> {
        let (text, pieces) = first_text(pieces);
        Scan { text, pieces, depth: 0, config, enabled }
    }

    pub(super) fn offers(&self, capability: &str) -> bool {
        capability.is_empty() || self.config.offers(capability)
    }

    /// The next octet of text; `None` before a literal and at the end.
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.first().copied()
    }

    /// True at the end of what has been framed.
    pub(super) fn is_end(&self) -> bool {
        self.text.is_empty() && self.pieces.is_empty()
    }

    /// The text up to the next literal or the end.
    pub(super) fn text_left(&self) -> &'a [u8] {
        self.text
    }

    /// True before a literal.
    pub(super) fn is_at_literal(&self) -> bool {
        self.text.is_empty() && !self.pieces.is_empty()
    }

    pub(super) fn end(&self) -> Parsed<()> {
        match self.is_end() {
            true => Ok(()),
            false => Err(Refusal::bad("too many arguments")),
        }
    }

    /// Takes an octet if it is the next.
    pub(super) fn eat(&mut self, octet: u8) -> bool {
        let is_next = self.peek() == Some(octet);
        if is_next {
            self.text = &self.text[1..];
        }
        is_next
    }

    pub(super) fn expect(&mut self, octet: u8) -> Parsed<()> {
        match self.eat(octet) {
            true => Ok(()),
            false => Err(Refusal::bad(format!("expected {:?}", char::from(octet)))),
        }
    }

    pub(super) fn sp(&mut self) -> Parsed<()> {
        match self.eat(b' ') {
            true => {
                self.extra_spaces();
                Ok(())
            }
            false if self.is_end() => Err(Refusal::bad("missing argument")),
            false => Err(Refusal::bad("expected one space")),
        }
    }

    /// Takes spaces that should not be there, where that is tolerated; true when there were some.
    pub(super) fn extra_spaces(&mut self) -> bool {
        self.config.tolerates_spaces && !self.run(|b| b == b' ').is_empty()
    }

    /// True when ` (` comes next.
    pub(super) fn is_before_list(&self) -> bool {
        let spaces = self.text.iter().take_while(|b| **b == b' ').count();
        (spaces == 1 || (spaces > 1 && self.config.tolerates_spaces)) && self.text.get(spaces) == Some(&b'(')
    }

    /// Takes the longest run of such octets.
    pub(super) fn run(&mut self, is_inside: impl Fn(u8) -> bool) -> &'a [u8] {
        let length = self.text.iter().take_while(|b| is_inside(**b)).count();
        let (run, rest) = self.text.split_at(length);
        self.text = rest;
        run
    }

    /// `atom`, in capitals.
    pub(super) fn atom(&mut self) -> Parsed<String> {
        match self.run(is_atom_char) {
            b"" => Err(Refusal::bad("expected an atom")),
            atom => Ok(upper(atom)),
        }
    }

    /// A name made of letters, digits, `.`, `-` and `_`, in capitals: items of FETCH end at their bracket.
    pub(super) fn name(&mut self) -> Parsed<String> {
        match self.run(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b)) {
            b"" => Err(Refusal::bad("expected a name")),
            name => Ok(upper(name)),
        }
    }

    /// `tag`: an ASTRING without `+`.
    pub(super) fn tag(&mut self) -> Option<&'a str> {
        let tag = self.run(|b| is_astring_char(b) && b != b'+');
        (!tag.is_empty()).then(|| std::str::from_utf8(tag).ok()).flatten()
    }

    /// `astring`.
    pub(super) fn astring(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(is_astring_char)
    }

    /// `list-mailbox`: an astring that may hold wildcards.
    fn list_mailbox(&mut self) -> Parsed<Cow<'a, [u8]>> {
        self.string_or(|b| is_astring_char(b) || b == b'%' || b == b'*')
    }

    fn string_or(&mut self, is_inside: impl Fn(u8) -> bool) -> Parsed<Cow<'a, [u8]>> {
        if self.peek() == Some(b'"') || self.is_at_literal() {
            return self.string();
        }
        match self.run(is_inside) {
            b"" => Err(Refusal::bad("expected a string")),
            atom => Ok(Cow::Borrowed(atom)),
        }
    }

    /// `string`: quoted or literal.
    pub(super) fn string(&mut self) -> Parsed<Cow<'a, [u8]>> {
        match self.is_at_literal() {
            true => match self.literal()? {
                (_, true) => Err(Refusal::bad("a literal8 is not allowed here")),
                (literal, _) => Ok(Cow::Borrowed(literal)),
            },
            false => self.quoted(),
        }
    }

    /// A literal, and whether it is a literal8.
    pub(super) fn literal(&mut self) -> Parsed<(&'a [u8], bool)> {
        let [Piece::Literal(literal, is_binary), rest @ ..] = self.pieces else {
            return Err(Refusal::bad("expected a literal"));
        };
        if !is_binary && memchr::memchr(0, literal).is_some() {
            return Err(Refusal::bad("NUL in a literal"));
        }
        (self.text, self.pieces) = first_text(rest);
        Ok((literal, *is_binary))
    }

    /// `quoted`.
    pub(super) fn quoted(&mut self) -> Parsed<Cow<'a, [u8]>> {
        let Some(inner) = self.text.strip_prefix(b"\"") else { return Err(Refusal::bad("expected a string")) };
        let mut escaped: Option<Vec<u8>> = None;
        let mut at = 0;
        loop {
            let Some(stop) = memchr::memchr2(b'"', b'\\', &inner[at..]).map(|i| at + i) else {
                return Err(Refusal::bad("a quoted string does not end"));
            };
            if let Some(text) = &mut escaped {
                text.extend_from_slice(&inner[at..stop]);
            }
            if inner[stop] == b'"' {
                self.text = &inner[stop + 1..];
                let text = escaped.map_or(Cow::Borrowed(&inner[..stop]), Cow::Owned);
                if memchr::memchr2(b'\r', 0, &text).is_some() {
                    return Err(Refusal::bad("CR or NUL in a quoted string"));
                }
                if std::str::from_utf8(&text).is_err() {
                    return Err(Refusal::bad("a quoted string is not UTF-8"));
                }
                return Ok(text);
            }
            let Some(octet @ (b'"' | b'\\')) = inner.get(stop + 1).copied() else {
                return Err(Refusal::bad("a backslash in a quoted string quotes nothing"));
            };
            escaped.get_or_insert_with(|| inner[..stop].to_vec()).push(octet);
            at = stop + 2;
        }
    }

    /// `nstring`.
    pub(super) fn nstring(&mut self) -> Parsed<Option<Cow<'a, [u8]>>> {
        if self.peek() == Some(b'"') || self.is_at_literal() {
            return self.string().map(Some);
        }
        match self.run(is_atom_char).eq_ignore_ascii_case(b"NIL") {
            true => Ok(None),
            false => Err(Refusal::bad("expected a string or NIL")),
        }
    }

    /// An astring that has to be UTF-8.
    pub(super) fn text(&mut self) -> Parsed<String> {
        utf8(self.astring()?)
    }

    /// `number`.
    pub(super) fn number(&mut self) -> Parsed<u32> {
        u32::try_from(self.number64()?).map_err(|_| Refusal::bad("the number is too large"))
    }

    /// `nz-number`.
    pub(super) fn nz_number(&mut self) -> Parsed<u32> {
        match self.number()? {
            0 => Err(Refusal::bad("0 is not allowed here")),
            number => Ok(number),
        }
    }

    /// `number64`: 63 bits.
    pub(super) fn number64(&mut self) -> Parsed<u64> {
        let digits = self.run(|b| b.is_ascii_digit());
        if digits.is_empty() {
            return Err(Refusal::bad("expected a number"));
        }
        let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse::<i64>().ok());
        number.map(i64::unsigned_abs).ok_or_else(|| Refusal::bad("the number is too large"))
    }

    /// `sequence-set` without `$`.
    pub(super) fn numbers(&mut self) -> Parsed<SeqSet> {
        let text = self.run(|b| b.is_ascii_digit() || b":,*".contains(&b));
        SeqSet::parse(text).map_err(|e| match e {
            SetError::Syntax => Refusal::bad("not a sequence set"),
            SetError::TooLong => Refusal::bad("the sequence set has too many ranges"),
        })
    }

    /// `sequence-set` without `$` and `*`: identifiers that are known.
    pub(super) fn known_numbers(&mut self) -> Parsed<SeqSet> {
        match self.text.iter().take_while(|b| **b != b' ' && **b != b')').any(|b| *b == b'*') {
            true => Err(Refusal::bad("* is not allowed here")),
            false => self.numbers(),
        }
    }

    /// `sequence-set`.
    pub(super) fn set(&mut self) -> Parsed<Set> {
        if self.peek() == Some(b'$') && self.offers("SEARCHRES") {
            self.expect(b'$')?;
            return Ok(Set::Saved);
        }
        self.numbers().map(Set::These)
    }

    pub(super) fn messages(&mut self, is_uid: bool) -> Parsed<Messages> {
        Ok(Messages { is_uid, set: self.set()? })
    }

    /// `mailbox`, for names of what is there: what is not quite modified UTF-7 is taken as it stands.
    pub(super) fn mailbox(&mut self) -> Parsed<MailboxName> {
        let name = self.astring()?;
        let name = self.unicode(name, true)?;
        MailboxName::new(&name).ok_or_else(|| Refusal::bad("control characters in a mailbox name"))
    }

    /// `mailbox`, for names of what shall be: strictly modified UTF-7 (RFC 3501 §5.1.3), or UTF-8.
    pub(super) fn new_mailbox(&mut self) -> Parsed<MailboxName> {
        let name = self.astring()?;
        let name = self.unicode(name, false)?;
        MailboxName::new(&name).ok_or_else(|| Refusal::bad("control characters in a mailbox name"))
    }

    /// A reference of LIST, in Unicode.
    pub(super) fn reference(&mut self) -> Parsed<String> {
        let name = self.astring()?;
        self.unicode(name, true)
    }

    /// A pattern of LIST, in Unicode.
    pub(super) fn pattern(&mut self) -> Parsed<String> {
        let pattern = self.list_mailbox()?;
        self.unicode(pattern, true)
    }

    fn unicode(&self, name: Cow<[u8]>, is_lenient: bool) -> Parsed<String> {
        if self.enabled.is_utf8() || !name.is_ascii() {
            return utf8(name);
        }
        match utf7::IMAP.decode(&name) {
            Ok(name) => Ok(name),
            Err(_) if is_lenient => utf7::IMAP.lenient().decode(&name).map_err(|_| bad_name()),
            Err(_) => Err(bad_name()),
        }
    }

    /// Goes one level deeper; [`Scan::leave`] comes back.
    pub(super) fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        match self.depth > DEPTH {
            true => Err(Refusal::bad("nested too deeply")),
            false => Ok(()),
        }
    }

    pub(super) fn leave(&mut self) {
        self.depth -= 1;
    }

    /// `"(" item *(SP item) ")"`.
    pub(super) fn list<T>(&mut self, item: impl FnMut(&mut Scan<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let items = self.list0(item)?;
        match items.is_empty() {
            true => Err(Refusal::bad("the list is empty")),
            false => Ok(items),
        }
    }

    /// The same, and it may be empty.
    pub(super) fn list0<T>(&mut self, mut item: impl FnMut(&mut Scan<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        self.expect(b'(')?;
        self.enter()?;
        let mut items = Vec::new();
        loop {
            let has_space = self.extra_spaces();
            if self.eat(b')') {
                break;
            }
            if !items.is_empty() && !has_space {
                self.sp()?;
            }
            items.push(item(self)?);
        }
        self.leave();
        Ok(items)
    }

    /// `1*(SP item)` up to the end of the command.
    pub(super) fn rest<T>(&mut self, mut item: impl FnMut(&mut Scan<'a>) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        while items.is_empty() || !self.is_end() {
            self.sp()?;
            items.push(item(self)?);
        }
        Ok(items)
    }
}

/// The text that the pieces begin with, and the pieces behind it.
fn first_text(pieces: &[Piece]) -> (&[u8], &[Piece]) {
    match pieces {
        [Piece::Text(text), rest @ ..] => (text, rest),
        _ => (b"", pieces),
    }
}

fn bad_name() -> Refusal {
    Refusal::no(Some(Code::Cannot), "the mailbox name is not modified UTF-7")
}

pub(super) fn is_atom_char(b: u8) -> bool {
    b.is_ascii_graphic() && !b"(){%*\"\\]".contains(&b)
}

pub(super) fn is_astring_char(b: u8) -> bool {
    is_atom_char(b) || b == b']'
}

fn upper(ascii: &[u8]) -> String {
    ascii.iter().map(|b| char::from(b.to_ascii_uppercase())).collect()
}

pub(super) fn utf8(text: Cow<[u8]>) -> Parsed<String> {
    String::from_utf8(text.into_owned()).map_err(|_| Refusal::bad("not UTF-8"))
}
