//! Message ids: sixteen characters that sort by time and never collide.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Crockford's base 32, lower case: no i, l, o, u, so that an id can be read over the telephone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A message's id: ten characters of microseconds, six of a random start plus a counter.
///
/// Two processes, also on two hosts with one pid and one time, differ in the random part (30 bits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(String);

impl Id {
    /// A new id.
    pub fn new(now: crate::clock::Timestamp) -> Id {
        static START: OnceLock<u32> = OnceLock::new();
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let start = *START.get_or_init(|| {
            let mut bytes = [0; 4];
            // Without randomness the process number must do.
            if getrandom::fill(&mut bytes).is_err() {
                bytes = std::process::id().to_le_bytes();
            }
            u32::from_le_bytes(bytes)
        });
        let tail = start.wrapping_add(COUNTER.fetch_add(1, Ordering::Relaxed)) & 0x3fff_ffff;
        let time = now.0.max(0) as u64 & ((1 << 50) - 1);
        let mut text = String::with_capacity(16);
        for i in (0..10).rev() {
            text.push(ALPHABET[(time >> (5 * i) & 31) as usize] as char);
        }
        for i in (0..6).rev() {
            text.push(ALPHABET[(tail >> (5 * i) & 31) as usize] as char);
        }
        Id(text)
    }

    /// Reads an id; anything else is `None`, so a path made from an id holds nothing else.
    pub fn parse(text: &str) -> Option<Id> {
        (text.len() == 16 && text.bytes().all(|b| ALPHABET.contains(&b))).then(|| Id(text.to_string()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder its files lie in, one of 64: `00` to `3f`.
    pub fn bucket(&self) -> String {
        let value = |byte: u8| ALPHABET.iter().position(|b| *b == byte).unwrap_or(0);
        let bytes = self.0.as_bytes();
        format!("{:02x}", (value(bytes[14]) << 5 | value(bytes[15])) & 63)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    #[test]
    fn ids_are_distinct_and_sort_by_time() {
        let now = Timestamp(1_795_522_071_000_123);
        let mut ids: Vec<Id> = (0..100_000).map(|_| Id::new(now)).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), 100_000);
        assert!(Id::new(now) < Id::new(Timestamp(now.0 + 1)));
        assert_eq!(Id::parse(ids[0].as_str()).as_ref(), Some(&ids[0]));
        for bad in ["", "../../etc/passwd", "0123456789abcdeI", "0123456789abcdef0"] {
            assert_eq!(Id::parse(bad), None);
        }
    }
}
