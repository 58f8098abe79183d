//! One attempt for one claimed message: deliveries, journal, reports, and what comes next.

use super::conversation::{Conversation, Spoken};
use super::opening::Net;
use super::schedule;
use crate::addr::Address;
use crate::bounce::{self, Report};
use crate::clock::Timestamp;
use crate::deliver::Letter;
use crate::envelope::{Mailer, Recipient};
use crate::log;
use crate::nexthop::NextHops;
use crate::serve::Gate;
use crate::spool::{Claim, ClaimError, Id, Outcome, Record};
use crate::status::{Enhanced, Failure};
use crate::tables::Route;
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// A host that could not be reached is left alone for so long by other messages.
const DEAD_HOST: Duration = Duration::from_secs(60);

/// Makes attempts; one for a process.
pub struct Runner {
    pub(super) gate: Arc<Gate>,
    net: Arc<dyn Net>,
    hops: Arc<NextHops>,
    hosts: Mutex<HashMap<String, u32>>,
    freed: Condvar,
    dead: Mutex<HashMap<String, (Instant, Outcome)>>,
    /// What happened and could not be written down. It comes first at the next attempt: a message that was delivered while the
    /// disk was full must not be delivered again at each attempt.
    unwritten: Mutex<HashMap<Id, Unwritten>>,
}

/// Records and their dates.
type Unwritten = Vec<(Timestamp, Vec<Record>)>;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempted {
    /// Nothing is owed any more.
    Finished,
    /// Something is left; due then.
    Later(Timestamp),
    /// Held, or of a newer version: not to be tried until somebody says so.
    Left,
    /// Another process works on it.
    Busy,
    /// Gone before we came, or moved to spool/bad.
    Gone,
}

/// The recipients that go the same way: numbers in the envelope.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A delivery of its own. These come first: no mailbox waits for a slow host.
    Local(usize),
    /// A conversation with one host, from one sender.
    Remote(Mailer, String, String),
}

impl Runner {
    /// A runner for a site.
    pub fn new(gate: Arc<Gate>, net: Arc<dyn Net>, hops: Arc<NextHops>) -> Runner {
        Runner {
            gate,
            net,
            hops,
            hosts: Default::default(),
            freed: Condvar::new(),
            dead: Default::default(),
            unwritten: Default::default(),
        }
    }

    /// The gate it works behind.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Tries one message; `now` is asked again for dates within.
    pub fn run(&self, id: &Id, now: impl Fn() -> Timestamp) -> io::Result<Attempted> {
        let mut claim = match self.gate.spool.claim(id) {
            Ok(claim) => claim,
            Err(ClaimError::Busy) => return Ok(Attempted::Busy),
            Err(ClaimError::Gone | ClaimError::Damaged(_)) => return Ok(Attempted::Gone),
            Err(e @ ClaimError::Newer) => {
                log::event("not-understood").id(id).field("reason", e).error().write();
                return Ok(Attempted::Left);
            }
            Err(ClaimError::Io(e)) => return Err(e),
        };
        self.write_rest(&mut claim)?;
        if claim.progress().held {
            return Ok(Attempted::Left);
        }
        claim.reserve()?;
        let settings = &self.gate.site.settings.queue;
        let mut ways: BTreeMap<Way, Vec<usize>> = BTreeMap::new();
        for (number, recipient) in claim.envelope().recipients.iter().enumerate() {
            if claim.progress().states[number].is_owed() {
                let delivery = &recipient.delivery;
                let way = match delivery.mailer {
                    Mailer::Smtp | Mailer::Lmtp => {
                        Way::Remote(delivery.mailer, delivery.host.clone(), delivery.sender.clone())
                    }
                    _ => Way::Local(number),
                };
                ways.entry(way).or_default().push(number);
            }
        }
        for (way, numbers) in ways {
            let spoken = match way {
                Way::Remote(_, host, sender) => self.remote(&claim, &host, &sender, &numbers, now()),
                Way::Local(number) => vec![self.local(&claim, number, now())],
            };
            self.journal(&mut claim, &numbers, &spoken, now())?;
        }
        self.expire(&mut claim, now())?;
        self.report(&mut claim, now())?;
        if claim.progress().states.iter().any(|s| s.is_owed()) {
            let next = schedule::next(claim.envelope().arrived, now(), settings);
            self.record(&mut claim, now(), vec![Record::Next(next)])?;
            return Ok(Attempted::Later(next));
        }
        log::event("finished").id(id).write();
        claim.finish()?;
        Ok(Attempted::Finished)
    }

    /// Writes records down; keeps them in memory when that fails.
    fn record(&self, claim: &mut Claim, now: Timestamp, records: Vec<Record>) -> io::Result<()> {
        let written = claim.record(now, &records);
        if written.is_err()
            && let Ok(mut unwritten) = self.unwritten.lock()
        {
            unwritten.entry(claim.id().clone()).or_default().push((now, records));
        }
        written
    }

    /// Writes down what an earlier attempt of ours could not.
    fn write_rest(&self, claim: &mut Claim) -> io::Result<()> {
        let taken = self.unwritten.lock().ok().and_then(|mut unwritten| unwritten.remove(claim.id()));
        let mut failed = Ok(());
        for (when, records) in taken.unwrap_or_default() {
            let written = self.record(claim, when, records);
            failed = failed.and(written);
        }
        failed
    }

    /// Writes outcomes down before anything else happens.
    fn journal(&self, claim: &mut Claim, numbers: &[usize], spoken: &[Spoken], now: Timestamp) -> io::Result<()> {
        let mut records: Vec<Record> = Vec::new();
        for (number, spoken) in numbers.iter().zip(spoken) {
            let recipient = &claim.envelope().recipients[*number];
            log_outcome(claim.id(), recipient, &spoken.outcome, claim.envelope().arrived, now);
            match records.last_mut() {
                Some(Record::Tried(numbers, outcome)) if *outcome == spoken.outcome => numbers.push(*number),
                _ => records.push(Record::Tried(vec![*number], spoken.outcome.clone())),
            }
        }
        // The next host reports these from here on (RFC 3461 §6.2), also when our attempts for others go on.
        let is_passed = |spoken: &Spoken| spoken.passes_dsn && spoken.outcome.enhanced.0 == 2;
        let passed: Vec<usize> = numbers.iter().zip(spoken).filter(|(_, s)| is_passed(s)).map(|(n, _)| *n).collect();
        if !passed.is_empty() {
            records.push(Record::Reported(passed));
        }
        self.record(claim, now, records)
    }

    fn local(&self, claim: &Claim, number: usize, now: Timestamp) -> Spoken {
        let recipient = &claim.envelope().recipients[number];
        let result = self.deliver(claim, recipient, now);
        let outcome = match result {
            Ok(text) => Outcome::new(Enhanced(2, 0, 0), text, ""),
            Err(failure) => Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause),
        };
        Spoken { outcome, passes_dsn: false }
    }

    fn deliver(&self, claim: &Claim, recipient: &Recipient, now: Timestamp) -> Result<String, Failure> {
        let delivery = &recipient.delivery;
        if delivery.mailer == Mailer::Error {
            let (code, text) =
                Enhanced::parse_prefix(&delivery.user).unwrap_or((Enhanced(5, 1, 1), delivery.user.as_str()));
            let make = if code.0 == 4 { Failure::temporary } else { Failure::permanent };
            return Err(make((code.1, code.2), text.to_string(), String::new()));
        }
        let owner = owner(claim, &delivery.sender);
        let sender = owner.as_ref().or(claim.envelope().sender.as_ref());
        let mut text = claim.message().map_err(|e| Failure::local(&e))?;
        let mut letter = Letter { sender, original: &recipient.original, text: &mut text };
        let draft = self.gate.spool.plain_draft(&Id::new(now));
        self.gate.postman.deliver(delivery, &mut letter, draft, now)
    }

    fn remote(&self, claim: &Claim, domain: &str, sender: &str, numbers: &[usize], now: Timestamp) -> Vec<Spoken> {
        let all = |outcome: Outcome| vec![Spoken { outcome, passes_dsn: false }; numbers.len()];
        let routed = self.gate.router.host(domain);
        let plan = routed.and_then(|(mailer, host, port)| self.hops.plan(mailer, &Route::host_text(&host, port), now));
        let plan = match plan {
            Ok(plan) => plan,
            Err(failure) => {
                return all(Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause));
            }
        };
        let name = plan.key.clone();
        if let Some(outcome) = self.is_dead(&name) {
            return all(outcome);
        }
        let _slot = self.slot(&name);
        let owner = owner(claim, sender);
        let envelope = claim.envelope();
        let recipients: Vec<&Recipient> = numbers.iter().map(|n| &envelope.recipients[*n]).collect();
        let conversation = Conversation {
            net: &*self.net,
            plan: &plan,
            hello: &self.gate.host,
            settings: &self.gate.site.settings.queue,
            source: &self.gate.site.settings.relay.source,
            envelope,
            sender: owner.as_ref().or(envelope.sender.as_ref()),
            recipients: &recipients,
        };
        let spoken = conversation.hold(&mut || claim.message().map(|m| Box::new(m) as Box<dyn Read>));
        if let (Some(first), Ok(mut dead)) = (spoken.first(), self.dead.lock()) {
            if spoken.iter().all(|s| s.outcome.enhanced == Enhanced(4, 4, 2)) {
                dead.insert(name, (Instant::now(), first.outcome.clone()));
            } else {
                dead.remove(&name);
            }
        }
        spoken
    }

    fn is_dead(&self, host: &str) -> Option<Outcome> {
        let mut dead = self.dead.lock().ok()?;
        dead.retain(|_, (since, _)| since.elapsed() < DEAD_HOST.min(self.gate.site.settings.queue.retry));
        dead.get(host).map(|(_, outcome)| outcome.clone())
    }

    /// Waits until fewer than the limit of connections are open to a host.
    fn slot<'a>(&'a self, host: &str) -> Slot<'a> {
        let most = self.gate.site.settings.queue.concurrency_per_host.max(1);
        if let Ok(mut hosts) = self.hosts.lock() {
            while hosts.get(host).is_some_and(|n| *n >= most) {
                match self.freed.wait(hosts) {
                    Ok(guard) => hosts = guard,
                    Err(_) => return Slot { runner: self, host: host.to_string() },
                }
            }
            *hosts.entry(host.to_string()).or_insert(0) += 1;
        }
        Slot { runner: self, host: host.to_string() }
    }

    /// Gives up on what is too old.
    fn expire(&self, claim: &mut Claim, now: Timestamp) -> io::Result<()> {
        let settings = &self.gate.site.settings.queue;
        if now.since(claim.envelope().arrived) < settings.expire {
            return Ok(());
        }
        let mut records = Vec::new();
        for (number, state) in claim.progress().states.iter().enumerate().filter(|(_, s)| s.is_owed()) {
            let last = state.last.as_ref().map_or(String::new(), |o| format!("; the last attempt: {}", o.text));
            let text = format!("Not delivered within {}{last}", humantime::format_duration(settings.expire));
            let host = state.last.as_ref().map_or("", |o| o.host.as_str());
            // RFC 3463 §3.5: delivery time expired.
            let outcome = Outcome::new(Enhanced(5, 4, 7), text, host);
            log_outcome(claim.id(), &claim.envelope().recipients[number], &outcome, claim.envelope().arrived, now);
            records.push(Record::Tried(vec![number], outcome));
        }
        if records.is_empty() { Ok(()) } else { self.record(claim, now, records) }
    }

    /// Tells senders: failures, asked-for successes, and once that a message is late. Each report is queued before it is
    /// journaled: a crash between doubles a report, never loses one.
    fn report(&self, claim: &mut Claim, now: Timestamp) -> io::Result<()> {
        let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, recipient) in claim.envelope().recipients.iter().enumerate() {
            let state = &claim.progress().states[number];
            let wants = match &state.last {
                Some(outcome) if outcome.enhanced.0 == 5 => recipient.notify.failure,
                Some(outcome) if outcome.enhanced.0 == 2 => recipient.notify.success,
                _ => false,
            };
            if wants && !state.reported {
                groups.entry(recipient.delivery.sender.clone()).or_default().push(number);
            }
        }
        for (sender, numbers) in groups {
            let report = Report::settled(&numbers, owner(claim, &sender));
            bounce::send(&self.gate, claim, &report, now)?;
            self.record(claim, now, vec![Record::Reported(numbers)])?;
        }
        let is_late = now.since(claim.envelope().arrived) >= self.gate.site.settings.queue.warn;
        if is_late && !claim.progress().warned && claim.envelope().sender.is_some() {
            let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (number, recipient) in claim.envelope().recipients.iter().enumerate() {
                if claim.progress().states[number].is_owed() && recipient.notify.delay {
                    groups.entry(recipient.delivery.sender.clone()).or_default().push(number);
                }
            }
            let is_any = !groups.is_empty();
            for (sender, numbers) in groups {
                bounce::send(&self.gate, claim, &Report::late(&numbers, owner(claim, &sender)), now)?;
            }
            if is_any {
                self.record(claim, now, vec![Record::Warned])?;
            }
        }
        Ok(())
    }
}

/// The list owner of a delivery, where it has one. A report stays a report when a list passes it on: with an owner for
/// sender it could be answered, and go round for ever.
fn owner(claim: &Claim, text: &str) -> Option<Address> {
    claim.envelope().sender.as_ref()?;
    Address::parse(text).ok()
}

fn log_outcome(id: &Id, recipient: &Recipient, outcome: &Outcome, arrived: Timestamp, now: Timestamp) {
    let name = match outcome.enhanced.0 {
        2 => "delivered",
        4 => "deferred",
        _ => "failed",
    };
    let delay = format!("{:.1}", now.since(arrived).as_secs_f64());
    log::event(name)
        .id(id)
        .field("to", &recipient.original)
        .field("mailer", recipient.delivery.mailer.name())
        .field("user", &recipient.delivery.user)
        .maybe("host", Some(&outcome.host).filter(|h| !h.is_empty()))
        .field("code", outcome.enhanced)
        .field("reply", &outcome.text)
        .maybe("cause", Some(&outcome.cause).filter(|c| !c.is_empty()))
        .field("delay", delay)
        .write();
}

/// A place among the connections to a host.
struct Slot<'a> {
    runner: &'a Runner,
    host: String,
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        if let Ok(mut hosts) = self.runner.hosts.lock() {
            if let Some(count) = hosts.get_mut(&self.host) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    hosts.remove(&self.host);
                }
            }
            self.runner.freed.notify_all();
        }
    }
}
