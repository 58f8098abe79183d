//! LIST, LSUB, STATUS, NAMESPACE.

use super::{end, list_of, mailbox, mailbox_text, put, string};
use crate::mailbox::{ModSeq, Uid, UidValidity};
use crate::proto::imap::command::MailboxName;
use crate::proto::imap::extension::Enabled;

/// One LIST response (RFC 9051 §7.3.1).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listed<'a> {
    /// `\HasChildren`, `\Sent` …
    pub attributes: Vec<&'a str>,
    /// Hierarchy delimiter; `None` for a flat name.
    pub delimiter: Option<char>,
    /// The name; empty for the answer to `LIST "" ""`.
    pub name: &'a str,
    /// Selection options that a child matches: `SUBSCRIBED`, `SPECIAL-USE` (CHILDINFO, RFC 5258 §4).
    pub child_info: Vec<&'a str>,
    /// OLDNAME (RFC 5465 §5.4).
    pub old_name: Option<&'a MailboxName>,
}

/// `* LIST …`.
pub fn list(out: &mut Vec<u8>, listed: &Listed, enabled: Enabled) {
    listing(out, "* LIST ", listed, enabled);
}

/// `* LSUB …` (RFC 3501 §7.2.3).
pub fn lsub(out: &mut Vec<u8>, listed: &Listed, enabled: Enabled) {
    listing(out, "* LSUB ", listed, enabled);
}

fn listing(out: &mut Vec<u8>, verb: &str, listed: &Listed, enabled: Enabled) {
    put(out, verb);
    list_of(out, &listed.attributes, |out, name| put(out, name));
    put(out, " ");
    delimiter(out, listed.delimiter);
    put(out, " ");
    mailbox_text(out, listed.name, enabled);
    let has_children = !listed.child_info.is_empty();
    if has_children || listed.old_name.is_some() {
        put(out, " (");
        if has_children {
            put(out, "\"CHILDINFO\" ");
            list_of(out, &listed.child_info, |out, name| string(out, name.as_bytes()));
        }
        if let Some(old) = listed.old_name {
            put(out, if has_children { " \"OLDNAME\" (" } else { "\"OLDNAME\" (" });
            mailbox(out, old, enabled);
            put(out, ")");
        }
        put(out, ")");
    }
    end(out);
}

fn delimiter(out: &mut Vec<u8>, delimiter: Option<char>) {
    match delimiter {
        Some(delimiter) => string(out, delimiter.to_string().as_bytes()),
        None => put(out, "NIL"),
    }
}

/// One item of a STATUS response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatusValue {
    /// MESSAGES.
    Messages(u32),
    /// RECENT.
    Recent(u32),
    /// UIDNEXT.
    UidNext(Uid),
    /// UIDVALIDITY.
    UidValidity(UidValidity),
    /// UNSEEN.
    Unseen(u32),
    /// DELETED.
    Deleted(u32),
    /// SIZE.
    Size(u64),
    /// HIGHESTMODSEQ; 0 where there are none.
    HighestModSeq(ModSeq),
    /// MAILBOXID.
    MailboxId(String),
    /// APPENDLIMIT; `None` for no limit.
    AppendLimit(Option<u64>),
    /// DELETED-STORAGE.
    DeletedStorage(u64),
}

/// `* STATUS mailbox (…)`.
pub fn status(out: &mut Vec<u8>, name: &MailboxName, values: &[StatusValue], enabled: Enabled) {
    put(out, "* STATUS ");
    mailbox(out, name, enabled);
    put(out, " ");
    list_of(out, values, |out, value| {
        let text = match value {
            StatusValue::Messages(n) => format!("MESSAGES {n}"),
            StatusValue::Recent(n) => format!("RECENT {n}"),
            StatusValue::UidNext(uid) => format!("UIDNEXT {uid}"),
            StatusValue::UidValidity(validity) => format!("UIDVALIDITY {validity}"),
            StatusValue::Unseen(n) => format!("UNSEEN {n}"),
            StatusValue::Deleted(n) => format!("DELETED {n}"),
            StatusValue::Size(n) => format!("SIZE {n}"),
            StatusValue::HighestModSeq(modseq) => format!("HIGHESTMODSEQ {modseq}"),
            StatusValue::MailboxId(id) => format!("MAILBOXID ({id})"),
            StatusValue::AppendLimit(None) => "APPENDLIMIT NIL".to_string(),
            StatusValue::AppendLimit(Some(n)) => format!("APPENDLIMIT {n}"),
            StatusValue::DeletedStorage(n) => format!("DELETED-STORAGE {n}"),
        };
        put(out, &text);
    });
    end(out);
}

/// One namespace: a prefix with its delimiter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Namespace<'a> {
    /// What its names begin with.
    pub prefix: &'a str,
    /// Hierarchy delimiter.
    pub delimiter: Option<char>,
}

/// `* NAMESPACE personal others shared` (RFC 9051 §7.3.3).
pub fn namespace(
    out: &mut Vec<u8>,
    personal: &[Namespace],
    others: &[Namespace],
    shared: &[Namespace],
    enabled: Enabled,
) {
    put(out, "* NAMESPACE");
    for group in [personal, others, shared] {
        put(out, if group.is_empty() { " NIL" } else { " (" });
        for namespace in group {
            put(out, "(");
            mailbox_text(out, namespace.prefix, enabled);
            put(out, " ");
            delimiter(out, namespace.delimiter);
            put(out, ")");
        }
        if !group.is_empty() {
            put(out, ")");
        }
    }
    end(out);
}
