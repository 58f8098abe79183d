//! Copying an account of another IMAP server into one of ours, or those of a list.

mod list;

use super::account;
use super::owner;
use super::password::{prompt, read_password};
use crate::addr::Address;
use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{ClientTls, Outgoing};
use crate::log;
use crate::migrate::{MigrateError, Progress, Protection, Summary, Wanted, migrate as copy};
use crate::nexthop::{Net, Security, Trust, Wire};
use crate::settings::Size;
use crate::status::Exit;
use crate::store::Realm;
use crate::users::{self, Users};
use std::io::IsTerminal;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// Wait for a connection.
const CONNECT: Duration = Duration::from_secs(30);
/// The ports of IMAP, and of IMAP with TLS from the start.
const PORTS: (u16, u16) = (143, 993);

/// How the connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TlsChoice {
    /// TLS from the start
    Implicit,
    /// STARTTLS
    Starttls,
    /// None: the password goes in clear
    None,
}

#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// Our account that the mail is copied into: user@domain
    #[arg(required_unless_present = "list", conflicts_with = "list")]
    address: Option<String>,
    /// The other server; port 993 by default, 143 without TLS from the start
    #[arg(long, value_name = "HOST[:PORT]")]
    imap: String,
    /// The name to log in with there
    #[arg(long, required_unless_present = "list", conflicts_with = "list")]
    user: Option<String>,
    /// Copy all accounts of a sheet (CSV) with the columns address, user and password, those of the other server
    #[arg(long, value_name = "FILE.csv", conflicts_with = "password_stdin")]
    list: Option<PathBuf>,
    /// So many accounts of a list at once
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
    /// Read the password from standard input, up to a line end
    #[arg(long)]
    password_stdin: bool,
    /// How the connection is protected; by default starttls at port 143, implicit at all others
    #[arg(long, value_enum)]
    tls: Option<TlsChoice>,
    /// Take any certificate
    #[arg(long)]
    any_certificate: bool,
    /// Leave out this mailbox (by its name here) and all below it; may be repeated
    #[arg(long, value_name = "MAILBOX")]
    exclude: Vec<String>,
    /// Leave out larger messages, and name them
    #[arg(long, value_name = "SIZE", default_value = "1G")]
    message_size: Size,
}

/// The other server: its name, its port, how to reach it.
struct Server {
    host: String,
    port: u16,
    protection: Protection,
}

impl Migrate {
    /// Reads the list, while we may read what the administrator may.
    pub(super) fn read(&self) -> Result<Vec<u8>, Ended> {
        self.list.as_deref().map_or(Ok(Vec::new()), list::read)
    }
}

pub(super) fn migrate(site: &Site, users: &Users, wanted: &Migrate, list: &[u8]) -> Done {
    let server = server(wanted)?;
    let (Some(address), Some(user)) = (&wanted.address, &wanted.user) else {
        return list::migrate(site, users, wanted, &server, list);
    };
    let address = account(address, site, users)?.address;
    let password = match wanted.password_stdin || !std::io::stdin().is_terminal() {
        true => read_password(wanted.password_stdin)?,
        false => prompt("Password there: ")?,
    };
    let bar = bar();
    let mut watch = |progress: Progress<'_>| match progress {
        Progress::Mailbox(name, new, _) => {
            bar.inc_length(new);
            bar.set_message(name.to_string());
        }
        Progress::Copied(messages, _) => bar.inc(messages),
    };
    let there = Login { user: user.clone(), password: password.into() };
    let result = copy_account(site, &server, wanted, &address, &there, &mut watch);
    bar.finish_and_clear();
    report(&result?)
}

/// How to log in there.
struct Login {
    user: String,
    password: Zeroizing<String>,
}

/// Copies one account. What an earlier run has copied is known by its log.
fn copy_account(
    site: &Site,
    server: &Server,
    wanted: &Migrate,
    address: &Address,
    there: &Login,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, Ended> {
    let realm = Realm::Account(address.clone());
    let tree = owner::open(site, &realm)?;
    // Without the port: the same account by another way is the same account.
    let name = users::directory_name(&format!("{}@{}", there.user, server.host.to_ascii_lowercase()));
    let state = tree.home().join("migrate").join(name);
    let request = Wanted {
        user: there.user.clone(),
        password: there.password.clone(),
        exclude: wanted.exclude.clone(),
        message_size: wanted.message_size.0,
        now: Timestamp::now(),
    };
    let wire = connect(site, server)?;
    let summary =
        copy(wire, &server.protection, &request, &tree, &state, watch).map_err(|e| ended(&e, &server.host))?;
    log::event("migrated")
        .field("user", address)
        .field("from", &server.host)
        .field("copied", summary.copied)
        .field("known", summary.known)
        .write();
    Ok(summary)
}

fn report(summary: &Summary) -> Done {
    say(&to_text(summary))?;
    Ok(if summary.left_out.is_empty() { Exit::Ok } else { Exit::DataErr })
}

fn to_text(summary: &Summary) -> String {
    let Summary { mailboxes, copied, octets, known, flagged, left_out } = summary;
    let mut text = format!("{copied} messages ({octets} octets) copied in {mailboxes} mailboxes; {known} were here");
    if *flagged > 0 {
        text.push_str(&format!(", {flagged} of them got other flags"));
    }
    text.push('\n');
    for line in left_out {
        let line: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        text.push_str(&format!("left out: {line}\n"));
    }
    text
}

fn server(wanted: &Migrate) -> Result<Server, Ended> {
    let wrong =
        || Ended::new(Exit::Usage, format!("--imap {:?}: write HOST, HOST:PORT or [ADDRESS]:PORT", wanted.imap));
    let (host, port) = match wanted.imap.strip_prefix('[') {
        Some(rest) => {
            let (host, behind) = rest.split_once(']').ok_or_else(wrong)?;
            (host, behind.strip_prefix(':'))
        }
        None => match wanted.imap.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (wanted.imap.as_str(), None),
        },
    };
    let port = port.map(|port| port.parse::<u16>().map_err(|_| wrong())).transpose()?;
    if host.is_empty() || port == Some(0) {
        return Err(wrong());
    }
    let tls = wanted.tls.unwrap_or(if port == Some(PORTS.0) { TlsChoice::Starttls } else { TlsChoice::Implicit });
    let port = port.unwrap_or(if tls == TlsChoice::Implicit { PORTS.1 } else { PORTS.0 });
    let trust = if wanted.any_certificate { Trust::Encrypt } else { Trust::Names(vec![host.to_ascii_lowercase()]) };
    let protection = match tls {
        TlsChoice::None => Protection::None,
        tls => Protection::Tls(Security {
            trust,
            implicit_tls: tls == TlsChoice::Implicit,
            server_name: host.to_ascii_lowercase(),
            lenient: false,
        }),
    };
    Ok(Server { host: host.to_string(), port, protection })
}

fn connect(site: &Site, server: &Server) -> Result<Box<dyn Wire>, Ended> {
    let failed = |text: String| Ended::new(Exit::NoHost, format!("{}: {text}", server.host));
    let addresses = (server.host.as_str(), server.port).to_socket_addrs().map_err(|e| failed(e.to_string()))?;
    let net = Outgoing::new(Arc::new(ClientTls::of(site)));
    let mut last = "it has no address".to_string();
    for address in addresses {
        match net.connect(address, None, CONNECT) {
            Ok(wire) => return Ok(wire),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(Ended::new(Exit::TempFail, format!("{}: {last}", server.host)))
}

fn ended(error: &MigrateError, host: &str) -> Ended {
    let again = "; run the same command again: it goes on where it was";
    let (exit, hint) = match error {
        MigrateError::Net(_) => (Exit::TempFail, again),
        MigrateError::Login(_) => (Exit::NoPerm, ""),
        MigrateError::Tls(_) | MigrateError::Server(_) | MigrateError::Refused(_) => (Exit::Unavailable, ""),
        MigrateError::Store(error) => return super::of_store(error),
        MigrateError::File(e) if e.kind() == std::io::ErrorKind::InvalidData => (Exit::DataErr, ""),
        MigrateError::File(e) if e.kind() == std::io::ErrorKind::WouldBlock => (Exit::TempFail, ""),
        MigrateError::File(_) => (Exit::IoErr, again),
    };
    let text: String = error.to_string().chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    Ended::new(exit, format!("{host}: {text}{hint}"))
}

/// A bar on a terminal; nothing elsewhere.
fn bar() -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(0);
    if let Ok(style) = indicatif::ProgressStyle::with_template("{bar:30} {pos}/{len} {eta} {wide_msg}") {
        bar.set_style(style);
    }
    bar
}
