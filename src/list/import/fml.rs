//! Lists of fml 4: `members` may post, `actives` get mail; a line that is commented out is a member who is off.

use super::{Foreign, Posts, invalid, packed, text_of};
use crate::lists::members::State;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Files of members: the first is the usual one.
const MEMBERS: [&str; 2] = ["members", "members-admin"];

/// Folders where packed posts lie.
const PACKED: [&str; 3] = ["spool", "var/archive", "archive"];

pub(super) fn read(path: &Path) -> io::Result<Foreign> {
    let actives = text_of(&path.join("actives"))?;
    let is_there = actives.is_some() || path.join("members").is_file();
    if !is_there {
        return Err(invalid(path, "no list of fml: there is neither \"actives\" nor \"members\" in it"));
    }
    let mut foreign = Foreign::default();
    // Who may post only gets nothing.
    let others = if actives.is_some() { State::Off } else { State::On };
    for name in MEMBERS {
        for (address, _, is_off) in lines(&text_of(&path.join(name))?.unwrap_or_default()) {
            if !is_off {
                foreign.member(&address, others);
            }
        }
    }
    for (address, options, is_off) in lines(&actives.unwrap_or_default()) {
        let is_digest = options.iter().any(|option| option.starts_with("m=") && option != "m=0");
        let is_skipped = options.iter().any(|option| option == "s=skip" || option == "s=1");
        let state = match (is_off || is_skipped, is_digest) {
            (true, _) => State::Off,
            (false, true) => State::Digest,
            (false, false) => State::On,
        };
        // `m=3u` and the like: one text as a reader without MIME wants it.
        let is_plain = options.iter().any(|option| option.starts_with("m=") && !option.ends_with("mp"));
        if let Some(member) = foreign.member(&address, state) {
            member.is_plain = is_digest && is_plain;
        }
        if options.iter().any(|option| option.starts_with("r=")) {
            foreign.note(format!("{address}: his mail went by a relay of its own (r=)"));
        }
    }
    let config = config(&text_of(&path.join("config.ph"))?.unwrap_or_default());
    settings(&config, &mut foreign);
    foreign.last_number = text_of(&path.join("seq"))?.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    foreign.posts = posts(path, &config)?;
    Ok(foreign)
}

/// The posts: packed ones first, because they are the older ones.
fn posts(path: &Path, config: &BTreeMap<String, String>) -> io::Result<Option<Posts>> {
    let named = config.get("ARCHIVE_DIR").map(String::as_str).filter(|folder| !folder.is_empty());
    let mut folders: Vec<&str> = PACKED.into_iter().chain(named).collect();
    folders.sort_unstable();
    folders.dedup();
    let mut found = Vec::new();
    for folder in folders {
        found.extend(packed::packs(&path.join(folder))?);
    }
    found.sort();
    let packs: Vec<PathBuf> = found.into_iter().map(|(_, path)| path).collect();
    let spool = Some(path.join("spool")).filter(|spool| spool.is_dir());
    Ok((spool.is_some() || !packs.is_empty()).then_some(Posts::Numbered(packs, spool)))
}

/// Address, options, and whether it is commented out.
fn lines(text: &str) -> Vec<(String, Vec<String>, bool)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let bare = line.trim_start_matches(['#', ' ', '\t']);
        let marks = line.chars().take_while(|c| *c == '#').count();
        let mut words = bare.split_whitespace().map(str::to_string);
        // `##` and lines without an address are notes.
        if let Some(address) = words.next().filter(|word| word.contains('@') && marks < 2) {
            found.push((address, words.collect(), marks == 1));
        }
    }
    found
}

fn settings(config: &BTreeMap<String, String>, foreign: &mut Foreign) {
    let value = |key: &str| config.get(key).map(String::as_str).unwrap_or_default();
    foreign.set_addresses(
        "owners",
        &[value("MAINTAINER")].map(str::to_string).into_iter().filter(|m| m.contains('@')).collect::<Vec<_>>(),
    );
    foreign.set(
        "posting",
        match value("PERMIT_POST_FROM") {
            "anyone" => "anyone",
            "moderator" => "moderated",
            _ => "members",
        },
    );
    // `[:]` is [talk:00012].
    let prefix = match value("SUBJECT_TAG_TYPE") {
        "[:]" => "[%M:%5S]",
        "(:)" => "(%M:%5S)",
        "[,]" => "[%M,%5S]",
        "(,)" => "(%M,%5S)",
        "[ ]" => "[%M %5S]",
        "( )" => "(%M %5S)",
        "[]" => "[%M]",
        "()" => "(%M)",
        "(ID)" => "(%5S)",
        "[ID]" => "[%5S]",
        "" => "",
        other => {
            foreign.note(format!("SUBJECT_TAG_TYPE {other:?}: set prefix yourself"));
            ""
        }
    };
    foreign.set_text("prefix", prefix);
    if value("AUTO_REGISTRATION_TYPE") == "confirmation" {
        foreign.set("subscription", "confirm");
    }
    if let Ok(size) = value("INCOMING_MAIL_SIZE_LIMIT").parse::<u64>() {
        foreign.set("size", size);
    }
    // fml's readers are Japanese, as a rule, and its charset says so.
    if ["japanese", "Japanese"].contains(&value("LANGUAGE")) {
        foreign.set("language", "ja");
        foreign.set("charset", "iso-2022-jp");
    }
    foreign.set("reply_to", "list");
}

/// `$NAME = "value";` of Perl, one a line; what is more than that is passed over.
fn config(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let Some((name, value)) = line.trim().strip_prefix('$').and_then(|line| line.split_once('=')) else { continue };
        let value = value.trim().trim_end_matches(';').trim().trim_matches(['"', '\'']);
        found.insert(name.trim().to_string(), value.to_string());
    }
    found
}
