//! Fault injection: fails, or kills the process, at the n-th file operation.
//!
//! Only debug builds have it; in a release build [`checkpoint`] is empty. A plan is set for the
//! whole process by [`set_process_plan`] (the command line reads it from `EM_FAULT`), or for one thread
//! by [`with_plan`] in unit tests.
//!
//! `EM_FAULT` forms: `kill:N` (the process dies before its N-th operation, as by SIGKILL),
//! `ENOSPC:N`, `EIO:N`, `EDQUOT:N`, `EMFILE:N`, `EROFS:N` (that operation fails once), `ENOSPC:N+` (that one and all
//! later ones fail), `count` (nothing fails). A name after the number narrows the plan to operations of that kind:
//! `EIO:1:fsync`.

use std::io;
use std::path::Path;
#[cfg(debug_assertions)]
use std::sync::atomic::{AtomicU64, Ordering};

/// What shall happen at which operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    act: Act,
    at: u64,
    and_later: bool,
    kind: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    Kill,
    Fail(i32),
}

impl Plan {
    /// Reads the text form described in the module header; `None` when it is not understood.
    pub fn parse(text: &str) -> Option<Plan> {
        use nix::libc;
        let mut fields = text.splitn(3, ':');
        let act = match fields.next()? {
            "kill" => Act::Kill,
            "ENOSPC" => Act::Fail(libc::ENOSPC),
            "EIO" => Act::Fail(libc::EIO),
            "EDQUOT" => Act::Fail(libc::EDQUOT),
            "EMFILE" => Act::Fail(libc::EMFILE),
            "EROFS" => Act::Fail(libc::EROFS),
            _ => return None,
        };
        let number = fields.next()?;
        let and_later = number.ends_with('+');
        let at = number.trim_end_matches('+').parse().ok()?;
        Some(Plan { act, at, and_later, kind: fields.next().map(str::to_string) })
    }

    #[cfg(debug_assertions)]
    fn apply(&self, kind: &str, counter: &AtomicU64) -> io::Result<()> {
        if self.kind.as_deref().is_some_and(|wanted| wanted != kind) {
            return Ok(());
        }
        let n = counter.fetch_add(1, Ordering::SeqCst) + 1;
        if n != self.at && !(self.and_later && n > self.at) {
            return Ok(());
        }
        match self.act {
            Act::Fail(number) => Err(io::Error::from_raw_os_error(number)),
            Act::Kill => {
                let _ = nix::sys::signal::kill(nix::unistd::getpid(), nix::sys::signal::Signal::SIGKILL);
                // SIGKILL to ourselves does not return; should it be late, nothing more may happen.
                loop {
                    std::thread::park();
                }
            }
        }
    }
}

#[cfg(debug_assertions)]
static PROCESS: std::sync::OnceLock<(Plan, AtomicU64)> = std::sync::OnceLock::new();

#[cfg(debug_assertions)]
thread_local! {
    static THREAD: std::cell::RefCell<Option<(Plan, AtomicU64)>> = const { std::cell::RefCell::new(None) };
}

/// Sets the plan of the whole process, once. Without effect in release builds.
pub fn set_process_plan(plan: Plan) {
    #[cfg(debug_assertions)]
    {
        let _ = PROCESS.set((plan, AtomicU64::new(0)));
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = plan;
    }
}

/// Runs `work` with a plan for this thread; returns what it returned and whether the plan struck.
#[cfg(all(test, debug_assertions))]
pub fn with_plan<T>(plan: Plan, work: impl FnOnce() -> T) -> (T, bool) {
    let at = plan.at;
    THREAD.with(|slot| *slot.borrow_mut() = Some((plan, AtomicU64::new(0))));
    let result = work();
    let counted = THREAD.with(|slot| slot.borrow_mut().take()).map_or(0, |(_, n)| n.load(Ordering::SeqCst));
    (result, counted >= at)
}

/// Passed before each operation that changes the disk.
pub(super) fn checkpoint(kind: &str, path: &Path) -> io::Result<()> {
    #[cfg(debug_assertions)]
    {
        let struck = THREAD.with(|slot| match &*slot.borrow() {
            Some((plan, counter)) => plan.apply(kind, counter),
            None => Ok(()),
        });
        let struck = struck.and_then(|()| match PROCESS.get() {
            Some((plan, counter)) => plan.apply(kind, counter),
            None => Ok(()),
        });
        struck.map_err(|e| super::context(kind, path, e))
    }
    #[cfg(not(debug_assertions))]
    {
        let _ = (kind, path);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_read() {
        assert!(Plan::parse("kill:3").is_some());
        assert!(Plan::parse("ENOSPC:2+").unwrap().and_later);
        assert_eq!(Plan::parse("EIO:1:fsync").unwrap().kind.as_deref(), Some("fsync"));
        for bad in ["", "kill", "kill:x", "EWHAT:1"] {
            assert_eq!(Plan::parse(bad), None, "{bad}");
        }
    }
}
