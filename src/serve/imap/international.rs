//! Internationalized messages (RFC 6532) and the clients that did not ask for them (RFC 9755, RFC 6855 §7).
//!
//! A message is internationalized when its header is UTF-8 and not ASCII. One whose header is neither, the raw Latin-1 or Shift_JIS of old
//! mailers, is no such message: nothing in it can be shown better by a client that reads UTF-8, and it goes in and out as it is.

use super::ImapService;
use crate::mailbox::{Uid, UidSet};
use crate::msg::digest::{Digest, Part};
use crate::msg::surrogate;
use crate::proto::imap::Outcome;
use crate::proto::imap::response::{self, Code, Status};
use crate::proto::imap::{Enabled, Extension};

/// Looks at a message as it comes in, up to the end of its header.
#[derive(Debug)]
pub(super) struct HeaderWatch {
    in_header: bool,
    at_line_start: bool,
    is_ascii: bool,
    is_utf8: bool,
    /// The beginning of a character whose end has not come.
    cut: Vec<u8>,
}

impl Default for HeaderWatch {
    fn default() -> HeaderWatch {
        HeaderWatch { in_header: true, at_line_start: true, is_ascii: true, is_utf8: true, cut: Vec::new() }
    }
}

impl HeaderWatch {
    /// Takes the next piece of the text, with LF line ends, however it is cut.
    pub(super) fn feed(&mut self, text: &[u8]) {
        if !self.in_header || text.is_empty() {
            return;
        }
        let mut end = 0;
        while self.in_header && end < text.len() {
            if self.at_line_start && text[end] == b'\n' {
                self.in_header = false;
                break;
            }
            let line = memchr::memchr(b'\n', &text[end..]);
            self.at_line_start = line.is_some();
            end += line.map_or(text.len() - end, |lf| lf + 1);
        }
        let header = &text[..end];
        if !self.is_utf8 || (self.cut.is_empty() && header.is_ascii()) {
            return;
        }
        self.is_ascii = false;
        self.cut.extend_from_slice(header);
        match std::str::from_utf8(&self.cut) {
            Ok(_) => self.cut.clear(),
            Err(e) if e.error_len().is_none() => {
                self.cut.drain(..e.valid_up_to());
            }
            Err(_) => {
                self.is_utf8 = false;
                self.cut = Vec::new();
            }
        }
    }

    /// True when what has come of the header is UTF-8 and not ASCII.
    pub(super) fn is_international(&self) -> bool {
        !self.is_ascii && self.is_utf8 && self.cut.is_empty()
    }
}

/// What a client that reads no UTF-8 is shown.
#[derive(Debug)]
pub(super) struct Downgrade {
    is_on: bool,
    /// The messages of which it was shown a surrogate: identifiers.
    done: UidSet,
}

impl Downgrade {
    pub(super) fn new(is_on: bool) -> Downgrade {
        Downgrade { is_on, done: UidSet::default() }
    }

    /// A message's text as the client is to see it.
    pub(super) fn text(&mut self, uid: Uid, text: Vec<u8>) -> Vec<u8> {
        match self.is_on.then(|| surrogate::message(&text)).flatten() {
            Some(made) => {
                // Messages come in ascending order, and one of them perhaps several times.
                if !self.done.contains(uid.number()) {
                    self.done.push(uid.number());
                }
                made
            }
            None => text,
        }
    }

    /// True when a part of a message's record may hold what the client must not see.
    pub(super) fn concerns(&self, record: &[u8], part: Part) -> bool {
        let value = Digest::read(record).map(|digest| digest.part(part)).unwrap_or_default();
        self.is_on && !value.is_ascii() && std::str::from_utf8(value).is_ok()
    }

    /// RFC 6858 §3: which messages were shown by a surrogate. The tagged reply has room for one code: where another one
    /// stands there, or QRESYNC wants it for HIGHESTMODSEQ, an untagged response says so.
    pub(super) fn tell(&mut self, outcome: Outcome, enabled: Enabled, out: &mut Vec<u8>) -> Outcome {
        let done = std::mem::take(&mut self.done);
        if done.is_empty() {
            return outcome;
        }
        let code = Code::Downgraded(done);
        match outcome.code.is_none() && outcome.status == Status::Ok && !enabled.has(Extension::Qresync) {
            true => outcome.with_code(code),
            false => {
                untagged(&code, out);
                outcome
            }
        }
    }

    /// The same of what no command has asked for.
    pub(super) fn tell_unasked(&mut self, out: &mut Vec<u8>) {
        let done = std::mem::take(&mut self.done);
        if !done.is_empty() {
            untagged(&Code::Downgraded(done), out);
        }
    }
}

fn untagged(code: &Code, out: &mut Vec<u8>) {
    response::untagged(out, Status::Ok, Some(code), "shown with headers in ASCII");
}

impl ImapService {
    /// True when the client takes, and gives, header fields in UTF-8.
    pub(super) fn reads_utf8_headers(&self) -> bool {
        self.enabled.is_utf8() || self.desk.site.settings.imap.tolerates_utf8_headers
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_that_is_utf8_and_not_ascii_is_international() {
        for (text, expected) in [
            (&b"Subject: a\n\n\xc3\xbc"[..], false),
            (b"Subject: \xc3\xbc\n\nx", true),
            (b"Subject: \xe6\x97\xa5", true),
            (b"Subject: \xfc\nX: \xc3\xbc\n\nx", false),
            (b"X: \xc3\xbc\nSubject: \xfc\n\nx", false),
            (b"Subject: \xc3", false),
            (b"\n\xc3\xbc\n", false),
            (b"", false),
        ] {
            for cut in 0..=text.len() {
                let mut watch = HeaderWatch::default();
                watch.feed(&text[..cut]);
                watch.feed(&text[cut..]);
                assert_eq!(watch.is_international(), expected, "{} at {cut}", text.escape_ascii());
            }
        }
    }
}
