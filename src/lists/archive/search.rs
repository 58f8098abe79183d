//! Searching an archive: `signatures` says where words can't be, `text` is read where they may be.
//!
//! Called by `emlist archive search`. The newest posts are looked at first, so that a common word costs little; a rare one is ruled out by the
//! signatures nearly everywhere. Words of one or two octets have no signature, and are looked for in all texts, by two threads. Parts of words are
//! found, in any language, because nothing here knows what a word is.
//!
//! What the two files lack, or have wrong, is made again from the posts by the search that finds it: a search finds the same
//! with them and without.

use super::texts::{POST_LIMIT, Place, RECORD_HEAD, SIGNED_EACH, record, said};
use super::{Archive, Entry, Index};
use crate::fsx;
use crate::msg::folding::fold_for_search;
use crate::msg::grams::Wanted;
use memchr::memmem::Finder;
use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Octets of texts that are read at once: few enough to stay in the processor's own memory while they are looked at.
const CHUNK: u64 = 256 << 10;
/// Octets between two texts that are cheaper to read than to pass over.
const GAP: u64 = 8 << 10;
/// Octets of texts after which it is seen whether enough posts were found: at first, because a common word needs few; at most; and from how
/// many on two threads share the work.
const FIRST_ROUND: u64 = 1 << 20;
const LARGEST_ROUND: u64 = 32 << 20;
const SHARED_ROUND: u64 = 4 << 20;
/// Posts that are added under one lock.
const AT_ONCE: usize = 500;
/// Words of one search that are looked at.
const WORDS_LIMIT: usize = 16;

/// What is looked for: all of these words.
struct Query {
    words: Vec<(Finder<'static>, Wanted)>,
}

/// What the files have told.
#[derive(Default)]
struct Looked {
    /// The newest posts that hold the words.
    found: BTreeSet<u64>,
    /// Posts whose texts are not there.
    missing: Vec<u64>,
    /// Octets of texts that no signature covers.
    unsigned: u64,
}

impl Query {
    fn of(words: &str) -> Query {
        let folded = words.split_whitespace().take(WORDS_LIMIT).map(fold_for_search).filter(|word| !word.is_empty());
        let mut words: Vec<(Finder<'static>, Wanted)> =
            folded.map(|word| (Finder::new(word.as_bytes()).into_owned(), Wanted::of(&word))).collect();
        // The longest is the rarest, as a rule.
        words.sort_by_key(|(finder, _)| std::cmp::Reverse(finder.needle().len()));
        Query { words }
    }

    fn may_be_in(&self, signature: &[u8]) -> bool {
        self.words.iter().all(|(_, wanted)| wanted.may_be_in(signature))
    }

    fn is_in(&self, text: &[u8]) -> bool {
        self.words.iter().all(|(finder, _)| finder.find(text).is_some())
    }
}

impl Archive {
    /// The newest posts, at most `limit`, that hold each of these words or parts of words in author, subject or text; newest first.
    pub fn search(&self, words: &str, limit: usize) -> io::Result<Vec<Entry>> {
        let query = Query::of(words);
        if query.words.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        let index = self.index()?;
        let mut looked = match self.look(&index, &query, limit)? {
            Some(looked) => looked,
            None => self.look_again(&index, &query, limit)?,
        };
        for some in looked.missing.chunks(AT_ONCE) {
            // Posts that come meanwhile wait for a part of them, not for all.
            let _lock = self.lock()?;
            for number in some {
                let Some(message) = self.message(*number)? else { continue };
                if query.is_in(said(&message).as_bytes()) {
                    looked.found.insert(*number);
                }
                let _ = self.append_text(*number, &message);
            }
        }
        // More than new posts leave: the file was lost, or is older than the signatures. When that can't be done now, the next search is slow, too.
        if looked.unsigned > 2 * SIGNED_EACH
            && let Ok(_lock) = self.lock()
            && let Some(texts) = self.texts()?
        {
            let _ = self.sign_texts(&texts);
        }
        Ok(looked.found.into_iter().rev().filter_map(|number| index.entry(number)).take(limit).collect())
    }

    /// Something was not whole. Perhaps a post was being added just then: under the lock it is. Or else the files go.
    fn look_again(&self, index: &Index, query: &Query, limit: usize) -> io::Result<Looked> {
        let _lock = self.lock()?;
        if let Some(looked) = self.look(index, query, limit)? {
            return Ok(looked);
        }
        fsx::remove(&self.signatures_path())?;
        if let Some(looked) = self.look(index, query, limit)? {
            return Ok(looked);
        }
        self.forget_texts()?;
        Ok(Looked { missing: index.numbers().collect(), ..Looked::default() })
    }

    /// Looks at what the files hold; `None` when one of them is not whole.
    fn look(&self, index: &Index, query: &Query, limit: usize) -> io::Result<Option<Looked>> {
        let mut looked = Looked::default();
        let Some(texts) = self.texts()? else {
            looked.missing = index.numbers().collect();
            return Ok(Some(looked));
        };
        let mut seen: Vec<u64> = Vec::with_capacity(index.len());
        let mut maybe: Vec<Place> = Vec::new();
        let signed = self.signatures(&mut |place, signature| {
            seen.push(place.number);
            if query.may_be_in(signature) {
                maybe.push(place);
            }
        })?;
        let Some(signed) = signed else { return Ok(None) };
        looked.unsigned = texts.size()?.saturating_sub(signed);
        // What no signature covers yet is little, and new.
        let mut see = |place: Place, text: &[u8]| {
            seen.push(place.number);
            if query.is_in(text) {
                looked.found.insert(place.number);
            }
        };
        if !texts.read_from(signed, &mut see)? {
            return Ok(None);
        }
        seen.sort_unstable();
        looked.missing = index.numbers().filter(|number| seen.binary_search(number).is_err()).collect();
        maybe.sort_unstable_by_key(|place| std::cmp::Reverse(place.number));
        let (mut wanted, mut octets) = (limit, FIRST_ROUND);
        let mut rest = maybe.as_slice();
        while wanted > 0 && !rest.is_empty() {
            let groups = round(&mut rest, octets);
            let shares = octets >= SHARED_ROUND && groups.len() > 1;
            let found =
                if shares { read_shared(texts.file(), &groups, query) } else { read(texts.file(), &groups, query) };
            let Some(found) = found? else { return Ok(None) };
            octets = (2 * octets).min(LARGEST_ROUND);
            for number in found {
                wanted -= usize::from(wanted > 0 && index.entry(number).is_some() && looked.found.insert(number));
            }
        }
        Ok(Some(looked))
    }
}

/// Takes the first of these places, of about so many octets, in groups that are read at once.
fn round<'p>(rest: &mut &'p [Place], octets: u64) -> Vec<&'p [Place]> {
    let (mut groups, mut taken) = (Vec::new(), 0);
    while taken < octets && !rest.is_empty() {
        let (near, behind) = rest.split_at(near(rest));
        taken += near.iter().map(|place| u64::from(place.length)).sum::<u64>();
        groups.push(near);
        *rest = behind;
    }
    groups
}

/// The posts in these groups whose texts hold the words, in their order; `None` when a text is not where it should be.
fn read(file: &File, groups: &[&[Place]], query: &Query) -> io::Result<Option<Vec<u64>>> {
    let (mut found, mut buffer) = (Vec::new(), Vec::new());
    for near in groups {
        match read_near(file, near, query, &mut buffer)? {
            Some(more) => found.extend(more),
            None => return Ok(None),
        }
    }
    Ok(Some(found))
}

/// The same by two threads.
fn read_shared(file: &File, groups: &[&[Place]], query: &Query) -> io::Result<Option<Vec<u64>>> {
    let (newer, older) = groups.split_at(groups.len() / 2);
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, || read(file, older, query));
        let found = read(file, newer, query)?;
        let more = match other {
            Ok(other) => other.join().unwrap_or_else(|_| Err(io::Error::other("a thread ended early")))?,
            // No thread to be had.
            Err(_) => read(file, older, query)?,
        };
        Ok(found.zip(more).map(|(found, more)| [found, more].concat()))
    })
}

/// How many of these, which come from the newest to the oldest, are read at once: they stand close before one another.
fn near(places: &[Place]) -> usize {
    let mut start = places.first().map_or(0, |place| place.start);
    let end = places.first().map_or(0, Place::end);
    let mut count = 0;
    for place in places {
        let is_near = count == 0 || (place.end() <= start && start - place.end() <= GAP && end - place.start <= CHUNK);
        if !is_near {
            break;
        }
        start = place.start;
        count += 1;
    }
    count
}

/// The same for one group.
fn read_near(file: &File, places: &[Place], query: &Query, buffer: &mut Vec<u8>) -> io::Result<Option<Vec<u64>>> {
    let (Some(newest), Some(oldest)) = (places.first(), places.last()) else { return Ok(Some(Vec::new())) };
    // `near` lets no more than this come together, and a place no more than a record.
    let length = newest.end().saturating_sub(oldest.start).min(CHUNK + (RECORD_HEAD + POST_LIMIT) as u64);
    buffer.resize(length as usize, 0);
    match file.read_exact_at(buffer, oldest.start) {
        Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let mut found = Vec::new();
    for place in places {
        let at = (place.start - oldest.start) as usize;
        match buffer.get(at..).and_then(record) {
            Some((number, Some(text), _)) if number == place.number => {
                if query.is_in(text) {
                    found.push(number);
                }
            }
            _ => return Ok(None),
        }
    }
    Ok(Some(found))
}
