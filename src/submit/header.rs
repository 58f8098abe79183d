//! The header of a submitted message: recipients for -t, fields that are added, fields that are taken out.

use super::Submission;
use crate::addr::{Address, parse_list};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::msg;
use crate::spool::Id;
use crate::status::Failure;

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

/// The addresses of To, Cc and Bcc; of the Resent- fields when there are any (RFC 5322 §3.6.6).
pub(super) fn recipients(head: &[u8], site: &Site) -> Result<Vec<Address>, Failure> {
    let is_resent = msg::fields(head).any(|f| ["resent-to", "resent-cc", "resent-bcc"].iter().any(|n| f.is(n)));
    let names = if is_resent { ["Resent-To", "Resent-Cc", "Resent-Bcc"] } else { ["To", "Cc", "Bcc"] };
    let domain = site.default_domain();
    let mut found: Vec<Address> = Vec::new();
    for field in msg::fields(head).filter(|f| names.iter().any(|n| f.is(n))) {
        let value = field.value();
        let list = parse_list(&value, &domain).map_err(|e| {
            Failure::permanent(
                (1, 3),
                format!("{}: {e}: {}", field.name, value.chars().take(200).collect::<String>()),
                "",
            )
        })?;
        for mailbox in list {
            if !found.contains(&mailbox.address) {
                found.push(mailbox.address);
            }
        }
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
    let is_resent = msg::fields(head).any(|f| f.name.to_ascii_lowercase().starts_with("resent-"));
    if is_resent && msg::find(head, "Resent-Date").is_none() {
        top.push_str(&format!("Resent-Date: {}\nResent-Message-ID: <{id}@{host}>\n", now.rfc5322()));
    }
    if facts.message_id.is_none() {
        top.push_str(&format!("Message-ID: <{id}@{host}>\n"));
    }
    if !facts.has_date {
        top.push_str(&format!("Date: {}\n", now.rfc5322()));
    }
    if !facts.has_from {
        let address = match &submission.sender {
            Some(sender) => sender.to_string(),
            None => format!("MAILER-DAEMON@{}", site.default_domain()),
        };
        top.push_str(&match phrase(&submission.completion.full_name) {
            Some(name) => format!("From: {name} <{address}>\n"),
            None => format!("From: {address}\n"),
        });
    }
    let mut header = top.into_bytes();
    for field in msg::fields(head) {
        // Bcc is for us alone; Return-Path is the final host's to write.
        if ["bcc", "resent-bcc", "return-path"].iter().any(|n| field.is(n)) {
            continue;
        }
        header.extend_from_slice(field.raw);
        if !field.raw.ends_with(b"\n") {
            header.push(b'\n');
        }
    }
    header
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
