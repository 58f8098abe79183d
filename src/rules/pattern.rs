//! The `regex` map: POSIX expressions on the regex crate, whose time is linear in the key.
//!
//! The crate takes the leftmost alternative that matches where POSIX takes the longest match; whether there *is* a match is the same.

use super::map::Map;
use super::meta;
use super::pure;
use super::world::{Looked, exit};
use regex::bytes::{Regex, RegexBuilder};

/// Largest compiled expression, in octets.
const SIZE_LIMIT: usize = 1 << 20;

/// A compiled expression with its choices.
#[derive(Debug, Clone)]
pub struct Pattern {
    regex: Regex,
    inverted: bool,
    /// -s: sub-matches to return; empty: all, the whole match first.
    parts: Option<Vec<usize>>,
    between: Vec<u8>,
}

impl Pattern {
    /// Compiles the expression of a K line.
    pub fn read(map: &Map) -> Result<Pattern, String> {
        let text = super::posix::translated(&map.rest, map.has(b'b'));
        let regex = RegexBuilder::new(&text)
            .case_insensitive(!map.has(b'f'))
            .unicode(false)
            .size_limit(SIZE_LIMIT)
            .build()
            .map_err(|e| e.to_string().lines().last().unwrap_or("").to_string())?;
        let number = |word: &[u8]| std::str::from_utf8(word).ok()?.trim().parse::<usize>().ok();
        let parts = map.value(b's').map(|list| list.split(|b| *b == b',').filter_map(number).collect::<Vec<usize>>());
        if let Some(large) = parts.iter().flatten().find(|part| **part >= regex.captures_len()) {
            return Err(format!("-s {large}: there is no such sub-match"));
        }
        let between = map.value(b'd').map_or_else(|| vec![meta::ELSE], <[u8]>::to_vec);
        Ok(Pattern { regex, inverted: map.has(b'n'), parts, between })
    }

    /// Matches a key; without -a, -m and -s a match gives the empty text. With -s the rule may name the sub-matches that it wants
    /// (`$@ 2,1`); the error is for one that there is not.
    pub fn look_up(&self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Result<Looked, String> {
        let found = self.regex.captures(key);
        let none = Looked::failed(exit::OK);
        if self.inverted {
            return Ok(if found.is_some() { none } else { self.value(map, key, Vec::new()) });
        }
        let Some(found) = found else { return Ok(none) };
        let own;
        let parts = match (&self.parts, arguments.first()) {
            (Some(_), Some(list)) => {
                own = named_parts(list, found.len())?;
                Some(&own)
            }
            (parts, _) => parts.as_ref(),
        };
        // What a rule could not tokenise, or would tokenise into more, is no answer.
        let asked = parts.into_iter().flatten().map(|n| found.get(*n).map_or(&b""[..], |m| m.as_bytes()));
        if asked.into_iter().any(|part| !pure::is_whole(part)) {
            return Ok(none);
        }
        let part = |n: usize| found.get(n).map_or(&b""[..], |m| m.as_bytes());
        let value = match parts {
            None => Vec::new(),
            Some(parts) if parts.is_empty() => (0..found.len()).map(part).collect::<Vec<_>>().join(&self.between[..]),
            Some(parts) => parts.iter().map(|n| part(*n)).collect::<Vec<_>>().join(&self.between[..]),
        };
        Ok(self.value(map, key, value))
    }

    fn value(&self, map: &Map, key: &[u8], parts: Vec<u8>) -> Looked {
        let start = if map.has(b'm') { key.to_vec() } else { parts };
        Looked::found([&start[..], &map.append].concat())
    }
}

/// The numbers of a list, as C reads them: digits at the start, and 0 without.
fn named_parts(list: &[u8], most: usize) -> Result<Vec<usize>, String> {
    let number = |word: &[u8]| {
        let text = String::from_utf8_lossy(word.trim_ascii_start()).into_owned();
        let digits = text.char_indices().take_while(|(at, c)| c.is_ascii_digit() || *at == 0 && matches!(c, '-' | '+'));
        text[..digits.count()].parse::<i64>().unwrap_or(0)
    };
    let numbers = list.split(|b| *b == b',').map(number);
    let part = |n: i64| usize::try_from(n).ok().filter(|part| *part < most).ok_or(n);
    numbers
        .map(part)
        .collect::<Result<_, _>>()
        .map_err(|n| format!("field ({n}) out of range, only {most} substrings in pattern"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_numbers_as_c_reads_them() {
        for (list, parts) in [("2", vec![2]), ("2,0,1", vec![2, 0, 1]), ("x", vec![0]), ("1 2", vec![1]), ("", vec![0])]
        {
            assert_eq!(named_parts(list.as_bytes(), 3), Ok(parts), "{list}");
        }
        for (list, n) in [("12", 12), ("-3", -3), ("1,3", 3)] {
            let said = format!("field ({n}) out of range, only 3 substrings in pattern");
            assert_eq!(named_parts(list.as_bytes(), 3), Err(said));
        }
    }
}
