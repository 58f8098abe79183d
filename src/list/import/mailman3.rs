//! Lists of Mailman 3, as its REST interface shows them.
//!
//! A folder with files `*.json`, in any number and of any name: the answers to `/lists/NAME`, `/lists/NAME/config` and
//! `/lists/NAME/roster/ROLE`; or one such file. An object with `entries` is a roster; any other has settings. Beside them `*.mbox`.

use super::{Foreign, Posts, invalid, prefix};
use crate::fsx;
use crate::lists::members::State;
use serde_json::{Map, Value};
use std::io;
use std::path::{Path, PathBuf};

pub(super) fn read(path: &Path) -> io::Result<Foreign> {
    let mut files = Vec::new();
    if path.is_dir() {
        fsx::each_name(path, |name| files.push(path.join(name)))?;
        files.sort();
    } else {
        files.push(path.to_path_buf());
    }
    let with = |ending: &str| -> Vec<PathBuf> {
        files.iter().filter(|file| file.extension().is_some_and(|e| e == ending)).cloned().collect()
    };
    let mut foreign = Foreign::default();
    let mut settings = Map::new();
    let mut people = People::default();
    for file in with("json") {
        let value: Value = serde_json::from_slice(&fsx::read(&file, super::FILE_LIMIT)?)
            .map_err(|e| invalid(&file, format!("line {}, column {}: {e}", e.line(), e.column())))?;
        match value {
            Value::Object(object) if object.contains_key("entries") => roster(&object, &mut people, &mut foreign),
            Value::Array(entries) => {
                roster(&Map::from_iter([("entries".to_string(), Value::Array(entries))]), &mut people, &mut foreign);
            }
            Value::Object(object) => settings.extend(object),
            _ => foreign.note(format!("{}: neither an object nor a list", file.display())),
        }
    }
    if settings.is_empty() && foreign.members.is_empty() && people.owners.is_empty() {
        return Err(invalid(path, "no answers of Mailman 3's REST interface: no *.json with settings or entries"));
    }
    foreign.set_addresses("owners", &people.owners);
    foreign.set_addresses("moderators", &people.moderators);
    set(&settings, &mut foreign);
    let boxes = with("mbox");
    foreign.posts = (!boxes.is_empty()).then_some(Posts::Mbox(boxes));
    Ok(foreign)
}

#[derive(Default)]
struct People {
    owners: Vec<String>,
    moderators: Vec<String>,
}

fn roster(object: &Map<String, Value>, people: &mut People, foreign: &mut Foreign) {
    for entry in object.get("entries").and_then(Value::as_array).into_iter().flatten() {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).unwrap_or_default();
        let address = text("email");
        match text("role") {
            "owner" => people.owners.push(address.to_string()),
            "moderator" => people.moderators.push(address.to_string()),
            "nonmember" => {}
            _ => {
                let mode = text("delivery_mode");
                let is_off = ["by_user", "by_bounces", "by_moderator"].contains(&text("delivery_status"));
                let state = match (is_off, mode.ends_with("_digests")) {
                    (true, _) => State::Off,
                    (false, true) => State::Digest,
                    (false, false) => State::On,
                };
                let name = text("display_name").to_string();
                if let Some(member) = foreign.member(address, state) {
                    member.is_plain = mode == "plaintext_digests";
                    member.name = name;
                }
            }
        }
    }
}

fn set(settings: &Map<String, Value>, foreign: &mut Foreign) {
    let text = |key: &str| settings.get(key).and_then(Value::as_str).unwrap_or_default();
    foreign.set_text("description", text("description"));
    foreign.set_text("prefix", &prefix(text("subject_prefix")));
    let reply_to = match text("reply_goes_to_list") {
        "point_to_list" => "list",
        "explicit_header" | "explicit_header_only" => "list",
        _ => "leave",
    };
    foreign.set("reply_to", reply_to);
    let posting = match (text("default_member_action"), text("default_nonmember_action")) {
        ("hold" | "reject" | "discard", _) => "moderated",
        (_, "accept" | "defer") => "anyone",
        _ => "members",
    };
    foreign.set("posting", posting);
    if let Some(refused @ ("hold" | "reject" | "discard")) = Some(text("default_nonmember_action")) {
        foreign.set("refused", refused);
    }
    match text("subscription_policy") {
        "open" => foreign.set("subscription", "open"),
        "moderate" | "confirm_then_moderate" => foreign.set("subscription", "approve"),
        _ => foreign.set("subscription", "confirm"),
    }
    // In kilobytes.
    if let Some(size) = settings.get("max_message_size").and_then(Value::as_u64).filter(|size| *size > 0) {
        foreign.set("size", size.saturating_mul(1024));
    }
    foreign.last_number = settings.get("post_id").and_then(Value::as_u64).map_or(0, |next| next.saturating_sub(1));
    foreign.set("language", if text("preferred_language") == "ja" { "ja" } else { "en" });
}
