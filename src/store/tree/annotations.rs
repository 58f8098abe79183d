//! Annotations of mailboxes and of the account as a whole (RFC 5464).
//!
//! One text file each, `em-annotations` in the mailbox's directory and `em-annotations-account` in the tree's root: a line for each entry,
//! its name in lower case and its value escaped. It goes where its directory goes: renamed with it, deleted with it. The tree's lock
//! is held while it is changed.

use super::{INBOX, Tree, TreeError};
use crate::fsx;
use crate::store::folder::{escape, unescape_octets};
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

pub(super) const NAME: &str = "em-annotations";
pub(super) const ACCOUNT: &str = "em-annotations-account";
const HEADER: &[u8] = b"em-annotations 1\n";
/// Largest value, in octets (RFC 5464 §4.1 wants 1024).
pub const VALUE_LIMIT: usize = 32 << 10;
/// Most entries of one mailbox, or of the account (RFC 5464 §4.1 wants 10).
pub const COUNT_LIMIT: usize = 100;
/// Longest name of an entry, in octets.
const ENTRY_LIMIT: usize = 256;
/// A file of all that, with every octet escaped.
const FILE_LIMIT: u64 = (COUNT_LIMIT * 3 * (VALUE_LIMIT + ENTRY_LIMIT + 2)) as u64;

/// Values by entry, in lower case.
pub type Annotations = BTreeMap<String, Vec<u8>>;

/// Why annotations were not changed; none of them was.
#[derive(Debug, thiserror::Error)]
pub enum AnnotateError {
    /// A value is larger than [`VALUE_LIMIT`].
    #[error("an annotation has at most {VALUE_LIMIT} octets")]
    TooLarge,
    /// More than [`COUNT_LIMIT`] entries, or an endless name.
    #[error("there are at most {COUNT_LIMIT} annotations")]
    TooMany,
    /// Something about the tree.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl Tree {
    /// The annotations of a mailbox, or of the account.
    pub fn annotations(&self, mailbox: Option<&str>) -> Result<Annotations, TreeError> {
        Ok(read(&self.annotated(mailbox)?)?)
    }

    /// Sets these entries; those without a value are removed. All or none; durable when it returns. A mailbox's modification sequence grows
    /// (RFC 7162 §3.2).
    pub fn annotate(&self, mailbox: Option<&str>, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), AnnotateError> {
        let _lock = self.lock()?;
        let path = self.annotated(mailbox)?;
        let before = read(&path).map_err(TreeError::from)?;
        let mut after = before.clone();
        for (entry, value) in changes {
            let entry = entry.to_ascii_lowercase();
            match value {
                Some(value) if value.len() > VALUE_LIMIT => return Err(AnnotateError::TooLarge),
                Some(_) if entry.len() > ENTRY_LIMIT => return Err(AnnotateError::TooMany),
                Some(value) => after.insert(entry, value.clone()),
                None => after.remove(&entry),
            };
        }
        if after.len() > COUNT_LIMIT {
            return Err(AnnotateError::TooMany);
        }
        if after == before {
            return Ok(());
        }
        fsx::replace(&path, &print(&after), 0o600).map_err(TreeError::from)?;
        if let Some(name) = mailbox {
            self.folder(name)?.touch().map_err(TreeError::from)?;
        }
        Ok(())
    }

    /// INBOX keeps its annotations when its messages are moved, and the new mailbox has them too (RFC 5464 §4.1).
    pub(super) fn copy_annotations_of_inbox(&self, to: &str) -> Result<(), TreeError> {
        let annotations = self.annotations(Some(INBOX))?;
        if annotations.is_empty() {
            return Ok(());
        }
        Ok(fsx::replace(&self.annotated(Some(to))?, &print(&annotations), 0o600)?)
    }

    fn annotated(&self, mailbox: Option<&str>) -> Result<PathBuf, TreeError> {
        match mailbox {
            None => Ok(self.root.join(ACCOUNT)),
            Some(name) => Ok(self.dir(&self.find(name)?.ok_or(TreeError::Missing)?).join(NAME)),
        }
    }
}

fn print(annotations: &Annotations) -> Vec<u8> {
    let mut text = HEADER.to_vec();
    for (entry, value) in annotations {
        escape(entry.as_bytes(), &mut text);
        text.push(b' ');
        escape(value, &mut text);
        text.push(b'\n');
    }
    text
}

/// A line that can't be read is none; a file of a newer program is left alone.
fn read(path: &Path) -> io::Result<Annotations> {
    let text = match fsx::read(path, FILE_LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Annotations::new()),
        other => other?,
    };
    let Some(lines) = text.strip_prefix(HEADER) else {
        let newer = io::Error::new(io::ErrorKind::InvalidData, "not annotations as this version writes them");
        return Err(fsx::context("read", path, newer));
    };
    let line = |line: &[u8]| {
        let (entry, value) = line.split_at(memchr::memchr(b' ', line)?);
        Some((String::from_utf8(unescape_octets(entry)?).ok()?, unescape_octets(&value[1..])?))
    };
    Ok(lines.split(|b| *b == b'\n').filter_map(line).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn annotations_are_read_as_they_were_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        assert!(read(&path).unwrap().is_empty());
        let all: Vec<u8> = (0..=255).collect();
        let written: Annotations = [
            ("/private/comment".to_string(), all),
            ("/shared/vendor/x/y".to_string(), Vec::new()),
            ("/shared/comment".to_string(), b"-".to_vec()),
        ]
        .into();
        std::fs::write(&path, print(&written)).unwrap();
        assert_eq!(read(&path).unwrap(), written);
        std::fs::write(&path, [HEADER, b"nonsense\n/a %4\n/b x\n"].concat()).unwrap();
        assert_eq!(read(&path).unwrap().into_keys().collect::<Vec<_>>(), ["/b"]);
        std::fs::write(&path, "em-annotations 2\n").unwrap();
        assert!(read(&path).is_err());
    }
}
