//! Words that the rules have nothing to say about: what they do with one, they would do with any other.
//!
//! Most users of most domains are such words: no rule names them, no class has them, and no look-up depends on them. So what was found
//! for one user of a domain holds for all, as long as the engine has not met the word on the way: a token with its text was never compared
//! with what may vary, and never was part of what was looked up. Where that is uncertain the word counts as met.

use super::names::Names;
use super::read::Rules;
use super::token::Token;
use std::cell::Cell;

/// Longest word that is thought of, in octets: the address around it must not become too long by another one.
const LONGEST: usize = 64;

/// The words that rules name.
#[derive(Debug, Default)]
pub struct Familiar {
    names: Names,
}

/// A word, and whether the engine has met it.
#[derive(Debug)]
pub struct Stranger {
    token: Token,
    met: Cell<bool>,
}

impl Familiar {
    /// The words of these rules, of both sides.
    pub fn of(rules: &Rules) -> Familiar {
        let tokens = rules.sets.all().flat_map(|rule| rule.left.iter().chain(&rule.right));
        Familiar { names: tokens.map(|token| token.to_ascii_lowercase().into()).collect() }
    }

    /// The word as a stranger to these rules; `None` for one that they know, and for what is more than one plain word.
    pub fn stranger(&self, rules: &Rules, word: &str) -> Option<Stranger> {
        let text = word.as_bytes();
        let is_plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
        let is_word = text.len() <= LONGEST && text.iter().all(is_plain) && rules.alphabet().is_atom(text);
        let is_known = || self.names.contains(text) || rules.classes.any_has(text);
        (is_word && !is_known()).then(|| Stranger { token: Token::new(text), met: Cell::new(false) })
    }
}

impl Stranger {
    /// True when one of these tokens may be the word.
    pub fn is_among(&self, tokens: &[Token]) -> bool {
        tokens.iter().any(|token| token.eq_ignore_ascii_case(&self.token))
    }

    /// Something may depend on these tokens.
    pub fn look_at(&self, tokens: &[Token]) {
        if self.is_among(tokens) {
            self.met.set(true);
        }
    }

    /// The engine has met the word: what it has found holds for this one alone.
    pub fn meet(&self) {
        self.met.set(true);
    }

    /// True when all that was found would have been found for any other stranger.
    pub fn was_passed_by(&self) -> bool {
        !self.met.get()
    }
}

/// A text with a stranger in it, or without: the same text for another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// The stranger, and this behind it.
    Before(Vec<u8>),
    /// This text, whoever it is.
    Without(Vec<u8>),
}

impl Shape {
    /// The shape of a text that came about with this stranger; `None` where that is uncertain.
    pub fn of(text: &[u8], stranger: &str) -> Option<Shape> {
        let has = |text: &[u8]| memchr::memmem::find(text, stranger.as_bytes()).is_some();
        match text.strip_prefix(stranger.as_bytes()) {
            Some(rest) if !has(rest) && matches!(rest.first(), None | Some(b'@')) => Some(Shape::Before(rest.to_vec())),
            None if !has(text) => Some(Shape::Without(text.to_vec())),
            _ => None,
        }
    }

    /// The text with this stranger.
    pub fn with(&self, stranger: &str) -> Vec<u8> {
        match self {
            Shape::Before(rest) => [stranger.as_bytes(), rest].concat(),
            Shape::Without(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests;
