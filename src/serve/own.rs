//! Messages that this host has to say itself: reports about mail, about TLS.
//!
//! Called by `bounce` and `emqueue tls-report`. They have the null reverse path, so that nothing answers them (RFC 5321 §4.5.5).

use super::{Gate, Request};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Envelope, Handling, Notify, Recipient};
use crate::spool::Id;
use crate::status::Failure;

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
        let request = Request { id: id.clone(), envelope, received: String::new(), completes: false };
        let mut incoming = self.open(request)?;
        incoming.chunk(text, now)?;
        incoming.commit(self, now).into_iter().collect::<Result<Vec<()>, Failure>>().map(|_| ())
    }
}
