//! The open mailboxes of a process: one [`Folder`] each, whoever asks.
//!
//! The last ones that were opened are kept for whoever comes next: a client that logs in every minute need not have them read again.

use super::folder::{Folder, FolderError, StoreSettings};
use super::tree::AclCache;
use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Most mailboxes that are kept open though nobody holds them.
const KEPT: usize = 100;
/// Most messages of them all, but for the last one: some 170 octets each.
const KEPT_MESSAGES: usize = 200_000;

/// Finds the one [`Folder`] of a mailbox that a process has open. A service owns one.
#[derive(Debug)]
pub struct Registry {
    settings: Arc<StoreSettings>,
    folders: Mutex<Open>,
    /// The lists of rights that were read.
    pub(super) acls: AclCache,
}

#[derive(Debug, Default)]
struct Open {
    folders: HashMap<PathBuf, Weak<Folder>>,
    /// Those opened last, the latest first.
    kept: VecDeque<Arc<Folder>>,
    /// How many there may be before those nobody holds any more are swept out.
    sweep_at: usize,
}

impl Registry {
    /// Without open mailboxes.
    pub fn new(settings: StoreSettings) -> Registry {
        Registry { settings: Arc::new(settings), folders: Mutex::default(), acls: AclCache::default() }
    }

    /// What its mailboxes share.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The mailbox in `dir`, of the account with this home. It is open for as long as somebody holds it, at least.
    pub fn open(&self, home: &Path, dir: &Path) -> Result<Arc<Folder>, FolderError> {
        // A panic while it was held leaves a map that is as good as before.
        let mut open = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.find(&mut open, home, dir)?;
        let surplus = open.keep(&folder);
        // Closing a mailbox may write.
        drop(open);
        drop(surplus);
        Ok(folder)
    }

    fn find(&self, open: &mut Open, home: &Path, dir: &Path) -> Result<Arc<Folder>, FolderError> {
        if let Some(folder) = open.folders.get(dir).and_then(Weak::upgrade) {
            return if dir.is_dir() { Ok(folder) } else { Err(FolderError::Gone) };
        }
        let folder = Arc::new(Folder::open(home, dir, self.settings.clone())?);
        open.folders.insert(dir.to_path_buf(), Arc::downgrade(&folder));
        if open.folders.len() > open.sweep_at {
            open.folders.retain(|_, folder| folder.strong_count() > 0);
            open.sweep_at = 64.max(open.folders.len() * 2);
        }
        Ok(folder)
    }
}

impl Open {
    /// Keeps this one for later; gives those for which there is no room any more.
    fn keep(&mut self, folder: &Arc<Folder>) -> Vec<Arc<Folder>> {
        if !self.kept.front().is_some_and(|first| Arc::ptr_eq(first, folder)) {
            self.kept.retain(|kept| !Arc::ptr_eq(kept, folder));
            self.kept.push_front(folder.clone());
        }
        let mut messages = 0;
        let is_room = |kept: &&Arc<Folder>| {
            messages += kept.held();
            messages <= KEPT_MESSAGES
        };
        let room = self.kept.iter().take_while(is_room).count().clamp(1, KEPT);
        self.kept.drain(room.min(self.kept.len())..).collect()
    }
}
