//! SORT and THREAD on their way: what matches is searched for, then its records are made, piece by piece, so that a long one can say how far
//! it is. What is left to do then reads records only.

use super::find::{self, Matches, Wanted};
use super::hunt::Hunt;
use super::selected::{Depth, Selected, TOGETHER};
use super::{Run, Trouble, not_now, sort, thread};
use crate::clock::Timestamp;
use crate::mailbox::Uid;
use crate::proto::imap::response::Code;
use crate::proto::imap::{Enabled, Sort, SortCriterion, Thread};
use crate::store::FolderError;

/// The command.
#[derive(Debug)]
pub(super) enum Arrangement {
    Sort(Sort),
    Thread(Thread),
}

impl Arrangement {
    fn wanted(&self, now: Timestamp) -> Wanted<'_> {
        let (key, charset) = match self {
            Arrangement::Sort(sort) => (&sort.key, &sort.charset),
            Arrangement::Thread(thread) => (&thread.key, &thread.charset),
        };
        Wanted { key, charset: Some(charset), now, is_limited: false }
    }

    fn is_scored(&self) -> bool {
        let Arrangement::Sort(sort) = self else { return false };
        let is_by_score = sort.criteria.iter().any(|(criterion, _)| *criterion == SortCriterion::Relevancy);
        is_by_score || sort.returns.as_ref().is_some_and(|returns| returns.relevancy)
    }

    fn needs_records(&self) -> bool {
        match self {
            Arrangement::Sort(sort) => sort::needs_records(&sort.criteria),
            Arrangement::Thread(_) => true,
        }
    }
}

/// The state of one.
#[derive(Debug)]
pub(super) struct Arranging {
    command: Arrangement,
    tag: Box<str>,
    now: Timestamp,
    hunt: Hunt,
    /// The same search without FUZZY, where scores are asked for.
    exact: Option<Hunt>,
    /// Messages that match and had no record, once that is known.
    missing: Option<Vec<Uid>>,
    /// So many of these have one now.
    made: usize,
}

impl Arranging {
    pub(super) fn begin(
        selected: &mut Selected,
        command: Arrangement,
        tag: &str,
        enabled: Enabled,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Arranging, Trouble> {
        match &command {
            Arrangement::Sort(sort) => {
                let updates = sort.returns.as_ref().is_some_and(|returns| returns.update.is_some());
                if updates && selected.has_context(tag) {
                    return Err(Trouble::Told(not_now("this tag is in use")));
                }
            }
            Arrangement::Thread(_) => selected.check_thread()?,
        }
        let wanted = command.wanted(now);
        let (hunt, _) = find::hunt(selected, wanted, false, enabled, out)?;
        let exact = match command.is_scored() {
            true => Some(find::hunt(selected, wanted, true, enabled, out)?.0),
            false => None,
        };
        Ok(Arranging { command, tag: tag.into(), now, hunt, exact, missing: None, made: 0 })
    }

    /// Does the next piece; true when that was the last.
    pub(super) fn step(&mut self, selected: &Selected) -> Result<bool, FolderError> {
        let is_found =
            self.hunt.step(selected)? && self.exact.as_mut().map_or(Ok(true), |exact| exact.step(selected))?;
        if !is_found || !self.command.needs_records() {
            return Ok(is_found);
        }
        let missing = self.missing.get_or_insert_with(|| {
            let snapshot = selected.view.snapshot();
            let found: Vec<Uid> = self.hunt.numbers().filter_map(|n| snapshot.at(n)).map(|entry| entry.uid).collect();
            selected.folder.uncached(&found)
        });
        let next = &missing[self.made..missing.len().min(self.made + TOGETHER)];
        selected.messages().prepare(next, Depth::Header)?;
        self.made += next.len();
        Ok(self.made == missing.len())
    }

    /// Its tag, and how far it is (RFC 9585).
    pub(super) fn progress(&self) -> Code {
        let (done, all) = match &self.missing {
            Some(missing) => (self.made as u64, missing.len() as u64),
            None => self.hunt.progress(),
        };
        Code::InProgress(self.tag.clone(), Some((done, all)).filter(|(done, all)| done < all))
    }

    /// Tells the messages in their order.
    pub(super) fn finish(self, selected: &mut Selected, enabled: Enabled, out: &mut Vec<u8>) -> Run {
        let exact = self.exact.map(Hunt::found).unwrap_or_default();
        let found = Matches { numbers: self.hunt.found(), exact, limit: None };
        match &self.command {
            Arrangement::Sort(sort) => sort::sorted(selected, sort, &self.tag, found, enabled, self.now, out),
            Arrangement::Thread(thread) => thread::threaded(selected, thread, &found.numbers, enabled, out),
        }
    }
}
