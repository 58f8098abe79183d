//! SELECT, EXAMINE, CLOSE, and what happens to a mailbox that others change.

use super::World;

#[test]
fn select_tells_what_there_is() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
         * 3 EXISTS
         * 3 RECENT
         * OK [UNSEEN 1] …
         * OK [PERMANENTFLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft \\*)] …
         * OK [UIDVALIDITY …] …
         * OK [UIDNEXT 4] …
         * OK [HIGHESTMODSEQ …] …
         * OK [MAILBOXID (F…)] …
         * OK [URLMECH INTERNAL] …
         a OK [READ-WRITE] …
         A: b EXAMINE inbox
         * FLAGS (\\Answered \\Flagged \\Deleted \\Seen \\Draft)
         * 3 EXISTS
         * 0 RECENT
         * OK [UNSEEN 1] …
         * OK [PERMANENTFLAGS ()] …
         ~
         b OK [READ-ONLY] …
         A: c STORE 1 +FLAGS (\\Seen)
         c NO [READ-ONLY] …
         A: d EXPUNGE
         d NO [READ-ONLY] …
         A: e MOVE 1 INBOX
         e NO [READ-ONLY] …
         A: f FETCH 3 (FLAGS BODY[TEXT])
         * 3 FETCH (FLAGS () BODY[TEXT] {13}
         Text three.
         )
         f OK …
         A: g CLOSE
         g OK …
         A: h FETCH 1 FLAGS
         h BAD …",
    );
}

#[test]
fn a_failed_select_leaves_no_mailbox() {
    let world = World::new();
    world.three();
    world.play(
        "A: a ENABLE IMAP4rev2
         * ENABLED IMAP4rev2
         a OK …
         A: b SELECT INBOX
         * FLAGS …
         * 3 EXISTS
         * OK [PERMANENTFLAGS …
         * OK [UIDVALIDITY …
         * OK [UIDNEXT 4] …
         * OK [HIGHESTMODSEQ …
         * OK [MAILBOXID …
         * OK [URLMECH INTERNAL] …
         * LIST () \"/\" \"INBOX\"
         b OK [READ-WRITE] …
         A: c SELECT missing
         * OK [CLOSED] …
         c NO [NONEXISTENT] …
         A: d FETCH 1 FLAGS
         d BAD …
         A: e STATUS missing (MESSAGES)
         e NO [NONEXISTENT] …
         A: f UNSELECT
         f BAD …",
    );
}

#[test]
fn what_others_do_is_told_at_the_next_command() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         B: a SELECT INBOX
         ~
         * 0 RECENT
         ~
         a OK …
         B: b STORE 2 +FLAGS (\\Deleted work)
         * FLAGS (… work)
         * 2 FETCH (UID 2 FLAGS (\\Deleted \\Seen work))
         b OK …
         A: b NOOP
         * FLAGS (… work)
         * 2 FETCH (UID 2 FLAGS (\\Deleted \\Seen work \\Recent))
         b OK …
         B: c EXPUNGE
         * 2 EXPUNGE
         c OK …
         A: c FETCH 1:3 (UID)
         * 1 FETCH (UID 1)
         * 2 FETCH (UID 2)
         * 3 FETCH (UID 3)
         c OK …
         A: d FETCH 2 (BODY.PEEK[])
         d NO [EXPUNGEISSUED] …
         A: e STORE 2 +FLAGS (\\Seen)
         e NO [EXPUNGEISSUED] …
         A: f UID FETCH 1:* (FLAGS BODY.PEEK[HEADER.FIELDS (Subject)])
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent) BODY[HEADER.FIELDS (Subject)] {16}
         Subject: one

         )
         ~
         * 2 EXPUNGE
         f OK …
         A: g IDLE
         + idling
         B: d APPEND INBOX {3+}
         B: abc
         * 3 EXISTS
         * 1 RECENT
         d OK [APPENDUID … 4] …
         A!
         * 3 EXISTS
         * 2 RECENT
         A: DONE
         g OK …",
    );
}

#[test]
fn a_mailbox_that_is_gone_or_another_one_ends_the_session() {
    let world = World::new();
    world.play(
        "A: a CREATE box
         a OK [MAILBOXID …
         A: b SELECT box
         ~
         b OK …
         B: a DELETE box
         a OK …
         A: c NOOP
         * BYE …",
    );
    world.play(
        "A: a CREATE box
         a OK …
         A: a APPEND box {3+}
         A: abc
         a OK …
         A: b SELECT box/
         ~
         b OK …
         B: a DELETE box
         a OK …
         B: b CREATE box
         b OK …
         B: b APPEND box {3+}
         B: new
         b OK …
         A: c UID STORE 1 +FLAGS.SILENT (\\Deleted)
         * BYE …",
    );
    // Own deeds.
    world.play(
        "A: a SELECT box
         ~
         a OK …
         A: b RENAME box/ other
         b OK …
         A: c FETCH 1 (FLAGS)
         * 1 FETCH (FLAGS ())
         c OK …
         A: d DELETE other/
         d OK …
         A: e FETCH 1 (FLAGS)
         e BAD …",
    );
}

#[test]
fn qresync_tells_what_has_happened_since() {
    let world = World::new();
    world.three();
    world.play(
        "A: a ENABLE QRESYNC
         * ENABLED CONDSTORE QRESYNC
         a OK …
         A: b SELECT INBOX
         ~
         b OK …
         A: c STORE 1 +FLAGS.SILENT (\\Deleted)
         * 1 FETCH (UID 1 MODSEQ (…))
         c OK …
         A: d EXPUNGE
         * VANISHED 1
         d OK [HIGHESTMODSEQ …
         A: e FETCH 1 (BODY[TEXT])
         * 1 FETCH (BODY[TEXT] {11}
         Text two.
         )
         e OK …
         A: f FETCH 2 (BODY[TEXT])
         * 2 FETCH (BODY[TEXT] {13}
         Text three.
          FLAGS (\\Seen \\Recent) MODSEQ (…) UID 3)
         f OK …
         A: g UID FETCH 1:* (FLAGS) (CHANGEDSINCE 1 VANISHED)
         * VANISHED (EARLIER) 1
         ~
         g OK …",
    );
    let validity = world.desk.registry.open(&world.dir.path().join("mail/example.test/alice"), &world.maildir(""));
    let validity = validity.unwrap().refresh().unwrap().uid_validity;
    world.play(&format!(
        "A: a ENABLE QRESYNC
         ~
         a OK …
         A: b SELECT INBOX (QRESYNC ({validity} 1 1:3))
         ~
         * VANISHED (EARLIER) 1
         * 1 FETCH (UID 2 FLAGS (\\Seen) MODSEQ (2))
         * 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (…))
         b OK [READ-WRITE] …
         A: c SELECT INBOX (QRESYNC ({validity} 2 1:3 (1,2 2,3)))
         * OK [CLOSED] …
         ~
         * OK [MAILBOXID …
         * OK [URLMECH INTERNAL] …
         * 2 FETCH (UID 3 FLAGS (\\Seen) MODSEQ (…))
         c OK …
         A: d SELECT INBOX (QRESYNC (1 1 1:3))
         ~
         * OK [MAILBOXID …
         * OK [URLMECH INTERNAL] …
         d OK …",
    ));
}

#[test]
fn an_expunge_that_waits_is_not_behind_the_highest_modification_sequence() {
    let world = World::new();
    world.three();
    world.play(
        "A: a ENABLE QRESYNC
         ~
         a OK …
         A: b SELECT INBOX
         ~
         b OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b UID STORE 1 +FLAGS.SILENT (\\Deleted)
         b OK …
         B: c EXPUNGE
         * 1 EXPUNGE
         c OK …
         A: c FETCH 2 (UID)
         * 2 FETCH (UID 2)
         c OK [HIGHESTMODSEQ …] …
         A: d NOOP
         * VANISHED 1
         d OK [HIGHESTMODSEQ …] …
         A: e NOOP
         e OK nothing done",
    );
}

#[test]
fn who_learns_of_condstore_in_a_mailbox_learns_where_it_begins() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b FETCH 1 (MODSEQ)
         * OK [HIGHESTMODSEQ …] …
         * 1 FETCH (MODSEQ (…))
         b OK …
         A: c FETCH 1 (MODSEQ FLAGS)
         * 1 FETCH (MODSEQ (…) FLAGS (\\Flagged \\Recent))
         c OK …
         A: d STORE 1 (UNCHANGEDSINCE 0) +FLAGS (\\Seen)
         d OK [MODIFIED 1] …
         A: e UID STORE 1:2 (UNCHANGEDSINCE 0) +FLAGS.SILENT (\\Seen)
         e OK [MODIFIED 1:2] …",
    );
}

#[test]
fn without_sequence_numbers() {
    let world = World::new();
    world.three();
    world.play(
        "A: a ENABLE UIDONLY
         * ENABLED UIDONLY
         a OK …
         A: b SELECT INBOX
         ~
         b OK …
         A: c FETCH 1 FLAGS
         c BAD [UIDREQUIRED] …
         A: d SEARCH ALL
         d BAD [UIDREQUIRED] …
         A: e UID SEARCH 1
         e BAD [UIDREQUIRED] …
         A: f UID FETCH 1:2 (FLAGS)
         * 1 UIDFETCH (FLAGS (\\Flagged \\Recent))
         * 2 UIDFETCH (FLAGS (\\Seen \\Recent))
         f OK …
         A: g UID FETCH 1 (UID FLAGS)
         * 1 UIDFETCH (UID 1 FLAGS (\\Flagged \\Recent))
         g OK …
         A: h UID STORE 3 +FLAGS (\\Deleted)
         * 3 UIDFETCH (FLAGS (\\Deleted \\Recent))
         h OK …
         A: i EXPUNGE
         * VANISHED 3
         i OK …
         A: j UID MOVE 1 INBOX
         * OK [COPYUID … 1 4] …
         * VANISHED 1
         * 2 EXISTS
         ~
         j OK …
         A: k REPLACE 1 INBOX {3+}
         A: abc
         k BAD [UIDREQUIRED] …",
    );
}
