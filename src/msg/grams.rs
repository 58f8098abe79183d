//! Which pieces of three octets a text holds, as a small set that may say yes too often and never no wrongly.
//!
//! Called by SEARCH for the full-text index. The pieces are of folded UTF-8 ([`super::folding`]): three octets are three letters of English, or
//! one character of Japanese or two halves of neighbours, so that no language needs a dictionary. A text that holds another one
//! holds all of its pieces, whatever stands around it.
//!
//! A signature is a table of bits, as many octets as the next power of two of what the text has of different pieces, so that between
//! a quarter and two fifths of its bits are set. The place of a bit is the lower part of a 16-bit hash.

/// What signatures depend on: this hash, the folding, and what [`super::text`] takes for the text of a message. To be raised whenever one of these
/// changes: signatures made by other rules are not used.
pub const RULES: u32 = 1;

/// Bits of the largest signature.
const LARGEST: usize = 1 << 16;
const SMALLEST: usize = 64;
const WORDS: usize = LARGEST / 64;
/// More pieces of a wanted text don't tell more.
const ENOUGH: usize = 64;

fn place(piece: u32) -> usize {
    (piece.wrapping_mul(0x9E37_79B1) >> 16) as usize
}

/// Gathers the pieces of texts.
#[derive(Debug)]
pub struct Grams {
    table: Box<[u64; WORDS]>,
}

impl Default for Grams {
    fn default() -> Grams {
        Grams { table: Box::new([0; WORDS]) }
    }
}

impl Grams {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.table.fill(0);
    }

    /// Adds the pieces of a folded text.
    pub fn add(&mut self, folded: &str) {
        let mut rest = folded.as_bytes();
        // Six pieces of eight octets at once.
        while let Some(eight) = rest.first_chunk::<8>() {
            let octets = u64::from_le_bytes(*eight);
            for from in 0..6 {
                self.set(place((octets >> (8 * from)) as u32 & 0xFF_FFFF));
            }
            rest = &rest[6..];
        }
        pieces(rest).for_each(|piece| self.set(place(piece)));
    }

    fn set(&mut self, place: usize) {
        self.table[place / 64 % WORDS] |= 1 << (place % 64);
    }

    /// Writes the signature over `out`.
    pub fn sign(&self, out: &mut Vec<u8>) {
        let count: u32 = self.table.iter().map(|word| word.count_ones()).sum();
        let bits = (2 * count as usize).next_power_of_two().clamp(SMALLEST, LARGEST);
        out.clear();
        let mut folded = *self.table;
        let mut words = WORDS;
        while words > bits / 64 {
            words /= 2;
            let (low, high) = folded.split_at_mut(words);
            low.iter_mut().zip(&*high).for_each(|(low, high)| *low |= high);
        }
        folded[..words].iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }
}

/// The pieces of a text that is looked for.
#[derive(Debug)]
pub struct Wanted(Vec<u16>);

impl Wanted {
    /// Of a folded text. One of less than three octets has none, and may be anywhere.
    pub fn of(folded: &str) -> Wanted {
        let mut places: Vec<u16> = pieces(folded.as_bytes()).map(|piece| place(piece) as u16).take(ENOUGH).collect();
        places.sort_unstable();
        places.dedup();
        Wanted(places)
    }

    /// True when nothing can be said about it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// False when the text can't be where this signature is from.
    pub fn may_be_in(&self, signature: &[u8]) -> bool {
        let mask = signature.len().wrapping_mul(8).wrapping_sub(1);
        self.0.iter().all(|place| {
            let bit = usize::from(*place) & mask;
            signature.get(bit / 8).is_some_and(|octet| octet >> (bit % 8) & 1 == 1)
        })
    }
}

fn pieces(text: &[u8]) -> impl Iterator<Item = u32> {
    text.windows(3).map(|w| u32::from(w[0]) | u32::from(w[1]) << 8 | u32::from(w[2]) << 16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sign(texts: &[&str]) -> Vec<u8> {
        let mut grams = Grams::default();
        texts.iter().for_each(|text| grams.add(text));
        let mut signature = Vec::new();
        grams.sign(&mut signature);
        signature
    }

    proptest! {
        #[test]
        fn a_text_is_never_denied_where_it_stands(before in "\\PC{0,300}", text in "\\PC{0,20}", after in "\\PC{0,300}") {
            let signature = sign(&["another text", &format!("{before}{text}{after}")]);
            prop_assert!(Wanted::of(&text).may_be_in(&signature));
        }
    }

    #[test]
    fn most_other_texts_are_denied() {
        let text: String = (0..400).map(|n| format!("word{n} ")).collect();
        let signature = sign(&[&text]);
        assert!(signature.len().is_power_of_two() && signature.len() < 1024);
        let denied = (0..1000).filter(|n| !Wanted::of(&format!("other{n}thing")).may_be_in(&signature)).count();
        assert!(denied > 950, "{denied}");
        assert!(!Wanted::of("東京").may_be_in(&sign(&["京都"])) && Wanted::of("東京").may_be_in(&sign(&["東京都"])));
        assert!(
            Wanted::of("ab").is_empty()
                && Wanted::of("ab").may_be_in(&sign(&[]))
                && !Wanted::of("abc").may_be_in(&sign(&[]))
        );
    }

    #[test]
    fn a_signature_has_a_size_that_fits() {
        assert_eq!(sign(&[]).len(), 8);
        let large: String = (0..40_000u32).filter_map(|n| char::from_u32(0x4E00 + n % 20_000)).collect();
        assert_eq!(sign(&[&large]).len(), 8192);
    }
}
