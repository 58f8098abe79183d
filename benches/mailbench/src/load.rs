//! The frame of every load: some threads, each doing transactions of its own until the time is over.

use crate::args::Problem;
use crate::stats::Times;
use std::time::{Duration, Instant};

/// Failures in a row after which a thread gives up, so that a dead server does not spin it.
const FAILURES: usize = 20;
/// Longer than any run.
const FOREVER: Duration = Duration::from_secs(3600);

/// What the threads did together.
#[derive(Default)]
pub struct Done {
    /// One entry for each transaction that succeeded.
    pub times: Times,
    /// Transactions that failed; the first reason of each thread went to standard error.
    pub errors: usize,
}

/// A client that one thread drives: made anew by its factory, then asked for transactions.
pub trait Client: Sized {
    /// Does one transaction and answers how long it took, as the protocol's user would see it.
    fn transaction(&mut self, number: usize) -> Result<Duration, Problem>;
}

/// Runs `threads` clients for `span`. `client(thread)` makes the client of a thread; after a failed transaction
/// it is called again.
pub fn drive<C: Client>(
    threads: usize,
    span: Duration,
    client: impl Fn(usize) -> Result<C, Problem> + Sync,
) -> Result<Done, Problem> {
    run(threads, usize::MAX, Instant::now() + span, client)
}

/// Runs `threads` clients for `count` transactions each.
pub fn drive_counted<C: Client>(
    threads: usize,
    count: usize,
    client: impl Fn(usize) -> Result<C, Problem> + Sync,
) -> Result<Done, Problem> {
    run(threads, count, Instant::now() + FOREVER, client)
}

fn run<C: Client>(
    threads: usize,
    count: usize,
    end: Instant,
    client: impl Fn(usize) -> Result<C, Problem> + Sync,
) -> Result<Done, Problem> {
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads)
            .map(|thread| {
                scope.spawn({
                    let client = &client;
                    move || one(thread, threads, count, end, client)
                })
            })
            .collect();
        let mut done = Done::default();
        for worker in workers {
            let part = worker.join().map_err(|_| "a thread of the generator panicked")?;
            done.times.join(part.times);
            done.errors += part.errors;
        }
        Ok(done)
    })
}

fn one<C: Client>(
    thread: usize,
    threads: usize,
    count: usize,
    end: Instant,
    client: &impl Fn(usize) -> Result<C, Problem>,
) -> Done {
    let mut done = Done::default();
    let mut current = None;
    let mut in_a_row = 0;
    let mut number = thread;
    while Instant::now() < end && in_a_row < FAILURES && done.times.count() < count {
        let outcome = match &mut current {
            None => client(thread).map(|made| current.insert(made)),
            Some(ready) => Ok(ready),
        }
        .and_then(|ready| ready.transaction(number));
        number += threads;
        match outcome {
            Ok(time) => {
                done.times.add(time);
                in_a_row = 0;
            }
            Err(problem) => {
                if done.errors == 0 {
                    eprintln!("mailbench: thread {thread}: {problem}");
                }
                done.errors += 1;
                in_a_row += 1;
                current = None;
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
    done
}
