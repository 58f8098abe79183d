//! STORE, COPY, MOVE, UID EXPUNGE.

use super::super::ask::Refusal;
use super::super::command::{Command, Flag, Messages, Store, StoreAction};
use super::super::commands::Parse;
use super::super::response::Code;
use super::super::scan::{Parsed, Scan, utf8};
use super::{flag, modseq, unknown};
use crate::proto::imap::command::MailboxName;

pub fn store(scan: &mut Scan) -> Parsed<Parse> {
    stored(scan, false)
}

pub fn uid_store(scan: &mut Scan) -> Parsed<Parse> {
    stored(scan, true)
}

/// `store` with `store-modifiers` (RFC 9051 §9, RFC 7162 §3.1.3).
fn stored(scan: &mut Scan, is_uid: bool) -> Parsed<Parse> {
    scan.sp()?;
    let messages = scan.messages(is_uid)?;
    scan.sp()?;
    let mut unchanged_since = None;
    if scan.peek() == Some(b'(') {
        scan.list(|scan| match scan.atom()?.as_str() {
            "UNCHANGEDSINCE" if scan.offers("CONDSTORE") && unchanged_since.is_none() => {
                scan.sp()?;
                unchanged_since = Some(modseq(scan, true)?);
                Ok(())
            }
            _ => unknown("store modifier"),
        })?;
        scan.sp()?;
    }
    let action = if scan.eat(b'+') {
        StoreAction::Add
    } else if scan.eat(b'-') {
        StoreAction::Remove
    } else {
        StoreAction::Replace
    };
    let is_silent = match scan.atom()?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return unknown("data item"),
    };
    scan.sp()?;
    let flags = match scan.peek() {
        Some(b'(') => scan.list0(flag)?,
        _ => bare_flags(scan)?,
    };
    Ok(Parse::Run(Command::Store(Store { messages, unchanged_since, action, is_silent, flags })))
}

/// `flag *(SP flag)`.
fn bare_flags(scan: &mut Scan) -> Parsed<Vec<Flag>> {
    let mut flags = vec![flag(scan)?];
    while !scan.is_end() {
        scan.sp()?;
        flags.push(flag(scan)?);
    }
    Ok(flags)
}

fn transfer(scan: &mut Scan, is_uid: bool, make: fn(Messages, MailboxName) -> Command) -> Parsed<Parse> {
    scan.sp()?;
    let messages = scan.messages(is_uid)?;
    scan.sp()?;
    Ok(Parse::Run(make(messages, scan.mailbox()?)))
}

pub fn copy(scan: &mut Scan) -> Parsed<Parse> {
    transfer(scan, false, Command::Copy)
}

pub fn uid_copy(scan: &mut Scan) -> Parsed<Parse> {
    transfer(scan, true, Command::Copy)
}

pub fn move_(scan: &mut Scan) -> Parsed<Parse> {
    transfer(scan, false, Command::Move)
}

pub fn uid_move(scan: &mut Scan) -> Parsed<Parse> {
    transfer(scan, true, Command::Move)
}

/// `uid-expunge` (RFC 4315 §2.1).
pub fn uid_expunge(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    Ok(Parse::Run(Command::Expunge(Some(scan.set()?))))
}

/// `message-batches`: `"UIDBATCHES" SP nz-number [SP nz-number ":" nz-number]` (RFC 10022).
pub fn uid_batches(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let size = scan.nz_number()?;
    let mut batches = None;
    if !scan.is_end() {
        scan.sp()?;
        let from = scan.nz_number()?;
        scan.expect(b':')?;
        let to = scan.nz_number()?;
        if to < from {
            return Err(Refusal::bad("the first batch comes first").with_code(Code::ClientBug));
        }
        batches = Some((from, to));
    }
    Ok(Parse::Run(Command::UidBatches(size, batches)))
}

/// `CANCELUPDATE 1*(SP quoted)` (RFC 5267 §6).
pub fn cancel_update(scan: &mut Scan) -> Parsed<Parse> {
    let tags = scan.rest(|scan| utf8(scan.quoted()?))?;
    Ok(Parse::Run(Command::CancelUpdate(tags)))
}
