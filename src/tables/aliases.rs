//! etc/aliases: `name: target, target …` with the four kinds of target, and errors.
//!
//! Grammar (aliases(5)): a name is a local part, valid in every local domain, or a whole address; the targets are
//! addresses, `\user` (no further aliasing), `/file`, `|command`, `:include:/file`, `error:` with a reply. A target with
//! blanks, commas or specials is quoted whole: `"|/usr/bin/prog -x a,b"`. In quotes `\"` and `\\` stand for themselves.

use super::{Table, entries};
use crate::addr::Address;
use crate::config::ConfigError;
use crate::status::Enhanced;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// All aliases, by key in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Aliases {
    map: BTreeMap<String, Alias>,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name as written.
    pub name: String,
    /// Line of the entry, from 1.
    pub line: usize,
    /// Where it leads.
    pub targets: Vec<Target>,
}

/// One thing an alias leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// An address, or a local name without a domain.
    Address(String),
    /// `\user`: the mailbox itself.
    Mailbox(String),
    /// `/path`: append to this file.
    File(String),
    /// `|command`.
    Program(String),
    /// `:include:/path`: one target a line in this file.
    Include(PathBuf),
    /// `error:5.1.1 text`, or `:fail: text` of other mailers.
    Error(Enhanced, String),
}

impl Aliases {
    /// The entry of a local part or whole address.
    pub fn find(&self, key: &str) -> Option<&Alias> {
        match key.bytes().all(|b| b.is_ascii() && !b.is_ascii_uppercase()) {
            true => self.map.get(key),
            false => self.map.get(&key.to_lowercase()),
        }
    }

    /// Sets an entry, in the place of one of that key.
    pub(super) fn put(&mut self, key: String, alias: Alias) {
        self.map.insert(key, alias);
    }

    /// Adds the entries of another file that are not here yet.
    pub fn add_missing(&mut self, other: &Aliases) {
        for (key, alias) in &other.map {
            self.map.entry(key.clone()).or_insert_with(|| alias.clone());
        }
    }

    /// All entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = &Alias> {
        self.map.values()
    }
}

impl Table for Aliases {
    fn parse(text: &str, path: &Path) -> Result<Aliases, ConfigError> {
        let mut map: BTreeMap<String, Alias> = BTreeMap::new();
        for entry in entries(text) {
            let fail = |at: usize, width: usize, message: String, hint: &str| {
                let span = entry.start + at..entry.start + at + width.max(1);
                ConfigError::spanned(path.to_path_buf(), text, span, message, hint.to_string())
            };
            if entry.text.starts_with([' ', '\t']) {
                return Err(fail(
                    0,
                    1,
                    "a continuation line without an entry before it".into(),
                    "entries begin in column 1",
                ));
            }
            let Some((name, colon)) = split_name(entry.text) else {
                return Err(fail(
                    0,
                    entry.text.len(),
                    "no colon behind the name".into(),
                    "write `name: target, target`",
                ));
            };
            let number = text[..entry.start].matches('\n').count() + 1;
            let targets = parse_targets(&entry.text[colon + 1..], true)
                .map_err(|wrong| fail(colon + 1 + wrong.at, wrong.width, wrong.message, wrong.hint))?;
            if targets.is_empty() {
                return Err(fail(0, colon, format!("{name} leads nowhere"), "use /dev/null to drop mail on purpose"));
            }
            let key = name_key(&name).map_err(|e| fail(0, colon, format!("{name:?} is no name: {e}"), ""))?;
            let alias = Alias { name, line: number, targets };
            if let Some(first) = map.insert(key, alias) {
                return Err(fail(
                    0,
                    colon,
                    format!("{} is defined twice; first in line {}", first.name, first.line),
                    "",
                ));
            }
        }
        Ok(Aliases { map })
    }
}

/// The name's normal form: lower case; a whole address with its domain in A-labels; `@domain` for all of a domain.
pub(super) fn name_key(name: &str) -> Result<String, crate::addr::AddressError> {
    if let Some(domain) = name.strip_prefix('@') {
        return Ok(format!("@{}", crate::addr::normal_domain(domain)?));
    }
    if name.contains('@') {
        return Ok(Address::parse(name)?.to_key().to_string());
    }
    Ok(Address::new(name, "x.invalid")?.local().to_lowercase())
}

/// Splits off the name, which may be quoted; gives the place of the colon too.
pub(super) fn split_name(text: &str) -> Option<(String, usize)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let end = quoted.find('"')? + 1;
        let colon = text[end + 1..].find(':').filter(|i| text[end + 1..end + 1 + i].trim().is_empty())? + end + 1;
        return Some((text[1..end].to_string(), colon));
    }
    let colon = text.find(':')?;
    let name = text[..colon].trim();
    (!name.is_empty() && !name.contains(char::is_whitespace)).then(|| (name.to_string(), colon))
}

/// What is wrong with a list of targets, and where in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongTarget {
    /// Byte offset.
    pub at: usize,
    /// Length in bytes.
    pub width: usize,
    /// What.
    pub message: String,
    /// What to do instead.
    pub hint: &'static str,
}

/// Reads a comma-separated list of targets: an alias's right side, a line of an :include: file, a .forward.
///
/// `may_include` is false inside :include: files, which would otherwise name each other in circles.
pub fn parse_targets(text: &str, may_include: bool) -> Result<Vec<Target>, WrongTarget> {
    let mut targets = Vec::new();
    for (at, width, word) in split_targets(text)? {
        let wrong = |message: String, hint: &'static str| WrongTarget { at, width, message, hint };
        targets.push(parse_target(&word, may_include).map_err(|(message, hint)| wrong(message, hint))?);
    }
    Ok(targets)
}

pub(super) fn parse_target(word: &str, may_include: bool) -> Result<Target, (String, &'static str)> {
    if let Some(command) = word.strip_prefix('|') {
        let command = command.trim();
        if command.is_empty() {
            return Err(("no command behind |".to_string(), ""));
        }
        return match split_command(command) {
            Some(argv) if argv.first().is_some_and(|p| p.starts_with('/') || p == "sh:") => {
                Ok(Target::Program(command.to_string()))
            }
            Some(_) => Err(("the program is named without its path".to_string(), "write \"|/usr/bin/program args\"")),
            None => Err(("a quote is open in the command".to_string(), "")),
        };
    }
    if word.starts_with('/') {
        return Ok(Target::File(word.to_string()));
    }
    if let Some(path) = word.strip_prefix(":include:") {
        let path = path.trim();
        return match (may_include, path.starts_with('/')) {
            (true, true) => Ok(Target::Include(path.into())),
            (true, false) => Err((":include: wants a full path".to_string(), "write :include:/etc/em/members")),
            (false, _) => Err(("an included file can't include another".to_string(), "")),
        };
    }
    if let Some(text) = word.strip_prefix("error:").or_else(|| word.strip_prefix(":fail:")) {
        let text = text.trim();
        let (enhanced, rest) = Enhanced::parse_prefix(text).unwrap_or((Enhanced(5, 1, 1), text));
        if enhanced.0 == 2 {
            return Err(("an error with a code of success".to_string(), "write error:5.1.1 text"));
        }
        let rest = if rest.is_empty() { "Mailbox is disabled" } else { rest };
        return Ok(Target::Error(enhanced, rest.to_string()));
    }
    if let Some(user) = word.strip_prefix('\\') {
        Address::parse_loose(user, "x.invalid").map_err(|e| (format!("{user:?}: {e}"), ""))?;
        return Ok(Target::Mailbox(user.to_string()));
    }
    match Address::parse_loose(word, "x.invalid") {
        Ok(_) => Ok(Target::Address(word.to_string())),
        Err(e) => {
            Err((format!("{word:?}: {e}"), "targets with blanks or commas are quoted whole: \"|/bin/prog a, b\""))
        }
    }
}

/// Cuts at commas outside quotes and comments; gives place, length and text with the outer quotes taken off.
pub(super) fn split_targets(text: &str) -> Result<Vec<(usize, usize, String)>, WrongTarget> {
    let mut found = Vec::new();
    let bytes = text.as_bytes();
    let mut i = 0;
    while i < bytes.len() {
        match bytes[i] {
            b' ' | b'\t' | b'\n' | b'\r' | b',' => i += 1,
            // A comment line between continuation lines.
            b'#' if text[..i].trim_end_matches([' ', '\t']).ends_with('\n') => {
                i += text[i..].find('\n').unwrap_or(text.len() - i);
            }
            b'"' => {
                let (word, used) = quoted(&text[i..]).ok_or_else(|| WrongTarget {
                    at: i,
                    width: text[i..].lines().next().map_or(1, str::len),
                    message: "a quote is open".to_string(),
                    hint: "",
                })?;
                let rest = &text[i + used..];
                if rest.starts_with('@') {
                    // A quoted local part, not a quoted target.
                    let end = rest.find([',', '\n']).unwrap_or(rest.len());
                    found.push((i, used + end, text[i..i + used + end].trim().to_string()));
                    i += used + end;
                } else {
                    found.push((i, used, word));
                    i += used;
                    if let Some(c) =
                        rest.trim_start_matches([' ', '\t']).chars().next().filter(|c| !",\r\n".contains(*c))
                    {
                        let message = format!("{c:?} behind a quoted target");
                        return Err(WrongTarget { at: i, width: 1, message, hint: "put a comma between targets" });
                    }
                }
            }
            _ => {
                let end = i + text[i..].find([',', '\n']).unwrap_or(text.len() - i);
                // :fail: and error: texts go to the end of the line, commas included.
                let is_error = text[i..].starts_with("error:") || text[i..].starts_with(":fail:");
                let end = if is_error { i + text[i..].find('\n').unwrap_or(text.len() - i) } else { end };
                let word = text[i..end].trim_end();
                found.push((i, word.len(), word.to_string()));
                i = end;
            }
        }
    }
    Ok(found)
}

/// Reads a quoted string at the start of `text`; gives its content and its length with quotes.
fn quoted(text: &str) -> Option<(String, usize)> {
    let mut out = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((i, c)) = chars.next() {
        match c {
            '"' => return Some((out, i + 1)),
            '\\' => out.push(chars.next()?.1),
            '\n' => return None,
            c => out.push(c),
        }
    }
    None
}

/// Cuts a command line into arguments: blanks separate, single and double quotes hold together, a backslash takes
/// the next character as it is. Nothing is ever expanded. `None` when a quote stays open.
///
/// A first word `sh:` asks for a shell: the rest is one text for `delivery.shell -c`.
pub fn split_command(command: &str) -> Option<Vec<String>> {
    if let Some(rest) = command.strip_prefix("sh:") {
        return Some(vec!["sh:".to_string(), rest.trim().to_string()]);
    }
    let mut argv = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some('\''), c) => word.get_or_insert_default().push(c),
            (_, '\\') => word.get_or_insert_default().push(chars.next()?),
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, c) if c.is_whitespace() => argv.extend(word.take()),
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    argv.extend(word);
    quote.is_none().then_some(argv)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Aliases, String> {
        Aliases::parse(text, Path::new("aliases")).map_err(|e| e.to_string())
    }

    #[test]
    fn the_four_kinds_and_more() {
        let aliases = parse(
            "# comment\nStaff: alice, Bob <bob@example.test>,\n  \\carol, \"/var/mail/a b\"\n\
             prog: \"|/usr/bin/x -a \\\"b c\\\", d\"\nmembers: :include:/etc/members\n\
             gone: error:5.1.6 Moved, ask Bob\nold@example.net: alice\nbin: /dev/null\n\"a b\": alice\n",
        )
        .unwrap();
        let targets = |name: &str| aliases.find(name).unwrap().targets.clone();
        assert_eq!(
            targets("staff"),
            [
                Target::Address("alice".into()),
                Target::Address("Bob <bob@example.test>".into()),
                Target::Mailbox("carol".into()),
                Target::File("/var/mail/a b".into()),
            ]
        );
        assert_eq!(targets("PROG"), [Target::Program("/usr/bin/x -a \"b c\", d".into())]);
        assert_eq!(targets("members"), [Target::Include("/etc/members".into())]);
        assert_eq!(targets("gone"), [Target::Error(Enhanced(5, 1, 6), "Moved, ask Bob".into())]);
        assert!(aliases.find("old@example.net").is_some());
        assert!(aliases.find("a b").is_some());
        assert_eq!(aliases.find("bin").unwrap().line, 8);
    }

    #[test]
    fn mistakes_have_places() {
        for (text, wanted) in [
            ("a b\n", "aliases:1:1: no colon"),
            ("a: b\nA: c\n", "aliases:2:1: a is defined twice"),
            ("a:\n", "aliases:1:1: a leads nowhere"),
            ("x: y\na: \"|/bin/x\n", "aliases:2:4: a quote is open"),
            ("a: b c@d\n", "aliases:1:4"),
            ("a: \"|prog x\"\n", "without its path"),
            ("a: :include:rel\n", "full path"),
            ("a: b, \"c\" d\n", "put a comma"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }

    #[test]
    fn commands_are_split_without_a_shell() {
        let split = |text: &str| split_command(text);
        assert_eq!(split("/bin/x a 'b c' \"d\\\"e\" f\\ g ''").unwrap(), ["/bin/x", "a", "b c", "d\"e", "f g", ""]);
        assert_eq!(split("/bin/x $HOME `id` ;").unwrap(), ["/bin/x", "$HOME", "`id`", ";"]);
        assert_eq!(split("sh: a | b").unwrap(), ["sh:", "a | b"]);
        assert_eq!(split("/bin/x 'a"), None);
    }
}
