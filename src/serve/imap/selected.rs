//! The selected mailbox of a session, and reading its messages.

use super::access::Place;
use super::context::Context;
use super::limit::MessageLimits;
use super::notify::News;
use crate::clock::Timestamp;
use crate::log;
use crate::mailbox::{Entry, Flags, ModSeq, Rights, Snapshot, System, Uid, UidSet, View};
use crate::msg::digest::{Digest, Part};
use crate::msg::header_end;
use crate::proto::imap::{Enabled, MailboxName, Messages as Chosen, Set};
use crate::store::{CacheReader, Cached, Extent, Folder, FolderError, Measured, Text, TextReader, UrlKeyMark};
use std::sync::Arc;

/// A selected mailbox.
#[derive(Debug)]
pub(super) struct Selected {
    pub(super) name: MailboxName,
    pub(super) folder: Arc<Folder>,
    pub(super) view: View,
    /// It was opened by EXAMINE.
    pub(super) is_read_only: bool,
    /// Where it lies, when it is not one's own: the rights must be asked for again and again.
    pub(super) place: Option<Place>,
    /// What may be done with it, as of the command that runs.
    pub(super) rights: Rights,
    /// The rights of which the client knows.
    pub(super) told_rights: Rights,
    /// What SEARCH RETURN (SAVE) has left (RFC 5182): identifiers.
    pub(super) saved: UidSet,
    /// The messages that are new to this session (RFC 3501 §2.3.2).
    pub(super) recent: UidSet,
    /// Up to here the client knows all changes; behind it an expunge may wait to be told (RFC 7162 §3.2).
    pub(super) told: ModSeq,
    pub(super) limits: MessageLimits,
    /// Which key the URLs of the mailbox are authorised with.
    pub(super) url_key: Option<UrlKeyMark>,
    /// Searches whose results are kept up to date.
    pub(super) contexts: Vec<Context>,
    /// What NOTIFY adds; `None` in a session that has not said it.
    pub(super) news: Option<Box<News>>,
}

/// Names that are brought up to date at once when a session leaves; a renaming takes about ten microseconds.
const SETTLED_AT_ONCE: usize = 500;

/// Messages whose records are made together.
pub(super) const TOGETHER: usize = 1024;

impl Selected {
    /// Fails when the mailbox is not the one any more that the client has selected: its identifiers mean other messages now.
    pub(super) fn check(&self) -> Result<(), FolderError> {
        match self.folder.uid_validity()? == self.view.snapshot().uid_validity {
            true => Ok(()),
            false => Err(FolderError::Gone),
        }
    }

    /// True when nothing of this session may show in the mailbox.
    pub(super) fn is_passive(&self) -> bool {
        self.is_read_only || !self.rights.has_any(Rights::CHANGING)
    }

    /// The flags that this session may change for good, with `\*` when there is room for more (RFC 4314 §5.1.1).
    pub(super) fn permanent_flags(&self) -> Vec<String> {
        let snapshot = self.view.snapshot();
        let mask = self.rights.flags();
        let system = System::ALL.into_iter().filter(|flag| mask.has(*flag)).map(|flag| flag.name().to_string());
        let mut flags: Vec<String> = system.collect();
        if mask.keywords == Flags::ALL.keywords {
            flags.extend(snapshot.keywords.names().iter().map(|name| name.to_string()));
            if snapshot.keywords.names().len() < crate::mailbox::KEYWORDS_LIMIT {
                flags.push("\\*".to_string());
            }
        }
        flags
    }

    /// The session leaves, or has time: other programs may now see the flags in the files' names.
    pub(super) fn settle(&self) {
        if self.is_passive() {
            return;
        }
        if let Err(e) = self.folder.settle(SETTLED_AT_ONCE)
            && !matches!(e, FolderError::Gone | FolderError::Busy)
        {
            log::event("settle-failed").field("folder", self.folder.dir().display()).field("reason", e).error().write();
        }
    }

    /// For reading several messages.
    pub(super) fn messages(&self) -> Messages<'_> {
        Messages {
            folder: &self.folder,
            snapshot: self.view.snapshot().clone(),
            saved: &self.saved,
            recent: &self.recent,
            reader: self.folder.cache_reader(),
            texts: self.folder.text_reader(),
        }
    }

    /// The messages that a command names, as sequence numbers; `None` when it names one that is not there.
    pub(super) fn choose(&self, chosen: &Chosen) -> Option<UidSet> {
        let snapshot = self.view.snapshot();
        match &chosen.set {
            Set::Saved => Some(self.saved.uids().filter_map(|uid| snapshot.number(uid)).collect()),
            Set::These(set) if chosen.is_uid => Some(snapshot.by_uid(set)),
            Set::These(set) => snapshot.by_number(set),
        }
    }

    /// Measures what nobody has measured yet of these messages (sequence numbers), all at once.
    pub(super) fn measure(
        &mut self,
        numbers: &UidSet,
        sizes: bool,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let snapshot = self.view.snapshot();
        let is_unknown =
            |entry: &&Entry| entry.internal_date == Entry::UNKNOWN_DATE || (sizes && entry.size == Entry::UNKNOWN_SIZE);
        let unknown: UidSet =
            numbers.iter().filter_map(|n| snapshot.at(n)).filter(is_unknown).map(|entry| entry.uid).collect();
        if !unknown.is_empty() {
            let latest = self.folder.measure(&unknown, sizes)?;
            self.tell(latest, enabled, false, &UidSet::default(), out)?;
        }
        Ok(())
    }

    /// The same of a few messages of which a command wants the records, too: the file of one that has neither is read once. Those that have
    /// a record are left to [`Selected::measure`].
    pub(super) fn measure_with_records(
        &mut self,
        numbers: &UidSet,
        depth: Depth,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let snapshot = self.view.snapshot();
        let is_unknown =
            |entry: &&Entry| entry.internal_date == Entry::UNKNOWN_DATE || entry.size == Entry::UNKNOWN_SIZE;
        let unknown = numbers.iter().filter_map(|n| snapshot.at(n)).filter(is_unknown).map(|entry| entry.uid);
        let unknown = self.folder.uncached(&unknown.collect::<Vec<_>>());
        if unknown.is_empty() {
            return Ok(());
        }
        let make = |made: &mut Vec<_>, index: usize, text: Option<Text<'_>>| {
            made.extend(text.map(|text| (index, Measured::of(unknown[index], text), depth.record(text.octets))));
        };
        let made = self.folder.read_texts(&unknown, Extent::Whole, Vec::new, make)?;
        let mut made: Vec<_> = made.into_iter().flatten().collect();
        made.sort_unstable_by_key(|(index, ..)| *index);
        made.iter().for_each(|(index, _, record)| self.folder.cache(unknown[*index], record));
        let latest = self.folder.keep_measures(made.into_iter().map(|(_, measured, _)| measured).collect())?;
        self.tell(latest, enabled, false, &UidSet::default(), out)
    }

    /// The identifiers of these sequence numbers.
    pub(super) fn uids(&self, numbers: &UidSet) -> UidSet {
        let snapshot = self.view.snapshot();
        numbers.iter().filter_map(|number| snapshot.at(number)).map(|entry| entry.uid).collect()
    }
}

/// Reads a mailbox's messages as one view shows them.
pub(super) struct Messages<'a> {
    pub(super) folder: &'a Folder,
    snapshot: Arc<Snapshot>,
    saved: &'a UidSet,
    recent: &'a UidSet,
    reader: CacheReader<'a>,
    texts: TextReader<'a>,
}

/// How much of a message a record tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Depth {
    /// What its header says: one that tells more does as well.
    Header,
    /// The body's structure and its beginning, too.
    Text,
}

impl Depth {
    /// The record of a message that is read as [`Depth::extent`] says.
    fn record(self, text: &[u8]) -> Vec<u8> {
        match self {
            Depth::Header => Digest::of_header(text),
            Depth::Text => Digest::of(text),
        }
    }

    fn extent(self) -> Extent {
        match self {
            Depth::Header => Extent::Until(|text| header_end(text).is_some()),
            Depth::Text => Extent::Whole,
        }
    }

    fn is_in(self, record: &[u8]) -> bool {
        Digest::read(record).is_some_and(|digest| self == Depth::Header || digest.is_whole())
    }
}

/// A digest's bytes.
pub(super) enum Record {
    Cached(Cached),
    Fresh(Vec<u8>),
}

impl std::ops::Deref for Record {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Record::Cached(bytes) => bytes,
            Record::Fresh(bytes) => bytes,
        }
    }
}

impl Messages<'_> {
    pub(super) fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    pub(super) fn saved(&self) -> &UidSet {
        self.saved
    }

    /// The messages that are new to the session.
    pub(super) fn recent(&self) -> &UidSet {
        self.recent
    }

    /// INTERNALDATE, looked up when nobody has yet.
    pub(super) fn internal_date(&self, entry: &Entry) -> Result<Timestamp, FolderError> {
        match entry.internal_date {
            Entry::UNKNOWN_DATE => Ok(self.folder.measured(entry.uid, false)?.internal_date),
            date => Ok(date),
        }
    }

    /// RFC822.SIZE, measured when nobody has yet.
    pub(super) fn size(&self, entry: &Entry) -> Result<u64, FolderError> {
        match entry.size {
            Entry::UNKNOWN_SIZE => Ok(self.folder.measured(entry.uid, true)?.size),
            size => Ok(size),
        }
    }

    /// EMAILID.
    pub(super) fn email_id(&mut self, uid: Uid) -> Result<String, FolderError> {
        let id = |record: &[u8]| -> Option<String> {
            let id = Digest::read(record)?.part(Part::EmailId);
            (!id.is_empty()).then(|| String::from_utf8_lossy(id).into_owned())
        };
        let record = self.digest(uid, Depth::Header)?;
        if let Some(id) = id(&record) {
            return Ok(id);
        }
        let record = Digest::identified(&record, &self.text(uid)?);
        self.folder.cache(uid, &record);
        Ok(id(&record).unwrap_or_default())
    }

    /// THREADID. A message that has no identifier is a thread of its own.
    pub(super) fn thread_id(&mut self, uid: Uid) -> Result<String, FolderError> {
        match Digest::read(&self.digest(uid, Depth::Header)?).and_then(|digest| digest.thread_id()) {
            Some(id) => Ok(id),
            None => Ok(self.email_id(uid)?.replacen('M', "T", 1)),
        }
    }

    /// The record of a message, which tells at least so much: the kept one, or a new one, which is kept then.
    pub(super) fn digest(&mut self, uid: Uid, depth: Depth) -> Result<Record, FolderError> {
        let known = self.reader.cached(uid);
        let record = match known {
            Some(known) if depth.is_in(&known) => return Ok(Record::Cached(known)),
            Some(known) if depth == Depth::Text => Digest::completed(&known, &self.text(uid)?),
            _ => depth.record(&self.text(uid)?),
        };
        self.folder.cache(uid, &record);
        Ok(Record::Fresh(record))
    }

    /// Makes the records that are missing of these messages, or tell too little, all at once.
    pub(super) fn prepare(&mut self, uids: &[Uid], depth: Depth) -> Result<(), FolderError> {
        // With those that tell something already.
        let missing: Vec<(Uid, Option<Cached>)> = match depth {
            Depth::Header => self.folder.uncached(uids).into_iter().map(|uid| (uid, None)).collect(),
            Depth::Text => {
                let known = uids.iter().map(|uid| (*uid, self.reader.cached(*uid)));
                known.filter(|(_, record)| !record.as_ref().is_some_and(|record| depth.is_in(record))).collect()
            }
        };
        for chunk in missing.chunks(TOGETHER) {
            let uids: Vec<Uid> = chunk.iter().map(|(uid, _)| *uid).collect();
            let make = |made: &mut Vec<_>, index: usize, text: Option<Text<'_>>| {
                let record = |text: Text<'_>| match &chunk[index].1 {
                    Some(known) => Digest::completed(known, text.octets),
                    None => depth.record(text.octets),
                };
                made.extend(text.map(|text| (index, record(text))));
            };
            let mut made = self.folder.read_texts(&uids, depth.extent(), Vec::new, make)?.concat();
            // In order they are read again much faster.
            made.sort_unstable_by_key(|(index, _)| *index);
            made.into_iter().for_each(|(index, record)| self.folder.cache(uids[index], &record));
        }
        Ok(())
    }

    /// A message's stored text.
    pub(super) fn text(&self, uid: Uid) -> Result<Vec<u8>, FolderError> {
        self.text_in(uid, Vec::new())
    }

    /// The same in a buffer that held another one.
    pub(super) fn text_in(&self, uid: Uid, mut buffer: Vec<u8>) -> Result<Vec<u8>, FolderError> {
        self.texts.read(uid, &mut buffer)?;
        Ok(buffer)
    }
}
