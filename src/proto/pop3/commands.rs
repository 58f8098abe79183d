//! The commands: one row each, with the state where it is legal.

use super::server::{Ask, Listed, Listing, Mailbox, Pop3Session, Wait};
use crate::proto::digits;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Authorization,
    Transaction,
    Any,
}

struct Row {
    verb: &'static str,
    state: State,
    act: fn(&mut Pop3Session, &str),
}

const ROWS: &[Row] = &[
    Row { verb: "CAPA", state: State::Any, act: Pop3Session::capa },
    Row { verb: "QUIT", state: State::Any, act: Pop3Session::quit },
    Row { verb: "USER", state: State::Authorization, act: Pop3Session::user },
    Row { verb: "PASS", state: State::Authorization, act: Pop3Session::pass },
    Row { verb: "APOP", state: State::Authorization, act: Pop3Session::apop },
    Row { verb: "AUTH", state: State::Authorization, act: Pop3Session::auth },
    Row { verb: "STLS", state: State::Authorization, act: Pop3Session::stls },
    Row { verb: "UTF8", state: State::Authorization, act: Pop3Session::utf8 },
    Row { verb: "STAT", state: State::Transaction, act: Pop3Session::stat },
    Row { verb: "LIST", state: State::Transaction, act: Pop3Session::list },
    Row { verb: "UIDL", state: State::Transaction, act: Pop3Session::uidl },
    Row { verb: "RETR", state: State::Transaction, act: Pop3Session::retr },
    Row { verb: "TOP", state: State::Transaction, act: Pop3Session::top },
    Row { verb: "DELE", state: State::Transaction, act: Pop3Session::dele },
    Row { verb: "RSET", state: State::Transaction, act: Pop3Session::rset },
    Row { verb: "NOOP", state: State::Transaction, act: Pop3Session::noop },
    Row { verb: "LAST", state: State::Transaction, act: Pop3Session::last },
];

/// Runs one command line.
pub(super) fn run(session: &mut Pop3Session, line: &[u8]) {
    let Ok(text) = std::str::from_utf8(line) else { return session.bad("the command is not UTF-8") };
    if text.contains('\0') {
        return session.bad("control characters in the command");
    }
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let Some(row) = ROWS.iter().find(|row| row.verb.eq_ignore_ascii_case(verb)) else {
        return session.bad("unknown command");
    };
    match (row.state, session.mailbox.is_some()) {
        (State::Authorization, true) => session.bad("you are logged in"),
        (State::Transaction, false) => session.bad("log in first"),
        _ => (row.act)(session, argument),
    }
}

impl Pop3Session {
    /// RFC 2449 §5, and what later documents added.
    fn capa(&mut self, _argument: &str) {
        let mut lines = vec!["TOP".to_string(), "UIDL".into(), "RESP-CODES".into(), "AUTH-RESP-CODE".into()];
        lines.push("PIPELINING".into());
        lines.push("EXPIRE NEVER".into());
        lines.push("UTF8 USER".into());
        if self.config.login_delay > 0 {
            lines.push(format!("LOGIN-DELAY {}", self.config.login_delay));
        }
        if self.mailbox.is_none() {
            if self.may_send_password() {
                lines.push("USER".into());
            }
            let names: Vec<&str> = self.offered().iter().map(|m| m.name()).collect();
            if !names.is_empty() {
                lines.push(format!("SASL {}", names.join(" ")));
            }
            if self.config.stls && self.tls.is_none() {
                lines.push("STLS".into());
            }
        }
        lines.push("IMPLEMENTATION ExpressMail".into());
        self.ok("capabilities follow");
        for line in lines {
            self.out.extend_from_slice(line.as_bytes());
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(b".\r\n");
    }

    fn quit(&mut self, _argument: &str) {
        match self.mailbox.take() {
            // RFC 1939 §6: the only way into the update state.
            Some(mailbox) => {
                let doomed = (0..mailbox.count).filter(|n| mailbox.is_deleted(*n)).collect();
                self.ask(Ask::Update(doomed), Wait::Update);
            }
            None => {
                self.ok("bye");
                self.is_closing = true;
            }
        }
    }

    fn utf8(&mut self, _argument: &str) {
        // RFC 6856 §2.1.
        self.utf8 = true;
        self.ok("UTF-8");
    }

    fn stls(&mut self, _argument: &str) {
        if self.tls.is_some() {
            return self.bad("TLS is on");
        }
        if !self.config.stls {
            return self.bad("STLS is not offered");
        }
        self.ok("begin TLS");
        self.starts_tls = true;
    }

    fn stat(&mut self, _argument: &str) {
        // Deleted messages count no more; their sizes are only known to the listing.
        match &self.mailbox {
            Some(mailbox) if mailbox.deleted_count == 0 => {
                let text = format!("{} {}", mailbox.count, mailbox.octets);
                self.ok(&text);
            }
            _ => self.ask(Ask::List(Listing::Sizes), Wait::Listing { only: Some(u32::MAX), unique_ids: false }),
        }
    }

    fn list(&mut self, argument: &str) {
        self.listing(argument, false);
    }

    fn uidl(&mut self, argument: &str) {
        self.listing(argument, true);
    }

    fn listing(&mut self, argument: &str, unique_ids: bool) {
        let only = match argument.trim() {
            "" => None,
            number => match self.number(number) {
                Some(number) => Some(number),
                None => return,
            },
        };
        let which = if unique_ids { Listing::UniqueIds } else { Listing::Sizes };
        self.ask(Ask::List(which), Wait::Listing { only, unique_ids });
    }

    pub(super) fn list_answered(&mut self, only: Option<u32>, unique_ids: bool, list: &[Listed]) {
        let Some(mailbox) = self.mailbox.take() else { return };
        let line = |number: u32, entry: &Listed| match unique_ids {
            true => format!("{} {}", number + 1, entry.unique_id),
            false => format!("{} {}", number + 1, entry.size),
        };
        let kept = || (0..).zip(list).filter(|(n, _)| !mailbox.is_deleted(*n));
        match only {
            Some(u32::MAX) => {
                let octets: u64 = kept().map(|(_, e)| e.size).sum();
                self.ok(&format!("{} {octets}", kept().count()));
            }
            Some(number) => match list.get(number as usize) {
                Some(entry) => self.ok(&line(number, entry)),
                None => self.err("[SYS/TEMP] the list is gone"),
            },
            None => {
                self.ok(&format!("{} messages", kept().count()));
                for (number, entry) in kept() {
                    self.out.extend_from_slice(line(number, entry).as_bytes());
                    self.out.extend_from_slice(b"\r\n");
                }
                self.out.extend_from_slice(b".\r\n");
            }
        }
        self.mailbox = Some(mailbox);
    }

    /// Reads a message number and answers when it is none, gives it from 0.
    fn number(&mut self, text: &str) -> Option<u32> {
        let mailbox: &Mailbox = self.mailbox.as_ref()?;
        let number = digits::<u32>(text).filter(|n| (1..=mailbox.count).contains(n)).map(|n| n - 1);
        match number {
            Some(number) if mailbox.is_deleted(number) => {
                self.err("that message is deleted");
                None
            }
            Some(number) => Some(number),
            None => {
                self.bad("no such message");
                None
            }
        }
    }

    fn retr(&mut self, argument: &str) {
        if let Some(number) = self.number(argument.trim()) {
            self.send(number, None);
        }
    }

    fn top(&mut self, argument: &str) {
        let mut words = argument.split_whitespace();
        let (Some(number), Some(Some(lines)), None) = (words.next(), words.next().map(digits), words.next()) else {
            return self.bad("usage: TOP message lines");
        };
        if let Some(number) = self.number(number) {
            self.send(number, Some(lines));
        }
    }

    fn dele(&mut self, argument: &str) {
        if let (Some(number), Some(mailbox)) = (self.number(argument.trim()), &mut self.mailbox) {
            mailbox.delete(number);
            mailbox.last = mailbox.last.max(number + 1);
            self.ok("deleted");
        }
    }

    fn rset(&mut self, _argument: &str) {
        if let Some(mailbox) = &mut self.mailbox {
            mailbox.deleted = Vec::new();
            mailbox.deleted_count = 0;
            mailbox.last = 0;
        }
        self.ok("reset");
    }

    fn noop(&mut self, _argument: &str) {
        self.ok("");
    }

    /// RFC 1460's LAST: the highest message number seen.
    fn last(&mut self, _argument: &str) {
        let last = self.mailbox.as_ref().map_or(0, |m| m.last);
        self.ok(&last.to_string());
    }
}
