//! How many messages a destination has been given lately, where `queue.limits` has a word on that.
//!
//! Counted by the second, over a span that slides: whatever moment one looks at, no more than so many were begun in the span before it.

use std::collections::VecDeque;

/// The messages of one destination.
#[derive(Debug)]
pub(super) struct Pace {
    most: u32,
    span: u32,
    /// Seconds in which something was begun, and how much.
    begun: VecDeque<(u32, u32)>,
    count: u32,
}

impl Pace {
    /// At most so many messages in so many seconds.
    pub(super) fn new((most, span): (u32, u32)) -> Pace {
        Pace { most, span, begun: VecDeque::new(), count: 0 }
    }

    /// One more is begun.
    pub(super) fn begin(&mut self, now: u32) {
        self.count += 1;
        match self.begun.back_mut().filter(|(second, _)| *second == now) {
            Some((_, count)) => *count += 1,
            None => self.begun.push_back((now, 1)),
        }
    }

    /// The date before which nothing more may be begun; `None` when it may.
    pub(super) fn wait(&mut self, now: u32) -> Option<u32> {
        while let Some((second, count)) = self.begun.front().copied() {
            // A clock that was put back must not keep mail for longer than the span.
            if now.checked_sub(second).is_some_and(|age| age < self.span) {
                break;
            }
            self.count -= count;
            self.begun.pop_front();
        }
        let (first, _) = self.begun.front().filter(|_| self.count >= self.most)?;
        Some(first.saturating_add(self.span))
    }

    /// True when there is nothing to remember.
    pub(super) fn is_idle(&self, now: u32) -> bool {
        self.begun.back().is_none_or(|(second, _)| now.checked_sub(*second).is_none_or(|age| age >= self.span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_span_has_more_than_the_limit() {
        let mut pace = Pace::new((3, 10));
        let mut begun = Vec::new();
        for now in 100..200 {
            // As many as may be, in some seconds.
            while now % 3 != 0 && pace.wait(now).is_none() {
                pace.begin(now);
                begun.push(now);
            }
        }
        for start in 90..200 {
            let inside = begun.iter().filter(|at| (start..start + 10).contains(*at)).count();
            assert!(inside <= 3, "{start}: {begun:?}");
        }
        assert!(begun.len() >= 27, "{begun:?}");
    }

    #[test]
    fn it_says_when_it_goes_on() {
        let mut pace = Pace::new((2, 60));
        assert!(pace.is_idle(100));
        pace.begin(100);
        assert_eq!(pace.wait(100), None);
        pace.begin(130);
        assert_eq!(pace.wait(130), Some(160));
        assert_eq!(pace.wait(159), Some(160));
        assert_eq!(pace.wait(160), None);
        assert!(!pace.is_idle(189) && pace.is_idle(190));
        pace.begin(160);
        assert_eq!(pace.wait(10), None, "the clock was put back");
    }
}
