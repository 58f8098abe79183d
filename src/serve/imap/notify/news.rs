//! What is fetched of new messages in the selected mailbox, unasked (RFC 5465 §5.2 and §7).
//!
//! EXISTS is told where it always is; what is to be fetched gathers meanwhile and goes out at the end of the command, or of the look, when
//! no sequence number can shift any more. It goes out piece by piece, as the peer takes it. Nothing that is fetched in this way counts as
//! read: `\Seen` stays as it is.

use super::super::complete;
use super::super::fetch::Fetch;
use super::super::international::Downgrade;
use super::super::selected::Selected;
use crate::log;
use crate::mailbox::{Uid, UidSet, View};
use crate::proto::imap::{Enabled, Extension, FetchItem, Outcome};
use crate::store::FolderError;
use std::collections::VecDeque;

/// Beside the selected mailbox of a session with NOTIFY, or with a search that wants items of what comes to match.
#[derive(Debug, Default)]
pub(in crate::serve::imap) struct News {
    /// Changes of flags by others are not told.
    pub(in crate::serve::imap) hides_flags: bool,
    /// MessageNew: what to fetch.
    pub(in crate::serve::imap) items: Vec<FetchItem>,
    /// Messages that this session has made itself (identifiers): nothing is fetched of them.
    own: UidSet,
    /// New messages, and all that searches have to test again.
    pub(in crate::serve::imap) new: Vec<Uid>,
    pub(in crate::serve::imap) touched: Vec<Uid>,
    telling: Option<Telling>,
}

/// Output that is not made yet.
#[derive(Debug)]
struct Telling {
    fetches: VecDeque<Fetch>,
    /// What stands behind it.
    lines: Vec<u8>,
    /// The end of the command that waits for it.
    outcome: Option<Outcome>,
}

/// How far the output is made.
pub(in crate::serve::imap) enum Told {
    More,
    /// All of it; what waited for it.
    All(Option<Outcome>),
}

impl Selected {
    /// The client has made these messages (identifiers).
    pub(super) fn note_own(&mut self, added: &UidSet) {
        if let Some(news) = self.news.as_deref_mut() {
            news.own = UidSet::from_ranges([news.own.ranges(), added.ranges()].concat());
        }
    }

    /// CLOSE has removed these without a word: they are known to be gone, unless something else has happened.
    pub(in crate::serve::imap) fn note_closed(&mut self, gone: &UidSet) -> Result<(), FolderError> {
        if self.news.is_some() && !gone.is_empty() {
            let after = self.folder.refresh()?;
            let before = self.view.snapshot().entries.iter().filter(|entry| !gone.contains(entry.uid.number()));
            if before.map(|e| (e.uid, e.modseq)).eq(after.entries.iter().map(|e| (e.uid, e.modseq))) {
                self.view = View::new(after);
            }
        }
        Ok(())
    }

    /// True when new messages wait for [`Selected::begin_news`]: searches are not told of them before.
    pub(in crate::serve::imap) fn has_items_for_new(&self) -> bool {
        let wants =
            |news: &News| !news.items.is_empty() || self.contexts.iter().any(|context| !context.items.is_empty());
        self.news.as_deref().is_some_and(wants)
    }

    /// Starts on what has gathered. True when there is output to come, by [`Selected::more_news`]. A client that reads no header fields in
    /// UTF-8 is shown none here either (RFC 9755).
    pub(in crate::serve::imap) fn begin_news(
        &mut self,
        enabled: Enabled,
        reads_utf8: bool,
        out: &mut Vec<u8>,
    ) -> Result<bool, FolderError> {
        let Some(news) = self.news.as_deref_mut() else { return Ok(false) };
        let (mut new, touched) = (std::mem::take(&mut news.new), std::mem::take(&mut news.touched));
        new.sort_unstable();
        let own = std::mem::take(&mut news.own);
        if new.is_empty() && touched.is_empty() {
            return Ok(false);
        }
        let items = news.items.clone();
        let mut lines = Vec::new();
        if !self.contexts.is_empty() {
            let all: UidSet = new.iter().chain(&touched).copied().collect();
            self.tell_contexts(&all, enabled, &mut lines)?;
        }
        if !items.is_empty() {
            // RFC 5465 §5.2: FETCH follows ESEARCH. Where only a search asked for it, it comes before (§7).
            out.append(&mut lines);
        }
        let mut fetches = self.fetches(&new, &own, &items, enabled);
        fetches.iter_mut().for_each(|fetch| fetch.downgrade = Downgrade::new(!reads_utf8));
        if let Some(news) = self.news.as_deref_mut() {
            news.telling = Some(Telling { fetches, lines, outcome: None });
        }
        Ok(true)
    }

    /// One FETCH for messages of which the same is wanted.
    fn fetches(&self, new: &[Uid], own: &UidSet, items: &[FetchItem], enabled: Enabled) -> VecDeque<Fetch> {
        let mut together: Vec<(Vec<FetchItem>, UidSet)> = Vec::new();
        for uid in new.iter().filter(|uid| !own.contains(uid.number()) && !self.view.is_ghost(**uid)) {
            let Some(number) = self.view.snapshot().number(*uid) else { continue };
            let mut wanted = items.to_vec();
            // RFC 5465 §5.2: what searches want is combined with it.
            for context in self.contexts.iter().filter(|context| context.results.contains(&uid.number())) {
                wanted.extend(context.items.iter().filter(|item| !wanted.contains(item)).cloned().collect::<Vec<_>>());
            }
            if wanted.is_empty() {
                continue;
            }
            match together.iter_mut().find(|(items, _)| *items == wanted) {
                Some((_, numbers)) => numbers.push(number),
                None => together.push((wanted, [number].into_iter().collect())),
            }
        }
        let fetch = |(mut items, numbers): (Vec<FetchItem>, UidSet)| {
            // RFC 7162 §3.2.4: what is told unasked has the identifier.
            complete(&mut items, enabled.has(Extension::Qresync), false, enabled);
            Fetch::new(items, &numbers, true, UidSet::default(), self)
        };
        together.into_iter().map(fetch).collect()
    }

    /// True when output is to come.
    pub(in crate::serve::imap) fn is_telling_news(&self) -> bool {
        self.news.as_deref().is_some_and(|news| news.telling.is_some())
    }

    /// The command's reply waits for the news.
    pub(in crate::serve::imap) fn hold_outcome(&mut self, outcome: Outcome) {
        if let Some(telling) = self.news.as_deref_mut().and_then(|news| news.telling.as_mut()) {
            telling.outcome = Some(outcome);
        }
    }

    /// Appends the next piece. What can't be read is left out: the client may ask for it.
    pub(in crate::serve::imap) fn more_news(&mut self, enabled: Enabled, out: &mut Vec<u8>) -> Told {
        let Some(mut telling) = self.news.as_deref_mut().and_then(|news| news.telling.take()) else {
            return Told::All(None);
        };
        while let Some(fetch) = telling.fetches.front_mut() {
            match fetch.step(self, enabled, out) {
                Ok(false) => {
                    if let Some(news) = self.news.as_deref_mut() {
                        news.telling = Some(telling);
                    }
                    return Told::More;
                }
                Ok(true) => {}
                Err(e) => {
                    let folder = self.folder.dir().display();
                    log::event("notify-failed").field("folder", folder).field("reason", e).error().write();
                }
            }
            fetch.downgrade.tell_unasked(out);
            telling.fetches.pop_front();
        }
        out.append(&mut telling.lines);
        Told::All(telling.outcome)
    }
}
