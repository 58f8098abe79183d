//! flock(2) guards.
//!
//! A lock belongs to the open file description and dies with its process. After locking, the file is
//! compared with what now stands under its name: a lock on a replaced file protects nothing.
//! fs2 is called by trait name, because std's `File` has methods of the same name with other errors.

use super::context;
use nix::fcntl::OFlag;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How soon a held lock is tried again; twice as long each time, until [`RETRY`].
const FIRST_RETRY: Duration = Duration::from_micros(100);
/// How often a held lock is tried again while waiting long for it.
const RETRY: Duration = Duration::from_millis(5);

/// Why a lock was not had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Somebody else holds it.
    #[error("locked by another process")]
    Held,
    /// The file to lock is gone.
    #[error("gone")]
    Gone,
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An exclusive lock on a named file, released when dropped.
#[derive(Debug)]
pub struct Lock {
    file: Arc<File>,
}

impl Lock {
    /// Locks the existing file `path` at once or not at all.
    pub fn try_existing(path: &Path) -> Result<Lock, LockError> {
        let file = match open(path, false) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(LockError::Gone),
            other => other.map_err(|e| context("open", path, e))?,
        };
        Self::take(file, path)
    }

    /// Locks `path`, creating it when missing, waiting up to `patience`.
    ///
    /// [`LockError::Held`] when the patience ran out.
    pub fn wait(path: &Path, patience: Duration) -> Result<Lock, LockError> {
        let until = Instant::now() + patience;
        let mut pause = FIRST_RETRY;
        loop {
            let file = open(path, true).map_err(|e| context("open", path, e))?;
            match Self::take(file, path) {
                Err(LockError::Held) if Instant::now() < until => {
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(RETRY);
                }
                // Replaced between open and lock: the next round opens the new one.
                Err(LockError::Gone) if Instant::now() < until => {}
                other => return other,
            }
        }
    }

    /// The locked file. Whoever keeps it keeps the lock, too.
    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    fn take(file: File, path: &Path) -> Result<Lock, LockError> {
        match fs2::FileExt::try_lock_exclusive(&file) {
            Ok(()) => {}
            Err(e) if e.raw_os_error() == fs2::lock_contended_error().raw_os_error() => return Err(LockError::Held),
            Err(e) => return Err(context("lock", path, e).into()),
        }
        let ours = file.metadata().map_err(|e| context("stat", path, e))?;
        match std::fs::symlink_metadata(path) {
            Ok(named) if (named.dev(), named.ino()) == (ours.dev(), ours.ino()) => Ok(Lock { file: Arc::new(file) }),
            Ok(_) => Err(LockError::Gone),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(LockError::Gone),
            Err(e) => Err(context("stat", path, e).into()),
        }
    }
}

fn open(path: &Path, create: bool) -> io::Result<File> {
    // Opened for writing because an exclusive flock on NFS is a byte-range lock and needs it.
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(create)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_excludes_and_ends_with_its_guard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Lock::wait(&path, Duration::ZERO).unwrap();
        assert!(matches!(Lock::try_existing(&path), Err(LockError::Held)));
        drop(held);
        Lock::try_existing(&path).unwrap();
    }

    #[test]
    fn a_replaced_file_is_not_taken_for_the_named_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let file = open(&path, true).unwrap();
        std::fs::write(dir.path().join("other"), "").unwrap();
        std::fs::rename(dir.path().join("other"), &path).unwrap();
        assert!(matches!(Lock::take(file, &path), Err(LockError::Gone)));
    }
}
