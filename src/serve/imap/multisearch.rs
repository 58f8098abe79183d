//! ESEARCH: one search through several mailboxes (RFC 7377).

use super::find::{self, Wanted};
use super::names;
use super::selected::Selected;
use super::{ImapService, Run, Trouble};
use crate::clock::Timestamp;
use crate::mailbox::UidSet;
use crate::proto::imap::response::Esearch;
use crate::proto::imap::{Enabled, MailboxName, Outcome, Returns, Search, Source};
use crate::store::{FolderError, INBOX, Listed, SEPARATOR, TreeError};

impl ImapService {
    pub(super) fn search_all(&mut self, search: &Search, tag: &str, now: Timestamp, out: &mut Vec<u8>) -> Run {
        let updates = search.returns.as_ref().is_some_and(|returns| returns.update.is_some());
        if updates && self.selected.as_ref().is_none_or(|selected| selected.has_context(tag)) {
            // RFC 7377 §2.2, RFC 5267 §4.3.
            return Ok(super::not_now("no mailbox is selected, or the tag is in use"));
        }
        for name in self.sources(&search.sources)? {
            let searched = match self.selected.as_ref().is_some_and(|selected| selected.name == name) {
                true => self.search_one(search, tag, now, out),
                false => self.search_other(&name, search, tag, now, out),
            };
            match searched {
                // A mailbox that is not there, or not any more, has no messages.
                // Nor has one that may not be read (RFC 7377 §3).
                Err(
                    Trouble::NoPerm
                    | Trouble::Tree(TreeError::Missing | TreeError::BadName | TreeError::Folder(FolderError::Gone)),
                ) if !self.is_selected(&name) => {}
                other => other?,
            }
        }
        Ok(Outcome::ok("searched"))
    }

    fn is_selected(&self, name: &MailboxName) -> bool {
        self.selected.as_ref().is_some_and(|selected| selected.name == *name)
    }

    fn search_one(&mut self, search: &Search, tag: &str, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Trouble> {
        let enabled = self.enabled;
        let selected = self.selected()?;
        // What is learnt of the mailbox on the way stands before the result.
        let mut lines = Vec::new();
        let searched = search_in(selected, search, tag, now, enabled, (out, &mut lines));
        out.append(&mut lines);
        if searched.is_err() && search.returns.as_ref().is_some_and(|returns| returns.save) {
            selected.saved = UidSet::default();
        }
        searched
    }

    fn search_other(
        &mut self,
        name: &MailboxName,
        search: &Search,
        tag: &str,
        now: Timestamp,
        out: &mut Vec<u8>,
    ) -> Result<(), Trouble> {
        // Nobody has selected this mailbox: what changes in it is nobody's business.
        search_in(&mut self.examine(name)?, search, tag, now, self.enabled, (&mut Vec::new(), out))
    }

    /// The mailboxes that are meant, each once (RFC 5465 §6, RFC 7377 §2.2).
    fn sources(&self, sources: &[Source]) -> Result<Vec<MailboxName>, Trouble> {
        let rows = self.rows(&["*".to_string()])?;
        let mut chosen: Vec<String> = Vec::new();
        let mut names_of_others = Vec::new();
        let mut choose = |is_meant: &dyn Fn(&Listed) -> bool| {
            chosen.extend(rows.iter().filter(|row| row.exists && is_meant(row)).map(|row| row.name.clone()));
        };
        for source in sources {
            match source {
                Source::Selected | Source::SelectedDelayed => {
                    let selected = self.selected.as_ref().map(|selected| selected.name.as_str());
                    choose(&|row| Some(row.name.as_str()) == selected);
                }
                Source::Inboxes => choose(&|row| row.name == INBOX),
                Source::Personal => choose(&|row| !names::is_reserved(&row.name)),
                Source::Subscribed => choose(&|row| row.is_subscribed),
                Source::Subtree(tops) => {
                    let tops = self.spelled(tops)?;
                    choose(&|row| tops.iter().any(|top| depth(&row.name, top).is_some()));
                }
                Source::SubtreeOne(tops) => {
                    let tops = self.spelled(tops)?;
                    choose(&|row| tops.iter().any(|top| depth(&row.name, top).is_some_and(|depth| depth <= 1)));
                }
                // RFC 7377 §3: what is named need not be listed; the right to read is asked for when it is opened.
                Source::Mailboxes(those) => {
                    let those = self.spelled(those)?;
                    choose(&|row| those.contains(&row.name));
                    let others = those.into_iter().filter(|name| names::is_reserved(name));
                    names_of_others.extend(others);
                }
            }
        }
        chosen.extend(names_of_others);
        chosen.sort_unstable();
        chosen.dedup();
        Ok(chosen.iter().filter_map(|name| MailboxName::new(name)).collect())
    }
}

impl ImapService {
    /// These names in their one spelling.
    fn spelled(&self, given: &[MailboxName]) -> Result<Vec<String>, Trouble> {
        given.iter().map(|name| Ok(self.canonical(name)?.as_str().to_string())).collect()
    }
}

/// How many levels a name stands below another one; `None` when it does not.
pub(super) fn depth(name: &str, top: &str) -> Option<usize> {
    let rest = name.strip_prefix(top)?;
    (rest.is_empty() || rest.starts_with(SEPARATOR)).then(|| rest.matches(SEPARATOR).count())
}

/// Searches one mailbox; what changes in it goes to the first output, the result to the second.
fn search_in(
    selected: &mut Selected,
    search: &Search,
    tag: &str,
    now: Timestamp,
    enabled: Enabled,
    (changes, lines): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(), Trouble> {
    let wanted = Wanted { key: &search.key, charset: search.charset.as_deref(), now, is_limited: false };
    let all = Returns { all: true, ..Returns::default() };
    let returns = search.returns.as_ref().unwrap_or(&all);
    let found = find::matches(selected, wanted, returns.relevancy, enabled, changes)?;
    // RFC 7377 §2.1: a mailbox without matches is not told, not even as COUNT 0.
    if !found.numbers.is_empty() {
        let name = selected.name.clone();
        let mailbox = Some((&name, selected.view.snapshot().uid_validity));
        let line = Esearch { tag, mailbox, is_uid: true, ..Esearch::default() };
        find::tell(selected, line, &found, returns, search.key.has_modseq(), enabled, lines);
    }
    find::keep(selected, &found.numbers, returns);
    if returns.update.is_some() {
        let context = find::context(selected, search, tag, now, &found, true);
        selected.keep_up(context, lines);
    }
    Ok(())
}
