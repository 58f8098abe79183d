//! Comparing an archive with its index, and making the index anew.

use super::{Archive, Entry, HEADER};
use crate::clock::Timestamp;
use crate::fsx;
use std::io;

/// What is right and wrong about an archive.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Checked {
    /// Posts there are.
    pub posts: u64,
    /// Posts that the index does not know, or whose line is damaged.
    pub unknown: Vec<u64>,
    /// Numbers in the index without a post.
    pub missing: Vec<u64>,
    /// Posts of another size than the index says.
    pub changed: Vec<u64>,
}

impl Checked {
    /// True when nothing is wrong.
    pub fn is_good(&self) -> bool {
        self.unknown.is_empty() && self.missing.is_empty() && self.changed.is_empty()
    }
}

impl Archive {
    /// Compares the posts with the index.
    pub fn check(&self) -> io::Result<Checked> {
        let numbers = self.files()?;
        let index = self.index()?;
        let mut checked = Checked { posts: numbers.len() as u64, ..Checked::default() };
        for number in &numbers {
            match index.entry(*number) {
                None => checked.unknown.push(*number),
                Some(entry) if entry.size != self.path(*number).metadata()?.len() => checked.changed.push(*number),
                Some(_) => {}
            }
        }
        checked.missing = index.numbers().filter(|number| numbers.binary_search(number).is_err()).collect();
        Ok(checked)
    }

    /// Makes the index anew from the posts; the number of posts in it.
    pub fn rebuild(&self) -> io::Result<u64> {
        let _lock = self.lock()?;
        let old = self.index()?;
        let mut text = HEADER.to_string();
        let mut posts = 0;
        for number in self.files()? {
            let Some(message) = self.message(number)? else { continue };
            // A post without a date keeps the one it got when it came, or else its file's.
            let kept = old.entry(number).map(|entry| entry.date);
            let modified = self.path(number).metadata()?.modified().map(Timestamp::from)?;
            text.push_str(&Entry::of(number, &message, kept.unwrap_or(modified)).print());
            posts += 1;
        }
        fsx::replace(&self.index_path(), text.as_bytes(), 0o600)?;
        self.forget_texts()?;
        Ok(posts)
    }

    /// The numbers of all posts there are, ascending.
    fn files(&self) -> io::Result<Vec<u64>> {
        let mut buckets = Vec::new();
        match fsx::each_name(&self.dir, |name| buckets.extend(number(name))) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        }
        let mut numbers = Vec::new();
        for bucket in buckets {
            let dir = self.dir.join(bucket.to_string());
            if dir.is_dir() {
                fsx::each_name(&dir, |name| numbers.extend(number(name).filter(|n| n / super::BUCKET == bucket)))?;
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }
}

/// A name that is a number, written as we write it.
fn number(name: &std::ffi::OsStr) -> Option<u64> {
    let number: u64 = name.to_str()?.parse().ok()?;
    (name.to_str() == Some(&number.to_string())).then_some(number)
}
