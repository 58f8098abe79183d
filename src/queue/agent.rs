//! Deliveries by the mailers of a sendmail.cf: a conversation with a host, a program, or a file.
//!
//! Called by `attempt`, for one mailer, host and sender at a time. The message goes out with the header that the mailer wants
//! ([`crate::route::Agent`]), its lines as L=, E= and the flags say (`lines`).

use super::agent_wire::AgentNet;
use super::attempt::{Attempt, Runner, ours, owner, tls_wish};
use super::conversation::{Conversation, GOODBYE, Spoken};
use super::lines::{Lines, Shape};
use super::opening::{Net, Open};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::deliver::{AgentCall, run_agent};
use crate::envelope::{Envelope, Recipient, Source};
use crate::msg;
use crate::nexthop::Plan;
use crate::route::{Agent, Letterhead};
use crate::rules::macros::Macros;
use crate::settings::Cf;
use crate::spool::Outcome;
use crate::status::{Enhanced, Failure};
use nix::unistd::{Gid, Group, Uid, User};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Largest header that is rewritten, in octets.
const HEADER_LIMIT: usize = 1 << 20;

/// A message as a mailer gets it.
struct Dressed {
    agent: Agent,
    macros: Macros,
    header: Vec<u8>,
    /// Octets of the header as it lies in the queue, with its empty line.
    skip: u64,
    shape: Shape,
}

impl Runner {
    /// Delivers to these recipients, who have one mailer, host and sender.
    pub(super) fn by_agent(
        &self,
        attempt: &Attempt,
        sender: &str,
        numbers: &[usize],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Vec<Spoken> {
        let envelope = attempt.envelope();
        let Some(first) = numbers.first() else { return Vec::new() };
        let agent = match self.gate.router.agent(&envelope.recipients[*first].delivery) {
            Ok(agent) => agent,
            Err(failure) => return vec![Spoken::of(ours(failure)); numbers.len()],
        };
        let limit = usize::try_from(agent.mailer().recipients_limit).ok().filter(|limit| *limit > 0);
        let most = if agent.takes_many() { limit.unwrap_or(usize::MAX) } else { 1 };
        let mut spoken = Vec::with_capacity(numbers.len());
        for batch in numbers.chunks(most) {
            let recipients: Vec<&Recipient> = batch.iter().map(|number| &envelope.recipients[*number]).collect();
            let owner = owner(envelope, sender);
            let sender = owner.as_ref().or(envelope.sender.as_ref());
            match self.call(attempt, &agent, sender, &recipients, kept, now) {
                Ok(said) => spoken.extend(said),
                Err(failure) => spoken.extend(vec![Spoken::of(ours(failure)); batch.len()]),
            }
        }
        spoken
    }

    fn call(
        &self,
        attempt: &Attempt,
        agent: &Agent,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        kept: &mut Option<Open>,
        now: Timestamp,
    ) -> Result<Vec<Spoken>, Failure> {
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
            return self.by_lmtp(attempt, &dressed, sender, recipients, now);
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
        Ok(vec![Spoken::of(outcome); recipients.len()])
    }

    fn dressed(
        &self,
        attempt: &Attempt,
        agent: &Agent,
        sender: Option<&Address>,
        recipients: &[&Recipient],
        now: Timestamp,
    ) -> Result<Dressed, Failure> {
        let own = attempt.header(HEADER_LIMIT).map_err(|e| Failure::local(&e))?;
        let letter = Letterhead {
            id: attempt.id().as_str(),
            envelope: attempt.envelope(),
            sender,
            recipients,
            header: &own,
            now,
        };
        let router = &self.gate.router;
        let mut macros = router.macros_for(agent, &letter)?;
        let mut header = router.dressed(agent, &letter, &mut macros)?;
        header.push(b'\n');
        let mailer = agent.mailer();
        let cf = self.cf()?;
        // Whoever is spoken with gets the message as a conversation carries it.
        let is_network = agent.is_network() || agent.speaks_lmtp();
        if !mailer.has(b'n') && !is_network {
            let line = agent.expanded(&cf.from_line, &macros);
            header.splice(0..0, [&line[..], b"\n"].concat());
        }
        let shape = Shape {
            limit: usize::try_from(mailer.line_limit).unwrap_or(0),
            // The network's driver makes its own line ends and dots.
            end: if is_network { b"\n".to_vec() } else { mailer.line_end.clone() },
            stuffs_dots: mailer.has(b'X') && !is_network,
            escapes_from: mailer.has(b'E'),
            seven_bit: mailer.has(b'7'),
        };
        let fields: usize = msg::fields(&own).map(|field| field.raw.len()).sum();
        let has_end = own.get(fields) == Some(&b'\n');
        let skip = (fields + usize::from(has_end)) as u64;
        Ok(Dressed { agent: agent.clone(), macros, header, skip, shape })
    }

    fn cf(&self) -> Result<&Cf, Failure> {
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
    ) -> Result<Vec<Spoken>, Failure> {
        let (mailer, host) = dressed.agent.hop(&dressed.macros)?;
        let plan = self.hops.plan_for(mailer, &host, tls_wish(attempt.envelope()), now)?;
        self.spoken_to(attempt, dressed, sender, recipients, (&*self.net, &plan, kept), now)
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
        spoken
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
    ) -> Result<Vec<Spoken>, Failure> {
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
            hello: &self.gate.host,
            settings: &self.gate.site.settings.queue,
            source: &self.gate.site.settings.relay.source,
            envelope: &envelope,
            sender: shown.as_ref().or(sender),
            recipients,
            encodes: self.gate.site.settings.relay.encode_8bit,
            now,
        };
        let held = conversation.hold(kept, &mut || Ok(Box::new(dressed.text(attempt)?) as Box<dyn Read>));
        Ok(held.spoken)
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
            timeout: self.gate.site.settings.delivery.program_timeout,
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

impl Dressed {
    /// The message from its start.
    fn text(&self, attempt: &Attempt) -> io::Result<impl Read + use<>> {
        let mut message = attempt.work().claim.message()?;
        io::copy(&mut (&mut message).take(self.skip), &mut io::sink())?;
        let head = io::Cursor::new(self.header.clone());
        Ok(Lines::new(head.chain(message), self.shape.clone(), self.header.len()))
    }
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
