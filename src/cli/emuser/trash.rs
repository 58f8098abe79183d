//! `emuser trash`, `undelete` and `purge`: expunged mail is counted, comes back, or goes for good.

use super::owner::{owner, tree};
use super::share::ownerless_trees;
use super::{damaged, of_store};
use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::log;
use crate::mailbox::{System, Uid};
use crate::msg::{HEADER_LIMIT, all_fields, header_end, words::decode_text};
use crate::status::Exit;
use crate::store::{Folder, INBOX, Realm, SEPARATOR, Trash, Trashed, Tree, TreeError};
use crate::users::{Accounts, Users};
use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, clap::Args)]
pub(super) struct Undelete {
    /// user@domain, shared[:domain] or public[:domain]
    user: String,
    /// Only what was in this mailbox, by its name as mail clients show it
    #[arg(long, value_name = "MAILBOX")]
    folder: Option<String>,
    /// Only what was expunged within this time, such as 2d
    #[arg(long, value_name = "SPAN", value_parser = humantime::parse_duration)]
    since: Option<Duration>,
    /// Only the message with this Message-ID
    #[arg(long, value_name = "ID")]
    message: Option<String>,
    /// Say what would come back, and leave it where it is
    #[arg(long)]
    dry_run: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    /// user@domain, shared[:domain] or public[:domain]
    #[arg(required_unless_present = "all")]
    user: Option<String>,
    /// All accounts, and what no account owns
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// Say how many messages would be removed, and remove none
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Show {
    /// user@domain, shared[:domain] or public[:domain]
    #[arg(required_unless_present = "all")]
    user: Option<String>,
    /// All accounts, and what no account owns
    #[arg(long, conflicts_with = "user")]
    all: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

/// What of a message's header is shown.
struct Title {
    message_id: String,
    subject: String,
}

pub(super) fn undelete(site: &Site, users: &Users, wanted: &Undelete) -> Done {
    let realm = owner(&wanted.user, site, users)?;
    let tree = tree(site, &realm)?;
    let trash = Trash::of(tree.home());
    let from = wanted.since.map(|span| {
        let span = i64::try_from(span.as_micros()).unwrap_or(i64::MAX);
        Timestamp(Timestamp::now().0.saturating_sub(span))
    });
    let mut count = 0;
    for message in trash.list()? {
        let name = mailbox_of(&message);
        let is_there = |folder: &String| normal(folder) == name;
        if from.is_some_and(|from| message.when < from) || wanted.folder.as_ref().is_some_and(|f| !is_there(f)) {
            continue;
        }
        let title = title(&trash, &message);
        if wanted.message.as_ref().is_some_and(|id| bare(id) != bare(&title.message_id)) {
            continue;
        }
        let uid = match wanted.dry_run {
            true => None,
            false => match restore(&trash, &message, &tree, &name).map_err(|e| of_store(&e))? {
                Some(uid) => Some(uid),
                // Somebody else was faster.
                None => continue,
            },
        };
        count += 1;
        if !wanted.dry_run {
            let event = log::event("undeleted").field("user", &realm).field("folder", &name);
            event.maybe("uid", uid).field("message-id", &title.message_id).write();
        }
        say(&match wanted.json {
            true => format!("{}\n", to_json(&message, &name, uid, &title)),
            false => to_text(&message, &name, uid, &title),
        })?;
    }
    if count == 0 {
        return Err(Ended::new(Exit::No, format!("nothing like that in the trash of {realm}")));
    }
    Ok(Exit::Ok)
}

/// The mailbox that a message was in. One whose folder had no name that clients could see goes to INBOX.
fn mailbox_of(message: &Trashed) -> String {
    Tree::name_of(&message.folder).unwrap_or_else(|| INBOX.to_string())
}

fn normal(folder: &str) -> &str {
    let folder = folder.strip_suffix(SEPARATOR).unwrap_or(folder);
    if folder.eq_ignore_ascii_case(INBOX) { INBOX } else { folder }
}

fn restore(trash: &Trash, message: &Trashed, tree: &Tree, name: &str) -> Result<Option<Uid>, TreeError> {
    Ok(trash.restore(message, &*mailbox(tree, name)?)?)
}

/// The mailbox; made anew when it was deleted.
fn mailbox(tree: &Tree, name: &str) -> Result<Arc<Folder>, TreeError> {
    match tree.folder(name) {
        Err(TreeError::Missing) => match tree.create(name, None) {
            Ok(()) | Err(TreeError::Exists) => tree.folder(name),
            Err(e) => Err(e),
        },
        other => other,
    }
}

/// A message that can't be read has no title, and comes back all the same.
fn title(trash: &Trash, message: &Trashed) -> Title {
    let mut text = Vec::new();
    if let Ok(file) = trash.text(message) {
        let _ = file.take(HEADER_LIMIT as u64).read_to_end(&mut text);
    }
    let header = &text[..header_end(&text).unwrap_or(text.len())];
    let field = |name: &str| all_fields(header).find(|field| field.is(name));
    let message_id = field("Message-ID").map(|f| f.value().trim().to_string()).unwrap_or_default();
    let subject = field("Subject").map(|f| decode_text(f.body()).trim().to_string()).unwrap_or_default();
    Title { message_id, subject }
}

fn bare(message_id: &str) -> &str {
    let id = message_id.trim();
    id.strip_prefix('<').and_then(|id| id.strip_suffix('>')).unwrap_or(id)
}

fn flags(message: &Trashed) -> Vec<String> {
    // Deleted is what it comes back from.
    let kept = System::ALL.into_iter().filter(|f| *f != System::Deleted && message.system & *f as u8 != 0);
    kept.map(|flag| flag.name().to_string()).chain(message.keywords.iter().cloned()).collect()
}

fn to_text(message: &Trashed, name: &str, uid: Option<Uid>, title: &Title) -> String {
    let uid = uid.map_or_else(|| "-".to_string(), |uid| uid.to_string());
    let flags = flags(message).join(" ");
    let line = format!("{name} {uid} {} ({flags}) {} {}", message.when.short(), title.message_id, title.subject);
    // What a peer wrote stays one line, and moves no cursor.
    let line: String = line.trim_end().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    line + "\n"
}

fn to_json(message: &Trashed, name: &str, uid: Option<Uid>, title: &Title) -> serde_json::Value {
    serde_json::json!({
        "folder": name,
        "uid": uid.map(Uid::number),
        "old_uid": message.uid.number(),
        "expunged": message.when.rfc3339(),
        "flags": flags(message),
        "message_id": title.message_id,
        "subject": title.subject,
    })
}

/// Those of one owner, or all that there are.
fn realms(user: Option<&str>, site: &Site, users: &Users) -> Result<Vec<Realm>, Ended> {
    match user {
        Some(user) => Ok(vec![owner(user, site, users)?]),
        None => {
            let accounts = Accounts::of(site).list().map_err(damaged)?.0.into_iter();
            Ok(accounts.map(|account| Realm::Account(account.address)).chain(ownerless_trees(site)).collect())
        }
    }
}

pub(super) fn show(site: &Site, users: &Users, wanted: &Show) -> Done {
    for realm in realms(wanted.user.as_deref(), site, users)? {
        let trash = Trash::of(&realm.home(&site.root.mail));
        let (messages, mut octets) = (trash.list()?, 0);
        let Some(oldest) = messages.first().map(|message| message.when) else { continue };
        for message in &messages {
            // One that was brought back a moment ago has no size any more.
            octets += trash.text(message).and_then(|file| file.metadata()).map_or(0, |metadata| metadata.len());
        }
        let count = messages.len();
        say(&match wanted.json {
            true => {
                let (owner, oldest) = (realm.to_string(), oldest.rfc3339());
                let json = serde_json::json!({"owner": owner, "messages": count, "octets": octets, "oldest": oldest});
                format!("{json}\n")
            }
            false => format!("{realm} {count} messages, {octets} octets, since {}\n", oldest.short()),
        })?;
    }
    Ok(Exit::Ok)
}

pub(super) fn purge(site: &Site, users: &Users, wanted: &Purge) -> Done {
    let realms = realms(wanted.user.as_deref(), site, users)?;
    let (mut count, mut exit) = (0, Exit::Ok);
    for realm in &realms {
        match purge_one(site, realm, wanted.dry_run) {
            Ok(purged) => count += purged,
            // One account's trouble keeps nobody else's trash.
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "emuser: {realm}: {e}");
                exit = Ended::from(e).exit;
            }
        }
    }
    let what = if wanted.dry_run { "would be removed" } else { "removed" };
    if count > 0 {
        say(&format!("{count} messages {what} for good\n"))?;
    }
    if wanted.all {
        let gone = super::delete::purge_due(site, wanted.dry_run)?;
        if gone > 0 {
            say(&format!("{gone} deleted accounts {what} for good\n"))?;
        }
    }
    Ok(exit)
}

fn purge_one(site: &Site, realm: &Realm, dry_run: bool) -> std::io::Result<u64> {
    let home = realm.home(&site.root.mail);
    if dry_run {
        return Trash::of(&home).purgeable(Timestamp::now(), site.settings.imap.trash);
    }
    let count = Trash::of(&home).purge(Timestamp::now(), site.settings.imap.trash)?;
    if count > 0 {
        log::event("trash-purged").field("user", realm).field("messages", count).write();
    }
    Ok(count)
}
