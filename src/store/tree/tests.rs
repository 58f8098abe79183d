use super::*;
use crate::clock::Timestamp;
use crate::store::{Append, FlagChange, How, StoreSettings, Trash};
use std::time::Duration;

pub(super) fn tree(home: &Path, keeps_trash: bool) -> Tree {
    let settings = StoreSettings {
        clock: || Timestamp::from_seconds(1_800_000_000),
        host: "host".into(),
        keeps_trash,
        lock_patience: Duration::from_secs(10),
    };
    Tree::open(Arc::new(Registry::new(settings)), home).unwrap()
}

fn names(tree: &Tree) -> Vec<String> {
    tree.list().unwrap().into_iter().filter(|l| l.exists).map(|l| l.name).collect()
}

fn append(folder: &Folder, text: &str) {
    let mut draft = folder.draft();
    draft.write(text.as_bytes()).unwrap();
    let keywords = vec!["work".to_string()];
    let date = Some(Timestamp::from_seconds(900_000_000));
    folder.append(vec![Append { draft, wire_size: 3, system: 8, keywords, internal_date: date }]).unwrap();
}

#[test]
fn mailboxes_are_made_with_those_above_and_listed() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), false);
    assert_eq!(names(&tree), ["INBOX"]);
    tree.create("Archive/2024/v1.2", None).unwrap();
    tree.create("Sent/", Some("\\Sent")).unwrap();
    assert!(home.path().join("Maildir/.Archive.2024.v1&AC4-2/cur").is_dir());
    assert_eq!(names(&tree), ["Archive", "Archive/2024", "Archive/2024/v1.2", "INBOX", "Sent"]);
    for (name, error) in
        [("sent/", None), ("Sent", Some(true)), ("a*", Some(false)), ("inbox", Some(true)), ("", Some(false))]
    {
        match (tree.create(name, None), error) {
            (Ok(()), None) | (Err(TreeError::Exists), Some(true)) | (Err(TreeError::BadName), Some(false)) => {}
            (other, _) => panic!("{name}: {other:?}"),
        }
    }
    assert!(matches!(tree.create("Odd", Some("\\Sent\nx")), Err(TreeError::BadName)));
    tree.subscribe("Archive", true).unwrap();
    tree.subscribe("Nowhere/x", true).unwrap();
    std::fs::write(home.path().join("Maildir/.Sent/new/1.x"), "x").unwrap();
    let list = tree.list().unwrap();
    let find = |name: &str| list.iter().find(|l| l.name == name).unwrap().clone();
    assert!(find("Archive").has_children && find("Archive").is_subscribed && !find("Archive").is_marked);
    assert_eq!(find("Sent").special_use.as_deref(), Some("\\Sent"));
    assert!(find("Sent").is_marked);
    assert!(!find("Nowhere/x").exists && find("Nowhere/x").is_subscribed);
    tree.subscribe("Nowhere/x", false).unwrap();
    assert_eq!(std::fs::read_to_string(home.path().join("Maildir/subscriptions")).unwrap(), "Archive\n");
}

#[test]
fn folders_of_other_programs_can_be_opened_under_their_names() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), false);
    for disk in [".Caf\u{e9}", ".a&b", ".&ZeVnLIqe-.x"] {
        std::fs::create_dir_all(home.path().join("Maildir").join(disk).join("cur")).unwrap();
    }
    assert_eq!(names(&tree), ["Caf\u{e9}", "INBOX", "a&b", "\u{65e5}\u{672c}\u{8a9e}/x"]);
    for name in names(&tree) {
        append(&tree.folder(&name).unwrap(), "x\n");
    }
    let implied = tree.list().unwrap().into_iter().find(|l| l.name == "\u{65e5}\u{672c}\u{8a9e}").unwrap();
    assert!(!implied.exists && implied.has_children);
    assert!(matches!(tree.folder("\u{65e5}\u{672c}\u{8a9e}"), Err(TreeError::Missing)));
}

#[test]
fn a_mailbox_is_renamed_with_all_below_it_and_keeps_its_id() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), false);
    tree.create("a/b/c", Some("\\Archive")).unwrap();
    tree.create("ab", None).unwrap();
    append(&tree.folder("a/b/c").unwrap(), "x\n");
    let id = tree.folder("a/b/c").unwrap().mailbox_id().unwrap();
    let validity = tree.folder("a/b/c").unwrap().refresh().unwrap().uid_validity;
    assert!(matches!(tree.rename("a", "a/x"), Err(TreeError::Refused)));
    assert!(matches!(tree.rename("a", "ab"), Err(TreeError::Exists)));
    assert!(matches!(tree.rename("none", "x"), Err(TreeError::Missing)));
    tree.rename("a", "x/y").unwrap();
    assert_eq!(names(&tree), ["INBOX", "ab", "x", "x/y", "x/y/b", "x/y/b/c"]);
    let moved = tree.folder("x/y/b/c").unwrap();
    assert_eq!(moved.mailbox_id().unwrap(), id);
    assert_eq!((moved.refresh().unwrap().uid_validity, moved.refresh().unwrap().len()), (validity, 1));
    let list = tree.list().unwrap();
    assert_eq!(list.last().unwrap().special_use.as_deref(), Some("\\Archive"));
}

#[test]
fn renaming_inbox_moves_its_messages_only() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), false);
    tree.create("INBOX/sub", None).unwrap();
    append(&tree.folder("INBOX").unwrap(), "x\n");
    tree.rename("inbox", "old").unwrap();
    assert_eq!(names(&tree), ["INBOX", "INBOX/sub", "old"]);
    assert!(tree.folder("INBOX").unwrap().refresh().unwrap().is_empty());
    assert_eq!(tree.folder("old").unwrap().refresh().unwrap().len(), 1);
}

#[test]
fn deleted_mail_comes_back_from_the_trash_with_flags_and_dates() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), true);
    tree.create("Work", None).unwrap();
    tree.create("Work/below", None).unwrap();
    let folder = tree.folder("Work").unwrap();
    append(&folder, "a\n");
    append(&folder, "b\n");
    let first = [1].into_iter().collect();
    folder.store(&first, FlagChange { how: How::Add, system: 4, keywords: &[] }, None).unwrap();
    folder.expunge(None).unwrap();
    let validity = folder.refresh().unwrap().uid_validity;
    assert!(matches!(tree.delete("INBOX"), Err(TreeError::Refused)));
    tree.delete("Work").unwrap();
    assert_eq!(names(&tree), ["INBOX", "Work/below"]);
    assert!(matches!(folder.refresh(), Err(FolderError::Gone)));
    let trash = Trash::of(home.path());
    let list = trash.list().unwrap();
    assert_eq!(list.len(), 2);
    for message in &list {
        assert_eq!(Tree::name_of(&message.folder).as_deref(), Some("Work"));
    }
    tree.create("Work", None).unwrap();
    let again = tree.folder("Work").unwrap();
    assert!(again.refresh().unwrap().uid_validity > validity);
    for message in &list {
        trash.restore(message, &again).unwrap().unwrap();
        assert_eq!(trash.restore(message, &again).unwrap(), None);
    }
    assert!(trash.list().unwrap().is_empty());
    let snapshot = again.measure(&[1, 2].into_iter().collect(), true).unwrap();
    for entry in snapshot.entries.iter() {
        assert_eq!(snapshot.keywords.print(entry.flags).collect::<Vec<_>>(), ["\\Seen", "work"]);
        assert_eq!(entry.internal_date, Timestamp::from_seconds(900_000_000));
        assert_eq!(entry.size, 3);
    }
    assert_eq!(trash.purge(Timestamp::from_seconds(1_800_000_000), Duration::ZERO).unwrap(), 0);
    assert!(
        !home.path().join("Maildir").read_dir().unwrap().any(|e| e
            .unwrap()
            .file_name()
            .to_string_lossy()
            .starts_with(".."))
    );
}

#[test]
fn the_trash_is_purged_by_days() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), true);
    let inbox = tree.folder("INBOX").unwrap();
    append(&inbox, "a\n");
    inbox.store(&[1].into_iter().collect(), FlagChange { how: How::Add, system: 4, keywords: &[] }, None).unwrap();
    inbox.expunge(None).unwrap();
    let trash = Trash::of(home.path());
    let day = Duration::from_secs(86_400);
    let later = |days: u32| Timestamp::from_seconds(1_800_000_000).after(day * days);
    assert_eq!(trash.purge(later(7), day * 7).unwrap(), 0);
    assert_eq!(trash.list().unwrap().len(), 1);
    assert_eq!(trash.purge(later(8), day * 7).unwrap(), 1);
    assert!(trash.list().unwrap().is_empty());
    assert_eq!(home.path().join("trash").read_dir().unwrap().count(), 0);
}

#[test]
fn a_deletion_cut_short_is_finished_by_the_next_one() {
    let home = tempfile::tempdir().unwrap();
    let tree = tree(home.path(), true);
    tree.create("a", None).unwrap();
    tree.create("b", None).unwrap();
    append(&tree.folder("a").unwrap(), "x\n");
    std::fs::rename(home.path().join("Maildir/.a"), home.path().join("Maildir/..123.a")).unwrap();
    assert_eq!(names(&tree), ["INBOX", "b"]);
    tree.delete("b").unwrap();
    let list = Trash::of(home.path()).list().unwrap();
    assert_eq!(list.iter().map(|t| t.folder.as_str()).collect::<Vec<_>>(), [".a"]);
}
