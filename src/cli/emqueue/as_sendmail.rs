//! What emqueue does for an emsend that works from a sendmail.cf: one message delivered while its caller waits, told in sendmail's
//! words; and a file appended to by a process that has its owner's rights and no others.

use super::super::{Done, Ended, say};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::deliver::{Sysexit, append_file};
use crate::envelope::Recipient;
use crate::spool::{Id, Outcome, Progress, Spool};
use crate::status::Exit;
use nix::unistd::{getgid, getgroups, getuid};
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Tries these messages; the exit code is that of the first permanent failure.
pub(super) fn run(site: &Arc<Site>, ids: &[Id], prints_all: bool) -> Done {
    let gate = Arc::new(crate::cli::gate(site.clone()));
    let domain = site.default_domain();
    let exit = Arc::new(Mutex::new(Exit::Ok));
    let shared = exit.clone();
    let told = move |recipient: &Recipient, outcome: &Outcome| {
        let address = shown(&recipient.original, &domain);
        let is_permanent = outcome.enhanced.0 == 5;
        if prints_all {
            let text: String = outcome.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            let mailer = recipient.delivery.by.split(':').next().unwrap_or_default();
            let _ = say(&format!("{address}... Connecting to {mailer}...\n{address}... {text}\n"));
        }
        let mut exit = shared.lock().unwrap_or_else(PoisonError::into_inner);
        if *exit == Exit::Ok && is_permanent {
            *exit = Sysexit::of_outcome(outcome.enhanced, &outcome.text);
        }
    };
    let holds = site.settings.cf.as_ref().is_some_and(|cf| cf.holds_expensive);
    let runner = super::runner(gate).telling(Box::new(told)).holding_expensive(holds).holding_on_demand(true);
    for id in ids {
        runner.run(id, Timestamp::now)?;
    }
    // What is told of them does not wait for a run of the queue.
    let spool = &runner.gate().spool;
    let is_report = |id: &Id| match spool.peek(id) {
        Ok(Some((envelope, progress))) => envelope.sender.is_none() && progress.attempts == 0,
        _ => false,
    };
    let last = ids.iter().max();
    for id in spool.scan()?.iter().filter(|id| Some(*id) > last && is_report(id)) {
        runner.run(id, Timestamp::now)?;
    }
    let exit = *exit.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(exit)
}

/// What a run of the queue that nobody has narrowed looks at: what was tried too short a time ago is left alone (MinQueueAge), and so is
/// what is too much (MaxQueueRunSize).
pub(super) fn in_a_run(site: &Site, spool: &Spool, mut ids: Vec<Id>, now: Timestamp) -> Vec<Id> {
    let Some(cf) = &site.settings.cf else { return ids };
    if !cf.least_age.is_zero() {
        let is_young =
            |id: &Id| spool.peek(id).is_ok_and(|found| found.is_some_and(|(_, p)| tried(&p, now, cf.least_age)));
        ids.retain(|id| !is_young(id));
    }
    if cf.run_size > 0 {
        ids.truncate(cf.run_size);
    }
    ids
}

/// True when a message was tried within this time.
fn tried(progress: &Progress, now: Timestamp, span: Duration) -> bool {
    let last = progress.states.iter().filter(|state| state.last.is_some()).map(|state| state.when).max();
    progress.attempts > 0 && last.is_some_and(|last| now.since(last) < span)
}

/// restrictmailq: the queue is shown to its owner and its group alone.
pub(super) fn may_see_queue(site: &Site) -> Result<(), Ended> {
    check_restriction(site, "restrictmailq", true, "You are not permitted to see the queue")
}

/// restrictqrun: the queue is run by its owner alone.
pub(super) fn may_run_queue(site: &Site) -> Result<(), Ended> {
    check_restriction(site, "restrictqrun", false, "You do not have permission to process the queue")
}

/// Refuses a caller whom a word of PrivacyOptions keeps from the queue: neither root nor its owner, nor, where that counts, of its group.
fn check_restriction(site: &Site, word: &str, is_for_group: bool, refusal: &str) -> Result<(), Ended> {
    let is_restricted = site.settings.cf.as_ref().is_some_and(|cf| cf.is_private(word));
    let caller = getuid();
    if !is_restricted || caller.is_root() {
        return Ok(());
    }
    let dir = std::fs::metadata(&site.root.spool)?;
    let groups = getgroups().unwrap_or_default();
    let is_of_group = || groups.iter().chain([&getgid()]).any(|group| group.as_raw() == dir.gid());
    match caller.as_raw() == dir.uid() || (is_for_group && is_of_group()) {
        true => Ok(()),
        false => Err(Ended::new(Exit::NoPerm, refusal)),
    }
}

fn shown(address: &Address, domain: &str) -> String {
    if address.domain() == domain { address.local().to_string() } else { address.to_string() }
}

/// Appends standard input to a file.
pub(super) fn append(from: &str, file: &Path) -> Done {
    let sender = Address::parse(from).ok();
    if let Err(e) = crate::fsx::open_append(file, 0o600)
        && matches!(e.kind(), ErrorKind::PermissionDenied | ErrorKind::NotFound)
    {
        return Err(Ended::new(Exit::CantCreat, ""));
    }
    match append_file(file, sender.as_ref(), &mut std::io::stdin().lock(), Timestamp::now()) {
        Ok(_) => Ok(Exit::Ok),
        Err(failure) if failure.is_temporary() => Err(Ended::new(Exit::TempFail, failure.to_string())),
        Err(_) => Err(Ended::new(Exit::CantCreat, "")),
    }
}
