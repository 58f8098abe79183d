//! Posts from an archive for a reader: the lines of `# summary`, the posts of `# get`.
//!
//! Called by the commands by mail and by `emlist archive`.

use super::digest::Collected;
use crate::lists::archive::{Archive, Entry, Ranges};
use std::io;

/// Lines of one summary; the last ones, when more are asked for.
pub const SUMMARY_LIMIT: usize = 10_000;

/// The lines of a summary, one a post: `YY/MM/DD HH:MM:SS [ID:ADDRESS] SUBJECT`, in the order of the numbers.
pub fn summary(archive: &Archive, wanted: &Ranges) -> io::Result<String> {
    let index = archive.index()?;
    let ranges = wanted.resolve(&index);
    let numbers: Vec<u64> = index.numbers_in(&ranges).collect();
    let mut text = String::new();
    for number in &numbers[numbers.len().saturating_sub(SUMMARY_LIMIT)..] {
        if let Some(entry) = index.entry(*number) {
            text.push_str(&line(&entry));
            text.push('\n');
        }
    }
    Ok(text)
}

/// One line of a summary.
pub fn line(entry: &Entry) -> String {
    format!("{} [{}:{}] {}", entry.date.local("%y/%m/%d %H:%M:%S"), entry.number, entry.from, entry.subject)
}

/// What was asked for, as far as it may be had at once.
#[derive(Debug, Clone, Default)]
pub struct Got {
    /// The posts.
    pub posts: Vec<Collected>,
    /// Numbers that were named, or are in the index, and have no post.
    pub missing: Vec<u64>,
    /// Numbers that were left for another request.
    pub left: Vec<u64>,
}

/// The posts in these ranges: at most `posts` of them and, behind the first one, at most `octets`. 0 is no limit.
pub fn get(archive: &Archive, wanted: &Ranges, posts: usize, octets: u64) -> io::Result<Got> {
    let index = archive.index()?;
    let mut got = Got::default();
    got.missing.extend(wanted.named().filter(|number| index.entry(*number).is_none()));
    let mut size = 0;
    for entry in index.entries(&wanted.resolve(&index)) {
        let is_full = posts > 0 && got.posts.len() >= posts;
        let is_large = octets > 0 && !got.posts.is_empty() && size + entry.size > octets;
        if is_full || is_large || !got.left.is_empty() {
            got.left.push(entry.number);
            continue;
        }
        match archive.message(entry.number)? {
            Some(message) => {
                size += message.len() as u64;
                got.posts.push(Collected { entry, message });
            }
            None => got.missing.push(entry.number),
        }
    }
    got.missing.sort_unstable();
    got.missing.dedup();
    Ok(got)
}

/// Numbers as people write them: `3, 5-9, 12`.
pub fn numbers(numbers: &[u64]) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some(run) if run.1 + 1 == *number => run.1 = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let print = |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    runs.iter().map(print).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;

    fn archive() -> (tempfile::TempDir, Archive) {
        let dir = tempfile::tempdir().unwrap();
        let archive = Archive::at(dir.path().join("archive"));
        for number in [1, 2, 4, 5] {
            let text = format!(
                "From: Ann <ann@a.test>\nDate: Mon, 30 Nov 2026 09:00:0{number} +0000\nSubject: =?utf-8?q?caf=C3=A9?=\n {number}\n\n{}",
                "x".repeat(100)
            );
            archive.append(number, text.as_bytes(), Timestamp(0)).unwrap();
        }
        (dir, archive)
    }

    #[test]
    fn a_summary_has_a_line_for_each_post() {
        let (_dir, archive) = archive();
        let text = summary(&archive, &Ranges::parse("2-4").unwrap()).unwrap();
        let lines: Vec<&str> = text.lines().map(|line| &line[18..]).collect();
        assert_eq!(lines, ["[2:ann@a.test] café 2", "[4:ann@a.test] café 4"]);
        let date = Timestamp::parse_rfc3339("2026-11-30T09:00:02Z").unwrap().local("%y/%m/%d %H:%M:%S");
        assert!(text.starts_with(&format!("{date} [2:")), "{text}");
    }

    #[test]
    fn what_is_asked_for_is_got_within_limits() {
        let (_dir, archive) = archive();
        let got = |text: &str, posts, octets| {
            let got = get(&archive, &Ranges::parse(text).unwrap(), posts, octets).unwrap();
            let numbers: Vec<u64> = got.posts.iter().map(|post| post.entry.number).collect();
            (numbers, got.missing, got.left)
        };
        assert_eq!(got("*", 0, 0), (vec![1, 2, 4, 5], vec![], vec![]));
        assert_eq!(got("1,3,9,4-8", 0, 0), (vec![1, 4, 5], vec![3, 9], vec![]));
        assert_eq!(got("*", 2, 0), (vec![1, 2], vec![], vec![4, 5]));
        // One post is sent however large it is.
        assert_eq!(got("*", 0, 10), (vec![1], vec![], vec![2, 4, 5]));
        assert_eq!(numbers(&[2, 4, 5, 6, 9]), "2, 4-6, 9");
        assert_eq!(numbers(&[]), "");
    }
}
