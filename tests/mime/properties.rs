//! Properties of every message, made up of what hurts.

use super::examine;
use expressmail::msg::{charset, content, date, header_end, html, pieces, subject, words};
use proptest::prelude::*;

/// Lines that mean something somewhere.
const LINES: &[&str] = &[
    "",
    "",
    "--b",
    "--b--",
    "--c",
    "--c--  ",
    "--",
    "Content-Type: multipart/mixed; boundary=b",
    "Content-Type: multipart/digest; boundary=\"c\"",
    "Content-Type: multipart/alternative; boundary",
    "Content-Type: message/rfc822",
    "Content-Type: message/global",
    "Content-Type: text/html; charset=iso-2022-jp; x*1=b; x*0*=utf-8''%e3",
    "Content-Transfer-Encoding: base64",
    "Content-Transfer-Encoding: quoted-printable",
    "Content-Disposition: attachment; filename*0=\"a\\\"; filename*1=b",
    "Content-Language: en, de (x), , ja",
    "Content-ID: <\u{e9}@x>",
    "From: g: \"a <b@c>, d; (e <f@g>",
    "To: <@x,@y:z@w>, root, ;,:",
    "Subject: Re: [x] =?utf-8?B?5pel?= =?broken",
    "Date: 1 Jan 20 10:00 PST",
    " folded \\",
    "=?utf-8?Q?=E3=81?=",
    "<p>x</p><!-- &amp;",
    "nonsense",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        8 => (0..LINES.len()).prop_map(|i| LINES[i].as_bytes().to_vec()),
        1 => proptest::collection::vec(any::<u8>(), 0..12),
    ];
    let ending = prop_oneof![6 => Just("\n"), 2 => Just("\r\n"), 1 => Just("\r"), 1 => Just("\r\r\n"), 1 => Just("")];
    proptest::collection::vec((line, ending), 0..60)
        .prop_map(|lines| lines.into_iter().flat_map(|(line, ending)| line.into_iter().chain(ending.bytes())).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_message_has_grammatical_answers(message in message()) {
        examine(&message);
    }

    #[test]
    fn any_bytes_are_a_message(message in proptest::collection::vec(any::<u8>(), 0..300)) {
        examine(&message);
    }

    /// The logical lines of a header are all of it.
    #[test]
    fn nothing_of_a_header_is_lost(message in message()) {
        let end = header_end(&message).unwrap_or(message.len());
        let seen: usize = pieces(&message[..end]).map(|piece| piece.raw.len()).sum();
        prop_assert!(end - seen <= 2);
    }

    #[test]
    fn readers_of_text_take_anything(text in "\\PC{0,60}", bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        html::text(&text);
        let base = subject::base_subject(&text);
        prop_assert_eq!(subject::base_subject(&base.text).text, base.text);
        date::parse(&bytes);
        words::decode_text(&bytes);
        let mut out = String::new();
        charset::decode(text.as_bytes(), &bytes, &mut out);
        content::Content::read(&bytes);
    }
}
