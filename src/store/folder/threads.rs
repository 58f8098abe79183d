//! Work about many messages on a second core.
//!
//! Called by whoever records or forgets thousands of messages. Without a second core, or when the system has no thread left, the caller does
//! everything. Names are linked and removed by one thread: two wait for the same directory, and both are slower for it.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// Parts of memory that are not given back while somebody waits.
const MANY_PARTS: usize = 20_000;

/// Does both, at the same time when there is a second core.
pub fn both<A, B: Send>(mine: impl FnOnce() -> A, other: impl FnMut() -> B + Send) -> (A, B) {
    // Kept where both threads can reach it, so that it is not lost when none starts.
    let other = Mutex::new(other);
    let (mine, theirs) = thread::scope(|scope| {
        let helper = match has_second_core() {
            true => thread::Builder::new().spawn_scoped(scope, || other.lock().map(|mut other| other()).ok()).ok(),
            false => None,
        };
        let mine = mine();
        (mine, helper.and_then(|helper| helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))))
    });
    let theirs = match theirs {
        Some(theirs) => theirs,
        None => other.into_inner().unwrap_or_else(PoisonError::into_inner)(),
    };
    (mine, theirs)
}

/// Gives memory back; that of many parts beside whatever comes next, since a hundred thousand of them take longer than most commands.
pub fn give_back<T: Send + 'static>(parts: Vec<T>) {
    if parts.len() >= MANY_PARTS && has_second_core() {
        // Without a thread it is given back here and now.
        let _ = thread::Builder::new().spawn(move || drop(parts));
    }
}

fn has_second_core() -> bool {
    cores() > 1
}

/// How many there are for this process. The library reads a dozen files of the system for it, so that it is asked once.
pub fn cores() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_done_once() {
        let (mut a, mut b) = (0, 0);
        assert_eq!(
            both(
                || {
                    a += 1;
                    "a"
                },
                || {
                    b += 1;
                    "b"
                }
            ),
            ("a", "b")
        );
        assert_eq!((a, b), (1, 1));
    }
}
