//! What the rules said lately, for as long as they would say the same again.
//!
//! What rules make of an address follows from the address, the macros that are set for it, the rules and the rows of the tables that they
//! asked; where they ask anything else (names, directories, programs, accounts of the system, chance), nothing is remembered. Each table is
//! looked at before an answer is given again, as the rules would have looked at it: an edit is seen at once.

use super::em_cf::Compiled;
use crate::tables::{TableState, TextTable};
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Tables that were asked, in the state that answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    tables: Vec<(TextTable, TableState)>,
    /// Something else was asked too.
    pub(super) others: bool,
}

impl Asked {
    /// Notes a table that was asked in this state; none where it had a mistake.
    pub(super) fn table(&mut self, table: &TextTable, state: Option<TableState>) {
        match state {
            // Several look-ups, one state: a change in between gives another answer than either state would.
            Some(state) => match self.tables.iter().find(|(known, _)| known.is_same(table)) {
                Some((_, before)) => self.others |= *before != state,
                None => self.tables.push((table.clone(), state)),
            },
            None => self.others = true,
        }
    }

    fn is_current(&self) -> bool {
        self.tables.iter().all(|(table, state)| table.state().is_ok_and(|now| now == *state))
    }
}

/// Questions with their answers; shared by all sessions of a process.
#[derive(Debug)]
pub(super) struct Remembered<K, V> {
    /// Most answers; then all are forgotten.
    limit: usize,
    state: Mutex<State<K, V>>,
}

#[derive(Debug)]
struct State<K, V> {
    /// By which rules.
    rules: Option<Arc<Compiled>>,
    answers: HashMap<K, Arc<(V, Asked)>>,
}

impl<K: Eq + Hash, V> Remembered<K, V> {
    /// Room for so many answers.
    pub(super) fn with_limit(limit: usize) -> Remembered<K, V> {
        Remembered { limit, state: Mutex::new(State { rules: None, answers: HashMap::new() }) }
    }

    /// What `taken` makes of the answer of these rules, if they would give the same now.
    pub(super) fn find<T>(&self, rules: &Arc<Compiled>, key: &K, taken: impl FnOnce(&V) -> Option<T>) -> Option<T> {
        let remembered = {
            let state = self.state();
            if !state.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
                return None;
            }
            // Nobody waits while the tables are looked at.
            state.answers.get(key)?.clone()
        };
        let (answer, asked) = &*remembered;
        let taken = taken(answer)?;
        asked.is_current().then_some(taken)
    }

    /// Remembers an answer; `answer` is called where it may be.
    pub(super) fn keep(&self, rules: &Arc<Compiled>, key: K, asked: Asked, answer: impl FnOnce() -> V) {
        if asked.others {
            return;
        }
        let mut state = self.state();
        if !state.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) || state.answers.len() >= self.limit {
            *state = State { rules: Some(rules.clone()), answers: HashMap::new() };
        }
        state.answers.insert(key, Arc::new((answer(), asked)));
    }

    /// Answers that are held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.state().answers.len()
    }

    fn state(&self) -> MutexGuard<'_, State<K, V>> {
        // A panic while it was held leaves answers that are as good as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
