//! Many sessions, of two processes, and deliverers in one mailbox: each session keeps the numbers that it was told, and in the end all are right.
//!
//! Checked all the time: EXISTS never falls by itself, no EXPUNGE while a command that names numbers runs, a number keeps its message, an
//! identifier always has the same text. At the end: each session's view equals the truth, and no message is lost that nobody removed.

use super::imap_wire::{Imap, Value, values};
use super::world::{World, free_port, wait_until};
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SESSIONS: u64 = 20;
const TIME: Duration = Duration::from_secs(5);
/// More than so many messages: rather remove some.
const MANY: usize = 80;

/// Numbers that are the same for the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

/// What all threads know.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    next: AtomicU32,
    /// What is stored for sure.
    stored: Mutex<HashSet<u32>>,
    /// What somebody has removed, or tried to.
    removed: Mutex<HashSet<u32>>,
    /// INBOX: the letter of each identifier.
    letters: Mutex<HashMap<u32, u32>>,
}

impl Shared {
    fn letter(&self) -> (u32, String) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        (number, format!("Subject: {number}\n\n{}\n", "text ".repeat(number as usize % 50)))
    }
}

#[derive(Debug, Default, Clone)]
struct Seen {
    uid: Option<u32>,
    flags: Option<Vec<String>>,
}

/// One session and what it was told.
struct Session {
    imap: Imap,
    view: Vec<Seen>,
    shared: Arc<Shared>,
}

impl Session {
    fn new(address: SocketAddr, shared: &Arc<Shared>) -> Session {
        let mut session = Session { imap: Imap::log_in_at(address, "alice"), view: Vec::new(), shared: shared.clone() };
        session.run("SELECT INBOX", true);
        session
    }

    /// Runs a command and believes what is told; gives the tagged reply.
    fn run(&mut self, command: &str, may_expunge: bool) -> String {
        let reply = self.imap.ask(command);
        for line in &reply.untagged {
            self.hear(line, may_expunge, command);
        }
        assert!(!reply.tagged.starts_with("BAD"), "{command}: {}", reply.tagged);
        let is_race = ["[EXPUNGEISSUED]", "[UNAVAILABLE]", "[INUSE]"].iter().any(|code| reply.tagged.contains(code));
        assert!(reply.tagged.starts_with("OK") || is_race, "{command}: {}", reply.tagged);
        assert!(!reply.tagged.contains("[UNAVAILABLE]"), "{command}: {}", reply.tagged);
        reply.tagged
    }

    fn hear(&mut self, line: &[u8], may_expunge: bool, command: &str) {
        if !line[0].is_ascii_digit() {
            return;
        }
        let told = values(line).unwrap_or_else(|e| panic!("{command}: {e}: {}", line.escape_ascii()));
        let number = told[0].number().unwrap() as usize;
        match told[1].atom() {
            "EXISTS" => {
                assert!(number >= self.view.len(), "{command}: EXISTS fell from {} to {number}", self.view.len());
                self.view.resize(number, Seen::default());
            }
            "EXPUNGE" => {
                assert!(may_expunge, "EXPUNGE during {command}");
                assert!((1..=self.view.len()).contains(&number), "{command}: {number} of {}", self.view.len());
                self.view.remove(number - 1);
            }
            "FETCH" => self.fetched(number, told[2].list(), command),
            "RECENT" => {}
            other => panic!("{other}"),
        }
    }

    fn fetched(&mut self, number: usize, items: &[Value], command: &str) {
        assert!((1..=self.view.len()).contains(&number), "{command}: FETCH {number} of {}", self.view.len());
        let seen = &mut self.view[number - 1];
        for pair in items.chunks(2) {
            match pair[0].atom() {
                "UID" => {
                    let uid = pair[1].number().unwrap();
                    assert!(
                        seen.uid.is_none_or(|known| known == uid),
                        "{command}: {number} was {:?}, is {uid}",
                        seen.uid
                    );
                    seen.uid = Some(uid);
                }
                "FLAGS" => {
                    let mut flags: Vec<String> = pair[1].list().iter().map(|flag| flag.atom().to_string()).collect();
                    flags.retain(|flag| flag != "\\Recent");
                    flags.sort();
                    seen.flags = Some(flags);
                }
                "BODY[]" => {
                    let text = String::from_utf8(pair[1].bytes().to_vec()).unwrap();
                    let letter = text.split("Subject: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap();
                    let mut letters = self.shared.letters.lock().unwrap();
                    if let Some(uid) = seen.uid {
                        assert_eq!(*letters.entry(uid).or_insert(letter), letter, "{command}: the text of {uid}");
                    }
                }
                _ => {}
            }
        }
        let uids: Vec<u32> = self.view.iter().filter_map(|seen| seen.uid).collect();
        assert!(uids.is_sorted_by(|a, b| a < b), "{command}: {uids:?}");
    }

    /// A number whose message and letter are known; it may be removed then.
    fn removable(&mut self, dice: &mut Dice) -> Option<u32> {
        let number = 1 + dice.below(self.view.len());
        self.run(&format!("FETCH {number} (UID BODY.PEEK[])"), false);
        let uid = self.view[number - 1].uid?;
        let letter = *self.shared.letters.lock().unwrap().get(&uid)?;
        self.shared.removed.lock().unwrap().insert(letter);
        Some(uid)
    }

    /// One random command.
    fn act(&mut self, dice: &mut Dice) {
        let length = self.view.len();
        if length == 0 || (dice.below(5) == 0 && length < MANY) {
            let (letter, text) = self.shared.letter();
            let text = text.replace('\n', "\r\n");
            if self.run(&format!("APPEND INBOX (\\Seen) {{{}+}}\r\n{text}", text.len()), true).starts_with("OK") {
                self.shared.stored.lock().unwrap().insert(letter);
            }
            return;
        }
        let number = 1 + dice.below(length);
        let range = format!("{number}:{}", 1 + dice.below(length));
        let flag = ["\\Seen", "\\Flagged", "$Work", "\\Answered"][dice.below(4)];
        let sign = ["+", "-"][dice.below(2)];
        let is_full = length >= MANY;
        match if is_full { dice.below(4) } else { dice.below(14) } {
            0 => {
                if let Some(uid) = self.removable(dice) {
                    self.run(&format!("UID STORE {uid} +FLAGS (\\Deleted)"), true);
                }
            }
            1 => drop(self.run("EXPUNGE", true)),
            2 => {
                if let Some(uid) = self.removable(dice) {
                    self.run(&format!("UID STORE {uid} +FLAGS (\\Deleted)"), true);
                    self.run(&format!("UID EXPUNGE {uid}"), true);
                }
            }
            3 => drop(self.run(&format!("MOVE {number} Other"), true)),
            4 => drop(self.run(&format!("UID MOVE {number} INBOX"), true)),
            5 => drop(self.run(&format!("COPY {number} Other"), true)),
            6 => drop(self.run(&format!("COPY {number} INBOX"), true)),
            7 => drop(self.run(&format!("STORE {range} {sign}FLAGS ({flag})"), false)),
            8 => drop(self.run(&format!("UID STORE {range} {sign}FLAGS ({flag})"), true)),
            9 => drop(self.run(&format!("FETCH {range} (UID FLAGS BODY.PEEK[] ENVELOPE)"), false)),
            10 => drop(self.run(&format!("UID FETCH {range} (FLAGS BODYSTRUCTURE)"), true)),
            11 => drop(self.run(&format!("SEARCH {range} UNSEEN TEXT text"), false)),
            12 => {
                let tag = self.imap.begin(b"IDLE");
                assert!(self.imap.response().starts_with(b"+ "));
                self.imap.send(b"DONE\r\n");
                for line in self.imap.end(&tag).untagged {
                    self.hear(&line, true, "IDLE");
                }
            }
            _ => drop(self.run("NOOP", true)),
        }
    }

    fn uids(&self) -> Vec<u32> {
        self.view.iter().filter_map(|seen| seen.uid).collect()
    }
}

/// The letters in a mailbox, by the texts themselves.
fn letters(world: &World, folder: &str) -> Vec<u32> {
    let mut found = Vec::new();
    for sub in ["new", "cur"] {
        let dir = world.path("mail/example.test/alice/Maildir").join(folder).join(sub);
        for entry in std::fs::read_dir(dir).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            found.push(text.split("Subject: ").nth(1).unwrap().lines().next().unwrap().parse().unwrap());
        }
    }
    found
}

fn deliver(world: &World, shared: &Shared, by_hand: bool) {
    while !shared.stop.load(Ordering::Relaxed) {
        let (letter, text) = shared.letter();
        let maildir = world.path("mail/example.test/alice/Maildir");
        if by_hand {
            let name = format!("{}.M{letter}.side", 1_700_000_000 + letter);
            std::fs::write(maildir.join("tmp").join(&name), &text).unwrap();
            std::fs::rename(maildir.join("tmp").join(&name), maildir.join("new").join(&name)).unwrap();
        } else {
            let out = world.run_with("emlocal", &["-d", "alice@example.test"], text.as_bytes());
            assert!(out.status.success(), "{out:?}");
        }
        shared.stored.lock().unwrap().insert(letter);
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn stress(loses_indexes: bool) {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).unwrap();
    let seed = std::env::var("EM_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from_le_bytes(bytes) | 1);
    println!("EM_SEED={seed}");
    let world = World::new();
    world.set("imap.connections_per_client", "100");
    world.start();
    let mut first = Imap::log_in(&world, "alice");
    first.ok("CREATE Other");
    let second = Second::start(&world);
    let addresses = [world.address("imap"), second.address];
    let shared = Arc::new(Shared::default());
    std::thread::scope(|scope| {
        let (world, shared) = (&world, &shared);
        let sessions: Vec<_> = (0..SESSIONS)
            .map(|n| {
                scope.spawn(move || {
                    let mut dice = Dice(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
                    let mut session = Session::new(addresses[n as usize % 2], shared);
                    let until = Instant::now() + TIME;
                    while Instant::now() < until {
                        session.act(&mut dice);
                    }
                    session
                })
            })
            .collect();
        let others =
            [scope.spawn(move || deliver(world, shared, true)), scope.spawn(move || deliver(world, shared, false))];
        let loser = loses_indexes.then(|| {
            scope.spawn(move || {
                let mut dice = Dice(seed);
                while !shared.stop.load(Ordering::Relaxed) {
                    let folder = ["", ".Other"][dice.below(2)];
                    let name = ["em-index", "em-cache"][dice.below(2)];
                    let _ = std::fs::remove_file(world.path("mail/example.test/alice/Maildir").join(folder).join(name));
                    std::thread::sleep(Duration::from_millis(20));
                }
            })
        });
        let sessions: Vec<_> = sessions.into_iter().map(|thread| thread.join()).collect();
        shared.stop.store(true, Ordering::Relaxed);
        others.into_iter().chain(loser).for_each(|thread| thread.join().unwrap());
        for session in sessions {
            let session = session.unwrap_or_else(|e| std::panic::resume_unwind(e));
            agrees(world, session);
        }
    });
    let inbox = letters(&world, "");
    let here: HashSet<u32> = inbox.iter().copied().chain(letters(&world, ".Other")).collect();
    let removed = shared.removed.lock().unwrap();
    let stored = shared.stored.lock().unwrap();
    let lost: Vec<&u32> = stored.iter().filter(|letter| !here.contains(letter) && !removed.contains(letter)).collect();
    assert!(lost.is_empty(), "lost: {lost:?}");
    println!("{} letters, {} removed, {} in INBOX", stored.len(), removed.len(), inbox.len());
    let log = world.log();
    assert!(!["event=mailbox-", "event=settle-failed", "panic"].iter().any(|bad| log.contains(bad)), "{log}");
}

/// A second process that serves the same mailboxes.
pub struct Second {
    process: std::process::Child,
    pub address: SocketAddr,
}

impl Second {
    pub fn start(world: &World) -> Second {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let process = world.command("emimap").args(["--listen", &address.to_string()]).spawn().unwrap();
        wait_until("the second server", || std::net::TcpStream::connect(address).is_ok());
        Second { process, address }
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A session's view equals what a new one sees, once it has looked.
fn agrees(world: &World, mut session: Session) {
    let mut other = Session::new(world.address("imap"), &session.shared);
    wait_until("one view of the mailbox", || {
        session.run("NOOP", true);
        other.run("NOOP", true);
        session.view.len() == other.view.len()
    });
    // What it was told of flags so far must be right before it asks.
    let told = session.view.clone();
    other.run("FETCH 1:* (UID FLAGS)", false);
    session.run("FETCH 1:* (UID FLAGS)", false);
    assert_eq!(session.uids(), other.uids());
    assert_eq!(other.uids().len(), letters(world, "").len(), "as many as there are files");
    for (told, is) in told.iter().zip(&other.view) {
        assert!(told.uid.is_none_or(|uid| Some(uid) == is.uid), "{told:?} {is:?}");
        assert!(told.uid.is_none() || told.flags.is_none() || told.flags == is.flags, "{told:?} {is:?}");
    }
}

#[test]
fn twenty_sessions_and_two_deliverers_stay_right() {
    stress(false);
}

#[test]
fn twenty_sessions_stay_right_though_indexes_are_lost() {
    stress(true);
}
