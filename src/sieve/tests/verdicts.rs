//! What of the suite does not pass, and why; and what the suite sees of what `deliver` would send.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::deliver::{letters, vacation};
use crate::sieve::{Envelope, Notify, Vacation};

/// File, test (`*` is every failing one, `` the file itself), reason.
pub const KNOWN: &[(&str, &str, &str)] = &[];

/// True when a failure is known.
pub fn is_listed(file: &str, test: &str) -> bool {
    KNOWN.iter().any(|(f, t, _)| *f == file && (*t == test || *t == "*"))
}

fn head(text: &[u8]) -> &[u8] {
    &text[..crate::msg::header_end(text).unwrap_or(text.len())]
}

/// A message that is sent on.
pub fn redirected(text: &[u8], envelope: &Envelope) -> Option<Vec<u8>> {
    let own = Address::parse(&envelope.to).ok()?;
    let top = letters::redirected(head(text), &own).ok()?;
    Some([top.as_bytes(), text].concat())
}

/// What a sender reads about a message that was refused.
pub fn refusal(envelope: &Envelope, reason: &str) -> Option<Vec<u8>> {
    let text = format!("From: postmaster\nTo: <{}>\nSubject: refused\n\n{reason}", envelope.from);
    (!envelope.from.is_empty()).then(|| text.into_bytes())
}

/// The answer of somebody who is away.
pub fn answer(text: &[u8], envelope: &Envelope, vacation: &Vacation) -> Option<Vec<u8>> {
    let (from, to) = (Address::parse(&envelope.from).ok(), Address::parse(&envelope.to).ok()?);
    let mut own = vacation.addresses.clone();
    own.push(to.clone());
    if vacation::refusal(head(text), from.as_ref(), &own).is_some() {
        return None;
    }
    let absence = vacation::Absence::of(vacation);
    Some(vacation::answer(&absence, head(text), &from?, &to, "<1@example.com>", Timestamp::now()).into_bytes())
}

/// A notification.
pub fn notification(text: &[u8], envelope: &Envelope, notify: &Notify) -> Option<Vec<u8>> {
    let own = Address::parse(&envelope.to).ok()?;
    letters::notification(notify, head(text), &own, "<1@example.com>", Timestamp::now()).map(String::into_bytes)
}
