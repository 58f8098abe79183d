//! Commands as they are understood: what the service is asked to run.
//!
//! Values only; `parse` makes them, `serve` runs them. What the machine does by itself (logins, CAPABILITY, IDLE, APPEND …) has no row here.

use super::extension::{Enabled, Extension};
use super::item::{FetchItem, StatusItem};
use super::key::{Returns, SearchKey, Source};
use crate::mailbox::{ModSeq, SeqSet, System, UidValidity};

/// A command on data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// NOOP: nothing but what has changed.
    Noop,
    /// CHECK (RFC 3501 §6.4.1).
    Check,
    /// ENABLE has switched these on; `* ENABLED` is sent already (RFC 5161).
    Enable(Enabled),
    /// SELECT and EXAMINE.
    Select(Select),
    /// CREATE, with the special uses it shall have (RFC 6154 §3).
    Create(MailboxName, Vec<String>),
    /// DELETE.
    Delete(MailboxName),
    /// RENAME: from, to.
    Rename(MailboxName, MailboxName),
    /// SUBSCRIBE.
    Subscribe(MailboxName),
    /// UNSUBSCRIBE.
    Unsubscribe(MailboxName),
    /// LIST.
    List(List),
    /// LSUB: reference, pattern (RFC 3501 §6.3.9).
    Lsub(String, String),
    /// NAMESPACE.
    Namespace,
    /// STATUS.
    Status(MailboxName, Vec<StatusItem>),
    /// CLOSE: expunges without a word, unless the mailbox is read-only.
    Close,
    /// UNSELECT.
    Unselect,
    /// EXPUNGE, or UID EXPUNGE with its set.
    Expunge(Option<Set>),
    /// SEARCH, UID SEARCH, ESEARCH.
    Search(Search),
    /// SORT and UID SORT (RFC 5256).
    Sort(Sort),
    /// THREAD and UID THREAD (RFC 5256).
    Thread(Thread),
    /// UIDBATCHES: messages of a batch, and which batches, from the newest (RFC 10022).
    UidBatches(u32, Option<(u32, u32)>),
    /// CANCELUPDATE: tags (RFC 5267 §4.3.5).
    CancelUpdate(Vec<String>),
    /// FETCH and UID FETCH.
    Fetch(Fetch),
    /// STORE and UID STORE.
    Store(Store),
    /// COPY and UID COPY.
    Copy(Messages, MailboxName),
    /// MOVE and UID MOVE (RFC 6851).
    Move(Messages, MailboxName),
    /// GETQUOTA: a root (RFC 9208).
    GetQuota(String),
    /// GETQUOTAROOT.
    GetQuotaRoot(MailboxName),
    /// SETQUOTA: a root, resources with their limits.
    SetQuota(String, Vec<(String, u64)>),
    /// GETACL (RFC 4314).
    GetAcl(MailboxName),
    /// SETACL.
    SetAcl(MailboxName, String, RightsChange),
    /// DELETEACL.
    DeleteAcl(MailboxName, String),
    /// LISTRIGHTS.
    ListRights(MailboxName, String),
    /// MYRIGHTS.
    MyRights(MailboxName),
    /// GETMETADATA (RFC 5464).
    GetMetadata(GetMetadata),
    /// SETMETADATA: the mailbox or, without one, the server; entries with values, `None` removes one.
    SetMetadata(Option<MailboxName>, Vec<(String, Option<Vec<u8>>)>),
    /// NOTIFY SET; `None` is NOTIFY NONE (RFC 5465).
    Notify(Option<Notify>),
    /// GENURLAUTH: URLs with their mechanisms (RFC 4467 §7).
    GenUrlAuth(Vec<(String, String)>),
    /// URLFETCH: URLs.
    UrlFetch(Vec<String>),
    /// RESETKEY: a mailbox or all, and mechanisms.
    ResetKey(Option<MailboxName>, Vec<String>),
}

impl Command {
    /// True when the client named messages by their sequence numbers: they mean what they meant before this command.
    pub fn uses_sequence_numbers(&self) -> bool {
        match self {
            Command::Fetch(Fetch { messages, .. })
            | Command::Store(Store { messages, .. })
            | Command::Copy(messages, _)
            | Command::Move(messages, _) => !messages.is_uid,
            Command::Search(search) => !search.is_uid || search.key.has_sequence_numbers(),
            Command::Sort(sort) => !sort.is_uid || sort.key.has_sequence_numbers(),
            Command::Thread(thread) => !thread.is_uid || thread.key.has_sequence_numbers(),
            _ => false,
        }
    }

    /// True when EXPUNGE may be sent before the tagged reply (RFC 9051 §7.5.1).
    pub fn may_expunge(&self) -> bool {
        match self {
            Command::Fetch(Fetch { messages, .. }) | Command::Store(Store { messages, .. }) => messages.is_uid,
            Command::Search(search) => search.is_uid,
            Command::Sort(sort) => sort.is_uid,
            Command::Thread(thread) => thread.is_uid,
            _ => true,
        }
    }

    /// True when the command shows that the client knows modification sequences (RFC 7162 §3.1).
    pub fn enables_condstore(&self) -> bool {
        match self {
            Command::Select(select) => select.condstore || select.qresync.is_some(),
            Command::Status(_, items) => items.contains(&StatusItem::HighestModSeq),
            Command::List(list) => list.returns.status.contains(&StatusItem::HighestModSeq),
            Command::Fetch(fetch) => fetch.changed_since.is_some() || fetch.items.contains(&FetchItem::ModSeq),
            Command::Store(store) => store.unchanged_since.is_some(),
            Command::Search(Search { key, .. })
            | Command::Sort(Sort { key, .. })
            | Command::Thread(Thread { key, .. }) => key.has_modseq(),
            Command::Enable(enabled) => enabled.has(Extension::Condstore),
            _ => false,
        }
    }
}

/// Messages of the selected mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Messages {
    /// The set holds identifiers.
    pub is_uid: bool,
    /// Which.
    pub set: Set,
}

/// A set, or the last search's result (RFC 5182).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Set {
    /// `$`.
    Saved,
    /// Numbers.
    These(SeqSet),
}

/// SELECT and EXAMINE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// Which.
    pub mailbox: MailboxName,
    /// EXAMINE.
    pub is_examine: bool,
    /// The CONDSTORE parameter (RFC 7162 §3.1.8).
    pub condstore: bool,
    /// The QRESYNC parameter (RFC 7162 §3.2.5).
    pub qresync: Option<Qresync>,
}

/// What the client knows of a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Qresync {
    /// The generation of its identifiers.
    pub uid_validity: UidValidity,
    /// The last modification sequence it knows.
    pub modseq: ModSeq,
    /// The identifiers it knows; without `*`.
    pub known_uids: Option<SeqSet>,
    /// Numbers, and the identifiers they had; both without `*`.
    pub matches: Option<(SeqSet, SeqSet)>,
}

/// LIST (RFC 5258).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct List {
    /// Subscribed names, there or not.
    pub subscribed: bool,
    /// Remote ones too.
    pub remote: bool,
    /// Parents of matches with CHILDINFO.
    pub recursive_match: bool,
    /// Only those with a special use (RFC 6154).
    pub special_use: bool,
    /// The reference.
    pub reference: String,
    /// Patterns with `*` and `%`.
    pub patterns: Vec<String>,
    /// What to return beside the names.
    pub returns: ListReturns,
    /// Some syntax of RFC 5258 was used: the client understands extended responses.
    pub is_extended: bool,
}

/// What LIST returns beside the names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturns {
    /// `\Subscribed`.
    pub subscribed: bool,
    /// `\HasChildren` or `\HasNoChildren`.
    pub children: bool,
    /// Special uses (RFC 6154).
    pub special_use: bool,
    /// STATUS responses (RFC 5819).
    pub status: Vec<StatusItem>,
    /// MYRIGHTS responses (RFC 8440).
    pub my_rights: bool,
    /// METADATA responses for these entries (RFC 9590).
    pub metadata: Vec<String>,
}

/// SEARCH, UID SEARCH, and ESEARCH in several mailboxes (RFC 7377).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// The answer holds identifiers.
    pub is_uid: bool,
    /// ESEARCH: where to search; empty for SEARCH.
    pub sources: Vec<Source>,
    /// RETURN; `None` asks for the answer of RFC 3501.
    pub returns: Option<Returns>,
    /// The charset of the texts; UTF-8 when absent.
    pub charset: Option<String>,
    /// What to find.
    pub key: SearchKey,
}

/// SORT.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sort {
    /// The answer holds identifiers.
    pub is_uid: bool,
    /// RETURN (RFC 5267 §3).
    pub returns: Option<Returns>,
    /// By what; true for REVERSE.
    pub criteria: Vec<(SortCriterion, bool)>,
    /// The charset of the texts.
    pub charset: String,
    /// What to find.
    pub key: SearchKey,
}

/// By what messages are sorted (RFC 5256 §3, RFC 5957, RFC 6203 §6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SortCriterion {
    /// INTERNALDATE.
    Arrival,
    /// The first Cc mailbox.
    Cc,
    /// The Date field.
    Date,
    /// The first From mailbox.
    From,
    /// RFC822.SIZE.
    Size,
    /// The base subject.
    Subject,
    /// The first To mailbox.
    To,
    /// The first From display name.
    DisplayFrom,
    /// The first To display name.
    DisplayTo,
    /// The score of a FUZZY search.
    Relevancy,
}

/// THREAD.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// The answer holds identifiers.
    pub is_uid: bool,
    /// How.
    pub algorithm: ThreadAlgorithm,
    /// The charset of the texts.
    pub charset: String,
    /// What to find.
    pub key: SearchKey,
}

/// How threads are made (RFC 5256 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadAlgorithm {
    /// ORDEREDSUBJECT.
    OrderedSubject,
    /// REFERENCES.
    References,
}

/// FETCH and UID FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Of which messages.
    pub messages: Messages,
    /// What; macros are expanded.
    pub items: Vec<FetchItem>,
    /// Only those changed since (RFC 7162 §3.1.4.1).
    pub changed_since: Option<ModSeq>,
    /// What vanished since, too (RFC 7162 §3.2.6).
    pub vanished: bool,
    /// Only this part of the set (RFC 9394 §3.2).
    pub partial: Option<PartialRange>,
}

/// A window on results: ends from 1, in any order; counted from the newest when negative (RFC 9394).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartialRange {
    /// One end.
    pub from: u32,
    /// The other.
    pub to: u32,
    /// Counted from the last.
    pub is_from_end: bool,
}

impl std::fmt::Display for PartialRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let minus = if self.is_from_end { "-" } else { "" };
        write!(f, "{minus}{}:{minus}{}", self.from, self.to)
    }
}

/// STORE and UID STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    /// Of which messages.
    pub messages: Messages,
    /// Only those unchanged since (RFC 7162 §3.1.3).
    pub unchanged_since: Option<ModSeq>,
    /// What happens to the flags.
    pub action: StoreAction,
    /// No FETCH responses for it.
    pub is_silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
}

/// What STORE does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// FLAGS.
    Replace,
    /// +FLAGS.
    Add,
    /// -FLAGS.
    Remove,
}

/// SETACL's change of rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RightsChange {
    /// These and no others.
    Replace(String),
    /// These too.
    Add(String),
    /// No longer these.
    Remove(String),
}

/// GETMETADATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadata {
    /// The mailbox; `None` for the server.
    pub mailbox: Option<MailboxName>,
    /// Larger values are left out.
    pub max_size: Option<u32>,
    /// How far below the entries.
    pub depth: MetadataDepth,
    /// The entries.
    pub entries: Vec<String>,
}

/// DEPTH of GETMETADATA (RFC 5464 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MetadataDepth {
    /// The entry itself.
    #[default]
    Zero,
    /// Its children.
    One,
    /// All below.
    Infinity,
}

/// NOTIFY SET.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notify {
    /// STATUS responses for the mailboxes at once.
    pub status: bool,
    /// What to tell of which mailboxes: all that the groups say of one, up to a group without events (NONE).
    pub groups: Vec<(Source, Vec<Event>)>,
}

/// An event of NOTIFY (RFC 5465 §5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// With what to fetch of a new message.
    MessageNew(Vec<FetchItem>),
    /// A message is gone.
    MessageExpunge,
    /// Flags changed.
    FlagChange,
    /// A mailbox was made, deleted, renamed.
    MailboxName,
    /// A subscription changed.
    SubscriptionChange,
    /// An annotation of a mailbox changed.
    MailboxMetadataChange,
    /// An annotation of the server changed.
    ServerMetadataChange,
}

/// A mailbox's name in Unicode; `INBOX` in capitals (RFC 9051 §5.1). Says nothing about whether there is such a mailbox, nor about
/// what a file system makes of the name; holds no control characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailboxName(Box<str>);

impl MailboxName {
    /// A name; `None` when it holds control characters or line separators (RFC 9755 §3).
    pub fn new(name: &str) -> Option<MailboxName> {
        let is_forbidden = |c: char| c.is_control() || matches!(c, '\u{2028}' | '\u{2029}');
        if name.contains(is_forbidden) {
            return None;
        }
        let is_inbox = name.eq_ignore_ascii_case("INBOX");
        Some(MailboxName(if is_inbox { "INBOX" } else { name }.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True for INBOX.
    pub fn is_inbox(&self) -> bool {
        &*self.0 == "INBOX"
    }
}

/// A flag as a client names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flag {
    /// A system flag.
    System(System),
    /// A keyword as written.
    Keyword(Box<str>),
}

impl Flag {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Flag::System(flag) => flag.name(),
            Flag::Keyword(name) => name,
        }
    }
}
