//! What a list says itself: answers, questions, notices.
//!
//! They have the null reverse path and say that a program wrote them, so that nothing answers them; their Reply-To, where it is a
//! question, is the address that takes the answer.
//! RFC 3834 §3, RFC 2046 §5.1.3, RFC 2046 §5.2.1.

use super::Desk;
use super::content::content_fields;
use super::copy::charset;
use super::inbound::Inbound;
use crate::addr::Address;
use crate::envelope::{Handling, Notify};
use crate::lists::List;
use crate::lists::texts::Filled;
use crate::log;
use crate::msg::{self, encode};
use crate::serve::OwnMessage;
use crate::spool::Id;
use crate::status::Failure;

/// Longest References that are continued, in octets.
const REFERENCES_LIMIT: usize = 2_000;

/// One letter.
pub(super) struct Letter<'a> {
    /// Whose address it bears, and where answers go.
    pub(super) from: Address,
    /// Whom it is for.
    pub(super) to: &'a Address,
    /// Subject and text.
    pub(super) text: Filled,
    /// What it answers.
    pub(super) answers: Option<&'a Inbound<'a>>,
    /// A message that goes with it.
    pub(super) attached: Option<&'a [u8]>,
}

impl Desk<'_> {
    /// Sends a letter; durable on return. One that nobody will take is logged and forgotten.
    pub(super) fn send(&self, list: &List, letter: &Letter<'_>) -> Result<(), Failure> {
        self.send_with(list, letter, None)
    }

    /// The same with one more part, which has its own header.
    pub(super) fn send_with(&self, list: &List, letter: &Letter<'_>, part: Option<&[u8]>) -> Result<(), Failure> {
        let id = Id::new(self.now);
        let text = self.print(list, letter, part, &id);
        let own =
            OwnMessage { id: &id, to: letter.to, text: &text, notify: Notify::NEVER, handling: Handling::default() };
        match self.gate.send_own(own, self.now) {
            Err(failure) if !failure.is_temporary() => {
                let event = log::event("list-letter-lost").id(&id).field("list", &list.name);
                event.field("to", letter.to).field("reason", failure).error().write();
                Ok(())
            }
            other => other,
        }
    }

    fn print(&self, list: &List, letter: &Letter<'_>, part: Option<&[u8]>, id: &Id) -> Vec<u8> {
        let charset = charset(&list.settings);
        let mut text = format!("Date: {}\n", self.now.rfc5322());
        let shown = encode::phrase(list.name.name(), charset);
        text.push_str(&msg::fold("From", &[shown, format!("<{}>", letter.from)]));
        text.push_str(&format!("To: <{}>\n", letter.to));
        text.push_str(&encode::unstructured("Subject", &letter.text.subject, charset));
        text.push_str(&format!("Message-ID: <{id}@{}>\n", list.name.domain()));
        if let Some(answers) = letter.answers {
            text.push_str(&thread(answers));
        }
        let kind = if letter.answers.is_some() { "auto-replied" } else { "auto-generated" };
        text.push_str(&format!("Auto-Submitted: {kind}\nX-Loop: {}\nMIME-Version: 1.0\n", list.name.address()));
        let body = encode::body(&letter.text.body, charset);
        let mut out = text.into_bytes();
        if letter.attached.is_none() && part.is_none() {
            out.extend_from_slice(&content_fields(&body));
            out.push(b'\n');
            out.extend_from_slice(&body.octets);
            return out;
        }
        let boundary = format!("=em-{id}=");
        out.extend_from_slice(format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\n").as_bytes());
        let eight = |octets: &[u8]| if octets.is_ascii() { "" } else { "Content-Transfer-Encoding: 8bit\n" };
        // RFC 2045 §6.4: what holds 8-bit text says so, too.
        out.extend_from_slice(
            eight(&[letter.attached.unwrap_or_default(), part.unwrap_or_default()].concat()).as_bytes(),
        );
        out.extend_from_slice(format!("\n--{boundary}\n").as_bytes());
        out.extend_from_slice(&content_fields(&body));
        out.push(b'\n');
        out.extend_from_slice(&body.octets);
        if let Some(attached) = letter.attached {
            let header = format!("\n--{boundary}\nContent-Type: message/rfc822\n{}\n", eight(attached));
            out.extend_from_slice(header.as_bytes());
            out.extend_from_slice(attached);
        }
        if let Some(part) = part {
            out.extend_from_slice(format!("\n--{boundary}\n").as_bytes());
            out.extend_from_slice(part);
        }
        out.extend_from_slice(format!("\n--{boundary}--\n").as_bytes());
        out
    }
}

/// In-Reply-To and References of an answer (RFC 3834 §3.1.6, RFC 5322 §3.6.4).
fn thread(answers: &Inbound<'_>) -> String {
    let id = &answers.message_id;
    let is_id = |word: &str| word.starts_with('<') && word.ends_with('>') && word.bytes().all(|b| b.is_ascii_graphic());
    if !is_id(id) || id.len() > REFERENCES_LIMIT {
        return String::new();
    }
    let earlier = msg::find(answers.header, "references").map(|field| field.value()).unwrap_or_default();
    let mut words: Vec<String> = earlier.split_whitespace().filter(|word| is_id(word)).map(str::to_string).collect();
    if earlier.len() > REFERENCES_LIMIT {
        words.clear();
    }
    words.push(id.clone());
    msg::fold("In-Reply-To", std::slice::from_ref(id)) + &msg::fold("References", &words)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_join_their_thread() {
        let thread = |text: &str| thread(&Inbound::read(text.as_bytes(), None));
        assert_eq!(
            thread("Message-ID: <2@x>\nReferences: <1@x>\n junk\n\n"),
            "In-Reply-To: <2@x>\nReferences: <1@x> <2@x>\n"
        );
        assert_eq!(thread("Message-ID: nonsense\n\n"), "");
        assert_eq!(thread("Subject: x\n\n"), "");
    }
}
