//! Delivery status notifications: telling a sender what became of a message (RFC 3461, RFC 3462, RFC 3464, RFC 6533).
//!
//! Called by `queue`. Rules: the null reverse path, so that nothing answers a report (RFC 5321 §6.1); never a report about a report: one
//! that can't be delivered is shown to the postmaster once, and a report to the postmaster that fails goes to spool/bad.
//! Trust: replies of other hosts are hostile text; control characters are taken out before they are quoted.

mod old_file;
mod text;
mod untaken;

pub use untaken::tell_untaken;

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Handling, Notify, Recipient};
use crate::log;
use crate::serve::{Gate, OwnMessage};
use crate::spool::{Claim, Id, State};
use crate::status::Failure;
use std::io::{self, Read};

/// What to tell, about whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    numbers: Vec<usize>,
    kind: Kind,
    /// A list owner who is told instead of the sender.
    owner: Option<Address>,
}

/// Why a report is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Settled,
    Late,
    Overdue,
}

impl Report {
    /// These recipients are settled: failed, or delivered, relayed or expanded as was asked to be told.
    pub fn settled(numbers: &[usize], owner: Option<Address>) -> Report {
        Report { numbers: numbers.to_vec(), kind: Kind::Settled, owner }
    }

    /// These recipients have to wait.
    pub fn late(numbers: &[usize], owner: Option<Address>) -> Report {
        Report { numbers: numbers.to_vec(), kind: Kind::Late, owner }
    }

    /// These recipients were not reached by the time of BY=…;N; attempts go on (RFC 2852 §4.1.3).
    pub fn overdue(numbers: &[usize], owner: Option<Address>) -> Report {
        Report { numbers: numbers.to_vec(), kind: Kind::Overdue, owner }
    }
}

/// True when the sender is still to be told what became of a recipient (RFC 3461 §5.2, RFC 2852 §4.1.4).
pub fn is_owed(recipient: &Recipient, state: &State) -> bool {
    let wants = match &state.last {
        Some(outcome) if outcome.enhanced.0 == 5 => recipient.notify.failure,
        Some(outcome) if outcome.enhanced.0 == 2 => recipient.notify.success || state.relayed,
        _ => false,
    };
    wants && !state.reported
}

/// Queues (or delivers) the report about a claimed message; on return it is durable.
pub fn send(gate: &Gate, claim: &Claim, report: &Report, now: Timestamp) -> io::Result<()> {
    // The sender of forwarded mail that was rewritten for the next host is told himself.
    let back = report.owner.as_ref().and_then(|owner| gate.forwarding.incoming(None, owner, now)?.ok());
    let sender = back.as_ref().or(report.owner.as_ref()).or(claim.envelope().sender.as_ref());
    let Ok(postmaster) = postmaster(gate) else { return Ok(()) };
    let is_only_success =
        report.numbers.iter().all(|n| claim.progress().states[*n].last.as_ref().is_some_and(|o| o.enhanced.0 == 2));
    let mut others = if is_only_success { Vec::new() } else { old_file::others(gate, claim, report)? };
    let to = match sender {
        Some(sender) => sender.clone(),
        // Whoever is named there is told before the postmaster is.
        None if !others.is_empty() => others.remove(0),
        None if report.kind != Kind::Settled || is_only_success => return Ok(()),
        // A report could not be delivered: the postmaster is told, and nobody when it was meant for him.
        None if claim.envelope().recipients.iter().any(|r| r.original.to_key() == postmaster) => {
            log::event("double-bounce-lost")
                .id(claim.id())
                .field("reason", "a report to the postmaster failed")
                .error()
                .write();
            return keep(gate, claim, now);
        }
        None => {
            log::event("double-bounce").id(claim.id()).field("to", &postmaster).error().write();
            postmaster.clone()
        }
    };
    others.retain(|other| *other != to);
    let id = Id::new(now);
    let text = text::print(gate, claim, report, &to, &id, now)?;
    let attempts = [Some(to.clone()), Some(postmaster).filter(|p| *p != to)];
    for to in attempts.into_iter().flatten() {
        match deliver(gate, &id, &to, &text, claim.envelope().handling.of_report(), now) {
            Ok(()) => {
                log::event("report")
                    .id(&id)
                    .field("to", &to)
                    .field("about", claim.id())
                    .field("late", report.kind != Kind::Settled)
                    .write();
                old_file::copy(gate, claim, report, &text, now);
                old_file::tell_others(gate, claim, report, &others, now);
                return Ok(());
            }
            // For ever is too long: in the end the postmaster is told instead, or the text is kept.
            Err(failure) if failure.is_temporary() && !is_overdue(gate, claim, now) => {
                return Err(io::Error::other(failure.to_string()));
            }
            Err(failure) => {
                log::event("report-refused")
                    .id(&id)
                    .field("to", &to)
                    .field("about", claim.id())
                    .field("reason", failure)
                    .write();
            }
        }
    }
    old_file::tell_others(gate, claim, report, &others, now);
    keep(gate, claim, now)
}

/// Who is told of reports that nobody takes: the postmaster, or whom a sendmail.cf names (DoubleBounceAddress).
fn postmaster(gate: &Gate) -> Result<Address, crate::addr::AddressError> {
    let domain = gate.site.default_domain();
    let named = gate.site.settings.cf.as_ref().map(|cf| cf.double_bounce.as_str()).filter(|name| !name.is_empty());
    Address::parse_loose(named.unwrap_or("postmaster"), &domain)
}

/// True when the message is twice as old as one may become.
fn is_overdue(gate: &Gate, claim: &Claim, now: Timestamp) -> bool {
    let born = crate::queue::born(claim.envelope(), claim.progress());
    now.since(born) > gate.site.settings.queue.expire.saturating_mul(2)
}

/// Keeps the text of a message that nobody can be told about.
fn keep(gate: &Gate, claim: &Claim, now: Timestamp) -> io::Result<()> {
    if old_file::drop_letter(gate, claim, now)? {
        return Ok(());
    }
    let path = gate.site.root.spool.join("bad").join(format!("{}.msg", claim.id()));
    let mut text = Vec::new();
    claim.message().read_to_end(&mut text)?;
    crate::fsx::replace(&path, &text, 0o600)?;
    log::event("kept").id(claim.id()).field("file", path.display()).error().write();
    Ok(())
}

fn deliver(gate: &Gate, id: &Id, to: &Address, text: &[u8], handling: Handling, now: Timestamp) -> Result<(), Failure> {
    // A failed report must reach the postmaster: failure stays on, the rest is off.
    let notify = Notify { failure: true, ..Notify::NEVER };
    gate.send_own(OwnMessage { id, to, text, notify, handling }, now)
}
