//! Message ids: sixteen characters that sort by time and never collide.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Crockford's base 32, lower case: no i, l, o, u, so that an id can be read over the telephone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Folders that the queue's files are spread over.
pub const BUCKETS: usize = 64;

/// A message's id: ten characters of microseconds, six of a random start plus a counter.
///
/// Two processes, also on two hosts with one pid and one time, differ in the random part (30 bits).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; LENGTH]);

/// Characters of an id.
const LENGTH: usize = 16;

/// An id in ten octets, for who must remember a million of them; sorts as the id does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackedId([u8; 10]);

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
        Id::from_parts(time, tail)
    }

    fn from_parts(time: u64, tail: u32) -> Id {
        let mut text = [0; LENGTH];
        for (i, octet) in text.iter_mut().enumerate() {
            let bits = match i {
                0..10 => time >> (5 * (9 - i)),
                _ => u64::from(tail) >> (5 * (15 - i)),
            };
            *octet = ALPHABET[(bits & 31) as usize];
        }
        Id(text)
    }

    /// Reads an id; anything else is `None`, so a path made from an id holds nothing else.
    pub fn parse(text: &str) -> Option<Id> {
        let text: [u8; LENGTH] = text.as_bytes().try_into().ok()?;
        text.iter().all(|b| VALUES[usize::from(*b)] != NONE).then_some(Id(text))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Only characters of the alphabet are ever put in.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The id in ten octets.
    pub fn pack(&self) -> PackedId {
        let bits = self.0.iter().fold(0u128, |bits, octet| bits << 5 | u128::from(VALUES[usize::from(*octet)]));
        let mut packed = [0; 10];
        packed.copy_from_slice(&bits.to_be_bytes()[6..]);
        PackedId(packed)
    }

    /// The folder its files lie in, one of 64: `00` to `3f`.
    pub fn bucket(&self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        // The last six bits of the id, as those of the packed form.
        let [.., before, last] = self.0.map(|octet| VALUES[usize::from(octet)]);
        let number = usize::from((before & 1) << 5 | last);
        [DIGITS[number >> 4], DIGITS[number & 15]].map(char::from).iter().collect()
    }
}

/// What is no letter of an id.
const NONE: u8 = 0xff;

/// Each letter's value. A million ids are read at once.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut at = 0;
    while at < ALPHABET.len() {
        values[ALPHABET[at] as usize] = at as u8;
        at += 1;
    }
    values
};

impl PackedId {
    /// The id.
    pub fn unpack(self) -> Id {
        let bits = self.0.iter().fold(0u128, |bits, octet| bits << 8 | u128::from(*octet));
        Id::from_parts((bits >> 30) as u64, bits as u32 & 0x3fff_ffff)
    }

    /// The number of the folder its files lie in, below [`BUCKETS`].
    pub fn bucket(self) -> usize {
        usize::from(self.0[9]) % BUCKETS
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
        for id in &ids[..100] {
            assert_eq!(id.pack().unpack(), *id);
            assert_eq!(format!("{:02x}", id.pack().bucket()), id.bucket());
        }
        assert!(ids.windows(2).all(|pair| pair[0].pack() < pair[1].pack()));
        for bad in ["", "../../etc/passwd", "0123456789abcdeI", "0123456789abcdef0"] {
            assert_eq!(Id::parse(bad), None);
        }
    }
}
