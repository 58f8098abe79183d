//! Commands that decide what happens to the message.
//!
//! What an action needs is taken when it is reached: the flags and the text as they are then (RFC 5232 §5, RFC 5293 §7).
//! RFC 5228 §2.10.3 (the same action twice is one), RFC 5228 §4, and the extensions that each function names.

use super::super::constants;
use super::super::fault::SieveError;
use super::super::mailto::Mailto;
use super::super::matching::{self, How};
use super::super::outcome::{Action, Notify, Redirect, Reject, Store, Vacation};
use super::super::tree::Node;
use super::super::vocabulary::Kind;
use super::{Run, World};
use crate::addr::Address;
use std::time::Duration;

impl Run<'_> {
    /// Carries out a command that is none of control flow.
    pub(super) fn act(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        match node.kind {
            Kind::Keep => {
                let store = Store { flags: self.flags_for(node), edition: world.message.edition(), ..Store::default() };
                self.keeps = false;
                self.note(node, || "keep".to_string());
                self.store(node, store)
            }
            Kind::Discard => {
                self.keeps = false;
                self.note(node, || "discard".to_string());
                Ok(())
            }
            Kind::Fileinto => self.fileinto(node, world),
            Kind::Redirect => self.redirect(node, world),
            Kind::Reject | Kind::Ereject => self.reject(node),
            Kind::Vacation => self.vacation(node),
            Kind::Notify => self.notify(node),
            Kind::AddHeader => self.add_header(node, world),
            Kind::DeleteHeader => self.delete_header(node, world),
            Kind::Enclose => self.enclose(node, world),
            _ => Ok(()),
        }
    }

    fn push(&mut self, node: &Node, action: Action) -> Result<(), SieveError> {
        if self.actions.len() >= self.limits.actions {
            return Err(node.place.error("total number of actions exceeds policy limit"));
        }
        self.actions.push((node.place, action));
        Ok(())
    }

    /// An error when an earlier action can't stand beside this one (RFC 5429 §2.4, RFC 5230 §4.7).
    fn refuse_conflict(&self, node: &Node, conflicts: impl Fn(&Action) -> bool) -> Result<(), SieveError> {
        match self.actions.iter().find(|(_, action)| conflicts(action)) {
            None => Ok(()),
            Some((place, _)) => {
                Err(node.place.error(format!("'{}' conflicts with the action in line {}", node.name, place.line)))
            }
        }
    }

    fn store(&mut self, node: &Node, store: Store) -> Result<(), SieveError> {
        self.refuse_conflict(node, |action| matches!(action, Action::Reject(_)))?;
        let same = self.actions.iter_mut().find_map(|(_, action)| match action {
            Action::Store(earlier) if earlier.is_into_same(&store) => Some(earlier),
            _ => None,
        });
        match same {
            // One copy, with the flags that came last (RFC 5232 §5).
            Some(earlier) => {
                earlier.flags = store.flags;
                earlier.create |= store.create;
                Ok(())
            }
            None => self.push(node, Action::Store(store)),
        }
    }

    fn fileinto(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        let name = self.argument(node, 0);
        constants::mailbox(&name).map_err(|wrong| node.place.error(wrong))?;
        let (mailbox_id, special_use) = (self.tag(node, "mailboxid"), self.tag(node, "specialuse"));
        // RFC 8579 §4: ids come first, so both make no sense together; the id is tried first.
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        let store = Store {
            mailbox: Some(name.clone()).filter(|_| !is_inbox),
            flags: self.flags_for(node),
            create: node.has("create"),
            mailbox_id,
            special_use,
            edition: world.message.edition(),
            is_implicit: false,
        };
        self.note(node, || format!("fileinto {name:?}"));
        self.keeps &= node.has("copy");
        self.store(node, store)
    }

    fn redirect(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        self.refuse_conflict(node, |action| matches!(action, Action::Reject(_)))?;
        let to = constants::outgoing(&self.argument(node, 0)).map_err(|wrong| node.place.error(wrong))?;
        self.keeps &= node.has("copy");
        self.note(node, || format!("redirect {to}"));
        let earlier = self.actions.iter().filter_map(|(_, action)| match action {
            Action::Redirect(redirect) => Some(&redirect.to),
            _ => None,
        });
        if earlier.clone().any(|known| *known == to) {
            return Ok(());
        }
        if earlier.count() >= self.limits.redirects {
            return Err(node.place.error("number of redirect actions exceeds policy limit"));
        }
        let edition = world.message.edition();
        self.push(node, Action::Redirect(Redirect { to, edition }))
    }

    /// RFC 5429: nothing else happens to the message.
    fn reject(&mut self, node: &Node) -> Result<(), SieveError> {
        self.refuse_conflict(node, |_| true)?;
        self.keeps = false;
        let reason = self.argument(node, 0);
        self.note(node, || format!("{} {reason:?}", node.name));
        self.push(node, Action::Reject(Reject { reason, is_ereject: node.kind == Kind::Ereject }))
    }

    /// RFC 5230 §4, RFC 6131.
    fn vacation(&mut self, node: &Node) -> Result<(), SieveError> {
        self.refuse_conflict(node, |action| matches!(action, Action::Reject(_) | Action::Vacation(_)))?;
        let wrong = |wrong: String| node.place.error(wrong);
        let interval = match (node.number("days"), node.number("seconds")) {
            (Some(days), _) => Some(Duration::from_secs(days.clamp(1, 365) * 86_400)),
            (_, Some(seconds)) => Some(Duration::from_secs(seconds)),
            _ => None,
        };
        let from = self.tag(node, "from");
        if let Some(from) = &from {
            constants::address(from).map_err(wrong)?;
        }
        let addresses = node.tagged("addresses").map(|texts| self.strings(texts)).unwrap_or_default();
        let addresses: Result<Vec<Address>, String> = addresses.iter().map(|text| constants::outgoing(text)).collect();
        let reason = self.argument(node, 0);
        let subject = self.tag(node, "subject");
        let is_mime = node.has("mime");
        // RFC 5230 §4.2: without a handle, what is said tells answers apart.
        let handle = self.tag(node, "handle").unwrap_or_else(|| {
            format!("{}\n{}\n{is_mime}\n{reason}", subject.as_deref().unwrap_or(""), from.as_deref().unwrap_or(""))
        });
        self.note(node, || "vacation".to_string());
        let addresses = addresses.map_err(wrong)?;
        self.push(node, Action::Vacation(Vacation { interval, subject, from, addresses, is_mime, handle, reason }))
    }

    /// RFC 5435 §3, RFC 5436.
    fn notify(&mut self, node: &Node) -> Result<(), SieveError> {
        let wrong = |wrong: String| node.place.error(wrong);
        let uri = self.argument(node, 0);
        let from = self.tag(node, "from");
        if let Some(from) = &from {
            constants::address(from).map_err(wrong)?;
        }
        let importance = match self.tag(node, "importance").as_deref() {
            None | Some("2") => 2,
            Some("1") => 1,
            Some("3") => 3,
            Some(_) => return Err(node.place.error("':importance' is \"1\", \"2\" or \"3\"")),
        };
        let notify = Notify {
            method: Mailto::parse(&uri).map_err(wrong)?,
            from,
            importance,
            message: self.tag(node, "message"),
        };
        self.note(node, || format!("notify {uri}"));
        let is_same = |action: &Action| matches!(action, Action::Notify(earlier) if *earlier == notify);
        if self.actions.iter().any(|(_, action)| is_same(action)) {
            return Ok(());
        }
        let count = self.actions.iter().filter(|(_, action)| matches!(action, Action::Notify(_))).count();
        if count >= self.limits.notifications {
            return Err(node.place.error("number of notify actions exceeds policy limit"));
        }
        self.push(node, Action::Notify(notify))
    }

    /// RFC 5293 §4.
    fn add_header(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        let (name, value) = (self.argument(node, 0), self.argument(node, 1));
        constants::editable_name(&name).map_err(|wrong| node.place.error(wrong))?;
        constants::field_value(&value).map_err(|wrong| node.place.error(wrong))?;
        // What came by which way, and that nobody answers machines, is not a script's to say.
        if is_protected(&name) {
            return Ok(());
        }
        self.note(node, || format!("addheader {name}: {value:?}"));
        match world.message.add_field(&name, value.trim(), node.has("last")) {
            true => Ok(()),
            false => Err(node.place.error("the message has too many header fields")),
        }
    }

    /// RFC 5293 §5.
    fn delete_header(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        let name = self.argument(node, 0);
        constants::editable_name(&name).map_err(|wrong| node.place.error(wrong))?;
        if is_protected(&name) {
            return Ok(());
        }
        let values: Vec<String> = world.message.bodies(&name).map(super::super::message::decoded).collect();
        let index = node.number("index").map(|index| usize::try_from(index).unwrap_or(usize::MAX));
        let has_patterns = node.arguments.get(1).is_some_and(Option::is_some);
        let how = node.matching.as_ref().map(|matching| matching.how);
        let mut chosen = Vec::with_capacity(values.len());
        for (at, value) in values.iter().enumerate() {
            let number = if node.has("last") { values.len() - at } else { at + 1 };
            let is_there = index.is_none_or(|index| index == number);
            chosen.push(match (is_there, how) {
                (false, _) => false,
                (true, Some(How::Count(relation))) if has_patterns => {
                    let comparator = node.matching.as_ref().map(|m| m.comparator).unwrap_or_default();
                    let count = if index.is_some() { 1 } else { values.len() };
                    let keys = self.strings(node.keys());
                    keys.iter().any(|key| matching::count(relation, comparator, count, key))
                }
                (true, _) => !has_patterns || self.any_match(node, std::slice::from_ref(value), world)?,
            });
        }
        let removed = world.message.remove_fields(&name, |at, _| chosen.get(at).copied().unwrap_or(false));
        self.note(node, || format!("deleteheader {name}: {removed} removed"));
        Ok(())
    }

    /// RFC 5703 §6.
    fn enclose(&mut self, node: &Node, world: &mut World) -> Result<(), SieveError> {
        if self.enclosed >= self.limits.enclosures {
            return Err(node.place.error("too many 'enclose' commands"));
        }
        self.enclosed += 1;
        let headers = node.tagged("headers").map(|texts| self.strings(texts)).unwrap_or_default();
        for header in &headers {
            let (name, value) = header.split_once(':').unwrap_or((header, ""));
            let checked = constants::field_name(name.trim()).and_then(|()| constants::field_value(value));
            checked.map_err(|wrong| node.place.error(wrong))?;
        }
        let text = self.argument(node, 0);
        // Unlike any other boundary of this message: it holds the time and a count.
        let now = world.environment.now();
        let boundary = format!("=_em-{:x}-{}-{}", now.0, self.enclosed, text.len());
        self.note(node, || "enclose".to_string());
        let subject = self.tag(node, "subject");
        world.message.enclose(subject.as_deref(), &headers, &text, &boundary);
        Ok(())
    }
}

impl Store {
    fn is_into_same(&self, other: &Store) -> bool {
        let same = match (&self.mailbox, &other.mailbox) {
            (None, None) => true,
            (Some(a), Some(b)) => a == b,
            _ => false,
        };
        same && self.mailbox_id == other.mailbox_id
            && self.special_use == other.special_use
            && self.edition == other.edition
    }
}

fn is_protected(name: &str) -> bool {
    ["received", "auto-submitted"].into_iter().any(|kept| kept.eq_ignore_ascii_case(name))
}
