//! What other programs, crashes and other versions leave behind.

use super::*;

#[test]
fn a_file_that_another_program_renames_is_still_found() {
    let home = home();
    let folder = open(home.path());
    append(&folder, "x\n");
    let cur = home.path().join("Maildir/cur");
    let name = files(&cur).remove(0);
    std::fs::rename(cur.join(&name), cur.join(format!("{name}S"))).unwrap();
    assert_eq!(text(&folder, uid(1)), "x\n");
    std::fs::rename(cur.join(format!("{name}S")), cur.join(&name)).unwrap();
    assert_eq!(folder.copy(&set(&[1]), &other(home.path())).unwrap().len(), 1);
}

#[test]
fn doubles_become_messages_of_their_own() {
    let home = home();
    deliver(home.path(), "cur/1.a:2,S", "first\n");
    let folder = open(home.path());
    folder.refresh().unwrap();
    deliver(home.path(), "new/1.a", "second\n");
    deliver(home.path(), "cur/1.a:2,F", "third\n");
    let snapshot = folder.rescan().unwrap();
    assert_eq!(snapshot.len(), 3);
    let mut texts: Vec<String> = snapshot.entries.iter().map(|e| text(&folder, e.uid)).collect();
    texts.sort();
    assert_eq!(texts, ["first\n", "second\n", "third\n"]);
    assert_eq!(*folder.rescan().unwrap(), *snapshot);
    // One file with two names is one message.
    let names = files(&home.path().join("Maildir/cur"));
    let link = format!("{}T", names[0]);
    std::fs::hard_link(home.path().join("Maildir/cur").join(&names[0]), home.path().join("Maildir/cur").join(link))
        .unwrap();
    assert_eq!(uids(&folder.rescan().unwrap()), uids(&snapshot));
}

#[test]
fn a_torn_tail_is_cut_and_a_damaged_batch_repaired() {
    let home = home();
    let path = home.path().join("Maildir/em-uids");
    let folder = open(home.path());
    append(&folder, "a\n");
    append(&folder, "b\n");
    let before = folder.refresh().unwrap();
    let mut log = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    log.write_all(b"A 3 9 - 1 - - .0 c 9.x:2,\n= 0000").unwrap();
    assert_eq!(*folder.refresh().unwrap(), *before);
    assert_eq!(*open(home.path()).refresh().unwrap(), *before);
    append(&folder, "c\n");
    assert_eq!(uids(&open(home.path()).refresh().unwrap()), [1, 2, 3]);
    drop(folder);
    let _ = std::fs::remove_file(home.path().join("Maildir/em-index"));
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.windows(3).position(|w| w == b"A 2").unwrap() + 2;
    bytes[at] = b'7';
    std::fs::write(&path, bytes).unwrap();
    let repaired = open(home.path()).refresh().unwrap();
    assert!(repaired.uid_validity > before.uid_validity);
    assert_eq!(repaired.len(), 3);
    assert!(home.path().join("Maildir/em-uids.damaged").exists());
    assert_eq!(*open(home.path()).refresh().unwrap(), *repaired);
}

#[test]
fn files_of_a_newer_version_are_left_alone() {
    for name in ["em-uids", "em-index"] {
        let home = home();
        let folder = open(home.path());
        append(&folder, "a\n");
        checkpoint::write(folder.dir(), &folder.known.lock().unwrap().reading.state, 0).unwrap();
        std::mem::forget(folder);
        let path = home.path().join("Maildir").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8] = if name == "em-uids" { b'2' } else { 2 };
        std::fs::write(&path, &bytes).unwrap();
        let before = files(&home.path().join("Maildir"));
        let folder = open(home.path());
        assert!(matches!(folder.refresh(), Err(FolderError::Newer(_))), "{name}");
        assert!(matches!(mark_error(&folder), FolderError::Newer(_)));
        drop(folder);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
        assert_eq!(files(&home.path().join("Maildir")), before);
    }
}

fn mark_error(folder: &Folder) -> FolderError {
    folder.store(&set(&[1]), FlagChange { how: How::Add, system: 1, keywords: &[] }, None).unwrap_err()
}

#[test]
fn a_log_that_has_grown_is_written_anew_and_readers_follow() {
    let home = home();
    let folder = open(home.path());
    let reader = open(home.path());
    append(&folder, "a\n");
    reader.refresh().unwrap();
    let mut largest = 0;
    for n in 0..3000 {
        let how = if n % 2 == 0 { How::Add } else { How::Remove };
        folder.store(&set(&[1]), FlagChange { how, system: 1, keywords: &[] }, None).unwrap();
        largest = largest.max(std::fs::metadata(home.path().join("Maildir/em-uids")).unwrap().len());
    }
    assert!(largest < 100_000, "{largest}");
    assert_eq!(*reader.refresh().unwrap(), *folder.refresh().unwrap());
    assert!(folder.refresh().unwrap().highest_modseq.number() > 3000);
}

#[test]
fn pop3_removes_what_imap_then_sees_expunged() {
    let home = home();
    deliver(home.path(), "new/1.a,S=2,W=3", "a\n");
    deliver(home.path(), "new/2.b,S=2,W=3", "b\n");
    let folder = open(home.path());
    let (before, _) = folder.take_recent().unwrap();
    mark(&folder, &set(&[1]), System::Seen);
    let pop = crate::store::PopMailbox::open(home.path()).unwrap();
    assert_eq!(pop.unique_id(0).unwrap(), "1.a");
    folder.settle(10).unwrap();
    pop.remove(&[0]).unwrap();
    assert_eq!(uids(&folder.rescan().unwrap()), [2]);
    assert_eq!(folder.expunged_since(before.highest_modseq).unwrap(), Some(set(&[1])));
}

#[test]
fn a_mailbox_that_was_removed_is_gone() {
    let home = home();
    let folder = other(home.path());
    append(&folder, "a\n");
    std::fs::remove_dir_all(home.path().join("Maildir/.Other")).unwrap();
    assert!(matches!(folder.refresh(), Err(FolderError::Gone)));
    assert!(matches!(mark_error(&folder), FolderError::Gone));
}

#[test]
fn a_lock_that_is_held_too_long_is_a_passing_error() {
    let home = home();
    let patience = Duration::from_millis(20);
    let settings = StoreSettings { lock_patience: patience, ..(*settings(false)).clone() };
    let folder = Folder::open(home.path(), &home.path().join("Maildir"), Arc::new(settings)).unwrap();
    age(&home.path().join("Maildir"));
    folder.refresh().unwrap();
    let held = fsx::Lock::wait(&home.path().join("Maildir/em-lock"), Duration::ZERO).unwrap();
    assert!(matches!(mark_error(&folder), FolderError::Busy));
    folder.refresh().unwrap();
    drop(held);
    assert!(folder.refresh().is_ok());
}
