//! Whole sessions in memory: the machine and the service over a mailbox tree of their own, line by line.
//!
//! A script is text. `A: a NOOP` is a line that client A sends (a letter is a client; it is logged in when it is first named); the lines
//! below it are what it must hear, in this order, up to the next line of a client. `…` stands for any run of characters, a line `~` for any
//! number of lines; empty lines and spaces before a line don't count. `A!` has A hear that something changed in what it watches.

mod acl;
mod acl_names;
mod context;
mod international;
mod limit;
mod mailboxes;
mod messages;
mod metadata;
mod notify;
mod notify_selected;
mod notify_shared;
mod search;
mod select;
mod url_auth;

use super::{ImapDesk, ImapService};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::policy::{Connections, Sessions};
use crate::proto::imap::{Config, Context, ImapSession, Limits};
use crate::proto::{Session, Step};
use crate::sasl::Mechanism;
use crate::serve::{LoginDesk, Moment, Service};
use crate::settings::{Root, Settings};
use crate::store::{Registry, StoreSettings};
use crate::users::{Account, Users};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A site with the accounts alice, bob, and eve of another domain. Of the clients in scripts, O is bob and E is eve.
struct World {
    dir: tempfile::TempDir,
    desk: Arc<ImapDesk>,
    config: Arc<Config>,
    messages: std::cell::Cell<u32>,
}

impl World {
    fn new() -> World {
        World::with(|_| {})
    }

    fn with(set: impl FnOnce(&mut Settings)) -> World {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.server.hostname = "imap.test".into();
        settings.server.domains = vec!["example.test".into(), "other.test".into()];
        set(&mut settings);
        let site = Arc::new(Site { root: Root::under(dir.path()), settings });
        std::fs::create_dir_all(&site.root.etc).unwrap();
        std::fs::create_dir_all(site.root.run()).unwrap();
        let mut account = Account::new(&Address::parse("alice@example.test").unwrap());
        account.set_password("secret", "argon2id", false).unwrap();
        let insert = |all: &mut BTreeMap<String, Account>| {
            for address in ["alice@example.test", "bob@example.test", "eve@other.test"] {
                account.address = Address::parse(address).unwrap();
                all.insert(address.into(), account.clone());
            }
            Ok::<_, std::io::Error>(())
        };
        Users::of(&site).update(insert).unwrap();
        let store = StoreSettings {
            clock: Timestamp::now,
            host: "imap.test".into(),
            keeps_trash: false,
            lock_patience: Duration::from_secs(5),
        };
        let desk = Arc::new(ImapDesk {
            logins: Arc::new(LoginDesk::new(site.clone())),
            connections: Connections::new(100, 100),
            sessions: Sessions::new(site.settings.imap.connections_per_user),
            registry: Arc::new(Registry::new(store)),
            site,
        });
        let config = Config {
            host: "imap.test".into(),
            capabilities: desk.capabilities(),
            mechanisms: vec![Mechanism::Plain],
            starttls: false,
            tolerates_spaces: false,
            id: Vec::new(),
            limits: Limits::default(),
        };
        World { dir, desk, config: Arc::new(config), messages: std::cell::Cell::new(0) }
    }

    fn maildir(&self, folder: &str) -> PathBuf {
        self.dir.path().join("mail/example.test/alice/Maildir").join(folder)
    }

    /// Delivers as another program does, with these letters as flags; the n-th message is n minutes younger than 2026-01-01 00:00 UTC.
    fn mail(&self, folder: &str, letters: &str, text: &str) -> PathBuf {
        let number = self.messages.get() + 1;
        self.messages.set(number);
        let cur = self.maildir(folder).join("cur");
        std::fs::create_dir_all(&cur).unwrap();
        let path = cur.join(format!("{number:010}.M{number}.other:2,{letters}"));
        std::fs::write(&path, text).unwrap();
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600 + u64::from(number) * 60);
        std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        path
    }

    /// Three plain messages in INBOX: flagged, seen, and neither.
    fn three(&self) {
        for (letters, name) in [("F", "one"), ("S", "two"), ("", "three")] {
            self.mail("", letters, &format!("From: {name}@x.test\nSubject: {name}\n\nText {name}.\n"));
        }
    }

    fn client(&self) -> Client {
        self.client_of("alice")
    }

    fn client_of(&self, user: &str) -> Client {
        let context = Context { plaintext_allowed: true, nonce: "x".into(), ..Context::default() };
        let now = Instant::now();
        let session = ImapSession::new(self.config.clone(), context, now);
        let mut client =
            Client { session, service: ImapService::new(self.desk.clone()), out: Vec::new(), is_closed: false };
        client.drain();
        client.say(format!("l LOGIN {user} secret\r\n").as_bytes());
        let greeting = client.heard();
        assert!(greeting.contains("\r\nl OK"), "{greeting}");
        client
    }

    /// Plays a script from the beginning, with new clients.
    fn play(&self, script: &str) {
        Play { world: self, clients: BTreeMap::new() }.go(script);
    }
}

struct Client {
    session: ImapSession,
    service: ImapService,
    out: Vec<u8>,
    is_closed: bool,
}

impl Client {
    fn say(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() && !self.is_closed {
            let taken = self.session.input(Instant::now(), bytes);
            bytes = &bytes[taken..];
            self.drain();
            assert!(taken > 0 || self.is_closed, "stuck before {:?}", String::from_utf8_lossy(bytes));
        }
    }

    fn drain(&mut self) {
        loop {
            match self.session.next() {
                Step::Send(bytes) => self.out.extend(bytes),
                Step::Ask(ask) => {
                    let answer = self.service.answer(Moment { instant: Instant::now(), time: Timestamp::now() }, ask);
                    self.session.answer(Instant::now(), answer);
                }
                Step::Close => {
                    self.is_closed = true;
                    return;
                }
                _ => return,
            }
        }
    }

    fn heard(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.out)).into_owned()
    }
}

struct Play<'w> {
    world: &'w World,
    clients: BTreeMap<char, Client>,
}

impl Play<'_> {
    fn go(mut self, script: &str) {
        let mut expected: Vec<&str> = Vec::new();
        let mut transcript = String::new();
        let mut heard = String::new();
        let mut is_right = true;
        let mut settle = |expected: &mut Vec<&str>, heard: &mut String, transcript: &mut String| {
            let lines = heard.split("\r\n").map(str::trim_start).filter(|line| !line.is_empty());
            let lines: Vec<&str> = lines.collect();
            let fits = fits(expected, &lines);
            for line in &lines {
                transcript.push_str(&format!("   {line}\n"));
            }
            if !fits {
                is_right = false;
                transcript.push_str(&format!("   ^ expected: {expected:#?}\n"));
            }
            expected.clear();
            heard.clear();
        };
        let mut is_first = true;
        for line in script.lines().map(str::trim_start) {
            let mut chars = line.chars();
            let (name, kind) = (chars.next(), chars.next());
            match (name, kind) {
                (Some(name @ 'A'..='Z'), Some(':' | '!')) if line.as_bytes().get(2).is_none_or(|b| *b == b' ') => {
                    if !is_first {
                        settle(&mut expected, &mut heard, &mut transcript);
                    }
                    is_first = false;
                    let client = self.clients.entry(name).or_insert_with(|| match name {
                        'O' => self.world.client_of("bob"),
                        'E' => self.world.client_of("eve@other.test"),
                        _ => self.world.client(),
                    });
                    match kind {
                        Some('!') => {
                            client.session.notified(Instant::now());
                            client.drain();
                        }
                        _ => client.say(format!("{}\r\n", line.get(3..).unwrap_or("")).as_bytes()),
                    }
                    heard = client.heard();
                    transcript.push_str(&format!("{line}\n"));
                }
                (None, _) => {}
                _ => expected.push(line),
            }
        }
        settle(&mut expected, &mut heard, &mut transcript);
        assert!(is_right, "{transcript}");
    }
}

/// True when the lines are as expected.
fn fits(expected: &[&str], lines: &[&str]) -> bool {
    match (expected, lines) {
        ([], []) => true,
        (["~", rest @ ..], lines) => (0..=lines.len()).any(|n| fits(rest, &lines[n..])),
        ([first, expected @ ..], [line, lines @ ..]) => is_like(first, line) && fits(expected, lines),
        _ => false,
    }
}

/// True when a line is as its pattern.
fn is_like(pattern: &str, line: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('…') else { return pattern == line };
    let Some(mut line) = line.strip_prefix(first) else { return false };
    let mut pieces = rest.split('…').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return line.ends_with(piece);
        }
        match line.find(piece) {
            Some(at) => line = &line[at + piece.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn patterns_of_lines() {
    assert!(is_like("a…c", "abc") && is_like("…", "") && is_like("a…b…", "axxbyy") && is_like("a", "a"));
    assert!(!is_like("a…c", "abd") && !is_like("a", "ab") && !is_like("a…b…c", "ac"));
    assert!(fits(&["a", "~", "d"], &["a", "b", "c", "d"]) && !fits(&["a", "~", "d"], &["a", "b"]));
}
