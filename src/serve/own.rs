//! Messages that this host has to say itself: reports about mail and TLS, and what users' filters send.
//!
//! Called by `bounce`, by `emqueue tls-report`, and by `deliver` through [`Outbox`]. Reports have the null reverse path, so that nothing
//! answers them (RFC 5321 §4.5.5).

use super::{Gate, Request};
use crate::addr::{Address, print_path};
use crate::clock::Timestamp;
use crate::deliver::{Outbox, Outgoing};
use crate::envelope::{Envelope, Handling, Notify, Recipient};
use crate::log;
use crate::spool::Id;
use crate::status::Failure;
use std::io::Read;

/// A message of our own, whole.
#[derive(Debug)]
pub struct OwnMessage<'a> {
    /// Its id.
    pub id: &'a Id,
    /// Whom it is for.
    pub to: &'a Address,
    /// Header and body, with LF line ends.
    pub text: &'a [u8],
    /// What is to be reported about it; such a report goes to the postmaster.
    pub notify: Notify,
    /// How it is to be handled.
    pub handling: Handling,
}

impl Gate {
    /// Routes and takes it; on return it is durable.
    pub fn send_own(&self, message: OwnMessage<'_>, now: Timestamp) -> Result<(), Failure> {
        let OwnMessage { id, to, text, notify, handling } = message;
        let recipient = |delivery| Recipient { original: to.clone(), orcpt: None, notify, delivery };
        let recipients = self.router.resolve(to)?.into_iter().map(recipient).collect();
        let envelope = Envelope {
            eight_bit: !text.is_ascii(),
            smtputf8: to.is_utf8(),
            handling,
            ..Envelope::local(None, now, recipients)
        };
        self.take(id, envelope, &mut &*text, now)
    }

    fn take(&self, id: &Id, envelope: Envelope, text: &mut dyn Read, now: Timestamp) -> Result<(), Failure> {
        let request =
            Request { id: id.clone(), envelope, received: String::new(), completes: false, is_checked: false };
        let mut incoming = self.open(request)?;
        let mut buffer = vec![0; 64 << 10];
        loop {
            match text.read(&mut buffer).map_err(|e| Failure::local(&e))? {
                0 => break,
                n => incoming.chunk(buffer.get(..n).unwrap_or_default(), now)?,
            }
        }
        incoming.commit(self, now).into_iter().collect::<Result<Vec<()>, Failure>>().map(|_| ())
    }
}

impl Outbox for Gate {
    fn send(&self, message: Outgoing<'_>, now: Timestamp) -> Result<(), Failure> {
        let Outgoing { sender, to, is_forwarded, text } = message;
        let mut deliveries = self.router.resolve(to)?;
        self.forwarding.outgoing(sender, is_forwarded, &mut deliveries, now);
        // A message that was passed on and failed is told about as any is; nobody hears of an answer that did.
        let notify = if is_forwarded { Notify::default() } else { Notify::NEVER };
        let recipient = |delivery| Recipient { original: to.clone(), orcpt: None, notify, delivery };
        let recipients = deliveries.into_iter().map(recipient).collect();
        let envelope = Envelope {
            // The text streams through: what it holds is known when it is too late to say so.
            eight_bit: true,
            smtputf8: to.is_utf8() || sender.is_some_and(Address::is_utf8),
            ..Envelope::local(sender.cloned(), now, recipients)
        };
        let id = Id::new(now);
        self.take(&id, envelope, text, now)?;
        log::event("sent").id(&id).field("from", print_path(sender)).field("to", to).write();
        Ok(())
    }
}
