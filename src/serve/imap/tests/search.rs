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
         A: g SEARCH 7
         g BAD …
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
         A: h SEARCH RETURN (SAVE) 99
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
         i OK …",
    );
}
