//! Looking at the directories: what other programs delivered, renamed and deleted.

use super::name::{self, Place, Shown};
use super::record::Record;
use super::state::{Stamp, State};
use super::writer::Writer;
use super::{FolderError, threads};
use crate::clock::Timestamp;
use crate::fsx::{self, Dir};
use crate::mailbox::{Entry, Flags, UidSet};
use crate::store::torn::Torn;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// File systems stamp changes with a clock that ticks some hundred times a second: two changes within this time may show the same.
pub const TICK_NS: i64 = 30_000_000;
/// How long after our own change a directory is read again, for what others may have done at the same moment.
const DOUBT_NS: i64 = 1_000_000_000;
/// So many files are sorted by two threads.
const MANY: usize = 20_000;
/// So many files in `new` are read again at once after our own change there.
const FEW: usize = 1000;

/// Where a message's file lies, as far as we know.
pub fn path(dir: &Path, state: &State, index: usize) -> PathBuf {
    place_path(dir, state.rows[index].place, &state.name(index))
}

/// A file in one of the folder's directories.
pub fn place_path(dir: &Path, place: Place, name: &[u8]) -> PathBuf {
    dir.join(place.dir()).join(std::ffi::OsStr::from_bytes(name))
}

/// The open directories of a folder, each opened when it is needed first.
pub struct Dirs<'a> {
    dir: &'a Path,
    open: [OnceCell<Dir>; 2],
}

impl<'a> Dirs<'a> {
    /// Of the folder in this directory.
    pub fn new(dir: &'a Path) -> Dirs<'a> {
        Dirs { dir, open: Default::default() }
    }

    /// One of them.
    pub fn at(&self, place: Place) -> io::Result<&Dir> {
        let cell = &self.open[place as usize];
        match cell.get() {
            Some(dir) => Ok(dir),
            None => {
                let dir = Dir::open(&self.dir.join(place.dir()))?;
                Ok(cell.get_or_init(|| dir))
            }
        }
    }
}

/// True when both directories are as the state knows them.
pub fn is_clean(dir: &Path, state: &State) -> bool {
    let now = Timestamp::now().0.saturating_mul(1000);
    Place::ALL.into_iter().all(|place| match modified(dir, place) {
        Ok(time) => is_known(state.stamps[place as usize], time, now),
        Err(_) => false,
    })
}

fn is_known(stamp: Stamp, modified: i64, now: i64) -> bool {
    match stamp {
        Stamp::Unknown => false,
        Stamp::Exact(time) => time == modified,
        Stamp::Own(time) => time == modified && now.saturating_sub(time) < DOUBT_NS,
    }
}

/// A directory's modification time in nanoseconds.
fn modified(dir: &Path, place: Place) -> io::Result<i64> {
    let metadata = std::fs::metadata(dir.join(place.dir()))?;
    Ok(metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()))
}

/// Names of message files as they were found, one behind another.
#[derive(Debug, Default)]
struct Names {
    octets: Vec<u8>,
    /// Where each ends.
    ends: Vec<(usize, Place)>,
}

impl Names {
    /// With room for so many.
    fn with_room(count: usize) -> Names {
        Names { octets: Vec::with_capacity(count * 64), ends: Vec::with_capacity(count) }
    }

    /// Adds all message files of a directory.
    fn list(&mut self, dir: &Path, place: Place) -> io::Result<()> {
        let torn = (place == Place::New).then(Torn::new);
        fsx::each_file(&dir.join(place.dir()), |name| {
            let name = name.as_bytes();
            if name.first() != Some(&b'.') && !torn.is_some_and(|torn| torn.takes(dir, name)) {
                self.octets.extend_from_slice(name);
                self.ends.push((self.octets.len(), place));
            }
        })
    }

    /// Those of both directories of a folder.
    fn of(dir: &Path) -> io::Result<Names> {
        let mut names = Names::default();
        Place::ALL.into_iter().try_for_each(|place| names.list(dir, place)).map(|()| names)
    }

    fn files(&self) -> impl ExactSizeIterator<Item = Found<'_>> {
        let mut from = 0;
        self.ends.iter().map(move |(end, place)| {
            let name = &self.octets[from..*end];
            from = *end;
            Found::new(name, *place)
        })
    }
}

/// A file that was found.
#[derive(Debug, Clone, Copy)]
struct Found<'a> {
    name: &'a [u8],
    place: Place,
    /// Where its base ends.
    split: usize,
}

impl<'a> Found<'a> {
    fn new(name: &'a [u8], place: Place) -> Found<'a> {
        Found { name, place, split: name::split(name).0.len() }
    }

    /// As [`name::split`].
    fn split(&self) -> (&'a [u8], &'a [u8]) {
        self.name.split_at(self.split)
    }
}

/// Files by the part of their names that never changes.
pub type ByBase = HashMap<Vec<u8>, (Place, Vec<u8>)>;

/// Where all message files of a folder lie now, by base: for one that another program has renamed.
pub fn by_base(dir: &Path) -> io::Result<ByBase> {
    let names = Names::of(dir)?;
    Ok(names.files().map(|f| (f.split().0.to_vec(), (f.place, f.name.to_vec()))).collect())
}

/// Sorts by what [`name::arrival_order`] says, then by name; a large list by two threads.
fn sort(order: &mut [((u64, u64), Found<'_>)]) {
    let compare = |(a, file_a): &((u64, u64), Found<'_>), (b, file_b): &((u64, u64), Found<'_>)| {
        a.cmp(b).then_with(|| file_a.name.cmp(file_b.name))
    };
    if order.len() >= MANY {
        let (left, right) = order.split_at_mut(order.len() / 2);
        threads::both(|| left.sort_unstable_by(compare), || right.sort_unstable_by(compare));
        // Two sorted halves are merged by a stable sort.
        return order.sort_by(compare);
    }
    order.sort_unstable_by(compare);
}

impl Writer<'_> {
    /// Reads what may have changed, and records it.
    pub(super) fn look(&mut self) -> Result<(), FolderError> {
        let now = Timestamp::now().0.saturating_mul(1000);
        let mut times = [0; 2];
        for place in Place::ALL {
            times[place as usize] = modified(self.dir(), place)?;
        }
        let known = Place::ALL.map(|p| is_known(self.state().stamps[p as usize], times[p as usize], now));
        if known == [true, true] {
            return Ok(());
        }
        // What comes into `cur` has left `new`, so that both are read when `cur` is.
        let is_whole = !known[Place::Cur as usize];
        let mut found = Names::with_room(if is_whole { self.state().rows.len() + 16 } else { 16 });
        found.list(self.dir(), Place::New)?;
        if is_whole {
            found.list(self.dir(), Place::Cur)?;
        }
        let mut records = self.compare(&found, is_whole)?;
        let is_change = !records.is_empty();
        let durable = records.iter().any(|r| !matches!(r, Record::Named { .. }));
        let mut stamps = self.state().stamps;
        for place in Place::ALL {
            if is_whole || place == Place::New {
                let time = times[place as usize];
                let is_old = now.saturating_sub(time) > TICK_NS && modified(self.dir(), place)? == time;
                stamps[place as usize] = if is_old { Stamp::Exact(time) } else { Stamp::Unknown };
            }
        }
        if stamps != self.state().stamps || is_change {
            records.push(Record::Stamps(stamps));
        }
        let committed = self.commit(&records, durable && is_change);
        threads::give_back(records);
        committed
    }

    /// Forgets what is known of the directories, so that they are read.
    pub(super) fn forget_looks(&mut self) {
        self.set_stamps([Stamp::Unknown; 2]);
    }

    /// The record of our own change to these directories, when they were known before it.
    pub(super) fn own_change(&self, touched: &[Place]) -> Record {
        let mut stamps = self.state().stamps;
        for place in touched {
            let many_in_new = || self.state().rows.iter().filter(|row| row.place == Place::New).count() > FEW;
            let is_worth_it = *place == Place::Cur || many_in_new();
            stamps[*place as usize] = match modified(self.dir(), *place) {
                Ok(time) if is_worth_it => Stamp::Own(time),
                _ => Stamp::Unknown,
            };
        }
        Record::Stamps(stamps)
    }

    /// What the files found mean: records of all differences.
    fn compare(&mut self, names: &Names, is_whole: bool) -> Result<Vec<Record>, FolderError> {
        let state = self.state();
        let found = names.files();
        let mut records = Vec::new();
        let mut changes: BTreeMap<(u8, u32, u8, u32), UidSet> = BTreeMap::new();
        let mut seen = vec![false; state.rows.len()];
        let mut fresh: BTreeMap<&[u8], Found<'_>> = BTreeMap::new();
        let mut doubles = Vec::new();
        let by_base: HashMap<&[u8], usize> = match found.len() {
            0 => HashMap::new(),
            _ => (0..state.rows.len()).map(|i| (state.base(i), i)).collect(),
        };
        let known_keywords = learn_letters(state, names, &mut records);
        // With the order in which they came.
        let mut order: Vec<((u64, u64), Found<'_>)> =
            Vec::with_capacity(if by_base.is_empty() { found.len() } else { 0 });
        for file in found {
            let (base, info) = file.split();
            if base.is_empty() {
                continue;
            }
            let Some(index) = by_base.get(base).copied() else {
                if by_base.is_empty() {
                    // The first look at a mailbox: nothing to compare with but each other, which sorting does.
                    order.push((name::arrival_order(base), file));
                } else if let Some(other) = fresh.insert(base, file) {
                    doubles.push(other);
                }
                continue;
            };
            if std::mem::replace(&mut seen[index], true) {
                doubles.push(file);
                continue;
            }
            let row = &state.rows[index];
            if !is_whole && row.place == Place::Cur {
                // It was in `cur` and is in `new`? Another file of that name; `cur` itself was not read.
                doubles.push(file);
                continue;
            }
            if row.place == file.place && state.info(index) == info {
                continue;
            }
            let uid = state.entries()[index].uid;
            let shown = name::shown(info, known_keywords);
            let (old, new) = (row.shown, shown);
            let add = Shown { system: new.system & !old.system, letters: new.letters & !old.letters };
            let remove = Shown { system: old.system & !new.system, letters: old.letters & !new.letters };
            let flags = state.entries()[index].flags;
            if flags.minus(remove.flags()).union(add.flags()) != flags {
                let key = (add.system, add.letters, remove.system, remove.letters);
                changes.entry(key).or_default().push(uid.number());
            }
            records.push(Record::Named { uid, place: file.place, info: info.to_vec() });
        }
        let gone: Vec<usize> =
            (0..seen.len()).filter(|i| !seen[*i] && (is_whole || state.rows[*i].place == Place::New)).collect();
        let gone = self.confirm_gone(gone, known_keywords, &mut records, &mut changes)?;
        order.extend(fresh.into_iter().map(|(base, found)| (name::arrival_order(base), found)));
        sort(&mut order);
        // Of two files with the same base that came at once, one is a double.
        let is_double = |(time, file): &((u64, u64), Found<'_>), (before, other): &((u64, u64), Found<'_>)| {
            time == before && file.split().0 == other.split().0
        };
        let mut index = 1;
        while index < order.len() {
            if is_double(&order[index], &order[index - 1]) {
                doubles.push(order.remove(index).1);
            } else {
                index += 1;
            }
        }
        let settled = self.settle_doubles(doubles)?;
        let settled = settled.iter().map(|(place, name)| Found::new(name, *place));
        order.extend(settled.map(|found| (name::arrival_order(found.split().0), found)));
        records.reserve(order.len() + 4);
        let mut modseq = self.next_modseq();
        if !changes.is_empty() {
            for ((add, add_letters, remove, remove_letters), uids) in changes {
                let add = Shown { system: add, letters: add_letters }.flags();
                let remove = Shown { system: remove, letters: remove_letters }.flags();
                records.push(Record::Flagged { modseq, add, remove, uids });
            }
            modseq = modseq.next();
        }
        if !gone.is_empty() {
            records.push(Record::Expunged { modseq, uids: gone });
            modseq = modseq.next();
        }
        let now = self.now();
        let mut uid = self.state().snapshot.uid_next;
        for (arrival, file) in order {
            let (base, info) = file.split();
            let flags: Flags = name::shown(info, known_keywords).flags();
            let internal_date = name::delivery_time(base).unwrap_or(Entry::UNKNOWN_DATE);
            let size = name::size(base, b",W=").unwrap_or(Entry::UNKNOWN_SIZE);
            let file_size = name::size(base, b",S=").unwrap_or(Entry::UNKNOWN_SIZE);
            let save_date = State::saved_at(arrival, now);
            let entry = Entry { uid, flags, modseq, internal_date, save_date, size };
            records.push(Record::Added { entry, file_size, place: file.place, name: file.name.to_vec() });
            uid = uid.next().ok_or(FolderError::Full)?;
        }
        Ok(records)
    }

    /// Of messages whose file was not found, those that are really gone. A file that is renamed while its directory is read may be
    /// missed, so that the directories are read once more; an append that a crash cut short is completed.
    fn confirm_gone(
        &self,
        gone: Vec<usize>,
        known_keywords: usize,
        records: &mut Vec<Record>,
        changes: &mut BTreeMap<(u8, u32, u8, u32), UidSet>,
    ) -> Result<UidSet, FolderError> {
        let mut uids = UidSet::default();
        if gone.is_empty() {
            return Ok(uids);
        }
        let state = self.state();
        let again = Names::of(self.dir())?;
        let again: HashMap<&[u8], Found<'_>> = again.files().map(|f| (f.split().0, f)).collect();
        for index in gone {
            let uid = state.entries()[index].uid;
            if let Some(file) = again.get(state.base(index)) {
                let info = file.split().1;
                let shown = name::shown(info, known_keywords);
                let old = state.rows[index].shown;
                let key = (
                    shown.system & !old.system,
                    shown.letters & !old.letters,
                    old.system & !shown.system,
                    old.letters & !shown.letters,
                );
                if key != (0, 0, 0, 0) {
                    changes.entry(key).or_default().push(uid.number());
                }
                records.push(Record::Named { uid, place: file.place, info: info.to_vec() });
                continue;
            }
            let draft = self.dir().join("tmp").join(std::ffi::OsStr::from_bytes(state.base(index)));
            if draft.symlink_metadata().is_ok_and(|m| m.is_file()) {
                fsx::rename(&draft, &path(self.dir(), state, index))?;
                fsx::sync_dir(&self.dir().join(Place::Cur.dir()))?;
                continue;
            }
            uids.push(uid.number());
        }
        Ok(uids)
    }

    /// Files whose base another file has. Mostly the directory showed one file under its old and its new name. A true double becomes a
    /// message of its own, under a new name.
    fn settle_doubles(&self, doubles: Vec<Found<'_>>) -> Result<Vec<(Place, Vec<u8>)>, FolderError> {
        let mut settled = Vec::new();
        if doubles.is_empty() {
            return Ok(settled);
        }
        let files = Names::of(self.dir())?;
        let mut by_base: HashMap<&[u8], Vec<Found<'_>>> = HashMap::new();
        for file in files.files() {
            by_base.entry(file.split().0).or_default().push(file);
        }
        for file in doubles {
            let (base, info) = file.split();
            let old = place_path(self.dir(), file.place, file.name);
            let Ok(metadata) = old.symlink_metadata() else { continue };
            let others = by_base.get(base).map_or(&[][..], Vec::as_slice);
            let is_other = |f: &&Found<'_>| (f.place, f.name) != (file.place, file.name);
            let Some(other) = others.iter().find(is_other) else { continue };
            let other = place_path(self.dir(), other.place, other.name).symlink_metadata();
            if other.is_ok_and(|other| (other.dev(), other.ino()) == (metadata.dev(), metadata.ino())) {
                // One file with two names, as link and unlink instead of rename leaves it.
                fsx::remove(&old)?;
                continue;
            }
            let name = [self.fresh_name(metadata.len(), None).as_slice(), info].concat();
            fsx::rename(&old, &place_path(self.dir(), file.place, &name))?;
            settled.push((file.place, name));
        }
        Ok(settled)
    }

    /// A new base for a message that comes from elsewhere than a delivery: octets of the file, and with CRLF line ends if known.
    pub(super) fn fresh_name(&self, size: u64, wire_size: Option<u64>) -> Vec<u8> {
        let host = &self.folder.settings.host;
        let mut name = name::saved(&crate::store::name(self.now(), host, size, wire_size.unwrap_or_default()));
        if wire_size.is_none() {
            cut(&mut name, b",W=");
        }
        name
    }

    /// A new base for a message that nobody has measured.
    pub(super) fn unsized_name(&self) -> Vec<u8> {
        let mut name = self.fresh_name(0, None);
        cut(&mut name, b",S=");
        name
    }
}

/// Letters whose keyword nobody knows any more get one of our making: else the next new keyword would take over their messages. How many
/// keywords there are then.
fn learn_letters(state: &State, found: &Names, records: &mut Vec<Record>) -> usize {
    let known = state.snapshot.keywords.names().len();
    let used = found.files().map(|file| name::letters_used(file.split().1)).max().unwrap_or(0);
    records.extend((known..used).map(|bit| Record::Keyword(bit, format!("unknown-{bit}").into())));
    known.max(used)
}

fn cut(name: &mut Vec<u8>, at: &[u8]) {
    if let Some(at) = memchr::memmem::rfind(name, at) {
        name.truncate(at);
    }
}
