//! SEARCH: which messages match (RFC 9051 §6.4.4).
//!
//! A key is prepared once: texts are decoded from the client's charset and folded, cheap tests are put before dear ones. Each message is
//! then looked at as far as needed (`hunt`): its entry, its digest; and what these leave open is decided by its text (`texts`).

use super::selected::{Depth, Messages};
use super::texts::{TextKey, Where};
use crate::clock::Timestamp;
use crate::mailbox::{Entry, Flags, ModSeq, System, Uid, UidSet};
use crate::msg::charset;
use crate::msg::date::Day;
use crate::msg::digest::{Digest, Part};
use crate::msg::folding::fold_for_search;
use crate::proto::imap::Set;
use crate::proto::imap::response::Code;
use crate::proto::imap::{AddressField, Date, DateField, Relation, SearchKey};
use crate::store::FolderError;
use memchr::memmem::Finder;

/// Charsets that are named when one is not known; encoding_rs reads more.
pub(super) const CHARSETS: &[&str] = &["US-ASCII", "UTF-8", "ISO-2022-JP", "Shift_JIS", "EUC-JP", "ISO-8859-1"];

/// Why a search is not done.
#[derive(Debug)]
pub(super) enum Unsearchable {
    /// BADCHARSET.
    Charset,
}

impl Unsearchable {
    /// The response code and the text.
    pub(super) fn explain(&self) -> (Option<Code>, &'static str) {
        match self {
            Unsearchable::Charset => (Some(Code::BadCharset(CHARSETS)), "charset not known"),
        }
    }
}

/// A prepared search.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) test: Test,
    /// The keys that need a message's text; [`Test::Text`] names them.
    pub(super) keys: Vec<TextKey>,
}

/// A prepared key.
#[derive(Debug)]
pub(super) enum Test {
    All,
    None,
    And(Vec<Test>),
    Or(Vec<Test>),
    Not(Box<Test>),
    /// Sequence numbers in the client's view.
    Numbers(UidSet),
    Uids(UidSet),
    Has(Flags),
    Recent(bool),
    Day(DateField, Relation, Day),
    Larger(u64),
    Smaller(u64),
    /// INTERNALDATE is not older than this.
    Since(Timestamp),
    Before(Timestamp),
    ModSeq(ModSeq),
    EmailId(String),
    ThreadId(String),
    Digest(Part, Box<Finder<'static>>),
    /// One of the keys that need the text.
    Text(usize),
}

impl Prepared {
    /// Prepares a key. With `is_exact` FUZZY asks for no more than without it.
    pub(super) fn new(
        key: &SearchKey,
        label: Option<&str>,
        messages: &Messages<'_>,
        now: Timestamp,
        is_exact: bool,
    ) -> Result<Prepared, Unsearchable> {
        if label.is_some_and(|label| !charset::is_known(label.as_bytes())) {
            return Err(Unsearchable::Charset);
        }
        let mut keys = Vec::new();
        let how = How { label: label.unwrap_or("UTF-8"), now, is_exact, is_fuzzy: false };
        let test = prepare(key, how, messages, &mut keys)?;
        Ok(Prepared { test, keys })
    }
}

impl Test {
    /// What it costs to run, roughly: the kind of data it needs.
    fn cost(&self) -> u32 {
        match self {
            Test::And(tests) | Test::Or(tests) => tests.iter().map(Test::cost).max().unwrap_or(0),
            Test::Not(test) => test.cost(),
            Test::Digest(..) | Test::Day(DateField::Sent, ..) => 1,
            Test::Larger(_) | Test::Smaller(_) | Test::Since(_) | Test::Before(_) | Test::Day(..) => 1,
            Test::EmailId(_) | Test::ThreadId(_) => 1,
            Test::Text(_) => 2,
            _ => 0,
        }
    }

    /// True when [`Test::at_sight`] always answers.
    pub(super) fn is_at_sight(&self) -> bool {
        !self.any(&|test| test.cost() > 0)
    }

    /// Whether a message matches, as its entry alone tells; `None` when more must be known of it.
    pub(super) fn at_sight(&self, number: u32, entry: &Entry, recent: &UidSet) -> Option<bool> {
        Some(match self {
            Test::All => true,
            Test::None => false,
            Test::Has(flags) => entry.flags.holds(*flags),
            Test::Not(test) => !test.at_sight(number, entry, recent)?,
            Test::Numbers(numbers) => numbers.contains(number),
            Test::Uids(uids) => uids.contains(entry.uid.number()),
            Test::Recent(is) => recent.contains(entry.uid.number()) == *is,
            Test::ModSeq(modseq) => entry.modseq >= *modseq,
            Test::And(tests) | Test::Or(tests) => {
                let decides = matches!(self, Test::Or(_));
                for test in tests {
                    if test.at_sight(number, entry, recent)? == decides {
                        return Some(decides);
                    }
                }
                !decides
            }
            _ => return None,
        })
    }

    /// True when digests are looked at.
    pub(super) fn needs_digests(&self) -> bool {
        self.any(&|test| matches!(test, Test::Digest(..) | Test::Day(DateField::Sent, ..)))
    }

    /// True when INTERNALDATE is looked at.
    pub(super) fn needs_dates(&self) -> bool {
        self.any(&|test| match test {
            Test::Day(field, ..) => *field == DateField::Internal,
            test => matches!(test, Test::Since(_) | Test::Before(_)),
        })
    }

    /// True when RFC822.SIZE is looked at.
    pub(super) fn needs_sizes(&self) -> bool {
        self.any(&|test| matches!(test, Test::Larger(_) | Test::Smaller(_)))
    }

    fn any(&self, is_it: &dyn Fn(&Test) -> bool) -> bool {
        match self {
            Test::And(tests) | Test::Or(tests) => tests.iter().any(|test| test.any(is_it)),
            Test::Not(test) => test.any(is_it),
            test => is_it(test),
        }
    }

    /// The only sequence numbers that can match, where the test names some.
    pub(super) fn numbers(&self) -> Option<&UidSet> {
        match self {
            Test::Numbers(numbers) => Some(numbers),
            Test::And(tests) => tests.iter().find_map(Test::numbers),
            _ => None,
        }
    }

    /// Whether a message matches; `None` when that depends on a key that `texts` does not know the answer of.
    pub(super) fn decide(
        &self,
        number: u32,
        entry: &Entry,
        messages: &mut Messages<'_>,
        texts: &dyn Fn(usize) -> Option<bool>,
    ) -> Result<Option<bool>, FolderError> {
        Ok(Some(match self {
            Test::And(tests) | Test::Or(tests) => {
                let decides = matches!(self, Test::Or(_));
                let mut all = Some(!decides);
                for test in tests {
                    match test.decide(number, entry, messages, texts)? {
                        Some(answer) if answer == decides => return Ok(Some(decides)),
                        Some(_) => {}
                        None => all = None,
                    }
                }
                return Ok(all);
            }
            Test::Not(test) => return Ok(test.decide(number, entry, messages, texts)?.map(|answer| !answer)),
            Test::Text(key) => return Ok(texts(*key)),
            Test::Day(DateField::Sent, relation, day) => {
                ask(messages, entry.uid, |digest| digest.sent_day().is_some_and(|sent| compare(sent, *relation, *day)))?
            }
            Test::Day(field, relation, day) => {
                let date = match field {
                    DateField::Saved => entry.save_date,
                    _ => messages.internal_date(entry)?,
                };
                local_day(date).is_some_and(|of| compare(of, *relation, *day))
            }
            Test::Larger(size) => messages.size(entry)? > *size,
            Test::Smaller(size) => messages.size(entry)? < *size,
            Test::Since(moment) => messages.internal_date(entry)? >= *moment,
            Test::Before(moment) => messages.internal_date(entry)? <= *moment,
            Test::EmailId(id) => messages.email_id(entry.uid)? == *id,
            Test::ThreadId(id) => messages.thread_id(entry.uid)? == *id,
            Test::Digest(part, needle) => ask(messages, entry.uid, |digest| needle.find(digest.part(*part)).is_some())?,
            simple => return Ok(simple.at_sight(number, entry, messages.recent())),
        }))
    }
}

/// How a key is meant.
#[derive(Clone, Copy)]
struct How<'a> {
    label: &'a str,
    now: Timestamp,
    is_exact: bool,
    /// Inside FUZZY.
    is_fuzzy: bool,
}

fn prepare(
    key: &SearchKey,
    how: How<'_>,
    messages: &Messages<'_>,
    texts: &mut Vec<TextKey>,
) -> Result<Test, Unsearchable> {
    let How { label, now, is_exact, is_fuzzy } = how;
    let several = |keys: &[SearchKey], texts: &mut Vec<TextKey>| -> Result<Vec<Test>, Unsearchable> {
        let mut tests: Vec<Test> =
            keys.iter().map(|key| prepare(key, how, messages, texts)).collect::<Result<_, _>>()?;
        tests.sort_by_key(Test::cost);
        Ok(tests)
    };
    let text = |bytes: &[u8]| -> Result<String, Unsearchable> {
        // A text that is wrong in its charset can't be found; RFC 9051 §6.4.4 leaves NO or nothing found.
        let decoded = charset::decode_exact(label.as_bytes(), bytes).ok_or(Unsearchable::Charset)?;
        Ok(fold_for_search(&decoded))
    };
    // RFC 6203 §3: how fuzzy is our own choice. The words of a text may stand anywhere, in any order.
    let find = |bytes: &[u8], test: &mut dyn FnMut(&str) -> Test| -> Result<Test, Unsearchable> {
        let text = text(bytes)?;
        let words: Vec<&str> = text.split_whitespace().collect();
        Ok(match is_fuzzy && !is_exact && words.len() > 1 {
            true => Test::And(words.into_iter().map(test).collect()),
            false => test(&text),
        })
    };
    let keyword =
        |name: &str| messages.snapshot().keywords.find(name).map(|bit| Flags { system: 0, keywords: 1 << bit });
    let not = |test: Test| Test::Not(Box::new(test));
    Ok(match key {
        SearchKey::All => Test::All,
        SearchKey::And(keys) => Test::And(several(keys, texts)?),
        SearchKey::Or(keys) => Test::Or(several(keys, texts)?),
        SearchKey::Not(key) => not(prepare(key, how, messages, texts)?),
        SearchKey::Fuzzy(key) => prepare(key, How { is_fuzzy: true, ..how }, messages, texts)?,
        SearchKey::Numbers(set) => Test::Numbers(numbers(set, messages)),
        SearchKey::Uids(Set::Saved) => Test::Uids(messages.saved().clone()),
        SearchKey::Uids(Set::These(set)) => {
            let numbers = messages.snapshot().by_uid(set);
            Test::Numbers(numbers)
        }
        SearchKey::Has(flag) => Test::Has(Flags::NONE.with(*flag)),
        SearchKey::Lacks(flag) => not(Test::Has(Flags::NONE.with(*flag))),
        SearchKey::Keyword(name) => keyword(name).map_or(Test::None, Test::Has),
        SearchKey::Unkeyword(name) => keyword(name).map_or(Test::All, |flags| not(Test::Has(flags))),
        SearchKey::New => Test::And(vec![Test::Recent(true), not(Test::Has(Flags::NONE.with(System::Seen)))]),
        SearchKey::Old => Test::Recent(false),
        SearchKey::Recent => Test::Recent(true),
        SearchKey::Address(field, bytes) => {
            let part = match field {
                AddressField::Bcc => Part::Bcc,
                AddressField::Cc => Part::Cc,
                AddressField::From => Part::From,
                AddressField::To => Part::To,
            };
            find(bytes, &mut |text| Test::Digest(part, finder(text)))?
        }
        SearchKey::Subject(bytes) => find(bytes, &mut |text| Test::Digest(Part::Subject, finder(text)))?,
        SearchKey::Header(name, bytes) => {
            let name = name.to_ascii_lowercase();
            let part = match name.as_str() {
                "from" => Some(Part::From),
                "to" => Some(Part::To),
                "cc" => Some(Part::Cc),
                "bcc" => Some(Part::Bcc),
                "subject" => Some(Part::Subject),
                _ => None,
            };
            find(bytes, &mut |needle| match part {
                // An empty text asks whether there is such a field, which the digest does not say.
                Some(part) if !needle.is_empty() => Test::Digest(part, finder(needle)),
                _ => in_text(Where::Field(name.clone()), needle, texts),
            })?
        }
        SearchKey::Body(bytes) => find(bytes, &mut |text| in_text(Where::Body, text, texts))?,
        SearchKey::Text(bytes) => find(bytes, &mut |text| in_text(Where::Anywhere, text, texts))?,
        SearchKey::Date(field, relation, date) => Test::Day(*field, *relation, day(date)),
        SearchKey::Larger(size) => Test::Larger(*size),
        SearchKey::Smaller(size) => Test::Smaller(*size),
        SearchKey::Older(seconds) => Test::Before(Timestamp::from_seconds(now.seconds() - i64::from(*seconds))),
        SearchKey::Younger(seconds) => Test::Since(Timestamp::from_seconds(now.seconds() - i64::from(*seconds))),
        SearchKey::ModSeq(modseq) => Test::ModSeq(*modseq),
        SearchKey::SaveDateSupported => Test::All,
        SearchKey::EmailId(id) => Test::EmailId(id.clone()),
        SearchKey::ThreadId(id) => Test::ThreadId(id.clone()),
    })
}

fn finder(needle: &str) -> Box<Finder<'static>> {
    Box::new(Finder::new(needle).into_owned())
}

/// A key that needs the text.
fn in_text(place: Where, needle: &str, texts: &mut Vec<TextKey>) -> Test {
    texts.push(TextKey::new(place, needle));
    Test::Text(texts.len() - 1)
}

/// The sequence numbers that a set means. Those that no message has find nothing, and are no mistake (RFC 7377 §2).
fn numbers(set: &Set, messages: &Messages<'_>) -> UidSet {
    let snapshot = messages.snapshot();
    match set {
        Set::Saved => messages.saved().uids().filter_map(|uid| snapshot.number(uid)).collect(),
        Set::These(set) => {
            let ranges = set.resolve(snapshot.len()).into_iter();
            let inside = ranges.map(|(from, to)| (from, to.min(snapshot.len()))).filter(|(from, to)| from <= to);
            UidSet::from_ranges(inside.collect())
        }
    }
}

fn day(date: &Date) -> Day {
    Day { year: date.year as i16, month: date.month as i8, day: date.day as i8 }
}

fn compare(of: Day, relation: Relation, day: Day) -> bool {
    match relation {
        Relation::Before => of < day,
        Relation::On => of == day,
        Relation::Since => of >= day,
    }
}

/// The day of a moment in our own zone, in which INTERNALDATE is shown.
fn local_day(moment: Timestamp) -> Option<Day> {
    let text = moment.local("%Y %m %d");
    let mut words = text.split(' ');
    Some(Day {
        year: words.next()?.parse().ok()?,
        month: words.next()?.parse().ok()?,
        day: words.next()?.parse().ok()?,
    })
}

/// Asks a message's digest; one that is gone meanwhile matches nothing.
fn ask(messages: &mut Messages<'_>, uid: Uid, ask: impl FnOnce(&Digest<'_>) -> bool) -> Result<bool, FolderError> {
    match messages.digest(uid, Depth::Header) {
        Ok(record) => Ok(Digest::read(&record).is_some_and(|digest| ask(&digest))),
        Err(FolderError::Expunged) => Ok(false),
        Err(e) => Err(e),
    }
}
