//! The header of a message as a mailer of a sendmail.cf wants it: H lines added, addresses rewritten.
//!
//! Called by `queue` for each call of a mailer. The message lies in the queue with the header it came with; what the H lines say depends
//! on the mailer's flags and is made here. Order: the H lines' fields as far as they are missing, then the message's own.
//! Trust: the header is anybody's. A field that is no list of addresses stays as it is; what a macro holds has no line ends
//! but those of the file.

use super::Router;
use super::agents::{Agent, Letterhead};
use super::senders::members;
use super::surroundings::{from_rules, to_rules};
use crate::addr::old_style_list;
use crate::msg;
use crate::rules::address::Role;
use crate::rules::macros::{Macros, Values};
use crate::rules::read::Header;
use crate::rules::token::Token;
use crate::status::Failure;

/// Fields with addresses of senders, which S= rewrites.
const SENDERS: [&str; 9] = [
    "From",
    "Sender",
    "Reply-To",
    "Resent-From",
    "Resent-Sender",
    "Resent-Reply-To",
    "Errors-To",
    "Disposition-Notification-To",
    "Full-Name-From",
];
/// Fields with addresses of recipients, which R= rewrites.
const RECIPIENTS: [&str; 7] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];
/// Fields that never go out unless an H line adds them.
const DROPPED: [&str; 3] = ["Return-Path", "Content-Length", "Full-Name"];
/// Where a list of addresses is folded, in octets.
const WIDTH: usize = 78;
/// Longest field whose addresses are rewritten, in octets.
const FIELD_LIMIT: usize = 256 << 10;

impl Router {
    /// The header for this mailer, without the empty line.
    pub fn dressed(&self, agent: &Agent, letter: &Letterhead, message: &mut Macros) -> Result<Vec<u8>, Failure> {
        let header = letter.header;
        let is_resent = msg::fields(header).any(|f| f.name.get(..7).is_some_and(|n| n.eq_ignore_ascii_case("Resent-")));
        let domain = self.domain_for_names(agent, letter, message)?;
        let domain = domain.as_deref();
        let mut out = Vec::new();
        // `for` in Received names the recipient as he was given, and only where he is alone.
        let mut trace = message.clone();
        match letter.envelope.recipients.first() {
            Some(first) if letter.envelope.recipients.iter().all(|r| r.original == first.original) => {
                // A user of ours is named as he was: without our name.
                let is_ours = first.original.domain() == self.site.hostname();
                let shown = if is_ours { first.original.local().to_string() } else { first.original.to_string() };
                trace.set(b"u", to_rules(&shown));
            }
            _ => trace.unset(b"u"),
        }
        for line in &agent.compiled.rules.headers {
            let is_trace = line.name.eq_ignore_ascii_case("Received");
            let is_forced = is_trace || line.name.eq_ignore_ascii_case("Return-Path");
            let is_for_resent = line.name.get(..7).is_some_and(|n| n.eq_ignore_ascii_case("Resent-"));
            if !wanted(line, agent, message)
                || line.check().is_some()
                || is_for_resent && !is_resent
                || !is_forced && msg::find(header, &line.name).is_some_and(|_| !is_dropped(&line.name))
            {
                continue;
            }
            let value = agent.expanded(&line.value, if is_trace { &trace } else { message });
            let value = tidy(&value);
            if value.is_empty() {
                continue;
            }
            let raw = [line.name.as_bytes(), b": ", &value, b"\n"].concat();
            out.extend(self.addressed(agent, &raw, message, domain)?);
        }
        for field in msg::fields(header) {
            if is_dropped(field.name) {
                continue;
            }
            if field.is("Bcc") || field.is("Resent-Bcc") {
                out.extend_from_slice(format!("{}:\n", field.name).as_bytes());
                continue;
            }
            out.extend(self.addressed(agent, field.raw, message, domain)?);
        }
        Ok(out)
    }

    /// A field with its addresses as the mailer wants them.
    fn addressed(
        &self,
        agent: &Agent,
        raw: &[u8],
        message: &mut Macros,
        domain: Option<&[Token]>,
    ) -> Result<Vec<u8>, Failure> {
        let mut own = raw.to_vec();
        if own.last() != Some(&b'\n') {
            own.push(b'\n');
        }
        let Some(field) = msg::fields(&own).next() else { return Ok(own) };
        let is = |names: &[&str]| names.iter().any(|name| field.is(name));
        let role = match (is(&SENDERS), is(&RECIPIENTS)) {
            _ if own.len() > FIELD_LIMIT => return Ok(own),
            (true, _) => Role { header: true, sender: true },
            (_, true) => Role { header: true, sender: false },
            _ => return Ok(own),
        };
        let text = field.value();
        // A group has no one address; it stays as it was written.
        if text.contains([';']) || text.trim().is_empty() {
            return Ok(own);
        }
        let cf = self.site.settings.cf.as_ref();
        let text = match cf.is_some_and(|cf| cf.old_style_headers) {
            true => old_style_list(&text).into_owned(),
            false => text,
        };
        if field.is("From") && cf.is_some_and(|cf| cf.single_line_from) {
            // One author, or several: no line is too long for who wants it so.
            let shown = members(&text).into_iter().map(str::trim).filter(|member| !member.is_empty());
            let shown: Result<Vec<_>, Failure> =
                shown.map(|member| self.rewritten(agent, &to_rules(member), role, message, domain)).collect();
            let shown: Vec<String> = shown?.iter().map(|text| from_rules(text).trim().replace('\n', " ")).collect();
            return Ok(format!("{}: {}\n", field.name, shown.join(", ")).into_bytes());
        }
        let mut list = format!("{}: ", field.name);
        let mut column = list.len();
        let mut is_first = true;
        for member in members(&text).into_iter().map(str::trim).filter(|member| !member.is_empty()) {
            let shown = from_rules(&self.rewritten(agent, &to_rules(member), role, message, domain)?);
            let shown = shown.trim();
            if !is_first {
                list.push(',');
                match column + 2 + shown.len() > WIDTH {
                    true => {
                        list.push_str("\n        ");
                        column = 8;
                    }
                    false => {
                        list.push(' ');
                        column += 2;
                    }
                }
            }
            list.push_str(shown);
            column += shown.len();
            is_first = false;
        }
        list.push('\n');
        Ok(list.into_bytes())
    }
}

/// True when an H line is for this mailer: it has no flag, or one that the mailer has too.
fn wanted(line: &Header, agent: &Agent, message: &Macros) -> bool {
    if let Some(name) = &line.when {
        let value = message.value(name).or_else(|| agent.compiled.rules.macros.value(name));
        return value.is_some_and(|value| !value.is_empty());
    }
    line.flags.is_empty() || line.flags.iter().any(|flag| agent.mailer().has(*flag))
}

fn is_dropped(name: &str) -> bool {
    DROPPED.iter().any(|dropped| name.eq_ignore_ascii_case(dropped))
}

/// The lines of a value that have something in them; each but the first is a continuation.
fn tidy(value: &[u8]) -> Vec<u8> {
    let lines = value.split(|b| *b == b'\n').map(<[u8]>::trim_ascii_end).filter(|line| !line.trim_ascii().is_empty());
    let mut out = Vec::new();
    for line in lines {
        match out.is_empty() {
            true => out.extend_from_slice(line.trim_ascii_start()),
            false => {
                out.push(b'\n');
                if !line.starts_with(b" ") && !line.starts_with(b"\t") {
                    out.push(b'\t');
                }
                out.extend_from_slice(line);
            }
        }
    }
    out
}
