//! Taking over what emsend has put into the drop folder for callers without rights.

use crate::clock::Timestamp;
use crate::fsx::{self, Lock, LockError};
use crate::log;
use crate::serve::Gate;
use crate::spool::Dropped;
use crate::submit::{self, Submission};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Takes all of it; returns how many messages. Nothing is done while another process takes.
///
/// A hand-in that can't be taken stays, and stops none of the others.
pub fn take_dropped(gate: &Gate, now: Timestamp) -> io::Result<usize> {
    let paths = gate.spool.dropped()?;
    if paths.is_empty() {
        return Ok(0);
    }
    // Held for the whole pass: a daemon and a run by hand would else both take the same file.
    let _lock = match Lock::wait(&gate.spool.drop_lock(), Duration::ZERO) {
        Ok(lock) => lock,
        Err(LockError::Held | LockError::Gone) => return Ok(0),
        Err(LockError::Io(e)) => return Err(e),
    };
    let mut taken = 0;
    for path in paths {
        match take_one(gate, path.clone(), now) {
            Ok(true) => taken += 1,
            Ok(false) => {}
            Err(e) => log::event("drop-failed").field("file", path.display()).field("reason", e).error().write(),
        }
    }
    Ok(taken)
}

fn take_one(gate: &Gate, path: PathBuf, now: Timestamp) -> io::Result<bool> {
    let Some(mut dropped) = gate.spool.open_dropped(path)? else { return Ok(false) };
    let login = login(&dropped);
    let submission = match Submission::from_handed(&dropped.handed, &login, &gate.site) {
        Ok(submission) => submission,
        Err(reason) => return set_aside(gate, &dropped.path, &reason),
    };
    match submit::take(gate, &submission, &mut dropped.message, now) {
        Ok(_) => match fsx::remove(&dropped.path) {
            Ok(()) => Ok(true),
            // It would be sent again at each scan.
            Err(e) => set_aside(gate, &dropped.path, &format!("taken, but not removed: {e}")),
        },
        Err(failure) if failure.is_temporary() => {
            let event = log::event("drop-deferred").field("file", dropped.path.display());
            event.field("reason", failure).error().write();
            Ok(false)
        }
        // Too large, or a loop: nobody waits for an answer any more; an administrator can look at it.
        Err(failure) => set_aside(gate, &dropped.path, &failure.to_string()),
    }
}

fn login(dropped: &Dropped) -> String {
    let owner = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(dropped.owner));
    owner.ok().flatten().map_or_else(|| format!("uid{}", dropped.owner), |u| u.name)
}

fn set_aside(gate: &Gate, path: &Path, reason: &str) -> io::Result<bool> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    gate.spool.set_aside(path, &name, reason).map(|_| false)
}
