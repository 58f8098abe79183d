//! NOTIFY and the selected mailbox (RFC 5465 §3.1, §5.2).

use super::World;
use super::notify::SELECTED;
use crate::proto::Session;

#[test]
fn the_selected_mailbox_is_told_between_commands() {
    let world = World::new();
    world.three();
    world.play(&format!(
        "{SELECTED}A: b NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge))
         b OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b APPEND INBOX {{12+}}
         B: Subject: x
         B:
         * 4 EXISTS
         * … RECENT
         b OK …
         A!
         * 4 EXISTS
         * … RECENT
         * 4 FETCH (UID 4 BODY[HEADER.FIELDS (SUBJECT)] {{12}}
         Subject: x
         )
         B: c STORE 2 +FLAGS.SILENT (\\Deleted)
         c OK …
         A!
         B: d EXPUNGE
         * 2 EXPUNGE
         d OK …
         A!
         * 2 EXPUNGE
         A: c NOTIFY SET (selected-delayed (MessageNew MessageExpunge FlagChange))
         c OK …
         B: e STORE 1:2 +FLAGS.SILENT (\\Deleted)
         e OK …
         A!
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Deleted…))
         * 2 FETCH (UID 3 FLAGS (\\Deleted…))
         B: f EXPUNGE
         * 2 EXPUNGE
         * 1 EXPUNGE
         f OK …
         A!
         A: d FETCH 3 UID
         * 3 FETCH (UID 4)
         d OK …
         A!
         A: e IDLE
         + …
         * 2 EXPUNGE
         * 1 EXPUNGE
         A: DONE
         e OK …"
    ));
}

#[test]
fn nothing_is_told_of_a_mailbox_that_nobody_asked_about() {
    let world = World::new();
    world.three();
    world.play(&format!(
        "{SELECTED}A: b NOTIFY NONE
         b OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b STORE 1 +FLAGS.SILENT (\\Deleted)
         b OK …
         B: c EXPUNGE
         * 1 EXPUNGE
         c OK …
         A!
         A: c FETCH 2 UID
         * 2 FETCH (UID 2)
         c OK …
         A: d IDLE
         + …
         A!
         A: DONE
         d OK …
         A: e NOOP
         * 1 EXPUNGE
         e OK …
         A: f NOTIFY SET (mailboxes INBOX (MessageNew MessageExpunge))
         f OK …
         B: d APPEND INBOX {{3+}}
         B: abc
         * 3 EXISTS
         * … RECENT
         d OK …
         A!
         A: g UID SEARCH ALL
         * SEARCH 2 3
         g OK …
         A: h NOTIFY SET (selected (MessageNew MessageExpunge))
         * 3 EXISTS
         * … RECENT
         h OK …
         A: i UNSELECT
         i OK …
         B: e APPEND INBOX {{3+}}
         B: abc
         * 4 EXISTS
         * … RECENT
         e OK …
         A!"
    ));
}

#[test]
fn a_mailbox_that_was_left_is_one_of_the_others() {
    let world = World::new();
    world.three();
    world.play(&format!(
        "A: z NOTIFY SET (selected (MessageNew MessageExpunge)) (inboxes (MessageNew MessageExpunge))
         z OK …
         {SELECTED}B: a APPEND INBOX {{3+}}
         B: abc
         a OK …
         A!
         * 4 EXISTS
         * … RECENT
         A: b UNSELECT
         b OK …
         A!
         B: b APPEND INBOX {{3+}}
         B: abc
         b OK …
         A!
         * STATUS \"INBOX\" (UIDNEXT 6 MESSAGES 5)
         A: c SELECT INBOX
         ~
         c OK …
         A!"
    ));
}

#[test]
fn searches_and_notify_share_one_fetch() {
    let world = World::new();
    world.three();
    world.play(&format!(
        "{SELECTED}A: b UID SEARCH RETURN (UPDATE (UID RFC822.SIZE) COUNT) FROM boss
         * ESEARCH (TAG \"b\") UID COUNT 0
         b OK …
         B: a APPEND INBOX {{14+}}
         B: From: boss@x
         B:
         a OK …
         B: b APPEND INBOX {{3+}}
         B: abc
         b OK …
         A: c NOOP
         * 5 EXISTS
         * … RECENT
         * 4 FETCH (UID 4 RFC822.SIZE 14)
         * ESEARCH (TAG \"b\") UID ADDTO (0 4)
         c OK …
         A: d NOTIFY SET (selected (MessageNew (UID FLAGS) MessageExpunge))
         d OK …
         B: c APPEND INBOX {{14+}}
         B: From: boss@x
         B:
         c OK …
         B: d APPEND INBOX {{3+}}
         B: abc
         d OK …
         A!
         * 7 EXISTS
         * … RECENT
         * ESEARCH (TAG \"b\") UID ADDTO (0 6)
         * 6 FETCH (UID 6 FLAGS (\\Recent) RFC822.SIZE 14)
         * 7 FETCH (UID 7 FLAGS (\\Recent))
         A: e APPEND INBOX {{14+}}
         A: From: boss@x
         A:
         * 8 EXISTS
         * … RECENT
         * ESEARCH (TAG \"b\") UID ADDTO (0 8)
         e OK …"
    ));
}

#[test]
fn long_news_comes_piece_by_piece_and_marks_nothing_as_read() {
    let world = World::new();
    world.three();
    let mut client = world.client();
    client.say(b"a SELECT INBOX\r\nb NOTIFY SET (selected (MessageNew (BODY[TEXT]) MessageExpunge))\r\n");
    client.heard();
    let text = "0123456789abcdef\n".repeat(40_000);
    for _ in 0..3 {
        world.mail("", "", &format!("Subject: long\n\n{text}"));
    }
    client.say(b"c NOOP\r\n");
    let heard = client.heard();
    let size = text.replace('\n', "\r\n").len();
    assert_eq!(heard.matches(&format!(" FETCH (BODY[TEXT] {{{size}}}\r\n")).count(), 3);
    assert!(heard.len() > 3 * size && heard.ends_with(")\r\nc OK nothing done\r\n"), "{}", &heard[heard.len() - 99..]);
    for _ in 0..3 {
        world.mail("", "", &format!("Subject: long\n\n{text}"));
    }
    client.session.notified(std::time::Instant::now());
    client.drain();
    assert!(client.heard().len() > 3 * size);
    client.say(b"d SEARCH UNSEEN\r\n");
    assert!(client.heard().contains("* SEARCH 1 3 4 5 6 7 8 9\r\n"));
}
