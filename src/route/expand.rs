//! The expansion of one address through aliases to deliveries.

use super::em_cf::Compiled;
use super::mailboxes::Mailboxes;
use super::triple::{Routed, hop_words};
use super::{Decider, Router, Steps, refusal};
use crate::addr::Address;
use crate::envelope::{Delivery, Mailer};
use crate::lists::{ListError, ListName, Role};
use crate::status::{Enhanced, Failure};
use crate::tables::aliases::Alias;
use crate::tables::aliases::{Aliases, Target};
use std::collections::HashSet;
use std::sync::Arc;

/// Deepest nesting of aliases.
pub(super) const DEPTH_LIMIT: usize = 20;
/// Most rounds of set 5 for one user.
const ROUND_LIMIT: usize = 10;
/// Most deliveries that one address may come to.
const DELIVERY_LIMIT: usize = 100_000;
/// Largest :include: file, in octets.
pub(super) const INCLUDE_LIMIT: u64 = 64 << 20;

pub(super) struct Expansion<'a> {
    pub(super) router: &'a Router,
    pub(super) aliases: &'a Aliases,
    pub(super) rules: &'a Arc<Compiled>,
    steps: &'a Steps,
    /// Names being expanded, outermost first: an alias that comes back to one of them has gone in a circle.
    pub(super) open: Vec<String>,
    found: Vec<Delivery>,
    /// Mailer, host and user: one mailbox gets one copy, whichever owner or alias it came by.
    seen: HashSet<(Mailer, String, String)>,
    /// Aliases that are expanded, by name, domain and owner: again they would come to the same deliveries.
    pub(super) done: HashSet<(String, String, String)>,
    /// The owner in force.
    pub(super) owner: String,
    /// The line of a list that is followed, as a sendmail.cf's user is told of it.
    pub(super) place: Option<String>,
    /// An alias of a sendmail.cf's came back to itself.
    loop_of_aliases: Option<Failure>,
    /// An account's mail was sent on to itself, by way of others.
    pub(super) has_circled: bool,
    /// Rule set 5 has spoken: it is not asked about its own answer.
    asked_for_unknown: bool,
    /// How often set 5 of a sendmail.cf has spoken about this user: it takes a detail apart in several rounds.
    rounds: usize,
    /// The account whose .forward file is followed: its rights are those of programs and files.
    pub(super) forwards: Option<String>,
}

impl<'a> Expansion<'a> {
    pub(super) fn new(
        router: &'a Router,
        aliases: &'a Aliases,
        rules: &'a Arc<Compiled>,
        steps: &'a Steps,
    ) -> Expansion<'a> {
        Expansion {
            router,
            aliases,
            rules,
            steps,
            open: Vec::new(),
            found: Vec::new(),
            seen: Default::default(),
            done: Default::default(),
            owner: String::new(),
            place: None,
            loop_of_aliases: None,
            has_circled: false,
            asked_for_unknown: false,
            rounds: 0,
            forwards: None,
        }
    }

    /// The deliveries; an address that leads to nothing but one error is refused at once.
    pub(super) fn finish(self, address: &Address) -> Result<Vec<Delivery>, Failure> {
        if let [only] = self.found.as_slice()
            && only.mailer == Mailer::Error
        {
            let (code, text) = Enhanced::parse_prefix(&only.user).unwrap_or((Enhanced(5, 1, 1), only.user.as_str()));
            return Err(refusal(code, text, format!("alias of {address}")));
        }
        if self.found.is_empty()
            && let Some(failure) = self.loop_of_aliases
        {
            return Err(failure);
        }
        if self.found.is_empty() && self.has_circled {
            let cause = "accounts forward to each other, and none keeps a copy";
            return Err(Failure::permanent((4, 6), format!("<{address}>: Forwarding loop"), cause));
        }
        // Perhaps the file is just being written. To take the message would be to drop it.
        if self.found.is_empty() {
            let text = format!("<{address}>: Mailing list has no members, try again later");
            return Err(Failure::temporary((2, 4), text, "the alias leads to nobody"));
        }
        Ok(self.found)
    }

    pub(super) fn say(&self, decider: Decider, text: impl FnOnce() -> String) {
        self.steps.set_depth(self.open.len());
        self.steps.say(decider, text);
    }

    pub(super) fn add(&mut self, mut delivery: Delivery) -> Result<(), Failure> {
        delivery.sender = self.owner.clone();
        self.say(Decider::Result, || {
            let host = if delivery.host.is_empty() { String::new() } else { format!(", host {}", delivery.host) };
            format!("deliver: mailer {}{host}, user {}", mailer_name(&delivery), delivery.user)
        });
        if self.found.len() >= DELIVERY_LIMIT {
            return Err(Failure::permanent((4, 6), "Alias expands too far", "more deliveries than the limit"));
        }
        // Most addresses come to one delivery: it is compared with when there is another one.
        match self.found.as_slice() {
            [] => {
                self.found.push(delivery);
                return Ok(());
            }
            [only] => drop(self.seen.insert(mark(only))),
            _ => {}
        }
        if self.seen.insert(mark(&delivery)) {
            self.found.push(delivery);
        }
        Ok(())
    }

    /// Sends an address through the rules, and a user of ours through aliases and accounts.
    pub(super) fn address(&mut self, address: &Address) -> Result<(), Failure> {
        self.steps.set_depth(self.open.len());
        if self.router.is_fetched(address.domain()) {
            self.say(Decider::Account, || {
                format!("{address}: kept until the domain's own host fetches it (odmr.domains)")
            });
            let mut delivery = Delivery::new(Mailer::Smtp, address.to_string());
            delivery.host = address.domain().to_string();
            return self.add(delivery);
        }
        let routed = self.router.routed(self.rules, address, self.steps)?;
        self.routed(address, routed)
    }

    fn routed(&mut self, address: &Address, routed: Routed) -> Result<(), Failure> {
        let local = match routed {
            Routed::Away { mailer, host, user } => {
                self.say(Decider::Rule, || format!("{address}: not ours; {} by {}", hop_words(&host), mailer.name()));
                let mut delivery = Delivery::new(mailer, user.to_string());
                delivery.host = user.domain().to_string();
                return self.add(delivery);
            }
            Routed::Agent(delivery) => return self.add(delivery),
            Routed::Discard => {
                self.say(Decider::Rule, || format!("{address}: to be dropped"));
                return self.add(Delivery::new(Mailer::Discard, ""));
            }
            Routed::Local(local) => local,
        };
        let key = local.address.to_key();
        self.say(Decider::Rule, || format!("{address}: domain {} is ours", key.domain()));
        if let Some(alias) = self.alias_of(&key) {
            let name = alias.name.clone();
            return self.alias(alias, &name, &key);
        }
        if self.router.site().settings.cf.is_some() {
            // sendmail asks set 5 before it looks for the account.
            if self.rounds < ROUND_LIMIT
                && let Some(routed) = self.router.unknown(self.rules, &local, self.steps)?
            {
                self.rounds += 1;
                let result = self.routed(&key, routed);
                self.rounds -= 1;
                return result;
            }
            if self.user(&local, true)? {
                return Ok(());
            }
        } else if let Some((name, role)) = self.router.lists().role_of(&key) {
            return self.list(&name, role, &key);
        } else if let Some((account, found_by)) = self.mailboxes().account(&key)? {
            let own = self.mailboxes().own(&account, &found_by, &key)?;
            return self.deliver_to_account(&account, own, &key);
        } else if let Some(delivery) = self.mailboxes().system(&key)? {
            return self.add(delivery);
        }
        if key.local() == "postmaster" && self.router.site().settings.cf.is_none() {
            return self.postmaster(&key);
        }
        if let Some(alias) = self.aliases.find(&format!("@{}", key.domain())) {
            let name = alias.name.clone();
            return self.alias(alias, &name, &key);
        }
        if self.router.site().settings.cf.is_none()
            && !self.asked_for_unknown
            && let Some(routed) = self.router.unknown(self.rules, &local, self.steps)?
        {
            self.say(Decider::Rule, || format!("{key}: nobody knows it; rule set 5 has a place for it"));
            self.asked_for_unknown = true;
            let result = self.routed(&key, routed);
            self.asked_for_unknown = false;
            return result;
        }
        self.say(Decider::Account, || format!("{key}: no alias and no account"));
        if self.router.site().settings.cf.is_some() {
            return Err(Failure::permanent((1, 1), "User unknown", "no such user"));
        }
        Err(Failure::permanent(
            (1, 1),
            format!("<{address}>: Recipient address rejected: User unknown"),
            "no such user",
        ))
    }

    /// An address of a mailing list. Mail for its owners goes to them; the list itself takes all else.
    fn list(&mut self, name: &ListName, role: Role, key: &Address) -> Result<(), Failure> {
        self.say(Decider::Alias, || format!("{key}: mailing list {name}"));
        let open = key.to_string();
        if role == Role::Owner && !self.open.contains(&open) {
            let failed = |e: ListError| Failure::temporary((3, 5), "Local configuration error, try again later", e);
            let list = self.router.lists().open(name).map_err(failed)?;
            self.open.push(open);
            let result = list.settings.owners.iter().try_for_each(|owner| match self.address(owner) {
                Err(failure) if !failure.is_temporary() => {
                    self.say(Decider::Alias, || format!("{owner}: {failure}"));
                    Ok(())
                }
                other => other,
            });
            self.open.pop();
            if result.is_err() || !self.found.is_empty() {
                return result;
            }
            return self.postmaster(&Address::new("postmaster", key.domain()).unwrap_or_else(|_| key.clone()));
        }
        let mut delivery = Delivery::new(Mailer::List, key.to_string());
        delivery.host = name.to_string();
        self.add(delivery)
    }

    /// The alias for an address: whole, then local part, then both without +detail. None for one that is open already.
    fn alias_of(&self, key: &Address) -> Option<&'a Alias> {
        let separator = self.router.site().separator();
        let user = separator.map_or(key.local(), |s| key.split_detail(s).0);
        // A quoted local part with an @ in it would be read as a whole address, or as all of a domain.
        let named = |name: &str| self.aliases.find(name).filter(|_| !name.contains('@'));
        let found = self.aliases.find(&key.to_string()).or_else(|| named(key.local()));
        let found = match user.len() == key.local().len() {
            true => found,
            false => {
                found.or_else(|| self.aliases.find(&key.with_local(user).ok()?.to_string())).or_else(|| named(user))
            }
        };
        found.filter(|alias| !self.is_self_reference(alias, key))
    }

    /// `alice: alice, bob` means alice's own mailbox, as in every sendmail.
    fn is_self_reference(&self, alias: &Alias, key: &Address) -> bool {
        let name = open_key(&alias.name);
        let is_last = self.open.last() == Some(&name);
        match self.router.site().settings.cf {
            None => is_last && self.router.users().find(key).is_ok_and(|found| found.is_some()),
            // In a file it is a member that was met already.
            Some(_) => is_last && (self.place.is_none() || self.is_login(key.local())),
        }
    }

    /// The mailboxes that addresses have, told of at the place where we are.
    fn mailboxes(&self) -> Mailboxes<'a> {
        self.steps.set_depth(self.open.len());
        Mailboxes::new(self.router, self.steps)
    }

    /// RFC 5321 §4.5.1: postmaster is always there.
    fn postmaster(&mut self, key: &Address) -> Result<(), Failure> {
        let site = self.router.site();
        let configured = &site.settings.server.postmaster;
        let fallback = key.to_string();
        let target = if configured.is_empty() { None } else { self.parse(configured, key).ok() };
        if let Some(target) = target.filter(|t| t.to_key() != *key && !self.open.contains(&fallback)) {
            self.say(Decider::Account, || format!("{key}: server.postmaster is {target}"));
            self.open.push(fallback);
            let result = self.address(&target);
            self.open.pop();
            return result;
        }
        let domain = site.default_domain();
        let mailbox = Address::new("postmaster", &domain).map_err(|e| Failure::permanent((1, 1), e.to_string(), e))?;
        self.say(Decider::Account, || format!("{key}: postmaster always exists"));
        self.add(Delivery::new(Mailer::Mailbox, mailbox.to_string()))
    }

    fn alias(&mut self, alias: &'a Alias, name: &str, key: &Address) -> Result<(), Failure> {
        let open = open_key(name);
        let is_open = self.open.contains(&open);
        if is_open || self.open.len() >= self.deepest() {
            self.say(Decider::Alias, || format!("{key}: alias {name} goes in a circle"));
            if is_open && self.router.site().settings.cf.is_some() {
                return self.broken_circle(&open, key);
            }
            return Err(self.circle(name));
        }
        self.steps.set_depth(self.open.len());
        self.steps.say_at(Decider::Alias, || {
            let path = self.router.site().root.etc.join("aliases");
            (Some((path.display().to_string(), alias.line)), format!("{key}: alias {name}"))
        });
        let owner_before = self.owner.clone();
        let owner = format!("owner-{name}");
        let parsed = if name.contains('@') { Address::parse(&owner) } else { key.with_local(&owner) };
        if self.aliases.find(&owner).is_some()
            && let Ok(owner) = parsed
        {
            self.say(Decider::Alias, || format!("sender becomes {owner}"));
            self.owner = owner.to_string();
        }
        let expanded = (open.clone(), key.domain().to_string(), self.owner.clone());
        let result = if self.done.contains(&expanded) {
            self.say(Decider::Alias, || format!("{name}: expanded above"));
            Ok(())
        } else {
            self.open.push(open);
            let result = match self.router.site().settings.cf {
                None => self.targets(&alias.targets, name, key),
                Some(_) => self.targets(&in_sendmails_order(alias.targets.clone()), name, key),
            };
            self.open.pop();
            result
        };
        if result.is_ok() {
            self.done.insert(expanded);
        }
        self.owner = owner_before;
        result
    }

    /// An alias of a sendmail.cf's that is being expanded: the first user on the way round gets the mail. Where there is none it is a name
    /// that was met already, as long as there is somebody else.
    fn broken_circle(&mut self, open: &str, key: &Address) -> Result<(), Failure> {
        let way = format!("{} -> {open}", self.open.join(" -> "));
        let round = self.open.iter().skip_while(|name| *name != open);
        let user = round.filter_map(|name| key.with_local(name).ok()).find(|user| self.is_login(user.local()));
        if let Some(user) = user {
            return self.own_user(&user);
        }
        let failure = Failure::permanent((4, 6), "aliasing/forwarding loop broken", way);
        self.loop_of_aliases.get_or_insert(failure);
        Ok(())
    }

    /// Follows all targets. One bad member of several does not stop the others; a temporary fault stops all.
    pub(super) fn targets(&mut self, targets: &[Target], name: &str, key: &Address) -> Result<(), Failure> {
        let settings = &self.router.site().settings.delivery;
        for target in targets {
            let result = match target {
                Target::Address(text) => self.parse(text, key).and_then(|a| self.address(&a)),
                Target::Mailbox(text) => self.own_mailbox(text, key),
                Target::File(_) | Target::Program(_) if self.router.site().settings.cf.is_some() => {
                    self.agent_of_target(target)
                }
                Target::File(path) if path == "/dev/null" => self.add(Delivery::new(Mailer::Discard, "")),
                Target::File(path) if settings.files => self.add(by(Delivery::new(Mailer::File, path), name)),
                Target::Program(command) if settings.programs => {
                    self.add(by(Delivery::new(Mailer::Program, command), name))
                }
                Target::File(_) | Target::Program(_) => Err(Failure::permanent(
                    (7, 1),
                    "Delivery to files and programs is switched off",
                    format!("alias {name}: delivery.files, delivery.programs"),
                )),
                Target::Include(path) if self.forwards.is_some() => self.include_of_user(path, name, key),
                Target::Include(path) => self.include(path, name, key),
                Target::Error(code, text) => self.add(Delivery::new(Mailer::Error, format!("{code} {text}"))),
            };
            match result {
                Ok(()) => {}
                Err(failure) if failure.is_temporary() || targets.len() == 1 && self.place.is_none() => {
                    return Err(failure);
                }
                Err(failure) => {
                    self.add(self.failed_member(target, &failure))?;
                }
            }
        }
        Ok(())
    }

    /// `\user`: the mailbox, without further aliasing.
    fn own_mailbox(&mut self, text: &str, key: &Address) -> Result<(), Failure> {
        let address = self.parse(text, key)?;
        if !self.router.is_local(address.domain()) {
            return self.address(&address);
        }
        if self.router.site().settings.cf.is_some() {
            return self.own_user(&address);
        }
        match self.mailboxes().of(&address.to_key())? {
            Some(delivery) => self.add(delivery),
            None if address.to_key().local() == "postmaster" => self.postmaster(&address.to_key()),
            None => Err(Failure::permanent((1, 1), format!("<{address}>: User unknown"), "no such user")),
        }
    }

    /// Reads a target. A name without a domain means the domain of the alias if it is known there, our first domain otherwise.
    fn parse(&self, text: &str, key: &Address) -> Result<Address, Failure> {
        let wrong = |e: crate::addr::AddressError| Failure::permanent((1, 3), format!("Bad alias target: {e}"), text);
        let here = Address::parse_loose(text, key.domain()).map_err(wrong)?;
        if self.router.site().settings.cf.is_some() {
            return Ok(here);
        }
        let default = self.router.site().default_domain();
        if text.contains('@') || default == key.domain() {
            return Ok(here);
        }
        let is_known = self.alias_of(&here.to_key()).is_some()
            || self.router.users().find(&here).is_ok_and(|found| found.is_some());
        if is_known { Ok(here) } else { Address::parse_loose(text, &default).map_err(wrong) }
    }
}

/// The members of one list, or of one line of a file, in the order in which sendmail takes them: the last comes first.
pub(super) fn in_sendmails_order(mut members: Vec<Target>) -> Vec<Target> {
    members.reverse();
    members
}

/// What two deliveries to one place have in common.
fn mark(delivery: &Delivery) -> (Mailer, String, String) {
    let user = match delivery.mailer {
        Mailer::Agent | Mailer::Error => format!("{} {}", delivery.by, delivery.user),
        _ => delivery.user.clone(),
    };
    (delivery.mailer, delivery.host.clone(), user)
}

fn open_key(name: &str) -> String {
    name.to_lowercase()
}

fn by(mut delivery: Delivery, alias: &str) -> Delivery {
    delivery.by = alias.to_string();
    delivery
}

/// The mailer of a delivery as it is shown: that of a sendmail.cf by its own name.
fn mailer_name(delivery: &Delivery) -> &str {
    match delivery.mailer {
        Mailer::Agent => &delivery.by,
        mailer => mailer.name(),
    }
}
