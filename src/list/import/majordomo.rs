//! Lists of Majordomo 1.9x: a file of addresses, with others of the same name beside it.

use super::{Foreign, Posts, invalid, text_of};
use crate::fsx;
use crate::lists::members::State;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// `path` is the list's file of addresses, as in `/var/majordomo/lists/talk`.
pub(super) fn read(path: &Path) -> io::Result<Foreign> {
    let Some(addresses) = text_of(path)? else {
        return Err(invalid(path, "no list of Majordomo: give the file of its addresses"));
    };
    let mut foreign = Foreign::default();
    let beside = |ending: &str| {
        let mut name = path.as_os_str().to_os_string();
        name.push(ending);
        PathBuf::from(name)
    };
    let digest = text_of(&beside("-digest"))?.unwrap_or_default();
    for (text, state) in [(&digest, State::Digest), (&addresses, State::On)] {
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            foreign.member(line, state);
        }
    }
    settings(&config(&text_of(&beside(".config"))?.unwrap_or_default()), &mut foreign);
    let mut archives = Vec::new();
    let folder = beside(".archive");
    if folder.is_dir() {
        fsx::each_name(&folder, |name| archives.push(folder.join(name)))?;
        archives.retain(|file| file.is_file());
        // talk.archive.9901: two-digit years, those of the last century first.
        archives.sort_by_key(|file| {
            let name = file.to_string_lossy().into_owned();
            let digits: String =
                name.chars().rev().take_while(char::is_ascii_digit).collect::<String>().chars().rev().collect();
            (digits.len() == 4 && digits.as_str() < "7000", name)
        });
    }
    foreign.posts = (!archives.is_empty()).then_some(Posts::Mbox(archives));
    Ok(foreign)
}

fn settings(config: &BTreeMap<String, String>, foreign: &mut Foreign) {
    let value = |key: &str| config.get(key).map(String::as_str).unwrap_or_default();
    let is_yes = |key: &str| value(key).eq_ignore_ascii_case("yes");
    foreign.set_text("description", value("description"));
    foreign.set_text("prefix", &value("subject_prefix").replace("$LIST", "%M").replace("$SEQNUM", "%S"));
    if is_yes("moderate") {
        foreign.set("posting", "moderated");
        foreign.set_addresses("moderators", &[value("moderator").to_string()].map(|m| m.trim().to_string()));
    } else {
        foreign.set("posting", if value("restrict_post").is_empty() { "anyone" } else { "members" });
    }
    // `open+confirm`, `auto`, `closed`.
    let policy = value("subscribe_policy").to_ascii_lowercase();
    foreign.set(
        "subscription",
        match policy.split('+').next().unwrap_or_default() {
            "closed" => "approve",
            _ if policy.ends_with("+confirm") || policy.is_empty() => "confirm",
            _ => "open",
        },
    );
    if value("unsubscribe_policy").eq_ignore_ascii_case("closed") {
        foreign.set("unsubscription", "closed");
    }
    if let Ok(size) = value("maxlength").parse::<u64>() {
        foreign.set("size", size);
    }
    match value("reply_to") {
        "" => {}
        "$SENDER" => foreign.set("reply_to", "sender"),
        _ => foreign.set("reply_to", "list"),
    }
    if ["list", "bulk", "junk"].contains(&value("precedence")) {
        foreign.set("precedence", value("precedence"));
    }
    for key in ["taboo_headers", "taboo_body", "admin_passwd", "message_headers", "message_footer", "message_fronter"] {
        if !value(key).is_empty() && key != "admin_passwd" {
            foreign.note(format!("{key}: look at it yourself; it is not taken over"));
        }
    }
}

/// `key = value`, `key << END` with lines up to END, `#` for notes.
fn config(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let line = line.trim();
        if line.starts_with('#') {
            continue;
        }
        if let Some((key, end)) = line.split_once("<<") {
            let end = end.trim();
            let value: Vec<&str> = lines.by_ref().take_while(|line| line.trim() != end).collect();
            found.insert(key.trim().to_string(), value.join("\n").trim().to_string());
        } else if let Some((key, value)) = line.split_once('=') {
            found.insert(key.trim().to_string(), value.trim().to_string());
        }
    }
    found
}
