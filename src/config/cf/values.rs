//! The values of O lines, as sendmail reads them: what is no number is 0, what is no boolean is false.

use std::time::Duration;

/// Nothing, or a word that begins with t, y or 1, is yes.
pub(super) fn boolean(text: &str) -> bool {
    matches!(text.bytes().next(), None | Some(b't' | b'T' | b'y' | b'Y' | b'1'))
}

/// The digits in front.
pub(super) fn number(text: &str) -> u64 {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().unwrap_or(0)
}

/// A span such as `1h30m`; a number alone counts in `unit`. `now` is none.
pub fn span(text: &str, unit: char) -> Duration {
    let mut total = 0u64;
    let mut digits = 0u64;
    let mut pending = false;
    for c in text.trim().chars().chain([unit]) {
        match (c.to_digit(10), c) {
            (Some(digit), _) => {
                digits = digits.saturating_mul(10).saturating_add(u64::from(digit));
                pending = true;
            }
            (None, letter) if pending => {
                let seconds = match letter.to_ascii_lowercase() {
                    'w' => 7 * 86400,
                    'd' => 86400,
                    'h' => 3600,
                    'm' => 60,
                    's' => 1,
                    _ => continue,
                };
                total = total.saturating_add(digits.saturating_mul(seconds));
                (digits, pending) = (0, false);
            }
            _ => {}
        }
    }
    Duration::from_secs(total)
}

/// Words between commas and blanks.
pub(super) fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty())
}

/// `Key=value` pairs between commas, the keys by their first letter.
pub(super) fn pairs(text: &str) -> impl Iterator<Item = (char, &str)> {
    text.split(',').filter_map(|pair| {
        let (key, value) = pair.trim().split_once('=')?;
        Some((key.trim().chars().next()?.to_ascii_uppercase(), value.trim()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_sendmail_reads_them() {
        for (text, unit, seconds) in [
            ("5d", 'd', 432_000),
            ("4", 'h', 14400),
            ("1h30m", 'm', 5400),
            ("90s", 'm', 90),
            ("now", 'd', 0),
            ("", 'd', 0),
        ] {
            assert_eq!(span(text, unit), Duration::from_secs(seconds), "{text}");
        }
        for (text, yes) in [("", true), ("True", true), ("yes", true), ("f", false), ("nonsense", false)] {
            assert_eq!(boolean(text), yes, "{text}");
        }
        assert_eq!((number("12x"), number("x")), (12, 0));
        assert_eq!(pairs("Name=MTA, Port=25,M=E").collect::<Vec<_>>(), [('N', "MTA"), ('P', "25"), ('M', "E")]);
    }
}
