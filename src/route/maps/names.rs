//! Maps of names: `host`, `bestmx` and `dns`.
//!
//! `host` gives the canonical name: the full one of the hosts file, else where the CNAME records of DNS lead. Which names exist is DNS's to say:
//! one with an address or with mail exchangers. An address in brackets is looked up backwards.

use super::{Heard, Maps, later};
use crate::nexthop::exchange::{self, Best};
use crate::nexthop::resolver::{Answer, Data, DnsError, Found, Kind, Question};
use crate::rules::map::Map;
use crate::rules::world::{Looked, MailHosts, exit};
use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

/// Most octets of records that are joined by -z.
const JOINED_LIMIT: usize = 2000;

impl Maps {
    /// The canonical name of a host, or of an address in brackets.
    pub(super) fn host(&self, key: &[u8]) -> Heard {
        let key = String::from_utf8_lossy(key);
        match self.canonical(&key) {
            Ok(Some(name)) => Heard::found(name),
            Ok(None) => Heard::missing(),
            Err(cause) => Heard { notice: Some(format!("{key}: Name server timeout")), ..later(cause) },
        }
    }

    /// The same without its last dot; `None` when there is no such host, an error when nobody knows.
    pub fn canonical(&self, key: &str) -> Result<Option<String>, String> {
        if let Some(ip) = literal(key) {
            return self.name_of(ip);
        }
        let key = key.trim_end_matches('.');
        if key.is_empty() || key.starts_with('[') {
            return Ok(None);
        }
        if let Some(name) = self.resolver.fixed_name(key) {
            return Ok(Some(name));
        }
        if !self.asks_dns {
            return Ok(None);
        }
        let mut names = vec![key.to_string()];
        if !self.search.is_empty() {
            let longer = format!("{key}.{}", self.search);
            // A name with dots is likely to be whole.
            if key.contains('.') { names.push(longer) } else { names.insert(0, longer) }
        }
        for name in names {
            let kinds = [Kind::A, Kind::Aaaa, Kind::Mx];
            let found = self.resolver.ask(&kinds.map(|kind| Question::new(&name, kind)), self.patience);
            if let Some(answer) = found.iter().find_map(|found| found.as_ref().ok()) {
                // Without CNAME records it stays as it was written.
                let is_same = answer.name.eq_ignore_ascii_case(&name);
                return Ok(Some(if is_same { name } else { answer.name.clone() }));
            }
            if let Some(error) = found.into_iter().filter_map(Found::err).find(DnsError::is_temporary) {
                return Err(error.to_string());
            }
        }
        Ok(None)
    }

    fn name_of(&self, ip: IpAddr) -> Result<Option<String>, String> {
        if let Some(name) = self.resolver.fixed_name_of(ip) {
            return Ok(Some(name));
        }
        // An address is as good as its name: without DNS it stays what it is.
        if !self.has_dns() {
            return Ok(None);
        }
        let found = self.resolver.ask(&[Question::reverse(ip)], self.patience).pop();
        Ok(found.and_then(Found::ok).and_then(|answer| first_name(&answer)))
    }

    /// The mail exchangers of a name, best first; the host itself where it has none.
    pub fn mail_hosts(&self, name: &str) -> MailHosts {
        if !self.asks_dns {
            return MailHosts::Known(Vec::new());
        }
        match self.best(name) {
            Ok(Best::Hosts(hosts)) => {
                MailHosts::Known(hosts.into_iter().map(|host| format!("{host}.").into_bytes()).collect())
            }
            Ok(Best::Null) => MailHosts::Null,
            Ok(Best::Nobody | Best::Nothing) => MailHosts::Known(Vec::new()),
            Err(_) => MailHosts::Unsure,
        }
    }

    fn best(&self, name: &str) -> Result<Best, String> {
        exchange::best(&*self.resolver, &self.whole(name), self.patience)
    }

    /// `bestmx`: the best exchanger, or with -z all of them.
    pub(super) fn best_hosts(&self, map: &Map, key: &[u8]) -> Heard {
        if !self.asks_dns {
            return nothing();
        }
        match self.best(&String::from_utf8_lossy(key)) {
            Ok(Best::Hosts(hosts)) => {
                let hosts: Vec<Vec<u8>> = hosts.into_iter().map(|host| format!("{host}.").into_bytes()).collect();
                joined(map, hosts).map_or_else(Heard::missing, Heard::found)
            }
            Ok(Best::Null) => Heard::failed(exit::UNAVAILABLE, "null MX"),
            Ok(Best::Nobody) => Heard::missing(),
            Ok(Best::Nothing) => nothing(),
            Err(cause) => later(cause),
        }
    }

    /// `dns`: the records of the type that -R names.
    pub(super) fn records(&self, map: &Map, key: &[u8]) -> Heard {
        let Some(kind) = kind_of(map) else { return later("records of this type are not asked for") };
        let mut name = String::from_utf8_lossy(key).into_owned();
        if let Some(base) = map.value(b'B') {
            name = format!("{name}.{}", String::from_utf8_lossy(base));
        }
        // A name that is none has no records.
        if name.is_empty() || name.split('.').any(|label| label.len() > 63) {
            return Heard::missing();
        }
        let patience = map.value(b'd').and_then(seconds).map_or(self.patience, |span| span.min(self.patience));
        match self.resolver.ask_servers(&[self.absolute(&name, kind)], patience).pop() {
            Some(Ok(answer)) => {
                let values = answer.data.iter().filter_map(|data| printed(data, kind)).collect();
                joined(map, values).map_or_else(Heard::missing, Heard::found)
            }
            Some(Err(error)) if !error.is_temporary() => Heard::missing(),
            Some(Err(error)) => later(format!("{} of {name}: {error}", kind.name())),
            None => later("no answer"),
        }
    }

    fn absolute(&self, name: &str, kind: Kind) -> Question {
        Question::new(&self.whole(name), kind)
    }

    /// A name without a dot gets the search domain, unless a file knows it as it is.
    fn whole<'n>(&self, name: &'n str) -> Cow<'n, str> {
        match name.contains('.') || self.search.is_empty() || self.resolver.is_fixed(name) {
            true => Cow::Borrowed(name),
            false => Cow::Owned(format!("{name}.{}", self.search)),
        }
    }
}

/// The address in brackets, if it is one.
fn literal(key: &str) -> Option<IpAddr> {
    let inner = key.strip_prefix('[')?.strip_suffix(']')?;
    let tagged = inner.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPv6:"));
    if tagged { &inner[5..] } else { inner }.parse().ok()
}

/// What -R names.
pub(super) fn kind_of(map: &Map) -> Option<Kind> {
    map.value(b'R').map(String::from_utf8_lossy).and_then(|name| Kind::named(&name))
}

/// There is no answer, and all is well.
fn nothing() -> Heard {
    Heard { looked: Looked::failed(exit::OK), ..Heard::missing() }
}

fn first_name(answer: &Answer) -> Option<String> {
    answer.data.iter().find_map(|data| match data {
        Data::Name(name) if !name.is_empty() => Some(name.clone()),
        _ => None,
    })
}

/// One record as rules read it.
fn printed(data: &Data, kind: Kind) -> Option<Vec<u8>> {
    let mut text = match (data, kind) {
        (Data::Mx(_, host), Kind::Mx) => host.clone().into_bytes(),
        (Data::Address(IpAddr::V4(ip)), Kind::A) => ip.to_string().into_bytes(),
        (Data::Address(IpAddr::V6(ip)), Kind::Aaaa) => {
            let groups = ip.segments().map(|group| format!("{group:x}"));
            format!("IPv6:{}", groups.join(":")).into_bytes()
        }
        (Data::Txt(text), Kind::Txt) => text.clone(),
        (Data::Name(name), _) => name.clone().into_bytes(),
        (Data::Tlsa(tlsa), Kind::Tlsa) => {
            let octets: String = tlsa.data.iter().map(|octet| format!("{octet:02x}")).collect();
            format!("{} {} {} {octets}", tlsa.usage, tlsa.selector, tlsa.matching).into_bytes()
        }
        _ => return None,
    };
    for byte in text.iter_mut().filter(|byte| !matches!(byte, b' '..=b'~')) {
        *byte = b'X';
    }
    Some(text)
}

/// The first value; with -z all of them behind each other, of which -Z bounds the number. `None` when there is none.
fn joined(map: &Map, values: Vec<Vec<u8>>) -> Option<Vec<u8>> {
    let mut values = values.into_iter();
    let mut all = values.next()?;
    let Some(between) = map.value(b'z').and_then(separator) else { return Some(all) };
    let most = map.value(b'Z').and_then(|text| std::str::from_utf8(text).ok()?.parse().ok()).unwrap_or(0usize);
    // The model counts so: from 2 on one more than was asked for.
    let more = match most {
        0 => usize::MAX,
        1 => 0,
        most => most,
    };
    for value in values.take(more) {
        if all.len() + value.len() > JOINED_LIMIT {
            break;
        }
        all.push(between);
        all.extend(value);
    }
    Some(all)
}

/// What -z names: one character, or `\n` or `\t`.
fn separator(text: &[u8]) -> Option<u8> {
    match text {
        [b'\\', b'n', ..] => Some(b'\n'),
        [b'\\', b't', ..] => Some(b'\t'),
        [b'\\', ..] => Some(b'\\'),
        [one, ..] => Some(*one),
        [] => None,
    }
}

/// `5`, `5s`, `1m`: the value of -d.
fn seconds(text: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let unit = if text[digits..].starts_with('m') { 60 } else { 1 };
    Some(Duration::from_secs(number.saturating_mul(unit)))
}
