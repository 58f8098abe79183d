//! Delivery into Maildirs: one data write and one flush, whatever the number of mailboxes.
//!
//! Where the file system is known to allow it, the file gets its name before either is durable: the disk then writes the data while the
//! folder is synced. `torn` tells what that can leave.

use super::torn::Torn;
use crate::clock::Timestamp;
use crate::fsx;
use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// From this many mailboxes on, one syncfs(2) is cheaper than a sync of each folder.
const SYNCFS_FROM: usize = 4;
/// From this many mailboxes on, two threads make the links.
const THREADS_FROM: usize = 64;
/// A file in a mailbox's tmp older than this was left there by a crash.
const TMP_AGE: Duration = Duration::from_secs(36 * 3600);

/// A message that is to be delivered: its draft and its sizes.
#[derive(Debug)]
pub struct Arrival {
    /// The text, not yet synced.
    pub draft: fsx::Draft,
    /// Octets as kept.
    pub size: u64,
    /// Octets with CRLF line ends.
    pub wire_size: u64,
}

/// A new unique name: time, process, counter, random start and host, with sizes.
pub fn name(now: Timestamp, host: &str, size: u64, wire_size: u64) -> String {
    static START: OnceLock<u32> = OnceLock::new();
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let start = *START.get_or_init(|| {
        let mut bytes = [0; 4];
        // Pid and time remain when the system has no random numbers.
        let _ = getrandom::fill(&mut bytes);
        u32::from_le_bytes(bytes)
    });
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    // '/' and ':' have a meaning in Maildir names.
    let host = host.replace('/', "\\057").replace(':', "\\072");
    format!(
        "{}.M{:06}P{}Q{counter}_{start:08x}.{host},S={size},W={wire_size}",
        now.seconds(),
        now.microseconds(),
        std::process::id()
    )
}

/// Delivers one message into the inboxes under these homes. Returns one result for each, in order.
pub fn deliver(arrival: &mut Arrival, homes: &[PathBuf], now: Timestamp, host: &str) -> Vec<io::Result<()>> {
    let inboxes: Vec<PathBuf> = homes.iter().map(|home| inbox(home)).collect();
    deliver_into(arrival, &inboxes, now, host)
}

/// The Maildir of an account's inbox.
pub fn inbox(home: &Path) -> PathBuf {
    home.join("Maildir")
}

/// Delivers one message into these Maildirs. Returns one result for each, in order.
///
/// On `Ok` the message is durable in that mailbox; on an error it is not there, so that trying again doubles nothing. The data
/// is written and synced once; the mailboxes get links.
///
/// With several mailboxes the draft keeps its temporary name, for the caller to read again or to drop.
pub fn deliver_into(arrival: &mut Arrival, dirs: &[PathBuf], now: Timestamp, host: &str) -> Vec<io::Result<()>> {
    let Arrival { draft, size, wire_size } = arrival;
    let (size, wire_size) = (*size, *wire_size);
    let target = |dir: &Path| new_of(dir).join(name(now, host, size, wire_size));
    if let [dir] = dirs {
        return vec![deliver_one(draft, dir, &target(dir))];
    }
    match draft.may_name_first() {
        Ok(true) if dirs.len() >= SYNCFS_FROM => {
            return deliver_batch(draft, dirs, &dirs.iter().map(|dir| target(dir)).collect::<Vec<_>>());
        }
        other => {
            if let Err(error) = other.and_then(|_| draft.sync()) {
                return dirs.iter().map(|_| Err(again(&error))).collect();
            }
        }
    }
    let into = |dir: &PathBuf| {
        let target = target(dir);
        link(draft, dir, &target)?;
        sync(dir, &target)
    };
    dirs.iter().map(into).collect()
}

/// Links into many mailboxes; one sync of the file system makes the data and all names durable.
fn deliver_batch(draft: &mut fsx::Draft, dirs: &[PathBuf], targets: &[PathBuf]) -> Vec<io::Result<()>> {
    let (mut results, unsynced) = match link_batch(draft, dirs, targets) {
        Ok(linked) => linked,
        Err(error) => return dirs.iter().map(|_| Err(again(&error))).collect(),
    };
    let numbers = unsynced.numbers.clone();
    if let Err(error) = unsynced.finish() {
        numbers.into_iter().for_each(|number| results[number] = Err(again(&error)));
    }
    results
}

/// Names in mailboxes that are there, but not durable yet, nor is their text.
#[derive(Debug)]
pub struct Unsynced {
    begun: fsx::FilesystemSync,
    /// Which of the mailboxes, and the names in them.
    numbers: Vec<usize>,
    names: Vec<PathBuf>,
}

impl Unsynced {
    /// Makes all of them durable; on an error none of them is left.
    pub fn finish(self) -> io::Result<()> {
        let Unsynced { begun, names, .. } = self;
        begun.finish().inspect_err(|_| names.iter().for_each(|name| drop(fsx::remove(name))))
    }
}

/// One result for each mailbox, in order, and what is to be finished.
pub type Linked<E> = (Vec<Result<(), E>>, Unsynced);

/// Links one message into these Maildirs, for a caller who has it durable elsewhere: returns one result for each, in order, and what
/// is to be finished before that other copy may go. Only where [`fsx::Draft::may_name_first`]. Until it is finished, the draft must stay.
pub fn link_into(arrival: &mut Arrival, dirs: &[PathBuf], now: Timestamp, host: &str) -> io::Result<Linked<io::Error>> {
    let Arrival { draft, size, wire_size } = arrival;
    let targets: Vec<PathBuf> = dirs.iter().map(|dir| new_of(dir).join(name(now, host, *size, *wire_size))).collect();
    link_batch(draft, dirs, &targets)
}

fn link_batch(draft: &mut fsx::Draft, dirs: &[PathBuf], targets: &[PathBuf]) -> io::Result<Linked<io::Error>> {
    let folder = draft.path().parent().ok_or_else(|| io::Error::other("a draft without a folder"))?;
    let begun = fsx::FilesystemSync::begin(folder)?;
    draft.start_sync()?;
    let mut results = link_all(draft.path(), dirs, targets);
    // A link proves that the mailbox lies on the draft's file system, so that a sync of that is for it too.
    let numbers: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_ok()).map(|(number, _)| number).collect();
    let names = numbers.iter().map(|number| targets[*number].clone()).collect();
    for ((result, dir), target) in results.iter_mut().zip(dirs).zip(targets) {
        if result.as_ref().is_err_and(is_elsewhere) {
            *result = copy(draft, dir, target).and_then(|()| sync(dir, target));
        }
    }
    Ok((results, Unsynced { begun, numbers, names }))
}

/// Links into each of these mailboxes. Most of the work of a link is finding its place: the way that all have in common is gone once, and
/// two can look at once.
fn link_all(draft: &Path, dirs: &[PathBuf], targets: &[PathBuf]) -> Vec<io::Result<()>> {
    let known = Known::of(draft, dirs);
    let link_some = |dirs: &[PathBuf], targets: &[PathBuf]| -> Vec<io::Result<()>> {
        let link = |(dir, target): (&PathBuf, &PathBuf)| {
            with_folders(dir, || match &known {
                Some(known) => known.link(target),
                None => fsx::link(draft, target),
            })
        };
        dirs.iter().zip(targets).map(link).collect()
    };
    if dirs.len() < THREADS_FROM {
        return link_some(dirs, targets);
    }
    let (first, second) = (dirs.split_at(dirs.len() / 2), targets.split_at(targets.len() / 2));
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || link_some(first.1, second.1));
        let mut results = link_some(first.0, second.0);
        match other.map(|other| other.join()) {
            Ok(Ok(rest)) => results.extend(rest),
            // No thread to be had.
            Err(_) => results.extend(link_some(first.1, second.1)),
            Ok(Err(_)) => results.extend(first.1.iter().map(|_| Err(io::Error::other("a thread ended early")))),
        }
        results
    })
}

/// Where links begin and end, as far as all of them go the same way.
struct Known<'a> {
    from: fsx::Dir,
    name: &'a OsStr,
    to: fsx::Dir,
    way: &'a Path,
}

impl<'a> Known<'a> {
    /// `None` where a folder can't be held open, such as one behind a symbolic link: then each link goes all the way.
    fn of(draft: &'a Path, dirs: &'a [PathBuf]) -> Option<Known<'a>> {
        let way = dirs.first()?.ancestors().find(|way| dirs.iter().all(|dir| dir.starts_with(way)))?;
        let from = fsx::Dir::open(draft.parent()?).ok()?;
        Some(Known { from, name: draft.file_name()?, to: fsx::Dir::open(way).ok()?, way })
    }

    fn link(&self, target: &Path) -> io::Result<()> {
        let rest = target.strip_prefix(self.way).map_err(io::Error::other)?;
        self.from.link(self.name, &self.to, rest.as_os_str())
    }
}

fn deliver_one(draft: &mut fsx::Draft, dir: &Path, target: &Path) -> io::Result<()> {
    let name_first = draft.may_name_first()?;
    let place = |draft: &mut fsx::Draft| if name_first { draft.place_first(target) } else { draft.place(target) };
    match with_folders(dir, || place(draft)) {
        Err(e) if is_elsewhere(&e) => {
            copy(draft, dir, target)?;
            return sync(dir, target);
        }
        other => other?,
    }
    // The directory's blocks are written while the data is on its way.
    sync(dir, target)?;
    draft.sync().or_else(|error| undo(target, error))
}

fn new_of(dir: &Path) -> PathBuf {
    dir.join("new")
}

/// Makes a name in `new` durable.
fn sync(dir: &Path, target: &Path) -> io::Result<()> {
    fsx::sync_dir(&new_of(dir)).or_else(|error| undo(target, error))
}

/// Takes back what could not be made durable: it will be delivered again.
fn undo(target: &Path, error: io::Error) -> io::Result<()> {
    let _ = fsx::remove(target);
    Err(error)
}

/// Another file system, too many links for one file (ext4 allows 65,000), or a file system without links.
fn is_elsewhere(error: &io::Error) -> bool {
    use nix::libc::{EMLINK, EOPNOTSUPP, EPERM, EXDEV};
    matches!(fsx::errno(error), Some(EXDEV | EMLINK | EPERM | EOPNOTSUPP))
}

/// Acts; where the mailbox's folders are missing they are made, and it is done once more.
fn with_folders(dir: &Path, mut act: impl FnMut() -> io::Result<()>) -> io::Result<()> {
    match act() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            ensure(dir)?;
            act()
        }
        other => other,
    }
}

fn link(draft: &mut fsx::Draft, dir: &Path, target: &Path) -> io::Result<()> {
    match with_folders(dir, || fsx::link(draft.path(), target)) {
        Err(e) if is_elsewhere(&e) => copy(draft, dir, target),
        other => other,
    }
}

/// Copies where no link is possible: through the mailbox's own tmp.
fn copy(draft: &mut fsx::Draft, dir: &Path, target: &Path) -> io::Result<()> {
    use std::io::{Read, Seek};
    let file_name = target.file_name().unwrap_or_default();
    let tmp = dir.join("tmp");
    clean(&tmp, SystemTime::now());
    let mut copied = fsx::Draft::new(tmp.join(file_name), 0o600);
    let file = draft.file()?;
    file.rewind()?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => copied.write(&buffer[..n])?,
        }
    }
    copied.place(target)
}

/// Removes what a crash has left in a mailbox's tmp, by Maildir's own rule: nobody writes one message for so long.
///
/// The time of the inode counts: an old message that is on its way through tmp has an old time of its text, but came a moment ago.
fn clean(tmp: &Path, now: SystemTime) {
    let Ok(entries) = std::fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        let changed = |m: std::fs::Metadata| UNIX_EPOCH + Duration::from_secs(m.ctime().max(0) as u64);
        let age = entry.metadata().ok().and_then(|m| now.duration_since(changed(m)).ok());
        if age.is_some_and(|age| age > TMP_AGE) && !Torn::is_aside(&entry.path()) {
            let _ = fsx::remove(&entry.path());
        }
    }
}

/// Makes the folders that are missing.
fn ensure(dir: &Path) -> io::Result<()> {
    ["tmp", "cur", "new"].iter().try_for_each(|name| fsx::create_dirs(&dir.join(name), 0o700))
}

/// The same error for another recipient.
fn again(error: &io::Error) -> io::Error {
    match fsx::errno(error) {
        Some(number) => io::Error::from_raw_os_error(number),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::usage;
    use super::*;
    use crate::fsx::fault::{Plan, with_plan};

    fn arrival(dir: &Path) -> Arrival {
        let mut draft = fsx::Draft::new(dir.join("draft"), 0o600);
        draft.write(b"Subject: x\n\n").unwrap();
        Arrival { draft, size: 12, wire_size: 14 }
    }

    fn messages(home: &Path) -> usize {
        std::fs::read_dir(home.join("Maildir/new")).map_or(0, |d| d.count())
    }

    #[test]
    fn many_mailboxes_share_one_file() {
        for count in [1, 2, 3, 200] {
            let dir = tempfile::tempdir().unwrap();
            let homes: Vec<PathBuf> = (0..count).map(|i| dir.path().join(format!("u{i}"))).collect();
            let results = deliver(&mut arrival(dir.path()), &homes, Timestamp(1_000_001), "h");
            assert!(results.iter().all(Result::is_ok));
            assert!(homes.iter().all(|h| messages(h) == 1 && usage(h).unwrap().octets == 12));
            let first = std::fs::read_dir(homes[0].join("Maildir/new")).unwrap().next().unwrap().unwrap();
            assert_eq!(first.metadata().unwrap().nlink(), count as u64);
            assert!(first.file_name().to_string_lossy().ends_with(".h,S=12,W=14"));
            assert!(!dir.path().join("draft").exists());
        }
    }

    #[test]
    fn tmp_is_cleaned_of_what_has_lain_there_for_long() {
        let dir = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        // An old message that is being replaced or appended: only its text is old.
        std::fs::File::create(dir.path().join("a")).unwrap().set_modified(now - 10 * TMP_AGE).unwrap();
        std::fs::write(dir.path().join("b.torn"), "").unwrap();
        let left = |later: Duration| {
            clean(dir.path(), now + later);
            std::fs::read_dir(dir.path()).unwrap().count()
        };
        assert_eq!((left(Duration::ZERO), left(TMP_AGE - Duration::from_secs(60))), (2, 2));
        assert_eq!(left(TMP_AGE + Duration::from_secs(60)), 1);
        assert!(dir.path().join("b.torn").exists());
    }

    #[test]
    fn a_mailbox_on_another_file_system_gets_a_copy() {
        let (dir, far) = (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm"));
        let Ok(far) = far else { return println!("skipped: no /dev/shm") };
        if far.path().metadata().unwrap().dev() == dir.path().metadata().unwrap().dev() {
            return println!("skipped: /dev/shm is no other file system");
        }
        let homes = [far.path().join("far"), dir.path().join("near")];
        for some in [&homes[..1], &homes[..]] {
            let results = deliver(&mut arrival(dir.path()), some, Timestamp(1), "h");
            assert!(results.iter().all(Result::is_ok), "{results:?}");
            assert_eq!(std::fs::read_dir(homes[0].join("Maildir/tmp")).unwrap().count(), 0);
        }
        assert_eq!((messages(&homes[0]), messages(&homes[1])), (2, 1));
    }

    #[test]
    fn what_is_reported_delivered_is_there_after_a_fault_anywhere() {
        for count in [1, 3, 5] {
            for n in 1..200 {
                let dir = tempfile::tempdir().unwrap();
                let homes: Vec<PathBuf> = (0..count).map(|i| dir.path().join(format!("u{i}"))).collect();
                let plan = Plan::parse(&format!("ENOSPC:{n}")).unwrap();
                let (results, struck) =
                    with_plan(plan, || deliver(&mut arrival(dir.path()), &homes, Timestamp(1), "h"));
                for (home, result) in homes.iter().zip(&results) {
                    assert_eq!(messages(home), usize::from(result.is_ok()), "count {count}, operation {n}");
                }
                // The one fault that leaves the draft is that of its own removal; the sweep takes it later.
                assert!(struck || !dir.path().join("draft").exists());
                if !struck {
                    break;
                }
                assert!(n < 199);
            }
        }
    }
}
