//! Reports in prose: what mail programs wrote before there was a form for it, and what odd ones still write.
//!
//! Called by `report` when a message has no fields to read. Not one reader for each program: nearly all say the same things. A line that
//! is an address, or has one behind words like "unable to deliver your message to", begins the account of a recipient;
//! what follows up to the next such line is what was said of it. The returned message is cut off first, so that no address in it counts, and
//! the sender to whom the report went is nobody's recipient.

use super::{Finding, RECIPIENT_LIMIT, addresses, finding};
use crate::addr::Address;
use crate::msg::{self, words};
use crate::report::reason::Reason;
use regex::Regex;
use std::sync::LazyLock;

const ADDRESS: &str = r"[A-Za-z0-9!#$%&*+/=?^_`{|}~.-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*\.[A-Za-z]{2,}";

fn pattern(text: &str) -> Regex {
    Regex::new(&text.replace("ADDRESS", ADDRESS)).expect("the pattern is well formed")
}

/// A line that is an address, with what a program may put around and behind it.
static ALONE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?i)^[\s>*-]*(?:c=.*SMTP=)?(?:Recipient:\s*)?[<"\[('“]*(?:SMTP:)?(ADDRESS)[>"\])'”]*\s*(?:$|[:;\[(<]|on |- |\.\.\.|invalid address)"#,
    )
});

/// Words with an address behind them.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    let words = [
        r"(?:unable to|can ?not|could ?n[o']t) deliver (?:your |this |the )?(?:e-?mail |mail |message )?to",
        r"delivered to",
        r"(?:delivering|delivery of) (?:your|the) (?:e-?mail|mail|message) to",
        r"intended recipient",
        r"addressed to(?: e-?mail address)?",
        r"undeliverable\s+to",
        r"failed recipients?",
        r"error-for",
        r"final delivery userid",
        r"unknown user",
        r"exceeds allowed size",
        r"delivery failed \d+ attempts",
        r"undeliverable address",
        r"did not reach the following recipient(?:\(s\))?",
        r"your (?:e-?mail|mail|message) to",
        r"local mailbox",
        r"quota violation for",
        r"rcpt to",
        r"gateway for",
        r"mailing list",
        r"duplicated message-id in",
        r"message to",
        r"expanded from",
    ];
    pattern(&format!(r#"(?i)(?:{})\s*:?\s*[<"'\[(]*(?:SMTP:)?(ADDRESS)"#, words.join("|")))
});

/// A reply with the address in it, as sendmail shows it.
static REPLIED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^\s*(?:<<< )?[245]\d\d[ -](?:[245]\.\d+\.\d+ )?<?(ADDRESS)>?(?:\.\.\.|:)"));

/// A line of old transcripts that is about the next recipient.
static BETWEEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:[245]\d\d \S+ \(smtp\)\.\.\.|While talking to )"));

static ANY: LazyLock<Regex> = LazyLock::new(|| pattern("ADDRESS"));

/// A line behind which the returned message stands.
static CUT: LazyLock<Regex> = LazyLock::new(|| {
    let words = [
        r"below this line",
        r"(?:here|this|below|included) is a copy of",
        r"a copy of the original message below",
        r"original message(?: follows| headers?)?\W*$",
        r"original mail as follows",
        r"unsent message",
        r"message headers? follows?",
        r"message headers? follow",
        r"returned (?:message|mail)",
        r"the headers? (?:of the original|and top)",
        r"start of returned",
        r"header of the source",
        r"non-delivered message",
        r"returned mail follows",
        r"the first \d+ lines of your",
        r"original message (?:follows|attached|details)",
        r"your message reads",
        r"no more than \d",
        r"summary of the undelivered message",
        r"mensaje original",
        r"message body suppressed",
    ];
    pattern(&format!(r"(?i)^[\s*=-]*(?:{})|^(?:Received|Return-Path):\s*\S", words.join("|")))
});

/// True when the header is one that mail programs put on reports.
pub(super) fn is_report(header: &[u8]) -> bool {
    static SUBJECT: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)undeliver|deliver.{0,20}(?:fail|problem|status|warning|error)|fail.{0,20}(?:deliver|notice)|return(?:ed|ing) (?:mail|message|to sender)|mail (?:error|failure|system error|could not|not delivered)|not been delivered|could not be delivered|not member|loop alert|processing error|non remis|mail failure|メールエラー|automatically rejected|user unknown",
        )
    });
    let subject = msg::find(header, "subject").map(|field| words::decode_text(field.body())).unwrap_or_default();
    let value = |name: &str| msg::find(header, name).map(|field| field.value());
    let is_null = value("return-path").is_some_and(|path| path == "<>");
    let is_multipart_report =
        value("content-type").is_some_and(|value| value.to_ascii_lowercase().starts_with("multipart/report"));
    is_null
        || is_multipart_report
        || value("x-failed-recipients").is_some()
        || is_from_a_mailer(header)
        || SUBJECT.is_match(&subject)
}

/// True when the author is a program's name.
pub(super) fn is_from_a_mailer(header: &[u8]) -> bool {
    static NAMES: LazyLock<Regex> = LazyLock::new(|| {
        pattern(
            r"(?i)mailer-daemon|postmaster|post_master|delivery.sub-?system|mail.delivery.system|ndr administrator|system administrator|mdaemon@|^\W*$|<>",
        )
    });
    msg::find(header, "from").is_none_or(|from| NAMES.is_match(&words::decode_text(from.body())))
}

/// Cuts a text before the returned message: what was said, and the rest behind the line between them.
pub(super) fn cut(said: &str) -> (&str, &str) {
    let mut at = 0;
    for line in said.split_inclusive('\n') {
        if CUT.is_match(line) {
            let is_field = line.starts_with('R') && line.contains(':');
            return (&said[..at], &said[at + if is_field { 0 } else { line.len() }..]);
        }
        at += line.len();
    }
    (said, "")
}

/// The first whole address in a text.
pub(super) fn first_address(text: &str) -> Option<Address> {
    ANY.find_iter(text).find_map(|found| Address::parse(found.as_str()).ok())
}

/// What is told of one recipient.
struct Account {
    recipient: Address,
    said: String,
}

/// Reads the text of a report.
pub(super) fn read(said: &str, header: &[u8], returned: Option<&[u8]>) -> Vec<Finding> {
    let (told, _) = cut(said);
    let failed = addresses(header, "x-failed-recipients");
    let senders = addresses(header, "to");
    let mut accounts = accounts(told, &senders);
    if accounts.is_empty() {
        // Mail to oneself, or a report that names its reader.
        accounts = self::accounts(told, &[]);
    }
    if !failed.is_empty() {
        accounts.retain(|account| failed.contains(&account.recipient));
        for recipient in failed {
            if !accounts.iter().any(|account| account.recipient == recipient) {
                accounts.push(Account { recipient, said: String::new() });
            }
        }
    }
    let subject = msg::find(header, "subject").map(|field| words::decode_text(field.body())).unwrap_or_default();
    let lower = format!("{subject}\n{told}").to_lowercase();
    let is_delay = ["not yet been delivered", "will continue to", "temporary failure report", "has been postponed"]
        .iter()
        .any(|word| lower.contains(word));
    let class = is_delay.then_some(4);
    if accounts.is_empty() {
        // The report names nobody: whom the message was for, when that was one.
        let mut to = returned.map(|header| addresses(header, "to")).unwrap_or_default();
        if to.is_empty() {
            to.extend(told.lines().find(|line| line.starts_with("To: ")).and_then(first_address));
        }
        let is_failure = Reason::of(&lower).is_some() || !to.is_empty();
        let recipient = if to.len() == 1 { to.into_iter().next() } else { None };
        let recipient = recipient.or_else(|| bare_name(told, header));
        return if is_failure || recipient.is_some() {
            vec![finding(recipient, None, class, &format!("{told}\n{subject}"))]
        } else {
            Vec::new()
        };
    }
    let all = format!("{told}\n{subject}");
    let say = |account: Account| {
        let one = finding(Some(account.recipient.clone()), None, class, &account.said);
        let is_vague = (one.status.1, one.status.2) == (0, 0) && Reason::of(&account.said).is_none();
        if is_vague { finding(Some(account.recipient), None, class, &all) } else { one }
    };
    accounts.into_iter().take(RECIPIENT_LIMIT).map(say).collect()
}

/// A name without a domain, alone in its line: the domain is the reporter's own.
fn bare_name(told: &str, header: &[u8]) -> Option<Address> {
    static LOCAL: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+([A-Za-z0-9._-]{2,64})\s*$"));
    let host = addresses(header, "from").into_iter().next()?;
    let name = told.lines().find_map(|line| LOCAL.captures(line)?.get(1))?;
    Address::new(name.as_str(), host.domain()).ok()
}

fn accounts(told: &str, senders: &[Address]) -> Vec<Account> {
    let mut accounts: Vec<Account> = Vec::new();
    // Where what is said now goes; the account of another recipient ends it.
    let mut at: Option<usize> = None;
    let mut before = "";
    for line in told.lines() {
        if BETWEEN.is_match(line) {
            at = None;
        }
        let named = if before.trim_end().ends_with("sent by") { None } else { recipient(line) };
        before = line;
        if let Some((recipient, is_loose)) = named
            && !senders.contains(&recipient)
        {
            at = match accounts.iter().position(|account| account.recipient == recipient) {
                Some(known) => Some(known),
                // Inside another's account only a line that begins one counts: replies quote addresses.
                None if is_loose && at.is_some_and(|at| !accounts[at].said.trim().is_empty()) && is_quoted(line) => at,
                None => {
                    accounts.push(Account { recipient, said: String::new() });
                    Some(accounts.len() - 1)
                }
            };
        }
        if let Some(account) = at.and_then(|at| accounts.get_mut(at)) {
            account.said.push_str(line);
            account.said.push('\n');
        }
    }
    accounts
}

/// `RCPT TO:<…>` inside what a program tells of another address.
fn is_quoted(line: &str) -> bool {
    let lower = line.to_ascii_lowercase();
    lower.contains("rcpt to") && !lower.trim_start().starts_with(">>>") && !lower.starts_with("sent <<<")
}

/// The recipient that a line names, and whether the words around it are loose ones.
fn recipient(line: &str) -> Option<(Address, bool)> {
    let of = |pattern: &Regex| Address::parse(pattern.captures(line)?.get(1)?.as_str()).ok();
    if let Some(address) = of(&ALONE).or_else(|| of(&REPLIED)) {
        return Some((address, false));
    }
    Some((of(&NAMED)?, true))
}
