//! What all servers share: where their connections come from.

use super::Ended;
use crate::config::Site;
use crate::drive::{
    Conn, EventLoop, Port, Signals, TlsSource, ensure_certificate, inherited, listen, log_panics, peer_of_stdin,
    run_stdio,
};
use crate::log;
use crate::proto::Session;
use crate::serve::Service;
use crate::settings::Root;
use crate::status::Exit;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Threads for what blocks. Syncs wait together on the disk, so more of them than processors pay.
const WORKERS: usize = 32;

/// A listening socket with the service it is for.
pub(super) struct Listening {
    pub(super) service: String,
    pub(super) socket: std::net::TcpListener,
}

/// The services whose connections begin with TLS.
const TLS_FIRST: [&str; 3] = ["submissions", "pop3s", "imaps"];

/// Address and port of a peer; `None` where there is no network.
pub(super) type Peer = Option<(IpAddr, u16)>;

/// How a server was called.
pub(super) struct Call<'a> {
    /// Its name.
    pub(super) program: &'static str,
    /// The services it knows; the first is meant where none is named.
    pub(super) services: &'static [&'static str],
    /// The installation.
    pub(super) root: Root,
    /// `--listen`.
    pub(super) listen: &'a [String],
    /// The service of standard input.
    pub(super) service: &'a str,
    /// Only look whether it could run.
    pub(super) is_check: bool,
}

/// Runs a mail server: on its sockets, or on standard input where there are none.
///
/// `open` makes what all connections share, as user em; `connect` makes a connection for a service and a peer.
pub(super) fn run<H, S, V>(
    call: Call<'_>,
    open: impl FnOnce(Arc<Site>, Option<Arc<TlsSource>>) -> H,
    connect: fn(&H, &str, Peer) -> Conn<S, V>,
) -> super::Done
where
    H: Send + Sync + 'static,
    S: Session + Send + 'static,
    S::Ask: Send,
    V: Service<Ask = S::Ask, Answer = S::Answer> + 'static,
{
    let sockets = sockets(call.listen, call.services, call.services[0], call.is_check)?;
    super::become_em(&call.root)?;
    let site = Arc::new(super::site(call.program, &call.root)?);
    if call.is_check {
        return Ok(Exit::Ok);
    }
    let needs_tls = TLS_FIRST.contains(&call.service) || sockets.iter().any(|s| TLS_FIRST.contains(&&*s.service));
    let tls = tls_source(&site, needs_tls, !sockets.is_empty())?;
    let house = open(site, tls);
    if sockets.is_empty() {
        run_stdio(connect(&house, call.service, peer_of_stdin()))?;
        return Ok(Exit::Ok);
    }
    let house = Arc::new(house);
    let ports = sockets.into_iter().map(|Listening { service, socket }| {
        let house = house.clone();
        Port { socket, make: Box::new(move |peer| connect(&house, &service, Some((peer.ip(), peer.port())))) }
    });
    serve(ports.collect())
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
fn tls_source(site: &Site, needs: bool, is_server: bool) -> Result<Option<Arc<TlsSource>>, Ended> {
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
