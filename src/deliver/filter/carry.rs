//! Doing what a rule has decided.
//!
//! Order: what sends the message on, then what files it, then answers and notifications. A failure in between makes the whole
//! delivery one to be tried again; what was sent is remembered, so that nothing is sent twice. A copy with flags that was filed
//! before another failed may be filed again: two copies are the lesser harm.
//! What can't be done for good (a redirect that nobody takes, a mailbox that is missing) becomes a copy in the inbox and a log line.

use super::super::outbox::{Outbox, Outgoing};
use super::super::{Postman, letters, read_head, vacation};
use super::world::{by_id, seen_key};
use super::{Filters, Named, Rule};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::dot;
use crate::envelope::{Delivery, Mailer};
use crate::fsx;
use crate::log;
use crate::mailbox::System;
use crate::sieve::{Action, Edition, Notify, Outcome, Redirect, Seen, Store, Vacation};
use crate::spool::Id;
use crate::status::Failure;
use crate::store::{self, Append, Arrival, INBOX, Memory, Remembered, Tree, TreeError};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a message that was sent on is not sent on again.
const REDIRECT_MEMORY: Duration = Duration::from_secs(7 * 86_400);
/// How long the duplicate test remembers without a wish, and at most (RFC 7352 §3.1).
const SEEN_MEMORY: Duration = Duration::from_secs(7 * 86_400);
const SEEN_MEMORY_LIMIT: Duration = Duration::from_secs(365 * 86_400);
/// How often the owner of a broken script is told about the same mistake.
const TOLD_MEMORY: Duration = Duration::from_secs(30 * 86_400);
/// Characters of a reason for a refusal.
const REASON_LIMIT: usize = 400;
/// Largest message that a script reads whole, in octets.
const WHOLE_LIMIT: u64 = 256 << 20;

/// One message for one account.
#[derive(Debug, Clone, Copy)]
pub struct Mail<'a> {
    /// Where the account lives.
    pub home: &'a Path,
    /// The delivery.
    pub delivery: &'a Delivery,
    /// Reverse path.
    pub sender: Option<&'a Address>,
    /// The recipient as its sender wrote it.
    pub original: &'a Address,
    /// Octets of our own stamp before the text in the draft.
    pub skip: u64,
    /// A full mailbox takes no copy.
    pub checks_quota: bool,
    /// The time.
    pub now: Timestamp,
}

/// A message that was sorted: what is left to do.
#[derive(Debug, Default)]
pub struct Sorted {
    /// The Maildirs that the draft is to be put into as it is.
    pub dirs: Vec<PathBuf>,
    /// To be done once it is there.
    after: Vec<Action>,
    seen: Vec<Seen>,
    header: Vec<u8>,
}

impl Postman {
    /// The rule that this delivery has, if it has one.
    pub fn rule(&self, delivery: &Delivery, now: Timestamp) -> Result<Option<Rule>, Failure> {
        let (account, home) = self.owner(delivery)?;
        self.filters.rule(&home, account.as_deref(), now)
    }

    /// The rule of a system account; we run as that.
    pub fn rule_in_home(&self, home: &Path, owner: u32) -> Result<Option<Rule>, Failure> {
        self.filters.rule_in_home(home, owner)
    }

    /// Delivers a message as a rule says.
    pub fn filter(
        &self,
        rule: &Rule,
        mail: &Mail<'_>,
        arrival: &mut Arrival,
        outbox: &dyn Outbox,
    ) -> Result<(), Failure> {
        let sorted = self.sort(rule, mail, arrival, Some(outbox))?;
        let placed = self.place(arrival, &sorted.dirs, mail.now);
        placed.into_iter().collect::<Result<Vec<()>, Failure>>()?;
        self.settle(&sorted, mail, Some(outbox));
        Ok(())
    }

    /// Decides about a message and does all but what [`Sorted`] holds. Without an outbox nothing may have to be sent.
    pub fn sort(
        &self,
        rule: &Rule,
        mail: &Mail<'_>,
        arrival: &mut Arrival,
        outbox: Option<&dyn Outbox>,
    ) -> Result<Sorted, Failure> {
        let local = |e: io::Error| Failure::local(&e);
        let text = read_back(arrival, mail.skip, rule.reads_body()).map_err(local)?;
        let stamp = stamp_of(mail.skip, arrival).map_err(local)?;
        let size = arrival.wire_size.saturating_sub(dot::crlf_size(&stamp));
        let Outcome { actions, error, seen, .. } = self.filters.decide(rule, mail, &text, size, false);
        if let Some(error) = &error {
            self.tell_owner(rule, mail, &error.to_string());
        }
        let end = crate::msg::header_end(&text).unwrap_or(text.len());
        let mut sorted = Sorted { seen, header: text.get(..end).unwrap_or_default().to_vec(), ..Sorted::default() };
        let mut stores = Vec::new();
        for action in actions {
            match action {
                Action::Reject(reject) => return Err(refused(&reject.reason)),
                Action::Discard => {}
                Action::Store(store) => stores.push(store),
                Action::Redirect(redirect) => {
                    if !self.pass_on(mail, &redirect, &sorted.header, arrival, outbox)? {
                        stores.push(Store::default());
                    }
                }
                later @ (Action::Vacation(_) | Action::Notify(_)) => sorted.after.push(later),
            }
        }
        if mail.checks_quota && !stores.is_empty() {
            self.check_quota(mail.delivery, arrival.size)?;
        }
        for store in stores {
            let dir = self.filters.file(mail, &store, arrival)?;
            sorted.dirs.extend(dir.filter(|dir| !sorted.dirs.contains(dir)));
        }
        Ok(sorted)
    }

    /// Does what is to be done once the message is there. Nothing of it can make the delivery fail.
    pub fn settle(&self, sorted: &Sorted, mail: &Mail<'_>, outbox: Option<&dyn Outbox>) {
        let memory = Remembered::of(mail.home);
        for seen in &sorted.seen {
            let until = mail.now.after(seen.period.unwrap_or(SEEN_MEMORY).min(SEEN_MEMORY_LIMIT));
            if let Err(e) = memory.keep(Memory::Seen, &seen_key(seen), until, mail.now) {
                log::event("not-remembered").field("user", &mail.delivery.user).field("reason", e).error().write();
            }
        }
        let Some(outbox) = outbox else { return };
        for action in &sorted.after {
            let (what, result) = match action {
                Action::Vacation(vacation) => ("vacation", self.answer(vacation, &sorted.header, mail, outbox)),
                Action::Notify(notify) => ("notify", self.notify(notify, &sorted.header, mail, outbox)),
                _ => continue,
            };
            let event = log::event(what).field("user", &mail.delivery.user);
            match result {
                Ok(said) => event.field("result", said).write(),
                Err(e) => event.field("reason", e).error().write(),
            }
        }
    }

    /// Sends the message on; false when nobody takes it, ever.
    fn pass_on(
        &self,
        mail: &Mail<'_>,
        redirect: &Redirect,
        header: &[u8],
        arrival: &mut Arrival,
        outbox: Option<&dyn Outbox>,
    ) -> Result<bool, Failure> {
        let own = self.own_address(mail)?;
        // Sent to himself it would only come back.
        if [&own, mail.original].into_iter().any(|address| address.to_key() == redirect.to.to_key()) {
            return Ok(false);
        }
        let refused = |reason: &dyn std::fmt::Display| {
            log::event("not-passed-on")
                .field("user", &mail.delivery.user)
                .field("to", &redirect.to)
                .field("reason", reason)
                .error()
                .write();
            Ok(false)
        };
        let top = match letters::redirected(header, &own) {
            Ok(top) => top,
            Err(why) => return refused(&why),
        };
        let Some(outbox) = outbox else { return Err(changed()) };
        // The same message to the same address: an attempt that failed further on is made again.
        let (memory, key) =
            (Remembered::of(mail.home), format!("{}\n{}", redirect.to, String::from_utf8_lossy(header)));
        if memory.holds(Memory::Redirect, &key, mail.now).unwrap_or(false) {
            return Ok(true);
        }
        let top = format!("Delivered-To: {own}\n{top}");
        let local = |e: io::Error| Failure::local(&e);
        let mut text = edited(redirect.edition.as_deref(), mail.skip, arrival).map_err(local)?;
        let mut text = top.as_bytes().chain(&mut text);
        let message = Outgoing { sender: mail.sender, to: &redirect.to, is_forwarded: true, text: &mut text };
        match outbox.send(message, mail.now) {
            Ok(()) => {}
            Err(failure) if failure.is_temporary() => return Err(failure),
            Err(failure) => return refused(&failure),
        }
        if let Err(e) = memory.keep(Memory::Redirect, &key, mail.now.after(REDIRECT_MEMORY), mail.now) {
            log::event("not-remembered").field("user", &mail.delivery.user).field("reason", e).error().write();
        }
        Ok(true)
    }

    /// Answers for somebody who is away; the text says what became of it.
    fn answer(
        &self,
        vacation: &Vacation,
        header: &[u8],
        mail: &Mail<'_>,
        outbox: &dyn Outbox,
    ) -> Result<String, Failure> {
        let own = self.own_address(mail)?;
        let Some(sender) = mail.sender else { return Ok("no answer: the sender is null".to_string()) };
        if let Some(why) = vacation::refusal(header, mail.sender, &self.all_addresses(vacation, mail)?) {
            return Ok(format!("no answer: {why}"));
        }
        let local = |e: io::Error| Failure::local(&e);
        let (memory, key) = (Remembered::of(mail.home), format!("{}\n{}", vacation.handle, sender.to_key()));
        let interval = match vacation.interval {
            None => vacation::DEFAULT_INTERVAL,
            // RFC 6131 §2: nothing is an interval too.
            Some(interval) if interval.is_zero() => interval,
            Some(interval) => interval.max(vacation::LEAST_INTERVAL),
        };
        let until = mail.now.after(interval);
        if !interval.is_zero() && !memory.claim(Memory::Answer, &key, until, mail.now).map_err(local)? {
            return Ok("no answer: the sender has had one".to_string());
        }
        let absence = vacation::Absence::of(vacation);
        let text = vacation::answer(&absence, header, sender, &own, &self.message_id(mail.now), mail.now);
        let message = Outgoing { sender: None, to: sender, is_forwarded: false, text: &mut text.as_bytes() };
        let sent = outbox.send(message, mail.now);
        if sent.is_err() {
            // The next message is another chance.
            memory.keep(Memory::Answer, &key, Timestamp(0), mail.now).map_err(local)?;
        }
        sent.map(|()| format!("answered {sender}"))
    }

    fn notify(&self, notify: &Notify, header: &[u8], mail: &Mail<'_>, outbox: &dyn Outbox) -> Result<String, Failure> {
        let own = self.own_address(mail)?;
        let Some(text) = letters::notification(notify, header, &own, &self.message_id(mail.now), mail.now) else {
            return Ok("not notified: it was sent automatically".to_string());
        };
        let mut told = 0;
        for to in notify.method.recipients() {
            // The null reverse path, so that nothing answers it (RFC 5436 §2.7 leaves the choice).
            outbox.send(Outgoing { sender: None, to, is_forwarded: false, text: &mut text.as_bytes() }, mail.now)?;
            told += 1;
        }
        Ok(format!("notified {told}"))
    }

    /// A message in the inbox about a script with a mistake; the same mistake is told once in a month.
    fn tell_owner(&self, rule: &Rule, mail: &Mail<'_>, error: &str) {
        log::event("script-failed")
            .field("user", &mail.delivery.user)
            .field("script", rule.name())
            .field("reason", error)
            .error()
            .write();
        let state = rule.script.as_ref().map(|Named { identity, .. }| identity.print()).unwrap_or_default();
        let key = format!("{}\n{state}\n{error}", rule.name());
        let memory = Remembered::of(mail.home);
        match memory.claim(Memory::Told, &key, mail.now.after(TOLD_MEMORY), mail.now) {
            Ok(true) => {}
            _ => return,
        }
        let Ok(own) = self.own_address(mail) else { return };
        let text = format!(
            "Return-Path: <>\nFrom: <postmaster@{}>\nTo: <{own}>\nSubject: Your mail filter has a mistake\nDate: {}\n\
             Message-ID: {}\nAuto-Submitted: auto-generated\nMIME-Version: 1.0\n{}",
            self.site.default_domain(),
            mail.now.rfc5322(),
            self.message_id(mail.now),
            vacation::plain_part(&format!(
                "Your Sieve script {:?} failed, so your mail is filed in your inbox:\n\n  {error}\n\n\
                 You are told of the same mistake once; please correct the script.\n",
                rule.name()
            )),
        );
        let name = store::name(mail.now, &self.host, 0, 0);
        let tmp = store::inbox(mail.home).join("tmp");
        let put = || {
            fsx::create_dirs(&tmp, 0o700)?;
            let mut draft = fsx::Draft::new(tmp.join(name), 0o600);
            draft.write(text.as_bytes())?;
            let (size, wire_size) = (draft.size(), dot::crlf_size(text.as_bytes()));
            let mut arrival = Arrival { draft, size, wire_size };
            let results = store::deliver(&mut arrival, &[mail.home.to_path_buf()], mail.now, &self.host);
            results.into_iter().collect::<io::Result<Vec<()>>>()
        };
        if let Err(e) = put() {
            log::event("owner-not-told").field("user", &mail.delivery.user).field("reason", e).error().write();
        }
    }

    fn message_id(&self, now: Timestamp) -> String {
        format!("<{}@{}>", Id::new(now), self.host)
    }

    pub(super) fn own_address(&self, mail: &Mail<'_>) -> Result<Address, Failure> {
        Address::parse(&mail.delivery.user).map_err(|e| Failure::permanent((1, 3), e.to_string(), &mail.delivery.user))
    }

    /// All addresses that are the user's, for all we know.
    pub(super) fn all_addresses(&self, vacation: &Vacation, mail: &Mail<'_>) -> Result<Vec<Address>, Failure> {
        let mut own = vec![self.own_address(mail)?, mail.original.clone()];
        // For a system account we run as that, and may not read the others'.
        if mail.delivery.mailer != Mailer::System
            && let Some(account) = self.account(mail.delivery)?
        {
            own.push(account.address.clone());
            let aliases = account.field("aliases").unwrap_or_default().split(',');
            own.extend(aliases.filter_map(|alias| Address::parse(alias.trim()).ok()));
        }
        own.extend(vacation.addresses.iter().cloned());
        Ok(own)
    }
}

impl Filters {
    /// Files one copy. What needs no flags and no changes is left to the caller: the Maildir is the answer then.
    fn file(&self, mail: &Mail<'_>, store: &Store, arrival: &mut Arrival) -> Result<Option<PathBuf>, Failure> {
        let tree = Tree::open(self.registry.clone(), mail.home).map_err(|e| of_tree(&e))?;
        let name = self.mailbox(&tree, mail, store)?;
        if store.flags.is_empty() && store.edition.is_none() {
            let dir = match name.as_str() {
                INBOX => Some(store::inbox(mail.home)),
                name => tree.surveyed(name).map(|found| found.dir),
            };
            return Ok(Some(dir.unwrap_or_else(|| store::inbox(mail.home))));
        }
        let folder = tree.folder(&name).map_err(|e| of_tree(&e))?;
        let mut draft = folder.draft();
        let (wire_size, local) = (&mut 0, |e: io::Error| Failure::local(&e));
        // Our own stamp comes first, also before a changed message.
        copy(&mut stamp_of(mail.skip, arrival).map_err(local)?.as_slice(), &mut draft, wire_size).map_err(local)?;
        let mut text = edited(store.edition.as_deref(), mail.skip, arrival).map_err(local)?;
        copy(&mut text, &mut draft, wire_size).map_err(local)?;
        let system = store.flags.iter().filter_map(|flag| System::parse(flag));
        let system = system.fold(0, |all, flag| all | flag as u8);
        let keywords = store.flags.iter().filter(|flag| !flag.starts_with('\\')).cloned().collect();
        let append = Append { draft, wire_size: *wire_size, system, keywords, internal_date: None };
        folder.append(vec![append]).map_err(|e| of_tree(&TreeError::Folder(e)))?;
        Ok(None)
    }

    /// The mailbox that a store means: by its id, by its use, by its name; the inbox when there is none.
    fn mailbox(&self, tree: &Tree, mail: &Mail<'_>, store: &Store) -> Result<String, Failure> {
        if let Some(found) = store.mailbox_id.as_ref().and_then(|id| by_id(tree, id)) {
            return Ok(found);
        }
        if let Some(wanted) = &store.special_use {
            let listed = tree.list().map_err(|e| of_tree(&e))?;
            let has_use = |use_: &str| use_.eq_ignore_ascii_case(wanted);
            if let Some(found) = listed.into_iter().find(|l| l.exists && l.special_use.as_deref().is_some_and(has_use))
            {
                return Ok(found.name);
            }
        }
        let Some(name) = store.mailbox.as_deref().map(Tree::normal) else { return Ok(INBOX.to_string()) };
        let instead = |reason: &dyn std::fmt::Display| {
            let event = log::event("mailbox-missing").field("user", &mail.delivery.user);
            event.field("mailbox", &name).field("reason", reason).write();
            Ok(INBOX.to_string())
        };
        match tree.exists(&name) {
            Ok(true) => return Ok(name),
            Ok(false) if store.create => {}
            Ok(false) => return instead(&"there is no such mailbox"),
            Err(TreeError::BadName) => return instead(&"no name of a mailbox"),
            Err(e) => return Err(of_tree(&e)),
        }
        match tree.create(&name, store.special_use.as_deref()) {
            Ok(()) => {
                let _ = tree.subscribe(&name, true);
                Ok(name)
            }
            Err(TreeError::Exists) => Ok(name),
            Err(TreeError::Io(e)) => Err(Failure::local(&e)),
            Err(e) => instead(&e),
        }
    }
}

/// The refusal that a sender reads (RFC 5429 §2.1).
fn refused(reason: &str) -> Failure {
    let words: Vec<&str> = reason.split_whitespace().collect();
    let reason: String = words.join(" ").chars().filter(|c| !c.is_control()).take(REASON_LIMIT).collect();
    // A reply may not hold more than ASCII (RFC 5429 §2.1.2).
    let public = match reason.is_ascii() && !reason.is_empty() {
        true => reason.clone(),
        false => "The recipient's mail filter has refused the message".to_string(),
    };
    Failure::permanent((7, 1), public, "rejected by the recipient's script")
}

/// A rule that was to send nothing has something to send after all: another attempt goes by the queue.
fn changed() -> Failure {
    Failure::temporary((3, 0), "Local error in processing, try again later", "a filter has something to send")
}

fn of_tree(error: &TreeError) -> Failure {
    match error {
        TreeError::Io(e) => Failure::local(e),
        e => Failure::temporary((2, 0), "The mailbox can't be written now", e),
    }
}

/// The message behind our stamp: its header and a little more, or all of it.
fn read_back(arrival: &mut Arrival, skip: u64, whole: bool) -> io::Result<Vec<u8>> {
    let file = arrival.draft.file()?;
    file.seek(SeekFrom::Start(skip))?;
    if !whole {
        return read_head(file).map_err(|failure| io::Error::other(failure.to_string()));
    }
    let mut text = Vec::new();
    file.take(WHOLE_LIMIT).read_to_end(&mut text)?;
    Ok(text)
}

/// Our stamp as the draft has it.
fn stamp_of(skip: u64, arrival: &mut Arrival) -> io::Result<Vec<u8>> {
    let file = arrival.draft.file()?;
    file.rewind()?;
    let mut stamp = Vec::new();
    file.take(skip).read_to_end(&mut stamp)?;
    Ok(stamp)
}

/// The message as a script has changed it, or as it came.
fn edited<'a>(edition: Option<&'a Edition>, skip: u64, arrival: &'a mut Arrival) -> io::Result<Box<dyn Read + 'a>> {
    let file = arrival.draft.file()?;
    Ok(match edition {
        None => {
            file.seek(SeekFrom::Start(skip))?;
            Box::new(file)
        }
        Some(edition) => {
            file.seek(SeekFrom::Start(skip + edition.body_at as u64))?;
            Box::new(edition.top.as_slice().chain(file).chain(edition.tail.as_slice()))
        }
    })
}

fn copy(from: &mut dyn Read, draft: &mut fsx::Draft, wire_size: &mut u64) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(()),
            n => {
                let piece = buffer.get(..n).unwrap_or_default();
                *wire_size += dot::crlf_size(piece);
                draft.write(piece)?;
            }
        }
    }
}
