//! Dates of fields and of the clock, taken to pieces.
//!
//! RFC 5260 §4.

use crate::clock::Timestamp;
use crate::msg::date;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// A moment as a clock of some zone shows it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    civil: DateTime,
    /// Minutes east of Greenwich.
    offset: i32,
    at: Timestamp,
}

/// Minutes east of Greenwich for `+hhmm`.
pub fn offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes() {
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if digits.len() != 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: i32 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    let (hours, minutes) = (number / 100, number % 100);
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

impl Moment {
    /// What a clock shows at this moment; without a zone, one of this host.
    pub fn of(at: Timestamp, zone: Option<i32>) -> Option<Moment> {
        let offset = zone.or_else(|| offset(&at.local("%z")))?;
        let zone = TimeZone::fixed(Offset::from_seconds(offset * 60).ok()?);
        let civil = jiff::Timestamp::from_microsecond(at.0).ok()?.to_zoned_datetime(zone).datetime();
        Some(Moment { civil, offset, at })
    }

    /// The moment in a date field: the whole of it, or what stands behind its last semicolon (RFC 5260 §4). `original` keeps the
    /// zone that the field has.
    pub fn of_field(value: &str, zone: Option<i32>, original: bool) -> Option<Moment> {
        let text = value.rsplit(';').next().unwrap_or(value).trim();
        let sent = date::parse(text.as_bytes())?;
        let zone = if original { Some(written_zone(text, &sent)) } else { zone };
        Moment::of(sent.at, zone)
    }

    /// One part of it, by its name (RFC 5260 §4.2).
    pub fn part(&self, name: &str) -> Option<String> {
        let civil = &self.civil;
        let zone = |colon: &str| {
            let sign = if self.offset < 0 { '-' } else { '+' };
            format!("{sign}{:02}{colon}{:02}", self.offset.abs() / 60, self.offset.abs() % 60)
        };
        Some(match name.to_ascii_lowercase().as_str() {
            "year" => format!("{:04}", civil.year()),
            "month" => format!("{:02}", civil.month()),
            "day" => format!("{:02}", civil.day()),
            "date" => civil.strftime("%Y-%m-%d").to_string(),
            "julian" => self.julian().to_string(),
            "hour" => format!("{:02}", civil.hour()),
            "minute" => format!("{:02}", civil.minute()),
            "second" => format!("{:02}", civil.second()),
            "time" => civil.strftime("%H:%M:%S").to_string(),
            "iso8601" => format!("{}{}", civil.strftime("%Y-%m-%dT%H:%M:%S"), zone(":")),
            "std11" => format!("{} {}", civil.strftime("%a, %d %b %Y %H:%M:%S"), zone("")),
            "zone" => zone(""),
            "weekday" => civil.weekday().to_sunday_zero_offset().to_string(),
            _ => return None,
        })
    }

    /// Modified Julian day: days since 17 November 1858.
    fn julian(&self) -> i64 {
        let local = self.at.seconds() + i64::from(self.offset) * 60;
        local.div_euclid(86_400) + 40_587
    }
}

/// The zone of a date as written: what the day and time in it are ahead of the moment.
fn written_zone(text: &str, sent: &date::SentDate) -> i32 {
    let numeric = text.split([' ', '\t']).rev().find_map(offset);
    numeric.unwrap_or_else(|| {
        // A named zone: its offset is what the date reads as without one, less the moment.
        let end = text.rfind(|c: char| c.is_ascii_digit()).map_or(text.len(), |at| at + 1);
        let bare = date::parse(text.as_bytes().get(..end).unwrap_or_default()).map_or(sent.at, |bare| bare.at);
        i32::try_from((bare.seconds() - sent.at.seconds()) / 60).unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_truth_table() {
        let text = "Thu, 20 Jul 2006 22:33:44 -0500";
        let original = Moment::of_field(text, None, true).unwrap();
        for (part, expected) in [
            ("year", "2006"),
            ("month", "07"),
            ("day", "20"),
            ("date", "2006-07-20"),
            ("julian", "53936"),
            ("hour", "22"),
            ("time", "22:33:44"),
            ("iso8601", "2006-07-20T22:33:44-05:00"),
            ("std11", "Thu, 20 Jul 2006 22:33:44 -0500"),
            ("zone", "-0500"),
            ("weekday", "4"),
        ] {
            assert_eq!(original.part(part).as_deref(), Some(expected), "{part}");
        }
        let there = Moment::of_field(&format!("from x by y; {text}"), offset("+0900"), false).unwrap();
        assert_eq!(there.part("iso8601").as_deref(), Some("2006-07-21T12:33:44+09:00"));
        let named = Moment::of_field("Thu, 20 Jul 2006 22:33:44 EST", None, true).unwrap();
        assert_eq!(named.part("zone").as_deref(), Some("-0500"));
        assert!(Moment::of_field("no date", None, true).is_none());
        assert_eq!((offset("+0130"), offset("0130"), offset("+2500")), (Some(90), None, None));
    }
}
