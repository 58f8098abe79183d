//! One destination: its messages that are due, its window, and whether it can be reached.

use crate::spool::{Outcome, PackedId};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// Deliveries at once to a destination of which nothing is known yet.
const WINDOW: u32 = 5;
/// So many failures in a row, none of the connections having come about, and it counts as unreachable.
const FAILURES: u32 = 3;

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
    window: u32,
    failures: u32,
    pause: u32,
    state: State,
}

#[derive(Debug)]
enum State {
    Open,
    /// One message is to find out whether it can be reached again.
    Probing,
    Parked(Outcome),
}

impl<J> Destination<J> {
    pub(super) fn new(limits: Limits) -> Destination<J> {
        Destination {
            ready: BinaryHeap::new(),
            parts: VecDeque::new(),
            running: 0,
            is_listed: false,
            waiting: 0,
            served: 0,
            limits,
            window: WINDOW.min(limits.each),
            failures: 0,
            pause: 0,
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
            State::Probing => 1,
            State::Parked(_) => 0,
        };
        self.running < window && !(self.parts.is_empty() && self.ready.is_empty())
    }

    /// True when nothing is known of it that would be missed.
    pub(super) fn is_idle(&self) -> bool {
        let has_work = self.running > 0 || self.waiting > 0 || self.is_listed;
        !has_work && self.parts.is_empty() && self.ready.is_empty() && matches!(self.state, State::Open)
    }

    /// Why it can't be reached, while it is left alone.
    pub(super) fn unreachable(&self) -> Option<Outcome> {
        match &self.state {
            State::Parked(outcome) => Some(outcome.clone()),
            _ => None,
        }
    }

    /// A delivery ended; gives the date until which the destination is to be left alone from now on.
    pub(super) fn ended(&mut self, verdict: Verdict, now: u32) -> Option<u32> {
        self.running = self.running.saturating_sub(1);
        match verdict {
            Verdict::Unknown => None,
            Verdict::Reached => {
                if matches!(self.state, State::Probing) {
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
                let is_probe = matches!(self.state, State::Probing);
                if matches!(self.state, State::Parked(_)) || self.failures < FAILURES && !is_probe {
                    return None;
                }
                let longer = self.pause.saturating_mul(2).min(self.limits.pause_most);
                self.pause = longer.max(self.limits.pause);
                self.state = State::Parked(outcome);
                Some(now.saturating_add(self.pause.max(1)))
            }
        }
    }

    /// The time for which it was left alone is over.
    pub(super) fn probe(&mut self) {
        self.state = State::Probing;
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
