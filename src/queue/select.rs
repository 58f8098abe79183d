//! Choosing queued messages: by id, recipient, sender and site, as sendmail's -qI, -qR, -qS do.

use crate::addr::Address;
use crate::envelope::Envelope;
use crate::spool::{Id, Progress, Spool};
use std::io;

/// One condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selector {
    /// The id contains this.
    Id(String),
    /// A recipient that is still owed contains this.
    Recipient(String),
    /// The sender contains this; `<>` is the null sender.
    Sender(String),
    /// A recipient that is still owed goes to this host or domain.
    Site(String),
}

/// Conditions that must all hold, each of which may be negated.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Selection {
    conditions: Vec<(bool, Selector)>,
}

impl Selection {
    /// Adds a condition; a leading `!` negates it.
    pub fn add(&mut self, text: &str, make: impl Fn(String) -> Selector) {
        let (negated, text) = text.strip_prefix('!').map_or((false, text), |rest| (true, rest));
        self.conditions.push((negated, make(text.to_lowercase())));
    }

    /// True when there is no condition.
    pub fn is_empty(&self) -> bool {
        self.conditions.is_empty()
    }

    /// True when the message fits.
    pub fn fits(&self, id: &Id, envelope: &Envelope, progress: &Progress) -> bool {
        let sender = envelope.sender.as_ref().map_or_else(|| "<>".to_string(), Address::to_string).to_lowercase();
        let owed = || {
            let pairs = envelope.recipients.iter().zip(&progress.states);
            pairs.filter(|(_, state)| state.is_owed()).map(|(recipient, _)| recipient)
        };
        self.conditions.iter().all(|(negated, selector)| {
            let holds = match selector {
                Selector::Id(text) => id.as_str().contains(text),
                Selector::Sender(text) => sender.contains(text),
                Selector::Recipient(text) => owed().any(|r| {
                    r.original.to_string().to_lowercase().contains(text)
                        || r.delivery.user.to_lowercase().contains(text)
                }),
                Selector::Site(text) => owed().any(|r| r.delivery.host.to_lowercase().contains(text)),
            };
            holds != *negated
        })
    }

    /// The ids of all messages that fit, oldest first.
    pub fn find(&self, spool: &Spool) -> io::Result<Vec<Id>> {
        let ids = spool.scan()?;
        if self.is_empty() {
            return Ok(ids);
        }
        Ok(ids
            .into_iter()
            .filter(|id| {
                let peeked = spool.peek(id).ok().flatten();
                peeked.is_some_and(|(envelope, progress)| self.fits(id, &envelope, &progress))
            })
            .collect())
    }
}
