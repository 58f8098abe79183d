//! The open mailboxes of a process: one [`Folder`] each, whoever asks.

use super::folder::{Folder, FolderError, StoreSettings};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Finds the one [`Folder`] of a mailbox that a process has open. A service owns one.
#[derive(Debug)]
pub struct Registry {
    settings: Arc<StoreSettings>,
    folders: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    folders: HashMap<PathBuf, Weak<Folder>>,
    /// How many there may be before those nobody holds any more are swept out.
    sweep_at: usize,
}

impl Registry {
    /// Without open mailboxes.
    pub fn new(settings: StoreSettings) -> Registry {
        Registry { settings: Arc::new(settings), folders: Mutex::default() }
    }

    /// What its mailboxes share.
    pub fn settings(&self) -> &StoreSettings {
        &self.settings
    }

    /// The mailbox in `dir`, of the account with this home. It is open for as long as somebody holds it.
    pub fn open(&self, home: &Path, dir: &Path) -> Result<Arc<Folder>, FolderError> {
        // A panic while it was held leaves a map that is as good as before.
        let mut open = self.folders.lock().unwrap_or_else(PoisonError::into_inner);
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
