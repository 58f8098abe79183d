//! Panics: a mistake of ours ends one connection, with a line in the log, never a process with all its connections.

use crate::log;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Writes every panic of this process to the log instead of standard error, which under inetd is the peer's socket.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|info| {
        let event = log::event("panic").field("reason", info.payload_as_str().unwrap_or("unknown"));
        event.maybe("at", info.location()).error().write();
    }));
}

/// Runs something; `None` when it panicked. What it worked on may be half changed and must be thrown away.
pub(super) fn caught<T>(act: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(act)).ok()
}
