//! The threads that make attempts: each takes what the board gives it, one task after the other.
//!
//! Threads come when there is work and go when there has been none for a while. The board is locked for moments only, never over a
//! delivery. A message of which several destinations are owed is claimed once; its parts go to the destinations, and whoever ends the
//! last part settles it.

use super::attempt::{Attempt, Attempted, Opened, Runner};
use super::board::{Board, Item, Number, Task, Verdict, limits};
use super::opening::Open;
use super::schedule;
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Envelope, Mailer};
use crate::log;
use crate::spool::{Hint, Id, Outcome, PackedId, Progress};
use crate::status::Enhanced;
use std::collections::HashMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// An idle thread ends after this time.
const IDLE: Duration = Duration::from_secs(5);
/// Pause before a message is looked at again on which another process works.
const BUSY: Duration = Duration::from_secs(30);
/// Stack of a thread, in octets; only what is used of it takes memory.
const STACK: usize = 512 << 10;
/// The date of what waits for an administrator.
const NEVER: u32 = u32::MAX;

/// A connection that is not used for this time is closed.
const UNUSED: Duration = Duration::from_secs(2);

/// A message's way that one destination is to do.
pub(super) struct Part {
    attempt: Arc<Attempt>,
    way: usize,
}

/// Hears how each message's attempt ended.
pub(super) type Told = Box<dyn Fn(&Id, &io::Result<Attempted>) + Send + Sync>;

/// Threads and the board they share.
pub(super) struct Crew {
    pub(super) runner: Arc<Runner>,
    now: fn() -> Timestamp,
    board: Mutex<Board<Part>>,
    work: Condvar,
    threads: Mutex<Threads>,
    /// Connections that wait for the next message to their destination, the one used last at the end.
    kept: Mutex<HashMap<Number, Vec<(Instant, Open)>>>,
    stops: AtomicBool,
    told: Told,
    /// Messages are tried once and then left.
    once: bool,
}

#[derive(Default)]
struct Threads {
    all: usize,
    idle: usize,
}

impl Crew {
    /// A crew without work. With `once` no message is tried twice.
    pub(super) fn new(runner: Arc<Runner>, now: fn() -> Timestamp, once: bool, told: Told) -> Arc<Crew> {
        let settings = &runner.gate().site.settings.queue;
        let board = Mutex::new(Board::new(limits(settings), settings.limits.clone()));
        let (work, threads, stops) = (Condvar::new(), Mutex::default(), AtomicBool::new(false));
        Arc::new(Crew { runner, now, board, work, threads, kept: Mutex::default(), stops, told, once })
    }

    pub(super) fn board(&self) -> MutexGuard<'_, Board<Part>> {
        // Every change leaves the board whole; at the worst a message is forgotten until the next scan.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn threads(&self) -> MutexGuard<'_, Threads> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time in seconds, rounded down: what is due at a date is not taken before it.
    fn seconds(&self) -> u32 {
        u32::try_from((self.now)().seconds().max(0)).unwrap_or(u32::MAX)
    }

    fn connection(&self, number: Number) -> Option<Open> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = kept.get_mut(&number)?;
        let (_, open) = waiting.pop()?;
        if waiting.is_empty() {
            kept.remove(&number);
        }
        Some(open)
    }

    fn keep(&self, number: Number, open: Open) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.entry(number).or_default().push((Instant::now(), open));
    }

    /// Closes connections that nobody has used for a while; all of them at the end.
    pub(super) fn close_unused(&self, all: bool) {
        let mut closed = Vec::new();
        {
            let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
            kept.retain(|_, waiting| {
                let is_old = |(since, _): &(Instant, Open)| all || since.elapsed() > UNUSED;
                // The oldest stand first.
                let old = waiting.iter().take_while(|one| is_old(one)).count();
                closed.extend(waiting.drain(..old));
                !waiting.is_empty()
            });
        }
        // Nobody waits for a reply to this QUIT: there may be hundreds.
        closed.into_iter().for_each(|(_, open)| open.quit(Duration::ZERO));
    }

    /// Connections that wait.
    pub(super) fn has_connections(&self) -> bool {
        !self.kept.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Threads that are there.
    pub(super) fn size(&self) -> usize {
        self.threads().all
    }

    /// Puts a message on the board, as read from the queue.
    pub(super) fn learn(&self, id: &Id, envelope: &Envelope, progress: &Progress) {
        let (item, name) = self.describe(id, envelope, progress);
        let due = self.due(envelope, progress);
        let now = self.seconds();
        let mut board = self.board();
        let destination = board.destination(&name);
        board.learn(item, destination, due, now);
    }

    /// The same for a message that was said to be new.
    pub(super) fn learn_hint(&self, hint: &Hint) {
        let settings = &self.runner.gate().site.settings.queue;
        let now = self.seconds();
        let care = now.saturating_add(schedule::seconds(settings.warn.min(settings.expire)));
        let item = Item { id: hint.id.pack(), sender: hint.sender, priority: hint.priority, care };
        let name = match &hint.delivery {
            Some((mailer, host)) => self.runner.destination(*mailer, host),
            None => String::new(),
        };
        let mut board = self.board();
        let destination = board.destination(&name);
        board.learn(item, destination, now, now);
    }

    /// Makes a message due at once.
    pub(super) fn hasten(&self, id: &Id, envelope: &Envelope, progress: &Progress) {
        let (item, name) = self.describe(id, envelope, progress);
        let now = self.seconds();
        let mut board = self.board();
        let destination = board.destination(&name);
        match self.once {
            // Who tries all there is finds out by the first ones that a host can't be reached.
            true => drop(board.learn(item, destination, now, now)),
            false => board.hasten(item, destination, now),
        }
    }

    /// What the board must know, and the name of the destination: the one that is owed, or the empty one for several.
    fn describe(&self, id: &Id, envelope: &Envelope, progress: &Progress) -> (Item, String) {
        let settings = &self.runner.gate().site.settings.queue;
        let owed = envelope.recipients.iter().zip(&progress.states).filter(|(_, state)| state.is_owed());
        let ways: Vec<&Delivery> = owed.map(|(recipient, _)| &recipient.delivery).collect();
        let hint = Hint::of(id, envelope, &ways);
        let care = schedule::date(schedule::care(envelope, progress, settings));
        let item = Item { id: id.pack(), sender: hint.sender, priority: hint.priority, care };
        let name = hint.delivery.map(|(mailer, host)| self.runner.destination(mailer, &host));
        (item, name.unwrap_or_default())
    }

    fn due(&self, envelope: &Envelope, progress: &Progress) -> u32 {
        if progress.held {
            return NEVER;
        }
        let now = (self.now)();
        let spans = schedule::spans(envelope, &self.runner.gate().site.settings.queue);
        // A date that no pause explains was written by a clock that went wrong.
        let latest = now.after(spans.retry_max);
        let next = progress.next.map_or(0, |next| schedule::date(next.min(latest)));
        schedule::held_until(envelope, progress, now).map_or(next, |until| next.max(schedule::date(until)))
    }

    /// Sees to it that somebody takes what there is to do.
    pub(super) fn rouse(self: &Arc<Crew>) {
        if self.has_work() {
            self.call();
        }
    }

    fn has_work(&self) -> bool {
        let now = self.seconds();
        self.board().has_work(now)
    }

    /// Wakes a thread, or starts one more.
    fn call(self: &Arc<Crew>) {
        let mut threads = self.threads();
        if threads.idle > 0 {
            drop(threads);
            self.work.notify_one();
        } else if threads.all < self.runner.gate().site.settings.queue.concurrency.max(1) as usize {
            threads.all += 1;
            let crew = self.clone();
            drop(threads);
            if let Err(e) = std::thread::Builder::new().stack_size(STACK).spawn(move || crew.serve()) {
                self.threads().all -= 1;
                log::event("thread-failed").field("reason", e).error().write();
            }
        }
    }

    /// Lets everybody end what is under way, and waits for that until the patience is over.
    pub(super) fn stop(&self, patience: Duration) {
        self.stops.store(true, Ordering::Release);
        self.work.notify_all();
        let until = Instant::now() + patience;
        while self.size() > 0 && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.close_unused(true);
    }

    /// Waits until nothing is left to do at this moment.
    pub(super) fn drain(&self) {
        loop {
            let (_, running, _) = self.board().counts();
            if running == 0 && !self.has_work() {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn serve(self: Arc<Crew>) {
        // A thread that panics must not be counted for ever.
        struct Leaves(Arc<Crew>);
        impl Drop for Leaves {
            fn drop(&mut self) {
                self.0.threads().all -= 1;
            }
        }
        let crew = Leaves(self);
        let mut held = None;
        while let Some((number, task)) = crew.0.next(held) {
            let streak = held.filter(|(last, _)| *last == number).map_or(0, |(_, had)| had);
            held = Some((number, streak + 1));
            crew.0.perform(number, task);
        }
    }

    fn next(self: &Arc<Crew>, held: Option<(Number, u32)>) -> Option<(Number, Task<Part>)> {
        let mut board = self.board();
        loop {
            if self.stops.load(Ordering::Acquire) {
                return None;
            }
            let now = self.seconds();
            if let Some(found) = board.take(now, held) {
                let has_more = board.has_work(now);
                drop(board);
                // Each who takes something calls the next, as long as there is more.
                if has_more {
                    self.call();
                }
                return Some(found);
            }
            let until_due = board.next_date().map_or(IDLE, |due| Duration::from_secs(due.saturating_sub(now).into()));
            let patience = IDLE.min(until_due.max(Duration::from_millis(50)));
            self.threads().idle += 1;
            let (guard, waited) = self.work.wait_timeout(board, patience).unwrap_or_else(PoisonError::into_inner);
            self.threads().idle -= 1;
            board = guard;
            if waited.timed_out() && patience == IDLE && !board.has_work(self.seconds()) {
                return None;
            }
        }
    }

    fn perform(self: &Arc<Crew>, number: Number, task: Task<Part>) {
        let id = match &task {
            Task::Message(id) | Task::Neglected(id, _) => *id,
            Task::Part(part) | Task::Unreachable(part, _) => part.attempt.id().pack(),
        };
        // A mistake of ours must not cost a place among the deliveries for ever, nor the message its next attempt.
        let verdict = catch_unwind(AssertUnwindSafe(|| self.perform_task(number, task)));
        let now = self.seconds();
        let verdict = verdict.unwrap_or_else(|_| {
            log::event("attempt-broken").id(id.unpack()).error().write();
            let item = Item { id, sender: 0, priority: Hint::NORMAL, care: NEVER };
            let due = now.saturating_add(schedule::seconds(BUSY));
            self.board().again(item, number, due, now);
            Verdict::Unknown
        });
        // Whoever ends a task looks for the next one, and finds what this has made room for.
        self.board().ended(number, verdict, now);
    }

    fn perform_task(self: &Arc<Crew>, number: Number, task: Task<Part>) -> Verdict {
        match task {
            Task::Message(id) => return self.message(number, id, None),
            Task::Neglected(id, outcome) => {
                self.message(number, id, Some(&outcome));
            }
            Task::Part(Part { attempt, way }) => {
                let mut kept = self.connection(number);
                let (is_last, said) = self.runner.try_way(&attempt, way, &mut kept, self.now);
                kept.into_iter().for_each(|open| self.keep(number, open));
                if is_last {
                    self.settle(&attempt);
                }
                return said;
            }
            Task::Unreachable(Part { attempt, way }, outcome) => {
                if self.runner.skip_way(&attempt, way, &outcome, (self.now)()) {
                    self.settle(&attempt);
                }
            }
        }
        Verdict::Unknown
    }

    /// True when a delivery is not tried before somebody says that the line is there. Once it was released, it is tried as any other.
    fn waits_for_line(&self, delivery: &Delivery, progress: &Progress) -> bool {
        let patterns = &self.runner.gate().site.settings.queue.on_demand;
        !self.once
            && progress.released.is_none()
            && matches!(delivery.mailer, Mailer::Smtp | Mailer::Lmtp)
            && schedule::is_on_demand(patterns, &delivery.host)
    }

    /// Claims a message; tries what goes to this destination and hands the rest to others. With an outcome nothing is tried: it stands for
    /// the attempt.
    fn message(self: &Arc<Crew>, number: Number, packed: PackedId, skipped: Option<&Outcome>) -> Verdict {
        let id = packed.unpack();
        let attempt = match self.runner.open(&id, (self.now)()) {
            Ok(Opened::Attempt(attempt)) => attempt,
            Ok(Opened::Ended(ended)) => {
                self.ended(&id, None, Ok(ended));
                return Verdict::Unknown;
            }
            Err(e) => {
                self.ended(&id, None, Err(e));
                return Verdict::Unknown;
            }
        };
        let now = (self.now)();
        let progress = attempt.progress();
        if !self.once && skipped.is_none() && !progress.is_due(now) {
            let (item, name) = self.describe(&id, attempt.envelope(), &progress);
            let (due, now) = (self.due(attempt.envelope(), &progress), self.seconds());
            let mut board = self.board();
            let destination = board.destination(&name);
            board.not_due(item, destination, due, now);
            return Verdict::Unknown;
        }
        let waits: Vec<bool> = attempt.deliveries().map(|delivery| self.waits_for_line(delivery, &progress)).collect();
        let places = attempt.deliveries().map(Hint::place);
        let names: Vec<String> = places.map(|(mailer, host)| self.runner.destination(mailer, &host)).collect();
        if names.is_empty() {
            // Everything is settled; only the end was not written down.
            self.settle(&attempt);
            return Verdict::Unknown;
        }
        let mut own = Vec::new();
        {
            let mut board = self.board();
            for (way, name) in names.iter().enumerate() {
                match board.destination(name) {
                    there if there == number || waits[way] => own.push(way),
                    there => board.push_part(there, Part { attempt: attempt.clone(), way }),
                }
            }
        }
        if own.len() < names.len() {
            self.rouse();
        }
        let mut verdict = Verdict::Unknown;
        let mut kept = self.connection(number);
        // RFC 3463 §3.5: no answer from a host, because nobody has asked.
        let line = Outcome::new(Enhanced(4, 4, 1), "Waits until the line is there (queue.on_demand)", "");
        for way in own {
            let (is_last, said) = match skipped.or(waits[way].then_some(&line)) {
                Some(outcome) => (self.runner.skip_way(&attempt, way, outcome, (self.now)()), Verdict::Unknown),
                None => self.runner.try_way(&attempt, way, &mut kept, self.now),
            };
            verdict = verdict.and(said);
            if is_last {
                // The connection is free for others while the disk is busy.
                kept.take().into_iter().for_each(|open| self.keep(number, open));
                self.settle(&attempt);
            }
        }
        kept.into_iter().for_each(|open| self.keep(number, open));
        verdict
    }

    fn settle(&self, attempt: &Attempt) {
        let attempted = self.runner.settle(attempt, (self.now)());
        self.ended(attempt.id(), Some(attempt), attempted);
    }

    /// A message's attempt is over: it is forgotten, or put back on the board.
    fn ended(&self, id: &Id, attempt: Option<&Attempt>, attempted: io::Result<Attempted>) {
        (self.told)(id, &attempted);
        let settings = &self.runner.gate().site.settings.queue;
        let due = match &attempted {
            Ok(Attempted::Finished | Attempted::Gone) => None,
            Ok(Attempted::Later(when)) => Some(schedule::date(*when)),
            Ok(Attempted::Left) => Some(NEVER),
            // Whoever has it may leave something to be done.
            Ok(Attempted::Busy) => Some(schedule::date((self.now)().after(BUSY))),
            Err(e) => {
                log::event("attempt-failed").id(id).field("reason", e).error().write();
                Some(schedule::date((self.now)().after(settings.retry)))
            }
        };
        let Some(due) = due.filter(|_| !self.once) else { return self.board().forget(id.pack()) };
        let mut due = due;
        let (item, name) = match attempt {
            Some(attempt) => {
                let progress = attempt.progress();
                let (item, name) = self.describe(id, attempt.envelope(), &progress);
                if attempt.is_owed_by_all(&progress, |delivery| self.waits_for_line(delivery, &progress)) {
                    // Until then there is nothing to do but to tell its sender.
                    due = due.max(item.care);
                }
                (item, name)
            }
            None => (Item { id: id.pack(), sender: 0, priority: Hint::NORMAL, care: NEVER }, String::new()),
        };
        let now = self.seconds();
        let mut board = self.board();
        let destination = board.destination(&name);
        board.again(item, destination, due, now);
    }
}
