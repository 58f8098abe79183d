//! AUTHENTICATE and UNAUTHENTICATE (RFC 5804 §2.1 and §2.14.1).
//!
//! Challenges and answers are strings with base64 in them. A mechanism's last word to the client is a challenge like the others, which
//! the client answers with an empty string, not the response code SASL (§2.1 leaves the choice).

use super::ask::{Ask, Denial, Refusal};
use super::frame::Part;
use super::reply::{self, Code, Status};
use super::server::{ManageSieveSession, Wait};
use super::words::{TooLarge, Words};
use crate::sasl::{Channel, Dialog, Found, Mechanism, Step};
use std::time::Instant;

impl ManageSieveSession {
    fn may_send_password(&self) -> bool {
        self.tls.is_some() || self.context.plaintext_allowed
    }

    pub(super) fn mechanisms(&self) -> Vec<Mechanism> {
        self.channel().offered(&self.config.mechanisms)
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

    pub(super) fn authenticate(&mut self, words: &mut Words) -> Result<(), Refusal> {
        let name = words.text("SASL mechanism")?;
        let initial = if words.is_empty() { None } else { Some(words.text("initial response")?) };
        words.end()?;
        let offered = self.mechanisms();
        let known = Mechanism::parse(&name);
        let Some(mechanism) = known.filter(|mechanism| offered.contains(mechanism)) else {
            return Err(self.why_not(known));
        };
        // Here the empty response is the empty string; elsewhere it is `=`.
        let initial = initial.as_deref().map(|text| if text.is_empty() { "=" } else { text });
        self.nonces += 1;
        let nonce = format!("{}.{}", self.context.nonce, self.nonces);
        let plus = offered.contains(&Mechanism::ScramSha256Plus);
        let (dialog, step) = Dialog::start(mechanism, initial, &nonce, &self.config.host, &self.channel(), plus);
        self.dialog = Some(Box::new(dialog));
        self.auth_step(step)
    }

    /// Why a mechanism is not offered; the same for all accounts (RFC 5804 §5).
    fn why_not(&self, known: Option<Mechanism>) -> Refusal {
        let Some(mechanism) = known else { return "Unknown SASL mechanism".into() };
        let is_weak = mechanism.is_plaintext() || mechanism == Mechanism::CramMd5;
        if self.config.mechanisms.contains(&mechanism) && mechanism.is_plaintext() {
            Refusal::coded(Code::EncryptNeeded, "Use STARTTLS first")
        } else if is_weak && !self.config.mechanisms.contains(&mechanism) {
            Refusal::coded(Code::AuthTooWeak, "The mechanism is not allowed here")
        } else {
            "The mechanism is not offered".into()
        }
    }

    /// Takes what should be a string with the client's answer.
    pub(super) fn auth_answer(&mut self, parts: Vec<Part>) -> Result<(), Refusal> {
        let text = Words::read(parts).map_err(Refusal::from).and_then(|mut words| {
            let text = words.string("authentication data")?;
            words.end().map(|()| text)
        });
        let Some(mut dialog) = self.dialog.take() else { return Ok(()) };
        let text = text?.map_err(|TooLarge| Refusal::from("The authentication data is too long"))?;
        let step = dialog.line(&text);
        self.dialog = Some(dialog);
        self.auth_step(step)
    }

    pub(super) fn auth_found(&mut self, found: Found) -> Result<(), Refusal> {
        match self.dialog.as_mut().map(|dialog| dialog.found(found)) {
            Some(step) => self.auth_step(step),
            None => Ok(()),
        }
    }

    fn auth_step(&mut self, step: Step) -> Result<(), Refusal> {
        match step {
            Step::Challenge(text) => {
                reply::string(&mut self.out, text.as_bytes());
                self.out.extend_from_slice(b"\r\n");
                return Ok(());
            }
            Step::Look(lookup) => {
                self.ask(Ask::Look(lookup), Wait::Look);
                return Ok(());
            }
            _ => self.dialog = None,
        }
        match step {
            Step::Login(evidence) => {
                self.ask(Ask::Login(evidence), Wait::Login);
                Ok(())
            }
            Step::Cancelled => Err("Cancelled".into()),
            Step::Failed => {
                self.wrong_login();
                Ok(())
            }
            Step::Refused => Err("You can't act as somebody else".into()),
            _ => Err("Malformed authentication data".into()),
        }
    }

    pub(super) fn login_answered(&mut self, now: Instant, result: Result<String, Denial>) {
        let (code, text) = match result {
            Ok(owner) => {
                self.owner = Some(owner.into());
                self.errors = 0;
                return self.ok("Logged in");
            }
            Err(Denial::Wrong(pause)) => return self.penalty = Some(now + pause),
            Err(Denial::Forbidden(text)) => (None, text),
            Err(Denial::Unavailable(text)) => (Some(Code::TryLater), text),
        };
        self.no(&Refusal { code, text });
    }

    /// Says that name or password are wrong; too often ends the session.
    pub(super) fn wrong_login(&mut self) {
        self.attempts += 1;
        match self.attempts >= self.config.attempts {
            true => self.bye(None, "Too many failed logins"),
            false => reply::reply(&mut self.out, Status::No, None, "Wrong name or password"),
        }
    }

    pub(super) fn unauthenticate(&mut self, words: &mut Words) -> Result<(), Refusal> {
        words.end()?;
        self.ask(Ask::LogOut, Wait::LogOut);
        Ok(())
    }
}
