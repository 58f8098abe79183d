use super::*;

fn made(text: &[u8]) -> String {
    String::from_utf8(message(text).unwrap()).unwrap()
}

#[test]
fn what_is_in_seven_bits_stays_as_it_is() {
    assert_eq!(message(b"Subject: x\n\ny\n"), None);
    assert_eq!(message(b""), None);
}

#[test]
fn a_text_is_encoded_and_says_so() {
    assert_eq!(
        made("Subject: s\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\nMIME-Version: 1.0\n\nGrüße = x und so weiter \n.\n".as_bytes()),
        "Subject: s\nContent-Type: text/plain; charset=utf-8\nMIME-Version: 1.0\nContent-Transfer-Encoding: quoted-printable\n\n\
         Gr=C3=BC=C3=9Fe =3D x und so weiter=20\n.\n"
    );
    assert_eq!(
        made("Subject: Grüße\n\nÜ und viel Text dahinter\n".as_bytes()),
        "Subject: =?UTF-8?B?R3LDvMOfZQ==?=\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\n\
         Content-Transfer-Encoding: quoted-printable\n\n=C3=9C und viel Text dahinter\n"
    );
    // Latin 1 without a word on it, in the header too.
    assert_eq!(
        made(b"From: \"J\xfcrgen M\xfcller\" <j@x.test>\nbad\xff line\n\nd\xe9j\xe0 vu, and some more text\n"),
        "From: =?unknown-8bit?B?SvxyZ2VuIE38bGxlcg==?= <j@x.test>\nbad? line\nMIME-Version: 1.0\n\
         Content-Type: text/plain; charset=unknown-8bit\nContent-Transfer-Encoding: quoted-printable\n\n\
         d=E9j=E0 vu, and some more text\n"
    );
    assert!(
        made("Content-Type: text/plain; charset=utf-8\n\n日本語日本語日本語日本語\n".as_bytes()).contains("base64\n\n")
    );
}

#[test]
fn parts_are_encoded_each_by_itself() {
    let text = "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8BIT\n\npréambule\n\
        --b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\nünd so weiter und so fort\n\
        --b\nContent-Type: application/x\nContent-Transfer-Encoding: binary\n\n\u{fc}\u{fc}\n\
        --b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nSubject: é\n\nété, automne, hiver\n\
        --b\n\nplain\n--b--\n";
    assert_eq!(
        made(text.as_bytes()),
        "Content-Type: multipart/mixed; boundary=b\nMIME-Version: 1.0\nContent-Transfer-Encoding: 7bit\n\npr??ambule\n\
         --b\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=BCnd so weiter und so fort\n\
         --b\nContent-Type: application/x\nContent-Transfer-Encoding: base64\n\nw7zDvA==\n\
         --b\nContent-Type: message/rfc822\nContent-Transfer-Encoding: 7bit\n\nSubject: =?UTF-8?B?w6k=?=\n\
         Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9t=C3=A9, automne, hiver\n\
         --b\n\nplain\n--b--\n"
    );
}

#[test]
fn what_is_signed_keeps_every_octet_and_its_frame_says_so() {
    let signed = "Content-Type: multipart/signed; boundary=s\n\n--s\nContent-Transfer-Encoding: 8bit\n\nü\n--s\n\
        Content-Type: application/pgp-signature\n\nsig\n--s--\n";
    assert_eq!(message(signed.as_bytes()), None);
    let text = format!(
        "Content-Type: multipart/mixed; boundary=b\nContent-Transfer-Encoding: 8bit\n\n--b\n{signed}--b\n\nürgend etwas und mehr\n--b--\n"
    );
    let made = made(text.as_bytes());
    assert!(made.contains(signed) && made.contains("boundary=b\nContent-Transfer-Encoding: 8bit\n"), "{made}");
    assert!(made.ends_with("=C3=BCrgend etwas und mehr\n--b--\n"), "{made}");
}

#[test]
fn what_may_not_be_encoded_stays() {
    for text in [
        "Content-Type: message/partial; id=x; number=1\n\nü\n",
        "Content-Type: multipart/mixed\n\nü\n",
        "Content-Transfer-Encoding: base64\n\nü\n",
        "Content-Transfer-Encoding: x-own\n\nü\n",
        "Content-Type: multipart/mixed; boundary=ü\n\n--ü\n\nü\n--ü--\n",
    ] {
        let made = message(text.as_bytes()).unwrap_or_else(|| text.as_bytes().to_vec());
        assert!(made.ends_with("ü\n".as_bytes()) || made.ends_with("--ü--\n".as_bytes()), "{text}");
    }
}

/// What each leaf says, once it is decoded, with CRLF line ends.
fn said(text: &[u8]) -> Vec<Option<Vec<u8>>> {
    let structure = Structure::of(text);
    let leaves = structure.parts().iter().filter(|part| part.shape == Shape::Leaf);
    leaves.map(|part| Transfer::of(part.content.encoding).decode_wire(&text[part.body.clone()])).collect()
}

proptest::proptest! {
    #[test]
    fn whatever_is_encoded_says_the_same(
        bodies in proptest::collection::vec("([a-zü日=. \t-]{0,90}\n){0,4}[a-zü ]{0,5}", 1..5),
        kinds in proptest::collection::vec(0usize..6, 5),
    ) {
        let heads = [
            "",
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n",
            "Content-Type: application/octet-stream\nContent-Transfer-Encoding: binary\n",
            "Content-Type: message/rfc822\n\nSubject: ü\n",
            "Content-Type: message/rfc822\nContent-Transfer-Encoding: 8bit\n\nContent-Type: text/html\n",
            "Subject: é\n",
        ];
        let mut text = "Subject: ö\nContent-Type: multipart/mixed; boundary=bound\n\nvör\n".to_string();
        for (body, kind) in bodies.iter().zip(&kinds) {
            text.push_str(&format!("--bound\n{}\n{body}\n", heads[*kind]));
        }
        text.push_str("--bound--\nnäch\n");
        for text in [text, format!("{}\n{}", heads[1], bodies[0]), format!("\n{}", bodies[0])] {
            let made = message(text.as_bytes()).unwrap_or_else(|| text.clone().into_bytes());
            proptest::prop_assert!(made.is_ascii(), "{}", String::from_utf8_lossy(&made));
            proptest::prop_assert_eq!(said(&made), said(text.as_bytes()));
            proptest::prop_assert!(made.split(|b| *b == b'\n').all(|line| line.len() <= 998));
            proptest::prop_assert_eq!(message(&made), None);
        }
    }

    #[test]
    fn no_octets_break_it(text in proptest::collection::vec(proptest::prop_oneof![
        proptest::prelude::Just(&b"Content-Type: multipart/mixed; boundary=b\n"[..]), proptest::prelude::Just(&b"\n"[..]), proptest::prelude::Just(&b"--b\n"[..]),
        proptest::prelude::Just(&b"--b--\n"[..]), proptest::prelude::Just(&b"\xff\xfe\r\n"[..]), proptest::prelude::Just(&b"Content-Type: message/rfc822\n"[..]),
        proptest::prelude::Just(&b"Subject: \xfc\n"[..]), proptest::prelude::Just(&b"Content-Transfer-Encoding: 8bit\r\n"[..]), proptest::prelude::Just(&b"\xc3\xbc"[..]),
        proptest::prelude::Just(&b"Content-Type: multipart/signed; boundary=b\n"[..]),
    ], 0..14)) {
        let text = text.concat();
        if let Some(made) = message(&text) {
            proptest::prop_assert_eq!(Structure::of(&made).parts().len(), Structure::of(&text).parts().len());
        }
    }
}
