//! empop: POP3.

use super::{RootOption, server};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Conn, TlsSource};
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::pop3::{Config, Context, Pop3Session};
use crate::serve::{LoginDesk, Pop3Desk, Pop3Service};
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
    let call = server::Call {
        program: "empop",
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
    desk: Arc<Pop3Desk>,
}

impl House {
    fn new(site: Arc<Site>, tls: Option<Arc<TlsSource>>) -> House {
        let pop3 = &site.settings.pop3;
        let auth = &site.settings.auth;
        let config = Config {
            host: site.hostname(),
            mechanisms: site.mechanisms(),
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
