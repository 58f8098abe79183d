//! Timeouts of sendmail.cf: the parts of `O Timeout`, and T of old.

use super::options::Target;
use super::values::{number, span};

/// Every name that stands behind `Timeout.`; another ends the program, as it ends sendmail.
#[rustfmt::skip]
const PARTS: [&str; 34] = [
    "connect", "iconnect", "aconnect", "initial", "helo", "mail", "rcpt", "datainit", "datablock", "datafinal", "rset", "quit", "misc",
    "command", "control", "lhlo", "auth", "starttls", "ident", "fileopen", "hoststatus", "queuereturn", "queuereturn.normal",
    "queuereturn.urgent", "queuereturn.non-urgent", "queuereturn.dsn", "queuewarn", "queuewarn.normal", "queuewarn.urgent",
    "queuewarn.non-urgent", "queuewarn.dsn", "resolver.retrans", "resolver.retry", "",
];
/// What may stand behind a resolver's part.
const RESOLVER: [&str; 2] = [".first", ".normal"];

/// T of old: `5d/4h`, return and warn.
pub(super) fn queue_timeout(target: &mut Target, text: &str) {
    let (back, warn) = text.split_once('/').unwrap_or((text, ""));
    target.settings.queue.expire = span(back, 'd');
    target.settings.queue.expire_bounces = span(back, 'd');
    if !warn.is_empty() {
        target.settings.queue.warn = span(warn, 'h');
    }
}

/// A Timeout of that name, which may be none where the old letter stands; gives why it has no effect, if it has none.
pub(super) fn timeout(target: &mut Target, part: &str, text: &str) -> Result<Option<String>, String> {
    let part = part.to_ascii_lowercase();
    let whole = RESOLVER.iter().find_map(|end| part.strip_suffix(end).filter(|part| part.starts_with("resolver.")));
    if !PARTS.contains(&whole.unwrap_or(&part)) {
        return Err(format!("settimeout: invalid timeout {part}"));
    }
    Ok(known(target, &part, text))
}

fn known(target: &mut Target, part: &str, text: &str) -> Option<String> {
    let (smtp, queue) = (&mut target.settings.smtp, &mut target.settings.queue);
    match part {
        "" => {
            queue_timeout(target, text);
        }
        "queuereturn" => {
            queue.expire = span(text, 'd');
            queue.expire_bounces = queue.expire;
        }
        "queuereturn.normal" => queue.expire = span(text, 'd'),
        "queuereturn.dsn" => queue.expire_bounces = span(text, 'd'),
        "queuewarn" | "queuewarn.normal" => queue.warn = span(text, 'h'),
        "connect" | "iconnect" | "aconnect" => queue.timeout_connect = span(text, 'm'),
        // One patience for all replies: the longest that the file has for one.
        "mail" | "rcpt" | "helo" | "initial" | "datainit" | "rset" | "quit" | "misc" => {
            queue.timeout_command = span(text, 'm').max(LEAST_PATIENCE);
        }
        "datafinal" => queue.timeout_data = span(text, 'm').max(LEAST_PATIENCE),
        "command" => smtp.timeout_command = span(text, 'm').max(LEAST_PATIENCE),
        "datablock" => smtp.timeout_data = span(text, 'm').max(LEAST_PATIENCE),
        part if part.starts_with("queuereturn.") || part.starts_with("queuewarn.") => {
            return Some("mail of all priorities has the same times".to_string());
        }
        // A patience for names is one for the services, too: a second at least.
        "resolver.retrans" | "resolver.retrans.first" | "resolver.retrans.normal" => {
            target.settings.dns.timeout = span(text, 's').max(LEAST_PATIENCE);
        }
        "resolver.retry" | "resolver.retry.first" | "resolver.retry.normal" => {
            target.settings.dns.attempts = u32::try_from(number(text)).unwrap_or(u32::MAX).clamp(1, RETRIES);
        }
        "ident" => return Some("clients are not asked for the names of their users".to_string()),
        _ => return Some("this has a time of its own here".to_string()),
    }
    None
}

/// Most questions that are sent again without an answer.
const RETRIES: u32 = 10;

/// A peer gets at least so long, whatever the file says: a second is what tests set.
const LEAST_PATIENCE: std::time::Duration = std::time::Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{Cf, Root, Settings};

    #[test]
    fn unknown_timeouts_are_mistakes() {
        let mut root = Root::installed();
        let (mut settings, mut cf) = (Settings::default(), Cf::default());
        let mut target = Target { root: &mut root, settings: &mut settings, cf: &mut cf };
        for part in ["Mail", "queuereturn.dsn", "resolver.retrans", "resolver.retry.First", "ident", ""] {
            assert!(timeout(&mut target, part, "3m").is_ok(), "{part}");
        }
        for part in ["eom", "queuereturn.now", "resolver", "resolver.retrans.foo", "mail.first"] {
            assert_eq!(timeout(&mut target, part, "3m"), Err(format!("settimeout: invalid timeout {part}")));
        }
    }
}
