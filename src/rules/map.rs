//! Maps: the K line, and what is the same for all classes around a look-up.
//!
//! Classes that need nothing but their definition answer here ([`super::pure`], [`super::pattern`]); the others ask the [`World`].

use super::ldap::Inquiry;
use super::macros::Macros;
use super::pattern::Pattern;
use super::pure;
use super::read::Rules;
use super::run::unquoted;
use super::world::{Looked, World, exit};
use std::borrow::Cow;

/// Most `$@` arguments of a look-up; more are dropped.
pub const ARGUMENT_LIMIT: usize = 8;
/// How deep `sequence` and `switch` maps may name each other.
const NESTING_LIMIT: usize = 10;

/// What a class of maps does.
#[derive(Debug, Clone)]
pub enum Class {
    /// `arith`: calculates.
    Arith,
    /// `dequote`: takes quotes off.
    Dequote,
    /// `macro`: sets a macro.
    Macro,
    /// `null`: never finds anything.
    Null,
    /// `sequence`: the first of these maps that finds something.
    Sequence(Vec<Vec<u8>>),
    /// `regex`.
    Regex(Box<Pattern>),
    /// `text`: a file with columns, which the world reads.
    Text,
    /// `syslog`: writes the key to the log; finds the empty text.
    Log,
    /// `ldap`: a directory is asked.
    Ldap(Box<Inquiry>),
    /// All others are asked.
    Asked,
}

/// A map of the file.
#[derive(Debug, Clone)]
pub struct Map {
    /// Its name.
    pub name: Vec<u8>,
    /// The name of its class.
    pub class: String,
    /// What the class does.
    pub kind: Class,
    /// Flags without a value, `f` for `-f` and so on.
    pub flags: Vec<u8>,
    /// Flags with a value, such as `k` with a column; the last one of a letter counts.
    pub values: Vec<(u8, Vec<u8>)>,
    /// -a: appended to what is found.
    pub append: Vec<u8>,
    /// -T: in rules, appended to the key on a temporary failure, which remains one.
    pub append_later: Option<Vec<u8>>,
    /// -S: stands between two atoms of a key.
    pub blank: Option<u8>,
    /// What stands behind the flags: a file, a program, a list of names.
    pub rest: Vec<u8>,
    /// Keys are asked in lower case.
    folds: bool,
    /// Line of the file, from 1.
    pub line: usize,
}

/// Classes there are, and whether their keys are folded to lower case.
const CLASSES: &[(&str, bool)] = &[
    ("arith", false),
    ("bestmx", false),
    ("btree", true),
    ("cdb", true),
    ("dbm", true),
    ("dequote", false),
    ("dns", false),
    ("hash", true),
    ("host", false),
    ("implicit", true),
    ("ldap", false),
    ("lmdb", true),
    ("macro", false),
    ("nis", true),
    ("nisplus", true),
    ("null", false),
    ("program", false),
    ("regex", false),
    ("sequence", false),
    ("socket", true),
    ("socketmap", true),
    ("stab", true),
    ("switch", false),
    ("syslog", false),
    // Ours: a text table with an order of look-ups (-s).
    ("table", true),
    ("text", true),
    ("user", true),
    ("userdb", true),
];

/// Types of records a dns map may ask for.
const RECORDS: &[&str] = &["A", "AAAA", "AFSDB", "CNAME", "MX", "NS", "PTR", "SRV", "TLSA", "TXT"];

impl Map {
    /// Reads a K line behind the K, its macros expanded. `None` in the answer when there is no map to keep.
    pub fn read(text: &[u8], line: usize) -> (Option<Map>, Vec<String>) {
        Map::read_with(text, line, &Inquiry::default())
    }

    /// The same, with what LDAPDefaultSpec has said before.
    pub fn read_with(text: &[u8], line: usize, directory: &Inquiry) -> (Option<Map>, Vec<String>) {
        let mut faults = Vec::new();
        let mut words = Words { text, at: 0 };
        let name = words.next();
        if name.is_empty() {
            return (None, vec!["readcf: config K line: no map name".to_string()]);
        }
        let shown = String::from_utf8_lossy(name).into_owned();
        let class = String::from_utf8_lossy(words.next()).into_owned();
        if class.is_empty() {
            return (None, vec![format!("readcf: config K line, map {shown}: no map class")]);
        }
        if !CLASSES.iter().any(|(known, _)| *known == class) {
            return (None, vec![format!("readcf: map {shown}: class {class} not available")]);
        }
        let mut map = Map::blank(name, &class, line);
        if map.class == "ldap" {
            let (inquiry, faults) = Inquiry::read(words.rest(), &mut map, directory);
            map.kind = inquiry.map_or(Class::Null, |inquiry| Class::Ldap(Box::new(inquiry)));
            return (Some(map), faults);
        }
        while let Some(flag) = words.flag() {
            // A column or a record type may stand apart from its flag.
            let apart = matches!(flag, b"k" | b"v") || (flag == b"R" && map.class == "dns");
            let flag = if apart { &[flag, words.next()].concat() } else { flag };
            if let Err(letter) = map.flag(flag) {
                faults.push(format!("Illegal option {letter} map {shown}"));
            }
        }
        map.rest = words.rest().to_vec();
        map.class_of(&mut faults);
        (Some(map), faults)
    }

    /// A map without flags, which the world answers.
    pub(super) fn blank(name: &[u8], class: &str, line: usize) -> Map {
        Map {
            name: name.to_vec(),
            kind: Class::Asked,
            class: class.to_string(),
            flags: Vec::new(),
            values: Vec::new(),
            append: Vec::new(),
            append_later: None,
            blank: None,
            rest: Vec::new(),
            folds: CLASSES.iter().any(|(name, folds)| *name == class && *folds),
            line,
        }
    }

    /// True when its line was so wrong that it is never asked.
    pub fn is_broken(&self) -> bool {
        matches!(self.kind, Class::Null) && self.class != "null"
    }

    /// One word of flags: a letter, and its value glued to it.
    fn flag(&mut self, word: &[u8]) -> Result<(), char> {
        let Some((&letter, value)) = word.split_first() else { return Err(' ') };
        let allowed: &[u8] = match self.class.as_str() {
            "arith" | "macro" | "null" | "sequence" | "switch" => b"",
            "dequote" => b"aDs",
            "regex" => b"abdDfmnsST",
            "dns" => b"aABRdrmtoTDSNOfqzZ",
            "program" | "text" | "host" => b"aADfkmNoOqStTvzd",
            "syslog" => b"DLST",
            _ => b"aADdfhkmNoOPqRsStTvzl",
        };
        if !allowed.contains(&letter) && !allowed.is_empty() {
            return Err(char::from(letter));
        }
        match letter {
            b'a' => self.append = value.to_vec(),
            b'T' => self.append_later = Some(value.to_vec()),
            b'S' => self.blank = value.first().copied(),
            b's' | b'd' => self.values.push((letter, value.to_vec())),
            b'k' | b'v' | b'z' | b'Z' | b'B' | b'R' | b'h' | b'L' | b'r' if self.class != "regex" => {
                self.values.push((letter, value.to_vec()));
            }
            _ => self.flags.push(letter),
        }
        Ok(())
    }

    fn class_of(&mut self, faults: &mut Vec<String>) {
        let shown = String::from_utf8_lossy(&self.name).into_owned();
        self.kind = match self.class.as_str() {
            "arith" => Class::Arith,
            "dequote" => Class::Dequote,
            "macro" => Class::Macro,
            "null" => Class::Null,
            "text" => Class::Text,
            "syslog" => Class::Log,
            "sequence" => Class::Sequence(
                self.rest.split(u8::is_ascii_whitespace).filter(|w| !w.is_empty()).map(<[u8]>::to_vec).collect(),
            ),
            "regex" => match Pattern::read(self) {
                Ok(pattern) => Class::Regex(Box::new(pattern)),
                Err(text) => {
                    faults.push(format!("pattern-compile-error: {text}"));
                    Class::Null
                }
            },
            "hash" | "btree" | "dbm" | "cdb" | "lmdb" | "stab" | "implicit" | "table" if self.rest.is_empty() => {
                faults.push(format!("No file name for {} map {shown}", self.class));
                Class::Asked
            }
            "dns" => {
                match self.value(b'R').map(|r| String::from_utf8_lossy(r).to_ascii_uppercase()) {
                    Some(record) if RECORDS.contains(&record.as_str()) => {}
                    record => {
                        if let Some(wrong) = record {
                            faults.push(format!("dns map {shown}: wrong type {wrong}"));
                        }
                        faults.push(format!("dns map {shown}: missing -R type"));
                    }
                }
                Class::Asked
            }
            _ => Class::Asked,
        };
    }

    /// The maps that a sequence names.
    pub fn members(&self) -> impl Iterator<Item = &[u8]> {
        let names = match &self.kind {
            Class::Sequence(names) => &names[..],
            _ => &[],
        };
        names.iter().map(|name| &name[..])
    }

    /// The value of a flag that takes one.
    pub fn value(&self, letter: u8) -> Option<&[u8]> {
        self.values.iter().rev().find(|(l, _)| *l == letter).map(|(_, value)| &value[..])
    }

    /// True when a flag without a value is there.
    pub fn has(&self, letter: u8) -> bool {
        self.flags.contains(&letter)
    }

    fn folds(&self) -> bool {
        self.folds && !self.has(b'f')
    }

    /// What was found with %0 … %9 replaced and -a appended; with -m the key itself.
    fn finished(&self, key: &[u8], value: &[u8], arguments: &[Vec<u8>]) -> Vec<u8> {
        let mut out = Vec::new();
        // A server's key is folded before it is asked, and -m gives back what was asked.
        let asked = match self.has(b'm') && self.class.starts_with("socket") && self.folds() {
            true => Cow::Owned(key.to_ascii_lowercase()),
            false => Cow::Borrowed(key),
        };
        let mut rest = if self.has(b'm') { &asked[..] } else { value };
        while let Some((&byte, after)) = rest.split_first() {
            rest = after;
            match (byte, after.first()) {
                (b'%', Some(b'%')) => {
                    out.push(b'%');
                    rest = &after[1..];
                }
                (b'%', Some(b'0')) => {
                    out.extend_from_slice(key);
                    rest = &after[1..];
                }
                (b'%', Some(digit @ b'1'..=b'9')) => {
                    out.extend(arguments.get(usize::from(digit - b'1')).into_iter().flatten());
                    rest = &after[1..];
                }
                _ => out.push(byte),
            }
        }
        out.extend_from_slice(&self.append);
        out
    }
}

/// A look-up in progress.
pub struct Call<'c> {
    /// The file, for maps that name others.
    pub rules: &'c Rules,
    /// The message's macros, which the map `macro` sets.
    pub message: &'c mut Macros,
    /// Answers what only the outside knows.
    pub world: &'c mut dyn World,
    /// What was wrong with a look-up.
    pub complaint: Option<String>,
}

impl Call<'_> {
    /// Looks a key up, with all that the map's flags ask for.
    pub fn look_up(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        let keeps =
            map.has(b'q') || matches!(map.kind, Class::Dequote) || !key.iter().any(|b| matches!(b, b'"' | b'\\'));
        let key = if keeps { Cow::Borrowed(key) } else { Cow::Owned(unquoted(key)) };
        self.nested(map, &key, arguments, NESTING_LIMIT)
    }

    /// The same as a map by itself does it: quotes in the key stay, and a temporary failure shows whatever the map's -t says.
    pub fn look_up_plainly(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        self.plain(map, key, arguments, NESTING_LIMIT)
    }

    fn nested(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>], depth: usize) -> Looked {
        match self.plain(map, key, arguments, depth) {
            Looked { value: None, status: exit::TEMPORARY } if map.has(b't') => Looked::missing(),
            looked => looked,
        }
    }

    fn plain(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>], depth: usize) -> Looked {
        let looked = match &map.kind {
            Class::Arith => return pure::arith(key, arguments, self.world.random()),
            Class::Dequote => pure::dequote(map, key),
            Class::Null => return Looked::missing(),
            Class::Log => {
                self.world.record(map, key);
                return Looked::found("");
            }
            Class::Macro => return self.set_macro(key, arguments),
            Class::Regex(pattern) => {
                return pattern.look_up(map, key, arguments).unwrap_or_else(|said| {
                    self.complaint = Some(said);
                    Looked::failed(exit::CONFIG)
                });
            }
            Class::Sequence(names) => return self.sequence(names, key, arguments, depth),
            Class::Text | Class::Asked | Class::Ldap(_) => self.asked(map, key, arguments),
        };
        match looked {
            Looked { value: Some(value), status } => {
                Looked { value: Some(map.finished(key, &value, arguments)), status }
            }
            looked => looked,
        }
    }

    fn asked(&mut self, map: &Map, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        let folded = match map.folds() && key.iter().any(u8::is_ascii_uppercase) {
            true => Cow::Owned(key.to_ascii_lowercase()),
            false => Cow::Borrowed(key),
        };
        match map.kind {
            Class::Text => match self.world.text(&map.rest) {
                Some(text) => pure::text(map, &text, &folded),
                None if map.has(b'o') => Looked::missing(),
                None => Looked::failed(exit::TEMPORARY),
            },
            _ => self.world.look_up(map, &folded, arguments),
        }
    }

    fn set_macro(&mut self, key: &[u8], arguments: &[Vec<u8>]) -> Looked {
        let (name, _, fault) = super::dollars::name(key, 0);
        if fault.is_some() {
            return Looked::failed(exit::CONFIG);
        }
        match arguments.first() {
            Some(value) => self.message.set(&name, value.clone()),
            None => self.message.unset(&name),
        }
        Looked::found("")
    }

    fn sequence(&mut self, names: &[Vec<u8>], key: &[u8], arguments: &[Vec<u8>], depth: usize) -> Looked {
        let rules = self.rules;
        let mut last = Looked::missing();
        for map in names.iter().filter_map(|name| rules.maps.get(&name[..])) {
            if depth == 0 {
                return Looked::failed(exit::CONFIG);
            }
            let looked = self.nested(map, key, arguments, depth - 1);
            if looked.value.is_some() || looked.status == exit::TEMPORARY {
                return looked;
            }
            last = Looked::missing();
        }
        last
    }
}

/// Words of a line, and flags among them.
struct Words<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Words<'a> {
    fn skip(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> &'a [u8] {
        self.skip();
        let rest = &self.text[self.at..];
        let length = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// The next word without its dash, when it begins with one.
    fn flag(&mut self) -> Option<&'a [u8]> {
        self.skip();
        (self.text.get(self.at) == Some(&b'-')).then(|| &self.next()[1..])
    }

    fn rest(&mut self) -> &'a [u8] {
        self.skip();
        self.text[self.at..].trim_ascii_end()
    }
}
