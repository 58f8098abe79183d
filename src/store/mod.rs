//! Mailboxes: Maildir folders that other programs may read and write at the same time.
//!
//! Called by `deliver` (in), and `serve` (POP3, IMAP).
//! Layout: `HOME/Maildir/{tmp,new,cur}`. A message's name is `SECONDS.M…P…Q…_….HOST,S=size,W=wire size`, with flags behind `:2,` once
//! it lies in `cur`. Text has LF line ends; `W=` is its size with CRLF. What IMAP needs beside the messages is in [`folder`]'s files.
//!
//! | state | meaning | after a crash |
//! |---|---|---|
//! | draft in spool/tmp | being written, nothing promised | `emqueue sweep` removes it when it is old |
//! | name in `new`, file and folder not both synced | delivered, not yet acknowledged | the sender tries again: at most a duplicate; a file that is shorter than its name says is set aside by whoever looks first ([`torn`]) |
//! | name in `new`, file and folder synced | delivered and acknowledged | – |
//! | `tmp/NAME.torn` | set aside: never acknowledged | for the administrator to look at and delete |
//!
//! Delivery takes no lock. The POP3 lock is `HOME/.pop3.lock`, held for a session.

pub mod folder;
mod maildir;
mod pop;
mod realm;
mod registry;
mod remembered;
pub mod scripts;
mod shares;
mod torn;
mod trash;
mod tree;
mod usage;

pub use folder::{
    Append, CacheReader, Cached, Extent, Findings, FlagChange, FlagOutcome, Folder, FolderError, How, LOCK_PATIENCE,
    Measured, Signatures, StoreSettings, Text, TextReader,
};
pub use maildir::{Arrival, Linked, Unsynced, deliver, deliver_into, inbox, link_into, name};
pub use pop::{PopEntry, PopError, PopMailbox};
pub use realm::Realm;
pub use registry::Registry;
pub use remembered::{Memory, Remembered};
pub use scripts::{ScriptName, ScriptNameError, ScriptQuota, Scripts, ScriptsError};
pub use shares::{owners_sharing_with, share_marks};
pub use trash::{Trash, Trashed};
pub use tree::{
    AclError, AnnotateError, Annotations, INBOX, Listed, MailboxIdentity, SEPARATOR, Stamp, Surveyed, Tree, TreeError,
    UrlKey, UrlKeyMark, VALUE_LIMIT,
};
pub use usage::{Usage, usage};
