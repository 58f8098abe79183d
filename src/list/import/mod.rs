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
//! | fml 4 | `members`, `actives`, `seq`, `config.ph`, `spool/N` | `fml` |
//!
//! Trust: the files are the administrator's, but old, and often damaged: a line that makes no sense is a note.

mod fml;
mod mailman2;
mod mailman3;
mod majordomo;
mod mlmmj;
mod pickle;

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::fsx;
use crate::lists::archive::{Archive, Imported, MESSAGE_LIMIT, Post};
use crate::lists::members::{Member, State};
use crate::lists::{ListError, ListName, Lists};
use crate::msg::mbox::Quoting;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

/// Largest file of settings or members, in octets.
const FILE_LIMIT: u64 = 256 << 20;
/// Notes that are kept; what comes after is counted only.
const NOTES_LIMIT: usize = 200;
/// Posts that are written before the disk is waited for.
const BATCH: usize = 500;

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
    pub notes: Vec<String>,
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

/// Posts of another program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Posts {
    /// mbox files, in this order.
    Mbox(Vec<PathBuf>),
    /// A folder of files named by their numbers.
    Numbered(PathBuf),
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
    pub notes: Vec<String>,
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
        let imported = match source {
            Posts::Mbox(files) => mboxes(&archive, files, posts.last(), now)?,
            Posts::Numbered(folder) => numbered(&archive, folder, &mut taken.notes)?,
        };
        (taken.posts, taken.known) = (imported.posts, imported.known);
    }
    let last = archive.index()?.last().max(foreign.last_number);
    if last > posts.last() {
        posts.set_last(last)?;
    }
    Ok(taken)
}

fn mboxes(archive: &Archive, files: &[PathBuf], after: u64, now: Timestamp) -> io::Result<Imported> {
    let mut all = Imported::default();
    for file in files {
        let input = BufReader::with_capacity(1 << 20, fsx::open_read(file)?);
        // Python's mailbox module and the archivers of old wrote mboxo.
        let one = archive.import(input, Quoting::O, after, now).map_err(|e| fsx::context("read", file, e))?;
        all.posts += one.posts;
        all.known += one.known;
    }
    Ok(all)
}

/// Posts keep their numbers.
fn numbered(archive: &Archive, folder: &Path, notes: &mut Vec<String>) -> io::Result<Imported> {
    let mut numbers: Vec<u64> = Vec::new();
    fsx::each_name(folder, |name| numbers.extend(name.to_str().and_then(|name| name.parse::<u64>().ok())))?;
    numbers.sort_unstable();
    let mut imported = Imported::default();
    let index = archive.index()?;
    let mut batch = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let path = folder.join(number.to_string());
        // A leading zero, or a folder of a hundred posts: not one of ours to name.
        if !path.is_file() || *number == 0 {
            note(notes, format!("{}: no file of a post", path.display()));
        } else if index.entry(*number).is_some() || archive.message(*number)?.is_some() {
            imported.known += 1;
        } else {
            let message = fsx::read(&path, MESSAGE_LIMIT as u64)?;
            let received = Timestamp::from(path.metadata()?.modified()?);
            batch.push(Post { number: *number, message: with_lf(message), received });
            imported.posts += 1;
        }
        if batch.len() >= BATCH || (at + 1 == numbers.len() && !batch.is_empty()) {
            archive.append_all(&batch)?;
            batch.clear();
        }
    }
    Ok(imported)
}

/// Line ends as we store them.
fn with_lf(message: Vec<u8>) -> Vec<u8> {
    if memchr::memmem::find(&message, b"\r\n").is_none() {
        return message;
    }
    let mut out = Vec::with_capacity(message.len());
    for line in message.split_inclusive(|b| *b == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => out.extend([text, b"\n"].concat()),
            None => out.extend_from_slice(line),
        }
    }
    out
}

fn note(notes: &mut Vec<String>, text: impl Into<String>) {
    if notes.len() < NOTES_LIMIT {
        notes.push(text.into());
    }
}

impl Foreign {
    fn note(&mut self, text: impl Into<String>) {
        note(&mut self.notes, text);
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
        let at = self.members.iter().position(|member| member.address.to_key() == address.to_key());
        let at = at.unwrap_or_else(|| {
            self.members.push(ForeignMember { address, state, name, is_plain: false });
            self.members.len() - 1
        });
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
