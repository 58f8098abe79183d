//! THREAD: conversations among the messages that a search finds (RFC 5256).

use super::Run;
use super::find::{Wanted, matching};
use super::selected::Selected;
use crate::clock::Timestamp;
use crate::mailbox::{Threadable, Threads};
use crate::msg::digest::{Digest, Part};
use crate::proto::imap::response;
use crate::proto::imap::{Enabled, Extension, Outcome, Thread, ThreadAlgorithm};
use crate::store::FolderError;

/// What threading needs of a message, in memory.
struct Letter {
    number: u32,
    date: i64,
    subject: String,
    is_reply: bool,
    id: Vec<u8>,
    references: Vec<Vec<u8>>,
}

/// THREAD and UID THREAD (RFC 5256 §3).
pub(super) fn thread(
    selected: &mut Selected,
    thread: &Thread,
    enabled: Enabled,
    now: Timestamp,
    out: &mut Vec<u8>,
) -> Run {
    selected.check_thread()?;
    let wanted = Wanted { key: &thread.key, charset: Some(&thread.charset), now, is_limited: false };
    let (numbers, _) = matching(selected, wanted, false, enabled, out)?;
    let mut messages = selected.messages();
    let snapshot = messages.snapshot().clone();
    messages.prepare(&selected.uids(&numbers).uids().collect::<Vec<_>>())?;
    let is_uid = thread.is_uid || enabled.has(Extension::UidOnly);
    let mut letters = Vec::with_capacity(numbers.len() as usize);
    for number in numbers.iter() {
        let Some(entry) = snapshot.at(number) else { continue };
        let record = match messages.digest(entry.uid) {
            Err(FolderError::Expunged) => continue,
            other => other?,
        };
        let Some(digest) = Digest::read(&record) else { continue };
        let date = match digest.sent() {
            Some(sent) => sent,
            None => messages.internal_date(entry)?.seconds(),
        };
        letters.push(Letter {
            number: if is_uid { entry.uid.number() } else { number },
            date,
            subject: String::from_utf8_lossy(digest.part(Part::BaseSubject)).into_owned(),
            is_reply: digest.is_reply(),
            id: digest.part(Part::MessageId).to_vec(),
            references: digest.references().map(<[u8]>::to_vec).collect(),
        });
    }
    let references: Vec<Vec<&[u8]>> =
        letters.iter().map(|letter| letter.references.iter().map(Vec::as_slice).collect()).collect();
    let rows: Vec<Threadable<'_>> = letters
        .iter()
        .zip(&references)
        .map(|(letter, references)| Threadable {
            number: letter.number,
            date: letter.date,
            subject: &letter.subject,
            is_reply: letter.is_reply,
            message_id: &letter.id,
            references,
        })
        .collect();
    let threads = match thread.algorithm {
        ThreadAlgorithm::References => Threads::by_references(&rows),
        ThreadAlgorithm::OrderedSubject => Threads::by_subject(&rows),
    };
    response::thread(out, &threads);
    let _ = selected.folder.flush_cache();
    Ok(Outcome::ok("threaded"))
}
