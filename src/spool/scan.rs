//! Which messages are queued: the names in the queue's folders, without a look into the files.
//!
//! A queue may hold a million messages. Folders are read side by side, each is sorted by itself, and who wants the oldest first gets
//! them merged as they are asked for.

use super::{BUCKETS, Id, PackedId, Spool};
use crate::clock::Timestamp;
use crate::fsx;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads that read folders; more than a few wait for one another.
const READERS: usize = 4;

/// All queued messages' ids, the oldest first.
#[derive(Debug)]
pub struct Oldest {
    /// The lists that are left, each sorted, the next one last.
    lists: Vec<Vec<PackedId>>,
    /// The next of each list.
    next: BinaryHeap<Reverse<(PackedId, usize)>>,
    left: usize,
}

impl Iterator for Oldest {
    type Item = Id;

    fn next(&mut self) -> Option<Id> {
        let Reverse((id, list)) = self.next.pop()?;
        self.left -= 1;
        if let Some(after) = self.lists.get_mut(list).and_then(Vec::pop) {
            self.next.push(Reverse((after, list)));
        }
        Some(id.unpack())
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Oldest {}

impl Spool {
    /// Every queued message's id, oldest first.
    pub fn scan(&self) -> io::Result<Vec<Id>> {
        Ok(self.oldest()?.collect())
    }

    /// The same, for who may not want all of them.
    pub fn oldest(&self) -> io::Result<Oldest> {
        let lists = Mutex::new(Vec::new());
        let next = AtomicUsize::new(0);
        let read = || -> io::Result<()> {
            loop {
                let bucket = next.fetch_add(1, Ordering::Relaxed);
                if bucket >= BUCKETS {
                    return Ok(());
                }
                let mut ids = self.scan_bucket(bucket)?;
                ids.reverse();
                if let Ok(mut lists) = lists.lock() {
                    lists.push(ids);
                }
            }
        };
        let first = self.scan_bucket(0)?;
        if first.len() < 100 {
            // A thread would cost more than it saves.
            read()?;
        } else {
            std::thread::scope(|scope| {
                let readers: Vec<_> = (0..READERS).map(|_| scope.spawn(read)).collect();
                let ended = readers.into_iter().map(|r| r.join().unwrap_or_else(|_| Err(io::ErrorKind::Other.into())));
                ended.fold(Ok(()), io::Result::and)
            })?;
        }
        let mut lists = lists.into_inner().unwrap_or_default();
        let left = lists.iter().map(Vec::len).sum();
        let next = lists.iter_mut().enumerate().filter_map(|(at, list)| Some(Reverse((list.pop()?, at)))).collect();
        Ok(Oldest { lists, next, left })
    }

    /// The ids of one folder of the queue (a number below [`BUCKETS`]), sorted, oldest first.
    pub fn scan_bucket(&self, bucket: usize) -> io::Result<Vec<PackedId>> {
        let mut ids: Vec<PackedId> = Vec::new();
        each_id(&self.bucket_dir(bucket), |id| ids.push(id.pack()))?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// When a folder of the queue last got or lost a file; `None` when it does not exist.
    pub fn bucket_changed(&self, bucket: usize) -> Option<Timestamp> {
        std::fs::metadata(self.bucket_dir(bucket)).ok()?.modified().ok().map(Timestamp::from)
    }

    pub(super) fn bucket_dir(&self, bucket: usize) -> PathBuf {
        self.queue_dir().join(format!("{bucket:02x}"))
    }
}

/// The ids among the names in a folder; other names are left alone, a folder that is not there is empty.
pub(super) fn each_id(dir: &Path, mut act: impl FnMut(Id)) -> io::Result<()> {
    let read = fsx::each_name(dir, |name| {
        if let Some(id) = name.to_str().and_then(Id::parse) {
            act(id);
        }
    });
    match read {
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(()),
        other => other,
    }
}
