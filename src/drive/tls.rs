//! TLS: our certificate, and the configuration that connections share.
//!
//! Loaded at the first handshake: a process under inetd that never speaks TLS never pays for it.
//! Without a configured certificate a self-signed one lies in etc/tls; [`ensure_certificate`] makes it.
//!
//! Clients are asked for a certificate where `tls.client_ca` says whom to trust. Who has none goes on without; one that is not
//! good (foreign, expired, revoked, made for something else) ends the handshake, with the alert that says why. So a connection
//! never holds a certificate that nobody has verified, and its names are proven (SASL EXTERNAL).

use super::tls_trust::{digest, public_key};
use crate::config::Site;
use crate::fsx;
use crate::sasl;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{HandshakeKind, RootCertStore, ServerConfig, ServerConnection};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// Largest PEM file read.
const PEM_LIMIT: u64 = 1 << 20;

/// Where TLS comes from.
#[derive(Debug)]
pub struct TlsSource {
    certificate: PathBuf,
    key: PathBuf,
    minimum: String,
    clients: Option<TrustedClients>,
    loaded: OnceLock<Result<Loaded, String>>,
}

/// What a handshake needs.
#[derive(Debug, Clone)]
struct Loaded {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<dyn ClientCertVerifier>>,
}

impl TlsSource {
    /// The site's certificate; `None` when there is none.
    pub fn of(site: &Site) -> Option<Arc<TlsSource>> {
        let (certificate, key) = paths(site);
        let exists = certificate.exists() && key.exists();
        exists.then(|| {
            let minimum = site.settings.tls.minimum.clone();
            Arc::new(TlsSource {
                certificate,
                key,
                minimum,
                clients: TrustedClients::of(site),
                loaded: OnceLock::new(),
            })
        })
    }

    /// The same, but clients are asked for no certificate: where other servers connect, which would show us their own.
    pub fn without_client_certificates(&self) -> Arc<TlsSource> {
        let (certificate, key, minimum) = (self.certificate.clone(), self.key.clone(), self.minimum.clone());
        Arc::new(TlsSource { certificate, key, minimum, clients: None, loaded: OnceLock::new() })
    }

    /// The server's side of a new connection.
    pub fn accept(&self) -> Result<ServerConnection, String> {
        let loaded = self.loaded.get_or_init(|| self.load()).clone()?;
        let mut tls = ServerConnection::new(loaded.config).map_err(|e| e.to_string())?;
        // Answers are made in pieces of bounded size; rustls need not bound them again.
        tls.set_buffer_limit(None);
        Ok(tls)
    }

    /// The addresses in the certificate that the client of a finished handshake has shown; none without one.
    pub fn client_names(&self, tls: &ServerConnection) -> Vec<String> {
        let Some([certificate, intermediates @ ..]) = tls.peer_certificates() else { return Vec::new() };
        let Some(Ok(Loaded { verifier: Some(verifier), .. })) = self.loaded.get() else { return Vec::new() };
        // A session that is taken up again brings the certificate of its first handshake, which may have expired since.
        let is_fresh = tls.handshake_kind().is_some_and(|kind| kind != HandshakeKind::Resumed);
        let is_good = || verifier.verify_client_cert(certificate, intermediates, UnixTime::now()).is_ok();
        match is_fresh || is_good() {
            true => sasl::certificate_addresses(certificate),
            false => Vec::new(),
        }
    }

    /// Reads and checks certificate and key, and whom clients' certificates must come from.
    pub fn check(&self) -> Result<(), String> {
        self.load().map(|_| ())
    }

    fn load(&self) -> Result<Loaded, String> {
        let chain: Vec<CertificateDer<'static>> = read_pem(&self.certificate)?;
        let pem = fsx::read(&self.key, PEM_LIMIT).map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| format!("{}: {e}", self.key.display()))?;
        let versions: &[&rustls::SupportedProtocolVersion] = match self.minimum.as_str() {
            "1.3" => &[&rustls::version::TLS13],
            _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let verifier = self.clients.as_ref().map(|clients| clients.verifier(&provider)).transpose()?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .and_then(|builder| match &verifier {
                Some(verifier) => builder.with_client_cert_verifier(verifier.clone()).with_single_cert(chain, key),
                None => builder.with_no_client_auth().with_single_cert(chain, key),
            })
            .map_err(|e| format!("{}: {e}", self.certificate.display()))?;
        Ok(Loaded { config: Arc::new(config), verifier })
    }
}

/// Whose client certificates are taken.
#[derive(Debug)]
struct TrustedClients {
    authorities: PathBuf,
    revoked: Option<PathBuf>,
}

impl TrustedClients {
    fn of(site: &Site) -> Option<TrustedClients> {
        let path = |text: &String| Some(PathBuf::from(text)).filter(|_| !text.is_empty());
        let tls = &site.settings.tls;
        Some(TrustedClients { authorities: path(&tls.client_ca)?, revoked: path(&tls.client_crl) })
    }

    fn verifier(&self, provider: &Arc<CryptoProvider>) -> Result<Arc<dyn ClientCertVerifier>, String> {
        let about = |e: &dyn std::fmt::Display| format!("{}: {e}", self.authorities.display());
        let mut roots = RootCertStore::empty();
        for certificate in read_pem::<CertificateDer<'static>>(&self.authorities)? {
            roots.add(certificate).map_err(|e| about(&e))?;
        }
        let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone());
        if let Some(path) = &self.revoked {
            builder = builder.with_crls(read_pem::<CertificateRevocationListDer<'static>>(path)?);
        }
        builder.allow_unauthenticated().build().map_err(|e| about(&e))
    }
}

/// All items of one kind in a PEM file. None at all is a mistake.
fn read_pem<T: PemObject>(path: &Path) -> Result<Vec<T>, String> {
    let pem = fsx::read(path, PEM_LIMIT).map_err(|e| e.to_string())?;
    let items: Vec<T> =
        T::pem_slice_iter(&pem).collect::<Result<_, _>>().map_err(|e| format!("{}: {e}", path.display()))?;
    match items.is_empty() {
        true => Err(format!("{}: nothing of the kind in it", path.display())),
        false => Ok(items),
    }
}

fn paths(site: &Site) -> (PathBuf, PathBuf) {
    let tls = &site.settings.tls;
    if tls.certificate.is_empty() {
        let dir = site.root.etc.join("tls");
        return (dir.join("self-signed.pem"), dir.join("self-signed.key"));
    }
    (PathBuf::from(&tls.certificate), PathBuf::from(&tls.key))
}

/// SHA-256 of our certificate's public key, in hexadecimal: it stays the same when the certificate is renewed with the same key.
pub fn certificate_key(site: &Site) -> Result<String, String> {
    let (certificate, _) = paths(site);
    let chain: Vec<CertificateDer<'static>> = read_pem(&certificate)?;
    let key = chain.first().and_then(|own| public_key(own));
    let key = key.ok_or_else(|| format!("{}: no certificate", certificate.display()))?;
    Ok(digest(&key).iter().map(|octet| format!("{octet:02x}")).collect())
}

/// Longest wait for another process that makes the certificate.
const MAKING: Duration = Duration::from_secs(10);

/// Makes a self-signed certificate when none is configured and none is there. True when one was made.
///
/// Several processes may try at once: one makes it, under a lock in `etc/tls`, the others find it.
pub fn ensure_certificate(site: &Site) -> Result<bool, String> {
    let (certificate, key) = paths(site);
    // A sendmail.cf that names no certificate offers no TLS, and its folder is not ours to write.
    if site.root.cf.is_some() || !site.settings.tls.certificate.is_empty() || (certificate.exists() && key.exists()) {
        return Ok(false);
    }
    let dir = site.root.etc.join("tls");
    fsx::create_dirs(&dir, 0o755).map_err(|e| e.to_string())?;
    let _lock = fsx::Lock::wait(&dir.join(".lock"), MAKING).map_err(|e| format!("{}: {e}", dir.display()))?;
    if certificate.exists() && key.exists() {
        return Ok(false);
    }
    let mut names = vec![site.hostname(), "localhost".to_string()];
    names.extend(site.settings.server.domains.iter().cloned());
    names.sort();
    names.dedup();
    let made = rcgen::generate_simple_self_signed(names).map_err(|e| e.to_string())?;
    let write = |path: &PathBuf, text: &str, mode| fsx::replace(path, text.as_bytes(), mode).map_err(|e| e.to_string());
    write(&key, &made.signing_key.serialize_pem(), 0o600)?;
    write(&certificate, &made.cert.pem(), 0o644)?;
    give_to_services(site, &key)?;
    Ok(true)
}

/// Gives a key to the services' user, who reads it after root is given up.
pub fn give_to_services(site: &Site, key: &Path) -> Result<(), String> {
    if let (true, false, Ok(Some(em))) =
        (nix::unistd::geteuid().is_root(), site.root.is_callers(), nix::unistd::User::from_name("em"))
    {
        let owner = (Some(em.uid.as_raw()), Some(em.gid.as_raw()));
        // A link that somebody puts in its place leads root to no other file.
        std::os::unix::fs::lchown(key, owner.0, owner.1).map_err(|e| e.to_string())?;
    }
    Ok(())
}
