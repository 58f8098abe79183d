//! Rewriting: a rule set applied to a workspace.
//!
//! For each rule in order: match, build the right side, look maps up from left to right, call subroutines from right to left. Everything is
//! bounded: rounds of one rule, depth of calls, tokens, and the steps of all searches together.

use super::macros::{Layers, Macros, Values};
use super::map;
use super::meta;
use super::read::Rules;
use super::rule::{Bounds, Found, Matching, Prefix, Rule};
pub use super::said::{about, unquoted};
use super::scan::{ScanError, Style, TOKENS_LIMIT};
use super::stranger::Stranger;
use super::token::Token;
use super::world::{Fired, Looked, Taken, Watch, World, exit};
use std::cell::{Cell, RefCell};

/// How often one rule may be tried on its own result.
pub const ROUND_LIMIT: usize = 100;
/// Most subroutine calls in one right side.
pub const CALL_LIMIT: usize = 15;
/// Steps of search that one address may cost; a step is a token compared.
pub const STEP_LIMIT: u64 = 4_000_000;
/// What a look-up costs of these steps.
const LOOK_UP_STEPS: u64 = 1000;

thread_local! {
    /// Room of workspaces for the next run of this thread.
    static ROOM: RefCell<Vec<Vec<Token>>> = const { RefCell::new(Vec::new()) };
}

/// Workspaces that are empty, and stay for the next run.
#[derive(Debug)]
struct Spare(Vec<Vec<Token>>);

impl Drop for Spare {
    fn drop(&mut self) {
        // A run within another one, by a map, has left its own.
        ROOM.set(std::mem::take(&mut self.0));
    }
}

/// Engine and surroundings for the addresses of one message.
pub struct Run<'a> {
    /// The compiled file.
    pub rules: &'a Rules,
    /// The message's own macros.
    pub message: &'a mut Macros,
    /// Answers look-ups.
    pub world: &'a mut dyn World,
    /// Sees what happens.
    pub watch: &'a mut dyn Watch,
    depth: usize,
    steps: Cell<u64>,
    /// Room of workspaces that are done with, for the next ones.
    spare: Spare,
    /// Room for the key of a look-up.
    key: Vec<u8>,
    /// The word that is watched for.
    stranger: Option<Stranger>,
}

impl<'a> Run<'a> {
    /// A run over these rules.
    pub fn new(
        rules: &'a Rules,
        message: &'a mut Macros,
        world: &'a mut dyn World,
        watch: &'a mut dyn Watch,
    ) -> Run<'a> {
        let steps = Cell::new(STEP_LIMIT);
        let spare = Spare(ROOM.take());
        Run { rules, message, world, watch, depth: 0, steps, spare, key: Vec::new(), stranger: None }
    }

    /// Notes from here on whether anything depends on this word.
    pub fn watch_for(&mut self, stranger: Option<Stranger>) {
        self.stranger = stranger;
    }

    /// True when all that was found since then would have been found for any other stranger; false when none was watched for.
    pub fn has_passed_by(&self) -> bool {
        self.stranger.as_ref().is_some_and(Stranger::was_passed_by)
    }

    pub(super) fn look_at(&self, tokens: &[Token]) {
        if let Some(stranger) = &self.stranger {
            stranger.look_at(tokens);
        }
    }

    /// Both layers of macros.
    pub fn macros(&self) -> Layers<'_> {
        Layers { message: self.message, file: &self.rules.macros }
    }

    /// Tokens of mail text; what is unbalanced is complained about.
    pub fn scan(&mut self, text: &[u8]) -> Result<Vec<Token>, ScanError> {
        self.scan_as(text, Style::Mail)
    }

    fn scan_as(&mut self, text: &[u8], style: Style) -> Result<Vec<Token>, ScanError> {
        match self.rules.alphabet().scan(text, 0, style) {
            Ok(found) => {
                for complaint in found.complaints {
                    self.watch.complains(&about(text, complaint));
                }
                Ok(found.tokens)
            }
            Err(error) => {
                self.watch.complains(&about(text, error.to_string()));
                Err(error)
            }
        }
    }

    /// Applies a rule set to a workspace, as for a new address: the allowance of work begins anew. Gives one of [`exit`].
    pub fn rewrite(&mut self, set: usize, workspace: &mut Vec<Token>) -> u8 {
        self.steps.set(STEP_LIMIT);
        self.depth = 0;
        self.apply(set, workspace)
    }

    fn apply(&mut self, set: usize, workspace: &mut Vec<Token>) -> u8 {
        let rules = self.rules;
        let name = rules.set_name(set);
        self.watch.enters(&name, workspace);
        if self.depth > rules.recursion_limit {
            let text = format!("rewrite: excessive recursion (max {}), ruleset {name}", rules.recursion_limit);
            self.watch.fails(exit::SOFTWARE, text.as_bytes());
            return exit::CONFIG;
        }
        self.depth += 1;
        let done = self.rules_of(rules.set(set), &name, workspace);
        self.depth -= 1;
        match done {
            Ok(status) => {
                self.watch.leaves(&name, workspace);
                status
            }
            // Broken off: the set does not return.
            Err(status) => status,
        }
    }

    fn rules_of(&mut self, set: &[Rule], name: &str, workspace: &mut Vec<Token>) -> Result<u8, u8> {
        let mut status = exit::OK;
        let mut bits = bits_of(workspace);
        let mut bounds = Bounds::default();
        let mut number = 0;
        let mut rounds = 0;
        let traces = self.watch.traces();
        while let Some(rule) = set.get(number) {
            if workspace.first().is_some_and(|t| t.is(meta::MAILER)) {
                break;
            }
            rounds += 1;
            if rounds > ROUND_LIMIT {
                let text = format!("Infinite loop in ruleset {name}, rule {}", number + 1);
                self.watch.fails(exit::SOFTWARE, text.as_bytes());
                break;
            }
            self.steps.set(self.steps.get().saturating_sub(1));
            if traces {
                self.watch.tries(rule);
            }
            match self.search(rule, workspace, bits, &mut bounds) {
                Found::Yes if traces => self.watch.matches(rule),
                Found::Yes => {}
                Found::No => {
                    if traces {
                        self.watch.misses();
                    }
                    number += 1;
                    rounds = 0;
                    continue;
                }
                Found::TooMuch => {
                    let text = format!("rewrite: too much work (max {STEP_LIMIT} steps), ruleset {name}");
                    self.watch.complains(text.as_bytes());
                    return Err(exit::TEMPORARY);
                }
            }
            let mut built = self.build(rule, name, workspace, &bounds)?;
            let mut later = exit::OK;
            if built.iter().any(|t| t.is(meta::HOST_BEGIN) || t.is(meta::MAP_BEGIN)) {
                built = self.look_ups(built, &mut later)?;
            }
            let called = self.calls(&mut built);
            for now in [later, called] {
                if status == exit::OK || now == exit::TEMPORARY {
                    status = now;
                }
            }
            self.watch.fired(Fired { set: name, number: number + 1, rule, before: workspace, after: &built });
            let before = std::mem::replace(workspace, built);
            self.give_back(before);
            bits = bits_of(workspace);
            match rule.prefix {
                Prefix::Repeat => {}
                Prefix::Once => {
                    number += 1;
                    rounds = 0;
                }
                Prefix::Return => break,
            }
        }
        Ok(status)
    }

    fn search(&mut self, rule: &Rule, workspace: &[Token], bits: u64, bounds: &mut Bounds) -> Found {
        if self.steps.get() == 0 {
            return Found::TooMuch;
        }
        if !rule.may_match(workspace, bits) {
            return Found::No;
        }
        let rules = self.rules;
        let read = RefCell::new(Vec::new());
        let with = Matching {
            classes: &rules.classes,
            macros: Layers { message: self.message, file: &rules.macros },
            alphabet: rules.alphabet(),
            blank: rules.blank,
            steps: &self.steps,
            read: self.watch.traces().then_some(&read),
            stranger: self.stranger.as_ref(),
        };
        let found = rule.search(workspace, &with, bounds);
        for name in read.into_inner() {
            self.tell_taken(true, &name);
        }
        found
    }

    /// The right side with what matched and the macros of now.
    fn build(&mut self, rule: &Rule, name: &str, workspace: &[Token], bounds: &Bounds) -> Result<Vec<Token>, u8> {
        let right = match rule.prefix {
            Prefix::Repeat => &rule.right[..],
            _ => &rule.right[1..],
        };
        let mut built = self.room();
        built.reserve(right.len() + workspace.len());
        for token in right {
            if token.is(meta::MATCHED) {
                let n = token.get(1).map_or(0, |digit| usize::from(digit.wrapping_sub(b'0')));
                let Some(bound) = bounds.of(n) else {
                    let text = format!("rewrite: ruleset {name}: replacement ${n} out of bounds");
                    self.watch.fails(exit::SOFTWARE, text.as_bytes());
                    return Err(exit::CONFIG);
                };
                built.extend_from_slice(&workspace[bound.first..bound.end]);
            } else if token.is(meta::DELAYED) {
                if self.watch.traces() {
                    self.tell_taken(false, &token[1..]);
                }
                let value = self.macros().value(&token[1..]).unwrap_or(b"").to_vec();
                if !value.is_empty() {
                    let tokens = self.scan(&value).map_err(|_| exit::DATA)?;
                    self.look_at(&tokens);
                    built.extend(tokens);
                }
            } else {
                built.push(token.clone());
            }
            if built.len() > TOKENS_LIMIT {
                return Err(self.too_long());
            }
        }
        Ok(built)
    }

    /// An empty workspace.
    pub(super) fn room(&mut self) -> Vec<Token> {
        /// Enough for most addresses: growing takes longer than the room is worth.
        const TOKENS: usize = 32;
        self.spare.0.pop().unwrap_or_else(|| Vec::with_capacity(TOKENS))
    }

    /// Keeps the room of a workspace.
    pub(super) fn give_back(&mut self, mut tokens: Vec<Token>) {
        /// More are never in use at once, but for deep calls.
        const KEPT: usize = 8;
        /// Workspaces of most addresses have fewer tokens.
        const ROOMY: usize = 256;
        if self.spare.0.len() < KEPT && tokens.capacity() <= ROOMY {
            tokens.clear();
            self.spare.0.push(tokens);
        }
    }

    fn tell_taken(&mut self, is_left: bool, name: &[u8]) {
        let macros = Layers { message: self.message, file: &self.rules.macros };
        self.watch.takes(Taken { is_left, name, value: macros.value(name) });
    }

    fn too_long(&mut self) -> u8 {
        self.watch.fails(exit::SOFTWARE, b"rewrite: expansion too long");
        exit::DATA
    }

    /// Replaces each `$[ key $]` and `$(map key $@ argument $: default $)` by its value.
    fn look_ups(&mut self, tokens: Vec<Token>, later: &mut u8) -> Result<Vec<Token>, u8> {
        let mut done = self.room();
        done.reserve(tokens.len());
        let mut rest = &tokens[..];
        while let Some((token, after)) = rest.split_first() {
            let (end, named) = match token.first() {
                Some(&meta::HOST_BEGIN) => (meta::HOST_END, false),
                Some(&meta::MAP_BEGIN) => (meta::MAP_END, true),
                _ => {
                    done.push(token.clone());
                    rest = after;
                    continue;
                }
            };
            let (name, after) = match after.split_first() {
                Some((name, after)) if named => {
                    self.look_at(std::slice::from_ref(name));
                    (&name[..], after)
                }
                None if named => {
                    self.watch.fails(exit::SOFTWARE, b"rewrite: missing mapname");
                    return Err(exit::CONFIG);
                }
                _ => (&b"host"[..], after),
            };
            let length = after.iter().position(|t| t.is(end)).unwrap_or(after.len());
            let inner = &after[..length];
            rest = &after[(length + 1).min(after.len())..];
            self.look_up(name, inner, &mut done, later)?;
            if done.len() + rest.len() > TOKENS_LIMIT {
                return Err(self.too_long());
            }
        }
        self.give_back(tokens);
        Ok(done)
    }

    /// Appends what one look-up is replaced by.
    fn look_up(&mut self, name: &[u8], inner: &[Token], done: &mut Vec<Token>, later: &mut u8) -> Result<(), u8> {
        let rules = self.rules;
        let alphabet = rules.alphabet();
        let is_mark = |t: &Token| t.is(meta::HOST) || t.is(meta::USER);
        let key = &inner[..inner.iter().position(is_mark).unwrap_or(inner.len())];
        // The parts behind the key, each with the mark before it.
        let parts = || inner[key.len()..].chunk_by(|_, next| !is_mark(next)).filter_map(|part| part.split_first());
        let default = parts().rfind(|(mark, _)| mark.is(meta::USER)).map(|(_, tokens)| tokens);
        let looked = match rules.maps.get(name) {
            None => {
                self.watch.fails(exit::SOFTWARE, &[b"rewrite: map ", name, b" not found"].concat());
                None
            }
            Some(map) => {
                self.steps.set(self.steps.get().saturating_sub(LOOK_UP_STEPS));
                let arguments: Vec<Vec<u8>> = parts()
                    .filter(|(mark, _)| mark.is(meta::HOST))
                    .take(map::ARGUMENT_LIMIT)
                    .map(|(_, tokens)| alphabet.join(tokens, rules.blank))
                    .collect();
                let mut text = std::mem::take(&mut self.key);
                alphabet.join_into(key, map.blank.unwrap_or(rules.blank), &mut text);
                let mut call = map::Call { rules, message: self.message, world: self.world, complaint: None };
                let looked = call.look_up(map, &text, &arguments);
                if let Some(complaint) = call.complaint {
                    self.watch.fails(exit::SOFTWARE, complaint.as_bytes());
                }
                // A table without rows finds nothing, whatever the key.
                if let Some(stranger) = self.stranger.as_ref().filter(|stranger| stranger.is_among(inner))
                    && !(looked == Looked::missing() && self.world.is_empty(map))
                {
                    stranger.meet();
                }
                if let Some(complaint) = self.world.complaint() {
                    self.watch.fails(exit::SYSTEM, complaint.as_bytes());
                }
                if let Some(notice) = self.world.notice() {
                    self.watch.complains(notice.as_bytes());
                }
                let value = match looked.status {
                    exit::TEMPORARY => {
                        *later = exit::TEMPORARY;
                        map.append_later.as_ref().map(|suffix| [&text[..], suffix].concat())
                    }
                    _ => looked.value,
                };
                self.key = text;
                value
            }
        };
        let (value, style) = match (looked, default) {
            (Some(value), _) => (value, Style::Mail),
            (None, None) => {
                done.extend_from_slice(key);
                return Ok(());
            }
            (None, Some(tokens)) if alphabet.is_stable(tokens) => {
                done.extend_from_slice(tokens);
                return Ok(());
            }
            (None, Some(tokens)) => {
                // Joined and read again, it may be part of another word.
                self.look_at(tokens);
                (alphabet.join(tokens, rules.blank), Style::Default)
            }
        };
        if value.is_empty() {
            return Ok(());
        }
        match self.scan_as(&value, style) {
            Ok(mut tokens) if !tokens.is_empty() => {
                self.look_at(&tokens);
                done.append(&mut tokens);
                self.give_back(tokens);
                Ok(())
            }
            _ => Err(exit::DATA),
        }
    }

    /// Calls the subroutines, the last first; each takes all that stands behind its name.
    fn calls(&mut self, built: &mut Vec<Token>) -> u8 {
        let mut status = exit::OK;
        let mut calls = [(0, 0); CALL_LIMIT];
        let mut count = 0;
        let mut at = 0;
        while at + 1 < built.len() {
            if built[at].is(meta::CALL) {
                self.look_at(&built[at + 1..at + 2]);
                let name = unquoted(&built[at + 1]);
                let set = match self.rules.sets.find(&name) {
                    Ok(set) => set,
                    Err(said) => {
                        if !said.is_empty() {
                            self.watch.complains(said.as_bytes());
                        }
                        self.watch.fails(exit::SOFTWARE, &[b"Unknown ruleset ", &name[..]].concat());
                        return exit::CONFIG;
                    }
                };
                if count == CALL_LIMIT {
                    let text = format!("rewrite: too many subroutine calls ({CALL_LIMIT} max)");
                    self.watch.fails(exit::SOFTWARE, text.as_bytes());
                    return exit::CONFIG;
                }
                match self.rules.set(set).is_empty() {
                    // Nothing to call. The model then passes over the token behind, be it another `$>`, and files show it.
                    true => {
                        if self.watch.traces() {
                            self.watch.skips(&self.rules.set_name(set), set);
                        }
                        drop(built.drain(at..at + 2));
                    }
                    false => {
                        calls[count] = (at, set);
                        count += 1;
                        at += 1;
                    }
                }
            }
            at += 1;
        }
        for (at, set) in calls[..count].iter().copied().rev() {
            let mut inner = self.room();
            inner.extend(built.drain(at..).skip(2));
            let now = self.apply(set, &mut inner);
            built.append(&mut inner);
            self.give_back(inner);
            match now {
                exit::OK => {}
                exit::TEMPORARY => status = now,
                // The calls to the left of one that failed stay as they are.
                _ => return now,
            }
        }
        status
    }
}

fn bits_of(workspace: &[Token]) -> u64 {
    workspace.iter().fold(0, |bits, token| bits | token.bit())
}
