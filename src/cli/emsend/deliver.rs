//! emsend -bm: a message from standard input.

use super::arguments::{Arguments, ErrorMode};
use super::{Ended, recipients_of};
use crate::addr::{Address, parse_path};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::queue::Runner;
use crate::serve::Gate;
use crate::spool::Id;
use crate::status::Exit;
use crate::submit::{self, Completion, Errors, Submission, TextReader};
use nix::unistd::{AccessFlags, Uid, User, access, geteuid};
use std::io::Write;
use std::process::{Command, Stdio};

/// Users that may name any sender without a warning.
const TRUSTED: [&str; 4] = ["root", "daemon", "em", "uucp"];

pub(super) fn run(arguments: &Arguments, gate: &std::sync::Arc<Gate>, caller: Uid) -> super::super::Done {
    let submission = submission(arguments, &gate.site, caller)?;
    if submission.recipients.is_empty() && !submission.from_header {
        return Err(Ended::new(Exit::Usage, "no recipients: name them, or take them from the header with -t"));
    }
    let stdin = std::io::stdin().lock();
    let mut text = TextReader::new(stdin, arguments.dot_ends);
    let now = Timestamp::now();
    if !may_write_queue(&gate.site) {
        gate.spool.hand_in(&Id::new(now), &submission.to_handed(), &mut text)?;
        gate.spool.poke();
        return Ok(Exit::Ok);
    }
    let taken = match submit::take(gate, &submission, &mut text, now) {
        Ok(taken) => taken,
        Err(failure) if arguments.errors == ErrorMode::Quiet => return Ok(failure.exit()),
        Err(failure) => return Err(Ended::new(failure.exit(), failure.public)),
    };
    if arguments.verbose {
        let mut err = std::io::stderr();
        let _ = writeln!(err, "{}: taken, {} deliveries", taken.id, taken.deliveries);
    }
    if gate.spool.is_queued(&taken.id) && !arguments.queue_only {
        start_delivery(gate, &taken.id, arguments.verbose)?;
    }
    let mut exit = Exit::Ok;
    for (address, failure) in &taken.refused {
        if arguments.errors == ErrorMode::Print {
            let _ = writeln!(std::io::stderr(), "emsend: {address}... {}", failure.public);
        }
        exit = failure.exit();
    }
    Ok(exit)
}

/// A caller of the set-gid binary may only use the drop folder.
fn may_write_queue(site: &Site) -> bool {
    let dirs = [site.root.spool.join("queue"), site.root.spool.join("tmp"), site.root.mail.clone()];
    dirs.iter().all(|dir| access(dir, AccessFlags::W_OK).is_ok())
}

fn submission(arguments: &Arguments, site: &Site, caller: Uid) -> Result<Submission, Ended> {
    let user = User::from_uid(caller).ok().flatten();
    let login = user.as_ref().map_or_else(|| format!("uid{caller}"), |u| u.name.clone());
    let domain = site.default_domain();
    let own = Address::new(&login, &domain).map_err(|e| Ended::new(Exit::NoUser, format!("{login}: {e}")))?;
    let sender = match arguments.sender.as_deref() {
        None => Some(own.clone()),
        Some("" | "<>") => None,
        Some(text) => {
            let address = match text.starts_with('<') {
                true => parse_path(text, &domain).ok().flatten().ok_or(crate::addr::AddressError::Syntax),
                false => Address::parse_loose(text, &domain),
            };
            Some(address.map_err(|e| Ended::new(Exit::DataErr, format!("-f {text}: {e}")))?)
        }
    };
    let is_trusted = TRUSTED.contains(&login.as_str()) || site.root.dir.is_some();
    let warning = match &sender {
        Some(sender) if *sender != own && !is_trusted => Some(submit::warning(site, &login, sender)),
        _ => None,
    };
    let gecos = || user.as_ref().map(|u| u.gecos.to_string_lossy().split(',').next().unwrap_or("").to_string());
    let is_own = sender.as_ref() == Some(&own);
    let full_name = arguments.full_name.clone().or_else(|| gecos().filter(|_| is_own)).unwrap_or_default();
    Ok(Submission {
        recipients: recipients_of(&arguments.recipients, site)?,
        from_header: arguments.from_header,
        notify: arguments.notify,
        ret_full: arguments.ret_full,
        envid: arguments.envid.clone(),
        login,
        completion: Completion { full_name, warning },
        errors: if arguments.errors == ErrorMode::Mail { Errors::Mail } else { Errors::Tell },
        eight_bit: arguments.eight_bit,
        sender,
    })
}

/// With a daemon the poke was enough; otherwise one runner for this message: in front of us with -v, behind us without.
fn start_delivery(gate: &std::sync::Arc<Gate>, id: &Id, verbose: bool) -> Result<(), Ended> {
    if gate.spool.poke() {
        return Ok(());
    }
    if verbose {
        let net = std::sync::Arc::new(crate::drive::Outgoing::default());
        let attempted = Runner::new(gate.clone(), net).run(id, Timestamp::now)?;
        let _ = writeln!(std::io::stderr(), "{id}: {attempted:?}");
        return Ok(());
    }
    let mut command = Command::new(super::super::bin_dir().join("emqueue"));
    if let Some(dir) = &gate.site.root.dir {
        command.arg("--root").arg(dir);
    }
    command.arg("run").arg(id.as_str()).current_dir("/");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // The message is safe in the queue; who runs it next is a matter of time only.
    if let Err(e) = std::os::unix::process::CommandExt::process_group(&mut command, 0).spawn() {
        crate::log::event("runner-not-started").id(id).field("reason", e).field("euid", geteuid()).error().write();
    }
    Ok(())
}
