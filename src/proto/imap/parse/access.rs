//! Quota, rights, annotations, authorised URLs.

use super::super::ask::Refusal;
use super::super::command::{Command, GetMetadata, MailboxName, MetadataDepth, RightsChange};
use super::super::commands::Parse;
use super::super::scan::{Parsed, Scan};
use super::unknown;

fn run(command: Command) -> Parsed<Parse> {
    Ok(Parse::Run(command))
}

/// `getquota` (RFC 9208 §7).
pub fn get_quota(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    run(Command::GetQuota(scan.text()?))
}

/// `getquotaroot`.
pub fn get_quota_root(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    run(Command::GetQuotaRoot(scan.mailbox()?))
}

/// `setquota`.
pub fn set_quota(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    let root = scan.text()?;
    scan.sp()?;
    let limits = scan.list0(|scan| {
        let resource = scan.atom()?;
        scan.sp()?;
        Ok((resource, scan.number64()?))
    })?;
    run(Command::SetQuota(root, limits))
}

/// `getacl` (RFC 4314 §7).
pub fn get_acl(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    run(Command::GetAcl(scan.mailbox()?))
}

/// `myrights`.
pub fn my_rights(scan: &mut Scan) -> Parsed<Parse> {
    scan.sp()?;
    run(Command::MyRights(scan.mailbox()?))
}

fn mailbox_and_identifier(scan: &mut Scan) -> Parsed<(MailboxName, String)> {
    scan.sp()?;
    let mailbox = scan.mailbox()?;
    scan.sp()?;
    Ok((mailbox, scan.text()?))
}

/// `deleteacl`.
pub fn delete_acl(scan: &mut Scan) -> Parsed<Parse> {
    let (mailbox, identifier) = mailbox_and_identifier(scan)?;
    run(Command::DeleteAcl(mailbox, identifier))
}

/// `listrights`.
pub fn list_rights(scan: &mut Scan) -> Parsed<Parse> {
    let (mailbox, identifier) = mailbox_and_identifier(scan)?;
    run(Command::ListRights(mailbox, identifier))
}

/// `setacl`.
pub fn set_acl(scan: &mut Scan) -> Parsed<Parse> {
    let (mailbox, identifier) = mailbox_and_identifier(scan)?;
    scan.sp()?;
    let rights = scan.text()?;
    let (make, rights): (fn(String) -> RightsChange, &str) = match rights.split_at_checked(1) {
        Some(("+", rights)) => (RightsChange::Add, rights),
        Some(("-", rights)) => (RightsChange::Remove, rights),
        _ => (RightsChange::Replace, &rights),
    };
    // RFC 4314 §7: lower-case letters and digits.
    match rights.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        true => run(Command::SetAcl(mailbox, identifier, make(rights.to_string()))),
        false => Err(Refusal::bad("rights are lower-case letters and digits")),
    }
}

/// `entry` (RFC 5464 §3.2): a path without empty components and wildcards.
pub(super) fn entry(scan: &mut Scan) -> Parsed<String> {
    let entry = scan.text()?;
    let is_path = entry.starts_with('/') && !entry.ends_with('/') && !entry.contains("//");
    match is_path && entry.bytes().all(|b| b.is_ascii_graphic() && b != b'*' && b != b'%') {
        true => Ok(entry),
        false => Err(Refusal::bad("not the name of an entry")),
    }
}

/// The mailbox; the empty one is the server.
fn mailbox_or_server(scan: &mut Scan) -> Parsed<Option<MailboxName>> {
    scan.sp()?;
    let mailbox = scan.mailbox()?;
    Ok(Some(mailbox).filter(|mailbox| !mailbox.as_str().is_empty()))
}

/// `getmetadata` (RFC 5464 §5). Its examples have the options behind the mailbox; both are taken.
pub fn get_metadata(scan: &mut Scan) -> Parsed<Parse> {
    let mut get = GetMetadata { mailbox: None, max_size: None, depth: MetadataDepth::Zero, entries: Vec::new() };
    if scan.is_before_list() {
        scan.sp()?;
        scan.list(|scan| option(scan, &mut get))?;
    }
    get.mailbox = mailbox_or_server(scan)?;
    scan.sp()?;
    let mut ahead = scan.clone();
    if ahead.eat(b'(') && ahead.name().is_ok_and(|word| word == "MAXSIZE" || word == "DEPTH") {
        scan.list(|scan| option(scan, &mut get))?;
        scan.sp()?;
    }
    get.entries = match scan.peek() {
        Some(b'(') => scan.list(entry)?,
        _ => vec![entry(scan)?],
    };
    run(Command::GetMetadata(get))
}

fn option(scan: &mut Scan, get: &mut GetMetadata) -> Parsed<()> {
    match scan.atom()?.as_str() {
        "MAXSIZE" => {
            scan.sp()?;
            get.max_size = Some(scan.number()?);
        }
        "DEPTH" => {
            scan.sp()?;
            get.depth = match scan.atom()?.as_str() {
                "0" => MetadataDepth::Zero,
                "1" => MetadataDepth::One,
                "INFINITY" => MetadataDepth::Infinity,
                _ => return unknown("depth"),
            };
        }
        _ => return unknown("option"),
    }
    Ok(())
}

/// `setmetadata`.
pub fn set_metadata(scan: &mut Scan) -> Parsed<Parse> {
    let mailbox = mailbox_or_server(scan)?;
    scan.sp()?;
    let values = scan.list(|scan| {
        let entry = entry(scan)?;
        scan.sp()?;
        let value = match scan.is_at_literal() {
            true => Some(scan.literal()?.0.to_vec()),
            false => scan.nstring()?.map(|value| value.into_owned()),
        };
        Ok((entry, value))
    })?;
    run(Command::SetMetadata(mailbox, values))
}

/// `genurlauth` (RFC 4467 §9).
pub fn gen_url_auth(scan: &mut Scan) -> Parsed<Parse> {
    let urls = scan.rest(|scan| {
        let url = scan.text()?;
        scan.sp()?;
        Ok((url, scan.atom()?))
    })?;
    run(Command::GenUrlAuth(urls))
}

/// `urlfetch`.
pub fn url_fetch(scan: &mut Scan) -> Parsed<Parse> {
    run(Command::UrlFetch(scan.rest(Scan::text)?))
}

/// `resetkey`.
pub fn reset_key(scan: &mut Scan) -> Parsed<Parse> {
    let mut mailbox = None;
    let mut mechanisms = Vec::new();
    if !scan.is_end() {
        scan.sp()?;
        mailbox = Some(scan.mailbox()?);
        if !scan.is_end() {
            mechanisms = scan.rest(Scan::atom)?;
        }
    }
    run(Command::ResetKey(mailbox, mechanisms))
}
