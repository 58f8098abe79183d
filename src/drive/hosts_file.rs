//! The file of hosts(5): names that have addresses without DNS. Read again when it changes.

use crate::fsx::{self, Identity};
use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// Largest file read, in octets.
const FILE_LIMIT: u64 = 16 << 20;

/// A hosts file that is followed.
pub(super) struct HostsFile {
    path: PathBuf,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    identity: Option<Identity>,
    lines: Lines,
}

/// What the lines say.
#[derive(Default)]
struct Lines {
    /// The addresses of each name, in lower case.
    addresses: HashMap<String, Vec<IpAddr>>,
    /// Of each name, in lower case, the first name with a dot on the first line that has such a one.
    full: HashMap<String, String>,
    /// The first name of each address.
    first: HashMap<IpAddr, String>,
}

impl HostsFile {
    /// An empty path is no file.
    pub(super) fn new(path: &Path) -> HostsFile {
        HostsFile { path: path.to_path_buf(), held: Mutex::default() }
    }

    /// The addresses of a name, as the file is now; one that can't be read names nobody.
    pub(super) fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.with(|lines| lines.addresses.get(name).cloned())
    }

    /// The full name of a host that is called so.
    pub(super) fn full_name(&self, name: &str) -> Option<String> {
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        self.with(|lines| lines.full.get(&name).cloned())
    }

    /// The name of an address.
    pub(super) fn name_of(&self, ip: IpAddr) -> Option<String> {
        self.with(|lines| lines.first.get(&ip.to_canonical()).cloned())
    }

    fn with<T>(&self, find: impl FnOnce(&Lines) -> Option<T>) -> Option<T> {
        if self.path.as_os_str().is_empty() {
            return None;
        }
        let identity = Identity::of(&self.path).ok().flatten();
        let mut held = self.held.lock().ok()?;
        if held.identity != identity {
            let text = fsx::read(&self.path, FILE_LIMIT).unwrap_or_default();
            *held = Held { identity, lines: Lines::parse(&String::from_utf8_lossy(&text)) };
        }
        find(&held.lines)
    }
}

impl Lines {
    /// Lines of an address and its names; `#` begins a comment.
    fn parse(text: &str) -> Lines {
        let mut lines = Lines::default();
        for line in text.lines() {
            let mut words = line.split('#').next().unwrap_or("").split_whitespace();
            let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
            let names: Vec<&str> = words.map(|name| name.trim_end_matches('.')).collect();
            let full = names.iter().find(|name| name.contains('.'));
            if let Some(first) = names.first() {
                lines.first.entry(ip.to_canonical()).or_insert_with(|| first.to_string());
            }
            for name in names.iter().map(|name| name.to_ascii_lowercase()) {
                if let Some(full) = full {
                    lines.full.entry(name.clone()).or_insert_with(|| full.to_string());
                }
                let addresses = lines.addresses.entry(name).or_default();
                if !addresses.contains(&ip) {
                    addresses.push(ip);
                }
            }
        }
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("hosts");
        let hosts = HostsFile::new(&path);
        let find = |name: &str| hosts.find(name).map(|ips| ips.iter().map(IpAddr::to_string).collect::<Vec<_>>());
        assert_eq!(find("a.test"), None);
        std::fs::write(&path, "# x\n192.0.2.1 A.test a # b\n::1\ta.test\nnonsense a.test\n192.0.2.1 a\n").unwrap();
        assert_eq!(find("a.test").unwrap(), ["192.0.2.1", "::1"]);
        assert_eq!(find("a").unwrap(), ["192.0.2.1"]);
        assert_eq!(find("b"), None);
        assert_eq!(hosts.full_name("A").unwrap(), "A.test");
        assert_eq!(hosts.full_name("a.test.").unwrap(), "A.test");
        assert_eq!(hosts.name_of("::ffff:192.0.2.1".parse().unwrap()).unwrap(), "A.test");
        assert!(hosts.name_of("192.0.2.3".parse().unwrap()).is_none());
        std::fs::write(&path, "192.0.2.22 b\n").unwrap();
        assert!(find("a").is_none() && find("b").is_some());
        assert!(HostsFile::new(Path::new("")).find("a").is_none());
    }
}
