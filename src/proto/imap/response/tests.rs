use super::*;
use crate::mailbox::{ModSeq, Uid, UidValidity};
use crate::proto::imap::command::PartialRange;
use crate::proto::imap::extension::Extension;
use crate::proto::imap::item::{Section, SectionText};

fn printed(print: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    print(&mut out);
    String::from_utf8(out).unwrap()
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

fn set(numbers: &[u32]) -> UidSet {
    numbers.iter().copied().collect()
}

const REV1: Enabled = Enabled::NONE;

#[test]
fn strings_are_quoted_or_literals() {
    for (text, wire) in [
        (&b""[..], "\"\""),
        (b"a \"b\\", "\"a \\\"b\\\\\""),
        (b"a\r\nb", "{4}\r\na\r\nb"),
        (b"a\0b", "\"ab\""),
        ("\u{e9}".as_bytes(), "{2}\r\n\u{e9}"),
    ] {
        assert_eq!(printed(|out| string(out, text)), wire);
    }
    assert_eq!(printed(|out| utf8_string(out, "\u{e9}")), "\"\u{e9}\"");
    assert!(printed(|out| string(out, &[b'x'; 5000])).starts_with("{5000}\r\n"));
    for (text, wire) in [("a]", "a]"), ("", "\"\""), ("nil", "\"nil\""), ("a b", "\"a b\""), ("a*", "\"a*\"")] {
        assert_eq!(printed(|out| astring(out, text.as_bytes())), wire);
    }
    assert_eq!(printed(|out| nstring(out, None)), "NIL");
}

#[test]
fn mailbox_names_go_out_as_the_session_wants() {
    let rev2 = REV1.with(Extension::Imap4Rev2);
    for (text, old, new) in [
        ("INBOX", "\"INBOX\"", "\"INBOX\""),
        ("a&b", "\"a&-b\"", "\"a&b\""),
        ("日本語", "\"&ZeVnLIqe-\"", "\"日本語\""),
        ("a\"b", "\"a\\\"b\"", "\"a\\\"b\""),
    ] {
        assert_eq!(printed(|out| mailbox(out, &name(text), REV1)), old);
        assert_eq!(printed(|out| mailbox(out, &name(text), rev2)), new);
    }
}

#[test]
fn status_lines() {
    let code = Code::CopyUid(UidValidity::new(7).unwrap(), set(&[1, 2, 5]), set(&[9, 10, 11]));
    assert_eq!(
        printed(|out| tagged(out, "a1", Status::Ok, Some(&code), "done")),
        "a1 OK [COPYUID 7 1:2,5 9:11] done\r\n"
    );
    assert_eq!(printed(|out| untagged(out, Status::No, None, "[x]\r\n\u{e9}")), "* NO -[x]???\r\n");
    assert_eq!(printed(|out| untagged(out, Status::Bye, None, "")), "* BYE -\r\n");
    for (code, wire) in [
        (Code::PermanentFlags(vec!["\\Seen".into(), "\\*".into()]), "PERMANENTFLAGS (\\Seen \\*)"),
        (Code::BadUrl("imap:]\r\n x".into()), "BADURL imap:x"),
        (Code::InProgress("a\"b".into(), Some((5, 10))), "INPROGRESS (\"a\\\"b\" 5 10)"),
        (Code::InProgress("a]".into(), Some((10, 10))), "INPROGRESS (NIL NIL NIL)"),
        (Code::NoUpdate("B2".into()), "NOUPDATE \"B2\""),
        (Code::ReadOnly, "READ-ONLY"),
        (Code::ServerBug, "SERVERBUG"),
        (Code::MetadataTooMany, "METADATA TOOMANY"),
    ] {
        assert_eq!(printed(|out| code.print(out)), wire);
    }
}

#[test]
fn numbers_of_the_mailbox() {
    assert_eq!(printed(|out| exists(out, 5)), "* 5 EXISTS\r\n");
    assert_eq!(printed(|out| vanished(out, true, &set(&[1, 2, 3]))), "* VANISHED (EARLIER) 1:3\r\n");
    assert_eq!(printed(|out| vanished(out, false, &set(&[]))), "");
    assert_eq!(printed(|out| flags(out, ["\\Seen", "$x"])), "* FLAGS (\\Seen $x)\r\n");
}

#[test]
fn lists_and_status() {
    let old = name("b");
    let listed = Listed {
        attributes: vec!["\\HasChildren", "\\Sent"],
        delimiter: Some('\\'),
        name: "a",
        child_info: vec!["SUBSCRIBED"],
        old_name: Some(&old),
    };
    assert_eq!(
        printed(|out| list(out, &listed, REV1)),
        "* LIST (\\HasChildren \\Sent) \"\\\\\" \"a\" (\"CHILDINFO\" (\"SUBSCRIBED\") \"OLDNAME\" (\"b\"))\r\n"
    );
    assert_eq!(printed(|out| lsub(out, &Listed::default(), REV1)), "* LSUB () NIL \"\"\r\n");
    let values = [StatusValue::Messages(3), StatusValue::AppendLimit(None), StatusValue::MailboxId("F1".into())];
    assert_eq!(
        printed(|out| status(out, &old, &values, REV1)),
        "* STATUS \"b\" (MESSAGES 3 APPENDLIMIT NIL MAILBOXID (F1))\r\n"
    );
    let personal = [Namespace { prefix: "", delimiter: Some('/') }];
    let shared = [Namespace { prefix: "#shared/", delimiter: Some('/') }, Namespace { prefix: "~x", delimiter: None }];
    assert_eq!(
        printed(|out| namespace(out, &personal, &[], &shared, REV1)),
        "* NAMESPACE ((\"\" \"/\")) NIL ((\"#shared/\" \"/\")(\"~x\" NIL))\r\n"
    );
}

#[test]
fn search_results() {
    assert_eq!(printed(|out| search(out, [], ModSeq::new(5))), "* SEARCH\r\n");
    assert_eq!(printed(|out| search(out, [2, 1], ModSeq::new(5))), "* SEARCH 2 1 (MODSEQ 5)\r\n");
    let inbox = name("INBOX");
    let found = Esearch {
        tag: "a",
        mailbox: Some((&inbox, UidValidity::new(7).unwrap())),
        is_uid: true,
        min: Some(1),
        count: Some(3),
        all: Some(&[(1, 2), (9, 9)]),
        partial: Some((PartialRange { from: 1, to: 10, is_from_end: true }, &[])),
        add_to: &[(0, set(&[4]))],
        relevancy: Some(&[100, 4]),
        modseq: ModSeq::new(8),
        ..Esearch::default()
    };
    assert_eq!(
        printed(|out| esearch(out, &found, REV1)),
        "* ESEARCH (TAG \"a\" MAILBOX \"INBOX\" UIDVALIDITY 7) UID MIN 1 COUNT 3 ALL 1:2,9 PARTIAL (-1:-10 NIL) ADDTO (0 4) \
         RELEVANCY (100 4) MODSEQ 8\r\n"
    );
    assert_eq!(
        printed(|out| esearch(out, &Esearch { tag: "b", ..Esearch::default() }, REV1)),
        "* ESEARCH (TAG \"b\")\r\n"
    );
}

#[test]
fn batches_go_from_the_newest_down() {
    assert_eq!(printed(|out| uid_batches(out, "a", &[])), "* UIDBATCHES (TAG \"a\")\r\n");
    assert_eq!(printed(|out| uid_batches(out, "a", &[(90, 50), (49, 49)])), "* UIDBATCHES (TAG \"a\") 90:50,49:49\r\n");
}

#[test]
fn threads_stand_behind_one_blank() {
    use crate::mailbox::{Threadable, Threads};
    let letters = [1, 2].map(|number| Threadable { number, ..Threadable::default() });
    assert_eq!(printed(|out| thread(out, &Threads::by_references(&letters))), "* THREAD (1)(2)\r\n");
    assert_eq!(printed(|out| thread(out, &Threads::by_references(&[]))), "* THREAD\r\n");
}

#[test]
fn fetch_lines() {
    let line = printed(|out| {
        let mut fetch = FetchPrinter::begin(out, 3);
        fetch.uid(out, Uid::new(9).unwrap());
        fetch.flags(out, ["\\Seen"]);
        fetch.modseq(out, ModSeq::new(5).unwrap());
        let text = Some(SectionText::HeaderFields(vec!["From".into(), "a(b".into()], false));
        fetch.section(out, &Section { part: vec![1, 2], text }, Some(4), None);
        fetch.section_head(out, &Section::default(), None, 2);
        out.extend_from_slice(b"hi");
        fetch.binary_head(out, &[1], None, 1, true);
        out.push(b'x');
        fetch.preview(out, None);
        fetch.thread_id(out, "T1");
        fetch.end(out);
    });
    assert_eq!(
        line,
        "* 3 FETCH (UID 9 FLAGS (\\Seen) MODSEQ (5) BODY[1.2.HEADER.FIELDS (From \"a(b\")]<4> NIL BODY[] {2}\r\nhi \
         BINARY[1] ~{1}\r\nx PREVIEW NIL THREADID (T1))\r\n"
    );
    let line = printed(|out| FetchPrinter::begin_uid(out, Uid::FIRST).end(out));
    assert_eq!(line, "* 1 UIDFETCH ()\r\n");
}

#[test]
fn access_lines() {
    let inbox = name("INBOX");
    assert_eq!(printed(|out| quota(out, "", &[("STORAGE", 1, 2)])), "* QUOTA \"\" (STORAGE 1 2)\r\n");
    assert_eq!(printed(|out| quota_root(out, &inbox, &["", "x"], REV1)), "* QUOTAROOT \"INBOX\" \"\" \"x\"\r\n");
    assert_eq!(
        printed(|out| acl(out, &inbox, &[("bob", "lr"), ("x", "")], REV1)),
        "* ACL \"INBOX\" \"bob\" lr \"x\" \"\"\r\n"
    );
    assert_eq!(
        printed(|out| list_rights(out, &inbox, "bob", "", &["l", "r"], REV1)),
        "* LISTRIGHTS \"INBOX\" \"bob\" \"\" l r\r\n"
    );
    assert_eq!(
        printed(|out| metadata(out, None, &[("/a", Some(&b"\0"[..])), ("/b", None)], REV1)),
        "* METADATA \"\" (/a ~{1}\r\n\0 /b NIL)\r\n"
    );
    assert_eq!(printed(|out| id(out, &[])), "* ID NIL\r\n");
}
