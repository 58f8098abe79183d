//! IDLE and NOTIFY: changes are told as they happen (RFC 9051 §6.3.13, RFC 2177, RFC 5465).

use super::ask::{Ask, Refusal};
use super::current::Current;
use super::frame::{self, Tail};
use super::response::{self, Code};
use super::server::{ImapSession, Mode, Wait};

impl ImapSession {
    pub(super) fn idle_line(&mut self, line: &[u8]) {
        let Mode::Idle(tag) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let is_done = line.eq_ignore_ascii_case(b"DONE");
        let mut tag = Some(tag);
        // Somebody who forgets DONE may go on with a command, and with its literals.
        match frame::split(line).1 {
            Tail::Literal(announced) if !announced.is_sync => {
                let current = Current { tag: tag.take(), refused: Some(expected_done()), ..Current::default() };
                self.drop_literal(Box::new(current), announced);
            }
            Tail::Nonsense { is_sync: false } => self.bye(Some(&Code::TooBig), "the literal is too large"),
            _ => {}
        }
        if !self.is_closing {
            self.ask(Ask::IdleEnd, Wait::IdleEnd(tag, is_done));
        }
    }

    pub(super) fn idle_ended(&mut self, tag: Option<&str>, is_done: bool) {
        match tag {
            Some(tag) if is_done => self.ok(tag, "IDLE is over"),
            Some(tag) => self.refuse(Some(tag), &expected_done()),
            None => {}
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
            Wait::IdleEnd(tag, is_done) => self.idle_ended(tag.as_deref(), is_done),
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

fn expected_done() -> Refusal {
    Refusal::bad("expected DONE")
}
