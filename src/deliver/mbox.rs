//! Appending to a file: the mbox form that `/path` aliases have meant since sendmail.
//!
//! The file is locked (flock), appended to, synced; a write that fails is cut off again. Links, devices and files that
//! may be executed or change identity are refused: an alias must not turn mail into a program.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fsx::{self, Lock, LockError};
use crate::status::Failure;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

/// How long another writer of the file is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Appends one message to a file; the text says so, for the journal.
pub fn append(path: &Path, sender: Option<&Address>, text: &mut dyn Read, now: Timestamp) -> Result<String, Failure> {
    let local = |e: std::io::Error| Failure::local(&e);
    let is_new = !path.exists();
    let lock = Lock::wait(path, PATIENCE).map_err(|e| match e {
        LockError::Io(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Failure::permanent((2, 0), "Can't create output file", e)
        }
        LockError::Io(e) => Failure::temporary((2, 0), "Can't write output file, try again later", e),
        held => Failure::temporary((2, 0), "Output file is busy, try again later", held),
    })?;
    let metadata = lock.file().metadata().map_err(local)?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o6111 != 0 {
        return Err(Failure::permanent((2, 0), "Output file is not a plain file", path.display()));
    }
    let before = metadata.len();
    let written = fsx::open_append(path, 0o600).and_then(|mut file| {
        let from = sender.map_or_else(|| "MAILER-DAEMON".to_string(), |s| s.to_string().replace(' ', "_"));
        file.write_all(format!("From {from} {}\n", now.local("%a %b %e %H:%M:%S %Y")).as_bytes())?;
        write_escaped(text, &mut file)?;
        fsx::sync_file(&file, path)
    });
    if let Err(error) = written {
        let _ = lock.file().set_len(before);
        return Err(Failure::local(&error));
    }
    if is_new && let Some(dir) = path.parent() {
        fsx::sync_dir(dir).map_err(local)?;
    }
    Ok(format!("appended to {}", path.display()))
}

/// Copies, with `>` before each line that begins with `From ` after any number of `>`, and an empty line at the end.
fn write_escaped(text: &mut dyn Read, file: &mut dyn Write) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    let mut ends_in_newline = true;
    loop {
        let n = text.read(&mut buffer)?;
        bytes.extend_from_slice(&buffer[..n]);
        // Whole lines are written; the rest waits for its end, at most one buffer long.
        let cut = match memchr::memrchr(b'\n', &bytes) {
            Some(lf) if n > 0 => lf + 1,
            None if n > 0 && bytes.len() < buffer.len() => 0,
            _ => bytes.len(),
        };
        for line in bytes[..cut].split_inclusive(|b| *b == b'\n') {
            let marks = line.iter().take_while(|b| **b == b'>').count();
            if line[marks..].starts_with(b"From ") {
                file.write_all(b">")?;
            }
            file.write_all(line)?;
            ends_in_newline = line.ends_with(b"\n");
        }
        bytes.drain(..cut);
        if n == 0 {
            return file.write_all(if ends_in_newline { b"\n" } else { b"\n\n" });
        }
    }
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
}
