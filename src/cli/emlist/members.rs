//! `emlist members`: who is on a list.

use super::{address, at_desk};
use crate::addr::Address;
use crate::cli::{Done, Ended, say};
use crate::clock::Timestamp;
use crate::config::Site;
use crate::fsx;
use crate::line;
use crate::lists::List;
use crate::lists::members::{Member, Members, State};
use crate::status::Exit;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Largest file that is imported, in octets.
const IMPORT_LIMIT: u64 = 1 << 30;
/// So many mistakes of a file are printed.
const SHOWN_MISTAKES: usize = 20;

#[derive(Debug, clap::Subcommand)]
pub(super) enum MembersAction {
    /// List the members
    List {
        /// Only these: on, off or digest
        #[arg(long)]
        state: Option<String>,
        /// Print JSON, one object a line
        #[arg(long)]
        json: bool,
    },
    /// Add members
    Add {
        /// Addresses
        #[arg(required = true)]
        addresses: Vec<String>,
        /// What they get: on, off or digest
        #[arg(long, default_value = "on")]
        state: String,
        /// The person's name
        #[arg(long, default_value = "")]
        name: String,
        /// Send the welcome text, and tell the owners
        #[arg(long)]
        welcome: bool,
    },
    /// Take members out
    Remove {
        /// Addresses
        #[arg(required = true)]
        addresses: Vec<String>,
        /// Send the farewell, and tell the owners
        #[arg(long)]
        goodbye: bool,
    },
    /// Set what members get
    Set {
        /// on, off or digest
        state: String,
        /// Addresses
        #[arg(required = true)]
        addresses: Vec<String>,
    },
    /// Set options of a member: notmetoo (no copy of his own posts), nodupes (none when he stands in To or Cc), plain or mime (the form of digests)
    Options {
        /// Address
        address: String,
        /// Options with commas; "none" for none
        options: String,
    },
    /// Add the members of a CSV file: ADDRESS[,STATE[,NAME]]
    Import {
        /// The file; - for standard input
        file: PathBuf,
        /// Pass over lines that make no sense
        #[arg(long)]
        skip: bool,
    },
    /// Print the members as CSV: address, state, since, name
    Export,
}

pub(super) fn run(site: &Arc<Site>, list: &List, action: MembersAction) -> Done {
    match action {
        MembersAction::List { state, json } => {
            let wanted = state.as_deref().map(parse_state).transpose()?;
            let members = list.members()?;
            let mut text = String::new();
            for member in members.iter().filter(|member| wanted.is_none_or(|state| state == member.state)) {
                text.push_str(&match json {
                    true => format!("{}\n", to_json(member)),
                    false => format!("{} {}\n", member.address, member.state.word()),
                });
            }
            name_damaged(list, &members);
            say(&text)?;
        }
        MembersAction::Add { addresses, state, name, welcome } => {
            let state = parse_state(&state)?;
            let addresses = parse_all(site, &addresses)?;
            let mut added = Vec::new();
            for address in &addresses {
                let mut member = Member::new(address, Timestamp::now());
                member.put("name", Some(name.clone()).filter(|name| !name.is_empty()));
                let is_new = match welcome {
                    true => at_desk(site, |desk| desk.admit(list, address, &name))?,
                    false => change(list, |members| members.add(member))?,
                };
                added.extend(is_new.then_some(address));
            }
            change(list, |members| {
                for address in &added {
                    if let Some(member) = members.find_mut(address) {
                        member.turn(state, Some("owner"));
                    }
                }
            })?;
            return all_or(addresses.len() - added.len(), "members already");
        }
        MembersAction::Remove { addresses, goodbye } => {
            let addresses = parse_all(site, &addresses)?;
            let mut missing = 0;
            for address in &addresses {
                let was_there = match goodbye {
                    true => at_desk(site, |desk| desk.dismiss(list, address))?,
                    false => change(list, |members| members.remove(address).is_some())?,
                };
                missing += usize::from(!was_there);
            }
            return all_or(missing, "no members");
        }
        MembersAction::Set { state, addresses } => {
            let state = parse_state(&state)?;
            let addresses = parse_all(site, &addresses)?;
            let missing = change(list, |members| {
                let turn = |address: &&Address| match members.find_mut(address) {
                    Some(member) => {
                        member.turn(state, Some("owner"));
                        false
                    }
                    None => true,
                };
                addresses.iter().filter(turn).count()
            })?;
            return all_or(missing, "no members");
        }
        MembersAction::Options { address: text, options } => {
            let address = address(site, &text)?;
            let options = if options == "none" { "" } else { &options };
            if let Some(strange) =
                options.split(',').find(|o| !["", "notmetoo", "nodupes", "plain", "mime"].contains(o))
            {
                return Err(Ended::new(
                    Exit::Usage,
                    format!("{strange:?} is no option: notmetoo, nodupes, plain, mime"),
                ));
            }
            let is_there = change(list, |members| match members.find_mut(&address) {
                Some(member) => {
                    member.put("options", Some(options.to_string()).filter(|options| !options.is_empty()));
                    true
                }
                None => false,
            })?;
            return all_or(usize::from(!is_there), "no members");
        }
        MembersAction::Import { file, skip } => import(site, list, &file, skip)?,
        MembersAction::Export => {
            let members = list.members()?;
            let mut text = String::from("address,state,since,name\n");
            for member in members.iter() {
                let field = |key: &str| member.field(key).unwrap_or("").to_string();
                let row = [member.address.to_string(), member.state.word().to_string(), field("since"), field("name")];
                text.push_str(&row.map(|cell| quoted(&cell)).join(","));
                text.push('\n');
            }
            name_damaged(list, &members);
            say(&text)?;
        }
    }
    Ok(Exit::Ok)
}

/// Lines that were passed over are named where somebody looks at the members.
fn name_damaged(list: &List, members: &Members) {
    let path = list.etc().join("members");
    for damaged in members.damaged() {
        let line: String = damaged.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let _ = writeln!(std::io::stderr(), "{}:{}: {}: {line}", path.display(), damaged.line, damaged.reason);
    }
}

fn change<T>(list: &List, act: impl FnOnce(&mut Members) -> T) -> Result<T, Ended> {
    list.update_members(|members| Ok::<_, std::io::Error>(act(members))).map_err(Ended::from)
}

fn all_or(count: usize, what: &str) -> Done {
    match count {
        0 => Ok(Exit::Ok),
        count => Err(Ended::new(Exit::No, format!("{count} were {what}"))),
    }
}

fn parse_state(text: &str) -> Result<State, Ended> {
    State::parse(text).ok_or_else(|| Ended::new(Exit::Usage, format!("{text:?} is none of on, off, digest")))
}

fn parse_all(site: &Site, texts: &[String]) -> Result<Vec<Address>, Ended> {
    texts.iter().map(|text| address(site, text)).collect()
}

fn to_json(member: &Member) -> serde_json::Value {
    serde_json::json!({
        "address": member.address.to_string(),
        "state": member.state.word(),
        "since": member.field("since"),
        "name": member.field("name"),
        "why": member.field("why"),
        "options": member.field("options").map(|options| options.split(',').collect::<Vec<_>>()),
    })
}

fn import(site: &Site, list: &List, file: &Path, skip: bool) -> Result<(), Ended> {
    let bytes = match file == Path::new("-") {
        true => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().take(IMPORT_LIMIT).read_to_end(&mut bytes)?;
            bytes
        }
        false => fsx::read(file, IMPORT_LIMIT).map_err(|e| Ended::new(Exit::NoInput, e.to_string()))?,
    };
    let now = Timestamp::now();
    let mut found = Vec::new();
    let mut mistakes = Vec::new();
    for (number, line) in line::lines(&bytes).enumerate() {
        let text = String::from_utf8_lossy(line);
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.is_empty() || text.starts_with('#') || (number == 0 && text.to_ascii_lowercase().starts_with("address"))
        {
            continue;
        }
        match row(site, text, now) {
            Ok(member) => found.push(member),
            Err(reason) => mistakes.push(format!("{}:{}: {reason}", file.display(), number + 1)),
        }
    }
    let shown = mistakes.iter().take(SHOWN_MISTAKES).cloned().collect::<Vec<_>>().join("\n");
    if !mistakes.is_empty() && !skip {
        let text = format!("{} lines make no sense; nothing was changed\n{shown}", mistakes.len());
        return Err(Ended::new(Exit::DataErr, text));
    }
    let (lines, before) = (found.len(), mistakes.len());
    let added =
        change(list, |members| found.into_iter().map(|member| members.add(member)).filter(|is_new| *is_new).count())?;
    if before > 0 {
        let _ = writeln!(std::io::stderr(), "emlist: {before} lines were passed over\n{shown}");
    }
    let _ = writeln!(std::io::stderr(), "emlist: {added} members added, {} were there", lines - added);
    Ok(())
}

fn row(site: &Site, text: &str, now: Timestamp) -> Result<Member, String> {
    let cells = cells(text)?;
    let mut cells = cells.iter().map(|cell| cell.trim());
    let address =
        Address::parse_loose(cells.next().unwrap_or(""), &site.default_domain()).map_err(|e| e.to_string())?;
    let mut member = Member::new(&address, now);
    let state = cells.next().filter(|state| !state.is_empty()).unwrap_or("on");
    let state = State::parse(state).ok_or_else(|| format!("{state:?} is none of on, off, digest"))?;
    member.turn(state, Some("owner"));
    // Our own export has a date before the name.
    let rest: Vec<&str> = cells.collect();
    let (since, name) = match rest.as_slice() {
        [since, name, ..] => (Some(*since), *name),
        [name] => (None, *name),
        [] => (None, ""),
    };
    if let Some(since) = since.filter(|since| Timestamp::parse_rfc3339(since).is_some()) {
        member.put("since", Some(since.to_string()));
    }
    member.put("name", Some(name.to_string()).filter(|name| !name.is_empty()));
    Ok(member)
}

/// The cells of a line of CSV (RFC 4180 §2).
fn cells(line: &str) -> Result<Vec<String>, String> {
    let mut found = vec![String::new()];
    let mut is_quoted = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let Some(cell) = found.last_mut() else { break };
        match (is_quoted, c) {
            (true, '"') if chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            (true, '"') => is_quoted = false,
            (false, '"') if cell.trim().is_empty() => {
                cell.clear();
                is_quoted = true;
            }
            (false, ',') => found.push(String::new()),
            (_, c) => cell.push(c),
        }
    }
    if is_quoted { Err("a quote is not closed".to_string()) } else { Ok(found) }
}

fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n']) || cell.starts_with(' ') {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_lines() {
        for (line, expected) in [
            ("a@x.test", vec!["a@x.test"]),
            ("a@x.test,off,\"B, \"\"Al\"\"\"", vec!["a@x.test", "off", "B, \"Al\""]),
            ("a,,", vec!["a", "", ""]),
            ("a, \"b\" ", vec!["a", "b "]),
        ] {
            assert_eq!(cells(line).unwrap(), expected, "{line}");
        }
        assert!(cells("a,\"b").is_err());
        for cell in ["plain", "B, \"Al\"", " x"] {
            assert_eq!(cells(&quoted(cell)).unwrap(), [cell]);
        }
    }
}
