//! The right side of etc/routes: a mailer and a host, as in sendmail's mailertable.

use super::kind::error;
use super::rows::Wrong;

/// The mailers that our rules know and a route may name. Another file of rules may define others; it is then the file that says so.
const MAILERS: [&str; 9] = ["esmtp", "smtp", "smtp8", "dsmtp", "relay", "lmtp", "local", "error", "discard"];

/// Checks a route: `mailer:host[:port]`, `mailer:host:host…`, `[address][:port]`, `host`, `local:[user]`, `error:code text`, `discard:`.
pub fn check(value: &str) -> Result<(), Wrong> {
    let hint = "write esmtp:host, esmtp:[192.0.2.1]:25, lmtp:host:24 or error:5.7.1 text";
    let (mailer, host) = match value.starts_with('[') {
        true => ("relay", value),
        false => value.split_once(':').unwrap_or(("relay", value)),
    };
    if !MAILERS.contains(&mailer) {
        return Err(Wrong::new(value, format!("unknown mailer {mailer:?}"), hint));
    }
    let is_good = match mailer {
        "error" => return error(host.trim(), value),
        "discard" => true,
        "local" => !host.contains(char::is_whitespace),
        // `mailer:user@host` gives the mail to that user.
        _ => are_hosts(host.rsplit_once('@').map_or(host, |(_, host)| host)),
    };
    if is_good { Ok(()) } else { Err(Wrong::new(value, format!("{host:?} is no host and port"), hint)) }
}

/// Most hosts of one route; as in `nexthop::host`.
const HOSTS: usize = 8;

/// True for `host`, `host:port`, `[address]`, `[host]:port` and `/path/of/a/socket`, and for several of them with `:` between them, which
/// are tried in their order.
fn are_hosts(text: &str) -> bool {
    let is_port = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let mut hosts: Vec<String> = Vec::new();
    for part in parts(text) {
        match hosts.last_mut().filter(|_| is_port(part)) {
            // A port belongs to the host before it.
            Some(host) => host.extend([":", part]),
            None => hosts.push(part.to_string()),
        }
    }
    hosts.len() <= HOSTS && hosts.iter().all(|host| is_host(host))
}

/// Cuts at colons outside brackets.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let mut is_inside = false;
    text.split(move |c| {
        is_inside = c == '[' || is_inside && c != ']';
        c == ':' && !is_inside
    })
}

fn is_host(text: &str) -> bool {
    match text.strip_prefix('/') {
        Some(rest) => !rest.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == ':'),
        None => parse_host(text, 25).is_some(),
    }
}

/// Reads `host`, `host:port`, `[address]`, `[host]`, or one of the last two with a port. The brackets, which say that no mail host is
/// looked for behind the name, are not in the answer.
pub fn parse_host(text: &str, default_port: u16) -> Option<(String, u16)> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            let tag = host.get(..5).filter(|tag| tag.eq_ignore_ascii_case("IPv6:"));
            let host = match host[tag.map_or(0, str::len)..].parse::<std::net::IpAddr>() {
                Ok(ip) => ip.to_string(),
                Err(_) => crate::addr::normal_domain(host).ok()?,
            };
            (host, port.strip_prefix(':').or(port.is_empty().then_some(""))?)
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
    fn hosts_are_read() {
        for (text, wanted) in [
            ("a.test", Some(("a.test", 25))),
            ("a.test:587", Some(("a.test", 587))),
            ("[a.test]:26", Some(("a.test", 26))),
            ("[192.0.2.1]", Some(("192.0.2.1", 25))),
            ("[ipv6:2001:db8::1]:24", Some(("2001:db8::1", 24))),
            ("a.test:0", None),
            ("[a.test", None),
            ("", None),
        ] {
            assert_eq!(parse_host(text, 25), wanted.map(|(h, p)| (h.to_string(), p)), "{text}");
        }
    }

    #[test]
    fn routes_are_checked() {
        for good in [
            "esmtp:[127.0.0.2]:2525",
            "[1.2.3.4]",
            "[mail.example.org]:2525",
            "relay:default.test",
            "hub.example.org",
            "lmtp:[127.0.0.1]:24",
            "lmtp:/run/lmtp.sock",
            "esmtp:[192.0.2.1]:[192.0.2.2]:2525:b.test",
            "[192.0.2.1]:26:[IPv6:2001:db8::1]",
            "lmtp:/run/a:/run/b",
            "smtp:joe@hub.example.org",
            "local:",
            "local:bob",
            "discard:",
            "error:5.7.1 no way",
            "error:5.7.0:550 no way",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, wanted) in [
            ("uucp:x", "unknown mailer \"uucp\""),
            ("esmtp:x:0", "\"x:0\" is no host and port"),
            ("esmtp:", "\"\" is no host and port"),
            ("esmtp:a.test::b.test", "\"a.test::b.test\" is no host and port"),
            ("esmtp:a.test:25:26", "\"a.test:25:26\" is no host and port"),
            ("lmtp:/run/a:24", "\"/run/a:24\" is no host and port"),
            ("esmtp:a:b:c:d:e:f:g:h:i", "\"a:b:c:d:e:f:g:h:i\" is no host and port"),
            ("error:5.7.1", "the error has no text"),
            ("a b", "\"a b\" is no host and port"),
        ] {
            assert_eq!(check(bad).unwrap_err().message, wanted, "{bad}");
        }
    }
}
