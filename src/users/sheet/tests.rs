//! Truth tables of sheets.

use super::*;
use crate::config::Site;
use crate::settings::{Root, Settings};
use crate::users::{Account, key};
use std::collections::BTreeMap;

fn site() -> Site {
    let mut settings = Settings::default();
    settings.server.domains = vec!["b.test".to_string()];
    Site { root: Root::under(std::path::Path::new("/r")), settings }
}

fn read(text: &str) -> (Vec<Wish>, Vec<Refused>) {
    wishes(&Sheet::read(text.as_bytes(), None).unwrap(), &site())
}

fn addresses(text: &str) -> Vec<String> {
    let (good, refused) = read(text);
    assert_eq!(refused, []);
    good.iter().map(|wish| wish.address.to_string()).collect()
}

#[test]
fn sheets_of_all_kinds_of_spreadsheets() {
    for text in [
        "address,name\na@b.test,A\nC@b.test,C\n",
        "\u{feff}address,name\r\na@b.test,A\r\nC@b.test,C",
        "name;Address;;\r\n;a@b.test;;\r\n;;;\r\n\r\nC;C@b.test;;\r\n",
        "sep=;\r\naddress;name\r\na;A\r\nc@b.test;\r\n",
        "\"address\"\t\"name\"\n\"a@b.test\"\t\"A, B\"\nc\t\n",
        "\n\naddress\na\nc\n",
        "Password Hash,ADDRESS\n,a\n,c\n",
    ] {
        assert_eq!(addresses(text), ["a@b.test", "c@b.test"], "{text:?}");
    }
    let utf16: Vec<u8> =
        "\u{feff}address\tname\r\na\tÄ\r\n".encode_utf16().flat_map(|unit| unit.to_le_bytes()).collect();
    let sheet = Sheet::read(&utf16, None).unwrap();
    let (good, _) = wishes(&sheet, &site());
    assert_eq!(good[0].values[0].1.as_deref(), Some("Ä"));
    let japanese = encoding_rs::SHIFT_JIS.encode("address,name\na,山田\n").0.into_owned();
    assert!(Sheet::read(&japanese, None).unwrap_err().message.contains("UTF-8"));
    let (good, _) = wishes(&Sheet::read(&japanese, Some(encoding_rs::SHIFT_JIS)).unwrap(), &site());
    assert_eq!(good[0].values[0].1.as_deref(), Some("山田"));
}

#[test]
fn mistakes_of_the_sheet_as_a_whole() {
    for (text, message) in [
        ("", "empty"),
        ("name,quota\nA,1\n", "no column address"),
        ("address,nmae\n", "no column is called \"nmae\""),
        ("address,name,Name\n", "a second column name"),
        ("address,name\na,\"A\nb,B\n", "not closed"),
        ("address,name\na,\"A\" B\n", "behind the closing quote"),
    ] {
        let error = Sheet::read(text.as_bytes(), None).unwrap_err();
        assert!(error.message.contains(message), "{text:?}: {error:?}");
    }
}

#[test]
fn refusals_name_line_and_column() {
    let text = "address,name,quota,password,action\n\
                a,\"two\nlines\",1G,secret,\n\
                b,=1+1,1G,secret,\n\
                c,C,lots,x,remove\n\
                d@else.test,D,1G,,\n\
                e,E,1G\n\
                f,F,1G,,,f\n\
                g,#REF!,,,\n\
                h,H,,\"a\tb\",\n\
                i,,,,\n\
                I,,,,\n";
    let (good, refused) = read(text);
    assert_eq!(good.len(), 1);
    let places: Vec<((usize, usize), &str)> = refused.iter().map(|r| (r.at, r.column)).collect();
    assert_eq!(
        places,
        [
            ((2, 3), "name"),
            ((4, 3), "name"),
            ((5, 5), "quota"),
            ((5, 12), "action"),
            ((6, 1), "address"),
            ((7, 1), ""),
            ((8, 10), ""),
            ((9, 3), "name"),
            ((10, 6), "password"),
            ((12, 1), "address"),
        ]
    );
    assert!(refused[1].reason.contains("formula"), "{refused:?}");
}

fn plan(text: &str, accounts: &mut BTreeMap<String, Account>) -> Outcome {
    let (good, refused) = read(text);
    assert_eq!(refused, []);
    let secrets = vec![Secret::None; good.len()];
    carry_out(&good, &secrets, accounts)
}

#[test]
fn rows_are_added_changed_removed_and_left_alone() {
    let mut accounts = BTreeMap::new();
    let text = "address,name,quota\na,A,1G\nc,C,\n";
    assert_eq!(plan(text, &mut accounts).added.len(), 2);
    let again = plan(text, &mut accounts);
    assert!(again.is_nothing() && again.unchanged == 2);
    let outcome =
        plan("address,action,name,aliases\na,update,B,x\nc,delete,,\nd,delete,,\ne,update,,\n", &mut accounts);
    assert_eq!(outcome.changed[0].1, ["name", "aliases"]);
    assert_eq!((outcome.removed.len(), outcome.unchanged, outcome.refused.len()), (1, 1, 1));
    // A column that is there and empty takes the value away; one that is not there leaves it.
    plan("address,name\na,\n", &mut accounts);
    let account = &accounts["a@b.test"];
    assert_eq!(
        (account.name(), account.field("quota"), account.field("aliases")),
        ("", Some("1073741824"), Some("x@b.test"))
    );
    let add = plan("address,action,name\na,add,\nf,add,F\n", &mut accounts);
    assert_eq!((add.unchanged, add.added.len()), (1, 1));
    assert_eq!(plan("address,action,name\na,add,Z\n", &mut accounts).refused.len(), 1);
}

#[test]
fn one_address_is_one_accounts() {
    let mut accounts = BTreeMap::new();
    plan("address,aliases\na,x\nc,\n", &mut accounts);
    for (text, refused) in [
        ("address,aliases\nc,x\n", 1),
        ("address,aliases\nc,a\n", 1),
        ("address,aliases\nx,\n", 1),
        ("address,aliases\na,\nc,x\n", 0),
        ("address,aliases\na,y\nc,y\nd,\n", 1),
    ] {
        let outcome = plan(text, &mut accounts.clone());
        assert_eq!(outcome.refused.len(), refused, "{text}: {outcome:?}");
    }
}

#[test]
fn what_is_written_is_read_again() {
    let mut account = Account::new(&crate::addr::Address::parse("a@b.test").unwrap());
    account.put("name", Some("=HYPERLINK(\"http://x\",\"y\")".to_string()));
    account.put("vacation", Some("-- away,\n\"back\" soon".to_string()));
    account.put("vacation_subject", Some("'+1".to_string()));
    account.put("keep_copy", Some("1".to_string()));
    account.put(
        "pw",
        Some(
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1"
                .to_string(),
        ),
    );
    for separator in SEPARATORS {
        let bytes = print([&account].into_iter(), WithSecrets::Yes, separator).unwrap();
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains("'=HYPERLINK") && text.contains("'-- away"), "{text}");
        let mut accounts = BTreeMap::new();
        plan(&text, &mut accounts);
        assert_eq!(accounts[&key(&account.address)], account);
    }
    let text = String::from_utf8(print([&account].into_iter(), WithSecrets::No, b',').unwrap()).unwrap();
    assert!(!text.contains("$6$"), "{text}");
    assert_eq!(guarded("'x"), "'x");
}
