//! Has a file changed since it was read?

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// So long a file is not looked at again: many questions of one command, or of many connections at once, cost one look.
pub const TRUSTED_FOR: Duration = Duration::from_millis(1);

/// One state of a file: inode, size and time of change. Whoever replaces, writes or touches the file makes another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity(u64, u64, i64, i64);

impl Identity {
    /// The file's present state; `None` where there is no such file.
    pub fn of(path: &Path) -> io::Result<Option<Identity>> {
        match std::fs::metadata(path) {
            Ok(m) => Ok(Some(Identity(m.ino(), m.size(), m.mtime(), m.mtime_nsec()))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(super::context("stat", path, e)),
        }
    }
}

/// When a file was looked at last.
#[derive(Debug, Clone, Copy)]
pub struct Looked(Instant);

impl Looked {
    /// At this moment.
    pub fn now() -> Looked {
        Looked(Instant::now())
    }

    /// True when that was less than [`TRUSTED_FOR`] ago.
    pub fn is_fresh(self) -> bool {
        self.0.elapsed() < TRUSTED_FOR
    }
}
