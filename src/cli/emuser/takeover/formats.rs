//! The files that others keep their accounts in.
//!
//! | format | line |
//! |---|---|
//! | passwd(5), shadow(5) | `name:x:uid:gid:gecos:home:shell`, `name:hash:…` |
//! | Dovecot | `user:{SCHEME}hash:uid:gid:gecos:home:shell:key=value key=value` |
//! | Postfix virtual_mailbox_maps | `user@domain path` |
//! | Postfix virtual_alias_maps | `user@domain target, target`; `@domain target` for all the others there |
//!
//! Empty lines and those that begin with `#` are skipped; in Postfix's tables a line that begins with a blank belongs to the one before.
//! Trust: the files are the administrator's; what is no line of its format is refused with its place.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// How a file is read.
pub(super) enum Format {
    /// passwd(5); with the hashes of shadow(5).
    System {
        uids: RangeInclusive<u32>,
        hashes: BTreeMap<String, String>,
    },
    Dovecot,
    PostfixMailboxes,
}

/// A password as the file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Secret {
    None,
    Hash(String),
    Clear(String),
    /// One of this scheme.
    Scheme(String),
}

/// An account of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) line: usize,
    pub(super) name: String,
    pub(super) secret: Secret,
    pub(super) person: Option<String>,
    pub(super) quota: Option<u64>,
    pub(super) quota_messages: Option<u32>,
    pub(super) is_locked: bool,
}

impl Entry {
    fn new(line: usize, name: &str, secret: Secret) -> Entry {
        let name = name.to_string();
        Entry { line, name, secret, person: None, quota: None, quota_messages: None, is_locked: false }
    }
}

/// A line that is none of its format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wrong {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) text: String,
}

impl Wrong {
    fn new(line: usize, column: usize, text: &str) -> Wrong {
        Wrong { line, column, text: text.to_string() }
    }
}

impl Format {
    /// The accounts of a file's text, in its order.
    pub(super) fn entries(&self, text: &str) -> Vec<Result<Entry, Wrong>> {
        match self {
            Format::System { uids, hashes } => {
                lines(text).filter_map(|(number, line)| system(number, line, uids, hashes).transpose()).collect()
            }
            Format::Dovecot => lines(text).map(|(number, line)| dovecot(number, line)).collect(),
            Format::PostfixMailboxes => rows(text).map(|row| row.and_then(mailbox)).collect(),
        }
    }
}

/// Lines that say something, with their numbers.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'))
}

/// The hashes of shadow(5).
pub(super) fn shadow(text: &str) -> BTreeMap<String, String> {
    let fields = lines(text).filter_map(|(_, line)| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_string(), fields.next()?.to_string()))
    });
    fields.collect()
}

/// A line of passwd(5); nothing for accounts whose number does not count.
fn system(
    line: usize,
    text: &str,
    uids: &RangeInclusive<u32>,
    hashes: &BTreeMap<String, String>,
) -> Result<Option<Entry>, Wrong> {
    let fields: Vec<&str> = text.split(':').collect();
    // What NIS adds to the file is no account.
    if text.starts_with(['+', '-']) {
        return Ok(None);
    }
    let [name, password, uid, _, gecos, ..] = fields.as_slice() else {
        return Err(Wrong::new(line, 1, "no line of passwd(5)"));
    };
    let column = name.len() + password.len() + 3;
    let uid: u32 = uid.parse().map_err(|_| Wrong::new(line, column, "the user number is none"))?;
    if !uids.contains(&uid) {
        return Ok(None);
    }
    let stored = hashes.get(*name).map_or(*password, String::as_str);
    let hash = stored.trim_start_matches('!');
    let secret = match hash {
        "" | "*" | "x" => Secret::None,
        hash => Secret::Hash(hash.to_string()),
    };
    let mut entry = Entry::new(line, name, secret);
    // passwd -l puts a ! before the hash.
    entry.is_locked = stored.starts_with('!') && entry.secret != Secret::None;
    entry.person = gecos.split(',').next().map(|name| name.trim().to_string());
    Ok(Some(entry))
}

fn dovecot(line: usize, text: &str) -> Result<Entry, Wrong> {
    let mut fields = text.splitn(8, ':');
    let name = fields.next().unwrap_or_default();
    let Some(password) = fields.next().filter(|_| !name.is_empty()) else {
        return Err(Wrong::new(line, 1, "no line of a passwd-file: user:{SCHEME}hash:…"));
    };
    let mut entry = Entry::new(line, name, secret(password));
    entry.person = fields.nth(2).map(|gecos| gecos.split(',').next().unwrap_or_default().trim().to_string());
    // The seventh and last is home and shell away; blanks separate what it says.
    for pair in fields.nth(2).unwrap_or_default().split(' ') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        let place = || Wrong::new(line, text.find(pair).map_or(1, |at| text[..at].chars().count() + 1), "no quota");
        match key {
            "userdb_quota_rule" => rule(value, &mut entry).ok_or_else(place)?,
            "userdb_quota_storage_size" => entry.quota = Some(size(value, 1).ok_or_else(place)?),
            "nologin" => entry.is_locked = !matches!(value, "no" | "n" | "false" | "0"),
            _ => {}
        }
    }
    Ok(entry)
}

/// A password with its scheme; without one, Dovecot means crypt(3).
fn secret(field: &str) -> Secret {
    let (scheme, value) = match field.strip_prefix('{').and_then(|rest| rest.split_once('}')) {
        Some((scheme, value)) => (scheme.to_ascii_uppercase(), value),
        // `hash[13]` names a form of crypt(3).
        None => ("CRYPT".to_string(), field.split('[').next().unwrap_or_default()),
    };
    match (scheme.as_str(), value) {
        (_, "" | "*" | "!" | "x") => Secret::None,
        ("PLAIN" | "CLEARTEXT" | "CLEAR", value) => Secret::Clear(value.to_string()),
        ("CRYPT" | "BLF-CRYPT" | "SHA256-CRYPT" | "SHA512-CRYPT" | "ARGON2I" | "ARGON2ID", value) => {
            Secret::Hash(value.to_string())
        }
        _ => Secret::Scheme(scheme),
    }
}

/// `*:storage=1G:messages=1000`; rules of other mailboxes say nothing about the account.
fn rule(value: &str, entry: &mut Entry) -> Option<()> {
    let (mailbox, limits) = value.split_once(':')?;
    if !matches!(mailbox, "*" | "?") {
        return Some(());
    }
    for limit in limits.split(':') {
        match limit.split_once('=')? {
            // In kilobytes where no unit is given.
            ("storage", limit) => entry.quota = Some(size(limit, 1 << 10)?),
            ("bytes", limit) => entry.quota = Some(size(limit, 1)?),
            ("messages", limit) => entry.quota_messages = Some(limit.parse().ok()?),
            _ => {}
        }
    }
    Some(())
}

fn size(text: &str, unit: u64) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.get(digits.len()..)?.to_ascii_lowercase().as_str() {
        "" => unit,
        "b" => 1,
        "k" | "kb" => 1 << 10,
        "m" | "mb" => 1 << 20,
        "g" | "gb" => 1 << 30,
        "t" | "tb" => 1 << 40,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(unit)
}

/// A row of one of Postfix's tables.
struct Row {
    line: usize,
    key: String,
    value: String,
}

/// The rows of a table: lines that begin with a blank go on with the one before.
fn rows(text: &str) -> impl Iterator<Item = Result<Row, Wrong>> {
    let mut whole: Vec<(usize, String)> = Vec::new();
    for (number, line) in lines(text).filter(|(_, line)| !line.trim_start().starts_with('#')) {
        match whole.last_mut() {
            Some((_, before)) if line.starts_with([' ', '\t']) => {
                before.push(' ');
                before.push_str(line.trim());
            }
            _ => whole.push((number, line.trim_end().to_string())),
        }
    }
    whole.into_iter().map(|(line, text)| match text.split_once([' ', '\t']) {
        Some((key, value)) if !key.is_empty() => {
            Ok(Row { line, key: key.to_string(), value: value.trim().to_string() })
        }
        _ => Err(Wrong::new(line, 1, "a key and a value are wanted, with a blank between")),
    })
}

fn mailbox(row: Row) -> Result<Entry, Wrong> {
    match row.key.split_once('@') {
        Some(("", _)) => {
            Err(Wrong::new(row.line, 1, "a mailbox for a whole domain is no account; make an alias of it"))
        }
        Some(_) => Ok(Entry::new(row.line, &row.key, Secret::None)),
        None => Err(Wrong::new(row.line, 1, "no address: user@domain is wanted")),
    }
}

/// A virtual_alias_maps as lines for etc/aliases; and lines that can't be one.
pub(super) fn postfix_aliases(text: &str) -> (Vec<String>, Vec<(usize, usize, String)>) {
    let (mut made, mut refused) = (Vec::new(), Vec::new());
    for row in rows(text) {
        let alias = row.and_then(|Row { line, key, value }| {
            let targets: Vec<&str> = value.split([',', ' ', '\t']).filter(|target| !target.is_empty()).collect();
            match key.contains([':', '"', '#', '|', '/']) || targets.iter().any(|t| t.contains([':', '"', '|', '/'])) {
                // Quotes and colons mean something else there; nobody may get a program or a file by them.
                true => Err(Wrong::new(line, 1, "not taken over: write this one into etc/aliases by hand")),
                false => Ok(format!("{key}: {}", targets.join(", "))),
            }
        });
        match alias {
            Ok(line) => made.push(line),
            Err(wrong) => refused.push((wrong.line, wrong.column, wrong.text)),
        }
    }
    (made, refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_dovecot() {
        let text = "# users\n\nalice@x.test:{SHA512-CRYPT}$6$s$h:1000:1000:Alice Jones,,,:/home/a:/bin/sh:userdb_quota_rule=*:storage=2G:messages=10 nologin\n\
                    bob:{plain}secret\ncarol:$2y$05$h\ndave:{MD5-CRYPT}$1$x::::::userdb_quota_rule=*:bytes=5k\nnobody\neve:{CRYPT}x:::::: userdb_quota_rule=*:storage=many\n";
        let found = Format::Dovecot.entries(text);
        let alice = found[0].clone().unwrap();
        assert_eq!(
            (alice.line, alice.quota, alice.quota_messages, alice.is_locked),
            (3, Some(2 << 30), Some(10), true)
        );
        assert_eq!((alice.person.as_deref(), alice.secret), (Some("Alice Jones"), Secret::Hash("$6$s$h".into())));
        assert_eq!(found[1].clone().unwrap().secret, Secret::Clear("secret".into()));
        assert_eq!(found[2].clone().unwrap().secret, Secret::Hash("$2y$05$h".into()));
        let dave = found[3].clone().unwrap();
        assert_eq!((dave.secret, dave.quota), (Secret::Scheme("MD5-CRYPT".into()), Some(5 << 10)));
        assert_eq!(found[4].clone().unwrap_err().line, 7);
        let eve = found[5].clone().unwrap_err();
        assert_eq!((eve.line, eve.column), (8, 20));
        assert_eq!(
            (size("3", 1 << 10), size("3B", 1 << 10), size("x", 1), size("9999999999T", 1)),
            (Some(3072), Some(3), None, None)
        );
    }

    #[test]
    fn accounts_of_the_system() {
        let hashes = shadow("alice:$y$j9T$s$h:19000::::::\nbob:!$6$s$h:1::::::\ncarol:*:1::::::\n");
        let format = Format::System { uids: 1000..=2000, hashes };
        let passwd = "root:x:0:0:root:/root:/bin/sh\nalice:x:1000:1000:Alice,,,:/home/alice:/bin/sh\nbob:x:1001:1001::/:/\n\
                      carol:x:1002:1::/:/\nnobody:x:65534:1::/:/\n+::::::\nbroken:x:many:1::/:/\n";
        let found = format.entries(passwd);
        assert_eq!(found.len(), 4);
        let told: Vec<_> =
            found[..3].iter().map(|e| e.clone().unwrap()).map(|e| (e.name, e.secret, e.is_locked)).collect();
        assert_eq!(told[0], ("alice".into(), Secret::Hash("$y$j9T$s$h".into()), false));
        assert_eq!(told[1], ("bob".into(), Secret::Hash("$6$s$h".into()), true));
        assert_eq!(told[2], ("carol".into(), Secret::None, false));
        assert_eq!(found[3].clone().unwrap_err(), Wrong::new(7, 10, "the user number is none"));
    }

    #[test]
    fn tables_of_postfix() {
        let text = "# c\na@x.test  x.test/a/\n\tmore\n@x.test x\nlonely\n";
        let found = Format::PostfixMailboxes.entries(text);
        assert_eq!(found[0].clone().unwrap().name, "a@x.test");
        assert_eq!(found[1].clone().unwrap_err().line, 4);
        assert_eq!(found[2].clone().unwrap_err().line, 5);
        let (made, refused) =
            postfix_aliases("sales@x.test bob@x.test,\n carol@y.test\n@z.test bob@x.test\np@x.test |sh\n");
        assert_eq!(made, ["sales@x.test: bob@x.test, carol@y.test", "@z.test: bob@x.test"]);
        assert_eq!(refused[0].0, 4);
    }
}
