use super::*;
use proptest::prelude::*;

fn address(text: &str) -> Address {
    Address::parse(text).unwrap()
}

#[test]
fn letters_and_their_groups() {
    for (text, shown) in [
        ("", ""),
        ("lrswida", "lrswiteda"),
        ("lrswikda", "lrswiktecda"),
        ("c", "kxc"),
        ("x", "xc"),
        ("t", "td"),
        ("lrswipkxtea", "lrswipkxtecda"),
        ("rrll", "lr"),
    ] {
        assert_eq!(Rights::parse(text).unwrap().to_string(), shown, "{text}");
    }
    for bad in ["q", "L", "lr ", "0", "é"] {
        assert_eq!(Rights::parse(bad), None, "{bad}");
    }
    assert_eq!(Rights::parse("lrswipkxtea"), Some(Rights::ALL));
    assert_eq!(Rights::letters().collect::<String>(), "lrswipkxtecda");
}

#[test]
fn flags_have_three_rights() {
    for (letters, system, has_keywords) in
        [("s", 8, false), ("t", 4, false), ("w", 19, true), ("swt", 31, true), ("lrie", 0, false)]
    {
        let mask = Rights::parse(letters).unwrap().flags();
        assert_eq!((mask.system, mask.keywords != 0), (system, has_keywords), "{letters}");
    }
}

#[test]
fn identifiers_are_accounts_or_anyone() {
    for (text, shown) in [
        ("bob", "bob@d.test"),
        ("BOB", "bob@d.test"),
        ("bob@other.test", "bob@other.test"),
        ("-bob", "-bob@d.test"),
        ("Anyone", "anyone"),
        ("-authenticated", "-anyone"),
        ("anyone@d.test", "anyone@d.test"),
        ("../../etc", "\"../../etc\"@d.test"),
    ] {
        assert_eq!(Subject::parse(text, "d.test").unwrap().to_string(), shown, "{text}");
    }
    for bad in ["", "-", "a\nb", "\"-x\"@d.test", "--x", "a@b@c", "x@", "@d.test", "a@../x", &"x".repeat(65)] {
        assert_eq!(Subject::parse(bad, "d.test"), None, "{bad:?}");
    }
}

#[test]
fn rights_are_given_and_taken() {
    let (acl, damaged) = Acl::parse(b"em-acl 1\nbob@d.test lrs\nanyone lrw\n-bob@d.test w\n-anyone r\n");
    assert!(damaged.is_empty());
    let rights = |who: &str, is_neighbour| acl.rights(&address(who), is_neighbour).to_string();
    assert_eq!(rights("bob@d.test", true), "ls");
    assert_eq!(rights("carol@d.test", true), "lw");
    assert_eq!(rights("carol@e.test", false), "");
    assert_eq!(rights("bob@d.testx", false), "");
}

#[test]
fn what_is_damaged_gives_nothing() {
    let bob = |text: &str| {
        let (acl, damaged) = Acl::parse(text.as_bytes());
        (acl.rights(&address("bob@d.test"), true).to_string(), damaged)
    };
    for (text, rights, damaged) in [
        ("em-acl 1\n", "", vec![]),
        ("em-acl 1\nbob@d.test lr", "lr", vec![]),
        ("em-acl 1\n# note\n\nbob@d.test lr\n", "lr", vec![]),
        ("em-acl 1\nbob@d.test lrQ\nanyone l\n", "l", vec![2]),
        ("em-acl 1\nbob lr\n", "", vec![2]),
        ("em-acl 1\nbob@d.test\n", "", vec![2]),
        ("em-acl 1\nbob@d.test  lr\n", "", vec![2]),
        ("em-acl 1\n bob@d.test lr\n", "", vec![2]),
        ("em-acl 1\nanyone lrw\n-bob@d.test w%\n", "", vec![3]),
        ("em-acl 1\nanyone lrw\n -bob@d.test w\n", "", vec![3]),
        ("em-acl 1\nbob@d.test lr\n-%zz w\n", "", vec![3]),
        ("em-acl 1\nauthenticated lr\n", "", vec![2]),
        ("em-acl 1\n--bob@d.test lr\n", "", vec![2]),
        ("em-acl 2\nbob@d.test lr\n", "", vec![1]),
        ("bob@d.test lr\n", "", vec![1]),
        ("", "", vec![1]),
    ] {
        assert_eq!(bob(text), (rights.to_string(), damaged), "{text:?}");
    }
    assert!(Acl::parse(b"em-acl 2\n").0.is_newer() && !Acl::parse(b"x\n").0.is_newer());
    let (mut acl, _) = Acl::parse(b"em-acl 1\nanyone lr\n-bob@ w\n");
    assert!(acl.change(&Subject::parse("carol@d.test", "").unwrap(), AclChange::Add(Rights::READ)));
    assert_eq!(acl.print(), "em-acl 1\ncarol@d.test r\nanyone lr\n");
}

#[test]
fn changes_and_their_limit() {
    let mut acl = Acl::default();
    let bob = Subject::parse("bob", "d.test").unwrap();
    let steps = [
        (AclChange::Replace(Rights::parse("lrs").unwrap()), "lrs"),
        (AclChange::Add(Rights::parse("d").unwrap()), "lrsted"),
        (AclChange::Remove(Rights::parse("te").unwrap()), "lrs"),
        (AclChange::Remove(Rights::parse("lrswa").unwrap()), ""),
    ];
    for (change, shown) in steps {
        assert!(acl.change(&bob, change));
        assert_eq!(acl.rights(&address("bob@d.test"), true).to_string(), shown);
    }
    assert_eq!(acl, Acl::default());
    let some = AclChange::Add(Rights::READ);
    for number in 0..ACL_LIMIT {
        assert!(acl.change(&Subject::parse(&format!("u{number}"), "d.test").unwrap(), some));
    }
    assert!(!acl.change(&bob, some) && !acl.names(&bob.identifier));
    assert!(acl.change(&Subject::parse("u7", "d.test").unwrap(), AclChange::Add(Rights::LOOKUP)));
}

proptest! {
    #[test]
    fn any_text_is_read_without_harm(text in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Acl::parse(&text);
        let _ = Acl::parse(&[b"em-acl 1\n", text.as_slice()].concat());
    }

    #[test]
    fn lists_are_read_as_they_were_written(names in proptest::collection::vec("[a-z -]?[^@\\p{Cc}]{0,6}", 1..6), bits in 1u16..2048) {
        let mut acl = Acl::default();
        for name in &names {
            if let Some(subject) = Subject::parse(name, "d.test") {
                acl.change(&subject, AclChange::Add(Rights(bits)));
            }
        }
        let (read, damaged) = Acl::parse(acl.print().as_bytes());
        prop_assert_eq!(read, acl);
        prop_assert!(damaged.is_empty());
    }
}
