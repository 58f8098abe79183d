//! etc/routes: where mail for other domains goes.
//!
//! One entry a line: `DOMAIN MAILER:HOST[:PORT]`. DOMAIN is a domain, `.domain` for everything below it, or `*`. MAILER is
//! `esmtp` (or `smtp`), `lmtp`, or `error` with a reply text. HOST is a name or an address in brackets. The most exact entry wins.

use super::{Table, entries};
use crate::config::ConfigError;
use crate::envelope::Mailer;
use crate::status::Enhanced;
use std::collections::BTreeMap;
use std::path::Path;

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routes {
    map: BTreeMap<String, Route>,
}

/// Where a domain's mail goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// To this host.
    Host {
        /// Smtp or Lmtp.
        mailer: Mailer,
        /// Name or address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
    /// Nowhere: refused with this reply.
    Error(Enhanced, String),
}

impl Route {
    /// The form kept in envelopes: `[192.0.2.1]:25`.
    pub fn host_text(host: &str, port: u16) -> String {
        if host.parse::<std::net::IpAddr>().is_ok() { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl Routes {
    /// The entry for a domain (in A-label form): itself, then its parents with a dot, then `*`. Gives the key too.
    pub fn find(&self, domain: &str) -> Option<(&str, &Route)> {
        let entry = |key: &str| self.map.get_key_value(key).map(|(k, r)| (k.as_str(), r));
        if let Some(exact) = entry(domain) {
            return Some(exact);
        }
        let mut rest = domain;
        while let Some(dot) = rest.find('.') {
            if let Some(parent) = entry(&rest[dot..]) {
                return Some(parent);
            }
            rest = &rest[dot + 1..];
        }
        entry("*")
    }
}

impl Table for Routes {
    fn parse(text: &str, path: &Path) -> Result<Routes, ConfigError> {
        let mut map = BTreeMap::new();
        for entry in entries(text) {
            let fail = |at: usize, width: usize, message: String, hint: &str| {
                let span = entry.start + at..entry.start + at + width.max(1);
                ConfigError::spanned(path.to_path_buf(), text, span, message, hint.to_string())
            };
            if entry.text.starts_with([' ', '\t']) {
                return Err(fail(
                    0,
                    1,
                    "a continuation line without an entry before it".to_string(),
                    "entries begin in column 1",
                ));
            }
            let key = entry.text.split([' ', '\t', '\r', '\n']).next().unwrap_or("");
            let target = entry.text[key.len()..].trim();
            let at = entry.text.find(target).filter(|_| !target.is_empty()).unwrap_or(key.len());
            let domain = match key.strip_prefix('.') {
                _ if key == "*" => Ok("*".to_string()),
                Some(parent) => crate::addr::normal_domain(parent).map(|d| format!(".{d}")),
                None => crate::addr::normal_domain(key),
            }
            .map_err(|e| fail(0, key.len(), format!("{key:?}: {e}"), "write a domain, .domain or *"))?;
            let route = parse_route(target).map_err(|message| {
                fail(
                    at,
                    target.len(),
                    message,
                    "write esmtp:host, esmtp:[192.0.2.1]:25, lmtp:host:24 or error:5.7.1 text",
                )
            })?;
            if map.insert(domain, route).is_some() {
                return Err(fail(0, key.len(), format!("{key} is routed twice"), ""));
            }
        }
        Ok(Routes { map })
    }
}

fn parse_route(text: &str) -> Result<Route, String> {
    let (mailer, rest) = text.split_once(':').ok_or("no mailer")?;
    let (mailer, default_port) = match mailer {
        "esmtp" | "smtp" => (Mailer::Smtp, 25),
        "lmtp" => (Mailer::Lmtp, 24),
        "error" => {
            let (enhanced, text) = Enhanced::parse_prefix(rest.trim()).unwrap_or((Enhanced(5, 4, 4), rest.trim()));
            return Ok(Route::Error(enhanced, text.to_string()));
        }
        other => return Err(format!("unknown mailer {other:?}")),
    };
    let (host, port) = parse_host(rest, default_port).ok_or_else(|| format!("{rest:?} is no host and port"))?;
    Ok(Route::Host { mailer, host, port })
}

/// Reads `host`, `host:port`, `[address]` or `[address]:port`.
pub fn parse_host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (ip, port) = rest.split_once(']')?;
            let ip: std::net::IpAddr = ip.strip_prefix("IPv6:").unwrap_or(ip).parse().ok()?;
            (ip.to_string(), port.strip_prefix(':').or(port.is_empty().then_some(""))?)
        }
        None => {
            let (host, port) = text.split_once(':').unwrap_or((text, ""));
            (crate::addr::normal_domain(host).ok()?, port)
        }
    };
    let port = if port.is_empty() { default_port } else { port.parse().ok().filter(|p| *p > 0)? };
    Some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_exact_entry_wins() {
        let text = "example.org esmtp:[192.0.2.1]:2525\n.example.org lmtp:inner.example\n* smtp:smart.example:587\nno.example error:5.7.1 not to them\n";
        let routes = Routes::parse(text, Path::new("routes")).unwrap();
        let host = |domain: &str| match routes.find(domain).unwrap().1 {
            Route::Host { host, port, .. } => Route::host_text(host, *port),
            Route::Error(code, text) => format!("{code} {text}"),
        };
        assert_eq!(host("example.org"), "[192.0.2.1]:2525");
        assert_eq!(host("a.b.example.org"), "inner.example:24");
        assert_eq!(host("other.net"), "smart.example:587");
        assert_eq!(host("no.example"), "5.7.1 not to them");
        assert_eq!(routes.find("a.b.example.org").unwrap().0, ".example.org");
    }

    #[test]
    fn mistakes_have_places() {
        for (text, wanted) in [
            ("example.org\n", "routes:1:12"),
            ("\texample.org esmtp:x\n", "entries begin in column 1"),
            ("example.org uucp:x\n", "unknown mailer"),
            ("example.org esmtp:x:0\n", "no host and port"),
            ("-x- esmtp:x\n", "routes:1:1"),
            ("a.b esmtp:x\na.b esmtp:y\n", "routes:2:1: a.b is routed twice"),
        ] {
            let error = Routes::parse(text, Path::new("routes")).unwrap_err().to_string();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
