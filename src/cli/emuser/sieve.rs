//! `emuser sieve`: an account's Sieve scripts, from the shell.

use super::account;
use crate::cli::{Done, Ended, say, script_quota, sieve_limits};
use crate::config::{ConfigError, Site};
use crate::log;
use crate::sieve::{self, SieveError};
use crate::status::Exit;
use crate::store::{ScriptName, Scripts, ScriptsError};
use crate::users::{self, Users};
use std::io::Read;
use std::path::{Path, PathBuf};

/// What is read of a file at most; a script that is larger is refused by its size.
const FILE_LIMIT: u64 = 64 << 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum SieveAction {
    /// List the scripts; the active one is marked
    List {
        /// user@domain
        address: String,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Print a script
    Show {
        /// user@domain
        address: String,
        /// The script; the active one where none is named
        name: Option<String>,
    },
    /// Check a script, and keep it under its file's name without the ending
    Put {
        /// user@domain
        address: String,
        /// The file; "-" is standard input
        file: PathBuf,
        /// Another name for it
        #[arg(long, required_if_eq("file", "-"))]
        name: Option<String>,
        /// Make it the active one
        #[arg(long)]
        activate: bool,
    },
    /// Let a script sort incoming mail, instead of the one before
    Activate {
        /// user@domain
        address: String,
        /// The script
        name: String,
    },
    /// Let no script sort incoming mail
    Deactivate {
        /// user@domain
        address: String,
    },
    /// Delete a script that is not active
    Delete {
        /// user@domain
        address: String,
        /// The script
        name: String,
    },
}

impl SieveAction {
    /// Reads the file that is named, while the administrator's rights are there.
    pub(super) fn read(&self) -> Result<Vec<u8>, Ended> {
        let SieveAction::Put { file, .. } = self else { return Ok(Vec::new()) };
        let mut text = Vec::new();
        let read = match is_stdin(file) {
            true => std::io::stdin().lock().take(FILE_LIMIT).read_to_end(&mut text),
            false => std::fs::File::open(file).and_then(|opened| opened.take(FILE_LIMIT).read_to_end(&mut text)),
        };
        read.map_err(|e| Ended::new(Exit::NoInput, format!("{}: {e}", shown(file).display())))?;
        Ok(text)
    }
}

pub(super) fn sieve(site: &Site, users: &Users, action: &SieveAction, text: &[u8]) -> Done {
    use SieveAction::{Activate, Deactivate, Delete, List, Put, Show};
    let (Activate { address, .. }
    | Deactivate { address }
    | Delete { address, .. }
    | List { address, .. }
    | Put { address, .. }
    | Show { address, .. }) = action;
    let address = account(address, site, users)?.address;
    let scripts = Scripts::of(&users::home(&site.root.mail, &address));
    match action {
        List { json, .. } => list(&scripts, *json)?,
        Show { name: None, .. } => {
            let active = scripts.active()?.ok_or_else(|| Ended::new(Exit::DataErr, "no script is active"))?;
            print(&active.1)?;
        }
        Show { name: Some(name), .. } => {
            let mut text = Vec::new();
            scripts.open(&named(name)?).map_err(of_scripts)?.read_to_end(&mut text)?;
            print(&text)?;
        }
        Put { file, name, activate, .. } => {
            let own = file.file_stem().map(|stem| stem.to_string_lossy());
            let name = named(name.as_deref().or(own.as_deref()).unwrap_or_default())?;
            check(site, file, text)?;
            scripts.put(&name, text, script_quota(site)).map_err(of_scripts)?;
            log::event("script-put").field("user", &address).field("script", &name).field("size", text.len()).write();
            if *activate {
                scripts.activate(Some(&name)).map_err(of_scripts)?;
                log::event("script-activated").field("user", &address).field("script", &name).write();
            }
        }
        Activate { name, .. } => {
            let name = named(name)?;
            scripts.activate(Some(&name)).map_err(of_scripts)?;
            log::event("script-activated").field("user", &address).field("script", &name).write();
        }
        Deactivate { .. } => {
            scripts.activate(None).map_err(of_scripts)?;
            log::event("script-deactivated").field("user", &address).write();
        }
        Delete { name, .. } => {
            let name = named(name)?;
            scripts.delete(&name).map_err(of_scripts)?;
            log::event("script-deleted").field("user", &address).field("script", &name).write();
        }
    }
    Ok(Exit::Ok)
}

fn list(scripts: &Scripts, json: bool) -> Result<(), Ended> {
    let lines = scripts.list()?.into_iter().map(|(name, is_active)| match json {
        true => format!("{}\n", serde_json::json!({ "name": name.as_str(), "active": is_active })),
        false => format!("{}{name}\n", if is_active { "* " } else { "  " }),
    });
    say(&lines.collect::<String>())
}

/// A script is printed as it lies there.
fn print(text: &[u8]) -> Result<(), Ended> {
    use std::io::Write;
    match std::io::stdout().lock().write_all(text) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Ended::new(Exit::IoErr, format!("standard output: {e}")))
        }
        _ => Ok(()),
    }
}

/// All that is wrong with a script, each with its place.
fn check(site: &Site, file: &Path, text: &[u8]) -> Result<(), Ended> {
    if text.is_empty() {
        return Err(Ended::new(Exit::DataErr, format!("{}: the script is empty", shown(file).display())));
    }
    let Err(errors) = sieve::compile_all(text, &sieve_limits(site)) else { return Ok(()) };
    let lines = String::from_utf8_lossy(text);
    let shown: Vec<String> = errors.iter().map(|error| pointed(file, &lines, error)).collect();
    Err(Ended::new(Exit::DataErr, shown.join("\n")))
}

fn pointed(file: &Path, text: &str, error: &SieveError) -> String {
    let number = (error.line as usize).max(1);
    let line = text.lines().nth(number - 1).unwrap_or("");
    ConfigError {
        path: shown(file),
        at: (number, (error.column as usize).max(1)),
        width: 1,
        line: line.to_string(),
        message: error.message.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        hint: String::new(),
        exit: Exit::DataErr as u8,
    }
    .to_string()
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

fn shown(file: &Path) -> PathBuf {
    if is_stdin(file) { PathBuf::from("standard input") } else { file.to_path_buf() }
}

fn named(name: &str) -> Result<ScriptName, Ended> {
    ScriptName::parse(name).map_err(|e| Ended::new(Exit::Usage, format!("{name:?}: {e}")))
}

fn of_scripts(error: ScriptsError) -> Ended {
    let exit = match error {
        ScriptsError::Io(error) => return error.into(),
        ScriptsError::Busy => Exit::TempFail,
        _ => Exit::DataErr,
    };
    Ended::new(exit, error.to_string())
}
