//! Answers for people who are away: who gets one, and what it says.
//!
//! Used for the `vacation` action of a Sieve script and for the absence text that an account has by itself (`emuser vacation`).
//! The caller remembers who has had an answer ([`crate::store::Remembered`]) and sends it with the null reverse path.
//! Nobody answers a machine, a list or himself, and only mail that names the recipient is answered: an answer too few harms less than
//! two programs that answer each other.
//! Trust: the message is a stranger's; what is taken from it goes into the answer's header through the encoders of [`crate::sieve::field`].
//! RFC 3834, RFC 5230 §4.5 to §5.

use crate::addr::{Address, parse_list};
use crate::clock::Timestamp;
use crate::msg::{self, Field, automatic};
use crate::sieve::{Vacation, decoded, field};
use encodify::qp;
use std::time::Duration;

/// Without a wish, nobody gets a second answer within this time.
pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(7 * 86_400);
/// The shortest interval of a script that counts in seconds.
pub const LEAST_INTERVAL: Duration = Duration::from_secs(60);
/// Characters of a subject that was made from the message's.
const SUBJECT_LIMIT: usize = 256;
/// Octets of the References of an answer.
const REFERENCES_LIMIT: usize = 4 << 10;
/// Fields that name recipients (RFC 5230 §4.5).
const RECIPIENT_FIELDS: &[&str] = &["to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc"];

/// What an answer is to say.
#[derive(Debug, Clone, Default)]
pub struct Absence<'a> {
    /// The subject; without one, the message's with `Auto:` before it.
    pub subject: Option<&'a str>,
    /// Who answers, with a display name perhaps; without one, the recipient.
    pub from: Option<&'a str>,
    /// The text.
    pub text: &'a str,
    /// The text is a MIME part with its header.
    pub is_mime: bool,
}

impl<'a> Absence<'a> {
    /// What a script says.
    pub fn of(vacation: &'a Vacation) -> Absence<'a> {
        Absence {
            subject: vacation.subject.as_deref(),
            from: vacation.from.as_deref(),
            text: &vacation.reason,
            is_mime: vacation.is_mime,
        }
    }
}

/// Why a message gets no answer; `None` when it gets one. `own` are all addresses of the recipient.
pub fn refusal(header: &[u8], sender: Option<&Address>, own: &[Address]) -> Option<&'static str> {
    let Some(sender) = sender else { return Some("the sender is null") };
    if own.iter().any(|address| address.to_key() == sender.to_key()) {
        return Some("the sender is the recipient");
    }
    // RFC 5230 §4.5.
    if automatic::is_program(sender.local()) || sender.local().eq_ignore_ascii_case("postmaster") {
        return Some("the sender is a program");
    }
    if let Some(why) = automatic::silence(header) {
        return Some(why);
    }
    let asks = |value: String| value.split(',').any(|word| matches!(word.trim(), "all" | "oof"));
    let suppressing =
        |field: &Field| field.is("x-auto-response-suppress") && asks(decoded(field.body()).to_ascii_lowercase());
    if msg::all_fields(header).any(|field| suppressing(&field)) {
        return Some("its sender wants no automatic answer");
    }
    if !is_named(header, own) {
        return Some("no recipient field names the recipient");
    }
    None
}

/// True when a recipient field names one of these addresses.
fn is_named(header: &[u8], own: &[Address]) -> bool {
    let names_own = |field: Field| {
        let mut listed = Vec::new();
        msg::address::read_list(field.body(), &mut listed);
        listed.iter().any(|member| match member {
            msg::address::Listed::Mailbox(mailbox) => {
                let (local, domain) =
                    (String::from_utf8_lossy(&mailbox.local), String::from_utf8_lossy(&mailbox.domain));
                Address::new(&local, &domain).is_ok_and(|found| own.iter().any(|a| a.to_key() == found.to_key()))
            }
            _ => false,
        })
    };
    msg::all_fields(header).filter(|field| RECIPIENT_FIELDS.iter().any(|name| field.is(name))).any(names_own)
}

/// The answer: header and body, LF line ends.
pub fn answer(
    absence: &Absence<'_>,
    header: &[u8],
    to: &Address,
    recipient: &Address,
    message_id: &str,
    now: Timestamp,
) -> String {
    let from = absence.from.and_then(|from| parse_list(from, recipient.domain()).ok()?.into_iter().next());
    let from = from.map_or_else(|| format!("<{recipient}>"), |from| with_name(&from.name, &from.address));
    let mut text = format!("From: {from}\n");
    text.push_str(&format!("To: {}\n", addressed(header, to)));
    text.push_str(&field("Subject", &subject(absence, header)));
    text.push_str(&format!("Date: {}\nMessage-ID: {message_id}\n", now.rfc5322()));
    if let Some(id) = ids(header, "message-id").into_iter().next() {
        text.push_str(&msg::fold("In-Reply-To", std::slice::from_ref(&id)));
        text.push_str(&msg::fold("References", &references(header, id)));
    }
    text.push_str(
        "Auto-Submitted: auto-replied (vacation)\nPrecedence: bulk\nX-Auto-Response-Suppress: All\nMIME-Version: 1.0\n",
    );
    if absence.is_mime {
        text.push_str(&mime_part(absence.text));
    } else {
        text.push_str(&plain_part(absence.text));
    }
    text
}

/// A text as the one part of a message: its fields and its body.
pub fn plain_part(body: &str) -> String {
    let body = body.replace("\r\n", "\n");
    let is_plain = body.is_ascii() && body.lines().all(|line| line.len() <= 998);
    let end = if body.ends_with('\n') { "" } else { "\n" };
    match is_plain {
        true => format!("Content-Type: text/plain; charset=us-ascii\n\n{body}{end}"),
        false => {
            let encoded = qp::BODY.encode(&body).replace("\r\n", "\n");
            format!(
                "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n{encoded}{end}"
            )
        }
    }
}

/// A part that the user has written with its header: only the fields that describe content are taken.
fn mime_part(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    let end = msg::header_end(text.as_bytes()).unwrap_or(text.len());
    let mut out = String::new();
    for field in msg::fields(&text.as_bytes()[..end]) {
        if field.name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case("content-")) {
            out.push_str(&String::from_utf8_lossy(field.raw));
            if !out.ends_with('\n') {
                out.push('\n');
            }
        }
    }
    format!("{out}\n{}", text.get(end..).unwrap_or_default())
}

/// The sender as the message names him, when it does.
fn addressed(header: &[u8], to: &Address) -> String {
    for name in ["sender", "resent-from", "from"] {
        for found in msg::all_fields(header).filter(|field| field.is(name)) {
            let list = parse_list(&String::from_utf8_lossy(&found.unfolded()), "").unwrap_or_default();
            if let Some(mailbox) = list.iter().find(|m| m.address.to_key() == to.to_key() && !m.name.is_empty()) {
                return with_name(&mailbox.name, to);
            }
        }
    }
    format!("<{to}>")
}

/// A mailbox with its display name, which may have encoded words in it.
fn with_name(name: &str, address: &Address) -> String {
    let name: String = decoded(name.as_bytes()).chars().filter(|c| !c.is_control()).collect();
    match name.is_ascii() {
        _ if name.is_empty() => format!("<{address}>"),
        true => format!("\"{}\" <{address}>", name.replace('\\', "\\\\").replace('"', "\\\"")),
        // Encoded words stand outside of quotes.
        false => {
            let line = field("X", &name);
            format!("{} <{address}>", line.trim_start_matches("X:").replace("\n ", " ").trim())
        }
    }
}

fn subject(absence: &Absence<'_>, header: &[u8]) -> String {
    if let Some(subject) = absence.subject.filter(|subject| !subject.trim().is_empty()) {
        return subject.to_string();
    }
    let original = msg::all_fields(header).find(|field| field.is("subject")).map(|field| decoded(field.body()));
    match original.filter(|subject| !subject.is_empty()) {
        None => "Automated reply".to_string(),
        Some(original) => {
            let subject = format!("Auto: {original}");
            match subject.chars().count() > SUBJECT_LIMIT {
                true => subject.chars().take(SUBJECT_LIMIT - 1).chain(['…']).collect(),
                false => subject,
            }
        }
    }
}

/// The ids in the fields of a name.
fn ids(header: &[u8], name: &str) -> Vec<String> {
    let mut found = Vec::new();
    for field in msg::all_fields(header).filter(|field| field.is(name)) {
        let value = String::from_utf8_lossy(&field.unfolded()).into_owned();
        let mut rest = value.as_str();
        while let Some(start) = rest.find('<') {
            let Some(length) = rest[start..].find('>') else { break };
            let id = &rest[start..start + length + 1];
            if !id.contains(|c: char| c.is_whitespace() || c.is_control()) && id.contains('@') {
                found.push(id.to_string());
            }
            rest = &rest[start + length + 1..];
        }
    }
    found
}

/// RFC 5322 §3.6.4: what the message refers to, or answers, and the message.
fn references(header: &[u8], id: String) -> Vec<String> {
    let mut all = ids(header, "references");
    if all.is_empty() {
        let answered = ids(header, "in-reply-to");
        all = if answered.len() == 1 { answered } else { Vec::new() };
    }
    all.push(id);
    // The first one holds the thread together, and the last ones.
    while all.len() > 2 && all.iter().map(String::len).sum::<usize>() > REFERENCES_LIMIT {
        all.remove(1);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn who_gets_an_answer() {
        let own = [address("bob@b.test")];
        for (sender, header, expected) in [
            (Some("anna@a.test"), "To: Bob <BOB@b.test>\n", None),
            (Some("anna@a.test"), "Cc: x: bob@b.test;\nAuto-Submitted: no\n", None),
            (None, "To: bob@b.test\n", Some("the sender is null")),
            (Some("Bob@b.test"), "To: bob@b.test\n", Some("the sender is the recipient")),
            (Some("owner-list@a.test"), "To: bob@b.test\n", Some("the sender is a program")),
            (Some("anna@a.test"), "To: bob@b.test\nList-Id: x\n", Some("it came over a list")),
            (Some("anna@a.test"), "To: bob@b.test\nPrecedence: Bulk\n", Some("it is bulk mail")),
            (Some("anna@a.test"), "To: bob@b.test\nAuto-Submitted: auto-replied\n", Some("it was sent automatically")),
            (
                Some("anna@a.test"),
                "To: bob@b.test\nX-Auto-Response-Suppress: DR, OOF\n",
                Some("its sender wants no automatic answer"),
            ),
            (Some("anna@a.test"), "To: list@c.test\n", Some("no recipient field names the recipient")),
        ] {
            let sender = sender.map(address);
            assert_eq!(refusal(header.as_bytes(), sender.as_ref(), &own), expected, "{header}");
        }
    }

    #[test]
    fn an_answer_is_one_to_the_message() {
        let header = b"From: =?utf-8?Q?J=C3=B6rg?= <j@a.test>\nSubject: Hi\nMessage-ID: <3@a.test>\nReferences: <1@a.test>\n <2@a.test>\n\n";
        let absence = Absence { text: "Grüße,\nBob", ..Absence::default() };
        let now = Timestamp::from_seconds(1_780_000_000);
        let text = answer(&absence, header, &address("j@a.test"), &address("bob@b.test"), "<x@b.test>", now);
        for line in [
            "From: <bob@b.test>\n",
            "To: =?utf-8?Q?J=C3=B6rg?= <j@a.test>\n",
            "Subject: Auto: Hi\n",
            "In-Reply-To: <3@a.test>\n",
            "References: <1@a.test> <2@a.test> <3@a.test>\n",
            "Auto-Submitted: auto-replied",
            "\n\nGr=C3=BC=C3=9Fe,\nBob\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn nothing_of_a_message_becomes_a_field_of_the_answer() {
        let header = b"From: \"a\\\"b\" <j@a.test>\nSubject: =?utf-8?Q?x=0ABcc:_evil@a.test?=\nMessage-ID: <a b@x> <3@a.test\n\n";
        let absence = Absence {
            from: Some("Bob\nBcc: x@y.test <bob@b.test>"),
            is_mime: true,
            text: "Content-Type: text/html\nBcc: x@y.test\n\n<p>",
            ..Absence::default()
        };
        let now = Timestamp::from_seconds(1_780_000_000);
        let text = answer(&absence, header, &address("j@a.test"), &address("bob@b.test"), "<x@b.test>", now);
        assert!(!text.to_lowercase().contains("\nbcc"), "{text}");
        assert!(text.ends_with("Content-Type: text/html\n\n<p>"), "{text}");
    }
}
