//! SEARCH: running a prepared test over the mailbox, and printing what was found.

use super::context::Context;
use super::hunt::Hunt;
use super::search::{Prepared, Unsearchable};
use super::selected::Selected;
use super::{Run, Trouble, limit};
use crate::clock::Timestamp;
use crate::mailbox::{ModSeq, UidSet};
use crate::proto::imap::response::{self, Code, Esearch, Status};
use crate::proto::imap::{Enabled, Extension, FetchItem, Outcome, PartialRange, Returns, Search, SearchKey};
use crate::store::FolderError;

/// What a search looks for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key: &'a SearchKey,
    pub(super) charset: Option<&'a str>,
    pub(super) now: Timestamp,
    /// No more messages are looked at than one command may (RFC 9738 §3.1).
    pub(super) is_limited: bool,
}

/// What was found: sequence numbers.
#[derive(Debug, Default)]
pub(super) struct Matches {
    pub(super) numbers: UidSet,
    /// Those that match without FUZZY, where scores are asked for.
    pub(super) exact: UidSet,
    /// Not all messages were looked at.
    pub(super) limit: Option<Code>,
}

/// Searches.
pub(super) fn matches(
    selected: &mut Selected,
    wanted: Wanted<'_>,
    is_scored: bool,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Result<Matches, Trouble> {
    let (numbers, limit) = matching(selected, wanted, false, enabled, out)?;
    let exact = match is_scored {
        true => matching(selected, wanted, true, enabled, out)?.0,
        false => UidSet::default(),
    };
    Ok(Matches { numbers, exact, limit })
}

/// The sequence numbers that match, and what the client is told when not all messages were looked at; `is_exact` takes FUZZY for nothing.
pub(super) fn matching(
    selected: &mut Selected,
    wanted: Wanted<'_>,
    is_exact: bool,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Result<(UidSet, Option<Code>), Trouble> {
    let (mut hunt, limit) = hunt(selected, wanted, is_exact, enabled, out)?;
    while !hunt.step(selected)? {}
    Ok((hunt.found(), limit))
}

/// A search that has not begun to read.
pub(super) fn hunt(
    selected: &mut Selected,
    wanted: Wanted<'_>,
    is_exact: bool,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Result<(Hunt, Option<Code>), Trouble> {
    let Wanted { key, charset, now, is_limited } = wanted;
    let prepared = Prepared::new(key, charset, &selected.messages(), now, is_exact).map_err(|why| refused(&why))?;
    let test = &prepared.test;
    // Only those named can match.
    let count = selected.view.snapshot().len();
    let all = || UidSet::from_ranges(if count == 0 { Vec::new() } else { vec![(1, count)] });
    let candidates = test.numbers().cloned().unwrap_or_else(all);
    let (candidates, limit) = if is_limited { selected.limited(candidates) } else { (candidates, None) };
    if test.needs_dates() || test.needs_sizes() {
        selected.measure(&candidates, test.needs_sizes(), enabled, out)?;
    }
    Ok((Hunt::new(prepared, candidates), limit))
}

fn refused(why: &Unsearchable) -> Trouble {
    let (code, text) = why.explain();
    Trouble::Told(Outcome::no(code, text))
}

/// RFC 6203 §4: what matches as it stands, and what only matches in parts.
const EXACT: u8 = 100;
const FUZZY: u8 = 50;

/// The scores of these messages, in their order.
pub(super) fn scores(exact: &UidSet, numbers: impl IntoIterator<Item = u32>) -> Vec<u8> {
    numbers.into_iter().map(|number| if exact.contains(number) { EXACT } else { FUZZY }).collect()
}

/// SEARCH and UID SEARCH on its way.
#[derive(Debug)]
pub(super) struct Searching {
    search: Search,
    tag: Box<str>,
    now: Timestamp,
    hunt: Hunt,
    /// The same search without FUZZY, where scores are asked for.
    exact: Option<Hunt>,
    limit: Option<Code>,
}

impl Searching {
    pub(super) fn begin(
        selected: &mut Selected,
        search: &Search,
        tag: &str,
        enabled: Enabled,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<Searching, Trouble> {
        let returns = search.returns.as_ref();
        if returns.is_some_and(|r| r.update.is_some()) && selected.has_context(tag) {
            return Err(Trouble::Told(super::not_now("this tag is in use")));
        }
        let wanted = Wanted { key: &search.key, charset: search.charset.as_deref(), now, is_limited: true };
        let is_scored = returns.is_some_and(|r| r.relevancy);
        let begun = hunt(selected, wanted, false, enabled, out).and_then(|(all, limit)| {
            let exact = is_scored.then(|| hunt(selected, wanted, true, enabled, out)).transpose()?;
            Ok((all, exact.map(|(exact, _)| exact), limit))
        });
        if returns.is_some_and(|r| r.save) {
            // RFC 5182 §2.1: a search that fails leaves an empty result. What the key says of the old one is read by now.
            selected.saved = UidSet::default();
        }
        let (hunt, exact, limit) = begun?;
        Ok(Searching { search: search.clone(), tag: tag.into(), now, hunt, exact, limit })
    }

    /// Does the next piece; true when that was the last.
    pub(super) fn step(&mut self, selected: &Selected) -> Result<bool, FolderError> {
        Ok(self.hunt.step(selected)? && self.exact.as_mut().map_or(Ok(true), |exact| exact.step(selected))?)
    }

    /// Its tag, and how far it is (RFC 9585).
    pub(super) fn progress(&self) -> Code {
        let (done, all) = self.hunt.progress();
        Code::InProgress(self.tag.clone(), Some((done, all)).filter(|(done, all)| done < all))
    }

    /// Tells what was found.
    pub(super) fn finish(self, selected: &mut Selected, enabled: Enabled, out: &mut Vec<u8>) -> Run {
        let exact = self.exact.map(Hunt::found).unwrap_or_default();
        let found = Matches { numbers: self.hunt.found(), exact, limit: self.limit };
        searched(selected, &self.search, &self.tag, found, enabled, self.now, out)
    }
}

/// Tells what SEARCH has found.
fn searched(
    selected: &mut Selected,
    search: &Search,
    tag: &str,
    found: Matches,
    enabled: Enabled,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Run {
    let updates = search.returns.as_ref().is_some_and(|r| r.update.is_some());
    match &search.returns {
        None if !enabled.has(Extension::Imap4Rev2) => {
            let top = search.key.has_modseq().then(|| highest(selected, &found.numbers)).flatten();
            match search.is_uid || enabled.has(Extension::UidOnly) {
                true => response::search(out, selected.uids(&found.numbers).iter(), top),
                false => response::search(out, found.numbers.iter(), top),
            }
        }
        returns => {
            let all = Returns { all: true, ..Returns::default() };
            let returns = returns.as_ref().unwrap_or(&all);
            let is_uid = search.is_uid || enabled.has(Extension::UidOnly);
            let line = Esearch { tag, is_uid, ..Esearch::default() };
            tell(selected, line, &found, returns, search.key.has_modseq(), enabled, out);
            keep(selected, &found.numbers, returns);
            if updates && found.limit.is_some() {
                // What was not looked at can't be kept up to date.
                let code = Code::NoUpdate(tag.to_string());
                response::untagged(out, Status::No, Some(&code), "not all messages were searched");
            } else if updates {
                let context = context(selected, search, tag, now, &found, is_uid);
                selected.keep_up(context, out);
            }
        }
    }
    Ok(limit::told(Outcome::ok("searched"), found.limit, out))
}

/// UPDATE: what is to be kept up to date.
pub(super) fn context(
    selected: &Selected,
    search: &Search,
    tag: &str,
    now: Timestamp,
    found: &Matches,
    is_uid: bool,
) -> Context {
    Context {
        tag: tag.into(),
        key: search.key.clone(),
        charset: search.charset.clone(),
        criteria: None,
        is_uid,
        items: items(search.returns.as_ref()),
        names_mailbox: !search.sources.is_empty(),
        now,
        results: selected.uids(&found.numbers).iter().collect(),
    }
}

/// UPDATE's items.
pub(super) fn items(returns: Option<&Returns>) -> Vec<FetchItem> {
    returns.and_then(|returns| returns.update.clone()).unwrap_or_default()
}

/// SAVE: what was asked for alone is kept alone (RFC 5182 §2.4, RFC 9394 §3.2).
pub(super) fn keep(selected: &mut Selected, numbers: &UidSet, returns: &Returns) {
    if !returns.save {
        return;
    }
    let is_some = returns.min || returns.max || returns.partial.is_some();
    selected.saved = match is_some && !returns.all && !returns.count {
        true => {
            let part = returns.partial.map(|range| window(numbers, range)).unwrap_or_default();
            selected.uids(&UidSet::from_ranges([ends(numbers, returns).ranges(), part.ranges()].concat()))
        }
        false => selected.uids(numbers),
    };
}

/// ESEARCH with what was found; `line` has the correlators.
pub(super) fn tell(
    selected: &Selected,
    line: Esearch<'_>,
    found: &Matches,
    returns: &Returns,
    has_modseq: bool,
    enabled: Enabled,
    out: &mut Vec<u8>,
) {
    let numbers = &found.numbers;
    let shown = |numbers: &UidSet| if line.is_uid { selected.uids(numbers) } else { numbers.clone() };
    let all = shown(numbers);
    let window = returns.partial.map(|range| (range, window(numbers, range)));
    let part = window.as_ref().map(|(range, numbers)| (*range, shown(numbers)));
    let top = match returns.all || returns.count || returns.partial.is_some() {
        _ if !has_modseq => None,
        true => highest(selected, numbers),
        false => highest(selected, &ends(numbers, returns)),
    };
    let scored = window.as_ref().map_or(numbers, |(_, numbers)| numbers);
    let scores = returns.relevancy.then(|| scores(&found.exact, scored.iter()));
    let line = Esearch {
        min: returns.min.then(|| all.ranges().first().map(|r| r.0)).flatten(),
        max: returns.max.then(|| all.ranges().last().map(|r| r.1)).flatten(),
        count: returns.count.then_some(all.len() as u32),
        all: returns.all.then_some(all.ranges()),
        partial: part.as_ref().map(|(range, numbers)| (*range, numbers.ranges())),
        relevancy: scores.as_deref(),
        modseq: top,
        ..line
    };
    // RFC 5182 §2.2: SAVE alone asks for no answer.
    if tells(returns) {
        response::esearch(out, &line, enabled);
    }
}

pub(super) fn tells(returns: &Returns) -> bool {
    // UPDATE alone has an empty answer, which names the tag that its notices will have (RFC 5267 §4.3).
    let has_updates = returns.update.is_some();
    returns.min
        || returns.max
        || returns.count
        || returns.all
        || returns.partial.is_some()
        || returns.relevancy
        || has_updates
}

/// The first and the last, as far as asked for.
fn ends(numbers: &UidSet, returns: &Returns) -> UidSet {
    let first = returns.min.then(|| numbers.ranges().first().map(|r| r.0)).flatten();
    let last = returns.max.then(|| numbers.ranges().last().map(|r| r.1)).flatten();
    first.into_iter().chain(last).collect()
}

pub(super) fn highest(selected: &Selected, numbers: &UidSet) -> Option<ModSeq> {
    let snapshot = selected.view.snapshot();
    numbers.iter().filter_map(|n| snapshot.at(n)).map(|e| e.modseq).max()
}

/// The part of a result that PARTIAL asks for (RFC 9394 §3.1).
pub(super) fn window(numbers: &UidSet, range: PartialRange) -> UidSet {
    let list: Vec<u32> = numbers.iter().collect();
    slice(&list, range).iter().copied().collect()
}

pub(super) fn slice(list: &[u32], range: PartialRange) -> &[u32] {
    let (from, to) = (range.from.min(range.to) as usize, range.from.max(range.to) as usize);
    let length = list.len();
    if from == 0 || from > length {
        return &[];
    }
    let to = to.min(length);
    match range.is_from_end {
        false => &list[from - 1..to],
        true => &list[length - to..length - from + 1],
    }
}

/// Numbers in their own order, as ranges of neighbours that follow each other.
pub(super) fn in_order(numbers: &[u32]) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, to)) if to.checked_add(1) == Some(*number) => *to = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_ranges_count_from_either_end() {
        let list = [10, 20, 30, 40];
        let range = |from, to, is_from_end| PartialRange { from, to, is_from_end };
        assert_eq!(slice(&list, range(1, 2, false)), [10, 20]);
        assert_eq!(slice(&list, range(3, 2, false)), [20, 30]);
        assert_eq!(slice(&list, range(1, 2, true)), [30, 40]);
        assert_eq!(slice(&list, range(3, 100, true)), [10, 20]);
        assert!(slice(&list, range(5, 9, false)).is_empty() && slice(&list, range(5, 9, true)).is_empty());
        assert_eq!(in_order(&[5, 6, 7, 3, 2, 9]), [(5, 7), (3, 3), (2, 2), (9, 9)]);
    }
}
