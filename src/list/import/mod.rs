//! Taking over lists of other programs: settings, members and posts.
//!
//! Called by `emlist import`. Each reader looks at files only and gives one [`Foreign`]; [`take_over`] makes the list of it. What can be
//! taken over safely is: members with what they get, owners, who may post, prefix, Reply-To, size, texts of the description, posts with their
//! numbers. What cannot is named in the notes, so that the administrator decides.
//!
//! | program | reads | reader |
//! |---|---|---|
//! | Mailman 2.1 | `config.pck`; `archives/private/NAME.mbox/NAME.mbox` | `mailman2`, `pickle` |
//! | Mailman 3 | answers of its REST interface in `*.json`; `*.mbox` | `mailman3` |
//! | mlmmj | `control/*`, `subscribers.d`, `digesters.d`, `nomailsubs.d`, `archive/N` | `mlmmj` |
//! | Majordomo 1.9x | the list's file, `NAME.config`, `NAME-digest`, `NAME.archive` | `majordomo` |
//! | fml 4 | `members`, `actives`, `seq`, `config.ph`, `spool/N`, `var/archive/N.tar.gz` | `fml`, `packed` |
//!
//! Trust: the files are the administrator's, but old, and often damaged: a line that makes no sense is a note.

mod fml;
mod mailman2;
mod mailman3;
mod majordomo;
mod mlmmj;
mod packed;
mod pickle;
mod posts;

pub use posts::Posts;

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fsx;
use crate::lists::archive::Archive;
use crate::lists::members::{Member, State};
use crate::lists::{ListError, ListName, Lists};
use std::collections::HashMap;
use std::io;
use std::path::Path;

/// Largest file of settings or members, in octets.
const FILE_LIMIT: u64 = 256 << 20;
/// Notes that are kept; what comes after is counted only.
const NOTES_LIMIT: usize = 200;

/// The programs whose lists are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// Mailman 2.1.
    Mailman2,
    /// Mailman 3.
    Mailman3,
    /// mlmmj.
    Mlmmj,
    /// Majordomo 1.9x.
    Majordomo,
    /// fml 4.
    Fml,
}

/// A list of another program.
#[derive(Debug, Clone, Default)]
pub struct Foreign {
    /// Settings as `List::set` takes them.
    pub settings: Vec<(&'static str, String)>,
    /// Its members.
    pub members: Vec<ForeignMember>,
    /// Where its posts are.
    pub posts: Option<Posts>,
    /// The number of its last post; 0 when it is not known.
    pub last_number: u64,
    /// What was not understood, or has no counterpart.
    pub notes: Notes,
    /// Where each address stands among the members.
    places: HashMap<Address, usize>,
}

/// A member of a list of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignMember {
    /// The address.
    pub address: Address,
    /// What he gets.
    pub state: State,
    /// His name; may be empty.
    pub name: String,
    /// He wants digests as one text.
    pub is_plain: bool,
}

/// What the administrator is told of a list of another program.
#[derive(Debug, Clone, Default)]
pub struct Notes {
    lines: Vec<String>,
    more: usize,
}

/// What was taken over.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// The list is a new one.
    pub is_new: bool,
    /// Members added, and those who were members already.
    pub members: (usize, usize),
    /// Posts added.
    pub posts: u64,
    /// Posts that were here already.
    pub known: u64,
    /// What was not understood, or has no counterpart.
    pub notes: Notes,
}

/// Reads a list of another program.
pub fn read(from: From, path: &Path) -> io::Result<Foreign> {
    match from {
        From::Mailman2 => mailman2::read(path),
        From::Mailman3 => mailman3::read(path),
        From::Mlmmj => mlmmj::read(path),
        From::Majordomo => majordomo::read(path),
        From::Fml => fml::read(path),
    }
}

/// Makes a list of it, or adds its members and posts to one that is there, whose settings then stay. May be started again after it was cut
/// short: what is here already is passed over.
pub fn take_over(lists: &Lists, name: &ListName, foreign: &Foreign, now: Timestamp) -> Result<Taken, ListError> {
    let mut taken = Taken { notes: foreign.notes.clone(), is_new: !lists.has(name), ..Taken::default() };
    let list = match taken.is_new {
        true => {
            let settings: Vec<(&str, &str)> =
                foreign.settings.iter().map(|(key, value)| (*key, value.as_str())).collect();
            lists.create(name, &settings)?
        }
        false => lists.open(name)?,
    };
    taken.members = list.update_members(|members| {
        let mut counts = (0, 0);
        for foreign in &foreign.members {
            let mut member = Member::new(&foreign.address, now);
            member.turn(foreign.state, Some("import"));
            member.put("name", Some(foreign.name.clone()).filter(|name| !name.is_empty()));
            member.put("options", foreign.is_plain.then(|| "plain".to_string()));
            match members.add(member) {
                true => counts.0 += 1,
                false => counts.1 += 1,
            }
        }
        Ok::<_, io::Error>(counts)
    })?;
    let archive = Archive::of(&list);
    let lock = list.lock()?;
    let mut posts = list.posts(&lock)?;
    if let Some(source) = &foreign.posts {
        let imported = source.import(&archive, posts.last(), &mut taken.notes, now)?;
        (taken.posts, taken.known) = (imported.posts, imported.known);
    }
    let last = archive.index()?.last().max(foreign.last_number.min(posts::NUMBER_LIMIT));
    if last > posts.last() {
        posts.set_last(last)?;
    }
    Ok(taken)
}

impl Notes {
    fn add(&mut self, text: impl Into<String>) {
        match self.lines.len() < NOTES_LIMIT {
            true => self.lines.push(text.into()),
            false => self.more += 1,
        }
    }

    /// A line for each; the last one says how many are not shown.
    pub fn lines(&self) -> Vec<String> {
        let more = (self.more > 0).then(|| format!("and {} more of these", self.more));
        self.lines.iter().cloned().chain(more).collect()
    }
}

impl Foreign {
    fn note(&mut self, text: impl Into<String>) {
        self.notes.add(text);
    }

    /// Sets a key to a text, as a TOML string.
    fn set_text(&mut self, key: &'static str, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let text = text.trim();
        if !text.is_empty() {
            self.settings.push((key, toml_edit::Value::from(text).to_string()));
        }
    }

    /// Sets a key to a word or number.
    fn set(&mut self, key: &'static str, value: impl ToString) {
        self.settings.push((key, value.to_string()));
    }

    /// Sets a key to addresses; what is none is a note.
    fn set_addresses(&mut self, key: &'static str, addresses: &[String]) {
        let mut good = Vec::new();
        for text in addresses {
            match Address::parse(text.trim().trim_matches(['<', '>'])) {
                Ok(address) => good.push(toml_edit::Value::from(address.to_string()).to_string()),
                Err(e) => self.note(format!("{key}: {text:?}: {e}")),
            }
        }
        if !good.is_empty() {
            self.settings.push((key, format!("[{}]", good.join(", "))));
        }
    }

    /// Adds a member, or changes what he gets; what is no address is a note.
    fn member(&mut self, text: &str, state: State) -> Option<&mut ForeignMember> {
        let (name, bare) = match (text.find('<'), text.rfind('>')) {
            (Some(open), Some(close)) if open < close => {
                (text[..open].trim().trim_matches('"').to_string(), text[open + 1..close].trim())
            }
            _ => (String::new(), text.split(" (").next().unwrap_or(text).trim()),
        };
        let address = match Address::parse(bare) {
            Ok(address) => address,
            Err(e) => {
                self.note(format!("member {text:?}: {e}"));
                return None;
            }
        };
        let at = *self.places.entry(address.to_key()).or_insert(self.members.len());
        if at == self.members.len() {
            self.members.push(ForeignMember { address, state, name, is_plain: false });
        }
        let member = self.members.get_mut(at)?;
        member.state = state;
        Some(member)
    }
}

/// A text file; `None` where there is none. What is no UTF-8 is read as the charset that it looks like.
fn text_of(path: &Path) -> io::Result<Option<String>> {
    match fsx::read(path, FILE_LIMIT) {
        Ok(bytes) => {
            let mut text = String::new();
            crate::msg::charset::decode(b"", &bytes, &mut text);
            Ok(Some(text))
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// A prefix with printf's number in it: `[talk %d]`, `[talk:%05d]`.
fn prefix(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text.trim();
    while let Some((before, behind)) = rest.split_once('%') {
        out.push_str(before);
        let digits: String = behind.chars().take_while(char::is_ascii_digit).collect();
        match behind[digits.len()..].strip_prefix('d') {
            Some(behind) => {
                let width = digits.trim_start_matches('0');
                out.push_str(&format!("%{width}S"));
                rest = behind;
            }
            None => {
                out.push('%');
                rest = behind;
            }
        }
    }
    out.push_str(rest);
    out
}

fn invalid(path: &Path, why: impl Into<String>) -> io::Error {
    fsx::context("read", path, io::Error::new(io::ErrorKind::InvalidData, why.into()))
}

#[cfg(test)]
mod tests;
