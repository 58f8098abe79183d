//! emsend: sendmail(8)'s command line.
//!
//! The command line is sendmail's, so it is read by hand: flags may be glued to their values, `-o` takes a letter and a value, and what
//! a flag means depends on the name we are called by (`sendmail`, `mailq`, `newaliases`).
//!
//! This program takes messages, and starts a thousand times an hour on some hosts: it stays small. For what another command does, it
//! puts that command in its place, under the same name and with the same command line ([`handed_over`]).

mod arguments;
mod deliver;
mod old_file;
mod options;
mod returned;

pub(super) use arguments::{Mode, Question};
pub(super) use deliver::may_write_queue;

use super::emconf::{Form, tell};
use super::{Ended, say};
use crate::addr::Address;
use crate::config::Site;
use crate::route::Steps;
use crate::serve::Gate;
use crate::settings::Root;
use crate::status::Exit;
use arguments::Arguments;
use nix::unistd::Uid;
use std::process::ExitCode;
use std::sync::Arc;

const HELP: &str = "\
Usage: emsend [options] [recipient ...]

Takes a message from standard input, as sendmail does.

  -t               take recipients from To, Cc and Bcc of the message
  -i, -oi          a line with a dot alone does not end the message
  -f ADDRESS       envelope sender (-r is the same)
  -F NAME          the sender's full name
  -N dsn[,dsn]     never, or success, failure, delay
  -R full|hdrs     how much of the message a notification returns
  -V ENVID         envelope id for notifications
  -B 7BIT|8BITMIME kind of body
  -bm              deliver a message (the default)
  -bs              speak SMTP on standard input and output
  -bv              show where recipients go, send nothing
  -bt              test rewriting rules: etc/em.cf, or the file of -C
  -C FILE          a sendmail.cf that stands in the place of all settings: also for -bt
      --explain ADDRESS   with -bt: each rule, table row, alias and check that decides where it goes
      --from ADDRESS      with --explain: as mail from this sender
      --client IP         with --explain: as mail that this host brings
      --json              with --explain and -bv: one JSON object a line
  -bp              list the queue (as mailq)
  -bi              check the aliases (as newaliases)
  -bd, -bD         run all services: in the background (as emd start), in the foreground (as emd run)
  -bP              how many messages wait
  -bC              check the configuration (as emconf check)
  -q[TIME]         run the queue, once or every TIME
  -qI|R|S[!]TEXT   run what has TEXT in its id, recipient or sender
  -od MODE         i, b: deliver now; q: queue only
  -oe MODE         m, w: return errors by mail; p: print them; q: exit code only
  -v               say what is done
  -O OPTION=VALUE  the long names of the same; others have no effect
  -d[WHAT]         with -bt: trace, -d21.12 each rule tried; elsewhere without effect
  -m               with -C: the sender gets his copy of a list (-om)
  -A -c -D -G -h -L -M -n -p -s -T -U -X -x: taken for compatibility, without effect
      --root DIR   one folder with etc, spool and mail below it (also EM_ROOT)
      --help       this text
      --version    the version
";

/// The program.
pub fn main() -> ExitCode {
    super::start_faults();
    // A name in another character set (-F) is no reason to fail.
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let own = words.next().unwrap_or_default();
    let called_as = own.rsplit('/').next().unwrap_or("emsend").to_string();
    let words: Vec<String> = words.collect();
    let arguments = match arguments::parse(&called_as, words.clone()) {
        Ok(arguments) => arguments,
        Err(text) => return super::end("emsend", Err(Ended::new(Exit::Usage, text))),
    };
    match command_of(&arguments.mode) {
        Some(command) => super::end("emsend", hand_over(command, &called_as, &words)),
        None if asks_others(&arguments) => super::end("emsend", hand_over("emqueue", &called_as, &words)),
        None => super::end("emsend", run(arguments, |site| Gate::new(site, super::emlocal_path()))),
    }
}

/// True when the rules are the site's own, which may ask name servers: this command knows none, so that it starts quickly where nobody needs
/// them. Nothing is read to find out: we still have all our rights. Who may only use the drop folder asks nobody; what he hands in is
/// routed later.
fn asks_others(arguments: &Arguments) -> bool {
    let root = arguments.root();
    let has_rules = || root.cf.is_some() || root.etc.join("em.cf").exists();
    match arguments.mode {
        // A sendmail.cf is taken with the caller's own rights alone, whatever they are.
        Mode::Deliver => has_rules() && (root.cf.is_some() || may_write_queue(&root)),
        Mode::Verify => has_rules(),
        _ => false,
    }
}

/// The work of emsend, by a command that knows name servers and stands in its place.
pub(super) fn in_its_place() -> super::Done {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called_as = words.next().unwrap_or_default();
    let arguments = arguments::parse(&called_as, words.collect()).map_err(|text| Ended::new(Exit::Usage, text))?;
    run(arguments, super::gate)
}

/// Whose work a mode is, when it is not ours.
fn command_of(mode: &Mode) -> Option<&'static str> {
    match mode {
        Mode::Mailq(_) | Mode::Queue(..) | Mode::Count => Some("emqueue"),
        Mode::Smtp => Some("emsmtp"),
        Mode::Daemon | Mode::Foreground => Some("emd"),
        Mode::Check | Mode::Newaliases | Mode::Test(..) | Mode::Explain(_) => Some("emconf"),
        _ => None,
    }
}

/// Puts another command in our place; returns only when that fails.
fn hand_over(command: &str, called_as: &str, words: &[String]) -> super::Done {
    use nix::unistd::{getgid, setresgid};
    use std::os::unix::process::CommandExt;
    // The drop folder's group is for taking messages only, and the program found beside us need not be the one we think.
    setresgid(getgid(), getgid(), getgid()).map_err(|e| Ended::new(Exit::OsErr, format!("giving up a group: {e}")))?;
    let program = super::bin_dir().join(command);
    let name = if NAMES.contains(&called_as) { called_as } else { NAMES[0] };
    let error = std::process::Command::new(&program).arg0(name).args(words).exec();
    Err(Ended::new(Exit::OsFile, format!("{}: {error}", program.display())))
}

/// The names under which a command reads sendmail's command line.
const NAMES: [&str; 4] = ["emsend", "sendmail", "mailq", "newaliases"];

/// What a command does that stands in emsend's place, which it knows by its name; `None` when it does not.
pub(super) fn handed_over(act: impl FnOnce(&Mode, &Root) -> super::Done) -> Option<ExitCode> {
    let mut words = std::env::args_os().map(|word| word.to_string_lossy().into_owned());
    let called_as = words.next().unwrap_or_default();
    if !NAMES.contains(&called_as.as_str()) {
        return None;
    }
    super::start_faults();
    let done = arguments::parse(&called_as, words.collect())
        .map_err(|text| Ended::new(Exit::Usage, text))
        .and_then(|arguments| act(&arguments.mode, &arguments.root()));
    Some(super::end("emsend", done))
}

/// What a command says of a mode that is not its.
pub(super) fn not_mine() -> super::Done {
    Err(Ended::new(Exit::Usage, "this is the work of another command"))
}

fn run(arguments: Arguments, gate: fn(Arc<Site>) -> Gate) -> super::Done {
    match arguments.mode {
        Mode::Help => return say(HELP).map(|()| Exit::Ok),
        Mode::Version => return say(concat!("emsend ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| Exit::Ok),
        _ => {}
    }
    let root = arguments.root();
    if arguments.mode == Mode::HostStatus {
        return say("Host status information is not kept\n").map(|()| Exit::Ok);
    }
    let caller = nix::unistd::getuid();
    super::become_em(&root)?;
    let load = if arguments.mode == Mode::Verify { super::site_without_queue } else { super::site };
    let site = Arc::new(load("emsend", &root)?);
    if let Some(cf) = &site.settings.cf {
        cf.warnings.iter().try_for_each(|warning| say(&format!("{warning}\n")))?;
    }
    // It lasts as long as the process: to take it apart at the end would be a tenth of all the work.
    let gate: &Gate = Box::leak(Box::new(gate(site)));
    match arguments.mode {
        Mode::Verify => verify(gate, &arguments, caller),
        _ if gate.site.settings.cf.is_some() => {
            old_file::told(deliver::run(&arguments, gate, caller), &arguments, gate)
        }
        _ => deliver::run(&arguments, gate, caller),
    }
}

/// -bv: where does it go, and why.
fn verify(gate: &Gate, arguments: &Arguments, caller: Uid) -> super::Done {
    let is_old = gate.site.settings.cf.is_some();
    if is_old && arguments.recipients.is_empty() {
        say("Recipient names must be specified\n")?;
        return Ok(Exit::Usage);
    }
    let addresses = match recipients_of(&arguments.recipients, &gate.site) {
        Err(ended) if is_old => {
            say(&format!("{}\n", ended.text))?;
            return Ok(ended.exit);
        }
        read => read?,
    };
    if addresses.is_empty() {
        return Err(Ended::new(Exit::Usage, "-bv wants addresses"));
    }
    let form = if arguments.question.json { Form::Json } else { Form::Words };
    if is_old && form == Form::Words {
        let sender = deliver::sender_for(arguments, &gate.site, caller)?;
        return old_file::verify(gate, &addresses, &arguments.recipients, sender.as_ref(), arguments.verbose);
    }
    let mut exit = Exit::Ok;
    for address in addresses {
        let steps = if arguments.verbose { Steps::with_rules() } else { Steps::wanted() };
        let result = gate.router.explain(&address, &steps);
        match tell(&address, steps.into_list(), result, form)? {
            Exit::Ok => {}
            failed => exit = failed,
        }
    }
    Ok(exit)
}

fn recipients_of(recipients: &[String], site: &Site) -> Result<Vec<Address>, Ended> {
    let read = |words: &[String]| crate::submit::command_line_recipients(words, site);
    let wrong = || recipients.iter().find(|word| read(std::slice::from_ref(word)).is_err());
    read(recipients).map_err(|text| match wrong().filter(|_| site.settings.cf.is_some()) {
        Some(word) => Ended::new(Exit::Usage, old_file::unusable(word)),
        None => Ended::new(Exit::Usage, text),
    })
}
