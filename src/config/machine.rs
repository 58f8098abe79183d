//! The names and addresses of this machine, as a sendmail.cf is told them before it is read.
//!
//! Called by `emsend -bt`, and for a sendmail.cf that stands in the place of our settings. Names come from the system and from
//! /etc/hosts; the DNS is not asked: an old file that needs it says its name itself (`Dj`, confDOMAIN_NAME).

use crate::fsx;
use crate::rules::Rules;
use std::net::IpAddr;
use std::path::Path;

/// Largest hosts file read, in octets.
const FILE_LIMIT: u64 = 64 << 20;
/// Where names of hosts stand.
pub const HOSTS: &str = "/etc/hosts";

/// A hosts file, as it is now.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    hosts: Vec<(IpAddr, Vec<String>)>,
}

impl Machine {
    /// Reads the hosts file; one that can't be read is empty.
    pub fn read() -> Machine {
        let text = fsx::read(Path::new(HOSTS), FILE_LIMIT).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let entry = |line: &str| {
            let mut words = line.split('#').next()?.split_whitespace();
            let address = words.next()?.parse().ok()?;
            Some((address, words.map(str::to_string).collect()))
        };
        Machine { hosts: text.lines().filter_map(entry).collect() }
    }

    /// Sets the macros and classes that name this machine.
    pub fn describe(&self, rules: &mut Rules) {
        let name = nix::unistd::gethostname().ok().and_then(|n| n.into_string().ok()).unwrap_or_default();
        let full = self.full_name(&name).unwrap_or_else(|| name.clone());
        let (short, domain) = full.split_once('.').map_or((&full[..], None), |(short, domain)| (short, Some(domain)));
        for (macro_name, value) in [(&b"w"[..], &full), (b"j", &full), (b"k", &name)] {
            rules.macros.set(macro_name, value.as_bytes().to_vec());
        }
        if let Some(domain) = domain {
            rules.macros.set(b"m", domain.as_bytes().to_vec());
            rules.classes.add(b"m", domain.as_bytes());
        }
        for member in [short, &full, "localhost"] {
            rules.classes.add(b"w", member.as_bytes());
        }
        // All names and addresses that the hosts file gives this machine.
        for (address, names) in self.named(&name) {
            names.iter().for_each(|name| rules.classes.add(b"w", name.as_bytes()));
            rules.classes.add(b"w", literal(*address).as_bytes());
        }
        for interface in nix::ifaddrs::getifaddrs().into_iter().flatten() {
            let Some(storage) = interface.address else { continue };
            if let Some(v4) = storage.as_sockaddr_in() {
                rules.classes.add(b"w", literal(v4.ip().into()).as_bytes());
            } else if let Some(v6) = storage.as_sockaddr_in6().filter(|v6| !v6.ip().is_loopback() && v6.scope_id() == 0)
            {
                rules.classes.add(b"w", literal(v6.ip().into()).as_bytes());
            }
        }
    }

    /// The lines of the hosts file that have this name.
    fn named(&self, name: &str) -> impl Iterator<Item = &(IpAddr, Vec<String>)> {
        self.hosts.iter().filter(move |(_, names)| names.iter().any(|n| n.eq_ignore_ascii_case(name)))
    }

    /// The first name with a dot on a line of the hosts file that has this name.
    pub fn full_name(&self, name: &str) -> Option<String> {
        let found = self.named(name).find_map(|(_, names)| names.iter().find(|n| n.contains('.')));
        found.cloned()
    }
}

/// An address as rules write it.
fn literal(address: IpAddr) -> String {
    match address {
        IpAddr::V4(v4) => format!("[{v4}]"),
        IpAddr::V6(v6) => format!("[IPv6:{v6}]"),
    }
}
