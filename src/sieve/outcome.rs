//! What a script has decided: actions in order, for `deliver` to carry out.

use super::fault::{Place, SieveError};
use super::mailto::Mailto;
use crate::addr::Address;
use std::sync::Arc;
use std::time::Duration;

/// The result of a run.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// In the order in which they are to happen; never empty. After an error: one implicit keep.
    pub actions: Vec<Action>,
    /// Why the script failed.
    pub error: Option<SieveError>,
    /// What each line did, when that was asked for.
    pub trace: Vec<Step>,
    /// What is to be remembered for the duplicate test, once all actions have succeeded (RFC 7352 §3).
    pub seen: Vec<Seen>,
}

/// One line of a trace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The script that an `include` led to; empty for the first one.
    pub script: String,
    /// Where.
    pub place: Place,
    /// What happened; may quote the script and the message.
    pub text: String,
}

/// A message as the script has changed it: this, the body of the original, that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edition {
    /// The header and what comes before the original body.
    pub top: Vec<u8>,
    /// Where the original's body begins.
    pub body_at: usize,
    /// What comes behind it.
    pub tail: Vec<u8>,
}

/// Something to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// File the message.
    Store(Store),
    /// Send it on.
    Redirect(Redirect),
    /// Let it vanish; stands alone.
    Discard,
    /// Refuse it; stands alone but for a discard.
    Reject(Reject),
    /// Answer that somebody is away.
    Vacation(Vacation),
    /// Tell somebody.
    Notify(Notify),
}

/// Filing: `keep`, `fileinto`, or the implicit keep.
#[derive(Debug, Clone, Default)]
pub struct Store {
    /// The mailbox as the script names it; `None` is the inbox.
    pub mailbox: Option<String>,
    /// IMAP flags, each once.
    pub flags: Vec<String>,
    /// Create the mailbox when it is missing (RFC 5490 §3.2).
    pub create: bool,
    /// Prefer the mailbox of this object id (RFC 9042 §3).
    pub mailbox_id: Option<String>,
    /// Prefer the mailbox of this use (RFC 8579 §4).
    pub special_use: Option<String>,
    /// The message as changed; `None` is the original.
    pub edition: Option<Arc<Edition>>,
    /// Nobody asked for it: the implicit keep.
    pub is_implicit: bool,
}

/// `redirect`.
#[derive(Debug, Clone)]
pub struct Redirect {
    /// To whom.
    pub to: Address,
    /// The message as changed; `None` is the original.
    pub edition: Option<Arc<Edition>>,
}

/// `reject` and `ereject` (RFC 5429).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    /// Why, for the sender.
    pub reason: String,
    /// True for `ereject`: prefer a refusal in the protocol.
    pub is_ereject: bool,
}

/// `vacation` (RFC 5230).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vacation {
    /// How long the same sender gets no other answer; `None` is the site's default.
    pub interval: Option<Duration>,
    /// The subject; `None` makes one from the message's.
    pub subject: Option<String>,
    /// Who answers; `None` is the address that the message came to.
    pub from: Option<String>,
    /// Further addresses of the user.
    pub addresses: Vec<Address>,
    /// The reason is a MIME part with its header.
    pub is_mime: bool,
    /// Which answer this is; answers with one handle count as the same.
    pub handle: String,
    /// The text.
    pub reason: String,
}

/// `notify` by mail (RFC 5436).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Notify {
    /// Where to and what with.
    pub method: Mailto,
    /// Who notifies.
    pub from: Option<String>,
    /// 1 is urgent, 2 normal, 3 can wait.
    pub importance: u8,
    /// The text; `None` makes one.
    pub message: Option<String>,
}

/// A message's mark in the list of the duplicate test (RFC 7352).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Seen {
    /// Which list.
    pub handle: String,
    /// Its identity there.
    pub id: String,
    /// How long it is remembered; `None` is the site's default.
    pub period: Option<Duration>,
    /// Each further one prolongs it.
    pub from_last: bool,
}
