//! One destination: its messages that are due, its window, and whether it can be reached.

use super::pace::Pace;
use crate::spool::{Outcome, PackedId};
use crate::status::Enhanced;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Deliveries at once to a destination of which nothing is known yet.
const WINDOW: u32 = 5;
/// So many failures in a row, none of the connections having come about, and it counts as unreachable.
const FAILURES: u32 = 3;

/// Seconds between two probes that somebody wants.
const PROBES: u32 = 5;

/// Numbers from the settings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queue) struct Limits {
    /// Deliveries at once.
    pub(in crate::queue) all: usize,
    /// The same to one destination.
    pub(in crate::queue) each: u32,
    /// Seconds for which an unreachable destination is left alone at first; twice as long each time after that.
    pub(in crate::queue) pause: u32,
    /// The longest such time.
    pub(in crate::queue) pause_most: u32,
}

/// What a delivery says about its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::queue) enum Verdict {
    /// It answers.
    Reached,
    /// It can't be reached, or wants nothing from us now.
    Unreachable(Outcome),
    /// Nothing: the delivery was local, or did not come so far.
    Unknown,
}

impl Verdict {
    /// What two deliveries say together: a host that has answered one of them is there.
    pub(in crate::queue) fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::Reached, _) | (_, Verdict::Reached) => Verdict::Reached,
            (Verdict::Unknown, other) => other,
            (one, _) => one,
        }
    }
}

/// A message that is due, in order: the more urgent first, then by turns of the senders.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ready {
    pub(super) priority: u8,
    pub(super) place: u32,
    pub(super) id: PackedId,
    pub(super) care: u32,
}

#[derive(Debug)]
pub(super) struct Destination<J> {
    ready: BinaryHeap<Reverse<Ready>>,
    /// Parts of claimed messages come before messages that are still to be claimed.
    pub(super) parts: VecDeque<J>,
    pub(super) running: u32,
    pub(super) is_listed: bool,
    /// Messages for it that are not due yet.
    pub(super) waiting: u32,
    /// The place of the message served last.
    pub(super) served: u32,
    limits: Limits,
    /// Where only so many messages may go in a span of time.
    pace: Option<Box<Pace>>,
    /// It has been given as many as it may get before this date.
    paced: Option<u32>,
    window: u32,
    failures: u32,
    pause: u32,
    /// When it was last probed because somebody wanted it.
    probed: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// One message is to find out whether it can be reached again; until when it would be left alone, if that was sooner than planned.
    Probing(u32),
    /// It is left alone until the first date, which is sooner than the second when somebody wants it.
    Parked(u32, u32, Outcome),
}

impl<J> Destination<J> {
    pub(super) fn new(limits: Limits, pace: Option<(u32, u32)>) -> Destination<J> {
        Destination {
            ready: BinaryHeap::new(),
            parts: VecDeque::new(),
            running: 0,
            is_listed: false,
            waiting: 0,
            served: 0,
            limits,
            pace: pace.map(|pace| Box::new(Pace::new(pace))),
            paced: None,
            window: WINDOW.min(limits.each),
            failures: 0,
            pause: 0,
            probed: 0,
            state: State::Open,
        }
    }

    pub(super) fn push(&mut self, ready: Ready) {
        self.ready.push(Reverse(ready));
    }

    pub(super) fn pop(&mut self) -> Option<Ready> {
        let Reverse(ready) = self.ready.pop()?;
        self.served = self.served.max(ready.place);
        // A million may have waited here.
        if self.ready.is_empty() {
            self.ready.shrink_to(64);
        }
        Some(ready)
    }

    pub(super) fn may_start(&self) -> bool {
        let window = match self.state {
            State::Open => self.window,
            State::Probing(_) => 1,
            State::Parked(..) => 0,
        };
        self.running < window && self.paced.is_none() && !(self.parts.is_empty() && self.ready.is_empty())
    }

    /// True when nothing is known of it that would be missed.
    pub(super) fn is_idle(&self, now: u32) -> bool {
        let has_work = self.running > 0 || self.waiting > 0 || self.is_listed;
        let has_pace = self.paced.is_some() || self.pace.as_ref().is_some_and(|pace| !pace.is_idle(now));
        !has_work && !has_pace && self.parts.is_empty() && self.ready.is_empty() && matches!(self.state, State::Open)
    }

    /// Why it can't be reached, while it is left alone.
    pub(super) fn unreachable(&self) -> Option<Outcome> {
        match &self.state {
            State::Parked(.., outcome) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// A message is begun; gives the date before which no other may be, from now on.
    pub(super) fn begin(&mut self, now: u32) -> Option<u32> {
        let pace = self.pace.as_mut()?;
        pace.begin(now);
        self.paced = pace.wait(now);
        self.paced
    }

    /// The date has come; gives another one when the clock was put back meanwhile.
    pub(super) fn resume(&mut self, now: u32) -> Option<u32> {
        self.paced = self.pace.as_mut().and_then(|pace| pace.wait(now));
        self.paced
    }

    /// Why what is claimed already does not wait for its turn here: the claim would be held for as long.
    pub(super) fn sent_back(&self) -> Option<Outcome> {
        // RFC 3463 §3.5: 4.4.5 is "mail system congestion", ours here.
        let limited = || Outcome::new(Enhanced(4, 4, 5), "Waits its turn (queue.limits)", "");
        self.unreachable().or_else(|| self.paced.map(|_| limited()))
    }

    /// A delivery ended; gives the date until which the destination is to be left alone from now on.
    pub(super) fn ended(&mut self, verdict: Verdict, now: u32) -> Option<u32> {
        self.running = self.running.saturating_sub(1);
        match verdict {
            Verdict::Unknown => None,
            Verdict::Reached => {
                if matches!(self.state, State::Probing(_)) {
                    self.window = WINDOW.min(self.limits.each);
                    self.state = State::Open;
                }
                self.failures = 0;
                self.pause = 0;
                // Slow start: each message that goes through makes room for one more at once.
                self.window = (self.window + 1).min(self.limits.each);
                None
            }
            Verdict::Unreachable(outcome) => {
                self.failures += 1;
                self.window = (self.window / 2).max(1);
                let planned = match self.state {
                    State::Parked(..) => return None,
                    State::Open if self.failures < FAILURES => return None,
                    State::Open => 0,
                    State::Probing(planned) => planned,
                };
                // A probe that came sooner than planned changes no plans.
                let until = if planned > now { planned } else { now.saturating_add(self.longer_pause()) };
                self.state = State::Parked(until, until, outcome);
                Some(until)
            }
        }
    }

    fn longer_pause(&mut self) -> u32 {
        let longer = self.pause.saturating_mul(2).min(self.limits.pause_most);
        self.pause = longer.max(self.limits.pause).max(1);
        self.pause
    }

    /// The time for which it was left alone is over, or cut short.
    pub(super) fn probe(&mut self) {
        let planned = if let State::Parked(_, planned, _) = self.state { planned } else { 0 };
        self.state = State::Probing(planned);
    }

    /// Somebody wants it probed, while it is left alone: when it was to be, and when it is to be now.
    pub(super) fn wish(&mut self, now: u32) -> Option<(u32, u32)> {
        let State::Parked(until, ..) = &mut self.state else { return None };
        let date = now.max(self.probed.saturating_add(PROBES));
        if date >= *until {
            return None;
        }
        self.probed = date;
        Some((std::mem::replace(until, date), date))
    }

    /// Takes out the messages whose senders must be told something by now.
    pub(super) fn neglected(&mut self, now: u32) -> Vec<PackedId> {
        if !self.ready.iter().any(|Reverse(r)| r.care <= now) {
            return Vec::new();
        }
        let (taken, left): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.ready).into_vec().into_iter().partition(|Reverse(r)| r.care <= now);
        self.ready = left.into();
        taken.into_iter().map(|Reverse(r)| r.id).collect()
    }
}
