//! UTF8=ACCEPT: header fields in UTF-8, with and without ENABLE (RFC 9755).

use super::{Client, World};

const MAIL: &str = "From: Jürgen <j@x.test>\nTo: <用户@x.test>\nSubject: Grüße\n\nTschüß.\n";

/// Says a command with literals, and gives the beginning of its reply.
fn reply(client: &mut Client, command: &str) -> String {
    client.say(format!("a {command}\r\n").as_bytes());
    let heard = client.heard();
    let line = heard.lines().last().unwrap_or_default();
    line.get(..14.min(line.len())).unwrap_or(line).to_string()
}

const UTF8: &str = "INBOX {23+}\r\nSubject: Grüße\r\n\r\nx\r\n";
const FORMS: [&str; 3] = [
    "APPEND INBOX {23+}\r\nSubject: Grüße\r\n\r\nx\r\n",
    "APPEND INBOX UTF8 (~{10+}\r\nü: a\r\n\r\nx)",
    "APPEND INBOX CATENATE (TEXT {11+}\r\nSubject: ü TEXT {4+}\r\n\r\n\r\n)",
];

#[test]
fn a_header_in_utf8_needs_enable_to_come_in() {
    let world = World::new();
    let mut client = world.client();
    for form in FORMS {
        client.say(format!("a {form}\r\n").as_bytes());
        assert_eq!(client.heard(), "a NO header fields in UTF-8 need ENABLE UTF8=ACCEPT first\r\n", "{form}");
    }
    assert_eq!(reply(&mut client, "APPEND INBOX {27+}\r\nSubject: plain\r\n\r\nGr\u{fc}n\u{df}\r\n"), "a OK [APPENDUI");
    assert_eq!(reply(&mut client, "SELECT INBOX"), "a OK [READ-WRI");
    assert_eq!(reply(&mut client, &format!("REPLACE 1 {UTF8}")), "a NO header fi");
    assert_eq!(reply(&mut client, "ENABLE UTF8=ACCEPT"), "a OK enabled");
    for form in FORMS {
        assert_eq!(reply(&mut client, form), "a OK [APPENDUI", "{form}");
    }
    assert_eq!(reply(&mut client, &format!("REPLACE 1 {UTF8}")), "a OK replaced");
    let lenient = World::with(|settings| settings.imap.tolerates_utf8_headers = true);
    assert_eq!(reply(&mut lenient.client(), FORMS[0]), "a OK [APPENDUI");
    // IMAP4rev2 reads UTF-8 too (RFC 9051 §5.1).
    let other = World::new();
    let mut second = other.client();
    assert_eq!(reply(&mut second, "ENABLE IMAP4rev2"), "a OK enabled");
    assert_eq!(reply(&mut second, FORMS[0]), "a OK [APPENDUI");
}

#[test]
fn old_mail_in_other_charsets_comes_in_and_goes_out_as_it_is() {
    let world = World::new();
    let mut client = world.client();
    for (header, number) in [(&b"Subject: Gr\xfc\xdfe"[..], 1), (b"Subject: \x93\xfa\x96\x7b", 2)] {
        let text = [header, b"\r\n\r\nx\r\n"].concat();
        client.say(&[format!("a APPEND INBOX {{{}+}}\r\n", text.len()).as_bytes(), &text, b"\r\n"].concat());
        assert!(client.heard().contains("a OK [APPENDUID"));
        client.say(format!("b SELECT INBOX\r\nc FETCH {number} (BODY.PEEK[])\r\n").as_bytes());
        assert!(memchr::memmem::find(&client.out, &text).is_some(), "{}", client.heard());
        assert!(client.heard().contains("c OK fetched"));
    }
}

#[test]
fn who_has_not_enabled_utf8_sees_headers_in_ascii_and_is_told_so() {
    let world = World::new();
    world.mail("", "S", MAIL);
    world.mail("", "S", "Subject: plain\n\nü\n");
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b FETCH 1:2 (BODY.PEEK[HEADER])
         * 1 FETCH (BODY[HEADER] {…}
         From: =?UTF-8?B?SsO8cmdlbg==?= <j@x.test>
         To: =?UTF-8?B?55So5oi3QHgudGVzdA==?= <invalid@internationalized-address.invalid>
         Subject: =?UTF-8?B?R3LDvMOfZQ==?=
         )
         * 2 FETCH (BODY[HEADER] {18}
         Subject: plain
         )
         b OK [DOWNGRADED 1] fetched
         A: c FETCH 1:* (ENVELOPE)
         * 1 FETCH (ENVELOPE (NIL \"=?UTF-8?B?R3LDvMOfZQ==?=\" ((\"=?UTF-8?B?SsO8cmdlbg==?=\" NIL \"j\" \"x.test\")) …
         * 2 FETCH (ENVELOPE (NIL \"plain\" …
         c OK [DOWNGRADED 1] fetched
         A: d FETCH 1 (BODY.PEEK[TEXT] BODY.PEEK[HEADER.FIELDS (DATE)])
         * 1 FETCH (BODY[TEXT] {11}
         Tschüß.
          BODY[HEADER.FIELDS (DATE)] {2}
         )
         ~
         A: e ENABLE QRESYNC
         * ENABLED CONDSTORE QRESYNC
         ~
         A: f UID FETCH 1 (RFC822.HEADER)
         ~
         * OK [DOWNGRADED 1] …
         f OK fetched
         B: a ENABLE UTF8=ACCEPT
         * ENABLED UTF8=ACCEPT
         a OK …
         B: b EXAMINE INBOX
         ~
         b OK …
         B: c FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)] ENVELOPE)
         * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {20}
         Subject: Grüße
          ENVELOPE (NIL …
         ~
         c OK fetched",
    );
    let backup = World::with(|settings| settings.imap.tolerates_utf8_headers = true);
    backup.mail("", "S", MAIL);
    backup.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b FETCH 1 (BODY.PEEK[HEADER.FIELDS (SUBJECT)])
         * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT)] {20}
         Subject: Grüße
         )
         b OK fetched",
    );
}
