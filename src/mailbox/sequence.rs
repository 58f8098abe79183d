//! Sets of numbers: what clients write (`SeqSet`, with `*`) and what servers answer (`UidSet`, without).

use super::Uid;
use std::fmt;

/// Most ranges of one set that a client may write.
const RANGES_LIMIT: usize = 50_000;

/// Why a set was not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SetError {
    /// It breaks the grammar.
    #[error("not a sequence set")]
    Syntax,
    /// It has more ranges than we take.
    #[error("too many ranges")]
    TooLong,
}

/// `sequence-set` (RFC 9051 §9) as written: numbers, ranges, `*` for the largest number in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeqSet(Box<[(u32, u32)]>);

/// How `*` is kept: no client can write this number. (The largest number is none for `*`: `9:4294967295` must not mean the last message
/// when there is no ninth.)
const STAR: u32 = 0;

impl SeqSet {
    /// One number.
    pub fn one(number: u32) -> SeqSet {
        SeqSet([(number, number)].into())
    }

    /// `*`.
    pub fn last() -> SeqSet {
        SeqSet::one(STAR)
    }

    /// Reads `1,5:9,20:*`.
    pub fn parse(text: &[u8]) -> Result<SeqSet, SetError> {
        let number = |text: &[u8]| match text {
            b"*" => Ok(STAR),
            [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit) && text.len() <= 10 => {
                std::str::from_utf8(text).ok().and_then(|t| t.parse::<u32>().ok()).ok_or(SetError::Syntax)
            }
            _ => Err(SetError::Syntax),
        };
        let mut ranges = Vec::new();
        for range in text.split(|b| *b == b',') {
            if ranges.len() >= RANGES_LIMIT {
                return Err(SetError::TooLong);
            }
            let colon = memchr::memchr(b':', range);
            let (from, to) = match colon {
                Some(colon) => (number(&range[..colon])?, number(&range[colon + 1..])?),
                None => number(range).map(|n| (n, n))?,
            };
            ranges.push((from, to));
        }
        Ok(SeqSet(ranges.into()))
    }

    /// The ranges with `*` replaced by the largest number in use, each smaller end first, sorted and joined. With nothing in use (0)
    /// `*` is no number.
    pub fn resolve(&self, largest: u32) -> Vec<(u32, u32)> {
        let end = |number: u32| if number == STAR { largest } else { number };
        let mut ranges: Vec<(u32, u32)> = Vec::with_capacity(self.0.len());
        for (from, to) in &self.0 {
            let (from, to) = (end(*from), end(*to));
            let (from, to) = (from.min(to), from.max(to));
            if to > 0 {
                ranges.push((from.max(1), to));
            }
        }
        join(ranges)
    }

    /// The ranges as written: smaller and larger end in the order of the text, 0 for `*`.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }
}

/// The same numbers as a client would write them.
impl From<&UidSet> for SeqSet {
    fn from(numbers: &UidSet) -> SeqSet {
        SeqSet(numbers.ranges().into())
    }
}

impl fmt::Display for SeqSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = |number: u32| if number == STAR { "*".to_string() } else { number.to_string() };
        for (index, (from, to)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match from == to {
                true => write!(f, "{comma}{}", end(*from))?,
                false => write!(f, "{comma}{}:{}", end(*from), end(*to))?,
            }
        }
        Ok(())
    }
}

fn join(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (from, to) in ranges {
        match joined.last_mut() {
            Some(last) if from <= last.1.saturating_add(1) => last.1 = last.1.max(to),
            _ => joined.push((from, to)),
        }
    }
    joined
}

/// Identifiers (or message numbers) in ascending ranges: `uid-set` of COPYUID, VANISHED, ESEARCH.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UidSet(Vec<(u32, u32)>);

impl UidSet {
    /// These ranges, in any order.
    pub fn from_ranges(ranges: Vec<(u32, u32)>) -> UidSet {
        UidSet(join(ranges))
    }

    /// Adds one; cheap when it is larger than all before.
    pub fn push(&mut self, number: u32) {
        match self.0.last_mut() {
            Some((_, to)) if number == to.saturating_add(1) => *to = number,
            Some((_, to)) if number <= *to => {
                if !self.contains(number) {
                    self.0.push((number, number));
                    self.0 = join(std::mem::take(&mut self.0));
                }
            }
            _ => self.0.push((number, number)),
        }
    }

    /// True when it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many numbers it holds.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|(from, to)| u64::from(to - from) + 1).sum()
    }

    /// True when it holds this number.
    pub fn contains(&self, number: u32) -> bool {
        let after = self.0.partition_point(|(from, _)| *from <= number);
        after > 0 && number <= self.0[after - 1].1
    }

    /// The ranges, ascending.
    pub fn ranges(&self) -> &[(u32, u32)] {
        &self.0
    }

    /// Every number, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|(from, to)| *from..=*to)
    }

    /// Every number as an identifier.
    pub fn uids(&self) -> impl Iterator<Item = Uid> + '_ {
        self.iter().filter_map(Uid::new)
    }
}

impl FromIterator<u32> for UidSet {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> UidSet {
        UidSet::from_ranges(numbers.into_iter().map(|n| (n, n)).collect())
    }
}

impl FromIterator<Uid> for UidSet {
    fn from_iter<T: IntoIterator<Item = Uid>>(uids: T) -> UidSet {
        uids.into_iter().map(Uid::number).collect()
    }
}

impl fmt::Display for UidSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (from, to)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            match from == to {
                true => write!(f, "{comma}{from}")?,
                false => write!(f, "{comma}{from}:{to}")?,
            }
        }
        Ok(())
    }
}
