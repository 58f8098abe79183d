//! Answers the ManageSieve machine's questions from an account's scripts.

use super::login::LoginDesk;
use super::{Moment, Service};
use crate::addr::Address;
use crate::config::Site;
use crate::log;
use crate::policy::{Admission, Connections};
use crate::proto::managesieve::{Answer, Ask, Code, Denial, Listed, Piece, Refusal};
use crate::sasl::Evidence;
use crate::sieve;
use crate::store::{ScriptName, ScriptQuota, Scripts, ScriptsError};
use crate::users;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Octets read for one piece of a script.
const PIECE: usize = 64 << 10;

/// Scripts that are larger are read one at a time, in octets: a hostile one may need a hundred times its size.
const LARGE: usize = 64 << 10;
/// Most mistakes of a script that are told at once.
const ERRORS_TOLD: usize = 10;

/// What all connections share.
#[derive(Debug)]
pub struct ManageSieveDesk {
    /// The site.
    pub site: Arc<Site>,
    /// Grants logins.
    pub logins: Arc<LoginDesk>,
    /// Counts connections.
    pub connections: Arc<Connections>,
    /// What a script may be.
    pub limits: sieve::Limits,
    /// How much an account may have.
    pub quota: ScriptQuota,
    /// Held by who reads a large script.
    pub turn: Mutex<()>,
}

/// One connection's answers.
#[derive(Debug)]
pub struct ManageSieveService {
    desk: Arc<ManageSieveDesk>,
    ip: Option<IpAddr>,
    admission: Option<Admission>,
    owner: Option<Box<Owner>>,
    /// The script being read, and the octets left of it.
    reading: Option<(File, u64)>,
}

/// Who has logged in, and the account's scripts.
#[derive(Debug)]
struct Owner {
    address: Address,
    scripts: Scripts,
}

impl ManageSieveService {
    /// Answers for one connection.
    pub fn new(desk: Arc<ManageSieveDesk>) -> ManageSieveService {
        ManageSieveService { desk, ip: None, admission: None, owner: None, reading: None }
    }

    fn log_in(&mut self, evidence: &Evidence, now: Moment) -> Result<String, Denial> {
        let login =
            self.desk.logins.log_in(evidence, "managesieve", self.ip, now.instant).map_err(|d| match d.failure {
                None => Denial::Wrong(d.pause),
                Some(f) if f.is_temporary() => Denial::Unavailable(f.public),
                Some(f) => Denial::Forbidden(f.public),
            })?;
        let address = login.account().address.clone();
        let scripts = Scripts::of(&users::home(&self.desk.site.root.mail, &address));
        let name = address.to_string();
        self.owner = Some(Box::new(Owner { address, scripts }));
        Ok(name)
    }

    fn owner(&self) -> Result<&Owner, Refusal> {
        self.owner.as_deref().ok_or_else(|| "Log in first".into())
    }

    fn have_space(&self, name: &str, size: u64) -> Result<(), Refusal> {
        let owner = self.owner()?;
        owner.scripts.has_room(&named(name)?, size, self.desk.quota).map_err(|e| owner.refusal(e))
    }

    fn put(&self, name: &str, text: &[u8]) -> Result<(), Refusal> {
        let owner = self.owner()?;
        let name = named(name)?;
        self.check(text)?;
        // RFC 5804 §2.6.
        if text.is_empty() {
            return Err("A script of no length is none; SETACTIVE \"\" switches scripts off".into());
        }
        owner.scripts.put(&name, text, self.desk.quota).map_err(|e| owner.refusal(e))?;
        owner.tell("script-put", &name).field("size", text.len()).write();
        Ok(())
    }

    fn check(&self, text: &[u8]) -> Result<(), Refusal> {
        let turn = || self.desk.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let _turn = (text.len() > LARGE).then(turn);
        let Err(errors) = sieve::compile_all(text, &self.desk.limits) else { return Ok(()) };
        let lines: Vec<String> = errors.iter().take(ERRORS_TOLD).map(|error| line(&error.to_string())).collect();
        Err(Refusal { code: None, text: lines.join("\r\n") })
    }

    fn list(&self) -> Result<Vec<Listed>, Refusal> {
        let owner = self.owner()?;
        let list = owner.scripts.list().map_err(|e| owner.refusal(e.into()))?;
        Ok(list.into_iter().map(|(name, is_active)| Listed { name: name.to_string(), is_active }).collect())
    }

    fn activate(&self, name: Option<&str>) -> Result<(), Refusal> {
        let owner = self.owner()?;
        let name = name.map(named).transpose()?;
        owner.scripts.activate(name.as_ref()).map_err(|e| owner.refusal(e))?;
        match name {
            Some(name) => owner.tell("script-activated", &name).write(),
            None => log::event("script-deactivated").field("user", &owner.address).write(),
        }
        Ok(())
    }

    fn delete(&self, name: &str) -> Result<(), Refusal> {
        let owner = self.owner()?;
        let name = named(name)?;
        owner.scripts.delete(&name).map_err(|e| owner.refusal(e))?;
        owner.tell("script-deleted", &name).write();
        Ok(())
    }

    fn rename(&self, old: &str, new: &str) -> Result<(), Refusal> {
        let owner = self.owner()?;
        let (old, new) = (named(old)?, named(new)?);
        owner.scripts.rename(&old, &new).map_err(|e| owner.refusal(e))?;
        owner.tell("script-renamed", &old).field("new", &new).write();
        Ok(())
    }

    fn get(&mut self, name: &str) -> Result<Piece, Refusal> {
        let owner = self.owner()?;
        let file = owner.scripts.open(&named(name)?).map_err(|e| owner.refusal(e))?;
        let size = file.metadata().map_err(|e| owner.refusal(e.into()))?.len();
        self.reading = Some((file, size));
        self.more(size)
    }

    /// The next piece of a script of this size. A script that is put meanwhile is another file.
    fn more(&mut self, size: u64) -> Result<Piece, Refusal> {
        let Some((mut file, left)) = self.reading.take() else { return Err("No script is being read".into()) };
        let length = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut text = vec![0; length];
        if let Err(e) = file.read_exact(&mut text) {
            return Err(self.owner()?.refusal(e.into()));
        }
        let left = left - length as u64;
        if left > 0 {
            self.reading = Some((file, left));
        }
        Ok(Piece { size, text, is_last: left == 0 })
    }
}

impl Owner {
    fn tell(&self, event: &'static str, name: &ScriptName) -> log::Event {
        log::event(event).field("user", &self.address).field("script", name)
    }

    /// What a failure of the store is to the client.
    fn refusal(&self, error: ScriptsError) -> Refusal {
        let code = match &error {
            ScriptsError::NonExistent => Code::NonExistent,
            ScriptsError::AlreadyExists => Code::AlreadyExists,
            ScriptsError::Active => Code::Active,
            ScriptsError::TooMany(_) => Code::MaxScripts,
            ScriptsError::TooLarge(_) => Code::MaxSize,
            ScriptsError::Busy => Code::TryLater,
            ScriptsError::Io(e) => {
                log::event("scripts-failed").field("user", &self.address).field("reason", e).error().write();
                return match e.kind() {
                    io::ErrorKind::QuotaExceeded => Refusal::coded(Code::Quota, "There is no room for it"),
                    _ => Refusal::coded(Code::TryLater, "The scripts can't be reached now; try again later"),
                };
            }
        };
        Refusal::coded(code, error.to_string())
    }
}

/// A message that may quote a script, as one line.
fn line(message: &str) -> String {
    message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn named(name: &str) -> Result<ScriptName, Refusal> {
    ScriptName::parse(name).map_err(|e| Refusal { code: None, text: e.to_string() })
}

impl Service for ManageSieveService {
    type Ask = Ask;
    type Answer = Answer;

    fn may_block(&self, ask: &Ask) -> bool {
        // All else waits for the disk or a hash, or reads a script.
        !matches!(ask, Ask::Connect(_) | Ask::Look(_) | Ask::LogOut)
    }

    fn answer(&mut self, now: Moment, ask: Ask) -> Answer {
        match ask {
            Ask::Connect(ip) => {
                self.ip = ip;
                let admitted = self.desk.connections.admit(ip).map(|admission| self.admission = Some(admission));
                Answer::Verdict(admitted.map_err(str::to_string))
            }
            Ask::Look(lookup) => Answer::Found(self.desk.logins.look_up(&lookup)),
            Ask::Login(evidence) => Answer::Login(self.log_in(&evidence, now)),
            Ask::LogOut => {
                self.owner = None;
                self.reading = None;
                Answer::Done(Ok(()))
            }
            Ask::HaveSpace(name, size) => Answer::Done(self.have_space(&name, size)),
            Ask::Put(name, text) => Answer::Done(self.put(&name, &text)),
            Ask::Check(text) => Answer::Done(self.check(&text)),
            Ask::List => Answer::Listed(self.list()),
            Ask::Activate(name) => Answer::Done(self.activate(name.as_deref())),
            Ask::Get(name) => Answer::Piece(self.get(&name)),
            Ask::More => Answer::Piece(self.more(0)),
            Ask::Delete(name) => Answer::Done(self.delete(&name)),
            Ask::Rename(old, new) => Answer::Done(self.rename(&old, &new)),
        }
    }

    fn closed(&mut self) {
        self.owner = None;
        self.reading = None;
        self.admission = None;
    }
}
