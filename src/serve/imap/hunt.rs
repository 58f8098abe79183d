//! A search on its way: piece by piece, so that a long one can say how far it is.
//!
//! What entries alone decide is decided at once. Otherwise the records that are missing are made first, then each message is decided by its
//! entry and its record; what that leaves open is asked of the texts. Each [`Hunt::step`] reads about [`TOGETHER`] messages; the result is the same however many steps it takes.

use super::search::Prepared;
use super::selected::{Depth, Messages, Selected, TOGETHER};
use super::texts::{self, Question};
use crate::mailbox::{Entry, Uid, UidSet};
use crate::store::FolderError;

/// The state of a search.
#[derive(Debug)]
pub(super) struct Hunt {
    prepared: Prepared,
    /// Sequence numbers that may match.
    candidates: UidSet,
    /// Those of them that had no record when the search began, once that is known.
    missing: Option<Vec<Uid>>,
    /// So many of these have one now.
    recorded: usize,
    stage: Stage,
    found: Vec<u32>,
    /// Messages that only their text decides.
    open: Vec<Question>,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    /// Records are made.
    Records,
    /// The index is looked into for this group of keys.
    Narrow(usize),
    /// Texts are read for this group: from this question on, and whether the index is filled.
    Read(usize, usize, bool),
    Done,
}

impl Hunt {
    pub(super) fn new(prepared: Prepared, candidates: UidSet) -> Hunt {
        let (found, open) = (Vec::new(), Vec::new());
        Hunt { prepared, candidates, missing: None, recorded: 0, stage: Stage::Records, found, open }
    }

    /// Does the next piece; true when that was the last.
    pub(super) fn step(&mut self, selected: &Selected) -> Result<bool, FolderError> {
        let mut messages = selected.messages();
        self.stage = match self.stage {
            Stage::Records => self.record(selected, &mut messages)?,
            Stage::Narrow(group) => match self.prepared.keys.chunks(texts::GROUP).nth(group) {
                Some(keys) if !self.open.is_empty() => {
                    let keeps = texts::narrow(keys, &mut self.open, &messages)?;
                    self.settle(&mut messages, |question, key| match key / texts::GROUP {
                        of if of == group && !question.may(key % texts::GROUP) => Some(false),
                        of => question.earlier(of, key % texts::GROUP),
                    })?;
                    Stage::Read(group, 0, keeps)
                }
                _ => Stage::Done,
            },
            Stage::Read(group, from, keeps) if from < self.open.len() => {
                let to = self.open.len().min(from + TOGETHER);
                let keys = self.prepared.keys.chunks(texts::GROUP).nth(group).unwrap_or_default();
                texts::ask(keys, &mut self.open[from..to], messages.folder, keeps)?;
                Stage::Read(group, to, keeps)
            }
            Stage::Read(group, ..) => {
                self.open.iter_mut().for_each(Question::close_group);
                self.settle(&mut messages, |question, key| question.earlier(key / texts::GROUP, key % texts::GROUP))?;
                Stage::Narrow(group + 1)
            }
            Stage::Done => Stage::Done,
        };
        if matches!(self.stage, Stage::Done) {
            // What was learnt of messages is worth keeping; a search that fails to keep it has not failed.
            let _ = selected.folder.flush_cache();
        }
        Ok(matches!(self.stage, Stage::Done))
    }

    /// Messages that were read, and those that there are to read, as far as is known.
    pub(super) fn progress(&self) -> (u64, u64) {
        match self.stage {
            Stage::Records => (self.recorded as u64, self.missing.as_ref().map_or(0, Vec::len) as u64),
            Stage::Narrow(_) => (0, self.open.len() as u64),
            Stage::Read(_, at, _) => (at as u64, self.open.len() as u64),
            Stage::Done => (0, 0),
        }
    }

    /// The sequence numbers that match, in no order, once the search is done.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u32> {
        self.found.iter().copied()
    }

    /// The same, in order.
    pub(super) fn found(mut self) -> UidSet {
        self.found.sort_unstable();
        self.found.into_iter().collect()
    }

    /// Makes the next records; behind the last one decides what needs no text.
    fn record(&mut self, selected: &Selected, messages: &mut Messages<'_>) -> Result<Stage, FolderError> {
        let (snapshot, test) = (messages.snapshot().clone(), &self.prepared.test);
        let entries = || self.candidates.iter().filter_map(|number| Some((number, snapshot.at(number)?)));
        let is_there = |entry: &Entry| !selected.view.is_ghost(entry.uid);
        if test.is_at_sight() {
            let is_found = |(number, entry): &(u32, &Entry)| {
                test.at_sight(*number, entry, &selected.recent) == Some(true) && is_there(entry)
            };
            self.found = entries().filter(is_found).map(|(number, _)| number).collect();
            return Ok(Stage::Done);
        }
        if test.needs_digests() {
            let missing = match self.missing.take() {
                Some(missing) => missing,
                None => selected.folder.uncached(&entries().map(|(_, entry)| entry.uid).collect::<Vec<_>>()),
            };
            let next = &missing[self.recorded..missing.len().min(self.recorded + TOGETHER)];
            messages.prepare(next, Depth::Header)?;
            self.recorded += next.len();
            let is_more = self.recorded < missing.len();
            self.missing = Some(missing);
            if is_more {
                return Ok(Stage::Records);
            }
        }
        let (mut found, mut open) = (Vec::new(), Vec::new());
        for (number, entry) in entries().filter(|(_, entry)| is_there(entry)) {
            match test.decide(number, entry, messages, &|_| None)? {
                Some(true) => found.push(number),
                Some(false) => {}
                None => open.push(Question::new(number, entry.uid)),
            }
        }
        (self.found, self.open) = (found, open);
        Ok(Stage::Narrow(0))
    }

    /// Leaves open what is still open with what is known of texts now.
    fn settle(
        &mut self,
        messages: &mut Messages<'_>,
        known: impl Fn(&Question, usize) -> Option<bool>,
    ) -> Result<(), FolderError> {
        let snapshot = messages.snapshot().clone();
        for question in std::mem::take(&mut self.open) {
            let Some(entry) = snapshot.at(question.number) else { continue };
            match self.prepared.test.decide(question.number, entry, messages, &|key| known(&question, key))? {
                Some(true) => self.found.push(question.number),
                Some(false) => {}
                None => self.open.push(question),
            }
        }
        Ok(())
    }
}
