//! Coming and going by mail.
//!
//! Who asks is who stands in From, which anybody can write. So a question goes to the address that is to change, and only its answer
//! changes it, unless the list's owners want it otherwise; one such question a day goes to an address, so that nobody can be buried.

use super::Desk;
use super::inbound::Inbound;
use super::letter::Letter;
use super::replies::{self, Reply};
use crate::addr::Address;
use crate::envelope::Mailer;
use crate::lists::List;
use crate::lists::answers::Answer;
use crate::lists::members::Member;
use crate::lists::pending::{Action, Question};
use crate::lists::settings::{Subscription, Unsubscription};
use crate::lists::texts::Text;
use crate::log;
use crate::status::Failure;
use std::io;

/// Longest name of a member, in characters.
const NAME_LIMIT: usize = 100;

impl Desk<'_> {
    /// `# subscribe NAME`, from this address.
    pub(super) fn subscribe(
        &self,
        list: &List,
        address: &Address,
        name: &str,
        post: &Inbound<'_>,
    ) -> Result<Reply, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let settings = &list.settings;
        let policy = settings.subscription;
        if policy == Subscription::Closed {
            return Ok(Reply::Closed);
        }
        if list.members().map_err(local)?.find(address).is_some() {
            return Ok(Reply::IsMember);
        }
        if !is_in_domains(address.domain(), &settings.subscription_domains) {
            return Ok(Reply::WrongDomain);
        }
        if self.is_lists(address)? {
            return Ok(Reply::NotAPerson);
        }
        let name: String = name.chars().filter(|c| !c.is_control()).take(NAME_LIMIT).collect();
        match policy {
            Subscription::Open => {
                self.admit(list, address, &name)?;
                Ok(Reply::Done)
            }
            _ => self.question(list, Action::Subscribe, address, &name, post),
        }
    }

    /// `# unsubscribe`, from this address.
    pub(super) fn unsubscribe(&self, list: &List, address: &Address, post: &Inbound<'_>) -> Result<Reply, Failure> {
        let policy = list.settings.unsubscription;
        if policy == Unsubscription::Closed {
            return Ok(Reply::Closed);
        }
        if list.members().map_err(|e| Failure::local(&e))?.find(address).is_none() {
            return Ok(Reply::NotMember);
        }
        match policy {
            Unsubscription::Open => {
                self.dismiss(list, address)?;
                Ok(Reply::Done)
            }
            _ => self.question(list, Action::Unsubscribe, address, "", post),
        }
    }

    /// An answer with a token.
    pub(super) fn confirm(&self, list: &List, token: &str) -> Result<Reply, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let Some(question) = list.question(token, self.now).map_err(local)? else { return Ok(Reply::NoQuestion) };
        let address = &question.address;
        let reply = match (question.action, &question.held) {
            (Action::Subscribe, _) if list.settings.subscription == Subscription::Approve => {
                self.ask_owners(list, address, &question.name)?;
                Reply::WaitsForOwner
            }
            (Action::Subscribe | Action::Admit, _) => {
                self.admit(list, address, &question.name)?;
                Reply::Done
            }
            (Action::Unsubscribe, _) => {
                self.dismiss(list, address)?;
                Reply::Done
            }
            (Action::Refuse, _) => {
                let text = list.text(Text::Declined, &[("address", &address.to_string())]).map_err(local)?;
                let from = list.name.role("owner");
                self.send(list, &Letter { from, to: address, text, answers: None, attached: None })?;
                Reply::Done
            }
            (action @ (Action::Pass | Action::Reject | Action::Drop), Some(held)) => {
                match self.decide(list, held, action)? {
                    super::Decided::Done(_) => Reply::Done,
                    super::Decided::Gone => Reply::NoQuestion,
                }
            }
            (_, None) => Reply::NoQuestion,
        };
        let lock = list.lock().map_err(local)?;
        list.answered(&lock, token).map_err(local)?;
        // One owner has decided: the other word of the pair is void.
        if matches!(question.action, Action::Admit | Action::Refuse) {
            for (other, asked) in list.questions().map_err(local)? {
                let is_pair = matches!(asked.action, Action::Admit | Action::Refuse);
                if is_pair && asked.address == question.address {
                    list.answered(&lock, &other).map_err(local)?;
                }
            }
        }
        Ok(reply)
    }

    /// Makes somebody a member, welcomes him, and tells the owners.
    pub fn admit(&self, list: &List, address: &Address, name: &str) -> Result<bool, Failure> {
        let mut member = Member::new(address, self.now);
        member.put("name", Some(name.to_string()).filter(|name| !name.is_empty()));
        let is_new =
            list.update_members(|members| Ok::<_, io::Error>(members.add(member))).map_err(|e| Failure::local(&e))?;
        if is_new {
            log::event("list-joined").field("list", &list.name).field("member", address).write();
            self.tell(list, address, Text::Welcome, Text::Came)?;
        }
        Ok(is_new)
    }

    /// Takes a member out, with a farewell, and tells the owners.
    pub fn dismiss(&self, list: &List, address: &Address) -> Result<bool, Failure> {
        let removed = list
            .update_members(|members| Ok::<_, io::Error>(members.remove(address)))
            .map_err(|e| Failure::local(&e))?;
        if removed.is_some() {
            log::event("list-left").field("list", &list.name).field("member", address).write();
            self.tell(list, address, Text::Goodbye, Text::Left)?;
        }
        Ok(removed.is_some())
    }

    fn tell(&self, list: &List, address: &Address, member: Text, owners: Text) -> Result<(), Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let shown = address.to_string();
        let words = [("address", shown.as_str())];
        if list.settings.welcome {
            let text = list.text(member, &words).map_err(local)?;
            let from = list.name.role("control");
            self.send(list, &Letter { from, to: address, text, answers: None, attached: None })?;
        }
        let told = list.settings.owners.iter().filter(|_| list.settings.notices);
        for owner in told {
            let text = list.text(owners, &words).map_err(local)?;
            let from = list.name.role("owner");
            self.send(list, &Letter { from, to: owner, text, answers: None, attached: None })?;
        }
        Ok(())
    }

    /// Asks an address whether it wants what was asked for it.
    fn question(
        &self,
        list: &List,
        action: Action,
        address: &Address,
        name: &str,
        post: &Inbound<'_>,
    ) -> Result<Reply, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let token = {
            let lock = list.lock().map_err(local)?;
            list.sweep_questions(&lock, None, self.now).map_err(local)?;
            if !list.may_answer(&lock, address, Answer::Confirm, self.now).map_err(local)? {
                return Ok(Reply::AskedToday);
            }
            let question =
                Question { action, address: address.clone(), name: name.to_string(), held: None, made: self.now };
            list.ask(&lock, &question).map_err(local)?
        };
        let from = list.name.confirm(&token);
        let (shown, confirm) = (address.to_string(), from.to_string());
        let words = [("address", shown.as_str()), ("token", &token), ("confirm", &confirm)];
        let text = if action == Action::Subscribe { Text::ConfirmSubscribe } else { Text::ConfirmUnsubscribe };
        let text = list.text(text, &words).map_err(local)?;
        self.send(list, &Letter { from, to: address, text, answers: Some(post), attached: None })?;
        Ok(Reply::Asked)
    }

    fn ask_owners(&self, list: &List, address: &Address, name: &str) -> Result<(), Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let mut tokens = Vec::new();
        {
            let lock = list.lock().map_err(local)?;
            for action in [Action::Admit, Action::Refuse] {
                let question =
                    Question { action, address: address.clone(), name: name.to_string(), held: None, made: self.now };
                tokens.push((action, list.ask(&lock, &question).map_err(local)?));
            }
        }
        let shown = address.to_string();
        for decider in list.settings.deciders() {
            let mut text = list.text(Text::Approve, &[("address", &shown)]).map_err(local)?;
            text.body.push_str(&replies::choices(list, &tokens));
            let from = list.name.role("owner");
            self.send(list, &Letter { from, to: decider, text, answers: None, attached: None })?;
        }
        Ok(())
    }

    /// True for an address that leads to a list: as a member it would make a loop.
    fn is_lists(&self, address: &Address) -> Result<bool, Failure> {
        match self.gate.router.resolve(address) {
            Ok(deliveries) => Ok(deliveries.iter().any(|delivery| delivery.mailer == Mailer::List)),
            Err(failure) if failure.is_temporary() => Err(failure),
            Err(_) => Ok(false),
        }
    }
}

/// True when a domain is among these; none allow all. `*.x` is what lies below x.
fn is_in_domains(domain: &str, patterns: &[String]) -> bool {
    let is = |pattern: &str| crate::addr::normal_domain(pattern).is_ok_and(|pattern| pattern == domain);
    let below = |pattern: &str| {
        let parent = crate::addr::normal_domain(pattern).unwrap_or_default();
        !parent.is_empty() && domain.strip_suffix(&parent).is_some_and(|rest| rest.ends_with('.'))
    };
    patterns.is_empty()
        || patterns.iter().any(|pattern| match pattern.strip_prefix("*.") {
            Some(parent) => below(parent),
            None => is(pattern),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains() {
        let patterns = ["Example.jp".to_string(), "*.co.jp".to_string()];
        for (domain, expected) in [
            ("example.jp", true),
            ("sub.example.jp", false),
            ("a.co.jp", true),
            ("a.b.co.jp", true),
            ("co.jp", false),
            ("xco.jp", false),
        ] {
            assert_eq!(is_in_domains(domain, &patterns), expected, "{domain}");
        }
        assert!(is_in_domains("any.test", &[]));
    }
}
