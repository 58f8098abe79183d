//! HELO, EHLO, LHLO and XCLIENT: who the peer says it is, and what we offer.

use super::config::{Kind, Names};
use super::params;
use super::server::SmtpSession;
use crate::sasl::{Channel, Mechanism};
use crate::status::Reply;
use std::net::IpAddr;

/// Longest name taken in HELO, in octets.
const NAME_LIMIT: usize = 255;

impl SmtpSession {
    pub(super) fn helo(&mut self, argument: &str) {
        if self.config.kind == Kind::Lmtp {
            return self.refuse_with(500, (5, 5, 1), "This is LMTP: say LHLO");
        }
        if self.take_name(argument) {
            self.is_esmtp = false;
            let host = self.config.host.clone();
            self.reply(&Reply::bare(250, host));
        }
    }

    pub(super) fn ehlo(&mut self, argument: &str) {
        if self.config.kind == Kind::Lmtp {
            return self.refuse_with(500, (5, 5, 1), "This is LMTP: say LHLO");
        }
        self.extended(argument);
    }

    pub(super) fn lhlo(&mut self, argument: &str) {
        if self.config.kind != Kind::Lmtp {
            return self.refuse_with(500, (5, 5, 1), "This is not LMTP: say EHLO");
        }
        self.extended(argument);
    }

    fn extended(&mut self, argument: &str) {
        if !self.take_name(argument) {
            return;
        }
        self.is_esmtp = true;
        let mut lines = if self.config.kind == Kind::Odmr {
            // RFC 2645 §5.1.1.
            [self.config.host.as_str(), "ENHANCEDSTATUSCODES", "ATRN"].map(str::to_string).to_vec()
        } else {
            self.mail_extensions()
        };
        if self.config.starttls && self.tls.is_none() && self.user.is_none() {
            lines.push("STARTTLS".to_string());
        }
        let mechanisms = self.offered();
        if !mechanisms.is_empty() && self.user.is_none() {
            let names: Vec<&str> = mechanisms.iter().map(|m| m.name()).collect();
            lines.push(format!("AUTH {}", names.join(" ")));
        }
        if self.may_etrn() {
            lines.push("ETRN".to_string());
        }
        if self.is_from(&self.config.xclient_from) {
            lines.push("XCLIENT NAME ADDR PORT PROTO HELO LOGIN".to_string());
        }
        self.reply(&Reply { code: 250, enhanced: None, lines });
    }

    /// What is offered to who brings mail.
    fn mail_extensions(&self) -> Vec<String> {
        let mut lines = vec![
            self.config.host.clone(),
            match self.config.limits.message_size {
                // RFC 1870 §3: no limit.
                u64::MAX => "SIZE".to_string(),
                limit => format!("SIZE {limit}"),
            },
            "8BITMIME".to_string(),
            "SMTPUTF8".to_string(),
            "PIPELINING".to_string(),
            "CHUNKING".to_string(),
            "DSN".to_string(),
            "ENHANCEDSTATUSCODES".to_string(),
            format!("LIMITS RCPTMAX={}", self.config.limits.recipients),
        ];
        if self.config.manners.hides_dsn {
            lines.retain(|line| line != "DSN");
        }
        lines.extend(self.offer().keywords());
        lines
    }

    pub(super) fn channel(&self) -> Channel<'_> {
        Channel {
            exporter: self.tls.as_ref().and_then(|tls| tls.exporter.as_deref()),
            client_names: self.tls.as_ref().map_or(&[], |tls| &tls.client_names),
            may_send_password: self.tls.is_some() || self.context.plaintext_allowed,
            has_secrets: self.context.has_secrets,
            has_nonce: !self.context.nonce.is_empty(),
        }
    }

    /// The mechanisms that may be used now.
    pub(super) fn offered(&self) -> Vec<Mechanism> {
        let channel = self.channel();
        match self.config.kind {
            // A submission port asks for TLS before any login (RFC 8314 §3.3), except where plaintext is allowed.
            Kind::Submission | Kind::Odmr if !channel.may_send_password => Vec::new(),
            _ => channel.offered(&self.config.mechanisms),
        }
    }

    /// True when the peer may use ETRN.
    pub(super) fn may_etrn(&self) -> bool {
        self.config.manners.etrn.unwrap_or_else(|| self.is_from(&self.config.etrn))
    }

    /// Checks and keeps the name. EHLO also resets (RFC 5321 §4.1.4).
    fn take_name(&mut self, name: &str) -> bool {
        let name = match self.config.manners.names {
            Names::Any => name.split_whitespace().next().unwrap_or(name),
            _ => name,
        };
        let is_of_host = |c: char| c.is_ascii_alphanumeric() || "[].-_#:".contains(c);
        if self.config.manners.names == Names::Hosts && !name.chars().all(is_of_host) {
            self.refuse_with(501, (5, 0, 0), "Invalid domain name");
            return false;
        }
        let is_good = name.len() <= NAME_LIMIT && !name.chars().any(|c| c.is_control() || c.is_whitespace());
        if !is_good {
            self.refuse_with(501, (5, 5, 4), "That is no name of a host");
            return false;
        }
        self.drop_txn();
        self.helo = Some(name.to_string());
        true
    }

    /// Postfix's XCLIENT: a trusted front end says for whom it speaks.
    pub(super) fn xclient(&mut self, argument: &str) {
        if !self.is_from(&self.config.xclient_from) {
            return self.refuse_with(550, (5, 7, 0), "XCLIENT is not for you");
        }
        if self.txn.is_some() {
            return self.refuse_with(503, (5, 5, 1), "A transaction is open");
        }
        let mut context = self.context.clone();
        let (mut helo, mut user) = (None, None);
        for word in argument.split(' ').filter(|w| !w.is_empty()) {
            let pair = word.split_once('=').and_then(|(key, value)| Some((key, params::xtext(value)?)));
            let Some((key, value)) = pair else {
                return self.refuse_with(501, (5, 5, 4), "XCLIENT wants name=value, the value as xtext");
            };
            let value = value.as_str();
            let known = !["[UNAVAILABLE]", "[TEMPUNAVAIL]"].iter().any(|u| u.eq_ignore_ascii_case(value));
            match key.to_ascii_uppercase().as_str() {
                "ADDR" if known => {
                    let text = value.strip_prefix("IPV6:").or_else(|| value.strip_prefix("IPv6:")).unwrap_or(value);
                    match text.parse::<IpAddr>() {
                        Ok(ip) => context.ip = Some(ip.to_canonical()),
                        Err(_) => return self.refuse_with(501, (5, 5, 4), "XCLIENT ADDR is no address"),
                    }
                }
                "ADDR" => context.ip = None,
                "PORT" => context.port = value.parse().unwrap_or(0),
                "HELO" if known => helo = Some(value.to_string()),
                "LOGIN" if known => user = Some(value.to_string()),
                "NAME" | "PROTO" | "HELO" | "LOGIN" | "DESTADDR" | "DESTPORT" | "REVERSE_NAME" => {}
                _ => return self.refuse_with(501, (5, 5, 4), "XCLIENT attribute not understood"),
            }
        }
        context.plaintext_allowed &= context.ip.is_some_and(|ip| ip.is_loopback());
        self.context = context;
        self.helo = helo;
        // Nobody is logged in before the directory says so, and a certificate is the front end's own.
        self.user = None;
        if let Some(tls) = &mut self.tls {
            tls.client_names.clear();
        }
        self.vouched = user;
        self.ask_connect();
    }
}
