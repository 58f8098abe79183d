//! Submission by programs: what emsend does once its command line is read.
//!
//! Called by `cli` (emsend) and by `queue` (hand-ins from the drop folder). Reads a message as Unix programs write it, completes its
//! header, finds the recipients and takes responsibility through `serve::Gate`.
//! RFC 5322 §3.6, RFC 6409 §8; sendmail(8).

mod header;
mod reader;

pub use header::Completion;
pub use reader::TextReader;

use crate::addr::{self, Address};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::{Delivery, Envelope, Mailer, Notify, Recipient, Source};
use crate::msg;
use crate::serve::{Gate, Request, received};
use crate::spool::{Handed, Id};
use crate::status::Failure;
use std::collections::BTreeMap;
use std::io::Read;

/// What the caller wants, in checked form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Envelope sender; `None` is `<>`.
    pub sender: Option<Address>,
    /// Recipients from the command line.
    pub recipients: Vec<Address>,
    /// Take recipients from the header too (-t); those of the command line are then left out, as sendmail does.
    pub from_header: bool,
    /// NOTIFY for all recipients (-N).
    pub notify: Notify,
    /// RET=FULL (-R full).
    pub ret_full: bool,
    /// ENVID (-V).
    pub envid: Option<String>,
    /// Login name of the caller.
    pub login: String,
    /// Header fields that are added where they are missing.
    pub completion: Completion,
    /// What to do with recipients that don't exist.
    pub errors: Errors,
    /// Octets that are 8-bit may come.
    pub eight_bit: bool,
}

/// What becomes of refused recipients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errors {
    /// They are given back in [`Taken::refused`], for the caller's terminal and exit code.
    Tell,
    /// The sender gets a bounce.
    Mail,
}

/// A message was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// Its id.
    pub id: Id,
    /// How many deliveries it has.
    pub deliveries: usize,
    /// Recipients that were refused.
    pub refused: Vec<(Address, Failure)>,
}

impl Submission {
    /// The form of a drop folder's message.
    pub fn to_handed(&self) -> Handed {
        let mut handed = Handed::default();
        let mut put = |key: &str, value: String| handed.mail.insert(key.to_string(), value);
        put("from", self.sender.as_ref().map(Address::to_string).unwrap_or_default());
        put("notify", self.notify.to_string());
        put("name", self.completion.full_name.clone());
        for (key, is_on) in [("t", self.from_header), ("full", self.ret_full)] {
            if is_on {
                put(key, "1".to_string());
            }
        }
        if let Some(envid) = &self.envid {
            put("envid", envid.clone());
        }
        if let Some(warning) = &self.completion.warning {
            put("warning", warning.clone());
        }
        handed.recipients =
            self.recipients.iter().map(|r| BTreeMap::from([("to".to_string(), r.to_string())])).collect();
        handed
    }

    /// Reads a drop folder's message; `login` is the file's owner.
    pub fn from_handed(handed: &Handed, login: &str, site: &Site) -> Result<Submission, String> {
        let field = |key: &str| handed.mail.get(key).cloned();
        let sender = match field("from").unwrap_or_default().as_str() {
            "" => None,
            text => Some(Address::parse(text).map_err(|e| format!("sender {text:?}: {e}"))?),
        };
        let mut recipients = Vec::new();
        for recipient in &handed.recipients {
            let text = recipient.get("to").ok_or("a recipient without an address")?;
            recipients.push(Address::parse(text).map_err(|e| format!("recipient {text:?}: {e}"))?);
        }
        // The warning is ours to give: a caller without rights may not leave it out by writing the file itself.
        let own = Address::new(login, &site.default_domain()).ok();
        let warning = match &sender {
            Some(sender) if Some(sender) != own.as_ref() => Some(header::warning(site, login, sender)),
            _ => None,
        };
        Ok(Submission {
            sender,
            recipients,
            from_header: handed.mail.contains_key("t"),
            notify: field("notify").and_then(|n| n.parse().ok()).unwrap_or_default(),
            ret_full: handed.mail.contains_key("full"),
            envid: field("envid"),
            login: login.to_string(),
            completion: Completion { full_name: field("name").unwrap_or_default(), warning },
            errors: Errors::Mail,
            eight_bit: true,
        })
    }
}

/// The sender's warning text for -f used by somebody else.
pub fn warning(site: &Site, login: &str, sender: &Address) -> String {
    header::warning(site, login, sender)
}

/// Takes one message. On `Ok` it is durable: delivered, or in the queue.
pub fn take(gate: &Gate, submission: &Submission, text: &mut dyn Read, now: Timestamp) -> Result<Taken, Failure> {
    let local = |e: std::io::Error| Failure::local(&e);
    let limit = gate.site.settings.smtp.header_size.0 as usize;
    let (head, rest) = read_header(text, limit).map_err(local)?;
    let id = Id::new(now);
    let recipients = match submission.from_header {
        true => header::recipients(&head, &gate.site)?,
        false => submission.recipients.clone(),
    };
    let recipients: Vec<Address> = match submission.from_header {
        // sendmail -t: addresses on the command line are those that must not get it.
        true => recipients.into_iter().filter(|r| !submission.recipients.contains(r)).collect(),
        false => recipients,
    };
    if recipients.is_empty() {
        return Err(Failure::permanent((5, 4), "No recipients were named", ""));
    }
    let (deliveries, refused) = route(gate, submission, &recipients)?;
    if deliveries.is_empty() {
        return Err(refused
            .into_iter()
            .next()
            .map_or_else(|| Failure::permanent((5, 4), "No recipients", ""), |(_, f)| f));
    }
    let header = header::complete(&head, submission, &gate.site, &id, now);
    let source = Source { user: Some(submission.login.clone()), protocol: "local".to_string(), ..Source::default() };
    let only = Some(&recipients[0]).filter(|_| recipients.len() == 1);
    let received = received(&source, None, &gate.host, id.as_str(), only, now);
    let count = deliveries.len();
    let envelope = Envelope {
        sender: submission.sender.clone(),
        arrived: now,
        source,
        eight_bit: submission.eight_bit,
        smtputf8: submission.sender.as_ref().is_some_and(Address::is_utf8) || recipients.iter().any(Address::is_utf8),
        ret_full: submission.ret_full,
        envid: submission.envid.clone(),
        size: 0,
        recipients: deliveries,
    };
    let mut incoming = gate.open(Request { id: id.clone(), envelope, received, completes: false })?;
    incoming.chunk(&header, now)?;
    if !rest.is_empty() {
        incoming.chunk(&rest, now)?;
    }
    let mut buffer = vec![0; 64 << 10];
    loop {
        match text.read(&mut buffer).map_err(local)? {
            0 => break,
            n => incoming.chunk(&buffer[..n], now)?,
        }
    }
    let results = incoming.commit(gate, now);
    match results.into_iter().find_map(Result::err) {
        Some(failure) => Err(failure),
        None => Ok(Taken { id, deliveries: count, refused }),
    }
}

type Routed = (Vec<Recipient>, Vec<(Address, Failure)>);

fn route(gate: &Gate, submission: &Submission, recipients: &[Address]) -> Result<Routed, Failure> {
    let mut deliveries: Vec<Recipient> = Vec::new();
    let mut refused = Vec::new();
    for original in recipients {
        let resolved = match gate.router.resolve(original) {
            Err(failure) if failure.is_temporary() => return Err(failure),
            Err(failure) if submission.errors == Errors::Mail => {
                Ok(vec![Delivery::new(Mailer::Error, format!("{} {}", failure.enhanced, failure.public))])
            }
            other => other,
        };
        match resolved {
            Ok(list) => {
                for delivery in list {
                    if !deliveries.iter().any(|r| r.delivery == delivery) {
                        let notify = submission.notify;
                        deliveries.push(Recipient { original: original.clone(), orcpt: None, notify, delivery });
                    }
                }
            }
            Err(failure) => refused.push((original.clone(), failure)),
        }
    }
    Ok((deliveries, refused))
}

/// Reads up to the end of the header; gives the header with its empty line, and what was read behind it.
///
/// A text whose first line is no field has no header: it is all body.
fn read_header(text: &mut dyn Read, limit: usize) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        if let Some(end) = msg::header_end(&head) {
            return Ok(split_header(head, end));
        }
        let n = if head.len() > limit { 0 } else { text.read(&mut buffer)? };
        if n == 0 {
            let end = head.len();
            return Ok(split_header(head, end));
        }
        head.extend_from_slice(&buffer[..n]);
    }
}

fn split_header(mut head: Vec<u8>, end: usize) -> (Vec<u8>, Vec<u8>) {
    let fields: usize = msg::fields(&head[..end]).map(|f| f.raw.len()).sum();
    let rest = head.split_off(fields);
    match rest.first() {
        // The empty line stays with the body; a line that is no field begins the body and gets one.
        Some(b'\n') | None => (head, if rest.is_empty() { b"\n".to_vec() } else { rest }),
        Some(_) => (head, [b"\n".as_slice(), &rest].concat()),
    }
}

/// Reads addresses of a command line: each argument may be a list.
pub fn command_line_recipients(arguments: &[String], site: &Site) -> Result<Vec<Address>, String> {
    let domain = site.default_domain();
    let mut found: Vec<Address> = Vec::new();
    for argument in arguments {
        let list = addr::parse_list(argument, &domain).map_err(|e| format!("{argument:?}: {e}"))?;
        for mailbox in list {
            if !found.contains(&mailbox.address) {
                found.push(mailbox.address);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
