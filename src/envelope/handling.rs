//! How a sender wants a message handled, beyond its delivery: by when, not before, how urgent, how secret.
//!
//! Asked for in MAIL and read by `proto::smtp`; dates become absolute when `serve` takes the message; kept by `spool`, obeyed by
//! `queue`, told by `bounce`. The text forms here are those of the spool.
//! RFC 2852 (DELIVERBY), RFC 4865 (FUTURERELEASE), RFC 6710 (MT-PRIORITY), RFC 8689 (REQUIRETLS).

use crate::clock::Timestamp;
use std::fmt;
use std::str::FromStr;

/// All wishes; the default is none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Handling {
    /// Deliver by then.
    pub by: Option<DeliverBy>,
    /// Not before then.
    pub hold: Option<Hold>,
    /// The transfer priority, where one was asked for or assigned; see [`Handling::rank`].
    pub priority: Option<Priority>,
    /// TLS on the way to the next hosts.
    pub tls: TlsWish,
}

impl Handling {
    /// The priority in force: 0 where nobody said anything (RFC 6710 §4.1).
    pub fn rank(&self) -> i8 {
        self.priority.map_or(0, |priority| priority.0)
    }

    /// What a report about a message inherits: its priority (RFC 6710 §4.6) and its secrecy (RFC 8689 §5).
    pub fn of_report(&self) -> Handling {
        let tls = if self.tls == TlsWish::Required { TlsWish::Required } else { TlsWish::Usual };
        Handling { priority: self.priority, tls, ..Handling::default() }
    }
}

/// A deliver-by request with its time made absolute (RFC 2852 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliverBy {
    /// The deliver-by-time.
    pub at: Timestamp,
    /// What happens when it has come.
    pub mode: ByMode,
    /// Each host that relays the message reports it.
    pub trace: bool,
}

/// What happens to a message that was not delivered by its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByMode {
    /// It is returned.
    Return,
    /// The sender is told that it is late, and attempts go on.
    Notify,
}

impl DeliverBy {
    /// Seconds that are left; negative when the time has passed.
    pub fn left(&self, now: Timestamp) -> i64 {
        self.at.0.saturating_sub(now.0).div_euclid(1_000_000)
    }

    /// by-mode and by-trace as MAIL has them: `R`, `N`, `RT` or `NT`.
    pub fn letters(&self) -> &'static str {
        match (self.mode, self.trace) {
            (ByMode::Return, false) => "R",
            (ByMode::Return, true) => "RT",
            (ByMode::Notify, false) => "N",
            (ByMode::Notify, true) => "NT",
        }
    }
}

/// Reads by-mode and by-trace, in any case.
pub fn by_letters(text: &str) -> Option<(ByMode, bool)> {
    match text.to_ascii_uppercase().as_str() {
        "R" => Some((ByMode::Return, false)),
        "RT" => Some((ByMode::Return, true)),
        "N" => Some((ByMode::Notify, false)),
        "NT" => Some((ByMode::Notify, true)),
        _ => None,
    }
}

impl fmt::Display for DeliverBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.at.0, self.letters())
    }
}

impl FromStr for DeliverBy {
    type Err = ();

    fn from_str(text: &str) -> Result<DeliverBy, ()> {
        let (at, letters) = text.split_once(',').ok_or(())?;
        let (mode, trace) = by_letters(letters).ok_or(())?;
        Ok(DeliverBy { at: Timestamp(at.parse().map_err(|_| ())?), mode, trace })
    }
}

/// A future release (RFC 4865).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// No attempt before then.
    pub until: Timestamp,
    /// The request in the words of Future-Release-Request: `for;3600`, `until;2026-12-01T08:00:00Z` (RFC 4865 §5.1.2).
    pub asked: String,
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{}", self.until.0, self.asked)
    }
}

impl FromStr for Hold {
    type Err = ();

    fn from_str(text: &str) -> Result<Hold, ()> {
        let (until, asked) = text.split_once(',').ok_or(())?;
        Ok(Hold { until: Timestamp(until.parse().map_err(|_| ())?), asked: asked.to_string() })
    }
}

/// A transfer priority, -9 to 9; higher is more urgent (RFC 6710 §5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(i8);

impl Priority {
    /// The priority of messages for which none was asked.
    pub const NORMAL: Priority = Priority(0);

    /// The number.
    pub fn number(self) -> i8 {
        self.0
    }

    /// The most that somebody may have whom nobody vouches for.
    pub fn lowered(self) -> Priority {
        self.min(Priority::NORMAL)
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// `priority-value` of RFC 6710 §7: one digit, no zero with a sign, no plus.
impl FromStr for Priority {
    type Err = ();

    fn from_str(text: &str) -> Result<Priority, ()> {
        let (sign, digit) = text.strip_prefix('-').map_or((1, text), |digit| (-1, digit));
        match digit.as_bytes() {
            [b'0'] if sign > 0 => Ok(Priority(0)),
            [digit @ b'1'..=b'9'] => Ok(Priority(sign * (digit - b'0') as i8)),
            _ => Err(()),
        }
    }
}

/// What the sender says about TLS between hosts (RFC 8689).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TlsWish {
    /// Nothing: the rules of the hosts apply.
    #[default]
    Usual,
    /// REQUIRETLS: only over verified TLS, to hosts that promise the same.
    Required,
    /// `TLS-Required: No`: delivery matters more than the next domain's TLS policy.
    NotRequired,
}

impl TlsWish {
    /// Its word in envelopes and listings; `None` for the usual.
    pub fn word(self) -> Option<&'static str> {
        match self {
            TlsWish::Usual => None,
            TlsWish::Required => Some("required"),
            TlsWish::NotRequired => Some("not-required"),
        }
    }

    /// Reads a word; one of a newer version is the usual.
    pub fn parse(word: &str) -> TlsWish {
        let all = [TlsWish::Required, TlsWish::NotRequired];
        all.into_iter().find(|wish| wish.word() == Some(word)).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_come_back() {
        for (mode, trace) in [(ByMode::Return, true), (ByMode::Notify, false)] {
            let by = DeliverBy { at: Timestamp(-5), mode, trace };
            assert_eq!(by.to_string().parse(), Ok(by));
        }
        let hold = Hold { until: Timestamp(7), asked: "until;2026-12-01T08:00:00Z".into() };
        assert_eq!(hold.to_string().parse(), Ok(hold));
        for bad in ["", "5", "5,", "x,R", "5,Q", "5,TR"] {
            assert!(bad.parse::<DeliverBy>().is_err(), "{bad}");
        }
        for wish in [TlsWish::Required, TlsWish::NotRequired] {
            assert_eq!(TlsWish::parse(wish.word().unwrap()), wish);
        }
        assert_eq!(TlsWish::parse("of tomorrow"), TlsWish::Usual);
    }

    #[test]
    fn priorities_are_one_digit() {
        for number in -9..=9i8 {
            assert_eq!(number.to_string().parse::<Priority>().unwrap().number(), number);
        }
        for bad in ["", "-", "-0", "+1", "10", "-10", "00", "1.5", " 1"] {
            assert!(bad.parse::<Priority>().is_err(), "{bad}");
        }
        let priority = |text: &str| text.parse::<Priority>().unwrap();
        assert_eq!((priority("5").lowered(), priority("-5").lowered()), (priority("0"), priority("-5")));
    }

    #[test]
    fn seconds_that_are_left_are_whole_and_may_be_negative() {
        let by = DeliverBy { at: Timestamp(10_500_000), mode: ByMode::Notify, trace: false };
        assert_eq!([0, 10_000_000, 11_500_000].map(|now| by.left(Timestamp(now))), [10, 0, -1]);
    }

    #[test]
    fn a_report_inherits_priority_and_secrecy_only() {
        let hold = Some(Hold { until: Timestamp(7), asked: "for;7".into() });
        let by = Some(DeliverBy { at: Timestamp(1), mode: ByMode::Return, trace: true });
        let all = Handling { by, hold, priority: "-3".parse().ok(), tls: TlsWish::Required };
        let report = all.of_report();
        assert_eq!((report.rank(), report.tls, report.by, report.hold), (-3, TlsWish::Required, None, None));
        let open = Handling { tls: TlsWish::NotRequired, ..Handling::default() };
        assert_eq!(open.of_report(), Handling::default());
    }
}
