//! LIST with RFC 5258's options, and LSUB.

use super::super::ask::Refusal;
use super::super::command::{Command, List};
use super::super::commands::Parse;
use super::super::scan::{Parsed, Scan};
use super::mailbox::status_items;
use super::unknown;

/// Most patterns of one LIST.
const PATTERNS: usize = 100;

pub fn lsub(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let reference = scan.reference()?;
    scan.sp()?;
    Ok(Parse::Run(Command::Lsub(reference, scan.pattern()?)))
}

/// `list` (RFC 5258 §6).
pub fn list(scan: &mut Scan) -> Parsed<Parse> {
    let mut list = List::default();
    let may_extend = scan.offers("LIST-EXTENDED");
    scan.sp()?;
    if scan.peek() == Some(b'(') && may_extend {
        list.is_extended = true;
        scan.list0(|scan| select_option(scan, &mut list))?;
        scan.sp()?;
        // RFC 5258 §3.1: it modifies another option that selects.
        if list.recursive_match && !list.subscribed && !list.special_use {
            return Err(Refusal::bad("RECURSIVEMATCH stands alone"));
        }
    }
    list.reference = scan.reference()?;
    scan.sp()?;
    if scan.peek() == Some(b'(') && may_extend {
        list.is_extended = true;
        list.patterns = scan.list(Scan::pattern)?;
        if list.patterns.len() > PATTERNS {
            return Err(Refusal::bad("too many patterns"));
        }
    } else {
        list.patterns = vec![scan.pattern()?];
    }
    if !scan.is_end() && may_extend {
        scan.sp()?;
        if scan.atom()? != "RETURN" {
            return unknown("argument");
        }
        scan.sp()?;
        list.is_extended = true;
        scan.list0(|scan| return_option(scan, &mut list))?;
    }
    Ok(Parse::Run(Command::List(list)))
}

fn select_option(scan: &mut Scan, list: &mut List) -> Parsed<()> {
    match scan.atom()?.as_str() {
        "SUBSCRIBED" => list.subscribed = true,
        "REMOTE" => list.remote = true,
        "RECURSIVEMATCH" => list.recursive_match = true,
        "SPECIAL-USE" if scan.offers("SPECIAL-USE") => list.special_use = true,
        _ => return unknown("selection option"),
    }
    Ok(())
}

fn return_option(scan: &mut Scan, list: &mut List) -> Parsed<()> {
    let returns = &mut list.returns;
    match scan.atom()?.as_str() {
        "SUBSCRIBED" => returns.subscribed = true,
        "CHILDREN" => returns.children = true,
        "SPECIAL-USE" if scan.offers("SPECIAL-USE") => returns.special_use = true,
        "MYRIGHTS" if scan.offers("LIST-MYRIGHTS") => returns.my_rights = true,
        "STATUS" if scan.offers("LIST-STATUS") => {
            scan.sp()?;
            returns.status = status_items(scan)?;
        }
        "METADATA" if scan.offers("LIST-METADATA") => {
            scan.sp()?;
            returns.metadata = scan.list(super::access::entry)?;
        }
        _ => return unknown("return option"),
    }
    Ok(())
}
