//! Which posts are meant: `3,4,6` · `4,9-11` · `9-` · `-10` · `*` · `first:3` · `last:10` · `first-9` · `100-last`.
//!
//! Called by the commands `get` and `summary` and by `emlist archive`. Items stand between commas or blanks; what is asked for twice is
//! there once. The words are those of fml, which the older ones of a list may know by heart.

use super::Index;

/// Items of one request.
const ITEMS_LIMIT: usize = 200;

/// Why a request was not understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// Nothing was asked for.
    #[error("which posts? Write 3,4,6 or 4,9-11 or * or last:10")]
    Empty,
    /// An item that is none.
    #[error("{0:?} is no number of a post, and no range such as 4-9, 9-, -10, * or last:10")]
    Item(String),
    /// 11-9.
    #[error("{0:?}: the first number is larger than the second")]
    Backwards(String),
    /// Too much.
    #[error("more than {ITEMS_LIMIT} numbers and ranges")]
    TooMany,
}

/// The posts that are asked for, as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges(Vec<Item>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Item {
    Span(End, End),
    FirstPosts(u64),
    LastPosts(u64),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Number(u64),
    First,
    Last,
}

impl Ranges {
    /// All posts.
    pub fn all() -> Ranges {
        Ranges(vec![Item::Span(End::First, End::Last)])
    }

    /// The last ones.
    pub fn last(posts: u64) -> Ranges {
        Ranges(vec![Item::LastPosts(posts)])
    }

    /// Reads a request.
    pub fn parse(text: &str) -> Result<Ranges, RangeError> {
        let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
        let items = words.map(item).take(ITEMS_LIMIT + 1).collect::<Result<Vec<_>, _>>()?;
        match items.len() {
            0 => Err(RangeError::Empty),
            n if n > ITEMS_LIMIT => Err(RangeError::TooMany),
            _ => Ok(Ranges(items)),
        }
    }

    /// The numbers that are meant in this archive, as ranges with both ends inside: ascending, joined. Numbers without a post may be in them.
    pub fn resolve(&self, index: &Index) -> Vec<(u64, u64)> {
        let (first, last) = (index.first(), index.last());
        let end = |end: End| match end {
            End::Number(number) => number,
            End::First => first,
            End::Last => last,
        };
        let take = |posts: u64| usize::try_from(posts).unwrap_or(usize::MAX).saturating_sub(1);
        let mut spans: Vec<(u64, u64)> = Vec::with_capacity(self.0.len());
        for item in &self.0 {
            spans.push(match *item {
                Item::Span(from, to) => (end(from), end(to)),
                Item::FirstPosts(posts) => (first, index.numbers().nth(take(posts)).unwrap_or(last)),
                Item::LastPosts(posts) => (index.numbers().nth_back(take(posts)).unwrap_or(first), last),
            });
        }
        spans.iter_mut().for_each(|(from, _)| *from = (*from).max(1));
        spans.retain(|(from, to)| from <= to);
        spans.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(spans.len());
        for (from, to) in spans {
            match joined.last_mut() {
                Some(before) if from <= before.1.saturating_add(1) => before.1 = before.1.max(to),
                _ => joined.push((from, to)),
            }
        }
        joined
    }

    /// The numbers that are named one by one: who asks for them is told when there is no such post.
    pub fn named(&self) -> impl Iterator<Item = u64> {
        self.0.iter().filter_map(|item| match item {
            Item::Span(End::Number(from), End::Number(to)) if from == to => Some(*from),
            _ => None,
        })
    }
}

fn item(word: &str) -> Result<Item, RangeError> {
    let wrong = || RangeError::Item(word.chars().take(40).collect());
    let lower = word.to_ascii_lowercase();
    if lower == "*" || lower == "all" {
        return Ok(Item::Span(End::First, End::Last));
    }
    if let Some((which, posts)) = lower.split_once(':') {
        let posts = number(posts).ok_or_else(wrong)?;
        return match which {
            "first" => Ok(Item::FirstPosts(posts)),
            "last" => Ok(Item::LastPosts(posts)),
            _ => Err(wrong()),
        };
    }
    let end = |text: &str| match text {
        "first" => Some(End::First),
        "last" => Some(End::Last),
        text => number(text).map(End::Number),
    };
    let (from, to) = match lower.split_once('-') {
        None => {
            let only = end(&lower).ok_or_else(wrong)?;
            (only, only)
        }
        Some(("", "")) => return Err(wrong()),
        Some(("", to)) => (End::First, end(to).ok_or_else(wrong)?),
        Some((from, "")) => (end(from).ok_or_else(wrong)?, End::Last),
        Some((from, to)) => (end(from).ok_or_else(wrong)?, end(to).ok_or_else(wrong)?),
    };
    match (from, to) {
        (End::Number(from), End::Number(to)) if from > to => {
            Err(RangeError::Backwards(word.chars().take(40).collect()))
        }
        _ => Ok(Item::Span(from, to)),
    }
}

/// A number from 1 on; leading zeros are how some lists print theirs.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.len() <= 15 && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lists::archive::Entry;

    fn index(numbers: &[u64]) -> Index {
        let lines: String =
            numbers.iter().map(|number| Entry { number: *number, ..Entry::default() }.print()).collect();
        Index::read(lines.into_bytes())
    }

    #[test]
    fn truth_table() {
        let index = index(&[2, 3, 5, 8, 9, 10, 11, 12]);
        for (text, expected) in [
            ("3,4,6", &[(3, 4), (6, 6)][..]),
            ("4,9-11", &[(4, 4), (9, 11)]),
            ("9-", &[(9, 12)]),
            ("-10", &[(2, 10)]),
            ("*", &[(2, 12)]),
            ("first:3", &[(2, 5)]),
            ("last:3 2", &[(2, 2), (10, 12)]),
            ("last:99", &[(2, 12)]),
            ("FIRST-3, 11-LAST", &[(2, 3), (11, 12)]),
            ("last", &[(12, 12)]),
            ("00010", &[(10, 10)]),
            ("50-", &[]),
            ("50-60", &[(50, 60)]),
            ("5 3-6 4", &[(3, 6)]),
        ] {
            assert_eq!(Ranges::parse(text).unwrap().resolve(&index), expected, "{text}");
        }
        assert_eq!(Ranges::all().resolve(&self::index(&[])), []);
        assert_eq!(Ranges::last(2).resolve(&self::index(&[])), []);
        assert_eq!(Ranges::parse("7,8-9,4").unwrap().named().collect::<Vec<_>>(), [7, 4]);
    }

    #[test]
    fn nonsense_is_named() {
        for (text, expected) in [
            ("", RangeError::Empty),
            (" , ", RangeError::Empty),
            ("0", RangeError::Item("0".into())),
            ("-", RangeError::Item("-".into())),
            ("1-2-3", RangeError::Item("1-2-3".into())),
            ("+4", RangeError::Item("+4".into())),
            ("last:0", RangeError::Item("last:0".into())),
            ("some:3", RangeError::Item("some:3".into())),
            ("99999999999999999999", RangeError::Item("99999999999999999999".into())),
            ("11-9", RangeError::Backwards("11-9".into())),
        ] {
            assert_eq!(Ranges::parse(text), Err(expected), "{text}");
        }
        assert_eq!(Ranges::parse(&"1,".repeat(201)), Err(RangeError::TooMany));
    }
}
