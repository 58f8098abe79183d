//! The scripts of Apache James' protocol tests, read where they lie.
//!
//! Each runs with accounts of its own, imapuser, boby and diana, whose mailboxes and rights are those that James' tests prepare. Replies are
//! compared by what they say (see [`facts`]), with the names that mailboxes have here (see [`names`]). What James alone does is listed in
//! [`LEFT_OUT`] and [`OTHERWISE`].

mod facts;
mod names;
mod script;

use super::imap_corpus::outside;
use super::imap_wire::{Imap, Value};
use super::imaptest::parse;
use super::world::World;
use facts::{Fact, facts, is_free, is_told};
use script::{Exchange, read};
use std::collections::HashMap;
use std::path::Path;

/// Scripts that say nothing about us, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("BadTag", "James ends the connection; here it is BAD, and a count of such lines ends it"),
    ("ConcurrentRenameSelected", "goes on in a renamed mailbox; here its sessions end (RFC 2180 §3.3)"),
    ("CondstoreDisable", "a server without CONDSTORE"),
    ("CreateErrorWithLongName", "James' limit of 200 characters for a name"),
    ("FetchNILSaveDate", "a store without SAVEDATE"),
    ("IllegalTag", "as BadTag"),
    ("InboxDeleteMessages", "expects a tagged reply without its tag"),
    ("JustTag", "as BadTag"),
    ("ListWithPercentWildcardInMailboxName", "% and * in names (RFC 9051 §5.1 advises against them)"),
    ("MetadataWithBinaryData", "expects a quoted string with line ends in it"),
    ("MetadataWithLimitation", "James' limits of METADATA"),
    ("NoCommand", "as BadTag"),
    ("NoTag", "as BadTag"),
    ("Quota", "a limit on messages, quota roots by name, and SETQUOTA"),
];

/// Exchanges whose outcome is not ours, by the line where they begin, and why.
const OTHERWISE: &[(&str, &[usize], &str)] = &[
    ("ACLCommandsOnOwner", &[60, 64, 71], "Cyrus' own letters, and rights that are always granted"),
    ("ACLIntegrationRightI", &[104], "without \"s\", \\Seen is not kept (RFC 4314 §4)"),
    ("ACLIntegrationRightIW", &[108], "without \"s\", \\Seen is not kept (RFC 4314 §4)"),
    ("ACLIntegrationRightK", &[28, 34], "owners have all rights; a mailbox stays with its owner"),
    ("ACLIntegrationWithoutRightA", &[37], "LISTRIGHTS needs the right \"a\" (RFC 4314 §4)"),
    ("ACLIntegrationWithoutRightK", &[24], "owners have all rights"),
    (
        "ACLIntegrationWithoutRightL",
        &[34, 39],
        "a subscription is a name, whether or not there is such a mailbox (RFC 9051 §6.3.7)",
    ),
    ("ACLIntegrationWithoutRightS", &[57], "STORE is answered with the flags, changed or not (RFC 9051 §6.4.6)"),
    ("ACLIntegrationWithoutRightT", &[57], "STORE is answered with the flags, changed or not (RFC 9051 §6.4.6)"),
    (
        "AppendExamineInbox",
        &[46, 59],
        "nothing is kept where nothing may be changed: PERMANENTFLAGS () (RFC 3501 §6.3.2)",
    ),
    ("AppendExamineInbox", &[72], "the session that has INBOX selected is told what its renaming takes away"),
    (
        "ConcurrentExistsResponse",
        &[95, 105],
        "a message that the client was not told of has no number for it (RFC 9051 §7.5)",
    ),
    ("Create", &[35], "a name that cannot be is NO, as any name that is refused"),
    (
        "Create",
        &[69, 71, 76, 100, 102],
        "modified UTF-7 of a printable letter is no name (RFC 3501 §5.1.3); #user is one as others",
    ),
    (
        "ExamineEmpty",
        &[29, 40, 51],
        "nothing is kept where nothing may be changed: PERMANENTFLAGS () (RFC 3501 §6.3.2)",
    ),
    ("FetchMultipartBodyStructure", &[209], "the grammar knows no FETCH of nothing"),
    ("FetchMultipartBodyStructure", &[685], "parameters in the order of the message, not of the alphabet"),
    ("FetchSimpleBodyStructure", &[92], "the grammar knows no FETCH of nothing"),
    ("Id", &[24], "there are no commas in a list"),
    ("ListNamespace", &[32, 35], "#private is no namespace here"),
    ("ListWithSharedMailbox", &[88], "#private is no namespace here"),
    ("ListWithSharedMailbox", &[194, 207], "no blank before RETURN"),
    ("LoginThreeStrikes", &[29], "the third failure is answered before the connection ends"),
    ("MoveNoMSG", &[38], "a UID that no message has is no error (RFC 9051 §6.4.9)"),
    (
        "RenameHierarchy",
        &[37, 47, 57, 67, 77, 87, 89],
        "RENAME makes the levels above the new name (RFC 9051 §6.3.6), so that they can be deleted",
    ),
    ("RenameSharedMailbox", &[67, 71], "a mailbox stays with its owner"),
    ("RenameSharedMailbox", &[92], "RENAME makes the levels above the new name (RFC 9051 §6.3.6)"),
    (
        "Rights",
        &[26, 39, 46, 53, 60, 67, 74],
        "the owner is no identifier of its own, and LISTRIGHTS comes in another order",
    ),
    ("SharedMailbox", &[34, 37], "#any is a name as others"),
    ("UidSearchAtoms", &[1976], "the script says itself that a number is missing"),
    ("UserFlagsSupport", &[46, 64], "a new keyword is told by FLAGS; PERMANENTFLAGS had said that there may be any"),
];

/// Scripts that begin before login.
const WITHOUT_LOGIN: &[&str] = &[
    "Authenticate",
    "BadTag",
    "IllegalTag",
    "JustTag",
    "LoginThreeStrikes",
    "NoCommand",
    "NoTag",
    "SharedMailbox",
    "ValidAuthenticated",
    "ValidSelected",
    "Welcome",
    "ACLCommandsOnOtherUser",
    "ACLCommandsOnOwner",
];

/// Scripts that begin in the mailbox of SelectedStateSetup.
const SELECTED: &[&str] = &[
    "Check",
    "Expunge",
    "FetchBodyNoSection",
    "FetchEnvelope",
    "FetchInternalDate",
    "FetchMultipleMessages",
    "FetchNILSaveDate",
    "FetchPeek",
    "FetchRFC822",
    "FetchRFC822Text",
    "FetchSingleMessage",
    "FetchText",
    "Move",
    "MoveNoMSG",
    "ObjectId",
    "Quota",
    "Rename",
    "RenameHierarchy",
    "RenameSelected",
    "Search",
    "SearchSaveDate",
    "Store",
];

/// Rights that others' mailboxes give to imapuser: owner, mailbox and letters.
fn rights(name: &str) -> Vec<(&'static str, String, &'static str)> {
    let inbox = RIGHTS_IN_INBOX.iter().find(|(other, _)| name.strip_prefix("ACLIntegration") == Some(*other));
    let boby = |pairs: &[(&str, &'static str)]| pairs.iter().map(|(name, l)| ("boby", name.to_string(), *l)).collect();
    match name {
        _ if name.starts_with("SharingAccess") => {
            let all = ["l", "lr", "lrs", "lrw", "lri", "lrk", "lrx", "lrt", "lrte", "lra"];
            all.iter().map(|letters| ("boby", format!("mailbox-{letters}"), *letters)).collect()
        }
        "ACLIntegrationWithoutRightX" => boby(&[("INBOX/test", "rswipktela")]),
        "ACLCommandsOnOtherUser" => boby(&[("INBOX", "rsw")]),
        "ListWithSharedMailbox" => {
            let mut all = boby(&[("sharedMailbox", "lr"), ("sharedMailbox/child", "lr"), ("Sent", "lr")]);
            all.push(("diana", "sharedMailbox".to_string(), "lr"));
            all
        }
        "RenameSharedMailbox" => boby(&[
            ("sharedMailbox", "eiklprstwx"),
            ("sharedMailbox-eilprstwx", "eilprstwx"),
            ("sharedMailbox/child1-eiklprstwx", "eiklprstwx"),
            ("sharedMailbox/child2-eiklprstw", "eiklprstw"),
            ("otherSharedMailbox", "eiklprstwx"),
            ("sharedMailbox/child3", "eiklprstwx"),
            ("sharedMailbox/child3/sub1", "eiklprstwx"),
        ]),
        _ => inbox.map_or(Vec::new(), |(_, letters)| boby(&[("INBOX", letters)])),
    }
}

/// Rights in boby's INBOX, by the end of the script's name (James' ACLIntegration.java).
const RIGHTS_IN_INBOX: &[(&str, &str)] = &[
    ("RightR", "r"),
    ("WithoutRightL", "rswipkxtecda"),
    ("WithoutRightA", "rswipkxtecdl"),
    ("RightK", "k"),
    ("WithoutRightK", "rswipxtela"),
    ("RightRE", "re"),
    ("WithoutRightE", "rswipxtclak"),
    ("RightI", "ri"),
    ("RightIS", "ris"),
    ("RightIW", "riw"),
    ("WithoutRightS", "rwipxtcdlake"),
    ("RightRW", "rw"),
    ("RightRT", "rt"),
    ("WithoutRightT", "rwipxslake"),
    ("CopyI", "i"),
    ("CopyWithoutI", "rswpxtcdlake"),
    ("CopyIS", "ris"),
    ("CopyIW", "riw"),
    ("CopyWithoutW", "rispxtcdlake"),
    ("CopyWithoutT", "rispxwlake"),
];

/// One connection, and how many messages it was told of.
struct Line {
    imap: Imap,
    exists: Option<u32>,
}

fn connect(world: &World, name: &str, domain: &str) -> Line {
    let mut imap = Imap::connect(world.address("imap"));
    if !WITHOUT_LOGIN.contains(&name) && !name.starts_with("ACLIntegration") {
        imap.ok(&format!("LOGIN imapuser@{domain} demo"));
    }
    Line { imap, exists: None }
}

/// Begins an error after which nothing more can be asked.
const LOST: &str = "lost: ";

/// Plays one exchange; what is wrong with its outcome.
fn exchange(line: &mut Line, exchange: &Exchange, domain: &str) -> Result<(), String> {
    line.imap.try_send(&names::command(&exchange.sent, domain)).map_err(|e| format!("{LOST}{e}"))?;
    let expected: Vec<&String> = exchange.expected.iter().filter(|r| !r.contains("IMAP4rev1 Server ready")).collect();
    let tagged: Vec<&str> = expected.iter().filter(|r| !r.starts_with(['*', '+'])).map(|r| r.as_str()).collect();
    let mut missing: Vec<&str> = tagged.iter().map(|r| r.split(' ').next().unwrap()).collect();
    let is_end = expected.iter().any(|r| r.starts_with("* BYE")) && missing.is_empty();
    let (mut untagged, mut replies, mut shown) = (Vec::new(), HashMap::new(), String::new());
    let mut count = 0;
    while !missing.is_empty() || (tagged.is_empty() && count < expected.len()) {
        let response = line.imap.try_response().map_err(|e| format!("{LOST}{e} behind\n{shown}"))?;
        shown.push_str(&format!("  {}\n", response.escape_ascii()));
        count += 1;
        if let Some(rest) = response.strip_prefix(b"* ") {
            untagged.push(parse(rest)?);
            if is_end && rest.starts_with(b"BYE") {
                break;
            }
        } else if !response.starts_with(b"+") {
            let text = String::from_utf8_lossy(&response).into_owned();
            let (tag, rest) = text.split_once(' ').ok_or("no tag")?;
            missing.retain(|other| *other != tag);
            replies.insert(tag.to_string(), parse(rest.as_bytes())?);
        }
    }
    let mut wanted = Vec::new();
    for response in &expected {
        if let Some(rest) = response.strip_prefix("* ") {
            let mut values = parse(rest.as_bytes()).map_err(|e| format!("expectation: {e}"))?;
            names::response(&mut values);
            wanted.push(values);
        }
    }
    let mut before = line.exists;
    let wanted = facts(&wanted, &mut before);
    let mut told = facts(&untagged, &mut line.exists);
    if expected.iter().any(|r| r.ends_with(" EXISTS")) && line.exists.is_none() {
        return Err(format!("no EXISTS in\n{shown}"));
    }
    for wanted in &wanted {
        let Some(at) = told.iter().position(|fact| is_told(wanted, fact)) else {
            return Err(format!("wanted {wanted:?} in\n{shown}"));
        };
        told.remove(at);
    }
    if let Some(fact) = told.iter().find(|fact| !is_free(fact)) {
        return Err(format!("unexpected {fact:?} in\n{shown}"));
    }
    for response in tagged {
        let (tag, rest) = response.split_once(' ').unwrap();
        let status = |values: &[Value]| facts(&[values.to_vec()], &mut None).pop();
        if rest == script::ANYTHING {
            continue;
        }
        let wanted = status(&parse(rest.as_bytes()).map_err(|e| format!("expectation: {e}"))?);
        let told = status(&replies[tag]);
        let is_right = matches!((&wanted, &told), (Some(wanted), Some(told)) if is_told(wanted, told));
        // RFC 3501 §7.1.3: a command in the wrong state may be BAD as well.
        let is_state =
            rest.contains("not valid in this state") && matches!(&told, Some(Fact::Status(word, _)) if word == "BAD");
        if !is_right && !is_state {
            return Err(format!("wanted {response} in\n{shown}"));
        }
    }
    Ok(())
}

/// Plays one script; all that is wrong with it.
fn play(world: &World, dir: &Path, name: &str, domain: &str) -> String {
    let base = name.rsplit('/').next().unwrap();
    prepare(world, base, domain);
    let mut exchanges = read(&std::fs::read_to_string(dir.join(format!("{name}.test"))).unwrap());
    if SELECTED.contains(&base) {
        let mut setup = read(&std::fs::read_to_string(dir.join("SelectedStateSetup.test")).unwrap());
        setup.append(&mut exchanges);
        exchanges = setup;
    }
    let mut lines: HashMap<usize, Line> = HashMap::new();
    let mut wrong = String::new();
    for one in &exchanges {
        let line = lines.entry(one.session).or_insert_with(|| connect(world, base, domain));
        let is_otherwise = OTHERWISE.iter().any(|(other, places, _)| *other == base && places.contains(&one.line));
        match exchange(line, one, domain) {
            Ok(()) if is_otherwise => wrong.push_str(&format!("{name}:{}: as James has it, now\n", one.line)),
            Err(error) if !is_otherwise => {
                wrong.push_str(&format!("{name}:{}: {error}", one.line));
                if error.starts_with(LOST) {
                    break;
                }
            }
            _ => {}
        }
    }
    wrong
}

/// Makes what the script expects to find.
fn prepare(world: &World, name: &str, domain: &str) {
    let log_in = |user: &str| {
        let mut imap = Imap::connect(world.address("imap"));
        imap.ok(&format!("LOGIN {user}@{domain} demo"));
        imap
    };
    let mut own = log_in("imapuser");
    // There every account has it so from its first login.
    own.ok("SUBSCRIBE INBOX");
    for mailbox in OWN.iter().filter(|(script, _)| *script == name).flat_map(|(_, mailboxes)| *mailboxes) {
        own.ok(&format!("CREATE {mailbox}"));
    }
    if name.starts_with("ACLIntegrationCopy") {
        fill(&mut own, "INBOX", &FLAGS);
    }
    for (owner, mailbox, letters) in rights(name) {
        let mut imap = log_in(owner);
        if mailbox != "INBOX" {
            imap.ok(&format!("CREATE {mailbox}"));
        }
        if name.starts_with("Sharing") || mailbox == "sharedMailbox/child1-eiklprstwx" {
            fill(&mut imap, &mailbox, &[""; 10]);
        }
        if FILLED.contains(&name) {
            fill(&mut imap, &mailbox, &FLAGS);
        }
        imap.ok(&format!("SETACL {mailbox} imapuser {letters}"));
    }
    if name.starts_with("Sharing") {
        fill(&mut own, "INBOX", &[""; 10]);
    }
}

/// Flags of the messages in a filled mailbox.
const FLAGS: [&str; 4] = ["", "", "\\Flagged", "\\Deleted"];

/// Scripts with messages in boby's INBOX.
const FILLED: &[&str] =
    &["ACLIntegrationRightRW", "ACLIntegrationRightRT", "ACLIntegrationWithoutRightS", "ACLIntegrationWithoutRightT"];

/// Mailboxes of imapuser's own.
const OWN: &[(&str, &[&str])] = &[
    ("ACLIntegrationRightK", &["test"]),
    ("ACLIntegrationWithoutRightK", &["test"]),
    ("ListSpecialChar", &["\"projects &- abc\"", "&AOk-valuations", "\"mailbox #17\""]),
];

fn fill(imap: &mut Imap, mailbox: &str, flags: &[&str]) {
    for (number, flags) in flags.iter().enumerate() {
        let text = format!("Subject: {number}\r\n\r\nbody {number}\r\n");
        imap.ok(&format!("APPEND {mailbox} ({flags}) {{{}+}}\r\n{text}", text.len()));
    }
}

/// Names of scripts below a folder, without the ending, sorted.
fn scripts(dir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for (folder, prefix) in [(dir.to_path_buf(), ""), (dir.join("aclIntegration"), "aclIntegration/")] {
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            names.extend(name.strip_suffix(".test").map(|name| format!("{prefix}{name}")));
        }
    }
    names.sort();
    names
}

/// Three accounts a script, each time in a domain of its own: one password hash serves all.
fn world_for(count: usize) -> World {
    let world = World::empty();
    let domains: Vec<String> = (0..count).map(|n| format!("d{n}.test")).collect();
    let mut set = vec!["set", "server.domains", "example.test"];
    set.extend(domains.iter().map(String::as_str));
    world.ok("emconf", &set);
    world.add("boby@example.test", &[]);
    world.add("diana@example.test", &[]);
    world.add("imapuser@example.test", &[]);
    let path = world.path("etc/users");
    let text = std::fs::read_to_string(&path).unwrap();
    let (head, accounts): (Vec<&str>, Vec<&str>) = text.lines().partition(|line| !line.contains("@example.test"));
    let mut lines: Vec<String> = accounts.iter().map(|line| line.to_string()).collect();
    for domain in &domains {
        lines.extend(accounts.iter().map(|line| line.replace("example.test", domain)));
    }
    lines.sort();
    let lines: Vec<String> = head.iter().map(|line| line.to_string()).chain(lines).collect();
    std::fs::write(&path, lines.join("\n") + "\n").unwrap();
    world
}

#[test]
fn scripts_of_james() {
    let Some(dir) = outside().map(|corpus| corpus.join("imap/james-mpt-scripts")).filter(|dir| dir.is_dir()) else {
        return;
    };
    let names = scripts(&dir);
    let world = world_for(names.len());
    world.set("imap.tolerates_spaces", "true");
    world.start();
    let (mut passed, mut wrong) = (0, String::new());
    for (number, name) in names.iter().enumerate() {
        let base = name.rsplit('/').next().unwrap();
        if LEFT_OUT.iter().any(|(other, _)| *other == base) {
            continue;
        }
        let errors = play(&world, &dir, name, &format!("d{number}.test"));
        passed += usize::from(errors.is_empty());
        wrong.push_str(&errors);
    }
    println!("{passed} scripts passed");
    assert!(wrong.is_empty(), "\n{wrong}");
    // None may be lost unseen; others may be there some day.
    assert!(passed >= 99, "only {passed} scripts");
}
