//! Deliveries into many mailboxes that the queue vouches for until their names are durable.
//!
//! To make the names in many folders durable takes as long as whatever else is to be written on that file system. So a copy of the message is
//! published in the queue first, which takes two syncs; then it is promised, and the mailboxes' names are made durable behind the answer. Only
//! then the copy goes. It is claimed meanwhile, and a claim dies with its process: whatever stops in between, the queue still owes the
//! message, and some of its recipients may get it twice.
//!
//! Called by [`super::fast`].

use crate::envelope::Envelope;
use crate::fsx;
use crate::log;
use crate::spool::{Owed, Spool};
use crate::store::Unsynced;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;

/// From this many mailboxes on it pays.
pub(super) const FROM: usize = 16;
/// Larger messages are written once, in octets.
pub(super) const SIZE_LIMIT: u64 = 1 << 20;
/// Most deliveries that wait; one more is made durable by who brings it.
const WAITING: usize = 64;

/// One message that is in its mailboxes, and in the queue.
#[derive(Debug)]
pub(super) struct Vouched {
    /// To whom.
    pub envelope: Envelope,
    /// The copy in the queue.
    pub owed: Owed,
    /// The names in the mailboxes.
    pub unsynced: Unsynced,
    /// The text that they are names of.
    pub draft: fsx::Draft,
    /// Where the copy lies.
    pub spool: Spool,
}

impl Vouched {
    /// Makes the delivery durable and forgets the copy; or takes the delivery back and leaves the copy to the queue.
    pub fn settle(self) {
        let Vouched { envelope, owed, unsynced, draft, spool } = self;
        let id = owed.id().clone();
        let synced = unsynced.finish();
        drop(draft);
        match synced {
            Ok(()) => {
                if let Err(error) = owed.retire() {
                    log::event("not-forgotten").id(&id).field("reason", error).error().write();
                }
            }
            Err(error) => {
                log::event("taken-back").id(&id).field("reason", error).error().write();
                // The claim goes first.
                drop(owed);
                spool.announce(&id, &envelope);
            }
        }
    }
}

/// Settles such deliveries one after the other, on a thread of its own; dropped, it waits for the last.
#[derive(Debug, Default)]
pub(super) struct Settler {
    /// Begun by the first delivery.
    thread: Mutex<Option<Thread>>,
}

#[derive(Debug)]
struct Thread {
    // Its end ends the thread.
    sender: SyncSender<Vouched>,
    handle: JoinHandle<()>,
}

impl Thread {
    fn begin() -> Option<Thread> {
        let (sender, receiver) = sync_channel::<Vouched>(WAITING);
        let run = move || receiver.into_iter().for_each(Vouched::settle);
        let handle = std::thread::Builder::new().name("settler".into()).spawn(run).ok()?;
        Some(Thread { sender, handle })
    }
}

impl Settler {
    /// Settles this delivery soon; or now, when too many wait.
    pub fn take(&self, vouched: Vouched) {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if thread.is_none() {
            *thread = Thread::begin();
        }
        let refused = match thread.as_ref().map(|thread| thread.sender.clone()) {
            Some(sender) => match sender.try_send(vouched) {
                Ok(()) => None,
                Err(TrySendError::Full(vouched) | TrySendError::Disconnected(vouched)) => Some(vouched),
            },
            None => Some(vouched),
        };
        drop(thread);
        if let Some(vouched) = refused {
            vouched.settle();
        }
    }
}

impl Drop for Settler {
    fn drop(&mut self) {
        let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(Thread { sender, handle }) = thread {
            drop(sender);
            // A panic in it was logged; the queue owes what it held.
            let _ = handle.join();
        }
    }
}
