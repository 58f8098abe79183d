//! emsend: sendmail(8)'s command line.
//!
//! The command line is sendmail's, so it is read by hand: flags may be glued to their values, `-o` takes a letter and a value, and what
//! a flag means depends on the name we are called by (`sendmail`, `mailq`, `newaliases`).

mod arguments;
mod deliver;
mod options;
mod testmode;

use super::{Ended, say};
use crate::addr::Address;
use crate::config::Site;
use crate::route::Steps;
use crate::serve::Gate;
use crate::status::Exit;
use arguments::{Arguments, Mode};
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
  -C FILE          a sendmail.cf for -bt
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
  -A -c -D -d -G -h -L -M -m -n -p -s -T -U -X -x: taken for compatibility, without effect
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
    let arguments = match arguments::parse(&called_as, words.collect()) {
        Ok(arguments) => arguments,
        Err(text) => return super::end("emsend", Err(Ended::new(Exit::Usage, text))),
    };
    super::end("emsend", run(arguments))
}

fn run(arguments: Arguments) -> super::Done {
    match arguments.mode {
        Mode::Help => return say(HELP).map(|()| Exit::Ok),
        Mode::Version => return say(concat!("emsend ", env!("CARGO_PKG_VERSION"), "\n")).map(|()| Exit::Ok),
        _ => {}
    }
    let root = super::root(arguments.root.as_deref());
    match &arguments.mode {
        Mode::Mailq(selection) => return super::emqueue::mailq(&root, selection),
        Mode::Newaliases => return newaliases(&root),
        Mode::Queue(selection, every) => return super::emqueue::run_for_sendmail(&root, selection.clone(), *every),
        Mode::Daemon => return super::emd::start(&root),
        Mode::Test => return testmode::run(&root, arguments.rules.as_deref()),
        Mode::Foreground => return super::emd::run_foreground(&root),
        Mode::Check => return super::emconf::check_all(&root),
        Mode::HostStatus => return say("Host status information is not kept\n").map(|()| Exit::Ok),
        _ => {}
    }
    let caller = nix::unistd::getuid();
    super::become_em(&root)?;
    let site = Arc::new(super::site("emsend", &root)?);
    let gate = Arc::new(Gate::new(site.clone(), super::emlocal_path()));
    match arguments.mode {
        Mode::Verify => verify(&gate, &arguments.recipients),
        Mode::Count => say(&format!("Total requests: {}\n", gate.spool.scan()?.len())).map(|()| Exit::Ok),
        Mode::Smtp if !deliver::may_write_queue(&gate.site) => Err(Ended::new(
            Exit::NoPerm,
            "-bs: you may only leave messages in the drop folder; name recipients, or use -t",
        )),
        Mode::Smtp => super::emsmtp::session_on_stdin(site, gate).map(|()| Exit::Ok),
        _ => deliver::run(&arguments, &gate, caller),
    }
}

/// -bv: where does it go, and why.
fn verify(gate: &Gate, recipients: &[String]) -> super::Done {
    let addresses = recipients_of(recipients, &gate.site)?;
    if addresses.is_empty() {
        return Err(Ended::new(Exit::Usage, "-bv wants addresses"));
    }
    let mut exit = Exit::Ok;
    for address in addresses {
        let mut steps = Steps::new();
        let result = gate.router.explain(&address, &mut steps);
        for step in steps {
            say(&format!("    {step}\n"))?;
        }
        match result {
            Ok(deliveries) => {
                for delivery in deliveries {
                    let host =
                        if delivery.host.is_empty() { String::new() } else { format!(", host {}", delivery.host) };
                    say(&format!(
                        "{address}... deliverable: mailer {}{host}, user {}\n",
                        delivery.mailer.name(),
                        delivery.user
                    ))?;
                }
            }
            Err(failure) => {
                say(&format!("{address}... {} {} {}\n", failure.code, failure.enhanced, failure.public))?;
                exit = failure.exit();
            }
        }
    }
    Ok(exit)
}

fn recipients_of(recipients: &[String], site: &Site) -> Result<Vec<Address>, Ended> {
    crate::submit::command_line_recipients(recipients, site).map_err(|text| Ended::new(Exit::Usage, text))
}

/// newaliases: there is no database to rebuild; the table is checked.
fn newaliases(root: &crate::settings::Root) -> super::Done {
    let site = super::site("newaliases", root)?;
    let table = crate::tables::Watched::<crate::tables::Aliases>::new(site.root.etc.join("aliases"));
    let aliases = table.read()?;
    say(&format!("{}: {} aliases\n", table.path().display(), aliases.iter().count()))?;
    Ok(Exit::Ok)
}
