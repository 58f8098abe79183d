//! Mailboxes as such.

use super::World;
use crate::settings::Size;

#[test]
fn list_patterns_and_levels() {
    let world = World::new();
    world.play(
        "A: a LIST \"\" \"\"
         * LIST (\\Noselect) \"/\" \"\"
         a OK …
         A: b CREATE work/2026/june/
         b OK [MAILBOXID …
         A: b CREATE inbox/sub
         b OK …
         A: b DELETE work
         b OK …
         A: c LIST \"\" %
         * LIST (\\HasChildren) \"/\" \"INBOX\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"work\"
         c OK …
         A: d LIST \"\" *
         * LIST (\\HasChildren) \"/\" \"INBOX\"
         * LIST (\\HasNoChildren) \"/\" \"INBOX/sub\"
         * LIST (\\Noselect \\HasChildren) \"/\" \"work\"
         * LIST (\\HasChildren) \"/\" \"work/2026\"
         * LIST (\\HasNoChildren) \"/\" \"work/2026/june\"
         d OK …
         A: e LIST work/ %
         * LIST (\\HasChildren) \"/\" \"work/2026\"
         e OK …
         A: f LIST \"\" inbox/%
         * LIST (\\HasNoChildren) \"/\" \"INBOX/sub\"
         f OK …
         A: g LIST \"\" (inbox work) RETURN (CHILDREN)
         * LIST (\\HasChildren) \"/\" \"INBOX\"
         * LIST (\\NonExistent \\HasChildren) \"/\" \"work\"
         g OK …
         A: h SELECT work
         h NO [NONEXISTENT] …
         A: i DELETE work
         i NO [NONEXISTENT] …
         A: j CREATE work/2026
         j NO [ALREADYEXISTS] …
         A: k CREATE Inbox
         k NO [ALREADYEXISTS] …
         A: l CREATE a//b
         l NO [CANNOT] …
         A: m DELETE inbox
         m NO [CANNOT] …
         A: n RENAME work/2026 work/2026/x
         n NO [CANNOT] …
         A: o RENAME work/2026 new/2027
         o OK …
         A: p LIST \"\" *
         * LIST (\\HasChildren) \"/\" \"INBOX\"
         * LIST (\\HasNoChildren) \"/\" \"INBOX/sub\"
         * LIST (\\HasChildren) \"/\" \"new\"
         * LIST (\\HasChildren) \"/\" \"new/2027\"
         * LIST (\\HasNoChildren) \"/\" \"new/2027/june\"
         p OK …
         A: q NAMESPACE
         * NAMESPACE ((\"\" \"/\")) ((\"~\" \"/\")) ((\"#shared/\" \"/\")(\"~public/\" \"/\"))
         q OK …",
    );
}

#[test]
fn subscriptions_are_names() {
    let world = World::new();
    world.play(
        "A: a CREATE one/two
         a OK …
         A: b SUBSCRIBE one/two
         b OK …
         A: c SUBSCRIBE gone/far/away
         c OK …
         A: d LSUB \"\" *
         * LSUB () \"/\" \"gone/far/away\"
         * LSUB () \"/\" \"one/two\"
         d OK …
         A: e LSUB \"\" %
         * LSUB (\\Noselect) \"/\" \"gone\"
         * LSUB (\\Noselect) \"/\" \"one\"
         e OK …
         A: f LIST (SUBSCRIBED) \"\" *
         * LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"gone/far/away\"
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"one/two\"
         f OK …
         A: g LIST (SUBSCRIBED RECURSIVEMATCH) \"\" %
         * LIST (\\NonExistent \\HasNoChildren) \"/\" \"gone\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
         * LIST (\\HasChildren) \"/\" \"one\" (\"CHILDINFO\" (\"SUBSCRIBED\"))
         g OK …
         A: h LIST (SUBSCRIBED RECURSIVEMATCH) \"\" *
         * LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"gone/far/away\"
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"one/two\"
         h OK …
         A: i LIST \"\" * RETURN (SUBSCRIBED)
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\HasChildren) \"/\" \"one\"
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"one/two\"
         i OK …
         A: j LIST (RECURSIVEMATCH) \"\" *
         j BAD …
         A: k UNSUBSCRIBE gone/far/away
         k OK …
         A: l LIST (SUBSCRIBED) \"\" *
         * LIST (\\HasNoChildren \\Subscribed) \"/\" \"one/two\"
         l OK …",
    );
}

#[test]
fn special_uses_and_status_beside_list() {
    let world = World::new();
    world.three();
    world.play(
        "A: a CREATE post/Sent (USE (\\sent))
         a OK …
         A: b CREATE x (USE (\\All))
         b NO [USEATTR] …
         A: c LIST (SPECIAL-USE) \"\" *
         * LIST (\\HasNoChildren \\Sent) \"/\" \"post/Sent\"
         c OK …
         A: d LIST (SPECIAL-USE RECURSIVEMATCH) \"\" %
         * LIST (\\HasChildren) \"/\" \"post\" (\"CHILDINFO\" (\"SPECIAL-USE\"))
         d OK …
         A: e LIST \"\" * RETURN (STATUS (MESSAGES UNSEEN))
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * STATUS \"INBOX\" (MESSAGES 3 UNSEEN 2)
         * LIST (\\HasChildren) \"/\" \"post\"
         * STATUS \"post\" (MESSAGES 0 UNSEEN 0)
         * LIST (\\HasNoChildren \\Sent) \"/\" \"post/Sent\"
         * STATUS \"post/Sent\" (MESSAGES 0 UNSEEN 0)
         e OK …
         A: f STATUS inbox (MESSAGES RECENT UIDNEXT UIDVALIDITY UNSEEN DELETED SIZE HIGHESTMODSEQ MAILBOXID)
         * STATUS \"INBOX\" (MESSAGES 3 RECENT 3 UIDNEXT 4 UIDVALIDITY … UNSEEN 2 DELETED 0 SIZE 141 HIGHESTMODSEQ … MAILBOXID (F…))
         f OK …
         A: g RENAME post/Sent Gone
         g OK …
         A: h LIST (SPECIAL-USE) \"\" *
         * LIST (\\HasNoChildren \\Sent) \"/\" \"Gone\"
         h OK …",
    );
}

#[test]
fn renaming_inbox_moves_its_messages() {
    let world = World::new();
    world.three();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b RENAME inbox old
         * 3 EXPUNGE
         * 2 EXPUNGE
         * 1 EXPUNGE
         b OK …
         A: c STATUS old (MESSAGES)
         * STATUS \"old\" (MESSAGES 3)
         c OK …
         A: d LIST \"\" %
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * LIST (\\HasNoChildren) \"/\" \"old\"
         d OK …
         A: e RENAME inbox old
         e NO [ALREADYEXISTS] …
         A: f RENAME old inbox
         f NO [ALREADYEXISTS] …",
    );
}

#[test]
fn names_in_every_charset() {
    let world = World::new();
    world.play(
        "A: a CREATE &ZeVnLIqe-/x.y
         a OK …
         A: b LIST \"\" &ZeVnLIqe-*
         * LIST (\\HasChildren) \"/\" \"&ZeVnLIqe-\"
         * LIST (\\HasNoChildren) \"/\" \"&ZeVnLIqe-/x.y\"
         b OK …
         A: c ENABLE IMAP4rev2
         ~
         c OK …
         A: d LIST \"\" \"日本*\"
         * LIST (\\HasChildren) \"/\" \"日本語\"
         * LIST (\\HasNoChildren) \"/\" \"日本語/x.y\"
         d OK …
         A: e STATUS \"日本語\" (MESSAGES)
         * STATUS \"日本語\" (MESSAGES 0)
         e OK …",
    );
}

#[test]
fn quota_is_told_and_kept() {
    let world = World::with(|settings| settings.accounts.quota = Size(2048));
    world.three();
    world.play(
        "A: a GETQUOTAROOT nowhere
         * QUOTAROOT \"nowhere\" \"\"
         * QUOTA \"\" (STORAGE 1 2)
         a OK …
         A: b GETQUOTA other
         b NO [NONEXISTENT] …
         A: c APPEND INBOX {3000}
         c NO [OVERQUOTA] …
         A: d SELECT INBOX
         ~
         d OK …
         A: e COPY 1:3 INBOX
         * 6 EXISTS
         * 6 RECENT
         e OK [COPYUID … 1:3 4:6] …
         A: f SETQUOTA \"\" (STORAGE 100)
         f BAD …",
    );
    let world = World::with(|settings| settings.accounts.quota_messages = 4);
    world.three();
    world.play(
        "A: a GETQUOTA \"\"
         * QUOTA \"\" (MESSAGE 3 4)
         a OK …
         A: b SELECT INBOX
         ~
         b OK …
         A: c COPY 1:2 INBOX
         c NO [OVERQUOTA] …
         A: d COPY 1 INBOX
         * 4 EXISTS
         * 4 RECENT
         d OK [COPYUID … 1 4] …
         A: e APPEND INBOX {3}
         e NO [OVERQUOTA] …",
    );
    World::new().play(
        "A: a GETQUOTAROOT INBOX
         * QUOTAROOT \"INBOX\"
         a OK …
         A: b GETQUOTA \"\"
         b NO [NONEXISTENT] …",
    );
}
