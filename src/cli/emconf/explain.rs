//! `emsend -bt --explain ADDRESS`: why an address goes where it goes, in plain words or as JSON.
//!
//! Asks what a mail server would be asked: the client at its connection, the sender, the recipient; then the rules, aliases and accounts,
//! and for other hosts the host. Nothing is sent and nothing is looked up in the DNS.

use super::super::emsend::Question;
use super::super::{Done, Ended, say};
use crate::addr::{Address, parse_path};
use crate::config::Site;
use crate::envelope::{Delivery, Mailer};
use crate::policy;
use crate::route::{Admitted, Client, Decider, Router, Step, Steps};
use crate::status::{Exit, Failure};
use std::net::IpAddr;
use std::sync::Arc;

/// What an explanation is told as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// For people.
    Words,
    /// One object a line.
    Json,
}

pub(super) fn run(site: Site, question: &Question) -> Done {
    let form = if question.json { Form::Json } else { Form::Words };
    let usage = |text: String| Ended::new(Exit::Usage, text);
    let domain = site.default_domain();
    let address = Address::parse_loose(&question.address, &domain)
        .map_err(|e| usage(format!("--explain {:?}: {e}", question.address)))?;
    let sender = match &question.from {
        None => None,
        Some(text) => {
            let path = if text.starts_with('<') { text.clone() } else { format!("<{text}>") };
            parse_path(&path, &domain).map_err(|e| usage(format!("--from {text:?}: {e}")))?
        }
    };
    let ip = match &question.client {
        None => None,
        Some(text) => Some(text.parse::<IpAddr>().map_err(|e| usage(format!("--client {text:?}: {e}")))?),
    };
    let router = crate::cli::router(Arc::new(site));
    let steps = Steps::with_rules();
    let result = asked(&router, &address, sender.as_ref(), ip, question.from.is_some(), &steps);
    tell(&address, steps.into_list(), result, form)
}

/// Asks the questions in the order in which a client meets them.
fn asked(
    router: &Router,
    address: &Address,
    sender: Option<&Address>,
    ip: Option<IpAddr>,
    has_sender: bool,
    steps: &Steps,
) -> Result<Vec<Delivery>, Failure> {
    let is_trusted = ip.is_none() || policy::may_relay(router.site(), ip, None).is_ok();
    let name = ip.map(|ip| router.names().find(ip));
    let client = Client { ip, name: name.as_ref(), is_trusted, ..Client::default() };
    let note = |admitted: &Admitted, of: &str| match admitted {
        Admitted::Yes => steps.say(Decider::Policy, || format!("{of}: nothing against it")),
        Admitted::Discard => steps.say(Decider::Policy, || format!("{of}: the message will be dropped")),
        Admitted::Quarantine(why) => steps.say(Decider::Policy, || format!("{of}: the message will be held: {why}")),
    };
    if let Some(ip) = ip {
        let words = if is_trusted { "may send anywhere (server.networks_trusted)" } else { "may send to our domains" };
        steps.say(Decider::Policy, || format!("client {ip} {words}"));
        note(&router.explain_client(&client, steps)?, &format!("client {ip}"));
    }
    if has_sender {
        let path = crate::addr::print_path(sender);
        note(&router.explain_sender(&client, sender, steps)?, &format!("sender {path}"));
    }
    let deliveries = match ip.is_some() || has_sender {
        true => {
            let (admitted, deliveries) = router.check_recipient(&client, sender, address, steps)?;
            note(&admitted, &format!("recipient {address}"));
            deliveries
        }
        false => router.explain(address, steps)?,
    };
    steps.set_depth(0);
    for delivery in deliveries.iter().filter(|d| matches!(d.mailer, Mailer::Smtp | Mailer::Lmtp)) {
        router.explain_hop(delivery, &Steps::unwanted()).map(|(mailer, host)| {
            let what = if host.starts_with(['[', '/']) { "would connect to" } else { "would look up MX of" };
            steps.say(Decider::Result, || format!("{}: {what} {host} by {}", delivery.user, mailer.name()));
        })?;
    }
    Ok(deliveries)
}

/// Prints the decisions and what they came to; the exit code is that of the refusal.
pub(in crate::cli) fn tell(
    address: &Address,
    steps: Vec<Step>,
    result: Result<Vec<Delivery>, Failure>,
    form: Form,
) -> Done {
    for step in &steps {
        match form {
            Form::Words => say(&format!("    {step}\n"))?,
            Form::Json => {
                let place = step.place.as_ref();
                let object = serde_json::json!({
                    "decider": step.decider.name(),
                    "file": place.map(|(file, _)| file),
                    "line": place.map(|(_, line)| line),
                    "depth": step.depth,
                    "text": step.text,
                });
                say(&format!("{object}\n"))?;
            }
        }
    }
    match result {
        Ok(deliveries) => {
            for delivery in deliveries {
                let (mailer, user) = (delivery.mailer.name(), &delivery.user);
                match form {
                    Form::Words => {
                        let host =
                            if delivery.host.is_empty() { String::new() } else { format!(", host {}", delivery.host) };
                        say(&format!("{address}... deliverable: mailer {mailer}{host}, user {user}\n"))?;
                    }
                    Form::Json => {
                        let object = serde_json::json!({
                            "address": address.to_string(), "deliverable": true,
                            "mailer": mailer, "host": delivery.host, "user": user,
                        });
                        say(&format!("{object}\n"))?;
                    }
                }
            }
            Ok(Exit::Ok)
        }
        Err(failure) => {
            match form {
                Form::Words => {
                    // What stands in the way here and now: peers are not told, whoever asks at the command line should be.
                    if failure.is_temporary() && !failure.cause.is_empty() {
                        say(&format!("    {}\n", failure.cause.replace(char::is_control, " ")))?;
                    }
                    say(&format!("{address}... {} {} {}\n", failure.code, failure.enhanced, failure.public))?;
                }
                Form::Json => {
                    let object = serde_json::json!({
                        "address": address.to_string(), "deliverable": false, "code": failure.code,
                        "enhanced": failure.enhanced.to_string(), "text": failure.public, "cause": failure.cause,
                    });
                    say(&format!("{object}\n"))?;
                }
            }
            Ok(failure.exit())
        }
    }
}
