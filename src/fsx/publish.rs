//! The one atomic-write helper: a draft becomes a named, durable file, or leaves nothing.

use super::fault::checkpoint;
use super::{context, create_new, remove, rename, start_write_back, sync_dir, sync_file, write_all};
use nix::sys::statfs::{self, FsType};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Octets gathered before they are written: most messages are then one create, one write, one fsync.
pub const BUFFER: usize = 64 << 10;

/// A file being written under a temporary name; dropped without publishing, it is removed.
///
/// Nothing touches the disk before [`BUFFER`] octets have come, or the draft is synced.
#[derive(Debug)]
pub struct Draft {
    path: PathBuf,
    mode: u32,
    file: Option<File>,
    pending: Vec<u8>,
    size: u64,
    is_synced: bool,
    keep: bool,
}

impl Draft {
    /// A draft that will lie under exactly this path, which must be free.
    pub fn new(path: PathBuf, mode: u32) -> Draft {
        Draft { path, mode, file: None, pending: Vec::new(), size: 0, is_synced: false, keep: false }
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size += bytes.len() as u64;
        self.is_synced = false;
        if bytes.len() >= BUFFER {
            // As it is, without a copy of it.
            self.flush()?;
            return self.file.as_mut().map_or(Ok(()), |file| write_all(file, &self.path, bytes));
        }
        self.pending.extend_from_slice(bytes);
        if self.pending.len() >= BUFFER { self.flush() } else { Ok(()) }
    }

    /// True when writing this many more octets will touch the disk.
    pub fn would_flush(&self, more: usize) -> bool {
        self.pending.len() + more >= BUFFER
    }

    /// Octets written so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file with everything written so far, for reading back.
    pub fn file(&mut self) -> io::Result<&mut File> {
        self.flush()?;
        self.file.as_mut().ok_or_else(|| io::Error::other("draft without a file"))
    }

    fn flush(&mut self) -> io::Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            None => self.file.insert(create_new(&self.path, self.mode)?),
        };
        if !self.pending.is_empty() {
            write_all(file, &self.path, &self.pending)?;
            self.pending = Vec::new();
        }
        Ok(())
    }

    /// Makes the data durable; the name stays temporary.
    pub fn sync(&mut self) -> io::Result<()> {
        if self.is_synced {
            return Ok(());
        }
        self.flush()?;
        if let Some(file) = &self.file {
            sync_file(file, &self.path)?;
        }
        self.is_synced = true;
        Ok(())
    }

    /// Goes on under another temporary name, where the final one has become known; it must be free. Flushed, not synced.
    pub fn stage(&mut self, path: PathBuf) -> io::Result<()> {
        self.flush()?;
        rename(&self.path, &path)?;
        self.path = path;
        Ok(())
    }

    /// Believes that a sync of the whole file system, begun after the last write, has made this draft durable.
    pub fn believe_synced(&mut self) {
        self.is_synced = self.pending.is_empty();
    }

    /// True where the name may come before the data: on local file systems that are known to write both out in any order and to
    /// lose neither. A stop of the machine can then leave a name with a shorter file, so that the name must tell the size.
    pub fn may_name_first(&mut self) -> io::Result<bool> {
        const KNOWN: [FsType; 3] = [statfs::EXT4_SUPER_MAGIC, statfs::XFS_SUPER_MAGIC, statfs::BTRFS_SUPER_MAGIC];
        let file = self.file()?;
        Ok(statfs::fstatfs(file).is_ok_and(|fs| KNOWN.contains(&fs.filesystem_type())))
    }

    /// Has the disk begin with the data: a sync that follows soon waits less.
    pub fn start_sync(&mut self) -> io::Result<()> {
        self.flush()?;
        if let Some(file) = &self.file {
            start_write_back(file);
        }
        Ok(())
    }

    /// Renames the draft to `name` before its data is durable, where [`Draft::may_name_first`]. The caller syncs the directory and
    /// then the draft, or removes the name.
    pub fn place_first(&mut self, name: &Path) -> io::Result<()> {
        self.start_sync()?;
        rename(&self.path, name)?;
        self.path = name.to_path_buf();
        self.keep = true;
        Ok(())
    }

    /// Syncs the data and renames the draft to `name`; the directory is not synced yet.
    pub fn place(&mut self, name: &Path) -> io::Result<()> {
        self.sync()?;
        rename(&self.path, name)?;
        self.keep = true;
        Ok(())
    }

    /// Leaves the file where it lies: something durable tells of it.
    pub fn leave(mut self) {
        self.keep = true;
    }

    /// Syncs the data, renames the draft to the free name `name` and syncs the directory: on return the file is durable.
    ///
    /// On an error there is no such file: what was not promised must not be found and delivered.
    pub fn publish(&mut self, name: &Path) -> io::Result<()> {
        self.place(name)?;
        let synced = name.parent().map_or(Ok(()), sync_dir);
        if synced.is_err() {
            let _ = remove(name);
        }
        synced
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.keep && self.file.is_some() {
            let _ = remove(&self.path);
        }
    }
}

/// Most threads that sync at once: the disk takes that many writes together, more make it no faster.
const SYNCING: usize = 8;
/// For so many drafts another thread is worth its start.
const WORTHWHILE: usize = 4;

/// [`Draft::sync`] for many, at once. After an error any of them may be lost.
pub fn sync_all(drafts: &mut [&mut Draft]) -> io::Result<()> {
    for draft in drafts.iter_mut() {
        draft.start_sync()?;
    }
    let threads = (drafts.len() / WORTHWHILE).clamp(1, SYNCING);
    let share = drafts.len().div_ceil(threads).max(1);
    let sync = |drafts: &mut [&mut Draft]| drafts.iter_mut().try_for_each(|draft| draft.sync());
    let mut shares = drafts.chunks_mut(share);
    let own = shares.next().unwrap_or_default();
    std::thread::scope(|scope| {
        let others: Vec<_> = shares.map(|share| scope.spawn(move || sync(share))).collect();
        let mut result = sync(own);
        for other in others {
            let theirs = other.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early")));
            result = result.and(theirs);
        }
        result
    })
}

/// Replaces (or creates) `path` with `bytes`, atomically and durably; the draft lies in the same directory.
///
/// Readers see the old text or the new one. `mode` is set exactly, whatever the umask.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_by(path, mode, |draft| draft.write(bytes))
}

/// The same where the bytes are not at hand all at once.
pub fn replace_by(path: &Path, mode: u32, write: impl FnOnce(&mut Draft) -> io::Result<()>) -> io::Result<()> {
    replace_first_by(path, mode, write)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// The same, but for the directory, which the caller syncs before it tells anyone: for who has more to do there or elsewhere first.
pub fn replace_first(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    replace_first_by(path, mode, |draft| draft.write(bytes))
}

fn replace_first_by(path: &Path, mode: u32, write: impl FnOnce(&mut Draft) -> io::Result<()>) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut draft = beside(path, mode);
    write(&mut draft)?;
    draft.file()?.set_permissions(std::fs::Permissions::from_mode(mode))?;
    // The administrator changes a file that a service owns: it stays the service's.
    if nix::unistd::geteuid().is_root()
        && let Ok(old) = std::fs::symlink_metadata(path)
    {
        std::os::unix::fs::fchown(draft.file()?, Some(old.uid()), Some(old.gid()))?;
    }
    draft.place(path)
}

/// Replaces (or creates) a file that can be made again and carries its own checksum: atomically for readers, but not synced, so that
/// a power failure may leave a damaged one.
pub fn replace_cache(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let mut draft = beside(path, mode);
    draft.write(bytes)?;
    draft.flush()?;
    draft.believe_synced();
    draft.place(path)
}

/// Makes a symbolic link, or lets one point elsewhere, atomically and durably.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    let draft = free_name_beside(path);
    checkpoint("symlink", path)?;
    std::os::unix::fs::symlink(target, &draft).map_err(|e| context("make", &draft, e))?;
    if let Err(error) = rename(&draft, path) {
        let _ = remove(&draft);
        return Err(error);
    }
    path.parent().map_or(Ok(()), sync_dir)
}

/// A draft in the same directory under a name of its own.
fn beside(path: &Path, mode: u32) -> Draft {
    Draft::new(free_name_beside(path), mode)
}

/// `.NAME.….new`: nobody else makes this one.
fn free_name_beside(path: &Path) -> PathBuf {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let n = COUNTER.fetch_add(1, Ordering::Relaxed);
    let draft = path.with_file_name(format!(".{name}.{}.{n}.new", std::process::id()));
    // A draft left by a dead process of the same number is in the way; ours is not there yet.
    let _ = remove(&draft);
    draft
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
        let mut draft = Draft::new(dir.path().join("d"), 0o600);
        draft.write(b"x").unwrap();
        draft.file().unwrap();
        drop(draft);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
