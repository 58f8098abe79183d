//! Who waits for changes of which folders: one inotify(7) instance for the process, polling where a file system tells nothing.
//!
//! Connections ([`Service::watched`](crate::serve::Service::watched)) name folders; the event loop asks here who is to be told. Sessions that
//! watch the same folder share one watch. Network file systems report nothing about other hosts' work: their folders are compared
//! every [`POLL`] instead, as are all folders when the system has no more watches to give.
//! A watch follows a folder that is renamed or removed, but its watchers mean the name: then the name is watched anew, or polled until
//! there is such a folder again.
//! Two changes in one tick of the file system's clock look like one. A mailbox therefore doubts what it saw for a second after a change of
//! its own, and whoever was told is told once more behind that time ([`ECHO`]).

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Time between two looks at folders that can't be watched.
const POLL: Duration = Duration::from_secs(5);

/// Time between a report and its echo: longer than a mailbox's doubt.
const ECHO: Duration = Duration::from_millis(1200);

/// What statfs(2) says of file systems that other hosts write to: NFS, CIFS, SMB2, Ceph, FUSE (GlusterFS), GFS2, OCFS2, AFS, 9p.
const NETWORK: [u32; 9] =
    [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x00c3_6400, 0x6573_5546, 0x0116_1970, 0x7461_636f, 0x5346_414f, 0x0102_1997];

/// The folders that are watched, and for whom.
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    was_opened: bool,
    folders: HashMap<Arc<Path>, Folder>,
    descriptors: HashMap<WatchDescriptor, Arc<Path>>,
    slots: HashMap<usize, Box<[Arc<Path>]>>,
    polled: usize,
    next_poll: Instant,
    /// Who is told once more, and when; and who an echo later, because the report came meanwhile.
    echo: BTreeSet<usize>,
    echo_at: Option<Instant>,
    later: BTreeSet<usize>,
}

struct Folder {
    slots: BTreeSet<usize>,
    how: How,
}

enum How {
    Inotify(WatchDescriptor),
    /// What the folder looked like.
    Poll(Option<Look>),
}

type Look = (i64, i64, u64);

impl Watcher {
    /// Watches nothing yet.
    pub(super) fn new(now: Instant) -> Watcher {
        Watcher {
            inotify: None,
            was_opened: false,
            folders: HashMap::new(),
            descriptors: HashMap::new(),
            slots: HashMap::new(),
            polled: 0,
            next_poll: now + POLL,
            echo: BTreeSet::new(),
            echo_at: None,
            later: BTreeSet::new(),
        }
    }

    /// Asks the system for an instance; the first folder does it, too. A user has few of them: a process that watches nothing takes none.
    pub(super) fn open(&mut self) {
        if !self.was_opened {
            self.was_opened = true;
            self.inotify = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok();
        }
    }

    /// The descriptor that becomes readable when something happened.
    pub(super) fn as_fd(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// From now on this connection waits for changes of these folders, and of no others. True when there are new ones among them: what
    /// happened in them between its last look and now was not seen.
    pub(super) fn set(&mut self, slot: usize, paths: &[Arc<Path>]) -> bool {
        if self.slots.get(&slot).map_or(&[][..], |held| held) == paths {
            return false;
        }
        let old = self.slots.remove(&slot).unwrap_or_default();
        if paths.is_empty() {
            self.echo.remove(&slot);
            self.later.remove(&slot);
        }
        // One that was renamed has its watch under the old name, which must go first.
        let wanted: HashSet<&Arc<Path>> = paths.iter().collect();
        for path in old.iter().filter(|path| !wanted.contains(path)) {
            self.remove(slot, path);
        }
        for path in paths {
            self.add(slot, path);
        }
        if !paths.is_empty() {
            self.slots.insert(slot, paths.into());
        }
        !paths.is_empty()
    }

    fn add(&mut self, slot: usize, path: &Arc<Path>) {
        self.open();
        if let Some(folder) = self.folders.get_mut(path) {
            folder.slots.insert(slot);
            return;
        }
        let how = self.watch(path);
        self.folders.insert(path.clone(), Folder { slots: BTreeSet::from([slot]), how });
    }

    fn watch(&mut self, path: &Arc<Path>) -> How {
        let watch = match &self.inotify {
            Some(inotify) if !is_on_network(path) => inotify.add_watch(&**path, mask()).ok(),
            _ => None,
        };
        match watch {
            // Another name of a folder that is watched already has its descriptor: that one is looked at by the clock.
            Some(descriptor) if !self.descriptors.contains_key(&descriptor) => {
                self.descriptors.insert(descriptor, path.clone());
                How::Inotify(descriptor)
            }
            _ => {
                self.polled += 1;
                How::Poll(look(path))
            }
        }
    }

    /// The name may lead to another folder now, or to none.
    fn watch_anew(&mut self, path: &Arc<Path>) {
        let Some(mut folder) = self.folders.remove(path) else { return };
        self.release(&folder.how);
        folder.how = self.watch(path);
        self.folders.insert(path.clone(), folder);
    }

    fn release(&mut self, how: &How) {
        match how {
            How::Inotify(descriptor) => {
                self.descriptors.remove(descriptor);
                if let Some(inotify) = &self.inotify {
                    // Gone with the folder, if that was removed.
                    let _ = inotify.rm_watch(*descriptor);
                }
            }
            How::Poll(_) => self.polled -= 1,
        }
    }

    fn remove(&mut self, slot: usize, path: &Arc<Path>) {
        let Some(folder) = self.folders.get_mut(path) else { return };
        folder.slots.remove(&slot);
        if !folder.slots.is_empty() {
            return;
        }
        if let Some(folder) = self.folders.remove(path) {
            self.release(&folder.how);
        }
    }

    /// Who is to be told of what the system has reported.
    pub(super) fn read(&mut self, now: Instant) -> BTreeSet<usize> {
        let told = self.reported();
        if self.echo_at.is_some() {
            self.later.extend(&told);
        } else if !told.is_empty() {
            self.echo.extend(&told);
            self.echo_at = Some(now + ECHO);
        }
        told
    }

    fn reported(&mut self) -> BTreeSet<usize> {
        let mut told = BTreeSet::new();
        loop {
            let events = match self.inotify.as_ref().map(Inotify::read_events) {
                Some(Ok(events)) if !events.is_empty() => events,
                Some(Err(Errno::EINTR)) => continue,
                _ => return told,
            };
            for event in events {
                if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                    // Some reports were dropped: everybody looks.
                    told.extend(self.slots.keys());
                    continue;
                }
                let Some(path) = self.descriptors.get(&event.wd).cloned() else { continue };
                told.extend(self.folders.get(&path).into_iter().flat_map(|f| &f.slots));
                if event.mask.intersects(AddWatchFlags::IN_MOVE_SELF | AddWatchFlags::IN_IGNORED) {
                    self.watch_anew(&path);
                }
            }
        }
    }

    /// When [`Watcher::poll`] wants to be called; `None` while every folder reports by itself and all is told.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let next_poll = (self.polled > 0).then_some(self.next_poll);
        [next_poll, self.echo_at].into_iter().flatten().min()
    }

    /// Looks at the folders that report nothing, when it is time; who is to be told, and who once more.
    pub(super) fn poll(&mut self, now: Instant) -> BTreeSet<usize> {
        let mut told = BTreeSet::new();
        if self.echo_at.is_some_and(|when| when <= now) {
            told = std::mem::replace(&mut self.echo, std::mem::take(&mut self.later));
            self.echo_at = (!self.echo.is_empty()).then_some(now + ECHO);
        }
        if self.polled == 0 || now < self.next_poll {
            return told;
        }
        self.next_poll = now + POLL;
        let mut changed = Vec::new();
        for (path, folder) in &self.folders {
            if let How::Poll(before) = &folder.how
                && look(path) != *before
            {
                changed.push(path.clone());
                told.extend(&folder.slots);
            }
        }
        // Perhaps it can report by itself now.
        changed.iter().for_each(|path| self.watch_anew(path));
        told
    }
}

fn mask() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVED_TO
        | AddWatchFlags::IN_MOVED_FROM
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
        | AddWatchFlags::IN_DONT_FOLLOW
}

fn is_on_network(path: &Path) -> bool {
    nix::sys::statfs::statfs(path).is_ok_and(|fs| NETWORK.contains(&(fs.filesystem_type().0 as u32)))
}

/// Time of the last change and size of a folder.
fn look(path: &Path) -> Option<Look> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.mtime(), metadata.mtime_nsec(), metadata.size()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(dir: &tempfile::TempDir, name: &str) -> Arc<Path> {
        let path = dir.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path.into()
    }

    #[test]
    fn those_who_watch_are_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (folder(&dir, "a"), folder(&dir, "b"));
        let mut watcher = Watcher::new(Instant::now());
        assert!(watcher.set(1, &[a.clone(), b.clone()]) && !watcher.set(1, &[a.clone(), b.clone()]));
        watcher.set(2, std::slice::from_ref(&a));
        watcher.set(3, std::slice::from_ref(&b));
        assert!(watcher.reported().is_empty());
        std::fs::write(a.join("x"), "x").unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([1, 2]));
        watcher.set(1, &[]);
        watcher.set(2, std::slice::from_ref(&b));
        std::fs::write(a.join("y"), "x").unwrap();
        assert!(watcher.reported().is_empty(), "nobody watches it any more");
        std::fs::rename(a.join("y"), b.join("y")).unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([2, 3]));
        assert_eq!(watcher.deadline(), None);
    }

    #[test]
    fn a_name_is_watched_though_its_folder_changes() {
        let dir = tempfile::tempdir().unwrap();
        let a = folder(&dir, "a");
        let b: Arc<Path> = dir.path().join("b").into();
        let start = Instant::now();
        let mut watcher = Watcher::new(start);
        watcher.set(1, std::slice::from_ref(&a));
        watcher.set(2, std::slice::from_ref(&a));
        std::fs::rename(&a, &b).unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([1, 2]));
        // One goes with it, the other waits for a new one.
        watcher.set(1, std::slice::from_ref(&b));
        std::fs::write(b.join("x"), "x").unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([1]));
        folder(&dir, "a");
        assert_eq!(watcher.poll(start + POLL), BTreeSet::from([2]));
        assert_eq!(watcher.deadline(), None, "it reports by itself again");
        std::fs::write(a.join("x"), "x").unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([2]));
        std::fs::remove_file(a.join("x")).unwrap();
        std::fs::remove_dir(&a).unwrap();
        assert_eq!(watcher.reported(), BTreeSet::from([2]));
        assert!(watcher.deadline().is_some());
        watcher.set(1, &[]);
        watcher.set(2, &[]);
        assert_eq!(watcher.deadline(), None);
        assert!(watcher.folders.is_empty() && watcher.descriptors.is_empty());
    }

    #[test]
    fn who_is_told_is_told_once_more() {
        let dir = tempfile::tempdir().unwrap();
        let a = folder(&dir, "a");
        let start = Instant::now();
        let mut watcher = Watcher::new(start);
        watcher.set(1, std::slice::from_ref(&a));
        watcher.set(2, std::slice::from_ref(&a));
        assert!(watcher.read(start).is_empty() && watcher.deadline().is_none());
        std::fs::write(a.join("x"), "x").unwrap();
        assert_eq!(watcher.read(start), BTreeSet::from([1, 2]));
        assert_eq!(watcher.deadline(), Some(start + ECHO));
        watcher.set(2, &[]);
        std::fs::write(a.join("y"), "x").unwrap();
        assert_eq!(watcher.read(start + ECHO / 2), BTreeSet::from([1]));
        assert!(watcher.poll(start).is_empty());
        assert_eq!(watcher.poll(start + ECHO), BTreeSet::from([1]));
        assert_eq!(watcher.poll(start + ECHO * 2), BTreeSet::from([1]), "the second report");
        assert_eq!(watcher.deadline(), None, "an echo has none");
    }

    #[test]
    fn a_folder_without_reports_is_looked_at_by_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        let a = folder(&dir, "a");
        let start = Instant::now();
        let mut watcher = Watcher::new(start);
        watcher.was_opened = true;
        watcher.set(1, std::slice::from_ref(&a));
        assert!(watcher.deadline().is_some());
        assert!(watcher.poll(start + POLL).is_empty());
        std::fs::write(a.join("x"), "x").unwrap();
        assert!(watcher.poll(start + POLL).is_empty(), "not before its time");
        assert_eq!(watcher.poll(start + POLL * 2), BTreeSet::from([1]));
        watcher.set(1, &[]);
        assert_eq!(watcher.deadline(), None);
    }
}
