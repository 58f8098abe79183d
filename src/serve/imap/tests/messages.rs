//! FETCH, STORE, COPY, MOVE, EXPUNGE, APPEND, REPLACE.

use super::World;

#[test]
fn store_tells_what_the_client_cannot_know() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b STORE 1:2 FLAGS (\\Answered)
         * 1 FETCH (UID 1 FLAGS (\\Answered \\Recent))
         * 2 FETCH (UID 2 FLAGS (\\Answered \\Recent))
         b OK …
         A: c STORE 1 +FLAGS.SILENT (\\Seen $Forwarded)
         * FLAGS (… $Forwarded)
         c OK …
         A: d STORE 9 +FLAGS (\\Seen)
         d BAD …
         A: e UID STORE 9 +FLAGS (\\Seen)
         e OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b STORE 3 +FLAGS (\\Flagged)
         * 3 FETCH (UID 3 FLAGS (\\Flagged))
         b OK …
         A: f STORE 3 +FLAGS.SILENT (\\Seen)
         * 3 FETCH (UID 3 FLAGS (\\Flagged \\Seen \\Recent))
         f OK …
         A: g STORE 3 -FLAGS.SILENT (\\Seen)
         g OK …
         A: h STORE 1 +FLAGS (\\Recent)
         h BAD …
         A: i FETCH 1:* (FLAGS)
         * 1 FETCH (FLAGS (\\Answered \\Seen $Forwarded \\Recent))
         * 2 FETCH (FLAGS (\\Answered \\Recent))
         * 3 FETCH (FLAGS (\\Flagged \\Recent))
         i OK …",
    );
}

#[test]
fn fetching_text_sets_seen_once() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b FETCH 3 (BODY.PEEK[TEXT]<5.3> RFC822.SIZE)
         * 3 FETCH (BODY[TEXT]<5> {3}
         thr RFC822.SIZE 51)
         b OK …
         A: c FETCH 3 BODY[1]
         * 3 FETCH (BODY[1] {13}
         Text three.
          FLAGS (\\Seen \\Recent))
         c OK …
         A: d FETCH 3 BODY[1]
         * 3 FETCH (BODY[1] {13}
         Text three.
         )
         d OK …
         A: e FETCH 3 (BODY.PEEK[2] BODY.PEEK[TEXT]<100.5> BINARY.SIZE[1] SAVEDATE PREVIEW THREADID)
         * 3 FETCH (BODY[2] NIL BODY[TEXT]<100> {0}
          BINARY.SIZE[1] 13 SAVEDATE \"…\" PREVIEW \"Text three.\" THREADID (T…))
         e OK …
         A: f FETCH 4 FLAGS
         f BAD …
         A: g UID FETCH 4 FLAGS
         g OK …
         A: h FETCH 1 FAST
         * 1 FETCH (FLAGS (\\Flagged \\Recent) INTERNALDATE \"…\" RFC822.SIZE 45)
         h OK …
         A: i FETCH 1:* (UID) (PARTIAL -1:-2)
         i BAD …
         A: j UID FETCH 1:* (UID) (PARTIAL -1:-2)
         * 2 FETCH (UID 2)
         * 3 FETCH (UID 3)
         j OK …",
    );
}

#[test]
fn octets_that_no_literal_may_hold_and_encodings_nobody_knows() {
    let world = World::new();
    world.mail("", "S", "Subject: zero\n\na\0b\n");
    world.mail("", "S", "Content-Transfer-Encoding: x-odd\n\nabc\n");
    world.mail("", "S", "Content-Transfer-Encoding: base64\n\nAGE=\n");
    let mut client = world.client();
    client.say(b"a SELECT INBOX\r\n");
    client.heard();
    client.say(b"b FETCH 1 (BODY[TEXT])\r\n");
    assert!(client.out.starts_with(b"* 1 FETCH (BODY[TEXT] {5}\r\na\x80b\r\n)\r\nb OK"), "{}", client.heard());
    client.heard();
    client.say(b"c FETCH 1 (BINARY[1])\r\n");
    assert!(client.out.starts_with(b"* 1 FETCH (BINARY[1] ~{5}\r\na\0b\r\n)\r\nc OK"), "{}", client.heard());
    client.heard();
    client.say(b"d FETCH 2 (BINARY[1])\r\n");
    let heard = client.heard();
    assert!(heard.ends_with("d NO [UNKNOWN-CTE] a part's encoding is not known\r\n"), "{heard}");
    client.say(b"e FETCH 3 (BINARY[1] BINARY.SIZE[1])\r\n");
    assert!(client.out.starts_with(b"* 3 FETCH (BINARY[1] ~{2}\r\n\0a BINARY.SIZE[1] 2)\r\n"), "{}", client.heard());
}

#[test]
fn binary_text_that_can_not_be_kept_as_it_is_is_refused() {
    let world = World::new();
    let mut client = world.client();
    for (text, is_kept) in
        [("A: b\r\n\r\nx\0y\r\n", true), ("A: b\r\n\r\nx\ny", false), ("A: b\r\n\r\nx\r\r\ny", false)]
    {
        client.say(format!("a APPEND INBOX ~{{{}+}}\r\n{text}\r\n", text.len()).as_bytes());
        let heard = client.heard();
        assert!(heard.contains(if is_kept { "a OK [APPENDUID" } else { "a NO [UNKNOWN-CTE]" }), "{text:?}: {heard}");
    }
}

#[test]
fn copies_and_moves() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b COPY 1 nowhere
         b NO [TRYCREATE] …
         A: c CREATE box
         c OK …
         A: d COPY 3,1 box
         d OK [COPYUID … 1,3 1:2] …
         A: e UID COPY 77 box
         e OK …
         A: f COPY 4 box
         f BAD …
         A: g MOVE 1:2 box
         * OK [COPYUID … 1:2 3:4] …
         * 2 EXPUNGE
         * 1 EXPUNGE
         g OK …
         A: h MOVE 1 INBOX
         * OK [COPYUID … 3 4] …
         * 1 EXPUNGE
         * 1 EXISTS
         * 1 RECENT
         h OK …
         A: i STATUS box (MESSAGES UNSEEN)
         * STATUS \"box\" (MESSAGES 4 UNSEEN 3)
         i OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b MOVE 1 box
         * OK [COPYUID … 4 5] …
         * 1 EXPUNGE
         b OK …
         A: j MOVE 1 box
         * 1 EXPUNGE
         j NO [EXPUNGEISSUED] …
         A: k MOVE 1 box
         k BAD …",
    );
}

#[test]
fn expunge_takes_what_is_marked() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b STORE 1,3 +FLAGS.SILENT (\\Deleted)
         b OK …
         A: c UID EXPUNGE 3:9
         * 3 EXPUNGE
         c OK …
         A: d CLOSE
         d OK …
         A: e STATUS INBOX (MESSAGES)
         * STATUS \"INBOX\" (MESSAGES 1)
         e OK …
         A: f EXAMINE INBOX
         ~
         f OK …
         A: g UNSELECT
         g OK …",
    );
}

#[test]
fn append_and_replace() {
    let world = World::new();
    world.three();
    world.play(
        "A: a APPEND nowhere {3}
         a NO [TRYCREATE] …
         A: b SELECT INBOX
         ~
         b OK …
         A: c APPEND INBOX (\\Draft note) \"24-Nov-2026 12:07:51 +0900\" {3+}
         A: abc (\\Seen) {3+}
         A: xyz
         * FLAGS (… note)
         * 5 EXISTS
         * 5 RECENT
         c OK [APPENDUID … 4:5] …",
    );
    let world = World::new();
    world.three();
    world.play(
        "A: b SELECT INBOX
         ~
         b OK …
         A: c APPEND INBOX (\\Draft note) \"24-Nov-2026 12:07:51 +0900\" {3+}
         A: a
         A:
         * FLAGS (… note)
         * 4 EXISTS
         * 4 RECENT
         c OK [APPENDUID … 4] …
         A: d FETCH 4 (FLAGS RFC822.SIZE BODY.PEEK[])
         * 4 FETCH (FLAGS (\\Draft note \\Recent) RFC822.SIZE 3 BODY[] {3}
         a
         )
         d OK …
         A: e REPLACE 4 INBOX (\\Seen) {3+}
         A: new
         * OK [APPENDUID … 5] …
         * 4 EXPUNGE
         * 4 EXISTS
         * 4 RECENT
         e OK …
         A: f REPLACE 5 INBOX {3+}
         A: new
         f BAD …
         A: g UID REPLACE 4 INBOX {3+}
         A: new
         g NO [EXPUNGEISSUED] …
         A: h EXAMINE INBOX
         ~
         h OK …
         A: i REPLACE 1 INBOX {3+}
         A: new
         i NO [READ-ONLY] …
         A: j STATUS INBOX (MESSAGES)
         * STATUS \"INBOX\" (MESSAGES 4)
         j OK …",
    );
}

#[test]
fn a_message_is_put_together_from_parts() {
    let world = World::new();
    world.mail("", "", "Subject: one\n\nText one.\n");
    world.play(
        "A: a CREATE Drafts
         a OK …
         A: b APPEND Drafts (\\Draft) CATENATE (URL \"/INBOX/;UID=1/;SECTION=HEADER\" TEXT {5+}
         A: abc
         A:  URL \"/inbox/;UID=1/;SECTION=TEXT/;PARTIAL=5.3\")
         b OK [APPENDUID … 1] …
         A: c SELECT Drafts
         ~
         c OK …
         A: d FETCH 1 (FLAGS RFC822.SIZE BODY.PEEK[])
         * 1 FETCH (FLAGS (\\Draft \\Recent) RFC822.SIZE 24 BODY[] {24}
         Subject: one

         abc
         one)
         d OK …
         A: e APPEND Drafts CATENATE (URL \";UID=1\" URL \"/INBOX;UIDVALIDITY=1/;UID=1\")
         e NO [BADURL /INBOX;UIDVALIDITY=1/;UID=1] …
         A: f APPEND Drafts CATENATE (URL \"imap://other/INBOX/;UID=1\")
         f NO [BADURL imap://other/INBOX/;UID=1] …
         A: g APPEND Drafts CATENATE (URL \"/INBOX/;UID=1/;SECTION=9\" TEXT {3+}
         A: abc)
         g NO [BADURL …
         A: h APPEND Drafts CATENATE (URL \";UID=1/;SECTION=TEXT\")
         * 2 EXISTS
         * 2 RECENT
         h OK [APPENDUID … 2] …
         A: i FETCH 2 (BODY.PEEK[])
         * 2 FETCH (BODY[] {8}
         abc
         one)
         i OK …
         A: j STATUS INBOX (UNSEEN)
         * STATUS \"INBOX\" (UNSEEN 1)
         j OK …",
    );
}

#[test]
fn of_many_texts_each_is_its_own() {
    let world = World::new();
    let text = |n: u32| format!("Subject: {n}\n\n{}\n", format!("line {n}\n").repeat(n as usize % 700));
    let paths: Vec<_> = (1..=600).map(|n| world.mail("", "", &text(n))).collect();
    let mut client = world.client();
    client.say(b"s SELECT INBOX\r\nz FETCH 1:* RFC822.SIZE\r\n");
    client.heard();
    // Another program removes some meanwhile, in the first batch and behind it.
    for gone in [2, 300, 599] {
        std::fs::remove_file(&paths[gone - 1]).unwrap();
    }
    let mut ask = |what: &str, order: &mut dyn Iterator<Item = u32>| {
        client.say(format!("f {what}\r\n").as_bytes());
        let heard = client.heard();
        let mut rest = heard.as_str();
        for n in order.filter(|n| ![2, 300, 599].contains(n)) {
            let text = text(n).replace('\n', "\r\n");
            let literal = format!("BODY[] {{{}}}\r\n{text})\r\n", text.len());
            let at = rest.find(&literal).unwrap_or_else(|| panic!("{n} in {}", &rest[..rest.len().min(400)]));
            assert!(at < 80, "{n} comes next: {}", &rest[..at]);
            rest = &rest[at + literal.len()..];
        }
        assert!(rest.lines().any(|line| line.starts_with("f OK") || line.starts_with("f NO")), "{rest}");
    };
    ask("UID FETCH 1:* BODY.PEEK[]", &mut (1..=600));
    ask("UID FETCH 100:450 (FLAGS BODY.PEEK[])", &mut (100..=450));
}
