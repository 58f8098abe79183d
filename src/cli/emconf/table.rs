//! `emconf table`: the rows of a text table from the shell.
//!
//! A change is checked with the whole table before it is published by one rename, under a lock; comments and order stay.

use super::super::{Done, Ended, say};
use crate::config::{ConfigError, Site};
use crate::fsx;
use crate::status::Exit;
use crate::tables::{KINDS, TextTable, edit, rows};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// How long another change is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);

/// What to do with a table.
#[derive(Debug, clap::Subcommand)]
pub(super) enum TableAction {
    /// Print the rows
    List {
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Look a key up as mail is looked up, and print the row; exit 1 when there is none
    Get {
        /// An address, a domain, or for access Tag:item
        key: String,
    },
    /// Add a row, or change the one with this key
    Set {
        /// The key, as it stands in the first column
        key: String,
        /// The value; several words make one value
        #[arg(allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// Take a row out; exit 1 when there is none
    Remove {
        /// The key, as it stands in the first column
        key: String,
    },
    /// Find the first mistake
    Check,
    /// Make the compiled form of a big table now
    Rebuild,
}

pub(super) fn run(site: &Site, name: &str, action: TableAction) -> Done {
    let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) else {
        let names = KINDS.map(|(known, _)| known);
        let hint = match (name, crate::settings::nearest(name, names.into_iter())) {
            ("aliases", _) => "; aliases have a form of their own: edit etc/aliases, newaliases checks it".to_string(),
            (_, Some(near)) => format!("; did you mean {near}?"),
            (_, None) => format!("; there are {}", names.join(", ")),
        };
        return Err(Ended::new(Exit::Usage, format!("no table {name}{hint}")));
    };
    let path = site.root.etc.join(name);
    let table = TextTable::new(path.clone(), *kind);
    match action {
        TableAction::List { json } => list(&path, json),
        TableAction::Get { key } => get(&table, &key),
        TableAction::Set { key, value } => {
            let value = value.join(" ");
            change(site, &table, |text| edit::set(*kind, &path, text, &key, &value).map(Some))
        }
        TableAction::Remove { key } => change(site, &table, |text| Ok(edit::remove(*kind, text, &key))),
        TableAction::Check => {
            table.check()?;
            Ok(Exit::Ok)
        }
        TableAction::Rebuild => {
            compile(site, &table)?;
            Ok(Exit::Ok)
        }
    }
}

/// The text of a table; that of one that is not there is empty.
fn text_of(path: &Path) -> Result<String, ConfigError> {
    let whole = |message: String| ConfigError::whole(path.to_path_buf(), message, "");
    match fsx::read(path, crate::tables::FILE_LIMIT) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| whole("not UTF-8 text".to_string())),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(e) => Err(whole(e.to_string())),
    }
}

fn list(path: &Path, json: bool) -> Done {
    let text = text_of(path)?;
    let mut out = String::new();
    for row in rows(&text) {
        match json {
            true => out.push_str(&format!(
                "{}\n",
                serde_json::json!({ "key": row.key, "value": row.value, "line": row.line })
            )),
            false => out.push_str(&shown(row.key, row.value)),
        }
        // A table may have a million rows.
        if out.len() > 64 << 10 {
            say(&std::mem::take(&mut out))?;
        }
    }
    say(&out)?;
    Ok(Exit::Ok)
}

fn shown(key: &str, value: &str) -> String {
    if value.is_empty() || value == key { format!("{key}\n") } else { format!("{key}\t{value}\n") }
}

fn get(table: &TextTable, key: &str) -> Done {
    let asked = table.kind().key(key);
    match table.find(table.kind().search(), &asked)? {
        Some(hit) => {
            say(&shown(&hit.key, &hit.value))?;
            Ok(Exit::Ok)
        }
        None => Ok(Exit::No),
    }
}

/// Publishes what `edit` makes of the text; `None` is that there was nothing to change.
fn change(site: &Site, table: &TextTable, edit: impl FnOnce(&str) -> Result<Option<String>, ConfigError>) -> Done {
    let path = table.path();
    let lock = path.with_file_name(".tables.lock");
    let failed = |e: String| Ended::new(Exit::TempFail, format!("{}: {e}", lock.display()));
    let _lock = fsx::Lock::wait(&lock, LOCK_PATIENCE).map_err(|e| failed(e.to_string()))?;
    let Some(text) = edit(&text_of(path)?)? else { return Ok(Exit::No) };
    let mode = std::fs::metadata(path).map_or(0o644, |metadata| metadata.mode() & 0o7777);
    fsx::replace(path, text.as_bytes(), mode)?;
    // The services would do it at their next look; a look-up after us need not wait for them.
    compile(site, table)?;
    Ok(Exit::Ok)
}

/// Makes the compiled form; root's is given to the services, which must be able to make it anew.
fn compile(site: &Site, table: &TextTable) -> Result<(), Ended> {
    let Some(path) = table.compile()? else { return Ok(()) };
    if nix::unistd::geteuid().is_root()
        && site.root.dir.is_none()
        && let Some(em) = nix::unistd::User::from_name("em").ok().flatten()
    {
        std::os::unix::fs::chown(&path, Some(em.uid.as_raw()), Some(em.gid.as_raw()))?;
    }
    Ok(())
}
