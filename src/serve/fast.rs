//! The fast path: a message for mailboxes of ours goes into all of them before it is acknowledged.
//!
//! Called by [`super::Incoming::commit`]. Each recipient's filter decides first; what is to lie somewhere as it came is then
//! linked there by one data write and one flush. Recipients who fail while others have their copy are queued.

use super::Gate;
use crate::clock::Timestamp;
use crate::deliver::{Mail, Rule, Sorted};
use crate::envelope::{Envelope, Recipient};
use crate::log;
use crate::spool::Id;
use crate::status::Failure;
use crate::store::{Arrival, inbox};
use std::io::{Read, Seek, SeekFrom};
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
        arrival: &mut Arrival,
        now: Timestamp,
        story: &mut Vec<log::Event>,
    ) -> Vec<Result<(), Failure>> {
        let Fast { gate, id, envelope, .. } = self;
        let mut results = self.deliver_all(arrival, now);
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
        if failed.is_empty() || failed.len() == results.len() {
            return results;
        }
        let queued = queue_rest(gate, envelope, &failed, arrival, self.skip, now);
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
        results
    }

    /// Into every mailbox that has room.
    fn deliver_all(&self, arrival: &mut Arrival, now: Timestamp) -> Vec<Result<(), Failure>> {
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
        for (index, result) in owners.into_iter().zip(postman.place(arrival, &dirs, now)) {
            if result.is_err() {
                results[index] = result;
            }
        }
        for (index, sorted) in settled.iter().filter(|(index, _)| results[*index].is_ok()) {
            if let Ok(home) = postman.home(&recipients[*index].delivery) {
                postman.settle(sorted, &self.mail(&recipients[*index], &home, now), None);
            }
        }
        results
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
}

fn queue_rest(
    gate: &Gate,
    envelope: &Envelope,
    failed: &[usize],
    arrival: &mut Arrival,
    skip: u64,
    now: Timestamp,
) -> std::io::Result<Id> {
    let rest =
        Envelope { recipients: failed.iter().map(|i| envelope.recipients[*i].clone()).collect(), ..envelope.clone() };
    let mut draft = gate.spool.draft(Id::new(now), &rest)?;
    let file = arrival.draft.file()?;
    file.seek(SeekFrom::Start(skip))?;
    let mut buffer = vec![0; 64 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            n => draft.write(&buffer[..n])?,
        }
    }
    let id = gate.spool.publish(draft)?;
    gate.spool.announce(&id, &rest);
    Ok(id)
}
