//! `emconf init`: a new root, or the installed trees.

use super::ConfigError;
use crate::fsx;
use crate::settings::{self, Root};
use std::io;
use std::path::Path;

/// Distance of each service's port from the base, in the order of the sample file: its well-known port, but for ManageSieve's.
pub const OFFSETS: &[(&str, u16)] = &[
    ("smtp", 25),
    ("submission", 587),
    ("submissions", 465),
    ("lmtp", 24),
    ("pop3", 110),
    ("pop3s", 995),
    ("imap", 143),
    ("imaps", 993),
    ("poppass", 106),
    // Not far from the others: a base may be high.
    ("managesieve", 419),
];

/// The one well-known port that is no distance of [`OFFSETS`].
const MANAGESIEVE: u16 = 4190;

/// Where the services of a new root listen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ports {
    /// The well-known ports on all addresses, without LMTP and poppassd, which are for the site alone.
    Standard,
    /// Loopback, one port a service, found by the caller.
    Loopback(Vec<(&'static str, u16)>),
}

/// Writes etc/em.toml and the empty tables, and makes the folders. Existing files are an error.
pub fn init(root: &Root, domain: &str, hostname: Option<&str>, ports: &Ports) -> Result<(), ConfigError> {
    let path = root.settings_file();
    // The sample that `make install` brings is no decision of anybody's.
    let is_sample = std::fs::read_to_string(&path).is_ok_and(|text| text == settings::sample());
    if path.exists() && !is_sample {
        return Err(ConfigError::whole(path, "exists already", "`emconf set` changes it"));
    }
    let io = |e: io::Error| ConfigError::whole(path.clone(), e.to_string(), "");
    make_tree(root).map_err(io)?;
    let hostname = hostname.map_or_else(|| format!("mail.{domain}"), str::to_string);
    let mut text = settings::sample();
    let mut put = |section: &str, name: &str, value: String| {
        let start = text.find(&format!("\n[{section}]\n")).unwrap_or(0);
        let line = format!("\n# {name} = ");
        if let Some(at) = text[start..].find(&line).map(|i| start + i + 1) {
            let end = text[at..].find('\n').map_or(text.len(), |i| at + i);
            text.replace_range(at..end, &format!("{name} = {value}"));
        }
    };
    put("server", "hostname", format!("{hostname:?}"));
    put("server", "domains", format!("[{domain:?}]"));
    match ports {
        Ports::Standard => {
            for service in ["smtp", "submission", "submissions", "pop3", "pop3s", "imap", "imaps", "managesieve"] {
                let port = OFFSETS.iter().find(|(name, _)| *name == service).map_or(0, |(_, port)| *port);
                let port = if service == "managesieve" { MANAGESIEVE } else { port };
                put("services", service, format!("[\"[::]:{port}\"]"));
            }
            put("services", "lmtp", "[\"127.0.0.1:24\"]".to_string());
        }
        Ports::Loopback(ports) => {
            for (service, port) in ports {
                put("services", service, format!("[\"127.0.0.1:{port}\"]"));
            }
            put("auth", "plaintext_without_tls", "\"loopback\"".to_string());
        }
    }
    text = text.replace("# sweep = ", "sweep = ").replace("# purge = ", "purge = ");
    super::parse(&text, &path)?;
    write_new(&root.etc.join("aliases"), ALIASES)?;
    write_new(&root.etc.join("routes"), ROUTES)?;
    fsx::replace(&path, text.as_bytes(), 0o644).map_err(io)
}

/// Makes the folders of a root that are missing.
pub fn make_tree(root: &Root) -> io::Result<()> {
    fsx::create_dirs(&root.etc, 0o755)?;
    fsx::create_dirs(&root.spool, 0o755)?;
    for (dir, mode) in
        [("tmp", 0o700), ("queue", 0o700), ("log", 0o700), ("bad", 0o700), ("run", 0o755), ("drop", 0o770)]
    {
        fsx::create_dirs(&root.spool.join(dir), mode)?;
    }
    fsx::create_dirs(&root.mail, 0o751)?;
    fsx::create_dirs(&root.log, 0o750)
}

fn write_new(path: &Path, text: &str) -> Result<(), ConfigError> {
    if path.exists() {
        return Ok(());
    }
    fsx::replace(path, text.as_bytes(), 0o644).map_err(|e| ConfigError::whole(path.to_path_buf(), e.to_string(), ""))
}

/// The aliases of a new root.
pub const ALIASES: &str = "\
# Aliases, em-aliases(5):  name: address, \"|program\", /file, :include:/file, error:5.1.1 text
# Edits are seen at once; `newaliases` or `emconf check` finds mistakes.

mailer-daemon: postmaster
abuse: postmaster
hostmaster: postmaster
webmaster: postmaster
";

/// The routes of a new root.
pub const ROUTES: &str = "\
# Where mail for other domains goes, em-routes(5):  DOMAIN  MAILER:HOST[:PORT]
#
# example.org       esmtp:[192.0.2.1]:25
# .example.net      esmtp:relay.example.net
# *                 esmtp:smarthost.example.com:587
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_root_loads() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::under(dir.path());
        init(&root, "example.test", None, &Ports::Loopback(vec![("smtp", 2525)])).unwrap();
        let site = crate::config::load(&root).unwrap();
        assert_eq!(site.settings.server.domains, ["example.test"]);
        assert_eq!(site.hostname(), "mail.example.test");
        assert_eq!(site.settings.services.smtp[0].port(), 2525);
        assert!(site.settings.services.pop3.is_empty());
        assert!(init(&root, "example.test", None, &Ports::Standard).is_err());
    }
}
