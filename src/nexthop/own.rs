//! By what we know ourselves among the hosts of others.

use std::net::{IpAddr, SocketAddr};

/// Our own names and addresses.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Host names, in lower case.
    pub names: Vec<String>,
    /// Where our SMTP service listens.
    pub listening: Vec<SocketAddr>,
    /// The addresses of this machine, for services that listen on all of them.
    pub interfaces: Vec<IpAddr>,
}

impl Own {
    /// True for one of our names.
    pub fn is_name(&self, host: &str) -> bool {
        self.names.iter().any(|name| name == host)
    }

    /// True when our own SMTP service would answer there.
    pub fn is_address(&self, address: SocketAddr) -> bool {
        let ip = address.ip().to_canonical();
        let is_here = || ip.is_loopback() || self.interfaces.iter().any(|own| own.to_canonical() == ip);
        self.listening.iter().any(|own| {
            own.port() == address.port()
                && match own.ip() {
                    any if any.is_unspecified() => (any.is_ipv6() || ip.is_ipv4()) && is_here(),
                    one => one.to_canonical() == ip,
                }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_on_all_addresses_is_found_at_each() {
        let own = |listening: &str| Own {
            names: vec!["us.test".to_string()],
            listening: vec![listening.parse().unwrap()],
            interfaces: vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()],
        };
        let is = |own: &Own, address: &str| own.is_address(address.parse().unwrap());
        let all = own("[::]:25");
        assert!(is(&all, "192.0.2.1:25") && is(&all, "127.0.0.1:25") && is(&all, "[2001:db8::1]:25"));
        assert!(!is(&all, "192.0.2.2:25") && !is(&all, "192.0.2.1:26"));
        assert!(!is(&own("0.0.0.0:25"), "[2001:db8::1]:25"));
        assert!(is(&own("192.0.2.1:25"), "[::ffff:192.0.2.1]:25") && !is(&own("192.0.2.1:25"), "127.0.0.1:25"));
        assert!(all.is_name("us.test") && !all.is_name("them.test"));
    }
}
