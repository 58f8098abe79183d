//! The small text files of a tree: subscriptions and special uses.

use super::naming;
use crate::fsx;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;

/// The file of subscriptions.
pub const SUBSCRIPTIONS: &str = "subscriptions";
const COURIER_SUBSCRIPTIONS: &str = "courierimapsubscribed";
const SPECIAL: &str = "em-special";
const LIMIT: u64 = 16 << 20;

/// The subscribed folders, by their names on disk (INBOX: empty).
///
/// `subscriptions` is Dovecot's file: in version 1 a line is the name on disk without its first dot; in version 2 (first line `V\t2`)
/// levels are parted by tabs. Where it is missing, Courier's list counts.
pub fn subscriptions(root: &Path) -> io::Result<BTreeSet<String>> {
    if let Some(text) = read(&root.join(SUBSCRIPTIONS))? {
        let is_tabbed = text.starts_with("V\t2\n");
        let lines = text.lines().skip(usize::from(is_tabbed)).filter(|line| !line.is_empty());
        return Ok(lines
            .map(|line| from_line(&if is_tabbed { line.replace('\t', ".") } else { line.to_string() }))
            .collect());
    }
    let text = read(&root.join(COURIER_SUBSCRIPTIONS))?.unwrap_or_default();
    // INBOX.Sent is the folder .Sent there.
    let names = text.lines().filter(|line| !line.is_empty()).map(|line| match line.strip_prefix("INBOX.") {
        Some(rest) => format!(".{rest}"),
        None => from_line(line),
    });
    Ok(names.collect())
}

/// Writes the subscriptions, in version 1 of Dovecot's form.
pub fn write_subscriptions(root: &Path, folders: &BTreeSet<String>) -> io::Result<()> {
    let mut text = String::new();
    for folder in folders {
        text.push_str(folder.strip_prefix('.').unwrap_or(naming::INBOX));
        text.push('\n');
    }
    fsx::replace(&root.join(SUBSCRIPTIONS), text.as_bytes(), 0o600)
}

fn from_line(line: &str) -> String {
    if line == naming::INBOX { String::new() } else { format!(".{line}") }
}

/// The special uses (RFC 6154) of folders, by their names on disk: lines `\Sent .Sent`.
pub fn special_uses(root: &Path) -> io::Result<BTreeMap<String, String>> {
    let text = read(&root.join(SPECIAL))?.unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    Ok(lines.map(|(attribute, folder)| (folder.to_string(), attribute.to_string())).collect())
}

/// Writes the special uses.
pub fn write_special_uses(root: &Path, uses: &BTreeMap<String, String>) -> io::Result<()> {
    let text: String = uses.iter().map(|(folder, attribute)| format!("{attribute} {folder}\n")).collect();
    fsx::replace(&root.join(SPECIAL), text.as_bytes(), 0o600)
}

fn read(path: &Path) -> io::Result<Option<String>> {
    match fsx::read(path, LIMIT) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        other => Ok(Some(String::from_utf8_lossy(&other?).into_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_of_dovecot_and_courier_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let list = || subscriptions(dir.path()).unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(list(), Vec::<String>::new());
        std::fs::write(dir.path().join("courierimapsubscribed"), "INBOX\nINBOX.Sent\nINBOX.A.B\n").unwrap();
        assert_eq!(list(), ["", ".A.B", ".Sent"]);
        std::fs::write(dir.path().join("subscriptions"), "V\t2\n\nINBOX\nA\tB\n").unwrap();
        assert_eq!(list(), ["", ".A.B"]);
        std::fs::write(dir.path().join("subscriptions"), "A.B\n&U,BTFw-\n").unwrap();
        assert_eq!(list(), [".&U,BTFw-", ".A.B"]);
        write_subscriptions(dir.path(), &["".to_string(), ".A.B".to_string()].into()).unwrap();
        assert_eq!(list(), ["", ".A.B"]);
        assert_eq!(std::fs::read_to_string(dir.path().join("subscriptions")).unwrap(), "INBOX\nA.B\n");
    }
}
