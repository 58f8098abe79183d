//! emsend -bm: a message from standard input.

use super::super::say;
use super::arguments::Arguments;
use super::old_file::{self, Modes};
use super::returned::{self, Refusal};
use super::{Ended, recipients_of};
use crate::addr::{Address, AddressError, Mailbox, parse_list, parse_path};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::serve::Gate;
use crate::settings::{DeliveryMode, ErrorMode, Root};
use crate::spool::Id;
use crate::status::{Exit, Failure};
use crate::submit::{self, Completion, Errors, Message, Submission, TextReader};
use nix::unistd::{AccessFlags, Uid, User, access, geteuid};
use std::io::Write;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// Users that may name any sender without a warning.
const TRUSTED: [&str; 4] = ["root", "daemon", "em", "uucp"];

pub(super) fn run(arguments: &Arguments, gate: &Gate, caller: Uid) -> super::super::Done {
    let modes = Modes::of(arguments, &gate.site);
    let is_old = gate.site.settings.cf.is_some();
    let (recipients, unusable) = match is_old {
        true => returned::usable(arguments, &gate.site),
        false => (recipients_of(&arguments.recipients, &gate.site)?, Vec::new()),
    };
    let submission = submission(arguments, recipients, &modes, gate, caller)?;
    let refusal =
        Refusal { gate, modes: &modes, sender: submission.sender.as_ref(), said: &unusable, is_of_header: false };
    if submission.recipients.is_empty() && !submission.from_header && !unusable.is_empty() {
        return refusal.end(&mut TextReader::new(std::io::stdin().lock(), modes.dot_ends));
    }
    refusal.print()?;
    if submission.recipients.is_empty() && !submission.from_header {
        if is_old {
            say("Recipient names must be specified\n")?;
            return Ok(if modes.errors == ErrorMode::Always { Exit::Ok } else { Exit::Usage });
        }
        return Err(Ended::new(Exit::Usage, "no recipients: name them, or take them from the header with -t"));
    }
    let exit_of = |failure: &Failure| match is_old && !failure.is_temporary() {
        true => old_file::exit_of(failure),
        false => failure.exit(),
    };
    let refused = |failure: Failure| match modes.errors {
        ErrorMode::Quiet => Ended::new(exit_of(&failure), ""),
        _ => Ended::new(exit_of(&failure), failure.public),
    };
    let limits = &gate.site.settings.smtp;
    let mut text = TextReader::new(std::io::stdin().lock(), modes.dot_ends).up_to(limits.message_size.0);
    let unreadable = |e: std::io::Error| submit::unreadable(&e, &gate.site);
    let mut message = match Message::read(&mut text, limits.header_size.0).map_err(unreadable) {
        Err(failure) if is_old && returned::is_of_text(&failure) => {
            let said = [failure.public];
            return Refusal { said: &said, is_of_header: true, ..refusal }.end_of_text(&mut std::io::empty());
        }
        read => read.map_err(refused)?,
    };
    // Looked at before a hand-in too: later there is nobody to be told.
    let misread = |failure| Ended { exit: Exit::DataErr, ..refused(failure) };
    let recipients = match message.recipients(&submission, &gate.site) {
        Err(failure) if is_old => {
            let unusable = returned::unusable_in(message.header(), &gate.site);
            let said = if unusable.is_empty() { vec![failure.public] } else { unusable };
            return Refusal { said: &said, is_of_header: true, ..refusal }.end(&mut message);
        }
        read => read.map_err(misread)?,
    };
    let header = message.header().to_vec();
    if recipients.is_empty() && is_old {
        // sendmail calls that a success.
        say("No recipient addresses found in header\n")?;
        return Ok(Exit::Ok);
    }
    if recipients.is_empty() {
        return Err(Ended::new(Exit::Usage, "no recipient addresses found in the header"));
    }
    let now = Timestamp::now();
    if !may_write_queue(&gate.site.root) {
        let handed = gate.spool.hand_in(&Id::new(now), &submission.to_handed(), &mut message);
        handed.map_err(|e| refused(unreadable(e)))?;
        gate.spool.poke_dropped();
        refusal.mail(&mut &*header)?;
        return Ok(refusal.exit());
    }
    let taken = match submit::take_message(gate, &submission, message, &recipients, now) {
        Err(failure) if is_old && returned::is_of_text(&failure) => {
            let said = [failure.public];
            return Refusal { said: &said, is_of_header: true, ..refusal }.end_of_text(&mut &*header);
        }
        taken => taken.map_err(refused)?,
    };
    if arguments.verbose && !is_old {
        let mut err = std::io::stderr();
        let _ = writeln!(err, "{}: taken, {} deliveries", taken.id, taken.deliveries);
    }
    if is_old {
        let exit = old_file::deliver(gate, &taken, &modes)?;
        refusal.mail(&mut &*header)?;
        return Ok(old_file::worse(refusal.exit(), exit));
    }
    if gate.spool.is_queued(&taken.id) && modes.delivery != DeliveryMode::Queue {
        start_delivery(gate, &taken.id, arguments.verbose)?;
    }
    let mut exit = Exit::Ok;
    for (address, failure) in &taken.refused {
        if modes.errors == ErrorMode::Print {
            let _ = writeln!(std::io::stderr(), "emsend: {address}... {}", failure.public);
        }
        exit = failure.exit();
    }
    Ok(exit)
}

/// A caller of the set-gid binary may only use the drop folder.
pub(in crate::cli) fn may_write_queue(root: &Root) -> bool {
    let dirs = [root.spool.join("queue"), root.spool.join("tmp"), root.mail.clone()];
    // A sendmail.cf knows no mailboxes of ours.
    let count = if root.cf.is_some() { 2 } else { 3 };
    dirs.iter().take(count).all(|dir| access(dir, AccessFlags::W_OK).is_ok())
}

fn submission(
    arguments: &Arguments,
    recipients: Vec<Address>,
    modes: &Modes,
    gate: &Gate,
    caller: Uid,
) -> Result<Submission, Ended> {
    let site = &*gate.site;
    let user = User::from_uid(caller).ok().flatten();
    let login = login_of(user.as_ref(), caller);
    let own = own_address(&login, site)?;
    let sender = sender(arguments, site, &own)?;
    let is_trusted = match &site.settings.cf {
        Some(cf) => !cf.is_private("authwarnings") || caller.is_root() || gate.router.is_trusted_user(&login),
        None => TRUSTED.contains(&login.as_str()) || site.root.dir.is_some(),
    };
    let warning = match &sender {
        Some(sender) if *sender != own && !is_trusted => Some(submit::warning(site, &login, sender)),
        _ => None,
    };
    let gecos = || user.as_ref().map(|u| person(&u.gecos.to_string_lossy(), &u.name));
    let is_own = sender.as_ref() == Some(&own);
    let full_name = arguments.full_name.clone().or_else(|| gecos().filter(|_| is_own)).unwrap_or_default();
    Ok(Submission {
        recipients,
        from_header: arguments.from_header,
        notify: arguments.notify,
        ret_full: arguments.ret_full,
        envid: arguments.envid.clone(),
        login,
        completion: Completion { full_name, warning },
        errors: match modes.errors {
            ErrorMode::Mail | ErrorMode::Always => Errors::Mail,
            ErrorMode::Print | ErrorMode::Quiet => Errors::Tell,
        },
        eight_bit: arguments.eight_bit.unwrap_or(true),
        is_labelled: arguments.eight_bit.is_some(),
        sender,
    })
}

fn login_of(user: Option<&User>, caller: Uid) -> String {
    user.map_or_else(|| format!("uid{caller}"), |u| u.name.clone())
}

fn own_address(login: &str, site: &Site) -> Result<Address, Ended> {
    Address::new(login, &site.default_domain()).map_err(|e| Ended::new(Exit::NoUser, format!("{login}: {e}")))
}

fn sender(arguments: &Arguments, site: &Site, own: &Address) -> Result<Option<Address>, Ended> {
    let of = |text: &str| sender_of(text, &site.default_domain());
    Ok(match arguments.sender.as_deref() {
        None => Some(own.clone()),
        Some("" | "<>") => None,
        Some(text) => Some(of(text).map_err(|e| Ended::new(Exit::Usage, format!("-f {text}: {e}")))?),
    })
}

/// Who sends: -f, or the caller.
pub(super) fn sender_for(arguments: &Arguments, site: &Site, caller: Uid) -> Result<Option<Address>, Ended> {
    let user = User::from_uid(caller).ok().flatten();
    sender(arguments, site, &own_address(&login_of(user.as_ref(), caller), site)?)
}

/// The address of -f, with or without brackets and a name.
fn sender_of(text: &str, domain: &str) -> Result<Address, AddressError> {
    if text.starts_with('<') {
        return parse_path(text, domain)?.ok_or(AddressError::Syntax);
    }
    match <[Mailbox; 1]>::try_from(parse_list(text, domain)?) {
        Ok([one]) => Ok(one.address),
        Err(several) if several.is_empty() => Err(AddressError::Empty),
        Err(_) => Err(AddressError::Several),
    }
}

/// The name in an account's comment field: up to the first comma, `&` for the login with a capital.
fn person(gecos: &str, login: &str) -> String {
    let mut capital: String = login.chars().take(1).flat_map(char::to_uppercase).collect();
    capital.extend(login.chars().skip(1));
    gecos.split(',').next().unwrap_or("").replace('&', &capital)
}

/// A daemon knows of it already; otherwise one runner for this message: in front of us with -v, behind us without.
pub(super) fn start_delivery(gate: &Gate, id: &Id, verbose: bool) -> Result<(), Ended> {
    if gate.spool.poke_quietly() {
        return Ok(());
    }
    let mut command = Command::new(super::super::bin_dir().join("emqueue"));
    command.args(gate.site.root.arguments());
    command.arg("run").arg(id.as_str()).current_dir("/");
    if gate.site.settings.cf.is_some() {
        command.arg("--as-sendmail");
    }
    if verbose {
        // What it says is for the terminal; our output stays the caller's.
        let err = std::io::stderr().as_fd().try_clone_to_owned()?;
        let status = command.stdin(Stdio::null()).stdout(err).status();
        return status.map(|_| ()).map_err(|e| Ended::new(Exit::OsFile, format!("emqueue: {e}")));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The message is safe in the queue; who runs it next is a matter of time only.
    if let Err(e) = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn() {
        crate::log::event("runner-not-started").id(id).field("reason", e).field("euid", geteuid()).error().write();
    }
    Ok(())
}
