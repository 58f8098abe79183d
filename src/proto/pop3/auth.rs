//! USER, PASS, APOP and AUTH (RFC 1939 §7, RFC 5034).

use super::server::{Ask, Denial, Mailbox, Pop3Session, Wait};
use crate::sasl::{Channel, Dialog, Evidence, Found, Mechanism, Step};
use std::time::Instant;

impl Pop3Session {
    fn channel(&self) -> Channel<'_> {
        Channel {
            exporter: self.tls.as_ref().and_then(|tls| tls.exporter.as_deref()),
            client_names: self.tls.as_ref().map_or(&[], |tls| &tls.client_names),
            may_send_password: self.may_send_password(),
            // A stamp is only made where APOP, and so CRAM-MD5, can work.
            has_secrets: !self.context.stamp.is_empty(),
            has_nonce: !self.context.nonce.is_empty(),
        }
    }

    pub(super) fn offered(&self) -> Vec<Mechanism> {
        self.channel().offered(&self.config.mechanisms)
    }

    pub(super) fn user(&mut self, argument: &str) {
        if !self.may_send_password() {
            // Not [AUTH]: a better password would not help (RFC 3206 §4).
            return self.bad("use STLS first");
        }
        if argument.is_empty() {
            return self.bad("usage: USER name");
        }
        self.user = Some(argument.into());
        self.ok("password, please");
    }

    pub(super) fn pass(&mut self, argument: &str) {
        match self.user.take() {
            // A password may begin or end with blanks: it is taken as it stands.
            Some(user) => {
                let evidence = Evidence::Password { user: user.into(), password: argument.to_string() };
                self.ask(Ask::Login(evidence), Wait::Auth);
            }
            None => self.bad("USER first"),
        }
    }

    pub(super) fn apop(&mut self, argument: &str) {
        match argument.trim().rsplit_once(' ') {
            Some((user, digest)) if self.has_apop() => {
                self.ask(Ask::Apop(user.to_string(), digest.to_string()), Wait::Auth);
            }
            Some(_) => self.bad("APOP is not offered"),
            None => self.bad("usage: APOP name digest"),
        }
    }

    pub(super) fn auth(&mut self, argument: &str) {
        let offered = self.offered();
        if argument.trim().is_empty() {
            // RFC 5034 §4 has CAPA for this; old clients ask here.
            self.ok("mechanisms follow");
            for mechanism in offered {
                self.out.extend_from_slice(format!("{}\r\n", mechanism.name()).as_bytes());
            }
            return self.out.extend_from_slice(b".\r\n");
        }
        let (name, initial) = match argument.split_once(' ') {
            Some((name, initial)) => (name, Some(initial.trim())),
            None => (argument, None),
        };
        let Some(mechanism) = Mechanism::parse(name).filter(|m| offered.contains(m)) else {
            return self.bad("mechanism not offered");
        };
        self.nonces += 1;
        let nonce = format!("{}.{}", self.context.nonce, self.nonces);
        let plus = offered.contains(&Mechanism::ScramSha256Plus);
        let (dialog, step) = Dialog::start(mechanism, initial, &nonce, &self.config.host, &self.channel(), plus);
        self.dialog = Some(Box::new(dialog));
        self.auth_step(step);
    }

    pub(super) fn auth_step(&mut self, step: Step) {
        match step {
            Step::Challenge(text) => return self.out.extend_from_slice(format!("+ {text}\r\n").as_bytes()),
            Step::Look(lookup) => return self.ask(Ask::Look(lookup), Wait::Auth),
            Step::Login(evidence) => {
                self.dialog = None;
                return self.ask(Ask::Login(evidence), Wait::Auth);
            }
            _ => self.dialog = None,
        }
        match step {
            Step::Cancelled => self.bad("cancelled"),
            Step::Failed => {
                self.attempts += 1;
                self.bad("[AUTH] wrong name or password");
            }
            Step::Refused => self.bad("[AUTH] you can't act as somebody else"),
            _ => self.bad("malformed authentication data"),
        }
    }

    pub(super) fn auth_found(&mut self, found: Found) {
        if let Some(dialog) = &mut self.dialog {
            let step = dialog.found(found);
            self.auth_step(step);
        }
    }

    pub(super) fn login_answered(&mut self, now: Instant, result: Result<(u32, u64), Denial>) {
        match result {
            Ok((count, octets)) => {
                self.mailbox =
                    Some(Box::new(Mailbox { count, octets, deleted: Vec::new(), deleted_count: 0, last: 0 }));
                self.ok(&format!("{count} messages ({octets} octets)"));
            }
            Err(Denial::Wrong(pause)) => {
                self.attempts += 1;
                self.penalty = Some(now + pause);
            }
            Err(Denial::InUse) => self.err("[IN-USE] another session has the mailbox"),
            Err(Denial::Permanent(text)) => self.err(&format!("[SYS/PERM] {text}")),
            Err(Denial::Temporary(text)) => self.err(&format!("[SYS/TEMP] {text}")),
        }
    }
}
