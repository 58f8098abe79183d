//! Response codes.

use super::{astring, list_of, put, string};
use crate::mailbox::{ModSeq, Uid, UidSet, UidValidity};

/// `resp-text-code` (RFC 9051 §7.1, RFC 5530 and the extensions).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Code {
    /// To be shown to the user.
    Alert,
    /// There is such a mailbox already.
    AlreadyExists,
    /// Where appended messages are (RFC 4315 §3).
    AppendUid(UidValidity, UidSet),
    /// Wrong name or password.
    AuthenticationFailed,
    /// Right, but not allowed.
    AuthorizationFailed,
    /// Not this charset; these are known.
    BadCharset(&'static [&'static str]),
    /// Not this event; these are known (RFC 5465 §5).
    BadEvent(&'static [&'static str]),
    /// CATENATE could not follow this URL (RFC 4469 §4.3).
    BadUrl(String),
    /// Never, whatever the state.
    Cannot,
    /// What is offered.
    Capability(Vec<String>),
    /// The client does something wrong.
    ClientBug,
    /// The former mailbox is closed.
    Closed,
    /// Ask the administrator.
    ContactAdmin,
    /// Where copies are: identifiers of the sources and of the copies, in the same order (RFC 4315 §3).
    CopyUid(UidValidity, UidSet, UidSet),
    /// The mailbox is damaged.
    Corruption,
    /// Of these messages (identifiers) a surrogate was shown (RFC 6858 §3).
    Downgraded(UidSet),
    /// The password is too old.
    Expired,
    /// Another session removed some of the messages.
    ExpungeIssued,
    /// The mailbox has children.
    HasChildren,
    /// The mailbox's last modification sequence.
    HighestModSeq(ModSeq),
    /// A long command goes on: its tag, and done and all items (RFC 9585).
    InProgress(Box<str>, Option<(u64, u64)>),
    /// Somebody else holds it.
    InUse,
    /// A limit of the server.
    Limit,
    /// The mailbox's object identifier (RFC 8474).
    MailboxId(String),
    /// At most so many messages of one command were handled; down to this identifier (RFC 9738).
    MessageLimit(u32, Option<Uid>),
    /// GETMETADATA left out values, the longest of so many octets (RFC 5464 §4.2.1).
    MetadataLongEntries(u64),
    /// A value is longer than so many octets.
    MetadataMaxSize(u64),
    /// Too many annotations.
    MetadataTooMany,
    /// No private annotations.
    MetadataNoPrivate,
    /// STORE left these alone (RFC 7162 §3.1.3).
    Modified(UidSet),
    /// No modification sequences.
    NoModSeq,
    /// There is no such mailbox.
    NonExistent,
    /// Not allowed.
    NoPerm,
    /// Too many events (RFC 5465 §5.8).
    NotificationOverflow,
    /// The search's result was not saved.
    NotSaved,
    /// No updates for the search with this tag (RFC 5267 §4.3.1).
    NoUpdate(String),
    /// Over quota.
    OverQuota,
    /// A message can't be parsed.
    Parse,
    /// Flags that can be changed for good; `\*` for new keywords.
    PermanentFlags(Vec<String>),
    /// Use TLS.
    PrivacyRequired,
    /// Selected for reading.
    ReadOnly,
    /// Selected for reading and writing.
    ReadWrite,
    /// The server does something wrong.
    ServerBug,
    /// Too large.
    TooBig,
    /// Fewer messages in a batch than there must be (RFC 10022 §3.1.3).
    TooFew,
    /// CREATE the mailbox first.
    TryCreate,
    /// The next identifier.
    UidNext(Uid),
    /// Identifiers do not last.
    UidNotSticky,
    /// No sequence numbers after ENABLE UIDONLY (RFC 9586).
    UidRequired,
    /// The generation of identifiers.
    UidValidity(UidValidity),
    /// Not now.
    Unavailable,
    /// BINARY can't decode this (RFC 3516).
    UnknownCte,
    /// The first unseen message's number (RFC 3501 §7.1).
    Unseen(u32),
    /// Mechanisms of URLAUTH (RFC 4467 §7).
    UrlMech(&'static [&'static str]),
    /// No such special use (RFC 6154 §3).
    UseAttr,
}

impl Code {
    /// Appends what stands between the brackets.
    pub fn print(&self, out: &mut Vec<u8>) {
        match self {
            Code::AppendUid(validity, uids) => put(out, &format!("APPENDUID {validity} {uids}")),
            Code::CopyUid(validity, from, to) => put(out, &format!("COPYUID {validity} {from} {to}")),
            Code::Downgraded(uids) => put(out, &format!("DOWNGRADED {uids}")),
            Code::HighestModSeq(modseq) => put(out, &format!("HIGHESTMODSEQ {modseq}")),
            Code::Modified(set) => put(out, &format!("MODIFIED {set}")),
            Code::UidNext(uid) => put(out, &format!("UIDNEXT {uid}")),
            Code::UidValidity(validity) => put(out, &format!("UIDVALIDITY {validity}")),
            Code::Unseen(number) => put(out, &format!("UNSEEN {number}")),
            Code::MailboxId(id) => put(out, &format!("MAILBOXID ({id})")),
            Code::MessageLimit(limit, None) => put(out, &format!("MESSAGELIMIT {limit}")),
            Code::MessageLimit(limit, Some(uid)) => put(out, &format!("MESSAGELIMIT {limit} {uid}")),
            Code::MetadataLongEntries(size) => put(out, &format!("METADATA LONGENTRIES {size}")),
            Code::MetadataMaxSize(size) => put(out, &format!("METADATA MAXSIZE {size}")),
            Code::Capability(names) => put(out, &format!("CAPABILITY {}", names.join(" "))),
            Code::PermanentFlags(names) => {
                put(out, "PERMANENTFLAGS ");
                list_of(out, names, |out, name| put(out, name));
            }
            Code::BadCharset(names) => {
                put(out, "BADCHARSET ");
                list_of(out, *names, |out, name| astring(out, name.as_bytes()));
            }
            Code::BadEvent(names) => {
                put(out, "BADEVENT ");
                list_of(out, *names, |out, name| put(out, name));
            }
            Code::UrlMech(names) => put(out, &format!("URLMECH {}", names.join(" "))),
            Code::BadUrl(url) => {
                // `url-resp-text`: what would end the code or the line is left out.
                let shown: String = url.chars().filter(|c| c.is_ascii_graphic() && *c != ']').collect();
                put(out, &format!("BADURL {shown}"));
            }
            Code::NoUpdate(tag) => {
                put(out, "NOUPDATE ");
                string(out, tag.as_bytes());
            }
            Code::InProgress(tag, state) => in_progress(out, tag, *state),
            plain => put(out, plain.word()),
        }
    }

    /// The codes that are one word; those that are more are printed before.
    fn word(&self) -> &'static str {
        match self {
            Code::Alert => "ALERT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::AuthenticationFailed => "AUTHENTICATIONFAILED",
            Code::AuthorizationFailed => "AUTHORIZATIONFAILED",
            Code::Cannot => "CANNOT",
            Code::ClientBug => "CLIENTBUG",
            Code::Closed => "CLOSED",
            Code::ContactAdmin => "CONTACTADMIN",
            Code::Corruption => "CORRUPTION",
            Code::Expired => "EXPIRED",
            Code::ExpungeIssued => "EXPUNGEISSUED",
            Code::HasChildren => "HASCHILDREN",
            Code::InUse => "INUSE",
            Code::Limit => "LIMIT",
            Code::MetadataTooMany => "METADATA TOOMANY",
            Code::MetadataNoPrivate => "METADATA NOPRIVATE",
            Code::NoModSeq => "NOMODSEQ",
            Code::NonExistent => "NONEXISTENT",
            Code::NoPerm => "NOPERM",
            Code::NotificationOverflow => "NOTIFICATIONOVERFLOW",
            Code::NotSaved => "NOTSAVED",
            Code::OverQuota => "OVERQUOTA",
            Code::Parse => "PARSE",
            Code::PrivacyRequired => "PRIVACYREQUIRED",
            Code::ReadOnly => "READ-ONLY",
            Code::ReadWrite => "READ-WRITE",
            Code::TooBig => "TOOBIG",
            Code::TooFew => "TOOFEW",
            Code::TryCreate => "TRYCREATE",
            Code::UidNotSticky => "UIDNOTSTICKY",
            Code::UidRequired => "UIDREQUIRED",
            Code::Unavailable => "UNAVAILABLE",
            Code::UnknownCte => "UNKNOWN-CTE",
            Code::UseAttr => "USEATTR",
            _ => "SERVERBUG",
        }
    }
}

/// RFC 9585: the tag is NIL when it holds `]`; what is complete is not said.
fn in_progress(out: &mut Vec<u8>, tag: &str, state: Option<(u64, u64)>) {
    put(out, "INPROGRESS (");
    match tag.contains(']') {
        true => put(out, "NIL"),
        false => string(out, tag.as_bytes()),
    }
    match state {
        Some((done, all)) if done < all => put(out, &format!(" {done} {all})")),
        _ => put(out, " NIL NIL)"),
    }
}
