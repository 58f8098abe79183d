//! Strings of a running script: variables, what wildcards have matched, modifiers, flags.
//!
//! RFC 5229, RFC 5232, RFC 6609 §3.3.

use super::super::checker::LEXICAL;
use super::super::constants;
use super::super::environment::Location;
use super::super::fault::SieveError;
use super::super::matching::Comparator;
use super::super::text::{MATCH_LIMIT, Piece, Text};
use super::super::tree::Node;
use super::super::vocabulary::{Kind, extension};
use super::{Run, World};
use crate::mailbox::{System, is_keyword};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

/// A set of flags has at most so many.
const FLAG_LIMIT: usize = 128;

/// What belongs to one script of a run.
#[derive(Debug, Default)]
pub(in super::super) struct Frame {
    /// Which included script this is; `None` for the first.
    pub script: Option<(Location, String)>,
    variables: HashMap<Box<str>, String>,
    /// Names that mean a global variable here.
    globals: HashSet<Box<str>>,
    matched: Vec<String>,
}

impl Frame {
    /// That of an included script.
    pub(super) fn of(script: (Location, String)) -> Frame {
        Frame { script: Some(script), ..Frame::default() }
    }
}

impl Run<'_> {
    /// The value of a string.
    pub(in super::super) fn expand<'t>(&self, text: &'t Text) -> Cow<'t, str> {
        let pieces = match text {
            Text::Plain(text) => return Cow::Borrowed(text),
            Text::Mixed(pieces) => pieces,
        };
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Plain(text) => out.push_str(text),
                Piece::Variable(name) => out.push_str(self.variable(name)),
                Piece::Global(name) => out.push_str(self.globals.get(name).map_or("", String::as_str)),
                Piece::Match(number) if *number < MATCH_LIMIT => {
                    let matched = self.frames.last().and_then(|frame| frame.matched.get(*number));
                    out.push_str(matched.map_or("", String::as_str));
                }
                Piece::Match(_) => {}
            }
            if out.len() > self.limits.string_size {
                cut(&mut out, self.limits.string_size);
                break;
            }
        }
        Cow::Owned(out)
    }

    /// The value of a positional argument that is one string.
    pub(super) fn argument(&self, node: &Node, at: usize) -> String {
        node.texts(at).first().map(|text| self.expand(text).into_owned()).unwrap_or_default()
    }

    /// The string behind a tag.
    pub(super) fn tag(&self, node: &Node, name: &str) -> Option<String> {
        node.tagged(name)?.first().map(|text| self.expand(text).into_owned())
    }

    /// Several strings.
    pub(super) fn strings(&self, texts: &[Text]) -> Vec<String> {
        texts.iter().map(|text| self.expand(text).into_owned()).collect()
    }

    fn variable(&self, name: &str) -> &str {
        let Some(frame) = self.frames.last() else { return "" };
        let values = if frame.globals.contains(name) { &self.globals } else { &frame.variables };
        values.get(name).map_or("", String::as_str)
    }

    pub(super) fn assign(&mut self, node: &Node, name: &str, mut value: String) -> Result<(), SieveError> {
        constants::variable(name).map_err(|wrong| node.place.error(wrong))?;
        cut(&mut value, self.limits.variable_size);
        let name = name.to_ascii_lowercase();
        let Some(frame) = self.frames.last_mut() else { return Ok(()) };
        let (values, name) = match name.strip_prefix("global.") {
            Some(name) => (&mut self.globals, name),
            None if frame.globals.contains(name.as_str()) => (&mut self.globals, name.as_str()),
            None => (&mut frame.variables, name.as_str()),
        };
        if !values.contains_key(name) && values.len() >= self.limits.variables {
            return Err(node.place.error(format!("there are more than {} variables", self.limits.variables)));
        }
        values.insert(name.into(), value);
        Ok(())
    }

    /// What the last wildcard match has found.
    pub(super) fn matched(&self) -> Vec<String> {
        self.frames.last().map(|frame| frame.matched.clone()).unwrap_or_default()
    }

    /// Keeps what a wildcard match has found.
    pub(super) fn keep_matched(&mut self, found: Vec<String>) {
        if let Some(frame) = self.frames.last_mut() {
            frame.matched = found;
        }
    }

    /// `set` (RFC 5229 §4).
    pub(super) fn set(&mut self, node: &Node) -> Result<(), SieveError> {
        let name = self.argument(node, 0);
        let value = self.modified(node, self.argument(node, 1));
        self.note(node, || format!("set {name:?} to {value:?}"));
        self.assign(node, &name, value)
    }

    /// A value after the modifiers of a command, those of higher precedence first (RFC 5229 §4.1).
    pub(super) fn modified(&self, node: &Node, mut value: String) -> String {
        if node.has("lower") {
            value = value.to_lowercase();
        }
        if node.has("upper") {
            value = value.to_uppercase();
        }
        if node.has("lowerfirst") || node.has("upperfirst") {
            let mut chars = value.chars();
            if let Some(first) = chars.next() {
                let first: String = if node.has("lowerfirst") {
                    first.to_lowercase().collect()
                } else {
                    first.to_uppercase().collect()
                };
                value = first + chars.as_str();
            }
        }
        let quoted = |special: &str| {
            let mut out = String::with_capacity(value.len());
            for c in value.chars() {
                if special.contains(c) {
                    out.push('\\');
                }
                out.push(c);
            }
            out
        };
        // What grows is cut where a character ends, not inside a pair.
        if node.has("quotewildcard") {
            value = shortened(quoted("*?\\"), self.limits.variable_size);
        } else if node.has("quoteregex") {
            value = shortened(quoted("\\.*+?[](){}|^$"), self.limits.variable_size);
        }
        if node.has("encodeurl") {
            value = url_encoded(&value, self.limits.variable_size);
        }
        if node.has("length") {
            value = value.chars().count().to_string();
        }
        value
    }

    /// `global`: names that are the same in all scripts which declare them.
    pub(super) fn declare(&mut self, node: &Node) -> Result<(), SieveError> {
        for name in self.strings(node.texts(0)) {
            constants::variable(&name).map_err(|wrong| node.place.error(wrong))?;
            let name = name.to_ascii_lowercase();
            let is_new = !self.globals.contains_key(name.as_str());
            if is_new && self.globals.len() >= self.limits.variables {
                return Err(node.place.error(format!("there are more than {} variables", self.limits.variables)));
            }
            self.globals.entry(name.as_str().into()).or_default();
            if let Some(frame) = self.frames.last_mut() {
                frame.globals.insert(name.into());
            }
        }
        Ok(())
    }

    /// The flags of a variable, or the internal ones.
    pub(super) fn flags_of(&self, variable: Option<&str>) -> Vec<String> {
        let Some(name) = variable else { return self.flags.clone() };
        let name = name.to_ascii_lowercase();
        let value = match name.strip_prefix("global.") {
            Some(name) => self.globals.get(name).map_or("", String::as_str),
            None => self.variable(&name),
        };
        flags(&[value.to_string()])
    }

    /// `setflag`, `addflag`, `removeflag` (RFC 5232 §3).
    pub(super) fn change_flags(&mut self, node: &Node) -> Result<(), SieveError> {
        let variable = node.arguments.first().is_some_and(Option::is_some).then(|| self.argument(node, 0));
        let named = flags(&self.strings(node.texts(1)));
        let mut now = self.flags_of(variable.as_deref());
        let is_in = |list: &[String], flag: &str| list.iter().any(|known| known.eq_ignore_ascii_case(flag));
        match node.kind {
            Kind::SetFlag => now = named,
            Kind::RemoveFlag => now.retain(|flag| !is_in(&named, flag)),
            _ => {
                for flag in named {
                    if !is_in(&now, &flag) && now.len() < FLAG_LIMIT {
                        now.push(flag);
                    }
                }
            }
        }
        self.note(node, || format!("{}: now {:?}", node.name, now.join(" ")));
        match variable {
            None => self.flags = now,
            Some(name) => self.assign(node, &name, now.join(" "))?,
        }
        Ok(())
    }

    /// The flags that an action gives to a message.
    pub(super) fn flags_for(&self, node: &Node) -> Vec<String> {
        match node.tagged("flags") {
            Some(texts) => flags(&self.strings(texts)),
            None => self.flags.clone(),
        }
    }

    /// `hasflag`: the flags that are looked at (RFC 5232 §4).
    pub(super) fn asked_flags(&self, node: &Node) -> Vec<String> {
        match node.arguments.first().is_some_and(Option::is_some) {
            false => self.flags.clone(),
            true => self.strings(node.texts(0)).iter().flat_map(|name| self.flags_of(Some(name))).collect(),
        }
    }

    /// An `ihave` whose names may have variables in them.
    pub(super) fn has_extensions(&self, node: &Node) -> bool {
        let has = |name: &str| extension(name).is_some_and(|known| !LEXICAL.contains(&known));
        self.strings(node.texts(0)).iter().all(|name| has(name))
    }

    /// Comparators are used here for tests without a match type of their own.
    pub(super) fn is_equal(a: &str, b: &str) -> bool {
        Comparator::Casemap.order(a, b).is_eq()
    }

    /// Counts work that grows with the product of two lengths.
    pub(super) fn charge_product(&mut self, a: usize, b: usize, node: &Node, world: &World) -> Result<(), SieveError> {
        self.charge((a as u64).saturating_mul(b as u64) / 100, node, world)
    }
}

/// Flags as strings have them: any number in one, separated by blanks; each is kept once, and none that IMAP does not know.
pub(super) fn flags(strings: &[String]) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for flag in strings.iter().flat_map(|s| s.split([' ', '\t', '\r', '\n'])).filter(|flag| !flag.is_empty()) {
        let is_known = match flag.starts_with('\\') {
            true => System::parse(flag).is_some(),
            false => is_keyword(flag),
        };
        if is_known && found.len() < FLAG_LIMIT && !found.iter().any(|known| known.eq_ignore_ascii_case(flag)) {
            found.push(flag.to_string());
        }
    }
    found
}

/// Cuts a text at the end of a character.
fn cut(text: &mut String, limit: usize) {
    if text.len() > limit {
        text.truncate(text.floor_char_boundary(limit));
    }
}

fn shortened(mut quoted: String, limit: usize) -> String {
    cut(&mut quoted, limit);
    let slashes = quoted.bytes().rev().take_while(|b| *b == b'\\').count();
    if slashes % 2 == 1 {
        quoted.pop();
    }
    quoted
}

/// Percent-encodes all but unreserved characters (RFC 5435 §6); cut where a whole character ends.
fn url_encoded(text: &str, limit: usize) -> String {
    let mut out = String::new();
    for c in text.chars() {
        let mut buffer = [0; 4];
        let piece: String = match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '.' | '_' | '~' => c.to_string(),
            c => c.encode_utf8(&mut buffer).bytes().map(|b| format!("%{b:02X}")).collect(),
        };
        if out.len() + piece.len() > limit {
            break;
        }
        out.push_str(&piece);
    }
    out
}
