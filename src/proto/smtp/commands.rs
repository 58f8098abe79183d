//! The commands: one row each, with what it takes, then the acting functions.

use super::ask::{Ask, Begin};
use super::config::Kind;
use super::params;
use super::server::{Mode, SmtpSession, Txn, Wait};
use super::turn;
use crate::addr::Address;
use crate::proto::digits;
use crate::status::{Enhanced, Reply};
use std::time::Duration;

/// What a RCPT takes longer for a client that guesses (BadRcptThrottle).
const RECIPIENT_PAUSE: Duration = Duration::from_secs(1);

/// What may stand behind a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Argument {
    None,
    Some,
    Any,
}

struct Row {
    verb: &'static str,
    argument: Argument,
    /// Shown when the argument is wrong.
    usage: &'static str,
    act: fn(&mut SmtpSession, &str),
}

const ROWS: &[Row] = &[
    Row { verb: "HELO", argument: Argument::Some, usage: "HELO name", act: SmtpSession::helo },
    Row { verb: "EHLO", argument: Argument::Some, usage: "EHLO name", act: SmtpSession::ehlo },
    Row { verb: "LHLO", argument: Argument::Some, usage: "LHLO name", act: SmtpSession::lhlo },
    Row { verb: "MAIL", argument: Argument::Some, usage: "MAIL FROM:<address> [parameters]", act: SmtpSession::mail },
    Row { verb: "RCPT", argument: Argument::Some, usage: "RCPT TO:<address> [parameters]", act: SmtpSession::rcpt },
    Row { verb: "DATA", argument: Argument::None, usage: "DATA", act: SmtpSession::data },
    Row { verb: "BDAT", argument: Argument::Some, usage: "BDAT octets [LAST]", act: SmtpSession::begin_bdat },
    Row { verb: "RSET", argument: Argument::None, usage: "RSET", act: SmtpSession::rset },
    Row { verb: "NOOP", argument: Argument::Any, usage: "NOOP", act: SmtpSession::noop },
    Row { verb: "QUIT", argument: Argument::None, usage: "QUIT", act: SmtpSession::quit },
    Row { verb: "HELP", argument: Argument::Any, usage: "HELP", act: SmtpSession::help },
    Row { verb: "VRFY", argument: Argument::Some, usage: "VRFY name", act: SmtpSession::vrfy },
    Row { verb: "EXPN", argument: Argument::Some, usage: "EXPN name", act: SmtpSession::expn },
    Row { verb: "ETRN", argument: Argument::Some, usage: "ETRN domain", act: SmtpSession::etrn },
    Row { verb: "ATRN", argument: Argument::Any, usage: "ATRN [domain[,domain ...]]", act: SmtpSession::atrn },
    Row { verb: "STARTTLS", argument: Argument::None, usage: "STARTTLS", act: SmtpSession::starttls },
    Row { verb: "AUTH", argument: Argument::Some, usage: "AUTH mechanism [initial-response]", act: SmtpSession::auth },
    Row { verb: "XCLIENT", argument: Argument::Some, usage: "XCLIENT name=value ...", act: SmtpSession::xclient },
];

/// True for a BDAT line. When such a line is refused before its number is read, how many octets follow it is unknown, and what comes
/// then can't be told from commands: the connection must end.
pub(super) fn begins_text(line: &[u8]) -> bool {
    line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"BDAT"))
}

/// Runs one command line.
pub(super) fn run(session: &mut SmtpSession, line: &[u8]) {
    session.commands += 1;
    if session.commands > session.config.limits.commands {
        session.say(421, (4, 7, 0), "Too many commands without a message");
        return session.close();
    }
    let text = match std::str::from_utf8(line) {
        Ok(text) if !text.contains(['\0', '\r']) => text,
        bad => {
            let why = if bad.is_ok() { "Control characters in the command" } else { "The command is not UTF-8" };
            session.refuse_with(500, (5, 5, 2), why);
            if begins_text(line) {
                session.close();
            }
            return;
        }
    };
    let text = text.trim_end_matches(' ');
    let (verb, argument) = text.split_once(' ').unwrap_or((text, ""));
    let Some(row) = ROWS.iter().find(|row| row.verb.eq_ignore_ascii_case(verb)) else {
        return session.refuse_with(500, (5, 5, 1), "Command not recognized");
    };
    if session.config.kind == Kind::Odmr && !turn::VERBS.contains(&row.verb) {
        session.refuse(&SmtpSession::odmr_only());
        // Where a text follows, its end can't be told from commands.
        if row.verb == "BDAT" {
            session.close();
        }
        return;
    }
    match (row.argument, argument.trim().is_empty()) {
        (Argument::None, false) | (Argument::Some, true) => {
            session.refuse_with(501, (5, 5, 4), &format!("Usage: {}", row.usage));
        }
        _ => (row.act)(session, argument.trim()),
    }
}

impl SmtpSession {
    fn mail(&mut self, argument: &str) {
        if self.txn.is_some() {
            return self.refuse_with(503, (5, 5, 1), "A transaction is open: RSET first");
        }
        if self.helo.is_none() && self.config.kind != Kind::Smtp {
            return self.refuse_with(503, (5, 5, 1), "Say EHLO first");
        }
        if self.helo.is_none() && self.config.manners.hello_before_mail {
            return self.refuse_with(503, (5, 0, 0), "Polite people say HELO first");
        }
        if self.config.kind == Kind::Submission && self.user.is_none() {
            // RFC 4954 §6.
            return self.refuse_with(530, (5, 7, 0), "Authentication required");
        }
        let Some(rest) = strip(argument, "FROM:") else {
            return self.refuse_with(501, (5, 5, 4), "Usage: MAIL FROM:<address> [parameters]");
        };
        let mail = match params::mail(rest, &self.config.host, &self.offer()) {
            Ok(mail) => mail,
            Err(reply) => return self.refuse(&reply),
        };
        if mail.size > self.config.limits.message_size {
            let limit = self.config.limits.message_size;
            return match self.config.manners.old_sizes {
                true => {
                    let text = format!("Message size exceeds fixed maximum message size ({limit})");
                    self.refuse_with(552, (5, 2, 3), &text)
                }
                false => self.refuse_with(552, (5, 3, 4), &format!("Message is larger than {limit} octets")),
            };
        }
        let smtputf8 = mail.smtputf8;
        let begin = Begin {
            protocol: self.protocol(smtputf8),
            helo: self.helo.clone(),
            tls: self.tls.as_ref().map(|t| (t.version.clone(), t.cipher.clone())),
            mail,
        };
        self.ask(Ask::Sender(Box::new(begin)), Wait::Mail(smtputf8));
    }

    /// The protocol's name as RFC 3848 and RFC 6531 §4.3 spell it.
    fn protocol(&self, smtputf8: bool) -> String {
        let base = match (self.config.kind, self.is_esmtp, smtputf8) {
            (Kind::Lmtp, _, true) => "UTF8LMTP",
            (Kind::Lmtp, ..) => "LMTP",
            (_, _, true) => "UTF8SMTP",
            (_, true, _) => "ESMTP",
            _ => "SMTP",
        };
        let tls = if self.tls.is_some() && (self.is_esmtp || smtputf8) { "S" } else { "" };
        let auth = if self.user.is_some() { "A" } else { "" };
        format!("{base}{tls}{auth}")
    }

    /// `verdict` has the reply where it is not the usual one.
    pub(super) fn mail_answered(&mut self, smtputf8: bool, verdict: Result<Option<Reply>, Reply>) {
        match verdict {
            Ok(reply) => {
                self.txn = Some(Txn::new(smtputf8, None));
                self.reply(&reply.unwrap_or_else(|| Reply::new(250, Enhanced(2, 1, 0), "Sender ok")));
            }
            Err(reply) => self.refuse(&reply),
        }
    }

    fn rcpt(&mut self, argument: &str) {
        let Some(txn) = &self.txn else {
            return self.refuse_with(503, (5, 5, 1), "MAIL first");
        };
        if txn.is_open {
            return self.refuse_with(503, (5, 5, 1), "The text has begun");
        }
        let Some(rest) = strip(argument, "TO:") else {
            return self.refuse_with(501, (5, 5, 4), "Usage: RCPT TO:<address> [parameters]");
        };
        if txn.accepted.len() >= self.config.limits.recipients as usize {
            // RFC 5321 §4.5.3.1.10: 452, the client sends the others later. No error: ended for it, the session would never get to
            // the text, and the message never through.
            return self.say(452, (4, 5, 3), "Too many recipients");
        }
        match params::rcpt(rest, &self.config.host, txn.smtputf8) {
            Ok(rcpt) => {
                let address = rcpt.address.clone();
                self.ask(Ask::Recipient(Box::new(rcpt)), Wait::Rcpt(address));
            }
            Err(reply) => self.refuse(&reply),
        }
    }

    /// `verdict` has the reply where it is not the usual one.
    pub(super) fn rcpt_answered(&mut self, address: Address, verdict: Result<Option<Reply>, Reply>) {
        let least = self.config.manners.slow_recipients;
        let is_slow = least > 0 && self.txn.as_ref().is_some_and(|txn| txn.refused >= least);
        match (verdict, &mut self.txn) {
            (Ok(reply), Some(txn)) => {
                txn.accepted.push(address);
                // Counted by the limit on recipients.
                self.commands = self.commands.saturating_sub(1);
                let reply = reply.unwrap_or_else(|| Reply::new(250, Enhanced(2, 1, 5), "Recipient ok"));
                match is_slow {
                    true => self.penalty = Some((self.now + RECIPIENT_PAUSE, reply)),
                    false => self.reply(&reply),
                }
            }
            (Ok(_), None) => self.refuse_with(503, (5, 5, 1), "MAIL first"),
            // Our own trouble is no error of the client's.
            (Err(reply), _) if !reply.is_permanent() => self.reply(&reply),
            (Err(reply), _) => self.refuse_recipient(&reply, is_slow),
        }
    }

    /// A client that guesses names is sent away sooner than one that makes mistakes, where a file says so.
    fn refuse_recipient(&mut self, reply: &Reply, is_slow: bool) {
        let most = self.config.manners.bad_recipients;
        self.bad_recipients += 1;
        if let Some(txn) = &mut self.txn {
            txn.refused += 1;
        }
        let is_allowed = most == 0 || self.bad_recipients <= most;
        if is_slow && is_allowed && self.errors + 1 < self.config.limits.errors {
            self.errors += 1;
            self.penalty = Some((self.now + RECIPIENT_PAUSE, reply.clone()));
            return;
        }
        if is_allowed {
            return self.refuse(reply);
        }
        let text = format!("{} Too many bad recipients; closing connection", self.config.host);
        self.say(421, (4, 7, 0), &text);
        self.close();
    }

    /// True where HELO has to come first, and has not: it is refused then.
    fn wants_hello(&mut self, is_wanted: bool) -> bool {
        let wants = is_wanted && self.helo.is_none();
        if wants {
            self.refuse_with(503, (5, 0, 0), "I demand that you introduce yourself first");
        }
        wants
    }

    /// What DATA and BDAT get when no recipient was accepted: RFC 5321 §3.3; RFC 2033 §4.2 fixes the code for LMTP.
    fn no_recipients(&self) -> Reply {
        let code = if self.config.kind == Kind::Lmtp { 503 } else { 554 };
        Reply::new(code, Enhanced(5, 5, 1), "No valid recipients")
    }

    fn data(&mut self, _argument: &str) {
        match &self.txn {
            None => self.refuse_with(503, (5, 5, 1), "MAIL first"),
            Some(txn) if txn.is_open => self.refuse_with(503, (5, 5, 1), "BDAT has begun"),
            Some(txn) if txn.accepted.is_empty() => self.refuse(&self.no_recipients()),
            Some(_) => self.ask(Ask::Open, Wait::OpenData),
        }
    }

    fn rset(&mut self, _argument: &str) {
        self.drop_txn();
        self.say(250, (2, 0, 0), "Reset");
    }

    fn noop(&mut self, _argument: &str) {
        self.say(250, (2, 0, 0), "Ok");
    }

    fn quit(&mut self, _argument: &str) {
        let text = format!("{} closing", self.config.host);
        self.say(221, (2, 0, 0), &text);
        self.close();
    }

    fn help(&mut self, argument: &str) {
        if let Some(help) = &self.config.manners.help {
            let reply = help.reply(argument);
            return self.reply(&reply);
        }
        let is_odmr = self.config.kind == Kind::Odmr;
        let is_shown = |v: &&str| if is_odmr { turn::VERBS.contains(v) } else { !matches!(*v, "XCLIENT" | "ATRN") };
        let verbs: Vec<&str> = ROWS.iter().map(|row| row.verb).filter(is_shown).collect();
        let mut reply = Reply::new(214, Enhanced(2, 0, 0), "Commands:");
        reply.lines.push(verbs.join(" "));
        self.reply(&reply);
    }

    fn vrfy(&mut self, argument: &str) {
        if self.wants_hello(self.config.manners.hello_before_vrfy) {
            return;
        }
        self.ask(Ask::Verify(argument.to_string()), Wait::Query);
    }

    fn expn(&mut self, argument: &str) {
        if self.wants_hello(self.config.manners.hello_before_expn) {
            return;
        }
        self.ask(Ask::Expand(argument.to_string()), Wait::Query);
    }

    fn etrn(&mut self, argument: &str) {
        if self.config.manners.etrn == Some(false) {
            return self.refuse_with(502, (5, 7, 0), "Sorry, we do not allow this operation");
        }
        if !self.may_etrn() {
            // RFC 1985 §5.3.
            return self.refuse_with(459, (4, 7, 1), "ETRN is not for you");
        }
        self.ask(Ask::Etrn(argument.to_string()), Wait::Query);
    }

    fn starttls(&mut self, _argument: &str) {
        if self.tls.is_some() {
            return self.refuse_with(503, (5, 5, 1), "TLS is on");
        }
        if !self.config.starttls {
            return self.refuse_with(502, (5, 5, 1), "STARTTLS is not offered");
        }
        if self.user.is_some() {
            // RFC 3207 §4.2 has us forget the login, and a login made in clear is not to stand for what comes inside TLS.
            return self.refuse_with(503, (5, 5, 1), "Too late: you have logged in");
        }
        self.drop_txn();
        self.say(220, (2, 0, 0), "Ready to start TLS");
        self.starts_tls = true;
    }

    fn begin_bdat(&mut self, argument: &str) {
        let mut words = argument.split(' ').filter(|w| !w.is_empty());
        let octets = words.next().filter(|w| w.len() <= 19).and_then(digits::<u64>);
        let is_last = match (words.next(), words.next()) {
            (None, _) => Some(false),
            (Some(word), None) if word.eq_ignore_ascii_case("LAST") => Some(true),
            _ => None,
        };
        let (Some(octets), Some(is_last)) = (octets, is_last) else {
            // How many octets follow is unknown: what comes now can't be told from commands.
            self.say(501, (5, 5, 4), "Usage: BDAT octets [LAST]");
            return self.close();
        };
        let decoder = self.bdat.take().unwrap_or_default();
        let problem = match &self.txn {
            None => Some(Reply::new(503, Enhanced(5, 5, 1), "MAIL first")),
            Some(txn) if txn.accepted.is_empty() => Some(self.no_recipients()),
            Some(_) => None,
        };
        self.mode = Mode::Bdat(octets, is_last, decoder);
        match (problem, &mut self.txn) {
            (Some(reply), Some(txn)) => txn.failed = Some(reply),
            (Some(reply), None) => {
                self.txn = Some(Txn::new(false, Some(reply)));
            }
            _ => {}
        }
        let now = self.now;
        if let Some(txn) = &mut self.txn {
            txn.pace.get_or_insert((now, 0));
        }
        match &self.txn {
            Some(txn) if !txn.is_open && txn.failed.is_none() => return self.ask(Ask::Open, Wait::OpenBdat),
            _ => {}
        }
        self.bdat_progress(Vec::new());
    }
}

/// Takes a keyword off, in any case.
fn strip<'a>(argument: &'a str, keyword: &str) -> Option<&'a str> {
    argument.get(..keyword.len()).filter(|k| k.eq_ignore_ascii_case(keyword)).map(|_| &argument[keyword.len()..])
}
