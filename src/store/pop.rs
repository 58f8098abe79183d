//! A mailbox as a POP3 session sees it: a fixed list, locked for the session.
//!
//! Names are packed into one string, so that a held session of a hundred messages costs some kilobytes.

use super::folder::size;
use super::torn::Torn;
use crate::dot;
use crate::fsx::{self, Lock, LockError};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Longest unique-id (RFC 1939 §7).
const UIDL_LIMIT: usize = 70;

/// Why a mailbox was not opened.
#[derive(Debug, thiserror::Error)]
pub enum PopError {
    /// Another session has it.
    #[error("another session has the mailbox")]
    InUse,
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An open, locked mailbox.
#[derive(Debug)]
pub struct PopMailbox {
    maildir: Box<Path>,
    entries: Box<[Packed]>,
    names: Box<str>,
    _lock: Option<Lock>,
}

#[derive(Debug, Clone, Copy)]
struct Packed {
    start: u32,
    length: u16,
    is_new: bool,
    wire_size: u64,
}

/// One message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PopEntry<'a> {
    /// Name of the file.
    pub name: &'a str,
    /// Octets with CRLF line ends.
    pub wire_size: u64,
    /// True when no other program has seen it yet.
    pub is_new: bool,
}

impl PopMailbox {
    /// Locks and lists the mailbox under a home.
    pub fn open(home: &Path) -> Result<PopMailbox, PopError> {
        let maildir = home.join("Maildir");
        if !maildir.join("new").is_dir() {
            // Nobody has written to this account yet; there is nothing to lock.
            return Ok(PopMailbox { maildir: maildir.into(), entries: [].into(), names: "".into(), _lock: None });
        }
        let lock = match Lock::wait(&home.join(".pop3.lock"), Duration::ZERO) {
            Ok(lock) => lock,
            Err(LockError::Io(e)) => return Err(e.into()),
            Err(LockError::Held | LockError::Gone) => return Err(PopError::InUse),
        };
        let mut found: Vec<(String, bool, u64)> = Vec::new();
        let torn = Torn::new();
        for (sub, is_new) in [("cur", false), ("new", true)] {
            let dir = maildir.join(sub);
            let entries = match std::fs::read_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.map_err(|e| fsx::context("read", &dir, e))?,
            };
            for entry in entries {
                let entry = entry?;
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with('.') || name.len() > usize::from(u16::MAX) {
                    continue;
                }
                if is_new && torn.takes(&maildir, name.as_bytes()) {
                    continue;
                }
                let wire_size = match size(name.as_bytes(), b",W=") {
                    Some(size) => size,
                    None => match measure(&entry.path()) {
                        Ok(size) => size,
                        // Taken away by another program, or no file at all.
                        Err(_) => continue,
                    },
                };
                found.push((name, is_new, wire_size));
            }
        }
        found.sort_by(|a, b| arrival_order(&a.0).cmp(&arrival_order(&b.0)).then_with(|| a.0.cmp(&b.0)));
        let mut names = String::with_capacity(found.iter().map(|f| f.0.len()).sum());
        let mut entries = Vec::with_capacity(found.len());
        for (name, is_new, wire_size) in found {
            entries.push(Packed { start: names.len() as u32, length: name.len() as u16, is_new, wire_size });
            names.push_str(&name);
        }
        Ok(PopMailbox { maildir: maildir.into(), entries: entries.into(), names: names.into(), _lock: Some(lock) })
    }

    /// Number of messages.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Message `index`, from 0.
    pub fn entry(&self, index: usize) -> Option<PopEntry<'_>> {
        let packed = self.entries.get(index)?;
        let name = self.names.get(packed.start as usize..packed.start as usize + usize::from(packed.length))?;
        Some(PopEntry { name, wire_size: packed.wire_size, is_new: packed.is_new })
    }

    /// The unique-id of message `index` (RFC 1939 §7): the part of the name that never changes.
    pub fn unique_id(&self, index: usize) -> Option<String> {
        let name = self.entry(index)?.name;
        let base = &name[..name.find([',', ':']).unwrap_or(name.len())];
        if base.len() <= UIDL_LIMIT && !base.is_empty() && base.bytes().all(|b| b.is_ascii_graphic()) {
            return Some(base.to_string());
        }
        use sha2::Digest;
        let digest = sha2::Sha256::digest(base.as_bytes());
        Some(digest.iter().map(|b| format!("{b:02x}")).collect())
    }

    /// Opens message `index` for reading.
    pub fn read(&self, index: usize) -> io::Result<File> {
        match self.entry(index).map(|entry| fsx::open_read(&self.listed(entry))) {
            // Moved or flagged by another program since we listed it.
            Some(Err(e)) if e.kind() == io::ErrorKind::NotFound => fsx::open_read(&self.find(index)?),
            Some(other) => other,
            None => fsx::open_read(&self.find(index)?),
        }
    }

    /// Where the message lay when it was listed.
    fn listed(&self, entry: PopEntry<'_>) -> PathBuf {
        self.maildir.join(if entry.is_new { "new" } else { "cur" }).join(entry.name)
    }

    /// Removes these messages; those that another program has removed already are no error.
    pub fn remove(&self, indexes: &[usize]) -> io::Result<()> {
        let mut touched = [false, false];
        for index in indexes {
            match self.find(*index) {
                Ok(path) => {
                    fsx::remove(&path)?;
                    touched[usize::from(path.parent().is_some_and(|p| p.ends_with("new")))] = true;
                }
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(e),
            }
        }
        for (sub, was_touched) in [("cur", touched[0]), ("new", touched[1])] {
            if was_touched {
                fsx::sync_dir(&self.maildir.join(sub))?;
            }
        }
        Ok(())
    }

    /// Where the message lies now: other programs move messages to `cur` and change their flags.
    fn find(&self, index: usize) -> io::Result<PathBuf> {
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the message is gone");
        let entry = self.entry(index).ok_or_else(gone)?;
        let path = self.listed(entry);
        if path.exists() {
            return Ok(path);
        }
        let base = |name: &str| name[..name.find(':').unwrap_or(name.len())].to_string();
        let wanted = base(entry.name);
        for sub in ["cur", "new"] {
            for other in std::fs::read_dir(self.maildir.join(sub))? {
                let other = other?;
                if base(&other.file_name().to_string_lossy()) == wanted {
                    return Ok(other.path());
                }
            }
        }
        Err(gone())
    }
}

/// Names begin with the time of delivery.
fn arrival_order(name: &str) -> u64 {
    name.split('.').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0)
}

fn measure(path: &Path) -> io::Result<u64> {
    let mut text = Vec::new();
    fsx::open_read(path)?.read_to_end(&mut text)?;
    Ok(dot::crlf_size(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mailbox(names: &[&str]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for sub in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(dir.path().join("Maildir").join(sub)).unwrap();
        }
        for name in names {
            std::fs::write(dir.path().join("Maildir").join(name), "a\nb\n").unwrap();
        }
        dir
    }

    #[test]
    fn a_snapshot_is_locked_sorted_and_follows_renames() {
        let dir = mailbox(&["new/20.x,S=4,W=6", "cur/3.y:2,S", "cur/.hidden"]);
        let first = PopMailbox::open(dir.path()).unwrap();
        assert!(matches!(PopMailbox::open(dir.path()), Err(PopError::InUse)));
        let entries: Vec<_> = (0..first.len()).map(|i| first.entry(i).unwrap()).collect();
        assert_eq!(entries[0], PopEntry { name: "3.y:2,S", wire_size: 6, is_new: false });
        assert_eq!(first.unique_id(0).unwrap(), "3.y");
        assert_eq!(first.unique_id(1).unwrap(), "20.x");
        let maildir = dir.path().join("Maildir");
        std::fs::rename(maildir.join("new/20.x,S=4,W=6"), maildir.join("cur/20.x,S=4,W=6:2,FS")).unwrap();
        let mut text = String::new();
        first.read(1).unwrap().read_to_string(&mut text).unwrap();
        assert_eq!(text, "a\nb\n");
        first.remove(&[1, 0]).unwrap();
        first.remove(&[0]).unwrap();
        drop(first);
        assert!(PopMailbox::open(dir.path()).unwrap().is_empty());
    }

    #[test]
    fn a_mailbox_nobody_wrote_to_is_empty() {
        assert!(PopMailbox::open(Path::new("/nonexistent")).unwrap().is_empty());
    }
}
