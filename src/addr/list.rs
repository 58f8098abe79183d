//! Address lists of header fields and tables (RFC 5322 §3.4), with the obsolete forms people still send.

use super::path::quoted_string;
use super::{Address, AddressError, is_atext};
use std::borrow::Cow;

/// Comments nest at most so deep.
const COMMENT_DEPTH: usize = 32;

/// One member of an address list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mailbox {
    /// The display name, unquoted, encoded words left as they are; empty when there was none.
    pub name: String,
    /// The address.
    pub address: Address,
}

/// Reads a comma-separated address list with groups, display names, comments and route addresses.
///
/// An address without a domain gets `default_domain`; with an empty `default_domain` it is an error.
/// A group's members are listed, its name is dropped. Empty members are skipped (RFC 5322 §4.4).
pub fn parse_list(text: &str, default_domain: &str) -> Result<Vec<Mailbox>, AddressError> {
    let tokens = tokens(text)?;
    let mut found = Vec::new();
    let mut member: Vec<&Token> = Vec::new();
    let mut angle = false;
    for token in &tokens {
        match token {
            Token::Special('<') => angle = true,
            Token::Special('>') => angle = false,
            _ => {}
        }
        match token {
            // A group's name ends here: what stood before it is no address.
            Token::Special(':') if !angle => member.clear(),
            Token::Special(',') | Token::Special(';') if !angle => {
                found.extend(mailbox(&member, default_domain)?);
                member.clear();
            }
            _ => member.push(token),
        }
    }
    found.extend(mailbox(&member, default_domain)?);
    Ok(found)
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Atom(String),
    Quoted(String),
    Literal(String),
    Comment(String),
    Special(char),
}

/// Cuts a list into tokens.
///
/// Folding is white space wherever it stands, inside quoted strings too (RFC 5322 §3.2.4); it is taken out once, at the start:
/// done at each quote, hostile text made this quadratic and deep.
fn tokens(text: &str) -> Result<Vec<Token>, AddressError> {
    let unfolded = match text.contains(['\r', '\n', '\t']) {
        true => Cow::Owned(
            text.replace("\r\n", "\n").replace("\n ", " ").replace("\n\t", " ").replace(['\r', '\n', '\t'], " "),
        ),
        false => Cow::Borrowed(text),
    };
    let mut found = Vec::new();
    let mut rest = unfolded.as_ref();
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        rest = match c {
            ' ' => after,
            '"' => {
                let (string, left) = quoted_string(after)?;
                found.push(Token::Quoted(string));
                left
            }
            '(' => {
                let (comment, left) = comment(after)?;
                found.push(Token::Comment(comment));
                left
            }
            '[' => {
                let end = after.find(']').ok_or(AddressError::Domain)?;
                found.push(Token::Literal(format!("[{}]", &after[..end])));
                &after[end + 1..]
            }
            '<' | '>' | '@' | ',' | ';' | ':' | '.' => {
                found.push(Token::Special(c));
                after
            }
            c if is_atext(c) || c == '\\' => {
                let end = rest.find(|c| !is_atext(c) && c != '\\').unwrap_or(rest.len());
                found.push(Token::Atom(rest[..end].to_string()));
                &rest[end..]
            }
            _ => return Err(AddressError::Syntax),
        };
    }
    Ok(found)
}

fn comment(text: &str) -> Result<(String, &str), AddressError> {
    let mut depth = 1;
    let mut inner = String::new();
    let mut chars = text.char_indices();
    while let Some((i, c)) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok((inner, &text[i + 1..]));
        }
        if depth > COMMENT_DEPTH {
            return Err(AddressError::Syntax);
        }
        match c {
            '\\' => inner.extend(chars.next().map(|(_, c)| c)),
            c => inner.push(c),
        }
    }
    Err(AddressError::Syntax)
}

/// mailbox = name-addr / addr-spec; nothing at all is an empty member.
fn mailbox(member: &[&Token], default_domain: &str) -> Result<Option<Mailbox>, AddressError> {
    let mut comments = Vec::new();
    let mut plain: Vec<&Token> = Vec::new();
    for token in member {
        match token {
            Token::Comment(text) => comments.push(text.as_str()),
            token => plain.push(token),
        }
    }
    if plain.is_empty() {
        return Ok(None);
    }
    let open = plain.iter().position(|t| **t == Token::Special('<'));
    let Some(open) = open else {
        // `alice@example.test (Alice)`: the comment is the name, as old mail has it.
        let name = comments.last().map_or(String::new(), |c| c.trim().to_string());
        return Ok(Some(Mailbox { name, address: addr_spec(&plain, default_domain)? }));
    };
    let close = plain.iter().position(|t| **t == Token::Special('>')).ok_or(AddressError::Syntax)?;
    if close < open || close + 1 != plain.len() {
        return Err(AddressError::Syntax);
    }
    let mut inner = &plain[open + 1..close];
    if inner.first() == Some(&&Token::Special('@')) {
        // obs-route (RFC 5322 §4.4): dropped.
        let colon = inner.iter().position(|t| **t == Token::Special(':')).ok_or(AddressError::Syntax)?;
        inner = &inner[colon + 1..];
    }
    Ok(Some(Mailbox { name: phrase(&plain[..open])?, address: addr_spec(inner, default_domain)? }))
}

fn phrase(tokens: &[&Token]) -> Result<String, AddressError> {
    let mut name = String::new();
    for token in tokens {
        let word = match token {
            Token::Atom(word) | Token::Quoted(word) => word.as_str(),
            Token::Special('.') => {
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

fn addr_spec(tokens: &[&Token], default_domain: &str) -> Result<Address, AddressError> {
    let at = tokens.iter().rposition(|t| **t == Token::Special('@'));
    let (left, right) = match at {
        Some(at) => (&tokens[..at], Some(&tokens[at + 1..])),
        None => (tokens, None),
    };
    let local = join_dotted(left)?;
    let domain = match right {
        Some([Token::Literal(literal)]) => literal.clone(),
        Some(right) => join_dotted(right)?,
        None if default_domain.is_empty() => return Err(AddressError::NoDomain),
        None => default_domain.to_string(),
    };
    Address::new(&local, &domain)
}

/// Words separated by single dots (RFC 5322's local-part and obs-local-part).
fn join_dotted(tokens: &[&Token]) -> Result<String, AddressError> {
    let mut joined = String::new();
    let mut expect_word = true;
    for token in tokens {
        match (token, expect_word) {
            (Token::Atom(word) | Token::Quoted(word), true) => {
                joined.push_str(word);
                expect_word = false;
            }
            (Token::Special('.'), false) => {
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
