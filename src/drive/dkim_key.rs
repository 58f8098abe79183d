//! The key that messages of our own are signed with: made, read, and as the record that tells others.
//!
//! A PEM file (PKCS #8, or PKCS #1 for RSA) that nobody but its owner may read. RFC 6376 §3.6.1, RFC 8463 §4.

use crate::config::Site;
use crate::fsx;
use crate::msg::dkim::{Algorithm, Key};
use encodify::base64;
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::SigningKey;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file of a key, in octets.
const SIZE_LIMIT: u64 = 64 << 10;
/// Octets of a public Ed25519 key, which stand at the end of its usual form.
const ED25519: usize = 32;

/// A private key.
#[derive(Debug)]
pub struct DkimKey {
    key: Arc<dyn SigningKey>,
    algorithm: Algorithm,
}

impl DkimKey {
    /// Where a site's key lies.
    pub fn path(site: &Site) -> PathBuf {
        match site.settings.tls_reports.dkim_key.as_str() {
            "" => site.root.etc.join("tls/dkim.key"),
            path => PathBuf::from(path),
        }
    }

    /// Reads a key file; an error says what is wrong with it.
    pub fn read(path: &Path) -> Result<DkimKey, String> {
        let about = |what: &str| format!("{}: {what}", path.display());
        let bytes = fsx::read(path, SIZE_LIMIT).map_err(|e| e.to_string())?;
        let mode = std::fs::metadata(path).map_err(|e| about(&e.to_string()))?.mode();
        if mode & 0o077 != 0 {
            return Err(about("others may read it: chmod 600"));
        }
        DkimKey::of_pem(&bytes).map_err(|what| about(&what))
    }

    fn of_pem(pem: &[u8]) -> Result<DkimKey, String> {
        let der = PrivateKeyDer::from_pem_slice(pem).map_err(|e| format!("no private key in PEM: {e}"))?;
        let key = rustls::crypto::aws_lc_rs::sign::any_supported_type(&der).map_err(|e| e.to_string())?;
        let kinds =
            [(Algorithm::Rsa, SignatureScheme::RSA_PKCS1_SHA256), (Algorithm::Ed25519, SignatureScheme::ED25519)];
        let found = kinds.into_iter().find(|(_, scheme)| key.choose_scheme(&[*scheme]).is_some());
        let (algorithm, _) = found.ok_or("neither an RSA key nor an Ed25519 key")?;
        Ok(DkimKey { key, algorithm })
    }

    /// A new key in PEM.
    pub fn make(algorithm: Algorithm) -> Result<String, String> {
        let made = match algorithm {
            Algorithm::Rsa => rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048),
            Algorithm::Ed25519 => rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519),
        };
        made.map(|key| key.serialize_pem()).map_err(|e| e.to_string())
    }

    /// The text of the record at `SELECTOR._domainkey.DOMAIN`, for reports on TLS alone (RFC 8460 §3).
    pub fn record(&self) -> Result<String, String> {
        let public = self.key.public_key().ok_or("its public half can't be told")?;
        let (kind, public) = match self.algorithm {
            Algorithm::Rsa => ("rsa", &public[..]),
            Algorithm::Ed25519 => ("ed25519", &public[public.len().saturating_sub(ED25519)..]),
        };
        Ok(format!("v=DKIM1; k={kind}; s=tlsrpt; p={}", base64::STANDARD.encode(public)))
    }
}

impl Key for DkimKey {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    fn sign(&self, octets: &[u8]) -> Result<Vec<u8>, String> {
        let scheme = match self.algorithm {
            Algorithm::Rsa => SignatureScheme::RSA_PKCS1_SHA256,
            Algorithm::Ed25519 => SignatureScheme::ED25519,
        };
        let signer = self.key.choose_scheme(&[scheme]).ok_or("the key can't sign")?;
        signer.sign(octets).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_read_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        for (algorithm, head, length) in [
            (Algorithm::Rsa, "v=DKIM1; k=rsa; s=tlsrpt; p=MII", 256),
            (Algorithm::Ed25519, "v=DKIM1; k=ed25519; s=tlsrpt; p=", 64),
        ] {
            fsx::replace(&path, DkimKey::make(algorithm).unwrap().as_bytes(), 0o600).unwrap();
            let key = DkimKey::read(&path).unwrap();
            assert_eq!((key.algorithm(), key.sign(b"text").unwrap().len()), (algorithm, length));
            assert!(key.record().unwrap().starts_with(head), "{:?}", key.record());
        }
        fsx::replace(&path, DkimKey::make(Algorithm::Rsa).unwrap().as_bytes(), 0o640).unwrap();
        assert!(DkimKey::read(&path).unwrap_err().contains("others may read it"));
        let curve = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (text, wrong) in [(curve.as_str(), "neither an RSA key"), ("x", "no private key")] {
            fsx::replace(&path, text.as_bytes(), 0o600).unwrap();
            assert!(DkimKey::read(&path).unwrap_err().contains(wrong), "{text}");
        }
    }
}
