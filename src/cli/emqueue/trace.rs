//! `emqueue trace`: a message's whole story, in order, from the log.

use super::super::{Ended, say};
use crate::config::Site;
use crate::log::{LogLine, parse_line};
use crate::status::Exit;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};

/// Prints every line about the messages that a word names: an id, an address, or a Message-ID.
pub(super) fn trace(site: &Site, word: &str, json: bool) -> super::super::Done {
    let path = match site.settings.log.target.as_str() {
        "file" => site.root.log.join("em.log"),
        other => match other.strip_prefix("file:") {
            Some(path) => path.into(),
            None => {
                let text = format!("log.target is {other:?}: the story lies there; trace reads log files only");
                return Err(Ended::new(Exit::Unavailable, text));
            }
        },
    };
    let word = word.trim_start_matches('<').trim_end_matches('>').to_lowercase();
    // Reports and requeued copies belong to the story: ids are followed from line to line.
    let mut ids = BTreeSet::new();
    loop {
        let before = ids.len();
        for line in lines(&path)? {
            if names(&line, &word) || line.field("id").is_some_and(|id| ids.contains(id)) {
                ids.extend(["id", "as"].iter().filter_map(|k| line.field(k)).map(str::to_string));
            }
            if line.field("about").is_some_and(|id| ids.contains(id)) {
                ids.extend(line.field("id").map(str::to_string));
            }
        }
        if ids.len() == before {
            break;
        }
    }
    let mut found = false;
    for line in lines(&path)? {
        if line.field("id").is_some_and(|id| ids.contains(id)) {
            found = true;
            say(&if json { to_json(&line) } else { to_text(&line) })?;
        }
    }
    if !found {
        return Err(Ended::new(Exit::No, format!("{}: nothing about {word:?}", path.display())));
    }
    Ok(Exit::Ok)
}

/// The log's lines, after those of the last rotated file. A line that is no text is passed over.
fn lines(path: &std::path::Path) -> Result<impl Iterator<Item = LogLine>, Ended> {
    let mut before = path.as_os_str().to_owned();
    before.push(".1");
    let before = std::fs::File::open(before).ok();
    let file = std::fs::File::open(path).map_err(|e| Ended::new(Exit::NoInput, format!("{}: {e}", path.display())))?;
    let files = before.into_iter().chain([file]);
    let raw = files.flat_map(|file| BufReader::new(file).split(b'\n').map_while(Result::ok));
    Ok(raw.filter_map(|line| parse_line(&String::from_utf8_lossy(&line))))
}

fn names(line: &LogLine, word: &str) -> bool {
    line.fields.iter().any(|(key, value)| {
        let value = value.trim_start_matches('<').trim_end_matches('>');
        ["id", "from", "to", "msgid", "user"].contains(&key.as_str()) && value.eq_ignore_ascii_case(word)
    })
}

fn to_text(line: &LogLine) -> String {
    let fields: Vec<String> = line
        .fields
        .iter()
        .filter(|(key, _)| key != "event" && key != "id")
        .map(|(key, value)| match value.chars().all(|c| c.is_ascii_graphic() && c != '"') {
            true => format!("{key}={value}"),
            // The log has a peer's words escaped; a terminal must not get them as they were.
            false => format!("{key}={value:?}"),
        })
        .collect();
    let id = line.field("id").unwrap_or("");
    format!("{} {id} {:<9} {:<8} {}\n", line.time, line.field("event").unwrap_or(""), line.program, fields.join(" "))
}

fn to_json(line: &LogLine) -> String {
    let mut object = serde_json::Map::new();
    object.insert("time".to_string(), line.time.clone().into());
    object.insert("program".to_string(), line.program.clone().into());
    for (key, value) in &line.fields {
        object.insert(key.clone(), value.clone().into());
    }
    format!("{}\n", serde_json::Value::Object(object))
}
