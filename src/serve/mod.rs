//! Services: what answers the questions of a protocol machine from the stores.
//!
//! A driver pairs one machine with one service for each connection.

mod accept;
mod fast;
mod forwarding;
mod imap;
mod login;
mod managesieve;
mod odmr;
mod old_file;
mod own;
mod pop3;
mod poppass;
mod queries;
mod received;
mod recipients;
mod smtp;
mod vouched;
mod wishes;

pub use accept::{Gate, Incoming, Request};
pub use forwarding::Forwarding;
pub use imap::{ImapDesk, ImapService};
pub use login::{Denied, LoginDesk};
pub use managesieve::{ManageSieveDesk, ManageSieveService};
pub use old_file::{check_text, granted_receipts, message_too_large};
pub use own::OwnMessage;
pub use pop3::{Pop3Desk, Pop3Service};
pub use poppass::PoppassService;
pub use received::{Peer, received};
pub use recipients::recipients;
pub use smtp::{SmtpDesk, SmtpService};

use crate::clock::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Answers one connection's questions.
pub trait Service: Send {
    /// The machine's question.
    type Ask;
    /// Its answer.
    type Answer;

    /// True when the answer may wait for the disk or a hash: the driver then asks on a worker thread.
    fn may_block(&self, ask: &Self::Ask) -> bool;

    /// Answers.
    fn answer(&mut self, now: Moment, ask: Self::Ask) -> Self::Answer;

    /// Folders whose changes the connection wants to hear of now (IDLE); the driver then notifies the machine.
    fn watched(&self) -> &[Arc<Path>] {
        &[]
    }

    /// The connection is over.
    fn closed(&mut self) {}
}

/// The present, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For spans.
    pub instant: Instant,
    /// For dates.
    pub time: Timestamp,
}
