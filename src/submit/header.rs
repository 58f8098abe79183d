//! The header of a submitted message: recipients for -t, fields that are added, fields that are taken out.

use super::Submission;
use crate::addr::{Address, old_style_list, parse_list};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::msg;
use crate::settings::{Cf, NoRecipient};
use crate::spool::Id;
use crate::status::Failure;
use std::borrow::Cow;

/// What is added.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Completion {
    /// The sender's name for a From field that must be made (-F, or the account's).
    pub full_name: String,
    /// Text for X-Authentication-Warning.
    pub warning: Option<String>,
}

/// sendmail's words for a sender that is not the caller.
pub(super) fn warning(site: &Site, login: &str, sender: &Address) -> String {
    format!("{}: {login} set sender to {sender} using -f", site.hostname())
}

/// The addresses of To, Cc and Bcc, as they stand; of the Resent- fields when there are any (RFC 5322 §3.6.6).
pub(super) fn recipients(head: &[u8], site: &Site) -> Result<Vec<Address>, Failure> {
    let is_resent = msg::fields(head).any(|f| ["resent-to", "resent-cc", "resent-bcc"].iter().any(|n| f.is(n)));
    let names: &[&str] = match is_resent {
        true => &["Resent-To", "Resent-Cc", "Resent-Bcc"],
        false => &["To", "Cc", "Bcc", "Apparently-To"],
    };
    let domain = site.default_domain();
    let is_old_style = site.settings.cf.as_ref().is_some_and(|cf| cf.old_style_headers);
    let mut found: Vec<Address> = Vec::new();
    for field in msg::fields(head).filter(|f| names.iter().any(|n| f.is(n))) {
        let value = field.value();
        let value = if is_old_style { old_style_list(&value) } else { Cow::Borrowed(&*value) };
        let list = parse_list(&value, &domain).map_err(|e| {
            Failure::permanent(
                (1, 3),
                format!("{}: {e}: {}", field.name, value.chars().take(200).collect::<String>()),
                "",
            )
        })?;
        found.extend(list.into_iter().map(|mailbox| mailbox.address));
    }
    Ok(found)
}

/// The header as it goes out; the empty line is the caller's.
pub(super) fn complete(head: &[u8], submission: &Submission, site: &Site, id: &Id, now: Timestamp) -> Vec<u8> {
    let host = site.hostname();
    let facts = msg::Facts::of(head);
    let mut top = String::new();
    if let Some(warning) = &submission.completion.warning {
        top.push_str(&format!("X-Authentication-Warning: {}\n", one_line(warning)));
    }
    let mut put = |name: &str, is_there: bool, value: &dyn Fn() -> String| {
        if !is_there {
            top.push_str(&format!("{name}: {}\n", value()));
        }
    };
    let date = || now.rfc5322();
    let message_id = || format!("<{id}@{host}>");
    let from = || author(head, submission, site);
    // RFC 5322 §3.6.6: who resends adds a block of his own in front.
    if msg::fields(head).any(|f| f.name.to_ascii_lowercase().starts_with("resent-")) {
        let has = |name: &str| msg::find(head, name).is_some();
        put("Resent-Date", has("Resent-Date"), &date);
        put("Resent-From", has("Resent-From"), &from);
        put("Resent-Message-ID", has("Resent-Message-ID"), &message_id);
    }
    put("Message-ID", facts.message_id.is_some(), &message_id);
    put("Date", facts.has_date, &date);
    put("From", facts.has_from, &from);
    let mut header = top.into_bytes();
    for field in msg::fields(head) {
        // Bcc is for us alone; Return-Path is the final host's to write; the others are for the program that hands in.
        if ["bcc", "resent-bcc", "return-path", "full-name", "content-length"].iter().any(|n| field.is(n)) {
            continue;
        }
        push(&mut header, &field);
    }
    header
}

/// Adds a field: no blank before the colon (RFC 5322 §4.5 may be read, not written), and no NUL.
fn push(header: &mut Vec<u8>, field: &msg::Field) {
    let colon = memchr::memchr(b':', field.raw).unwrap_or(0);
    header.extend_from_slice(field.name.as_bytes());
    header.extend(field.raw[colon..].iter().filter(|byte| **byte != 0));
    if !field.raw.ends_with(b"\n") {
        header.push(b'\n');
    }
}

/// The header as it lies in the queue where a sendmail.cf stands in the place of our settings: what its mailers add is left to them.
/// The sender's name, where he has none in the header, travels in `Full-Name`, which only those mailers see.
pub(super) fn keep(head: &[u8], submission: &Submission, cf: &Cf, recipients: &[Address]) -> Vec<u8> {
    let mut top = String::new();
    if let Some(warning) = &submission.completion.warning {
        top.push_str(&format!("X-Authentication-Warning: {}\n", one_line(warning)));
    }
    let name = one_line(&submission.completion.full_name);
    if msg::find(head, "Full-Name").is_none() && !name.trim().is_empty() {
        top.push_str(&format!("Full-Name: {}\n", phrase(&name).unwrap_or(name)));
    }
    let names = ["To", "Cc", "Bcc", "Apparently-To", "Resent-To", "Resent-Cc", "Resent-Bcc"];
    if !names.iter().any(|name| msg::find(head, name).is_some()) {
        let all = || recipients.iter().map(Address::to_string).collect::<Vec<_>>().join(",\n\t");
        match cf.no_recipient {
            NoRecipient::None => {}
            NoRecipient::To => top.push_str(&format!("To: {}\n", all())),
            NoRecipient::Undisclosed => top.push_str("To: undisclosed-recipients:;\n"),
            NoRecipient::Bcc => top.push_str("Bcc: \n"),
            NoRecipient::Apparently => top.push_str(&format!("Apparently-To: {}\n", all())),
        }
    }
    let mut header = top.into_bytes();
    for field in msg::fields(head) {
        if ["return-path", "content-length"].iter().any(|n| field.is(n)) {
            continue;
        }
        // What a Bcc field says is nobody's business, not even the queue's.
        if field.is("Bcc") || field.is("Resent-Bcc") {
            header.extend_from_slice(format!("{}:\n", field.name).as_bytes());
            continue;
        }
        push(&mut header, &field);
    }
    header
}

/// The value of a From field that must be made.
fn author(head: &[u8], submission: &Submission, site: &Site) -> String {
    let address = match &submission.sender {
        Some(sender) => sender.to_string(),
        None => format!("MAILER-DAEMON@{}", site.default_domain()),
    };
    let named = msg::find(head, "Full-Name").map(|f| f.value());
    match phrase(named.as_deref().unwrap_or(&submission.completion.full_name)) {
        Some(name) => format!("{name} <{address}>"),
        None => address,
    }
}

/// A display name as RFC 5322 §3.2.5 wants it, encoded where it is not ASCII (RFC 2047).
fn phrase(name: &str) -> Option<String> {
    let name = one_line(name);
    let name = name.trim();
    if name.is_empty() {
        return None;
    }
    if !name.is_ascii() {
        return Some(format!("=?utf-8?B?{}?=", encodify::base64::STANDARD.encode(name)));
    }
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || " !#$%&'*+-/=?^_`{|}~".contains(c));
    Some(if is_plain { name.to_string() } else { format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")) })
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
