//! What a connection can carry, and so which mechanisms it is offered. The protocols differ in how they say it, not in this.

use super::Mechanism;

/// What counts about a connection when somebody logs in on it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Channel<'a> {
    /// `tls-exporter` channel binding (RFC 9266), where TLS has one.
    pub exporter: Option<&'a [u8]>,
    /// The addresses in the client's verified certificate, the first one being the default.
    pub client_names: &'a [String],
    /// True when a password may cross it.
    pub may_send_password: bool,
    /// True when some account has a recoverable secret.
    pub has_secrets: bool,
    /// True when there was randomness for a nonce: without it an old proof could be used again.
    pub has_nonce: bool,
}

impl Channel<'_> {
    /// Those of the configured mechanisms that can work here, in their order.
    pub fn offered(&self, configured: &[Mechanism]) -> Vec<Mechanism> {
        configured.iter().copied().filter(|mechanism| self.may_use(*mechanism)).collect()
    }

    fn may_use(&self, mechanism: Mechanism) -> bool {
        match mechanism {
            Mechanism::External => !self.client_names.is_empty(),
            Mechanism::Plain | Mechanism::Login => self.may_send_password,
            // Many clients take CRAM-MD5 wherever it is offered; it must not stand in the way of accounts without a secret.
            Mechanism::CramMd5 => self.has_nonce && self.has_secrets,
            Mechanism::ScramSha256 => self.has_nonce,
            Mechanism::ScramSha256Plus => self.has_nonce && self.exporter.is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Mechanism::*;

    const ALL: [Mechanism; 6] = [External, ScramSha256Plus, ScramSha256, CramMd5, Plain, Login];

    #[test]
    fn each_mechanism_needs_its_own() {
        let nothing = Channel::default();
        let names = ["a@b.test".to_string()];
        let rows: [(Channel<'_>, &[Mechanism]); 6] = [
            (nothing, &[]),
            (Channel { client_names: &names, ..nothing }, &[External]),
            (Channel { may_send_password: true, ..nothing }, &[Plain, Login]),
            (Channel { has_secrets: true, exporter: Some(b"x"), ..nothing }, &[]),
            (Channel { has_nonce: true, exporter: Some(b"x"), ..nothing }, &[ScramSha256Plus, ScramSha256]),
            (Channel { has_nonce: true, has_secrets: true, ..nothing }, &[ScramSha256, CramMd5]),
        ];
        for (channel, offered) in rows {
            assert_eq!(channel.offered(&ALL), offered, "{channel:?}");
        }
        assert_eq!(Channel { client_names: &names, ..nothing }.offered(&[Plain]), []);
    }
}
