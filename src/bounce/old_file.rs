//! Reports as a sendmail.cf wants them: who is told beside the sender, who gets a copy, and where what nobody can be told of is kept.
//!
//! Called by [`super::send`]. For a site of our own each of these does nothing.

use super::{Kind, Report, deliver, text};
use crate::addr::{Address, parse_list};
use crate::clock::Timestamp;
use crate::deliver::append_file;
use crate::envelope::Notify;
use crate::log;
use crate::msg;
use crate::serve::{Gate, OwnMessage};
use crate::settings::Cf;
use crate::spool::{Claim, Id};
use std::io::{self, Read};
use std::path::Path;

/// Most people that a message may have told of its failure.
const OTHERS: usize = 20;

fn cf(gate: &Gate) -> Option<&Cf> {
    gate.site.settings.cf.as_ref()
}

/// Whom the message's Errors-To names, where failures are told to them (UseErrorsTo).
pub(super) fn others(gate: &Gate, claim: &Claim, report: &Report) -> io::Result<Vec<Address>> {
    if report.kind != Kind::Settled || !cf(gate).is_some_and(|cf| cf.uses_errors_to) {
        return Ok(Vec::new());
    }
    let limit = gate.site.settings.smtp.header_size.0;
    let mut head = Vec::new();
    claim.message().take(limit).read_to_end(&mut head)?;
    let header = &head[..msg::header_end(&head).unwrap_or(head.len())];
    let Some(field) = msg::find(header, "Errors-To") else { return Ok(Vec::new()) };
    let list = parse_list(&field.value(), &gate.site.default_domain()).unwrap_or_default();
    Ok(list.into_iter().map(|mailbox| mailbox.address).take(OTHERS).collect())
}

/// Tells them. One who can't be told is no reason to tell the sender again.
pub(super) fn tell_others(gate: &Gate, claim: &Claim, report: &Report, others: &[Address], now: Timestamp) {
    for to in others {
        let id = Id::new(now);
        let handling = claim.envelope().handling.of_report();
        let told = text::print(gate, claim, report, to, &id, now)
            .map_err(|e| e.to_string())
            .and_then(|text| deliver(gate, &id, to, &text, handling, now).map_err(|failure| failure.to_string()));
        let event = log::event(if told.is_ok() { "report" } else { "report-refused" }).id(&id).field("to", to);
        event.field("about", claim.id()).maybe("reason", told.err()).write();
    }
}

/// Shows PostmasterCopy what was returned. A copy that fails is no reason to tell the sender again.
pub(super) fn copy(gate: &Gate, claim: &Claim, report: &Report, text: &[u8], now: Timestamp) {
    let named = cf(gate).map(|cf| cf.postmaster_copy.as_str()).filter(|name| !name.is_empty());
    let Some(name) = named.filter(|_| report.kind == Kind::Settled) else { return };
    let sent = match Address::parse_loose(name, &gate.site.default_domain()) {
        Ok(to) => {
            let id = Id::new(now);
            let handling = claim.envelope().handling.of_report();
            let message = OwnMessage { id: &id, to: &to, text, notify: Notify::NEVER, handling };
            gate.send_own(message, now).map_err(|failure| failure.to_string())
        }
        Err(wrong) => Err(wrong.to_string()),
    };
    if let Err(reason) = sent {
        log::event("report-refused").field("to", name).field("about", claim.id()).field("reason", reason).write();
    }
}

/// Appends a message that nobody can be told about to DeadLetterDrop, as mailboxes have it. False when there is no such file, or it can't be
/// written: then the message is kept as it is elsewhere.
pub(super) fn drop_letter(gate: &Gate, claim: &Claim, now: Timestamp) -> io::Result<bool> {
    let path = cf(gate).map(|cf| cf.dead_letters.as_path()).filter(|path| path.is_absolute());
    let Some(path) = path.filter(|path| *path != Path::new("/dev/null")) else { return Ok(false) };
    let mut text = claim.message();
    match append_file(path, claim.envelope().sender.as_ref(), &mut text, now) {
        Ok(_) => log::event("kept").id(claim.id()).field("file", path.display()).error().write(),
        Err(failure) => {
            log::event("not-kept")
                .id(claim.id())
                .field("file", path.display())
                .field("reason", failure)
                .error()
                .write();
            return Ok(false);
        }
    }
    Ok(true)
}
