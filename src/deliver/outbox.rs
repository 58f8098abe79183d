//! What a delivery gives rise to: messages passed on, answers, notifications.
//!
//! `deliver` has such messages to send and knows nothing of routes and queues; `serve::Gate`, which has `deliver` inside, takes them.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::status::Failure;
use std::io::Read;

/// A message to send.
pub struct Outgoing<'a> {
    /// Reverse path.
    pub sender: Option<&'a Address>,
    /// Whom it is for.
    pub to: &'a Address,
    /// It is somebody else's message, passed on: its sender may have to be rewritten.
    pub is_forwarded: bool,
    /// Header and body, LF line ends.
    pub text: &'a mut dyn Read,
}

/// Takes messages to send.
pub trait Outbox {
    /// Routes and takes a message; on `Ok` it is durable.
    fn send(&self, message: Outgoing<'_>, now: Timestamp) -> Result<(), Failure>;
}
