//! FETCH: items, sections, modifiers.

use super::super::ask::Refusal;
use super::super::command::{Command, Fetch};
use super::super::commands::Parse;
use super::super::config::Config;
use super::super::frame::Piece;
use super::super::item::{FetchItem, Section, SectionText};
use super::super::scan::{Parsed, Scan};
use super::{modseq, partial_range, unknown};
use crate::proto::imap::extension::{Enabled, Extension};

/// Most items of one FETCH: each may mean the whole message.
const ITEMS: usize = 256;
/// Longest path to a part; the deepest message has fewer levels.
const PART: usize = 100;

pub fn fetch(scan: &mut Scan) -> Parsed<Parse> {
    fetched(scan, false)
}

pub fn uid_fetch(scan: &mut Scan) -> Parsed<Parse> {
    fetched(scan, true)
}

/// `fetch` with `fetch-modifiers` (RFC 9051 §9, RFC 4466 §3).
fn fetched(scan: &mut Scan, is_uid: bool) -> Parsed<Parse> {
    scan.sp()?;
    let messages = scan.messages(is_uid)?;
    scan.sp()?;
    let items = items_or_macro(scan)?;
    let mut fetch = Fetch { messages, items, changed_since: None, vanished: false, partial: None };
    if !scan.is_end() {
        scan.sp()?;
        scan.list(|scan| modifier(scan, &mut fetch))?;
    }
    // RFC 7162 §3.2.6.
    if fetch.vanished && (fetch.changed_since.is_none() || !is_uid || !scan.enabled.has(Extension::Qresync)) {
        return Err(Refusal::bad("VANISHED needs UID FETCH, CHANGEDSINCE and ENABLE QRESYNC"));
    }
    Ok(Parse::Run(Command::Fetch(fetch)))
}

fn modifier(scan: &mut Scan, fetch: &mut Fetch) -> Parsed<()> {
    match scan.atom()?.as_str() {
        "CHANGEDSINCE" if scan.offers("CONDSTORE") => {
            scan.sp()?;
            fetch.changed_since = Some(modseq(scan, true)?);
        }
        "VANISHED" if scan.offers("QRESYNC") => fetch.vanished = true,
        // RFC 9394 §3.2: of identifiers only.
        "PARTIAL" if scan.offers("PARTIAL") && fetch.messages.is_uid => {
            scan.sp()?;
            fetch.partial = Some(partial_range(scan)?);
        }
        _ => return unknown("fetch modifier"),
    }
    Ok(())
}

/// A macro may stand alone in parentheses, too: some clients put everything there.
fn items_or_macro(scan: &mut Scan) -> Parsed<Vec<FetchItem>> {
    let mut ahead = scan.clone();
    let in_parentheses = ahead.eat(b'(');
    let mut items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
    match ahead.name().as_deref() {
        Ok("FAST") => {}
        Ok("ALL") => items.push(FetchItem::Envelope),
        Ok("FULL") => items.extend([FetchItem::Envelope, FetchItem::Body]),
        _ => items.clear(),
    }
    if !items.is_empty() && (!in_parentheses || ahead.eat(b')')) {
        *scan = ahead;
        return Ok(items);
    }
    match in_parentheses {
        true => self::items(scan),
        false => item(scan).map(|item| vec![item]),
    }
}

/// `"(" fetch-att *(SP fetch-att) ")"`.
pub(super) fn items(scan: &mut Scan) -> Parsed<Vec<FetchItem>> {
    let items = scan.list(item)?;
    match items.len() <= ITEMS {
        true => Ok(items),
        false => Err(Refusal::bad("too many items")),
    }
}

/// `fetch-att`.
fn item(scan: &mut Scan) -> Parsed<FetchItem> {
    let name = scan.name()?;
    let item = match name.as_str() {
        "BODY" | "BODY.PEEK" if scan.peek() == Some(b'[') => {
            let section = section(scan)?;
            FetchItem::Section { section, partial: partial(scan)?, is_peek: name == "BODY.PEEK" }
        }
        "BINARY" | "BINARY.PEEK" if offers_binary(scan) => {
            let part = bracketed_part(scan)?;
            FetchItem::Binary { part, partial: partial(scan)?, is_peek: name == "BINARY.PEEK" }
        }
        "BINARY.SIZE" if offers_binary(scan) => FetchItem::BinarySize(bracketed_part(scan)?),
        "ENVELOPE" => FetchItem::Envelope,
        "FLAGS" => FetchItem::Flags,
        "INTERNALDATE" => FetchItem::InternalDate,
        "RFC822.SIZE" => FetchItem::Size,
        "BODY" => FetchItem::Body,
        "BODYSTRUCTURE" => FetchItem::BodyStructure,
        "UID" => FetchItem::Uid,
        "RFC822" if scan.offers("IMAP4rev1") => FetchItem::Rfc822,
        "RFC822.HEADER" if scan.offers("IMAP4rev1") => FetchItem::Rfc822Header,
        "RFC822.TEXT" if scan.offers("IMAP4rev1") => FetchItem::Rfc822Text,
        "MODSEQ" if scan.offers("CONDSTORE") => FetchItem::ModSeq,
        "EMAILID" if scan.offers("OBJECTID") => FetchItem::EmailId,
        "THREADID" if scan.offers("OBJECTID") => FetchItem::ThreadId,
        "SAVEDATE" if scan.offers("SAVEDATE") => FetchItem::SaveDate,
        "PREVIEW" if scan.offers("PREVIEW") => {
            // What follows in parentheses may be the command's modifiers instead.
            let mut ahead = scan.clone();
            let is_lazy =
                ahead.eat(b' ') && ahead.list(Scan::atom).is_ok_and(|words| words.iter().all(|w| w == "LAZY"));
            if is_lazy {
                *scan = ahead;
            }
            FetchItem::Preview(is_lazy)
        }
        _ => return unknown("item"),
    };
    Ok(item)
}

/// IMAP4rev2 has BINARY's part of FETCH in itself (RFC 9051 §E).
fn offers_binary(scan: &Scan) -> bool {
    scan.offers("BINARY") || scan.offers("IMAP4rev2")
}

impl Section {
    /// Reads `section-spec`, as it stands in a URL (RFC 5092 §11).
    pub fn parse(text: &str) -> Option<Section> {
        let pieces = [Piece::Text(format!("[{text}]").into_bytes().into())];
        let config = Config::bare();
        let mut scan = Scan::new(&pieces, &config, Enabled::NONE);
        let section = section(&mut scan).ok()?;
        scan.is_end().then_some(section)
    }
}

/// `section` (RFC 9051 §9).
fn section(scan: &mut Scan) -> Parsed<Section> {
    scan.expect(b'[')?;
    let mut section = Section { part: part(scan)?, text: None };
    let has_text = match section.part.is_empty() {
        true => scan.peek() != Some(b']'),
        false => scan.eat(b'.'),
    };
    if has_text {
        let text = match scan.name()?.as_str() {
            "HEADER" => SectionText::Header,
            "TEXT" => SectionText::Text,
            "MIME" if !section.part.is_empty() => SectionText::Mime,
            name @ ("HEADER.FIELDS" | "HEADER.FIELDS.NOT") => {
                scan.sp()?;
                SectionText::HeaderFields(scan.list(field_name)?, name == "HEADER.FIELDS.NOT")
            }
            _ => return unknown("section"),
        };
        section.text = Some(text);
    }
    scan.expect(b']')?;
    Ok(section)
}

/// `header-fld-name` (RFC 5322 §2.2): printable, no colon.
pub(super) fn field_name(scan: &mut Scan) -> Parsed<String> {
    let name = scan.text()?;
    match !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
        true => Ok(name),
        false => Err(Refusal::bad("not a field name")),
    }
}

/// `section-part`, which may be absent; stops before a dot that no number follows.
fn part(scan: &mut Scan) -> Parsed<Vec<u32>> {
    let mut part = Vec::new();
    while scan.peek().is_some_and(|b| b.is_ascii_digit()) {
        part.push(scan.nz_number()?);
        if part.len() > PART {
            return Err(Refusal::bad("nested too deeply"));
        }
        let mut ahead = scan.clone();
        if !ahead.eat(b'.') || !ahead.peek().is_some_and(|b| b.is_ascii_digit()) {
            break;
        }
        *scan = ahead;
    }
    Ok(part)
}

/// `section-binary`.
fn bracketed_part(scan: &mut Scan) -> Parsed<Vec<u32>> {
    scan.expect(b'[')?;
    let part = part(scan)?;
    scan.expect(b']')?;
    Ok(part)
}

/// `partial`.
fn partial(scan: &mut Scan) -> Parsed<Option<(u64, u64)>> {
    if !scan.eat(b'<') {
        return Ok(None);
    }
    let from = scan.number64()?;
    scan.expect(b'.')?;
    let count = scan.number64()?;
    scan.expect(b'>')?;
    match count {
        0 => Err(Refusal::bad("0 is not allowed here")),
        _ => Ok(Some((from, count))),
    }
}
