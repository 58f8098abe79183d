//! Views of a message's header: fields, their bodies, and what the header as a whole shows.
//!
//! Called by `serve` (limits and loops), `submit` (completion), `deliver` and `bounce`, which stop at the first line that is no
//! field ([`fields`]), and by the IMAP views beside this file, which pass over such lines ([`all_fields`]). Text has LF line
//! ends; a header that still has CRLF is read as well. Nothing here looks into bodies.
//! RFC 5322 §2.2, RFC 6532.

use std::borrow::Cow;

/// So much of a header is searched for fields, in octets.
pub const HEADER_LIMIT: usize = 256 * 1024;
/// So many fields of a header are looked at.
pub const FIELD_LIMIT: usize = 2_000;

/// One header field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as written.
    pub name: &'a str,
    /// The whole field with its line ends.
    pub raw: &'a [u8],
    body: &'a [u8],
}

impl<'a> Field<'a> {
    /// True when the field has this name, in any case.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The body as it stands: folded, with its blanks and line ends.
    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    /// The body, unfolded (RFC 5322 §2.2.3) and without blanks around; its bytes are left alone.
    pub fn unfolded(&self) -> Cow<'a, [u8]> {
        let body = self.body.trim_ascii();
        if memchr::memchr(b'\n', body).is_none() {
            return Cow::Borrowed(body);
        }
        let mut out = Vec::with_capacity(body.len());
        unfold(body, &mut out);
        Cow::Owned(out)
    }

    /// The body, unfolded and without blanks around; broken UTF-8 becomes U+FFFD.
    pub fn value(&self) -> String {
        let text = String::from_utf8_lossy(self.body);
        text.replace("\r\n", "").replace('\n', "").trim().to_string()
    }
}

/// Appends text without its line ends; the blanks of the folding stay (RFC 5322 §2.2.3).
pub(super) fn unfold(text: &[u8], out: &mut Vec<u8>) {
    for line in text.split_inclusive(|b| *b == b'\n') {
        out.extend_from_slice(line.strip_suffix(b"\n").map_or(line, |l| l.strip_suffix(b"\r").unwrap_or(l)));
    }
}

/// Where the header ends: the offset of the body, behind the empty line. `None` when there is no empty line.
pub fn header_end(message: &[u8]) -> Option<usize> {
    if message.starts_with(b"\n") {
        return Some(1);
    }
    let lf = memchr::memmem::find(message, b"\n\n").map(|i| i + 2);
    let crlf = memchr::memmem::find(&message[..lf.unwrap_or(message.len())], b"\n\r\n").map(|i| i + 3);
    if message.starts_with(b"\r\n") {
        return Some(2);
    }
    crlf.or(lf)
}

/// The fields of a header; a line that is no field ends it.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    pieces(header).map_while(|piece| piece.field)
}

/// The fields of a header; lines that are no field are passed over, as mail readers do.
///
/// At most [`HEADER_LIMIT`] bytes and [`FIELD_LIMIT`] fields are looked at: what a hostile header holds beyond is not seen.
pub fn all_fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut seen = &header[..header.len().min(HEADER_LIMIT)];
    if seen.len() < header.len() {
        // Whole lines only: half an address would be somebody else's.
        seen = &seen[..memchr::memrchr(b'\n', seen).map_or(0, |lf| lf + 1)];
    }
    pieces(seen).take(FIELD_LIMIT).filter_map(|piece| piece.field)
}

/// A logical line of a header: a line and those that continue it.
#[derive(Debug, Clone, Copy)]
pub struct Piece<'a> {
    /// All of it, with its line ends.
    pub raw: &'a [u8],
    /// The field that it is, when it is one.
    pub field: Option<Field<'a>>,
}

/// Cuts a header into its logical lines, up to the empty line that ends it.
pub fn pieces(header: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        if rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n") {
            return None;
        }
        let mut end = 0;
        loop {
            end += memchr::memchr(b'\n', &rest[end..]).map_or(rest.len() - end, |i| i + 1);
            if end >= rest.len() || !matches!(rest[end], b' ' | b'\t') {
                break;
            }
        }
        let raw = &rest[..end];
        rest = &rest[end..];
        Some(Piece { raw, field: field(raw) })
    })
}

fn field(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', raw)?;
    let name = std::str::from_utf8(&raw[..colon]).ok()?.trim_end_matches([' ', '\t']);
    let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_graphic());
    is_name.then(|| Field { name, raw, body: &raw[colon + 1..] })
}

/// The first field of this name.
pub fn find<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name))
}

/// True when a line can begin a header: `name:`.
pub fn is_field_start(line: &[u8]) -> bool {
    match memchr::memchr(b':', line) {
        Some(colon) => {
            let name = line[..colon].trim_ascii_end();
            !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
        }
        None => false,
    }
}

/// What a server must know of a header.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Received fields: the hops so far (RFC 5321 §6.3).
    pub hops: u32,
    /// Values of Delivered-To, for loop control.
    pub delivered_to: Vec<String>,
    /// The Message-ID, for the log.
    pub message_id: Option<String>,
    /// There is a Date.
    pub has_date: bool,
    /// There is a From.
    pub has_from: bool,
    /// The one field TLS-Required says `No` (RFC 8689 §3).
    pub tls_not_required: bool,
    /// The body of the one field MT-Priority, without comments (RFC 6758 §4).
    pub priority: Option<String>,
}

impl Facts {
    /// Reads them.
    pub fn of(header: &[u8]) -> Facts {
        let mut facts = Facts::default();
        let (mut tls_fields, mut priority_fields) = (0, 0);
        for field in fields(header) {
            match field.name.to_ascii_lowercase().as_str() {
                "received" => facts.hops += 1,
                "delivered-to" => facts.delivered_to.push(field.value()),
                "message-id" => facts.message_id = Some(field.value()),
                "date" => facts.has_date = true,
                "from" => facts.has_from = true,
                "tls-required" => {
                    tls_fields += 1;
                    facts.tls_not_required = tls_fields == 1 && field.value().eq_ignore_ascii_case("no");
                }
                "mt-priority" => {
                    priority_fields += 1;
                    let value = without_comments(&field.value());
                    facts.priority = Some(value).filter(|_| priority_fields == 1);
                }
                _ => {}
            }
        }
        facts
    }
}

/// The text outside comments (RFC 5322 §3.2.2), without blanks around.
fn without_comments(value: &str) -> String {
    let mut depth = 0u32;
    let mut chars = value.chars();
    let mut out = String::new();
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' if depth > 0 => depth -= 1,
            '\\' if depth > 0 => drop(chars.next()),
            c if depth == 0 => out.push(c),
            _ => {}
        }
    }
    out.trim().to_string()
}

/// Folds a field body at blanks so that lines stay below 78 octets where they can (RFC 5322 §2.1.1).
pub fn fold(name: &str, words: &[String]) -> String {
    let mut text = format!("{name}:");
    let mut column = text.len();
    for word in words {
        if column + 1 + word.len() > 76 && column > name.len() + 1 {
            text.push_str("\n\t");
            column = 8;
        } else {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_unfold_and_stop_at_what_is_none() {
        let header = b"Subject: a\n b\nReceived : x\nBad line\nTo: y\n";
        let found: Vec<(String, String)> = fields(header).map(|f| (f.name.to_string(), f.value())).collect();
        assert_eq!(found, [("Subject".into(), "a b".into()), ("Received".into(), "x".into())]);
        assert!(is_field_start(b"X-Y: z") && !is_field_start(b"two words: z") && !is_field_start(b"plain"));
    }

    #[test]
    fn lines_that_are_no_field_are_passed_over_by_mail_readers() {
        let header = b"From someone\nA: 1\n\tx\r\n y\nnonsense\n more\nB:2\r\n\r\nC: 3\n";
        let found: Vec<_> = all_fields(header).map(|f| (f.name, f.unfolded().into_owned())).collect();
        assert_eq!(found, [("A", b"1\tx y".to_vec()), ("B", b"2".to_vec())]);
        let raw: Vec<usize> = pieces(header).map(|p| p.raw.len()).collect();
        assert_eq!(raw, [13, 12, 15, 5]);
    }

    #[test]
    fn a_hostile_header_is_looked_at_up_to_its_limits() {
        assert_eq!(all_fields("a: b\n".repeat(FIELD_LIMIT + 5).as_bytes()).count(), FIELD_LIMIT);
        let mut long = format!("To: {}\n", "a@b.c,\n ".repeat(HEADER_LIMIT / 8));
        long.push_str("Subject: unseen\n\n");
        let found: Vec<_> = all_fields(long.as_bytes()).collect();
        assert_eq!(found.len(), 1);
        assert!(found[0].raw.len() <= HEADER_LIMIT && found[0].raw.ends_with(b"\n"));
    }

    #[test]
    fn comments_are_left_out_of_a_priority() {
        let read = |text: &str| Facts::of(text.as_bytes()).priority;
        for (text, expected) in [("3", "3"), ("(a (b) \\) c) -3 (d)", "-3"), ("4 (ultra)\n", "4"), ("(open 3", "")] {
            assert_eq!(read(&format!("MT-Priority: {text}\n")).as_deref(), Some(expected), "{text}");
        }
        assert_eq!(read("MT-Priority: 3\nmt-priority: 3\n"), None);
    }

    #[test]
    fn header_ends() {
        for (text, end) in [
            ("a: b\n\nbody", Some(6)),
            ("a: b\r\n\r\nbody", Some(8)),
            ("\nbody", Some(1)),
            ("\r\nbody", Some(2)),
            ("a: b\nc", None),
            ("", None),
            ("a: b\r\n\r\nx\n\n", Some(8)),
        ] {
            assert_eq!(header_end(text.as_bytes()), end, "{text:?}");
        }
    }

    #[test]
    fn long_fields_are_folded() {
        let words: Vec<String> = (0..20).map(|i| format!("word-number-{i}")).collect();
        let folded = fold("Received", &words);
        assert!(folded.lines().all(|l| l.len() < 78), "{folded}");
        assert_eq!(find(folded.as_bytes(), "received").unwrap().value().split_whitespace().count(), 20);
    }
}
