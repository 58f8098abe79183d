//! Who may do what over the network: connections and relaying.

use crate::config::Site;
use crate::settings::Plaintext;
use crate::status::{Enhanced, Reply};
use crate::users::LoggedIn;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Counts a service's connections, in all and by client.
#[derive(Debug)]
pub struct Connections {
    most: u32,
    most_per_client: u32,
    counts: Mutex<(u32, HashMap<IpAddr, u32>)>,
}

/// One admitted connection; dropped, it is counted no more.
#[derive(Debug)]
pub struct Admission {
    connections: Arc<Connections>,
    ip: Option<IpAddr>,
}

impl Connections {
    /// A counter with its limits.
    pub fn new(most: u32, most_per_client: u32) -> Arc<Connections> {
        Arc::new(Connections { most, most_per_client, counts: Default::default() })
    }

    /// Admits one more connection, or says which limit is reached.
    pub fn admit(self: &Arc<Connections>, ip: Option<IpAddr>) -> Result<Admission, &'static str> {
        let ip = ip.map(client_network);
        if let Ok(mut counts) = self.counts.lock() {
            if counts.0 >= self.most {
                return Err("Too many connections, try again later");
            }
            if let Some(ip) = ip {
                let count = counts.1.entry(ip).or_insert(0);
                if *count >= self.most_per_client {
                    return Err("Too many connections from your address");
                }
                *count += 1;
            }
            counts.0 += 1;
        }
        Ok(Admission { connections: self.clone(), ip })
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if let Ok(mut counts) = self.connections.counts.lock() {
            counts.0 -= 1;
            if let Some(ip) = self.ip
                && let Some(count) = counts.1.get_mut(&ip)
            {
                *count -= 1;
                if *count == 0 {
                    counts.1.remove(&ip);
                }
            }
        }
    }
}

/// Counts an account's sessions with a service, wherever they come from.
#[derive(Debug)]
pub struct Sessions {
    most: u32,
    counts: Mutex<HashMap<String, u32>>,
}

/// One counted session; dropped, it is counted no more.
#[derive(Debug)]
pub struct Session {
    sessions: Arc<Sessions>,
    account: String,
}

impl Sessions {
    /// A counter with its limit.
    pub fn new(most: u32) -> Arc<Sessions> {
        Arc::new(Sessions { most, counts: Mutex::default() })
    }

    /// One more session of this account; `None` when it has as many as it may have.
    pub fn begin(self: &Arc<Sessions>, account: &str) -> Option<Session> {
        // A panic while they were held leaves numbers that are as good as before.
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(account.to_string()).or_insert(0);
        if *count >= self.most {
            return None;
        }
        *count += 1;
        Some(Session { sessions: self.clone(), account: account.to_string() })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let mut counts = self.sessions.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.account) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.account);
            }
        }
    }
}

/// What one client has: one IPv4 address, or one /64 of IPv6. Limits and pauses count by it.
pub fn client_network(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => {
            let mut parts = ip.segments();
            parts[4..].fill(0);
            IpAddr::from(parts)
        }
        v4 => v4,
    }
}

/// May this client send to domains that are not ours?
pub fn may_relay(site: &Site, ip: Option<IpAddr>, login: Option<&LoggedIn>) -> Result<(), Reply> {
    let is_trusted = ip.is_some_and(|ip| site.settings.server.networks_trusted.iter().any(|n| n.holds(ip)));
    if login.is_some() || is_trusted {
        return Ok(());
    }
    Err(Reply::new(550, Enhanced(5, 7, 1), "Relaying denied"))
}

/// May passwords cross this connection without TLS?
pub fn plaintext_allowed(policy: Plaintext, ip: Option<IpAddr>) -> bool {
    match policy {
        Plaintext::Never => false,
        // A pipe from inetd without a peer's address is no proof of being local.
        Plaintext::Loopback => ip.is_some_and(|ip| ip.to_canonical().is_loopback()),
        Plaintext::Always => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_back() {
        let connections = Connections::new(3, 2);
        let ip = |text: &str| Some(text.parse().unwrap());
        let first = connections.admit(ip("192.0.2.1")).unwrap();
        let _second = connections.admit(ip("::ffff:192.0.2.1")).unwrap();
        assert!(connections.admit(ip("192.0.2.1")).is_err());
        let _third = connections.admit(ip("192.0.2.2")).unwrap();
        assert!(connections.admit(ip("192.0.2.3")).is_err());
        drop(first);
        assert!(connections.admit(ip("192.0.2.1")).is_ok());
    }

    #[test]
    fn an_account_has_so_many_sessions_and_no_more() {
        let sessions = Sessions::new(2);
        let first = sessions.begin("alice@a.test").unwrap();
        let second = sessions.begin("alice@a.test").unwrap();
        assert!(sessions.begin("alice@a.test").is_none() && sessions.begin("bob@a.test").is_some());
        drop(first);
        assert!(sessions.begin("alice@a.test").is_some());
        drop(second);
        assert!(sessions.counts.lock().unwrap().is_empty());
    }

    #[test]
    fn a_client_has_one_network_of_ipv6() {
        let connections = Connections::new(10, 2);
        let ip = |text: &str| Some(text.parse().unwrap());
        let _held: Vec<_> = ["2001:db8::1", "2001:db8::2"].map(|a| connections.admit(ip(a)).unwrap()).into();
        assert!(connections.admit(ip("2001:db8::ffff:3")).is_err());
        assert!(connections.admit(ip("2001:db8:0:1::1")).is_ok());
    }
}
