//! emlist: mailing lists, from the shell.

mod archive;
mod bounces;
mod check;
mod import;
mod members;
mod moderate;

use super::{Ended, RootOption, say};
use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::drive::Dns;
use crate::list::Desk;
use crate::lists::members::State;
use crate::lists::settings::{hint, keys};
use crate::lists::{Deleted, List, ListError, ListName, Lists};
use crate::status::Exit;
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

/// Mailing lists: make, set and delete them; their members and what waits for a moderator
#[derive(Debug, clap::Parser)]
#[command(name = "emlist", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(flatten)]
    root: RootOption,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Make a list
    Create {
        /// NAME@DOMAIN
        list: String,
        /// Who looks after it; may be given several times
        #[arg(long, required = true, value_name = "ADDRESS")]
        owner: Vec<String>,
        /// The language of its texts: en or ja
        #[arg(long)]
        language: Option<String>,
        /// Another setting; may be given several times
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Delete a list; its archive stays
    Delete {
        /// NAME@DOMAIN
        list: String,
        /// Really
        #[arg(long)]
        yes: bool,
        /// Delete its archive, too
        #[arg(long)]
        archive: bool,
    },
    /// Give a list another name
    Rename {
        /// NAME@DOMAIN
        list: String,
        /// NAME@DOMAIN
        to: String,
    },
    /// List the lists
    List {
        /// Only this domain
        #[arg(long)]
        domain: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Show a list: its settings that differ from the defaults, and its counts
    Show {
        /// NAME@DOMAIN
        list: String,
        /// All settings
        #[arg(long)]
        all: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a setting of a list
    Get {
        /// NAME@DOMAIN
        list: String,
        /// The setting; em-lists(5) has them
        key: String,
    },
    /// Change a setting of a list
    Set {
        /// NAME@DOMAIN
        list: String,
        /// The setting; em-lists(5) has them
        key: String,
        /// Its value
        #[arg(required_unless_present = "default", allow_hyphen_values = true)]
        value: Option<String>,
        /// Bring its default back
        #[arg(long, conflicts_with = "value")]
        default: bool,
    },
    /// Show and change the members of a list
    Members {
        /// NAME@DOMAIN
        list: String,
        #[command(subcommand)]
        action: members::MembersAction,
    },
    /// Decide about posts that wait
    Moderate {
        /// NAME@DOMAIN
        list: String,
        #[command(subcommand)]
        action: moderate::ModerateAction,
    },
    /// Show, search and exchange the posts of a list
    Archive {
        /// NAME@DOMAIN
        list: String,
        #[command(subcommand)]
        action: archive::ArchiveAction,
    },
    /// Send digests that are due
    Digest(bounces::DigestArguments),
    /// Show members whose mail comes back, and settle what is due for them
    Bounces(bounces::BouncesArguments),
    /// Take over a list of another program
    Import(import::ImportArguments),
    /// Count members, posts and what waits
    Stats {
        /// NAME@DOMAIN; all lists without
        list: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Check the files of lists; mistakes are printed with their place
    Check {
        /// NAME@DOMAIN; all lists without
        list: Option<String>,
        /// Remove what has waited too long
        #[arg(long)]
        sweep: bool,
    },
}

/// The program.
pub fn main() -> ExitCode {
    super::run("emlist", run)
}

fn run(arguments: Arguments) -> super::Done {
    let root = arguments.root.root();
    // Lists belong to em, which changes members by mail.
    super::become_em(&root)?;
    let site = Arc::new(super::site("emlist", &root)?);
    let lists = Lists::of(&site);
    match arguments.action {
        Action::Create { list, owner, language, set } => create(&site, &lists, &list, &owner, language, &set)?,
        Action::Delete { list, yes, archive } => delete(&open(&site, &lists, &list)?, &lists, yes, archive)?,
        Action::Rename { list, to } => {
            let to = own_name(&site, &to)?;
            lists.rename(&open(&site, &lists, &list)?, &to).map_err(of_lists)?;
        }
        Action::List { domain, json } => list_all(&lists, domain.as_deref(), json)?,
        Action::Show { list, all, json } => show(&open(&site, &lists, &list)?, all, json)?,
        Action::Get { list, key } => {
            let list = open(&site, &lists, &list)?;
            let value = list.settings.print(&key).ok_or_else(|| unknown(&key))?;
            say(&format!("{}\n", value.trim_matches('"')))?;
        }
        Action::Set { list, key, value, default: _ } => {
            open(&site, &lists, &list)?.set(&key, value.as_deref()).map_err(of_lists)?;
        }
        Action::Members { list, action } => return members::run(&site, &open(&site, &lists, &list)?, action),
        Action::Moderate { list, action } => return moderate::run(&site, &open(&site, &lists, &list)?, &action),
        Action::Archive { list, action } => return archive::run(&open(&site, &lists, &list)?, &action),
        Action::Digest(arguments) => return bounces::digest(&site, &lists, &arguments),
        Action::Bounces(arguments) => return bounces::bounces(&site, &lists, &arguments),
        Action::Import(arguments) => return import::run(&site, &lists, &arguments),
        Action::Stats { list, json } => stats(&site, &lists, list.as_deref(), json)?,
        Action::Check { list, sweep } => return check::run(&site, &lists, list.as_deref(), sweep),
    }
    Ok(Exit::Ok)
}

/// The name of a list; a name alone is in the first domain.
fn name(site: &Site, text: &str) -> Result<ListName, Ended> {
    let whole = if text.contains('@') { text.to_string() } else { format!("{text}@{}", site.default_domain()) };
    whole.parse().map_err(|e| Ended::new(Exit::Usage, format!("{text:?}: {e}")))
}

/// The same in a domain of ours.
fn own_name(site: &Site, text: &str) -> Result<ListName, Ended> {
    let name = name(site, text)?;
    match site.is_local(name.domain()) {
        true => Ok(name),
        false => Err(Ended::new(
            Exit::Config,
            format!("{} is not a domain of ours; add it first: emconf set server.domains …", name.domain()),
        )),
    }
}

fn open(site: &Site, lists: &Lists, text: &str) -> Result<List, Ended> {
    lists.open(&name(site, text)?).map_err(of_lists)
}

fn address(site: &Site, text: &str) -> Result<Address, Ended> {
    Address::parse_loose(text, &site.default_domain()).map_err(|e| Ended::new(Exit::Usage, format!("{text:?}: {e}")))
}

/// What a failure of the store is to the shell.
fn of_lists(error: ListError) -> Ended {
    match error {
        ListError::Missing(_) => Ended::new(Exit::NoUser, error.to_string()),
        ListError::Exists(_) => Ended::new(Exit::CantCreat, error.to_string()),
        ListError::Config(error) => error.into(),
        ListError::Io(error) => error.into(),
    }
}

fn unknown(key: &str) -> Ended {
    Ended::new(Exit::Usage, format!("unknown setting {key}; {}", hint(key)))
}

/// Does something that sends mail.
fn at_desk<T>(site: &Arc<Site>, act: impl FnOnce(&Desk<'_>) -> Result<T, crate::status::Failure>) -> Result<T, Ended> {
    let gate = crate::cli::gate(site.clone());
    let dns = Dns::of(site);
    act(&Desk { gate: &gate, resolver: &dns, now: Timestamp::now() }).map_err(Ended::from)
}

fn create(
    site: &Site,
    lists: &Lists,
    list: &str,
    owners: &[String],
    language: Option<String>,
    set: &[String],
) -> Result<(), Ended> {
    let name = own_name(site, list)?;
    let owners = owners.iter().map(|owner| address(site, owner)).collect::<Result<Vec<_>, _>>()?;
    let owners = owners.iter().map(Address::to_string).collect::<Vec<_>>().join(", ");
    let mut settings = vec![("owners", owners.as_str())];
    settings.extend(language.as_deref().map(|language| ("language", language)));
    for pair in set {
        let wrong = || Ended::new(Exit::Usage, format!("--set {pair:?}: write KEY=VALUE"));
        settings.push(pair.split_once('=').ok_or_else(wrong)?);
    }
    // Mail for it must not go to somebody else.
    for taken in [name.address(), name.role("control"), name.role("request"), name.role("owner")] {
        if crate::users::Users::of(site).lookup(&taken)?.is_some() {
            return Err(Ended::new(Exit::CantCreat, format!("there is an account {taken}")));
        }
    }
    lists.create(&name, &settings).map_err(of_lists)?;
    Ok(())
}

fn delete(list: &List, lists: &Lists, yes: bool, archive: bool) -> Result<(), Ended> {
    if !yes {
        let count = list.members()?.len();
        let text = format!("{} has {count} members; delete it with --yes", list.name);
        return Err(Ended::new(Exit::Usage, text));
    }
    if lists.delete(list, archive).map_err(of_lists)? == Deleted::ArchiveKept {
        let _ = writeln!(std::io::stderr(), "emlist: the archive stays in {}", list.spool().display());
    }
    Ok(())
}

fn list_all(lists: &Lists, domain: Option<&str>, json: bool) -> Result<(), Ended> {
    let mut text = String::new();
    for name in lists.names()?.iter().filter(|name| domain.is_none_or(|domain| domain == name.domain())) {
        text.push_str(&match json {
            true => format!("{}\n", serde_json::json!({ "list": name.to_string() })),
            false => format!("{name}\n"),
        });
    }
    say(&text)
}

/// What is counted of a list.
fn counts(list: &List) -> Result<serde_json::Value, Ended> {
    let members = list.members()?;
    let count = |state| members.in_state(state).count();
    Ok(serde_json::json!({
        "list": list.name.to_string(),
        "members": members.len(),
        "on": count(State::On),
        "off": count(State::Off),
        "digest": count(State::Digest),
        "damaged": members.damaged().len(),
        "posts": list.last_number()?,
        "held": list.held_ids()?.len(),
        "questions": list.questions()?.len(),
    }))
}

fn show(list: &List, all: bool, json: bool) -> Result<(), Ended> {
    let mut counts = counts(list)?;
    let wanted = keys().into_iter().filter_map(|key| {
        let value = list.settings.print(key.name)?;
        (all || value != key.default).then_some((key.name, value))
    });
    if json {
        for (key, value) in wanted {
            // What TOML prints of these kinds, JSON reads.
            counts[key] = serde_json::from_str(&value).unwrap_or(serde_json::Value::String(value));
        }
        return say(&format!("{counts}\n"));
    }
    let mut text = format!("list = {}\n", list.name);
    for (key, value) in wanted {
        text.push_str(&format!("{key} = {value}\n"));
    }
    say(&(text + &count_lines(&counts)))
}

fn count_lines(counts: &serde_json::Value) -> String {
    let number = |key: &str| counts[key].as_u64().unwrap_or(0);
    format!(
        "{} members: {} on, {} off, {} digest\n{} posts, {} held, {} questions wait\n",
        number("members"),
        number("on"),
        number("off"),
        number("digest"),
        number("posts"),
        number("held"),
        number("questions"),
    )
}

fn stats(site: &Site, lists: &Lists, list: Option<&str>, json: bool) -> Result<(), Ended> {
    let names = match list {
        Some(list) => vec![name(site, list)?],
        None => lists.names()?,
    };
    let mut text = String::new();
    for name in names {
        let counts = counts(&lists.open(&name).map_err(of_lists)?)?;
        text.push_str(&match json {
            true => format!("{counts}\n"),
            false => format!("{name}\n{}", count_lines(&counts)),
        });
    }
    say(&text)
}
