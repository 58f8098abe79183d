//! MESSAGELIMIT and SAVELIMIT: at most so many messages for one command (RFC 9738).
//!
//! Under MESSAGELIMIT a FETCH, STORE, MOVE or UID EXPUNGE of more takes the newest ones, from the newest down, and says where it stopped; a
//! SEARCH looks at no more, whatever it finds. COPY and APPEND are done whole or not at all, so a longer one is refused; under SAVELIMIT
//! that is all. EXPUNGE, CLOSE and STATUS know no limit (RFC 9738 §3.1), nor does SORT, for which everything is in the cache, nor a search
//! through several mailboxes; THREAD is refused in a larger mailbox (RFC 9738 §3.3).

use super::selected::Selected;
use super::{ImapDesk, Trouble};
use crate::mailbox::{System, UidSet};
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Outcome, PartialRange};
use crate::store::FolderError;

/// The limits of a site; `None` where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct MessageLimits {
    /// For every command.
    every: Option<u32>,
    /// For COPY and APPEND.
    save: Option<u32>,
}

impl MessageLimits {
    pub(super) fn of(desk: &ImapDesk) -> MessageLimits {
        let imap = &desk.site.settings.imap;
        let some = |limit: u32| Some(limit).filter(|limit| *limit > 0);
        let every = some(imap.message_limit);
        MessageLimits { every, save: every.or(some(imap.save_limit)) }
    }

    /// What is announced: one of the two (RFC 9738 §3).
    pub(super) fn capability(self) -> Option<String> {
        match self {
            MessageLimits { every: Some(limit), .. } => Some(format!("MESSAGELIMIT={limit}")),
            MessageLimits { save: Some(limit), .. } => Some(format!("SAVELIMIT={limit}")),
            _ => None,
        }
    }

    /// Refuses an APPEND of so many messages.
    pub(super) fn check_append(self, count: u32) -> Result<(), Outcome> {
        match self.save {
            Some(limit) if count > limit => Err(refused(limit, None, "too many messages to append at once")),
            _ => Ok(()),
        }
    }

    /// Refuses a FETCH of so wide a part.
    pub(super) fn check_partial(self, range: PartialRange) -> Result<(), Outcome> {
        match self.every {
            Some(limit) if range.from.abs_diff(range.to) >= limit => Err(refused(limit, None, "too many messages")),
            _ => Ok(()),
        }
    }
}

fn refused(limit: u32, uid: Option<crate::mailbox::Uid>, text: &str) -> Outcome {
    Outcome::no(Some(Code::MessageLimit(limit, uid)), text)
}

impl Selected {
    /// The newest of these messages (sequence numbers), as many as one command may handle; and what the client is told when that is not all.
    pub(super) fn limited(&self, numbers: UidSet) -> (UidSet, Option<Code>) {
        self.newest(numbers, self.limits.every)
    }

    fn newest(&self, numbers: UidSet, limit: Option<u32>) -> (UidSet, Option<Code>) {
        let Some(limit) = limit.filter(|limit| numbers.len() > u64::from(*limit)) else { return (numbers, None) };
        let mut missing = u64::from(limit);
        let mut kept = Vec::new();
        for (from, to) in numbers.ranges().iter().rev() {
            let here = u64::from(to - from + 1).min(missing);
            if here == 0 {
                break;
            }
            // It is not larger than the range.
            kept.push((to - here as u32 + 1, *to));
            missing -= here;
        }
        let kept = UidSet::from_ranges(kept);
        let lowest = kept.ranges().first().and_then(|(from, _)| self.view.snapshot().at(*from)).map(|entry| entry.uid);
        (kept, Some(Code::MessageLimit(limit, lowest)))
    }

    /// Refuses a COPY of so many messages.
    pub(super) fn check_copy(&self, numbers: &UidSet) -> Result<(), Trouble> {
        match self.newest(numbers.clone(), self.limits.save) {
            (_, Some(code)) => Err(Trouble::Told(Outcome::no(Some(code), "too many messages to copy at once"))),
            _ => Ok(()),
        }
    }

    /// Refuses to thread a mailbox that is too large.
    pub(super) fn check_thread(&self) -> Result<(), Trouble> {
        match self.limits.every {
            Some(limit) if self.view.snapshot().len() > limit => {
                Err(Trouble::Told(refused(limit, None, "the mailbox has too many messages for this")))
            }
            _ => Ok(()),
        }
    }

    /// The newest of these messages that are `\Deleted` now, as many as UID EXPUNGE may remove.
    pub(super) fn limited_deleted(&self, numbers: UidSet) -> Result<(UidSet, Option<Code>), FolderError> {
        if self.limits.every.is_none_or(|limit| numbers.len() <= u64::from(limit)) {
            return Ok((numbers, None));
        }
        let latest = self.folder.refresh()?;
        let snapshot = self.view.snapshot();
        let is_deleted = |number: &u32| {
            let entry = snapshot.at(*number).and_then(|entry| latest.find(entry.uid));
            entry.is_some_and(|entry| entry.flags.has(System::Deleted))
        };
        Ok(self.limited(numbers.iter().filter(is_deleted).collect()))
    }
}

/// An outcome that also says where the command stopped. Where another code stands already, RFC 9738 §3.1 wants an untagged NO.
pub(super) fn told(outcome: Outcome, limit: Option<Code>, out: &mut Vec<u8>) -> Outcome {
    match (limit, &outcome.code) {
        (None, _) => outcome,
        (Some(limit), None) => outcome.with_code(limit),
        (Some(limit), Some(_)) => {
            response::untagged(out, Status::No, Some(&limit), "the rest is left for another command");
            outcome
        }
    }
}
