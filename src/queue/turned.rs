//! Sending what waits for some domains over a connection that the other side has opened: on-demand mail relay (RFC 2645 §5.3).
//!
//! Called by `serve` on a thread of its own, with a [`Wire`] whose far end is the customer's connection. Each message is claimed for
//! its part of the conversation alone; what became of it is written down before the next one, and reports and the end are the runner's,
//! who is told that the message is due.
//! All messages go over the one connection; when it breaks, the rest stays for the next time.

use super::conversation::{Conversation, GOODBYE, Spoken};
use super::opening::{Open, Opening};
use super::schedule::held_until;
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Envelope, Mailer, Recipient};
use crate::log;
use crate::msg::seven_bit::Wish;
use crate::nexthop::{Hop, Net, NetError, Plan, Security, Wire};
use crate::serve::Gate;
use crate::spool::{Claim, Id, Progress, Record, Spool};
use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long one call waits in all for messages that others work on: a customer must not be told that he has no mail because an
/// attempt is just being written down.
const PATIENCE: Duration = Duration::from_secs(5);

/// The ids of messages that are owed to hosts of these domains and may be sent now, oldest first.
pub fn waiting(spool: &Spool, domains: &[String], now: Timestamp) -> io::Result<Vec<Id>> {
    let is_owed = |id: &Id| match spool.peek(id) {
        Ok(Some((envelope, progress))) => !parts(&envelope, &progress, domains, now).is_empty(),
        _ => false,
    };
    Ok(spool.scan()?.into_iter().filter(is_owed).collect())
}

/// Numbers of the recipients to be sent, by the sender in force.
fn parts<'a>(
    envelope: &'a Envelope,
    progress: &Progress,
    domains: &[String],
    now: Timestamp,
) -> BTreeMap<&'a str, Vec<usize>> {
    let mut parts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    if progress.held || held_until(envelope, progress, now).is_some() {
        return parts;
    }
    for (number, (recipient, state)) in envelope.recipients.iter().zip(&progress.states).enumerate() {
        let delivery = &recipient.delivery;
        if state.is_owed() && delivery.mailer == Mailer::Smtp && domains.contains(&delivery.host) {
            parts.entry(&delivery.sender).or_default().push(number);
        }
    }
    parts
}

/// Nothing is connected to: the connection is there, or it is lost.
struct Turned;

impl Net for Turned {
    fn connect(&self, _: SocketAddr, _: Option<IpAddr>, _: Duration) -> Result<Box<dyn Wire>, NetError> {
        Err(NetError("the connection was closed".to_string()))
    }
}

/// Sends these messages' recipients in the domains; gives how many were taken. Ends early when the connection breaks.
pub fn send(gate: &Gate, ids: &[Id], domains: &[String], wire: Box<dyn Wire>, now: fn() -> Timestamp) -> usize {
    let name = wire.peer();
    let (addresses, security) = (Vec::new(), Security::clear());
    let hop = Hop { name: name.clone(), addresses, socket: None, security, login: None, policy: None };
    let plan = Plan { key: name, mailer: Mailer::Smtp, hops: vec![hop] };
    let queue = &gate.site.settings.queue;
    let opening =
        Opening { net: &Turned, plan: &plan, hello: &gate.host, settings: queue, source: &[], is_plain: false };
    // TLS is the matter of who carries the connection: it lies below, or there is none.
    let mut kept = match opening.over(wire) {
        Ok(open) => Some(open),
        Err(stop) => {
            let outcome = stop.outcome(&plan.key);
            log::event("atrn-broken").field("host", &plan.key).field("reason", outcome.reason()).write();
            None
        }
    };
    let (mut taken, mut left) = (0, PATIENCE);
    for id in ids {
        let mut claim = match gate.spool.claim_patiently(id, &mut left) {
            Ok(claim) => claim,
            Err(e) => {
                log::event("not-fetched").id(id).field("reason", e).write();
                continue;
            }
        };
        match one(gate, &mut claim, domains, &plan, &mut kept, now) {
            Ok(count) => taken += count,
            Err(e) => {
                log::event("attempt-failed").id(id).field("reason", e).error().write();
                break;
            }
        }
        drop(claim);
        gate.spool.poke_id(id);
        if kept.is_none() {
            break;
        }
    }
    kept.into_iter().for_each(|open| open.quit(GOODBYE));
    taken
}

fn one(
    gate: &Gate,
    claim: &mut Claim,
    domains: &[String],
    plan: &Plan,
    kept: &mut Option<Open>,
    now: fn() -> Timestamp,
) -> io::Result<usize> {
    claim.reserve()?;
    let parts: Vec<(Option<Address>, Vec<usize>)> = parts(claim.envelope(), claim.progress(), domains, now())
        .into_iter()
        // A report stays a report when a list passes it on.
        .map(|(sender, numbers)| (claim.envelope().sender.as_ref().and(Address::parse(sender).ok()), numbers))
        .collect();
    let mut taken = 0;
    for (owner, numbers) in parts {
        let envelope = claim.envelope();
        let recipients: Vec<&Recipient> = numbers.iter().map(|n| &envelope.recipients[*n]).collect();
        let conversation = Conversation {
            net: &Turned,
            plan,
            hello: &gate.host,
            settings: &gate.site.settings.queue,
            envelope,
            sender: owner.as_ref().or(envelope.sender.as_ref()),
            reverse_path: None,
            recipients: &recipients,
            source: &[],
            encodes: gate.site.settings.relay.encode_8bit,
            wish: Wish::default(),
            is_plain: false,
            now: now(),
        };
        let held = conversation.hold(kept, &mut || Ok(Box::new(claim.message())));
        let spoken = held.spoken;
        let time = now();
        for (recipient, Spoken { outcome, .. }) in recipients.iter().zip(&spoken) {
            log::event(if outcome.enhanced.0 == 2 { "fetched" } else { "not-fetched" })
                .id(claim.id())
                .field("to", &recipient.original)
                .field("user", &recipient.delivery.user)
                .field("host", &outcome.host)
                .field("code", outcome.enhanced)
                .field("reply", &outcome.text)
                .write();
        }
        taken += spoken.iter().filter(|s| s.outcome.enhanced.0 == 2).count();
        let records = records(&numbers, spoken, time);
        claim.record(time, &records)?;
    }
    Ok(taken)
}

/// What is written down: outcomes, whom the other side tells itself (RFC 3461 §6.2), and that the runner has to look.
fn records(numbers: &[usize], spoken: Vec<Spoken>, now: Timestamp) -> Vec<Record> {
    let mut records = Vec::new();
    let (mut passed, mut relayed) = (Vec::new(), Vec::new());
    for (number, spoken) in numbers.iter().zip(spoken) {
        if spoken.outcome.enhanced.0 == 2 {
            match (spoken.owes_relayed, spoken.passes_dsn) {
                (true, _) => relayed.push(*number),
                (false, true) => passed.push(*number),
                _ => {}
            }
        }
        records.push(Record::Tried(vec![*number], spoken.outcome));
    }
    if !passed.is_empty() {
        records.push(Record::Reported(passed));
    }
    if !relayed.is_empty() {
        records.push(Record::Relayed(relayed));
    }
    records.push(Record::Next(now));
    records
}
