//! Has a file changed since it was read?

use std::cell::Cell;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// One state of a file: device, inode, size, and the times of its text and of its inode. Whoever replaces, writes or touches the file makes
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Identity {
    fn from(m: &Metadata) -> Identity {
        Identity {
            inode: (m.dev(), m.ino()),
            size: m.size(),
            modified: (m.mtime(), m.mtime_nsec()),
            changed: (m.ctime(), m.ctime_nsec()),
        }
    }
}

impl Identity {
    /// The state as text, for caches that must know which state they were made of.
    pub fn print(&self) -> String {
        let Identity { inode, size, modified, changed } = self;
        let times = [modified.0, modified.1, changed.0, changed.1].map(|t| t.to_string()).join(" ");
        format!("{} {} {size} {times}", inode.0, inode.1)
    }

    /// Octets of the file.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The present state of what a path leads to; `None` where there is no such file.
    pub fn of(path: &Path) -> io::Result<Option<Identity>> {
        match std::fs::metadata(path) {
            Ok(metadata) => Ok(Some(Identity::from(&metadata))),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(super::context("stat", path, e)),
        }
    }
}

/// While one is held, this thread is content with what was seen of each file that it follows since the glance began: whoever has looked.
///
/// Held by the drivers for what a connection brought at once: a change made before those octets were sent is seen, as it must be, and two
/// hundred RCPT commands in one packet don't ask two hundred times; nor do twenty connections at a time ask twenty times. Followed
/// files only ([`Seen`]); messages and mailboxes are always looked at.
#[derive(Debug)]
pub struct Glance {
    outer: u64,
}

/// The number of the last glance of this process; 0 is none. They are counted as they begin, so that a look is good for all glances up to
/// the last one of its own beginning.
static LAST_GLANCE: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static GLANCE: Cell<u64> = const { Cell::new(0) };
}

impl Glance {
    /// Begins one; an outer one goes on after it.
    pub fn begin() -> Glance {
        Glance { outer: GLANCE.replace(Glance::next()) }
    }

    /// Begins one where none is held: within what somebody else has begun, that one is as good.
    pub fn unless_held() -> Option<Glance> {
        (GLANCE.get() == 0).then(Glance::begin)
    }

    /// Begins the present one anew: this thread has changed a file that it follows.
    pub fn renew() {
        GLANCE.with(|glance| {
            if glance.get() != 0 {
                glance.set(Glance::next());
            }
        });
    }

    fn next() -> u64 {
        LAST_GLANCE.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The last glance that has begun by now.
    fn last() -> u64 {
        LAST_GLANCE.load(Ordering::SeqCst)
    }
}

impl Drop for Glance {
    fn drop(&mut self) {
        GLANCE.set(self.outer);
    }
}

/// How often a file that is held open is looked for by its path all the same.
const BY_PATH: u32 = 64;

/// A file in the state in which it was seen, to be asked again and again whether it is still so.
///
/// The file is held open: its own attributes tell at once that it was written to, replaced or renamed (a file that another one took the
/// name of has no link left, one that was renamed has another time of change), for a third of the price of a walk along its path. What
/// they can't tell, such as a folder above it that was exchanged, is found by every 64th question. Behind a symbolic link each question
/// walks. Where there is no file, its folder is held open: as long as nothing has changed in there, there is none.
#[derive(Debug)]
pub struct Seen {
    path: PathBuf,
    identity: Option<Identity>,
    file: Option<File>,
    asked: AtomicU32,
    /// It was found current after this glance had begun.
    glance: AtomicU64,
    /// The folder that it does not lie in, in the state in which that was seen.
    absence: RwLock<Option<(File, Identity)>>,
}

/// A program that asks less often does not look for the folder.
const OFTEN: u32 = 8;
/// A folder that was changed so lately may be changed again within one tick of the clock of its file system, and look the same.
const SETTLED: Duration = Duration::from_secs(1);

impl Seen {
    /// The present state. What can't be looked at counts as not there; reading it says more.
    pub fn of(path: &Path) -> Seen {
        let glance = AtomicU64::new(Glance::last());
        let flags = nix::fcntl::OFlag::O_NOFOLLOW | nix::fcntl::OFlag::O_NONBLOCK;
        let file = OpenOptions::new().read(true).custom_flags(flags.bits()).open(path).ok();
        let file = file.and_then(|file| Some((Identity::from(&file.metadata().ok()?), file)));
        let (identity, file) = match file {
            Some((identity, file)) => (Some(identity), Some(file)),
            None => (Identity::of(path).unwrap_or(None), None),
        };
        let asked = AtomicU32::new(0);
        Seen { path: path.to_path_buf(), identity, file, asked, glance, absence: RwLock::default() }
    }

    /// The state in which it was seen; `None` where there was no file.
    pub fn identity(&self) -> Option<Identity> {
        self.identity
    }

    /// The file itself, at its start; `None` where there was none, and behind a symbolic link.
    pub fn file(&self) -> Option<&File> {
        self.file.as_ref()
    }

    /// True when it is still in this state, or was at a look that somebody has taken since this thread's [`Glance`] began.
    pub fn is_current(&self) -> bool {
        let glance = GLANCE.get();
        if glance != 0 && self.glance.load(Ordering::SeqCst) >= glance {
            return true;
        }
        let last = Glance::last();
        let is_current = self.is_still();
        if is_current {
            self.glance.fetch_max(last, Ordering::SeqCst);
        }
        is_current
    }

    fn is_still(&self) -> bool {
        let is_at = |file: &File, state: &Identity| {
            file.metadata().is_ok_and(|now| now.nlink() > 0 && Identity::from(&now) == *state)
        };
        let asked = self.asked.fetch_add(1, Ordering::Relaxed);
        if asked % BY_PATH != BY_PATH - 1 {
            if let (Some(file), Some(identity)) = (&self.file, &self.identity) {
                return is_at(file, identity);
            }
            let absence = self.absence.read().unwrap_or_else(PoisonError::into_inner);
            if absence.as_ref().is_some_and(|(folder, state)| is_at(folder, state)) {
                return true;
            }
        }
        let is_same = Identity::of(&self.path).unwrap_or(None) == self.identity;
        if is_same && self.identity.is_none() && asked >= OFTEN {
            let found = self.find_absence();
            *self.absence.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
        is_same
    }

    /// The folder, if it is certain that a file that is made there will show.
    fn find_absence(&self) -> Option<(File, Identity)> {
        let folder = File::open(self.path.parent()?).ok()?;
        let metadata = folder.metadata().ok().filter(Metadata::is_dir)?;
        let changed = metadata.mtime().max(metadata.ctime());
        let age = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.as_secs_f64() - (changed as f64 + 1.0);
        // Not even a link that leads nowhere: what it leads to may come without a change here.
        let has_entry = !matches!(std::fs::symlink_metadata(&self.path), Err(e) if e.kind() == io::ErrorKind::NotFound);
        (age > SETTLED.as_secs_f64() && !has_entry).then(|| (folder, Identity::from(&metadata)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_of_a_file_is_seen() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let other = dir.path().join("other");
        let change: &[(&str, &dyn Fn())] = &[
            ("made", &|| std::fs::write(&path, "a").unwrap()),
            ("written", &|| std::fs::write(&path, "bb").unwrap()),
            ("appended", &|| {
                use std::io::Write;
                OpenOptions::new().append(true).open(&path).unwrap().write_all(b"c").unwrap();
            }),
            ("replaced", &|| {
                std::fs::write(&other, "bbc").unwrap();
                std::fs::rename(&other, &path).unwrap();
            }),
            ("renamed", &|| std::fs::rename(&path, &other).unwrap()),
            ("linked", &|| std::os::unix::fs::symlink("other", &path).unwrap()),
            ("written behind the link", &|| std::fs::write(&other, "dddd").unwrap()),
            ("removed", &|| std::fs::remove_file(&path).unwrap()),
        ];
        for (what, change) in change {
            let seen = Seen::of(&path);
            assert!((0..200).all(|_| seen.is_current()), "before it was {what}");
            change();
            assert!(!seen.is_current(), "{what}");
        }
        assert_eq!(Seen::of(&path).identity(), None);
    }

    #[test]
    fn a_file_that_was_not_there_is_seen_when_it_comes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let until = std::time::Instant::now() + 10 * SETTLED;
        let settled = |path: &Path| {
            let seen = Seen::of(path);
            while seen.absence.read().unwrap().is_none() {
                assert!(seen.is_current() && std::time::Instant::now() < until);
                std::thread::yield_now();
            }
            assert!((0..200).all(|_| seen.is_current()));
            seen
        };
        let change: &[(&str, &dyn Fn())] = &[
            ("made", &|| std::fs::write(&path, "a").unwrap()),
            ("linked", &|| std::os::unix::fs::symlink("/dev/null", &path).unwrap()),
        ];
        for (what, change) in change {
            let seen = settled(&path);
            change();
            assert!(!seen.is_current(), "{what}");
            std::fs::remove_file(&path).unwrap();
            assert!(seen.is_current(), "gone again");
        }
        // What happens to others changes nothing; a folder that is lately changed is not trusted.
        let seen = settled(&path);
        std::fs::write(dir.path().join("other"), "").unwrap();
        seen.asked.store(OFTEN, Ordering::Relaxed);
        assert!(seen.is_current() && seen.absence.read().unwrap().is_none());
        // A link that leads nowhere is an entry.
        std::os::unix::fs::symlink(dir.path().join("far"), &path).unwrap();
        let seen = Seen::of(&path);
        assert!(seen.is_current() && seen.find_absence().is_none());
        std::fs::write(dir.path().join("far"), "").unwrap();
        assert!(!seen.is_current());
    }

    #[test]
    fn in_one_glance_a_file_is_looked_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let seen = Seen::of(&path);
        let glance = Glance::begin();
        assert!(seen.is_current());
        std::fs::write(&path, "bb").unwrap();
        assert!(seen.is_current(), "the same glance");
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(!seen.is_current(), "a thread without one"));
        });
        assert!(Glance::unless_held().is_none() && seen.is_current(), "still the same");
        let inner = Glance::begin();
        assert!(!seen.is_current(), "a glance of its own");
        drop(inner);
        assert!(seen.is_current(), "the first one again");
        Glance::renew();
        assert!(!seen.is_current(), "the first one anew");
        drop(glance);
        assert!(!seen.is_current(), "no glance at all");
        assert!(Glance::unless_held().is_some());
    }

    #[test]
    fn another_thread_s_look_counts_for_glances_that_began_before_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let seen = Seen::of(&path);
        let (early, late) = (Glance::begin(), Glance::begin());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _glance = Glance::begin();
                assert!(seen.is_current());
            });
        });
        std::fs::write(&path, "bb").unwrap();
        assert!(seen.is_current(), "looked at by the other thread, after this glance began");
        drop(late);
        assert!(seen.is_current(), "and after this one");
        drop(early);
        let _glance = Glance::begin();
        assert!(!seen.is_current(), "but not since this one began");
        let seen = Seen::of(&path);
        assert!(seen.is_current());
        std::fs::write(&path, "ccc").unwrap();
        assert!(seen.is_current(), "to be made is to be looked at");
    }

    #[test]
    fn a_folder_that_was_exchanged_is_noticed_in_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, new) = (dir.path().join("etc"), dir.path().join("new"));
        for folder in [&etc, &new] {
            std::fs::create_dir(folder).unwrap();
            std::fs::write(folder.join("file"), "same").unwrap();
        }
        let seen = Seen::of(&etc.join("file"));
        std::fs::rename(&etc, dir.path().join("old")).unwrap();
        std::fs::rename(&new, &etc).unwrap();
        assert!((0..BY_PATH).any(|_| !seen.is_current()));
    }
}
