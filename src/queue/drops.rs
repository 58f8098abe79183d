//! Taking over what emsend has put into the drop folder for callers without rights.

use crate::clock::Timestamp;
use crate::log;
use crate::serve::Gate;
use crate::submit::{self, Submission};
use std::io;

/// Takes all of it; returns how many messages.
pub fn take_dropped(gate: &Gate, now: Timestamp) -> io::Result<usize> {
    let mut taken = 0;
    for path in gate.spool.dropped()? {
        let Some(mut dropped) = gate.spool.open_dropped(path.clone())? else { continue };
        let owner = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(dropped.owner));
        let login = owner.ok().flatten().map_or_else(|| format!("uid{}", dropped.owner), |u| u.name);
        let submission = match Submission::from_handed(&dropped.handed, &login, &gate.site) {
            Ok(submission) => submission,
            Err(reason) => {
                let bad = gate.site.root.spool.join("bad").join(path.file_name().unwrap_or_default());
                crate::fsx::rename(&path, &bad)?;
                log::event("quarantined").field("file", bad.display()).field("reason", reason).error().write();
                continue;
            }
        };
        match submit::take(gate, &submission, &mut dropped.message, now) {
            Ok(_) => {
                crate::fsx::remove(&path)?;
                taken += 1;
            }
            Err(failure) if failure.is_temporary() => {
                log::event("drop-deferred").field("file", path.display()).field("reason", failure).error().write();
            }
            Err(failure) => {
                // Too large, or a loop: nobody waits for an answer any more; an administrator can look at it.
                let bad = gate.site.root.spool.join("bad").join(path.file_name().unwrap_or_default());
                crate::fsx::rename(&path, &bad)?;
                log::event("quarantined").field("file", bad.display()).field("reason", failure).error().write();
            }
        }
    }
    Ok(taken)
}
