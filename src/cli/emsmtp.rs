//! emsmtp: SMTP, submission, LMTP and on-demand relay.

use super::emsend::Mode;
use super::{Ended, RootOption, server};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Conn, TlsSource, peer_of_stdin, run_stdio, stdin_is_network};
use crate::fsx;
use crate::policy::{Connections, plaintext_allowed};
use crate::proto::smtp::{Config, Context, Extensions, Help, Kind, Limits, Manners, Names, SmtpSession};
use crate::rules::dollars::translate;
use crate::sasl::Mechanism;
use crate::serve::{Gate, LoginDesk, SmtpDesk, SmtpService};
use crate::settings::{Cf, Root};
use crate::status::Exit;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

/// Largest file of texts for HELP, in octets.
const HELP_LIMIT: u64 = 1 << 20;

const SERVICES: [&str; 5] = ["smtp", "submission", "submissions", "lmtp", "odmr"];

/// SMTP, submission and LMTP server
///
/// Without --listen and without inherited sockets, standard input is the connection (inetd).
#[derive(Debug, clap::Parser)]
#[command(name = "emsmtp", version)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    /// Listen here: [SERVICE=]ADDRESS:PORT; SERVICE is smtp, submission, submissions, lmtp or odmr
    #[arg(long, value_name = "[SERVICE=]ADDRESS:PORT")]
    listen: Vec<String>,
    /// The service of standard input: smtp, submission, submissions, lmtp or odmr
    #[arg(long, value_name = "SERVICE", default_value = "smtp", value_parser = SERVICES)]
    service: String,
    /// Check the settings and exit
    #[arg(long)]
    check: bool,
}

/// The program.
pub fn main() -> ExitCode {
    let handed_over = super::emsend::handed_over(|mode, root| match mode {
        Mode::Smtp => session_on_stdin(root),
        _ => super::emsend::not_mine(),
    });
    handed_over.unwrap_or_else(|| super::run("emsmtp", run))
}

fn run(arguments: Arguments) -> super::Done {
    let call = server::Call {
        program: "emsmtp",
        services: &SERVICES,
        root: arguments.root.root(),
        listen: &arguments.listen,
        service: &arguments.service,
        is_check: arguments.check,
    };
    let open = |site: Arc<Site>, tls| {
        let gate = Arc::new(crate::cli::gate(site.clone()).vouching());
        House::new(site, gate, false, tls)
    };
    server::run(call, open, House::connection)
}

/// Runs one session of `sendmail -bs` on standard input: a local program's pipe, or under inetd a connection.
fn session_on_stdin(root: &Root) -> super::Done {
    super::become_em(root)?;
    let site = Arc::new(super::site("emsend", root)?);
    if !super::emsend::may_write_queue(&site.root) {
        let text = "-bs: you may only leave messages in the drop folder; name recipients, or use -t";
        return Err(Ended::new(Exit::NoPerm, text));
    }
    let gate = Arc::new(crate::cli::gate(site.clone()));
    let house = House::new(site, gate, !stdin_is_network(), None);
    run_stdio(house.connection("smtp", peer_of_stdin()))?;
    Ok(Exit::Ok)
}

/// What all connections share.
struct House {
    site: Arc<Site>,
    gate: Arc<Gate>,
    /// Where other servers connect.
    tls: Option<Arc<TlsSource>>,
    /// Where users do: they may have certificates.
    tls_of_users: Option<Arc<TlsSource>>,
    configs: Vec<(&'static str, Arc<Config>, Arc<SmtpDesk>)>,
}

impl House {
    fn new(site: Arc<Site>, gate: Arc<Gate>, is_local: bool, tls: Option<Arc<TlsSource>>) -> House {
        let logins = Arc::new(LoginDesk::new(site.clone()));
        let smtp = &site.settings.smtp;
        let connections = Connections::new(smtp.connections, smtp.connections_per_client);
        let mechanisms = site.mechanisms();
        let help = site.settings.cf.as_ref().and_then(|cf| help(cf, &gate));
        let make = |name: &'static str| {
            let kind = match name {
                "smtp" => Kind::Smtp,
                "lmtp" => Kind::Lmtp,
                "odmr" => Kind::Odmr,
                _ => Kind::Submission,
            };
            let mechanisms = if kind == Kind::Lmtp { Vec::new() } else { mechanisms.clone() };
            let mut config = config(&site, kind, mechanisms, tls.is_some() && kind != Kind::Lmtp);
            config.manners.help = help.clone();
            let (logins, connections) = (logins.clone(), connections.clone());
            let desk = SmtpDesk { gate: gate.clone(), logins, connections, kind, is_local };
            (name, Arc::new(config), Arc::new(desk))
        };
        let configs = SERVICES.map(make).into();
        let servers = tls.as_ref().map(|tls| tls.without_client_certificates());
        House { site, gate, tls: servers, tls_of_users: tls, configs }
    }

    /// The greeting that a sendmail.cf wants; empty for our own.
    fn greeting(&self) -> String {
        let text = self.site.settings.cf.as_ref().map(|cf| &cf.greeting[..]).filter(|text| !text.is_empty());
        text.map(|text| self.gate.router.expanded(text, Timestamp::now())).unwrap_or_default()
    }

    fn connection(&self, service: &str, peer: server::Peer) -> Conn<SmtpSession, SmtpService> {
        // Names were checked against SERVICES; the first stands in for none.
        let index = self.configs.iter().position(|(name, ..)| *name == service).unwrap_or(0);
        let (_, config, desk) = &self.configs[index];
        let (ip, port) = peer.map_or((None, 0), |(ip, port)| (Some(ip.to_canonical()), port));
        let context = Context {
            ip,
            port,
            plaintext_allowed: plaintext_allowed(self.site.settings.auth.plaintext_without_tls, ip),
            expects_proxy: ip.is_some_and(|ip| self.site.settings.smtp.proxy_from.iter().any(|n| n.holds(ip))),
            implicit_tls: service == "submissions",
            has_secrets: desk.logins.has_secrets(),
            nonce: desk.logins.nonce(),
            time: Timestamp::now(),
            greeting: self.greeting(),
        };
        let session = SmtpSession::new(config.clone(), context, Instant::now());
        let patience = self.site.settings.smtp.timeout_command;
        let is_for_users = matches!(config.kind, Kind::Submission | Kind::Odmr);
        let tls = if is_for_users { &self.tls_of_users } else { &self.tls };
        Conn::new(session, SmtpService::new(desk.clone()), tls.clone(), patience)
    }
}

/// The texts of HELP, where a sendmail.cf names a file with them.
fn help(cf: &Cf, gate: &Gate) -> Option<Help> {
    const PROGRAM: &str = concat!("ExpressMail ", env!("CARGO_PKG_VERSION"));
    if cf.help_file.as_os_str().is_empty() {
        return None;
    }
    let Ok(text) = fsx::read(&cf.help_file, HELP_LIMIT) else { return Some(Help::missing(PROGRAM)) };
    let now = Timestamp::now();
    // Tabs are columns.
    let expanded = |text: &str| {
        let columns =
            text.split('\t').map(|column| gate.router.expanded(&translate(column.as_bytes(), false).text, now));
        columns.collect::<Vec<_>>().join("\t")
    };
    Some(Help::read(&String::from_utf8_lossy(&text), PROGRAM, &expanded))
}

/// What a sendmail.cf wants to be done otherwise.
fn manners(cf: &Cf) -> Manners {
    Manners {
        names: if cf.any_helo { Names::Any } else { Names::Hosts },
        hello_before_mail: cf.is_private("needmailhelo"),
        // What is switched off is so for everybody.
        hello_before_vrfy: cf.is_private("needvrfyhelo") && !cf.is_private("novrfy"),
        hello_before_expn: cf.is_private("needexpnhelo") && !cf.is_private("noexpn"),
        etrn: Some(!cf.is_private("noetrn")),
        hides_dsn: !cf.gives_receipts(),
        softens: cf.soft_bounce,
        bad_recipients: cf.bad_recipients,
        slow_recipients: cf.slow_recipients,
        old_sizes: true,
        help: None,
    }
}

/// What all sessions of a port are told.
pub(super) fn config(site: &Site, kind: Kind, mechanisms: Vec<Mechanism>, starttls: bool) -> Config {
    let smtp = &site.settings.smtp;
    // Who fetches mail brings none, and speaks for nobody else.
    let takes_mail = kind != Kind::Odmr;
    Config {
        host: site.hostname(),
        kind,
        limits: Limits {
            message_size: smtp.message_size.0,
            recipients: smtp.recipients,
            errors: smtp.errors,
            commands: smtp.commands,
            attempts: site.settings.auth.attempts,
            timeout_command: smtp.timeout_command,
            timeout_data: smtp.timeout_data,
        },
        mechanisms,
        starttls,
        etrn: if takes_mail { smtp.etrn.clone() } else { Vec::new() },
        xclient_from: if takes_mail { smtp.xclient_from.clone() } else { Vec::new() },
        extensions: Extensions {
            deliver_by: smtp.deliver_by.then_some(smtp.deliver_by_least),
            future_release: Some(smtp.future_release).filter(|span| !span.is_zero()),
            priority: smtp.priorities.then(|| smtp.priorities_policy.clone()),
            requires_tls: smtp.require_tls,
        },
        manners: site.settings.cf.as_ref().map(manners).unwrap_or_default(),
    }
}
