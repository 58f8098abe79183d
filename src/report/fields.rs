//! Reports in fields: delivery status notifications and abuse reports.
//!
//! Called by `report`. A block of fields belongs to the message, each further one to a recipient; blocks are separated by empty lines. The
//! part may be encoded, and programs that know the fields but not MIME put them into plain text.
//! RFC 3464 §2, RFC 5965 §3, RFC 6533 §3.

use super::{Class, Finding, RECIPIENT_LIMIT, address_in, addresses, finding, one_line};
use crate::addr::Address;
use crate::msg::structure::{Part, Structure};
use crate::msg::transfer::Transfer;
use crate::msg::{self, text, words};
use crate::status::Enhanced;

/// What the delivery status parts of a message say.
pub(super) fn delivery_status(message: &[u8], structure: &Structure) -> Vec<Finding> {
    let is_status = |part: &&Part| {
        part.media.is("message", "delivery-status") || part.media.is("message", "global-delivery-status")
    };
    let notes = notes(message, structure);
    let mut found = Vec::new();
    for part in structure.parts().iter().filter(is_status) {
        let decoded = Transfer::of(part.content.encoding).decode(&message[part.body.clone()]);
        read_blocks(&decoded, &notes, &mut found);
    }
    if found.is_empty() {
        // The fields in plain text, as some services send them.
        if let Some(at) = notes.find("\nFinal-Recipient:").or_else(|| notes.find("\nOriginal-Recipient:")) {
            let start = notes[..at].rfind("\n\n").map_or(0, |blank| blank + 2);
            read_blocks(&notes.as_bytes()[start..], "", &mut found);
        }
    }
    found
}

/// The text for people beside the fields: where the fields say nothing, it may.
fn notes(message: &[u8], structure: &Structure) -> String {
    let first = structure.parts().iter().find_map(|part| text::part_text(message, part)).unwrap_or_default();
    super::prose::cut(&first).0.replace("\r\n", "\n")
}

fn read_blocks(text: &[u8], notes: &str, found: &mut Vec<Finding>) {
    let mut rest = text;
    while !rest.is_empty() && found.len() < RECIPIENT_LIMIT {
        let (block, behind) = rest.split_at(msg::header_end(rest).unwrap_or(rest.len()));
        rest = behind;
        if let Some(one) = read_block(block, notes).filter(|one| !found.iter().any(|f| is_same(f, one))) {
            found.push(one);
        }
    }
}

fn is_same(one: &Finding, other: &Finding) -> bool {
    one.recipient == other.recipient && one.status == other.status
}

/// One recipient's block; `None` for the message's.
fn read_block(block: &[u8], notes: &str) -> Option<Finding> {
    let value = |name: &str| {
        let field = msg::all_fields(block).find(|field| field.is(name))?;
        Some(words::decode_text(field.body()))
    };
    let named = ["original-recipient", "final-recipient", "x-actual-recipient"];
    let has_recipient = named.iter().any(|name| value(name).is_some());
    let action = value("action").unwrap_or_default().to_ascii_lowercase();
    if !has_recipient && action.is_empty() {
        return None;
    }
    let recipient = named.iter().find_map(|name| typed_address(&value(name)?));
    let action = action.split([' ', '(', ';']).next().unwrap_or("");
    let status = value("status").and_then(|status| Some(Enhanced::parse_prefix(status.trim())?.0));
    let diagnostic = value("diagnostic-code").unwrap_or_default();
    // diagnostic-type of RFC 3464 §2.3.6
    let said = diagnostic.split_once(';').map_or(diagnostic.as_str(), |(_, said)| said).trim();
    let class = match action {
        "delayed" => Some(4),
        "failed" => Some(5),
        "delivered" | "relayed" | "expanded" => Some(2),
        // An action of nobody's list, such as "deliverable".
        _ => status.map(|status| status.0),
    };
    if class == Some(2) {
        let status = status.filter(|status| status.0 == 2).unwrap_or(Enhanced(2, 0, 0));
        return Some(Finding { recipient, status, class: Class::Delivered, said: one_line(said) });
    }
    // A delay is reported with the status of the last attempt; it is no failure yet.
    let status = status.filter(|status| status.0 != 2).map(|status| match action {
        "delayed" => Enhanced(4, status.1, status.2),
        _ => status,
    });
    let is_silent = said.is_empty() && status.is_none_or(|status| (status.1, status.2) == (0, 0));
    Some(finding(recipient, status, class, if is_silent { notes } else { said }))
}

/// address-type ";" generic-address of RFC 3464 §2.3.1; programs leave the type out, and put other things in.
fn typed_address(value: &str) -> Option<Address> {
    let bare = match value.split_once(';') {
        Some((kind, address)) if !kind.contains('@') => address,
        _ => value,
    };
    let bare = bare.split_once(" (").map_or(bare, |(address, _)| address);
    address_in(bare).or_else(|| super::prose::first_address(bare))
}

/// A complaint (RFC 5965): who complained is in Original-Rcpt-To, or to be taken from the message that came back.
pub(super) fn complaint(message: &[u8], structure: &Structure) -> Vec<Finding> {
    let Some(part) = structure.parts().iter().find(|part| part.media.is("message", "feedback-report")) else {
        return Vec::new();
    };
    let decoded = Transfer::of(part.content.encoding).decode(&message[part.body.clone()]);
    let kind = msg::all_fields(&decoded).find(|field| field.is("feedback-type")).map(|field| field.value());
    let kind = kind.unwrap_or_else(|| "abuse".into()).to_ascii_lowercase();
    // Failed authentication (RFC 6591) and the taking back of a complaint are no complaints.
    let class = match kind.as_str() {
        "abuse" | "fraud" | "virus" | "other" | "opt-out" | "miscategorized" => Class::Complaint,
        _ => Class::AutoReply,
    };
    let mut recipients = addresses(&decoded, "original-rcpt-to");
    if recipients.is_empty()
        && let Some(returned) = super::returned(message, structure)
    {
        recipients = addresses(&returned, "to");
    }
    let about = |recipient| Finding { recipient, status: Enhanced(5, 7, 1), class, said: kind.clone() };
    match recipients.is_empty() {
        true => vec![about(None)],
        false => recipients.into_iter().map(|recipient| about(Some(recipient))).collect(),
    }
}
