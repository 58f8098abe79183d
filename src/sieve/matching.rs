//! Comparators and match types: is this value what that key says?
//!
//! Called by the interpreter for every test that compares. Time is bounded: wildcards match in the product of the two lengths at
//! worst, expressions in linear time (the regex crate keeps no backtracking).
//! RFC 5228 §2.7, RFC 4790, RFC 5229 §3.2, RFC 5231, draft-ietf-sieve-regex.

use crate::rules::posix_expression;
use regex::Regex;
use std::borrow::Cow;
use std::cmp::Ordering;

/// An expression may take so much memory, in octets.
const EXPRESSION_LIMIT: usize = 1 << 20;
/// So many groups of an expression are kept.
pub const GROUP_LIMIT: usize = 32;

/// How two strings compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Comparator {
    /// `i;octet`.
    Octet,
    /// `i;ascii-casemap`, the default (RFC 5228 §2.7.3).
    #[default]
    Casemap,
    /// `i;ascii-numeric`.
    Numeric,
}

/// The operators of RFC 5231.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
    Equal,
    NotEqual,
}

/// What it is to match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum How {
    /// The same.
    #[default]
    Is,
    /// The key is somewhere in it.
    Contains,
    /// Wildcards.
    Matches,
    /// A POSIX extended expression.
    Regex,
    /// The value stands so to the key.
    Value(Relation),
    /// The number of values stands so to the key.
    Count(Relation),
}

impl Comparator {
    /// Finds one by its registered name.
    pub fn parse(name: &str) -> Option<Comparator> {
        match name {
            "i;octet" => Some(Comparator::Octet),
            "i;ascii-casemap" => Some(Comparator::Casemap),
            "i;ascii-numeric" => Some(Comparator::Numeric),
            _ => None,
        }
    }

    /// The order of two strings.
    pub fn order(self, a: &str, b: &str) -> Ordering {
        match self {
            Comparator::Octet => a.cmp(b),
            // RFC 4790 §9.2.1: as if in upper case.
            Comparator::Casemap => {
                a.bytes().map(|b| b.to_ascii_uppercase()).cmp(b.bytes().map(|b| b.to_ascii_uppercase()))
            }
            Comparator::Numeric => match (digits(a), digits(b)) {
                (None, None) => Ordering::Equal,
                (None, Some(_)) => Ordering::Greater,
                (Some(_), None) => Ordering::Less,
                // Any number of digits (RFC 4790 §9.1.1).
                (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
            },
        }
    }

    fn is_equal(self, a: &str, b: &str) -> bool {
        match self {
            Comparator::Octet => a == b,
            Comparator::Casemap => a.eq_ignore_ascii_case(b),
            Comparator::Numeric => self.order(a, b) == Ordering::Equal,
        }
    }

    fn fold(self, text: &str) -> Cow<'_, str> {
        match self {
            Comparator::Octet => Cow::Borrowed(text),
            _ => Cow::Owned(text.to_ascii_lowercase()),
        }
    }
}

/// The leading digits without their zeros; `None` is infinity (RFC 4790 §9.1.1).
fn digits(text: &str) -> Option<&str> {
    let end = text.bytes().take_while(u8::is_ascii_digit).count();
    (end > 0).then(|| text[..end].trim_start_matches('0'))
}

impl Relation {
    /// Reads `gt` and the others.
    pub fn parse(name: &str) -> Option<Relation> {
        Some(match name.to_ascii_lowercase().as_str() {
            "gt" => Relation::Greater,
            "ge" => Relation::GreaterOrEqual,
            "lt" => Relation::Less,
            "le" => Relation::LessOrEqual,
            "eq" => Relation::Equal,
            "ne" => Relation::NotEqual,
            _ => return None,
        })
    }

    /// True when this order has the relation.
    pub fn holds(self, order: Ordering) -> bool {
        match self {
            Relation::Greater => order.is_gt(),
            Relation::GreaterOrEqual => order.is_ge(),
            Relation::Less => order.is_lt(),
            Relation::LessOrEqual => order.is_le(),
            Relation::Equal => order.is_eq(),
            Relation::NotEqual => order.is_ne(),
        }
    }
}

/// Compiles an expression for this comparator; the error is one line.
pub fn expression(key: &str, comparator: Comparator) -> Result<Regex, String> {
    let built = regex::RegexBuilder::new(&posix_expression(key))
        .case_insensitive(comparator == Comparator::Casemap)
        .dot_matches_new_line(true)
        .size_limit(EXPRESSION_LIMIT)
        .build();
    built.map_err(|error| match error {
        regex::Error::CompiledTooBig(_) => "the expression is too large".to_string(),
        error => error.to_string().lines().last().unwrap_or("").trim().trim_start_matches("error: ").to_string(),
    })
}

/// Compares a value with a key of `:is`, `:contains`, `:matches` or `:value`. What wildcards have matched goes to `found`, the
/// whole value first (RFC 5229 §3.2).
pub fn compare(how: How, comparator: Comparator, value: &str, key: &str, found: &mut Vec<String>) -> bool {
    match how {
        How::Is => comparator.is_equal(value, key),
        How::Contains => comparator.fold(value).contains(&*comparator.fold(key)),
        How::Matches => wildcards(comparator, value, key, found),
        How::Value(relation) => relation.holds(comparator.order(value, key)),
        // An expression is compiled first, and numbers of values are compared by `count`.
        How::Regex | How::Count(_) => false,
    }
}

/// Compares a value with an expression.
pub fn search(expression: &Regex, value: &str, found: &mut Vec<String>) -> bool {
    let Some(groups) = expression.captures(value) else { return false };
    found.clear();
    found.extend(groups.iter().take(GROUP_LIMIT).map(|g| g.map_or_else(String::new, |g| g.as_str().to_string())));
    true
}

/// Compares a number of values with a key (RFC 5231 §4.2).
pub fn count(relation: Relation, comparator: Comparator, number: usize, key: &str) -> bool {
    relation.holds(comparator.order(&number.to_string(), key))
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Symbol {
    One(char),
    Any,
    Star,
}

/// `:matches`: `*` is any text, as little as does, `?` one character, `\` makes the next one plain.
fn wildcards(comparator: Comparator, value: &str, key: &str, found: &mut Vec<String>) -> bool {
    let mut chars = key.chars();
    let mut pattern = Vec::new();
    while let Some(c) = chars.next() {
        pattern.push(match c {
            '*' => Symbol::Star,
            '?' => Symbol::Any,
            '\\' => Symbol::One(chars.next().unwrap_or('\\')),
            c => Symbol::One(c),
        });
    }
    let text: Vec<char> = value.chars().collect();
    let is_same = |a: char, b: char| match comparator {
        Comparator::Octet => a == b,
        _ => a.eq_ignore_ascii_case(&b),
    };
    // Where each wildcard begins in the text. A star that has found its place never moves: the first place is as good as any
    // for what follows, so only the last star is tried again.
    let mut starts: Vec<usize> = Vec::new();
    let (mut at, mut next) = (0, 0);
    let mut last_star: Option<(usize, usize, usize)> = None;
    loop {
        match pattern.get(next) {
            Some(Symbol::Star) => {
                starts.push(at);
                last_star = Some((next + 1, at, starts.len()));
                next += 1;
                continue;
            }
            Some(Symbol::Any) if at < text.len() => {
                starts.push(at);
                at += 1;
                next += 1;
                continue;
            }
            Some(Symbol::One(c)) if text.get(at).is_some_and(|t| is_same(*t, *c)) => {
                at += 1;
                next += 1;
                continue;
            }
            None if at == text.len() => break,
            _ => {}
        }
        let Some((behind, reached, kept)) = last_star else { return false };
        if reached >= text.len() {
            return false;
        }
        last_star = Some((behind, reached + 1, kept));
        starts.truncate(kept);
        at = reached + 1;
        next = behind;
    }
    captures(value, &text, &pattern, &starts, found);
    true
}

/// Where the wildcards end follows from where the next symbols begin.
fn captures(value: &str, text: &[char], pattern: &[Symbol], starts: &[usize], found: &mut Vec<String>) {
    found.clear();
    found.push(value.to_string());
    let mut starts = starts.iter();
    let mut ends = Vec::new();
    // From the back: each symbol but a star takes one character.
    let mut end = text.len();
    let wild: Vec<(bool, usize)> = pattern
        .iter()
        .filter(|symbol| !matches!(symbol, Symbol::One(_)))
        .map(|symbol| (*symbol == Symbol::Star, starts.next().copied().unwrap_or(0)))
        .collect();
    let mut wild_left = wild.len();
    for symbol in pattern.iter().rev() {
        match symbol {
            Symbol::One(_) => end = end.saturating_sub(1),
            _ => {
                wild_left -= 1;
                let start = wild.get(wild_left).map_or(0, |(_, start)| *start);
                ends.push((start, end));
                end = start;
            }
        }
    }
    let texts = ends.iter().rev().take(GROUP_LIMIT - 1);
    found.extend(texts.map(|(start, end)| text.get(*start..*end).unwrap_or_default().iter().collect::<String>()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_truth_table() {
        for (key, value, expected) in [
            ("*", "", Some(&[""][..])),
            ("[*] *", "[acme-users] [fwd] version 1.0 is out", Some(&["acme-users", "[fwd] version 1.0 is out"])),
            ("*fish*", "a fish, a fishfish", Some(&["a ", ", a fishfish"])),
            ("?a*", "bacon", Some(&["b", "con"])),
            ("a?", "a", None),
            ("*a*b", "xaybab", Some(&["x", "yba"])),
            ("a\\*b", "a*b", Some(&[])),
            ("a\\*b", "axb", None),
            ("ABC", "abc", Some(&[])),
            ("*??", "abc", Some(&["a", "b", "c"])),
            ("é?", "éß", Some(&["ß"])),
            ("", "x", None),
        ] {
            let mut found = Vec::new();
            let is_match = wildcards(Comparator::Casemap, value, key, &mut found);
            assert_eq!(
                is_match.then(|| found[1..].to_vec()),
                expected.map(|e| e.iter().map(|s| s.to_string()).collect()),
                "{key} {value}"
            );
        }
    }

    #[test]
    fn hostile_wildcards_take_the_product_of_the_lengths() {
        let key = "*a".repeat(500) + "b";
        assert!(!wildcards(Comparator::Casemap, &"a".repeat(5_000), &key, &mut Vec::new()));
    }

    #[test]
    fn numbers_compare_by_value_and_text_is_infinite() {
        for (a, b, expected) in [
            ("2", "10", Ordering::Less),
            ("002", "2", Ordering::Equal),
            ("12 apples", "12", Ordering::Equal),
            ("x", "99999999999999999999999", Ordering::Greater),
            ("x", "", Ordering::Equal),
            ("0", "", Ordering::Less),
        ] {
            assert_eq!(Comparator::Numeric.order(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn expressions_are_posix_ones() {
        let mut found = Vec::new();
        let expression = expression("^([[:alpha:]]+)-(b|c){2}$", Comparator::Casemap).unwrap();
        assert!(search(&expression, "ABC-cB", &mut found));
        assert_eq!(found, ["ABC-cB", "ABC", "B"]);
        assert!(super::expression("(", Comparator::Octet).is_err());
        assert!(super::expression("((a{1,200}){1,200}){1,200}", Comparator::Octet).is_err());
    }
}
