//! Who may send, and to whom: the check_ rule sets of em.cf, asked at the connection, at MAIL FROM and at RCPT TO.
//!
//! Called by `serve::smtp`. Our own em.cf looks etc/access and etc/relay-domains up; an administrator's file, or sendmail's, is asked
//! in the same way.
//!
//! Invariants, whatever a file says:
//! * Mail for a domain that is not ours is passed on only for a trusted client (`policy::may_relay`), kept for a host that fetches it
//!   (`odmr.domains`), or where check_rcpt came to
//!   `RELAY` (as sendmail's sets do) or to a triple such as `$#OK`. A file without check_rcpt makes no open relay.
//! * A local part with `%`, `!`, `@` or `:` never brings a client to another host that it may not send to.
//! * What `policy::may_relay` grants, check_rcpt takes away only where it would refuse a program of this host too.

use super::clients::{ClientName, Standing};
use super::em_cf::Compiled;
use super::remembered::{Asked, Remembered};
use super::steps::{Decider, Steps};
use super::surroundings::{from_rules, to_rules};
use super::triple::{Routed, refused};
use super::{Router, broken_table};
use crate::addr::{Address, print_path};
use crate::envelope::{Delivery, Mailer};
use crate::rules::address::Verdict;
use crate::rules::macros::Macros;
use crate::status::Failure;
use std::net::IpAddr;
use std::sync::Arc;

/// Room for what rules are told of a client and a sender.
const MACROS: usize = 24;

/// Who speaks.
#[derive(Debug, Clone, Copy, Default)]
pub struct Client<'a> {
    /// Its address; `None` for a program of this host.
    pub ip: Option<IpAddr>,
    /// What DNS calls it; `None` when nobody asked.
    pub name: Option<&'a ClientName>,
    /// The name it gave in HELO.
    pub helo: Option<&'a str>,
    /// The account it logged in to.
    pub login: Option<&'a str>,
    /// It may send anywhere: [`crate::policy::may_relay`].
    pub is_trusted: bool,
    /// Version and cipher of its TLS.
    pub tls: Option<(&'a str, &'a str)>,
    /// What rules are told of it and a sender, where it was made ahead.
    pub told: Option<&'a Told>,
}

/// What rules are told of a client and the sender of its message: the same for all recipients.
#[derive(Debug, Clone)]
pub struct Told {
    macros: Macros,
    /// Of which client: its address, and whether it may send anywhere.
    of: (Option<IpAddr>, bool),
}

/// What check_ sets said of a text, by the set and the text; and what they had been told.
pub(super) type Verdicts = Remembered<(usize, Box<[u8]>), (Macros, (Admitted, bool))>;

/// What they said of any user of a domain, by the set and the domain; and whether the client may send there.
pub(super) type DomainVerdicts = Remembered<(usize, String), (Macros, bool)>;

/// What is done with what a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admitted {
    /// It goes on.
    Yes,
    /// It goes on, but the message is dropped in the end.
    Discard,
    /// It goes on, but the message is held in the queue: why.
    Quarantine(String),
}

impl Admitted {
    /// What stands when another part of the message was looked at: to drop it counts more than to hold it.
    pub fn join(&mut self, other: Admitted) {
        match (&self, &other) {
            (Admitted::Discard, _) | (_, Admitted::Yes) => {}
            (Admitted::Quarantine(_), Admitted::Quarantine(_)) => {}
            _ => *self = other,
        }
    }
}

impl Router {
    /// May this client connect?
    pub fn check_client(&self, client: &Client) -> Result<Admitted, Failure> {
        self.explain_client(client, &Steps::unwanted())
    }

    /// The same, and the decisions on the way.
    pub fn explain_client(&self, client: &Client, steps: &Steps) -> Result<Admitted, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let Some(set) = cf.sets.relay else { return Ok(Admitted::Yes) };
        let (name, address) = (client.name(), client.address());
        let texts: [&[u8]; 2] = [name.as_bytes(), address.as_bytes()];
        self.verdict(&cf, set, client, None, &texts, steps).map(|(admitted, _)| admitted)
    }

    /// May it send from this address?
    pub fn check_sender(&self, client: &Client, sender: Option<&Address>) -> Result<Admitted, Failure> {
        self.explain_sender(client, sender, &Steps::unwanted())
    }

    /// The same, and the decisions on the way.
    pub fn explain_sender(
        &self,
        client: &Client,
        sender: Option<&Address>,
        steps: &Steps,
    ) -> Result<Admitted, Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let Some(set) = cf.sets.mail else { return Ok(Admitted::Yes) };
        let text = to_rules(&print_path(sender));
        self.verdict(&cf, set, client, Some(sender), &[&text], steps).map(|(admitted, _)| admitted)
    }

    /// May it send to this address? Where it leads then.
    pub fn check_recipient(
        &self,
        client: &Client,
        sender: Option<&Address>,
        address: &Address,
        steps: &Steps,
    ) -> Result<(Admitted, Vec<Delivery>), Failure> {
        let cf = self.rules.current().map_err(broken_table)?;
        let text = to_rules(&format!("<{address}>"));
        // Mail that another host fetches comes from anybody.
        let is_fetched = self.is_fetched(address.domain());
        let (mut admitted, mut relays) = (Admitted::Yes, client.is_trusted || is_fetched);
        if let Some(set) = cf.sets.rcpt {
            let sender = Some(sender);
            let asking = Client { is_trusted: relays, ..*client };
            let mut outcome = self.verdict(&cf, set, &asking, sender, &[&text], steps);
            if outcome.is_err() && is_fetched && !client.is_trusted {
                // A file of rules may know nothing of such domains. What it would refuse this client for a domain of ours as well is no
                // matter of relaying.
                let ours = to_rules(&format!("<{}@{}>", address.local(), self.site.default_domain()));
                if self.verdict(&cf, set, client, sender, &[&ours], steps).is_ok() {
                    let program = Client { ip: None, ..asking };
                    outcome = self.verdict(&cf, set, &program, sender, &[&text], steps);
                }
            }
            if outcome.is_err() && client.is_trusted {
                let program = Client { ip: None, ..*client };
                outcome = self.verdict(&cf, set, &program, sender, &[&text], steps);
            }
            let (what, by_rules) = outcome.inspect_err(|failure| {
                steps.say(Decider::Policy, || format!("check_rcpt refuses: {} {}", failure.code, failure.public));
            })?;
            admitted = what;
            relays |= by_rules;
        }
        let is_own = cf.is_own(address.domain()) || self.site.is_local(address.domain());
        let denied = || Failure::permanent((7, 1), "Relaying denied", "not our domain, and the client may not relay");
        if !relays && !is_own {
            steps.say(Decider::Policy, || format!("{} is not ours, and the client may not relay", address.domain()));
            return Err(denied());
        }
        let is_hack = address.local().contains(['%', '!', '@', ':']);
        if !client.is_trusted
            && is_hack
            && is_own
            && matches!(self.routed(&cf, address, &Steps::unwanted()), Ok(Routed::Away { .. } | Routed::Agent(_)))
        {
            steps.say(Decider::Policy, || format!("{address} would be passed on, and the client may not relay"));
            return Err(denied());
        }
        let words = if is_own { "ours" } else { "passed on for this client" };
        steps.say(Decider::Policy, || format!("mail for {} is {words}", address.domain()));
        let deliveries = self.explain(address, steps)?;
        if let Some(set) = cf.sets.compat {
            let from = to_rules(&print_path(sender));
            match self.verdict(&cf, set, client, Some(sender), &[&from, &text], steps)?.0 {
                Admitted::Yes => {}
                // Here it is for one recipient, not for the message.
                Admitted::Discard => return Ok((admitted, vec![Delivery::new(Mailer::Discard, "")])),
                other => admitted = other,
            }
        }
        Ok((admitted, deliveries))
    }

    /// What a check_ set says, and whether that lets the client send there.
    fn verdict(
        &self,
        cf: &Arc<Compiled>,
        set: usize,
        client: &Client,
        sender: Option<Option<&Address>>,
        texts: &[&[u8]],
        steps: &Steps,
    ) -> Result<(Admitted, bool), Failure> {
        let ready = client.told.filter(|told| sender.is_some() && told.of == (client.ip, client.is_trusted));
        let (Some(told), [text], false) = (ready, texts, steps.are_wanted()) else {
            let mut message = ready.map_or_else(|| client.macros(sender), |told| told.macros.clone());
            return self.with_rules(cf, steps, &mut message, |run| settled(run.check(set, texts)));
        };
        let (user, domain) = in_brackets(text).unwrap_or_default();
        // A sender is among the macros, too: what is said of one is not said of others.
        let stranger = if Some(set) == cf.sets.rcpt { cf.stranger(user, domain) } else { None };
        let domain = (set, domain.to_string());
        let of_all = |(macros, relays): &(Macros, bool)| (*macros == told.macros).then_some((Admitted::Yes, *relays));
        if stranger.is_some()
            && let Some(verdict) = self.domain_verdicts.find(cf, &domain, of_all)
        {
            return Ok(verdict);
        }
        // Who sends to the same people again, or the next message to as many, is not judged anew.
        let key = (set, Box::from(*text));
        let same = |(macros, verdict): &(Macros, (Admitted, bool))| (*macros == told.macros).then(|| verdict.clone());
        if let Some(verdict) = self.verdicts.find(cf, &key, same) {
            return Ok(verdict);
        }
        let mut asked = Asked::default();
        let mut message = told.macros.clone();
        let (verdict, is_of_all) = self.with_rules_noting(cf, steps, &mut message, Some(&mut asked), |run| {
            run.watch_for(stranger);
            let verdict = settled(run.check(set, texts))?;
            Ok((verdict, run.has_passed_by()))
        })?;
        match &verdict {
            (Admitted::Yes, relays) if is_of_all => {
                self.domain_verdicts.keep(cf, domain, asked, || (told.macros.clone(), *relays));
            }
            _ => self.verdicts.keep(cf, key, asked, || (told.macros.clone(), verdict.clone())),
        }
        Ok(verdict)
    }
}

impl Told {
    /// The macros that are set.
    #[cfg(test)]
    pub(super) fn macros(&self) -> &Macros {
        &self.macros
    }
}

impl Client<'_> {
    /// What rules are told of it and this sender, to be kept beside it for the recipients.
    pub fn tell(&self, sender: Option<&Address>) -> Told {
        Told { macros: self.macros(Some(sender)), of: (self.ip, self.is_trusted) }
    }

    /// What rules are told of it, and of a sender where there is one.
    pub(super) fn macros(&self, sender: Option<Option<&Address>>) -> Macros {
        let mut message = Macros::with_room(MACROS);
        self.describe(&mut message);
        if let Some(sender) = sender {
            let path = print_path(sender);
            let bare = path.trim_start_matches('<').trim_end_matches('>');
            message.set(b"f", to_rules(bare));
            message.set(b"{mail_addr}", to_rules(bare));
            message.set(b"{mail_host}", sender.map(|s| s.domain().as_bytes().to_vec()).unwrap_or_default());
        }
        message
    }

    /// Its address as rules write it; empty for a program of this host, which sendmail's rules trust.
    fn address(&self) -> String {
        match self.ip.map(|ip| ip.to_canonical()) {
            Some(IpAddr::V6(ip)) => format!("IPv6:{ip}"),
            Some(ip) => ip.to_string(),
            None if self.is_trusted => String::new(),
            // A pipe without a peer's address is no proof of being local.
            None => "0.0.0.0".to_string(),
        }
    }

    /// Its name, if it is to be believed, else its address.
    fn name(&self) -> String {
        match self.name.and_then(ClientName::believed) {
            _ if self.ip.is_none() && self.is_trusted => "localhost".to_string(),
            Some(name) => name.to_string(),
            None => format!("[{}]", self.address()),
        }
    }

    /// Name and address, and what is to be thought of the name: `$_`.
    fn in_full(&self) -> String {
        let (name, address) = (self.name(), self.address());
        match self.name {
            _ if self.ip.is_none() => name,
            Some(known) if known.standing == Standing::Ok => format!("{name} [{address}]"),
            Some(known) if known.standing == Standing::Forged => format!("{} [{address}] (may be forged)", known.ptr),
            _ => name,
        }
    }

    fn describe(&self, message: &mut Macros) {
        let mut put = |name: &[u8], value: &str| message.set(name, to_rules(value));
        put(b"{client_addr}", &self.address());
        put(b"{client_name}", &self.name());
        put(b"{client_ptr}", self.name.map_or("", |name| &name.ptr));
        put(b"_", &self.in_full());
        let is_program = self.ip.is_none() && self.is_trusted;
        let standing = if is_program { Standing::Ok } else { self.name.map(|name| name.standing).unwrap_or_default() };
        put(b"{client_resolve}", standing.word());
        put(b"{client_trusted}", if self.is_trusted { "yes" } else { "no" });
        put(b"s", self.helo.unwrap_or(""));
        put(b"r", "ESMTP");
        if let Some(login) = self.login {
            put(b"{auth_type}", "PLAIN");
            put(b"{auth_authen}", login);
        }
        if let Some((version, cipher)) = self.tls {
            put(b"{tls_version}", version);
            put(b"{cipher}", cipher);
            put(b"{verify}", "NO");
        }
    }
}

/// User and domain of a text `<user@domain>`.
fn in_brackets(text: &[u8]) -> Option<(&str, &str)> {
    std::str::from_utf8(text).ok()?.strip_prefix('<')?.strip_suffix('>')?.split_once('@')
}

/// What is done, and whether the rules said in so many words that the client may send there.
pub(super) fn settled(verdict: Verdict) -> Result<(Admitted, bool), Failure> {
    match verdict {
        Verdict::Passed(text) => Ok((Admitted::Yes, text.eq_ignore_ascii_case(b"RELAY"))),
        Verdict::Accepted(_) => Ok((Admitted::Yes, true)),
        Verdict::Discarded => Ok((Admitted::Discard, false)),
        Verdict::Quarantined(reason) => Ok((Admitted::Quarantine(from_rules(&reason)), false)),
        Verdict::Refused(reply) => Err(refused(&reply)),
    }
}
