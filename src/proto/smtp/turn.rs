//! On-demand mail relay: ATRN turns the connection round, and the server becomes the client (RFC 2645).
//!
//! The machine carries octets then: what the other side says goes to the service, which has the client's conversation, and what that
//! says goes out. One piece at a time in either direction: back-pressure holds as for everything else.

use super::ask::Ask;
use super::config::Kind;
use super::server::{Mode, SmtpSession, Wait};
use crate::addr::normal_domain;
use crate::status::{Enhanced, Reply};

/// What a port for on-demand relay knows (RFC 2645 §5.4).
pub(super) const VERBS: &[&str] = &["HELO", "EHLO", "STARTTLS", "AUTH", "ATRN", "NOOP", "RSET", "HELP", "QUIT"];
/// Most domains in one command.
const DOMAINS_LIMIT: usize = 100;

/// What the client's conversation has to say now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// To be sent.
    pub bytes: Vec<u8>,
    /// What comes then.
    pub then: Then,
}

/// How a turned connection goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// There is more to send: ask again, with nothing heard.
    Ask,
    /// The other side has to speak.
    Hear,
    /// It is over.
    End,
}

impl SmtpSession {
    pub(super) fn atrn(&mut self, argument: &str) {
        if self.config.kind != Kind::Odmr {
            return self.refuse_with(502, (5, 5, 1), "ATRN is not offered here");
        }
        if self.user.is_none() {
            // RFC 2645 §5.2.1.
            return self.refuse_with(530, (5, 7, 0), "Authentication required");
        }
        let names = argument.split(',').map(str::trim).filter(|_| !argument.is_empty());
        match names.map(normal_domain).collect::<Result<Vec<String>, _>>() {
            Ok(domains) if domains.len() <= DOMAINS_LIMIT => self.ask(Ask::Turn(domains), Wait::Turn),
            _ => self.refuse_with(501, (5, 5, 4), "Usage: ATRN [domain[,domain ...]]"),
        }
    }

    pub(super) fn turn_answered(&mut self, verdict: Result<(), Reply>) {
        match verdict {
            Ok(()) => {
                self.say(250, (2, 0, 0), "Ok, now reversing the connection");
                self.mode = Mode::Turned;
            }
            Err(reply) => self.refuse(&reply),
        }
    }

    pub(super) fn take_turned(&mut self, bytes: &[u8]) -> usize {
        self.ask(Ask::Heard(bytes.to_vec()), Wait::Turned);
        bytes.len()
    }

    pub(super) fn turned_answered(&mut self, said: Said) {
        self.out.extend_from_slice(&said.bytes);
        match said.then {
            Then::Ask => self.ask(Ask::Heard(Vec::new()), Wait::Turned),
            Then::Hear => {}
            Then::End => self.is_closing = true,
        }
    }

    /// What a command gets that such a port does not know.
    pub(super) fn odmr_only() -> Reply {
        Reply::new(502, Enhanced(5, 5, 1), "This port is for ATRN alone")
    }
}
