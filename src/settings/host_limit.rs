//! `queue.limits`: how much some destinations get at once, and in a span of time.
//!
//! A member of the list is text such as `example.org messages=10/1m connections=2`: whom it is for, then one or both of the limits.

use super::value::Member;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The longest span of time for which messages are counted.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// One member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostLimit {
    /// A destination, `.domain` for all below one, or `*`.
    pub pattern: String,
    /// So many messages in so many seconds.
    pub messages: Option<(u32, u32)>,
    /// Connections at once, instead of `queue.concurrency_per_host`.
    pub connections: Option<u32>,
}

impl HostLimit {
    /// True when it is for this destination: a domain, or a host as routes name it.
    pub fn fits(&self, destination: &str) -> bool {
        match self.pattern.strip_prefix('.') {
            _ if self.pattern == "*" => true,
            Some(parent) => destination.strip_suffix(parent).is_some_and(|below| below.ends_with('.')),
            None => self.pattern == destination,
        }
    }
}

/// The limits of a destination: the first member that is for it.
pub fn host_limit<'a>(limits: &'a [HostLimit], destination: &str) -> Option<&'a HostLimit> {
    limits.iter().find(|limit| limit.fits(destination))
}

impl Member for HostLimit {
    const LIST: &'static str = "a list such as [\"example.org messages=10/1m connections=2\"]";

    fn member(text: &str) -> Result<HostLimit, String> {
        text.parse()
    }
}

impl FromStr for HostLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<HostLimit, String> {
        let wrong = |what: String| format!("{text:?}: {what}: write \"example.org messages=10/1m connections=2\"");
        let mut words = text.split_whitespace();
        let pattern = words.next().ok_or_else(|| wrong("no destination".to_string()))?.to_lowercase();
        let number = |text: &str| text.parse::<u32>().ok().filter(|n| *n > 0);
        let mut limit = HostLimit { pattern, messages: None, connections: None };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let is_twice = match key {
                "messages" => limit.messages.replace(rate(value).map_err(&wrong)?).is_some(),
                "connections" => {
                    let most = number(value).ok_or_else(|| wrong(format!("{value:?} is no number of connections")))?;
                    limit.connections.replace(most).is_some()
                }
                _ => return Err(wrong(format!("{key:?} is neither messages nor connections"))),
            };
            if is_twice {
                return Err(wrong(format!("{key} stands twice")));
            }
        }
        if limit.messages.is_none() && limit.connections.is_none() {
            return Err(wrong("it limits nothing".to_string()));
        }
        Ok(limit)
    }
}

/// `10/1m`
fn rate(text: &str) -> Result<(u32, u32), String> {
    let wrong = || format!("{text:?} is no number of messages in a time span");
    let (count, span) = text.split_once('/').ok_or_else(wrong)?;
    let count = count.parse::<u32>().ok().filter(|n| *n > 0).ok_or_else(wrong)?;
    let span = humantime::parse_duration(span).map_err(|e| format!("{span:?} is no time span ({e})"))?;
    if span.subsec_nanos() != 0 || span.is_zero() || span > LONGEST {
        return Err(format!("{text:?}: messages are counted over whole seconds, up to a day"));
    }
    Ok((count, span.as_secs() as u32))
}

/// Prints `10/1m`.
pub fn print_rate((count, span): (u32, u32)) -> String {
    // One word: humantime's blanks would end it.
    let span = humantime::format_duration(Duration::from_secs(span.into())).to_string().replace(' ', "");
    format!("{count}/{span}")
}

impl fmt::Display for HostLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.pattern)?;
        if let Some(rate) = self.messages {
            write!(f, " messages={}", print_rate(rate))?;
        }
        match self.connections {
            Some(most) => write!(f, " connections={most}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_come_back() {
        for text in ["example.org messages=10/1m connections=2", "* messages=100/1s", "[192.0.2.1]:26 connections=1"] {
            assert_eq!(HostLimit::member(text).unwrap().to_string(), text);
        }
        assert_eq!(HostLimit::member(".A.test messages=1/90s").unwrap().to_string(), ".a.test messages=1/1m30s");
        for bad in [
            "",
            "a.test",
            "a.test 10/1m",
            "a.test messages",
            "a.test messages=10",
            "a.test messages=0/1m",
            "a.test messages=-1/1m",
            "a.test messages=1/0s",
            "a.test messages=1/100ms",
            "a.test messages=1/2days",
            "a.test connections=0",
            "a.test connections=x",
            "a.test speed=1",
            "a.test connections=1 connections=2",
        ] {
            assert!(HostLimit::member(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_first_that_fits_counts() {
        let all: Vec<HostLimit> =
            ["a.test connections=1", ".a.test connections=2", "[192.0.2.1]:26 connections=3", "* connections=4"]
                .map(|text| text.parse().unwrap())
                .to_vec();
        for (destination, wanted) in
            [("a.test", 1), ("x.a.test", 2), ("xa.test", 4), ("[192.0.2.1]:26", 3), ("[192.0.2.1]", 4)]
        {
            assert_eq!(host_limit(&all, destination).unwrap().connections, Some(wanted), "{destination}");
        }
        assert_eq!(host_limit(&all[..1], "b.test"), None);
    }
}
