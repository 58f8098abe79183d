//! FETCH: items of messages, streamed (RFC 9051 §6.4.5).
//!
//! A [`Fetch`] is a plan with a place in it. Each [`Fetch::step`] makes a bounded piece of output; texts are turned into their CRLF form
//! while they go out, so that of a large message only its stored text is held.

use super::changes::begin;
use super::international::Downgrade;
use super::selected::{Depth, Messages, Record, Selected, TOGETHER};
use crate::dot::CrlfWindow;
use crate::mailbox::{Entry, Uid, UidSet};
use crate::msg::digest::{Digest, Part};
use crate::msg::section;
use crate::msg::structure::{Shape, Structure};
use crate::msg::transfer::Transfer;
use crate::proto::imap::response::{Code, FetchPrinter};
use crate::proto::imap::{Enabled, Extension};
use crate::proto::imap::{FetchItem, Section, SectionText};
use crate::store::FolderError;
use std::collections::VecDeque;
use std::sync::Arc;

/// Octets of output of one step, more or less.
pub(super) const STEP: usize = 128 << 10;
/// Largest buffer of a text that is kept for the next one, in octets.
const KEPT: usize = 1 << 20;
/// From so many messages with texts on, room for a whole step is made at once.
const MANY: usize = 16;

/// What stands for NUL: no octet of ASCII, and none that begins a character of UTF-8.
const INSTEAD_OF_NUL: u8 = 0x80;

/// A FETCH on its way.
#[derive(Debug)]
pub(super) struct Fetch {
    items: Vec<FetchItem>,
    /// The messages were named by identifiers: those that are gone are left out without a word (RFC 9051 §6.4.9).
    is_uid: bool,
    /// Sequence numbers still to come, ascending unless there is a limit, and their identifiers.
    rest: VecDeque<(u32, Uid)>,
    /// Messages whose `\Seen` this command has set: they show their flags.
    seen: UidSet,
    /// So many of the next messages have their records made.
    prepared: usize,
    pieces: VecDeque<Piece>,
    /// The buffer of a text that has gone out: asking for memory and giving it back costs more than reading a small message.
    spare: Vec<u8>,
    /// Some message is gone, though the client has not been told.
    pub(super) has_gaps: bool,
    /// A part's encoding is not known.
    pub(super) has_unknown_encoding: bool,
    /// What the client is told when there are more messages than one command handles.
    pub(super) limit: Option<Code>,
    /// What the client may not see of headers; nothing is hidden until this is set.
    pub(super) downgrade: Downgrade,
}

/// Output that is not made yet.
#[derive(Debug)]
enum Piece {
    Ready(Vec<u8>, usize),
    Window(Arc<Vec<u8>>, CrlfWindow),
}

impl Fetch {
    /// Fetches these items of these messages (sequence numbers in the session's view).
    pub(super) fn new(
        items: Vec<FetchItem>,
        numbers: &UidSet,
        is_uid: bool,
        seen: UidSet,
        selected: &Selected,
    ) -> Fetch {
        let snapshot = selected.view.snapshot();
        let rest = numbers.iter().filter_map(|n| snapshot.at(n).map(|entry| (n, entry.uid))).collect();
        Fetch {
            items,
            is_uid,
            rest,
            seen,
            prepared: 0,
            pieces: VecDeque::new(),
            spare: Vec::new(),
            has_gaps: false,
            has_unknown_encoding: false,
            limit: None,
            downgrade: Downgrade::new(false),
        }
    }

    /// These are not all: they go out from the newest down, as RFC 9738 §3.1 requires.
    pub(super) fn limit_to(&mut self, limit: Option<Code>) {
        if limit.is_some() {
            self.rest.make_contiguous().reverse();
        }
        self.limit = limit;
    }

    /// Appends the next piece of output; true when that was the last.
    pub(super) fn step(
        &mut self,
        selected: &Selected,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<bool, FolderError> {
        let mut messages = selected.messages();
        if self.rest.len() >= MANY && self.items.iter().any(FetchItem::is_text) {
            out.reserve(STEP);
        }
        loop {
            while let Some(piece) = self.pieces.front_mut() {
                if out.len() >= STEP {
                    return Ok(false);
                }
                let room = STEP - out.len();
                let is_done = match piece {
                    Piece::Ready(bytes, at) => {
                        let end = bytes.len().min(*at + room);
                        out.extend_from_slice(&bytes[*at..end]);
                        *at = end;
                        end == bytes.len()
                    }
                    Piece::Window(text, window) => {
                        let from = out.len();
                        window.fill(text, room, out);
                        hide_nul(&mut out[from..]);
                        window.left() == 0
                    }
                };
                if is_done
                    && let Some(Piece::Window(text, _)) = self.pieces.pop_front()
                    && let Ok(text) = Arc::try_unwrap(text)
                    && text.capacity() <= KEPT
                {
                    self.spare = text;
                }
            }
            if out.len() >= STEP {
                return Ok(false);
            }
            if self.prepared == 0
                && let Some(depth) = self.items.iter().filter_map(digest_depth).max()
            {
                let next: Vec<Uid> = self.rest.iter().take(TOGETHER).map(|(_, uid)| *uid).collect();
                messages.prepare(&next, depth)?;
                self.prepared = next.len();
            }
            self.prepared = self.prepared.saturating_sub(1);
            let Some((number, uid)) = self.rest.pop_front() else { return Ok(true) };
            let Some(entry) = selected.view.snapshot().find(uid).copied() else { continue };
            match self.message(number, &entry, selected, &mut messages, enabled, out) {
                Err(FolderError::Expunged) => self.has_gaps |= !self.is_uid,
                other => other?,
            }
        }
    }

    /// Prints one message, or leaves it out whole.
    fn message(
        &mut self,
        number: u32,
        entry: &Entry,
        selected: &Selected,
        messages: &mut Messages<'_>,
        enabled: Enabled,
        out: &mut Vec<u8>,
    ) -> Result<(), FolderError> {
        let start = out.len();
        let mut response = Response {
            out: std::mem::take(out),
            pieces: VecDeque::new(),
            text: None,
            spare: std::mem::take(&mut self.spare),
            is_unknown: false,
            downgrade: std::mem::replace(&mut self.downgrade, Downgrade::new(false)),
        };
        let printed = self.items(number, entry, selected, messages, enabled, &mut response);
        self.downgrade = response.downgrade;
        if response.text.is_none() {
            self.spare = std::mem::take(&mut response.spare);
        }
        *out = match response.pieces.pop_front() {
            // What was there before the first text of this message goes out now.
            Some(Piece::Ready(first, _)) => {
                response.pieces.push_back(Piece::Ready(std::mem::take(&mut response.out), 0));
                first
            }
            other => {
                response.pieces.extend(other);
                std::mem::take(&mut response.out)
            }
        };
        if let Err(e) = printed {
            out.truncate(start);
            return Err(e);
        }
        self.has_unknown_encoding |= response.is_unknown;
        self.pieces = response.pieces;
        Ok(())
    }

    fn items(
        &self,
        number: u32,
        entry: &Entry,
        selected: &Selected,
        messages: &mut Messages<'_>,
        enabled: Enabled,
        response: &mut Response,
    ) -> Result<(), FolderError> {
        let mut fetch = begin(number, entry, enabled, &mut response.out);
        let uid = entry.uid;
        for item in &self.items {
            match item {
                FetchItem::Uid => fetch.uid(&mut response.out, uid),
                FetchItem::Flags => fetch.flags(&mut response.out, selected.flag_names(entry, enabled)),
                FetchItem::ModSeq => fetch.modseq(&mut response.out, entry.modseq),
                FetchItem::InternalDate => fetch.internal_date(&mut response.out, messages.internal_date(entry)?),
                FetchItem::SaveDate => fetch.save_date(&mut response.out, Some(entry.save_date)),
                FetchItem::Size => fetch.size(&mut response.out, messages.size(entry)?),
                FetchItem::Envelope => digest(&mut fetch, "ENVELOPE", Part::Envelope, uid, messages, response)?,
                FetchItem::Body => digest(&mut fetch, "BODY", Part::Body, uid, messages, response)?,
                FetchItem::BodyStructure => {
                    digest(&mut fetch, "BODYSTRUCTURE", Part::BodyStructure, uid, messages, response)?;
                }
                FetchItem::EmailId => fetch.email_id(&mut response.out, &messages.email_id(uid)?),
                FetchItem::ThreadId => fetch.thread_id(&mut response.out, &messages.thread_id(uid)?),
                FetchItem::Preview(_) => {
                    let record = messages.digest(uid, Depth::Text)?;
                    let preview = Digest::read(&record).map(|d| d.part(Part::Preview)).unwrap_or_default();
                    fetch.preview(&mut response.out, Some(&String::from_utf8_lossy(preview)));
                }
                FetchItem::Rfc822 => {
                    response.whole(&mut fetch, "RFC822", &section::SectionText::Whole, uid, messages)?
                }
                FetchItem::Rfc822Header => {
                    response.whole(&mut fetch, "RFC822.HEADER", &section::SectionText::Header, uid, messages)?;
                }
                FetchItem::Rfc822Text => {
                    response.whole(&mut fetch, "RFC822.TEXT", &section::SectionText::Text, uid, messages)?;
                }
                FetchItem::Section { section, partial, .. } => {
                    response.section(&mut fetch, section, *partial, uid, messages)?;
                }
                FetchItem::Binary { part, partial, .. } => {
                    response.binary(&mut fetch, part, *partial, uid, messages)?
                }
                FetchItem::BinarySize(part) => {
                    let size = response.decoded(part, uid, messages)?.map_or(0, |bytes| bytes.len() as u64);
                    fetch.binary_size(&mut response.out, part, size);
                }
            }
        }
        if self.seen.contains(uid.number()) {
            let is_due = |item: &FetchItem| !self.items.contains(item);
            if is_due(&FetchItem::Flags) {
                fetch.flags(&mut response.out, selected.flag_names(entry, enabled));
            }
            // RFC 7162 §3.1: a change of flags comes with its modification sequence, and in QRESYNC (§3.2.4) with the identifier.
            if is_due(&FetchItem::ModSeq) && enabled.has(Extension::Condstore) {
                fetch.modseq(&mut response.out, entry.modseq);
            }
            if is_due(&FetchItem::Uid) && enabled.has(Extension::Qresync) && !enabled.has(Extension::UidOnly) {
                fetch.uid(&mut response.out, uid);
            }
        }
        fetch.end(&mut response.out);
        Ok(())
    }
}

/// Only a `literal8` may hold NUL (RFC 9051 §4.3.1), and BODY has none. The octet that stands in its place keeps every size as it is; text
/// that has NUL is no text in any charset that could mind. BINARY gives the octets as they are.
pub(super) fn hide_nul(text: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr::memchr(0, &text[from..]) {
        text[from + at] = INSTEAD_OF_NUL;
        from += at + 1;
    }
}

/// Where a section lies in a message's stored text; `None` when there is no such part.
pub(super) fn ranges(text: &[u8], section: &Section) -> Option<Vec<std::ops::Range<usize>>> {
    let what = match &section.text {
        None => section::SectionText::Whole,
        Some(SectionText::Header) => section::SectionText::Header,
        Some(SectionText::HeaderFields(names, false)) => section::SectionText::HeaderFields(names.clone()),
        Some(SectionText::HeaderFields(names, true)) => section::SectionText::HeaderFieldsNot(names.clone()),
        Some(SectionText::Text) => section::SectionText::Text,
        Some(SectionText::Mime) => section::SectionText::Mime,
    };
    match section.part.is_empty() {
        true => section::locate_top(text, &what),
        false => {
            let wanted = section::Section { path: section.part.clone(), text: what };
            section::locate(text, &Structure::of(text), &wanted)
        }
    }
}

/// For what is kept of messages in records: how much these must tell.
pub(super) fn digest_depth(item: &FetchItem) -> Option<Depth> {
    use FetchItem::{Body, BodyStructure, EmailId, Envelope, Preview, ThreadId};
    match item {
        EmailId | Envelope | ThreadId => Some(Depth::Header),
        Body | BodyStructure | Preview(_) => Some(Depth::Text),
        _ => None,
    }
}

fn digest(
    fetch: &mut FetchPrinter,
    name: &str,
    part: Part,
    uid: Uid,
    messages: &mut Messages<'_>,
    response: &mut Response,
) -> Result<(), FolderError> {
    let depth = if part == Part::Envelope { Depth::Header } else { Depth::Text };
    let mut record = messages.digest(uid, depth)?;
    if response.downgrade.concerns(&record, part) {
        record = Record::Fresh(Digest::of(&response.text(uid, messages)?));
    }
    let value = Digest::read(&record).map(|digest| digest.part(part)).unwrap_or_default();
    fetch.printed(&mut response.out, name, value);
    Ok(())
}

/// One message's response while it is put together.
struct Response {
    out: Vec<u8>,
    pieces: VecDeque<Piece>,
    text: Option<Arc<Vec<u8>>>,
    spare: Vec<u8>,
    is_unknown: bool,
    downgrade: Downgrade,
}

impl Response {
    fn text(&mut self, uid: Uid, messages: &Messages<'_>) -> Result<Arc<Vec<u8>>, FolderError> {
        if let Some(text) = &self.text {
            return Ok(text.clone());
        }
        let text = Arc::new(self.downgrade.text(uid, messages.text_in(uid, std::mem::take(&mut self.spare))?));
        self.text = Some(text.clone());
        Ok(text)
    }

    /// A window goes out behind what is printed so far.
    fn push(&mut self, text: Arc<Vec<u8>>, window: CrlfWindow) {
        self.pieces.push_back(Piece::Ready(std::mem::take(&mut self.out), 0));
        self.pieces.push_back(Piece::Window(text, window));
    }

    fn whole(
        &mut self,
        fetch: &mut FetchPrinter,
        name: &str,
        what: &section::SectionText,
        uid: Uid,
        messages: &Messages<'_>,
    ) -> Result<(), FolderError> {
        let text = self.text(uid, messages)?;
        let ranges = section::locate_top(&text, what).unwrap_or_default();
        let window = CrlfWindow::new(&text, ranges, None);
        fetch.rfc822_head(&mut self.out, name, window.left());
        let shown = self.text(uid, messages)?;
        self.push(shown, window);
        Ok(())
    }

    fn section(
        &mut self,
        fetch: &mut FetchPrinter,
        section: &Section,
        partial: Option<(u64, u64)>,
        uid: Uid,
        messages: &Messages<'_>,
    ) -> Result<(), FolderError> {
        let text = self.text(uid, messages)?;
        let ranges = ranges(&text, section);
        let origin = partial.map(|(from, _)| from);
        match ranges {
            Some(ranges) => {
                let window = CrlfWindow::new(&text, ranges, partial);
                fetch.section_head(&mut self.out, section, origin, window.left());
                let shown = self.text(uid, messages)?;
                self.push(shown, window);
            }
            None => fetch.section(&mut self.out, section, origin, None),
        }
        Ok(())
    }

    fn binary(
        &mut self,
        fetch: &mut FetchPrinter,
        part: &[u32],
        partial: Option<(u64, u64)>,
        uid: Uid,
        messages: &Messages<'_>,
    ) -> Result<(), FolderError> {
        let origin = partial.map(|(from, _)| from);
        let Some(bytes) = self.decoded(part, uid, messages)? else {
            fetch.binary_none(&mut self.out, part, origin);
            return Ok(());
        };
        let length = bytes.len() as u64;
        let (from, to) = match partial {
            Some((from, count)) => (from.min(length), from.saturating_add(count).min(length)),
            None => (0, length),
        };
        let bytes = &bytes[from as usize..to as usize];
        fetch.binary_head(&mut self.out, part, origin, bytes.len() as u64, memchr::memchr(0, bytes).is_some());
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// A part with its transfer encoding removed; `None` when there is no such part, or when its encoding is not known.
    fn decoded(&mut self, part: &[u32], uid: Uid, messages: &Messages<'_>) -> Result<Option<Vec<u8>>, FolderError> {
        let text = self.text(uid, messages)?;
        let structure = Structure::of(&text);
        if part.is_empty() {
            // RFC 9051 §6.4.5: the whole message, which has no encoding of its own to remove.
            let mut bytes = Vec::new();
            let whole = section::locate_top(&text, &section::SectionText::Whole).unwrap_or_default();
            CrlfWindow::new(&text, whole, None).fill(&text, usize::MAX, &mut bytes);
            return Ok(Some(bytes));
        }
        let Some(found) = structure.find(part).map(|index| &structure.parts()[index]) else { return Ok(None) };
        let encoding = match found.shape {
            Shape::Leaf => Transfer::of(found.content.encoding),
            _ => Transfer::of(None),
        };
        let decoded = encoding.decode_wire(&text[found.body.clone()]);
        self.is_unknown |= decoded.is_none();
        Ok(decoded)
    }
}
