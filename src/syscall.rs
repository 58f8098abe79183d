//! System calls that no safe crate wraps: the one place with unsafe code.
//!
//! | block | why it is sound |
//! |---|---|
//! | [`adopt`] | the number was announced by LISTEN_FDS for this process, is adopted once (see [`crate::drive`]), and fstat shows it open |
//! | [`end_with_parent`] | between fork and exec only prctl and getppid are called, which are plain system calls; no allocation |
//! | [`pass`] | between fork and exec only dup2 and fcntl are called, which are async-signal-safe (signal-safety(7)); no allocation |
//! | [`start_write_back`] | sync_file_range takes an open descriptor and numbers, and touches no memory of ours |
//! | [`spread_folders`] | FS_IOC_GETFLAGS and FS_IOC_SETFLAGS write and read one int, which is ours and lives as long as the call |
//!
//! The convention of passed sockets is systemd's sd_listen_fds(3): descriptors from 3 on, LISTEN_FDS their number, LISTEN_FDNAMES their names.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The first descriptor passed.
pub(crate) const FIRST: RawFd = 3;

/// Takes over an inherited descriptor.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl on a number that may be closed is harmless; it then says EBADF.
    let flags = unsafe { nix::libc::fcntl(number, nix::libc::F_GETFD) };
    if flags < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open (above), and the caller adopts each announced number once.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    // SAFETY: as above; our children must not inherit it.
    unsafe { nix::libc::fcntl(fd.as_raw_fd(), nix::libc::F_SETFD, flags | nix::libc::FD_CLOEXEC) };
    Ok(fd)
}

/// Has the kernel end the command's process (SIGTERM) when this thread's process is gone, however it ended.
pub(crate) fn end_with_parent(command: &mut Command) {
    let parent = std::process::id();
    let act = move || {
        // SAFETY: system calls without memory of ours; the results are checked.
        let (set, now) =
            unsafe { (nix::libc::prctl(nix::libc::PR_SET_PDEATHSIG, nix::libc::SIGTERM), nix::libc::getppid()) };
        if set < 0 {
            return Err(io::Error::last_os_error());
        }
        // It went before we asked to be told.
        if now.cast_unsigned() == parent { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ESRCH)) }
    };
    // SAFETY: the closure runs in the child between fork and exec and keeps to the rules of the table above.
    unsafe { command.pre_exec(act) };
}

/// Sets a folder's attribute T (FS_TOPDIR_FL of ioctl_iflags(2)): folders in it are put apart.
pub(crate) fn spread_folders(folder: &File) -> io::Result<()> {
    const TOP: nix::libc::c_int = 0x0002_0000;
    let mut flags: nix::libc::c_int = 0;
    // SAFETY: the descriptor is open for as long as `folder` is borrowed; the kernel writes an int, whatever the request's name says.
    if unsafe { nix::libc::ioctl(folder.as_raw_fd(), nix::libc::FS_IOC_GETFLAGS, &raw mut flags) } < 0 {
        return Err(io::Error::last_os_error());
    }
    flags |= TOP;
    // SAFETY: as above; the kernel reads an int.
    match unsafe { nix::libc::ioctl(folder.as_raw_fd(), nix::libc::FS_IOC_SETFLAGS, &raw const flags) } {
        0.. => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Begins to write a file's dirty pages out, without waiting (sync_file_range(2)). An error means that nothing has begun; the sync
/// that follows does the work, and reports what goes wrong.
pub(crate) fn start_write_back(file: &File) {
    // SAFETY: the descriptor is open for as long as `file` is borrowed; no memory is passed.
    unsafe { nix::libc::sync_file_range(file.as_raw_fd(), 0, 0, nix::libc::SYNC_FILE_RANGE_WRITE) };
}

/// Lets the command's process have these files as descriptors 3, 4, ….
///
/// The files must stay open until the command is spawned.
pub(crate) fn pass(command: &mut Command, files: &[BorrowedFd<'_>]) {
    let numbers: Vec<RawFd> = files.iter().map(|file| file.as_raw_fd()).collect();
    let count = numbers.len() as RawFd;
    let act = move || {
        // First out of the way of the target range, so that no dup2 overwrites one that is still needed.
        let mut moved = [0; 64];
        for (i, number) in numbers.iter().enumerate().take(64) {
            // SAFETY: async-signal-safe; the result is checked.
            let high = unsafe { nix::libc::fcntl(*number, nix::libc::F_DUPFD_CLOEXEC, FIRST + count) };
            if high < 0 {
                return Err(io::Error::last_os_error());
            }
            moved[i] = high;
        }
        for (i, high) in moved.iter().enumerate().take(numbers.len().min(64)) {
            // SAFETY: async-signal-safe; dup2 clears close-on-exec on the copy.
            if unsafe { nix::libc::dup2(*high, FIRST + i as RawFd) } < 0 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec and keeps to the rules of the table above.
    unsafe { command.pre_exec(act) };
}
