//! One rule, compiled, and how a left side matches.
//!
//! Literals, lengths and ends are checked before the search begins; most rules of a long set are passed over by three comparisons.

use super::macros::{ClassId, Classes, Layers, Values};
use super::meta;
use super::scan::Alphabet;
use super::stranger::Stranger;
use super::token::Token;
use std::cell::{Cell, RefCell};

/// Most wildcards of a left side.
pub const WILDCARD_LIMIT: usize = 9;

/// One piece of a left side.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Pattern {
    /// `$*`
    Any,
    /// `$+`
    Some,
    /// `$-`
    One,
    /// `$@`
    Zero,
    /// `$=x`
    Class(ClassId),
    /// `$~x`
    NotClass(ClassId),
    /// `$&x`
    Delayed(Box<[u8]>),
    Literal(Token),
}

/// What the right side begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefix {
    /// Nothing: the rule repeats until it fails.
    Repeat,
    /// `$:`: once, then the next rule.
    Once,
    /// `$@`: once, then out of the set.
    Return,
}

/// A rule.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Line of the file where it ends, from 1.
    pub line: usize,
    /// The left side as read.
    pub left: Vec<Token>,
    /// The right side as read.
    pub right: Vec<Token>,
    /// Its prefix, which is the first token of `right`.
    pub prefix: Prefix,
    patterns: Vec<Pattern>,
    /// Fewest tokens that can match.
    least: usize,
    /// Most tokens that can match; `usize::MAX` without bound.
    most: usize,
    /// Bits of the literals ([`Token::bit`]).
    literals: u64,
    first: Option<Token>,
    last: Option<Token>,
}

/// What a wildcard took: tokens `first..end` of the workspace.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bound {
    pattern: usize,
    /// First token.
    pub first: usize,
    /// Behind the last token.
    pub end: usize,
}

/// The bindings of a match, `$1` first.
#[derive(Debug, Clone, Default)]
pub struct Bounds {
    found: [Bound; WILDCARD_LIMIT],
    count: usize,
}

impl Bounds {
    /// What `$n` took, n from 1.
    pub fn of(&self, n: usize) -> Option<Bound> {
        self.found[..self.count].get(n.checked_sub(1)?).copied()
    }

    fn push(&mut self, pattern: usize, first: usize, end: usize) -> bool {
        if self.count == WILDCARD_LIMIT {
            return false;
        }
        self.found[self.count] = Bound { pattern, first, end };
        self.count += 1;
        true
    }

    fn pop(&mut self) -> Option<Bound> {
        self.count = self.count.checked_sub(1)?;
        Some(self.found[self.count])
    }
}

/// What matching needs to know.
pub struct Matching<'a> {
    /// The classes.
    pub classes: &'a Classes,
    /// The macros of now.
    pub macros: Layers<'a>,
    /// The table of characters.
    pub alphabet: &'a Alphabet,
    /// What stands between joined atoms.
    pub blank: u8,
    /// Steps of work that are left.
    pub steps: &'a Cell<u64>,
    /// Takes the names of macros that are read, where somebody wants to know.
    pub read: Option<&'a RefCell<Vec<Box<[u8]>>>>,
    /// Notes what depends on a word.
    pub stranger: Option<&'a Stranger>,
}

impl Matching<'_> {
    /// Counts steps down; false when they are used up.
    #[inline]
    fn spend(&self, steps: usize) -> bool {
        self.steps.set(self.steps.get().saturating_sub(steps as u64));
        self.steps.get() > 0
    }

    fn look_at(&self, token: &Token) {
        if let Some(stranger) = self.stranger {
            stranger.look_at(std::slice::from_ref(token));
        }
    }
}

/// What a search came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// The whole workspace matches.
    Yes,
    /// It doesn't.
    No,
    /// The work allowed is used up.
    TooMuch,
}

impl Rule {
    /// Compiles two sides. The tokens were checked by the reader.
    pub fn new(line: usize, left: Vec<Token>, right: Vec<Token>, classes: &mut Classes) -> Rule {
        let patterns: Vec<Pattern> = left.iter().map(|token| pattern(token, classes)).collect();
        let mut rule = Rule {
            line,
            prefix: match right.first() {
                Some(token) if token.is(meta::USER) => Prefix::Once,
                Some(token) if token.is(meta::HOST) => Prefix::Return,
                _ => Prefix::Repeat,
            },
            left,
            right,
            least: 0,
            most: 0,
            literals: 0,
            first: literal(patterns.first()),
            last: literal(patterns.last()),
            patterns,
        };
        for pattern in &rule.patterns {
            let (least, most) = match pattern {
                Pattern::Any | Pattern::Delayed(_) => (0, usize::MAX),
                Pattern::Some | Pattern::Class(_) => (1, usize::MAX),
                Pattern::One | Pattern::NotClass(_) => (1, 1),
                Pattern::Zero => (0, 0),
                Pattern::Literal(token) => {
                    rule.literals |= token.bit();
                    (1, 1)
                }
            };
            rule.least += least;
            rule.most = rule.most.saturating_add(most);
        }
        rule
    }

    /// True when a workspace of these tokens, with these [`Token::bit`]s, is worth a search.
    #[inline]
    pub fn may_match(&self, workspace: &[Token], bits: u64) -> bool {
        let same = |literal: &Option<Token>, token: Option<&Token>| match literal {
            Some(literal) => token.is_some_and(|t| t.eq_ignore_ascii_case(literal)),
            None => true,
        };
        workspace.len() >= self.least
            && workspace.len() <= self.most
            && self.literals & !bits == 0
            && same(&self.first, workspace.first())
            && same(&self.last, workspace.last())
    }

    /// Matches the workspace as a whole, each wildcard as short as can be; counts its steps down.
    pub fn search(&self, workspace: &[Token], with: &Matching, bounds: &mut Bounds) -> Found {
        bounds.count = 0;
        let (mut pattern, mut at) = (0, 0);
        let mut joined = Vec::new();
        loop {
            if !with.spend(1) {
                return Found::TooMuch;
            }
            let went_on = match self.patterns.get(pattern) {
                None if at == workspace.len() => return Found::Yes,
                None => None,
                Some(piece) => self.step(piece, pattern, at, workspace, with, bounds, &mut joined),
            };
            match went_on.or_else(|| self.back_up(workspace, with, bounds, &mut joined)) {
                Some(next) => (pattern, at) = next,
                None if with.steps.get() == 0 => return Found::TooMuch,
                None => return Found::No,
            }
        }
    }

    /// Matches one piece at `at`; gives the next piece and place.
    #[allow(clippy::too_many_arguments)] // The state of the search, which lives in one caller.
    fn step(
        &self,
        piece: &Pattern,
        pattern: usize,
        at: usize,
        workspace: &[Token],
        with: &Matching,
        bounds: &mut Bounds,
        joined: &mut Vec<u8>,
    ) -> Option<(usize, usize)> {
        let token = workspace.get(at);
        let end = match piece {
            Pattern::Literal(literal) => return token?.eq_ignore_ascii_case(literal).then_some((pattern + 1, at + 1)),
            Pattern::Zero => return Some((pattern + 1, at)),
            // At the end of the input only `$*` and `$@` are looked at.
            Pattern::Delayed(name) => {
                token?;
                return Some((pattern + 1, delayed(name, at, workspace, with)?));
            }
            Pattern::Any => self.ahead(pattern, at, workspace, with)?,
            Pattern::Some => self.ahead(pattern, token.map(|_| at + 1)?, workspace, with)?,
            Pattern::One => token.map(|_| at + 1)?,
            Pattern::NotClass(class) => (!with.classes.has(*class, token?)).then_some(at + 1)?,
            Pattern::Class(class) => member(*class, at, at, workspace, with, joined)?,
        };
        bounds.push(pattern, at, end).then_some((pattern + 1, end))
    }

    /// Where `$*` or `$+` ends at the earliest, from `end` on: at the literal behind it, or, as the last piece, at the end of all.
    /// Growing there token by token finds the same and takes longer.
    fn ahead(&self, pattern: usize, end: usize, workspace: &[Token], with: &Matching) -> Option<usize> {
        match self.patterns.get(pattern + 1) {
            None => Some(workspace.len()),
            Some(Pattern::Literal(literal)) => {
                let skipped = workspace[end..].iter().position(|token| token.eq_ignore_ascii_case(literal));
                with.spend(skipped.unwrap_or(workspace.len() - end));
                Some(end + skipped?)
            }
            Some(_) => Some(end),
        }
    }

    /// Lengthens the last wildcard that can grow.
    fn back_up(
        &self,
        workspace: &[Token],
        with: &Matching,
        bounds: &mut Bounds,
        joined: &mut Vec<u8>,
    ) -> Option<(usize, usize)> {
        while let Some(bound) = bounds.pop() {
            if !with.spend(1) {
                return None;
            }
            if bound.end >= workspace.len() {
                continue;
            }
            let end = match &self.patterns[bound.pattern] {
                Pattern::Any | Pattern::Some => self.ahead(bound.pattern, bound.end + 1, workspace, with),
                Pattern::Class(class) => member(*class, bound.first, bound.end, workspace, with, joined),
                _ => None,
            };
            if let Some(end) = end {
                bounds.push(bound.pattern, bound.first, end);
                return Some((bound.pattern + 1, end));
            }
        }
        None
    }
}

/// The end of the shortest member that begins at `first` and is longer than up to `end`.
fn member(
    class: ClassId,
    first: usize,
    end: usize,
    workspace: &[Token],
    with: &Matching,
    joined: &mut Vec<u8>,
) -> Option<usize> {
    let longest = with.classes.longest(class);
    let mut length: usize = workspace[first..end].iter().map(|t| t.len()).sum();
    if longest == 0 {
        return None;
    }
    for end in end + 1..=workspace.len() {
        with.look_at(&workspace[end - 1]);
        length += workspace[end - 1].len();
        // A text of many tokens is joined and hashed as a whole for each token more.
        if length > longest || !with.spend(end - first) {
            return None;
        }
        let is_member = match &workspace[first..end] {
            [one] => with.classes.has(class, one),
            several => {
                with.alphabet.join_into(several, with.blank, joined);
                with.classes.has(class, joined)
            }
        };
        if is_member {
            return Some(end);
        }
    }
    None
}

/// Where the macro's value, as a plain string, ends among the tokens; an undefined one takes none.
fn delayed(name: &[u8], at: usize, workspace: &[Token], with: &Matching) -> Option<usize> {
    if let Some(read) = with.read {
        read.borrow_mut().push(name.into());
    }
    let mut rest = with.macros.value(name).unwrap_or(b"");
    let mut at = at;
    while !rest.is_empty() {
        let token = workspace.get(at).filter(|_| with.spend(1))?;
        with.look_at(token);
        let head = rest.get(..token.len())?;
        if !head.eq_ignore_ascii_case(token) {
            return None;
        }
        rest = &rest[token.len()..];
        at += 1;
    }
    Some(at)
}

fn pattern(token: &Token, classes: &mut Classes) -> Pattern {
    let (operator, name) = token.split_first().map_or((0, &token[..]), |(first, rest)| (*first, rest));
    match operator {
        meta::ANY => Pattern::Any,
        meta::SOME => Pattern::Some,
        meta::ONE => Pattern::One,
        meta::HOST => Pattern::Zero,
        meta::CLASS => Pattern::Class(classes.id(name)),
        meta::NOT_CLASS => Pattern::NotClass(classes.id(name)),
        meta::DELAYED => Pattern::Delayed(name.into()),
        _ => Pattern::Literal(token.clone()),
    }
}

fn literal(pattern: Option<&Pattern>) -> Option<Token> {
    match pattern {
        Some(Pattern::Literal(token)) => Some(token.clone()),
        _ => None,
    }
}
