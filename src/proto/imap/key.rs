//! What SEARCH looks for and returns.

use super::command::{MailboxName, PartialRange, Set};
use super::item::FetchItem;
use crate::mailbox::{ModSeq, System};

/// `search-key` (RFC 9051 §9 and extensions). Nested at most 64 deep; alternatives and conjunctions are flat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// ALL.
    All,
    /// All of these.
    And(Vec<SearchKey>),
    /// One of these: `OR a OR b c` has three.
    Or(Vec<SearchKey>),
    /// NOT.
    Not(Box<SearchKey>),
    /// FUZZY (RFC 6203).
    Fuzzy(Box<SearchKey>),
    /// Sequence numbers.
    Numbers(Set),
    /// UID.
    Uids(Set),
    /// ANSWERED, DELETED …
    Has(System),
    /// UNANSWERED, UNDELETED …
    Lacks(System),
    /// KEYWORD.
    Keyword(Box<str>),
    /// UNKEYWORD.
    Unkeyword(Box<str>),
    /// NEW: recent and unseen (RFC 3501 §6.4.4).
    New,
    /// OLD: not recent.
    Old,
    /// RECENT.
    Recent,
    /// BCC, CC, FROM, TO: part of an address field.
    Address(AddressField, Box<[u8]>),
    /// SUBJECT.
    Subject(Box<[u8]>),
    /// HEADER: a field's name, and part of its value; the empty value finds all messages with the field.
    Header(String, Box<[u8]>),
    /// BODY.
    Body(Box<[u8]>),
    /// TEXT.
    Text(Box<[u8]>),
    /// BEFORE, ON, SINCE, SENTBEFORE …, SAVEDBEFORE …
    Date(DateField, Relation, Date),
    /// LARGER than so many octets.
    Larger(u64),
    /// SMALLER.
    Smaller(u64),
    /// OLDER than so many seconds (RFC 5032).
    Older(u32),
    /// YOUNGER.
    Younger(u32),
    /// MODSEQ: the entry and its kind are of no interest where flags have no sequences of their own (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// SAVEDATESUPPORTED (RFC 8514).
    SaveDateSupported,
    /// EMAILID (RFC 8474).
    EmailId(String),
    /// THREADID.
    ThreadId(String),
}

impl SearchKey {
    /// True when some sequence number stands in it; `$` is none.
    pub fn has_sequence_numbers(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Numbers(Set::These(_))))
    }

    /// True when MODSEQ stands in it: the answer then tells the highest one (RFC 7162 §3.1.5).
    pub fn has_modseq(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::ModSeq(_)))
    }

    /// True when FUZZY stands in it (RFC 6203 §4).
    pub fn has_fuzzy(&self) -> bool {
        self.any(&|key| matches!(key, SearchKey::Fuzzy(_)))
    }

    fn any(&self, is_it: &dyn Fn(&SearchKey) -> bool) -> bool {
        match self {
            SearchKey::And(keys) | SearchKey::Or(keys) => keys.iter().any(|key| key.any(is_it)),
            SearchKey::Not(key) => key.any(is_it),
            SearchKey::Fuzzy(key) => is_it(self) || key.any(is_it),
            key => is_it(key),
        }
    }
}

/// Address fields of the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressField {
    /// BCC.
    Bcc,
    /// CC.
    Cc,
    /// FROM.
    From,
    /// TO.
    To,
}

/// Which date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DateField {
    /// INTERNALDATE.
    Internal,
    /// The Date field.
    Sent,
    /// SAVEDATE (RFC 8514).
    Saved,
}

/// How dates compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    /// Earlier.
    Before,
    /// The same day.
    On,
    /// The same day or later.
    Since,
}

/// A day; there is such a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Date {
    /// 0 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
}

/// RETURN of SEARCH and SORT (RFC 4731, RFC 5182, RFC 5267, RFC 6203, RFC 9394).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Returns {
    /// MIN.
    pub min: bool,
    /// MAX.
    pub max: bool,
    /// ALL; set when the list was empty.
    pub all: bool,
    /// COUNT.
    pub count: bool,
    /// SAVE.
    pub save: bool,
    /// CONTEXT.
    pub context: bool,
    /// UPDATE, with what to fetch of messages that come to match (RFC 5465 §8).
    pub update: Option<Vec<FetchItem>>,
    /// PARTIAL.
    pub partial: Option<PartialRange>,
    /// RELEVANCY.
    pub relevancy: bool,
}

/// `filter-mailboxes` (RFC 5465 §8, RFC 7377 §4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The selected mailbox.
    Selected,
    /// The selected mailbox; EXPUNGE waits for a command (NOTIFY only).
    SelectedDelayed,
    /// Where mail is delivered to.
    Inboxes,
    /// The personal namespace.
    Personal,
    /// Subscribed mailboxes.
    Subscribed,
    /// These and all below.
    Subtree(Vec<MailboxName>),
    /// These and their children (RFC 7377 only).
    SubtreeOne(Vec<MailboxName>),
    /// These.
    Mailboxes(Vec<MailboxName>),
}
