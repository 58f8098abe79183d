//! Listening sockets: bound here, or inherited from emd or systemd.

use crate::syscall;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::RawFd;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket given to us, with its name.
#[derive(Debug)]
pub struct Inherited {
    /// From LISTEN_FDNAMES; empty when there is none.
    pub name: String,
    /// The socket.
    pub socket: TcpListener,
}

/// Binds a listening socket. An IPv6 wildcard takes IPv4 too.
pub fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let context = |e: io::Error| io::Error::new(e.kind(), format!("{address}: {e}"));
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(context)?;
    socket.set_reuse_address(true).map_err(context)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified()).map_err(context)?;
    }
    socket.bind(&address.into()).map_err(context)?;
    socket.listen(BACKLOG).map_err(context)?;
    Ok(socket.into())
}

/// The sockets announced by LISTEN_FDS; called once, at the start.
///
/// `LISTEN_PID`, where it is set, must be ours: the variables of a parent are not for us.
pub fn inherited() -> io::Result<Vec<Inherited>> {
    let variable = |name: &str| std::env::var(name).ok();
    let is_for_us = variable("LISTEN_PID").is_none_or(|pid| pid == std::process::id().to_string());
    let count: RawFd = variable("LISTEN_FDS").filter(|_| is_for_us).and_then(|n| n.parse().ok()).unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':');
    let mut found = Vec::new();
    for number in syscall::FIRST..syscall::FIRST.saturating_add(count.clamp(0, 64)) {
        let socket = Socket::from(syscall::adopt(number)?);
        let name = names.next().unwrap_or("").to_string();
        // Asking what is no socket at all is an error, too.
        let is_ours = socket.is_listener().unwrap_or(false)
            && socket.local_addr().is_ok_and(|address| address.as_socket().is_some());
        if !is_ours {
            // systemd with Accept=yes, a path, a datagram socket: accepting on it would fail for ever.
            let text = format!(
                "LISTEN_FDS: descriptor {number} {name:?} is no listening TCP socket; for connections use StandardInput=socket"
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        found.push(Inherited { name, socket: TcpListener::from(socket) });
    }
    Ok(found)
}
