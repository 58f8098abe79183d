//! The right to work on one queued message.

use super::journal::{self, Progress, Record};
use super::{Id, Spool, text};
use crate::clock::Timestamp;
use crate::envelope::Envelope;
use crate::fsx::{self, Lock, LockError};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

/// A claimed message. The lock is released when this is dropped.
#[derive(Debug)]
pub struct Claim {
    spool: Spool,
    id: Id,
    envelope: Envelope,
    progress: Progress,
    body_at: u64,
    lock: Lock,
}

/// Why a message could not be claimed.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// Another process works on it.
    #[error("another process works on it")]
    Busy,
    /// It is finished.
    #[error("no such message in the queue")]
    Gone,
    /// It could not be understood and was moved to spool/bad.
    #[error("damaged; moved to {0}")]
    Damaged(String),
    /// A newer version of this program wrote it; it stays where it is.
    #[error("written by a newer version; left alone")]
    Newer,
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Claim {
    pub(super) fn take(spool: &Spool, id: &Id) -> Result<Claim, ClaimError> {
        let path = spool.queue_file(id);
        let lock = match Lock::try_existing(&path) {
            Ok(lock) => lock,
            Err(LockError::Held) => return Err(ClaimError::Busy),
            Err(LockError::Gone) => return Err(ClaimError::Gone),
            // A folder or a link of this name would be met again and again.
            Err(LockError::Io(_)) if is_no_file(&path) => return Err(put_aside(spool, id, "not a regular file")),
            Err(LockError::Io(e)) => return Err(e.into()),
        };
        if is_no_file(&path) {
            return Err(put_aside(spool, id, "not a regular file"));
        }
        match text::read(lock.file()) {
            Ok((envelope, body_at)) => {
                let progress = spool.progress(id, envelope.recipients.len())?;
                Ok(Claim { spool: spool.clone(), id: id.clone(), envelope, progress, body_at, lock })
            }
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Err(put_aside(spool, id, &e.to_string())),
            Err(e) if text::is_newer(&e) => Err(ClaimError::Newer),
            Err(e) => Err(fsx::context("read", &path, e).into()),
        }
    }

    /// Makes room for the outcomes of an attempt: an attempt whose outcome can't be written down would be made again.
    pub fn reserve(&self) -> io::Result<()> {
        let octets = 4096 + 256 * self.envelope.recipients.len() as u64;
        journal::reserve(&self.spool.journal_file(&self.id), octets.min(1 << 20))
    }

    /// The message's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Who sent it to whom.
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// What has happened.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The message's text, from its first octet. Each call starts anew; use one reader at a time.
    pub fn message(&self) -> io::Result<io::Take<File>> {
        // A descriptor of its own, so that reading moves nobody else's place; the lock stays with the claim's.
        let mut file = fsx::open_read(&self.spool.queue_file(&self.id))?;
        file.seek(SeekFrom::Start(self.body_at))?;
        Ok(file.take(self.envelope.size))
    }

    /// Appends to the journal, durably.
    pub fn record(&mut self, now: Timestamp, records: &[Record]) -> io::Result<()> {
        journal::append(&self.spool.journal_file(&self.id), now, records)?;
        for record in records {
            self.progress.apply(now, record);
        }
        Ok(())
    }

    /// Forgets the message: nothing is owed any more.
    pub fn finish(self) -> io::Result<()> {
        let path = self.spool.queue_file(&self.id);
        fsx::remove(&path)?;
        if let Some(dir) = path.parent() {
            fsx::sync_dir(dir)?;
        }
        let removed = fsx::remove(&self.spool.journal_file(&self.id));
        drop(self.lock);
        removed
    }
}

fn is_no_file(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|m| !m.is_file())
}

fn put_aside(spool: &Spool, id: &Id, reason: &str) -> ClaimError {
    match spool.quarantine(id, reason) {
        Ok(bad) => ClaimError::Damaged(bad.display().to_string()),
        Err(e) => e.into(),
    }
}
