//! `emqueue tls-report`: sends the reports of the days that are over to the domains that want them.

use super::super::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{ClientTls, DkimKey, Dns, ReportPost};
use crate::envelope::{Handling, Notify, TlsWish};
use crate::fsx;
use crate::msg::dkim::{self, Signer};
use crate::nexthop::Resolver;
use crate::nexthop::ledger::{self, Session};
use crate::nexthop::resolver::{Data, DnsError, Kind};
use crate::nexthop::tls_report::{Destination, Reporter, message, packed, report, wanted_by};
use crate::serve::{Gate, OwnMessage};
use crate::spool::Id;
use crate::status::{Exit, Failure};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for a domain's record.
const PATIENCE: Duration = Duration::from_secs(10);
/// Days after which what could not be sent is forgotten.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);

/// Sends, or with `shows` prints the reports and changes nothing.
pub(super) fn send(site: &Arc<Site>, shows: bool) -> Done {
    let now = Timestamp::now();
    let dir = site.root.spool.join("tlsrpt");
    let gate = crate::cli::gate(site.clone());
    let dns: Arc<dyn Resolver> = Arc::new(Dns::of(site));
    let key = signing_key(site)?;
    let web = ReportPost::new(Arc::new(ClientTls::of(site)), dns.clone());
    for day in ledger::days(&dir, &ledger::day_of(now))? {
        let mut domains: BTreeMap<String, Vec<(Session, u64)>> = BTreeMap::new();
        for (session, count) in ledger::read(&dir, &day)? {
            domains.entry(session.policy.domain.clone()).or_default().push((session, count));
        }
        let mut waits = false;
        for (domain, sessions) in domains {
            let done = dir.join(format!("{day}.{domain}.sent"));
            if done.exists() {
                continue;
            }
            match one(&gate, (&*dns, &web), key.as_ref(), (&day, &domain), &sessions, now, shows) {
                Ok(()) if shows => {}
                // So that what follows and fails does not send this one again.
                Ok(()) => fsx::replace(&done, b"", 0o600)?,
                Err(failure) => {
                    crate::log::event("tls-report-failed").field("domain", &domain).field("reason", failure).write();
                    waits = true;
                }
            }
        }
        let is_old = day < ledger::day_of(Timestamp(now.0 - micros(KEPT)));
        if !shows && (!waits || is_old) {
            forget(&dir, &day)?;
        }
    }
    Ok(Exit::Ok)
}

/// The key that reports by mail are signed with; `None` when they are to go unsigned.
fn signing_key(site: &Site) -> Result<Option<DkimKey>, Ended> {
    if site.settings.tls_reports.dkim_selector.is_empty() {
        return Ok(None);
    }
    DkimKey::read(&DkimKey::path(site))
        .map(Some)
        .map_err(|e| Ended::new(Exit::Config, format!("tls_reports.dkim_key: {e}")))
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}

/// Removes a day and the notes of what was sent of it.
fn forget(dir: &Path, day: &str) -> Result<(), Ended> {
    let prefix = format!("{day}.");
    for entry in std::fs::read_dir(dir)?.flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(&prefix)) {
            fsx::remove_existing(&entry.path())?;
        }
    }
    Ok(fsx::remove_existing(&dir.join(day))?)
}

/// The report on one domain, to everybody whom it names. It is sent when one of them has it: nobody gets it twice for the others' sake.
fn one(
    gate: &Gate,
    (dns, web): (&dyn Resolver, &ReportPost),
    key: Option<&DkimKey>,
    (day, domain): (&str, &str),
    sessions: &[(Session, u64)],
    now: Timestamp,
    shows: bool,
) -> Result<(), Failure> {
    let wanted = match dns.one(&format!("_smtp._tls.{domain}"), Kind::Txt, PATIENCE) {
        Ok(answer) => wanted_by(answer.data.iter().filter_map(|data| match data {
            Data::Txt(text) => Some(text.as_slice()),
            _ => None,
        })),
        Err(DnsError::NoName { .. } | DnsError::NoData { .. }) => None,
        Err(DnsError::Trouble(reason)) => {
            return Err(Failure::temporary((4, 3), format!("DNS does not answer about {domain}"), reason));
        }
    };
    let own = gate.site.default_domain();
    let mut result = Ok(());
    let mut is_sent = false;
    for to in wanted.unwrap_or_default() {
        let id = Id::new(now);
        let word = id.to_string();
        let from = Reporter {
            organization: &gate.host,
            domain: &own,
            contact: &format!("postmaster@{own}"),
            day,
            id: &word,
            date: &now.rfc5322(),
        };
        let value = report(&from, sessions);
        if shows {
            say(&format!("{to}: {value}\n")).map_err(|e| Failure::temporary((3, 0), "standard output", e.text))?;
            continue;
        }
        let sent = match &to {
            Destination::Mail(to) => {
                let mut text = message(&from, domain, to, &value).map_err(|e| Failure::local(&e))?;
                if let Some(key) = key {
                    let selector = &gate.site.settings.tls_reports.dkim_selector;
                    let signer = Signer { domain: &own, selector, time: now.seconds() };
                    let made = dkim::signature(text.as_bytes(), &signer, key);
                    let refused = |e: String| Failure::temporary((3, 0), "The report could not be signed", e);
                    text.insert_str(0, &made.map_err(refused)?);
                }
                // RFC 8460 §5.3: what is wrong with TLS there must not keep the report from coming.
                let handling = Handling { tls: TlsWish::NotRequired, ..Handling::default() };
                let own = OwnMessage { id: &id, to, text: text.as_bytes(), notify: Notify::NEVER, handling };
                gate.send_own(own, now)
            }
            Destination::Web(place) => {
                let packed = packed(&value).map_err(|e| Failure::local(&e))?;
                web.post(place, &packed)
                    .map_err(|reason| Failure::temporary((4, 0), "The web server took no report", reason))
            }
        };
        match sent {
            Ok(()) => {
                is_sent = true;
                crate::log::event("tls-report")
                    .id(&id)
                    .field("domain", domain)
                    .field("to", &to)
                    .field("day", day)
                    .write();
            }
            Err(failure) => {
                crate::log::event("tls-report-failed")
                    .field("domain", domain)
                    .field("to", &to)
                    .field("reason", &failure)
                    .write();
                result = Err(failure);
            }
        }
    }
    if is_sent { Ok(()) } else { result }
}
