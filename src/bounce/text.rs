//! The text of a report: for people, for programs, and what came back (RFC 3462, RFC 3464, RFC 6533).

use super::{Kind, Report};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Envelope, Mailer, Recipient, TlsWish};
use crate::serve::Gate;
use crate::spool::{Claim, Id, State};
use std::io::{self, Read};

/// Largest text in front of a report, in octets.
const ERROR_HEADER_LIMIT: u64 = 64 << 10;
/// Most octets of a returned header.
const HEADER_LIMIT: usize = 64 << 10;
/// Most octets of foreign text on a line.
const LINE_LIMIT: usize = 900;

/// What became of a recipient, in the words of RFC 3464 §2.3.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Failed,
    Delayed,
    Delivered,
    Relayed,
    Expanded,
}

impl Action {
    fn of(recipient: &Recipient, state: &State, kind: Kind) -> Action {
        let Some(outcome) = &state.last else { return Action::Delayed };
        match (outcome.enhanced.0, recipient.delivery.mailer) {
            (2, Mailer::Discard) if recipient.delivery.is_expansion() => Action::Expanded,
            // RFC 3461 §5.2.2: another SMTP server has it, and does not say what becomes of it. LMTP's reply is about the delivery itself.
            (2, Mailer::Smtp | Mailer::Agent) if !outcome.host.is_empty() => Action::Relayed,
            (2, _) => Action::Delivered,
            (4, _) if kind != Kind::Settled => Action::Delayed,
            _ => Action::Failed,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Action::Failed => "failed",
            Action::Delayed => "delayed",
            Action::Delivered => "delivered",
            Action::Relayed => "relayed",
            Action::Expanded => "expanded",
        }
    }

    /// Subject and first sentence of a report; where there are several actions, that of the gravest.
    fn headline(self, kind: Kind) -> (&'static str, &'static str) {
        match (self, kind) {
            (Action::Failed, _) => (
                "Your message could not be delivered",
                "Your message could not be delivered to the recipients below. It was removed from the queue.",
            ),
            (Action::Delayed, Kind::Overdue) => (
                "Your message is late (no action needed)",
                "Your message was not delivered by the time that you asked for. You need not send it again; it will be tried further.",
            ),
            (Action::Delayed, _) => (
                "Your message is late (no action needed)",
                "Your message is still waiting. You need not send it again; it will be tried further.",
            ),
            (Action::Delivered, _) => {
                ("Your message was delivered", "Your message was delivered, as you asked to be told.")
            }
            (Action::Relayed, _) => (
                "Your message was passed on",
                "Your message was passed on to another host, which may not tell you what becomes of it.",
            ),
            (Action::Expanded, _) => (
                "Your message was passed on",
                "Your message was passed on to the members behind an address. You are told of those that can't be reached, not of the others.",
            ),
        }
    }
}

pub(super) fn print(
    gate: &Gate,
    claim: &Claim,
    report: &Report,
    to: &Address,
    id: &Id,
    now: Timestamp,
) -> io::Result<Vec<u8>> {
    let envelope = claim.envelope();
    let cases: Vec<(&Recipient, &State)> =
        report.numbers.iter().map(|n| (&envelope.recipients[*n], &claim.progress().states[*n])).collect();
    let actions: Vec<Action> =
        cases.iter().map(|(recipient, state)| Action::of(recipient, state, report.kind)).collect();
    let all = [Action::Failed, Action::Delayed, Action::Delivered, Action::Relayed, Action::Expanded];
    let gravest = all.into_iter().find(|action| actions.contains(action)).unwrap_or(Action::Failed);
    let (subject, sentence) = gravest.headline(report.kind);
    let boundary = format!("={id}=");
    let host = &gate.host;
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
    out.push_str(&error_header(gate));
    out.push_str(sentence);
    out.push('\n');
    let (until, _) = crate::queue::expiry(envelope, claim.progress(), &gate.site.settings.queue);
    if report.kind != Kind::Settled {
        out.push_str(&format!("It is returned to you if it can't be delivered by {}.\n", until.rfc5322()));
    }
    for (recipient, state) in &cases {
        let said = state.last.as_ref().map_or(String::new(), |o| clean(&o.text));
        out.push_str(&format!("\n<{}>", recipient.original));
        let is_elsewhere = recipient.delivery.user != recipient.original.to_string();
        if is_elsewhere && recipient.delivery.by.is_empty() && recipient.delivery.mailer != Mailer::Discard {
            out.push_str(&format!(" (as {})", clean(&recipient.delivery.user)));
        }
        out.push_str(&format!(":\n    {said}\n"));
    }
    out.push_str(&format!("\n--{boundary}\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; {host}\n"));
    if let Some(envid) = &envelope.envid {
        out.push_str(&format!("Original-Envelope-Id: {}\n", seven_bit(envid)));
    }
    out.push_str(&format!("Arrival-Date: {}\n", envelope.arrived.rfc5322()));
    out.push_str(&wishes(envelope));
    let until = Some(until).filter(|_| report.kind != Kind::Settled);
    for ((recipient, state), action) in cases.iter().zip(&actions) {
        out.push_str(&status_group(recipient, state, *action, report.kind, until));
    }
    let mut out = out.into_bytes();
    // RFC 3461 §4.3: the whole comes back only with a failure. RFC 8689 §5: never that of a message that required TLS.
    let is_private = gate.site.settings.cf.as_ref().is_some_and(|cf| cf.is_private("nobodyreturn"));
    let may_be_whole = gravest == Action::Failed && envelope.handling.tls != TlsWish::Required && !is_private;
    let is_whole = envelope.ret_full && may_be_whole && envelope.size <= gate.site.settings.queue.bounce_size.0;
    append_original(&mut out, claim, &boundary, is_whole)?;
    out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
    Ok(out)
}

/// What a sendmail.cf wants in front of a report (ErrorHeader): a text, or the file that a path names.
fn error_header(gate: &Gate) -> String {
    let Some(text) = gate.site.settings.cf.as_ref().map(|cf| cf.error_header.as_str()) else { return String::new() };
    let text = match text.starts_with('/') {
        true => crate::fsx::read(std::path::Path::new(text), ERROR_HEADER_LIMIT).unwrap_or_default(),
        false => text.as_bytes().to_vec(),
    };
    let text = String::from_utf8_lossy(&text).trim_end().to_string();
    if text.is_empty() { text } else { format!("{text}\n\n") }
}

/// What the sender asked for, as per-message fields (RFC 2852 §5, RFC 4865 §5.1.2).
fn wishes(envelope: &Envelope) -> String {
    let mut out = String::new();
    if let Some(by) = envelope.handling.by {
        out.push_str(&format!("Deliver-By-Date: {}\n", by.at.rfc5322()));
    }
    if let Some(hold) = &envelope.handling.hold {
        out.push_str(&format!("Future-Release-Request: {}\n", seven_bit(&hold.asked)));
    }
    out
}

/// The per-recipient fields of RFC 3464 §2.3; US-ASCII alone, as message/delivery-status must be. `until` is the end of attempts.
fn status_group(recipient: &Recipient, state: &State, action: Action, kind: Kind, until: Option<Timestamp>) -> String {
    let mut out = String::from("\n");
    if let Some((kind, address)) = &recipient.orcpt {
        out.push_str(&format!("Original-Recipient: {}; {}\n", seven_bit(kind), utf8_address(address)));
    }
    let address_kind = if recipient.original.is_utf8() { "utf-8" } else { "rfc822" };
    out.push_str(&format!("Final-Recipient: {address_kind}; {}\n", utf8_address(&recipient.original.to_string())));
    let status = match (&state.last, kind) {
        // RFC 2852 §4.1.3.
        (_, Kind::Overdue) => "4.4.7".to_string(),
        (Some(outcome), _) => outcome.enhanced.to_string(),
        (None, _) => "4.0.0".to_string(),
    };
    out.push_str(&format!("Action: {}\nStatus: {status}\n", action.word()));
    if let Some(outcome) = &state.last {
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
        let diagnostic = if is_reply { "smtp" } else { "x-expressmail" };
        out.push_str(&format!("Diagnostic-Code: {diagnostic}; {}\n", seven_bit(&outcome.text)));
        out.push_str(&format!("Last-Attempt-Date: {}\n", state.when.rfc5322()));
    }
    if let Some(until) = until {
        out.push_str(&format!("Will-Retry-Until: {}\n", until.rfc5322()));
    }
    out
}

/// Headers only, or the whole; named as what it is: RFC 3462 forms for a header in US-ASCII, RFC 6533 forms for one in UTF-8.
fn append_original(out: &mut Vec<u8>, claim: &Claim, boundary: &str, is_whole: bool) -> io::Result<()> {
    let limit = if is_whole { claim.envelope().size } else { HEADER_LIMIT as u64 };
    let mut text = Vec::new();
    claim.message().take(limit).read_to_end(&mut text)?;
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
