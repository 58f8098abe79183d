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
    names: HashMap<String, Vec<IpAddr>>,
}

impl HostsFile {
    /// An empty path is no file.
    pub(super) fn new(path: &Path) -> HostsFile {
        HostsFile { path: path.to_path_buf(), held: Mutex::default() }
    }

    /// The addresses of a name, as the file is now; one that can't be read names nobody.
    pub(super) fn find(&self, name: &str) -> Option<Vec<IpAddr>> {
        if self.path.as_os_str().is_empty() {
            return None;
        }
        let identity = Identity::of(&self.path).ok().flatten();
        let mut held = self.held.lock().ok()?;
        if held.identity != identity {
            let text = fsx::read(&self.path, FILE_LIMIT).unwrap_or_default();
            *held = Held { identity, names: parse(&String::from_utf8_lossy(&text)) };
        }
        held.names.get(name).cloned()
    }
}

/// Lines of an address and its names; `#` begins a comment.
fn parse(text: &str) -> HashMap<String, Vec<IpAddr>> {
    let mut names: HashMap<String, Vec<IpAddr>> = HashMap::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or("").split_whitespace();
        let Some(Ok(ip)) = words.next().map(str::parse::<IpAddr>) else { continue };
        for name in words {
            let addresses = names.entry(name.trim_end_matches('.').to_ascii_lowercase()).or_default();
            if !addresses.contains(&ip) {
                addresses.push(ip);
            }
        }
    }
    names
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
        std::fs::write(&path, "192.0.2.22 b\n").unwrap();
        assert!(find("a").is_none() && find("b").is_some());
        assert!(HostsFile::new(Path::new("")).find("a").is_none());
    }
}
