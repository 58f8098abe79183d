//! The queue's work: what is due, trying it, telling senders, forgetting what is done.
//!
//! Called by `emqueue`, by the queue daemon under `emd`, and by `serve` (ETRN). Outgoing connections come through [`Net`], which
//! `drive` implements and tests fake.
//! A message's attempt: claim → deliveries → journal → reports → finish or the next date. The claim spans the attempt, so that two
//! runners never deliver one message twice.

mod agent;
mod agent_wire;
mod attempt;
mod board;
mod calling;
mod conversation;
mod crew;
mod daemon;
mod destinations;
mod dressed;
mod drops;
mod lines;
pub mod onward;
mod opening;
mod schedule;
mod select;
mod settle;
mod turned;

pub use attempt::{Attempted, Runner, Told};
pub use calling::Call;
pub use daemon::{Daemon, Wake, try_all};
pub use drops::take_dropped;
pub use schedule::{Ending, Late, Spans, born, expiry, held_until, late, next_attempt, spans};
pub use select::{Selection, Selector};
pub use turned::{send as send_over, waiting as waiting_for};

use crate::clock::Timestamp;
use crate::spool::{ClaimError, Record, Spool};
use std::io;

/// Makes everything for a domain (`@domain` for it and its subdomains, RFC 1985 §5.3) due at once; returns how many.
pub fn flush_domain(spool: &Spool, domain: &str, now: Timestamp) -> io::Result<usize> {
    let (with_subdomains, name) = match domain.strip_prefix('@') {
        Some(name) => (true, name),
        None => (false, domain),
    };
    let Ok(name) = crate::addr::normal_domain(name) else { return Ok(0) };
    let mut count = 0;
    for id in spool.scan()? {
        let Ok(Some((envelope, progress))) = spool.peek(&id) else { continue };
        let is_for = |host: &str| host == name || with_subdomains && host.ends_with(&format!(".{name}"));
        let is_owed =
            envelope.recipients.iter().zip(&progress.states).any(|(r, s)| s.is_owed() && is_for(&r.delivery.host));
        let is_held = progress.held || held_until(&envelope, &progress, now).is_some();
        if is_owed && !is_held && release(spool, &id, now)? {
            count += 1;
        }
    }
    Ok(count)
}

/// Makes one message due at once, also when it was held; false when somebody works on it or it is gone.
pub fn release(spool: &Spool, id: &crate::spool::Id, now: Timestamp) -> io::Result<bool> {
    match spool.claim(id) {
        Ok(mut claim) => {
            claim.record(now, &[Record::Released])?;
            drop(claim);
            spool.poke_id(id);
            Ok(true)
        }
        Err(ClaimError::Io(e)) => Err(e),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests;
