//! Names in an open directory, for whoever changes thousands of them: the kernel need not walk the whole path for each.

use super::context;
use super::fault::checkpoint;
use nix::dir::Type;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, linkat, unlinkat};
use std::ffi::OsStr;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Calls for each name in a directory, in no order; `.` and `..` are left out. It costs little for each: directories may hold
/// hundreds of thousands.
pub fn each_name(path: &Path, mut act: impl FnMut(&OsStr)) -> io::Result<()> {
    each_entry(path, |name, _| act(name))
}

/// Calls for the name of each regular file in a directory, as [`each_name`] does.
pub fn each_file(path: &Path, mut act: impl FnMut(&OsStr)) -> io::Result<()> {
    each_entry(path, |name, kind| {
        let is_file = match kind {
            Some(kind) => kind == Type::File,
            // Not all file systems tell.
            None => std::fs::symlink_metadata(path.join(name)).is_ok_and(|metadata| metadata.is_file()),
        };
        if is_file {
            act(name);
        }
    })
}

fn each_entry(path: &Path, mut act: impl FnMut(&OsStr, Option<Type>)) -> io::Result<()> {
    use std::os::unix::ffi::OsStrExt;
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut dir = nix::dir::Dir::open(path, flags, Mode::empty()).map_err(|e| context("open", path, e.into()))?;
    for entry in dir.iter() {
        let entry = entry.map_err(|e| context("read", path, e.into()))?;
        match entry.file_name().to_bytes() {
            b"." | b".." => {}
            name => act(OsStr::from_bytes(name), entry.file_type()),
        }
    }
    Ok(())
}

/// Removes a directory with all in it, however deep; links in it are removed, not followed. One that is gone is no error.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink()) {
        return super::remove(path);
    }
    let mut pending = vec![path.to_path_buf()];
    let mut dirs = Vec::new();
    while let Some(dir) = pending.pop() {
        let entries = match std::fs::read_dir(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(|e| context("read", &dir, e))?,
        };
        for entry in entries {
            let entry = entry.map_err(|e| context("read", &dir, e))?;
            match entry.file_type().map_err(|e| context("stat", &dir, e))?.is_dir() {
                true => pending.push(entry.path()),
                false => super::remove(&entry.path())?,
            }
        }
        dirs.push(dir);
    }
    dirs.iter().rev().try_for_each(|dir| super::remove_dir(dir))
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    file: File,
    path: PathBuf,
}

impl Dir {
    /// Opens it; a symbolic link is none.
    pub fn open(path: &Path) -> io::Result<Dir> {
        let flags = (OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW).bits();
        let file =
            OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|e| context("open", path, e))?;
        Ok(Dir { file, path: path.to_path_buf() })
    }

    /// Where a name in it is.
    pub fn path(&self, name: &OsStr) -> PathBuf {
        self.path.join(name)
    }

    /// As [`super::open_read`], with the file's attributes.
    pub fn open_read(&self, name: &OsStr) -> io::Result<(File, Metadata)> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        let opened = openat(&self.file, name, flags, Mode::empty()).map_err(io::Error::from).map(File::from);
        let checked = opened.and_then(|file| super::regular(&file).map(|metadata| (file, metadata)));
        checked.map_err(|e| context("open", &self.path(name), e))
    }

    /// As [`super::read_into`].
    pub fn read_into(&self, name: &OsStr, buffer: &mut Vec<u8>) -> io::Result<()> {
        let (file, metadata) = self.open_read(name)?;
        super::fill(file, metadata.len(), buffer).map_err(|e| context("read", &self.path(name), e))
    }

    /// As [`super::link`].
    pub fn link(&self, from: &OsStr, target: &Dir, to: &OsStr) -> io::Result<()> {
        checkpoint("link", &target.path)?;
        linkat(&self.file, from, &target.file, to, AtFlags::empty())
            .map_err(|e| context("link", &target.path(to), e.into()))
    }

    /// As [`super::rename`].
    pub fn rename(&self, from: &OsStr, target: &Dir, to: &OsStr) -> io::Result<()> {
        checkpoint("rename", &target.path)?;
        renameat(&self.file, from, &target.file, to).map_err(|e| context("rename", &target.path(to), e.into()))
    }

    /// As [`super::remove_existing`].
    pub fn remove_existing(&self, name: &OsStr) -> io::Result<()> {
        checkpoint("unlink", &self.path)?;
        unlinkat(&self.file, name, UnlinkatFlags::NoRemoveDir)
            .map_err(|e| context("unlink", &self.path(name), e.into()))
    }

    /// As [`super::sync_dir`].
    pub fn sync(&self) -> io::Result<()> {
        checkpoint("fsync", &self.path)?;
        self.file.sync_all().map_err(|e| context("sync", &self.path, e))
    }
}
