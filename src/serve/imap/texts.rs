//! The part of SEARCH that reads messages: HEADER, BODY and TEXT.
//!
//! The messages that nothing cheaper decides are asked for all of these keys at once, on more than one core. What the mailbox's full-text
//! index rules out is not read; a message that is not in the index is put there on the way. The result is the same without an index.

use super::selected::Messages;
use crate::mailbox::Uid;
use crate::msg::folding::fold_for_search;
use crate::msg::grams::{self, Grams, Wanted};
use crate::msg::structure::Structure;
use crate::msg::text::{any_body_text, header_text};
use crate::msg::words::decode_text;
use crate::msg::{all_fields, header_end};
use crate::store::{Extent, Folder, FolderError, Signatures};
use memchr::memmem::Finder;

/// The index is looked through when at least one message of so many is in question.
const INDEX_SHARE: usize = 50;
/// So many messages must be missing in the index to be put there.
const INDEX_FROM: usize = 64;

/// Where a text is looked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Where {
    /// In fields of this name, in lower case; an empty text asks whether there is one.
    Field(String),
    Body,
    Anywhere,
}

/// One key.
#[derive(Debug)]
pub(super) struct TextKey {
    place: Where,
    needle: Finder<'static>,
    wanted: Wanted,
}

impl TextKey {
    /// Looks for a folded text.
    pub(super) fn new(place: Where, needle: &str) -> TextKey {
        TextKey { place, wanted: Wanted::of(needle), needle: Finder::new(needle).into_owned() }
    }

    fn is_in(&self, folded: &str) -> bool {
        self.needle.find(folded.as_bytes()).is_some()
    }

    /// False when a message with these signatures can't match.
    fn may_match(&self, header: &[u8], body: &[u8]) -> bool {
        match self.place {
            // A field alone is folded by itself, which the signature of the whole header does not promise to know.
            Where::Field(_) => true,
            Where::Body => self.wanted.may_be_in(body),
            Where::Anywhere => self.wanted.may_be_in(header) || self.wanted.may_be_in(body),
        }
    }
}

/// Which keys of a group match: a bit for each.
type Answers = u64;

/// So many keys are answered together.
pub(super) const GROUP: usize = Answers::BITS as usize;

/// A message in question.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) number: u32,
    pub(super) uid: Uid,
    /// The keys that may match, as far as is known; after [`ask`] those that do.
    answers: Answers,
    /// The answers of the groups before.
    earlier: Vec<Answers>,
    is_indexed: bool,
}

impl Question {
    pub(super) fn new(number: u32, uid: Uid) -> Question {
        Question { number, uid, answers: Answers::MAX, earlier: Vec::new(), is_indexed: false }
    }

    /// False when this key of the present group can't match.
    pub(super) fn may(&self, key: usize) -> bool {
        self.answers >> key & 1 == 1
    }

    /// The answer of a key of an earlier group; `None` for a later one.
    pub(super) fn earlier(&self, group: usize, key: usize) -> Option<bool> {
        self.earlier.get(group).map(|answers| answers >> key & 1 == 1)
    }

    /// All keys of the group are answered.
    pub(super) fn close_group(&mut self) {
        self.earlier.push(std::mem::replace(&mut self.answers, Answers::MAX));
    }
}

/// Looks into the index which keys may match. True when many messages are not there, which [`ask`] should put there. Questions are in
/// the order of identifiers.
pub(super) fn narrow(
    keys: &[TextKey],
    questions: &mut [Question],
    messages: &Messages<'_>,
) -> Result<bool, FolderError> {
    let is_helpful = keys.iter().any(|key| !matches!(key.place, Where::Field(_)) && !key.wanted.is_empty());
    let snapshot = messages.snapshot();
    if !is_helpful || questions.len() * INDEX_SHARE < snapshot.entries.len() {
        return Ok(false);
    }
    messages.folder.signatures(grams::RULES, |uid, header, body| {
        if let Ok(index) = questions.binary_search_by_key(&uid, |question| question.uid) {
            let may = |(bit, key): (usize, &TextKey)| Answers::from(key.may_match(header, body)) << bit;
            questions[index].answers = keys.iter().enumerate().map(may).fold(0, |all, bit| all | bit);
            questions[index].is_indexed = true;
            return true;
        }
        snapshot.find(uid).is_some()
    })?;
    Ok(questions.iter().filter(|question| !question.is_indexed).count() >= INDEX_FROM)
}

/// Reads the messages and answers; those that are gone match nothing. With `keeps`, messages that the index does not have are put there.
pub(super) fn ask(
    keys: &[TextKey],
    questions: &mut [Question],
    folder: &Folder,
    keeps: bool,
) -> Result<(), FolderError> {
    let uids: Vec<Uid> = questions.iter().map(|question| question.uid).collect();
    let asked = &*questions;
    let readers = folder.read_texts(
        &uids,
        Extent::Whole,
        || Reader::new(folder),
        |reader, index, text| {
            let answers = match text {
                Some(text) => {
                    let signs = keeps && !asked[index].is_indexed;
                    reader.read(keys, asked[index].answers, text.octets, signs.then_some(uids[index]))
                }
                None => 0,
            };
            reader.answers.push((index, answers));
        },
    )?;
    for mut reader in readers {
        reader.keep();
        for (index, answers) in reader.answers {
            questions[index].answers = answers;
        }
    }
    Ok(())
}

/// What one thread has.
struct Reader<'a> {
    folder: &'a Folder,
    header: Grams,
    body: Grams,
    header_signature: Vec<u8>,
    body_signature: Vec<u8>,
    signatures: Signatures,
    answers: Vec<(usize, Answers)>,
}

impl<'a> Reader<'a> {
    fn new(folder: &'a Folder) -> Reader<'a> {
        Reader {
            folder,
            header: Grams::default(),
            body: Grams::default(),
            header_signature: Vec::new(),
            body_signature: Vec::new(),
            signatures: Signatures::default(),
            answers: Vec::new(),
        }
    }

    /// Which of the keys that may match do; with an identifier the message's signatures are made.
    fn read(&mut self, keys: &[TextKey], may: Answers, text: &[u8], sign: Option<Uid>) -> Answers {
        let header = &text[..header_end(text).unwrap_or(text.len())];
        let open = |found: Answers| {
            let is_open = move |bit: usize| (may & !found) >> bit & 1 == 1;
            keys.iter().enumerate().filter(move |(bit, _)| is_open(*bit))
        };
        let mut found = 0;
        if sign.is_some() || open(found).any(|(_, key)| key.place == Where::Anywhere) {
            let folded = fold_for_search(&header_text(header));
            if sign.is_some() {
                self.header.clear();
                self.header.add(&folded);
            }
            for (bit, _) in open(found).filter(|(_, key)| key.place == Where::Anywhere && key.is_in(&folded)) {
                found |= 1 << bit;
            }
        }
        for (bit, key) in open(found) {
            if let Where::Field(name) = &key.place
                && has_field(header, name, key)
            {
                found |= 1 << bit;
            }
        }
        let is_body = |key: &TextKey| !matches!(key.place, Where::Field(_));
        if sign.is_some() || open(found).any(|(_, key)| is_body(key)) {
            self.body.clear();
            any_body_text(text, &Structure::of(text), |piece| {
                let folded = fold_for_search(piece);
                if sign.is_some() {
                    self.body.add(&folded);
                }
                for (bit, _) in open(found).filter(|(_, key)| is_body(key) && key.is_in(&folded)) {
                    found |= 1 << bit;
                }
                sign.is_none() && !open(found).any(|(_, key)| is_body(key))
            });
        }
        if let Some(uid) = sign {
            self.header.sign(&mut self.header_signature);
            self.body.sign(&mut self.body_signature);
            self.signatures.push(uid, &self.header_signature, &self.body_signature);
            if self.signatures.is_full() {
                self.keep();
            }
        }
        found
    }

    /// Only a cache: what can't be kept is made again.
    fn keep(&mut self) {
        let _ = self.folder.keep_signatures(grams::RULES, std::mem::take(&mut self.signatures));
    }
}

fn has_field(header: &[u8], name: &str, key: &TextKey) -> bool {
    let mut fields = all_fields(header).filter(|field| field.name.eq_ignore_ascii_case(name));
    fields.any(|field| key.needle.needle().is_empty() || key.is_in(&fold_for_search(&decode_text(field.body()))))
}

#[cfg(test)]
mod tests;
