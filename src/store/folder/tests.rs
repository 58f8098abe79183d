use super::*;
use crate::fsx;
use crate::mailbox::{Entry, Flags, System};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering};

mod caches;
mod faults;
mod messages;
mod model;
mod repair;
mod takeover;
mod threads;

/// A clock that goes one second a call, so that dates differ.
fn clock() -> Timestamp {
    static NOW: AtomicI64 = AtomicI64::new(1_800_000_000);
    Timestamp::from_seconds(NOW.fetch_add(1, Ordering::SeqCst))
}

fn settings(keeps_trash: bool) -> Arc<StoreSettings> {
    Arc::new(StoreSettings { clock, host: "host".into(), keeps_trash, lock_patience: Duration::from_secs(10) })
}

/// An account's home with an INBOX.
fn home() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for sub in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(dir.path().join("Maildir").join(sub)).unwrap();
        std::fs::create_dir_all(dir.path().join("Maildir/.Other").join(sub)).unwrap();
    }
    dir
}

fn open(home: &Path) -> Folder {
    Folder::open(home, &home.join("Maildir"), settings(false)).unwrap()
}

fn other(home: &Path) -> Folder {
    Folder::open(home, &home.join("Maildir/.Other"), settings(false)).unwrap()
}

/// Another program delivers.
fn deliver(home: &Path, name: &str, text: &str) {
    std::fs::write(home.join("Maildir").join(name), text).unwrap();
}

fn add(folder: &Folder, text: &str) -> Append {
    let mut draft = folder.draft();
    draft.write(text.as_bytes()).unwrap();
    let wire_size = crate::dot::crlf_size(text.as_bytes());
    Append { draft, wire_size, system: 0, keywords: vec![], internal_date: None }
}

fn append(folder: &Folder, text: &str) -> Uid {
    folder.append(vec![add(folder, text)]).unwrap()[0]
}

fn text(folder: &Folder, uid: Uid) -> String {
    let mut text = String::new();
    folder.text(uid).unwrap().read_to_string(&mut text).unwrap();
    text
}

fn uids(snapshot: &Snapshot) -> Vec<u32> {
    snapshot.entries.iter().map(|e| e.uid.number()).collect()
}

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

fn set(uids: &[u32]) -> UidSet {
    uids.iter().copied().collect()
}

fn all(folder: &Folder) -> UidSet {
    folder.refresh().unwrap().entries.iter().map(|e| e.uid).collect()
}

fn mark(folder: &Folder, uids: &UidSet, flag: System) -> FlagOutcome {
    folder.store(uids, FlagChange { how: How::Add, system: flag as u8, keywords: &[] }, None).unwrap()
}

fn files(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(dir)
        .map(|d| d.map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

/// Makes a folder look as if nothing had happened in it for a while.
fn age(dir: &Path) {
    for place in Place::ALL {
        let dir = File::open(dir.join(place.dir())).unwrap();
        dir.set_modified(std::time::SystemTime::now() - Duration::from_secs(60)).unwrap();
    }
}

#[test]
fn messages_get_identifiers_at_first_sight_in_order_of_arrival() {
    let home = home();
    deliver(home.path(), "new/20.M1P1.h", "b\n");
    deliver(home.path(), "cur/9.M5P1.h:2,FS", "a\n");
    deliver(home.path(), "new/.hidden", "x");
    let folder = open(home.path());
    let first = folder.refresh().unwrap();
    assert_eq!(uids(&first), [1, 2]);
    assert!(first.entries[0].flags.has(System::Seen) && first.entries[0].flags.has(System::Flagged));
    assert_eq!(first.entries[0].size, Entry::UNKNOWN_SIZE);
    deliver(home.path(), "new/10.M1P1.h,S=2,W=3", "c\n");
    let second = folder.refresh().unwrap();
    assert_eq!(uids(&second), [1, 2, 3]);
    assert_eq!(second.entries[2].size, 3);
    assert!(second.highest_modseq > first.highest_modseq);
    assert_eq!(text(&folder, uid(3)), "c\n");
    assert!(Arc::ptr_eq(&second, &folder.refresh().unwrap()), "nothing changed: the same snapshot");
    let measured = folder.measure(&all(&folder), true).unwrap();
    assert_eq!(measured.entries.iter().map(|e| e.size).collect::<Vec<_>>(), [3, 3, 3]);
    assert_eq!(measured.highest_modseq, second.highest_modseq);
    assert_eq!(folder.usage().unwrap(), (3, 6));
}

#[test]
fn another_process_sees_the_same_and_a_lost_checkpoint_changes_nothing() {
    let home = home();
    let folder = open(home.path());
    for n in 0..50 {
        deliver(home.path(), &format!("new/{n}.M1P1.h"), "x\n");
    }
    mark(&folder, &set(&[]), System::Seen);
    let snapshot = folder.refresh().unwrap();
    mark(&folder, &set(&[3, 5]), System::Answered);
    let validity = snapshot.uid_validity;
    let snapshot = folder.refresh().unwrap();
    assert_eq!(*open(home.path()).refresh().unwrap(), *snapshot);
    drop(folder);
    let _ = std::fs::remove_file(home.path().join("Maildir/em-index"));
    assert_eq!(*open(home.path()).refresh().unwrap(), *snapshot);
    for name in ["em-uids", "em-index", "em-lock"] {
        let _ = std::fs::remove_file(home.path().join("Maildir").join(name));
    }
    let fresh = open(home.path()).refresh().unwrap();
    assert!(fresh.uid_validity > validity);
    assert_eq!(fresh.len(), 50);
}

#[test]
fn a_lost_log_leaves_flags_and_keywords_but_a_new_validity() {
    let home = home();
    let folder = open(home.path());
    let first = append(&folder, "a\n");
    let change = FlagChange { how: How::Add, system: System::Flagged as u8, keywords: &["work"] };
    folder.store(&set(&[1]), change, None).unwrap();
    let before = folder.refresh().unwrap();
    checkpoint::write(folder.dir(), &folder.known.lock().unwrap().reading.state, 0).unwrap();
    std::fs::remove_file(home.path().join("Maildir/em-uids")).unwrap();
    let after = folder.refresh().unwrap();
    assert!(after.uid_validity > before.uid_validity);
    assert_eq!(after.find(first).unwrap().flags, before.find(first).unwrap().flags);
    assert_eq!(after.keywords, before.keywords);
}

#[test]
fn flags_are_written_to_names_later_and_changes_of_both_sides_stand() {
    let home = home();
    deliver(home.path(), "new/1.a", "x\n");
    deliver(home.path(), "cur/2.b:2,F", "x\n");
    let folder = open(home.path());
    assert_eq!(folder.take_recent().unwrap().0.recent_from, Uid::FIRST);
    assert_eq!(folder.refresh().unwrap().recent_from, uid(3));
    mark(&folder, &set(&[2]), System::Seen);
    assert_eq!(files(&home.path().join("Maildir/cur")), ["2.b:2,F"]);
    // Another program answers it and takes the mark off, while our flag is not in the name.
    std::fs::rename(home.path().join("Maildir/cur/2.b:2,F"), home.path().join("Maildir/cur/2.b:2,R")).unwrap();
    let snapshot = folder.rescan().unwrap();
    let both = Flags::NONE.with(System::Seen).with(System::Answered);
    assert_eq!(snapshot.find(uid(2)).unwrap().flags, both);
    assert!(!folder.settle(100).unwrap());
    assert_eq!(files(&home.path().join("Maildir/cur")), ["1.a:2,", "2.b:2,RS"]);
    assert!(files(&home.path().join("Maildir/new")).is_empty());
    let modseq = snapshot.highest_modseq;
    assert_eq!(folder.rescan().unwrap().highest_modseq, modseq, "our own renames are no change");
    assert_eq!(open(home.path()).rescan().unwrap().highest_modseq, modseq);
}

#[test]
fn what_others_wrote_behind_the_flags_stays() {
    let home = home();
    deliver(home.path(), "cur/1.a:2,PS", "x\n");
    deliver(home.path(), "cur/2.b", "x\n");
    let folder = open(home.path());
    folder.refresh().unwrap();
    mark(&folder, &set(&[1, 2]), System::Flagged);
    while folder.settle(1).unwrap() {}
    assert_eq!(files(&home.path().join("Maildir/cur")), ["1.a:2,FPS", "2.b:2,F"]);
    assert_eq!(text(&folder, uid(1)), "x\n");
    assert_eq!(text(&open(home.path()), uid(1)), "x\n");
}

#[test]
fn keywords_have_letters_and_those_beyond_the_26th_live_in_the_log() {
    let home = home();
    let folder = open(home.path());
    append(&folder, "x\n");
    let names: Vec<String> = (0..70).map(|n| format!("k{n}")).collect();
    let keywords: Vec<&str> = names.iter().map(String::as_str).collect();
    let outcome =
        folder.store(&set(&[1]), FlagChange { how: How::Replace, system: 0, keywords: &keywords[..30] }, None);
    assert!(!outcome.unwrap().is_out_of_keywords);
    folder.settle(10).unwrap();
    assert!(files(&home.path().join("Maildir/cur"))[0].ends_with(":2,abcdefghijklmnopqrstuvwxyz"));
    let outcome = folder.store(&set(&[1]), FlagChange { how: How::Add, system: 0, keywords: &keywords }, None).unwrap();
    assert!(outcome.is_out_of_keywords);
    let again = open(home.path()).rescan().unwrap();
    assert_eq!(again.entries[0].flags.keywords, u64::MAX);
    // Unknown ones are not learnt to be removed.
    let outcome =
        folder.store(&set(&[1]), FlagChange { how: How::Remove, system: 0, keywords: &["no", "k1"] }, None).unwrap();
    assert_eq!(outcome.snapshot.entries[0].flags.keywords, !2);
}

#[test]
fn store_leaves_alone_what_was_changed_since() {
    let home = home();
    let folder = open(home.path());
    for _ in 0..3 {
        append(&folder, "x\n");
    }
    let before = folder.refresh().unwrap().highest_modseq;
    mark(&folder, &set(&[2]), System::Seen);
    let change = FlagChange { how: How::Add, system: System::Flagged as u8, keywords: &[] };
    let outcome = folder.store(&set(&[1, 2, 3, 99]), change, Some(before)).unwrap();
    assert_eq!(outcome.changed, set(&[1, 3]));
    assert_eq!(outcome.modified, set(&[2]));
    let highest = outcome.snapshot.highest_modseq;
    let outcome = folder.store(&set(&[1, 3]), change, None).unwrap();
    assert!(outcome.changed.is_empty());
    assert_eq!(outcome.snapshot.highest_modseq, highest, "nothing changed: no new number");
}
