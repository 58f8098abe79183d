//! MTA-STS policies as they are kept: one small file a domain in spool/sts, so that a restart, or an attacker at the next look-up,
//! does not make us forget that a domain wanted verified TLS.
//!
//! Called by `secure` with the id that DNS shows at this time. Format: `em-sts 1`, `id=…`, `fetched=SECONDS`, an empty line, the policy
//! as it was served. Published atomically; what can't be read counts as not there.
//! Invariant: a policy is used until its `max_age` is over, whatever DNS and the web server say meanwhile.
//! Trust: domains are in our normal form, which makes file names without `/` and without a leading dot; policies come through
//! [`Fetch`], which has verified the server. RFC 8461 §3.3, §5.1, §10.

use super::sts::StsPolicy;
use crate::clock::Timestamp;
use crate::{fsx, log};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Largest policy taken, in octets (RFC 8461 §3.3).
pub const POLICY_LIMIT: usize = 64 << 10;
/// Pause after a failed attempt to fetch (RFC 8461 §3.3).
const PAUSE: Duration = Duration::from_secs(300);
/// Age at which a policy is fetched again although its id is the same (RFC 8461 §3.3).
const REFRESH: Duration = Duration::from_secs(24 * 3600);
/// Most failures remembered; all are forgotten when there are more.
const FAILURES: usize = 10_000;

/// Gets policies over HTTPS.
pub trait Fetch: Send + Sync {
    /// The text at `https://mta-sts.DOMAIN/.well-known/mta-sts.txt`, from a server whose certificate is good for that name; the error
    /// is in words.
    fn policy(&self, domain: &str) -> Result<String, String>;
}

/// The policies of a process.
pub struct StsStore {
    dir: PathBuf,
    fetch: Arc<dyn Fetch>,
    failed: Mutex<HashMap<String, (String, Timestamp)>>,
}

struct Kept {
    id: String,
    fetched: Timestamp,
    policy: StsPolicy,
}

impl StsStore {
    /// Keeps policies in a folder, made at the first one.
    pub fn new(dir: &Path, fetch: Arc<dyn Fetch>) -> StsStore {
        StsStore { dir: dir.to_path_buf(), fetch, failed: Mutex::default() }
    }

    /// The policy in force; `id` is what DNS says now, `None` when it says nothing.
    pub fn policy(&self, domain: &str, id: Option<&str>, now: Timestamp) -> Option<StsPolicy> {
        let kept = self.read(domain).filter(|kept| now.since(kept.fetched) < kept.policy.max_age);
        let is_due = match (&kept, id) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(kept), Some(id)) => kept.id != id || now.since(kept.fetched) >= REFRESH,
        };
        let Some(id) = id.filter(|id| is_due && !self.is_paused(domain, id, now)) else {
            return kept.map(|kept| kept.policy);
        };
        match self.fetch.policy(domain).and_then(|text| StsPolicy::parse(&text).map(|policy| (text, policy))) {
            Ok((text, policy)) => {
                if let Err(error) = self.write(domain, id, &text, now) {
                    log::event("sts-not-kept").field("domain", domain).field("reason", error).error().write();
                }
                Some(policy)
            }
            Err(reason) => {
                log::event("sts-failed").field("domain", domain).field("reason", reason).write();
                self.remember(domain, id, now);
                kept.map(|kept| kept.policy)
            }
        }
    }

    fn is_paused(&self, domain: &str, id: &str, now: Timestamp) -> bool {
        let Ok(failed) = self.failed.lock() else { return false };
        failed.get(domain).is_some_and(|(failed, when)| failed == id && now.since(*when) < PAUSE)
    }

    fn remember(&self, domain: &str, id: &str, now: Timestamp) {
        let Ok(mut failed) = self.failed.lock() else { return };
        if failed.len() >= FAILURES {
            failed.clear();
        }
        failed.insert(domain.to_string(), (id.to_string(), now));
    }

    fn read(&self, domain: &str) -> Option<Kept> {
        let bytes = fsx::read(&self.dir.join(domain), 2 * POLICY_LIMIT as u64).ok()?;
        let text = std::str::from_utf8(&bytes).ok()?;
        let (head, policy) = text.split_once("\n\n")?;
        let mut lines = head.lines();
        if lines.next()? != "em-sts 1" {
            return None;
        }
        let id = lines.next()?.strip_prefix("id=")?.to_string();
        let fetched = Timestamp::from_seconds(lines.next()?.strip_prefix("fetched=")?.parse().ok()?);
        Some(Kept { id, fetched, policy: StsPolicy::parse(policy).ok()? })
    }

    fn write(&self, domain: &str, id: &str, text: &str, now: Timestamp) -> std::io::Result<()> {
        fsx::create_dirs(&self.dir, 0o700)?;
        let file = format!("em-sts 1\nid={id}\nfetched={}\n\n{text}", now.seconds());
        fsx::replace(&self.dir.join(domain), file.as_bytes(), 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::super::sts::Mode;
    use super::*;

    const NOW: Timestamp = Timestamp(1_795_522_071_000_000);
    const POLICY: &str = "version: STSv1\nmode: enforce\nmx: a.test\nmax_age: 172800\n";

    /// Serves a text, and counts.
    #[derive(Default)]
    struct Server {
        text: Mutex<Option<String>>,
        count: Mutex<usize>,
    }

    impl Fetch for Server {
        fn policy(&self, _: &str) -> Result<String, String> {
            *self.count.lock().unwrap() += 1;
            self.text.lock().unwrap().clone().ok_or_else(|| "404".to_string())
        }
    }

    #[test]
    fn a_policy_outlives_what_dns_and_the_server_say_until_its_age_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let server = Arc::new(Server::default());
        let store = || StsStore::new(&dir.path().join("sts"), server.clone());
        let (first, count) = (store(), || *server.count.lock().unwrap());
        let hours = |n: u64| NOW.after(Duration::from_secs(n * 3600));
        assert_eq!(first.policy("d.test", None, NOW), None);
        assert_eq!(count(), 0);
        *server.text.lock().unwrap() = Some(POLICY.to_string());
        assert_eq!(first.policy("d.test", Some("1"), NOW).unwrap().mode, Mode::Enforce);
        *server.text.lock().unwrap() = None;
        // Another process, the same id: nothing is fetched. No record any more: still in force.
        assert_eq!(store().policy("d.test", Some("1"), hours(23)).unwrap().mode, Mode::Enforce);
        assert_eq!(store().policy("d.test", None, hours(47)).unwrap().mode, Mode::Enforce);
        assert_eq!(count(), 1);
        // A new id that can't be fetched.
        let other = store();
        assert_eq!(other.policy("d.test", Some("2"), hours(47)).unwrap().mode, Mode::Enforce);
        assert_eq!(other.policy("d.test", Some("2"), hours(47)).unwrap().mode, Mode::Enforce);
        assert_eq!(count(), 2, "a failure is remembered");
        assert_eq!(store().policy("d.test", None, hours(48)), None);
    }

    #[test]
    fn a_new_id_and_a_day_make_it_fetched_again() {
        let dir = tempfile::tempdir().unwrap();
        let server = Arc::new(Server::default());
        let store = StsStore::new(dir.path(), server.clone());
        *server.text.lock().unwrap() = Some(POLICY.to_string());
        store.policy("d.test", Some("1"), NOW);
        *server.text.lock().unwrap() = Some(POLICY.replace("enforce", "none"));
        assert_eq!(store.policy("d.test", Some("2"), NOW).unwrap().mode, Mode::None);
        assert_eq!(store.policy("d.test", Some("2"), NOW.after(REFRESH)).unwrap().mode, Mode::None);
        assert_eq!(*server.count.lock().unwrap(), 3);
    }

    #[test]
    fn nonsense_is_no_policy_and_a_broken_file_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let server = Arc::new(Server::default());
        let store = StsStore::new(dir.path(), server.clone());
        *server.text.lock().unwrap() = Some("<html>".to_string());
        assert_eq!(store.policy("d.test", Some("1"), NOW), None);
        assert_eq!(store.policy("d.test", Some("1"), NOW.after(PAUSE / 2)), None);
        assert_eq!(*server.count.lock().unwrap(), 1);
        *server.text.lock().unwrap() = Some(POLICY.to_string());
        assert!(store.policy("d.test", Some("1"), NOW.after(PAUSE)).is_some());
        std::fs::write(dir.path().join("d.test"), "em-sts 1\nid=1\nfetc").unwrap();
        assert_eq!(store.policy("d.test", None, NOW), None);
    }
}
