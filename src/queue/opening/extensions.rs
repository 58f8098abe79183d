//! What a host said to EHLO, as the conversation asks for it.
//!
//! RFC 5321 §4.1.1.1, RFC 1870 §4, RFC 9422 §4.2.

/// Most recipients of one transaction: what every server takes (RFC 5321 §4.5.3.1.8). More follow in the next one.
const RECIPIENTS: usize = 100;

/// What a host said to EHLO. Its lines are read once: each message asks for all of them.
#[derive(Default)]
pub(in crate::queue) struct Extensions {
    words: Vec<String>,
    /// PIPELINING
    pub(in crate::queue) pipelining: bool,
    /// CHUNKING
    pub(in crate::queue) chunking: bool,
    /// 8BITMIME
    pub(in crate::queue) eight_bit: bool,
    /// SMTPUTF8
    pub(in crate::queue) utf8: bool,
    /// SIZE
    pub(in crate::queue) size: bool,
    /// Octets of the largest message that the host takes, where it says so (RFC 1870 §4; 0 is no limit).
    pub(in crate::queue) most_octets: Option<u64>,
    /// Most recipients of a transaction, where the peer has a limit of its own (RFC 9422 §4.2).
    most_recipients: Option<usize>,
}

impl Extensions {
    /// Reads the lines behind the first.
    pub(in crate::queue) fn of(words: Vec<String>) -> Extensions {
        let mut found = Extensions { words, ..Extensions::default() };
        found.pipelining = found.has("PIPELINING");
        found.chunking = found.has("CHUNKING");
        found.eight_bit = found.has("8BITMIME");
        found.utf8 = found.has("SMTPUTF8");
        found.size = found.has("SIZE");
        let most = found.line("SIZE").and_then(|line| line.split(' ').nth(1)?.parse().ok());
        found.most_octets = most.filter(|most| *most > 0);
        let words = found.line("LIMITS").unwrap_or("").split(' ');
        let mut own = words.filter_map(|w| w.split_once('=')).filter(|(key, _)| key.eq_ignore_ascii_case("RCPTMAX"));
        found.most_recipients = own.next().and_then(|(_, n)| n.parse().ok());
        found
    }

    /// True when a keyword was named.
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

    /// Most recipients of a transaction.
    pub(in crate::queue) fn recipients(&self) -> usize {
        self.most_recipients.map_or(RECIPIENTS, |most| most.clamp(1, RECIPIENTS))
    }
}
