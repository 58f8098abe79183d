//! What the rules may ask while an address is routed: tables, names of hosts; and what they tell.
//!
//! The engine refuses bytes from 0x80 to 0x9F, which are its operators, but local parts in UTF-8 have them. They travel through the
//! rules as two bytes, the first of which never occurs in UTF-8 ([`to_rules`], [`from_rules`]); keys are spelled back for the tables.

use super::em_cf::Compiled;
use super::maps::Maps;
use super::remembered::Asked;
use super::steps::{Decider, Steps};
use crate::fsx;
use crate::log;
use crate::rules::map::Map;
use crate::rules::meta;
use crate::rules::token::Token;
use crate::rules::world::{Fired, Looked, MailHosts, Watch, World, exit};
use crate::tables::Kind;
use std::borrow::Cow;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Largest file of a `text` map, in octets.
const TEXT_LIMIT: u64 = 64 << 20;
/// Longest text of an error that is kept in quotes, in octets: it must fit into one token.
const QUOTED_LIMIT: usize = 240;
/// Never a byte of UTF-8.
const ESCAPE: u8 = 0xf5;

/// Text as the engine takes it.
pub fn to_rules(text: &str) -> Vec<u8> {
    octets_to_rules(text.as_bytes())
}

/// The same for what need not be text.
fn octets_to_rules(text: &[u8]) -> Vec<u8> {
    if text.is_ascii() {
        return text.to_vec();
    }
    let mut out = Vec::with_capacity(text.len());
    for &byte in text {
        match byte {
            0x80..=0x9f => out.extend([ESCAPE, byte + 0x20]),
            _ => out.push(byte),
        }
    }
    out
}

/// Text as it was before [`to_rules`].
pub fn from_rules(text: &[u8]) -> String {
    spelled(text).into_owned()
}

/// The same, borrowed where nothing is to be changed.
fn spelled(text: &[u8]) -> Cow<'_, str> {
    if text.is_ascii()
        && let Ok(text) = std::str::from_utf8(text)
    {
        return text.into();
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            ESCAPE => out.extend(bytes.next().map(|next| next.wrapping_sub(0x20))),
            _ => out.push(byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned().into()
}

/// Answers the rules' questions.
pub(super) struct Surroundings<'a> {
    pub(super) compiled: &'a Compiled,
    pub(super) maps: &'a Maps,
    pub(super) etc: &'a Path,
    /// Accounts of the system have mail here (`accounts.system`).
    pub(super) system: bool,
    pub(super) steps: &'a Steps,
    pub(super) complaint: Option<String>,
    /// Notes what is asked, for who wants to remember the answer.
    pub(super) asked: Option<&'a mut Asked>,
}

impl Surroundings<'_> {
    fn note_other(&mut self) {
        if let Some(asked) = &mut self.asked {
            asked.others = true;
        }
    }

    /// A canonical name. Where there is no DNS a name is taken as it stands, and where DNS does not answer, too, unless the map has a
    /// word for that (-T): no mail is refused for want of a prettier name, and that the host exists shows when mail is sent there.
    fn host(&mut self, map: &Map, key: &[u8]) -> Looked {
        let looked = match self.maps.look_up(map, &key_of(key), &[]) {
            Some(heard) => heard.looked,
            None => Looked::missing(),
        };
        let is_unsure = looked.status == exit::TEMPORARY && map.append_later.is_none();
        if looked.value.is_some() || (self.maps.has_dns() && !is_unsure) {
            return looked;
        }
        match crate::addr::normal_domain(&from_rules(key)) {
            Ok(name) => Looked::found(name),
            Err(_) => Looked::missing(),
        }
    }

    fn table(&mut self, map: &Map, key: &[u8]) -> Looked {
        let Some((table, search)) = self.compiled.tables.get(&map.name[..]) else { return Looked::missing() };
        let key = spelled(key);
        let found = match &mut self.asked {
            Some(asked) => {
                let (found, state) = table.find_with_state(*search, &key);
                asked.table(table, state);
                found
            }
            None => table.find(*search, &key),
        };
        let hit = match found {
            Ok(hit) => hit,
            Err(error) => {
                self.complaint = Some(error.to_string());
                return Looked::failed(exit::TEMPORARY);
            }
        };
        let Some(hit) = hit else {
            let is_missing = !map.has(b'o') && !table.exists();
            return if is_missing { Looked::failed(exit::TEMPORARY) } else { Looked::missing() };
        };
        self.steps.say_at(Decider::Table, || {
            let place = table.line_of(&hit.key).map(|line| (table.path().display().to_string(), line));
            (place, format!("{}: {key} found as {} {}", map_name(map), hit.key, hit.value))
        });
        if map.class != "table" {
            return Looked::found(to_rules(&hit.value));
        }
        let value = in_quotes(table.kind(), hit.expanded(&key));
        // The map's own substitution comes later and must find nothing to do.
        Looked::found(to_rules(&value.replace('%', "%%")))
    }
}

/// A field of a system account, by default its name.
fn system_account(map: &Map, key: &[u8]) -> Looked {
    let name = from_rules(key);
    let is_name = name.len() <= 32 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    match nix::unistd::User::from_name(&name) {
        _ if !is_name => Looked::missing(),
        Ok(None) => Looked::missing(),
        Err(_) => Looked::failed(exit::TEMPORARY),
        Ok(Some(user)) => match map.value(b'v').unwrap_or(b"name") {
            b"uid" => Looked::found(user.uid.to_string()),
            b"gid" => Looked::found(user.gid.to_string()),
            b"gecos" => Looked::found(user.gecos.into_bytes()),
            b"dir" => Looked::found(user.dir.into_os_string().into_encoded_bytes()),
            b"shell" => Looked::found(user.shell.into_os_string().into_encoded_bytes()),
            _ => Looked::found(user.name),
        },
    }
}

/// A key as the world spells it.
fn key_of(key: &[u8]) -> Vec<u8> {
    from_rules(key).into_bytes()
}

fn map_name(map: &Map) -> String {
    String::from_utf8_lossy(&map.name).into_owned()
}

/// A refusal's text in quotes, so that it passes through the rules with its blanks and brackets.
fn in_quotes(kind: Kind, value: String) -> String {
    if !matches!(kind, Kind::Access | Kind::Routes | Kind::Virtusers) {
        return value;
    }
    let parts = match value.split_once(':') {
        Some((word, rest)) if word.eq_ignore_ascii_case("error") => {
            let rest = rest.trim_start();
            match rest.split_once([':', ' ', '\t']) {
                Some((code, text)) if !is_reply(code) => Some((format!("{word}:{code}:"), text)),
                _ => Some((format!("{word}:{}:", code_of(rest)), rest)),
            }
        }
        Some(("QUARANTINE", text)) => Some(("QUARANTINE:".to_string(), text)),
        _ if value.get(..3).is_some_and(is_reply) => Some((String::new(), &value[..])),
        _ => None,
    };
    match parts {
        Some((head, text)) if text.len() <= QUOTED_LIMIT && !text.contains(['"', '\\']) => {
            format!("{head}\"{}\"", text.trim())
        }
        _ => value,
    }
}

fn is_reply(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|b| b.is_ascii_digit())
}

/// What stands behind `$@` for a text without a code of its own.
fn code_of(text: &str) -> &'static str {
    if text.starts_with('4') { "4.7.1" } else { "5.7.1" }
}

impl World for Surroundings<'_> {
    fn look_up(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        match map.class.as_str() {
            "table" | "hash" | "btree" | "dbm" | "cdb" | "lmdb" => return self.table(map, key),
            "stab" | "implicit" | "userdb" => return Looked::missing(),
            _ => self.note_other(),
        }
        match map.class.as_str() {
            "host" => self.host(map, key),
            "bestmx" if !self.maps.has_dns() => Looked::missing(),
            "user" if self.system => system_account(map, key),
            "user" => Looked::missing(),
            class => {
                let arguments: Vec<Vec<u8>> = arguments.iter().map(|argument| key_of(argument)).collect();
                if let Some(heard) = self.maps.look_up(map, &key_of(key), &arguments) {
                    self.complaint = heard.cause;
                    return Looked { value: heard.looked.value.map(|value| octets_to_rules(&value)), ..heard.looked };
                }
                self.complaint = Some(format!("map {}: class {class} is not served here", map_name(map)));
                Looked::failed(exit::TEMPORARY)
            }
        }
    }

    fn is_empty(&mut self, map: &Map) -> bool {
        self.compiled.tables.get(&map.name[..]).is_some_and(|(table, _)| table.is_empty())
    }

    fn complaint(&mut self) -> Option<String> {
        self.complaint.take()
    }

    fn text(&mut self, file: &[u8]) -> Option<Vec<u8>> {
        self.note_other();
        fsx::read(&self.etc.join(OsStr::from_bytes(file)), TEXT_LIMIT).ok()
    }

    fn record(&mut self, map: &Map, text: &[u8]) {
        self.note_other();
        // Who only wants to know where an address goes makes no entries.
        if !self.steps.are_wanted() {
            log::event("rules").field("map", map_name(map)).field("text", from_rules(text)).write();
        }
    }

    fn mail_hosts(&mut self, host: &[u8]) -> MailHosts {
        self.note_other();
        self.maps.mail_hosts(&from_rules(host))
    }

    fn canonical(&mut self, host: &[u8]) -> Option<Vec<u8>> {
        self.note_other();
        self.maps.canonical(&from_rules(host)).ok().flatten().map(String::into_bytes)
    }

    fn random(&mut self) -> u64 {
        self.note_other();
        let mut bytes = [0; 8];
        // Without randomness the number is 0, which is as good as any other here.
        let _ = getrandom::fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Hears what happens: rules that fire go to the steps, the first complaint is kept for the log.
pub(super) struct Listener<'a> {
    pub(super) steps: &'a Steps,
    pub(super) file: &'a str,
    pub(super) complaint: Option<String>,
}

/// A workspace in words.
fn shown(workspace: &[Token]) -> String {
    let tokens: Vec<String> = workspace
        .iter()
        .map(|token| {
            let mut out = Vec::new();
            match token.first() {
                Some(0x80..=0x9f) => meta::show(token, &mut out),
                _ => return from_rules(token),
            }
            String::from_utf8_lossy(&out).into_owned()
        })
        .collect();
    tokens.join(" ")
}

impl Watch for Listener<'_> {
    fn fired(&mut self, fired: Fired) {
        if self.steps.want_rules() {
            self.steps.say_at(Decider::Rule, || {
                let (before, after) = (shown(fired.before), shown(fired.after));
                let words = format!("rule {} of {}: {before} becomes {after}", fired.number, fired.set);
                (Some((self.file.to_string(), fired.rule.line)), words)
            });
        }
    }

    fn complains(&mut self, text: &[u8]) {
        self.complaint.get_or_insert_with(|| from_rules(text));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_passes_through_the_rules() {
        for text in ["alice", "jörg", "ąćę", "用户", "\u{80}\u{9f}\u{a0}ÿ"] {
            let bytes = to_rules(text);
            assert!(bytes.iter().all(|b| !(0x80..=0x9f).contains(b) && *b != 0xff), "{text}");
            assert_eq!(from_rules(&bytes), text);
        }
    }

    #[test]
    fn texts_of_errors_are_quoted() {
        for (kind, value, wanted) in [
            (Kind::Routes, "error:5.7.1 no (way): x", "error:5.7.1:\"no (way): x\""),
            (Kind::Routes, "error:5.7.0:550 no", "error:5.7.0:\"550 no\""),
            (Kind::Virtusers, "error:nouser 550 gone", "error:nouser:\"550 gone\""),
            (Kind::Access, "ERROR:550 go away", "ERROR:5.7.1:\"550 go away\""),
            (Kind::Access, "451 later", "\"451 later\""),
            (Kind::Access, "QUARANTINE:looks odd", "QUARANTINE:\"looks odd\""),
            (Kind::Access, "REJECT", "REJECT"),
            (Kind::Routes, "esmtp:x", "esmtp:x"),
            (Kind::Own, "error:5.7.1 x", "error:5.7.1 x"),
        ] {
            assert_eq!(in_quotes(kind, value.to_string()), wanted);
        }
    }
}
