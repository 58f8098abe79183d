//! How much a tree of mailboxes may hold.

/// A limit on octets and one on messages; 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of the files.
    pub octets: u64,
    /// Messages.
    pub messages: u64,
}

impl Quota {
    /// True when there is no limit at all.
    pub fn is_none(self) -> bool {
        self == Quota::default()
    }

    /// True when what is `used`, octets and messages, and so many `more` of them are too much.
    pub fn is_exceeded(self, used: (u64, u64), more: (u64, u64)) -> bool {
        let is_over = |limit: u64, used: u64, more: u64| limit > 0 && more > 0 && used.saturating_add(more) > limit;
        is_over(self.octets, used.0, more.0) || is_over(self.messages, used.1, more.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_counts_for_itself() {
        let quota = |octets, messages| Quota { octets, messages };
        for (limit, used, more, expected) in [
            (quota(0, 0), (u64::MAX, u64::MAX), (1, 1), false),
            (quota(10, 0), (9, 99), (1, 1), false),
            (quota(10, 0), (9, 0), (2, 1), true),
            (quota(0, 2), (u64::MAX, 1), (5, 1), false),
            (quota(0, 2), (0, 2), (0, 1), true),
            (quota(10, 2), (5, 2), (1, 1), true),
            (quota(10, 2), (20, 1), (0, 1), false),
            (quota(10, 2), (u64::MAX, 0), (1, 0), true),
        ] {
            assert_eq!(limit.is_exceeded(used, more), expected, "{limit:?} {used:?} {more:?}");
        }
        assert!(quota(0, 0).is_none() && !quota(0, 1).is_none());
    }
}
