//! SEARCH, SORT, THREAD.

use super::World;

#[test]
fn search_in_both_revisions() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SEARCH UNSEEN
         * SEARCH 1 3
         b OK …
         A: c UID SEARCH RETURN (MIN MAX COUNT) ALL
         * ESEARCH (TAG \"c\") UID MIN 1 MAX 3 COUNT 3
         c OK …
         A: d SEARCH RETURN () TEXT \"text t\"
         * ESEARCH (TAG \"d\") ALL 2:3
         d OK …
         A: e SEARCH RETURN (PARTIAL -1:-2) ALL
         * ESEARCH (TAG \"e\") PARTIAL (-1:-2 2:3)
         e OK …
         A: f SEARCH CHARSET x-none TEXT a
         f NO [BADCHARSET (…
         A: g SEARCH 2:7
         * SEARCH 2 3
         g OK …
         A: h SEARCH SUBJECT nothing
         * SEARCH
         h OK …
         A: i SEARCH RETURN (MIN MAX ALL) SUBJECT nothing
         * ESEARCH (TAG \"i\")
         i OK …
         A: j SEARCH OR FROM one SUBJECT three NOT FLAGGED
         * SEARCH 3
         j OK …
         A: k SEARCH SINCE 1-Jan-2030
         * SEARCH
         k OK …
         A: l SEARCH MODSEQ 1
         * OK [HIGHESTMODSEQ …
         * SEARCH 1 2 3 (MODSEQ …)
         l OK …
         A: m ENABLE IMAP4rev2
         ~
         m OK …
         A: n SEARCH UNSEEN
         * ESEARCH (TAG \"n\") ALL 1,3
         n OK …",
    );
}

#[test]
fn what_search_saves() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SEARCH RETURN (SAVE) ALL
         b OK …
         A: c SEARCH $ UNSEEN
         * SEARCH 1 3
         c OK …
         A: d SEARCH RETURN (SAVE MIN) ALL
         * ESEARCH (TAG \"d\") MIN 1
         d OK …
         A: e SEARCH $
         * SEARCH 1
         e OK …
         A: f SEARCH RETURN (SAVE MIN MAX) ALL
         * ESEARCH (TAG \"f\") MIN 1 MAX 3
         f OK …
         A: g UID SEARCH UID $
         * SEARCH 1 3
         g OK …
         A: h SEARCH RETURN (SAVE) 99 NONSENSE
         h BAD …
         A: i FETCH $ (UID)
         * 1 FETCH (UID 1)
         * 3 FETCH (UID 3)
         i OK …
         A: j SEARCH RETURN (SAVE PARTIAL 2:2) ALL
         * ESEARCH (TAG \"j\") PARTIAL (2:2 2)
         j OK …
         A: k SEARCH $
         * SEARCH 2
         k OK …
         A: l SEARCH RETURN (SAVE COUNT MIN) ALL
         * ESEARCH (TAG \"l\") MIN 1 COUNT 3
         l OK …
         A: m STORE $ +FLAGS.SILENT (\\Deleted)
         m OK …
         A: n UID EXPUNGE 2
         * 2 EXPUNGE
         n OK …
         A: o FETCH $ (UID)
         * 1 FETCH (UID 1)
         * 2 FETCH (UID 3)
         o OK …
         A: p SEARCH RETURN (SAVE) CHARSET x-none TEXT a
         p NO [BADCHARSET …
         A: q SEARCH $
         * SEARCH
         q OK …
         A: r FETCH $ (UID)
         r OK …",
    );
}

#[test]
fn sort_and_thread() {
    let world = World::new();
    world.mail(
        "",
        "",
        "Subject: b\nFrom: Zoe <a@x.test>\nMessage-ID: <1@x>\nDate: Thu, 1 Jan 2026 03:00:00 +0000\n\nx\n",
    );
    world.mail("", "", "Subject: Re: b\nFrom: b@x.test\nIn-Reply-To: <1@x>\nMessage-ID: <2@x>\nDate: Thu, 1 Jan 2026 02:00:00 +0000\n\nxyz\n");
    world.mail("", "", "Subject: a\nFrom: c@x.test\nDate: Thu, 1 Jan 2026 01:00:00 +0000\n\nxy\n");
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SORT (SUBJECT REVERSE DATE) UTF-8 ALL
         * SORT 3 1 2
         b OK …
         A: c UID SORT (DATE) US-ASCII ALL
         * SORT 3 2 1
         c OK …
         A: d SORT (REVERSE ARRIVAL) UTF-8 ALL
         * SORT 3 2 1
         d OK …
         A: e SORT (DISPLAYFROM) UTF-8 ALL
         * SORT 2 3 1
         e OK …
         A: f THREAD REFERENCES UTF-8 ALL
         * THREAD (3)(1 2)
         f OK …
         A: g UID THREAD ORDEREDSUBJECT UTF-8 ALL
         * THREAD (3)(2 1)
         g OK …
         A: h SORT (SIZE) x-none ALL
         h NO [BADCHARSET …
         A: i THREAD REFERENCES UTF-8 SUBJECT none
         * THREAD
         i OK …
         A: j FETCH 1:2 THREADID
         * 1 FETCH (THREADID (T573a9c468b3a3ac17d1f7d791ed065))
         * 2 FETCH (THREADID (T573a9c468b3a3ac17d1f7d791ed065))
         j OK …
         A: k SEARCH THREADID T573a9c468b3a3ac17d1f7d791ed065
         * SEARCH 1 2
         k OK …
         A: l SEARCH NOT THREADID T573a9c468b3a3ac17d1f7d791ed065
         * SEARCH 3
         l OK …
         A: m FETCH 3 (EMAILID THREADID)
         * 3 FETCH (EMAILID (M…) THREADID (T…))
         m OK …",
    );
}

#[test]
fn an_empty_mailbox_is_searched_without_a_mistake() {
    World::new().play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SEARCH 1:* UNSEEN
         * SEARCH
         b OK …
         A: c UID SEARCH UID 1:*
         * SEARCH
         c OK …",
    );
}

#[test]
fn fuzzy_finds_words_in_any_order_and_says_how_well() {
    let world = World::new();
    world.mail("", "", "Subject: broken imap\n\nx\n");
    world.mail("", "", "Subject: imap, broken\n\nx\n");
    world.mail("", "", "Subject: imap\n\nx\n");
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SEARCH SUBJECT \"broken imap\"
         * SEARCH 1
         b OK …
         A: c SEARCH RETURN (ALL RELEVANCY) FUZZY SUBJECT \"imap broken\"
         * ESEARCH (TAG \"c\") ALL 1:2 RELEVANCY (50 50)
         c OK …
         A: d SORT RETURN (ALL RELEVANCY COUNT) (REVERSE RELEVANCY) UTF-8 FUZZY SUBJECT \"broken imap\"
         * ESEARCH (TAG \"d\") COUNT 2 ALL 2,1 RELEVANCY (50 100)
         d OK …
         A: e UID SORT RETURN (PARTIAL 1:1 RELEVANCY) (RELEVANCY) UTF-8 FUZZY (SUBJECT \"broken imap\")
         * ESEARCH (TAG \"e\") UID PARTIAL (1:1 1) RELEVANCY (100)
         e OK …
         A: f SEARCH RETURN (RELEVANCY) SUBJECT imap
         f BAD …
         A: g SORT (RELEVANCY) UTF-8 SUBJECT imap
         g BAD …",
    );
}

#[test]
fn several_mailboxes_in_one_search() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE work/a/b
         a OK …
         A: a APPEND work {14+}
         A: Subject: one
         A:
         a OK …
         A: a APPEND work/a/b {14+}
         A: Subject: one
         A:
         a OK …
         A: b ESEARCH IN (mailboxes (INBOX missing) subtree work) SUBJECT one
         * ESEARCH (TAG \"b\" MAILBOX \"INBOX\" UIDVALIDITY …) UID ALL 1
         * ESEARCH (TAG \"b\" MAILBOX \"work\" UIDVALIDITY …) UID ALL 1
         * ESEARCH (TAG \"b\" MAILBOX \"work/a/b\" UIDVALIDITY …) UID ALL 1
         b OK …
         A: c ESEARCH IN (subtree-one work) RETURN (COUNT) ALL
         * ESEARCH (TAG \"c\" MAILBOX \"work\" UIDVALIDITY …) UID COUNT 1
         c OK …
         A: d ESEARCH IN (personal inboxes) RETURN (COUNT MIN) UNSEEN
         * ESEARCH (TAG \"d\" MAILBOX \"INBOX\" UIDVALIDITY …) UID MIN 1 COUNT 2
         ~
         d OK …
         A: e ESEARCH IN (selected) ALL
         e BAD …
         A: f ESEARCH ALL
         f BAD …
         A: g SELECT work
         ~
         g OK …
         B: a SELECT work
         ~
         a OK …
         B: b STORE 1 +FLAGS.SILENT (\\Flagged)
         b OK …
         A: h ESEARCH RETURN (SAVE ALL) FLAGGED
         * 1 FETCH (UID 1 FLAGS (\\Flagged \\Recent))
         h OK …
         A: i ESEARCH RETURN (SAVE ALL) ALL
         * ESEARCH (TAG \"i\" MAILBOX \"work\" UIDVALIDITY …) UID ALL 1
         i OK …
         A: j FETCH $ (UID)
         * 1 FETCH (UID 1)
         j OK …
         A: k ESEARCH IN (selected personal) RETURN (SAVE) ALL
         k BAD …
         A: l ESEARCH IN (selected-delayed) ALL
         l BAD …
         A: m ESEARCH IN (personal) CHARSET x-none TEXT a
         m NO [BADCHARSET …",
    );
}

#[test]
fn a_long_search_says_that_it_goes_on() {
    let world = World::with(|settings| settings.imap.progress = std::time::Duration::from_nanos(1));
    world.three();
    world.play(
        "A: a CAPABILITY
         * CAPABILITY … INPROGRESS…
         a OK …
         A: b SELECT INBOX
         ~
         b OK …
         A: c SEARCH TEXT two
         * OK [INPROGRESS (\"c\" 0 3)] still searching
         ~
         * SEARCH 2
         c OK …
         A: d SEARCH RETURN (SAVE) SUBJECT one
         d OK …
         A: e FETCH $ (UID)
         * 1 FETCH (UID 1)
         e OK …
         A: f SORT (SUBJECT) UTF-8 TEXT two
         * OK [INPROGRESS (\"f\" 0 3)] still searching
         ~
         * SORT 2
         f OK …
         A: g THREAD REFERENCES UTF-8 TEXT two
         * OK [INPROGRESS (\"g\" 0 3)] still searching
         ~
         * THREAD (2)
         g OK …
         A: h SORT (REVERSE ARRIVAL) UTF-8 ALL
         * SORT …
         h OK …",
    );
    let silent = World::with(|settings| settings.imap.progress = std::time::Duration::ZERO);
    silent.three();
    silent.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SEARCH TEXT two
         * SEARCH 2
         b OK …",
    );
}
