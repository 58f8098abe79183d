//! Messages that come, go and are copied.

use super::*;

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
fn who_appends_to_its_selected_mailbox_takes_what_is_recent_in_it() {
    let home = home();
    deliver(home.path(), "new/1.a", "x\n");
    let folder = open(home.path());
    folder.take_recent().unwrap();
    deliver(home.path(), "new/2.b", "x\n");
    folder.rescan().unwrap();
    let (added, recent) = folder.append_taking_recent(vec![add(&folder, "y\n"), add(&folder, "z\n")]).unwrap();
    assert_eq!((added, recent), (vec![uid(3), uid(4)], set(&[2, 3, 4])));
    assert_eq!(open(home.path()).refresh().unwrap().recent_from, uid(5));
    append(&folder, "for somebody else\n");
    assert_eq!(folder.refresh().unwrap().recent_from, uid(5));
}

/// So many that a batch is applied while it is written.
#[test]
fn what_is_done_with_thousands_is_done_with_each() {
    const COUNT: u32 = 5000;
    let home = home();
    (0..COUNT).for_each(|n| deliver(home.path(), &format!("cur/{}.a:2,F", 1_000_000 + n), &format!("{n}\n")));
    let (folder, target) = (open(home.path()), other(home.path()));
    assert_eq!(folder.refresh().unwrap().len(), COUNT);
    assert_eq!(*open(home.path()).refresh().unwrap(), *folder.refresh().unwrap(), "the log tells the same");
    let cur = home.path().join("Maildir/cur");
    std::fs::remove_file(cur.join("1000010.a:2,F")).unwrap();
    std::fs::rename(cur.join("1003000.a:2,F"), cur.join("1003000.a:2,S")).unwrap();
    let pairs = folder.copy(&(1..=COUNT).collect(), &target).unwrap();
    let copied: Vec<Uid> = (1..=COUNT).filter(|n| *n != 11).map(uid).collect();
    assert_eq!(pairs.iter().map(|(old, _)| *old).collect::<Vec<_>>(), copied);
    assert!(pairs.iter().map(|(_, new)| new.number()).eq(1..COUNT));
    for (old, new) in [pairs[0], pairs[10], pairs[2999], pairs[COUNT as usize - 2]] {
        assert_eq!(text(&target, new), format!("{}\n", old.number() - 1));
    }
    assert_eq!(*target.refresh().unwrap(), *other(home.path()).refresh().unwrap());
    let moved = folder.move_to(&set(&[1, 2, 3]), &target).unwrap();
    assert_eq!(moved.len(), 3);
    let rest: UidSet = (4..=COUNT).filter(|n| *n != 11).collect();
    mark(&folder, &rest, System::Deleted);
    std::fs::remove_file(cur.join("1004000.a:2,F")).unwrap();
    let gone = folder.expunge(None).unwrap();
    assert!(gone.contains(COUNT) && rest.len() - gone.len() <= 1);
    assert!(folder.rescan().unwrap().entries.is_empty() && files(&cur).is_empty());
    assert_eq!(target.rescan().unwrap().len(), COUNT + 2);
}
