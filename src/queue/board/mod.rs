//! The daemon's memory: which message waits for which destination, and what is started next.
//!
//! Pure: no file, no clock, no thread. The disk knows better; all of this can be lost at any time and is read again. It is lean, because a
//! queue may hold a million messages: some 35 octets each.
//!
//! * A message waits in its destination's heap when it is due, and in one heap by date until then.
//! * Destinations with something to do take turns. Each has a window of deliveries at once, which grows with success and halves when the
//!   host can't be reached; a host that can't be reached at all is parked: its messages stay where they are, untouched on disk, while one
//!   of them probes it now and then, and as soon as somebody wants a message of its tried.
//! * Within a destination the more urgent come first, and senders take turns: each sender's next message is numbered behind
//!   the one being served, not behind all that another has queued (fair queuing by virtual time).
//!
//! Dates are in seconds of Unix time.

mod destination;
mod known;
mod pace;

use super::schedule::seconds;
use crate::settings::{HostLimit, host_limit};
use crate::spool::{Outcome, PackedId};
use destination::{Destination, Ready};
pub(super) use destination::{Limits, Verdict};
use known::Known;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Senders whose place in a destination's order is remembered; with more than this, fairness begins anew.
const SENDERS: usize = 10_000;
/// Destinations that are remembered, with or without mail; beyond it those without are forgotten when the number has doubled.
const DESTINATIONS: usize = 10_000;
/// How many messages one connection gets in a row while other destinations wait.
const TURN: u32 = 20;

/// A destination's number on the board.
pub(super) type Number = u32;

/// What the board must know of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Item {
    /// Its id.
    pub(super) id: PackedId,
    /// Tells senders apart.
    pub(super) sender: u32,
    /// 0 goes first.
    pub(super) priority: u8,
    /// When its sender must be told something even if no attempt can be made.
    pub(super) care: u32,
}

/// What a worker is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Task<J> {
    /// Claim this message and try it.
    Message(PackedId),
    /// A part of a message that is claimed already.
    Part(J),
    /// The same, but its destination can't be reached, or has had its share: the outcome that stands for the attempt.
    Unreachable(J, Outcome),
    /// Its destination can't be reached, and its sender must be told.
    Neglected(PackedId, Outcome),
}

/// The board. `J` is a part of a claimed message.
#[derive(Debug)]
pub(super) struct Board<J> {
    limits: Limits,
    /// What some destinations have instead.
    own_limits: Vec<HostLimit>,
    /// The latest time that was told.
    latest: u32,
    names: HashMap<Box<str>, Number>,
    destinations: Vec<Destination<J>>,
    /// With so many names those without mail are forgotten.
    most_names: usize,
    /// Numbers of destinations that have been forgotten.
    free: Vec<Number>,
    /// What is not due yet: date, destination, item.
    waiting: BinaryHeap<Reverse<Waiting>>,
    /// Destinations that may start something, each once, in turn.
    turns: VecDeque<Number>,
    parked: BTreeSet<(u32, Number)>,
    /// Destinations that have been given as many messages as they may get before this date.
    paced: BTreeSet<(u32, Number)>,
    known: Known,
    active: HashSet<PackedId>,
    /// Entries too many of messages that were made due by hand; they go when they come up.
    surplus: HashMap<PackedId, u32>,
    /// The last number that a sender was given at a destination.
    places: HashMap<(Number, u32), u32>,
    urgent: VecDeque<(Number, Task<J>)>,
    running: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: u32,
    id: PackedId,
    priority: u8,
    destination: Number,
    sender: u32,
    care: u32,
}

impl<J> Board<J> {
    /// An empty board.
    pub(super) fn new(limits: Limits, own_limits: Vec<HostLimit>) -> Board<J> {
        Board {
            limits,
            own_limits,
            latest: 0,
            names: HashMap::new(),
            destinations: Vec::new(),
            most_names: DESTINATIONS,
            free: Vec::new(),
            waiting: BinaryHeap::new(),
            turns: VecDeque::new(),
            parked: BTreeSet::new(),
            paced: BTreeSet::new(),
            known: Known::default(),
            active: HashSet::new(),
            surplus: HashMap::new(),
            places: HashMap::new(),
            urgent: VecDeque::new(),
            running: 0,
        }
    }

    /// The number of a destination: a local mailer's name, or a mailer and the host, `smtp:example.org`.
    pub(super) fn destination(&mut self, name: &str) -> Number {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        if self.names.len() >= self.most_names {
            self.forget_idle();
        }
        let number = self.free.pop().unwrap_or(self.destinations.len() as Number);
        self.names.insert(name.into(), number);
        let new = self.new_destination(name);
        match self.destinations.get_mut(number as usize) {
            Some(forgotten) => *forgotten = new,
            None => self.destinations.push(new),
        }
        number
    }

    fn new_destination(&self, name: &str) -> Destination<J> {
        let host = name.split_once(':').map_or("", |(_, host)| host);
        match host_limit(&self.own_limits, host) {
            Some(own) if !host.is_empty() => {
                let each = own.connections.unwrap_or(self.limits.each);
                Destination::new(Limits { each, ..self.limits }, own.messages)
            }
            _ => Destination::new(self.limits, None),
        }
    }

    /// Learns of a message that was not known; false when it was.
    pub(super) fn learn(&mut self, item: Item, destination: Number, due: u32, now: u32) -> bool {
        let is_new = !self.active.contains(&item.id) && self.known.insert(item.id);
        if is_new {
            self.place(item, destination, due, now);
        }
        is_new
    }

    /// A message is due at once, whatever was known of it.
    pub(super) fn hasten(&mut self, item: Item, destination: Number, now: u32) {
        if self.active.contains(&item.id) {
            return;
        }
        if !self.known.insert(item.id) {
            *self.surplus.entry(item.id).or_insert(0) += 1;
        }
        self.place(item, destination, now, now);
        let Some(host) = self.destinations.get_mut(destination as usize) else { return };
        if let Some((planned, date)) = host.wish(now) {
            self.parked.remove(&(planned, destination));
            self.parked.insert((date, destination));
        }
    }

    /// Forgets destinations without mail; they come back as new ones.
    fn forget_idle(&mut self) {
        let (destinations, free, latest) = (&self.destinations, &mut self.free, self.latest);
        self.names.retain(|_, number| {
            let is_idle = destinations.get(*number as usize).is_some_and(|host| host.is_idle(latest));
            if is_idle {
                free.push(*number);
            }
            !is_idle
        });
        self.most_names = DESTINATIONS.max(2 * self.names.len());
    }

    fn place(&mut self, item: Item, destination: Number, due: u32, now: u32) {
        let Item { id, sender, priority, care } = item;
        if due > now {
            if let Some(host) = self.destinations.get_mut(destination as usize) {
                host.waiting += 1;
            }
            self.waiting.push(Reverse(Waiting { due, id, priority, destination, sender, care }));
            return;
        }
        if self.places.len() > SENDERS {
            self.places.clear();
        }
        let Some(host) = self.destinations.get_mut(destination as usize) else { return };
        let place = self.places.entry((destination, sender)).or_insert(0);
        *place = (*place).max(host.served) + 1;
        host.push(Ready { priority, place: *place, id, care });
        self.list(destination);
    }

    /// Gives a destination a part of a claimed message.
    pub(super) fn push_part(&mut self, destination: Number, part: J) {
        let Some(host) = self.destinations.get_mut(destination as usize) else { return };
        match host.sent_back() {
            Some(outcome) => self.urgent.push_back((destination, Task::Unreachable(part, outcome))),
            None => {
                host.parts.push_back(part);
                self.list(destination);
            }
        }
    }

    /// Puts a destination into the round of turns when it may start something.
    fn list(&mut self, destination: Number) {
        if let Some(host) = self.destinations.get_mut(destination as usize)
            && !host.is_listed
            && host.may_start()
        {
            host.is_listed = true;
            self.turns.push_back(destination);
        }
    }

    /// Something to start now; `held` is the destination to which the asking worker has an open connection, with how many messages it
    /// has had in a row. What is given counts until [`Board::ended`].
    pub(super) fn take(&mut self, now: u32, held: Option<(Number, u32)>) -> Option<(Number, Task<J>)> {
        self.advance(now);
        if let Some((number, task)) = self.urgent.pop_front() {
            self.begin(number);
            return Some((number, task));
        }
        if self.running >= self.limits.all {
            return None;
        }
        if let Some((number, had)) = held
            && (had < TURN || self.turns.iter().all(|n| *n == number))
            && self.destinations.get(number as usize).is_some_and(Destination::may_start)
            && let Some(task) = self.start(number, now)
        {
            return Some((number, task));
        }
        while let Some(number) = self.turns.pop_front() {
            if let Some(host) = self.destinations.get_mut(number as usize) {
                host.is_listed = false;
            }
            if let Some(task) = self.start(number, now) {
                return Some((number, task));
            }
        }
        None
    }

    /// True when [`Board::take`] would give something.
    pub(super) fn has_work(&mut self, now: u32) -> bool {
        self.advance(now);
        !self.urgent.is_empty() || self.running < self.limits.all && !self.turns.is_empty()
    }

    fn begin(&mut self, number: Number) {
        self.running += 1;
        if let Some(host) = self.destinations.get_mut(number as usize) {
            host.running += 1;
        }
    }

    fn start(&mut self, number: Number, now: u32) -> Option<Task<J>> {
        let host = self.destinations.get_mut(number as usize).filter(|host| host.may_start())?;
        let task = match host.parts.pop_front() {
            Some(part) => Task::Part(part),
            None => loop {
                let ready = host.pop()?;
                // Finished meanwhile, or under way by another entry.
                if self.known.contains(ready.id) && self.active.insert(ready.id) {
                    break Task::Message(ready.id);
                }
            },
        };
        let paced = host.begin(now);
        self.begin(number);
        if let Some(date) = paced {
            self.paced.insert((date, number));
            self.send_back_parts(number);
        }
        self.list(number);
        Some(task)
    }

    /// A task of this destination has ended; what it says about the host.
    pub(super) fn ended(&mut self, number: Number, verdict: Verdict, now: u32) {
        self.running = self.running.saturating_sub(1);
        let Some(host) = self.destinations.get_mut(number as usize) else { return };
        let until = host.ended(verdict, now);
        if let Some(until) = until {
            self.parked.insert((until, number));
            self.send_back_parts(number);
        }
        self.list(number);
    }

    /// The parts of claimed messages that a destination does not take now.
    fn send_back_parts(&mut self, number: Number) {
        let Some(host) = self.destinations.get_mut(number as usize) else { return };
        let Some(outcome) = host.sent_back() else { return };
        let parts = std::mem::take(&mut host.parts);
        self.urgent.extend(parts.into_iter().map(|part| (number, Task::Unreachable(part, outcome.clone()))));
    }

    /// Nothing is owed any more for a message.
    pub(super) fn forget(&mut self, id: PackedId) {
        self.active.remove(&id);
        self.known.remove(id);
        self.surplus.remove(&id);
    }

    /// A message's attempt is over; the next one is due then.
    pub(super) fn again(&mut self, item: Item, destination: Number, due: u32, now: u32) {
        self.active.remove(&item.id);
        self.known.insert(item.id);
        self.place(item, destination, due, now);
    }

    /// A message turned out not to be due before this date.
    pub(super) fn not_due(&mut self, item: Item, destination: Number, due: u32, now: u32) {
        if let Some(count) = self.surplus.get_mut(&item.id) {
            *count -= 1;
            if *count == 0 {
                self.surplus.remove(&item.id);
            }
            self.active.remove(&item.id);
            return;
        }
        self.again(item, destination, due, now);
    }

    /// What lies in one folder of the queue: gives those that are not known, and forgets those that have gone.
    pub(super) fn compare(&mut self, bucket: usize, there: &[PackedId]) -> Vec<PackedId> {
        self.known.compare(bucket, there, &self.active)
    }

    /// The date of the next thing that happens by itself.
    pub(super) fn next_date(&self) -> Option<u32> {
        let waiting = self.waiting.peek().map(|Reverse(w)| w.due);
        let parked = self.parked.first().map(|(until, _)| *until);
        let paced = self.paced.first().map(|(until, _)| *until);
        waiting.into_iter().chain(parked).chain(paced).min()
    }

    /// Messages known, under way, and the number of destinations that can't be reached.
    pub(super) fn counts(&self) -> (usize, usize, usize) {
        (self.known.len(), self.running, self.parked.len())
    }

    /// Messages that wait, not due yet, in no order: to be looked at again.
    pub(super) fn not_yet_due(&self) -> impl Iterator<Item = PackedId> + '_ {
        self.waiting.iter().map(|Reverse(w)| w.id)
    }

    fn advance(&mut self, now: u32) {
        self.latest = now;
        while let Some((until, number)) = self.paced.first().copied().filter(|(until, _)| *until <= now) {
            self.paced.remove(&(until, number));
            let again = self.destinations.get_mut(number as usize).and_then(|host| host.resume(now));
            match again {
                Some(date) => drop(self.paced.insert((date, number))),
                None => self.list(number),
            }
        }
        while let Some((until, number)) = self.parked.first().copied().filter(|(until, _)| *until <= now) {
            self.parked.remove(&(until, number));
            if let Some(host) = self.destinations.get_mut(number as usize) {
                host.probe();
            }
            self.list(number);
        }
        while self.waiting.peek().is_some_and(|Reverse(w)| w.due <= now) {
            let Some(Reverse(w)) = self.waiting.pop() else { break };
            if let Some(host) = self.destinations.get_mut(w.destination as usize) {
                host.waiting = host.waiting.saturating_sub(1);
            }
            if self.known.contains(w.id) {
                let item = Item { id: w.id, sender: w.sender, priority: w.priority, care: w.care };
                self.place(item, w.destination, w.due, now);
            }
        }
    }

    /// Takes out of parked destinations what must be told about. To be called now and then.
    pub(super) fn look_after(&mut self, now: u32) {
        for number in self.parked.iter().map(|(_, number)| *number).collect::<Vec<_>>() {
            let Some(host) = self.destinations.get_mut(number as usize) else { continue };
            let Some(outcome) = host.unreachable() else { continue };
            for id in host.neglected(now) {
                if self.known.contains(id) && self.active.insert(id) {
                    self.urgent.push_back((number, Task::Neglected(id, outcome.clone())));
                }
            }
        }
    }
}

/// The limits that settings give.
pub(super) fn limits(settings: &crate::settings::Queue) -> Limits {
    Limits {
        all: settings.concurrency.max(1) as usize,
        each: settings.concurrency_per_host.max(1),
        pause: seconds(Duration::from_secs(60).min(settings.retry)),
        pause_most: seconds(Duration::from_secs(1800).min(settings.retry_max)),
    }
}

#[cfg(test)]
mod tests;
