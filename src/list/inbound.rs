//! A message that came to a list, as far as the list must know it.
//!
//! Trust: all of it is the network's. What is shown again loses its control characters in `lists::texts` and `msg::encode`.
//! RFC 3834 §2 (who is answered), RFC 2919 §3, RFC 5322 §3.6.2.

use crate::addr::{self, Address, Mailbox};
use crate::lists::ListName;
use crate::msg::{self, Facts, automatic, words};

/// Longest Subject that is repeated, in characters.
const SUBJECT_LIMIT: usize = 200;

/// A message, read.
#[derive(Debug)]
pub struct Inbound<'a> {
    /// All of it, with LF line ends.
    pub text: &'a [u8],
    /// Its header, without the empty line.
    pub header: &'a [u8],
    /// Reverse path.
    pub sender: Option<&'a Address>,
    /// Who wrote it: From, or Sender where From has several.
    pub author: Option<Mailbox>,
    /// Its Message-ID; may be empty.
    pub message_id: String,
    /// Its Subject, decoded.
    pub subject: String,
}

impl<'a> Inbound<'a> {
    /// Reads a message.
    pub fn read(text: &'a [u8], sender: Option<&'a Address>) -> Inbound<'a> {
        let header: usize = msg::fields(text).map(|field| field.raw.len()).sum();
        let header = &text[..header];
        let facts = Facts::of(header);
        let subject = msg::find(header, "subject").map_or(String::new(), |field| words::decode_text(&field.unfolded()));
        Inbound {
            text,
            header,
            sender,
            author: author(header),
            message_id: facts.message_id.unwrap_or_default(),
            subject: subject.chars().take(SUBJECT_LIMIT).collect(),
        }
    }

    /// True when the message says that it came by this list already.
    pub fn was_here(&self, list: &ListName) -> bool {
        let id = format!("<{}>", list.list_id());
        let address = list.address().to_string();
        msg::fields(self.header).any(|field| match field.name.to_ascii_lowercase().as_str() {
            "list-id" => field.value().to_ascii_lowercase().ends_with(&id),
            "x-loop" => field.value().eq_ignore_ascii_case(&address),
            _ => false,
        })
    }

    /// Why this message is not answered; `None` when it may be. A program wrote it, a list passed it on, or it asks for none.
    pub fn unanswerable(&self) -> Option<&'static str> {
        if self.sender.is_none() {
            return Some("the sender is empty");
        }
        if let Some(why) = automatic::silence(self.header) {
            return Some(why);
        }
        if msg::find(self.header, "x-loop").is_some() {
            return Some("X-Loop");
        }
        match &self.author {
            None => Some("no author"),
            Some(author) => automatic::is_program(author.address.local()).then_some("a program's address"),
        }
    }
}

/// The author's mailbox.
fn author(header: &[u8]) -> Option<Mailbox> {
    let read = |name: &str| {
        let field = msg::find(header, name)?;
        addr::parse_list(&field.value(), "").ok()
    };
    let from = read("from")?;
    match from.as_slice() {
        [one] => Some(one.clone()),
        // RFC 5322 §3.6.2: with several authors Sender names the one who acts.
        [] => None,
        several => {
            let sender = read("sender")?.into_iter().next()?;
            several.iter().find(|author| author.address == sender.address).cloned().or(Some(sender))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn authors_are_found() {
        let author =
            |text: &str| Inbound::read(text.as_bytes(), None).author.map(|mailbox| mailbox.address.to_string());
        assert_eq!(author("From: Al <a@x.test>\n\n").as_deref(), Some("a@x.test"));
        assert_eq!(author("From: a@x.test, b@x.test\nSender: b@x.test\n\n").as_deref(), Some("b@x.test"));
        assert_eq!(author("From: a@x.test, b@x.test\n\n"), None);
        assert_eq!(author("From: nobody\n\n"), None);
        assert_eq!(author("Subject: x\n\nFrom: a@x.test\n"), None);
    }

    #[test]
    fn programs_are_not_answered() {
        let sender = address("a@x.test");
        let why = |header: &str| {
            let text = format!("From: a@x.test\n{header}\n");
            Inbound::read(text.as_bytes(), Some(&sender)).unanswerable().is_some()
        };
        for header in ["", "Auto-Submitted: no\n", "Precedence: first-class\n", "X-List: x\n"] {
            assert!(!why(header), "{header}");
        }
        for header in
            ["Auto-Submitted: auto-replied (vacation)\n", "Precedence: bulk\n", "List-Id: <x.y>\n", "X-Loop: z\n"]
        {
            assert!(why(header), "{header}");
        }
        assert!(Inbound::read(b"From: a@x.test\n\n", None).unanswerable().is_some());
        for from in ["MAILER-DAEMON@x.test", "talk-request@x.test", "owner-talk@x.test", "l-bounces+a=b.test@x.test"] {
            let text = format!("From: {from}\n\n");
            assert!(Inbound::read(text.as_bytes(), Some(&sender)).unanswerable().is_some(), "{from}");
        }
    }

    #[test]
    fn a_list_knows_its_own_copies() {
        let list: ListName = "talk@x.test".parse().unwrap();
        for (header, expected) in [
            ("List-Id: Talk about it <talk.x.test>", true),
            ("List-Id: <TALK.x.test>", true),
            ("X-Loop: talk@X.test", true),
            ("List-Id: <other.x.test>", false),
            ("X-Loop: other@x.test", false),
        ] {
            assert_eq!(Inbound::read(format!("{header}\n\n").as_bytes(), None).was_here(&list), expected, "{header}");
        }
    }
}
