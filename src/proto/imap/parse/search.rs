//! SEARCH, ESEARCH, SORT, THREAD: what to return, what to find.

use super::super::ask::Refusal;
use super::super::command::{Command, Search, Set, Sort, SortCriterion, Thread, ThreadAlgorithm};
use super::super::commands::Parse;
use super::super::extension::Extension;
use super::super::key::{AddressField, DateField, Relation, Returns, SearchKey, Source};
use super::super::scan::{Parsed, Scan};
use super::{date, keyword, modseq, notify, partial_range, unknown};
use crate::mailbox::{SeqSet, System, UidSet};

pub fn search(scan: &mut Scan) -> Parsed<Parse> {
    searched(scan, false)
}

pub fn uid_search(scan: &mut Scan) -> Parsed<Parse> {
    searched(scan, true)
}

/// `search` (RFC 9051 §9).
fn searched(scan: &mut Scan, is_uid: bool) -> Parsed<Parse> {
    let returns = returns(scan, "ESEARCH", "CONTEXT=SEARCH")?;
    let (charset, key) = program(scan)?;
    Ok(Parse::Run(Command::Search(Search { is_uid, sources: Vec::new(), returns, charset, key })))
}

/// `esearch` (RFC 7377 §4): the answer holds identifiers always.
pub fn esearch(scan: &mut Scan) -> Parsed<Parse> {
    // RFC 7377 §2.2.
    let mut sources = vec![Source::Selected];
    let mut ahead = scan.clone();
    if ahead.sp().is_ok() && ahead.name().is_ok_and(|word| word == "IN") {
        *scan = ahead;
        scan.sp()?;
        sources = scan.list(notify::source)?;
    }
    let returns = returns(scan, "ESEARCH", "CONTEXT=SEARCH")?.unwrap_or(Returns { all: true, ..Returns::default() });
    let (charset, key) = program(scan)?;
    Ok(Parse::Run(Command::Search(Search { is_uid: true, sources, returns: Some(returns), charset, key })))
}

pub fn sort(scan: &mut Scan) -> Parsed<Parse> {
    sorted(scan, false)
}

pub fn uid_sort(scan: &mut Scan) -> Parsed<Parse> {
    sorted(scan, true)
}

/// `sort` (RFC 5256 §5, RFC 5267 §3).
fn sorted(scan: &mut Scan, is_uid: bool) -> Parsed<Parse> {
    let returns = returns(scan, "ESORT", "CONTEXT=SORT")?;
    scan.sp()?;
    let criteria = scan.list(criterion)?;
    scan.sp()?;
    let charset = charset(scan)?;
    let key = keys(scan)?;
    Ok(Parse::Run(Command::Sort(Sort { is_uid, returns, criteria, charset, key })))
}

fn criterion(scan: &mut Scan) -> Parsed<(SortCriterion, bool)> {
    let mut word = scan.atom()?;
    let is_reverse = word == "REVERSE";
    if is_reverse {
        scan.sp()?;
        word = scan.atom()?;
    }
    let criterion = match word.as_str() {
        "ARRIVAL" => SortCriterion::Arrival,
        "CC" => SortCriterion::Cc,
        "DATE" => SortCriterion::Date,
        "FROM" => SortCriterion::From,
        "SIZE" => SortCriterion::Size,
        "SUBJECT" => SortCriterion::Subject,
        "TO" => SortCriterion::To,
        "DISPLAYFROM" if scan.offers("SORT=DISPLAY") => SortCriterion::DisplayFrom,
        "DISPLAYTO" if scan.offers("SORT=DISPLAY") => SortCriterion::DisplayTo,
        "RELEVANCY" if scan.offers("SEARCH=FUZZY") => SortCriterion::Relevancy,
        _ => return unknown("sort criterion"),
    };
    Ok((criterion, is_reverse))
}

pub fn thread(scan: &mut Scan) -> Parsed<Parse> {
    threaded(scan, false)
}

pub fn uid_thread(scan: &mut Scan) -> Parsed<Parse> {
    threaded(scan, true)
}

/// `thread` (RFC 5256 §5).
fn threaded(scan: &mut Scan, is_uid: bool) -> Parsed<Parse> {
    scan.sp()?;
    let algorithm = match scan.atom()?.as_str() {
        "ORDEREDSUBJECT" if scan.offers("THREAD=ORDEREDSUBJECT") => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" if scan.offers("THREAD=REFERENCES") => ThreadAlgorithm::References,
        _ => return unknown("threading algorithm"),
    };
    scan.sp()?;
    let charset = charset(scan)?;
    let key = keys(scan)?;
    Ok(Parse::Run(Command::Thread(Thread { is_uid, algorithm, charset, key })))
}

/// `charset`, an atom or quoted.
fn charset(scan: &mut Scan) -> Parsed<String> {
    let charset = scan.text()?;
    // RFC 9755 §3: everything is UTF-8 then.
    if scan.enabled.has(Extension::Utf8Accept) && !charset.eq_ignore_ascii_case("UTF-8") {
        return Err(Refusal::bad("no other charset than UTF-8 after ENABLE UTF8=ACCEPT"));
    }
    Ok(charset)
}

/// `search-return-opts`.
fn returns(scan: &mut Scan, extension: &str, context: &str) -> Parsed<Option<Returns>> {
    let mut ahead = scan.clone();
    if ahead.sp().is_err() || ahead.name().is_ok_and(|word| word != "RETURN") || !ahead.is_before_list() {
        return Ok(None);
    }
    if !scan.offers(extension) {
        return unknown("argument");
    }
    *scan = ahead;
    scan.sp()?;
    let mut returns = Returns::default();
    let options = scan.list0(|scan| return_option(scan, &mut returns, context))?;
    returns.all |= options.is_empty();
    if returns.all && returns.partial.is_some() {
        return Err(Refusal::bad("PARTIAL and ALL exclude each other"));
    }
    Ok(Some(returns))
}

fn return_option(scan: &mut Scan, returns: &mut Returns, context: &str) -> Parsed<()> {
    match scan.atom()?.as_str() {
        "MIN" => returns.min = true,
        "MAX" => returns.max = true,
        "ALL" => returns.all = true,
        "COUNT" => returns.count = true,
        "SAVE" if scan.offers("SEARCHRES") => returns.save = true,
        "CONTEXT" if scan.offers(context) => returns.context = true,
        "UPDATE" if scan.offers(context) => {
            let with_items = scan.offers("NOTIFY") && scan.is_before_list();
            if with_items {
                scan.sp()?;
            }
            returns.update = Some(if with_items { super::fetch::items(scan)? } else { Vec::new() });
        }
        "PARTIAL" if (scan.offers("PARTIAL") || scan.offers(context)) && returns.partial.is_none() => {
            scan.sp()?;
            returns.partial = Some(partial_range(scan)?);
        }
        "RELEVANCY" if scan.offers("SEARCH=FUZZY") => returns.relevancy = true,
        _ => return unknown("return option"),
    }
    Ok(())
}

/// `search-program`.
fn program(scan: &mut Scan) -> Parsed<(Option<String>, SearchKey)> {
    let mut ahead = scan.clone();
    let mut named = None;
    if ahead.sp().is_ok() && ahead.name().is_ok_and(|word| word == "CHARSET") {
        *scan = ahead;
        scan.sp()?;
        if scan.enabled.has(Extension::Utf8Accept) {
            return Err(Refusal::bad("no CHARSET after ENABLE UTF8=ACCEPT"));
        }
        named = Some(charset(scan)?);
    }
    Ok((named, keys(scan)?))
}

/// `1*(SP search-key)` up to the end.
fn keys(scan: &mut Scan) -> Parsed<SearchKey> {
    scan.rest(key).map(all_of)
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match (keys.len(), keys.pop()) {
        (1, Some(key)) => key,
        (_, last) => {
            keys.extend(last);
            SearchKey::And(keys)
        }
    }
}

/// `search-key`.
fn key(scan: &mut Scan) -> Parsed<SearchKey> {
    scan.enter()?;
    let key = match scan.peek() {
        Some(b'(') => all_of(in_parentheses(scan)?),
        Some(b'0'..=b'9' | b'*' | b'$') => SearchKey::Numbers(scan.set()?),
        _ => {
            let word = scan.atom()?;
            named_key(scan, &word)?
        }
    };
    scan.leave();
    Ok(key)
}

fn in_parentheses(scan: &mut Scan) -> Parsed<Vec<SearchKey>> {
    scan.expect(b'(')?;
    let mut keys = vec![key(scan)?];
    while !scan.eat(b')') {
        scan.sp()?;
        keys.push(key(scan)?);
    }
    Ok(keys)
}

/// `"OR" SP search-key SP search-key`; clients chain them by the hundred, so that a second key that is an OR goes on here.
fn alternatives(scan: &mut Scan) -> Parsed<SearchKey> {
    let mut keys = Vec::new();
    loop {
        scan.sp()?;
        keys.push(key(scan)?);
        let mut ahead = scan.clone();
        ahead.sp()?;
        if !(ahead.name().is_ok_and(|word| word == "OR") && ahead.peek() == Some(b' ')) {
            scan.sp()?;
            keys.push(key(scan)?);
            return Ok(SearchKey::Or(keys));
        }
        *scan = ahead;
    }
}

fn named_key(scan: &mut Scan, word: &str) -> Parsed<SearchKey> {
    let plain = match word {
        "ALL" => Some(SearchKey::All),
        "ANSWERED" => Some(SearchKey::Has(System::Answered)),
        "DELETED" => Some(SearchKey::Has(System::Deleted)),
        "DRAFT" => Some(SearchKey::Has(System::Draft)),
        "FLAGGED" => Some(SearchKey::Has(System::Flagged)),
        "SEEN" => Some(SearchKey::Has(System::Seen)),
        "UNANSWERED" => Some(SearchKey::Lacks(System::Answered)),
        "UNDELETED" => Some(SearchKey::Lacks(System::Deleted)),
        "UNDRAFT" => Some(SearchKey::Lacks(System::Draft)),
        "UNFLAGGED" => Some(SearchKey::Lacks(System::Flagged)),
        "UNSEEN" => Some(SearchKey::Lacks(System::Seen)),
        "NEW" if scan.offers("IMAP4rev1") => Some(SearchKey::New),
        "OLD" if scan.offers("IMAP4rev1") => Some(SearchKey::Old),
        "RECENT" if scan.offers("IMAP4rev1") => Some(SearchKey::Recent),
        "SAVEDATESUPPORTED" if scan.offers("SAVEDATE") => Some(SearchKey::SaveDateSupported),
        _ => None,
    };
    if let Some(key) = plain {
        return Ok(key);
    }
    if word == "OR" {
        return alternatives(scan);
    }
    if let Some((field, relation)) = dated(scan, word) {
        scan.sp()?;
        return Ok(SearchKey::Date(field, relation, date(scan)?));
    }
    if !is_known(scan, word) {
        return unknown("search key");
    }
    scan.sp()?;
    Ok(match word {
        "NOT" => SearchKey::Not(Box::new(key(scan)?)),
        "FUZZY" => SearchKey::Fuzzy(Box::new(key(scan)?)),
        "UID" => SearchKey::Uids(scan.set()?),
        "KEYWORD" => SearchKey::Keyword(keyword(scan)?),
        "UNKEYWORD" => SearchKey::Unkeyword(keyword(scan)?),
        "BCC" => SearchKey::Address(AddressField::Bcc, string(scan)?),
        "CC" => SearchKey::Address(AddressField::Cc, string(scan)?),
        "FROM" => SearchKey::Address(AddressField::From, string(scan)?),
        "TO" => SearchKey::Address(AddressField::To, string(scan)?),
        "SUBJECT" => SearchKey::Subject(string(scan)?),
        "BODY" => SearchKey::Body(string(scan)?),
        "TEXT" => SearchKey::Text(string(scan)?),
        "HEADER" => {
            let field = scan.text()?;
            scan.sp()?;
            SearchKey::Header(field, string(scan)?)
        }
        "LARGER" => SearchKey::Larger(scan.number64()?),
        "SMALLER" => SearchKey::Smaller(scan.number64()?),
        "UIDAFTER" => uid_range(scan.nz_number()?.checked_add(1), Some(u32::MAX)),
        "UIDBEFORE" => uid_range(Some(1), scan.nz_number()?.checked_sub(1)),
        "OLDER" => SearchKey::Older(scan.nz_number()?),
        "YOUNGER" => SearchKey::Younger(scan.nz_number()?),
        "MODSEQ" => SearchKey::ModSeq(modseq_key(scan)?),
        "EMAILID" => SearchKey::EmailId(object_id(scan)?),
        _ => SearchKey::ThreadId(object_id(scan)?),
    })
}

/// UIDAFTER and UIDBEFORE (RFC 9738 §3.2): the identifiers between two, or none.
fn uid_range(from: Option<u32>, to: Option<u32>) -> SearchKey {
    let range = from.zip(to).filter(|(from, to)| from <= to);
    SearchKey::Uids(Set::These(SeqSet::from(&UidSet::from_ranges(range.into_iter().collect()))))
}

/// Keys with an argument that is no date.
fn is_known(scan: &Scan, word: &str) -> bool {
    match word {
        "NOT" | "UID" | "KEYWORD" | "UNKEYWORD" | "BCC" | "CC" | "FROM" | "TO" | "SUBJECT" | "BODY" | "TEXT"
        | "HEADER" | "LARGER" | "SMALLER" => true,
        "FUZZY" => scan.offers("SEARCH=FUZZY"),
        "UIDAFTER" | "UIDBEFORE" => scan.offers("MESSAGELIMIT"),
        "OLDER" | "YOUNGER" => scan.offers("WITHIN"),
        "MODSEQ" => scan.offers("CONDSTORE"),
        "EMAILID" | "THREADID" => scan.offers("OBJECTID"),
        _ => false,
    }
}

fn dated(scan: &Scan, word: &str) -> Option<(DateField, Relation)> {
    let (field, relation) = match word.strip_prefix("SENT") {
        Some(relation) => (DateField::Sent, relation),
        None => match word.strip_prefix("SAVED").filter(|_| scan.offers("SAVEDATE")) {
            Some(relation) => (DateField::Saved, relation),
            None => (DateField::Internal, word),
        },
    };
    match relation {
        "BEFORE" => Some((field, Relation::Before)),
        "ON" => Some((field, Relation::On)),
        "SINCE" => Some((field, Relation::Since)),
        _ => None,
    }
}

fn string(scan: &mut Scan) -> Parsed<Box<[u8]>> {
    Ok(scan.astring()?.into_owned().into())
}

/// `search-modsequence` (RFC 7162 §7).
fn modseq_key(scan: &mut Scan) -> Parsed<crate::mailbox::ModSeq> {
    if scan.peek() == Some(b'"') {
        scan.quoted()?;
        scan.sp()?;
        if !["PRIV", "SHARED", "ALL"].contains(&scan.atom()?.as_str()) {
            return unknown("kind of entry");
        }
        scan.sp()?;
    }
    modseq(scan, true)
}

/// `objectid` (RFC 8474 §7).
fn object_id(scan: &mut Scan) -> Parsed<String> {
    let id = scan.text()?;
    match (1..=255).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-') {
        true => Ok(id),
        false => Err(Refusal::bad("not an object identifier")),
    }
}
