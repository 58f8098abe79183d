//! emimap: IMAP.

use super::{RootOption, server};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Conn, TlsSource};
use crate::policy::{Connections, Sessions, plaintext_allowed};
use crate::proto::imap::{Config, Context, ImapSession, Limits};
use crate::serve::{ImapDesk, ImapService, LoginDesk};
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
    let call = server::Call {
        program: "emimap",
        services: &SERVICES,
        root: arguments.root.root(),
        listen: &arguments.listen,
        service: &arguments.service,
        is_check: arguments.check,
    };
    server::run(call, House::new, |house, service, peer| house.connection(service, peer.map(|(ip, _)| ip)))
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
            sessions: Sessions::new(imap.connections_per_user),
            registry: Arc::new(Registry::new(store)),
        };
        let config = Config {
            host: site.hostname(),
            capabilities: desk.capabilities(),
            mechanisms: site.mechanisms(),
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
