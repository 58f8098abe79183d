//! What follows from an attempt: giving up on what is too old, telling senders, the next date or the end.
//!
//! A report is queued before it is journaled, and the journal is written before the message goes: a crash between doubles, and never loses.

use super::attempt::{Attempt, Attempted, Runner, Work, log_outcome, owner};
use super::schedule::{self, Late};
use crate::bounce::{self, Report};
use crate::clock::Timestamp;
use crate::envelope::Recipient;
use crate::log;
use crate::spool::{Claim, Id, Outcome, Record, State};
use crate::status::Enhanced;
use std::collections::BTreeMap;
use std::io;
use std::sync::{MutexGuard, PoisonError};

impl Runner {
    /// What follows from an attempt whose ways have all ended.
    pub(super) fn settle(&self, attempt: &Attempt, now: Timestamp) -> io::Result<Attempted> {
        let mut work = attempt.work();
        let Work { claim, pending, failed } = &mut *work;
        let pending = std::mem::take(pending);
        if let Some(e) = failed.take() {
            self.record(claim, now, pending)?;
            return Err(e);
        }
        let settings = &self.gate.site.settings.queue;
        let mut after = claim.progress().clone();
        pending.iter().for_each(|record| after.apply(now, record));
        let envelope = attempt.envelope();
        let is_done = after.states.iter().all(|s| s.last.as_ref().is_some_and(|o| o.enhanced.0 == 2));
        if is_done && !envelope.recipients.iter().zip(&after.states).any(|(r, s)| bounce::is_owed(r, s)) {
            if let Err(e) = claim.retire() {
                // It is delivered and still there: its next attempt must know that.
                self.record(claim, now, pending)?;
                return Err(e);
            }
            log::event("finished").id(attempt.id()).write();
            self.retired().push(attempt.id().clone());
            return Ok(Attempted::Finished);
        }
        let is_settled = |s: &State| s.last.as_ref().is_some_and(|o| o.enhanced.0 != 4);
        let has_news = after.states.iter().any(is_settled)
            || schedule::expiry(envelope, &after, settings).0 <= now
            || schedule::late(envelope, &after, now, settings).is_some();
        if !has_news {
            // Nothing to tell anybody: outcomes and the next date go down together.
            let next = schedule::next_attempt(envelope, &after, now, settings);
            let records = [pending, vec![Record::Next(next)]].concat();
            self.record(claim, now, records)?;
            return Ok(Attempted::Later(next));
        }
        if !pending.is_empty() {
            self.record(claim, now, pending)?;
        }
        self.expire(claim, now)?;
        self.report(claim, now)?;
        if claim.progress().states.iter().any(State::is_owed) {
            let next = schedule::next_attempt(envelope, claim.progress(), now, settings);
            self.record(claim, now, vec![Record::Next(next)])?;
            return Ok(Attempted::Later(next));
        }
        claim.retire()?;
        log::event("finished").id(attempt.id()).write();
        self.retired().push(attempt.id().clone());
        Ok(Attempted::Finished)
    }

    fn retired(&self) -> MutexGuard<'_, Vec<Id>> {
        self.retired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the end of finished messages durable. Until then a power failure brings them back.
    pub(super) fn sync_retired(&self) -> io::Result<()> {
        let ids = std::mem::take(&mut *self.retired());
        if ids.is_empty() { Ok(()) } else { self.gate.spool.settle(&ids) }
    }

    /// Gives up on what is too old.
    fn expire(&self, claim: &mut Claim, now: Timestamp) -> io::Result<()> {
        let settings = &self.gate.site.settings.queue;
        let (date, ending) = schedule::expiry(claim.envelope(), claim.progress(), settings);
        if now < date {
            return Ok(());
        }
        let mut records = Vec::new();
        for (number, state) in claim.progress().states.iter().enumerate().filter(|(_, s)| s.is_owed()) {
            let last = state.last.as_ref().map_or(String::new(), |o| format!("; the last attempt: {}", o.text));
            let host = state.last.as_ref().map_or("", |o| o.host.as_str());
            // RFC 3463 §3.5: delivery time expired.
            let outcome = Outcome::new(Enhanced(5, 4, 7), ending.text() + &last, host);
            log_outcome(claim.id(), &claim.envelope().recipients[number], &outcome, claim.envelope().arrived, now);
            records.push(Record::Tried(vec![number], outcome));
        }
        if records.is_empty() { Ok(()) } else { self.record(claim, now, records) }
    }

    /// Tells senders: failures, successes they asked for, and that a message is late. Each report is queued before it is
    /// journaled: a crash between doubles a report, never loses one.
    fn report(&self, claim: &mut Claim, now: Timestamp) -> io::Result<()> {
        let settled = groups(claim, bounce::is_owed);
        for (sender, numbers) in settled {
            let report = Report::settled(&numbers, owner(claim.envelope(), &sender));
            bounce::send(&self.gate, claim, &report, now)?;
            self.record(claim, now, vec![Record::Reported(numbers)])?;
        }
        let settings = &self.gate.site.settings.queue;
        let Some(late) = schedule::late(claim.envelope(), claim.progress(), now, settings) else { return Ok(()) };
        let waiting = groups(claim, |recipient, state| state.is_owed() && recipient.notify.delay);
        // Said once, also when nobody wants to hear it: a date that has passed would be looked at for ever.
        for (sender, numbers) in waiting {
            let owner = owner(claim.envelope(), &sender);
            let report = match late {
                Late::Old => Report::late(&numbers, owner),
                Late::Overdue => Report::overdue(&numbers, owner),
            };
            bounce::send(&self.gate, claim, &report, now)?;
        }
        let told = if late == Late::Old { Record::Warned } else { Record::Overdue };
        self.record(claim, now, vec![told])
    }
}

/// Numbers of the recipients that are meant, by the list owner who stands for the sender.
fn groups(claim: &Claim, is_meant: impl Fn(&Recipient, &State) -> bool) -> BTreeMap<String, Vec<usize>> {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (number, recipient) in claim.envelope().recipients.iter().enumerate() {
        if is_meant(recipient, &claim.progress().states[number]) {
            groups.entry(recipient.delivery.sender.clone()).or_default().push(number);
        }
    }
    groups
}
