//! What all servers share: where their connections come from.

use super::Ended;
use crate::drive::{EventLoop, Port, Signals, TlsSource, ensure_certificate, inherited, listen, log_panics};
use crate::log;
use crate::proto::Session;
use crate::serve::Service;
use crate::status::Exit;
use std::net::SocketAddr;
use std::sync::Arc;

/// Threads for what blocks. Syncs wait together on the disk, so more of them than processors pay.
const WORKERS: usize = 32;

/// A listening socket with the service it is for.
pub(super) struct Listening {
    pub(super) service: String,
    pub(super) socket: std::net::TcpListener,
}

/// The sockets from `--listen`, or those inherited; none means standard input is the connection.
///
/// Called before root is given up: ports below 1024 need it. When the program only checks (`is_check`), addresses are read and
/// nothing is bound.
pub(super) fn sockets(
    options: &[String],
    services: &[&str],
    default: &str,
    is_check: bool,
) -> Result<Vec<Listening>, Ended> {
    log_panics();
    let mut found = Vec::new();
    for option in options {
        let (service, address) = option.split_once('=').unwrap_or((default, option));
        if !services.contains(&service) {
            let text = format!("--listen {option}: the service is one of {}", services.join(", "));
            return Err(Ended::new(Exit::Usage, text));
        }
        let address: SocketAddr = address
            .parse()
            .map_err(|_| Ended::new(Exit::Usage, format!("--listen {option}: write {default}=127.0.0.1:PORT")))?;
        if is_check {
            continue;
        }
        let socket = listen(address).map_err(|e| Ended::new(Exit::Unavailable, e.to_string()))?;
        found.push(Listening { service: service.to_string(), socket });
    }
    if !found.is_empty() || is_check {
        return Ok(found);
    }
    for one in inherited()? {
        let service = if services.contains(&one.name.as_str()) { one.name } else { default.to_string() };
        found.push(Listening { service, socket: one.socket });
    }
    Ok(found)
}

/// Runs the event loop over these ports.
pub(super) fn serve<S, V>(ports: Vec<Port<S, V>>) -> Result<Exit, Ended>
where
    S: Session + Send + 'static,
    S::Ask: Send,
    V: Service<Ask = S::Ask, Answer = S::Answer> + 'static,
{
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    raise_file_limit();
    let signals = Signals::catch(&[SIGTERM, SIGINT, SIGHUP])?;
    EventLoop::new(ports, WORKERS, signals)?.run()?;
    Ok(Exit::Ok)
}

/// The certificate, or a clear end when a service can't do without.
///
/// Where none is configured and nobody made the self-signed one yet (no `emd` under inetd), it is made here, if we may.
/// A server that stays reads it now (`is_server`): one that can't be read is said in the log and TLS is not offered, because an
/// offer that fails at each handshake turns mail away. Under inetd it is read by those who speak TLS.
pub(super) fn tls_source(
    site: &crate::config::Site,
    needs: bool,
    is_server: bool,
) -> Result<Option<Arc<TlsSource>>, Ended> {
    let missing = "TLS needs a certificate: set tls.certificate and tls.key, or let emd make one";
    if TlsSource::of(site).is_none()
        && let Err(reason) = ensure_certificate(site)
        && needs
    {
        log::event("certificate-failed").field("reason", reason).error().write();
    }
    let source = match TlsSource::of(site) {
        Some(source) if is_server => source.check().map(|()| source),
        Some(source) => Ok(source),
        None => Err(missing.to_string()),
    };
    match source {
        Ok(source) => Ok(Some(source)),
        Err(reason) if needs => Err(Ended::new(Exit::Config, reason)),
        Err(reason) => {
            if is_server || !site.settings.tls.certificate.is_empty() {
                log::event("tls-unavailable").field("reason", reason).error().write();
            }
            Ok(None)
        }
    }
}

/// As many connections as the system allows us.
fn raise_file_limit() {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
}
