//! Posts that do not pass: held for a moderator, or sent back.
//!
//! Each decision has a token of its own: who has the mail, decides by answering to the address for it.
//! Trust: a post is shown to the moderators as it came, attached; what stands in the letter has no control characters.

use super::Desk;
use super::admission::Reason;
use super::inbound::Inbound;
use super::letter::Letter;
use super::replies;
use crate::lists::List;
use crate::lists::answers::Answer;
use crate::lists::held::Held;
use crate::lists::pending::{Action, Question};
use crate::lists::texts::Text;
use crate::log;
use crate::spool::Id;
use crate::status::Failure;

/// What a moderator's word came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decided {
    /// It is done; how it went.
    Done(String),
    /// The post is not there any more: somebody else has decided.
    Gone,
}

impl Desk<'_> {
    /// Holds a post and asks the moderators.
    pub(super) fn hold(&self, list: &List, id: &Id, post: &Inbound<'_>, reason: Reason) -> Result<String, Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        let words = reason.words(list.settings.language);
        let author = post.author.as_ref().map(|author| author.address.clone());
        let held = Held {
            sender: post.sender.cloned(),
            author: author.clone(),
            reason: words.to_string(),
            subject: post.subject.clone(),
            at: self.now,
        };
        let deciders = list.settings.deciders();
        let mut tokens = Vec::new();
        let tells_author = {
            let lock = list.lock().map_err(local)?;
            list.hold(&lock, id, &held, post.text).map_err(local)?;
            let address = author.clone().unwrap_or_else(|| list.name.role("owner"));
            if !deciders.is_empty() {
                for action in [Action::Pass, Action::Reject, Action::Drop] {
                    let question = Question {
                        action,
                        address: address.clone(),
                        name: String::new(),
                        held: Some(id.clone()),
                        made: self.now,
                    };
                    tokens.push((action, list.ask(&lock, &question).map_err(local)?));
                }
            }
            match &author {
                Some(author) if post.unanswerable().is_none() => {
                    list.may_answer(&lock, author, Answer::Post, self.now).map_err(local)?
                }
                _ => false,
            }
        };
        log::event("list-held").id(id).field("list", &list.name).field("reason", words).write();
        let shown = author.as_ref().map_or(String::new(), |author| author.to_string());
        let words = [("address", shown.as_str()), ("subject", &post.subject), ("reason", words)];
        for decider in deciders {
            let mut text = list.text(Text::Moderate, &words).map_err(local)?;
            text.body.push_str(&replies::choices(list, &tokens));
            let from = list.name.role("owner");
            self.send(list, &Letter { from, to: decider, text, answers: None, attached: Some(post.text) })?;
        }
        if let Some(author) = author.filter(|_| tells_author) {
            let text = list.text(Text::Held, &words).map_err(local)?;
            let from = list.name.role("owner");
            self.send(list, &Letter { from, to: &author, text, answers: Some(post), attached: None })?;
        }
        Ok(format!("held as {id}"))
    }

    /// Tells the author, once a week, that a post was refused.
    pub(super) fn refuse(&self, list: &List, post: &Inbound<'_>, reason: &str) -> Result<(), Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        log::event("list-refused").field("list", &list.name).field("reason", reason).write();
        let Some(author) = post.author.as_ref().filter(|_| post.unanswerable().is_none()) else { return Ok(()) };
        let may = {
            let lock = list.lock().map_err(local)?;
            list.may_answer(&lock, &author.address, Answer::Post, self.now).map_err(local)?
        };
        if !may {
            return Ok(());
        }
        let address = author.address.to_string();
        let words = [("address", address.as_str()), ("subject", &post.subject), ("reason", reason)];
        let text = list.text(Text::Refused, &words).map_err(local)?;
        let from = list.name.role("owner");
        self.send(list, &Letter { from, to: &author.address, text, answers: Some(post), attached: Some(post.text) })
    }

    /// Does what a moderator decided: [`Action::Pass`], [`Action::Reject`], [`Action::Drop`].
    pub fn decide(&self, list: &List, id: &Id, action: Action) -> Result<Decided, Failure> {
        let local = |e: std::io::Error| Failure::local(&e);
        let Some((held, text)) = list.held(id).map_err(local)? else { return Ok(Decided::Gone) };
        let post = Inbound::read(&text, held.sender.as_ref());
        let done = match action {
            Action::Pass => self.distribute(list, id.as_str(), &post)?,
            Action::Reject => {
                self.refuse(list, &post, &held.reason)?;
                "rejected".to_string()
            }
            _ => "dropped".to_string(),
        };
        let lock = list.lock().map_err(local)?;
        list.let_go(&lock, id, self.now).map_err(local)?;
        log::event("list-decided").id(id).field("list", &list.name).field("action", action.word()).write();
        Ok(Decided::Done(done))
    }
}
