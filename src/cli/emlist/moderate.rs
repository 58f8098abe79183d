//! `emlist moderate`: posts that wait for a decision.

use super::at_desk;
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::list::Decided;
use crate::lists::List;
use crate::lists::pending::Action;
use crate::spool::Id;
use crate::status::Exit;
use std::sync::Arc;

#[derive(Debug, clap::Subcommand)]
pub(super) enum ModerateAction {
    /// List the posts that wait
    List {
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a post as it came
    Show {
        /// Its id
        id: String,
    },
    /// Let posts pass
    Approve {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Send posts back to their authors
    Reject {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Drop posts
    Discard {
        /// Their ids
        #[arg(required = true)]
        ids: Vec<String>,
    },
}

pub(super) fn run(site: &Arc<Site>, list: &List, action: &ModerateAction) -> Done {
    match action {
        ModerateAction::List { json } => {
            let mut text = String::new();
            for id in list.held_ids()? {
                let Some((held, message)) = list.held(&id)? else { continue };
                let author = held.author.as_ref().map_or(String::new(), |author| author.to_string());
                text.push_str(&match json {
                    true => {
                        let object = serde_json::json!({
                            "id": id.as_str(),
                            "at": held.at.rfc3339(),
                            "author": author,
                            "subject": held.subject,
                            "reason": held.reason,
                            "size": message.len(),
                        });
                        format!("{object}\n")
                    }
                    false => {
                        let line = format!("{id} {} {author} {:?} ({})", held.at.short(), held.subject, held.reason);
                        format!("{}\n", line.replace(char::is_control, " "))
                    }
                });
            }
            say(&text)?;
            Ok(Exit::Ok)
        }
        ModerateAction::Show { id } => {
            let (_, message) = list.held(&parse(id)?)?.ok_or_else(|| gone(id))?;
            say(&String::from_utf8_lossy(&message))?;
            Ok(Exit::Ok)
        }
        ModerateAction::Approve { ids } => decide(site, list, ids, Action::Pass),
        ModerateAction::Reject { ids } => decide(site, list, ids, Action::Reject),
        ModerateAction::Discard { ids } => decide(site, list, ids, Action::Drop),
    }
}

fn decide(site: &Arc<Site>, list: &List, ids: &[String], action: Action) -> Done {
    for text in ids {
        let id = parse(text)?;
        match at_desk(site, |desk| desk.decide(list, &id, action))? {
            Decided::Done(how) => say(&format!("{id}: {how}\n"))?,
            Decided::Gone => return Err(gone(text)),
        }
    }
    Ok(Exit::Ok)
}

fn parse(text: &str) -> Result<Id, Ended> {
    Id::parse(text).ok_or_else(|| Ended::new(Exit::Usage, format!("{text:?} is no id")))
}

fn gone(id: &str) -> Ended {
    Ended::new(Exit::NoInput, format!("no post {id} waits"))
}
