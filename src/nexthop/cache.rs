//! Answers are kept as long as their owners allow, within bounds; also those that say no (RFC 2308), and for a moment that nobody
//! answered: a thousand messages for a domain without working servers wait for them once.

use super::resolver::{DnsError, Found, Kind, Question, Resolver};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most answers kept; all are forgotten when there are more.
const ENTRIES: usize = 10_000;
/// Longest time that an answer is kept, whatever its TTL (RFC 8767 §4 has seven days).
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// Longest time that a "no" is kept (RFC 2308 §5 has one to three hours).
const LONGEST_NO: Duration = Duration::from_secs(3 * 3600);
/// How long it is remembered that nobody answered (RFC 9520 §3.2 has one second to five minutes).
const TROUBLE: Duration = Duration::from_secs(15);

/// A resolver that remembers the answers of another.
pub struct Cached<R> {
    inner: R,
    kept: Mutex<HashMap<Question, (Instant, Found)>>,
}

impl<R: Resolver> Cached<R> {
    /// Remembers nothing yet.
    pub fn new(inner: R) -> Cached<R> {
        Cached { inner, kept: Mutex::default() }
    }

    fn find(&self, question: &Question, now: Instant) -> Option<Found> {
        let kept = self.kept.lock().ok()?;
        kept.get(question).filter(|(until, _)| *until > now).map(|(_, found)| found.clone())
    }

    fn keep(&self, question: &Question, found: &Found, now: Instant) {
        let span = match found {
            Ok(answer) => answer.ttl.min(LONGEST),
            Err(DnsError::NoName { ttl } | DnsError::NoData { ttl }) => (*ttl).min(LONGEST_NO),
            Err(DnsError::Trouble(_)) => TROUBLE,
        };
        let Ok(mut kept) = self.kept.lock() else { return };
        if kept.len() >= ENTRIES {
            kept.retain(|_, (until, _)| *until > now);
        }
        if kept.len() >= ENTRIES {
            kept.clear();
        }
        kept.insert(question.clone(), (now + span, found.clone()));
    }

    fn ask_at(&self, questions: &[Question], patience: Duration, now: Instant) -> Vec<Found> {
        // What DNS was heard to say of such a name does not count.
        let is_of_file = |q: &Question| matches!(q.kind, Kind::A | Kind::Aaaa) && self.inner.is_fixed(&q.name);
        self.kept_or(questions, now, is_of_file, |missing| self.inner.ask(missing, patience))
    }

    /// What is kept of the answers, and what `ask` says to the rest. What files say has no time to be kept for.
    fn kept_or(
        &self,
        questions: &[Question],
        now: Instant,
        passes_by: impl Fn(&Question) -> bool,
        ask: impl Fn(&[Question]) -> Vec<Found>,
    ) -> Vec<Found> {
        let find = |q: &Question| self.find(q, now).filter(|_| !passes_by(q));
        let mut found: Vec<Option<Found>> = questions.iter().map(find).collect();
        let missing: Vec<usize> = (0..found.len()).filter(|i| found[*i].is_none()).collect();
        if !missing.is_empty() {
            let asked: Vec<Question> = missing.iter().map(|i| questions[*i].clone()).collect();
            for (index, answer) in missing.into_iter().zip(ask(&asked)) {
                self.keep(&questions[index], &answer, now);
                found[index] = Some(answer);
            }
        }
        let silence = || Err(DnsError::Trouble("no answer".to_string()));
        found.into_iter().map(|f| f.unwrap_or_else(silence)).collect()
    }
}

impl<R: Resolver> Resolver for Cached<R> {
    fn ask(&self, questions: &[Question], patience: Duration) -> Vec<Found> {
        self.ask_at(questions, patience, Instant::now())
    }

    fn ask_servers(&self, questions: &[Question], patience: Duration) -> Vec<Found> {
        self.kept_or(questions, Instant::now(), |_| false, |missing| self.inner.ask_servers(missing, patience))
    }

    fn is_fixed(&self, name: &str) -> bool {
        self.inner.is_fixed(name)
    }

    fn fixed_name(&self, name: &str) -> Option<String> {
        self.inner.fixed_name(name)
    }

    fn fixed_name_of(&self, ip: IpAddr) -> Option<String> {
        self.inner.fixed_name_of(ip)
    }

    fn has_servers(&self) -> bool {
        self.inner.has_servers()
    }

    fn has_dnssec(&self) -> bool {
        self.inner.has_dnssec()
    }
}

#[cfg(test)]
mod tests {
    use super::super::resolver::Answer;
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Says a different thing about each name, and counts the questions.
    #[derive(Default)]
    struct Counter(AtomicUsize);

    impl Resolver for Counter {
        fn ask(&self, questions: &[Question], _: Duration) -> Vec<Found> {
            self.0.fetch_add(questions.len(), Ordering::Relaxed);
            let ttl = Duration::from_secs(100);
            let say = |q: &Question| match q.name.as_str() {
                "yes" => Ok(Answer { name: q.name.clone(), data: Vec::new(), secure: false, ttl }),
                "no" => Err(DnsError::NoName { ttl }),
                "zero" => Err(DnsError::NoData { ttl: Duration::ZERO }),
                _ => Err(DnsError::Trouble("silence".to_string())),
            };
            questions.iter().map(say).collect()
        }
    }

    #[test]
    fn each_answer_is_kept_for_its_time() {
        let cached = Cached::new(Counter::default());
        let start = Instant::now();
        let ask = |name: &str, after: u64| {
            let before = cached.inner.0.load(Ordering::Relaxed);
            cached.ask_at(&[Question::new(name, Kind::A)], Duration::ZERO, start + Duration::from_secs(after));
            cached.inner.0.load(Ordering::Relaxed) > before
        };
        for name in ["yes", "no", "zero", "other"] {
            assert!(ask(name, 0), "{name}");
        }
        assert!(!ask("YES.", 99) && ask("yes", 100) && !ask("yes", 199));
        assert!(!ask("no", 99) && ask("no", 100));
        assert!(ask("zero", 0));
        assert!(!ask("other", 14) && ask("other", 15));
    }

    #[test]
    fn only_what_is_missing_is_asked_and_the_order_stays() {
        let cached = Cached::new(Counter::default());
        let questions = ["no", "yes", "no"].map(|name| Question::new(name, Kind::Mx));
        cached.ask(&questions[1..2], Duration::ZERO);
        let found = cached.ask(&questions, Duration::ZERO);
        assert!(found[0].is_err() && found[1].is_ok() && found[2].is_err());
        assert_eq!(cached.inner.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn no_more_is_kept_than_the_bound() {
        let cached = Cached::new(Counter::default());
        for n in 0..ENTRIES + 10 {
            cached.ask(&[Question::new(&format!("name{n}"), Kind::A)], Duration::ZERO);
        }
        assert!(cached.kept.lock().unwrap().len() <= ENTRIES);
    }
}
