//! Commands on mailboxes: SELECT, CREATE, RENAME, STATUS and their like.

use super::super::ask::Refusal;
use super::super::command::{Command, MailboxName, Qresync, Select};
use super::super::commands::Parse;
use super::super::extension::Extension;
use super::super::item::StatusItem;
use super::super::scan::{Parsed, Scan};
use super::{modseq, unknown};
use crate::mailbox::UidValidity;

fn run(command: Command) -> Parsed<Parse> {
    Ok(Parse::Run(command))
}

fn one(scan: &mut Scan, make: fn(MailboxName) -> Command) -> Parsed<Parse> {
    scan.sp()?;
    run(make(scan.mailbox()?))
}

pub fn select(scan: &mut Scan) -> Parsed<Parse> {
    selected(scan, false)
}

pub fn examine(scan: &mut Scan) -> Parsed<Parse> {
    selected(scan, true)
}

/// `select` with `select-params` (RFC 4466 §3).
fn selected(scan: &mut Scan, is_examine: bool) -> Parsed<Parse> {
    scan.sp()?;
    let mut select = Select { mailbox: scan.mailbox()?, is_examine, condstore: false, qresync: None };
    if !scan.is_end() {
        scan.sp()?;
        scan.list(|scan| {
            match scan.atom()?.as_str() {
                "CONDSTORE" if scan.offers("CONDSTORE") => select.condstore = true,
                "QRESYNC" if scan.offers("QRESYNC") => {
                    // RFC 7162 §3.2.5: ENABLE comes first.
                    if !scan.enabled.has(Extension::Qresync) {
                        return Err(Refusal::bad("enable QRESYNC first"));
                    }
                    scan.sp()?;
                    select.qresync = Some(qresync(scan)?);
                }
                _ => return unknown("parameter"),
            }
            Ok(())
        })?;
    }
    run(Command::Select(select))
}

/// The value of the QRESYNC parameter (RFC 7162 §7).
fn qresync(scan: &mut Scan) -> Parsed<Qresync> {
    scan.expect(b'(')?;
    let uid_validity = UidValidity::new(scan.nz_number()?).ok_or_else(|| Refusal::bad("0 is not allowed here"))?;
    scan.sp()?;
    let mut known = Qresync { uid_validity, modseq: modseq(scan, false)?, known_uids: None, matches: None };
    if scan.peek() == Some(b' ') && !scan.is_before_list() {
        scan.sp()?;
        known.known_uids = Some(scan.known_numbers()?);
    }
    if scan.eat(b' ') {
        // RFC 9586 §3.3: sequence numbers are gone.
        if scan.enabled.has(Extension::UidOnly) {
            return Err(Refusal::bad("sequence numbers after ENABLE UIDONLY"));
        }
        scan.expect(b'(')?;
        let numbers = scan.known_numbers()?;
        scan.sp()?;
        known.matches = Some((numbers, scan.known_numbers()?));
        scan.expect(b')')?;
    }
    scan.expect(b')')?;
    Ok(known)
}

/// `create` with `create-params` (RFC 6154 §6).
pub fn create(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let mailbox = scan.new_mailbox()?;
    let mut uses = Vec::new();
    if !scan.is_end() {
        scan.sp()?;
        scan.list(|scan| {
            if scan.atom()? != "USE" || !scan.offers("CREATE-SPECIAL-USE") {
                return unknown("parameter");
            }
            scan.sp()?;
            uses = scan.list0(|scan| {
                scan.expect(b'\\')?;
                Ok(format!("\\{}", String::from_utf8_lossy(scan.run(super::super::scan::is_atom_char))))
            })?;
            Ok(())
        })?;
    }
    run(Command::Create(mailbox, uses))
}

pub fn delete(scan: &mut Scan) -> Parsed<Parse> {
    one(scan, Command::Delete)
}

pub fn rename(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let from = scan.mailbox()?;
    scan.sp()?;
    run(Command::Rename(from, scan.new_mailbox()?))
}

pub fn subscribe(scan: &mut Scan) -> Parsed<Parse> {
    one(scan, Command::Subscribe)
}

pub fn unsubscribe(scan: &mut Scan) -> Parsed<Parse> {
    one(scan, Command::Unsubscribe)
}

/// `status` (RFC 9051 §6.3.11).
pub fn status(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let mailbox = scan.mailbox()?;
    scan.sp()?;
    run(Command::Status(mailbox, status_items(scan)?))
}

/// `"(" status-att *(SP status-att) ")"`.
pub(super) fn status_items(scan: &mut Scan) -> Parsed<Vec<StatusItem>> {
    let mut items = Vec::new();
    scan.list(|scan| {
        let name = scan.atom()?;
        let item = StatusItem::ALL.into_iter().find(|item| item.name() == name);
        match item.filter(|item| scan.offers(item.needs())) {
            // Asked for twice, told once.
            Some(item) if items.contains(&item) => Ok(()),
            Some(item) => {
                items.push(item);
                Ok(())
            }
            None => unknown("status item"),
        }
    })?;
    Ok(items)
}
