//! The pool of threads for what blocks: parcels go in, are worked on, and results come back.
//!
//! A mutex and a condition variable, on purpose: channels that spin before they sleep burn the processor that the disk's
//! completions and the event loop need, and on two cores that is a third of the work.
//! Invariant: each parcel that was sent has one result. The work must not panic: that would end its thread.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Stack of a worker: sessions keep their state on the heap.
const STACK: usize = 1 << 20;

/// Threads, and what lies before and behind them.
pub(super) struct Pool<T, R> {
    shared: Arc<Shared<T, R>>,
}

struct Shared<T, R> {
    state: Mutex<State<T, R>>,
    /// Something was sent, or the pool ended.
    sent: Condvar,
    /// Something came back.
    done: Condvar,
}

struct State<T, R> {
    waiting: VecDeque<T>,
    done: Vec<R>,
    /// Threads that sleep.
    idle: usize,
    has_ended: bool,
}

/// What the work may ask about the rest of the pool.
pub(super) struct Calm<'a>(&'a dyn Fn() -> bool);

impl Calm<'_> {
    /// True when nothing waits for a thread and another one is free: this one may take its time.
    pub(super) fn is_calm(&self) -> bool {
        (self.0)()
    }
}

impl<T: Send + 'static, R: Send + 'static> Pool<T, R> {
    /// Starts the threads. `hire` makes what a thread does to each parcel; `wake` is called when there is a result.
    pub(super) fn start<W: FnMut(T, &Calm<'_>) -> R + Send + 'static>(
        threads: usize,
        hire: impl Fn() -> W,
        wake: impl Fn() + Send + Sync + 'static,
    ) -> io::Result<Pool<T, R>> {
        let state = State { waiting: VecDeque::new(), done: Vec::new(), idle: 0, has_ended: false };
        let shared = Arc::new(Shared { state: Mutex::new(state), sent: Condvar::new(), done: Condvar::new() });
        let wake = Arc::new(wake);
        for _ in 0..threads.max(1) {
            let (shared, mut work, wake) = (shared.clone(), hire(), wake.clone());
            std::thread::Builder::new().name("worker".to_string()).stack_size(STACK).spawn(move || {
                let calm = || {
                    let state = shared.lock();
                    state.waiting.is_empty() && state.idle > 0
                };
                while let Some(parcel) = shared.take() {
                    let result = work(parcel, &Calm(&calm));
                    shared.lock().done.push(result);
                    shared.done.notify_one();
                    wake();
                }
            })?;
        }
        Ok(Pool { shared })
    }

    /// Hands over a parcel.
    pub(super) fn send(&self, parcel: T) {
        let mut state = self.shared.lock();
        state.waiting.push_back(parcel);
        let sleeps = state.idle > 0;
        drop(state);
        if sleeps {
            self.shared.sent.notify_one();
        }
    }

    /// What has come back.
    pub(super) fn take(&self) -> Vec<R> {
        std::mem::take(&mut self.shared.lock().done)
    }

    /// The same, waiting for at least one until then.
    pub(super) fn wait(&self, until: Instant) -> Vec<R> {
        let mut state = self.shared.lock();
        while state.done.is_empty() {
            let patience = until.saturating_duration_since(Instant::now());
            if patience.is_zero() {
                break;
            }
            state = self.shared.done.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::take(&mut state.done)
    }
}

impl<T, R> Drop for Pool<T, R> {
    fn drop(&mut self) {
        self.shared.lock().has_ended = true;
        self.shared.sent.notify_all();
    }
}

impl<T, R> Shared<T, R> {
    fn lock(&self) -> MutexGuard<'_, State<T, R>> {
        // Nothing that can panic is done while the lock is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next parcel; `None` when the pool has ended.
    fn take(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if let Some(parcel) = state.waiting.pop_front() {
                return Some(parcel);
            }
            if state.has_ended {
                return None;
            }
            state.idle += 1;
            state = self.sent.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.idle -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_parcel_comes_back_once() {
        let pool = Pool::start(4, || |n: u32, _: &Calm<'_>| n * 2, || {}).unwrap();
        (0..1000).for_each(|n| pool.send(n));
        let mut back = Vec::new();
        let until = Instant::now() + Duration::from_secs(30);
        while back.len() < 1000 && Instant::now() < until {
            back.extend(pool.wait(until));
        }
        back.sort_unstable();
        assert_eq!(back, (0..1000).map(|n| n * 2).collect::<Vec<_>>());
        assert!(pool.take().is_empty());
    }

    #[test]
    fn a_pool_with_work_waiting_is_not_calm() {
        let pool = Pool::start(1, || |n: u32, calm: &Calm<'_>| if calm.is_calm() { 0 } else { n }, || {}).unwrap();
        // The only thread is busy with this one: nobody is free, calm or not.
        pool.send(7);
        assert_eq!(pool.wait(Instant::now() + Duration::from_secs(30)), [7]);
    }
}
