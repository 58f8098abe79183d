//! Tables by names that the administrator gives: macros of the file of rules, classes and their members, maps, sets, and rows of text
//! tables.
//!
//! Peers choose what is looked up here, not what is put in, so that a quick hash without a secret does. What peers put in belongs into the
//! standard library's own tables.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// A table by names of the file.
pub type ByName<V> = HashMap<Box<[u8]>, V, BuildHasherDefault<NameHasher>>;
/// The same with text for names: rows of tables.
pub type ByText<V> = HashMap<Box<str>, V, BuildHasherDefault<NameHasher>>;
/// A set of names of the file.
pub type Names = HashSet<Box<[u8]>, BuildHasherDefault<NameHasher>>;

/// A multiplicative hash over words of eight octets.
#[derive(Debug, Clone, Copy, Default)]
pub struct NameHasher(u64);

/// Odd, with its bits well mixed: 2^64 divided by the golden ratio.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

impl NameHasher {
    fn add(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for NameHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.add(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.add(u64::from_le_bytes(last));
    }

    fn write_usize(&mut self, length: usize) {
        self.add(length as u64);
    }

    fn finish(&self) -> u64 {
        // A product's high bits are the good ones; the table takes its place from the low bits.
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(FACTOR);
        mixed ^ (mixed >> 29)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::hash::{BuildHasher, BuildHasherDefault};

    #[test]
    fn names_spread_over_the_table() {
        let hashes = BuildHasherDefault::<NameHasher>::default();
        let names: Vec<Vec<u8>> = (0..4096).map(|n| format!("host{n}.example.test").into_bytes()).collect();
        let places: HashSet<u64> = names.iter().map(|name| hashes.hash_one(&name[..]) % 4096).collect();
        // Of 4096 balls in as many boxes some 63 of a hundred boxes are hit.
        assert!(places.len() > 2300, "{}", places.len());
        let mut table: ByName<usize> = ByName::default();
        for (number, name) in names.iter().enumerate() {
            table.insert(name[..].into(), number);
        }
        assert!(names.iter().enumerate().all(|(number, name)| table.get(&name[..]) == Some(&number)));
        assert_eq!(table.get(&b"host4096.example.test"[..]), None);
    }
}
