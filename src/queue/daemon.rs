//! The queue daemon: what is due is tried, on threads, until it is told to stop.
//!
//! One a site, by a lock. A fifo pokes it: a line with an id makes that message due at once, an empty line says that something is new. A
//! scan each minute covers lost hints.

use super::attempt::{Attempted, Runner};
use super::drops::take_dropped;
use crate::clock::Timestamp;
use crate::log;
use crate::spool::Id;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, mpsc};
use std::time::Duration;

/// Longest time between two scans.
const SCAN: Duration = Duration::from_secs(60);
/// Pause before a message is looked at again on which another process works.
const BUSY: Duration = Duration::from_secs(30);
/// The date of what waits for an administrator.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// What woke the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Time has passed.
    Time,
    /// A hint from the fifo: ids that are due, or none for "look".
    Hint(Vec<String>),
    /// The end.
    Stop,
}

/// The daemon's memory: which message is due when. The disk knows better; this can be lost at any time.
pub struct Daemon {
    runner: Arc<Runner>,
    due: BTreeSet<(Timestamp, Id)>,
    known: HashMap<Id, Timestamp>,
    active: HashSet<Id>,
    done: mpsc::Receiver<(Id, Attempted)>,
    report: mpsc::Sender<(Id, Attempted)>,
    last_scan: Option<Timestamp>,
}

impl Daemon {
    /// A daemon that knows nothing yet.
    pub fn new(runner: Arc<Runner>) -> Daemon {
        let (report, done) = mpsc::channel();
        Daemon {
            runner,
            due: BTreeSet::new(),
            known: HashMap::new(),
            active: HashSet::new(),
            done,
            report,
            last_scan: None,
        }
    }

    /// Runs until `wait` says [`Wake::Stop`]; `wait` gets the longest time it may wait.
    pub fn run(mut self, now: fn() -> Timestamp, mut wait: impl FnMut(Duration) -> Wake) {
        loop {
            self.collect(now());
            let time = now();
            let scans = self.last_scan.is_none_or(|last| time.since(last) >= SCAN || time < last);
            if scans {
                let before = self.last_scan;
                self.scan(time);
                self.look_again(before, time);
            }
            self.start_due(time, now);
            let until_scan = SCAN.saturating_sub(self.last_scan.map_or(SCAN, |last| time.since(last)));
            let until_due = self.due.first().map_or(SCAN, |(due, _)| due.since(time));
            let is_full = self.active.len() >= self.limit();
            let patience = if is_full { until_scan } else { until_due.min(until_scan) };
            match wait(patience.max(Duration::from_millis(10))) {
                Wake::Stop => break,
                Wake::Time => {}
                Wake::Hint(lines) => {
                    let mut looks = false;
                    for line in lines {
                        match Id::parse(&line) {
                            Some(id) => self.set_due(id, now()),
                            None => looks |= line.is_empty(),
                        }
                    }
                    if looks {
                        self.scan(now());
                    }
                }
            }
        }
        // Attempts under way end by themselves; a claim that dies with us is taken up at the next start.
        while !self.active.is_empty() {
            match self.done.recv_timeout(Duration::from_secs(20)) {
                Ok((id, _)) => self.active.remove(&id),
                Err(_) => break,
            };
        }
    }

    fn limit(&self) -> usize {
        self.runner.gate().site.settings.queue.concurrency.max(1) as usize
    }

    fn set_due(&mut self, id: Id, when: Timestamp) {
        if let Some(old) = self.known.insert(id.clone(), when) {
            self.due.remove(&(old, id.clone()));
        }
        if !self.active.contains(&id) {
            self.due.insert((when, id));
        }
    }

    /// Takes over hand-ins, and learns of messages that are new.
    fn scan(&mut self, now: Timestamp) {
        self.last_scan = Some(now);
        if let Err(e) = take_dropped(self.runner.gate(), now) {
            log::event("drop-failed").field("reason", e).error().write();
        }
        let spool = self.runner.gate().spool.clone();
        let ids = match spool.scan() {
            Ok(ids) => ids,
            Err(e) => return log::event("scan-failed").field("reason", e).error().write(),
        };
        let there: HashSet<&Id> = ids.iter().collect();
        let gone: Vec<Id> = self.known.keys().filter(|id| !there.contains(id)).cloned().collect();
        for id in gone {
            if let Some(when) = self.known.remove(&id) {
                self.due.remove(&(when, id));
            }
        }
        for id in ids {
            if !self.known.contains_key(&id) && !self.active.contains(&id) {
                let when = self.date(&id, now);
                self.set_due(id, when);
            }
        }
    }

    /// Looks again at what others have written about messages that wait: a hint to make one due may have been lost.
    fn look_again(&mut self, since: Option<Timestamp>, now: Timestamp) {
        let Some(since) = since else { return };
        let spool = self.runner.gate().spool.clone();
        let waiting = self.known.iter().filter(|(id, when)| **when > now && !self.active.contains(*id));
        // File times may lag behind the clock by a tick.
        let is_news = |id: &Id| spool.last_written(id).is_some_and(|t| t.after(Duration::from_secs(1)) >= since);
        let news: Vec<Id> = waiting.map(|(id, _)| id).filter(|id| is_news(id)).cloned().collect();
        for id in news {
            let when = self.date(&id, now);
            self.set_due(id, when);
        }
    }

    /// When a message is due by its journal; the number of recipients does not matter for that.
    fn date(&self, id: &Id, now: Timestamp) -> Timestamp {
        let latest = now.after(self.runner.gate().site.settings.queue.retry_max);
        match self.runner.gate().spool.progress(id, 0) {
            Ok(progress) if progress.held => NEVER,
            // A date that no pause explains was written by a clock that went wrong.
            Ok(progress) => progress.next.map_or(now, |next| next.min(latest)),
            Err(_) => now,
        }
    }

    fn start_due(&mut self, time: Timestamp, now: fn() -> Timestamp) {
        while self.active.len() < self.limit() {
            let Some((when, id)) = self.due.first().cloned().filter(|(when, _)| *when <= time) else { return };
            self.due.remove(&(when, id.clone()));
            let (runner, report, job) = (self.runner.clone(), self.report.clone(), id.clone());
            let work = move || {
                let attempted = match runner.run(&job, now) {
                    Ok(attempted) => attempted,
                    Err(e) => {
                        log::event("attempt-failed").id(&job).field("reason", e).error().write();
                        Attempted::Later(now().after(runner.gate().site.settings.queue.retry))
                    }
                };
                let _ = report.send((job, attempted));
                runner.gate().spool.poke_quietly();
            };
            match std::thread::Builder::new().stack_size(512 << 10).spawn(work) {
                Ok(_) => {
                    self.active.insert(id);
                }
                Err(e) => {
                    log::event("thread-failed").field("reason", e).error().write();
                    self.set_due(id, time.after(Duration::from_secs(5)));
                    return;
                }
            }
        }
    }

    fn collect(&mut self, now: Timestamp) {
        while let Ok((id, attempted)) = self.done.try_recv() {
            self.active.remove(&id);
            match attempted {
                Attempted::Later(when) => self.set_due(id, when),
                Attempted::Left => self.set_due(id, NEVER),
                // Whoever has it may leave something to be done.
                Attempted::Busy => self.set_due(id, now.after(BUSY)),
                Attempted::Finished | Attempted::Gone => {
                    if let Some(when) = self.known.remove(&id) {
                        self.due.remove(&(when, id));
                    }
                }
            }
        }
    }
}
