//! A directory that is one program with the checkpassword interface.
//!
//! Look-ups follow the extension that Dovecot made: with `AUTHORIZED=1` in its environment the program looks up the name without
//! regard to the password; it sets `AUTHORIZED=2` when it knows it, and exits with 3 when it does not.
//! The program may tell more in its environment: `em_quota`, `em_quota_messages`, `em_services`, `em_name` and `em_node`.
//! What it said about a name is remembered for a short time; a program is too dear to run at each RCPT.

use super::program::Program;
use super::{Account, Directory};
use crate::addr::Address;
use crate::config::Site;
use crate::settings::Size;
use crate::status::Failure;
use crate::users::Source;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long the program's word on a name it knows is good.
const KNOWN_LIFE: Duration = Duration::from_secs(60);
/// The same for a name it does not know: somebody may have made the account a moment ago.
const UNKNOWN_LIFE: Duration = Duration::from_secs(10);
/// Most names remembered.
const SEEN_LIMIT: usize = 10_000;

/// A name as the program last knew it.
type Seen = (Instant, Option<Arc<Account>>);

/// The accounts that a program knows.
#[derive(Debug)]
pub struct Checkpassword {
    program: Program,
    seen: Mutex<HashMap<String, Seen>>,
}

impl Checkpassword {
    /// The accounts of this program.
    pub fn new(site: &Site, argv: &[String]) -> Checkpassword {
        let program = Program::new(argv, site.settings.accounts.directory_timeout);
        Checkpassword { program, seen: Mutex::default() }
    }

    fn recall(&self, name: &str) -> Option<Option<Arc<Account>>> {
        let seen = self.seen.lock().ok()?;
        let (when, account) = seen.get(name)?;
        let life = if account.is_some() { KNOWN_LIFE } else { UNKNOWN_LIFE };
        (when.elapsed() < life).then(|| account.clone())
    }

    fn remember(&self, name: String, account: Option<Arc<Account>>) {
        if let Ok(mut seen) = self.seen.lock() {
            if seen.len() >= SEEN_LIMIT {
                seen.clear();
            }
            seen.insert(name, (Instant::now(), account));
        }
    }
}

impl Directory for Checkpassword {
    fn find(&self, address: &Address) -> Result<Option<Arc<Account>>, Failure> {
        let name = address.to_key().to_string();
        if let Some(account) = self.recall(&name) {
            return Ok(account);
        }
        let answer = self.program.look_up(&name)?;
        let account = answer.map(|environment| Arc::new(account(address, &environment)));
        self.remember(name, account.clone());
        Ok(account)
    }

    /// The interface has no such question.
    fn list(&self) -> std::io::Result<Option<Vec<Account>>> {
        Ok(None)
    }

    fn is_password(&self, account: &Account, password: &str) -> Result<bool, Failure> {
        self.program.log_in(&account.address.to_string(), password)
    }
}

/// The account as the program's environment describes it. A value that is none is left out.
fn account(address: &Address, environment: &BTreeMap<String, String>) -> Account {
    let mut account = Account::from(address, Source::Program);
    let value = |name: &str| environment.get(name).filter(|v| !v.is_empty() && !v.contains(char::is_control));
    let quota = value("em_quota").and_then(|v| v.parse::<Size>().ok()).map(|size| size.0.to_string());
    account.put("quota", quota);
    account
        .put("quota_messages", value("em_quota_messages").and_then(|v| v.parse::<u32>().ok()).map(|n| n.to_string()));
    for (variable, field) in [("em_services", "services"), ("em_name", "name"), ("em_node", "node")] {
        account.put(field, value(variable).cloned());
    }
    account
}
