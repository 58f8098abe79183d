//! Whose mailboxes a command means: an account's, or a domain's own.

use super::{account, of_store};
use crate::addr::normal_domain;
use crate::cli::Ended;
use crate::clock::Timestamp;
use crate::config::Site;
use crate::status::Exit;
use crate::store::{INBOX, LOCK_PATIENCE, Realm, Registry, StoreSettings, Tree};
use crate::users::Users;
use std::sync::Arc;

/// Reads `user@domain`, `shared`, `shared:DOMAIN`, `public` or `public:DOMAIN`. An account must be there.
pub(super) fn owner(text: &str, site: &Site, users: &Users) -> Result<Realm, Ended> {
    let (word, domain) = text.split_once(':').unwrap_or((text, ""));
    let realm: fn(String) -> Realm = match word {
        "shared" => Realm::Shared,
        "public" => Realm::Public,
        _ => return Ok(Realm::Account(account(text, site, users)?.address)),
    };
    let domain = match domain {
        "" => site.default_domain(),
        domain => normal_domain(domain).map_err(|e| Ended::new(Exit::Usage, format!("{domain:?}: {e}")))?,
    };
    match site.is_local(&domain) {
        true => Ok(realm(domain)),
        false => Err(Ended::new(Exit::Config, format!("{domain} is not a domain of ours"))),
    }
}

/// The mailboxes; an account's INBOX is made when it is missing.
pub(super) fn tree(site: &Site, realm: &Realm) -> Result<Tree, Ended> {
    match realm {
        Realm::Account(_) => open(site, realm),
        Realm::Shared(_) | Realm::Public(_) => {
            let found = Tree::existing(registry(site), &realm.home(&site.root.mail));
            found.ok_or_else(|| Ended::new(Exit::DataErr, format!("{realm} has no mailboxes; see emuser share create")))
        }
    }
}

/// The same; a domain's tree is made when it is missing, too.
pub(super) fn open(site: &Site, realm: &Realm) -> Result<Tree, Ended> {
    Tree::open(registry(site), &realm.home(&site.root.mail)).map_err(|e| of_store(&e))
}

/// The name of a mailbox in its usual spelling; the root of a domain's tree is none.
pub(super) fn mailbox(realm: &Realm, name: &str) -> Result<String, Ended> {
    let name = Tree::normal(name);
    match realm.owner().is_none() && name == INBOX {
        true => Err(Ended::new(Exit::Usage, format!("{realm} has no INBOX"))),
        false => Ok(name),
    }
}

pub(super) fn registry(site: &Site) -> Arc<Registry> {
    Arc::new(Registry::new(StoreSettings {
        clock: Timestamp::now,
        host: site.hostname(),
        keeps_trash: !site.settings.imap.trash.is_zero(),
        lock_patience: LOCK_PATIENCE,
    }))
}
