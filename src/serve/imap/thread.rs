//! THREAD: conversations among the messages that a search finds (RFC 5256).
//!
//! What matches has been searched for before, and its records are made (`arrange`).

use super::Run;
use super::selected::{Depth, Selected};
use crate::mailbox::{Threadable, Threads, UidSet};
use crate::msg::digest::{Digest, Part};
use crate::proto::imap::response;
use crate::proto::imap::{Enabled, Extension, Outcome, Thread, ThreadAlgorithm};
use crate::store::FolderError;

/// What threading needs of messages: their texts lie one behind another, because giving memory to each word of a hundred thousand messages
/// costs as much as threading them.
#[derive(Default)]
struct Letters {
    letters: Vec<Letter>,
    subjects: String,
    /// Message identifiers, each message's own and then those that it refers to.
    ids: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
}

/// Of one message, with the ends of its parts.
struct Letter {
    number: u32,
    date: i64,
    is_reply: bool,
    subject_end: usize,
    /// Identifiers of this message and those before it.
    ids: usize,
}

impl Letters {
    fn add(&mut self, number: u32, date: i64, digest: &Digest<'_>) {
        self.subjects.push_str(&String::from_utf8_lossy(digest.part(Part::BaseSubject)));
        for id in std::iter::once(digest.part(Part::MessageId)).chain(digest.references()) {
            self.ids.extend_from_slice(id);
            self.ends.push(self.ids.len());
        }
        let (subject_end, ids) = (self.subjects.len(), self.ends.len());
        self.letters.push(Letter { number, date, is_reply: digest.is_reply(), subject_end, ids });
    }

    /// All identifiers, in their order.
    fn ids(&self) -> Vec<&[u8]> {
        let mut from = 0;
        self.ends.iter().map(|end| &self.ids[std::mem::replace(&mut from, *end)..*end]).collect()
    }

    fn rows<'a>(&'a self, ids: &'a [&'a [u8]]) -> Vec<Threadable<'a>> {
        let (mut subject, mut id) = (0, 0);
        let row = |letter: &'a Letter| {
            let subject = &self.subjects[std::mem::replace(&mut subject, letter.subject_end)..letter.subject_end];
            let own = &ids[std::mem::replace(&mut id, letter.ids)..letter.ids];
            let (message_id, references) = own.split_first().map_or((&[][..], &[][..]), |(id, rest)| (*id, rest));
            let Letter { number, date, is_reply, .. } = *letter;
            Threadable { number, date, subject, is_reply, message_id, references }
        };
        self.letters.iter().map(row).collect()
    }
}

/// Threads what matches, and tells it (RFC 5256 §3).
pub(super) fn threaded(
    selected: &Selected,
    thread: &Thread,
    numbers: &UidSet,
    enabled: Enabled,
    out: &mut Vec<u8>,
) -> Run {
    let mut messages = selected.messages();
    let snapshot = messages.snapshot().clone();
    messages.prepare(&selected.uids(numbers).uids().collect::<Vec<_>>(), Depth::Header)?;
    let is_uid = thread.is_uid || enabled.has(Extension::UidOnly);
    let mut letters = Letters::default();
    for number in numbers.iter() {
        let Some(entry) = snapshot.at(number) else { continue };
        let record = match messages.digest(entry.uid, Depth::Header) {
            Err(FolderError::Expunged) => continue,
            other => other?,
        };
        let Some(digest) = Digest::read(&record) else { continue };
        let date = match digest.sent() {
            Some(sent) => sent,
            None => messages.internal_date(entry)?.seconds(),
        };
        letters.add(if is_uid { entry.uid.number() } else { number }, date, &digest);
    }
    let ids = letters.ids();
    let rows = letters.rows(&ids);
    let threads = match thread.algorithm {
        ThreadAlgorithm::References => Threads::by_references(&rows),
        ThreadAlgorithm::OrderedSubject => Threads::by_subject(&rows),
    };
    response::thread(out, &threads);
    let _ = selected.folder.flush_cache();
    Ok(Outcome::ok("threaded"))
}
