//! The scripted tests of Dovecot's imaptest, read where they lie: their own expectations, but for the lines in [`OTHERWISE`]. Scripts of
//! extensions that are not offered are left out.
//!
//! A script has a header, commands with the status that is expected, and untagged replies that must come (`*`) or must not (`!`). What
//! the runner knows of the language is in its documentation beside the scripts: variables (`$uid1`; `$` is anything), numbers as of the
//! command's beginning (`$1`), lists in any order (`$!unordered`, and by default where it says so), literals in `{{{ }}}`.

mod script;

use super::imap_corpus::outside;
use super::imap_wire::{Imap, Reply, Value, value};
use super::world::World;
use script::{Act, messages, read};
use std::collections::HashMap;
use std::path::Path;

/// Lines of scripts whose expectation is not ours, and why.
const OTHERWISE: &[(&str, &[usize], &str)] = &[
    (
        "append-binary",
        &[15, 20, 35],
        "messages are stored with LF: a lone CR or LF in a binary part is refused (RFC 3516 §4.4)",
    ),
    (
        "esearch",
        &[58, 60, 62, 64, 69, 71, 73, 75],
        "a number that no message has is answered with BAD (RFC 9051 §9, seq-number)",
    ),
    ("listext", &[89], "CHILDINFO is shown whether or not the child matches, too (RFC 9051 §6.3.9.1, note 2)"),
];

/// An untagged reply, and the number that its message had when the command began.
struct Heard {
    values: Vec<Value>,
    original: Option<u32>,
}

/// A status response ends with free text, of which only the code is looked at.
fn parse(line: &[u8]) -> Result<Vec<Value>, String> {
    let mut rest = line;
    let mut all = Vec::new();
    while !rest.is_empty() {
        if all.len() == 1 && is_free(&all) {
            if let Some(code) = rest.strip_prefix(b"[") {
                let end = code.iter().position(|b| *b == b']').ok_or("open code")?;
                all.push(Value::List(parse(&code[..end])?));
            }
            return Ok(all);
        }
        let (one, behind) = value(rest)?;
        all.push(one);
        rest = behind.strip_prefix(b" ").unwrap_or(behind);
    }
    Ok(all)
}

fn is_free(all: &[Value]) -> bool {
    ["OK", "NO", "BAD", "BYE"].iter().any(|word| all[0].atom().eq_ignore_ascii_case(word))
}

struct Run {
    variables: HashMap<String, String>,
    mailbox: String,
}

impl Run {
    /// `$name` and `${name}` with a value are replaced, `$$` is `$`; what has none yet stays.
    fn expand(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.iter().position(|b| *b == b'$') {
            out.extend_from_slice(&rest[..at]);
            rest = &rest[at..];
            let (name, length) = name(rest);
            match self.variables.get(&name) {
                _ if rest.starts_with(b"$$") => {
                    out.push(b'$');
                    rest = &rest[2..];
                    continue;
                }
                Some(value) => out.extend_from_slice(value.as_bytes()),
                None => out.extend_from_slice(&rest[..length]),
            }
            rest = &rest[length..];
        }
        out.extend_from_slice(rest);
        out
    }

    /// `${name}` only: a value may be anything, but these stand inside words.
    fn expand_braced(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut rest = text;
        while let Some(at) = memchr::memmem::find(rest, b"${") {
            let (name, length) = name(&rest[at..]);
            out.extend_from_slice(&rest[..at]);
            out.extend_from_slice(self.variables.get(&name).map_or(&rest[at..at + length], |value| value.as_bytes()));
            rest = &rest[at + length..];
        }
        out.extend_from_slice(rest);
        out
    }

    /// Expected against what came; binds variables that have no value yet, when all fits.
    fn fits(&mut self, expected: &[u8], heard: &Heard) -> Result<bool, String> {
        let expected = parse(&self.expand_braced(expected))?;
        let mut bound = HashMap::new();
        let mut wanted = expected.as_slice();
        let mut is = heard.values.as_slice();
        if let (Some(number), Some(_)) = (wanted.first().and_then(original_number), is.first()) {
            if heard.original != Some(number) {
                return Ok(false);
            }
            (wanted, is) = (&wanted[1..], &is[1..]);
        }
        let is_free_text = is_free(&expected);
        let mut all = is.len() == wanted.len() || (is_free_text && is.len() > wanted.len());
        let verb = heard.values.iter().map(|v| v.atom().to_ascii_uppercase()).find(|word| word.parse::<u32>().is_err());
        let verb = verb.unwrap_or_default();
        for (wanted, is) in wanted.iter().zip(is) {
            all = all && self.same(wanted, is, &verb, &mut bound)?;
        }
        if all {
            self.variables.extend(bound);
        }
        Ok(all)
    }

    fn same(
        &self,
        wanted: &Value,
        is: &Value,
        place: &str,
        bound: &mut HashMap<String, String>,
    ) -> Result<bool, String> {
        match (wanted, is) {
            (Value::Atom(text), _) if text == "$" => Ok(true),
            (Value::Atom(text), _) if text.starts_with('$') && !text.starts_with("$$") => {
                let (name, length) = name(text.as_bytes());
                let shown = String::from_utf8_lossy(is.bytes()).into_owned();
                match self.variables.get(&name).or_else(|| bound.get(&name)) {
                    Some(value) => Ok(self.expanded(text, value, length).eq_ignore_ascii_case(&shown)),
                    None if length == text.len() => {
                        bound.insert(name, shown);
                        Ok(true)
                    }
                    None => Err(format!("{text} has no value")),
                }
            }
            (Value::List(wanted), Value::List(is)) => self.same_lists(wanted, is, place, bound),
            (Value::List(_), _) | (_, Value::List(_)) => Ok(false),
            (Value::Atom(wanted), Value::Atom(_)) if wanted.eq_ignore_ascii_case("NIL") => {
                Ok(is.atom().eq_ignore_ascii_case("NIL"))
            }
            (wanted, is) => {
                let wanted = self.expand(wanted.bytes());
                Ok(wanted.eq_ignore_ascii_case(is.bytes()))
            }
        }
    }

    /// A word that begins with a variable whose value is known now.
    fn expanded(&self, text: &str, value: &str, length: usize) -> String {
        let rest = self.expand(&text.as_bytes()[length..]);
        format!("{value}{}", String::from_utf8_lossy(&rest))
    }

    fn same_lists(
        &self,
        wanted: &[Value],
        is: &[Value],
        place: &str,
        bound: &mut HashMap<String, String>,
    ) -> Result<bool, String> {
        let (directives, wanted): (Vec<_>, Vec<_>) = wanted.iter().partition(|v| v.atom().starts_with("$!"));
        let has = |name: &str| directives.iter().any(|v| v.atom() == name);
        let named = |name: &str| directives.iter().find_map(|v| v.atom().strip_prefix(name).map(str::to_string));
        // The defaults hold where no directive stands.
        let (mut chunk, mut allows_extra, mut ignored) = match (directives.is_empty(), place) {
            (true, "FETCH" | "STATUS") => (Some(2), true, None),
            (true, "FLAGS") => (Some(1), false, Some("\\recent".to_string())),
            (true, "LIST" | "LSUB") => (Some(1), true, None),
            _ => (None, false, None),
        };
        if has("$!unordered") || has("$!extra") {
            (chunk, allows_extra) = (Some(1), true);
        }
        if let Some(size) = named("$!unordered=") {
            (chunk, allows_extra) = (size.parse().ok(), true);
        }
        if has("$!noextra") {
            allows_extra = false;
        }
        ignored = named("$!ignore=").or(ignored);
        let banned = named("$!ban=");
        if banned.is_some_and(|banned| is.iter().any(|v| v.atom().eq_ignore_ascii_case(&banned))) {
            return Ok(false);
        }
        let Some(chunk) = chunk else {
            if wanted.len() != is.len() {
                return Ok(false);
            }
            for (wanted, is) in wanted.iter().zip(is) {
                if !self.same(wanted, is, "", bound)? {
                    return Ok(false);
                }
            }
            return Ok(true);
        };
        let mut left: Vec<&[Value]> = is.chunks(chunk).collect();
        for wanted in wanted.chunks(chunk) {
            let mut found = None;
            for (at, is) in left.iter().enumerate() {
                let mut trial = bound.clone();
                let place = if chunk == 2 { is[0].atom().to_ascii_uppercase() } else { String::new() };
                let mut fits = wanted.len() == is.len();
                for (wanted, is) in wanted.iter().zip(*is) {
                    fits = fits && self.same(wanted, is, &place, &mut trial)?;
                }
                if fits {
                    found = Some((at, trial));
                    break;
                }
            }
            let Some((at, trial)) = found else { return Ok(false) };
            left.remove(at);
            *bound = trial;
        }
        let is_ignored = |v: &&[Value]| ignored.as_deref().is_some_and(|name| v[0].atom().eq_ignore_ascii_case(name));
        Ok(allows_extra || left.iter().all(is_ignored))
    }

    /// The command as it is sent; APPEND without a message takes the next one.
    fn command(&self, act: &Act, letters: &mut dyn Iterator<Item = (String, Vec<u8>)>) -> Vec<u8> {
        let mut command = self.expand(&act.command);
        let is_append = command.get(..6).is_some_and(|verb| verb.eq_ignore_ascii_case(b"append"));
        if is_append && !command.contains(&b'\n') {
            if command.len() == 6 {
                command.extend_from_slice(format!(" {}", self.mailbox).as_bytes());
            }
            let (date, text) = letters.next().unwrap();
            command.extend_from_slice(format!(" {date} {{{}+}}\r\n", text.len()).as_bytes());
            command.extend(text);
        }
        command
    }
}

/// The name behind `$`, and its length with `$`.
fn name(text: &[u8]) -> (String, usize) {
    if text.get(1) == Some(&b'{') {
        let end = text.iter().position(|b| *b == b'}').unwrap_or(text.len() - 1);
        return (String::from_utf8_lossy(&text[2..end]).into_owned(), end + 1);
    }
    let length = text[1..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
    (String::from_utf8_lossy(&text[1..=length]).into_owned(), length + 1)
}

/// `$3`: the message that was the third.
fn original_number(value: &Value) -> Option<u32> {
    value.atom().strip_prefix('$')?.parse().ok()
}

/// Untagged replies with the numbers of the command's beginning.
fn hear(untagged: &[Vec<u8>]) -> Result<Vec<Heard>, String> {
    let mut originals: Vec<u32> = (1..=2000).collect();
    let mut heard = Vec::new();
    for line in untagged {
        let values = parse(line)?;
        let number = values[0].number().filter(|n| (1..=originals.len() as u32).contains(n));
        let original = number.map(|n| originals[n as usize - 1]);
        if let (Some(n), "EXPUNGE") = (number, values.get(1).map_or("", Value::atom)) {
            originals.remove(n as usize - 1);
        }
        heard.push(Heard { values, original });
    }
    Ok(heard)
}

fn judge(run: &mut Run, act: &Act, reply: &Reply) -> Result<(), String> {
    let heard = hear(&reply.untagged)?;
    let shown = || reply.untagged.iter().map(|l| l.escape_ascii().to_string()).collect::<Vec<_>>().join("\n  ");
    let mut found = vec![false; act.untagged.len()];
    for heard in &heard {
        for (at, (_, expected)) in act.untagged.iter().enumerate() {
            // What stands for itself is known by now; numbers of the beginning are none of it.
            found[at] |= run.fits(expected, heard)?;
        }
    }
    for ((is_wanted, expected), found) in act.untagged.iter().zip(found) {
        if found != *is_wanted {
            let sign = if *is_wanted { '*' } else { '!' };
            return Err(format!("{sign} {} in:\n  {}", expected.escape_ascii(), shown()));
        }
    }
    let Some((status, prefix)) = &act.status else { return Ok(()) };
    let got = reply.tagged.split(' ').next().unwrap_or_default();
    let is_right = status == "\"\"" || got.eq_ignore_ascii_case(status);
    let tagged = Heard { values: parse(reply.tagged.as_bytes())?, original: None };
    if !is_right || (!prefix.is_empty() && !run.fits(format!("{status} {prefix}").as_bytes(), &tagged)?) {
        return Err(format!("wanted {status} {prefix}, got {}:\n  {}", reply.tagged, shown()));
    }
    Ok(())
}

/// Runs one script; the error names its line.
fn play(world: &World, dir: &Path, name: &str, capabilities: &str) -> Result<bool, String> {
    let script = read(&std::fs::read(dir.join(name)).unwrap());
    let header = |key: &str| script.header.get(key).map_or("", String::as_str);
    let offers = |wanted: &str| capabilities.split(' ').any(|c| c.eq_ignore_ascii_case(wanted));
    if let Some(missing) = header("capabilities").split_whitespace().find(|wanted| !offers(wanted)) {
        println!("{name}: skipped, {missing} is not offered");
        return Ok(false);
    }
    let own = dir.join(format!("{name}.mbox"));
    let mbox = if own.exists() { own } else { dir.join("default.mbox") };
    let letters = messages(&std::fs::read(mbox).unwrap());
    let count = match header("messages") {
        "" | "all" => letters.len(),
        number => number.parse().unwrap(),
    };
    let mailbox = format!("t-{name}");
    let mut run = Run { variables: HashMap::new(), mailbox: mailbox.clone() };
    for (key, value) in [("mailbox", mailbox.as_str()), ("mailbox_url", &mailbox), ("user", "alice@example.test")] {
        run.variables.insert(key.to_string(), value.to_string());
    }
    for (key, value) in [("username", "alice"), ("domain", "example.test"), ("password", "demo")] {
        run.variables.insert(key.to_string(), value.to_string());
    }
    let mut connections: Vec<Imap> =
        (0..header("connections").parse().unwrap_or(1)).map(|_| Imap::log_in(world, "alice")).collect();
    let state = match header("state") {
        "" => "selected",
        state => state,
    };
    let mut supply = letters.iter().cloned().cycle();
    if state != "auth" {
        connections[0].ok(&format!("CREATE {mailbox}"));
    }
    if matches!(state, "appended" | "selected") {
        for (date, text) in supply.by_ref().take(count) {
            let command = [format!("APPEND {mailbox} {date} {{{}+}}\r\n", text.len()).as_bytes(), &text].concat();
            let tag = connections[0].begin(&command);
            connections[0].end(&tag);
        }
    }
    if state == "selected" {
        connections.iter_mut().for_each(|imap| drop(imap.ok(&format!("SELECT {mailbox}"))));
    }
    let mut acts = script.acts.iter().peekable();
    while let Some(act) = acts.next() {
        // Commands with tags of their own are sent together, and what is expected stands behind the last.
        let mut group = vec![act];
        while act.tag.is_some()
            && let Some(next) = acts.next_if(|next| next.tag.is_some() && next.connection == act.connection)
        {
            group.push(next);
        }
        let imap = &mut connections[act.connection - 1];
        let tags: Vec<String> = group.iter().map(|act| imap.begin(&run.command(act, &mut supply))).collect();
        let mut untagged = Vec::new();
        for (act, tag) in group.iter().zip(&tags) {
            run.variables.insert("tag".to_string(), tag.clone());
            let reply = imap.end(tag);
            untagged.extend(reply.untagged);
            let expected = if act.line == group[group.len() - 1].line { untagged.clone() } else { Vec::new() };
            let reply = Reply { untagged: expected, tagged: reply.tagged };
            if OTHERWISE.iter().all(|(script, lines, _)| *script != name || !lines.contains(&act.line)) {
                judge(&mut run, act, &reply).map_err(|error| format!("{name}:{}: {error}", act.line))?;
            }
        }
    }
    Ok(true)
}

#[test]
fn scripts_of_imaptest() {
    let Some(dir) = outside().map(|corpus| corpus.join("imap/imaptest-scripts")).filter(|dir| dir.is_dir()) else {
        return;
    };
    let world = World::new();
    world.start();
    let capabilities = Imap::log_in(&world, "alice").lines("CAPABILITY")[0].clone();
    let mut names: Vec<String> =
        std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.retain(|name| !name.contains('.') && name != "SOURCE");
    names.sort();
    let (mut passed, mut wrong) = (0, String::new());
    for name in &names {
        match play(&world, &dir, name, &capabilities) {
            Ok(is_run) => passed += usize::from(is_run),
            Err(error) => wrong.push_str(&format!("{error}\n")),
        }
    }
    println!("{passed} scripts passed");
    assert!(wrong.is_empty(), "\n{wrong}");
    assert!(passed >= 46, "only {passed} scripts");
}
