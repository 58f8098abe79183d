//! IMAP sessions in every state, with a service that says anything it may.

use super::{MECHANISMS, Random, drive, fuzz};
use expressmail::proto::imap::response::Code;
use expressmail::proto::imap::{
    Answer, Ask, AuthorizedUrl, Config, Context, Denial, Effect, ImapSession, Limits, MessageUrl, Outcome, Refusal,
};
use expressmail::sasl;
use std::sync::Arc;
use std::time::{Duration, Instant};

const CAPABILITIES: &[&str] = &[
    "IMAP4rev2",
    "IMAP4rev1",
    "LITERAL+",
    "ID",
    "LANGUAGE",
    "UNAUTHENTICATE",
    "NOTIFY",
    "MULTISEARCH",
    "QUOTA",
    "QUOTASET",
    "ACL",
    "METADATA",
    "URLAUTH",
    "SORT",
    "SORT=DISPLAY",
    "ESORT",
    "THREAD=REFERENCES",
    "THREAD=ORDEREDSUBJECT",
    "CONTEXT=SEARCH",
    "CONTEXT=SORT",
    "REPLACE",
    "MULTIAPPEND",
    "CATENATE",
    "CONDSTORE",
    "QRESYNC",
    "UTF8=ACCEPT",
    "UIDONLY",
    "WITHIN",
    "SEARCH=FUZZY",
    "SAVEDATE",
    "OBJECTID",
    "PREVIEW",
    "PARTIAL",
    "BINARY",
    "APPENDLIMIT=1000",
    "LIST-MYRIGHTS",
    "LIST-METADATA",
    "CREATE-SPECIAL-USE",
];

const WORDS: &[&str] = &[
    "a ",
    "b ",
    " ",
    "\r\n",
    "\r\n",
    "\r\n",
    "{3}\r\nabc",
    "{3+}\r\nabc",
    "~{2+}\r\n\0x",
    "{0+}\r\n",
    "{9999999}\r\n",
    "(",
    ")",
    "\"",
    "\"x\"",
    "1:*",
    "$",
    "UID ",
    "LOGIN a b\r\n",
    "AUTHENTICATE PLAIN AGEAYg==\r\n",
    "AUTHENTICATE CRAM-MD5\r\n",
    "a SELECT INBOX\r\n",
    "a SELECT x (QRESYNC (1 2 3:4 (1 2)))\r\n",
    "a ENABLE QRESYNC UTF8=ACCEPT\r\n",
    "a ENABLE UIDONLY\r\n",
    "FETCH 1 (",
    "BODY.PEEK[1.HEADER.FIELDS (a)]<1.2>",
    "BINARY[1]",
    "FLAGS",
    "PREVIEW (LAZY)",
    "SEARCH RETURN (ALL) ",
    "OR FROM a ",
    "NOT ",
    "SINCE 1-Jan-2020",
    "HEADER a b",
    "SORT (DATE) UTF-8 ALL",
    "STORE 1 +FLAGS (\\Seen)\r\n",
    "a APPEND x {5+}\r\nhello\r\n",
    "a APPEND x CATENATE (",
    "URL u",
    "TEXT {3+}\r\nabc",
    "a REPLACE 1 x {2+}\r\nhi",
    "LIST (SUBSCRIBED) \"\" (*) RETURN (STATUS (MESSAGES))",
    "NOTIFY SET (personal (MailboxName))",
    "GETMETADATA a /b",
    "a IDLE\r\n",
    "DONE\r\n",
    "a UNAUTHENTICATE\r\n",
    "a NOOP\r\n",
    "a LOGOUT\r\n",
    "INBOX",
    "&ZeVnLIqe-",
    "ESEARCH IN (inboxes) ALL",
];

#[test]
fn imap_sessions() {
    fuzz("imap", WORDS, |random, input| {
        let config = Config {
            host: "h.test".into(),
            capabilities: CAPABILITIES.iter().map(|c| c.to_string()).collect(),
            mechanisms: MECHANISMS.to_vec(),
            starttls: random.below(2) == 0,
            tolerates_spaces: random.below(2) == 0,
            id: Vec::new(),
            limits: Limits { line: 4096, command: 8192, swallow: 20_000, errors: 1000, ..Limits::default() },
        };
        let context = Context { plaintext_allowed: true, has_secrets: true, ..Context::default() };
        let mut session = ImapSession::new(Arc::new(config), context, Instant::now());
        let begin: &[u8] = [&b""[..], b"l LOGIN a b\r\n", b"l LOGIN a b\r\ns SELECT INBOX\r\n"][random.below(3)];
        let mut honest = !begin.is_empty();
        drive(&mut session, random, &[begin, input].concat(), |random, ask| {
            let answer = answer(random, ask, honest);
            honest &= !matches!(answer, Answer::Output { .. });
            answer
        });
    });
}

fn answer(random: &mut Random, ask: Ask, is_honest: bool) -> Answer {
    let lines = b"* 1 EXISTS\r\n".repeat(random.below(3));
    match ask {
        Ask::Connect(_) => Answer::Verdict(Ok(())),
        Ask::Look(sasl::Lookup::Secret(_)) => Answer::Found(sasl::Found::Secret(Some("s".into()))),
        Ask::Look(sasl::Lookup::Scram(user)) => {
            Answer::Found(sasl::Found::Scram(sasl::ScramKeys::made_up(&[1; 32], &user)))
        }
        Ask::Login(_) if is_honest || random.below(3) > 0 => Answer::Login(Ok(())),
        Ask::Login(_) => Answer::Login(Err(Denial::Wrong(Duration::from_secs(1)))),
        Ask::Run(_) if is_honest => {
            let outcome = Outcome::ok("x").with_effect(Effect::Selected);
            Answer::Output { bytes: lines, outcome: Some(outcome) }
        }
        Ask::Run(_) | Ask::More | Ask::AppendCommit => {
            let effect = [Effect::Unchanged, Effect::Selected, Effect::Unselected][random.below(3)];
            let outcome = (random.below(3) > 0).then(|| Outcome::no(Some(Code::Limit), "x").with_effect(effect));
            Answer::Output { bytes: lines, outcome }
        }
        Ask::IdleStart | Ask::Changes | Ask::IdleEnd => {
            Answer::Untagged { bytes: lines, is_more: random.below(3) == 0 }
        }
        Ask::Id(_) | Ask::AppendAbort | Ask::Unauthenticate => Answer::Done,
        _ if random.below(5) == 0 => Answer::Verdict(Err(Refusal::no(None, "x"))),
        _ if random.below(50) == 0 => Answer::Bye("x".into()),
        _ => Answer::Verdict(Ok(())),
    }
}

#[test]
fn urls_and_certificates() {
    let words = [
        "imap://",
        "a@h",
        "a%40b",
        "/",
        "INBOX",
        ";UIDVALIDITY=1",
        "/;UID=1",
        "/;SECTION=",
        "1.2",
        "/;PARTIAL=1.2",
        "%",
        ";EXPIRE=",
        "2026-11-24T12:07:51",
        ".5",
        "+09:00",
        "Z",
        ";URLAUTH=",
        "user+",
        "anonymous",
        ":INTERNAL:",
        "01ab",
    ];
    fuzz("urls", &words, |_, input| {
        let text = String::from_utf8_lossy(input);
        let _ = MessageUrl::parse(&text);
        if let Ok(url) = AuthorizedUrl::parse(&text) {
            assert!(text.starts_with(url.rump), "{text}");
            assert_eq!(url.proof.is_none(), url.rump.len() == text.len(), "{text}");
        }
        let _ = sasl::certificate_addresses(input);
    });
}
