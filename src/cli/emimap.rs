//! emimap: IMAP.

use super::{RootOption, server};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Conn, Port, TlsSource, peer_of_stdin, run_stdio};
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::imap::{Config, Context, ImapSession, Limits};
use crate::sasl::Mechanism;
use crate::serve::{ImapDesk, ImapService, LoginDesk};
use crate::status::Exit;
use crate::store::{LOCK_PATIENCE, Registry, StoreSettings};
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const SERVICES: [&str; 2] = ["imap", "imaps"];

/// IMAP server
///
/// Without --listen and without inherited sockets, standard input is the connection (inetd).
#[derive(Debug, clap::Parser)]
#[command(name = "emimap", version)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    /// Listen here: [SERVICE=]ADDRESS:PORT; SERVICE is imap or imaps
    #[arg(long, value_name = "[SERVICE=]ADDRESS:PORT")]
    listen: Vec<String>,
    /// The service of standard input: imap or imaps
    #[arg(long, value_name = "SERVICE", default_value = "imap", value_parser = SERVICES)]
    service: String,
    /// Check the settings and exit
    #[arg(long)]
    check: bool,
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emimap", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    let sockets = server::sockets(&arguments.listen, &SERVICES, "imap", arguments.check)?;
    super::become_em(&root)?;
    let site = Arc::new(super::site("emimap", &root)?);
    if arguments.check {
        return Ok(Exit::Ok);
    }
    let needs = arguments.service == "imaps" || sockets.iter().any(|s| s.service == "imaps");
    let house = House::new(site.clone(), server::tls_source(&site, needs, !sockets.is_empty())?);
    if sockets.is_empty() {
        let ip = peer_of_stdin().map(|(ip, _)| ip);
        run_stdio(house.connection(&arguments.service, ip))?;
        return Ok(Exit::Ok);
    }
    let house = Arc::new(house);
    let ports = sockets.into_iter().map(|server::Listening { service, socket }| {
        let house = house.clone();
        Port { socket, make: Box::new(move |peer| house.connection(&service, Some(peer.ip()))) }
    });
    server::serve(ports.collect())
}

struct House {
    site: Arc<Site>,
    tls: Option<Arc<TlsSource>>,
    config: Arc<Config>,
    desk: Arc<ImapDesk>,
}

impl House {
    fn new(site: Arc<Site>, tls: Option<Arc<TlsSource>>) -> House {
        let (imap, auth) = (&site.settings.imap, &site.settings.auth);
        let store = StoreSettings {
            clock: Timestamp::now,
            host: site.hostname(),
            keeps_trash: !imap.trash.is_zero(),
            lock_patience: LOCK_PATIENCE,
        };
        let desk = ImapDesk {
            site: site.clone(),
            logins: Arc::new(LoginDesk::new(site.clone())),
            connections: Connections::new(imap.connections, imap.connections_per_client),
            registry: Arc::new(Registry::new(store)),
        };
        let config = Config {
            host: site.hostname(),
            capabilities: desk.capabilities(),
            mechanisms: auth.mechanisms.iter().filter_map(|name| Mechanism::parse(name)).collect(),
            starttls: tls.is_some(),
            tolerates_spaces: imap.tolerates_spaces,
            id: vec![("name".to_string(), "ExpressMail".to_string())],
            limits: Limits {
                errors: imap.errors,
                attempts: auth.attempts,
                login: imap.login,
                autologout: imap.autologout,
                idle: imap.idle,
                ..Limits::default()
            },
        };
        House { site, tls, config: Arc::new(config), desk: Arc::new(desk) }
    }

    fn connection(&self, service: &str, ip: Option<IpAddr>) -> Conn<ImapSession, ImapService> {
        let ip = ip.map(|ip| ip.to_canonical());
        let logins = &self.desk.logins;
        let context = Context {
            ip,
            plaintext_allowed: plaintext_allowed(self.site.settings.auth.plaintext_without_tls, ip),
            expects_proxy: ip.is_some_and(|ip| self.site.settings.imap.proxy_from.iter().any(|n| n.holds(ip))),
            implicit_tls: service == "imaps",
            has_secrets: logins.has_secrets(),
            nonce: logins.nonce(),
        };
        let session = ImapSession::new(self.config.clone(), context, Instant::now());
        Conn::new(session, ImapService::new(self.desk.clone()), self.tls.clone(), self.config.limits.data)
    }
}
