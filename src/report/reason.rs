//! What the words of a failure mean, and which status and class follow from them.
//!
//! Called by the readers of reports. The words are those of the mail programs of the last thirty years, in lower case. A code
//! that was reported counts more than words, but for two: codes that say no more than "failed", and codes that a host uses for everything.
//! RFC 3463 §3.

use super::Class;
use crate::status::Enhanced;

/// Why a message was not delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No such mailbox.
    UnknownUser,
    /// No such host or domain.
    UnknownHost,
    /// The mailbox moved away.
    Moved,
    /// The account is disabled.
    Disabled,
    /// The mailbox is full.
    Full,
    /// The message is too large.
    TooLarge,
    /// It waited too long.
    Expired,
    /// The host could not be reached.
    Network,
    /// Something is broken at the other side.
    System,
    /// A loop.
    Loop,
    /// The sender, the host or the contents were refused.
    Policy,
}

use Reason::*;

/// The first row with a word in the text counts.
const WORDS: &[(Reason, &[&str])] = &[
    (Policy, &["name was rejected", "mail rejete"]),
    (
        Full,
        &[
            "mailbox full",
            "mailbox is full",
            "mailfolder is full",
            "folder is full",
            "over quota",
            "overquota",
            "quota exceed",
            "exceeded quota",
            "exceeded storage",
            "mail quota",
            "disk quota",
            "quota violation",
            "over disk quota",
            "full mailbox",
            "mailbox exceeds",
            "exceeded the local limit",
            "exceed the quota",
            "out of storage",
            "storage quota",
            "mail box space",
            "not enough storage space",
            "mailbox size limit exceeded",
            "mailbox has exceeded",
            "quota full",
            "user has exhausted allowed storage",
            "too much mail",
            "mailbox quota",
            "一杯",
        ],
    ),
    (
        TooLarge,
        &[
            "size limit exceeded",
            "message too large",
            "message size exceeds",
            "message is too big",
            "exceeds maximum message size",
            "message size exceed",
            "too large for",
            "exceeded maximum inbound message size",
            "message file too big",
        ],
    ),
    (
        Disabled,
        &[
            "account is locked",
            "disabled or discontinued",
            "account has been disabled",
            "account is disabled",
            "mailbox disabled",
            "account that you tried to reach is disabled",
            "mailbox is inactive",
            "account is suspended",
            "account suspended",
            "user is suspended",
            "inactive user",
            "not been collected after",
            "recipient suspended",
            "mailbox is disabled",
            "has been suspended",
            "mailbox is frozen",
            "account expired",
            "no longer on server",
        ],
    ),
    (
        UnknownHost,
        &[
            "host unknown",
            "unknown host",
            "host or domain name not found",
            "domain not found",
            "name service error",
            "no such host",
            "couldn't find any host",
            "couldn't find a mail exchanger",
            "couldn't find any host named",
            "host not found",
            "unrouteable mail domain",
            "unrouteable address",
            "domain does not exist",
            "no route to host",
            "invalid domain name in recipient",
            "unresolvable domain",
            "bad destination system",
            "no mx ",
            "domain name not found",
            "illegal host/domain name found",
            "domain is not found",
            "account or domain may not exist",
            "unable to resolve",
            "dns error",
            "mx or srv record indicated no smtp service",
        ],
    ),
    (Moved, &["has moved", "user has moved", "no longer at this address", "mailbox currently unavailable - moved"]),
    (
        UnknownUser,
        &[
            "user unknown",
            "unknown user",
            "unknown or illegal user",
            "no such user",
            "no mailbox here",
            "mailbox not found",
            "user not found",
            "not listed in",
            "user not known",
            "recipient name is not recognized",
            "unknown recipient",
            "recipient unknown",
            "does not exist",
            "doesn't exist",
            "no such mailbox",
            "unknown address",
            "unknown e-mail address",
            "address unknown",
            "invalid recipient",
            "no such recipient",
            "addressee unknown",
            "not our customer",
            "wasn't found",
            "couldn't be found",
            "could not be found",
            "recipnotfound",
            "mailbox unavailable",
            "no such address",
            "user doesn't have a",
            "no account by that name",
            "invalid mailbox",
            "this user doesn't have",
            "recipient not found",
            "unknown local part",
            "invalid final delivery userid",
            "wrong or no longer valid",
            "no valid recipients",
            "account unavailable",
            "not a known user",
            "not a valid mailbox",
            "unknown mailbox",
            "recipient address rejected: access denied",
            "recipient no longer",
            "user is not known",
            "there is no user by that name",
            "check if address is correct",
            "bad destination mailbox",
            "said 550 for rcpt to",
            "no longer with us",
            "recipient is not local",
            "e-mail users",
            "user does not have",
            "not a local mailbox",
            "ディレクトリのリストにありません",
            "550 5.1.1",
            "unrouteable",
            "bad address",
            "mailbox doesn't exist",
            "can't be found",
            "isn't found",
            "account not found",
            "name not found",
        ],
    ),
    (Loop, &["too many hops", "message looping", "mail loop", "routing loop", "loop detected", "mail loops back"]),
    (
        Expired,
        &[
            "retry timeout exceeded",
            "envelope expired",
            "queue too long",
            "cannot send message for",
            "delivery time expired",
            "failing for a long time",
            "message expired",
            "was aborted after",
            "could not be delivered for",
            "message timed out",
            "has been in the queue",
            "delivery expired",
            "0 attempts",
            "attempt(s) to deliver over",
        ],
    ),
    (
        Network,
        &[
            "connection timed out",
            "connection refused",
            "network error",
            "wasn't able to establish an smtp connection",
            "could not connect",
            "network unreachable",
            "connection reset",
            "no route",
            "could not find a gateway",
            "operation timed out",
            "server did not respond",
            "unavailable or busy",
            "lost connection",
            "cannot connect",
            "timed out while",
        ],
    ),
    (
        Policy,
        &[
            "spam",
            "spf",
            "dmarc",
            "dkim",
            "blacklist",
            "blocklist",
            "block list",
            "blocked",
            "not member",
            "not a member",
            "unsolicited",
            "policy",
            "prohibited",
            "reputation",
            "reverse dns",
            "relaying denied",
            "relay access denied",
            "not accepting mail from",
            "virus",
            "rejected by a remote mail server",
            "have permission to post",
            "投稿する権限",
            "rejected due to",
            "greylist",
            "open relay",
            "domain filter",
            "smtp authentication",
            "sender address",
            "sender rejected",
            "prohibition",
            "content rejected",
            "mail rejected",
            "access denied",
            "authentication required",
            "you cannot send e-mail",
            "was not accepted because",
            "rejected by the recipient domain",
            "domain of sender",
            "administrative prohibition",
            "does not like",
        ],
    ),
    (
        System,
        &[
            "remote protocol error",
            "ldap",
            "mail system",
            "local configuration error",
            "internal error",
            "command output",
            "permission denied",
            "system error",
            "duplicated message-id",
            "child status",
            "can't create",
            "read error",
            "write error",
            "service unavailable",
            "temporary failure",
            "server error",
        ],
    ),
];

impl Reason {
    /// What a text says; `None` when nothing is known.
    pub fn of(said: &str) -> Option<Reason> {
        let lower = said.to_lowercase();
        let words = lower.split_whitespace().collect::<Vec<_>>().join(" ");
        WORDS.iter().find(|(_, row)| row.iter().any(|word| words.contains(word))).map(|(reason, _)| *reason)
    }

    /// Subject and detail of the status that says the same (RFC 3463 §3); the class that goes with it when none is known.
    fn status(self) -> Enhanced {
        match self {
            UnknownUser => Enhanced(5, 1, 1),
            UnknownHost => Enhanced(5, 1, 2),
            Moved => Enhanced(5, 1, 6),
            Disabled => Enhanced(5, 2, 1),
            Full => Enhanced(5, 2, 2),
            TooLarge => Enhanced(5, 3, 4),
            Expired => Enhanced(4, 4, 7),
            Network => Enhanced(4, 4, 1),
            System => Enhanced(5, 3, 0),
            Loop => Enhanced(5, 4, 6),
            Policy => Enhanced(5, 7, 1),
        }
    }
}

/// The status: as reported, unless it says no more than a class; then the one in the text; then what the words mean.
///
/// `class` is what is known from elsewhere: 4 for a report of a delay.
pub fn status(reported: Option<Enhanced>, class: Option<u8>, reason: Option<Reason>, said: &str) -> Enhanced {
    let is_vague = |status: &Enhanced| (status.1, status.2) == (0, 0);
    let (codes, reply) = codes_in(said);
    if let Some(reported) = reported.filter(|status| !is_vague(status)) {
        // "Other", and "waited too long": the host's own word, where there is one, says why.
        let is_poor = reported.2 == 0 || (reported.1, reported.2) == (4, 7);
        let better = codes.iter().find(|code| code.0 == reported.0 && code.2 != 0 && is_poor);
        return *better.unwrap_or(&reported);
    }
    let wanted = reported.map(|status| status.0).or(class);
    let same_class = codes.iter().find(|code| !is_vague(code) && wanted.is_none_or(|class| class == code.0));
    let best = codes.iter().find(|code| code.2 != 0 && wanted.is_none_or(|class| class == code.0)).or(same_class);
    if let Some(exact) = best.or_else(|| codes.iter().find(|code| !is_vague(code))) {
        return *exact;
    }
    if let Some(reason) = reason {
        let meant = reason.status();
        let class = wanted.or(reply.map(|reply| (reply / 100) as u8)).unwrap_or(meant.0);
        return Enhanced(class, meant.1, meant.2);
    }
    let class = wanted.or(codes.first().map(|code| code.0)).or(reply.map(|reply| (reply / 100) as u8)).unwrap_or(5);
    Enhanced(class, 0, 0)
}

/// The enhanced codes in a text, and the last reply code.
fn codes_in(said: &str) -> (Vec<Enhanced>, Option<u16>) {
    let mut codes = Vec::new();
    let mut reply = None;
    for word in said.split(|c: char| !(c.is_ascii_digit() || c == '.')) {
        let word = word.trim_end_matches('.');
        match Enhanced::parse_prefix(word) {
            // `5.135.10.2` and the like are addresses of hosts; parse_prefix refuses four numbers.
            Some((code, "")) if matches!(code.0, 4 | 5) && code.1 <= 7 && code.2 < 1000 => codes.push(code),
            _ => {
                let number = word.parse::<u16>().ok().filter(|n| word.len() == 3 && (400..600).contains(n));
                reply = reply.or(number.filter(|n| *n < 560 && n % 100 < 60));
            }
        }
    }
    (codes, reply)
}

/// What a status means for the subscription of its recipient (RFC 3463 §3).
pub fn class(status: Enhanced, reason: Option<Reason>) -> Class {
    match (status.0, status.1, status.2) {
        (2, ..) => Class::Delivered,
        // Security and policy: the member can't help it, whatever the text says.
        (_, 7, _) => Class::Policy,
        (4, ..) => Class::Soft,
        // The sender's address; the message's length and contents.
        (_, 1, 7 | 8) | (_, 2, 3) | (_, 3, 4) | (_, 6, _) => Class::Policy,
        (_, 2, 2 | 4) => Class::Soft,
        _ if reason == Some(Full) => Class::Soft,
        (_, 1 | 2, 0) if reason == Some(Policy) => Class::Policy,
        (_, 1, _) | (_, 2, _) | (_, 4, 4) => Class::Hard,
        // What is left says little by itself: the words decide, and without them a failure is one.
        (_, subject, _) => match reason {
            Some(UnknownUser | UnknownHost | Moved | Disabled) => Class::Hard,
            Some(Policy | TooLarge) => Class::Policy,
            Some(Expired | Network | System | Loop | Full) => Class::Soft,
            None if subject == 0 => Class::Hard,
            None => Class::Soft,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (said, status_text, expected) in [
            ("550 5.1.1 <a@b>... User unknown", "5.1.1", Class::Hard),
            ("550 <a@b>: User unknown in local recipient table", "5.1.1", Class::Hard),
            ("552 5.2.2 Mailbox full", "5.2.2", Class::Soft),
            ("The user's mailfolder is full.", "5.2.2", Class::Soft),
            ("550 5.7.1 Recipient address rejected: user unknown by policy", "5.7.1", Class::Policy),
            ("450 4.7.1 greylisted", "4.7.1", Class::Policy),
            ("451 try again later", "4.0.0", Class::Soft),
            ("host mx [5.1.1.7]: 550 no", "5.0.0", Class::Hard),
            ("553 5.1.8 Domain of sender address does not exist", "5.1.8", Class::Policy),
            ("552 message size exceeds limit", "5.3.4", Class::Policy),
            ("550 5.6.0 bad content", "5.6.0", Class::Policy),
            ("failed", "5.0.0", Class::Hard),
            ("No route to host; message expired", "5.1.2", Class::Hard),
            ("connection timed out", "4.4.1", Class::Soft),
        ] {
            let reason = Reason::of(said);
            let status = status(None, None, reason, said);
            assert_eq!((status.to_string().as_str(), class(status, reason)), (status_text, expected), "{said}");
        }
    }

    #[test]
    fn a_vague_status_is_made_exact() {
        let read = |reported, said: &str| status(Some(reported), None, Reason::of(said), said).to_string();
        assert_eq!(read(Enhanced(5, 0, 0), "smtp; 550 5.1.1 no"), "5.1.1");
        assert_eq!(read(Enhanced(4, 0, 0), "mailbox full"), "4.2.2");
        assert_eq!(read(Enhanced(5, 1, 2), "smtp; 550 5.1.1 no"), "5.1.2");
    }
}
