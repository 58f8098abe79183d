//! Copies an account of another IMAP server into one of ours: mailboxes, messages, flags, keywords, dates, special uses, subscriptions.
//!
//! Called by `emuser migrate`. One mailbox after the other, in batches: a batch streams into drafts of the mailbox here, the state log
//! says what they are ([`state`]), they are appended all or none, the log says that they are. Killed anywhere, the next run goes on
//! without a message twice or missing: what the log had announced is looked for by digest and date before anything else is done.
//! A later run copies what is new there, and sets the flags here of messages whose flags there have changed.
//!
//! What is not copied: mailboxes of others and of everybody there, annotations, rights. What was deleted here stays deleted; what was
//! deleted there since stays here.
//! Trust: the server is hostile ([`crate::proto::imap_client`]); no message is held in memory.

mod folder;
mod names;
mod session;
mod state;

pub use session::Protection;

use crate::clock::Timestamp;
use crate::nexthop::{NetError, Wire};
use crate::proto::imap_client::ServerError;
use crate::store::{FolderError, Tree, TreeError};
use names::{Namespaces, Remote};
use session::Session;
use state::State;
use std::collections::HashSet;
use std::path::Path;

/// Most mailboxes of an account.
const MAILBOXES_LIMIT: usize = 20_000;

/// Why a run ended early. What was copied stays; the next run goes on there.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// The network.
    #[error("{0}")]
    Net(String),
    /// TLS.
    #[error("TLS: {0}")]
    Tls(String),
    /// The login was not granted.
    #[error("the login is refused: {0}")]
    Login(String),
    /// The server said no.
    #[error("the server refuses: {0}")]
    Refused(String),
    /// The server speaks no IMAP.
    #[error("the server sends what is no IMAP: {0}")]
    Server(#[from] ServerError),
    /// Our mailbox.
    #[error("{0}")]
    Store(#[from] TreeError),
    /// A file of ours.
    #[error("{0}")]
    File(#[from] std::io::Error),
}

impl From<NetError> for MigrateError {
    fn from(error: NetError) -> MigrateError {
        MigrateError::Net(error.0)
    }
}

impl From<FolderError> for MigrateError {
    fn from(error: FolderError) -> MigrateError {
        MigrateError::Store(error.into())
    }
}

/// What to copy, and as whom.
#[derive(Clone)]
pub struct Wanted {
    /// The name to log in with there.
    pub user: String,
    /// Its password.
    pub password: zeroize::Zeroizing<String>,
    /// Mailboxes, by their names here, that are left out with all below them.
    pub exclude: Vec<String>,
    /// Larger messages are left out and named.
    pub message_size: u64,
    /// The time, for messages whose date the server does not know.
    pub now: Timestamp,
}

/// How far a run has come.
#[derive(Debug, Clone, Copy)]
pub enum Progress<'a> {
    /// A mailbox begins: its name here, how many messages of it are to be copied, how many are here already.
    Mailbox(&'a str, u64, u64),
    /// So many messages with so many octets have been copied.
    Copied(u64, u64),
}

/// What a run came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// Mailboxes looked at.
    pub mailboxes: u64,
    /// Messages copied.
    pub copied: u64,
    /// Octets of them, as they lie here.
    pub octets: u64,
    /// Messages that were here already.
    pub known: u64,
    /// Messages whose flags were set anew.
    pub flagged: u64,
    /// What was left out, and why.
    pub left_out: Vec<String>,
}

/// One run.
struct Run<'a> {
    session: Session,
    tree: &'a Tree,
    state: State,
    wanted: &'a Wanted,
    summary: Summary,
    watch: &'a mut dyn FnMut(Progress<'_>),
}

/// Copies what is not here yet; `log` is the state log of this account there and the account here.
pub fn migrate(
    wire: Box<dyn Wire>,
    protection: &Protection,
    wanted: &Wanted,
    tree: &Tree,
    log: &Path,
    watch: &mut dyn FnMut(Progress<'_>),
) -> Result<Summary, MigrateError> {
    let state = State::open(log)?;
    let session = Session::open(wire, protection, &wanted.user, &wanted.password)?;
    let mut run = Run { session, tree, state, wanted, summary: Summary::default(), watch };
    run.recover()?;
    run.mailboxes()?;
    run.session.close();
    Ok(run.summary)
}

impl Run<'_> {
    fn mailboxes(&mut self) -> Result<(), MigrateError> {
        let (remotes, subscribed) = self.list()?;
        for remote in remotes {
            if names::is_among(&remote.local, &self.wanted.exclude) {
                continue;
            }
            match self.mailbox(&remote, &subscribed) {
                // One mailbox that can't be opened there, or has no name here, stops no other.
                Err(MigrateError::Refused(text)) => self.summary.left_out.push(format!("{}: {text}", remote.local)),
                Err(MigrateError::Store(TreeError::BadName)) => {
                    self.summary.left_out.push(format!("{}: no mailbox can have this name here", remote.local));
                }
                other => other?,
            }
        }
        Ok(())
    }

    /// Their mailboxes, and the names here of those that are subscribed to.
    fn list(&mut self) -> Result<(Vec<Remote>, HashSet<String>), MigrateError> {
        let mut namespaces = Namespaces::default();
        if self.session.has("NAMESPACE") {
            self.session.data("NAMESPACE", |data| {
                if let Some(found) = Namespaces::read(data) {
                    namespaces = found;
                }
            })?;
        }
        let (mut remotes, mut subscribed) = (Vec::new(), HashSet::new());
        // RFC 6154 §5: with LIST-EXTENDED, special uses are told when they are asked for.
        let tells_uses = self.session.has("LIST-EXTENDED") && self.session.has("SPECIAL-USE");
        let list = if tells_uses { "LIST \"\" \"*\" RETURN (SPECIAL-USE)" } else { "LIST \"\" \"*\"" };
        let mut too_many = 0;
        self.session.data(list, |data| match names::read(data, "LIST", &namespaces) {
            Some(remote) if remotes.len() < MAILBOXES_LIMIT => remotes.push(remote),
            Some(_) => too_many += 1,
            None => {}
        })?;
        if too_many > 0 {
            self.summary.left_out.push(format!("{too_many} mailboxes: no more than {MAILBOXES_LIMIT} are looked at"));
        }
        self.session.data("LSUB \"\" \"*\"", |data| {
            if subscribed.len() < MAILBOXES_LIMIT {
                subscribed.extend(names::read(data, "LSUB", &namespaces).map(|remote| remote.local));
            }
        })?;
        names::sort(&mut remotes);
        remotes.dedup();
        Ok((remotes, subscribed))
    }
}
