//! NOTIFY as a user sees it: two connections, deliveries by emlocal, another server, other programs.

use super::imap_stress::Second;
use super::imap_wire::{Imap, values};
use super::world::{PATIENCE, World, wait_until};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::time::Instant;

const ALL: &str = "NOTIFY SET (selected (MessageNew (UID BODY.PEEK[HEADER.FIELDS (SUBJECT)]) MessageExpunge FlagChange)) \
                   (personal (MessageNew MessageExpunge FlagChange MailboxName SubscriptionChange MailboxMetadataChange \
                   ServerMetadataChange))";

fn deliver(world: &World, subject: &str) {
    let text = format!("Subject: {subject}\n\n{subject}\n");
    assert!(world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes()).status.success());
}

/// What is pushed, up to a line that has this in it.
fn until(imap: &mut Imap, wanted: &str) -> Vec<String> {
    let mut heard = Vec::new();
    // The connection's own deadline bounds this.
    loop {
        let line = String::from_utf8_lossy(&imap.response()).into_owned();
        let is_it = line.contains(wanted);
        heard.push(line);
        if is_it {
            return heard;
        }
    }
}

#[test]
fn news_is_pushed_between_commands() {
    let world = World::new();
    world.start();
    deliver(&world, "one");
    let mut other = Imap::log_in(&world, "alice");
    other.ok("CREATE Lists");
    let mut imap = Imap::log_in(&world, "alice");
    imap.ok("SELECT INBOX");
    imap.ok(ALL);
    deliver(&world, "two");
    let heard = until(&mut imap, "FETCH");
    assert_eq!(heard[0], "* 2 EXISTS");
    assert_eq!(heard.last().unwrap(), "* 2 FETCH (UID 2 BODY[HEADER.FIELDS (SUBJECT)] {16}\r\nSubject: two\r\n\r\n)");
    other.ok("SELECT INBOX");
    other.ok("STORE 1 +FLAGS.SILENT (\\Seen)");
    until(&mut imap, "* 1 FETCH (UID 1 FLAGS (\\Seen");
    other.ok("COPY 1 Lists");
    until(&mut imap, "* STATUS \"Lists\" (UIDNEXT 2 MESSAGES 1");
    other.ok("STORE 1 +FLAGS.SILENT (\\Deleted)");
    other.ok("EXPUNGE");
    until(&mut imap, "* 1 EXPUNGE");
    other.ok("RENAME Lists Listen");
    until(&mut imap, "* LIST (\\HasNoChildren) \"/\" \"Listen\" (\"OLDNAME\" (\"Lists\"))");
    other.ok("SUBSCRIBE Listen");
    until(&mut imap, "* LIST (\\HasNoChildren \\Subscribed) \"/\" \"Listen\"");
    other.ok("SETMETADATA Listen (/shared/comment \"x\")");
    until(&mut imap, "* METADATA \"Listen\" /shared/comment");
    other.ok("SETMETADATA \"\" (/private/comment \"x\")");
    until(&mut imap, "* METADATA \"\" /private/comment");
    other.ok("DELETE Listen");
    until(&mut imap, "* LIST (\\NonExistent \\HasNoChildren \\Subscribed) \"/\" \"Listen\"");
    // A foreign program.
    let maildir = world.path("mail/example.test/alice/Maildir");
    for sub in ["tmp", "new", "cur"] {
        std::fs::create_dir_all(maildir.join(".Foreign").join(sub)).unwrap();
    }
    until(&mut imap, "\"Foreign\"");
    std::fs::write(maildir.join(".Foreign/cur/1.x:2,S"), "Subject: x\n\nx\n").unwrap();
    until(&mut imap, "* STATUS \"Foreign\" (UIDNEXT 2 MESSAGES 1");
    std::fs::rename(maildir.join(".Foreign/cur/1.x:2,S"), maildir.join(".Foreign/cur/1.x:2,")).unwrap();
    until(&mut imap, "UNSEEN 1");
    std::fs::remove_file(maildir.join(".Foreign/cur/1.x:2,")).unwrap();
    until(&mut imap, "* STATUS \"Foreign\" (UIDNEXT 2 MESSAGES 0");
    // Nothing is left over, and the connection is in step.
    imap.ok("NOTIFY NONE");
    deliver(&world, "three");
    assert!(imap.lines("CAPABILITY")[0].contains(" NOTIFY"));
    assert!(imap.lines("NOOP").contains(&"2 EXISTS".to_string()));
}

#[test]
fn idle_tells_what_notify_asked_for() {
    let world = World::new();
    world.start();
    let mut other = Imap::log_in(&world, "alice");
    other.ok("CREATE a");
    let mut imap = Imap::log_in(&world, "alice");
    imap.ok("NOTIFY SET (mailboxes a (MessageNew MessageExpunge))");
    let tag = imap.begin(b"IDLE");
    assert!(imap.response().starts_with(b"+ "));
    deliver(&world, "not told");
    other.ok("CREATE b");
    other.ok("APPEND a {3+}\r\nabc");
    assert_eq!(until(&mut imap, "STATUS"), ["* STATUS \"a\" (UIDNEXT 2 MESSAGES 1)"]);
    imap.send(b"DONE\r\n");
    assert!(imap.end(&tag).untagged.is_empty());
    other.ok("APPEND a {3+}\r\nabc");
    assert_eq!(until(&mut imap, "STATUS"), ["* STATUS \"a\" (UIDNEXT 3 MESSAGES 2)"]);
}

/// Two accounts: what is delivered to one is pushed to the other, for as long as that one may read it.
#[test]
fn a_shared_mailbox_is_told_of_while_it_is_shared() {
    let world = World::new();
    world.start();
    deliver(&world, "one");
    world.ok("emuser", &["acl", "set", "alice", "INBOX", "bob", "lr"]);
    let mut bob = Imap::log_in(&world, "bob");
    let said = bob.lines("NOTIFY SET STATUS (mailboxes ~alice/INBOX (MessageNew MessageExpunge))");
    assert!(said.len() == 1 && said[0].starts_with("STATUS \"~alice/INBOX\" (MESSAGES 1 UIDNEXT 2 "), "{said:?}");
    deliver(&world, "two");
    assert_eq!(until(&mut bob, "STATUS"), ["* STATUS \"~alice/INBOX\" (UIDNEXT 3 MESSAGES 2)"]);
    world.ok("emuser", &["acl", "delete", "alice", "INBOX", "bob"]);
    assert_eq!(until(&mut bob, "LIST"), ["* LIST (\\NonExistent \\NoAccess \\HasNoChildren) \"/\" \"~alice/INBOX\""]);
    deliver(&world, "three");
    // Long enough for a report of it and for its echo.
    std::thread::sleep(std::time::Duration::from_secs(2));
    assert!(bob.lines("NOOP").is_empty());
    // Given again by the owner, in a session of her own.
    let mut alice = Imap::log_in(&world, "alice");
    alice.ok("SETACL INBOX bob lr");
    let heard = until(&mut bob, "STATUS");
    assert_eq!(heard[0], "* LIST (\\HasNoChildren) \"/\" \"~alice/INBOX\"");
    assert!(heard[1].starts_with("* STATUS \"~alice/INBOX\" (MESSAGES 3 UIDNEXT 4 "), "{heard:?}");
}

/// A session on standard input and output, as inetd runs it.
struct Piped {
    child: Child,
    lines: std::sync::mpsc::Receiver<String>,
}

impl Piped {
    fn start(world: &World) -> Piped {
        let mut child = world.command("emimap").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let reader = BufReader::new(child.stdout.take().unwrap());
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || reader.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
        Piped { child, lines }
    }

    fn say(&mut self, line: &str) {
        self.child.stdin.as_mut().unwrap().write_all(format!("{line}\r\n").as_bytes()).unwrap();
    }

    fn until(&mut self, wanted: &str) -> String {
        loop {
            let line = self.lines.recv_timeout(PATIENCE).unwrap_or_else(|e| panic!("{wanted}: {e}"));
            if line.contains(wanted) {
                return line;
            }
        }
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn news_is_pushed_to_standard_output_and_from_process_to_process() {
    let world = World::new();
    // A pipe is no loopback address.
    world.set("auth.plaintext_without_tls", "always");
    world.start();
    let mut piped = Piped::start(&world);
    piped.say("a LOGIN alice@example.test demo");
    piped.until("a OK");
    piped.say("b NOTIFY SET (personal (MessageNew MessageExpunge MailboxName))");
    piped.until("b OK");
    deliver(&world, "one");
    assert_eq!(piped.until("STATUS"), "* STATUS \"INBOX\" (UIDNEXT 2 MESSAGES 1)");
    let mut other = Imap::log_in(&world, "alice");
    other.ok("CREATE x");
    piped.until("* LIST (\\HasNoChildren) \"/\" \"x\"");
    other.ok("APPEND x {3+}\r\nabc");
    assert_eq!(piped.until("STATUS"), "* STATUS \"x\" (UIDNEXT 2 MESSAGES 1)");
    piped.say("c LOGOUT");
    piped.until("c OK");
}

/// What a client knows of mailboxes, from what it is told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Told {
    /// Messages and UIDNEXT.
    mailboxes: BTreeMap<String, (u32, u32)>,
    subscribed: BTreeSet<String>,
}

impl Told {
    fn hear(&mut self, line: &[u8]) {
        let Some(line) = line.strip_prefix(b"* ") else { return };
        if line.starts_with(b"OK ") {
            return;
        }
        let all = values(line).unwrap();
        let name = |at: usize| String::from_utf8(all[at].bytes().to_vec()).unwrap();
        match all[0].atom() {
            "STATUS" => {
                let entry = self.mailboxes.entry(name(1)).or_insert((0, 1));
                for pair in all[2].list().chunks(2) {
                    match pair[0].atom() {
                        "MESSAGES" => entry.0 = pair[1].number().unwrap(),
                        "UIDNEXT" => entry.1 = pair[1].number().unwrap(),
                        _ => {}
                    }
                }
            }
            "LIST" => {
                let has = |attribute: &str| all[1].list().iter().any(|one| one.atom() == attribute);
                let name = name(3);
                let old = all.get(4).and_then(|extra| extra.list().get(1)).and_then(|old| old.list().first());
                if let Some(old) = old {
                    let old = String::from_utf8(old.bytes().to_vec()).unwrap();
                    let known = self.mailboxes.remove(&old).unwrap_or((0, 1));
                    self.mailboxes.insert(name.clone(), known);
                } else if has("\\NonExistent") {
                    self.mailboxes.remove(&name);
                } else {
                    self.mailboxes.entry(name.clone()).or_insert((0, 1));
                }
                match has("\\Subscribed") {
                    true => self.subscribed.insert(name),
                    false => self.subscribed.remove(&name),
                };
            }
            other => panic!("{other}"),
        }
    }

    /// What a new session is told.
    fn truth(imap: &mut Imap) -> Told {
        let mut told = Told::default();
        for line in imap.ok("LIST (SUBSCRIBED) \"\" * RETURN (SUBSCRIBED)") {
            let all = values(&line).unwrap();
            if all[1].list().iter().any(|one| one.atom() == "\\Subscribed") {
                told.subscribed.insert(String::from_utf8(all[3].bytes().to_vec()).unwrap());
            }
        }
        for line in imap.ok("LIST \"\" * RETURN (STATUS (MESSAGES UIDNEXT))") {
            if line.starts_with(b"STATUS") {
                told.hear(&[b"* ", &line[..]].concat());
            }
        }
        told
    }
}

/// True for OK; `None` when the session ended because somebody took its mailbox away.
fn ask(imap: &mut Imap, command: &str) -> Option<bool> {
    let tag = imap.begin(command.as_bytes());
    loop {
        let line = imap.response();
        if line.starts_with(b"* BYE") {
            return None;
        }
        if let Some(rest) = line.strip_prefix(format!("{tag} ").as_bytes()) {
            return Some(rest.starts_with(b"OK"));
        }
    }
}

/// Empties a mailbox.
fn empty(imap: &mut Imap, name: &str) -> Option<bool> {
    if ask(imap, &format!("SELECT {name}"))? {
        ask(imap, "UID STORE 1:* +FLAGS.SILENT (\\Deleted)")?;
        ask(imap, "CLOSE")?;
    }
    Some(true)
}

/// Changes mailboxes, in an order of its own.
fn trouble(address: SocketAddr, seed: u64, count: usize) {
    let mut imap = Imap::log_in_at(address, "alice");
    let mut state = seed;
    let mut below = move |limit: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % limit
    };
    for _ in 0..count {
        let (a, b) = (below(50), below(50));
        // What the others have done meanwhile may be in the way: NO is an answer.
        let done = match below(10) {
            0..=4 => ask(&mut imap, &format!("APPEND m{a} {{3+}}\r\nabc")),
            5 => empty(&mut imap, &format!("m{a}")),
            6 => ask(&mut imap, &format!("RENAME m{a} m{b}")),
            7 => ask(&mut imap, &format!("DELETE m{a}")),
            8 => ask(&mut imap, &format!("CREATE m{a}")),
            _ => ask(&mut imap, &format!("{} m{a}", ["SUBSCRIBE", "UNSUBSCRIBE"][(b % 2) as usize])),
        };
        if done.is_none() {
            imap = Imap::log_in_at(address, "alice");
        }
    }
}

#[test]
fn what_was_told_of_fifty_mailboxes_is_true_in_the_end() {
    let world = World::new();
    world.start();
    let mut first = Imap::log_in(&world, "alice");
    for n in 0..50 {
        first.ok(&format!("CREATE m{n}"));
    }
    // One session hears between commands, one during IDLE.
    let mut sessions: Vec<(Imap, Told)> = Vec::new();
    for _ in 0..2 {
        let mut imap = Imap::log_in(&world, "alice");
        let mut told = Told::default();
        for line in imap.ok("NOTIFY SET STATUS (personal (MessageNew MessageExpunge MailboxName SubscriptionChange))") {
            told.hear(&[b"* ", &line[..]].concat());
        }
        sessions.push((imap, told));
    }
    let idle = sessions[1].0.begin(b"IDLE");
    assert!(sessions[1].0.response().starts_with(b"+ "));
    // Some changes are made in the same process, some in another one.
    let second = Second::start(&world);
    let addresses = [world.address("imap"), world.address("imap"), second.address];
    std::thread::scope(|scope| {
        for (address, seed) in addresses.into_iter().zip(1..) {
            scope.spawn(move || trouble(address, seed, 120));
        }
        for n in 0..20 {
            deliver(&world, &format!("{n}"));
        }
    });
    let truth = Told::truth(&mut first);
    assert_eq!(truth.mailboxes["INBOX"], (20, 21));
    let until = Instant::now() + PATIENCE;
    for (number, (imap, told)) in sessions.iter_mut().enumerate() {
        while *told != truth {
            assert!(Instant::now() < until, "session {number}:\n{told:?}\n{truth:?}");
            told.hear(&imap.response());
        }
    }
    let (imap, told) = &mut sessions[1];
    imap.send(b"DONE\r\n");
    imap.end(&idle).untagged.iter().for_each(|line| told.hear(&[b"* ", &line[..]].concat()));
    for (imap, told) in &mut sessions {
        imap.ok("NOOP").iter().for_each(|line| told.hear(&[b"* ", &line[..]].concat()));
        assert_eq!(*told, truth);
    }
    wait_until("the log", || !world.log().is_empty());
    assert!(!world.log().contains("panic") && !world.log().contains("event=notify-failed"), "{}", world.log());
}
