//! APPEND and REPLACE, piece by piece: what has arrived is understood before the next literal is taken (RFC 4466 §3, RFC 3502, RFC 4469).

use super::super::ask::Refusal;
use super::super::command::{Flag, MailboxName, Messages, Set};
use super::super::scan::{Parsed, Scan};
use super::{date_time, flag, unknown};
use crate::clock::Timestamp;
use crate::mailbox::SeqSet;

/// Where in the command the scan stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum At {
    /// Behind the verb.
    Verb,
    /// Behind the mailbox or a message.
    Message,
    /// Inside `CATENATE (`, before the first part.
    FirstPart,
    /// Inside CATENATE, behind a part.
    NextPart,
    /// Behind the literal of `UTF8 (`.
    Utf8,
}

/// What was understood.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum Element {
    /// Where the messages go.
    Target(MailboxName, Option<Messages>),
    /// A message begins.
    Message(Vec<Flag>, Option<Timestamp>, Form),
    /// CATENATE: a literal of text follows.
    Text,
    /// CATENATE: a URL.
    Url(String),
    /// The message is whole.
    MessageEnd,
}

/// How a message comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Form {
    /// As one literal.
    Literal,
    /// As one literal in `UTF8 (…)` (RFC 6855 §4).
    Utf8,
    /// In parts.
    Catenate,
}

/// Where the scan stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Stop {
    /// Before a literal that is an argument: once it is there, go on from where the last element ended.
    Argument,
    /// At the end of the command.
    End,
}

/// Which command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// APPEND.
    Append,
    /// REPLACE (RFC 8508), with UID or without.
    Replace { is_uid: bool },
}

/// Reads the next element; `None` at a stop. `is_followed` says that a literal comes behind what was framed.
pub(in super::super) fn next(
    scan: &mut Scan,
    at: &mut At,
    kind: Kind,
    is_followed: bool,
    messages: u32,
) -> Parsed<Result<Element, Stop>> {
    match at {
        At::Verb => target(scan, at, kind, is_followed),
        At::Message if scan.is_end() && !is_followed && messages > 0 => Ok(Err(Stop::End)),
        At::Message if messages > 0 && (kind != Kind::Append || !scan.offers("MULTIAPPEND")) => {
            Err(Refusal::bad("only one message"))
        }
        At::Message => message(scan, at, is_followed),
        At::FirstPart | At::NextPart => part(scan, at, is_followed),
        At::Utf8 => {
            scan.expect(b')')?;
            *at = At::Message;
            Ok(Ok(Element::MessageEnd))
        }
    }
}

fn target(scan: &mut Scan, at: &mut At, kind: Kind, is_followed: bool) -> Parsed<Result<Element, Stop>> {
    scan.sp()?;
    let mut replaces = None;
    if let Kind::Replace { is_uid } = kind {
        let set = if scan.eat(b'*') { SeqSet::last() } else { SeqSet::one(scan.nz_number()?) };
        replaces = Some(Messages { is_uid, set: Set::These(set) });
        scan.sp()?;
    }
    if scan.is_end() && is_followed {
        return Ok(Err(Stop::Argument));
    }
    let mailbox = scan.mailbox()?;
    *at = At::Message;
    Ok(Ok(Element::Target(mailbox, replaces)))
}

/// `append-message`.
fn message(scan: &mut Scan, at: &mut At, is_followed: bool) -> Parsed<Result<Element, Stop>> {
    scan.sp()?;
    let mut flags = Vec::new();
    if scan.peek() == Some(b'(') {
        flags = scan.list0(flag)?;
        scan.sp()?;
    }
    let mut date = None;
    if scan.peek() == Some(b'"') {
        date = Some(date_time(scan)?);
        scan.sp()?;
    }
    let form = match scan.is_end() {
        true => Form::Literal,
        false => match scan.atom()?.as_str() {
            "CATENATE" if scan.offers("CATENATE") => Form::Catenate,
            "UTF8" if scan.offers("UTF8=ACCEPT") => Form::Utf8,
            _ => return unknown("argument"),
        },
    };
    if form != Form::Literal {
        scan.sp()?;
        scan.expect(b'(')?;
    }
    *at = match form {
        Form::Literal => At::Message,
        Form::Utf8 => At::Utf8,
        Form::Catenate => At::FirstPart,
    };
    match form == Form::Catenate || (scan.is_end() && is_followed) {
        true => Ok(Ok(Element::Message(flags, date, form))),
        false => Err(Refusal::bad("expected a literal")),
    }
}

/// `cat-part`, or the end of the list.
fn part(scan: &mut Scan, at: &mut At, is_followed: bool) -> Parsed<Result<Element, Stop>> {
    if *at == At::NextPart {
        if scan.eat(b')') {
            *at = At::Message;
            return Ok(Ok(Element::MessageEnd));
        }
        scan.sp()?;
    }
    let word = scan.atom()?;
    scan.sp()?;
    let is_before_literal = scan.is_end() && is_followed;
    match word.as_str() {
        "TEXT" if is_before_literal => {
            *at = At::NextPart;
            Ok(Ok(Element::Text))
        }
        "TEXT" => Err(Refusal::bad("expected a literal")),
        "URL" if is_before_literal => Ok(Err(Stop::Argument)),
        "URL" => {
            let url = scan.text()?;
            *at = At::NextPart;
            Ok(Ok(Element::Url(url)))
        }
        _ => unknown("part"),
    }
}
