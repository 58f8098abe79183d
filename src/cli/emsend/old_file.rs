//! emsend as sendmail, where -C names a sendmail.cf: what is printed, in sendmail's words and places, and what it ends with.
//!
//! Called by `deliver` and by -bv. The delivery itself is emqueue's, as everywhere; in the interactive mode it is waited for, and what
//! it says goes to standard output, where sendmail says it.

use super::super::{Done, Ended, bin_dir, say};
use super::arguments::Arguments;
use super::deliver::start_delivery;
use crate::addr::Address;
use crate::config::Site;
use crate::deliver::Sysexit;
use crate::envelope::{Delivery, Envelope, Mailer, Recipient};
use crate::route::{Decider, Steps};
use crate::serve::Gate;
use crate::settings::{DeliveryMode, ErrorMode};
use crate::spool::Id;
use crate::status::{Enhanced, Exit, Failure};
use crate::submit::Taken;
use std::collections::HashSet;
use std::process::{Command, Stdio};

/// How a message is taken and told about: by the command line, else by the file, else as sendmail does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Modes {
    pub(super) dot_ends: bool,
    pub(super) errors: ErrorMode,
    pub(super) delivery: DeliveryMode,
    pub(super) verbose: bool,
}

impl Modes {
    pub(super) fn of(arguments: &Arguments, site: &Site) -> Modes {
        let cf = site.settings.cf.clone().unwrap_or_default();
        // -v is interactive, as with sendmail.
        let delivery = if arguments.verbose { Some(DeliveryMode::Interactive) } else { None };
        Modes {
            dot_ends: arguments.dot_ends.unwrap_or(!cf.ignores_dots),
            errors: arguments.errors.unwrap_or(cf.errors),
            delivery: arguments.delivery.or(delivery).unwrap_or(cf.delivery),
            verbose: arguments.verbose || cf.verbose,
        }
    }
}

/// Why a message was not taken, where sendmail says it: on standard output. Nobody gets mail about it, whatever -oe says, so that the exit
/// code tells it in any case.
pub(super) fn told(done: Done, arguments: &Arguments, gate: &Gate) -> Done {
    let modes = Modes::of(arguments, &gate.site);
    match done {
        Err(ended) => {
            if modes.errors != ErrorMode::Quiet && !ended.text.is_empty() {
                say(&format!("{}\n", ended.text))?;
            }
            Ok(ended.exit)
        }
        done => done,
    }
}

/// Starts the delivery of a message that was taken, or waits for it; gives sendmail's exit code.
pub(super) fn deliver(gate: &Gate, taken: &Taken, modes: &Modes) -> Done {
    let mut exit = Exit::Ok;
    for (address, failure) in &taken.refused {
        tell_refused(&address_of(gate, address), failure, modes)?;
        exit = worse(exit, exit_of(failure));
    }
    if gate.spool.is_queued(&taken.id) {
        if let Ok(Some((envelope, _))) = gate.spool.peek(&taken.id) {
            exit = worse(exit, tell_members(&envelope, modes)?);
        }
        match modes.delivery {
            DeliveryMode::Queue => {}
            DeliveryMode::Background => start_delivery(gate, &taken.id, false)?,
            DeliveryMode::Interactive => exit = worse(exit, wait(gate, &taken.id, modes)?),
        }
    }
    Ok(if modes.errors == ErrorMode::Always { Exit::Ok } else { exit })
}

/// Runs the queue for the message, here and now; what is said goes where ours goes.
pub(super) fn wait(gate: &Gate, id: &Id, modes: &Modes) -> Result<Exit, Ended> {
    let mut command = Command::new(bin_dir().join("emqueue"));
    command.args(gate.site.root.arguments()).args(["run", id.as_str(), "--as-sendmail"]);
    if modes.verbose {
        command.arg("--print-all");
    }
    let status = command.current_dir("/").stdin(Stdio::null()).status();
    let status = status.map_err(|e| Ended::new(Exit::OsFile, format!("emqueue: {e}")))?;
    Ok(match status.code() {
        // It is queued: that is no failure.
        Some(75) | None => Exit::Ok,
        Some(code) => Exit::of_code(u8::try_from(code).unwrap_or(70)),
    })
}

/// Prints which members of lists can't be reached, where errors are printed.
fn tell_members(envelope: &Envelope, modes: &Modes) -> Result<Exit, Ended> {
    let mut exit = Exit::Ok;
    for Recipient { delivery, .. } in envelope.recipients.iter().filter(|r| r.delivery.mailer == Mailer::Error) {
        let (code, text) = told_of(delivery);
        if modes.errors == ErrorMode::Print && !delivery.by.is_empty() {
            say(&format!("{}... {text}\n", delivery.by))?;
        }
        exit = worse(exit, Sysexit::of_outcome(code, text));
    }
    Ok(exit)
}

/// What an error in the place of a delivery says.
fn told_of(delivery: &Delivery) -> (Enhanced, &str) {
    Enhanced::parse_prefix(&delivery.user).unwrap_or((Enhanced(5, 1, 1), &delivery.user))
}

/// Prints why a recipient is refused, where errors are printed.
fn tell_refused(address: &str, failure: &Failure, modes: &Modes) -> Result<(), Ended> {
    match modes.errors {
        ErrorMode::Print => say(&format!("{address}... {}\n", failure.public)),
        _ => Ok(()),
    }
}

/// The exit code of a refusal, in sendmail's table.
pub(super) fn exit_of(failure: &Failure) -> Exit {
    Sysexit::of_outcome(failure.enhanced, &failure.public)
}

/// A permanent failure shows beside all else.
pub(super) fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Ok { other } else { one }
}

/// An address as it was probably written: a user of this host without it.
fn address_of(gate: &Gate, address: &Address) -> String {
    match address.domain() == gate.site.default_domain() {
        true => address.local().to_string(),
        false => address.to_string(),
    }
}

/// -bv: what can't be delivered first, as it is found, then a line for each delivery, by hosts. Of a list the last member comes first.
/// `typed` is how addresses were written, `sender` who asks.
pub(super) fn verify(
    gate: &Gate,
    addresses: &[Address],
    typed: &[String],
    sender: Option<&Address>,
    verbose: bool,
) -> Done {
    let mut exit = Exit::Ok;
    let (mut lines, mut seen): (Vec<(String, String)>, HashSet<String>) = Default::default();
    for address in addresses {
        let (whole, short) = (address.to_string(), address_of(gate, address));
        let mut words = typed.iter().flat_map(|words| words.split([',', ' ']));
        let is_whole = words.find(|word| **word == whole || **word == short).is_some_and(|word| *word == whole);
        let asked = if is_whole { whole } else { short };
        let steps = if verbose { Steps::with_rules() } else { Steps::wanted() };
        let found = gate.router.explain(address, &steps);
        let steps = steps.into_list();
        if verbose {
            steps.iter().try_for_each(|step| say(&format!("    {step}\n")))?;
        }
        match found {
            Ok(mut deliveries) => {
                gate.router.spare_sender(sender, address, &mut deliveries);
                let is_alias = steps.iter().any(|step| step.decider == Decider::Alias);
                for delivery in &deliveries {
                    if delivery.mailer == Mailer::Error {
                        let (code, text) = told_of(delivery);
                        let who = if delivery.by.is_empty() { &asked } else { &delivery.by };
                        say(&format!("{who}... {text}\n"))?;
                        exit = worse(exit, Sysexit::of_outcome(code, text));
                        continue;
                    }
                    let shown = line(if is_alias { None } else { Some(&asked) }, delivery);
                    if seen.insert(line(None, delivery)) {
                        lines.push((delivery.host.to_ascii_lowercase().chars().rev().collect(), shown));
                    }
                }
            }
            Err(failure) => {
                let text = &failure.public;
                match text.starts_with("aliasing/") {
                    true => say(&format!("{text}\n"))?,
                    false => say(&format!("{asked}... {text}\n"))?,
                }
                exit = worse(exit, exit_of(&failure));
            }
        }
    }
    lines.sort_by(|(one, _), (other, _)| one.cmp(other));
    lines.iter().try_for_each(|(_, line)| say(line))?;
    Ok(exit)
}

/// Why a word of the command line is no address, as sendmail says it.
pub(super) fn unusable(word: &str) -> String {
    let why = match word.trim() {
        word if word.starts_with('@') && !word.contains(':') => "User address required",
        word if word.ends_with('@') => "Hostname required",
        _ => "Invalid route address",
    };
    format!("{word}... {why}")
}

fn line(asked: Option<&str>, delivery: &Delivery) -> String {
    let mailer = match delivery.mailer {
        Mailer::Agent => delivery.by.split(':').next().unwrap_or_default(),
        other => other.name(),
    };
    let host = if delivery.host.is_empty() { String::new() } else { format!(", host {}", delivery.host) };
    let user = match mailer {
        "prog" => format!("\"|{}\"", delivery.user),
        _ => delivery.user.clone(),
    };
    format!("{}... deliverable: mailer {mailer}{host}, user {user}\n", asked.unwrap_or(&user))
}
