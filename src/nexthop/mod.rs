//! Where a message for another host goes at this moment: which hosts, which addresses, how each is secured.
//!
//! `queue` asks once an attempt ([`NextHops::plan`]), with the mailer and the host text that `route` gives, and tries the hops in
//! their order. DNS comes through [`Resolver`], which `drive` implements.
//! Invariants: a plan has at least one hop and each hop an address or a socket; no more than [`HOPS`] hosts and [`ADDRESSES`] addresses beside
//! the fallback's; making it takes no longer than `dns.time`. Answers are kept by their TTL ([`cache`]), plans are not: hosts of
//! equal preference share the load by each plan's own order.
//! Trust: DNS is hostile. What is unclear is temporary; only a clear "no such name", a null MX, and a loop are permanent.
//! How a host is secured: etc/tls-policies, else DANE, else MTA-STS, else `relay.tls` ([`secure`]).
//! RFC 5321 §5, RFC 7505, RFC 7672, RFC 8461.

pub mod cache;
mod dane;
pub mod exchange;
mod gather;
mod host;
pub mod ledger;
mod login;
mod mx;
mod own;
pub mod resolver;
mod secure;
mod security;
mod sts;
mod sts_store;
pub mod tls_report;
mod wire;

pub use host::{Host, HostText, Target};
pub use login::Login;
pub use own::Own;
pub use resolver::{NoDns, Resolver};
pub use security::{Security, TlsError, TlsFault, Trust};
pub use sts::{Mode, StsPolicy};
pub use sts_store::{Fetch, POLICY_LIMIT, StsStore};
pub use wire::{Net, NetError, Wire};

use crate::clock::Timestamp;
use crate::config::Site;
use crate::envelope::{Mailer, TlsWish};
use crate::status::Failure;
use crate::tables::{TlsPolicies, Watched};
use gather::Gather;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most hosts tried at one attempt.
pub const HOPS: usize = 5;
/// Most addresses tried at one attempt.
pub const ADDRESSES: usize = 10;
/// Most hosts of the fallback.
const FALLBACK_HOPS: usize = 2;

/// What to try, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The destination: what concurrency limits and the log go by.
    pub key: String,
    /// How to speak.
    pub mailer: Mailer,
    /// At least one.
    pub hops: Vec<Hop>,
}

/// One host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// Its name, or its address in brackets.
    pub name: String,
    /// At least one, unless it has a socket.
    pub addresses: Vec<SocketAddr>,
    /// It is a server on this machine, reached by this path and by no address.
    pub socket: Option<PathBuf>,
    /// What must hold before mail goes there.
    pub security: Security,
    /// Who we are to it; the smart host alone has that.
    pub login: Option<Arc<Login>>,
    /// The policy of its domain that it is under, for reports; none for hosts that the administrator names.
    pub policy: Option<Arc<ledger::Applied>>,
}

/// Gives a random number below its argument.
pub type Draw = dyn Fn(usize) -> usize + Send + Sync;

/// Makes plans; shared by all threads of a process.
pub struct NextHops {
    site: Arc<Site>,
    resolver: Arc<dyn Resolver>,
    own: Own,
    draw: Box<Draw>,
    policies: Watched<TlsPolicies>,
    sts: Option<StsStore>,
}

impl NextHops {
    /// Plans for a site, which is known to itself by `own`.
    pub fn new(site: Arc<Site>, resolver: Arc<dyn Resolver>, own: Own) -> NextHops {
        let policies = Watched::new(site.root.etc.join("tls-policies"));
        NextHops { site, resolver, own, draw: Box::new(random), policies, sts: None }
    }

    /// What answers questions about names.
    pub fn resolver(&self) -> &dyn Resolver {
        &*self.resolver
    }

    /// With MTA-STS, where the settings want it.
    pub fn with_sts(mut self, fetch: Arc<dyn Fetch>) -> NextHops {
        let dir = self.site.root.spool.join("sts");
        self.sts = self.site.settings.relay.mta_sts.then(|| StsStore::new(&dir, fetch));
        self
    }

    /// The same with another source of chance, for tests.
    pub fn with_draw(mut self, draw: Box<Draw>) -> NextHops {
        self.draw = draw;
        self
    }

    /// The hosts behind a route's host text.
    ///
    /// Failures: 5.1.2 no such domain, 5.1.10 it takes no mail, 5.4.4 no host of it has an address, 5.4.6 mail would come back to
    /// us, 4.4.3 DNS does not answer, 4.7.5 no host can be trusted as a policy wants, 4.3.5 a mistake in our settings or tables.
    pub fn plan(&self, mailer: Mailer, host_text: &str, now: Timestamp) -> Result<Arc<Plan>, Failure> {
        self.plan_for(mailer, host_text, TlsWish::Usual, now)
    }

    /// The same for a message whose sender has a wish (RFC 8689 §4.2). Where TLS is required: hosts alone whose names nobody could
    /// have forged, and whose certificates are judged; 5.7.10 when there is none. Where it is said not to be: no policy keeps mail back.
    pub fn plan_for(
        &self,
        mailer: Mailer,
        host_text: &str,
        wish: TlsWish,
        now: Timestamp,
    ) -> Result<Arc<Plan>, Failure> {
        let text = HostText::parse(host_text, mailer).map_err(|e| broken(format!("route {host_text:?}: {e}")))?;
        let relay = &self.site.settings.relay;
        let smart = self.read_setting("relay.smart_host", &relay.smart_host)?;
        let key = text.key();
        let (text, login) = match smart {
            Some(smart) if smart.key() == key && mailer == Mailer::Smtp => (smart, self.login()?),
            _ => (text, None),
        };
        let gather = Gather::new(self, now, wish);
        let result = gather.hosts(&text, HOPS, login);
        let has_domain = text.hosts.iter().any(|host| matches!(host.target, Target::Domain(_)));
        let fallback = match mailer == Mailer::Smtp && has_domain {
            true => self.read_setting("relay.fallback", &relay.fallback)?.filter(|fallback| fallback.key() != key),
            false => None,
        };
        let mut hops = match result {
            Err(failure) if fallback.is_none() || !failure.is_temporary() => return Err(failure),
            Err(failure) => {
                crate::log::event("fallback").field("host", &key).field("reason", &failure).write();
                Vec::new()
            }
            Ok(hops) => hops,
        };
        if let Some(fallback) = fallback {
            match gather.hosts(&fallback, FALLBACK_HOPS, None) {
                Ok(more) => hops.extend(more),
                Err(failure) if hops.is_empty() => return Err(failure),
                Err(_) => {}
            }
        }
        Ok(Arc::new(Plan { key, mailer, hops }))
    }

    fn read_setting(&self, name: &str, text: &str) -> Result<Option<HostText>, Failure> {
        if text.is_empty() {
            return Ok(None);
        }
        HostText::parse(text, Mailer::Smtp).map(Some).map_err(|e| broken(format!("{name}: {e}")))
    }

    fn login(&self) -> Result<Option<Arc<Login>>, Failure> {
        let relay = &self.site.settings.relay;
        if relay.smart_host_user.is_empty() {
            return Ok(None);
        }
        let file = Path::new(&relay.smart_host_password_file);
        let login = Login::read(&relay.smart_host_user, file, relay.login_without_tls);
        login.map(|login| Some(Arc::new(login))).map_err(|e| broken(format!("relay.smart_host_password_file: {e}")))
    }
}

/// What is wrong with the settings of `[relay]`, in words, for `emconf check`.
pub fn mistakes(site: &Site) -> Vec<String> {
    let relay = &site.settings.relay;
    let mut mistakes = Vec::new();
    for (name, text) in [("relay.smart_host", &relay.smart_host), ("relay.fallback", &relay.fallback)] {
        if !text.is_empty() {
            mistakes.extend(HostText::parse(text, Mailer::Smtp).err().map(|e| format!("{name}: {e}")));
        }
    }
    if !relay.smart_host_user.is_empty() {
        let file = Path::new(&relay.smart_host_password_file);
        let login = Login::read(&relay.smart_host_user, file, relay.login_without_tls);
        mistakes.extend(login.err().map(|e| format!("relay.smart_host_password_file: {e}")));
    }
    if relay.certificate.is_empty() != relay.key.is_empty() {
        mistakes.push("relay.certificate, relay.key: one without the other".to_string());
    }
    mistakes
}

/// What the administrator must mend; mail waits for it.
fn broken(cause: String) -> Failure {
    Failure::temporary((3, 5), "Local configuration error, try again later", cause)
}

/// The system's chance; without it the order of records is kept, which loses no mail.
fn random(below: usize) -> usize {
    let mut bytes = [0; 8];
    let _ = getrandom::fill(&mut bytes);
    (u64::from_le_bytes(bytes) % below.max(1) as u64) as usize
}

#[cfg(test)]
mod tests;
