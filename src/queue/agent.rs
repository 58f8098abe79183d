//! Deliveries by the mailers of a sendmail.cf: a conversation with a host, a program, or a file.
//!
//! Called by `attempt`, for one mailer, host and sender at a time. The message goes out with the header that the mailer wants
//! ([`crate::route::Agent`]), its lines as L=, E= and the flags say (`lines`).

use super::agent_wire::AgentNet;
use super::attempt::{Attempt, Runner, ours, owner, tls_wish};
use super::board::Verdict;
use super::conversation::{Conversation, GOODBYE, Held, Spoken};
use super::dressed::Dressed;
use super::opening::Open;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::deliver::{AgentCall, run_agent};
use crate::envelope::{Envelope, Recipient, Source};
use crate::nexthop::{Net, Plan};
use crate::route::Agent;
use crate::settings::Cf;
use crate::spool::Outcome;
use crate::status::{Enhanced, Failure};
use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::OsString;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

impl Runner {
    /// Delivers to these recipients, who have one mailer, host and sender.
    pub(super) fn by_agent(
        &self,
        attempt: &Attempt,
        sender: &str,
        numbers: &[usize],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Held {
        let envelope = attempt.envelope();
        let unknown = |spoken: Vec<Spoken>| Held { spoken, verdict: Verdict::Unknown };
        let Some(first) = numbers.first() else { return unknown(Vec::new()) };
        let agent = match self.gate.router.agent(&envelope.recipients[*first].delivery) {
            Ok(agent) => agent,
            Err(failure) => return unknown(vec![Spoken::of(ours(failure)); numbers.len()]),
        };
        let limit = usize::try_from(agent.mailer().recipients_limit).ok().filter(|limit| *limit > 0);
        let most = if agent.takes_many() { limit.unwrap_or(usize::MAX) } else { 1 };
        let (mut spoken, mut verdict) = (Vec::with_capacity(numbers.len()), Verdict::Unknown);
        for batch in numbers.chunks(most) {
            let recipients: Vec<&Recipient> = batch.iter().map(|number| &envelope.recipients[*number]).collect();
            let owner = owner(envelope, sender);
            let sender = owner.as_ref().or(envelope.sender.as_ref());
            match self.call(attempt, &agent, sender, &recipients, kept, now) {
                Ok(held) => {
                    spoken.extend(held.spoken);
                    verdict = verdict.and(held.verdict);
                }
                // Nobody was asked: that says nothing about a host.
                Err(failure) => spoken.extend(vec![Spoken::of(ours(failure)); batch.len()]),
            }
        }
        Held { spoken, verdict }
    }

    /// Why a mailer is not called now, if it is not.
    pub(super) fn held_back(&self, attempt: &Attempt, numbers: &[usize]) -> Option<&'static str> {
        if !self.holds_expensive && !self.holds_on_demand {
            return None;
        }
        let first = numbers.first().and_then(|number| attempt.envelope().recipients.get(*number))?;
        let agent = self.gate.router.agent(&first.delivery).ok()?;
        if self.holds_on_demand && agent.waits_for_demand() && attempt.progress().released.is_none() {
            return Some("Queued: its mailer waits until it is asked for (ETRN, -qR)");
        }
        (self.holds_expensive && agent.is_expensive()).then_some("Queued: its mailer is expensive")
    }

    fn call(
        &self,
        attempt: &Attempt,
        agent: &Agent,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Result<Held, Failure> {
        let envelope = attempt.envelope();
        let most = agent.mailer().size_limit;
        if most > 0 && envelope.size > most.unsigned_abs() {
            let text = format!("Message is too large; {most} bytes max");
            return Err(Failure::permanent((2, 3), text, "").with_code(552));
        }
        let dressed = self.dressed(attempt, agent, sender, recipients, now)?;
        if agent.is_network() {
            return self.by_network(attempt, &dressed, sender, recipients, kept, now);
        }
        if agent.speaks_lmtp() {
            let spoken = self.by_lmtp(attempt, &dressed, sender, recipients, now)?;
            return Ok(Held { spoken, verdict: Verdict::Unknown });
        }
        let mut text = dressed.text(attempt).map_err(|e| Failure::local(&e))?;
        let result = match agent.is_file() {
            true => self.to_file(&dressed, sender, recipients, &mut text),
            false => {
                let call = self.agent_call(&dressed, sender, recipients, &envelope.source)?;
                run_agent(&call, &mut text)
            }
        };
        let outcome = match result {
            Ok(said) => Outcome::new(Enhanced(2, 0, 0), if said.is_empty() { "Sent" } else { &said }, ""),
            Err(failure) => ours(failure),
        };
        Ok(Held { spoken: vec![Spoken::of(outcome); recipients.len()], verdict: Verdict::Unknown })
    }

    pub(super) fn cf(&self) -> Result<&Cf, Failure> {
        let text = "Local configuration error, try again later";
        self.gate
            .site
            .settings
            .cf
            .as_ref()
            .ok_or_else(|| Failure::temporary((3, 5), text, "no sendmail.cf is in force"))
    }

    fn by_network(
        &self,
        attempt: &Attempt,
        dressed: &Dressed,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Result<Held, Failure> {
        let (mailer, host) = dressed.agent.hop(&dressed.macros)?;
        let plan = self.hops.plan_for(mailer, &host, tls_wish(attempt.envelope()), now)?;
        let plan = match self.cf()?.connect_only_to {
            Some(ip) => Arc::new(at_address(&plan, ip)),
            None => plan,
        };
        let spoken = self.spoken_to(attempt, dressed, sender, recipients, (&*self.net, &plan, kept), now);
        // m=: so many messages, and the connection has done its part.
        let most = u32::try_from(dressed.agent.mailer().messages_limit).unwrap_or(0);
        if let Some(open) = kept.take_if(|open| most > 0 && open.used >= most) {
            open.quit(GOODBYE);
        }
        spoken
    }

    /// Starts the mailer's program and speaks LMTP with it. The next message gets one of its own: its arguments may differ.
    fn by_lmtp(
        &self,
        attempt: &Attempt,
        dressed: &Dressed,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        now: Timestamp,
    ) -> Result<Vec<Spoken>, Failure> {
        let net = AgentNet { call: self.agent_call(dressed, sender, recipients, &attempt.envelope().source)? };
        let (plan, mut kept) = (net.plan(), None);
        let spoken = self.spoken_to(attempt, dressed, sender, recipients, (&net, &plan, &mut kept), now);
        kept.into_iter().for_each(|open| open.quit(GOODBYE));
        spoken.map(|held| held.spoken)
    }

    /// The message by SMTP or LMTP, in the form that the mailer wants.
    fn spoken_to(
        &self,
        attempt: &Attempt,
        dressed: &Dressed,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        (net, plan, kept): (&dyn Net, &Plan, &mut Option<Open>),
        now: Timestamp,
    ) -> Result<Held, Failure> {
        // What the rules have made of the sender; what is no address any more goes as it came.
        let shown = sender.and_then(|_| {
            let text = dressed.agent.expanded(&[crate::rules::meta::MACRO, b'g'], &dressed.macros);
            Address::parse(String::from_utf8_lossy(&text).trim()).ok()
        });
        // SIZE and BDAT want to know how long it is now.
        let size = io::copy(&mut dressed.text(attempt).map_err(|e| Failure::local(&e))?, &mut io::sink());
        let size = size.map_err(|e| Failure::local(&e))?;
        let envelope = Envelope { size, ..attempt.envelope().clone() };
        let conversation = Conversation {
            net,
            plan,
            hello: Some(&*self.cf()?.helo_name).filter(|name| !name.is_empty()).unwrap_or(&self.gate.host),
            settings: &self.gate.site.settings.queue,
            source: &self.gate.site.settings.relay.source,
            is_plain: dressed.agent.mailer().has(b'2'),
            envelope: &envelope,
            sender: shown.as_ref().or(sender),
            reverse_path: self.gate.router.reverse_path(&dressed.agent, shown.as_ref().or(sender), &dressed.macros)?,
            recipients,
            encodes: self.gate.site.settings.relay.encode_8bit && !dressed.agent.mailer().has(b'8'),
            wish: dressed.wish(),
            now,
        };
        Ok(conversation.hold(kept, &mut || Ok(Box::new(dressed.text(attempt)?) as Box<dyn Read>)))
    }

    /// What is run for these recipients.
    fn agent_call(
        &self,
        dressed: &Dressed,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        source: &Source,
    ) -> Result<AgentCall, Failure> {
        let is_own = |sender: &Address| {
            source.user.as_deref() == Some(sender.local()) && sender.domain() == self.gate.site.hostname()
        };
        let names_sender = source.protocol == "local" && sender.is_some_and(|sender| !is_own(sender));
        let (agent, macros) = (&dressed.agent, &dressed.macros);
        let mailer = agent.mailer();
        let users: Vec<&str> = recipients.iter().map(|recipient| &*recipient.delivery.user).collect();
        // A stranger's address must not become an option of the program. A command of an alias is its administrator's.
        let names_them = agent.names_recipients() && &*mailer.name != "prog";
        if names_them && users.iter().any(|user| user.starts_with('-')) {
            let text = "Addresses that begin with a dash are not given to programs";
            return Err(Failure::permanent((1, 3), text, ""));
        }
        let folders = agent.expanded(&mailer.folder, macros);
        let folders = String::from_utf8_lossy(&folders).into_owned();
        Ok(AgentCall {
            program: PathBuf::from(OsString::from_vec(agent.expanded(&mailer.path, macros))),
            argv: agent.arguments(macros, &users, names_sender),
            rights: rights(agent, self.cf()?)?,
            folders: folders.split(':').filter(|folder| !folder.is_empty()).map(PathBuf::from).collect(),
            environment: self.environment(agent)?,
            timeout: agent.patience().unwrap_or(self.gate.site.settings.delivery.program_timeout),
        })
    }

    /// AGENT, the time zone, and what the E lines say: a value, or that ours is passed on.
    fn environment(&self, agent: &Agent) -> Result<Vec<(OsString, OsString)>, Failure> {
        let mut all: Vec<(OsString, OsString)> = vec![("AGENT".into(), "sendmail".into())];
        if let Some(zone) = self.cf()?.time_zone.as_ref().filter(|zone| !zone.is_empty()) {
            all.push(("TZ".into(), zone.into()));
        }
        all.extend(agent.environment().filter_map(|(name, value)| Some((name.into(), value?.into()))));
        Ok(all)
    }

    /// Appends to a file as the user whose rights apply: by a process of that user's.
    fn to_file(
        &self,
        dressed: &Dressed,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        text: &mut dyn Read,
    ) -> Result<String, Failure> {
        let cf = self.cf()?;
        let Some(only) = recipients.first() else { return Ok(String::new()) };
        let path = Path::new(&only.delivery.user);
        if path == Path::new("/dev/null") {
            return Ok(String::new());
        }
        let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
        if cf.safe_folder.as_ref().is_some_and(|folder| climbs || !path.starts_with(folder)) {
            return Err(Failure::permanent((0, 0), "Can't create output", "not below SafeFileEnvironment"));
        }
        let from = sender.map(Address::to_string).unwrap_or_default();
        let words = ["emqueue", "append", "--from", &from, "--", &only.delivery.user];
        let call = AgentCall {
            program: self.tool.clone(),
            argv: words.map(|word| word.as_bytes().to_vec()).to_vec(),
            rights: rights(&dressed.agent, cf)?,
            folders: Vec::new(),
            environment: Vec::new(),
            timeout: self.gate.site.settings.delivery.program_timeout,
        };
        run_agent(&call, text)
    }
}

/// The plan with one address for all its hosts (ConnectOnlyTo); ports and names stay.
fn at_address(plan: &Plan, ip: IpAddr) -> Plan {
    let mut plan = plan.clone();
    for hop in plan.hops.iter_mut().filter(|hop| hop.socket.is_none()) {
        let port = hop.addresses.first().map_or(25, SocketAddr::port);
        hop.addresses = vec![SocketAddr::new(ip, port)];
    }
    plan
}

/// Who a mailer runs as, where we are root: U= with flag S, the recipient's account, U=, DefaultUser.
fn rights(agent: &Agent, cf: &Cf) -> Result<Option<(Uid, Gid)>, Failure> {
    let mailer = agent.mailer();
    let own = named(&String::from_utf8_lossy(&mailer.user))?;
    if mailer.has(b'S') {
        return Ok(own);
    }
    if let Some(account) = agent.account()?.filter(|account| !account.uid.is_root()) {
        return Ok(Some((account.uid, account.gid)));
    }
    let fallback = if cf.default_user.is_empty() { "1:1" } else { &cf.default_user };
    match own {
        Some(own) => Ok(Some(own)),
        None => named(fallback),
    }
}

/// `user`, `user:group`, `user.group`, names or numbers; `None` for nothing.
fn named(text: &str) -> Result<Option<(Uid, Gid)>, Failure> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let unknown = |what: &str| {
        let text = "Local configuration error, try again later";
        Failure::temporary((3, 5), text, format!("there is no {what}"))
    };
    let local = |e: nix::errno::Errno| Failure::temporary((3, 0), "Local error in processing, try again later", e);
    let (user, group) = match text.split_once([':', '.']) {
        Some((user, group)) => (user.trim(), Some(group.trim())),
        None => (text, None),
    };
    let (uid, primary) = match user.parse::<u32>() {
        Ok(number) => (Uid::from_raw(number), None),
        Err(_) => {
            let account = User::from_name(user).map_err(local)?.ok_or_else(|| unknown(&format!("user {user}")))?;
            (account.uid, Some(account.gid))
        }
    };
    let gid = match group.filter(|group| !group.is_empty()) {
        None => primary.unwrap_or(Gid::from_raw(uid.as_raw())),
        Some(group) => match group.parse::<u32>() {
            Ok(number) => Gid::from_raw(number),
            Err(_) => Group::from_name(group).map_err(local)?.ok_or_else(|| unknown(&format!("group {group}")))?.gid,
        },
    };
    Ok(Some((uid, gid)))
}
