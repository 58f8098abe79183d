//! The parameters of MAIL by which a sender asks for special handling, and what EHLO says about them.
//!
//! Called by `params` and `hello`. A parameter whose extension is not offered on this port is not understood here.
//! Dates are compared with the present, which comes in by the session's [`super::Context`].
//! RFC 2852 §4 (BY), RFC 4865 §4.2 (HOLDFOR, HOLDUNTIL), RFC 6710 §3 (MT-PRIORITY), RFC 8689 §2 (REQUIRETLS).

use super::config::{Extensions, Kind};
use crate::clock::Timestamp;
use crate::envelope::{ByMode, DeliverBy, Handling, Hold, Priority, TlsWish, by_letters};
use crate::proto::digits;
use crate::status::{Enhanced, Reply};
use std::time::Duration;

/// What is offered in this moment of a session.
#[derive(Debug, Clone, Copy)]
pub(super) struct Offer<'a> {
    pub(super) extensions: &'a Extensions,
    pub(super) kind: Kind,
    /// TLS is on.
    pub(super) has_tls: bool,
    /// The present.
    pub(super) now: Timestamp,
}

impl Offer<'_> {
    /// The shortest time for BY=…;R, where DELIVERBY is offered. LMTP does not know it.
    fn deliver_by(&self) -> Option<Duration> {
        self.extensions.deliver_by.filter(|_| self.kind != Kind::Lmtp)
    }

    /// The longest hold, where FUTURERELEASE is offered: on submission ports alone (RFC 4865 §4.2).
    fn future_release(&self) -> Option<Duration> {
        self.extensions.future_release.filter(|span| self.kind == Kind::Submission && span.as_secs() > 0)
    }

    /// The lines of EHLO.
    pub(super) fn keywords(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(least) = self.deliver_by() {
            lines.push(match least.as_secs() {
                0 => "DELIVERBY".to_string(),
                least => format!("DELIVERBY {least}"),
            });
        }
        if let Some(most) = self.future_release() {
            let seconds = most.as_secs().min(HOLD_LIMIT);
            // Whole seconds: a client that names this very date is not to be refused for a fraction.
            let until = Timestamp::from_seconds(self.now.after(most).seconds()).rfc3339();
            let until = until.split_once('.').map_or(until.as_str(), |(whole, _)| whole);
            lines.push(format!("FUTURERELEASE {seconds} {until}Z"));
        }
        if let Some(policy) = &self.extensions.priority {
            lines.push(format!("MT-PRIORITY {policy}").trim_end().to_string());
        }
        if self.extensions.requires_tls && self.has_tls {
            // RFC 8689 §2: only inside TLS.
            lines.push("REQUIRETLS".to_string());
        }
        lines
    }

    /// Reads one parameter into the wishes; `Ok(false)` when it is not one of ours, or not offered.
    pub(super) fn read(&self, key: &str, value: Option<&str>, into: &mut Handling) -> Result<bool, Reply> {
        match key {
            "BY" if self.deliver_by().is_some() => into.by = Some(self.by(value)?),
            "HOLDFOR" | "HOLDUNTIL" if self.future_release().is_some() => {
                // RFC 4865 §4.2: one of the two, once.
                if into.hold.is_some() {
                    return Err(wrong("HOLDFOR and HOLDUNTIL exclude each other"));
                }
                into.hold = Some(if key == "HOLDFOR" { self.hold_for(value)? } else { self.hold_until(value)? });
            }
            "MT-PRIORITY" if self.extensions.priority.is_some() => {
                let priority = value.and_then(|value| value.parse::<Priority>().ok());
                into.priority = Some(priority.ok_or_else(|| wrong("MT-PRIORITY is a number from -9 to 9"))?);
            }
            "REQUIRETLS" if self.extensions.requires_tls => match value {
                Some(_) => return Err(wrong("REQUIRETLS has no value")),
                None if !self.has_tls => {
                    return Err(Reply::new(530, Enhanced(5, 7, 10), "REQUIRETLS is for connections with TLS"));
                }
                None => into.tls = TlsWish::Required,
            },
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// What can only be said of all parameters together.
    pub(super) fn check(&self, handling: &Handling) -> Result<(), Reply> {
        match (&handling.by, &handling.hold) {
            // RFC 4865 §5.2.2.
            (Some(by), Some(hold)) if hold.until > by.at => {
                Err(wrong("The message would be held longer than BY allows"))
            }
            _ => Ok(()),
        }
    }

    /// `by-value = by-time ";" by-mode [by-trace]`, `by-time = ["-" / "+"] 1*9DIGIT`.
    fn by(&self, value: Option<&str>) -> Result<DeliverBy, Reply> {
        let usage = || wrong("BY is seconds;R or seconds;N, with T behind it for a trace");
        let (time, letters) = value.and_then(|value| value.split_once(';')).ok_or_else(usage)?;
        let unsigned = time.strip_prefix(['-', '+']).unwrap_or(time);
        let seconds = Some(unsigned).filter(|digits| digits.len() <= 9).and_then(digits::<i64>).ok_or_else(usage)?;
        let seconds = if time.starts_with('-') { -seconds } else { seconds };
        let (mode, trace) = by_letters(letters).ok_or_else(usage)?;
        if mode == ByMode::Return {
            if seconds <= 0 {
                return Err(wrong("BY with R wants a time to come"));
            }
            let least = self.deliver_by().unwrap_or_default().as_secs();
            if (seconds as u64) < least {
                // RFC 2852 §3: 55z.
                return Err(Reply::new(555, Enhanced(5, 5, 4), format!("BY with R wants {least} seconds at least")));
            }
        }
        let at = Timestamp(self.now.0.saturating_add(seconds * 1_000_000));
        Ok(DeliverBy { at, mode, trace })
    }

    fn hold_for(&self, value: Option<&str>) -> Result<Hold, Reply> {
        let text = value.filter(|value| value.len() <= 9 && !value.starts_with('0'));
        let seconds = text.and_then(digits::<u64>).ok_or_else(|| wrong("HOLDFOR is a number of seconds"))?;
        let most = self.future_release().unwrap_or_default();
        if seconds > most.as_secs() {
            return Err(wrong(&format!("HOLDFOR may be {} seconds at most", most.as_secs().min(HOLD_LIMIT))));
        }
        Ok(Hold { until: self.now.after(Duration::from_secs(seconds)), asked: format!("for;{seconds}") })
    }

    /// A date that has passed asks for nothing: the message goes at once.
    fn hold_until(&self, value: Option<&str>) -> Result<Hold, Reply> {
        let read = |text: &str| Some((text.to_string(), Timestamp::parse_rfc3339(text)?));
        let (text, until) = value.and_then(read).ok_or_else(|| wrong("HOLDUNTIL is a date of RFC 3339"))?;
        let most = self.now.after(self.future_release().unwrap_or_default());
        if until > most {
            return Err(wrong(&format!("HOLDUNTIL may be {} at most", most.rfc3339())));
        }
        Ok(Hold { until, asked: format!("until;{text}") })
    }
}

/// The largest `future-release-integer` (RFC 4865 §3).
const HOLD_LIMIT: u64 = 999_999_999;

fn wrong(text: &str) -> Reply {
    Reply::new(501, Enhanced(5, 5, 4), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

    fn all() -> Extensions {
        Extensions {
            deliver_by: Some(Duration::from_secs(60)),
            future_release: Some(Duration::from_secs(3600)),
            priority: Some("MIXER".into()),
            requires_tls: true,
        }
    }

    fn offer(extensions: &Extensions, kind: Kind, has_tls: bool) -> Offer<'_> {
        Offer { extensions, kind, has_tls, now: NOW }
    }

    fn code(key: &str, value: &str) -> Result<bool, u16> {
        let value = Some(value).filter(|value| !value.is_empty());
        let all = all();
        offer(&all, Kind::Submission, true).read(key, value, &mut Handling::default()).map_err(|reply| reply.code)
    }

    #[test]
    fn values_right_and_wrong() {
        for (key, value, expected) in [
            ("BY", "60;R", Ok(true)),
            ("BY", "+999999999;nt", Ok(true)),
            ("BY", "-5;N", Ok(true)),
            ("BY", "0;N", Ok(true)),
            ("BY", "0;R", Err(501)),
            ("BY", "-1;R", Err(501)),
            ("BY", "59;R", Err(555)),
            ("BY", "60", Err(501)),
            ("BY", "60;", Err(501)),
            ("BY", "60;X", Err(501)),
            ("BY", "60;TR", Err(501)),
            ("BY", "1000000000;N", Err(501)),
            ("BY", "--5;N", Err(501)),
            ("BY", "", Err(501)),
            ("HOLDFOR", "3600", Ok(true)),
            ("HOLDFOR", "3601", Err(501)),
            ("HOLDFOR", "0", Err(501)),
            ("HOLDFOR", "01", Err(501)),
            ("HOLDFOR", "+1", Err(501)),
            ("HOLDFOR", "", Err(501)),
            ("HOLDUNTIL", "2026-11-24T13:07:51Z", Ok(true)),
            ("HOLDUNTIL", "2026-11-24T13:07:52Z", Err(501)),
            ("HOLDUNTIL", "2026-11-24T22:00:00+09:00", Ok(true)),
            ("HOLDUNTIL", "1999-01-01T00:00:00Z", Ok(true)),
            ("HOLDUNTIL", "tomorrow", Err(501)),
            ("MT-PRIORITY", "-9", Ok(true)),
            ("MT-PRIORITY", "10", Err(501)),
            ("MT-PRIORITY", "", Err(501)),
            ("REQUIRETLS", "", Ok(true)),
            ("REQUIRETLS", "1", Err(501)),
            ("SIZE", "1", Ok(false)),
        ] {
            assert_eq!(code(key, value), expected, "{key}={value}");
        }
    }

    #[test]
    fn dates_become_absolute() {
        let (all, mut handling) = (all(), Handling::default());
        let offer = offer(&all, Kind::Submission, true);
        offer.read("BY", Some("90;RT"), &mut handling).unwrap();
        offer.read("HOLDFOR", Some("91"), &mut handling).unwrap();
        assert_eq!(handling.by.unwrap().at, NOW.after(Duration::from_secs(90)));
        assert!(handling.by.unwrap().trace);
        assert_eq!(handling.hold.as_ref().unwrap().until, NOW.after(Duration::from_secs(91)));
        assert_eq!(offer.check(&handling).unwrap_err().code, 501);
        assert_eq!(offer.read("HOLDUNTIL", Some("2026-11-24T12:10:00Z"), &mut handling).unwrap_err().code, 501);
    }

    #[test]
    fn each_port_offers_what_is_for_it() {
        let all = all();
        let keywords = |kind, has_tls| offer(&all, kind, has_tls).keywords();
        let hold = "FUTURERELEASE 3600 2026-11-24T13:07:51Z";
        assert_eq!(keywords(Kind::Submission, true), ["DELIVERBY 60", hold, "MT-PRIORITY MIXER", "REQUIRETLS"]);
        assert_eq!(keywords(Kind::Smtp, false), ["DELIVERBY 60", "MT-PRIORITY MIXER"]);
        assert_eq!(keywords(Kind::Lmtp, false), ["MT-PRIORITY MIXER"]);
        assert!(offer(&Extensions::default(), Kind::Submission, true).keywords().is_empty());
        let mut handling = Handling::default();
        assert_eq!(offer(&all, Kind::Smtp, false).read("HOLDFOR", Some("5"), &mut handling), Ok(false));
        assert_eq!(offer(&all, Kind::Smtp, false).read("REQUIRETLS", None, &mut handling).unwrap_err().code, 530);
        let none = Extensions { priority: Some(String::new()), ..Extensions::default() };
        assert_eq!(offer(&none, Kind::Smtp, true).keywords(), ["MT-PRIORITY"]);
    }
}
