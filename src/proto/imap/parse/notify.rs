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
    let groups = scan.rest(group)?;
    let selected = groups.iter().filter(|(s, _)| matches!(s, Source::Selected | Source::SelectedDelayed)).count();
    match selected > 1 {
        true => Err(Refusal::bad("the selected mailbox twice")),
        false => Ok(Parse::Run(Command::Notify(Some(Notify { status, groups })))),
    }
}

/// `event-group`.
fn group(scan: &mut Scan) -> Parsed<(Source, Vec<Event>)> {
    scan.expect(b'(')?;
    let source = match source(scan)? {
        Source::SubtreeOne(_) => return unknown("mailbox filter"),
        source => source,
    };
    scan.sp()?;
    let is_selected = matches!(source, Source::Selected | Source::SelectedDelayed);
    let events = match scan.peek() {
        Some(b'(') => scan.list(|scan| event(scan, is_selected))?,
        _ if scan.atom()? == "NONE" => Vec::new(),
        _ => return unknown("argument"),
    };
    scan.expect(b')')?;
    check(&events, is_selected)?;
    Ok((source, events))
}

/// What belongs together (RFC 5465 §5).
fn check(events: &[Event], is_selected: bool) -> Parsed<()> {
    let has_new = events.iter().any(|e| matches!(e, Event::MessageNew(_)));
    let has_expunge = events.contains(&Event::MessageExpunge);
    let has_flags = events.contains(&Event::FlagChange);
    if has_new != has_expunge || (has_flags && !has_new) {
        return Err(Refusal::bad("MessageNew and MessageExpunge go together, and FlagChange with them"));
    }
    let is_message = |e: &Event| matches!(e, Event::MessageNew(_) | Event::MessageExpunge | Event::FlagChange);
    match is_selected && !events.iter().all(is_message) {
        true => Err(Refusal::bad("only events of messages for the selected mailbox")),
        false => Ok(()),
    }
}

fn event(scan: &mut Scan, is_selected: bool) -> Parsed<Event> {
    Ok(match scan.atom()?.as_str() {
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
        // RFC 5465 §5: NO, with what there is.
        _ => return Err(Refusal::no(Some(Code::BadEvent(EVENTS)), "unknown event")),
    })
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
