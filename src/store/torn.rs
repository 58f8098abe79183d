//! Deliveries that a stop of the machine cut short.
//!
//! A delivery names its file before both are durable ([`super::deliver`]). When the machine itself stops in between (a power failure; the
//! end of a process does no harm), the name may stay with less than its text. Such a message was promised by nobody, and its sender
//! tries again, or by the queue, which delivers it again: it is no mail. The name tells the size that the file should have; only names of our own deliveries are believed,
//! and only those from before the machine started, since nothing else can leave them. Another program may have made a file shorter
//! on purpose.
//!
//! What is found is moved to `tmp/NAME.torn` and logged. No program of ours deletes it.

use super::folder::{delivery_time, size};
use crate::clock::Timestamp;
use crate::fsx;
use crate::log;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// Behind the name of a file that was set aside.
const SUFFIX: &str = ".torn";
/// How far the clock may have been set since the machine started.
const MARGIN: Duration = Duration::from_secs(60);

/// Finds them.
#[derive(Debug, Clone, Copy)]
pub struct Torn {
    until: Timestamp,
}

impl Torn {
    /// For this run of the machine.
    pub fn new() -> Torn {
        Torn { until: Timestamp::booted().after(MARGIN) }
    }

    /// True when this file in `new` of a folder is no message; it is then set aside.
    pub fn takes(self, folder: &Path, name: &[u8]) -> bool {
        if delivery_time(name).is_none_or(|time| time > self.until) {
            return false;
        }
        let Some(promised) = size(name, b",S=") else { return false };
        let file_name = OsStr::from_bytes(name);
        let path = folder.join("new").join(file_name);
        // What can't be looked at is for others to report.
        let Ok(metadata) = path.symlink_metadata() else { return false };
        if metadata.len() >= promised {
            return false;
        }
        let mut aside = file_name.to_os_string();
        aside.push(SUFFIX);
        let aside = folder.join("tmp").join(aside);
        let moved = fsx::rename(&path, &aside);
        let event = log::event("torn").field("file", aside.display()).field("octets", metadata.len());
        match moved {
            Ok(()) => event.error().write(),
            // Another process was first.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => event.field("reason", &e).error().write(),
        }
        true
    }

    /// True for a file in `tmp` that was set aside.
    pub fn is_aside(path: &Path) -> bool {
        path.file_name().is_some_and(|name| name.as_bytes().ends_with(SUFFIX.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_short_files_from_before_the_start_are_set_aside() {
        let home = tempfile::tempdir().unwrap();
        for dir in ["new", "tmp"] {
            std::fs::create_dir(home.path().join(dir)).unwrap();
        }
        let booted = Timestamp::booted();
        let (before, after) = (Timestamp(booted.0 - 5_000_000), Timestamp(booted.0 + 600_000_000));
        let table = [
            (super::super::name(before, "h", 5, 6), "", true),
            (super::super::name(before, "h", 5, 6), "1234", true),
            (super::super::name(before, "h", 5, 6), "12345", false),
            (super::super::name(before, "h", 5, 6), "123456", false),
            (super::super::name(after, "h", 5, 6), "", false),
            // A compressed message of another server's making: its S= is that of the text.
            ("1700000000.M1P2.host,S=5,W=6".to_string(), "12", false),
            ("1700000000.M1P2Q3_0123abcd.host".to_string(), "", false),
        ];
        for (name, text, expected) in table {
            let path = home.path().join("new").join(&name);
            std::fs::write(&path, text).unwrap();
            assert_eq!(Torn::new().takes(home.path(), name.as_bytes()), expected, "{name} {text:?}");
            let aside = home.path().join("tmp").join(format!("{name}.torn"));
            assert_eq!((path.exists(), aside.exists()), (!expected, expected));
            assert!(!expected || Torn::is_aside(&aside) && std::fs::read_to_string(&aside).unwrap() == text);
        }
        assert!(!Torn::new().takes(home.path(), b"missing"));
    }

    #[test]
    fn no_session_sees_a_delivery_that_was_cut_short() {
        use crate::store::{LOCK_PATIENCE, PopMailbox, Registry, StoreSettings, Tree};
        let settings = || StoreSettings {
            clock: Timestamp::now,
            host: "h".into(),
            keeps_trash: false,
            lock_patience: LOCK_PATIENCE,
        };
        let before = Timestamp(Timestamp::booted().0 - 5_000_000);
        for is_pop in [true, false] {
            let home = tempfile::tempdir().unwrap();
            let tree = Tree::open(std::sync::Arc::new(Registry::new(settings())), home.path()).unwrap();
            let new = home.path().join("Maildir/new");
            for (text, size) in [("a: b\n\nc\n", 8), ("a: b\n", 8), ("", 8)] {
                std::fs::write(new.join(super::super::name(before, "h", size, size)), text).unwrap();
            }
            let count = match is_pop {
                true => PopMailbox::open(home.path()).unwrap().len(),
                false => tree.folder("INBOX").unwrap().refresh().unwrap().len() as usize,
            };
            assert_eq!(count, 1, "POP3: {is_pop}");
            let aside = std::fs::read_dir(home.path().join("Maildir/tmp")).unwrap();
            assert_eq!(aside.filter(|entry| Torn::is_aside(&entry.as_ref().unwrap().path())).count(), 2);
        }
    }
}
