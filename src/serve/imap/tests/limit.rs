//! MESSAGELIMIT and SAVELIMIT (RFC 9738); limits far below 1000 make the same answers.

use super::World;

fn world() -> World {
    let world = World::with(|settings| settings.imap.message_limit = 2);
    for number in 1..=5 {
        world.mail("", if number == 2 { "T" } else { "ST" }, &format!("Subject: {number}\n\nx\n"));
    }
    world
}

#[test]
fn the_newest_messages_are_handled_first() {
    world().play(
        "A: a CAPABILITY
         * CAPABILITY … MESSAGELIMIT=2…
         a OK …
         A: b CREATE Old
         b OK …
         A: c SELECT INBOX
         ~
         c OK …
         A: d FETCH 1:* (UID)
         * 5 FETCH (UID 5)
         * 4 FETCH (UID 4)
         d OK [MESSAGELIMIT 2 4] fetched
         A: e UID FETCH 1:3 (UID)
         * 3 FETCH (UID 3)
         * 2 FETCH (UID 2)
         e OK [MESSAGELIMIT 2 2] fetched
         A: f UID FETCH 1:2 (UID)
         * 1 FETCH (UID 1)
         * 2 FETCH (UID 2)
         f OK fetched
         A: g UID FETCH 1:* (UID) (PARTIAL -1:-3)
         g NO [MESSAGELIMIT 2] too many messages
         A: h UID FETCH 1:* (UID) (PARTIAL -1:-2)
         * 4 FETCH (UID 4)
         * 5 FETCH (UID 5)
         h OK fetched
         A: i UID SEARCH ALL
         * SEARCH 4 5
         i OK [MESSAGELIMIT 2 4] searched
         A: j UID SEARCH UNSEEN
         * SEARCH
         j OK [MESSAGELIMIT 2 4] searched
         A: k UID SEARCH UIDBEFORE 3 UNSEEN
         * SEARCH 2
         k OK searched
         A: l UID SEARCH UIDAFTER 3
         * SEARCH 4 5
         l OK searched
         A: m UID SEARCH UIDAFTER 4294967295
         * SEARCH
         m OK searched
         A: n UID SEARCH UIDBEFORE 1
         * SEARCH
         n OK searched
         A: o UID SEARCH RETURN (SAVE) ALL
         o OK [MESSAGELIMIT 2 4] searched
         A: p UID FETCH $ (UID)
         * 4 FETCH (UID 4)
         * 5 FETCH (UID 5)
         p OK fetched
         A: q SEARCH RETURN (UPDATE ALL) ALL
         * ESEARCH (TAG \"q\") ALL 4:5
         * NO [NOUPDATE \"q\"] …
         q OK [MESSAGELIMIT 2 4] searched
         A: r THREAD REFERENCES UTF-8 ALL
         r NO [MESSAGELIMIT 2] …
         A: s UID SORT (ARRIVAL) UTF-8 ALL
         * SORT 1 2 3 4 5
         s OK sorted
         A: t UID STORE 1:* +FLAGS (\\Flagged)
         * 4 FETCH …
         * 5 FETCH …
         t OK [MESSAGELIMIT 2 4] stored
         A: u UID COPY 1:3 Old
         u NO [MESSAGELIMIT 2 2] too many messages to copy at once
         A: v UID COPY 2:3 Old
         v OK [COPYUID …
         A: w UID MOVE 1:4 Old
         * OK [COPYUID … 3:4 3:4] moved
         * 4 EXPUNGE
         * 3 EXPUNGE
         w OK [MESSAGELIMIT 2 3] moved
         A: x UID EXPUNGE 1:*
         * 3 EXPUNGE
         * 2 EXPUNGE
         x OK [MESSAGELIMIT 2 2] expunged",
    );
}

#[test]
fn expunge_knows_no_limit_and_other_codes_go_first() {
    let world = world();
    world.play(
        "A: a SELECT INBOX (CONDSTORE)
         ~
         a OK …
         A: b UID EXPUNGE 1:3
         ~
         * NO [MESSAGELIMIT 2 2] …
         b OK [HIGHESTMODSEQ …
         A: c EXPUNGE
         ~
         c OK [HIGHESTMODSEQ …
         A: d FETCH 1:* (UID)
         d BAD …",
    );
}

#[test]
fn an_append_is_done_whole_or_refused() {
    for (set, name) in [(true, "MESSAGELIMIT=1"), (false, "SAVELIMIT=1")] {
        let world = World::with(|settings| match set {
            true => settings.imap.message_limit = 1,
            false => settings.imap.save_limit = 1,
        });
        world.three();
        let mut client = world.client();
        client.say(
            b"a CAPABILITY\r\nb APPEND INBOX {4+}\r\na: b {4+}\r\na: b\r\nc SELECT INBOX\r\nd FETCH 1:* (UID)\r\n",
        );
        let heard = client.heard();
        assert!(heard.contains(name), "{heard}");
        assert!(heard.contains("b NO [MESSAGELIMIT 1] too many messages to append at once\r\n"), "{heard}");
        assert!(heard.contains("* 3 EXISTS"), "{heard}");
        assert!(heard.contains(if set { "d OK [MESSAGELIMIT 1 3]" } else { "d OK fetched" }), "{heard}");
        client.say(b"e COPY 1:2 INBOX\r\nf SEARCH UIDAFTER 1\r\n");
        let heard = client.heard();
        assert!(heard.contains("e NO [MESSAGELIMIT 1 2]"), "{heard}");
        assert_eq!(heard.contains("f BAD"), !set, "{heard}");
    }
}
