//! Where a command ends: lines, and the literals between them (RFC 9051 §4.3, RFC 7888).
//!
//! A command is cut into pieces before anything of it is understood: what a literal holds is kept apart from the text, so that nothing
//! in it can be read as a command, an argument or the next literal. Text and literals alternate; text comes first.

/// A part of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// What stands in a line, without `{n}` and the line end.
    Text(Box<[u8]>),
    /// What was announced by `{n}`, or by `~{n}`: then it may hold NUL (RFC 3516 §4.4).
    Literal(Vec<u8>, bool),
}

/// A literal that a line ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Announced {
    pub(super) size: u64,
    /// The client waits for our `+`.
    pub(super) is_sync: bool,
    /// `~{n}`.
    pub(super) is_binary: bool,
}

/// What a line ends with.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// The command.
    End,
    /// A literal.
    Literal(Announced),
    /// A literal whose size is no `number64`, and whether its octets follow all the same.
    Nonsense { is_sync: bool },
}

/// Most digits looked at; a `number64` has 19.
const DIGITS: usize = 32;

/// Cuts the announcement off a line.
pub(super) fn split(line: &[u8]) -> (&[u8], Tail) {
    let Some(inner) = line.strip_suffix(b"}") else { return (line, Tail::End) };
    let (inner, is_sync) = match inner.strip_suffix(b"+") {
        Some(inner) => (inner, false),
        None => (inner, true),
    };
    let digits = inner.iter().rev().take_while(|b| b.is_ascii_digit()).count();
    let (before, digits) = inner.split_at(inner.len() - digits);
    let Some(before) = before.strip_suffix(b"{").filter(|_| !digits.is_empty()) else { return (line, Tail::End) };
    let (before, is_binary) = match before.strip_suffix(b"~") {
        Some(before) => (before, true),
        None => (before, false),
    };
    let size = (digits.len() <= DIGITS).then(|| std::str::from_utf8(digits).ok()?.parse::<i64>().ok()).flatten();
    match size {
        Some(size) => (before, Tail::Literal(Announced { size: size.unsigned_abs(), is_sync, is_binary })),
        None => (before, Tail::Nonsense { is_sync }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announcements_are_cut_off() {
        let literal = |size, is_sync, is_binary| Tail::Literal(Announced { size, is_sync, is_binary });
        for (line, text, tail) in [
            (&b"a NOOP"[..], &b"a NOOP"[..], Tail::End),
            (b"a LOGIN {5}", b"a LOGIN ", literal(5, true, false)),
            (b"a LOGIN {5+}", b"a LOGIN ", literal(5, false, false)),
            (b"a APPEND x ~{05+}", b"a APPEND x ", literal(5, false, true)),
            (b"{0}", b"", literal(0, true, false)),
            (b"{9223372036854775807}", b"", literal(i64::MAX as u64, true, false)),
            (b"{9223372036854775808+}", b"", Tail::Nonsense { is_sync: false }),
            (b"x{1000000000000000000000000000000000000000000}", b"x", Tail::Nonsense { is_sync: true }),
            (b"a {}", b"a {}", Tail::End),
            (b"a {+}", b"a {+}", Tail::End),
            (b"a {-1}", b"a {-1}", Tail::End),
            (b"a {5} ", b"a {5} ", Tail::End),
            (b"a {5x}", b"a {5x}", Tail::End),
            (b"5}", b"5}", Tail::End),
            (b"}", b"}", Tail::End),
        ] {
            assert_eq!(split(line), (text, tail), "{}", String::from_utf8_lossy(line));
        }
    }
}
