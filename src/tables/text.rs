//! A text table that follows its file: small ones are held in memory, big ones are looked up in their compiled form.
//!
//! Called by `route` for every map of em.cf that names a file, and by `emconf`. The text is the truth; `NAME.cdb` beside it is a cache
//! that names the state of the text it was made of, is published by one rename, and is made anew by whoever first sees that the text
//! has changed.
//!
//! | text | NAME.cdb | what a look-up does |
//! |---|---|---|
//! | − | any | finds nothing; a table that was there before stays in force |
//! | below [`HELD_LIMIT`] | any | held in memory, read again when the text changes |
//! | bigger | of this state | reads a few pieces of NAME.cdb |
//! | bigger | of another state, torn or absent | makes it; meanwhile a process that has the table goes on with what it has |
//! | bigger | may not be written | held in memory; said once |
//! | with a mistake | any | the last good table stays in force; a process that has none answers with the mistake |
//!
//! Trust: the text is the administrator's. A compiled form that others may write, or that belongs to somebody else than the text, root
//! or ourselves, is not used by a service.

use super::FILE_LIMIT;
use super::cdb::{Cdb, Writer};
use super::kind::Kind;
use super::networks::{LENGTHS, Lengths};
use super::rows::{Row, Wrong, rows};
use super::search::{Hit, Search};
use crate::config::ConfigError;
use crate::fsx::{self, Identity, Seen};
use crate::log;
use crate::rules::names::ByText;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard, Weak};

/// Texts from here on are compiled, in octets.
pub const HELD_LIMIT: u64 = 1 << 20;
/// A key that is there when any key of etc/access has the tag `Spam:`.
const SPAM_MARK: &str = "spam:";

/// A table on disk, shared by all sessions of a process.
#[derive(Debug, Clone)]
pub struct TextTable {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    kind: Kind,
    held: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    /// What is in force, and of which state of the text; the text may have changed since, for the worse.
    held: Option<(Seen, Arc<Store>)>,
    /// A thread makes the compiled form anew.
    compiling: bool,
    /// It was said that the compiled form can't be written.
    told: bool,
}

/// One state of a table's rows, to be compared with another one. It does not keep the rows: who holds many states of a table that is often
/// edited would hold as many tables.
#[derive(Debug, Clone)]
pub struct TableState(Weak<Store>);

impl PartialEq for TableState {
    fn eq(&self, other: &TableState) -> bool {
        // No other store can lie in its place as long as this one is known.
        Weak::ptr_eq(&self.0, &other.0)
    }
}

/// The rows, wherever they are.
#[derive(Debug)]
enum Store {
    Memory(ByText<Box<str>>),
    Compiled(Cdb),
}

impl TextTable {
    /// The table of a file, which is not read yet.
    pub fn new(path: PathBuf, kind: Kind) -> TextTable {
        TextTable { inner: Arc::new(Inner { path, kind, held: RwLock::default() }) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// What it is for.
    pub fn kind(&self) -> Kind {
        self.inner.kind
    }

    /// True when the file is there, or was when the process last looked.
    pub fn exists(&self) -> bool {
        self.inner.path.exists() || self.inner.state().held.as_ref().is_some_and(|(seen, _)| seen.identity().is_some())
    }

    /// True for the same table in another hand.
    pub fn is_same(&self, other: &TextTable) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// The rows that a look-up would find now.
    pub fn state(&self) -> Result<TableState, ConfigError> {
        self.inner.current().map(|store| TableState(Arc::downgrade(&store)))
    }

    /// True when there are no rows now.
    pub fn is_empty(&self) -> bool {
        self.inner.current().is_ok_and(|store| matches!(&*store, Store::Memory(map) if map.is_empty()))
    }

    /// Looks a key up, as [`Kind::key`] spells it.
    pub fn find(&self, search: Search, key: &str) -> Result<Option<Hit>, ConfigError> {
        let store = self.inner.current()?;
        self.find_in(&store, search, key)
    }

    /// The same, and in which rows; none where there was a mistake.
    pub fn find_with_state(&self, search: Search, key: &str) -> (Result<Option<Hit>, ConfigError>, Option<TableState>) {
        match self.inner.current() {
            Ok(store) => (self.find_in(&store, search, key), Some(TableState(Arc::downgrade(&store)))),
            Err(error) => (Err(error), None),
        }
    }

    fn find_in(&self, store: &Store, search: Search, key: &str) -> Result<Option<Hit>, ConfigError> {
        if let Store::Memory(map) = store
            && map.is_empty()
        {
            return Ok(None);
        }
        search.find(key, &mut |key| store.get(key)).map_err(|e| self.inner.whole(e.to_string()))
    }

    /// The number of the line with this key; found by reading the text, so for explanations only.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let text = self.inner.text().ok()??;
        rows(&text).find(|row| self.inner.kind.key(row.key) == key).map(|row| row.line)
    }

    /// Reads the whole text and says what is wrong with it first.
    pub fn check(&self) -> Result<usize, ConfigError> {
        match self.inner.text()? {
            Some(text) => check(self.inner.kind, &self.inner.path, &text),
            None => Ok(0),
        }
    }

    /// Makes the compiled form now, when the text is big enough to have one; gives its path.
    pub fn compile(&self) -> Result<Option<PathBuf>, ConfigError> {
        let Some(identity) = self.inner.identity()? else { return Ok(None) };
        if identity.size() < HELD_LIMIT {
            let path = self.inner.compiled();
            fsx::remove(&path).map_err(|e| self.inner.whole(e.to_string()))?;
            return Ok(None);
        }
        let text = self.inner.text()?.unwrap_or_default();
        self.inner.publish(&text, &identity)?.map_err(|e| self.inner.whole(e.to_string()))?;
        Ok(Some(self.inner.compiled()))
    }
}

/// Checks a text; gives the number of rows. The first mistake in the order of the file is reported.
pub fn check(kind: Kind, path: &Path, text: &str) -> Result<usize, ConfigError> {
    let mut seen = HashSet::new();
    each(kind, path, text, &mut |key, row| match seen.insert(key) || kind == Kind::Own {
        true => Ok(()),
        false => Err(twice(&row)),
    })?;
    Ok(seen.len())
}

/// Calls `take` for each row with its key's one spelling.
fn each<'t>(
    kind: Kind,
    path: &Path,
    text: &'t str,
    take: &mut dyn FnMut(String, Row<'t>) -> Result<(), Wrong>,
) -> Result<(), ConfigError> {
    for row in rows(text) {
        let checked = row.check().and_then(|()| kind.check(&row)).and_then(|()| take(kind.key(row.key), row));
        checked.map_err(|wrong| row.error(path, text, wrong))?;
    }
    Ok(())
}

fn twice(row: &Row) -> Wrong {
    Wrong::new(row.key, format!("{} is there twice", row.key), "")
}

/// The value that is kept: a list's words stand for themselves.
fn value<'t>(kind: Kind, row: &Row<'t>) -> &'t str {
    if kind.is_list() { row.key } else { row.value }
}

impl Store {
    fn get(&self, key: &str) -> io::Result<Option<String>> {
        match self {
            Store::Memory(map) => Ok(map.get(key).map(|value| value.to_string())),
            Store::Compiled(cdb) => {
                let value = cdb.get(key.as_bytes())?;
                Ok(value.map(|value| String::from_utf8_lossy(&value).into_owned()))
            }
        }
    }
}

impl Inner {
    fn state(&self) -> RwLockWriteGuard<'_, State> {
        // A panic while it was held leaves a table that is as good as before.
        self.held.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The table in force, if it is what the file says.
    fn held(&self) -> Option<Arc<Store>> {
        let state = self.held.read().unwrap_or_else(PoisonError::into_inner);
        state.held.as_ref().filter(|(seen, _)| seen.is_current()).map(|(_, store)| store.clone())
    }

    fn whole(&self, message: impl Into<String>) -> ConfigError {
        ConfigError::whole(self.path.clone(), message, "")
    }

    fn identity(&self) -> Result<Option<Identity>, ConfigError> {
        Identity::of(&self.path).map_err(|e| self.whole(e.to_string()))
    }

    fn compiled(&self) -> PathBuf {
        let mut name = OsString::from(&self.path);
        name.push(".cdb");
        PathBuf::from(name)
    }

    fn text(&self) -> Result<Option<String>, ConfigError> {
        match fsx::read(&self.path, FILE_LIMIT) {
            Ok(bytes) => String::from_utf8(bytes).map(Some).map_err(|_| self.whole("not UTF-8 text")),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(self.whole(e.to_string())),
        }
    }

    /// The table as it is now.
    fn current(self: &Arc<Inner>) -> Result<Arc<Store>, ConfigError> {
        if let Some(store) = self.held() {
            return Ok(store);
        }
        let mut state = self.state();
        // Another one may have been faster.
        if let Some((seen, store)) = &state.held
            && seen.is_current()
        {
            return Ok(store.clone());
        }
        // Before the text is read, so that a change in between is seen next time.
        let now = Seen::of(&self.path);
        let Some((seen, store)) = &mut state.held else {
            // A file that can't be looked at is a mistake, not an empty table.
            self.identity()?;
            let store = Arc::new(self.load(now.identity().as_ref(), &mut state.told)?);
            state.held = Some((now, store.clone()));
            return Ok(store);
        };
        let store = store.clone();
        match now.identity() {
            None => {
                // Gone between an editor's two renames, or by mistake: what it said stays in force.
                *seen = now;
                log::event("table-missing").field("file", self.path.display()).error().write();
            }
            Some(identity) if identity.size() >= HELD_LIMIT => {
                if !state.compiling {
                    state.compiling = true;
                    let inner = self.clone();
                    std::thread::spawn(move || inner.renew());
                }
            }
            Some(identity) => {
                let loaded = self.load(Some(&identity), &mut state.told);
                return Ok(self.replace(&mut state, now, loaded).unwrap_or(store));
            }
        }
        Ok(store)
    }

    /// The same on a thread of its own, for a big text.
    fn renew(&self) {
        let now = Seen::of(&self.path);
        let mut told = self.state().told;
        // The lock is not held meanwhile: look-ups go on.
        let loaded = self.load(now.identity().as_ref(), &mut told);
        let mut state = self.state();
        state.compiling = false;
        state.told = told;
        self.replace(&mut state, now, loaded);
    }

    /// Takes what was read of a new state of the text; with a mistake in it the old table stays, which is said once.
    fn replace(&self, state: &mut State, now: Seen, loaded: Result<Store, ConfigError>) -> Option<Arc<Store>> {
        match loaded {
            Ok(new) => {
                let new = Arc::new(new);
                state.held = Some((now, new.clone()));
                Some(new)
            }
            Err(error) => {
                if let Some((seen, _)) = &mut state.held {
                    *seen = now;
                }
                log::event("table-refused").field("file", self.path.display()).field("reason", &error).error().write();
                None
            }
        }
    }

    fn load(&self, identity: Option<&Identity>, told: &mut bool) -> Result<Store, ConfigError> {
        let Some(identity) = identity else { return Ok(Store::Memory(ByText::default())) };
        if identity.size() < HELD_LIMIT {
            return self.memory(&self.text()?.unwrap_or_default());
        }
        if let Some(cdb) = self.open(identity) {
            return Ok(Store::Compiled(cdb));
        }
        let text = self.text()?.unwrap_or_default();
        let failed = match self.publish(&text, identity)? {
            Ok(()) => match self.open(identity) {
                Some(cdb) => return Ok(Store::Compiled(cdb)),
                None => io::Error::other("it was replaced at once"),
            },
            Err(e) => e,
        };
        if !*told {
            *told = true;
            log::event("table-not-compiled")
                .field("file", self.compiled().display())
                .field("reason", &failed)
                .error()
                .write();
        }
        self.memory(&text)
    }

    fn memory(&self, text: &str) -> Result<Store, ConfigError> {
        let mut map: ByText<Box<str>> = ByText::default();
        let mut lengths = Lengths::default();
        each(self.kind, &self.path, text, &mut |key, row| {
            if self.kind == Kind::Access {
                lengths.see(&key);
            }
            if self.kind == Kind::Access && key.starts_with(SPAM_MARK) {
                map.insert(SPAM_MARK.into(), "yes".into());
            }
            match map.contains_key(key.as_str()) {
                // Old files of others' may hold a key twice; sendmail's makemap keeps the first.
                true if self.kind == Kind::Own => {}
                true => return Err(twice(&row)),
                false => drop(map.insert(key.into(), value(self.kind, &row).into())),
            }
            Ok(())
        })?;
        if let Some(lengths) = lengths.print() {
            map.insert(LENGTHS.into(), lengths.into());
        }
        Ok(Store::Memory(map))
    }

    /// Opens the compiled form, when it may be trusted and was made of this state of the text.
    fn open(&self, identity: &Identity) -> Option<Cdb> {
        let file = File::open(self.compiled()).ok()?;
        let metadata = file.metadata().ok()?;
        let own = nix::unistd::geteuid();
        let owners = [0, own.as_raw(), std::fs::metadata(&self.path).ok()?.uid()];
        // Root looks tables up for the administrator only; the file may be the services'.
        let is_trusted = own.is_root() || owners.contains(&metadata.uid());
        if !metadata.is_file() || metadata.mode() & 0o022 != 0 || !is_trusted {
            return None;
        }
        Cdb::open(file, &self.stamp(identity)).ok().flatten()
    }

    /// What the compiled form says of its text: a change of kind, or of the text, makes another.
    fn stamp(&self, identity: &Identity) -> String {
        format!("{:?} {}", self.kind, identity.print())
    }

    /// Makes the compiled form and puts it in place. The outer error is a mistake in the text, the inner one the disk's.
    fn publish(&self, text: &str, identity: &Identity) -> Result<io::Result<()>, ConfigError> {
        let mut seen = HashSet::new();
        let mut failed = None;
        let mut writer = Writer::new(&self.stamp(identity)).map_err(|e| self.whole(e.to_string()))?;
        let mut add = |key: &str, value: &str| match writer.add(key.as_bytes(), value.as_bytes()) {
            Err(e) if failed.is_none() => failed = Some(e),
            _ => {}
        };
        let mut lengths = Lengths::default();
        each(self.kind, &self.path, text, &mut |key, row| {
            if self.kind == Kind::Access {
                lengths.see(&key);
            }
            if self.kind == Kind::Access && key.starts_with(SPAM_MARK) && seen.insert(SPAM_MARK.to_string()) {
                add(SPAM_MARK, "yes");
            }
            if seen.contains(&key) {
                return if self.kind == Kind::Own { Ok(()) } else { Err(twice(&row)) };
            }
            add(&key, value(self.kind, &row));
            seen.insert(key);
            Ok(())
        })?;
        drop(seen);
        if let Some(lengths) = lengths.print() {
            add(LENGTHS, &lengths);
        }
        if let Some(failed) = failed {
            return Ok(Err(failed));
        }
        Ok(writer.finish().and_then(|bytes| fsx::replace_cache(&self.compiled(), &bytes, 0o644)))
    }
}

#[cfg(test)]
mod tests;
