//! Searches whose results are kept up to date (RFC 5267 §4.3).
//!
//! A context knows what its client believes to be the result. Whenever the client is told of changes, the messages that were touched are
//! tested again, and the difference is told: what is expunged before the EXPUNGE, everything else behind the EXISTS and FETCH.

use super::find::{self, Wanted};
use super::selected::Selected;
use super::{Trouble, sort};
use crate::clock::Timestamp;
use crate::mailbox::{SeqSet, Uid, UidSet};
use crate::proto::imap::response::{self, Code, Esearch, Status};
use crate::proto::imap::{Enabled, FetchItem, SearchKey, Set, SortCriterion};
use crate::store::FolderError;

/// Most contexts of a session.
const LIMIT: usize = 16;

/// A search that goes on.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) tag: Box<str>,
    /// Sequence numbers in it have become identifiers: they mean what they meant when the search came (RFC 5267 §4.3).
    pub(super) key: SearchKey,
    pub(super) charset: Option<String>,
    /// SORT's.
    pub(super) criteria: Option<Vec<(SortCriterion, bool)>>,
    /// What to fetch of new messages that match (RFC 5465 §7).
    pub(super) items: Vec<FetchItem>,
    /// Updates hold identifiers.
    pub(super) is_uid: bool,
    /// ESEARCH: the mailbox is named (RFC 7377 §2.1).
    pub(super) names_mailbox: bool,
    /// When the search came.
    pub(super) now: Timestamp,
    /// What the client knows: identifiers, in the order of the result.
    pub(super) results: Vec<u32>,
}

impl Selected {
    /// True when a context with this tag is there: it can't be used for another one.
    pub(super) fn has_context(&self, tag: &str) -> bool {
        self.contexts.iter().any(|context| *context.tag == *tag)
    }

    /// From now on this search is kept up to date, unless there are too many.
    pub(super) fn keep_up(&mut self, mut context: Context, out: &mut Vec<u8>) {
        if self.contexts.len() >= LIMIT {
            // RFC 5267 §4.3.1.
            let code = Code::NoUpdate(context.tag.to_string());
            return response::untagged(out, Status::No, Some(&code), "too many searches are kept up to date");
        }
        context.key = self.fixed(&context.key);
        if !context.items.is_empty() {
            self.news.get_or_insert_default();
        }
        self.contexts.push(context);
    }

    /// CANCELUPDATE.
    pub(super) fn cancel(&mut self, tags: &[String]) {
        self.contexts.retain(|context| !tags.iter().any(|tag| **tag == *context.tag));
    }

    /// Tells contexts of messages that are about to be told as expunged: identifiers, and their numbers so far, both ascending.
    pub(super) fn tell_contexts_gone(&mut self, uids: &UidSet, numbers: &[u32], enabled: Enabled, out: &mut Vec<u8>) {
        let mut contexts = std::mem::take(&mut self.contexts);
        let known: Vec<u32> = uids.iter().collect();
        let number = |uid: u32| known.binary_search(&uid).ok().and_then(|at| numbers.get(at).copied()).unwrap_or(uid);
        for context in &mut contexts {
            let is_uid = context.is_uid;
            let shown = |uid: u32| if is_uid { uid } else { number(uid) };
            let gone = removals(&context.results, &|uid| uids.contains(uid), context.criteria.is_some(), &shown);
            context.results.retain(|uid| !uids.contains(*uid));
            self.tell_update(context, &gone, &[], enabled, out);
        }
        self.contexts = contexts;
    }

    /// Tests the touched messages (identifiers) again, and tells contexts what came and went.
    pub(super) fn tell_contexts(
        &mut self,
        touched: &UidSet,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let set = SeqSet::from(touched);
        let mut contexts = std::mem::take(&mut self.contexts);
        let mut told = Ok(());
        for context in &mut contexts {
            told = told.and_then(|()| self.tell_context(context, touched, &set, enabled, out));
        }
        self.contexts = contexts;
        told
    }

    fn tell_context(
        &mut self,
        context: &mut Context,
        touched: &UidSet,
        set: &SeqSet,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let key = SearchKey::And(vec![SearchKey::Uids(Set::These(set.clone())), context.key.clone()]);
        let wanted = Wanted { key: &key, charset: context.charset.as_deref(), now: context.now, is_limited: false };
        let found = match find::matches(self, wanted, false, enabled, out) {
            Ok(found) => self.uids(&found.numbers),
            Err(Trouble::Tree(crate::store::TreeError::Folder(error))) => return Err(error),
            // It was searched for before: nothing else can be wrong with it.
            Err(_) => return Ok(()),
        };
        let is_gone = |uid: u32| touched.contains(uid) && !found.contains(uid);
        let is_sorted = context.criteria.is_some();
        let snapshot = self.view.snapshot().clone();
        let number = |uid: u32| Uid::new(uid).and_then(|uid| snapshot.number(uid)).unwrap_or(uid);
        let shown = |uid: u32| if context.is_uid { uid } else { number(uid) };
        let gone = removals(&context.results, &is_gone, is_sorted, &shown);
        let known: UidSet = context.results.iter().copied().collect();
        let new: UidSet = found.iter().filter(|uid| !known.contains(*uid)).collect();
        context.results.retain(|uid| !is_gone(*uid));
        if gone.is_empty() && new.is_empty() {
            return Ok(());
        }
        context.results.extend(new.iter());
        let mut come = Vec::new();
        if let Some(criteria) = &context.criteria {
            let numbers: UidSet = context.results.iter().map(|uid| number(*uid)).collect();
            let sorted = sort::in_sorted_order(self, &numbers, &UidSet::default(), criteria);
            let sorted = match sorted {
                Ok(sorted) => sorted,
                Err(Trouble::Tree(crate::store::TreeError::Folder(error))) => return Err(error),
                Err(_) => return Ok(()),
            };
            let uids = sorted.iter().filter_map(|n| snapshot.at(*n)).map(|entry| entry.uid.number());
            context.results = uids.collect();
            // In ascending positions: each one is where the client then finds it.
            for (at, uid) in context.results.iter().enumerate().filter(|(_, uid)| new.contains(**uid)) {
                come.push((at as u32 + 1, [shown(*uid)].into_iter().collect()));
            }
        } else if !new.is_empty() {
            context.results.sort_unstable();
            come.push((0, new.iter().map(shown).collect()));
        }
        self.tell_update(context, &gone, &come, enabled, out);
        Ok(())
    }

    fn tell_update(
        &self,
        context: &Context,
        remove_from: &[(u32, UidSet)],
        add_to: &[(u32, UidSet)],
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) {
        let mailbox = context.names_mailbox.then(|| (&self.name, self.view.snapshot().uid_validity));
        let line = Esearch { tag: &context.tag, mailbox, is_uid: context.is_uid, ..Esearch::default() };
        // REMOVEFROM comes first: the positions of ADDTO count without what is gone (RFC 5267 §4.3.2).
        if !remove_from.is_empty() {
            response::esearch(out, &Esearch { remove_from, ..line.clone() }, enabled);
        }
        if !add_to.is_empty() {
            response::esearch(out, &Esearch { add_to, ..line }, enabled);
        }
    }

    /// The key with identifiers in place of sequence numbers and of `$`.
    fn fixed(&self, key: &SearchKey) -> SearchKey {
        let several = |keys: &[SearchKey]| keys.iter().map(|key| self.fixed(key)).collect();
        let uids = |uids: &UidSet| SearchKey::Uids(Set::These(SeqSet::from(uids)));
        match key {
            SearchKey::And(keys) => SearchKey::And(several(keys)),
            SearchKey::Or(keys) => SearchKey::Or(several(keys)),
            SearchKey::Not(key) => SearchKey::Not(Box::new(self.fixed(key))),
            SearchKey::Fuzzy(key) => SearchKey::Fuzzy(Box::new(self.fixed(key))),
            SearchKey::Numbers(Set::Saved) | SearchKey::Uids(Set::Saved) => uids(&self.saved),
            SearchKey::Numbers(Set::These(set)) => {
                let snapshot = self.view.snapshot();
                let inside = set.resolve(snapshot.len()).into_iter().map(|(from, to)| (from, to.min(snapshot.len())));
                let numbers = UidSet::from_ranges(inside.filter(|(from, to)| from <= to).collect());
                uids(&self.uids(&numbers))
            }
            other => other.clone(),
        }
    }
}

/// What leaves a result: of a sorted one from the last position down, so that each position is right when it is read.
fn removals(
    results: &[u32],
    is_gone: &dyn Fn(u32) -> bool,
    is_sorted: bool,
    shown: &dyn Fn(u32) -> u32,
) -> Vec<(u32, UidSet)> {
    let gone = results.iter().enumerate().filter(|(_, uid)| is_gone(**uid));
    if is_sorted {
        return gone.rev().map(|(at, uid)| (at as u32 + 1, [shown(*uid)].into_iter().collect())).collect();
    }
    let all: UidSet = gone.map(|(_, uid)| shown(*uid)).collect();
    if all.is_empty() { Vec::new() } else { vec![(0, all)] }
}
