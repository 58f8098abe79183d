//! `emqueue hosts`: where mail for a destination would go at this moment, over which TLS, and how much of it.

use super::super::{Done, Ended, say};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::envelope::{Delivery, Mailer, TlsWish};
use crate::nexthop::{Hop, NextHops, Plan, Trust};
use crate::route::Router;
use crate::settings::{HostLimit, Queue, host_limit, print_rate};
use crate::status::Exit;
use serde_json::json;

/// Prints the plan for a domain, by its route, or for a route's host text.
pub(super) fn show(
    router: &Router,
    queue: &Queue,
    hops: &NextHops,
    destination: &str,
    requires_tls: bool,
    json: bool,
) -> Done {
    let now = Timestamp::now();
    let wish = if requires_tls { TlsWish::Required } else { TlsWish::Usual };
    let (mailer, host) = match Address::new("postmaster", destination) {
        Ok(address) if router.is_local(address.domain()) => {
            return Err(Ended::new(Exit::Usage, format!("mail for {destination} is delivered here")));
        }
        Ok(address) => {
            let host = address.domain().to_string();
            router.next_hop(&Delivery { host, ..Delivery::new(Mailer::Smtp, address.to_string()) })?
        }
        // No domain: what a route names.
        Err(_) => (Mailer::Smtp, destination.to_string()),
    };
    let plan = hops.plan_for(mailer, &host, wish, now)?;
    let limit = host_limit(&queue.limits, &plan.key);
    say(&if json { as_json(&plan, limit) } else { as_text(&plan, limit) })?;
    Ok(Exit::Ok)
}

fn as_text(plan: &Plan, limit: Option<&HostLimit>) -> String {
    let line = |hop: &Hop| {
        let place = match &hop.socket {
            Some(path) => format!("socket: {}", path.display()),
            None => {
                let addresses: Vec<String> = hop.addresses.iter().map(ToString::to_string).collect();
                format!("addresses: {}", addresses.join(" "))
            }
        };
        let login = hop.login.as_ref().map_or(String::new(), |login| format!(", login as {}", login.user));
        format!("{}\n    {place}\n    TLS: {}{login}\n", hop.name, tls(hop))
    };
    plan.hops.iter().map(line).chain(limit.map(|limit| limits(&plan.key, limit))).collect()
}

/// The member of queue.limits in words.
fn limits(key: &str, limit: &HostLimit) -> String {
    let messages = limit.messages.map(|rate| format!("messages {}", print_rate(rate)));
    let connections = limit.connections.map(|most| format!("connections at once {most}"));
    let words: Vec<String> = messages.into_iter().chain(connections).collect();
    format!("limits of {key}: {}\n", words.join(", "))
}

/// The demands in words.
fn tls(hop: &Hop) -> String {
    let demand = match &hop.security.trust {
        Trust::Clear => "not used".to_string(),
        Trust::May => "where it is offered, whatever the certificate".to_string(),
        Trust::Encrypt => "demanded, whatever the certificate".to_string(),
        Trust::Names(names) if hop.security.lenient => {
            format!("where it is offered; a certificate that is not for {} is only told", names.join(" or "))
        }
        Trust::Names(names) => format!("demanded, with a trusted certificate for {}", names.join(" or ")),
        Trust::Fingerprints(known) => format!("demanded, with one of {} fingerprints", known.len()),
        Trust::Dane { records, .. } => {
            let records: Vec<String> =
                records.iter().map(|r| format!("{} {} {}", r.usage, r.selector, r.matching)).collect();
            format!("demanded, as TLSA records say ({})", records.join(", "))
        }
    };
    if hop.security.implicit_tls { format!("from the start, {demand}") } else { demand }
}

fn as_json(plan: &Plan, limit: Option<&HostLimit>) -> String {
    plan.hops
        .iter()
        .map(|hop| {
            let security = &hop.security;
            let value = json!({
                "destination": plan.key,
                "host": hop.name,
                "addresses": hop.addresses,
                "socket": hop.socket,
                "tls": security.trust.to_string(),
                "implicit_tls": security.implicit_tls,
                "testing": security.lenient,
                "server_name": security.server_name,
                "policy": hop.policy.as_deref(),
                "messages": limit.and_then(|limit| limit.messages).map(print_rate),
                "connections": limit.and_then(|limit| limit.connections),
                "login": hop.login.as_ref().map(|login| &login.user),
            });
            format!("{value}\n")
        })
        .collect()
}
