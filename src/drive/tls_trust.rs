//! TLS as a client: which certificate of another host is the right one.
//!
//! Called by `net` with what `nexthop` demands ([`Trust`]). A certificate is judged here alone, during the handshake; the connection
//! exists only when the judgement was yes.
//! Trust: the peer is hostile. A resumed session would not be judged again, so only connections that trust anybody keep sessions.
//! RFC 5280, RFC 6125 §6.4, RFC 6698, RFC 7671 §5, RFC 7672 §3.

use crate::config::Site;
use crate::fsx;
use crate::nexthop::resolver::Tlsa;
use crate::nexthop::{Security, TlsError, TlsFault, Trust};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};
use sha2::{Digest, Sha256, Sha512};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use subtle::ConstantTimeEq;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Largest PEM file read.
const PEM_LIMIT: u64 = 4 << 20;

/// Certificate and key that we show.
type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Makes the client's side of TLS; shared by all connections of a process.
#[derive(Debug)]
pub struct ClientTls {
    provider: Arc<CryptoProvider>,
    authorities: Option<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    roots: OnceLock<Result<Arc<RootCertStore>, String>>,
    /// For those who trust anybody: one configuration, so that sessions can be resumed.
    anybody: OnceLock<Arc<ClientConfig>>,
}

impl Default for ClientTls {
    fn default() -> ClientTls {
        ClientTls {
            provider: Arc::new(rustls::crypto::aws_lc_rs::default_provider()),
            authorities: None,
            identity: None,
            roots: OnceLock::new(),
            anybody: OnceLock::new(),
        }
    }
}

impl ClientTls {
    /// As the site's settings say.
    pub fn of(site: &Site) -> ClientTls {
        let relay = &site.settings.relay;
        let path = |text: &String| Some(PathBuf::from(text)).filter(|_| !text.is_empty());
        ClientTls {
            authorities: path(&relay.ca_file),
            identity: path(&relay.certificate).zip(path(&relay.key)),
            ..ClientTls::default()
        }
    }

    /// A new connection to a peer, and the judge who tells afterwards why a handshake failed.
    pub(super) fn connect(
        &self,
        security: &Security,
        peer: IpAddr,
    ) -> Result<(ClientConnection, Option<Arc<Judge>>), TlsError> {
        let other = |e: &dyn std::fmt::Display| TlsError::new(TlsFault::Other, e.to_string());
        let name = ServerName::try_from(security.server_name.clone()).unwrap_or_else(|_| ServerName::from(peer));
        let (config, judge) = match &security.trust {
            Trust::Clear | Trust::May | Trust::Encrypt => {
                (self.anybody.get_or_init(|| self.config(Arc::new(Judge::anybody(&self.provider)), true)).clone(), None)
            }
            trust => {
                let roots = match trust {
                    Trust::Names(_) => Some(self.roots().map_err(|e| other(&e))?),
                    _ => None,
                };
                let (provider, trust) = (self.provider.clone(), trust.clone());
                let judge = Arc::new(Judge { trust, provider, roots, said: Mutex::default() });
                (self.config(judge.clone(), false), Some(judge))
            }
        };
        Ok((ClientConnection::new(config, name).map_err(|e| other(&e))?, judge))
    }

    /// Reads the files of the settings; the error names what is wrong with them.
    pub fn check(&self) -> Result<(), String> {
        if self.authorities.is_some() {
            self.read_roots()?;
        }
        self.identity.as_ref().map_or(Ok(()), |(certificate, key)| read_identity(certificate, key).map(|_| ()))
    }

    fn config(&self, judge: Arc<Judge>, resumes: bool) -> Arc<ClientConfig> {
        let builder = ClientConfig::builder_with_provider(self.provider.clone())
            .with_safe_default_protocol_versions()
            // The default versions suit the default provider: this can't fail.
            .expect("rustls knows its own defaults")
            .dangerous()
            .with_custom_certificate_verifier(judge);
        let mut config = match self.read_identity() {
            Some((chain, key)) => builder.clone().with_client_auth_cert(chain, key).unwrap_or_else(|e| {
                crate::log::event("client-certificate-unusable").field("reason", e).error().write();
                builder.with_no_client_auth()
            }),
            None => builder.with_no_client_auth(),
        };
        if !resumes {
            config.resumption = Resumption::disabled();
        }
        Arc::new(config)
    }

    /// What is wrong with it does not keep mail from going out: few hosts ask.
    fn read_identity(&self) -> Option<Identity> {
        let (certificate, key) = self.identity.as_ref()?;
        read_identity(certificate, key)
            .inspect_err(|e| crate::log::event("client-certificate-unusable").field("reason", e).error().write())
            .ok()
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, String> {
        self.roots.get_or_init(|| self.read_roots().map(Arc::new)).clone()
    }

    fn read_roots(&self) -> Result<RootCertStore, String> {
        let mut roots = RootCertStore::empty();
        let Some(path) = &self.authorities else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            return if roots.is_empty() { Err("the system has no trusted authorities".to_string()) } else { Ok(roots) };
        };
        for certificate in read_certificates(path)? {
            roots.add(certificate).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        Ok(roots)
    }
}

fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = fsx::read(path, PEM_LIMIT).map_err(|e| e.to_string())?;
    let certificates: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|e| format!("{}: {e}", path.display()))?;
    if certificates.is_empty() { Err(format!("{}: no certificate in it", path.display())) } else { Ok(certificates) }
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, String> {
    let pem = fsx::read(key, PEM_LIMIT).map_err(|e| e.to_string())?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| format!("{}: {e}", key.display()))?;
    Ok((read_certificates(certificate)?, secret))
}

/// Judges the certificate of one handshake.
#[derive(Debug)]
pub(super) struct Judge {
    trust: Trust,
    provider: Arc<CryptoProvider>,
    /// For [`Trust::Names`].
    roots: Option<Arc<RootCertStore>>,
    said: Mutex<Option<TlsError>>,
}

impl Judge {
    /// Opportunistic TLS has no name to check a certificate against (RFC 7435); signatures are checked all the same.
    fn anybody(provider: &Arc<CryptoProvider>) -> Judge {
        Judge { trust: Trust::Encrypt, provider: provider.clone(), roots: None, said: Mutex::default() }
    }

    /// Why it said no, if it did.
    pub(super) fn verdict(&self) -> Option<TlsError> {
        self.said.lock().ok()?.take()
    }

    fn judge(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        match &self.trust {
            Trust::Clear | Trust::May | Trust::Encrypt => Ok(()),
            Trust::Names(names) => {
                let roots = self.roots.as_ref().ok_or_else(|| TlsError::new(TlsFault::Other, "no authorities"))?;
                self.vouched(certificate, chain, roots, now)?;
                has_name(certificate, names)
            }
            Trust::Fingerprints(known) => {
                let own = [Some(digest(certificate)), public_key(certificate).map(|key| digest(&key))];
                let is_known = own.iter().flatten().any(|d| known.iter().any(|k| bool::from(k.ct_eq(d))));
                let text = "the certificate has none of the fingerprints that we know";
                if is_known { Ok(()) } else { Err(TlsError::new(TlsFault::Mismatch, text)) }
            }
            Trust::Dane { records, names } => self.dane(certificate, chain, records, names, now),
        }
    }

    /// RFC 7672 §3.1: any record that matches is enough.
    fn dane(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        records: &[Tlsa],
        names: &[String],
        now: UnixTime,
    ) -> Result<(), TlsError> {
        // RFC 7671 §5.1: DANE-EE says all; names and dates in the certificate do not count.
        if records.iter().any(|record| record.usage == 3 && matches(record, certificate)) {
            return Ok(());
        }
        let mut last = TlsError::new(TlsFault::Mismatch, "the certificate matches no TLSA record");
        let anchors = records.iter().filter(|record| record.usage == 2);
        for record in anchors {
            // RFC 7671 §5.2: the anchor is in the chain that the host sends, or whole in the record.
            let whole = (record.selector, record.matching) == (0, 0);
            let in_record = whole.then(|| CertificateDer::from(record.data.clone()));
            let anchor = chain.iter().find(|issuer| matches(record, issuer)).cloned().or(in_record);
            let Some(anchor) = anchor else { continue };
            let mut roots = RootCertStore::empty();
            if roots.add(anchor.into_owned()).is_err() {
                continue;
            }
            match self.vouched(certificate, chain, &roots, now).and_then(|()| has_name(certificate, names)) {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn vouched(
        &self,
        certificate: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        roots: &RootCertStore,
        now: UnixTime,
    ) -> Result<(), TlsError> {
        let parsed = ParsedCertificate::try_from(certificate).map_err(|e| named(&e))?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, roots, chain, now, algorithms).map_err(|e| named(&e))
    }
}

/// True when a TLSA record is about this certificate (RFC 6698 §2.1).
fn matches(record: &Tlsa, certificate: &[u8]) -> bool {
    let key;
    let selected = match record.selector {
        0 => certificate,
        1 => match public_key(certificate) {
            Some(found) => {
                key = found;
                key.as_slice()
            }
            None => return false,
        },
        _ => return false,
    };
    match record.matching {
        0 => record.data == selected,
        1 => record.data == Sha256::digest(selected).as_slice(),
        2 => record.data == Sha512::digest(selected).as_slice(),
        _ => false,
    }
}

pub(super) fn digest(octets: &[u8]) -> [u8; 32] {
    Sha256::digest(octets).into()
}

/// The SubjectPublicKeyInfo of a certificate, as it stands in it.
pub(super) fn public_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.tbs_certificate.subject_pki.raw.to_vec())
}

/// RFC 6125 §6.4; a name with a dot before it is every name below.
fn has_name(certificate: &CertificateDer<'_>, names: &[String]) -> Result<(), TlsError> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|e| named(&e))?;
    let is_exact =
        |name: &String| ServerName::try_from(name.as_str()).is_ok_and(|n| verify_server_name(&parsed, &n).is_ok());
    let below: Vec<&String> = names.iter().filter(|name| name.starts_with('.')).collect();
    if names.iter().any(is_exact)
        || !below.is_empty() && alternative_names(certificate).iter().any(|own| is_below(own, &below))
    {
        return Ok(());
    }
    Err(TlsError::new(TlsFault::NameMismatch, format!("the certificate is not for {}", names.join(", "))))
}

fn is_below(own: &str, suffixes: &[&String]) -> bool {
    suffixes.iter().any(|suffix| own.len() > suffix.len() && own.ends_with(suffix.as_str()))
}

/// The DNS names of a certificate's subjectAltName, in lower case.
fn alternative_names(certificate: &[u8]) -> Vec<String> {
    let Ok((_, certificate)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(extension)) = certificate.subject_alternative_name() else { return Vec::new() };
    let name = |name: &GeneralName| match name {
        GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
        _ => None,
    };
    extension.value.general_names.iter().filter_map(name).collect()
}

fn named(error: &rustls::Error) -> TlsError {
    use CertificateError::*;
    let fault = match error {
        rustls::Error::InvalidCertificate(
            Expired | ExpiredContext { .. } | NotValidYet | NotValidYetContext { .. },
        ) => TlsFault::Expired,
        rustls::Error::InvalidCertificate(NotValidForName | NotValidForNameContext { .. }) => TlsFault::NameMismatch,
        rustls::Error::InvalidCertificate(_) => TlsFault::NotTrusted,
        _ => TlsFault::Other,
    };
    TlsError::new(fault, error.to_string())
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.judge(end_entity, intermediates, now).map(|()| ServerCertVerified::assertion()).map_err(|error| {
            if let Ok(mut said) = self.said.lock() {
                *said = Some(error);
            }
            rustls::Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)
        })
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests;
