//! Answers the POP3 machine's questions from a locked mailbox.

use super::login::LoginDesk;
use super::{Moment, Service};
use crate::config::Site;
use crate::log;
use crate::policy::{Admission, Connections};
use crate::proto::pop3::{Answer, Ask, Denial, Listed};
use crate::sasl::{self, Evidence, Found, Lookup};
use crate::store::{PopError, PopMailbox};
use crate::users::{self, LoggedIn};
use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;

/// Octets read for one piece of a message.
const PIECE: usize = 64 << 10;

/// What all connections share.
#[derive(Debug)]
pub struct Pop3Desk {
    /// The site.
    pub site: Arc<Site>,
    /// Grants logins.
    pub logins: Arc<LoginDesk>,
    /// Counts connections.
    pub connections: Arc<Connections>,
}

/// One connection's answers.
#[derive(Debug)]
pub struct Pop3Service {
    desk: Arc<Pop3Desk>,
    ip: Option<IpAddr>,
    stamp: Box<str>,
    admission: Option<Admission>,
    user: Box<str>,
    mailbox: Option<Box<PopMailbox>>,
    /// The message being read, and the octets left of it.
    reading: Option<(File, u64)>,
}

impl Pop3Service {
    /// Answers for one connection; `stamp` stands in its greeting.
    pub fn new(desk: Arc<Pop3Desk>, stamp: &str) -> Pop3Service {
        let stamp = stamp.into();
        Pop3Service { desk, ip: None, stamp, admission: None, user: "".into(), mailbox: None, reading: None }
    }

    fn log_in(&mut self, evidence: &Evidence, now: Moment) -> Result<(u32, u64), Denial> {
        let login = self.desk.logins.log_in(evidence, "pop3", self.ip, now.instant).map_err(|d| match d.failure {
            None => Denial::Wrong(d.pause),
            Some(f) if f.is_temporary() => Denial::Temporary(f.public),
            Some(f) => Denial::Permanent(f.public),
        })?;
        self.open(&login)
    }

    fn open(&mut self, login: &LoggedIn) -> Result<(u32, u64), Denial> {
        let address = &login.account().address;
        let home = users::home(&self.desk.site.root.mail, address);
        let mailbox = PopMailbox::open(&home).map_err(|e| match e {
            PopError::InUse => Denial::InUse,
            PopError::Io(e) => {
                log::event("mailbox-failed").field("user", address).field("reason", e).error().write();
                Denial::Temporary("the mailbox can't be opened".to_string())
            }
        })?;
        let octets = (0..mailbox.len()).filter_map(|i| mailbox.entry(i)).map(|e| e.wire_size).sum();
        let count = mailbox.len() as u32;
        self.user = address.to_string().into();
        self.mailbox = Some(Box::new(mailbox));
        Ok((count, octets))
    }

    fn apop(&mut self, user: &str, digest: &str, now: Moment) -> Result<(u32, u64), Denial> {
        let secret = match self.desk.logins.look_up(&Lookup::Secret(user.to_string())) {
            Found::Secret(secret) => secret,
            Found::Scram(_) => None,
        };
        let evidence = match sasl::apop(user, &self.stamp, secret.as_deref(), digest) {
            Some(proven) => Evidence::Proven(proven),
            None => Evidence::Wrong { user: user.to_string() },
        };
        self.log_in(&evidence, now)
    }

    fn read(&mut self, number: u32, is_first: bool) -> Result<(Vec<u8>, bool), String> {
        let gone = "[SYS/TEMP] the message can't be read".to_string();
        let Some(mailbox) = &self.mailbox else { return Err(gone) };
        if is_first {
            let opened = mailbox.read(number as usize).and_then(|file| Ok((file.metadata()?.len(), file)));
            let (size, file) = opened.map_err(|e| {
                log::event("message-unreadable").field("user", &self.user).field("reason", e).error().write();
                gone.clone()
            })?;
            self.reading = Some((file, size));
        }
        let Some((file, left)) = &mut self.reading else { return Ok((Vec::new(), true)) };
        let mut text = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
        let mut filled = 0;
        while filled < text.len() {
            match file.read(&mut text[filled..]).map_err(|_| gone.clone())? {
                0 => break,
                n => filled += n,
            }
        }
        // A message never changes; one that ends early all the same is at its end.
        *left = if filled < text.len() { 0 } else { *left - filled as u64 };
        let is_last = *left == 0;
        text.truncate(filled);
        if is_last {
            self.reading = None;
        }
        Ok((text, is_last))
    }

    fn update(&mut self, numbers: &[u32]) -> Result<(), String> {
        let Some(mailbox) = self.mailbox.take() else { return Ok(()) };
        let indexes: Vec<usize> = numbers.iter().map(|n| *n as usize).collect();
        let result = mailbox.remove(&indexes);
        let event = log::event("pop3-update").field("user", &self.user).field("removed", indexes.len());
        match result {
            Ok(()) => {
                event.write();
                Ok(())
            }
            Err(e) => {
                event.field("reason", e).error().write();
                Err("some messages were not removed".to_string())
            }
        }
    }
}

impl Service for Pop3Service {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, ask: &Ask) -> bool {
        match ask {
            // A hash, a directory scan, removals with their sync.
            Ask::Login(_) | Ask::Apop(..) => true,
            Ask::Update(numbers) => !numbers.is_empty(),
            // Lists come from memory, messages in pieces from the page cache as a rule.
            _ => false,
        }
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(ip) => {
                self.ip = ip;
                match self.desk.connections.admit(ip) {
                    Ok(admission) => {
                        self.admission = Some(admission);
                        Answer::Verdict(Ok(()))
                    }
                    Err(text) => Answer::Verdict(Err(text.to_string())),
                }
            }
            Ask::Look(lookup) => Answer::Found(self.desk.logins.look_up(&lookup)),
            Ask::Login(evidence) => Answer::Login(self.log_in(&evidence, now)),
            Ask::Apop(user, digest) => Answer::Login(self.apop(&user, &digest, now)),
            Ask::List(which) => {
                let unique_ids = which == crate::proto::pop3::Listing::UniqueIds;
                let Some(mailbox) = &self.mailbox else { return Answer::List(Vec::new()) };
                let listed = |i: usize| Listed {
                    size: mailbox.entry(i).map_or(0, |e| e.wire_size),
                    unique_id: if unique_ids { mailbox.unique_id(i).unwrap_or_default() } else { String::new() },
                };
                Answer::List((0..mailbox.len()).map(listed).collect())
            }
            Ask::Read(number, is_first) => Answer::Text(self.read(number, is_first)),
            Ask::Update(numbers) => Answer::Updated(self.update(&numbers)),
        }
    }

    fn closed(&mut self) {
        self.mailbox = None;
        self.reading = None;
        self.admission = None;
    }
}
