//! The right to work on one queued message.

use super::journal::{self, Progress, Record};
use super::{Id, Spool, text};
use crate::clock::Timestamp;
use crate::envelope::Envelope;
use crate::fsx::{self, Lock, LockError};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// A claimed message. The lock is released when this is dropped.
#[derive(Debug)]
pub struct Claim {
    spool: Spool,
    id: Id,
    envelope: Arc<Envelope>,
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
        match text::read(lock.file()) {
            Ok((envelope, body_at)) => {
                let progress = spool.progress(id, envelope.recipients.len())?;
                let envelope = Arc::new(envelope);
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
    pub fn envelope(&self) -> &Arc<Envelope> {
        &self.envelope
    }

    /// What has happened.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The message's text, from its first octet. Readers don't disturb each other.
    pub fn message(&self) -> MessageText {
        // Reading needs no place in the file, and no look at the path.
        MessageText { file: self.lock.file().clone(), at: self.body_at, left: self.envelope.size }
    }

    /// Appends to the journal, durably.
    pub fn record(&mut self, now: Timestamp, records: &[Record]) -> io::Result<()> {
        journal::append(&self.spool.journal_file(&self.id), now, records)?;
        for record in records {
            self.progress.apply(now, record);
        }
        Ok(())
    }

    /// Forgets the message: nothing is owed any more. Durable on return.
    pub fn finish(self) -> io::Result<()> {
        let (spool, id) = (self.spool.clone(), self.id.clone());
        self.retire()?;
        spool.settle(&[id])
    }

    /// Forgets the message, but does not wait until that is durable: a power failure before [`Spool::settle`] brings it back, and
    /// what has no journal is delivered once more. On an error nothing has changed.
    pub fn retire(&self) -> io::Result<()> {
        fsx::remove(&self.spool.queue_file(&self.id))
    }
}

/// Reads a queued message's text.
#[derive(Debug)]
pub struct MessageText {
    file: Arc<File>,
    at: u64,
    left: u64,
}

impl Read for MessageText {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let n = self.file.read_at(&mut buffer[..most], self.at)?;
        self.at += n as u64;
        self.left -= n as u64;
        Ok(n)
    }

    /// The length is known: one call of the system for most messages.
    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let before = buffer.len();
        let left = usize::try_from(self.left).map_err(|_| io::ErrorKind::OutOfMemory)?;
        buffer.try_reserve_exact(left)?;
        buffer.resize(before + left, 0);
        let mut filled = before;
        while filled < buffer.len() {
            match self.read(&mut buffer[filled..]) {
                // The file was cut short.
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    buffer.truncate(filled);
                    return Err(e);
                }
            }
        }
        buffer.truncate(filled);
        Ok(filled - before)
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
