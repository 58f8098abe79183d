//! Mailbox access keys: the secrets that authorised URLs are made with (RFC 4467 §2.2).
//!
//! One file in the mailbox's directory, of one line: `em-url-key 1 UIDVALIDITY KEY`, the key in hexadecimal, readable by its owner alone. It goes
//! where its directory goes: renamed with it, deleted with it. As a URL names its mailbox, one made before a renaming is good again
//! only under the old name. The key counts for one generation of identifiers, so that no URL ever leads to another message than the one it
//! was made for. The tree's lock is held while it is changed.
//!
//! | state | meaning | who repairs it |
//! |---|---|---|
//! | no file | no URL was authorised, or all were revoked | the next URL that is authorised makes a key |
//! | draft `.em-url-key.*.new` | nothing promised | goes with the mailbox; means nothing |
//! | file, of the mailbox's UIDVALIDITY | the key | – |
//! | file, of another UIDVALIDITY | its URLs are void | the next URL that is authorised makes a new key |
//! | file that can't be read | of a newer version, or damaged: no URL is good, and none is authorised | RESETKEY writes a new one |

use super::{Tree, TreeError};
use crate::fsx;
use crate::mailbox::UidValidity;
use crate::store::folder::Folder;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

const NAME: &str = "em-url-key";
const HEADER: &str = "em-url-key 1 ";
/// Largest file read.
const FILE_LIMIT: u64 = 256;
/// No folder is called so on disk.
const NOWHERE: &str = "..none";
/// Octets of a key.
const LENGTH: usize = 32;

/// A mailbox access key.
#[derive(Clone, PartialEq, Eq)]
pub struct UrlKey {
    /// Random octets that never leave the server.
    pub secret: [u8; LENGTH],
    /// The generation of identifiers that it counts for.
    pub uid_validity: UidValidity,
}

impl std::fmt::Debug for UrlKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UrlKey").field("uid_validity", &self.uid_validity).finish_non_exhaustive()
    }
}

/// Another one whenever the key of a mailbox has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UrlKeyMark(u64, i64, i64);

impl Tree {
    /// The key of a mailbox; `None` without a key, and without a mailbox. Both take the same time: all folders are looked at.
    pub fn url_key(&self, name: &str) -> Result<Option<UrlKey>, TreeError> {
        let name = Tree::normal(name);
        let mut found = None;
        for disk in self.folders()? {
            if super::naming::decode(&disk).as_deref() == Some(&name) {
                found = Some(disk);
            }
        }
        let read = read(&self.dir(&found.unwrap_or_else(|| NOWHERE.to_string())));
        match read {
            // No key that we know of.
            Err(e) if e.kind() == io::ErrorKind::InvalidData => Ok(None),
            other => Ok(other?),
        }
    }

    /// The key of a mailbox, made when there is none yet; durable when it returns.
    pub fn make_url_key(&self, name: &str) -> Result<UrlKey, TreeError> {
        let uid_validity = self.folder(name)?.refresh()?.uid_validity;
        let _lock = self.lock()?;
        let dir = self.dir(&self.find(name)?.ok_or(TreeError::Missing)?);
        match read(&dir)? {
            Some(key) if key.uid_validity == uid_validity => Ok(key),
            _ => Ok(write(&dir, uid_validity)?),
        }
    }

    /// Gives a mailbox a new key: URLs made with the old one are void when this returns, and sessions that watch the mailbox are woken.
    pub fn reset_url_key(&self, name: &str) -> Result<(), TreeError> {
        let folder = self.folder(name)?;
        let uid_validity = folder.refresh()?.uid_validity;
        let _lock = self.lock()?;
        let dir = self.dir(&self.find(name)?.ok_or(TreeError::Missing)?);
        write(&dir, uid_validity)?;
        Ok(folder.touch()?)
    }

    /// Removes the keys of all mailboxes; durable when it returns.
    pub fn remove_url_keys(&self) -> Result<(), TreeError> {
        let _lock = self.lock()?;
        for disk in self.folders()? {
            let dir = self.dir(&disk);
            match fsx::remove_existing(&dir.join(NAME)) {
                Ok(()) => fsx::sync_dir(&dir)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                Err(e) => return Err(e.into()),
            }
            self.registry.open(&self.home, &dir)?.touch()?;
        }
        Ok(())
    }
}

impl Folder {
    /// Which key the mailbox has now; `None` without one.
    pub fn url_key_mark(&self) -> Option<UrlKeyMark> {
        let file = std::fs::symlink_metadata(self.dir().join(NAME)).ok()?;
        Some(UrlKeyMark(file.ino(), file.mtime(), file.mtime_nsec()))
    }
}

fn write(dir: &Path, uid_validity: UidValidity) -> io::Result<UrlKey> {
    let mut secret = [0; LENGTH];
    getrandom::fill(&mut secret).map_err(|e| io::Error::other(format!("no randomness for a key: {e}")))?;
    let hex: String = secret.iter().map(|b| format!("{b:02x}")).collect();
    fsx::replace(&dir.join(NAME), format!("{HEADER}{} {hex}\n", uid_validity.number()).as_bytes(), 0o600)?;
    Ok(UrlKey { secret, uid_validity })
}

/// A file that this version can't read is an error: it may be a newer one's.
fn read(dir: &Path) -> io::Result<Option<UrlKey>> {
    let text = match fsx::read(&dir.join(NAME), FILE_LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    match parse(&text) {
        Some(key) => Ok(Some(key)),
        None => Err(fsx::context("read", &dir.join(NAME), io::Error::new(io::ErrorKind::InvalidData, "not a key"))),
    }
}

fn parse(text: &[u8]) -> Option<UrlKey> {
    let line = std::str::from_utf8(text).ok()?.strip_prefix(HEADER)?.strip_suffix('\n')?;
    let (number, hex) = line.split_once(' ')?;
    if hex.len() != 2 * LENGTH || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return None;
    }
    let mut secret = [0; LENGTH];
    for (octet, at) in secret.iter_mut().zip((0..).step_by(2)) {
        *octet = u8::from_str_radix(&hex[at..at + 2], 16).ok()?;
    }
    Some(UrlKey { secret, uid_validity: UidValidity::new(number.parse().ok()?)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read(dir.path()).unwrap(), None);
        let validity = UidValidity::new(7).unwrap();
        let written = write(dir.path(), validity).unwrap();
        assert_eq!(read(dir.path()).unwrap(), Some(written.clone()));
        let path = dir.path().join(NAME);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_ne!(write(dir.path(), validity).unwrap().secret, written.secret);
        let good = std::fs::read_to_string(&path).unwrap();
        for bad in [&good[..good.len() - 1], &good[..20], "", &good.replace(" 1 ", " 2 "), &good.replace(" 7 ", " 0 ")]
        {
            std::fs::write(&path, bad).unwrap();
            assert_eq!(read(dir.path()).unwrap_err().kind(), io::ErrorKind::InvalidData, "{bad}");
        }
        assert!(!format!("{written:?}").contains("secret"));
    }
}
