//! Parsers, one for each command: arguments in, values out. Each begins behind the verb and ends at the end of the command.

pub(super) mod access;
pub(super) mod append;
pub(super) mod auth;
pub(super) mod fetch;
pub(super) mod list;
pub(super) mod mailbox;
pub(super) mod message;
pub(super) mod notify;
pub(super) mod search;

use super::ask::Refusal;
use super::command::{Flag, PartialRange};
use super::key::Date;
use super::scan::{Parsed, Scan};
use crate::clock::Timestamp;
use crate::mailbox::{ModSeq, System, is_keyword};

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// An extension's word was used though the extension is not offered, or nobody knows it.
fn unknown<T>(what: &str) -> Parsed<T> {
    Err(Refusal::bad(format!("unknown {what}")))
}

/// `digits` between `least` and `most` of them.
fn digits(scan: &mut Scan, least: usize, most: usize) -> Parsed<u16> {
    let digits = scan.run(|b| b.is_ascii_digit());
    let number = std::str::from_utf8(digits).ok().and_then(|text| text.parse::<u16>().ok());
    match number.filter(|_| (least..=most).contains(&digits.len())) {
        Some(number) => Ok(number),
        None => Err(Refusal::bad("not a date")),
    }
}

/// `date-day "-" date-month "-" date-year`, whose day may be too large for its month.
fn day_month_year(scan: &mut Scan, least: usize) -> Parsed<Date> {
    let day = digits(scan, least, 2)?;
    scan.expect(b'-')?;
    let month = scan.run(|b| b.is_ascii_alphabetic());
    let month = MONTHS.iter().position(|m| month.eq_ignore_ascii_case(m.as_bytes()));
    scan.expect(b'-')?;
    let year = digits(scan, 4, 4)?;
    match (u8::try_from(day), month) {
        (Ok(day), Some(month)) => Ok(Date { year, month: month as u8 + 1, day }),
        _ => Err(Refusal::bad("not a date")),
    }
}

/// `date`.
fn date(scan: &mut Scan) -> Parsed<Date> {
    let is_quoted = scan.eat(b'"');
    let date = day_month_year(scan, 1)?;
    if is_quoted {
        scan.expect(b'"')?;
    }
    moment(date, (0, 0, 0), 0).map(|_| date)
}

/// `date-time`.
fn date_time(scan: &mut Scan) -> Parsed<Timestamp> {
    scan.expect(b'"')?;
    let least = if scan.eat(b' ') { 1 } else { 2 };
    let date = day_month_year(scan, least)?;
    scan.sp()?;
    let hour = digits(scan, 2, 2)?;
    scan.expect(b':')?;
    let minute = digits(scan, 2, 2)?;
    scan.expect(b':')?;
    let second = digits(scan, 2, 2)?;
    scan.sp()?;
    let is_west = scan.eat(b'-');
    if !is_west {
        scan.expect(b'+')?;
    }
    let zone = digits(scan, 4, 4)?;
    scan.expect(b'"')?;
    let minutes = i32::from(zone / 100 * 60 + zone % 100);
    // Two digits each: no cast loses anything.
    moment(date, (hour as i8, minute as i8, second as i8), if is_west { -minutes } else { minutes })
}

fn moment(date: Date, time: (i8, i8, i8), offset: i32) -> Parsed<Timestamp> {
    Timestamp::from_civil((date.year as i16, date.month as i8, date.day as i8), time, offset)
        .ok_or_else(|| Refusal::bad("there is no such date"))
}

/// `flag`, which `\Recent` is not.
fn flag(scan: &mut Scan) -> Parsed<Flag> {
    if scan.eat(b'\\') {
        let name = scan.atom()?;
        return match System::parse(&format!("\\{name}")) {
            Some(flag) => Ok(Flag::System(flag)),
            None => Err(Refusal::bad(format!("\\{name} is no flag that can be set"))),
        };
    }
    keyword(scan).map(Flag::Keyword)
}

/// `flag-keyword`.
fn keyword(scan: &mut Scan) -> Parsed<Box<str>> {
    let name = scan.run(super::scan::is_atom_char);
    match std::str::from_utf8(name) {
        Ok(name) if is_keyword(name) => Ok(name.into()),
        _ => Err(Refusal::bad("not a keyword")),
    }
}

/// `mod-sequence-value`, or `mod-sequence-valzer` where 0 is allowed.
fn modseq(scan: &mut Scan, may_be_zero: bool) -> Parsed<ModSeq> {
    let number = scan.number64()?;
    match ModSeq::new(number) {
        Some(modseq) if number > 0 || may_be_zero => Ok(modseq),
        _ => Err(Refusal::bad("not a modification sequence")),
    }
}

/// `partial-range` (RFC 9394 §4).
fn partial_range(scan: &mut Scan) -> Parsed<PartialRange> {
    let is_from_end = scan.eat(b'-');
    let from = scan.nz_number()?;
    scan.expect(b':')?;
    if is_from_end {
        scan.expect(b'-')?;
    }
    let to = scan.nz_number()?;
    Ok(PartialRange { from, to, is_from_end })
}

#[cfg(test)]
mod tests;
