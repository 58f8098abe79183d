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
use crate::envelope::{Delivery, Envelope, Handling, Mailer, Notify, Recipient, Source};
use crate::msg;
use crate::serve::{Gate, Request, check_text, granted_receipts, message_too_large, received, recipients};
use crate::spool::{Handed, Id};
use crate::status::Failure;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;

/// What the caller wants, in checked form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// Envelope sender; `None` is `<>`.
    pub sender: Option<Address>,
    /// Recipients from the command line.
    pub recipients: Vec<Address>,
    /// Take recipients from the header too (-t).
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
    /// That was said (-B), and not only supposed.
    pub is_labelled: bool,
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
            is_labelled: false,
        })
    }
}

/// The sender's warning text for -f used by somebody else.
pub fn warning(site: &Site, login: &str, sender: &Address) -> String {
    header::warning(site, login, sender)
}

/// A message whose header has been read; reading it gives the whole text.
pub struct Message<'a> {
    header: Vec<u8>,
    /// What was read behind the header, from the empty line on.
    rest: Vec<u8>,
    read: usize,
    text: &'a mut dyn Read,
}

impl Message<'_> {
    /// Reads up to the end of the header; `limit` is the largest header, in octets.
    pub fn read(text: &mut dyn Read, limit: u64) -> std::io::Result<Message<'_>> {
        let (header, rest) = read_header(text, limit as usize)?;
        Ok(Message { header, rest, read: 0, text })
    }

    /// Its header, as it came.
    pub fn header(&self) -> &[u8] {
        &self.header
    }

    /// Who gets it: the command line's recipients, with -t those of the header as well, each once.
    pub fn recipients(&self, submission: &Submission, site: &Site) -> Result<Vec<Address>, Failure> {
        let named = match submission.from_header {
            true => header::recipients(&self.header, site)?,
            false => Vec::new(),
        };
        let mut seen = HashSet::new();
        Ok(named.into_iter().chain(submission.recipients.iter().cloned()).filter(|r| seen.insert(r.clone())).collect())
    }
}

impl Read for Message<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let (at, length) = (self.read, self.header.len());
        let ready = if at < length { &self.header[at..] } else { self.rest.get(at - length..).unwrap_or_default() };
        if ready.is_empty() {
            return self.text.read(buffer);
        }
        let n = ready.len().min(buffer.len());
        buffer[..n].copy_from_slice(&ready[..n]);
        self.read += n;
        Ok(n)
    }
}

/// Why a text could not be read to its end: it was longer than its limit, or the disk or pipe failed.
pub fn unreadable(error: &std::io::Error, site: &Site) -> Failure {
    match error.kind() {
        std::io::ErrorKind::FileTooLarge => message_too_large(site, site.settings.smtp.message_size.0),
        _ => Failure::local(error),
    }
}

/// Takes one message. On `Ok` it is durable: delivered, or in the queue.
pub fn take(gate: &Gate, submission: &Submission, text: &mut dyn Read, now: Timestamp) -> Result<Taken, Failure> {
    let limit = gate.site.settings.smtp.header_size.0;
    let message = Message::read(text, limit).map_err(|e| unreadable(&e, &gate.site))?;
    let recipients = message.recipients(submission, &gate.site)?;
    take_message(gate, submission, message, &recipients, now)
}

/// The same for a message whose header has been read.
pub fn take_message(
    gate: &Gate,
    submission: &Submission,
    message: Message<'_>,
    recipients: &[Address],
    now: Timestamp,
) -> Result<Taken, Failure> {
    if recipients.is_empty() {
        return Err(Failure::permanent((5, 4), "No recipients were named", ""));
    }
    let Message { header: head, rest, text, .. } = message;
    let id = Id::new(now);
    let (deliveries, refused) = route(gate, submission, recipients, now)?;
    if deliveries.is_empty() && gate.site.settings.cf.is_some() {
        return Err(all_refused(gate, refused));
    }
    if deliveries.is_empty() {
        return Err(refused
            .into_iter()
            .next()
            .map_or_else(|| Failure::permanent((5, 4), "No recipients", ""), |(_, f)| f));
    }
    let (header, sender) = match &gate.site.settings.cf {
        // Its H lines and mailers make the rest when it goes out.
        Some(cf) => (header::keep(&head, submission, cf, recipients), submission.sender.clone()),
        None => {
            let header = header::complete(&head, submission, &gate.site, &id, now);
            let header = gate.router.outside_header(&header)?.unwrap_or(header);
            (header, submission.sender.as_ref().map(|sender| gate.router.outside_sender(sender)).transpose()?)
        }
    };
    let source = Source { user: Some(submission.login.clone()), protocol: "local".to_string(), ..Source::default() };
    let only = Some(&recipients[0]).filter(|_| recipients.len() == 1);
    let received = match gate.site.settings.cf {
        Some(_) => String::new(),
        None => received(&source, None, &gate.host, id.as_str(), only, None, now),
    };
    let count = deliveries.len();
    let envelope = Envelope {
        sender,
        arrived: now,
        source,
        eight_bit: submission.eight_bit,
        smtputf8: submission.sender.as_ref().is_some_and(Address::is_utf8) || recipients.iter().any(Address::is_utf8),
        ret_full: submission.ret_full,
        envid: submission.envid.clone(),
        handling: Handling::default(),
        size: 0,
        recipients: deliveries,
    };
    // A user of this host is as good as one who has logged in.
    let request = Request { id: id.clone(), envelope, received, completes: false, is_checked: true };
    let mut incoming = gate.open(request)?.trusting_priority(true);
    let mut take = |text: &[u8]| {
        check_text(&gate.site, text, submission.is_labelled)?;
        incoming.chunk(text, now)
    };
    take(&header)?;
    if !rest.is_empty() {
        take(&rest)?;
    }
    let mut buffer = vec![0; 16 << 10];
    loop {
        match text.read(&mut buffer).map_err(|e| unreadable(&e, &gate.site))? {
            0 => break,
            n => take(&buffer[..n])?,
        }
    }
    let results = incoming.commit(gate, now);
    match results.into_iter().find_map(Result::err) {
        Some(failure) => Err(failure),
        None => Ok(Taken { id, deliveries: count, refused }),
    }
}

/// Each refused recipient on a line, as sendmail says it.
fn all_refused(gate: &Gate, refused: Vec<(Address, Failure)>) -> Failure {
    let domain = gate.site.default_domain();
    let said = |(address, failure): &(Address, Failure)| match address.domain() == domain {
        true => format!("{}... {}", address.local(), failure.public),
        false => format!("{address}... {}", failure.public),
    };
    let public = refused.iter().map(said).collect::<Vec<_>>().join("\n");
    let first = refused.into_iter().next().map(|(_, failure)| failure);
    let first = first.unwrap_or_else(|| Failure::permanent((5, 4), "", ""));
    Failure { public, ..first }
}

type Routed = (Vec<Recipient>, Vec<(Address, Failure)>);

fn route(gate: &Gate, submission: &Submission, named: &[Address], now: Timestamp) -> Result<Routed, Failure> {
    let mut deliveries: Vec<Recipient> = Vec::new();
    let mut seen = HashSet::new();
    let mut refused = Vec::new();
    for original in named {
        let resolved = match gate.router.resolve(original) {
            Err(failure) if failure.is_temporary() => return Err(failure),
            Err(failure) if submission.errors == Errors::Mail => {
                Ok(vec![Delivery::new(Mailer::Error, format!("{} {}", failure.enhanced, failure.public))])
            }
            other => other,
        };
        match resolved {
            Ok(mut list) => {
                gate.router.spare_sender(submission.sender.as_ref(), original, &mut list);
                // A program that sends for somebody else forwards: a .forward file, a filter.
                gate.forwarding.outgoing(submission.sender.as_ref(), true, &mut list, now);
                let made = recipients(original, granted_receipts(&gate.site, submission.notify), None, list);
                deliveries.extend(made.into_iter().filter(|made| seen.insert(made.delivery.clone())));
            }
            Err(failure) => refused.push((original.clone(), failure)),
        }
    }
    Ok((deliveries, refused))
}

/// Reads up to the end of the header; gives the header with its empty line, and what was read behind it.
///
/// A text whose first line is no field has no header: it is all body. A mailbox's `From ` line in front is dropped, as sendmail does.
fn read_header(text: &mut dyn Read, limit: usize) -> std::io::Result<(Vec<u8>, Vec<u8>)> {
    let mut head = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let end = msg::header_end(&head);
        let n = if end.is_some() || head.len() > limit { 0 } else { text.read(&mut buffer)? };
        head.extend_from_slice(&buffer[..n]);
        if n == 0 {
            let separator =
                if head.starts_with(b"From ") { memchr::memchr(b'\n', &head).map_or(0, |i| i + 1) } else { 0 };
            head.drain(..separator);
            let end = msg::header_end(&head).unwrap_or(head.len());
            return Ok(split_header(head, end));
        }
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

/// Reads addresses of a command line: each argument may be a list, with commas, or with blanks where nothing else separates.
pub fn command_line_recipients(arguments: &[String], site: &Site) -> Result<Vec<Address>, String> {
    let domain = site.default_domain();
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    for argument in arguments {
        let list =
            addr::parse_list(&addr::old_style_list(argument), &domain).map_err(|e| format!("{argument:?}: {e}"))?;
        found.extend(list.into_iter().map(|mailbox| mailbox.address).filter(|a| seen.insert(a.clone())));
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
