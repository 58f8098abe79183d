//! What comes back to a list: reports about its copies, complaints, automatic answers.
//!
//! Called for messages to `NAME-bounces@`. A report counts against a member only when he is one; the address that the list put into the
//! envelope (VERP) says more than the report. What is no report at all goes to the owners: somebody wrote to the wrong address.
//! Trust: anybody may send a report about anybody. It costs him a report a day for several days, and the member gets warnings, by which he
//! comes back.
//! RFC 3464, RFC 5965.

use super::Desk;
use crate::addr::Address;
use crate::list::letter::Letter;
use crate::lists::List;
use crate::lists::bounces::{Bounces, Counted, Due, Failed};
use crate::lists::members::State;
use crate::lists::texts::{Filled, Text};
use crate::log;
use crate::msg;
use crate::report::{self, Class, Finding};
use crate::status::Failure;
use std::io;

/// What became of a message to the bounce address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Returned {
    /// It was read as a report; in words, for the log.
    Counted(String),
    /// It is none: the owners are to have it.
    Unknown,
}

impl Desk<'_> {
    /// Counts a report. `member` is whom the envelope's address names.
    pub fn count_bounce(&self, list: &List, member: Option<&Address>, message: &[u8]) -> Result<Returned, Failure> {
        let found = report::classify(message);
        if found.is_empty() {
            return Ok(Returned::Unknown);
        }
        let number = post_number(list, message);
        let mut words = Vec::new();
        let mut reached = Vec::new();
        let mut complained = Vec::new();
        {
            let local = |e: io::Error| Failure::local(&e);
            let members = list.members().map_err(local)?;
            let lock = list.lock().map_err(local)?;
            let mut bounces = list.bounces_locked(&lock).map_err(local)?;
            for finding in &found {
                let Some(address) = whose(member, finding, found.len()) else { continue };
                // Switched on again by hand: he starts from nothing.
                let is_off =
                    members.find(address).is_some_and(|m| m.state == State::Off && m.field("why") == Some("bounces"));
                if !is_off && bounces.of(address).is_some_and(|score| score.off.is_some()) {
                    bounces.forget(address);
                }
                let counted = match members.find(address) {
                    // A complaint takes him out at once, so it must bring something of the list's: the envelope's address, or a post.
                    Some(_) if finding.class == Class::Complaint && member.is_none() && number.is_none() => {
                        Counted::Ignored
                    }
                    Some(_) => count(&mut bounces, address, finding, number, list, self.now),
                    None => Counted::Ignored,
                };
                match counted {
                    Counted::Reached => reached.push(address.clone()),
                    Counted::Complained => complained.push(address.clone()),
                    _ => {}
                }
                log::event("list-bounce")
                    .field("list", &list.name)
                    .field("member", address)
                    .field("status", finding.status)
                    .field("counted", format!("{counted:?}").to_lowercase())
                    .write();
                words.push(format!("{address} {}", finding.status));
            }
            bounces.save().map_err(local)?;
        }
        self.switch_off(list, &reached)?;
        self.remove(list, &complained, "complaint")?;
        // A report that names nobody: a person may know more.
        if words.is_empty() {
            return Ok(Returned::Unknown);
        }
        Ok(Returned::Counted(words.join(", ")))
    }

    /// Sends the warnings that are due, and takes out those who had them all. How many of each.
    pub fn settle_bounces(&self, list: &List) -> Result<(usize, usize), Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let members = list.members().map_err(local)?;
        let due = {
            let lock = list.lock().map_err(local)?;
            let mut bounces = list.bounces_locked(&lock).map_err(local)?;
            bounces.forget_stale(list.settings.bounce_stale, self.now);
            // Who was switched on again, or has left, starts from nothing.
            let gone: Vec<Address> = bounces
                .iter()
                .filter(|(address, score)| {
                    let is_off = members
                        .find(address)
                        .is_some_and(|m| m.state == State::Off && m.field("why") == Some("bounces"));
                    members.find(address).is_none() || (score.off.is_some() && !is_off)
                })
                .map(|(address, _)| address.clone())
                .collect();
            gone.iter().for_each(|address| bounces.forget(address));
            bounces.save().map_err(local)?;
            bounces.due(&list.settings, self.now)
        };
        let mut counts = (0, 0);
        for due in due {
            match due {
                Due::Warning(address, number) => {
                    self.warn(list, &address, number)?;
                    counts.0 += 1;
                }
                Due::Removal(address) => {
                    self.remove(list, &[address], "bounces")?;
                    counts.1 += 1;
                }
            }
        }
        Ok(counts)
    }

    fn switch_off(&self, list: &List, addresses: &[Address]) -> Result<(), Failure> {
        if addresses.is_empty() {
            return Ok(());
        }
        let turned = list.update_members(|members| {
            for address in addresses {
                if let Some(member) = members.find_mut(address) {
                    member.turn(State::Off, Some("bounces"));
                }
            }
            Ok::<_, io::Error>(())
        });
        turned.map_err(|e| Failure::local(&e))?;
        for address in addresses {
            log::event("list-switched-off").field("list", &list.name).field("member", address).write();
            if list.settings.bounce_warnings > 0 {
                self.warn(list, address, 1)?;
            }
            self.tell_owners(list, address, Text::BounceOff)?;
        }
        Ok(())
    }

    /// The warning is a probe, too: when it comes back, nothing is lost.
    fn warn(&self, list: &List, address: &Address, number: u32) -> Result<(), Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let lock = list.lock().map_err(local)?;
        let mut bounces = list.bounces_locked(&lock).map_err(local)?;
        let score = bounces.of_mut(address);
        let lost = super::retrieve::numbers(&score.lost);
        let said = score.said.clone();
        score.warn(self.now);
        let left = list.settings.bounce_warnings.saturating_sub(number);
        bounces.save().map_err(local)?;
        drop(lock);
        let filled = self.bounce_text(list, Text::BounceWarning, address, &said, &lost, left)?;
        let letter =
            Letter { from: list.name.role("control"), to: address, text: filled, answers: None, attached: None };
        self.send(list, &letter)
    }

    fn remove(&self, list: &List, addresses: &[Address], why: &str) -> Result<(), Failure> {
        for address in addresses {
            let local = |e: io::Error| Failure::local(&e);
            let was_there = list.update_members(|members| Ok::<_, io::Error>(members.remove(address).is_some()));
            let was_there = was_there.map_err(local)?;
            if was_there {
                log::event("list-removed").field("list", &list.name).field("member", address).field("why", why).write();
                self.tell_owners(list, address, if why == "complaint" { Text::Complained } else { Text::BounceOut })?;
            }
            let lock = list.lock().map_err(local)?;
            list.forget_bounces(&lock, address).map_err(local)?;
        }
        Ok(())
    }

    fn tell_owners(&self, list: &List, address: &Address, text: Text) -> Result<(), Failure> {
        if !list.settings.notices {
            return Ok(());
        }
        let score = list.bounces().map_err(|e| Failure::local(&e))?.of(address).cloned().unwrap_or_default();
        let lost = super::retrieve::numbers(&score.lost);
        for owner in &list.settings.owners {
            let filled = self.bounce_text(list, text, address, &score.said, &lost, 0)?;
            let letter =
                Letter { from: list.name.role("owner"), to: owner, text: filled, answers: None, attached: None };
            self.send(list, &letter)?;
        }
        Ok(())
    }

    fn bounce_text(
        &self,
        list: &List,
        text: Text,
        address: &Address,
        said: &str,
        lost: &str,
        left: u32,
    ) -> Result<Filled, Failure> {
        let lost = if lost.is_empty() { "-" } else { lost };
        let words = [
            ("address", address.to_string()),
            ("reason", said.to_string()),
            ("lost", lost.to_string()),
            ("left", left.to_string()),
        ];
        let words: Vec<(&str, &str)> = words.iter().map(|(key, value)| (*key, value.as_str())).collect();
        list.text(text, &words).map_err(|e| Failure::local(&e))
    }
}

fn count(
    bounces: &mut Bounces,
    address: &Address,
    finding: &Finding,
    number: Option<u64>,
    list: &List,
    now: crate::clock::Timestamp,
) -> Counted {
    if !matches!(finding.class, Class::Hard | Class::Soft) {
        let is_complaint = finding.class == Class::Complaint;
        return if is_complaint { Counted::Complained } else { Counted::Ignored };
    }
    let said = format!("{} {}", finding.status, finding.said);
    bounces.of_mut(address).count(Failed { class: finding.class, number, said: &said }, &list.settings, now)
}

/// Whom a finding is about. The envelope's word counts where the report has one finding; with several it is one of them.
fn whose<'a>(member: Option<&'a Address>, finding: &'a Finding, count: usize) -> Option<&'a Address> {
    match member {
        Some(member) if count == 1 => Some(member),
        Some(member) => finding.recipient.as_ref().filter(|address| address.to_key() == member.to_key()),
        None => finding.recipient.as_ref(),
    }
}

/// The number of the post that came back, when it is one of this list's.
fn post_number(list: &List, message: &[u8]) -> Option<u64> {
    let header = report::returned_header(message)?;
    let name = msg::find(&header, "x-ml-name")?.value();
    let number = msg::find(&header, "x-mail-count")?.value().trim().parse().ok()?;
    name.eq_ignore_ascii_case(list.name.name()).then_some(number)
}
