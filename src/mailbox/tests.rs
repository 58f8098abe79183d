use super::*;
use crate::clock::Timestamp;
use proptest::prelude::*;
use std::sync::Arc;

fn uid(n: u32) -> Uid {
    Uid::new(n).unwrap()
}

/// A mailbox with these identifiers and modification sequences.
fn snapshot(entries: &[(u32, u64)]) -> Arc<Snapshot> {
    let entry = |(n, modseq): &(u32, u64)| Entry {
        uid: uid(*n),
        flags: Flags::NONE,
        modseq: ModSeq::new(*modseq).unwrap(),
        internal_date: Timestamp(0),
        save_date: Timestamp(0),
        size: 10,
    };
    Arc::new(Snapshot {
        uid_validity: UidValidity::new(7).unwrap(),
        uid_next: uid(entries.last().map_or(1, |e| e.0 + 1)),
        highest_modseq: ModSeq::new(entries.iter().map(|e| e.1).max().unwrap_or(1)).unwrap(),
        recent_from: Uid::LAST,
        keywords: Keywords::default(),
        entries: entries.iter().map(entry).collect(),
    })
}

#[test]
fn sets_are_read_as_written() {
    for text in ["1", "*", "1:*", "*:4", "2,4:7,9,12:*", "4294967294", "7:4294967295"] {
        assert_eq!(SeqSet::parse(text.as_bytes()).unwrap().to_string(), text);
    }
    for text in ["", "0", "01", "a", "1,", ",1", "1:", ":1", "1::2", "1:2:3", "-1", "4294967296", "1 ,2", "12345678901"]
    {
        assert_eq!(SeqSet::parse(text.as_bytes()), Err(SetError::Syntax), "{text}");
    }
    assert_eq!(SeqSet::parse("1,".repeat(60_000).as_bytes()), Err(SetError::TooLong));
}

#[test]
fn star_is_the_largest_number_in_use() {
    for (text, largest, ranges) in [
        ("1:*", 5, vec![(1, 5)]),
        ("*", 5, vec![(5, 5)]),
        ("9:*", 5, vec![(5, 9)]),
        ("*:2", 5, vec![(2, 5)]),
        ("5:3,1,2", 9, vec![(1, 5)]),
        ("*", 0, vec![]),
        ("6:4294967295", 5, vec![(6, u32::MAX)]),
    ] {
        assert_eq!(SeqSet::parse(text.as_bytes()).unwrap().resolve(largest), ranges, "{text}");
    }
}

#[test]
fn a_set_means_numbers_or_identifiers() {
    let mailbox = snapshot(&[(3, 1), (5, 1), (9, 1)]);
    let set = |text: &str| SeqSet::parse(text.as_bytes()).unwrap();
    assert_eq!(mailbox.by_number(&set("2:*")).unwrap().to_string(), "2:3");
    assert_eq!(mailbox.by_number(&set("4")), None);
    assert_eq!(mailbox.by_uid(&set("4:9")).to_string(), "2:3");
    assert_eq!(mailbox.by_uid(&set("100:*")).to_string(), "3");
    assert_eq!(mailbox.by_uid(&set("4,6:8")).to_string(), "");
    let empty = snapshot(&[]);
    assert_eq!(empty.by_number(&set("1:*")), None);
    assert!(empty.by_uid(&set("1:*")).is_empty());
    assert_eq!(mailbox.number(uid(9)), Some(3));
    assert_eq!(mailbox.at(0), None);
}

#[test]
fn uid_sets_join_what_is_next_to_each_other() {
    let mut set = UidSet::default();
    for n in [5, 6, 9, 7, 7, 1] {
        set.push(n);
    }
    assert_eq!(set.to_string(), "1,5:7,9");
    assert_eq!(set.len(), 5);
    assert!(set.contains(6) && !set.contains(8));
    assert_eq!(set.iter().collect::<Vec<_>>(), [1, 5, 6, 7, 9]);
}

#[test]
fn keywords_keep_their_places() {
    let keywords = Keywords::default().with("$Forwarded").unwrap().with("work").unwrap();
    assert_eq!(keywords.find("WORK"), Some(1));
    let flags = Flags { system: 0, keywords: 0b10 }.with(System::Seen);
    assert_eq!(keywords.print(flags).collect::<Vec<_>>(), ["\\Seen", "work"]);
    for bad in ["", "\\Seen", "two words", "a(", "a%", "a*", "a\"", "a]", "\u{fc}"] {
        assert_eq!(keywords.with(bad), None, "{bad}");
    }
    let full = Keywords::new((0..100).map(|i| format!("k{i}").into()));
    assert_eq!(full.names().len(), KEYWORDS_LIMIT);
    assert_eq!(full.with("more"), None);
}

#[test]
fn a_view_tells_expunges_first_and_from_the_top() {
    let mut view = View::new(snapshot(&[(1, 1), (2, 1), (3, 1), (4, 1)]));
    let changes = view.advance(snapshot(&[(2, 1), (4, 7), (5, 8)]), true);
    let uids = [1, 3].into_iter().collect();
    assert_eq!(
        changes,
        [Change::Expunged { numbers: vec![3, 1], uids }, Change::Exists(3), Change::Recent(0), Change::Flags(vec![2])]
    );
}

#[test]
fn a_view_that_may_not_tell_expunges_keeps_every_number() {
    let mut view = View::new(snapshot(&[(1, 1), (2, 1), (3, 1)]));
    let later = snapshot(&[(1, 1), (3, 5), (4, 6)]);
    assert_eq!(view.advance(later.clone(), false), [Change::Exists(4), Change::Recent(0), Change::Flags(vec![3])]);
    assert!(view.is_ghost(uid(2)));
    assert_eq!(view.snapshot().number(uid(4)), Some(4));
    assert_eq!(view.advance(later.clone(), false), []);
    let uids = [2].into_iter().collect();
    assert_eq!(view.advance(later.clone(), true), [Change::Expunged { numbers: vec![2], uids }]);
    assert_eq!(view.snapshot(), &later);
    assert_eq!(view.advance(later, true), []);
}

#[test]
fn a_view_that_holds_new_messages_tells_all_else() {
    let mut view = View::new(snapshot(&[(1, 1), (2, 1), (3, 1)]));
    view.hold_new(true);
    let later = snapshot(&[(1, 1), (3, 5), (4, 6)]);
    let uids = [2].into_iter().collect();
    let changes = view.advance(later.clone(), true);
    assert_eq!(changes, [Change::Expunged { numbers: vec![2], uids }, Change::Flags(vec![2])]);
    assert_eq!((view.snapshot().len(), view.is_behind()), (2, true));
    assert_eq!(view.advance(later.clone(), true), []);
    // Nothing is left that the client knows, and the new one still waits.
    let uids = [1, 3].into_iter().collect();
    let changes = view.advance(snapshot(&[(4, 6)]), true);
    assert_eq!(changes, [Change::Expunged { numbers: vec![2, 1], uids }]);
    assert_eq!(view.advance(snapshot(&[(4, 6), (5, 7)]), true), []);
    view.hold_new(false);
    assert_eq!(view.advance(snapshot(&[(4, 6), (5, 7)]), true), [Change::Exists(2), Change::Recent(0)]);
    assert!(!view.is_behind());
}

proptest! {
    /// A client that applies what it is told always has the same list as the server's view.
    #[test]
    fn a_client_that_listens_knows_the_mailbox(steps in prop::collection::vec((prop::collection::btree_set(1u32..40, 0..30), any::<bool>(), any::<bool>()), 1..8)) {
        let mut client: Vec<u32> = Vec::new();
        let mut view = View::new(snapshot(&[]));
        let mut seen_before = std::collections::BTreeSet::new();
        let mut base = 0;
        for (members, may_expunge, holds_new) in steps {
            view.hold_new(holds_new);
            // Identifiers are never used again: what was gone comes back under new ones.
            let kept: Vec<u32> = client.iter().copied().filter(|u| members.contains(&(u % 40))).collect();
            base += 40;
            let fresh = members.iter().map(|m| m + base).filter(|u| seen_before.insert(*u));
            let entries: Vec<(u32, u64)> = kept.into_iter().filter(|u| !view.is_ghost(uid(*u))).chain(fresh).map(|u| (u, 1)).collect();
            let latest = snapshot(&entries);
            for change in view.advance(latest, may_expunge) {
                match change {
                    Change::Expunged { numbers, .. } => {
                        prop_assert!(may_expunge);
                        for n in numbers { client.remove(n as usize - 1); }
                    }
                    Change::Exists(n) => {
                        prop_assert!(!holds_new);
                        let known = client.len();
                        client.extend((known as u32..n).map(|i| view.snapshot().at(i + 1).unwrap().uid.number()));
                    }
                    _ => {}
                }
            }
            let shown: Vec<u32> = view.snapshot().entries.iter().map(|e| e.uid.number()).collect();
            prop_assert_eq!(&client, &shown);
        }
    }
}
