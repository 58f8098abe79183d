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
use crate::envelope::{Delivery, Mailer};
use crate::route::{Decider, Steps};
use crate::serve::Gate;
use crate::settings::{DeliveryMode, ErrorMode};
use crate::status::{Exit, Failure};
use crate::submit::Taken;
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

/// Why a message was not taken, where sendmail says it: on standard output. With -oee the exit code is 0 in any case.
pub(super) fn told(done: Done, arguments: &Arguments, gate: &Gate) -> Done {
    let modes = Modes::of(arguments, &gate.site);
    match done {
        Err(ended) => {
            if modes.errors == ErrorMode::Print && !ended.text.is_empty() {
                say(&format!("{}\n", ended.text))?;
            }
            Ok(if modes.errors == ErrorMode::Always { Exit::Ok } else { ended.exit })
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
        match modes.delivery {
            DeliveryMode::Queue => {}
            DeliveryMode::Background => start_delivery(gate, &taken.id, false)?,
            DeliveryMode::Interactive => exit = worse(exit, wait(gate, taken, modes)?),
        }
    }
    Ok(if modes.errors == ErrorMode::Always { Exit::Ok } else { exit })
}

/// Runs the queue for the message, here and now; what is said goes where ours goes.
fn wait(gate: &Gate, taken: &Taken, modes: &Modes) -> Result<Exit, Ended> {
    let mut command = Command::new(bin_dir().join("emqueue"));
    command.args(gate.site.root.arguments()).args(["run", taken.id.as_str(), "--as-sendmail"]);
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
fn worse(one: Exit, other: Exit) -> Exit {
    if one == Exit::Ok { other } else { one }
}

/// An address as it was probably written: a user of this host without it.
fn address_of(gate: &Gate, address: &Address) -> String {
    match address.domain() == gate.site.default_domain() {
        true => address.local().to_string(),
        false => address.to_string(),
    }
}

/// -bv: what can't be delivered first, as it is found, then a line for each delivery.
pub(super) fn verify(gate: &Gate, addresses: &[Address], verbose: bool) -> Done {
    let mut exit = Exit::Ok;
    let mut lines: Vec<String> = Vec::new();
    for address in addresses {
        let asked = address_of(gate, address);
        let steps = if verbose { Steps::with_rules() } else { Steps::wanted() };
        let found = gate.router.explain(address, &steps);
        let steps = steps.into_list();
        if verbose {
            steps.iter().try_for_each(|step| say(&format!("    {step}\n")))?;
        }
        match found {
            Ok(deliveries) => {
                let is_alias = steps.iter().any(|step| step.decider == Decider::Alias);
                for delivery in &deliveries {
                    let line = line(if is_alias { None } else { Some(&asked) }, delivery);
                    if !lines.contains(&line) {
                        lines.push(line);
                    }
                }
            }
            Err(failure) => {
                say(&format!("{asked}... {}\n", failure.public))?;
                exit = worse(exit, exit_of(&failure));
            }
        }
    }
    say(&lines.concat())?;
    Ok(exit)
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
