//! Making, renaming and deleting lists, and changing their settings.
//!
//! Called by `emlist`. A list exists from the moment its `list.toml` has its name, and ceases to exist when that goes: it is written
//! last and taken away first, so that a change that was cut short leaves no list, only folders that the next one uses again.

use super::settings::{hint, keys, parse};
use super::{List, ListError, ListName, Lists, wait};
use crate::config::{ConfigError, FILE_LIMIT};
use crate::fsx;
use std::io;
use std::path::Path;
use toml_edit::{DocumentMut, Item, Value};

/// What became of a deleted list's posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// They are still in the spool; a list of that name finds them again.
    ArchiveKept,
    /// All is gone.
    Everything,
}

impl Lists {
    /// Makes a list with these settings, each a key and a value as [`List::set`] takes them.
    pub fn create(&self, name: &ListName, settings: &[(&str, &str)]) -> Result<List, ListError> {
        let etc = self.etc_of(name);
        // etc is for everybody to look into; who is a member is not.
        fsx::create_dirs(&self.etc, 0o755)?;
        fsx::create_dirs(&etc, 0o700)?;
        fsx::create_dirs(&self.spool_of(name), 0o700)?;
        let _lock = wait(&etc.join(".list.lock"))?;
        if self.has(name) {
            return Err(ListError::Exists(name.clone()));
        }
        let path = etc.join("list.toml");
        let mut document = DocumentMut::new();
        for (key, value) in settings {
            put(&mut document, &path, key, value)?;
        }
        let text = format!("# The list {name}; em-lists(5) has all settings.\n{document}");
        parse(&text, &path)?;
        if !etc.join("members").exists() {
            fsx::replace(&etc.join("members"), super::members::Members::default().print().as_bytes(), 0o600)?;
        }
        fsx::replace(&path, text.as_bytes(), 0o600)?;
        self.open(name)
    }

    /// Gives a list another name, with its members and posts.
    pub fn rename(&self, list: &List, to: &ListName) -> Result<List, ListError> {
        let (etc, spool) = (self.etc_of(to), self.spool_of(to));
        if self.has(to) || etc.exists() || spool.exists() {
            return Err(ListError::Exists(to.clone()));
        }
        let _lock = wait(&list.etc().join(".list.lock"))?;
        let _posts = list.lock()?;
        for folder in [&etc, &spool] {
            if let Some(parent) = folder.parent() {
                fsx::create_dirs(parent, 0o700)?;
            }
        }
        // The spool goes first: a list never stands there without its numbers.
        move_folder(list.spool(), &spool)?;
        if let Err(e) = move_folder(list.etc(), &etc) {
            move_folder(&spool, list.spool())?;
            return Err(e.into());
        }
        self.open(to)
    }

    /// Deletes a list; its posts stay unless `with_archive`.
    pub fn delete(&self, list: &List, with_archive: bool) -> Result<Deleted, ListError> {
        {
            let _lock = wait(&list.etc().join(".list.lock"))?;
            let _posts = list.lock()?;
            fsx::remove_existing(&list.etc().join("list.toml"))?;
            fsx::sync_dir(list.etc())?;
        }
        fsx::remove_tree(list.etc())?;
        let archive = list.spool().join("archive");
        if !with_archive && archive.is_dir() {
            // The numbers stay with the posts that have them.
            for name in ["pending", "held"] {
                fsx::remove_tree(&list.spool().join(name))?;
            }
            for name in ["answers", "bounces", "lock"] {
                fsx::remove(&list.spool().join(name))?;
            }
            return Ok(Deleted::ArchiveKept);
        }
        fsx::remove_tree(list.spool())?;
        Ok(Deleted::Everything)
    }
}

impl List {
    /// Sets a key to a value given as TOML, or as a bare word where a string is wanted; `None` brings back its default. The whole file
    /// is checked before it is replaced; comments stay.
    pub fn set(&self, key: &str, value: Option<&str>) -> Result<(), ListError> {
        let path = self.etc().join("list.toml");
        let _lock = wait(&self.etc().join(".list.lock"))?;
        let text = String::from_utf8(fsx::read(&path, FILE_LIMIT)?)
            .map_err(|_| ConfigError::whole(path.clone(), "not UTF-8 text", "save the file as UTF-8"))?;
        // A broken file is reported with its place.
        parse(&text, &path)?;
        let mut document: DocumentMut =
            text.parse().map_err(|e: toml_edit::TomlError| ConfigError::whole(path.clone(), e.message(), ""))?;
        match value {
            Some(value) => put(&mut document, &path, key, value)?,
            None => {
                known(&path, key)?;
                document.remove(key);
            }
        }
        let new = document.to_string();
        parse(&new, &path)?;
        Ok(fsx::replace(&path, new.as_bytes(), 0o600)?)
    }
}

fn known(path: &Path, key: &str) -> Result<(), ConfigError> {
    match keys().iter().any(|known| known.name == key) {
        true => Ok(()),
        false => Err(ConfigError::whole(path.to_path_buf(), format!("unknown setting {key}"), hint(key))),
    }
}

fn put(document: &mut DocumentMut, path: &Path, key: &str, value: &str) -> Result<(), ConfigError> {
    known(path, key)?;
    let mut new = typed(key, value);
    if let Some(Item::Value(old)) = document.get(key) {
        *new.decor_mut() = old.decor().clone();
    }
    document.insert(key, Item::Value(new));
    Ok(())
}

/// Reads a value as TOML; a bare word is a string, and a list where the key wants one.
fn typed(key: &str, text: &str) -> Value {
    let keys = keys();
    let kind = keys.iter().find(|known| known.name == key).map_or("", |known| known.kind);
    if kind.starts_with("a list") && !text.trim_start().starts_with('[') {
        let members = text.split(',').map(|m| m.trim().trim_matches('"')).filter(|m| !m.is_empty());
        return Value::Array(members.collect());
    }
    let wants_text = !["a number", "true or false"].contains(&kind);
    match text.parse::<Value>() {
        Ok(value) if !wants_text || value.is_str() || value.is_array() => value,
        _ => Value::from(text),
    }
}

/// Renames a folder, durably on both sides. An empty one that is missing is none.
fn move_folder(from: &Path, to: &Path) -> io::Result<()> {
    fsx::rename(from, to)?;
    for folder in [from.parent(), to.parent()].into_iter().flatten() {
        fsx::sync_dir(folder)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addr::Address;
    use crate::clock::Timestamp;
    use crate::config::Site;
    use crate::lists::members::Member;
    use crate::settings::{Root, Settings};

    fn lists(dir: &Path) -> Lists {
        Lists::of(&Site { root: Root::under(dir), settings: Settings::default() })
    }

    #[test]
    fn a_list_is_made_set_renamed_and_deleted() {
        let dir = tempfile::tempdir().unwrap();
        let lists = lists(dir.path());
        let name: ListName = "talk@example.test".parse().unwrap();
        assert!(matches!(lists.open(&name), Err(ListError::Missing(_))));
        let list = lists.create(&name, &[("owners", "alice@example.test, bob@b.test"), ("verp", "true")]).unwrap();
        assert!(list.settings.verp && list.settings.owners.len() == 2);
        assert!(matches!(lists.create(&name, &[]), Err(ListError::Exists(_))));
        let alice = Address::parse("alice@example.test").unwrap();
        list.update_members(|all| Ok::<_, io::Error>(all.add(Member::new(&alice, Timestamp(0))))).unwrap();
        list.set("prefix", Some("[%M %S]")).unwrap();
        list.set("verp", None).unwrap();
        assert!(list.set("prefx", Some("x")).unwrap_err().to_string().contains("did you mean prefix?"));
        assert!(list.set("verp", Some("perhaps")).is_err());
        let again = lists.open(&name).unwrap();
        assert_eq!((again.settings.prefix.as_str(), again.settings.verp), ("[%M %S]", false));
        let other: ListName = "chat@example.org".parse().unwrap();
        let list = lists.rename(&again, &other).unwrap();
        assert_eq!(list.members().unwrap().len(), 1);
        assert_eq!(lists.names().unwrap(), std::slice::from_ref(&other));
        assert_eq!(lists.delete(&list, false).unwrap(), Deleted::Everything);
        assert_eq!(lists.names().unwrap(), []);
        assert_eq!(lists.role_of(&other.address()), None);
    }

    #[test]
    fn the_archive_outlives_its_list_and_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let lists = lists(dir.path());
        let name: ListName = "talk@example.test".parse().unwrap();
        let list = lists.create(&name, &[]).unwrap();
        std::fs::create_dir_all(list.spool().join("archive/0")).unwrap();
        assert_eq!(lists.delete(&list, false).unwrap(), Deleted::ArchiveKept);
        assert!(list.spool().join("archive/0").is_dir() && !list.etc().exists());
        let list = lists.create(&name, &[]).unwrap();
        assert_eq!(lists.delete(&list, true).unwrap(), Deleted::Everything);
        assert!(!list.spool().exists());
    }
}
