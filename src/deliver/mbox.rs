//! Appending to a file: the mbox form that `/path` aliases have meant since sendmail.
//!
//! The file is locked (flock), appended to, synced; a write that fails is cut off again. Links of both kinds, devices and files
//! that may be executed or change identity are refused: an alias must not turn mail into a program.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fsx::{self, Lock, LockError};
use crate::msg::mbox::{Quoting, escape};
use crate::status::Failure;
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// How long another writer of the file is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Octets gathered before they are written.
const BUFFER: usize = 64 << 10;

/// Appends one message to a file; the text says so, for the journal. On an error the file is as it was.
pub fn append(path: &Path, sender: Option<&Address>, text: &mut dyn Read, now: Timestamp) -> Result<String, Failure> {
    let is_new = !path.exists();
    let lock = Lock::wait(path, PATIENCE).map_err(|e| match e {
        LockError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Failure::permanent((2, 0), "Can't create output file", e)
        }
        LockError::Io(e) => Failure::temporary((2, 0), "Can't write output file, try again later", e),
        held => Failure::temporary((2, 0), "Output file is busy, try again later", held),
    })?;
    let metadata = lock.file().metadata().map_err(|e| Failure::local(&e))?;
    // A second name of the file would let its folder's owner choose what is written to.
    if !metadata.is_file() || metadata.permissions().mode() & 0o6111 != 0 || metadata.nlink() != 1 {
        return Err(Failure::permanent((2, 0), "Output file is not a plain file", path.display()));
    }
    let before = metadata.len();
    let written = write(&lock, path, before, sender, text, now).and_then(|()| match path.parent() {
        Some(dir) if is_new => fsx::sync_dir(dir),
        _ => Ok(()),
    });
    if let Err(error) = written {
        if let Err(e) = fsx::truncate(lock.file(), path, before) {
            crate::log::event("torn-mbox").field("file", path.display()).field("reason", e).error().write();
        }
        return Err(Failure::local(&error));
    }
    Ok(format!("appended to {}", path.display()))
}

fn write(
    lock: &Lock,
    path: &Path,
    before: u64,
    sender: Option<&Address>,
    text: &mut dyn Read,
    now: Timestamp,
) -> std::io::Result<()> {
    // The locked file itself: the name may lead to another one by now.
    let mut file = lock.file().try_clone()?;
    file.seek(SeekFrom::Start(before))?;
    let mut pending = Vec::new();
    let mut last = [b'\n'];
    if before > 0 {
        file.read_exact_at(&mut last, before - 1)?;
    }
    // What a crash has left of another message does not swallow this one.
    if last != *b"\n" {
        pending.extend_from_slice(b"\n\n");
    }
    let from = sender.map_or_else(|| "MAILER-DAEMON".to_string(), |s| s.to_string().replace(' ', "_"));
    pending.extend(format!("From {from} {}\n", now.local("%a %b %e %H:%M:%S %Y")).bytes());
    escape(text, Quoting::Rd, &mut |bytes| {
        pending.extend_from_slice(bytes);
        if pending.len() >= BUFFER {
            fsx::write_all(&mut file, path, &std::mem::take(&mut pending))?;
        }
        Ok(())
    })?;
    fsx::write_all(&mut file, path, &pending)?;
    fsx::sync_file(&file, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_appended_and_from_lines_escaped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        let sender = Address::parse("a@b.test").unwrap();
        for _ in 0..2 {
            append(&path, Some(&sender), &mut &b"Subject: x\n\nFrom here\n>From there"[..], Timestamp(0)).unwrap();
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text.matches("From a@b.test Thu Jan  1").count(), 2);
        assert_eq!(text.matches("\n>From here\n>>From there\n\n").count(), 2, "{text}");
    }

    #[test]
    fn links_and_programs_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        std::fs::write(&target, "").unwrap();
        std::os::unix::fs::symlink(&target, dir.path().join("link")).unwrap();
        assert!(append(&dir.path().join("link"), None, &mut &b"x"[..], Timestamp(0)).is_err());
        std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(append(&target, None, &mut &b"x"[..], Timestamp(0)).is_err());
        assert_eq!(std::fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn a_second_name_of_a_file_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("target"), "").unwrap();
        std::fs::hard_link(dir.path().join("target"), dir.path().join("box")).unwrap();
        assert!(append(&dir.path().join("box"), None, &mut &b"x"[..], Timestamp(0)).is_err());
    }

    #[test]
    fn a_torn_message_before_does_not_swallow_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        std::fs::write(&path, "From a@b.test Thu Jan  1 00:00:00 1970\nSubject: torn").unwrap();
        append(&path, None, &mut &b"Subject: x\n\ny\n"[..], Timestamp(0)).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains("Subject: torn\n\nFrom MAILER-DAEMON "), "{text}");
    }

    #[test]
    fn a_line_longer_than_the_buffer_is_one_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("box");
        let long = format!("{}From here\n", "x".repeat(BUFFER));
        append(&path, None, &mut long.as_bytes(), Timestamp(0)).unwrap();
        assert!(std::fs::read_to_string(&path).unwrap().contains(&long));
    }

    #[test]
    fn a_fault_at_any_operation_leaves_the_file_as_it_was() {
        use crate::fsx::fault::{Plan, with_plan};
        for before in ["", "From a@b.test Thu Jan  1 00:00:00 1970\n\nold\n\n"] {
            for n in 1..20 {
                let dir = tempfile::tempdir().unwrap();
                let path = dir.path().join("box");
                if !before.is_empty() {
                    std::fs::write(&path, before).unwrap();
                }
                let text = "line\n".repeat(40_000);
                let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
                let (result, struck) = with_plan(plan, || append(&path, None, &mut text.as_bytes(), Timestamp(0)));
                let after = std::fs::read_to_string(&path).unwrap_or_default();
                assert_eq!(result.is_err(), struck);
                assert!(!struck || after == before, "operation {n}: {} octets", after.len());
                if !struck {
                    assert!(n > 4 && after.ends_with(&format!("{text}\n")));
                    break;
                }
            }
        }
    }
}
