//! Responses whole and in pieces; and servers that do what none may.

use super::*;
use crate::mailbox::System;

fn events(octets: &[u8], piece: usize) -> Result<Vec<Event>, ServerError> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for part in octets.chunks(piece) {
        reader.feed(part);
        while let Some(event) = reader.event()? {
            match (found.last_mut(), event) {
                (Some(Event::Octets(before)), Event::Octets(more)) => before.extend(more),
                (_, event) => found.push(event),
            }
        }
    }
    assert!(reader.is_empty());
    Ok(found)
}

fn atom(text: &str) -> Value {
    Value::Atom(text.to_string())
}

const DIALOGUE: &[u8] = b"* OK [CAPABILITY IMAP4rev1] ready {5}\r\n\
+ go on\r\n\
* LIST (\\HasNoChildren \\Sent) \".\" {6}\r\nSe\"nt)\r\n\
* 3 FETCH (UID 7 BODY[] {12}\r\nA: b\r\n\r\n(x{) FLAGS (\\Seen $Work \\Recent) INTERNALDATE \" 7-Feb-1994 21:52:25 -0800\" RFC822.SIZE 12)\r\n\
* 4 FETCH (BODY[] \"a\\\"b\" UID 8)\r\n\
A1 NO [AUTHENTICATIONFAILED] no\r\n";

#[test]
fn a_dialogue_reads_the_same_however_it_is_cut() {
    let whole = events(DIALOGUE, DIALOGUE.len()).unwrap();
    for piece in 1..40 {
        assert_eq!(events(DIALOGUE, piece).unwrap(), whole, "{piece}");
    }
    assert_eq!(whole[0], Event::Status(Status::Ok, "[CAPABILITY IMAP4rev1] ready {5}".into()));
    assert_eq!(whole[1], Event::Continue("go on".into()));
    let attributes = Value::List(vec![atom("\\HasNoChildren"), atom("\\Sent")]);
    let text = |t: &[u8]| Value::Text(t.to_vec());
    assert_eq!(whole[2], Event::Data(vec![atom("LIST"), attributes, text(b"."), text(b"Se\"nt)")]));
    assert_eq!(whole[3..5], [Event::Body(12), Event::Octets(b"A: b\r\n\r\n(x{)".to_vec())]);
    let Event::Data(data) = &whole[5] else { panic!("{whole:?}") };
    let fetched = Fetched::read(data).unwrap();
    assert_eq!((fetched.uid, fetched.size, fetched.streamed), (Some(7), Some(12), Some(12)));
    assert_eq!(fetched.flags, Some((System::Seen as u8, vec!["$Work".to_string()])));
    assert_eq!(fetched.internal_date.unwrap().rfc3339(), "1994-02-08T05:52:25.000000Z");
    let Event::Data(data) = &whole[6] else { panic!("{whole:?}") };
    assert_eq!(Fetched::read(data).unwrap().text.unwrap(), b"a\"b");
    assert_eq!(whole[7], Event::Tagged("A1".into(), Status::No, "[AUTHENTICATIONFAILED] no".into()));
}

#[test]
fn hostile_servers_meet_limits() {
    for bad in [
        vec![b'x'; LINE_LIMIT + 2],
        b"* LIST () \"/\" {99999999999}\r\n".to_vec(),
        [b"* X ".as_slice(), &[b'('; 100], b"\r\n"].concat(),
        b"* X (a\r\n".to_vec(),
        b"* X a)\r\n".to_vec(),
        b"* X \"a\r\n".to_vec(),
        b"nonsense\r\n".to_vec(),
    ] {
        let mut reader = Reader::default();
        reader.feed(&bad);
        assert!(reader.event().is_err(), "{}", bad[..bad.len().min(40)].escape_ascii());
    }
    let mut many = Reader::default();
    many.feed(b"* X");
    let mut result = Ok(None);
    for _ in 0..20 {
        many.feed(b" {60000}\r\n");
        many.feed(&vec![b'a'; 60000]);
        result = many.event();
        if result.is_err() {
            break;
        }
    }
    assert!(result.is_err());
}

#[test]
fn dates_and_codes_and_strings() {
    assert_eq!(date_time(b"17-Jul-1996 02:44:25 -0700").unwrap().rfc3339(), "1996-07-17T09:44:25.000000Z");
    for bad in
        ["", "17-Jul-1996", "17-Foo-1996 02:44:25 +0000", "32-Jul-1996 02:44:25 +0000", "1-Jul-1996 02:44:25 0000", "é"]
    {
        assert_eq!(date_time(bad.as_bytes()), None, "{bad}");
    }
    assert_eq!(code("[UIDVALIDITY 5] x", "uidvalidity"), Some("5"));
    assert_eq!(code("[READ-ONLY] x", "READ-ONLY"), Some(""));
    assert_eq!(code("no", "X"), None);
    assert_eq!(quoted(b"a\"b\\c").unwrap(), "\"a\\\"b\\\\c\"");
    assert_eq!(quoted("é".as_bytes()), None);
    assert_eq!(quoted(b"a\r\nb"), None);
}
