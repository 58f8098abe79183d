//! Mailers of a sendmail.cf that stands in the place of our settings: how one is called for a message.
//!
//! Called by `queue` when it delivers: the delivery names the mailer ([`Router::agent`]), an [`Agent`] says whether it is a host or a
//! program, and makes of a [`Letterhead`] the macros of the message, the arguments, and the header as that mailer wants it (`dress`).
//! Trust: macros hold peers' words. They reach a program as whole arguments, never through a shell of ours; what a file makes of
//! `sh -c $u` is the file's word, and only its own aliases and forward files lead there.

use super::em_cf::Compiled;
use super::surroundings::{from_rules, to_rules};
use super::{Router, Steps, broken_table};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Envelope, Mailer, Recipient};
use crate::msg;
use crate::rules::Rules;
use crate::rules::address::Role;
use crate::rules::dollars::expand;
use crate::rules::macros::{Layers, Macros};
use crate::rules::mailer;
use crate::rules::meta;
use crate::rules::run::unquoted;
use crate::rules::token::Token;
use crate::rules::world::exit;
use crate::status::Failure;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A mailer, ready to be called.
#[derive(Debug, Clone)]
pub struct Agent {
    pub(super) compiled: Arc<Compiled>,
    number: usize,
    /// The account whose rights apply (sendmail's controlling user).
    pub login: Option<String>,
}

/// What a mailer is told about a message.
#[derive(Debug, Clone, Copy)]
pub struct Letterhead<'a> {
    /// The message's id.
    pub id: &'a str,
    /// Its envelope.
    pub envelope: &'a Envelope,
    /// The sender of these deliveries: the envelope's, or a list's owner.
    pub sender: Option<&'a Address>,
    /// Whom this call is for.
    pub recipients: &'a [&'a Recipient],
    /// The message's own header.
    pub header: &'a [u8],
    /// The time.
    pub now: Timestamp,
}

impl Router {
    /// The mailer of a delivery.
    pub fn agent(&self, delivery: &Delivery) -> Result<Agent, Failure> {
        let compiled = self.rules.current().map_err(broken_table)?;
        let (name, login) =
            delivery.by.split_once(':').map_or((&*delivery.by, None), |(n, l)| (n, Some(l.to_string())));
        let is_it = |m: &mailer::Mailer| m.name.eq_ignore_ascii_case(name);
        match compiled.rules.mailers.iter().position(is_it) {
            Some(number) => Ok(Agent { compiled, number, login }),
            None => {
                let text = "The delivery's mailer is not in the configuration file any more";
                Err(Failure::temporary((3, 5), text, name))
            }
        }
    }

    /// True when a user may set any sender without a warning (class t).
    pub fn is_trusted_user(&self, login: &str) -> bool {
        let Ok(compiled) = self.rules.current() else { return false };
        compiled.rules.classes.members(b"t").any(|member| member == login.as_bytes())
    }

    /// A text of the file with its macros, at this moment; one line.
    pub fn expanded(&self, text: &[u8], now: Timestamp) -> String {
        let Ok(compiled) = self.rules.current() else { return String::new() };
        let mut own = Macros::default();
        own.set(b"b", now.rfc5322().into_bytes());
        let text = expand(text, &Layers { message: &own, file: &compiled.rules.macros });
        String::from_utf8_lossy(&text).chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }

    /// The macros that a message has at this mailer.
    pub fn macros_for(&self, agent: &Agent, letter: &Letterhead) -> Result<Macros, Failure> {
        let envelope = letter.envelope;
        let mut own = Macros::default();
        let mut put = |name: &[u8], value: &str| own.set(name, to_rules(value));
        put(b"i", letter.id);
        put(b"b", &letter.now.rfc5322());
        let date = msg::find(letter.header, "Date").map(|field| field.value()).filter(|date| !date.is_empty());
        put(b"a", &date.unwrap_or_else(|| envelope.arrived.rfc5322()));
        put(b"d", &letter.now.local("%a %b %e %H:%M:%S %Y"));
        put(b"t", &envelope.arrived.local("%Y%m%d%H%M"));
        put(b"p", &std::process::id().to_string());
        put(b"c", &msg::Facts::of(letter.header).hops.to_string());
        let source = &envelope.source;
        let user = source.user.as_deref().filter(|user| !user.is_empty());
        match source.ip {
            None => put(b"_", &format!("{}@localhost", user.unwrap_or("unknown"))),
            Some(ip) => {
                let address = literal(ip);
                let named = source.name.as_ref().map(|name| format!("{name} {address}"));
                put(b"_", &named.unwrap_or(address));
            }
        }
        if let Some(helo) = &source.helo {
            put(b"s", helo);
        }
        if source.protocol != "local" {
            put(b"r", &source.protocol);
        }
        if let (Some(user), Some(_)) = (user, source.ip) {
            put(b"{auth_type}", "PLAIN");
            put(b"{auth_authen}", user);
        }
        if let Some(name) = msg::find(letter.header, "Full-Name").map(|field| field.value()) {
            put(b"x", &name);
        }
        let sender = letter.sender.map(Address::to_string);
        put(b"f", sender.as_deref().unwrap_or("MAILER-DAEMON"));
        put(b"{mail_addr}", sender.as_deref().unwrap_or(""));
        if let Some(first) = letter.recipients.first() {
            put(b"h", &first.delivery.host);
        }
        if let [only] = letter.recipients {
            put(b"u", &only.delivery.user);
        }
        if let Some(account) = agent.account()? {
            put(b"z", &account.dir.to_string_lossy());
        }
        let shown = self.sender_for(agent, letter, &mut own)?;
        own.set(b"g", shown);
        Ok(own)
    }

    /// The sender as the mailer wants it on the envelope.
    fn sender_for(&self, agent: &Agent, letter: &Letterhead, message: &mut Macros) -> Result<Vec<u8>, Failure> {
        let Some(sender) = letter.sender else {
            return Ok(expand(&[meta::MACRO, b'n'], &agent.compiled.rules.macros));
        };
        // A user of this host who sends is known to the rules by his name, as he is to sendmail.
        let is_own = letter.envelope.source.ip.is_none() && sender.domain() == self.site.hostname();
        let text = if is_own { sender.local().to_string() } else { sender.to_string() };
        self.rewritten(agent, &to_rules(&text), Role { header: false, sender: true }, message, None)
    }

    /// The reverse path, where a mailer wants it in another form than the sender's address: flag g has reports come from `$n` and not
    /// from nobody, flag p names us in front of a stranger's address.
    pub fn reverse_path(
        &self,
        agent: &Agent,
        sender: Option<&Address>,
        message: &Macros,
    ) -> Result<Option<String>, Failure> {
        let mailer = agent.mailer();
        match sender {
            None if mailer.has(b'g') => {
                let name = expand(&[meta::MACRO, b'n'], &agent.compiled.rules.macros);
                let role = Role { header: false, sender: true };
                let text = self.rewritten(agent, &name, role, &mut message.clone(), None)?;
                let address = Address::parse_loose(from_rules(&text).trim(), &self.site.default_domain());
                Ok(address.ok().map(|address| format!("<{address}>")))
            }
            Some(sender) if mailer.has(b'p') && sender.domain() != self.site.hostname() => {
                Ok(Some(format!("<@{}:{sender}>", self.site.hostname())))
            }
            _ => Ok(None),
        }
    }

    /// The domain of a sender whose own mailer has flag C: names in the header that have none get it.
    pub(super) fn domain_for_names(
        &self,
        agent: &Agent,
        letter: &Letterhead,
        message: &mut Macros,
    ) -> Result<Option<Vec<Token>>, Failure> {
        let mailers = &agent.compiled.rules.mailers;
        let Some(sender) = letter.sender.filter(|_| mailers.iter().any(|mailer| mailer.has(b'C'))) else {
            return Ok(None);
        };
        self.with_rules(&agent.compiled, &Steps::unwanted(), message, |run| {
            Ok(run.domain_for_names(&to_rules(&sender.to_string())))
        })
    }

    /// An address as the mailer wants it; a name of a header without a domain gets this one.
    pub(super) fn rewritten(
        &self,
        agent: &Agent,
        text: &[u8],
        role: Role,
        message: &mut Macros,
        domain: Option<&[Token]>,
    ) -> Result<Vec<u8>, Failure> {
        self.with_rules(&agent.compiled, &Steps::unwanted(), message, |run| {
            let (text, status) = run.address_for(agent.mailer(), text, role, domain);
            match status {
                exit::TEMPORARY => Err(Failure::temporary((4, 3), "Temporary failure of a table, try again later", "")),
                _ => Ok(text),
            }
        })
    }
}

impl Agent {
    /// Its line in the file.
    pub fn mailer(&self) -> &mailer::Mailer {
        &self.compiled.rules.mailers[self.number]
    }

    /// True when one call serves several recipients; each file is one by itself.
    pub fn takes_many(&self) -> bool {
        !self.is_file() && (self.mailer().has(b'm') || self.is_network())
    }

    /// True when it is spoken to over the network.
    pub fn is_network(&self) -> bool {
        matches!(&self.mailer().path[..], b"[IPC]" | b"[TCP]")
    }

    /// True when LMTP is spoken with its program, by standard input and output.
    pub fn speaks_lmtp(&self) -> bool {
        self.mailer().has(b'z') && !self.is_network() && !self.is_file()
    }

    /// True when it appends to a file.
    pub fn is_file(&self) -> bool {
        self.mailer().path == b"[FILE]"
    }

    /// Whether it is expensive: with HoldExpensive its mail waits for a run of the queue.
    pub fn is_expensive(&self) -> bool {
        self.mailer().has(b'e')
    }

    /// Flag %: its mail waits until somebody asks for it (ETRN, -qI, -qR, -qS).
    pub fn waits_for_demand(&self) -> bool {
        self.mailer().has(b'%')
    }

    /// The account whose rights apply.
    pub fn account(&self) -> Result<Option<nix::unistd::User>, Failure> {
        let Some(login) = &self.login else { return Ok(None) };
        let found = nix::unistd::User::from_name(login)
            .map_err(|e| Failure::temporary((3, 0), "Local error in processing, try again later", e))?;
        found.map(Some).ok_or_else(|| Failure::permanent((1, 1), "User unknown", login))
    }

    /// W=: how long it may run, where that is said.
    pub fn patience(&self) -> Option<Duration> {
        let text = String::from_utf8_lossy(&self.mailer().wait).into_owned();
        Some(crate::config::cf::span(&text, 's')).filter(|span| !span.is_zero())
    }

    /// A text of the file with its macros.
    pub fn expanded(&self, text: &[u8], message: &Macros) -> Vec<u8> {
        let values = Layers { message, file: &self.compiled.rules.macros };
        let text = expand(text, &values);
        // What was made safe for the rules is what it was again.
        if text.is_ascii() { text } else { from_rules(&text).into_bytes() }
    }

    /// [`Agent::hop`] for any message to this host.
    pub fn hop_to(&self, host: &str) -> Result<(Mailer, String), Failure> {
        let mut own = Macros::default();
        own.set(b"h", to_rules(host));
        self.hop(&own)
    }

    /// What is spoken to a host, and the host as routes write it.
    pub fn hop(&self, message: &Macros) -> Result<(Mailer, String), Failure> {
        let mailer = self.mailer();
        let words: Vec<String> = mailer
            .arguments
            .iter()
            .map(|word| String::from_utf8_lossy(&self.expanded(word, message)).trim().to_string())
            .collect();
        let unable = |why: &str| {
            let cause = format!("mailer {}: {why}", mailer.name);
            Failure::temporary((3, 5), "Local configuration error, try again later", cause)
        };
        if words.first().is_some_and(|word| word == "FILE") {
            let path = words.get(1).filter(|path| path.starts_with('/'));
            let kind = if mailer.has(b'z') { Mailer::Lmtp } else { Mailer::Smtp };
            return Ok((kind, path.ok_or_else(|| unable("it names no socket"))?.clone()));
        }
        if !matches!(words.first().map(String::as_str), Some("TCP" | "IPC")) {
            return Err(unable("it is neither TCP nor FILE that it names"));
        }
        let host = words.get(1).map(|host| host.trim_end_matches('.')).filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| unable("it names no host"))?;
        let kind = if mailer.has(b'z') { Mailer::Lmtp } else { Mailer::Smtp };
        let unlisted = |host: &str| format!("[{}]", host.trim_end_matches('.'));
        // Flag 0: no MX records. Several hosts, ports and addresses in brackets are what they are.
        let named = if mailer.has(b'0') && !host.contains(['[', ':', '/']) { unlisted(host) } else { host.to_string() };
        let host = named.as_str();
        let port = match words.get(2).map(String::as_str) {
            None | Some("") => return Ok((kind, host.to_string())),
            Some("smtp") => 25,
            Some("submission") => 587,
            Some("lmtp") => 24,
            Some(word) => word.parse::<u16>().map_err(|_| unable("its port is no number"))?,
        };
        // Hosts are tried one after the other; a port of their own stands above the mailer's.
        let hosts = host.split(':').filter(|host| !host.is_empty()).map(|host| format!("{host}:{port}"));
        match host.contains('[') || !host.contains(':') {
            true if host.rsplit_once(']').map_or(host, |(_, behind)| behind).contains(':') => {
                Ok((kind, host.to_string()))
            }
            true => Ok((kind, format!("{host}:{port}"))),
            false => Ok((kind, hosts.collect::<Vec<_>>().join(","))),
        }
    }

    /// True when its arguments name the recipients.
    pub fn names_recipients(&self) -> bool {
        self.mailer().arguments.iter().any(|word| holds_user(word))
    }

    /// The argument vector for these recipients: what holds `$u` is there once for each (flag m).
    /// `names_sender` where the caller has set one with -f.
    pub fn arguments(&self, message: &Macros, users: &[&str], names_sender: bool) -> Vec<Vec<u8>> {
        let mailer = self.mailer();
        let mut words = Vec::new();
        for (index, word) in mailer.arguments.iter().enumerate() {
            if holds_user(word) {
                for user in users {
                    let mut own = message.clone();
                    // A command's or a path's own quotes went when the alias was read.
                    let is_written = matches!(&*mailer.name, "prog" | "*file*");
                    let user = match mailer.has(b'B') && !is_written {
                        true => without_backslashes(user),
                        false => user.to_string(),
                    };
                    let user = match mailer.has(b's') && !is_written {
                        true => unquoted(&to_rules(&user)),
                        false => to_rules(&user),
                    };
                    own.set(b"u", user);
                    words.push(self.expanded(word, &own));
                }
            } else {
                words.push(self.expanded(word, message));
            }
            // Flags f and r: the sender, behind the program's name.
            if index == 0 && names_sender {
                let flag = if mailer.has(b'r') { Some("-r") } else { mailer.has(b'f').then_some("-f") };
                if let Some(flag) = flag {
                    words.push(flag.into());
                    words.push(self.expanded(&[meta::MACRO, b'g'], message));
                }
            }
        }
        words
    }

    /// The E lines: what the environment of programs has, beside AGENT.
    pub fn environment(&self) -> impl Iterator<Item = (String, Option<String>)> {
        let lines = self.compiled.rules.others.iter().filter(|(kind, _)| *kind == b'E');
        lines.map(|(_, text)| {
            let text = String::from_utf8_lossy(text).trim().to_string();
            match text.split_once('=') {
                Some((name, value)) => (name.to_string(), Some(value.to_string())),
                None => (text, None),
            }
        })
    }
}

/// Lines of a file that nobody acts on, and what of its mailers can't be done: the line, from 1, and why.
pub(super) fn notes(rules: &Rules) -> Vec<(usize, String)> {
    let mut notes = Vec::new();
    for mailer in rules.mailers.iter().filter(|mailer| mailer.line > 0) {
        let mut note = |why: &str| notes.push((mailer.line, format!("mailer {}: {why}", mailer.name)));
        let is_network = matches!(&mailer.path[..], b"[IPC]" | b"[TCP]");
        if is_network && !mailer.arguments.first().is_some_and(|word| matches!(&word[..], b"TCP" | b"IPC" | b"FILE")) {
            note("A=: neither TCP nor FILE; its mail waits");
        }
        for (is_set, what) in [
            (!mailer.queue_group.is_empty(), "Q=: there is one queue"),
            (!mailer.root.is_empty(), "/=: its program sees the whole system, as the user whose rights it has"),
            (mailer.nice != 0, "N=: its program is as nice as who runs the queue"),
        ] {
            if is_set {
                note(what);
            }
        }
        for (flag, why) in UNSERVED.iter().filter(|(flag, _)| is_network && mailer.has(*flag)) {
            note(&format!("F={}: {why}", char::from(*flag)));
        }
    }
    notes
}

/// Flags that are not acted upon where a mailer speaks with hosts. Nothing is said of those that change nothing in sendmail either: H, N
/// (MAIL11), v (the length of a text) and ~ (homes) as it is built, I (VERB) without -v, i and j without a user database, whose option is told of.
const UNSERVED: [(u8, &str); 2] =
    [(b'9', "what is encoded goes to hosts as it is"), (b'R', "connections do not come from ports below 1024")];

/// Flag B: a user without the backslashes in front.
fn without_backslashes(user: &str) -> String {
    let bare = |local: &str| local.trim_start_matches('\\').to_string();
    match Address::parse(user) {
        Ok(address) => {
            address.with_local(&bare(address.local())).map_or_else(|_| bare(user), |address| address.to_string())
        }
        Err(_) => bare(user),
    }
}

/// True for a word with `$u`.
fn holds_user(word: &[u8]) -> bool {
    word.windows(2).any(|pair| pair == [meta::MACRO, b'u'])
}

fn literal(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => format!("[{ip}]"),
        IpAddr::V6(ip) => format!("[IPv6:{ip}]"),
    }
}
