use crate::mailbox::{ModSeq, SeqSet, System};
use crate::proto::imap::ask::Refusal;
use crate::proto::imap::command::{Command, Flag, MailboxName, Messages, PartialRange, Set, StoreAction};
use crate::proto::imap::commands::{self, Own, Parse, Reader};
use crate::proto::imap::config::{Config, Limits};
use crate::proto::imap::extension::{Enabled, Extension};
use crate::proto::imap::frame::{self, Piece, Tail};
use crate::proto::imap::item::{FetchItem, Section, SectionText, StatusItem};
use crate::proto::imap::key::{AddressField, Date, DateField, Relation, SearchKey, Source};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::scan::Scan;

mod properties;

fn config(capabilities: &str) -> Config {
    Config {
        host: "imap.test".into(),
        capabilities: capabilities.split(' ').map(str::to_string).collect(),
        mechanisms: Vec::new(),
        starttls: false,
        tolerates_spaces: false,
        id: Vec::new(),
        limits: Limits::default(),
    }
}

const ALL: &str = "IMAP4rev2 IMAP4rev1 LITERAL+ ID ENABLE LANGUAGE UNAUTHENTICATE NOTIFY MULTISEARCH QUOTA QUOTASET ACL METADATA URLAUTH \
     SORT SORT=DISPLAY ESORT THREAD=REFERENCES THREAD=ORDEREDSUBJECT CONTEXT=SEARCH CONTEXT=SORT REPLACE MULTIAPPEND CATENATE \
     CONDSTORE QRESYNC UTF8=ACCEPT UIDONLY WITHIN SEARCH=FUZZY SAVEDATE OBJECTID PREVIEW PARTIAL BINARY APPENDLIMIT=1000 \
     LIST-MYRIGHTS LIST-METADATA CREATE-SPECIAL-USE UIDBATCHES";

/// The pieces of a command written as on the wire.
fn pieces(wire: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = wire;
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap_or(rest.len());
        let (text, tail) = frame::split(&rest[..end]);
        pieces.push(Piece::Text(text.into()));
        rest = &rest[(end + 2).min(rest.len())..];
        let Tail::Literal(announced) = tail else { return pieces };
        let (literal, after) = rest.split_at(announced.size as usize);
        pieces.push(Piece::Literal(literal.to_vec(), announced.is_binary));
        rest = after;
    }
}

fn parse_with(wire: &[u8], capabilities: &str, enabled: Enabled) -> Result<Parse, Refusal> {
    let (config, pieces) = (config(capabilities), pieces(wire));
    let mut scan = Scan::new(&pieces, &config, enabled);
    let Reader::Whole(read) = commands::find(&mut scan)?.reader else { panic!("read as it arrives") };
    read(&mut scan).and_then(|parse| scan.end().map(|()| parse))
}

fn parse(wire: &str) -> Result<Parse, Refusal> {
    parse_with(wire.as_bytes(), ALL, Enabled::default())
}

fn run(wire: &str) -> Command {
    match parse(wire) {
        Ok(Parse::Run(command)) => command,
        other => panic!("{wire}: {other:?}"),
    }
}

fn name(name: &str) -> MailboxName {
    MailboxName::new(name).unwrap()
}

fn numbers(text: &str) -> Set {
    Set::These(SeqSet::parse(text.as_bytes()).unwrap())
}

#[test]
fn what_is_wrong_is_refused() {
    for wire in [
        "",
        " ",
        "NOOP ",
        "NOOP x",
        "XYZZY",
        "UID",
        "UID ",
        "UID NOOP",
        "LOGIN",
        "LOGIN a",
        "LOGIN a ",
        "LOGIN  a b",
        "LOGIN a b ",
        "LOGIN a b c",
        "LOGIN \"a b",
        "LOGIN \"a\\x\" b",
        "LOGIN a\u{e9} b",
        "LOGIN (a) b",
        "LOGIN a\tb",
        "LOGIN \"a\rb\" c",
        "SELECT",
        "SELECT a b",
        "SELECT a ()",
        "SELECT a (X)",
        "SELECT a (QRESYNC (1 1))",
        "CREATE a (USE)",
        "CREATE &Jjo",
        "STATUS a",
        "STATUS a ()",
        "STATUS a (X)",
        "STATUS a (MESSAGES",
        "STATUS a MESSAGES",
        "LIST",
        "LIST a",
        "LIST (RECURSIVEMATCH) \"\" *",
        "LIST (X) \"\" *",
        "LIST \"\" ()",
        "LIST \"\" * RETURN",
        "LIST \"\" * RETURN (X)",
        "LIST \"\" * X (Y)",
        "FETCH",
        "FETCH 1",
        "FETCH 1 ",
        "FETCH 0 FLAGS",
        "FETCH a FLAGS",
        "FETCH 1 ()",
        "FETCH 1 (FLAGS",
        "FETCH 1 (FLAGS  UID)",
        "FETCH 1 X",
        "FETCH 1 FLAGS UID",
        "FETCH 1 BODY[",
        "FETCH 1 BODY[0]",
        "FETCH 1 BODY[1.]",
        "FETCH 1 BODY[.1]",
        "FETCH 1 BODY[MIME]",
        "FETCH 1 BODY[HEADER.FIELDS]",
        "FETCH 1 BODY[HEADER.FIELDS ()]",
        "FETCH 1 BODY[HEADER.FIELDS (a:b)]",
        "FETCH 1 BODY[]<1>",
        "FETCH 1 BODY[]<0.0>",
        "FETCH 1 BODY[]<-1.5>",
        "FETCH 1 BINARY[TEXT]",
        "FETCH 1 BINARY",
        "FETCH 1 BODY.PEEK",
        "FETCH 1 (ALL UID)",
        "FETCH 1 FLAGS (X)",
        "FETCH 1 FLAGS (CHANGEDSINCE)",
        "FETCH 1 FLAGS (CHANGEDSINCE 1 VANISHED)",
        "FETCH 1 FLAGS (PARTIAL 1:2)",
        "STORE 1 FLAGS",
        "STORE 1 X (\\Seen)",
        "STORE 1 FLAGS (\\Recent)",
        "STORE 1 FLAGS (\\*)",
        "STORE 1 FLAGS \\Seen  \\Deleted",
        "STORE 1 ++FLAGS x",
        "STORE 1 (UNCHANGEDSINCE x) FLAGS x",
        "COPY 1",
        "COPY 1 a b",
        "SEARCH",
        "SEARCH ",
        "SEARCH ()",
        "SEARCH (ALL",
        "SEARCH X",
        "SEARCH NOT",
        "SEARCH OR ALL",
        "SEARCH BEFORE 31-Feb-2020",
        "SEARCH BEFORE 1-Foo-2020",
        "SEARCH BEFORE 1-Jan-20",
        "SEARCH BEFORE \"1-Jan-2020",
        "SEARCH LARGER x",
        "SEARCH LARGER 9223372036854775808",
        "SEARCH OLDER 0",
        "SEARCH RETURN (X) ALL",
        "SEARCH RETURN (ALL PARTIAL 1:2) ALL",
        "SEARCH CHARSET UTF-8",
        "SEARCH KEYWORD \\Seen",
        "SEARCH EMAILID a.b",
        "SEARCH 1:",
        "SORT ALL",
        "SORT () UTF-8 ALL",
        "SORT (X) UTF-8 ALL",
        "SORT (REVERSE) UTF-8 ALL",
        "SORT (DATE) UTF-8",
        "THREAD X UTF-8 ALL",
        "THREAD REFERENCES ALL",
        "ENABLE",
        "ENABLE ",
        "ID",
        "ID x",
        "ID (\"a\")",
        "ID (\"a\" x)",
        "NOTIFY",
        "NOTIFY SET",
        "NOTIFY SET (selected (MessageNew))",
        "NOTIFY SET (personal (FlagChange))",
        "NOTIFY SET (selected (MailboxName))",
        "NOTIFY SET (selected NONE) (selected-delayed NONE)",
        "NOTIFY SET (subtree-one a NONE)",
        "SETACL a b LR",
        "GETMETADATA a b",
        "GETMETADATA a /b/",
        "GETMETADATA a /b//c",
        "GETMETADATA a /*",
        "SETMETADATA a ()",
        "SETMETADATA a (/b)",
        "UID EXPUNGE",
        "AUTHENTICATE",
        "CANCELUPDATE",
        "CANCELUPDATE x",
        "ESEARCH IN () ALL",
        "ESEARCH IN (x) ALL",
    ] {
        let refusal = parse(wire).expect_err(wire);
        let is_name = wire.starts_with("CREATE &");
        assert_eq!(refusal.status, if is_name { Status::No } else { Status::Bad }, "{wire}");
    }
}

#[test]
fn strings_come_in_three_forms() {
    let login =
        |user: &str, password: &str| Ok(Parse::Own(Own::Login { user: user.into(), password: password.into() }));
    assert_eq!(parse("LOGIN a b]"), login("a", "b]"));
    assert_eq!(parse("login \"a \\\"\\\\\" \"\""), login("a \"\\", ""));
    assert_eq!(parse("LOGIN {3}\r\nx y {0+}\r\n"), login("x y", ""));
    assert_eq!(parse("LOGIN {11+}\r\nA LOGOUT\r\nx {7}\r\nfat {3}"), login("A LOGOUT\r\nx", "fat {3}"));
    assert_eq!(parse("LOGIN \"\u{e9}\" {2+}\r\n\u{e9}"), login("\u{e9}", "\u{e9}"));
    assert!(parse("LOGIN a ~{1}\r\nb").is_err(), "literal8");
    assert!(parse_with(b"LOGIN a {1}\r\n\0", ALL, Enabled::default()).is_err(), "NUL");
    assert!(parse_with(b"LOGIN a {1}\r\n\xff", ALL, Enabled::default()).is_err(), "not UTF-8");
    assert!(parse_with(b"LOGIN a \"\xff\"", ALL, Enabled::default()).is_err(), "not UTF-8");
    assert!(parse("LOGIN a {1}\r\nbc").is_err(), "behind a literal");
}

#[test]
fn mailbox_names_are_unicode() {
    let select = |wire: &[u8], enabled| match parse_with(wire, ALL, enabled) {
        Ok(Parse::Run(Command::Select(select))) => select.mailbox.as_str().to_string(),
        other => panic!("{other:?}"),
    };
    let rev1 = Enabled::default();
    let rev2 = rev1.with(Extension::Imap4Rev2);
    assert_eq!(select(b"SELECT inBox", rev1), "INBOX");
    assert_eq!(select(b"SELECT \"INBOX/a\"", rev1), "INBOX/a");
    assert_eq!(select(b"SELECT &ZeVnLIqe-", rev1), "日本語");
    assert_eq!(select(b"SELECT &ZeVnLIqe-", rev2), "&ZeVnLIqe-");
    assert_eq!(select("SELECT \"日本語\"".as_bytes(), rev2), "日本語");
    assert_eq!(select("SELECT \"日本語\"".as_bytes(), rev1), "日本語");
    assert_eq!(select(b"SELECT \"a&-b\"", rev1), "a&b");
    assert_eq!(select(b"SELECT \"A &\"", rev1), "A &");
    assert!(parse_with(b"SELECT {2}\r\n\xc3(", ALL, rev2).is_err());
    assert!(parse("SELECT \"a\tb\"").is_err(), "control characters");
    assert!(parse("SELECT \"&AAk-\"").is_err(), "encoded control characters");
    assert_eq!(run("LSUB \"\" &ZeVnLIqe-*"), Command::Lsub("".into(), "日本語*".into()));
}

#[test]
fn commands_on_mailboxes() {
    assert_eq!(
        run("CREATE x (USE (\\Sent \\Drafts))"),
        Command::Create(name("x"), vec!["\\Sent".into(), "\\Drafts".into()])
    );
    assert_eq!(run("RENAME a b"), Command::Rename(name("a"), name("b")));
    assert_eq!(
        run("status a (messages SIZE MESSAGES APPENDLIMIT)"),
        Command::Status(name("a"), vec![StatusItem::Messages, StatusItem::Size, StatusItem::AppendLimit])
    );
    let Command::List(list) =
        run("LIST (SUBSCRIBED RECURSIVEMATCH) \"\" (a% \"b*\") RETURN (CHILDREN STATUS (UNSEEN) MYRIGHTS)")
    else {
        panic!()
    };
    assert!(
        list.subscribed && list.recursive_match && list.returns.children && list.returns.my_rights && list.is_extended
    );
    assert_eq!((list.patterns, list.returns.status), (vec!["a%".to_string(), "b*".into()], vec![StatusItem::Unseen]));
    let Command::List(list) = run("LIST \"\" %") else { panic!() };
    assert!(!list.is_extended);
    let qresync = Enabled::default().with(Extension::Qresync);
    let select = parse_with(b"SELECT a (CONDSTORE QRESYNC (7 9 1:5 (1,3 2,9)))", ALL, qresync);
    let Ok(Parse::Run(command @ Command::Select(_))) = select else { panic!("{select:?}") };
    assert!(command.enables_condstore());
    let Command::Select(select) = command else { panic!() };
    let known = select.qresync.unwrap();
    assert_eq!((known.uid_validity.number(), known.modseq.number()), (7, 9));
    assert_eq!(known.known_uids.unwrap().to_string(), "1:5");
    assert_eq!(known.matches.map(|(a, b)| format!("{a} {b}")).unwrap(), "1,3 2,9");
    for wrong in ["SELECT a (QRESYNC (7 9 1:*))", "SELECT a (QRESYNC (0 9))", "SELECT a (QRESYNC (7 0))"] {
        assert!(parse_with(wrong.as_bytes(), ALL, qresync).is_err(), "{wrong}");
    }
}

#[test]
fn fetch_items() {
    let items = |wire: &str| match run(wire) {
        Command::Fetch(fetch) => fetch.items,
        other => panic!("{other:?}"),
    };
    assert_eq!(items("FETCH 1 ALL").len(), 4);
    assert_eq!(items("FETCH 1 full").len(), 5);
    assert_eq!(items("FETCH 1 (Fast)").len(), 3);
    assert_eq!(items("FETCH 1 BODY"), [FetchItem::Body]);
    assert_eq!(items("FETCH 1 (PREVIEW (LAZY) PREVIEW)"), [FetchItem::Preview(true), FetchItem::Preview(false)]);
    assert_eq!(
        items("FETCH 1 body.peek[1.2.header.fields.not (From \"To\")]<10.20>"),
        [FetchItem::Section {
            section: Section {
                part: vec![1, 2],
                text: Some(SectionText::HeaderFields(vec!["From".into(), "To".into()], true))
            },
            partial: Some((10, 20)),
            is_peek: true
        }]
    );
    let Command::Fetch(fetch) = run("UID FETCH 1:* PREVIEW (PARTIAL -1:-100 CHANGEDSINCE 5)") else { panic!() };
    assert_eq!(fetch.items, [FetchItem::Preview(false)]);
    assert_eq!(fetch.partial, Some(PartialRange { from: 1, to: 100, is_from_end: true }));
    assert_eq!(fetch.changed_since, ModSeq::new(5));
    assert!(run("FETCH $ UID").uses_sequence_numbers());
}

#[test]
fn store_and_copy() {
    let Command::Store(store) = run("UID STORE 1,3 (UNCHANGEDSINCE 0) -flags.silent (\\seen $Junk)") else { panic!() };
    assert_eq!((store.action, store.is_silent, store.unchanged_since), (StoreAction::Remove, true, ModSeq::new(0)));
    assert_eq!(store.flags, [Flag::System(System::Seen), Flag::Keyword("$Junk".into())]);
    let Command::Store(store) = run("STORE 1 FLAGS \\Deleted x") else { panic!() };
    assert_eq!((store.action, store.flags.len()), (StoreAction::Replace, 2));
    assert_eq!(run("MOVE $ x"), Command::Move(Messages { is_uid: false, set: Set::Saved }, name("x")));
    assert_eq!(run("UIDBATCHES 2000 10:20"), Command::UidBatches(2000, Some((10, 20))));
    for wrong in ["2000 10", "0", "500 2:1", "500 0:1", "500 1:2 3", "", "x"] {
        assert!(parse(&format!("UIDBATCHES {wrong}")).is_err(), "{wrong}");
    }
    assert_eq!(run("UID EXPUNGE 5:7"), Command::Expunge(Some(numbers("5:7"))));
}

#[test]
fn search_keys() {
    let key = |wire: &str| match run(&format!("SEARCH {wire}")) {
        Command::Search(search) => search.key,
        other => panic!("{other:?}"),
    };
    assert_eq!(key("ALL"), SearchKey::All);
    assert_eq!(key("(all)"), SearchKey::All);
    assert_eq!(
        key("1:3 UNSEEN"),
        SearchKey::And(vec![SearchKey::Numbers(numbers("1:3")), SearchKey::Lacks(System::Seen)])
    );
    let from = |text: &str| SearchKey::Address(AddressField::From, text.as_bytes().into());
    assert_eq!(key("OR FROM a OR FROM b FROM c"), SearchKey::Or(vec![from("a"), from("b"), from("c")]));
    assert_eq!(
        key("OR (OR FROM a FROM b) FROM c"),
        SearchKey::Or(vec![SearchKey::Or(vec![from("a"), from("b")]), from("c")])
    );
    assert_eq!(
        key("NOT FUZZY BODY x"),
        SearchKey::Not(Box::new(SearchKey::Fuzzy(Box::new(SearchKey::Body(b"x"[..].into())))))
    );
    let day = Date { year: 2020, month: 2, day: 29 };
    assert_eq!(key("SENTSINCE 29-feb-2020"), SearchKey::Date(DateField::Sent, Relation::Since, day));
    assert_eq!(key("SAVEDON \"29-Feb-2020\""), SearchKey::Date(DateField::Saved, Relation::On, day));
    assert_eq!(key("MODSEQ \"/flags/\\\\seen\" all 7"), SearchKey::ModSeq(ModSeq::new(7).unwrap()));
    assert_eq!(key("HEADER Subject {3}\r\na b"), SearchKey::Header("Subject".into(), b"a b"[..].into()));
    assert_eq!(key("SUBJECT {2}\r\n\u{e9}"), SearchKey::Subject("\u{e9}".as_bytes().into()));
}

#[test]
fn search_returns_and_sources() {
    let search = |wire: &str| match run(wire) {
        Command::Search(search) => search,
        other => panic!("{other:?}"),
    };
    assert!(search("SEARCH RETURN () ALL").returns.unwrap().all);
    let returns = search("UID SEARCH RETURN (MIN COUNT SAVE PARTIAL 1:10) CHARSET UTF-8 ALL").returns.unwrap();
    assert!(returns.min && returns.count && returns.save && !returns.all && returns.partial.is_some());
    assert_eq!(
        search("SEARCH CHARSET ISO-2022-JP SUBJECT \"\u{1b}$B\u{1b}(B\"").charset.as_deref(),
        Some("ISO-2022-JP")
    );
    let found = search("ESEARCH IN (selected subtree (a b) mailboxes c) RETURN (COUNT) UNSEEN");
    assert_eq!(
        found.sources,
        [Source::Selected, Source::Subtree(vec![name("a"), name("b")]), Source::Mailboxes(vec![name("c")])]
    );
    assert!(found.is_uid && !Command::Search(found).uses_sequence_numbers());
    let utf8 = Enabled::default().with(Extension::Utf8Accept);
    assert!(parse_with(b"SEARCH CHARSET UTF-8 ALL", ALL, utf8).is_err());
}

#[test]
fn nesting_has_an_end() {
    for (open, close) in [("(", ")"), ("NOT ", ""), ("OR (", ") ALL")] {
        let nested = |depth: usize| format!("SEARCH {}ALL{}", open.repeat(depth), close.repeat(depth));
        assert!(parse(&nested(20)).is_ok());
        assert_eq!(parse(&nested(1000)).unwrap_err().text, "nested too deeply");
    }
    // A flat chain is no nesting.
    assert!(parse(&format!("SEARCH {}ALL", "OR FROM a ".repeat(5000))).is_ok());
}

#[test]
fn what_is_not_offered_is_unknown() {
    for wire in [
        "NAMESPACE",
        "IDLE",
        "ENABLE X",
        "UNSELECT",
        "MOVE 1 a",
        "ID NIL",
        "SORT (DATE) UTF-8 ALL",
        "THREAD REFERENCES UTF-8 ALL",
        "SEARCH RETURN () ALL",
        "SEARCH YOUNGER 5",
        "SEARCH MODSEQ 5",
        "SEARCH EMAILID a",
        "SEARCH SAVEDBEFORE 1-Jan-2020",
        "FETCH 1 MODSEQ",
        "FETCH 1 PREVIEW",
        "FETCH 1 BINARY[]",
        "STATUS a (SIZE)",
        "LIST (SUBSCRIBED) \"\" *",
        "LIST \"\" (a)",
        "SELECT a (CONDSTORE)",
        "CREATE a (USE (\\Sent))",
        "NOTIFY NONE",
        "GETQUOTA \"\"",
        "GETACL a",
        "GETMETADATA a /b",
        "FETCH $ UID",
        "UID EXPUNGE 1",
    ] {
        assert!(parse_with(wire.as_bytes(), "IMAP4rev1", Enabled::default()).is_err(), "{wire}");
        if !wire.starts_with("ENABLE") {
            assert!(parse(wire).is_ok(), "{wire}");
        }
    }
    for wire in ["LSUB \"\" *", "CHECK", "FETCH 1 RFC822", "SEARCH NEW"] {
        assert!(parse_with(wire.as_bytes(), "IMAP4rev2", Enabled::default()).is_err(), "{wire}");
    }
    assert!(parse_with(b"SEARCH RETURN (SAVE) ALL", "IMAP4rev2", Enabled::default()).is_ok());
}

#[test]
fn rights_quota_annotations_events() {
    use crate::proto::imap::command::{Event, MetadataDepth, RightsChange};
    assert_eq!(run("SETACL a bob +lr"), Command::SetAcl(name("a"), "bob".into(), RightsChange::Add("lr".into())));
    assert_eq!(run("SETACL a bob \"\""), Command::SetAcl(name("a"), "bob".into(), RightsChange::Replace("".into())));
    assert_eq!(run("SETQUOTA \"\" (storage 512)"), Command::SetQuota("".into(), vec![("STORAGE".into(), 512)]));
    for wire in ["GETMETADATA (DEPTH 1 MAXSIZE 9) a (/shared/x)", "GETMETADATA a (DEPTH 1 MAXSIZE 9) /shared/x"] {
        let Command::GetMetadata(get) = run(wire) else { panic!() };
        assert_eq!(
            (get.depth, get.max_size, get.entries),
            (MetadataDepth::One, Some(9), vec!["/shared/x".to_string()])
        );
    }
    assert_eq!(
        run("SETMETADATA \"\" (/private/a NIL /private/b ~{1}\r\n\0)"),
        Command::SetMetadata(None, vec![("/private/a".into(), None), ("/private/b".into(), Some(b"\0".to_vec()))])
    );
    let wire = "NOTIFY SET STATUS (selected (MessageNew (UID FLAGS) MessageExpunge))";
    let Command::Notify(Some(notify)) = run(wire) else { panic!() };
    assert!(notify.status);
    assert_eq!(
        notify.groups,
        [(Source::Selected, vec![Event::MessageNew(vec![FetchItem::Uid, FetchItem::Flags]), Event::MessageExpunge])]
    );
    for (wire, expected) in [
        ("NOTIFY SET (personal (MessageNew MessageExpunge AnnotationChange))", Status::No),
        ("NOTIFY SET (personal (Thunder)) (selected (MessageNew MessageExpunge Lightning))", Status::No),
        // Whatever else is wrong comes first.
        ("NOTIFY SET (personal (AnnotationChange))", Status::Bad),
        ("NOTIFY SET (personal (Thunder)", Status::Bad),
        ("NOTIFY SET (personal (Thunder)) x", Status::Bad),
        ("NOTIFY SET (personal (Thunder)) (subtree a (MessageNew))", Status::Bad),
        ("NOTIFY SET (selected NONE) (personal (Thunder)) (selected NONE)", Status::Bad),
    ] {
        let refusal = parse(wire).unwrap_err();
        assert_eq!(refusal.status, expected, "{wire}");
        assert_eq!(matches!(refusal.code, Some(Code::BadEvent(_))), expected == Status::No, "{wire}");
    }
}

#[test]
fn extra_spaces_are_tolerated_where_that_is_set() {
    for wire in [
        "LSUB  \"\"  \"%\"",
        "STORE 1:9  +FLAGS (\\Seen  \\Flagged )",
        "STATUS a (  MESSAGES  )",
        "UID FETCH 1   (FLAGS)  (CHANGEDSINCE  5)",
        "ID (\"name\" \"x\" \"version\" 102.7.1)",
        "SEARCH RETURN  (COUNT)  ALL",
    ] {
        assert!(parse(wire).is_err(), "{wire}");
        let (config, pieces) = (Config { tolerates_spaces: true, ..config(ALL) }, pieces(wire.as_bytes()));
        let mut scan = Scan::new(&pieces, &config, Enabled::default());
        let Reader::Whole(read) = commands::find(&mut scan).unwrap().reader else { panic!() };
        assert!(read(&mut scan).and_then(|_| scan.end()).is_ok(), "{wire}");
    }
}
