//! Letters that a user's script has sent: messages passed on, and notifications.
//!
//! Called by `filter`, which sends them. Loops: a message that was passed on says by whom, and nobody passes it on twice; what was sent
//! by a machine notifies nobody.
//! RFC 5228 §4.2, RFC 5436 §2.7.

use super::vacation::plain_part;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::msg::{self, automatic};
use crate::sieve::{Notify, decoded, field};

/// The field that a passed-on message gets; Pigeonhole's name for it.
pub const REDIRECTED_FROM: &str = "X-Sieve-Redirected-From";
/// A message may have been passed on so often.
pub const HOP_LIMIT: usize = 10;

/// Characters of the subject of a notification.
const SUBJECT_LIMIT: usize = 200;

/// What comes on top of a message that `own` passes on; the error says why it is not passed on.
pub fn redirected(header: &[u8], own: &Address) -> Result<String, &'static str> {
    let mut hops = 0;
    for field in msg::all_fields(header).filter(|field| field.is(REDIRECTED_FROM)) {
        hops += 1;
        if Address::parse(&field.value()).is_ok_and(|by| by.to_key() == own.to_key()) {
            return Err("it was passed on from here before");
        }
    }
    if hops >= HOP_LIMIT {
        return Err("it was passed on too often");
    }
    Ok(format!("{REDIRECTED_FROM}: {own}\n"))
}

/// The text of a notification about a message; `None` when there is to be none.
pub fn notification(notify: &Notify, header: &[u8], own: &Address, message_id: &str, now: Timestamp) -> Option<String> {
    let value = |name: &str| msg::all_fields(header).find(|field| field.is(name)).map(|field| decoded(field.body()));
    // RFC 5436 §2.7: what a machine has sent notifies nobody.
    if automatic::auto_submitted(header).is_some() {
        return None;
    }
    let method = &notify.method;
    let list = |addresses: &[Address]| addresses.iter().map(|a| format!("<{a}>")).collect::<Vec<_>>().join(", ");
    let subject = notify.message.clone().or_else(|| method.subject.clone()).or_else(|| value("subject"));
    let mut text = match &notify.from {
        Some(from) => field("From", from),
        None => format!("From: <{own}>\n"),
    };
    if !method.to.is_empty() {
        text.push_str(&format!("To: {}\n", list(&method.to)));
    }
    if !method.cc.is_empty() {
        text.push_str(&format!("Cc: {}\n", list(&method.cc)));
    }
    let subject: String = subject.as_deref().unwrap_or("New mail").chars().take(SUBJECT_LIMIT).collect();
    text.push_str(&field("Subject", &subject));
    text.push_str(&format!("Date: {}\nMessage-ID: {message_id}\n", now.rfc5322()));
    // RFC 5436 §2.7.1
    text.push_str(&format!(
        "Auto-Submitted: auto-notified; owner-email=\"{}\"\n",
        own.to_string().replace('"', "\\\"")
    ));
    for (name, value) in &method.fields {
        text.push_str(&field(name, value));
    }
    match notify.importance {
        1 => text.push_str("Importance: High\nX-Priority: 1\n"),
        3 => text.push_str("Importance: Low\nX-Priority: 5\n"),
        _ => text.push_str("Importance: Normal\nX-Priority: 3\n"),
    }
    text.push_str("Precedence: bulk\nMIME-Version: 1.0\n");
    let body = method.body.clone().unwrap_or_else(|| {
        let line = |name: &str| format!("{name}: {}\n", value(name).unwrap_or_default());
        format!("Notification of new mail.\n\n{}{}", line("From"), line("Subject"))
    });
    text.push_str(&plain_part(&body));
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sieve::Mailto;

    #[test]
    fn nobody_passes_a_message_on_twice() {
        let own = Address::parse("bob@b.test").unwrap();
        let top = redirected(b"Subject: x\n\n", &own).unwrap();
        assert_eq!(top, "X-Sieve-Redirected-From: bob@b.test\n");
        assert!(redirected(format!("{top}Subject: x\n\n").as_bytes(), &own).is_err());
        let carol = Address::parse("carol@b.test").unwrap();
        assert!(redirected(top.as_bytes(), &carol).is_ok());
        assert!(redirected(top.repeat(HOP_LIMIT).as_bytes(), &carol).is_err());
    }

    #[test]
    fn a_notification_tells_of_the_message() {
        let own = Address::parse("bob@b.test").unwrap();
        let method = Mailto::parse("mailto:p@c.test?X-Tone=3&body=a%0D%0Ab").unwrap();
        let notify = Notify { method, importance: 1, ..Notify::default() };
        let header = b"From: x@y.test\nSubject: Fire\n\n";
        let text = notification(&notify, header, &own, "<1@b.test>", Timestamp(0)).unwrap();
        for line in
            ["To: <p@c.test>\n", "Subject: Fire\n", "x-tone: 3\n", "X-Priority: 1\n", "\n\na\nb\n", "auto-notified;"]
        {
            assert!(text.contains(line), "{line}: {text}");
        }
        let machine = b"Auto-Submitted: auto-replied\n\n";
        assert_eq!(notification(&notify, machine, &own, "<1@b.test>", Timestamp(0)), None);
    }
}
