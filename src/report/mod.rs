//! Reports about mail that was sent: who did not get it, and whose fault that is.
//!
//! Called by the mailing lists for what comes to a list's bounce address. Reads delivery status notifications, complaints in the Abuse Reporting
//! Format, and the prose that older and odd programs send in their place; automatic replies are told from both. Values only: text in,
//! values out.
//!
//! | what came | read by |
//! |---|---|
//! | message/delivery-status, or its fields in plain text | `fields` |
//! | message/feedback-report | `fields` |
//! | prose | `prose`; what its words mean is in `reason` |
//!
//! Trust: input is hostile. Anybody may send a report about anybody: who counts failures asks for more than one, on several days, and for
//! an address that the list itself put into the envelope.
//! RFC 3464, RFC 3463, RFC 5965, RFC 3834.

mod fields;
mod prose;
mod reason;

use crate::addr::Address;
use crate::msg::structure::{Shape, Structure};
use crate::msg::transfer::Transfer;
use crate::msg::{self, text, words};
use crate::status::Enhanced;
use reason::Reason;
use std::borrow::Cow;

/// So many recipients of one report are looked at.
pub const RECIPIENT_LIMIT: usize = 100;
/// So much of a report's text is read; the rest is the returned message.
const TEXT_LIMIT: usize = 64 * 1024;

/// What a report says about one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who it is about, as the sender wrote the address; `None` when the report names nobody, or not by a whole address.
    pub recipient: Option<Address>,
    /// The status: reported, or else the one that RFC 3463 has for what the text says.
    pub status: Enhanced,
    /// What that means for a subscription.
    pub class: Class,
    /// What was said, in one line.
    pub said: String,
}

/// What a status means for a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The address takes no mail, now or ever.
    Hard,
    /// It may take mail again: a full mailbox, a host that did not answer.
    Soft,
    /// This message or its sender was refused, not the recipient: never held against the member.
    Policy,
    /// The recipient calls it spam.
    Complaint,
    /// A program answered in somebody's place.
    AutoReply,
    /// The mail arrived.
    Delivered,
}

/// Reads a message that came to a bounce address. Empty when it is no report at all.
pub fn classify(message: &[u8]) -> Vec<Finding> {
    let structure = Structure::of(message);
    let header = &message[structure.root().header.clone()];
    let mut found = fields::complaint(message, &structure);
    if found.is_empty() {
        found = fields::delivery_status(message, &structure);
    }
    let is_reply = is_automatic_reply(header);
    if found.is_empty() && !is_reply && prose::is_report(header) {
        found = prose::read(&said(message, &structure), header, returned(message, &structure).as_deref());
    }
    if found.is_empty() && (is_reply || is_answer(header)) {
        let recipient = first_address(header, "from");
        return vec![Finding { recipient, status: Enhanced(2, 0, 0), class: Class::AutoReply, said: subject(header) }];
    }
    found.truncate(RECIPIENT_LIMIT);
    found
}

/// The header of the message that a report gives back, if it does.
pub fn returned_header(message: &[u8]) -> Option<Vec<u8>> {
    returned(message, &Structure::of(message))
}

/// The class of a status with what was said beside it.
pub fn class_of(status: Enhanced, said: &str) -> Class {
    reason::class(status, Reason::of(said))
}

/// RFC 3834 §5: programs that answer say so. A report says auto-replied too, but then it is one and was read as one.
fn is_automatic_reply(header: &[u8]) -> bool {
    let value = |name: &str| msg::find(header, name).map(|field| field.value().to_ascii_lowercase());
    let says_so = value("auto-submitted").is_some_and(|value| value.starts_with("auto-replied"));
    let is_vacation = value("subject").is_some_and(|s| {
        ["out of office", "auto reply", "auto:", "automatic reply", "autoreply", "vacation"]
            .iter()
            .any(|word| s.starts_with(word))
    });
    (says_so || is_vacation || value("x-autoreply").is_some() || value("x-autorespond").is_some())
        && value("x-failed-recipients").is_none()
        && !prose::is_from_a_mailer(header)
}

/// Anything else that a program sent by itself.
fn is_answer(header: &[u8]) -> bool {
    let value = |name: &str| msg::find(header, name).map(|field| field.value().to_ascii_lowercase());
    value("auto-submitted").is_some_and(|value| value.starts_with("auto-"))
        || value("precedence").is_some_and(|value| value == "auto_reply")
}

/// The texts that a report opens with: its text parts up to the returned message.
fn said(message: &[u8], structure: &Structure) -> String {
    let mut out = String::new();
    for part in structure.parts() {
        if part.shape == Shape::Message || part.media.is("text", "rfc822-headers") || out.len() > TEXT_LIMIT {
            break;
        }
        if let Some(text) = text::part_text(message, part) {
            out.push_str(&text);
            out.push('\n');
        }
    }
    let end = (0..=TEXT_LIMIT.min(out.len())).rev().find(|end| out.is_char_boundary(*end)).unwrap_or(0);
    out.truncate(end);
    out
}

/// The returned message's header: of a part that is one, or what stands behind the line that announces it.
fn returned(message: &[u8], structure: &Structure) -> Option<Vec<u8>> {
    for part in structure.parts() {
        if part.shape == Shape::Message {
            let inner = part.first_child.and_then(|child| structure.parts().get(child))?;
            return Some(message[inner.header.clone()].to_vec());
        }
        if part.media.is("text", "rfc822-headers") || part.media.is("message", "rfc822") {
            let decoded = Transfer::of(part.content.encoding).decode(&message[part.body.clone()]);
            return Some(decoded.into_owned());
        }
    }
    let said = said(message, structure);
    let behind = prose::cut(&said).1.trim_start_matches(['\r', '\n', ' ', '\t']);
    let has_field = msg::fields(behind.as_bytes()).next().is_some();
    has_field.then(|| behind.as_bytes().to_vec())
}

fn subject(header: &[u8]) -> String {
    msg::find(header, "subject").map(|field| words::decode_text(field.body())).unwrap_or_default()
}

/// The first whole address of a field.
fn first_address(header: &[u8], name: &str) -> Option<Address> {
    addresses(header, name).into_iter().next()
}

/// The whole addresses of a field, of every field of that name.
fn addresses(header: &[u8], name: &str) -> Vec<Address> {
    let mut listed = Vec::new();
    for field in msg::all_fields(header).filter(|field| field.is(name)) {
        msg::address::read_list(field.body(), &mut listed);
    }
    let address = |listed: &msg::address::Listed| match listed {
        msg::address::Listed::Mailbox(raw) => {
            Address::new(&String::from_utf8_lossy(&raw.local), &String::from_utf8_lossy(&raw.domain)).ok()
        }
        _ => None,
    };
    listed.iter().take(RECIPIENT_LIMIT).filter_map(address).collect()
}

/// One line of at most so many characters.
const SAID_LIMIT: usize = 300;

fn one_line(text: &str) -> String {
    let mut out = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty()) {
        if out.chars().count() + word.chars().count() > SAID_LIMIT {
            break;
        }
        if !out.is_empty() {
            out.push(' ');
        }
        out.push_str(word);
    }
    out
}

/// A finding about a recipient: what was reported, made exact by what was said.
fn finding(recipient: Option<Address>, status: Option<Enhanced>, class: Option<u8>, said: &str) -> Finding {
    let reason = Reason::of(said);
    let status = reason::status(status, class, reason, said);
    Finding { recipient, status, class: reason::class(status, reason), said: one_line(said) }
}

/// `user@host` of `<user@host>`, and of what mail programs write in its place.
fn address_in(text: &str) -> Option<Address> {
    let text: Cow<str> = Cow::Borrowed(text.trim().trim_matches(['<', '>', '"', '\'', ' ']));
    Address::parse(&text).ok()
}

#[cfg(test)]
mod tests;
