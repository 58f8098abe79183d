//! MTA-STS, the texts: the TXT record that says there is a policy, and the policy itself. Pure.
//!
//! Trust: both come from the network; the policy's origin has been verified by its reader.
//! RFC 8461 §3.

use crate::addr::normal_domain;
use std::time::Duration;

/// Longest lifetime that a policy may have (RFC 8461 §3.2).
const MAX_AGE: u64 = 31_557_600;
/// Most `mx` lines taken.
const PATTERNS: usize = 100;

/// What happens when a host does not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It gets no mail.
    Enforce,
    /// It gets mail all the same.
    Testing,
    /// Nothing: the domain is on its way out of MTA-STS.
    None,
}

/// A domain's policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StsPolicy {
    /// What it asks for.
    pub mode: Mode,
    /// Names of hosts; `*.example.net` is every name one step below.
    pub mx: Vec<String>,
    /// How long it may be kept.
    pub max_age: Duration,
}

/// `id` of a TXT record; `None` when it is no record of MTA-STS.
pub fn record_id(text: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(text).ok()?;
    let mut fields = text.split(';').map(|field| field.trim_matches([' ', '\t']));
    if fields.next()? != "v=STSv1" {
        return None;
    }
    let id = fields.filter_map(|field| field.split_once('=')).find(|(name, _)| name.trim_end() == "id")?.1.trim();
    let is_id = (1..=32).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    is_id.then(|| id.to_string())
}

/// The id among a domain's TXT records: there must be exactly one record of MTA-STS (RFC 8461 §3.1).
pub fn only_id<'a>(texts: impl Iterator<Item = &'a [u8]>) -> Option<String> {
    let mut records = texts.filter(|text| text.starts_with(b"v=STSv1"));
    let record = records.next()?;
    if records.next().is_some() { None } else { record_id(record) }
}

impl StsPolicy {
    /// `sts-policy-record`; the error is in words.
    pub fn parse(text: &str) -> Result<StsPolicy, String> {
        let (mut version, mut mode, mut max_age, mut mx) = (None, None, None, Vec::new());
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let (name, value) = line.split_once(':').ok_or_else(|| format!("no field: {line:?}"))?;
            let value = value.trim();
            match name.trim_end() {
                // All but the first of a kind are ignored.
                "version" => version = version.or(Some(value)),
                "mode" => mode = mode.or(Some(value)),
                "max_age" => max_age = max_age.or(Some(value)),
                "mx" if mx.len() < PATTERNS => mx.push(pattern(value).ok_or_else(|| format!("no mx: {value:?}"))?),
                _ => {}
            }
        }
        if version != Some("STSv1") {
            return Err(format!("unknown version {version:?}"));
        }
        let mode = match mode {
            Some("enforce") => Mode::Enforce,
            Some("testing") => Mode::Testing,
            Some("none") => Mode::None,
            other => return Err(format!("unknown mode {other:?}")),
        };
        let max_age = max_age.filter(|age| (1..=10).contains(&age.len())).and_then(|age| age.parse::<u64>().ok());
        let max_age = Duration::from_secs(max_age.ok_or("no max_age")?.min(MAX_AGE));
        if mx.is_empty() && mode != Mode::None {
            return Err("no mx".to_string());
        }
        Ok(StsPolicy { mode, mx, max_age })
    }

    /// True when the policy names the host (RFC 8461 §4.1).
    pub fn names(&self, host: &str) -> bool {
        self.mx.iter().any(|pattern| match pattern.strip_prefix('*') {
            Some(suffix) => host.strip_suffix(suffix).is_some_and(|label| !label.is_empty() && !label.contains('.')),
            None => pattern == host,
        })
    }
}

fn pattern(text: &str) -> Option<String> {
    match text.strip_prefix("*.") {
        Some(domain) => normal_domain(domain).ok().map(|d| format!("*.{d}")),
        None => normal_domain(text).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        for (text, id) in [
            ("v=STSv1; id=20160831085700Z;", Some("20160831085700Z")),
            ("v=STSv1;id=1", Some("1")),
            ("v=STSv1; x=y; id=1 ;", Some("1")),
            ("v=STSv1; id=", None),
            ("v=STSv1; id=a-b", None),
            ("v=STSv2; id=1", None),
            ("id=1; v=STSv1", None),
        ] {
            assert_eq!(record_id(text.as_bytes()).as_deref(), id, "{text}");
        }
        let only = |texts: &[&'static str]| only_id(texts.iter().map(|t| t.as_bytes()));
        assert_eq!(only(&["x", "v=STSv1; id=1"]).as_deref(), Some("1"));
        assert_eq!(only(&["v=STSv1; id=1", "v=STSv1; id=2"]), None);
    }

    #[test]
    fn policies() {
        let text = "version: STSv1\r\nmode: enforce\r\nmx: mail.Example.com\r\nmx: *.example.net\r\nextra: x\r\nmode: none\r\nmax_age: 604800\r\n";
        let policy = StsPolicy::parse(text).unwrap();
        assert_eq!((policy.mode, policy.max_age.as_secs()), (Mode::Enforce, 604_800));
        for (host, is_named) in [
            ("mail.example.com", true),
            ("mx.example.net", true),
            ("example.net", false),
            ("a.b.example.net", false),
            (".example.net", false),
            ("evilexample.net", false),
        ] {
            assert_eq!(policy.names(host), is_named, "{host}");
        }
        assert!(StsPolicy::parse("version: STSv1\nmode: none\nmax_age: 86400\n").unwrap().mx.is_empty());
        assert_eq!(
            StsPolicy::parse("version:STSv1\nmode:testing\nmx:a.b\nmax_age:9999999999").unwrap().max_age.as_secs(),
            MAX_AGE
        );
        for bad in [
            "",
            "mode: enforce\nmx: a.b\nmax_age: 1",
            "version: STSv2\nmode: enforce\nmx: a.b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmax_age: 1",
            "version: STSv1\nmode: strict\nmx: a.b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.b",
            "version: STSv1\nmode: enforce\nmx: a..b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: *.*.b\nmax_age: 1",
            "version: STSv1\nmode: enforce\nmx: a.b\nmax_age: -1",
            "<html>",
        ] {
            assert!(StsPolicy::parse(bad).is_err(), "{bad:?}");
        }
    }
}
