//! Taking responsibility for a message: SMTP, submission, LMTP and emsend all end here.
//!
//! Fast path: every recipient is a plain mailbox, so the message is written once, linked into the mailboxes and made durable. Filters
//! that only file, flag, drop or refuse run on the way; one that may send or edit makes it a message for the queue.
//! Otherwise it goes to the queue. Either way [`Incoming::commit`] returns only when what it promises is on disk.
//! When some of several mailboxes can't be written now, those recipients are queued; the others have their copy.
//! Trust: the text is hostile. Its header is held (to a limit) until it is complete, then checked for size and loops; the body
//! streams through.

use super::fast::Fast;
use super::vouched::Settler;
use super::{Forwarding, old_file, wishes};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::deliver::{Postman, Rule, loops, stamp};
use crate::dot;
use crate::envelope::{Delivery, Envelope, Mailer};
use crate::fsx;
use crate::list;
use crate::lists::Lists;
use crate::log;
use crate::msg::{self, Facts};
use crate::nexthop::{Net, Resolver};
use crate::route::{Admitted, Router, TextChecks};
use crate::spool::{self, Id, Spool};
use crate::status::Failure;
use crate::store::Arrival;
use std::path::PathBuf;
use std::sync::Arc;

/// A header longer than this is worth a worker thread, in octets.
const HEAD_IN_MEMORY: usize = 64 << 10;

/// What every way in needs; shared by all connections of a process.
#[derive(Debug)]
pub struct Gate {
    /// The site.
    pub site: Arc<Site>,
    /// Decides where mail goes.
    pub router: Router,
    /// Delivers into mailboxes.
    pub postman: Postman,
    /// Keeps the rest.
    pub spool: Spool,
    /// Senders of forwarded mail.
    pub forwarding: Forwarding,
    /// Our name.
    pub host: String,
    /// Makes deliveries durable behind the answer; `None` for who has no more to do than one message.
    pub(super) settler: Option<Settler>,
}

impl Gate {
    /// The gate of a site; `emlocal` is the program for system accounts.
    pub fn new(site: Arc<Site>, emlocal: PathBuf) -> Gate {
        let router = Router::new(site.clone());
        Gate {
            postman: Postman::new(site.clone(), router.users().clone(), emlocal),
            router,
            spool: Spool::of(&site),
            host: site.hostname(),
            forwarding: Forwarding::new(site.clone()),
            settler: None,
            site,
        }
    }

    /// The same for a server: a delivery into many mailboxes is promised when the queue vouches for it, and made durable behind the
    /// answer. Dropped, the gate waits for that.
    pub fn vouching(self) -> Gate {
        Gate { settler: Some(Settler::default()), ..self }
    }

    /// The same with names looked up in DNS, and directories asked, where the rules want them.
    pub fn with_network(mut self, resolver: Arc<dyn Resolver>, net: Arc<dyn Net>) -> Gate {
        self.router = self.router.with_network(resolver, net);
        self
    }

    /// Begins to take a message. Its recipients are final.
    pub fn open(&self, request: Request) -> Result<Incoming, Failure> {
        self.open_as(request, None)
    }

    /// Begins to take a message that stays in the queue until somebody releases it, for this reason.
    pub fn open_held(&self, request: Request, reason: String) -> Result<Incoming, Failure> {
        self.open_as(request, Some(reason))
    }

    fn open_as(&self, request: Request, hold: Option<String>) -> Result<Incoming, Failure> {
        let Request { id, envelope, received, completes, is_checked } = request;
        let checks = if is_checked { self.router.text_checks(id.as_str(), &envelope)? } else { None };
        // What its text leads to, the envelope is to say.
        let is_fast = hold.is_none()
            && checks.is_none()
            && envelope.handling.hold.is_none()
            && envelope
                .recipients
                .iter()
                .all(|r| r.delivery.mailer == Mailer::Mailbox && r.delivery.sender.is_empty() && !r.notify.success);
        let rules = if is_fast { self.quick_rules(&envelope)? } else { None };
        let sink = if let Some(rules) = rules {
            let only = match envelope.recipients.as_slice() {
                [only] => Some(only.delivery.user.as_str()),
                _ => None,
            };
            let mut draft = self.spool.plain_draft(&id);
            let stamp = stamp(envelope.sender.as_ref(), only);
            draft.write(stamp.as_bytes()).map_err(|e| Failure::local(&e))?;
            Sink::Fast { draft, skip: stamp.len() as u64, wire_size: dot::crlf_size(stamp.as_bytes()), rules }
        } else {
            Sink::Waiting(self.spool.clone())
        };
        let settings = &self.site.settings.smtp;
        let is_for_lists = envelope.recipients.iter().any(|r| r.delivery.mailer == Mailer::List);
        Ok(Incoming {
            id,
            envelope,
            received,
            completes,
            sink,
            head: Some(Vec::new()),
            searched: 0,
            size: 0,
            size_limit: settings.message_size.0,
            header_limit: settings.header_size.0 as usize,
            checks,
            hop_limit: settings.hops,
            checks_quotas: false,
            reads_priority: settings.priorities,
            reads_receipts: old_file::reads_receipts(&self.site),
            trusts_priority: false,
            host: self.host.clone(),
            message_id: None,
            hold,
            lists: self.router.lists().clone(),
            is_for_lists,
            outside: completes.then(|| self.router.clone()),
            site: self.site.clone(),
        })
    }
}

impl Gate {
    /// Each recipient's filter; `None` when one of them may have to send or edit something.
    fn quick_rules(&self, envelope: &Envelope) -> Result<Option<Vec<Option<Rule>>>, Failure> {
        let mut rules = Vec::with_capacity(envelope.recipients.len());
        for recipient in &envelope.recipients {
            let rule = self.postman.rule(&recipient.delivery, envelope.arrived)?;
            if rule.as_ref().is_some_and(|rule| !rule.is_quick()) {
                return Ok(None);
            }
            rules.push(rule);
        }
        Ok(Some(rules))
    }
}

/// What is known before the text comes.
#[derive(Debug)]
pub struct Request {
    /// The new message's id.
    pub id: Id,
    /// Sender and recipients.
    pub envelope: Envelope,
    /// Our Received field, with its line end; empty for none.
    pub received: String,
    /// Add Date and Message-ID where they are missing (RFC 6409 §8).
    pub completes: bool,
    /// The rules of em.cf see its text: it comes from outside, or from a user.
    pub is_checked: bool,
}

#[derive(Debug)]
enum Sink {
    Fast {
        draft: fsx::Draft,
        skip: u64,
        wire_size: u64,
        /// The recipients' filters, as they were when the message began to come in.
        rules: Vec<Option<Rule>>,
    },
    /// For the queue, once the header has said what the envelope is to hold too.
    Waiting(Spool),
    Queue(spool::Draft),
}

/// A message on its way in; dropped, it leaves nothing.
#[derive(Debug)]
pub struct Incoming {
    id: Id,
    envelope: Envelope,
    received: String,
    completes: bool,
    sink: Sink,
    /// The header until it is complete.
    head: Option<Vec<u8>>,
    searched: usize,
    size: u64,
    size_limit: u64,
    header_limit: usize,
    /// The rules that are to see the text.
    checks: Option<TextChecks>,
    hop_limit: u32,
    checks_quotas: bool,
    reads_priority: bool,
    reads_receipts: bool,
    trusts_priority: bool,
    host: String,
    message_id: Option<String>,
    hold: Option<String>,
    lists: Lists,
    is_for_lists: bool,
    /// Rewrites the senders in the header of what is submitted here.
    outside: Option<Router>,
    site: Arc<Site>,
}

impl Incoming {
    /// The message's id.
    pub fn id(&self) -> &Id {
        &self.id
    }

    /// Refuses mailboxes whose quota the message would exceed. For the network's mail: the size said there may be too small or
    /// missing. What this host itself has to say is delivered in any case.
    pub fn checking_quotas(self) -> Incoming {
        Incoming { checks_quotas: true, ..self }
    }

    /// Lets the header lift the message above others (RFC 6758): for senders who may.
    pub fn trusting_priority(self, is_trusted: bool) -> Incoming {
        Incoming { trusts_priority: is_trusted, ..self }
    }

    /// True when taking this many more octets will touch the disk.
    pub fn would_block(&self, more: usize) -> bool {
        let held = self.head.as_ref().map_or(0, Vec::len);
        // When its header is complete, the members of a list are read, and rules may ask what takes its time.
        if self.head.is_some() && (self.is_for_lists || self.checks.is_some()) {
            return true;
        }
        match &self.sink {
            Sink::Fast { draft, .. } => draft.would_flush(more + held),
            Sink::Waiting(_) => more + held > HEAD_IN_MEMORY,
            Sink::Queue(draft) => draft.would_flush(more + held),
        }
    }

    /// Takes a piece of the text (LF line ends). After an error the message is lost to us; say so at its end.
    pub fn chunk(&mut self, text: &[u8], now: Timestamp) -> Result<(), Failure> {
        self.size += text.len() as u64;
        if self.size > self.size_limit {
            return Err(old_file::message_too_large(&self.site, self.size_limit));
        }
        let Some(head) = &mut self.head else { return self.write(text) };
        head.extend_from_slice(text);
        let from = self.searched.saturating_sub(2);
        let is_headless = head.contains(&b'\n') && !head.starts_with(b"\n") && !starts_like_header(head);
        if is_headless || head.starts_with(b"\n") || memchr::memmem::find(&head[from..], b"\n\n").is_some() {
            return self.header_done(now);
        }
        self.searched = head.len();
        if head.len() > self.header_limit {
            return Err(old_file::header_too_large(&self.site, self.header_limit as u64));
        }
        Ok(())
    }

    /// Checks and completes the header and writes it, with what has come behind it.
    fn header_done(&mut self, now: Timestamp) -> Result<(), Failure> {
        let text = self.head.take().unwrap_or_default();
        let end = match msg::header_end(&text) {
            _ if !starts_like_header(&text) => 0,
            Some(end) => end,
            None => text.len(),
        };
        let header = &text[..end];
        if header.len() > self.header_limit {
            return Err(old_file::header_too_large(&self.site, self.header_limit as u64));
        }
        let facts = Facts::of(header);
        if facts.hops > self.hop_limit {
            return Err(Failure::permanent((4, 6), "Too many hops: mail loop", facts.hops).with_code(554));
        }
        if let Some(failure) = list::refusal(&self.lists, &self.envelope, header) {
            return Err(failure);
        }
        if let Sink::Fast { .. } = self.sink
            && let Some(own) = self.envelope.recipients.iter().find(|r| loops(header, &r.delivery.user))
        {
            let cause = format!("Delivered-To: {}", own.delivery.user);
            return Err(Failure::permanent((4, 6), "Mail forwarding loop", cause).with_code(554));
        }
        let admitted = self.checks.as_mut().map(|checks| checks.header(header)).transpose()?;
        self.admit(admitted.unwrap_or(Admitted::Yes));
        wishes::add_header(&mut self.envelope.handling, &facts, self.reads_priority, self.trusts_priority);
        if self.reads_receipts && msg::find(header, "Return-Receipt-To").is_some() {
            let usual = self.envelope.recipients.iter_mut().filter(|recipient| recipient.notify.is_default());
            usual.for_each(|recipient| recipient.notify.success = true);
        }
        if let Sink::Waiting(spool) = &self.sink {
            let draft = spool.draft(self.id.clone(), &self.envelope).map_err(|e| Failure::local(&e))?;
            self.sink = Sink::Queue(draft);
        }
        let mut top = std::mem::take(&mut self.received);
        self.message_id = facts.message_id.clone();
        if self.completes {
            if facts.message_id.is_none() {
                let made = format!("<{}@{}>", self.id, self.host);
                top.push_str(&format!("Message-ID: {made}\n"));
                self.message_id = Some(made);
            }
            if !facts.has_date {
                top.push_str(&format!("Date: {}\n", now.rfc5322()));
            }
            if !facts.has_from
                && let Some(sender) = &self.envelope.sender
            {
                top.push_str(&format!("From: <{sender}>\n"));
            }
        }
        self.write(top.as_bytes())?;
        let (text, end) = match self.outside.as_ref().map(|router| router.outside_header(&text[..end])).transpose()? {
            Some(Some(mut header)) => {
                let end_now = header.len();
                header.extend_from_slice(&text[end..]);
                (header, end_now)
            }
            _ => (text, end),
        };
        let text = match self.completes.then(|| without_bcc(&text, end)).flatten() {
            Some(shorter) => shorter,
            None => text,
        };
        // A text without a header gets the empty line that keeps its first line from being read as one.
        if end == 0 && !text.starts_with(b"\n") && !text.is_empty() {
            self.write(b"\n")?;
        }
        self.write(&text)
    }

    /// Does what the rules say of the message. Its text is on its way to the queue, and its envelope not written yet.
    fn admit(&mut self, admitted: Admitted) {
        match admitted {
            Admitted::Yes => {}
            Admitted::Quarantine(reason) => drop(self.hold.get_or_insert(reason)),
            Admitted::Discard => {
                self.hold = None;
                log::event("discarded")
                    .id(&self.id)
                    .maybe("ip", self.envelope.source.ip)
                    .field("reason", "em.cf")
                    .write();
                for recipient in &mut self.envelope.recipients {
                    recipient.delivery = Delivery::new(Mailer::Discard, "");
                }
            }
        }
    }

    fn write(&mut self, text: &[u8]) -> Result<(), Failure> {
        let written = match &mut self.sink {
            Sink::Fast { draft, wire_size, .. } => {
                // LF text: each line end grows by one octet on the wire.
                *wire_size += text.len() as u64 + memchr::memchr_iter(b'\n', text).count() as u64;
                draft.write(text)
            }
            Sink::Queue(draft) => draft.write(text),
            Sink::Waiting(_) => Err(std::io::Error::other("text before the header's end")),
        };
        written.map_err(|e| Failure::local(&e))
    }

    /// Makes the message durable. One result for each recipient of the envelope, in order; `Ok` is a promise.
    pub fn commit(mut self, gate: &Gate, now: Timestamp) -> Vec<Result<(), Failure>> {
        if self.head.is_some()
            && let Err(failure) = self.header_done(now)
        {
            return self.all(failure);
        }
        match self.checks.as_mut().map(|checks| checks.end(self.size)).transpose() {
            Ok(None | Some(Admitted::Yes)) => {}
            Ok(Some(Admitted::Quarantine(reason))) => drop(self.hold.get_or_insert(reason)),
            // Nobody has been promised anything yet.
            Ok(Some(Admitted::Discard)) => {
                log::event("discarded")
                    .id(&self.id)
                    .maybe("ip", self.envelope.source.ip)
                    .field("reason", "em.cf")
                    .write();
                return self.envelope.recipients.iter().map(|_| Ok(())).collect();
            }
            Err(failure) => {
                log::event("rejected")
                    .id(&self.id)
                    .maybe("ip", self.envelope.source.ip)
                    .field("reason", &failure)
                    .write();
                return self.all(failure);
            }
        }
        let Incoming { id, envelope, sink, size, message_id, checks_quotas, hold, .. } = self;
        let mut story = Vec::new();
        log::event("accepted")
            .id(&id)
            .field("from", crate::addr::print_path(envelope.sender.as_ref()))
            .field("size", size)
            .field("nrcpt", envelope.recipients.len())
            .field("with", &envelope.source.protocol)
            .maybe("ip", envelope.source.ip)
            .maybe("user", envelope.source.user.as_ref())
            .maybe("msgid", message_id.as_ref())
            .maybe("priority", envelope.handling.priority)
            .maybe("by", envelope.handling.by.map(|by| format!("{};{}", by.at.rfc3339(), by.letters())))
            .maybe("hold", envelope.handling.hold.as_ref().map(|hold| hold.until.rfc3339()))
            .maybe("tls", envelope.handling.tls.word())
            .push(&mut story);
        let results = match sink {
            // The header was done above, and made a draft of it.
            Sink::Waiting(_) => {
                let failure = Failure::local(&std::io::Error::other("no draft"));
                envelope.recipients.iter().map(|_| Err(failure.clone())).collect()
            }
            Sink::Queue(draft) => match publish(gate, draft, hold.is_some(), now) {
                Ok(_) => {
                    if let Some(reason) = &hold {
                        log::event("quarantined").id(&id).field("reason", reason).push(&mut story);
                    }
                    for recipient in &envelope.recipients {
                        log::event("queued")
                            .id(&id)
                            .field("to", &recipient.original)
                            .field("mailer", recipient.delivery.mailer.name())
                            .field("user", &recipient.delivery.user)
                            .push(&mut story);
                    }
                    gate.spool.announce(&id, &envelope);
                    envelope.recipients.iter().map(|_| Ok(())).collect()
                }
                Err(e) => {
                    let failure = Failure::local(&e);
                    envelope.recipients.iter().map(|_| Err(failure.clone())).collect()
                }
            },
            Sink::Fast { draft, skip, wire_size, rules } => {
                let size = draft.size();
                let arrival = Arrival { draft, size, wire_size };
                let fast = Fast { gate, id: &id, envelope: &envelope, skip, checks_quotas, rules: &rules };
                fast.deliver(arrival, now, &mut story)
            }
        };
        for (recipient, result) in envelope.recipients.iter().zip(&results) {
            if let Err(failure) = result {
                log::event("refused")
                    .id(&id)
                    .field("to", &recipient.original)
                    .field("reason", failure)
                    .error()
                    .push(&mut story);
            }
        }
        log::write_all(story);
        results
    }

    fn all(&self, failure: Failure) -> Vec<Result<(), Failure>> {
        self.envelope.recipients.iter().map(|_| Err(failure.clone())).collect()
    }
}

fn publish(gate: &Gate, draft: spool::Draft, hold: bool, now: Timestamp) -> std::io::Result<Id> {
    if hold { gate.spool.publish_held(draft, now) } else { gate.spool.publish(draft) }
}

/// True when the text begins as a header does (a mbox `From ` line is no field, but common in old archives' pipes).
fn starts_like_header(text: &[u8]) -> bool {
    let line = &text[..memchr::memchr(b'\n', text).unwrap_or(text.len())];
    msg::is_field_start(line)
}

/// The message without its Bcc fields, when it has any: only their readers may know of them (RFC 5322 §3.6.3). `end` is the end of
/// the header.
fn without_bcc(text: &[u8], end: usize) -> Option<Vec<u8>> {
    let is_bcc = |field: &msg::Field<'_>| field.is("bcc") || field.is("resent-bcc");
    msg::fields(&text[..end]).find(is_bcc)?;
    let mut kept = Vec::with_capacity(text.len());
    let mut read = 0;
    for field in msg::fields(&text[..end]) {
        read += field.raw.len();
        if !is_bcc(&field) {
            kept.extend_from_slice(field.raw);
        }
    }
    kept.extend_from_slice(&text[read..]);
    Some(kept)
}
