//! APPEND and REPLACE: messages that a client brings, streamed into drafts (RFC 9051 §6.3.12, RFC 3502, RFC 8508).
//!
//! Stored text has LF line ends: CR LF becomes LF while it comes in; a CR alone stays; a LF alone is a line end like any other, and
//! goes out as CR LF.

use super::access::Place;
use super::international::HeaderWatch;
use super::limit::MessageLimits;
use super::message::{permitted, split_flags, writable};
use super::selected::Selected;
use super::{ImapService, Trouble};
use crate::dot::MeasuredDecoder;
use crate::mailbox::{Entry, Rights, System, UidSet};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Answer, AppendMessage, Messages, Outcome, Refusal};
use crate::store::{Append, FlagChange, Folder, FolderError, How, TreeError};
use std::sync::Arc;

/// The messages of one command.
#[derive(Debug)]
pub(super) struct Appending {
    folder: Arc<Folder>,
    place: Place,
    done: Vec<Append>,
    current: Option<Current>,
    replaces: Option<Messages>,
    octets: u64,
}

/// The message that is coming in.
#[derive(Debug)]
struct Current {
    append: Append,
    decoder: MeasuredDecoder,
    /// Octets announced so far, as the client counts them.
    announced: u64,
    /// It came as a literal8: every octet counts.
    is_binary: bool,
    header: HeaderWatch,
}

impl Current {
    fn new(append: Append, announced: u64) -> Current {
        Current {
            append,
            decoder: MeasuredDecoder::default(),
            announced,
            is_binary: false,
            header: HeaderWatch::default(),
        }
    }

    fn write(&mut self, octets: &[u8]) -> std::io::Result<()> {
        let text = self.decoder.feed(octets);
        self.put(&text)
    }

    fn put(&mut self, text: &[u8]) -> std::io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        self.header.feed(text);
        self.append.draft.write(text)
    }

    fn finish(mut self) -> std::io::Result<Append> {
        let text = self.decoder.finish();
        self.put(&text)?;
        self.append.wire_size = self.decoder.wire_size();
        Ok(self.append)
    }
}

impl ImapService {
    /// Largest message taken.
    pub(super) fn append_limit(&self) -> u64 {
        self.desk.site.settings.smtp.message_size.0
    }

    pub(super) fn append_begin(&mut self, message: AppendMessage) -> Answer {
        self.enabled = message.enabled;
        Answer::Verdict(self.begin(message))
    }

    fn begin(&mut self, message: AppendMessage) -> Result<(), Refusal> {
        let size = message.size.unwrap_or(0);
        if size > self.append_limit() {
            return Err(Refusal::no(
                Some(Code::TooBig),
                format!("a message has at most {} octets", self.append_limit()),
            ));
        }
        if let Err(Outcome { status, code, text, .. }) =
            MessageLimits::of(&self.desk).check_append(message.index.saturating_add(1))
        {
            return Err(Refusal { status, code, text });
        }
        let mut freed = 0;
        if let Some(replaces) = &message.replaces {
            freed = self.may_replace(replaces).map_err(|trouble| self.refusal(trouble))?;
        }
        if self.append.is_none() {
            let (place, folder) = self.target(&message.mailbox).map_err(|trouble| self.refusal(trouble))?;
            let (replaces, done) = (message.replaces.clone(), Vec::new());
            self.append = Some(Box::new(Appending { folder, place, done, current: None, replaces, octets: 0 }));
        }
        let held = self.append.as_ref().map_or(0, |append| append.octets);
        let freed = if self.append.as_deref().is_some_and(|append| self.frees_room(append)) { freed } else { 0 };
        self.check_quota(held.saturating_add(size).saturating_sub(freed))?;
        let Some(appending) = &mut self.append else { return Err(Refusal::bad("no APPEND")) };
        // RFC 4314 §4: flags that may not be set are left out without a word.
        let (system, keywords) = split_flags(&message.flags);
        let (system, keywords) = permitted(appending.place.rights.flags(), system, &keywords).unwrap_or_default();
        let append = Append {
            draft: appending.folder.draft(),
            wire_size: 0,
            system,
            keywords: keywords.iter().map(|name| name.to_string()).collect(),
            internal_date: message.date,
        };
        appending.octets = appending.octets.saturating_add(size);
        appending.current = Some(Current { is_binary: message.is_binary, ..Current::new(append, size) });
        Ok(())
    }

    /// True when REPLACE may remove this message; gives the octets that its removal frees (RFC 8508 §3.2).
    fn may_replace(&mut self, replaces: &Messages) -> Result<u64, Trouble> {
        let selected = self.selected()?;
        // RFC 8508 §4.1: as STORE and EXPUNGE do.
        writable(selected, Rights::MARK.union(Rights::EXPUNGE))?;
        let numbers = selected.choose(replaces).ok_or(Trouble::NoSuchMessage)?;
        let snapshot = selected.view.snapshot();
        let found = numbers.iter().filter_map(|number| snapshot.at(number)).find(|e| !selected.view.is_ghost(e.uid));
        match found {
            Some(entry) if entry.size != Entry::UNKNOWN_SIZE => Ok(entry.size),
            Some(_) => Ok(0),
            None => Err(Trouble::Told(Outcome::no(Some(Code::ExpungeIssued), "no such message"))),
        }
    }

    pub(super) fn refusal(&self, trouble: Trouble) -> Refusal {
        let Outcome { status, code, text, .. } = self.explain(trouble);
        Refusal { status, code, text }
    }

    pub(super) fn append_text(&mut self, octets: u64) -> Answer {
        Answer::Verdict(self.make_room(octets))
    }

    /// So many octets more are coming for the message.
    pub(super) fn make_room(&mut self, octets: u64) -> Result<(), Refusal> {
        let limit = self.append_limit();
        let Some(appending) = &mut self.append else { return Err(Refusal::bad("no APPEND")) };
        let Some(current) = &mut appending.current else { return Err(Refusal::bad("no APPEND")) };
        current.announced = current.announced.saturating_add(octets);
        if current.announced > limit {
            return Err(Refusal::no(Some(Code::TooBig), format!("a message has at most {limit} octets")));
        }
        appending.octets = appending.octets.saturating_add(octets);
        let held = appending.octets;
        self.check_quota(held)
    }

    /// True when a message goes for the one that comes. What goes from one account frees nothing in another.
    fn frees_room(&self, append: &Appending) -> bool {
        let is_same = |selected: &Selected| selected.folder.home() == append.folder.home();
        append.replaces.is_some() && self.selected.as_deref().is_some_and(is_same)
    }

    /// Fails when so many more octets, and the message that is coming, are too much for the tree that is written to.
    fn check_quota(&self, octets: u64) -> Result<(), Refusal> {
        let is_over = |append: &Appending| {
            let messages = append.done.len() as u64 + u64::from(!self.frees_room(append));
            append.place.is_over_quota(octets, messages)
        };
        match self.append.as_deref().map_or(Ok(false), is_over) {
            Ok(false) => Ok(()),
            Ok(true) => Err(Refusal::no(Some(Code::OverQuota), "the quota is exceeded")),
            Err(trouble) => Err(self.refusal(trouble)),
        }
    }

    pub(super) fn append_chunk(&mut self, octets: &[u8]) -> Answer {
        Answer::Verdict(self.write_text(octets))
    }

    /// Writes octets as they are on the wire.
    pub(super) fn write_text(&mut self, octets: &[u8]) -> Result<(), Refusal> {
        let written = match self.append.as_mut().and_then(|append| append.current.as_mut()) {
            Some(current) => current.write(octets),
            None => Ok(()),
        };
        written.map_err(|e| self.refusal(TreeError::Io(e).into()))
    }

    pub(super) fn append_end(&mut self) -> Answer {
        let current = self.append.as_mut().and_then(|append| append.current.take());
        // RFC 3516 §4.4: text is kept with LF line ends; a part in which CR and LF are octets like others can't be.
        if current.as_ref().is_some_and(|current| current.is_binary && current.decoder.is_bare()) {
            let text = "a CR or LF that is no line end can't be kept; encode the part";
            return Answer::Verdict(Err(Refusal::no(Some(Code::UnknownCte), text)));
        }
        // RFC 9755 §4. Header and body are whole now, but for an end of line that is still open.
        if !self.reads_utf8_headers() && current.as_ref().is_some_and(|current| current.header.is_international()) {
            let text = "header fields in UTF-8 need ENABLE UTF8=ACCEPT first";
            return Answer::Verdict(Err(Refusal::no(None, text)));
        }
        let finished = current.map(Current::finish);
        Answer::Verdict(match (finished, &mut self.append) {
            (Some(Ok(append)), Some(appending)) => {
                appending.done.push(append);
                Ok(())
            }
            (Some(Err(e)), _) => Err(self.refusal(TreeError::Io(e).into())),
            _ => Err(Refusal::bad("no APPEND")),
        })
    }

    pub(super) fn append_commit(&mut self) -> Answer {
        self.note_append();
        let mut out = Vec::new();
        let result = match self.append.take() {
            Some(appending) => self.is_still_allowed(&appending).and_then(|()| Ok(self.commit(*appending, &mut out)?)),
            None => Ok(super::not_now("no APPEND")),
        };
        self.finish(result, true, out)
    }

    /// The messages may have taken their time: what was allowed when they began must be allowed still.
    fn is_still_allowed(&mut self, appending: &Appending) -> Result<(), Trouble> {
        if !appending.place.rights_of(self.me()?)?.holds(Rights::INSERT) {
            return Err(Trouble::NoPerm);
        }
        match appending.replaces {
            Some(_) => writable(self.selected()?, Rights::MARK.union(Rights::EXPUNGE)),
            None => Ok(()),
        }
    }

    fn commit(&mut self, appending: Appending, out: &mut Vec<u8>) -> Result<Outcome, FolderError> {
        let Appending { folder, mut done, replaces, .. } = appending;
        if let (Some(replaces), Some(selected)) = (&replaces, self.selected.as_deref_mut())
            && selected.folder.dir() == folder.dir()
            && let Some(message) = done.pop()
        {
            let old = selected.choose(replaces).map(|numbers| selected.uids(&numbers)).unwrap_or_default();
            let old = old.uids().next().ok_or(FolderError::Expunged)?;
            let added: UidSet = [folder.replace(old, message)?].into_iter().collect();
            self.note_added(&folder, &added);
            let code = Code::AppendUid(folder.seen()?.uid_validity, added);
            // RFC 8508 §3.4: the new one is told before the old one goes.
            response::untagged(out, Status::Ok, Some(&code), "the new message is stored");
            return Ok(Outcome::ok("replaced"));
        }
        let is_here = |selected: &Selected| selected.folder.dir() == folder.dir() && !selected.is_passive();
        let uids = match self.selected.as_deref_mut().filter(|selected| is_here(selected)) {
            Some(selected) => {
                let (uids, recent) = folder.append_taking_recent(done)?;
                selected.add_recent(&recent);
                uids
            }
            None => folder.append(done)?,
        };
        let validity = folder.seen()?.uid_validity;
        let uids: UidSet = uids.into_iter().collect();
        self.note_added(&folder, &uids);
        let code = Code::AppendUid(validity, uids);
        let (Some(replaces), Some(selected)) = (replaces, self.selected.as_deref_mut()) else {
            return Ok(Outcome::ok("appended").with_code(code));
        };
        // RFC 8508 §3.4: the new one is told before the old one goes.
        response::untagged(out, Status::Ok, Some(&code), "the new message is stored");
        let old = selected.choose(&replaces).map(|numbers| selected.uids(&numbers)).unwrap_or_default();
        let change = FlagChange { how: How::Add, system: System::Deleted as u8, keywords: &[] };
        selected.folder.store(&old, change, None)?;
        selected.folder.expunge(Some(&old))?;
        Ok(Outcome::ok("replaced"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_ends_become_lf_however_the_text_is_cut() {
        let text = b"a\r\nb\rc\r\r\nd\ne\r\n\r";
        for cut in 0..text.len() {
            let dir = tempfile::tempdir().unwrap();
            let append = Append {
                draft: crate::fsx::Draft::new(dir.path().join("d"), 0o600),
                wire_size: 0,
                system: 0,
                keywords: Vec::new(),
                internal_date: None,
            };
            let mut current = Current::new(append, 0);
            current.write(&text[..cut]).unwrap();
            current.write(&text[cut..]).unwrap();
            let mut append = current.finish().unwrap();
            let mut stored = Vec::new();
            let file = append.draft.file().unwrap();
            std::io::Seek::rewind(file).unwrap();
            std::io::Read::read_to_end(file, &mut stored).unwrap();
            assert_eq!(stored, b"a\nb\rc\r\nd\ne\n\r");
            assert_eq!(append.wire_size, crate::dot::crlf_size(&stored));
        }
    }
}
