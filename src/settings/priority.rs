//! `queue.priorities`: other times for messages with a transfer priority (RFC 6710 §5.1).
//!
//! A member of the list is text such as `1..9 retry=1m warn=30m expire=1d`: priorities, then the times that differ.

use super::value::Member;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// One member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PriorityRule {
    /// Lowest priority it is for.
    pub from: i8,
    /// Highest.
    pub to: i8,
    /// Instead of `queue.retry`; `queue.retry_max` then follows in proportion.
    pub retry: Option<Duration>,
    /// Instead of `queue.warn`.
    pub warn: Option<Duration>,
    /// Instead of `queue.expire`.
    pub expire: Option<Duration>,
}

impl Member for PriorityRule {
    const LIST: &'static str = "a list such as [\"1..9 retry=1m warn=30m expire=1d\"]";

    fn member(text: &str) -> Result<PriorityRule, String> {
        text.parse()
    }
}

impl FromStr for PriorityRule {
    type Err = String;

    fn from_str(text: &str) -> Result<PriorityRule, String> {
        let wrong = |what: String| format!("{text:?}: {what}: write \"1..9 retry=1m warn=30m expire=1d\"");
        let mut words = text.split_whitespace();
        let range = words.next().ok_or_else(|| wrong("no priorities".to_string()))?;
        let (from, to) = range.split_once("..").unwrap_or((range, range));
        let number = |text: &str| text.parse::<i8>().ok().filter(|n| (-9..=9).contains(n));
        let (Some(from), Some(to)) = (number(from), number(to)) else {
            return Err(wrong(format!("{range:?} are no priorities from -9 to 9")));
        };
        if from > to {
            return Err(wrong(format!("{range:?} is empty")));
        }
        let mut rule = PriorityRule { from, to, retry: None, warn: None, expire: None };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let place = match key {
                "retry" => &mut rule.retry,
                "warn" => &mut rule.warn,
                "expire" => &mut rule.expire,
                _ => return Err(wrong(format!("{key:?} is none of retry, warn, expire"))),
            };
            if place.is_some() {
                return Err(wrong(format!("{key} stands twice")));
            }
            let span =
                humantime::parse_duration(value).map_err(|e| wrong(format!("{value:?} is no time span ({e})")))?;
            *place = Some(span);
        }
        Ok(rule)
    }
}

impl fmt::Display for PriorityRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)?;
        for (key, span) in [("retry", self.retry), ("warn", self.warn), ("expire", self.expire)] {
            if let Some(span) = span {
                // One word: humantime's blanks would end it.
                write!(f, " {key}={}", humantime::format_duration(span).to_string().replace(' ', ""))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_come_back() {
        for text in ["1..9 retry=1m warn=30m expire=1day", "-9..-1 retry=1h30m", "0..0", "5..5 expire=2h"] {
            assert_eq!(PriorityRule::member(text).unwrap().to_string(), text);
        }
        assert_eq!(PriorityRule::member("3 warn=1s").unwrap().to_string(), "3..3 warn=1s");
        for bad in ["", "x", "1..", "9..1", "1..10", "1 retry", "1 retry=soon", "1 slow=1m", "1 warn=1m warn=2m"] {
            assert!(PriorityRule::member(bad).is_err(), "{bad}");
        }
    }
}
