//! `emuser migrate --list`: all accounts of a sheet, some at once.
//!
//! The sheet has a header row with `address`, `user` and `password` in any order; other columns are passed over. All rows are checked
//! before the first one is copied. Each account has the log of its own that a single copy has (`migrate::state`), so a run that was
//! killed, and one in which some accounts failed, is run again as it was. Two rows for one account of ours are done one after the other.
//! Trust: the sheet holds passwords; it is refused where others may read it. No password is ever printed.

use super::{Login, Migrate, Server, Summary, copy_account, to_text};
use crate::addr::Address;
use crate::cli::{Done, Ended, say};
use crate::config::Site;
use crate::fsx;
use crate::status::Exit;
use crate::users::Users;
use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use zeroize::Zeroizing;

/// Largest sheet, in octets.
const SHEET_LIMIT: u64 = 64 << 20;
/// Most wrong rows that are shown.
const SHOWN: usize = 200;
/// After so many accounts in a row for which the other server did not answer, the others are not tried.
const GIVE_UP: usize = 5;
const COLUMNS: [&str; 3] = ["address", "user", "password"];

/// A row.
struct Row {
    line: usize,
    address: String,
    there: Login,
}

/// Reads the file.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Ended> {
    let failed = |e: std::io::Error| Ended::new(Exit::NoInput, e.to_string());
    let file = fsx::open_read(path).map_err(failed)?;
    let mode = file.metadata().map_err(|e| failed(fsx::context("stat", path, e)))?.mode();
    if mode & 0o077 != 0 {
        let shown = path.display();
        let text = format!("{shown}: it holds passwords, and others may read it: chmod 600 {shown}");
        return Err(Ended::new(Exit::NoPerm, text));
    }
    fsx::read_opened(file, path, SHEET_LIMIT).map_err(failed)
}

/// The rows, or what is wrong with each that is.
fn rows(text: &[u8]) -> Result<Vec<Row>, Vec<String>> {
    // Spreadsheets put a mark in front, and some separate by semicolons.
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let head = text.split(|b| *b == b'\n').next().unwrap_or_default();
    let separator = if head.contains(&b';') && !head.contains(&b',') { b';' } else { b',' };
    let mut reader = csv::ReaderBuilder::new().delimiter(separator).flexible(true).from_reader(text);
    let header = reader.headers().map_err(|e| vec![format!("1: {}", reason(&e))])?.clone();
    let place = |name: &str| header.iter().position(|cell| cell.trim().eq_ignore_ascii_case(name));
    let mut places = [0; 3];
    for (place_of, name) in places.iter_mut().zip(COLUMNS) {
        *place_of = place(name).ok_or_else(|| vec![format!("1: there is no column {name}; needed: {COLUMNS:?}")])?;
    }
    let (mut rows, mut wrong) = (Vec::new(), Vec::new());
    let (mut passed, mut line) = (0, 1);
    for record in reader.records() {
        let position = record.as_ref().map_or_else(csv::Error::position, csv::StringRecord::position);
        // The place is before the line ends that are skipped.
        let at = position.map_or(passed, |position| position.byte() as usize);
        let skipped = text.get(at..).map_or(0, |rest| rest.iter().take_while(|b| b"\r\n".contains(b)).count());
        line += text.get(passed..at + skipped).map_or(0, |between| memchr::memchr_iter(b'\n', between).count());
        passed = at + skipped;
        let record = match record {
            Ok(record) => record,
            Err(e) => {
                wrong.push(format!("{line}: {}", reason(&e)));
                continue;
            }
        };
        let cell = |index: usize| places.get(index).and_then(|place| record.get(*place)).unwrap_or_default();
        let [address, user, password] = [cell(0).trim(), cell(1).trim(), cell(2)];
        if record.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        match COLUMNS.iter().zip([address, user, password]).find(|(_, cell)| cell.is_empty()) {
            Some((column, _)) => wrong.push(format!("{line}: {column} is empty")),
            None => {
                let there = Login { user: user.to_string(), password: Zeroizing::new(password.to_string()) };
                rows.push(Row { line, address: address.to_string(), there });
            }
        }
    }
    if wrong.is_empty() { Ok(rows) } else { Err(wrong) }
}

/// What is wrong, without the cells.
fn reason(error: &csv::Error) -> &'static str {
    match error.kind() {
        csv::ErrorKind::Utf8 { .. } => "not UTF-8",
        _ => "not a row of a sheet",
    }
}

/// What became of an account.
type Outcome = Result<Summary, Ended>;

pub(super) fn migrate(site: &Site, users: &Users, wanted: &Migrate, server: &Server, text: &[u8]) -> Done {
    let shown = wanted.list.as_deref().map(|path| path.display().to_string()).unwrap_or_default();
    let rows = rows(text).and_then(|rows| known(site, users, rows)).map_err(|wrong| {
        let more = wrong.len().saturating_sub(SHOWN);
        let mut lines: Vec<String> = wrong.iter().take(SHOWN).map(|line| format!("{shown}:{line}")).collect();
        lines.extend((more > 0).then(|| format!("and {more} more")));
        lines.push("nothing was copied".to_string());
        Ended::new(Exit::DataErr, lines.join("\n"))
    })?;
    let accounts = by_account(rows);
    let count: usize = accounts.iter().map(|(_, logins)| logins.len()).sum();
    let work = Work { next: AtomicUsize::new(0), silent: AtomicUsize::new(0), exit: Mutex::new((0, Exit::Ok)) };
    let bar = super::bar();
    bar.set_length(count as u64);
    std::thread::scope(|scope| {
        for _ in 0..usize::from(wanted.jobs).min(accounts.len()) {
            scope.spawn(|| {
                while let Some((address, logins)) = accounts.get(work.next.fetch_add(1, Ordering::Relaxed)) {
                    for there in logins {
                        bar.set_message(address.to_string());
                        let outcome = work.copy(site, server, wanted, address, there);
                        bar.suspend(|| work.tell(address, &outcome));
                        bar.inc(1);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let (failed, exit) = work.exit.into_inner().unwrap_or((count, Exit::Software));
    let again = if failed > 0 { "; the same command does the rest" } else { "" };
    say(&format!("{} of {count} copied, {failed} failed{again}\n", count.saturating_sub(failed)))?;
    Ok(exit)
}

/// The rows with their accounts of ours, all of which must be there.
fn known(site: &Site, users: &Users, rows: Vec<Row>) -> Result<Vec<(Address, Login)>, Vec<String>> {
    let (mut good, mut wrong) = (Vec::new(), Vec::new());
    for row in rows {
        match super::account(&row.address, site, users) {
            Ok(account) => good.push((account.address, row.there)),
            Err(ended) => wrong.push(format!("{}: {}", row.line, ended.text)),
        }
    }
    if wrong.is_empty() { Ok(good) } else { Err(wrong) }
}

/// Each account once, in the order of the sheet, with all that is to be copied into it.
fn by_account(rows: Vec<(Address, Login)>) -> Vec<(Address, Vec<Login>)> {
    let mut accounts: Vec<(Address, Vec<Login>)> = Vec::new();
    let mut places: HashMap<Address, usize> = HashMap::new();
    for (address, login) in rows {
        let place = *places.entry(address.clone()).or_insert(accounts.len());
        match accounts.get_mut(place) {
            Some((_, logins)) => logins.push(login),
            None => accounts.push((address, vec![login])),
        }
    }
    accounts
}

/// What the threads share.
struct Work {
    next: AtomicUsize,
    /// For how many accounts in a row the server did not answer.
    silent: AtomicUsize,
    /// How many failed, and the worst end.
    exit: Mutex<(usize, Exit)>,
}

impl Work {
    fn copy(&self, site: &Site, server: &Server, wanted: &Migrate, address: &Address, there: &Login) -> Outcome {
        if self.silent.load(Ordering::Relaxed) >= GIVE_UP {
            return Err(Ended::new(Exit::TempFail, format!("not tried: {} does not answer", server.host)));
        }
        let outcome = copy_account(site, server, wanted, address, there, &mut |_| {});
        match &outcome {
            Err(ended) if matches!(ended.exit, Exit::TempFail | Exit::NoHost) => {
                self.silent.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.silent.store(0, Ordering::Relaxed),
        }
        outcome
    }

    /// A line for the account; a reader that has left stops nothing.
    fn tell(&self, address: &Address, outcome: &Outcome) {
        let exit = match outcome {
            Ok(summary) => {
                let _ = say(&format!("{address}: {}", to_text(summary)));
                if summary.left_out.is_empty() { Exit::Ok } else { Exit::DataErr }
            }
            Err(ended) => {
                let _ = writeln!(std::io::stderr(), "emuser: {address}: {}", ended.text);
                ended.exit
            }
        };
        if let (Ok(mut worst), false) = (self.exit.lock(), exit == Exit::Ok) {
            worst.0 += usize::from(outcome.is_err());
            // What another run may do better comes first: scripts then run it again.
            if worst.1 != Exit::TempFail {
                worst.1 = exit;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sheets_as_they_come() {
        let read = |text: &str| {
            let rows = rows(text.as_bytes()).unwrap();
            let cells = rows
                .iter()
                .map(|row| format!("{} {} {} {}", row.line, row.address, row.there.user, row.there.password.as_str()));
            cells.collect::<Vec<_>>()
        };
        let expected = ["2 a@b.test old p,w"];
        assert_eq!(read("address,user,password\na@b.test,old,\"p,w\"\n"), expected);
        assert_eq!(read("\u{feff}Password;USER;name;address\r\np,w;old;x; a@b.test \r\n;;;\r\n\r\n"), expected);
        assert_eq!(read("address,user,password\n"), [] as [&str; 0]);
        for (text, wrong) in [
            ("", "1: there is no column address"),
            ("address,user\n", "1: there is no column password"),
            ("address,user,password\na@b.test,old\n", "2: password is empty"),
            ("address,user,password\n,old,secret\n", "2: address is empty"),
        ] {
            let all = rows(text.as_bytes()).err().unwrap();
            assert!(all[0].starts_with(wrong) && !all[0].contains("secret"), "{all:?}");
        }
        let all = rows(b"address,user,password\na@b.test,old,secret\xff\n").err().unwrap();
        assert_eq!(all, ["2: not UTF-8"]);
    }

    #[test]
    fn rows_of_one_account_stay_together() {
        let row = |text: &str, user: &str| {
            let there = Login { user: user.to_string(), password: Zeroizing::default() };
            (Address::parse(text).unwrap(), there)
        };
        let accounts = by_account(vec![row("a@b.test", "1"), row("c@b.test", "2"), row("a@b.test", "3")]);
        let shown: Vec<String> = accounts
            .iter()
            .map(|(address, logins)| {
                format!("{address} {}", logins.iter().map(|l| l.user.as_str()).collect::<String>())
            })
            .collect();
        assert_eq!(shown, ["a@b.test 13", "c@b.test 2"]);
    }
}
