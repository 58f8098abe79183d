//! Filters of accounts: which rule a delivery has, and what it says about a message.
//!
//! Called by [`super::Postman`]. A rule is the account's active Sieve script, its own absence text, or both. Scripts are
//! compiled once and kept by the identity of their files. Whatever is wrong with a script, the mail is kept: one that may not be read or
//! leads nowhere is passed over with a log line, one with a mistake files to the inbox and its owner is told once.
//!
//! | file | what |
//! |---|---|
//! | `mod` | finding and running rules |
//! | `world` | what a script asks: mailboxes, other scripts, memories |
//! | `carry` | doing what was decided |
//! | `explain` | telling it instead |

mod carry;
mod explain;
mod world;

pub use carry::{Mail, Sorted};

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::fsx::{self, Identity};
use crate::log;
use crate::sieve::{self, Action, Envelope, Limits, MessageView, Outcome, Script, SieveError, SpamRules};
use crate::status::Failure;
use crate::store::{LOCK_PATIENCE, Registry, Scripts, StoreSettings, scripts};
use crate::users::Account;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// So many compiled scripts are kept by a process.
const KEPT: usize = 1_000;

type Compiled = Result<Arc<Script>, SieveError>;

/// Finds and runs the rules of one site; shared by the threads of a process.
#[derive(Debug)]
pub(super) struct Filters {
    site: Arc<Site>,
    registry: Arc<Registry>,
    limits: Limits,
    spam: SpamRules,
    kept: Mutex<HashMap<PathBuf, (Identity, Compiled)>>,
}

/// What is to happen with an account's mail.
#[derive(Debug, Clone)]
pub struct Rule {
    script: Option<Named>,
    absence: Option<Absence>,
}

#[derive(Debug, Clone)]
struct Named {
    name: String,
    identity: Identity,
    compiled: Compiled,
}

/// An account's own absence text.
#[derive(Debug, Clone)]
struct Absence {
    action: sieve::Vacation,
}

/// What the scripts of a site may be and do.
pub fn script_limits(site: &Site) -> Limits {
    let settings = &site.settings.sieve;
    Limits {
        script_size: usize::try_from(settings.script_size.0).unwrap_or(usize::MAX),
        redirects: settings.redirects as usize,
        time: settings.time,
        subaddress: site.separator().unwrap_or('+'),
        ..Limits::default()
    }
}

impl Rule {
    /// True when the message may be sorted before it is acknowledged: nothing is sent, nothing is edited.
    pub fn is_quick(&self) -> bool {
        let is_quick = |named: &Named| match &named.compiled {
            Ok(script) => !script.may_send() && !script.may_edit(),
            Err(_) => true,
        };
        self.absence.is_none() && self.script.as_ref().is_none_or(is_quick)
    }

    /// True when more than the header is needed.
    pub fn reads_body(&self) -> bool {
        self.script.as_ref().is_some_and(|named| named.compiled.as_ref().is_ok_and(|script| script.reads_body()))
    }

    /// The script's name; empty when there is only an absence text.
    pub fn name(&self) -> &str {
        self.script.as_ref().map_or("", |named| &named.name)
    }
}

impl Filters {
    /// Those of a site; nothing is read before it is needed.
    pub fn of(site: &Arc<Site>) -> Filters {
        let store = StoreSettings {
            clock: Timestamp::now,
            host: site.hostname(),
            keeps_trash: !site.settings.imap.trash.is_zero(),
            lock_patience: LOCK_PATIENCE,
        };
        let settings = &site.settings.sieve;
        let limits = script_limits(site);
        Filters {
            site: site.clone(),
            registry: Arc::new(Registry::new(store)),
            limits,
            spam: world::spam_rules(settings),
            kept: Mutex::default(),
        }
    }

    /// The rule of an account, if it has one.
    pub fn rule(&self, home: &Path, account: Option<&Account>, now: Timestamp) -> Result<Option<Rule>, Failure> {
        let script = match self.site.settings.sieve.enabled {
            true => self.script(home).map_err(|e| Failure::local(&e))?,
            false => None,
        };
        let absence = account.and_then(|account| Absence::of(account, now));
        Ok((script.is_some() || absence.is_some()).then_some(Rule { script, absence }))
    }

    /// The rule of a system account, as whom we run.
    pub fn rule_in_home(&self, home: &Path, owner: u32) -> Result<Option<Rule>, Failure> {
        if !self.site.settings.sieve.enabled {
            return Ok(None);
        }
        let read = |path: &Path| -> io::Result<(Identity, Compiled)> {
            let missing = || io::Error::new(io::ErrorKind::NotFound, "there is no such script");
            let identity = Identity::of(path)?.ok_or_else(missing)?;
            let text = scripts::read_of(path, owner)?;
            Ok((identity, sieve::compile(&text, &self.limits).map(Arc::new)))
        };
        let found = match scripts::in_home(home) {
            Ok(None) => return Ok(None),
            Ok(Some(path)) => read(&path).map(|(identity, compiled)| Named {
                name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
                identity,
                compiled,
            }),
            Err(e) => Err(e),
        };
        match found {
            Ok(named) => Ok(Some(Rule { script: Some(named), absence: None })),
            Err(e) if is_final(&e) => {
                log::event("script-not-obeyed").field("home", home.display()).field("reason", e).error().write();
                Ok(None)
            }
            Err(e) => Err(Failure::local(&e)),
        }
    }

    fn script(&self, home: &Path) -> io::Result<Option<Named>> {
        let scripts = Scripts::of(home);
        let passed = |path: &Path, e: &io::Error| {
            log::event("script-not-obeyed").field("file", path.display()).field("reason", e).error().write();
            Ok(None)
        };
        let path = match scripts.active_path() {
            Ok(Some(path)) => path,
            Ok(None) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => return passed(scripts.dir(), &e),
            Err(e) => return Err(e),
        };
        match self.load(&scripts, &path) {
            Ok((identity, compiled)) => Ok(Some(Named { name: scripts::name_of(&path), identity, compiled })),
            // Not there, another's, a link: asking again would not help.
            Err(e) if is_final(&e) => passed(&path, &e),
            Err(e) => Err(e),
        }
    }

    /// A compiled script, read again when its file has changed.
    fn load(&self, scripts: &Scripts, path: &Path) -> io::Result<(Identity, Compiled)> {
        let Some(identity) = Identity::of(path)? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "there is no such script"));
        };
        let kept = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, compiled)) = kept().get(path)
            && *known == identity
        {
            return Ok((identity, compiled.clone()));
        }
        let text = scripts.read(path)?;
        let compiled = sieve::compile(&text, &self.limits).map(Arc::new);
        let mut kept = kept();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(path.to_path_buf(), (identity, compiled.clone()));
        Ok((identity, compiled))
    }

    /// Runs a rule. `text` is the message, or its header when no more is needed; `size` is that of the whole with CRLF line ends.
    pub fn decide(&self, rule: &Rule, mail: &Mail<'_>, text: &[u8], size: u64, traces: bool) -> Outcome {
        let mut outcome = match &rule.script {
            None => self.run(&Script::default(), mail, text, size, traces),
            Some(Named { compiled: Ok(script), .. }) => self.run(script, mail, text, size, traces),
            Some(Named { compiled: Err(error), .. }) => {
                let outcome = self.run(&Script::default(), mail, text, size, traces);
                Outcome { error: Some(error.clone()), ..outcome }
            }
        };
        let is_kept = outcome.actions.iter().any(|action| matches!(action, Action::Store(_) | Action::Redirect(_)));
        let answers = outcome.actions.iter().any(|action| matches!(action, Action::Vacation(_)));
        if let Some(absence) = &rule.absence
            && is_kept
            && !answers
        {
            outcome.actions.push(Action::Vacation(absence.action.clone()));
        }
        outcome
    }

    fn run(&self, script: &Script, mail: &Mail<'_>, text: &[u8], size: u64, traces: bool) -> Outcome {
        let print = |address: Option<&Address>| address.map(ToString::to_string).unwrap_or_default();
        let envelope = Envelope { from: print(mail.sender), to: mail.original.to_string(), auth: None };
        let mut view = MessageView::new(text, size, envelope);
        let mut world = world::AccountWorld::new(self, mail.home, mail.now);
        match traces {
            true => script.explain(&mut view, &mut world, &self.limits),
            false => script.run(&mut view, &mut world, &self.limits),
        }
    }
}

impl Absence {
    /// The fields that `emuser vacation` sets; `None` when there is no text, before its first day and after its last.
    fn of(account: &Account, now: Timestamp) -> Option<Absence> {
        let text = |key: &str| account.field(key).map(str::trim).filter(|value| !value.is_empty()).map(str::to_string);
        let reason = text("vacation")?;
        // Days as the people here count them; dates of this form compare as texts.
        let today = now.local("%Y-%m-%d");
        if text("vacation_from").is_some_and(|from| today < from)
            || text("vacation_until").is_some_and(|until| today > until)
        {
            return None;
        }
        let days = text("vacation_days").and_then(|days| days.parse::<u64>().ok()).filter(|days| *days > 0);
        let action = sieve::Vacation {
            interval: days.map(|days| Duration::from_secs(days.min(3650) * 86_400)),
            subject: text("vacation_subject"),
            from: text("name").map(|name| {
                let name = name.replace('\\', "\\\\").replace('"', "\\\"");
                format!("\"{name}\" <{}>", account.address)
            }),
            handle: format!("account\n{reason}"),
            reason,
            ..sieve::Vacation::default()
        };
        Some(Absence { action })
    }
}

/// True when a script's file will not be readable at the next attempt either.
fn is_final(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, InvalidInput, NotADirectory, NotFound, PermissionDenied};
    matches!(error.kind(), FileTooLarge | InvalidInput | NotADirectory | NotFound | PermissionDenied)
        || fsx::errno(error) == Some(nix::libc::ELOOP)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absence_has_its_days() {
        let mut account = Account::new(&Address::parse("bob@b.test").unwrap());
        let noon = |day: i8| Timestamp::from_civil((2026, 11, day), (12, 0, 0), 0).unwrap();
        assert!(Absence::of(&account, noon(5)).is_none());
        for (key, value) in [
            ("vacation", "away"),
            ("vacation_from", "2026-11-03"),
            ("vacation_until", "2026-11-10"),
            ("vacation_days", "2"),
            ("name", "Bob \"B\""),
        ] {
            account.put(key, Some(value.to_string()));
        }
        let is_away = |day| Absence::of(&account, noon(day)).is_some();
        assert_eq!([1, 5, 9, 12].map(is_away), [false, true, true, false]);
        let action = Absence::of(&account, noon(5)).unwrap().action;
        assert_eq!(action.interval, Some(Duration::from_secs(2 * 86_400)));
        assert_eq!(action.from.as_deref(), Some("\"Bob \\\"B\\\"\" <bob@b.test>"));
    }
}
