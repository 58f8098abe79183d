//! What may be said about an account: the name by which `emuser` and sheets call it, the word in etc/users, the normal form.
//!
//! One table for flags, for the columns of sheets and for what is shown, so that a value means the same everywhere.
//! A text that is empty takes the value away.

use super::{Account, Expiry};
use crate::addr::Address;
use crate::config::Site;
use crate::settings::{Network, Size};

/// Services that accounts may be held to.
pub const SERVICES: [&str; 6] = ["smtp", "submission", "pop3", "imap", "poppass", "managesieve"];
/// Most aliases of an account, and most addresses that its mail is forwarded to.
const ADDRESSES_LIMIT: usize = 100;

/// Reads a text that is not empty into what is stored; `None` stores nothing.
type Normal = fn(&str, &Site) -> Result<Option<String>, String>;

/// One row of the table.
#[derive(Debug)]
pub struct Attribute {
    /// As sheets and flags call it.
    pub name: &'static str,
    /// The word in etc/users.
    pub word: &'static str,
    normal: Normal,
    /// Yes or no.
    is_flag: bool,
}

/// Everything but address, password and keys, in the order of a sheet's columns.
pub const ATTRIBUTES: [Attribute; 17] = [
    row("name", "name", line),
    row("quota", "quota", quota),
    row("quota_messages", "quota_messages", number),
    row("services", "services", services),
    row("aliases", "aliases", aliases),
    row("forward", "forward", forward),
    flag("keep_copy", "keep_copy"),
    row("expire_days", "expire", expire),
    row("networks", "networks", networks),
    flag("locked", "locked"),
    flag("disabled", "disabled"),
    flag("must_change_password", "must_change"),
    row("vacation", "vacation", text),
    row("vacation_subject", "vacation_subject", line),
    row("vacation_from", "vacation_from", date),
    row("vacation_until", "vacation_until", date),
    row("vacation_days", "vacation_days", number),
];

const fn row(name: &'static str, word: &'static str, normal: Normal) -> Attribute {
    Attribute { name, word, normal, is_flag: false }
}

const fn flag(name: &'static str, word: &'static str) -> Attribute {
    Attribute { name, word, normal: yes, is_flag: true }
}

impl Attribute {
    /// The row of a name; dashes count as underscores, and `expire` is short for `expire_days`.
    pub fn of(name: &str) -> Option<&'static Attribute> {
        let name = name.replace('-', "_");
        let name = if name == "expire" { "expire_days" } else { &name };
        ATTRIBUTES.iter().find(|row| row.name == name)
    }

    /// What is stored for a text, or what is wrong with it.
    pub fn read(&self, text: &str, site: &Site) -> Result<Option<String>, String> {
        match text.trim() {
            "" => Ok(None),
            trimmed => (self.normal)(trimmed, site),
        }
    }

    /// The value as [`Attribute::read`] takes it; empty when there is none.
    pub fn print(&self, account: &Account) -> String {
        match account.field(self.word) {
            Some(_) if self.is_flag => "yes".to_string(),
            value => value.unwrap_or_default().to_string(),
        }
    }
}

fn line(text: &str, _: &Site) -> Result<Option<String>, String> {
    match text.chars().any(char::is_control) {
        true => Err("no control characters, and no line ends".to_string()),
        false => Ok(Some(text.to_string())),
    }
}

/// Lines of text; CRLF becomes LF.
fn text(text: &str, _: &Site) -> Result<Option<String>, String> {
    let text = text.replace("\r\n", "\n");
    match text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        true => Err("no control characters".to_string()),
        false => Ok(Some(text)),
    }
}

fn yes(text: &str, _: &Site) -> Result<Option<String>, String> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "1" | "x" | "on" => Ok(Some("1".to_string())),
        "no" | "false" | "0" | "off" | "-" => Ok(None),
        _ => Err(format!("{text:?} is neither yes nor no")),
    }
}

fn number(text: &str, _: &Site) -> Result<Option<String>, String> {
    let number: Result<u32, _> = text.parse();
    number.map(|n| Some(n.to_string())).map_err(|_| format!("{text:?} is not a number"))
}

fn quota(text: &str, _: &Site) -> Result<Option<String>, String> {
    text.parse::<Size>().map(|size| Some(size.0.to_string()))
}

fn date(text: &str, _: &Site) -> Result<Option<String>, String> {
    let is_plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let date = if is_plain { text.parse::<jiff::civil::Date>().ok() } else { None };
    date.map(|d| Some(d.to_string())).ok_or_else(|| format!("{text:?} is not a date: write YYYY-MM-DD"))
}

fn expire(text: &str, _: &Site) -> Result<Option<String>, String> {
    Expiry::parse(text).map(|expiry| Some(expiry.to_string()))
}

/// Words of a list: commas, semicolons and blanks separate.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| c == ',' || c == ';' || c.is_whitespace()).filter(|word| !word.is_empty())
}

/// In order, each one once.
fn joined(mut list: Vec<String>) -> Option<String> {
    list.sort_unstable();
    list.dedup();
    Some(list.join(",")).filter(|text| !text.is_empty())
}

fn services(text: &str, _: &Site) -> Result<Option<String>, String> {
    let text = text.to_lowercase();
    let mut list = Vec::new();
    for word in words(&text) {
        match word {
            "all" if words(&text).count() == 1 => return Ok(None),
            word if SERVICES.contains(&word) => list.push(word.to_string()),
            word => return Err(format!("{word:?} is none of {}, all", SERVICES.join(", "))),
        }
    }
    Ok(joined(list))
}

fn networks(text: &str, _: &Site) -> Result<Option<String>, String> {
    let list: Result<Vec<String>, String> =
        words(text).map(|word| word.parse::<Network>().map(|network| network.to_string())).collect();
    Ok(joined(list?))
}

fn forward(text: &str, site: &Site) -> Result<Option<String>, String> {
    let list: Result<Vec<String>, String> =
        words(text).map(|word| plain_address(word, site).map(|address| address.to_string())).collect();
    limited(list?)
}

/// Further addresses of the account itself: what stands in the way of an account's address stands in theirs.
fn aliases(text: &str, site: &Site) -> Result<Option<String>, String> {
    let mut list = Vec::new();
    for word in words(text) {
        let address = plain_address(word, site)?.to_key();
        if !site.is_local(address.domain()) {
            return Err(format!("{address}: {} is not a domain of ours", address.domain()));
        }
        if let Some(separator) = site.separator().filter(|separator| address.local().contains(*separator)) {
            return Err(format!("{address}: {separator:?} separates the detail"));
        }
        list.push(address.to_string());
    }
    limited(list)
}

fn limited(list: Vec<String>) -> Result<Option<String>, String> {
    match list.len() > ADDRESSES_LIMIT {
        true => Err(format!("more than {ADDRESSES_LIMIT} addresses: make an alias or a list of them")),
        false => Ok(joined(list)),
    }
}

/// An address that can stand in a list with commas. One without a domain is in our first.
fn plain_address(word: &str, site: &Site) -> Result<Address, String> {
    if word.starts_with(['|', '/', ':', '\\']) {
        return Err(format!("{word:?}: programs and files are named in etc/aliases, not here"));
    }
    let address = match word.contains('@') {
        true => Address::parse(word),
        false => Address::parse(&format!("{word}@{}", site.default_domain())),
    };
    let address = address.map_err(|e| format!("{word:?}: {e}"))?;
    match address.to_string().contains(['"', ',']) {
        true => Err(format!("{address}: addresses in quotes can't stand here")),
        false => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site() -> Site {
        let mut settings = crate::settings::Settings::default();
        settings.server.domains = vec!["b.test".to_string()];
        Site { root: crate::settings::Root::under(std::path::Path::new("/r")), settings }
    }

    fn read(name: &str, text: &str) -> Result<Option<String>, String> {
        Attribute::of(name).unwrap().read(text, &site())
    }

    #[test]
    fn normal_forms() {
        for (name, text, stored) in [
            ("name", " Alice Öst ", Some("Alice Öst")),
            ("name", "", None),
            ("quota", "1G", Some("1073741824")),
            ("quota-messages", "7", Some("7")),
            ("services", "IMAP; pop3", Some("imap,pop3")),
            ("services", "all", None),
            ("aliases", "C@b.test, a", Some("a@b.test,c@b.test")),
            ("forward", "X@Else.test", Some("X@else.test")),
            ("keep_copy", "TRUE", Some("1")),
            ("keep_copy", "no", None),
            ("expire", "30,Trash:7", Some("30,Trash:7")),
            ("networks", "192.0.2.0/24 ::1", Some("192.0.2.0/24,::1/128")),
            ("vacation", "Away.\r\nBack soon.", Some("Away.\nBack soon.")),
            ("vacation_until", "2026-12-24", Some("2026-12-24")),
        ] {
            assert_eq!(read(name, text), Ok(stored.map(str::to_string)), "{name} {text}");
        }
    }

    #[test]
    fn wrong_values_are_named() {
        for (name, text) in [
            ("name", "a\nb"),
            ("quota", "much"),
            ("quota_messages", "-1"),
            ("services", "imap,all"),
            ("services", "imup"),
            ("aliases", "x@elsewhere.test"),
            ("aliases", "x+y@b.test"),
            ("aliases", "\"x y\"@b.test"),
            ("forward", "|/bin/sh"),
            ("forward", "/etc/passwd"),
            ("forward", ":include:/etc/passwd"),
            ("keep_copy", "perhaps"),
            ("networks", "192.0.2.0/33"),
            ("vacation", "a\u{7}b"),
            ("vacation_from", "24.12.2026"),
            ("vacation_from", "2026-13-01"),
        ] {
            assert!(read(name, text).is_err(), "{name} {text}: {:?}", read(name, text));
        }
    }

    #[test]
    fn what_is_printed_is_read_again() {
        let mut account = Account::new(&Address::parse("a@b.test").unwrap());
        for (row, text) in ATTRIBUTES.iter().zip([
            "Alice",
            "5",
            "6",
            "imap",
            "x@b.test",
            "y@b.test",
            "yes",
            "9",
            "::1",
            "1",
            "1",
            "1",
            "a\nb",
            "s",
            "2026-01-01",
            "2026-02-01",
            "3",
        ]) {
            account.put(row.word, row.read(text, &site()).unwrap());
            assert_eq!(row.read(&row.print(&account), &site()).unwrap().as_deref(), account.field(row.word));
        }
        assert_eq!(account.fields.len(), ATTRIBUTES.len());
    }
}
