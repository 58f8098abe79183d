//! Lists of mlmmj: a folder of small files, each of which is one setting by being there.

use super::{Foreign, Posts, invalid, prefix, text_of};
use crate::fsx;
use crate::lists::members::State;
use std::io;
use std::path::Path;

/// Settings without a counterpart that change who gets what.
const UNKNOWN: [&str; 8] =
    ["access", "modnonsubposts", "customheaders", "delheaders", "noarchive", "notmetoo", "submod", "subonlyget"];

pub(super) fn read(path: &Path) -> io::Result<Foreign> {
    let control = path.join("control");
    if !control.is_dir() {
        return Err(invalid(path, "no list of mlmmj: there is no folder \"control\" in it"));
    }
    let mut foreign = Foreign::default();
    let value = |name: &str| text_of(&control.join(name));
    let is_set = |name: &str| control.join(name).exists();
    let lines = |text: Option<String>| -> Vec<String> {
        let text = text.unwrap_or_default();
        text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_string).collect()
    };
    foreign.set_addresses("owners", &lines(value("owner")?));
    if is_set("moderated") {
        foreign.set("posting", "moderated");
        let moderators = lines(value("moderators")?);
        foreign.set_addresses("moderators", &moderators);
    } else if is_set("modonlypost") {
        foreign.set("posting", "moderators");
    } else {
        foreign.set("posting", if is_set("subonlypost") { "members" } else { "anyone" });
    }
    if is_set("closedlist") || is_set("closedlistsub") {
        foreign.set("subscription", "closed");
    } else if is_set("nosubconfirm") {
        foreign.set("subscription", "open");
        foreign.set("unsubscription", "open");
    }
    if let Some(text) = value("prefix")? {
        foreign.set_text("prefix", &prefix(&text));
    }
    if let Some(size) = value("maxmailsize")?.and_then(|text| text.trim().parse::<u64>().ok()) {
        foreign.set("size", size);
    }
    if let Some(days) = value("digestinterval")?.and_then(|text| text.trim().parse::<u64>().ok()) {
        foreign.set_text("digest_every", &format!("{}d", days.div_ceil(86_400).max(1)));
    }
    if let Some(posts) = value("digestmaxmails")?.and_then(|text| text.trim().parse::<u32>().ok()) {
        foreign.set("digest_posts", posts);
    }
    let custom = value("customheaders")?.unwrap_or_default().to_ascii_lowercase();
    if custom.contains("reply-to:") {
        foreign.set("reply_to", "list");
    }
    for name in UNKNOWN.iter().filter(|name| is_set(name)) {
        foreign.note(format!("control/{name}: look at it yourself; there is no setting of exactly this meaning"));
    }
    if is_set("footer") {
        foreign.note("control/footer: write it into footer.txt of the list when you want it");
    }
    for (folder, state) in [("subscribers.d", State::On), ("digesters.d", State::Digest), ("nomailsubs.d", State::Off)]
    {
        members(&path.join(folder), state, &mut foreign)?;
    }
    foreign.last_number = text_of(&path.join("index"))?.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
    let archive = path.join("archive");
    foreign.posts = archive.is_dir().then(|| Posts::Numbered(Vec::new(), Some(archive)));
    Ok(foreign)
}

/// One file for each first letter, one address a line.
fn members(folder: &Path, state: State, foreign: &mut Foreign) -> io::Result<()> {
    let mut names = Vec::new();
    match fsx::each_name(folder, |name| names.push(name.to_os_string())) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        other => other?,
    }
    names.sort();
    for name in names {
        for line in text_of(&folder.join(name))?.unwrap_or_default().lines() {
            let line = line.trim();
            if !line.is_empty() {
                foreign.member(line, state);
            }
        }
    }
    Ok(())
}
