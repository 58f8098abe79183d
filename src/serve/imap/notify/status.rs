//! What a client knows of a mailbox that it has not selected, and which STATUS response tells it more (RFC 5465 §5.1–5.3).

use super::Events;
use crate::mailbox::{ModSeq, Snapshot, Uid, UidSet, UidValidity};
use crate::proto::imap::response::StatusValue;
use crate::proto::imap::{Enabled, Extension};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Known {
    uid_validity: UidValidity,
    uid_next: Uid,
    messages: u32,
    unseen: u32,
    modseq: ModSeq,
}

impl Known {
    pub(super) fn of(snapshot: &Snapshot) -> Known {
        Known {
            uid_validity: snapshot.uid_validity,
            uid_next: snapshot.uid_next,
            messages: snapshot.len(),
            unseen: snapshot.unseen(),
            modseq: snapshot.highest_modseq,
        }
    }

    /// True of a mailbox that never had a message.
    pub(super) fn is_fresh(&self) -> bool {
        self.messages == 0 && self.uid_next.number() == 1
    }

    /// True when a mailbox differs from this by the addition of these messages only (identifiers).
    pub(super) fn differs_by(&self, snapshot: &Snapshot, added: &UidSet) -> bool {
        let new = snapshot.entries.iter().rev().take_while(|entry| entry.uid >= self.uid_next);
        let (count, is_ours) =
            new.fold((0, true), |(count, ours), e| (count + 1, ours && added.contains(e.uid.number())));
        let old = snapshot.entries.iter().filter(|entry| entry.uid < self.uid_next);
        self.uid_validity == snapshot.uid_validity
            && is_ours
            && u64::from(snapshot.len()) == u64::from(self.messages) + count
            && old.into_iter().all(|entry| entry.modseq <= self.modseq)
    }

    /// All that these events are about.
    pub(super) fn all(&self, events: Events, enabled: Enabled) -> Vec<StatusValue> {
        let mut values = vec![
            StatusValue::Messages(self.messages),
            StatusValue::UidNext(self.uid_next),
            StatusValue::UidValidity(self.uid_validity),
        ];
        if events.has(Events::FLAGS) {
            values.push(StatusValue::Unseen(self.unseen));
        }
        // RFC 5465 §3.1: with FlagChange also without ENABLE.
        if events.has(Events::FLAGS) || enabled.has(Extension::Condstore) {
            values.push(StatusValue::HighestModSeq(self.modseq));
        }
        values
    }

    /// What a client must be told that knew `before`; empty for nothing.
    pub(super) fn since(&self, before: Option<&Known>, events: Events, enabled: Enabled) -> Vec<StatusValue> {
        let has_modseq = enabled.has(Extension::Condstore);
        let Some(before) = before.filter(|before| before.uid_validity == self.uid_validity) else {
            // Never told of it, or another mailbox under the old name.
            return if before.is_none() && self.is_fresh() { Vec::new() } else { self.all(events, enabled) };
        };
        let tells_flags = events.has(Events::FLAGS);
        let mut values = Vec::new();
        if (self.messages, self.uid_next) != (before.messages, before.uid_next) {
            values.extend([StatusValue::UidNext(self.uid_next), StatusValue::Messages(self.messages)]);
        }
        let has_unseen_changed = tells_flags && self.unseen != before.unseen;
        let have_flags_changed = tells_flags && has_modseq && self.modseq != before.modseq;
        if has_unseen_changed || have_flags_changed {
            values.push(StatusValue::UidValidity(self.uid_validity));
        }
        if has_unseen_changed {
            values.push(StatusValue::Unseen(self.unseen));
        }
        if has_modseq && !values.is_empty() {
            values.push(StatusValue::HighestModSeq(self.modseq));
        }
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::imap::MailboxName;
    use crate::proto::imap::response;

    fn known(uid_validity: u32, uid_next: u32, messages: u32, unseen: u32, modseq: u64) -> Known {
        Known {
            uid_validity: UidValidity::new(uid_validity).unwrap(),
            uid_next: Uid::new(uid_next).unwrap(),
            messages,
            unseen,
            modseq: ModSeq::new(modseq).unwrap(),
        }
    }

    #[test]
    fn a_status_says_what_is_new() {
        let base = known(9, 5, 4, 2, 7);
        let flags = Events::MESSAGES.with(Events::FLAGS);
        for (before, now, events, plain, condstore) in [
            (Some(base), base, flags, "", ""),
            (None, known(9, 1, 0, 0, 1), flags, "", ""),
            (
                None,
                base,
                Events::MESSAGES,
                "MESSAGES 4 UIDNEXT 5 UIDVALIDITY 9",
                "MESSAGES 4 UIDNEXT 5 UIDVALIDITY 9 HIGHESTMODSEQ 7",
            ),
            (
                Some(base),
                known(9, 6, 5, 3, 8),
                Events::MESSAGES,
                "UIDNEXT 6 MESSAGES 5",
                "UIDNEXT 6 MESSAGES 5 HIGHESTMODSEQ 8",
            ),
            (
                Some(base),
                known(9, 5, 3, 2, 8),
                flags,
                "UIDNEXT 5 MESSAGES 3",
                "UIDNEXT 5 MESSAGES 3 UIDVALIDITY 9 HIGHESTMODSEQ 8",
            ),
            // Arrived and gone again.
            (
                Some(base),
                known(9, 6, 4, 2, 8),
                Events::MESSAGES,
                "UIDNEXT 6 MESSAGES 4",
                "UIDNEXT 6 MESSAGES 4 HIGHESTMODSEQ 8",
            ),
            (
                Some(base),
                known(9, 5, 4, 1, 8),
                flags,
                "UIDVALIDITY 9 UNSEEN 1",
                "UIDVALIDITY 9 UNSEEN 1 HIGHESTMODSEQ 8",
            ),
            (Some(base), known(9, 5, 4, 2, 8), flags, "", "UIDVALIDITY 9 HIGHESTMODSEQ 8"),
            (Some(base), known(9, 5, 4, 1, 8), Events::MESSAGES, "", ""),
            (
                Some(base),
                known(10, 5, 4, 2, 7),
                Events::MESSAGES,
                "MESSAGES 4 UIDNEXT 5 UIDVALIDITY 10",
                "MESSAGES 4 UIDNEXT 5 UIDVALIDITY 10 HIGHESTMODSEQ 7",
            ),
        ] {
            for (enabled, expected) in [(Enabled::NONE, plain), (Enabled::NONE.with(Extension::Qresync), condstore)] {
                let values = now.since(before.as_ref(), events, enabled);
                let mut out = Vec::new();
                response::status(&mut out, &MailboxName::new("a").unwrap(), &values, enabled);
                assert_eq!(String::from_utf8(out).unwrap(), format!("* STATUS \"a\" ({expected})\r\n"));
            }
        }
    }
}
