//! One connection on standard input and output: inetd, xinetd, systemd with Accept=yes, a pipe of a test.

use super::conn::{Conn, Want};
use super::watch::Watcher;
use crate::proto::Session;
use crate::serve::Service;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::SendTimeout;
use nix::sys::socket::{SockaddrStorage, getpeername, getsockname, setsockopt};
use nix::sys::time::{TimeVal, TimeValLike};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::time::{Duration, Instant};

/// The address at the other end of standard input, when it is a socket.
pub fn peer_of_stdin() -> Option<(IpAddr, u16)> {
    let name: SockaddrStorage = getpeername(io::stdin().as_raw_fd()).ok()?;
    if let Some(v4) = name.as_sockaddr_in() {
        return Some((IpAddr::V4(v4.ip()), v4.port()));
    }
    name.as_sockaddr_in6().map(|v6| (IpAddr::V6(v6.ip()), v6.port()))
}

/// True when standard input is a connection from the network, also one whose peer has left already: a pipe, a terminal and a local
/// socket are not.
pub fn stdin_is_network() -> bool {
    is_network(io::stdin())
}

/// The same of any descriptor.
pub fn is_network(descriptor: impl AsRawFd) -> bool {
    let name: Result<SockaddrStorage, _> = getsockname(descriptor.as_raw_fd());
    name.is_ok_and(|name| name.as_sockaddr_in().is_some() || name.as_sockaddr_in6().is_some())
}

/// Runs the connection to its end.
pub fn run<S, V>(mut conn: Conn<S, V>) -> io::Result<()>
where
    S: Session,
    V: Service<Ask = S::Ask, Answer = S::Answer>,
{
    let mut stdin = io::stdin().lock();
    let mut stdout = io::stdout().lock();
    let mut buffer = vec![0; 64 << 10];
    // A peer that takes nothing would hold this process, and a mailbox's lock, for ever. Pipes have no such limit; their other end is ours.
    let patience = TimeVal::seconds(conn.patience().as_secs().max(1) as i64);
    let _ = setsockopt(&io::stdout(), SendTimeout, &patience);
    let mut watcher = Watcher::new(Instant::now());
    let result = loop {
        let want = conn.step(true);
        let out = conn.outgoing();
        if !out.is_empty() {
            let written = stdout.write_all(out).and_then(|()| stdout.flush());
            if let Err(e) = written {
                // A peer that is gone, or takes nothing, ends its connection, nothing else.
                use io::ErrorKind::{BrokenPipe, ConnectionReset, WouldBlock};
                break if matches!(e.kind(), BrokenPipe | ConnectionReset | WouldBlock) { Ok(()) } else { Err(e) };
            }
            let n = out.len();
            conn.wrote(n);
            continue;
        }
        match want {
            Want::Close => break Ok(()),
            Want::Again => continue,
            Want::Io | Want::Worker => {}
        }
        let patience = conn.deadline().map(|d| d.saturating_duration_since(Instant::now()));
        if !conn.wants_input() {
            // Only time can change something now.
            std::thread::sleep(patience.unwrap_or(Duration::from_millis(1)));
            conn.tick();
            continue;
        }
        if watcher.set(0, conn.watched()) {
            conn.notify();
            continue;
        }
        let poll_at = watcher.deadline().map(|d| d.saturating_duration_since(Instant::now()));
        let patience = [patience, poll_at].into_iter().flatten().min();
        let has_input = wait_readable(stdin.as_fd(), watcher.as_fd(), patience)?;
        // Also when there is input: a client that always has some must not be kept from its news.
        let has_news = !watcher.read(Instant::now()).is_empty() || !watcher.poll(Instant::now()).is_empty();
        if has_news {
            conn.notify();
        }
        if !has_input {
            if !has_news {
                conn.tick();
            }
            continue;
        }
        match stdin.read(&mut buffer) {
            Ok(n) => conn.feed(&buffer[..n]),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => conn.feed(&[]),
        }
    };
    conn.closed();
    result
}

/// True when there is input; false when the time is over, or the other descriptor has something to say.
fn wait_readable(input: BorrowedFd<'_>, other: Option<BorrowedFd<'_>>, patience: Option<Duration>) -> io::Result<bool> {
    let mut fds = vec![PollFd::new(input, PollFlags::POLLIN)];
    fds.extend(other.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    let timeout = match patience {
        // A little late is right; early would poll again at once.
        Some(span) => PollTimeout::try_from(span.as_millis() + 1).unwrap_or(PollTimeout::MAX),
        None => PollTimeout::NONE,
    };
    match poll(&mut fds, timeout) {
        Ok(0) => Ok(false),
        Ok(_) => Ok(fds[0].any().unwrap_or(false)),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(e) => Err(e.into()),
    }
}
