//! Has a file changed since it was read?

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// One state of a file: device, inode, size, and the times of its text and of its inode. Whoever replaces, writes or touches the file makes
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(m: &Metadata) -> Identity {
        Identity {
            inode: (m.dev(), m.ino()),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

impl Identity {
    /// The state as text, for caches that must know which state they were made of.
    pub fn print(&self) -> String {
        let Identity { inode, size, modified, changed } = self;
        let times = [modified.0, modified.1, changed.0, changed.1].map(|t| t.to_string()).join(" ");
        format!("{} {} {size} {times}", inode.0, inode.1)
    }

    /// Octets of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The present state of what a path leads to; `None` where there is no such file.
    pub fn of(path: &Path) -> io::Result<Option<Identity>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Identity::from(&metadata))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(super::context("stat", path, e)),
        }
    }
}
