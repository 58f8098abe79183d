//! Command lines: flags, exit codes, and what each program does with the floors below.

pub mod emconf;
pub mod emd;
pub mod emimap;
pub mod emlist;
pub mod emlocal;
pub mod empass;
pub mod empop;
pub mod emqueue;
pub mod emsend;
pub mod emsieve;
pub mod emsmtp;
pub mod emuser;
mod server;

use crate::config::{self, Site};
use crate::deliver;
use crate::drive::{ClientTls, Dns, Outgoing};
use crate::log;
use crate::nexthop::cache::Cached;
use crate::nexthop::{Net, Resolver};
use crate::route::Router;
use crate::serve::Gate;
use crate::settings::{CfFile, Root};
use crate::sieve;
use crate::status::Exit;
use crate::store::ScriptQuota;
use crate::store::scripts::SIZE_LIMIT;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What is said when a certificate of our own making is all there is.
const SELF_SIGNED: &str =
    "a self-signed certificate was made in etc/tls; clients will not trust it: set tls.certificate and tls.key";

/// The option that every command has.
#[derive(Debug, Clone, clap::Args)]
pub struct RootOption {
    /// One folder with etc, spool, mail and log below it, instead of the installed system (also EM_ROOT)
    #[arg(long, global = true, value_name = "DIR")]
    pub root: Option<PathBuf>,
    /// A sendmail.cf in the place of em.toml: all is done as it says, with the caller's own rights
    #[arg(long, global = true, hide = true, value_name = "FILE", conflicts_with = "root")]
    pub cf: Option<PathBuf>,
    /// An option of sendmail above those of --cf, as behind the O of a line
    #[arg(long, global = true, hide = true, value_name = "OPTION", allow_hyphen_values = true)]
    pub cf_option: Vec<String>,
}

impl RootOption {
    /// The trees to work on.
    pub fn root(&self) -> Root {
        match &self.cf {
            Some(path) => root_of_cf(path, self.cf_option.clone()),
            None => root(self.root.as_deref()),
        }
    }
}

/// The trees for a `--root` argument, for EM_ROOT, or the installed ones. A relative folder is made absolute.
pub fn root(dir: Option<&Path>) -> Root {
    let from_environment = || std::env::var_os("EM_ROOT").filter(|d| !d.is_empty()).map(PathBuf::from);
    match dir.map(Path::to_path_buf).or_else(from_environment) {
        Some(dir) => Root::under(&std::path::absolute(&dir).unwrap_or(dir)),
        None => Root::installed(),
    }
}

/// What a sendmail.cf works with. A relative path is made absolute.
pub fn root_of_cf(path: &Path, options: Vec<String>) -> Root {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    Root::of_cf(CfFile { path, options })
}

/// Why a command ends: an exit code and what is said on standard error.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub exit: Exit,
    /// The text; empty for none.
    pub text: String,
}

impl Ended {
    /// An end with a text.
    pub fn new(exit: Exit, text: impl Into<String>) -> Ended {
        Ended { exit, text: text.into() }
    }
}

impl From<config::ConfigError> for Ended {
    fn from(error: config::ConfigError) -> Ended {
        Ended::new(Exit::of_code(error.exit), error.to_string())
    }
}

impl From<std::io::Error> for Ended {
    fn from(error: std::io::Error) -> Ended {
        let exit = match error.kind() {
            std::io::ErrorKind::PermissionDenied => Exit::NoPerm,
            std::io::ErrorKind::WouldBlock | std::io::ErrorKind::StorageFull => Exit::TempFail,
            _ => Exit::IoErr,
        };
        let mut text = error.to_string();
        if exit == Exit::NoPerm && !nix::unistd::geteuid().is_root() {
            text.push_str(NEEDS_RIGHTS);
        }
        Ended::new(exit, text)
    }
}

/// Said below "Permission denied", which names a file but not who may read it.
const NEEDS_RIGHTS: &str = "\n hint: the mail system's files are for root and for the user that owns the spool";

impl From<crate::status::Failure> for Ended {
    fn from(failure: crate::status::Failure) -> Ended {
        Ended::new(failure.exit(), failure.to_string())
    }
}

/// What commands return.
pub type Done = Result<Exit, Ended>;

/// Reads a command line by clap and runs the command.
pub fn run<A: clap::Parser>(program: &'static str, act: impl FnOnce(A) -> Done) -> ExitCode {
    start_faults();
    let is_shielded = shield_peer();
    match A::try_parse() {
        Ok(arguments) => {
            let done = act(arguments);
            if let (true, Err(ended)) = (is_shielded, &done) {
                report_unseen(program, &ended.text);
            }
            end(program, done)
        }
        Err(error) => {
            let is_answer = !error.use_stderr();
            if is_shielded {
                report_unseen(program, error.to_string().lines().next().unwrap_or_default());
            }
            let _ = error.print();
            if is_answer { Exit::Ok.into() } else { Exit::Usage.into() }
        }
    }
}

/// Under inetd standard error is the peer's connection, too: nothing of what we say to the administrator may go there.
///
/// True when standard error was turned away.
fn shield_peer() -> bool {
    if !crate::drive::is_network(std::io::stderr()) {
        return false;
    }
    match std::fs::OpenOptions::new().write(true).open("/dev/null") {
        Ok(null) => nix::unistd::dup2_stderr(null).is_ok(),
        Err(_) => false,
    }
}

/// Logs why a program ended that has no standard error; to syslog when it ended before it knew its log.
fn report_unseen(program: &'static str, text: &str) {
    log::start(program, log::Target::Syslog);
    log::event("ended").field("reason", text).error().write();
}

/// Turns a command's result into its exit code.
pub fn end(program: &str, done: Done) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(ended) => {
            if !ended.text.is_empty() {
                let _ = writeln!(std::io::stderr(), "{program}: {}", ended.text);
            }
            ended.exit.into()
        }
    }
}

/// Lets tests fail the n-th file operation; debug builds only.
pub fn start_faults() {
    #[cfg(debug_assertions)]
    if let Some(plan) = std::env::var("EM_FAULT").ok().as_deref().and_then(crate::fsx::fault::Plan::parse) {
        crate::fsx::fault::set_process_plan(plan);
    }
}

/// Gives up root for the mail system's own user, for good; a trial root, or a file that the caller named, is its caller's affair: what
/// rights the program has beyond those are given up.
pub fn become_em(root: &Root) -> Result<(), Ended> {
    use nix::unistd::{User, geteuid, getgid, getuid, initgroups, setgid, setresgid, setresuid, setuid};
    if root.cf.is_some() {
        let (uid, gid) = (getuid(), getgid());
        let dropped = setresgid(gid, gid, gid).and_then(|()| setresuid(uid, uid, uid));
        return dropped.map_err(|e| Ended::new(Exit::OsErr, format!("giving up rights: {e}")));
    }
    if root.is_callers() || !geteuid().is_root() {
        return Ok(());
    }
    let em = User::from_name("em").ok().flatten();
    let em = em.ok_or_else(|| Ended::new(Exit::Config, "there is no user em; see the installing instructions"))?;
    let changed = initgroups(c"em", em.gid).and_then(|()| setgid(em.gid)).and_then(|()| setuid(em.uid));
    changed.map_err(|e| Ended::new(Exit::OsErr, format!("becoming user em: {e}")))?;
    if geteuid() != em.uid || setuid(nix::unistd::Uid::from_raw(0)).is_ok() {
        return Err(Ended::new(Exit::OsErr, "becoming user em did not hold"));
    }
    Ok(())
}

/// Loads the settings and starts the log.
pub fn site(program: &'static str, root: &Root) -> Result<Site, Ended> {
    let site = site_without_queue(program, root)?;
    become_user_of(&site)?;
    config::cf::open_queue(&site)?;
    Ok(site)
}

/// Gives up root for RunAsUser of a sendmail.cf, for good.
fn become_user_of(site: &Site) -> Result<(), Ended> {
    use nix::unistd::{Uid, geteuid, initgroups, setgid, setuid};
    let Some(user) = site.run_as().map_err(|text| Ended::new(Exit::Config, text))?.filter(|_| geteuid().is_root())
    else {
        return Ok(());
    };
    let name = std::ffi::CString::new(user.name.as_str()).map_err(|e| Ended::new(Exit::Config, e.to_string()))?;
    let changed = initgroups(&name, user.gid).and_then(|()| setgid(user.gid)).and_then(|()| setuid(user.uid));
    changed.map_err(|e| Ended::new(Exit::OsErr, format!("becoming {}: {e}", user.name)))?;
    if geteuid() != user.uid || !user.uid.is_root() && setuid(Uid::from_raw(0)).is_ok() {
        return Err(Ended::new(Exit::OsErr, format!("becoming {} did not hold", user.name)));
    }
    Ok(())
}

/// The same for what does not touch the queue.
pub fn site_without_queue(program: &'static str, root: &Root) -> Result<Site, Ended> {
    let site = match config::load(root) {
        // Mistakes in a sendmail.cf are told where sendmail tells them.
        Err(error) if root.cf.is_some() => {
            say(&format!("{error}\n"))?;
            return Err(Ended::new(Exit::of_code(error.exit), ""));
        }
        read => read?,
    };
    let target = match site.settings.log.target.as_str() {
        "stderr" => log::Target::Stderr,
        "syslog" => log::Target::Syslog,
        "journal" => log::Target::Journal,
        other => log::Target::File(match other.strip_prefix("file:") {
            Some(path) => PathBuf::from(path),
            None => site.root.log.join("em.log"),
        }),
    };
    log::start(program, target);
    Ok(site)
}

/// Writes to standard output; a reader that has left is no error.
pub fn say(text: &str) -> Result<(), Ended> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Ended::new(Exit::IoErr, format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// What a Sieve script may be and do, for whoever takes one.
fn sieve_limits(site: &Site) -> sieve::Limits {
    let size = usize::try_from(script_quota(site).size).unwrap_or(usize::MAX);
    sieve::Limits { script_size: size, ..deliver::script_limits(site) }
}

/// How many Sieve scripts an account may have, and how large ones. What delivery would not read is never taken.
fn script_quota(site: &Site) -> ScriptQuota {
    let (own, run) = (&site.settings.managesieve, &site.settings.sieve);
    ScriptQuota { scripts: own.max_scripts, size: own.max_script_size.0.min(run.script_size.0).min(SIZE_LIMIT) }
}

/// The folder our programs lie in.
pub fn bin_dir() -> PathBuf {
    let own = std::env::current_exe().ok();
    own.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("/usr/local/sbin"), Path::to_path_buf)
}

/// Names by the name servers of the settings; they are asked when the first name is.
pub(crate) fn resolver(site: &Site) -> Arc<dyn Resolver> {
    Arc::new(Cached::new(Dns::of(site)))
}

/// Connections to directories that the rules ask.
fn net(site: &Site) -> Arc<dyn Net> {
    Arc::new(Outgoing::new(Arc::new(ClientTls::of(site))))
}

/// The gate of a site.
pub(crate) fn gate(site: Arc<Site>) -> Gate {
    let (resolver, net) = (resolver(&site), net(&site));
    Gate::new(site, emlocal_path()).with_network(resolver, net)
}

/// The router of a site.
pub(crate) fn router(site: Arc<Site>) -> Router {
    let (resolver, net) = (resolver(&site), net(&site));
    Router::new(site).with_network(resolver, net)
}

/// The delivery agent for system accounts.
pub fn emlocal_path() -> PathBuf {
    bin_dir().join("emlocal")
}
