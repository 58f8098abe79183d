//! FETCH responses, item by item.

use super::{digits, nstring, put, string};
use crate::clock::Timestamp;
use crate::mailbox::{ModSeq, Uid};
use crate::proto::imap::item::{Dotted, Section};

/// One message's FETCH response: begin it, add items, end it.
///
/// Holds no octets, so that a large item can be sent in pieces: [`FetchPrinter::section_head`] announces it, the caller appends exactly
/// the octets announced, over as many outputs as it likes, and goes on.
#[derive(Debug)]
#[must_use]
pub struct FetchPrinter {
    has_items: bool,
}

impl FetchPrinter {
    /// `* n FETCH (`.
    pub fn begin(out: &mut Vec<u8>, number: u32) -> FetchPrinter {
        put(out, "* ");
        digits(out, u64::from(number));
        put(out, " FETCH (");
        FetchPrinter { has_items: false }
    }

    /// `* uid UIDFETCH (`, after ENABLE UIDONLY (RFC 9586).
    pub fn begin_uid(out: &mut Vec<u8>, uid: Uid) -> FetchPrinter {
        put(out, "* ");
        digits(out, u64::from(uid.number()));
        put(out, " UIDFETCH (");
        FetchPrinter { has_items: false }
    }

    /// `)`.
    pub fn end(self, out: &mut Vec<u8>) {
        put(out, ")\r\n");
    }

    fn item(&mut self, out: &mut Vec<u8>, name: &str) {
        if self.has_items {
            put(out, " ");
        }
        self.has_items = true;
        put(out, name);
        put(out, " ");
    }

    /// `UID n`.
    pub fn uid(&mut self, out: &mut Vec<u8>, uid: Uid) {
        self.item(out, "UID");
        digits(out, u64::from(uid.number()));
    }

    /// `FLAGS (…)`, `\Recent` among them where it is due.
    pub fn flags<'a>(&mut self, out: &mut Vec<u8>, names: impl IntoIterator<Item = &'a str>) {
        self.item(out, "FLAGS");
        super::list_of(out, names, put);
    }

    /// `MODSEQ (n)`.
    pub fn modseq(&mut self, out: &mut Vec<u8>, modseq: ModSeq) {
        self.item(out, "MODSEQ");
        put(out, "(");
        digits(out, modseq.number());
        put(out, ")");
    }

    /// `INTERNALDATE "…"`.
    pub fn internal_date(&mut self, out: &mut Vec<u8>, date: Timestamp) {
        self.item(out, "INTERNALDATE");
        put(out, &format!("\"{}\"", date.imap()));
    }

    /// `SAVEDATE "…"`, or NIL where it is not known (RFC 8514 §4.1).
    pub fn save_date(&mut self, out: &mut Vec<u8>, date: Option<Timestamp>) {
        self.item(out, "SAVEDATE");
        put(out, &date.map_or("NIL".into(), |date| format!("\"{}\"", date.imap())));
    }

    /// `RFC822.SIZE n`.
    pub fn size(&mut self, out: &mut Vec<u8>, size: u64) {
        self.item(out, "RFC822.SIZE");
        digits(out, size);
    }

    /// `ENVELOPE (…)`, `BODY (…)`, `BODYSTRUCTURE (…)`: a value that is printed already.
    pub fn printed(&mut self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        self.item(out, name);
        out.extend_from_slice(value);
    }

    /// `EMAILID (id)` (RFC 8474 §5.1).
    pub fn email_id(&mut self, out: &mut Vec<u8>, id: &str) {
        self.item(out, "EMAILID");
        put(out, &format!("({id})"));
    }

    /// `THREADID (id)` (RFC 8474 §5.2).
    pub fn thread_id(&mut self, out: &mut Vec<u8>, id: &str) {
        self.item(out, "THREADID");
        put(out, &format!("({id})"));
    }

    /// `PREVIEW "…"`, or NIL when it is not known yet (RFC 8970).
    pub fn preview(&mut self, out: &mut Vec<u8>, text: Option<&str>) {
        self.item(out, "PREVIEW");
        nstring(out, text.map(str::as_bytes));
    }

    /// `BODY[…]<origin> {size}` and the line end: exactly `size` octets follow. The octets may hold no NUL.
    pub fn section_head(&mut self, out: &mut Vec<u8>, section: &Section, origin: Option<u64>, size: u64) {
        self.item(out, &section_name(section, origin));
        put(out, &format!("{{{size}}}\r\n"));
    }

    /// `BODY[…]<origin>` with a short value; `None`: no such part.
    pub fn section(&mut self, out: &mut Vec<u8>, section: &Section, origin: Option<u64>, text: Option<&[u8]>) {
        self.item(out, &section_name(section, origin));
        nstring(out, text);
    }

    /// `RFC822 {size}` and its kin (RFC 3501 §6.4.5): exactly `size` octets follow.
    pub fn rfc822_head(&mut self, out: &mut Vec<u8>, name: &str, size: u64) {
        self.item(out, name);
        put(out, &format!("{{{size}}}\r\n"));
    }

    /// `BINARY[…]<origin>`: exactly `size` octets follow, in a literal8 when `has_nul` (RFC 3516 §4.2).
    pub fn binary_head(&mut self, out: &mut Vec<u8>, part: &[u32], origin: Option<u64>, size: u64, has_nul: bool) {
        self.item(out, &format!("BINARY[{}]{}", Dotted(part), origin_text(origin)));
        put(out, &format!("{}{{{size}}}\r\n", if has_nul { "~" } else { "" }));
    }

    /// `BINARY[…] NIL`: no such part.
    pub fn binary_none(&mut self, out: &mut Vec<u8>, part: &[u32], origin: Option<u64>) {
        self.item(out, &format!("BINARY[{}]{}", Dotted(part), origin_text(origin)));
        put(out, "NIL");
    }

    /// `BINARY.SIZE[…] n`.
    pub fn binary_size(&mut self, out: &mut Vec<u8>, part: &[u32], size: u64) {
        self.item(out, &format!("BINARY.SIZE[{}]", Dotted(part)));
        put(out, &size.to_string());
    }

    /// Another item with a string.
    pub fn string(&mut self, out: &mut Vec<u8>, name: &str, value: &[u8]) {
        self.item(out, name);
        string(out, value);
    }
}

fn origin_text(origin: Option<u64>) -> String {
    origin.map_or(String::new(), |origin| format!("<{origin}>"))
}

fn section_name(section: &Section, origin: Option<u64>) -> String {
    format!("BODY[{section}]{}", origin_text(origin))
}
