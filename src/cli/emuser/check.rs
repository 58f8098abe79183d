//! `emuser check-mail`: an account's mailboxes against their files.

use super::of_store;
use super::owner::{owner, tree};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::fsx;
use crate::log;
use crate::msg::digest::Digest;
use crate::status::Exit;
use crate::store::{self, Findings, Trash, Tree, TreeError};
use crate::users::Users;
use std::io::Write;
use std::path::Path;

#[derive(Debug, clap::Args)]
pub(super) struct CheckMail {
    /// user@domain, shared[:domain] or public[:domain]
    user: String,
    /// Forget em-index and em-cache first; they are made anew
    #[arg(long)]
    rebuild: bool,
    /// Read every message: sizes with CRLF and the cached records are compared, too
    #[arg(long)]
    read: bool,
    /// Print JSON, one object for each mailbox
    #[arg(long)]
    json: bool,
}

pub(super) fn check_mail(site: &Site, users: &Users, wanted: &CheckMail) -> Done {
    let realm = owner(&wanted.user, site, users)?;
    let tree = tree(site, &realm)?;
    let (mut exit, mut failed) = (Exit::Ok, None);
    for listed in tree.list().map_err(|e| of_store(&e))?.into_iter().filter(|listed| listed.exists) {
        match check_one(&tree, &listed.name, wanted) {
            Ok(findings) => {
                exit = worse(exit, &findings);
                if findings.has_mended() || findings.has_faults() {
                    let event = log::event("mailbox-checked").field("user", &realm);
                    let event = event.field("folder", &listed.name).field("mended", findings.has_mended());
                    event.field("faults", findings.has_faults()).write();
                }
                say(&match wanted.json {
                    true => format!("{}\n", to_json(&listed.name, &findings)),
                    false => to_text(&listed.name, &findings),
                })?;
            }
            // The other mailboxes are worth a look all the same.
            Err(e) => {
                let ended = of_store(&e);
                let _ = writeln!(std::io::stderr(), "emuser: {}: {}", printable(&listed.name), ended.text);
                failed = failed.or(Some(ended.exit));
            }
        }
    }
    for disk in nameless(tree.home())? {
        let _ = writeln!(std::io::stderr(), "emuser: {}: no client sees this folder: it has no name", printable(&disk));
        exit = Exit::DataErr;
    }
    if check_usage(tree.home())? {
        let _ = writeln!(std::io::stderr(), "emuser: em-usage was wrong: the quota's sums are made anew");
        exit = if exit == Exit::Ok { Exit::No } else { exit };
    }
    if let Some(owner) = realm.owner()
        && tree.mend_shares(owner, &site.root.mail).map_err(|e| of_store(&e))?
    {
        let _ = writeln!(std::io::stderr(), "emuser: others did not find what is shared with them: they do now");
        exit = if exit == Exit::Ok { Exit::No } else { exit };
    }
    let kept = Trash::of(tree.home()).list()?.len();
    if kept > 0 && !wanted.json {
        say(&format!("trash: {kept} messages\n"))?;
    }
    Ok(failed.unwrap_or(exit))
}

fn check_one(tree: &Tree, name: &str, wanted: &CheckMail) -> Result<Findings, TreeError> {
    let folder = tree.folder(name)?;
    if wanted.rebuild {
        folder.drop_caches()?;
    }
    Ok(folder.verify(wanted.read.then_some(Digest::corrected))?)
}

fn worse(exit: Exit, findings: &Findings) -> Exit {
    match (findings.has_faults(), findings.has_mended()) {
        (true, _) => Exit::DataErr,
        (false, true) if exit == Exit::Ok => Exit::No,
        _ => exit,
    }
}

/// Folders that hold mail, though no mailbox can be called so.
fn nameless(home: &Path) -> Result<Vec<String>, Ended> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(home.join("Maildir"))? {
        let entry = entry?;
        let disk = entry.file_name();
        let name = disk.to_str().and_then(Tree::name_of);
        let disk = disk.to_string_lossy().into_owned();
        // Two dots: being made, or being deleted.
        let is_folder = disk.starts_with('.') && !disk.starts_with("..") && entry.path().join("cur").is_dir();
        if is_folder && name.is_none() {
            found.push(disk);
        }
    }
    found.sort_unstable();
    Ok(found)
}

/// True when the sums that the quota goes by were others than a new count.
fn check_usage(home: &Path) -> Result<bool, Ended> {
    let path = home.join("Maildir/em-usage");
    if !path.exists() {
        return Ok(false);
    }
    let known = store::usage(home)?;
    fsx::remove(&path)?;
    Ok(known != store::usage(home)?)
}

pub(super) fn printable(name: &str) -> String {
    name.chars().map(|c| if c.is_control() { '?' } else { c }).collect()
}

fn to_text(name: &str, findings: &Findings) -> String {
    let name = printable(name);
    let mut text = format!("{name}: {} messages, {} octets\n", findings.messages, findings.octets);
    let mut line = |found: bool, what: String| {
        if found {
            text.push_str(&format!("  {what}\n"));
        }
    };
    let Findings { arrived, gone, measured, unsettled, drafts, torn, .. } = findings;
    line(*arrived > 0, format!("{arrived} new"));
    line(*gone > 0, format!("{gone} gone"));
    line(*measured > 0, format!("{measured} measured"));
    line(*unsettled > 0, format!("{unsettled} names show their flags now"));
    line(findings.was_damaged, "mended: the log was damaged; it is kept as em-uids.damaged".to_string());
    let sizes = &findings.wrong_sizes;
    line(!sizes.is_empty(), format!("mended: the log had other sizes than the files: UID {sizes}"));
    let records = &findings.wrong_records;
    line(!records.is_empty(), format!("mended: the cache told of other texts: UID {records}"));
    line(*drafts > 0, format!("mended: {drafts} old drafts removed from tmp"));
    line(
        *torn > 0,
        format!("{torn} deliveries cut short by a stop of the machine, in tmp/*.torn; their senders kept them"),
    );
    let names = &findings.wrong_names;
    line(!names.is_empty(), format!("wrong: names say other sizes than the files have: UID {names}"));
    for (uid, reason) in &findings.unreadable {
        line(true, format!("wrong: UID {uid}: {reason}"));
    }
    text
}

fn to_json(name: &str, findings: &Findings) -> serde_json::Value {
    let unreadable = findings.unreadable.iter();
    serde_json::json!({
        "folder": name,
        "messages": findings.messages,
        "octets": findings.octets,
        "arrived": findings.arrived,
        "gone": findings.gone,
        "measured": findings.measured,
        "unsettled": findings.unsettled,
        "was_damaged": findings.was_damaged,
        "wrong_sizes": findings.wrong_sizes.to_string(),
        "wrong_records": findings.wrong_records.to_string(),
        "drafts": findings.drafts,
        "torn": findings.torn,
        "wrong_names": findings.wrong_names.to_string(),
        "unreadable": unreadable.map(|(uid, e)| serde_json::json!({"uid": uid.number(), "reason": e})).collect::<Vec<_>>(),
    })
}
