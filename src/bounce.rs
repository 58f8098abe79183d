//! Delivery status notifications: telling a sender what became of a message (RFC 3461, RFC 3462, RFC 3464).
//!
//! Called by `queue`. Rules: the null reverse path, so that nothing answers a report (RFC 5321 §6.1); never a report about a report: one
//! that can't be delivered is shown to the postmaster once, and a report to the postmaster that fails goes to spool/bad.
//! Trust: replies of other hosts are hostile text; control characters are taken out before they are quoted.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Envelope, Notify, Recipient, Source};
use crate::log;
use crate::serve::{Gate, Request};
use crate::spool::{Claim, Id, State};
use crate::status::Failure;
use std::io::{self, Read};

/// Most octets of a returned header.
const HEADER_LIMIT: usize = 64 << 10;

/// What to tell, about whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    numbers: Vec<usize>,
    is_late: bool,
    /// A list owner who is told instead of the sender.
    owner: Option<Address>,
}

impl Report {
    /// These recipients are settled: failed, or delivered as was asked to be told.
    pub fn settled(numbers: &[usize], owner: Option<Address>) -> Report {
        Report { numbers: numbers.to_vec(), is_late: false, owner }
    }

    /// These recipients have to wait.
    pub fn late(numbers: &[usize], owner: Option<Address>) -> Report {
        Report { numbers: numbers.to_vec(), is_late: true, owner }
    }
}

/// Queues (or delivers) the report about a claimed message; on return it is durable.
pub fn send(gate: &Gate, claim: &Claim, report: &Report, now: Timestamp) -> io::Result<()> {
    let sender = report.owner.as_ref().or(claim.envelope().sender.as_ref());
    let Ok(postmaster) = Address::new("postmaster", &gate.site.default_domain()) else { return Ok(()) };
    let is_only_success =
        report.numbers.iter().all(|n| claim.progress().states[*n].last.as_ref().is_some_and(|o| o.enhanced.0 == 2));
    let to = match sender {
        Some(sender) => sender.clone(),
        None if report.is_late || is_only_success => return Ok(()),
        // A report could not be delivered: the postmaster is told, and nobody when it was meant for him.
        None if claim.envelope().recipients.iter().any(|r| r.original.to_key() == postmaster) => {
            log::event("double-bounce-lost")
                .id(claim.id())
                .field("reason", "a report to the postmaster failed")
                .error()
                .write();
            return keep(gate, claim);
        }
        None => {
            log::event("double-bounce").id(claim.id()).field("to", &postmaster).error().write();
            postmaster.clone()
        }
    };
    let id = Id::new(now);
    let text = print(gate, claim, report, &to, &id, now)?;
    let attempts = [Some(to.clone()), Some(postmaster).filter(|p| *p != to)];
    for to in attempts.into_iter().flatten() {
        match deliver(gate, &id, &to, &text, now) {
            Ok(()) => {
                log::event("report")
                    .id(&id)
                    .field("to", &to)
                    .field("about", claim.id())
                    .field("late", report.is_late)
                    .write();
                return Ok(());
            }
            Err(failure) if failure.is_temporary() => return Err(io::Error::other(failure.to_string())),
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
    keep(gate, claim)
}

/// Keeps the text of a message that nobody can be told about.
fn keep(gate: &Gate, claim: &Claim) -> io::Result<()> {
    let path = gate.site.root.spool.join("bad").join(format!("{}.msg", claim.id()));
    let mut text = Vec::new();
    claim.message()?.read_to_end(&mut text)?;
    crate::fsx::replace(&path, &text, 0o600)?;
    log::event("kept").id(claim.id()).field("file", path.display()).error().write();
    Ok(())
}

fn deliver(gate: &Gate, id: &Id, to: &Address, text: &[u8], now: Timestamp) -> Result<(), Failure> {
    let deliveries = gate.router.resolve(to)?;
    let recipients = deliveries
        .into_iter()
        .map(|delivery| Recipient { original: to.clone(), orcpt: None, notify: Notify::NEVER, delivery })
        .map(|mut recipient| {
            // A failed report must reach the postmaster: failure stays on, the rest is off.
            recipient.notify.failure = true;
            recipient
        })
        .collect();
    let envelope = Envelope {
        sender: None,
        arrived: now,
        source: Source { protocol: "local".to_string(), ..Source::default() },
        eight_bit: true,
        smtputf8: to.is_utf8(),
        ret_full: false,
        envid: None,
        size: 0,
        recipients,
    };
    let request = Request { id: id.clone(), envelope, received: String::new(), completes: false };
    let mut incoming = gate.open(request)?;
    incoming.chunk(text, now)?;
    incoming.commit(gate, now).into_iter().collect::<Result<Vec<()>, Failure>>().map(|_| ())
}

fn print(gate: &Gate, claim: &Claim, report: &Report, to: &Address, id: &Id, now: Timestamp) -> io::Result<Vec<u8>> {
    let envelope = claim.envelope();
    let cases: Vec<(&Recipient, &State)> =
        report.numbers.iter().map(|n| (&envelope.recipients[*n], &claim.progress().states[*n])).collect();
    let failed = cases.iter().filter(|(_, s)| s.last.as_ref().is_some_and(|o| o.enhanced.0 == 5)).count();
    let boundary = format!("={id}=");
    let host = &gate.host;
    let subject = match (report.is_late, failed) {
        (true, _) => "Your message is late (no action needed)",
        (_, 0) => "Your message was delivered",
        _ => "Your message could not be delivered",
    };
    let mut out = String::new();
    out.push_str(&format!(
        "Date: {}\nFrom: Mail Delivery System <MAILER-DAEMON@{}>\n",
        now.rfc5322(),
        gate.site.default_domain()
    ));
    out.push_str(&format!("To: <{to}>\nSubject: {subject}\nMessage-ID: <{id}@{host}>\nAuto-Submitted: auto-replied\n"));
    out.push_str("MIME-Version: 1.0\nContent-Type: multipart/report; report-type=delivery-status;\n");
    out.push_str(&format!("\tboundary=\"{boundary}\"\n\n--{boundary}\nContent-Type: text/plain; charset=utf-8\n"));
    out.push_str(&format!("Content-Transfer-Encoding: 8bit\n\nThis is the mail system at {host}.\n\n"));
    out.push_str(match (report.is_late, failed) {
        (true, _) => "Your message is still waiting. You need not send it again; it will be tried further.\n",
        (_, 0) => "Your message was delivered, as you asked to be told.\n",
        _ => "Your message could not be delivered to the recipients below. It was removed from the queue.\n",
    });
    if report.is_late {
        let expiry = envelope.arrived.after(gate.site.settings.queue.expire);
        out.push_str(&format!("It is returned to you if it can't be delivered by {}.\n", expiry.rfc5322()));
    }
    for (recipient, state) in &cases {
        let said = state.last.as_ref().map_or(String::new(), |o| clean(&o.text));
        out.push_str(&format!("\n<{}>", recipient.original));
        if recipient.delivery.user != recipient.original.to_string() && recipient.delivery.by.is_empty() {
            out.push_str(&format!(" (as {})", clean(&recipient.delivery.user)));
        }
        out.push_str(&format!(":\n    {said}\n"));
    }
    out.push_str(&format!("\n--{boundary}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {host}\n"));
    if let Some(envid) = &envelope.envid {
        out.push_str(&format!("Original-Envelope-Id: {}\n", clean(envid)));
    }
    out.push_str(&format!("Arrival-Date: {}\n", envelope.arrived.rfc5322()));
    for (recipient, state) in &cases {
        out.push_str(&status_group(recipient, state, report.is_late, gate, envelope));
    }
    let mut out = out.into_bytes();
    append_original(&mut out, claim, report, &boundary, gate.site.settings.queue.bounce_size.0)?;
    out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    Ok(out)
}

/// The per-recipient fields of RFC 3464 §2.3.
fn status_group(recipient: &Recipient, state: &State, is_late: bool, gate: &Gate, envelope: &Envelope) -> String {
    let mut out = String::from("\n");
    if let Some((kind, address)) = &recipient.orcpt {
        out.push_str(&format!("Original-Recipient: {}; {}\n", clean(kind), clean(address)));
    }
    let kind = if recipient.original.is_utf8() { "utf-8" } else { "rfc822" };
    out.push_str(&format!("Final-Recipient: {kind}; {}\n", recipient.original));
    let Some(outcome) = &state.last else {
        out.push_str("Action: delayed\nStatus: 4.0.0\n");
        return out;
    };
    let action = match outcome.enhanced.0 {
        2 if outcome.host.is_empty() => "delivered",
        2 => "relayed",
        4 if is_late => "delayed",
        _ => "failed",
    };
    out.push_str(&format!("Action: {action}\nStatus: {}\n", outcome.enhanced));
    if outcome.host.is_empty() {
        out.push_str(&format!("Diagnostic-Code: x-expressmail; {}\n", clean(&outcome.text)));
    } else {
        out.push_str(&format!("Remote-MTA: dns; {}\nDiagnostic-Code: smtp; {}\n", outcome.host, clean(&outcome.text)));
    }
    out.push_str(&format!("Last-Attempt-Date: {}\n", state.when.rfc5322()));
    if is_late {
        let expiry = envelope.arrived.after(gate.site.settings.queue.expire);
        out.push_str(&format!("Will-Retry-Until: {}\n", expiry.rfc5322()));
    }
    out
}

/// Headers only, or the whole when that was asked for and is not too large (RFC 3461 §4.3).
fn append_original(
    out: &mut Vec<u8>,
    claim: &Claim,
    report: &Report,
    boundary: &str,
    size_limit: u64,
) -> io::Result<()> {
    let envelope = claim.envelope();
    let is_whole = envelope.ret_full && !report.is_late && envelope.size <= size_limit;
    let limit = if is_whole { envelope.size } else { HEADER_LIMIT as u64 };
    let mut text = Vec::new();
    claim.message()?.take(limit).read_to_end(&mut text)?;
    if !is_whole {
        let end = crate::msg::header_end(&text).unwrap_or(text.len());
        text.truncate(end);
    }
    let kind = if is_whole { "message/rfc822" } else { "text/rfc822-headers" };
    let encoding = if text.is_ascii() { "7bit" } else { "8bit" };
    out.extend_from_slice(
        format!("\n--{boundary}\nContent-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n").as_bytes(),
    );
    out.extend_from_slice(&text);
    if !text.ends_with(b"\n") {
        out.push(b'\n');
    }
    Ok(())
}

/// Foreign text on one line, without control characters.
fn clean(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.chars().take(900).collect()
}
