//! The network for the queue's SMTP client: blocking sockets with deadlines, TLS by rustls; and sockets of this machine by their path.

use super::tls_trust::ClientTls;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::nexthop::ledger::{Session, TlsLedger};
use crate::nexthop::{Hop, Net, NetError, Own, Security, TlsError, TlsFault, Wire};
use rustls::{ClientConnection, StreamOwned};
use socket2::{Domain, SockAddr, Socket, Type};
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Longest wait while sending one piece.
const SEND_PATIENCE: Duration = Duration::from_secs(300);

/// Connects to addresses.
#[derive(Default)]
pub struct Outgoing {
    tls: Arc<ClientTls>,
    ledger: Option<TlsLedger>,
}

impl Outgoing {
    /// Connects with these certificates.
    pub fn new(tls: Arc<ClientTls>) -> Outgoing {
        Outgoing { tls, ledger: None }
    }

    /// The same, with counts of how TLS went.
    pub fn counting(mut self, ledger: TlsLedger) -> Outgoing {
        self.ledger = Some(ledger);
        self
    }
}

/// What this machine is known by, so that mail does not come back to it.
pub fn own(site: &Site) -> Own {
    let interfaces = nix::ifaddrs::getifaddrs().map(|all| {
        let ip = |address: nix::sys::socket::SockaddrStorage| {
            let v4 = address.as_sockaddr_in().map(|a| IpAddr::V4(a.ip()));
            v4.or_else(|| address.as_sockaddr_in6().map(|a| IpAddr::V6(a.ip())))
        };
        all.filter_map(|interface| interface.address.and_then(ip)).collect()
    });
    Own {
        names: vec![site.hostname().to_ascii_lowercase()],
        listening: site.listens("smtp").to_vec(),
        // Without the list, our names and plain addresses are still known.
        interfaces: interfaces.unwrap_or_default(),
    }
}

impl Net for Outgoing {
    fn connect(&self, to: SocketAddr, from: Option<IpAddr>, patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        let connect = || -> io::Result<TcpStream> {
            let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
            if let Some(ip) = from {
                socket.bind(&SockAddr::from(SocketAddr::new(ip, 0)))?;
            }
            socket.connect_timeout(&SockAddr::from(to), patience.max(Duration::from_millis(1)))?;
            socket.set_tcp_nodelay(true)?;
            socket.set_write_timeout(Some(SEND_PATIENCE))?;
            Ok(socket.into())
        };
        let stream = connect().map_err(|e| NetError(format!("connect: {e}")))?;
        Ok(Box::new(Line { stream: Some(Stream::Plain(stream)), address: to, tls: self.tls.clone() }))
    }

    fn connect_socket(&self, path: &Path, patience: Duration) -> Result<Box<dyn Wire>, NetError> {
        let connect = || -> io::Result<UnixStream> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
            socket.connect_timeout(&SockAddr::unix(path)?, patience.max(Duration::from_millis(1)))?;
            socket.set_write_timeout(Some(SEND_PATIENCE))?;
            Ok(socket.into())
        };
        let stream = connect().map_err(|e| NetError(format!("connect: {e}")))?;
        Ok(Box::new(LocalLine { stream, path: path.to_path_buf() }))
    }

    fn count(&self, hop: &Hop, address: SocketAddr, failure: Option<(TlsFault, &str)>) {
        if let (Some(ledger), Some(policy)) = (&self.ledger, &hop.policy) {
            ledger.count(Session::new(policy, &hop.name, address.ip(), failure), Timestamp::now());
        }
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

struct Line {
    stream: Option<Stream>,
    address: SocketAddr,
    tls: Arc<ClientTls>,
}

impl Line {
    fn socket(&self) -> Option<&TcpStream> {
        match self.stream.as_ref()? {
            Stream::Plain(socket) => Some(socket),
            Stream::Tls(tls) => Some(&tls.sock),
        }
    }
}

/// A socket of this machine: whoever may write to its path is trusted, and nobody listens in.
struct LocalLine {
    stream: UnixStream,
    path: PathBuf,
}

impl Wire for LocalLine {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        self.stream.write_all(bytes).map_err(words)
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        let _ = self.stream.set_read_timeout(Some(patience.max(Duration::from_millis(1))));
        loop {
            match self.stream.read(buffer) {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(words),
            }
        }
    }

    fn start_tls(&mut self, _: &Security, _: Duration) -> Result<(), TlsError> {
        Err(TlsError::new(TlsFault::Other, "no TLS over the path of a socket"))
    }

    fn peer(&self) -> String {
        self.path.display().to_string()
    }
}

fn words(e: io::Error) -> NetError {
    match e.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => NetError("timed out".to_string()),
        _ => NetError(e.to_string()),
    }
}

impl Wire for Line {
    fn send(&mut self, bytes: &[u8]) -> Result<(), NetError> {
        match &mut self.stream {
            Some(Stream::Plain(socket)) => socket.write_all(bytes).map_err(words),
            Some(Stream::Tls(tls)) => tls.write_all(bytes).and_then(|()| tls.flush()).map_err(words),
            None => Err(NetError("no connection".to_string())),
        }
    }

    fn receive(&mut self, buffer: &mut [u8], patience: Duration) -> Result<usize, NetError> {
        if let Some(socket) = self.socket() {
            let _ = socket.set_read_timeout(Some(patience.max(Duration::from_millis(1))));
        }
        loop {
            let result = match &mut self.stream {
                Some(Stream::Plain(socket)) => socket.read(buffer),
                Some(Stream::Tls(tls)) => tls.read(buffer),
                None => return Err(NetError("no connection".to_string())),
            };
            match result {
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                other => return other.map_err(words),
            }
        }
    }

    fn start_tls(&mut self, security: &Security, patience: Duration) -> Result<(), TlsError> {
        let (client, judge) = self.tls.connect(security, self.address.ip())?;
        let Some(Stream::Plain(socket)) = self.stream.take() else {
            return Err(TlsError::new(TlsFault::Other, "TLS is on"));
        };
        let until = Instant::now() + patience;
        let mut tls = Box::new(StreamOwned::new(client, socket));
        while tls.conn.is_handshaking() {
            let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            let _ = tls.sock.set_read_timeout(Some(left));
            if let Err(error) = tls.conn.complete_io(&mut tls.sock) {
                // The judge knows better than the alert that came of it.
                let said = judge.as_ref().and_then(|judge| judge.verdict());
                return Err(said.unwrap_or_else(|| TlsError::new(TlsFault::Other, words(error).0)));
            }
            if Instant::now() >= until && tls.conn.is_handshaking() {
                return Err(TlsError::new(TlsFault::Other, "timed out"));
            }
        }
        self.stream = Some(Stream::Tls(tls));
        Ok(())
    }

    fn peer(&self) -> String {
        self.address.to_string()
    }
}
