//! Mailing lists: their settings, members and state on disk.
//!
//! Called by `route` (is this an address of a list?), `list` (posts, commands) and `emlist`.
//!
//! | file | holds | written by |
//! |---|---|---|
//! | `etc/lists/DOMAIN/NAME/list.toml` | settings ([`settings`]); the list exists as long as this file does | administrator, `emlist` |
//! | `etc/lists/DOMAIN/NAME/members` | members ([`members`]) | `emlist`, commands by mail |
//! | `etc/lists/DOMAIN/NAME/*.txt` | own texts in place of the built-in ones ([`texts`]) | administrator |
//! | `spool/lists/DOMAIN/NAME/posts` | numbers and Message-IDs of posts ([`posts`]) | each post |
//! | `spool/lists/DOMAIN/NAME/pending/TOKEN` | questions that wait for an answer ([`pending`]) | commands, held posts |
//! | `spool/lists/DOMAIN/NAME/held/ID` | posts that wait for a moderator ([`held`]) | posts |
//! | `spool/lists/DOMAIN/NAME/answers` | who was answered when ([`answers`]) | answers |
//! | `spool/lists/DOMAIN/NAME/bounces` | members whose mail comes back ([`bounces`]) | reports, `emlist bounces` |
//! | `spool/lists/DOMAIN/NAME/digest` | how far digests have come (`list::digest`) | each digest |
//! | `spool/lists/DOMAIN/NAME/archive/` | the posts ([`archive`]) | each post |
//!
//! Files are replaced whole, or grow by terminated records, so that every state on disk is a good one. What is left of a change that
//! was cut short, and what has run out of time, is swept by `emlist check --sweep` and by the next use.
//! Locks: `.members.lock` beside the members, for one rewrite; `lock` in the spool folder, for one post or one answer. Never both at
//! once, and no network under either.
//! Trust: names of lists come from addresses of the network; [`ListName`] lets no path out of its folder.

pub mod answers;
pub mod archive;
pub mod bounces;
mod change;
pub mod held;
pub mod members;
mod name;
pub mod pending;
pub mod posts;
pub mod settings;
pub mod texts;

pub use change::Deleted;
pub use name::{ListName, NAME_LIMIT, NameError, Role, readings};
pub use pending::TOKEN_LENGTH;
pub use settings::ListSettings;

use crate::addr::Address;
use crate::config::{ConfigError, FILE_LIMIT, Site};
use crate::fsx::{self, Identity, Lock, LockError};
use members::Members;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

/// How long a change waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// Largest file of members, in octets: some millions of them.
const MEMBERS_LIMIT: u64 = 1 << 30;
/// Most lists whose settings and members a process remembers.
const SEEN_LIMIT: usize = 1_000;

/// Why something could not be done with a list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It does not exist.
    #[error("there is no list {0}")]
    Missing(ListName),
    /// It exists already.
    #[error("there is a list {0} already")]
    Exists(ListName),
    /// Its settings have a mistake.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The file system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// All lists of a site. A process remembers what it has read for as long as the files stay the same; a clone shares that.
#[derive(Debug, Clone)]
pub struct Lists {
    etc: PathBuf,
    spool: PathBuf,
    seen: Arc<Mutex<HashMap<ListName, Seen>>>,
    /// The folder of all lists, as it was seen last: many sites have none.
    folder: Arc<RwLock<Option<fsx::Seen>>>,
}

/// What was read of one list, and the states of the files it was read from.
#[derive(Debug, Default)]
struct Seen {
    settings: Option<(Identity, Arc<ListSettings>)>,
    members: Option<(Identity, Arc<Members>)>,
}

/// One list that exists.
#[derive(Debug, Clone)]
pub struct List {
    /// Its name.
    pub name: ListName,
    /// Its settings.
    pub settings: Arc<ListSettings>,
    etc: PathBuf,
    spool: PathBuf,
    lists: Lists,
}

impl Lists {
    /// The lists of a site.
    pub fn of(site: &Site) -> Lists {
        let (etc, spool) = (site.root.etc.join("lists"), site.root.spool.join("lists"));
        Lists { etc, spool, seen: Default::default(), folder: Default::default() }
    }

    /// True when there is not even the folder of lists.
    fn is_unused(&self) -> bool {
        let held = self.folder.read().unwrap_or_else(PoisonError::into_inner);
        match held.as_ref().filter(|seen| seen.is_current()) {
            Some(seen) => seen.identity().is_none(),
            None => {
                drop(held);
                let seen = fsx::Seen::of(&self.etc);
                let is_missing = seen.identity().is_none();
                *self.folder.write().unwrap_or_else(PoisonError::into_inner) = Some(seen);
                is_missing
            }
        }
    }

    /// True when the list exists, whatever its settings say.
    pub fn has(&self, name: &ListName) -> bool {
        self.etc_of(name).join("list.toml").is_file()
    }

    /// The list and the role that an address means.
    pub fn role_of(&self, address: &Address) -> Option<(ListName, Role)> {
        // Most sites, and most domains, have no list; one look then tells.
        if self.is_unused() || !self.etc.join(address.domain()).is_dir() {
            return None;
        }
        readings(address).into_iter().find(|(name, _)| self.has(name))
    }

    /// Reads a list's settings.
    pub fn open(&self, name: &ListName) -> Result<List, ListError> {
        let path = self.etc_of(name).join("list.toml");
        let now = Identity::of(&path)?.ok_or_else(|| ListError::Missing(name.clone()))?;
        let settings = match self.remembered(name, |seen| seen.settings.clone(), now) {
            Some(settings) => settings,
            None => {
                let settings = Arc::new(read_settings(&path)?);
                self.remember(name, |seen| seen.settings = Some((now, settings.clone())));
                settings
            }
        };
        Ok(List {
            name: name.clone(),
            settings,
            etc: self.etc_of(name),
            spool: self.spool_of(name),
            lists: self.clone(),
        })
    }

    /// The names of all lists, sorted.
    pub fn names(&self) -> io::Result<Vec<ListName>> {
        let mut names = Vec::new();
        for domain in folders(&self.etc)? {
            for name in folders(&self.etc.join(&domain))? {
                names.extend(ListName::new(&name, &domain).ok().filter(|name| self.has(name)));
            }
        }
        names.sort();
        Ok(names)
    }

    fn etc_of(&self, name: &ListName) -> PathBuf {
        self.etc.join(name.domain()).join(name.name())
    }

    fn spool_of(&self, name: &ListName) -> PathBuf {
        self.spool.join(name.domain()).join(name.name())
    }

    fn remembered<T>(
        &self,
        name: &ListName,
        part: impl FnOnce(&Seen) -> Option<(Identity, Arc<T>)>,
        now: Identity,
    ) -> Option<Arc<T>> {
        let seen = self.seen.lock().ok()?;
        part(seen.get(name)?).filter(|(identity, _)| *identity == now).map(|(_, value)| value)
    }

    fn remember(&self, name: &ListName, put: impl FnOnce(&mut Seen)) {
        if let Ok(mut seen) = self.seen.lock() {
            if seen.len() >= SEEN_LIMIT {
                seen.clear();
            }
            put(seen.entry(name.clone()).or_default());
        }
    }
}

impl List {
    /// Its folder in etc: settings, members, own texts.
    pub fn etc(&self) -> &Path {
        &self.etc
    }

    /// Its folder in the spool: posts, questions, archive.
    pub fn spool(&self) -> &Path {
        &self.spool
    }

    /// The members as they are now; none where there is no file.
    pub fn members(&self) -> io::Result<Arc<Members>> {
        let path = self.etc.join("members");
        let Some(now) = Identity::of(&path)? else { return Ok(Default::default()) };
        if let Some(members) = self.lists.remembered(&self.name, |seen| seen.members.clone(), now) {
            return Ok(members);
        }
        let members = Arc::new(Members::parse(&fsx::read(&path, MEMBERS_LIMIT)?));
        self.lists.remember(&self.name, |seen| seen.members = Some((now, members.clone())));
        Ok(members)
    }

    /// Changes the members under their lock; nothing is written when `change` fails or changes nothing.
    pub fn update_members<T, E: From<io::Error>>(
        &self,
        change: impl FnOnce(&mut Members) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = wait(&self.etc.join(".members.lock"))?;
        let before = self.members()?;
        let mut members = Members::clone(&before);
        let result = change(&mut members)?;
        if members != *before {
            fsx::replace(&self.etc.join("members"), members.print().as_bytes(), 0o600)?;
        }
        Ok(result)
    }

    /// The lock for one post, one answer, or one change in the spool folder; makes the folder where it is missing.
    pub fn lock(&self) -> io::Result<Lock> {
        fsx::create_dirs(&self.spool, 0o700)?;
        wait(&self.spool.join("lock"))
    }
}

fn wait(path: &Path) -> io::Result<Lock> {
    Lock::wait(path, LOCK_PATIENCE).map_err(|e| match e {
        LockError::Io(e) => e,
        held => fsx::context("lock", path, io::Error::new(io::ErrorKind::WouldBlock, held.to_string())),
    })
}

fn read_settings(path: &Path) -> Result<ListSettings, ListError> {
    let text = String::from_utf8(fsx::read(path, FILE_LIMIT)?)
        .map_err(|_| ConfigError::whole(path.to_path_buf(), "not UTF-8 text", "save the file as UTF-8"))?;
    Ok(settings::parse(&text, path)?)
}

/// The names of folders in a folder; none where it is missing.
fn folders(path: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    match fsx::each_name(path, |name| names.extend(name.to_str().map(str::to_string))) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other?,
    }
    names.retain(|name| !name.starts_with('.') && path.join(name).is_dir());
    Ok(names)
}
