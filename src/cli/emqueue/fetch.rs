//! `emqueue etrn` and `emqueue atrn`: asking another host for the mail that waits there for us.
//!
//! ETRN (RFC 1985) has the host start its queue for our domains: it then connects to us as it always does. ATRN (RFC 2645) brings
//! the mail over the very connection that we have opened, for hosts that nobody can connect to: after a login the sides change, and the
//! server's machine and stores of every SMTP session answer here.

use super::super::{Ended, emsmtp, say};
use crate::addr::normal_domain;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{Outgoing, serve_over};
use crate::envelope::Mailer;
use crate::log;
use crate::nexthop::Login;
use crate::policy::Connections;
use crate::proto::smtp::{Context, Kind, SmtpSession};
use crate::queue::Call;
use crate::serve::{LoginDesk, SmtpDesk, SmtpService};
use crate::status::{Enhanced, Exit, Failure, Reply};
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

/// `HOST[:PORT]`, an IPv6 address in brackets; without a port it is the usual one.
fn place(text: &str, port: u16) -> Result<(String, u16), Ended> {
    let wrong = || Ended::new(Exit::Usage, format!("{text:?} is no place: write HOST, HOST:PORT or [ADDRESS]:PORT"));
    let (host, rest) = match text.strip_prefix('[').and_then(|inner| inner.split_once(']')) {
        Some((host, rest)) => (host, rest),
        None => text.find(':').filter(|at| !text[at + 1..].contains(':')).map_or((text, ""), |at| text.split_at(at)),
    };
    let port = match rest.strip_prefix(':') {
        Some(digits) => digits.parse().map_err(|_| wrong())?,
        None if rest.is_empty() => port,
        None => return Err(wrong()),
    };
    if host.is_empty() { Err(wrong()) } else { Ok((host.to_string(), port)) }
}

/// Calls a host, as mail to it would go; logs in when there is a user with his password.
fn call(site: &Arc<Site>, (host, port): &(String, u16), login: Option<(&str, &str)>) -> Result<Call, Ended> {
    let (tls, hops) = super::network(site);
    let plan = hops.plan(Mailer::Smtp, &format!("[{host}]:{port}"), Timestamp::now()).map_err(told)?;
    let mut plan = crate::nexthop::Plan::clone(&plan);
    for hop in &mut plan.hops {
        // Nobody between this host and itself can listen.
        let without_tls = hop.addresses.iter().all(|address| address.ip().to_canonical().is_loopback());
        let (user, password) = login.unzip();
        hop.login = user.zip(password).map(|(user, password)| {
            Arc::new(Login { user: user.to_string(), password: password.to_string(), without_tls })
        });
    }
    Call::begin(&Outgoing::new(tls), &plan, &site.hostname(), &site.settings.queue).map_err(told)
}

/// A failure of the connection; that of a login is not cured by time.
fn told(failure: Failure) -> Ended {
    let exit = if failure.enhanced == Enhanced(4, 7, 0) { Exit::NoPerm } else { Exit::TempFail };
    Ended::new(exit, clean(&failure.public))
}

/// What the exit code says about a reply that is no success.
fn refusal(host: &str, what: &str, reply: &Reply) -> Ended {
    let exit = match reply.code {
        // RFC 1985 §5.3 has 459 for "not allowed".
        459 | 530 | 535 | 538 | 550 => Exit::NoPerm,
        450 if reply.enhanced.is_some_and(|e| e.1 == 7) => Exit::NoPerm,
        400..500 => Exit::TempFail,
        _ => Exit::Protocol,
    };
    Ended::new(exit, format!("{host}: {what}: {}", clean(&reply.to_string())))
}

/// A peer's words on a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// `emqueue etrn`: without domains for all of ours. The worst answer decides the exit code.
pub(super) fn etrn(site: &Arc<Site>, place: &str, named: &[String]) -> super::super::Done {
    let place = self::place(place, 25)?;
    let domains = if named.is_empty() { site.settings.server.domains.clone() } else { domains(named)? };
    let mut talk = call(site, &place, None)?;
    if !talk.offers("ETRN") {
        talk.end();
        return Err(Ended::new(Exit::NoPerm, format!("{}: does not offer ETRN to us", place.0)));
    }
    let mut failed = None;
    for domain in domains {
        let reply = talk.ask(&format!("ETRN {domain}")).map_err(told)?;
        say(&format!("{domain}: {}\n", clean(&reply.to_string())))?;
        log::event("etrn").field("host", &place.0).field("domain", &domain).field("reply", &reply).write();
        if !(250..=253).contains(&reply.code) {
            failed.get_or_insert(refusal(&place.0, &domain, &reply));
        }
    }
    talk.end();
    failed.map_or(Ok(Exit::Ok), Err)
}

/// `emqueue atrn`: fetches what waits for these domains, or for all that the account may have.
pub(super) fn atrn(site: Arc<Site>, place: &str, user: &str, file: &Path, named: &[String]) -> super::super::Done {
    let place = self::place(place, ODMR)?;
    let password = password(file)?;
    let domains = domains(named)?;
    if let Some(sub) = domains.iter().find(|domain| domain.starts_with('@')) {
        return Err(Ended::new(Exit::Usage, format!("{sub:?}: ATRN names whole domains, one by one")));
    }
    let gate = Arc::new(crate::cli::gate(site.clone()));
    let logins = Arc::new(LoginDesk::new(site.clone()));
    let mut talk = call(&site, &place, Some((user, &password)))?;
    let reply = talk.ask(format!("ATRN {}", domains.join(",")).trim_end()).map_err(told)?;
    match reply.code {
        250 => {}
        // RFC 2645 §5.2.1: there is no mail.
        453 => {
            talk.end();
            say("nothing waits\n")?;
            return Ok(Exit::Ok);
        }
        _ => return Err(refusal(&place.0, "ATRN", &reply)),
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
    log::event("atrn-fetched").field("host", &place.0).field("user", user).field("messages", taken).write();
    say(&format!("{taken} {} fetched\n", if taken == 1 { "message" } else { "messages" }))?;
    ended.map(|()| Exit::Ok).map_err(|e| Ended::new(Exit::TempFail, format!("{}: {e}", place.0)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        for (text, host, port) in [
            ("mx.test", "mx.test", 25),
            ("mx.test:2525", "mx.test", 2525),
            ("192.0.2.1:26", "192.0.2.1", 26),
            ("[2001:db8::1]", "2001:db8::1", 25),
            ("[2001:db8::1]:26", "2001:db8::1", 26),
            ("2001:db8::1", "2001:db8::1", 25),
        ] {
            assert_eq!(place(text, 25).unwrap(), (host.to_string(), port), "{text}");
        }
        for bad in ["", ":25", "mx.test:", "mx.test:x", "[::1]x", "[]:25", "mx.test:99999"] {
            assert!(place(bad, 25).is_err(), "{bad}");
        }
    }
}
