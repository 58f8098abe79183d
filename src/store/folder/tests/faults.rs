//! Each file operation fails in turn, once and for good; then another process opens the mailbox. A fault that lasts, followed by a
//! new process, is what a crash at that operation looks like.

use super::*;
use crate::fsx::fault::{Plan, with_plan};
use std::collections::BTreeMap;

/// What a mailbox holds: text and flags by identifier.
type Holds = BTreeMap<u32, (String, u8)>;

fn holds(folder: &Folder) -> Holds {
    let snapshot = folder.rescan().unwrap();
    snapshot.entries.iter().map(|e| (e.uid.number(), (text(folder, e.uid), e.flags.system))).collect()
}

struct World {
    home: tempfile::TempDir,
    keeps_trash: bool,
}

impl World {
    fn new(keeps_trash: bool) -> World {
        let world = World { home: home(), keeps_trash };
        deliver(world.home.path(), "new/1.a", "a\n");
        deliver(world.home.path(), "new/2.b", "b\n");
        deliver(world.home.path(), "cur/3.c:2,S", "c\n");
        let inbox = world.inbox();
        inbox.take_recent().unwrap();
        mark(&inbox, &set(&[2]), System::Deleted);
        append(&world.archive(), "old\n");
        world
    }

    fn open(&self, dir: &str) -> Folder {
        Folder::open(self.home.path(), &self.home.path().join(dir), settings(self.keeps_trash)).unwrap()
    }

    fn inbox(&self) -> Folder {
        self.open("Maildir")
    }

    fn archive(&self) -> Folder {
        self.open("Maildir/.Other")
    }
}

/// Runs an action with each operation failing; `check` gets the mailboxes before and after, and whether the action said that it was done.
fn every_fault(
    keeps_trash: bool,
    action: impl Fn(&Folder, &Folder) -> bool,
    check: impl Fn(&Holds, &Holds, &Holds, bool, &World),
) {
    for form in ["EIO:#", "ENOSPC:#+"] {
        for n in 1..400 {
            let world = World::new(keeps_trash);
            let (inbox, archive) = (world.inbox(), world.archive());
            let (before, archived) = (holds(&inbox), holds(&archive));
            let plan = Plan::parse(&form.replace('#', &n.to_string())).unwrap();
            let (done, struck) = with_plan(plan, || action(&inbox, &archive));
            // As after a crash: nothing is written on the way out.
            std::mem::forget((inbox, archive));
            let (inbox, archive) = (world.inbox(), world.archive());
            let (after, archived_after) = (holds(&inbox), holds(&archive));
            for (uid, kept) in &archived {
                assert_eq!(archived_after.get(uid), Some(kept), "{form} {n}");
            }
            for (uid, (text, _)) in &after {
                if let Some((old, _)) = before.get(uid) {
                    assert_eq!(text, old, "{form} {n}: identifier {uid} was used again");
                }
            }
            check(&before, &after, &archived_after, done, &world);
            assert_eq!(holds(&inbox), after, "{form} {n}: stable");
            assert_eq!(holds(&world.inbox()), after, "{form} {n}: the same for everybody");
            if !struck {
                assert!(done, "{form} {n}: nothing failed");
                break;
            }
            assert!(n < 399);
        }
    }
}

fn texts(holds: &Holds) -> Vec<&str> {
    let mut texts: Vec<&str> = holds.values().map(|(text, _)| text.as_str()).collect();
    texts.sort_unstable();
    texts
}

#[test]
fn appends_are_all_there_or_none() {
    for count in [1, 2, 5] {
        let action = |inbox: &Folder, _: &Folder| {
            let mut messages = Vec::new();
            for n in 0..count {
                let mut draft = inbox.draft();
                if draft.write(format!("new {n}\n").as_bytes()).is_err() {
                    return false;
                }
                let date = Some(Timestamp(5));
                messages.push(Append { draft, wire_size: 7, system: 8, keywords: vec![], internal_date: date });
            }
            inbox.append(messages).is_ok_and(|uids| uids.len() == count)
        };
        every_fault(false, action, |before, after, _, done, _| {
            let fresh: Vec<_> = after.iter().filter(|(uid, _)| !before.contains_key(uid)).collect();
            assert!(before.iter().all(|(uid, kept)| after.get(uid) == Some(kept)));
            assert!(fresh.len() == count || (fresh.is_empty() && !done), "{fresh:?}");
            assert!(fresh.iter().all(|(_, (text, flags))| text.starts_with("new ") && *flags == 8));
        });
    }
}

#[test]
fn a_replacement_is_the_old_message_or_the_new_one_never_both_nor_neither() {
    for (uid, keeps_trash) in [(1, false), (3, false), (3, true)] {
        let action = |inbox: &Folder, _: &Folder| {
            let mut draft = inbox.draft();
            if draft.write(b"fresh\n").is_err() {
                return false;
            }
            let message = Append { draft, wire_size: 7, system: 8, keywords: vec!["k".into()], internal_date: None };
            inbox.replace(Uid::new(uid).unwrap(), message).is_ok()
        };
        every_fault(keeps_trash, action, |before, after, _, done, world| {
            let others: Vec<_> = before.iter().filter(|(other, _)| **other != uid).collect();
            assert!(others.iter().all(|(uid, kept)| after.get(*uid) == Some(*kept)), "{after:?}");
            assert_eq!(after.len(), before.len(), "{after:?}");
            let is_new = texts(after).contains(&"fresh\n");
            assert_eq!(texts(after).contains(&before[&uid].0.as_str()), !is_new, "{after:?}");
            assert!(is_new || !done);
            if is_new {
                assert_eq!(after.values().find(|(text, _)| text == "fresh\n").unwrap().1, 8);
            }
            let trash = crate::store::Trash::of(world.home.path()).list().unwrap();
            assert!(!keeps_trash || !is_new || trash.iter().any(|kept| kept.uid.number() == uid));
        });
    }
}

#[test]
fn flags_that_were_acknowledged_stay() {
    let action = |inbox: &Folder, _: &Folder| {
        inbox.store(&set(&[1, 3]), FlagChange { how: How::Add, system: 1, keywords: &["k"] }, None).is_ok()
    };
    every_fault(false, action, |before, after, _, done, _| {
        for (uid, (text, flags)) in before {
            let with = if *uid == 2 { *flags } else { flags | 1 };
            let now = after[uid].1;
            assert!(now == with || (!done && now == *flags), "{text}");
        }
    });
}

#[test]
fn settling_loses_neither_files_nor_flags() {
    let action = |inbox: &Folder, _: &Folder| inbox.settle(10).is_ok_and(|left| !left);
    every_fault(false, action, |before, after, _, done, world| {
        assert_eq!(before, after);
        assert!(!done || files(&world.home.path().join("Maildir/new")).is_empty());
    });
}

#[test]
fn copies_that_were_acknowledged_are_there() {
    let action = |inbox: &Folder, archive: &Folder| inbox.copy(&set(&[1, 3]), archive).is_ok_and(|p| p.len() == 2);
    every_fault(false, action, |before, after, archived, done, _| {
        assert_eq!(before, after);
        assert!(!done || texts(archived) == ["a\n", "c\n", "old\n"]);
    });
}

#[test]
fn a_move_leaves_each_message_in_one_place_or_the_other() {
    let action = |inbox: &Folder, archive: &Folder| inbox.move_to(&set(&[1, 3]), archive).is_ok_and(|p| p.len() == 2);
    every_fault(false, action, |_, after, archived, done, _| {
        let mut all = [texts(after), texts(archived)].concat();
        all.sort_unstable();
        assert_eq!(all, ["a\n", "b\n", "c\n", "old\n"]);
        assert!(!done || texts(after) == ["b\n"]);
        for (text, flags) in archived.values() {
            assert!(text != "c\n" || *flags == System::Seen as u8);
        }
    });
}

#[test]
fn a_move_within_a_mailbox_leaves_each_message_once() {
    let action = |inbox: &Folder, _: &Folder| inbox.move_to(&set(&[1, 3]), inbox).is_ok_and(|p| p.len() == 2);
    every_fault(false, action, |_, after, archived, done, _| {
        assert_eq!(texts(after), ["a\n", "b\n", "c\n"]);
        assert_eq!(texts(archived), ["old\n"]);
        assert!(!done || after.keys().copied().collect::<Vec<_>>() == [2, 4, 5]);
        let seen = after.values().find(|(text, _)| text == "c\n").unwrap();
        assert_eq!(seen.1, System::Seen as u8);
    });
}

#[test]
fn an_expunge_that_was_acknowledged_stays_and_fills_the_trash() {
    for keeps_trash in [false, true] {
        let action = |inbox: &Folder, _: &Folder| inbox.expunge(None).is_ok_and(|gone| gone == set(&[2]));
        every_fault(keeps_trash, action, |before, after, _, done, world| {
            assert!(!done || !after.contains_key(&2));
            assert!([1, 3].iter().all(|uid| after.get(uid) == before.get(uid)));
            let trash = crate::store::Trash::of(world.home.path()).list().unwrap();
            assert_eq!(trash.len(), usize::from(keeps_trash && !after.contains_key(&2)));
        });
    }
}

#[test]
fn the_first_look_at_a_mailbox_may_fail_anywhere() {
    for form in ["EIO:#", "ENOSPC:#+"] {
        for n in 1..100 {
            let home = home();
            deliver(home.path(), "cur/1.a:2,S", "a\n");
            deliver(home.path(), "new/2.b", "b\n");
            let plan = Plan::parse(&form.replace('#', &n.to_string())).unwrap();
            let (first, struck) = with_plan(plan, || {
                let folder = open(home.path());
                let first = folder.refresh().ok();
                std::mem::forget(folder);
                first
            });
            let second = open(home.path()).refresh().unwrap();
            assert_eq!(uids(&second), [1, 2]);
            if let Some(first) = first {
                assert_eq!((first.uid_validity, uids(&first)), (second.uid_validity, uids(&second)), "{form} {n}");
            }
            if !struck {
                break;
            }
            assert!(n < 99);
        }
    }
}

#[test]
fn restoring_from_the_trash_may_fail_anywhere() {
    for form in ["EIO:#", "ENOSPC:#+"] {
        for n in 1..100 {
            let world = World::new(true);
            world.inbox().expunge(None).unwrap();
            let trash = crate::store::Trash::of(world.home.path());
            let message = trash.list().unwrap().remove(0);
            let inbox = world.inbox();
            inbox.refresh().unwrap();
            let plan = Plan::parse(&form.replace('#', &n.to_string())).unwrap();
            let (restored, struck) = with_plan(plan, || trash.restore(&message, &inbox));
            std::mem::forget(inbox);
            let after = holds(&world.inbox());
            assert_eq!(texts(&after).contains(&"b\n"), trash.list().unwrap().is_empty());
            assert!(restored.is_err() || texts(&after).contains(&"b\n"));
            if !struck {
                break;
            }
            assert!(n < 99);
        }
    }
}
