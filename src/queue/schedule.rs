//! When the next attempt is due.

use crate::clock::Timestamp;
use crate::settings;
use std::time::Duration;

/// The pause before the next attempt: as long as the message is old, within the limits. So pauses double.
pub(super) fn pause(age: Duration, settings: &settings::Queue) -> Duration {
    age.clamp(settings.retry.min(settings.retry_max), settings.retry_max)
}

/// The date of the next attempt; never later than the message's expiry, so that it is returned on time.
pub(super) fn next(arrived: Timestamp, now: Timestamp, settings: &settings::Queue) -> Timestamp {
    let next = now.after(pause(now.since(arrived), settings));
    let expiry = arrived.after(settings.expire);
    if now < expiry { next.min(expiry) } else { next }
}

/// A span in whole seconds, rounded up.
pub(super) fn seconds(span: Duration) -> u32 {
    u32::try_from(span.as_secs() + u64::from(span.subsec_nanos() > 0)).unwrap_or(u32::MAX)
}

/// A date in seconds of Unix time, rounded up: what waits for it is never early.
pub(super) fn date(when: Timestamp) -> u32 {
    u32::try_from((when.microseconds().max(0) as u64).div_ceil(1_000_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_limit() {
        let settings = settings::Queue::default();
        let arrived = Timestamp::from_seconds(1_000_000);
        let mut now = arrived;
        let mut pauses = Vec::new();
        for _ in 0..9 {
            let due = next(arrived, now, &settings);
            pauses.push(due.since(now).as_secs() / 60);
            now = due;
        }
        assert_eq!(pauses, [5, 5, 10, 20, 40, 80, 160, 240, 240]);
        let late = arrived.after(Duration::from_secs(119 * 3600));
        assert_eq!(next(arrived, late, &settings), arrived.after(settings.expire));
    }
}
