//! Quota, rights, annotations, URLs, ID.

use super::{astring, end, list_of, mailbox, nstring, put, string};
use crate::proto::imap::command::MailboxName;
use crate::proto::imap::extension::Enabled;

/// `* QUOTA root (RESOURCE usage limit …)` (RFC 9208 §5.1).
pub fn quota(out: &mut Vec<u8>, root: &str, resources: &[(&str, u64, u64)]) {
    put(out, "* QUOTA ");
    string(out, root.as_bytes());
    put(out, " ");
    list_of(out, resources, |out, (name, usage, limit)| put(out, &format!("{name} {usage} {limit}")));
    end(out);
}

/// `* QUOTAROOT mailbox root …`.
pub fn quota_root(out: &mut Vec<u8>, name: &MailboxName, roots: &[&str], enabled: Enabled) {
    put(out, "* QUOTAROOT ");
    mailbox(out, name, enabled);
    for root in roots {
        put(out, " ");
        string(out, root.as_bytes());
    }
    end(out);
}

/// `* ACL mailbox identifier rights …` (RFC 4314 §3.6).
pub fn acl(out: &mut Vec<u8>, name: &MailboxName, entries: &[(&str, &str)], enabled: Enabled) {
    put(out, "* ACL ");
    mailbox(out, name, enabled);
    for (identifier, rights) in entries {
        put(out, " ");
        string(out, identifier.as_bytes());
        put(out, " ");
        astring(out, rights.as_bytes());
    }
    end(out);
}

/// `* LISTRIGHTS mailbox identifier required optional …` (RFC 4314 §3.7).
pub fn list_rights(
    out: &mut Vec<u8>,
    name: &MailboxName,
    identifier: &str,
    required: &str,
    optional: &[&str],
    enabled: Enabled,
) {
    put(out, "* LISTRIGHTS ");
    mailbox(out, name, enabled);
    put(out, " ");
    string(out, identifier.as_bytes());
    for rights in std::iter::once(&required).chain(optional) {
        put(out, " ");
        astring(out, rights.as_bytes());
    }
    end(out);
}

/// `* MYRIGHTS mailbox rights` (RFC 4314 §3.8).
pub fn my_rights(out: &mut Vec<u8>, name: &MailboxName, rights: &str, enabled: Enabled) {
    put(out, "* MYRIGHTS ");
    mailbox(out, name, enabled);
    put(out, " ");
    astring(out, rights.as_bytes());
    end(out);
}

fn annotated(out: &mut Vec<u8>, name: Option<&MailboxName>, enabled: Enabled) {
    put(out, "* METADATA ");
    match name {
        Some(name) => mailbox(out, name, enabled),
        None => put(out, "\"\""),
    }
    put(out, " ");
}

/// `* METADATA mailbox (entry value …)` (RFC 5464 §4.4.1); `None` for the server.
pub fn metadata(out: &mut Vec<u8>, name: Option<&MailboxName>, values: &[(&str, Option<&[u8]>)], enabled: Enabled) {
    annotated(out, name, enabled);
    list_of(out, values, |out, (entry, value)| {
        astring(out, entry.as_bytes());
        put(out, " ");
        match value {
            // RFC 5464 §5: a value with NUL is a literal8.
            Some(value) if memchr::memchr(0, value).is_some() => {
                put(out, &format!("~{{{}}}\r\n", value.len()));
                out.extend_from_slice(value);
            }
            value => nstring(out, *value),
        }
    });
    end(out);
}

/// `* METADATA mailbox entry …`: these have changed (RFC 5464 §4.4.2).
pub fn metadata_entries(out: &mut Vec<u8>, name: Option<&MailboxName>, entries: &[&str], enabled: Enabled) {
    annotated(out, name, enabled);
    for (index, entry) in entries.iter().enumerate() {
        put(out, if index > 0 { " " } else { "" });
        astring(out, entry.as_bytes());
    }
    end(out);
}

/// `* GENURLAUTH url …` (RFC 4467 §8).
pub fn gen_url_auth(out: &mut Vec<u8>, urls: &[String]) {
    put(out, "* GENURLAUTH");
    for url in urls {
        put(out, " ");
        string(out, url.as_bytes());
    }
    end(out);
}

/// `* URLFETCH url text` (RFC 4467 §8), or its beginning: behind a size the text and the line's end are to follow. `None`: can't be had.
pub fn url_fetch(out: &mut Vec<u8>, url: &str, size: Option<u64>) {
    put(out, "* URLFETCH ");
    string(out, url.as_bytes());
    match size {
        Some(size) => put(out, &format!(" {{{size}}}\r\n")),
        None => put(out, " NIL\r\n"),
    }
}

/// `* ID (field value …)` (RFC 2971 §3.2).
pub fn id(out: &mut Vec<u8>, fields: &[(String, String)]) {
    put(out, "* ID ");
    match fields.is_empty() {
        true => put(out, "NIL"),
        false => list_of(out, fields, |out, (field, value)| {
            string(out, field.as_bytes());
            put(out, " ");
            string(out, value.as_bytes());
        }),
    }
    end(out);
}
