//! Why a command is not done, and what the client and the log are told of it.

use super::ImapService;
use crate::log;
use crate::proto::imap::response::{Code, Status};
use crate::proto::imap::{Answer, Outcome};
use crate::store::{FolderError, TreeError};

/// Why a command is not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// A sequence number that no message has.
    NoSuchMessage,
    /// The mailbox was opened by EXAMINE.
    ReadOnly,
    /// The mailbox may be seen, and this not be done with it (RFC 4314 §4).
    NoPerm,
    /// There is no such mailbox, but there could be.
    TryCreate,
    /// Already an answer.
    Told(Outcome),
    Tree(TreeError),
}

impl From<FolderError> for Trouble {
    fn from(error: FolderError) -> Trouble {
        Trouble::Tree(TreeError::Folder(error))
    }
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Trouble {
        Trouble::Tree(error)
    }
}

impl ImapService {
    /// The selected mailbox can't be followed any more: only a new session can be right about it.
    pub(super) fn lost(&mut self, error: &FolderError) -> Answer {
        let user = self.account.as_ref().map(|a| a.login.account().address.to_string());
        log::event("mailbox-lost").maybe("user", user).field("reason", error).error().write();
        Answer::Bye(match error {
            FolderError::Gone => "the selected mailbox was deleted, made anew or taken away".to_string(),
            _ => "the selected mailbox can't be read".to_string(),
        })
    }

    pub(super) fn explain(&self, trouble: Trouble) -> Outcome {
        let bad = |text: &str| Outcome { status: Status::Bad, ..Outcome::no(None, text) };
        match trouble {
            Trouble::NoSuchMessage => bad("no such message"),
            Trouble::ReadOnly => Outcome::no(Some(Code::ReadOnly), "the mailbox is open for reading only"),
            Trouble::NoPerm => Outcome::no(Some(Code::NoPerm), "you have no right to do this here"),
            Trouble::TryCreate => Outcome::no(Some(Code::TryCreate), TreeError::Missing.to_string()),
            Trouble::Told(outcome) => outcome,
            Trouble::Tree(error) => self.failed(&error),
        }
    }

    /// What a failure of the store is to the client; causes that are ours go to the log.
    pub(super) fn failed(&self, error: &TreeError) -> Outcome {
        let code = match error {
            TreeError::BadName => Some(Code::Cannot),
            TreeError::Exists => Some(Code::AlreadyExists),
            TreeError::Missing | TreeError::Folder(FolderError::Gone) => Some(Code::NonExistent),
            TreeError::Refused => Some(Code::Cannot),
            TreeError::Folder(FolderError::Expunged) => Some(Code::ExpungeIssued),
            TreeError::Folder(FolderError::Busy) => Some(Code::InUse),
            _ => None,
        };
        if let Some(code) = code {
            return Outcome::no(Some(code), error.to_string());
        }
        let user = self.account.as_ref().map(|a| a.login.account().address.to_string());
        log::event("mailbox-failed").maybe("user", user).field("reason", error).error().write();
        let is_full = matches!(error, TreeError::Io(e) | TreeError::Folder(FolderError::Io(e))
            if matches!(e.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded));
        match is_full {
            true => Outcome::no(Some(Code::OverQuota), "no room is left on the disk; try later"),
            false => Outcome::no(Some(Code::Unavailable), "the mailbox can't be used now; try later"),
        }
    }
}
