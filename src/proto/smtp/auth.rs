//! AUTH (RFC 4954): SASL's steps as SMTP replies.

use super::ask::Ask;
use super::config::Kind;
use super::server::{Mode, SmtpSession, Wait};
use crate::sasl::{Dialog, Found, Mechanism, Step};
use crate::status::{Enhanced, Reply};
use std::time::{Duration, Instant};

impl SmtpSession {
    pub(super) fn auth(&mut self, argument: &str) {
        if self.config.mechanisms.is_empty() || self.config.kind == Kind::Lmtp {
            return self.refuse_with(502, (5, 5, 1), "AUTH is not offered");
        }
        if self.helo.is_none() || !self.is_esmtp {
            return self.refuse_with(503, (5, 5, 1), "Say EHLO first");
        }
        if self.user.is_some() || self.txn.is_some() {
            return self.refuse_with(503, (5, 5, 1), "AUTH is not possible now");
        }
        let (name, initial) = match argument.split_once(' ') {
            Some((name, initial)) => (name, Some(initial.trim())),
            None => (argument, None),
        };
        let offered = self.offered();
        let mechanism = match Mechanism::parse(name) {
            Some(mechanism) if offered.contains(&mechanism) => mechanism,
            // RFC 4954 §4, RFC 5248: strong enough only under TLS.
            Some(known) if self.tls.is_none() && self.config.mechanisms.contains(&known) => {
                return self.refuse_with(538, (5, 7, 11), "Use STARTTLS first");
            }
            _ => return self.refuse_with(504, (5, 5, 4), "Mechanism not offered"),
        };
        self.nonces += 1;
        let nonce = format!("{}.{}", self.context.nonce, self.nonces);
        let plus_offered = offered.contains(&Mechanism::ScramSha256Plus);
        let (dialog, step) =
            Dialog::start(mechanism, initial, &nonce, &self.config.host, &self.channel(), plus_offered);
        self.mode = Mode::Auth(dialog);
        self.auth_step(step);
    }

    pub(super) fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(text) => return self.reply(&Reply::bare(334, text)),
            Step::Look(lookup) => return self.ask(Ask::Look(lookup), Wait::Auth),
            Step::Login(evidence) => {
                self.mode = Mode::Command;
                return self.ask(Ask::Login(evidence), Wait::Auth);
            }
            _ => {}
        }
        self.mode = Mode::Command;
        match step {
            Step::Cancelled => self.refuse_with(501, (5, 7, 0), "Authentication cancelled"),
            Step::Refused => self.refuse_with(535, (5, 7, 8), "You can't act as somebody else"),
            Step::Failed => {
                self.attempts += 1;
                self.refuse_with(535, (5, 7, 8), "Authentication failed");
            }
            _ => self.refuse_with(501, (5, 5, 2), "Malformed authentication data"),
        }
    }

    pub(super) fn auth_found(&mut self, found: Found) {
        if let Mode::Auth(dialog) = &mut self.mode {
            let step = dialog.found(found);
            self.auth_step(step);
        }
    }

    pub(super) fn auth_done(&mut self, now: Instant, result: Result<String, (Duration, Option<Reply>)>) {
        match result {
            Ok(user) => {
                self.user = Some(user);
                self.say(235, (2, 7, 0), "Authentication succeeded");
            }
            Err((pause, reply)) => {
                self.attempts += 1;
                self.errors += 1;
                let reply = reply.unwrap_or_else(|| Reply::new(535, Enhanced(5, 7, 8), "Authentication failed"));
                self.penalty = Some((now + pause, reply));
            }
        }
    }
}
