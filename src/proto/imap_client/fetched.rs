//! What FETCH tells of one message.

use super::Value;
use crate::clock::Timestamp;
use crate::mailbox::{System, is_keyword};

/// Three letters for each month.
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// The items of a message that the server told.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Fetched {
    /// UID; servers tell it whenever it was asked for.
    pub uid: Option<u32>,
    /// System flags: bits of [`System`]; and keywords.
    pub flags: Option<(u8, Vec<String>)>,
    /// INTERNALDATE.
    pub internal_date: Option<Timestamp>,
    /// RFC822.SIZE.
    pub size: Option<u64>,
    /// Octets of the message when they have been handed on.
    pub streamed: Option<u64>,
    /// The message when it came as a string.
    pub text: Option<Vec<u8>>,
}

impl Fetched {
    /// Reads `NUMBER FETCH (…)`; nothing for other data.
    pub fn read(data: &[Value]) -> Option<Fetched> {
        let [number, word, items] = data else { return None };
        number.number::<u32>()?;
        if !word.atom().eq_ignore_ascii_case("FETCH") {
            return None;
        }
        let mut fetched = Fetched::default();
        for pair in items.list().chunks(2) {
            let [name, value] = pair else { break };
            match name.atom().to_ascii_uppercase().as_str() {
                "UID" => fetched.uid = value.number().filter(|uid| *uid > 0),
                "FLAGS" => fetched.flags = Some(flags(value.list())),
                "INTERNALDATE" => fetched.internal_date = value.octets().and_then(date_time),
                "RFC822.SIZE" => fetched.size = value.number(),
                "BODY[]" => match value {
                    Value::Streamed(size) => fetched.streamed = Some(*size),
                    Value::Text(text) => fetched.text = Some(text.clone()),
                    _ => {}
                },
                _ => {}
            }
        }
        Some(fetched)
    }
}

/// Flags that a message keeps: `\Recent`, and what is no flag, are left out.
fn flags(list: &[Value]) -> (u8, Vec<String>) {
    let mut system = 0;
    let mut keywords = Vec::new();
    for flag in list.iter().map(Value::atom) {
        match System::parse(flag) {
            Some(flag) => system |= flag as u8,
            None if is_keyword(flag) => keywords.push(flag.to_string()),
            None => {}
        }
    }
    (system, keywords)
}

/// `date-time` without its quotes: ` 7-Feb-1994 21:52:25 -0800`.
pub fn date_time(text: &[u8]) -> Option<Timestamp> {
    let text = std::str::from_utf8(text).ok()?;
    let mut words = text.split_ascii_whitespace();
    let (date, time, zone) = (words.next()?, words.next()?, words.next()?);
    let mut date = date.splitn(3, '-');
    let day = date.next()?.parse().ok()?;
    let month = date.next()?.to_ascii_lowercase();
    let month = MONTHS.iter().position(|m| *m == month)? as i8 + 1;
    let year = date.next()?.parse().ok()?;
    let mut time = time.splitn(3, ':').map(|part| part.parse::<i8>().ok());
    let time = (time.next()??, time.next()??, time.next()??);
    let (sign, digits) = zone.split_at_checked(1)?;
    let zone: i32 = digits.parse().ok().filter(|_| digits.len() == 4 && digits.bytes().all(|b| b.is_ascii_digit()))?;
    let minutes = zone / 100 * 60 + zone % 100;
    let minutes = match sign {
        "+" => minutes,
        "-" => -minutes,
        _ => return None,
    };
    Timestamp::from_civil((year, month, day), time, minutes)
}
