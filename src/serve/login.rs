//! Logins for all services: look-ups for SASL, the password cache, growing pauses after failures.
//!
//! A name without a domain means our first domain. Known and unknown names get the same answers in the same time.

use crate::addr::Address;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::fsx;
use crate::log;
use crate::policy::client_network;
use crate::sasl::{Evidence, Found, Lookup, ScramKeys};
use crate::status::{Enhanced, Failure};
use crate::users::{self, Account, Accounts, Cache, Directory, LoggedIn, Source, weakness_of};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Longest pause after a failed login.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Failures are forgotten after this time.
const MEMORY: Duration = Duration::from_secs(900);
/// Most clients whose failures are remembered.
const CLIENTS_LIMIT: usize = 100_000;

/// Where logins are granted; one for a process.
#[derive(Debug)]
pub struct LoginDesk {
    site: Arc<Site>,
    users: Accounts,
    cache: Cache,
    /// Makes the SCRAM salts of names that have no account.
    secret: OnceLock<[u8; 32]>,
    failures: Mutex<HashMap<IpAddr, (u32, Instant)>>,
}

/// A login was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denied {
    /// Wait so long before saying so.
    pub pause: Duration,
    /// `None` for wrong credentials, otherwise the directory's own trouble or a rule.
    pub failure: Option<Failure>,
}

impl LoginDesk {
    /// A desk for a site.
    pub fn new(site: Arc<Site>) -> LoginDesk {
        LoginDesk {
            users: Accounts::of(&site),
            cache: Cache::new(site.settings.auth.cache),
            secret: OnceLock::new(),
            failures: Mutex::new(HashMap::new()),
            site,
        }
    }

    /// True when some account can use CRAM-MD5 and APOP.
    pub fn has_secrets(&self) -> bool {
        self.users.has_secrets()
    }

    /// The account of an address, whether it may log in or not.
    pub fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure> {
        self.users.find(address)
    }

    /// A nonce that nobody can guess.
    pub fn nonce(&self) -> String {
        let mut bytes = [0; 18];
        if getrandom::fill(&mut bytes).is_err() {
            // A guessable nonce would let an old proof be used again: none at all is refused by the machines.
            return String::new();
        }
        encodify::base64::URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The account's address for a login name. Nothing but the address itself: `Alice <alice@example.org>` is no name.
    pub(super) fn address(&self, user: &str) -> Option<Address> {
        match user.contains('@') {
            true => Address::parse(user).ok(),
            false => Address::new(user, &self.site.default_domain()).ok(),
        }
    }

    /// One secret for all processes and for good: a salt that changed with the process would tell that nobody has this name. Made when
    /// it is first needed; where it can't be kept, this process has its own.
    fn secret(&self) -> &[u8; 32] {
        self.secret.get_or_init(|| {
            let path = self.site.root.run().join("salt.secret");
            let kept = || <[u8; 32]>::try_from(fsx::read(&path, 32).ok()?).ok();
            kept().unwrap_or_else(|| {
                let mut secret = [0; 32];
                // Without randomness made-up salts could be told from real ones; nothing worse.
                let _ = getrandom::fill(&mut secret);
                // Another process may have been faster: what lies there in the end is everybody's.
                let _ = fsx::replace(&path, &secret, 0o600);
                kept().unwrap_or(secret)
            })
        })
    }

    /// True when a look-up may wait for another program.
    pub fn may_wait(&self) -> bool {
        self.users.may_wait()
    }

    /// The account of a login name, also one that is locked.
    pub(super) fn account(&self, user: &str) -> Result<Option<Arc<Account>>, Failure> {
        match self.address(user) {
            Some(address) => self.users.find(&address),
            None => Ok(None),
        }
    }

    /// The account of a login name in etc/users, also one that is locked. Other directories know no keys and no secrets.
    fn own_account(&self, user: &str) -> Result<Option<Arc<Account>>, Failure> {
        match self.address(user) {
            Some(address) => self.users.file().find(&address),
            None => Ok(None),
        }
    }

    /// What SASL wants to know about a name.
    pub fn look_up(&self, lookup: &Lookup) -> Found {
        match lookup {
            Lookup::Scram(user) => {
                let keys = self.own_account(user).ok().flatten().and_then(|a| a.scram());
                // All spellings of a name get one salt, as those of a real account do.
                let name = || self.address(user).map_or_else(|| user.clone(), |a| a.to_key().to_string());
                Found::Scram(keys.unwrap_or_else(|| ScramKeys::made_up(self.secret(), &name())))
            }
            Lookup::Secret(user) => {
                let account = self.own_account(user).ok().flatten();
                Found::Secret(account.and_then(|a| a.secret().map(str::to_string)))
            }
        }
    }

    /// Grants a login for a service, or says why not. May take as long as a password hash.
    pub fn log_in(
        &self,
        evidence: &Evidence,
        service: &'static str,
        ip: Option<IpAddr>,
        now: Instant,
    ) -> Result<LoggedIn, Denied> {
        let (user, method) = match evidence {
            Evidence::Password { user, .. } => (user.as_str(), "password"),
            Evidence::Proven(proven) => (proven.user(), proven.mechanism()),
            Evidence::Wrong { user } => (user.as_str(), "proof"),
        };
        let granted = self.grant(evidence, user, service, now);
        let mut reason = None;
        let result = match granted {
            // Who comes from elsewhere does not hear that the password is right.
            Ok(Some(login)) if !login.account().may_log_in_from(ip) => {
                reason = Some("networks".to_string());
                Err(Denied { pause: self.blame(ip, now), failure: None })
            }
            Ok(Some(login)) => match refused(&login, service) {
                None => {
                    self.forgive(ip);
                    Ok(login)
                }
                Some(failure) => {
                    reason = Some(failure.cause.clone());
                    let failure = failure.clone().with_code(if failure.is_temporary() { 454 } else { 535 });
                    Err(Denied { pause: Duration::ZERO, failure: Some(failure) })
                }
            },
            Ok(None) => Err(Denied { pause: self.blame(ip, now), failure: None }),
            // RFC 4954 §6.
            Err(failure) => {
                let failure = Failure { enhanced: Enhanced(4, 7, 0), ..failure.with_code(454) };
                Err(Denied { pause: Duration::ZERO, failure: Some(failure) })
            }
        };
        let name = if result.is_ok() { "login" } else { "login-failed" };
        log::event(name)
            .field("service", service)
            .field("user", user)
            .field("method", method)
            .maybe("ip", ip)
            .maybe("reason", reason)
            .write();
        result
    }

    fn grant(&self, evidence: &Evidence, user: &str, service: &str, now: Instant) -> Result<Option<LoggedIn>, Failure> {
        let Some(address) = self.address(user) else {
            // The same work as for an address, so that nobody can tell.
            crate::users::check_password("", None);
            return Ok(None);
        };
        match evidence {
            Evidence::Wrong { .. } => Ok(None),
            Evidence::Proven(proven) => self.users.log_in_proven(&address, proven),
            Evidence::Password { password, .. } => {
                if let Some(account) = self.users.find(&address)? {
                    if let Some(seen) = self.cache.recall(&account, password, now) {
                        return Ok(self.users.log_in_again(account, &seen));
                    }
                    if let Some(login) = self.users.log_in_by_app(&account, password, service) {
                        return Ok(Some(login));
                    }
                }
                let login = self.users.log_in(&address, password)?;
                if let Some(login) = &login {
                    self.cache.remember(login, password, now);
                }
                Ok(login)
            }
        }
    }

    /// Counts a failure; gives the pause before the answer: doubling up to a limit.
    fn blame(&self, ip: Option<IpAddr>, now: Instant) -> Duration {
        let first = self.site.settings.auth.failure_delay;
        let (Some(ip), Ok(mut failures)) = (ip.map(client_network), self.failures.lock()) else { return first };
        if failures.len() >= CLIENTS_LIMIT {
            failures.retain(|_, (_, when)| now.saturating_duration_since(*when) < MEMORY);
            // An attack from everywhere: to search all of it at each failure would be worse than to begin anew.
            if failures.len() >= CLIENTS_LIMIT {
                failures.clear();
            }
        }
        let (count, when) = failures.entry(ip).or_insert((0, now));
        if now.saturating_duration_since(*when) >= MEMORY {
            *count = 0;
        }
        *when = now;
        *count += 1;
        first.saturating_mul(1 << (*count - 1).min(10)).min(LONGEST_PAUSE.max(first))
    }

    fn forgive(&self, ip: Option<IpAddr>) {
        if let (Some(ip), Ok(mut failures)) = (ip.map(client_network), self.failures.lock()) {
            failures.remove(&ip);
        }
    }

    /// Sets an account's new password (poppassd), if it is good enough.
    pub fn change_password(&self, login: &LoggedIn, password: &str) -> Result<(), Failure> {
        if login.account().source() != Source::File {
            return Err(Failure::permanent(
                (7, 0),
                "The password of this account is not changed here",
                "another directory",
            ));
        }
        let settings = &self.site.settings.accounts;
        let address = &login.account().address;
        let refused = |text: String| Failure::permanent((7, 0), text, "");
        if let Some(weakness) = weakness_of(password, login.account(), settings) {
            return Err(refused(weakness));
        }
        // Hashed before the lock is taken: others need not wait for that.
        let mut fresh = login.account().clone();
        fresh.set_password(password, &settings.password_scheme, false).map_err(|e| refused(e.to_string()))?;
        let changed = self.users.file().update(|accounts| {
            let account = accounts
                .get_mut(&users::key(address))
                .ok_or_else(|| std::io::Error::new(std::io::ErrorKind::NotFound, "the account is gone"))?;
            for word in ["pw", "scram"] {
                account.put(word, fresh.field(word).map(str::to_string));
            }
            if account.secret().is_some() {
                account.put("apop", Some(password.to_string()));
            }
            account.put("must_change", None);
            Ok::<_, std::io::Error>(())
        });
        changed.map_err(|e| Failure::local(&e))?;
        log::event("password-changed").field("user", address).write();
        Ok(())
    }

    /// The challenge of APOP in a greeting; empty, which offers no APOP, when nobody can use it or randomness is missing.
    pub fn stamp(&self, now: Timestamp) -> String {
        match self.nonce() {
            nonce if nonce.is_empty() || !self.has_secrets() => String::new(),
            nonce => format!("<{nonce}.{}@{}>", now.0, self.site.hostname()),
        }
    }
}

/// Why a login with the right password is not granted; said openly, for its owner is there.
fn refused(login: &LoggedIn, service: &str) -> Option<Failure> {
    if !login.account().may_use(service) {
        return Some(Failure::permanent((7, 0), "This service is not enabled for the account", "services"));
    }
    if login.account().is_moving() {
        return Some(Failure::temporary((3, 0), "The mailbox is being moved, try again later", "moving"));
    }
    // The one service where it can be changed.
    if login.account().must_change_password() && service != "poppass" {
        let text = "Set a new password first, at the password server or with your administrator";
        return Some(Failure::permanent((7, 0), text, "must-change-password"));
    }
    None
}
