//! The PROXY protocol header that a balancer puts before the first byte: version 1 (text) and 2 (binary).
//!
//! Read only from the networks that a setting names (`smtp.proxy_from`, `imap.proxy_from`, `managesieve.proxy_from`); anything malformed closes the connection, because guessing would
//! let a client choose its own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What the bytes so far are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Header {
    /// Not complete.
    More,
    /// Complete: its length, and the client; `None` when the balancer speaks for itself.
    Done(usize, Option<(IpAddr, u16)>),
    /// No such header.
    Bad,
}

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Longest text header, line end included.
const TEXT_LIMIT: usize = 107;
/// Longest binary header taken.
pub const LIMIT: usize = 1024;

/// Adds what has come to what is `held` of a header. Gives what that makes, and how much of `bytes` was taken.
pub fn gather(held: &mut Vec<u8>, bytes: &[u8]) -> (Header, usize) {
    let before = held.len();
    held.extend_from_slice(&bytes[..bytes.len().min(LIMIT - before)]);
    match parse(held) {
        Header::More if held.len() < LIMIT => (Header::More, held.len() - before),
        Header::Done(length, client) => (Header::Done(length, client), length - before),
        _ => (Header::Bad, bytes.len()),
    }
}

/// Reads a header from the start of a connection.
pub fn parse(bytes: &[u8]) -> Header {
    let common = bytes.len().min(12);
    if bytes[..common] == SIGNATURE[..common] {
        return binary(bytes);
    }
    let common = bytes.len().min(6);
    if bytes[..common] == b"PROXY "[..common] {
        return text(bytes);
    }
    Header::Bad
}

fn text(bytes: &[u8]) -> Header {
    let Some(end) = memchr::memmem::find(&bytes[..bytes.len().min(TEXT_LIMIT)], b"\r\n") else {
        return if bytes.len() >= TEXT_LIMIT { Header::Bad } else { Header::More };
    };
    let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return Header::Bad };
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        ["PROXY", "UNKNOWN", ..] => Header::Done(end + 2, None),
        ["PROXY", family, source, _, port, _] => {
            let ip: Option<IpAddr> = match *family {
                "TCP4" => source.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
                "TCP6" => source.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                _ => None,
            };
            match (ip, port.parse()) {
                (Some(ip), Ok(port)) => Header::Done(end + 2, Some((ip, port))),
                _ => Header::Bad,
            }
        }
        _ => Header::Bad,
    }
}

fn binary(bytes: &[u8]) -> Header {
    let [_, _, _, _, _, _, _, _, _, _, _, _, command, family, high, low, rest @ ..] = bytes else {
        return Header::More;
    };
    let length = usize::from(*high) << 8 | usize::from(*low);
    if length + 16 > LIMIT || command >> 4 != 2 {
        return Header::Bad;
    }
    if rest.len() < length {
        return Header::More;
    }
    let done = |client| Header::Done(16 + length, client);
    match (command & 15, family) {
        (0, _) => done(None),
        (1, 0x11) if length >= 12 => {
            let ip = Ipv4Addr::new(rest[0], rest[1], rest[2], rest[3]);
            done(Some((IpAddr::V4(ip), u16::from(rest[8]) << 8 | u16::from(rest[9]))))
        }
        (1, 0x21) if length >= 36 => {
            let mut octets = [0; 16];
            octets.copy_from_slice(&rest[..16]);
            done(Some((IpAddr::V6(octets.into()), u16::from(rest[32]) << 8 | u16::from(rest[33]))))
        }
        (1, _) => done(None),
        _ => Header::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_both_versions_at_every_cut() {
        let v1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 25\r\n".to_vec();
        let v1six = b"PROXY TCP6 2001:db8::1 ::1 5000 25\r\n".to_vec();
        let mut v2 = SIGNATURE.to_vec();
        v2.extend_from_slice(&[0x21, 0x11, 0, 12, 192, 0, 2, 1, 192, 0, 2, 2, 0x13, 0x88, 0, 25]);
        for (bytes, ip) in [(v1, "192.0.2.1"), (v1six, "2001:db8::1"), (v2, "192.0.2.1")] {
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Header::More, "{cut}");
            }
            let mut longer = bytes.clone();
            longer.extend_from_slice(b"EHLO x\r\n");
            assert_eq!(parse(&longer), Header::Done(bytes.len(), Some((ip.parse().unwrap(), 5000))));
        }
        assert_eq!(parse(b"PROXY UNKNOWN\r\n"), Header::Done(15, None));
        for bad in [&b"EHLO x\r\n"[..], b"PROXY TCP4 nonsense\r\n", b"PROXY TCP4 1.2.3.4 1.2.3.4 99999 25\r\n"] {
            assert_eq!(parse(bad), Header::Bad);
        }
        assert_eq!(parse(&[b"PROXY ".as_slice(), &[b'x'; 200]].concat()), Header::Bad);
    }
}
