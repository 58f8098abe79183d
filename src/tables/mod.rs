//! Text tables: etc/aliases, and the tables of keys and values that em.cf names.
//!
//! Called by `route`. The aliases are read whole into a sorted map and read again when the file's
//! identity (inode, size, time) changes, so that edits are seen without a restart; for all others see [`text`].
//! A table with a mistake is not taken: the last good one stays in force in a running process; a process
//! that has none yet answers "try again later", because guessing would lose or misdirect mail.

mod access;
pub mod aliases;
mod cdb;
pub mod edit;
mod kind;
mod networks;
pub mod old_aliases;
mod routes;
mod rows;
mod search;
pub mod text;
pub mod tls_policies;

pub use aliases::{Alias, Aliases, Target};
pub use kind::{KINDS, Kind};
pub use routes::parse_host;
pub use rows::{Row, rows};
pub use search::{Hit, Search};
pub use text::{TableState, TextTable};
pub use tls_policies::{TlsPolicies, TlsPolicy};

use crate::config::ConfigError;
use crate::fsx::{self, Identity, Seen};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};

/// Largest table read, in octets.
pub const FILE_LIMIT: u64 = 256 << 20;

/// A kind of table.
pub trait Table: Sized + Default {
    /// Reads the text; the path is for messages.
    fn parse(text: &str, path: &Path) -> Result<Self, ConfigError>;
}

/// A table that follows its file.
#[derive(Debug)]
pub struct Watched<T> {
    path: PathBuf,
    held: RwLock<Option<Held<T>>>,
}

/// What was read, and from which state of the file.
#[derive(Debug)]
struct Held<T> {
    seen: Seen,
    table: Arc<T>,
}

impl<T: Table> Watched<T> {
    /// A table that has not been read yet.
    pub fn new(path: PathBuf) -> Watched<T> {
        Watched { path, held: RwLock::new(None) }
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The table as it is now; a file that was never there is an empty table.
    ///
    /// A changed file with a mistake, or one that has gone, leaves the old table in force; that is logged once.
    pub fn current(&self) -> Result<Arc<T>, ConfigError> {
        if let Ok(held) = self.held.read()
            && let Some(held) = &*held
            && held.seen.is_current()
        {
            return Ok(held.table.clone());
        }
        let Ok(mut held) = self.held.write() else {
            return self.read().map(Arc::new);
        };
        // Another one may have been faster.
        if let Some(old) = &*held
            && old.seen.is_current()
        {
            return Ok(old.table.clone());
        }
        // Before the text is read, so that a change in between is seen next time.
        let seen = Seen::of(&self.path);
        let Some(old) = &mut *held else {
            // A file that can't be looked at is a mistake, not an empty table.
            Identity::of(&self.path).map_err(|e| ConfigError::whole(self.path.clone(), e.to_string(), ""))?;
            let table = Arc::new(self.read()?);
            *held = Some(Held { seen, table: table.clone() });
            return Ok(table);
        };
        let is_missing = seen.identity().is_none();
        old.seen = seen;
        if is_missing {
            // Gone between an editor's two renames, or by mistake: without its aliases a site refuses mail for good.
            crate::log::event("table-missing").field("file", self.path.display()).error().write();
            return Ok(old.table.clone());
        }
        match self.read() {
            Ok(table) => old.table = Arc::new(table),
            Err(error) => {
                crate::log::event("table-refused")
                    .field("file", self.path.display())
                    .field("reason", &error)
                    .error()
                    .write();
            }
        }
        Ok(old.table.clone())
    }

    /// Reads the file, without regard to what is held.
    pub fn read(&self) -> Result<T, ConfigError> {
        let whole = |message: String| ConfigError::whole(self.path.clone(), message, "");
        match fsx::read(&self.path, FILE_LIMIT) {
            Ok(bytes) => {
                let text = String::from_utf8(bytes).map_err(|_| whole("not UTF-8 text".to_string()))?;
                T::parse(&text, &self.path)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(T::default()),
            Err(e) => Err(whole(e.to_string())),
        }
    }
}

/// One logical line of a table: its text, and where it starts in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// The text; continuation lines still hold their line ends.
    pub text: &'a str,
    /// Byte offset of its start.
    pub start: usize,
}

/// Cuts a table into entries: `#` lines and empty lines are skipped, a line that begins with a blank continues the
/// one before (aliases(5)).
pub fn entries(text: &str) -> Vec<Entry<'_>> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match found.last_mut() {
            Some(last) if line.starts_with([' ', '\t']) => last.1 = at,
            _ => found.push((start, at)),
        }
    }
    found.into_iter().map(|(start, end)| Entry { text: text[start..end].trim_end(), start }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_continue_on_indented_lines() {
        let text = "# head\na: b,\n   c\n\n# between\n\td\ne: f\n";
        let found: Vec<&str> = entries(text).into_iter().map(|e| e.text).collect();
        assert_eq!(found, ["a: b,\n   c\n\n# between\n\td", "e: f"]);
    }

    fn has(table: &Watched<Aliases>, name: &str) -> bool {
        table.current().unwrap().find(name).is_some()
    }

    #[test]
    fn a_watched_table_follows_its_file_and_survives_a_mistake() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aliases");
        let table: Watched<Aliases> = Watched::new(path.clone());
        assert!(!has(&table, "a"));
        std::fs::write(&path, "a: b\n").unwrap();
        assert!(has(&table, "a"));
        std::fs::write(&path, "broken line\n").unwrap();
        assert!(has(&table, "a"));
        assert!(table.read().is_err());
    }

    #[test]
    fn a_table_that_is_gone_for_a_moment_stays_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("aliases");
        let table: Watched<Aliases> = Watched::new(path.clone());
        std::fs::write(&path, "a: b\n").unwrap();
        assert!(has(&table, "a"));
        // Editors rename the old file away before they write the new one.
        std::fs::remove_file(&path).unwrap();
        for _ in 0..2 {
            assert!(has(&table, "a"));
        }
        std::fs::write(&path, "c: d\n").unwrap();
        assert!(!has(&table, "a"));
    }
}
