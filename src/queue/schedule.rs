//! When a message is due, when it is late, when it is given up: pure functions of envelope, progress, time and settings.
//!
//! Called by the runner at each attempt, and by the daemon for the order of what is due.
//! RFC 5321 §4.5.4.1 (retry), RFC 2852 §4.1 (deliver-by), RFC 4865 §4.2 (release), RFC 6710 §5.1 (priority).

use crate::clock::Timestamp;
use crate::envelope::{ByMode, Envelope};
use crate::settings;
use crate::spool::Progress;
use std::time::Duration;

/// The spans that hold for one message: those of its priority, and of reports where it is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spans {
    /// The first pause.
    pub retry: Duration,
    /// The longest pause.
    pub retry_max: Duration,
    /// Age at which the sender is told that it is late.
    pub warn: Duration,
    /// Age at which it is given up.
    pub expire: Duration,
}

/// The spans for a message.
pub fn spans(envelope: &Envelope, settings: &settings::Queue) -> Spans {
    let rank = envelope.handling.rank();
    let rule = settings.priorities.iter().find(|rule| (rule.from..=rule.to).contains(&rank));
    let retry = rule.and_then(|rule| rule.retry);
    // The longest pause shrinks and grows with the first one.
    let retry_max = match retry {
        Some(own) if !settings.retry.is_zero() => {
            let scaled =
                settings.retry_max.as_millis().saturating_mul(own.as_millis()) / settings.retry.as_millis().max(1);
            Duration::from_millis(u64::try_from(scaled).unwrap_or(u64::MAX))
        }
        _ => settings.retry_max,
    };
    let expire = rule.and_then(|rule| rule.expire).unwrap_or(settings.expire);
    Spans {
        retry: retry.unwrap_or(settings.retry),
        retry_max,
        warn: rule.and_then(|rule| rule.warn).unwrap_or(settings.warn),
        expire: if envelope.sender.is_none() { settings.expire_bounces.min(expire) } else { expire },
    }
}

/// The date before which no attempt may be made; `None` when one may be made now. A release by the administrator ends the wait.
pub fn held_until(envelope: &Envelope, progress: &Progress, now: Timestamp) -> Option<Timestamp> {
    let hold = envelope.handling.hold.as_ref().filter(|_| progress.released.is_none())?;
    Some(hold.until).filter(|until| now < *until)
}

/// When a message's age begins: at its release, where it waited for one. The time it spent waiting is not held against it.
pub fn born(envelope: &Envelope, progress: &Progress) -> Timestamp {
    let Some(hold) = &envelope.handling.hold else { return envelope.arrived };
    progress.released.map_or(hold.until, |released| released.min(hold.until)).max(envelope.arrived)
}

/// The pause before the next attempt: as long as the message is old, within the limits. So pauses double.
fn pause(age: Duration, retry: Duration, retry_max: Duration) -> Duration {
    age.clamp(retry.min(retry_max), retry_max)
}

/// When the sender must be told something next, whether an attempt is made or not.
pub(super) fn care(envelope: &Envelope, progress: &Progress, settings: &settings::Queue) -> Timestamp {
    let warning = born(envelope, progress).after(spans(envelope, settings).warn);
    let warning = (!progress.warned && envelope.sender.is_some()).then_some(warning);
    let dates = [warning, reminder(envelope, progress)];
    dates.into_iter().flatten().fold(expiry(envelope, progress, settings).0, Timestamp::min)
}

/// True when mail for a domain waits for the line (`queue.on_demand`): the first pattern that fits says so.
pub(super) fn is_on_demand(patterns: &[String], domain: &str) -> bool {
    let fits = |pattern: &str| match pattern.strip_prefix('.') {
        _ if pattern == "*" => true,
        Some(parent) => domain.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
        None => pattern.eq_ignore_ascii_case(domain),
    };
    let patterns =
        patterns.iter().map(|text| text.strip_prefix('!').map_or((true, text.as_str()), |rest| (false, rest)));
    patterns.into_iter().find(|(_, pattern)| fits(pattern)).is_some_and(|(waits, _)| waits)
}

/// A span in whole seconds, rounded up.
pub(super) fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs() + u64::from(span.subsec_nanos() > 0)).unwrap_or(u32::MAX)
}

/// A date in seconds of Unix time, rounded up: what waits for it is never early.
pub(super) fn date(when: Timestamp) -> u32 {
    u32::try_from((when.microseconds().max(0) as u64).div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

/// The date of the next attempt of this very message: after a pause, but in time for what must be said at a date.
pub fn next_attempt(envelope: &Envelope, progress: &Progress, now: Timestamp, settings: &settings::Queue) -> Timestamp {
    let spans = spans(envelope, settings);
    let next = now.after(pause(now.since(born(envelope, progress)), spans.retry, spans.retry_max));
    let dates = [Some(expiry(envelope, progress, settings).0), reminder(envelope, progress)];
    let ahead = dates.into_iter().flatten().filter(|date| now < *date);
    let next = ahead.min().map_or(next, |date| next.min(date));
    held_until(envelope, progress, now).map_or(next, |until| next.max(until))
}

/// Why a message is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// It is as old as one may become.
    Age(Duration),
    /// Its sender wanted it back by then (BY=…;R).
    DeliverBy,
}

impl Ending {
    /// What the sender is told, without the last attempt's reason.
    pub fn text(self) -> String {
        match self {
            Ending::Age(span) => format!("Not delivered within {}", humantime::format_duration(span)),
            Ending::DeliverBy => "Not delivered by the time that the sender asked for".to_string(),
        }
    }
}

/// When a message is given up, and why: 5.4.7 (RFC 2852 §4.1.3).
pub fn expiry(envelope: &Envelope, progress: &Progress, settings: &settings::Queue) -> (Timestamp, Ending) {
    let span = spans(envelope, settings).expire;
    let age = (born(envelope, progress).after(span), Ending::Age(span));
    match envelope.handling.by {
        Some(by) if by.mode == ByMode::Return && by.at < age.0 => (by.at, Ending::DeliverBy),
        _ => age,
    }
}

/// The deliver-by-time at which a sender is still to be told that the message goes on late (BY=…;N, RFC 2852 §4.1.3).
fn reminder(envelope: &Envelope, progress: &Progress) -> Option<Timestamp> {
    envelope.handling.by.filter(|by| by.mode == ByMode::Notify && !progress.overdue).map(|by| by.at)
}

/// Why the sender is told now that a message is late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// It has waited for `queue.warn`; told once.
    Old,
    /// The time of BY=…;N has come: 4.4.7; told once.
    Overdue,
}

/// Whether the sender of a message that is still owed must be told now that it is late. Nobody is told about a report.
pub fn late(envelope: &Envelope, progress: &Progress, now: Timestamp, settings: &settings::Queue) -> Option<Late> {
    envelope.sender.as_ref()?;
    if reminder(envelope, progress).is_some_and(|at| at <= now) {
        return Some(Late::Overdue);
    }
    let is_old = now.since(born(envelope, progress)) >= spans(envelope, settings).warn;
    Some(Late::Old).filter(|_| is_old && !progress.warned && held_until(envelope, progress, now).is_none())
}

#[cfg(test)]
mod tests;
