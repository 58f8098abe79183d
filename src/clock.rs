//! Time as mail needs it: a timestamp in microseconds and the one printer of each date form.
//!
//! Only programs and drivers ask for the present ([`Timestamp::now`]); everything below them is handed a
//! timestamp, so that tests can let days pass.

use jiff::tz::TimeZone;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// The system's clock.
    pub fn now() -> Timestamp {
        Timestamp::from(SystemTime::now())
    }

    /// When this machine started, by the present setting of its clock.
    pub fn booted() -> Timestamp {
        use nix::time::{ClockId, clock_gettime};
        // Without that clock, which Linux has had since 2.6.39, the machine has just started.
        let up = clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |up| up.tv_sec().saturating_mul(1_000_000) + up.tv_nsec() / 1000);
        Timestamp(Timestamp::now().0 - up)
    }

    /// Whole seconds since the epoch.
    pub fn seconds(self) -> i64 {
        self.0.div_euclid(1_000_000)
    }

    /// The part below a second, in microseconds.
    pub fn microseconds(self) -> i64 {
        self.0.rem_euclid(1_000_000)
    }

    /// Makes a timestamp of whole seconds.
    pub fn from_seconds(seconds: i64) -> Timestamp {
        Timestamp(seconds.saturating_mul(1_000_000))
    }

    /// Time passed since `earlier`; zero when the clock went back.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// The moment `span` after this one.
    pub fn after(self, span: Duration) -> Timestamp {
        Timestamp(self.0.saturating_add(i64::try_from(span.as_micros()).unwrap_or(i64::MAX)))
    }

    /// `Tue, 24 Nov 2026 12:07:51 +0900` in the local zone: header dates (RFC 5322 §3.3).
    pub fn rfc5322(self) -> String {
        self.zoned(local_zone()).strftime("%a, %d %b %Y %H:%M:%S %z").to_string()
    }

    /// `2026-11-24T12:07:51.000123Z`: logs and JSON (RFC 3339).
    pub fn rfc3339(self) -> String {
        let mut text = String::with_capacity(27);
        self.push_rfc3339(&mut text);
        text
    }

    /// Appends [`Timestamp::rfc3339`].
    pub fn push_rfc3339(self, text: &mut String) {
        let at = self.zoned(TimeZone::UTC).datetime();
        // By hand: each line of the log begins with one.
        let mut put = |number: u32, width: usize, end: u8| {
            let (mut octets, mut rest) = ([b'0'; 8], number);
            for octet in octets[..width].iter_mut().rev() {
                *octet += (rest % 10) as u8;
                rest /= 10;
            }
            octets[width] = end;
            text.push_str(std::str::from_utf8(&octets[..=width]).unwrap_or_default());
        };
        put(at.year().max(0) as u32, 4, b'-');
        put(at.month() as u32, 2, b'-');
        put(at.day() as u32, 2, b'T');
        put(at.hour() as u32, 2, b':');
        put(at.minute() as u32, 2, b':');
        put(at.second() as u32, 2, b'.');
        put(at.subsec_nanosecond() as u32 / 1000, 6, b'Z');
    }

    /// Reads `date-time` of RFC 3339 §5.6, with any offset and any fraction of a second; `None` for everything else.
    pub fn parse_rfc3339(text: &str) -> Option<Timestamp> {
        let (date, rest) = text.split_at_checked(11)?;
        let (time, rest) = rest.split_at_checked(8)?;
        let number = |text: &str| text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse::<i16>().ok()).flatten();
        let three = |text: &str, mark: char| -> Option<(i16, i8, i8)> {
            let mut parts = text.split(mark).map(|part| if part.is_empty() { None } else { number(part) });
            let three = (parts.next()??, i8::try_from(parts.next()??).ok()?, i8::try_from(parts.next()??).ok()?);
            parts.next().is_none().then_some(three)
        };
        let is_apart = |text: &str, mark: u8, at: [usize; 2]| at.iter().all(|at| text.as_bytes()[*at] == mark);
        let date = date.strip_suffix(['T', 't']).filter(|date| is_apart(date, b'-', [4, 7]))?;
        let (hour, minute, second) = three(Some(time).filter(|time| is_apart(time, b':', [2, 5]))?, ':')?;
        let (fraction, zone) = match rest.strip_prefix('.') {
            Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
            None => ("0", rest),
        };
        let offset = match zone.as_bytes() {
            [b'Z' | b'z'] => 0,
            [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
                let (hours, minutes) = (number(&zone[1..3])?, number(&zone[4..])?);
                let offset = i32::from(hours) * 60 + i32::from(minutes);
                (hours < 24 && minutes < 60).then_some(if *sign == b'-' { -offset } else { offset })?
            }
            _ => return None,
        };
        let microseconds = format!("{:0<6.6}", fraction).parse::<i64>().ok().filter(|_| !fraction.is_empty())?;
        let whole = Timestamp::from_civil(three(date, '-')?, (i8::try_from(hour).ok()?, minute, second), offset)?;
        Some(Timestamp(whole.0 + microseconds))
    }

    /// `Nov 24 12:07:51` in the local zone: syslog lines and queue listings.
    pub fn short(self) -> String {
        self.zoned(local_zone()).strftime("%b %e %H:%M:%S").to_string()
    }

    /// Strftime in the local zone, for the forms that other programs fixed (mailq, mbox).
    pub fn local(self, format: &str) -> String {
        self.zoned(local_zone()).strftime(format).to_string()
    }

    /// `24-Nov-2026 12:07:51 +0900` in the local zone: `date-time` of IMAP without its quotes (RFC 9051 §9).
    pub fn imap(self) -> String {
        self.zoned(local_zone()).strftime("%d-%b-%Y %H:%M:%S %z").to_string()
    }

    /// The moment when a clock that is `offset` minutes east of Greenwich shows these; `None` when no clock does. A leap second
    /// counts as the second before it.
    pub fn from_civil(date: (i16, i8, i8), time: (i8, i8, i8), offset: i32) -> Option<Timestamp> {
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(offset.checked_mul(60)?).ok()?);
        let second = if time.2 == 60 { 59 } else { time.2 };
        let civil = jiff::civil::DateTime::new(date.0, date.1, date.2, time.0, time.1, second, 0).ok()?;
        Some(Timestamp(civil.to_zoned_datetime(zone).ok()?.timestamp().as_microsecond()))
    }

    fn zoned(self, zone: TimeZone) -> jiff::ZonedDateTime {
        // A date outside jiff's range (year ±9999) is a damaged file's; the epoch is as good as any.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_zoned_datetime(zone)
    }
}

/// Processor time that the calling thread has used: what limits somebody's work whatever else runs beside it.
pub fn thread_time() -> Duration {
    use nix::time::{ClockId, clock_gettime};
    // A clock that every Linux has; without it nothing is limited by time.
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map_or(Duration::ZERO, Duration::from)
}

/// The local zone, read once.
///
/// jiff's own search goes through the whole zone database for a name, which costs a command a millisecond; without TZ
/// the rules in /etc/localtime are all we need.
fn local_zone() -> TimeZone {
    static ZONE: OnceLock<TimeZone> = OnceLock::new();
    let find = || match std::env::var("TZ").as_deref() {
        Ok("UTC" | "UTC0") => TimeZone::UTC,
        Ok(name) if !name.is_empty() => TimeZone::system(),
        _ => {
            let rules = std::fs::read("/etc/localtime");
            rules.ok().and_then(|bytes| TimeZone::tzif("local", &bytes).ok()).unwrap_or(TimeZone::UTC)
        }
    };
    ZONE.get_or_init(find).clone()
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Timestamp {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Timestamp(i64::try_from(after.as_micros()).unwrap_or(i64::MAX)),
            Err(before) => Timestamp(-i64::try_from(before.duration().as_micros()).unwrap_or(i64::MAX)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_rfc3339() {
        let seconds = |text: &str| Timestamp::parse_rfc3339(text).map(|t| t.0);
        let noon = 1_795_522_071_000_000;
        for (text, expected) in [
            ("2026-11-24T12:07:51Z", noon),
            ("2026-11-24t12:07:51z", noon),
            ("2026-11-24T12:07:51.5Z", noon + 500_000),
            ("2026-11-24T12:07:51.123456789Z", noon + 123_456),
            ("2026-11-24T21:07:51+09:00", noon),
            ("2026-11-24T11:37:51-00:30", noon),
            ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
        ] {
            assert_eq!(seconds(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "2026-11-24",
            "2026-11-24T12:07:51",
            "2026-11-24 12:07:51Z",
            "2026-11-24T12:07Z",
            "2026-13-24T12:07:51Z",
            "2026-02-30T12:07:51Z",
            "2026-11-24T24:07:51Z",
            "2026-11-24T12:07:51.Z",
            "2026-11-24T12:07:51.5",
            "2026-11-24T12:07:51+0900",
            "2026-11-24T12:07:51+24:00",
            "2026-11-24T12:07:51+09:60",
            "2026-11-24T12:07:51+\u{e9}:00",
            "+026-11-24T12:07:51Z",
            "26-11-0024T12:07:51Z",
            "2026-11-24T12:07:51Zx",
            "2026-1\u{e9}24T12:07:51Z",
        ] {
            assert_eq!(seconds(bad), None, "{bad}");
        }
    }

    #[test]
    fn prints_rfc3339() {
        assert_eq!(Timestamp(1_795_522_071_000_123).rfc3339(), "2026-11-24T12:07:51.000123Z");
        assert_eq!(Timestamp(0).rfc3339(), "1970-01-01T00:00:00.000000Z");
    }

    #[test]
    fn civil_dates_become_moments() {
        let moment = Timestamp::from_civil((2026, 11, 24), (21, 7, 51), 540);
        assert_eq!(moment, Some(Timestamp::from_seconds(1_795_522_071)));
        assert_eq!(Timestamp::from_civil((2026, 11, 24), (12, 7, 60), 0), Some(Timestamp::from_seconds(1_795_522_079)));
        for (date, time, offset) in
            [((2026, 2, 30), (0, 0, 0), 0), ((2026, 1, 1), (24, 0, 0), 0), ((2026, 1, 1), (0, 0, 0), i32::MAX)]
        {
            assert_eq!(Timestamp::from_civil(date, time, offset), None);
        }
    }

    #[test]
    fn a_clock_that_went_back_gives_no_negative_age() {
        assert_eq!(Timestamp(5).since(Timestamp(10)), Duration::ZERO);
    }
}
