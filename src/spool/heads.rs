//! The first page of a listing, without reading a million names: the oldest ids, as the daemon found them in its last scan.
//!
//! Written by the queue daemon's scanner to `run/oldest` when the queue is large; read by `emqueue list`. A cache: a line `oldest 1`, then an
//! id a line. It says in which order a listing begins, never what is queued: ids that are gone are passed over, and the folders are read for
//! all that it does not name. A message that was put in the queue since with an older id than these (a restored backup, a clock that went
//! back) is listed behind them until the next scan.

use super::{BUCKETS, Id, Oldest, PackedId, Spool};
use crate::clock::Timestamp;
use crate::fsx;
use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Oldest ids kept of each folder.
const KEPT: usize = 64;
/// A queue of fewer messages is read at once.
const LARGE: usize = 50_000;
/// The daemon writes the file each minute or two; an older one has lost its writer.
const FRESH: Duration = Duration::from_secs(5 * 60);
const HEADER: &str = "oldest 1";

/// The oldest ids of each folder, as they are read.
#[derive(Debug)]
pub struct Heads {
    /// The first ids of each folder, sorted, and how many it has.
    folders: Vec<(Vec<PackedId>, usize)>,
}

impl Default for Heads {
    fn default() -> Heads {
        Heads { folders: vec![Default::default(); BUCKETS] }
    }
}

impl Heads {
    /// Takes what a folder holds, sorted.
    pub fn note(&mut self, bucket: usize, ids: &[PackedId]) {
        if let Some(folder) = self.folders.get_mut(bucket) {
            *folder = (ids.iter().take(KEPT).copied().collect(), ids.len());
        }
    }

    /// The oldest ids of the queue, in order, as far as they are known for certain.
    fn oldest(&self) -> Vec<PackedId> {
        // Behind the last that is kept of a folder there may be more of that folder.
        let cut = self.folders.iter().filter(|(kept, all)| kept.len() < *all).filter_map(|(kept, _)| kept.last()).min();
        let all = self.folders.iter().flat_map(|(kept, _)| kept);
        let mut oldest: Vec<PackedId> = all.filter(|id| cut.is_none_or(|cut| *id <= cut)).copied().collect();
        oldest.sort_unstable();
        oldest
    }
}

/// Queued messages, the oldest first, read no further than they are asked for.
pub struct Listing<'a> {
    spool: &'a Spool,
    first: std::vec::IntoIter<Id>,
    /// What was given from the first page.
    given: HashSet<PackedId>,
    rest: Option<Oldest>,
}

impl Iterator for Listing<'_> {
    type Item = io::Result<Id>;

    fn next(&mut self) -> Option<io::Result<Id>> {
        if let Some(id) = self.first.next() {
            self.given.insert(id.pack());
            return Some(Ok(id));
        }
        let rest = match &mut self.rest {
            Some(rest) => rest,
            none => match self.spool.oldest() {
                Ok(all) => none.insert(all),
                Err(e) => return Some(Err(e)),
            },
        };
        rest.find(|id| !self.given.contains(&id.pack())).map(Ok)
    }
}

impl Spool {
    /// Keeps the first page, or removes it when the queue is small enough to be read at once.
    pub fn write_heads(&self, heads: &Heads) -> io::Result<()> {
        let path = self.heads_file();
        if heads.folders.iter().map(|(_, all)| all).sum::<usize>() < LARGE {
            return fsx::remove(&path);
        }
        let mut text = format!("{HEADER}\n");
        for id in heads.oldest() {
            text.push_str(id.unpack().as_str());
            text.push('\n');
        }
        fsx::replace_cache(&path, text.as_bytes(), 0o600)
    }

    /// Every queued message, the oldest first. The folders are read when the first page is used up; an error of that comes as an item, and
    /// whoever goes on after it tries again.
    pub fn listing(&self) -> Listing<'_> {
        let first = self.first_page(Timestamp::now()).unwrap_or_default();
        Listing { spool: self, first: first.into_iter(), given: HashSet::new(), rest: None }
    }

    /// What the file says; `None` where it can't be used.
    fn first_page(&self, now: Timestamp) -> Option<Vec<Id>> {
        let path = self.heads_file();
        let written = std::fs::metadata(&path).ok()?.modified().ok().map(Timestamp::from)?;
        if written.after(FRESH) < now || now.after(FRESH) < written {
            return None;
        }
        let text = std::fs::read_to_string(&path).ok()?;
        let mut lines = text.lines();
        (lines.next() == Some(HEADER)).then(|| lines.map_while(Id::parse).collect())
    }

    fn heads_file(&self) -> PathBuf {
        self.dir.join("run/oldest")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The so manieth id, in a folder below ten.
    fn id(n: u64, bucket: usize) -> Id {
        Id::parse(&format!("{n:010}00000{bucket}")).unwrap()
    }

    #[test]
    fn only_what_is_certain_is_kept() {
        let mut heads = Heads::default();
        assert!(heads.oldest().is_empty());
        let full: Vec<PackedId> = (0..KEPT as u64 + 10).map(|n| id(10 * n, 1).pack()).collect();
        let few = [id(5, 2).pack(), id(1_000_000, 2).pack()];
        heads.note(1, &full);
        heads.note(2, &few);
        // The folder with more than it keeps ends the page.
        let expected: Vec<PackedId> = [&full[..1], &few[..1], &full[1..KEPT]].concat();
        assert_eq!(heads.oldest(), expected);
        heads.note(1, &full[..3]);
        assert_eq!(heads.oldest(), [&full[..1], &few[..1], &full[1..3], &few[1..]].concat());
    }

    fn spool_with(dir: &std::path::Path, ids: &[Id]) -> Spool {
        let spool = Spool { dir: dir.to_path_buf() };
        std::fs::create_dir(dir.join("run")).unwrap();
        for id in ids {
            let folder = spool.bucket_dir(id.pack().bucket());
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(id.as_str()), "").unwrap();
        }
        spool
    }

    fn listed(spool: &Spool) -> Vec<Id> {
        spool.listing().map(Result::unwrap).collect()
    }

    #[test]
    fn each_message_is_listed_once_whatever_the_file_says() {
        let dir = tempfile::tempdir().unwrap();
        let ids: Vec<Id> = (0..6).map(|n| id(n, n as usize % 3)).collect();
        let spool = spool_with(dir.path(), &ids);
        assert_eq!(listed(&spool), ids);
        let write = |text: String| std::fs::write(spool.heads_file(), text).unwrap();
        // Gone ones are given here, and found out by who opens them.
        let gone = id(1_000_000, 0);
        write(format!("{HEADER}\n{}\n{}\n{gone}\n", ids[1], ids[2]));
        let expected = [&ids[1..3], std::slice::from_ref(&gone), &ids[..1], &ids[3..]].concat();
        assert_eq!(listed(&spool), expected);
        // A page asks for no more than it shows.
        assert_eq!(spool.listing().take(2).map(Result::unwrap).collect::<Vec<_>>(), ids[1..3]);
        for unusable in [String::new(), format!("oldest 2\n{}\n", ids[1]), format!("{HEADER}\n\u{1}\n{}\n", ids[1])] {
            write(unusable);
            assert_eq!(listed(&spool), ids);
        }
        // An old file has lost its writer.
        write(format!("{HEADER}\n{}\n", ids[1]));
        let later = Timestamp::now().after(FRESH + Duration::from_secs(5));
        assert!(spool.first_page(later).is_none());
        assert!(spool.first_page(Timestamp::now()).is_some());
    }

    #[test]
    fn a_large_queue_has_the_file_and_a_small_one_has_none() {
        let dir = tempfile::tempdir().unwrap();
        let spool = spool_with(dir.path(), &[]);
        let mut heads = Heads::default();
        heads.folders[3] = (vec![id(7, 3).pack()], LARGE);
        spool.write_heads(&heads).unwrap();
        assert_eq!(spool.first_page(Timestamp::now()), Some(vec![id(7, 3)]));
        spool.write_heads(&Heads::default()).unwrap();
        assert!(!spool.heads_file().exists());
        spool.write_heads(&Heads::default()).unwrap();
    }
}
