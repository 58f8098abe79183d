//! What is written is read back as it was meant.

use super::*;
use proptest::prelude::*;

/// Writes a search key as a client would.
fn print(key: &SearchKey, out: &mut Vec<u8>) {
    let string = |word: &str, text: &[u8], out: &mut Vec<u8>| {
        out.extend_from_slice(format!("{word} {{{}+}}\r\n", text.len()).as_bytes());
        out.extend_from_slice(text);
    };
    let plain = |text: String, out: &mut Vec<u8>| out.extend_from_slice(text.as_bytes());
    match key {
        SearchKey::All => plain("ALL".into(), out),
        SearchKey::And(keys) => {
            for (index, key) in keys.iter().enumerate() {
                out.push(if index == 0 { b'(' } else { b' ' });
                print(key, out);
            }
            out.push(b')');
        }
        SearchKey::Or(keys) => {
            for (index, key) in keys.iter().enumerate() {
                let or = if index + 1 < keys.len() { "OR " } else { "" };
                plain(format!("{}{or}", if index > 0 { " " } else { "" }), out);
                let is_group = matches!(key, SearchKey::Or(_));
                out.extend(is_group.then_some(b'('));
                print(key, out);
                out.extend(is_group.then_some(b')'));
            }
        }
        SearchKey::Not(key) => {
            plain("NOT ".into(), out);
            print(key, out);
        }
        SearchKey::Numbers(Set::These(set)) => plain(set.to_string(), out),
        SearchKey::Uids(Set::These(set)) => plain(format!("UID {set}"), out),
        SearchKey::Has(flag) => plain(flag.name()[1..].to_string(), out),
        SearchKey::Lacks(flag) => plain(format!("UN{}", &flag.name()[1..]), out),
        SearchKey::Keyword(name) => plain(format!("KEYWORD {name}"), out),
        SearchKey::Subject(text) => string("SUBJECT", text, out),
        SearchKey::Body(text) => string("BODY", text, out),
        SearchKey::Address(AddressField::To, text) => string("TO", text, out),
        SearchKey::Larger(size) => plain(format!("LARGER {size}"), out),
        SearchKey::ModSeq(modseq) => plain(format!("MODSEQ {modseq}"), out),
        other => panic!("{other:?}"),
    }
}

fn sets() -> impl Strategy<Value = Set> {
    prop::collection::vec((1..=u32::MAX, 1..=u32::MAX), 1..5).prop_map(|ranges| {
        let text: Vec<String> =
            ranges.iter().map(|(a, b)| if a == b { a.to_string() } else { format!("{a}:{b}") }).collect();
        numbers(&text.join(",").replace(&u32::MAX.to_string(), "*"))
    })
}

fn keys() -> impl Strategy<Value = SearchKey> {
    let text = || prop::collection::vec(1..=255u8, 0..20).prop_map(|text| text.into_boxed_slice());
    let leaf = prop_oneof![
        Just(SearchKey::All),
        sets().prop_map(SearchKey::Numbers),
        sets().prop_map(SearchKey::Uids),
        Just(SearchKey::Has(System::Seen)),
        Just(SearchKey::Lacks(System::Draft)),
        "[a-z$]{1,8}".prop_map(|name| SearchKey::Keyword(name.into())),
        text().prop_map(SearchKey::Subject),
        text().prop_map(SearchKey::Body),
        text().prop_map(|text| SearchKey::Address(AddressField::To, text)),
        (0..=i64::MAX as u64).prop_map(SearchKey::Larger),
        (0..=i64::MAX as u64).prop_map(|n| SearchKey::ModSeq(ModSeq::new(n).unwrap())),
    ];
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 2..4).prop_map(SearchKey::And),
            prop::collection::vec(inner.clone(), 2..4).prop_map(SearchKey::Or),
            inner.prop_map(|key| SearchKey::Not(Box::new(key))),
        ]
    })
}

fn items() -> impl Strategy<Value = FetchItem> {
    let part = || prop::collection::vec(1..=u32::MAX, 0..4);
    let partial = || prop::option::of((0..=i64::MAX as u64, 1..=i64::MAX as u64));
    let text = prop_oneof![
        Just(SectionText::Header),
        Just(SectionText::Text),
        (prop::collection::vec("[!-9;-~]{1,9}", 1..4), any::<bool>())
            .prop_map(|(names, is_not)| SectionText::HeaderFields(names, is_not)),
    ];
    prop_oneof![
        Just(FetchItem::Envelope),
        Just(FetchItem::Rfc822Header),
        any::<bool>().prop_map(FetchItem::Preview),
        part().prop_map(FetchItem::BinarySize),
        (part(), partial(), any::<bool>()).prop_map(|(part, partial, is_peek)| FetchItem::Binary {
            part,
            partial,
            is_peek
        }),
        (part(), prop::option::of(text), partial(), any::<bool>()).prop_map(|(part, text, partial, is_peek)| {
            FetchItem::Section { section: Section { part, text }, partial, is_peek }
        }),
        (1..=u32::MAX, partial()).prop_map(|(n, partial)| FetchItem::Section {
            section: Section { part: vec![n], text: Some(SectionText::Mime) },
            partial,
            is_peek: false
        }),
    ]
}

proptest! {
    #[test]
    fn search_keys_read_as_they_are_written(key in keys()) {
        let mut wire = b"SEARCH ".to_vec();
        print(&key, &mut wire);
        match parse_with(&wire, ALL, Enabled::default()) {
            Ok(Parse::Run(Command::Search(search))) => prop_assert_eq!(search.key, key),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn fetch_items_read_as_they_are_written(items in prop::collection::vec(items(), 1..6), set in sets()) {
        let Set::These(numbers) = &set else { panic!() };
        let printed: Vec<String> = items.iter().map(FetchItem::to_string).collect();
        match parse(&format!("FETCH {numbers} ({})", printed.join(" "))) {
            Ok(Parse::Run(Command::Fetch(fetch))) => {
                prop_assert_eq!(fetch.items, items);
                prop_assert_eq!(fetch.messages.set, set);
            }
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn mailbox_names_read_as_they_are_printed(text in "[^\\p{Cc}\u{2028}\u{2029}]{1,30}", is_utf8 in any::<bool>()) {
        let enabled = if is_utf8 { Enabled::NONE.with(Extension::Imap4Rev2) } else { Enabled::NONE };
        let mut wire = b"DELETE ".to_vec();
        response::mailbox(&mut wire, &name(&text), enabled);
        prop_assert_eq!(parse_with(&wire, ALL, enabled), Ok(Parse::Run(Command::Delete(name(&text)))));
    }

    #[test]
    fn strings_read_as_they_are_printed(text in prop::collection::vec(1..=255u8, 0..1500), word in "[ -~]{0,20}") {
        let mut wire = b"SEARCH BODY ".to_vec();
        response::string(&mut wire, &text);
        wire.extend_from_slice(b" TEXT ");
        response::astring(&mut wire, word.as_bytes());
        let keys = vec![SearchKey::Body(text.into()), SearchKey::Text(word.as_bytes().into())];
        match parse_with(&wire, ALL, Enabled::NONE) {
            Ok(Parse::Run(Command::Search(search))) => prop_assert_eq!(search.key, SearchKey::And(keys)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn no_arguments_make_the_parser_panic(index in 0..40usize, text in "[ -~\\r\u{e9}]{0,40}") {
        const VERBS: [&str; 20] = ["FETCH 1 ", "SEARCH ", "STORE 1 ", "LIST ", "SELECT a ", "STATUS a ", "SORT (", "ID ", "NOTIFY SET ",
            "GETMETADATA ", "SETMETADATA ", "ESEARCH ", "UID FETCH ", "CREATE ", "ENABLE ", "SETACL ", "SETQUOTA ", "UID ", "LOGIN ", ""];
        let _ = parse(&format!("{}{text}", VERBS[index % VERBS.len()]));
    }
}
