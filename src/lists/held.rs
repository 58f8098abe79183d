//! Posts that wait for a moderator: one file each, `held/ID`.
//!
//! Called by `list` and `emlist moderate`. Format: one line of words (see `fields`), first `em-held-1`, then the message as it came.

use super::List;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx::{self, Lock};
use crate::spool::Id;
use std::io;

/// Largest file, in octets.
const LIMIT: u64 = 1 << 30;

/// What is known of a held post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// Reverse path; `None` is `<>`.
    pub sender: Option<Address>,
    /// The author, from the header.
    pub author: Option<Address>,
    /// Why it was held.
    pub reason: String,
    /// Its Subject, decoded.
    pub subject: String,
    /// When it was held.
    pub at: Timestamp,
}

impl Held {
    fn print(&self) -> String {
        let mut line = String::from("em-held-1");
        for (key, address) in [("sender", &self.sender), ("author", &self.author)] {
            if let Some(address) = address {
                fields::push(&mut line, key, &address.to_string());
            }
        }
        fields::push(&mut line, "at", &self.at.0.to_string());
        fields::push(&mut line, "reason", &self.reason);
        fields::push(&mut line, "subject", &self.subject);
        line.push('\n');
        line
    }

    fn parse(line: &str) -> Option<Held> {
        let pairs = fields::pairs(line.strip_prefix("em-held-1")?)?;
        let field = |key: &str| pairs.iter().find(|(k, _)| k == key).map(|(_, value)| value.as_str());
        Some(Held {
            sender: field("sender").and_then(|text| Address::parse(text).ok()),
            author: field("author").and_then(|text| Address::parse(text).ok()),
            reason: field("reason").unwrap_or_default().to_string(),
            subject: field("subject").unwrap_or_default().to_string(),
            at: Timestamp(field("at")?.parse().ok()?),
        })
    }
}

impl List {
    /// Holds a post under this id; durable on return. The same id again is the same post.
    pub fn hold(&self, _lock: &Lock, id: &Id, held: &Held, message: &[u8]) -> io::Result<()> {
        let folder = self.spool().join("held");
        fsx::create_dirs(&folder, 0o700)?;
        let mut text = held.print().into_bytes();
        text.extend_from_slice(message);
        fsx::replace(&folder.join(id.as_str()), &text, 0o600)
    }

    /// A held post with its text; `None` when there is none.
    pub fn held(&self, id: &Id) -> io::Result<Option<(Held, Vec<u8>)>> {
        let path = self.spool().join("held").join(id.as_str());
        let mut text = match fsx::read(&path, LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let end = memchr::memchr(b'\n', &text).unwrap_or(text.len());
        let held = std::str::from_utf8(&text[..end]).ok().and_then(Held::parse).ok_or_else(|| {
            fsx::context("read", &path, io::Error::new(io::ErrorKind::InvalidData, "its first line is damaged"))
        })?;
        text.drain(..(end + 1).min(text.len()));
        Ok(Some((held, text)))
    }

    /// The ids of all held posts, oldest first.
    pub fn held_ids(&self) -> io::Result<Vec<Id>> {
        let mut ids = Vec::new();
        let each = |name: &std::ffi::OsStr| ids.extend(name.to_str().and_then(Id::parse));
        match fsx::each_name(&self.spool().join("held"), each) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
        ids.sort();
        Ok(ids)
    }

    /// Forgets a held post and the questions about it.
    pub fn let_go(&self, lock: &Lock, id: &Id, now: Timestamp) -> io::Result<()> {
        let folder = self.spool().join("held");
        fsx::remove(&folder.join(id.as_str()))?;
        fsx::sync_dir(&folder)?;
        self.sweep_questions(lock, Some(id), now).map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_comes_back() {
        let held = Held {
            sender: None,
            author: Address::parse("a@x.test").ok(),
            reason: "not a member".into(),
            subject: "日本 = x".into(),
            at: Timestamp(9),
        };
        assert_eq!(Held::parse(held.print().trim_end()), Some(held));
        assert_eq!(Held::parse("em-held-2 at=1"), None);
    }
}
