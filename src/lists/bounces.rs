//! Members whose copies come back: the file `bounces`, one line each, and what follows from it.
//!
//! Called by `list` for each report, and by `emlist bounces`. A permanent failure counts one, a temporary one half, at most one failure a day;
//! a score that did not grow for the list's `bounce_stale` is forgotten; at `bounce_score` the member is switched off. Then come
//! `bounce_warnings` warnings, `bounce_warning_every` apart, and at last he is taken out. Whoever is switched on again has no score.
//! Refusals by policy are not his fault and never count.
//!
//! Format: `# em-bounces 1`, then `ADDRESS score=HALVES at=TIME key=value …` (see `fields`); replaced whole under the list's lock. A line that
//! makes no sense is dropped: who keeps failing gets a new one. Times are microseconds since 1970.

use super::List;
use super::settings::ListSettings;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fields;
use crate::fsx::{self, Lock};
use crate::line;
use crate::report::Class;
use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

const HEADER: &str = "# em-bounces 1\n";
/// Largest file, in octets: a hundred thousand members that all fail.
const LIMIT: u64 = 256 << 20;
/// Numbers of lost posts that are kept for a member: the first ones.
const LOST_LIMIT: usize = 100;
/// Characters of a failure's text that are kept.
const SAID_LIMIT: usize = 200;
/// Failures within this time count as one.
const DAY: Duration = Duration::from_secs(86_400);

/// What is known of a member's failures.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Score {
    /// The score, in halves.
    pub halves: u32,
    /// When the last failure was counted.
    pub at: Timestamp,
    /// Numbers of posts that he did not get.
    pub lost: Vec<u64>,
    /// The last failure: its status and text.
    pub said: String,
    /// When he was switched off for it.
    pub off: Option<Timestamp>,
    /// Warnings that he was sent since then.
    pub warnings: u32,
    /// When the last one was sent.
    pub warned: Timestamp,
}

/// One failure.
#[derive(Debug, Clone, Copy)]
pub struct Failed<'a> {
    /// What it means.
    pub class: Class,
    /// The post that came back, when it is known.
    pub number: Option<u64>,
    /// Its status and text.
    pub said: &'a str,
}

/// What became of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counted {
    /// It does not count against a member.
    Ignored,
    /// One of this day has counted already.
    SameDay,
    /// It was added to the score.
    Added,
    /// The score is reached: he is to be switched off.
    Reached,
    /// He is switched off already.
    IsOff,
    /// He complains: he is to be taken out.
    Complained,
}

/// What is due for a member who was switched off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Due {
    /// A warning, the n-th.
    Warning(Address, u32),
    /// He is to be taken out.
    Removal(Address),
}

impl Score {
    /// Adds a failure.
    pub fn count(&mut self, failed: Failed, settings: &ListSettings, now: Timestamp) -> Counted {
        let halves = match failed.class {
            Class::Hard => 2,
            Class::Soft => 1,
            Class::Complaint => return Counted::Complained,
            Class::Policy | Class::AutoReply | Class::Delivered => return Counted::Ignored,
        };
        if self.off.is_none() && self.halves > 0 && now.since(self.at) > settings.bounce_stale {
            *self = Score::default();
        }
        if let Some(number) = failed.number.filter(|number| !self.lost.contains(number)) {
            self.lost.push(number);
            self.lost.truncate(LOST_LIMIT);
        }
        self.said = failed.said.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(SAID_LIMIT).collect();
        if self.off.is_some() {
            return Counted::IsOff;
        }
        if self.halves > 0 && now.since(self.at) < DAY {
            return Counted::SameDay;
        }
        self.halves = self.halves.saturating_add(halves);
        self.at = now;
        let threshold = settings.bounce_score.saturating_mul(2);
        if threshold == 0 || self.halves < threshold {
            return Counted::Added;
        }
        self.off = Some(now);
        Counted::Reached
    }

    /// `2.5`.
    pub fn points(&self) -> String {
        format!("{}.{}", self.halves / 2, self.halves % 2 * 5)
    }

    /// Notes that a warning was sent.
    pub fn warn(&mut self, now: Timestamp) {
        self.warnings += 1;
        self.warned = now;
    }

    fn print(&self, address: &Address) -> String {
        let mut line = fields::encode(&address.to_string());
        fields::push(&mut line, "score", &self.halves.to_string());
        fields::push(&mut line, "at", &self.at.0.to_string());
        if !self.lost.is_empty() {
            let lost: Vec<String> = self.lost.iter().map(u64::to_string).collect();
            fields::push(&mut line, "lost", &lost.join(","));
        }
        if let Some(off) = self.off {
            fields::push(&mut line, "off", &off.0.to_string());
            fields::push(&mut line, "warnings", &self.warnings.to_string());
            fields::push(&mut line, "warned", &self.warned.0.to_string());
        }
        if !self.said.is_empty() {
            fields::push(&mut line, "said", &self.said);
        }
        line.push('\n');
        line
    }

    fn parse(line: &str) -> Option<(Address, Score)> {
        let (address, rest) = line.split_once(' ')?;
        let address = Address::parse(&fields::decode(address)?).ok()?;
        let mut score = Score::default();
        for (key, value) in fields::pairs(rest)? {
            let time = || value.parse().ok().map(Timestamp);
            match key.as_str() {
                "score" => score.halves = value.parse().ok()?,
                "at" => score.at = time()?,
                "lost" => score.lost = value.split(',').filter_map(|number| number.parse().ok()).collect(),
                "off" => score.off = Some(time()?),
                "warnings" => score.warnings = value.parse().ok()?,
                "warned" => score.warned = time()?,
                "said" => score.said = value,
                _ => {}
            }
        }
        Some((address, score))
    }
}

/// The scores of a list.
#[derive(Debug)]
pub struct Bounces {
    path: PathBuf,
    scores: BTreeMap<String, (Address, Score)>,
    is_changed: bool,
}

impl List {
    /// The scores, for reading.
    pub fn bounces(&self) -> io::Result<Bounces> {
        Bounces::read(self.spool().join("bounces"))
    }

    /// The scores, to be changed under the list's lock and then saved.
    pub fn bounces_locked(&self, _lock: &Lock) -> io::Result<Bounces> {
        self.bounces()
    }

    /// Forgets a member's score: he was switched on again, or has left.
    pub fn forget_bounces(&self, lock: &Lock, address: &Address) -> io::Result<()> {
        let mut bounces = self.bounces_locked(lock)?;
        bounces.forget(address);
        bounces.save()
    }
}

impl Bounces {
    fn read(path: PathBuf) -> io::Result<Bounces> {
        let mut bounces = Bounces { path, scores: BTreeMap::new(), is_changed: false };
        let text = match fsx::read(&bounces.path, LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(bounces),
            other => other?,
        };
        for line in line::lines(&text).filter_map(|line| std::str::from_utf8(line).ok()) {
            if let Some((address, score)) = Score::parse(line) {
                bounces.scores.insert(key(&address), (address, score));
            }
        }
        Ok(bounces)
    }

    /// One member's score.
    pub fn of(&self, address: &Address) -> Option<&Score> {
        self.scores.get(&key(address)).map(|(_, score)| score)
    }

    /// All, by address.
    pub fn iter(&self) -> impl Iterator<Item = (&Address, &Score)> {
        self.scores.values().map(|(address, score)| (address, score))
    }

    /// One member's score, to be changed.
    pub fn of_mut(&mut self, address: &Address) -> &mut Score {
        self.is_changed = true;
        let new = || (address.clone(), Score::default());
        &mut self.scores.entry(key(address)).or_insert_with(new).1
    }

    /// Forgets a score.
    pub fn forget(&mut self, address: &Address) {
        self.is_changed |= self.scores.remove(&key(address)).is_some();
    }

    /// Forgets scores that have not grown for so long, but of those who were switched off for theirs.
    pub fn forget_stale(&mut self, stale: Duration, now: Timestamp) {
        let before = self.scores.len();
        self.scores.retain(|_, (_, score)| score.off.is_some() || now.since(score.at) <= stale);
        self.is_changed |= self.scores.len() != before;
    }

    /// What is due now for those who were switched off.
    pub fn due(&self, settings: &ListSettings, now: Timestamp) -> Vec<Due> {
        if settings.bounce_warnings == 0 {
            return Vec::new();
        }
        let mut due = Vec::new();
        for (address, score) in self.scores.values().filter(|(_, score)| score.off.is_some()) {
            let is_time = score.warnings == 0 || now.since(score.warned) >= settings.bounce_warning_every;
            match (is_time, score.warnings >= settings.bounce_warnings) {
                (true, false) => due.push(Due::Warning(address.clone(), score.warnings + 1)),
                (true, true) => due.push(Due::Removal(address.clone())),
                (false, _) => {}
            }
        }
        due
    }

    /// Writes what has changed; durable on return.
    pub fn save(&mut self) -> io::Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        let mut text = String::from(HEADER);
        self.scores.values().for_each(|(address, score)| text.push_str(&score.print(address)));
        fsx::replace(&self.path, text.as_bytes(), 0o600)?;
        self.is_changed = false;
        Ok(())
    }
}

fn key(address: &Address) -> String {
    address.to_key().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAYS: u64 = 86_400;

    fn at(days: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).after(Duration::from_secs(days * DAYS))
    }

    fn failed(class: Class, number: u64) -> Failed<'static> {
        Failed { class, number: Some(number), said: "5.1.1 no\nsuch user" }
    }

    #[test]
    fn the_model_of_scores() {
        let settings = ListSettings::default();
        let mut score = Score::default();
        let mut count = |class, day| score.count(failed(class, day), &settings, at(day));
        assert_eq!(count(Class::Policy, 0), Counted::Ignored);
        assert_eq!(count(Class::Hard, 0), Counted::Added);
        assert_eq!(count(Class::Hard, 0), Counted::SameDay);
        assert_eq!(count(Class::Soft, 1), Counted::Added);
        assert_eq!(count(Class::Hard, 2), Counted::Added);
        assert_eq!(count(Class::Hard, 3), Counted::Added);
        assert_eq!(count(Class::Hard, 4), Counted::Added);
        assert_eq!(count(Class::Soft, 5), Counted::Reached);
        assert_eq!(count(Class::Hard, 6), Counted::IsOff);
        assert_eq!(count(Class::Complaint, 6), Counted::Complained);
        assert_eq!((score.points().as_str(), score.lost.as_slice()), ("5.0", &[0, 1, 2, 3, 4, 5, 6][..]));
    }

    #[test]
    fn a_score_that_does_not_grow_is_forgotten() {
        let settings = ListSettings::default();
        let mut score = Score::default();
        for day in 0..4 {
            score.count(failed(Class::Hard, day), &settings, at(day));
        }
        assert_eq!(score.count(failed(Class::Hard, 20), &settings, at(20)), Counted::Added);
        assert_eq!((score.points().as_str(), score.lost.as_slice()), ("1.0", &[20][..]));
        // Nobody is switched off where that is not wanted.
        let lenient = ListSettings { bounce_score: 0, ..ListSettings::default() };
        for day in 21..60 {
            assert_eq!(score.count(failed(Class::Hard, day), &lenient, at(day)), Counted::Added);
        }
    }

    #[test]
    fn warnings_come_first_and_then_he_is_taken_out() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bounces");
        let settings = ListSettings { bounce_score: 1, ..ListSettings::default() };
        let ann = Address::parse("Ann@a.test").unwrap();
        let mut bounces = Bounces::read(path.clone()).unwrap();
        assert_eq!(bounces.of_mut(&ann).count(failed(Class::Hard, 7), &settings, at(0)), Counted::Reached);
        let mut said = Vec::new();
        for day in 0..40 {
            for due in bounces.due(&settings, at(day)) {
                match due {
                    Due::Warning(address, number) => {
                        bounces.of_mut(&address).warn(at(day));
                        said.push((day, number));
                    }
                    Due::Removal(address) => {
                        bounces.forget(&address);
                        said.push((day, 99));
                    }
                }
            }
            // What is saved is what is read.
            bounces.save().unwrap();
            let again = Bounces::read(path.clone()).unwrap();
            assert_eq!(again.scores, bounces.scores);
        }
        assert_eq!(said, [(0, 1), (7, 2), (14, 3), (21, 99)]);
    }

    #[test]
    fn damaged_lines_are_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("bounces");
        std::fs::write(&path, "# em-bounces 1\nann@a.test score=3 at=5 new=x\nbob@b.test score=x\nnonsense\n\u{0}\n")
            .unwrap();
        let mut bounces = Bounces::read(path).unwrap();
        let all: Vec<String> = bounces.iter().map(|(address, score)| format!("{address} {}", score.points())).collect();
        assert_eq!(all, ["ann@a.test 1.5"]);
        bounces.forget_stale(Duration::from_secs(DAYS), at(0));
        assert_eq!(bounces.iter().count(), 0);
    }
}
