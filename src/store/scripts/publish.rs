//! Changes of an account's scripts: put, activate, delete, rename.
//!
//! Called by `serve::managesieve` and `emuser sieve`. Whether a text is a script is for the caller to check first. Each change is made
//! under the lock `sieve/.lock`, and is durable when it returns; delivery reads without a lock.
//!
//! | state | meaning | after a crash |
//! |---|---|---|
//! | `.….new` | being written | the next change removes it |
//! | `NAME.sieve` | a script | – |
//! | `active` → `NAME.sieve` | the active script | – |
//! | `NEW.sieve` and `OLD.sieve` are one file | the active script is being renamed; `active` points at either | both stay: the account may delete the old one |
//! | `%long-HASH.name` alone | a long name without a script | written over with the same text, or left |

use super::name::ScriptName;
use super::{ACTIVE, ENDING, Scripts};
use crate::fsx::{self, Lock, LockError};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a change waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// How much an account may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScriptQuota {
    /// Most scripts.
    pub scripts: u32,
    /// Largest script, in octets.
    pub size: u64,
}

/// Why scripts were not read or changed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptsError {
    /// No script has this name.
    #[error("There is no script by that name")]
    NonExistent,
    /// A script has the new name.
    #[error("A script has that name")]
    AlreadyExists,
    /// Not while it is active.
    #[error("You may not delete an active script")]
    Active,
    /// The account has as many as it may have.
    #[error("You have as many scripts as you may have: {0}")]
    TooMany(u32),
    /// It is larger than it may be.
    #[error("A script may have {0} octets")]
    TooLarge(u64),
    /// Somebody else is changing them.
    #[error("Somebody else is changing the scripts; try again")]
    Busy,
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<LockError> for ScriptsError {
    fn from(error: LockError) -> ScriptsError {
        match error {
            LockError::Held | LockError::Gone => ScriptsError::Busy,
            LockError::Io(e) => ScriptsError::Io(e),
        }
    }
}

impl Scripts {
    /// All scripts by name, and whether each is the active one.
    pub fn list(&self) -> io::Result<Vec<(ScriptName, bool)>> {
        let active = self.active_file()?;
        let mut found = Vec::new();
        for file in self.files()? {
            if let Some(name) = ScriptName::of_file(self.dir(), &file)? {
                found.push((name, active.as_deref() == Some(&file)));
            }
        }
        found.sort();
        Ok(found)
    }

    /// A script's text.
    pub fn open(&self, name: &ScriptName) -> Result<File, ScriptsError> {
        fsx::open_read(&self.file_of(name)).map_err(missing)
    }

    /// Would a script of this name and size be taken?
    pub fn has_room(&self, name: &ScriptName, size: u64, quota: ScriptQuota) -> Result<(), ScriptsError> {
        if size > quota.size {
            return Err(ScriptsError::TooLarge(quota.size));
        }
        if !self.exists(name)? && self.files()?.len() >= quota.scripts as usize {
            return Err(ScriptsError::TooMany(quota.scripts));
        }
        Ok(())
    }

    /// Keeps a script, in place of the one that had its name.
    pub fn put(&self, name: &ScriptName, text: &[u8], quota: ScriptQuota) -> Result<(), ScriptsError> {
        fsx::create_dirs(self.dir(), 0o700)?;
        let _lock = self.lock()?;
        self.sweep()?;
        self.has_room(name, text.len() as u64, quota)?;
        self.keep_name(name)?;
        fsx::replace(&self.file_of(name), text, 0o600)?;
        Ok(())
    }

    /// Makes a script the active one; with `None` no script is.
    pub fn activate(&self, name: Option<&ScriptName>) -> Result<(), ScriptsError> {
        if !self.dir().is_dir() {
            return if name.is_some() { Err(ScriptsError::NonExistent) } else { Ok(()) };
        }
        let _lock = self.lock()?;
        match name {
            Some(name) if !self.exists(name)? => return Err(ScriptsError::NonExistent),
            Some(name) => fsx::replace_link(&self.link(), Path::new(&name.file()))?,
            None => {
                fsx::remove(&self.link())?;
                fsx::sync_dir(self.dir())?;
            }
        }
        Ok(())
    }

    /// Removes a script, but not the active one.
    pub fn delete(&self, name: &ScriptName) -> Result<(), ScriptsError> {
        if !self.dir().is_dir() {
            return Err(ScriptsError::NonExistent);
        }
        let _lock = self.lock()?;
        if !self.exists(name)? {
            return Err(ScriptsError::NonExistent);
        }
        if self.is_active(name)? {
            return Err(ScriptsError::Active);
        }
        self.remove(name)?;
        fsx::sync_dir(self.dir())?;
        Ok(())
    }

    /// Gives a script another name; the active one stays active.
    pub fn rename(&self, old: &ScriptName, new: &ScriptName) -> Result<(), ScriptsError> {
        if !self.dir().is_dir() {
            return Err(ScriptsError::NonExistent);
        }
        let _lock = self.lock()?;
        if !self.exists(old)? {
            return Err(ScriptsError::NonExistent);
        }
        if self.exists(new)? {
            return Err(ScriptsError::AlreadyExists);
        }
        self.keep_name(new)?;
        // A second name first: at no moment is there no script, nor an active one that is not there.
        fsx::link(&self.file_of(old), &self.file_of(new))?;
        fsx::sync_dir(self.dir())?;
        if self.is_active(old)? {
            fsx::replace_link(&self.link(), Path::new(&new.file()))?;
        }
        self.remove(old)?;
        fsx::sync_dir(self.dir())?;
        Ok(())
    }

    fn lock(&self) -> Result<Lock, ScriptsError> {
        Ok(Lock::wait(&self.dir().join(".lock"), LOCK_PATIENCE)?)
    }

    fn link(&self) -> PathBuf {
        self.dir().join(ACTIVE)
    }

    /// The file that is active; a link that leads elsewhere leads to none.
    fn active_file(&self) -> io::Result<Option<String>> {
        match self.active_path() {
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => Ok(None),
            other => Ok(other?.and_then(|path| Some(path.file_name()?.to_str()?.to_string()))),
        }
    }

    fn file_of(&self, name: &ScriptName) -> PathBuf {
        self.dir().join(name.file())
    }

    fn exists(&self, name: &ScriptName) -> io::Result<bool> {
        match self.file_of(name).symlink_metadata() {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map(|metadata| metadata.is_file()),
        }
    }

    fn is_active(&self, name: &ScriptName) -> io::Result<bool> {
        Ok(self.active_file()?.as_deref() == Some(&name.file()))
    }

    /// The files that look like scripts, in no order.
    fn files(&self) -> io::Result<Vec<String>> {
        let mut found = Vec::new();
        let read = fsx::each_name(self.dir(), |name| {
            let name = name.to_str().filter(|name| name.ends_with(ENDING) && !name.starts_with('.'));
            found.extend(name.map(str::to_string));
        });
        match read {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            other => other.map(|()| found),
        }
    }

    /// Writes down a name that is too long for a file's, before the file is there.
    fn keep_name(&self, name: &ScriptName) -> io::Result<()> {
        match name.name_file() {
            Some(file) => fsx::replace(&self.dir().join(file), name.as_str().as_bytes(), 0o600),
            None => Ok(()),
        }
    }

    fn remove(&self, name: &ScriptName) -> io::Result<()> {
        fsx::remove(&self.file_of(name))?;
        name.name_file().map_or(Ok(()), |file| fsx::remove(&self.dir().join(file)))
    }

    /// Removes what a process that died left behind: under the lock nobody is writing.
    fn sweep(&self) -> io::Result<()> {
        let mut left = Vec::new();
        fsx::each_name(self.dir(), |name| {
            if name.to_str().is_some_and(|name| name.starts_with('.') && name.ends_with(".new")) {
                left.push(name.to_os_string());
            }
        })?;
        left.iter().try_for_each(|name| fsx::remove(&self.dir().join(name)))
    }
}

fn missing(error: io::Error) -> ScriptsError {
    match error.kind() {
        io::ErrorKind::NotFound => ScriptsError::NonExistent,
        _ => ScriptsError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fsx::fault::{Plan, with_plan};

    const QUOTA: ScriptQuota = ScriptQuota { scripts: 3, size: 20 };

    fn name(text: &str) -> ScriptName {
        ScriptName::parse(text).unwrap()
    }

    fn listed(scripts: &Scripts) -> String {
        let mark = |(name, is_active): (ScriptName, bool)| format!("{name}{}", if is_active { "*" } else { "" });
        scripts.list().unwrap().into_iter().map(mark).collect::<Vec<_>>().join(" ")
    }

    fn text(scripts: &Scripts, of: &ScriptName) -> String {
        std::io::read_to_string(scripts.open(of).unwrap()).unwrap()
    }

    #[test]
    fn put_activate_rename_delete() {
        let home = tempfile::tempdir().unwrap();
        let scripts = Scripts::of(&home.path().join("user"));
        let long = name(&"§".repeat(128));
        assert_eq!(listed(&scripts), "");
        assert!(matches!(scripts.open(&name("a")), Err(ScriptsError::NonExistent)));
        assert!(matches!(scripts.delete(&name("a")), Err(ScriptsError::NonExistent)));
        assert!(matches!(scripts.activate(Some(&name("a"))), Err(ScriptsError::NonExistent)));
        scripts.activate(None).unwrap();
        scripts.put(&name("b"), b"keep;", QUOTA).unwrap();
        scripts.put(&name("a"), b"stop;", QUOTA).unwrap();
        scripts.put(&name("a"), b"keep;stop;", QUOTA).unwrap();
        assert_eq!(text(&scripts, &name("a")), "keep;stop;");
        scripts.activate(Some(&name("a"))).unwrap();
        scripts.activate(Some(&name("b"))).unwrap();
        assert_eq!(listed(&scripts), "a b*");
        assert!(matches!(scripts.delete(&name("b")), Err(ScriptsError::Active)));
        assert!(matches!(scripts.rename(&name("b"), &name("a")), Err(ScriptsError::AlreadyExists)));
        assert!(matches!(scripts.rename(&name("c"), &name("d")), Err(ScriptsError::NonExistent)));
        scripts.rename(&name("b"), &long).unwrap();
        assert_eq!(listed(&scripts), format!("a {long}*"));
        assert_eq!(scripts.active().unwrap().unwrap(), (long.to_string(), b"keep;".to_vec()));
        scripts.rename(&long, &name("../x")).unwrap();
        assert_eq!(listed(&scripts), "../x* a");
        scripts.activate(None).unwrap();
        scripts.delete(&name("../x")).unwrap();
        scripts.rename(&name("a"), &name("z")).unwrap();
        assert_eq!(listed(&scripts), "z");
        let files: Vec<_> = std::fs::read_dir(scripts.dir()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(files.len(), 2, "the script and the lock: {files:?}");
    }

    #[test]
    fn quotas_hold() {
        let home = tempfile::tempdir().unwrap();
        let scripts = Scripts::of(home.path());
        for n in ["1", "2", "3"] {
            scripts.put(&name(n), b"keep;", QUOTA).unwrap();
        }
        assert!(matches!(scripts.put(&name("4"), b"keep;", QUOTA), Err(ScriptsError::TooMany(3))));
        assert!(matches!(scripts.has_room(&name("4"), 1, QUOTA), Err(ScriptsError::TooMany(3))));
        assert!(matches!(scripts.put(&name("3"), &[b' '; 21], QUOTA), Err(ScriptsError::TooLarge(20))));
        scripts.put(&name("3"), &[b' '; 20], QUOTA).unwrap();
    }

    #[test]
    fn a_change_that_fails_anywhere_leaves_the_old_state_or_the_new() {
        type Change = fn(&Scripts) -> Result<(), ScriptsError>;
        let changes: [(Change, &[&str]); 5] = [
            (|s| s.put(&name("a"), b"new", QUOTA), &["a* b"]),
            (|s| s.put(&name("c"), b"new", QUOTA), &["a* b", "a* b c"]),
            (|s| s.activate(Some(&name("b"))), &["a* b", "a b*"]),
            (|s| s.delete(&name("b")), &["a* b", "a*"]),
            (|s| s.rename(&name("a"), &name("z")), &["a* b", "a* b z", "a b z*", "b z*"]),
        ];
        for (change, states) in changes {
            for n in 1.. {
                let home = tempfile::tempdir().unwrap();
                let scripts = Scripts::of(home.path());
                scripts.put(&name("a"), b"old", QUOTA).unwrap();
                scripts.put(&name("b"), b"old", QUOTA).unwrap();
                scripts.activate(Some(&name("a"))).unwrap();
                let (result, struck) = with_plan(Plan::parse(&format!("EIO:{n}")).unwrap(), || change(&scripts));
                assert!(states.contains(&listed(&scripts).as_str()), "{n}: {}", listed(&scripts));
                assert!(scripts.active().unwrap().is_some(), "{n}");
                if result.is_ok() {
                    assert_eq!(states.last(), Some(&listed(&scripts).as_str()));
                }
                if !struck {
                    assert!(result.is_ok() && n > 2);
                    break;
                }
            }
        }
    }
}
