//! The Date field, read as people and programs write it.
//!
//! Called by the index, for SENTSINCE and its like and for SORT DATE. Reads the form of RFC 5322 §3.3, the obsolete ones (two-digit
//! years, named zones), those of the C library's `asctime` and of ISO 8601, in any order of day, month, year and time. A
//! date without a time is midnight; without a zone, or with one that nobody knows, UTC (RFC 5322 §4.3).

use crate::clock::Timestamp;
use jiff::{civil, tz::Offset};

/// So much of a Date field is looked at, in octets.
const DATE_LIMIT: usize = 256;

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
/// Hours east of Greenwich.
const ZONES: &[(&str, i32)] = &[
    ("est", -5),
    ("edt", -4),
    ("cst", -6),
    ("cdt", -5),
    ("mst", -7),
    ("mdt", -6),
    ("pst", -8),
    ("pdt", -7),
    ("cet", 1),
    ("cest", 2),
    ("met", 1),
    ("mest", 2),
    ("jst", 9),
    ("kst", 9),
];

/// A day of the calendar. Days compare as they follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day {
    /// 1 to 9999.
    pub year: i16,
    /// 1 to 12.
    pub month: i8,
    /// 1 to 31.
    pub day: i8,
}

/// When a message says that it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SentDate {
    /// The moment: what SORT compares.
    pub at: Timestamp,
    /// The day as written, in the sender's zone: what SENTON compares (RFC 9051 §6.4.4).
    pub day: Day,
}

#[derive(Default)]
struct Pieces {
    day: Option<i8>,
    month: Option<i8>,
    year: Option<i16>,
    time: Option<(i8, i8, i8)>,
    afternoon: Option<bool>,
    /// Seconds east.
    zone: Option<i32>,
}

/// Reads the body of a Date field; `None` when there is no day of the calendar in it.
pub fn parse(body: &[u8]) -> Option<SentDate> {
    let text = without_comments(&body[..body.len().min(DATE_LIMIT)]);
    let mut pieces = Pieces::default();
    for word in text.split([' ', '\t', '\r', '\n', ',']) {
        pieces.take(word.trim_matches('.'));
    }
    let (year, month, day) = (pieces.year?, pieces.month?, pieces.day?);
    let date = civil::Date::new(year, month, day).ok().filter(|_| year >= 1)?;
    let (mut hour, minute, second) = pieces.time.unwrap_or_default();
    match pieces.afternoon {
        Some(true) if hour < 12 => hour += 12,
        Some(false) if hour == 12 => hour = 0,
        _ => {}
    }
    // RFC 5322 §3.3 allows a leap second; it counts as the one before.
    let time = civil::Time::new(hour, minute, second.min(59), 0).ok()?;
    let local = Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?.as_second();
    let at = Timestamp::from_seconds(local - i64::from(pieces.zone.unwrap_or(0)));
    Some(SentDate { at, day: Day { year, month, day } })
}

impl Pieces {
    fn take(&mut self, word: &str) {
        let Some(first) = word.bytes().next() else { return };
        match first {
            b'+' | b'-' => self.zone = self.zone.or(offset(word)),
            b'0'..=b'9' => self.take_number(word),
            _ => self.take_name(word),
        }
    }

    fn take_number(&mut self, word: &str) {
        if let Some((date, time)) = word.split_once(['T', 't']).filter(|(_, time)| time.contains(':')) {
            self.take(date);
            self.take(time);
        } else if word.contains(':') {
            let end = word.find(|c: char| !c.is_ascii_digit() && c != ':' && c != '.').unwrap_or(word.len());
            self.time = self.time.or(time_of_day(&word[..end]));
            self.take(&word[end..]);
        } else if word.bytes().all(|b| b.is_ascii_digit()) {
            let Ok(number) = word.parse::<i16>() else { return };
            match i8::try_from(number) {
                Ok(day @ 1..=31) if self.day.is_none() && word.len() <= 2 => self.day = Some(day),
                _ => self.year = self.year.or(full_year(number, word.len())),
            }
        } else {
            // 24-Nov-2026, 2026-11-24, 24/Nov/2026
            let fields: Vec<&str> = word.split(['-', '/']).collect();
            match fields[..] {
                [year, month, day] if year.len() == 4 && self.year.is_none() => {
                    self.year = year.parse().ok();
                    self.month = month.parse().ok().filter(|m| (1..=12).contains(m)).or(month_of(month));
                    self.day = day.parse().ok();
                }
                [day, month, year] if self.month.is_none() && month_of(month).is_some() => {
                    self.take(day);
                    self.take(month);
                    self.take(year);
                }
                _ => {}
            }
        }
    }

    fn take_name(&mut self, word: &str) {
        let word = word.to_ascii_lowercase();
        if self.month.is_none() && month_of(&word).is_some() {
            self.month = month_of(&word);
        } else if word == "am" || word == "pm" {
            self.afternoon = Some(word == "pm");
        } else if let Some((_, hours)) = ZONES.iter().find(|(name, _)| *name == word) {
            self.zone = self.zone.or(Some(hours * 3600));
        }
    }
}

fn month_of(word: &str) -> Option<i8> {
    let start = word.get(..3)?.to_ascii_lowercase();
    let is_word = word.bytes().all(|b| b.is_ascii_alphabetic());
    let at = MONTHS.iter().position(|month| *month == start).filter(|_| is_word)?;
    i8::try_from(at + 1).ok()
}

/// RFC 5322 §4.3
fn full_year(number: i16, digits: usize) -> Option<i16> {
    match digits {
        1 | 2 if number < 50 => Some(2000 + number),
        2 | 3 => Some(1900 + number),
        4 => Some(number),
        _ => None,
    }
}

fn time_of_day(word: &str) -> Option<(i8, i8, i8)> {
    let mut fields = word.split('.').next()?.split(':');
    let hour = fields.next()?.parse().ok()?;
    let minute = fields.next()?.parse().ok()?;
    let second = fields.next().map_or(Some(0), |second| second.parse().ok())?;
    Some((hour, minute, second))
}

/// `+0900`, `+09:00`, `+09`: seconds.
fn offset(word: &str) -> Option<i32> {
    let sign = if word.starts_with('-') { -1 } else { 1 };
    let digits: String = word[1..].chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i32, i32) = match digits.len() {
        4 => (digits[..2].parse().ok()?, digits[2..].parse().ok()?),
        2 => (digits.parse().ok()?, 0),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn without_comments(text: &[u8]) -> String {
    let mut depth = 0u32;
    let mut out = String::new();
    for byte in text {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            byte if depth == 0 => out.push(if byte.is_ascii() { *byte as char } else { ' ' }),
            _ => out.push(' '),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truth_table() {
        for (text, expected) in [
            ("Tue, 24 Nov 2026 12:07:51 +0900", "2026-11-24 2026-11-24T03:07:51"),
            ("24 Nov 2026 12:07 -0130", "2026-11-24 2026-11-24T13:37:00"),
            ("Mon, 1 Jan 2001 00:30:00 +0900 (JST)", "2001-01-01 2000-12-31T15:30:00"),
            ("Tue (x), 24 (y (z)) Nov 2026 (12:00) 1:02:03 GMT", "2026-11-24 2026-11-24T01:02:03"),
            ("Fri, 21 Nov 97 09:55:06 EST", "1997-11-21 1997-11-21T14:55:06"),
            ("1 January 05 10:00:60 Z", "2005-01-01 2005-01-01T10:00:59"),
            ("1 Jan 103 10:00 K", "2003-01-01 2003-01-01T10:00:00"),
            ("Sat Nov  2 08:09:10 2002", "2002-11-02 2002-11-02T08:09:10"),
            ("2002-11-02T08:09:10.5+01:00", "2002-11-02 2002-11-02T07:09:10"),
            ("2002-11-02 08:09", "2002-11-02 2002-11-02T08:09:00"),
            ("2-Nov-2002 08:09:10 PST", "2002-11-02 2002-11-02T16:09:10"),
            ("02/Nov/02 1:00:00 PM", "2002-11-02 2002-11-02T13:00:00"),
            ("12 Nov 2002 12:30 am", "2002-11-12 2002-11-12T00:30:00"),
            ("Wed, 3 Apr 2024", "2024-04-03 2024-04-03T00:00:00"),
            ("3 Apr 2024 00:00:00 +9999", "2024-04-03 2024-04-03T00:00:00"),
            ("Sat, 29 Feb 2020 23:00:00 +0000", "2020-02-29 2020-02-29T23:00:00"),
        ] {
            let found = parse(text.as_bytes()).unwrap_or_else(|| panic!("{text}"));
            let Day { year, month, day } = found.day;
            let shown = format!("{year:04}-{month:02}-{day:02} {}", &found.at.rfc3339()[..19]);
            assert_eq!(shown, expected, "{text}");
        }
    }

    #[test]
    fn no_date() {
        for text in
            ["", "yesterday", "29 Feb 2021", "32 Jan 2020", "1 2 3", "24 Nov", "Nov 2026", "1 Jan 2020 25:00", "0-0-0"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(parse(&b"9".repeat(100_000)), None);
        assert_eq!(parse(b"\xff\xff 1 Jan 20"), parse(b"1 Jan 2020"));
    }
}
