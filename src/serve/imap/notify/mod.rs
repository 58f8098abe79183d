//! NOTIFY: what happens in mailboxes, to their names and to their annotations is told without being asked for (RFC 5465).
//!
//! A session that has said NOTIFY has a [`Notifying`]; one that has not has none, and is told of its selected mailbox before each tagged
//! reply and during IDLE. What the client knows of other mailboxes is kept here in a few numbers each (`status`), of names (`names`) and
//! annotations in a map each; a look (`others`) compares them with what is on disk, whoever has changed it: this session's own work is noted
//! as known when it is done (`own`). What is to be fetched of new messages waits in the selected mailbox (`news`).
//!
//! Of the selected mailbox nothing is told under NOTIFY NONE, or without `SELECTED`, but what the client's own commands find, NOOP and
//! CHECK among them: somebody who polls wants to know.

mod elsewhere;
mod names;
mod news;
mod others;
mod own;
mod status;

pub(super) use news::{News, Told};

use super::multisearch::depth;
use super::names as namespaces;
use super::{ImapService, Run, Trouble};
use crate::addr::Address;
use crate::log;
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Command, Event, FetchItem, MailboxName, Notify, Outcome, Source};
use crate::serve::Moment;
use crate::store::{Folder, INBOX, Stamp};
use elsewhere::Elsewhere;
use names::Names;
use others::{At, Mailbox, Overflow};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most mailboxes whose messages or annotations one session may watch: each takes up to three of the system's watches.
const WATCHED_LIMIT: usize = 1000;
/// Most other accounts and domains whose mailboxes one session may watch: their rights are asked at each look.
const OWNERS_LIMIT: usize = 100;
/// A session that never waits for its client is shown other mailboxes so often.
const BUSY_LOOK: Duration = Duration::from_secs(1);

/// Events of mailboxes other than the selected one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Events(u8);

impl Events {
    /// MessageNew and MessageExpunge, which go together.
    const MESSAGES: Events = Events(1);
    /// FlagChange; never without the above.
    const FLAGS: Events = Events(2);
    const NAMES: Events = Events(4);
    const SUBSCRIPTIONS: Events = Events(8);
    const ANNOTATIONS: Events = Events(16);
    /// ServerMetadataChange, which is of no mailbox.
    const ACCOUNT: Events = Events(32);
    /// What must be looked for in the mailbox itself.
    const INSIDE: Events = Events(1 | 2 | 16);

    fn has(self, any: Events) -> bool {
        self.0 & any.0 != 0
    }

    fn with(self, more: Events) -> Events {
        Events(self.0 | more.0)
    }

    fn of(events: &[Event]) -> Events {
        let one = |event: &Event| match event {
            Event::MessageNew(_) | Event::MessageExpunge => Events::MESSAGES,
            Event::FlagChange => Events::FLAGS,
            Event::MailboxName => Events::NAMES,
            Event::SubscriptionChange => Events::SUBSCRIPTIONS,
            Event::MailboxMetadataChange => Events::ANNOTATIONS,
            Event::ServerMetadataChange => Events::ACCOUNT,
        };
        events.iter().map(one).fold(Events::default(), Events::with)
    }
}

/// What is told of the selected mailbox.
#[derive(Debug)]
struct OfSelected {
    /// SELECTED-DELAYED: no EXPUNGE between commands.
    is_delayed: bool,
    tells_flags: bool,
    /// What to fetch of new messages.
    items: Vec<FetchItem>,
}

/// What a session is told by itself.
#[derive(Debug, Default)]
pub(super) struct Notifying {
    selected: Option<OfSelected>,
    groups: Vec<(Source, Events)>,
    tells_account: bool,
    /// Of the tree when the names were read.
    stamp: Option<Stamp>,
    names: Names,
    mailboxes: BTreeMap<String, Mailbox>,
    elsewhere: Elsewhere,
    /// Mailboxes of others of which the client was told that it has no access.
    refused: BTreeSet<String>,
    /// The account's annotations.
    annotations: others::Annotated,
    /// The command that runs tells of the selected mailbox, whatever was asked for.
    is_asked: bool,
    /// Which mailboxes are meant must be worked out again.
    is_choice_due: bool,
    /// What is watched is not what should be.
    is_rewatch_due: bool,
    /// The command that runs is followed by a look at other mailboxes.
    is_look_due: bool,
    next_look: Option<Instant>,
}

impl Notifying {
    /// Nothing is told: NOTIFY NONE.
    fn nothing() -> Notifying {
        Notifying { is_rewatch_due: true, ..Notifying::default() }
    }

    fn of(notify: &Notify, me: &Address) -> Notifying {
        let mut notifying = Notifying::nothing();
        for (source, events) in &notify.groups {
            notifying.tells_account |= events.contains(&Event::ServerMetadataChange);
            let is_delayed = *source == Source::SelectedDelayed;
            if !is_delayed && *source != Source::Selected {
                notifying.groups.push((Notifying::spelled(source, me), Events::of(events)));
            } else if !events.is_empty() {
                let items =
                    events.iter().find_map(|e| if let Event::MessageNew(items) = e { Some(items) } else { None });
                let tells_flags = events.contains(&Event::FlagChange);
                let items = items.cloned().unwrap_or_default();
                notifying.selected = Some(OfSelected { is_delayed, tells_flags, items });
            }
        }
        notifying
    }

    /// What is told of a mailbox with this name: all that the groups say which it is in, up to one that says NONE (RFC 5465 §6).
    fn events(&self, name: &str, is_subscribed: bool) -> Events {
        let is_meant = |source: &Source| match source {
            Source::Inboxes => name == INBOX,
            Source::Personal => !namespaces::is_reserved(name),
            Source::Subscribed => is_subscribed,
            Source::Subtree(tops) => tops.iter().any(|top| depth(name, top.as_str()).is_some()),
            Source::Mailboxes(those) => those.iter().any(|one| depth(name, one.as_str()) == Some(0)),
            Source::Selected | Source::SelectedDelayed | Source::SubtreeOne(_) => false,
        };
        let groups = self.groups.iter().filter(|(source, _)| is_meant(source));
        let until_none = groups.take_while(|(_, events)| *events != Events::default());
        until_none.fold(Events::default(), |all, (_, events)| all.with(*events))
    }

    /// True when something other than the selected mailbox has to be looked at.
    fn looks(&self) -> bool {
        self.groups.iter().any(|(_, events)| *events != Events::default())
    }

    /// What has to be watched to hear of it all.
    fn watched(&self, root: &Path) -> Vec<Arc<Path>> {
        let mut paths: Vec<Arc<Path>> = Vec::new();
        if self.looks() {
            paths.push(root.into());
            paths.extend(self.elsewhere.doors.iter().map(|dir| Arc::from(dir.as_path())));
        }
        for mailbox in self.mailboxes.values() {
            let [new, cur, dir] = Folder::watched_in(&mailbox.dir);
            if mailbox.events.has(Events::MESSAGES) {
                paths.extend([new.into(), cur.into()]);
            }
            paths.push(dir.into());
        }
        let mut known = BTreeSet::new();
        paths.retain(|path| known.insert(path.clone()));
        paths
    }
}

impl ImapService {
    /// NOTIFY.
    pub(super) fn notify(&mut self, notify: Option<&Notify>, out: &mut Vec<u8>) -> Run {
        let Some(notify) = notify else {
            self.set_notifying(Notifying::nothing());
            return Ok(Outcome::ok("nothing is told"));
        };
        if let Some(selected) = self.selected.as_deref_mut() {
            // RFC 5465 §3.1: what has gathered is told at once.
            selected.tell_changes(self.enabled, true, out)?;
        }
        let mut notifying = Notifying::of(notify, self.me()?);
        let mut lines = Vec::new();
        match notifying.begin(&self.at()?, notify.status, &mut lines) {
            Ok(()) => {}
            Err(Overflow::Limit) => {
                let text = format!("at most {WATCHED_LIMIT} mailboxes of {OWNERS_LIMIT} owners can be watched");
                return Ok(Outcome::no(Some(Code::NotificationOverflow), text));
            }
            Err(Overflow::Tree(error)) => return Err(error.into()),
        }
        out.append(&mut lines);
        self.set_notifying(notifying);
        Ok(Outcome::ok("changes are told"))
    }

    fn set_notifying(&mut self, notifying: Notifying) {
        self.notifying = Some(Box::new(notifying));
        self.arm_selected();
    }

    /// The selected mailbox is told of as NOTIFY says: it is a new one, or NOTIFY was said anew.
    pub(super) fn arm_selected(&mut self) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        notifying.is_rewatch_due = true;
        let Some(selected) = self.selected.as_deref_mut() else { return };
        let (tells_flags, items) = match &notifying.selected {
            Some(of) => (of.tells_flags, of.items.clone()),
            None => (true, Vec::new()),
        };
        let news = selected.news.get_or_insert_default();
        news.hides_flags = !tells_flags;
        news.items = items;
    }

    /// Where a look begins.
    fn at(&self) -> Result<At<'_>, Trouble> {
        let selected = self.selected.as_deref().map(|selected| &selected.name);
        Ok(At { service: self, tree: self.tree()?, selected, enabled: self.enabled })
    }

    /// A command begins: does it tell of the selected mailbox, though NOTIFY does not?
    pub(super) fn note_command(&mut self, command: &Command, now: Moment) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        let is_poll = matches!(command, Command::Noop | Command::Check | Command::Notify(_));
        notifying.is_asked = is_poll || matches!(command, Command::Copy(..) | Command::Move(..));
        notifying.is_look_due = is_poll || notifying.next_look.is_none_or(|due| due <= now.instant);
        if notifying.is_look_due {
            notifying.next_look = Some(now.instant + BUSY_LOOK);
        }
    }

    /// The same at the end of APPEND.
    pub(super) fn note_append(&mut self) {
        if let Some(notifying) = self.notifying.as_deref_mut() {
            notifying.is_asked = true;
        }
    }

    /// True when nothing is told of the selected mailbox now.
    pub(super) fn is_quiet(&self) -> bool {
        self.notifying.as_deref().is_some_and(|notifying| notifying.selected.is_none() && !notifying.is_asked)
    }

    /// True when EXPUNGE may be told between commands.
    pub(super) fn may_expunge_unasked(&self) -> bool {
        let selected = self.notifying.as_deref().and_then(|notifying| notifying.selected.as_ref());
        self.is_idle || selected.is_none_or(|of| !of.is_delayed)
    }

    /// At the end of a command: other mailboxes are looked at, if that is due; the driver tells when something happened, but a client
    /// that has always more to say keeps it from being heard.
    pub(super) fn tell_others_when_due(&mut self, out: &mut Vec<u8>) {
        let Some(notifying) = self.notifying.as_deref_mut() else { return };
        notifying.is_asked = false;
        if std::mem::take(&mut notifying.is_look_due) {
            self.tell_others(out);
        }
        self.rewatch_when_due();
    }

    /// Looks at everything but the selected mailbox, and tells what is new.
    pub(super) fn tell_others(&mut self, out: &mut Vec<u8>) {
        let Some(mut notifying) = self.notifying.take() else { return };
        let looked = match self.at() {
            Ok(at) => notifying.look(&at, out),
            Err(_) => Ok(()),
        };
        self.notifying = Some(notifying);
        match looked {
            Ok(()) => {}
            Err(Overflow::Limit) => {
                // RFC 5465 §5.8.
                let text =
                    format!("more than {WATCHED_LIMIT} mailboxes or {OWNERS_LIMIT} owners: nothing is told any more");
                response::untagged(out, Status::Ok, Some(&Code::NotificationOverflow), &text);
                self.set_notifying(Notifying::nothing());
            }
            // The next look may do better.
            Err(Overflow::Tree(error)) => {
                log::event("notify-failed").maybe("user", self.user()).field("reason", error).error().write();
            }
        }
    }

    /// Has the driver watch what must be watched now.
    pub(super) fn rewatch(&mut self) {
        let mut paths: Vec<Arc<Path>> = Vec::new();
        let tells_selected = self.notifying.as_deref().map_or(self.is_idle, |n| n.selected.is_some());
        if let (Some(selected), true) = (&self.selected, tells_selected) {
            paths.extend(selected.folder.watched().into_iter().map(Arc::from));
        }
        if let (Some(notifying), Some(account)) = (self.notifying.as_deref_mut(), &self.account) {
            notifying.is_rewatch_due = false;
            let more = notifying.watched(account.tree.watched());
            paths.extend(
                more.into_iter().filter(|path| !paths[..paths.len().min(3)].contains(path)).collect::<Vec<_>>(),
            );
        }
        self.watched = paths.into();
    }

    pub(super) fn rewatch_when_due(&mut self) {
        if self.notifying.as_deref().is_some_and(|notifying| notifying.is_rewatch_due) {
            self.rewatch();
        }
    }

    fn user(&self) -> Option<String> {
        self.account.as_ref().map(|account| account.login.account().address.to_string())
    }
}

/// A name from the tree as the protocol has it; what a client could not say is not told.
fn named(name: &str) -> Option<MailboxName> {
    MailboxName::new(name)
}
