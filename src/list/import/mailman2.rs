//! Lists of Mailman 2.1: a pickled dict with everything.

use super::pickle::{self, Pickle, Value};
use super::{Foreign, Posts, invalid, prefix};
use crate::fsx;
use crate::lists::members::State;
use std::io;
use std::path::{Path, PathBuf};

/// Bits of `user_options`.
const DISABLE_DELIVERY: i64 = 1;
const DISABLE_MIME: i64 = 8;

/// `path` is `lists/NAME` or its `config.pck`.
pub(super) fn read(path: &Path) -> io::Result<Foreign> {
    let file = if path.is_dir() { path.join("config.pck") } else { path.to_path_buf() };
    let bytes = fsx::read(&file, super::FILE_LIMIT)?;
    let config = pickle::read(&bytes).map_err(|e| invalid(&file, e.to_string()))?;
    if config.get("real_name").is_none() {
        return Err(invalid(&file, "no list of Mailman 2: there is no real_name in it"));
    }
    let mut foreign = Foreign::default();
    members(&config, &mut foreign);
    settings(&config, &mut foreign);
    foreign.last_number = number(&config, "post_id").map_or(0, |next| next.saturating_sub(1).max(0) as u64);
    foreign.posts = archive(&file);
    if foreign.posts.is_none() {
        foreign.note("no archive beside it: emlist archive LIST import FILE takes NAME.mbox");
    }
    Ok(foreign)
}

fn members(config: &Pickle, foreign: &mut Foreign) {
    let part = |name: &str| config.get(name).unwrap_or(&Value::None);
    let table = |name: &str| config.table(part(name));
    let (options, status, names) = (table("user_options"), table("delivery_status"), table("usernames"));
    for (roster, state) in [("members", State::On), ("digest_members", State::Digest)] {
        for (key, cased) in config.pairs(part(roster)) {
            let Some(key) = key.text() else { continue };
            let bits = options.get(key).and_then(|bits| bits.number()).unwrap_or(0);
            // (status, time); 0 is enabled.
            let is_disabled = status
                .get(key)
                .and_then(|status| config.members(status).first()?.number())
                .is_some_and(|status| status != 0);
            let is_off = is_disabled || bits & DISABLE_DELIVERY != 0;
            let address = cased.text().filter(|text| text.contains('@')).unwrap_or(key);
            let name = names.get(key).and_then(|name| name.text().map(str::to_string)).unwrap_or_default();
            if let Some(member) = foreign.member(address, if is_off { State::Off } else { state }) {
                member.name = name;
                member.is_plain = bits & DISABLE_MIME != 0 && state == State::Digest;
            }
        }
    }
}

fn settings(config: &Pickle, foreign: &mut Foreign) {
    let text = |name: &str| config.get(name).and_then(|value| value.text().map(str::to_string)).unwrap_or_default();
    let people = |name: &str| -> Vec<String> {
        let members = config.get(name).map(|value| config.members(value)).unwrap_or_default();
        members.iter().filter_map(|value| value.text().map(str::to_string)).collect()
    };
    let is_set = |name: &str| number(config, name).is_some_and(|value| value != 0);
    foreign.set_addresses("owners", &people("owner"));
    foreign.set_addresses("moderators", &people("moderator"));
    foreign.set_text("description", &text("description"));
    foreign.set_text("prefix", &prefix(&text("subject_prefix")));
    foreign.set("reply_to", if number(config, "reply_goes_to_list").unwrap_or(0) == 0 { "leave" } else { "list" });
    if let Some(size) = number(config, "max_message_size").filter(|size| *size > 0) {
        foreign.set("size", size.saturating_mul(1024));
    }
    // 0 accepts, 1 holds, 2 rejects, 3 discards.
    let action = number(config, "generic_nonmember_action").unwrap_or(1);
    let posting = match (is_set("emergency") || is_set("default_member_moderation"), action) {
        (true, _) => "moderated",
        (false, 0) => "anyone",
        (false, _) => "members",
    };
    foreign.set("posting", posting);
    foreign.set("refused", ["reject", "hold", "reject", "discard"].get(action.max(0) as usize).unwrap_or(&"hold"));
    foreign
        .set("subscription", if number(config, "subscribe_policy").unwrap_or(1) >= 2 { "approve" } else { "confirm" });
    if is_set("unsubscribe_policy") {
        foreign.note("unsubscribe_policy: there, an owner decided who may leave; here, everybody may");
    }
    let language = text("preferred_language");
    if language == "ja" {
        foreign.set("language", "ja");
        foreign.set("charset", "iso-2022-jp");
    }
    for name in ["header_filter_rules", "accept_these_nonmembers", "ban_list", "topics"] {
        if config.get(name).is_some_and(|value| !config.members(value).is_empty()) {
            foreign.note(format!("{name}: look at it yourself; it is not taken over"));
        }
    }
    if !text("msg_footer").is_empty() {
        foreign.note("msg_footer: write it into footer.txt of the list when you want it");
    }
}

fn number(config: &Pickle, name: &str) -> Option<i64> {
    config.get(name)?.number()
}

/// `../../archives/private/NAME.mbox/NAME.mbox`, or `NAME.mbox` beside the file.
fn archive(file: &Path) -> Option<Posts> {
    let folder = file.parent()?;
    let name = folder.file_name()?.to_string_lossy().into_owned();
    let mbox = format!("{name}.mbox");
    let usual = |top: &Path| top.join("archives/private").join(&mbox).join(&mbox);
    let places: [Option<PathBuf>; 2] = [folder.parent().and_then(Path::parent).map(usual), Some(folder.join(&mbox))];
    let found: Vec<PathBuf> = places.into_iter().flatten().filter(|place| place.is_file()).take(1).collect();
    (!found.is_empty()).then_some(Posts::Mbox(found))
}
