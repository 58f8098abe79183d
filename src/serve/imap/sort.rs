//! SORT: messages in an order (RFC 5256 §3, RFC 5267 §3).
//!
//! What matches has been searched for before, and its records are made (`arrange`).

use super::context::Context;
use super::find::{Matches, highest, in_order, items, scores, slice, tells};
use super::selected::{Depth, Selected};
use super::{Run, Trouble};
use crate::clock::Timestamp;
use crate::mailbox::UidSet;
use crate::msg::digest::{Digest, Part};
use crate::proto::imap::response::{self, Esearch};
use crate::proto::imap::{Enabled, Extension, Outcome, Sort, SortCriterion};
use crate::store::FolderError;
use std::cmp::Ordering;

/// Sorts what matches, and tells it.
pub(super) fn sorted(
    selected: &mut Selected,
    sort: &Sort,
    tag: &str,
    Matches { numbers, exact, .. }: Matches,
    enabled: Enabled,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Run {
    let updates = sort.returns.as_ref().is_some_and(|returns| returns.update.is_some());
    let needs = |wanted: SortCriterion| sort.criteria.iter().any(|(criterion, _)| *criterion == wanted);
    if needs(SortCriterion::Arrival) || needs(SortCriterion::Size) {
        selected.measure(&numbers, needs(SortCriterion::Size), enabled, out)?;
    }
    let sorted = in_sorted_order(selected, &numbers, &exact, &sort.criteria)?;
    let snapshot = selected.view.snapshot().clone();
    let is_uid = sort.is_uid || enabled.has(Extension::UidOnly);
    let shown: Vec<u32> = match is_uid {
        true => sorted.iter().filter_map(|n| snapshot.at(*n)).map(|e| e.uid.number()).collect(),
        false => sorted.clone(),
    };
    let top = sort.key.has_modseq().then(|| highest(selected, &numbers)).flatten();
    match &sort.returns {
        None => response::sort(out, shown.iter().copied(), top),
        Some(returns) => {
            let all = in_order(&shown);
            let window = returns.partial.map(|range| (range, in_order(slice(&shown, range))));
            let scored = returns.partial.map_or(&sorted[..], |range| slice(&sorted, range));
            let scores = returns.relevancy.then(|| scores(&exact, scored.iter().copied()));
            let found = Esearch {
                tag,
                is_uid,
                min: returns.min.then(|| shown.first().copied()).flatten(),
                max: returns.max.then(|| shown.last().copied()).flatten(),
                count: returns.count.then_some(shown.len() as u32),
                all: returns.all.then_some(&all[..]),
                partial: window.as_ref().map(|(range, numbers)| (*range, &numbers[..])),
                relevancy: scores.as_deref(),
                modseq: top,
                ..Esearch::default()
            };
            if tells(returns) {
                response::esearch(out, &found, enabled);
            }
            if returns.save {
                selected.saved = numbers.iter().filter_map(|n| snapshot.at(n)).map(|e| e.uid).collect();
            }
            if updates {
                let context = Context {
                    tag: tag.into(),
                    key: sort.key.clone(),
                    charset: Some(sort.charset.clone()),
                    criteria: Some(sort.criteria.clone()),
                    is_uid,
                    items: items(sort.returns.as_ref()),
                    names_mailbox: false,
                    now,
                    results: sorted.iter().filter_map(|n| snapshot.at(*n)).map(|e| e.uid.number()).collect(),
                };
                selected.keep_up(context, out);
            }
        }
    }
    Ok(Outcome::ok("sorted"))
}

/// True when messages' records are compared.
pub(super) fn needs_records(criteria: &[(SortCriterion, bool)]) -> bool {
    let tells_entry = |c: &SortCriterion| matches!(c, SortCriterion::Arrival | SortCriterion::Size);
    criteria.iter().any(|(criterion, _)| !tells_entry(criterion))
}

/// What one criterion compares.
enum Key {
    Number(i64),
    Text(Box<[u8]>),
}

impl Key {
    fn compare(&self, other: &Key) -> Ordering {
        match (self, other) {
            (Key::Number(a), Key::Number(b)) => a.cmp(b),
            (Key::Text(a), Key::Text(b)) => a.cmp(b),
            (Key::Number(_), Key::Text(_)) => Ordering::Less,
            (Key::Text(_), Key::Number(_)) => Ordering::Greater,
        }
    }
}

pub(super) fn in_sorted_order(
    selected: &Selected,
    numbers: &UidSet,
    exact: &UidSet,
    criteria: &[(SortCriterion, bool)],
) -> Result<Vec<u32>, Trouble> {
    let mut messages = selected.messages();
    let snapshot = messages.snapshot().clone();
    let needs_digest = needs_records(criteria);
    if needs_digest {
        messages.prepare(&selected.uids(numbers).uids().collect::<Vec<_>>(), Depth::Header)?;
    }
    let mut rows: Vec<(u32, Box<[Key]>)> = Vec::with_capacity(numbers.len() as usize);
    for number in numbers.iter() {
        let Some(entry) = snapshot.at(number) else { continue };
        let record = match needs_digest.then(|| messages.digest(entry.uid, Depth::Header)) {
            Some(Err(FolderError::Expunged)) => continue,
            Some(record) => Some(record?),
            None => None,
        };
        let digest = record.as_deref().and_then(Digest::read);
        let part = |part: Part| Key::Text(digest.map(|d| d.part(part)).unwrap_or_default().into());
        let line = |part: Part, n: usize| Key::Text(digest.map(|d| d.key(part, n)).unwrap_or_default().into());
        let mut keys = Vec::with_capacity(criteria.len());
        for (criterion, _) in criteria {
            keys.push(match criterion {
                SortCriterion::Arrival => Key::Number(messages.internal_date(entry)?.0),
                SortCriterion::Size => Key::Number(i64::try_from(messages.size(entry)?).unwrap_or(i64::MAX)),
                SortCriterion::Date => match digest.and_then(|d| d.sent()) {
                    Some(sent) => Key::Number(sent),
                    // RFC 5256 §2.2: INTERNALDATE stands in for a Date that can't be read.
                    None => Key::Number(messages.internal_date(entry)?.seconds()),
                },
                SortCriterion::Subject => part(Part::BaseSubject),
                SortCriterion::From => line(Part::SortKeys, 0),
                SortCriterion::To => line(Part::SortKeys, 1),
                SortCriterion::Cc => line(Part::SortKeys, 2),
                SortCriterion::DisplayFrom => line(Part::DisplayKeys, 0),
                SortCriterion::DisplayTo => line(Part::DisplayKeys, 1),
                // The best first (RFC 6203 §6).
                SortCriterion::Relevancy => Key::Number(if exact.contains(number) { 0 } else { 1 }),
            });
        }
        rows.push((number, keys.into()));
    }
    rows.sort_by(|(number_a, a), (number_b, b)| {
        for ((key_a, key_b), (_, is_reverse)) in a.iter().zip(b.iter()).zip(criteria) {
            let order = key_a.compare(key_b);
            let order = if *is_reverse { order.reverse() } else { order };
            if order != Ordering::Equal {
                return order;
            }
        }
        number_a.cmp(number_b)
    });
    let _ = selected.folder.flush_cache();
    Ok(rows.into_iter().map(|(number, _)| number).collect())
}
