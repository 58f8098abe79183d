//! Where a map's directory is: the servers of -h, -H and -p, in the order in which they are tried.
//!
//! `host`, `host:port` and URLs stand apart by blanks or commas. Without any of them the directory is on this machine.

use crate::proto::ldap::{Scheme, Url, host_and_port};
use crate::rules::ldap::Inquiry;
use std::fmt;
use std::path::PathBuf;

/// The socket that `ldapi:///` means.
const SOCKET: &str = "/var/run/slapd/ldapi";
/// The port of LDAP over TLS.
const TLS_PORT: u16 = 636;
/// Most servers of one map.
const SERVERS_LIMIT: usize = 16;

/// A server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Server {
    /// A socket of this machine.
    Local(PathBuf),
    /// A host, with TLS from the start or in clear.
    Host { name: String, port: u16, tls: bool },
}

impl Server {
    /// True when TLS comes before all else.
    pub(super) fn has_tls(&self) -> bool {
        matches!(self, Server::Host { tls: true, .. })
    }

    /// True when what is sent to it may be heard by others.
    pub(super) fn is_heard(&self) -> bool {
        match self {
            Server::Local(_) | Server::Host { tls: true, .. } => false,
            Server::Host { name, .. } => {
                name != "localhost" && !name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
            }
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Server::Local(path) => write!(f, "{}", path.display()),
            Server::Host { name, port, .. } if name.contains(':') => write!(f, "[{name}]:{port}"),
            Server::Host { name, port, .. } => write!(f, "{name}:{port}"),
        }
    }
}

/// The servers of a map; or what is wrong with their names.
pub(super) fn servers(inquiry: &Inquiry) -> Result<Vec<Server>, String> {
    let text = if inquiry.uris.is_empty() { &inquiry.hosts } else { &inquiry.uris };
    let words = text.split(|b| b.is_ascii_whitespace() || *b == b',').filter(|word| !word.is_empty());
    let servers: Vec<Server> = words.map(|word| server(word, inquiry.port)).collect::<Result<_, _>>()?;
    match servers.len() {
        0 => Ok(vec![Server::Host { name: "localhost".to_string(), port: inquiry.port, tls: false }]),
        1..=SERVERS_LIMIT => Ok(servers),
        _ => Err(format!("more than {SERVERS_LIMIT} servers")),
    }
}

/// The server that a referral names, if we go there: a host, and no other kind of socket.
pub(super) fn referred(url: &Url) -> Option<Server> {
    let name = String::from_utf8(url.host.clone()).ok().filter(|name| !name.is_empty() && !name.contains('\0'))?;
    match url.scheme {
        Scheme::Ldap => Some(Server::Host { name, port: url.port.unwrap_or(crate::rules::ldap::PORT), tls: false }),
        Scheme::Ldaps => Some(Server::Host { name, port: url.port.unwrap_or(TLS_PORT), tls: true }),
        Scheme::Ldapi => None,
    }
}

fn server(word: &[u8], port: u16) -> Result<Server, String> {
    let shown = String::from_utf8_lossy(word).into_owned();
    let wrong = |why: &dyn fmt::Display| format!("server {shown:?}: {why}");
    let is_url = word.windows(3).any(|three| three == b"://");
    let (scheme, (host, own)) = match is_url {
        true => {
            let url = Url::read(word).map_err(|error| wrong(&error))?;
            (url.scheme, (url.host, url.port))
        }
        false => (Scheme::Ldap, host_and_port(word).map_err(|error| wrong(&error))?),
    };
    let host = String::from_utf8(host).map_err(|_| wrong(&"its name is no text"))?;
    if host.contains('\0') {
        return Err(wrong(&"NUL in its name"));
    }
    let name = if host.is_empty() { "localhost".to_string() } else { host.clone() };
    Ok(match scheme {
        Scheme::Ldapi if host.is_empty() => Server::Local(PathBuf::from(SOCKET)),
        Scheme::Ldapi if host.starts_with('/') => Server::Local(PathBuf::from(host)),
        Scheme::Ldapi => return Err(wrong(&"a socket has its whole path, with %2F for /")),
        Scheme::Ldap if is_url => Server::Host { name, port: own.unwrap_or(crate::rules::ldap::PORT), tls: false },
        Scheme::Ldap => Server::Host { name, port: own.unwrap_or(port), tls: false },
        Scheme::Ldaps => Server::Host { name, port: own.unwrap_or(TLS_PORT), tls: true },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hosts: &str, uris: &str) -> Result<String, String> {
        let inquiry = Inquiry { hosts: hosts.into(), uris: uris.into(), port: 3890, ..Inquiry::default() };
        let tls = |server: &Server| matches!(server, Server::Host { tls: true, .. });
        let shown = |server: &Server| format!("{server}{}", if tls(server) { "!" } else { "" });
        Ok(servers(&inquiry)?.iter().map(shown).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn a_referral_leads_to_hosts_alone() {
        for (url, wanted) in [
            ("ldap://a.test/dc=x", Some("a.test:389")),
            ("ldaps://a.test:7/", Some("a.test:7")),
            ("ldap:///dc=x", None),
            ("ldapi://%2Frun%2Fx/", None),
        ] {
            let server = referred(&Url::read(url.as_bytes()).unwrap()).map(|server| server.to_string());
            assert_eq!(server.as_deref(), wanted, "{url}");
        }
    }

    #[test]
    fn servers_are_named_in_all_forms() {
        for (hosts, uris, wanted) in [
            ("", "", "localhost:3890"),
            ("a.test b.test:1", "", "a.test:3890 b.test:1"),
            ("[::1]:5", "", "[::1]:5"),
            ("ldaps://a.test ldap://b.test", "", "a.test:636! b.test:389"),
            ("", "ldap://a.test:7,ldapi://%2Frun%2Fx/", "a.test:7 /run/x"),
            ("", "ldapi:///", SOCKET),
            ("", "ldap:///", "localhost:389"),
        ] {
            assert_eq!(of(hosts, uris).as_deref(), Ok(wanted), "{hosts} {uris}");
        }
        for (hosts, uris) in [("a:x", ""), ("", "http://x"), ("", "ldapi://run"), (&"a ".repeat(17)[..], "")] {
            assert!(of(hosts, uris).is_err(), "{hosts} {uris}");
        }
    }
}
