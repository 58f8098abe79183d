//! Names of scripts, and of the files they lie in (RFC 5804 §1.6).
//!
//! A name is any line of text. Its file is called as the name with all but letters, digits and `._-+=@~` written `%XX`, and `.sieve`
//! behind it. A name that would make too long a file name lies in `%long-HASH.sieve` instead, and stands itself in `%long-HASH.name`
//! beside that; the hash is the name's, so that nothing but the name is needed to find either.

use super::ENDING;
use crate::{fields, fsx, users};
use sha2::{Digest, Sha256};
use std::fmt;
use std::io;
use std::path::Path;
use unicode_normalization::UnicodeNormalization;

/// Most characters of a name (RFC 5804 §1.6 asks for no less).
const CHARACTERS: usize = 128;
/// Longest file name made of a name itself; the system takes 255 octets, and a draft's name is longer than its file's.
const PLAIN_LIMIT: usize = 200;
/// What stands before the hash of a longer one; no name is encoded so.
const LONG: &str = "%long-";
/// What the file with a long name ends with.
const NAME_SUFFIX: &str = ".name";

/// The name of a script.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ScriptName(String);

/// Why a text is no name of a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScriptNameError {
    /// No character.
    #[error("a script needs a name")]
    Empty,
    /// Too many characters.
    #[error("a script's name may have 128 characters")]
    TooLong,
    /// A control character, or a line end.
    #[error("a script's name may have no control characters")]
    Control,
}

impl ScriptName {
    /// Reads a name; spellings that look the same are the same name (RFC 5198 §2).
    pub fn parse(text: &str) -> Result<ScriptName, ScriptNameError> {
        // What grows is no name; and the work is bounded by what was checked.
        if text.chars().count() > CHARACTERS {
            return Err(ScriptNameError::TooLong);
        }
        let name: String = text.nfc().collect();
        // RFC 5804 §1.6.
        if name.chars().any(|c| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')) {
            return Err(ScriptNameError::Control);
        }
        match name.is_empty() {
            true => Err(ScriptNameError::Empty),
            false => Ok(ScriptName(name)),
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of its file.
    pub(super) fn file(&self) -> String {
        format!("{}{ENDING}", self.stem())
    }

    /// The name of the file that holds the name, where it is too long for a file's.
    pub(super) fn name_file(&self) -> Option<String> {
        let stem = self.stem();
        stem.starts_with(LONG).then(|| format!("{stem}{NAME_SUFFIX}"))
    }

    fn stem(&self) -> String {
        let plain = users::directory_name(&self.0);
        if plain.len() <= PLAIN_LIMIT {
            return plain;
        }
        let hash: String = Sha256::digest(self.0.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        format!("{LONG}{hash}")
    }

    /// The name of the script in this file of a folder; `None` where the file is something else, or was given a name that is not ours.
    pub(super) fn of_file(dir: &Path, file: &str) -> io::Result<Option<ScriptName>> {
        let Some(stem) = file.strip_suffix(ENDING) else { return Ok(None) };
        let text = match stem.starts_with(LONG) {
            true => match fsx::read(&dir.join(format!("{stem}{NAME_SUFFIX}")), 4 * CHARACTERS as u64) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
                other => String::from_utf8(other?).ok(),
            },
            false => fields::decode(stem),
        };
        let name = text.and_then(|text| ScriptName::parse(&text).ok());
        Ok(name.filter(|name| name.file() == file))
    }
}

impl fmt::Display for ScriptName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_files_are_two_sides() {
        let dir = tempfile::tempdir().unwrap();
        let long = "ä b".repeat(42);
        for (name, file) in [
            ("main", Some("main.sieve")),
            ("active", Some("active.sieve")),
            ("Urlaub 2026", Some("Urlaub%202026.sieve")),
            ("../../etc/passwd", Some("%2e.%2f..%2fetc%2fpasswd.sieve")),
            (".hidden", Some("%2ehidden.sieve")),
            ("%long-", Some("%25long-.sieve")),
            ("日本", Some("日本.sieve")),
            ("a\u{301}", Some("á.sieve")),
            (&long, None),
        ] {
            let name = ScriptName::parse(name).unwrap();
            if let Some(file) = file {
                assert_eq!(name.file(), file);
            }
            assert!(name.file().len() <= PLAIN_LIMIT + ENDING.len());
            if let Some(file) = name.name_file() {
                std::fs::write(dir.path().join(file), name.as_str()).unwrap();
            }
            assert_eq!(ScriptName::of_file(dir.path(), &name.file()).unwrap(), Some(name));
        }
    }

    #[test]
    fn what_is_no_name() {
        for (text, error) in [
            ("", ScriptNameError::Empty),
            (&"x".repeat(129), ScriptNameError::TooLong),
            ("a\nb", ScriptNameError::Control),
            ("a\0", ScriptNameError::Control),
            ("\u{7f}", ScriptNameError::Control),
            ("\u{85}", ScriptNameError::Control),
            ("\u{2028}", ScriptNameError::Control),
        ] {
            assert_eq!(ScriptName::parse(text), Err(error), "{text:?}");
        }
        assert!(ScriptName::parse(&"\u{1f4ee}".repeat(128)).is_ok());
    }

    #[test]
    fn files_of_others_have_no_name() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["main", "a b.sieve", "%41.sieve", "%zz.sieve", ".x.sieve", ".sieve", "%long-00.sieve", "x.name"] {
            assert_eq!(ScriptName::of_file(dir.path(), file).unwrap(), None, "{file}");
        }
        std::fs::write(dir.path().join("%long-00.name"), "short").unwrap();
        assert_eq!(ScriptName::of_file(dir.path(), "%long-00.sieve").unwrap(), None);
    }
}
