//! IDLE and NOTIFY: changes are told as they happen (RFC 9051 §6.3.13, RFC 2177, RFC 5465).

use super::ask::{Ask, Refusal};
use super::response;
use super::server::{ImapSession, Mode, Wait};

impl ImapSession {
    pub(super) fn idle_line(&mut self, line: &[u8]) {
        if let Mode::Idle(tag) = std::mem::replace(&mut self.mode, Mode::Command) {
            let is_done = line.eq_ignore_ascii_case(b"DONE");
            self.ask(Ask::IdleEnd, Wait::IdleEnd(tag, is_done));
        }
    }

    pub(super) fn idle_ended(&mut self, tag: &str, is_done: bool) {
        match is_done {
            true => self.ok(tag, "IDLE is over"),
            false => self.refuse(Some(tag), &Refusal::bad("expected DONE")),
        }
    }

    /// Untagged lines came from the service; `wait` says for what.
    pub(super) fn untagged(&mut self, bytes: &[u8], is_more: bool, wait: Wait) {
        if let Wait::IdleStart(tag) = wait {
            response::continuation(&mut self.out, "idling");
            self.mode = Mode::Idle(tag);
            self.out.extend_from_slice(bytes);
            return if is_more {
                self.ask(Ask::Changes, Wait::Changes)
            };
        }
        self.out.extend_from_slice(bytes);
        match wait {
            wait if is_more => self.ask(Ask::Changes, wait),
            Wait::IdleEnd(tag, is_done) => self.idle_ended(&tag, is_done),
            _ => {}
        }
    }

    /// True when changes may be told now, without a command that asks for them.
    pub(super) fn may_tell(&self) -> bool {
        !self.is_busy()
            && match self.mode {
                Mode::Idle(_) => true,
                Mode::Command => self.is_notifying && self.current.is_none() && !self.lines.is_inside_line(),
                _ => false,
            }
    }
}
