//! One token of the workspace.
//!
//! Nearly all tokens are short: they live inside the value, so that copying a workspace allocates nothing.

use std::fmt;
use std::ops::Deref;

/// Longest token kept without an allocation, in octets.
const SHORT: usize = 29;

/// A token's text: an operator, a delimiter, an atom, or a quoted string with its quotes.
#[derive(Clone)]
pub struct Token(Text);

#[derive(Clone)]
enum Text {
    /// Length, number of the bit, octets.
    Short(u8, u8, [u8; SHORT]),
    /// Number of the bit, octets.
    Long(u8, Box<[u8]>),
}

impl Token {
    /// A token of this text.
    pub fn new(text: &[u8]) -> Token {
        let bit = number(text);
        if text.len() > SHORT {
            return Token(Text::Long(bit, text.into()));
        }
        let mut bytes = [0; SHORT];
        bytes[..text.len()].copy_from_slice(text);
        Token(Text::Short(text.len() as u8, bit, bytes))
    }

    /// True when it is this operator (whatever name follows).
    #[inline]
    pub fn is(&self, operator: u8) -> bool {
        match &self.0 {
            // A token without octets begins with none of the operators: none of them is 0.
            Text::Short(_, _, bytes) => bytes[0] == operator,
            Text::Long(_, bytes) => bytes.first() == Some(&operator),
        }
    }

    /// One bit of 64 chosen by the text without regard to case: a rule whose literals' bits are not all in the workspace
    /// can't match.
    #[inline]
    pub fn bit(&self) -> u64 {
        match &self.0 {
            Text::Short(_, bit, _) | Text::Long(bit, _) => 1 << bit,
        }
    }
}

/// The number of a text's bit.
fn number(text: &[u8]) -> u8 {
    let first = text.first().copied().unwrap_or(0).to_ascii_lowercase();
    let last = text.last().copied().unwrap_or(0).to_ascii_lowercase();
    let mixed = u64::from(first) * 31 + u64::from(last) * 7 + text.len() as u64;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as u8
}

impl Deref for Token {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Text::Short(length, _, bytes) => &bytes[..usize::from(*length)],
            Text::Long(_, bytes) => bytes,
        }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Token) -> bool {
        self[..] == other[..]
    }
}

impl Eq for Token {}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(&super::meta::shown(self)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_tokens_read_alike() {
        for length in [0, 1, SHORT, SHORT + 1, 300] {
            let text = vec![b'a'; length];
            assert_eq!(Token::new(&text)[..], text[..]);
            assert_eq!(Token::new(&text).clone(), Token::new(&text));
        }
        assert_eq!(size_of::<Token>(), 32);
        assert_eq!(Token::new(b"Host").bit(), Token::new(b"hOSt").bit());
    }
}
