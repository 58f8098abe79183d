//! emsieve: ManageSieve.

use super::{RootOption, server};
use crate::config::Site;
use crate::drive::{Conn, TlsSource};
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::managesieve::{Config, Context, ManageSieveSession};
use crate::sasl::Mechanism;
use crate::serve::{LoginDesk, ManageSieveDesk, ManageSieveService};
use crate::sieve;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const SERVICES: [&str; 1] = ["managesieve"];

/// How long a client may take nothing of what is sent.
const PATIENCE: Duration = Duration::from_secs(120);

/// ManageSieve server
///
/// Without --listen and without inherited sockets, standard input is the connection (inetd).
#[derive(Debug, clap::Parser)]
#[command(name = "emsieve", version)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    /// Listen here: ADDRESS:PORT
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<String>,
    /// Check the settings and exit
    #[arg(long)]
    check: bool,
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emsieve", run)
}

fn run(arguments: Arguments) -> super::Done {
    let call = server::Call {
        program: "emsieve",
        services: &SERVICES,
        root: arguments.root.root(),
        listen: &arguments.listen,
        service: SERVICES[0],
        is_check: arguments.check,
    };
    server::run(call, House::new, |house, _, peer| house.connection(peer.map(|(ip, _)| ip)))
}

struct House {
    site: Arc<Site>,
    tls: Option<Arc<TlsSource>>,
    config: Arc<Config>,
    desk: Arc<ManageSieveDesk>,
}

impl House {
    fn new(site: Arc<Site>, tls: Option<Arc<TlsSource>>) -> House {
        let (own, auth) = (&site.settings.managesieve, &site.settings.auth);
        let (limits, quota) = (super::sieve_limits(&site), super::script_quota(&site));
        let config = Config {
            host: site.hostname(),
            mechanisms: auth.mechanisms.iter().filter_map(|name| Mechanism::parse(name)).collect(),
            starttls: tls.is_some(),
            extensions: sieve::EXTENSIONS.join(" "),
            notify: if sieve::EXTENSIONS.contains(&"enotify") { "mailto".to_string() } else { String::new() },
            redirects: u32::try_from(limits.redirects).unwrap_or(u32::MAX),
            script_size: quota.size,
            attempts: auth.attempts,
            login: own.login,
            autologout: own.autologout,
        };
        let desk = ManageSieveDesk {
            site: site.clone(),
            logins: Arc::new(LoginDesk::new(site.clone())),
            connections: Connections::new(own.connections, own.connections_per_client),
            limits,
            quota,
            turn: Mutex::default(),
        };
        House { site, tls, config: Arc::new(config), desk: Arc::new(desk) }
    }

    fn connection(&self, ip: Option<IpAddr>) -> Conn<ManageSieveSession, ManageSieveService> {
        let ip = ip.map(|ip| ip.to_canonical());
        let settings = &self.site.settings;
        let context = Context {
            ip,
            plaintext_allowed: plaintext_allowed(settings.auth.plaintext_without_tls, ip),
            expects_proxy: ip.is_some_and(|ip| settings.managesieve.proxy_from.iter().any(|n| n.holds(ip))),
            has_secrets: self.desk.logins.has_secrets(),
            nonce: self.desk.logins.nonce(),
        };
        let session = ManageSieveSession::new(self.config.clone(), context, Instant::now());
        Conn::new(session, ManageSieveService::new(self.desk.clone()), self.tls.clone(), PATIENCE)
    }
}
