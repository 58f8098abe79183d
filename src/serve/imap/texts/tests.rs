//! A search finds the same with the index, without it, and with one that is damaged.

use super::super::search::Prepared;
use super::super::selected::Selected;
use crate::clock::Timestamp;
use crate::mailbox::{ModSeq, Rights, UidSet, View};
use crate::msg::folding::fold_for_search;
use crate::msg::header_end;
use crate::msg::structure::Structure;
use crate::msg::text::{any_body_text, header_text};
use crate::proto::imap::{MailboxName, SearchKey};
use crate::serve::imap::hunt::Hunt;
use crate::store::{Registry, StoreSettings};
use proptest::prelude::*;
use std::path::Path;
use std::time::Duration;

/// Enough of them that the index is made.
const MESSAGES: usize = 80;

fn selected(home: &Path) -> Selected {
    let registry = Registry::new(StoreSettings {
        clock: Timestamp::now,
        host: "host".into(),
        keeps_trash: false,
        lock_patience: Duration::from_secs(10),
    });
    let folder = registry.open(home, &home.join("Maildir")).unwrap();
    Selected {
        name: MailboxName::new("INBOX").unwrap(),
        url_key: None,
        view: View::new(folder.refresh().unwrap()),
        folder,
        is_read_only: false,
        place: None,
        rights: Rights::ALL,
        told_rights: Rights::ALL,
        saved: UidSet::default(),
        recent: UidSet::default(),
        told: ModSeq::ZERO,
        limits: Default::default(),
        contexts: Vec::new(),
        news: None,
    }
}

fn find(selected: &Selected, key: &SearchKey) -> Vec<u32> {
    let prepared = Prepared::new(key, Some("UTF-8"), &selected.messages(), Timestamp::now(), false).unwrap();
    let mut hunt = Hunt::new(prepared, (1..=selected.view.snapshot().len()).collect());
    while !hunt.step(selected).unwrap() {}
    hunt.found().iter().collect()
}

/// The truth, by the simplest means.
fn holds(text: &str, key: &SearchKey) -> bool {
    let folded = |bytes: &[u8]| fold_for_search(std::str::from_utf8(bytes).unwrap());
    let in_body = |needle: &str| {
        any_body_text(text.as_bytes(), &Structure::of(text.as_bytes()), |piece| fold_for_search(piece).contains(needle))
    };
    match key {
        SearchKey::Body(needle) => in_body(&folded(needle)),
        SearchKey::Text(needle) => {
            let header = &text.as_bytes()[..header_end(text.as_bytes()).unwrap_or(text.len())];
            fold_for_search(&header_text(header)).contains(&folded(needle)) || in_body(&folded(needle))
        }
        SearchKey::Header(_, needle) => fold_for_search(text).contains(&folded(needle)),
        SearchKey::Not(key) => !holds(text, key),
        SearchKey::And(keys) => keys.iter().all(|key| holds(text, key)),
        SearchKey::Or(keys) => keys.iter().any(|key| holds(text, key)),
        _ => true,
    }
}

fn write(home: &Path, texts: &[String]) {
    for sub in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(home.join("Maildir").join(sub)).unwrap();
    }
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(home.join(format!("Maildir/cur/{}.M1P1.h:2,", 1_000_000 + number)), text).unwrap();
    }
}

fn any_word() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]{1,4}", "[あ-う]{1,3}", "[東京都]{1,3}", "[ｱ-ｳ]{1,2}", "[É-Ë]{1,2}", Just("ß".to_string())]
}

fn any_key() -> impl Strategy<Value = SearchKey> {
    let leaf = prop_oneof![
        any_word().prop_map(|word| SearchKey::Body(word.into_bytes().into())),
        any_word().prop_map(|word| SearchKey::Text(word.into_bytes().into())),
        Just(SearchKey::All),
    ];
    leaf.prop_recursive(3, 12, 3, |key| {
        prop_oneof![
            prop::collection::vec(key.clone(), 1..4).prop_map(SearchKey::And),
            prop::collection::vec(key.clone(), 1..4).prop_map(SearchKey::Or),
            key.prop_map(|key| SearchKey::Not(Box::new(key))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_search_finds_the_same_with_and_without_the_index(
        words in prop::collection::vec(prop::collection::vec(any_word(), 0..6), MESSAGES),
        keys in prop::collection::vec(any_key(), 1..6),
        flip in any::<prop::sample::Index>(),
    ) {
        let home = tempfile::tempdir().unwrap();
        let texts: Vec<String> =
            words.iter().map(|words| format!("Subject: {}\n\n{}\n", words.first().map_or("", |w| w), words.join(" "))).collect();
        write(home.path(), &texts);
        let index = home.path().join("Maildir/em-text");
        for key in &keys {
            let truth: Vec<u32> = (1..).zip(&texts).filter(|(_, text)| holds(text, key)).map(|(n, _)| n).collect();
            prop_assert_eq!(&find(&selected(home.path()), key), &truth);
            // Once more: now it is there, unless nothing had to be read.
            prop_assert_eq!(&find(&selected(home.path()), key), &truth);
            if let Some(mut bytes) = std::fs::read(&index).ok().filter(|bytes| !bytes.is_empty()) {
                let at = flip.index(bytes.len());
                bytes[at] ^= 1;
                std::fs::write(&index, &bytes).unwrap();
                prop_assert_eq!(&find(&selected(home.path()), key), &truth);
                bytes.truncate(at);
                std::fs::write(&index, &bytes).unwrap();
                prop_assert_eq!(&find(&selected(home.path()), key), &truth);
            }
        }
    }
}

#[test]
fn the_index_is_made_by_the_first_search_and_used_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..200).map(|n| format!("Subject: s{n}\n\nこの本文は東京{n}です\n")).collect();
    write(home.path(), &texts);
    let key = SearchKey::Body("東京77で".as_bytes().into());
    assert_eq!(find(&selected(home.path()), &key), [78]);
    assert!(home.path().join("Maildir/em-text").exists());
    // Of a message that the index rules out, the file is not opened: its text may be anything.
    for number in (0..200).filter(|n| *n != 77) {
        std::fs::write(home.path().join(format!("Maildir/cur/{}.M1P1.h:2,", 1_000_000 + number)), &texts[77]).unwrap();
    }
    let found = find(&selected(home.path()), &key);
    assert!(found.contains(&78) && found.len() < 20, "{found:?}");
    std::fs::remove_file(home.path().join("Maildir/em-text")).unwrap();
    assert_eq!(find(&selected(home.path()), &key).len(), 200);
}

#[test]
fn more_than_sixty_four_texts_are_asked_in_groups() {
    let home = tempfile::tempdir().unwrap();
    let texts: Vec<String> =
        (0..150).map(|n| format!("Subject: s\nMessage-ID: <{n:03}@x>\n\nnumber{n:03}\n")).collect();
    write(home.path(), &texts);
    let header = |n: usize| SearchKey::Header("Message-ID".into(), format!("<{n:03}@x>").into_bytes().into());
    let any = SearchKey::Or((0..140).map(header).collect());
    assert_eq!(find(&selected(home.path()), &any), (1..=140).collect::<Vec<u32>>());
    let all = SearchKey::And((0..140).map(|n| SearchKey::Not(Box::new(header(n)))).collect());
    assert_eq!(find(&selected(home.path()), &all), (141..=150).collect::<Vec<u32>>());
    let bodies =
        SearchKey::Or((0..140).map(|n| SearchKey::Body(format!("number{n:03}").into_bytes().into())).collect());
    assert_eq!(find(&selected(home.path()), &bodies), (1..=140).collect::<Vec<u32>>());
}
