//! Commands that go on: their output is made piece by piece, as the peer takes it.

use super::arrange::Arranging;
use super::fetch::{Fetch, digest_depth};
use super::find::{self, Searching};
use super::international::Downgrade;
use super::notify::Told;
use super::selected::TOGETHER;
use super::trouble::Trouble;
use super::{ImapService, Run, limit, message, not_now, select};
use crate::mailbox::{Rights, UidSet};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Answer, Enabled, Extension, Fetch as FetchCommand, FetchItem, Outcome};
use std::time::Instant;

/// A command on its way.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) work: Work,
    pub(super) may_expunge: bool,
    /// When the client has last heard of it, or it began.
    pub(super) told: Instant,
}

/// Which it is.
#[derive(Debug)]
pub(super) enum Work {
    Fetch(Box<Fetch>),
    Search(Box<Searching>),
    Arrange(Box<Arranging>),
}

impl ImapService {
    /// Prepares FETCH; the output is made by [`ImapService::more`].
    pub(super) fn fetch(&mut self, fetch: &FetchCommand, now: Instant, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let selected = self.selected()?;
        let mut numbers = selected.choose(&fetch.messages).ok_or(Trouble::NoSuchMessage)?;
        if let Some(since) = fetch.changed_since {
            if fetch.vanished {
                select::tell_vanished(selected, since, &fetch.messages, out)?;
            }
            let snapshot = selected.view.snapshot();
            numbers = numbers.iter().filter(|n| snapshot.at(*n).is_some_and(|e| e.modseq > since)).collect();
        }
        if let Some(range) = fetch.partial {
            selected.limits.check_partial(range).map_err(Trouble::Told)?;
            numbers = find::window(&numbers, range);
        }
        let (numbers, limit) = selected.limited(numbers);
        let wants = |wanted: &FetchItem| fetch.items.contains(wanted);
        if let (true, Some(depth)) = (wants(&FetchItem::Size), fetch.items.iter().filter_map(digest_depth).max())
            && numbers.len() <= TOGETHER as u64
        {
            selected.measure_with_records(&numbers, depth, enabled, out)?;
        }
        if wants(&FetchItem::InternalDate) || wants(&FetchItem::Size) {
            selected.measure(&numbers, wants(&FetchItem::Size), enabled, out)?;
        }
        let mut seen = UidSet::default();
        // RFC 4314 §4: without the right to it nothing is marked as seen.
        let may_see = !selected.is_read_only && selected.rights.holds(Rights::SEEN);
        if fetch.items.iter().any(|item| item.sets_seen()) && may_see {
            seen = message::see(selected, &numbers, enabled, out)?;
        }
        let mut items = fetch.items.clone();
        complete(&mut items, fetch.messages.is_uid, fetch.changed_since.is_some(), enabled);
        let mut fetch_job = Fetch::new(items, &numbers, fetch.messages.is_uid, seen, selected);
        fetch_job.limit_to(limit);
        fetch_job.downgrade = Downgrade::new(!self.reads_utf8_headers());
        let may_expunge = fetch.messages.is_uid;
        self.job = Some(Box::new(Job { work: Work::Fetch(Box::new(fetch_job)), may_expunge, told: now }));
        Ok(Outcome::ok("fetched"))
    }

    /// The next piece of a command's output.
    pub(super) fn more(&mut self, mut out: Vec<u8>, now: Instant) -> Answer {
        if let Some(fetch) = self.urls.take() {
            return self.more_of_urls(fetch, out);
        }
        let Some(mut job) = self.job.take() else {
            return self.more_news(out);
        };
        let Some(selected) = self.selected.as_deref() else {
            return self.finish(Ok(not_now("select a mailbox first")), true, out);
        };
        let stepped = match &mut job.work {
            Work::Fetch(fetch) => fetch.step(selected, self.enabled, &mut out),
            Work::Search(search) => search.step(selected),
            Work::Arrange(arranging) => arranging.step(selected),
        };
        match stepped {
            Ok(false) => {
                self.tell_progress(&mut job, now, &mut out);
                self.job = Some(job);
                Answer::Output { bytes: out, outcome: None }
            }
            Ok(true) => {
                let result = self.ended(job.work, &mut out);
                self.finish(result, job.may_expunge, out)
            }
            Err(e) => self.finish(Err(e.into()), job.may_expunge, out),
        }
    }

    /// RFC 9585 §3: a client that waits for a search hears from time to time that it goes on. A FETCH shows it by its own output.
    pub(super) fn tell_progress(&self, job: &mut Job, now: Instant, out: &mut Vec<u8>) {
        let code = match &job.work {
            Work::Search(search) => search.progress(),
            Work::Arrange(arranging) => arranging.progress(),
            Work::Fetch(_) => return,
        };
        let every = self.desk.site.settings.imap.progress;
        if !every.is_zero() && now.saturating_duration_since(job.told) >= every {
            response::untagged(out, Status::Ok, Some(&code), "still searching");
            job.told = now;
        }
    }

    pub(super) fn ended(&mut self, work: Work, out: &mut Vec<u8>) -> Run {
        let enabled = self.enabled;
        let mut fetch = match work {
            Work::Search(search) => return search.finish(self.selected()?, enabled, out),
            Work::Arrange(arranging) => return arranging.finish(self.selected()?, enabled, out),
            Work::Fetch(fetch) => fetch,
        };
        // RFC 2180 §4.1.2: the client learns that it did not get everything.
        let outcome = match (fetch.has_unknown_encoding, fetch.has_gaps) {
            (true, _) => Outcome::no(Some(Code::UnknownCte), "a part's encoding is not known"),
            (_, true) => Outcome::no(Some(Code::ExpungeIssued), "some messages are gone"),
            _ => Outcome::ok("fetched"),
        };
        let outcome = limit::told(outcome, fetch.limit.take(), out);
        Ok(fetch.downgrade.tell(outcome, enabled, out))
    }

    /// The next piece of what is fetched unasked before the end of a command.
    pub(super) fn more_news(&mut self, mut out: Vec<u8>) -> Answer {
        let told = self.selected.as_deref_mut().map(|selected| selected.more_news(self.enabled, &mut out));
        match told {
            Some(Told::More) => Answer::Output { bytes: out, outcome: None },
            Some(Told::All(Some(outcome))) => Answer::Output { bytes: out, outcome: Some(outcome) },
            _ => self.finish(Ok(Outcome::ok("done")), true, out),
        }
    }
}

/// The items that a response has beside those asked for: UID (RFC 9051 §6.4.9), MODSEQ (RFC 7162 §3.1.4).
pub(super) fn complete(items: &mut Vec<FetchItem>, is_uid: bool, is_since: bool, enabled: Enabled) {
    // Under UIDONLY the response itself begins with the identifier.
    let wants_uid = is_uid && !enabled.has(Extension::UidOnly);
    let wants_modseq = is_since || (enabled.has(Extension::Condstore) && items.contains(&FetchItem::Flags));
    for (item, is_wanted) in [(FetchItem::Uid, wants_uid), (FetchItem::ModSeq, wants_modseq)] {
        if is_wanted && !items.contains(&item) {
            items.insert(0, item);
        }
    }
}
