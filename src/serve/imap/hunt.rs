//! A search on its way: piece by piece, so that a long one can say how far it is.
//!
//! First the records that are missing are made, then each message is decided by its entry and its record; what that leaves open is
//! asked of the texts. Each [`Hunt::step`] reads about [`TOGETHER`] messages; the result is the same however many steps it takes.

use super::search::Prepared;
use super::selected::{Messages, Selected, TOGETHER};
use super::texts::{self, Question};
use crate::mailbox::{Uid, UidSet};
use crate::store::FolderError;

/// The state of a search.
#[derive(Debug)]
pub(super) struct Hunt {
    prepared: Prepared,
    /// Sequence numbers that may match.
    candidates: UidSet,
    /// So many of them have their records.
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
        Hunt { prepared, candidates, recorded: 0, stage: Stage::Records, found: Vec::new(), open: Vec::new() }
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
            Stage::Records => (self.recorded as u64, self.candidates.len()),
            Stage::Narrow(_) => (0, self.open.len() as u64),
            Stage::Read(_, at, _) => (at as u64, self.open.len() as u64),
            Stage::Done => (0, 0),
        }
    }

    /// The sequence numbers that match.
    pub(super) fn found(mut self) -> UidSet {
        self.found.sort_unstable();
        self.found.into_iter().collect()
    }

    /// Makes the next records; behind the last one decides what needs no text.
    fn record(&mut self, selected: &Selected, messages: &mut Messages<'_>) -> Result<Stage, FolderError> {
        let snapshot = messages.snapshot().clone();
        let entries = self.candidates.iter().filter_map(|number| Some((number, *snapshot.at(number)?)));
        if self.prepared.test.needs_digests() && (self.recorded as u64) < self.candidates.len() {
            let next: Vec<Uid> = entries.skip(self.recorded).take(TOGETHER).map(|(_, entry)| entry.uid).collect();
            messages.prepare(&next)?;
            self.recorded = if next.is_empty() { usize::MAX } else { self.recorded + next.len() };
            return Ok(Stage::Records);
        }
        for (number, entry) in entries.filter(|(_, entry)| !selected.view.is_ghost(entry.uid)) {
            match self.prepared.test.decide(number, &entry, messages, &|_| None)? {
                Some(true) => self.found.push(number),
                Some(false) => {}
                None => self.open.push(Question::new(number, entry.uid)),
            }
        }
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
