//! emqueue: the queue from the shell.

mod as_sendmail;
mod daemon;
mod fetch;
mod hosts;
mod list;
mod requeue;
mod tls_report;
mod trace;

use super::emsend::Mode;
use super::{Ended, RootOption, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::{self, ClientTls, Dns, Outgoing, StsFetch};
use crate::nexthop::NextHops;
use crate::nexthop::cache::Cached;
use crate::nexthop::ledger::TlsLedger;
use crate::queue::{self, Attempted, Runner, Selection, Selector};
use crate::serve::Gate;
use crate::settings::Root;
use crate::spool::{Claim, ClaimError, Id, Record, Spool};
use crate::status::Exit;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// How long a command waits in all for messages that are just being worked on.
const PATIENCE: Duration = Duration::from_secs(2);

/// The queue: list, show, run, hold, release, delete, trace
#[derive(Debug, clap::Parser)]
#[command(name = "emqueue", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, clap::Args)]
struct Which {
    /// Message ids
    #[arg(value_name = "ID")]
    ids: Vec<String>,
    /// Messages whose id has this in it (a leading ! negates)
    #[arg(long, value_name = "TEXT")]
    id: Vec<String>,
    /// Messages still owed to a recipient with this in it
    #[arg(long, value_name = "TEXT")]
    recipient: Vec<String>,
    /// Messages from a sender with this in it
    #[arg(long, value_name = "TEXT")]
    sender: Vec<String>,
    /// Messages still owed to a host or domain with this in it
    #[arg(long, value_name = "TEXT")]
    site: Vec<String>,
    /// All messages
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// List the queue, the oldest first
    List {
        #[command(flatten)]
        which: Which,
        /// Only so many messages
        #[arg(long, value_name = "N")]
        limit: Option<usize>,
        /// Only messages behind this one: the next page
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Show envelope, progress and text of messages
    Show {
        #[command(flatten)]
        which: Which,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
        /// Only the message's text
        #[arg(long, conflicts_with = "json")]
        text: bool,
    },
    /// Try messages now; without a choice all that are due
    Run {
        #[command(flatten)]
        which: Which,
        /// End with what sendmail would end with
        #[arg(long, hide = true)]
        as_sendmail: bool,
        /// Print all outcomes as sendmail does
        #[arg(long, hide = true)]
        print_all: bool,
    },
    /// Append the message on standard input to a file, in mailbox form
    #[command(hide = true)]
    Append {
        /// The sender
        #[arg(long, hide = true, value_name = "ADDRESS", default_value = "")]
        from: String,
        /// The file
        file: std::path::PathBuf,
    },
    /// Make messages due at once and leave them to the daemon
    Flush {
        #[command(flatten)]
        which: Which,
    },
    /// Make no attempts until released
    Hold {
        #[command(flatten)]
        which: Which,
    },
    /// Let held messages go
    Release {
        #[command(flatten)]
        which: Which,
    },
    /// Delete messages; nobody is told
    Delete {
        #[command(flatten)]
        which: Which,
    },
    /// Route messages anew, as if they had just come in
    Requeue {
        #[command(flatten)]
        which: Which,
    },
    /// Tell a message's whole story from the log
    Trace {
        /// A message's id, an address, or a Message-ID
        word: String,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Show where mail for a destination would go now, and over which TLS
    Hosts {
        /// A domain, or what a route names: host:port, [host], [address]:port
        destination: String,
        /// As for a message that requires TLS (RFC 8689)
        #[arg(long)]
        requiretls: bool,
        /// Print JSON, one object a host
        #[arg(long)]
        json: bool,
    },
    /// Ask another host to send what waits there for our domains (ETRN)
    Etrn {
        /// The host, with a port when it is not 25
        #[arg(value_name = "HOST[:PORT]")]
        place: String,
        /// Domains, @DOMAIN with all below it; without any all of ours
        #[arg(value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Fetch what waits at another host, over the connection to it (ATRN)
    Atrn {
        /// The host, with a port when it is not 366
        #[arg(value_name = "HOST[:PORT]")]
        place: String,
        /// Log in there as this user
        #[arg(long, value_name = "USER")]
        user: String,
        /// File with the password in its first line, for our eyes only
        #[arg(long, value_name = "FILE")]
        password_file: std::path::PathBuf,
        /// Domains; without any all that the user may have
        #[arg(value_name = "DOMAIN")]
        domains: Vec<String>,
    },
    /// Remove what crashes have left behind
    Sweep,
    /// Tell other domains how TLS with their hosts went, for the days that are over
    TlsReport {
        /// Print the reports and send nothing
        #[arg(long)]
        show: bool,
    },
    /// Run the queue until stopped (under emd)
    Daemon,
}

/// The program.
pub fn main() -> ExitCode {
    let handed_over = super::emsend::handed_over(|mode, root| match mode {
        Mode::Mailq(selection) => mailq(root, selection),
        Mode::Queue(selection, every) => run_for_sendmail(root, selection.clone(), *every),
        Mode::Count => count(root),
        Mode::Deliver | Mode::Verify => super::emsend::in_its_place(),
        _ => super::emsend::not_mine(),
    });
    handed_over.unwrap_or_else(|| super::run("emqueue", run))
}

fn run(arguments: Arguments) -> super::Done {
    if let Action::Append { from, file } = &arguments.action {
        return as_sendmail::append(from, file);
    }
    let root = arguments.root.root();
    super::become_em(&root)?;
    let site = Arc::new(super::site("emqueue", &root)?);
    let spool = Spool::of(&site);
    match arguments.action {
        Action::List { which, json, limit, after } => {
            let limit = limit.unwrap_or(usize::MAX);
            let after = after
                .map(|text| Id::parse(&text).ok_or(text))
                .transpose()
                .map_err(|text| Ended::new(Exit::Usage, format!("{text:?} is no message id")))?;
            let is_after = |id: &Id| after.as_ref().is_none_or(|after| id > after);
            if which_is_empty(&which) {
                let listing = spool.listing().filter(|id| id.as_ref().map_or(true, is_after));
                return list::list(&spool, listing, limit, json);
            }
            let chosen = choose(&spool, &which)?.into_iter().filter(is_after).map(Ok);
            list::list(&spool, chosen, limit, json)
        }
        Action::Show { which, json, text } => list::show(&spool, choose(&spool, &which)?, json, text),
        Action::Append { .. } => super::emsend::not_mine(),
        Action::Run { which, as_sendmail: true, print_all } => {
            as_sendmail::run(&site, &choose(&spool, &which)?, print_all)
        }
        Action::Run { which, .. } if which_is_empty(&which) => attempt(&site, true, |spool| {
            let now = Timestamp::now();
            let is_due = |id: &Id| spool.progress(id, 0).is_ok_and(|p| p.is_due(now));
            Ok(spool.scan()?.into_iter().filter(is_due).collect())
        }),
        Action::Run { which, .. } => attempt(&site, false, |spool| choose(spool, &which)),
        Action::Flush { which } => {
            let ids = if which_is_empty(&which) { spool.scan()? } else { choose(&spool, &which)? };
            // What an administrator or a sender has held waits for a release.
            let release = |claim: &mut Claim| match claim.progress().held || is_held(claim) {
                true => Ok(()),
                false => claim.record(Timestamp::now(), &[Record::Released]).map_err(Ended::from),
            };
            each(&spool, &ids, release, true)
        }
        Action::Release { which } => each(
            &spool,
            &choose(&spool, &which)?,
            |claim| claim.record(Timestamp::now(), &[Record::Released]).map_err(Ended::from),
            true,
        ),
        Action::Hold { which } => each(
            &spool,
            &choose(&spool, &which)?,
            |claim| claim.record(Timestamp::now(), &[Record::Held]).map_err(Ended::from),
            false,
        ),
        Action::Delete { which } => delete(&spool, &choose(&spool, &which)?),
        Action::Requeue { which } => requeue::requeue(&site, &choose(&spool, &which)?),
        Action::Etrn { place, domains } => fetch::etrn(&site, &place, &domains),
        Action::Atrn { place, user, password_file, domains } => {
            fetch::atrn(site, &place, &user, &password_file, &domains)
        }
        Action::Trace { word, json } => trace::trace(&site, &word, json),
        Action::Sweep => {
            let removed = spool.sweep(Timestamp::now())?;
            if removed > 0 {
                say(&format!("{removed} files removed\n"))?;
            }
            Ok(Exit::Ok)
        }
        Action::Hosts { destination, requiretls, json } => {
            let (router, hops) = (crate::cli::router(site.clone()), network(&site).1);
            hosts::show(&router, &site.settings.queue, &hops, &destination, requiretls, json)
        }
        Action::TlsReport { show } => tls_report::send(&site, show),
        Action::Daemon => daemon::daemon(site),
    }
}

/// `sendmail -bP`.
fn count(root: &Root) -> super::Done {
    super::become_em(root)?;
    let site = super::site("emqueue", root)?;
    super::say(&format!("Total requests: {}\n", Spool::of(&site).oldest()?.len())).map(|()| Exit::Ok)
}

/// `mailq`.
fn mailq(root: &Root, selection: &Selection) -> super::Done {
    super::become_em(root)?;
    let site = super::site("mailq", root)?;
    as_sendmail::may_see_queue(&site)?;
    let spool = Spool::of(&site);
    let domain = site.default_domain();
    let bare = site.settings.cf.is_some().then_some(&*domain);
    if selection.is_empty() {
        return list::mailq(&spool, spool.oldest()?, bare);
    }
    list::mailq(&spool, selection.find(&spool)?.into_iter(), bare)
}

/// `sendmail -q`: once, or again and again.
fn run_for_sendmail(root: &Root, selection: Selection, every: Option<Duration>) -> super::Done {
    super::become_em(root)?;
    let site = Arc::new(super::site("emqueue", root)?);
    as_sendmail::may_run_queue(&site)?;
    loop {
        let is_routine = selection.is_empty();
        let done = attempt(&site, is_routine, |spool| {
            let found = selection.find(spool)?;
            Ok(if is_routine { as_sendmail::in_a_run(&site, spool, found, Timestamp::now()) } else { found })
        });
        // To sendmail a message that waits on is no failure.
        let Some(span) = every else {
            return if site.settings.cf.is_some() { done.map(|_| Exit::Ok) } else { done };
        };
        if let Err(ended) = done {
            // A full disk now is no reason to stop for good.
            crate::log::event("run-failed").field("reason", ended.text).error().write();
        }
        std::thread::sleep(span);
    }
}

fn is_held(claim: &Claim) -> bool {
    queue::held_until(claim.envelope(), claim.progress(), Timestamp::now()).is_some()
}

fn which_is_empty(which: &Which) -> bool {
    which.ids.is_empty() && selection(which).is_empty() && !which.all
}

fn selection(which: &Which) -> Selection {
    let mut selection = Selection::default();
    which.id.iter().for_each(|t| selection.add(t, Selector::Id));
    which.recipient.iter().for_each(|t| selection.add(t, Selector::Recipient));
    which.sender.iter().for_each(|t| selection.add(t, Selector::Sender));
    which.site.iter().for_each(|t| selection.add(t, Selector::Site));
    selection
}

/// The messages meant: by id, by pattern, or all; a command that changes things wants it said.
fn choose(spool: &Spool, which: &Which) -> Result<Vec<Id>, Ended> {
    if which_is_empty(which) {
        return Err(Ended::new(Exit::Usage, "which messages? Name ids, --recipient, --sender, --site, --id, or --all"));
    }
    let selection = selection(which);
    let mut ids = Vec::new();
    for text in &which.ids {
        let id = Id::parse(text).filter(|id| spool.is_queued(id));
        ids.push(id.ok_or_else(|| Ended::new(Exit::NoInput, format!("{text}: no such message in the queue")))?);
    }
    if which.all || !selection.is_empty() {
        ids.extend(selection.find(spool)?);
    }
    ids.sort();
    ids.dedup();
    Ok(ids)
}

fn progress_bar(count: usize) -> ProgressBar {
    use std::io::IsTerminal;
    if count < 20 || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// A runner with the real network.
fn runner(gate: Arc<Gate>) -> Runner {
    let (tls, hops) = network(&gate.site);
    let ledger = TlsLedger::new(&gate.site.root.spool.join("tlsrpt"));
    Runner::new(gate, Arc::new(Outgoing::new(tls).counting(ledger)), Arc::new(hops))
}

/// TLS and plans; the name service starts at the first question.
fn network(site: &Arc<Site>) -> (Arc<ClientTls>, NextHops) {
    let resolver = Arc::new(Cached::new(Dns::of(site)));
    let tls = Arc::new(ClientTls::of(site));
    let fetch = Arc::new(StsFetch::new(tls.clone(), resolver.clone()));
    (tls, NextHops::new(site.clone(), resolver, drive::own(site)).with_sts(fetch))
}

/// Attempts, here and now, for the messages chosen once the drop folder is taken over. `is_routine` when nobody has asked for these
/// above others.
fn attempt(site: &Arc<Site>, is_routine: bool, choose: impl FnOnce(&Spool) -> Result<Vec<Id>, Ended>) -> super::Done {
    let gate = Arc::new(crate::cli::gate(site.clone()));
    queue::take_dropped(&gate, Timestamp::now())?;
    let ids = choose(&gate.spool)?;
    let runner = Arc::new(runner(gate).holding_on_demand(is_routine));
    let bar = progress_bar(ids.len());
    let waiting = Arc::new(AtomicUsize::new(0));
    let (shown, counted) = (bar.clone(), waiting.clone());
    let told = move |id: &Id, attempted: &std::io::Result<Attempted>| {
        match attempted {
            Ok(Attempted::Finished | Attempted::Gone) => {}
            Ok(_) => drop(counted.fetch_add(1, Ordering::Relaxed)),
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "emqueue: {id}: {e}");
                counted.fetch_add(1, Ordering::Relaxed);
            }
        }
        shown.inc(1);
    };
    let untried = queue::try_all(&runner, &ids, Timestamp::now, told)?;
    bar.finish_and_clear();
    Ok(if waiting.load(Ordering::Relaxed) + untried > 0 { Exit::TempFail } else { Exit::Ok })
}

fn each(spool: &Spool, ids: &[Id], act: impl Fn(&mut Claim) -> Result<(), Ended>, pokes: bool) -> super::Done {
    let (mut exit, mut left) = (Exit::Ok, PATIENCE);
    for id in ids {
        match spool.claim_patiently(id, &mut left) {
            Ok(mut claim) => act(&mut claim)?,
            Err(ClaimError::Io(e)) => return Err(e.into()),
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "emqueue: {id}: {e}");
                exit = Exit::TempFail;
                continue;
            }
        }
        if pokes {
            spool.poke_id(id);
        }
    }
    Ok(exit)
}

fn delete(spool: &Spool, ids: &[Id]) -> super::Done {
    let (mut exit, mut left) = (Exit::Ok, PATIENCE);
    for id in ids {
        match spool.claim_patiently(id, &mut left) {
            Ok(claim) => {
                claim.finish()?;
                crate::log::event("deleted").id(id).field("by", nix::unistd::getuid()).write();
            }
            Err(e) => {
                let _ = writeln!(std::io::stderr(), "emqueue: {id}: {e}");
                exit = Exit::TempFail;
            }
        }
    }
    Ok(exit)
}
