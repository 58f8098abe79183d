//! What a script of an account can ask of the world.

use super::Filters;
use crate::clock::{Timestamp, thread_time};
use crate::log;
use crate::settings::Sieve as Settings;
use crate::sieve::{Environment, Form, Included, Location, Seen, SpamRules, Verdict};
use crate::store::{Memory, Remembered, Scripts, Tree};
use std::io;
use std::path::Path;
use std::time::Duration;

/// A run's surroundings.
pub(super) struct AccountWorld<'a> {
    filters: &'a Filters,
    home: &'a Path,
    now: Timestamp,
    /// Processor time when it began.
    started: Duration,
}

impl<'a> AccountWorld<'a> {
    pub(super) fn new(filters: &'a Filters, home: &'a Path, now: Timestamp) -> AccountWorld<'a> {
        AccountWorld { filters, home, now, started: thread_time() }
    }

    fn tree(&self) -> Option<Tree> {
        Tree::existing(self.filters.registry.clone(), self.home)
    }
}

impl Environment for AccountWorld<'_> {
    fn now(&self) -> Timestamp {
        self.now
    }

    fn elapsed(&self) -> Duration {
        thread_time().saturating_sub(self.started)
    }

    /// RFC 5183 §4.1
    fn item(&self, name: &str) -> Option<String> {
        let site = &self.filters.site;
        match name {
            "domain" => Some(site.default_domain()),
            "host" => Some(site.hostname()),
            "location" => Some("MDA".to_string()),
            "phase" => Some("during".to_string()),
            "name" => Some("ExpressMail".to_string()),
            "version" => Some(env!("CARGO_PKG_VERSION").to_string()),
            _ => None,
        }
    }

    fn has_mailbox(&mut self, name: &str) -> bool {
        Tree::normal(name) == crate::store::INBOX || self.tree().is_some_and(|tree| tree.exists(name).unwrap_or(false))
    }

    fn has_mailbox_id(&mut self, id: &str) -> bool {
        self.tree().is_some_and(|tree| by_id(&tree, id).is_some())
    }

    fn has_special_use(&mut self, mailbox: Option<&str>, flag: &str) -> bool {
        let Some(tree) = self.tree() else { return false };
        let wanted = mailbox.map(Tree::normal);
        let listed = tree.list().unwrap_or_default();
        let has_use = |use_: &Option<String>| use_.as_deref().is_some_and(|own| own.eq_ignore_ascii_case(flag));
        listed.iter().any(|l| l.exists && wanted.as_ref().is_none_or(|name| *name == l.name) && has_use(&l.special_use))
    }

    /// The site's scripts lie in etc/sieve, under the same names.
    fn included(&mut self, location: Location, name: &str) -> Included {
        let scripts = match location {
            Location::Personal => Scripts::of(self.home),
            Location::Global => Scripts::of(&self.filters.site.root.etc),
        };
        let path = scripts.path(name);
        match self.filters.load(&scripts, &path) {
            Ok((_, Ok(script))) => Included::Script(script),
            Ok((_, Err(error))) => Included::Broken(error),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Included::Missing,
            Err(e) => {
                log::event("script-not-obeyed").field("file", path.display()).field("reason", e).error().write();
                Included::Missing
            }
        }
    }

    fn was_seen(&mut self, seen: &Seen) -> bool {
        // Without the file, a message too many is the lesser harm.
        Remembered::of(self.home).holds(Memory::Seen, &seen_key(seen), self.now).unwrap_or(false)
    }

    fn spam_rules(&self) -> &SpamRules {
        &self.filters.spam
    }
}

/// The key of a message in the memory of the duplicate test.
pub(super) fn seen_key(seen: &Seen) -> String {
    format!("{}\n{}", seen.handle, seen.id)
}

/// The name of the mailbox with this object id.
pub(super) fn by_id(tree: &Tree, id: &str) -> Option<String> {
    let listed = tree.list().ok()?;
    let has_id = |name: &str| tree.folder(name).and_then(|folder| Ok(folder.mailbox_id()?)).is_ok_and(|own| own == id);
    listed.into_iter().find(|l| l.exists && has_id(&l.name)).map(|l| l.name)
}

/// How the site's filters mark messages, by its settings.
pub(super) fn spam_rules(settings: &Settings) -> SpamRules {
    let verdict = |field: &str, pattern: &str, form: Form| {
        if field.is_empty() {
            return None;
        }
        // `config` has checked that it is an expression.
        let pattern = Some(pattern).filter(|p| !p.is_empty()).and_then(|p| regex::Regex::new(p).ok());
        Some(Verdict { field: field.to_string(), pattern, form })
    };
    let most = f64::from(settings.spam_most);
    SpamRules {
        spam: verdict(&settings.spam_field, &settings.spam_pattern, Form::Score { most }),
        virus: verdict(&settings.virus_field, &settings.virus_pattern, Form::Found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_settings_say_how_marks_read() {
        let settings = Settings {
            spam_field: "X-Spam-Status".into(),
            spam_pattern: "score=(-?[0-9.]+)".into(),
            spam_most: 10,
            ..Settings::default()
        };
        let rules = spam_rules(&settings);
        assert!(rules.spam.is_some() && rules.virus.is_none());
    }
}
