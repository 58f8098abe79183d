//! `emqueue etrn` and `emqueue atrn`: asking another host for the mail that waits there for us.
//!
//! ETRN (RFC 1985) has the host start its queue for our domains: it then connects to us as it always does. ATRN (RFC 2645) brings
//! the mail over the very connection that we have opened, for hosts that nobody can connect to: after a login the sides change, and the
//! server's machine and stores of every SMTP session answer here.

use super::super::{Ended, emsmtp, say};
use super::talk::{Place, Talk, clean, refusal};
use crate::addr::normal_domain;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Outgoing, serve_over};
use crate::log;
use crate::policy::Connections;
use crate::proto::smtp::{Context, Kind, SmtpSession};
use crate::serve::{Gate, LoginDesk, SmtpDesk, SmtpService};
use crate::status::Exit;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// The port of on-demand mail relay.
const ODMR: u16 = 366;
/// Longest file with a password, in octets.
const PASSWORD_LIMIT: u64 = 4096;

fn domains(named: &[String]) -> Result<Vec<String>, Ended> {
    let read = |name: &String| {
        // RFC 1985 §5.3: @ is for a domain with all below it, # for a queue of the host's own.
        let (sign, domain) = name.split_at(usize::from(name.starts_with('@')));
        let domain = normal_domain(domain).map_err(|e| Ended::new(Exit::Usage, format!("{name:?}: {e}")))?;
        Ok(format!("{sign}{domain}"))
    };
    named.iter().map(read).collect()
}

fn begin(site: &Site, place: &Place) -> Result<Talk, Ended> {
    let queue = &site.settings.queue;
    Talk::begin(&Outgoing::default(), place, &site.hostname(), (queue.timeout_connect, queue.timeout_command))
}

/// `emqueue etrn`: without domains for all of ours. The worst answer decides the exit code.
pub(super) fn etrn(site: &Site, place: &str, named: &[String]) -> super::super::Done {
    let place = Place::parse(place, 25)?;
    let domains = if named.is_empty() { site.settings.server.domains.clone() } else { domains(named)? };
    let mut talk = begin(site, &place)?;
    if talk.offers("ETRN").is_none() {
        talk.end();
        return Err(Ended::new(Exit::NoPerm, format!("{}: does not offer ETRN to us", place.host)));
    }
    let mut failed = None;
    for domain in domains {
        let reply = talk.ask(&format!("ETRN {domain}"))?;
        say(&format!("{domain}: {}\n", clean(&reply.to_string())))?;
        log::event("etrn").field("host", &place.host).field("domain", &domain).field("reply", &reply).write();
        if !(250..=253).contains(&reply.code) {
            failed.get_or_insert(refusal(&place.host, &domain, &reply));
        }
    }
    talk.end();
    failed.map_or(Ok(Exit::Ok), Err)
}

/// `emqueue atrn`: fetches what waits for these domains, or for all that the account may have.
pub(super) fn atrn(site: Arc<Site>, place: &str, user: &str, file: &Path, named: &[String]) -> super::super::Done {
    let place = Place::parse(place, ODMR)?;
    let password = password(file)?;
    let domains = domains(named)?;
    if let Some(sub) = domains.iter().find(|domain| domain.starts_with('@')) {
        return Err(Ended::new(Exit::Usage, format!("{sub:?}: ATRN names whole domains, one by one")));
    }
    let gate = Arc::new(Gate::new(site.clone(), super::super::emlocal_path()));
    let logins = Arc::new(LoginDesk::new(site.clone()));
    let mut talk = begin(&site, &place)?;
    talk.log_in(user, &password, &logins.nonce())?;
    let reply = talk.ask(format!("ATRN {}", domains.join(",")).trim_end())?;
    match reply.code {
        250 => {}
        // RFC 2645 §5.2.1: there is no mail.
        453 => {
            talk.end();
            say("nothing waits\n")?;
            return Ok(Exit::Ok);
        }
        _ => return Err(refusal(&place.host, "ATRN", &reply)),
    }
    let peer = talk.peer();
    let context = Context {
        ip: peer.map(|peer| peer.ip().to_canonical()),
        port: peer.map_or(0, |peer| peer.port()),
        time: Timestamp::now(),
        ..Context::default()
    };
    // TLS is on, or there is none: neither that nor a login is offered to the host that we have called.
    let config = Arc::new(emsmtp::config(&site, Kind::Smtp, Vec::new(), false));
    let session = SmtpSession::new(config, context, Instant::now());
    let connections = Connections::new(1, 1);
    let desk = SmtpDesk { gate, logins, connections, kind: Kind::Smtp, is_local: false };
    let (mut wire, held) = talk.into_wire();
    let (taken, ended) = serve_over(&mut *wire, held, session, SmtpService::new(Arc::new(desk)));
    log::event("atrn-fetched").field("host", &place.host).field("user", user).field("messages", taken).write();
    say(&format!("{taken} {} fetched\n", if taken == 1 { "message" } else { "messages" }))?;
    ended.map(|()| Exit::Ok).map_err(|e| Ended::new(Exit::TempFail, format!("{}: {e}", place.host)))
}

/// The first line of a file that nobody else may read.
fn password(file: &Path) -> Result<String, Ended> {
    use std::os::unix::fs::MetadataExt;
    let wrong = |exit, text: String| Ended::new(exit, format!("{}: {text}", file.display()));
    let opened = crate::fsx::open_read(file).map_err(|e| wrong(Exit::NoInput, e.to_string()))?;
    if opened.metadata()?.mode() & 0o077 != 0 {
        return Err(wrong(Exit::NoPerm, "others may read the password: chmod 600".to_string()));
    }
    let bytes = crate::fsx::read_opened(opened, file, PASSWORD_LIMIT)?;
    let text = String::from_utf8(bytes).map_err(|_| wrong(Exit::DataErr, "not UTF-8 text".to_string()))?;
    let line = text.lines().next().unwrap_or_default();
    if line.is_empty() {
        return Err(wrong(Exit::DataErr, "the first line is empty".to_string()));
    }
    Ok(line.to_string())
}
