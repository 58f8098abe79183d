//! The users' Maildirs, watched from outside: what lies in `new` has been delivered, whoever did it.

use crate::args::{Args, Problem};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// The `new` folders of some users.
pub struct Maildirs(Vec<PathBuf>);

impl Maildirs {
    /// The Maildirs of user1 to user`users`, by the pattern of `--maildirs`.
    pub fn of(args: &Args, users: usize) -> Result<Maildirs, Problem> {
        Maildirs::some(args, 1, users)
    }

    /// The same from another user on.
    pub fn some(args: &Args, first: usize, users: usize) -> Result<Maildirs, Problem> {
        let pattern: String = args.needed("maildirs")?;
        Ok(Maildirs(
            (first..first + users)
                .map(|n| PathBuf::from(pattern.replace('%', &format!("user{n}"))).join("new"))
                .collect(),
        ))
    }

    /// How many messages lie there; a missing folder holds none.
    pub fn count(&self) -> usize {
        self.0.iter().map(|new| fs::read_dir(new).map_or(0, |entries| entries.count())).sum()
    }

    /// Waits until `wanted` messages lie there. Answers the moment just before the count that found them
    /// (counting many files takes a while and is not the server's time), and how many there are.
    pub fn wait_for(&self, wanted: usize, limit: Duration) -> (Instant, usize) {
        let start = Instant::now();
        loop {
            let before = Instant::now();
            let found = self.count();
            if found >= wanted || start.elapsed() > limit {
                return (before, found);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// When each folder was last changed; compared by `wait_for_change`.
    pub fn changed_at(&self) -> Vec<Option<SystemTime>> {
        self.0.iter().map(|new| fs::metadata(new).and_then(|meta| meta.modified()).ok()).collect()
    }

    /// Waits until every folder has changed since `before`: much cheaper than counting, so exact enough for one
    /// message. The folders must have been left alone for a few clock ticks before. False when the limit passed.
    pub fn wait_for_change(&self, before: &[Option<SystemTime>], limit: Duration) -> bool {
        let start = Instant::now();
        // One after the other: when the last one is seen changed, all have changed.
        for (new, before) in self.0.iter().zip(before) {
            while fs::metadata(new).and_then(|meta| meta.modified()).ok() == *before {
                if start.elapsed() > limit {
                    return false;
                }
                std::thread::sleep(Duration::from_micros(100));
            }
        }
        true
    }
}
