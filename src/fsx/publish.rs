//! The one atomic-write helper: a draft becomes a named, durable file, or leaves nothing.

use super::{create_new, remove, rename, sync_dir, sync_file, write_all};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A file being written under a temporary name; dropped without publishing, it is removed.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    file: File,
    keep: bool,
}

impl Draft {
    /// Creates the draft under exactly this path, which must be free.
    pub fn create(path: PathBuf, mode: u32) -> io::Result<Draft> {
        let file = create_new(&path, mode)?;
        Ok(Draft { path, file, keep: false })
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        write_all(&mut self.file, &self.path, bytes)
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file, for reading back what was written.
    pub fn file(&mut self) -> &mut File {
        &mut self.file
    }

    /// Makes the data durable; the name stays temporary.
    pub fn sync(&self) -> io::Result<()> {
        sync_file(&self.file, &self.path)
    }

    /// Syncs the data, renames the draft to `name` and syncs the directory: on return the file is durable.
    pub fn publish(mut self, name: &Path) -> io::Result<()> {
        self.sync()?;
        rename(&self.path, name)?;
        self.keep = true;
        match name.parent() {
            Some(dir) => sync_dir(dir),
            None => Ok(()),
        }
    }

    /// Leaves the name to the caller, who has renamed it or will remove it.
    pub fn disarm(&mut self) {
        self.keep = true;
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep {
            let _ = remove(&self.path);
        }
    }
}

/// Replaces (or creates) `path` with `bytes`, atomically and durably; the draft lies in the same directory.
///
/// Readers see the old text or the new one. `mode` is set exactly, whatever the umask.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_file_name(format!(".{name}.{}.{n}.new", std::process::id()));
    // A draft left by a dead process of the same number is in the way; ours is not there yet.
    let _ = remove(&draft);
    let mut draft = Draft::create(draft, mode)?;
    draft.file.set_permissions(std::fs::Permissions::from_mode(mode))?;
    draft.write(bytes)?;
    draft.publish(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx::fault::{Plan, with_plan};

    #[test]
    fn replace_fails_whole_at_every_operation() {
        for n in 1..10 {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("file");
            std::fs::write(&path, "old").unwrap();
            let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
            let (result, struck) = with_plan(plan, || replace(&path, b"new", 0o600));
            let text = std::fs::read_to_string(&path).unwrap();
            if result.is_ok() {
                assert_eq!(text, "new");
            } else {
                // After the rename only the directory's sync may fail: the text is new but not promised.
                assert!(text == "old" || text == "new");
            }
            if !struck {
                assert!(n > 4, "replace passes at least unlink, create, write, fsync, rename, fsync-dir");
                return;
            }
        }
        panic!("replace uses more operations than it should");
    }

    #[test]
    fn a_dropped_draft_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(dir.path().join("d"), 0o600).unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
