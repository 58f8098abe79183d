//! What a rule would do with a message, told to people; nothing is done.
//!
//! Called by `emlocal --explain`.

use super::super::{Postman, letters, vacation};
use super::carry::Mail;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::dot;
use crate::envelope::Delivery;
use crate::msg;
use crate::sieve::{Action, Store};
use crate::status::Failure;

impl Postman {
    /// A line for each thing that the script of this delivery did, and one for each action.
    pub fn explain(
        &self,
        delivery: &Delivery,
        sender: Option<&Address>,
        original: &Address,
        text: &[u8],
        now: Timestamp,
    ) -> Result<Vec<String>, Failure> {
        let home = self.home(delivery)?;
        let Some(rule) = self.rule(delivery, now)? else {
            return Ok(vec![format!("no filter is in force: the inbox of {} gets the message", delivery.user)]);
        };
        let mail = Mail { home: &home, delivery, sender, original, skip: 0, checks_quota: false, now };
        let mut lines = Vec::new();
        if !rule.name().is_empty() {
            lines.push(format!("script {:?}:", rule.name()));
        }
        let outcome = self.filters.decide(&rule, &mail, text, dot::crlf_size(text), true);
        for step in &outcome.trace {
            let script = if step.script.is_empty() { String::new() } else { format!("{:?}, ", step.script) };
            lines.push(format!("  {script}line {}: {}", step.place.line, step.text));
        }
        if let Some(error) = &outcome.error {
            lines.push(format!("  error in {}", error.to_string().escape_debug()));
        }
        let header = &text[..msg::header_end(text).unwrap_or(text.len())];
        for action in &outcome.actions {
            lines.push(format!("would {}", self.told(action, header, &mail)?));
        }
        Ok(lines)
    }

    fn told(&self, action: &Action, header: &[u8], mail: &Mail<'_>) -> Result<String, Failure> {
        Ok(match action {
            Action::Store(store) => stored(store),
            Action::Discard => "discard the message".to_string(),
            Action::Reject(reject) => format!("refuse the message: {:?}", reject.reason),
            Action::Redirect(redirect) => match letters::redirected(header, &self.own_address(mail)?) {
                Ok(_) => format!("pass the message on to {}{}", redirect.to, changed(redirect.edition.is_some())),
                Err(why) => format!("not pass the message on to {} but keep it: {why}", redirect.to),
            },
            Action::Vacation(vacation) => {
                match vacation::refusal(header, mail.sender, &self.all_addresses(vacation, mail)?) {
                    Some(why) => format!("not answer: {why}"),
                    None => "answer the sender, unless he has had an answer lately".to_string(),
                }
            }
            Action::Notify(notify) => {
                let to: Vec<String> = notify.method.recipients().map(ToString::to_string).collect();
                format!("notify {}", to.join(", "))
            }
        })
    }
}

fn stored(store: &Store) -> String {
    let mut text = match (&store.mailbox, store.is_implicit) {
        (Some(name), _) => format!("file into {name:?}"),
        (None, false) => "keep the message in the inbox".to_string(),
        (None, true) => "keep the message in the inbox, as nothing else was said".to_string(),
    };
    if let Some(id) = &store.mailbox_id {
        text.push_str(&format!(", or the mailbox with the id {id:?}"));
    }
    if let Some(special_use) = &store.special_use {
        text.push_str(&format!(", or the mailbox for {special_use:?}"));
    }
    if store.create {
        text.push_str(", made if it is missing");
    }
    if !store.flags.is_empty() {
        text.push_str(&format!(", with the flags {:?}", store.flags.join(" ")));
    }
    text + changed(store.edition.is_some())
}

fn changed(is_changed: bool) -> &'static str {
    if is_changed { ", as the script has changed it" } else { "" }
}
