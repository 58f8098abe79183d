//! The queue on disk: one file a message, envelope first, then the text; beside it a journal of outcomes.
//!
//! Called by `serve` and `submit` (publish), `queue` (claim, record, finish), `emqueue` (list, hold, delete).
//!
//! | state | queue/bb/ID.new | queue/bb/ID | log/bb/ID | meaning | after a crash |
//! |---|---|---|---|---|---|
//! | S0 | − | − | − | no message | – |
//! | S1 | + | − | − | being written, nothing promised | [`Spool::sweep`] removes it when it is old |
//! | S2 | − | + | − | queued: the 250 may be sent | the runner finds it by its scan |
//! | S3 | − | + | + | some recipients settled, or tried | the runner goes on |
//! | S4 | − | − | + | finished, being erased | [`Spool::sweep`] removes it |
//!
//! Invariant: `queue/bb/ID` exists ⇔ we owe work for ID. It is never changed after the rename that made it; what happens
//! is appended to `log/bb/ID`, one terminated line a record.
//! Publishing: write, fsync, rename, fsync of the directory; then, and only then, the peer is told.
//! Claim: flock(2) on `queue/bb/ID`, re-checked after locking; it dies with its process. Order of locks: claim, then mailbox.
//! Finish: unlink queue file, fsync its directory, then unlink the journal. In the other order a crash could bring
//! back a message whose deliveries are forgotten. The fsync may serve many messages ([`Claim::retire`], [`Spool::settle`]): before
//! it a power failure brings them back, and at the worst doubles them.
//! A queue file that can't be understood is moved to `bad/` with its journal, logged, and never looked at again; one
//! of a newer version stays where it is.

mod claim;
mod drop;
mod heads;
mod hint;
mod id;
mod journal;
mod scan;
mod text;

pub use claim::{Claim, ClaimError, MessageText};
pub use drop::{Dropped, Handed};
pub use heads::{Heads, Listing};
pub use hint::Hint;
pub use id::{BUCKETS, Id, PackedId};
pub use journal::{Outcome, Progress, Record, State};
pub use scan::Oldest;

use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::Envelope;
use crate::fsx;
use scan::each_id;
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

/// How the name of a queue file ends while it is being written.
const DRAFT: &str = ".new";
/// A draft older than this has lost its writer: no session lives so long.
const DRAFT_AGE: Duration = Duration::from_secs(36 * 3600);

/// Pause before a busy message is claimed again.
const CLAIM_PAUSE: Duration = Duration::from_millis(20);
/// How often a hint is offered to a full pipe, and the pause between.
const HINT_TRIES: u32 = 20;
const HINT_PAUSE: Duration = Duration::from_millis(1);

/// A site's queue.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
}

/// A queue file being written.
#[derive(Debug)]
pub struct Draft {
    id: Id,
    file: fsx::Draft,
}

impl Draft {
    /// The message's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Appends message text (LF line ends).
    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write(bytes)
    }

    /// True when writing this many more octets will touch the disk.
    pub fn would_flush(&self, more: usize) -> bool {
        self.file.would_flush(more)
    }
}

/// A queued message in the hands of who wrote it. Dropped, it is left to whoever runs the queue.
#[derive(Debug)]
pub struct Owed {
    spool: Spool,
    id: Id,
    /// The same lock as a [`Claim`]'s.
    _lock: std::fs::File,
}

impl Owed {
    /// The message's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Forgets the message, as [`Claim::retire`] does.
    pub fn retire(self) -> io::Result<()> {
        fsx::remove(&self.spool.queue_file(&self.id))
    }
}

impl Spool {
    /// The queue of a site.
    pub fn of(site: &Site) -> Spool {
        Spool { dir: site.root.spool.clone() }
    }

    /// A draft for a message that goes straight into mailboxes: plain text, no envelope.
    pub fn plain_draft(&self, id: &Id) -> fsx::Draft {
        fsx::Draft::new(self.dir.join("tmp").join(id.as_str()), 0o600)
    }

    /// Begins a queue file; the envelope is complete, the text follows.
    ///
    /// It is written in the folder where it will lie: of all messages that come in at once, a 64th waits for the same folder.
    pub fn draft(&self, id: Id, envelope: &Envelope) -> io::Result<Draft> {
        let mut path = self.queue_file(&id);
        if let Some(bucket) = path.parent().filter(|bucket| !bucket.is_dir()) {
            self.make_bucket(bucket)?;
        }
        path.as_mut_os_string().push(DRAFT);
        let mut file = fsx::Draft::new(path, 0o600);
        let head = text::print(envelope);
        if head.len() > text::LIMIT {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "the envelope is larger than its limit"));
        }
        file.write(head.as_bytes())?;
        Ok(Draft { id, file })
    }

    /// Makes a queued message of a draft: on return it is durable and owed.
    pub fn publish(&self, mut draft: Draft) -> io::Result<Id> {
        draft.file.publish(&self.queue_file(&draft.id))?;
        Ok(draft.id)
    }

    fn make_bucket(&self, bucket: &std::path::Path) -> io::Result<()> {
        let queue = self.dir.join("queue");
        fsx::create_dirs(&queue, 0o700)?;
        // Where the file system does not know of this, it has a way of its own.
        let _ = fsx::spread_folders(&queue);
        fsx::create_dirs(bucket, 0o700)
    }

    /// Publishes a message that its writer is about to deliver: durable and owed on return, and claimed.
    ///
    /// It is locked from before it has its name: no runner is faster.
    pub fn publish_claimed(&self, mut draft: Draft) -> io::Result<Owed> {
        let lock = draft.file.file()?.try_clone()?;
        fs2::FileExt::lock_exclusive(&lock)?;
        let id = self.publish(draft)?;
        Ok(Owed { spool: self.clone(), id, _lock: lock })
    }

    /// Publishes a message that nobody tries until it is released.
    ///
    /// It is claimed until its journal says so: a runner that finds it in between leaves it alone.
    pub fn publish_held(&self, draft: Draft, now: Timestamp) -> io::Result<Id> {
        let owed = self.publish_claimed(draft)?;
        let id = owed.id.clone();
        if let Err(error) = journal::append(&self.journal_file(&id), now, &[Record::Held]) {
            // The sender is told to try again: it must not go out as if nobody had held it.
            fsx::remove(&self.queue_file(&id))?;
            return Err(error);
        }
        Ok(id)
    }

    fn queue_file(&self, id: &Id) -> PathBuf {
        self.file("queue", id)
    }

    fn journal_file(&self, id: &Id) -> PathBuf {
        self.file("log", id)
    }

    fn file(&self, folder: &str, id: &Id) -> PathBuf {
        /// What stands behind the spool's own path: two folders, an id, and what separates them.
        const REST: usize = 32;
        let mut path = PathBuf::with_capacity(self.dir.as_os_str().len() + REST);
        path.extend([self.dir.as_os_str(), folder.as_ref(), id.bucket().as_ref(), id.as_str().as_ref()]);
        path
    }

    /// Makes the end of retired messages durable, and removes their journals: one fsync for each folder that they lay in.
    pub fn settle(&self, ids: &[Id]) -> io::Result<()> {
        let buckets: std::collections::BTreeSet<usize> = ids.iter().map(|id| id.pack().bucket()).collect();
        for bucket in buckets {
            fsx::sync_dir(&self.bucket_dir(bucket))?;
        }
        ids.iter().map(|id| fsx::remove(&self.journal_file(id))).fold(Ok(()), io::Result::and)
    }

    /// True when the message is still queued.
    pub fn is_queued(&self, id: &Id) -> bool {
        self.queue_file(id).exists()
    }

    /// Claims a message for an attempt or a change.
    pub fn claim(&self, id: &Id) -> Result<Claim, ClaimError> {
        Claim::take(self, id)
    }

    /// The same; waits for who works on it as long as there is patience left, and takes what it waited from that.
    pub fn claim_patiently(&self, id: &Id, left: &mut Duration) -> Result<Claim, ClaimError> {
        loop {
            match self.claim(id) {
                Err(ClaimError::Busy) if !left.is_zero() => {
                    let pause = CLAIM_PAUSE.min(*left);
                    std::thread::sleep(pause);
                    *left -= pause;
                }
                other => return other,
            }
        }
    }

    /// Reads envelope and progress without claiming: listings. `None` when the message is gone.
    pub fn peek(&self, id: &Id) -> io::Result<Option<(Envelope, Progress)>> {
        let file = match fsx::open_read(&self.queue_file(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let (envelope, _) = text::read(&file).map_err(|e| fsx::context("read", &self.queue_file(id), e))?;
        let progress = self.progress(id, envelope.recipients.len())?;
        Ok(Some((envelope, progress)))
    }

    /// The folder of queued messages.
    pub fn queue_dir(&self) -> PathBuf {
        self.dir.join("queue")
    }

    /// The text of a queued message, without claiming; `None` when it is gone.
    pub fn message(&self, id: &Id) -> io::Result<Option<impl io::Read>> {
        let mut file = match fsx::open_read(&self.queue_file(id)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let (_, body_at) = text::read(&file)?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(body_at))?;
        Ok(Some(file))
    }

    /// What the journal says.
    pub fn progress(&self, id: &Id, recipients: usize) -> io::Result<Progress> {
        journal::read(&self.journal_file(id), recipients)
    }

    /// Moves a file that can't be understood out of the way, with its journal; nothing in `bad/` is ever overwritten.
    pub fn quarantine(&self, id: &Id, reason: &str) -> io::Result<PathBuf> {
        let queued = self.queue_file(id);
        let bad = self.set_aside(&queued, id.as_str(), reason)?;
        let journal = self.journal_file(id);
        if journal.try_exists()? {
            let mut name = bad.clone().into_os_string();
            name.push(".log");
            fsx::rename(&journal, &PathBuf::from(name))?;
        }
        Ok(bad)
    }

    /// Moves a file to a free name in `bad/`, durably, and says so in the log.
    pub fn set_aside(&self, path: &std::path::Path, name: &str, reason: &str) -> io::Result<PathBuf> {
        let dir = self.dir.join("bad");
        fsx::create_dirs(&dir, 0o700)?;
        let is_taken = |path: &PathBuf| std::fs::symlink_metadata(path).is_ok();
        let names = std::iter::once(dir.join(name)).chain((1..).map(|n: u32| dir.join(format!("{name}.{n}"))));
        let bad = names.into_iter().find(|path| !is_taken(path)).unwrap_or_else(|| dir.join(name));
        fsx::rename(path, &bad)?;
        crate::log::event("quarantined").id(name).field("file", bad.display()).field("reason", reason).error().write();
        fsx::sync_dir(&dir)?;
        path.parent().map_or(Ok(()), fsx::sync_dir)?;
        Ok(bad)
    }

    /// When something was last written down about a message; `None` when nothing was.
    pub fn last_written(&self, id: &Id) -> Option<Timestamp> {
        let metadata = std::fs::metadata(self.journal_file(id)).ok()?;
        metadata.modified().ok().map(Timestamp::from)
    }

    /// Removes what crashes have left behind; returns how many files.
    pub fn sweep(&self, now: Timestamp) -> io::Result<usize> {
        let mut removed = 0;
        let is_draft = |name: &str| name.ends_with(DRAFT);
        // A finished hand-in has no leading dot; it is mail.
        let is_hand_in = |name: &str| name.starts_with('.');
        removed += sweep_drafts(&self.dir.join("tmp"), now, &|_| true)?;
        removed += sweep_drafts(&self.dir.join("drop"), now, &is_hand_in)?;
        for bucket in read_dir(&self.dir.join("queue"))? {
            removed += sweep_drafts(&bucket.path(), now, &is_draft)?;
        }
        let mut synced = std::collections::HashSet::new();
        for id in ids_below(&self.dir.join("log"))? {
            let queued = self.queue_file(&id);
            // An error of the disk is no proof that the message is finished.
            if queued.try_exists()? {
                continue;
            }
            // Its end may not be durable yet: a crash that brings the message back must find its journal.
            if let Some(dir) = queued.parent().filter(|dir| dir.is_dir())
                && synced.insert(id.bucket())
            {
                fsx::sync_dir(dir)?;
            }
            fsx::remove(&self.journal_file(&id))?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Tells a running queue daemon that it should look at the whole queue; false when none reads. A hint only: its periodic scan covers a
    /// lost one.
    pub fn poke(&self) -> bool {
        self.hint("")
    }

    /// Tells a running queue daemon of a message that was just queued.
    pub fn announce(&self, id: &Id, envelope: &Envelope) -> bool {
        let deliveries: Vec<_> = envelope.recipients.iter().map(|r| &r.delivery).collect();
        self.hint(&Hint::of(id, envelope, &deliveries).print())
    }

    /// Tells a running queue daemon that something was handed in.
    pub fn poke_dropped(&self) -> bool {
        self.hint("dropped")
    }

    /// Tells a running queue daemon that this message is due.
    pub fn poke_id(&self, id: &Id) -> bool {
        self.hint(id.as_str())
    }

    /// Wakes a running queue daemon without asking it for anything; false when there is none.
    pub fn poke_quietly(&self) -> bool {
        self.hint("-")
    }

    fn hint(&self, word: &str) -> bool {
        let fifo = std::fs::OpenOptions::new()
            .write(true)
            .custom_flags((nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW).bits())
            .open(self.fifo());
        // Without a reader the open fails with ENXIO.
        fifo.is_ok_and(|mut fifo| {
            use std::io::Write;
            let line = format!("{word}\n");
            let mut written = fifo.write(line.as_bytes());
            // A full pipe: the daemon is reading it. What is lost in the end is found by its scan.
            for _ in 0..HINT_TRIES {
                if !written.as_ref().is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock) {
                    break;
                }
                std::thread::sleep(HINT_PAUSE);
                written = fifo.write(line.as_bytes());
            }
            written.is_ok() || fifo.metadata().is_ok()
        })
    }

    /// The fifo a queue daemon reads.
    pub fn fifo(&self) -> PathBuf {
        self.dir.join("run").join("queue.fifo")
    }

    /// The file that the one queue daemon of a site holds locked.
    pub fn daemon_lock(&self) -> PathBuf {
        self.dir.join("run").join("queue.lock")
    }

    /// The file that is locked by who takes over what was handed in.
    pub fn drop_lock(&self) -> PathBuf {
        self.dir.join("run").join("drop.lock")
    }

    /// Where callers without rights to the queue hand messages in.
    pub fn drop_dir(&self) -> PathBuf {
        self.dir.join("drop")
    }
}

/// Removes the files of a folder that are meant by their names and old enough; returns how many.
fn sweep_drafts(folder: &std::path::Path, now: Timestamp, is_meant: &dyn Fn(&str) -> bool) -> io::Result<usize> {
    let mut removed = 0;
    for entry in read_dir(folder)? {
        if !is_meant(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let Ok(metadata) = std::fs::symlink_metadata(entry.path()) else { continue };
        let written = Timestamp::from_seconds(metadata.mtime());
        if metadata.is_file() && now.since(written) > DRAFT_AGE {
            fsx::remove(&entry.path())?;
            crate::log::event("swept").field("file", entry.path().display()).write();
            removed += 1;
        }
    }
    Ok(removed)
}

/// The ids named by files in the buckets below a folder; other names are left alone.
fn ids_below(dir: &std::path::Path) -> io::Result<Vec<Id>> {
    let mut ids = Vec::new();
    for bucket in read_dir(dir)? {
        each_id(&bucket.path(), |id| ids.push(id))?;
    }
    Ok(ids)
}

fn read_dir(dir: &std::path::Path) -> io::Result<Vec<std::fs::DirEntry>> {
    match std::fs::read_dir(dir) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(|e| fsx::context("read", dir, e)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(e) => Err(fsx::context("read", dir, e)),
    }
}

#[cfg(test)]
mod tests;
