use super::*;
use crate::fsx;
use crate::mailbox::{Entry, Flags, System};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicI64, Ordering};

mod faults;
mod model;
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
    assert_eq!(folder.take_recent().unwrap().recent_from, Uid::FIRST);
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

#[test]
fn appended_messages_keep_date_flags_and_size() {
    let home = home();
    let folder = open(home.path());
    let date = Timestamp::from_seconds(1_000_000_000);
    let mut message = add(&folder, "one\ntwo\n");
    message.internal_date = Some(date);
    message.system = System::Draft as u8;
    message.keywords = vec!["$Label1".into()];
    let added = folder.append(vec![message, add(&folder, "three\n")]).unwrap();
    assert_eq!(added, [uid(1), uid(2)]);
    let snapshot = folder.refresh().unwrap();
    let entry = snapshot.find(uid(1)).unwrap();
    assert_eq!((entry.internal_date, entry.size), (date, 10));
    assert!(entry.flags.has(System::Draft) && entry.flags.keywords == 1);
    let names = files(&home.path().join("Maildir/cur"));
    assert!(names.iter().any(|n| n.contains(",S=8,W=10:2,Da")), "{names:?}");
    assert!(files(&home.path().join("Maildir/tmp")).is_empty());
    // The file alone tells the date when everything else is lost.
    for name in files(&home.path().join("Maildir")).iter().filter(|n| n.starts_with("em-")) {
        std::fs::remove_file(home.path().join("Maildir").join(name)).unwrap();
    }
    let folder = open(home.path());
    let measured = folder.measure(&all(&folder), false).unwrap();
    assert!(measured.entries.iter().any(|e| e.internal_date == date && e.flags.has(System::Draft)));
}

#[test]
fn an_append_cut_short_behind_its_log_record_is_completed() {
    let home = home();
    let folder = open(home.path());
    append(&folder, "one\n");
    let name = files(&home.path().join("Maildir/cur")).remove(0);
    let base = name.split(':').next().unwrap();
    std::fs::rename(home.path().join("Maildir/cur").join(&name), home.path().join("Maildir/tmp").join(base)).unwrap();
    let again = open(home.path());
    assert_eq!(uids(&again.refresh().unwrap()), [1]);
    assert_eq!(text(&again, uid(1)), "one\n");
    assert_eq!(files(&home.path().join("Maildir/cur")), [name]);
}

#[test]
fn expunged_messages_are_told_to_who_comes_back() {
    let home = home();
    let folder = open(home.path());
    for _ in 0..5 {
        append(&folder, "x\n");
    }
    let since = mark(&folder, &set(&[1, 2, 4]), System::Deleted).snapshot.highest_modseq;
    assert_eq!(folder.expunge(Some(&set(&[2, 3]))).unwrap(), set(&[2]));
    assert_eq!(uids(&folder.refresh().unwrap()), [1, 3, 4, 5]);
    std::fs::remove_file(look::path(folder.dir(), &folder.known.lock().unwrap().reading.state, 3)).unwrap();
    assert_eq!(uids(&folder.rescan().unwrap()), [1, 3, 4]);
    assert_eq!(folder.expunge(None).unwrap(), set(&[1, 4]));
    assert_eq!(folder.expunged_since(since).unwrap(), Some(set(&[1, 2, 4, 5])));
    assert_eq!(open(home.path()).expunged_since(ModSeq::ZERO).unwrap(), Some(set(&[1, 2, 4, 5])));
    assert!(matches!(folder.text(uid(2)), Err(FolderError::Expunged)));
    assert_eq!(append(&folder, "y\n"), uid(6), "identifiers are not used again");
}

#[test]
fn copies_leave_behind_the_flags_that_may_not_be_set() {
    let home = home();
    let (inbox, archive) = (open(home.path()), other(home.path()));
    let mut message = add(&inbox, "a\n");
    message.system = 31;
    message.keywords = vec!["work".into()];
    inbox.append(vec![message]).unwrap();
    let seen = Flags::NONE.with(System::Seen);
    for (kept, shown) in [
        (Flags::ALL, vec!["\\Answered", "\\Flagged", "\\Deleted", "\\Seen", "\\Draft", "work"]),
        (seen, vec!["\\Seen"]),
        (Flags::ALL.minus(seen), vec!["\\Answered", "\\Flagged", "\\Deleted", "\\Draft", "work"]),
        (Flags::NONE, vec![]),
    ] {
        let pairs = inbox.copy_keeping(&set(&[1]), &archive, kept).unwrap();
        let snapshot = archive.rescan().unwrap();
        let flags = snapshot.find(pairs[0].1).unwrap().flags;
        assert_eq!(snapshot.keywords.print(flags).collect::<Vec<_>>(), shown);
    }
    let pairs = inbox.move_keeping(&set(&[1]), &archive, seen).unwrap();
    assert_eq!(archive.rescan().unwrap().find(pairs[0].1).unwrap().flags, seen);
}

#[test]
fn copies_are_links_and_moves_are_renames() {
    let home = home();
    let (inbox, archive) = (open(home.path()), other(home.path()));
    append(&archive, "old\n");
    archive.store(&set(&[1]), FlagChange { how: How::Add, system: 0, keywords: &["first"] }, None).unwrap();
    let date = Timestamp::from_seconds(900_000_000);
    let mut message = add(&inbox, "a\n");
    message.internal_date = Some(date);
    message.keywords = vec!["work".into()];
    inbox.append(vec![message, add(&inbox, "b\n")]).unwrap();
    mark(&inbox, &set(&[1]), System::Flagged);
    assert_eq!(inbox.copy(&set(&[1, 2, 9]), &archive).unwrap(), [(uid(1), uid(2)), (uid(2), uid(3))]);
    assert_eq!(uids(&inbox.refresh().unwrap()), [1, 2]);
    assert_eq!(inbox.move_to(&set(&[1]), &archive).unwrap(), [(uid(1), uid(4))]);
    assert_eq!(uids(&inbox.refresh().unwrap()), [2]);
    let snapshot = archive.refresh().unwrap();
    assert_eq!(uids(&snapshot), [1, 2, 3, 4]);
    for n in [2, 4] {
        let entry = snapshot.find(uid(n)).unwrap();
        assert_eq!(entry.internal_date, date);
        assert_eq!(snapshot.keywords.print(entry.flags).collect::<Vec<_>>(), ["\\Flagged", "work"]);
        assert_eq!(text(&archive, uid(n)), "a\n");
    }
    assert_eq!(inbox.copy(&set(&[2]), &inbox).unwrap(), [(uid(2), uid(3))]);
    assert_eq!(inbox.move_to(&set(&[2]), &inbox).unwrap(), [(uid(2), uid(4))]);
    assert_eq!(uids(&inbox.rescan().unwrap()), [3, 4]);
    assert_eq!(*open(home.path()).rescan().unwrap(), *inbox.refresh().unwrap());
    assert_eq!(*other(home.path()).rescan().unwrap(), *snapshot);
}

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
    let before = folder.take_recent().unwrap();
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

#[test]
fn cached_records_outlive_the_process_and_nothing_depends_on_them() {
    let home = home();
    let folder = open(home.path());
    for n in 0..200u32 {
        append(&folder, "x\n");
        folder.cache(uid(n + 1), format!("record {n}").repeat(1000).as_bytes());
    }
    assert_eq!(&*folder.cached(uid(200)).unwrap(), "record 199".repeat(1000).as_bytes());
    drop(folder);
    let folder = open(home.path());
    folder.refresh().unwrap();
    let mut reader = folder.cache_reader();
    for n in 0..200u32 {
        assert_eq!(&*reader.cached(uid(n + 1)).unwrap(), format!("record {n}").repeat(1000).as_bytes());
    }
    assert!(reader.cached(uid(201)).is_none());
    drop(reader);
    // A flipped bit costs one record.
    let path = home.path().join("Maildir/em-cache");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let again = open(home.path());
    again.refresh().unwrap();
    assert!(again.cached(uid(1)).is_none() && again.cached(uid(2)).is_some());
    // Most messages go: it is written anew.
    mark(&folder, &(1..=190).collect(), System::Deleted);
    folder.expunge(None).unwrap();
    folder.cache(uid(200), b"new");
    folder.flush_cache().unwrap();
    assert!(std::fs::metadata(&path).unwrap().len() < 200_000);
    assert_eq!(&*folder.cached(uid(200)).unwrap(), b"new");
    assert!(folder.cached(uid(199)).is_some() && folder.cached(uid(5)).is_none());
    std::fs::remove_file(&path).unwrap();
    assert!(open(home.path()).cached(uid(199)).is_none());
}

#[test]
fn a_dovecot_folder_is_taken_over() {
    let home = home();
    deliver(home.path(), "cur/1276533073.M242911P3632.kurkku:2,Fa", "x\n");
    deliver(home.path(), "cur/1276528487.M364837P9451.kurkku,S=1355,W=1394:2,S", "x\n");
    deliver(home.path(), "new/1276533074.M1P1.kurkku", "x\n");
    let list = "3 V1275660208 N25022 G1\n25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394\n25017 :1276533073.M242911P3632.kurkku:2,F\n25018 :5.gone\n";
    deliver(home.path(), "dovecot-uidlist", list);
    deliver(home.path(), "dovecot-keywords", "0 $Forwarded\n");
    let folder = open(home.path());
    let snapshot = folder.refresh().unwrap();
    assert_eq!(snapshot.uid_validity.number(), 1_275_660_208);
    assert_eq!(uids(&snapshot), [25_006, 25_017, 25_022]);
    let flags: Vec<Vec<&str>> = snapshot.entries.iter().map(|e| snapshot.keywords.print(e.flags).collect()).collect();
    assert_eq!(flags, [vec!["\\Seen"], vec!["\\Flagged", "$Forwarded"], vec![]]);
    assert_eq!(text(&folder, uid(25_017)), "x\n");
}

#[test]
fn a_courier_folder_is_taken_over() {
    let home = home();
    deliver(home.path(), "cur/124.y:2,S", "x\n");
    deliver(home.path(), "courierimapuiddb", "1 1398164000 9\n3 123.x,S=5\n8 124.y\n");
    std::fs::create_dir(home.path().join("Maildir/courierimapkeywords")).unwrap();
    deliver(home.path(), "courierimapkeywords/:list", "Work\n\n124.y:0\n");
    let folder = open(home.path());
    let snapshot = folder.refresh().unwrap();
    assert_eq!((snapshot.uid_validity.number(), snapshot.uid_next), (1_398_164_000, uid(9)));
    assert_eq!(uids(&snapshot), [8]);
    assert_eq!(snapshot.keywords.print(snapshot.entries[0].flags).collect::<Vec<_>>(), ["\\Seen", "Work"]);
    folder.settle(10).unwrap();
    assert_eq!(files(&home.path().join("Maildir/cur")), ["124.y:2,Sa"]);
}

/// The signatures that are kept, by identifier, of messages that exist.
fn signatures(folder: &Folder, rules: u32) -> std::collections::BTreeMap<u32, (Vec<u8>, Vec<u8>)> {
    let mut found = std::collections::BTreeMap::new();
    let snapshot = folder.refresh().unwrap();
    let see = |uid: Uid, header: &[u8], body: &[u8]| {
        found.insert(uid.number(), (header.to_vec(), body.to_vec()));
        snapshot.find(uid).is_some()
    };
    folder.signatures(rules, see).unwrap();
    found
}

fn keep(folder: &Folder, rules: u32, uids: std::ops::Range<u32>) {
    let mut signatures = Signatures::default();
    uids.for_each(|n| signatures.push(uid(n), &[n as u8; 8], &[n as u8; 64]));
    folder.keep_signatures(rules, signatures).unwrap();
}

#[test]
fn signatures_are_kept_until_they_are_damaged_or_of_other_rules() {
    let home = home();
    let folder = open(home.path());
    (0..8).for_each(|_| assert!(append(&folder, "x\n").number() > 0));
    assert!(signatures(&folder, 1).is_empty());
    keep(&folder, 1, 1..4);
    keep(&folder, 1, 4..9);
    let all = signatures(&folder, 1);
    assert_eq!(all.keys().copied().collect::<Vec<_>>(), (1..9).collect::<Vec<_>>());
    assert_eq!(all[&5], (vec![5; 8], vec![5; 64]));
    assert_eq!(signatures(&open(home.path()), 1), all);
    let path = home.path().join("Maildir/em-text");
    let whole = std::fs::read(&path).unwrap();
    // Wherever it is cut, what was whole before is still believed, and the next writer goes on behind it.
    for cut in 0..whole.len() {
        std::fs::write(&path, &whole[..cut]).unwrap();
        let left = signatures(&folder, 1);
        assert!(left.iter().all(|(uid, kept)| all[uid] == *kept), "cut at {cut}");
        std::fs::write(&path, &whole[..cut]).unwrap();
        keep(&folder, 1, 4..9);
        let again = signatures(&folder, 1);
        assert!(again.len() >= 5 && again.iter().all(|(uid, kept)| all[uid] == *kept), "cut at {cut}");
    }
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 4;
        std::fs::write(&path, &damaged).unwrap();
        let left = signatures(&folder, 1);
        assert!(left.iter().all(|(uid, kept)| all[uid] == *kept), "bit at {at}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert!(signatures(&folder, 2).is_empty());
    keep(&folder, 2, 1..3);
    assert_eq!((signatures(&folder, 2).len(), signatures(&folder, 1).len()), (2, 0));
}

#[test]
fn signatures_of_messages_that_are_gone_are_cleared_out() {
    let home = home();
    let folder = open(home.path());
    (0..3).for_each(|_| assert!(append(&folder, "x\n").number() > 0));
    let mut many = Signatures::default();
    (0..400).for_each(|n| many.push(uid(n % 3 + 1), &[n as u8; 8], &[1; 8192]));
    (4..8).for_each(|n| many.push(uid(n), &[1; 8], &[1; 8]));
    folder.keep_signatures(1, many).unwrap();
    mark(&folder, &(1..=2).collect(), System::Deleted);
    folder.expunge(None).unwrap();
    let path = home.path().join("Maildir/em-text");
    assert!(std::fs::metadata(&path).unwrap().len() > 3_000_000);
    assert_eq!(signatures(&folder, 1).len(), 7);
    assert!(std::fs::metadata(&path).unwrap().len() < 10_000);
    assert_eq!(signatures(&folder, 1).keys().copied().collect::<Vec<_>>(), [3]);
}
