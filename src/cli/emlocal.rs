//! emlocal: delivers one message from standard input, for any MTA and for our queue.
//!
//! Installed set-uid root (group em only) it delivers to system accounts: it becomes the recipient before it opens anything of his. With
//! set-uid rights only the installed system's settings count, and only callers in group em or root may use them.

mod system;

use super::{Ended, RootOption};
use crate::addr::{Address, parse_path};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::deliver::{Exec, Letter, alias_argv, run_program};
use crate::envelope::{Delivery, Mailer};
use crate::route::Router;
use crate::serve::Gate;
use crate::settings::Root;
use crate::spool::Id;
use crate::status::{Exit, Failure};
use crate::submit::TextReader;
use nix::unistd::{geteuid, getuid};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Delivers one message from standard input to local recipients
///
/// Exit codes are those of sysexits(3): 0 delivered, 75 try again later, 67 no such user, 69 refused.
#[derive(Debug, clap::Parser)]
#[command(name = "emlocal", version)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    /// Envelope sender; empty for the null sender
    #[arg(short = 'f', long = "from", value_name = "ADDRESS", default_value = "")]
    sender: String,
    /// Recipient: an address of ours, or a system account's name
    #[arg(short = 'd', long = "to", value_name = "RECIPIENT")]
    to: Vec<String>,
    /// Further recipients
    #[arg(value_name = "RECIPIENT")]
    more: Vec<String>,
    /// Refuse mailboxes that are over quota for good instead of for now
    #[arg(short = 'q')]
    quota_is_final: bool,
    /// Say what each line of the recipient's filter did and what would be delivered where; deliver nothing
    #[arg(long, value_name = "RECIPIENT")]
    explain: Option<String>,
    /// Run this alias command as the configured unprivileged user
    #[arg(long, hide = true, value_name = "COMMAND")]
    program: Option<String>,
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emlocal", run)
}

fn run(arguments: Arguments) -> super::Done {
    let is_privileged = geteuid().is_root() && !getuid().is_root();
    // A caller who lends our rights may not choose the configuration.
    let root = if is_privileged { Root::installed() } else { arguments.root.root() };
    if is_privileged {
        system::check_caller()?;
    }
    let site = Arc::new(super::site("emlocal", &root)?);
    if let Some(command) = &arguments.program {
        return program(command, &site);
    }
    if let Some(recipient) = &arguments.explain {
        return explain(&site, &sender(&arguments.sender, &site)?, recipient);
    }
    let recipients: Vec<&String> = arguments.to.iter().chain(&arguments.more).collect();
    if recipients.is_empty() {
        return Err(Ended::new(Exit::Usage, "no recipient: name one with -d"));
    }
    let sender = sender(&arguments.sender, &site)?;
    let text = read_all()?;
    // It lasts as long as the process: to take it apart at the end would be a tenth of all the work.
    let gate: &Gate = Box::leak(Box::new(crate::cli::gate(site)));
    let mut worst: Option<Failure> = None;
    for recipient in recipients {
        if let Err(failure) = deliver(gate, sender.as_ref(), recipient, &text, arguments.quota_is_final) {
            let _ = writeln!(std::io::stderr(), "emlocal: {recipient}: {failure}");
            // A recipient that can be tried again decides: the others have their copy.
            if worst.as_ref().is_none_or(|w| !w.is_temporary()) {
                worst = Some(failure);
            }
        }
    }
    // Every mail system keeps a message on 75; what they make of the code of a broken disk differs.
    Ok(worst.map_or(Exit::Ok, |f| if f.is_temporary() { Exit::TempFail } else { f.exit() }))
}

fn sender(text: &str, site: &Site) -> Result<Option<Address>, Ended> {
    let domain = site.default_domain();
    let parsed = match text {
        "" | "<>" => Ok(None),
        text if text.starts_with('<') => parse_path(text, &domain),
        text => Address::parse_loose(text, &domain).map(Some),
    };
    parsed.map_err(|e| Ended::new(Exit::DataErr, format!("-f {text}: {e}")))
}

/// The whole message: each recipient reads it from its start.
fn read_all() -> Result<Vec<u8>, Ended> {
    let mut text = Vec::new();
    let mut reader = TextReader::new(std::io::stdin().lock(), false);
    std::io::Read::read_to_end(&mut reader, &mut text)?;
    // An mbox separator from an MTA that speaks in that form.
    if text.starts_with(b"From ") {
        let end = memchr::memchr(b'\n', &text).map_or(text.len(), |i| i + 1);
        text.drain(..end);
    }
    Ok(text)
}

fn deliver(
    gate: &Gate,
    sender: Option<&Address>,
    recipient: &str,
    text: &[u8],
    quota_is_final: bool,
) -> Result<(), Failure> {
    let now = Timestamp::now();
    let address = Address::parse_loose(recipient, &gate.site.default_domain())
        .map_err(|e| Failure::permanent((1, 1), format!("{recipient}: {e}"), ""))?;
    let delivery = mailbox(&gate.router, &address)?;
    if delivery.mailer == Mailer::System {
        return system::deliver(&gate.site, &delivery.user, sender, text);
    }
    let id = Id::new(now);
    let mut reader = text;
    let mut letter = Letter { sender, original: &address, text: &mut reader };
    let draft = gate.spool.plain_draft(&id);
    match gate.postman.deliver(&delivery, &mut letter, draft, gate, now) {
        Ok(_) => {
            crate::log::event("delivered")
                .id(&id)
                .field("to", &address)
                .field("mailer", "mailbox")
                .field("user", &delivery.user)
                .write();
            Ok(())
        }
        Err(f) if quota_is_final && (f.enhanced.1, f.enhanced.2) == (2, 2) => {
            Err(Failure::permanent((2, 2), f.public, f.cause).with_code(552))
        }
        Err(failure) => Err(failure),
    }
}

/// Tells what would happen to the message on standard input.
fn explain(site: &Arc<Site>, sender: &Option<Address>, recipient: &str) -> super::Done {
    let text = read_all()?;
    let address = Address::parse_loose(recipient, &site.default_domain())
        .map_err(|e| Ended::new(Exit::Usage, format!("{recipient}: {e}")))?;
    let gate = crate::cli::gate(site.clone());
    let delivery = mailbox(&gate.router, &address)?;
    if delivery.mailer == Mailer::System {
        super::say(&format!("{address} is a system account: its .forward decides, or its .dovecot.sieve\n"))?;
        return Ok(Exit::Ok);
    }
    let lines = gate.postman.explain(&delivery, sender.as_ref(), &address, &text, Timestamp::now())?;
    super::say(&lines.iter().map(|line| format!("{line}\n")).collect::<String>())?;
    Ok(Exit::Ok)
}

/// The mailbox itself: whoever calls emlocal has done the aliases.
fn mailbox(router: &Router, address: &Address) -> Result<Delivery, Failure> {
    router.mailbox_of(address)?.ok_or_else(|| Failure::permanent((1, 1), format!("<{address}>: User unknown"), ""))
}

/// Runs an alias's program as `delivery.program_user`.
fn program(command: &str, site: &Site) -> super::Done {
    let settings = &site.settings.delivery;
    let argv = alias_argv(command, &settings.shell)?;
    let user = geteuid().is_root().then(|| settings.program_user.clone());
    let exec = Exec { argv, user, timeout: settings.program_timeout };
    let variable = |name: &str| std::env::var(name).unwrap_or_default();
    let sender = Address::parse(&variable("SENDER")).ok();
    let original = Address::parse(&variable("RECIPIENT"))
        .or_else(|_| Address::new("postmaster", &site.default_domain()))
        .map_err(|e| Ended::new(Exit::Software, e.to_string()))?;
    match run_program(&exec, sender.as_ref(), &original, &mut std::io::stdin().lock()) {
        Ok(output) => {
            super::say(&output)?;
            Ok(Exit::Ok)
        }
        Err(failure) => Err(Ended::new(failure.exit(), failure.public)),
    }
}
