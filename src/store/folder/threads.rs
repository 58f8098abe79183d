//! Work about many messages on a second core.
//!
//! Called by whoever links, removes or records thousands of messages. The system gives out names in one directory one after the other, so that
//! more than one helper gains nothing there; what a helper does gain is all that lies between them. Without a second core, or when the system
//! has no thread left, the caller does everything.

use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;

/// Items for which a helper is worth its start.
const WORTHWHILE: usize = 1024;
/// Parts of memory that are not given back while somebody waits.
const MANY_PARTS: usize = 20_000;
/// Items that are taken at once.
const CHUNK: usize = 64;

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

/// Does something with each item, in about their order. The results, in their order: `None` for what was not done, which is nothing unless
/// there was an error; then nothing new is begun.
pub fn each<I: Sync, T: Send>(
    items: &[I],
    one: impl Fn(usize, &I) -> io::Result<T> + Sync,
) -> (Vec<Option<T>>, io::Result<()>) {
    let (next, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let (mut chunks, mut result) = (Vec::new(), Ok(()));
        while let Some(range) = take(&next, items.len())
            && !is_over.load(Ordering::Relaxed)
        {
            let mut done = Vec::with_capacity(range.len());
            for index in range.clone() {
                match one(index, &items[index]) {
                    Ok(made) => done.push(made),
                    Err(error) => {
                        is_over.store(true, Ordering::Relaxed);
                        result = Err(error);
                        break;
                    }
                }
            }
            chunks.push((range.start, done));
        }
        (chunks, result)
    };
    let ((mut chunks, mut result), more) = match items.len() >= WORTHWHILE {
        true => {
            let (mine, theirs) = both(work, work);
            (mine, Some(theirs))
        }
        false => (work(), None),
    };
    if let Some((theirs, their_result)) = more {
        chunks.extend(theirs);
        result = result.and(their_result);
    }
    let mut all: Vec<Option<T>> = Vec::new();
    all.resize_with(items.len(), || None);
    for (from, done) in chunks {
        for (slot, made) in all[from..].iter_mut().zip(done) {
            *slot = Some(made);
        }
    }
    (all, result)
}

/// Gives memory back; that of many parts beside whatever comes next, since a hundred thousand of them take longer than most commands.
pub fn give_back<T: Send + 'static>(parts: Vec<T>) {
    if parts.len() >= MANY_PARTS && has_second_core() {
        // Without a thread it is given back here and now.
        let _ = thread::Builder::new().spawn(move || drop(parts));
    }
}

/// The next items that nobody has taken.
fn take(next: &AtomicUsize, count: usize) -> Option<Range<usize>> {
    let from = next.fetch_add(CHUNK, Ordering::Relaxed);
    (from < count).then(|| from..count.min(from + CHUNK))
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

    #[test]
    fn each_result_stands_where_its_item_stood() {
        for count in [0, 1, CHUNK, WORTHWHILE + 7, 10 * WORTHWHILE] {
            let items: Vec<usize> = (0..count).collect();
            let (all, result) = each(&items, |index, item| Ok(index + item));
            assert!(result.is_ok());
            assert_eq!(all, items.iter().map(|item| Some(2 * item)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn an_error_ends_it_and_what_was_done_is_known() {
        for count in [100, 10 * WORTHWHILE] {
            let items: Vec<usize> = (0..count).collect();
            let seen = AtomicUsize::new(0);
            let (all, result) = each(&items, |_, item| {
                seen.fetch_add(1, Ordering::Relaxed);
                if *item == 70 { Err(io::Error::other("no")) } else { Ok(*item) }
            });
            assert!(result.is_err() && all[70].is_none());
            let done: Vec<usize> = all.into_iter().flatten().collect();
            assert_eq!(done.len() + 1, seen.load(Ordering::Relaxed));
            assert!(done.is_sorted() && done.len() < count);
        }
    }
}
