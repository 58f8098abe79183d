//! Address lists of any header, as ENVELOPE shows them: names and addresses raw, groups marked.
//!
//! Called by `envelope`. Shares its tokenizer with the strict parser of `addr`, whose [`crate::addr::Address`] is
//! checked, normal and fit for delivery; this reader checks nothing, changes no byte that matters (encoded words, case, 8-bit text stay)
//! and makes the best of what breaks the grammar:
//! * an address without `@` has an empty domain, since a domain that is missing marks a group in IMAP;
//! * a name without quotes around its specials, or without angle brackets around its address, is a name all the same;
//! * a `<` that never closes ends at the next comma; a group that never closes, at the end of the field.
//!
//! RFC 5322 §3.4, RFC 5322 §4.4, RFC 9051 §7.5.2.

use super::header::unfold;
use crate::addr::token::{Lexeme, Token, Tokens};

/// So many members of an address list are read; the rest is dropped.
pub const ADDRESS_LIMIT: usize = 10_000;

/// One member of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// A mailbox.
    Mailbox(RawMailbox),
    /// A group begins; its name, which may be empty.
    GroupStart(Vec<u8>),
    /// The group ends. There is one for each start, and groups do not nest.
    GroupEnd,
}

/// A mailbox as the header has it, without quotes and comments.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RawMailbox {
    /// The display name, or the comment that stands for it in old mail.
    pub name: Option<Vec<u8>>,
    /// The source route, `@a,@b` (RFC 5322 §4.4 obs-route).
    pub route: Option<Vec<u8>>,
    /// What stands before the `@`.
    pub local: Vec<u8>,
    /// What stands behind it; empty when there is nothing.
    pub domain: Vec<u8>,
}

/// Reads the body of an address field and appends its members to `found`, which holds at most [`ADDRESS_LIMIT`].
pub fn read_list(body: &[u8], found: &mut Vec<Listed>) {
    let mut member: Vec<Token> = Vec::new();
    let mut angle = Angle::Outside;
    let mut in_group = false;
    let mut put = |listed: Option<Listed>, in_group: &mut bool| {
        // A place is kept for the end of a group.
        if let Some(listed) = listed
            && (found.len() + 1 < ADDRESS_LIMIT || listed == Listed::GroupEnd)
        {
            *in_group = match listed {
                Listed::Mailbox(_) => *in_group,
                Listed::GroupStart(_) => true,
                Listed::GroupEnd => false,
            };
            found.push(listed);
        }
        found.len() + 1 < ADDRESS_LIMIT
    };
    for token in Tokens::of(body) {
        let Lexeme::Special(special) = token.lexeme else {
            if angle == Angle::Opened && !matches!(token.lexeme, Lexeme::Comment(_)) {
                angle = Angle::Inside;
            }
            member.push(token);
            continue;
        };
        let ends = match (special, angle) {
            (b',', Angle::Route) => false,
            (b',' | b';', _) | (b':', Angle::Outside) => true,
            _ => false,
        };
        if !ends {
            angle = match (special, angle) {
                (b'<', _) => Angle::Opened,
                (b'>', _) => Angle::Outside,
                (b'@', Angle::Opened) => Angle::Route,
                (b':', Angle::Route) | (_, Angle::Opened) => Angle::Inside,
                (_, angle) => angle,
            };
            member.push(token);
            continue;
        }
        angle = Angle::Outside;
        if special == b':' {
            if in_group {
                put(Some(Listed::GroupEnd), &mut in_group);
            }
            put(Some(Listed::GroupStart(phrase(&member))), &mut in_group);
        } else {
            put(mailbox(&member), &mut in_group);
            if special == b';' && in_group {
                put(Some(Listed::GroupEnd), &mut in_group);
            }
        }
        member.clear();
        if !put(None, &mut in_group) {
            break;
        }
    }
    put(mailbox(&member), &mut in_group);
    if in_group {
        put(Some(Listed::GroupEnd), &mut in_group);
    }
}

/// Where the reader is, as far as commas and colons mean different things there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Angle {
    Outside,
    /// Directly behind `<`.
    Opened,
    /// In the source route behind `<@`.
    Route,
    /// Anywhere else behind `<`.
    Inside,
}

fn mailbox(member: &[Token]) -> Option<Listed> {
    let mut comment = None;
    let mut plain: Vec<Token> = Vec::with_capacity(member.len());
    for token in member {
        match token.lexeme {
            Lexeme::Comment(raw) => comment = Some(unquoted(raw)),
            _ => plain.push(*token),
        }
    }
    if plain.is_empty() {
        return None;
    }
    let mut found = RawMailbox::default();
    let name = match plain.iter().rposition(|t| t.lexeme == Lexeme::Special(b'<')) {
        Some(open) => {
            let inner = &plain[open + 1..];
            let close = inner.iter().position(|t| t.lexeme == Lexeme::Special(b'>')).unwrap_or(inner.len());
            let name = phrase(&plain[..open]);
            let spec = route(&inner[..close], &mut found);
            addr_spec(spec, &mut found);
            if name.is_empty() { phrase(inner.get(close + 1..).unwrap_or(&[])) } else { name }
        }
        None => {
            plain.retain(|t| t.lexeme != Lexeme::Special(b'>'));
            if plain.is_empty() {
                return None;
            }
            bare(&plain, &mut found)
        }
    };
    let name = if name.is_empty() { comment.map(|c| c.trim_ascii().to_vec()) } else { Some(name) };
    found.name = name.filter(|name| !name.is_empty());
    Some(Listed::Mailbox(found))
}

/// Takes an obs-route off what stands in angle brackets.
fn route<'t, 'a>(inner: &'t [Token<'a>], found: &mut RawMailbox) -> &'t [Token<'a>] {
    let is = |token: &Token, byte| token.lexeme == Lexeme::Special(byte);
    if !inner.first().is_some_and(|t| is(t, b'@')) {
        return inner;
    }
    let Some(colon) = inner.iter().position(|t| is(t, b':')) else { return inner };
    found.route = Some(joined(&inner[..colon]));
    &inner[colon + 1..]
}

fn addr_spec(spec: &[Token], found: &mut RawMailbox) {
    match spec.iter().rposition(|t| t.lexeme == Lexeme::Special(b'@')) {
        Some(at) => {
            found.local = joined(&spec[..at]);
            found.domain = joined(&spec[at + 1..]);
        }
        None => found.local = joined(spec),
    }
}

/// An address without angle brackets; returns the words around it, which must be a name.
fn bare(plain: &[Token], found: &mut RawMailbox) -> Vec<u8> {
    let Some(at) = plain.iter().rposition(|t| t.lexeme == Lexeme::Special(b'@')) else {
        found.local = joined(plain);
        return Vec::new();
    };
    let is_dot = |token: &Token| token.lexeme == Lexeme::Special(b'.');
    // Words belong together where a dot or nothing at all is between them; blanks around dots and `@` are obsolete syntax.
    let mut start = at;
    while start > 0 {
        let (before, after) = (&plain[start - 1], &plain[start]);
        if start != at && after.spaced && !is_dot(before) && !is_dot(after) {
            break;
        }
        start -= 1;
    }
    let mut end = at + 1;
    while end < plain.len() {
        let (before, after) = (&plain[end - 1], &plain[end]);
        if end != at + 1 && after.spaced && !is_dot(before) && !is_dot(after) {
            break;
        }
        end += 1;
    }
    found.local = joined(&plain[start..at]);
    found.domain = joined(&plain[at + 1..end]);
    let name = phrase(&plain[..start]);
    if name.is_empty() { phrase(&plain[end..]) } else { name }
}

/// phrase: its words with one blank where any were; quotes taken off.
fn phrase(tokens: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    for token in tokens {
        if token.spaced && !out.is_empty() {
            out.push(b' ');
        }
        put(&token.lexeme, &mut out);
    }
    out.trim_ascii().to_vec()
}

/// The parts of an address without what stood between them; a blank between two words is kept.
fn joined(tokens: &[Token]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut after_word = false;
    for token in tokens {
        let is_word = !matches!(token.lexeme, Lexeme::Special(_));
        if token.spaced && is_word && after_word {
            out.push(b' ');
        }
        after_word = is_word;
        put(&token.lexeme, &mut out);
    }
    out
}

fn put(lexeme: &Lexeme, out: &mut Vec<u8>) {
    match lexeme {
        Lexeme::Atom(raw) => out.extend_from_slice(raw),
        // The two that may reach over a line end.
        Lexeme::Literal(raw) | Lexeme::Stray(raw) => unfold(raw, out),
        Lexeme::Quoted(raw) => out.extend(unquoted(&raw[1..raw.len() - 1])),
        Lexeme::Special(byte) => out.push(*byte),
        Lexeme::Comment(_) => {}
    }
}

/// Takes backslashes and line ends out of the inside of a quoted string or comment.
fn unquoted(raw: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(raw.len());
    let mut at = 0;
    while at < raw.len() {
        match raw[at] {
            b'\\' if at + 1 < raw.len() => {
                at += 1;
                out.push(raw[at]);
            }
            b'\n' => {}
            b'\r' if raw.get(at + 1) == Some(&b'\n') => {}
            byte => out.push(byte),
        }
        at += 1;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(text: &[u8]) -> String {
        let mut found = Vec::new();
        read_list(text, &mut found);
        let show = |listed: &Listed| match listed {
            Listed::Mailbox(m) => {
                let part = |part: &Option<Vec<u8>>| part.as_ref().map_or("-".into(), |p| p.escape_ascii().to_string());
                format!("[{}|{}|{}|{}]", part(&m.name), part(&m.route), m.local.escape_ascii(), m.domain.escape_ascii())
            }
            Listed::GroupStart(name) => format!("{{{}:", name.escape_ascii()),
            Listed::GroupEnd => "}".into(),
        };
        found.iter().map(show).collect()
    }

    #[test]
    fn truth_table() {
        for (text, expected) in [
            ("", ""),
            (" , ,\r\n ,", ""),
            ("(just a comment)", ""),
            ("user@domain", "[-|-|user|domain]"),
            ("User@DOMAIN (Real (n\\)) Name)", "[Real (n)) Name|-|User|DOMAIN]"),
            ("Real Name <user@domain>", "[Real Name|-|user|domain]"),
            ("\"Last, F. \\\"Q\\\"\"\r\n <u@d>,v@d", "[Last, F. \\\"Q\\\"|-|u|d][-|-|v|d]"),
            ("J. R. Doe <u@d> (c)", "[J. R. Doe|-|u|d]"),
            ("\"a\r\n b\" c (x)d <u@d>", "[a b c d|-|u|d]"),
            ("=?utf-8?q?J=C3=A9?= =?utf-8?q?x?= <u@d>", "[=?utf-8?q?J=C3=A9?= =?utf-8?q?x?=|-|u|d]"),
            ("\"\" <u@d>", "[-|-|u|d]"),
            ("<u@d> (c)", "[c|-|u|d]"),
            ("\"a b\"@d, a . b @ c . d", "[-|-|a b|d][-|-|a.b|c.d]"),
            ("u@[127.0.0.1]", "[-|-|u|[127.0.0.1]]"),
            ("u@[127.\n 0.\r\n\t0.1]", "[-|-|u|[127. 0.\\t0.1]]"),
            ("<@x,@y:u@d>, v@d", "[-|@x,@y|u|d][-|-|v|d]"),
            ("<@x:u@d>", "[-|@x|u|d]"),
            // Groups.
            ("g: a@b, c@d;, e@f", "{g:[-|-|a|b][-|-|c|d]}[-|-|e|f]"),
            ("undisclosed-recipients:;", "{undisclosed-recipients:}"),
            ("\"A: b\": (foo) ;,c:d@e", "{A: b:}{c:[-|-|d|e]}"),
            ("a: b: c@d; e@f;", "{a:}{b:[-|-|c|d]}[-|-|e|f]"),
            (":;", "{:}"),
            (";;a@b;c@d", "[-|-|a|b][-|-|c|d]"),
            // Broken ones.
            ("root", "[-|-|root|]"),
            ("Name <>", "[Name|-||]"),
            ("Name <root>", "[Name|-|root|]"),
            ("@d", "[-|-||d]"),
            ("u@", "[-|-|u|]"),
            ("a@b@c", "[-|-|a@b|c]"),
            ("a..b@c", "[-|-|a..b|c]"),
            ("Real Name u@d", "[Real Name|-|u|d]"),
            ("u@d Real Name", "[Real Name|-|u|d]"),
            ("<u@d> Real Name", "[Real Name|-|u|d]"),
            ("Foo <u@d, v@d", "[Foo|-|u|d][-|-|v|d]"),
            ("Foo u@d>, v@d, >", "[Foo|-|u|d][-|-|v|d]"),
            ("Foo <x> <u@d>", "[Foo <x>|-|u|d]"),
            ("\"Foo <u@d>, v@d", "[\\\"Foo|-|u|d][-|-|v|d]"),
            ("Foo (bar <u@d>, v@d", "[Foo (bar|-|u|d][-|-|v|d]"),
            ("<mailto:u@d>", "[-|-|mailto:u|d]"),
            ("Foo [x] <u@d>", "[Foo [x]|-|u|d]"),
            ("two words", "[-|-|two words|]"),
        ] {
            assert_eq!(show(text.as_bytes()), expected, "{text:?}");
        }
    }

    #[test]
    fn bytes_beyond_ascii_stay() {
        assert_eq!(show(b"J\xe9r\xf4me <j\xff@d>"), "[J\\xe9r\\xf4me|-|j\\xff|d]");
        let japanese = b"\x1b$B;3ED\x1b(B <u@d>, \x1b$B\",<(\x1b(B <v@d>";
        assert_eq!(show(japanese), "[\\x1b$B;3ED\\x1b(B|-|u|d][\\x1b$B\\\",<(\\x1b(B|-|v|d]");
    }

    #[test]
    fn long_lists_end_at_the_limit_and_groups_are_closed() {
        let mut found = Vec::new();
        read_list("a@b,".repeat(ADDRESS_LIMIT + 5).as_bytes(), &mut found);
        assert_eq!(found.len(), ADDRESS_LIMIT - 1);
        for text in ["g:".repeat(ADDRESS_LIMIT), format!("g:{}", "a@b,".repeat(ADDRESS_LIMIT))] {
            let mut found = Vec::new();
            read_list(text.as_bytes(), &mut found);
            assert!(found.len() <= ADDRESS_LIMIT && found.len() > ADDRESS_LIMIT - 3);
            assert_eq!(found.last(), Some(&Listed::GroupEnd));
            let starts = found.iter().filter(|l| matches!(l, Listed::GroupStart(_))).count();
            assert_eq!(starts, found.iter().filter(|l| **l == Listed::GroupEnd).count());
        }
    }
}
