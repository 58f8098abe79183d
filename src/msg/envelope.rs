//! The ENVELOPE of a message: what IMAP shows of its header, raw.
//!
//! Called by the printer of ENVELOPE and BODYSTRUCTURE, by the index that keeps the header for SEARCH and SORT, and by threads.
//! Values are unfolded and undecoded. The first of several equal fields counts; repeated address fields are one list.
//! RFC 9051 §7.5.2, RFC 5322 §3.6.

use super::address::{Listed, read_list};
use super::header::all_fields;
use std::borrow::Cow;

/// The ten fields, in IMAP's order.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Envelope<'a> {
    /// Date, as written.
    pub date: Option<Cow<'a, [u8]>>,
    /// Subject, encoded words as they are.
    pub subject: Option<Cow<'a, [u8]>>,
    /// From.
    pub from: Vec<Listed>,
    /// Sender as it stands; see [`Envelope::sender`].
    pub own_sender: Vec<Listed>,
    /// Reply-To as it stands; see [`Envelope::reply_to`].
    pub own_reply_to: Vec<Listed>,
    /// To.
    pub to: Vec<Listed>,
    /// Cc.
    pub cc: Vec<Listed>,
    /// Bcc.
    pub bcc: Vec<Listed>,
    /// In-Reply-To.
    pub in_reply_to: Option<Cow<'a, [u8]>>,
    /// Message-ID.
    pub message_id: Option<Cow<'a, [u8]>>,
}

impl<'a> Envelope<'a> {
    /// Reads it from a header.
    pub fn of(header: &'a [u8]) -> Envelope<'a> {
        let mut envelope = Envelope::default();
        for field in all_fields(header) {
            let text = match field.name.to_ascii_lowercase().as_str() {
                "date" => &mut envelope.date,
                "subject" => &mut envelope.subject,
                "in-reply-to" => &mut envelope.in_reply_to,
                "message-id" => &mut envelope.message_id,
                name => {
                    let list = match name {
                        "from" => &mut envelope.from,
                        "sender" => &mut envelope.own_sender,
                        "reply-to" => &mut envelope.own_reply_to,
                        "to" => &mut envelope.to,
                        "cc" => &mut envelope.cc,
                        "bcc" => &mut envelope.bcc,
                        _ => continue,
                    };
                    read_list(field.body(), list);
                    continue;
                }
            };
            if text.is_none() {
                *text = Some(field.unfolded());
            }
        }
        envelope
    }

    /// The sender: From where there is none, or an empty one.
    pub fn sender(&self) -> &[Listed] {
        if self.own_sender.is_empty() { &self.from } else { &self.own_sender }
    }

    /// Where answers go: From where there is no Reply-To, or an empty one.
    pub fn reply_to(&self) -> &[Listed] {
        if self.own_reply_to.is_empty() { &self.from } else { &self.own_reply_to }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_raw_and_the_first_counts() {
        let header =
            b"Date: Thu, 1 Jan 1970\r\n 00:00:00 +0000\r\nSUBJECT: =?x?q?y?=\r\nsubject: second\r\nFrom: a@b\r\n\
            nonsense\r\nTo: c@d\r\nTo: e@f\r\nSender: \r\nIn-Reply-To:\r\nMessage-ID: <x@y>\r\n\r\nCc: body@x\r\n";
        let envelope = Envelope::of(header);
        assert_eq!(envelope.date.as_deref(), Some(&b"Thu, 1 Jan 1970 00:00:00 +0000"[..]));
        assert_eq!(envelope.subject.as_deref(), Some(&b"=?x?q?y?="[..]));
        assert_eq!(envelope.in_reply_to.as_deref(), Some(&b""[..]));
        assert_eq!(envelope.message_id.as_deref(), Some(&b"<x@y>"[..]));
        assert_eq!(envelope.to.len(), 2);
        assert!(envelope.cc.is_empty() && envelope.bcc.is_empty());
        assert_eq!((envelope.sender(), envelope.reply_to()), (&envelope.from[..], &envelope.from[..]));
        assert_eq!(Envelope::of(b""), Envelope::default());
    }
}
