//! From a domain to its hosts: MX records by preference, equal ones shuffled, without those that would lead back to us.
//!
//! RFC 5321 §5.1, RFC 7505 (null MX).

use super::resolver::{Answer, Data};
use crate::addr::normal_domain;

/// What MX records come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exchangers {
    /// These hosts with their preferences, in the order of trial.
    Hosts(Vec<(u16, String)>),
    /// The domain takes no mail (RFC 7505).
    Null,
    /// The best of them is ourselves.
    Ourselves,
    /// Nothing in the records is a host name.
    Nonsense,
}

/// Puts records in order. `draw` gives a random number below its argument; `most` bounds how many records are looked at.
pub(super) fn order(
    answer: &Answer,
    most: usize,
    draw: &mut dyn FnMut(usize) -> usize,
    is_ours: &dyn Fn(&str) -> bool,
) -> Exchangers {
    let mut records: Vec<(u16, String)> = Vec::new();
    let mut is_null = false;
    for data in &answer.data {
        let Data::Mx(preference, host) = data else { continue };
        match host.as_str() {
            // RFC 7505 §3: a null MX beside others means nothing.
            "" => is_null = true,
            host => records.extend(normal_domain(host).ok().map(|host| (*preference, host))),
        }
    }
    if records.is_empty() {
        return if is_null { Exchangers::Null } else { Exchangers::Nonsense };
    }
    shuffle(&mut records, draw);
    records.sort_by_key(|(preference, _)| *preference);
    records.truncate(most.max(1));
    // RFC 5321 §5.1: where we are among them, our preference and all worse ones are left out.
    if let Some(ours) = records.iter().filter(|(_, host)| is_ours(host)).map(|(preference, _)| *preference).min() {
        records.retain(|(preference, _)| *preference < ours);
        if records.is_empty() {
            return Exchangers::Ourselves;
        }
    }
    let mut hosts: Vec<(u16, String)> = Vec::new();
    for (preference, host) in records {
        if !hosts.iter().any(|(_, other)| *other == host) {
            hosts.push((preference, host));
        }
    }
    Exchangers::Hosts(hosts)
}

/// Fisher and Yates.
pub(super) fn shuffle<T>(items: &mut [T], draw: &mut dyn FnMut(usize) -> usize) {
    for last in (1..items.len()).rev() {
        items.swap(last, draw(last + 1).min(last));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn hosts(records: &[(u16, &str)], seed: usize, ours: &str) -> Exchangers {
        let data = records.iter().map(|(preference, host)| Data::Mx(*preference, host.to_string())).collect();
        let answer = Answer { name: "d.test".to_string(), data, secure: false, ttl: Duration::ZERO };
        order(&answer, 20, &mut |n| seed % n, &|host| host == ours)
    }

    fn one(preference: u16, name: &str) -> Exchangers {
        Exchangers::Hosts(vec![(preference, name.to_string())])
    }

    #[test]
    fn preferences_decide_and_equal_ones_are_shuffled() {
        let records = [(20, "c.test"), (10, "A.test"), (10, "b.test"), (5, "best.test"), (20, "a.test")];
        let (mut first, mut second) = (0, 0);
        for seed in 0..60 {
            let Exchangers::Hosts(found) = hosts(&records, seed, "") else { panic!() };
            assert_eq!((found[0].1.as_str(), found.len()), ("best.test", 4), "{found:?}");
            let at = |name: &str| found.iter().position(|(_, host)| host == name).unwrap();
            assert_eq!(at("c.test"), 3);
            match at("a.test") < at("b.test") {
                true => first += 1,
                false => second += 1,
            }
        }
        assert!(first > 5 && second > 5, "{first} {second}");
    }

    #[test]
    fn a_null_mx_counts_alone() {
        assert_eq!(hosts(&[(0, "")], 0, ""), Exchangers::Null);
        assert_eq!(hosts(&[(0, ""), (10, "a.test")], 0, ""), one(10, "a.test"));
        assert_eq!(hosts(&[(0, "192.0.2.1 x")], 0, ""), Exchangers::Nonsense);
    }

    #[test]
    fn we_and_what_is_no_better_are_left_out() {
        let records = [(10, "a.test"), (20, "us.test"), (20, "b.test"), (30, "c.test")];
        assert_eq!(hosts(&records, 1, "us.test"), one(10, "a.test"));
        assert_eq!(hosts(&records[1..], 1, "us.test"), Exchangers::Ourselves);
    }
}
