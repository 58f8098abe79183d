//! One attempt for one claimed message: deliveries, journal, reports, and what comes next.
//!
//! Its recipients are grouped into ways: those that go to one host from one sender, and each local delivery by itself. Ways may
//! be tried by several threads at once; the claim is shared, and whoever ends last settles the message.
//! What a way came to is journaled before another way's end can matter; the last one's outcome is journaled together with what follows
//! from it, and not at all when that is the end of the message: then its queue file goes at once.

use super::board::Verdict;
use super::conversation::{Conversation, GOODBYE, Held, Spoken};
use super::opening::Open;
use super::schedule::{self, Ending};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::deliver::Letter;
use crate::envelope::{Delivery, Envelope, Mailer, Recipient, TlsWish};
use crate::list;
use crate::log;
use crate::msg::seven_bit::Wish;
use crate::nexthop::{Net, NextHops};
use crate::serve::Gate;
use crate::spool::{Claim, ClaimError, Id, Outcome, Progress, Record};
use crate::status::{Enhanced, Failure};
use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Makes attempts; one for a process.
pub struct Runner {
    pub(super) gate: Arc<Gate>,
    pub(super) net: Arc<dyn Net>,
    pub(super) hops: Arc<NextHops>,
    /// Our emqueue, which appends to files as their owner.
    pub(super) tool: PathBuf,
    /// Hears what each delivery came to.
    told: Option<Box<Told>>,
    /// Mailers with flag e wait for a run of the queue.
    pub(super) holds_expensive: bool,
    /// Mailers with flag % wait until their mail is asked for.
    pub(super) holds_on_demand: bool,
    /// What happened and could not be written down. It comes first at the next attempt: a message that was delivered while the
    /// disk was full must not be delivered again at each attempt.
    unwritten: Mutex<HashMap<Id, Unwritten>>,
    /// Messages whose end is not durable yet.
    pub(super) retired: Mutex<Vec<Id>>,
    /// Destinations by domain, and since when they are known.
    pub(super) destinations: Mutex<HashMap<String, (Instant, String)>>,
}

/// Hears what a delivery came to.
pub type Told = dyn Fn(&Recipient, &Outcome) + Send + Sync;

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

/// The recipients that go the same way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// A delivery of its own: its number in the envelope. These come first: no mailbox waits for a slow host.
    Local(usize),
    /// A mailer of a sendmail.cf, a host, and the sender.
    Agent(String, String, String),
    /// A conversation with one host, from one sender.
    Remote(Mailer, String, String),
}

/// A claimed message and the ways it is to go.
pub(super) struct Attempt {
    id: Id,
    envelope: Arc<Envelope>,
    ways: Vec<(Way, Vec<usize>)>,
    left: AtomicUsize,
    work: Mutex<Work>,
}

pub(super) struct Work {
    pub(super) claim: Claim,
    /// Outcomes that are to be journaled with what follows from them, or not at all.
    pub(super) pending: Vec<Record>,
    pub(super) failed: Option<io::Error>,
}

/// What [`Runner::open`] found.
pub(super) enum Opened {
    /// Something is to be tried.
    Attempt(Arc<Attempt>),
    /// Nothing is.
    Ended(Attempted),
}

impl Attempt {
    /// The message's id.
    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    /// Who sent it to whom.
    pub(super) fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// The start of its text, with its whole header if that is no longer than the limit.
    pub(super) fn header(&self, limit: usize) -> io::Result<Vec<u8>> {
        let mut message = self.work().claim.message();
        let mut head = Vec::new();
        let mut buffer = [0; 8192];
        while crate::msg::header_end(&head).is_none() && head.len() < limit {
            match message.read(&mut buffer)? {
                0 => break,
                n => head.extend_from_slice(&buffer[..n]),
            }
        }
        Ok(head)
    }

    /// What its journal says by now.
    pub(super) fn progress(&self) -> Progress {
        self.work().claim.progress().clone()
    }

    /// True when this holds for every delivery that is still owed.
    pub(super) fn is_owed_by_all(&self, progress: &Progress, holds: impl Fn(&Delivery) -> bool) -> bool {
        let pairs = self.envelope.recipients.iter().zip(&progress.states);
        pairs.filter(|(_, state)| state.is_owed()).all(|(recipient, _)| holds(&recipient.delivery))
    }

    /// One delivery of each way.
    pub(super) fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.ways.iter().filter_map(|(_, numbers)| Some(&self.envelope.recipients.get(*numbers.first()?)?.delivery))
    }

    pub(super) fn work(&self) -> MutexGuard<'_, Work> {
        // What a panic in between may leave undone is done again at the next attempt.
        self.work.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runner {
    /// A runner for a site.
    pub fn new(gate: Arc<Gate>, net: Arc<dyn Net>, hops: Arc<NextHops>) -> Runner {
        Runner {
            tool: gate.postman.beside("emqueue"),
            told: None,
            holds_expensive: false,
            holds_on_demand: false,
            gate,
            net,
            hops,
            unwritten: Default::default(),
            retired: Default::default(),
            destinations: Default::default(),
        }
    }

    /// The same; each delivery's outcome is told.
    pub fn telling(self, told: Box<Told>) -> Runner {
        Runner { told: Some(told), ..self }
    }

    /// The same; mail for expensive mailers (flag e) stays in the queue.
    pub fn holding_expensive(self, holds_expensive: bool) -> Runner {
        Runner { holds_expensive, ..self }
    }

    /// The same; mail for mailers with flag % stays in the queue until somebody asks for it.
    pub fn holding_on_demand(self, holds_on_demand: bool) -> Runner {
        Runner { holds_on_demand, ..self }
    }

    /// The gate it works behind.
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Tries one message, one way after the other, whether it is due or not; `now` is asked again for dates within.
    pub fn run(&self, id: &Id, now: impl Fn() -> Timestamp) -> io::Result<Attempted> {
        let attempt = match self.open(id, now())? {
            Opened::Attempt(attempt) => attempt,
            Opened::Ended(ended) => return Ok(ended),
        };
        for way in 0..attempt.ways.len() {
            let mut kept = None;
            self.try_way(&attempt, way, &mut kept, &now);
            kept.into_iter().for_each(|open: Open| open.quit(GOODBYE));
        }
        let attempted = self.settle(&attempt, now());
        self.sync_retired()?;
        attempted
    }

    /// Claims a message and finds the ways it is to go.
    pub(super) fn open(&self, id: &Id, now: Timestamp) -> io::Result<Opened> {
        let mut claim = match self.gate.spool.claim(id) {
            Ok(claim) => claim,
            Err(ClaimError::Busy) => return Ok(Opened::Ended(Attempted::Busy)),
            Err(ClaimError::Gone | ClaimError::Damaged(_)) => return Ok(Opened::Ended(Attempted::Gone)),
            Err(e @ ClaimError::Newer) => {
                log::event("not-understood").id(id).field("reason", e).error().write();
                return Ok(Opened::Ended(Attempted::Left));
            }
            Err(ClaimError::Io(e)) => return Err(e),
        };
        self.write_rest(&mut claim)?;
        if claim.progress().held {
            return Ok(Opened::Ended(Attempted::Left));
        }
        let envelope = claim.envelope().clone();
        if let Some(until) = schedule::held_until(&envelope, claim.progress(), now) {
            return Ok(Opened::Ended(Attempted::Later(until)));
        }
        let settings = &self.gate.site.settings.queue;
        // After the time that its sender has set, nothing is tried any more.
        let is_over =
            matches!(schedule::expiry(&envelope, claim.progress(), settings), (at, Ending::DeliverBy) if at <= now);
        let mut ways: BTreeMap<Way, Vec<usize>> = BTreeMap::new();
        for (number, recipient) in envelope.recipients.iter().enumerate() {
            if claim.progress().states[number].is_owed() && !is_over {
                ways.entry(way_of(number, &recipient.delivery)).or_default().push(number);
            }
        }
        let ways: Vec<_> = ways.into_iter().collect();
        // One way to one recipient ends with the queue file's removal, for which there is always room.
        if ways.len() > 1 || ways.iter().any(|(_, numbers)| numbers.len() > 1) {
            claim.reserve()?;
        }
        let left = AtomicUsize::new(ways.len());
        let work = Mutex::new(Work { claim, pending: Vec::new(), failed: None });
        Ok(Opened::Attempt(Arc::new(Attempt { id: id.clone(), envelope, ways, left, work })))
    }

    /// Tries one way. True when it was the last, and the message is to be settled; and what it says about the host. `kept` may hold a
    /// connection that can be used, and holds one afterwards that can be used again.
    pub(super) fn try_way(
        &self,
        attempt: &Attempt,
        way: usize,
        kept: &mut Option<Open>,
        now: impl Fn() -> Timestamp,
    ) -> (bool, Verdict) {
        let Some((way, numbers)) = attempt.ways.get(way) else { return (false, Verdict::Unknown) };
        let (spoken, verdict) = match way {
            Way::Remote(_, _, sender) => {
                let Held { spoken, verdict } = self.remote(attempt, sender, numbers, kept, now());
                (spoken, verdict)
            }
            Way::Agent(_, _, sender) => match self.held_back(attempt, numbers) {
                None => {
                    let Held { spoken, verdict } = self.by_agent(attempt, sender, numbers, kept, now());
                    (spoken, verdict)
                }
                Some(why) => {
                    let outcome = Outcome::new(Enhanced(4, 0, 0), why, "");
                    (vec![Spoken::of(outcome); numbers.len()], Verdict::Unknown)
                }
            },
            Way::Local(number) => (vec![self.local(attempt, *number, now())], Verdict::Unknown),
        };
        (self.way_ended(attempt, numbers, &spoken, now()), verdict)
    }

    /// The same for a way whose host is known not to answer.
    pub(super) fn skip_way(&self, attempt: &Attempt, way: usize, outcome: &Outcome, now: Timestamp) -> bool {
        let Some((_, numbers)) = attempt.ways.get(way) else { return false };
        let spoken = vec![Spoken::of(outcome.clone()); numbers.len()];
        self.way_ended(attempt, numbers, &spoken, now)
    }

    fn way_ended(&self, attempt: &Attempt, numbers: &[usize], spoken: &[Spoken], now: Timestamp) -> bool {
        if let Some(told) = &self.told {
            let pairs = numbers.iter().zip(spoken);
            pairs.for_each(|(number, spoken)| told(&attempt.envelope.recipients[*number], &spoken.outcome));
        }
        let records = records(attempt, numbers, spoken, now);
        let mut work = attempt.work();
        let is_last = attempt.left.fetch_sub(1, Ordering::AcqRel) == 1;
        work.pending.extend(records);
        if !is_last {
            let pending = std::mem::take(&mut work.pending);
            if let Err(e) = self.record(&mut work.claim, now, pending) {
                work.failed.get_or_insert(e);
            }
        }
        is_last
    }

    /// Writes records down; keeps them in memory when that fails.
    pub(super) fn record(&self, claim: &mut Claim, now: Timestamp, records: Vec<Record>) -> io::Result<()> {
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

    fn local(&self, attempt: &Attempt, number: usize, now: Timestamp) -> Spoken {
        let recipient = &attempt.envelope.recipients[number];
        let result = self.deliver(attempt, recipient, now);
        let outcome = match result {
            Ok(text) => Outcome::new(Enhanced(2, 0, 0), text, ""),
            Err(failure) => Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause),
        };
        Spoken::of(outcome)
    }

    fn deliver(&self, attempt: &Attempt, recipient: &Recipient, now: Timestamp) -> Result<String, Failure> {
        let delivery = &recipient.delivery;
        if delivery.mailer == Mailer::Error {
            let (code, text) =
                Enhanced::parse_prefix(&delivery.user).unwrap_or((Enhanced(5, 1, 1), delivery.user.as_str()));
            let make = if code.0 == 4 { Failure::temporary } else { Failure::permanent };
            return Err(make((code.1, code.2), text.to_string(), String::new()));
        }
        let owner = owner(&attempt.envelope, &delivery.sender);
        let sender = owner.as_ref().or(attempt.envelope.sender.as_ref());
        if delivery.mailer == Mailer::List {
            return self.to_list(attempt, recipient, now);
        }
        let mut text = attempt.work().claim.message();
        let mut letter = Letter { sender, original: &recipient.original, text: &mut text };
        let draft = self.gate.spool.plain_draft(&Id::new(now));
        self.gate.postman.deliver(delivery, &mut letter, draft, &*self.gate, now)
    }

    /// Gives a message to a mailing list.
    fn to_list(&self, attempt: &Attempt, recipient: &Recipient, now: Timestamp) -> Result<String, Failure> {
        let user = &recipient.delivery.user;
        let to = Address::parse(user).map_err(|e| Failure::permanent((1, 3), format!("<{user}>: {e}"), ""))?;
        let desk = list::Desk { gate: &self.gate, resolver: self.hops.resolver(), now };
        let mut text = attempt.work().claim.message();
        desk.receive(&to, &attempt.id, attempt.envelope.sender.as_ref(), &mut text)
    }

    /// Sends to the recipients of one domain. They go to one host, unless the rules tell users of the domain apart.
    fn remote(
        &self,
        attempt: &Attempt,
        sender: &str,
        numbers: &[usize],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Held {
        let mut spoken: Vec<Option<Spoken>> = vec![None; numbers.len()];
        let mut verdict = Verdict::Unknown;
        let mut hops: BTreeMap<(Mailer, String), Vec<usize>> = BTreeMap::new();
        for (at, number) in numbers.iter().enumerate() {
            match self.gate.router.next_hop(&attempt.envelope.recipients[*number].delivery) {
                Ok(hop) => hops.entry(hop).or_default().push(at),
                Err(failure) => spoken[at] = Some(Spoken::of(ours(failure))),
            }
        }
        for (hop, places) in hops {
            let numbers: Vec<usize> = places.iter().map(|at| numbers[*at]).collect();
            let held = self.converse(attempt, (hop.0, &hop.1), sender, &numbers, kept, now);
            verdict = verdict.and(held.verdict);
            places.into_iter().zip(held.spoken).for_each(|(at, said)| spoken[at] = Some(said));
        }
        let nothing = || Spoken::of(Outcome::new(Enhanced(4, 3, 0), "not tried", ""));
        Held { spoken: spoken.into_iter().map(|said| said.unwrap_or_else(nothing)).collect(), verdict }
    }

    fn converse(
        &self,
        attempt: &Attempt,
        (mailer, host): (Mailer, &str),
        sender: &str,
        numbers: &[usize],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Held {
        let plan = match self.hops.plan_for(mailer, host, tls_wish(&attempt.envelope), now) {
            Ok(plan) => plan,
            // Nobody was asked: that says nothing about the host.
            Err(failure) => {
                return Held { spoken: vec![Spoken::of(ours(failure)); numbers.len()], verdict: Verdict::Unknown };
            }
        };
        let envelope = &*attempt.envelope;
        let owner = owner(envelope, sender);
        let recipients: Vec<&Recipient> = numbers.iter().map(|n| &envelope.recipients[*n]).collect();
        let conversation = Conversation {
            net: &*self.net,
            plan: &plan,
            hello: &self.gate.host,
            settings: &self.gate.site.settings.queue,
            source: &self.gate.site.settings.relay.source,
            envelope,
            sender: owner.as_ref().or(envelope.sender.as_ref()),
            reverse_path: None,
            recipients: &recipients,
            encodes: self.gate.site.settings.relay.encode_8bit,
            wish: Wish::default(),
            is_plain: false,
            now,
        };
        conversation.hold(kept, &mut || Ok(Box::new(attempt.work().claim.message())))
    }
}

/// What a message demands of TLS on its way.
pub(super) fn tls_wish(envelope: &Envelope) -> TlsWish {
    match envelope.handling.tls {
        // RFC 8689 §5: a report is not lost for it.
        TlsWish::Required if envelope.sender.is_none() => TlsWish::Usual,
        wish => wish,
    }
}

/// A failure of our own making, as an outcome.
pub(super) fn ours(failure: Failure) -> Outcome {
    Outcome::new(failure.enhanced, failure.public, "").because(&failure.cause)
}

fn way_of(number: usize, delivery: &Delivery) -> Way {
    match delivery.mailer {
        Mailer::Smtp | Mailer::Lmtp => Way::Remote(delivery.mailer, delivery.host.clone(), delivery.sender.clone()),
        Mailer::Agent => Way::Agent(delivery.by.clone(), delivery.host.clone(), delivery.sender.clone()),
        _ => Way::Local(number),
    }
}

/// What is to be written down about a way's end; logs it too.
fn records(attempt: &Attempt, numbers: &[usize], spoken: &[Spoken], now: Timestamp) -> Vec<Record> {
    let mut records: Vec<Record> = Vec::new();
    for (number, spoken) in numbers.iter().zip(spoken) {
        let recipient = &attempt.envelope.recipients[*number];
        log_outcome(&attempt.id, recipient, &spoken.outcome, attempt.envelope.arrived, now);
        match records.last_mut() {
            Some(Record::Tried(numbers, outcome)) if *outcome == spoken.outcome => numbers.push(*number),
            _ => records.push(Record::Tried(vec![*number], spoken.outcome.clone())),
        }
    }
    // The next host reports these from here on (RFC 3461 §6.2), also when our attempts for others go on; but that a message was
    // relayed is for us to say where its sender wants to know.
    let of = |is_meant: &dyn Fn(&Spoken) -> bool| -> Vec<usize> {
        let done = numbers.iter().zip(spoken).filter(|(_, s)| s.outcome.enhanced.0 == 2);
        done.filter(|(_, s)| is_meant(s)).map(|(n, _)| *n).collect()
    };
    let (relayed, passed) = (of(&|s| s.owes_relayed), of(&|s| s.passes_dsn && !s.owes_relayed));
    if !relayed.is_empty() {
        records.push(Record::Relayed(relayed));
    }
    if !passed.is_empty() {
        records.push(Record::Reported(passed));
    }
    records
}

/// The list owner of a delivery, where it has one. A report stays a report when a list passes it on: with an owner for
/// sender it could be answered, and go round for ever.
pub(super) fn owner(envelope: &Envelope, text: &str) -> Option<Address> {
    envelope.sender.as_ref()?;
    Address::parse(text).ok()
}

pub(super) fn log_outcome(id: &Id, recipient: &Recipient, outcome: &Outcome, arrived: Timestamp, now: Timestamp) {
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
