//! What a host said to EHLO, as the conversation asks for it.
//!
//! RFC 5321 §4.1.1.1, RFC 1870 §4, RFC 9422 §4.2.

/// Most recipients of one transaction: what every server takes (RFC 5321 §4.5.3.1.8). More follow in the next one.
const RECIPIENTS: usize = 100;

/// What a host said to EHLO.
#[derive(Default)]
pub(in crate::queue) struct Extensions {
    pub(super) words: Vec<String>,
}

impl Extensions {
    pub(in crate::queue) fn has(&self, name: &str) -> bool {
        self.line(name).is_some()
    }

    /// A keyword's line.
    pub(in crate::queue) fn line(&self, name: &str) -> Option<&str> {
        self.words
            .iter()
            .map(String::as_str)
            .find(|w| w.split(' ').next().is_some_and(|k| k.eq_ignore_ascii_case(name)))
    }

    /// The lines behind the first.
    pub(in crate::queue) fn lines(&self) -> &[String] {
        &self.words
    }

    /// Octets of the largest message that the host takes, where it says so (RFC 1870 §4; 0 is no limit).
    pub(in crate::queue) fn most_octets(&self) -> Option<u64> {
        self.line("SIZE")?.split(' ').nth(1)?.parse().ok().filter(|most| *most > 0)
    }

    /// Most recipients of a transaction, where the peer has a limit of its own (RFC 9422 §4.2).
    pub(in crate::queue) fn recipients(&self) -> usize {
        let words = self.line("LIMITS").unwrap_or("").split(' ');
        let own = words.filter_map(|w| w.split_once('=')).find(|(key, _)| key.eq_ignore_ascii_case("RCPTMAX"));
        own.and_then(|(_, n)| n.parse().ok()).map_or(RECIPIENTS, |n: usize| n.clamp(1, RECIPIENTS))
    }
}
