//! APPEND, CATENATE and REPLACE.

use super::*;

#[test]
fn append_streams() {
    let talk = both(
        Talk::in_account,
        b"a APPEND x (\\Seen $Y) \"01-Jan-2020 00:00:00 +0000\" {10}\r\nSubject: \r\r\nb NOOP\r\n",
    );
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\nb OK done\r\n");
    assert_eq!(talk.asked[..3], ["begin 0 x [\"\\\\Seen\", \"$Y\"] Some(10)", "end \"Subject: \\r\"", "commit"]);
    // The mailbox as a literal, several messages, synchronising and not.
    let talk = both(Talk::in_account, b"a APPEND {3+}\r\na b (\\Draft) {2+}\r\nhi {3}\r\nyou ~{1+}\r\n\0\r\n");
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\n");
    assert_eq!(
        talk.asked,
        [
            "begin 0 a b [\"\\\\Draft\"] Some(2)",
            "end \"hi\"",
            "begin 1 a b [] Some(3)",
            "end \"you\"",
            "begin 2 a b [] Some(1)",
            "end \"\\0\"",
            "commit"
        ]
    );
    let talk = both(Talk::in_account, b"a APPEND x UTF8 (~{2+}\r\nhi)\r\nb APPEND x UTF8 ({2+}\r\nhi\r\n");
    assert_eq!(talk.asked, ["begin 0 x [] Some(2)", "end \"hi\"", "commit", "begin 0 x [] Some(2)", "abort"]);
    let mut talk = Talk::in_account();
    let message = vec![b'm'; 300_000];
    talk.say(format!("a APPEND x {{{}}}\r\n", message.len()).as_bytes());
    talk.say(&message);
    talk.say(b"\r\n");
    assert!(talk.text().ends_with("a OK appended\r\n") && talk.asked[1].len() == "end \"\"".len() + message.len());
}

#[test]
fn append_refused_leaves_the_connection_in_step() {
    let talk =
        both(Talk::in_account, b"a APPEND none {10}\r\nb APPEND none {6+}\r\nx NOOP {6+}\r\ny NOOP\r\nc NOOP\r\n");
    assert_eq!(talk.text(), "a NO [TRYCREATE] no such mailbox\r\nb NO [TRYCREATE] no such mailbox\r\nc OK done\r\n");
    // Full in the middle.
    let talk = both(Talk::in_account, b"a APPEND x {6+}\r\n###abc {3}\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "a NO [OVERQUOTA] full\r\nb OK done\r\n");
    assert_eq!(talk.asked[1..], ["abort", "Noop"]);
    // What is wrong behind the first message undoes it.
    for (tail, reply) in [
        (&b" (\\Bad) {3+}\r\nabc\r\n"[..], "a BAD \\BAD is no flag that can be set\r\n"),
        (b"x\r\n", "a BAD expected one space\r\n"),
        (b" \r\n", "a BAD expected a literal\r\n"),
        (b" {0+}\r\n\r\n", "a NO an empty message is none\r\n"),
        (b" {3+}\r\na\0b\r\n", "a BAD NUL in a message that is no literal8\r\n"),
        (b" \"01-Foo-2020 00:00:00 +0000\" {3}\r\n", "a BAD not a date\r\n"),
    ] {
        let mut input = b"a APPEND x {3+}\r\nabc".to_vec();
        input.extend_from_slice(tail);
        input.extend_from_slice(b"b NOOP\r\n");
        let talk = both(Talk::in_account, &input);
        assert_eq!(talk.text(), format!("{reply}b OK done\r\n"), "{:?}", String::from_utf8_lossy(tail));
        assert!(talk.asked.contains(&"abort".to_string()) && !talk.asked.contains(&"commit".to_string()));
    }
    for wire in [
        "a APPEND\r\n",
        "a APPEND x\r\n",
        "a APPEND x \r\n",
        "a APPEND x y\r\n",
        "a APPEND x (\\Seen)\r\n",
        "a APPEND x {2}x\r\n",
    ] {
        let talk = both(Talk::in_account, wire.as_bytes());
        assert!(talk.text().starts_with("a BAD ") && talk.asked.is_empty(), "{wire}: {}", talk.text());
    }
}

#[test]
fn catenate_and_replace() {
    let talk = both(
        Talk::in_mailbox,
        b"a APPEND x (\\Seen) CATENATE (URL one TEXT {3+}\r\nabc URL {3+}\r\ntwo URL \"three\") CATENATE (TEXT {0+}\r\n) {1}\r\nz\r\n",
    );
    assert_eq!(talk.text(), "+ send the message\r\n* 4 EXISTS\r\na OK appended\r\n");
    assert_eq!(
        talk.asked,
        [
            "begin 0 x [\"\\\\Seen\"] None",
            "url one",
            "text 3",
            "url two",
            "url three",
            "end \"abc\"",
            "begin 1 x [] None",
            "text 0",
            "end \"\"",
            "begin 2 x [] Some(1)",
            "end \"z\"",
            "commit"
        ]
    );
    let talk = both(Talk::in_mailbox, b"a APPEND x CATENATE (URL bad TEXT {3+}\r\nabc URL {6}\r\nb NOOP\r\n");
    assert_eq!(talk.text(), "a NO [BADURL bad] no such URL\r\nb OK done\r\n");
    for wire in [
        "CATENATE ()",
        "CATENATE (URL",
        "CATENATE (URL a",
        "CATENATE (URL a URL",
        "CATENATE (TEXT a)",
        "CATENATE (X a)",
        "CATENATE (TEXT ~{1+}\r\na)",
    ] {
        let talk = both(Talk::in_mailbox, format!("a APPEND x {wire}\r\n").as_bytes());
        assert!(talk.text().starts_with("a BAD "), "{wire}: {}", talk.text());
        assert!(!talk.asked.contains(&"commit".to_string()));
    }
    let talk = both(
        Talk::in_mailbox,
        b"a REPLACE * x {2+}\r\nhi\r\nb UID REPLACE 7 x (\\Seen) {2+}\r\nhi {2+}\r\nho\r\nc REPLACE 0 x {2+}\r\nhi\r\n",
    );
    assert_eq!(talk.text(), "* 4 EXISTS\r\na OK appended\r\nb BAD only one message\r\nc BAD 0 is not allowed here\r\n");
    assert!(talk.asked[0].ends_with("replace"));
}
