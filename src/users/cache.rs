//! Passwords that were right a moment ago, for mail clients that log in every minute.
//!
//! Called by `serve` around each login by password. Nothing here is written to disk, and no password is kept.

use super::{Account, LoggedIn, Source};
use crate::sasl::hmac_sha256;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Keyed digests of passwords that were right: argon2 costs once, not at each poll of a mail client.
///
/// The digest covers name, password and stored hash, so a changed password is never taken from here. Passwords that another directory
/// checks have no hash that we know: a changed one still works until its time here is over.
#[derive(Debug)]
pub struct Cache {
    key: [u8; 32],
    life: Duration,
    seen: Mutex<BTreeMap<[u8; 32], Instant>>,
}

/// Shows that a password was found in the cache.
#[derive(Debug)]
pub struct Remembered(());

/// Most digests held.
const CACHE_LIMIT: usize = 100_000;

impl Cache {
    /// An empty cache with its own random key.
    pub fn new(life: Duration) -> Cache {
        let mut key = [0; 32];
        // Without randomness nothing is remembered.
        let life = if getrandom::fill(&mut key).is_ok() { life } else { Duration::ZERO };
        Cache { key, life, seen: Default::default() }
    }

    /// Looks for a password that was right less than `life` ago.
    pub fn recall(&self, account: &Account, password: &str, now: Instant) -> Option<Remembered> {
        let digest = self.digest(account, password)?;
        let seen = self.seen.lock().ok()?;
        let since = now.saturating_duration_since(*seen.get(&digest)?);
        (since < self.life).then_some(Remembered(()))
    }

    /// Remembers a password that was right.
    pub fn remember(&self, login: &LoggedIn, password: &str, now: Instant) {
        if let (Some(digest), Ok(mut seen)) = (self.digest(&login.account, password), self.seen.lock()) {
            if seen.len() >= CACHE_LIMIT {
                seen.clear();
            }
            seen.insert(digest, now);
        }
    }

    fn digest(&self, account: &Account, password: &str) -> Option<[u8; 32]> {
        let stored = match account.source {
            _ if self.life.is_zero() => return None,
            Source::File => account.password()?,
            Source::System => "system",
            Source::Program => "program",
        };
        let text = format!("{}\0{stored}\0{password}", account.address);
        Some(hmac_sha256(&self.key, text.as_bytes()))
    }
}
