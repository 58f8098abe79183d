//! Why an address goes where it goes: the decisions on the way, one by one.
//!
//! Written by everything in `route`, read by `emsend -bv`, `emsend -bt --explain` and the tests.

use std::cell::RefCell;

/// What decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decider {
    /// A rule of em.cf.
    Rule,
    /// A row of a table.
    Table,
    /// An alias, or an :include: file.
    Alias,
    /// An account, a system account, the postmaster rule.
    Account,
    /// Who may send where.
    Policy,
    /// What it came to.
    Result,
}

impl Decider {
    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Decider::Rule => "rule",
            Decider::Table => "table",
            Decider::Alias => "alias",
            Decider::Account => "account",
            Decider::Policy => "policy",
            Decider::Result => "result",
        }
    }
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// What decided.
    pub decider: Decider,
    /// The file and the line, where there is one.
    pub place: Option<(String, usize)>,
    /// The decision in words.
    pub text: String,
    /// How many aliases lead here.
    pub depth: usize,
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for _ in 0..self.depth {
            f.write_str("  ")?;
        }
        if let Some((file, line)) = &self.place {
            write!(f, "{file}:{line}: ")?;
        }
        f.write_str(&self.text)
    }
}

/// The decisions so far, where somebody wants to know them.
#[derive(Debug, Default)]
pub struct Steps {
    wanted: bool,
    rules: bool,
    state: RefCell<(usize, Vec<Step>)>,
}

impl Steps {
    /// Nobody wants to know.
    pub fn unwanted() -> Steps {
        Steps::default()
    }

    /// Everything but single rules.
    pub fn wanted() -> Steps {
        Steps { wanted: true, ..Steps::default() }
    }

    /// Everything, with the rules that fired.
    pub fn with_rules() -> Steps {
        Steps { wanted: true, rules: true, ..Steps::default() }
    }

    /// True when somebody wants to know.
    pub fn are_wanted(&self) -> bool {
        self.wanted
    }

    /// True when the rules that fire are wanted too.
    pub fn want_rules(&self) -> bool {
        self.rules
    }

    /// Adds a decision; the words are made only when they are wanted.
    pub fn say(&self, decider: Decider, text: impl FnOnce() -> String) {
        self.say_at(decider, || (None, text()));
    }

    /// The same with a place.
    pub fn say_at(&self, decider: Decider, words: impl FnOnce() -> (Option<(String, usize)>, String)) {
        if self.wanted {
            let (place, text) = words();
            let mut state = self.state.borrow_mut();
            let depth = state.0;
            state.1.push(Step { decider, place, text, depth });
        }
    }

    /// What is said from now on stands so deep.
    pub fn set_depth(&self, depth: usize) {
        self.state.borrow_mut().0 = depth;
    }

    /// All decisions, in order.
    pub fn into_list(self) -> Vec<Step> {
        self.state.into_inner().1
    }
}
