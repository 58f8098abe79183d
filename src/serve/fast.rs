//! The fast path: a message for mailboxes of ours goes into all of them before it is acknowledged.
//!
//! Called by [`super::Incoming::commit`]. Each recipient's filter decides first; what is to lie somewhere as it came is then
//! linked there by one data write and one flush; for many mailboxes the flush comes behind the answer, and the queue
//! [vouches](super::vouched) for it. Recipients who fail while others have their copy are queued.

use super::Gate;
use super::vouched::{self, Vouched};
use crate::clock::Timestamp;
use crate::deliver::{Mail, Rule, Sorted};
use crate::envelope::{Envelope, Recipient};
use crate::fsx;
use crate::log;
use crate::spool::{Draft, Id, Owed, Spool};
use crate::status::Failure;
use crate::store::{Arrival, Unsynced, inbox};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// One draft for all mailboxes of an envelope.
pub(super) struct Fast<'a> {
    /// What we came in by.
    pub gate: &'a Gate,
    /// The message.
    pub id: &'a Id,
    /// From whom to whom.
    pub envelope: &'a Envelope,
    /// Octets of our stamp before the text.
    pub skip: u64,
    /// A full mailbox takes nothing.
    pub checks_quotas: bool,
    /// Each recipient's filter.
    pub rules: &'a [Option<Rule>],
}

impl Fast<'_> {
    /// Delivers; one result for each recipient, in order.
    pub fn deliver(
        &self,
        mut arrival: Arrival,
        now: Timestamp,
        story: &mut Vec<log::Event>,
    ) -> Vec<Result<(), Failure>> {
        let Fast { gate, id, envelope, .. } = self;
        let (mut results, held) = self.deliver_all(&mut arrival, now);
        for (recipient, result) in envelope.recipients.iter().zip(&results) {
            if result.is_ok() {
                log::event("delivered")
                    .id(id)
                    .field("to", &recipient.original)
                    .field("mailer", "mailbox")
                    .field("user", &recipient.delivery.user)
                    .push(story);
            }
        }
        let failed: Vec<usize> = results.iter().enumerate().filter(|(_, r)| r.is_err()).map(|(i, _)| i).collect();
        if !failed.is_empty() && failed.len() < results.len() {
            let queued = self.queue_rest(&failed, &mut arrival, now);
            for index in failed {
                let recipient = &envelope.recipients[index];
                match &queued {
                    Ok(rest) => {
                        log::event("queued")
                            .id(id)
                            .field("to", &recipient.original)
                            .field("as", rest)
                            .field("reason", results[index].as_ref().err().map(ToString::to_string).unwrap_or_default())
                            .push(story);
                        results[index] = Ok(());
                    }
                    Err(e) => results[index] = Err(Failure::local(e)),
                }
            }
        }
        if let Some((settler, held)) = gate.settler.as_ref().zip(held) {
            settler.take(held.with(arrival.draft, gate.spool.clone()));
        }
        results
    }

    /// Into every mailbox that has room; and what is to be settled behind the answer.
    fn deliver_all(&self, arrival: &mut Arrival, now: Timestamp) -> (Vec<Result<(), Failure>>, Option<Held>) {
        let (postman, recipients) = (&self.gate.postman, &self.envelope.recipients);
        let has_room = |recipient: &Recipient| match self.checks_quotas {
            true => postman.check_quota(&recipient.delivery, arrival.size),
            false => Ok(()),
        };
        let mut results: Vec<_> = recipients.iter().map(has_room).collect();
        // Where each copy goes, and whose it is: filters may want several for one recipient, or none.
        let (mut dirs, mut owners, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for index in 0..recipients.len() {
            if results.get(index).is_none_or(Result::is_err) {
                continue;
            }
            let rule = self.rules.get(index).and_then(Option::as_ref);
            match self.places(&recipients[index], rule, arrival, now) {
                Ok((found, sorted)) => {
                    owners.extend(found.iter().map(|_| index));
                    dirs.extend(found);
                    settled.extend(sorted.map(|sorted| (index, sorted)));
                }
                Err(failure) => results[index] = Err(failure),
            }
        }
        let (placed, held) = match settled.is_empty() && self.may_vouch(arrival, dirs.len()) {
            true => self.place_vouched(arrival, &dirs, &owners, now),
            false => (postman.place(arrival, &dirs, now), None),
        };
        for (index, result) in owners.into_iter().zip(placed) {
            if result.is_err() {
                results[index] = result;
            }
        }
        for (index, sorted) in settled.iter().filter(|(index, _)| results[*index].is_ok()) {
            if let Ok(home) = postman.home(&recipients[*index].delivery) {
                postman.settle(sorted, &self.mail(&recipients[*index], &home, now), None);
            }
        }
        (results, held)
    }

    fn may_vouch(&self, arrival: &mut Arrival, mailboxes: usize) -> bool {
        self.gate.settler.is_some()
            && mailboxes >= vouched::FROM
            && arrival.size <= vouched::SIZE_LIMIT
            && arrival.draft.may_name_first().is_ok_and(|may| may)
    }

    /// Links into all mailboxes while a copy is published in the queue.
    fn place_vouched(
        &self,
        arrival: &mut Arrival,
        dirs: &[PathBuf],
        owners: &[usize],
        now: Timestamp,
    ) -> (Vec<Result<(), Failure>>, Option<Held>) {
        let postman = &self.gate.postman;
        let envelope = self.envelope_of(owners);
        let failed = |error: &io::Error| (dirs.iter().map(|_| Err(Failure::local(error))).collect(), None);
        let text = match arrival.draft.file().and_then(|file| file.try_clone()) {
            Ok(text) => text,
            Err(error) => return failed(&error),
        };
        let (linked, owed) = std::thread::scope(|scope| {
            let publish = || self.publish(&envelope, &text);
            match std::thread::Builder::new().spawn_scoped(scope, publish) {
                Ok(published) => {
                    let linked = postman.link(arrival, dirs, now);
                    (linked, published.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early"))))
                }
                // No thread to be had.
                Err(error) => (postman.link(arrival, dirs, now), Err(error)),
            }
        });
        match (linked, owed) {
            (Ok((results, unsynced)), Ok(owed)) if results.iter().any(Result::is_ok) => {
                (results, Some(Held { envelope, owed, unsynced }))
            }
            (linked, owed) => {
                // Nobody is promised what the queue holds; it is the writer's still, so that no runner has seen it.
                let forgotten = owed.map_or(Ok(()), Owed::retire);
                match linked {
                    Ok((results, unsynced)) => (finished(results, unsynced, forgotten), None),
                    Err(error) => failed(&error),
                }
            }
        }
    }

    /// The Maildirs of one recipient's copies.
    fn places(
        &self,
        recipient: &Recipient,
        rule: Option<&Rule>,
        arrival: &mut Arrival,
        now: Timestamp,
    ) -> Result<(Vec<PathBuf>, Option<Sorted>), Failure> {
        let postman = &self.gate.postman;
        let home = postman.home(&recipient.delivery)?;
        let Some(rule) = rule else { return Ok((vec![inbox(&home)], None)) };
        let mut sorted = postman.sort(rule, &self.mail(recipient, &home, now), arrival, None)?;
        Ok((std::mem::take(&mut sorted.dirs), Some(sorted)))
    }

    fn mail<'m>(&'m self, recipient: &'m Recipient, home: &'m Path, now: Timestamp) -> Mail<'m> {
        let sender = self.envelope.sender.as_ref();
        // Asked before, where it matters.
        let checks_quota = false;
        let (delivery, original) = (&recipient.delivery, &recipient.original);
        Mail { home, delivery, sender, original, skip: self.skip, checks_quota, now }
    }

    /// The same envelope with some of its recipients.
    fn envelope_of(&self, numbers: &[usize]) -> Envelope {
        let recipients = numbers.iter().map(|number| self.envelope.recipients[*number].clone()).collect();
        Envelope { recipients, ..self.envelope.clone() }
    }

    /// Has the queue deliver to those whose mailbox could not be written.
    fn queue_rest(&self, failed: &[usize], arrival: &mut Arrival, now: Timestamp) -> io::Result<Id> {
        let rest = self.envelope_of(failed);
        let draft = self.gate.spool.draft(Id::new(now), &rest)?;
        let id = self.gate.spool.publish(self.fill(draft, arrival.draft.file()?)?)?;
        self.gate.spool.announce(&id, &rest);
        Ok(id)
    }

    fn publish(&self, envelope: &Envelope, text: &File) -> io::Result<Owed> {
        let draft = self.gate.spool.draft(self.id.clone(), envelope)?;
        self.gate.spool.publish_claimed(self.fill(draft, text)?)
    }

    /// Writes the text behind our stamp into a file for the queue.
    fn fill(&self, mut draft: Draft, text: &File) -> io::Result<Draft> {
        let (mut buffer, mut at) = (vec![0; 16 << 10], self.skip);
        loop {
            match text.read_at(&mut buffer, at)? {
                0 => return Ok(draft),
                n => {
                    draft.write(&buffer[..n])?;
                    at += n as u64;
                }
            }
        }
    }
}

/// What is in mailboxes and in the queue; its text is still its writer's.
struct Held {
    envelope: Envelope,
    owed: Owed,
    unsynced: Unsynced,
}

impl Held {
    fn with(self, draft: fsx::Draft, spool: Spool) -> Vouched {
        let Held { envelope, owed, unsynced } = self;
        Vouched { envelope, owed, unsynced, draft, spool }
    }
}

/// The results when the queue does not vouch for the names; `forgotten` tells whether it holds no copy.
fn finished(
    results: Vec<Result<(), Failure>>,
    unsynced: Unsynced,
    forgotten: io::Result<()>,
) -> Vec<Result<(), Failure>> {
    match unsynced.finish().and(forgotten) {
        Ok(()) => results,
        // Those that were copied are taken for failed too, and are there: better twice than lost.
        Err(error) => results.into_iter().map(|result| result.and(Err(Failure::local(&error)))).collect(),
    }
}
