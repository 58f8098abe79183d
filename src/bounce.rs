//! Delivery status notifications: telling a sender what became of a message (RFC 3461, RFC 3462, RFC 3464, RFC 6533).
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
/// Most octets of foreign text on a line.
const LINE_LIMIT: usize = 900;

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
    keep(gate, claim)
}

/// True when the message is twice as old as one may become.
fn is_overdue(gate: &Gate, claim: &Claim, now: Timestamp) -> bool {
    now.since(claim.envelope().arrived) > gate.site.settings.queue.expire.saturating_mul(2)
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
        out.push_str(&format!("Original-Envelope-Id: {}\n", seven_bit(envid)));
    }
    out.push_str(&format!("Arrival-Date: {}\n", envelope.arrived.rfc5322()));
    for (recipient, state) in &cases {
        out.push_str(&status_group(recipient, state, report.is_late, gate, envelope));
    }
    let mut out = out.into_bytes();
    // RFC 3461 §4.3: the whole comes back only with a failure.
    let size = envelope.size;
    let is_whole = envelope.ret_full && failed > 0 && !report.is_late && size <= gate.site.settings.queue.bounce_size.0;
    append_original(&mut out, claim, &boundary, is_whole)?;
    out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    Ok(out)
}

/// The per-recipient fields of RFC 3464 §2.3; US-ASCII alone, as message/delivery-status must be.
fn status_group(recipient: &Recipient, state: &State, is_late: bool, gate: &Gate, envelope: &Envelope) -> String {
    let mut out = String::from("\n");
    if let Some((kind, address)) = &recipient.orcpt {
        out.push_str(&format!("Original-Recipient: {}; {}\n", seven_bit(kind), utf8_address(address)));
    }
    let kind = if recipient.original.is_utf8() { "utf-8" } else { "rfc822" };
    out.push_str(&format!("Final-Recipient: {kind}; {}\n", utf8_address(&recipient.original.to_string())));
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
    if !outcome.host.is_empty() {
        let host = match outcome.host.parse() {
            Ok(std::net::IpAddr::V4(ip)) => format!("[{ip}]"),
            Ok(std::net::IpAddr::V6(ip)) => format!("[IPv6:{ip}]"),
            Err(_) => seven_bit(&outcome.host),
        };
        out.push_str(&format!("Remote-MTA: dns; {host}\n"));
    }
    // Only what a host has replied is an SMTP reply (RFC 3464 §2.3.6).
    let is_reply = !outcome.host.is_empty() && outcome.text.as_bytes().iter().take(3).all(u8::is_ascii_digit);
    let kind = if is_reply { "smtp" } else { "x-expressmail" };
    out.push_str(&format!("Diagnostic-Code: {kind}; {}\n", seven_bit(&outcome.text)));
    out.push_str(&format!("Last-Attempt-Date: {}\n", state.when.rfc5322()));
    if is_late {
        let expiry = envelope.arrived.after(gate.site.settings.queue.expire);
        out.push_str(&format!("Will-Retry-Until: {}\n", expiry.rfc5322()));
    }
    out
}

/// Headers only, or the whole; named as what it is: RFC 3462 forms for a header in US-ASCII, RFC 6533 forms for one in UTF-8.
fn append_original(out: &mut Vec<u8>, claim: &Claim, boundary: &str, is_whole: bool) -> io::Result<()> {
    let limit = if is_whole { claim.envelope().size } else { HEADER_LIMIT as u64 };
    let mut text = Vec::new();
    claim.message()?.take(limit).read_to_end(&mut text)?;
    let end = crate::msg::header_end(&text).unwrap_or(text.len());
    if !is_whole {
        text.truncate(end);
    }
    let header = &mut text[..end];
    let is_global = !header.is_ascii() && std::str::from_utf8(header).is_ok();
    if !is_global {
        // Octets of no known meaning.
        header.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
    }
    let kind = match (is_whole, is_global) {
        (true, false) => "message/rfc822",
        (true, true) => "message/global",
        (false, false) => "text/rfc822-headers",
        (false, true) => "message/global-headers",
    };
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

/// Foreign text on one line, without control characters, within the length of a line (RFC 5322 §2.1.1).
fn clean(text: &str) -> String {
    let mut line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    line.truncate(line.floor_char_boundary(LINE_LIMIT));
    line
}

/// The same in US-ASCII.
fn seven_bit(text: &str) -> String {
    clean(text).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// utf-8-addr-xtext of RFC 6533 §3 where an address has more than US-ASCII; as it is otherwise.
fn utf8_address(address: &str) -> String {
    if address.is_ascii() {
        return clean(address);
    }
    let one = |c: char| match c {
        '\\' | '+' | '=' => format!("\\x{{{:X}}}", u32::from(c)),
        c if c.is_ascii_graphic() => c.to_string(),
        c => format!("\\x{{{:X}}}", u32::from(c)),
    };
    address.chars().map(one).collect()
}
