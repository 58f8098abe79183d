//! What a script can ask of the world around it.

use super::Script;
use super::fault::SieveError;
use super::outcome::Seen;
use super::spam::SpamRules;
use crate::clock::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Where an included script lies (RFC 6609 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Location {
    /// Beside the user's own.
    Personal,
    /// The site's.
    Global,
}

/// An included script, or why there is none.
#[derive(Debug, Clone)]
pub enum Included {
    /// Here it is.
    Script(Arc<Script>),
    /// There is none of this name.
    Missing,
    /// It has an error of its own.
    Broken(SieveError),
}

/// The world of one run.
pub trait Environment {
    /// The time; it stands still during a run.
    fn now(&self) -> Timestamp;

    /// Processor time used by the run so far.
    fn elapsed(&self) -> Duration;

    /// A fact about the place where the script runs (RFC 5183 §4.1), by its name in lower case.
    fn item(&self, name: &str) -> Option<String>;

    /// True when the mailbox exists and mail can be filed there (RFC 5490 §3.1).
    fn has_mailbox(&mut self, name: &str) -> bool;

    /// True when a mailbox has this object id (RFC 9042 §4).
    fn has_mailbox_id(&mut self, id: &str) -> bool;

    /// True when this mailbox, or any, has this use (RFC 8579 §3).
    fn has_special_use(&mut self, mailbox: Option<&str>, flag: &str) -> bool;

    /// A script to include.
    fn included(&mut self, location: Location, name: &str) -> Included;

    /// True when a message of this identity has come before (RFC 7352 §3).
    fn was_seen(&mut self, seen: &Seen) -> bool;

    /// How the site's spam and virus filters mark messages.
    fn spam_rules(&self) -> &SpamRules;

    /// A command or test of the conformance suite; the answer is a test's.
    #[cfg(test)]
    fn suite(
        &mut self,
        _: &super::tests::vocabulary::Call,
        _: &mut super::run::Run<'_>,
        _: &mut super::MessageView<'_>,
    ) -> bool {
        false
    }

    /// The values that such a test compares with its keys.
    #[cfg(test)]
    fn suite_values(
        &mut self,
        _: &super::tests::vocabulary::Call,
        _: &mut super::run::Run<'_>,
        _: &mut super::MessageView<'_>,
    ) -> Vec<String> {
        Vec::new()
    }
}
