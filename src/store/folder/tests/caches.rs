//! The cache of records, and the signatures of texts.

use super::*;

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
