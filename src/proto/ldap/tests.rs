//! Messages of a real server and of hostile ones.

use super::*;

/// Octets from hexadecimal digits.
fn octets(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn text(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[test]
fn requests_are_printed_as_the_rfc_has_them() {
    assert_eq!(bind(1, b"", b""), octets("30 0c 020101 60 07 020103 0400 8000"));
    assert_eq!(bind(200, b"cn=x", b"pw"), octets("30 13 020200c8 60 0d 020103 0404 636e3d78 8002 7077")[..].to_vec());
    assert_eq!(unbind(3), octets("30 05 020103 4200"));
    let question = Search {
        base: text("dc=x"),
        scope: Scope::Sub,
        deref: Deref::Never,
        size_limit: 2,
        time_limit: 0,
        names_only: false,
        filter: Filter::read(b"(a=b)").unwrap(),
        attributes: vec![text("m")],
    };
    let wanted =
        "30 27 020102 63 22 0404 64633d78 0a0102 0a0100 020102 020100 010100 a306 0401 61 0401 62 3003 0401 6d";
    assert_eq!(search(2, &question), octets(wanted));
}

/// An entry, a reference, the end of a search, a notice.
const SAID: &str = "30 1f 020102 64 1a 0404 64633d78 30 12 30 10 0404 6d61696c 31 08 0402 6140 0402 6240 \
    30 0f 020102 73 0a 0408 6c6461703a2f2f79 \
    30 0c 020102 65 07 0a0104 0400 0400 \
    30 0c 020100 78 07 0a0134 0400 0400";

fn said() -> Vec<(u32, Response)> {
    let end = |code| Outcome { code, text: Vec::new(), referrals: Vec::new() };
    vec![
        (
            2,
            Response::Entry(Entry { dn: text("dc=x"), attributes: vec![(text("mail"), vec![text("a@"), text("b@")])] }),
        ),
        (2, Response::Reference(vec![text("ldap://y")])),
        (2, Response::Done(end(4))),
        (0, Response::Notice(end(52))),
    ]
}

#[test]
fn a_conversation_reads_the_same_however_it_is_cut() {
    let whole = octets(SAID);
    for piece in [1, 2, 3, 7, 40, whole.len()] {
        let mut reader = Reader::default();
        let mut found = Vec::new();
        for octets in whole.chunks(piece) {
            reader.feed(octets);
            while let Some(message) = reader.message().unwrap() {
                found.push(message);
            }
        }
        assert_eq!(found, said(), "in pieces of {piece}");
        assert!(reader.is_empty());
    }
}

#[test]
fn a_referral_names_its_servers() {
    let mut reader = Reader::default();
    reader.feed(&octets("30 18 020101 61 13 0a010a 0400 0400 a3 0a 0408 6c6461703a2f2f79"));
    let outcome = Outcome { code: 10, text: Vec::new(), referrals: vec![text("ldap://y")] };
    assert_eq!(reader.message(), Ok(Some((1, Response::Bound(outcome)))));
}

#[test]
fn what_no_server_may_say_ends_it() {
    for hex in [
        "04 00",
        "30 00",
        "30 03 020101",
        "30 05 020101 4200",
        "30 05 0201ff 6100",
        "30 84 7f ff ff ff 02",
        "30 80",
        "30 0c 020101 65 07 020104 0400 0400",
        "30 0c 020101 65 07 0a0104 0400 0401",
        "30 0c 020101 65 07 0a01ff 0400 0400",
        "30 09 020101 64 04 0400 3101",
        "30 0b 020101 64 06 0400 3002 0500",
        "48 54 54 50",
    ] {
        let mut reader = Reader::default();
        reader.feed(&octets(hex));
        assert!(reader.message().is_err(), "{hex}");
    }
    let mut reader = Reader::default();
    reader.feed(&octets("30 84 00 10"));
    assert_eq!(reader.message(), Ok(None));
}
