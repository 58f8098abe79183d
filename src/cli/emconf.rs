//! emconf: the configuration from the shell.

mod dkim;
mod explain;
mod manual;
mod table;
mod testmode;

pub(super) use explain::{Form, tell};

use super::emsend::Mode;
use super::{Ended, RootOption, say};
use crate::addr::normal_domain;
use crate::config::{self, ConfigError, OFFSETS, Ports, Site};
use crate::drive::{Job, TlsSource, ensure_certificate};
use crate::route::Router;
use crate::settings::{self, Kind};
use crate::status::Exit;
use crate::tables::{Aliases, KINDS, TextTable, TlsPolicies, Watched};
use crate::users::Users;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::process::ExitCode;

/// Configuration: make, read, change and check it
#[derive(Debug, clap::Parser)]
#[command(name = "emconf", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a new root, or the installed system's folders and settings
    Init {
        /// The domain whose mail is delivered here
        #[arg(long)]
        domain: String,
        /// Our own name [default: mail.DOMAIN]
        #[arg(long)]
        hostname: Option<String>,
        /// Loopback ports from here on: base + 25 for SMTP, + 587, + 465, + 24, + 110, + 995, + 106
        #[arg(long, value_name = "BASE")]
        port_base: Option<u16>,
        /// Take another port where one is in use
        #[arg(long, requires = "port_base")]
        free_ports: bool,
    },
    /// Print a setting's value
    Get {
        /// SECTION.NAME
        key: String,
    },
    /// Change a setting; comments in the file stay
    Set {
        /// SECTION.NAME
        key: String,
        /// The value, as TOML or as plain words; several make a list
        #[arg(required = true, allow_hyphen_values = true)]
        value: Vec<String>,
    },
    /// Take a setting out: its default is in force again
    Unset {
        /// SECTION.NAME
        key: String,
    },
    /// Check settings, rules, tables, accounts, file modes and ports
    Check,
    /// Read and change a table of em-tables(5), such as virtusers or access
    Table {
        /// The table
        name: String,
        #[command(subcommand)]
        action: table::TableAction,
    },
    /// Make the key that TLS reports are signed with, print its DNS record
    DkimKey {
        /// The selector: the record stands at SELECTOR._domainkey.DOMAIN
        selector: String,
        /// The kind of a new key
        #[arg(long, value_enum, default_value = "rsa")]
        kind: dkim::KeyKind,
    },
    /// Print what differs from the defaults
    Show {
        /// Print everything
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print the commented sample file
    Sample,
    /// Print the settings as the manual page's list (mdoc)
    #[command(hide = true)]
    Manual,
}

/// The program.
pub fn main() -> ExitCode {
    let handed_over = super::emsend::handed_over(|mode, root| match mode {
        Mode::Check => check(&config::load(root)?),
        Mode::Newaliases if root.cf.is_some() => old_aliases(root),
        Mode::Newaliases => newaliases(root),
        Mode::Test(file, traces, options) => testmode::run(root, file.as_deref(), traces, options),
        Mode::Explain(question) => {
            super::become_em(root)?;
            explain::run(super::site_without_queue("emsend", root)?, question)
        }
        _ => super::emsend::not_mine(),
    });
    handed_over.unwrap_or_else(|| super::run("emconf", run))
}

/// newaliases: there is no database to rebuild; the table is checked.
fn newaliases(root: &settings::Root) -> super::Done {
    let site = super::site("newaliases", root)?;
    let table = crate::tables::Watched::<crate::tables::Aliases>::new(site.root.etc.join("aliases"));
    let aliases = table.read()?;
    say(&format!("{}: {} aliases\n", table.path().display(), aliases.iter().count()))?;
    Ok(Exit::Ok)
}

/// `sendmail -bi -C FILE`: a line for each of its alias files.
fn old_aliases(root: &settings::Root) -> super::Done {
    super::become_em(root)?;
    let site = super::site_without_queue("newaliases", root)?;
    for path in site.settings.cf.iter().flat_map(|cf| &cf.aliases) {
        let text = crate::fsx::read(path, crate::tables::FILE_LIMIT)
            .map_err(|e| Ended::new(Exit::CantCreat, format!("{}: {e}", path.display())))?;
        let values = crate::tables::old_aliases::sizes(&String::from_utf8_lossy(&text));
        let longest = values.iter().map(|(_, value)| *value).max().unwrap_or(0);
        let total: usize = values.iter().map(|(name, value)| name + value).sum();
        let count = values.len();
        say(&format!("{}: {count} aliases, longest {longest} bytes, {total} bytes total\n", path.display()))?;
    }
    Ok(Exit::Ok)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    match arguments.action {
        Action::Init { domain, hostname, port_base, free_ports } => {
            let domain =
                normal_domain(&domain).map_err(|e| Ended::new(Exit::Usage, format!("--domain {domain:?}: {e}")))?;
            let ports = match port_base {
                Some(base) => Ports::Loopback(choose_ports(base, free_ports)?),
                None => Ports::Standard,
            };
            let hostname = hostname
                .map(|name| {
                    normal_domain(&name).map_err(|e| Ended::new(Exit::Usage, format!("--hostname {name:?}: {e}")))
                })
                .transpose()?;
            config::init(&root, &domain, hostname.as_deref(), &ports)
                .map_err(|e| Ended::new(Exit::CantCreat, e.to_string()))?;
            if root.dir.is_none() {
                give_to_em(&root)?;
                // The services can't write below etc: under inetd nobody else would make it.
                if ensure_certificate(&config::load(&root)?).map_err(|e| Ended::new(Exit::CantCreat, e))? {
                    say(&format!("{}\n", super::SELF_SIGNED))?;
                }
            }
        }
        Action::Get { key } => {
            let site = config::load(&root)?;
            let value = key.split_once('.').and_then(|(s, n)| site.settings.print(s, n));
            let value = value.ok_or_else(|| unknown(&key))?;
            say(&format!("{}\n", plain(&value)))?;
        }
        Action::Set { key, value } => {
            let value = value.join(" ");
            if let Some(name) = key.strip_prefix("jobs.") {
                Job::parse(name, &value).map_err(|e| Ended::new(Exit::Config, format!("{key}: {e}")))?;
            }
            config::set(&root, &key, &value)?;
        }
        Action::Unset { key } => config::remove(&root, &key)?,
        Action::Check => return check(&config::load(&root)?),
        Action::Table { name, action } => return table::run(&config::load(&root)?, &name, action),
        Action::DkimKey { selector, kind } => return dkim::run(&config::load(&root)?, &selector, kind),
        Action::Show { all, json } => show(&config::load(&root)?, all, json)?,
        Action::Sample => say(&settings::sample())?,
        Action::Manual => say(&manual::settings_list())?,
    }
    Ok(Exit::Ok)
}

fn choose_ports(base: u16, free: bool) -> Result<Vec<(&'static str, u16)>, Ended> {
    let mut held = Vec::new();
    let mut ports = Vec::new();
    for (service, offset) in OFFSETS {
        let wanted = base.checked_add(*offset).ok_or_else(|| {
            let most = OFFSETS.iter().map(|(_, offset)| u16::MAX - offset).min().unwrap_or(0);
            Ended::new(Exit::Usage, format!("--port-base {base}: {most} at most"))
        })?;
        let bound = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], wanted)));
        let port = match (bound, free) {
            (Ok(socket), _) => {
                held.push(socket);
                wanted
            }
            (Err(_), true) => {
                let socket = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
                let port = socket.local_addr()?.port();
                held.push(socket);
                port
            }
            // `emd start` will say that it is taken; a root may be made for another moment.
            (Err(_), false) => wanted,
        };
        ports.push((*service, port));
    }
    Ok(ports)
}

/// An installed system's spool and mail belong to em.
fn give_to_em(root: &settings::Root) -> Result<(), Ended> {
    if !nix::unistd::geteuid().is_root() {
        return Ok(());
    }
    let Some(em) = nix::unistd::User::from_name("em").ok().flatten() else {
        return Err(Ended::new(Exit::Config, "there is no user em yet: make it, then run `emconf check`"));
    };
    let drop_group = nix::unistd::Group::from_name("emdrop").ok().flatten().map_or(em.gid, |g| g.gid);
    for dir in ["", "tmp", "queue", "log", "bad", "run"] {
        own(&root.spool.join(dir), em.uid.as_raw(), em.gid.as_raw())?;
    }
    own(&root.spool.join("drop"), em.uid.as_raw(), drop_group.as_raw())?;
    let drop = root.spool.join("drop");
    // Only emsend has the group; sticky, so that not even it can remove what others handed in.
    std::fs::set_permissions(&drop, std::fs::Permissions::from_mode(0o1770))?;
    // emsend may poke the queue daemon, others may not keep it busy.
    let fifo = root.run().join("queue.fifo");
    let _ = nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRUSR);
    own(&fifo, em.uid.as_raw(), drop_group.as_raw())?;
    std::fs::set_permissions(&fifo, std::fs::Permissions::from_mode(0o620))?;
    own(&root.mail, em.uid.as_raw(), em.gid.as_raw())?;
    own(&root.log, em.uid.as_raw(), em.gid.as_raw())?;
    // empass replaces etc/users as em. Sticky: em may not touch the files of root beside it.
    std::os::unix::fs::chown(&root.etc, None, Some(em.gid.as_raw())).map_err(Ended::from)?;
    std::fs::set_permissions(&root.etc, std::fs::Permissions::from_mode(0o1775))?;
    for name in ["users", ".users.lock", ".rename.lock"] {
        let path = root.etc.join(name);
        if !path.exists() {
            crate::fsx::replace(&path, if name == "users" { b"# em-users 1\n" } else { b"" }, 0o600)?;
        }
        own(&path, em.uid.as_raw(), em.gid.as_raw())?;
    }
    Ok(())
}

fn own(path: &std::path::Path, uid: u32, gid: u32) -> Result<(), Ended> {
    std::os::unix::fs::chown(path, Some(uid), Some(gid)).map_err(|e| crate::fsx::context("chown", path, e).into())
}

fn unknown(key: &str) -> Ended {
    let paths: Vec<String> = settings::keys().iter().map(settings::Key::path).collect();
    let near = settings::nearest(key, paths.iter().map(String::as_str));
    let hint = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
    Ended::new(Exit::Usage, format!("unknown setting {key}{hint}"))
}

/// A value for scripts: strings without quotes, lists one member a line.
fn plain(value: &str) -> String {
    match value.parse::<toml_edit::Value>() {
        Ok(toml_edit::Value::String(text)) => text.into_value(),
        Ok(toml_edit::Value::Array(list)) => {
            let members: Vec<String> = list.iter().map(|m| m.as_str().unwrap_or_default().to_string()).collect();
            members.join("\n")
        }
        _ => value.to_string(),
    }
}

fn show(site: &Site, all: bool, json: bool) -> Result<(), Ended> {
    let mut text = String::new();
    let mut section = "";
    let mut object = serde_json::Map::new();
    for key in settings::keys() {
        let value = site.settings.print(key.section, key.name).unwrap_or_default();
        if !all && value == key.default {
            continue;
        }
        object.insert(key.path(), serde_json::Value::String(plain(&value)));
        if section != key.section {
            text.push_str(&format!("{}[{}]\n", if section.is_empty() { "" } else { "\n" }, key.section));
            section = key.section;
        }
        let note = if value == key.default { "" } else { "    # changed" };
        text.push_str(&format!("{} = {value}{}\n", key.name, if all { note } else { "" }));
    }
    if !site.settings.jobs.is_empty() {
        text.push_str("\n[jobs]\n");
        for (name, job) in &site.settings.jobs {
            text.push_str(&format!("{name} = {}\n", job.print()));
            object.insert(format!("jobs.{name}"), serde_json::Value::String(job.clone()));
        }
    }
    if json {
        text = format!("{}\n", serde_json::Value::Object(object));
    }
    say(&text)
}

/// What has no effect in a sendmail.cf that stands in the place of our settings, each line once; the first mistake ends it.
fn check_cf(site: &Site) -> super::Done {
    let router = crate::cli::router(std::sync::Arc::new(site.clone()));
    let notes = router.check_rules()?;
    say(&notes.iter().map(|note| format!("note: {note}\n")).collect::<String>())?;
    let mut problems: Vec<String> = Vec::new();
    problems.extend(router.aliases().err().map(|e| e.to_string()));
    problems.extend(crate::nexthop::mistakes(site));
    if problems.is_empty() {
        return Ok(Exit::Ok);
    }
    say(&format!("{}\n", problems.join("\n")))?;
    Ok(Exit::Config)
}

fn check(site: &Site) -> super::Done {
    if site.settings.cf.is_some() {
        return check_cf(site);
    }
    let mut problems: Vec<String> = Vec::new();
    let mut note = |problem: Option<ConfigError>| problems.extend(problem.map(|p| p.to_string()));
    note(Watched::<Aliases>::new(site.root.etc.join("aliases")).read().err());
    note(Watched::<TlsPolicies>::new(site.root.etc.join("tls-policies")).read().err());
    for (name, kind) in KINDS {
        note(TextTable::new(site.root.etc.join(name), kind).check().err());
    }
    let lists = crate::lists::Lists::of(site);
    let all = lists.names()?;
    problems.extend(all.iter().filter_map(|name| lists.open(name).err()).map(|e| e.to_string()));
    problems.extend(crate::nexthop::mistakes(site));
    problems.extend(crate::drive::ClientTls::of(site).check().err());
    let router = crate::cli::router(std::sync::Arc::new(site.clone()));
    match router.check_rules() {
        // An old file's lines that have no effect are worth a word; they are no mistakes.
        Ok(notes) => say(&notes.iter().map(|note| format!("note: {note}\n")).collect::<String>())?,
        Err(error) => problems.push(error.to_string()),
    }
    if site.settings.server.domains.is_empty() {
        problems.push("server.domains is empty: no mail is ours".to_string());
    }
    for (name, text) in &site.settings.jobs {
        problems.extend(Job::parse(name, text).err().map(|e| format!("jobs.{name}: {e}")));
    }
    let user = &site.settings.delivery.program_user;
    if site.settings.delivery.programs && nix::unistd::User::from_name(user).ok().flatten().is_none() {
        problems.push(format!("delivery.program_user: there is no user {user}"));
    }
    for program in site.settings.accounts.directories.iter().filter_map(|directory| directory.program()) {
        if let Err(e) = nix::unistd::access(program, nix::unistd::AccessFlags::X_OK) {
            problems.push(format!("accounts.directories: {program}: {e}"));
        }
    }
    if site.settings.accounts.directories.is_empty() {
        problems.push("accounts.directories is empty: nobody has an account".to_string());
    }
    check_users(site, &router, &mut problems);
    check_aliases(site, &router, &mut problems);
    check_modes(site, &mut problems);
    if let Some(tls) = TlsSource::of(site) {
        problems.extend(tls.check().err());
    } else if !site.settings.tls.certificate.is_empty() {
        problems.push(format!("tls.certificate, tls.key: {} or its key is missing", site.settings.tls.certificate));
    }
    if !site.settings.tls_reports.dkim_selector.is_empty() {
        let read = crate::drive::DkimKey::read(&crate::drive::DkimKey::path(site));
        problems.extend(read.err().map(|e| format!("tls_reports.dkim_key: {e}")));
    }
    check_ports(site, &mut problems);
    if problems.is_empty() {
        return Ok(Exit::Ok);
    }
    say(&format!("{}\n", problems.join("\n")))?;
    Ok(Exit::Config)
}

fn check_users(site: &Site, router: &Router, problems: &mut Vec<String>) {
    match Users::of(site).list() {
        Err(e) => problems.push(e.to_string()),
        Ok(accounts) => {
            for account in accounts {
                let address = &account.address;
                if !router.is_local(address.domain()) {
                    problems.push(format!("account {address}: {} is not in server.domains", address.domain()));
                }
                if account.password().is_some_and(|p| !crate::users::is_known_hash(p)) {
                    problems.push(format!("account {address}: the password's form is not known, nobody can log in"));
                }
            }
        }
    }
}

/// Every alias is followed to its end, so that loops and missing users are found before mail meets them.
fn check_aliases(site: &Site, router: &Router, problems: &mut Vec<String>) {
    let Ok(aliases) = router.aliases() else { return };
    for alias in aliases.iter().filter(|a| !a.name.starts_with('@')) {
        let text = if alias.name.contains('@') {
            alias.name.clone()
        } else {
            format!("{}@{}", alias.name, site.default_domain())
        };
        let Ok(address) = crate::addr::Address::parse_loose(&text, &site.default_domain()) else { continue };
        let is_meant = alias.targets.iter().any(|t| matches!(t, crate::tables::Target::Error(..)));
        let path = site.root.etc.join("aliases");
        let line = alias.line;
        match router.resolve(&address) {
            Err(f) if !is_meant => problems.push(format!("{}:{line}: {}: {f}", path.display(), alias.name)),
            Ok(list) => {
                for delivery in list.iter().filter(|d| d.mailer == crate::envelope::Mailer::Error && !is_meant) {
                    problems.push(format!("{}:{line}: {}: {}", path.display(), alias.name, delivery.user));
                }
            }
            Err(_) => {}
        }
    }
}

fn check_modes(site: &Site, problems: &mut Vec<String>) {
    let root = &site.root;
    for (path, forbidden, why) in [
        (root.etc.clone(), 0o002, "others could change the configuration"),
        (root.settings_file(), 0o022, "others could change the settings"),
        (root.etc.join("aliases"), 0o022, "others could make mail run programs"),
        (root.etc.join("routes"), 0o022, "others could redirect mail"),
        (root.etc.join("tls-policies"), 0o022, "others could have mail go in clear"),
        (root.etc.join("virtusers"), 0o022, "others could redirect mail"),
        (root.etc.join("em.cf"), 0o022, "others could redirect mail"),
        (root.etc.join("access"), 0o022, "others could change who may send"),
        (root.etc.join("relay-domains"), 0o022, "others could change who may send"),
        (root.etc.join("users"), 0o077, "others could read password hashes"),
        (root.etc.join("tls/self-signed.key"), 0o077, "others could read the key"),
        (root.spool.join("queue"), 0o077, "others could read queued mail"),
        (root.mail.clone(), 0o022, "others could change mailboxes"),
    ] {
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.mode() & forbidden != 0 => {
                let mode = metadata.mode() & 0o7777;
                problems.push(format!("{}: mode {mode:o}: {why}; chmod {:o}", path.display(), mode & !forbidden));
            }
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => problems.push(format!("{}: {e}", path.display())),
            Err(_) if [&root.spool.join("queue"), &root.mail].contains(&&path) => {
                problems.push(format!("{}: missing", path.display()));
            }
            _ => {}
        }
    }
}

/// Ports are free, or held by our own supervisor.
fn check_ports(site: &Site, problems: &mut Vec<String>) {
    let lock = site.root.run().join("emd.lock");
    if matches!(crate::fsx::Lock::try_existing(&lock), Err(crate::fsx::LockError::Held)) {
        return;
    }
    for (service, _) in OFFSETS {
        for address in site.listens(service) {
            if let Err(e) = crate::drive::listen(*address) {
                problems.push(format!("services.{service}: {e}"));
            }
        }
    }
}
