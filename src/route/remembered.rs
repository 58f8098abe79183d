//! What the rules made of addresses lately, for as long as they would make the same of them again.
//!
//! What rules make of an address follows from the address, the rules and the rows of the tables that they asked; where they ask anything
//! else (names, directories, programs, accounts of the system, chance), nothing is remembered. Each table is looked at before an answer is
//! given again, as the rules would have looked at it: an edit is seen at once.

use super::em_cf::Compiled;
use super::triple::Routed;
use crate::addr::Address;
use crate::tables::{TableState, TextTable};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Most addresses remembered.
const LIMIT: usize = 4096;

/// Tables that were asked, in the state that answered.
#[derive(Debug, Default)]
pub(super) struct Asked {
    tables: Vec<(TextTable, TableState)>,
    /// Something else was asked too.
    pub(super) others: bool,
}

impl Asked {
    /// Notes a table that is about to be asked.
    pub(super) fn table(&mut self, table: &TextTable) {
        match table.state() {
            // Several look-ups, one state: a change in between gives another answer than either state would.
            Ok(state) => match self.tables.iter().find(|(known, _)| known.is_same(table)) {
                Some((_, before)) => self.others |= *before != state,
                None => self.tables.push((table.clone(), state)),
            },
            Err(_) => self.others = true,
        }
    }

    fn is_current(&self) -> bool {
        self.tables.iter().all(|(table, state)| table.state().is_ok_and(|now| now == *state))
    }
}

/// Addresses with what became of them; shared by all sessions of a process.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// By which rules.
    rules: Option<Arc<Compiled>>,
    addresses: HashMap<Address, (Routed, Asked)>,
}

impl Remembered {
    /// What these rules made of an address, if they would make the same of it now.
    pub(super) fn find(&self, rules: &Arc<Compiled>, address: &Address) -> Option<Routed> {
        let state = self.state();
        if !state.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) {
            return None;
        }
        let (routed, asked) = state.addresses.get(address)?;
        asked.is_current().then(|| routed.clone())
    }

    /// Remembers it.
    pub(super) fn keep(&self, rules: &Arc<Compiled>, address: &Address, routed: &Routed, asked: Asked) {
        if asked.others {
            return;
        }
        let mut state = self.state();
        if !state.rules.as_ref().is_some_and(|known| Arc::ptr_eq(known, rules)) || state.addresses.len() >= LIMIT {
            *state = State { rules: Some(rules.clone()), addresses: HashMap::new() };
        }
        state.addresses.insert(address.clone(), (routed.clone(), asked));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while it was held leaves answers that are as good as before.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
