//! etc/tls-policies: what TLS must be before mail goes to a domain.
//!
//! One entry a line: `DOMAIN POLICY [match=NAME,NAME…]`. DOMAIN is the domain or host of the route, `.domain` for everything below it,
//! `[192.0.2.1]` for an address, or `*`. The most exact entry wins; where there is none, `relay.tls` and MTA-STS count.
//! Read by `nexthop`. em-tls-policies(5).

use super::{Table, entries};
use crate::addr::normal_domain;
use crate::config::ConfigError;
use std::collections::BTreeMap;
use std::path::Path;

/// Most names and fingerprints of one entry.
const ITEMS: usize = 32;

/// The table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsPolicies {
    map: BTreeMap<String, TlsPolicy>,
}

/// What an entry demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsPolicy {
    /// No TLS.
    Clear,
    /// TLS where it is offered, whatever the certificate.
    May,
    /// No mail without TLS, whatever the certificate.
    Encrypt,
    /// A certificate from a trusted authority for one of these names; none given: for the host's own name.
    Verify(Vec<String>),
    /// The same, but none given: for the domain and the names below it.
    Secure(Vec<String>),
    /// The certificate, or its key, with one of these SHA-256 digests.
    Fingerprint(Vec<[u8; 32]>),
    /// By TLSA records where there are secured ones, else where it is offered.
    Dane,
    /// By TLSA records; no mail without them.
    DaneOnly,
}

impl TlsPolicies {
    /// The entry for a domain (in A-label form): itself, then its parents with a dot, then `*`.
    pub fn find(&self, domain: &str) -> Option<&TlsPolicy> {
        let parents = domain.match_indices('.').map(|(dot, _)| &domain[dot..]);
        let parents = parents.filter(|_| !domain.starts_with('['));
        std::iter::once(domain).chain(parents).chain(["*"]).find_map(|key| self.map.get(key))
    }
}

impl Table for TlsPolicies {
    fn parse(text: &str, path: &Path) -> Result<TlsPolicies, ConfigError> {
        let mut map = BTreeMap::new();
        for entry in entries(text) {
            let fail = |word: &str, message: String, hint: &str| {
                // The words are parts of the entry.
                let at = entry.start + (word.as_ptr() as usize).saturating_sub(entry.text.as_ptr() as usize);
                let span = at..at + word.len().max(1);
                ConfigError::spanned(path.to_path_buf(), text, span, message, hint.to_string())
            };
            if entry.text.starts_with([' ', '\t']) {
                let message = "a continuation line without an entry before it".to_string();
                return Err(fail(&entry.text[..1], message, "entries begin in column 1"));
            }
            let mut words = entry.text.split_whitespace();
            let key = words.next().unwrap_or("");
            let domain = normal_key(key)
                .ok_or_else(|| fail(key, format!("{key:?} is no domain"), "write a domain, .domain, [address] or *"))?;
            let policy = words.next().ok_or_else(|| {
                fail(&entry.text[key.len()..], "no policy".to_string(), "write \"example.org encrypt\"")
            })?;
            let read = read_policy(policy, words).map_err(|(word, message)| {
                fail(
                    word,
                    message,
                    "none, may, encrypt, verify, secure, fingerprint, dane or dane-only; em-tls-policies(5)",
                )
            })?;
            if map.insert(domain, read).is_some() {
                return Err(fail(key, format!("{key} has two policies"), ""));
            }
        }
        Ok(TlsPolicies { map })
    }
}

fn normal_key(key: &str) -> Option<String> {
    match key.strip_prefix('.') {
        _ if key == "*" => Some(key.to_string()),
        Some(parent) => normal_domain(parent).ok().map(|d| format!(".{d}")),
        None => normal_domain(key).ok(),
    }
}

/// The policy of an entry's words; the error names the word at fault.
fn read_policy<'a>(policy: &'a str, mut words: impl Iterator<Item = &'a str>) -> Result<TlsPolicy, (&'a str, String)> {
    let read = match policy {
        "none" => TlsPolicy::Clear,
        "may" => TlsPolicy::May,
        "encrypt" => TlsPolicy::Encrypt,
        "dane" => TlsPolicy::Dane,
        "dane-only" => TlsPolicy::DaneOnly,
        "verify" => TlsPolicy::Verify(names(&mut words)?),
        "secure" => TlsPolicy::Secure(names(&mut words)?),
        "fingerprint" => {
            let known: Vec<[u8; 32]> = words.by_ref().map(fingerprint).collect::<Result<_, _>>()?;
            if known.is_empty() || known.len() > ITEMS {
                return Err((policy, format!("write 1 to {ITEMS} fingerprints, as sha256:0f1e…")));
            }
            TlsPolicy::Fingerprint(known)
        }
        _ => return Err((policy, format!("unknown policy {policy:?}"))),
    };
    match words.next() {
        Some(word) => Err((word, format!("{word:?} has no meaning here"))),
        None => Ok(read),
    }
}

fn names<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Vec<String>, (&'a str, String)> {
    let mut found = Vec::new();
    for word in words {
        let list = word.strip_prefix("match=").ok_or_else(|| (word, format!("{word:?} has no meaning here")))?;
        for name in list.split(',') {
            let key = normal_key(name).filter(|key| key != "*" && !key.starts_with('['));
            found.push(key.ok_or_else(|| (word, format!("{name:?} is no name")))?);
        }
    }
    if found.len() > ITEMS { Err(("", format!("more than {ITEMS} names"))) } else { Ok(found) }
}

/// `sha256:` and 64 digits, in pairs with or without colons between them.
fn fingerprint(word: &str) -> Result<[u8; 32], (&str, String)> {
    let wrong = || (word, format!("{word:?} is no fingerprint: write sha256: and 64 hexadecimal digits"));
    let digits: String = word.strip_prefix("sha256:").ok_or_else(wrong)?.chars().filter(|c| *c != ':').collect();
    if digits.len() != 64 || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut known = [0; 32];
    for (octet, at) in known.iter_mut().zip((0..64).step_by(2)) {
        *octet = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TlsPolicies, String> {
        TlsPolicies::parse(text, Path::new("tls-policies")).map_err(|e| e.to_string())
    }

    #[test]
    fn the_most_exact_entry_wins() {
        let text = "# policies\nexample.org verify match=mx.example.net,.Example.ORG\n.example.org encrypt\n[192.0.2.1] none\n* may\n";
        let table = read(text).unwrap();
        let names = vec!["mx.example.net".to_string(), ".example.org".to_string()];
        assert_eq!(table.find("example.org"), Some(&TlsPolicy::Verify(names)));
        assert_eq!(table.find("a.b.example.org"), Some(&TlsPolicy::Encrypt));
        assert_eq!(table.find("[192.0.2.1]"), Some(&TlsPolicy::Clear));
        assert_eq!(table.find("[192.0.2.2]"), Some(&TlsPolicy::May));
        assert_eq!(table.find("example.net"), Some(&TlsPolicy::May));
        assert_eq!(read("a.test dane\n").unwrap().find("b.test"), None);
    }

    #[test]
    fn all_policies_are_read() {
        let digits = "0f".repeat(32);
        let pairs = vec!["0F"; 32].join(":");
        let text = format!(
            "a.test secure\nb.test dane\nc.test dane-only\nd.test fingerprint sha256:{digits} sha256:{pairs}\n"
        );
        let table = read(&text).unwrap();
        assert_eq!(table.find("a.test"), Some(&TlsPolicy::Secure(Vec::new())));
        assert_eq!(table.find("b.test"), Some(&TlsPolicy::Dane));
        assert_eq!(table.find("c.test"), Some(&TlsPolicy::DaneOnly));
        assert_eq!(table.find("d.test"), Some(&TlsPolicy::Fingerprint(vec![[0x0f; 32]; 2])));
    }

    #[test]
    fn mistakes_have_places() {
        for (text, wanted) in [
            ("a.test\n", "tls-policies:1:7"),
            ("a.test sometimes\n", "tls-policies:1:8"),
            ("a.test may match=x\n", "tls-policies:1:12"),
            ("a.test verify names=x\n", "tls-policies:1:15"),
            ("a.test verify match=a b\n", "tls-policies:1:23"),
            ("a.test verify match=*\n", "\"*\" is no name"),
            ("a.test fingerprint\n", "write 1 to 32 fingerprints"),
            ("a.test fingerprint md5:00\n", "tls-policies:1:20"),
            ("-a- may\n", "tls-policies:1:1"),
            ("\ta.test may\n", "entries begin in column 1"),
            ("a.test may\nA.test none\n", "tls-policies:2:1: A.test has two policies"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(wanted), "{text:?}: {error}");
        }
    }
}
