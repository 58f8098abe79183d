//! The ids of all messages that wait, as sorted lists: ten octets for each.

use crate::spool::{BUCKETS, PackedId};
use std::collections::HashSet;

/// A set of ids. New ids are later than old ones, so they are put in at or near the end of their list.
#[derive(Debug)]
pub(super) struct Known {
    buckets: Vec<Vec<PackedId>>,
}

impl Default for Known {
    fn default() -> Known {
        Known { buckets: vec![Vec::new(); BUCKETS] }
    }
}

impl Known {
    /// False when it was in already.
    pub(super) fn insert(&mut self, id: PackedId) -> bool {
        let list = &mut self.buckets[id.bucket()];
        match list.binary_search(&id) {
            Ok(_) => false,
            Err(at) => {
                list.insert(at, id);
                true
            }
        }
    }

    pub(super) fn contains(&self, id: PackedId) -> bool {
        self.buckets[id.bucket()].binary_search(&id).is_ok()
    }

    pub(super) fn remove(&mut self, id: PackedId) {
        let list = &mut self.buckets[id.bucket()];
        if let Ok(at) = list.binary_search(&id) {
            list.remove(at);
            if list.len() < list.capacity() / 4 {
                list.shrink_to(list.len() * 2);
            }
        }
    }

    pub(super) fn len(&self) -> usize {
        self.buckets.iter().map(Vec::len).sum()
    }

    /// Drops what is not in a sorted list of what is there, and not active; gives what is there and not in the set.
    pub(super) fn compare(&mut self, bucket: usize, there: &[PackedId], active: &HashSet<PackedId>) -> Vec<PackedId> {
        let Some(list) = self.buckets.get_mut(bucket) else { return Vec::new() };
        let is_new = |id: &&PackedId| list.binary_search(id).is_err() && !active.contains(*id);
        let news = there.iter().filter(is_new).copied().collect();
        list.retain(|id| there.binary_search(id).is_ok() || active.contains(id));
        news
    }
}
