//! The network as deliveries and directories see it: who makes connections, and what a connection does. The event loop's floor has the
//! real ones, tests have their own.

use super::{Hop, Security, TlsError, TlsFault};
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::time::Duration;

/// The network's trouble, in words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NetError(pub String);

/// Makes connections.
pub trait Net: Send + Sync {
    /// Connects within the patience, from one of our addresses where one is given.
    fn connect(&self, to: SocketAddr, from: Option<IpAddr>, patience: Duration) -> Result<Box<dyn Wire>, NetError>;

    /// Connects to a server on this machine by the path of its socket.
    fn connect_socket(&self, _path: &Path, _patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        Err(NetError("connect: no paths here".to_string()))
    }

    /// Hears how TLS with a host went; who counts that, does.
    fn count(&self, _hop: &Hop, _address: SocketAddr, _failure: Option<(TlsFault, &str)>) {}
}

/// A connection.
pub trait Wire: Send {
    /// Sends all bytes.
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError>;
    /// Receives some bytes; 0 at the end.
    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError>;
    /// Starts TLS with whom the security says, and nobody else; at most that long.
    fn start_tls(&mut self, security: &Security, patience: Duration) -> Result<(), TlsError>;
    /// The peer's address, for the log.
    fn peer(&self) -> String;
}
