//! Where does this address go? The one function that every way in asks: SMTP at RCPT, LMTP, emsend, bounces.
//!
//! Order for an address of ours: alias of the whole address, alias of the local part, account, the same without +detail,
//! system account, postmaster, the domain's catch-all alias. For other domains: etc/routes.
//! Each step can be shown ([`Router::explain`]).
//! Trust: addresses are hostile. A local part is looked up as it stands; `%`, `!` and quotes in it are never routed on,
//! and no address turns into a program or a file unless the administrator's table says so.

mod expand;

use crate::addr::Address;
use crate::config::{ConfigError, Site};
use crate::envelope::{Delivery, Mailer};
use crate::status::{Enhanced, Failure};
use crate::tables::{Aliases, Route, Routes, Watched};
use crate::users::Users;
use expand::Expansion;
use std::sync::Arc;

/// Finds deliveries for addresses; shared by all sessions of a process.
#[derive(Debug)]
pub struct Router {
    site: Arc<Site>,
    users: Users,
    aliases: Watched<Aliases>,
    routes: Watched<Routes>,
}

/// Why and where: one line a decision.
pub type Steps = Vec<String>;

impl Router {
    /// A router for a site.
    pub fn new(site: Arc<Site>) -> Router {
        let users = Users::of(&site);
        let aliases = Watched::new(site.root.etc.join("aliases"));
        let routes = Watched::new(site.root.etc.join("routes"));
        Router { site, users, aliases, routes }
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The accounts.
    pub fn users(&self) -> &Users {
        &self.users
    }

    /// The alias table as it is now.
    pub fn aliases(&self) -> Result<Arc<Aliases>, ConfigError> {
        self.aliases.current()
    }

    /// The deliveries of an address, or the refusal.
    pub fn resolve(&self, address: &Address) -> Result<Vec<Delivery>, Failure> {
        self.explain(address, &mut Steps::new())
    }

    /// The same, and each decision on the way.
    pub fn explain(&self, address: &Address, steps: &mut Steps) -> Result<Vec<Delivery>, Failure> {
        let aliases = self.aliases.current().map_err(broken_table)?;
        let mut expansion = Expansion::new(self, &aliases, steps);
        expansion.address(address)?;
        expansion.finish(address)
    }

    /// The mailbox (or system account) of an address, without aliases; `None` when there is none.
    pub fn mailbox_of(&self, address: &Address) -> Result<Option<Delivery>, Failure> {
        if !self.site.is_local(address.domain()) {
            return Ok(None);
        }
        let (aliases, mut steps) = (Aliases::default(), Steps::new());
        Expansion::new(self, &aliases, &mut steps).mailbox(&address.to_key())
    }

    /// The members behind an alias, for EXPN; `None` when it is no alias.
    pub fn members(&self, address: &Address) -> Result<Option<Vec<String>>, Failure> {
        let aliases = self.aliases.current().map_err(broken_table)?;
        if !self.site.is_local(address.domain()) || aliases.find(address.local()).is_none() {
            return Ok(None);
        }
        let deliveries = self.resolve(address)?;
        let shown = |d: &Delivery| match d.mailer {
            // Commands and paths are our insides.
            Mailer::Program | Mailer::File | Mailer::Error | Mailer::Discard => None,
            _ => Some(d.user.clone()),
        };
        Ok(Some(deliveries.iter().filter_map(shown).collect()))
    }

    /// True when mail for this domain is delivered here.
    pub fn is_local(&self, domain: &str) -> bool {
        self.site.is_local(domain)
    }

    /// True when mail for this domain is kept until somebody fetches it: it is taken from everybody.
    pub fn is_fetched(&self, domain: &str) -> bool {
        self.site.is_fetched(domain)
    }

    /// Where a remote domain's mail goes at this moment: mailer, host and port.
    pub fn host(&self, domain: &str) -> Result<(Mailer, String, u16), Failure> {
        if self.site.is_fetched(domain) {
            return Err(Failure::temporary((4, 0), "Waits until the domain's own host fetches it", "odmr.domains"));
        }
        let routes = self.routes.current().map_err(broken_table)?;
        match routes.find(domain) {
            Some((_, Route::Host { mailer, host, port })) => Ok((*mailer, host.clone(), *port)),
            Some((key, Route::Error(code, text))) => Err(refusal(*code, text, format!("etc/routes: {key}"))),
            None => match crate::addr::Address::new("x", domain).ok().and_then(|a| a.literal()) {
                Some(ip) => Ok((Mailer::Smtp, ip.to_string(), 25)),
                None => Err(Failure::permanent(
                    (4, 4),
                    format!("No route to {domain}"),
                    "no entry in etc/routes matches the domain",
                )),
            },
        }
    }
}

/// A refusal with a code from a table.
fn refusal(code: Enhanced, text: &str, cause: String) -> Failure {
    let failure = match code.0 {
        4 => Failure::temporary((code.1, code.2), text, cause),
        _ => Failure::permanent((code.1, code.2), text, cause),
    };
    if code.0 == 4 { failure.with_code(450) } else { failure }
}

fn broken_table(error: ConfigError) -> Failure {
    Failure::temporary((3, 5), "Local configuration error, try again later", error)
}

#[cfg(test)]
mod tests;
