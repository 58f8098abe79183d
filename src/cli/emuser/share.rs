//! `emuser acl` and `emuser share`: who may do what with whose mailboxes, and the mailboxes that no account owns.

use super::owner::{self, mailbox, owner};
use super::{check::printable, of_store};
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::log;
use crate::mailbox::{AclChange, Identifier, Rights, Subject};
use crate::status::Exit;
use crate::store::{AclError, INBOX, Realm, Tree};
use crate::users::Users;

#[derive(Debug, clap::Subcommand)]
pub(super) enum AclAction {
    /// Show who has which rights
    Show {
        /// user@domain, shared[:domain] or public[:domain]
        owner: String,
        /// The mailbox, as its owner calls it
        mailbox: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give or take rights
    Set {
        /// user@domain, shared[:domain] or public[:domain]
        owner: String,
        /// The mailbox, as its owner calls it
        mailbox: String,
        /// An account, or anyone; with a dash before it, what it shall not have
        #[arg(allow_hyphen_values = true)]
        who: String,
        /// Letters of lrswipkxtea; with + or - before them, besides or without those it has
        #[arg(allow_hyphen_values = true)]
        rights: String,
    },
    /// Take all rights
    Delete {
        /// user@domain, shared[:domain] or public[:domain]
        owner: String,
        /// The mailbox, as its owner calls it
        mailbox: String,
        /// An account, or anyone
        #[arg(allow_hyphen_values = true)]
        who: String,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum ShareAction {
    /// Make a mailbox that no account owns
    Create {
        /// shared[:domain] or public[:domain]
        tree: String,
        /// The mailbox
        mailbox: String,
    },
    /// Delete such a mailbox
    Delete {
        /// shared[:domain] or public[:domain]
        tree: String,
        /// The mailbox
        mailbox: String,
        /// Delete its messages, too
        #[arg(long)]
        force: bool,
    },
    /// List such mailboxes
    List {
        /// Only these: shared[:domain] or public[:domain]
        tree: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
}

pub(super) fn acl(site: &Site, users: &Users, action: &AclAction) -> Done {
    match action {
        AclAction::Show { owner: text, mailbox: name, json } => {
            let realm = owner(text, site, users)?;
            let name = mailbox(&realm, name)?;
            let entries = entries(&realm, &owner::tree(site, &realm)?, &name)?;
            say(&match json {
                true => format!("{}\n", to_json(&realm, &name, &entries)),
                false => entries.iter().map(|(who, rights)| format!("{who} {rights}\n")).collect(),
            })?;
        }
        AclAction::Set { owner, mailbox, who, rights } => {
            let (make, letters): (fn(Rights) -> AclChange, &str) = match rights.split_at_checked(1) {
                Some(("+", letters)) => (AclChange::Add, letters),
                Some(("-", letters)) => (AclChange::Remove, letters),
                _ => (AclChange::Replace, rights),
            };
            let wrong = || Ended::new(Exit::Usage, format!("{rights:?}: rights are letters of lrswipkxtea"));
            change(site, users, (owner, mailbox, who), make(Rights::parse(letters).ok_or_else(wrong)?))?;
        }
        AclAction::Delete { owner, mailbox, who } => {
            change(site, users, (owner, mailbox, who), AclChange::Replace(Rights::NONE))?;
        }
    }
    Ok(Exit::Ok)
}

fn change(site: &Site, users: &Users, (text, name, who): (&str, &str, &str), change: AclChange) -> Result<(), Ended> {
    let realm = owner(text, site, users)?;
    let name = mailbox(&realm, name)?;
    let subject = Subject::parse(who, realm.domain());
    let subject = subject.ok_or_else(|| Ended::new(Exit::Usage, format!("{who:?} is no account, and not anyone")))?;
    if let Identifier::Account(address) = &subject.identifier {
        if realm.owner() == Some(address) {
            return Err(Ended::new(Exit::Usage, "the owner has all rights, always"));
        }
        // Rights of an account that is gone can be taken away.
        let is_given = change != AclChange::Replace(Rights::NONE);
        if is_given && users.lookup(address).map_err(super::damaged)?.is_none() {
            return Err(super::no_such(address));
        }
    }
    let tree = owner::tree(site, &realm)?;
    tree.change_acl(&realm, &site.root.mail, &name, &subject, change).map_err(|e| match e {
        AclError::Tree(error) => of_store(&error),
        error => Ended::new(Exit::DataErr, error.to_string()),
    })?;
    let rights = tree.acl(&name).map_err(|e| of_store(&e))?;
    let rights = rights.and_then(|acl| acl.entries().find(|(of, _)| **of == subject).map(|(_, rights)| rights));
    let event = log::event("acl-changed").field("owner", &realm).field("folder", &name).field("who", &subject);
    event.field("rights", rights.unwrap_or_default()).write();
    Ok(())
}

/// Identifiers and their rights, the owner's first.
fn entries(realm: &Realm, tree: &Tree, name: &str) -> Result<Vec<(String, String)>, Ended> {
    let acl = tree.acl(name).map_err(|e| of_store(&e))?;
    let default = realm.default_acl();
    let owner = realm.owner().map(|owner| (owner.to_string(), Rights::ALL.to_string()));
    let others = acl.as_deref().unwrap_or(&default).entries();
    Ok(owner.into_iter().chain(others.map(|(who, rights)| (who.to_string(), rights.to_string()))).collect())
}

fn to_json(realm: &Realm, name: &str, entries: &[(String, String)]) -> serde_json::Value {
    let rights: serde_json::Map<_, _> =
        entries.iter().map(|(who, rights)| (who.clone(), rights.as_str().into())).collect();
    serde_json::json!({"owner": realm.to_string(), "folder": name, "rights": rights})
}

pub(super) fn share(site: &Site, users: &Users, action: &ShareAction) -> Done {
    match action {
        ShareAction::Create { tree, mailbox: name } => {
            let realm = ownerless(tree, site, users)?;
            let name = mailbox(&realm, name)?;
            owner::open(site, &realm)?.create(&name, None).map_err(|e| match e {
                crate::store::TreeError::Exists => {
                    Ended::new(Exit::CantCreat, format!("{realm} {name} exists already"))
                }
                error => of_store(&error),
            })?;
            log::event("share-created").field("owner", &realm).field("folder", &name).write();
        }
        ShareAction::Delete { tree, mailbox: name, force } => {
            let realm = ownerless(tree, site, users)?;
            let name = mailbox(&realm, name)?;
            let tree = owner::tree(site, &realm)?;
            let folder = tree.folder(&name).map_err(|e| of_store(&e))?;
            let count = folder.refresh().map_err(|e| of_store(&e.into()))?.len();
            if count > 0 && !force {
                return Err(Ended::new(Exit::DataErr, format!("it holds {count} messages; --force deletes them, too")));
            }
            drop(folder);
            tree.delete(&name).map_err(|e| of_store(&e))?;
            log::event("share-deleted").field("owner", &realm).field("folder", &name).field("messages", count).write();
        }
        ShareAction::List { tree, json } => {
            let realms = match tree {
                Some(text) => vec![ownerless(text, site, users)?],
                None => ownerless_trees(site),
            };
            for realm in realms {
                let Ok(tree) = owner::tree(site, &realm) else { continue };
                let rows = tree.list().map_err(|e| of_store(&e))?;
                for row in rows.iter().filter(|row| row.exists && row.name != INBOX) {
                    say(&match json {
                        true => format!("{}\n", to_json(&realm, &row.name, &entries(&realm, &tree, &row.name)?)),
                        false => format!("{realm} {}\n", printable(&row.name)),
                    })?;
                }
            }
        }
    }
    Ok(Exit::Ok)
}

fn ownerless(text: &str, site: &Site, users: &Users) -> Result<Realm, Ended> {
    match text.split(':').next() {
        Some("shared" | "public") => owner(text, site, users),
        _ => Err(Ended::new(Exit::Usage, format!("{text:?} is neither shared[:domain] nor public[:domain]"))),
    }
}

/// The trees that the domains may have.
pub(super) fn ownerless_trees(site: &Site) -> Vec<Realm> {
    let domains = site.settings.server.domains.iter();
    domains.flat_map(|domain| [Realm::Shared(domain.clone()), Realm::Public(domain.clone())]).collect()
}
