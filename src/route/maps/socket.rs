//! Maps of class `socket` (also called `socketmap`): a server answers over a local socket or TCP.
//!
//! A question is the netstring `NAME KEY`, the answer one of `OK VALUE`, `NOTFOUND`, `TEMP why`, `TIMEOUT why` and `PERM why`. A netstring
//! is the length in decimal digits, a colon, the octets and a comma. The map's line names the server: `unix:PATH` (or `local:PATH`),
//! `inet:PORT@HOST` or `inet6:PORT@HOST`. A connection is kept for the next question; one that the server has closed in between is
//! made anew once.
//! Trust: the server is the administrator's, its answers are bounded all the same.

use super::{Heard, later};
use crate::rules::map::Map;
use crate::rules::world::exit;
use socket2::{Domain, SockAddr, Socket, Type};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for a connection, and for an answer.
const TIME: Duration = Duration::from_secs(30);
/// Longest answer, in octets.
const ANSWER_LIMIT: usize = 100_000;
/// Connections that are kept without a question.
const KEPT: usize = 16;

/// Connections to servers, by their maps' lines; each waits here while nobody asks.
#[derive(Default)]
pub(super) struct Sockets {
    idle: Mutex<HashMap<Vec<u8>, Vec<Wire>>>,
}

/// Where a server is.
#[derive(Debug, PartialEq, Eq)]
enum Server {
    Local(String),
    Network(String, u16),
}

impl Server {
    /// The server that a map's line names.
    fn read(text: &[u8]) -> Result<Server, String> {
        let text = std::str::from_utf8(text).map_err(|_| "the server's name is no text")?.trim();
        let (kind, rest) = text.split_once(':').unwrap_or(("unix", text));
        match kind {
            "unix" | "local" if rest.starts_with('/') => Ok(Server::Local(rest.to_string())),
            "inet" | "inet6" => {
                let (port, host) = rest.split_once('@').ok_or("inet:PORT@HOST is wanted")?;
                let port = port.parse().map_err(|_| format!("{port} is no port"))?;
                let bare = host.trim_start_matches('[').trim_end_matches(']');
                let bare = bare.strip_prefix("IPv6:").unwrap_or(bare);
                if bare.is_empty() { Err("no host".to_string()) } else { Ok(Server::Network(bare.to_string(), port)) }
            }
            _ => Err(format!("{text:?} names no server")),
        }
    }

    fn connect(&self, until: Instant) -> io::Result<Wire> {
        match self {
            Server::Local(path) => {
                let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
                // Bounds the wait in a server's full backlog, too.
                socket.set_write_timeout(Some(TIME))?;
                socket.connect(&SockAddr::unix(path)?)?;
                Ok(Wire::Local(OwnedFd::from(socket).into()))
            }
            Server::Network(host, port) => {
                let mut last = io::Error::from(io::ErrorKind::NotFound);
                for address in (host.as_str(), *port).to_socket_addrs()? {
                    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
                    match TcpStream::connect_timeout(&address, left) {
                        Ok(stream) => {
                            stream.set_nodelay(true)?;
                            return Ok(Wire::Network(stream));
                        }
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

/// A connection.
enum Wire {
    Local(UnixStream),
    Network(TcpStream),
}

impl Wire {
    fn patience(&self, until: Instant) -> io::Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        match self {
            Wire::Local(stream) => stream.set_read_timeout(Some(left)).and(stream.set_write_timeout(Some(left))),
            Wire::Network(stream) => stream.set_read_timeout(Some(left)).and(stream.set_write_timeout(Some(left))),
        }
    }

    fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Local(stream) => stream.read(piece),
            Wire::Network(stream) => stream.read(piece),
        }
    }

    fn write(&mut self, text: &[u8]) -> io::Result<()> {
        match self {
            Wire::Local(stream) => stream.write_all(text),
            Wire::Network(stream) => stream.write_all(text),
        }
    }

    /// One question, one answer.
    fn converse(&mut self, question: &[u8], until: Instant) -> io::Result<Vec<u8>> {
        self.patience(until)?;
        self.write(question)?;
        let (mut got, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            if let Some(answer) = netstring(&got).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))? {
                return Ok(answer.to_vec());
            }
            self.patience(until)?;
            match self.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => got.extend_from_slice(&piece[..n]),
            }
        }
    }
}

/// The octets of a netstring; `None` while it is not whole. It ends what was sent: nobody has asked for more.
fn netstring(text: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    const WRONG: &str = "the answer is no netstring";
    let digits = text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len());
    if digits > 6 || (digits == 0 && !text.is_empty()) {
        return Err(WRONG);
    }
    let Some(rest) = text.get(digits..).filter(|rest| !rest.is_empty()) else { return Ok(None) };
    let length = std::str::from_utf8(&text[..digits]).ok().and_then(|text| text.parse::<usize>().ok());
    let length = length.filter(|length| *length <= ANSWER_LIMIT).ok_or("the answer is too long")?;
    let inner = rest.strip_prefix(b":").ok_or(WRONG)?;
    match inner.get(..length + 1) {
        None => Ok(None),
        Some(whole) if whole[length] == b',' && inner.len() == length + 1 => Ok(Some(&whole[..length])),
        Some(_) => Err(WRONG),
    }
}

impl Sockets {
    /// Asks a map's server.
    pub(super) fn ask(&self, map: &Map, key: &[u8]) -> Heard {
        let server = match Server::read(&map.rest) {
            Ok(server) => server,
            Err(why) => return later(format!("map {}: {why}", String::from_utf8_lossy(&map.name))),
        };
        let text = [&map.name[..], b" ", key].concat();
        let question = [format!("{}:", text.len()).as_bytes(), &text, b","].concat();
        match self.converse(map, &server, &question) {
            Ok(answer) => meaning(&answer),
            Err(error) => later(format!("map {}: {error}", String::from_utf8_lossy(&map.name))),
        }
    }

    fn converse(&self, map: &Map, server: &Server, question: &[u8]) -> io::Result<Vec<u8>> {
        let until = Instant::now() + TIME;
        if let Some(mut wire) = self.take(&map.rest)
            && let Ok(answer) = wire.converse(question, until)
        {
            self.keep(&map.rest, wire);
            return Ok(answer);
        }
        let mut wire = server.connect(until)?;
        let answer = wire.converse(question, until)?;
        self.keep(&map.rest, wire);
        Ok(answer)
    }

    fn take(&self, line: &[u8]) -> Option<Wire> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).get_mut(line)?.pop()
    }

    fn keep(&self, line: &[u8], wire: Wire) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let of_line = idle.entry(line.to_vec()).or_default();
        if of_line.len() < KEPT {
            of_line.push(wire);
        }
    }
}

/// What a server's answer says.
fn meaning(answer: &[u8]) -> Heard {
    let (word, rest) = match answer.iter().position(|b| *b == b' ') {
        Some(blank) => (&answer[..blank], &answer[blank + 1..]),
        None => (answer, &b""[..]),
    };
    let why = || format!("the server says {}", String::from_utf8_lossy(answer));
    match word {
        b"OK" => Heard::found(rest),
        b"NOTFOUND" => Heard::missing(),
        b"TEMP" | b"TIMEOUT" => later(why()),
        b"PERM" => Heard::failed(exit::UNAVAILABLE, why()),
        _ => Heard::failed(exit::PROTOCOL, why()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::world::Looked;
    use std::os::unix::net::UnixListener;

    #[test]
    fn servers_are_named_in_sendmails_forms() {
        let network = |host: &str, port| Ok(Server::Network(host.to_string(), port));
        for (text, wanted) in [
            ("unix:/run/x", Ok(Server::Local("/run/x".to_string()))),
            ("local:/run/x", Ok(Server::Local("/run/x".to_string()))),
            ("inet:12345@127.0.0.1", network("127.0.0.1", 12345)),
            ("inet:12345@[127.0.0.1]", network("127.0.0.1", 12345)),
            ("inet6:12345@[IPv6:::1]", network("::1", 12345)),
        ] {
            assert_eq!(Server::read(text.as_bytes()), wanted, "{text}");
        }
        for text in ["", "unix:x", "inet:x@y", "inet:25", "inet:25@", "pipe:/x"] {
            assert!(Server::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_netstring_is_taken_whole_or_not_at_all() {
        let whole = b"8:OK value,";
        for end in 0..whole.len() {
            assert_eq!(netstring(&whole[..end]), Ok(None), "{end}");
        }
        assert_eq!(netstring(whole), Ok(Some(&b"OK value"[..])));
        for wrong in [&b"x"[..], b":", b"8-OK value,", b"1:OK", b"2:OK,x", b"9999999:", b"200000:"] {
            assert!(netstring(wrong).is_err(), "{}", String::from_utf8_lossy(wrong));
        }
    }

    #[test]
    fn each_word_of_a_server_has_its_meaning() {
        for (answer, looked) in [
            ("OK a b", Looked::found("a b")),
            ("OK ", Looked::found("")),
            ("NOTFOUND ", Looked::missing()),
            ("TEMP later", Looked::failed(exit::TEMPORARY)),
            ("TIMEOUT", Looked::failed(exit::TEMPORARY)),
            ("PERM no", Looked::failed(exit::UNAVAILABLE)),
            ("ok x", Looked::failed(exit::PROTOCOL)),
        ] {
            assert_eq!(meaning(answer.as_bytes()).looked, looked, "{answer}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_is_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let listener = UnixListener::bind(&path).unwrap();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, mut piece) = (stream.unwrap(), [0; 100]);
                let n = stream.read(&mut piece).unwrap();
                assert_eq!(&piece[..n], b"5:m key,");
                stream.write_all(b"4:OK 1,").unwrap();
            }
        });
        let (map, _) = Map::read(format!("m socket unix:{}", path.display()).as_bytes(), 1);
        let (map, sockets) = (map.unwrap(), Sockets::default());
        for _ in 0..3 {
            assert_eq!(sockets.ask(&map, b"key").looked, Looked::found("1"));
        }
        let (none, _) = Map::read(b"m socket unix:/nonexistent/socket", 1);
        assert_eq!(sockets.ask(&none.unwrap(), b"key").looked, Looked::failed(exit::TEMPORARY));
    }
}
