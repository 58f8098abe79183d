//! What a directory server says, and texts that become filters.

use super::fuzz;
use expressmail::proto::ldap::{Filter, Reader, Response, ServerError, Url, escape, host_and_port};

/// Messages and pieces of them.
const WORDS: &[&str] = &[
    "\x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x04\x04\x00\x04\x00",
    "\x30\x1b\x02\x01\x01\x64\x16\x04\x04dc=x\x30\x0e\x30\x0c\x04\x04mail\x31\x04\x04\x02a@",
    "\x30\x0f\x02\x01\x02\x73\x0a\x04\x08ldap://y",
    "\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x34\x04\x00\x04\x00",
    "\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00",
    "\x30\x00",
    "\x02\x01\x01",
    "\x64\x05\x04\x01x\x30\x00",
    "\x04\x7f",
    "\x31\x03\x04\x01a",
];

/// All messages of these octets, and how they end.
fn messages(pieces: &[&[u8]]) -> (Vec<(u32, Response)>, Option<ServerError>) {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    for piece in pieces {
        reader.feed(piece);
        loop {
            match reader.message() {
                Ok(Some(message)) => found.push(message),
                Ok(None) => break,
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

#[test]
fn directory_servers_say_anything() {
    fuzz("ldap", WORDS, |random, input| {
        let whole = messages(&[input]);
        let cut = random.below(input.len() + 1);
        let (left, right) = input.split_at(cut);
        assert_eq!(messages(&[left, right]), whole, "cut at {cut}");
    });
}

#[test]
fn filters_and_urls() {
    let words = ["(", ")", "(&", "(|", "(!", "uid", "=", "*", "~=", ">=", ":dn:", ":=", "\\2a", "\\", "(a=b)", " "];
    fuzz("ldap filters", &words, |_, input| {
        let _ = Filter::read(input);
        // Whatever a key holds, the filter around it stays one of its kind, and another key another filter.
        let filled = |key: &[u8]| {
            let mut text = b"(uid=".to_vec();
            escape(key, &mut text);
            text.push(b')');
            Filter::read(&text)
        };
        if input.len() < 10_000 {
            let own = filled(input).unwrap();
            assert_ne!(own, filled(&[input, b"x"].concat()).unwrap());
        }
    });
    let words = ["ldap", "ldaps", "ldapi", "://", "[::1]", ":389", "/", "?", "sub", "%2F", "%", "dc=x", ",", "!x"];
    fuzz("ldap urls", &words, |_, input| {
        let _ = Url::read(input);
        let _ = host_and_port(input);
    });
}
