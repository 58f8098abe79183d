//! Where does this address go? The one function that every way in asks: SMTP at RCPT, LMTP, emsend, bounces.
//!
//! The rules of em.cf come first (virtual users, routes, smart host; [`em_cf`]) and give a mailer, a host and a user. For a user of
//! ours: alias of the whole address, alias of the local part, mailing list, account (which may forward), the same without +detail,
//! system account, postmaster, the domain's catch-all alias, and rule set 5. What an alias leads to goes through the rules again.
//! Each step can be shown ([`Router::explain`]).
//! Trust: addresses are hostile. A local part is looked up as it stands; our em.cf never routes by `%`, `!` and quotes in it,
//! and no address turns into a program or a file unless the administrator's aliases say so.

mod agents;
mod checks;
mod clients;
mod dress;
mod em_cf;
mod expand;
mod forward;
mod include;
mod mailboxes;
mod mailers;
pub mod maps;
mod own_mailer;
mod remembered;
mod senders;
mod steps;
mod surroundings;
mod texts;
mod triple;
mod users;

pub use agents::{Agent, Letterhead};
pub use checks::{Admitted, Client, Told};
pub use clients::{ClientName, ClientNames, Standing};
pub use em_cf::BUILT_IN;
pub use steps::{Decider, Step, Steps};
pub use texts::{Query, TextChecks};

use crate::addr::Address;
use crate::config::{ConfigError, Site};
use crate::envelope::{Delivery, Mailer};
use crate::lists::Lists;
use crate::nexthop::{Net, NoDns, Resolver};
use crate::status::{Enhanced, Failure};
use crate::tables::old_aliases::OldAliases;
use crate::tables::{Aliases, Watched};
use crate::users::Accounts;
use checks::{DomainVerdicts, Verdicts};
use em_cf::EmCf;
use expand::Expansion;
use mailboxes::Mailboxes;
use mailers::Act;
use maps::Maps;
use remembered::Remembered;
use std::sync::Arc;
use triple::{Routed, Way};

/// Most addresses, and most domains, whose way is remembered.
const ADDRESSES: usize = 4096;
/// Most verdicts that are remembered; with what the rules were told, each takes up to 2 KiB.
const VERDICTS: usize = 512;

/// A file of aliases.
#[derive(Debug)]
enum AliasFile {
    Ours(Watched<Aliases>),
    /// One that a sendmail.cf names.
    Old(Watched<OldAliases>),
}

impl AliasFile {
    fn current(&self) -> Result<Arc<Aliases>, ConfigError> {
        match self {
            AliasFile::Ours(file) => file.current(),
            AliasFile::Old(file) => file.current().map(|table| table.0.clone()),
        }
    }
}

/// Finds deliveries for addresses; shared by all sessions of a process. A clone shares what is held in memory.
#[derive(Debug, Clone)]
pub struct Router {
    site: Arc<Site>,
    users: Accounts,
    aliases: Arc<[AliasFile]>,
    rules: Arc<EmCf>,
    lists: Lists,
    maps: Arc<Maps>,
    names: Arc<ClientNames>,
    /// What the rules made of addresses lately.
    addresses: Arc<Remembered<Address, Routed>>,
    /// What they made of any user of a domain.
    domains: Arc<Remembered<String, Way>>,
    /// What check_ sets said lately.
    verdicts: Arc<Verdicts>,
    /// What they said of any user of a domain.
    domain_verdicts: Arc<DomainVerdicts>,
}

impl Router {
    /// A router for a site.
    pub fn new(site: Arc<Site>) -> Router {
        // Named with its mailer, so that a port or `smtps:` is not taken for one.
        let smart_host = Some(&site.settings.relay.smart_host).filter(|host| !host.is_empty());
        let smart_host = smart_host.map(|host| format!("relay:{host}"));
        Router::with_smart_host(site, smart_host)
    }

    /// The same with a host for all mail that has no route, as routes write it; a `D{smart_host}` line of em.cf stands above it.
    pub fn with_smart_host(site: Arc<Site>, smart_host: Option<String>) -> Router {
        let users = Accounts::of(&site);
        let aliases = match &site.settings.cf {
            Some(cf) => cf.aliases.iter().map(|path| AliasFile::Old(Watched::new(path.clone()))).collect(),
            None => [AliasFile::Ours(Watched::new(site.root.etc.join("aliases")))].into(),
        };
        let maps = Arc::new(Maps::new(&site.settings, Arc::new(NoDns)));
        let rules = Arc::new(EmCf::new(site.clone(), smart_host, maps.clone()));
        let lists = Lists::of(&site);
        let names = Arc::new(ClientNames::new(&site.settings, Arc::new(NoDns)));
        let addresses = Arc::new(Remembered::with_limit(ADDRESSES));
        let domains = Arc::new(Remembered::with_limit(ADDRESSES));
        let verdicts = Arc::new(Remembered::with_limit(VERDICTS));
        let domain_verdicts = Arc::new(Remembered::with_limit(VERDICTS));
        Router { site, users, aliases, rules, lists, maps, names, addresses, domains, verdicts, domain_verdicts }
    }

    /// The same with names looked up in DNS, and directories asked, where the rules want them.
    pub fn with_network(mut self, resolver: Arc<dyn Resolver>, net: Arc<dyn Net>) -> Router {
        self.names = Arc::new(ClientNames::new(&self.site.settings, resolver.clone()));
        self.maps = Arc::new(Maps::new(&self.site.settings, resolver).with_net(net));
        self.rules = Arc::new(self.rules.with_maps(self.maps.clone()));
        self
    }

    /// Names of clients.
    pub fn names(&self) -> &ClientNames {
        &self.names
    }

    /// True when the rules ask what may take its time: other hosts, programs.
    pub fn may_wait(&self) -> bool {
        self.rules.current().is_ok_and(|cf| cf.outside.iter().any(|map| self.maps.may_wait(map)))
    }

    /// The site.
    pub fn site(&self) -> &Site {
        &self.site
    }

    /// The accounts.
    pub fn users(&self) -> &Accounts {
        &self.users
    }

    /// The mailing lists.
    pub fn lists(&self) -> &Lists {
        &self.lists
    }

    /// The alias table as it is now.
    pub fn aliases(&self) -> Result<Arc<Aliases>, ConfigError> {
        if let [only] = &*self.aliases {
            return only.current();
        }
        let mut all = Aliases::default();
        for file in self.aliases.iter() {
            let table = file.current()?;
            all.add_missing(&table);
        }
        Ok(Arc::new(all))
    }

    /// The mistake for which em.cf can't be used; or what in it has no effect here, with file, line and reason.
    pub fn check_rules(&self) -> Result<Vec<String>, ConfigError> {
        /// Options that shape the rules themselves.
        const OBEYED: [&str; 6] =
            ["BlankSub", "MaxRuleRecursion", "OperatorChars", "MustQuoteChars", "ColonOkInAddr", "LDAPDefaultSpec"];
        /// Classes of maps that nothing answers.
        const UNSERVED: [&str; 2] = ["nis", "nisplus"];
        let cf = self.rules.check()?;
        let rules = &cf.rules;
        let mut found: Vec<(usize, String)> = rules.faults.iter().map(|f| (f.line, f.message.clone())).collect();
        for (mailer, act) in rules.mailers.iter().zip(&cf.acts) {
            if let Act::Unable(why) = act {
                found.push((mailer.line, format!("mailer {}: {why}", mailer.name)));
            }
        }
        if let Some(old) = &self.site.settings.cf {
            found.extend(old.notes.iter().cloned());
            found.extend(agents::notes(rules));
        }
        let is_ours = self.site.settings.cf.is_none();
        for option in rules.options.iter().filter(|_| is_ours).filter(|option| !OBEYED.contains(&option.name)) {
            let dot = if option.part.is_empty() { "" } else { "." };
            found.push((option.line, format!("option {}{dot}{}: em.toml decides", option.name, option.part)));
        }
        for map in rules.maps.values().filter(|map| UNSERVED.contains(&map.class.as_str())) {
            let name = String::from_utf8_lossy(&map.name);
            found.push((map.line, format!("map {name}: class {} is not served: look-ups fail for now", map.class)));
        }
        for map in rules.maps.values() {
            let name = String::from_utf8_lossy(&map.name);
            found.extend(maps::notes(map).into_iter().map(|note| (map.line, format!("map {name}: {note}"))));
        }
        for map in rules.maps.values().filter(|map| maps::lacks_type(map)) {
            let name = String::from_utf8_lossy(&map.name);
            found
                .push((map.line, format!("map {name}: records of this type are not asked for: look-ups fail for now")));
        }
        // Those with a rule set check fields; the others would make some.
        if let Some(header) = rules.headers.iter().find(|line| is_ours && line.check().is_none()) {
            found.push((header.line, "H lines: headers are completed without them".to_string()));
        }
        for header in &rules.headers {
            let set = header.check().map(|(set, _)| set).filter(|set| rules.find_set(set).is_none());
            if let Some(set) = set {
                let set = String::from_utf8_lossy(set);
                found.push((header.line, format!("header {}: there is no rule set {set}", header.name)));
            }
        }
        found.sort();
        found.dedup();
        Ok(found.into_iter().map(|(line, text)| format!("{}:{line}: {text}", cf.name)).collect())
    }

    /// The deliveries of an address, or the refusal.
    pub fn resolve(&self, address: &Address) -> Result<Vec<Delivery>, Failure> {
        self.explain(address, &Steps::unwanted())
    }

    /// The same, and each decision on the way.
    pub fn explain(&self, address: &Address, steps: &Steps) -> Result<Vec<Delivery>, Failure> {
        let aliases = self.aliases().map_err(broken_table)?;
        let rules = self.rules.current().map_err(broken_table)?;
        let mut expansion = Expansion::new(self, &aliases, &rules, steps);
        expansion.address(address)?;
        expansion.finish(address)
    }

    /// The mailbox (or system account) of an address, without aliases; `None` when there is none.
    pub fn mailbox_of(&self, address: &Address) -> Result<Option<Delivery>, Failure> {
        if !self.is_local(address.domain()) {
            return Ok(None);
        }
        Mailboxes::new(self, &Steps::unwanted()).of(&address.to_key())
    }

    /// The members behind an alias, for EXPN; `None` when it is no alias.
    pub fn members(&self, address: &Address) -> Result<Option<Vec<String>>, Failure> {
        let aliases = self.aliases().map_err(broken_table)?;
        if !self.is_local(address.domain()) || aliases.find(address.local()).is_none() {
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
        self.site.is_local(domain) || self.rules.current().is_ok_and(|rules| rules.is_own(domain))
    }

    /// True when mail for this domain is kept until somebody fetches it: it is taken from everybody.
    pub fn is_fetched(&self, domain: &str) -> bool {
        self.site.is_fetched(domain)
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
