//! The Received field: where a message came from, in whose words (RFC 5321 §4.4, RFC 3848).

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Priority, Source};
use crate::msg;
use std::net::IpAddr;

/// The peer of a connection, as far as the driver knows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// Its address; `None` for a pipe or a local socket.
    pub ip: Option<IpAddr>,
    /// Its port.
    pub port: u16,
}

/// Prints the field with a line end. `only` is named when there is exactly one recipient: more would tell on the others; `priority`
/// is what was asked for in MAIL.
pub fn received(
    source: &Source,
    tls: Option<(&str, &str)>,
    host: &str,
    id: &str,
    only: Option<&Address>,
    priority: Option<Priority>,
    now: Timestamp,
) -> String {
    let mut words = Vec::new();
    let mut say = |text: String| words.push(text);
    match (&source.helo, source.ip) {
        (Some(helo), Some(ip)) => {
            say(format!("from {}", safe(helo)));
            say(match &source.name {
                Some(name) => format!("({} {})", safe(name), literal(ip)),
                None => format!("({})", literal(ip)),
            });
        }
        (Some(helo), None) => say(format!("from {}", safe(helo))),
        (None, Some(ip)) => say(format!("from {}", literal(ip))),
        (None, None) => {}
    }
    if let Some((version, cipher)) = tls {
        say(format!("(using {version} with cipher {cipher})"));
    }
    if source.ip.is_none()
        && let Some(user) = &source.user
    {
        say(format!("(from {})", safe(user)));
    }
    say(format!("by {host}"));
    say(format!("with {}", source.protocol));
    say(format!("id {id}"));
    if let Some(address) = only {
        say(format!("for <{address}>"));
    }
    // RFC 6710 §4.1.
    if let Some(priority) = priority {
        say(format!("PRIORITY {priority}"));
    }
    if let Some(last) = words.last_mut() {
        last.push(';');
    }
    words.push(now.rfc5322());
    msg::fold("Received", &words)
}

fn literal(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}

/// A peer's word inside our field: nothing that could end a comment or the field, and nothing that the header of a message without
/// SMTPUTF8 must not have.
fn safe(text: &str) -> String {
    text.chars()
        .map(|c| if !c.is_ascii() || c.is_control() || c.is_whitespace() || "()\\;<>".contains(c) { '?' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_names_what_is_known_and_can_not_be_forged() {
        let source = Source {
            ip: Some("::ffff:192.0.2.1".parse().unwrap()),
            name: None,
            helo: Some("evil (x)\r\nBcc: ÿ".into()),
            protocol: "ESMTPS".into(),
            user: None,
        };
        let to = Address::parse("bob@example.test").unwrap();
        let tls = Some(("TLSv1.3", "TLS13_AES_256_GCM_SHA384"));
        let text = received(&source, tls, "mail.example.test", "0id", Some(&to), "-3".parse().ok(), Timestamp(0));
        assert_eq!(text.lines().filter(|l| !l.starts_with('\t')).count(), 1);
        let value = msg::find(text.as_bytes(), "Received").unwrap().value().replace('\t', " ");
        assert!(value.starts_with("from evil??x???Bcc:?? ([192.0.2.1])"), "{value}");
        let named = Source { name: Some("c.example.test".into()), helo: Some("c".into()), ..source };
        let text = received(&named, tls, "mail.example.test", "0id", None, None, Timestamp(0));
        assert!(text.replace("\n\t", " ").contains("from c (c.example.test [192.0.2.1]) "), "{text}");
        assert!(value.contains("for <bob@example.test> PRIORITY -3; Thu, 01 Jan 1970"), "{value}");
    }
}
