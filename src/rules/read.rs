//! Reading a file: each logical line by its first letter, in order, because later lines see what earlier ones set.
//!
//! The first mistake does not stop the reading. Class files and programs are asked of a [`Source`]; nothing is opened here.

use super::dollars::{self, DEPTH_LIMIT, expand, expand_noting, translate};
use super::ldap::Inquiry;
use super::lines::{Fault, Line, lines};
use super::listing::{Asked, Listing, Source};
use super::macros::{Classes, Macros, Values};
use super::mailer::{self, MAILER_LIMIT, Mailer};
use super::map::{Class, Map};
use super::meta;
use super::names::ByName;
use super::option::{self, Setting};
use super::rule::Rule;
use super::said::munched;
use super::scan::{Alphabet, OPERATORS};
use super::sets::Sets;
use super::world::exit;
use std::borrow::Cow;
use std::sync::OnceLock;

/// The highest level of files that is understood whole.
pub const LEVEL: u32 = 10;
/// MaxRuleRecursion when the file names none.
const RECURSION: usize = 50;
/// The most that MaxRuleRecursion may be: our stack is the program's.
const RECURSION_LIMIT: usize = 200;
/// Mistakes after which a file is not read on: it is no such file.
const FAULT_LIMIT: usize = 1000;

/// A compiled file.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// From the V line; 0 without one.
    pub level: u32,
    /// Macros of the file.
    pub macros: Macros,
    /// Classes.
    pub classes: Classes,
    /// Rule sets.
    pub sets: Sets,
    /// Maps by name.
    pub maps: ByName<Map>,
    /// Mailers in the order of their numbers.
    pub mailers: Vec<Mailer>,
    /// H lines.
    pub headers: Vec<Header>,
    /// O lines, in order.
    pub options: Vec<Setting>,
    /// P lines: names of precedences and their numbers.
    pub precedences: Vec<(String, i64)>,
    /// Lines of other kinds (E, Q, T, X), by letter.
    pub others: Vec<(u8, Vec<u8>)>,
    /// What stands between two joined atoms (BlankSub).
    pub blank: u8,
    /// MaxRuleRecursion.
    pub recursion_limit: usize,
    /// What was wrong.
    pub faults: Vec<Fault>,
    /// LDAPDefaultSpec as far as it has been read.
    directory: Inquiry,
    alphabet: OnceLock<Alphabet>,
}

/// An H line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Flags between question marks: it is added for mailers with one of them.
    pub flags: Vec<u8>,
    /// A macro between question marks (`?${x}?`): it is added when that is defined.
    pub when: Option<Vec<u8>>,
    /// The field's name.
    pub name: String,
    /// The field's value, unexpanded; for `$>set` the rule set that checks it.
    pub value: Vec<u8>,
    /// Line of the file, from 1.
    pub line: usize,
}

impl Rules {
    /// Rules with nothing but what is there without a file: the mailers and maps that are built in.
    pub fn new() -> Rules {
        let mut rules = Rules { blank: b' ', recursion_limit: RECURSION, ..Rules::default() };
        rules.mailers = mailer::built_in();
        if let (Some(host), _) = Map::read(b"host host -a.", 0) {
            rules.maps.insert(host.name[..].into(), host);
        }
        for (name, value) in [(&b"n"[..], "MAILER-DAEMON"), (b"{opMode}", "m")] {
            rules.macros.set(name, value.as_bytes().to_vec());
        }
        for (class, words) in
            [(b"e", "7bit 8bit binary"), (b"n", "multipart/signed"), (b"q", "text/plain"), (b"s", "rfc822")]
        {
            words.split(' ').for_each(|word| rules.classes.add(class, word.as_bytes()));
        }
        rules
    }

    /// Reads a file's text into these rules; `file` is its name in messages.
    pub fn read(&mut self, text: &[u8], file: &str, source: &mut dyn Source) {
        let mut reader = Reader { rules: self, file, source, set: None };
        for line in lines(text) {
            reader.line(&line);
            if reader.rules.faults.len() >= FAULT_LIMIT {
                reader.fault(&line, b"", format!("too many mistakes ({FAULT_LIMIT} max): the rest is not read"));
                break;
            }
        }
        reader.finish();
    }

    /// The table of characters: fixed by the first rule, or by the first use.
    pub fn alphabet(&self) -> &Alphabet {
        self.alphabet.get_or_init(|| {
            let option = self.option("OperatorChars").map(|s| s.value.clone());
            let of_macro = || self.macros.value(b"o").map(|v| expand(v, &self.macros));
            let chars = if self.level < 7 { of_macro() } else { option };
            Alphabet::new(chars.as_deref().unwrap_or(OPERATORS))
        })
    }

    /// The rules of a set.
    pub fn set(&self, set: usize) -> &[Rule] {
        self.sets.rules(set)
    }

    /// A set's name, or its number as text.
    pub fn set_name(&self, set: usize) -> Cow<'_, str> {
        self.sets.name(set)
    }

    /// The number of a set that a name or number stands for.
    pub fn find_set(&self, name: &[u8]) -> Option<usize> {
        self.sets.find(name).ok()
    }

    /// The last setting of an option.
    pub fn option(&self, name: &str) -> Option<&Setting> {
        self.options.iter().rev().find(|setting| setting.name == name)
    }

    /// A mailer by name, without regard to case.
    pub fn mailer(&self, name: &[u8]) -> Option<&Mailer> {
        self.mailers.iter().find(|m| m.name.as_bytes().eq_ignore_ascii_case(name))
    }

    /// What sendmail ends with after reading this: the status of the first fault that is no warning, or [`exit::OK`].
    pub fn status(&self) -> u8 {
        self.faults.iter().find(|fault| !fault.warning).map_or(exit::OK, |fault| fault.status)
    }
}

pub(super) struct Reader<'r> {
    pub(super) rules: &'r mut Rules,
    file: &'r str,
    source: &'r mut dyn Source,
    /// The rule set that R lines go to.
    pub(super) set: Option<usize>,
}

impl Reader<'_> {
    pub(super) fn fault(&mut self, line: &Line, part: &[u8], message: String) {
        self.rules.faults.push(Fault::new(self.file, line, part, message));
    }

    fn warn(&mut self, line: &Line, part: &[u8], message: String) {
        self.rules.faults.push(Fault::new(self.file, line, part, message).as_warning());
    }

    /// A text of a line with the values that its macros have by now.
    pub(super) fn expanded(&mut self, line: &Line, text: &[u8]) -> Vec<u8> {
        let (text, is_too_deep) = expand_noting(text, &self.rules.macros);
        if is_too_deep {
            self.fault(line, b"$", format!("expand: recursion too deep ({DEPTH_LIMIT} max)"));
        }
        text
    }

    fn line(&mut self, line: &Line) {
        let translated = translate(&line.text, self.rules.level >= 3);
        for (offset, message) in translated.faults {
            self.rules.faults.push(Fault::at(self.file, line, offset, 1, message));
        }
        let text = translated.text;
        let Some((&kind, rest)) = text.split_first() else { return };
        match kind {
            b'R' => self.rule(line, rest),
            b'S' => self.begin_set(line, rest),
            b'D' => {
                if let Some((name, value)) = self.name(line, rest) {
                    let (value, _) = munched(value, None);
                    self.rules.macros.set(&name, value);
                }
            }
            b'C' => self.class(line, rest),
            b'F' => self.class_file(line, rest),
            b'H' => self.header(line, rest),
            b'K' => {
                let text = self.expanded(line, rest);
                let (map, faults) = Map::read_with(&text, line.last, &self.rules.directory);
                faults.into_iter().for_each(|text| self.fault(line, b"", text));
                if let Some(map) = map {
                    let shown = String::from_utf8_lossy(&map.name).into_owned();
                    let unknown = map.members().filter(|member| !self.rules.maps.contains_key(*member));
                    for member in unknown.collect::<Vec<_>>() {
                        let member_shown = String::from_utf8_lossy(member);
                        let text = format!("Sequence map {shown}: unknown member map {member_shown}");
                        self.fault(line, member, text);
                    }
                    self.rules.maps.insert(map.name[..].into(), map);
                }
            }
            b'M' => self.mailer(line, rest),
            b'O' => self.option(line, rest),
            b'P' if rest.contains(&b'=') => self.precedence(rest),
            b'V' => self.version(line, rest),
            b'T' => {
                for word in self.expanded(line, rest).split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()) {
                    self.rules.classes.add(b"t", word);
                }
            }
            b'Q' if rest.is_empty() => self.fault(line, b"", "name required for queue".to_string()),
            b'E' | b'Q' => self.rules.others.push((kind, rest.to_vec())),
            b'X' => match rest.iter().position(|b| *b == b',') {
                Some(comma) if comma > 0 => self.rules.others.push((kind, rest.to_vec())),
                None if !rest.is_empty() => self.rules.others.push((kind, rest.to_vec())),
                _ => self.fault(line, b"X", "name required for mail filter".to_string()),
            },
            _ => {
                let shown = String::from_utf8_lossy(&line.text).into_owned();
                self.fault(line, b"", format!("unknown configuration line \"{shown}\""));
            }
        }
    }

    /// A name in inner form at the start of a text, and what stands behind it.
    fn name<'t>(&mut self, line: &Line, text: &'t [u8]) -> Option<(Vec<u8>, &'t [u8])> {
        let (name, after, wrong) = dollars::name(text, 0);
        match wrong {
            Some(message) => {
                self.fault(line, text, message);
                None
            }
            None => Some((name, text.get(after..).unwrap_or(b""))),
        }
    }

    fn begin_set(&mut self, line: &Line, text: &[u8]) {
        let text = self.expanded(line, text);
        match self.rules.sets.enter(&text) {
            Ok(set) => {
                if !self.rules.set(set).is_empty() {
                    let shown = meta::said(&text);
                    self.warn(line, b"", format!("WARNING: Ruleset {shown} has multiple definitions"));
                }
                self.set = Some(set);
            }
            Err(message) => {
                self.set = None;
                self.fault(line, b"", message);
            }
        }
    }

    fn class(&mut self, line: &Line, text: &[u8]) {
        let Some((name, members)) = self.name(line, text) else { return };
        let members = self.expanded(line, members);
        self.rules.classes.id(&name);
        for word in members.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()) {
            match word.strip_prefix(&[meta::CLASS]) {
                // `$=y`: what is in that class now.
                Some(other) => {
                    let others: Vec<Vec<u8>> = self.rules.classes.members(other).map(<[u8]>::to_vec).collect();
                    others.iter().for_each(|member| self.rules.classes.add(&name, member));
                }
                None => self.rules.classes.add(&name, word),
            }
        }
    }

    fn class_file(&mut self, line: &Line, text: &[u8]) {
        let Some((name, rest)) = self.name(line, text) else { return };
        let rest = self.expanded(line, rest);
        if let Some(asked) = Asked::read(&rest) {
            return self.class_of_map(line, &name, &asked);
        }
        let listing = Listing::read(&rest);
        match self.source.fetch(&listing) {
            Ok(text) => {
                for word in listing.words(&text) {
                    self.rules.classes.add(&name, &word);
                }
            }
            Err(_) if listing.optional => {}
            Err(why) => {
                let shown = String::from_utf8_lossy(&listing.name).into_owned();
                let text = format!("fileclass: cannot open '{shown}': {why}");
                let fault = Fault::new(self.file, line, &listing.name, text);
                self.rules.faults.push(Fault { status: exit::SYSTEM, ..fault });
            }
        }
    }

    /// A class whose words a directory knows.
    fn class_of_map(&mut self, line: &Line, name: &[u8], asked: &Asked) {
        let bare = name.strip_prefix(b"{").and_then(|name| name.strip_suffix(b"}")).unwrap_or(name);
        let shown = String::from_utf8_lossy(bare).into_owned();
        if asked.class != b"ldap" {
            let class = String::from_utf8_lossy(&asked.class);
            return self.fault(line, &asked.class, format!("fileclass: F{{{shown}}}: class {class} not available"));
        }
        let flags = asked.flags.clone().unwrap_or_else(|| {
            let cluster = self.rules.macros.value(b"{sendmailMTACluster}").unwrap_or_default().to_vec();
            let cluster = self.expanded(line, &cluster);
            let full = self.expanded(line, &[meta::MACRO, b'j']);
            Inquiry::of_class(bare, &cluster, &full)
        });
        let mut map = Map::blank(bare, "ldap", line.last);
        let (inquiry, faults) = Inquiry::read(&flags, &mut map, &self.rules.directory);
        faults.into_iter().for_each(|text| self.fault(line, b"", text));
        let Some(inquiry) = inquiry else { return };
        map.kind = Class::Ldap(Box::new(Inquiry { separator: inquiry.separator.or(Some(b' ')), ..inquiry }));
        match self.source.look_up(&map, &asked.key) {
            Ok(found) => {
                let found = found.unwrap_or_default();
                for word in found.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
                    self.rules.classes.add(name, word);
                }
            }
            Err(_) if asked.optional || map.has(b'o') => {}
            Err(why) => {
                let fault = Fault::new(self.file, line, b"@", format!("fileclass: F{{{shown}}}: {why}"));
                self.rules.faults.push(Fault { status: exit::SYSTEM, ..fault });
            }
        }
    }

    fn header(&mut self, line: &Line, text: &[u8]) {
        let (mut flags, mut when, mut rest) = (Vec::new(), None, text);
        if let Some(after) = text.strip_prefix(b"?") {
            let end = after.iter().position(|b| *b == b'?').unwrap_or(after.len());
            match after[..end].split_first() {
                Some((&meta::MACRO, name)) => when = Some(name.to_vec()),
                _ => flags = after[..end].to_vec(),
            }
            rest = after.get(end + 1..).unwrap_or(b"");
        }
        let colon = rest.iter().position(|b| *b == b':');
        let name = colon.map(|colon| rest[..colon].trim_ascii_end());
        let (Some(colon), Some(name)) = (colon, name.filter(|n| !n.is_empty() && n.iter().all(u8::is_ascii_graphic)))
        else {
            let shown = meta::said(text);
            return self.fault(line, b"", format!("header syntax error, line \"{shown}\""));
        };
        let value = rest[colon + 1..].trim_ascii_start().to_vec();
        let name = String::from_utf8_lossy(name).into_owned();
        self.rules.headers.push(Header { flags, when, name, value, line: line.last });
    }

    fn mailer(&mut self, line: &Line, text: &[u8]) {
        let rules = &mut *self.rules;
        let level = rules.level;
        let (mailer, wrong) = Mailer::read(text, line.last, level, &mut |name| rules.sets.enter(name));
        wrong.into_iter().for_each(|(part, message)| self.fault(line, &part, message));
        let Some(mailer) = mailer else { return };
        let same = self.rules.mailers.iter().position(|m| m.name.eq_ignore_ascii_case(&mailer.name));
        match same {
            Some(number) => self.rules.mailers[number] = mailer,
            None if self.rules.mailers.len() >= MAILER_LIMIT => {
                self.fault(line, b"", format!("too many mailers defined ({MAILER_LIMIT} max)"));
            }
            None => self.rules.mailers.push(mailer),
        }
    }

    fn option(&mut self, line: &Line, text: &[u8]) {
        let is_late = |read: &option::Read| match read {
            option::Read::Known(setting) | option::Read::Shortened(setting, _) => option::LATE.contains(&setting.name),
            option::Read::Unknown(_) => false,
        };
        let read = Some(option::read(text, line.last)).filter(is_late);
        let setting = match read.unwrap_or_else(|| option::read(&self.expanded(line, text), line.last)) {
            option::Read::Known(setting) => setting,
            option::Read::Shortened(setting, said) => {
                let warning = Fault::new(self.file, line, text.trim_ascii(), said).as_warning();
                self.rules.faults.push(Fault { is_placed: true, ..warning });
                setting
            }
            option::Read::Unknown(said) => return self.fault(line, text.trim_ascii(), said),
        };
        match setting.name {
            "BlankSub" => self.rules.blank = setting.value.first().copied().unwrap_or(b' '),
            "MaxRuleRecursion" => {
                let number = String::from_utf8_lossy(&setting.value).trim().parse().unwrap_or(RECURSION);
                self.rules.recursion_limit = number.min(RECURSION_LIMIT);
            }
            "LDAPDefaultSpec" => {
                let (directory, faults) = Inquiry::defaults(&setting.value);
                faults.into_iter().for_each(|text| self.fault(line, b"", text));
                self.rules.directory = directory;
            }
            "OperatorChars" => {
                let fixed = self.rules.alphabet.get().is_some();
                if fixed || self.rules.option("OperatorChars").is_some() {
                    self.warn(line, b"O", "Warning: OperatorChars is being redefined.".to_string());
                    self.warn(line, b"O", "         It should only be set before ruleset definitions.".to_string());
                }
            }
            _ => {}
        }
        self.rules.options.push(setting);
    }

    fn precedence(&mut self, text: &[u8]) {
        let text = String::from_utf8_lossy(text).into_owned();
        if let Some((name, number)) = text.split_once('=') {
            self.rules.precedences.push((name.trim().to_string(), number.trim().parse().unwrap_or(0)));
        }
    }

    fn version(&mut self, line: &Line, text: &[u8]) {
        let text = text.trim_ascii_start();
        let digits = text.iter().take_while(|b| b.is_ascii_digit()).count();
        let shown = String::from_utf8_lossy(text).into_owned();
        let Ok(level) = shown[..digits].parse::<u32>() else {
            let shown: String = shown.chars().take(20).collect();
            return self.fault(line, text, format!("invalid argument to V line: \"{shown}\""));
        };
        self.rules.level = level;
        // The full name is in `$j`; from level 5 on `$w` is the short one.
        if level >= 5
            && let Some(name) = self.rules.macros.value(b"w")
        {
            let short = name.split(|b| *b == b'.').next().unwrap_or(name).to_vec();
            self.rules.macros.set(b"w", short);
        }
        if let Some(vendor) = text[digits..].strip_prefix(b"/") {
            let length = vendor.iter().take_while(|b| b.is_ascii_alphabetic()).count();
            if !vendor[..length].eq_ignore_ascii_case(b"Berkeley") {
                let shown = String::from_utf8_lossy(&vendor[..length]).into_owned();
                self.fault(line, vendor, format!("invalid V line vendor code: \"{shown}\""));
            }
        }
    }

    fn finish(&mut self) {
        let level = self.rules.level;
        let file = self.file;
        if level > LEVEL {
            let text = format!(
                "Warning: .cf version level ({level}) exceeds sendmail version {} functionality ({LEVEL})",
                super::VERSION
            );
            self.rules.faults.push(Fault::whole(file, text));
        } else if level < LEVEL {
            let text = format!(
                "Warning: .cf file is out of date: sendmail {} supports version {LEVEL}, .cf file is version {level}",
                super::VERSION
            );
            self.rules.faults.push(Fault::whole(file, text).as_warning());
        }
        if self.rules.mailer(b"local").is_none() {
            self.rules.faults.push(Fault::whole(file, "No local mailer defined".to_string()));
        }
        // The full name is one of ours, whatever class lines say.
        let full = expand(&[meta::MACRO, b'j'], &self.rules.macros);
        if !full.is_empty() {
            self.rules.classes.add(b"w", &full);
        }
        self.rules.alphabet();
    }
}
