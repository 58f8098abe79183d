//! The SMTP and LMTP client: one conversation, read top-down on a thread of its own.
//!
//! [`Opening`] finds the host that is ready for mail. The next one of the plan is asked when that one closes the connection, or says 421,
//! before it has taken a recipient; from there on it is the only one of this attempt.
//! Invariant: a recipient is delivered only on the peer's 2xx after the text's end. What is unclear (a broken connection) is
//! temporary; after the final dot that may double the message, which RFC 5321 §4.2.5 prefers to losing it.
//! Whoever takes seven bits only gets the message encoded for it (RFC 6152 §3), where the settings want that.
//! RFC 1870, RFC 2033, RFC 2920, RFC 3030, RFC 3461 §6, RFC 6152, RFC 6531 §3.5.

use super::board::Verdict;
use super::onward::{self, NextHost};
use super::opening::{Extensions, Line, Open, Opening, Stop, reply_outcome};
use crate::addr::{Address, print_path};
use crate::clock::Timestamp;
use crate::dot::DotEncoder;
use crate::envelope::{Envelope, Mailer, Recipient, TlsWish};
use crate::msg::seven_bit;
use crate::nexthop::{Net, Plan};
use crate::settings;
use crate::spool::Outcome;
use crate::status::{Enhanced, Reply};
use std::io::Read;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// A server that takes so many recipients and then says "too many" is given the others in a new transaction at once.
const WORTHWHILE: usize = 10;

/// Up to this size, in octets, a message goes in one piece with its envelope to a host that knows CHUNKING.
const WHOLE: u64 = 256 << 10;
/// Largest message, in octets, that is encoded for a host that takes seven bits only; it is in memory then.
const ENCODED: u64 = 32 << 20;
/// Largest header, in octets, that is looked through for a field to be replaced.
const HEADER: usize = 1 << 20;
/// Most hosts that greet us and then send us away again, at one attempt.
const SESSIONS: usize = 3;
/// How long a host's goodbye is waited for.
pub(super) const GOODBYE: Duration = Duration::from_secs(2);

/// What one recipient's part of the conversation came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spoken {
    pub(super) outcome: Outcome,
    /// The next host takes care of DSNs (it said DSN).
    pub(super) passes_dsn: bool,
    /// The sender wants to hear that it was relayed.
    pub(super) owes_relayed: bool,
}

impl Spoken {
    /// An outcome of our own: no host has promised anything.
    pub(super) fn of(outcome: Outcome) -> Spoken {
        Spoken { outcome, passes_dsn: false, owes_relayed: false }
    }
}

/// One message to some recipients of one destination.
pub(super) struct Conversation<'a> {
    pub(super) net: &'a dyn Net,
    pub(super) plan: &'a Plan,
    /// Our name in EHLO.
    pub(super) hello: &'a str,
    pub(super) settings: &'a settings::Queue,
    /// Our own addresses to come from.
    pub(super) source: &'a [IpAddr],
    /// HELO is said where EHLO could be.
    pub(super) is_plain: bool,
    pub(super) envelope: &'a Envelope,
    pub(super) sender: Option<&'a Address>,
    /// The sender as MAIL names it, in brackets, where that is not its address.
    pub(super) reverse_path: Option<String>,
    pub(super) recipients: &'a [&'a Recipient],
    /// What is outside ASCII is encoded for hosts that do not offer 8BITMIME.
    pub(super) encodes: bool,
    /// How.
    pub(super) wish: seven_bit::Wish<'a>,
    /// The time, for what depends on how long a message has waited.
    pub(super) now: Timestamp,
}

/// What became of a conversation: one result for each recipient, in order, and what it says about the host.
pub(super) struct Held {
    pub(super) spoken: Vec<Spoken>,
    pub(super) verdict: Verdict,
}

/// How it went with one host.
struct Course {
    host: String,
    result: Result<(), Stop>,
    /// Its number among the plan's places; none when it was not opened for this plan.
    place: Option<usize>,
    /// It has taken a recipient.
    has_accepted: bool,
}

impl Course {
    /// True when the host has sent us away before it was at work: the next one may do better (RFC 5321 §5.1).
    fn is_away(&self, spoken: &[Option<Spoken>]) -> bool {
        let is_gone = matches!(self.result, Err(Stop::Net(_) | Stop::Refused(_)));
        is_gone && !self.has_accepted && spoken.iter().all(Option::is_none)
    }
}

/// Gives the message's text from its start, as often as it is asked.
pub(super) type Text<'a> = dyn FnMut() -> std::io::Result<Box<dyn Read>> + 'a;

impl Conversation<'_> {
    /// Holds the conversation. `text` is called again for each transaction.
    ///
    /// `kept` may hold a connection from before; after a conversation that went well it holds the one that was used.
    pub(super) fn hold(&self, kept: &mut Option<Open>, text: &mut Text<'_>) -> Held {
        let mut spoken = vec![None; self.recipients.len()];
        let old = kept.take().and_then(|open| match open.fits(self.plan) {
            true => Some(open),
            false => {
                open.quit(GOODBYE);
                None
            }
        });
        // A kept one was perhaps closed while it lay idle: when it fails before anybody has got anything, that is no failure of the host.
        let old = old.map(|open| self.on(open, kept, text, &mut spoken)).filter(|course| !course.is_away(&spoken));
        let course = old.unwrap_or_else(|| self.anew(kept, text, &mut spoken));
        let is_of_host = match &course.result {
            // That nobody can be trusted is this message's demand, and not that of others.
            Err(Stop::Tls(_)) if self.envelope.handling.tls == TlsWish::Required => None,
            Err(Stop::Local(_)) => None,
            Err(stop) => Some(stop.is_of_host() && !course.has_accepted && spoken.iter().all(Option::is_none)),
            Ok(()) => Some(false),
        };
        if let (Ok(()), true) = (&course.result, spoken.iter().all(Option::is_some)) {
            return Held { spoken: spoken.into_iter().flatten().collect(), verdict: Verdict::Reached };
        }
        let rest = match course.result {
            Ok(()) => Outcome::new(Enhanced(4, 5, 0), "the host said nothing about this recipient", &course.host),
            Err(stop) => stop.outcome(&course.host),
        };
        let verdict = match is_of_host {
            Some(true) => Verdict::Unreachable(rest.clone()),
            Some(false) => Verdict::Reached,
            None => Verdict::Unknown,
        };
        let unsaid = || Spoken::of(rest.clone());
        Held { spoken: spoken.into_iter().map(|s| s.unwrap_or_else(unsaid)).collect(), verdict }
    }

    /// One host of the plan after the other, until one is at work.
    fn anew(&self, kept: &mut Option<Open>, text: &mut Text<'_>, spoken: &mut [Option<Spoken>]) -> Course {
        let Conversation { net, plan, hello, settings, source, is_plain, .. } = *self;
        let opening = Opening { net, plan, hello, settings, source, is_plain };
        let mut try_from = |first: usize, spoken: &mut [Option<Spoken>]| {
            Some(match opening.open_from(first)? {
                Ok(open) => self.on(open, kept, text, spoken),
                Err((host, stop)) => Course { host, result: Err(stop), place: None, has_accepted: false },
            })
        };
        let nothing = || {
            let stop = Stop::Net("no address to connect to".to_string());
            Course { host: plan.key.clone(), result: Err(stop), place: None, has_accepted: false }
        };
        let mut course = try_from(0, spoken).unwrap_or_else(nothing);
        for _ in 1..SESSIONS {
            let Some(place) = course.place.filter(|_| course.is_away(spoken)) else { break };
            let Some(next) = try_from(place + 1, spoken) else { break };
            if let (Err(now), Err(before)) = (&next.result, &course.result)
                && next.is_away(spoken)
                && !now.counts_beside(before)
            {
                course.place = next.place;
                continue;
            }
            course = next;
        }
        course
    }

    fn on(
        &self,
        mut open: Open,
        kept: &mut Option<Open>,
        text: &mut Text<'_>,
        spoken: &mut [Option<Spoken>],
    ) -> Course {
        open.has_accepted = false;
        let place = open.place.take();
        let result = self.talk(&mut open, text, spoken);
        let (host, has_accepted) = (open.host.clone(), open.has_accepted);
        if result.is_ok() {
            open.used += 1;
            *kept = Some(open);
        }
        Course { host, result, place, has_accepted }
    }

    fn talk(&self, open: &mut Open, text: &mut Text<'_>, spoken: &mut [Option<Spoken>]) -> Result<(), Stop> {
        let mut todo = self.refuse_utf8(open, text, spoken)?;
        let encoded = if todo.is_empty() { None } else { self.in_seven_bits(open, text).map_err(Stop::Local)? };
        let size = encoded.as_ref().map_or(self.envelope.size, |text| text.len() as u64);
        let text: &mut Text<'_> = &mut || match &encoded {
            Some(encoded) => Ok(Box::new(std::io::Cursor::new(encoded.clone()))),
            None => text(),
        };
        if let Some(most) = open.extensions.most_octets.filter(|most| size > *most) {
            // RFC 1870 §6.1: it need not cross the line to be refused.
            let text = format!("The message has {size} octets, and the next host takes {most}");
            let outcome = Outcome::new(Enhanced(5, 3, 4), text, &open.host);
            todo.drain(..).for_each(|i| spoken[i] = Some(Spoken::of(outcome.clone())));
        }
        while !todo.is_empty() {
            let rest = todo.split_off(todo.len().min(open.extensions.recipients()));
            open.line.patience = self.settings.timeout_command;
            todo = [self.transaction(open, &todo, size, text, spoken)?, rest].concat();
        }
        Ok(())
    }

    /// The message for a host that takes seven bits only; `None` for its own text. SMTPUTF8 comes with eight (RFC 6531 §3.1).
    fn in_seven_bits(&self, open: &Open, text: &mut Text<'_>) -> std::io::Result<Option<Arc<[u8]>>> {
        let takes_eight = open.extensions.eight_bit || open.extensions.utf8;
        if takes_eight || !self.encodes || self.envelope.size > ENCODED {
            return Ok(None);
        }
        let mut whole = Vec::new();
        text()?.read_to_end(&mut whole)?;
        Ok(seven_bit::message_for(&whole, self.wish).map(Arc::from))
    }

    /// Refuses what a host without SMTPUTF8 can't have (RFC 6531 §3.5); gives the recipients that are left.
    fn refuse_utf8(&self, open: &Open, text: &mut Text<'_>, spoken: &mut [Option<Spoken>]) -> Result<Vec<usize>, Stop> {
        let all = 0..self.recipients.len();
        if open.extensions.utf8 {
            return Ok(all.collect());
        }
        let is_whole = self.sender.is_some_and(Address::is_utf8)
            || self.envelope.smtputf8 && !has_ascii_header(text).map_err(Stop::Local)?;
        let needs = |index: &usize| is_whole || !self.recipients[*index].delivery.user.is_ascii();
        let (refused, left): (Vec<usize>, Vec<usize>) = all.partition(needs);
        if refused.is_empty() {
            return Ok(left);
        }
        let text = "The next host does not take internationalized addresses";
        let outcome = reply_outcome(&Reply::new(550, Enhanced(5, 6, 7), text), &open.host);
        refused.into_iter().for_each(|i| spoken[i] = Some(Spoken::of(outcome.clone())));
        Ok(left)
    }

    /// One transaction for some of the recipients. Gives those that were too many for it and should come in another.
    ///
    /// What the peer says about a recipient is kept at once: whatever breaks later, nobody who has the message gets it again.
    fn transaction(
        &self,
        Open { line, extensions, next_host, host, has_accepted, .. }: &mut Open,
        batch: &[usize],
        size: u64,
        text: &mut Text<'_>,
        spoken: &mut [Option<Spoken>],
    ) -> Result<Vec<usize>, Stop> {
        let next_host = &*next_host;
        let has_dsn = next_host.dsn;
        let wishes = match onward::mail_parameters(self.envelope, next_host, self.now) {
            Ok(wishes) => wishes,
            Err((enhanced, text)) => {
                let outcome = Outcome::new(enhanced, text, host);
                batch.iter().for_each(|i| spoken[*i] = Some(Spoken::of(outcome.clone())));
                return Ok(Vec::new());
            }
        };
        let mut commands = vec![self.mail_command(extensions, has_dsn, size, batch) + &wishes];
        commands.extend(batch.iter().map(|i| self.rcpt_command(*i, next_host)));
        let text: &mut Text<'_> = &mut || tunnelled(text()?, self.envelope, next_host);
        let is_pipelined = extensions.pipelining;
        let is_chunked = is_pipelined && extensions.chunking && size <= WHOLE;
        if is_pipelined {
            // RFC 2920 §3.1: MAIL, RCPT and DATA may go in one piece, and so may all of a BDAT (RFC 3030 §2).
            let mut head = commands.join("\r\n");
            head.push_str("\r\n");
            match is_chunked {
                true => {
                    let (piece, start) = with_chunk(&head, size, text).map_err(Stop::Local)?;
                    line.wire.send(&piece[start..])?;
                }
                false => line.wire.send((head + "DATA\r\n").as_bytes())?,
            }
        }
        let next = |line: &mut Line, command: &str| if is_pipelined { line.hear() } else { line.ask(command) };
        let mail = next(line, &commands[0])?;
        let say = |index: usize, reply: &Reply| {
            let owes_relayed = onward::owes_relayed(self.recipients[index], self.envelope, next_host, self.now);
            Some(Spoken { outcome: reply_outcome(reply, host), passes_dsn: has_dsn, owes_relayed })
        };
        if !mail.is_positive() {
            batch.iter().for_each(|i| spoken[*i] = say(*i, &mail));
            if is_pipelined {
                batch.iter().try_for_each(|_| line.hear().map(|_| ()))?;
            }
            return self.nobody(line, is_pipelined, is_chunked);
        }
        let (mut accepted, mut crowded) = (Vec::new(), Vec::new());
        for (index, command) in batch.iter().zip(&commands[1..]) {
            let reply = next(line, command)?;
            if reply.is_positive() {
                *has_accepted = true;
                accepted.push(*index);
                continue;
            }
            // RFC 5321 §4.5.3.1.10: "too many recipients" is about this transaction, also when it comes as 552.
            let is_crowd = matches!(reply.code, 452 | 552) && reply.enhanced.is_none_or(|e| (e.1, e.2) == (5, 3));
            spoken[*index] = say(*index, &reply);
            if is_crowd {
                let outcome = Outcome { enhanced: Enhanced(4, 5, 3), ..reply_outcome(&reply, host) };
                spoken[*index] = Some(Spoken::of(outcome));
                crowded.push(*index);
            }
        }
        if accepted.is_empty() {
            return self.nobody(line, is_pipelined, is_chunked);
        }
        if !is_chunked {
            let data = next(line, "DATA")?;
            if data.code != 354 {
                // A host that says yes to DATA without asking for the text has not got the message.
                if data.is_positive() {
                    return Err(Stop::Protocol(format!("unexpected reply to DATA: {data}")));
                }
                accepted.iter().for_each(|i| spoken[*i] = say(*i, &data));
                line.ask("RSET")?;
                return Ok(Vec::new());
            }
            self.send_text(line, text)?;
        }
        line.patience = self.settings.timeout_data;
        let mut last = None;
        for index in &accepted {
            // RFC 2033 §4.2: LMTP answers for each recipient, SMTP once for all.
            if last.is_none() || self.plan.mailer == Mailer::Lmtp {
                let reply = line.hear()?;
                if (300..400).contains(&reply.code) {
                    return Err(Stop::Protocol(format!("unexpected reply to the message: {reply}")));
                }
                last = Some(reply);
            }
            spoken[*index] = last.as_ref().and_then(|reply| say(*index, reply));
        }
        // RFC 3030 §2: after a BDAT that failed the transaction is in doubt until RSET.
        if is_chunked && last.is_some_and(|reply| !reply.is_positive()) {
            line.ask("RSET")?;
        }
        if accepted.len() < WORTHWHILE {
            crowded.clear();
        }
        Ok(crowded)
    }

    /// Ends a transaction in which no recipient was taken, and whose text may be asked for or sent all the same.
    fn nobody(&self, line: &mut Line, is_pipelined: bool, is_chunked: bool) -> Result<Vec<usize>, Stop> {
        if is_chunked {
            line.hear()?;
        } else if is_pipelined && line.hear()?.code == 354 {
            // RFC 2920 §3.1: a server may ask for the text; a single dot ends it, and goes to nobody.
            line.ask(".")?;
        }
        line.ask("RSET")?;
        Ok(Vec::new())
    }

    fn send_text(&self, line: &mut Line, text: &mut Text<'_>) -> Result<(), Stop> {
        let mut text = text().map_err(Stop::Local)?;
        let mut encoder = DotEncoder::default();
        let mut buffer = vec![0; 64 << 10];
        let mut wire = Vec::new();
        loop {
            // A message that can't be read to its end must not look like a whole one: the connection breaks instead.
            let n = text.read(&mut buffer).map_err(Stop::Local)?;
            if n == 0 {
                break;
            }
            wire.clear();
            encoder.feed(&buffer[..n], &mut wire);
            line.wire.send(&wire)?;
        }
        wire.clear();
        encoder.finish(&mut wire);
        Ok(line.wire.send(&wire)?)
    }

    fn rcpt_command(&self, index: usize, host: &NextHost) -> String {
        let recipient = self.recipients[index];
        let mut command = format!("RCPT TO:<{}>", recipient.delivery.user);
        if let Some(notify) = onward::notify(recipient, self.envelope, host, self.now) {
            command.push_str(&format!(" NOTIFY={notify}"));
        }
        if host.dsn {
            let (kind, address) =
                recipient.orcpt.clone().unwrap_or_else(|| ("rfc822".to_string(), recipient.original.to_string()));
            if address.is_ascii() {
                command.push_str(&format!(" ORCPT={kind};{}", encodify::hex::XTEXT.encode(&address)));
            }
        }
        command
    }

    fn mail_command(&self, extensions: &Extensions, has_dsn: bool, size: u64, batch: &[usize]) -> String {
        let path = self.reverse_path.clone().unwrap_or_else(|| print_path(self.sender));
        let mut command = format!("MAIL FROM:{path}");
        if extensions.size {
            command.push_str(&format!(" SIZE={}", size + size / 40));
        }
        if self.envelope.eight_bit && extensions.eight_bit {
            command.push_str(" BODY=8BITMIME");
        }
        let is_utf8 = self.envelope.smtputf8
            || self.sender.is_some_and(Address::is_utf8)
            || batch.iter().any(|i| !self.recipients[*i].delivery.user.is_ascii());
        if is_utf8 && extensions.utf8 {
            command.push_str(" SMTPUTF8");
        }
        if has_dsn {
            if self.envelope.ret_full {
                command.push_str(" RET=FULL");
            }
            if let Some(envid) = &self.envelope.envid {
                command.push_str(&format!(" ENVID={}", encodify::hex::XTEXT.encode(envid)));
            }
        }
        command
    }
}

/// Commands and the whole message as one last chunk, with CRLF line ends; and where they begin in what is given.
fn with_chunk(commands: &str, size: u64, text: &mut Text<'_>) -> std::io::Result<(Vec<u8>, usize)> {
    /// `BDAT`, 20 digits, `LAST` and the line's end.
    const LINE: usize = 32;
    // The header may have grown by a field. One octet more, so that the end is seen by a read that gives nothing, and not by a
    // smaller one first.
    let mut whole = Vec::with_capacity(size as usize + 1);
    text()?.read_to_end(&mut whole)?;
    // The number of octets stands before them and is known behind them: there is room for it, and what is left of that is not sent.
    let room = commands.len() + LINE;
    let mut piece = Vec::with_capacity(room + whole.len() + whole.len() / 16);
    piece.resize(room, 0);
    let mut encoder = DotEncoder::of_chunks();
    encoder.feed(&whole, &mut piece);
    encoder.finish(&mut piece);
    let head = format!("{commands}BDAT {} LAST\r\n", piece.len() - room);
    let start = room - head.len();
    piece[start..room].copy_from_slice(head.as_bytes());
    Ok((piece, start))
}

/// The text as this host gets it: its header may carry the priority (RFC 6758 §3.3).
fn tunnelled(mut text: Box<dyn Read>, envelope: &Envelope, host: &NextHost) -> std::io::Result<Box<dyn Read>> {
    if envelope.handling.priority.is_none() || host.priority {
        return Ok(text);
    }
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let from = head.len().saturating_sub(1);
        let n = text.read(&mut buffer)?;
        head.extend_from_slice(&buffer[..n]);
        let end = memchr::memmem::find(&head[from..], b"\n\n").map(|at| from + at + 2);
        let Some(end) = end.or_else(|| (n == 0 || head.len() > HEADER).then_some(head.len())) else { continue };
        let changed = onward::tunnelled(&head[..end], envelope, host);
        let start = changed.map_or_else(|| head.clone(), |changed| [&changed, &head[end..]].concat());
        return Ok(Box::new(std::io::Cursor::new(start).chain(text)));
    }
}

/// Looks through a message's header for octets that need RFC 6532.
fn has_ascii_header(text: &mut Text<'_>) -> std::io::Result<bool> {
    let mut text = text()?;
    let mut buffer = vec![0; 16 << 10];
    let mut before = b'\n';
    loop {
        let n = text.read(&mut buffer)?;
        for byte in &buffer[..n] {
            if !byte.is_ascii() {
                return Ok(false);
            }
            if (before, *byte) == (b'\n', b'\n') {
                return Ok(true);
            }
            before = *byte;
        }
        if n == 0 {
            return Ok(true);
        }
    }
}
