//! One address through the rules: the triple of mailer, host and user, as something this system can do.

use super::em_cf::Compiled;
use super::mailers::Act;
use super::remembered::Asked;
use super::steps::{Decider, Steps};
use super::surroundings::{Listener, Surroundings, from_rules, to_rules};
use super::{Router, broken_table};
use crate::addr::Address;
use crate::envelope::{Delivery, Mailer};
use crate::fsx::Glance;
use crate::rules::address::{Reply, Role, Target};
use crate::rules::macros::Macros;
use crate::rules::stranger::Shape;
use crate::rules::world::exit;
use crate::rules::{Run, meta};
use crate::status::{Enhanced, Failure};
use std::sync::Arc;

/// What an address is, for now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Routed {
    /// A user of ours, still to be found among aliases and accounts.
    Local(Local),
    /// For another host.
    Away {
        /// Smtp or Lmtp.
        mailer: Mailer,
        /// The host in the words of the rules: `domain`, `[name]`, `[address]`, each with or without `:port`, or a socket's path.
        host: String,
        /// The address there.
        user: Address,
    },
    /// To a mailer of a sendmail.cf that is no mailer for users of ours.
    Agent(Delivery),
    /// To be dropped.
    Discard,
}

/// A local user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Local {
    /// The address to look for.
    pub(super) address: Address,
    /// User and host as the rules gave them.
    pub(super) user: Vec<u8>,
    pub(super) host: Vec<u8>,
    /// The mailer's name.
    pub(super) mailer: String,
    /// Set 5 is asked when nobody knows the user.
    pub(super) unknown: bool,
}

/// What the rules make of all users of a domain whom they do not know.
#[derive(Debug)]
pub(super) struct Way {
    mailer: usize,
    host: Vec<u8>,
    user: Shape,
}

impl Way {
    /// The way of all, by that of this user.
    fn of(target: &Target, user: &str) -> Option<Way> {
        let Target::Mailer { mailer, host, user: text } = target else { return None };
        Some(Way { mailer: *mailer, host: host.clone(), user: Shape::of(text, user)? })
    }

    /// The way of this user.
    fn target(&self, user: &str) -> Target {
        Target::Mailer { mailer: self.mailer, host: self.host.clone(), user: self.user.with(user) }
    }
}

impl Local {
    /// A user who is named without the rules.
    pub(super) fn named(address: &Address) -> Local {
        let user = to_rules(address.local());
        Local { address: address.clone(), user, host: Vec::new(), mailer: "local".to_string(), unknown: false }
    }
}

impl Router {
    /// Routes one address, without aliases and accounts.
    pub(super) fn routed(&self, cf: &Arc<Compiled>, address: &Address, steps: &Steps) -> Result<Routed, Failure> {
        let remembers = !steps.are_wanted();
        let (user, domain) = (address.local(), address.domain().to_string());
        let stranger = if remembers { cf.stranger(user, &domain) } else { None };
        if stranger.is_some()
            && let Some(target) = self.domains.find(cf, &domain, |way| Some(way.target(user)))
        {
            return self.meant(cf, target, address);
        }
        if remembers && let Some(routed) = self.addresses.find(cf, address, |routed| Some(routed.clone())) {
            return Ok(routed);
        }
        let text = to_rules(&address.to_string());
        let mut message = Macros::default();
        let mut asked = Asked::default();
        let (routed, way) = self.with_rules_noting(cf, steps, &mut message, Some(&mut asked), |run| {
            run.watch_for(stranger);
            let (target, status) = run.parse(&text, Role::default());
            if status == exit::TEMPORARY {
                return Err(Failure::temporary((4, 3), "Temporary failure of a table, try again later", ""));
            }
            let way = if run.has_passed_by() { Way::of(&target, user) } else { None };
            Ok((self.meant(cf, target, address)?, way))
        })?;
        match way {
            Some(way) => self.domains.keep(cf, domain, asked, || way),
            None if remembers => self.addresses.keep(cf, address.clone(), asked, || routed.clone()),
            None => {}
        }
        Ok(routed)
    }

    /// True when the rules send an address to another host; aliases and accounts are not asked.
    pub fn goes_away(&self, address: &Address) -> Result<bool, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let routed = self.routed(&cf, address, &Steps::unwanted())?;
        Ok(matches!(routed, Routed::Away { .. } | Routed::Agent(_)))
    }

    /// What set 5 makes of a local user that nobody knows; `None` when it makes nothing of it.
    pub(super) fn unknown(&self, cf: &Compiled, local: &Local, steps: &Steps) -> Result<Option<Routed>, Failure> {
        let Some(set) = cf.sets.local.filter(|_| local.unknown) else { return Ok(None) };
        let mut message = Macros::default();
        message.set(b"h", local.host.clone());
        let routed = self.with_rules(cf, steps, &mut message, |run| {
            let Ok(mut workspace) = run.scan(&local.user) else { return Ok(None) };
            if run.rewrite(set, &mut workspace) == exit::TEMPORARY {
                return Err(Failure::temporary((4, 3), "Temporary failure of a table, try again later", ""));
            }
            if !workspace.first().is_some_and(|token| token.is(meta::MAILER)) {
                return Ok(None);
            }
            let target = run.target(&workspace, &local.user, Role::default());
            self.meant(cf, target, &local.address).map(Some)
        })?;
        // sendmail's own set 5 gives the detail another form; for accounts of ours it says nothing new.
        let is_cf = self.site.settings.cf.is_some();
        let is_same = |again: &Local| {
            again.address == local.address && !(is_cf && (&again.host, &again.user) != (&local.host, &local.user))
        };
        Ok(routed.filter(|routed| !matches!(routed, Routed::Local(again) if is_same(again))))
    }

    /// Runs the engine with this site's surroundings; a failure without a cause gets the engine's complaint for one.
    pub(super) fn with_rules<T>(
        &self,
        cf: &Compiled,
        steps: &Steps,
        message: &mut Macros,
        work: impl FnOnce(&mut Run) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.with_rules_noting(cf, steps, message, None, work)
    }

    /// The same; what is asked is noted.
    pub(super) fn with_rules_noting<T>(
        &self,
        cf: &Compiled,
        steps: &Steps,
        message: &mut Macros,
        asked: Option<&mut Asked>,
        work: impl FnOnce(&mut Run) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        // Look-ups of one run go to the rows of one moment, and each table is looked at once for all of them.
        let _glance = Glance::unless_held();
        let system = self.site.settings.accounts.system;
        let (maps, etc) = (&*self.maps, &*self.site.root.etc);
        let mut world = Surroundings { compiled: cf, maps, etc, system, steps, complaint: None, asked };
        let mut listener = Listener { steps, file: &cf.name, complaint: None };
        let done = work(&mut Run::new(&cf.rules, message, &mut world, &mut listener));
        done.map_err(|mut failure| {
            // Rules that put somebody off because a map has failed do not know why.
            if failure.cause.is_empty() || failure.enhanced.0 == 4 && failure.cause == BY_RULES {
                failure.cause = listener.complaint.unwrap_or(failure.cause);
            }
            failure
        })
    }

    fn meant(&self, cf: &Compiled, target: Target, asked: &Address) -> Result<Routed, Failure> {
        let (number, host, user) = match target {
            Target::Mailer { mailer, host, user } => (mailer, host, user),
            Target::Refused { reply, .. } => return Err(refused(&reply)),
            Target::Broken => {
                let text = "Local configuration error, try again later";
                return Err(Failure::temporary((3, 5), text, ""));
            }
            Target::NoAddress => return Err(Failure::permanent((1, 3), format!("<{asked}>: Not an address"), "")),
        };
        let name = || cf.rules.mailers.get(number).map_or("", |mailer| mailer.name.as_str());
        match cf.acts.get(number) {
            Some(Act::Local { unknown }) => {
                let address = self.local_address(&user, asked)?;
                let mailer = name().to_string();
                Ok(Routed::Local(Local { address, user, host, mailer, unknown: *unknown }))
            }
            Some(Act::Smtp(port)) => away(Mailer::Smtp, *port, &host, &user, asked),
            Some(Act::Lmtp(port)) => away(Mailer::Lmtp, *port, &host, &user, asked),
            Some(Act::Agent) => Ok(Routed::Agent(Delivery {
                by: name().to_string(),
                host: from_rules(&host),
                ..Delivery::new(Mailer::Agent, from_rules(&user))
            })),
            Some(Act::Discard) => Ok(Routed::Discard),
            Some(Act::Inside(what)) => {
                let text = match self.site.settings.cf {
                    None => format!("<{asked}>: Cannot mail directly to {what}"),
                    // sendmail puts the address in front of what it says.
                    Some(_) => format!("Cannot mail directly to {what}"),
                };
                Err(Failure::permanent((7, 1), text, "an address leads to what only an alias may name"))
            }
            Some(Act::Unable(why)) => {
                let cause = format!("mailer {}: {why}", name());
                Err(Failure::temporary((3, 5), "Local configuration error, try again later", cause))
            }
            None => Err(Failure::temporary((3, 5), "Local configuration error, try again later", "no such mailer")),
        }
    }

    /// The account's address behind a local user. Rules of sendmail's strip our domain; it is the asked one's as long as the user is.
    fn local_address(&self, user: &[u8], asked: &Address) -> Result<Address, Failure> {
        let text = from_rules(user);
        // sendmail writes `user+*` when it has looked the detail up.
        let text = text.strip_suffix("+*").unwrap_or(&text).trim();
        let wrong = |e: crate::addr::AddressError| Failure::permanent((1, 3), format!("<{asked}>: {e}"), text);
        if is_text_of(text, asked) {
            return Ok(asked.clone());
        }
        if text.contains('@')
            && let Ok(address) = Address::parse(text)
        {
            return Ok(address);
        }
        let default = self.site.default_domain();
        let here = Address::parse_loose(text, &default).map_err(wrong)?;
        match here.local().eq_ignore_ascii_case(asked.local()) && self.is_local(asked.domain()) {
            true => Address::new(here.local(), asked.domain()).map_err(wrong),
            false => Ok(here),
        }
    }

    /// Where a delivery to another host goes at this moment: the mailer, and the host as routes write it: `domain` (its mail hosts are
    /// to be looked up), `[name]`, `[address]`, each with `:port` or without, or the path of a socket.
    pub fn next_hop(&self, delivery: &Delivery) -> Result<(Mailer, String), Failure> {
        self.explain_hop(delivery, &Steps::unwanted())
    }

    /// The same, and the decisions on the way.
    pub fn explain_hop(&self, delivery: &Delivery, steps: &Steps) -> Result<(Mailer, String), Failure> {
        if self.is_fetched(&delivery.host) {
            return Err(Failure::temporary((4, 0), "Waits until the domain's own host fetches it", "odmr.domains"));
        }
        let cf = self.rules.current().map_err(broken_table)?;
        let address = Address::parse(&delivery.user)
            .map_err(|e| Failure::permanent((1, 3), format!("<{}>: {e}", delivery.user), ""))?;
        match self.routed(&cf, &address, steps)? {
            Routed::Away { mailer, host, .. } => {
                steps.say(Decider::Result, || format!("{address}: {} by {}", hop_words(&host), mailer.name()));
                Ok((mailer, host))
            }
            Routed::Local(_) | Routed::Agent(_) | Routed::Discard => {
                let text = format!("<{address}>: the route has changed since the message came");
                Err(Failure::temporary((4, 4), text, "it is not for another host any more: emqueue requeue"))
            }
        }
    }
}

/// What would be done to find a host.
pub(super) fn hop_words(host: &str) -> String {
    match host.starts_with(['[', '/']) {
        true => format!("would connect to {host}"),
        false => format!("would look up MX of {host}"),
    }
}

/// True when this is the address as it is written; of the simplest ones, which are nearly all.
fn is_text_of(text: &str, address: &Address) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    text.split_once('@') == Some((address.local(), address.domain())) && address.local().bytes().all(is_plain)
}

fn away(mailer: Mailer, port: Option<u16>, host: &[u8], user: &[u8], asked: &Address) -> Result<Routed, Failure> {
    let text = from_rules(user);
    let parsed = if is_text_of(&text, asked) { Ok(asked.clone()) } else { Address::parse(&text) };
    let user = parsed.map_err(|e| {
        let cause = format!("the rules made {text:?} of it: {e}");
        Failure::permanent((1, 3), "The address can't be passed on", cause)
    })?;
    let host = from_rules(host).trim_end_matches('.').to_string();
    let bare = host.split_once(']').map_or(host.as_str(), |(_, behind)| behind);
    let host = match port {
        Some(port) if !bare.contains(':') && !host.starts_with('/') => format!("{host}:{port}"),
        _ => host,
    };
    Ok(Routed::Away { mailer, host, user })
}

/// The cause of what the rules refuse.
const BY_RULES: &str = "the rules say so";

/// A refusal of the rules as a failure.
pub(super) fn refused(reply: &Reply) -> Failure {
    let whole = |text: &str| Enhanced::parse_prefix(text).filter(|(_, rest)| rest.is_empty()).map(|(code, _)| code);
    // Without a code in the text the reply is sendmail's 553 5.3.0; what stands behind `$@` says more.
    let named = whole(&reply.enhanced).filter(|_| reply.coded).or_else(|| whole(&reply.host));
    let mut enhanced = named.unwrap_or(match reply.status {
        exit::NO_USER => Enhanced(5, 1, 1),
        exit::NOT_FOUND => Enhanced(5, 1, 2),
        exit::TEMPORARY => Enhanced(4, 3, 0),
        exit::CONFIG => Enhanced(5, 3, 5),
        _ => Enhanced(5, 0, 0),
    });
    let code = match (reply.coded, enhanced.0) {
        (true, _) if matches!(reply.code / 100, 4 | 5) => reply.code,
        (false, 4) => 450,
        _ => 550,
    };
    enhanced.0 = if code < 500 { 4 } else { 5 };
    let text: String = from_rules(&reply.text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    Failure { code, enhanced, public: text.trim().to_string(), cause: BY_RULES.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_become_failures() {
        for (host, text, wanted) in [
            ("5.1.3", "553 That is no address", "553 5.1.3 That is no address: the rules say so"),
            ("5.7.1", "not to them", "550 5.7.1 not to them: the rules say so"),
            ("4.7.1", "later", "450 4.7.1 later: the rules say so"),
            ("nouser", "550 gone", "550 5.1.1 gone: the rules say so"),
            ("5.7.1", "550 5.7.9 gone", "550 5.7.9 gone: the rules say so"),
            ("", "451 4.4.0 later", "451 4.4.0 later: the rules say so"),
            ("tempfail", "not now", "450 4.3.0 not now: the rules say so"),
            ("", "no", "550 5.0.0 no: the rules say so"),
        ] {
            assert_eq!(refused(&Reply::read(host.as_bytes(), text.as_bytes())).to_string(), wanted);
        }
    }
}
