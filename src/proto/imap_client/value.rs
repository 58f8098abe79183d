//! The data of a response: atoms, strings, lists.

use super::{Piece, ServerError};

/// Deepest nesting of parentheses.
const DEPTH_LIMIT: usize = 16;
/// Most values of one response.
const VALUES_LIMIT: usize = 100_000;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A word without quotes; also numbers, flags and NIL.
    Atom(String),
    /// A string, quoted or as a literal.
    Text(Vec<u8>),
    /// Values in parentheses.
    List(Vec<Value>),
    /// A message of so many octets, which have been handed on.
    Streamed(u64),
}

impl Value {
    /// The word; empty for all that is none.
    pub fn atom(&self) -> &str {
        if let Value::Atom(text) = self { text } else { "" }
    }

    /// The number that an atom is.
    pub fn number<N: std::str::FromStr>(&self) -> Option<N> {
        self.atom().parse().ok()
    }

    /// The values of a list; none for all that is no list.
    pub fn list(&self) -> &[Value] {
        if let Value::List(list) = self { list } else { &[] }
    }

    /// The octets of a string, or of a word in its place (`astring`).
    pub fn octets(&self) -> Option<&[u8]> {
        match self {
            Value::Atom(text) => Some(text.as_bytes()),
            Value::Text(octets) => Some(octets),
            Value::List(_) | Value::Streamed(_) => None,
        }
    }
}

/// The values behind `*`.
pub(super) fn read(pieces: Vec<Piece>) -> Result<Vec<Value>, ServerError> {
    let mut stack: Vec<Vec<Value>> = vec![Vec::new()];
    let mut count = 0;
    let mut is_first = true;
    for piece in pieces {
        let text = match piece {
            Piece::Literal(literal) => {
                push(&mut stack, &mut count, Value::Text(literal))?;
                continue;
            }
            Piece::Streamed(size) => {
                push(&mut stack, &mut count, Value::Streamed(size))?;
                continue;
            }
            Piece::Text(text) => text,
        };
        let mut rest = text.as_slice();
        if std::mem::take(&mut is_first) {
            rest = rest.strip_prefix(b"* ").ok_or(ServerError("a response that is none"))?;
        }
        while let Some((first, behind)) = rest.split_first() {
            rest = match first {
                b' ' => behind,
                b'(' if stack.len() > DEPTH_LIMIT => return Err(ServerError("parentheses nested too deeply")),
                b'(' => {
                    stack.push(Vec::new());
                    behind
                }
                b')' => {
                    let list = stack.pop().filter(|_| !stack.is_empty());
                    let list = list.ok_or(ServerError("a parenthesis too many"))?;
                    push(&mut stack, &mut count, Value::List(list))?;
                    behind
                }
                b'"' => {
                    let (text, behind) = string(behind)?;
                    push(&mut stack, &mut count, Value::Text(text))?;
                    behind
                }
                _ => {
                    let end = rest.iter().position(|b| b" ()\"".contains(b)).unwrap_or(rest.len());
                    let word = String::from_utf8_lossy(&rest[..end]).into_owned();
                    push(&mut stack, &mut count, Value::Atom(word))?;
                    &rest[end..]
                }
            };
        }
    }
    match (stack.pop(), stack.is_empty()) {
        (Some(values), true) => Ok(values),
        _ => Err(ServerError("an open parenthesis")),
    }
}

fn push(stack: &mut [Vec<Value>], count: &mut usize, value: Value) -> Result<(), ServerError> {
    *count += 1;
    match stack.last_mut() {
        Some(list) if *count <= VALUES_LIMIT => list.push(value),
        _ => return Err(ServerError("too many values")),
    }
    Ok(())
}

/// A quoted string behind its first quote, and what stands behind it.
fn string(text: &[u8]) -> Result<(Vec<u8>, &[u8]), ServerError> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        match first {
            b'"' => return Ok((out, rest)),
            b'\\' => {
                let (escaped, behind) = rest.split_first().ok_or(ServerError("an open string"))?;
                out.push(*escaped);
                rest = behind;
            }
            byte => out.push(*byte),
        }
    }
    Err(ServerError("an open string"))
}
