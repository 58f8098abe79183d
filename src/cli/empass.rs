//! empass: password changes as poppassd.

use super::{RootOption, server};
use crate::drive::{Conn, Port, peer_of_stdin, run_stdio};
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::poppass::{PATIENCE, PoppassSession};
use crate::serve::{LoginDesk, PoppassService};
use crate::status::Exit;
use std::net::IpAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Most connections at once, and most from one client: a change of password is rare and short.
const CONNECTIONS: (u32, u32) = (500, 20);

/// Password-change server (poppassd)
///
/// Without --listen and without inherited sockets, standard input is the connection (inetd).
#[derive(Debug, clap::Parser)]
#[command(name = "empass", version)]
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
    super::run("empass", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    let sockets = server::sockets(&arguments.listen, &["poppass"], "poppass", arguments.check)?;
    super::become_em(&root)?;
    let site = Arc::new(super::site("empass", &root)?);
    if arguments.check {
        return Ok(Exit::Ok);
    }
    let logins = Arc::new(LoginDesk::new(site.clone()));
    let connections = Connections::new(CONNECTIONS.0, CONNECTIONS.1);
    let connection = move |ip: Option<IpAddr>| {
        let ip = ip.map(|ip| ip.to_canonical());
        let may = plaintext_allowed(site.settings.auth.plaintext_without_tls, ip);
        let session = PoppassSession::new(&site.hostname(), ip, may, Instant::now());
        Conn::new(session, PoppassService::new(logins.clone(), connections.clone()), None, PATIENCE)
    };
    if sockets.is_empty() {
        run_stdio(connection(peer_of_stdin().map(|(ip, _)| ip)))?;
        return Ok(Exit::Ok);
    }
    let connection = Arc::new(connection);
    let ports = sockets.into_iter().map(|server::Listening { socket, .. }| {
        let connection = connection.clone();
        Port { socket, make: Box::new(move |peer| connection(Some(peer.ip()))) }
    });
    server::serve(ports.collect())
}
