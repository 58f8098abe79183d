//! Annotations.

use super::World;

#[test]
fn annotations_of_mailboxes_and_the_server() {
    let world = World::new();
    world.three();
    world.play(
        "A: a GETMETADATA INBOX /private/comment
         * METADATA \"INBOX\" (/private/comment NIL)
         a OK done
         A: b SETMETADATA INBOX (/private/comment \"mine\" /Shared/Vendor/x/y {3+}
         A: abc)
         b OK …
         A: c GETMETADATA inbox (/private/Comment /shared/vendor/x/y)
         * METADATA \"INBOX\" (/private/Comment \"mine\" /shared/vendor/x/y \"abc\")
         c OK …
         A: d GETMETADATA (DEPTH infinity) INBOX (/shared)
         * METADATA \"INBOX\" (/shared/vendor/x/y \"abc\")
         d OK …
         A: e GETMETADATA (DEPTH 1) INBOX (/shared /private)
         * METADATA \"INBOX\" (/private/comment \"mine\")
         e OK …
         A: f GETMETADATA (MAXSIZE 3) INBOX (/private/comment /shared/vendor/x/y)
         * METADATA \"INBOX\" (/shared/vendor/x/y \"abc\")
         f OK [METADATA LONGENTRIES 4] …
         A: g SETMETADATA INBOX (/other/x \"a\")
         g BAD …
         A: h SETMETADATA missing (/private/comment \"a\")
         h NO [NONEXISTENT] …
         A: i GETMETADATA \"\" /shared/admin
         * METADATA \"\" (/shared/admin \"mailto:postmaster@example.test\")
         i OK …
         A: j SETMETADATA \"\" (/shared/comment \"a\")
         j NO [NOPERM] …
         A: k SETMETADATA \"\" (/private/vendor/x/z \"a\")
         k OK …
         A: l GETMETADATA \"\" (/private/vendor/x/z /shared/comment)
         * METADATA \"\" (/private/vendor/x/z \"a\" /shared/comment NIL)
         l OK …
         A: m SETMETADATA INBOX (/shared/vendor/x/y NIL)
         m OK …
         A: n GETMETADATA (DEPTH infinity) INBOX (/shared)
         n OK …",
    );
}

#[test]
fn annotations_go_where_their_mailbox_goes() {
    let world = World::new();
    world.play(
        "A: a CREATE one/two
         a OK …
         A: b SETMETADATA one/two (/private/comment \"x\")
         b OK …
         A: c RENAME one new
         c OK …
         A: d LIST \"\" % RETURN (METADATA (/private/comment /shared/comment))
         * LIST (\\HasNoChildren) \"/\" \"INBOX\"
         * METADATA \"INBOX\" (/private/comment NIL /shared/comment NIL)
         * LIST (\\HasChildren) \"/\" \"new\"
         * METADATA \"new\" (/private/comment NIL /shared/comment NIL)
         d OK …
         A: e GETMETADATA new/two /private/comment
         * METADATA \"new/two\" (/private/comment \"x\")
         e OK …
         A: f DELETE new/two
         f OK …
         A: g CREATE new/two
         g OK …
         A: h GETMETADATA new/two /private/comment
         * METADATA \"new/two\" (/private/comment NIL)
         h OK …
         A: i SETMETADATA INBOX (/private/comment \"in\")
         i OK …
         A: j RENAME INBOX out
         j OK …
         A: k LIST \"\" (INBOX out) RETURN (METADATA (/private/comment))
         * LIST …
         * METADATA \"INBOX\" (/private/comment \"in\")
         * LIST …
         * METADATA \"out\" (/private/comment \"in\")
         k OK …",
    );
}

#[test]
fn annotations_have_limits_and_count_as_changes() {
    let world = World::new();
    world.three();
    let large = format!(
        "A: a SETMETADATA INBOX (/private/comment \"x\" /shared/comment {{40000+}}
         A: {})
         a NO [METADATA MAXSIZE 32768] …
         A: b GETMETADATA INBOX /private/comment
         * METADATA \"INBOX\" (/private/comment NIL)
         b OK …",
        "y".repeat(40_000)
    );
    world.play(&large);
    let many: String = (0..101).map(|n| format!(" /private/vendor/x/{n} \"v\"")).collect();
    world.play(&format!(
        "A: a SETMETADATA INBOX ({})
         a NO [METADATA TOOMANY] …",
        many.trim_start()
    ));
    let highest = || {
        let home = world.dir.path().join("mail/example.test/alice");
        let folder = world.desk.registry.open(&home, &world.maildir("")).unwrap();
        folder.refresh().unwrap().highest_modseq
    };
    let before = highest();
    world.play(
        "A: a SELECT INBOX
         ~
         a OK …
         A: b SETMETADATA INBOX (/private/comment \"x\")
         b OK …
         A: c NOOP
         c OK nothing done",
    );
    assert!(highest() > before);
}
