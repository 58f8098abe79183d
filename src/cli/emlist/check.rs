//! `emlist check`: mistakes in the files of lists, and what has waited too long.

use super::name;
use crate::addr::Address;
use crate::cli::{Done, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::Mailer;
use crate::lists::{List, ListError, Lists};
use crate::route::Router;
use crate::status::Exit;
use std::sync::Arc;

pub(super) fn run(site: &Arc<Site>, lists: &Lists, list: Option<&str>, sweep: bool) -> Done {
    let names = match list {
        Some(list) => vec![name(site, list)?],
        None => lists.names()?,
    };
    let router = crate::cli::router(site.clone());
    let mut mistakes = Vec::new();
    for name in names {
        match lists.open(&name) {
            Ok(list) => {
                mistakes.extend(of_list(&list, &router)?);
                if sweep {
                    let lock = list.lock()?;
                    list.sweep_questions(&lock, None, Timestamp::now())?;
                }
            }
            Err(error @ ListError::Missing(_)) => return Err(super::of_lists(error)),
            Err(error) => mistakes.push(error.to_string()),
        }
    }
    for mistake in &mistakes {
        say(&format!("{mistake}\n"))?;
    }
    Ok(if mistakes.is_empty() { Exit::Ok } else { Exit::No })
}

fn of_list(list: &List, router: &Router) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    let settings = &list.settings;
    if settings.owners.is_empty() {
        found.push(format!("{}: it has no owners: nobody hears of what comes back", list.name));
    }
    if !router.is_local(list.name.domain()) {
        found.push(format!("{}: {} is not a domain of ours", list.name, list.name.domain()));
    }
    let leads_here = |address: &Address| {
        let routed = router.resolve(address);
        routed.is_ok_and(|ways| ways.iter().any(|way| way.mailer == Mailer::List && way.host == list.name.to_string()))
    };
    if !leads_here(&list.name.address()) {
        found.push(format!("{}: mail for it goes elsewhere: emsend -bv {}", list.name, list.name));
    }
    let members = list.members()?;
    let path = list.etc().join("members");
    for damaged in members.damaged() {
        let line: String = damaged.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        found.push(format!("{}:{}: {}\n {} | {line}", path.display(), damaged.line, damaged.reason, damaged.line));
    }
    for member in members.iter().filter(|member| router.is_local(member.address.domain())) {
        if leads_here(&member.address) {
            found.push(format!("{}: member {} leads back to it", list.name, member.address));
        }
    }
    Ok(found)
}
