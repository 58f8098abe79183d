//! NOTIFY, and the mailboxes that ESEARCH looks into.

use super::super::ask::Refusal;
use super::super::command::{Command, Event, MailboxName, Notify};
use super::super::commands::Parse;
use super::super::key::Source;
use super::super::response::Code;
use super::super::scan::{Parsed, Scan};
use super::unknown;

/// The events we know, for BADEVENT.
const EVENTS: &[&str] = &[
    "MessageNew",
    "MessageExpunge",
    "FlagChange",
    "MailboxName",
    "SubscriptionChange",
    "MailboxMetadataChange",
    "ServerMetadataChange",
];

/// `notify` (RFC 5465 §8).
pub fn notify(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    match scan.atom()?.as_str() {
        "NONE" => return Ok(Parse::Run(Command::Notify(None))),
        "SET" => {}
        _ => return unknown("argument"),
    }
    let mut ahead = scan.clone();
    let status = ahead.sp().is_ok() && ahead.name().is_ok_and(|word| word == "STATUS");
    if status {
        *scan = ahead;
    }
    let mut has_unknown = false;
    let groups = scan.rest(|scan| group(scan, &mut has_unknown))?;
    let selected = groups.iter().filter(|(s, _)| matches!(s, Source::Selected | Source::SelectedDelayed)).count();
    if selected > 1 {
        return Err(Refusal::bad("the selected mailbox twice"));
    }
    match has_unknown {
        // RFC 5465 §3.1: NO, with what there is, and only when nothing else is wrong.
        true => Err(Refusal::no(Some(Code::BadEvent(EVENTS)), "unknown event")),
        false => Ok(Parse::Run(Command::Notify(Some(Notify { status, groups })))),
    }
}

/// `event-group`.
fn group(scan: &mut Scan, has_unknown: &mut bool) -> Parsed<(Source, Vec<Event>)> {
    scan.expect(b'(')?;
    let source = match source(scan)? {
        Source::SubtreeOne(_) => return unknown("mailbox filter"),
        source => source,
    };
    scan.sp()?;
    let is_selected = matches!(source, Source::Selected | Source::SelectedDelayed);
    let words = match scan.peek() {
        Some(b'(') => scan.list(|scan| event(scan, is_selected))?,
        _ if scan.atom()? == "NONE" => Vec::new(),
        _ => return unknown("argument"),
    };
    scan.expect(b')')?;
    let is_annotation = |word: &Word| matches!(word, Word::Unknown(name) if name == "ANNOTATIONCHANGE");
    let has_annotations = words.iter().any(is_annotation);
    *has_unknown |= words.iter().any(|word| matches!(word, Word::Unknown(_)));
    let known = |word| if let Word::Known(event) = word { Some(event) } else { None };
    let events: Vec<Event> = words.into_iter().filter_map(known).collect();
    check(&events, has_annotations, is_selected)?;
    Ok((source, events))
}

/// An event's name: one that we tell of, or an atom of some extension.
enum Word {
    Known(Event),
    Unknown(String),
}

/// What belongs together (RFC 5465 §5).
fn check(events: &[Event], has_annotations: bool, is_selected: bool) -> Parsed<()> {
    let has_new = events.iter().any(|e| matches!(e, Event::MessageNew(_)));
    let has_expunge = events.contains(&Event::MessageExpunge);
    let has_flags = has_annotations || events.contains(&Event::FlagChange);
    if has_new != has_expunge || (has_flags && !has_new) {
        return Err(Refusal::bad("MessageNew and MessageExpunge go together, and FlagChange with them"));
    }
    let is_message = |e: &Event| matches!(e, Event::MessageNew(_) | Event::MessageExpunge | Event::FlagChange);
    match is_selected && !events.iter().all(is_message) {
        true => Err(Refusal::bad("only events of messages for the selected mailbox")),
        false => Ok(()),
    }
}

fn event(scan: &mut Scan, is_selected: bool) -> Parsed<Word> {
    Ok(Word::Known(match scan.atom()?.as_str() {
        "MESSAGENEW" if scan.is_before_list() => {
            if !is_selected {
                return Err(Refusal::bad("items for the selected mailbox only"));
            }
            scan.sp()?;
            Event::MessageNew(super::fetch::items(scan)?)
        }
        "MESSAGENEW" => Event::MessageNew(Vec::new()),
        "MESSAGEEXPUNGE" => Event::MessageExpunge,
        "FLAGCHANGE" => Event::FlagChange,
        "MAILBOXNAME" => Event::MailboxName,
        "SUBSCRIPTIONCHANGE" => Event::SubscriptionChange,
        "MAILBOXMETADATACHANGE" => Event::MailboxMetadataChange,
        "SERVERMETADATACHANGE" => Event::ServerMetadataChange,
        name => return Ok(Word::Unknown(name.to_string())),
    }))
}

/// `filter-mailboxes` (RFC 5465 §8, RFC 7377 §4).
pub(super) fn source(scan: &mut Scan) -> Parsed<Source> {
    Ok(match scan.atom()?.as_str() {
        "SELECTED" => Source::Selected,
        "SELECTED-DELAYED" => Source::SelectedDelayed,
        "INBOXES" => Source::Inboxes,
        "PERSONAL" => Source::Personal,
        "SUBSCRIBED" => Source::Subscribed,
        "SUBTREE" => Source::Subtree(mailboxes(scan)?),
        "SUBTREE-ONE" => Source::SubtreeOne(mailboxes(scan)?),
        "MAILBOXES" => Source::Mailboxes(mailboxes(scan)?),
        _ => return unknown("mailbox filter"),
    })
}

/// `SP one-or-more-mailbox`.
fn mailboxes(scan: &mut Scan) -> Parsed<Vec<MailboxName>> {
    scan.sp()?;
    match scan.peek() {
        Some(b'(') => scan.list(Scan::mailbox),
        _ => Ok(vec![scan.mailbox()?]),
    }
}
