//! Would copies with this author in From be refused, because his domain says so (DMARC)?
//!
//! The policy of the domain is asked for, or that of the domains above it, whose `sp` is meant for it. Without an answer nothing is
//! rewritten: most copies arrive.
//! RFC 7489 §6.3, RFC 7489 §6.6.3.

use crate::nexthop::resolver::{Data, DnsError, Kind, Resolver};
use std::time::Duration;

/// Longest wait for the DNS.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many domains are asked at most.
const DEPTH: usize = 5;

/// True when the domain's policy is quarantine or reject.
pub fn is_strict(domain: &str, resolver: &dyn Resolver) -> bool {
    let above: Vec<&str> = std::iter::successors(Some(domain), |name| name.split_once('.').map(|(_, rest)| rest))
        .filter(|name| name.contains('.'))
        .collect();
    // The domain itself, and of those above it the ones nearest to the top.
    let nearest = above.len().saturating_sub(DEPTH - 1).max(1);
    for name in above.iter().take(1).chain(above.iter().skip(nearest)) {
        match resolver.one(&format!("_dmarc.{name}"), Kind::Txt, PATIENCE) {
            Ok(answer) => {
                let records = answer.data.iter().filter_map(|data| match data {
                    Data::Txt(text) => policy(&String::from_utf8_lossy(text), *name != domain),
                    _ => None,
                });
                // RFC 7489 §6.6.3: two records are none.
                if let [one] = records.collect::<Vec<_>>().as_slice() {
                    return *one;
                }
            }
            Err(DnsError::Trouble(_)) => return false,
            Err(_) => {}
        }
    }
    false
}

/// What a record says: `None` for one that is none.
fn policy(record: &str, is_above: bool) -> Option<bool> {
    let mut tags = record.split(';').filter_map(|tag| tag.split_once('='));
    let version = tags.next()?;
    if version.0.trim() != "v" || version.1.trim() != "DMARC1" {
        return None;
    }
    let tags: Vec<(&str, &str)> = tags.map(|(key, value)| (key.trim(), value.trim())).collect();
    let tag = |name: &str| tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| *value);
    let word = tag("sp").filter(|_| is_above).or_else(|| tag("p"))?;
    Some(["quarantine", "reject"].iter().any(|strict| word.eq_ignore_ascii_case(strict)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nexthop::resolver::{Answer, Found, Question};

    struct Zone(&'static [(&'static str, &'static str)]);

    impl Resolver for Zone {
        fn ask(&self, questions: &[Question], _: Duration) -> Vec<Found> {
            let answer = |question: &Question| {
                let texts = self.0.iter().filter(|(name, _)| *name == question.name);
                let data: Vec<Data> = texts.map(|(_, text)| Data::Txt(text.as_bytes().to_vec())).collect();
                let ttl = Duration::ZERO;
                match data.is_empty() {
                    true => Err(DnsError::NoName { ttl }),
                    false => Ok(Answer { name: question.name.clone(), data, secure: false, ttl }),
                }
            };
            questions.iter().map(answer).collect()
        }
    }

    #[test]
    fn policies() {
        let zone = Zone(&[
            ("_dmarc.strict.test", "v=DMARC1; p=reject"),
            ("_dmarc.lax.test", "v=DMARC1; p=none; sp=quarantine"),
            ("_dmarc.other.test", "v=spf1 -all"),
            ("_dmarc.double.test", "v=DMARC1; p=reject"),
            ("_dmarc.double.test", "v=DMARC1; p=none"),
        ]);
        for (domain, expected) in [
            ("strict.test", true),
            ("mail.strict.test", true),
            ("a.b.c.d.e.f.strict.test", true),
            ("lax.test", false),
            ("sub.lax.test", true),
            ("other.test", false),
            ("double.test", false),
            ("nothing.test", false),
            ("test", false),
        ] {
            assert_eq!(is_strict(domain, &zone), expected, "{domain}");
        }
        assert!(!is_strict("strict.test", &crate::nexthop::resolver::NoDns));
    }
}
