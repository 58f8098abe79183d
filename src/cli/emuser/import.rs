//! `emuser import`: a sheet of accounts is carried out, all of it or nothing.
//!
//! Order: read and check all rows; compare and hash passwords, on all cores and without a lock; write the file of made passwords;
//! then one change of etc/users. Killed before that, nothing has happened but that file, whose passwords the next run takes
//! again; killed after it, the next run finds everything unchanged.
//! A password in clear is compared with the hash that is there, which costs as much as a new hash and keeps the old one: a second run
//! changes nothing, no cached login is lost, and who looks at the file sees what really changed.

use super::delete;
use super::takeover::{self, Takeover};
use crate::cli::{Done, Ended, say};
use crate::config::{ConfigError, Site};
use crate::fsx;
use crate::log;
use crate::sasl::ScramKeys;
use crate::settings::PASSWORD_SCHEMES;
use crate::status::Exit;
use crate::users::sheet::{
    Action, Outcome, PasswordWish, Refused, Secret, Sheet, Wish, carry_out, print_passwords, wishes,
};
use crate::users::{Account, Users, check_password, generate_password, hash_password};
use encoding_rs::Encoding;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::collections::{BTreeMap, HashMap};
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Largest sheet, in octets.
const SHEET_LIMIT: u64 = 1 << 30;
/// Most refused rows that are shown.
const SHOWN: usize = 200;
/// How passwords of our own making are hashed: a tenth of what argon2 takes, for a hundred thousand of them.
const MADE_SCHEME: &str = "sha512-crypt";
/// From so many passwords on there is a progress bar.
const LONG: usize = 200;

#[derive(Debug, clap::Args)]
pub(super) struct Import {
    /// The sheet; - for standard input
    #[arg(required_unless_present = "system")]
    file: Option<PathBuf>,
    /// The accounts of the operating system instead, as takeover system takes them
    #[arg(long, conflicts_with_all = ["file", "charset", "generate_passwords", "scheme", "json"])]
    system: bool,
    /// The least user number of those
    #[arg(long, value_name = "NUMBER", conflicts_with = "file")]
    min_uid: Option<u32>,
    /// The character set that it was saved in, such as shift_jis or windows-1252
    #[arg(long, value_name = "NAME", value_parser = charset)]
    charset: Option<&'static Encoding>,
    /// Say what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    /// Do the rows that can be done, though others can't
    #[arg(long)]
    keep_going: bool,
    /// Make a password for each account without one, and write address, name and password into this file
    #[arg(long, value_name = "OUT.csv")]
    generate_passwords: Option<PathBuf>,
    /// How passwords in clear are hashed, instead of accounts.password_scheme
    #[arg(long, value_name = "NAME", value_parser = clap::builder::PossibleValuesParser::new(PASSWORD_SCHEMES))]
    scheme: Option<String>,
    /// Print JSON, one object a line
    #[arg(long)]
    json: bool,
}

fn charset(name: &str) -> Result<&'static Encoding, String> {
    Encoding::for_label(name.as_bytes()).ok_or_else(|| "no such character set: utf-8, shift_jis, windows-1252 …".into())
}

pub(super) fn import(site: &Site, users: &Users, wanted: &Import) -> Done {
    let Some(file) = &wanted.file else {
        let system = Takeover::of_system(wanted.min_uid, wanted.keep_going, wanted.dry_run);
        return takeover::takeover(site, users, &system);
    };
    let mut site = site.clone();
    if let Some(scheme) = &wanted.scheme {
        site.settings.accounts.password_scheme.clone_from(scheme);
    }
    let site = &site;
    let sheet = read(file, wanted.charset)?;
    let (mut wishes, refused) = wishes(&sheet, site);
    // A plan shows what would become of the others; without one there is nothing to wait for.
    if !refused.is_empty() && !wanted.keep_going && !wanted.dry_run {
        return report(wanted, file, &Outcome { refused, ..Outcome::default() });
    }
    let known: HashMap<String, Account> = {
        let all = users.list().map_err(super::damaged)?;
        all.into_iter().map(|account| (super::key(&account.address), account)).collect()
    };
    let made = match &wanted.generate_passwords {
        Some(path) => generate(path, &mut wishes, &known)?,
        None => Vec::new(),
    };
    let secrets = secrets(&wishes, &known, wanted.dry_run, &site.settings.accounts.password_scheme)?;
    let mut outcome = match wanted.dry_run {
        true => carry_out(&wishes, &secrets, &mut known.into_iter().collect()),
        false => {
            if let (Some(path), false) = (&wanted.generate_passwords, made.is_empty()) {
                keep_passwords(path, &made)?;
            }
            let is_delete = |wish: &&Wish| wish.action == Action::Delete;
            for wish in wishes.iter().filter(|wish| !is_delete(wish) && !known.contains_key(&wish.key())) {
                delete::must_be_free(site, &wish.address)?;
            }
            let addresses: Vec<_> = wishes.iter().filter(is_delete).map(|wish| wish.address.clone()).collect();
            let deleted: Vec<Account> =
                addresses.iter().filter_map(|address| known.get(&super::key(address)).cloned()).collect();
            delete::around(site, users, &deleted, &addresses, || {
                change(users, wanted, &wishes, &secrets, refused.len())
            })?
        }
    };
    outcome.refused.splice(0..0, refused);
    outcome.refused.sort_by_key(|refused| refused.at);
    if !wanted.dry_run && (wanted.keep_going || outcome.refused.is_empty()) {
        tell_log(&outcome);
    }
    report(wanted, file, &outcome)
}

fn read(path: &Path, charset: Option<&'static Encoding>) -> Result<Sheet, Ended> {
    let bytes = if is_stdin(path) {
        let mut bytes = Vec::new();
        std::io::stdin().lock().take(SHEET_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > SHEET_LIMIT {
            return Err(Ended::new(Exit::DataErr, "standard input: the sheet is larger than 1 GiB"));
        }
        bytes
    } else {
        let failed = |e: std::io::Error| Ended::new(Exit::NoInput, e.to_string());
        fsx::read(path, SHEET_LIMIT).map_err(failed)?
    };
    Sheet::read(&bytes, charset).map_err(|e| {
        let mistake = ConfigError::spanned(shown(path), &e.text, e.span, e.message, e.hint);
        Ended::new(Exit::DataErr, mistake.to_string())
    })
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn shown(path: &Path) -> PathBuf {
    if is_stdin(path) { PathBuf::from("standard input") } else { path.to_path_buf() }
}

/// Gives a password to each account that would be without; what the file has from a run before is taken again.
fn generate(
    path: &Path,
    wishes: &mut [Wish],
    known: &HashMap<String, Account>,
) -> Result<Vec<(crate::addr::Address, String, String)>, Ended> {
    let mut made: Vec<(crate::addr::Address, String, String)> = match fsx::read(path, SHEET_LIMIT) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(Ended::new(Exit::CantCreat, e.to_string())),
        Ok(bytes) => {
            let foreign = |text: String| {
                let text = format!("{}: not a file of passwords that we made: {text}", path.display());
                Ended::new(Exit::CantCreat, text)
            };
            let sheet = Sheet::read(&bytes, None).map_err(|e| foreign(e.message))?;
            crate::users::sheet::passwords(&sheet).map_err(foreign)?
        }
    };
    let mut at: HashMap<String, usize> =
        made.iter().enumerate().map(|(i, (address, ..))| (super::key(address), i)).collect();
    for wish in wishes {
        let key = wish.key();
        let old = known.get(&key);
        let has_one = old.is_some_and(|account| account.password().is_some());
        let is_missing = wish.action == Action::Update && old.is_none();
        if wish.password != PasswordWish::Keep || wish.action == Action::Delete || has_one || is_missing {
            continue;
        }
        let password = match at.get(&key).and_then(|index| made.get(*index)) {
            Some((_, _, password)) => password.clone(),
            None => {
                let none = || Ended::new(Exit::OsErr, "no random numbers from the system");
                let password = generate_password().ok_or_else(none)?;
                let own = wish.values.iter().find(|(attribute, _)| attribute.name == "name");
                let name = own.and_then(|(_, value)| value.clone()).or_else(|| old.map(|a| a.name().to_string()));
                at.insert(key, made.len());
                made.push((wish.address.clone(), name.unwrap_or_default(), password.clone()));
                password
            }
        };
        wish.password = PasswordWish::Clear(password);
        wish.is_made = true;
    }
    Ok(made)
}

fn keep_passwords(path: &Path, made: &[(crate::addr::Address, String, String)]) -> Result<(), Ended> {
    let bytes = print_passwords(made).map_err(|e| Ended::new(Exit::Software, e.to_string()))?;
    fsx::replace(path, &bytes, 0o600).map_err(|e| Ended::new(Exit::CantCreat, e.to_string()))
}

/// Compares and hashes the passwords in clear, on all cores.
fn secrets(
    wishes: &[Wish],
    known: &HashMap<String, Account>,
    plan_only: bool,
    scheme: &str,
) -> Result<Vec<Secret>, Ended> {
    let clear = |wish: &Wish| matches!(wish.password, PasswordWish::Clear(_)) && wish.action != Action::Delete;
    let work: Vec<usize> = wishes.iter().enumerate().filter(|(_, wish)| clear(wish)).map(|(i, _)| i).collect();
    let bar = progress_bar(work.len());
    let (next, done) = (AtomicUsize::new(0), Mutex::new(vec![Secret::None; wishes.len()]));
    let failed = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    std::thread::scope(|scope| {
        for _ in 0..cores.min(work.len()) {
            scope.spawn(|| {
                while let Some(index) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Some(wish) = wishes.get(*index) else { return };
                    match secret(wish, known.get(&wish.key()), plan_only, scheme) {
                        Ok(secret) => {
                            if let Some(slot) = done.lock().ok().as_mut().and_then(|all| all.get_mut(*index)) {
                                *slot = secret;
                            }
                        }
                        Err(text) => {
                            if let Ok(mut failed) = failed.lock() {
                                failed.get_or_insert(format!("{}: {text}", wish.address));
                            }
                            return;
                        }
                    }
                    bar.inc(1);
                }
            });
        }
    });
    bar.finish_and_clear();
    match (failed.into_inner(), done.into_inner()) {
        (Ok(None), Ok(done)) => Ok(done),
        (Ok(Some(text)), _) => Err(Ended::new(Exit::Software, text)),
        _ => Err(Ended::new(Exit::Software, "a thread that hashed passwords died")),
    }
}

fn secret(wish: &Wish, old: Option<&Account>, plan_only: bool, scheme: &str) -> Result<Secret, String> {
    let PasswordWish::Clear(password) = &wish.password else { return Ok(Secret::None) };
    if let Some(hash) = old.and_then(Account::password)
        && check_password(password, Some(hash))
    {
        return Ok(Secret::Same(hash.to_string()));
    }
    if plan_only {
        return Ok(Secret::Planned);
    }
    // A slow hash buys nothing where nobody can search.
    let scheme = if wish.is_made { MADE_SCHEME } else { scheme };
    let hash = hash_password(password, scheme).map_err(|e| e.to_string())?;
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|_| "no random numbers from the system".to_string())?;
    Ok(Secret::Fresh { hash, scram: ScramKeys::derive(password, &salt).print() })
}

fn progress_bar(count: usize) -> ProgressBar {
    if count < LONG || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("passwords {pos}/{len} {wide_bar} {eta}") {
        bar.set_style(style);
    }
    bar
}

/// Why nothing is written.
enum Stop {
    /// Nothing is to be, or not all of it could be.
    Outcome(Outcome),
    Io(std::io::Error),
}

impl From<std::io::Error> for Stop {
    fn from(error: std::io::Error) -> Stop {
        Stop::Io(error)
    }
}

/// The one change of etc/users.
fn change(
    users: &Users,
    wanted: &Import,
    wishes: &[Wish],
    secrets: &[Secret],
    refused: usize,
) -> Result<Outcome, Ended> {
    let changed = users.update(|accounts: &mut BTreeMap<String, Account>| {
        let outcome = carry_out(wishes, secrets, accounts);
        let is_whole = refused + outcome.refused.len() == 0 || wanted.keep_going;
        if !is_whole || outcome.is_nothing() {
            return Err(Stop::Outcome(outcome));
        }
        Ok(outcome)
    });
    match changed {
        Ok(outcome) | Err(Stop::Outcome(outcome)) => Ok(outcome),
        Err(Stop::Io(e)) => Err(super::damaged(e)),
    }
}

fn tell_log(outcome: &Outcome) {
    if outcome.is_nothing() {
        return;
    }
    log::event("accounts-imported")
        .field("added", outcome.added.len())
        .field("changed", outcome.changed.len())
        .field("removed", outcome.removed.len())
        .write();
}

fn report(wanted: &Import, file: &Path, outcome: &Outcome) -> Done {
    let file = shown(file);
    let is_done = !wanted.dry_run && (outcome.refused.is_empty() || wanted.keep_going);
    let mut err = std::io::stderr().lock();
    let shown = if wanted.json { 0 } else { SHOWN };
    for refused in outcome.refused.iter().take(shown) {
        let (line, column) = refused.at;
        let name = if refused.column.is_empty() { String::new() } else { format!("{}: ", refused.column) };
        let text = format!("{}:{line}:{column}: {name}{}", file.display(), refused.reason);
        let text: String = text.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
        let _ = writeln!(err, "emuser: {text}");
    }
    if outcome.refused.len() > shown && !wanted.json {
        let _ = writeln!(err, "emuser: and {} more", outcome.refused.len() - shown);
    }
    drop(err);
    say(&if wanted.json { to_json(outcome, is_done) } else { to_text(wanted, outcome, is_done) })?;
    Ok(if outcome.refused.is_empty() { Exit::Ok } else { Exit::DataErr })
}

fn to_text(wanted: &Import, outcome: &Outcome, is_done: bool) -> String {
    let mut text = String::new();
    if wanted.dry_run {
        outcome.added.iter().for_each(|address| text.push_str(&format!("add {address}\n")));
        let changed = outcome.changed.iter();
        changed.for_each(|(address, what)| text.push_str(&format!("change {address}: {}\n", what.join(", "))));
        outcome.removed.iter().for_each(|address| text.push_str(&format!("remove {address}\n")));
    }
    let Outcome { added, changed, removed, unchanged, refused } = outcome;
    let (added, changed, removed, refused) = (added.len(), changed.len(), removed.len(), refused.len());
    text.push_str(&match is_done || wanted.dry_run {
        true => {
            format!("{added} added, {changed} changed, {removed} removed, {unchanged} unchanged, {refused} refused\n")
        }
        false => format!("nothing is done: {refused} refused; --keep-going does the others\n"),
    });
    text
}

fn to_json(outcome: &Outcome, is_done: bool) -> String {
    use serde_json::json;
    let address = |what: &str, address: &crate::addr::Address| json!({"action": what, "address": address.to_string()});
    let refused = |r: &Refused| json!({"action": "refuse", "line": r.at.0, "column": r.at.1, "name": r.column, "reason": r.reason});
    let changed = outcome
        .changed
        .iter()
        .map(|(address, what)| json!({"action": "change", "address": address.to_string(), "columns": what}));
    let rows = outcome.added.iter().map(|a| address("add", a)).chain(changed);
    let rows = rows.chain(outcome.removed.iter().map(|a| address("remove", a)));
    let rows = rows.chain(outcome.refused.iter().map(refused));
    let sum = json!({
        "done": is_done,
        "added": outcome.added.len(),
        "changed": outcome.changed.len(),
        "removed": outcome.removed.len(),
        "unchanged": outcome.unchanged,
        "refused": outcome.refused.len(),
    });
    rows.chain([sum]).map(|row| format!("{row}\n")).collect()
}
