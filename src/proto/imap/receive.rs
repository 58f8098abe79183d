//! Lines and literals become commands (RFC 9051 §4.3, RFC 7888).

use super::ask::{Ask, Refusal};
use super::auth::privacy_required;
use super::commands::{Reader, State};
use super::current::Current;
use super::frame::{self, Announced, Tail};
use super::response::{self, Code};
use super::scan::Parsed;
use super::server::{ImapSession, LINE_BEFORE_LOGIN, Mode, Phase, Wait};
use crate::line::LineEvent;

/// Largest non-synchronising literal under LITERAL- (RFC 7888 §5).
const LITERAL_MINUS: u64 = 4096;

impl ImapSession {
    pub(super) fn take_line(&mut self, bytes: &[u8]) -> usize {
        let line_limit = self.config.limits.line;
        let is_before_login = self.phase == Phase::NotAuthenticated;
        self.lines.limit(if is_before_login { line_limit.min(LINE_BEFORE_LOGIN) } else { line_limit });
        let (taken, event) = self.lines.feed(bytes);
        let line = match event {
            LineEvent::More => return taken,
            // Its end is lost, and with it whether a literal follows: nothing behind it can be trusted to be a command.
            LineEvent::TooLong => {
                self.bye(None, "a line is too long");
                return taken;
            }
            // A line that ends with LF alone is one too: people type commands.
            LineEvent::Line(line, _) => line.to_vec(),
        };
        match &self.mode {
            Mode::Auth(..) => self.auth_line(&line),
            Mode::Idle(_) => self.idle_line(&line),
            _ => self.command_line(&line),
        }
        taken
    }

    /// Takes a line of a command: the first, or one behind a literal.
    fn command_line(&mut self, line: &[u8]) {
        let (mut text, tail) = frame::split(line);
        if self.config.tolerates_spaces && tail == Tail::End {
            let spaces = text.iter().rev().take_while(|b| **b == b' ').count();
            text = &text[..text.len() - spaces];
        }
        let is_first = self.current.is_none();
        let mut current = self.current.take().unwrap_or_default();
        if current.refused.is_none() {
            current.push_text(text, self.command_limit() + self.config.limits.line);
        }
        if is_first && current.refused.is_none() {
            current.begin(&self.config, self.enabled, |state| self.is_legal(state));
            let is_login = current.row.is_some_and(|row| row.verb == "LOGIN");
            if is_login && !self.may_send_password() {
                // Before the password is sent, where that is still possible.
                current.refuse(privacy_required());
            }
        }
        if memchr::memchr(0, text).is_some() {
            current.refuse(Refusal::bad("NUL in a command"));
        }
        let is_append = matches!(current.row.map(|row| row.reader), Some(Reader::Append(_)));
        match tail {
            Tail::Nonsense { is_sync: false } => self.bye(Some(&Code::TooBig), "the literal is too large"),
            Tail::Nonsense { is_sync: true } => {
                current.refuse(Refusal::bad("the literal is too large").with_code(Code::TooBig));
                self.report(&current);
            }
            tail if is_append && current.refused.is_none() => self.append_line(current, &tail),
            Tail::Literal(announced) => self.take_literal(current, announced),
            Tail::End if current.refused.is_some() => self.report(&current),
            Tail::End => self.run(current),
        }
    }

    fn is_legal(&self, state: State) -> Result<(), Refusal> {
        match (state, self.phase) {
            (State::Authenticated | State::Selected, Phase::NotAuthenticated) => Err(Refusal::bad("log in first")),
            (State::NotAuthenticated, Phase::Authenticated | Phase::Selected) => Err(Refusal::bad("you are logged in")),
            (State::Selected, Phase::Authenticated) => Err(Refusal::bad("no mailbox is selected")),
            _ => Ok(()),
        }
    }

    fn command_limit(&self) -> usize {
        match self.phase {
            Phase::NotAuthenticated => self.config.limits.literal_before_login,
            _ => self.config.limits.command,
        }
    }

    /// RFC 7888 §5.
    pub(super) fn check_non_sync(&self, announced: Announced) -> Parsed<()> {
        let is_limited = !announced.is_sync && !self.config.offers("LITERAL+");
        match is_limited && announced.size > LITERAL_MINUS {
            true => Err(Refusal::bad("the literal has to wait for us").with_code(Code::TooBig)),
            false => Ok(()),
        }
    }

    /// A literal that is an argument was announced.
    pub(super) fn take_literal(&mut self, mut current: Box<Current>, announced: Announced) {
        let room = self.command_limit().saturating_sub(current.size);
        if let Err(refusal) = self.check_non_sync(announced) {
            current.refuse(refusal);
        } else if announced.size > room as u64 {
            if self.phase == Phase::NotAuthenticated && !announced.is_sync {
                return self.bye(Some(&Code::TooBig), "the literal is too large");
            }
            current.refuse(Refusal::bad("the literal is too large").with_code(Code::TooBig));
        }
        if current.refused.is_some() {
            return self.drop_literal(current, announced);
        }
        current.push_literal(announced.is_binary);
        self.current = Some(current);
        if announced.is_sync {
            response::continuation(&mut self.out, "send the literal");
        }
        if announced.size > 0 {
            self.mode = Mode::Literal(announced.size);
        }
    }

    /// A literal of a refused command: one that waits for us will not come, another is read and dropped.
    pub(super) fn drop_literal(&mut self, current: Box<Current>, announced: Announced) {
        if announced.is_sync {
            return self.report(&current);
        }
        if announced.size > self.config.limits.swallow {
            // RFC 7888 §4.
            return self.bye(Some(&Code::TooBig), "the literal is too large");
        }
        self.current = Some(current);
        self.skip(announced.size);
    }

    pub(super) fn skip(&mut self, octets: u64) {
        self.mode = if octets > 0 { Mode::Skip(octets) } else { Mode::Command };
    }

    /// The refused command is over.
    pub(super) fn report(&mut self, current: &Current) {
        if let Some(refusal) = &current.refused {
            self.refuse(current.tag.as_deref(), refusal);
        }
        if !self.is_closing && current.append.as_ref().is_some_and(|append| append.is_open) {
            self.ask(Ask::AppendAbort, Wait::Abort);
        }
    }
}
