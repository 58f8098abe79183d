//! `emqueue daemon`: the queue's own process.

use super::super::{Done, Ended};
use super::runner;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::fsx::{Lock, LockError};
use crate::queue::{Daemon, Wake};
use crate::spool::Spool;
use crate::status::Exit;
use mio::{Events, Interest, Poll, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

/// Longest line of the daemon's fifo, in octets.
const HINT_LIMIT: usize = 4096;

/// Runs until a signal: watches the fifo for hints, and the queue for what is due.
pub(super) fn daemon(site: Arc<Site>) -> Done {
    let spool = Spool::of(&site);
    let _lock = Lock::wait(&spool.daemon_lock(), Duration::from_secs(5)).map_err(|e| match e {
        LockError::Io(e) => Ended::from(e),
        _ => Ended::new(Exit::TempFail, "another queue daemon runs for this root"),
    })?;
    let fifo = spool.fifo();
    if let Err(e) = nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::from_bits_truncate(0o622))
        && e != nix::errno::Errno::EEXIST
    {
        return Err(Ended::new(Exit::CantCreat, format!("{}: {e}", fifo.display())));
    }
    // Opened for both, so that it never is at its end; others may write hints whatever the umask said.
    let mut file = {
        use std::os::unix::fs::OpenOptionsExt;
        let flags = (nix::fcntl::OFlag::O_NONBLOCK | nix::fcntl::OFlag::O_NOFOLLOW).bits();
        std::fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(&fifo)?
    };
    let mut signals = crate::drive::Signals::catch(&[SIGTERM, SIGINT, SIGHUP])?;
    let mut poll = Poll::new()?;
    poll.registry().register(signals.source(), Token(0), Interest::READABLE)?;
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    poll.registry().register(&mut mio::unix::SourceFd(&fd), Token(1), Interest::READABLE)?;
    let gate = Arc::new(crate::cli::gate(site));
    let runner = Arc::new(runner(gate).holding_on_demand(true));
    let mut events = Events::with_capacity(8);
    let mut torn = String::new();
    Daemon::new(runner).run(Timestamp::now, |patience| {
        if poll.poll(&mut events, Some(patience)).is_err() {
            return Wake::Time;
        }
        if signals.read().iter().any(|s| *s != SIGHUP) {
            return Wake::Stop;
        }
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while let Ok(n) = file.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..n]);
            if n < buffer.len() {
                break;
            }
        }
        if bytes.is_empty() {
            return Wake::Time;
        }
        torn.push_str(&String::from_utf8_lossy(&bytes));
        let whole = torn.rfind('\n').map_or(0, |i| i + 1);
        let lines = torn[..whole].lines().map(str::to_string).collect();
        torn.drain(..whole);
        // Others may write there; a line of ours is short.
        if torn.len() > HINT_LIMIT {
            torn.clear();
        }
        Wake::Hint(lines)
    });
    Ok(Exit::Ok)
}
