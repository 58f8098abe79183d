//! TLS: our certificate, and the configuration that connections share.
//!
//! Loaded at the first handshake: a process under inetd that never speaks TLS never pays for it.
//! Without a configured certificate a self-signed one lies in etc/tls; [`ensure_certificate`] makes it.

use crate::config::Site;
use crate::fsx;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection};
use std::path::PathBuf;
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
    config: OnceLock<Result<Arc<ServerConfig>, String>>,
}

impl TlsSource {
    /// The site's certificate; `None` when there is none.
    pub fn of(site: &Site) -> Option<Arc<TlsSource>> {
        let (certificate, key) = paths(site);
        let exists = certificate.exists() && key.exists();
        exists.then(|| {
            let minimum = site.settings.tls.minimum.clone();
            Arc::new(TlsSource { certificate, key, minimum, config: OnceLock::new() })
        })
    }

    /// The server's side of a new connection.
    pub fn accept(&self) -> Result<ServerConnection, String> {
        let config = self.config.get_or_init(|| self.load()).clone()?;
        let mut tls = ServerConnection::new(config).map_err(|e| e.to_string())?;
        // Answers are made in pieces of bounded size; rustls need not bound them again.
        tls.set_buffer_limit(None);
        Ok(tls)
    }

    /// Reads and checks certificate and key.
    pub fn check(&self) -> Result<(), String> {
        self.load().map(|_| ())
    }

    fn load(&self) -> Result<Arc<ServerConfig>, String> {
        let pem = fsx::read(&self.certificate, PEM_LIMIT).map_err(|e| e.to_string())?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<_, _>>()
            .map_err(|e| format!("{}: {e}", self.certificate.display()))?;
        let pem = fsx::read(&self.key, PEM_LIMIT).map_err(|e| e.to_string())?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|e| format!("{}: {e}", self.key.display()))?;
        let versions: &[&rustls::SupportedProtocolVersion] = match self.minimum.as_str() {
            "1.3" => &[&rustls::version::TLS13],
            _ => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .and_then(|b| b.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|e| format!("{}: {e}", self.certificate.display()))?;
        Ok(Arc::new(config))
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

/// Longest wait for another process that makes the certificate.
const MAKING: Duration = Duration::from_secs(10);

/// Makes a self-signed certificate when none is configured and none is there. True when one was made.
///
/// Several processes may try at once: one makes it, under a lock in `etc/tls`, the others find it.
pub fn ensure_certificate(site: &Site) -> Result<bool, String> {
    let (certificate, key) = paths(site);
    if !site.settings.tls.certificate.is_empty() || (certificate.exists() && key.exists()) {
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
    if let (true, None, Ok(Some(em))) =
        (nix::unistd::geteuid().is_root(), &site.root.dir, nix::unistd::User::from_name("em"))
    {
        // The services read it after they have become em.
        let owner = (Some(em.uid.as_raw()), Some(em.gid.as_raw()));
        std::os::unix::fs::chown(&key, owner.0, owner.1).map_err(|e| e.to_string())?;
    }
    Ok(true)
}
