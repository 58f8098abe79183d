//! The settings of etc/em.toml: one table that feeds the parser, the defaults, `emconf show`, the sample file
//! and the manual page.
//!
//! Pure: `config` reads and writes the file. Adding a key is adding a row.

mod cf;
mod directory;
mod fetched;
mod host_limit;
mod priority;
mod relay;
mod table;
mod value;

pub use cf::{Cf, CfFile, DeliveryMode, EightBits, ErrorMode, NoRecipient};
pub use directory::DirectoryChoice;
pub use fetched::Fetched;
pub use host_limit::{HostLimit, host_limit, print_rate};
pub use priority::PriorityRule;
pub use relay::{Dnssec, Families, TlsDefault};
pub use table::*;
pub use value::{Kind, Network, Plaintext, Size};

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// How new passwords can be hashed (`accounts.password_scheme`).
pub const PASSWORD_SCHEMES: [&str; 4] = ["argon2id", "yescrypt", "sha512-crypt", "bcrypt"];

/// The four trees of one installation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Root {
    /// Configuration.
    pub etc: PathBuf,
    /// Queue and run state.
    pub spool: PathBuf,
    /// Mailboxes.
    pub mail: PathBuf,
    /// The log file.
    pub log: PathBuf,
    /// `--root`'s argument; `None` when installed.
    pub dir: Option<PathBuf>,
    /// The sendmail.cf that stands in the place of em.toml (-C).
    pub cf: Option<CfFile>,
}

impl Root {
    /// All trees below one folder: trials, tests, the demo.
    pub fn under(dir: &Path) -> Root {
        Root {
            etc: dir.join("etc"),
            spool: dir.join("spool"),
            mail: dir.join("mail"),
            log: dir.join("log"),
            dir: Some(dir.to_path_buf()),
            cf: None,
        }
    }

    /// The installed system's places.
    pub fn installed() -> Root {
        Root {
            etc: "/etc/em".into(),
            spool: "/var/spool/em".into(),
            mail: "/var/mail/em".into(),
            log: "/var/log/em".into(),
            dir: None,
            cf: None,
        }
    }

    /// What a sendmail.cf works with. The file itself says where its queue is.
    pub fn of_cf(file: CfFile) -> Root {
        Root {
            etc: file.path.parent().unwrap_or(Path::new("/")).to_path_buf(),
            spool: "/var/spool/mqueue".into(),
            mail: "/var/mail".into(),
            log: "/var/log".into(),
            dir: None,
            cf: Some(file),
        }
    }

    /// True when all is done with the caller's own rights: a trial, or a file that the caller named.
    pub fn is_callers(&self) -> bool {
        self.dir.is_some() || self.cf.is_some()
    }

    /// The arguments that name this root to another of our programs.
    pub fn arguments(&self) -> Vec<OsString> {
        let mut words = Vec::new();
        let mut put = |name: &str, value: OsString| words.extend([OsString::from(name), value]);
        if let Some(dir) = &self.dir {
            put("--root", dir.into());
        }
        if let Some(file) = &self.cf {
            put("--cf", (&file.path).into());
            file.options.iter().for_each(|option| put("--cf-option", option.into()));
        }
        words
    }

    /// etc/em.toml.
    pub fn settings_file(&self) -> PathBuf {
        self.etc.join("em.toml")
    }

    /// Run state: process ids, sockets, no mail.
    pub fn run(&self) -> PathBuf {
        self.spool.join("run")
    }
}

/// One row of the table, as data.
#[derive(Debug, Clone)]
pub struct Key {
    /// `smtp`.
    pub section: &'static str,
    /// `message_size`.
    pub name: &'static str,
    /// What the value must be, in words.
    pub kind: &'static str,
    /// What it does.
    pub doc: &'static str,
    /// The default, as TOML.
    pub default: String,
}

impl Key {
    /// `smtp.message_size`.
    pub fn path(&self) -> String {
        format!("{}.{}", self.section, self.name)
    }
}

/// What each section is about, for the sample file and the manual.
pub fn section_doc(section: &str) -> &'static str {
    SECTIONS.iter().find(|(name, _)| *name == section).map_or("", |(_, doc)| *doc)
}

/// The word among `known` that was most likely meant.
pub fn nearest<'a>(wrong: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|word| (distance(wrong, word), word))
        .filter(|(d, word)| *d <= 1 + word.len() / 3)
        .min_by_key(|(d, _)| *d)
        .map(|(_, word)| word)
}

/// Levenshtein's distance, a swap of neighbours counted as two.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, cb) in b.iter().enumerate() {
            let cost = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = cost.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

/// The commented sample file: every key with its default, switched off.
pub fn sample() -> String {
    let mut text = String::from(
        "# ExpressMail settings. Every key is shown with its default; take the # away to change one.\n\
         # em.toml(5) explains; `emconf check` finds mistakes; `emconf show` prints what is in force.\n",
    );
    let mut section = "";
    for key in keys() {
        if key.section != section {
            section = key.section;
            text.push_str(&format!("\n# {}\n[{section}]\n", section_doc(section)));
        }
        text.push_str(&format!("\n# {}\n# {} = {}\n", key.doc, key.name, key.default));
    }
    text.push_str(&format!("\n# {}\n[jobs]\n", section_doc("jobs")));
    text.push_str("\n# sweep = \"every 1h: emqueue sweep\"\n");
    text.push_str("# expire = \"at 03:07: emuser expire --all\"\n");
    text.push_str("# purge = \"at 03:37: emuser purge --all\"\n");
    text.push_str("# tls-report = \"at 04:12: emqueue tls-report\"\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_reads_back_as_itself() {
        let mut settings = Settings::default();
        for key in keys() {
            let value: toml_edit::Value = key.default.parse().unwrap();
            assert_eq!(settings.set(key.section, key.name, &value), Some(Ok(())), "{}", key.path());
            assert_eq!(settings.print(key.section, key.name).unwrap(), key.default);
            assert!(key.doc.ends_with('.'), "{}", key.path());
        }
        assert_eq!(settings, Settings::default());
    }

    #[test]
    fn the_nearest_word_is_found() {
        assert_eq!(nearest("mesage_size", ["message_size", "recipients"].into_iter()), Some("message_size"));
        assert_eq!(nearest("xyzzy", ["message_size", "recipients"].into_iter()), None);
    }
}
