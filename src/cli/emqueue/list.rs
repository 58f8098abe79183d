//! Listings: ours, sendmail's mailq, and JSON.

use super::super::{Ended, say};
use crate::addr::{Address, print_path};
use crate::clock::Timestamp;
use crate::envelope::Envelope;
use crate::spool::{Id, Progress, Spool, State};
use crate::status::Exit;
use serde_json::json;
use std::io::{self, Read, Write};

/// Acts on messages until so many were there; gives their number.
fn each(
    spool: &Spool,
    ids: impl IntoIterator<Item = io::Result<Id>>,
    most: usize,
    mut act: impl FnMut(&Id, &Envelope, &Progress) -> Result<(), Ended>,
) -> Result<usize, Ended> {
    let mut count = 0;
    for id in ids {
        if count == most {
            break;
        }
        let id = id?;
        match spool.peek(&id) {
            Ok(Some((envelope, progress))) => {
                act(&id, &envelope, &progress)?;
                count += 1;
            }
            // Finished since the scan.
            Ok(None) => {}
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "emqueue: {id}: {e}");
            }
        }
    }
    Ok(count)
}

fn state_word(state: &State) -> &'static str {
    match &state.last {
        None => "waiting",
        Some(outcome) => match outcome.enhanced.0 {
            2 => "delivered",
            4 => "deferred",
            _ => "failed",
        },
    }
}

fn to_json(id: &Id, envelope: &Envelope, progress: &Progress) -> serde_json::Value {
    let recipient = |(recipient, state): (&crate::envelope::Recipient, &State)| {
        json!({
            "address": recipient.original.to_string(),
            "mailer": recipient.delivery.mailer.name(),
            "host": recipient.delivery.host,
            "user": recipient.delivery.user,
            "state": state_word(state),
            "reply": state.last.as_ref().map(|o| o.text.clone()),
            "cause": state.last.as_ref().map(|o| o.cause.clone()).filter(|c| !c.is_empty()),
            "code": state.last.as_ref().map(|o| o.enhanced.to_string()),
        })
    };
    let handling = &envelope.handling;
    json!({
        "id": id.as_str(),
        "arrived": envelope.arrived.rfc3339(),
        "sender": envelope.sender.as_ref().map(ToString::to_string).unwrap_or_default(),
        "size": envelope.size,
        "attempts": progress.attempts,
        "next": progress.next.map(|n| n.rfc3339()),
        "held": progress.held,
        "held_until": held_until(envelope, progress).map(|date| date.rfc3339()),
        "deliver_by": handling.by.map(|by| json!({ "at": by.at.rfc3339(), "mode": by.letters() })),
        "priority": handling.rank(),
        "tls": handling.tls.word(),
        "recipients": envelope.recipients.iter().zip(&progress.states).map(recipient).collect::<Vec<_>>(),
    })
}

/// `emqueue list`.
pub(super) fn list(
    spool: &Spool,
    ids: impl IntoIterator<Item = io::Result<Id>>,
    most: usize,
    json: bool,
) -> super::super::Done {
    each(spool, ids, most, |id, envelope, progress| {
        if json {
            return say(&format!("{}\n", to_json(id, envelope, progress)));
        }
        let mut mark = if progress.held { " held" } else { "" }.to_string();
        if let Some(date) = held_until(envelope, progress) {
            mark.push_str(&format!(" held until {}", date.short()));
        }
        if envelope.handling.rank() != 0 {
            mark.push_str(&format!(" priority {}", envelope.handling.rank()));
        }
        let next = progress.next.map_or("now".to_string(), |n| n.short());
        say(&format!(
            "{id}  {}  {:>8}  {}{mark}\n",
            envelope.arrived.short(),
            envelope.size,
            print_path(envelope.sender.as_ref())
        ))?;
        for (recipient, state) in envelope.recipients.iter().zip(&progress.states).filter(|(_, s)| s.is_owed()) {
            let reply = state.last.as_ref().map_or(String::new(), |o| format!("  ({})", one_line(&o.reason())));
            say(&format!("    {}  next {next}{reply}\n", recipient.original))?;
        }
        Ok(())
    })?;
    Ok(Exit::Ok)
}

/// `emqueue show`.
pub(super) fn show(spool: &Spool, ids: Vec<Id>, json: bool, text_only: bool) -> super::super::Done {
    each(spool, ids.into_iter().map(Ok), usize::MAX, |id, envelope, progress| {
        if json {
            return say(&format!("{}\n", to_json(id, envelope, progress)));
        }
        if !text_only {
            say(&format!(
                "id        {id}\narrived   {}\nsender    {}\n",
                envelope.arrived.rfc5322(),
                print_path(envelope.sender.as_ref())
            ))?;
            let source = &envelope.source;
            let from = [source.ip.map(|ip| ip.to_string()), source.helo.clone(), source.user.clone()];
            let from: Vec<String> = from.into_iter().flatten().collect();
            say(&format!(
                "received  {} {}\nsize      {}\nattempts  {}\n",
                source.protocol,
                one_line(&from.join(" ")),
                envelope.size,
                progress.attempts
            ))?;
            if let Some(next) = progress.next {
                say(&format!("next      {}\n", next.rfc5322()))?;
            }
            if progress.held {
                say("held      yes\n")?;
            }
            say(&wishes(envelope, progress))?;
            for (recipient, state) in envelope.recipients.iter().zip(&progress.states) {
                let delivery = &recipient.delivery;
                let reply = state.last.as_ref().map_or(String::new(), |o| format!(": {}", one_line(&o.reason())));
                say(&format!(
                    "to        {} by {} {} {}{reply}\n",
                    recipient.original,
                    delivery.mailer.name(),
                    one_line(&delivery.user),
                    state_word(state)
                ))?;
            }
            say("\n")?;
        }
        let mut text = Vec::new();
        if let Some(mut message) = spool.message(id)? {
            message.read_to_end(&mut text)?;
        }
        let mut out = std::io::stdout().lock();
        match out.write_all(&text).and_then(|()| out.flush()) {
            Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => Err(Ended::new(Exit::IoErr, e.to_string())),
            _ => Ok(()),
        }
    })?;
    Ok(Exit::Ok)
}

/// The date for which a message waits by its sender's wish; `None` once it has come or the administrator has let it go.
fn held_until(envelope: &Envelope, progress: &Progress) -> Option<Timestamp> {
    crate::queue::held_until(envelope, progress, Timestamp::now())
}

/// The lines of `show` about what the sender asked for.
fn wishes(envelope: &Envelope, progress: &Progress) -> String {
    let handling = &envelope.handling;
    let mut out = String::new();
    if let Some(date) = held_until(envelope, progress) {
        out.push_str(&format!("held      until {}\n", date.rfc5322()));
    }
    if let Some(by) = handling.by {
        out.push_str(&format!("by        {} ({})\n", by.at.rfc5322(), by.letters()));
    }
    if let Some(priority) = handling.priority {
        out.push_str(&format!("priority  {priority}\n"));
    }
    if let Some(word) = handling.tls.word() {
        out.push_str(&format!("tls       {word}\n"));
    }
    out
}

/// `mailq`, in sendmail's form. Where a sendmail.cf is in force, `bare` is our name, and addresses are shown as sendmail shows them: users
/// of ours without it, all without brackets.
pub(super) fn mailq(spool: &Spool, ids: impl ExactSizeIterator<Item = Id>, bare: Option<&str>) -> super::super::Done {
    let shown = |address: &Address| match bare {
        None => format!("<{address}>"),
        Some(domain) if address.domain() == domain => address.local().to_string(),
        Some(_) => address.to_string(),
    };
    if ids.len() == 0 {
        let dir = spool.queue_dir();
        let dir = dir.parent().unwrap_or(&dir);
        say(&format!("{} is empty\n\t\tTotal requests: 0\n", dir.display()))?;
        return Ok(Exit::Ok);
    }
    let noun = if ids.len() == 1 { "request" } else { "requests" };
    let dir = spool.queue_dir();
    let dir = if bare.is_some() { dir.parent().unwrap_or(&dir) } else { &dir };
    say(&format!("\t\t{} ({} {noun})\n", dir.display(), ids.len()))?;
    say("-----Q-ID------- --Size-- -----Q-Time----- ------------Sender/Recipient-----------\n")?;
    let count = each(spool, ids.map(Ok), usize::MAX, |id, envelope, progress| {
        let mark = if progress.held || held_until(envelope, progress).is_some() { '?' } else { ' ' };
        let nobody = || if bare.is_some() { "MAILER-DAEMON" } else { "<MAILER-DAEMON>" }.to_string();
        let sender = envelope.sender.as_ref().map_or_else(nobody, shown);
        let when = envelope.arrived.local("%a %b %e %H:%M");
        say(&format!("{id}{mark}{:>8} {when} {sender}\n", envelope.size))?;
        let reason = progress.states.iter().filter(|s| s.is_owed()).find_map(|s| s.last.as_ref());
        if let Some(outcome) = reason {
            let reason = one_line(&outcome.reason());
            let is_told = bare.is_none() || outcome.enhanced.0 != 4 || reason.starts_with("Deferred");
            let word = if is_told { "" } else { "Deferred: " };
            say(&format!("                 ({word}{reason})\n"))?;
        }
        for (recipient, _) in envelope.recipients.iter().zip(&progress.states).filter(|(_, s)| s.is_owed()) {
            let margin = if bare.is_some() { " " } else { "   " };
            say(&format!("\t\t\t\t\t{margin}{}\n", shown(&recipient.original)))?;
        }
        Ok(())
    })?;
    say(&format!("\t\tTotal requests: {count}\n"))?;
    Ok(Exit::Ok)
}

/// Foreign text on one line of a terminal.
fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
