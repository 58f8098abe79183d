//! Printers: everything a server says, as octets ready to send (RFC 9051 §7).
//!
//! Each function appends whole lines (or, in [`FetchPrinter`], pieces of one). They know the grammar and nothing of the data: what is true
//! is the service's business. Strings are quoted where that is possible and literals elsewhere, so that no octet of a mailbox, a message
//! or a user can be read as anything but a string.

mod access;
mod code;
mod fetch;
mod list;
mod search;

pub use access::{
    acl, gen_url_auth, id, list_rights, metadata, metadata_entries, my_rights, quota, quota_root, url_fetch,
};
pub use code::Code;
pub use fetch::FetchPrinter;
pub use list::{Listed, Namespace, StatusValue, list, lsub, namespace, status};
pub use search::{Esearch, esearch, search, sort, thread, uid_batches};

use super::command::MailboxName;
use super::extension::Enabled;
use crate::mailbox::UidSet;
use encodify::utf7;

/// The condition of a status response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Done.
    Ok,
    /// Not done.
    No,
    /// Not understood.
    Bad,
    /// Already logged in; greetings only.
    Preauth,
    /// The connection ends; untagged only.
    Bye,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Ok => "OK",
            Status::No => "NO",
            Status::Bad => "BAD",
            Status::Preauth => "PREAUTH",
            Status::Bye => "BYE",
        }
    }
}

/// `tag OK [CODE] text`.
pub fn tagged(out: &mut Vec<u8>, tag: &str, status: Status, code: Option<&Code>, text: &str) {
    put(out, tag);
    put(out, " ");
    condition(out, status, code, text);
}

/// `* OK [CODE] text`.
pub fn untagged(out: &mut Vec<u8>, status: Status, code: Option<&Code>, text: &str) {
    put(out, "* ");
    condition(out, status, code, text);
}

fn condition(out: &mut Vec<u8>, status: Status, code: Option<&Code>, text: &str) {
    put(out, status.name());
    put(out, " ");
    if let Some(code) = code {
        put(out, "[");
        code.print(out);
        put(out, "] ");
    }
    resp_text(out, text);
    end(out);
}

/// `text` (RFC 9051 §9): printable ASCII, at least one character, and not to be read as a response code.
fn resp_text(out: &mut Vec<u8>, text: &str) {
    if text.is_empty() || text.starts_with('[') {
        put(out, "-");
    }
    out.extend(text.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c as u8 } else { b'?' }));
}

/// `+ text`: a literal may be sent, or a challenge be answered.
pub fn continuation(out: &mut Vec<u8>, text: &str) {
    put(out, "+ ");
    put(out, text);
    end(out);
}

/// `* CAPABILITY …`.
pub fn capability(out: &mut Vec<u8>, capabilities: &[String]) {
    put(out, "* CAPABILITY ");
    put(out, &capabilities.join(" "));
    end(out);
}

/// `* ENABLED …` (RFC 5161).
pub fn enabled(out: &mut Vec<u8>, enabled: Enabled) {
    put(out, "* ENABLED");
    for extension in enabled.iter() {
        put(out, " ");
        put(out, extension.name());
    }
    end(out);
}

/// `* LANGUAGE (…)` (RFC 5255 §3.3).
pub fn language(out: &mut Vec<u8>, tags: &[&str]) {
    put(out, "* LANGUAGE ");
    list_of(out, tags, |out, tag| astring(out, tag.as_bytes()));
    end(out);
}

/// `* n EXISTS`.
pub fn exists(out: &mut Vec<u8>, count: u32) {
    put(out, &format!("* {count} EXISTS\r\n"));
}

/// `* n RECENT` (RFC 3501 §7.3.2); not after ENABLE IMAP4rev2.
pub fn recent(out: &mut Vec<u8>, count: u32) {
    put(out, &format!("* {count} RECENT\r\n"));
}

/// `* n EXPUNGE`.
pub fn expunge(out: &mut Vec<u8>, number: u32) {
    put(out, &format!("* {number} EXPUNGE\r\n"));
}

/// `* VANISHED (EARLIER) uids` (RFC 7162 §3.2.10); nothing when the set is empty.
pub fn vanished(out: &mut Vec<u8>, is_earlier: bool, uids: &UidSet) {
    if !uids.is_empty() {
        put(out, if is_earlier { "* VANISHED (EARLIER) " } else { "* VANISHED " });
        put(out, &format!("{uids}\r\n"));
    }
}

/// `* FLAGS (…)`.
pub fn flags<'a>(out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
    put(out, "* FLAGS ");
    list_of(out, names, put);
    end(out);
}

/// `mailbox`: UTF-8 where that is enabled, modified UTF-7 elsewhere (RFC 9051 §5.1, RFC 3501 §5.1.3).
pub fn mailbox(out: &mut Vec<u8>, name: &MailboxName, enabled: Enabled) {
    mailbox_text(out, name.as_str(), enabled);
}

/// The same for what is no mailbox's name: prefixes of namespaces, parents without a mailbox.
pub fn mailbox_text(out: &mut Vec<u8>, name: &str, enabled: Enabled) {
    match enabled.is_utf8() || name.is_ascii() && !name.contains(['&', '\x7f']) {
        true => quoted_or_literal(out, name.as_bytes(), enabled.is_utf8()),
        false => string(out, utf7::IMAP.encode(name).as_bytes()),
    }
}

/// `astring`: an atom where that is possible.
pub fn astring(out: &mut Vec<u8>, text: &[u8]) {
    let is_atom = !text.is_empty() && !text.eq_ignore_ascii_case(b"NIL");
    match is_atom && text.iter().all(|b| super::scan::is_astring_char(*b)) {
        true => out.extend_from_slice(text),
        false => string(out, text),
    }
}

/// `string` in ASCII or, with 8-bit octets, as a literal. NUL can't be sent in a string: it is left out.
pub fn string(out: &mut Vec<u8>, text: &[u8]) {
    quoted_or_literal(out, text, false);
}

/// `string` in UTF-8, for sessions that enabled it.
pub fn utf8_string(out: &mut Vec<u8>, text: &str) {
    quoted_or_literal(out, text.as_bytes(), true);
}

/// `nstring`.
pub fn nstring(out: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        Some(text) => string(out, text),
        None => put(out, "NIL"),
    }
}

/// Longest quoted string: old clients read lines into small buffers (RFC 2683 §3.2.1.5).
const QUOTED: usize = 1000;

fn quoted_or_literal(out: &mut Vec<u8>, text: &[u8], is_utf8: bool) {
    if memchr::memchr(0, text).is_some() {
        let text: Vec<u8> = text.iter().copied().filter(|b| *b != 0).collect();
        return quoted_or_literal(out, &text, is_utf8);
    }
    let is_quotable = |b: &u8| !matches!(b, b'\r' | b'\n') && (is_utf8 || b.is_ascii());
    if !text.iter().all(is_quotable) || text.len() > QUOTED {
        put(out, &format!("{{{}}}\r\n", text.len()));
        return out.extend_from_slice(text);
    }
    out.push(b'"');
    for b in text {
        if matches!(b, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(*b);
    }
    out.push(b'"');
}

/// A number, as often as there are messages: without the formatting machinery.
fn digits(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.extend_from_slice(&digits[at..]);
        }
    }
}

fn put(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

fn end(out: &mut Vec<u8>) {
    put(out, "\r\n");
}

/// `"(" [item *(SP item)] ")"`.
fn list_of<T>(out: &mut Vec<u8>, items: impl IntoIterator<Item = T>, mut print: impl FnMut(&mut Vec<u8>, T)) {
    put(out, "(");
    for (index, item) in items.into_iter().enumerate() {
        if index > 0 {
            put(out, " ");
        }
        print(out, item);
    }
    put(out, ")");
}

#[cfg(test)]
mod tests;
