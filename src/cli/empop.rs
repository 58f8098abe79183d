//! empop: POP3.

use super::{RootOption, server};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Conn, Port, TlsSource, peer_of_stdin, run_stdio};
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::pop3::{Config, Context, Pop3Session};
use crate::sasl::Mechanism;
use crate::serve::{LoginDesk, Pop3Desk, Pop3Service};
use crate::status::Exit;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

const SERVICES: [&str; 2] = ["pop3", "pop3s"];

/// POP3 server
///
/// Without --listen and without inherited sockets, standard input is the connection (inetd).
#[derive(Debug, clap::Parser)]
#[command(name = "empop", version)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    /// Listen here: [SERVICE=]ADDRESS:PORT; SERVICE is pop3 or pop3s
    #[arg(long, value_name = "[SERVICE=]ADDRESS:PORT")]
    listen: Vec<String>,
    /// The service of standard input: pop3 or pop3s
    #[arg(long, value_name = "SERVICE", default_value = "pop3", value_parser = SERVICES)]
    service: String,
    /// Check the settings and exit
    #[arg(long)]
    check: bool,
}

/// The program.
pub fn main() -> ExitCode {
    super::run("empop", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    let sockets = server::sockets(&arguments.listen, &SERVICES, "pop3", arguments.check)?;
    super::become_em(&root)?;
    let site = Arc::new(super::site("empop", &root)?);
    if arguments.check {
        return Ok(Exit::Ok);
    }
    let needs = arguments.service == "pop3s" || sockets.iter().any(|s| s.service == "pop3s");
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
    desk: Arc<Pop3Desk>,
}

impl House {
    fn new(site: Arc<Site>, tls: Option<Arc<TlsSource>>) -> House {
        let pop3 = &site.settings.pop3;
        let auth = &site.settings.auth;
        let config = Config {
            host: site.hostname(),
            mechanisms: auth.mechanisms.iter().filter_map(|name| Mechanism::parse(name)).collect(),
            stls: tls.is_some(),
            apop: pop3.apop,
            login_delay: pop3.login_delay.as_secs(),
            attempts: auth.attempts,
            idle: pop3.idle,
        };
        let desk = Pop3Desk {
            site: site.clone(),
            logins: Arc::new(LoginDesk::new(site.clone())),
            connections: Connections::new(pop3.connections, pop3.connections_per_client),
        };
        House { site, tls, config: Arc::new(config), desk: Arc::new(desk) }
    }

    fn connection(&self, service: &str, ip: Option<IpAddr>) -> Conn<Pop3Session, Pop3Service> {
        let ip = ip.map(|ip| ip.to_canonical());
        let logins = &self.desk.logins;
        let stamp = logins.stamp(Timestamp::now());
        let context = Context {
            ip,
            plaintext_allowed: plaintext_allowed(self.site.settings.auth.plaintext_without_tls, ip),
            implicit_tls: service == "pop3s",
            nonce: self.desk.logins.nonce(),
            stamp: stamp.clone(),
        };
        let session = Pop3Session::new(self.config.clone(), context, Instant::now());
        let service = Pop3Service::new(self.desk.clone(), &stamp);
        Conn::new(session, service, self.tls.clone(), self.site.settings.pop3.idle)
    }
}
