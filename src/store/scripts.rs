//! Sieve scripts of an account: `HOME/sieve/NAME.sieve`, and `active`, a relative link to the one that is in force.
//!
//! Called by `deliver`, which reads; [`publish`] is for those who change them. The link is looked at once, and its target is opened
//! without following another: whatever the name says, nothing outside the folder is read.
//! A script that others may write, or that belongs to somebody else than the folder, is not obeyed.
//!
//! | state | meaning | who repairs it |
//! |---|---|---|
//! | no folder, or no `active` | no script is in force | – |
//! | `active` leads to `NAME.sieve` | that script is in force | – |
//! | `active` leads to a missing file, or out of the folder | none is in force; deliveries log it | the user, by activating another |

mod name;
mod publish;

pub use name::{ScriptName, ScriptNameError};
pub use publish::{ScriptQuota, ScriptsError};

use crate::fsx;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The folder in an account's home.
pub const FOLDER: &str = "sieve";
/// The link.
pub const ACTIVE: &str = "active";
/// What follows a script's name.
pub const ENDING: &str = ".sieve";
/// The script of a system account: as Dovecot's Pigeonhole has it, and the name that others took.
const HOME_SCRIPTS: [&str; 2] = [".dovecot.sieve", ".sieve"];
/// Largest script read, in octets; the limit for new ones is a setting and may be lower.
pub const SIZE_LIMIT: u64 = 1 << 20;

/// The scripts of one account.
#[derive(Debug, Clone)]
pub struct Scripts {
    dir: PathBuf,
}

impl Scripts {
    /// Those of the account with this home.
    pub fn of(home: &Path) -> Scripts {
        Scripts { dir: home.join(FOLDER) }
    }

    /// Their folder; it need not exist.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where the active script lies; `None` when there is none.
    pub fn active_path(&self) -> io::Result<Option<PathBuf>> {
        let link = match std::fs::read_link(self.dir.join(ACTIVE)) {
            Ok(link) => link,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            // A plain file of that name is no link.
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => return Err(refused("active is not a link")),
            Err(e) => return Err(fsx::context("reading the link", &self.dir.join(ACTIVE), e)),
        };
        let mut parts = link.components();
        match (parts.next(), parts.next()) {
            (Some(std::path::Component::Normal(name)), None) => Ok(Some(self.dir.join(name))),
            _ => Err(refused("active leads out of the folder")),
        }
    }

    /// The active script: its name as the user knows it, and its text.
    pub fn active(&self) -> io::Result<Option<(String, Vec<u8>)>> {
        let Some(path) = self.active_path()? else { return Ok(None) };
        let text = self.read(&path)?;
        Ok(Some((name_of(&path), text)))
    }

    /// Where the script of this name lies, or would.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(file_name(name))
    }

    /// The text of a script by its name; `None` when there is none.
    pub fn named(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match self.read(&self.path(name)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            other => other.map(Some),
        }
    }

    /// Reads a script that may be obeyed.
    pub fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        read_of(path, std::fs::metadata(&self.dir)?.uid())
    }
}

/// Reads a script that this owner, or root, has, and nobody else may write.
pub fn read_of(path: &Path, owner: u32) -> io::Result<Vec<u8>> {
    let file = fsx::open_read(path)?;
    // Asked of the open file, and that one is read.
    let metadata = file.metadata()?;
    if metadata.permissions().mode() & 0o022 != 0 {
        return Err(refused("others may write it"));
    }
    if metadata.uid() != owner && metadata.uid() != 0 {
        return Err(refused("it belongs to somebody else"));
    }
    fsx::read_opened(file, path, SIZE_LIMIT)
}

/// The script of a system account, where other programs look for it: a file in its home, or a link to one. Called as that account, whose
/// rights the link is followed with. The path is that of the file itself.
pub fn in_home(home: &Path) -> io::Result<Option<PathBuf>> {
    for name in HOME_SCRIPTS {
        let path = home.join(name);
        match std::fs::symlink_metadata(&path) {
            Ok(_) => return std::fs::canonicalize(&path).map(Some).map_err(|e| fsx::context("follow", &path, e)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(fsx::context("stat", &path, e)),
        }
    }
    Ok(None)
}

/// The name of a script as the user knows it, from its file's.
pub fn name_of(path: &Path) -> String {
    let file = path.file_name().unwrap_or_default().to_string_lossy();
    let dir = path.parent().unwrap_or(Path::new(""));
    let name = ScriptName::of_file(dir, &file).ok().flatten();
    name.map_or_else(|| file.strip_suffix(ENDING).unwrap_or(&file).to_string(), |name| name.to_string())
}

/// The name of a script's file; of what is no name, one that no script has.
pub fn file_name(name: &str) -> String {
    ScriptName::parse(name).map_or_else(|_| format!("%{ENDING}"), |name| name.file())
}

fn refused(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn home(mode: u32) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join(FOLDER)).unwrap();
        let script = home.path().join("sieve/work.sieve");
        std::fs::write(&script, "keep;").unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(mode)).unwrap();
        home
    }

    #[test]
    fn the_link_names_the_script_in_force() {
        let home = home(0o600);
        let scripts = Scripts::of(home.path());
        assert_eq!(scripts.active().unwrap(), None);
        symlink("work.sieve", scripts.dir().join(ACTIVE)).unwrap();
        assert_eq!(scripts.active().unwrap(), Some(("work".to_string(), b"keep;".to_vec())));
        assert_eq!(Scripts::of(Path::new("/nowhere")).active().unwrap(), None);
    }

    #[test]
    fn links_that_lead_elsewhere_and_scripts_of_others_are_not_obeyed() {
        for (target, mode) in [("../sieve/work.sieve", 0o600), ("/etc/passwd", 0o600), ("work.sieve", 0o620)] {
            let home = home(mode);
            let scripts = Scripts::of(home.path());
            symlink(target, scripts.dir().join(ACTIVE)).unwrap();
            assert_eq!(scripts.active().unwrap_err().kind(), io::ErrorKind::PermissionDenied, "{target} {mode:o}");
        }
        let home = home(0o600);
        let scripts = Scripts::of(home.path());
        symlink("work.sieve", scripts.dir().join("again.sieve")).unwrap();
        symlink("again.sieve", scripts.dir().join(ACTIVE)).unwrap();
        assert!(scripts.active().is_err());
    }
}
