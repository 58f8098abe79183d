//! What a connection to a host must be before mail goes over it.
//!
//! Decided by [`super::NextHops`], carried out by the TLS driver in `drive`, obeyed by the SMTP client in `queue`.
//! RFC 3207, RFC 7435, RFC 7672, RFC 8314 §3.3, RFC 8461.

use super::resolver::Tlsa;
use std::fmt;

/// The demands on one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Whom to trust.
    pub trust: Trust,
    /// TLS from the start instead of STARTTLS.
    pub implicit_tls: bool,
    /// The name in the SNI extension; empty sends none.
    pub server_name: String,
    /// A certificate that does not fit is told and counted, and the host gets mail all the same (RFC 8461 §5, `testing`).
    pub lenient: bool,
}

/// Which peer is the right one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// Nobody: no TLS.
    Clear,
    /// Anybody; in clear where TLS is not offered or fails.
    May,
    /// Anybody, but never in clear.
    Encrypt,
    /// A certificate from an authority we trust, for one of these names; `.example.net` is every name below.
    Names(Vec<String>),
    /// The certificate with one of these SHA-256 digests, of itself or of its public key.
    Fingerprints(Vec<[u8; 32]>),
    /// What usable TLSA records say; the names are for DANE-TA (RFC 7672 §3.2.2).
    Dane {
        /// DANE-TA and DANE-EE records.
        records: Vec<Tlsa>,
        /// The reference identifiers.
        names: Vec<String>,
    },
}

impl Security {
    /// No TLS.
    pub fn clear() -> Security {
        Security { trust: Trust::Clear, ..Security::opportunistic("") }
    }

    /// TLS where it is offered.
    pub fn opportunistic(server_name: &str) -> Security {
        Security { trust: Trust::May, implicit_tls: false, server_name: server_name.to_string(), lenient: false }
    }

    /// True when mail may not go in clear.
    pub fn needs_tls(&self) -> bool {
        self.implicit_tls || !self.lenient && !matches!(self.trust, Trust::Clear | Trust::May)
    }

    /// True when a connection exists only with the right host: its certificate has been judged.
    pub fn is_verified(&self) -> bool {
        !self.lenient && matches!(self.trust, Trust::Names(_) | Trust::Fingerprints(_) | Trust::Dane { .. })
    }
}

impl fmt::Display for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Trust::Clear => "none",
            Trust::May => "may",
            Trust::Encrypt => "encrypt",
            Trust::Names(_) => "verify",
            Trust::Fingerprints(_) => "fingerprint",
            Trust::Dane { .. } => "dane",
        })
    }
}

/// Why TLS did not come about, in the words of reports (RFC 8460 §4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsFault {
    /// The host does not offer it.
    NotOffered,
    /// The certificate is for another name.
    NameMismatch,
    /// The certificate is too old, or not valid yet.
    Expired,
    /// Nobody we trust vouches for the certificate.
    NotTrusted,
    /// The certificate is not what the TLSA records or fingerprints say.
    Mismatch,
    /// Anything else.
    Other,
}

impl TlsFault {
    /// The result type of RFC 8460 §4.3; that of a mismatch depends on where the demand comes from.
    pub fn name(self) -> &'static str {
        match self {
            TlsFault::NotOffered => "starttls-not-supported",
            TlsFault::NameMismatch => "certificate-host-mismatch",
            TlsFault::Expired => "certificate-expired",
            TlsFault::NotTrusted => "certificate-not-trusted",
            TlsFault::Mismatch | TlsFault::Other => "validation-failure",
        }
    }
}

/// TLS that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct TlsError {
    /// The kind.
    pub fault: TlsFault,
    /// In words.
    pub text: String,
}

impl TlsError {
    /// A failure of a kind.
    pub fn new(fault: TlsFault, text: impl Into<String>) -> TlsError {
        TlsError { fault, text: text.into() }
    }
}
