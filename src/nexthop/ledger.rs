//! How TLS with the hosts of other domains went, counted for reports to those domains.
//!
//! Written by the network driver at each attempt, read by `emqueue tls-report`. Counts are gathered in memory and appended to
//! `spool/tlsrpt/YYYY-MM-DD` (UTC) after a minute, at the end of the day, and at the end of the process: one JSON object a line.
//! These are statistics: a crash loses a minute of them, a line that can't be read is skipped, and a day that fills its bound is no
//! longer counted.
//! RFC 8460 §4.

use super::resolver::Tlsa;
use super::security::TlsFault;
use super::sts::{Mode, StsPolicy};
use crate::clock::Timestamp;
use crate::{fsx, log};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long counts wait in memory.
const MINUTE: Duration = Duration::from_secs(60);
/// Most different counts in memory.
const ENTRIES: usize = 5000;
/// Largest file of a day, in octets.
const DAY_LIMIT: u64 = 64 << 20;
/// Most characters of a reason.
const REASON: usize = 200;

/// The policy that a session was under.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Whose policy.
    pub domain: String,
    /// `tlsa`, `sts` or `no-policy-found`.
    pub kind: String,
    /// The policy in the words of its owner.
    pub text: Vec<String>,
    /// The host patterns of an MTA-STS policy.
    pub hosts: Vec<String>,
}

impl Applied {
    /// Neither TLSA records nor an MTA-STS policy.
    pub fn none(domain: &str) -> Applied {
        Applied { domain: domain.to_string(), kind: "no-policy-found".to_string(), ..Applied::default() }
    }

    /// TLSA records in presentation form (RFC 6698 §2.2).
    pub fn tlsa(domain: &str, records: &[Tlsa]) -> Applied {
        let print = |record: &Tlsa| {
            let data: String = record.data.iter().map(|octet| format!("{octet:02X}")).collect();
            format!("{} {} {} {data}", record.usage, record.selector, record.matching)
        };
        let text = records.iter().map(print).collect();
        Applied { kind: "tlsa".to_string(), text, ..Applied::none(domain) }
    }

    /// An MTA-STS policy.
    pub fn sts(domain: &str, policy: &StsPolicy) -> Applied {
        let mode = match policy.mode {
            Mode::Enforce => "enforce",
            Mode::Testing => "testing",
            Mode::None => "none",
        };
        let mut text = vec!["version: STSv1".to_string(), format!("mode: {mode}")];
        text.extend(policy.mx.iter().map(|pattern| format!("mx: {pattern}")));
        text.push(format!("max_age: {}", policy.max_age.as_secs()));
        Applied { kind: "sts".to_string(), text, hosts: policy.mx.clone(), ..Applied::none(domain) }
    }
}

/// One kind of session.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Session {
    /// The policy it was under.
    pub policy: Applied,
    /// The host.
    pub host: String,
    /// Its address.
    pub ip: String,
    /// The result type of a failure; empty for success.
    pub fault: String,
    /// The failure in words.
    pub reason: String,
}

impl Session {
    /// A session with a host; a failure has its kind and its words.
    pub fn new(policy: &Applied, host: &str, ip: std::net::IpAddr, failure: Option<(TlsFault, &str)>) -> Session {
        let fault = match (failure, policy.kind.as_str()) {
            (Some((TlsFault::Mismatch, _)), "tlsa") => "tlsa-invalid",
            (Some((fault, _)), _) => fault.name(),
            (None, _) => "",
        };
        let reason = failure.map_or(String::new(), |(_, text)| text.chars().take(REASON).collect());
        Session { policy: policy.clone(), host: host.to_string(), ip: ip.to_string(), fault: fault.to_string(), reason }
    }
}

#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    session: Session,
    count: u64,
}

#[derive(Default)]
struct Held {
    counts: HashMap<Session, u64>,
    since: Timestamp,
    day: String,
}

/// The counts of a process.
pub struct TlsLedger {
    dir: PathBuf,
    held: Mutex<Held>,
}

impl TlsLedger {
    /// Counts that are kept in a folder, made at the first one.
    pub fn new(dir: &Path) -> TlsLedger {
        TlsLedger { dir: dir.to_path_buf(), held: Mutex::default() }
    }

    /// Counts one session.
    pub fn count(&self, session: Session, now: Timestamp) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let day = day_of(now);
        let is_old = now.since(held.since) >= MINUTE || held.day != day || held.counts.len() >= ENTRIES;
        if is_old && !held.counts.is_empty() {
            self.flush(&mut held);
        }
        if held.counts.is_empty() {
            held.since = now;
            held.day = day;
        }
        *held.counts.entry(session).or_insert(0) += 1;
    }

    fn flush(&self, held: &mut Held) {
        let counts = std::mem::take(&mut held.counts);
        let mut text = Vec::new();
        for (session, count) in counts {
            if serde_json::to_writer(&mut text, &Line { session, count }).is_ok() {
                text.push(b'\n');
            }
        }
        if let Err(error) = self.append(&held.day, &text) {
            log::event("tls-counts-lost").field("reason", error).error().write();
        }
    }

    fn append(&self, day: &str, text: &[u8]) -> io::Result<()> {
        fsx::create_dirs(&self.dir, 0o700)?;
        let path = self.dir.join(day);
        let mut file = fsx::open_append(&path, 0o600)?;
        if file.metadata()?.len() + text.len() as u64 > DAY_LIMIT {
            return Err(io::Error::other(format!("{}: the day is full", path.display())));
        }
        fsx::write_all(&mut file, &path, text)
    }
}

impl Drop for TlsLedger {
    fn drop(&mut self) {
        let mut held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        if !held.counts.is_empty() {
            self.flush(&mut held);
        }
    }
}

/// The UTC day of a time, as files are named.
pub fn day_of(now: Timestamp) -> String {
    now.rfc3339().chars().take(10).collect()
}

/// The days before `today` that have counts, oldest first.
pub fn days(dir: &Path, today: &str) -> io::Result<Vec<String>> {
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(fsx::context("read", dir, e)),
    };
    let is_day = |name: &String| Timestamp::parse_rfc3339(&format!("{name}T00:00:00Z")).is_some();
    let mut days: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    days.retain(|name| is_day(name) && name.as_str() < today);
    days.sort();
    Ok(days)
}

/// The counts of a day, equal ones added up.
pub fn read(dir: &Path, day: &str) -> io::Result<Vec<(Session, u64)>> {
    let bytes = fsx::read(&dir.join(day), DAY_LIMIT)?;
    let mut counts: HashMap<Session, u64> = HashMap::new();
    for line in bytes.split(|b| *b == b'\n') {
        if let Ok(Line { session, count }) = serde_json::from_slice(line) {
            let sum = counts.entry(session).or_insert(0);
            *sum = sum.saturating_add(count);
        }
    }
    let mut counts: Vec<(Session, u64)> = counts.into_iter().collect();
    counts.sort_by(|(a, _), (b, _)| {
        (&a.policy.domain, &a.host, &a.ip, &a.fault).cmp(&(&b.policy.domain, &b.host, &b.ip, &b.fault))
    });
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);

    fn session(domain: &str, failure: Option<(TlsFault, &str)>) -> Session {
        Session::new(&Applied::none(domain), "mx.test", [192, 0, 2, 1].into(), failure)
    }

    #[test]
    fn counts_of_several_processes_and_days_are_added_up() {
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("tlsrpt");
        for _ in 0..2 {
            let ledger = TlsLedger::new(&spool);
            for _ in 0..3 {
                ledger.count(session("a.test", None), NOW);
            }
            ledger.count(session("a.test", Some((TlsFault::Expired, "old"))), NOW);
            ledger.count(session("b.test", None), NOW.after(Duration::from_secs(24 * 3600)));
        }
        let today = day_of(NOW.after(Duration::from_secs(24 * 3600)));
        assert_eq!(days(&spool, &today).unwrap(), [day_of(NOW)]);
        let path = spool.join(day_of(NOW));
        let torn = [std::fs::read(&path).unwrap(), b"{\"policy\":{\"dom".to_vec()].concat();
        std::fs::write(&path, torn).unwrap();
        let found = read(&spool, &day_of(NOW)).unwrap();
        let counts: Vec<(&str, u64)> = found.iter().map(|(s, n)| (s.fault.as_str(), *n)).collect();
        assert_eq!(counts, [("", 6), ("certificate-expired", 2)]);
        assert!(days(&spool.join("none"), &today).unwrap().is_empty());
    }

    #[test]
    fn counts_reach_the_disk_after_a_minute() {
        let dir = tempfile::tempdir().unwrap();
        let ledger = TlsLedger::new(dir.path());
        ledger.count(session("a.test", None), NOW);
        assert!(read(dir.path(), &day_of(NOW)).is_err());
        ledger.count(session("a.test", None), NOW.after(MINUTE));
        assert_eq!(read(dir.path(), &day_of(NOW)).unwrap()[0].1, 1);
    }

    #[test]
    fn policies_are_told_in_their_owners_words() {
        let record = Tlsa { usage: 3, selector: 1, matching: 1, data: vec![0xab, 1] };
        let tlsa = Applied::tlsa("a.test", &[record]);
        assert_eq!(tlsa.text, ["3 1 1 AB01"]);
        let fault =
            |policy: &Applied| Session::new(policy, "h", [0, 0, 0, 0].into(), Some((TlsFault::Mismatch, ""))).fault;
        assert_eq!(fault(&tlsa), "tlsa-invalid");
        assert_eq!(fault(&Applied::none("a.test")), "validation-failure");
        let policy = StsPolicy::parse("version: STSv1\nmode: testing\nmx: *.a.test\nmax_age: 86400\n").unwrap();
        let sts = Applied::sts("a.test", &policy);
        assert_eq!(sts.text, ["version: STSv1", "mode: testing", "mx: *.a.test", "max_age: 86400"]);
        assert_eq!(sts.hosts, ["*.a.test"]);
    }
}
