//! The host part of a route, in sendmail's forms: `domain`, `domain:port`, `[name]`, `[name]:port`, `[192.0.2.1]`,
//! `[IPv6:2001:db8::1]:port`, `/path/of/a/socket`, several of them behind each other with `:` or `,`, and `smtps:` before all for TLS
//! from the start.
//!
//! A name in brackets is a host: its MX records are not asked for. What comes from an address of a message's recipient is a bare
//! domain or an address literal, so that nobody but the administrator says port, protocol and path.

use crate::addr::normal_domain;
use crate::envelope::Mailer;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;

/// Most hosts of one route.
const HOSTS: usize = 8;

/// A route's hosts, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostText {
    /// At least one.
    pub hosts: Vec<Host>,
    /// TLS from the start instead of STARTTLS (RFC 8314 §3.3).
    pub implicit_tls: bool,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Host {
    /// Who.
    pub target: Target,
    /// TCP port; means nothing for a socket's path.
    pub port: u16,
}

/// How a host is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A domain, whose MX records name the hosts.
    Domain(String),
    /// A host.
    Name(String),
    /// An address.
    Literal(IpAddr),
    /// A server on this machine, by its socket's absolute path.
    Socket(PathBuf),
}

impl HostText {
    /// Reads a route's host part; the error is in words.
    pub fn parse(text: &str, mailer: Mailer) -> Result<HostText, String> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once(':') {
            // `relay:26` is port 26 of a host of that name.
            Some((scheme, rest)) if is_scheme(scheme) && !is_number(rest) => (scheme, rest),
            _ => ("", text),
        };
        let implicit_tls = scheme == "smtps";
        let default_port = match mailer {
            Mailer::Lmtp => 24,
            _ if implicit_tls => 465,
            _ => 25,
        };
        let mut hosts: Vec<Host> = Vec::new();
        for (separator, part) in parts(rest) {
            // Digits are a port: no host is called so, and sendmail reads them in the same way.
            if is_number(part) {
                let last = hosts.last_mut().filter(|_| separator == ':').ok_or("a port without a host")?;
                if matches!(last.target, Target::Socket(_)) {
                    return Err("a port behind the path of a socket".to_string());
                }
                last.port = part.parse().ok().filter(|p| *p > 0).ok_or_else(|| format!("{part} is no port"))?;
                continue;
            }
            hosts.push(Host { target: target(part, mailer)?, port: default_port });
            if hosts.len() > HOSTS {
                return Err(format!("more than {HOSTS} hosts"));
            }
        }
        if implicit_tls && hosts.iter().any(|host| matches!(host.target, Target::Socket(_))) {
            return Err("TLS is not spoken over the path of a socket".to_string());
        }
        if hosts.is_empty() { Err("no host".to_string()) } else { Ok(HostText { hosts, implicit_tls }) }
    }

    /// The text in its one normal form, for logs and for telling destinations apart.
    pub fn key(&self) -> String {
        let mut key = String::new();
        for (number, host) in self.hosts.iter().enumerate() {
            key.push_str(if number > 0 { "," } else { "" });
            host.print(self.implicit_tls, &mut key);
        }
        key
    }
}

impl Host {
    fn print(&self, implicit_tls: bool, key: &mut String) {
        // Writing to a string can't fail.
        let _ = match &self.target {
            Target::Domain(name) => key.write_str(name),
            Target::Name(name) => write!(key, "[{name}]"),
            Target::Literal(IpAddr::V4(ip)) => write!(key, "[{ip}]"),
            Target::Literal(IpAddr::V6(ip)) => write!(key, "[IPv6:{ip}]"),
            Target::Socket(path) => write!(key, "{}", path.display()),
        };
        let is_socket = matches!(self.target, Target::Socket(_));
        if !is_socket && (self.port, implicit_tls) != (25, false) {
            let _ = write!(key, ":{}", self.port);
        }
    }
}

/// Protocols that may stand before a host, as in the settings' `smtps:[mail.example.net]`.
fn is_scheme(text: &str) -> bool {
    matches!(text, "smtps" | "smtp" | "esmtp" | "relay" | "lmtp")
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Cuts at `:` and `,` outside brackets; each part with the separator before it.
fn parts(text: &str) -> Vec<(char, &str)> {
    let (mut found, mut start, mut before, mut is_inside) = (Vec::new(), 0, ',', false);
    for (at, c) in text.char_indices() {
        match c {
            '[' => is_inside = true,
            ']' => is_inside = false,
            ':' | ',' if !is_inside => {
                found.push((before, text[start..at].trim()));
                (start, before) = (at + 1, c);
            }
            _ => {}
        }
    }
    found.push((before, text[start..].trim()));
    found
}

fn target(text: &str, mailer: Mailer) -> Result<Target, String> {
    let wrong = || format!("{text:?} is no host");
    if text.starts_with('/') {
        let is_path = text.len() > 1 && !text.contains(|c: char| c.is_whitespace() || c.is_control());
        return if is_path { Ok(Target::Socket(text.into())) } else { Err(wrong()) };
    }
    let Some(inner) = text.strip_prefix('[') else {
        let name = normal_domain(text).map_err(|_| wrong())?;
        // LMTP is spoken within a site (RFC 2033 §5): MX records say nothing about it.
        return Ok(if mailer == Mailer::Lmtp { Target::Name(name) } else { Target::Domain(name) });
    };
    let inner = inner.strip_suffix(']').ok_or_else(wrong)?;
    let tagged = inner.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:")).map_or(inner, |_| &inner[5..]);
    match tagged.parse() {
        Ok(ip) => Ok(Target::Literal(ip)),
        Err(_) => normal_domain(inner).map(Target::Name).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_read_and_printed() {
        for (text, key) in [
            ("Example.ORG.", "example.org"),
            ("example.org:25", "example.org"),
            ("example.org:2525", "example.org:2525"),
            ("[mail.example.org]", "[mail.example.org]"),
            ("[mail.example.org]:587", "[mail.example.org]:587"),
            ("[192.0.2.1]", "[192.0.2.1]"),
            ("[192.0.2.1]:2525", "[192.0.2.1]:2525"),
            ("[IPv6:2001:db8::1]:26", "[IPv6:2001:db8::1]:26"),
            ("[2001:db8::1]", "[IPv6:2001:db8::1]"),
            ("a.test:b.test", "a.test,b.test"),
            ("a.test:26:[b.test]:27, c.test", "a.test:26,[b.test]:27,c.test"),
            ("smtps:[mail.example.org]", "[mail.example.org]:465"),
            ("esmtp:[mail.example.org]", "[mail.example.org]"),
            ("bücher.test", "xn--bcher-kva.test"),
            ("mailhub", "mailhub"),
            ("relay:26", "relay:26"),
            ("/run/mail/lmtp.sock", "/run/mail/lmtp.sock"),
            ("/run/a:/run/b:[c.test]:26", "/run/a,/run/b,[c.test]:26"),
        ] {
            assert_eq!(HostText::parse(text, Mailer::Smtp).unwrap().key(), key, "{text}");
        }
        assert!(HostText::parse("smtps:a.test", Mailer::Smtp).unwrap().implicit_tls);
        let lmtp = HostText::parse("inner.test", Mailer::Lmtp).unwrap();
        assert_eq!(lmtp.hosts, [Host { target: Target::Name("inner.test".to_string()), port: 24 }]);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            ":",
            "25:a.test",
            ":25",
            "a.test:0",
            "a.test:65536",
            "a.test::b.test",
            "[",
            "[x y]",
            "[]",
            "-a.test",
            "a b",
            "[a.test",
            "/",
            "/run/a b",
            "/run/a:25",
            "run/a",
            "smtps:/run/a",
        ] {
            assert!(HostText::parse(text, Mailer::Smtp).is_err(), "{text:?}");
        }
        let many = ["a.test"; 9].join(",");
        assert!(HostText::parse(&many, Mailer::Smtp).is_err());
    }
}
