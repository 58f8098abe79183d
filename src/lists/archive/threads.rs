//! The threads of an archive: which post answers which.

use super::{Archive, Entry};
use crate::mailbox::{Threadable, Threads};
use crate::msg::folding::fold_for_search;
use crate::msg::subject::{BaseSubject, base_subject};
use std::io;

/// A post in its thread.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Threaded {
    /// How deep: 0 begins a thread.
    pub depth: usize,
    /// The post.
    pub entry: Entry,
}

impl Archive {
    /// The posts in these ranges by threads (RFC 5256 §3, REFERENCES); a thread stands where its first post was sent.
    pub fn threads(&self, ranges: &[(u64, u64)]) -> io::Result<Vec<Threaded>> {
        let entries: Vec<Entry> = self.index()?.entries(ranges).collect();
        let subjects: Vec<BaseSubject> = entries
            .iter()
            .map(|entry| {
                let base = base_subject(&entry.subject);
                BaseSubject { text: fold_for_search(&base.text), ..base }
            })
            .collect();
        let references: Vec<Vec<&[u8]>> =
            entries.iter().map(|entry| entry.references.iter().map(|id| id.as_bytes()).collect()).collect();
        let threadables: Vec<Threadable> = entries
            .iter()
            .enumerate()
            .map(|(index, entry)| Threadable {
                number: index as u32,
                date: entry.date.0,
                subject: &subjects[index].text,
                is_reply: subjects[index].is_reply,
                message_id: entry.message_id.as_bytes(),
                references: &references[index],
            })
            .collect();
        let mut found = Vec::with_capacity(entries.len());
        for (depth, index) in Threads::by_references(&threadables).walk() {
            if let Some(entry) = entries.get(index as usize) {
                found.push(Threaded { depth, entry: entry.clone() });
            }
        }
        Ok(found)
    }
}
