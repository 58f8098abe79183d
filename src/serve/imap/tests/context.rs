//! Searches whose results are kept up to date.

use super::World;

#[test]
fn a_search_is_kept_up_to_date() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b UID SEARCH RETURN (UPDATE COUNT) UNSEEN
         * ESEARCH (TAG \"b\") UID COUNT 2
         b OK …
         A: c SEARCH RETURN (UPDATE ALL CONTEXT) 1:2 UNSEEN
         * ESEARCH (TAG \"c\") ALL 1
         c OK …
         A: b SEARCH RETURN (UPDATE) ALL
         b BAD …
         A: d STORE 1 +FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"b\") UID REMOVEFROM (0 1)
         * ESEARCH (TAG \"c\") REMOVEFROM (0 1)
         d OK …
         A: e STORE 1:2 -FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"b\") UID ADDTO (0 1:2)
         * ESEARCH (TAG \"c\") ADDTO (0 1:2)
         e OK …
         B: a SELECT INBOX
         ~
         a OK …
         B: b APPEND INBOX {3+}
         B: abc
         * 4 EXISTS
         * 1 RECENT
         b OK …
         B: c STORE 1 +FLAGS.SILENT (\\Deleted)
         c OK …
         B: d EXPUNGE
         * 1 EXPUNGE
         d OK …
         A: f NOOP
         * ESEARCH (TAG \"b\") UID REMOVEFROM (0 1)
         * ESEARCH (TAG \"c\") REMOVEFROM (0 1)
         * 1 EXPUNGE
         * 3 EXISTS
         * 2 RECENT
         * ESEARCH (TAG \"b\") UID ADDTO (0 4)
         f OK …
         A: g CANCELUPDATE \"b\" \"nothing\"
         g OK …
         A: h STORE 1:3 +FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"c\") REMOVEFROM (0 1)
         h OK …
         A: i SELECT INBOX
         ~
         i OK …
         A: j STORE 1 -FLAGS.SILENT (\\Seen)
         j OK …",
    );
}

#[test]
fn a_sorted_search_tells_positions() {
    let world = World::new();
    for subject in ["b", "d", "f"] {
        world.mail("", "", &format!("Subject: {subject}\n\nx\n"));
    }
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b UID SORT RETURN (UPDATE ALL) (REVERSE SUBJECT) UTF-8 UNSEEN
         * ESEARCH (TAG \"b\") UID ALL 3,2,1
         b OK …
         A: d APPEND INBOX {14+}
         A: Subject: eee
         A:
         * 4 EXISTS
         * 4 RECENT
         * ESEARCH (TAG \"b\") UID ADDTO (2 4)
         d OK …
         A: e STORE 1,3 +FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"b\") UID REMOVEFROM (4 1 1 3)
         e OK …
         A: f STORE 1:* -FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"b\") UID ADDTO (1 3 4 1)
         f OK …",
    );
}

#[test]
fn several_mailboxes_are_searched_and_one_is_followed() {
    let world = World::new();
    world.three();
    world.play(
        "A: a ESEARCH IN (personal) RETURN (UPDATE) UNSEEN
         a BAD …
         A: b SELECT INBOX
         ~
         b OK …
         A: c ESEARCH IN (personal) RETURN (UPDATE COUNT) UNSEEN
         * ESEARCH (TAG \"c\" MAILBOX \"INBOX\" UIDVALIDITY …) UID COUNT 2
         c OK …
         A: d STORE 1 +FLAGS.SILENT (\\Seen)
         * ESEARCH (TAG \"c\" MAILBOX \"INBOX\" UIDVALIDITY …) UID REMOVEFROM (0 1)
         d OK …",
    );
    let searches: String = (0..17).map(|n| format!("A: t{n} SEARCH RETURN (UPDATE) ALL\n~\nt{n} OK …\n")).collect();
    world.play(&format!(
        "A: a SELECT INBOX
         ~
         a OK …
         {searches}A: b SEARCH RETURN (UPDATE COUNT) ALL
         * ESEARCH (TAG \"b\") COUNT 3
         * NO [NOUPDATE \"b\"] …
         b OK …"
    ));
}
