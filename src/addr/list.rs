//! Address lists of header fields and tables (RFC 5322 §3.4), with the obsolete forms people still send.

use super::path::quoted_string;
use super::token::{Lexeme, Tokens};
use super::{Address, AddressError};
use std::borrow::Cow;

/// One member of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, unquoted, encoded words left as they are; empty when there was none.
    pub name: String,
    /// The address.
    pub address: Address,
}

/// A list as people wrote them who knew no commas: blanks separate where nothing else does.
pub fn old_style_list(text: &str) -> Cow<'_, str> {
    match text.contains([',', ';', ':', '<', '(', '"']) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.split_whitespace().collect::<Vec<_>>().join(", ")),
    }
}

/// Reads a comma-separated address list with groups, display names, comments and route addresses.
///
/// An address without a domain gets `default_domain`; with an empty `default_domain` it is an error.
/// A group's members are listed, its name is dropped. Empty members are skipped (RFC 5322 §4.4).
pub fn parse_list(text: &str, default_domain: &str) -> Result<Vec<Mailbox>, AddressError> {
    let words = words(text)?;
    let mut found = Vec::new();
    let mut member: Vec<&Word> = Vec::new();
    let mut angle = false;
    for word in &words {
        match word {
            Word::Special('<') => angle = true,
            Word::Special('>') => angle = false,
            _ => {}
        }
        match word {
            // A group's name ends here: what stood before it is no address.
            Word::Special(':') if !angle => member.clear(),
            Word::Special(',') | Word::Special(';') if !angle => {
                found.extend(mailbox(&member, default_domain)?);
                member.clear();
            }
            _ => member.push(word),
        }
    }
    found.extend(mailbox(&member, default_domain)?);
    Ok(found)
}

#[derive(Debug, PartialEq, Eq)]
enum Word {
    Atom(String),
    Quoted(String),
    Literal(String),
    Comment(String),
    Special(char),
}

/// Cuts a list into words; whatever is stray is an error.
///
/// Folding is white space wherever it stands, inside quoted strings too (RFC 5322 §3.2.4); it is taken out once, at the start:
/// done at each quote, hostile text made this quadratic and deep.
fn words(text: &str) -> Result<Vec<Word>, AddressError> {
    let unfolded = match text.contains(['\r', '\n', '\t']) {
        true => Cow::Owned(
            text.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ").replace(['\r', '\n', '\t'], " "),
        ),
        false => Cow::Borrowed(text),
    };
    Tokens::of(unfolded.as_bytes()).map(|token| word(token.lexeme)).collect()
}

fn word(lexeme: Lexeme) -> Result<Word, AddressError> {
    // Tokens are cut at ASCII characters, so what was UTF-8 stays UTF-8.
    let text = |raw: &[u8]| String::from_utf8_lossy(raw).into_owned();
    Ok(match lexeme {
        // The tokenizer takes every byte beyond ASCII for atext, also those of a control character (RFC 6532 §3.2 has none).
        Lexeme::Atom(raw) => match text(raw) {
            atom if atom.chars().any(char::is_control) => return Err(AddressError::Syntax),
            atom => Word::Atom(atom),
        },
        Lexeme::Quoted(raw) => Word::Quoted(quoted_string(&text(&raw[1..]))?.0),
        Lexeme::Literal(raw) => Word::Literal(text(raw)),
        Lexeme::Comment(raw) => Word::Comment(unescaped(&text(raw))),
        Lexeme::Special(byte) => Word::Special(byte as char),
        Lexeme::Stray(b"[") => return Err(AddressError::Domain),
        Lexeme::Stray(_) => return Err(AddressError::Syntax),
    })
}

fn unescaped(comment: &str) -> String {
    let mut out = String::with_capacity(comment.len());
    let mut chars = comment.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// mailbox = name-addr / addr-spec; nothing at all is an empty member.
fn mailbox(member: &[&Word], default_domain: &str) -> Result<Option<Mailbox>, AddressError> {
    let mut comments = Vec::new();
    let mut plain: Vec<&Word> = Vec::new();
    for word in member {
        match word {
            Word::Comment(text) => comments.push(text.as_str()),
            word => plain.push(word),
        }
    }
    if plain.is_empty() {
        return Ok(None);
    }
    let open = plain.iter().position(|t| **t == Word::Special('<'));
    let Some(open) = open else {
        // `alice@example.test (Alice)`: the comment is the name, as old mail has it.
        let name = comments.last().map_or(String::new(), |c| c.trim().to_string());
        return Ok(Some(Mailbox { name, address: addr_spec(&plain, default_domain)? }));
    };
    let close = plain.iter().position(|t| **t == Word::Special('>')).ok_or(AddressError::Syntax)?;
    if close < open || close + 1 != plain.len() {
        return Err(AddressError::Syntax);
    }
    let mut inner = &plain[open + 1..close];
    if inner.first() == Some(&&Word::Special('@')) {
        // obs-route (RFC 5322 §4.4): dropped.
        let colon = inner.iter().position(|t| **t == Word::Special(':')).ok_or(AddressError::Syntax)?;
        inner = &inner[colon + 1..];
    }
    Ok(Some(Mailbox { name: phrase(&plain[..open])?, address: addr_spec(inner, default_domain)? }))
}

fn phrase(tokens: &[&Word]) -> Result<String, AddressError> {
    let mut name = String::new();
    for token in tokens {
        let word = match token {
            Word::Atom(word) | Word::Quoted(word) => word.as_str(),
            Word::Special('.') => {
                name.push('.');
                continue;
            }
            _ => return Err(AddressError::Syntax),
        };
        if !name.is_empty() {
            name.push(' ');
        }
        name.push_str(word);
    }
    Ok(name)
}

fn addr_spec(tokens: &[&Word], default_domain: &str) -> Result<Address, AddressError> {
    let at = tokens.iter().rposition(|t| **t == Word::Special('@'));
    let (left, right) = match at {
        Some(at) => (&tokens[..at], Some(&tokens[at + 1..])),
        None => (tokens, None),
    };
    let local = join_dotted(left)?;
    let domain = match right {
        Some([Word::Literal(literal)]) => literal.clone(),
        Some(right) => join_dotted(right)?,
        None if default_domain.is_empty() => return Err(AddressError::NoDomain),
        None => default_domain.to_string(),
    };
    Address::new(&local, &domain)
}

/// Words separated by single dots (RFC 5322's local-part and obs-local-part).
fn join_dotted(tokens: &[&Word]) -> Result<String, AddressError> {
    let mut joined = String::new();
    let mut expect_word = true;
    for token in tokens {
        match (token, expect_word) {
            (Word::Atom(word) | Word::Quoted(word), true) => {
                joined.push_str(word);
                expect_word = false;
            }
            (Word::Special('.'), false) => {
                joined.push('.');
                expect_word = true;
            }
            _ => return Err(AddressError::Syntax),
        }
    }
    if expect_word {
        return Err(if tokens.is_empty() { AddressError::Empty } else { AddressError::Syntax });
    }
    Ok(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<String>, AddressError> {
        let found = parse_list(text, "here.test")?;
        Ok(found.into_iter().map(|m| format!("{}<{}>", m.name, m.address)).collect())
    }

    #[test]
    fn lists() {
        let table: &[(&str, &[&str])] = &[
            ("", &[]),
            (" , ,", &[]),
            ("alice", &["<alice@here.test>"]),
            ("alice, Bob <bob@b.test>", &["<alice@here.test>", "Bob<bob@b.test>"]),
            ("\"Doe, J.\" <j@b.test>", &["Doe, J.<j@b.test>"]),
            ("J. R. Doe <j@b.test>", &["J. R. Doe<j@b.test>"]),
            ("j@b.test (J (the) Doe)", &["J (the) Doe<j@b.test>"]),
            ("team: a@b.test, c@d.test;, e", &["<a@b.test>", "<c@d.test>", "<e@here.test>"]),
            ("undisclosed-recipients:;", &[]),
            ("<@x,@y:a@b.test>", &["<a@b.test>"]),
            ("a . b @ c . d", &["<a.b@c.d>"]),
            ("=?utf-8?q?J?= <j@b.test>", &["=?utf-8?q?J?=<j@b.test>"]),
            ("\"a b\"@c.test", &["<\"a b\"@c.test>"]),
            ("a@[127.0.0.1]", &["<a@[127.0.0.1]>"]),
            ("\"folded\r\n name\" <a@b.c>", &["folded name<a@b.c>"]),
        ];
        for (text, expected) in table {
            assert_eq!(list(text).unwrap_or_else(|e| panic!("{text}: {e}")), *expected, "{text}");
        }
    }

    #[test]
    fn broken_lists_are_refused() {
        for text in ["a b", "<a@b.c", "a@b.c>", "\"a", "(a", "a@", "@b", "a@b@", "x <a@b.c> y", "\u{7}@b.c", "a..b@c.d"]
        {
            assert!(list(text).is_err(), "{text}");
        }
        assert!(list(&"(".repeat(1000)).is_err());
        assert!(parse_list("alice", "").is_err());
    }
}
