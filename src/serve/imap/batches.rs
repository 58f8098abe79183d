//! UIDBATCHES: ranges of identifiers that hold equally many messages (RFC 10022, draft-ietf-mailmaint-imap-uidbatches-22).
//!
//! The rules kept here: batches count from the newest message down, and so do the ranges of the response, the larger identifier first
//! (§3.1); a response comes even when it names no batch (§3.1.2); sizes from 500 are taken, smaller ones get NO \[TOOFEW\], so that
//! nobody makes sequence numbers of them (§3.1.3); the last batch goes down to identifier 1, whether or not it exists (§3.1.4). Of ranges
//! that span many messages a server must allow 100,000 (§3.1.7); here there is no limit, because a batch costs one look at the snapshot.
//! Ranges touch: what lies between two batches belongs to the newer one. The result of the last search stays as it is.

use super::selected::Selected;
use super::{Run, Trouble};
use crate::mailbox::Snapshot;
use crate::proto::imap::Outcome;
use crate::proto::imap::response::{self, Code};

/// Fewest messages in a batch.
const LEAST: u32 = 500;

/// UIDBATCHES: messages of a batch, and the first and the last batch that is wanted.
pub(super) fn uid_batches(
    selected: &Selected,
    size: u32,
    wanted: Option<(u32, u32)>,
    tag: &str,
    out: &mut Vec<u8>,
) -> Run {
    if size < LEAST {
        let text = format!("a batch has at least {LEAST} messages");
        return Err(Trouble::Told(Outcome::no(Some(Code::TooFew), text)));
    }
    let batches = batches(selected.view.snapshot(), size, wanted.unwrap_or((1, u32::MAX)));
    response::uid_batches(out, tag, &batches);
    Ok(Outcome::ok("these are the batches"))
}

/// The largest and the smallest identifier of these batches, which are counted from 1.
fn batches(snapshot: &Snapshot, size: u32, (first, last): (u32, u32)) -> Vec<(u32, u32)> {
    let count = snapshot.len();
    // The largest identifier of a batch, by its number from 0.
    let top = |batch: u32| {
        let skipped = batch.checked_mul(size).filter(|skipped| *skipped < count)?;
        snapshot.at(count - skipped).map(|entry| entry.uid.number())
    };
    let mut found = Vec::new();
    for batch in first - 1..last {
        let Some(from) = top(batch) else { break };
        found.push((from, top(batch + 1).map_or(1, |next| next + 1)));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::mailbox::{Entry, Flags, Keywords, ModSeq, Uid, UidValidity};

    fn snapshot(uids: impl Iterator<Item = u32>) -> Snapshot {
        let entry = |uid: u32| Entry {
            uid: Uid::new(uid).unwrap(),
            flags: Flags::NONE,
            modseq: ModSeq::new(1).unwrap(),
            internal_date: Timestamp(0),
            save_date: Timestamp(0),
            size: 1,
        };
        Snapshot {
            uid_validity: UidValidity::new(1).unwrap(),
            uid_next: Uid::LAST,
            highest_modseq: ModSeq::new(1).unwrap(),
            recent_from: Uid::LAST,
            keywords: Keywords::default(),
            entries: uids.map(entry).collect(),
        }
    }

    #[test]
    fn truth_table() {
        let all = (1, u32::MAX);
        let gone = [1, 14, 15, 16, 17, 41, 43, 45];
        let some = snapshot((1..=50).filter(|uid| !gone.contains(uid)));
        assert_eq!(batches(&some, 50, all), [(50, 1)]);
        assert_eq!(batches(&some, 25, all), [(50, 23), (22, 1)]);
        assert_eq!(batches(&some, 10, all), [(50, 38), (37, 28), (27, 14), (13, 4), (3, 1)]);
        assert_eq!(batches(&some, 10, (1, 1)), [(50, 38)]);
        assert_eq!(batches(&some, 10, (2, 3)), [(37, 28), (27, 14)]);
        assert_eq!(batches(&some, 10, (5, 6)), [(3, 1)]);
        assert_eq!(batches(&some, 10, (7, 7)), []);
        assert_eq!(batches(&some, 42, all), [(50, 1)]);
        assert_eq!(batches(&some, u32::MAX, (u32::MAX, u32::MAX)), []);
        assert_eq!(batches(&snapshot(std::iter::empty()), 500, all), []);
        assert_eq!(batches(&snapshot([u32::MAX].into_iter()), 1, all), [(u32::MAX, 1)]);
    }

    #[test]
    fn every_batch_holds_so_many_messages_and_all_of_them_all() {
        let scattered = snapshot((1..4000).filter(|n| n % 3 != 0 && n % 7 != 0));
        for size in [500, 501, 999, 5000] {
            let found = batches(&scattered, size, (1, u32::MAX));
            let inside = |(from, to): &(u32, u32)| {
                scattered.entries.iter().filter(|e| (*to..=*from).contains(&e.uid.number())).count() as u32
            };
            let counts: Vec<u32> = found.iter().map(inside).collect();
            assert!(counts[..counts.len() - 1].iter().all(|count| *count == size) && *counts.last().unwrap() <= size);
            assert_eq!(counts.iter().sum::<u32>(), scattered.len());
            assert!(found.windows(2).all(|pair| pair[0].1 == pair[1].0 + 1));
        }
    }
}
