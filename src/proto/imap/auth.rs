//! LOGIN, AUTHENTICATE, CAPABILITY: who the client is, and what that changes (RFC 9051 §6.2, RFC 4959, RFC 5530).

use super::ask::{Ask, Denial, Refusal};
use super::response::{self, Code, Status};
use super::server::{ImapSession, Mode, Phase, Wait};
use crate::sasl::{Channel, Dialog, Evidence, Found, Mechanism, Step};
use std::time::Instant;

impl ImapSession {
    pub(super) fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.context.plaintext_allowed
    }

    fn channel(&self) -> Channel<'_> {
        Channel {
            exporter: self.tls.as_ref().and_then(|tls| tls.exporter.as_deref()),
            client_names: self.tls.as_ref().map_or(&[], |tls| &tls.client_names),
            may_send_password: self.may_send_password(),
            has_secrets: self.context.has_secrets,
            has_nonce: !self.context.nonce.is_empty(),
        }
    }

    fn mechanisms(&self) -> Vec<Mechanism> {
        self.channel().offered(&self.config.mechanisms)
    }

    /// What is offered as the connection stands.
    pub(super) fn capabilities(&self) -> Vec<String> {
        let is_logged_in = self.phase != Phase::NotAuthenticated;
        let mut names: Vec<String> = self.config.told(is_logged_in).map(str::to_string).collect();
        if !is_logged_in {
            if self.config.starttls && self.tls.is_none() {
                names.push("STARTTLS".into());
            }
            if !self.may_send_password() {
                names.push("LOGINDISABLED".into());
            }
            names.extend(self.mechanisms().iter().map(|mechanism| format!("AUTH={}", mechanism.name())));
        }
        names
    }

    pub(super) fn login(&mut self, tag: Box<str>, user: String, password: String) {
        self.ask(Ask::Login(Evidence::Password { user, password }), Wait::Login(tag));
    }

    pub(super) fn authenticate(&mut self, tag: Box<str>, name: &str, initial: Option<&str>) {
        let offered = self.mechanisms();
        let known = Mechanism::parse(name);
        let Some(mechanism) = known.filter(|mechanism| offered.contains(mechanism)) else {
            let waits_for_tls = known.is_some_and(|m| m.is_plaintext() && self.config.mechanisms.contains(&m));
            let refusal = match waits_for_tls && !self.may_send_password() {
                true => privacy_required(),
                false => Refusal::no(Some(Code::Cannot), "the mechanism is not offered"),
            };
            return self.refuse(Some(&tag), &refusal);
        };
        self.nonces += 1;
        let nonce = format!("{}.{}", self.context.nonce, self.nonces);
        let plus = offered.contains(&Mechanism::ScramSha256Plus);
        let (dialog, step) = Dialog::start(mechanism, initial, &nonce, &self.config.host, &self.channel(), plus);
        self.mode = Mode::Auth(tag, Box::new(dialog));
        self.auth_step(step);
    }

    pub(super) fn auth_line(&mut self, line: &[u8]) {
        if let Mode::Auth(_, dialog) = &mut self.mode {
            let step = dialog.line(line);
            self.auth_step(step);
        }
    }

    pub(super) fn auth_found(&mut self, found: Found) {
        if let Mode::Auth(_, dialog) = &mut self.mode {
            let step = dialog.found(found);
            self.auth_step(step);
        }
    }

    fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(text) => return response::continuation(&mut self.out, &text),
            Step::Look(lookup) => return self.ask(Ask::Look(lookup), Wait::Look),
            _ => {}
        }
        let Mode::Auth(tag, _) = std::mem::replace(&mut self.mode, Mode::Command) else { return };
        let refusal = match step {
            Step::Login(evidence) => return self.ask(Ask::Login(evidence), Wait::Login(tag)),
            Step::Cancelled => Refusal::bad("cancelled"),
            Step::Failed => {
                self.attempts += 1;
                Refusal::no(Some(Code::AuthenticationFailed), "wrong name or password")
            }
            Step::Refused => Refusal::no(Some(Code::AuthorizationFailed), "you can't act as somebody else"),
            _ => Refusal::bad("malformed authentication data"),
        };
        self.refuse(Some(&tag), &refusal);
    }

    pub(super) fn login_answered(&mut self, now: Instant, tag: Box<str>, result: Result<(), Denial>) {
        match result {
            Ok(()) => {
                self.phase = Phase::Authenticated;
                self.errors = 0;
                let code = Code::Capability(self.capabilities());
                response::tagged(&mut self.out, &tag, Status::Ok, Some(&code), "logged in");
            }
            Err(Denial::Wrong(pause)) => {
                self.attempts += 1;
                self.penalty = Some((now + pause, tag));
            }
            Err(Denial::Forbidden(text)) => {
                self.refuse(Some(&tag), &Refusal::no(Some(Code::AuthorizationFailed), text));
            }
            Err(Denial::Limit(text)) => self.refuse(Some(&tag), &Refusal::no(Some(Code::Limit), text)),
            Err(Denial::Unavailable(text)) => self.refuse(Some(&tag), &Refusal::no(Some(Code::Unavailable), text)),
        }
    }

    /// The pause after a failed login is over.
    pub(super) fn penalty_over(&mut self, tag: &str) {
        let code = Code::AuthenticationFailed;
        response::tagged(&mut self.out, tag, Status::No, Some(&code), "wrong name or password");
        if self.attempts >= self.config.limits.attempts {
            self.bye(None, "too many failed logins");
        }
    }
}

/// A password may not be sent as the connection stands.
pub(super) fn privacy_required() -> Refusal {
    Refusal::no(Some(Code::PrivacyRequired), "use STARTTLS first")
}
