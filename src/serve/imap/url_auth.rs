//! GENURLAUTH, URLFETCH and RESETKEY: URLs that carry their own permission (RFC 4467).
//!
//! The mechanism is INTERNAL. A token is the number of the algorithm, one octet, and the HMAC-SHA-256 of the rump URL under the mailbox's access
//! key. Only its owner has URLs of a mailbox authorised; whom a URL is for is written in it, and what it leads to is read with the owner's
//! present rights: a locked account's URLs lead nowhere.
//! URLFETCH says NIL for everything that is not as it should be, and does not say what. A token is computed and compared in any case, under a
//! key that nobody has where there is none.
//! Not done: URLFETCH=BINARY (RFC 5524). URLs in CATENATE are relative, as RFC 4469 §3 has it.

use super::catenate::{leads_nowhere, window_at};
use super::fetch::{STEP, hide_nul};
use super::selected::Selected;
use super::{ImapService, Run, Trouble};
use crate::clock::Timestamp;
use crate::dot::CrlfWindow;
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Access, Answer, AuthorizedUrl, MailboxName, Outcome};
use crate::sasl::hmac_sha256;
use crate::store::{Tree, UrlKey};
use crate::users;
use std::collections::VecDeque;
use std::fmt::Write;
use subtle::ConstantTimeEq;

/// The one mechanism.
const INTERNAL: &str = "INTERNAL";
/// HMAC-SHA-256 of the rump. Another algorithm gets another number, so that old tokens can be told (RFC 4467 §2.4.1).
const ALGORITHM: u8 = 1;
/// Octets of a token.
const LENGTH: usize = 33;
/// What URLMECH names.
const MECHANISMS: &[&str] = &[INTERNAL];

/// A URLFETCH on its way: of one URL the text is held.
#[derive(Debug)]
pub(super) struct UrlFetch {
    rest: VecDeque<String>,
    text: Option<(Vec<u8>, CrlfWindow)>,
    now: Timestamp,
}

impl ImapService {
    pub(super) fn gen_url_auth(&mut self, urls: &[(String, String)], out: &mut Vec<u8>) -> Run {
        let mut made = Vec::with_capacity(urls.len());
        for (text, mechanism) in urls {
            if !mechanism.eq_ignore_ascii_case(INTERNAL) {
                return Ok(bad("the mechanism is INTERNAL"));
            }
            let url = match AuthorizedUrl::parse(text) {
                Ok(url) if url.proof.is_none() => url,
                Ok(_) => return Ok(bad("the URL has a token already")),
                Err(reason) => return Ok(bad(reason)),
            };
            if !self.is_named(&url.owner) {
                return Ok(bad("only the owner of a mailbox can authorise its URLs"));
            }
            let Some(mailbox) = &url.message.mailbox else { return Ok(bad("the URL names no mailbox")) };
            let tree = self.tree()?;
            if !tree.exists(mailbox.as_str())? {
                return Ok(bad("no such mailbox"));
            }
            let key = tree.make_url_key(mailbox.as_str())?;
            made.push(format!("{text}:{INTERNAL}:{}", print(&token(&key.secret, url.rump))));
        }
        // A first key is no news to its own session.
        self.mark_url_key();
        response::gen_url_auth(out, &made);
        Ok(Outcome::ok("authorised"))
    }

    pub(super) fn reset_key(&mut self, mailbox: Option<&MailboxName>, mechanisms: &[String]) -> Run {
        if mechanisms.iter().any(|mechanism| !mechanism.eq_ignore_ascii_case(INTERNAL)) {
            return Ok(Outcome::no(Some(Code::Cannot), "the mechanism is INTERNAL"));
        }
        match mailbox {
            Some(mailbox) => self.tree()?.reset_url_key(mailbox.as_str())?,
            None => self.tree()?.remove_url_keys()?,
        }
        self.mark_url_key();
        let outcome = Outcome::ok(if mailbox.is_some() { "a new key" } else { "all keys are gone" });
        Ok(if mailbox.is_some() { outcome.with_code(Code::UrlMech(MECHANISMS)) } else { outcome })
    }

    /// What this session did itself it need not be told.
    fn mark_url_key(&mut self) {
        if let Some(selected) = self.selected.as_deref_mut() {
            selected.url_key = selected.folder.url_key_mark();
        }
    }

    /// Begins URLFETCH; the output is made by [`ImapService::more_of_urls`].
    pub(super) fn url_fetch(&mut self, urls: &[String], now: Timestamp) -> Run {
        self.urls = Some(Box::new(UrlFetch { rest: urls.iter().cloned().collect(), text: None, now }));
        Ok(Outcome::ok("fetched"))
    }

    /// The next piece of URLFETCH's output.
    pub(super) fn more_of_urls(&mut self, mut fetch: Box<UrlFetch>, mut out: Vec<u8>) -> Answer {
        loop {
            if let Some((text, window)) = &mut fetch.text {
                let from = out.len();
                window.fill(text, STEP.saturating_sub(from), &mut out);
                hide_nul(&mut out[from..]);
                if window.left() == 0 {
                    fetch.text = None;
                    out.extend_from_slice(b"\r\n");
                }
            }
            if out.len() >= STEP {
                self.urls = Some(fetch);
                return Answer::Output { bytes: out, outcome: None };
            }
            let Some(url) = fetch.rest.pop_front() else {
                return self.finish(Ok(Outcome::ok("fetched")), true, out);
            };
            match self.follow(&url, fetch.now) {
                Ok(Some((text, window))) => {
                    response::url_fetch(&mut out, &url, Some(window.left()));
                    fetch.text = Some((text, window));
                }
                Ok(None) => response::url_fetch(&mut out, &url, None),
                Err(trouble) if leads_nowhere(&trouble) => response::url_fetch(&mut out, &url, None),
                // RFC 4467 §7: NO is for what may go better later.
                Err(trouble) => return self.finish(Err(trouble), true, out),
            }
        }
    }

    /// The text that a URL leads to, for who is logged in and at this time.
    fn follow(&self, text: &str, now: Timestamp) -> Result<Option<(Vec<u8>, CrlfWindow)>, Trouble> {
        let Ok(url) = AuthorizedUrl::parse(text) else { return Ok(None) };
        let (Some((mechanism, token)), Some(mailbox)) = (url.proof, &url.message.mailbox) else { return Ok(None) };
        let tree = self.tree_of_owner(&url.owner)?;
        let key = match &tree {
            Some(tree) => tree.url_key(mailbox.as_str())?,
            None => None,
        };
        let is_right = is_right(key.as_ref(), url.rump, token);
        let is_good = mechanism.eq_ignore_ascii_case(INTERNAL) && url.expires.is_none_or(|until| now <= until);
        let (Some(tree), Some(key)) = (tree, key) else { return Ok(None) };
        if !(is_right && is_good && self.may_follow(&url.access)) {
            return Ok(None);
        }
        let folder = tree.folder(mailbox.as_str())?;
        match folder.refresh()?.uid_validity == key.uid_validity {
            true => window_at(&folder, &url.message),
            false => Ok(None),
        }
    }

    fn may_follow(&self, access: &Access) -> bool {
        match access {
            Access::User(name) => self.is_named(name),
            // Everybody here is logged in.
            Access::AuthUser | Access::Anonymous => self.account.is_some(),
            // Whether the user is the one who submits is for the submission server to see.
            Access::Submit(_) => {
                self.desk.site.settings.imap.submission_servers.iter().any(|server| self.is_named(server))
            }
        }
    }

    /// True when this is a name of who is logged in.
    fn is_named(&self, name: &str) -> bool {
        let own = self.account.as_deref().map(|account| account.login.account().address.to_key());
        own.is_some() && self.desk.logins.address(name).map(|address| address.to_key()) == own
    }

    /// The mailboxes of an account that may use IMAP; `None` without one.
    fn tree_of_owner(&self, owner: &str) -> Result<Option<Tree>, Trouble> {
        let found = self
            .desk
            .logins
            .account(owner)
            .map_err(|failure| Trouble::Told(Outcome::no(Some(Code::Unavailable), failure.public)))?;
        let Some(account) = found.filter(|account| !account.refuses_logins() && account.may_use("imap")) else {
            return Ok(None);
        };
        let home = users::home(&self.desk.site.root.mail, &account.address);
        Ok(Some(Tree::open(self.desk.registry.clone(), &home)?))
    }
}

impl Selected {
    /// URLMECH: how URLs of this mailbox can be authorised.
    pub(super) fn tell_url_mechanisms(out: &mut Vec<u8>) {
        response::untagged(out, Status::Ok, Some(&Code::UrlMech(MECHANISMS)), "URLs can be authorised");
    }

    /// Another session may have made a new key (RFC 4467 §7, RESETKEY).
    pub(super) fn tell_new_url_key(&mut self, out: &mut Vec<u8>) {
        let mark = self.folder.url_key_mark();
        if mark != self.url_key {
            self.url_key = mark;
            Selected::tell_url_mechanisms(out);
        }
    }
}

fn bad(text: &str) -> Outcome {
    Outcome { status: Status::Bad, ..Outcome::no(None, text) }
}

fn token(secret: &[u8], rump: &str) -> [u8; LENGTH] {
    let mut token = [ALGORITHM; LENGTH];
    token[1..].copy_from_slice(&hmac_sha256(secret, rump.as_bytes()));
    token
}

/// `enc-urlauth`.
fn print(token: &[u8]) -> String {
    token.iter().fold(String::new(), |mut text, octet| {
        // Writing to a String does not fail.
        let _ = write!(text, "{octet:02x}");
        text
    })
}

/// True when the token was made with this key. Without a key the work is the same (RFC 4467 §6).
fn is_right(key: Option<&UrlKey>, rump: &str, given: &str) -> bool {
    let made = print(&token(&key.map_or([0; 32], |key| key.secret), rump));
    let is_equal = bool::from(made.as_bytes().ct_eq(given.to_ascii_lowercase().as_bytes()));
    is_equal && key.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailbox::UidValidity;

    #[test]
    fn tokens_are_of_one_key_and_one_rump() {
        let key = |octet| UrlKey { secret: [octet; 32], uid_validity: UidValidity::MIN };
        let good = print(&token(&key(1).secret, "rump"));
        assert_eq!((good.len(), &good[..2]), (66, "01"));
        assert!(is_right(Some(&key(1)), "rump", &good) && is_right(Some(&key(1)), "rump", &good.to_uppercase()));
        assert!(!is_right(Some(&key(2)), "rump", &good) && !is_right(Some(&key(1)), "rumP", &good));
        for bad in [&good[..64], &good[2..], "", &good.replacen("01", "02", 1), &format!("{good}00")] {
            assert!(!is_right(Some(&key(1)), "rump", bad), "{bad}");
        }
        // What stands in for a key that is not there opens nothing.
        assert!(!is_right(None, "rump", &print(&token(&[0; 32], "rump"))));
    }
}
