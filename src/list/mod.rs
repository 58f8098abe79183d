//! Mailing lists at work: posts go to the members, commands are obeyed, questions answered.
//!
//! Called by `queue` for each message to an address of a list, by `serve` when a header has come by SMTP ([`refusal`]), and by `emlist`
//! for what moderators decide from the shell.
//!
//! | to | what happens |
//! |---|---|
//! | `NAME@` | [`admission`] judges; the post goes out ([`distribute`]), waits ([`moderation`]), is refused, or dropped |
//! | `NAME-control@` and the like | [`commands`] |
//! | `NAME-confirm+TOKEN@` | the question behind the token is answered ([`membership`], [`moderation`]) |
//! | `NAME-bounces@` | reports count against members ([`returned`]); the rest is shown to the owners |
//!
//! A message is done with when this returns; it then goes from the queue. What can't be done now is tried again, and goes on where it
//! ended: each step is noted before the next one, or changes nothing when it is done twice.
//! Trust: everything in a message is the network's. Nothing here answers what a program wrote (RFC 3834).

mod admission;
mod commands;
mod content;
mod copy;
pub mod digest;
mod distribute;
mod dmarc;
mod footer;
mod get;
pub mod import;
mod inbound;
mod letter;
mod membership;
mod moderation;
mod replies;
pub mod retrieve;
mod returned;
mod subject;

pub use copy::list_fields;
pub use inbound::Inbound;
pub use moderation::Decided;
pub use returned::Returned;

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Envelope, Mailer};
use crate::lists::settings::{Language, Refused};
use crate::lists::{List, ListError, ListName, Lists, Role, readings};
use crate::log;
use crate::nexthop::Resolver;
use crate::serve::Gate;
use crate::spool::Id;
use crate::status::Failure;
use admission::Verdict;
use commands::{Command, Order};
use letter::Letter;
use std::io::Read;

/// What a list works with.
pub struct Desk<'a> {
    /// The way for everything that it sends.
    pub gate: &'a Gate,
    /// Knows the policies of authors' domains.
    pub resolver: &'a dyn Resolver,
    /// The present.
    pub now: Timestamp,
}

impl Desk<'_> {
    /// Takes a queued message to an address of a list. The text says how it went, for the journal.
    pub fn receive(
        &self,
        to: &Address,
        source: &Id,
        sender: Option<&Address>,
        text: &mut dyn Read,
    ) -> Result<String, Failure> {
        let lists = self.gate.router.lists();
        let Some((name, role)) = lists.role_of(to) else {
            return Err(Failure::permanent((1, 1), format!("<{to}>: there is no such list any more"), "list is gone"));
        };
        let list = open(lists, &name)?;
        let mut bytes = Vec::new();
        text.read_to_end(&mut bytes).map_err(|e| Failure::local(&e))?;
        let post = Inbound::read(&bytes, sender);
        match role {
            Role::Post => self.post(&list, source, &post),
            Role::Control => self.commands(&list, &post),
            Role::Help => self.obey(&list, one("help", Command::Help), &post),
            Role::Subscribe => {
                let name = post.author.as_ref().map(|author| crate::msg::words::decode_text(author.name.as_bytes()));
                let name = name.filter(|name| !name.contains('@')).unwrap_or_default();
                self.obey(&list, one("subscribe", Command::Subscribe(name)), &post)
            }
            Role::Unsubscribe => self.obey(&list, one("unsubscribe", Command::Unsubscribe), &post),
            Role::Confirm(token) => self.confirmed(&list, &token, &post),
            Role::Bounces(member) => match self.count_bounce(&list, member.as_ref(), post.text)? {
                Returned::Counted(words) => Ok(words),
                Returned::Unknown => self.to_owners(&list, &post),
            },
            Role::Owner => self.to_owners(&list, &post),
        }
    }

    fn post(&self, list: &List, source: &Id, post: &Inbound<'_>) -> Result<String, Failure> {
        let members = list.members().map_err(|e| Failure::local(&e))?;
        match admission::judge(&list.name, &list.settings, &members, post) {
            Verdict::Pass => self.distribute(list, source.as_str(), post),
            Verdict::Drop(why) => {
                log::event("list-dropped").id(source).field("list", &list.name).field("reason", why).write();
                Ok(format!("dropped: {why}"))
            }
            Verdict::Not(Refused::Hold, reason) => self.hold(list, source, post, reason),
            Verdict::Not(Refused::Reject, reason) => {
                self.refuse(list, post, reason.words(list.settings.language))?;
                Ok(format!("refused: {}", reason.words(Language::English)))
            }
            Verdict::Not(Refused::Discard, reason) => {
                let reason = reason.words(Language::English);
                log::event("list-dropped").id(source).field("list", &list.name).field("reason", reason).write();
                Ok(format!("dropped: {reason}"))
            }
        }
    }

    /// A mail to a question's own address: any will do, as long as a person wrote it.
    fn confirmed(&self, list: &List, token: &str, post: &Inbound<'_>) -> Result<String, Failure> {
        if let Some(why) = post.unanswerable() {
            log::event("list-unanswered").field("list", &list.name).field("reason", why).write();
            return Ok(format!("not taken for an answer: {why}"));
        }
        let order = Order { line: format!("confirm {token}"), command: Command::Confirm(token.to_string()) };
        self.obey(list, vec![order], post)
    }

    /// What comes back goes to the owners, with the null reverse path.
    fn to_owners(&self, list: &List, post: &Inbound<'_>) -> Result<String, Failure> {
        for owner in &list.settings.owners {
            let subject = format!("{}: {}", list.name.name(), post.subject);
            let body = format!("This came back to {}.\n", list.name.role("bounces"));
            let text = crate::lists::texts::Filled { subject, body };
            let from = list.name.role("owner");
            self.send(list, &Letter { from, to: owner, text, answers: None, attached: Some(post.text) })?;
        }
        Ok("shown to the owners".to_string())
    }
}

fn one(line: &str, command: Command) -> Vec<Order> {
    vec![Order { line: line.to_string(), command }]
}

/// Opens a list for the mail that came for it. A mistake in its settings keeps the mail waiting.
fn open(lists: &Lists, name: &ListName) -> Result<List, Failure> {
    lists.open(name).map_err(|error| match error {
        ListError::Io(e) => Failure::local(&e),
        other => Failure::temporary((3, 5), "Local configuration error, try again later", other),
    })
}

/// Why a message is refused while its sender still listens: all its recipients are lists, and none of them would take it.
///
/// Where it can't be told, nothing is refused; the list then answers by mail.
pub fn refusal(lists: &Lists, envelope: &Envelope, header: &[u8]) -> Option<Failure> {
    let mut refused = None;
    for recipient in &envelope.recipients {
        if recipient.delivery.mailer != Mailer::List {
            return None;
        }
        let address = Address::parse(&recipient.delivery.user).ok()?;
        let (name, role) = readings(&address).into_iter().find(|(name, _)| lists.has(name))?;
        let list = lists.open(&name).ok().filter(|_| role == Role::Post)?;
        let members = list.members().ok()?;
        let post = Inbound::read(header, envelope.sender.as_ref());
        refused = match admission::judge_header(&name, &list.settings, &members, &post) {
            Verdict::Not(Refused::Reject, reason) => {
                let text = format!("<{name}>: {}", reason.words(Language::English));
                Some(Failure::permanent((7, 1), text, "the list does not take it"))
            }
            Verdict::Drop(why) => {
                Some(Failure::permanent((7, 1), format!("<{name}>: {why}"), "the list does not take it"))
            }
            _ => return None,
        };
    }
    refused
}

#[cfg(test)]
mod tests;
