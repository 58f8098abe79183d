//! The one door to the file system for everything that must survive a crash.
//!
//! Called by the stores; nothing above them opens spool, mail or configuration files by itself.
//! Each function that changes the disk passes one [`fault`] checkpoint before it acts, so that a
//! test can fail or kill the process at the n-th operation.
//!
//! Rules kept here:
//! * a new file is created exclusively and never through a symbolic link;
//! * publishing = write, fsync the file, rename or link, fsync the directory; only names that tell the file's size may come before
//!   both syncs ([`Draft::place_first`]);
//! * a failed fsync means that the file is lost: it is not retried on the same descriptor, because
//!   the kernel may have dropped the dirty pages (RELIABILITY R5);
//! * locks are flock(2) held by a guard, and re-checked after locking.

mod dir;
pub mod fault;
mod identity;
mod lock;
mod publish;

pub use dir::{Dir, each_file, each_name, remove_tree};
pub use identity::{Glance, Identity, Seen};
pub use lock::{Lock, LockError};
pub use publish::{BUFFER, Draft, replace, replace_by, replace_cache, replace_first, replace_link, sync_all};

use fault::checkpoint;
use nix::fcntl::OFlag;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An error with what was being done, and to which path.
pub fn context(doing: &str, path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), FileError { doing: doing.to_string(), path: path.display().to_string(), error })
}

/// Says which operation on which path failed; `source` is the system's error.
#[derive(Debug)]
pub struct FileError {
    doing: String,
    path: String,
    error: io::Error,
}

impl std::fmt::Display for FileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}: {}", self.doing, self.path, self.error)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The system's error number behind an error that may carry context.
pub fn errno(error: &io::Error) -> Option<i32> {
    if let Some(number) = error.raw_os_error() {
        return Some(number);
    }
    let inner = error.get_ref()?.downcast_ref::<FileError>()?;
    inner.error.raw_os_error()
}

/// Creates a file that did not exist, for writing and reading; `mode` is taken before the umask.
pub fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    checkpoint("create", path)?;
    OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .mode(mode)
        .custom_flags(OFlag::O_NOFOLLOW.bits())
        .open(path)
        .map_err(|e| context("create", path, e))
}

/// Opens an existing file for reading, never following a symbolic link in its last component and
/// never blocking on a FIFO; anything but a regular file is an error.
pub fn open_read(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|e| context("open", path, e))?;
    regular(&file).map_err(|e| context("open", path, e))?;
    Ok(file)
}

/// The attributes of an open file, which must be a regular one.
fn regular(file: &File) -> io::Result<fs::Metadata> {
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok(metadata),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")),
    }
}

/// Reads a whole file that nobody changes into a buffer whose memory, and what of its length fits, is used again.
pub fn read_into(path: &Path, buffer: &mut Vec<u8>) -> io::Result<()> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|e| context("open", path, e))?;
    let size = regular(&file).map_err(|e| context("open", path, e))?.len();
    fill(file, size, buffer).map_err(|e| context("read", path, e))
}

/// Reads a file of this size from its beginning.
fn fill(mut file: File, size: u64, buffer: &mut Vec<u8>) -> io::Result<()> {
    use std::io::Read;
    let size = usize::try_from(size).map_err(|_| io::ErrorKind::FileTooLarge)?;
    buffer.resize(size, 0);
    let mut filled = 0;
    while filled < size {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    buffer.truncate(filled);
    Ok(())
}

/// Reads a whole regular file of at most `limit` bytes.
pub fn read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    read_opened(open_read(path)?, path, limit)
}

/// The same for a file that is open: who asks for its owner and mode first must then read that one.
pub fn read_opened(file: File, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    use std::io::Read;
    let size = file.metadata()?.len();
    if size > limit {
        return Err(context("read", path, io::Error::new(io::ErrorKind::FileTooLarge, "larger than its limit")));
    }
    let mut bytes = Vec::with_capacity(size as usize + 1);
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| context("read", path, e))?;
    Ok(bytes)
}

/// Writes all bytes.
pub fn write_all(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    checkpoint("write", path)?;
    file.write_all(bytes).map_err(|e| context("write", path, e))
}

/// Opens a file for appending, creating it when it is missing.
pub fn open_append(path: &Path, mode: u32) -> io::Result<File> {
    checkpoint("append", path)?;
    OpenOptions::new()
        .append(true)
        .read(true)
        .create(true)
        .mode(mode)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|e| context("open", path, e))
}

/// Cuts a file off.
pub fn truncate(file: &File, path: &Path, length: u64) -> io::Result<()> {
    checkpoint("truncate", path)?;
    file.set_len(length).map_err(|e| context("truncate", path, e))
}

/// Makes room for so many octets behind the end of a file, without changing its size: a later append is then not stopped
/// by a full disk. Where the file system can't do that, nothing happens.
pub fn reserve(file: &File, path: &Path, octets: u64) -> io::Result<()> {
    use nix::errno::Errno;
    checkpoint("reserve", path)?;
    let end = file.metadata().map_err(|e| context("stat", path, e))?.len();
    let mode = nix::fcntl::FallocateFlags::FALLOC_FL_KEEP_SIZE;
    match nix::fcntl::fallocate(file, mode, end as i64, octets.max(1) as i64) {
        Ok(()) | Err(Errno::EOPNOTSUPP | Errno::ENOSYS | Errno::EINVAL | Errno::EINTR) => Ok(()),
        Err(e) => Err(context("reserve", path, e.into())),
    }
}

/// Sets a file's modification time; durable with the file's next sync.
pub fn set_modified(file: &File, path: &Path, time: SystemTime) -> io::Result<()> {
    checkpoint("utime", path)?;
    file.set_modified(time).map_err(|e| context("set the time of", path, e))
}

/// Makes a file's data durable, and of its attributes only what is needed to read it back: for logs that grow. The rule of
/// [`sync_file`] about errors holds.
pub fn sync_data(file: &File, path: &Path) -> io::Result<()> {
    checkpoint("fsync", path)?;
    file.sync_data().map_err(|e| context("fsync", path, e))
}

/// Makes a file's data and size durable. An error means the file is lost (see the module rules).
pub fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    checkpoint("fsync", path)?;
    file.sync_all().map_err(|e| context("fsync", path, e))
}

/// Has the kernel begin to write a file's data out, without waiting. Only a hint: what matters is the sync that follows.
pub fn start_write_back(file: &File) {
    crate::syscall::start_write_back(file);
}

/// Makes a directory's entries durable.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    checkpoint("fsync-dir", path)?;
    File::open(path).and_then(|dir| dir.sync_all()).map_err(|e| context("fsync", path, e))
}

/// Opens an existing file for appending and cutting.
pub fn open_append_existing(path: &Path) -> io::Result<File> {
    checkpoint("append", path)?;
    OpenOptions::new()
        .append(true)
        .read(true)
        .custom_flags((OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK).bits())
        .open(path)
        .map_err(|e| context("open", path, e))
}

/// One sync for many files and directories of a file system, in place of a [`sync_file`] or [`sync_dir`] for each.
///
/// Linux (from 5.8 on) tells of data that could not be written, to whoever had the file system open when that happened. So it
/// is begun before the first of the files is written, and finished after the last.
#[derive(Debug)]
pub struct FilesystemSync {
    dir: File,
    path: PathBuf,
}

impl FilesystemSync {
    /// Begins on the file system of this directory.
    pub fn begin(path: &Path) -> io::Result<FilesystemSync> {
        checkpoint("open-folder", path)?;
        let dir = File::open(path).map_err(|e| context("open", path, e))?;
        Ok(FilesystemSync { dir, path: path.to_path_buf() })
    }

    /// Makes all that was written durable. An error means that any of the files may be lost.
    pub fn finish(self) -> io::Result<()> {
        checkpoint("syncfs", &self.path)?;
        nix::unistd::syncfs(&self.dir).map_err(|e| context("syncfs", &self.path, e.into()))
    }
}

/// Gives an existing file a second name. Fails when the name is taken.
pub fn link(from: &Path, to: &Path) -> io::Result<()> {
    checkpoint("link", to)?;
    fs::hard_link(from, to).map_err(|e| context("link", to, e))
}

/// Renames a file, replacing what stood under the new name.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    checkpoint("rename", to)?;
    fs::rename(from, to).map_err(|e| context("rename", to, e))
}

/// Asks the file system to put the folders that are made in this one apart, each with room of its own: files that come and go in one
/// folder then wait less for those in another. ext4 knows it as the attribute T of chattr(1); an error means that it can't be asked.
pub fn spread_folders(folder: &Path) -> io::Result<()> {
    crate::syscall::spread_folders(&File::open(folder)?)
}

/// Removes a name. A name that is gone already is no error.
pub fn remove(path: &Path) -> io::Result<()> {
    match remove_existing(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Removes a name; it is an error that it is gone already.
pub fn remove_existing(path: &Path) -> io::Result<()> {
    checkpoint("unlink", path)?;
    fs::remove_file(path).map_err(|e| context("unlink", path, e))
}

/// Removes an empty directory. One that is gone already is no error.
pub fn remove_dir(path: &Path) -> io::Result<()> {
    checkpoint("rmdir", path)?;
    match fs::remove_dir(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|e| context("rmdir", path, e)),
    }
}

/// Creates a directory and its missing parents, each made durable in its parent.
pub fn create_dirs(path: &Path, mode: u32) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let parent = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    create_dirs(parent, mode)?;
    checkpoint("mkdir", path)?;
    match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => sync_dir(parent),
        // Made by another process a moment ago, perhaps not yet durable.
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => sync_dir(parent),
        Err(e) => Err(context("mkdir", path, e)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_read_refuses_links_fifos_and_directories() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        fs::write(&plain, "x").unwrap();
        let linked = dir.path().join("link");
        std::os::unix::fs::symlink(&plain, &linked).unwrap();
        let fifo = dir.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(read(&plain, 10).unwrap(), b"x");
        assert!(read(&plain, 0).is_err());
        assert!(open_read(&linked).is_err());
        assert!(open_read(&fifo).is_err());
        assert!(open_read(dir.path()).is_err());
        let mut buffer = b"older and longer".to_vec();
        for path in [linked.as_path(), &fifo, dir.path()] {
            assert!(read_into(path, &mut buffer).is_err());
        }
        read_into(&plain, &mut buffer).unwrap();
        assert_eq!(buffer, b"x");
    }

    #[test]
    fn context_keeps_kind_and_number() {
        let missing = open_read(Path::new("/nonexistent/file")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
        assert_eq!(errno(&missing), Some(nix::libc::ENOENT));
        assert!(missing.to_string().contains("/nonexistent/file"));
    }
}
