//! A post that may pass: its number, its copies, its way to the members.
//!
//! Order, under the list's lock: the number is taken (`begin`), the post goes into the archive, the copies for other hosts are queued as one
//! message (`queued`), the copies for mailboxes here are delivered as one message, and that is noted (`done`). Cut short anywhere, the
//! post is tried again from its place in the queue and goes on behind the last note.
//! RFC 5321 §3.9.2: the copies have the list's own reverse path. RFC 3461 §5.2.7.1: members are not told of what the author asked.

use super::Desk;
use super::copy::{self, Plan};
use super::dmarc;
use super::inbound::Inbound;
use crate::addr::{self, Address};
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Envelope, Handling, Mailer, Notify, Recipient};
use crate::lists::List;
use crate::lists::archive::Archive;
use crate::lists::members::{Member, Members, State};
use crate::lists::settings::Rewrite;
use crate::lists::texts::Text;
use crate::log;
use crate::msg;
use crate::serve::Request;
use crate::spool::Id;
use crate::status::Failure;
use std::collections::HashSet;

/// Whom the copies are for, by the way they go.
#[derive(Debug, Default)]
struct Readers {
    /// Plain mailboxes of this host.
    here: Vec<Recipient>,
    /// All others.
    away: Vec<Recipient>,
}

impl Desk<'_> {
    /// Sends a post to the members. `source` tells it from every other one, also when it is tried again.
    pub(super) fn distribute(&self, list: &List, source: &str, post: &Inbound<'_>) -> Result<String, Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        let members = list.members().map_err(local)?;
        // Tables and the DNS may take their time: they are asked before the lock is taken.
        let readers = self.readers(list, &members, post)?;
        let rewrites_from = self.rewrites_from(list, post);
        let footer = list.text(Text::Footer, &[]).map_err(local)?.body;
        let lock = list.lock().map_err(local)?;
        let mut posts = list.posts(&lock).map_err(local)?;
        let forget_before = Timestamp(
            self.now.0.saturating_sub(i64::try_from(list.settings.duplicates.as_micros()).unwrap_or(i64::MAX)),
        );
        let (number, queue, is_queued) = match posts.of_source(source) {
            Some(done) if done.is_done => return Ok(format!("post {} went out before", done.number)),
            Some(open) => (open.number, open.queue.clone(), open.is_queued),
            None => {
                if let Some(first) = posts.with_message_id(&post.message_id, forget_before) {
                    log::event("list-duplicate").field("list", &list.name).field("msgid", &post.message_id).write();
                    return Ok(format!("dropped: the same message was post {}", first.number));
                }
                let queue = Id::new(self.now);
                // Behind an import that was cut short before it had said which numbers it gave.
                let kept = if list.settings.archive { Archive::of(list).last_number().map_err(local)? } else { 0 };
                if kept > posts.last() {
                    posts.set_last(kept).map_err(local)?;
                }
                let number = posts.begin(source, &queue, &post.message_id, self.now).map_err(local)?;
                (number, queue, false)
            }
        };
        let boundary = format!("=em-{queue}=");
        let plan = Plan {
            name: &list.name,
            settings: &list.settings,
            number,
            footer: &footer,
            rewrites_from,
            boundary: &boundary,
        };
        let text = copy::make(post, &plan);
        let (here, away) = (readers.here.len(), readers.away.len());
        if list.settings.archive {
            archive(list, number, &text, self.now)?;
        }
        if !is_queued {
            // It may be there and only its note is missing.
            if !self.gate.spool.is_queued(&queue) {
                self.take(list, queue.clone(), readers.away, &text)?;
            }
            posts.queued(number).map_err(local)?;
        }
        self.take(list, Id::new(self.now), readers.here, &text)?;
        posts.done(number, forget_before).map_err(local)?;
        log::event("posted")
            .id(&queue)
            .field("list", &list.name)
            .field("number", number)
            .maybe("from", post.author.as_ref().map(|author| &author.address))
            .field("nrcpt", here + away)
            .field("msgid", &post.message_id)
            .write();
        drop(lock);
        // Enough posts may wait for a digest now. It is sent again with the next one when that does not work.
        if let Err(failure) = self.send_digest(list, false) {
            log::event("digest-failed").field("list", &list.name).field("reason", failure).error().write();
        }
        Ok(format!("post {number} to {} members", here + away))
    }

    /// Takes responsibility for one message to these; nothing for nobody.
    pub(super) fn take(&self, list: &List, id: Id, recipients: Vec<Recipient>, text: &[u8]) -> Result<(), Failure> {
        if recipients.is_empty() {
            return Ok(());
        }
        let envelope = Envelope {
            eight_bit: !text.is_ascii(),
            smtputf8: recipients.iter().any(|recipient| recipient.original.is_utf8()),
            // Behind letters to persons (RFC 6710 §5).
            handling: Handling { priority: "-1".parse().ok(), ..Handling::default() },
            ..Envelope::local(Some(list.name.role("bounces")), self.now, recipients)
        };
        let request = Request { id, envelope, received: String::new(), completes: false, is_checked: false };
        let mut incoming = self.gate.open(request)?;
        incoming.chunk(text, self.now)?;
        incoming.commit(self.gate, self.now).into_iter().collect::<Result<Vec<()>, Failure>>().map(|_| ())
    }

    /// Who gets a copy, and how.
    fn readers(&self, list: &List, members: &Members, post: &Inbound<'_>) -> Result<Readers, Failure> {
        let author = post.author.as_ref().map(|author| author.address.to_key());
        let named = named(post);
        let mut readers = Readers::default();
        let mut seen: HashSet<Delivery> = HashSet::new();
        for member in members.in_state(State::On) {
            let key = member.address.to_key();
            let is_spared = (member.has_option("notmetoo") && author.as_ref() == Some(&key))
                || (member.has_option("nodupes") && named.contains(&key));
            if is_spared {
                continue;
            }
            for mut delivery in self.ways(list, member)? {
                if list.settings.verp
                    && matches!(delivery.mailer, Mailer::Smtp | Mailer::Lmtp)
                    && delivery.sender.is_empty()
                    && let Some(sender) = list.name.verp(&member.address)
                {
                    delivery.sender = sender.to_string();
                }
                if !seen.insert(delivery.clone()) {
                    continue;
                }
                let is_here = delivery.mailer == Mailer::Mailbox && delivery.sender.is_empty();
                let notify = Notify { failure: true, ..Notify::NEVER };
                let recipient = Recipient { original: member.address.clone(), orcpt: None, notify, delivery };
                if is_here { readers.here.push(recipient) } else { readers.away.push(recipient) }
            }
        }
        Ok(readers)
    }

    /// The deliveries of a member. What leads back to the list leads nowhere; what leads nowhere comes back as a report.
    pub(super) fn ways(&self, list: &List, member: &Member) -> Result<Vec<Delivery>, Failure> {
        match self.gate.router.resolve(&member.address) {
            Ok(mut deliveries) => {
                let own = list.name.to_string();
                let before = deliveries.len();
                deliveries.retain(|delivery| !(delivery.mailer == Mailer::List && delivery.host == own));
                if deliveries.len() < before {
                    let event = log::event("list-member-loops").field("list", &list.name);
                    event.field("member", &member.address).error().write();
                }
                Ok(deliveries)
            }
            Err(failure) if failure.is_temporary() => Err(failure),
            Err(failure) => Ok(vec![Delivery::new(Mailer::Error, format!("{} {}", failure.enhanced, failure.public))]),
        }
    }

    fn rewrites_from(&self, list: &List, post: &Inbound<'_>) -> bool {
        let Some(author) = &post.author else { return false };
        match list.settings.from {
            Rewrite::Never => false,
            Rewrite::Always => true,
            // Our own domains sign what leaves here.
            Rewrite::Policy if author.address.domain() == list.name.domain() => false,
            Rewrite::Policy => dmarc::is_strict(author.address.domain(), self.resolver),
        }
    }
}

/// Keeps a post. The first text under a number counts: when settings were changed between two tries, the second one is another.
fn archive(list: &List, number: u64, text: &[u8], now: Timestamp) -> Result<(), Failure> {
    match Archive::of(list).append(number, text, now) {
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let event = log::event("list-archive-differs").field("list", &list.name);
            event.field("number", number).error().write();
            Ok(())
        }
        other => other.map_err(|e| Failure::local(&e)),
    }
}

/// The addresses in To and Cc, in lower case.
fn named(post: &Inbound<'_>) -> HashSet<Address> {
    let fields = msg::fields(post.header).filter(|field| field.is("to") || field.is("cc"));
    let lists = fields.filter_map(|field| addr::parse_list(&field.value(), "").ok());
    lists.flatten().map(|mailbox| mailbox.address.to_key()).collect()
}
