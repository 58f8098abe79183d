//! Accounts: etc/users, one line each, sorted by name; and other directories beside it ([`Accounts`]).
//!
//! Called by `route` (does this mailbox exist?), `serve` (logins) and `emuser`.
//! Format: first line `# em-users 1`, with ` apop` behind it when an account has a recoverable secret; then `NAME key=value …` (see `fields`), sorted by the bytes of NAME, which is
//! the account's address in lower case. Words that this version does not know are kept.
//! A line `NAME alias-of=ACCOUNT` is a further address of an account (see [`alias`]).
//! Lookup: binary search with pread in the file as it lies; a hundred thousand accounts cost as little as ten.
//! Change: the whole file is written anew under the lock etc/.users.lock and renamed into place; readers
//! see the old text or the new one.

mod alias;
mod app_password;
mod attributes;
mod cache;
mod departed;
mod directory;
mod expiry;
mod file;
mod homes;
mod password;
pub mod sheet;
mod standing;
mod weakness;

pub use alias::{Clash, aliases_of};
pub use app_password::{APP_PASSWORDS_LIMIT, generate_password, is_app_name};
pub use attributes::{ATTRIBUTES, Attribute, SERVICES};
pub use cache::{Cache, Remembered};
pub use departed::{Departed, GivenRights, Note};
pub use directory::{Accounts, Checkpassword, Directory, System};
pub use expiry::Expiry;
pub use homes::{directory_name, domain_home, home};
pub use password::{
    PasswordError, check as check_password, check_new, hash as hash_password, is_known as is_known_hash,
};
pub use weakness::weakness_of;

use crate::addr::Address;
use crate::config::Site;
use crate::fields;
use crate::fsx::{self, Glance, Identity, Lock, LockError, Seen};
use crate::mailbox::Quota;
use crate::sasl::ScramKeys;
use alias::ALIAS_OF;
use file::LINE_LIMIT;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a change waits for another one.
const LOCK_PATIENCE: Duration = Duration::from_secs(30);
/// The first line, and the word that is added when an account has a recoverable secret.
const HEADER: &str = "# em-users 1";
const HEADER_SECRETS: &str = " apop";
/// Largest file read whole, in octets: some millions of accounts.
const FILE_LIMIT: u64 = 4 << 30;

/// One account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Its address, which is also its login name.
    pub address: Address,
    source: Source,
    fields: BTreeMap<String, String>,
}

/// Which directory an account comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// etc/users.
    File,
    /// The operating system.
    System,
    /// A program.
    Program,
}

impl Source {
    /// Its name for people.
    pub fn name(self) -> &'static str {
        match self {
            Source::File => "file",
            Source::System => "system",
            Source::Program => "program",
        }
    }
}

impl Account {
    /// An account without anything.
    pub fn new(address: &Address) -> Account {
        Account::from(address, Source::File)
    }

    /// The same, of another directory.
    fn from(address: &Address, source: Source) -> Account {
        Account { address: address.to_key(), source, fields: BTreeMap::new() }
    }

    /// The directory that knows it.
    pub fn source(&self) -> Source {
        self.source
    }

    /// The password hash, PHC or crypt(3) form; none means that no password fits.
    pub fn password(&self) -> Option<&str> {
        self.field("pw")
    }

    /// SCRAM keys.
    pub fn scram(&self) -> Option<ScramKeys> {
        self.field("scram").and_then(ScramKeys::parse)
    }

    /// The recoverable secret of APOP and CRAM-MD5.
    pub fn secret(&self) -> Option<&str> {
        self.field("apop")
    }

    /// Its quota; of `default` what the account has no own value for.
    pub fn quota(&self, default: Quota) -> Quota {
        let own = |key: &str| self.field(key).and_then(|value| value.parse().ok());
        Quota {
            octets: own("quota").unwrap_or(default.octets),
            messages: own("quota_messages").unwrap_or(default.messages),
        }
    }

    /// The person's name.
    pub fn name(&self) -> &str {
        self.field("name").unwrap_or("")
    }

    /// True when logins are refused; mail is still taken.
    pub fn is_locked(&self) -> bool {
        self.field("locked").is_some()
    }

    /// True when this service may be used: no list means all.
    pub fn may_use(&self, service: &str) -> bool {
        self.field("services").is_none_or(|list| list.split(',').any(|s| s == service))
    }

    /// A field's value.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.get(key).map(String::as_str)
    }

    /// Sets or clears a field.
    pub fn put(&mut self, key: &str, value: Option<String>) {
        match value {
            Some(value) => self.fields.insert(key.to_string(), value),
            None => self.fields.remove(key),
        };
    }

    /// Sets the password: hash, SCRAM keys, and the recoverable secret when the account has (or asks for) one.
    pub fn set_password(&mut self, password: &str, scheme: &str, keep_secret: bool) -> Result<(), PasswordError> {
        let hash = hash_password(password, scheme)?;
        let mut salt = [0; 16];
        getrandom::fill(&mut salt).map_err(|_| PasswordError::Random)?;
        self.put("pw", Some(hash));
        self.put("scram", Some(ScramKeys::derive(password, &salt).print()));
        if keep_secret || self.secret().is_some() {
            self.put("apop", Some(password.to_string()));
        }
        Ok(())
    }

    fn key(&self) -> String {
        name_key(&self.address)
    }

    fn print(&self) -> String {
        let mut line = self.key();
        for (key, value) in &self.fields {
            fields::push(&mut line, key, value);
        }
        line
    }

    fn parse(line: &str) -> Option<Account> {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let address = Address::parse(&fields::decode(name)?).ok()?;
        Some(Account { address, source: Source::File, fields: fields::pairs(rest)?.into_iter().collect() })
    }
}

/// The key of an address in [`Users::update`]'s map.
pub fn key(address: &Address) -> String {
    name_key(address)
}

/// The word under which an address is sorted and found.
fn name_key(address: &Address) -> String {
    let (local, domain) = (address.local(), address.domain());
    // Most names: nothing to quote, nothing to encode.
    if domain.is_ascii() && local.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let mut key = String::with_capacity(local.len() + domain.len() + 1);
        key.push_str(local);
        key.make_ascii_lowercase();
        key.push('@');
        key.push_str(domain);
        return key;
    }
    fields::encode(&address.to_key().to_string())
}

/// A login that was granted; only [`Accounts`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedIn {
    account: Arc<Account>,
}

impl LoggedIn {
    /// Whose login.
    pub fn account(&self) -> &Account {
        &self.account
    }
}

/// etc/users.
///
/// A process remembers what it has looked up for as long as the file stays the same one.
#[derive(Debug, Clone)]
pub struct Users {
    path: PathBuf,
    lock: PathBuf,
    known: Arc<RwLock<Known>>,
}

/// What was found in one state of the file.
#[derive(Debug, Default)]
struct Known {
    file: Option<Arc<Seen>>,
    accounts: HashMap<String, Option<Arc<Account>>>,
}

/// Most accounts remembered.
const KNOWN_LIMIT: usize = 10_000;

impl Users {
    /// The accounts of a site.
    pub fn of(site: &Site) -> Users {
        Users::at(site.root.etc.join("users"), site.root.etc.join(".users.lock"))
    }

    fn at(path: PathBuf, lock: PathBuf) -> Users {
        Users { path, lock, known: Default::default() }
    }

    /// The file.
    pub fn path(&self) -> &std::path::Path {
        &self.path
    }

    /// One account, by binary search.
    pub fn lookup(&self, address: &Address) -> io::Result<Option<Arc<Account>>> {
        let key = name_key(address);
        // A panic while it was held leaves look-ups that are as good as before.
        let remembered = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let seen = match remembered.file.clone().filter(|file| file.is_current()) {
            Some(seen) => seen,
            None => {
                drop(remembered);
                return self.look_anew(&key);
            }
        };
        if let Some(found) = remembered.accounts.get(&key) {
            return Ok(found.clone());
        }
        // Others need not wait for our reading.
        drop(remembered);
        self.read_account(key, &seen)
    }

    /// The same with the file as it is now.
    fn look_anew(&self, key: &str) -> io::Result<Option<Arc<Account>>> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        // Another one may have been faster.
        let seen = match known.file.clone().filter(|file| file.is_current()) {
            Some(seen) => seen,
            None => {
                let seen = Arc::new(Seen::of(&self.path));
                *known = Known { file: Some(seen.clone()), accounts: HashMap::new() };
                seen
            }
        };
        drop(known);
        self.read_account(key.to_string(), &seen)
    }

    fn read_account(&self, key: String, seen: &Arc<Seen>) -> io::Result<Option<Arc<Account>>> {
        let found = match seen.file() {
            Some(file) => self.search(file, &key)?,
            // A file that can't be looked at is a mistake, not an empty one; a symbolic link is followed each time.
            None if Identity::of(&self.path)?.is_some() => return self.search(&fsx::open_read(&self.path)?, &key),
            None => return Ok(None),
        };
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.file.as_ref().is_some_and(|file| Arc::ptr_eq(file, seen)) {
            if known.accounts.len() >= KNOWN_LIMIT {
                known.accounts.clear();
            }
            known.accounts.insert(key, found.clone());
        }
        Ok(found)
    }

    fn search(&self, file: &File, key: &str) -> io::Result<Option<Arc<Account>>> {
        let Some(found) = self.search_line(file, key)? else { return Ok(None) };
        let Some(owner) = found.field(ALIAS_OF).and_then(|owner| Address::parse(owner).ok()) else {
            return Ok(Some(Arc::new(found)));
        };
        let owner = self.search_line(file, &name_key(&owner))?;
        let confirms = |owner: &Account| owner.aliases().any(|alias| name_key(&alias) == key);
        Ok(owner.filter(confirms).map(Arc::new))
    }

    fn search_line(&self, file: &File, key: &str) -> io::Result<Option<Account>> {
        let line = file
            .metadata()
            .and_then(|m| file::search(file, m.len(), key))
            .map_err(|e| fsx::context("read", &self.path, e))?;
        let damaged = || fsx::context("read", &self.path, invalid(&format!("damaged line for {key}")));
        line.map(|line| Account::parse(&line).ok_or_else(damaged)).transpose()
    }

    /// True when APOP and CRAM-MD5 can work for anybody; nothing is offered that nobody can use.
    pub fn has_secrets(&self) -> bool {
        use std::io::Read;
        let mut head = [0; HEADER.len() + HEADER_SECRETS.len()];
        let read = fsx::open_read(&self.path).and_then(|mut file| file.read_exact(&mut head));
        read.is_ok() && head.ends_with(HEADER_SECRETS.as_bytes())
    }

    /// All accounts, sorted.
    pub fn list(&self) -> io::Result<Vec<Account>> {
        let bytes = match fsx::read(&self.path, FILE_LIMIT) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other?,
        };
        let mut all = file::parse(&bytes)
            .map_err(|(line, what)| fsx::context("read", &self.path, invalid(&format!("line {line}: {what}"))))?;
        all.retain(|account| account.field(ALIAS_OF).is_none());
        Ok(all)
    }

    /// Changes the set of accounts under the lock; nothing is written when `change` fails.
    pub fn update<T, E: From<io::Error>>(
        &self,
        change: impl FnOnce(&mut BTreeMap<String, Account>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _lock = Lock::wait(&self.lock, LOCK_PATIENCE).map_err(|e| match e {
            LockError::Io(e) => e,
            held => fsx::context("lock", &self.lock, io::Error::new(io::ErrorKind::WouldBlock, held.to_string())),
        })?;
        let mut accounts: BTreeMap<String, Account> = self.list()?.into_iter().map(|a| (a.key(), a)).collect();
        let result = change(&mut accounts)?;
        let refused = |text: String| io::Error::new(io::ErrorKind::InvalidInput, text);
        let aliases = aliases_of(&accounts).map_err(|clash| refused(clash.to_string()))?;
        if let Some(long) = accounts.values().find(|account| !account.fits()) {
            return Err(refused(format!("{}: all in all it has more than {LINE_LIMIT} octets", long.address)).into());
        }
        let mut text = String::from(HEADER);
        if accounts.values().any(|a| a.secret().is_some()) {
            text.push_str(HEADER_SECRETS);
        }
        text.push('\n');
        text.push_str(&alias::print_all(&accounts, &aliases));
        fsx::replace(&self.path, text.as_bytes(), 0o600)?;
        Glance::renew();
        Ok(result)
    }
}

fn invalid(text: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users(dir: &std::path::Path) -> Users {
        Users::at(dir.join("users"), dir.join("lock"))
    }

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    fn add(users: &Users, names: &[&str]) {
        users
            .update(|all| {
                for name in names {
                    let account = Account::new(&address(name));
                    all.insert(account.key(), account);
                }
                Ok::<_, io::Error>(())
            })
            .unwrap();
    }

    #[test]
    fn accounts_are_found_in_any_case() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(dir.path());
        assert_eq!(users.lookup(&address("a@b.test")).unwrap(), None);
        add(&users, &["bob@b.test", "alice@b.test", "\"a b\"@b.test", "日本@b.test"]);
        for name in ["ALICE@B.test", "bob@b.test", "\"a b\"@b.test", "日本@b.test"] {
            assert!(users.lookup(&address(name)).unwrap().is_some(), "{name}");
        }
        for name in ["alic@b.test", "alicee@b.test", "zed@b.test", "0@b.test", "alice@b.tes"] {
            assert_eq!(users.lookup(&address(name)).unwrap(), None, "{name}");
        }
    }

    #[test]
    fn unknown_fields_survive_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(dir.path());
        std::fs::write(dir.path().join("users"), "# em-users 1\nbob@b.test future=x%20y quota=5\n").unwrap();
        add(&users, &["alice@b.test"]);
        let text = std::fs::read_to_string(dir.path().join("users")).unwrap();
        assert_eq!(text, "# em-users 1\nalice@b.test\nbob@b.test future=x%20y quota=5\n");
        assert_eq!(
            users.lookup(&address("bob@b.test")).unwrap().unwrap().quota(Quota { octets: 9, messages: 7 }),
            Quota { octets: 5, messages: 7 }
        );
    }

    #[test]
    fn a_home_never_leaves_the_mail_tree() {
        let home = |text: &str| home(std::path::Path::new("/m"), &address(text)).display().to_string();
        assert_eq!(home("Alice@example.test"), "/m/example.test/alice");
        assert_eq!(home("\"../../etc\"@example.test"), "/m/example.test/%2e.%2f..%2fetc");
        assert_eq!(home("\"..\"@example.test"), "/m/example.test/%2e.");
        assert_eq!(home("\"a b\"@example.test"), "/m/example.test/a%20b");
    }

    #[test]
    fn passwords_and_the_cache() {
        let dir = tempfile::tempdir().unwrap();
        let users = users(dir.path());
        let alice = address("alice@b.test");
        users
            .update(|all| {
                let mut account = Account::new(&alice);
                account.set_password("secret", "argon2id", true).unwrap();
                all.insert(account.key(), account);
                Ok::<_, io::Error>(())
            })
            .unwrap();
        let now = std::time::Instant::now();
        let cache = Cache::new(Duration::from_secs(60));
        let file = users.clone();
        let users = Accounts::with(&file, vec![Arc::new(file.clone())]);
        let login = users.log_in(&alice, "secret").unwrap().unwrap();
        assert!(users.log_in(&alice, "Secret").unwrap().is_none());
        assert!(users.log_in(&address("nobody@b.test"), "secret").unwrap().is_none());
        assert!(cache.recall(login.account(), "secret", now).is_none());
        cache.remember(&login, "secret", now);
        assert!(cache.recall(login.account(), "secret", now + Duration::from_secs(59)).is_some());
        assert!(cache.recall(login.account(), "other", now).is_none());
        assert!(cache.recall(login.account(), "secret", now + Duration::from_secs(60)).is_none());
        assert_eq!(login.account().secret(), Some("secret"));
        assert!(users.has_secrets());
        assert!(login.account().scram().is_some());
    }
}
