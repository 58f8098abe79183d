//! `emlist bounces`: members whose mail comes back. `emlist digest`: sending digests.

use super::{at_desk, name, of_lists};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::list::retrieve;
use crate::lists::{List, Lists};
use crate::log;
use crate::status::Exit;
use std::sync::Arc;

/// Which bounces.
#[derive(Debug, clap::Args)]
pub struct BouncesArguments {
    /// NAME@DOMAIN
    #[arg(required_unless_present = "all")]
    list: Option<String>,
    /// All lists
    #[arg(long, conflicts_with = "list")]
    all: bool,
    /// Send the warnings that are due, and take out members who had all of theirs
    #[arg(long)]
    due: bool,
    /// Forget the score of a member
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["all", "due"])]
    forget: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// Which digests.
#[derive(Debug, clap::Args)]
pub struct DigestArguments {
    /// NAME@DOMAIN
    #[arg(required_unless_present = "all")]
    list: Option<String>,
    /// All lists
    #[arg(long, conflicts_with = "list")]
    all: bool,
    /// Send what waits, whether a digest is due or not
    #[arg(long)]
    now: bool,
}

/// `emlist bounces`
pub fn bounces(site: &Arc<Site>, lists: &Lists, arguments: &BouncesArguments) -> Done {
    each(site, lists, arguments.list.as_deref(), |list| {
        if let Some(address) = &arguments.forget {
            let address = super::address(site, address)?;
            let lock = list.lock()?;
            return Ok(list.forget_bounces(&lock, &address)?);
        }
        if arguments.due {
            let (warned, removed) = at_desk(site, |desk| desk.settle_bounces(list))?;
            return match warned + removed {
                0 => Ok(()),
                _ => say(&format!("{}: {warned} warned, {removed} taken out\n", list.name)),
            };
        }
        show(list, arguments.json)
    })
}

fn show(list: &List, json: bool) -> Result<(), Ended> {
    let mut text = String::new();
    for (address, score) in list.bounces()?.iter() {
        text.push_str(&match json {
            true => {
                let object = serde_json::json!({
                    "list": list.name.to_string(),
                    "member": address.to_string(),
                    "score": f64::from(score.halves) / 2.0,
                    "last": score.at.rfc3339(),
                    "off": score.off.map(|off| off.rfc3339()),
                    "warnings": score.warnings,
                    "lost": score.lost,
                    "said": score.said,
                });
                format!("{object}\n")
            }
            false => {
                let off =
                    if score.off.is_some() { format!(" off, {} warnings,", score.warnings) } else { String::new() };
                let lost = retrieve::numbers(&score.lost);
                let day = score.at.local("%Y-%m-%d");
                format!("{address} {}{off} last {day}, lost {lost}: {}\n", score.points(), score.said)
            }
        });
    }
    say(&text)
}

/// `emlist digest`
pub fn digest(site: &Arc<Site>, lists: &Lists, arguments: &DigestArguments) -> Done {
    each(site, lists, arguments.list.as_deref(), |list| {
        // What was cut for its size goes on at once.
        while let Some(sent) = at_desk(site, |desk| desk.send_digest(list, arguments.now))? {
            say(&format!("{}: #{}, {} posts to {} members\n", list.name, sent.issue, sent.posts, sent.members))?;
            if !sent.is_cut {
                break;
            }
        }
        Ok(())
    })
}

/// Does something with one list, or with all of them: trouble with one then keeps no other waiting.
fn each(site: &Arc<Site>, lists: &Lists, list: Option<&str>, mut act: impl FnMut(&List) -> Result<(), Ended>) -> Done {
    if let Some(list) = list {
        act(&lists.open(&name(site, list)?).map_err(of_lists)?)?;
        return Ok(Exit::Ok);
    }
    let mut trouble = None;
    for name in lists.names()? {
        if let Err(ended) = lists.open(&name).map_err(of_lists).and_then(|list| act(&list)) {
            log::event("list-job-failed").field("list", &name).field("reason", &ended.text).error().write();
            trouble = Some(Ended::new(ended.exit, format!("{name}: {}", ended.text)));
        }
    }
    trouble.map_or(Ok(Exit::Ok), Err)
}
