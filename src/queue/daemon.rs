//! The queue daemon: what is due is tried, on threads, until it is told to stop.
//!
//! One a site, by a lock. A fifo tells it things, a line each: a [`Hint`] about a new message, a message's id when that is due at
//! once, `dropped` when something was handed in, an empty line for "look at the queue". A scan each minute covers lost hints.
//! The scan runs beside the deliveries: a million messages take it half a minute, and the first is tried after a moment.

use super::attempt::{Attempted, Runner};
use super::crew::Crew;
use super::drops::take_dropped;
use crate::clock::Timestamp;
use crate::log;
use crate::spool::{BUCKETS, Heads, Hint, Id};
use std::io;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// Longest time between two scans.
const SCAN: Duration = Duration::from_secs(60);
/// A scan that is asked for comes no sooner after another than this, and than ten times what that one took.
const SCAN_PAUSE: Duration = Duration::from_millis(200);
/// While something is under way the daemon looks around so often.
const TICK: Duration = Duration::from_secs(1);
/// File times may lag behind the clock by a tick.
const LAG: Duration = Duration::from_secs(2);
/// Up to so many waiting messages are looked at again for what others have written about them.
const LOOK_AGAIN: usize = 20_000;
/// How long attempts under way may go on when the daemon is to stop. A claim that dies with us is taken up at the next start.
const LAST_ATTEMPTS: Duration = Duration::from_secs(20);

/// What woke the daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wake {
    /// Time has passed.
    Time,
    /// Lines from the fifo.
    Hint(Vec<String>),
    /// The end.
    Stop,
}

/// The daemon.
pub struct Daemon {
    runner: Arc<Runner>,
}

/// What the scanning thread is asked for.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// All of the queue, and what was handed in.
    Queue,
    /// What was handed in.
    Dropped,
}

impl Daemon {
    /// A daemon that knows nothing yet.
    pub fn new(runner: Arc<Runner>) -> Daemon {
        Daemon { runner }
    }

    /// Runs until `wait` says [`Wake::Stop`]; `wait` gets the longest time it may wait.
    pub fn run(self, now: fn() -> Timestamp, mut wait: impl FnMut(Duration) -> Wake) {
        let crew = Crew::new(self.runner.clone(), now, false, Box::new(|_, _| {}));
        let (ask, asked) = mpsc::channel();
        let scanner =
            Scanner { crew: crew.clone(), now, asked, seen: vec![None; BUCKETS], heads: Heads::default(), last: None };
        if let Err(e) = std::thread::Builder::new().name("scan".to_string()).spawn(move || scanner.serve()) {
            return log::event("thread-failed").field("reason", e).error().write();
        }
        let mut looked_after = Instant::now();
        loop {
            match wait(patience(&crew, now)) {
                Wake::Stop => break,
                Wake::Time => {}
                Wake::Hint(lines) => lines.iter().for_each(|line| heed(&crew, &ask, line)),
            }
            if let Err(e) = self.runner.sync_retired() {
                log::event("sync-failed").field("reason", e).error().write();
            }
            crew.close_unused(false);
            if looked_after.elapsed() >= SCAN {
                looked_after = Instant::now();
                let seconds = super::schedule::date(now());
                crew.board().look_after(seconds);
            }
            crew.rouse();
        }
        crew.stop(LAST_ATTEMPTS);
        if let Err(e) = self.runner.sync_retired() {
            log::event("sync-failed").field("reason", e).error().write();
        }
    }
}

fn patience(crew: &Arc<Crew>, now: fn() -> Timestamp) -> Duration {
    if crew.size() > 0 || crew.has_connections() {
        return TICK;
    }
    let date = crew.board().next_date().map(i64::from);
    let until = date.map_or(SCAN, |date| Timestamp::from_seconds(date).since(now()));
    until.clamp(Duration::from_millis(10), SCAN)
}

/// Acts on a line from the fifo. Anybody may write there: it can make a message due, and nothing else.
fn heed(crew: &Arc<Crew>, ask: &mpsc::Sender<Look>, line: &str) {
    if let Some(hint) = Hint::parse(line) {
        crew.learn_hint(&hint);
    } else if let Some(id) = Id::parse(line) {
        match crew.runner.gate().spool.peek(&id) {
            Ok(Some((envelope, progress))) => crew.hasten(&id, &envelope, &progress),
            Ok(None) => {}
            // The scan says what is wrong with it.
            Err(_) => drop(ask.send(Look::Queue)),
        }
    } else if line == "dropped" {
        let _ = ask.send(Look::Dropped);
    } else if line.is_empty() {
        let _ = ask.send(Look::Queue);
    }
}

/// Reads the queue beside the deliveries.
struct Scanner {
    crew: Arc<Crew>,
    now: fn() -> Timestamp,
    asked: mpsc::Receiver<Look>,
    /// When each folder had last changed as we read it.
    seen: Vec<Option<Timestamp>>,
    /// The oldest of each folder, for listings.
    heads: Heads,
    last: Option<Timestamp>,
}

impl Scanner {
    fn serve(mut self) {
        loop {
            let began = Instant::now();
            self.scan();
            let pause = SCAN_PAUSE.max(began.elapsed() * 10).min(SCAN);
            let (first, until) = (Instant::now() + pause, Instant::now() + SCAN);
            let mut wants_scan = false;
            loop {
                let end = if wants_scan { first } else { until };
                match self.asked.recv_timeout(end.saturating_duration_since(Instant::now())) {
                    Ok(Look::Dropped) => self.take_dropped(),
                    Ok(Look::Queue) => wants_scan = true,
                    Err(mpsc::RecvTimeoutError::Timeout) => break,
                    Err(mpsc::RecvTimeoutError::Disconnected) => return,
                }
            }
        }
    }

    fn take_dropped(&self) {
        if let Err(e) = take_dropped(self.crew.runner.gate(), (self.now)()) {
            log::event("drop-failed").field("reason", e).error().write();
        }
    }

    fn scan(&mut self) {
        self.take_dropped();
        let began = (self.now)();
        if self.last.is_none() {
            self.look_at_names();
        }
        for bucket in 0..BUCKETS {
            if let Err(e) = self.scan_bucket(bucket) {
                log::event("scan-failed").field("reason", e).error().write();
            }
        }
        self.keep_heads();
        self.look_again(began);
        self.last = Some(began);
    }

    /// Reads the names alone, for the listings: the first scan takes its time, and the administrator who has just started a full queue is curious.
    fn look_at_names(&mut self) {
        for bucket in 0..BUCKETS {
            if let Ok(there) = self.crew.runner.gate().spool.scan_bucket(bucket) {
                self.heads.note(bucket, &there);
            }
        }
        self.keep_heads();
    }

    fn keep_heads(&self) {
        if let Err(e) = self.crew.runner.gate().spool.write_heads(&self.heads) {
            log::event("cache-failed").field("reason", e).error().write();
        }
    }

    fn scan_bucket(&mut self, bucket: usize) -> io::Result<()> {
        let spool = &self.crew.runner.gate().spool;
        let changed = spool.bucket_changed(bucket);
        // A change in the moment after our look may have the same time.
        let is_settled = changed.is_none_or(|at| at.after(LAG) < (self.now)());
        if changed.is_none() || changed == self.seen[bucket] {
            return Ok(());
        }
        let there = spool.scan_bucket(bucket)?;
        self.heads.note(bucket, &there);
        self.seen[bucket] = changed.filter(|_| is_settled);
        let news = self.crew.board().compare(bucket, &there);
        if !news.is_empty() {
            // The main loop may sleep for a minute; from now on there are ends to be synced each second.
            spool.poke_quietly();
        }
        for (count, id) in news.into_iter().map(|packed| packed.unpack()).enumerate() {
            match spool.peek(&id) {
                Ok(Some((envelope, progress))) => self.crew.learn(&id, &envelope, &progress),
                Ok(None) => {}
                // Who claims it finds out what is wrong, and acts on it.
                Err(_) => {
                    let sender = 0;
                    self.crew.learn_hint(&Hint { id, delivery: None, sender, priority: Hint::NORMAL });
                }
            }
            if count % 100 == 0 {
                self.crew.rouse();
            }
        }
        self.crew.rouse();
        Ok(())
    }

    /// Looks again at what others have written about messages that wait: a hint to make one due may have been lost.
    fn look_again(&self, now: Timestamp) {
        let Some(since) = self.last else { return };
        let ids: Vec<Id> = self.crew.board().not_yet_due().take(LOOK_AGAIN).map(|packed| packed.unpack()).collect();
        let spool = &self.crew.runner.gate().spool;
        for id in ids {
            if spool.last_written(&id).is_some_and(|t| t.after(LAG) >= since)
                && let Ok(Some((envelope, progress))) = spool.peek(&id)
                && progress.is_due(now)
            {
                self.crew.hasten(&id, &envelope, &progress);
            }
        }
        self.crew.rouse();
    }
}

/// Tries messages once each, on as many threads as the settings say; `told` hears how each ended. Messages for a host that turns out to
/// be unreachable are left untouched. Gives the number of those that were not tried.
pub fn try_all(
    runner: &Arc<Runner>,
    ids: &[Id],
    now: fn() -> Timestamp,
    told: impl Fn(&Id, &io::Result<Attempted>) + Send + Sync + 'static,
) -> io::Result<usize> {
    let crew = Crew::new(runner.clone(), now, true, Box::new(told));
    for id in ids {
        match runner.gate().spool.peek(id) {
            Ok(Some((envelope, progress))) => crew.hasten(id, &envelope, &progress),
            Ok(None) => {}
            Err(_) => crew.learn_hint(&Hint { id: id.clone(), delivery: None, sender: 0, priority: Hint::NORMAL }),
        }
        crew.rouse();
    }
    crew.drain();
    crew.stop(LAST_ATTEMPTS);
    runner.sync_retired()?;
    let (left, _, _) = crew.board().counts();
    Ok(left)
}
